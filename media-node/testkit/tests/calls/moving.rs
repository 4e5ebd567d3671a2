//! Calls that are taken elsewhere: transfers, interceptions, attended transfers.

use esl_server::event::EventName;
use switch_core::call::Cause;
use testkit::{Call, World, run};

use crate::{extension, over, runs, with};

/// alice dialled 1000 and talks to bob, who was called.
async fn talking(world: &World) -> (Call, Call) {
    let bob = world.phone("bob").answers();
    let alice = world.phone("alice").dial("1000");
    let call = bob.rung().await;
    world.until("they talk", || alice.is_bridged() && call.is_bridged()).await;
    world.settle().await;
    (alice, call)
}

const BRIDGE: &[(&str, &str)] = &[("bridge", "phone/bob"), ("set", "after=yes")];

#[test]
fn a_transfer_begins_the_call_anew() {
    run(
        runs(&[("set", "kept=yes"), ("transfer", "2000 XML default"), ("set", "after=yes")])
            .silent(),
        async |world| {
            let call = world.phone("alice").dial("1000");
            world.settle().await;
            assert_eq!(call.var("destination_number"), "2000");
            assert_eq!(call.var("rdnis"), "1000");
            assert_eq!(call.var("profile_index"), "2");
            assert_eq!((call.var("kept").as_str(), call.var("after").as_str()), ("yes", ""));
            let history = call.var("transfer_history");
            assert!(history.ends_with(":bl_xfer:2000/default/XML"), "{history}");
            assert_eq!(call.var("transfer_source"), history);
            assert_eq!(
                world.events_of(&call).states(),
                ["CS_NEW", "CS_INIT", "CS_ROUTING", "CS_EXECUTE", "CS_ROUTING", "CS_EXECUTE"]
            );
        },
    );
}

#[test]
fn a_loop_of_transfers_ends() {
    run(runs(&[("transfer", "1000 XML default")]).silent(), async |world| {
        let call = world.phone("alice").dialling("1000").var("max_forwards", "20").go();
        let told = over(world, call).await;
        assert_eq!(told.cause(), "EXCHANGE_ROUTING_ERROR");
        assert_eq!(told.applications().len(), 20);
    });
}

#[test]
fn a_limit_of_transfers_ends_the_call() {
    run(runs(&[("transfer", "1000 XML default")]).silent(), async |world| {
        let call = world.phone("alice").dialling("1000").var("max_session_transfers", "3").go();
        assert_eq!(over(world, call).await.applications().len(), 3);
    });
}

/// A transfer of one leg of a bridge by command: where alice and bob are afterwards.
fn transferred(arguments: &str, alice_at: &str, bob_at: &str) {
    run(runs(BRIDGE).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        let reply = world.api(&format!("uuid_transfer {} {arguments}", alice.uuid())).await;
        assert_eq!(reply, "+OK\n");
        world.seconds(1).await;
        let place = |call: &Call| match call.cause() {
            Some(cause) => cause.name().to_owned(),
            None => call.var("destination_number"),
        };
        assert_eq!((place(&alice).as_str(), place(&bob).as_str()), (alice_at, bob_at));
        assert!(!alice.is_bridged() && !bob.is_bridged());
    });
}

cases! { transferred:
    the_caller_is_transferred => ("2000", "2000", "NORMAL_CLEARING"),
    the_called_is_transferred => ("-bleg 2000", "NORMAL_CLEARING", "2000"),
    both_are_transferred => ("-both 2000", "2000", "2000"),
    the_caller_is_transferred_with_dialplan_and_context => ("2000 XML default", "2000", "NORMAL_CLEARING"),
    the_caller_is_transferred_to_nothing => ("7777", "NO_ROUTE_DESTINATION", "NORMAL_CLEARING"),
}

#[test]
fn each_leg_goes_its_own_way() {
    run(runs(BRIDGE).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        world.api(&format!("uuid_dual_transfer {} 2000 3000", alice.uuid())).await;
        world.seconds(1).await;
        assert_eq!(alice.var("destination_number"), "2000");
        assert_eq!(bob.cause(), Some(Cause::USER_BUSY));
    });
}

#[test]
fn the_called_transferred_to_another_phone_talks_to_it() {
    run(runs(BRIDGE), async |world| {
        let carol = world.phone("carol").answers();
        let (alice, bob) = talking(world).await;
        world.api(&format!("uuid_transfer {} -bleg 4000", alice.uuid())).await;
        let call = carol.rung().await;
        world.until("bob and carol talk", || bob.is_bridged() && call.is_bridged()).await;
        world.settle().await;
        let heard = world.listen().await;
        assert_eq!((heard.of("bob"), heard.of("carol")), (vec!["carol"], vec!["bob"]));
    });
}

/// A third phone intercepts one leg of a bridge; who talks to whom then.
fn intercepted(argument: &str, taken: &str) {
    let dialplan = extension("1000", BRIDGE) + &extension("5000", &[("intercept", argument)]);
    run(with(&dialplan), async |world| {
        let (alice, bob) = talking(world).await;
        let zoe = world.phone("zoe").dialling("5000").var("target", alice.uuid()).go();
        let (stays, goes) = if taken == "alice" { (&alice, &bob) } else { (&bob, &alice) };
        world.until("zoe talks", || zoe.is_bridged() && stays.is_bridged()).await;
        world.ended(goes).await;
        assert_eq!(goes.cause(), Some(Cause::PICKED_OFF));
        world.settle().await;
        let heard = world.listen().await;
        assert_eq!((heard.of("zoe"), heard.of(taken)), (vec![taken], vec!["zoe"]));
    });
}

cases! { intercepted:
    the_leg_named => ("${target}", "alice"),
    the_other_leg => ("-bleg ${target}", "bob"),
}

/// A ringing call is intercepted, or not.
fn interception_refused(rule: &str) {
    let set = format!("{rule}=true");
    let dialplan = extension("1000", BRIDGE)
        + &extension("5000", &[("set", &set), ("intercept", "${target}"), ("set", "after=yes")]);
    run(with(&dialplan).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        let zoe = world.phone("zoe").dialling("5000").var("target", alice.uuid()).go();
        let told = over(world, zoe).await;
        assert_eq!(told.var("after"), "yes");
        assert!(alice.is_bridged() && bob.is_bridged());
    });
}

cases! { interception_refused:
    unbridged_only => ("intercept_unbridged_only"),
    unanswered_only => ("intercept_unanswered_only"),
}

#[test]
fn intercepting_nothing_goes_on() {
    run(runs(&[("intercept", "none"), ("set", "after=yes")]).silent(), async |world| {
        let alice = world.phone("alice").dial("1000");
        assert_eq!(over(world, alice).await.var("after"), "yes");
    });
}

/// bob consults carol (`att_xfer`) while alice waits; what keys lead to.
fn consultation(key: Option<&'static str>, talks_to_alice: &str) {
    run(runs(BRIDGE), async |world| {
        let carol = world.phone("carol").answers();
        let (alice, bob) = talking(world).await;
        world.api(&format!("uuid_broadcast {} att_xfer::phone/carol", bob.uuid())).await;
        let call = carol.rung().await;
        world.until("bob and carol talk", || call.is_bridged()).await;
        world.settle().await;
        let heard = world.listen().await;
        assert_eq!((heard.of("bob"), heard.of("carol")), (vec!["carol"], vec!["bob"]));
        match key {
            Some(key) => bob.press(key),
            None => bob.hang_up(),
        }
        world.seconds(3).await;
        let heard = world.listen().await;
        assert_eq!(heard.of("alice"), [talks_to_alice]);
        assert_eq!(heard.of(talks_to_alice), ["alice"]);
        assert!(alice.channel.is_up());
    });
}

cases! { consultation:
    the_one_consulted_is_given_the_call_by_key => (Some("*"), "carol"),
    the_one_consulted_is_given_the_call_by_hanging_up => (None, "carol"),
    the_consultation_is_cancelled => (Some("#"), "bob"),
}

#[test]
fn a_three_way_call_is_heard_by_all() {
    run(runs(BRIDGE), async |world| {
        let carol = world.phone("carol").answers();
        let (_alice, bob) = talking(world).await;
        world.api(&format!("uuid_broadcast {} att_xfer::phone/carol", bob.uuid())).await;
        let call = carol.rung().await;
        world.until("bob and carol talk", || call.is_bridged()).await;
        world.settle().await;
        bob.press("0");
        world.seconds(3).await;
        let heard = world.listen().await;
        assert_eq!(heard.of("carol"), ["alice", "bob"]);
        assert_eq!(heard.of("alice"), ["bob", "carol"]);
        assert_eq!(heard.of("bob"), ["alice", "carol"]);
    });
}

#[test]
fn uuid_kill_ends_a_leg_with_a_cause_and_its_partner_goes_on() {
    run(runs(BRIDGE).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        world.api(&format!("uuid_kill {} CALL_REJECTED", bob.uuid())).await;
        world.ended(&bob).await;
        assert_eq!(bob.cause(), Some(Cause::CALL_REJECTED));
        let told = over(world, alice).await;
        told.check(&[("after", "yes"), ("bridge_hangup_cause", "CALL_REJECTED")]);
    });
}

#[test]
fn two_bridges_exchange_their_partners() {
    let dialplan = extension("1000", &[("bridge", "phone/${caller_id_number}-friend")]);
    run(with(&dialplan), async |world| {
        let mut calls = Vec::new();
        for name in ["a", "b"] {
            let friend = world.phone(&format!("{name}-friend")).answers();
            let call = world.phone(name).dial("1000");
            let other = friend.rung().await;
            world.until("they talk", || call.is_bridged() && other.is_bridged()).await;
            calls.push((call, other));
        }
        let (a, b) = (&calls[0], &calls[1]);
        world.api(&format!("uuid_bridge {} {}", a.0.uuid(), b.0.uuid())).await;
        world
            .until("a and b talk", || {
                a.0.channel.partner().is_some_and(|leg| leg.uuid() == b.0.channel.uuid())
            })
            .await;
        world.seconds(1).await;
        let heard = world.listen().await;
        assert_eq!((heard.of("a"), heard.of("b")), (vec!["b"], vec!["a"]));
        assert!(a.1.cause().is_some() && b.1.cause().is_some(), "their friends have gone");
    });
}

#[test]
fn a_blind_transfer_is_told_in_order() {
    run(runs(BRIDGE).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        world.forget_events();
        world.api(&format!("uuid_transfer {} 2000", alice.uuid())).await;
        world.ended(&bob).await;
        world.settle().await;
        let names = world.events_of(&alice).filter(|event| {
            [EventName::ChannelUnbridge, EventName::ChannelPark, EventName::ChannelState]
                .contains(&event.name())
        });
        assert_eq!(
            names.names(),
            ["CHANNEL_UNBRIDGE", "CHANNEL_STATE", "CHANNEL_STATE", "CHANNEL_PARK"]
        );
    });
}
