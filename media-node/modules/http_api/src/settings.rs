//! `http_api.conf`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::Node;
use http_server::{Config, Limits, tls};
use switch_core::switch::Switch;

/// Where to listen unless the file says otherwise.
const PORT: u16 = 8088;
/// Who may speak unless the file says otherwise: this machine.
const ACL: &str = "loopback.auto";

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// A value that cannot be used.
    #[error("{place}: {name}: {value} is no {wanted}")]
    Value { place: String, name: String, value: String, wanted: &'static str },
    /// One file of two.
    #[error("tls-cert and tls-key come together")]
    HalfTls,
    /// A certificate or key that cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// The settings of the listener.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    listen: SocketAddr,
    acls: Vec<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    limits: Limits,
    portal: crate::portal::Source,
}

impl Settings {
    /// Reads `http_api.conf`; without one, the defaults.
    pub(crate) fn read(conf: Option<Node<'_>>) -> Result<Self, SettingsError> {
        let mut read = Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
            acls: Vec::new(),
            certificate: None,
            key: None,
            limits: Limits::default(),
            portal: crate::portal::Source::default(),
        };
        for param in &dialplan_xml::config::settings(conf) {
            let value = &*param.value;
            let wrong = |wanted| SettingsError::Value {
                place: param.place.to_string(),
                name: param.name.to_string(),
                value: value.to_owned(),
                wanted,
            };
            let number = |least: usize| {
                let number = value.parse::<usize>().ok().filter(|number| *number >= least);
                number.ok_or_else(|| wrong("usable number"))
            };
            let limits = &mut read.limits;
            match param.name.to_ascii_lowercase().as_str() {
                "listen-ip" => {
                    read.listen.set_ip(value.parse().map_err(|_| wrong("address"))?);
                }
                "listen-port" => {
                    read.listen.set_port(value.parse().map_err(|_| wrong("port"))?);
                }
                "apply-inbound-acl" if !value.is_empty() => read.acls.push(value.to_owned()),
                "tls-cert" => read.certificate = file(value),
                "tls-key" => read.key = file(value),
                "portal-dir" => read.portal.folder = file(value),
                "portal-websocket" => value.clone_into(&mut read.portal.websocket),
                "portal-domain" => value.clone_into(&mut read.portal.domain),
                "max-connections" => limits.connections = number(1)?,
                "max-connections-per-address" => limits.per_address = number(1)?,
                "max-body-bytes" => limits.body = number(1)?,
                "request-timeout" => {
                    let seconds = Duration::from_secs(number(1)? as u64);
                    (limits.head, limits.answer, limits.stall) = (seconds, seconds, seconds);
                }
                _ => {}
            }
        }
        if read.acls.is_empty() {
            read.acls.push(ACL.to_owned());
        }
        if read.certificate.is_some() != read.key.is_some() {
            return Err(SettingsError::HalfTls);
        }
        Ok(read)
    }

    /// Where the pages come from.
    pub(crate) fn portal(&self) -> &crate::portal::Source {
        &self.portal
    }

    /// What the listener is made of; reads certificates.
    pub(crate) fn server(&self, switch: &Arc<Switch>) -> Result<Config, SettingsError> {
        let tls = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some(tls::server(certificate, key)?),
            _ => None,
        };
        // The listener lives in a slot of the switch: holding it would keep both alive.
        let (acls, switch) = (self.acls.clone(), Arc::downgrade(switch));
        let admits = move |ip| {
            switch
                .upgrade()
                .is_some_and(|switch| acls.iter().all(|list| switch.acl_allows(list, ip)))
        };
        Ok(Config { listen: self.listen, tls, limits: self.limits, admits: Arc::new(admits) })
    }
}

fn file(value: &str) -> Option<PathBuf> {
    (!value.is_empty()).then(|| Path::new(value).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(params: &str) -> Result<Settings, SettingsError> {
        let text = format!(
            "<document><section name=\"configuration\"><configuration name=\"http_api.conf\">\
             <settings>{params}</settings></configuration></section></document>"
        );
        let tree = dialplan_xml::parse_raw(&text, "test").tree.expect("a tree");
        Settings::read(tree.configuration("http_api.conf"))
    }

    #[test]
    fn without_settings_only_this_machine_is_answered() {
        let read = read("").expect("settings");
        assert!(read.listen.ip().is_loopback());
        assert_eq!(read.acls, [ACL]);
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named_with_its_place() {
        let error = read("<param name=\"listen-port\" value=\"many\"/>").expect_err("no port");
        assert!(error.to_string().contains("listen-port: many is no port"), "{error}");
        assert!(read("<param name=\"max-connections\" value=\"0\"/>").is_err());
        assert!(read("<param name=\"tls-cert\" value=\"/a.pem\"/>").is_err());
    }
}
