//! From a number to the applications: contexts, conditions, inline actions, dialplans.

use testkit::run;

use crate::{Told, over, with};

/// A caller of 1234 in a context meets that dialplan; the applications that run.
fn routes(dialplan: &str, applications: &[&str]) {
    run(with(dialplan).silent(), async |world| {
        let call =
            world.phone("alice").dialling("1234").from("Alice", "1001").var("tier", "gold").go();
        let told: Told = over(world, call).await;
        assert_eq!(told.applications(), applications, "{:?}", told.events);
    });
}

cases! { routes:
    an_extension_that_matches => (
        r#"<extension name="a"><condition field="destination_number" expression="^1234$"><action application="log" data="INFO a"/></condition></extension>"#,
        &["log(INFO a)"],
    ),
    the_first_that_matches_only => (
        r#"<extension name="a"><condition><action application="log" data="INFO a"/></condition></extension>
           <extension name="b"><condition><action application="log" data="INFO b"/></condition></extension>"#,
        &["log(INFO a)"],
    ),
    more_than_one_with_continue => (
        r#"<extension name="a" continue="true"><condition><action application="log" data="INFO a"/></condition></extension>
           <extension name="b"><condition><action application="log" data="INFO b"/></condition></extension>"#,
        &["log(INFO a)", "log(INFO b)"],
    ),
    what_was_matched_is_used => (
        r#"<extension name="a"><condition field="destination_number" expression="^(\d\d)(\d\d)$"><action application="log" data="INFO $2-$1"/></condition></extension>"#,
        &["log(INFO 34-12)"],
    ),
    two_conditions_must_hold => (
        r#"<extension name="a"><condition field="destination_number" expression="^1234$"/>
             <condition field="caller_id_number" expression="^2"><action application="log" data="INFO a"/></condition></extension>
           <extension name="b"><condition><action application="log" data="INFO b"/></condition></extension>"#,
        &["log(INFO b)"],
    ),
    an_anti_action => (
        r#"<extension name="a"><condition field="destination_number" expression="^9"><action application="log" data="INFO yes"/><anti-action application="log" data="INFO no"/></condition></extension>"#,
        &["log(INFO no)"],
    ),
    a_condition_on_a_variable => (
        r#"<extension name="a"><condition field="${tier}" expression="^gold$"><action application="log" data="INFO gold"/></condition></extension>"#,
        &["log(INFO gold)"],
    ),
    a_condition_on_a_command => (
        r#"<extension name="a"><condition field="${toupper(${tier})}" expression="^GOLD$"><action application="log" data="INFO gold"/></condition></extension>"#,
        &["log(INFO gold)"],
    ),
    break_on_true => (
        r#"<extension name="a"><condition field="destination_number" expression="^1234$" break="on-true"><action application="log" data="INFO a"/></condition>
             <condition><action application="log" data="INFO b"/></condition></extension>"#,
        &["log(INFO a)"],
    ),
    break_never => (
        r#"<extension name="a"><condition field="destination_number" expression="^9" break="never"><action application="log" data="INFO a"/></condition>
             <condition><action application="log" data="INFO b"/></condition></extension>"#,
        &["log(INFO b)"],
    ),
    any_of_several_patterns => (
        r#"<extension name="a"><condition regex="any"><regex field="destination_number" expression="^9"/><regex field="caller_id_number" expression="^1001$"/><action application="log" data="INFO a"/></condition></extension>"#,
        &["log(INFO a)"],
    ),
    all_of_several_patterns => (
        r#"<extension name="a"><condition regex="all"><regex field="destination_number" expression="^9"/><regex field="caller_id_number" expression="^1001$"/><action application="log" data="INFO a"/></condition></extension>
           <extension name="b"><condition><action application="log" data="INFO b"/></condition></extension>"#,
        &["log(INFO b)"],
    ),
    one_of_several_patterns_alone => (
        r#"<extension name="a"><condition regex="xor"><regex field="destination_number" expression="^9"/><regex field="caller_id_number" expression="^1001$"/><action application="log" data="INFO a"/></condition></extension>"#,
        &["log(INFO a)"],
    ),
    nested_conditions => (
        r#"<extension name="a"><condition field="destination_number" expression="^1234$"><action application="log" data="INFO outer"/>
             <condition field="caller_id_number" expression="^1001$"><action application="log" data="INFO inner"/></condition></condition></extension>"#,
        &["log(INFO outer)", "log(INFO inner)"],
    ),
    an_action_repeated => (
        r#"<extension name="a"><condition><action application="log" data="INFO a" loop="3"/></condition></extension>"#,
        &["log(INFO a)", "log(INFO a)", "log(INFO a)"],
    ),
    an_inline_action_runs_before_the_conditions_behind_it => (
        r#"<extension name="a"><condition field="destination_number" expression="^1234$"><action application="set" data="tier=iron" inline="true"/></condition>
             <condition field="${tier}" expression="^iron$"><action application="log" data="INFO iron"/></condition></extension>"#,
        &["set(tier=iron)", "log(INFO iron)"],
    ),
    an_inline_action_that_waits => (
        r#"<extension name="a"><condition field="destination_number" expression="^1234$"><action application="set" data="tier=${msleep(500)}late" inline="true"/></condition>
             <condition field="${tier}" expression="late$"><action application="log" data="INFO late"/></condition></extension>"#,
        &["set(tier=+OKlate)", "log(INFO late)"],
    ),
    an_application_that_may_not_run_inline => (
        r#"<extension name="a"><condition><action application="playback" data="x" inline="true"/><action application="log" data="INFO a"/></condition></extension>"#,
        &["log(INFO a)"],
    ),
    the_context_global_stands_for_one_that_is_missing => (
        r#"<context name="global"><extension name="a"><condition><action application="log" data="INFO global"/></condition></extension></context>"#,
        &["log(INFO global)"],
    ),
    a_year_that_is_over => (
        r#"<extension name="a"><condition year="2023"><action application="log" data="INFO then"/></condition></extension>"#,
        &[],
    ),
    a_day_of_the_week => (
        r#"<extension name="a"><condition wday="4"><action application="log" data="INFO wednesday"/></condition></extension>"#,
        &["log(INFO wednesday)"],
    ),
    a_year_that_is_now => (
        r#"<extension name="a"><condition year="2024"><action application="log" data="INFO then"/></condition></extension>"#,
        &["log(INFO then)"],
    ),
}

/// Where nothing is found the call ends.
fn unrouted(dialplan: &str, number: &str) {
    run(with(dialplan).silent(), async |world| {
        let call = world.phone("alice").dial(number);
        let told = over(world, call).await;
        assert_eq!(told.cause(), "NO_ROUTE_DESTINATION");
        assert!(told.applications().is_empty());
    });
}

cases! { unrouted:
    no_extension_matches => (r#"<extension name="a"><condition field="destination_number" expression="^9$"><action application="park"/></condition></extension>"#, "1"),
    no_context_of_that_name => (r#"<context name="other"><extension name="a"><condition><action application="park"/></condition></extension></context>"#, "1"),
    an_extension_without_actions_that_does_not_match => (r#"<extension name="a"><condition field="destination_number" expression="^9$"/></extension>"#, "1"),
}

/// Another dialplan than the XML of the context.
fn by_dialplan(dialplan: &str, number: &str, applications: &[&str]) {
    run(with("").silent(), async |world| {
        let call = world.phone("alice").dialling(number).dialplan(dialplan).go();
        let told = over(world, call).await;
        assert_eq!(told.applications(), applications, "{:?}", told.events);
    });
}

cases! { by_dialplan:
    inline_in_the_number => ("inline", "log:INFO a", &["log(INFO a)"]),
    inline_of_several => ("inline", "log:INFO a,log:INFO b", &["log(INFO a)", "log(INFO b)"]),
    inline_in_the_dialplans_name => ("inline:log:INFO c", "1", &["log(INFO c)"]),
    the_next_dialplan_where_one_finds_nothing => ("XML,inline", "log:INFO d", &["log(INFO d)"]),
    a_dialplan_that_is_not_there_is_skipped => ("nonsense,inline", "log:INFO e", &["log(INFO e)"]),
}
