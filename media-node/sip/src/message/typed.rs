//! Typed views of the headers a stack must understand.

use std::net::{IpAddr, SocketAddr};

use super::method::Method;
use super::scan::{find_outside, is_token, trim};
use crate::uri::Params;

/// `CSeq`: a 31-bit number and a method (RFC 3261 §8.1.1.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// The sequence number, below 2^31.
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads `4711 INVITE`.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let number = words.next()?;
        let method = Method::parse(words.next()?)?;
        if words.next().is_some() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number: u32 = number.parse().ok().filter(|n| *n <= i32::MAX as u32)?;
        Some(Self { number, method })
    }
}

/// One element of `Via`.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// Transport as spelt: `UDP`, `TCP`, `TLS`, `WS`, `WSS` or something else.
    pub transport: &'a str,
    /// The `sent-by` host; IPv6 in brackets.
    pub host: &'a str,
    /// The `sent-by` port when given.
    pub port: Option<u16>,
    /// Everything after `sent-by`.
    pub params: ViaParams<'a>,
}

/// Parameters of a `Via` element.
pub type ViaParams<'a> = Params<'a>;

impl<'a> Via<'a> {
    /// Reads one element: `SIP/2.0/UDP host[:port][;params]`, white space allowed where the grammar
    /// allows it.
    pub fn parse(value: &'a str) -> Option<Self> {
        let (name, rest) = value.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        if !trim(name).eq_ignore_ascii_case("SIP") || trim(version) != "2.0" {
            return None;
        }
        let rest = trim(rest);
        let end = rest.find([' ', '\t', '\r', '\n'])?;
        let (transport, rest) = rest.split_at_checked(end)?;
        let rest = trim(rest);
        let (sent_by, params) = match rest.find(';') {
            Some(at) => rest.split_at_checked(at)?,
            None => (rest, ""),
        };
        let (host, port) = split_host_port(trim(sent_by))?;
        is_token(transport).then_some(Self { transport, host, port, params: Params::new(params) })
    }

    /// The transaction's branch; `None` when missing or empty.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch").filter(|b| !b.is_empty())
    }

    /// Where responses go (RFC 3261 §18.2.2, RFC 3581 §4). `source` is where the request came from,
    /// used whenever `rport` was asked for; `None` when `sent-by` is a name and nothing else is known.
    pub fn response_address(&self, default_port: u16) -> Option<SocketAddr> {
        let received = self.params.get("received").or_else(|| self.params.get("maddr"));
        let host = received.unwrap_or(self.host);
        let ip: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        let rport = self.params.get("rport").and_then(|p| p.parse().ok());
        Some(SocketAddr::new(ip, rport.or(self.port).unwrap_or(default_port)))
    }
}

/// Splits `host[:port]`, `[v6][:port]`; white space around the colon is tolerated.
pub(crate) fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']')?;
        let (host, rest) = text.split_at_checked(end + 1)?;
        (host, trim(rest).strip_prefix(':'))
    } else {
        match text.split_once(':') {
            Some((host, port)) => (trim(host), Some(port)),
            None => (text, None),
        }
    };
    let port = match port.map(trim) {
        None => None,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        Some(_) => return None,
    };
    is_host(host).then_some((host, port))
}

/// Liberal host check: a name (underscores happen), an IPv4 address, or bracketed IPv6.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inner.split('%').next().is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// The `tag` parameter of a `From` or `To` value.
pub fn tag_of(value: &str) -> Option<&str> {
    // Header parameters start at the first `;` outside the brackets: those inside belong to the URI.
    let params = value.get(find_outside(value, b';')?..)?;
    Params::new(params).get("tag").filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn via_reads_spaces_and_parameters() {
        let via =
            Via::parse("SIP / 2.0 / UDP\t[2001:db8::9:1]:5070 ; branch=z9hG4bKx;rport").unwrap();
        assert_eq!((via.transport, via.host, via.port), ("UDP", "[2001:db8::9:1]", Some(5070)));
        assert_eq!(via.branch(), Some("z9hG4bKx"));
        assert_eq!(via.params.get("rport"), Some(""));
    }

    #[test]
    fn responses_follow_received_and_rport() {
        let via = Via::parse("SIP/2.0/UDP a.example:5062;received=192.0.2.7;rport=4000").unwrap();
        assert_eq!(via.response_address(5060), Some("192.0.2.7:4000".parse().unwrap()));
        assert_eq!(Via::parse("SIP/2.0/UDP a.example").unwrap().response_address(5060), None);
    }

    #[test]
    fn tags_are_header_parameters_only() {
        assert_eq!(tag_of("\"a;tag=no\" <sip:x@h;tag=no>;x=1;tag=yes"), Some("yes"));
        assert_eq!(tag_of("<sip:x@h;tag=no>"), None);
        assert_eq!(tag_of("sip:x@h;tag=yes"), Some("yes"));
    }

    #[test]
    fn cseq_is_a_31_bit_number_and_a_token() {
        assert_eq!(CSeq::parse("7 BYE"), Some(CSeq { number: 7, method: Method::Bye }));
        for bad in
            ["36893488147419103232 REGISTER", "2147483648 BYE", "-1 BYE", "7", "7 BYE x", "+7 BYE"]
        {
            assert_eq!(CSeq::parse(bad), None, "{bad}");
        }
    }
}
