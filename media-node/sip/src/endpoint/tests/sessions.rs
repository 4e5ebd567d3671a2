//! Session timers (RFC 4028), re-INVITEs that meet, and calls that stay on their way.

use super::super::*;
use super::net::*;
use crate::message::{Message, Method, Name};
use crate::transport::Transport;

/// Lets time pass; offers are accepted.
fn run_accepting(net: &mut Net, span: std::time::Duration) {
    let until = net.now + span;
    let mut seen = (0, 0);
    while net.now < until {
        net.run(ms(500).min(until - net.now));
        let now = net.now;
        for (end, seen) in [(&mut net.alice, &mut seen.0), (&mut net.bob, &mut seen.1)] {
            let offers: Vec<_> = end.events.iter().skip(*seen).map(|(_, e)| e.clone()).collect();
            *seen = end.events.len();
            for event in offers {
                if let DialogEvent::Reinvite(r) | DialogEvent::Update(r) = event {
                    end.endpoint.answer_request(now, r.id, content(200));
                }
            }
        }
    }
}

fn up_with(seconds: u32) -> (Net, DialogId) {
    let mut net = Net::new();
    for end in [&mut net.alice, &mut net.bob] {
        end.endpoint.config.session.asked_min = 90;
    }
    let id = net.call_with(|spec| spec.session_expires = Some(seconds));
    net.run(ms(50));
    net.bob_answers(0, 200);
    net.run(ms(100));
    (net, id)
}

fn header(message: &Message, name: Name) -> Option<&str> {
    message.headers().get(name)
}

fn body(message: &Message) -> &[u8] {
    match message {
        Message::Request(request) => &request.body,
        Message::Response(response) => &response.body,
    }
}

#[test]
fn a_session_is_agreed_and_refreshed_at_half_time() {
    let (mut net, _) = up_with(1800);
    let invite = last_sent(&net.alice, "INVITE");
    assert_eq!(header(&invite, Name::SessionExpires), Some("1800;refresher=uac"));
    assert_eq!(header(&invite, Name::MinSe), Some("90"));
    let ok = last_sent(&net.bob, "200");
    assert_eq!(header(&ok, Name::SessionExpires), Some("1800;refresher=uac"));
    assert_eq!(header(&ok, Name::Require), Some("timer"));
    run_accepting(&mut net, sec(899));
    assert_eq!(net.alice.wire(), "INVITE ACK");
    run_accepting(&mut net, sec(2));
    assert_eq!(net.alice.wire(), "INVITE ACK INVITE ACK");
    let refresh = last_sent(&net.alice, "INVITE");
    assert_eq!(header(&refresh, Name::SessionExpires), Some("1800;refresher=uac"));
    assert_eq!(body(&refresh), b"v=0\r\n");
    run_accepting(&mut net, sec(1800));
    assert_eq!(net.alice.wire().matches("INVITE").count(), 4);
    assert_eq!((net.alice.endpoint.load().0, net.bob.endpoint.load().0), (1, 1));
}

#[test]
fn no_interval_of_ours_is_shorter_than_what_we_let_others_answer() {
    let mut net = Net::new();
    net.call_with(|spec| spec.session_expires = Some(90));
    net.run(ms(50));
    let invite = last_sent(&net.alice, "INVITE");
    assert_eq!(header(&invite, Name::SessionExpires), Some("120;refresher=uac"));
    assert_eq!(header(&invite, Name::MinSe), Some("120"));
}

#[test]
fn a_shorter_interval_that_a_peer_asks_for_is_kept_in_our_refreshes() {
    let mut net = Net::new();
    net.alice.endpoint.config.session.asked_min = 90;
    net.call_with(|spec| spec.session_expires = Some(100));
    net.run(ms(50));
    let id = net.bob.invites[0].0;
    net.bob.endpoint.set_session(id, 90, None);
    net.bob_answers(0, 200);
    net.run(ms(50));
    assert_eq!(
        header(&last_sent(&net.bob, "200"), Name::SessionExpires),
        Some("100;refresher=uac")
    );
    net.bob.endpoint.reinvite(net.now, id, &Headers::new(), None);
    net.run(ms(50));
    let again = last_sent(&net.bob, "INVITE");
    assert_eq!(header(&again, Name::SessionExpires), Some("100;refresher=uas"));
    assert_eq!(header(&again, Name::MinSe), Some("90"));
}

#[test]
fn without_an_interval_of_anybodys_nothing_is_said_of_sessions() {
    let (net, _, _) = Net::up();
    for message in [last_sent(&net.alice, "INVITE"), last_sent(&net.bob, "200")] {
        assert_eq!(header(&message, Name::SessionExpires), None);
        assert_eq!(header(&message, Name::MinSe), None);
    }
}

#[test]
fn refreshes_go_by_update_when_asked_and_allowed() {
    let mut net = Net::new();
    net.call_with(|spec| {
        spec.session_expires = Some(120);
        spec.refresh_by_update = Some(true);
    });
    net.run(ms(50));
    net.bob_answers(0, 200);
    run_accepting(&mut net, sec(61));
    assert_eq!(net.alice.wire(), "INVITE ACK UPDATE");
    assert!(body(&last_sent(&net.alice, "UPDATE")).is_empty());
    run_accepting(&mut net, sec(60));
    assert_eq!(net.alice.wire(), "INVITE ACK UPDATE UPDATE");
}

#[test]
fn a_peer_that_does_not_answer_a_refresh_is_hung_up() {
    let (mut net, _) = up_with(1800);
    net.bob.at = addr("192.0.2.99:1");
    net.run(sec(940));
    assert!(net.alice.story().ends_with("sessionexpired"), "{}", net.alice.story());
    assert_eq!(
        header(&last_sent(&net.alice, "BYE"), Name::Reason),
        Some("SIP;cause=408;text=\"Session timeout\"")
    );
    assert_eq!(net.alice.endpoint.load().0, 0);
}

#[test]
fn a_peer_that_should_refresh_and_does_not_is_hung_up_before_time() {
    let (mut net, _) = up_with(90);
    net.alice.endpoint.calls.clear();
    net.run(ms(80_700));
    assert_eq!(net.bob.story(), "acked");
    net.run(sec(1));
    assert_eq!(net.bob.story(), "acked sessionexpired");
    assert!(net.bob.wire().ends_with("BYE"), "{}", net.bob.wire());
}

#[test]
fn a_refused_refresh_is_tried_again_while_the_session_lasts() {
    let (mut net, _) = up_with(90);
    net.run(sec(46));
    let refuse = |net: &mut Net| {
        let Some((_, DialogEvent::Reinvite(r))) = net.bob.events.last().cloned() else { panic!() };
        net.bob.endpoint.answer_request(net.now, r.id, content(500));
    };
    for invites in 3..=5 {
        refuse(&mut net);
        net.run(sec(10));
        assert_eq!(net.alice.wire().matches("INVITE").count(), invites);
    }
    refuse(&mut net);
    net.run(sec(6));
    // Both sides count; the callee's time is up a moment earlier.
    assert!(net.bob.story().ends_with("sessionexpired"), "{}", net.bob.story());
    assert_eq!(net.alice.story(), "200 bye");
}

#[test]
fn an_interval_too_short_is_refused_and_raised() {
    let mut net = Net::new();
    net.bob.endpoint.config.session.min = 600;
    net.call_with(|spec| {
        spec.session_expires = Some(100);
        spec.cseq = Some(7);
    });
    net.run(ms(50));
    assert_eq!(net.bob.wire(), "422");
    assert_eq!(header(&last_sent(&net.bob, "422"), Name::MinSe), Some("600"));
    let again = last_sent(&net.alice, "INVITE");
    assert_eq!(header(&again, Name::SessionExpires), Some("600;refresher=uac"));
    assert_eq!(header(&again, Name::MinSe), Some("600"));
    assert_eq!(again.headers().cseq().map(|c| c.number), Some(8));
    net.bob_answers(0, 200);
    net.run(ms(100));
    assert_eq!((net.alice.story().as_str(), net.bob.story().as_str()), ("200", "acked"));
    run_accepting(&mut net, sec(301));
    assert_eq!(net.alice.wire(), "INVITE ACK INVITE ACK INVITE ACK");
}

#[test]
fn a_422_that_asks_for_nothing_longer_is_a_refusal() {
    let mut net = Net::new();
    net.call_with(|spec| spec.session_expires = Some(100));
    net.run(ms(50));
    let id = net.bob.invites[0].0;
    let headers = [("Min-SE", "90")].into_iter().collect();
    let refusal = Content { status: 422, reason: String::new(), headers, body: None };
    net.bob.endpoint.answer_invite(net.now, id, refusal);
    net.run(ms(50));
    assert_eq!(net.alice.story(), "failed-422");
}

#[test]
fn a_caller_without_timers_is_refreshed_by_us() {
    let mut net = Net::new();
    net.alice.endpoint.config.identity.supported = String::new();
    net.alice.endpoint.config.session.supported = false;
    net.bob.endpoint.config.session.expires = 200;
    net.call();
    net.run(ms(50));
    net.bob_answers(0, 200);
    let ok = last_sent_after(&mut net);
    assert_eq!(header(&ok, Name::SessionExpires), Some("200;refresher=uas"));
    assert_eq!(header(&ok, Name::Require), None);
    run_accepting(&mut net, sec(101));
    assert_eq!(net.bob.wire(), "200 INVITE ACK");
}

fn last_sent_after(net: &mut Net) -> Message {
    net.run(ms(50));
    last_sent(&net.bob, "200")
}

#[test]
fn a_longer_interval_than_ours_is_cut() {
    let mut net = Net::new();
    net.bob.endpoint.config.session.expires = 300;
    net.call_with(|spec| spec.session_expires = Some(1800));
    net.run(ms(50));
    net.bob_answers(0, 200);
    let ok = last_sent_after(&mut net);
    assert_eq!(header(&ok, Name::SessionExpires), Some("300;refresher=uac"));
    run_accepting(&mut net, sec(151));
    assert_eq!(net.alice.wire(), "INVITE ACK INVITE ACK");
}

#[test]
fn re_invites_that_cross_go_again_and_succeed() {
    let (mut net, a, b) = Net::up();
    net.alice.endpoint.reinvite(net.now, a, &Headers::new(), None);
    net.bob.endpoint.reinvite(net.now, b, &Headers::new(), None);
    net.run(sec(1).min(ms(5)));
    assert_eq!(net.alice.story(), "200");
    run_accepting(&mut net, sec(6));
    assert!(net.alice.wire().contains("491") && net.bob.wire().contains("491"));
    assert!(net.alice.story().contains("reinvited"), "{}", net.alice.story());
    assert!(net.bob.story().contains("reinvited"), "{}", net.bob.story());
    assert!(!net.alice.story().contains("reinvite-"), "{}", net.alice.story());
}

#[test]
fn a_re_invite_waits_for_the_one_under_way() {
    let (mut net, a, _) = Net::up();
    for body in ["one", "two"] {
        net.alice.endpoint.reinvite(net.now, a, &Headers::new(), Some(Body::sdp(body)));
    }
    run_accepting(&mut net, sec(2));
    assert_eq!(net.alice.wire(), "INVITE ACK INVITE ACK INVITE ACK");
    assert_eq!(body(&last_sent(&net.alice, "INVITE")), b"two");
    assert_eq!(net.alice.story(), "200 reinvited reinvited");
}

#[test]
fn a_call_sent_past_its_target_stays_on_that_way() {
    let mut net = Net::new();
    let a = net.call_with(|spec| {
        spec.request_uri = crate::uri::Uri::parse("sip:bob@10.1.2.3:5099").unwrap();
        spec.next_hop = crate::uri::Uri::parse(&format!("sip:{BOB}"));
    });
    net.run(ms(50));
    let id = net.bob.invites[0].0;
    let headers = [("Contact", "<sip:bob@10.1.2.3:5099>")].into_iter().collect();
    let answer = Content { status: 200, reason: String::new(), headers, body: None };
    net.bob.endpoint.answer_invite(net.now, id, answer);
    net.run(ms(100));
    assert_eq!(net.bob.story(), "acked");
    net.alice.endpoint.request_in_dialog(net.now, a, Token(1), Method::Info, &Headers::new(), None);
    net.alice.endpoint.bye(net.now, a, Headers::new());
    net.run(ms(100));
    assert!(net.bob.story().ends_with("bye"), "{}", net.bob.story());
    let Message::Request(bye) = last_sent(&net.alice, "BYE") else { panic!() };
    assert_eq!(bye.uri.as_str(), "sip:bob@10.1.2.3:5099");
}

#[test]
fn sessions_work_over_streams_too() {
    let mut net = Net::over(Transport::Tcp, delivered);
    net.call_with(|spec| {
        spec.transport = Some(Transport::Tcp);
        spec.session_expires = Some(100);
    });
    net.run(ms(50));
    net.bob_answers(0, 200);
    run_accepting(&mut net, sec(61));
    assert_eq!(net.alice.wire(), "INVITE ACK INVITE ACK");
}
