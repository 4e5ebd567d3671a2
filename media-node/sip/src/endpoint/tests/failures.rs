//! Calls that go wrong.

use super::super::*;
use super::net::*;
use crate::message::{Message, Method, Name};
use crate::transport::Transport;

#[test]
fn nobody_answers_and_the_call_fails_after_32_seconds() {
    let mut net = Net::over(Transport::Udp, |_| 0);
    net.call();
    net.run(ms(31_999));
    assert_eq!(net.alice.story(), "");
    // Timer A doubles: 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s.
    assert_eq!(net.alice.sent.len(), 7);
    net.run(ms(2));
    assert_eq!(net.alice.story(), "failed-408");
}

#[test]
fn over_tcp_nothing_is_repeated() {
    let mut net = Net::over(Transport::Tcp, |_| 0);
    net.call_with(|spec| spec.transport = Some(Transport::Tcp));
    net.run(sec(31));
    assert_eq!(net.alice.sent.len(), 1);
    net.run(sec(2));
    assert_eq!(net.alice.story(), "failed-408");
}

#[test]
fn a_refusal_is_repeated_until_acknowledged() {
    // The ACKs (4th and 6th datagram) are lost.
    let mut net = Net::over(Transport::Udp, |n| usize::from(n != 4 && n != 6));
    net.call();
    net.run(ms(30));
    net.bob_answers(0, 180);
    net.run(ms(30));
    net.bob_answers(0, 486);
    net.run(sec(40));
    assert_eq!(net.alice.story(), "180 failed-486");
    assert_eq!(net.bob.story(), "byus");
    assert_eq!(net.alice.wire(), "INVITE ACK ACK ACK");
    assert_eq!(net.bob.wire(), "180 486 486 486");
}

#[test]
fn a_200_never_acknowledged_ends_the_call_with_a_bye() {
    let mut net = Net::new();
    net.call_with(|spec| spec.auto_ack = false);
    net.run(ms(30));
    net.bob_answers(0, 200);
    net.run(sec(31));
    assert_eq!(net.bob.story(), "");
    net.run(sec(2));
    assert_eq!(net.bob.story(), "noack");
    assert!(net.bob.wire().ends_with("BYE"), "{}", net.bob.wire());
    // T1 doubling up to T2: 0, .5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5 s.
    assert_eq!(net.bob.wire().matches("200").count(), 11);
}

#[test]
fn a_peer_that_forgot_the_dialog_ends_it() {
    let (mut net, a, _) = Net::up();
    net.bob.endpoint.calls.clear();
    net.bob.endpoint.by_tags.clear();
    net.alice.endpoint.request_in_dialog(net.now, a, Token(1), Method::Info, &Headers::new(), None);
    net.run(sec(1));
    assert_eq!(net.alice.story(), "200 peergone");
    assert!(net.alice.replies[0].as_ref().is_ok_and(|r| r.response.status == 481));
    assert!(net.alice.wire().ends_with("BYE"), "{}", net.alice.wire());
}

#[test]
fn a_send_error_fails_the_call_at_once() {
    let mut net = Net::over(Transport::Udp, |_| 0);
    net.call();
    let Some(Output::Info { .. }) = net.alice.endpoint.poll_output(net.now) else { panic!() };
    let Some(Output::Transmit { tx: Some(tx), .. }) = net.alice.endpoint.poll_output(net.now)
    else {
        panic!()
    };
    net.alice.endpoint.handle_send_failure(net.now, tx, addr(BOB), "connection refused");
    net.run(ms(1));
    assert_eq!(net.alice.story(), "failed-503");
}

#[test]
fn a_name_that_does_not_resolve_fails_the_call() {
    let mut net = Net::new();
    net.call_with(|spec| spec.next_hop = crate::uri::Uri::parse("sip:nowhere.example"));
    let mut token = None;
    while let Some(output) = net.alice.endpoint.poll_output(net.now) {
        if let Output::Resolve { token: t, host, .. } = output {
            assert_eq!(host, "nowhere.example");
            token = Some(t);
        }
    }
    net.alice.endpoint.handle_resolved(net.now, token.unwrap(), &[]);
    net.run(ms(1));
    assert_eq!(net.alice.story(), "failed-503");
}

#[test]
fn a_released_call_ends_as_its_stage_demands() {
    let mut net = Net::new();
    let a = net.call();
    net.run(ms(30));
    let b = net.bob.invites[0].0;
    net.bob.endpoint.release(net.now, b);
    net.run(ms(30));
    assert_eq!(net.alice.story(), "failed-480");
    let (mut up, a2, _) = Net::up();
    up.alice.endpoint.release(up.now, a2);
    up.run(ms(30));
    assert_eq!(up.bob.story(), "acked bye");
    assert_ne!(a, b);
}

#[test]
fn the_same_invite_by_two_ways_is_a_loop() {
    let mut net = Net::new();
    net.call();
    net.run(ms(30));
    let Message::Request(mut copy) = last_sent(&net.alice, "INVITE") else { panic!() };
    copy.headers.set(Name::Via, format!("SIP/2.0/UDP {ALICE};branch=z9hG4bKanotherway"));
    let text = String::from_utf8(copy.to_bytes().to_vec()).unwrap();
    net.inject(ALICE, BOB, &text);
    net.run(ms(30));
    assert_eq!(net.bob.invites.len(), 1);
    assert_eq!(net.bob.wire(), "482");
}

#[test]
fn too_many_requests_in_a_second_are_turned_away_cheaply() {
    let mut net = Net::new();
    net.bob.endpoint.config.limits.requests_per_second = 2;
    net.bob.endpoint.admission = Admission::new(2, None);
    for n in 0..4 {
        let text = format!(
            "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bK{n}\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:b@h>\r\nCall-ID: {n}\r\nCSeq: 1 OPTIONS\r\n\r\n"
        );
        net.inject(ALICE, BOB, &text);
    }
    net.run(ms(30));
    assert_eq!(net.bob.requests.len(), 2);
    assert_eq!(net.bob.wire(), "503 503");
    assert_eq!(net.bob.endpoint.load(), (0, 2));
}

#[test]
fn beyond_so_many_unanswered_requests_new_ones_are_turned_away() {
    let mut net = Net::new();
    net.bob.endpoint.config.limits.proceeding = 2;
    let ask = |net: &mut Net, n: u32| {
        let text = format!(
            "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKp{n}\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:b@h>\r\nCall-ID: p{n}\r\nCSeq: 1 OPTIONS\r\n\r\n"
        );
        net.inject(ALICE, BOB, &text);
        net.run(ms(30));
    };
    (0..3).for_each(|n| ask(&mut net, n));
    assert_eq!((net.bob.requests.len(), net.bob.wire().as_str()), (2, "503"));
    // One that has its answer makes room.
    let first = net.bob.requests[0].0;
    net.bob.endpoint.answer_request(net.now, first, content(200));
    net.run(ms(30));
    (3..5).for_each(|n| ask(&mut net, n));
    assert_eq!((net.bob.requests.len(), net.bob.wire().as_str()), (3, "503 200 503"));
}

/// A call to a name that leads to several addresses, the first of them another host's.
fn call_by_name(found: &[(Transport, &str)]) -> (Net, DialogId) {
    let mut net = Net::new();
    let id = net.call_with(|spec| spec.next_hop = crate::uri::Uri::parse("sip:carrier.example"));
    let mut token = None;
    while let Some(output) = net.alice.endpoint.poll_output(net.now) {
        if let Output::Resolve { token: t, .. } = output {
            token = Some(t);
        }
    }
    let found: Vec<_> = found.iter().map(|(t, a)| (*t, addr(a))).collect();
    net.alice.endpoint.handle_resolved(net.now, token.unwrap(), &found);
    (net, id)
}

const NOBODY: &str = "192.0.2.66:5060";

#[test]
fn silence_of_one_address_leads_to_the_next() {
    let (mut net, _) = call_by_name(&[(Transport::Udp, NOBODY), (Transport::Udp, BOB)]);
    net.run(ms(31_900));
    assert_eq!(net.bob.invites.len(), 0);
    net.run(ms(200));
    assert_eq!(net.bob.invites.len(), 1);
    net.bob_answers(0, 200);
    net.run(ms(100));
    assert_eq!((net.alice.story().as_str(), net.bob.story().as_str()), ("200", "acked"));
}

#[test]
fn an_address_that_is_unreachable_is_passed_over_at_once() {
    let (mut net, _) = call_by_name(&[(Transport::Udp, NOBODY), (Transport::Udp, BOB)]);
    net.run(ms(1));
    net.alice.endpoint.handle_unreachable(net.now, addr(NOBODY), "connection refused");
    net.run(ms(50));
    assert_eq!(net.bob.invites.len(), 1);
}

#[test]
fn a_server_out_of_service_leads_to_the_next() {
    let (mut net, _) = call_by_name(&[(Transport::Udp, BOB), (Transport::Udp, BOB)]);
    net.run(ms(50));
    net.bob_answers(0, 503);
    net.run(ms(100));
    assert_eq!(net.alice.story(), "");
    assert_eq!(net.bob.invites.len(), 2);
    net.bob_answers(1, 503);
    net.run(ms(100));
    assert_eq!(net.alice.story(), "failed-503");
    assert_eq!(net.alice.wire(), "INVITE ACK INVITE ACK");
}

#[test]
fn a_cancelled_call_tries_no_further_address() {
    let (mut net, a) = call_by_name(&[(Transport::Udp, BOB), (Transport::Udp, BOB)]);
    net.run(ms(50));
    net.bob_answers(0, 180);
    net.run(ms(50));
    net.alice.endpoint.cancel(net.now, a, Headers::new());
    net.bob_answers(0, 503);
    net.run(sec(1));
    assert_eq!(net.bob.invites.len(), 1);
    assert!(net.alice.story().ends_with("failed-503"), "{}", net.alice.story());
}

/// An INVITE without a sender: what a forged source looks like.
fn forged_invite(n: usize) -> String {
    format!(
        "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.7;branch=z9hG4bKf{n}\r\nFrom: <sip:a@h>;tag=1\r\n\
         To: <sip:b@h>\r\nCall-ID: f{n}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@203.0.113.7>\r\n\r\n"
    )
}

#[test]
fn a_refusal_is_repeated_only_to_who_asks_again() {
    const FORGED: &str = "203.0.113.7:5060";
    let mut net = Net::new();
    net.inject(FORGED, BOB, &forged_invite(1));
    net.run(ms(30));
    net.bob_answers(0, 407);
    net.run(sec(5));
    assert_eq!(net.bob.wire(), "407", "one question, one answer");
    net.inject(FORGED, BOB, &forged_invite(1));
    net.run(ms(30));
    assert_eq!(net.bob.wire(), "407 407");
    net.run(sec(60));
    assert_eq!((net.bob.wire().as_str(), net.bob.endpoint.load()), ("407 407", (0, 0)));
}

#[test]
fn requests_of_made_up_dialogs_are_answered_and_forgotten() {
    let mut net = Net::new();
    for n in 0..50 {
        for method in ["BYE", "INVITE", "INFO", "CANCEL"] {
            let text = format!(
                "{method} sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bK{method}{n}\r\n\
                 From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=no\r\nCall-ID: {n}\r\nCSeq: 1 {method}\r\n\
                 Contact: <sip:a@{ALICE}>\r\n\r\n"
            );
            net.inject(ALICE, BOB, &text);
        }
    }
    net.run(ms(30));
    assert_eq!(net.bob.wire(), vec!["481"; 200].join(" "));
    assert_eq!(net.bob.endpoint.load(), (0, 0));
}

#[test]
fn one_that_floods_leaves_room_for_others() {
    let mut net = Net::new();
    net.bob.endpoint.admission = Admission::new(100, None);
    for n in 0..300 {
        net.inject(ALICE, BOB, &forged_invite(n));
    }
    net.run(ms(30));
    assert_eq!(net.bob.invites.len(), 100);
    net.inject("198.51.100.1:5060", BOB, &forged_invite(1000));
    net.run(ms(30));
    assert_eq!(net.bob.invites.len(), 101);
}

/// A request with a made-up To tag, of so many bytes or a little more.
fn tagged(method: &str, n: usize, size: usize) -> String {
    format!(
        "{method} sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bK{method}{n};x={}\r\n\
         From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=made-up\r\nCall-ID: {method}{n}\r\nCSeq: 1 {method}\r\n\
         Event: dialog\r\nContact: <sip:a@{ALICE}>\r\n\r\n",
        "x".repeat(size)
    )
}

#[test]
fn a_to_tag_of_no_dialog_is_no_way_round_the_limits() {
    for method in ["OPTIONS", "NOTIFY", "SUBSCRIBE"] {
        let mut net = Net::new();
        net.bob.endpoint.admission = Admission::new(10, None);
        for n in 0..50 {
            net.inject(ALICE, BOB, &tagged(method, n, 0));
        }
        net.run(ms(30));
        assert_eq!(net.bob.requests.len(), 10, "{method}");
        assert_eq!(net.bob.wire(), vec!["503"; 40].join(" "), "{method}");
    }
}

#[derive(Debug)]
struct Friend(SocketAddr);

impl Peers for Friend {
    fn knows(&self, peer: SocketAddr, _transport: Transport) -> bool {
        peer == self.0
    }
}

#[test]
fn however_many_strangers_ask_a_known_peer_is_served() {
    let mut net = Net::new();
    net.bob.endpoint.admission = Admission::new(1000, Some(Arc::new(Friend(addr(ALICE)))));
    for n in 0..3000_usize {
        let stranger = format!("198.51.{}.{}:5060", n % 2, n % 100);
        net.inject(&stranger, BOB, &forged_invite(n));
    }
    for n in 0..500 {
        net.inject(ALICE, BOB, &tagged("OPTIONS", n, 0));
    }
    net.run(ms(30));
    assert_eq!((net.bob.invites.len(), net.bob.requests.len()), (2000, 500));
}

#[test]
fn requests_within_a_running_dialog_are_served_beside_a_flood() {
    let (mut net, a, _) = Net::up();
    net.bob.endpoint.admission = Admission::new(10, None);
    for n in 0..6_000 {
        net.inject("198.51.100.1:5060", BOB, &forged_invite(n));
    }
    net.alice.endpoint.bye(net.now, a, Headers::new());
    net.run(ms(100));
    assert!(net.bob.story().ends_with("bye"), "{}", net.bob.story());
    assert!(net.alice.story().ends_with("byus"), "{}", net.alice.story());
}

#[test]
fn large_requests_of_strangers_are_held_within_bounds_and_forgotten() {
    let mut net = Net::new();
    net.bob.endpoint.admission = Admission::new(0, None);
    for second in 0..8 {
        for n in 0..300 {
            let stranger = format!("198.51.100.{}:5060", n % 200);
            net.inject(&stranger, BOB, &tagged("SUBSCRIBE", second * 1000 + n, 60_000));
        }
        net.run(sec(1));
        let (strangers, known) = net.bob.endpoint.transactions.held();
        assert!(strangers <= 32 << 20, "{strangers}");
        assert_eq!(known, 0);
    }
    let (held_before, _) = net.bob.endpoint.transactions.held();
    assert!(held_before > 16 << 20, "they wait for their answers: {held_before}");
    for (id, _) in std::mem::take(&mut net.bob.requests) {
        let content =
            Content { status: 489, reason: String::new(), headers: Headers::new(), body: None };
        net.bob.endpoint.answer_request(net.now, id, content);
    }
    net.run(ms(30));
    let (answered, _) = net.bob.endpoint.transactions.held();
    assert!(answered * 20 < held_before, "only what answers again is kept: {answered}");
    let repeated = tagged("SUBSCRIBE", 0, 60_000);
    net.bob.sent.clear();
    net.inject("198.51.100.0:5060", BOB, &repeated);
    net.run(ms(30));
    assert_eq!(net.bob.wire(), "489");
    assert!(net.bob.sent[0].len() > 60_000, "with the Via of the request");
    net.run(sec(60));
    assert_eq!(net.bob.endpoint.transactions.held(), (0, 0));
    assert_eq!(net.bob.endpoint.load(), (0, 0));
}
