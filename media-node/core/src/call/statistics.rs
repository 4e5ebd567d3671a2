//! RTP figures of a call as its variables (`rtp_audio_*`).

use super::channel::Channel;

/// Sets them, in the order of the reference, to what the media engine has counted until now: at the end of a call, and
/// when it is asked for (`uuid_set_media_stats`). A call whose media goes past the switch has none.
pub fn set(channel: &Channel) {
    let Some(media) = channel.media().filter(|_| channel.has_media()) else { return };
    channel.set_vars(media.stats().variables());
}
