//! What happens to a call at a time of its own.

use switch_core::call::Cause;
use testkit::run;

use crate::{over, runs};

#[test]
fn a_call_ends_at_its_time() {
    run(runs(&[("sched_hangup", "+5 USER_BUSY"), ("park", "")]).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(3).await;
        assert!(call.channel.is_up());
        world.seconds(4).await;
        assert_eq!(call.cause(), Some(Cause::USER_BUSY));
    });
}

#[test]
fn a_call_is_transferred_at_its_time() {
    run(runs(&[("sched_transfer", "+5 2000 XML default"), ("park", "")]).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(3).await;
        assert_eq!(call.var("destination_number"), "1000");
        world.seconds(4).await;
        assert_eq!(call.var("destination_number"), "2000");
    });
}

#[test]
fn an_application_runs_at_its_time() {
    run(runs(&[("sched_broadcast", "+5 set::color=red"), ("park", "")]).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(3).await;
        assert_eq!(call.var("color"), "");
        world.seconds(4).await;
        assert_eq!(call.var("color"), "red");
    });
}

#[test]
fn a_job_of_a_call_may_be_cancelled() {
    let actions = [("sched_hangup", "+5 USER_BUSY"), ("sched_cancel", ""), ("park", "")];
    run(runs(&actions).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(10).await;
        assert!(call.channel.is_up());
    });
}

#[test]
fn a_job_ends_with_its_call() {
    run(runs(&[("sched_hangup", "+50"), ("sleep", "1000")]).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        let told = over(world, call).await;
        assert_eq!(told.cause(), "NORMAL_CLEARING");
        assert_eq!(world.api("show tasks count").await, "\n0 total.\n");
    });
}

#[test]
fn a_command_ends_a_call_at_a_time() {
    run(runs(&[("park", "")]).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.settle().await;
        world.api(&format!("sched_hangup +5 {} CALL_REJECTED", call.uuid())).await;
        world.seconds(7).await;
        assert_eq!(call.cause(), Some(Cause::CALL_REJECTED));
    });
}

#[test]
fn a_heartbeat_is_told_for_a_call_that_wants_one() {
    run(
        runs(&[("enable_heartbeat", "10"), ("answer", ""), ("park", "")]).silent(),
        async |world| {
            let call = world.phone("alice").dial("1000");
            world.seconds(35).await;
            let beats =
                world.events_of(&call).named(esl_server::event::EventName::SessionHeartbeat);
            assert!((3..=4).contains(&beats.len()), "{}", beats.len());
        },
    );
}
