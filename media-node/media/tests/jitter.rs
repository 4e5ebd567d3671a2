//! What networks do to a stream, and what comes out of the jitter buffer of a real leg: traces of
//! arrival times played against the engine, heard at the other end of a bridge.

mod kit;

use kit::{Packet, World, assert_continuous};
use media::Codec;
use media::params::JitterSpec;

/// One packet's number and when it arrives, in milliseconds.
type Trace = Vec<(u16, u64)>;

/// A sender with a packet every `every_us`.
fn steady(packets: u16, every_us: u64) -> Trace {
    (0..packets).map(|n| (n, u64::from(n) * every_us / 1000)).collect()
}

/// Plays a trace through a leg with a buffer and gives what the peer heard, with the time.
fn heard(mut trace: Trace, spec: JitterSpec) -> Vec<(u64, Packet)> {
    trace.sort_by_key(|(_, at)| *at);
    let mut world = World::new();
    let (a, b) =
        (world.call_with(1, Codec::PCMU, |p| p.jitter = Some(spec)), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    world.sim.settle();
    let end = trace.last().map_or(0, |(_, at)| *at) + 1000;
    let (mut trace, mut out) = (trace.into_iter().peekable(), Vec::new());
    for now in 0..end {
        while let Some((n, _)) = trace.next_if(|(_, at)| *at <= now) {
            let mut payload = [0x55; 160];
            payload[..2].copy_from_slice(&n.to_be_bytes());
            a.phone.send(n, u32::from(n) * 160, 0, false, &payload);
        }
        world.sim.run_ms(1);
        out.extend(b.phone.heard().into_iter().map(|packet| (now, packet)));
    }
    out
}

fn number(packet: &Packet) -> u16 {
    u16::from_be_bytes([packet.payload[0], packet.payload[1]])
}

/// Milliseconds between a packet's sending and its hearing, for a sender of 20 ms packets.
fn delay((at, packet): &(u64, Packet)) -> u64 {
    at - u64::from(number(packet)) * 20
}

/// Numbers go up, and no two packets leave closer together than half a packet.
fn assert_even(out: &[(u64, Packet)]) {
    for pair in out.windows(2) {
        assert!(number(&pair[1].1) > number(&pair[0].1), "in order: {pair:?}");
        assert!(pair[1].0 - pair[0].0 >= 19, "evenly: {} then {}", pair[0].0, pair[1].0);
    }
}

const SPEC: JitterSpec = JitterSpec { ms: 60, max_ms: Some(200) };

#[test]
fn a_steady_stream_is_delayed_by_the_depth_and_no_more() {
    let out = heard(steady(200, 20_000), SPEC);
    assert_eq!(out.len(), 200);
    assert_even(&out);
    assert_continuous(&out.iter().map(|(_, p)| p.clone()).collect::<Vec<_>>());
    assert!(out.iter().all(|p| delay(p) <= 60), "{:?}", out.iter().map(delay).max());
}

#[test]
fn jitter_within_the_depth_loses_nothing() {
    let mut random = 7u64;
    let mut trace = steady(500, 20_000);
    for (_, at) in &mut trace {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *at += (random >> 33) % 40;
    }
    let out = heard(trace, SPEC);
    assert_even(&out);
    assert_eq!(out.len(), 500);
}

#[test]
fn reordered_packets_come_out_in_order() {
    let mut trace = steady(300, 20_000);
    for n in (0..300).step_by(5) {
        trace[n].1 += 45;
    }
    let out = heard(trace, SPEC);
    assert_even(&out);
    assert_eq!(out.len(), 300);
}

#[test]
fn a_lost_packet_is_one_gap_in_sequence_and_time() {
    let trace: Trace = steady(200, 20_000).into_iter().filter(|(n, _)| n % 10 != 5).collect();
    let out = heard(trace, SPEC);
    assert_eq!(out.len(), 180);
    for pair in out.windows(2) {
        let missing = number(&pair[1].1) - number(&pair[0].1);
        let (a, b) = (&pair[0].1.header, &pair[1].1.header);
        assert_eq!(b.seq.wrapping_sub(a.seq), missing);
        assert_eq!(b.timestamp.wrapping_sub(a.timestamp), u32::from(missing) * 160);
        assert_eq!(pair[1].0 - pair[0].0, u64::from(missing) * 20);
    }
}

#[test]
fn a_burst_after_a_stall_does_not_leave_the_call_behind() {
    // Half a second of nothing, then everything at once, as over a radio link.
    let mut trace = steady(1000, 20_000);
    for (n, at) in &mut trace[100..125] {
        *at = (*at).max(2500 + u64::from(*n - 100) / 5);
    }
    let out = heard(trace, SPEC);
    assert_even(&out);
    let end: Vec<u64> = out.iter().skip(out.len() - 100).map(delay).collect();
    assert!(end.iter().all(|d| *d <= 300), "still {:?} ms behind", end.iter().max());
    assert!(out.len() > 960, "{}", out.len());
}

#[test]
fn a_burst_of_loss_is_not_played_twice_as_long() {
    let lost = |n: u16| (100..120).contains(&n);
    let trace: Trace = steady(300, 20_000).into_iter().filter(|(n, _)| !lost(*n)).collect();
    let out = heard(trace, SPEC);
    assert_even(&out);
    let after: Vec<u64> = out.iter().filter(|(_, p)| number(p) >= 120).map(delay).collect();
    assert_eq!(after.len(), 180);
    assert!(after.iter().all(|d| *d <= 80), "{:?} ms behind", after.iter().max());
}

#[test]
fn a_sender_whose_clock_is_fast_or_slow_is_followed() {
    // A thousandth off, four times what a bad crystal does, for two minutes.
    for every_us in [19_980, 20_020] {
        let out = heard(steady(6000, every_us), SPEC);
        assert!(out.windows(2).all(|w| number(&w[1].1) > number(&w[0].1)));
        assert!(out.len() >= 5980, "{} at {every_us}", out.len());
        let late = |(at, p): &(u64, Packet)| at - u64::from(number(p)) * every_us / 1000;
        let worst = out.iter().map(late).max();
        assert!(worst <= Some(140), "{worst:?} ms behind at {every_us}");
    }
}

#[test]
fn numbers_that_wrap_and_a_new_source_are_no_gap() {
    let mut world = World::new();
    let (mut a, b) =
        (world.call_with(1, Codec::PCMU, |p| p.jitter = Some(SPEC)), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    a.phone.seq = 65_500;
    for n in 0..100u8 {
        if n == 60 {
            (a.phone.ssrc, a.phone.seq, a.phone.timestamp) = (0xfeed, 9, 1);
        }
        a.phone.speak(&[n; 160]);
        world.sim.run_ms(20);
    }
    world.sim.run_ms(200);
    let heard = b.phone.heard();
    assert!(heard.len() >= 97, "{}", heard.len());
    assert_continuous(&heard);
}

#[test]
fn longer_packets_than_agreed_keep_their_pace() {
    let mut world = World::new();
    let (mut a, b) =
        (world.call_with(1, Codec::PCMU, |p| p.jitter = Some(SPEC)), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    for _ in 0..100 {
        a.phone.seq += 1;
        a.phone.timestamp += 240;
        a.phone.send(a.phone.seq, a.phone.timestamp, 0, false, &[0x33; 240]);
        world.sim.run_ms(30);
    }
    let heard = b.phone.heard();
    assert!((135..=150).contains(&heard.len()), "{} packets of 20 ms", heard.len());
    assert_continuous(&heard);
    assert!(a.leg.stats().inbound.largest_jb_size <= 4);
    assert_eq!(a.leg.stats().inbound.skip_packet_count, 0);
}

#[test]
fn digits_within_the_stream_are_neither_loss_nor_delay() {
    let mut world = World::new();
    let (mut a, b) =
        (world.call_with(1, Codec::PCMU, |p| p.jitter = Some(SPEC)), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    for n in 0..200u16 {
        a.phone.speak(&[n as u8; 160]);
        // A phone that sends its events beside the audio.
        if (50..58).contains(&n) {
            a.phone.event(5, n == 57, (n - 49) * 160, 1_000_000);
        }
        world.sim.run_ms(20);
    }
    assert_eq!(a.digits(), [('5', 1280)]);
    let stats = a.leg.stats().inbound;
    assert_eq!((stats.skip_packet_count, stats.flaw_total), (0, 0));
    assert!(stats.largest_jb_size <= 5, "{}", stats.largest_jb_size);
    // All the audio, but for the time the digit sounds at the other end.
    let audio = b.phone.heard().iter().filter(|p| p.payload.len() == 160).count();
    assert!(audio > 180, "{audio}");
}
