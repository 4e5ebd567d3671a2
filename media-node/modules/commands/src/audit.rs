//! `audit`: what an administrator should change.

use std::fmt::Write as _;
use std::net::IpAddr;

use dialplan_xml::config::EventSocketConf;

use super::{Api, ApiCall, usage};
use crate::api;

/// The family.
pub const APIS: &[Api] = &[api!(
    "audit",
    "mod_commands",
    "",
    "List what makes this switch unsafe, and the remedies",
    run
)];

fn run(call: &ApiCall) -> String {
    if !call.args.is_empty() {
        return usage("");
    }
    let found = event_socket(&call.switch.config.load().event_socket);
    let mut out = String::new();
    for finding in &found {
        let _ = writeln!(out, "{finding}");
    }
    let _ = writeln!(out, "\n{} total.", found.len());
    out
}

/// Passwords that stand in manuals, packages and lists of guesses.
const PUBLISHED: &[&str] = &[
    "",
    "1234",
    "12345",
    "123456",
    "12345678",
    "admin",
    "changeme",
    "cluecon",
    "default",
    "eventsocket",
    "freepbx",
    "freeswitch",
    "fusionpbx",
    "password",
    "root",
    "secret",
    "signalwire",
    "test",
];

/// One thing that is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub problem: String,
    /// The file or parameter.
    pub place: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { problem, place, remedy } = self;
        write!(f, "{place}: {problem}; {remedy}")
    }
}

/// What is wrong with the Event Socket as it is set.
#[must_use]
pub fn event_socket(conf: &EventSocketConf) -> Vec<Finding> {
    let mut found = Vec::new();
    if is_loopback(&conf.listen_ip) {
        return found;
    }
    if is_published(&conf.password) {
        found.push(Finding {
            problem: format!(
                "the Event Socket listens on {}, and its password is {}",
                conf.listen_ip,
                if conf.password.is_empty() { "empty" } else { "one that everybody knows" }
            ),
            place: "event_socket.conf, password",
            remedy: "set a password of your own, or listen-ip to 127.0.0.1",
        });
    }
    if conf.allow_host_commands {
        found.push(Finding {
            problem: "clients on other machines may run programs of this one".to_owned(),
            place: "event_socket.conf, allow-host-commands",
            remedy: "remove it unless such a client needs it",
        });
    }
    found
}

/// A name other than `localhost` may mean any address.
fn is_loopback(listen_ip: &str) -> bool {
    match listen_ip.trim().parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => listen_ip.trim().eq_ignore_ascii_case("localhost"),
    }
}

fn is_published(password: &str) -> bool {
    PUBLISHED.iter().any(|known| known.eq_ignore_ascii_case(password.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(listen_ip: &str, password: &str) -> Vec<Finding> {
        event_socket(&EventSocketConf {
            listen_ip: listen_ip.into(),
            password: password.into(),
            ..EventSocketConf::default()
        })
    }

    #[test]
    fn a_published_password_on_an_open_listener_is_found() {
        for ip in ["0.0.0.0", "::", "192.0.2.1", "pbx.example.com"] {
            for password in ["ClueCon", "cluecon", "", " ", "1234", "FreeSWITCH"] {
                let found = found(ip, password);
                assert_eq!(found.len(), 1, "{ip} {password}");
                let text = found[0].to_string();
                assert!(text.starts_with("event_socket.conf, password: "), "{text}");
                assert!(
                    password.trim().is_empty() || !text.contains(&format!(" {password}")),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn one_of_ones_own_or_a_listener_of_this_machine_is_not() {
        assert_eq!(found("0.0.0.0", "kX9-4hwT-own"), []);
        for ip in ["127.0.0.1", "127.0.0.2", "::1", "localhost", "::ffff:127.0.0.1"] {
            assert_eq!(found(ip, "ClueCon"), [], "{ip}");
        }
    }
}
