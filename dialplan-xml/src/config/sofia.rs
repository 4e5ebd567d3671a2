//! SIP profiles and gateways.

use super::{Params, settings};
use crate::text::is_true;
use crate::{Node, Place};

/// `sofia.conf`.
#[derive(Clone, Debug, Default)]
pub struct SofiaConf {
    /// `<global_settings>`.
    pub globals: Params,
    /// Profiles in document order.
    pub profiles: Vec<ProfileConf>,
}

/// One SIP profile.
#[derive(Clone, Debug)]
pub struct ProfileConf {
    /// Its name.
    pub name: String,
    /// `domain` attribute.
    pub domain: Option<String>,
    /// Other names it answers to.
    pub aliases: Vec<String>,
    /// Domains it serves.
    pub domains: Vec<ProfileDomain>,
    /// Gateways written in the profile.
    pub gateways: Vec<GatewayConf>,
    /// `<settings>`; `None` when the element is missing (the reference refuses the profile).
    pub settings: Option<Params>,
    /// Where it is written.
    pub place: Place,
}

/// One `<domain>` of a profile.
#[derive(Clone, Debug)]
pub struct ProfileDomain {
    /// Domain name, or `all`.
    pub name: String,
    /// Whether the domain's name becomes an alias of the profile.
    pub alias: bool,
    /// Whether gateways of the domain's users are registered.
    pub parse: bool,
    /// Where it is written.
    pub place: Place,
}

/// One gateway.
#[derive(Clone, Debug)]
pub struct GatewayConf {
    /// Its name.
    pub name: String,
    /// Params.
    pub params: Params,
    /// Variables for calls through it.
    pub variables: Vec<GatewayVariable>,
    /// Where it is written.
    pub place: Place,
}

/// One variable of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayVariable {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
    /// Set on calls arriving through the gateway.
    pub inbound: bool,
    /// Set on calls leaving through it.
    pub outbound: bool,
}

impl SofiaConf {
    /// Reads the element; see [`crate::config`].
    pub fn read(conf: Option<Node<'_>>) -> Self {
        let profiles = conf.and_then(|c| c.child("profiles"));
        let profiles = profiles.into_iter().flat_map(|p| p.children_named("profile"));
        Self {
            globals: Params::read(conf.and_then(|c| c.child("global_settings")), "param"),
            profiles: profiles.map(ProfileConf::read).collect(),
        }
    }

    /// A profile by its name or one of its aliases.
    pub fn profile(&self, name: &str) -> Option<&ProfileConf> {
        let named = |p: &&ProfileConf| p.name == name;
        let aliased = |p: &&ProfileConf| p.aliases.iter().any(|a| a == name);
        self.profiles.iter().find(named).or_else(|| self.profiles.iter().find(aliased))
    }
}

impl ProfileConf {
    /// Reads one `<profile>`.
    pub fn read(node: Node<'_>) -> Self {
        let list = |outer: &str, inner: &'static str| {
            node.child(outer).into_iter().flat_map(move |l| l.children_named(inner))
        };
        Self {
            name: node.attr("name").unwrap_or("unnamed").to_owned(),
            domain: node.attr("domain").map(str::to_owned),
            aliases: list("aliases", "alias")
                .filter_map(|a| a.attr("name").filter(|n| !n.is_empty()).map(str::to_owned))
                .collect(),
            domains: list("domains", "domain").filter_map(ProfileDomain::read).collect(),
            gateways: GatewayConf::read_all(node),
            settings: node.child("settings").is_some().then(|| settings(Some(node))),
            place: node.place(),
        }
    }
}

impl ProfileDomain {
    fn read(node: Node<'_>) -> Option<Self> {
        Some(Self {
            name: node.attr("name").filter(|n| !n.is_empty())?.to_owned(),
            alias: node.attr("alias").is_some_and(is_true),
            parse: node.attr("parse").is_some_and(is_true),
            place: node.place(),
        })
    }
}

impl GatewayConf {
    /// Reads the `<gateways>` of a profile or a directory user.
    pub fn read_all(parent: Node<'_>) -> Vec<Self> {
        let list = parent.child("gateways");
        list.into_iter().flat_map(|l| l.children_named("gateway")).map(Self::read).collect()
    }

    /// Reads one `<gateway>`.
    pub fn read(node: Node<'_>) -> Self {
        let variables = node.child("variables");
        let variables = variables.into_iter().flat_map(|v| v.children_named("variable"));
        Self {
            name: node.attr_or_empty("name").to_owned(),
            params: Params::read(Some(node), "param"),
            variables: variables.filter_map(GatewayVariable::read).collect(),
            place: node.place(),
        }
    }
}

impl GatewayVariable {
    fn read(node: Node<'_>) -> Option<Self> {
        let direction = node.attr_or_empty("direction");
        Some(Self {
            name: node.attr("name").filter(|n| !n.is_empty())?.to_owned(),
            value: node.attr_or_empty("value").to_owned(),
            inbound: !direction.eq_ignore_ascii_case("outbound"),
            outbound: !direction.eq_ignore_ascii_case("inbound"),
        })
    }
}
