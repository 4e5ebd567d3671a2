//! Parked calls: how they come there and how they leave.

use esl_server::event::EventName;
use switch_core::call::Cause;
use testkit::run;

use crate::{over, runs};

#[test]
fn a_parked_call_says_so_and_waits() {
    run(runs(&[("park", "")]).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(100).await;
        assert!(call.channel.is_up());
        assert_eq!(world.events_of(&call).named(EventName::ChannelPark).len(), 1);
        call.hang_up();
        let told = over(world, call).await;
        assert_eq!(told.events.named(EventName::ChannelUnpark).len(), 1);
    });
}

/// `park_timeout` ends the parking.
fn timeout(value: &str, seconds: u64, cause: Cause) {
    let set = format!("park_timeout={value}");
    run(runs(&[("set", &set), ("park", "")]).silent(), async |world| {
        let begun = tokio::time::Instant::now();
        let call = world.phone("alice").dial("1000");
        world.ended(&call).await;
        assert_eq!(begun.elapsed().as_secs(), seconds);
        assert_eq!(call.cause(), Some(cause));
    });
}

cases! { timeout:
    after_some_seconds => ("7", 7, Cause::NORMAL_CLEARING),
    with_a_cause => ("7:USER_BUSY", 7, Cause::USER_BUSY),
    with_a_cause_by_number => ("3:18", 3, Cause::NO_USER_RESPONSE),
}

#[test]
fn no_timeout_at_zero() {
    run(runs(&[("set", "park_timeout=0"), ("park", "")]).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(200).await;
        assert!(call.channel.is_up());
    });
}

#[test]
fn a_parked_call_is_transferred() {
    run(runs(&[("park", "")]).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.settle().await;
        assert_eq!(world.api(&format!("uuid_transfer {} 3000", call.uuid())).await, "+OK\n");
        let told = over(world, call).await;
        assert_eq!(told.cause(), "USER_BUSY");
        let names = told.events.names();
        let place = |wanted| names.iter().position(|name| *name == wanted);
        assert!(place("CHANNEL_UNPARK") < place("CHANNEL_HANGUP"));
    });
}

#[test]
fn a_talking_call_is_parked_by_command_and_its_partner_ends() {
    run(runs(&[("bridge", "phone/bob")]).silent(), async |world| {
        let bob = world.phone("bob").answers();
        let alice = world.phone("alice").dial("1000");
        let call = bob.rung().await;
        world.until("they talk", || alice.is_bridged()).await;
        assert_eq!(world.api(&format!("uuid_park {}", alice.uuid())).await, "+OK\n");
        world.settle().await;
        assert_eq!(alice.channel.state().name(), "CS_PARK");
        world.ended(&call).await;
    });
}

#[test]
fn two_parked_calls_are_bridged_by_command() {
    run(runs(&[("answer", ""), ("park", "")]), async |world| {
        let (alice, bob) = (world.phone("alice").dial("1000"), world.phone("bob").dial("1000"));
        world.settle().await;
        let reply = world.api(&format!("uuid_bridge {} {}", alice.uuid(), bob.uuid())).await;
        assert_eq!(reply, format!("+OK {}\n", bob.uuid()));
        world.until("they talk", || alice.is_bridged() && bob.is_bridged()).await;
        world.settle().await;
        let heard = world.listen().await;
        assert_eq!((heard.of("alice"), heard.of("bob")), (vec!["bob"], vec!["alice"]));
        let bridged = world.events().named(EventName::ChannelBridge);
        assert_eq!(bridged.header("Bridge-A-Unique-ID"), alice.uuid());
        assert_eq!(bridged.header("Bridge-B-Unique-ID"), bob.uuid());
        for (leg, history) in [(&alice, bob.uuid()), (&bob, alice.uuid())] {
            assert!(leg.var("transfer_history").ends_with(&format!(":uuid_br:{history}")));
        }
    });
}

#[test]
fn calls_without_media_are_not_bridged_by_command() {
    run(runs(&[("park", "")]).silent(), async |world| {
        let (alice, bob) = (world.phone("alice").dial("1000"), world.phone("bob").dial("1000"));
        world.settle().await;
        let reply = world.api(&format!("uuid_bridge {} {}", alice.uuid(), bob.uuid())).await;
        assert_eq!(reply, "-ERR Invalid uuid\n");
    });
}

#[test]
fn a_message_runs_an_application_on_a_parked_call() {
    run(runs(&[("answer", ""), ("park", "")]).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.settle().await;
        world.api(&format!("uuid_broadcast {} set::color=red", call.uuid())).await;
        world.settle().await;
        assert_eq!(call.var("color"), "red");
        assert!(call.channel.is_up());
        world.api(&format!("uuid_broadcast {} set!user_busy::color=blue", call.uuid())).await;
        let told = over(world, call).await;
        assert_eq!((told.var("color").as_str(), told.cause()), ("blue", "USER_BUSY"));
    });
}
