//! Two legs bridged: what one phone says the other hears, as one unbroken RTP stream.

mod kit;

use kit::{World, assert_continuous};
use media::dtmf::parse_digits;
use media::leg::Side;
use media::{BridgeOptions, Codec, EngineConfig, LegEvent, PairSpec};

#[test]
fn the_same_codec_is_passed_on_untouched_both_ways() {
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    world.talk(&mut a, &mut b, 50);
    let (at_a, at_b) = (a.phone.heard(), b.phone.heard());
    assert_eq!((at_a.len(), at_b.len()), (50, 50));
    assert_continuous(&at_a);
    assert_continuous(&at_b);
    for (n, packet) in at_b.iter().enumerate() {
        assert_eq!(packet.payload, [n as u8; 160]);
        assert_eq!(packet.header.ssrc, b.leg.ssrc());
        assert_eq!(packet.header.marker, n == 0);
    }
    let stats = a.leg.stats();
    assert_eq!((stats.inbound.packet_count, stats.outbound.packet_count), (50, 50));
    assert_eq!((stats.inbound.raw_bytes, stats.outbound.media_bytes), (8600, 8600));
    assert_eq!(stats.inbound.mean_interval, 20.0);
}

#[test]
fn pcmu_and_pcma_are_transcoded() {
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMA));
    a.leg.bridge(&b.leg).unwrap();
    world.talk(&mut a, &mut b, 10);
    let at_b = b.phone.heard();
    assert_eq!(at_b.len(), 10);
    assert_continuous(&at_b);
    let mut linear = [0; 160];
    Codec::PCMU.decode(&[5; 160], &mut linear);
    let mut expected = [0; 160];
    Codec::PCMA.encode(&linear, &mut expected);
    assert_eq!(at_b[5].payload, expected);
    assert_eq!(at_b[5].header.pt, 8);
}

#[test]
fn other_clock_rates_are_resampled() {
    let mut world = World::new();
    let l16 = Codec::by_name("L16", 16_000).unwrap();
    let (mut a, mut b) = (world.call(1, Codec::PCMU), world.call(2, l16));
    a.leg.bridge(&b.leg).unwrap();
    world.talk(&mut a, &mut b, 50);
    let at_b = b.phone.heard();
    assert!(at_b.len() >= 47, "{} packets", at_b.len());
    assert_continuous(&at_b);
    assert!(at_b.iter().all(|p| p.payload.len() == 640));
    assert_eq!(at_b[10].header.timestamp.wrapping_sub(at_b[9].header.timestamp), 320);
}

#[test]
fn other_packet_lengths_are_repacked() {
    let mut world = World::new();
    let (mut a, mut b) =
        (world.call(1, Codec::PCMU), world.call_with(2, Codec::PCMU, |p| p.ptime = 30));
    a.leg.bridge(&b.leg).unwrap();
    world.talk(&mut a, &mut b, 30);
    let at_b = b.phone.heard();
    assert_eq!(at_b.len(), 20);
    assert_continuous(&at_b);
    assert!(at_b.iter().all(|p| p.payload.len() == 240));
}

#[test]
fn the_stream_survives_changes_of_source() {
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    let mut c = world.call(3, Codec::PCMA);
    a.leg.bridge(&b.leg).unwrap();
    world.talk(&mut a, &mut b, 10);
    let plan = media::PlayPlan::from_samples(8000, vec![1000; 1600].into());
    a.leg.play(Box::new(plan)).unwrap();
    world.talk(&mut a, &mut b, 15);
    a.leg.bridge(&c.leg).unwrap();
    world.talk(&mut a, &mut c, 10);
    a.leg.send_dtmf(parse_digits("5@100", 2000)).unwrap();
    world.talk(&mut a, &mut c, 12);
    let at_a = a.phone.heard();
    assert!(at_a.len() > 40);
    assert_continuous(&at_a);
    // The clock of the stream is the clock on the wall.
    let (first, last) = (&at_a[0].header, &at_a[at_a.len() - 1].header);
    let ran = last.timestamp.wrapping_sub(first.timestamp);
    assert!((46 * 160..=48 * 160).contains(&ran), "{ran}");
    assert!(at_a.iter().any(|p| p.header.pt == kit::TE));
}

#[test]
fn loss_and_reordering_reach_the_other_side_as_they_came() {
    let mut world = World::new();
    let (a, b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    for seq in [10u16, 11, 14, 13, 15, 15, 18] {
        a.phone.send(seq, u32::from(seq) * 160, 0, false, &[seq as u8; 160]);
        world.sim.run_ms(20);
    }
    let heard: Vec<_> = b.phone.heard();
    let base = heard[0].header.seq;
    let seqs: Vec<_> = heard.iter().map(|p| p.header.seq.wrapping_sub(base)).collect();
    assert_eq!(seqs, [0, 1, 4, 3, 5, 5, 8]);
    assert!(heard.iter().all(|p| p.payload[0] == 10 + p.header.seq.wrapping_sub(base) as u8));
    let stats = a.leg.stats();
    assert_eq!(stats.inbound.jitter_packet_count, 2);
    assert!(stats.inbound.flaw_total >= 4);
}

#[test]
fn a_digit_is_told_once_and_sent_on_as_a_digit() {
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    world.talk(&mut a, &mut b, 5);
    b.phone.heard();
    let ts = a.phone.timestamp + 160;
    for n in 1..=5u16 {
        a.phone.event(4, false, n * 160, ts);
        world.sim.run_ms(20);
    }
    for _ in 0..3 {
        a.phone.event(4, true, 960, ts);
    }
    world.sim.run_ms(300);
    assert_eq!(a.digits(), [('4', 960)]);
    let heard = b.phone.heard();
    assert!(heard.iter().all(|p| p.header.pt == kit::TE));
    assert!(heard.iter().all(|p| p.header.timestamp == heard[0].header.timestamp));
    let ends: Vec<_> = heard.iter().filter(|p| p.payload[1] & 0x80 != 0).collect();
    assert_eq!(ends.len(), 3);
    assert!(ends.iter().all(|p| p.payload == [4, 0x8d, 3, 0xc0]));
    assert_eq!(heard.iter().filter(|p| p.header.marker).count(), 1);
    assert_continuous(&heard);
    assert!(b.digits().is_empty());
    assert!(b.events().is_empty() || !b.events().contains(&LegEvent::DigitsSent));
}

#[test]
fn digits_stay_here_when_the_owner_wants_to_decide() {
    let mut world = World::new();
    let (mut a, b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge_with(&b.leg, BridgeOptions { forward_dtmf: false }).unwrap();
    a.phone.event(11, true, 800, 5);
    world.sim.run_ms(300);
    assert_eq!(a.digits(), [('#', 800)]);
    assert!(b.phone.heard().is_empty());
}

#[test]
fn an_unbridged_leg_hears_nothing_more() {
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    world.talk(&mut a, &mut b, 3);
    b.leg.unbridge().unwrap();
    world.sim.settle();
    a.phone.heard();
    b.phone.heard();
    world.talk(&mut a, &mut b, 3);
    assert!(a.phone.heard().is_empty() && b.phone.heard().is_empty());
}

#[test]
fn closing_one_leg_leaves_the_other_in_peace() {
    let mut world = World::new();
    let (mut a, b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    world.sim.run_ms(20);
    drop(b);
    world.sim.run_ms(20);
    a.phone.speak(&[1; 160]);
    world.sim.run_ms(20);
    a.leg.echo(true).unwrap();
    a.phone.speak(&[2; 160]);
    world.sim.run_ms(20);
    assert_eq!(a.phone.heard().len(), 1);
}

#[test]
fn mute_and_level_apply_to_their_side_only() {
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    a.leg.mute(Side::Read, true).unwrap();
    world.talk(&mut a, &mut b, 3);
    assert!(b.phone.heard().iter().all(|p| p.payload == [0xff; 160]));
    assert!(a.phone.heard().iter().all(|p| p.payload[0] & 0x80 != 0));
    a.leg.mute(Side::Read, false).unwrap();
    a.leg.gain(Side::Read, 50).unwrap();
    world.talk(&mut a, &mut b, 1);
    let mut linear = [0; 1];
    Codec::PCMU.decode(&[0], &mut linear);
    let mut halved = [0; 1];
    Codec::PCMU.encode(&[linear[0] / 2], &mut halved);
    assert_eq!(b.phone.heard()[0].payload[0], halved[0]);
}

#[test]
fn a_call_through_an_in_memory_pair() {
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    let ((one, _one_events), (two, _two_events)) =
        world.engine.open_pair(PairSpec { near: Some(a.leg.id()), ..PairSpec::default() }).unwrap();
    a.leg.bridge(&one).unwrap();
    b.leg.bridge(&two).unwrap();
    world.talk(&mut a, &mut b, 20);
    let (at_a, at_b) = (a.phone.heard(), b.phone.heard());
    assert_eq!((at_a.len(), at_b.len()), (20, 20));
    assert_continuous(&at_b);
    assert_eq!(at_b[7].payload, [7; 160]);
    a.phone.event(9, true, 800, 5);
    world.sim.run_ms(400);
    assert!(b.phone.heard().iter().any(|p| p.header.pt == kit::TE && p.payload[0] == 9));
}

#[test]
fn a_ring_of_in_memory_legs_does_not_lock_up() {
    let mut world = World::new();
    let ((one, _a), (two, _b)) = world.engine.open_pair(PairSpec::default()).unwrap();
    one.echo(true).unwrap();
    two.echo(true).unwrap();
    two.play(Box::new(media::PlayPlan::from_samples(8000, vec![9; 800].into()))).unwrap();
    world.sim.run_ms(1000);
    assert!(one.stats().inbound.packet_count <= 2000);
}

#[test]
fn legs_of_two_workers_are_brought_together() {
    let config = EngineConfig {
        workers: Some(2),
        port_min: 20_000,
        port_max: 20_999,
        ..EngineConfig::default()
    };
    let mut world = World::with(config);
    let (mut a, mut b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    assert_eq!(world.engine.load().iter().map(|l| l.legs).collect::<Vec<_>>(), [1, 1]);
    a.leg.bridge(&b.leg).unwrap();
    world.sim.run_ms(5);
    world.talk(&mut a, &mut b, 10);
    assert_eq!((a.phone.heard().len(), b.phone.heard().len()), (10, 10));
    assert_eq!(world.engine.load().iter().map(|l| l.legs).max(), Some(2));
    let echo = a.leg.echo(true);
    assert!(echo.is_ok());
    world.sim.run_ms(5);
    a.phone.speak(&[3; 160]);
    world.sim.run_ms(20);
    assert_eq!(a.phone.heard().len(), 1);
    drop((a, b));
    world.sim.run_ms(5);
    assert!(world.engine.load().iter().all(|l| l.legs == 0));
}
