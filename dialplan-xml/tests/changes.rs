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
            "changed: gateway internal/trunk (takes effect with: sofia profile internal rescan)",
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
