//! `bind_meta_app`, `unbind_meta_app`: keys that run an application during a bridge.

use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Session};

const FLAGS: Flags = Flags::NO_MEDIA.and(Flags::ROUTING);

/// The family.
pub const APPS: &[App] = &[
    app!(
        "bind_meta_app",
        "mod_dptools",
        FLAGS,
        "<key> [a|b|ab] [a|b|o|s|i|1] <app>[::<args>]",
        "Bind a key to an application",
        bind_meta_app
    ),
    app!(
        "unbind_meta_app",
        "mod_dptools",
        FLAGS,
        "[<key>]",
        "Unbind a key from an application",
        unbind_meta_app
    ),
];

async fn bind_meta_app(session: &mut Session, argument: &str) -> AppResult {
    let channel = session.channel();
    if channel.with(|data| data.meta.bind(argument)).is_none() {
        tracing::error!(uuid = %channel.uuid(), "bind_meta_app: cannot use \"{argument}\": say <key> <a|b|ab> <flags> <app>[::<args>]");
    }
    Ok(())
}

async fn unbind_meta_app(session: &mut Session, argument: &str) -> AppResult {
    session.channel().with(|data| data.meta.unbind(argument));
    Ok(())
}
