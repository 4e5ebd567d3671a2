//! Where log lines go.

use super::{Params, settings};
use crate::Node;

/// `console.conf`.
#[derive(Clone, Debug, Default)]
pub struct ConsoleConf {
    /// `<settings>`: `colorize`, `loglevel`, `uuid` …
    pub settings: Params,
    /// `<mappings>` in document order.
    pub mappings: Vec<LogMapping>,
}

/// One `<map>`: which levels of what are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogMapping {
    /// `all`, a file name or a function name.
    pub name: String,
    /// Levels, as written, separated by commas.
    pub levels: String,
}

/// `logfile.conf`.
#[derive(Clone, Debug, Default)]
pub struct LogfileConf {
    /// `<settings>`: `rotate-on-hup`.
    pub settings: Params,
    /// One log file each.
    pub profiles: Vec<LogfileProfile>,
}

/// One `<profile>` of `logfile.conf`.
#[derive(Clone, Debug)]
pub struct LogfileProfile {
    /// Its name.
    pub name: String,
    /// `logfile`, `rollover`, `maximum-rotate`, `uuid` …
    pub settings: Params,
    /// `<mappings>` in document order.
    pub mappings: Vec<LogMapping>,
}

impl ConsoleConf {
    /// Reads the element; see [`crate::config`].
    pub fn read(conf: Option<Node<'_>>) -> Self {
        Self { settings: settings(conf), mappings: mappings(conf) }
    }
}

impl LogfileConf {
    /// Reads the element; see [`crate::config`].
    pub fn read(conf: Option<Node<'_>>) -> Self {
        let profiles = conf.and_then(|c| c.child("profiles"));
        let profiles = profiles.into_iter().flat_map(|p| p.children_named("profile"));
        let profile = |node: Node<'_>| LogfileProfile {
            name: node.attr_or_empty("name").to_owned(),
            settings: settings(Some(node)),
            mappings: mappings(Some(node)),
        };
        Self { settings: settings(conf), profiles: profiles.map(profile).collect() }
    }
}

fn mappings(parent: Option<Node<'_>>) -> Vec<LogMapping> {
    let maps = Params::read(parent.and_then(|p| p.child("mappings")), "map");
    let mapping =
        |p: &super::Param| LogMapping { name: p.name.to_string(), levels: p.value.to_string() };
    maps.iter().map(mapping).collect()
}
