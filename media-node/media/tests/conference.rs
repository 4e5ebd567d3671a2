//! Conferences: each member hears all others and not itself.

mod kit;

use kit::{Call, World, assert_continuous};
use media::leg::AutoGain;
use media::{Codec, EngineConfig, LegEvent, MemberOptions, PlayEnd, PlayPlan, RecordSpec, wav};

fn say(call: &mut Call, value: i16) {
    let payload = value.to_be_bytes().repeat(160);
    call.phone.speak(&payload);
}

fn last(call: &Call) -> i16 {
    let heard = call.phone.heard();
    assert_continuous(&heard);
    let packet = heard.last().expect("something heard");
    i16::from_be_bytes([packet.payload[0], packet.payload[1]])
}

/// Lets three members say 100, 20 and 3 for a while.
fn talk(world: &mut World, calls: &mut [Call]) {
    for _ in 0..20 {
        for (call, value) in calls.iter_mut().zip([100, 20, 3]) {
            say(call, value);
        }
        world.sim.run_ms(20);
    }
}

fn three(world: &mut World) -> Vec<Call> {
    (1..=3).map(|host| world.call(host, Codec::L16_8K)).collect()
}

#[test]
fn each_member_hears_the_sum_of_the_others() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let mut calls = three(&mut world);
    for call in &calls {
        call.leg.join(&mixer, MemberOptions::default()).unwrap();
    }
    talk(&mut world, &mut calls);
    assert_eq!(calls.iter().map(last).collect::<Vec<_>>(), [23, 103, 120]);
}

#[test]
fn muted_members_are_not_heard_and_deaf_ones_hear_nothing() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let mut calls = three(&mut world);
    for call in &calls {
        call.leg.join(&mixer, MemberOptions::default()).unwrap();
    }
    calls[0].leg.set_member(MemberOptions { muted: true, ..MemberOptions::default() }).unwrap();
    calls[1].leg.set_member(MemberOptions { deaf: true, ..MemberOptions::default() }).unwrap();
    talk(&mut world, &mut calls);
    assert_eq!((last(&calls[0]), last(&calls[2])), (23, 20));
    assert!(calls[1].phone.heard().is_empty());
}

#[test]
fn who_is_kept_from_another_is_not_heard_by_that_one_alone() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let mut calls = three(&mut world);
    for call in &calls {
        call.leg.join(&mixer, MemberOptions::default()).unwrap();
    }
    mixer.separate(vec![(calls[0].leg.id(), calls[1].leg.id())]).unwrap();
    talk(&mut world, &mut calls);
    assert_eq!(calls.iter().map(last).collect::<Vec<_>>(), [23, 3, 120]);
    mixer.separate(Vec::new()).unwrap();
    talk(&mut world, &mut calls);
    assert_eq!(calls.iter().map(last).collect::<Vec<_>>(), [23, 103, 120]);
}

#[test]
fn a_silent_room_has_noise_if_it_is_to_and_voices_are_heard_without() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    mixer.set_noise(1400).unwrap();
    let mut calls = three(&mut world);
    for call in &calls {
        call.leg.join(&mixer, MemberOptions::default()).unwrap();
    }
    world.sim.run_ms(400);
    for call in &calls {
        let heard = call.phone.heard();
        let samples = heard.iter().flat_map(|packet| packet.payload.chunks_exact(2));
        let levels: Vec<i16> = samples.map(|s| i16::from_be_bytes([s[0], s[1]]).abs()).collect();
        let (loudest, audible) = (levels.iter().max(), levels.iter().filter(|l| **l > 0).count());
        assert!(loudest.is_some_and(|most| (5..=24).contains(most)), "{loudest:?}");
        assert!(audible * 2 > levels.len(), "{audible} of {}", levels.len());
    }
    talk(&mut world, &mut calls);
    assert_eq!(calls.iter().map(last).collect::<Vec<_>>(), [23, 103, 120]);
    mixer.set_noise(0).unwrap();
    world.sim.run_ms(600);
    assert_eq!(calls.iter().map(last).collect::<Vec<_>>(), [0, 0, 0]);
}

#[test]
fn a_voice_that_is_too_loud_too_often_is_silenced_for_a_while() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let mut calls = three(&mut world);
    for call in &calls {
        call.leg.join(&mixer, MemberOptions::default()).unwrap();
    }
    let strict =
        MemberOptions { max_level: 50, max_hits: 5, burst_mute: 500, ..Default::default() };
    calls[0].leg.set_member(strict).unwrap();
    talk(&mut world, &mut calls);
    assert_eq!(calls.iter().map(last).collect::<Vec<_>>(), [23, 3, 20]);
}

#[test]
fn a_gain_that_follows_the_voice_raises_a_low_one() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let mut calls = three(&mut world);
    for call in &calls {
        call.leg.join(&mixer, MemberOptions::default()).unwrap();
    }
    let gain = AutoGain { level: 130, low: 0, margin: 5, patience: 0, period: 1 };
    calls[0].leg.set_member(MemberOptions { auto_gain: Some(gain), ..Default::default() }).unwrap();
    for _ in 0..5 {
        talk(&mut world, &mut calls);
    }
    let heard = last(&calls[2]) - 20;
    assert!((125..=135).contains(&heard), "{heard}");
}

#[test]
fn the_end_of_talking_tells_how_much_was_said() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let mut calls = three(&mut world);
    let options = MemberOptions { energy_level: 50, ..MemberOptions::default() };
    calls[0].leg.join(&mixer, options).unwrap();
    talk(&mut world, &mut calls);
    world.sim.run_ms(1000);
    let report = calls[0].events().into_iter().find_map(|e| match e {
        LegEvent::Talking { on: false, report, .. } => report,
        _ => None,
    });
    let report = report.expect("the end of talking");
    assert!((15..=20).contains(&report.loud), "{report:?}");
    assert_eq!(report.level_sum, u64::from(report.loud) * 100);
}

#[test]
fn members_below_the_energy_level_are_left_out_and_talkers_are_told() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let mut calls = three(&mut world);
    for call in &calls {
        let options = MemberOptions { energy_level: 50, ..MemberOptions::default() };
        call.leg.join(&mixer, options).unwrap();
    }
    talk(&mut world, &mut calls);
    assert_eq!(calls.iter().map(last).collect::<Vec<_>>(), [0, 100, 100]);
    world.sim.run_ms(1000);
    let talking: Vec<_> = calls[0]
        .events()
        .into_iter()
        .filter_map(|e| if let LegEvent::Talking { on, .. } = e { Some(on) } else { None })
        .collect();
    assert_eq!(talking, [true, false]);
    assert!(!calls[1].events().iter().any(|e| matches!(e, LegEvent::Talking { .. })));
}

#[test]
fn what_is_played_to_the_room_everybody_hears_and_a_recording_hears_all() {
    let path = std::env::temp_dir().join(format!("media-room-{}.wav", std::process::id()));
    let mut world = World::new();
    let (mixer, mut events) = world.engine.open_mixer(8000, 20).unwrap();
    let mut calls = three(&mut world);
    for call in &calls {
        call.leg.join(&mixer, MemberOptions::default()).unwrap();
    }
    let id = mixer.record(RecordSpec::new(&path)).unwrap();
    mixer.play(Box::new(PlayPlan::from_samples(8000, vec![1000; 8000].into()))).unwrap();
    talk(&mut world, &mut calls);
    assert_eq!(calls.iter().map(last).collect::<Vec<_>>(), [1023, 1103, 1120]);
    world.sim.run_ms(1000);
    mixer.stop_record(id).unwrap();
    world.sim.run_ms(20);
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let finished = |e: &LegEvent| matches!(e, LegEvent::PlayDone { reason: PlayEnd::Finished, .. });
    assert!(told.iter().any(finished));
    let (_, samples) = wav::decode(&std::fs::read(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(samples.contains(&1123), "{:?}", samples.iter().max());
}

#[test]
fn codecs_rates_and_packet_lengths_may_differ() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(16_000, 20).unwrap();
    let l16 = Codec::by_name("L16", 16_000).unwrap();
    let mut wide = world.call(1, l16);
    let narrow = world.call(2, Codec::PCMU);
    let long = world.call_with(3, Codec::PCMA, |p| p.ptime = 40);
    for call in [&wide, &narrow, &long] {
        call.leg.join(&mixer, MemberOptions::default()).unwrap();
    }
    for _ in 0..50 {
        wide.phone.speak(&4000i16.to_be_bytes().repeat(320));
        world.sim.run_ms(20);
    }
    for (call, codec, len, least) in
        [(&narrow, Codec::PCMU, 160, 45), (&long, Codec::PCMA, 320, 22)]
    {
        let heard = call.phone.heard();
        assert!(heard.len() >= least, "{} packets", heard.len());
        assert_continuous(&heard);
        assert!(heard.iter().all(|p| p.payload.len() == len));
        let mut pcm = [0; 320];
        codec.decode(&heard[heard.len() - 1].payload, &mut pcm);
        assert!((3800..4200).contains(&pcm[80]), "{}", pcm[80]);
    }
}

#[test]
fn members_come_and_go_and_the_room_may_close_under_them() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let mut calls = three(&mut world);
    for call in &calls {
        call.leg.join(&mixer, MemberOptions::default()).unwrap();
    }
    talk(&mut world, &mut calls);
    calls[1].leg.unbridge().unwrap();
    calls.remove(2);
    world.sim.run_ms(5);
    calls.iter().for_each(|c| drop(c.phone.heard()));
    talk(&mut world, &mut calls);
    assert_eq!(last(&calls[0]), 0);
    assert!(calls[1].phone.heard().is_empty());
    drop(mixer);
    world.sim.run_ms(5);
    calls[0].phone.heard();
    talk(&mut world, &mut calls);
    assert!(calls[0].phone.heard().is_empty());
    let (a, b) = calls.split_at_mut(1);
    a[0].leg.bridge(&b[0].leg).unwrap();
    talk(&mut world, &mut calls);
    assert_eq!(last(&calls[0]), 20);
}

#[test]
fn members_of_other_workers_are_brought_to_the_mixer() {
    let config = EngineConfig {
        workers: Some(3),
        port_min: 20_000,
        port_max: 20_999,
        ..EngineConfig::default()
    };
    let mut world = World::with(config);
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let mut calls = three(&mut world);
    for call in &calls {
        call.leg.join(&mixer, MemberOptions::default()).unwrap();
    }
    world.sim.run_ms(5);
    talk(&mut world, &mut calls);
    assert_eq!(calls.iter().map(last).collect::<Vec<_>>(), [23, 103, 120]);
}

#[test]
fn a_bug_in_mixing_costs_moments_and_not_the_room() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let mut calls = three(&mut world);
    for call in &calls {
        call.leg.join(&mixer, MemberOptions::default()).unwrap();
    }
    talk(&mut world, &mut calls);
    // Panics in the turns of the mixer and of its members, whichever comes first.
    world.sim.fail_ticks(12);
    talk(&mut world, &mut calls);
    talk(&mut world, &mut calls);
    let heard = |call: &Call| {
        let heard = call.phone.heard();
        let packet = heard.last().expect("something heard");
        i16::from_be_bytes([packet.payload[0], packet.payload[1]])
    };
    assert_eq!(calls.iter().map(heard).collect::<Vec<_>>(), [23, 103, 120]);
    // Others on the same thread never noticed.
    let mut late: Vec<Call> = (4..=6).map(|host| world.call(host, Codec::L16_8K)).collect();
    let (other, _events) = world.engine.open_mixer(8000, 20).unwrap();
    for call in &late {
        call.leg.join(&other, MemberOptions::default()).unwrap();
    }
    talk(&mut world, &mut late);
    assert_eq!(late.iter().map(last).collect::<Vec<_>>(), [23, 103, 120]);
}

#[test]
fn a_leg_that_always_brings_out_a_bug_is_given_up_and_its_owner_told() {
    let mut world = World::new();
    let mut calls = three(&mut world);
    let (mixer, mut events) = world.engine.open_mixer(8000, 20).unwrap();
    for call in &calls {
        call.leg.join(&mixer, MemberOptions::default()).unwrap();
    }
    world.sim.fail_ticks(u32::MAX);
    talk(&mut world, &mut calls);
    talk(&mut world, &mut calls);
    talk(&mut world, &mut calls);
    world.sim.fail_ticks(0);
    assert_eq!(events.try_recv().ok(), Some(LegEvent::MediaTimeout { held: false }));
}
