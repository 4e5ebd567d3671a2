//! `originate`: legs made by a command.

use switch_core::call::Cause;
use testkit::{Act, run};

use crate::runs;

/// A leg that answers is given to the dialplan; the reply names it.
fn originates(line: &str, variables: &[(&str, &str)]) {
    run(runs(&[("set", "ran=yes"), ("park", "")]).silent(), async |world| {
        let bob = world.phone("bob").answers();
        let reply = world.api(&format!("originate {line}")).await;
        let call = bob.rung().await;
        assert_eq!(reply, format!("+OK {}\n", call.uuid()));
        world.settle().await;
        for (name, value) in variables {
            assert_eq!(call.var(name), *value, "{name}");
        }
    });
}

cases! { originates:
    to_an_extension => ("phone/bob 1000", &[("ran", "yes"), ("destination_number", "1000"), ("context", "default"), ("dialplan", "XML")]),
    to_an_application => ("phone/bob &park()", &[("current_application", "park"), ("ran", "")]),
    to_an_application_with_an_argument => ("phone/bob &set(ran=maybe)", &[("ran", "maybe")]),
    to_an_application_without_brackets => ("phone/bob &park", &[("current_application", "park")]),
    with_a_caller_id => ("phone/bob 1000 XML default Desk 555", &[("pre_transfer_caller_id_name", "Desk"), ("pre_transfer_caller_id_number", "555")]),
    with_a_caller_id_in_the_string => ("{origination_caller_id_name=Desk,origination_caller_id_number=555}phone/bob &park()", &[("pre_transfer_caller_id_name", "Desk"), ("pre_transfer_caller_id_number", "555")]),
    with_undefined_arguments => ("phone/bob 1000 undef undef", &[("ran", "yes")]),
    with_variables_for_all => ("{color=red}phone/bob &park()", &[("color", "red")]),
    with_variables_for_the_leg => ("[color=red]phone/bob &park()", &[("color", "red")]),
    with_variables_of_both_the_legs_win => ("{color=red}[color=blue]phone/bob &park()", &[("color", "red")]),
    with_a_value_in_quotes => ("{color='light red'}phone/bob &park()", &[("color", "light red")]),
    with_a_comma_in_a_value => (r"{color=red\,blue}phone/bob &park()", &[("color", "red,blue")]),
    is_outbound => ("phone/bob &park()", &[("direction", "outbound"), ("is_outbound", "true")]),
    names_its_endpoint => ("phone/bob &park()", &[("originate_endpoint", "phone")]),
    inline => ("phone/bob 'set:ran=inline,park:' inline", &[("ran", "inline")]),
}

/// A leg that fails: the reply.
fn fails(line: &str, script: &[Act], reply: &str) {
    run(runs(&[("park", "")]).silent(), async |world| {
        world.phone("bob").does(script);
        assert_eq!(world.api(&format!("originate {line}")).await, reply);
    });
}

cases! { fails:
    a_refusal_is_the_reply => ("phone/bob 1000", &[Act::HangUp(Cause::USER_BUSY)], "-ERR USER_BUSY\n"),
    a_rejection_is_the_reply => ("phone/bob 1000", &[Act::HangUp(Cause::CALL_REJECTED)], "-ERR CALL_REJECTED\n"),
    no_answer_in_the_time_given => ("phone/bob 1000 XML default Name 1 5", &[Act::Ring], "-ERR NO_ANSWER\n"),
    no_answer_in_the_time_of_the_string => ("{originate_timeout=3}phone/bob 1000", &[Act::Ring], "-ERR NO_ANSWER\n"),
    an_endpoint_that_is_not_there => ("nonsense/bob 1000", &[], "-ERR CHAN_NOT_IMPLEMENTED\n"),
    an_error_endpoint => ("error/USER_BUSY 1000", &[], "-ERR USER_BUSY\n"),
    a_user_that_is_not_there => ("user/nobody 1000", &[], "-ERR SUBSCRIBER_ABSENT\n"),
    nothing_to_call => ("phone/bob", &[], "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>] [<cid_name>] [<cid_num>] [<timeout_sec>]\n"),
}

#[test]
fn early_media_is_enough() {
    run(runs(&[("park", "")]).silent(), async |world| {
        let bob = world.phone("bob").does(&[Act::Early]);
        let reply = world.api("originate phone/bob &park()").await;
        assert!(reply.starts_with("+OK"), "{reply}");
        let call = bob.rung().await;
        assert!(!call.channel.is_answered());
    });
}

#[test]
fn early_media_is_not_enough_when_ignored() {
    run(runs(&[("park", "")]).silent(), async |world| {
        world.phone("bob").does(&[Act::Early]);
        let reply = world
            .api("originate {ignore_early_media=true,originate_timeout=4}phone/bob &park()")
            .await;
        assert_eq!(reply, "-ERR NO_ANSWER\n");
    });
}

#[test]
fn a_leg_has_the_uuid_it_was_given() {
    run(runs(&[("park", "")]).silent(), async |world| {
        world.phone("bob").answers();
        let reply = world.api("originate {origination_uuid=my-own-id}phone/bob &park()").await;
        assert_eq!(reply, "+OK my-own-id\n");
        assert!(world.switch.channel("my-own-id").is_some());
    });
}

#[test]
fn a_taken_uuid_is_not_given_twice() {
    run(runs(&[("park", "")]).silent(), async |world| {
        world.phone("bob").answers();
        world.api("originate {origination_uuid=my-own-id}phone/bob &park()").await;
        let reply = world.api("originate {origination_uuid=my-own-id}phone/bob &park()").await;
        assert!(reply.starts_with("+OK ") && reply != "+OK my-own-id\n", "{reply}");
    });
}

#[test]
fn two_legs_are_bridged_by_command() {
    run(runs(&[]), async |world| {
        world.phone("bob").answers();
        world.phone("carol").answers();
        let reply = world.api("originate phone/bob &bridge(phone/carol)").await;
        assert!(reply.starts_with("+OK"));
        world
            .until("they talk", || {
                world.channels().iter().filter(|leg| leg.partner().is_some()).count() == 2
            })
            .await;
        world.settle().await;
        let heard = world.listen().await;
        assert_eq!((heard.of("bob"), heard.of("carol")), (vec!["carol"], vec!["bob"]));
    });
}

#[test]
fn a_paused_switch_calls_nobody() {
    run(runs(&[]).silent(), async |world| {
        world.phone("bob").answers();
        world.api("fsctl pause outbound").await;
        assert_eq!(
            world.api("originate phone/bob &park()").await,
            "-ERR DESTINATION_OUT_OF_ORDER\n"
        );
    });
}

#[test]
fn a_leg_is_dropped_when_its_number_does_not_exist() {
    run(runs(&[]).silent(), async |world| {
        let bob = world.phone("bob").answers();
        world.api("originate phone/bob 7777").await;
        let call = bob.rung().await;
        world.ended(&call).await;
        assert_eq!(call.cause(), Some(Cause::NO_ROUTE_DESTINATION));
    });
}
