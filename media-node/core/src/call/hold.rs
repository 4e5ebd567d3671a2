//! Hold, in both directions, and the music the partner hears meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::event::EventName;

use super::channel::Channel;
use super::endpoint::Indication;
use super::session::Session;
use super::state::CallState;
use crate::clock;

impl Session {
    /// Puts the far end on hold. False if it is already, or cannot be.
    pub async fn hold(&mut self, message: Option<String>, with_music: bool) -> bool {
        if self.channel.flags.held.load(Ordering::Relaxed)
            || !self.indicate(Indication::Hold(message)).await
        {
            return false;
        }
        mark_held(&self.channel, true);
        self.channel.fire_presence("hold");
        if with_music {
            let music = music(&self.channel).await.filter(|text| is_music(text));
            play_hold_music(&self.channel, music);
        }
        true
    }

    /// Takes the far end off hold. False if it was not held.
    pub async fn unhold(&mut self) -> bool {
        if !self.channel.flags.held.load(Ordering::Relaxed) {
            return false;
        }
        let done = self.indicate(Indication::Unhold).await;
        mark_held(&self.channel, false);
        self.channel.fire_presence("unhold");
        release_partner(&self.channel);
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
    if on {
        with_music(channel, on_remote_hold);
    } else {
        with_music(channel, on_remote_resume);
    }
    if !on && channel.is_answered() {
        channel.set_call_state(CallState::Active);
    }
}

/// What the partner of a phone that holds hears when nothing else is said.
const DEFAULT_MUSIC: &str = "local_stream://moh";

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
    channel.switch().observers().iter().for_each(|observer| observer.held(channel, on));
    channel.notify();
}

/// What the holder's partner hears: `temp_hold_music`, else `hold_music` of the one that holds.
async fn music(holder: &Arc<Channel>) -> Option<String> {
    let music = music_variable(holder)?;
    found(&crate::host::expand_for(holder.switch(), Some(holder), &music).await)
}

/// [`music`] where nothing may wait: a leg's event, which may be dropped half-way.
fn with_music(
    holder: &Arc<Channel>,
    then: impl FnOnce(&Arc<Channel>, Option<String>) + Send + 'static,
) {
    match music_variable(holder) {
        Some(music) => crate::host::expand_then(holder, &music, move |holder, music| {
            then(holder, found(&music));
        }),
        None => then(holder, None),
    }
}

fn music_variable(holder: &Channel) -> Option<String> {
    holder.var("temp_hold_music").or_else(|| holder.var("hold_music"))
}

/// The name of a file, with what a far end said in it kept in its directory; an empty one is none.
fn found(music: &str) -> Option<String> {
    Some(base::far::path(music).into_owned()).filter(|music| !music.is_empty())
}

/// What a waiting leg hears.
pub async fn waiting_music(leg: &Arc<Channel>) -> Option<String> {
    music(leg).await.filter(|music| is_music(music))
}

fn is_music(text: &str) -> bool {
    !["", "silence", "indicate_hold"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Plays music to the partner until [`release_partner`].
fn play_hold_music(holder: &Arc<Channel>, music: Option<String>) {
    if let (Some(partner), Some(music)) = (holder.partner(), music) {
        super::broadcast::play_endlessly(&partner, &music);
    }
}

/// Ends what the partner hears instead of us.
fn release_partner(holder: &Channel) {
    if let Some(partner) = holder.partner() {
        partner.stop_broadcast();
    }
}

/// A leg that holds leaves the conversation: its partner hears no more music and is not held.
pub(super) fn leave_bridge(holder: &Channel) {
    let up = holder.is_up();
    let kept = holder.partner().is_some_and(|partner| partner.flags.kept.load(Ordering::Relaxed));
    let held = up && holder.flags.held.load(Ordering::Relaxed);
    if !kept && (held || holder.flags.left_holding.load(Ordering::Relaxed)) {
        release_partner(holder);
    }
    if held {
        mark_held(holder, false);
    }
}

fn on_remote_hold(holder: &Arc<Channel>, music: Option<String>) {
    let music = music.unwrap_or_else(|| DEFAULT_MUSIC.to_owned());
    if !music.eq_ignore_ascii_case("indicate_hold") {
        return play_hold_music(holder, Some(music).filter(|music| is_music(music)));
    }
    // The other far end is put on hold as well, and plays its own music.
    tell_partner(holder, |session| {
        Box::pin(async move {
            let _held = session.hold(None, false).await;
        })
    });
}

fn on_remote_resume(holder: &Arc<Channel>, music: Option<String>) {
    release_partner(holder);
    if music.is_some_and(|music| music.eq_ignore_ascii_case("indicate_hold")) {
        tell_partner(holder, |session| {
            Box::pin(async move {
                let _resumed = session.unhold().await;
            })
        });
    }
}

fn tell_partner(
    holder: &Channel,
    job: impl for<'a> FnOnce(&'a mut Session) -> crate::BoxFuture<'a, ()> + Send + 'static,
) {
    if let Some(partner) = holder.partner() {
        let _full = partner.job(Box::new(job));
    }
}

/// Music for the partner of a leg that hears something of its own (`hold-bleg`), until this is dropped.
pub(super) struct Amused {
    leg: Arc<Channel>,
    partner: Arc<Channel>,
}

/// Plays the partner its own hold music, else the leg's. Nothing new begins where it plays already.
pub(super) async fn amuse_partner(leg: &Arc<Channel>) -> Option<Amused> {
    let partner = leg.partner()?;
    let chosen = match music(&partner).await {
        Some(music) => Some(music),
        None => music(leg).await,
    };
    let music = chosen.filter(|music| is_music(music))?;
    if leg.flags.amuses_partner.swap(true, Ordering::Relaxed) {
        return None;
    }
    super::broadcast::play_endlessly(&partner, &music);
    Some(Amused { leg: Arc::clone(leg), partner })
}

impl Drop for Amused {
    fn drop(&mut self) {
        self.leg.flags.amuses_partner.store(false, Ordering::Relaxed);
        self.partner.stop_broadcast();
    }
}
