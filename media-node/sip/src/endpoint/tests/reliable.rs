//! Reliable provisional responses (RFC 3262).

use super::super::*;
use super::net::*;
use crate::message::{Message, Method, Name};

fn reliable(fate: Fate) -> Net {
    let mut net = Net::over(Transport::Udp, fate);
    for end in [&mut net.alice, &mut net.bob] {
        let identity = &mut end.endpoint.config.identity;
        identity.supported = "100rel, timer".into();
        identity.allow.push_str(", PRACK");
    }
    net
}

#[test]
fn ringing_is_proved_and_the_answer_waits_for_that() {
    let mut net = reliable(delivered);
    net.call();
    net.run(ms(30));
    for status in [180, 183, 200] {
        net.bob_answers(0, status);
    }
    net.run(ms(200));
    assert_eq!(net.alice.story(), "180 183 200");
    assert_eq!(net.alice.wire(), "INVITE PRACK PRACK ACK");
    assert_eq!(net.bob.wire(), "180 200 183 200 200");
    assert_eq!(net.bob.story(), "prack prack acked");
    let ringing = last_sent(&net.bob, "180");
    let number = ringing.headers().number(Name::RSeq).unwrap();
    assert_eq!(ringing.headers().get(Name::Require), Some("100rel"));
    let Message::Request(prack) = last_sent(&net.alice, "PRACK") else { panic!() };
    let invite = prack.headers.get(Name::RAck).unwrap().to_owned();
    assert!(invite.starts_with(&format!("{} ", number + 1)), "{invite}");
    assert!(invite.ends_with(" INVITE"));
}

#[test]
fn a_lost_ringing_is_repeated_until_proved() {
    // The 180 and its first repetition get lost.
    let mut net = reliable(|n| usize::from(n != 3 && n != 4));
    net.call();
    net.run(ms(30));
    net.bob_answers(0, 100);
    net.bob_answers(0, 180);
    net.run(ms(1400));
    assert_eq!(net.alice.story(), "");
    net.run(sec(1));
    assert_eq!(net.alice.story(), "180");
    assert!(net.bob.wire().starts_with("100 180 180 180 200"), "{}", net.bob.wire());
    net.run(sec(20));
    assert_eq!(net.bob.wire().matches("180").count(), 3);
}

#[test]
fn repetitions_are_told_once() {
    let mut net = reliable(bad_wire);
    net.call();
    net.run(sec(3));
    net.bob_answers(0, 180);
    net.run(sec(10));
    net.bob_answers(0, 200);
    net.run(sec(10));
    assert_eq!(net.alice.story(), "180 200");
}

#[test]
fn a_caller_who_never_proves_is_refused() {
    let mut net = reliable(delivered);
    net.call();
    net.run(ms(30));
    net.alice.endpoint.calls.clear();
    net.bob_answers(0, 180);
    net.run(sec(33));
    assert!(net.bob.wire().contains("504"), "{}", net.bob.wire());
    assert_eq!(net.bob.story(), "noack");
}

#[test]
fn a_prack_for_nothing_is_481() {
    let mut net = reliable(delivered);
    let a = net.call();
    net.run(ms(30));
    net.bob_answers(0, 180);
    net.run(ms(100));
    let headers: Headers = [("RAck", "1 1 INVITE")].into_iter().collect();
    net.alice.endpoint.request_in_dialog(net.now, a, Token(3), Method::Prack, &headers, None);
    net.run(ms(100));
    assert!(net.bob.wire().ends_with("481"), "{}", net.bob.wire());
}

#[test]
fn who_does_not_ask_for_it_gets_none() {
    let mut net = reliable(delivered);
    net.alice.endpoint.config.identity.supported = "timer".into();
    net.call();
    net.run(ms(30));
    net.bob_answers(0, 180);
    net.run(ms(50));
    assert_eq!(last_sent(&net.bob, "180").headers().get(Name::RSeq), None);
    assert_eq!(net.alice.wire(), "INVITE");
}
