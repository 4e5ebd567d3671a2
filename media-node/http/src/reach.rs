//! Who chose where a request goes: the administrator, or a far end whose words stand in the address.

use std::net::IpAddr;

use base::far;
use base::network::{Allowed, is_internal, is_of_the_machine};
use url::{Host, Url};

/// Did a far end choose the host of this address? What it said is marked ([`base::far`]).
#[must_use]
pub fn is_far(address: &str) -> bool {
    let from = address.find("://").map_or(0, |at| at + 3);
    // What the far end said does not end the host.
    let rest = &address[from..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if far::is_marked(&address[..from + authority.len()]) {
        return true;
    }
    // A number alone is an IPv4 address, too, and has nothing that could be marked.
    let host = authority.rsplit('@').next().unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    !name.contains('.')
        && Url::parse(&format!("http://{name}/"))
            .is_ok_and(|url| matches!(url.host(), Some(Host::Ipv4(_))))
}

/// Is that an address beyond the machine's own networks ([`is_internal`])?
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    !is_internal(address)
}

/// Where a request may lead: judged for each connection of it by the address that is connected to, whatever its name led to
/// a moment before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// A far end chose the host: nothing inside the node's own network is asked.
    pub far: bool,
    /// What may be asked all the same.
    pub allowed: Allowed,
}

impl Guard {
    /// May this address be connected to? `strict` is said by [`Guard::far`], and once a server outside has redirected.
    #[must_use]
    pub fn allows(&self, strict: bool, host: &str, address: IpAddr) -> bool {
        let harmless = if strict { !is_internal(address) } else { !is_of_the_machine(address) };
        harmless || self.allowed.allows(host, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_administrator_s_address_is_told_from_a_far_end_s() {
        assert!(!is_far("http://10.0.0.1:8080/ivr"));
        let with_path = format!("http://portal.local/ivr?from={}", far::mark("+49 30/1"));
        assert!(!is_far(&with_path));
        assert!(is_far(&far::mark("http://127.0.0.1/")));
        assert!(is_far(&format!("http://{}/x", far::mark("10.0.0.1"))));
        assert!(is_far(&format!("http://a{}b/x", far::mark("@"))));
        assert!(is_far("http://2130706433/x") && is_far("http://0x7f000001:80/"));
        assert!(is_far("http://user:pw@2130706433/") && is_far("http://a@1:80/x"));
        assert!(is_far(&format!("http://a{}", far::mark("/@10.0.0.1"))));
        assert!(is_far(&format!("http://{}", far::mark("/b"))));
        assert!(!is_far("http://cafe/") && !is_far("http://[::1]:8080/"));
    }

    #[test]
    fn an_administrator_reaches_the_own_network_but_not_what_only_the_machine_may_ask() {
        let guard = |list: &str| Guard { far: false, allowed: Allowed::read(list).0 };
        let allows = |list: &str, strict: bool, address: &str| {
            guard(list).allows(strict, "host", address.parse().unwrap())
        };
        assert!(allows("", false, "10.0.0.1") && allows("", false, "127.0.0.1"));
        assert!(!allows("", true, "10.0.0.1") && !allows("", true, "::1"));
        assert!(allows("", true, "8.8.8.8"));
        assert!(!allows("", false, "169.254.169.254") && !allows("", false, "fd00:ec2::254"));
        assert!(allows("169.254.169.254", true, "169.254.169.254"));
        assert!(allows("10.0.0.0/8", true, "10.0.0.1") && !allows("10.0.0.0/8", true, "127.0.0.1"));
    }
}
