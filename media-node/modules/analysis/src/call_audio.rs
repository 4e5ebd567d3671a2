//! The audio of a call as it passes; it follows the call when its media becomes another.

use std::sync::Arc;

use media::Leg;
use media::record::live::LiveAudio;
use switch_core::call::Channel;

/// One listener's hold on a call's media.
pub(crate) struct CallAudio {
    both: bool,
    on: Option<(Arc<Leg>, LiveAudio, u32)>,
    heard: Vec<i16>,
}

impl Drop for CallAudio {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl CallAudio {
    /// Listens to what the far end says, or with `both` to both sides in turn. `None` when there is no media.
    pub(crate) fn new(channel: &Channel, both: bool) -> Option<Self> {
        let mut audio = Self { both, on: None, heard: Vec::new() };
        audio.attach(channel.media()?);
        audio.on.is_some().then_some(audio)
    }

    fn attach(&mut self, leg: Arc<Leg>) {
        self.let_go();
        let rate = leg.codec().rate();
        self.on = leg.listen(self.both).ok().map(|audio| (leg, audio, rate));
    }

    fn let_go(&mut self) {
        if let Some((leg, audio, _)) = self.on.take() {
            let _closed = leg.end_tap(&audio);
        }
    }

    /// What has come since the last time, and its rate.
    pub(crate) fn hear(&mut self, channel: &Channel) -> (&[i16], u32) {
        self.heard.clear();
        if let Some(leg) = channel.media() {
            let same = |(on, _, rate): &(Arc<Leg>, LiveAudio, u32)| {
                Arc::ptr_eq(on, &leg) && *rate == leg.codec().rate()
            };
            if !self.on.as_ref().is_some_and(same) {
                self.attach(leg);
            }
        }
        match &mut self.on {
            Some((_, audio, rate)) => {
                audio.read(&mut self.heard);
                (&self.heard, *rate)
            }
            None => (&[], 8000),
        }
    }
}
