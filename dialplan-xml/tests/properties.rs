//! What holds for any input.

mod common;

use common::Call;
use dialplan_xml::dialplan::parse_inline;
use dialplan_xml::expand::{expand, expand_event, has_references, scope_variables};
use dialplan_xml::regex::{Captures, Pattern, substitute};
use dialplan_xml::text::split;
use dialplan_xml::{Element, Globals, Host, Later, LoadOptions, parse_document};
use proptest::prelude::*;

/// Text rich in what the scanners care about.
fn tangle() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("${"),
        Just("$${"),
        Just("}"),
        Just("{"),
        Just("("),
        Just(")"),
        Just("["),
        Just("]"),
        Just("\\"),
        Just("'"),
        Just(":"),
        Just("$"),
        Just("a"),
        Just("b"),
        Just("1"),
        Just("-"),
        Just(" "),
        Just(","),
        Just("é"),
        Just("%["),
        Just("^^;"),
        Just("echo"),
        Just("|"),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Text rich in markup and directives.
fn markup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<a>"),
        Just("</a>"),
        Just("<b x=\"1\"/>"),
        Just("<b x='"),
        Just("\""),
        Just("'"),
        Just(">"),
        Just("<!--"),
        Just("-->"),
        Just("--"),
        Just("<![CDATA["),
        Just("]]>"),
        Just("<?"),
        Just("?>"),
        Just("<!DOCTYPE a ["),
        Just("<!ENTITY e \"&e;x\">"),
        Just("]>"),
        Just("&e;"),
        Just("&#65;"),
        Just("&"),
        Just("<X-PRE-PROCESS cmd=\"set\" data=\"v=1\"/>"),
        Just("<X-PRE-PROCESS"),
        Just("$${v}"),
        Just("$${"),
        Just("<!--#set v=2-->"),
        Just("<!--#"),
        Just("\n"),
        Just("\r"),
        Just("é"),
        Just("text"),
        Just("<section name=\"s\">"),
        Just("</section>"),
        Just("<include>"),
    ];
    prop::collection::vec(piece, 0..50).prop_map(|pieces| pieces.concat())
}

fn call() -> Call {
    let mut call = Call::default().var("a", "${b}${b}x").var("b", "${a}[0]'\\").var("1", "é${1}");
    call.globals.set("-", "${a}");
    call
}

/// Every variable exists and is eight bytes long; asks are counted.
struct Plain(usize);

impl Host for Plain {
    fn variable(&mut self, _: &str) -> Option<String> {
        self.0 += 1;
        Some("12345678".to_owned())
    }
    fn set_variable(&mut self, _: &str, _: Option<&str>) {}
    fn field(&mut self, _: &str) -> Option<String> {
        None
    }
    fn global(&self, _: &str) -> Option<String> {
        None
    }
    fn api<'a>(&'a mut self, _: &'a str, _: &'a str) -> Later<'a, Option<String>> {
        self.0 += 1;
        Later::Now(Some("12345678".to_owned()))
    }
    fn run_inline<'a>(&'a mut self, _: &'a str, _: &'a str) -> Later<'a, ()> {
        Later::Now(())
    }
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

proptest! {
    /// Linear in what comes out: every reference asks once, and adds no more than its value.
    #[test]
    fn expansion_asks_once_per_reference_and_adds_no_more_than_the_values(text in tangle()) {
        for expand in [expand, expand_event] {
            let mut host = Plain(0);
            let out = expand(&text, &mut host);
            let references = text.matches("${").count();
            prop_assert!(host.0 <= references, "{} of {}: {}", host.0, references, text);
            prop_assert!(out.len() <= text.len() + 8 * references, "{} -> {}", text, out);
        }
    }

    #[test]
    fn expansion_ends_and_stays_bounded(text in tangle()) {
        prop_assert!(expand(&text, &mut call()).len() < 16 << 20);
        prop_assert!(expand_event(&text, &mut call()).len() < 16 << 20);
    }

    #[test]
    fn text_without_references_is_returned_as_it_is(text in tangle()) {
        if !has_references(&text) {
            prop_assert_eq!(expand(&text, &mut call()), text);
        }
    }

    #[test]
    fn plain_text_comes_out_as_long_as_it_went_in(text in "[a-z$ ]{0,200}") {
        prop_assert_eq!(expand(&text, &mut call()), text);
    }

    #[test]
    fn splitting_never_makes_more_fields_than_asked_for(text in tangle(), max in 1_usize..6) {
        for delimiter in [',', ' ', '|'] {
            prop_assert!(split(&text, delimiter, max).len() <= max);
        }
        let _ = parse_inline(&text);
        let (_, rest) = scope_variables(&text);
        prop_assert!(text.ends_with(rest));
    }

    #[test]
    fn expressions_never_panic(text in tangle(), subject in tangle()) {
        if let Ok(pattern) = Pattern::new(&text) {
            prop_assert_eq!(pattern.captures(&subject).is_some(), pattern.is_match(&subject));
        }
        substitute(&text, &Captures { groups: vec![subject] });
    }

    /// What the prefix check rejects, PCRE rejects too: `(?:)` in front hides the prefix from it.
    #[test]
    fn the_fixed_prefix_never_changes_a_verdict(body in "[1-3(|)?+*\\[\\]^.\\\\]{0,10}", subject in "[1-3(|]{0,6}") {
        let (plain, hidden) = (Pattern::new(&format!("^{body}")), Pattern::new(&format!("(?:)^{body}")));
        if let (Ok(plain), Ok(hidden)) = (plain, hidden) {
            prop_assert_eq!(plain.captures(&subject), hidden.captures(&subject));
        }
    }

    #[test]
    fn any_document_is_read_or_refused(text in markup()) {
        let options = LoadOptions { env: Some(std::sync::Arc::new(|_| None)), ..LoadOptions::default() };
        let loaded = parse_document(text.as_bytes(), "t", "/nonexistent".as_ref(), Globals::new(), &options);
        prop_assert_eq!(loaded.tree.is_some(), loaded.status == "Success");
        for found in &loaded.diagnostics {
            prop_assert!(!found.render(&loaded.sources).is_empty());
        }
        if let Some(tree) = loaded.tree {
            // What is printed can be read again and holds the same elements.
            let root = Element::from_node(tree.root());
            if let Some(again) = dialplan_xml::parse_raw(&root.to_xml(), "again").tree {
                prop_assert_eq!(tree.root().descendants().count(), again.len());
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let loaded = parse_document(&bytes, "t", "/nonexistent".as_ref(), Globals::new(), &LoadOptions::default());
        prop_assert_eq!(loaded.tree.is_some(), loaded.status == "Success");
    }
}
