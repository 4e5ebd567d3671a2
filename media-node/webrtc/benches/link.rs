//! What a browser's leg costs: checks and handshake until the keys are there, keeping the path alive, memory.
//!
//! `cargo bench -p ferroswitch-webrtc`. Both ends are ours and run in one thread; figures are per end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::srtp::Suite;
use webrtc::dtls::{Identity, Role};
use webrtc::ice::{Credentials, IceSpec, Kind, RemoteCandidate};
use webrtc::link::{DtlsSpec, Link, LinkEvent, LinkSpec};

const CALLS: usize = 500;

fn main() {
    let ids = [0, 1].map(|_| Identity::generate().expect("random numbers").0);
    let mut now = Instant::now();
    let before = resident();
    let begun = Instant::now();
    let mut calls: Vec<[Link; 2]> = (0..CALLS).map(|_| connect(&ids, &mut now)).collect();
    let took = begun.elapsed();
    println!("{:<44} {:>9.1} us", "checks and handshake, one end", per_end(took));
    let memory = resident().saturating_sub(before) / (2 * CALLS as u64);
    println!(
        "{:<44} {:>9.1} kB",
        "memory of one end, handshake still kept",
        memory as f64 / 1024.0
    );
    let begun = Instant::now();
    for call in &mut calls {
        let mut at = now;
        run(call, &mut at, Duration::from_secs(60), |_| false);
    }
    println!("{:<44} {:>9.1} us", "a minute of consent, one end", per_end(begun.elapsed()));
}

fn per_end(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6 / (2 * CALLS) as f64
}

/// Pages of this process in memory, in octets.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn base(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n as u8 + 1], 4000))
}

fn spec(ids: &[Identity; 2], n: usize) -> LinkSpec {
    let credentials = |n: usize| Credentials {
        ufrag: format!("fragment{n}fragment"),
        pwd: format!("password-{n}-password-24oct"),
    };
    let candidate = RemoteCandidate {
        address: base(1 - n),
        kind: Kind::Host,
        priority: 1,
        foundation: "1".to_owned(),
    };
    let ice = IceSpec {
        base: base(n),
        ours: credentials(n),
        theirs: credentials(1 - n),
        candidates: vec![candidate],
        controlling: n == 1,
        lite: false,
        relayed: None,
    };
    let dtls = DtlsSpec {
        identity: ids[n].clone(),
        role: if n == 0 { Role::Client } else { Role::Server },
        fingerprints: vec![ids[1 - n].fingerprint().clone()],
        suites: vec![Suite::Aes128CmSha80],
        association: 0,
    };
    LinkSpec { ice: Some(ice), rtcp_ice: None, remote: None, rtcp_remote: None, dtls: Some(dtls) }
}

fn connect(ids: &[Identity; 2], now: &mut Instant) -> [Link; 2] {
    let mut call = [0, 1].map(|n| Link::new(spec(ids, n), *now));
    let keyed = run(&mut call, now, Duration::from_secs(5), |keys| keys == 2);
    assert_eq!(keyed, 2, "both ends have keys");
    call
}

/// Lets both ends talk for a time, or until `enough` says so of the number of ends that have keys.
fn run(
    call: &mut [Link; 2],
    now: &mut Instant,
    time: Duration,
    enough: impl Fn(usize) -> bool,
) -> usize {
    let (stop, mut keyed) = (*now + time, 0);
    while *now < stop && !enough(keyed) {
        for n in 0..2 {
            if call[n].poll_timeout().is_some_and(|due| due <= *now) {
                call[n].handle_timeout(*now);
            }
            while let Some((_, datagram)) = call[n].poll_transmit() {
                call[1 - n].handle_datagram(*now, base(n), &datagram);
            }
            let events = call[n].take_events();
            keyed += events.iter().filter(|event| matches!(event, LinkEvent::Keys(_))).count();
        }
        *now += Duration::from_millis(5);
    }
    keyed
}
