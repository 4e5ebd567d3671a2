//! RTP ports: an even one for RTP with the odd one after it for RTCP, from a configured range.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::OpenError;
use crate::io::{Network, Socket};

/// Ports from 1024 on that browsers send nothing to, UDP included (the Fetch standard's list of bad ports): a candidate
/// with one of them never answers.
const REFUSED_BY_BROWSERS: [u16; 19] = [
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669,
    6679, 6697, 10080,
];

/// The ports of a range, per local address. Each address walks through the range in an order of its own, so that a
/// port just freed rests as long as possible (late packets of the old call find it closed) and no outsider can tell
/// which one comes next (packets sent there before the peer's own find it closed too).
#[derive(Debug)]
pub(crate) struct PortPool {
    min: u16,
    max: u16,
    /// Pairs of the range that are given out: those with a port that browsers refuse are not.
    pairs: Vec<u16>,
    hosts: Mutex<HashMap<IpAddr, Host>>,
}

#[derive(Debug)]
struct Host {
    used: Vec<bool>,
    /// Places of the range in the order they are given out.
    order: Vec<u16>,
    next: usize,
}

impl Host {
    fn new(pairs: &[u16]) -> Self {
        let mut order = pairs.to_vec();
        // The keys of a `RandomState` come from the system and are not known outside.
        let random = RandomState::new();
        for at in (1..order.len()).rev() {
            order.swap(at, (random.hash_one(at) % (at as u64 + 1)) as usize);
        }
        let places = pairs.last().map_or(0, |last| usize::from(*last) + 1);
        Self { used: vec![false; places], order, next: 0 }
    }
}

/// Gives its port pair back when dropped.
#[derive(Debug)]
pub(crate) struct PortLease {
    pool: Arc<PortPool>,
    ip: IpAddr,
    index: usize,
}

/// What a lease comes with. Dropping order matters: sockets first, then the lease.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) rtp: Socket,
    pub(crate) rtcp: Option<Socket>,
    pub(crate) _lease: Option<PortLease>,
}

impl PortPool {
    pub(crate) fn new(min: u16, max: u16) -> Arc<Self> {
        let first = min.saturating_add(min & 1).max(2);
        let places = max.saturating_sub(first).saturating_add(1) / 2;
        let refused = |port: &u16| REFUSED_BY_BROWSERS.contains(port);
        let usable =
            |place: &u16| !refused(&(first + 2 * place)) && !refused(&(first + 2 * place + 1));
        let pairs = (0..places).filter(usable).collect();
        Arc::new(Self { min: first, max, pairs, hosts: Mutex::new(HashMap::new()) })
    }

    /// Binds the next free pair on `ip`; ports other programs have taken are passed over.
    pub(crate) fn open(
        self: &Arc<Self>,
        network: &Network,
        ip: IpAddr,
        rtcp: bool,
    ) -> Result<Sockets, OpenError> {
        for _ in &self.pairs {
            let Some(lease) = self.lease(ip) else { break };
            match bind_pair(network, ip, self.port(lease.index), rtcp) {
                Ok((rtp, rtcp)) => return Ok(Sockets { rtp, rtcp, _lease: Some(lease) }),
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => {}
                Err(source) => return Err(OpenError::Bind { ip, source }),
            }
        }
        Err(OpenError::NoPorts { ip, min: self.min, max: self.max })
    }

    /// Binds a port that was asked for; the range has no part in it, and passes over the port while it is taken.
    pub(crate) fn open_at(
        network: &Network,
        ip: IpAddr,
        port: u16,
        rtcp: bool,
    ) -> Result<Sockets, OpenError> {
        let (rtp, rtcp) = bind_pair(network, ip, port, rtcp && port < u16::MAX)
            .map_err(|source| OpenError::Bind { ip, source })?;
        Ok(Sockets { rtp, rtcp, _lease: None })
    }

    /// Pairs in use on the address that uses most, and pairs there are.
    pub(crate) fn usage(&self) -> (usize, usize) {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let used = |host: &Host| host.used.iter().filter(|used| **used).count();
        (hosts.values().map(used).max().unwrap_or(0), self.pairs.len())
    }

    fn port(&self, index: usize) -> u16 {
        self.min + 2 * index as u16
    }

    fn lease(self: &Arc<Self>, ip: IpAddr) -> Option<PortLease> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(ip).or_insert_with(|| Host::new(&self.pairs));
        let count = self.pairs.len();
        let mut turns = (0..count).map(|n| (host.next + n) % count);
        let turn = turns.find(|turn| !host.used[usize::from(host.order[*turn])])?;
        let index = usize::from(host.order[turn]);
        host.used[index] = true;
        host.next = (turn + 1) % count;
        Some(PortLease { pool: Arc::clone(self), ip, index })
    }
}

fn bind_pair(
    network: &Network,
    ip: IpAddr,
    port: u16,
    rtcp: bool,
) -> io::Result<(Socket, Option<Socket>)> {
    let rtp = network.bind(ip, port)?;
    let rtcp = if rtcp { Some(network.bind(ip, port + 1)?) } else { None };
    Ok((rtp, rtcp))
}

impl Drop for PortLease {
    fn drop(&mut self) {
        let mut hosts = self.pool.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = hosts.get_mut(&self.ip).and_then(|h| h.used.get_mut(self.index)) {
            *used = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::simulated::SimNet;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn port(sockets: &Sockets) -> u16 {
        sockets.rtp.port()
    }

    #[test]
    fn ports_are_even_busy_ones_are_passed_over_and_freed_ones_come_back() {
        let net = SimNet::new();
        let network = Network::Sim(net.clone());
        let pool = PortPool::new(4001, 4009);
        let _busy_rtp = net.bind((IP, 4002).into()).unwrap();
        let _busy_rtcp = net.bind((IP, 4005).into()).unwrap();
        let first = pool.open(&network, IP, true).unwrap();
        let second = pool.open(&network, IP, true).unwrap();
        let mut both = [port(&first), port(&second)];
        both.sort_unstable();
        assert_eq!(both, [4006, 4008]);
        assert!(first.rtcp.as_ref().is_some_and(|s| s.port() == port(&first) + 1));
        let full = pool.open(&network, IP, true);
        assert!(matches!(full, Err(OpenError::NoPorts { min: 4002, max: 4009, .. })), "{full:?}");
        let freed = port(&first);
        drop(first);
        assert_eq!(port(&pool.open(&network, IP, true).unwrap()), freed);
    }

    #[test]
    fn ports_come_in_no_order_that_can_be_told_and_each_rests_before_it_comes_again() {
        let network = Network::Sim(SimNet::new());
        let pool = PortPool::new(4200, 4399);
        let seen: Vec<u16> =
            (0..100).map(|_| port(&pool.open(&network, IP, false).unwrap())).collect();
        let mut sorted = seen.clone();
        sorted.sort_unstable();
        assert_ne!(seen, sorted);
        sorted.dedup();
        assert_eq!(sorted.len(), 100, "none twice before all had their turn");
    }

    #[test]
    fn ports_that_browsers_refuse_are_left_out() {
        let network = Network::Sim(SimNet::new());
        for (min, max, wanted) in [
            (10_078, 10_083, vec![10_078, 10_082]),
            (5058, 5063, vec![5058, 5062]),
            (2048, 2051, vec![2050]),
        ] {
            let pool = PortPool::new(min, max);
            let open: Vec<Sockets> =
                std::iter::from_fn(|| pool.open(&network, IP, true).ok()).collect();
            let mut ports: Vec<u16> = open.iter().map(port).collect();
            ports.sort_unstable();
            assert_eq!(ports, wanted);
            assert_eq!(pool.usage(), (wanted.len(), wanted.len()));
        }
    }

    #[test]
    fn an_empty_range_is_an_error_not_a_panic() {
        let pool = PortPool::new(5000, 4000);
        let network = Network::Sim(SimNet::new());
        assert!(pool.open(&network, IP, true).is_err());
    }
}
