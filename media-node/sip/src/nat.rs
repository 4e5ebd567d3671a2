//! Telling whether a peer sits behind NAT (rules of the reference, spec §1.8 and §5.3), from what a
//! request says and where it came from.

use std::net::{IpAddr, SocketAddr};

use crate::message::{Headers, Name, Via};
use crate::transport::Transport;

/// What the profile asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// `aggressive-nat-detection`.
    pub aggressive: bool,
    /// `tcp-always-nat`.
    pub tcp_always: bool,
    /// `tls-always-nat`.
    pub tls_always: bool,
    /// Answers follow the source unasked: then phones known for bad addresses are looked at closely.
    pub follows_source: bool,
}

/// Phones whose addresses are not to be trusted.
const SUSPECTS: [&str; 3] = ["Polycom", "KIRK Wireless Server", "ADTRAN_Total_Access"];

/// True when the request looks as if its sender sat behind NAT. `natted` tells whether an address is in
/// one of the profile's `apply-nat-acl` lists.
pub fn is_behind_nat(
    headers: &Headers,
    source: SocketAddr,
    transport: Transport,
    rules: Rules,
    natted: impl Fn(IpAddr) -> bool,
) -> bool {
    match transport {
        Transport::Ws | Transport::Wss => return true,
        Transport::Tcp if rules.tcp_always => return true,
        Transport::Tls if rules.tls_always => return true,
        _ => {}
    }
    let via = headers.via();
    let suspect = || {
        let agent = headers.get(Name::UserAgent).unwrap_or("");
        rules.follows_source
            && transport == Transport::Udp
            && SUSPECTS.iter().any(|name| agent.starts_with(name))
    };
    if (rules.aggressive || suspect()) && via.is_some_and(|v| differs(&v, source)) {
        return true;
    }
    let claimed =
        via.and_then(|v| ip_of(v.host)).or_else(|| headers.contact().and_then(|c| c.uri.host_ip()));
    claimed.is_some_and(&natted) && !natted(source.ip())
}

fn differs(via: &Via<'_>, source: SocketAddr) -> bool {
    via.params.has("received")
        || ip_of(via.host).is_some_and(|ip| ip != source.ip())
        || via.port.unwrap_or(5060) != source.port()
}

fn ip_of(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(ip: IpAddr) -> bool {
        matches!(ip, IpAddr::V4(v4) if v4.is_private())
    }

    fn check(via: &str, source: &str, rules: Rules) -> bool {
        let headers: Headers = [("Via", via)].into_iter().collect();
        is_behind_nat(&headers, source.parse().unwrap(), Transport::Udp, rules, private)
    }

    #[test]
    fn a_private_via_from_a_public_source_is_behind_nat() {
        let via = "SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK1";
        assert!(check(via, "203.0.113.9:40000", Rules::default()));
        assert!(!check(via, "10.0.0.5:5060", Rules::default()));
    }

    #[test]
    fn aggressive_detection_looks_at_every_difference() {
        let aggressive = Rules { aggressive: true, ..Rules::default() };
        let via = "SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bK1";
        assert!(check(via, "203.0.113.9:5061", aggressive));
        assert!(!check(via, "203.0.113.9:5060", aggressive));
        assert!(!check(via, "203.0.113.9:5061", Rules::default()));
    }
}
