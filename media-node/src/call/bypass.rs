//! Media that does not pass through the switch (`bypass_media`), and the way back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::channel::Channel;
use super::endpoint::Indication;

/// Is this leg to be bridged without media passing through the switch?
#[must_use]
pub fn wanted(channel: &Channel) -> bool {
    channel.is_true("bypass_media") || channel.flags.bypass_media.load(Ordering::Relaxed)
}

/// `sendmsg nomedia` and `uuid_media off`: lets the two far ends exchange media directly.
pub fn nomedia(channel: &Arc<Channel>, other: Option<&str>) {
    let partner =
        other.and_then(|uuid| channel.switch().channel(uuid)).or_else(|| channel.partner());
    let Some(partner) = partner else { return };
    exchange(channel, &partner);
    exchange(&partner, channel);
}

/// Offers `to` the media description of `from`.
fn exchange(from: &Arc<Channel>, to: &Arc<Channel>) {
    let Some(sdp) = from.var("switch_r_sdp") else { return };
    to.flags.bypass_media.store(true, Ordering::Relaxed);
    let _full = to.job(Box::new(move |session| {
        Box::pin(async move {
            let _done = session.indicate(Indication::RemoteSdp(sdp)).await;
        })
    }));
}

/// `uuid_media`: brings the media of both legs back through the switch.
pub fn media(channel: &Arc<Channel>) {
    for leg in [Some(Arc::clone(channel)), channel.partner()].into_iter().flatten() {
        leg.flags.bypass_media.store(false, Ordering::Relaxed);
        let _full = leg.job(Box::new(|session| {
            Box::pin(async move {
                let _done = session.indicate(Indication::LocalMedia).await;
            })
        }));
    }
}
