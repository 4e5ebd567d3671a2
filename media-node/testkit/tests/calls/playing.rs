//! What a caller hears, how long, and what is told of it.

use esl_server::event::EventName;
use testkit::run;

use crate::{alone, over, runs};

/// An application plays; what is said of its end.
fn plays(
    actions: &[(&str, &str)],
    keys: &[(u64, &'static str)],
    response: &str,
    variables: &[(&str, &str)],
) {
    let all: Vec<_> = [("answer", "")].iter().chain(actions).copied().collect();
    run(runs(&all), async |world| {
        let told = alone(world, keys).await;
        let complete = told.events.named(EventName::ChannelExecuteComplete);
        assert_eq!(complete.header("Application-Response"), response, "{:?}", told.events);
        told.check(variables);
    });
}

cases! { plays:
    a_tone_to_its_end => (&[("playback", "tone_stream://%(500,0,400)")], &[], "FILE PLAYED", &[("playback_ms", "500"), ("playback_seconds", "0"), ("playback_samples", "4000")]),
    silence_to_its_end => (&[("playback", "silence_stream://2000")], &[], "FILE PLAYED", &[("playback_seconds", "2")]),
    a_tone_until_a_key => (&[("playback", "tone_stream://%(9000,0,400)")], &[(1000, "*")], "FILE PLAYED", &[("playback_terminator_used", "*")]),
    a_tone_until_one_of_several_keys => (&[("set", "playback_terminators=12"), ("playback", "tone_stream://%(9000,0,400)")], &[(1000, "2")], "FILE PLAYED", &[("playback_terminator_used", "2")]),
    any_key_ends_it => (&[("set", "playback_terminators=any"), ("playback", "tone_stream://%(9000,0,400)")], &[(1000, "7")], "FILE PLAYED", &[("playback_terminator_used", "7")]),
    no_key_ends_it => (&[("set", "playback_terminators=none"), ("playback", "tone_stream://%(3000,0,400)")], &[(1000, "*")], "FILE PLAYED", &[("playback_terminator_used", ""), ("playback_seconds", "3")]),
    another_key_does_not_end_it => (&[("playback", "tone_stream://%(3000,0,400)")], &[(1000, "5")], "FILE PLAYED", &[("playback_seconds", "3")]),
    a_file_that_is_not_there => (&[("playback", "/nonexistent/x.wav")], &[], "FILE NOT FOUND", &[]),
    a_loop_of_two => (&[("loop_playback", "+2 tone_stream://%(500,0,400)")], &[], "FILE PLAYED", &[("playback_ms", "1000")]),
    tones_made_by_name => (&[("gentones", "%(300,0,400)")], &[], "_none_", &[]),
    two_files_in_a_row => (&[("set", "playback_delimiter=!"), ("playback", "silence_stream://300!silence_stream://500")], &[], "FILE PLAYED", &[("playback_ms", "500")]),
    a_limit_of_time => (&[("set", "playback_timeout_sec=2"), ("playback", "silence_stream://9000")], &[], "PLAYBACK ERROR", &[]),
    a_limit_of_time_that_is_a_success => (&[("set", "playback_timeout_sec=2"), ("set", "playback_timeout_as_success=true"), ("playback", "silence_stream://9000")], &[], "FILE PLAYED", &[]),
}

#[test]
fn a_tone_is_heard_while_it_plays_and_not_afterwards() {
    run(
        runs(&[("answer", ""), ("playback", "tone_stream://%(2000,0,400)"), ("park", "")]),
        async |world| {
            let call = world.phone("alice").dial("1000");
            world
                .until("it plays", || {
                    !world.events_of(&call).named(EventName::PlaybackStart).is_empty()
                })
                .await;
            assert_eq!(world.listen().await.of("alice"), ["tone"]);
            world.seconds(3).await;
            assert!(world.listen().await.of("alice").is_empty());
        },
    );
}

#[test]
fn a_play_is_announced_with_its_file() {
    run(runs(&[("answer", ""), ("playback", "tone_stream://%(500,0,400)")]), async |world| {
        let told = alone(world, &[]).await;
        let start = told.events.named(EventName::PlaybackStart);
        assert_eq!(start.header("Playback-File-Path"), "tone_stream://%(500,0,400)");
        assert_eq!(start.header("Playback-File-Type"), "tone_stream");
        let stop = told.events.named(EventName::PlaybackStop);
        assert_eq!(stop.header("Playback-Status"), "done");
    });
}

#[test]
fn a_play_that_is_broken_off_says_so() {
    run(runs(&[("answer", ""), ("playback", "tone_stream://%(9000,0,400)")]), async |world| {
        let told = alone(world, &[(1000, "*")]).await;
        assert_eq!(told.events.named(EventName::PlaybackStop).header("Playback-Status"), "break");
    });
}

#[test]
fn uuid_break_ends_a_play() {
    let actions = [
        ("answer", ""),
        ("playback", "tone_stream://%(9000,0,400)"),
        ("set", "after=yes"),
        ("park", ""),
    ];
    run(runs(&actions), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(1).await;
        assert_eq!(world.api(&format!("uuid_break {}", call.uuid())).await, "+OK\n");
        world.settle().await;
        assert_eq!(call.var("after"), "yes");
    });
}

#[test]
fn an_echo_brings_ones_own_voice_back() {
    run(runs(&[("answer", ""), ("echo", "")]), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(1).await;
        assert_eq!(world.listen().await.of("alice"), ["alice"]);
        call.hang_up();
        over(world, call).await;
    });
}

#[test]
fn an_eavesdropper_hears_both_and_is_not_heard() {
    let dialplan = crate::extension("1000", &[("bridge", "phone/bob")])
        + &crate::extension("5000", &[("answer", ""), ("eavesdrop", "${target}")]);
    run(crate::with(&dialplan), async |world| {
        world.phone("bob").answers();
        let alice = world.phone("alice").dial("1000");
        world.until("they talk", || alice.is_bridged()).await;
        let _spy = world.phone("spy").dialling("5000").var("target", alice.uuid()).go();
        world.seconds(1).await;
        let heard = world.listen().await;
        assert_eq!(heard.of("spy"), ["alice", "bob"]);
        assert_eq!(heard.of("alice"), ["bob"]);
        assert_eq!(heard.of("bob"), ["alice"]);
    });
}

#[test]
fn ringback_is_heard_by_an_answered_caller() {
    let actions = [
        ("answer", ""),
        ("set", "ringback=%(2000,0,440)"),
        ("set", "transfer_ringback=%(2000,0,440)"),
        ("bridge", "phone/bob"),
    ];
    run(runs(&actions), async |world| {
        let bob = world.phone("bob").only_rings();
        let alice = world.phone("alice").dial("1000");
        let call = bob.rung().await;
        world.seconds(1).await;
        assert_eq!(world.listen().await.of("alice"), ["tone"]);
        call.answer();
        world.until("they talk", || alice.is_bridged()).await;
        world.settle().await;
        assert_eq!(world.listen().await.of("alice"), ["bob"]);
    });
}
