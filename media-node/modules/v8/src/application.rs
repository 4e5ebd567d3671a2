//! The application `javascript`: a script that runs inside a call.

use crate::app;
use crate::app::{App, Flags};
use crate::call::{AppResult, Session};
use crate::language::JavaScript;

pub(crate) const APPS: &[App] = &[app!(
    "javascript",
    "mod_v8",
    Flags::NO_MEDIA,
    "<script> [additional_vars [...]]",
    "Launch JS ivr",
    javascript
)
.code()];

async fn javascript(session: &mut Session, argument: &str) -> AppResult {
    scripting::application::application::<JavaScript>(session, argument).await
}
