//! What a call's audio is set to: silence while nothing else is sent, levels.

use std::sync::atomic::Ordering;

use media::leg::Side;

use super::{Channel, CodecInfo};
use crate::text;

/// What silence is made of (`send_silence_when_idle`): -1 nothing, a positive number noise, the quieter the larger.
fn silence_divisor(value: i64) -> Option<u32> {
    const USUAL: u32 = 400;
    match value {
        0 => None,
        -1 => Some(0),
        value => Some(u32::try_from(value).unwrap_or(USUAL)),
    }
}

impl Channel {
    /// From here on the call does nothing by itself: sends silence if `send_silence_when_idle` says so. True if that
    /// was begun here, and is to be ended with [`Channel::end_filling_silence`].
    pub fn begin_filling_silence(&self) -> bool {
        let value = self.var("send_silence_when_idle").map_or(0, |text| text::int(&text));
        let (Some(divisor), Some(leg)) = (silence_divisor(value), self.media()) else {
            return false;
        };
        !self.flags.fills_silence.swap(true, Ordering::Relaxed)
            && leg.silence(Some(divisor)).is_ok()
    }

    /// The end of what [`Channel::begin_filling_silence`] began.
    pub fn end_filling_silence(&self, begun: bool) {
        if begun {
            self.flags.fills_silence.store(false, Ordering::Relaxed);
            let _closed = self.media().map(|leg| leg.silence(None));
        }
    }
}

/// The reference's volume steps as percent.
pub(crate) fn percent(level: i64) -> u32 {
    match level.clamp(-4, 4) {
        4 => 430,
        3 => 330,
        2 => 230,
        1 => 130,
        -1 => 80,
        -2 => 60,
        -3 => 40,
        -4 => 20,
        _ => 100,
    }
}

/// Sets one side's level as `uuid_audio` and `set_audio_level` do; -4 to 4.
pub fn set_level(channel: &Channel, side: Side, level: i64) {
    if let Some(leg) = channel.media() {
        let _closed = leg.gain(side, percent(level));
    }
}

/// While it records, the reference reads the caller as linear audio and shows so.
#[must_use]
pub fn read_linear(channel: &Channel) -> Option<CodecInfo> {
    let before = channel.with(|data| data.read_codec.clone())?;
    set_read_codec(channel, &before.linear());
    Some(before)
}

/// Shows another codec as the one the caller is read with, and tells.
pub fn set_read_codec(channel: &Channel, codec: &CodecInfo) {
    channel.with(|data| data.read_codec = Some(codec.clone()));
    channel.set_var("read_codec", codec.name.clone());
    channel.set_var("read_rate", codec.rate.to_string());
    channel.fire_codec_read(codec);
}
