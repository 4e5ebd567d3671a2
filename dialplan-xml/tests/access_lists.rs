//! Access lists.

mod common;

use common::document;
use dialplan_xml::acl::{AclSet, LocalNet, Verdict};
use dialplan_xml::config::AclConf;
use dialplan_xml::directory::Directory;
use std::net::IpAddr;

fn build(lists: &str, domains: &str) -> (AclSet, Vec<String>) {
    let text = format!(
        "<document>\n<section name=\"configuration\"><configuration name=\"acl.conf\"><network-lists>{lists}\
         </network-lists></configuration></section>\n<section name=\"directory\">{domains}</section>\n</document>"
    );
    let tree = document(&text).tree.unwrap();
    let conf = AclConf::read(tree.configuration("acl.conf"));
    let local = LocalNet { v4: [10, 20, 30, 40].into(), mask: [255, 255, 255, 0].into(), v6: None };
    let (set, diagnostics) = AclSet::build(&conf, &Directory::compile(&tree), &local);
    (set, diagnostics.into_iter().map(|d| d.message).collect())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn automatic_lists() {
    let (set, _) = build("", "");
    let rows = [
        ("rfc1918.auto", "10.1.2.3", true),
        ("rfc1918.auto", "172.31.0.1", true),
        ("rfc1918.auto", "172.32.0.1", false),
        ("rfc1918.auto", "192.168.1.1", true),
        ("rfc1918.auto", "fe80::1", true),
        ("rfc1918.auto", "8.8.8.8", false),
        ("rfc6598.auto", "100.64.0.1", true),
        ("rfc6598.auto", "10.0.0.1", false),
        ("wan.auto", "8.8.8.8", true),
        ("wan.auto", "10.0.0.1", false),
        ("wan.auto", "169.254.1.1", false),
        ("wan.auto", "100.64.0.1", false),
        ("wan.auto", "fe80::1", false),
        ("wan.auto", "2001:db8::1", true),
        ("wan_v4.auto", "8.8.8.8", true),
        ("wan_v4.auto", "2001:db8::1", false),
        ("wan_v6.auto", "8.8.8.8", false),
        ("wan_v6.auto", "2001:db8::1", true),
        ("wan_v6.auto", "fe80::1", false),
        ("any_v4.auto", "10.0.0.1", true),
        ("any_v4.auto", "::1", false),
        ("any_v6.auto", "10.0.0.1", false),
        ("any_v6.auto", "::1", true),
        ("nat.auto", "10.20.30.1", false),
        ("nat.auto", "10.20.31.1", true),
        ("nat.auto", "100.64.0.1", true),
        ("nat.auto", "8.8.8.8", false),
        ("loopback.auto", "127.9.9.9", true),
        ("loopback.auto", "::1", true),
        ("loopback.auto", "10.0.0.1", false),
        ("localnet.auto", "10.20.30.99", true),
        ("localnet.auto", "10.20.31.1", false),
        ("loopback.auto", "::ffff:127.0.0.1", true),
        ("nowhere", "127.0.0.1", false),
        ("NAT.auto", "10.20.31.1", false),
        ("192.0.2.0/24", "192.0.2.9", true),
        ("10.0.0.0/8,192.0.2.0/24", "192.0.2.9", true),
        ("2001:db8::/32", "2001:db8::9", true),
        ("192.0.2.0/24", "192.0.3.9", false),
    ];
    for (list, address, allowed) in rows {
        assert_eq!(set.check(list, ip(address)), allowed, "{list} {address}");
    }
}

#[test]
fn the_longest_prefix_wins_and_of_equal_ones_the_first() {
    let (set, _) = build(
        "<list name=\"l\" default=\"deny\"><node type=\"allow\" cidr=\"10.0.0.0/8\"/><node type=\"deny\" cidr=\"10.1.0.0/16\"/>\
         <node type=\"allow\" cidr=\"10.1.0.0/16\"/><node type=\"allow\" host=\"10.1.2.3\" mask=\"255.255.255.255\"/></list>",
        "",
    );
    assert!(set.check("l", ip("10.9.9.9")));
    assert!(!set.check("l", ip("10.1.9.9")));
    assert!(set.check("l", ip("10.1.2.3")));
    assert!(!set.check("l", ip("11.0.0.1")));
}

#[test]
fn defaults_of_lists_and_nodes() {
    let (set, _) = build(
        "<list name=\"open\"><node type=\"deny\" cidr=\"10.0.0.0/8\"/></list>\
         <list name=\"own\" default=\"deny\"><node cidr=\"10.0.0.0/8\"/></list>\
         <list name=\"twice\" default=\"allow\"/><list name=\"twice\" default=\"deny\"/>\
         <list name=\"loopback.auto\" default=\"deny\"/>",
        "",
    );
    assert!(set.check("open", ip("8.8.8.8")) && !set.check("open", ip("10.0.0.1")));
    assert!(!set.check("own", ip("10.0.0.1")));
    assert!(!set.check("twice", ip("10.0.0.1")));
    assert!(!set.check("loopback.auto", ip("127.0.0.1")));
}

#[test]
fn users_networks_carry_their_token() {
    let domains = "<domain name=\"d.test\"><groups><group name=\"g\"><users><user id=\"in\" cidr=\"192.0.2.1/32,192.0.2.2/32\"/>\
                   <user id=\"none\"/></users></group></groups><users><user id=\"out\" cidr=\"192.0.2.3/32\"/></users></domain>";
    let (set, said) = build(
        "<list name=\"l\" default=\"deny\"><node type=\"allow\" domain=\"d.test\" port=\"5060\"/><node type=\"allow\" domain=\"x.test\"/></list>",
        domains,
    );
    assert_eq!(said, ["Cannot locate domain x.test"]);
    assert_eq!(set.check_token("l", ip("192.0.2.2")).as_deref(), Some("in@d.test"));
    assert_eq!(set.check_token("l", ip("192.0.2.3")).as_deref(), Some("out@d.test"));
    // The port only limits users of groups.
    assert!(!set.verdict("l", ip("192.0.2.1"), Some(5080)).allowed);
    assert!(set.verdict("l", ip("192.0.2.1"), Some(5060)).allowed);
    assert!(set.verdict("l", ip("192.0.2.3"), Some(5080)).allowed);
    assert_eq!(set.verdict("l", ip("192.0.2.9"), None), Verdict { allowed: false, token: None });
}

#[test]
fn ports_limit_a_node_only_when_one_is_asked_about() {
    let (set, _) = build(
        "<list name=\"l\" default=\"deny\"><node type=\"allow\" cidr=\"192.0.2.0/24\" ports=\"5060,5080\" port-min=\"7000\" port-max=\"7010\"/></list>",
        "",
    );
    for (port, allowed) in [
        (None, true),
        (Some(5060), true),
        (Some(5080), true),
        (Some(7005), true),
        (Some(6000), false),
    ] {
        assert_eq!(set.verdict("l", ip("192.0.2.1"), port).allowed, allowed, "{port:?}");
    }
}

#[test]
fn an_address_without_bits_is_refused_with_a_hint() {
    let (set, said) = build(
        "<list name=\"l\" default=\"deny\"><node type=\"allow\" cidr=\"10.9.9.9\"/></list>",
        "",
    );
    assert_eq!(said, ["Error Adding 10.9.9.9 to list l"]);
    assert!(!set.check("l", ip("10.9.9.9")));
}

#[test]
fn lists_are_described_as_the_reference_logs_them() {
    let (set, _) = build(
        "<list name=\"l\" default=\"deny\"><node type=\"allow\" cidr=\"192.0.2.0/24\"/><node type=\"allow\" domain=\"d.test\"/></list>",
        "<domain name=\"d.test\"><user id=\"7\" cidr=\"10.1.1.1/32\"/></domain>",
    );
    assert_eq!(
        set.describe(),
        [
            "Created ip list l default (deny)",
            "Adding 192.0.2.0/24 (allow) [] to list l",
            "Adding 10.1.1.1/32 (allow) [7@d.test] to list l",
        ]
    );
}
