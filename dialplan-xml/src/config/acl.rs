//! Access lists as written.

use std::ops::RangeInclusive;

use crate::text::is_true;
use crate::{Node, Place};

/// `acl.conf`.
#[derive(Clone, Debug, Default)]
pub struct AclConf {
    /// Lists in document order.
    pub lists: Vec<AclList>,
}

/// One `<list>`.
#[derive(Clone, Debug)]
pub struct AclList {
    /// Name, case-sensitive.
    pub name: String,
    /// What an address no node covers gets.
    pub default_allow: bool,
    /// Nodes in document order.
    pub nodes: Vec<AclNode>,
    /// Where it is written.
    pub place: Place,
}

/// One `<node>`.
#[derive(Clone, Debug)]
pub struct AclNode {
    /// Allow or deny.
    pub allow: bool,
    /// What it covers.
    pub target: AclTarget,
    /// Ports it is limited to; empty for all.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Where it is written.
    pub place: Place,
}

/// What a node covers. The first of `domain`, `cidr` and `host` counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AclTarget {
    /// The `cidr` of every user of a domain.
    Domain(String),
    /// A list of CIDRs, as written.
    Cidr(String),
    /// A network by address and mask, as written.
    HostMask(String, String),
    /// None of these: the node does nothing.
    Nothing,
}

impl AclConf {
    /// Reads the element; see [`crate::config`].
    pub fn read(conf: Option<Node<'_>>) -> Self {
        let lists = conf.and_then(|c| c.child("network-lists"));
        let lists = lists.into_iter().flat_map(|l| l.children_named("list"));
        Self { lists: lists.filter_map(list).collect() }
    }
}

fn list(node: Node<'_>) -> Option<AclList> {
    let name = node.attr("name").filter(|n| !n.is_empty())?.to_owned();
    let default_allow = node.attr("default").is_none_or(is_true);
    let nodes = node.children_named("node").map(|n| acl_node(n, default_allow)).collect();
    Some(AclList { name, default_allow, nodes, place: node.place() })
}

fn acl_node(node: Node<'_>, default_allow: bool) -> AclNode {
    let owned = |name| node.attr(name).map(str::to_owned);
    let target = if let Some(domain) = owned("domain") {
        AclTarget::Domain(domain)
    } else if let Some(cidr) = owned("cidr") {
        AclTarget::Cidr(cidr)
    } else if let (Some(host), Some(mask)) = (owned("host"), owned("mask")) {
        AclTarget::HostMask(host, mask)
    } else {
        AclTarget::Nothing
    };
    AclNode {
        allow: node.attr("type").map_or(default_allow, is_true),
        target,
        ports: ports(node),
        place: node.place(),
    }
}

/// `port`, `ports` (a list) and `port-min`/`port-max`.
fn ports(node: Node<'_>) -> Vec<RangeInclusive<u16>> {
    let number = |text: &str| text.trim().parse::<u16>().ok();
    let mut ports: Vec<_> = [node.attr("port"), node.attr("ports")]
        .into_iter()
        .flatten()
        .flat_map(|list| list.split(','))
        .filter_map(number)
        .map(|port| port..=port)
        .collect();
    let (low, high) = (node.attr("port-min"), node.attr("port-max"));
    if low.is_some() || high.is_some() {
        let low = low.and_then(number).unwrap_or(0);
        let high = high.and_then(number).unwrap_or(u16::MAX);
        ports.push(low..=high);
    }
    ports
}
