//! Keys and events of a call on their way to a script's input callback.

use esl_server::event::Event;
use tokio::sync::mpsc;

use std::sync::Arc;

use crate::call::{Channel, Digit};
use crate::contract::CallObserver;

/// So much input may wait for a script's function; further keys stay with the call.
const WAITING: usize = 64;

/// Something a script's function is told.
pub enum Input {
    Digit(Digit),
    Event(Box<Event>),
}

/// Where a channel's input goes while a script listens.
#[derive(Default)]
pub struct Taps(Option<mpsc::Sender<Input>>);

/// A script's end of it. Dropped, the call has its keys back.
pub struct Tap {
    channel: Arc<Channel>,
    inputs: mpsc::Receiver<Input>,
    /// A receiver was set before.
    outer: Option<mpsc::Sender<Input>>,
}

impl Tap {
    /// From now on keys come here; those that wait already come first.
    pub fn open(channel: &Arc<Channel>) -> Self {
        let (sender, inputs) = mpsc::channel(WAITING);
        let (outer, waiting) = channel.with(|data| {
            let waiting: Vec<Digit> = data.digits.drain(..).take(WAITING).collect();
            (data.slot::<Taps>().0.replace(sender.clone()), waiting)
        });
        for digit in waiting {
            tell(channel, &sender, digit);
        }
        Self { channel: Arc::clone(channel), inputs, outer }
    }

    pub async fn next(&mut self) -> Input {
        match self.inputs.recv().await {
            Some(input) => input,
            // The channel's slot holds the sender as long as the channel lives.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let outer = self.outer.take();
        self.channel.with(|data| data.slot::<Taps>().0 = outer);
        while let Ok(input) = self.inputs.try_recv() {
            if let Input::Digit(digit) = input {
                self.channel.queue_digit(digit);
            }
        }
    }
}

/// An event for the function that listens on a channel, if one does.
pub fn tell_event(channel: &Channel, event: Event) -> bool {
    let tap = channel.with(|data| data.slot::<Taps>().0.clone());
    tap.is_some_and(|tap| tap.try_send(Input::Event(Box::new(event))).is_ok())
}

/// Hands a key to a script and fires DTMF. False when it cannot be taken.
fn tell(channel: &Channel, tap: &mpsc::Sender<Input>, digit: Digit) -> bool {
    if tap.try_send(Input::Digit(digit)).is_err() {
        return false;
    }
    channel.use_digit(digit);
    true
}

/// Gives keys to scripts that listen.
pub struct Observer;

impl CallObserver for Observer {
    fn digit(&self, channel: &Arc<Channel>, digit: Digit) -> bool {
        let tap = channel.with(|data| data.find_slot::<Taps>().and_then(|taps| taps.0.clone()));
        tap.is_none_or(|tap| !tell(channel, &tap, digit))
    }
}
