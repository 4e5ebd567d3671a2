//! Calls that go as they should, on good and bad wires.

use super::super::*;
use super::net::*;
use crate::digest::{PasswordAuthorizer, Secret};
use crate::message::Name;
use crate::transport::Transport;

#[test]
fn a_call_is_made_answered_and_ended() {
    let (mut net, a, _) = Net::up();
    net.alice.endpoint.bye(net.now, a, Headers::new());
    net.run(sec(60));
    assert_eq!(net.alice.story(), "200 byus");
    assert_eq!(net.bob.story(), "acked bye");
    assert_eq!(net.alice.wire(), "INVITE ACK BYE");
    assert_eq!(net.bob.wire(), "200 200");
}

#[test]
fn nothing_is_left_of_a_call_after_its_timers() {
    let (mut net, _, b) = Net::up();
    net.bob.endpoint.bye(net.now, b, Headers::new());
    net.run(sec(120));
    for end in [&net.alice, &net.bob] {
        assert_eq!(end.endpoint.load(), (0, 0));
        assert!(end.endpoint.exchanges.is_empty() && end.endpoint.pending.is_empty());
        assert!(end.endpoint.by_tags.is_empty() && end.endpoint.merged.is_empty());
        assert_eq!(end.endpoint.next_timeout(), None);
    }
}

#[test]
fn a_call_survives_a_wire_that_loses_and_repeats() {
    let mut net = Net::over(Transport::Udp, bad_wire);
    let a = net.call();
    net.run(sec(5));
    net.bob_answers(0, 180);
    net.run(sec(2));
    net.bob_answers(0, 200);
    net.run(sec(20));
    assert!(net.alice.story().ends_with("200"), "{}", net.alice.story());
    assert_eq!(net.bob.story(), "acked");
    assert_eq!(net.bob.invites.len(), 1);
    net.alice.endpoint.bye(net.now, a, Headers::new());
    net.run(sec(120));
    assert_eq!(net.bob.story(), "acked bye");
    assert!(net.alice.story().ends_with("byus"));
    assert_eq!((net.alice.endpoint.load(), net.bob.endpoint.load()), ((0, 0), (0, 0)));
}

#[test]
fn an_unanswered_invite_gets_its_100_after_a_fifth_of_a_second() {
    let mut net = Net::new();
    net.call();
    net.run(ms(209));
    assert_eq!(net.bob.wire(), "");
    net.run(ms(2));
    assert_eq!(net.bob.wire(), "100");
    net.run(sec(20));
    assert_eq!(net.alice.wire(), "INVITE");
}

#[test]
fn cancel_ends_a_ringing_call() {
    let mut net = Net::new();
    let a = net.call();
    net.run(ms(30));
    net.bob_answers(0, 180);
    net.run(ms(30));
    net.alice.endpoint.cancel(net.now, a, [("Reason", "SIP;cause=487")].into_iter().collect());
    net.run(ms(100));
    assert_eq!(net.alice.story(), "180 failed-487");
    assert_eq!(net.bob.story(), "cancelled");
    assert_eq!(net.alice.wire(), "INVITE CANCEL ACK");
    assert_eq!(net.bob.wire(), "180 200 487");
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut net = Net::new();
    let a = net.call();
    net.alice.endpoint.cancel(net.now, a, Headers::new());
    net.run(ms(150));
    assert_eq!(net.alice.wire(), "INVITE");
    net.run(ms(100));
    assert_eq!(net.alice.wire(), "INVITE CANCEL ACK");
    assert_eq!(net.bob.story(), "cancelled");
}

#[test]
fn a_200_that_crosses_a_cancel_is_acknowledged_and_hung_up() {
    let mut net = Net::new();
    let a = net.call();
    net.run(ms(30));
    net.bob_answers(0, 180);
    net.run(ms(30));
    net.bob_answers(0, 200);
    net.alice.endpoint.cancel(net.now, a, Headers::new());
    net.run(sec(1));
    assert_eq!(net.alice.wire(), "INVITE CANCEL ACK BYE");
    assert_eq!(net.alice.story(), "180 byus");
    assert_eq!(net.bob.story(), "acked bye");
}

#[test]
fn bye_before_the_ack_waits_for_it() {
    let mut net = Net::new();
    net.call_with(|spec| spec.auto_ack = false);
    net.run(ms(30));
    let b = net.bob_answers(0, 200);
    net.bob.endpoint.bye(net.now, b, Headers::new());
    net.run(ms(100));
    assert_eq!(net.bob.wire(), "200");
    let a = net.alice.events[0].0;
    net.alice.endpoint.ack(a, &Headers::new(), Some(Body::sdp("v=0\r\n")));
    net.run(ms(100));
    assert_eq!(net.bob.wire(), "200 BYE");
    assert_eq!(net.bob.story(), "acked byus");
    assert_eq!(net.alice.story(), "200 bye");
}

#[test]
fn a_lost_ack_is_repeated_with_the_200() {
    let mut net = Net::over(Transport::Udp, |n| usize::from(n != 3));
    net.call();
    net.run(ms(30));
    net.bob_answers(0, 200);
    net.run(sec(3));
    assert_eq!(net.alice.wire(), "INVITE ACK ACK");
    assert_eq!(net.bob.story(), "acked");
}

#[test]
fn requests_inside_a_dialog_go_both_ways() {
    let (mut net, a, b) = Net::up();
    net.alice.endpoint.request_in_dialog(
        net.now,
        a,
        Token(9),
        info(),
        &Headers::new(),
        Some(Body::new("a/b", "x")),
    );
    net.run(ms(30));
    let DialogEvent::Info(request) = net.bob.events[1].1.clone() else {
        panic!("{}", net.bob.story())
    };
    assert_eq!(&request.request.body[..], b"x");
    net.bob.endpoint.answer_request(net.now, request.id, content(200));
    net.run(ms(30));
    assert_eq!(net.alice.replies.len(), 1);
    assert!(net.alice.replies[0].as_ref().is_ok_and(|r| r.response.status == 200));
    net.bob.endpoint.reinvite(net.now, b, &Headers::new(), Some(Body::sdp("v=0\r\n")));
    net.run(ms(30));
    let DialogEvent::Reinvite(request) = net.alice.events[1].1.clone() else {
        panic!("{}", net.alice.story())
    };
    net.alice.endpoint.answer_request(net.now, request.id, content(200));
    net.run(sec(40));
    assert_eq!(net.alice.story(), "200 reinvite acked");
    assert_eq!(net.bob.story(), "acked info reinvited");
}

#[test]
fn the_other_forks_200_is_acknowledged_and_hung_up() {
    let (mut net, _, _) = Net::up();
    let Message::Response(mut second) = last_sent(&net.bob, "200") else { panic!() };
    second.headers.set(Name::To, format!("<sip:bob@{BOB}>;tag=otherfork"));
    let text = String::from_utf8(second.to_bytes().to_vec()).unwrap();
    net.inject(BOB, ALICE, &text);
    net.run(sec(40));
    assert_eq!(
        net.alice.wire().split(' ').take(4).collect::<Vec<_>>(),
        ["INVITE", "ACK", "ACK", "BYE"]
    );
    let Message::Request(bye) = last_sent(&net.alice, "BYE") else { panic!() };
    assert_eq!(bye.headers.to_tag(), Some("otherfork"));
    assert_eq!(net.alice.story(), "200");
}

#[test]
fn a_challenge_is_answered_once_with_the_next_number() {
    let mut net = Net::new();
    net.call_with(|spec| {
        let secret = Secret::Password("pw".into());
        spec.credentials = Some(Arc::new(PasswordAuthorizer::new("alice", secret, "")));
        spec.cseq = Some(7);
    });
    let challenge = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
    for _ in 0..2 {
        net.run(ms(30));
        let id = net.bob.invites.last().unwrap().0;
        let headers = [("Proxy-Authenticate", challenge)].into_iter().collect();
        let content = Content { status: 407, reason: String::new(), headers, body: None };
        net.bob.endpoint.answer_invite(net.now, id, content);
        net.run(ms(30));
    }
    net.run(sec(1));
    let numbers: Vec<_> =
        net.bob.invites.iter().filter_map(|(_, r)| Some(r.headers.cseq()?.number)).collect();
    assert_eq!(numbers.first(), Some(&7));
    assert_eq!(numbers.get(1), Some(&8));
    assert!(net.bob.invites[1].1.headers.get(Name::ProxyAuthorization).is_some());
    assert!(
        net.alice.story().is_empty() || net.alice.story() == "failed-407",
        "{}",
        net.alice.story()
    );
}

#[test]
fn options_outside_dialogs_gets_its_reply() {
    let mut net = Net::new();
    let uri = crate::uri::Uri::parse(&format!("sip:{BOB}")).unwrap();
    let who = crate::uri::NameAddr::parse("<sip:a@h>").unwrap();
    let spec = OutOfDialog::new(Method::Options, uri, who.clone(), who);
    net.alice.endpoint.request(net.now, Token(5), spec);
    net.run(ms(15));
    let id = net.bob.requests[0].0;
    net.bob.endpoint.answer_request(net.now, id, content(200));
    net.run(ms(15));
    let Some(Ok(reply)) = net.alice.replies.first() else { panic!("{:?}", net.alice.replies) };
    assert_eq!((reply.response.status, reply.round_trip), (200, ms(25)));
}

use crate::message::{Message, Method};
