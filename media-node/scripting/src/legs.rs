//! Legs that scripts make, bridge and wait for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::call::originate::{Failure, Request, originate};
use crate::call::{Cause, Channel, Direction, Session, State, bridge as bridging};
use crate::context::{Context, Ended};
use crate::switch::Switch;

/// May an application run on it? Not while it is routed or moves elsewhere.
#[must_use]
pub fn is_ready(channel: &Channel) -> bool {
    channel.with(|data| {
        data.state > State::Routing
            && data.state < State::Hangup
            && data.state != State::Reset
            && data.state == data.running
    })
}

/// What `originate` is asked for a script's dial string; no time is none.
#[must_use]
pub fn request(context: &Context, dial: &str, timeout: Duration) -> Request {
    Request {
        dial: context.taint.borrow().mark(dial),
        timeout: (!timeout.is_zero()).then_some(timeout),
        ..Request::default()
    }
}

/// A leg that was made for a script. Where no script takes it, because it was ended while the leg answered, it is hung up.
pub struct Made(Option<Arc<Channel>>);

impl Made {
    /// The leg; who takes it hangs it up.
    #[must_use]
    pub fn take(mut self) -> Option<Arc<Channel>> {
        self.0.take()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(channel) = self.0.take() {
            tracing::info!(uuid = %channel.uuid(), "The script that made this leg has ended");
            channel.hangup(Cause::NORMAL_CLEARING);
        }
    }
}

/// Calls for a script.
///
/// # Errors
/// When no leg answers.
pub async fn dial(
    switch: &Arc<Switch>,
    request: &Request,
    caller: Option<&mut Session>,
) -> Result<Made, Failure> {
    originate(switch, request, caller).await.map(|channel| Made(Some(channel)))
}

/// A leg that was made waits from now on for what the script does with it.
///
/// # Errors
/// When the script has to end.
pub fn adopt(context: &Context, channel: &Arc<Channel>) -> Result<(), Ended> {
    let state = State::SoftExecute;
    context.at_once(|| channel.set_state(state));
    context.wait("a leg", async {
        let mut watch = channel.watch();
        while channel.state() == state && channel.running() != state {
            if watch.changed().await.is_err() {
                return;
            }
        }
    })
}

/// Resolves when the call is answered or over.
pub async fn answered(channel: &Channel) {
    let mut watch = channel.watch();
    while channel.is_up() && !channel.is_answered() {
        if watch.changed().await.is_err() {
            return;
        }
    }
}

/// Bridges two legs until one of them ends or goes elsewhere. `listens`: keys are a function's of the script.
pub async fn bridge(session: &mut Session, peer: &Arc<Channel>, listens: bool) {
    let own = Arc::clone(session.channel());
    if own.direction() == Direction::Inbound && session.pre_answer().await.is_err() {
        return;
    }
    let before = own.flags.filters_digits.load(Ordering::Relaxed);
    if listens {
        own.flags.filters_digits.store(true, Ordering::Relaxed);
    }
    let _ended = session.bridge_to(peer).await;
    own.flags.filters_digits.store(before, Ordering::Relaxed);
    bridging::digits_changed(&own);
}

/// The record of the call so far, as XML; empty where no module of call records is loaded.
#[must_use]
pub fn record(channel: &Channel) -> String {
    // The module of call records tells it to calls that ask for it at their end.
    let before = channel.own_var("hangup_complete_with_xml");
    channel.set_var("hangup_complete_with_xml", "true");
    let mut observers = channel.switch().observers().iter();
    let document = observers.find_map(|observer| observer.document(channel));
    channel.set_var("hangup_complete_with_xml", before.unwrap_or_default());
    document.unwrap_or_default()
}

/// What a hangup hook is told: `transfer` or `hangup`, where its time has come since the state it was set in.
#[must_use]
pub fn moment(set_in: State, now: State) -> Option<&'static str> {
    match now {
        State::Routing if set_in != State::Routing => Some("transfer"),
        _ if now >= State::Hangup && set_in < State::Hangup => Some("hangup"),
        _ => None,
    }
}
