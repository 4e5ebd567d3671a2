//! A document that came over HTTP: preprocessor and parser.
#![no_main]

use std::path::Path;

use dialplan_xml::{Globals, LoadOptions, parse_document};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let options = LoadOptions { max_bytes: 1 << 20, ..LoadOptions::default() };
    let _ = parse_document(data, "fuzz", Path::new("/nonexistent"), Globals::default(), &options);
});
