//! What a reload changes.

mod common;

use common::document;
use dialplan_xml::diff::changes;

fn conf(port: &str, proxy: &str, extra: &str, password: &str, list: &str) -> String {
    format!(
        r#"<document>
<section name="configuration">
<configuration name="sofia.conf"><profiles><profile name="internal">
  <gateways><gateway name="trunk"><param name="proxy" value="{proxy}"/></gateway></gateways>
  <settings><param name="sip-port" value="{port}"/></settings>
</profile></profiles></configuration>
<configuration name="acl.conf"><network-lists>{list}</network-lists></configuration>
</section>
<section name="dialplan"><context name="default">
  <extension name="one"><condition/></extension>{extra}
</context></section>
<section name="directory"><domain name="d.test"><user id="1000"><params><param name="password" value="{password}"/></params></user></domain></section>
</document>"#
    )
}

fn said(before: &str, after: &str) -> Vec<String> {
    let (before, after) = (document(before).tree.unwrap(), document(after).tree.unwrap());
    changes(&before, &after).iter().map(ToString::to_string).collect()
}

#[test]
fn what_changed_is_named_with_what_it_needs() {
    let before = conf("5060", "a.test", "<extension name=\"old\"/>", "x", "");
    let after = conf("5070", "b.test", "<extension name=\"new\"/>", "y", "<list name=\"l\"/>");
    assert_eq!(
        said(&before, &after),
        [
            "changed: configuration acl.conf (takes effect with: reloadacl)",
            "removed: extension default/old",
            "changed: gateway internal/trunk (takes effect with: sofia profile internal killgw trunk, then sofia profile internal rescan)",
            "changed: profile internal (takes effect with: sofia profile internal restart)",
            "changed: user 1000@d.test",
            "added: extension default/new",
        ]
    );
}

#[test]
fn white_space_and_comments_are_no_change() {
    let before = conf("5060", "a.test", "", "x", "");
    let after = before.replace("<profile name", "\n\n   <!-- note -->\n<profile name");
    assert_eq!(said(&before, &after), [""; 0]);
}

#[test]
fn what_the_directory_gives_to_profiles_and_lists_is_named_apart() {
    let tree = |user: &str, rest: &str| {
        format!(
            r#"<document>
<section name="configuration"><configuration name="sofia.conf"><profiles><profile name="external">
  <domains><domain name="all" parse="true"/></domains><settings/></profile></profiles></configuration></section>
<section name="directory"><domain name="d.test"><groups><group name="sales">{rest}<users>{user}</users></group></groups></domain></section>
<section name="languages"><language name="en"><phrases><macros><macro name="hi">{rest}</macro></macros></phrases></language></section>
</document>"#
        )
    };
    let gateway = |proxy: &str| {
        format!(
            "<gateways><gateway name=\"gw\"><param name=\"proxy\" value=\"{proxy}\"/></gateway></gateways>"
        )
    };
    let before = format!("<user id=\"1\" cidr=\"10.0.0.0/8\">{}</user>", gateway("a"));
    let after = format!(
        "<user id=\"1\" cidr=\"10.0.0.0/16\">{}</user><user id=\"2\" type=\"pointer\"/>",
        gateway("b")
    );
    assert_eq!(
        said(&tree(&before, ""), &tree(&after, "<params/>")),
        [
            "changed: gateway gw of 1@d.test (takes effect with: sofia profile external killgw gw, then sofia profile external rescan)",
            "changed: network of user 1@d.test (takes effect with: reloadacl)",
            "changed: phrase en/hi",
            "added: group member 2@d.test of sales",
            "added: params of group sales@d.test",
        ]
    );
    assert_eq!(
        said(&tree(&after, ""), &tree("", "")),
        [
            "removed: gateway gw of 1@d.test (takes effect with: sofia profile external killgw gw)",
            "removed: group member 2@d.test of sales",
            "removed: network of user 1@d.test (takes effect with: reloadacl)",
            "removed: user 1@d.test",
        ]
    );
}

#[test]
fn variables_are_named_without_their_values() {
    let globals = |pairs: &[(&str, &str)]| pairs.iter().copied().collect::<dialplan_xml::Globals>();
    let (old, new) = (
        globals(&[("a", "1"), ("b", "2"), ("c", "3")]),
        globals(&[("a", "1"), ("B", "x"), ("d", "4")]),
    );
    let said: Vec<_> =
        dialplan_xml::diff::variables(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(said, ["removed: variable c", "changed: variable B", "added: variable d"]);
}
