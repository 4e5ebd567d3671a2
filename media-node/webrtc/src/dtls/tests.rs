//! Handshakes in simulated time, while datagrams get lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use media::srtp::Suite;

use super::*;

/// Loses so many datagrams of a hundred.
struct Network {
    state: u64,
    loss_percent: u64,
}

impl Network {
    fn loses(&mut self) -> bool {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.state >> 33) % 100 < self.loss_percent
    }
}

const SUITES: [Suite; 1] = [Suite::Aes128CmSha80];

fn pair(client: &Identity, server: &Identity, suites: [&[Suite]; 2], now: Instant) -> [RtcDtls; 2] {
    let one = |identity: &Identity| [identity.fingerprint().clone()];
    [
        RtcDtls::new(client, Role::Client, &one(server), suites[0], now).unwrap(),
        RtcDtls::new(server, Role::Server, &one(client), suites[1], now).unwrap(),
    ]
}

/// Runs a handshake; how long it took, or what failed first.
fn run(
    ends: &mut [RtcDtls; 2],
    network: &mut Network,
    start: Instant,
) -> Result<Duration, DtlsError> {
    let mut now = start;
    let mut wires = [VecDeque::new(), VecDeque::new()];
    let mut failed = None;
    while now < start + DEADLINE + Duration::from_secs(5) {
        for (end, wire) in ends.iter_mut().zip(&mut wires) {
            if end.poll_timeout().is_some_and(|due| due <= now) {
                failed = failed.or(end.handle_timeout(now).err());
            }
            while let Some(datagram) = end.poll_transmit() {
                if !network.loses() {
                    wire.push_back(datagram);
                }
            }
        }
        let quiet = wires.iter().all(VecDeque::is_empty);
        for (end, wire) in ends.iter_mut().zip(wires.iter_mut().rev()) {
            while let Some(datagram) = wire.pop_front() {
                failed = failed.or(end.handle_datagram(now, &datagram).err());
            }
        }
        if ends.iter().all(|end| end.keys().is_some()) {
            return Ok(now - start);
        }
        if let (true, Some(error)) = (quiet, &failed) {
            return Err(error.clone());
        }
        if quiet {
            now += Duration::from_millis(20);
        }
    }
    Err(failed.unwrap_or(DtlsError::Timeout))
}

#[test]
fn both_ends_have_each_others_keys() {
    let (a, b) = (Identity::generate().unwrap().0, Identity::generate().unwrap().0);
    for suite in [Suite::Aes128CmSha80, Suite::AeadAes128Gcm, Suite::AeadAes256Gcm] {
        let now = Instant::now();
        let mut ends = pair(&a, &b, [&[suite], &[Suite::Aes128CmSha32, suite]], now);
        run(&mut ends, &mut Network { state: 1, loss_percent: 0 }, now).unwrap();
        let [client, server] = ends.map(|end| end.keys().cloned().unwrap());
        assert_eq!(client.local.suite(), suite);
        assert_eq!(Some(&client.local), server.remote.as_ref());
        assert_eq!(Some(&server.local), client.remote.as_ref());
        assert_ne!(client.local, server.local);
    }
}

#[test]
fn no_loss_stops_a_handshake() {
    let (a, b) = (Identity::generate().unwrap().0, Identity::generate().unwrap().0);
    for (loss_percent, runs, most) in [(10, 200, 8), (30, 60, 25)] {
        for seed in 0..runs {
            let now = Instant::now();
            let mut ends = pair(&a, &b, [&SUITES, &SUITES], now);
            let took = run(&mut ends, &mut Network { state: seed * 7919 + 1, loss_percent }, now);
            let took =
                took.unwrap_or_else(|error| panic!("{loss_percent} % loss, {seed}: {error}"));
            assert!(took < Duration::from_secs(most), "{loss_percent} % loss, {seed}: {took:?}");
        }
    }
}

#[test]
fn a_certificate_that_was_not_announced_ends_the_handshake_in_both_roles() {
    let (a, b) = (Identity::generate().unwrap().0, Identity::generate().unwrap().0);
    let other = Identity::generate().unwrap().0;
    let now = Instant::now();
    let announced = [(&other, &a), (&b, &other)];
    for (of_server, of_client) in announced {
        let client =
            RtcDtls::new(&a, Role::Client, &[of_server.fingerprint().clone()], &SUITES, now);
        let server =
            RtcDtls::new(&b, Role::Server, &[of_client.fingerprint().clone()], &SUITES, now);
        let mut ends = [client.unwrap(), server.unwrap()];
        let failed = run(&mut ends, &mut Network { state: 1, loss_percent: 0 }, now);
        let announced = other.fingerprint().to_string();
        assert!(
            matches!(&failed, Err(DtlsError::Fingerprint { announced: said, .. }) if *said == announced),
            "{failed:?}"
        );
        assert!(ends.iter().all(|end| end.keys().is_none()));
    }
}

#[test]
fn without_a_profile_in_common_there_are_no_keys() {
    let (a, b) = (Identity::generate().unwrap().0, Identity::generate().unwrap().0);
    let now = Instant::now();
    let mut ends = pair(&a, &b, [&SUITES, &[Suite::AeadAes256Gcm]], now);
    assert!(run(&mut ends, &mut Network { state: 1, loss_percent: 0 }, now).is_err());
    assert!(ends.iter().all(|end| end.keys().is_none()));
    let unknown =
        RtcDtls::new(&a, Role::Client, &[b.fingerprint().clone()], &[Suite::Aes256CmSha80], now);
    assert!(matches!(unknown, Err(DtlsError::NoProfile)));
}

#[test]
fn a_client_without_an_answer_asks_on_until_the_deadline() {
    let (a, b) = (Identity::generate().unwrap().0, Identity::generate().unwrap().0);
    let start = Instant::now();
    let fingerprint = b.fingerprint().clone();
    let mut client = RtcDtls::new(&a, Role::Client, &[fingerprint], &SUITES, start).unwrap();
    let mut sent = 0;
    let failed = loop {
        let due = client.poll_timeout().unwrap();
        if let Err(error) = client.handle_timeout(due) {
            assert_eq!(due, start + DEADLINE);
            break error;
        }
        while client.poll_transmit().is_some() {
            sent += 1;
        }
    };
    assert_eq!(failed, DtlsError::Timeout);
    assert!((60..100).contains(&sent), "{sent}");
}

#[test]
fn datagrams_of_strangers_change_nothing() {
    let (a, b) = (Identity::generate().unwrap().0, Identity::generate().unwrap().0);
    let now = Instant::now();
    let mut ends = pair(&a, &b, [&SUITES, &SUITES], now);
    for end in &mut ends {
        for len in 0..200_usize {
            let noise: Vec<u8> = (0..len).map(|n| (n * 31 + len) as u8).collect();
            assert_eq!(end.handle_datagram(now, &noise), Ok(()));
        }
    }
    run(&mut ends, &mut Network { state: 1, loss_percent: 0 }, now).unwrap();
    // And afterwards.
    let keys = ends[1].keys().cloned();
    for epoch in 0..3 {
        let mut alert = vec![21, 254, 253, 0, epoch, 0, 0, 0, 0, 9, 9, 0, 2, 2, 80];
        assert_eq!(ends[1].handle_datagram(now, &alert), Ok(()));
        alert[0] = 23;
        assert_eq!(ends[1].handle_datagram(now, &alert), Ok(()));
    }
    assert_eq!(ends[1].keys().cloned(), keys);
}

#[test]
fn an_identity_is_read_as_it_was_written() {
    let (made, pem) = Identity::generate().unwrap();
    let read = Identity::from_pem(&pem).unwrap();
    assert_eq!(read.fingerprints(), made.fingerprints());
    assert!(read.fingerprints()[2].to_string().starts_with("sha-512 "));
    let now = Instant::now();
    let mut ends = pair(&read, &made, [&SUITES, &SUITES], now);
    run(&mut ends, &mut Network { state: 1, loss_percent: 0 }, now).unwrap();
    for bad in ["", &pem[..pem.len() / 2], &pem.replace("PRIVATE", "PUBLIC")] {
        assert!(Identity::from_pem(bad).is_err());
    }
}
