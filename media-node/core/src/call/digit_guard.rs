//! Digits a leg's far end is not to be sent, or not to send: `uuid_drop_dtmf`, `block_dtmf`.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::channel::Channel;
use super::endpoint::{Digit, DigitSource};
use super::{bridge, broadcast};
use crate::app::digits;

/// Is the task to see digits before they are passed on to the far end?
#[must_use]
pub fn guards(channel: &Channel) -> bool {
    channel.flags.blocks_digits.load(Ordering::Relaxed) || channel.is_true("drop_dtmf")
}

/// Lets no digit through, in either direction, or all again.
pub fn block(channel: &Arc<Channel>, on: bool) {
    channel.flags.blocks_digits.store(on, Ordering::Relaxed);
    bridge::digits_changed(channel);
}

/// May digits of the far end come in?
#[must_use]
pub fn lets_in(channel: &Channel) -> bool {
    !channel.flags.blocks_digits.load(Ordering::Relaxed)
}

/// What is sent instead of these digits: nothing when they are blocked; with `drop_dtmf` the digits of
/// `drop_dtmf_masking_digits` for each, or `drop_dtmf_masking_file` is played.
pub(super) fn outgoing(channel: &Arc<Channel>, sent: Vec<Digit>) -> Vec<Digit> {
    if !lets_in(channel) {
        return Vec::new();
    }
    if !channel.is_true("drop_dtmf") {
        return sent;
    }
    if let Some(file) = channel.var("drop_dtmf_masking_file") {
        broadcast::run(channel, "playback", &file, false);
    }
    let mask = channel.var("drop_dtmf_masking_digits").unwrap_or_default();
    let masked: Vec<Digit> = digits::parse(channel, &mask)
        .into_iter()
        .map(|digit| Digit { source: DigitSource::App, ..digit })
        .collect();
    let all: Cow<'_, [Digit]> =
        if sent.len() == 1 { masked.into() } else { masked.repeat(sent.len()).into() };
    all.into_owned()
}
