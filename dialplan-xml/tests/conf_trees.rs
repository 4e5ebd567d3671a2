//! Whole configuration trees load, and those the reference refuses say what is wrong with them.

mod common;

use common::{Dir, shared};
use dialplan_xml::config::{
    EventSocketConf, ModulesConf, SofiaConf, SwitchConf, TimezonesConf, posix_zone,
};
use dialplan_xml::dialplan::Dialplan;
use dialplan_xml::directory::Directory;
use dialplan_xml::{Diagnostic, Globals, LoadOptions, Loaded, Severity};
use std::path::Path;

fn load(path: &Path) -> Loaded {
    let core = [
        ("conf_dir", "/conf"),
        ("sounds_dir", "/sounds"),
        ("local_ip_v4", "192.0.2.10"),
        ("hostname", "pbx"),
        ("recordings_dir", "/recordings"),
        ("base_dir", "/base"),
    ];
    dialplan_xml::load(path, core.into_iter().collect::<Globals>(), &LoadOptions::default())
}

fn errors(diagnostics: &[Diagnostic]) -> Vec<&str> {
    diagnostics.iter().filter(|d| d.severity == Severity::Error).map(|d| d.code).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn vanilla_loads_whole() {
    let Some(path) = shared("conf-trees/vanilla") else { return };
    let loaded = load(&path);
    assert_eq!(loaded.status, "Success");
    assert_eq!(errors(&loaded.diagnostics), ["stun-failed", "stun-failed"]);
    assert_eq!(loaded.globals.get("default_password"), Some("1234"));
    assert_eq!(loaded.globals.get("domain"), Some("192.0.2.10"));
    let tree = loaded.tree.unwrap();
    let (dialplan, diagnostics) = Dialplan::compile(&tree);
    assert_eq!(errors(&diagnostics), [""; 0]);
    assert_eq!(dialplan.contexts().collect::<Vec<_>>()[..3], ["default", "features", "public"]);
    let directory = Directory::compile(&tree);
    let user = directory.find_user("1000", "192.0.2.10").unwrap();
    assert_eq!(user.params.get("password"), Some("1234"));
    assert_eq!(user.variables.get("user_context"), Some("default"));
    assert_eq!(user.group.as_deref(), Some("default"));
    assert_eq!(directory.group_members("sales", "192.0.2.10").len(), 5);
    let sofia = SofiaConf::read(tree.configuration("sofia.conf"));
    let names: Vec<_> = sofia.profiles.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["external-ipv6", "external", "internal-ipv6", "internal"]);
    let modules = ModulesConf::read(tree.configuration("modules.conf"));
    assert!(modules.modules.iter().any(|m| m.module == "mod_sofia"));
    assert_eq!(SwitchConf::read(tree.configuration("switch.conf")).loglevel, Some(7));
    assert_eq!(EventSocketConf::read(tree.configuration("event_socket.conf")).listen_ip, "::");
}

#[test]
fn every_stock_time_zone_is_understood() {
    let Some(path) = shared("conf-trees/vanilla") else { return };
    let tree = load(&path).tree.unwrap();
    let zones = TimezonesConf::read(tree.configuration("timezones.conf"));
    assert!(zones.zones().len() > 500);
    for zone in zones.zones() {
        assert!(posix_zone(&zone.value).is_some(), "{} {}", zone.name, zone.value);
    }
}

#[test]
fn minimal_loads_whole() {
    let Some(path) = shared("conf-trees/minimal") else { return };
    let loaded = load(&path);
    assert_eq!((errors(&loaded.diagnostics), &*loaded.status), (vec![], "Success"));
}

#[test]
fn trees_without_a_root_load_and_say_so() {
    for name in ["insideout", "curl"] {
        let Some(path) = shared(&format!("conf-trees/{name}")) else { return };
        let loaded = load(&path);
        let found = loaded.diagnostics.iter().find(|d| d.code == "xml-rootless").unwrap();
        assert_eq!(found.severity, Severity::Warning);
        let place = found.place.as_ref().unwrap();
        assert!(place.file.ends_with("freeswitch.xml") && place.line == 20, "{place}");
        let tree = loaded.tree.unwrap();
        assert_eq!(tree.root().name(), "document");
        assert!(tree.configuration("switch.conf").is_some());
        assert!(tree.section("phrases").is_some());
    }
}

/// The reference counts lines of the merged document, and says 2274 and 1589 for the place where the
/// second section of these trees begins. A stray closing tag put there is reported at that line.
#[test]
fn lines_of_the_merged_document_are_counted_as_the_reference_counts_them() {
    for (name, line) in [("insideout", 2274), ("curl", 1589)] {
        let Some(path) = shared(&format!("conf-trees/{name}")) else { return };
        let dir = Dir::new(&format!("lines-{name}"));
        copy(&path, dir.path());
        let root = std::fs::read_to_string(path.join("freeswitch.xml")).unwrap();
        let second = root.match_indices("<section name=").nth(1).unwrap().0;
        let (before, after) = root.split_at(second);
        dir.write("freeswitch.xml", format!("{before}</stray>\n{after}"));
        let status = load(dir.path()).status;
        assert_eq!(status, format!("[error near line {line}]: unexpected closing tag </stray>"));
    }
}

#[test]
fn a_trunk_overlay_on_vanilla_loads() {
    let (Some(base), Some(overlay)) =
        (shared("conf-trees/vanilla"), shared("conf-trees/irisx-twilio"))
    else {
        return;
    };
    let dir = Dir::new("twilio");
    copy(&base, dir.path());
    copy(&overlay, dir.path());
    let loaded = load(dir.path());
    assert_eq!(errors(&loaded.diagnostics), ["stun-failed", "stun-failed"]);
    let tree = loaded.tree.unwrap();
    let (dialplan, diagnostics) = Dialplan::compile(&tree);
    assert_eq!(errors(&diagnostics), [""; 0]);
    assert!(dialplan.extensions("public").any(|(name, _)| name.contains("twilio")));
}

/// The files a Kubernetes ConfigMap holds: keys end in `.xml: |`, contents are indented by four.
fn config_map(text: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("  ").and_then(|l| l.strip_suffix(".xml: |")) {
            Some(name) if !name.starts_with(' ') => {
                files.push((format!("{name}.xml"), String::new()));
            }
            _ => {
                if let Some((_, body)) = files.last_mut() {
                    body.push_str(line.strip_prefix("    ").unwrap_or(line));
                    body.push('\n');
                }
            }
        }
    }
    files
}

#[test]
fn single_files_mounted_over_vanilla_load() {
    let (Some(base), Some(map)) = (
        shared("conf-trees/vanilla"),
        shared("conf-trees/ai-receptionist/k8s-manifests/freeswitch/configmap.yaml"),
    ) else {
        return;
    };
    let dir = Dir::new("config-map");
    copy(&base, dir.path());
    let files = config_map(&std::fs::read_to_string(map).unwrap());
    assert!(files.len() >= 6, "{files:?}");
    for (name, text) in files {
        let folder = if name == "ai_receptionist.xml" { "dialplan" } else { "autoload_configs" };
        dir.write(&format!("{folder}/{name}"), text);
    }
    let loaded = load(dir.path());
    assert_eq!(loaded.status, "Success", "{:?}", errors(&loaded.diagnostics));
    let tree = loaded.tree.unwrap();
    let (dialplan, _) = Dialplan::compile(&tree);
    assert!(dialplan.contexts().any(|c| c == "ai_receptionist"));
    let sofia = SofiaConf::read(tree.configuration("sofia.conf"));
    assert_eq!(sofia.profiles[0].name, "ai_receptionist");
}

#[test]
fn the_golden_and_bench_trees_load() {
    for name in ["golden/conf", "bench/conf"] {
        let Some(path) = shared(name) else { return };
        let loaded = load(&path);
        assert_eq!((errors(&loaded.diagnostics), &*loaded.status), (vec![], "Success"));
    }
}
