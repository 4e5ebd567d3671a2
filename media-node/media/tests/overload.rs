//! What a worker does when there is more work than time.

mod kit;

use kit::World;
use media::Codec;

#[test]
fn a_worker_that_falls_behind_drops_what_is_older_than_60_ms() {
    for (ptime, kept) in [(20u32, 3usize), (30, 2), (10, 6)] {
        let mut world = World::new();
        let edit = |p: &mut media::RtpParams| p.ptime = ptime;
        let mut a = world.call_with(1, Codec::PCMU, edit);
        let b = world.call_with(2, Codec::PCMU, edit);
        a.leg.bridge(&b.leg).unwrap();
        world.sim.settle();
        for n in 0..40u8 {
            a.phone.speak(&vec![n; ptime as usize * 8]);
        }
        world.sim.overload_ms(u64::from(ptime) * 40);
        let heard: Vec<u8> = b.phone.heard().iter().map(|p| p.payload[0]).collect();
        let newest: Vec<u8> = (40 - kept as u8..40).collect();
        assert_eq!(heard, newest, "{ptime} ms");
        assert_eq!(world.engine.load()[0].dropped_packets, 40 - kept);
        assert_eq!(a.leg.stats().inbound.flush_packet_count, 40 - kept as u64);
        a.phone.speak(&vec![99; ptime as usize * 8]);
        world.sim.run_ms(20);
        assert_eq!(b.phone.heard().len(), 1, "nothing of the past is left");
    }
}

#[test]
fn keys_are_not_dropped_with_old_audio() {
    let mut world = World::new();
    let mut a = world.call(1, Codec::PCMU);
    for n in 0..20 {
        a.phone.speak(&[n; 160]);
    }
    for n in 1..=3 {
        a.phone.event(5, n == 3, n * 800, 5000);
    }
    for n in 0..20 {
        a.phone.speak(&[n; 160]);
    }
    world.sim.overload_ms(800);
    assert_eq!(a.digits(), [('5', 2400)]);
}

#[test]
fn a_burst_on_an_idle_worker_is_heard_whole() {
    let mut world = World::new();
    let (mut a, b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    world.sim.settle();
    for n in 0..20 {
        a.phone.speak(&[n; 160]);
    }
    world.sim.stall_ms(400);
    world.sim.run_ms(40);
    assert_eq!(b.phone.heard().len(), 20);
    assert_eq!(world.engine.load()[0].dropped_packets, 0);
}

/// The load of the thread after about a second.
fn after_a_second(
    world: &mut World,
    mut step: impl FnMut(&mut World),
) -> media::engine::WorkerLoad {
    // What is left of the second before belongs to it.
    world.sim.run_ms(1100);
    let begin = world.sim.net.now_us();
    while world.sim.net.now_us() < begin + 2_200_000 {
        step(world);
    }
    world.engine.load()[0]
}

#[test]
fn a_machine_busy_with_other_programs_is_no_overload_while_packets_are_on_time() {
    let mut world = World::new();
    let _call = world.call(1, Codec::PCMU);
    let load = after_a_second(&mut world, |world| {
        world.sim.compute_ms(5);
        world.sim.starve_ms(45);
    });
    assert!((90..=110).contains(&load.busy_permille), "{load:?}");
    assert_eq!((load.late_permille, load.late_frames), (0, 0));
}

#[test]
fn a_thread_that_gets_no_time_is_late_and_one_that_computes_is_busy() {
    let mut world = World::new();
    let _call = world.call(1, Codec::PCMU);
    let starved = after_a_second(&mut world, |world| {
        world.sim.compute_ms(20);
        world.sim.starve_ms(180);
    });
    // Of each 200 ms, what came in the first 120 of the 180 had waited for 60.
    assert!((550..=650).contains(&starved.late_permille), "{starved:?}");
    assert!((90..=110).contains(&starved.busy_permille), "{starved:?}");
    let busy = after_a_second(&mut world, |world| {
        world.sim.compute_ms(19);
        world.sim.run_ms(1);
    });
    assert!(busy.busy_permille >= 930 && busy.late_permille == 0, "{busy:?}");
}

#[test]
fn a_worker_whose_last_leg_has_gone_is_neither_busy_nor_late() {
    let mut world = World::new();
    let call = world.call(1, Codec::PCMU);
    let starved = after_a_second(&mut world, |world| {
        world.sim.compute_ms(100);
        world.sim.starve_ms(100);
    });
    assert!(starved.busy_permille > 0 && starved.late_permille > 0, "{starved:?}");
    drop(call);
    world.sim.settle();
    let idle = world.engine.load()[0];
    assert_eq!((idle.legs, idle.busy_permille, idle.late_permille), (0, 0, 0));
}
