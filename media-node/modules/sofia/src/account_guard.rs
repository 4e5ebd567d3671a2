//! Which hosts a gateway's digest credentials are sent to. A response to a challenge is a hash of the password: a host that has one
//! can try passwords against it offline, without limit.
//!
//! That is the access list `gw-auth-acl`; without one, the hosts that the gateway itself names (`proxy`, `register-proxy`,
//! `outbound-proxy`) and the profile's `outbound-proxy`, by address or by what their names resolve to. Credentials sent without a
//! challenge, from an earlier one, are held to the same hosts by the next hop: a redirection or a foreign Contact gets none.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use esl_server::event::Event;
use parking_lot::Mutex;
use sip::digest::{AuthRequest, Authorizer, Challenge, PasswordAuthorizer};
use sip::message::Name;
use sip::stack::{DnsResolver, Resolve, Transport};
use sip::uri::{Uri, with_scheme};

use crate::switch::Switch;

/// Addresses kept of one gateway's names.
const MAX_ADDRESSES: usize = 64;
/// Names of next hops kept at which a challenge from the access list was answered.
const MAX_ADMITTED: usize = 8;
/// Deadline of one name's lookup; after it the addresses known before stay.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(5);

/// A host a gateway names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NamedHost {
    host: String,
    port: Option<u16>,
    transport: Option<Transport>,
}

/// The hosts that get a gateway's credentials.
#[derive(Debug)]
pub struct AccountHosts {
    /// `gw-auth-acl`: it alone decides where it is set.
    list: Option<String>,
    hosts: Vec<NamedHost>,
    /// What the names among `hosts` resolved to at the last lookup.
    addresses: Mutex<Vec<IpAddr>>,
    /// Names of next hops whose challenge came from an address on `list`: a name has no address to check before it is resolved.
    admitted: Mutex<Vec<String>>,
}

impl AccountHosts {
    /// Those of an access list, else the hosts of `ways` (`host:port;params`, with or without `sip:`), which are reached by
    /// `transport` where they name none.
    pub(super) fn new<'a>(
        list: Option<String>,
        ways: impl Iterator<Item = &'a str>,
        transport: &str,
    ) -> Self {
        let named_host = |text: &str| {
            let uri = Uri::parse(&with_scheme(text))?;
            let named = uri.params().get("transport").and_then(Transport::parse);
            let host = uri.host().trim_matches(['[', ']']).to_owned();
            let transport = named.or(Transport::parse(transport));
            Some(NamedHost { host, port: uri.port(), transport })
        };
        let hosts = ways.filter_map(named_host).filter(|named| !named.host.is_empty()).collect();
        Self { list, hosts, addresses: Mutex::default(), admitted: Mutex::default() }
    }

    /// Resolves the names among the hosts. Not needed, and not done, where a list decides.
    pub(super) async fn look_up(&self, resolver: &DnsResolver) {
        if self.list.is_some() {
            return;
        }
        let mut found = Vec::new();
        for named in self.hosts.iter().filter(|named| named.host.parse::<IpAddr>().is_err()) {
            let answer = resolver.resolve(named.host.clone(), named.port, named.transport);
            match tokio::time::timeout(LOOKUP_DEADLINE, answer).await {
                Ok(Ok(answers)) => {
                    found.extend(answers.into_iter().map(|(_, at)| at.ip().to_canonical()));
                }
                _ => found.extend(self.addresses.lock().iter().copied()),
            }
        }
        found.sort();
        found.dedup();
        found.truncate(MAX_ADDRESSES);
        *self.addresses.lock() = found;
    }

    /// Is the challenge from `source` to a request sent to `hop` answered? `on_list` says whether an address is on an access list.
    fn may_challenge(
        &self,
        source: Option<IpAddr>,
        hop: &str,
        on_list: impl Fn(&str, IpAddr) -> bool,
    ) -> bool {
        let Some(source) = source.map(|ip| ip.to_canonical()) else { return false };
        let Some(list) = &self.list else { return self.is_named(source, hop) };
        let admitted = on_list(list, source);
        if admitted && ip_of(hop).is_none() {
            let mut known = self.admitted.lock();
            if !known.iter().any(|name| name.eq_ignore_ascii_case(hop)) {
                if known.len() >= MAX_ADMITTED {
                    known.remove(0);
                }
                known.push(hop.to_owned());
            }
        }
        admitted
    }

    /// Do credentials go along unasked with a request whose next hop is written `hop`?
    fn may_have_ahead(&self, hop: &str, on_list: impl Fn(&str, IpAddr) -> bool) -> bool {
        match (&self.list, ip_of(hop)) {
            (Some(list), Some(ip)) => on_list(list, ip),
            (Some(_), None) => self.admitted.lock().iter().any(|n| n.eq_ignore_ascii_case(hop)),
            (None, Some(ip)) => self.is_named(ip, hop),
            (None, None) => self.hosts.iter().any(|one| one.host.eq_ignore_ascii_case(hop)),
        }
    }

    /// Is it one of the hosts, or did the request go to one of them by its name?
    fn is_named(&self, source: IpAddr, hop: &str) -> bool {
        let is = |named: &NamedHost| match named.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical() == source,
            Err(_) => named.host.eq_ignore_ascii_case(hop),
        };
        self.hosts.iter().any(is) || self.addresses.lock().contains(&source)
    }
}

/// The address a next hop is written as, with or without brackets; `None` for a name.
fn ip_of(hop: &str) -> Option<IpAddr> {
    hop.trim_matches(['[', ']']).parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

/// An account whose credentials go to [`AccountHosts`] only.
pub(super) struct GuardedAccount {
    pub(super) account: Arc<PasswordAuthorizer>,
    pub(super) hosts: Arc<AccountHosts>,
    pub(super) gateway: String,
    pub(super) profile: String,
    pub(super) switch: Weak<Switch>,
}

impl std::fmt::Debug for GuardedAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedAccount").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl Authorizer for GuardedAccount {
    fn answer(&self, challenges: &[Challenge], request: &AuthRequest<'_>) -> Vec<(Name, String)> {
        let Some(switch) = self.switch.upgrade() else { return Vec::new() };
        let source = request.source.map(|source| source.ip());
        let on_list = |list: &str, ip| switch.acl_allows(list, ip);
        if self.hosts.may_challenge(source, request.hop, on_list) {
            return self.account.answer(challenges, request);
        }
        let reason = match &self.hosts.list {
            Some(list) => format!("not in {list}"),
            None => "none of its hosts; gw-auth-acl may name it".to_owned(),
        };
        let source = source.map(|ip| ip.to_string()).unwrap_or_default();
        tracing::warn!(
            "Gateway {}: a challenge from {source} is not answered: {reason}",
            self.gateway
        );
        let mut event = Event::custom("sofia::gateway_invalid_digest_req");
        event.push("Gateway", self.gateway.as_str());
        event.push("profile-name", self.profile.as_str());
        event.push("realm", challenges.first().map(|c| c.realm.clone()).unwrap_or_default());
        esl_server::fire!(switch.bus, event);
        Vec::new()
    }

    fn ahead(&self, request: &AuthRequest<'_>) -> Vec<(Name, String)> {
        let Some(switch) = self.switch.upgrade() else { return Vec::new() };
        if self.hosts.may_have_ahead(request.hop, |list, ip| switch.acl_allows(list, ip)) {
            return self.account.ahead(request);
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn hosts(list: Option<&str>) -> AccountHosts {
        let ways = ["192.0.2.1:5080;transport=tcp", "sip:sbc.example", "[2001:db8::1]:5060"];
        AccountHosts::new(list.map(str::to_owned), ways.into_iter(), "udp")
    }

    #[test]
    fn the_gateways_own_hosts_may_challenge() {
        let hosts = hosts(None);
        let named = |source: &str, hop: &str| {
            hosts.may_challenge(Some(ip(source)), hop, |_, _| unreachable!("no list"))
        };
        assert!(named("192.0.2.1", "192.0.2.1"));
        assert!(named("2001:db8::1", "[2001:db8::1]"));
        assert!(named("198.51.100.7", "SBC.example"), "sent there by name");
        assert!(!named("198.51.100.7", "198.51.100.7"));
        *hosts.addresses.lock() = vec![ip("198.51.100.7")];
        assert!(named("198.51.100.7", "198.51.100.7"));
        assert!(!hosts.may_challenge(None, "192.0.2.1", |_, _| true), "from an unknown address");
        assert_eq!(hosts.hosts[0].transport, Some(Transport::Tcp));
        assert_eq!(hosts.hosts[1].transport, Some(Transport::Udp));
    }

    #[test]
    fn a_foreign_next_hop_gets_no_credentials_unasked() {
        let hosts = hosts(None);
        let ahead = |hop: &str| hosts.may_have_ahead(hop, |_, _| unreachable!("no list"));
        assert!(ahead("192.0.2.1") && ahead("[2001:db8::1]") && ahead("SBC.example"));
        for foreign in ["198.51.100.7", "evil.example", "[2001:db8::2]", "", "192.0.2.1.example"] {
            assert!(!ahead(foreign), "{foreign}");
        }
        *hosts.addresses.lock() = vec![ip("198.51.100.7")];
        assert!(ahead("198.51.100.7"), "what sbc.example resolves to");
    }

    #[test]
    fn an_access_list_decides_alone() {
        let hosts = hosts(Some("carriers"));
        let on_list = |list: &str, at: IpAddr| list == "carriers" && at == ip("203.0.113.5");
        assert!(!hosts.may_have_ahead("192.0.2.1", on_list), "named, and not on the list");
        assert!(hosts.may_have_ahead("203.0.113.5", on_list));
        assert!(!hosts.may_have_ahead("sbc.example", on_list), "a name that has proved nothing");
        assert!(!hosts.may_challenge(Some(ip("192.0.2.1")), "sbc.example", on_list));
        assert!(!hosts.may_have_ahead("sbc.example", on_list));
        assert!(hosts.may_challenge(Some(ip("203.0.113.5")), "sbc.example", on_list));
        assert!(hosts.may_have_ahead("SBC.example", on_list));
        for n in 0..3 * MAX_ADMITTED {
            assert!(hosts.may_challenge(
                Some(ip("203.0.113.5")),
                &format!("h{n}.example"),
                on_list
            ));
        }
        assert_eq!(hosts.admitted.lock().len(), MAX_ADMITTED);
    }
}
