//! Values of SIP headers: addresses and digest fields.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::digest::{Challenge, Credentials};
use sip::uri::{NameAddr, Uri};

fuzz_target!(|text: &str| {
    if let Some(uri) = Uri::parse(text) {
        // What we print we can read again.
        let printed = uri.to_string();
        assert!(Uri::parse(&printed).is_some(), "{printed:?}");
    }
    let _ = NameAddr::parse(text);
    let _ = Challenge::parse(text, false);
    let _ = Credentials::parse(text);
});
