//! A script that runs inside a call, as an application.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use tokio::sync::{mpsc, oneshot};

use crate::Language;
use crate::call::command::Job;
use crate::call::{AppResult, Session};
use crate::program::{Program, Refused};
use crate::scripts::{Outcome, Script, Scripts, Started, Task};

/// What the application of a language does.
///
/// # Errors
/// When the session has to be left.
pub async fn application<L: Language>(session: &mut Session, argument: &str) -> AppResult {
    if argument.is_empty() {
        tracing::error!(uuid = %session.channel().uuid(), "no args specified!");
        return Ok(());
    }
    let ran = match Program::read(&L::NAMES, argument).and_then(Program::admit) {
        Ok(program) => run::<L>(session, program).await,
        Err(refused) => Err(refused),
    };
    if let Err(refused) = ran {
        tracing::error!(uuid = %session.channel().uuid(), "{refused}");
    }
    session.check()
}

/// Runs a script to its end, the call at its hand. Afterwards the session may have to be left ([`Session::check`]).
///
/// # Errors
/// When the script is not started.
pub async fn run<L: Language>(session: &mut Session, program: Program) -> Result<Outcome, Refused> {
    let switch = Arc::clone(session.switch());
    let (jobs, inbox) = mpsc::channel(1);
    let call = Some((Arc::clone(session.channel()), Some(jobs)));
    let started = Scripts::<L>::start(&switch, Task { call, ..Task::new(program) })?;
    Ok(serve(session, inbox, started).await)
}

/// Does what the script asks of the call, until the script ends.
async fn serve(session: &mut Session, mut inbox: mpsc::Receiver<Job>, started: Started) -> Outcome {
    let Started { script, mut ended } = started;
    let mut interrupted = session.check().err();
    let mut late = Box::pin(too_late(Arc::clone(&script)));
    let mut lost = Box::pin(async move { script.lost().await });
    loop {
        let next = match interrupted {
            None => match session.wait_or(None, next(&mut inbox, &mut ended, &mut lost)).await {
                Ok(Either::Left(_)) => continue,
                Ok(Either::Right(next)) => next,
                Err(interrupt) => {
                    interrupted = Some(interrupt);
                    continue;
                }
            },
            // The call is over or goes elsewhere; it waits for its script, as in the reference, but not without end.
            Some(_) => tokio::select! {
                biased;
                next = next(&mut inbox, &mut ended, &mut lost) => next,
                () = &mut late => continue,
            },
        };
        match next {
            Next::Job(job) => job(session).await,
            Next::Ended(outcome) => return outcome,
        }
    }
}

enum Next {
    Job(Job),
    Ended(Outcome),
}

/// Cancel-safe.
async fn next(
    inbox: &mut mpsc::Receiver<Job>,
    ended: &mut oneshot::Receiver<Outcome>,
    lost: &mut (impl Future<Output = ()> + Unpin),
) -> Next {
    tokio::select! {
        biased;
        Some(job) = inbox.recv() => Next::Job(job),
        outcome = ended => {
            Next::Ended(outcome.unwrap_or(Outcome { failed: true, ..Outcome::default() }))
        }
        () = lost => Next::Ended(Outcome { failed: true, ..Outcome::default() }),
    }
}

/// Ends the script some time after its call has ended.
async fn too_late(script: Arc<Script>) {
    match script.settings().after_hangup {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
    let conf = script.names().conf;
    script.kill(&format!("its call has ended, and after-hangup-seconds of {conf} are over"));
    // One that does not notice is left ([`Script::lost`]); until then there is nothing to do here.
    tokio::time::sleep(Duration::from_secs(u64::from(u32::MAX))).await;
}
