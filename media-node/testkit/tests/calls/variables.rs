//! The catalogue of the calls' own variables.

use std::fs;
use std::path::Path;

use call_model::variables::ALL;

/// All sources below a folder, tests and this catalogue aside.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "tests" && name != "testkit" {
            sources(&path, text);
        } else if path.extension().is_some_and(|end| end == "rs")
            && !path.ends_with("model/src/variables.rs")
        {
            text.push_str(&fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

#[test]
fn each_variable_of_the_catalogue_is_read_or_set_somewhere() {
    let mut text = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut text);
    let unknown: Vec<_> = ALL
        .iter()
        .copied()
        .flatten()
        .map(|variable| variable.name.trim_end_matches('*'))
        .filter(|name| !text.contains(&format!("\"{name}")))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
