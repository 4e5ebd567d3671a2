//! `execute_on_*` and `api_on_*`: what runs at a moment of a call.

use testkit::run;

use crate::{alone, over, runs};

/// A hook on alice's leg, and whether its moment comes.
fn on_own(name: &str, actions: &[(&str, &str)], fires: bool) {
    let set = format!("{name}=set hooked=yes");
    let all: Vec<_> = [("set", &*set)].into_iter().chain(actions.iter().copied()).collect();
    run(runs(&all), async |world| {
        world.phone("bob").answers_after(1);
        let alice = world.phone("alice").dial("1000");
        world.seconds(3).await;
        alice.hang_up();
        let told = over(world, alice).await;
        assert_eq!(told.var("hooked") == "yes", fires);
    });
}

cases! { on_own:
    answer => ("execute_on_answer", &[("answer", "")], true),
    answer_second_of_its_kind => ("execute_on_answer_2", &[("answer", "")], true),
    answer_that_does_not_come => ("execute_on_answer", &[("sleep", "100")], false),
    early_media => ("execute_on_pre_answer", &[("pre_answer", "")], true),
    media_with_early_media => ("execute_on_media", &[("pre_answer", "")], true),
    media_with_the_answer => ("execute_on_media", &[("answer", "")], true),
    ring => ("execute_on_ring", &[("ring_ready", "")], true),
    ring_through_a_bridge => ("execute_on_ring", &[("bridge", "phone/bob")], true),
    answer_through_a_bridge => ("execute_on_answer", &[("bridge", "phone/bob")], true),
    before_originating => ("execute_on_pre_originate", &[("bridge", "phone/bob")], true),
    after_originating => ("execute_on_post_originate", &[("bridge", "phone/bob")], true),
    before_a_bridge => ("execute_on_pre_bridge", &[("bridge", "phone/bob")], true),
    after_a_bridge => ("execute_on_post_bridge", &[("bridge", "phone/bob")], true),
    blind_transfer => ("execute_on_blind_transfer", &[("transfer", "2000 XML default")], true),
}

/// A hook on bob's leg, which alice's dialplan sets.
fn on_called(name: &str, fires: bool) {
    let dial = format!("[{name}='set hooked=yes']phone/bob");
    run(runs(&[("bridge", &dial)]), async |world| {
        let bob = world.phone("bob").answers_after(1);
        let alice = world.phone("alice").dial("1000");
        let call = bob.rung().await;
        world.seconds(3).await;
        alice.hang_up();
        world.ended(&call).await;
        assert_eq!(call.var("hooked") == "yes", fires);
    });
}

cases! { on_called:
    called_originate => ("execute_on_originate", true),
    called_ring => ("execute_on_ring", true),
    called_answer => ("execute_on_answer", true),
    called_media => ("execute_on_media", true),
    called_before_the_bridge => ("execute_on_pre_bridge", true),
    called_no_early_media => ("execute_on_pre_answer", false),
}

#[test]
fn a_command_runs_on_answer() {
    let actions =
        [("set", "api_on_answer=uuid_setvar ${uuid} hooked yes"), ("answer", ""), ("sleep", "100")];
    run(runs(&actions).silent(), async |world| {
        alone(world, &[]).await.check(&[("hooked", "yes")]);
    });
}

#[test]
fn a_command_runs_at_the_end() {
    let actions = [("set", "api_hangup_hook=global_setvar ended=${uuid}")];
    run(runs(&actions).silent(), async |world| {
        let told = alone(world, &[]).await;
        assert_eq!(world.switch.global("ended").as_deref(), Some(told.call.uuid()));
    });
}

#[test]
fn a_command_runs_when_the_call_is_reported() {
    let actions = [("set", "api_reporting_hook=global_setvar reported=yes")];
    run(runs(&actions).silent(), async |world| {
        let _told = alone(world, &[]).await;
        assert_eq!(world.switch.global("reported").as_deref(), Some("yes"));
    });
}

#[test]
fn a_hook_beside_the_dialplan_does_not_hold_it_up() {
    let actions = [
        ("set", "execute_on_answer=sleep::3000"),
        ("answer", ""),
        ("set", "after=yes"),
        ("park", ""),
    ];
    run(runs(&actions).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.settle().await;
        assert_eq!(call.var("after"), "yes");
    });
}
