//! A session description.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::sdp::SessionDescription;

fuzz_target!(|text: &str| {
    let _ = SessionDescription::parse(text);
});
