//! `${…}` in a call: variables, fields, slices, commands.

use testkit::run;

use crate::{over, runs};

/// `text`, set into a variable by the dialplan, is `expected`.
fn expands(text: &str, expected: &str) {
    let actions = [
        ("hash", "insert/realm/key/kept"),
        ("push", "list=first"),
        ("push", "list=second"),
        ("set", &*format!("result={text}")),
    ];
    run(runs(&actions).global("planet", "Mars").silent(), async |world| {
        let call = world
            .phone("alice")
            .dialling("1000")
            .from("Alice", "1001")
            .var("name", "value")
            .var("empty", "")
            .var("number", "42")
            .var("nested", "<${name}>")
            .go();
        let told = over(world, call).await;
        assert_eq!(told.var("result"), expected, "{text}");
    });
}

cases! { expands:
    a_variable => ("${name}", "value"),
    a_variable_in_any_case => ("${NaMe}", "value"),
    a_variable_within_text => ("<${name}>", "<value>"),
    two_variables => ("${name}${number}", "value42"),
    a_variable_that_is_not_there => ("x${missing}y", "xy"),
    an_empty_variable => ("x${empty}y", "xy"),
    text_without_reference => ("plain", "plain"),
    a_dollar_alone => ("5$", "5$"),
    a_dollar_before_text => ("$5", "$5"),
    a_variable_in_a_variable => ("${nested}", "<value>"),
    a_global => ("${planet}", "Mars"),
    a_global_alone => ("$${planet}", "Mars"),
    a_double_dollar_finds_the_calls_variables_first => ("[$${name}]", "[value]"),
    the_first_three => ("${name:0:3}", "val"),
    all_but_the_first => ("${name:1}", "alue"),
    the_last_two => ("${name:-2}", "ue"),
    two_from_the_third_last => ("${name:-3:2}", "lu"),
    a_slice_past_the_end => ("[${name:9}]", "[]"),
    a_slice_longer_than_the_value => ("${name:2:99}", "lue"),
    a_slice_from_before_the_start => ("${name:-99}", "value"),
    the_callers_number => ("${caller_id_number}", "1001"),
    the_callers_name => ("${caller_id_name}", "Alice"),
    the_number_dialled => ("${destination_number}", "1000"),
    the_context => ("${context}", "default"),
    the_dialplan => ("${dialplan}", "XML"),
    the_source => ("${source}", "mod_phone"),
    the_address => ("${network_addr}", "192.0.2.1"),
    the_user => ("${username}", "alice"),
    the_channels_name => ("${chan_name}", "phone/alice"),
    the_direction => ("${direction}", "inbound"),
    the_profiles_index => ("${profile_index}", "1"),
    an_array_whole => ("${list}", "ARRAY::first|:second"),
    an_arrays_first => ("${list[0]}", "first"),
    an_arrays_second => ("${list[1]}", "second"),
    an_arrays_third_that_is_not_there => ("[${list[2]}]", "[]"),
    a_command => ("${toupper(abc)}", "ABC"),
    a_command_with_a_space => ("${toupper abc}", "ABC"),
    a_command_on_a_variable => ("${toupper(${name})}", "VALUE"),
    a_command_in_a_command => ("${tolower(${toupper(mIx)})}", "mix"),
    a_command_that_is_not_there => ("[${nosuch(1)}]", "[]"),
    a_condition_that_holds => ("${cond(1 == 1 ? yes : no)}", "yes"),
    a_condition_that_does_not => ("${cond(2 < 1 ? yes : no)}", "no"),
    a_condition_on_texts => ("${cond(${name} == value ? same : other)}", "same"),
    a_sum => ("${expr(40+2)}", "42"),
    a_pattern_that_matches => ("${regex(1001|^10..$)}", "true"),
    a_pattern_that_does_not => ("${regex(2001|^10..$)}", "false"),
    what_a_pattern_caught => ("${regex(1001|^10(..)$|%1)}", "01"),
    url_encoding => ("${url_encode(a b)}", "a%20b"),
    url_decoding => ("${url_decode(a%20b)}", "a b"),
    a_digest => ("${md5(abc)}", "900150983cd24fb0d6963f7d28e17f72"),
    an_echo => ("${echo(hi there)}", "hi there"),
    an_evaluation => ("${eval(${name})}", "value"),
    an_expanded_command => ("${expand(echo ${name})}", "value"),
    a_global_by_command => ("${global_getvar(planet)}", "Mars"),
    a_module_that_is_loaded => ("${module_exists(mod_dptools)}", "true"),
    a_module_that_is_not => ("${module_exists(mod_skinny)}", "false"),
    a_hash_entry => ("${hash(select/realm/key)}", "kept"),
    a_hash_entry_that_is_not_there => ("[${hash(select/realm/other)}]", "[]"),
    an_address_of_ones_own_network => ("${is_lan_addr(10.1.2.3)}", "true"),
    an_address_elsewhere => ("${is_lan_addr(198.51.100.1)}", "false"),
    a_user_that_is_not_there => ("${user_exists(id 1000 here)}", "false"),
    what_is_not_closed_goes_to_the_end => ("${name", "value"),
}

#[test]
fn a_command_that_waits_holds_up_its_own_call_only() {
    let actions = [("set", "slept=${msleep(3000)}"), ("set", "after=yes"), ("park", "")];
    run(runs(&actions).silent(), async |world| {
        let slow = world.phone("alice").dial("1000");
        world.settle().await;
        let quick = world.phone("bob").dial("2000");
        world.until("the other call is answered", || quick.channel.is_answered()).await;
        assert_eq!(slow.var("after"), "", "still waiting");
        world.seconds(4).await;
        assert_eq!(slow.var("after"), "yes");
    });
}

#[test]
fn a_command_that_waits_may_stand_in_a_condition() {
    let dialplan = r#"<extension name="waits">
      <condition field="${msleep(2000)}done" expression="done$"><action application="park"/></condition>
    </extension>"#;
    run(crate::with(dialplan).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(1).await;
        assert!(world.events_of(&call).applications().is_empty());
        world.seconds(2).await;
        assert_eq!(world.events_of(&call).applications(), ["park()"]);
    });
}

#[test]
fn a_call_that_ends_while_a_command_waits_ends_afterwards() {
    run(runs(&[("set", "slept=${msleep(3000)}"), ("set", "after=yes")]).silent(), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(1).await;
        call.channel.hangup(switch_core::call::Cause::NORMAL_CLEARING);
        let told = over(world, call).await;
        assert_eq!(told.var("after"), "");
        assert_eq!(
            told.events.names().iter().filter(|n| **n == "CHANNEL_HANGUP_COMPLETE").count(),
            1
        );
    });
}

#[test]
fn what_a_far_end_wrote_is_not_expanded() {
    run(runs(&[("set", "copy=${evil}")]).silent(), async |world| {
        let evil = base::far::mark("${toupper(x)}");
        let call = world.phone("alice").dialling("1000").var("evil", &evil).go();
        let told = over(world, call).await;
        assert_eq!(told.var("copy"), "${toupper(x)}");
    });
}
