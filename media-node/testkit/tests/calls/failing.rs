//! A bridge that does not come about: what the caller is left with, and where it goes.

use switch_core::call::Cause;
use testkit::run;

use crate::{alone, runs};

/// bob refuses with a cause. `goes_on`: the caller's dialplan continues.
fn refused(cause: Cause, status: &str, goes_on: bool) {
    run(runs(&[("bridge", "phone/bob"), ("set", "after=yes")]).silent(), async |world| {
        world.phone("bob").refuses(cause);
        let told = alone(world, &[]).await;
        told.check(&[
            ("originate_disposition", cause.name()),
            ("originate_failed_cause", cause.name()),
            ("DIALSTATUS", status),
            ("after", if goes_on { "yes" } else { "" }),
        ]);
        let expected = if goes_on { "NORMAL_CLEARING" } else { cause.name() };
        assert_eq!(told.cause(), expected);
        let causes = told.var("originate_causes");
        assert!(causes.ends_with(&format!(";{}", cause.name())), "{causes}");
    });
}

cases! { refused:
    busy => (Cause::USER_BUSY, "BUSY", false),
    no_answer_goes_on => (Cause::NO_ANSWER, "NOANSWER", true),
    no_response_goes_on => (Cause::NO_USER_RESPONSE, "NO_USER_RESPONSE", true),
    rejected => (Cause::CALL_REJECTED, "DONTCALL", false),
    out_of_order => (Cause::DESTINATION_OUT_OF_ORDER, "INVALIDARGS", false),
    invalid_profile => (Cause::INVALID_PROFILE, "INVALIDARGS", false),
    unallocated => (Cause::UNALLOCATED_NUMBER, "UNALLOCATED_NUMBER", false),
    no_route => (Cause::NO_ROUTE_DESTINATION, "NO_ROUTE_DESTINATION", false),
    absent => (Cause::SUBSCRIBER_ABSENT, "SUBSCRIBER_ABSENT", false),
    changed => (Cause::NUMBER_CHANGED, "NUMBER_CHANGED", false),
    network => (Cause::NETWORK_OUT_OF_ORDER, "NETWORK_OUT_OF_ORDER", false),
    temporary => (Cause::NORMAL_TEMPORARY_FAILURE, "NORMAL_TEMPORARY_FAILURE", false),
    congestion => (Cause::SWITCH_CONGESTION, "SWITCH_CONGESTION", false),
    incompatible => (Cause::INCOMPATIBLE_DESTINATION, "INCOMPATIBLE_DESTINATION", false),
    facility => (Cause::FACILITY_REJECTED, "FACILITY_REJECTED", false),
    not_implemented => (Cause::FACILITY_NOT_IMPLEMENTED, "FACILITY_NOT_IMPLEMENTED", false),
    format => (Cause::INVALID_NUMBER_FORMAT, "INVALID_NUMBER_FORMAT", false),
    unspecified => (Cause::NORMAL_UNSPECIFIED, "NORMAL_UNSPECIFIED", false),
    timer => (Cause::RECOVERY_ON_TIMER_EXPIRE, "RECOVERY_ON_TIMER_EXPIRE", false),
    bearer => (Cause::BEARERCAPABILITY_NOTAVAIL, "BEARERCAPABILITY_NOTAVAIL", false),
    interworking => (Cause::INTERWORKING, "INTERWORKING", false),
    unregistered => (Cause::USER_NOT_REGISTERED, "USER_NOT_REGISTERED", false),
    gateway_down => (Cause::GATEWAY_DOWN, "GATEWAY_DOWN", false),
    exchange_routing => (Cause::EXCHANGE_ROUTING_ERROR, "EXCHANGE_ROUTING_ERROR", false),
    picked_off => (Cause::PICKED_OFF, "PICKED_OFF", false),
    allotted => (Cause::ALLOTTED_TIMEOUT, "ALLOTTED_TIMEOUT", false),
    normal_clearing => (Cause::NORMAL_CLEARING, "NORMAL_CLEARING", false),
    cancelled_goes_on => (Cause::ORIGINATOR_CANCEL, "CANCEL", true),
}

/// With that variable, bob's refusal lets the dialplan go on, or not.
fn rule(variable: &str, value: &str, cause: Cause, goes_on: bool) {
    let set = format!("{variable}={value}");
    let actions = [("set", &*set), ("bridge", "phone/bob"), ("set", "after=yes")];
    run(runs(&actions).silent(), async |world| {
        world.phone("bob").refuses(cause);
        let told = alone(world, &[]).await;
        assert_eq!(told.var("after") == "yes", goes_on, "{:?}", told.events);
        assert_eq!(told.cause(), if goes_on { "NORMAL_CLEARING" } else { cause.name() });
    });
}

cases! { rule:
    continue_on_fail_true => ("continue_on_fail", "true", Cause::USER_BUSY, true),
    continue_on_fail_one => ("continue_on_fail", "1", Cause::USER_BUSY, true),
    continue_on_fail_false => ("continue_on_fail", "false", Cause::USER_BUSY, false),
    continue_on_fail_false_overrules_no_answer => ("continue_on_fail", "false", Cause::NO_ANSWER, false),
    continue_on_fail_by_name => ("continue_on_fail", "USER_BUSY", Cause::USER_BUSY, true),
    continue_on_fail_by_name_in_any_case => ("continue_on_fail", "user_busy", Cause::USER_BUSY, true),
    continue_on_fail_by_another_name => ("continue_on_fail", "NO_ANSWER", Cause::USER_BUSY, false),
    continue_on_fail_by_one_of_several => ("continue_on_fail", "NO_ANSWER,USER_BUSY", Cause::USER_BUSY, true),
    continue_on_fail_by_number => ("continue_on_fail", "17", Cause::USER_BUSY, true),
    continue_on_fail_by_another_number => ("continue_on_fail", "18", Cause::USER_BUSY, false),
    continue_on_fail_by_numbers => ("continue_on_fail", "18,17", Cause::USER_BUSY, true),
    continue_on_fail_yes => ("continue_on_fail", "yes", Cause::CALL_REJECTED, true),
    failure_causes_with_the_cause => ("failure_causes", "USER_BUSY", Cause::USER_BUSY, false),
    failure_causes_without_it => ("failure_causes", "CALL_REJECTED", Cause::USER_BUSY, true),
    failure_causes_by_number => ("failure_causes", "17", Cause::USER_BUSY, false),
    failure_causes_with_no_answer => ("failure_causes", "NO_ANSWER", Cause::NO_ANSWER, false),
    transfer_on_fail_true => ("transfer_on_fail", "true", Cause::USER_BUSY, true),
    transfer_on_fail_for_another_cause => ("transfer_on_fail", "NO_ANSWER 2000", Cause::USER_BUSY, false),
}

/// `transfer_on_fail` sends the caller elsewhere.
fn sent_elsewhere(value: &str, to: &str) {
    let set = format!("transfer_on_fail={value}");
    run(runs(&[("set", &set), ("bridge", "phone/bob")]).silent(), async |world| {
        world.phone("bob").refuses(Cause::USER_BUSY);
        let alice = world.phone("alice").dial("1000");
        world.settle().await;
        assert_eq!(alice.var("destination_number"), to);
    });
}

cases! { sent_elsewhere:
    transfer_on_fail_names_an_extension => ("USER_BUSY 2000", "2000"),
    transfer_on_fail_by_number => ("17 2000", "2000"),
    transfer_on_fail_one_of_several => ("NO_ANSWER,USER_BUSY 2000 XML default", "2000"),
    transfer_on_fail_to_the_cause => ("USER_BUSY auto_cause", "USER_BUSY"),
    transfer_on_fail_without_extension => ("USER_BUSY", "USER_BUSY"),
}

#[test]
fn a_caller_that_leaves_cancels_the_leg_it_dialled() {
    run(runs(&[("bridge", "phone/bob")]).silent(), async |world| {
        let bob = world.phone("bob").only_rings();
        let alice = world.phone("alice").dial("1000");
        let call = bob.rung().await;
        world.until("alice is told that it rings", || alice.was_told("ringing")).await;
        alice.hang_up();
        world.ended(&alice).await;
        world.ended(&call).await;
        assert_eq!(call.cause(), Some(Cause::ORIGINATOR_CANCEL));
        assert_eq!(call.told(), ["hangup ORIGINATOR_CANCEL"]);
        assert_eq!(alice.var("originate_disposition"), "ORIGINATOR_CANCEL");
        assert_eq!(alice.var("DIALSTATUS"), "CANCEL");
    });
}

#[test]
fn nobody_answers_within_the_time() {
    run(runs(&[("set", "call_timeout=7"), ("bridge", "phone/bob")]).silent(), async |world| {
        let bob = world.phone("bob").only_rings();
        let begun = tokio::time::Instant::now();
        let alice = world.phone("alice").dial("1000");
        let call = bob.rung().await;
        world.ended(&call).await;
        assert_eq!(begun.elapsed().as_secs(), 7);
        assert_eq!(call.cause(), Some(Cause::NO_ANSWER));
        world.ended(&alice).await;
        assert_eq!(alice.var("originate_disposition"), "NO_ANSWER");
    });
}

#[test]
fn without_a_time_a_minute_is_waited() {
    run(runs(&[("bridge", "phone/bob")]).silent(), async |world| {
        let bob = world.phone("bob").only_rings();
        let begun = tokio::time::Instant::now();
        let _alice = world.phone("alice").dial("1000");
        let call = bob.rung().await;
        world.ended(&call).await;
        assert_eq!(begun.elapsed().as_secs(), 60);
    });
}
