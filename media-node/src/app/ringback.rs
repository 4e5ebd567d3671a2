//! What a caller hears while somebody is called for it.

use crate::call::{AppResult, Session};

/// The called party rings: tells the caller, by signalling or by a tone of our own.
///
/// # Errors
/// [`crate::call::Interrupt`] when the caller is gone.
pub async fn start(session: &mut Session) -> AppResult {
    session.ring_ready(false).await
}
