//! Any bytes at all: parsers answer, they never panic.

use bytes::Bytes;
use proptest::prelude::*;
use sip::message::{Message, MessageLimits, StreamFramer, parse};
use sip::uri::{NameAddr, Uri};

/// Text that looks like SIP more often than chance would have it.
fn siplike() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("INVITE sip:a@h SIP/2.0\r\n".to_owned()),
        Just("SIP/2.0 200 OK\r\n".to_owned()),
        Just("Via: SIP/2.0/UDP h:5060;branch=z9hG4bKx\r\n".to_owned()),
        Just("From: \"A\\\"\" <sip:a@h>;tag=1\r\n".to_owned()),
        Just("t: sip:b@h\r\n".to_owned()),
        Just("Call-ID: 1\r\nCSeq: 1 INVITE\r\n".to_owned()),
        Just("Contact: *, <sip:x@[::1]:99;a=\"b\">;q=\r\n ,\r\n".to_owned()),
        Just("\r\n".to_owned()),
        "[ -~\r\n\t]{0,20}",
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn look(message: &Message) {
    let headers = message.headers();
    let _ =
        (headers.via(), headers.from_addr(), headers.to_addr(), headers.cseq(), headers.contact());
    let _ = message.to_bytes();
}

proptest! {
    #[test]
    fn random_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        if let Ok(message) = parse(&Bytes::from(bytes.clone()), &MessageLimits::default()) {
            look(&message);
        }
        let mut framer = StreamFramer::new(MessageLimits::default());
        framer.buffer().extend_from_slice(&bytes);
        while let Ok(Some(_)) = framer.next_frame() {}
    }

    #[test]
    fn text_like_sip_is_answered_and_survives_a_round_trip(text in siplike()) {
        if let Ok(message) = parse(&Bytes::from(text), &MessageLimits::default()) {
            look(&message);
            prop_assert!(parse(&message.to_bytes(), &MessageLimits::default()).is_ok());
        }
    }

    #[test]
    fn addresses_print_what_they_read(text in "[ -~]{0,60}") {
        if let Some(uri) = Uri::parse(&text) {
            prop_assert_eq!(Uri::parse(uri.as_str()), Some(uri.clone()));
            let _ = (uri.user(), uri.host(), uri.headers(), uri.params().iter().count(), uri.equivalent(&uri));
        }
        if let Some(address) = NameAddr::parse(&text) {
            prop_assert!(NameAddr::parse(&address.to_string()).is_some(), "{}", address);
        }
    }
}
