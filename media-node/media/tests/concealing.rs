//! Lost packets where audio is decoded: concealed where samples are needed, and nowhere else.

mod kit;

use kit::{Phone, World};
use media::codec::g711;
use media::record::RecordMix;
use media::{Codec, LegEvent, RecordSpec};

/// A tone of 200 Hz, `n`th frame, as mu-law.
fn tone(n: usize) -> Vec<u8> {
    let sample = |i: usize| {
        let t = i as f32 / 8000.0 * 200.0 * std::f32::consts::TAU;
        g711::linear_to_ulaw((t.sin() * 8000.0) as i16)
    };
    (n * 160..(n + 1) * 160).map(sample).collect()
}

/// Speaks frames, those of `lost` never arrive.
fn speak(world: &mut World, phone: &mut Phone, frames: usize, lost: impl Fn(usize) -> bool) {
    for n in 0..frames {
        if lost(n) {
            phone.seq = phone.seq.wrapping_add(1);
            phone.timestamp = phone.timestamp.wrapping_add(160);
        } else {
            phone.speak(&tone(n));
        }
        world.sim.run_ms(20);
    }
}

fn quiet_frames(pcm: &[i16]) -> usize {
    pcm.chunks(160).filter(|frame| frame.iter().all(|s| s.unsigned_abs() < 500)).count()
}

fn linear(payload: &[u8]) -> Vec<i16> {
    payload.iter().map(|o| g711::ulaw_to_linear(*o)).collect()
}

#[test]
fn a_relayed_stream_keeps_its_gaps() {
    let mut world = World::new();
    let (mut a, b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    speak(&mut world, &mut a.phone, 50, |n| n % 10 == 4);
    assert_eq!(b.phone.heard().len(), 45);
}

#[test]
fn repacked_audio_has_no_hole_and_keeps_its_time() {
    let mut world = World::new();
    let (mut a, b) =
        (world.call(1, Codec::PCMU), world.call_with(2, Codec::PCMU, |p| p.ptime = 40));
    a.leg.bridge(&b.leg).unwrap();
    speak(&mut world, &mut a.phone, 100, |n| n % 10 == 4);
    let heard = b.phone.heard();
    assert!((49..=50).contains(&heard.len()), "{}", heard.len());
    let pcm: Vec<i16> = heard.iter().flat_map(|p| linear(&p.payload)).collect();
    assert_eq!(quiet_frames(&pcm), 0);
}

#[test]
fn a_conference_hears_no_hole() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let (mut a, b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    for call in [&a, &b] {
        call.leg.join(&mixer, Default::default()).unwrap();
    }
    speak(&mut world, &mut a.phone, 100, |n| n > 20 && n % 10 == 4);
    let pcm: Vec<i16> = b.phone.heard().iter().skip(20).flat_map(|p| linear(&p.payload)).collect();
    assert!(quiet_frames(&pcm) <= 1, "{} silent frames", quiet_frames(&pcm));
}

#[test]
fn a_recording_is_whole_on_both_sides_of_a_relayed_call() {
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    let path = std::env::temp_dir().join(format!("media-concealed-{}.wav", std::process::id()));
    // The lossy leg is recorded once as what it says and once as what the other hears.
    for (leg, mix) in [(&a.leg, RecordMix::ReadOnly), (&b.leg, RecordMix::WriteOnly)] {
        let spec = RecordSpec { mix, ..RecordSpec::new(&path) };
        let id = leg.record(spec).unwrap();
        world.sim.run_ms(5);
        speak(&mut world, &mut a.phone, 100, |n| n % 10 == 4);
        leg.stop_record(id).unwrap();
        world.sim.run_ms(100);
        let (_, pcm) = media::wav::decode(&std::fs::read(&path).unwrap()).unwrap();
        assert!((98..=101).contains(&(pcm.len() / 160)), "{} frames", pcm.len() / 160);
        // The recorder's cushion may begin with silence.
        assert!(quiet_frames(&pcm) <= 3, "{mix:?}: {} silent frames", quiet_frames(&pcm));
    }
    let _gone = std::fs::remove_file(&path);
    for call in [&mut a, &mut b] {
        assert!(call.events().iter().all(|e| !matches!(e, LegEvent::Digit { .. })));
    }
}

#[test]
fn the_other_half_of_g711_is_understood_in_mid_call() {
    let mut world = World::new();
    let (mut a, b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    a.phone.speak(&[g711::linear_to_ulaw(8000); 160]);
    world.sim.run_ms(20);
    a.phone.pt = 8;
    a.phone.speak(&[g711::linear_to_alaw(8000); 160]);
    world.sim.run_ms(20);
    let heard = b.phone.heard();
    assert_eq!(heard.len(), 2);
    assert!(heard.iter().all(|p| p.header.pt == 0));
    let (first, second) = (linear(&heard[0].payload)[80], linear(&heard[1].payload)[80]);
    assert!((i32::from(first) - i32::from(second)).abs() < 400, "{first} then {second}");
}

#[test]
fn a_sender_that_starts_its_numbers_anew_is_recorded_on() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::PCMU);
    let path = std::env::temp_dir().join(format!("media-renumbered-{}.wav", std::process::id()));
    let spec = RecordSpec { mix: RecordMix::ReadOnly, ..RecordSpec::new(&path) };
    let id = call.leg.record(spec).unwrap();
    world.sim.run_ms(5);
    call.phone.seq = 40_000;
    speak(&mut world, &mut call.phone, 50, |_| false);
    call.phone.seq = 30_000;
    speak(&mut world, &mut call.phone, 50, |_| false);
    call.leg.stop_record(id).unwrap();
    world.sim.run_ms(100);
    let (_, pcm) = media::wav::decode(&std::fs::read(&path).unwrap()).unwrap();
    let _gone = std::fs::remove_file(&path);
    assert!(quiet_frames(&pcm) <= 3, "{} silent frames", quiet_frames(&pcm));
    assert_eq!(call.leg.stats().inbound.flaw_total, 0);
}
