//! What goes on the wire, byte for byte where the reference was recorded.

use super::net::*;
use crate::message::Message;
use crate::message::{Headers, Name};

/// Sends text to Bob and gives back what he says.
fn answer(text: &str) -> Vec<String> {
    let mut net = Net::new();
    net.inject(ALICE, BOB, text);
    net.run(ms(50));
    net.bob.sent.iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect()
}

fn request(first_line: &str, method: &str, extra: &str) -> String {
    format!(
        "{first_line}\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKq\r\nMax-Forwards: 70\r\n\
         From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n{extra}Content-Length: 0\r\n\r\n"
    )
}

fn names(message: &str) -> String {
    let head = message.split("\r\n\r\n").next().unwrap_or("");
    let names: Vec<_> = head.lines().skip(1).filter_map(|l| l.split(':').next()).collect();
    names.join(",")
}

#[test]
fn a_stray_bye_is_answered_as_recorded() {
    let sent = answer(&request("BYE sip:b@192.0.2.2 SIP/2.0", "BYE", ""));
    assert_eq!(sent.len(), 1);
    assert!(sent[0].starts_with("SIP/2.0 481 Call Does Not Exist\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport=5060;branch=z9hG4bKq\r\n"), "{}", sent[0]);
    assert_eq!(
        names(&sent[0]),
        "Via,From,To,Call-ID,CSeq,User-Agent,Allow,Supported,Content-Length"
    );
    assert!(sent[0].contains("\r\nTo: <sip:b@h>;tag="));
}

#[test]
fn unknown_and_unwanted_methods_are_told_apart() {
    let first = |m: &str| {
        answer(&request(&format!("{m} sip:b@192.0.2.2 SIP/2.0"), m, ""))[0][8..11].to_owned()
    };
    assert_eq!(first("MYSTERY"), "501");
    assert_eq!(first("PUBLISH"), "405");
    assert_eq!(first("INFO"), "200");
}

#[test]
fn what_an_invite_requires_must_be_supported() {
    let extra = "Contact: <sip:a@h>\r\nRequire: timer, teleport\r\n";
    let sent = answer(&request("INVITE sip:b@192.0.2.2 SIP/2.0", "INVITE", extra));
    assert!(sent[0].starts_with("SIP/2.0 420 "), "{}", sent[0]);
    assert!(sent[0].contains("Unsupported: teleport\r\n"));
}

#[test]
fn an_invite_without_contact_is_refused() {
    let sent = answer(&request("INVITE sip:b@192.0.2.2 SIP/2.0", "INVITE", ""));
    assert!(sent[0].starts_with("SIP/2.0 400 Missing Contact Header\r\n"), "{}", sent[0]);
}

#[test]
fn the_source_is_noted_when_it_differs() {
    let text = request("BYE sip:b@192.0.2.2 SIP/2.0", "BYE", "")
        .replace("Via: SIP/2.0/UDP 192.0.2.1:5060;rport;", "Via: SIP/2.0/UDP 10.0.0.9:5090;rport;");
    let sent = answer(&text);
    assert!(
        sent[0].contains(
            "Via: SIP/2.0/UDP 10.0.0.9:5090;rport=5060;branch=z9hG4bKq;received=192.0.2.1\r\n"
        ),
        "{}",
        sent[0]
    );
}

#[test]
fn our_invite_ack_and_bye_look_as_recorded() {
    let (mut net, a, _) = Net::up();
    net.alice.endpoint.bye(net.now, a, [("Reason", "Q.850;cause=16")].into_iter().collect());
    net.run(ms(50));
    let text = |n: usize| String::from_utf8_lossy(&net.alice.sent[n]).into_owned();
    assert_eq!(
        names(&text(0)),
        "Via,Max-Forwards,From,To,Call-ID,CSeq,Contact,User-Agent,Allow,Supported,Allow-Events,Content-Type,\
         Content-Disposition,Content-Length"
    );
    assert_eq!(names(&text(1)), "Via,Max-Forwards,From,To,Call-ID,CSeq,Contact,Content-Length");
    assert_eq!(
        names(&text(2)),
        "Via,Max-Forwards,From,To,Call-ID,CSeq,User-Agent,Allow,Supported,Reason,Content-Length"
    );
    assert!(text(0).contains("Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK"), "{}", text(0));
}

#[test]
fn answers_and_their_refusals_look_as_recorded() {
    let mut net = Net::new();
    let a = net.call();
    net.run(ms(30));
    net.bob_answers(0, 180);
    net.run(ms(30));
    net.alice.endpoint.cancel(net.now, a, Headers::new());
    net.run(ms(50));
    let text = |n: usize| String::from_utf8_lossy(&net.bob.sent[n]).into_owned();
    assert_eq!(
        names(&text(0)),
        "Via,From,To,Call-ID,CSeq,Contact,User-Agent,Accept,Allow,Supported,Allow-Events,Content-Length"
    );
    assert_eq!(names(&text(1)), "Via,From,To,Call-ID,CSeq,Content-Length");
    assert_eq!(
        names(&text(2)),
        "Via,From,To,Call-ID,CSeq,User-Agent,Allow,Supported,Allow-Events,Content-Length"
    );
    let tag = |n: usize| {
        text(n).split("To: ").nth(1).and_then(|t| t.split("\r\n").next().map(str::to_owned))
    };
    assert_eq!(tag(0), tag(1));
    assert_eq!(tag(0), tag(2));
}

#[test]
fn a_header_given_empty_is_left_out_and_one_given_replaces() {
    let mut net = Net::new();
    net.call_with(|spec| {
        spec.headers = [("Allow-Events", ""), ("User-Agent", "Other"), ("Max-Forwards", "69")]
            .into_iter()
            .collect();
    });
    net.run(ms(1));
    let Message::Request(invite) = last_sent(&net.alice, "INVITE") else { panic!() };
    assert_eq!(invite.headers.get(Name::AllowEvents), None);
    assert_eq!(invite.headers.get(Name::UserAgent), Some("Other"));
    assert_eq!(invite.headers.get(Name::MaxForwards), Some("69"));
    assert_eq!(invite.headers.all(Name::MaxForwards).count(), 1);
}

#[test]
fn broken_requests_are_answered_where_they_came_from() {
    let text = request("BYE sip:b@192.0.2.2 SIP/2.0", "INVITE", "");
    let sent = answer(&text);
    assert!(sent[0].starts_with("SIP/2.0 400 "), "{}", sent[0]);
}
