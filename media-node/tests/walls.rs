//! The walls between the crates: which may know which, how large the core may be, and that no module knows another.
//!
//! The compiler holds a wall once it is a crate's; this test holds the table of crates, so that a dependency added in a
//! hurry is noticed as what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate of the workspace may depend on, beside others' crates. What is not named here is not allowed; a
/// module may use everything in [`BELOW_MODULES`] and is not listed.
const ALLOWED: &[(&str, &[&str])] = &[
    ("ferroswitch-base", &[]),
    ("dialplan-xml", &["ferroswitch-base"]),
    ("esl-server", &["ferroswitch-base"]),
    ("ferroswitch-lame", &["ferroswitch-base"]),
    ("ferroswitch-media", &["ferroswitch-base", "ferroswitch-lame"]),
    ("ferroswitch-webrtc", &["ferroswitch-base", "ferroswitch-media"]),
    ("ferroswitch-voice", &["ferroswitch-base", "ferroswitch-media"]),
    ("ferroswitch-sdp", &[]),
    ("ferroswitch-fax", &["ferroswitch-base", "ferroswitch-sdp"]),
    ("ferroswitch-negotiation", &["ferroswitch-base", "ferroswitch-media", "ferroswitch-sdp"]),
    ("ferroswitch-streams", &["ferroswitch-base"]),
    ("ferroswitch-sip", &["ferroswitch-base", "ferroswitch-streams"]),
    ("ferroswitch-model", &["ferroswitch-base", "dialplan-xml", "esl-server"]),
    ("ferroswitch-records", &["ferroswitch-base", "esl-server"]),
    ("ferroswitch-event-channels", &[]),
    ("ferroswitch-messages", &["esl-server"]),
    ("ferroswitch-http", &["ferroswitch-base", "ferroswitch-sip", "ferroswitch-streams"]),
    ("ferroswitch-http-server", &[]),
    ("ferroswitch-database", &[]),
    ("ferroswitch-menus", &["ferroswitch-database"]),
    ("ferroswitch-provisioning", &["ferroswitch-database", "dialplan-xml"]),
    ("ferroswitch-log", &["ferroswitch-base", "dialplan-xml", "esl-server"]),
    ("ferroswitch-boot", &["ferroswitch-base", "ferroswitch-log", "dialplan-xml", "esl-server"]),
    (
        "ferroswitch-core",
        &[
            "ferroswitch-base",
            "ferroswitch-log",
            "dialplan-xml",
            "esl-server",
            "ferroswitch-media",
            "ferroswitch-model",
            "ferroswitch-negotiation",
            "ferroswitch-sdp",
        ],
    ),
    (
        "ferroswitch-leg-media",
        &[
            "ferroswitch-base",
            "dialplan-xml",
            "esl-server",
            "ferroswitch-core",
            "ferroswitch-media",
            "ferroswitch-negotiation",
            "ferroswitch-sdp",
            "ferroswitch-streams",
            "ferroswitch-webrtc",
        ],
    ),
    (
        "ferroswitch-scripting",
        &[
            "ferroswitch-base",
            "dialplan-xml",
            "esl-server",
            "ferroswitch-core",
            "ferroswitch-database",
            "ferroswitch-media",
        ],
    ),
    (
        "ferroswitch-testkit",
        &[
            "ferroswitch-base",
            "dialplan-xml",
            "esl-server",
            "ferroswitch-core",
            "ferroswitch-media",
            "ferroswitch-model",
        ],
    ),
];

/// What modules may depend on: everything but the binary and each other.
const BELOW_MODULES: &[&str] = &[
    "ferroswitch-base",
    "ferroswitch-log",
    "ferroswitch-core",
    "dialplan-xml",
    "esl-server",
    "ferroswitch-media",
    "ferroswitch-negotiation",
    "ferroswitch-sdp",
    "ferroswitch-webrtc",
    "ferroswitch-records",
    "ferroswitch-event-channels",
    "ferroswitch-fax",
    "ferroswitch-messages",
    "ferroswitch-http",
    "ferroswitch-http-server",
    "ferroswitch-leg-media",
    "ferroswitch-database",
    "ferroswitch-menus",
    "ferroswitch-provisioning",
    "ferroswitch-scripting",
    "ferroswitch-streams",
    "ferroswitch-voice",
];

/// SIP is mod_sofia's alone; the HTTP client has its digest.
const SIP_USERS: &[&str] = &["ferroswitch-mod-sofia"];

/// A core with more lines than this, tests aside, is where everything ends up that has no place.
const CORE_LINES: usize = 12_000;

const BINARY: &str = "media-node";

struct Package {
    name: String,
    folder: PathBuf,
    /// Crates of the workspace that it depends on.
    uses: BTreeSet<String>,
    /// Every crate it depends on without a feature having to ask for it, on every target.
    always: BTreeSet<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The crates of the workspace, and which of their kind each depends on (build and test dependencies aside).
fn packages() -> Vec<Package> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let all = metadata["packages"].as_array().expect("packages");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let names: BTreeSet<String> = all.iter().map(|package| text(&package["name"])).collect();
    all.iter()
        .map(|package| {
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            let uses = package["dependencies"].as_array().expect("dependencies").iter();
            let always = uses.clone().filter(|dependency| {
                dependency["kind"].is_null()
                    && dependency["optional"] == false
                    && dependency["target"].is_null()
            });
            Package {
                name: text(&package["name"]),
                folder: manifest.parent().expect("a folder").to_owned(),
                always: always.map(|dependency| text(&dependency["name"])).collect(),
                uses: uses
                    .filter(|dependency| dependency["kind"].is_null())
                    .map(|dependency| text(&dependency["name"]))
                    .filter(|name| names.contains(name))
                    .collect(),
            }
        })
        .collect()
}

fn is_module(package: &Package) -> bool {
    package.folder.parent().is_some_and(|parent| parent.ends_with("media-node/modules"))
}

/// Rust files under a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_crate_uses_one_above_or_beside_it() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let packages = packages();
    let mut wrong = Vec::new();
    for package in packages.iter().filter(|package| package.name != BINARY) {
        let may = match allowed.get(package.name.as_str()) {
            Some(may) => may.to_vec(),
            None if is_module(package) => BELOW_MODULES.to_vec(),
            None => panic!("{} has no place in the table of crates", package.name),
        };
        for used in &package.uses {
            let sip = used == "ferroswitch-sip" && SIP_USERS.contains(&package.name.as_str());
            if !may.contains(&used.as_str()) && !sip {
                wrong.push(format!("{} -> {used}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_crate_of_the_table_is_there() {
    let names: BTreeSet<String> = packages().into_iter().map(|package| package.name).collect();
    for (name, _) in ALLOWED {
        assert!(names.contains(*name), "{name} is in the table and not in the workspace");
    }
}

#[test]
fn every_module_is_linked_into_the_binary() {
    let packages = packages();
    let binary = packages.iter().find(|package| package.name == BINARY).expect("the binary");
    for module in packages.iter().filter(|package| is_module(package)) {
        assert!(binary.uses.contains(&module.name), "{} is linked nowhere", module.name);
    }
}

#[test]
fn the_core_stays_small() {
    let core = packages().into_iter().find(|package| package.name == "ferroswitch-core");
    let files = sources(&core.expect("the core").folder.join("src"));
    assert!(files.len() > 40, "the core's sources are elsewhere");
    let lines: usize = files
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file).expect("a source");
            text.lines().take_while(|line| *line != "#[cfg(test)]").count()
        })
        .sum();
    assert!(lines <= CORE_LINES, "{lines} lines: some of them are a module's");
}

/// The fuzz targets are a workspace of their own, so `cargo build` does not bring their lock file along; CI, which
/// builds with `--locked`, would be the first to say so.
#[test]
fn the_lock_file_of_the_fuzz_targets_knows_every_dependency() {
    let lock = fs::read_to_string(root().join("fuzz/Cargo.lock")).expect("fuzz/Cargo.lock");
    let packages: BTreeMap<String, Package> =
        packages().into_iter().map(|package| (package.name.clone(), package)).collect();
    let mut seen = 0;
    let mut missing = Vec::new();
    for entry in lock.split("[[package]]").skip(1) {
        let quoted: Vec<&str> = entry.split('"').skip(1).step_by(2).collect();
        let Some(package) = quoted.first().and_then(|name| packages.get(*name)) else { continue };
        seen += 1;
        // "name", or "name version" where two versions are locked.
        let locked: BTreeSet<&str> =
            quoted.iter().map(|text| text.split(' ').next().unwrap_or(text)).collect();
        missing.extend(
            package
                .always
                .iter()
                .filter(|name| !locked.contains(name.as_str()))
                .map(|name| format!("{} -> {name}", package.name)),
        );
    }
    assert!(seen > 5, "{seen} crates of the workspace are in the lock file: it is read wrongly");
    assert!(missing.is_empty(), "run `cargo update --workspace` in fuzz/ for {missing:#?}");
}
