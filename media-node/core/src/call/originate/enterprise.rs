//! Branches separated by `:_:`: several originates at once, the first success ends the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::select_all;

use super::super::cause::Cause;
use super::super::channel::Channel;
use super::super::dialstring::{DialString, Variables};
use super::super::session::Session;
use super::{Attempt, End, Lost, branch_with_retries, connect_caller, export, find};
use crate::app::ringback;

/// Runs the branches; none of them sees the caller, which hears ringback meanwhile.
pub(super) async fn enterprise(
    attempt: &Attempt<'_>,
    dial: &DialString,
    caller: Option<&mut Session>,
) -> Result<Arc<Channel>, Lost> {
    let on_behalf = caller.as_deref().map(|session| Arc::clone(session.channel()));
    let lost = Arc::new(AtomicBool::new(false));
    let inner = Attempt {
        on_behalf: on_behalf.clone(),
        far: attempt.far.clone(),
        lost: Arc::clone(&lost),
        ..*attempt
    };
    let shared = on_behalf.as_deref().map(inherited).unwrap_or_default();
    let runs = dial.branches.iter().enumerate().map(|(at, branch)| {
        let (inner, ultra) = (&inner, &dial.ultra);
        let mut branch = branch.clone();
        let mut global = shared.clone();
        global.push(("ignore_early_media".into(), "true".into()));
        global.append(&mut branch.global);
        branch.global = global;
        Box::pin(async move { (at, branch_with_retries(inner, ultra, &branch, None).await) })
    });
    let race = async {
        let mut open: Vec<_> = runs.collect();
        let mut causes = vec![Cause::NONE; open.len()];
        while !open.is_empty() {
            let ((at, result), _, rest) = select_all(open).await;
            match result {
                Ok(channel) => {
                    // What the other branches began ends as they are dropped.
                    lost.store(true, Ordering::Relaxed);
                    return Ok(channel);
                }
                Err(failure) => causes[at] = failure.cause,
            }
            open = rest;
        }
        Err(Lost { cause: overall(&causes), end: End::Failed })
    };
    let Some(session) = caller else { return race.await };
    session.ring_wait(true);
    let cancelled = Lost { cause: Cause::ORIGINATOR_CANCEL, end: End::Cancelled };
    if ringback::value(session.channel()).is_some() && ringback::start(session).await.is_err() {
        return Err(cancelled);
    }
    let result = session.wait_for(race).await;
    ringback::stop(session);
    let Ok(result) = result else { return Err(cancelled) };
    if let Ok(winner) = &result {
        introduce(session.channel(), winner);
        if connect_caller(session, winner).await.is_err() {
            winner.hangup(Cause::ORIGINATOR_CANCEL);
            return Err(cancelled);
        }
    }
    result
}

/// The last branch that had a reason of its own.
fn overall(causes: &[Cause]) -> Cause {
    let own = |cause: &&Cause| ![Cause::NONE, Cause::LOSE_RACE, Cause::NO_PICKUP].contains(cause);
    causes.iter().rev().find(own).copied().unwrap_or(Cause::NO_ANSWER)
}

/// What the branches know of a caller they do not see.
fn inherited(caller: &Channel) -> Variables {
    const IDENTITIES: [(&str, &str); 4] = [
        ("effective_ani", "origination_ani"),
        ("effective_aniii", "origination_aniii"),
        ("effective_caller_id_name", "origination_caller_id_name"),
        ("effective_caller_id_number", "origination_caller_id_number"),
    ];
    let mut variables = export(&Variables::new(), caller);
    for (own, name) in IDENTITIES {
        if let Some(value) = caller.var(own).filter(|_| find(&variables, name).is_none()) {
            variables.push((name.to_owned(), value));
        }
    }
    variables
}

fn introduce(caller: &Channel, winner: &Channel) {
    let profile = caller.profile();
    winner.with(|data| data.originator_profile = Some(profile));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_branch_with_a_reason_of_its_own_tells_why() {
        assert_eq!(overall(&[Cause::USER_BUSY, Cause::LOSE_RACE]), Cause::USER_BUSY);
        assert_eq!(overall(&[Cause::USER_BUSY, Cause::CALL_REJECTED]), Cause::CALL_REJECTED);
        assert_eq!(overall(&[Cause::LOSE_RACE]), Cause::NO_ANSWER);
    }
}
