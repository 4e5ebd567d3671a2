//! What the machine is called and where it lives: the global variables `hostname`, `local_ip_v4`,
//! `local_mask_v4` and `local_ip_v6`, which exist before any file is read.
//!
//! No packet is sent and no name is resolved: a UDP socket is connected, and the kernel says which of
//! its addresses it would send from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::unistd::gethostname;

/// Reserved for documentation (RFC 5737), so no host has it; it is only routed, never sent to.
const ANYWHERE_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 9);
const ANYWHERE_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9);

/// The variables, in the reference's order.
#[must_use]
pub fn globals() -> Vec<(&'static str, String)> {
    Machine::now().globals()
}

/// Whether an address is one of this machine's; also when the system does not tell.
#[must_use]
pub fn owns(ip: IpAddr) -> bool {
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    let Ok(interfaces) = getifaddrs() else { return true };
    let addresses = interfaces.filter_map(|interface| interface.address);
    let mut own = addresses.filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    });
    own.any(|address| address == ip)
}

/// Name and addresses at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub hostname: String,
    /// The IPv4 address it sends from.
    pub v4: IpAddr,
    /// The mask of that address.
    pub mask: Ipv4Addr,
    /// The IPv6 address it sends from.
    pub v6: IpAddr,
}

impl Machine {
    /// As the system describes it now.
    #[must_use]
    pub fn now() -> Self {
        let v4 = source(ANYWHERE_V4).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let v6 = source(ANYWHERE_V6).unwrap_or(IpAddr::V6(Ipv6Addr::LOCALHOST));
        Self { hostname: hostname(), v4, mask: mask(v4), v6 }
    }

    /// The global variables that describe it.
    #[must_use]
    pub fn globals(&self) -> Vec<(&'static str, String)> {
        vec![
            ("hostname", self.hostname.clone()),
            ("local_ip_v4", self.v4.to_string()),
            ("local_mask_v4", self.mask.to_string()),
            ("local_ip_v6", self.v6.to_string()),
        ]
    }

    /// The variables that are different in `other`, with their new values.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Vec<(&'static str, String)> {
        let old = self.globals();
        other.globals().into_iter().filter(|entry| !old.contains(entry)).collect()
    }
}

fn hostname() -> String {
    let name = gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

/// The address this machine would send from; `None` without a route.
fn source(to: SocketAddr) -> Option<IpAddr> {
    let any = match to {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

/// The mask of the interface that has the address.
fn mask(address: IpAddr) -> Ipv4Addr {
    let interfaces = getifaddrs().into_iter().flatten();
    let found = interfaces.filter_map(|interface| {
        let own = interface.address?.as_sockaddr_in()?.ip();
        let mask = interface.netmask?.as_sockaddr_in()?.ip();
        (IpAddr::V4(own) == address).then_some(mask)
    });
    found.into_iter().next().unwrap_or(Ipv4Addr::new(255, 0, 0, 0))
}

/// The first address of an interface, of a family (`ipv4`, `ipv6`, or any), IPv4 first.
#[must_use]
pub fn address_of(family: &str, name: &str) -> Option<IpAddr> {
    let wanted = |ip: &IpAddr| match family {
        "ipv4" => ip.is_ipv4(),
        "ipv6" => ip.is_ipv6(),
        _ => true,
    };
    let addresses = getifaddrs().into_iter().flatten();
    let mut found: Vec<IpAddr> = addresses
        .filter(|interface| interface.interface_name == name)
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .filter(wanted)
        .collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_has_a_value_of_its_kind() {
        let all = globals();
        let value = |name| all.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
        assert!(value("hostname").is_some_and(|name| !name.is_empty()));
        let parsed = |name| value(name).and_then(|text| text.parse::<IpAddr>().ok());
        assert!(parsed("local_ip_v4").is_some_and(|ip| ip.is_ipv4() && !ip.is_unspecified()));
        assert!(parsed("local_mask_v4").is_some_and(|ip| ip.is_ipv4()));
        assert!(parsed("local_ip_v6").is_some_and(|ip| ip.is_ipv6() && !ip.is_unspecified()));
    }

    #[test]
    fn what_changed_is_named_with_its_new_value() {
        let before = Machine::now();
        assert_eq!(before.changed(&before), []);
        let after = Machine { hostname: "elsewhere".into(), ..before.clone() };
        assert_eq!(before.changed(&after), [("hostname", "elsewhere".to_owned())]);
    }

    #[test]
    fn loopback_has_the_loopback_mask() {
        assert_eq!(mask(IpAddr::V4(Ipv4Addr::LOCALHOST)), Ipv4Addr::new(255, 0, 0, 0));
    }
}
