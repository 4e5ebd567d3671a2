//! Where a leg's media gets its settings from: the profile its call came by.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::switch::Switch;

/// What a leg is told by the profile it belongs to. Asked at each exchange, so that a reload counts for calls that are up.
pub trait MediaProfile: Send + Sync {
    /// The switch.
    fn switch(&self) -> &Arc<Switch>;

    /// The settings in force.
    fn media_settings(&self) -> Arc<MediaSettings>;

    /// The address shown to a peer, and the one to bind.
    fn rtp_ip_for(&self, peer: Option<IpAddr>) -> (IpAddr, IpAddr);
}

/// The media part of a profile's parameters.
#[derive(Clone, Debug)]
pub struct MediaSettings {
    /// Codecs of calls in.
    pub inbound_codecs: String,
    /// telephone-event payload type of our offers.
    pub te_pt: u8,
    /// How digits travel.
    pub dtmf_type: DtmfType,
    /// Digits in RTP are offered, and not only taken where the far end offers them.
    pub offers_events: bool,
    /// Offer no comfort noise.
    pub suppress_cng: bool,
    /// SDP's `o=` and `s=` name.
    pub username: String,
    /// Timer name, shown in variables only.
    pub rtp_timer_name: String,
    /// Hang up after this long without RTP.
    pub rtp_timeout: Option<Duration>,
    /// The same on hold.
    pub rtp_hold_timeout: Option<Duration>,
    /// RTCP reports.
    pub rtcp_interval: Option<Duration>,
    /// Learn the peer's address from its packets.
    pub rtp_auto_adjust: bool,
    /// Pause between digits sent, ms.
    pub digit_delay_ms: u32,
    /// Access lists of candidates that may be used (`apply-candidate-acl`); none for `wan.auto`.
    pub candidate_acls: Vec<String>,
}

/// How digits are sent when nothing else is negotiated (`dtmf-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtmfType {
    /// RFC 4733 in RTP.
    Rfc2833,
    /// SIP INFO.
    Info,
    /// Not at all.
    None,
}

impl DtmfType {
    /// Reads the parameter; anything unknown is `rfc2833`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "info" => Self::Info,
            "none" => Self::None,
            _ => Self::Rfc2833,
        }
    }

    /// The word on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rfc2833 => "rfc2833",
            Self::Info => "info",
            Self::None => "none",
        }
    }
}
