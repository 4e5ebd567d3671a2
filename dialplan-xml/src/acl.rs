//! Access lists.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net};

use crate::config::{AclConf, AclList, AclNode, AclTarget};
use crate::directory::Directory;
use crate::{Diagnostic, Place};

/// The machine's own address, for `localnet.auto` and `nat.auto`.
#[derive(Clone, Copy, Debug)]
pub struct LocalNet {
    /// IPv4 address.
    pub v4: Ipv4Addr,
    /// Its netmask.
    pub mask: Ipv4Addr,
    /// IPv6 address, if any.
    pub v6: Option<Ipv6Addr>,
}

impl Default for LocalNet {
    fn default() -> Self {
        Self { v4: Ipv4Addr::LOCALHOST, mask: Ipv4Addr::new(255, 0, 0, 0), v6: None }
    }
}

/// Every access list, ready to be asked. Keep it behind an `Arc` and swap it whole.
#[derive(Clone, Debug, Default)]
pub struct AclSet {
    lists: HashMap<String, List>,
}

#[derive(Clone, Debug)]
struct List {
    default_allow: bool,
    nodes: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    net: IpNet,
    allow: bool,
    ports: Vec<RangeInclusive<u16>>,
    token: Option<String>,
}

/// What a list says about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may.
    pub allowed: bool,
    /// `user@domain` of the node that decided, when it came from the directory.
    pub token: Option<String>,
}

impl AclSet {
    /// Builds the automatic lists and those of `acl.conf`.
    pub fn build(
        conf: &AclConf,
        directory: &Directory,
        local: &LocalNet,
    ) -> (Self, Vec<Diagnostic>) {
        Self::build_with(conf, |_| Some(directory.clone()), local)
    }

    /// The same, asking for the directory of each domain a node names: it may come from the network.
    pub fn build_with(
        conf: &AclConf,
        mut directory: impl FnMut(&str) -> Option<Directory>,
        local: &LocalNet,
    ) -> (Self, Vec<Diagnostic>) {
        let mut set = Self { lists: automatic(local) };
        let mut diagnostics = Vec::new();
        for list in &conf.lists {
            let nodes = rules(list, &mut directory, &mut diagnostics);
            let made = List { default_allow: list.default_allow, nodes };
            set.lists.insert(list.name.clone(), made);
        }
        (set, diagnostics)
    }

    /// Whether a list (or a literal CIDR, or a comma list of them) allows an address. Unknown lists
    /// allow nothing.
    pub fn check(&self, list: &str, ip: IpAddr) -> bool {
        self.verdict(list, ip, None).allowed
    }

    /// The token of the directory user whose node lets the address in, if a list allows it.
    pub fn check_token(&self, list: &str, ip: IpAddr) -> Option<String> {
        let verdict = self.verdict(list, ip, None);
        verdict.token.filter(|_| verdict.allowed)
    }

    /// The whole answer. Nodes restricted to ports count for every port when none is given.
    pub fn verdict(&self, list: &str, ip: IpAddr, port: Option<u16>) -> Verdict {
        let ip = ip.to_canonical();
        if let Some(list) = self.lists.get(list) {
            return list.verdict(ip, port);
        }
        let literal =
            list.contains('/') && list.split(',').filter_map(cidr).any(|n| n.contains(&ip));
        Verdict { allowed: literal, token: None }
    }

    /// Whether a node of the list lets the address in: not the list's default, nor a node for all addresses. Such an
    /// address is known to the administrator.
    pub fn names_peer(&self, list: &str, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        match self.lists.get(list) {
            Some(named) => {
                named.deciding(ip, None).is_some_and(|rule| rule.allow && rule.net.prefix_len() > 0)
            }
            None => {
                let nets = list.split(',').filter_map(cidr);
                list.contains('/') && nets.filter(|n| n.prefix_len() > 0).any(|n| n.contains(&ip))
            }
        }
    }

    /// Whether there is a list of this name.
    pub fn contains(&self, list: &str) -> bool {
        self.lists.contains_key(list)
    }

    /// The lists and their nodes in the reference's words, as its log has them. The automatic ones are left out.
    pub fn describe(&self) -> Vec<String> {
        let word = |allow: bool| if allow { "allow" } else { "deny" };
        let mut named: Vec<_> =
            self.lists.iter().filter(|(name, _)| !name.ends_with(".auto")).collect();
        named.sort_unstable_by_key(|(name, _)| *name);
        let mut lines = Vec::new();
        for (name, list) in named {
            lines.push(format!("Created ip list {name} default ({})", word(list.default_allow)));
            for rule in &list.nodes {
                let (net, token) = (rule.net, rule.token.as_deref().unwrap_or_default());
                lines.push(format!("Adding {net} ({}) [{token}] to list {name}", word(rule.allow)));
            }
        }
        lines
    }

    /// Names of the lists, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lists.keys().map(String::as_str)
    }
}

impl List {
    /// The longest prefix decides; of equal ones, the node written first.
    fn deciding(&self, ip: IpAddr, port: Option<u16>) -> Option<&Rule> {
        let mut best: Option<&Rule> = None;
        for rule in &self.nodes {
            let fits = rule.net.contains(&ip) && rule.covers_port(port);
            let better = best.is_none_or(|b| rule.net.prefix_len() > b.net.prefix_len());
            if fits && better {
                best = Some(rule);
            }
        }
        best
    }

    fn verdict(&self, ip: IpAddr, port: Option<u16>) -> Verdict {
        match self.deciding(ip, port) {
            Some(rule) => Verdict { allowed: rule.allow, token: rule.token.clone() },
            None => Verdict { allowed: self.default_allow, token: None },
        }
    }
}

impl Rule {
    fn new(net: IpNet, allow: bool) -> Self {
        Self { net, allow, ports: Vec::new(), token: None }
    }

    fn covers_port(&self, port: Option<u16>) -> bool {
        let Some(port) = port else { return true };
        let v4 = matches!(self.net, IpNet::V4(_));
        !v4 || self.ports.is_empty() || self.ports.iter().any(|r| r.contains(&port))
    }
}

fn rules(
    list: &AclList,
    directory: &mut impl FnMut(&str) -> Option<Directory>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    for node in &list.nodes {
        match &node.target {
            AclTarget::Domain(name) => {
                let found = directory(name);
                let users = found.and_then(|d| Some(d.user_networks(d.find_domain(name)?)));
                let Some(users) = users else {
                    let message = format!("Cannot locate domain {name}");
                    let place = Some(node.place.clone());
                    diagnostics.push(Diagnostic::warning("acl-unknown-domain", message, place));
                    continue;
                };
                for (id, cidrs, in_group, place) in users {
                    let token = Some(format!("{id}@{name}"));
                    let ports = if in_group { node.ports.clone() } else { Vec::new() };
                    let rule = |net| Rule {
                        net,
                        allow: node.allow,
                        ports: ports.clone(),
                        token: token.clone(),
                    };
                    rules.extend(
                        networks(&cidrs, &list.name, &place, diagnostics).into_iter().map(rule),
                    );
                }
            }
            AclTarget::Cidr(cidrs) => {
                let nets = networks(cidrs, &list.name, &node.place, diagnostics);
                rules.extend(nets.into_iter().map(|net| node_rule(node, net)));
            }
            AclTarget::HostMask(host, mask) => match host_mask(host, mask) {
                Some(net) => rules.push(node_rule(node, net)),
                None => refused(&format!("{host}/{mask}"), &list.name, &node.place, diagnostics),
            },
            AclTarget::Nothing => {}
        }
    }
    rules
}

fn node_rule(node: &AclNode, net: IpNet) -> Rule {
    Rule { net, allow: node.allow, ports: node.ports.clone(), token: None }
}

fn networks(
    list: &str,
    name: &str,
    place: &Place,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<IpNet> {
    let mut nets = Vec::new();
    for item in list.split(',').map(str::trim).filter(|i| !i.is_empty()) {
        match cidr(item) {
            Some(net) => nets.push(net),
            None => refused(item, name, place, diagnostics),
        }
    }
    nets
}

fn refused(what: &str, list: &str, place: &Place, diagnostics: &mut Vec<Diagnostic>) {
    let message = format!("Error Adding {what} to list {list}");
    let mut found = Diagnostic::error("acl-bad-network", message, Some(place.clone()));
    found = found.with_focus(what, 0);
    if let Ok(ip) = what.parse::<IpAddr>() {
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        found = found.with_hint(format!("a single address is written {what}/{bits}"));
    }
    diagnostics.push(found);
}

/// `address/bits`; the bits are mandatory.
fn cidr(text: &str) -> Option<IpNet> {
    text.trim().parse::<IpNet>().ok().map(|net| net.trunc())
}

fn host_mask(host: &str, mask: &str) -> Option<IpNet> {
    let net = Ipv4Net::with_netmask(host.trim().parse().ok()?, mask.trim().parse().ok()?);
    net.ok().map(|net| IpNet::V4(net.trunc()))
}

/// The lists the reference makes by itself.
fn automatic(local: &LocalNet) -> HashMap<String, List> {
    const PRIVATE: [&str; 3] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    const SHARED: [&str; 1] = ["100.64.0.0/10"];
    const LINK_LOCAL_6: [&str; 1] = ["fe80::/10"];
    const NOT_WAN_4: [&str; 2] = ["0.0.0.0/8", "169.254.0.0/16"];
    const ALL_4: [&str; 1] = ["0.0.0.0/0"];
    const ALL_6: [&str; 1] = ["::/0"];
    let own = host_mask(&local.v4.to_string(), &local.mask.to_string());
    let wan_4 = [&NOT_WAN_4[..], &PRIVATE, &SHARED].concat();
    let wan_6 = [&ALL_4[..], &LINK_LOCAL_6].concat();
    let fixed: [(&str, bool, Vec<&str>); 8] = [
        ("rfc1918.auto", false, [&PRIVATE[..], &LINK_LOCAL_6].concat()),
        ("rfc6598.auto", false, SHARED.to_vec()),
        ("wan.auto", true, [&wan_4[..], &LINK_LOCAL_6].concat()),
        ("wan_v4.auto", true, [&wan_4[..], &ALL_6].concat()),
        ("wan_v6.auto", true, wan_6),
        ("any_v4.auto", true, ALL_6.to_vec()),
        ("any_v6.auto", true, ALL_4.to_vec()),
        ("loopback.auto", false, vec!["127.0.0.0/8", "::1/128"]),
    ];
    // Every node of an automatic list says the opposite of the list's default.
    let made = fixed.into_iter().map(|(name, default_allow, nets)| {
        let nodes = nets.into_iter().filter_map(cidr).map(|n| Rule::new(n, !default_allow));
        (name.to_owned(), List { default_allow, nodes: nodes.collect() })
    });
    let mut lists: HashMap<_, _> = made.collect();
    let nat = own.map(|net| Rule::new(net, false)).into_iter();
    let private = PRIVATE.iter().chain(&SHARED).filter_map(|n| cidr(n));
    let nodes = nat.chain(private.map(|n| Rule::new(n, true))).collect();
    lists.insert("nat.auto".to_owned(), List { default_allow: false, nodes });
    let nodes = own.map(|net| Rule::new(net, true)).into_iter().collect();
    lists.insert("localnet.auto".to_owned(), List { default_allow: false, nodes });
    lists
}
