//! What the network does to a leg: strange addresses, garbage, silence, reports, jitter.

mod kit;

use std::net::SocketAddr;
use std::time::Duration;

use kit::{World, assert_continuous};
use media::event::{LevelOutcome, LevelWatch};
use media::rtcp::{Item, parse};
use media::{Codec, EngineConfig, LegEvent, OpenError, RtpParams, RtpSpec};

#[test]
fn the_first_packet_is_told_once() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::PCMU);
    call.phone.speak(&[1; 160]);
    call.phone.speak(&[1; 160]);
    world.sim.run_ms(20);
    assert_eq!(call.events(), [LegEvent::FirstPacket]);
}

#[test]
fn a_phone_behind_a_translator_is_followed_and_a_stranger_is_not_heard() {
    let mut world = World::new();
    let real: SocketAddr = "198.51.100.7:9000".parse().unwrap();
    let mut call = world.call_with(1, Codec::PCMU, |p| p.signalling = Some(real.ip()));
    call.leg.echo(true).unwrap();
    world.sim.settle();
    let announced = std::mem::replace(&mut call.phone.socket, world.sim.net.bind(real).unwrap());
    for _ in 0..30 {
        call.phone.speak(&[1; 160]);
        world.sim.run_ms(20);
    }
    assert!(call.events().contains(&LegEvent::RemoteLatched(real)));
    assert_eq!(announced.drain().len(), 0);
    assert_eq!(call.phone.heard().len(), 21);
    for _ in 0..300 {
        call.phone.speak(&[1; 160]);
        world.sim.run_ms(20);
    }
    call.phone.heard();
    let stranger = world.sim.net.bind("203.0.113.66:6666".parse().unwrap()).unwrap();
    let before = call.leg.stats().inbound.packet_count;
    for n in 0..50u16 {
        let mut packet = vec![0x80, 0, 0, n as u8];
        packet.resize(172, 9);
        stranger.send_to(&packet, call.phone.server).unwrap();
        world.sim.run_ms(20);
    }
    assert_eq!(call.leg.stats().inbound.packet_count, before);
    assert!(stranger.drain().is_empty());
}

#[test]
fn foreign_packets_do_not_take_the_stream_of_a_peer_that_has_not_sent_yet() {
    for (signalling, stranger) in [
        (None, "192.0.2.1:6666"),
        (None, "203.0.113.66:6666"),
        (Some("192.0.2.1"), "192.0.2.1:6666"),
        (Some("198.51.100.7"), "203.0.113.66:6666"),
    ] {
        let mut world = World::new();
        let signalling = signalling.map(|ip| ip.parse().unwrap());
        let mut call = world.call_with(1, Codec::PCMU, |p| p.signalling = signalling);
        let listener = world.call(2, Codec::PCMU);
        call.leg.bridge(&listener.leg).unwrap();
        call.leg.silence(Some(0)).unwrap();
        let stranger = world.sim.net.bind(stranger.parse().unwrap()).unwrap();
        for n in 0..10u16 {
            let mut packet = vec![0x80, 0, 0, n as u8];
            packet.resize(172, 9);
            stranger.send_to(&packet, call.phone.server).unwrap();
            world.sim.run_ms(20);
        }
        world.sim.run_ms(500);
        let leaked = stranger.drain().len();
        assert!(leaked <= 5, "{leaked} packets leaked");
        assert!(call.phone.heard().len() >= 29, "the silent peer is sent to all the time");
        let injected = listener.phone.heard().len();
        assert!(injected <= 5, "{injected} packets heard");
        call.phone.speak(&[1; 160]);
        world.sim.run_ms(20);
        assert_eq!(listener.phone.heard().len(), 1, "the peer is heard at once");
        world.sim.run_ms(200);
        assert!(stranger.drain().is_empty());
        assert!(call.phone.heard().len() >= 10);
    }
}

#[test]
fn a_peer_wins_its_stream_back_however_long_it_was_taken() {
    let mut world = World::new();
    let mut call = world.call_with(1, Codec::PCMU, |p| {
        p.signalling = Some("198.51.100.7".parse().unwrap());
    });
    call.leg.silence(Some(0)).unwrap();
    let other: SocketAddr = "198.51.100.7:6666".parse().unwrap();
    let other = world.sim.net.bind(other).unwrap();
    for n in 0..1000u16 {
        let mut packet = vec![0x80, 0, (n >> 8) as u8, n as u8];
        packet.resize(172, 9);
        other.send_to(&packet, call.phone.server).unwrap();
        world.sim.run_ms(20);
    }
    assert!(other.drain().len() > 900);
    call.phone.heard();
    for n in 0..50 {
        call.phone.speak(&[1; 160]);
        world.sim.run_ms(20);
        assert!(n > 0 || other.drain().len() <= 1);
    }
    assert!(other.drain().is_empty());
    assert!(call.phone.heard().len() >= 49);
    assert_eq!(call.events().last(), Some(&LegEvent::RemoteLatched(call.phone.socket.addr())));
}

#[test]
fn renegotiating_the_same_address_keeps_what_was_learnt() {
    let mut world = World::new();
    let real: SocketAddr = "198.51.100.7:9000".parse().unwrap();
    let mut call = world.call_with(1, Codec::PCMU, |p| p.signalling = Some(real.ip()));
    let announced = call.phone.socket.addr();
    call.phone.socket = world.sim.net.bind(real).unwrap();
    for _ in 0..10 {
        call.phone.speak(&[1; 160]);
        world.sim.run_ms(20);
    }
    let mut params = RtpParams::new(Codec::PCMU, 0);
    params.remote = Some(announced);
    params.signalling = Some(real.ip());
    call.leg.set_rtp(params).unwrap();
    call.leg.silence(Some(0)).unwrap();
    world.sim.run_ms(100);
    assert_eq!(call.phone.heard().len(), 5);
}

#[test]
fn garbage_never_stops_a_leg() {
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMA));
    a.leg.bridge(&b.leg).unwrap();
    let mut random = 1u32;
    let mut next = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 16) as u8
    };
    let rtcp = SocketAddr::new(a.phone.server.ip(), a.phone.server.port() + 1);
    for n in 0..5000usize {
        let len = usize::from(next()) * (1 + n % 12);
        let mut packet: Vec<u8> = (0..len).map(|_| next()).collect();
        if let Some(first) = packet.first_mut()
            && n % 2 == 0
        {
            *first = 0x80 | (*first & 0x3f);
        }
        if let Some(second) = packet.get_mut(1)
            && n % 3 == 0
        {
            *second = [0, 8, 101, 13, 200, 201][n % 6];
        }
        let to = if n % 5 == 0 { rtcp } else { a.phone.server };
        a.phone.socket.send_to(&packet, to).unwrap();
        world.sim.run_ms(1);
    }
    a.phone.heard();
    b.phone.heard();
    a.phone.ssrc = 99;
    world.talk(&mut a, &mut b, 20);
    assert!(b.phone.heard().len() >= 19);
}

#[test]
fn silence_of_the_peer_is_told_once_and_again_after_it_spoke() {
    let mut world = World::new();
    let mut call = world.call_with(1, Codec::PCMU, |p| {
        p.media_timeout = Some(Duration::from_secs(2));
        p.hold_timeout = Some(Duration::from_secs(10));
    });
    world.sim.run_ms(5000);
    assert_eq!(call.events(), [LegEvent::MediaTimeout { held: false }]);
    call.phone.speak(&[1; 160]);
    world.sim.run_ms(1000);
    assert_eq!(call.events(), [LegEvent::FirstPacket]);
    call.leg.hold(true).unwrap();
    world.sim.run_ms(9000);
    assert_eq!(call.events(), []);
    world.sim.run_ms(2000);
    assert_eq!(call.events(), [LegEvent::MediaTimeout { held: true }]);
}

#[test]
fn reports_go_out_at_the_interval_and_the_peers_are_read() {
    let mut world = World::new();
    let mut call = world.call_with(1, Codec::PCMU, |p| {
        p.rtcp_interval = Some(Duration::from_secs(1));
        p.cname = "here".to_owned();
    });
    let rtcp = world.sim.net.bind("192.0.2.1:4001".parse().unwrap()).unwrap();
    call.leg.echo(true).unwrap();
    for n in 0..100 {
        call.phone.speak(&[n; 160]);
        world.sim.run_ms(20);
    }
    let packets = rtcp.drain();
    assert_eq!(packets.len(), 2);
    let mut items = Vec::new();
    parse(&packets[1], |i| items.push(i));
    let [Item::Sender { ssrc, info }, Item::Block { block, .. }] = items[..] else {
        panic!("{items:?}")
    };
    assert_eq!(ssrc, call.leg.ssrc());
    assert!((95..=101).contains(&info.packets), "{info:?}");
    assert_eq!(info.octets, info.packets * 160);
    assert_eq!((block.ssrc, block.lost), (call.phone.ssrc, 0));
    let report = media::rtcp::Report {
        ssrc: call.phone.ssrc,
        sender: Some(media::rtcp::SenderInfo {
            ntp: 1 << 40,
            rtp_timestamp: 1,
            packets: 77,
            octets: 88,
        }),
        block: None,
        cname: "phone",
    };
    let mut buffer = [0; media::rtcp::MAX_REPORT];
    let len = report.write(&mut buffer);
    let server = SocketAddr::new(kit::SERVER, call.leg.rtcp_port().unwrap());
    rtcp.send_to(&buffer[..len], server).unwrap();
    world.sim.run_ms(5);
    let stats = call.leg.stats().rtcp;
    assert_eq!((stats.packet_count, stats.octet_count), (77, 88));
}

#[test]
fn a_jitter_buffer_evens_out_and_reorders_what_is_bridged() {
    let mut world = World::new();
    let (a, b) = (
        world.call_with(1, Codec::PCMU, |p| {
            p.jitter = Some(media::params::JitterSpec { ms: 80, max_ms: None })
        }),
        world.call(2, Codec::PCMU),
    );
    a.leg.bridge(&b.leg).unwrap();
    let send = |n: u16| a.phone.send(n, u32::from(n) * 160, 0, false, &[n as u8; 160]);
    // Pairs swapped, each pair at once.
    for pair in 0..50u16 {
        send(pair * 2 + 1);
        send(pair * 2);
        world.sim.run_ms(40);
    }
    let heard = b.phone.heard();
    assert!(heard.len() > 90, "{}", heard.len());
    assert_continuous(&heard);
    assert!(heard.windows(2).all(|w| w[1].payload[0] == w[0].payload[0] + 1));
    assert!(a.leg.stats().inbound.largest_jb_size >= 4);
}

#[test]
fn lost_end_packets_do_not_lose_the_digit() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::PCMU);
    call.phone.event(7, false, 800, 5);
    world.sim.run_ms(1000);
    assert_eq!(call.digits(), [('7', 800)]);
}

#[test]
fn no_digit_is_lost_to_a_slow_reader() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::PCMU);
    for n in 0..200u32 {
        call.phone.event((n % 10) as u8, true, 800, n * 2000 + 7);
        world.sim.run_ms(20);
    }
    let mut digits = Vec::new();
    for _ in 0..20 {
        digits.extend(call.digits());
        world.sim.run_ms(100);
    }
    assert_eq!(digits.len(), 200);
    assert!(digits.iter().enumerate().all(|(n, d)| d.0 as usize == '0' as usize + n % 10));
}

#[test]
fn tones_in_the_audio_are_digits_when_looked_for() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::PCMU);
    call.leg.detect_inband(true).unwrap();
    let tones = media::tone::Tones::parse("d=100;w=100;5").unwrap();
    let mut generator = media::tone::Generator::new(tones, 8000);
    let mut pcm = vec![0; 160 * 15];
    generator.fill(&mut pcm);
    for frame in pcm.chunks(160) {
        let mut payload = [0; 160];
        Codec::PCMU.encode(frame, &mut payload);
        call.phone.speak(&payload);
        world.sim.run_ms(20);
    }
    let digits = call.digits();
    assert_eq!(digits.iter().map(|d| d.0).collect::<String>(), "5");
    assert!((600..=1000).contains(&digits[0].1), "{digits:?}");
}

#[test]
fn a_level_watch_answers_when_speech_gives_way_to_silence() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    let watch = LevelWatch { threshold: 200, loud_hits: 10, quiet_hits: 25 };
    call.leg.watch_level(Some(watch)).unwrap();
    for n in 0..60 {
        let value: i16 = if n < 30 { 1000 } else { 3 };
        call.phone.speak(&value.to_be_bytes().repeat(160));
        world.sim.run_ms(20);
    }
    let level = call.events().into_iter().find_map(|e| match e {
        LegEvent::Level(report) => Some(report),
        _ => None,
    });
    let level = level.expect("an answer");
    assert_eq!((level.outcome, level.quiet_hits), (LevelOutcome::Quiet, 25));
    assert!(level.loud_hits >= 29, "{level:?}");
}

#[test]
fn ports_run_out_and_come_back() {
    let config = EngineConfig {
        workers: Some(1),
        port_min: 20_000,
        port_max: 20_007,
        ..EngineConfig::default()
    };
    let mut world = World::with(config);
    let mut legs: Vec<_> =
        (0..4).map(|_| world.engine.open_rtp(RtpSpec::new(kit::SERVER)).unwrap()).collect();
    let mut ports: Vec<_> = legs.iter().map(|(l, _)| l.rtp_port()).collect();
    let freed = ports[1];
    ports.sort_unstable();
    assert_eq!(ports, [20_000, 20_002, 20_004, 20_006]);
    let full = world.engine.open_rtp(RtpSpec::new(kit::SERVER));
    assert!(matches!(full, Err(OpenError::NoPorts { .. })));
    legs.remove(1);
    world.sim.run_ms(5);
    let (leg, _events) = world.engine.open_rtp(RtpSpec::new(kit::SERVER)).unwrap();
    assert_eq!(leg.rtp_port(), freed);
}

#[test]
fn opening_and_closing_at_once_leaves_nothing_behind() {
    let mut world = World::new();
    for _ in 0..500 {
        drop(world.engine.open_rtp(RtpSpec::new(kit::SERVER)).unwrap());
        world.sim.settle();
    }
    world.sim.run_ms(5);
    assert_eq!(world.engine.load()[0].legs, 0);
}

#[test]
fn a_flood_of_strangers_keeps_no_packet_of_the_peer_waiting() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::PCMU);
    call.leg.echo(true).unwrap();
    world.sim.settle();
    for _ in 0..60 {
        call.phone.speak(&[1; 160]);
        world.sim.run_ms(20);
    }
    call.phone.heard();
    let stranger = world.sim.net.bind("203.0.113.66:6666".parse().unwrap()).unwrap();
    let mut packet = vec![0x80, 0];
    packet.resize(172, 9);
    for _ in 0..50 {
        for _ in 0..60 {
            stranger.send_to(&packet, call.phone.server).unwrap();
        }
        call.phone.speak(&[1; 160]);
        world.sim.run_ms(20);
        assert_eq!(call.phone.heard().len(), 1, "echoed in its own interval");
    }
}
