//! Legs whose packets are protected (SRTP).

mod kit;

use std::time::Duration;

use kit::{Call, World};
use media::rtcp::{Item, parse};
use media::rtp::{HEADER_LEN, write_header};
use media::srtp::{Keying, OVERHEAD, Srtp, SrtpKeys, Suite};
use media::{Codec, LegEvent, ProtectionSpec};

/// The far end of a protected leg.
struct Secure {
    call: Call,
    srtp: Srtp,
}

fn keying(suite: Suite, seed: u8) -> Keying {
    let master = vec![seed; suite.key_len() + suite.salt_len()];
    Keying::new(suite, &master).unwrap()
}

fn keys(suite: Suite, seed: u8) -> (SrtpKeys, Srtp) {
    let (ours, theirs) = (keying(suite, seed), keying(suite, seed + 1));
    let far = SrtpKeys { local: theirs.clone(), remote: Some(ours.clone()) };
    (SrtpKeys { local: ours, remote: Some(theirs) }, Srtp::new(far))
}

impl Secure {
    fn new(world: &mut World, host: u8, codec: Codec, suite: Suite) -> Self {
        let (near, srtp) = keys(suite, host * 10);
        let call = world.call_with(host, codec, |p| {
            p.protection = ProtectionSpec::Keys(near.clone());
            p.rtcp_interval = Some(Duration::from_millis(500));
        });
        Self { call, srtp }
    }

    fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let phone = &mut self.call.phone;
        phone.seq = phone.seq.wrapping_add(1);
        phone.timestamp = phone.timestamp.wrapping_add(160);
        let mut buffer = vec![0; HEADER_LEN];
        let head = buffer.first_chunk_mut().unwrap();
        write_header(head, false, phone.pt, phone.seq, phone.timestamp, phone.ssrc);
        buffer.extend_from_slice(payload);
        let len = buffer.len();
        buffer.resize(len + OVERHEAD, 0);
        let len = self.srtp.protect_rtp(&mut buffer, len).unwrap();
        buffer.truncate(len);
        buffer
    }

    fn speak(&mut self, payload: &[u8]) {
        let packet = self.packet(payload);
        self.call.phone.socket.send_to(&packet, self.call.phone.server).unwrap();
    }

    /// The payloads heard; a packet that cannot be opened is a failure.
    fn heard(&mut self) -> Vec<Vec<u8>> {
        let open = |mut packet: Vec<u8>| {
            let len = self.srtp.open_rtp(&mut packet).expect("a packet protected with our key");
            packet[HEADER_LEN..len].to_vec()
        };
        self.call.phone.socket.drain().into_iter().map(open).collect()
    }
}

#[test]
fn audio_crosses_from_every_suite_to_every_other_and_to_a_plain_leg() {
    for from in Suite::ALL {
        for to in [None, Some(Suite::Aes128CmSha80), Some(Suite::AeadAes256Gcm8)] {
            let mut world = World::new();
            let mut a = Secure::new(&mut world, 1, Codec::PCMU, from);
            let sent: Vec<Vec<u8>> = (0..50u8).map(|n| vec![n; 160]).collect();
            let heard = if let Some(to) = to {
                let mut b = Secure::new(&mut world, 2, Codec::PCMU, to);
                a.call.leg.bridge(&b.call.leg).unwrap();
                for payload in &sent {
                    a.speak(payload);
                    b.speak(payload);
                    world.sim.run_ms(20);
                }
                assert_eq!(a.heard(), sent, "{from:?}");
                b.heard()
            } else {
                let b = world.call(2, Codec::PCMU);
                a.call.leg.bridge(&b.leg).unwrap();
                for payload in &sent {
                    a.speak(payload);
                    world.sim.run_ms(20);
                }
                b.phone.heard().into_iter().map(|p| p.payload).collect()
            };
            assert_eq!(heard, sent, "{from:?} -> {to:?}");
        }
    }
}

#[test]
fn a_protected_leg_is_transcoded_and_sends_its_own_audio_protected() {
    let mut world = World::new();
    let mut a = Secure::new(&mut world, 1, Codec::PCMA, Suite::AeadAes128Gcm);
    let b = world.call(2, Codec::OPUS);
    a.call.leg.silence(Some(0)).unwrap();
    world.sim.run_ms(100);
    assert!(a.heard().len() >= 4);
    a.call.leg.bridge(&b.leg).unwrap();
    for _ in 0..50 {
        a.speak(&[0x55; 160]);
        world.sim.run_ms(20);
    }
    assert!(b.phone.heard().len() > 45);
}

#[test]
fn packets_without_the_key_change_nothing() {
    let mut world = World::new();
    let mut a = Secure::new(&mut world, 1, Codec::PCMU, Suite::Aes128CmSha80);
    let b = world.call(2, Codec::PCMU);
    a.call.leg.bridge(&b.leg).unwrap();
    a.call.leg.silence(Some(0)).unwrap();
    let (_, mut wrong) = keys(Suite::Aes128CmSha80, 99);
    let other = world.sim.net.bind("192.0.2.1:4002".parse().unwrap()).unwrap();
    for n in 0..100u16 {
        let mut packet = vec![0x80, 0, 0, n as u8];
        packet.resize(172, 7);
        other.send_to(&packet, a.call.phone.server).unwrap();
        a.call.phone.socket.send_to(&packet, a.call.phone.server).unwrap();
        packet.resize(172 + OVERHEAD, 0);
        let len = wrong.protect_rtp(&mut packet, 172).unwrap();
        other.send_to(&packet[..len], a.call.phone.server).unwrap();
        a.call.phone.socket.send_to(&packet[..len], a.call.phone.server).unwrap();
        world.sim.run_ms(20);
    }
    assert_eq!(a.call.events(), Vec::<LegEvent>::new());
    assert!(b.phone.heard().is_empty());
    assert!(other.drain().is_empty());
    let stats = a.call.leg.stats().inbound;
    assert_eq!((stats.packet_count, stats.unauthentic_packet_count), (0, 400));
    let replayed = a.packet(&[3; 160]);
    for _ in 0..5 {
        a.call.phone.socket.send_to(&replayed, a.call.phone.server).unwrap();
        world.sim.run_ms(20);
    }
    assert_eq!(b.phone.heard().len(), 1);
    assert!(a.heard().len() > 50);
}

#[test]
fn a_leg_whose_peer_gave_no_usable_key_takes_nothing() {
    let mut world = World::new();
    let keys = SrtpKeys { local: keying(Suite::Aes128CmSha80, 1), remote: None };
    let call =
        world.call_with(1, Codec::PCMU, |p| p.protection = ProtectionSpec::Keys(keys.clone()));
    let mut packet = vec![0x80, 0, 0, 1];
    packet.resize(172, 7);
    call.phone.socket.send_to(&packet, call.phone.server).unwrap();
    world.sim.run_ms(20);
    assert_eq!(call.leg.stats().inbound.packet_count, 0);
}

#[test]
fn a_new_key_takes_over_and_the_same_one_keeps_its_place() {
    let mut world = World::new();
    let mut a = Secure::new(&mut world, 1, Codec::PCMU, Suite::Aes128CmSha80);
    a.call.leg.echo(true).unwrap();
    let change = |a: &Secure, near: &SrtpKeys| {
        let mut params = media::RtpParams::new(Codec::PCMU, 0);
        params.remote = Some(a.call.phone.socket.addr());
        params.protection = ProtectionSpec::Keys(near.clone());
        a.call.leg.set_rtp(params).unwrap();
    };
    let echoed = |a: &mut Secure, world: &mut World| {
        for _ in 0..10 {
            a.speak(&[1; 160]);
            world.sim.run_ms(20);
        }
        assert_eq!(a.heard().len(), 10);
    };
    echoed(&mut a, &mut world);
    let before = a.packet(&[2; 160]);
    let (same, _) = keys(Suite::Aes128CmSha80, 10);
    change(&a, &same);
    world.sim.settle();
    echoed(&mut a, &mut world);
    let (near, far) = keys(Suite::AeadAes256Gcm, 70);
    change(&a, &near);
    world.sim.settle();
    a.srtp = far;
    echoed(&mut a, &mut world);
    a.call.phone.socket.send_to(&before, a.call.phone.server).unwrap();
    world.sim.run_ms(20);
    assert!(a.heard().is_empty(), "the old key is gone");
}

#[test]
fn reports_are_protected_too() {
    let mut world = World::new();
    let mut a = Secure::new(&mut world, 1, Codec::PCMU, Suite::Aes128CmSha32);
    let port = |n: u16| std::net::SocketAddr::from(([192, 0, 2, 1], 4000 + n));
    let rtcp = world.sim.net.bind(port(1)).unwrap();
    a.call.leg.silence(Some(0)).unwrap();
    world.sim.run_ms(1000);
    let mut reports = rtcp.drain();
    assert!(!reports.is_empty());
    let mut plain = reports.remove(0);
    let len = a.srtp.open_rtcp(&mut plain).unwrap();
    let mut senders = 0;
    parse(&plain[..len], |item| senders += usize::from(matches!(item, Item::Sender { .. })));
    assert_eq!(senders, 1);
}
