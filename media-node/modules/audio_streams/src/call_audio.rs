//! A stream's hold on the call's media: what is heard, what is said. Both follow the call when its media becomes another.

use std::sync::Arc;

use media::codec::Coding;
use media::record::Redaction;
use media::record::live::LiveAudio;
use media::{Leg, Playout};
use switch_core::call::Channel;

/// Both directions of a call's audio.
pub(crate) struct CallAudio {
    /// Both sides come in turn.
    both: bool,
    speaks: bool,
    duck: u32,
    /// Frames of Opus are taken as they come.
    opus: bool,
    /// Pressed keys are not heard.
    redact: Option<Redaction>,
    held: bool,
    held_on: Option<Attached>,
    heard: Vec<i16>,
}

struct Attached {
    leg: Arc<Leg>,
    rate: u32,
    coding: Coding,
    tap: LiveAudio,
    playout: Option<Playout>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _closed = self.leg.end_tap(&self.tap);
        if let Some(playout) = &self.playout {
            let _closed = self.leg.end_playout(playout);
        }
    }
}

impl CallAudio {
    /// Takes hold of a call's media; `None` when it has none.
    pub(crate) fn new(
        channel: &Channel,
        both: bool,
        speaks: bool,
        duck: u32,
        opus: bool,
    ) -> Option<Self> {
        let var = |name: &str| channel.var(name);
        let redact =
            Redaction::asked(var("redact_digits").as_deref(), var("redact_hang_ms").as_deref());
        let (held, held_on, heard) = (false, None, Vec::new());
        let mut taken = Self { both, speaks, duck, opus, redact, held, held_on, heard };
        taken.attach(channel.media()?);
        taken.held_on.is_some().then_some(taken)
    }

    fn attach(&mut self, leg: Arc<Leg>) {
        self.held_on = None;
        let (rate, coding) = (leg.codec().rate(), leg.codec().coding());
        // What is to be kept out of it cannot be taken out of a frame.
        let as_is = self.opus && self.redact.is_none() && coding == Coding::Opus;
        let tap = match as_is {
            true => leg.listen_as_is(self.both),
            false => leg.listen_redacted(self.both, self.redact),
        };
        let Ok(tap) = tap else { return };
        let playout = match (self.speaks, self.opus && coding == Coding::Opus) {
            (true, true) => leg.playout_with_frames().ok(),
            (true, false) => leg.playout().ok(),
            (false, _) => None,
        };
        if let Some(playout) = &playout {
            playout.duck(self.duck);
            playout.hold(self.held);
        }
        self.held_on = Some(Attached { leg, rate, coding, tap, playout });
    }

    /// Follows the call's media. True when it is another now: what waited to be said is lost.
    pub(crate) fn follow(&mut self, channel: &Channel) -> bool {
        let Some(leg) = channel.media() else { return false };
        let same = |on: &Attached| {
            // Packets of another codec are no frames of Opus.
            let frames = !self.opus || on.coding == leg.codec().coding();
            Arc::ptr_eq(&on.leg, &leg) && on.rate == leg.codec().rate() && frames
        };
        if self.held_on.as_ref().is_some_and(same) {
            return false;
        }
        self.attach(leg);
        true
    }

    /// What has come since the last time, at its rate.
    pub(crate) fn hear(&mut self) -> (&[i16], u32) {
        self.heard.clear();
        let Some(on) = &mut self.held_on else { return (&[], 8000) };
        on.tap.read(&mut self.heard);
        (&self.heard, on.rate)
    }

    /// Hands out frames of Opus as they came since the last time; false where the call has another codec.
    pub(crate) fn frames(&mut self, each: impl FnMut(&[u8])) -> bool {
        self.held_on.as_mut().is_some_and(|on| on.tap.read_frames(each))
    }

    /// The way to the far end.
    pub(crate) fn playout(&mut self) -> Option<&mut Playout> {
        self.held_on.as_mut()?.playout.as_mut()
    }

    /// Silences in recordings what was said, or with `heard` what the far end heard, between so many milliseconds ago.
    pub(crate) fn silence_recorded(&self, from_ms: u32, to_ms: u32, heard: bool) {
        if let (Some(on), Some(_)) = (&self.held_on, self.redact) {
            let _closed = on.leg.silence_recorded(from_ms, to_ms, heard);
        }
    }

    /// Both sides come in turn.
    pub(crate) fn both(&self) -> bool {
        self.both
    }

    /// Keeps what waits to be said, or lets it go on.
    pub(crate) fn hold(&mut self, on: bool) {
        self.held = on;
        if let Some(playout) = self.playout() {
            playout.hold(on);
        }
    }

    /// Lets go of the media.
    pub(crate) fn detach(&mut self) {
        self.held_on = None;
    }
}
