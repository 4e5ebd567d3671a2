//! Typed configuration: one struct per file, every value with the place it was written at.
//!
//! Each reader takes the `<configuration>` element, so that a document from the network is read the
//! same way as the static tree: `SwitchConf::read(tree.configuration("switch.conf"))`. An absent
//! element gives the defaults. Nothing here complains: what a reader does not understand keeps its
//! default, and the `check` command is where it is reported.

mod acl;
mod event_socket;
mod loggers;
mod modules;
mod params;
mod sofia;
mod switch;
mod timezones;
mod xml_curl;

pub use acl::{AclConf, AclList, AclNode, AclTarget};
pub use event_socket::EventSocketConf;
pub use loggers::{ConsoleConf, LogMapping, LogfileConf, LogfileProfile};
pub use modules::{ModuleLoad, ModulesConf};
pub use params::{Param, Params};
pub use sofia::{GatewayConf, GatewayVariable, ProfileConf, ProfileDomain, SofiaConf};
pub use switch::{PARAMETERS as SWITCH_PARAMETERS, SwitchConf};
pub use timezones::{TimezonesConf, posix_zone};
pub use xml_curl::{XmlCurlBinding, XmlCurlConf};

use crate::Node;

/// The `<settings>` of a file that has nothing else: `db.conf`, `hash.conf`, `xml_cdr.conf` …
pub fn settings(conf: Option<Node<'_>>) -> Params {
    Params::read(conf.and_then(|c| c.child("settings")), "param")
}

/// A log level as a number from 0 (console) to 7 (debug), or by name. `disable` is `None` inside.
pub fn log_level(word: &str) -> Option<Option<u8>> {
    const NAMES: [(&str, u8); 11] = [
        ("console", 0),
        ("alert", 1),
        ("crit", 2),
        ("critical", 2),
        ("err", 3),
        ("error", 3),
        ("warning", 4),
        ("notice", 5),
        ("info", 6),
        ("debug", 7),
        ("warn", 4),
    ];
    if word.eq_ignore_ascii_case("disable") {
        return Some(None);
    }
    if let Ok(number) = word.parse::<u8>() {
        return Some(Some(number.min(7)));
    }
    NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(word)).map(|&(_, level)| Some(level))
}
