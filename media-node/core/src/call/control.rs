//! A channel as the Event Socket sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::{BoxFuture, CallControl, CallMessage, Event, EventSink, InlineCall, QueueFull};

use super::channel::{Channel, Data};
use super::session::Session;
use super::state::State;

/// Lets the Event Socket read and steer one call.
pub struct Control(pub Arc<Channel>);

impl CallControl for Control {
    fn uuid(&self) -> &str {
        self.0.uuid()
    }

    fn channel_name(&self) -> String {
        self.0.name()
    }

    fn channel_data(&self) -> Event {
        self.0.channel_data(true)
    }

    fn getvar(&self, name: &str) -> Option<String> {
        self.0.var(name)
    }

    fn setvar(&self, name: &str, value: Option<&str>) {
        self.0.set_var(name.to_owned(), value.unwrap_or_default());
    }

    fn post(&self, message: CallMessage) -> Result<(), QueueFull> {
        self.0.post(message)
    }

    fn hung_up(&self) -> BoxFuture<'static, ()> {
        Box::pin(Arc::clone(&self.0).hung_up())
    }

    fn divert_events(&self, to: Option<EventSink>) {
        self.0.with(|data| data.divert = to);
    }

    fn interrupt(&self) {
        // A call that was moved meanwhile (transferred, hung up) stays where it was sent.
        let runs = |data: &mut Data| (data.state, data.running) == (State::Execute, State::Execute);
        if self.0.with(runs) {
            self.0.set_state(State::Reset);
        }
    }

    fn set_controlled(&self, on: bool) {
        self.0.flags.controlled.store(on, Ordering::Relaxed);
        self.0.notify();
    }
}

/// The `socket` application's hold on the task it runs in.
pub struct Inline<'s>(pub &'s mut Session);

impl InlineCall for Inline<'_> {
    fn control(&self) -> Arc<dyn CallControl> {
        Arc::new(Control(Arc::clone(self.0.channel())))
    }

    fn execute<'a>(&'a mut self, message: CallMessage) -> BoxFuture<'a, ()> {
        Box::pin(self.0.run_message(message, false))
    }

    fn idle<'a>(&'a mut self) -> BoxFuture<'a, ()> {
        Box::pin(async {
            // Sync mode: queued messages wait for the next application that serves the queue.
            let locked = Locked::new(self.0);
            while locked.session.wait(None).await.is_ok() {}
        })
    }

    fn park<'a>(&'a mut self, stop: BoxFuture<'static, ()>) -> BoxFuture<'a, ()> {
        Box::pin(async {
            let _ended = self.0.park_until(stop).await;
        })
    }
}

/// Keeps queued messages waiting. The connection drops its wait as soon as its client speaks, so
/// the lock is released by whatever ends the wait, not at its end.
struct Locked<'s> {
    session: &'s mut Session,
    was: bool,
}

impl<'s> Locked<'s> {
    fn new(session: &'s mut Session) -> Self {
        let was = std::mem::replace(&mut session.locked, true);
        Self { session, was }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.session.locked = self.was;
    }
}
