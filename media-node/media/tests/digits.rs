//! Digits that change their form on the way: events to tones, tones to events, and numbers that the
//! two sides of a bridge do not share.

mod kit;

use kit::{Call, Packet, TE, World};
use media::codec::g711;
use media::dtmf::inband::Detector;
use media::dtmf::parse_digits;
use media::{Codec, LegEvent};

/// The keys among what a phone heard as audio.
fn keys_heard(packets: &[Packet]) -> String {
    let (mut detector, mut keys) = (Detector::new(8000), String::new());
    for packet in packets.iter().filter(|p| p.header.pt == 0) {
        let pcm: Vec<i16> = packet.payload.iter().map(|o| g711::ulaw_to_linear(*o)).collect();
        detector.feed(&pcm, |digit, _| keys.push(digit.as_char()));
    }
    keys
}

/// The keys a phone was sent as events of that payload type.
fn events_heard(packets: &[Packet], pt: u8) -> Vec<u8> {
    let starts = packets.iter().filter(|p| p.header.pt == pt && p.header.marker);
    starts.map(|p| p.payload[0]).collect()
}

/// One side presses a key, with events, and goes on talking.
fn press(world: &mut World, call: &mut Call, key: u8) {
    call.phone.timestamp += 160;
    let at = call.phone.timestamp;
    for n in 1..=5u16 {
        call.phone.event(key, n == 5, n * 160, at);
        world.sim.run_ms(20);
    }
    for _ in 0..20 {
        call.phone.speak(&[0xff; 160]);
        world.sim.run_ms(20);
    }
}

#[test]
fn digits_are_sent_as_tones_when_told() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::PCMU);
    call.leg.send_digits_as_tones(true).unwrap();
    call.leg.send_dtmf(parse_digits("12w#", 800)).unwrap();
    world.sim.run_ms(1500);
    let heard = call.phone.heard();
    assert_eq!(keys_heard(&heard), "12#");
    assert!(events_heard(&heard, TE).is_empty());
    assert_eq!(call.events(), [LegEvent::DigitsSent]);
    call.leg.send_digits_as_tones(false).unwrap();
    call.leg.send_dtmf(parse_digits("3", 800)).unwrap();
    world.sim.run_ms(500);
    assert_eq!(events_heard(&call.phone.heard(), TE), [3]);
}

#[test]
fn events_on_one_side_are_tones_on_the_other() {
    let mut world = World::new();
    let (mut a, b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    a.leg.hear_digits_as_tones(true).unwrap();
    for key in [5, 9] {
        press(&mut world, &mut a, key);
    }
    let heard = b.phone.heard();
    assert_eq!(keys_heard(&heard), "59");
    assert!(events_heard(&heard, TE).is_empty());
    assert_eq!(a.digits(), [('5', 800), ('9', 800)]);
}

#[test]
fn tones_on_one_side_are_events_on_the_other_when_looked_for() {
    let mut world = World::new();
    let (mut a, b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    a.leg.detect_inband(true).unwrap();
    let mut keys = media::dtmf::tones::ToneKeys::default();
    parse_digits("7*", 800).into_iter().for_each(|step| keys.push(step));
    let mut frame = [0; 160];
    for _ in 0..30 {
        keys.fill(&mut frame, 8000, 60);
        a.phone.speak(&frame.map(g711::linear_to_ulaw));
        world.sim.run_ms(20);
    }
    world.sim.run_ms(500);
    assert_eq!(events_heard(&b.phone.heard(), TE), [7, 10]);
    let told: String = a.digits().iter().map(|(key, _)| *key).collect();
    assert_eq!(told, "7*");
}

#[test]
fn each_side_of_a_bridge_has_its_own_number_for_digits() {
    let mut world = World::new();
    // The second phone answered our offer of 101 with 96: it wants 96, and is to send 101.
    let (mut a, mut b) = (
        world.call_with(1, Codec::PCMU, |p| (p.te_send, p.te_recv) = (Some(97), Some(97))),
        world.call_with(2, Codec::PCMU, |p| (p.te_send, p.te_recv) = (Some(96), Some(101))),
    );
    a.leg.bridge(&b.leg).unwrap();
    let at = a.phone.timestamp + 160;
    let payload = |end: bool| [4, if end { 0x8a } else { 10 }, 2, 128];
    for n in 0..3 {
        a.phone.seq += 1;
        a.phone.send(a.phone.seq, at, 97, n == 0, &payload(n == 2));
        world.sim.run_ms(20);
    }
    world.sim.run_ms(300);
    assert_eq!(events_heard(&b.phone.heard(), 96), [4]);
    // Both what it should send and what it says itself are understood.
    for (n, pt) in [101, 96].into_iter().enumerate() {
        b.phone.seq += 1;
        b.phone.send(b.phone.seq, 5000 + n as u32 * 2000, pt, false, &payload(true));
        world.sim.run_ms(300);
    }
    assert_eq!(events_heard(&a.phone.heard(), 97), [4, 4]);
    assert_eq!(b.digits().len(), 2);
}
