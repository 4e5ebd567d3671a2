//! Conferences: who hears whom.

use std::sync::Arc;

use media::picture::{FurtherLine, LegVideo, Watches};
use switch_core::contract::Module;
use testkit::{Setup, World, run};

use crate::extension;

const MODULES: &[&[&dyn Module]] =
    &[mod_dptools::MODULES, mod_commands::MODULES, &[&mod_conference::MODULE]];

fn conference() -> Setup {
    let configuration = r#"<configuration name="conference.conf"><profiles>
      <profile name="default"><param name="rate" value="8000"/><param name="interval" value="20"/><param name="energy-level" value="0"/><param name="video-max-pictures" value="9"/></profile>
    </profiles></configuration>"#;
    let dialplan = extension("1000", &[("answer", ""), ("conference", "room@default")])
        + &extension("2000", &[("answer", ""), ("conference", "room@default+flags{mute}")])
        + &extension("3000", &[("answer", ""), ("conference", "room@default+flags{deaf}")])
        + &extension(
            "5000",
            &[("answer", ""), ("conference", "room@default+flags{join-vid-floor}")],
        )
        + &extension("4000", &[("answer", ""), ("conference", "other@default")]);
    Setup::new(MODULES).dialplan(&dialplan).configuration(configuration)
}

/// Phones dial numbers; who hears whom in the end.
fn meeting(phones: &[(&str, &str)], expected: &[(&str, &[&str])]) {
    run(conference(), async |world| {
        join(world, phones).await;
        let heard = world.listen().await;
        for (name, hears) in expected {
            assert_eq!(heard.of(name), *hears, "{name}: {heard:?}");
        }
    });
}

async fn join(world: &World, phones: &[(&str, &str)]) {
    for (name, number) in phones {
        let _call = world.phone(name).dial(number);
        world.seconds(1).await;
    }
    world.seconds(1).await;
}

cases! { meeting:
    one_alone_hears_nobody => (&[("a", "1000")], &[("a", &[])]),
    two_hear_each_other => (&[("a", "1000"), ("b", "1000")], &[("a", &["b"]), ("b", &["a"])]),
    three_hear_the_two_others => (
        &[("a", "1000"), ("b", "1000"), ("c", "1000")],
        &[("a", &["b", "c"]), ("b", &["a", "c"]), ("c", &["a", "b"])],
    ),
    a_muted_member_is_not_heard => (
        &[("a", "1000"), ("b", "2000"), ("c", "1000")],
        &[("a", &["c"]), ("b", &["a", "c"]), ("c", &["a"])],
    ),
    a_deaf_member_hears_nobody => (
        &[("a", "1000"), ("b", "3000"), ("c", "1000")],
        &[("a", &["b", "c"]), ("b", &[]), ("c", &["a", "b"])],
    ),
    two_rooms_are_apart => (
        &[("a", "1000"), ("b", "1000"), ("c", "4000"), ("d", "4000")],
        &[("a", &["b"]), ("b", &["a"]), ("c", &["d"]), ("d", &["c"])],
    ),
}

#[test]
fn a_member_may_be_muted_and_heard_again() {
    run(conference(), async |world| {
        join(world, &[("a", "1000"), ("b", "1000")]).await;
        world.api("conference room mute 2").await;
        world.settle().await;
        assert!(world.listen().await.of("a").is_empty());
        world.api("conference room unmute 2").await;
        world.settle().await;
        assert_eq!(world.listen().await.of("a"), ["b"]);
    });
}

#[test]
fn a_member_that_leaves_is_heard_no_more() {
    run(conference(), async |world| {
        join(world, &[("a", "1000"), ("c", "1000")]).await;
        let b = world.phone("b").dial("1000");
        world.seconds(1).await;
        assert_eq!(world.listen().await.of("a"), ["b", "c"]);
        b.hang_up();
        world.ended(&b).await;
        world.settle().await;
        assert_eq!(world.listen().await.of("a"), ["c"]);
    });
}

/// Gives a call video of that codec, or takes the camera away, as a negotiation would.
fn film(world: &World, call: &testkit::Call, codec: &str, sends: bool) {
    let channel = world.channels().into_iter().find(|c| **c.uuid() == *call.uuid()).unwrap();
    let old = channel.with(|data| data.slot::<LegVideo>().leg.clone());
    let leg = old.unwrap_or_else(|| Arc::new(channel.switch().media.open_null().expect("a leg").0));
    let video = LegVideo {
        leg: Some(leg),
        codec: Some(codec.to_owned()),
        sends,
        wants: true,
        pli: true,
        ..LegVideo::default()
    };
    if channel.with(|data| data.slot::<LegVideo>().renew(video)) {
        channel.notify();
    }
}

/// What has happened to the video floor since it was asked last: who had it, who has it.
fn floors(world: &World) -> Vec<(String, String)> {
    let changes = world.events().custom("conference::maintenance");
    let changes =
        changes.filter(|event| event.get("Action").as_deref() == Some("video-floor-change"));
    world.forget_events();
    changes.headers("Old-ID").into_iter().zip(changes.headers("New-ID")).collect()
}

fn change(old: &str, new: &str) -> (String, String) {
    (old.to_owned(), new.to_owned())
}

#[test]
fn the_video_floor_goes_to_who_has_the_word_and_on_when_one_leaves() {
    run(conference(), async |world| {
        let calls: Vec<_> = ["a", "b", "c"].iter().map(|n| world.phone(n).dial("1000")).collect();
        world.seconds(2).await;
        let [a, b, c] = &calls[..] else { panic!("three calls") };
        film(world, b, "VP8", true);
        world.settle().await;
        assert_eq!(floors(world), [change("none", "2")]);
        film(world, c, "VP8", true);
        world.settle().await;
        assert_eq!(floors(world), [change("2", "3")], "who comes with a picture is shown");
        film(world, a, "VP8", true);
        world.settle().await;
        assert_eq!(floors(world), [change("3", "1")]);
        // The first has the word, and nothing counts as silence in this room: its picture stays.
        for sends in [false, true] {
            film(world, c, "VP8", sends);
            world.settle().await;
        }
        assert_eq!(floors(world), [change("1", "3"), change("3", "1")]);

        assert_eq!(world.api("conference room vid-floor 2").await, "-ERR floor is held by 1\n");
        assert_eq!(world.api("conference room vid-floor 2 force").await, "+OK floor 2\n");
        assert_eq!(floors(world), [change("1", "2")]);
        let list = world.api("conference room list").await;
        assert!(list.contains(";hear|speak|video|vid-floor;"), "{list}");
        for sends in [false, true] {
            film(world, c, "VP8", sends);
            world.settle().await;
        }
        assert_eq!(floors(world), [], "what a command gave no newcomer takes");
        assert_eq!(world.api("conference room vid-floor 2").await, "+OK floor none\n");
        b.hang_up();
        world.ended(b).await;
        world.settle().await;
        // That gave it the word, too, which the last to come has now.
        assert_eq!(floors(world).last().map(|(_, new)| new.clone()), Some("3".to_owned()));
        // No member sends a picture now.
        film(world, a, "VP8", false);
        film(world, c, "VP8", false);
        world.settle().await;
        assert_eq!(floors(world).last().map(|(_, new)| new.clone()), Some("none".to_owned()));
        assert_eq!(world.api("conference room vmute 1").await, "+OK vmute 1\n");
        let events = world.events().custom("conference::maintenance");
        let muted = events.filter(|event| event.get("Action").as_deref() == Some("vmute-member"));
        assert_eq!((muted.header("See"), muted.header("Video")), ("false".into(), "true".into()));
        assert_eq!(world.api("conference room tvblind 1").await, "+OK vblind 1\n");
        assert_eq!(world.api("conference room tvblind 1").await, "+OK unvblind 1\n");
    });
}

#[test]
fn a_member_that_only_looks_is_not_given_the_video_floor() {
    run(conference(), async |world| {
        let calls: Vec<_> = ["a", "b"].iter().map(|n| world.phone(n).dial("1000")).collect();
        world.seconds(2).await;
        film(world, &calls[0], "VP8", true);
        film(world, &calls[1], "VP8", false);
        world.settle().await;
        assert_eq!(floors(world), [change("none", "1")]);
        for command in ["vid-floor 2", "vid-floor 2 force"] {
            let reply = world.api(&format!("conference room {command}")).await;
            assert_eq!(reply, "-ERR member 2 sends no video\n");
        }
        film(world, &calls[1], "VP8", true);
        world.settle().await;
        assert_eq!(floors(world).first(), Some(&change("1", "2")), "the floor is not locked");
    });
}

#[test]
fn a_picture_that_could_not_be_hidden_is_not_said_to_be() {
    run(conference(), async |world| {
        let a = world.phone("a").dial("1000");
        world.seconds(2).await;
        film(world, &a, "VP8", true);
        world.settle().await;
        let channel = world.channels().into_iter().find(|c| **c.uuid() == *a.uuid()).unwrap();
        let leg = channel.with(|data| data.slot::<LegVideo>().leg.clone()).unwrap();
        while leg.hide_pictures(false).is_ok() {}
        let reply = world.api("conference room vmute 1").await;
        assert_eq!(reply, "-ERR the media engine is overloaded\n");
        world.settle().await;
        assert_eq!(world.api("conference room tvmute 1").await, "+OK vmute 1\n");
        let events = world.events().custom("conference::maintenance");
        let muted = events.filter(|event| event.get("Action").as_deref() == Some("vmute-member"));
        assert_eq!(muted.len(), 1);
    });
}

#[test]
fn a_member_without_video_has_no_video_floor_and_says_so() {
    run(conference(), async |world| {
        join(world, &[("a", "1000")]).await;
        for command in ["vid-floor 1", "vmute 1", "vblind 1", "vid-banner 1 text"] {
            assert_eq!(world.api(&format!("conference room {command}")).await, "", "{command}");
        }
        assert_eq!(floors(world), []);
    });
}

#[test]
fn who_comes_with_the_flag_keeps_the_video_floor() {
    run(conference(), async |world| {
        let a = world.phone("a").dial("1000");
        let b = world.phone("b").dial("5000");
        world.seconds(2).await;
        film(world, &b, "VP8", true);
        film(world, &a, "H264", true);
        world.settle().await;
        assert_eq!(floors(world), [change("none", "2")]);
        let channel = world.channels().into_iter().find(|c| **c.uuid() == *a.uuid()).unwrap();
        let watches = channel.with(|data| data.slot::<LegVideo>().watches.clone());
        let (sends, takes) = (Some("VP8".to_owned()), "H264".to_owned());
        assert_eq!(watches, Some(Watches::OtherCodec { member: 2, sends, takes }));
    });
}

/// Gives a call with video so many further lines to receive on.
fn widen(world: &World, call: &testkit::Call, lines: usize) {
    let channel = world.channels().into_iter().find(|c| **c.uuid() == *call.uuid()).unwrap();
    let open = || Arc::new(channel.switch().media.open_null().expect("a leg").0);
    let further = (0..lines).map(|_| FurtherLine { leg: open(), wants: true }).collect();
    let old = channel.with(|data| data.slot::<LegVideo>().clone());
    if channel.with(|data| data.slot::<LegVideo>().renew(LegVideo { further, ..old })) {
        channel.notify();
    }
}

#[test]
fn further_lines_show_the_others_of_the_same_codec_that_are_not_hidden() {
    run(conference(), async |world| {
        let names = ["a", "b", "c", "d", "e"];
        let calls: Vec<_> = names.iter().map(|n| world.phone(n).dial("1000")).collect();
        world.seconds(2).await;
        for (call, codec) in calls.iter().zip(["VP8", "VP8", "H264", "VP8", "VP8"]) {
            film(world, call, codec, true);
            world.settle().await;
        }
        let viewer = world.channels().into_iter().find(|c| **c.uuid() == *calls[0].uuid()).unwrap();
        let seen = || {
            viewer.with(|data| {
                let video = data.slot::<LegVideo>();
                (video.watches.clone(), video.also_watches.clone(), video.room_lines)
            })
        };
        let shown = |main, also: &[u32]| (Some(Watches::Member(main)), also.to_vec(), 8);
        world.api("conference room vid-floor 5 force").await;
        assert_eq!(seen(), shown(5, &[]));
        widen(world, &calls[0], 3);
        world.settle().await;
        assert_eq!(seen(), shown(5, &[2, 4]), "not itself, the first line's and another codec's");
        world.api("conference room vid-floor 2 force").await;
        assert_eq!(seen(), shown(2, &[5, 4]), "who is left keeps its place");
        for (command, also) in [
            ("vmute 4", &[5][..]),
            ("unvmute 4", &[5, 4]),
            ("vblind 1", &[]),
            ("unvblind 1", &[4, 5]),
        ] {
            world.api(&format!("conference room {command}")).await;
            assert_eq!(seen().1, also, "{command}");
        }
        calls[3].hang_up();
        world.ended(&calls[3]).await;
        world.settle().await;
        assert_eq!(seen(), shown(2, &[5]));
    });
}
