//! Hold, in both directions, and the music the partner hears meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::CallMessage;
use esl_server::event::EventName;

use super::channel::Channel;
use super::endpoint::Indication;
use super::session::Session;
use super::state::CallState;
use crate::clock;

impl Session {
    /// Puts the far end on hold. False if it is already, or cannot be.
    pub async fn hold(&mut self, message: Option<String>, entertain: bool) -> bool {
        if self.channel.flags.held.load(Ordering::Relaxed)
            || !self.indicate(Indication::Hold(message)).await
        {
            return false;
        }
        mark_held(&self.channel, true);
        self.channel.fire_presence("hold");
        if entertain {
            entertain_partner(&self.channel, true);
        }
        true
    }

    /// Takes the far end off hold. False if it was not held.
    pub async fn unhold(&mut self) -> bool {
        if !self.channel.flags.held.load(Ordering::Relaxed) {
            return false;
        }
        mark_held(&self.channel, false);
        self.channel.fire_presence("unhold");
        entertain_partner(&self.channel, false);
        let done = self.indicate(Indication::Unhold).await;
        self.channel.set_call_state(CallState::Active);
        done
    }
}

/// The far end put us on hold or came back.
pub fn remote_hold(channel: &Arc<Channel>, on: bool) {
    if channel.flags.held.load(Ordering::Relaxed) == on {
        return;
    }
    mark_held(channel, on);
    channel.fire_presence(if on { "hold" } else { "unhold" });
    entertain_partner(channel, on);
    if !on && channel.is_answered() {
        channel.set_call_state(CallState::Active);
    }
}

/// Holds a call's record remembers; the oldest are forgotten when there are more.
const MAX_HOLDS: usize = 500;

/// Marks, events and times of a hold.
pub fn mark_held(channel: &Channel, on: bool) {
    channel.flags.held.store(on, Ordering::Relaxed);
    if channel.is_answered() {
        channel.set_call_state(if on { CallState::Held } else { CallState::Unheld });
    }
    let now = clock::now_us();
    channel.with(|data| {
        if on {
            if data.holds.len() >= MAX_HOLDS {
                data.holds.remove(0);
            }
            data.holds.push((now, 0));
        } else if let Some(last) = data.holds.last_mut() {
            last.1 = now;
        }
        if let Some(profile) = &mut data.profile {
            if on {
                profile.times.last_hold = now;
            } else if profile.times.last_hold != 0 {
                profile.times.hold_accum += now - profile.times.last_hold;
            }
        }
        if on {
            data.showing = Default::default();
        }
    });
    channel.fire(if on { EventName::ChannelHold } else { EventName::ChannelUnhold });
    channel.notify();
}

/// Plays hold music to the partner, or stops it.
pub fn entertain_partner(channel: &Arc<Channel>, on: bool) {
    let Some(partner) = channel.partner() else { return };
    if !on {
        partner.break_media(false);
        return;
    }
    let music = channel
        .lookup("temp_hold_music")
        .or_else(|| partner.lookup("hold_music"))
        .or_else(|| channel.lookup("hold_music"))
        .unwrap_or_default();
    if music.is_empty() || music.eq_ignore_ascii_case("silence") {
        return;
    }
    let mut message = CallMessage::execute("playback", &music);
    message.headers.push("loops", "-1");
    message.headers.push("Event-Name", "COMMAND");
    let _full = partner.post(message);
}
