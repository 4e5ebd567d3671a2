//! RTCP compound packets as they come off the wire.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media::rtcp::{Item, MAX_REPORT, Report, parse};

fuzz_target!(|packet: &[u8]| {
    parse(packet, |item| {
        // Whatever was understood can be said again and is understood the same.
        let report = match item {
            Item::Sender { ssrc, info } => {
                Report { ssrc, sender: Some(info), block: None, cname: "" }
            }
            Item::Block { from, block } => {
                Report { ssrc: from, sender: None, block: Some(block), cname: "" }
            }
            // What is said of pictures is written elsewhere.
            Item::Bye { .. } | Item::KeyFrameRequest | Item::Nack { .. } | Item::Remb { .. } => {
                return;
            }
        };
        let mut buffer = [0; MAX_REPORT];
        let len = report.write(&mut buffer);
        let mut found = false;
        parse(&buffer[..len], |again| found |= again == item);
        assert!(found, "{item:?}");
    });
});
