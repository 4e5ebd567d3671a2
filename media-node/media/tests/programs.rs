//! Programs that hear a leg and speak to it: what comes out of the phone, and what comes to the program.

mod kit;

use kit::{Call, World, assert_continuous};
use media::Codec;

/// Samples of a payload of L16.
fn samples(payload: &[u8]) -> Vec<i16> {
    payload.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
}

fn heard(call: &Call) -> Vec<i16> {
    call.phone.heard().iter().flat_map(|packet| samples(&packet.payload)).collect()
}

fn counting(from: i16, n: usize) -> Vec<i16> {
    (0..n).map(|at| from + at as i16).collect()
}

fn say(call: &mut Call, frame: &[i16]) {
    let octets: Vec<u8> = frame.iter().flat_map(|sample| sample.to_be_bytes()).collect();
    call.phone.speak(&octets);
}

#[test]
fn a_program_is_heard_sample_by_sample_on_a_leg_that_hears_nothing_else() {
    let mut world = World::new();
    let call = world.call(1, Codec::L16_8K);
    let mut playout = call.leg.playout().unwrap();
    world.sim.run_ms(100);
    assert!(call.phone.heard().is_empty(), "nothing is sent before there is something to say");
    let words = counting(1, 1600);
    assert_eq!(playout.push(&words), 1600);
    world.sim.run_ms(400);
    let packets = call.phone.heard();
    assert_continuous(&packets);
    let said: Vec<i16> = packets.iter().flat_map(|packet| samples(&packet.payload)).collect();
    assert_eq!(said[..1600], words);
    assert!(said[1600..].iter().all(|sample| *sample == 0));
    assert_eq!((playout.passed(), playout.heard()), (1600, 1600));
    world.sim.run_ms(2000);
    call.phone.heard();
    world.sim.run_ms(500);
    assert!(call.phone.heard().is_empty(), "the silence after it ends");
    call.leg.end_playout(&playout).unwrap();
    world.sim.run_ms(20);
    assert!(!playout.is_open());
}

#[test]
fn two_programs_and_a_bridge_are_heard_together_and_the_bridge_is_turned_down() {
    let mut world = World::new();
    let (mut a, b) = (world.call(1, Codec::L16_8K), world.call(2, Codec::L16_8K));
    a.leg.bridge(&b.leg).unwrap();
    let (mut one, mut two) = (b.leg.playout().unwrap(), b.leg.playout().unwrap());
    world.sim.run_ms(20);
    for round in 0..6 {
        if round == 2 {
            one.push(&[1000; 320]);
            two.push(&[20; 320]);
            two.duck(50);
        }
        say(&mut a, &[4; 160]);
        world.sim.run_ms(20);
    }
    let said = heard(&b);
    assert_eq!(said.len(), 960);
    assert_eq!((said[0], said[319], said[959]), (4, 4, 4), "the bridge before and after");
    let together: Vec<i16> = said.into_iter().filter(|sample| *sample != 4).collect();
    assert_eq!(together, [1022; 320]);
    let other_side = heard(&a);
    assert!(other_side.is_empty(), "it does not leak to the partner");
}

#[test]
fn a_cut_is_silent_within_a_frame() {
    let mut world = World::new();
    let call = world.call(1, Codec::L16_8K);
    let mut playout = call.leg.playout().unwrap();
    playout.push(&[8000; 2000]);
    world.sim.run_ms(100);
    playout.cut();
    let before = heard(&call);
    world.sim.run_ms(40);
    let after = heard(&call);
    assert!(before.iter().all(|sample| *sample == 8000));
    assert_eq!(after[0], 8000);
    assert!(after[..80].windows(2).all(|pair| pair[1] < pair[0]));
    assert!(after[80..].iter().all(|sample| *sample == 0));
    assert_eq!(playout.heard() as usize, before.len() + 80);
    assert_eq!(playout.passed(), 2000);
}

#[test]
fn a_program_hears_what_is_said_sample_by_sample_and_silence_where_nothing_comes() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    let mut ears = call.leg.listen(false).unwrap();
    world.sim.run_ms(20);
    let mut got = Vec::new();
    let mut words = Vec::new();
    for n in 0..20 {
        let frame = counting(1 + n * 160, 160);
        words.extend_from_slice(&frame);
        say(&mut call, &frame);
        // Packets as uneven as networks make them.
        world.sim.run_ms(if n % 3 == 0 { 5 } else { 27 });
        assert!(ears.read(&mut got));
    }
    assert!(got == words, "{} of {}", got.len(), words.len());
    got.clear();
    world.sim.run_ms(400);
    ears.read(&mut got);
    assert!(got.len() > 1600 && got.iter().all(|sample| *sample == 0), "{}", got.len());
    call.leg.end_tap(&ears).unwrap();
    world.sim.run_ms(20);
    assert!(!ears.read(&mut got));
}

#[test]
fn both_sides_come_in_turn_said_first() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    let mut ears = call.leg.listen(true).unwrap();
    let mut playout = call.leg.playout().unwrap();
    for _ in 0..20 {
        say(&mut call, &[300; 160]);
        playout.push(&[-70; 160]);
        world.sim.run_ms(20);
    }
    let mut got = Vec::new();
    ears.read(&mut got);
    let pairs: Vec<_> = got.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    assert_eq!(pairs.len(), 20 * 160);
    let both = pairs.iter().filter(|pair| **pair == (300, -70)).count();
    assert!(both >= 16 * 160, "{both}");
}

#[test]
fn a_program_that_does_not_listen_costs_the_call_nothing() {
    let mut world = World::new();
    let (mut a, b) = (world.call(1, Codec::L16_8K), world.call(2, Codec::L16_8K));
    a.leg.bridge(&b.leg).unwrap();
    let mut ears = a.leg.listen(true).unwrap();
    world.sim.run_ms(20);
    for _ in 0..200 {
        say(&mut a, &[9; 160]);
        world.sim.run_ms(20);
    }
    let said = heard(&b);
    assert!(said.len() == 200 * 160 && said.iter().all(|sample| *sample == 9));
    let mut got = Vec::new();
    ears.read(&mut got);
    assert!(got.len() <= 8000 / 1000 * 500 * 2, "bounded: {}", got.len());
}

#[test]
fn frames_of_opus_come_and_go_as_they_are_and_are_encoded_where_something_else_is_heard_with_them()
{
    let opus = Codec::by_pref("opus", 48_000).unwrap();
    let mut world = World::new();
    let mut call = world.call(1, opus);
    let mut coder = opus.coder(None);
    let (encoder, decoder) = (coder.encoder.as_mut().unwrap(), coder.decoder.as_mut().unwrap());
    let tone = |n: usize| ((n as f32 * 0.05).sin() * 8000.0) as i16;
    let frames: Vec<Vec<u8>> = (0..12)
        .map(|n| {
            let pcm: Vec<i16> = (n * 960..(n + 1) * 960).map(tone).collect();
            let mut out = vec![0; 1276];
            let length = encoder.encode(&pcm, &mut out);
            out.truncate(length);
            out
        })
        .collect();
    let mut ears = call.leg.listen_as_is(false).unwrap();
    let mut playout = call.leg.playout_with_frames().unwrap();
    world.sim.run_ms(40);
    for frame in &frames {
        call.phone.speak(frame);
        world.sim.run_ms(20);
    }
    let (mut came, mut samples) = (Vec::new(), Vec::new());
    assert!(ears.read_frames(|frame| came.push(frame.to_vec())));
    assert!(came == frames, "what comes is what was said");
    assert!(ears.read(&mut samples) && samples.len() >= 12 * 960, "and it is decoded besides");
    call.phone.heard();
    let mut pcm = vec![0; 5760];
    for frame in &frames {
        let length = decoder.decode(frame, &mut pcm);
        playout.original(playout.pushed(), frame);
        assert_eq!(playout.push(&pcm[..length]), 960);
    }
    world.sim.run_ms(300);
    let heard: Vec<Vec<u8>> = call.phone.heard().into_iter().map(|p| p.payload).collect();
    assert!(heard[..12] == frames, "what goes is what the program said");
    // Something else is played with it.
    let noise = media::PlayPlan::from_samples(48_000, vec![3000; 48_000].into());
    call.leg.play(Box::new(noise)).unwrap();
    world.sim.run_ms(100);
    call.phone.heard();
    for frame in &frames[..6] {
        let length = decoder.decode(frame, &mut pcm);
        playout.original(playout.pushed(), frame);
        playout.push(&pcm[..length]);
    }
    world.sim.run_ms(200);
    let heard: Vec<Vec<u8>> = call.phone.heard().into_iter().map(|p| p.payload).collect();
    assert!(heard.len() >= 6 && heard.iter().all(|payload| !frames.contains(payload)));
}
