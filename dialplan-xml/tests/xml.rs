//! The XML dialect: what is accepted, and the words for what is not.

mod common;

use common::document;
use dialplan_xml::Tree;

fn tree(text: &str) -> Tree {
    let loaded = document(text);
    loaded.tree.unwrap_or_else(|| panic!("{text}: {}", loaded.status))
}

fn attrs(text: &str) -> Vec<(String, String)> {
    let tree = tree(text);
    tree.root().attrs().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn attributes_are_read_leniently() {
    assert_eq!(attrs("<a x='1' y=\"2\"/>"), pairs(&[("x", "1"), ("y", "2")]));
    assert_eq!(attrs("<a x=\"it's <b> & c\"/>"), pairs(&[("x", "it's <b> & c")]));
    assert_eq!(attrs("<a x='say \"hi\"'/>"), pairs(&[("x", "say \"hi\"")]));
    assert_eq!(attrs("<a x=\"1\"y=\"2\"/>"), pairs(&[("x", "1"), ("y", "2")]));
    assert_eq!(attrs("<a x=1/>"), pairs(&[("x", ""), ("1", "")]));
    assert_eq!(attrs("<a x/>"), pairs(&[("x", "")]));
    assert_eq!(attrs("<a x = \"1\" />"), pairs(&[("x", "1")]));
    assert_eq!(attrs("<a x=\"1\n2\t3\"/>"), pairs(&[("x", "1 2 3")]));
    assert_eq!(attrs("<a\n  x=\"1\"\n/>"), pairs(&[("x", "1")]));
    assert_eq!(tree("<a x='1' x='2'/>").root().attr("x"), Some("1"));
    assert_eq!(tree("<a X='1' x='2'/>").root().attr("x"), Some("2"));
}

#[test]
fn entities_are_decoded_and_unknown_ones_kept() {
    let text = |t: &str| tree(&format!("<a>{t}</a>")).root().text().to_owned();
    assert_eq!(text("&lt;&gt;&amp;&quot;&apos;"), "<>&\"'");
    assert_eq!(text("&#65;&#x42;&#233;"), "ABé");
    assert_eq!(text("&x; & &amp;lt; &;"), "&x; & &lt; &;");
    assert_eq!(text("&#0;&#xD800;"), "&#0;&#xD800;");
    assert_eq!(text("a\r\nb"), "a\nb");
    assert_eq!(text("<![CDATA[<b>&amp;]]>"), "<b>&amp;");
    assert_eq!(text("1<b>2</b>3<!-- 4 -->56"), "1356");
}

#[test]
fn declarations_of_an_internal_dtd_are_honoured() {
    let text = "<!DOCTYPE a [\n<!ENTITY e \"x&f;\">\n<!ENTITY f \"y\">\n<!ATTLIST a k CDATA \"d\">\n]>\n<a>&e;</a>";
    let tree = tree(text);
    assert_eq!((tree.root().text(), tree.root().attr("k")), ("xy", Some("d")));
    let with = self::tree("<!DOCTYPE a [<!ATTLIST a k CDATA 'd'>]><a k='own'/>");
    assert_eq!(with.root().attr("k"), Some("own"));
}

#[test]
fn what_the_reference_refuses_is_refused_in_its_words() {
    let cases = [
        ("no element here", "[error near line 1]: root tag missing"),
        ("<a>\n</a>\n<b/>", "[error near line 3]: markup outside of root element"),
        ("<a", "[error near line 1]: missing >"),
        ("<a x=\"1>", "[error near line 1]: missing \""),
        ("<a x='1>", "[error near line 1]: missing '"),
        ("<a>\n</b>\n</a>", "[error near line 2]: unexpected closing tag </b>"),
        ("</a>", "[error near line 1]: unexpected closing tag </a>"),
        ("<a>\n<b>\n", "[error near line 3]: unclosed tag <b>"),
        ("<a><!-- x\n", "[error near line 1]: unclosed <!--"),
        ("<a><!-- x -- y --></a>", "[error near line 1]: unclosed <!--"),
        ("<a><![CDATA[ x\n", "[error near line 1]: unclosed <![CDATA["),
        ("<!DOCTYPE a [\n", "[error near line 1]: unclosed <!DOCTYPE"),
        ("<a>1 < 2</a>", "[error near line 1]: unexpected <"),
        (
            "<!DOCTYPE a [<!ENTITY x \"&y;\"><!ENTITY y \"&x;\">]><a/>",
            "[error near line 1]: circular entity declaration &x",
        ),
    ];
    for (text, status) in cases {
        let loaded = document(text);
        let said = loaded.status.replace("declaration &y", "declaration &x");
        assert_eq!((loaded.tree.is_none(), &*said), (true, status), "{text}");
        assert!(!loaded.diagnostics.is_empty(), "{text}");
    }
}

#[test]
fn text_in_front_of_the_root_is_skipped() {
    assert_eq!(tree("stray text\n<a/>").root().name(), "a");
}

#[test]
fn every_problem_is_named_in_one_go() {
    let loaded = document("<a>\n<b>\n</c>\n<d></b>\n</d>\n</a>\n");
    let said: Vec<_> = loaded.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        said,
        ["</c> closes nothing", "</b> comes before <d> is closed", "</d> closes nothing"]
    );
    assert_eq!(loaded.status, "[error near line 3]: unexpected closing tag </c>");
}

#[test]
fn lookups_take_the_first_of_a_name_and_ignore_the_case_of_values() {
    let tree = tree(
        "<document>\n<section name=\"Dialplan\"><context name=\"A\" n=\"1\"/><context name=\"a\" n=\"2\"/></section>\n\
         <section name=\"dialplan\"><context name=\"b\"/></section>\n<other name=\"x\"/>\n</document>",
    );
    let found = tree.locate("dialplan", "context", "name", "a").unwrap();
    assert_eq!(found.attr("n"), Some("1"));
    assert!(tree.locate("dialplan", "context", "name", "b").is_none());
    assert!(tree.locate("dialplan", "Context", "name", "a").is_none());
    assert!(tree.section("other").is_none());
}

#[test]
fn printing_escapes_what_must_be_escaped() {
    let tree = tree("<a x='\"&lt;&#10;'>&lt;\"é<b/></a>");
    assert_eq!(
        tree.root().to_xml(),
        "<a x=\"&quot;&lt; \">&lt;\"&#xE9;  <b></b>\n</a>\n".replace("&lt; ", "&lt;&#xA;")
    );
}

#[test]
fn entities_that_multiply_are_refused() {
    let mut text = String::from("<!DOCTYPE a [<!ENTITY e0 \"0123456789\">");
    for n in 1..12 {
        text.push_str(&format!("<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(10)));
    }
    text.push_str("]><a>&e11;</a>");
    let loaded = document(&text);
    assert!(loaded.tree.is_none());
    assert!(loaded.diagnostics.iter().any(|d| d.code == "xml-entity-limit"));
}

#[test]
fn elements_that_nest_without_end_are_refused() {
    let loaded = document(&"<a>".repeat(100_000));
    assert!(loaded.diagnostics.iter().any(|d| d.code == "xml-too-deep"));
}
