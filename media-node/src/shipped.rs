//! The shipped configuration, held to what it promises: it loads without a diagnostic, strangers do not get in
//! without this installation's password, and strangers cannot reach a trunk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dialplan_xml::acl::{AclSet, LocalNet};
use dialplan_xml::check::{CheckOptions, check};
use dialplan_xml::config::{AclConf, SofiaConf, SwitchConf};
use dialplan_xml::dialplan::{Dialplan, RouteRequest, Trace};
use dialplan_xml::directory::Directory;
use dialplan_xml::simulate::Setting;
use dialplan_xml::{
    Globals, Host, Later, LoadOptions, Loaded, Node, Paint, Severity, Tree, fixtures, load,
};
use jiff::Timestamp;

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
fn a_check_finds_nothing_but_the_password_everybody_knows() {
    let catalogue = crate::declarations::catalogue(&crate::linked::linked());
    let options = CheckOptions {
        catalogue: &catalogue,
        file_exists: &|_| true,
        own_address: &|_| true,
        no_mp3: None,
    };
    let checked = check(loaded_with(&[]), &options);
    let found = checked.diagnostics.iter().filter(|d| d.severity > Severity::Info);
    let codes: Vec<_> = found.map(|d| d.code).collect();
    assert_eq!(codes, ["password-default"], "{}", checked.to_text(false));
}

#[test]
fn calls_go_where_its_own_fixtures_say_and_every_extension_is_tried() {
    let file = conf().join("dialplan/calls.test");
    let text = std::fs::read_to_string(&file).expect("fixtures");
    let loaded = loaded_with(&[]);
    let tree = loaded.tree.expect("a document");
    let setting = Setting::read(&tree, loaded.globals, &LocalNet::default());
    let outcome = fixtures::run(&setting, &text, "calls.test");
    assert_eq!(outcome.exit_status(), 0, "{}", outcome.to_text(Paint::Off));
    assert_eq!(outcome.coverage.percent(), 100, "{}", outcome.coverage.to_text());
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
fn pages_and_the_phones_in_them_are_for_this_machine_only_and_the_api_has_no_key() {
    let tree = tree();
    let conf = tree.configuration("http_api.conf").expect("http_api.conf");
    let params = under(conf, "param");
    let value = |name: &str| {
        let of = params.iter().find(|param| param.attr("name") == Some(name));
        of.map(|param| param.attr_or_empty("value"))
    };
    assert_eq!(value("listen-ip"), Some("127.0.0.1"));
    assert_eq!(value("portal-websocket"), Some("ws://127.0.0.1:5066"));
    assert_eq!(value("portal-domain"), Some("127.0.0.1"));
    assert!(value("jwt-secret").is_none() && under(conf, "api-key").is_empty());
    let sofia = SofiaConf::read(tree.configuration("sofia.conf"));
    let bound: Vec<_> = sofia
        .profiles
        .iter()
        .filter_map(|profile| profile.settings.as_ref()?.get("ws-binding"))
        .collect();
    assert_eq!(bound, ["127.0.0.1:5066"]);
}

#[test]
fn the_customers_page_calls_numbers_that_are_there() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../portal/src/customer.js");
    let page = std::fs::read_to_string(page).expect("the page");
    let line = page.lines().find(|line| line.starts_with("const NUMBERS")).expect("its numbers");
    let numbers: Vec<&str> = line
        .split('"')
        .filter(|word| word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit()))
        .collect();
    assert_eq!(numbers.len(), 2, "{line}");
    for number in numbers {
        assert_ne!(routed("default", number).0, "unknown_number", "{number}");
    }
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

/// A caller who dialled something.
struct Caller<'n>(&'n str);

impl Host for Caller<'_> {
    fn variable(&mut self, _: &str) -> Option<String> {
        None
    }
    fn set_variable(&mut self, _: &str, _: Option<&str>) {}
    fn field(&mut self, name: &str) -> Option<String> {
        (name == "destination_number").then(|| self.0.to_owned())
    }
    fn global(&self, _: &str) -> Option<String> {
        None
    }
    fn api<'a>(&'a mut self, _: &'a str, _: &'a str) -> Later<'a, Option<String>> {
        Later::Now(None)
    }
    fn run_inline<'a>(&'a mut self, _: &'a str, _: &'a str) -> Later<'a, ()> {
        Later::Now(())
    }
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// The extension that takes a number, and its applications with their arguments.
fn routed(context: &str, number: &str) -> (String, Vec<(String, String)>) {
    let (dialplan, complaints) = Dialplan::compile(&tree());
    assert!(complaints.is_empty(), "{complaints:?}");
    let request = RouteRequest {
        context: context.to_owned(),
        destination_number: number.to_owned(),
        caller_id_name: String::new(),
        caller_id_number: String::new(),
        auto_hunt: false,
    };
    let routed = dialplan.route(&request, &mut Caller(number), Trace::Off);
    let extension = routed.extension.unwrap_or_else(|| panic!("{number} is not routed"));
    let actions = routed.actions.iter();
    let actions = actions.map(|act| (act.application.to_string(), act.data.to_string())).collect();
    (extension.to_string(), actions)
}

#[test]
fn every_number_of_the_overview_leads_where_it_says() {
    for (number, extension, application, data) in [
        ("1000", "Local_Extension", "bridge", "user/${dialed_extension}@${domain_name}"),
        ("1019", "Local_Extension", "set", "dialed_extension=1019"),
        ("2000", "group_dial_sales", "bridge", "group/sales@${domain_name}"),
        ("2001", "group_dial_support", "bridge", "group/support@${domain_name}"),
        ("6000", "talk_to_us", "bridge", "group/support@${domain_name}"),
        ("9999", "menu", "transfer", "5000 XML default"),
        ("5000", "demo_ivr", "execute_extension", "menu_${menu_choice} XML features"),
        ("9190", "record_and_listen", "record", "/recordings/${uuid}.wav 10 200 3"),
        ("9192", "show_info", "info", ""),
        ("9195", "delay_echo", "delay_echo", "5000"),
        ("9196", "echo", "echo", ""),
        ("9197", "milliwatt", "playback", "tone_stream://%(10000,0,1004);loops=-1"),
        ("1020", "unknown_number", "respond", "404"),
        ("900123456789", "unknown_number", "respond", "404"),
    ] {
        let (found, actions) = routed("default", number);
        assert_eq!(found, extension, "{number}");
        let wanted = (application.to_owned(), data.to_owned());
        assert!(actions.contains(&wanted), "{number}: {actions:?}");
    }
    let (_, music) = routed("default", "9664");
    assert!(music.iter().any(|(_, data)| data.starts_with("tone_stream://")), "{music:?}");
    for number in ["1000", "9196", "00442071234567", "sip", ""] {
        assert_eq!(routed("public", number).0, "unknown_number", "{number}");
    }
    assert_eq!(routed("features", "menu_1001").1[0].1, "1001 XML default");
}

#[test]
fn a_phone_is_a_whole_user() {
    let directory = Directory::compile(&tree());
    let user = directory.find_user("1007", "127.0.0.1").expect("user 1007");
    assert_eq!(user.params.get("password"), Some("kw4m8q2xv7hp3ntz"));
    assert_eq!(user.params.get("allow-empty-password"), Some("false"));
    assert_eq!(user.variables.get("user_context"), Some("default"));
    assert_eq!(user.variables.get("effective_caller_id_number"), Some("1007"));
    assert!(user.dial_string().is_some_and(|dial| dial.contains("sofia_contact")));
    assert!(directory.find_user("1020", "127.0.0.1").is_none());
    for (group, first) in [("sales", "1000"), ("support", "1004")] {
        let domain = directory.find_domain("127.0.0.1").expect("domain");
        let group = domain.groups.iter().find(|g| &*g.name == group).expect("group");
        assert_eq!(group.members.len(), 4);
        assert_eq!(&*group.members[0].id, first);
    }
}

#[test]
fn both_profiles_are_whole_and_on_different_ports() {
    let tree = tree();
    let sofia = SofiaConf::read(tree.configuration("sofia.conf"));
    let names: Vec<&str> = sofia.profiles.iter().map(|profile| &*profile.name).collect();
    assert_eq!(names, ["external", "internal"]);
    let setting = |index: usize, name: &str| {
        let settings = sofia.profiles[index].settings.as_ref().expect("settings");
        settings.get(name).unwrap_or_else(|| panic!("{name}")).to_owned()
    };
    assert_eq!((setting(0, "sip-port"), setting(1, "sip-port")), ("5080".into(), "5060".into()));
    assert_eq!(
        (setting(0, "auth-calls"), setting(1, "auth-calls")),
        ("false".into(), "true".into())
    );
    assert_eq!(setting(0, "apply-inbound-acl"), "trunks", "what is not proved is not let in");
    for index in 0..2 {
        assert_eq!(setting(index, "context"), "public");
        assert_eq!(setting(index, "sip-ip"), "127.0.0.1");
    }
}

#[test]
fn only_this_machine_counts_as_a_trunk() {
    let tree = tree();
    let local = LocalNet {
        v4: "192.0.2.5".parse().expect("address"),
        mask: "255.255.255.0".parse().expect("mask"),
        v6: None,
    };
    let directory = Directory::compile(&tree);
    let conf = AclConf::read(tree.configuration("acl.conf"));
    let (acl, complaints) = AclSet::build(&conf, &directory, &local);
    assert!(complaints.is_empty(), "{complaints:?}");
    let allowed = |list: &str, ip: &str| acl.check(list, ip.parse().expect("address"));
    assert!(allowed("trunks", "127.0.0.1") && allowed("event_clients", "::1"));
    assert!(!allowed("trunks", "192.0.2.5") && !allowed("trunks", "54.172.60.1"));
}

#[test]
fn limits_are_those_documented() {
    let tree = tree();
    let switch = SwitchConf::read(tree.configuration("switch.conf"));
    assert_eq!((switch.rtp_start_port, switch.rtp_end_port), (16384, 32768));
    assert_eq!(switch.max_sessions, 1000);
}
