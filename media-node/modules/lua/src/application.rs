//! The application `lua`: a script that runs inside a call.

use crate::app;
use crate::app::{App, Flags};
use crate::call::{AppResult, Session};
use crate::language::Lua;

pub(crate) const APPS: &[App] = &[app!(
    "lua",
    "mod_lua",
    Flags::NO_MEDIA.and(Flags::ROUTING).and(Flags::ZOMBIE),
    "<script>",
    "Run a lua ivr on a channel",
    lua
)
.code()];

async fn lua(session: &mut Session, argument: &str) -> AppResult {
    scripting::application::application::<Lua>(session, argument).await
}
