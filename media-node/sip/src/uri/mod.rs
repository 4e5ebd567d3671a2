//! SIP, SIPS, TEL and other URIs, and the `"name" <uri>;params` form of address headers.
//!
//! A [`Uri`] keeps its text as it was written and knows where its parts stand in it, so that
//! printing gives back the same bytes. Only needless escapes in the user part are undone, as in the reference: a
//! user is compared by what it means.

mod build;
mod escape;
mod name_addr;
mod params;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

pub use build::{SipUri, with_scheme};
pub use escape::{escape_param, escape_user, unescape};
pub use name_addr::NameAddr;
pub use params::Params;

use crate::message::scan::trim;

/// Longest URI accepted, bytes.
pub const MAX_URI: usize = 8 * 1024;

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    /// Anything else: legal, but no way to route to it.
    Other,
}

/// A URI. Equality is that of the text; see [`Uri::equivalent`] for the SIP rules.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    text: Box<str>,
    scheme: Scheme,
    /// End of `scheme:`.
    start: u16,
    /// End of the user part; `start` when there is none.
    user_end: u16,
    /// Start and end of the host.
    host: (u16, u16),
    port: Option<u16>,
    /// Start of `;params`.
    params: u16,
    /// Start of `?headers`.
    headers: u16,
}

impl Uri {
    /// Reads a URI; `None` when it is malformed, longer than [`MAX_URI`] or holds white space,
    /// control characters or angle brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let text = trim(text);
        let forbidden = |b: u8| b <= b' ' || b == 0x7f || b"<>\"".contains(&b);
        if text.len() > MAX_URI || text.bytes().any(forbidden) {
            return None;
        }
        let colon = text.find(':')?;
        let scheme = Self::scheme_of(text.get(..colon)?)?;
        let start = colon + 1;
        match scheme {
            Scheme::Sip | Scheme::Sips => {
                Self::parse_sip(&with_plain_user(text, start), scheme, start)
            }
            Scheme::Tel | Scheme::Other => Self::parse_opaque(text, scheme, start),
        }
    }

    fn scheme_of(text: &str) -> Option<Scheme> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) || !text.bytes().all(legal) {
            return None;
        }
        Some(match text {
            t if t.eq_ignore_ascii_case("sip") => Scheme::Sip,
            t if t.eq_ignore_ascii_case("sips") => Scheme::Sips,
            t if t.eq_ignore_ascii_case("tel") => Scheme::Tel,
            _ => Scheme::Other,
        })
    }

    fn parse_sip(text: &str, scheme: Scheme, start: usize) -> Option<Self> {
        let rest = text.get(start..)?;
        // `@` may stand unescaped only as the end of the user part; `;` and `?` may stand in it.
        let (user_end, host_start) = match rest.find('@') {
            Some(0) => return None,
            Some(at) => (start + at, start + at + 1),
            None => (start, start),
        };
        let tail = text.get(host_start..)?;
        let host_end = host_start + tail.find([';', '?']).unwrap_or(tail.len());
        let host_port = text.get(host_start..host_end)?;
        let (host, port) = crate::message::split_host_port(host_port)?;
        let after = text.get(host_end..)?;
        let headers = host_end + after.find('?').unwrap_or(after.len());
        Some(Self {
            scheme,
            start: start as u16,
            user_end: user_end as u16,
            host: (host_start as u16, (host_start + host.len()) as u16),
            port,
            params: host_end as u16,
            headers: headers as u16,
            text: text.into(),
        })
    }

    fn parse_opaque(text: &str, scheme: Scheme, start: usize) -> Option<Self> {
        let rest = text.get(start..).filter(|r| !r.is_empty())?;
        let params = start
            + if scheme == Scheme::Tel { rest.find(';').unwrap_or(rest.len()) } else { rest.len() };
        let end = text.len() as u16;
        Some(Self {
            scheme,
            start: start as u16,
            user_end: params as u16,
            host: (end, end),
            port: None,
            params: params as u16,
            headers: end,
            text: text.into(),
        })
    }

    /// A SIP URI from its parts. `user` is escaped where needed; an empty one is left out. An IPv6
    /// host gets its brackets.
    pub fn sip(user: &str, host: &str, port: Option<u16>) -> Option<Self> {
        let text = SipUri::new(user, host);
        port.map_or(text.clone(), |port| text.port(port)).uri()
    }

    /// The text as parsed, the user part in its plain form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The user part with its password, still escaped; the number of a `tel:` URI. `None` when there
    /// is none.
    pub fn userinfo(&self) -> Option<&str> {
        (self.user_end > self.start).then(|| self.part(self.start, self.user_end))
    }

    /// The user part without password, still escaped.
    pub fn user(&self) -> Option<&str> {
        self.userinfo().map(|info| match self.scheme {
            Scheme::Sip | Scheme::Sips => info.split(':').next().unwrap_or(info),
            Scheme::Tel | Scheme::Other => info,
        })
    }

    /// The host; IPv6 in brackets; empty for `tel:` and foreign schemes.
    pub fn host(&self) -> &str {
        self.part(self.host.0, self.host.1)
    }

    /// The host as an address, when it is one.
    pub fn host_ip(&self) -> Option<IpAddr> {
        self.host().trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// The port when given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// URI parameters.
    pub fn params(&self) -> Params<'_> {
        Params::new(self.part(self.params, self.headers))
    }

    /// The `?...` part without the question mark.
    pub fn headers(&self) -> &str {
        let end = u16::try_from(self.text.len()).unwrap_or(u16::MAX);
        self.part(self.headers, end).trim_start_matches('?')
    }

    /// This URI with other parameters, given with their leading `;`; `?headers` are dropped.
    pub fn with_params(&self, params: &str) -> Option<Self> {
        Self::parse(&format!("{}{params}", self.part(0, self.params)))
    }

    /// This URI without `?headers`, which may not stand in a Request-URI.
    pub fn without_headers(&self) -> Self {
        Self::parse(self.part(0, self.headers)).unwrap_or_else(|| self.clone())
    }

    /// Equality by RFC 3261 §19.1.4: host ignoring case, user exactly (after unescaping), port and the
    /// parameters `transport`, `user`, `ttl`, `method`, `maddr` must agree, others only when both have
    /// them.
    pub fn equivalent(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.port == other.port
            && self.host().eq_ignore_ascii_case(other.host())
            && self.userinfo().map(unescape) == other.userinfo().map(unescape)
            && Self::params_agree(self.params(), other.params())
            && Self::params_agree(other.params(), self.params())
    }

    fn params_agree(a: Params<'_>, b: Params<'_>) -> bool {
        const BINDING: [&str; 5] = ["transport", "user", "ttl", "method", "maddr"];
        a.iter().all(|(name, value)| match b.get(name) {
            Some(theirs) => value.unwrap_or("").eq_ignore_ascii_case(theirs),
            None => !BINDING.iter().any(|n| n.eq_ignore_ascii_case(name)),
        })
    }

    fn part(&self, start: u16, end: u16) -> &str {
        self.text.get(usize::from(start)..usize::from(end)).unwrap_or("")
    }
}

/// The text of a SIP URI with its user part and password in their plain form.
fn with_plain_user(text: &str, start: usize) -> Cow<'_, str> {
    let (Some(scheme), Some(rest)) = (text.get(..start), text.get(start..)) else {
        return Cow::Borrowed(text);
    };
    let Some((info, tail)) = rest.split_once('@').filter(|(info, _)| info.contains('%')) else {
        return Cow::Borrowed(text);
    };
    let user = match info.split_once(':') {
        Some((user, password)) => {
            format!("{}:{}", escape::plain_user(user), escape::plain_password(password))
        }
        None => escape::plain_user(info).into_owned(),
    };
    Cow::Owned(format!("{scheme}{user}@{tail}"))
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_where_they_were_written() {
        let uri =
            Uri::parse("sip:+1555;ext=7:secret@[2001:db8::1]:5070;transport=tcp;lr?Subject=x")
                .unwrap();
        assert_eq!(uri.user(), Some("+1555;ext=7"));
        assert_eq!(uri.userinfo(), Some("+1555;ext=7:secret"));
        assert_eq!((uri.host(), uri.port()), ("[2001:db8::1]", Some(5070)));
        assert_eq!(uri.params().get("TRANSPORT"), Some("tcp"));
        assert!(uri.params().has("lr"));
        assert_eq!(uri.headers(), "Subject=x");
        assert_eq!(uri.without_headers().headers(), "");
    }

    #[test]
    fn a_user_may_hold_what_looks_like_parameters() {
        let uri = Uri::parse("sip:user;par=u%40example.net@example.com").unwrap();
        assert_eq!(uri.user(), Some("user;par=u%40example.net"));
        assert_eq!(uri.host(), "example.com");
    }

    #[test]
    fn a_user_is_what_it_means() {
        for (text, user, plain) in [
            ("sip:%2B12025550199@h", "+12025550199", "sip:+12025550199@h"),
            ("sip:%2A97@h;x=%41", "*97", "sip:*97@h;x=%41"),
            ("sips:8%3024:p%41@h", "8024", "sips:8024:pA@h"),
            ("sip:9%23@h", "9%23", "sip:9%23@h"),
            ("sip:a%20b@h", "a%20b", "sip:a%20b@h"),
            ("sip:j%40s0n@h", "j%40s0n", "sip:j%40s0n@h"),
        ] {
            let uri = Uri::parse(text).unwrap();
            assert_eq!((uri.user(), uri.as_str()), (Some(user), plain));
            assert_eq!(uri.host(), "h");
        }
    }

    #[test]
    fn malformed_uris_are_refused() {
        for bad in [
            "",
            "sip:",
            "sip:@h",
            "sip:a b@h",
            "<sip:a@h>",
            "sip:a@h:99999",
            "sip:a@[::1",
            "1ip:a@h",
            "sip",
        ] {
            assert!(Uri::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn equivalence_follows_the_comparison_rules() {
        let same = |a: &str, b: &str| Uri::parse(a).unwrap().equivalent(&Uri::parse(b).unwrap());
        assert!(same(
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtLanTa.CoM;Transport=tcp"
        ));
        assert!(same("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"));
        assert!(!same("sip:ALICE@AtLanTa.CoM", "sip:alice@atlanta.com"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"));
        assert!(!same("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"));
        assert!(!same("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"));
    }
}
