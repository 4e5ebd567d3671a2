//! Calls routed by `extensions.conf`.

#![allow(missing_docs, reason = "tests")]

use base::scratch::Scratch;
use switch_core::contract::Module;
use testkit::{Setup, World, run};

const MODULES: &[&[&dyn Module]] =
    &[mod_dptools::MODULES, mod_commands::MODULES, &[&mod_dialplan_asterisk::MODULE]];

const FILE: &str = "\
[office]
exten => _1XXX,1,Set(number=${EXTEN})
exten => 5551000/4242,1,set(caller=known)
exten => 4242,1,set(seen=${seen}plain)
exten => ~^4(\\d)(\\d+)$,1,set(groups=$2-$1)
network_addr => 192.0.2.99,1,set(seen=never)
${colour} => red,1,set(seen=${seen}-red)
exten => 4242,n,hangup(USER_BUSY)
exten => 77,1,Goto(office|4242)
exten => 88,1,Dial(phone/carol&phone/dave|5)
exten => 89,1,Dial(phone/carol)
exten => 89,2,hangup(CALL_REJECTED)
exten => 90,1,bridge(SIP/someone)
";

/// alice (5551000) calls a number; what her call has set when it has ended.
fn call(number: &'static str, look: impl Fn(&World, &testkit::Call)) {
    let folder = Scratch::new("asterisk");
    let file = folder.path().join("extensions.conf");
    std::fs::write(&file, FILE).unwrap();
    run(Setup::new(MODULES).silent(), async |world| {
        world.phone("carol").only_rings();
        world.phone("dave").answers_after(2);
        let call = world
            .phone("alice")
            .dialling(number)
            .context("office")
            .dialplan(&format!("asterisk:{}", file.display()))
            .from("Alice", "5551000")
            .var("colour", "red")
            .go();
        world.seconds(4).await;
        look(world, &call);
        call.hang_up();
        world.ended(&call).await;
    });
}

#[test]
fn asterisk_s_notation_matches_and_the_number_is_a_variable() {
    call("1234", |_, call| {
        assert_eq!(call.var("number"), "1234");
        assert_eq!(call.var("UNIQUEID"), call.uuid());
        assert_eq!(call.cause().map(|cause| cause.name()), Some("NORMAL_CLEARING"));
    });
}

#[test]
fn every_line_that_matches_runs_in_order() {
    call("4242", |_, call| {
        assert_eq!(call.var("caller"), "known");
        assert_eq!(call.var("groups"), "42-2");
        assert_eq!(call.var("seen"), "plain-red");
        assert_eq!(call.cause().map(|cause| cause.name()), Some("USER_BUSY"));
    });
}

#[test]
fn a_line_for_one_caller_only() {
    let folder = Scratch::new("asterisk");
    let file = folder.path().join("other.conf");
    std::fs::write(
        &file,
        "[default]\nexten => 1000/9,1,set(who=other)\nexten => 5551000/9,1,set(who=alice)\n",
    )
    .unwrap();
    run(Setup::new(MODULES).silent(), async |world| {
        let plan = format!("asterisk:{}", file.display());
        let call = world.phone("alice").dialling("9").dialplan(&plan).from("Alice", "5551000").go();
        world.seconds(1).await;
        assert_eq!(call.var("who"), "alice");
        world.ended(&call).await;
    });
}

#[test]
fn dial_calls_all_and_insists_on_a_time() {
    call("88", |_, call| {
        assert_eq!(call.var("call_timeout"), "5");
        assert!(call.is_bridged());
    });
    call("89", |_, call| assert_eq!(call.cause().map(|cause| cause.name()), Some("CALL_REJECTED")));
}

#[test]
fn without_mod_sofia_sip_has_no_way_out() {
    call("90", |_, call| assert_eq!(call.var("originate_disposition"), "CHAN_NOT_IMPLEMENTED"));
}

#[test]
fn a_file_that_is_not_there_ends_the_call() {
    run(Setup::new(MODULES).silent(), async |world| {
        let call =
            world.phone("alice").dialling("1").dialplan("asterisk:/nowhere/extensions.conf").go();
        world.ended(&call).await;
        assert_eq!(call.cause().map(|cause| cause.name()), Some("DESTINATION_OUT_OF_ORDER"));
    });
}
