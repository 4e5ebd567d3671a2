//! An expression of the dialplan with its flags, against a subject from the caller.
#![no_main]

use dialplan_xml::regex::{Pattern, substitute};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (expression, subject) = input;
    if let Ok(pattern) = Pattern::new(expression) {
        if let Some(captures) = pattern.captures(subject) {
            let _ = substitute("$1-${2}-%3", &captures);
        }
    }
});
