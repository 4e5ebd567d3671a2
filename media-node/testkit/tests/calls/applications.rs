//! Small applications: variables, control, information.

use esl_server::event::EventName;
use testkit::run;

use crate::{alone, runs};

/// After these applications the variables are so.
fn leaves(actions: &[(&str, &str)], expected: &[(&str, &str)]) {
    run(runs(actions).silent(), async |world| {
        alone(world, &[]).await.check(expected);
    });
}

cases! { leaves:
    set_a_variable => (&[("set", "a=1")], &[("a", "1")]),
    set_with_a_comma => (&[("set", "a,1")], &[("a", "1")]),
    set_keeps_further_equal_signs => (&[("set", "a=b=c")], &[("a", "b=c")]),
    set_nothing_deletes => (&[("set", "a=1"), ("set", "a=")], &[("a", "")]),
    set_again_replaces => (&[("set", "a=1"), ("set", "a=2")], &[("a", "2")]),
    unset_deletes => (&[("set", "a=1"), ("unset", "a")], &[("a", "")]),
    multiset_sets_several => (&[("multiset", "a=1 b=2")], &[("a", "1"), ("b", "2")]),
    multiset_with_another_delimiter => (&[("multiset", "^^;a=1 1;b=2")], &[("a", "1 1"), ("b", "2")]),
    multiunset_deletes_several => (&[("multiset", "a=1 b=2 c=3"), ("multiunset", "a b")], &[("a", ""), ("b", ""), ("c", "3")]),
    push_makes_an_array => (&[("push", "a=1"), ("push", "a=2")], &[("a", "ARRAY::1|:2")]),
    push_of_one_is_plain => (&[("push", "a=1")], &[("a", "1")]),
    unshift_puts_in_front => (&[("push", "a=1"), ("unshift", "a=2")], &[("a", "ARRAY::2|:1")]),
    export_lists_names => (&[("export", "a=1"), ("export", "b=2")], &[("export_vars", "a,b"), ("a", "1")]),
    set_profile_field => (&[("set_profile_var", "caller_id_name=New")], &[("caller_id_name", "New")]),
    set_profile_field_number => (&[("set_profile_var", "caller_id_number=77")], &[("caller_id_number", "77")]),
    capture_groups => (&[("capture", "got|abc-123|([a-z]+)-([0-9]+)")], &[("got", "ARRAY::abc-123|:abc|:123")]),
    scope_variables_end_with_the_application => (&[("set", "%[inner=5]a=${inner}"), ("set", "b=<${inner}>")], &[("b", "<>")]),
    the_application_that_runs => (&[("log", "INFO x"), ("set", "a=${current_application}")], &[("a", "log")]),
    eval_does_nothing => (&[("eval", "${a}"), ("set", "b=1")], &[("b", "1")]),
    log_goes_on => (&[("log", "INFO text"), ("set", "b=1")], &[("b", "1")]),
    sleep_goes_on => (&[("sleep", "100"), ("set", "b=1")], &[("b", "1")]),
    execute_extension_comes_back => (&[("execute_extension", "5000"), ("set", "b=1")], &[("b", "1")]),
    stop_does_nothing => (&[("stop", ""), ("set", "b=1")], &[("b", "1")]),
    transfer_vars_are_lost => (&[("privacy", "full")], &[]),
    hash_keeps_values => (&[("hash", "insert/r/k/v"), ("set", "a=${hash(select/r/k)}")], &[("a", "v")]),
    hash_deletes_values => (&[("hash", "insert/r/k/v"), ("hash", "delete/r/k"), ("set", "a=${hash(select/r/k)}")], &[("a", "")]),
    limit_counts => (&[("limit", "hash realm id 5"), ("set", "a=${limit_usage(hash realm id)}")], &[("a", "1")]),
    wait_for_answer_is_over_at_once_when_answered => (&[("answer", ""), ("wait_for_answer", ""), ("set", "b=1")], &[("b", "1")]),
    check_acl_lets_loopback_pass => (&[("check_acl", "192.0.2.1 any_v4.auto"), ("set", "b=1")], &[("b", "1")]),
    media_is_to_pass_through_the_switch_after_all => (&[("set", "bypass_media=true"), ("set", "proxy_media=true"), ("media_reset", "")], &[("bypass_media", ""), ("proxy_media", "")]),
    media_that_flows_is_not_reset => (&[("answer", ""), ("set", "bypass_media=true"), ("media_reset", "")], &[("bypass_media", "true")]),
    what_has_nothing_to_do_lets_the_call_go_on => (&[("answer", ""), ("cng_plc", ""), ("novideo", ""), ("video_write_overlay", "x.png"), ("unloop", ""), ("set", "on=yes")], &[("on", "yes")]),
    the_call_record_names_the_last_application => (&[("log", "INFO last words")], &[("last_app", "log"), ("last_arg", "INFO last words")]),
}

#[test]
fn each_application_is_told_before_and_after() {
    run(runs(&[("set", "a=1"), ("log", "INFO two")]).silent(), async |world| {
        let told = alone(world, &[]).await;
        assert_eq!(told.applications(), ["set(a=1)", "log(INFO two)"]);
        let before = told.events.named(EventName::ChannelExecute).headers("Application-UUID");
        let after =
            told.events.named(EventName::ChannelExecuteComplete).headers("Application-UUID");
        assert_eq!(before, after);
        assert_eq!(before.len(), 2);
        assert_ne!(before[0], before[1]);
    });
}

#[test]
fn an_application_has_the_name_it_was_given() {
    let actions = [("set", "app_uuid=my-id"), ("log", "INFO x"), ("log", "INFO y")];
    run(runs(&actions).silent(), async |world| {
        let told = alone(world, &[]).await;
        let ids = told.events.named(EventName::ChannelExecute).headers("Application-UUID");
        assert_eq!(ids[1], "my-id");
        assert_ne!(ids[2], "my-id");
    });
}

#[test]
fn a_full_limit_ends_the_call() {
    run(runs(&[("limit", "hash realm id 1"), ("park", "")]).silent(), async |world| {
        let _first = world.phone("alice").dial("1000");
        world.settle().await;
        let second = world.phone("bob").dial("1000");
        world.settle().await;
        assert!(second.cause().is_some() || second.var("destination_number") == "limit_exceeded");
    });
}

#[test]
fn an_event_may_be_fired_by_the_dialplan() {
    let actions = [("event", "Event-Name=CUSTOM,Event-Subclass=my::event,color=red")];
    run(runs(&actions).silent(), async |world| {
        let _told = alone(world, &[]).await;
        let fired = world.events().custom("my::event");
        assert_eq!((fired.len(), fired.header("color")), (1, "red".to_owned()));
    });
}

/// A command sent to a call, and what it replies.
fn command(line: &str, reply: &str) {
    run(runs(&[("answer", ""), ("park", "")]).silent(), async |world| {
        let call = world.phone("alice").dialling("1000").var("color", "red").go();
        world.settle().await;
        let line = line.replace("UUID", call.uuid());
        assert_eq!(world.api(&line).await, reply, "{line}");
    });
}

cases! { command:
    uuid_exists => ("uuid_exists UUID", "true"),
    uuid_exists_not => ("uuid_exists none", "false"),
    uuid_getvar => ("uuid_getvar UUID color", "red"),
    uuid_getvar_not_set => ("uuid_getvar UUID nothing", "_undef_"),
    uuid_getvar_of_no_call => ("uuid_getvar none color", "-ERR No such channel!\n"),
    uuid_setvar => ("uuid_setvar UUID color blue", "+OK\n"),
    uuid_kill_of_no_call => ("uuid_kill none", "-ERR No such channel!\n"),
    uuid_kill => ("uuid_kill UUID", "+OK\n"),
    uuid_transfer_of_no_call => ("uuid_transfer none 1000", "-ERR No such channel!\n"),
    uuid_bridge_with_itself => ("uuid_bridge UUID UUID", "-ERR Invalid uuid\n"),
    uuid_bridge_with_nothing => ("uuid_bridge UUID none", "-ERR Invalid uuid\n"),
    uuid_park_of_no_call => ("uuid_park none", "-ERR No such channel!\n"),
    uuid_break_of_no_call => ("uuid_break none", "-ERR No such channel!\n"),
    uuid_broadcast_of_no_call => ("uuid_broadcast none x", "-ERR invalid uuid\n"),
    uuid_answer_of_no_call => ("uuid_answer none", "-ERROR\n"),
    show_channels_count => ("show channels count", "\n1 total.\n"),
    eval_of_a_call => ("eval uuid:UUID ${variable_color}", "red"),
    uuid_outgoing_answer_of_an_inbound_call => ("uuid_outgoing_answer UUID", "-ERR Not an outbound channel!\n"),
}

#[test]
fn why_tells_the_lines_a_call_comes_from() {
    let dialplan = "\n<extension name=\"first\">\n  <condition field=\"destination_number\" expression=\"^1000$\">\n    \
                    <action application=\"transfer\" data=\"2000 XML default\"/>\n  </condition>\n</extension>\n\
                    <extension name=\"second\">\n  <condition>\n    <action application=\"park\"/>\n    \
                    <action application=\"hangup\"/>\n  </condition>\n</extension>";
    run(crate::with(dialplan).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.settle().await;
        let told = world.api(&format!("why {}", call.uuid())).await;
        let lines: Vec<_> = told.lines().map(str::trim).collect();
        assert_eq!(lines[0], "phone/alice in CS_EXECUTE");
        assert_eq!(lines[1], "runs park()");
        // The dialplan begins at line 8 of the simulated document.
        let place = |line: &str| {
            let (what, place) = line.rsplit_once(' ').unwrap_or_default();
            let (_, place) = place.split_once("simulation.xml:").unwrap_or_default();
            let line = place.split(':').next().and_then(|line| line.parse::<u32>().ok());
            (what.trim().to_owned(), line.unwrap_or(0))
        };
        let (action, condition) = (place(lines[2]), place(lines[3]));
        assert_eq!((action.0.as_str(), condition.0.as_str()), ("action", "condition"));
        assert_eq!(action.1, condition.1 + 1);
        assert_eq!(lines[4], "next hangup()");
        assert_eq!(place(lines[5]).1, action.1 + 1);
        assert_eq!(lines[7], "2: 2000 in context default (XML): extension second");
        assert_eq!(place(lines[8]), ("begins at".to_owned(), action.1));
        assert!(lines[9].starts_with("came by") && lines[9].ends_with(":bl_xfer:2000/default/XML"));
        assert_eq!(lines[10], "1: 1000 in context default (XML): extension first");
        assert_eq!(place(lines[11]).1, action.1 - 5);
    });
}

#[test]
fn why_of_no_call() {
    run(runs(&[]).silent(), async |world| {
        assert_eq!(world.api("why none").await, "-ERR No such channel!\n");
    });
}
