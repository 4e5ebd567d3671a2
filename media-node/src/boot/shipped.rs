//! The shipped configuration, held to what it promises: it loads without a complaint, nobody gets in
//! without this installation's password, and strangers cannot reach a trunk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dialplan_xml::{Globals, LoadOptions, Loaded, Node, Severity, Tree, load};

fn conf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf")
}

fn globals() -> Globals {
    let mut globals = Globals::new();
    for (name, value) in [
        ("local_ip_v4", "127.0.0.1"),
        ("generated_password", "kw4m8q2xv7hp3ntz"),
        ("sounds_dir", "/sounds"),
        ("recordings_dir", "/recordings"),
    ] {
        globals.set(name, value);
    }
    globals
}

fn loaded_with(env: &'static [(&'static str, &'static str)]) -> Loaded {
    let env = move |name: &str| {
        env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    load(&conf(), globals(), &LoadOptions { env: Some(Arc::new(env)), ..LoadOptions::default() })
}

fn tree() -> Tree {
    loaded_with(&[]).tree.expect("a document")
}

fn descendants<'t>(node: Node<'t>, found: &mut Vec<Node<'t>>) {
    for child in node.children() {
        found.push(child);
        descendants(child, found);
    }
}

fn under<'t>(node: Node<'t>, tag: &str) -> Vec<Node<'t>> {
    let mut all = Vec::new();
    descendants(node, &mut all);
    all.retain(|node| node.name() == tag);
    all
}

fn context<'t>(tree: &'t Tree, name: &str) -> Node<'t> {
    let section = tree.section("dialplan").expect("dialplan");
    under(section, "context")
        .into_iter()
        .find(|node| node.attr("name") == Some(name))
        .unwrap_or_else(|| panic!("context {name}"))
}

#[test]
fn loads_without_a_complaint() {
    let loaded = loaded_with(&[]);
    assert_eq!(loaded.status, "Success");
    let complaints: Vec<String> = loaded
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity != Severity::Info)
        .map(|diagnostic| diagnostic.render(&loaded.sources))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_name_it_uses_has_a_value() {
    let tree = tree();
    let empty: Vec<String> = under(tree.root(), "param")
        .into_iter()
        .filter(|param| param.attr_or_empty("value").is_empty())
        .map(|param| format!("{} at {}", param.attr_or_empty("name"), param.place()))
        .collect();
    assert!(empty.is_empty(), "{empty:?}");
}

#[test]
fn twenty_phones_have_the_password_of_this_installation() {
    let tree = tree();
    let directory = tree.section("directory").expect("directory");
    let users = under(directory, "user");
    let phones = users.iter().filter(|user| user.attr("type").is_none()).count();
    assert_eq!(phones, 20);
    let passwords: Vec<&str> = under(directory, "param")
        .into_iter()
        .filter(|param| param.attr("name") == Some("password"))
        .map(|param| param.attr_or_empty("value"))
        .collect();
    assert_eq!(passwords, ["kw4m8q2xv7hp3ntz"]);
}

#[test]
fn the_event_socket_is_for_this_machine_only() {
    let tree = tree();
    let conf = tree.configuration("event_socket.conf").expect("event_socket.conf");
    let value = |name: &str| {
        under(conf, "param")
            .into_iter()
            .find(|param| param.attr("name") == Some(name))
            .map(|param| param.attr_or_empty("value").to_owned())
    };
    assert_eq!(value("listen-ip").as_deref(), Some("127.0.0.1"));
    assert_eq!(value("listen-port").as_deref(), Some("8021"));
    assert_eq!(value("password").as_deref(), Some("ClueCon"));
    assert_eq!(value("apply-inbound-acl").as_deref(), Some("loopback.auto"));
}

#[test]
fn strangers_can_reach_nothing_but_a_refusal() {
    let tree = tree();
    let actions: Vec<&str> = under(context(&tree, "public"), "action")
        .into_iter()
        .map(|action| action.attr_or_empty("application"))
        .collect();
    assert_eq!(actions, ["log", "respond"]);
}

#[test]
fn nothing_leads_to_a_trunk_until_one_is_set_up() {
    let tree = tree();
    assert!(under(tree.root(), "gateway").is_empty());
    for action in under(tree.root(), "action") {
        let data = action.attr_or_empty("data");
        assert!(!data.contains("sofia/"), "{data} at {}", action.place());
    }
}

#[test]
fn every_extension_named_in_a_transfer_exists() {
    let tree = tree();
    let mut checked = 0;
    for action in under(tree.root(), "action") {
        let application = action.attr_or_empty("application");
        let words: Vec<&str> = action.attr_or_empty("data").split_whitespace().collect();
        let [.., extension, "XML", target] = words.as_slice() else { continue };
        assert!(["transfer", "execute_extension"].contains(&application), "{}", action.place());
        if extension.contains('$') {
            continue;
        }
        checked += 1;
        let served = under(context(&tree, target), "condition").into_iter().any(|condition| {
            condition.attr_or_empty("expression").trim_matches(['^', '$']) == *extension
        });
        assert!(served, "{extension} of {target}, at {}", action.place());
    }
    assert!(checked >= 4, "{checked}");
}

#[test]
fn containers_change_it_by_their_environment() {
    let loaded = loaded_with(&[
        ("FERROSWITCH_BIND_IP", "127.0.0.9"),
        ("FERROSWITCH_DEFAULT_PASSWORD", "from the environment"),
        ("FERROSWITCH_EVENT_SOCKET_PASSWORD", "other"),
    ]);
    for (name, value) in [
        ("bind_ip", "127.0.0.9"),
        ("external_sip_ip", "127.0.0.9"),
        ("domain", "127.0.0.9"),
        ("default_password", "from the environment"),
        ("event_socket_password", "other"),
        ("event_socket_ip", "127.0.0.1"),
    ] {
        assert_eq!(loaded.globals.get(name), Some(value), "{name}");
    }
}
