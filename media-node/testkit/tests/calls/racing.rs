//! Several legs of one dial string: who rings, who wins, why the others end.

use std::time::Duration;

use switch_core::call::Cause;
use testkit::{Act, run};

use crate::{over, runs};

/// Who answers after how many seconds (0: rings only, None: refuses with busy), who wins, and after how long.
fn race(dial: &str, phones: &[(&str, Option<u64>)], winner: &str, seconds: u64) {
    run(runs(&[("bridge", dial)]).silent(), async |world| {
        for (name, answers) in phones {
            let phone = world.phone(name);
            match answers {
                Some(0) => phone.only_rings(),
                Some(after) => phone.answers_after(*after),
                None => phone.refuses(Cause::USER_BUSY),
            };
        }
        let alice = world.phone("alice").dial("1000");
        if winner.is_empty() {
            world.ended(&alice).await;
            assert!(alice.channel.bridge().is_none());
            return;
        }
        world.until("one leg wins", || alice.is_bridged()).await;
        let name = alice.channel.partner().map(|leg| leg.name()).unwrap_or_default();
        assert_eq!(name, format!("phone/{winner}"));
        let passed = alice.var("start_stamp");
        assert!(passed.is_empty(), "not over yet");
        let answered = alice.channel.profile().times;
        assert_eq!(
            (answered.answered - answered.created) / 1_000_000,
            i64::try_from(seconds).unwrap_or(0)
        );
        world.settle().await;
        assert_eq!(world.channels().len(), 2, "the others have ended");
        for call in phones.iter().filter(|(name, _)| *name != winner) {
            let rung = world.phone(call.0);
            if rung.waiting() > 0 {
                let lost = rung.rung().await;
                assert!(lost.cause().is_some(), "{}", call.0);
            }
        }
    });
}

cases! { race:
    one_alone => ("phone/a", &[("a", Some(1))], "a", 1),
    the_faster_of_two => ("phone/a,phone/b", &[("a", Some(5)), ("b", Some(2))], "b", 2),
    the_fastest_of_three => ("phone/a,phone/b,phone/c", &[("a", Some(5)), ("b", Some(4)), ("c", Some(3))], "c", 3),
    the_one_that_is_not_busy => ("phone/a,phone/b", &[("a", None), ("b", Some(2))], "b", 2),
    the_second_after_the_first_refused => ("phone/a|phone/b", &[("a", None), ("b", Some(2))], "b", 2),
    the_third_after_two_refused => ("phone/a|phone/b|phone/c", &[("a", None), ("b", None), ("c", Some(1))], "c", 1),
    the_first_of_two_in_order => ("phone/a|phone/b", &[("a", Some(1)), ("b", Some(1))], "a", 1),
    a_group_after_one => ("phone/a|phone/b,phone/c", &[("a", None), ("b", Some(4)), ("c", Some(2))], "c", 2),
    all_are_busy => ("phone/a,phone/b", &[("a", None), ("b", None)], "", 0),
    all_are_busy_in_order => ("phone/a|phone/b", &[("a", None), ("b", None)], "", 0),
    a_leg_that_begins_later => ("[leg_delay_start=3]phone/a,phone/b", &[("a", Some(1)), ("b", Some(6))], "a", 4),
    a_leg_whose_time_is_over => ("[leg_timeout=2]phone/a,phone/b", &[("a", Some(3)), ("b", Some(5))], "b", 5),
    a_leg_that_begins_later_begins_at_once_alone => ("[leg_delay_start=9]phone/a,phone/b", &[("a", Some(1)), ("b", None)], "a", 1),
    the_next_group_after_a_leg_timeout => ("[leg_timeout=2]phone/a|phone/b", &[("a", Some(0)), ("b", Some(1))], "b", 3),
    an_error_leg_is_passed_over => ("error/USER_BUSY|phone/b", &[("b", Some(1))], "b", 1),
    an_error_leg_beside_another => ("error/USER_BUSY,phone/b", &[("b", Some(1))], "b", 1),
    an_endpoint_that_is_not_there_is_passed_over => ("nonsense/x|phone/b", &[("b", Some(1))], "b", 1),
    two_groups_at_once => ("phone/a:_:phone/b", &[("a", Some(3)), ("b", Some(2))], "b", 2),
    two_groups_at_once_each_in_order => ("phone/a|phone/c:_:phone/b", &[("a", None), ("b", Some(5)), ("c", Some(2))], "c", 2),
    fail_on_single_reject => ("{fail_on_single_reject=true}phone/a,phone/b", &[("a", None), ("b", Some(2))], "", 0),
    fail_on_single_reject_of_another_cause => ("{fail_on_single_reject=CALL_REJECTED}phone/a,phone/b", &[("a", None), ("b", Some(2))], "b", 2),
    fail_on_single_reject_by_name => ("{fail_on_single_reject=USER_BUSY}phone/a,phone/b", &[("a", None), ("b", Some(2))], "", 0),
    a_leg_that_is_required => ("[leg_required=true]phone/a,phone/b", &[("a", None), ("b", Some(2))], "", 0),
    a_short_time_for_all => ("{originate_timeout=2}phone/a|phone/b", &[("a", Some(0)), ("b", Some(1))], "", 0),
    the_next_group_although_the_time_is_over => ("{originate_timeout=2,originate_continue_on_timeout=true}phone/a|phone/b", &[("a", Some(0)), ("b", Some(1))], "b", 3),
}

/// What the legs that lost end with.
fn losers(dial: &str, winner: &str, loser: &str, cause: Cause, told: &[&str]) {
    run(runs(&[("bridge", dial)]).silent(), async |world| {
        let (winner, loser) = (world.phone(winner), world.phone(loser));
        winner.answers_after(2);
        loser.only_rings();
        let alice = world.phone("alice").dial("1000");
        let lost = loser.rung().await;
        world.ended(&lost).await;
        assert_eq!(lost.cause(), Some(cause));
        assert_eq!(lost.told(), told);
        drop(alice);
    });
}

cases! { losers:
    a_loser_loses_the_race => ("phone/a,phone/b", "a", "b", Cause::LOSE_RACE, &["hangup LOSE_RACE"]),
    a_loser_of_another_group_at_once => ("phone/a:_:phone/b", "a", "b", Cause::LOSE_RACE, &["hangup LOSE_RACE"]),
}

#[test]
fn a_loser_is_marked_as_such() {
    run(runs(&[("bridge", "phone/a,phone/b")]).silent(), async |world| {
        world.phone("a").answers_after(2);
        let b = world.phone("b").only_rings();
        let alice = world.phone("alice").dial("1000");
        let lost = b.rung().await;
        world.ended(&lost).await;
        assert_eq!(lost.var("group_dial_status"), "loser");
        let causes = alice.var("originate_causes");
        assert!(causes.contains("LOSE_RACE") && causes.contains(";NONE"), "{causes}");
    });
}

#[test]
fn both_answer_in_the_same_moment_and_one_wins() {
    run(runs(&[("bridge", "phone/a,phone/b")]).silent(), async |world| {
        let (a, b) = (world.phone("a").answers_after(2), world.phone("b").answers_after(2));
        let alice = world.phone("alice").dial("1000");
        let (one, other) = (a.rung().await, b.rung().await);
        world.until("they talk", || alice.is_bridged()).await;
        world.settle().await;
        assert_eq!([&one, &other].iter().filter(|call| call.is_bridged()).count(), 1);
        assert_eq!(
            [&one, &other].iter().filter(|call| call.cause() == Some(Cause::LOSE_RACE)).count(),
            1
        );
    });
}

#[test]
fn a_leg_is_asked_to_accept_the_call() {
    let dial = "{group_confirm_key=1,group_confirm_file=silence_stream://100}phone/a";
    run(runs(&[("bridge", dial)]), async |world| {
        let a = world.phone("a").answers();
        let alice = world.phone("alice").dial("1000");
        let call = a.rung().await;
        world.seconds(2).await;
        assert!(call.channel.is_answered() && !alice.is_bridged());
        call.press("2");
        world.seconds(1).await;
        assert!(!alice.is_bridged(), "the wrong key");
        call.press("1");
        world.until("they talk", || alice.is_bridged()).await;
        assert_eq!(call.var("group_dial_status"), "winner");
    });
}

#[test]
fn the_caller_gives_up_by_a_key() {
    let actions = [
        ("set", "origination_cancel_key=#"),
        ("set", "continue_on_fail=true"),
        ("bridge", "phone/a"),
        ("set", "after=yes"),
    ];
    run(runs(&actions).silent(), async |world| {
        let a = world.phone("a").only_rings();
        let alice = world.phone("alice").dial("1000");
        let call = a.rung().await;
        world.seconds(1).await;
        alice.press("#");
        world.ended(&call).await;
        assert_eq!(call.cause(), Some(Cause::NO_ANSWER));
        let told = over(world, alice).await;
        assert_eq!(told.var("after"), "yes");
    });
}

#[test]
fn a_dial_string_is_tried_again() {
    run(
        runs(&[("bridge", "{originate_retries=3,originate_retry_sleep_ms=1000}phone/a")]).silent(),
        async |world| {
            let a = world.phone("a").refuses(Cause::USER_BUSY);
            let alice = world.phone("alice").dial("1000");
            world.ended(&alice).await;
            assert_eq!(a.waiting(), 3);
        },
    );
}

#[test]
fn progress_must_come_in_time() {
    run(runs(&[("bridge", "{progress_timeout=3}phone/a")]).silent(), async |world| {
        let a = world.phone("a").does(&[Act::Wait(Duration::from_secs(9)), Act::Answer]);
        let alice = world.phone("alice").dial("1000");
        let call = a.rung().await;
        world.ended(&call).await;
        assert_eq!(call.cause(), Some(Cause::PROGRESS_TIMEOUT));
        let told = over(world, alice).await;
        assert_eq!(told.var("originate_disposition"), "PROGRESS_TIMEOUT");
    });
}
