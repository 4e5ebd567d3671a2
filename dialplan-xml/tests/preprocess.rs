//! The preprocessor, rule by rule.

mod common;

use common::{Dir, document};
use dialplan_xml::{Globals, LoadOptions, Loaded, PreprocessorCommand};
use std::sync::Arc;

/// The text of `<r>` in a document whose lines are given.
fn text(lines: &str) -> String {
    root(lines).tree.unwrap().root().text().to_owned()
}

fn root(lines: &str) -> Loaded {
    document(&format!("<r>\n{lines}\n</r>\n"))
}

fn codes(loaded: &Loaded) -> Vec<&str> {
    loaded.diagnostics.iter().map(|d| d.code).collect()
}

fn set(data: &str) -> Globals {
    root(&format!("<X-PRE-PROCESS cmd=\"set\" data=\"{data}\"/>")).globals
}

#[test]
fn a_set_trims_the_blanks_the_reference_trims() {
    assert_eq!(set("a=1").get("a"), Some("1"));
    assert_eq!(set("a = 1 ").get("a"), Some("1 "));
    assert_eq!(set(" a=1").get(" a"), Some("1"));
    assert_eq!(set("a=b=c").get("a"), Some("b=c"));
    assert_eq!(set("a").len(), 0);
    assert_eq!(set("a=").len(), 0);
    assert_eq!(set("a=${x}").get("a"), Some("%{x}"));
    assert_eq!(set("A=1").get("a"), Some("1"));
}

#[test]
fn a_set_is_seen_by_the_lines_below_it() {
    let lines = "[$${a}]\n<X-PRE-PROCESS cmd=\"set\" data=\"a=1\"/>\n[$${a}]\n\
                 <X-PRE-PROCESS cmd=\"set\" data=\"b=$${a}2\"/>\n[$${b}]";
    assert_eq!(text(lines), "\n[]\n[1]\n[12]\n");
}

#[test]
fn an_empty_value_deletes() {
    let lines = "<X-PRE-PROCESS cmd=\"set\" data=\"a=1\"/>\n<X-PRE-PROCESS cmd=\"set\" data=\"a=\"/>\n[$${a}]";
    assert_eq!(text(lines), "\n[]\n");
}

#[test]
fn variables_are_not_looked_up_twice_and_names_are_literal() {
    let lines = "<X-PRE-PROCESS cmd=\"set\" data=\"b=1\"/>\n[$${a$${b}}] ${b} $b $$ $${";
    let loaded = root(lines);
    assert_eq!(loaded.tree.as_ref().unwrap().root().text(), "\n[] ${b} $b $$ $${\n");
    assert_eq!(codes(&loaded), ["variable-undefined", "variable-unterminated"]);
    assert_eq!(
        loaded.diagnostics[1].message,
        "Error [unterminated ${var}] in file test.xml line 3"
    );
}

#[test]
fn lines_with_include_tags_or_declarations_vanish_whole() {
    assert_eq!(text("a <include> b\nc"), "\nc\n");
    assert_eq!(text("a </include> b\nc"), "\nc\n");
    assert_eq!(text("<?x?> b\nc"), "\nc\n");
    let kept = root("<include >x</include >");
    assert_eq!(kept.tree.unwrap().root().child("include").unwrap().text(), "x");
    // The words only count in front of the first variable.
    assert_eq!(root("$${x} <include/>").tree.unwrap().root().children().count(), 1);
    assert_eq!(codes(&root("<include><a/>")), ["line-rest-lost"]);
    assert_eq!(codes(&root("<include><!-- fine --></include>")), [""; 0]);
}

#[test]
fn a_declaration_in_front_of_the_root_loses_the_line() {
    let loaded = document("<?xml version=\"1.0\"?><document>\n</document>\n");
    assert_eq!(loaded.status, "[error near line 1]: unexpected closing tag </document>");
    assert_eq!(codes(&loaded)[0], "line-rest-lost");
}

/// Lines and what is left of them, from the fact sheet's table of edge cases.
#[test]
fn directives_in_odd_places() {
    let cases = [
        ("<!-- <X-PRE-PROCESS cmd=\"set\" data=\"c=1\"/> -->", Some("1"), "\n\n"),
        (
            "<!-- <X-PRE-PROCESS cmd=\"set\"\n data=\"c=1\"/> --&gt;",
            None,
            "\n data=\"c=1\"/> -->\n",
        ),
        ("<X-PRE-PROCESS\ncmd=\"set\" data=\"c=1\"/>", None, "\ncmd=\"set\" data=\"c=1\"/>\n"),
        ("<XX-PRE-PROCESS cmd=\"set\" data=\"c=1\"/>", None, "\n\n"),
        ("<X-PRE-PROCESS data=\"c=1\" cmd=\"set\"/>", None, "\n\n"),
        ("<X-PRE-PROCESS cmd='set' data='c=1'/>", None, "\n\n"),
        ("<x-pre-process cmd=\"SET\" data=\"c=1\"/>", Some("1"), "\n\n"),
        ("a <X-PRE-PROCESS cmd=\"set\" data=\"c=1\"/> b", Some("1"), "\n\n"),
        (
            "<X-PRE-PROCESS cmd=\"set\" data=\"c=1\"/><X-PRE-PROCESS cmd=\"set\" data=\"c=2\"/>",
            Some("1"),
            "\n\n",
        ),
        ("<X-PRE-PROCESS cmd=\"set\" data=\"c=a/>b\"/>", Some("a/>"), "\n\n"),
        ("<X-PRE-PROCESS cmd=\"set\" data=\"c=a&amp;b\"/>", Some("a&amp;b"), "\n\n"),
        ("<X-PRE-PROCESS cmd=\"comment\" data=\"c=1\"/>", None, "\n\n"),
        ("<!--#comment\n<X-PRE-PROCESS cmd=\"set\" data=\"c=1\"/>\n-->x", None, "\nx\n"),
        ("<!--#set c=1-->", Some("1"), "\n\n"),
        ("<!--#set c=1 -->", Some("1 "), "\n\n"),
        ("<!--#set \"c=1 2\" -->", Some("1 2"), "\n\n"),
        ("a<!--#set c=1-->b", Some("1"), "\nab\n"),
    ];
    for (lines, value, left) in cases {
        // Lines that vanish take their end with them.
        let loaded = root(&format!("{lines}\n"));
        assert_eq!(loaded.globals.get("c"), value, "{lines}");
        let text = loaded.tree.unwrap().root().text().to_owned();
        assert_eq!(text.trim_matches('\n'), left.trim_matches('\n'), "{lines}");
    }
    let kept = root("<X-NO-PRE-PROCESS cmd=\"set\" data=\"c=1\"/>\n<Z-PRE-PROCESS a=\"1\"/>");
    assert_eq!(kept.tree.unwrap().root().children().count(), 2);
}

#[test]
fn losses_are_reported() {
    let cases = [
        ("<!-- <X-PRE-PROCESS cmd=\"set\" data=\"c=1\"/> -->", "directive-in-comment"),
        ("<!--\n<X-PRE-PROCESS cmd=\"set\" data=\"c=1\"/>\n-->", "directive-in-comment"),
        ("<a/> <X-PRE-PROCESS cmd=\"set\" data=\"c=1\"/>", "line-rest-lost"),
        ("<XX-PRE-PROCESS cmd=\"set\" data=\"c=1\"/>", "line-dropped"),
        ("<X-PRE-PROCESS cmd='set' data='c=1'/>", "directive-ignored"),
        ("<X-PRE-PROCESS cmd=\"sett\" data=\"c=1\"/>", "directive-unknown"),
        ("<X-PRE-PROCESS cmd=\"set\" data=\"c\"/>", "set-without-equals"),
        ("<X-PRE-PROCESS cmd=\"stun-set\" data=\"c=stun:stun.example.org\"/>", "stun-failed"),
        ("<X-PRE-PROCESS cmd=\"env-set\" data=\"c=$FERROSWITCH_NO_SUCH\"/>", "env-unset"),
        ("<X-PRE-PROCESS cmd=\"env-set\" data=\"c=HOME\"/>", "env-set-ignored"),
        ("<X-PRE-PROCESS cmd=\"exec\" data=\"echo hi\"/>", "exec-off"),
        ("<X-PRE-PROCESS cmd=\"exec-set\" data=\"c=echo hi\"/>", "exec-off"),
        ("<X-PRE-PROCESS cmd=\"include\" data=\"no-such-*.xml\"/>", "include-empty"),
        ("<X-PRE-PROCESS cmd=\"include\" data=\"no-such-dir/*.xml\"/>", "include-failed"),
    ];
    for (line, code) in cases {
        assert_eq!(codes(&root(line)), [code], "{line}");
    }
}

#[test]
fn the_environment_and_stun_are_asked_for_their_variables() {
    let options = LoadOptions {
        env: Some(Arc::new(|name| (name == "POD_IP").then(|| "192.0.2.7".to_owned()))),
        stun: Some(Arc::new(|server| (server == "stun.example.org").then(|| "203.0.113.9".into()))),
        ..LoadOptions::default()
    };
    let lines = "<r>\n<X-PRE-PROCESS cmd=\"env-set\" data=\"ip=$POD_IP\"/>\n\
                 <X-PRE-PROCESS cmd=\"stun-set\" data=\"public=stun:stun.example.org\"/>\n</r>";
    let loaded =
        dialplan_xml::parse_document(lines.as_bytes(), "t", ".".as_ref(), Globals::new(), &options);
    assert_eq!(loaded.globals.get("ip"), Some("192.0.2.7"));
    assert_eq!(loaded.globals.get("public"), Some("203.0.113.9"));
}

#[test]
fn commands_run_only_when_allowed_by_name() {
    let allow = |commands: &[PreprocessorCommand]| LoadOptions {
        allowed: commands.iter().copied().collect(),
        ..LoadOptions::default()
    };
    let lines = "<r>\n<X-PRE-PROCESS cmd=\"exec-set\" data=\"v=printf 'a b \\n\\n'\"/>\n\
                 <X-PRE-PROCESS cmd=\"exec\" data=\"printf '<e>$%s{v}</e>' '$'\"/>\n</r>";
    let load = |options| {
        dialplan_xml::parse_document(lines.as_bytes(), "t", ".".as_ref(), Globals::new(), &options)
    };
    let both = load(allow(&[PreprocessorCommand::Exec, PreprocessorCommand::ExecSet]));
    assert_eq!(both.globals.get("v"), Some("a b"));
    // What a command prints is not preprocessed again.
    assert_eq!(both.tree.unwrap().root().child("e").unwrap().text(), "$${v}");
    let one = load(allow(&[PreprocessorCommand::ExecSet]));
    assert_eq!(one.globals.get("v"), Some("a b"));
    assert_eq!(codes(&one), ["exec-off"]);
}

#[test]
fn includes_come_in_byte_order_and_nest_relative_to_their_file() {
    let dir = Dir::new("include-order");
    for name in ["10.xml", "2.xml", "B.xml", "_c.xml", "a.xml", ".hidden.xml", "a.txt"] {
        dir.write(&format!("sub/{name}"), format!("<include>\n<f>{name}</f>\n</include>\n"));
    }
    dir.write("sub/z.xml", "<X-PRE-PROCESS cmd=\"include\" data=\"deeper/*.xml\"/>\n");
    dir.write("sub/deeper/d.xml", "<X-PRE-PROCESS cmd=\"include\" data=\"../../top.xml\"/>\n");
    dir.write("top.xml", "<f>top</f>\n");
    dir.write("freeswitch.xml", "<r>\n<X-PRE-PROCESS cmd=\"include\" data=\"sub/*.xml\"/>\n</r>");
    let tree = dir.load().tree.unwrap();
    let names: Vec<_> = tree.root().children().map(|c| c.text().to_owned()).collect();
    assert_eq!(names, ["10.xml", "2.xml", "B.xml", "_c.xml", "a.xml", "top"]);
}

#[test]
fn an_include_that_includes_itself_is_cut_and_the_load_goes_on() {
    let dir = Dir::new("include-loop");
    dir.write("freeswitch.xml", "<r>\n<X-PRE-PROCESS cmd=\"include\" data=\"loop.xml\"/>\n</r>");
    dir.write("loop.xml", "<a/>\n<X-PRE-PROCESS cmd=\"include\" data=\"loop.xml\"/>\n");
    let loaded = dir.load();
    assert_eq!(codes(&loaded), ["include-too-deep"]);
    assert_eq!(loaded.tree.unwrap().root().children().count(), 100);
}

#[test]
fn includes_that_multiply_stay_bounded() {
    let dir = Dir::new("include-bomb");
    let line = "<X-PRE-PROCESS cmd=\"include\" data=\"bomb.xml\"/>\n".repeat(50);
    dir.write("freeswitch.xml", format!("<r>\n{line}</r>"));
    dir.write("bomb.xml", line);
    let loaded = dir.load();
    assert!(codes(&loaded).contains(&"include-too-many"));
}

#[test]
fn a_document_beyond_the_limit_is_refused() {
    let options = LoadOptions { max_bytes: 100, ..LoadOptions::default() };
    let text = format!("<r>\n{}</r>", "<a/>\n".repeat(100));
    let loaded =
        dialplan_xml::parse_document(text.as_bytes(), "t", ".".as_ref(), Globals::new(), &options);
    assert!(loaded.tree.is_none());
    assert!(codes(&loaded).contains(&"document-too-large"));
}

#[test]
fn places_count_through_includes_and_variables() {
    let dir = Dir::new("places");
    dir.write(
        "freeswitch.xml",
        "<r>\n<X-PRE-PROCESS cmd=\"set\" data=\"long=0123456789\"/>\n\
         <X-PRE-PROCESS cmd=\"include\" data=\"part.xml\"/>\n</r>",
    );
    dir.write("part.xml", "<include>\n  <a x=\"$${long}\" y=\"2\"/>\n\n  <b/>\n</include>\n");
    let tree = dir.load().tree.unwrap();
    let at = |place: dialplan_xml::Place| {
        let file = place.file.rsplit('/').next().unwrap().to_owned();
        (file, place.line, place.column)
    };
    let a = tree.root().child("a").unwrap();
    assert_eq!(at(a.place()), ("part.xml".to_owned(), 2, 3));
    assert_eq!(at(a.attr_place("x")), ("part.xml".to_owned(), 2, 9));
    assert_eq!(at(a.attr_place("y")), ("part.xml".to_owned(), 2, 22));
    assert_eq!(at(tree.root().child("b").unwrap().place()), ("part.xml".to_owned(), 4, 3));
}

#[test]
fn encodings_other_than_utf8() {
    let dir = Dir::new("encodings");
    dir.write(
        "freeswitch.xml",
        b"\xef\xbb\xbf<r>\n<X-PRE-PROCESS cmd=\"include\" data=\"*.inc\"/>\n</r>",
    );
    dir.write("latin.inc", b"<a>caf\xe9</a>\n");
    let wide: Vec<u8> =
        "\u{feff}<b>caf\u{e9}</b>\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    dir.write("wide.inc", wide);
    let loaded = dir.load();
    assert_eq!(codes(&loaded), ["encoding"]);
    let texts: Vec<_> =
        loaded.tree.unwrap().root().children().map(|c| c.text().to_owned()).collect();
    assert_eq!(texts, ["café", "café"]);
}

#[test]
fn variables_set_by_a_document_that_is_refused_stay_set() {
    let loaded = document("<r>\n<X-PRE-PROCESS cmd=\"set\" data=\"a=1\"/>\n</s>\n");
    assert!(loaded.tree.is_none());
    assert_eq!(loaded.globals.get("a"), Some("1"));
}

#[test]
fn a_missing_or_empty_root_is_named() {
    let dir = Dir::new("no-root");
    let missing = dir.load();
    assert_eq!(missing.status, "Cannot Open log directory or XML Root!");
    assert_eq!(codes(&missing), ["root-unreadable"]);
    dir.write("freeswitch.xml", "");
    assert_eq!(dir.load().status, "Cannot Open log directory or XML Root!");
}
