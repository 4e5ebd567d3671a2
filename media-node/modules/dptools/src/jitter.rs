//! The jitter buffer of a call: `jitterbuffer`.

use super::{App, Flags};
use crate::app;
use crate::call::jitter::{VARIABLE, of, set};
use crate::call::{AppResult, Session};

/// The family.
pub const APPS: &[App] = &[app!(
    "jitterbuffer",
    "mod_dptools",
    Flags::NO_MEDIA,
    "<jitterbuffer_data>",
    "Send session jitterbuffer",
    jitterbuffer
)];

async fn jitterbuffer(session: &mut Session, argument: &str) -> AppResult {
    let channel = session.channel();
    let done = match argument.trim() {
        "pause" => channel.media().is_some_and(|leg| leg.set_jitter(None).is_ok()),
        "resume" => channel.media().is_some_and(|leg| leg.set_jitter(of(channel)).is_ok()),
        value if value.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            // Before there is media it is only noted, and used once there is.
            channel.set_var(VARIABLE, value.to_owned());
            channel.media().is_none() || set(channel, value)
        }
        _ => false,
    };
    if !done {
        tracing::warn!(uuid = %channel.uuid(), "jitterbuffer: cannot do \"{argument}\"");
    }
    Ok(())
}
