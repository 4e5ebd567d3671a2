//! What a leg hears when something is played to it, and what it is told about it.

mod kit;

use kit::{Call, World, assert_continuous};
use media::dtmf::parse_digits;
use media::record::RecordMix;
use media::source::{SourceOptions, open};
use media::{Codec, Direction, LegEvent, PlayEnd, PlayPlan};

fn plan(samples: usize) -> Box<PlayPlan> {
    let pcm: Vec<i16> = (0..samples).map(|n| ((n / 160 % 300) as i16 + 1) * 100).collect();
    Box::new(PlayPlan::from_samples(8000, pcm.into()))
}

fn play_ends(events: Vec<LegEvent>) -> Vec<(u64, PlayEnd)> {
    let end = |e| match e {
        LegEvent::PlayDone { samples, reason, .. } => Some((samples, reason)),
        _ => None,
    };
    events.into_iter().filter_map(end).collect()
}

#[test]
fn a_file_is_heard_whole_in_even_packets_and_its_end_is_told() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    call.leg.play(plan(8000)).unwrap();
    world.sim.run_ms(1100);
    let heard = call.phone.heard();
    assert_eq!(heard.len(), 50);
    assert_continuous(&heard);
    assert!(
        heard.windows(2).all(|w| w[1].header.timestamp.wrapping_sub(w[0].header.timestamp) == 160)
    );
    assert_eq!(heard[49].payload[..2], 5000i16.to_be_bytes());
    assert_eq!(play_ends(call.events()), [(8000, PlayEnd::Finished)]);
}

#[test]
fn plays_are_stopped_replaced_paused_and_moved() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    let first = call.leg.play(plan(80_000)).unwrap();
    world.sim.run_ms(100);
    let second = call.leg.play(plan(80_000)).unwrap();
    world.sim.run_ms(100);
    call.leg.stop_play(first).unwrap();
    call.leg.pause_play(second, true).unwrap();
    world.sim.run_ms(100);
    call.leg.pause_play(second, false).unwrap();
    call.leg.seek_play(second, 8000, false).unwrap();
    call.phone.heard();
    world.sim.run_ms(20);
    assert_eq!(call.phone.heard()[0].payload[..2], 5100i16.to_be_bytes());
    call.leg.stop_play(second).unwrap();
    world.sim.run_ms(20);
    let ends = play_ends(call.events());
    assert_eq!(ends.len(), 2);
    assert_eq!((ends[0].1, ends[1].1), (PlayEnd::Replaced, PlayEnd::Stopped));
    assert_eq!((ends[0].0, ends[1].0), (800, 960));
}

#[test]
fn a_play_within_another_lets_it_go_on_afterwards() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    call.leg.play(plan(1600)).unwrap();
    world.sim.run_ms(100);
    call.leg.play_within(plan(480)).unwrap();
    world.sim.run_ms(300);
    let values: Vec<i16> = call
        .phone
        .heard()
        .iter()
        .map(|p| i16::from_be_bytes([p.payload[0], p.payload[1]]))
        .collect();
    let hundreds: Vec<i16> = values.iter().map(|v| v / 100).collect();
    assert_eq!(hundreds, [1, 2, 3, 4, 5, 1, 2, 3, 6, 7, 8, 9, 10]);
    let ends = play_ends(call.events());
    assert_eq!(ends, [(480, PlayEnd::Finished), (1600, PlayEnd::Finished)]);
}

#[test]
fn a_play_over_a_bridge_is_mixed_and_a_play_on_it_replaces() {
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::L16_8K), world.call(2, Codec::L16_8K));
    a.leg.bridge(&b.leg).unwrap();
    b.leg.play_over(plan(320)).unwrap();
    for _ in 0..5 {
        a.phone.speak(&[0, 7].repeat(160));
        world.sim.run_ms(20);
    }
    let values: Vec<i16> =
        b.phone.heard().iter().map(|p| i16::from_be_bytes([p.payload[0], p.payload[1]])).collect();
    assert_eq!(values, [107, 207, 7, 7, 7]);
    assert_eq!(play_ends(b.events()), [(320, PlayEnd::Finished)]);
    b.leg.play(plan(320)).unwrap();
    for _ in 0..5 {
        a.phone.speak(&[0, 7].repeat(160));
        world.sim.run_ms(20);
    }
    let heard = b.phone.heard();
    assert_continuous(&heard);
    assert!(heard[..2].iter().all(|p| p.payload[..2] != [0, 7]));
    assert_eq!(heard[heard.len() - 1].payload[..2], [0, 7]);
    let _ = a.events();
}

#[test]
fn silence_is_sent_when_asked_for_and_only_then() {
    let mut world = World::new();
    let call = world.call(1, Codec::PCMU);
    world.sim.run_ms(200);
    assert!(call.phone.heard().is_empty());
    call.leg.silence(Some(0)).unwrap();
    world.sim.run_ms(200);
    let heard = call.phone.heard();
    assert_eq!(heard.len(), 10);
    assert!(heard.iter().all(|p| p.payload == [0xff; 160]));
    call.leg.silence(None).unwrap();
    world.sim.run_ms(200);
    assert!(call.phone.heard().is_empty());
}

#[test]
fn a_leg_with_nothing_to_say_gives_a_sign_of_life_to_peers_that_know_comfort_noise() {
    let mut world = World::new();
    let calls = [Some(13), None].map(|cn| {
        let host = if cn.is_some() { 1 } else { 2 };
        world.call_with(host, Codec::PCMU, |p| p.cn_pt = cn)
    });
    for call in &calls {
        call.leg.play(plan(1600)).unwrap();
    }
    world.sim.run_ms(4900);
    let noise = |call: &Call| {
        let heard = call.phone.heard();
        assert_continuous(&heard);
        heard.into_iter().filter(|p| p.header.pt == 13).map(|p| p.payload).collect::<Vec<_>>()
    };
    assert_eq!(noise(&calls[0]), vec![vec![65, 0]; 3]);
    assert!(noise(&calls[1]).is_empty());
}

#[test]
fn a_leg_that_may_not_send_stays_quiet_while_its_play_goes_by() {
    let mut world = World::new();
    let mut call = world.call_with(1, Codec::PCMU, |p| p.direction = Direction::RecvOnly);
    call.leg.play(plan(1600)).unwrap();
    world.sim.run_ms(300);
    assert!(call.phone.heard().is_empty());
    assert_eq!(play_ends(call.events()), [(1600, PlayEnd::Finished)]);
}

#[test]
fn digits_take_the_place_of_a_play_and_it_goes_on_after_them() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::PCMU);
    call.leg.play(plan(16_000)).unwrap();
    world.sim.run_ms(100);
    call.leg.send_dtmf(parse_digits("12@100", 2000)).unwrap();
    world.sim.run_ms(1000);
    let heard = call.phone.heard();
    assert_continuous(&heard);
    let digits: Vec<u8> = heard
        .iter()
        .filter(|p| p.header.pt == kit::TE && p.header.marker)
        .map(|p| p.payload[0])
        .collect();
    assert_eq!(digits, [1, 2]);
    assert_eq!(heard.last().map(|p| p.header.pt), Some(0));
    assert!(call.events().contains(&LegEvent::DigitsSent));
    world.sim.run_ms(1100);
    assert_eq!(play_ends(call.events()), [(16_000, PlayEnd::Finished)]);
}

#[test]
fn echo_comes_back_at_once_or_after_its_delay() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    call.leg.echo(true).unwrap();
    call.phone.speak(&[1; 320]);
    world.sim.run_ms(1);
    assert_eq!(call.phone.heard()[0].payload, [1; 320]);
    call.leg.delayed_echo(40).unwrap();
    for n in 1..=4u8 {
        call.phone.speak(&[n; 320]);
        world.sim.run_ms(20);
    }
    let first: Vec<u8> = call.phone.heard().iter().map(|p| p.payload[0]).collect();
    assert_eq!(first, [0, 0, 1, 2]);
}

#[test]
fn a_stalled_worker_skips_time_instead_of_flooding() {
    let mut world = World::new();
    let call = world.call(1, Codec::PCMU);
    call.leg.play(plan(160_000)).unwrap();
    world.sim.run_ms(100);
    call.phone.heard();
    world.sim.stall_ms(1000);
    let flood = call.phone.heard().len();
    assert!(flood <= 4, "{flood} packets at once");
    assert!(world.engine.load()[0].late_frames > 40);
    world.sim.run_ms(200);
    assert_eq!(call.phone.heard().len(), 10);
}

#[test]
fn a_third_leg_listens_live_and_whispers_to_one_side() {
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::L16_8K), world.call(2, Codec::L16_8K));
    let mut spy = world.call(3, Codec::L16_8K);
    a.leg.bridge(&b.leg).unwrap();
    let heard = spy.leg.listen_to(&a.leg, RecordMix::Mono, false).unwrap();
    let whisper = a.leg.listen_to(&spy.leg, RecordMix::ReadOnly, true).unwrap();
    let value = |call: &Call| {
        let packet = call.phone.heard().pop().expect("something heard");
        i16::from_be_bytes([packet.payload[0], packet.payload[1]])
    };
    let talk = |world: &mut World, a: &mut Call, b: &mut Call, spy: &mut Call| {
        for _ in 0..20 {
            a.phone.speak(&100i16.to_be_bytes().repeat(160));
            b.phone.speak(&20i16.to_be_bytes().repeat(160));
            spy.phone.speak(&3i16.to_be_bytes().repeat(160));
            world.sim.run_ms(20);
        }
        (value(a), value(b), spy.phone.heard().pop().map(|p| p.payload[1]))
    };
    // The listener hears A, what A hears, and so his own whisper to A.
    assert_eq!(talk(&mut world, &mut a, &mut b, &mut spy), (23, 100, Some(123)));
    spy.leg.stop_listening(&a.leg, heard).unwrap();
    a.leg.stop_listening(&spy.leg, whisper).unwrap();
    assert_eq!(talk(&mut world, &mut a, &mut b, &mut spy), (20, 100, None));
}

#[test]
fn somebody_outside_hears_a_leg_and_speaks_to_it() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::PCMU);
    let (voice, mut speech) = call.leg.exchange().unwrap();
    let loud = 32_124; // 0x80 in G.711
    let mut frame = [0; 160];
    let mut heard = Vec::new();
    for _ in 0..10 {
        call.phone.speak(&[0x80; 160]);
        speech.say(&[1000; 160]);
        world.sim.run_ms(20);
        while speech.take(&mut frame) {
            heard.push(frame[80]);
        }
    }
    assert!(heard.len() >= 8 && heard.iter().filter(|&&s| s == loud).count() >= 6, "{heard:?}");
    let spoken = call.phone.heard();
    assert!(spoken.iter().filter(|p| p.payload[80] == 0xce).count() >= 6, "{spoken:?}");
    call.leg.end_exchange(&voice).unwrap();
    world.sim.run_ms(40);
    call.phone.heard();
    speech.say(&[1000; 160]);
    world.sim.run_ms(60);
    assert!(call.phone.heard().is_empty(), "silent again");
    assert!(!speech.take(&mut frame));
}

#[test]
fn who_does_not_take_what_a_leg_says_misses_the_oldest() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    let (_voice, mut speech) = call.leg.exchange().unwrap();
    for n in 0..100_i16 {
        call.phone.speak(&n.to_be_bytes().repeat(160));
        world.sim.run_ms(20);
    }
    let mut frame = [0; 160];
    assert!(speech.take(&mut frame));
    assert!(frame[159] > 85, "{}", frame[159]);
}

#[test]
fn a_null_leg_plays_in_real_time() {
    let mut world = World::new();
    let (leg, mut events) = world.engine.open_null().unwrap();
    leg.play(plan(1600)).unwrap();
    world.sim.run_ms(150);
    assert!(events.try_recv().is_err());
    world.sim.run_ms(150);
    assert!(matches!(events.try_recv(), Ok(LegEvent::PlayDone { samples: 1600, .. })));
}

#[test]
fn a_tone_opened_for_the_leg_is_heard() {
    let mut world = World::new();
    let call = world.call(1, Codec::PCMA);
    let options = SourceOptions::new(8000, "/");
    let tone = open("tone_stream://%(200,0,440)", &options).unwrap();
    call.leg.play(Box::new(tone)).unwrap();
    world.sim.run_ms(200);
    let mut pcm = [0; 160];
    Codec::PCMA.decode(&call.phone.heard()[3].payload, &mut pcm);
    assert!(pcm.iter().any(|s| s.unsigned_abs() > 8000));
}

/// Part of the energy of `pcm` that lies at `hz`.
fn share_of(hz: f64, pcm: &[i16]) -> f64 {
    let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let (x, t) = (f64::from(*sample), n as f64 / 8000.0 * hz * std::f64::consts::TAU);
        (re, im, all) = (re + x * t.cos(), im + x * t.sin(), all + x * x);
    }
    (re * re + im * im) * 2.0 / (all * pcm.len() as f64)
}

#[test]
fn compressed_files_are_heard_as_what_they_hold() {
    // Half a second of 440 Hz in stereo at 16 kHz, made with sox.
    for name in ["tone.mp3", "tone.ogg", "tone.flac"] {
        let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut plan = open(&path, &SourceOptions::new(8000, "/")).expect(name);
        let mut pcm = vec![0; 8000];
        let len = plan.fill(&mut pcm);
        // MP3 adds up to two frames of silence.
        assert!((4000..5000).contains(&len), "{name}: {len} samples");
        let share = share_of(440.0, &pcm[1000..3400]);
        assert!(share > 0.95, "{name}: {share}");
        assert!(pcm[1000..3400].iter().any(|s| s.unsigned_abs() > 10_000), "{name} is too quiet");
    }
}

#[test]
fn a_compressed_file_of_garbage_says_so() {
    for name in ["bad.mp3", "bad.ogg", "bad.flac"] {
        let path = std::env::temp_dir().join(format!("media-{}-{name}", std::process::id()));
        std::fs::write(&path, [0x5a; 3000]).unwrap();
        let opened = open(path.to_str().unwrap(), &SourceOptions::new(8000, "/"));
        std::fs::remove_file(&path).unwrap();
        let message = opened.map(|p| p.len_samples()).unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn a_play_in_the_place_of_what_a_leg_says_is_heard_by_its_peer_and_by_nobody_else() {
    let mut world = World::new();
    let (mut near, mut far) = (world.call(1, Codec::L16_8K), world.call(2, Codec::L16_8K));
    near.leg.bridge(&far.leg).unwrap();
    let said = |world: &mut World, near: &mut Call, far: &mut Call| {
        near.phone.speak(&7i16.to_be_bytes().repeat(160));
        far.phone.speak(&9i16.to_be_bytes().repeat(160));
        world.sim.run_ms(20);
        let first = |call: &Call| {
            let heard = call.phone.heard();
            let packet = heard.last().expect("something heard");
            i16::from_be_bytes([packet.payload[0], packet.payload[1]])
        };
        (first(near), first(far))
    };
    assert_eq!(said(&mut world, &mut near, &mut far), (9, 7));
    near.leg.play_said(plan(480), false).unwrap();
    for value in [100, 200, 300] {
        assert_eq!(said(&mut world, &mut near, &mut far), (9, value));
    }
    assert_eq!(said(&mut world, &mut near, &mut far), (9, 7));
    assert_eq!(play_ends(near.events()), [(480, PlayEnd::Finished)]);
    let mixed = near.leg.play_said(plan(8000), true).unwrap();
    assert_eq!(said(&mut world, &mut near, &mut far), (9, 107));
    near.leg.stop_play(mixed).unwrap();
    assert_eq!(said(&mut world, &mut near, &mut far), (9, 7));
    assert!(far.events().iter().all(|event| !matches!(event, LegEvent::PlayDone { .. })));
}
