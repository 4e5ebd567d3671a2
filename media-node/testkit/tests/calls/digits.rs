//! Keys that a caller presses: `read`, `play_and_get_digits`, what is done with them and what is sent.

use esl_server::event::EventName;
use testkit::run;

use crate::{alone, runs};

/// `read` with that argument while keys are pressed.
fn reads(argument: &str, keys: &[(u64, &'static str)], expected: &[(&str, &str)]) {
    run(runs(&[("answer", ""), ("read", argument)]), async |world| {
        alone(world, keys).await.check(expected);
    });
}

const SOUND: &str = "silence_stream://300";

cases! { reads:
    read_until_full => ("1 3 silence_stream://300 d 5000 #", &[(1000, "123")], &[("d", "123"), ("read_result", "success")]),
    read_until_the_terminator => ("1 5 silence_stream://300 d 5000 #", &[(1000, "12#")], &[("d", "12"), ("read_result", "success"), ("read_terminator_used", "#")]),
    read_with_another_terminator => ("1 5 silence_stream://300 d 5000 *", &[(1000, "1#*")], &[("d", "1#"), ("read_terminator_used", "*")]),
    read_nothing => ("1 3 silence_stream://300 d 2000 #", &[], &[("d", ""), ("read_result", "failure")]),
    read_too_few => ("3 5 silence_stream://300 d 2000 #", &[(1000, "12")], &[("d", "12"), ("read_result", "failure")]),
    read_enough_but_not_all => ("1 5 silence_stream://300 d 2000 #", &[(1000, "12")], &[("d", "12"), ("read_result", "timeout")]),
    read_with_a_shorter_time_between_keys => ("1 5 silence_stream://300 d 9000 # 1000", &[(1000, "1"), (3000, "2")], &[("d", "1")]),
    read_keys_pressed_before => ("1 2 silence_stream://5000 d 3000 #", &[(100, "78")], &[("d", "78"), ("read_result", "success")]),
    read_without_a_variable => ("1 2 silence_stream://300 \"\" 3000 #", &[(1000, "78")], &[("read_result", "success")]),
    read_none_ends_it => ("1 3 silence_stream://300 d 3000 none", &[(1000, "1#*")], &[("d", "1#*"), ("read_result", "success")]),
}

/// `play_and_get_digits` with that argument while keys are pressed.
fn gets(argument: &str, keys: &[(u64, &'static str)], expected: &[(&str, &str)]) {
    let argument = argument.replace("S", SOUND);
    run(runs(&[("answer", ""), ("play_and_get_digits", &argument)]), async |world| {
        alone(world, keys).await.check(expected);
    });
}

cases! { gets:
    digits_that_match => (r"2 4 1 3000 # S S d \d+", &[(1000, "123#")], &[("d", "123"), ("read_result", "success")]),
    digits_that_do_not_match => (r"2 4 1 3000 # S S d ^9", &[(1000, "123#")], &[("d", ""), ("d_invalid", "123")]),
    digits_that_match_at_the_second_try => (r"2 4 2 3000 # S S d ^9", &[(1000, "123#"), (4000, "99#")], &[("d", "99"), ("d_invalid", "123")]),
    too_few_digits => (r"3 4 1 2000 # S S d \d+", &[(1000, "1#")], &[("d", ""), ("read_result", "failure")]),
    no_digits_at_all => (r"1 4 2 2000 # S S d \d+", &[], &[("d", ""), ("read_result", "failure")]),
    any_digits_without_a_pattern => (r"1 1 1 3000 # S S d", &[(1000, "7")], &[("d", "7")]),
    a_kept_terminator => (r"1 4 1 3000 +* S S d .+", &[(1000, "12*")], &[("d", "12*"), ("read_terminator_used", "*")]),
    a_terminator_that_ends_all_tries => (r"1 4 3 3000 x0 S S d ^9", &[(1000, "10")], &[("d", ""), ("d_invalid", "10")]),
}

#[test]
fn failing_to_enter_digits_leads_elsewhere() {
    let argument = format!(r"2 4 1 2000 # {SOUND} {SOUND} d ^9 1000 '2000 XML default'");
    run(runs(&[("answer", ""), ("play_and_get_digits", &argument)]), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(6).await;
        assert_eq!(call.var("destination_number"), "2000");
    });
}

#[test]
fn each_digit_taken_is_told_once() {
    run(runs(&[("answer", ""), ("read", "1 3 silence_stream://300 d 5000 #")]), async |world| {
        let told = alone(world, &[(1000, "12#")]).await;
        let digits = told.events.named(EventName::Dtmf);
        assert_eq!(digits.headers("DTMF-Digit"), ["1", "2", "#"]);
        assert_eq!(digits.header("DTMF-Duration"), "2000");
        assert_eq!(digits.header("DTMF-Source"), "ENDPOINT");
        assert_eq!(told.var("digits_dialed"), "12#");
    });
}

#[test]
fn no_digit_leaves_none_dialed() {
    run(runs(&[("answer", "")]), async |world| {
        assert_eq!(alone(world, &[]).await.var("digits_dialed"), "none");
    });
}

/// What is sent to the phone.
fn sends(argument: &str, told: &[&str]) {
    run(runs(&[("answer", ""), ("send_dtmf", argument)]), async |world| {
        let outcome = alone(world, &[]).await;
        let sent: Vec<_> =
            outcome.call.told().into_iter().filter(|told| told.starts_with("digits")).collect();
        assert_eq!(sent, told);
    });
}

cases! { sends:
    digits_are_sent => ("123", &["digits 123"]),
    digits_with_a_length => ("12@500", &["digits 12"]),
    a_pause_between_digits => ("1w2", &["digits 1w2"]),
    what_is_no_digit_is_left_out => ("1x2", &["digits 12"]),
    nothing_is_sent => ("", &[]),
}

#[test]
fn blocked_keys_are_not_taken() {
    let actions =
        [("answer", ""), ("block_dtmf", ""), ("read", "1 2 silence_stream://300 d 3000 #")];
    run(runs(&actions), async |world| {
        let told = alone(world, &[(1000, "12")]).await;
        told.check(&[("d", ""), ("read_result", "failure")]);
        assert!(told.events.named(EventName::Dtmf).is_empty());
    });
}

#[test]
fn unblocked_keys_are_taken_again() {
    let actions = [
        ("answer", ""),
        ("block_dtmf", ""),
        ("unblock_dtmf", ""),
        ("read", "1 2 silence_stream://300 d 3000 #"),
    ];
    run(runs(&actions), async |world| {
        alone(world, &[(1000, "12")]).await.check(&[("d", "12")]);
    });
}

#[test]
fn queued_digits_are_read_and_flushed_ones_are_not() {
    let actions = [
        ("answer", ""),
        ("queue_dtmf", "55"),
        ("flush_dtmf", ""),
        ("queue_dtmf", "66"),
        ("read", "1 2 silence_stream://300 d 3000 #"),
    ];
    run(runs(&actions), async |world| {
        alone(world, &[]).await.check(&[("d", "66")]);
    });
}

#[test]
fn a_bound_key_runs_an_application() {
    let actions = [
        ("answer", ""),
        ("bind_digit_action", "menu,11,exec:set,pressed=yes"),
        ("digit_action_set_realm", "menu"),
        ("sleep", "6000"),
    ];
    run(runs(&actions), async |world| {
        alone(world, &[(1000, "11")]).await.check(&[("pressed", "yes")]);
    });
}

#[test]
fn digits_from_the_event_socket_are_as_if_pressed() {
    run(runs(&[("answer", ""), ("read", "1 2 silence_stream://300 d 9000 #")]), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(1).await;
        world.api(&format!("uuid_recv_dtmf {} 42", call.uuid())).await;
        let told = crate::over(world, call).await;
        told.check(&[("d", "42")]);
    });
}
