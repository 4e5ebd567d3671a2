//! `${…}`: variables, slices, array slots, API calls.

use crate::Host;

/// Expands every reference in `text` for a call. Text without a reference is returned as it is.
pub fn expand(text: &str, host: &mut dyn Host) -> String {
    let _ = host;
    text.to_owned()
}

/// Expands for an event instead of a call (`eval`, hangup hooks, dynamic URLs): lookups see
/// [`Host::variable`] and [`Host::global`] only, `$${x}` sees globals only, and values of variables
/// are not expanded again.
pub fn expand_event(text: &str, host: &mut dyn Host) -> String {
    let _ = host;
    text.to_owned()
}

/// Splits leading scope variables, `%[a=1,b=2]` or `%;[a=1;b=2]`, from application data that was
/// already expanded.
pub fn scope_variables(data: &str) -> (Vec<(String, String)>, &str) {
    (Vec::new(), data)
}
