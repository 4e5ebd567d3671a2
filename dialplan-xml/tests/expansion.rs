//! Variable expansion, row by row.

mod common;

use common::Call;
use dialplan_xml::Host as _;
use dialplan_xml::expand::{expand, expand_event, scope_variables};

fn call() -> Call {
    let mut call = Call::default()
        .var("num", "0123456789")
        .var("name", "foo")
        .var("foo", "FOOVAL")
        .var("i", "1")
        .var("sp", "a b")
        .var("word", "bar")
        .var("lit", "${word}")
        .var("par", "x(1)y")
        .var("selfref", "a${selfref}");
    for item in ["zero", "one", "two", "three"] {
        call.push_variable("arr", item);
    }
    call.push_variable("single", "x");
    call.globals.set("domain", "example.test");
    for (asked, reply) in [
        ("expr 1+2", "3"),
        ("expr (1+2)*3", "9"),
        ("expr (1+2", "!err!"),
        ("cond 1 == 1 ? yes : no", "yes"),
        ("cond 'a b' == 'a b' ? T : F", "T"),
        ("cond  == '' ? T : F", "-ERR"),
        ("cond == '' ? T : F", "-ERR"),
        ("regex 0123456789|^01(\\d+)$|%1", "23456789"),
        ("regex m:~0123456789~^01(\\d\\d)~$1", "23"),
        ("regex abc|^x|%1", "abc"),
        ("regex abc|^x|%1|n", ""),
        ("regex abc|^x|%1|b", "false"),
        ("md5 abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("expr 0+1", "1"),
        ("system echo hi", "hi\n"),
        ("hash insert/r/k/v", "+OK\n"),
        ("eval 0123456789", "0123456789"),
        ("user_data 1000@example.test param p1", "P1"),
    ] {
        call.replies.insert(asked.into(), reply.into());
    }
    call
}

/// Number of the row in the fact sheet, input, output.
const ROWS: &[(&str, &str, &str)] = &[
    ("1", "plain", "plain"),
    ("2", "pre-${num}-post", "pre-0123456789-post"),
    ("3", "[${nosuch}]", "[]"),
    ("4", "${NUM}", "0123456789"),
    ("5", "$${num}", "0123456789"),
    ("6", "${domain}", "example.test"),
    ("6b", "$${domain}", "example.test"),
    ("7", "${num:3}", "3456789"),
    ("8", "${num:3:4}", "3456"),
    ("9", "${num:0:4}", "0123"),
    ("10", "${num::4}", "0123"),
    ("11", "${num:-4}", "6789"),
    ("12", "${num:-4:2}", "67"),
    ("13", "${num:-20}", "0123456789"),
    ("14", "${num:20}", ""),
    ("14b", "${num:10}", ""),
    ("15", "${num:9}", "9"),
    ("16", "${num:2:-1}", "23456789"),
    ("17", "${num:2:100}", "23456789"),
    ("18", "${num:0:0}", "0123456789"),
    ("19", "${num:abc}", "0123456789"),
    ("20", "${num:+3}", "3456789"),
    ("21", "${num:3:}", "3456789"),
    ("22", "${num:1:2:3}", "12"),
    ("23", "${num: 3}", ""),
    ("24", "${nosuch:1:2}", ""),
    ("25", "${arr}", "ARRAY::zero|:one|:two|:three"),
    ("26", "${arr[0]}", "zero"),
    ("26b", "${arr[3]}", "three"),
    ("27", "${arr[9]}", ""),
    ("28", "${arr[-1]}", "ARRAY::zero|:one|:two|:three"),
    ("29", "${arr[x]}", "zero"),
    ("30", "${arr[1]:1:2}", "ne"),
    ("31", "${arr[${i}]}", "one"),
    ("32", "${arr[0]:0:2}:x", "ze:x"),
    ("33", "${single}", "x"),
    ("33b", "${single[0]}", "x"),
    ("34", "${num[0]}", ""),
    ("35", "${arr[", ""),
    ("35b", "${arr]}", ""),
    ("36", "${${name}}", "FOOVAL"),
    ("37", "${f${nosuch}oo}", "FOOVAL"),
    ("38", "${lit}", "bar"),
    ("39", r"\${num}", "${num}"),
    ("40", r"\\${num}", r"\0123456789"),
    ("41", r"\\\${num}", r"\${num}"),
    ("42", r"\$${num}", "${num}"),
    ("43", r"a\'b", "ab"),
    ("44", r"a\nb ${num}", r"a\nb 0123456789"),
    ("45", r"a\sb", r"a\sb"),
    ("46", "$num ${num}", "$num 0123456789"),
    ("47", "cost $5 ${num}", "cost $5 0123456789"),
    ("48", "$$x ${num}", "$x 0123456789"),
    ("49", "$$x", "$$x"),
    ("49b", "$$", "$$"),
    ("50", "${num}$", "0123456789$"),
    ("50b", "${num}$$", "0123456789$"),
    ("51", r"${num}\${num}", r"0123456789\0123456789"),
    ("52", r"${num}\\x", r"0123456789\\x"),
    ("53", r"${num}\'x", r"0123456789\'x"),
    ("54", "${num}${name}", "0123456789foo"),
    ("55", "${num", "0123456789"),
    ("56", "x${", "x"),
    ("56b", "x${}y", "xy"),
    ("56c", "x${ }y", "xy"),
    ("57", "${num}}", "0123456789}"),
    ("58", "{${num}}", "{0123456789}"),
    ("59", "${{num}}", "}"),
    ("60", "%{num}", "%{num}"),
    ("61", "${expr(1+2)}", "3"),
    ("61b", "${expr 1+2}", "3"),
    ("62", "${expr((1+2)*3)}", "9"),
    ("63", "${expr(1+2)junk}", "3"),
    ("64", "${expr(1+2}", "3"),
    ("65", "${expr (1+2)*3}", "!err!"),
    ("66", "${echo (a) b}", "(a"),
    ("66b", "${echo a)b}", "a)b"),
    ("67", "${echo(a(b)c)}", "a(b)c"),
    ("68", "${echo({a})}", "{a}"),
    ("68b", "${echo {a}}", "{a}"),
    ("69", "${echo( a b )}", "a b"),
    ("70", r"${echo(\$5)}", r"\$5"),
    ("71", "${nosuchapi(1)}", ""),
    ("72", "${toupper(${name})}", "FOO"),
    ("72b", "${ECHO(up)}", "up"),
    ("73", "${to${nosuch}upper(${word})}", "BAR"),
    ("74", "${cond(${i} == 1 ? yes : no)}", "yes"),
    ("75", "${cond('${sp}' == 'a b' ? T : F)}", "T"),
    ("76", "${cond(${nosuch} == '' ? T : F)}", "-ERR"),
    ("77", r"${regex(${num}|^01(\d+)$|%1)}", "23456789"),
    ("78", r"${regex(m:~${num}~^01(\d\d)~$1)}", "23"),
    ("79", "${regex(abc|^x|%1)}", "abc"),
    ("79b", "${regex(abc|^x|%1|n)}", ""),
    ("79c", "${regex(abc|^x|%1|b)}", "false"),
    ("80", "${expr(${num:0:1}+1)}", "1"),
    ("81", "${system echo hi}", "hi\n"),
    ("82", "${hash(insert/r/k/v)}", "+OK\n"),
    ("83", "${par}", "x(1)y"),
    ("84", "${num:1}${num:2:2}", "12345678923"),
    ("85", " lead ${num} trail ", " lead 0123456789 trail "),
    ("87", "${eval(${num})}", "0123456789"),
    ("87b", "${md5(abc)}", "900150983cd24fb0d6963f7d28e17f72"),
    ("88", "${user_data(1000@${domain} param p1)}", "P1"),
];

#[test]
fn every_row_of_the_conformance_table_holds() {
    for (row, input, output) in ROWS {
        assert_eq!(expand(input, &mut call()), *output, "row {row}: {input}");
    }
}

#[test]
fn a_variable_that_refers_to_itself_stops_after_a_hundred_rounds() {
    let said = expand("${selfref}", &mut call());
    assert_eq!(said, format!("{}${{selfref}}", "a".repeat(101)));
}

#[test]
fn caller_profile_fields_come_before_globals_and_after_variables() {
    let mut call = Call::to("1000").field("context", "profile");
    call.globals.set("context", "global");
    assert_eq!(expand("${destination_number} ${context}", &mut call), "1000 profile");
    assert_eq!(expand("${context}", &mut call.var("context", "own")), "own");
}

#[test]
fn a_missing_slot_of_a_plain_value_falls_through_to_the_profile() {
    let mut call = Call::default().var("ani", "plain").field("ani", "5551000");
    assert_eq!(expand("${ani[0]}", &mut call), "5551000");
}

#[test]
fn an_event_sees_no_caller_profile_and_expands_only_values_of_globals() {
    let mut call = Call::to("1000").var("a", "${b}").var("b", "B");
    call.globals.set("g", "x");
    call.globals.set("a", "global a");
    assert_eq!(expand_event("[${destination_number}]", &mut call), "[]");
    assert_eq!(expand_event("${a}", &mut call), "${b}");
    assert_eq!(expand_event("$${a} ${g}", &mut call), "global a x");
}

/// Row 89: the data of an application is expanded first, and what is left behind the scope is its argument.
#[test]
fn a_scope_is_split_off_after_expansion() {
    let expanded = expand("%[a=${name}]data ${a}", &mut call());
    let (pairs, rest) = scope_variables(&expanded);
    assert_eq!((pairs, rest), (vec![("a".to_owned(), "foo".to_owned())], "data "));
}

#[test]
fn scope_variables_are_split_from_the_argument() {
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    assert_eq!(scope_variables("%[a=1]data "), (vec![pair("a", "1")], "data "));
    assert_eq!(scope_variables("%[a=1,b=2]x"), (vec![pair("a", "1"), pair("b", "2")], "x"));
    assert_eq!(scope_variables("%;[a=1,2;b=3]x"), (vec![pair("a", "1,2"), pair("b", "3")], "x"));
    assert_eq!(scope_variables("%(400,0,440)"), (vec![], "%(400,0,440)"));
    assert_eq!(scope_variables("%[open"), (vec![], "%[open"));
}

#[test]
fn references_that_multiply_stay_bounded() {
    let mut call = Call::default().var("x", "${x}${x}${x}${x}");
    assert!(expand("${x}", &mut call).len() < 8 << 20);
    let mut call = Call::default().var("long", &"y".repeat(1 << 20));
    assert!(expand(&"${long}".repeat(100), &mut call).len() < 8 << 20);
}
