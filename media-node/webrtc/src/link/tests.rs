//! Two links in simulated time.

use super::*;
use crate::dtls::RtcDtls;
use crate::ice::{Credentials, Kind};

struct End {
    link: Link,
    base: SocketAddr,
    events: Vec<LinkEvent>,
}

fn base(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n as u8 + 1], 4000))
}

fn credentials(n: usize, generation: usize) -> Credentials {
    Credentials {
        ufrag: format!("fragment{n}{generation}"),
        pwd: format!("password-{n}-{generation}-0123456789"),
    }
}

fn ice(n: usize, generation: usize) -> IceSpec {
    IceSpec {
        base: base(n),
        ours: credentials(n, generation),
        theirs: credentials(1 - n, generation),
        candidates: vec![RemoteCandidate {
            address: base(1 - n),
            kind: Kind::Host,
            priority: 1,
            foundation: "1".to_owned(),
        }],
        controlling: n == 1,
        lite: false,
        relayed: None,
    }
}

struct World {
    ids: [Identity; 2],
    now: Instant,
}

impl World {
    fn new() -> Self {
        let id = || Identity::generate().unwrap().0;
        Self { ids: [id(), id()], now: Instant::now() }
    }

    fn spec(&self, n: usize, with_ice: bool) -> LinkSpec {
        let role = if n == 0 { Role::Client } else { Role::Server };
        let dtls = DtlsSpec {
            identity: self.ids[n].clone(),
            role,
            fingerprints: vec![self.ids[1 - n].fingerprint().clone()],
            suites: vec![Suite::Aes128CmSha80],
            association: 0,
        };
        LinkSpec {
            ice: with_ice.then(|| ice(n, 0)),
            rtcp_ice: None,
            remote: Some(base(1 - n)),
            rtcp_remote: None,
            dtls: Some(dtls),
        }
    }

    fn ends(&self, specs: [LinkSpec; 2]) -> [End; 2] {
        let mut n = 0;
        specs.map(|spec| {
            n += 1;
            End { link: Link::new(spec, self.now), base: base(n - 1), events: Vec::new() }
        })
    }

    fn run(&mut self, ends: &mut [End; 2], time: Duration) {
        let stop = self.now + time;
        while self.now < stop {
            for n in 0..2 {
                let [a, b] = ends;
                let (end, other) = if n == 0 { (a, b) } else { (b, a) };
                if end.link.poll_timeout().is_some_and(|due| due <= self.now) {
                    end.link.handle_timeout(self.now);
                }
                while let Some((to, datagram)) = end.link.poll_transmit() {
                    if to == other.base {
                        other.link.handle_datagram(self.now, end.base, &datagram);
                    }
                }
                end.events.extend(end.link.take_events());
            }
            self.now += Duration::from_millis(5);
        }
    }
}

fn keys(end: &End) -> Vec<&SrtpKeys> {
    let keys = end.events.iter().filter_map(|event| match event {
        LinkEvent::Keys(keys) => Some(keys),
        _ => None,
    });
    keys.collect()
}

#[test]
fn a_path_is_found_and_keys_follow_with_checks_and_without() {
    for with_ice in [true, false] {
        let mut world = World::new();
        let mut ends = world.ends([world.spec(0, with_ice), world.spec(1, with_ice)]);
        world.run(&mut ends, Duration::from_secs(3));
        let (client, server) = (keys(&ends[0]), keys(&ends[1]));
        assert_eq!((client.len(), server.len()), (1, 1), "{with_ice}");
        assert_eq!(Some(&client[0].local), server[0].remote.as_ref());
        let path = LinkEvent::Path(Some(Way { to: base(1), relayed: false }));
        assert_eq!(ends[0].events.contains(&path), with_ice, "{:?}", ends[0].events);
    }
}

#[test]
fn a_restart_of_the_checks_keeps_the_keys_and_another_fingerprint_brings_others() {
    let mut world = World::new();
    let mut ends = world.ends([world.spec(0, true), world.spec(1, true)]);
    world.run(&mut ends, Duration::from_secs(3));
    for (n, end) in ends.iter_mut().enumerate() {
        end.events.clear();
        let spec = LinkSpec { ice: Some(ice(n, 1)), ..end.link.spec().clone() };
        end.link.update(spec, world.now);
    }
    world.run(&mut ends, Duration::from_secs(3));
    for end in &ends {
        assert!(keys(end).is_empty());
        assert!(
            end.events.iter().any(|e| matches!(e, LinkEvent::Path(Some(_)))),
            "{:?}",
            end.events
        );
    }
    world.ids[1] = Identity::generate().unwrap().0;
    let specs = [0, 1].map(|n| LinkSpec { ice: Some(ice(n, 1)), ..world.spec(n, true) });
    ends[0].link.update(specs[0].clone(), world.now);
    ends[1] =
        End { link: Link::new(specs[1].clone(), world.now), base: base(1), events: Vec::new() };
    world.run(&mut ends, Duration::from_secs(5));
    assert_eq!((keys(&ends[0]).len(), keys(&ends[1]).len()), (1, 1));
}

#[test]
fn a_wrong_certificate_is_told_once_and_brings_no_keys() {
    let mut world = World::new();
    let mut spec = world.spec(0, true);
    if let Some(dtls) = &mut spec.dtls {
        dtls.fingerprints = vec![Identity::generate().unwrap().0.fingerprint().clone()];
    }
    let mut ends = world.ends([spec, world.spec(1, true)]);
    world.run(&mut ends, Duration::from_secs(40));
    let failed =
        |end: &End| end.events.iter().filter(|e| matches!(e, LinkEvent::Failed(_))).count();
    assert!(matches!(
        ends[0].events.iter().find(|e| matches!(e, LinkEvent::Failed(_))),
        Some(LinkEvent::Failed(DtlsError::Fingerprint { .. }))
    ));
    assert_eq!((failed(&ends[0]), failed(&ends[1])), (1, 1), "the other side hears of it");
    assert!(ends.iter().all(|end| keys(end).is_empty()));
}

#[test]
fn a_hello_that_comes_before_the_checks_waits_for_them_and_a_flood_of_them_does_not() {
    let mut world = World::new();
    let mut ends = world.ends([world.spec(0, true), world.spec(1, true)]);
    let spec = world.spec(0, false).dtls.unwrap();
    let mut early =
        RtcDtls::new(&spec.identity, Role::Client, &spec.fingerprints, &spec.suites, world.now)
            .unwrap();
    early.handle_timeout(world.now).unwrap();
    let hello = early.poll_transmit().unwrap();
    for port in 0..1000 {
        let from = SocketAddr::from(([203, 0, 113, 5], port));
        ends[1].link.handle_datagram(world.now, from, &hello);
    }
    assert_eq!(ends[1].link.rtp.early.len(), MOST_EARLY);
    world.run(&mut ends, Duration::from_secs(3));
    assert_eq!((keys(&ends[0]).len(), keys(&ends[1]).len()), (1, 1));
}

#[test]
fn where_only_the_relay_works_checks_and_handshake_go_through_it() {
    let mut world = World::new();
    let relay: SocketAddr = "198.51.100.9:49152".parse().unwrap();
    let mut specs = [world.spec(0, true), world.spec(1, true)];
    if let Some(ice) = &mut specs[0].ice {
        ice.relayed = Some(relay);
    }
    if let Some(ice) = &mut specs[1].ice {
        ice.candidates.push(RemoteCandidate {
            address: relay,
            kind: Kind::Relayed,
            priority: 16_777_215,
            foundation: "2".to_owned(),
        });
    }
    let mut ends = world.ends(specs);
    let stop = world.now + Duration::from_secs(5);
    while world.now < stop {
        for end in &mut ends {
            if end.link.poll_timeout().is_some_and(|due| due <= world.now) {
                end.link.handle_timeout(world.now);
            }
        }
        let [near, far] = &mut ends;
        // The direct path loses everything.
        while near.link.poll_transmit().is_some() {}
        while let Some((to, datagram)) = near.link.poll_relay_transmit() {
            if to == far.base {
                far.link.handle_datagram(world.now, relay, &datagram);
            }
        }
        while let Some((to, datagram)) = far.link.poll_transmit() {
            if to == relay {
                near.link.handle_relayed(world.now, far.base, &datagram);
            }
        }
        for end in &mut ends {
            end.events.extend(end.link.take_events());
        }
        world.now += Duration::from_millis(5);
    }
    let (client, server) = (keys(&ends[0]), keys(&ends[1]));
    assert_eq!((client.len(), server.len()), (1, 1));
    assert_eq!(Some(&client[0].local), server[0].remote.as_ref());
    let way = Way { to: base(1), relayed: true };
    assert!(ends[0].events.contains(&LinkEvent::Path(Some(way))), "{:?}", ends[0].events);
}

#[test]
fn rtcp_on_a_port_of_its_own_has_keys_of_its_own() {
    let mut world = World::new();
    let rtcp = |n: usize| SocketAddr::new(base(n).ip(), base(n).port() + 1);
    let specs = [0, 1].map(|n| LinkSpec { rtcp_remote: Some(rtcp(1 - n)), ..world.spec(n, false) });
    let mut ends = world.ends(specs);
    let stop = world.now + Duration::from_secs(3);
    while world.now < stop {
        for n in 0..2 {
            let [a, b] = &mut ends;
            let (end, other) = if n == 0 { (a, b) } else { (b, a) };
            if end.link.poll_timeout().is_some_and(|due| due <= world.now) {
                end.link.handle_timeout(world.now);
            }
            while let Some((to, datagram)) = end.link.poll_transmit() {
                assert_eq!(to, other.base);
                other.link.handle_datagram(world.now, end.base, &datagram);
            }
            while let Some((to, datagram)) = end.link.poll_rtcp_transmit() {
                assert_eq!(to, rtcp(1 - n));
                other.link.handle_rtcp_datagram(world.now, rtcp(n), &datagram);
            }
            end.events.extend(end.link.take_events());
        }
        world.now += Duration::from_millis(5);
    }
    let of_rtcp = |end: &End| {
        let found = end.events.iter().find_map(|event| match event {
            LinkEvent::RtcpKeys(keys) => Some(keys.clone()),
            _ => None,
        });
        found.expect("keys of RTCP")
    };
    let (client, server) = (of_rtcp(&ends[0]), of_rtcp(&ends[1]));
    assert_eq!(Some(&client.local), server.remote.as_ref());
    assert_ne!(client.local, keys(&ends[0])[0].local, "another association");
}
