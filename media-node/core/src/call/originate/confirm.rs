//! An answered leg is asked to accept the call before it wins (`group_confirm_key`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::channel::Channel;
use super::super::session::{AppResult, Interrupt, Session};
use super::options::Confirm;
use crate::app::digits;
use crate::app::play::{Ended, Keys, Play};

/// Asks on the leg's own task; its `confirmed` mark tells of success.
pub(super) fn ask(leg: &Arc<Channel>, rules: Confirm) {
    let asked = leg.job(Box::new(move |session| {
        Box::pin(async move {
            let _ended = accept(session, &rules).await;
        })
    }));
    if asked.is_err() {
        tracing::error!(uuid = %leg.uuid(), "{} cannot be asked to accept the call", leg.name());
        leg.hangup(super::Cause::DESTINATION_OUT_OF_ORDER);
    }
}

async fn accept(session: &mut Session, rules: &Confirm) -> AppResult {
    let leg = Arc::clone(session.channel());
    if rules.key.eq_ignore_ascii_case("exec") {
        let Some(what) = &rules.file else { return Ok(()) };
        let (application, argument) = what.split_once(' ').unwrap_or((what, ""));
        let ended = Box::pin(session.execute(application, argument)).await;
        if leg.is_up() && ended != Err(Interrupt::Moved) {
            confirm(&leg);
        }
        return ended;
    }
    let prompt = rules.file.as_deref().unwrap_or("silence");
    loop {
        let typed =
            digits::typed(session, prompt, rules.key.chars().count(), rules.read_timeout).await?;
        if typed == rules.key {
            confirm(&leg);
            return Ok(());
        }
        if let Some(file) = &rules.error_file {
            let played = session.play(Play::once(file, Keys::Any)).await?;
            if matches!(played, Ended::NotFound | Ended::Failed) {
                tracing::warn!(uuid = %leg.uuid(), "group_confirm_error_file {file} cannot be played");
            }
        }
    }
}

fn confirm(leg: &Channel) {
    leg.set_var("group_dial_status", "winner");
    leg.flags.confirmed.store(true, Ordering::Relaxed);
    leg.notify();
}
