//! Where a program is: addresses as each dialect reads them, and which hosts the node may be sent to.

use std::net::Ipv6Addr;

pub use base::network::Allowed;

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
}
