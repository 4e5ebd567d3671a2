//! A TCP connection to a SIP port: bytes arrive in two pieces, frames come out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::message::{MessageLimits, StreamFramer};

fuzz_target!(|data: &[u8]| {
    let cut = data.first().map_or(0, |first| usize::from(*first) % data.len());
    let (first, second) = data.split_at(cut);
    let mut framer = StreamFramer::new(MessageLimits::default());
    for piece in [first, second] {
        framer.buffer().extend_from_slice(piece);
        while let Ok(Some(_)) = framer.next_frame() {}
    }
});
