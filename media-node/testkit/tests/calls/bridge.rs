//! Two legs in one conversation: who hears whom, what programs are told, what becomes of each leg.

use esl_server::event::EventName;
use switch_core::call::Cause;
use testkit::{Act, Call, World, run};

use crate::{alone, over, runs};

/// alice and bob talk: alice dialled 1000, which bridges.
async fn talking(world: &World) -> (Call, Call) {
    let bob = world.phone("bob").answers();
    let alice = world.phone("alice").dial("1000");
    let call = bob.rung().await;
    world.until("they talk", || alice.is_bridged() && call.is_bridged()).await;
    world.settle().await;
    (alice, call)
}

const BRIDGE: &[(&str, &str)] = &[("bridge", "phone/bob"), ("set", "after=yes")];

/// With these actions before the bridge, what becomes of alice and bob when one of them hangs up.
fn after(before: &[(&str, &str)], who: &str, alice_ends: &str, goes_on: bool, bob_ends: &str) {
    let actions: Vec<_> = before.iter().chain(BRIDGE).copied().collect();
    run(runs(&actions).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        if who == "alice" { &alice } else { &bob }.hang_up();
        let told = over(world, alice).await;
        world.ended(&bob).await;
        assert_eq!(told.cause(), alice_ends);
        assert_eq!(told.var("after") == "yes", goes_on, "{:?}", told.events);
        assert_eq!(bob.cause().map(|cause| cause.name()), Some(bob_ends));
    });
}

cases! { after:
    the_caller_leaves => (&[], "alice", "NORMAL_CLEARING", false, "NORMAL_CLEARING"),
    the_called_leaves_and_the_dialplan_goes_on => (&[], "bob", "NORMAL_CLEARING", true, "NORMAL_CLEARING"),
    hangup_after_bridge => (&[("set", "hangup_after_bridge=true")], "bob", "NORMAL_CLEARING", false, "NORMAL_CLEARING"),
    hangup_after_bridge_false => (&[("set", "hangup_after_bridge=false")], "bob", "NORMAL_CLEARING", true, "NORMAL_CLEARING"),
    hangup_after_bridge_explicit => (&[("set", "hangup_after_bridge=explicit")], "bob", "NORMAL_CLEARING", false, "NORMAL_CLEARING"),
}

#[test]
fn a_cause_goes_along_with_hangup_after_bridge() {
    let mut actions = vec![("set", "hangup_after_bridge=true")];
    actions.extend(BRIDGE);
    run(runs(&actions).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        bob.act(Act::HangUp(Cause::USER_BUSY));
        let told = over(world, alice).await;
        assert_eq!(told.cause(), "USER_BUSY");
        told.check(&[("bridge_hangup_cause", "USER_BUSY")]);
    });
}

#[test]
fn two_phones_hear_each_other() {
    run(runs(BRIDGE), async |world| {
        let (alice, bob) = talking(world).await;
        let heard = world.listen().await;
        assert_eq!(heard.of("alice"), ["bob"]);
        assert_eq!(heard.of("bob"), ["alice"]);
        bob.hang_up();
        over(world, alice).await;
    });
}

#[test]
fn three_pairs_hear_their_own_partner_only() {
    run(runs(&[("bridge", "phone/${caller_id_number}-friend")]), async |world| {
        for name in ["a", "b", "c"] {
            let _friend = world.phone(&format!("{name}-friend")).answers();
            let call = world.phone(name).dial("1000");
            world.until("they talk", || call.is_bridged()).await;
        }
        let heard = world.listen().await;
        for name in ["a", "b", "c"] {
            assert_eq!(heard.of(name), [format!("{name}-friend")]);
            assert_eq!(heard.of(&format!("{name}-friend")), [name]);
        }
    });
}

#[test]
fn the_variables_of_a_bridge_name_the_other_leg() {
    run(runs(BRIDGE).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        for (leg, other) in [(&alice, &bob), (&bob, &alice)] {
            for name in ["bridge_to", "last_bridge_to", "bridge_uuid", "signal_bond"] {
                assert_eq!(leg.var(name), other.uuid(), "{name}");
            }
            assert_eq!(leg.var("bridge_channel"), other.channel.name());
        }
        assert_eq!(bob.var("originator"), alice.uuid());
        assert_eq!(bob.var("originating_leg_uuid"), alice.uuid());
        assert_eq!(bob.var("call_uuid"), alice.uuid());
        assert_eq!(alice.var("originate_disposition"), "SUCCESS");
        assert_eq!(alice.var("DIALSTATUS"), "SUCCESS");
        assert!(alice.var("originated_legs").starts_with(bob.uuid()));
        assert_eq!(alice.var("originate_signal_bond"), "");
        bob.hang_up();
        world.ended(&bob).await;
        world.ended(&alice).await;
        assert_eq!(alice.var("bridge_to"), "");
        assert_eq!(alice.var("last_bridge_to"), bob.uuid());
        assert_eq!(bob.var("last_bridge_role"), "originatee");
    });
}

#[test]
fn the_events_of_a_bridge_name_both_legs() {
    run(runs(BRIDGE).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        bob.hang_up();
        world.ended(&alice).await;
        for name in [EventName::ChannelBridge, EventName::ChannelUnbridge] {
            let events = world.events().named(name);
            assert_eq!(events.len(), 1, "{name}");
            assert_eq!(events.header("Unique-ID"), alice.uuid());
            assert_eq!(events.header("Bridge-A-Unique-ID"), alice.uuid());
            assert_eq!(events.header("Bridge-B-Unique-ID"), bob.uuid());
            assert_eq!(events.header("Other-Type"), "originatee");
            assert_eq!(events.header("Other-Leg-Unique-ID"), bob.uuid());
        }
    });
}

#[test]
fn the_called_leg_goes_through_its_states() {
    run(runs(BRIDGE).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        bob.hang_up();
        world.ended(&alice).await;
        let states = world.events_of(&bob).states();
        assert_eq!(
            states,
            [
                "CS_INIT",
                "CS_ROUTING",
                "CS_CONSUME_MEDIA",
                "CS_EXCHANGE_MEDIA",
                "CS_HANGUP",
                "CS_REPORTING",
                "CS_DESTROY",
            ]
        );
        assert_eq!(world.events_of(&bob).call_states(), ["RINGING", "ACTIVE", "HANGUP"]);
        assert_eq!(world.events_of(&alice).call_states(), ["RINGING", "ACTIVE", "HANGUP"]);
    });
}

#[test]
fn the_called_leg_is_announced_in_order() {
    run(runs(BRIDGE).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        bob.hang_up();
        world.ended(&alice).await;
        let names: Vec<_> = world
            .events_of(&bob)
            .names()
            .into_iter()
            .filter(|name| {
                !["CHANNEL_STATE", "CHANNEL_CALLSTATE", "CODEC", "PRESENCE_IN", "CALL_UPDATE"]
                    .contains(name)
            })
            .collect();
        assert_eq!(
            names,
            [
                "CHANNEL_OUTGOING",
                "CHANNEL_CREATE",
                "CHANNEL_ORIGINATE",
                "CHANNEL_PROGRESS",
                "CHANNEL_ANSWER",
                "CHANNEL_HANGUP",
                "CHANNEL_HANGUP_COMPLETE",
                "CHANNEL_DESTROY",
            ]
        );
    });
}

#[test]
fn the_caller_is_told_of_ringing_and_answer() {
    run(runs(BRIDGE).silent(), async |world| {
        world.phone("bob").answers_after(3);
        let alice = world.phone("alice").dial("1000");
        world.seconds(1).await;
        assert_eq!(alice.told(), ["ringing"]);
        world.seconds(3).await;
        assert_eq!(alice.told()[..2], ["ringing", "answer"]);
    });
}

#[test]
fn early_media_of_the_called_is_heard_by_the_caller() {
    run(runs(&[("bridge", "phone/bob")]), async |world| {
        let bob = world.phone("bob").does(&[Act::Early]);
        let alice = world.phone("alice").dial("1000");
        let call = bob.rung().await;
        world.until("bridged in early media", || alice.is_bridged()).await;
        assert!(!alice.channel.is_answered());
        assert_eq!(alice.told(), ["early"]);
        assert_eq!(world.listen().await.of("alice"), ["bob"]);
        call.answer();
        world.until("alice is answered", || alice.channel.is_answered()).await;
        assert_eq!(alice.told()[..2], ["early", "answer"]);
    });
}

#[test]
fn early_media_may_be_ignored() {
    run(runs(&[("bridge", "{ignore_early_media=true}phone/bob")]), async |world| {
        let bob = world.phone("bob").does(&[Act::Early]);
        let alice = world.phone("alice").dial("1000");
        let call = bob.rung().await;
        world.seconds(2).await;
        assert!(!alice.is_bridged());
        assert!(alice.told().is_empty());
        call.answer();
        world.until("they talk", || alice.is_bridged()).await;
    });
}

/// One side's key is what the other side's phone is sent.
fn key_passes(from_alice: bool) {
    run(runs(BRIDGE).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        let (from, to) = if from_alice { (&alice, &bob) } else { (&bob, &alice) };
        from.press("42#");
        world.settle().await;
        let digits: Vec<_> = to.told().into_iter().filter(|t| t.starts_with("digits")).collect();
        assert_eq!(digits, ["digits 4", "digits 2", "digits #"]);
        let shown = world.events_of(from).named(EventName::Dtmf).headers("DTMF-Digit");
        assert_eq!(shown, ["4", "2", "#"]);
    });
}

cases! { key_passes:
    keys_of_the_caller_reach_the_called => (true),
    keys_of_the_called_reach_the_caller => (false),
}

#[test]
fn a_key_ends_the_bridge() {
    let mut actions = vec![("set", "bridge_terminate_key=*")];
    actions.extend(BRIDGE);
    run(runs(&actions).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        alice.press("1*");
        let told = over(world, alice).await;
        assert_eq!(told.var("after"), "yes");
        assert_eq!(bob.cause(), Some(Cause::NORMAL_CLEARING));
    });
}

/// A variable of alice's reaches bob's leg, or not.
fn exported(actions: &[(&str, &str)], name: &str, at_bob: &str, at_alice: &str) {
    let actions: Vec<_> = actions.iter().chain(BRIDGE).copied().collect();
    run(runs(&actions).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        assert_eq!(bob.var(name), at_bob);
        assert_eq!(alice.var(name), at_alice);
    });
}

cases! { exported:
    an_exported_variable => (&[("export", "color=red")], "color", "red", "red"),
    a_variable_that_is_not_exported => (&[("set", "color=red")], "color", "", "red"),
    a_variable_exported_for_the_other_leg_only => (&[("export", "nolocal:color=red")], "color", "red", ""),
    two_exported_variables => (&[("export", "size=big"), ("export", "color=red")], "size", "big", "big"),
    a_variable_exported_by_the_bridge => (&[("bridge_export", "color=red")], "color", "red", "red"),
    a_list_of_names_to_export => (&[("set", "color=red"), ("set", "export_vars=color")], "color", "red", "red"),
}

#[test]
fn a_variable_of_the_dial_string_is_the_legs_own() {
    run(runs(&[("bridge", "{color=red}[size=big]phone/bob")]).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        assert_eq!((bob.var("color"), bob.var("size")), ("red".into(), "big".into()));
        assert_eq!((alice.var("color"), alice.var("size")), (String::new(), String::new()));
    });
}

#[test]
fn import_takes_variables_of_the_leg_that_won() {
    let actions = [("set", "import=color,missing"), ("bridge", "[color=red]phone/bob")];
    run(runs(&actions).silent(), async |world| {
        let (alice, _bob) = talking(world).await;
        assert_eq!(alice.var("color"), "red");
    });
}

#[test]
fn the_caller_id_of_the_called_leg_may_be_another() {
    let actions = [
        ("set", "effective_caller_id_name=Desk"),
        ("set", "effective_caller_id_number=555"),
        ("bridge", "phone/bob"),
    ];
    run(runs(&actions).silent(), async |world| {
        let (_alice, bob) = talking(world).await;
        assert_eq!(bob.var("caller_id_name"), "Desk");
        assert_eq!(bob.var("caller_id_number"), "555");
    });
}

#[test]
fn park_after_bridge_keeps_the_caller() {
    let mut actions = vec![("set", "park_after_bridge=true")];
    actions.extend(BRIDGE);
    run(runs(&actions).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        bob.hang_up();
        world.ended(&bob).await;
        world.settle().await;
        assert_eq!(alice.channel.state().name(), "CS_PARK");
        assert_eq!(alice.var("after"), "");
    });
}

#[test]
fn transfer_after_bridge_sends_the_caller_elsewhere_once() {
    let mut actions = vec![("set", "transfer_after_bridge=2000:XML:default")];
    actions.extend(BRIDGE);
    run(runs(&actions).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        bob.hang_up();
        world.ended(&bob).await;
        world.settle().await;
        assert_eq!(alice.var("destination_number"), "2000");
        assert_eq!(alice.var("transfer_after_bridge"), "");
        assert_eq!(
            world.events_of(&alice).applications().last().map(String::as_str),
            Some("park()")
        );
    });
}

#[test]
fn exec_after_bridge_takes_the_place_of_the_dialplan() {
    let mut actions =
        vec![("set", "exec_after_bridge_app=set"), ("set", "exec_after_bridge_arg=instead=yes")];
    actions.extend(BRIDGE);
    run(runs(&actions).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        bob.hang_up();
        let told = over(world, alice).await;
        told.check(&[("instead", "yes"), ("after", "")]);
    });
}

#[test]
fn the_called_may_be_parked_when_the_caller_leaves() {
    run(runs(&[("bridge", "{park_after_bridge=true}phone/bob")]).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        alice.hang_up();
        world.ended(&alice).await;
        world.settle().await;
        assert_eq!(bob.channel.state().name(), "CS_PARK");
    });
}

#[test]
fn a_bridge_to_nothing_does_nothing() {
    run(runs(&[("bridge", ""), ("set", "after=yes")]).silent(), async |world| {
        assert_eq!(alone(world, &[]).await.var("after"), "yes");
    });
}

#[test]
fn a_far_end_on_hold_makes_its_partner_wait() {
    run(runs(BRIDGE).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        bob.act(Act::Hold);
        world.settle().await;
        assert_eq!(world.events_of(&bob).call_states().last().map(String::as_str), Some("HELD"));
        assert_eq!(world.events_of(&bob).named(EventName::ChannelHold).len(), 1);
        world.seconds(2).await;
        bob.act(Act::Resume);
        world.settle().await;
        assert_eq!(world.events_of(&bob).named(EventName::ChannelUnhold).len(), 1);
        assert_eq!(world.events_of(&bob).call_states().last().map(String::as_str), Some("ACTIVE"));
        bob.hang_up();
        let told = over(world, bob).await;
        assert_eq!(told.var("hold_accum_seconds"), "2");
        drop(alice);
    });
}

#[test]
fn music_on_hold_is_heard_by_the_partner_and_ends() {
    let actions = [("bridge", "[hold_music=tone_stream://%(1000\\,0\\,400)]phone/bob")];
    run(runs(&actions), async |world| {
        let (alice, bob) = talking(world).await;
        bob.act(Act::Hold);
        world.seconds(1).await;
        assert_eq!(world.listen().await.of("alice"), ["tone"]);
        bob.act(Act::Resume);
        world.seconds(1).await;
        assert_eq!(world.listen().await.of("alice"), ["bob"]);
        drop(alice);
    });
}

#[test]
fn indicate_hold_puts_the_partner_on_hold_as_well() {
    run(runs(&[("bridge", "[hold_music=indicate_hold]phone/bob")]).silent(), async |world| {
        let (alice, bob) = talking(world).await;
        bob.act(Act::Hold);
        world.settle().await;
        assert!(alice.was_told("hold"));
        bob.act(Act::Resume);
        world.settle().await;
        assert!(alice.was_told("unhold"));
    });
}

#[test]
fn broadcast_is_heard_by_the_leg_it_is_for() {
    run(runs(BRIDGE), async |world| {
        let (alice, bob) = talking(world).await;
        world
            .api(&format!("uuid_broadcast {} tone_stream://%(9000,0,400) aleg", alice.uuid()))
            .await;
        world.seconds(1).await;
        let heard = world.listen().await;
        assert_eq!(heard.of("alice"), ["tone"]);
        assert_eq!(world.api(&format!("uuid_break {} all", alice.uuid())).await, "+OK\n");
        world.seconds(1).await;
        assert_eq!(world.listen().await.of("alice"), ["bob"]);
        drop(bob);
    });
}
