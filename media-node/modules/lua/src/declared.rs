//! What the module reads and sets.

use dialplan_xml::declare::{Value, Variable, keeps, sets};

pub(crate) const VARIABLES: &[Variable] = &[
    sets("lua_hangup_hook_return_val", "What the function set by `setHangupHook` returned"),
    keeps("detect_speech_result", Value::Text, "What was recognised; a script waits for it"),
];
