//! Variable expansion: ends, and stays linear in what it reads and what variables hold.
#![no_main]

use dialplan_xml::NoHost;
use dialplan_xml::expand::{expand, expand_event, scope_variables};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = expand(text, &mut NoHost);
    let _ = expand_event(text, &mut NoHost);
    let _ = scope_variables(text);
});
