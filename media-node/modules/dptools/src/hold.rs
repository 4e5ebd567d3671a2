//! `hold` and `unhold`: the far end hears music, or whatever its own end plays.

use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Session};

/// The family.
pub const APPS: &[App] = &[
    app!(
        "hold",
        "mod_dptools",
        Flags::NO_MEDIA,
        "[<display message>]",
        "Send a hold message",
        hold
    ),
    app!("unhold", "mod_dptools", Flags::NO_MEDIA, "", "Send a un-hold message", unhold),
];

async fn hold(session: &mut Session, argument: &str) -> AppResult {
    let message = (!argument.is_empty()).then(|| argument.to_owned());
    session.hold(message, true).await;
    session.check()
}

async fn unhold(session: &mut Session, _argument: &str) -> AppResult {
    session.unhold().await;
    session.check()
}
