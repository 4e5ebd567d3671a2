//! Which addresses belong to a network of its own, where requests that a stranger caused must not go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Is that an address inside a private network: loopback, private, shared, link-local, one that stands for such (RFC 6052,
/// RFC 3056), or none that can be called?
#[must_use]
pub fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_internal_v4(v4),
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_internal_v4(v4);
            }
            let [first, second, ..] = v6.segments();
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfe80
                || (first == 0x0064 && second == 0xff9b)
                || first == 0x2002
        }
    }
}

fn is_internal_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_unspecified()
        || v4.is_broadcast()
        || v4.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
}

/// Is that an address that hosts of a cloud ask for what belongs to the machine alone (its credentials), or another of the
/// link it is on? Nobody keeps files there.
#[must_use]
pub fn is_of_the_machine(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_of_the_machine_v4(v4),
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_of_the_machine_v4(v4);
            }
            let all = v6.segments();
            let tail = Ipv4Addr::from_bits((u32::from(all[6]) << 16) | u32::from(all[7]));
            let of_6to4 = Ipv4Addr::from_bits((u32::from(all[1]) << 16) | u32::from(all[2]));
            all[0] & 0xffc0 == 0xfe80
                || METADATA_V6.contains(&v6)
                || (all[0] == 0x0064 && all[1] == 0xff9b && is_of_the_machine_v4(tail))
                || (all[0] == 0x2002 && is_of_the_machine_v4(of_6to4))
        }
    }
}

/// Services of clouds that are not on the link.
const METADATA_V4: [Ipv4Addr; 2] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254),
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254),
];

fn is_of_the_machine_v4(v4: Ipv4Addr) -> bool {
    v4.is_link_local() || METADATA_V4.contains(&v4)
}

/// Which internal addresses a node may be sent to all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    any: bool,
    hosts: Vec<String>,
    networks: Vec<(IpAddr, u8)>,
}

impl Allowed {
    /// Reads a list separated by commas or blanks: `any`, host names, addresses, networks (`10.0.0.0/8`). Gives back what
    /// it does not understand.
    #[must_use]
    pub fn read(list: &str) -> (Self, Vec<String>) {
        let (mut allowed, mut odd) = (Self::default(), Vec::new());
        for word in list.split([',', ' ', ';']).map(str::trim).filter(|word| !word.is_empty()) {
            if word.eq_ignore_ascii_case("any") || word.eq_ignore_ascii_case("all") {
                allowed.any = true;
            } else if let Some(network) = network(word) {
                allowed.networks.push(network);
            } else if word.contains('/')
                || !word.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
            {
                odd.push(word.to_owned());
            } else {
                allowed.hosts.push(word.to_ascii_lowercase());
            }
        }
        (allowed, odd)
    }

    /// Everything: for addresses the administrator wrote.
    #[must_use]
    pub fn any() -> Self {
        Self { any: true, ..Self::default() }
    }

    /// May the node connect to this address, which that host name led to?
    #[must_use]
    pub fn allows(&self, host: &str, address: IpAddr) -> bool {
        !is_internal(address)
            || self.any
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
            || self.networks.iter().any(|(net, bits)| contains(*net, *bits, address))
    }
}

fn network(word: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = word.split_once('/').map_or((word, None), |(a, b)| (a, Some(b)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some((address, bits))
}

fn contains(net: IpAddr, bits: u8, address: IpAddr) -> bool {
    let address = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        v4 => v4,
    };
    let same = |a: u128, b: u128, width: u32| {
        let shift = width - u32::from(bits);
        shift >= 128 || a >> shift == b >> shift
    };
    match (net, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            same(u128::from(a.to_bits()), u128::from(b.to_bits()), 32)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_own_network_are_known() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(is_internal(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["8.8.8.8", "172.32.0.1", "2600::1", "2606:4700::1111", "100.128.0.1"] {
            assert!(!is_internal(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn internal_addresses_are_refused_unless_they_are_named() {
        let allows = |list: &str, host: &str, address: &str| {
            Allowed::read(list).0.allows(host, address.parse().unwrap())
        };
        assert!(allows("", "bot", "8.8.8.8"));
        assert!(!allows("", "bot", "127.0.0.1"));
        assert!(allows("any", "bot", "127.0.0.1"));
        assert!(allows("10.0.0.0/8, bot.local", "x", "10.200.0.1"));
        assert!(allows("10.0.0.0/8, bot.local", "BOT.local", "127.0.0.1"));
        assert!(!allows("10.0.0.0/8, bot.local", "x", "127.0.0.1"));
        assert!(allows("127.0.0.1", "x", "::ffff:127.0.0.1"));
        assert!(allows("::/0", "x", "::1") && allows("0.0.0.0/0", "x", "10.0.0.1"));
        assert_eq!(Allowed::read("a/b, ok").1, ["a/b"]);
    }

    #[test]
    fn what_only_the_machine_may_ask_is_told_from_the_rest_of_its_network() {
        for own in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "192.0.0.192",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(is_of_the_machine(own.parse().unwrap()), "{own}");
            assert!(is_internal(own.parse().unwrap()), "{own}");
        }
        for other in ["127.0.0.1", "10.0.0.1", "8.8.8.8", "fd00::1", "::1"] {
            assert!(!is_of_the_machine(other.parse().unwrap()), "{other}");
        }
    }
}
