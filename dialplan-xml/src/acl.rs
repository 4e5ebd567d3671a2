//! Access lists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Diagnostic;
use crate::config::AclConf;
use crate::directory::Directory;

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

/// Every access list, ready to be asked. Cheap enough to clone behind an `Arc`.
#[derive(Clone, Debug, Default)]
pub struct AclSet {}

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
        let _ = (conf, directory, local);
        (Self::default(), Vec::new())
    }

    /// Whether a list (or a literal CIDR, or a comma list of them) allows an address. Unknown lists
    /// allow nothing.
    pub fn check(&self, list: &str, ip: IpAddr) -> bool {
        self.verdict(list, ip, None).allowed
    }

    /// The same with the token of the directory user the address belongs to.
    pub fn check_token(&self, list: &str, ip: IpAddr) -> Option<String> {
        let verdict = self.verdict(list, ip, None);
        verdict.token.filter(|_| verdict.allowed)
    }

    /// The whole answer. Nodes restricted to ports only count when `port` is given and fits.
    pub fn verdict(&self, list: &str, ip: IpAddr, port: Option<u16>) -> Verdict {
        let _ = (list, ip, port);
        Verdict { allowed: false, token: None }
    }

    /// Names of the lists.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}
