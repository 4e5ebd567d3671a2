//! Header values as RFC 3261 §20 and §25 allow them: lists over several lines, commas that separate nothing, quoted
//! pairs, folded lines, compact forms, parameters without value.

use bytes::Bytes;
use sip::message::{Message, MessageLimits, Name, Request, parse};
use sip::uri::NameAddr;

fn read(lines: &[&str]) -> Request {
    let mandatory = [
        ("Via", "v", "Via: SIP/2.0/UDP h;branch=z9hG4bK1"),
        ("From", "f", "From: <sip:a@h>;tag=1"),
        ("To", "t", "To: <sip:b@h>"),
        ("Call-ID", "i", "Call-ID: 1"),
        ("CSeq", "CSeq", "CSeq: 1 INVITE"),
    ];
    let named = |name: &str| {
        lines
            .iter()
            .any(|line| line.split(':').next().is_some_and(|n| n.trim().eq_ignore_ascii_case(name)))
    };
    let mut text = "INVITE sip:b@h SIP/2.0\r\n".to_owned();
    for (name, compact, line) in mandatory {
        if !named(name) && !named(compact) {
            text.push_str(line);
            text.push_str("\r\n");
        }
    }
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    match parse(&Bytes::from(text.clone()), &MessageLimits::default()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn lists_are_split_where_the_grammar_splits_them() {
    for (lines, name, elements) in [
        (
            &["Route: <sip:a;lr>,<sip:b?x=1,2>", "route: \"c, d\" <sip:c>;x=\"1,2\" , <sip:d>"][..],
            "Route",
            &["<sip:a;lr>", "<sip:b?x=1,2>", "\"c, d\" <sip:c>;x=\"1,2\"", "<sip:d>"][..],
        ),
        (
            &["v: SIP/2.0/UDP a ;branch=z9hG4bK1,", " SIP / 2.0 / TCP [::1]:5062;rport"],
            "Via",
            &["SIP/2.0/UDP a ;branch=z9hG4bK1", "SIP / 2.0 / TCP [::1]:5062;rport"],
        ),
        (
            &["k: timer,\t100rel", "Supported:", "SUPPORTED: ,path,"],
            "k",
            &["timer", "100rel", "path"],
        ),
        (
            &[
                "P-Asserted-Identity: \"A \\\", B\" <sip:a@h>, tel:+1;x=y",
                "p-asserted-identity:<tel:2>",
            ],
            "P-Asserted-Identity",
            &["\"A \\\", B\" <sip:a@h>", "tel:+1;x=y", "<tel:2>"],
        ),
        (
            &["Call-Info: <http://h/a,b>;purpose=icon , <http://h/c> ;purpose=info"],
            "call-info",
            &["<http://h/a,b>;purpose=icon", "<http://h/c> ;purpose=info"],
        ),
        (
            &["Reason: SIP ;cause=580;text=\"x, \\\"y\\\"; z\"", "Reason: Q.850;cause=16"],
            "Reason",
            &["SIP ;cause=580;text=\"x, \\\"y\\\"; z\"", "Q.850;cause=16"],
        ),
        (
            &["Accept: application/sdp;level=1, text/*;q=0.3, */*;q=0.1"],
            "Accept",
            &["application/sdp;level=1", "text/*;q=0.3", "*/*;q=0.1"],
        ),
        (
            &["Warning: 307 h \"no, such \\\"x\\\"\", 399 h \"misc\""],
            "Warning",
            &["307 h \"no, such \\\"x\\\"\"", "399 h \"misc\""],
        ),
        (
            &["y: abc;info=<https://h/c,d>;alg=ES256"],
            "Identity",
            &["abc;info=<https://h/c,d>;alg=ES256"],
        ),
    ] {
        let request = read(lines);
        assert_eq!(request.headers.list_named(name).collect::<Vec<_>>(), elements, "{lines:?}");
    }
}

#[test]
fn compact_forms_mean_the_full_ones() {
    let request = read(&[
        "v:SIP/2.0/UDP h;branch=z9hG4bK1",
        "F : <sip:a@h> ; tag = 1",
        "t\t:sip:b@h",
        "I: x@y",
        "m: <sip:c@h>",
        "c: application/sdp",
        "l: 0",
        "s: hello",
        "u: presence",
        "o: dialog;id=1",
        "r: <sip:d@h>",
        "b: <sip:e@h>",
        "x: 1800;refresher=uas",
        "e: gzip",
    ]);
    let headers = &request.headers;
    for (name, value) in [
        (Name::CallId, "x@y"),
        (Name::Contact, "<sip:c@h>"),
        (Name::ContentType, "application/sdp"),
        (Name::Subject, "hello"),
        (Name::AllowEvents, "presence"),
        (Name::Event, "dialog;id=1"),
        (Name::ReferTo, "<sip:d@h>"),
        (Name::ReferredBy, "<sip:e@h>"),
        (Name::SessionExpires, "1800;refresher=uas"),
        (Name::ContentEncoding, "gzip"),
    ] {
        assert_eq!(headers.get(name), Some(value), "{name:?}");
    }
    assert_eq!(headers.from_tag(), Some("1"));
    assert_eq!(headers.to_addr().map(|to| to.uri.to_string()).as_deref(), Some("sip:b@h"));
}

#[test]
fn folded_lines_are_one_value() {
    let request =
        read(&["Subject: one", "\ttwo ", "   three", "X-After: 1", "To: <sip:b@h>", " ;tag=2"]);
    assert_eq!(request.headers.get(Name::Subject), Some("one two three"));
    assert_eq!(request.headers.named("x-after"), Some("1"));
    assert_eq!(request.headers.to_tag(), Some("2"));
}

#[test]
fn addresses_are_read_in_all_their_forms() {
    for (value, display, uri, user, params) in [
        ("sip:a@h;tag=1", None, "sip:a@h", Some("a"), ";tag=1"),
        ("<sip:a;x=1?y@h;lr?b=c>;p", None, "sip:a;x=1?y@h;lr?b=c", Some("a;x=1?y"), ";p"),
        (
            "Bob  Jones <sip:b:pw@[2001:db8::1]:5070>",
            Some("Bob  Jones"),
            "sip:b:pw@[2001:db8::1]:5070",
            Some("b"),
            "",
        ),
        ("\"A \\\"B\\\", <C>\"<SIPS:%61@h>", Some("A \\\"B\\\", <C>"), "SIPS:a@h", Some("a"), ""),
        (
            "\"\" <tel:+1-201;phone-context=h> ; x = \"a;b\"",
            Some(""),
            "tel:+1-201;phone-context=h",
            Some("+1-201"),
            "; x = \"a;b\"",
        ),
        ("<sip:h>", None, "sip:h", None, ""),
        (
            "<sip:+1%2D2;isub=3@h;user=phone>",
            None,
            "sip:+1-2;isub=3@h;user=phone",
            Some("+1-2;isub=3"),
            "",
        ),
    ] {
        let address = NameAddr::parse(value).unwrap_or_else(|| panic!("{value}"));
        assert_eq!(address.display.as_deref(), display, "{value}");
        assert_eq!((address.uri.as_str(), address.uri.user()), (uri, user), "{value}");
        assert_eq!(address.params, params, "{value}");
        assert_eq!(NameAddr::parse(&address.to_string()), Some(address), "{value}");
    }
}
