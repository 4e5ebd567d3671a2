//! What the directory adds to a profile: names of domains as aliases, and the gateways of their users.
//!
//! `<domain name="…" alias="true" parse="true"/>` in a profile's `<domains>` names one domain, or `all` of them. A web
//! server (mod_xml_curl) is asked before the files, once for each such element.

use std::sync::Arc;

use dialplan_xml::config::{ProfileConf, ProfileDomain};
use dialplan_xml::directory::{Directory, Domain};
use esl_server::event::Event;

use crate::switch::Switch;
use crate::xml;

/// A profile's configuration together with what the directory adds to it.
pub async fn complete(switch: &Arc<Switch>, conf: &ProfileConf) -> ProfileConf {
    let mut whole = conf.clone();
    for wanted in &conf.domains {
        let fill = |params: &mut Event| {
            params.push("purpose", "gateways").push("profile", conf.name.as_str());
        };
        if wanted.name == "all" {
            let directory = xml::whole_directory(switch, fill).await;
            for domain in directory.domains() {
                add(&mut whole, wanted, &directory, domain);
            }
        } else {
            let directory = xml::directory(switch, &wanted.name, fill).await;
            if let Some(domain) = directory.find_domain(&wanted.name) {
                add(&mut whole, wanted, &directory, domain);
            }
        }
    }
    whole
}

fn add(whole: &mut ProfileConf, wanted: &ProfileDomain, directory: &Directory, domain: &Domain) {
    if wanted.alias && !whole.aliases.iter().any(|known| *known == *domain.name) {
        whole.aliases.push(domain.name.to_string());
    }
    if !wanted.parse {
        return;
    }
    for gateway in directory.gateways(domain) {
        match whole.gateways.iter().find(|known| known.name == gateway.name) {
            Some(first) => tracing::warn!(
                "{}: gateway {} is left out: there is one of that name at {}",
                gateway.place,
                gateway.name,
                first.place
            ),
            None => whole.gateways.push(gateway),
        }
    }
}
