//! `uuid_*`: commands about one call. Each has its own words for a call it cannot find; clients know them.

pub mod digits;
pub mod flow;
pub mod media;
pub mod signal;
pub mod vars;

use std::sync::Arc;
use std::time::Duration;

use super::{Api, ApiCall, usage};
use crate::BoxFuture;
use crate::call::{Channel, Session};

const NO_CHANNEL: &str = "-ERR No such channel!\n";
const OK: &str = "+OK\n";
const SUCCESS: &str = "+OK Success\n";
const FAILED: &str = "-ERR Operation failed\n";
const FAILED_CAPITAL: &str = "-ERR Operation Failed\n";

fn no_such_channel(uuid: &str) -> String {
    format!("-ERR No such channel {uuid}!\n")
}

/// `+OK Success` or the reference's words for a failure.
fn success(done: bool) -> String {
    if done { SUCCESS } else { FAILED }.into()
}

/// A task that does not get to a job within this time is taken for stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs something in the call's own task and waits for its outcome.
///
/// `None` when the call ends first or refuses. A call that asks something of itself cannot be waited for; the job is
/// left with it, and `None` returned at once.
async fn in_task<T, F>(call: &ApiCall, channel: &Arc<Channel>, job: F) -> Option<T>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, T> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::oneshot::channel();
    channel
        .job(Box::new(move |session| {
            Box::pin(async move {
                let _nobody_waits = sender.send(job(session).await);
            })
        }))
        .ok()?;
    if call.channel.as_ref().is_some_and(|own| own.uuid() == channel.uuid()) {
        return None;
    }
    tokio::time::timeout(PATIENCE, receiver).await.ok()?.ok()
}
