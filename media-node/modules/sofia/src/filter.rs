//! `filter_codecs`: which codecs of the caller's offer are passed on.

use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Session};

/// The application. It is mod_dptools' and stands here, where descriptions are read.
pub(crate) const APPS: &[App] = &[app!(
    "filter_codecs",
    "mod_dptools",
    Flags::NO_MEDIA,
    "<codec string>",
    "Filter Codecs",
    filter_codecs
)];

/// Shows those codecs of the offer that are in the list (`ep_codec_string`), and remembers the list.
async fn filter_codecs(session: &mut Session, argument: &str) -> AppResult {
    let channel = session.channel();
    let list = argument.trim();
    let offer = channel.var("switch_r_sdp").filter(|_| !list.is_empty());
    let Some(offer) = offer.and_then(|text| sdp::SessionDescription::parse(&text).ok()) else {
        tracing::error!(uuid = %channel.uuid(), "Incomplete data");
        return Ok(());
    };
    let common = negotiation::common_codecs(&offer, list.trim_start_matches('='));
    if !common.is_empty() {
        channel.set_var("ep_codec_string", common);
    }
    channel.set_var("filter_codec_string", list.to_owned());
    Ok(())
}
