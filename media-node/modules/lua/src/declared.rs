//! What the module reads and sets.

use dialplan_xml::declare::{Parameters, Value, Variable, keeps, param, sets};

/// Parameters of Lua itself.
pub(crate) const OWN: [&str; 2] = ["module-directory", "script-directory"];

#[rustfmt::skip]
pub(crate) const PARAMETERS: &[Parameters] = &[
    Parameters { file: "lua.conf", scope: "", list: &[
        param("module-directory", Value::Path, "", "A pattern in front of `package.cpath`; may be repeated"),
        param("script-directory", Value::Path, "", "A pattern in front of `package.path`; may be repeated"),
    ] },
    Parameters { file: "lua.conf", scope: "", list: scripting::settings::LIST },
];

pub(crate) const VARIABLES: &[Variable] = &[
    sets("lua_hangup_hook_return_val", "What the function set by `setHangupHook` returned"),
    keeps("detect_speech_result", Value::Text, "What was recognised; a script waits for it"),
];
