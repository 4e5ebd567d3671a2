//! The `inline` dialplan's list of applications.
#![no_main]

use dialplan_xml::dialplan::parse_inline;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = parse_inline(text);
});
