//! A WebSocket connection to a SIP port: a PROXY header, the handshake and frames, arriving in two pieces.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use streams::http::Upgrade;
use streams::proxied::take_header;
use streams::websocket::Frames;

fuzz_target!(|data: &[u8]| {
    let cut = data.first().map_or(0, |first| usize::from(*first) % data.len());
    let (first, second) = data.split_at(cut);
    let mut buffer = BytesMut::new();
    let mut frames = Frames::new(4096);
    for piece in [first, second] {
        buffer.extend_from_slice(piece);
        let _ = take_header(&mut buffer.clone());
        let _ = Upgrade::read(&mut buffer.clone());
        frames.buffer().extend_from_slice(piece);
        while let Ok(Some(_)) = frames.next_item() {}
        assert!(frames.held() <= 2 * (data.len() + 4096));
    }
});
