//! Two agents, or one and a stranger, in simulated time.

use super::*;

fn credentials(name: &str) -> Credentials {
    Credentials { ufrag: format!("{name}fragment"), pwd: format!("{name}-password-of-22-octets") }
}

fn candidate(address: &str) -> RemoteCandidate {
    RemoteCandidate {
        address: address.parse().unwrap(),
        kind: Kind::Host,
        priority: 2_130_706_431,
        foundation: "1".to_owned(),
    }
}

const BASES: [&str; 2] = ["10.0.0.1:4000", "192.0.2.7:5000"];

fn spec(of: usize, candidates: &[&str]) -> IceSpec {
    let names = ["a", "b"];
    IceSpec {
        base: BASES[of].parse().unwrap(),
        ours: credentials(names[of]),
        theirs: credentials(names[1 - of]),
        candidates: candidates.iter().map(|c| candidate(c)).collect(),
        controlling: of == 1,
        lite: false,
        relayed: None,
    }
}

/// Runs both for a time; what is sent reaches the owner of that address, unless it is lost. Returns each one's events.
fn run(
    agents: &mut [Agent; 2],
    now: &mut Instant,
    time: Duration,
    lose: bool,
) -> [Vec<IceEvent>; 2] {
    let mut events = [Vec::new(), Vec::new()];
    let end = *now + time;
    while *now < end {
        for n in 0..2 {
            if agents[n].poll_timeout() <= *now {
                agents[n].handle_timeout(*now);
            }
            while let Some((to, datagram)) = agents[n].poll_transmit() {
                let from = agents[n].spec().base;
                if !lose && to == agents[1 - n].spec().base {
                    agents[1 - n].handle_datagram(*now, from, &datagram);
                }
            }
            while let Some(event) = agents[n].poll_event() {
                events[n].push(event);
            }
        }
        *now += Duration::from_millis(5);
    }
    events
}

fn selected(events: &[IceEvent]) -> Option<String> {
    events.iter().rev().find_map(|event| match event {
        IceEvent::Selected(to, _) => Some(to.to_string()),
        _ => None,
    })
}

#[test]
fn both_find_each_other_and_lose_each_other() {
    let mut now = Instant::now();
    let mut agents = [Agent::new(spec(0, &[BASES[1]]), now), Agent::new(spec(1, &[BASES[0]]), now)];
    let events = run(&mut agents, &mut now, Duration::from_secs(2), false);
    assert_eq!(selected(&events[0]).as_deref(), Some(BASES[1]));
    assert_eq!(selected(&events[1]).as_deref(), Some(BASES[0]));
    assert!(agents[0].knows(BASES[1].parse().unwrap()));
    let events = run(&mut agents, &mut now, Duration::from_secs(40), false);
    assert!(events.iter().flatten().all(|e| *e != IceEvent::Lost), "consent is renewed");
    let events = run(&mut agents, &mut now, Duration::from_secs(40), true);
    assert!(events.iter().all(|e| e.contains(&IceEvent::Lost)), "{events:?}");
}

#[test]
fn a_peer_behind_a_translator_is_found_by_its_own_checks() {
    // Its candidates lead nowhere: a host name made an address without an owner, and a dead one.
    let mut now = Instant::now();
    let mut agents =
        [Agent::new(spec(0, &["192.168.9.9:1"]), now), Agent::new(spec(1, &[BASES[0]]), now)];
    let events = run(&mut agents, &mut now, Duration::from_secs(3), false);
    assert_eq!(selected(&events[0]).as_deref(), Some(BASES[1]));
}

#[test]
fn candidates_may_come_later_and_again() {
    let mut now = Instant::now();
    let mut agents = [Agent::new(spec(0, &[]), now), Agent::new(spec(1, &[]), now)];
    let events = run(&mut agents, &mut now, Duration::from_secs(2), false);
    assert!(events.iter().flatten().next().is_none(), "{events:?}");
    for _ in 0..3 {
        agents[0].add_candidates(&[candidate(BASES[1])], now);
    }
    let events = run(&mut agents, &mut now, Duration::from_secs(2), false);
    assert!(selected(&events[0]).is_some() && selected(&events[1]).is_some());
}

#[test]
fn two_that_both_control_agree_which_does() {
    for controlling in [true, false] {
        let mut now = Instant::now();
        let mut specs = [spec(0, &[BASES[1]]), spec(1, &[BASES[0]])];
        specs.iter_mut().for_each(|s| s.controlling = controlling);
        let mut agents = specs.map(|spec| Agent::new(spec, now));
        let events = run(&mut agents, &mut now, Duration::from_secs(5), false);
        assert!(selected(&events[0]).is_some() && selected(&events[1]).is_some(), "{controlling}");
    }
}

#[test]
fn a_lite_agent_answers_and_sends_nothing_of_its_own() {
    let mut now = Instant::now();
    let lite = IceSpec { lite: true, ..spec(0, &[BASES[1]]) };
    let mut alone = Agent::new(lite.clone(), now);
    for _ in 0..100 {
        now += Duration::from_millis(50);
        alone.handle_timeout(now);
        assert_eq!(alone.poll_transmit(), None);
    }
    let mut agents = [Agent::new(lite, now), Agent::new(spec(1, &[BASES[0]]), now)];
    let events = run(&mut agents, &mut now, Duration::from_secs(2), false);
    assert!(selected(&events[0]).is_some() && selected(&events[1]).is_some());
}

#[test]
fn requests_look_like_the_references() {
    let now = Instant::now();
    for (of, role) in [(0, &[0x8029][..]), (1, &[0x802a, 0x25])] {
        let mut agent = Agent::new(spec(of, &[BASES[1 - of]]), now);
        agent.handle_timeout(now);
        agent.handle_timeout(now + PACE);
        let (to, request) = agent.poll_transmit().unwrap();
        assert_eq!(to.to_string(), BASES[1 - of]);
        let mut kinds = Vec::new();
        let mut at = 20;
        while let Some([k0, k1, l0, l1]) = request.get(at..at + 4) {
            kinds.push(u16::from_be_bytes([*k0, *k1]));
            at += 4 + usize::from(u16::from_be_bytes([*l0, *l1])).next_multiple_of(4);
        }
        let expected = [&[0x06, 0x24, 0x8022], role, &[0x08, 0x8028]].concat();
        assert_eq!(kinds, expected);
        assert_eq!(request[2..4], ((request.len() - 20) as u16).to_be_bytes());
    }
}

#[test]
fn what_strangers_send_changes_nothing_and_the_peer_cannot_make_up_addresses_without_end() {
    let now = Instant::now();
    let mut agent = Agent::new(spec(0, &[]), now);
    let stranger: SocketAddr = "203.0.113.9:9".parse().unwrap();
    let wrong = IceSpec {
        theirs: Credentials { pwd: "x".repeat(24), ..credentials("a") },
        ..spec(1, &[BASES[0]])
    };
    for spec in [wrong, spec(1, &[BASES[0]])] {
        let right = spec.theirs == credentials("a");
        let mut peer = Agent::new(spec, now);
        peer.handle_timeout(now);
        peer.handle_timeout(now + PACE);
        let (_, request) = peer.poll_transmit().unwrap();
        for n in 0..request.len() {
            agent.handle_datagram(now, stranger, &request[..n]);
            let mut bent = request.clone();
            bent[n] ^= 0x40;
            agent.handle_datagram(now, stranger, &bent);
        }
        let before = agent.proved.len();
        for port in 1..2000 {
            agent.handle_datagram(now, SocketAddr::new(stranger.ip(), port), &request);
            while agent.poll_event().is_some() {}
        }
        let found = agent.proved.len() - before;
        assert!(
            if right { (2..=MOST_SOURCES).contains(&found) } else { agent.proved.is_empty() },
            "{found}"
        );
    }
}
