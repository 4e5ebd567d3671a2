//! Endpoints besides phones: loopback, null, error, user, group, pickup.

use esl_server::event::EventName;
use switch_core::call::Cause;
use testkit::run;

use crate::{alone, extension, over, runs, with};

#[test]
fn a_loopback_leg_runs_the_dialplan_at_its_other_end() {
    let dialplan = extension("1000", &[("bridge", "loopback/5000")])
        + &extension("5000", &[("answer", ""), ("playback", "tone_stream://%(9000,0,400)")]);
    run(with(&dialplan), async |world| {
        let alice = world.phone("alice").dial("1000");
        world.until("they talk", || alice.is_bridged()).await;
        world.seconds(1).await;
        let names: Vec<_> = world.channels().iter().map(|leg| leg.name()).collect();
        assert_eq!(names, ["phone/alice", "loopback/5000-a", "loopback/5000-b"]);
        assert_eq!(world.listen().await.of("alice"), ["tone"]);
        alice.hang_up();
        world.ended(&alice).await;
        world.settle().await;
        assert!(world.channels().is_empty());
    });
}

#[test]
fn a_loopback_leg_may_run_an_application() {
    run(runs(&[("bridge", "loopback/app=hangup:USER_BUSY")]), async |world| {
        assert_eq!(alone(world, &[]).await.cause(), "USER_BUSY");
    });
}

#[test]
fn a_loopback_leg_passes_a_refusal_on() {
    run(runs(&[("bridge", "loopback/3000")]), async |world| {
        assert_eq!(alone(world, &[]).await.cause(), "USER_BUSY");
    });
}

#[test]
fn loopback_legs_bow_out_of_a_call_between_phones() {
    let dialplan = extension("1000", &[("bridge", "loopback/5000")])
        + &extension("5000", &[("bridge", "phone/bob")]);
    run(with(&dialplan), async |world| {
        let bob = world.phone("bob").answers();
        let alice = world.phone("alice").dial("1000");
        let call = bob.rung().await;
        world.until("they talk", || alice.is_bridged() && call.is_bridged()).await;
        for _ in 0..20 {
            world.listen().await;
        }
        world.until("the loopback legs have gone", || world.channels().len() == 2).await;
        assert_eq!(alice.channel.partner().map(|leg| leg.name()).as_deref(), Some("phone/bob"));
        world.settle().await;
        let heard = world.listen().await;
        assert_eq!((heard.of("alice"), heard.of("bob")), (vec!["bob"], vec!["alice"]));
    });
}

#[test]
fn loopback_legs_stay_where_they_are_told_to() {
    let dialplan = extension("1000", &[("bridge", "{loopback_bowout=false}loopback/5000")])
        + &extension("5000", &[("bridge", "phone/bob")]);
    run(with(&dialplan), async |world| {
        let bob = world.phone("bob").answers();
        let alice = world.phone("alice").dial("1000");
        let call = bob.rung().await;
        world.until("they talk", || alice.is_bridged() && call.is_bridged()).await;
        for _ in 0..20 {
            world.listen().await;
        }
        assert_eq!(world.channels().len(), 4);
        assert_eq!(world.listen().await.of("bob"), ["alice"]);
    });
}

/// `null/` legs: what they do.
fn null(dial: &str, reply: &str) {
    run(runs(&[]), async |world| {
        let told = world.api(&format!("originate {dial} &park()")).await;
        assert!(told.starts_with(reply), "{told}");
    });
}

cases! { null:
    null_answers => ("null/x", "+OK"),
    null_answers_later => ("{null_auto_answer_delay=3000}null/x", "+OK"),
    null_refuses => ("null/cause-user_busy", "-ERR USER_BUSY"),
    null_refuses_by_variable => ("{null_hangup_cause=call_rejected}null/x", "-ERR CALL_REJECTED"),
    null_does_not_answer => ("{null_enable_auto_answer=false,originate_timeout=3}null/x", "-ERR NO_ANSWER"),
    null_with_early_media => ("{null_enable_auto_answer=false,null_pre_answer=true}null/x", "+OK"),
}

/// `error/` legs fail with their cause.
fn error(cause: &str, expected: &str) {
    run(runs(&[("bridge", &format!("error/{cause}"))]).silent(), async |world| {
        let told = alone(world, &[]).await;
        assert_eq!(told.var("originate_disposition"), expected);
    });
}

cases! { error:
    error_by_name => ("USER_BUSY", "USER_BUSY"),
    error_in_any_case => ("user_busy", "USER_BUSY"),
    error_by_number => ("17", "USER_BUSY"),
    error_no_answer => ("NO_ANSWER", "NO_ANSWER"),
    error_rejected => ("CALL_REJECTED", "CALL_REJECTED"),
    error_of_an_unknown_word => ("nonsense", "NORMAL_CLEARING"),
}

const DIRECTORY: &str = r#"<domain name="here">
  <params><param name="dial-string" value="phone/${dialed_user}"/></params>
  <groups><group name="sales"><users>
    <user id="bob"><variables><variable name="room" value="12"/></variables></user>
    <user id="carol"/>
  </users></group></groups>
</domain>"#;

#[test]
fn a_user_is_called_by_its_dial_string() {
    run(runs(&[("bridge", "user/bob@here")]).directory(DIRECTORY).silent(), async |world| {
        let bob = world.phone("bob").answers();
        let alice = world.phone("alice").dial("1000");
        let call = bob.rung().await;
        world.until("they talk", || alice.is_bridged()).await;
        assert_eq!(call.var("room"), "12");
        assert_eq!(alice.var("dialed_user"), "bob");
        assert_eq!(alice.var("dialed_domain"), "here");
        assert_eq!(world.events_of(&call).named(EventName::ChannelOutgoing).len(), 2);
    });
}

#[test]
fn a_user_that_is_not_there_is_absent() {
    run(runs(&[("bridge", "user/zoe@here")]).directory(DIRECTORY).silent(), async |world| {
        assert_eq!(alone(world, &[]).await.cause(), "SUBSCRIBER_ABSENT");
    });
}

#[test]
fn a_group_rings_at_all_its_users() {
    run(runs(&[("bridge", "group/sales@here")]).directory(DIRECTORY).silent(), async |world| {
        let (bob, carol) = (world.phone("bob").only_rings(), world.phone("carol").answers_after(2));
        let alice = world.phone("alice").dial("1000");
        let lost = bob.rung().await;
        let won = carol.rung().await;
        world.until("they talk", || alice.is_bridged()).await;
        assert!(won.is_bridged());
        world.ended(&lost).await;
        assert_eq!(lost.cause(), Some(Cause::LOSE_RACE));
    });
}

#[test]
fn group_call_names_the_users_of_a_group() {
    run(runs(&[]).directory(DIRECTORY).silent(), async |world| {
        let all = world.api("group_call sales@here").await;
        assert_eq!(all, "phone/bob,phone/carol");
        let in_order = world.api("group_call sales@here+F").await;
        assert_eq!(in_order, "phone/bob|phone/carol");
    });
}

#[test]
fn a_call_that_waits_to_be_picked_up_is_picked_up() {
    let dialplan = extension("1000", &[("bridge", "pickup/desk")])
        + &extension("5000", &[("pickup", "desk"), ("set", "missed=yes")]);
    run(with(&dialplan), async |world| {
        let alice = world.phone("alice").dial("1000");
        world.seconds(1).await;
        let bob = world.phone("bob").dial("5000");
        world.until("they talk", || alice.is_bridged() && bob.is_bridged()).await;
        world.settle().await;
        let heard = world.listen().await;
        assert_eq!((heard.of("alice"), heard.of("bob")), (vec!["bob"], vec!["alice"]));
        bob.hang_up();
        over(world, alice).await;
    });
}

#[test]
fn picking_up_what_is_not_there_goes_on() {
    run(runs(&[("pickup", "desk"), ("set", "missed=yes")]).silent(), async |world| {
        assert_eq!(alone(world, &[]).await.var("missed"), "yes");
    });
}
