//! The jitter buffer of a call: what `jitterbuffer_msec` and `uuid_jitterbuffer` say.

use media::params::JitterSpec;
use negotiation::jitter_buffer;

use super::Channel;

/// The variable that holds a call's buffer across re-negotiations.
pub const VARIABLE: &str = "jitterbuffer_msec";

/// What the channel's variable asks for.
#[must_use]
pub fn of(channel: &Channel) -> Option<JitterSpec> {
    channel.var(VARIABLE).and_then(|value| jitter_buffer(&value))
}

/// Gives a call another buffer, or none, now and at its next negotiation. False without media.
pub fn set(channel: &Channel, value: &str) -> bool {
    let Some(leg) = channel.media() else { return false };
    let spec = jitter_buffer(value);
    match spec {
        Some(_) => channel.set_var(VARIABLE, value.trim().to_owned()),
        None => channel.unset_var(VARIABLE),
    }
    leg.set_jitter(spec).is_ok()
}
