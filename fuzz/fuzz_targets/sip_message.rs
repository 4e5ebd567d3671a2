//! One datagram on a SIP port.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sip::message::{MessageLimits, parse};

fuzz_target!(|data: &[u8]| {
    let _ = parse(&Bytes::copy_from_slice(data), &MessageLimits::default());
});
