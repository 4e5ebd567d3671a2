//! A stream's hold on the call's media: what is heard, what is said. Both follow the call when its media becomes another.

use std::sync::Arc;

use media::record::live::LiveAudio;
use media::{Leg, Playout};
use switch_core::call::Channel;

/// Both directions of a call's audio.
pub(crate) struct Ears {
    /// Both sides come in turn.
    both: bool,
    speaks: bool,
    duck: u32,
    held: bool,
    held_on: Option<Attached>,
    heard: Vec<i16>,
}

struct Attached {
    leg: Arc<Leg>,
    rate: u32,
    ears: LiveAudio,
    mouth: Option<Playout>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _closed = self.leg.end_tap(&self.ears);
        if let Some(mouth) = &self.mouth {
            let _closed = self.leg.end_playout(mouth);
        }
    }
}

impl Ears {
    /// Takes hold of a call's media; `None` when it has none.
    pub(crate) fn new(channel: &Channel, both: bool, speaks: bool, duck: u32) -> Option<Self> {
        let mut ears = Self { both, speaks, duck, held: false, held_on: None, heard: Vec::new() };
        ears.attach(channel.media()?);
        ears.held_on.is_some().then_some(ears)
    }

    fn attach(&mut self, leg: Arc<Leg>) {
        self.held_on = None;
        let rate = leg.codec().rate();
        let Ok(ears) = leg.listen(self.both) else { return };
        let mouth = if self.speaks { leg.playout().ok() } else { None };
        if let Some(mouth) = &mouth {
            mouth.duck(self.duck);
            mouth.hold(self.held);
        }
        self.held_on = Some(Attached { leg, rate, ears, mouth });
    }

    /// Follows the call's media. True when it is another now: what waited to be said is lost.
    pub(crate) fn follow(&mut self, channel: &Channel) -> bool {
        let Some(leg) = channel.media() else { return false };
        let same = |on: &Attached| Arc::ptr_eq(&on.leg, &leg) && on.rate == leg.codec().rate();
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
        on.ears.read(&mut self.heard);
        (&self.heard, on.rate)
    }

    /// The way to the far end's ear.
    pub(crate) fn mouth(&mut self) -> Option<&mut Playout> {
        self.held_on.as_mut()?.mouth.as_mut()
    }

    /// Both sides come in turn.
    pub(crate) fn both(&self) -> bool {
        self.both
    }

    /// Keeps what waits to be said, or lets it go on.
    pub(crate) fn hold(&mut self, on: bool) {
        self.held = on;
        if let Some(mouth) = self.mouth() {
            mouth.hold(on);
        }
    }

    /// Lets go of the media.
    pub(crate) fn detach(&mut self) {
        self.held_on = None;
    }
}
