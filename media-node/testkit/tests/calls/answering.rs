//! One leg's life: ringing, early media, answer, end; states and events.

use switch_core::call::Cause;
use testkit::run;

use crate::{alone, over, runs};

#[test]
fn a_call_goes_through_its_states() {
    run(runs(&[("answer", ""), ("sleep", "1000")]), async |world| {
        let told = alone(world, &[]).await;
        let states = [
            "CS_NEW",
            "CS_INIT",
            "CS_ROUTING",
            "CS_EXECUTE",
            "CS_HANGUP",
            "CS_REPORTING",
            "CS_DESTROY",
        ];
        assert_eq!(told.events.states(), states);
        assert_eq!(told.events.call_states(), ["RINGING", "ACTIVE", "HANGUP"]);
        assert_eq!(told.cause(), "NORMAL_CLEARING");
    });
}

#[test]
fn the_events_of_an_answered_call_come_in_order() {
    run(runs(&[("answer", "")]), async |world| {
        let told = alone(world, &[]).await;
        let names: Vec<_> = told
            .events
            .names()
            .into_iter()
            .filter(|name| {
                !["CHANNEL_STATE", "CHANNEL_CALLSTATE", "CODEC", "PRESENCE_IN"].contains(name)
            })
            .collect();
        assert_eq!(
            names,
            [
                "CHANNEL_CREATE",
                "CHANNEL_EXECUTE",
                "CHANNEL_ANSWER",
                "CHANNEL_EXECUTE_COMPLETE",
                "CHANNEL_HANGUP",
                "CHANNEL_HANGUP_COMPLETE",
                "CHANNEL_DESTROY",
            ]
        );
    });
}

#[test]
fn the_last_event_tells_the_times_of_the_call() {
    run(runs(&[("sleep", "2000"), ("answer", ""), ("sleep", "5000")]), async |world| {
        let told = alone(world, &[]).await;
        let last = told.events.named(esl_server::event::EventName::ChannelHangupComplete);
        for (name, value) in [
            ("variable_duration", "7"),
            ("variable_billsec", "5"),
            ("variable_answersec", "2"),
            ("variable_mduration", "7000"),
            ("variable_billmsec", "5000"),
            ("variable_start_stamp", &last.header("variable_start_stamp")),
            ("Hangup-Cause", "NORMAL_CLEARING"),
            ("Channel-Call-State", "HANGUP"),
            ("Answer-State", "hangup"),
            ("Call-Direction", "inbound"),
        ] {
            assert_eq!(last.header(name), value, "{name}");
        }
    });
}

/// What one application tells the phone, and what of progress the channel shows then.
fn progress(actions: &[(&str, &str)], told: &[&str], events: &[&str], answer_state: &str) {
    let mut actions = actions.to_vec();
    actions.push(("sleep", "1000"));
    run(runs(&actions), async |world| {
        let alice = world.phone("alice").dial("1000");
        world.settle().await;
        assert_eq!(alice.told(), told);
        let record = world.events_of(&alice);
        let shown: Vec<_> = record
            .names()
            .into_iter()
            .filter(|n| {
                ["CHANNEL_PROGRESS", "CHANNEL_PROGRESS_MEDIA", "CHANNEL_ANSWER"].contains(n)
            })
            .collect();
        assert_eq!(shown, events);
        assert_eq!(record.header("Answer-State"), answer_state);
    });
}

cases! { progress:
    nothing_yet => (&[], &[], &[], "ringing"),
    ringing => (&[("ring_ready", "")], &["ringing"], &["CHANNEL_PROGRESS"], "ringing"),
    ringing_queued => (&[("ring_ready", "queued")], &["queued"], &["CHANNEL_PROGRESS"], "ringing"),
    ringing_once => (&[("ring_ready", ""), ("ring_ready", "")], &["ringing"], &["CHANNEL_PROGRESS"], "ringing"),
    early_media => (&[("pre_answer", "")], &["early"], &["CHANNEL_PROGRESS_MEDIA"], "early"),
    early_media_once => (&[("pre_answer", ""), ("pre_answer", "")], &["early"], &["CHANNEL_PROGRESS_MEDIA"], "early"),
    no_ringing_after_early_media => (&[("pre_answer", ""), ("ring_ready", "")], &["early"], &["CHANNEL_PROGRESS_MEDIA"], "early"),
    answered => (&[("answer", "")], &["answer"], &["CHANNEL_ANSWER"], "answered"),
    answered_once => (&[("answer", ""), ("answer", "")], &["answer"], &["CHANNEL_ANSWER"], "answered"),
    all_of_it => (
        &[("ring_ready", ""), ("pre_answer", ""), ("answer", "")],
        &["ringing", "early", "answer"],
        &["CHANNEL_PROGRESS", "CHANNEL_PROGRESS_MEDIA", "CHANNEL_ANSWER"],
        "answered",
    ),
    no_early_media_after_the_answer => (&[("answer", ""), ("pre_answer", "")], &["answer"], &["CHANNEL_ANSWER"], "answered"),
    an_application_that_needs_audio_begins_early_media => (
        &[("playback", "silence_stream://20")], &["early"], &["CHANNEL_PROGRESS_MEDIA"], "early"
    ),
}

/// `hangup` ends the call with a cause by any of its names.
fn hung_up(argument: &str, cause: &str) {
    run(runs(&[("hangup", argument), ("set", "after=yes")]).silent(), async |world| {
        let told = alone(world, &[]).await;
        assert_eq!(told.cause(), cause);
        assert_eq!(told.var("after"), "");
        assert_eq!(
            told.events.named(esl_server::event::EventName::ChannelHangup).header("Hangup-Cause"),
            cause
        );
        assert_eq!(told.call.told(), [format!("hangup {cause}")]);
    });
}

cases! { hung_up:
    hangup_without_cause => ("", "NORMAL_CLEARING"),
    hangup_busy => ("USER_BUSY", "USER_BUSY"),
    hangup_in_any_case => ("user_busy", "USER_BUSY"),
    hangup_by_number => ("17", "USER_BUSY"),
    hangup_rejected => ("CALL_REJECTED", "CALL_REJECTED"),
    hangup_with_an_unknown_word => ("nonsense", "NORMAL_CLEARING"),
}

#[test]
fn an_answer_that_cannot_be_taken_ends_the_call() {
    run(runs(&[("answer", ""), ("set", "after=yes")]), async |world| {
        let dialling = world.phone("alice").dialling("1000");
        let call = dialling.answer_fails(Cause::INCOMPATIBLE_DESTINATION).go();
        let told = over(world, call).await;
        assert_eq!(told.cause(), "INCOMPATIBLE_DESTINATION");
        assert!(!told.call.channel.is_answered());
        assert_eq!(told.var("after"), "");
    });
}

#[test]
fn only_the_first_cause_counts() {
    run(runs(&[("park", "")]).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.settle().await;
        call.channel.hangup(Cause::USER_BUSY);
        call.channel.hangup(Cause::NO_ANSWER);
        let told = over(world, call).await;
        assert_eq!(told.cause(), "USER_BUSY");
        assert_eq!(told.events.named(esl_server::event::EventName::ChannelHangup).len(), 1);
    });
}

#[test]
fn answer_delay_is_waited_before_the_answer() {
    run(
        runs(&[("set", "answer_delay=1500"), ("answer", ""), ("sleep", "9000")]).silent(),
        async |world| {
            let call = world.phone("alice").dial("1000");
            world.seconds(1).await;
            assert!(!call.channel.is_answered());
            world.seconds(1).await;
            assert!(call.channel.is_answered());
        },
    );
}

#[test]
fn applications_after_the_end_run_only_as_zombies() {
    let actions = [("set_zombie_exec", ""), ("hangup", "USER_BUSY"), ("set", "after=yes")];
    run(runs(&actions).silent(), async |world| {
        let told = alone(world, &[]).await;
        assert_eq!(told.var("after"), "yes");
        assert_eq!(told.cause(), "USER_BUSY");
    });
}

#[test]
fn an_application_that_is_not_there_ends_the_call() {
    run(runs(&[("nonsense", "")]).silent(), async |world| {
        assert_eq!(alone(world, &[]).await.cause(), "DESTINATION_OUT_OF_ORDER");
    });
}

#[test]
fn a_full_switch_takes_no_further_call() {
    run(runs(&[("park", "")]).silent(), async |world| {
        world.switch.counters.max_sessions.store(1, std::sync::atomic::Ordering::Relaxed);
        let _first = world.phone("alice").dial("1000");
        let second = world.phone("bob").dialling("1000").try_go();
        assert_eq!(second.err(), Some(Cause::DESTINATION_OUT_OF_ORDER));
    });
}

#[test]
fn a_paused_switch_takes_no_call() {
    run(runs(&[("park", "")]).silent(), async |world| {
        world.api("fsctl pause inbound").await;
        let call = world.phone("bob").dialling("1000").try_go();
        assert_eq!(call.err(), Some(Cause::DESTINATION_OUT_OF_ORDER));
        world.api("fsctl resume inbound").await;
        assert!(world.phone("bob").dialling("1000").try_go().is_ok());
    });
}

#[test]
fn an_elegant_end_waits_for_calls_and_takes_new_ones_until_then() {
    run(runs(&[("park", "")]).silent(), async |world| {
        let first = world.phone("bob").dialling("1000").try_go().unwrap();
        world.api("fsctl shutdown elegant").await;
        assert_eq!(world.api("fsctl shutdown_check").await, "true");
        let second = world.phone("carol").dialling("1000").try_go().unwrap();
        world.api("fsctl shutdown cancel").await;
        assert_eq!(world.api("fsctl shutdown_check").await, "false");
        world.api("fsctl shutdown restart asap").await;
        let refused = world.phone("dave").dialling("1000").try_go();
        assert_eq!(refused.err(), Some(Cause::DESTINATION_OUT_OF_ORDER));
        drop((first, second));
    });
}

#[test]
fn a_limit_of_nothing_is_a_question() {
    run(runs(&[("park", "")]).silent(), async |world| {
        for verb in ["sps", "max_sessions"] {
            let before = world.api(&format!("fsctl {verb}")).await;
            assert_eq!(world.api(&format!("fsctl {verb} 0")).await, before);
        }
        assert!(world.api("fsctl mdns_resolve").await.starts_with("-ERR Invalid command"));
        assert_eq!(world.api("fsctl mdns_resolve enable").await, "+OK\n");
        assert_eq!(world.api("fsctl debug_level 99").await, "+OK DEBUG level: 10\n");
    });
}
