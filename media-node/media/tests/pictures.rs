//! Video in rooms: who sees whom, in one stream without a break; lost packets, requests for pictures, and what stays the same.

mod kit;

use kit::camera::{Camera, PT, names, options, room};
use kit::{Packet, World};
use media::picture::PictureOptions;
use media::rtcp::Item;
use media::srtp::{Keying, OVERHEAD, Srtp, SrtpKeys, Suite};
use media::{Codec, EngineConfig, Handling, MemberOptions, ProtectionSpec};

#[test]
fn who_is_shown_changes_at_a_whole_picture_and_the_stream_goes_on() {
    let mut world = World::new();
    let (_mixer, [mut a, mut b, c]) = room::<3>(&mut world);
    c.leg().look_at(Some(a.leg())).unwrap();
    a.film(false);
    world.sim.run_ms(10);
    assert!(c.seen().is_empty(), "nothing before a key frame");
    assert_eq!(a.asked(), [Item::KeyFrameRequest], "which is asked for");
    for whole in [true, false, false] {
        a.film(whole);
        b.film(true);
        world.sim.run_ms(33);
    }
    let mut all = c.seen();
    assert_eq!(names(&all), [1, 1, 1], "and no other is shown");
    c.leg().look_at(Some(b.leg())).unwrap();
    world.sim.run_ms(200);
    assert_eq!(b.asked(), [Item::KeyFrameRequest]);
    for (of_a, of_b) in [(false, false), (false, true), (true, false)] {
        a.film(of_a);
        b.film(of_b);
        world.sim.run_ms(33);
    }
    all.extend(c.seen());
    assert_eq!(names(&all), [1, 1, 1, 1, 1, 2, 2], "the old one stays until the new one is whole");
    for pair in all.windows(2) {
        let (one, next) = (&pair[0].header, &pair[1].header);
        assert_eq!((one.ssrc, one.seq.wrapping_add(1)), (next.ssrc, next.seq));
        let step = next.timestamp.wrapping_sub(one.timestamp);
        assert!((900..90_000).contains(&step), "{step}");
        let number = |packet: &Packet| u16::from_be_bytes([packet.payload[2], packet.payload[3]]);
        assert_eq!(number(&pair[0]).wrapping_add(1) | 0x8000, number(&pair[1]));
    }
    assert!(
        all.iter().all(|packet| packet.header.pt == PT + 2 && packet.header.ssrc == c.leg().ssrc())
    );
    c.leg().look_at(None).unwrap();
    b.film(true);
    world.sim.run_ms(33);
    assert!(c.seen().is_empty());
}

#[test]
fn requests_for_pictures_reach_the_source_and_not_too_often() {
    let mut world = World::new();
    let (_mixer, [mut a, b, c]) = room::<3>(&mut world);
    for viewer in [&b, &c] {
        viewer.leg().look_at(Some(a.leg())).unwrap();
    }
    a.film(true);
    world.sim.run_ms(600);
    a.asked();
    let pli = [0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0, 8];
    for _ in 0..20 {
        b.tell(&pli);
        c.tell(&pli);
        world.sim.run_ms(50);
    }
    let asked = a.asked();
    assert!((2..=3).contains(&asked.len()), "twice a second: {asked:?}");
    assert!(asked.iter().all(|item| *item == Item::KeyFrameRequest));
}

#[test]
fn lost_packets_are_sent_again_or_asked_for_once_for_all() {
    let mut world = World::new();
    let (_mixer, [mut a, b, c]) = room::<3>(&mut world);
    for viewer in [&b, &c] {
        viewer.leg().look_at(Some(a.leg())).unwrap();
    }
    for n in 0..10 {
        a.film(n == 0);
        world.sim.run_ms(33);
    }
    let seen = b.seen();
    c.seen();
    // The third and fifth were lost on the way to one of them.
    b.nack(seen[2].header.seq, 0b10);
    world.sim.run_ms(5);
    assert_eq!(b.seen(), [seen[2].clone(), seen[4].clone()], "as they were");
    assert!(c.seen().is_empty() && a.asked().is_empty());

    // Two were lost on the way to us: both miss them, and the source is asked once.
    a.call.phone.seq += 2;
    let lost = a.call.phone.seq;
    a.film(false);
    world.sim.run_ms(5);
    let next = b.seen()[0].header.seq;
    assert_eq!(next, seen[9].header.seq.wrapping_add(3), "the gap is theirs to see");
    for viewer in [&b, &c] {
        viewer.nack(next.wrapping_sub(2), 1);
        world.sim.run_ms(5);
    }
    assert_eq!(a.asked(), [Item::Nack { seq: lost - 1, more: 1 }]);
    let phone = &a.call.phone;
    let payload = [0x90, 0xa0, 0x80, 9, 0, 1, 1];
    phone.send(lost, phone.timestamp, phone.pt, true, &payload);
    world.sim.run_ms(5);
    let late = b.seen();
    assert_eq!((late.len(), late[0].header.seq), (1, next.wrapping_sub(1)), "it finds its place");
    b.nack(12_345, 0xffff);
    world.sim.run_ms(5);
    assert!(a.asked().is_empty() && b.seen().is_empty(), "a number that was never sent");
}

#[test]
fn a_receiver_that_loses_much_sees_less_and_the_others_all() {
    let mut world = World::new();
    let (_mixer, [mut a, b, c]) = room::<3>(&mut world);
    for viewer in [&b, &c] {
        viewer.leg().look_at(Some(a.leg())).unwrap();
    }
    a.film(true);
    world.sim.run_ms(33);
    let first = b.seen()[0].header.clone();
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 9];
    report.extend(b.leg().ssrc().to_be_bytes());
    report.extend([80, 0, 0, 9]);
    report.extend([0; 16]);
    b.tell(&report);
    world.sim.run_ms(5);
    for n in 0..8 {
        a.film_layer(false, n % 2);
        world.sim.run_ms(33);
    }
    let seen = b.seen();
    assert_eq!(seen.len(), 4, "those of the higher layer are left out");
    for (n, packet) in seen.iter().enumerate() {
        assert_eq!(packet.header.seq, first.seq.wrapping_add(n as u16 + 1), "and leave no gap");
    }
    assert_eq!(c.seen().len(), 9);
}

#[test]
fn a_source_is_told_the_lowest_its_receivers_can_take() {
    let mut world = World::new();
    let (_mixer, [mut a, mut b, c, d]) = room::<4>(&mut world);
    for viewer in [&b, &c] {
        viewer.leg().look_at(Some(a.leg())).unwrap();
    }
    d.leg().look_at(Some(b.leg())).unwrap();
    a.film(true);
    b.film(true);
    world.sim.run_ms(1500);
    assert!(a.limits().is_empty(), "no receiver has said anything");
    b.remb(2_000_000, &[b.leg().ssrc()]);
    world.sim.run_ms(5);
    assert_eq!(a.limits(), [2_000_000], "at once");
    c.remb(900_000, &[c.leg().ssrc(), 77]);
    d.remb(400_000, &[d.leg().ssrc()]);
    world.sim.run_ms(1200);
    assert_eq!(a.limits(), [900_000], "a stream that is not ours is sent nothing");
    assert_eq!(b.limits(), [400_000, 400_000], "each source its own receivers'");
    world.sim.run_ms(8000);
    let told_a = a.limits();
    assert_eq!(told_a.last(), Some(&(1 << 27)), "what is not repeated ends");
    world.sim.run_ms(3000);
    a.limits();
    world.sim.run_ms(3000);
    assert!(a.limits().is_empty());

    b.remb(2_000_000, &[b.leg().ssrc()]);
    world.sim.run_ms(5);
    assert_eq!(a.limits(), [2_000_000]);
    a.leg().unbridge().unwrap();
    world.sim.run_ms(10_000);
    assert_eq!(a.limits(), [1 << 27; 3], "who leaves is limited no longer");
}

#[test]
fn who_can_take_too_little_limits_none_and_gets_no_discardable_frames() {
    for bits in [0, 50_000, 299_000] {
        let mut world = World::new();
        let (_mixer, [mut a, b, c]) = room::<3>(&mut world);
        for viewer in [&b, &c] {
            viewer.leg().look_at(Some(a.leg())).unwrap();
        }
        // 400 kbit/s.
        for n in 0..200 {
            a.film_long(n == 0, 0, 481);
            world.sim.run_ms(10);
        }
        let seen = |c: &Camera| c.seen().len();
        assert_eq!((seen(&b), seen(&c)), (200, 200));
        c.remb(bits, &[c.leg().ssrc()]);
        world.sim.run_ms(300);
        for n in 0..4 {
            a.film_layer(false, n % 2);
            world.sim.run_ms(33);
        }
        assert_eq!((seen(&b), seen(&c)), (4, 2), "{bits}");
        // What it gets of so thin a stream says nothing of what it could take of all of it.
        c.remb(400_000, &[c.leg().ssrc()]);
        world.sim.run_ms(3000);
        assert!(a.limits().is_empty(), "{bits}");
    }
}

/// Two sources of 1 Mbit/s and 50 kbit/s, shown for two seconds to the two lines of one call; then what that estimates.
fn two_lines(estimate: impl FnOnce(&Camera, &Camera)) -> [Vec<u64>; 2] {
    let mut world = World::new();
    let (mixer, [mut busy, mut quiet]) = room::<2>(&mut world);
    let lines = [5, 6].map(|host| Camera::new(&mut world, host, PT));
    let call = Some(lines[0].leg().id());
    for (line, source) in lines.iter().zip([&busy, &quiet]) {
        line.leg().join_pictures(&mixer, PictureOptions { call, ..options() }).unwrap();
        line.leg().look_at(Some(source.leg())).unwrap();
    }
    world.sim.settle();
    for n in 0..200 {
        busy.film_long(n == 0, 0, 1231);
        if n % 10 == 0 {
            quiet.film_long(n == 0, 0, 606);
        }
        world.sim.run_ms(10);
    }
    assert_eq!(lines.each_ref().map(|line| line.seen().len()), [200, 20]);
    estimate(&lines[0], &lines[1]);
    world.sim.run_ms(1200);
    let told = [busy.limits(), quiet.limits()];
    // It may leave out nothing for the quiet one: that has all it sends.
    quiet.film_layer(false, 1);
    world.sim.run_ms(5);
    assert_eq!(lines[1].seen().len(), 1);
    told
}

#[test]
fn an_estimate_of_several_streams_counts_by_what_is_sent_of_each() {
    let [busy, quiet] = two_lines(|first, second| {
        first.remb(1_575_000, &[first.leg().ssrc(), second.leg().ssrc(), 78]);
    });
    assert!(!busy.is_empty() && busy.iter().all(|bits| *bits > 1_400_000), "{busy:?}");
    assert!(quiet.is_empty(), "too little to be a limit: {quiet:?}");
}

#[test]
fn each_estimate_of_one_packet_counts_for_its_own_streams() {
    let [busy, quiet] = two_lines(|first, second| {
        let mut both = Camera::estimate(900_000, &[first.leg().ssrc()]);
        both.extend(Camera::estimate(700_000, &[second.leg().ssrc()]));
        first.tell(&both);
    });
    assert!(busy.iter().all(|bits| *bits == 900_000) && !busy.is_empty(), "{busy:?}");
    assert!(quiet.iter().all(|bits| *bits == 700_000) && !quiet.is_empty(), "{quiet:?}");
}

#[test]
fn estimates_that_come_in_a_rush_are_not_all_taken() {
    let [busy, _] = two_lines(|first, _| {
        for bits in [900_000, 400_000, 350_000] {
            first.remb(bits, &[first.leg().ssrc()]);
        }
    });
    assert!(busy.iter().all(|bits| *bits == 900_000) && !busy.is_empty(), "{busy:?}");
}

#[test]
fn nobody_estimates_for_another_call() {
    let mut world = World::new();
    let (_mixer, [mut a, b, c]) = room::<3>(&mut world);
    b.leg().look_at(Some(a.leg())).unwrap();
    a.film(true);
    world.sim.run_ms(33);
    for bits in [0, 400_000] {
        c.remb(bits, &[b.leg().ssrc()]);
        world.sim.run_ms(100);
    }
    b.seen();
    for n in 0..4 {
        a.film_layer(false, n % 2);
        world.sim.run_ms(33);
    }
    assert_eq!(b.seen().len(), 4, "nothing is left out for it");
    world.sim.run_ms(2000);
    assert!(a.limits().is_empty(), "and its source has no limit");
}

#[test]
fn in_a_bridge_the_estimate_reaches_the_sender_about_its_own_source() {
    let mut world = World::new();
    let mut a = Camera::new(&mut world, 1, PT);
    let mut b = Camera::new(&mut world, 2, PT);
    a.leg().bridge(b.leg()).unwrap();
    world.sim.settle();
    a.film(true);
    b.film(true);
    world.sim.run_ms(33);
    a.limits();
    b.remb(700_000, &[b.leg().ssrc()]);
    world.sim.run_ms(33);
    assert_eq!(a.limits(), [700_000]);
}

#[test]
fn what_is_hidden_is_not_seen_and_comes_back_whole() {
    let mut world = World::new();
    let (_mixer, [mut a, b]) = room::<2>(&mut world);
    b.leg().look_at(Some(a.leg())).unwrap();
    a.leg().look_at(Some(a.leg())).unwrap();
    a.film(true);
    world.sim.run_ms(600);
    assert_eq!(
        (names(&b.seen()), names(&a.seen())),
        (vec![1], vec![1]),
        "who is alone sees itself"
    );
    a.leg().hide_pictures(true).unwrap();
    a.film(true);
    world.sim.run_ms(600);
    assert!(b.seen().is_empty());
    a.asked();
    a.leg().hide_pictures(false).unwrap();
    a.film(false);
    world.sim.run_ms(200);
    assert!(b.seen().is_empty(), "not in the middle");
    assert!(a.asked().contains(&Item::KeyFrameRequest));
    a.film(true);
    world.sim.run_ms(33);
    assert_eq!(names(&b.seen()), [1]);
}

#[test]
fn who_leaves_is_shown_no_more_and_may_come_back() {
    let mut world = World::new();
    let (mixer, [mut a, b]) = room::<2>(&mut world);
    b.leg().look_at(Some(a.leg())).unwrap();
    a.film(true);
    world.sim.run_ms(33);
    let before = b.seen();
    for n in 0..2 {
        let leaves = if n == 0 { a.leg() } else { b.leg() };
        leaves.unbridge().unwrap();
        a.film(true);
        world.sim.run_ms(33);
        assert!(b.seen().is_empty());
        let back = if n == 0 { a.leg() } else { b.leg() };
        back.join_pictures(&mixer, options()).unwrap();
    }
    b.leg().look_at(Some(a.leg())).unwrap();
    world.sim.settle();
    a.film(true);
    world.sim.run_ms(33);
    let after = b.seen();
    assert_eq!(names(&after), [1]);
    assert_eq!(
        after[0].header.seq,
        before[0].header.seq.wrapping_add(1),
        "one stream all the same"
    );
    drop(mixer);
    world.sim.settle();
    a.film(true);
    world.sim.run_ms(33);
    assert!(b.seen().is_empty());
}

#[test]
fn after_a_bridge_the_stream_goes_on_behind_what_was_sent_there() {
    let mut world = World::new();
    let (mixer, [mut a, b]) = room::<2>(&mut world);
    b.leg().look_at(Some(a.leg())).unwrap();
    a.film(true);
    world.sim.run_ms(33);
    let in_room = b.seen().remove(0).header;
    let mut c = Camera::new(&mut world, 9, PT + 1);
    b.leg().bridge(c.leg()).unwrap();
    c.call.phone.seq = in_room.seq.wrapping_add(3000);
    c.call.phone.timestamp = in_room.timestamp.wrapping_add(0x4000_0000);
    for _ in 0..2 {
        c.film(true);
        world.sim.run_ms(33);
    }
    let bridged = b.seen().pop().unwrap().header;
    assert_eq!(bridged.seq, in_room.seq.wrapping_add(3002));
    b.leg().join_pictures(&mixer, options()).unwrap();
    b.leg().look_at(Some(a.leg())).unwrap();
    world.sim.settle();
    a.film(true);
    world.sim.run_ms(33);
    let back = b.seen().remove(0).header;
    assert_eq!(back.seq, bridged.seq.wrapping_add(1));
    let step = back.timestamp.wrapping_sub(bridged.timestamp);
    assert!((900..90_000).contains(&step), "{step}");
    b.nack(in_room.seq, 0);
    world.sim.run_ms(33);
    assert!(b.seen().is_empty(), "what was sent before the bridge is over");
}

#[test]
fn what_is_wished_before_a_leg_has_joined_is_done_when_it_has() {
    let mut world = World::new();
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let [mut a, b] = [1, 2].map(|n| Camera::new(&mut world, n, PT));
    // As when they overtake the order to join, on the way to another worker; and again at a second stay.
    for _ in 0..2 {
        a.leg().hide_pictures(true).unwrap();
        b.leg().look_at(Some(a.leg())).unwrap();
        for camera in [&a, &b] {
            camera.leg().join_pictures(&mixer, options()).unwrap();
        }
        world.sim.settle();
        a.film(true);
        world.sim.run_ms(33);
        assert!(b.seen().is_empty(), "it is hidden");
        a.leg().hide_pictures(false).unwrap();
        world.sim.settle();
        a.film(true);
        world.sim.run_ms(33);
        assert_eq!(names(&b.seen()), [1], "and who looks sees it");
        for camera in [&a, &b] {
            camera.leg().unbridge().unwrap();
        }
        world.sim.settle();
    }
    for camera in [&a, &b] {
        camera.leg().join_pictures(&mixer, PictureOptions { hidden: true, ..options() }).unwrap();
    }
    b.leg().look_at(Some(a.leg())).unwrap();
    world.sim.settle();
    a.film(true);
    world.sim.run_ms(33);
    assert!(b.seen().is_empty(), "hidden from the beginning");
}

#[test]
fn packets_of_another_number_and_of_strangers_are_not_shown() {
    let mut world = World::new();
    let (_mixer, [mut a, b]) = room::<2>(&mut world);
    b.leg().look_at(Some(a.leg())).unwrap();
    a.call.phone.pt = 111;
    a.film(true);
    world.sim.run_ms(5);
    a.call.phone.pt = PT;
    for junk in [
        &[0x80, PT][..],
        &[0x80, PT, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1],
        &[0xbf; 40],
        &[0x81, 205, 0, 9, 1],
    ] {
        a.call.phone.socket.send_to(junk, a.call.phone.server).unwrap();
        world.sim.run_ms(5);
    }
    assert!(b.seen().is_empty());
    a.film(true);
    world.sim.run_ms(5);
    assert_eq!(names(&b.seen()), [1]);
}

#[test]
fn audio_and_video_of_legs_on_other_workers_meet_in_one_room() {
    let mut world = World::with(EngineConfig { workers: Some(3), ..EngineConfig::default() });
    let (_mixer, [mut a, b, c]) = room::<3>(&mut world);
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let voice = world.call(9, Codec::L16_8K);
    voice.leg.join(&mixer, MemberOptions::default()).unwrap();
    for viewer in [&b, &c] {
        viewer.leg().look_at(Some(a.leg())).unwrap();
    }
    world.sim.run_ms(5);
    a.film(true);
    world.sim.run_ms(5);
    assert_eq!((names(&b.seen()), names(&c.seen())), (vec![1], vec![1]));
}

#[test]
fn protected_packets_are_sent_again_so_that_they_can_be_opened() {
    let mut world = World::new();
    let (mixer, [mut a]) = room::<1>(&mut world);
    let keying = |seed: u8| {
        let suite = Suite::Aes128CmSha80;
        Keying::new(suite, &vec![seed; suite.key_len() + suite.salt_len()]).unwrap()
    };
    let (ours, theirs) = (keying(1), keying(2));
    let near = SrtpKeys { local: ours.clone(), remote: Some(theirs.clone()) };
    let mut far = Srtp::new(SrtpKeys { local: theirs.clone(), remote: Some(ours.clone()) });
    let call = world.call_with(7, Codec::L16_8K, |params| {
        params.handling = Handling::Packets;
        params.rtcp_mux = true;
        (params.send_pt, params.recv_pt) = (PT, PT);
        params.protection = ProtectionSpec::Keys(near.clone());
    });
    call.leg.join_pictures(&mixer, options()).unwrap();
    call.leg.look_at(Some(a.leg())).unwrap();
    world.sim.settle();
    a.film(true);
    a.film(false);
    world.sim.run_ms(40);
    let sent = call.phone.socket.drain();
    assert_eq!(sent.len(), 2);
    // The first was lost.
    let mut second = sent[1].clone();
    far.open_rtp(&mut second).unwrap();
    let seq = u16::from_be_bytes([sent[0][2], sent[0][3]]);
    let mut nack = vec![0x80, 201, 0, 1, 0, 0, 0, 9, 0x81, 205, 0, 3, 0, 0, 0, 9, 0, 0, 0, 8];
    nack.extend(seq.to_be_bytes());
    nack.extend([0, 0]);
    let len = nack.len();
    nack.resize(len + OVERHEAD, 0);
    let len = far.protect_rtcp(&mut nack, len).unwrap();
    call.phone.socket.send_to(&nack[..len], call.phone.server).unwrap();
    world.sim.run_ms(5);
    let mut again = call.phone.socket.drain().remove(0);
    let len = far.open_rtp(&mut again).expect("the packet that was lost");
    assert_eq!(again[..len].last(), Some(&1));
}
