//! SIP URIs put together from parts: the one place where `sip:` is written before something.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use super::{Scheme, Uri, escape_user};

/// A SIP URI being put together. What may not stand in a user part is escaped, once; an IPv6 host gets its brackets, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipUri(String);

impl SipUri {
    /// `sip:user@host`, without the user part where `user` is empty. `host` may be an address, a socket's address, or what an
    /// administrator wrote: a name with port and parameters.
    #[must_use]
    pub fn new(user: &str, host: impl fmt::Display) -> Self {
        Self::of(Scheme::Sip, user, host)
    }

    /// The same of another scheme: `sips` if it is that, else `sip`.
    #[must_use]
    pub fn of(scheme: Scheme, user: &str, host: impl fmt::Display) -> Self {
        let mut text = String::from(if scheme == Scheme::Sips { "sips:" } else { "sip:" });
        if !user.is_empty() {
            text.push_str(&escape_user(user));
            text.push('@');
        }
        let host = host.to_string();
        match host.parse::<Ipv6Addr>() {
            Ok(_) => text.extend(["[", &host, "]"]),
            Err(_) => text.push_str(&host),
        }
        Self(text)
    }

    /// With a port.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self(format!("{}:{port}", self.0))
    }

    /// With a parameter.
    #[must_use]
    pub fn param(self, name: &str, value: impl fmt::Display) -> Self {
        Self(format!("{};{name}={value}", self.0))
    }

    /// With parameters as they are written, each with its leading `;`.
    #[must_use]
    pub fn params(mut self, text: &str) -> Self {
        self.0.push_str(text);
        self
    }

    /// The URI; `None` where the host or a parameter is none.
    #[must_use]
    pub fn uri(&self) -> Option<Uri> {
        Uri::parse(&self.0)
    }

    /// `<sip:…>`, as it stands in a header.
    #[must_use]
    pub fn bracketed(&self) -> String {
        format!("<{}>", self.0)
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address as it is written by people, with `sip:` before it unless it begins with `sip:` or `sips:`.
#[must_use]
pub fn with_scheme(text: &str) -> Cow<'_, str> {
    let begins =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|t| t.eq_ignore_ascii_case(scheme));
    if begins("sip:") || begins("sips:") {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("sip:{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_escaped_and_hosts_bracketed_once() {
        let text = |user: &str, host: &str| SipUri::new(user, host).to_string();
        assert_eq!(text("1000", "a.test"), "sip:1000@a.test");
        assert_eq!(text("", "a.test:5070;transport=tcp"), "sip:a.test:5070;transport=tcp");
        assert_eq!(text("a b@c:d>", "a.test"), "sip:a%20b%40c%3Ad%3E@a.test");
        assert_eq!(text("9%231", "a.test"), "sip:9%231@a.test");
        for host in ["2001:db8::1", "[2001:db8::1]"] {
            assert_eq!(text("1", host), "sip:1@[2001:db8::1]");
        }
        let socket: std::net::SocketAddr = "[2001:db8::1]:5060".parse().unwrap();
        assert_eq!(SipUri::new("", socket).to_string(), "sip:[2001:db8::1]:5060");
        let whole = SipUri::of(Scheme::Sips, "1", socket.ip()).port(5061).param("transport", "tls");
        assert_eq!(whole.bracketed(), "<sips:1@[2001:db8::1]:5061;transport=tls>");
        assert_eq!(whole.params(";gw=a").uri().unwrap().params().get("gw"), Some("a"));
        assert_eq!(SipUri::new("1", "a b").uri(), None);
    }

    #[test]
    fn a_scheme_is_put_before_what_has_none() {
        for (text, whole) in [
            ("1000@a.test", "sip:1000@a.test"),
            ("a.test:5070", "sip:a.test:5070"),
            ("sips:1@a.test", "sips:1@a.test"),
            ("SIP:1@a.test", "SIP:1@a.test"),
            ("é", "sip:é"),
            ("", "sip:"),
        ] {
            assert_eq!(with_scheme(text), whole);
        }
    }
}
