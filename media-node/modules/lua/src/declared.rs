//! What the module reads and sets.

use dialplan_xml::declare::{Variable, sets};

pub(crate) const VARIABLES: &[Variable] =
    &[sets("lua_hangup_hook_return_val", "What the function set by `setHangupHook` returned")];
