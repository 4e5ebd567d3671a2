//! Decisions, rule by rule.

mod common;

use common::{Call, document};
use dialplan_xml::Host as _;
use dialplan_xml::dialplan::{
    Dialplan, InlineAction, RouteRequest, Routed, StepKind, Trace, parse_inline,
};
use dialplan_xml::regex::{Captures, Pattern, substitute};

fn compile(contexts: &str) -> Dialplan {
    let text = format!(
        "<document>\n<section name=\"dialplan\">\n{contexts}\n</section>\n\
         <section name=\"configuration\"><configuration name=\"timezones.conf\"><timezones>\
         <zone name=\"Here\" value=\"EST5EDT,M3.2.0,M11.1.0\"/></timezones></configuration></section>\n</document>"
    );
    let loaded = document(&text);
    let tree = loaded.tree.unwrap_or_else(|| panic!("{}\n{text}", loaded.status));
    Dialplan::compile(&tree).0
}

fn hunt_in(contexts: &str, context: &str, call: &mut Call) -> Routed {
    let destination = call.fields.get("destination_number").cloned().unwrap_or_default();
    let auto_hunt = call.get("auto_hunt").is_some();
    let request = RouteRequest {
        context: context.into(),
        destination_number: destination,
        caller_id_name: "Bob".into(),
        caller_id_number: "5551000".into(),
        auto_hunt,
    };
    compile(contexts).route(&request, call, Trace::Off)
}

/// The actions of a context's extensions, as `app(data)` words; `None` when nothing was found.
fn hunt(extensions: &str, call: &mut Call) -> Option<String> {
    let routed = hunt_in(&format!("<context name=\"c\">{extensions}</context>"), "c", call);
    routed.extension.as_ref()?;
    let words: Vec<_> =
        routed.actions.iter().map(|a| format!("{}({})", a.application, a.data)).collect();
    Some(words.join(" "))
}

fn found(actions: &str) -> Option<String> {
    Some(actions.to_owned())
}

const PASS: &str = r#"field="destination_number" expression="^1000$""#;
const FAIL: &str = r#"field="destination_number" expression="^2000$""#;
/// What is hit when the hunt goes on.
const LATER: &str =
    r#"<extension name="later"><condition><action application="later"/></condition></extension>"#;

fn act(name: &str) -> String {
    format!("<action application=\"{name}\"/>")
}

fn anti(name: &str) -> String {
    format!("<anti-action application=\"{name}\"/>")
}

/// Conditions inside one extension, with a later extension that always matches.
fn conditions(inside: &str) -> Option<String> {
    hunt(&format!("<extension name=\"e\">{inside}</extension>{LATER}"), &mut Call::to("1000"))
}

#[test]
fn two_conditions_are_an_and_but_the_first_ones_actions_stay() {
    let two = |a: &str, b: &str, extra: &str| {
        conditions(&format!(
            "<condition {a}>{}</condition><condition {b}>{}{extra}</condition>",
            act("one"),
            act("two")
        ))
    };
    assert_eq!(two(PASS, PASS, ""), found("one() two()"));
    assert_eq!(two(PASS, FAIL, ""), found("one() later()"));
    assert_eq!(two(PASS, FAIL, &anti("no")), found("one() no()"));
    assert_eq!(two(FAIL, PASS, ""), found("later()"));
}

#[test]
fn break_decides_whether_the_next_condition_is_looked_at() {
    let with = |test: &str, breaks: &str| {
        conditions(&format!(
            "<condition {test} break=\"{breaks}\">{}{}</condition><condition {PASS}>{}</condition>",
            act("one"),
            anti("no"),
            act("two")
        ))
    };
    assert_eq!(with(PASS, "on-true"), found("one()"));
    assert_eq!(with(FAIL, "on-true"), found("no() two()"));
    assert_eq!(with(PASS, "on-false"), found("one() two()"));
    assert_eq!(with(FAIL, "on-false"), found("no()"));
    assert_eq!(with(PASS, "always"), found("one()"));
    assert_eq!(with(FAIL, "ALWAYS"), found("no()"));
    assert_eq!(with(PASS, "never"), found("one() two()"));
    assert_eq!(with(FAIL, "never"), found("no() two()"));
    assert_eq!(with(FAIL, "sometimes"), found("no()"));
}

#[test]
fn a_failing_condition_that_never_breaks_lets_the_hunt_go_on() {
    let said = conditions(&format!(
        "<condition {PASS} break=\"never\">{}</condition><condition {FAIL} break=\"never\">{}</condition>",
        act("one"),
        act("two")
    ));
    assert_eq!(said, found("one() later()"));
}

#[test]
fn an_anti_action_makes_the_extension_count_as_matched() {
    assert_eq!(conditions(&format!("<condition {FAIL}>{}</condition>", anti("no"))), found("no()"));
}

#[test]
fn continue_collects_the_actions_of_several_extensions() {
    let two = format!(
        "<extension name=\"a\" continue=\"true\"><condition {PASS}>{}</condition></extension>\
         <extension name=\"b\"><condition {PASS}>{}</condition></extension>{LATER}",
        act("one"),
        act("two")
    );
    assert_eq!(hunt(&two, &mut Call::to("1000")), found("one() two()"));
    let only = format!(
        "<extension name=\"a\" continue=\"true\"><condition>{}</condition></extension>",
        act("one")
    );
    assert_eq!(hunt(&only, &mut Call::to("1000")), found("one()"));
}

#[test]
fn an_extension_that_passes_without_actions_ends_the_hunt_with_nothing() {
    assert_eq!(conditions(&format!("<condition {PASS}/>")), None);
}

#[test]
fn only_inline_actions_give_an_empty_list_and_not_nothing() {
    let inline = r#"<condition><action application="set" data="a=1" inline="true"/></condition>"#;
    let mut call = Call::to("1000");
    assert_eq!(hunt(&format!("<extension name=\"e\">{inline}</extension>"), &mut call), found(""));
    assert_eq!(call.get("a").as_deref(), Some("1"));
}

#[test]
fn what_is_outside_conditions_does_not_count() {
    assert_eq!(conditions(&act("stray")), found("later()"));
    let other = format!("<other><condition>{}</condition></other>{LATER}", act("x"));
    assert_eq!(hunt(&other, &mut Call::to("1000")), found("later()"));
}

#[test]
fn contexts_are_found_without_case_then_global_then_nothing() {
    let contexts = format!(
        "<context name=\"Sales\">{LATER}</context><context name=\"sales\"><extension name=\"never\"/></context>\
         <context name=\"global\"><extension name=\"g\"><condition>{}</condition></extension></context>",
        act("global")
    );
    let mut call = Call::to("1000");
    assert_eq!(hunt_in(&contexts, "SALES", &mut call).extension.as_deref(), Some("later"));
    assert_eq!(hunt_in(&contexts, "nowhere", &mut call).extension.as_deref(), Some("g"));
    call.logging = true;
    let missing = hunt_in("<context name=\"a\"/>", "b", &mut call);
    assert!(!missing.context_found && missing.extension.is_none());
    assert_eq!(
        call.lines,
        ["Info Processing Bob <5551000>->1000 in context b", "Warning Context b not found"]
    );
}

#[test]
fn auto_hunt_starts_at_the_extension_named_like_the_number() {
    let named = |name: &str, test: &str| {
        format!(
            "<extension name=\"{name}\"><condition {test}>{}</condition></extension>",
            act(name)
        )
    };
    let list = [named("first", ""), named("Sales", ""), named("last", "")].concat();
    assert_eq!(hunt(&list, &mut Call::to("sales").var("auto_hunt", "true")), found("Sales()"));
    assert_eq!(hunt(&list, &mut Call::to("nobody").var("auto_hunt", "true")), found("first()"));
    let list = [named("first", ""), named("1000", FAIL), named("last", "")].concat();
    assert_eq!(hunt(&list, &mut Call::to("1000").var("auto_hunt", "true")), found("last()"));
}

#[test]
fn fields_are_profile_fields_unless_they_hold_a_dollar() {
    let with = |field: &str, expression: &str, mut call: Call| {
        call = call.var("v", "x").field("context", "c");
        let test = format!(
            "<condition field=\"{field}\" expression=\"{expression}\">{}</condition>",
            act("hit")
        );
        hunt(&format!("<extension name=\"e\">{test}</extension>"), &mut call)
    };
    assert_eq!(with("DESTINATION_NUMBER", "^1000$", Call::to("1000")), found("hit()"));
    assert_eq!(with("a${v}b", "^axb$", Call::to("1")), found("hit()"));
    assert_eq!(with("v", "^x$", Call::to("1")), None);
    assert_eq!(with("v", "^$", Call::to("1")), found("hit()"));
    assert_eq!(with("context", "", Call::to("1")), found("hit()"));
    assert_eq!(with("destination_number", "^${v}$", Call::to("x")), found("hit()"));
}

#[test]
fn an_expression_element_counts_verbatim_and_outranks_the_attribute() {
    let with = |inside: &str| {
        let test = format!(
            "<condition field=\"destination_number\" expression=\"^no$\">{inside}{}</condition>",
            act("hit")
        );
        hunt(&format!("<extension name=\"e\">{test}</extension>"), &mut Call::to("1000"))
    };
    assert_eq!(with("<expression>^1000$</expression>"), found("hit()"));
    assert_eq!(with("<expression> ^1000$</expression>"), None);
    assert_eq!(with("<expression><![CDATA[^(?<!x)1000$]]></expression>"), found("hit()"));
    assert_eq!(with("<expression></expression>"), found("hit()"));
}

fn nested(outer: &str, inner: &str, after: &str) -> Option<String> {
    conditions(&format!(
        "<condition {outer}>{}{inner}{}</condition>{after}",
        act("outer"),
        act("outer2")
    ))
}

#[test]
fn nested_conditions() {
    let pass = format!("<condition {PASS}>{}</condition>", act("inner"));
    let fail = format!("<condition {FAIL}>{}</condition>", act("inner"));
    let after = format!("<condition {PASS}>{}</condition>", act("after"));
    assert_eq!(nested(PASS, &pass, ""), found("outer() outer2() inner()"));
    assert_eq!(nested(PASS, &pass, &after), found("outer() outer2() inner() after()"));
    assert_eq!(nested(PASS, &fail, &after), found("outer() outer2() later()"));
    let never = format!("{PASS} break=\"never\"");
    assert_eq!(nested(&never, &fail, &after), found("outer() outer2() after()"));
    let loose = format!("{PASS} require-nested=\"false\"");
    assert_eq!(nested(&loose, &fail, &after), found("outer() outer2() after()"));
    for breaks in ["on-true", "always"] {
        let outer = format!("{PASS} break=\"{breaks}\"");
        assert_eq!(nested(&outer, &pass, ""), found("outer() outer2()"));
    }
    let outer = format!("<condition {FAIL} break=\"never\">{}{pass}</condition>", anti("no"));
    assert_eq!(conditions(&outer), found("no() inner()"));
}

#[test]
fn nested_captures_are_the_nested_conditions_own() {
    let inside = r#"<condition field="destination_number" expression="^(1)"><action application="o" data="$1"/>
        <condition field="destination_number" expression="(00)$"><action application="i" data="$1"/></condition>
        <condition field="destination_number" expression="^1"><action application="n" data="$1"/></condition></condition>"#;
    assert_eq!(conditions(inside), found("o(1) i(00) n($1)"));
}

fn multi(mode: &str, regexes: &str, number: &str) -> (Option<String>, Call) {
    let mut call = Call::to(number).var("DP_REGEX_MATCH_1", "old");
    let data = "data=\"$1\"";
    let list = format!(
        "<extension name=\"e\"><condition regex=\"{mode}\">{regexes}<action application=\"yes\" {data}/>\
         <anti-action application=\"no\"/></condition></extension>{LATER}"
    );
    (hunt(&list, &mut call), call)
}

fn regex(expression: &str) -> String {
    format!("<regex field=\"destination_number\" expression=\"{expression}\"/>")
}

#[test]
fn sets_of_regex() {
    let decide = |mode: &str, list: &[&str]| {
        multi(mode, &list.iter().map(|e| regex(e)).collect::<String>(), "1234").0
    };
    assert_eq!(decide("all", &["^1", "4$"]), found("yes($1)"));
    assert_eq!(decide("ALL", &["^1", "^4"]), found("no()"));
    assert_eq!(decide("any", &["^4", "^1"]), found("yes($1)"));
    assert_eq!(decide("whatever", &["^4", "^1"]), found("yes($1)"));
    assert_eq!(decide("any", &["^4", "^3"]), found("no()"));
    assert_eq!(decide("xor", &["^4", "^1"]), found("yes($1)"));
    assert_eq!(decide("xor", &["^1", "^1"]), found("no()"));
    // The last one failed: the actions run and the hunt goes on.
    assert_eq!(decide("xor", &["^1", "^4"]), found("yes($1) later()"));
    // An empty set passes, but nothing counts as matched.
    assert_eq!(decide("all", &[]), found("yes($1) later()"));
    assert_eq!(decide("any", &[]), found("no()"));
}

#[test]
fn captures_of_a_set() {
    let (said, call) = multi("all", &(regex("^(1)") + &regex("(4)$") + &regex("^1")), "1234");
    assert_eq!(said, found("yes(4)"));
    assert_eq!(call.get("DP_REGEX_MATCH_1").as_deref(), Some("ARRAY::1|:1"));
    assert_eq!(call.get("DP_REGEX_MATCH_2").as_deref(), Some("ARRAY::4|:4"));
    assert_eq!(call.get("DP_REGEX_MATCH_3"), None);
    assert_eq!(call.get("DP_MATCH").as_deref(), Some("ARRAY::4|:4"));
    let (said, call) = multi("any", &(regex("^(4)") + &regex("(4)$")), "1234");
    assert_eq!(said, found("yes(4)"));
    // The one that ended it leaves no variable; old ones are gone.
    assert_eq!((call.get("DP_REGEX_MATCH_1"), call.get("DP_REGEX_MATCH_2")), (None, None));
    let (said, _) = multi("xor", &(regex("^(1)") + &regex("^(4)")), "1234");
    assert_eq!(said, found("yes() later()"));
}

#[test]
fn the_conditions_own_field_does_not_count_in_a_set() {
    let list = format!(
        "<extension name=\"e\"><condition {FAIL} regex=\"all\">{}{}</condition></extension>",
        regex("^1"),
        act("yes")
    );
    assert_eq!(hunt(&list, &mut Call::to("1000")), found("yes()"));
}

/// Time attributes against Wednesday 2026-03-04 12:30:15 UTC, alone in a condition.
fn at(attributes: &str) -> bool {
    at_with(attributes, Call::to("1000"))
}

fn at_with(attributes: &str, mut call: Call) -> bool {
    let list = format!(
        "<extension name=\"e\"><condition {attributes}>{}{}</condition></extension>",
        act("yes"),
        anti("no")
    );
    match hunt(&list, &mut call).as_deref() {
        Some("yes()") => true,
        Some("no()") => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn time_attributes_that_fit_and_that_do_not() {
    let fits = [
        "year=\"2026\"",
        "year=\"2020-2030\"",
        "mon=\"3\"",
        "mon=\"1,3,5\"",
        "mon=\"1, 3\"",
        "mday=\"4\"",
        "yday=\"63\"",
        "week=\"9\"",
        "mweek=\"1\"",
        "wday=\"4\"",
        "wday=\"wed\"",
        "wday=\"mon-fri\"",
        "wday=\"WED\"",
        "wday=\"fri-wed\"",
        "wday=\"1,3-5\"",
        "wday=\"wed,xxxx\"",
        "hour=\"12\"",
        "hour=\"9-17\"",
        "hour=\"22-12\"",
        "minute=\"30\"",
        "minute-of-day=\"751\"",
        "time-of-day=\"12:30-12:31\"",
        "time-of-day=\"09:00:00-12:30:15\"",
        "time-of-day=\"22:00-13:00\"",
        "time-of-day=\"01:00-02:00,12:00-13:00\"",
        "date-time=\"2026-03-04~2026-03-05\"",
        "date-time=\"2026-03-04 12:30:15~2026-03-04 12:30:16\"",
        "date-time=\"2001-01-01~2001-01-02,2026-01-01~2027-01-01\"",
        "tz-offset=\"0\"",
        "wday=\"2-6\" hour=\"8-18\" mon=\"1-12\"",
    ];
    for attributes in fits {
        assert!(at(attributes), "{attributes}");
    }
    let not = [
        "year=\"1999\"",
        "mon=\"4-2\"",
        "mday=\"5\"",
        "hour=\"13-11\"",
        "hour=\"\"",
        "wday=\"thu\"",
        "wday=\"wednesday\"",
        "wday=\"mon-tue\"",
        "wday=\"mon, wed\"",
        "wday=\"8\"",
        "minute-of-day=\"750\"",
        "time-of-day=\"12-13\"",
        "time-of-day=\"12:31-12:29\"",
        "date-time=\"2026-03-04 12:30:14~2026-03-04 12:30:15\"",
        "date-time=\"2026-03-04\"",
        "dst=\"false\"",
        "dst=\"true\"",
        "tz-offset=\"1\"",
        "hour=\"12\" year=\"1999\"",
    ];
    for attributes in not {
        assert!(!at(attributes), "{attributes}");
    }
}

#[test]
fn time_zones_come_from_the_call_or_from_the_server() {
    let east = |call: Call| call.var("timezone", "Here");
    assert!(at_with("hour=\"7\" tz-offset=\"-5\"", east(Call::to("1"))));
    assert!(at_with("hour=\"14\" tz-offset=\"2\"", Call::to("1").var("tod_tz_offset", "2")));
    assert!(at_with("hour=\"14\"", east(Call::to("1")).var("tod_tz_offset", "2")));
    assert!(at_with("hour=\"13\"", Call::to("1").var("timezone", "Europe/Paris")));
    let mut server = Call::to("1");
    server.zone = dialplan_xml::config::posix_zone("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    assert!(at_with("hour=\"13\"", server));
    let mut summer = Call::to("1");
    summer.zone = dialplan_xml::config::posix_zone("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    summer.now = "2026-07-01T12:00:00Z".parse().unwrap();
    assert!(at_with("dst=\"true\"", summer));
}

#[test]
fn a_field_outranks_the_time_of_its_condition() {
    let one = |attributes: &str| {
        conditions(&format!("<condition {attributes}>{}{}</condition>", act("yes"), anti("no")))
    };
    assert_eq!(one(&format!("year=\"1999\" {PASS}")), found("yes()"));
    assert_eq!(one(&format!("year=\"2026\" {FAIL}")), found("yes() later()"));
    assert_eq!(one(&format!("year=\"1999\" {FAIL}")), found("no()"));
}

#[test]
fn captures_fill_the_data_of_actions() {
    let fill = |data: &str| {
        let list = format!(
            "<extension name=\"e\"><condition field=\"destination_number\" expression=\"^(\\d)(\\d)(\\d\\d)$\">\
             <action application=\"a\" data=\"{data}\"/></condition></extension>"
        );
        hunt(&list, &mut Call::to("1234")).unwrap()
    };
    for (data, filled) in [
        ("$1-$2-$3-$0-$4", "1-2-34-1234-"),
        ("${1}5", "15"),
        ("$15", ""),
        ("$$1", "$1"),
        ("\\$1", "\\1"),
        ("${1x}", "1x}"),
        ("$", "$"),
        ("$x", "$x"),
        ("${name}", "${name}"),
        ("${toupper(a$1b)}", "${toupper(a1b)}"),
        ("$300", ""),
    ] {
        assert_eq!(fill(data), format!("a({filled})"), "{data}");
    }
}

#[test]
fn without_a_bracket_in_the_expression_nothing_is_filled_in() {
    let with = |expression: &str| {
        conditions(&format!(
            "<condition field=\"destination_number\" expression=\"{expression}\">\
             <action application=\"a\" data=\"$1$0\"/></condition>"
        ))
    };
    assert_eq!(with("^1000$"), found("a($1$0)"));
    assert_eq!(with("^10[(]?00$"), found("a(1000)"));
    let anti = "<condition field=\"destination_number\" expression=\"^(2)$\">\
         <anti-action application=\"a\" data=\"$1\"/></condition>"
        .to_string();
    assert_eq!(conditions(&anti), found("a($1)"));
}

#[test]
fn dp_match_holds_the_groups_and_an_empty_one_forgets_those_before() {
    let with = |expression: &str| {
        let mut call = Call::to("1234").var("DP_MATCH", "old");
        let list = format!(
            "<extension name=\"e\"><condition field=\"destination_number\" expression=\"{expression}\">\
             <action application=\"a\"/></condition></extension>"
        );
        hunt(&list, &mut call);
        call
    };
    let mut call = with("^(\\d)(\\d)(\\d\\d)$");
    assert_eq!(call.get("DP_MATCH").as_deref(), Some("ARRAY::1234|:1|:2|:34"));
    assert_eq!(call.element("DP_MATCH", 1).as_deref(), Some("1"));
    assert_eq!(with("(1)()(2)(x)?(34)").get("DP_MATCH").as_deref(), Some("34"));
    assert_eq!(with("^1").get("DP_MATCH").as_deref(), Some("old"));
    assert_eq!(with("^(9)").get("DP_MATCH").as_deref(), Some("old"));
    assert_eq!(with("1234(?=)").element("DP_MATCH", 0).as_deref(), Some("1234"));
}

#[test]
fn attributes_of_actions() {
    let one = |action: &str| conditions(&format!("<condition>{action}</condition>"));
    assert_eq!(one("<action application=\"a\" data=\"x\"> </action>"), found("a( )"));
    assert_eq!(
        one("<action application=\"a\" data=\"x\"><![CDATA[<y>]]></action>"),
        found("a(<y>)")
    );
    assert_eq!(one("<action application=\"a\" data=\"x\"/>"), found("a(x)"));
    assert_eq!(one("<action data=\"x\"/>"), found("(x)"));
    assert_eq!(one("<action application=\"a\" loop=\"3\"/>"), found("a() a() a()"));
    for none in ["0", "-1", "many", ""] {
        assert_eq!(
            one(&format!("<action application=\"a\" loop=\"{none}\"/><action application=\"b\"/>")),
            found("b()")
        );
    }
    let refused = r#"<action application="a" data="it\'s"/><action application="b"/>"#;
    assert_eq!(one(refused), found("b()"));
}

#[test]
fn inline_actions_run_during_the_hunt_and_nothing_is_asked_twice() {
    let list = format!(
        "<extension name=\"a\" continue=\"true\"><condition><action application=\"set\" data=\"c=${{echo(green)}}\" inline=\"true\"/>\
         <action application=\"set\" data=\"d=dark\"/></condition></extension>\
         <extension name=\"b\"><condition field=\"${{c}}\" expression=\"^green$\"/>\
         <condition field=\"${{toupper(${{d}})}}\" expression=\"^$\">{}</condition></extension>",
        act("seen")
    );
    let mut call = Call::to("1000");
    assert_eq!(hunt(&list, &mut call), found("set(d=dark) seen()"));
    assert_eq!(call.asked, ["inline set c=${echo(green)}", "api echo green", "api toupper "]);
}

#[test]
fn expressions_with_the_references_spellings() {
    let matches =
        |expression: &str, text: &str| Pattern::new(expression).is_ok_and(|p| p.is_match(text));
    assert!(matches("", "anything"));
    assert!(matches("00", "1000"));
    assert!(matches("^1000$", "1000\n"));
    assert!(!matches("^1000$", "1000\n\n"));
    assert!(matches("/^WORDS$/i", "words"));
    assert!(!matches("/^WORDS$/", "words"));
    assert!(matches("/a.b/s", "a\nb"));
    assert!(matches("/a/b/x", "a/b"));
    assert!(!matches("/abc", "abc"));
    assert!(matches("_NXXZ.", "20012"));
    assert!(!matches("_NXX", "100"));
    assert!(matches(r"^((?!6000)60\d{2})$", "6001"));
    assert!(!matches(r"^((?!6000)60\d{2})$", "6000"));
    assert!(matches(r"^(\d)\1$", "77"));
    assert!(matches(r"\Q$5\E", "cost $5"));
    assert!(!matches("^*97$", "*97"));
    assert!(matches("^(.)(.)(.)(.)(.)(.)(.)(.)(.)", "1234567890"));
    assert!(!matches("^(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)", "1234567890"));
    assert!(matches("^1(x)?(x)?(x)?(x)?(x)?(x)?(x)?(x)?(x)?(x)?", "1"));
}

#[test]
fn a_bad_expression_is_reported_with_its_offset_and_never_matches() {
    let error = Pattern::new("^*97$").unwrap_err();
    assert_eq!(
        error.to_string(),
        "COMPILE ERROR: 1 [quantifier does not follow a repeatable item][^*97$]"
    );
    let mut call = Call::to("*97");
    let list = "<extension name=\"e\"><condition field=\"destination_number\" expression=\"^*97$\"><action application=\"a\"/></condition></extension>";
    assert_eq!(hunt(list, &mut call), None);
    assert_eq!(call.lines, [format!("Error {error}")]);
}

#[test]
fn an_expression_that_explodes_does_not_match() {
    let pattern = Pattern::new("^(a+)+$").unwrap();
    assert!(!pattern.is_match(&format!("{}b", "a".repeat(5000))));
}

/// Steps, not time: before the second alternative can match, the first one is tried in about `2^n` ways. That many
/// steps are allowed for sixteen, and for no more than some twenty.
#[test]
fn the_number_of_steps_is_bounded_and_large_enough_for_honest_patterns() {
    for pattern in ["^(?:(?:a+)+b|a*c)$", "/^(?:(?:a+)+b|a*C)$/i"] {
        let pattern = Pattern::new(pattern).unwrap();
        let after = |n: usize| pattern.is_match(&format!("{}c", "a".repeat(n)));
        assert!((0..=12).all(after), "few steps");
        assert!(!after(24), "sixteen million ways");
        assert!(!after(4000), "no end of ways");
    }
}

#[test]
fn a_long_subject_is_matched_whatever_the_compiled_code_has_stack_for() {
    let pattern = Pattern::new("^((?:a|b)*)(c)$").unwrap();
    let text = format!("{}c", "ab".repeat(20_000));
    let captures = pattern.captures(&text).expect("a match");
    assert_eq!((captures.groups[1].len(), &*captures.groups[2]), (40_000, "c"));
    assert!(pattern.is_match(&text));
}

#[test]
fn groups_are_filled_in_by_number() {
    let captures = Captures { groups: vec!["all".into(), "one".into()] };
    assert_eq!(substitute("$0 $1 $2 ${1} $x ${y} $", &captures), "all one  one $x ${y} $");
}

#[test]
fn log_lines_are_those_of_the_reference() {
    let mut call = Call::to("1000");
    call.logging = true;
    let list = format!(
        "<extension name=\"e\"><condition field=\"destination_number\" expression=\"^1(0+)$\">\
         <action application=\"a\" data=\"$1\"/><condition year=\"2026\"/></condition>\
         <condition><action application=\"set\" data=\"x=1\" inline=\"true\"/></condition>\
         <condition {FAIL} break=\"never\"><anti-action application=\"b\"/></condition></extension>"
    );
    hunt(&list, &mut call);
    assert_eq!(
        call.lines,
        [
            "Info Processing Bob <5551000>->1000 in context c",
            "Debug Dialplan: sofia/test/1000 parsing [c->e] continue=false",
            "Debug Dialplan: sofia/test/1000 Regex (PASS) [e] destination_number(1000) =~ /^1(0+)$/ break=on-false",
            "Debug Dialplan: sofia/test/1000 Action a(000) ",
            "Debug |----Dialplan: sofia/test/1000 Date/Time Match (PASS) [e_recur_1] break=on-false",
            "Debug Dialplan: sofia/test/1000 Absolute Condition [e]",
            "Debug Dialplan: sofia/test/1000 Action set(x=1) INLINE",
            "Debug Dialplan: sofia/test/1000 Regex (FAIL) [e] destination_number(1000) =~ /^2000$/ break=never",
            "Debug Dialplan: sofia/test/1000 ANTI-Action b() ",
        ]
    );
}

#[test]
fn the_trace_tells_what_was_seen() {
    let dialplan = compile(&format!(
        "<context name=\"c\"><extension name=\"e\"><condition field=\"${{v}}\" expression=\"^(a)$\"/></extension>{LATER}</context>"
    ));
    let request = RouteRequest { context: "c".into(), ..RouteRequest::default() };
    let routed = dialplan.route(&request, &mut Call::default().var("v", "b"), Trace::On);
    let StepKind::Field { value, expression, matched, .. } = &routed.trace[1].kind else {
        panic!("{:?}", routed.trace)
    };
    assert_eq!((value.as_str(), expression.as_str(), *matched), ("b", "^(a)$", false));
    assert!(matches!(routed.trace.last().unwrap().kind, StepKind::Decided { last: true, .. }));
    assert_eq!(dialplan.route(&request, &mut Call::default(), Trace::Off).trace, []);
}

#[test]
fn inline_targets() {
    let parse = |target: &str| {
        let list = parse_inline(target).into_iter();
        list.map(|InlineAction { application, data }| (application, data)).collect::<Vec<_>>()
    };
    let want = |list: &[(&str, &str)]| {
        list.iter().map(|(a, d)| ((*a).to_owned(), (*d).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(parse("set:a=1,eval:${a}"), want(&[("set", "a=1"), ("eval", "${a}")]));
    assert_eq!(
        parse("eval:hello,eval:b:c,eval"),
        want(&[("eval", "hello"), ("eval", "b:c"), ("eval", "")])
    );
    assert_eq!(parse("m:^:eval:a,b^eval:c"), want(&[("eval", "a,b"), ("eval", "c")]));
    assert_eq!(parse("eval:'a,b',eval:c"), want(&[("eval", "a,b"), ("eval", "c")]));
    assert_eq!(parse(r"eval:a\,b"), want(&[("eval", "a,b")]));
    assert_eq!(parse("  eval: lead ,  eval:x"), want(&[("eval", " lead"), ("eval", "x")]));
    assert_eq!(parse(""), want(&[]));
}
