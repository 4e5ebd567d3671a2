//! Where a leg's media gets its settings from: the profile its call came by.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use webrtc::turn::Account;
use webrtc::turn::driver::{Carrier, Server};

use crate::switch::Switch;

/// What a leg is told by the profile it belongs to. Asked at each exchange, so that a reload counts for calls that are up.
pub trait MediaProfile: Send + Sync {
    /// The switch.
    fn switch(&self) -> &Arc<Switch>;

    /// The settings in force.
    fn media_settings(&self) -> Arc<MediaSettings>;

    /// The address shown to a peer, and the one to bind.
    fn rtp_ip_for(&self, peer: Option<IpAddr>) -> (IpAddr, IpAddr);
}

/// The media part of a profile's parameters.
#[derive(Clone, Debug)]
pub struct MediaSettings {
    /// Codecs of calls in.
    pub inbound_codecs: String,
    /// telephone-event payload type of our offers.
    pub te_pt: u8,
    /// How digits travel.
    pub dtmf_type: DtmfType,
    /// Digits in RTP are offered, and not only taken where the far end offers them.
    pub offers_events: bool,
    /// Offer no comfort noise.
    pub suppress_cng: bool,
    /// SDP's `o=` and `s=` name.
    pub username: String,
    /// Timer name, shown in variables only.
    pub rtp_timer_name: String,
    /// Hang up after this long without RTP.
    pub rtp_timeout: Option<Duration>,
    /// The same on hold.
    pub rtp_hold_timeout: Option<Duration>,
    /// RTCP reports.
    pub rtcp_interval: Option<Duration>,
    /// Learn the peer's address from its packets.
    pub rtp_auto_adjust: bool,
    /// Pause between digits sent, ms.
    pub digit_delay_ms: u32,
    /// Access lists of candidates that may be used (`apply-candidate-acl`); none for `wan.auto`.
    pub candidate_acls: Vec<String>,
    /// The TURN server that relays where no direct path works (`turn-server`).
    pub relay: Option<Server>,
}

/// The server of `turn-server`: `turn:host[:port][?transport=udp|tcp]` or `turns:host[:port]` (RFC 7065), with the account of
/// `turn-username` and `turn-password`. A `turns:` server's certificate is vouched for by an authority of `authorities`, a file; by
/// one of the machine's own without it.
///
/// # Errors
/// What is wrong with the URI.
pub fn turn_server(
    uri: &str,
    user: &str,
    password: &str,
    authorities: Option<&str>,
) -> Result<Server, &'static str> {
    let (scheme, rest) = uri.trim().split_once(':').unwrap_or_default();
    let (place, query) = rest.split_once('?').map_or((rest, None), |(p, q)| (p, Some(q)));
    let transport = match query {
        None => None,
        Some(query) => Some(query.strip_prefix("transport=").ok_or("transport= is expected")?),
    };
    let (carrier, usual) = match (scheme, transport) {
        ("turn", None | Some("udp")) => (Carrier::Udp, TURN_PORT),
        ("turn", Some("tcp")) => (Carrier::Tcp, TURN_PORT),
        ("turns", None | Some("tcp")) => {
            (Carrier::Tls { authorities: authorities.map(Into::into) }, TURNS_PORT)
        }
        ("turn" | "turns", _) => return Err("the transport is udp or tcp, and tcp with turns:"),
        _ => return Err("turn:host[:port][?transport=udp|tcp] or turns:host[:port] is expected"),
    };
    // An IPv6 address stands in brackets.
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(usual), str::parse).ok().filter(|port| *port > 0);
    let port = port.ok_or("the port is no port")?;
    if host.is_empty() {
        return Err("no host");
    }
    let account = Account { user: user.to_owned(), password: password.to_owned() };
    Ok(Server { host: host.to_owned(), port, carrier, account })
}

/// The ports meant when none is written (RFC 8656 §3).
const TURN_PORT: u16 = 3478;
const TURNS_PORT: u16 = 5349;

/// How digits are sent when nothing else is negotiated (`dtmf-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtmfType {
    /// RFC 4733 in RTP.
    Rfc2833,
    /// SIP INFO.
    Info,
    /// Not at all.
    None,
}

impl DtmfType {
    /// Reads the parameter; anything unknown is `rfc2833`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "info" => Self::Info,
            "none" => Self::None,
            _ => Self::Rfc2833,
        }
    }

    /// The word on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rfc2833 => "rfc2833",
            Self::Info => "info",
            Self::None => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turn_servers_are_read_as_uris() {
        let read = |uri: &str| {
            let server = turn_server(uri, "u", "p", Some("/ca.pem"))?;
            Ok::<_, &str>((server.host, server.port, server.carrier))
        };
        assert_eq!(read("turn:relay.test"), Ok(("relay.test".into(), 3478, Carrier::Udp)));
        let tcp = "turn:192.0.2.1:80?transport=tcp";
        assert_eq!(read(tcp), Ok(("192.0.2.1".into(), 80, Carrier::Tcp)));
        assert_eq!(read("turn:[2001:db8::1]:99"), Ok(("2001:db8::1".into(), 99, Carrier::Udp)));
        let tls = Carrier::Tls { authorities: Some("/ca.pem".into()) };
        assert_eq!(read("turns:relay.test"), Ok(("relay.test".into(), 5349, tls.clone())));
        assert_eq!(read("turns:r:443?transport=tcp"), Ok(("r".into(), 443, tls)));
        for wrong in [
            "relay.test",
            "turn:",
            "turns:",
            "turns:x?transport=udp",
            "turn:x:0",
            "turn:x:y",
            "turn:x?transport=tls",
            "turn:x?tcp",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
