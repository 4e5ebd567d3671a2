//! Directory, access-list and `xml_locate` answers recorded on the reference.

mod common;

use common::shared;
use dialplan_xml::acl::{AclSet, LocalNet};
use dialplan_xml::config::AclConf;
use dialplan_xml::directory::Directory;
use dialplan_xml::{Globals, LoadOptions, Tree};

/// Replies of a recorded session, by command.
fn replies(scenario: &str) -> Vec<(String, String)> {
    let path = shared(&format!("golden/golden/{scenario}.jsonl")).unwrap();
    let mut out = Vec::new();
    let mut asked = None;
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let raw = entry["raw"].as_str().unwrap_or_default();
        match entry["kind"].as_str() {
            Some("sent") => asked = raw.strip_prefix("api ").map(|c| c.trim_end().to_owned()),
            Some("msg") if raw.starts_with("Content-Type: api/response") => {
                let (_, body) = raw.split_once("\n\n").unwrap();
                out.push((asked.take().unwrap(), body.to_owned()));
            }
            _ => {}
        }
    }
    assert!(!out.is_empty());
    out
}

fn golden() -> Option<Tree> {
    let conf = shared("golden/conf")?;
    dialplan_xml::load(&conf, Globals::new(), &LoadOptions::default()).tree
}

fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

#[test]
fn directory_commands_answer_as_recorded() {
    let Some(tree) = golden() else { return };
    let directory = Directory::compile(&tree);
    let mut checked = 0;
    for (command, reply) in replies("api_directory") {
        let said = match words(&command)[..] {
            ["user_exists", key, user, domain] => {
                directory.find_user_by(key, user, domain, None).is_some().to_string()
            }
            ["user_data", at, kind, name] => {
                let (user, domain) = at.split_once('@').unwrap();
                let user = directory.find_user(user, domain);
                let value = user.as_ref().and_then(|u| u.lookup(kind, name));
                value.unwrap_or("-ERR no reply\n").to_owned()
            }
            ["domain_exists", domain] => directory.find_domain(domain).is_some().to_string(),
            ["domain_data", domain, "var", name] => {
                directory.find_domain(domain).unwrap().variables.get(name).unwrap().to_owned()
            }
            ["find_user_xml", key, user, domain] => directory
                .user_xml(key, user, domain)
                .map_or_else(|| "-ERR can't find user\n".to_owned(), |e| e.to_xml()),
            ["xml_locate", section, tag, key, value] => tree
                .locate(section, tag, key, value)
                .map_or_else(|| "can't find anything\n".to_owned(), |n| n.to_xml()),
            _ => continue,
        };
        assert_eq!(said, reply, "{command}");
        checked += 1;
    }
    assert!(checked >= 17, "only {checked} commands were compared");
}

#[test]
fn group_members_come_in_document_order() {
    let Some(tree) = golden() else { return };
    let directory = Directory::compile(&tree);
    let ids = |group| {
        let members = directory.group_members(group, "golden.test");
        members.iter().map(|u| u.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids("desk"), ["anna", "bram"]);
    assert_eq!(ids("floor"), ["cleo"]);
    assert_eq!(ids("nogroup"), [""; 0]);
}

#[test]
fn access_lists_answer_as_recorded() {
    let Some(tree) = golden() else { return };
    let conf = AclConf::read(tree.configuration("acl.conf"));
    let (set, diagnostics) = AclSet::build(&conf, &Directory::compile(&tree), &LocalNet::default());
    assert_eq!(diagnostics, []);
    let mut checked = 0;
    for (command, reply) in replies("api_access") {
        if let ["acl", ip, list] = words(&command)[..] {
            let said = ip.parse().is_ok_and(|ip| set.check(list, ip)).to_string();
            assert_eq!(said, reply, "{command}");
            checked += 1;
        }
    }
    assert!(checked >= 14, "only {checked} commands were compared");
    assert_eq!(
        set.check_token("registered", [192, 0, 2, 9].into()).as_deref(),
        Some("bram@golden.test")
    );
}
