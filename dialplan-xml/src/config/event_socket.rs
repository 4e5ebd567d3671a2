//! The Event Socket listener.

use super::{Params, settings};
use crate::Node;
use crate::text::{is_true, leading_integer};

/// `event_socket.conf`.
#[derive(Clone)]
pub struct EventSocketConf {
    /// Address to listen on.
    pub listen_ip: String,
    /// Port to listen on.
    pub listen_port: u16,
    /// Password.
    pub password: String,
    /// Lists a client's address must pass, all of them.
    pub apply_inbound_acl: Vec<String>,
    /// Whether a busy port stops the switch.
    pub stop_on_bind_error: bool,
    /// Whether clients on other machines may run programs of this one. Not in the reference, which lets them.
    pub allow_host_commands: bool,
    /// Everything as written.
    pub params: Params,
}

impl Default for EventSocketConf {
    fn default() -> Self {
        Self {
            listen_ip: "127.0.0.1".to_owned(),
            listen_port: 8021,
            password: "ClueCon".to_owned(),
            apply_inbound_acl: vec!["loopback.auto".to_owned()],
            stop_on_bind_error: false,
            allow_host_commands: false,
            params: Params::default(),
        }
    }
}

impl EventSocketConf {
    /// Reads the element; see [`crate::config`]. Later settings win, access lists add up. Most
    /// names are case-sensitive here (reference behaviour).
    pub fn read(conf: Option<Node<'_>>) -> Self {
        let mut read = Self { params: settings(conf), ..Self::default() };
        let mut lists = Vec::new();
        for param in read.params.clone().iter() {
            let value = &*param.value;
            match &*param.name {
                "listen-ip" => value.clone_into(&mut read.listen_ip),
                "listen-port" => read.listen_port = port(value).unwrap_or(read.listen_port),
                "password" => value.clone_into(&mut read.password),
                name if name.eq_ignore_ascii_case("apply-inbound-acl") => {
                    lists.push(value.to_owned());
                }
                name if name.eq_ignore_ascii_case("stop-on-bind-error") => {
                    read.stop_on_bind_error = is_true(value);
                }
                name if name.eq_ignore_ascii_case("allow-host-commands") => {
                    read.allow_host_commands = is_true(value);
                }
                _ => {}
            }
        }
        if !lists.is_empty() {
            read.apply_inbound_acl = lists;
        }
        read
    }
}

fn port(text: &str) -> Option<u16> {
    u16::try_from(leading_integer(text)).ok().filter(|&p| p > 0)
}

/// Without the password.
impl std::fmt::Debug for EventSocketConf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSocketConf")
            .field("listen_ip", &self.listen_ip)
            .field("listen_port", &self.listen_port)
            .field("apply_inbound_acl", &self.apply_inbound_acl)
            .finish_non_exhaustive()
    }
}
