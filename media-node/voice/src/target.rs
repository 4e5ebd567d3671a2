//! Where a program is: addresses as each dialect reads them, and which hosts the node may be sent to.

use std::net::{IpAddr, Ipv6Addr};

use base::network::is_internal;

/// A program's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// TLS.
    pub secure: bool,
    /// No WebSocket: a connection of bytes (AudioSocket).
    pub raw: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query.
    pub path: String,
}

/// Limits of `uuid_audio_fork`.
const MAX_HOST: usize = 512;
const MAX_PATH: usize = 4096;

impl Target {
    /// An address as `uuid_audio_fork` takes it: `ws`, `wss`, `http` or `https`, all in one case.
    #[must_use]
    pub fn fork(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let secure = match scheme {
            "ws" | "WS" | "http" | "HTTP" => false,
            "wss" | "WSS" | "https" | "HTTPS" => true,
            _ => return None,
        };
        Self::split(secure, rest)
    }

    /// An address as `uuid_audio_stream` takes it: `ws` or `wss`, no IPv6, a number for a port.
    #[must_use]
    pub fn stream(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let secure = match scheme {
            "ws" => false,
            "wss" => true,
            _ => return None,
        };
        let target = Self::split(secure, rest)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        target.host.bytes().all(fits).then_some(target)
    }

    /// Any address the `stream` application takes: those above and `tcp://` for AudioSocket.
    #[must_use]
    pub fn any(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        if matches!(scheme, "tcp" | "audiosocket") {
            return Some(Self { raw: true, ..Self::split(false, rest)? });
        }
        Self::fork(url)
    }

    fn split(secure: bool, rest: &str) -> Option<Self> {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = match authority.strip_prefix('[') {
            Some(inside) => {
                let (host, after) = inside.split_once(']')?;
                host.parse::<Ipv6Addr>().ok()?;
                (host, after.strip_prefix(':').or(after.is_empty().then_some(""))?)
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        let port = match port {
            "" if secure => 443,
            "" => 80,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port != 0)?
            }
            _ => return None,
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let odd = |text: &str| text.bytes().any(|b| b <= b' ' || b == 0x7f);
        let too_long = host.len() > MAX_HOST || path.len() > MAX_PATH;
        if host.is_empty() || too_long || odd(host) || odd(&path) || host.contains('@') {
            return None;
        }
        Some(Self { secure, raw: false, host: host.to_owned(), port, path })
    }

    /// Value of `Host`: name and port, where that is not the usual one.
    #[must_use]
    pub fn host_header(&self) -> String {
        let usual = if self.secure { 443 } else { 80 };
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// The address without its path and query, which may hold secrets: for logs and events.
    #[must_use]
    pub fn shown(&self) -> String {
        let scheme = match (self.raw, self.secure) {
            (true, _) => "tcp",
            (_, true) => "wss",
            _ => "ws",
        };
        format!("{scheme}://{}", self.host_header())
    }
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

    fn target(secure: bool, host: &str, port: u16, path: &str) -> Option<Target> {
        Some(Target { secure, raw: false, host: host.into(), port, path: path.into() })
    }

    #[test]
    fn addresses_are_read_as_each_dialect_has_them() {
        let fork = Target::fork;
        assert_eq!(fork("ws://bot"), target(false, "bot", 80, "/"));
        assert_eq!(fork("WSS://bot:9/x?a=b"), target(true, "bot", 9, "/x?a=b"));
        assert_eq!(fork("https://bot?a"), target(true, "bot", 443, "/?a"));
        assert_eq!(fork("http://[::1]:8080/"), target(false, "::1", 8080, "/"));
        for bad in [
            "Ws://bot",
            "bot",
            "ws://",
            "ws://b:0",
            "ws://b:x",
            "ws://b:70000",
            "ws://a b",
            "ws://a/\r\nX: y",
            "ws://u@h/",
            "ftp://h",
        ] {
            assert_eq!(fork(bad), None, "{bad}");
        }
        assert_eq!(Target::stream("ws://bot-1.x:81/p"), target(false, "bot-1.x", 81, "/p"));
        for bad in ["http://bot", "WS://bot", "ws://[::1]/", "ws://a_b/"] {
            assert_eq!(Target::stream(bad), None, "{bad}");
        }
        assert!(Target::any("tcp://bot:9092").is_some_and(|target| target.raw));
    }

    #[test]
    fn what_is_shown_of_an_address_holds_no_secret() {
        let shown = Target::fork("wss://bot:444/x?token=secret").unwrap().shown();
        assert_eq!(shown, "wss://bot:444");
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
}
