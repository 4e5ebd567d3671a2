//! One datagram on an RTP or RTCP port.
#![no_main]

use libfuzzer_sys::fuzz_target;
use media::dtmf::{Digit, parse_digits};
use media::{rtcp, rtp};

fuzz_target!(|data: &[u8]| {
    let _ = rtp::classify(data);
    let _ = rtp::Header::parse(data);
    rtcp::parse(data, |_| {});
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = parse_digits(text, 2000);
        let _ = text.chars().map(Digit::new).count();
    }
});
