//! RFC 3263 §4: from a host as written in a URI to addresses, in the order they are to be tried.

use std::net::SocketAddr;
use std::pin::Pin;

use futures_util::future::{join, join3};

use super::DnsOptions;
use crate::transport::Transport;

/// Addresses found at most.
const MAX_FOUND: usize = 32;
/// SRV records of one name looked at.
const MAX_SRV: usize = 16;

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Srv {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) port: u16,
    pub(crate) target: String,
}

/// A NAPTR record of a SIP service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Naptr {
    pub(crate) order: u16,
    pub(crate) preference: u16,
    pub(crate) transport: Transport,
    /// Name of SRV records.
    pub(crate) replacement: String,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Vec<T>> + Send + 'a>>;

/// Who is asked for records. Nothing found and nobody answering look the same.
pub(crate) trait Records: Send + Sync {
    fn naptr<'a>(&'a self, domain: &'a str) -> Answer<'a, Naptr>;
    fn srv<'a>(&'a self, name: &'a str) -> Answer<'a, Srv>;
    fn addresses<'a>(&'a self, host: &'a str, port: u16) -> Answer<'a, SocketAddr>;
}

/// Where to send, best first.
pub(super) async fn locate(
    records: &dyn Records,
    options: DnsOptions,
    host: &str,
    port: Option<u16>,
    transport: Option<Transport>,
) -> Vec<(Transport, SocketAddr)> {
    let plain = transport.unwrap_or(Transport::Udp);
    let port_or = port.unwrap_or(plain.default_port());
    // A port names one server; a name without dot is one of this network's and has no SRV records.
    if port.is_some() || !options.srv || !host.trim_end_matches('.').contains('.') {
        return with(plain, records.addresses(host, port_or).await);
    }
    // All questions at once: one that stays unanswered must not hold up the others.
    let servers = async {
        match transport {
            Some(transport) => servers(records, &srv_name(transport, host), transport).await,
            None => any_server(records, options, host).await,
        }
    };
    let (servers, addresses) = join(servers, records.addresses(host, port_or)).await;
    let mut found = if servers.is_empty() { with(plain, addresses) } else { servers };
    found.truncate(MAX_FOUND);
    found
}

fn with(transport: Transport, found: Vec<SocketAddr>) -> Vec<(Transport, SocketAddr)> {
    found.into_iter().map(|address| (transport, address)).collect()
}

fn srv_name(transport: Transport, host: &str) -> String {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws => "_sip._ws",
        Transport::Wss => "_sips._ws",
    };
    format!("{service}.{host}")
}

/// The transports a domain names, in its order; else UDP, else TCP.
async fn any_server(
    records: &dyn Records,
    options: DnsOptions,
    host: &str,
) -> Vec<(Transport, SocketAddr)> {
    let naptr = async { if options.naptr { records.naptr(host).await } else { Vec::new() } };
    let (udp, tcp) = (srv_name(Transport::Udp, host), srv_name(Transport::Tcp, host));
    let (mut named, udp, tcp) = join3(
        naptr,
        servers(records, &udp, Transport::Udp),
        servers(records, &tcp, Transport::Tcp),
    )
    .await;
    named.sort_by_key(|record| (record.order, record.preference));
    let mut found = Vec::new();
    for record in named.iter().take(MAX_SRV) {
        found.extend(servers(records, &record.replacement, record.transport).await);
    }
    if found.is_empty() {
        found.extend(udp);
        found.extend(tcp);
    }
    found
}

async fn servers(
    records: &dyn Records,
    name: &str,
    transport: Transport,
) -> Vec<(Transport, SocketAddr)> {
    let mut found = Vec::new();
    for record in in_order(records.srv(name).await, random) {
        let addresses = records.addresses(&record.target, record.port).await;
        found.extend(with(transport, addresses));
        if found.len() >= MAX_FOUND {
            break;
        }
    }
    found
}

/// A number below `bound`.
fn random(bound: u32) -> u32 {
    getrandom::u32().map_or(0, |n| n % bound.max(1))
}

/// The order of RFC 2782: by priority, and within one by chance, heavier ones more often first.
fn in_order(mut records: Vec<Srv>, mut below: impl FnMut(u32) -> u32) -> Vec<Srv> {
    // A single record for "." says that there is no such service.
    records.retain(|record| !record.target.trim_end_matches('.').is_empty());
    records.truncate(MAX_SRV);
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut out: Vec<Srv> = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|record| record.priority) {
        let same = records.iter().take_while(|record| record.priority == priority).count();
        let total: u32 = records.iter().take(same).map(|record| u32::from(record.weight)).sum();
        let mut left = below(total + 1);
        let mut chosen = 0;
        for (at, record) in records.iter().take(same).enumerate() {
            chosen = at;
            match left.checked_sub(u32::from(record.weight)) {
                Some(rest) if rest > 0 => left = rest,
                _ => break,
            }
        }
        out.push(records.remove(chosen));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records by name.
    #[derive(Default)]
    struct Zone {
        naptr: Vec<Naptr>,
        srv: Vec<(&'static str, Srv)>,
        hosts: Vec<(&'static str, &'static str)>,
    }

    impl Records for Zone {
        fn naptr<'a>(&'a self, _: &'a str) -> Answer<'a, Naptr> {
            Box::pin(async { self.naptr.clone() })
        }

        fn srv<'a>(&'a self, name: &'a str) -> Answer<'a, Srv> {
            let found = self.srv.iter().filter(|(owner, _)| *owner == name);
            let found = found.map(|(_, record)| record.clone()).collect();
            Box::pin(async { found })
        }

        fn addresses<'a>(&'a self, host: &'a str, port: u16) -> Answer<'a, SocketAddr> {
            let found = self.hosts.iter().filter(|(name, _)| *name == host);
            let found = found.map(|(_, ip)| SocketAddr::new(ip.parse().unwrap(), port)).collect();
            Box::pin(async { found })
        }
    }

    fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
        Srv { priority, weight, port, target: target.to_owned() }
    }

    fn zone() -> Zone {
        Zone {
            naptr: Vec::new(),
            srv: vec![
                ("_sip._udp.carrier.example", srv(20, 1, 5062, "two.example")),
                ("_sip._udp.carrier.example", srv(10, 1, 5061, "one.example")),
                ("_sip._tcp.carrier.example", srv(10, 1, 5070, "one.example")),
                ("_sips._tcp.carrier.example", srv(10, 1, 5071, "one.example")),
            ],
            hosts: vec![
                ("one.example", "192.0.2.1"),
                ("two.example", "192.0.2.2"),
                ("two.example", "2001:db8::2"),
                ("carrier.example", "192.0.2.9"),
                ("plain.example", "192.0.2.8"),
                ("pbx", "192.0.2.7"),
            ],
        }
    }

    async fn found(zone: &Zone, host: &str, port: Option<u16>, over: Option<Transport>) -> String {
        let found = locate(zone, DnsOptions::default(), host, port, over).await;
        let words: Vec<_> = found.iter().map(|(t, a)| format!("{t} {a}")).collect();
        words.join(", ")
    }

    #[tokio::test]
    async fn servers_come_by_priority_and_transport() {
        let zone = zone();
        assert_eq!(
            found(&zone, "carrier.example", None, None).await,
            "UDP 192.0.2.1:5061, UDP 192.0.2.2:5062, UDP [2001:db8::2]:5062, TCP 192.0.2.1:5070"
        );
        assert_eq!(
            found(&zone, "carrier.example", None, Some(Transport::Tls)).await,
            "TLS 192.0.2.1:5071"
        );
    }

    #[tokio::test]
    async fn a_port_or_a_name_without_servers_means_the_host_itself() {
        let zone = zone();
        assert_eq!(found(&zone, "carrier.example", Some(5090), None).await, "UDP 192.0.2.9:5090");
        assert_eq!(found(&zone, "plain.example", None, None).await, "UDP 192.0.2.8:5060");
        let tls = Some(Transport::Tls);
        assert_eq!(found(&zone, "plain.example", None, tls).await, "TLS 192.0.2.8:5061");
        assert_eq!(found(&zone, "pbx", None, Some(Transport::Tcp)).await, "TCP 192.0.2.7:5060");
        assert_eq!(found(&zone, "nobody.example", None, None).await, "");
    }

    #[tokio::test]
    async fn a_domain_may_name_its_transports() {
        let mut zone = zone();
        let naptr = |order, transport, replacement: &str| Naptr {
            order,
            preference: 10,
            transport,
            replacement: replacement.to_owned(),
        };
        zone.naptr = vec![
            naptr(90, Transport::Udp, "_sip._udp.carrier.example"),
            naptr(50, Transport::Tcp, "_sip._tcp.carrier.example"),
        ];
        let all = found(&zone, "carrier.example", None, None).await;
        assert!(all.starts_with("TCP 192.0.2.1:5070, UDP 192.0.2.1:5061"), "{all}");
        let options = DnsOptions { naptr: false, srv: true };
        let found = locate(&zone, options, "carrier.example", None, None).await;
        assert_eq!(found[0].0, Transport::Udp);
        let options = DnsOptions { naptr: true, srv: false };
        let found = locate(&zone, options, "carrier.example", None, None).await;
        assert_eq!(found, [(Transport::Udp, "192.0.2.9:5060".parse().unwrap())]);
    }

    #[test]
    fn heavier_records_come_first_more_often() {
        let records = || vec![srv(1, 10, 1, "light."), srv(1, 90, 2, "heavy."), srv(0, 0, 3, "a.")];
        let ports = |draw: u32| -> Vec<u16> {
            in_order(records(), |_| draw).iter().map(|r| r.port).collect()
        };
        assert_eq!(ports(0), [3, 1, 2]);
        assert_eq!(ports(10), [3, 1, 2]);
        assert_eq!(ports(11), [3, 2, 1]);
        assert_eq!(ports(100), [3, 2, 1]);
        assert_eq!(in_order(vec![srv(0, 0, 0, ".")], |_| 0), []);
    }
}
