//! Events built from whatever a client sends: every form renders, lengths are honest, JSON is JSON.
#![no_main]

use esl_server::frame::{Decoder, PacketDecoder};
use esl_server::{Event, EventName, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = PacketDecoder::new();
    decoder.authenticated();
    decoder.push(bytes);
    while let Ok(Some(packet)) = decoder.next() {
        let name = EventName::parse(&packet.command).unwrap_or(EventName::General);
        let mut event = Event::from_headers(name, packet.headers);
        if let Some(body) = packet.body {
            event.set_body(body);
        }
        for format in [Format::Plain, Format::Json, Format::Xml] {
            let mut back = Decoder::new();
            back.push(&event.message(format));
            let message = back.next().expect("within the limits").expect("one whole message");
            assert!(back.next().expect("nothing more").is_none());
            assert!(!message.body.is_empty());
        }
        assert!(event.json().starts_with(b"{") && event.json().ends_with(b"}"));
    }
});
