//! Both directions of Event Socket framing: any bytes, split at any point, decode the same.
#![no_main]

use esl_server::frame::{Decoder, PacketDecoder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, bool, &[u8])| {
    let (cut, authenticated, bytes) = input;
    let (head, tail) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let packets = |parts: &[&[u8]]| {
        let mut decoder = PacketDecoder::new();
        if authenticated {
            decoder.authenticated();
        }
        let mut all = Vec::new();
        for part in parts {
            decoder.push(part);
            while let Ok(Some(packet)) = decoder.next() {
                all.push(packet);
            }
        }
        all
    };
    if authenticated {
        assert_eq!(packets(&[bytes]), packets(&[head, tail]));
    } else {
        packets(&[head, tail]);
    }
    let messages = |parts: &[&[u8]]| {
        let mut decoder = Decoder::new();
        let mut all = Vec::new();
        for part in parts {
            decoder.push(part);
            while let Ok(Some(message)) = decoder.next() {
                let _ = message.plain_event();
                all.push(message);
            }
        }
        all
    };
    assert_eq!(messages(&[bytes]), messages(&[head, tail]));
});
