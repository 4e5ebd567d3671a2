//! Other people's crates: their licences, and how many of them are there twice. `deny.toml` says the same to cargo-deny, which
//! need not be installed for this.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Licences that ask for notices only. Of a choice (`OR`) one is enough; of several (`AND`) all are needed.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates with other terms, and why they may stay.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("symphonia", "MPL-2.0: copyleft by file, used unchanged"),
    ("rsip", "MIT in a file; used by tests only"),
];

/// Crates that are there in several versions, those of tests included. Fewer is better: lower the number then.
const MOST_DUPLICATES: usize = 32;

struct Package {
    name: String,
    version: String,
    license: String,
}

fn packages() -> Vec<Package> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(root)
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |package: &serde_json::Value, key: &str| {
        package.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let list = all.get("packages").and_then(serde_json::Value::as_array).expect("packages");
    list.iter()
        .map(|package| Package {
            name: text(package, "name"),
            version: text(package, "version"),
            license: text(package, "license"),
        })
        .collect()
}

/// `A OR (B AND C)`, and the old `A/B`.
fn is_allowed(license: &str) -> bool {
    let plain = license.replace(['(', ')'], " ").replace('/', " OR ");
    let known = |term: &str| ALLOWED.contains(&term.trim());
    plain.split(" AND ").all(|part| part.split(" OR ").any(known))
}

#[test]
fn licences_ask_for_notices_only() {
    let excepted = |name: &str| EXCEPTIONS.iter().any(|(start, _)| name.starts_with(start));
    let wrong: Vec<String> = packages()
        .into_iter()
        .filter(|package| !excepted(&package.name) && !is_allowed(&package.license))
        .map(|package| format!("{} {}: {:?}", package.name, package.version, package.license))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_second_stack_for_what_is_there_once() {
    let names: BTreeSet<String> = packages().into_iter().map(|package| package.name).collect();
    for (unwanted, instead) in
        [("openssl-sys", "rustls"), ("native-tls", "rustls"), ("reqwest", "http-client")]
    {
        assert!(!names.contains(unwanted), "{unwanted}: {instead} is there for that");
    }
}

#[test]
fn duplicates_become_no_more() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        versions.entry(package.name).or_default().insert(package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let count = versions.len();
    assert!(
        count <= MOST_DUPLICATES,
        "{count} crates are there in several versions: {versions:#?}"
    );
}
