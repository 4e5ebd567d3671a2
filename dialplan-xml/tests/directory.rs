//! Directory lookups beyond what was recorded.

mod common;

use common::document;
use dialplan_xml::directory::Directory;

fn directory(inside: &str) -> Directory {
    let text = format!("<document>\n<section name=\"directory\">{inside}</section>\n</document>");
    Directory::compile(&document(&text).tree.unwrap())
}

fn group(name: &str, users: &str) -> String {
    format!("<group name=\"{name}\"><users>{users}</users></group>")
}

fn groups(list: &[String], rest: &str) -> Directory {
    directory(&format!("<domain name=\"D.test\"><groups>{}</groups>{rest}</domain>", list.concat()))
}

fn note(directory: &Directory, name: &str) -> Option<String> {
    let user = directory.find_user(name, "d.TEST")?;
    user.lookup("attr", "note").map(str::to_owned)
}

#[test]
fn users_are_searched_in_groups_then_in_the_domain() {
    let d = groups(
        &[
            group("a", "<user id=\"1\" note=\"a1\"/>"),
            group("b", "<user id=\"1\" note=\"b1\"/><user id=\"2\" note=\"b2\"/>"),
        ],
        "<users><user id=\"3\" note=\"d3\"/></users><user id=\"4\" note=\"lost\"/>",
    );
    assert_eq!(note(&d, "1").as_deref(), Some("a1"));
    assert_eq!(note(&d, "2").as_deref(), Some("b2"));
    assert_eq!(note(&d, "3").as_deref(), Some("d3"));
    assert_eq!(note(&d, "4"), None, "users directly in the domain count only without <users>");
    let bare = directory(
        "<domain name=\"d.test\"><user id=\"Bob\" number-alias=\"301\" note=\"b\"/></domain>",
    );
    assert_eq!(note(&bare, "BOB").as_deref(), Some("b"));
    assert_eq!(note(&bare, "301").as_deref(), Some("b"));
}

#[test]
fn a_pointer_in_an_earlier_group_hides_the_user() {
    let pointer = group("a", "<user id=\"1\" type=\"pointer\" note=\"pointer\"/>");
    let real = group("b", "<user id=\"1\" note=\"real\"/>");
    assert_eq!(
        note(&groups(&[pointer.clone(), real.clone()], ""), "1").as_deref(),
        Some("pointer")
    );
    let usual = groups(&[real, pointer], "");
    assert_eq!(note(&usual, "1").as_deref(), Some("real"));
    let members = usual.group_members("A", "d.test");
    assert_eq!(members[0].lookup("attr", "note"), Some("real"));
}

#[test]
fn a_user_of_another_type_answers_to_every_name() {
    let d = groups(
        &[group(
            "a",
            "<user id=\"1\" note=\"one\"/><user id=\"x\" type=\"foo\" note=\"any\"/><user id=\"2\" note=\"two\"/>",
        )],
        "",
    );
    assert_eq!(note(&d, "1").as_deref(), Some("one"));
    assert_eq!(note(&d, "2").as_deref(), Some("any"));
    assert_eq!(note(&d, "whoever").as_deref(), Some("any"));
}

#[test]
fn other_keys_and_addresses() {
    let d = groups(
        &[group(
            "a",
            "<user id=\"1\" ip=\"192.0.2.1\" mac=\"aa\" number-alias=\"9\" note=\"one\"/>",
        )],
        "",
    );
    let by = |key: &str, value: &str, ip: Option<&str>| {
        d.find_user_by(key, value, "d.test", ip).is_some()
    };
    assert!(by("mac", "AA", None));
    assert!(by("mac:id", "1", None));
    assert!(by("id", "nobody", Some("192.0.2.1")));
    assert!(!by("mac", "9", None));
    assert!(!by("id", "nobody", None));
    assert!(d.find_user_by("id", "1", "other.test", None).is_none());
}

#[test]
fn user_outranks_group_outranks_domain() {
    let param = |n: &str, v: &str| format!("<param name=\"{n}\" value=\"{v}\"/>");
    let d = directory(&format!(
        "<domain name=\"d.test\"><params>{}{}{}</params><variables><variable name=\"v\" value=\"domain\"/></variables>\
         <groups><group name=\"g\"><params>{}{}</params><users><user id=\"1\"><params>{}</params>\
         <gateways><gateway name=\"gw\"><param name=\"proxy\" value=\"p\"/></gateway></gateways></user></users></group></groups></domain>",
        param("A", "domain"),
        param("b", "domain"),
        param("c", "domain"),
        param("a", "group"),
        param("B", "group"),
        param("a", "user"),
    ));
    let user = d.find_user("1", "d.test").unwrap();
    let pairs: Vec<_> = user.params.iter().map(|p| format!("{}={}", p.name, p.value)).collect();
    assert_eq!(pairs, ["B=group", "c=domain", "a=user"]);
    assert_eq!(user.lookup("var", "V"), Some("domain"));
    assert_eq!(user.lookup("attr", "domain-name"), Some("d.test"));
    assert_eq!(user.gateways[0].params.get("proxy"), Some("p"));
    assert!(!format!("{user:?}").contains("group"));
}

#[test]
fn gateways_of_users_are_those_of_all_groups_and_of_the_domain() {
    let gateway = |id: &str, name: &str| {
        format!("<user id=\"{id}\"><gateways><gateway name=\"{name}\"/></gateways></user>")
    };
    let d = groups(
        &[group("a", &gateway("1", "one")), group("b", "<user id=\"1\" type=\"pointer\"/>")],
        &format!("<users>{}</users>", gateway("2", "two")),
    );
    let domain = d.find_domain("d.test").unwrap();
    let names: Vec<_> = d.gateways(domain).into_iter().map(|g| g.name).collect();
    assert_eq!(names, ["one", "two"]);
}

#[test]
fn passwords_do_not_show_in_debug_output() {
    let d = directory(
        "<domain name=\"d.test\"><user id=\"1\"><params><param name=\"password\" value=\"s3cret\"/>\
         <param name=\"a1-hash\" value=\"s3cret\"/></params></user></domain>",
    );
    let user = d.find_user("1", "d.test").unwrap();
    let xml = d.user_xml("id", "1", "d.test").unwrap();
    assert!(!format!("{user:?} {:?} {xml:?}", user.params).contains("s3cret"));
}
