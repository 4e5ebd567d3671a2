//! Tests that declarations and code say the same: what is declared is used somewhere, and what is used is declared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::declarations::declared;
use crate::linked::linked;

/// Names that code reads like variables and that are none: fields of the caller profile, options of an argument, and
/// what only tests of this repository use.
const NO_VARIABLES: &[&str] = &[
    "background",
    "caller_id_name",
    "caller_id_number",
    "destination_number",
    "json",
    "keep",
    "network_addr",
];

/// Sources of the workspace without tests and without the lists of declarations.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for part in ["media-node", "esl-server", "dialplan-xml"] {
        collect(&root.join(part), &mut found);
    }
    assert!(found.len() > 300, "the sources are there");
    found
}

fn collect(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            if !matches!(name.as_str(), "tests" | "target" | "benches" | "examples" | "testkit") {
                collect(&path, found);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "honest.rs" {
            let text = fs::read_to_string(&path).expect("a source file");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            found.push((path.display().to_string(), code.to_owned()));
        }
    }
}

/// Texts between quotes that do not stand right behind one of `openings`.
fn literals<'s>(source: &'s str, openings: &[&str]) -> Vec<&'s str> {
    let mut found = Vec::new();
    // A declaration may have its name on the line after the opening.
    let mut above = "";
    for line in source.lines() {
        let mut before = line;
        let mut first = true;
        while let Some((head, rest)) = before.split_once('"') {
            let Some((literal, tail)) = rest.split_once('"') else { break };
            let lone = first && head.trim().is_empty();
            let opening = if lone { above } else { head };
            if !openings.iter().any(|word| opening.trim_end().ends_with(word)) {
                found.push(literal);
            }
            (before, first) = (tail, false);
        }
        above = line;
    }
    found
}

#[test]
fn each_variable_that_is_declared_is_used() {
    let sources = sources();
    let used: BTreeSet<&str> = sources
        .iter()
        .flat_map(|(_, text)| literals(text, &["reads(", "sets(", "keeps("]))
        .collect();
    for (module, provides) in declared(&linked()) {
        for variable in provides.variables.iter().copied().flatten() {
            let name = variable.name;
            // Names with a pattern, and those put together from parts, are found by their longest part.
            let part = name.trim_end_matches('*');
            let is_used = used.contains(name)
                || used.iter().any(|text| text.contains(part))
                || used.iter().any(|text| text.len() >= 8 && part.ends_with(text))
                || used
                    .iter()
                    .filter_map(|text| text.split_once('{'))
                    .any(|(start, _)| start.len() >= 8 && part.starts_with(start));
            assert!(
                is_used || variable.effect.why_none().is_some(),
                "{module}: {name} is declared and never used"
            );
        }
    }
}

#[test]
fn each_variable_that_is_used_is_declared() {
    const CALLS: &[&str] = &[
        "var",
        "own_var",
        "is_true",
        "variable",
        "var_marked",
        "variable_marked",
        "set_var",
        "set_var_as_is",
        "unset_var",
        "push_var",
    ];
    let (mut names, mut patterns) = (BTreeSet::new(), Vec::new());
    for (_, provides) in declared(&linked()) {
        for variable in provides.variables.iter().copied().flatten() {
            match variable.name.strip_suffix('*') {
                Some(start) => patterns.push(start),
                None => drop(names.insert(variable.name.to_ascii_lowercase())),
            }
        }
    }
    let mut unknown = BTreeMap::new();
    for (file, text) in &sources() {
        for call in CALLS {
            for (at, _) in text.match_indices(&format!(".{call}(\"")) {
                let rest = text.get(at + call.len() + 3..).unwrap_or_default();
                let Some((name, _)) = rest.split_once('"') else { continue };
                let known = names.contains(&name.to_ascii_lowercase())
                    || patterns.iter().any(|start| name.starts_with(start))
                    || NO_VARIABLES.contains(&name)
                    || name.contains('{');
                if !known {
                    unknown.insert(name.to_owned(), file.clone());
                }
            }
        }
    }
    assert!(unknown.is_empty(), "used and not declared: {unknown:#?}");
}
