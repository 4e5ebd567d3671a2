//! The negotiated media of a leg, whatever its signalling: offer and answer, the media legs of the engine, keys, connectivity
//! checks, and the channel variables that show them. SIP and JSON-RPC legs each own a [`LegMedia`].
//!
//! [`MediaProfile`] is where its settings come from; `offer.rs` and `answer.rs` write and read descriptions, `again.rs` those
//! within a call; `local.rs` says what we have to offer; `apply.rs` tells the engine.

#![deny(unsafe_code)]

use std::net::IpAddr;
use std::sync::Arc;

use media::Codec;
use negotiation::{
    AudioPlan, Choice, Identity, LocalIce, Mode, NegotiationError, Plan, Security, known_codec,
    parse_codec_list, video_codecs,
};
use sdp::SessionDescription;

// The core's rooms are known here by their own names.
use switch_core::{call, clock, contract, switch, text};

mod again;
mod answer;
mod apply;
pub mod certificate;
mod further;
mod local;
mod offer;
pub mod opus;
mod reach;
mod secure;
mod settings;
mod shown;
mod streams;
mod timeouts;

pub use again::{Again, means_the_same};
pub use reach::{Linked, News};
pub use settings::{DtmfType, MediaProfile, MediaSettings, turn_server};
pub use streams::StreamObserver;

use self::reach::Reach;
use self::streams::{BridgedStreams, Streams};
use crate::call::{Cause, Channel};

/// One leg's media.
pub struct LegMedia {
    profile: Arc<dyn MediaProfile>,
    session_id: u64,
    version: u64,
    bind_ip: IpAddr,
    /// The host the peer's signalling comes from.
    peer: Option<IpAddr>,
    /// The address in our descriptions.
    pub advertised: IpAddr,
    /// Codecs we would take, in order.
    codecs: String,
    mode: Mode,
    media: Option<Arc<media::Leg>>,
    /// News of the media leg.
    pub events: Option<media::LegEvents>,
    /// What was agreed.
    plan: Option<Plan>,
    remote_offer: Option<Arc<SessionDescription>>,
    /// Whether and how packets are protected.
    security: Security,
    /// The offer was looked at when its answer was needed, not when it came (`inbound-late-negotiation`).
    late: bool,
    /// Keys of descriptions that protect packets now, as programs were told.
    secured: Option<negotiation::CryptoPair>,
    /// Our description as sent, and as shown.
    local: Option<(SessionDescription, SessionDescription)>,
    /// Video and text.
    streams: Streams,
    /// Certificate and names for browsers, once a description needs them.
    identity: Option<Identity>,
    /// Credentials for connectivity checks of the audio.
    ice: Option<LocalIce>,
    /// Checks and handshake of the audio.
    reach: Reach,
    held_by_us: bool,
    /// Our offer that waits for its answer is to a far end that begins anew: nothing of the old association counts.
    anew: bool,
    /// How often the far end has begun anew.
    beginnings: u32,
    /// Payload type of digits in our offer: what the peer is to send.
    te_offered: Option<u8>,
    /// The number of telephone events of another clock in that offer.
    te_other: Option<u8>,
    /// Was the partner's description known when ours was first written?
    partner_described: bool,
    /// No comfort noise is offered or taken (`suppress_cng`).
    suppress_cng: bool,
    /// Attributes to add to the audio section, without `a=` (`rtp_append_audio_sdp`).
    append: Vec<String>,
}

impl LegMedia {
    /// LegMedia of a leg towards `peer`.
    #[must_use]
    pub fn new(
        profile: Arc<impl MediaProfile + 'static>,
        peer: Option<IpAddr>,
        codecs: String,
        mode: Mode,
    ) -> Self {
        let (advertised, bind_ip) = profile.rtp_ip_for(peer);
        let session_id = u64::try_from(clock::now_secs()).unwrap_or(1);
        Self {
            profile,
            session_id,
            version: session_id,
            bind_ip,
            peer,
            advertised,
            codecs,
            mode,
            media: None,
            events: None,
            plan: None,
            remote_offer: None,
            security: Security::default(),
            late: false,
            secured: None,
            local: None,
            streams: Streams::default(),
            identity: None,
            ice: None,
            reach: Reach::default(),
            held_by_us: false,
            anew: false,
            beginnings: 0,
            te_offered: None,
            te_other: None,
            partner_described: false,
            suppress_cng: false,
            append: Vec::new(),
        }
    }

    /// Names the codecs tried, and shows them.
    pub fn use_codecs(&mut self, channel: &Channel, profile_codecs: &str) {
        let list = self.list(channel, profile_codecs);
        channel.set_var("rtp_use_codec_string", list.clone());
        self.codecs = list;
    }

    /// The codecs to try.
    fn list(&self, channel: &Channel, profile_codecs: &str) -> String {
        channel
            .var("absolute_codec_string")
            .or_else(|| {
                let own = channel.var("codec_string");
                if let Some(exclusive) = own.as_deref().and_then(|own| own.strip_prefix('=')) {
                    return Some(exclusive.to_owned());
                }
                let base = own.unwrap_or_else(|| profile_codecs.to_owned());
                // Linear audio is what legs without a network speak; it is not offered to far ends.
                let codec = channel.var("originator_codec").filter(|own| !own.starts_with("L16@"));
                match codec {
                    // The recordings show the originator's codec offered alone.
                    Some(codec)
                        if !channel.is_answered()
                            && !channel.is_true("media_mix_inbound_outbound_codecs") =>
                    {
                        Some(self.with_video(channel, codec))
                    }
                    _ => Some(base),
                }
            })
            .unwrap_or_else(|| profile_codecs.to_owned())
    }

    /// The codec of the leg on whose behalf we call, with that of its video.
    fn with_video(&self, channel: &Channel, codec: String) -> String {
        let near = channel.var("originating_leg_uuid");
        let near = near.and_then(|uuid| channel.switch().channel(&uuid));
        let video = near.and_then(|near| {
            near.with(|data| data.find_slot::<BridgedStreams>()?.agreed_video.clone())
        });
        match video.filter(|video| !video_codecs(&codec).contains(video)) {
            Some(video) => format!("{codec},{video}"),
            None => codec,
        }
    }

    /// The audio agreed on.
    #[must_use]
    pub fn agreed(&self) -> Option<&AudioPlan> {
        self.plan.as_ref()?.audio.as_ref()
    }

    /// Was anything agreed on?
    #[must_use]
    pub fn has_agreed(&self) -> bool {
        self.plan.is_some()
    }

    fn port(&self) -> u16 {
        self.media.as_ref().map_or(0, |media| media.rtp_port())
    }

    /// The codec of a choice, at the sample rate our list asks for.
    fn codec_of(&self, choice: &Choice) -> Option<Codec> {
        let pref = parse_codec_list(&self.codecs).into_iter().find(|pref| choice.is(&pref.name));
        pref.and_then(|pref| known_codec(&pref))
            .filter(|codec| codec.clock() == choice.rate)
            .or_else(|| Codec::by_name(&choice.name, choice.rate))
    }

    /// Does the peer's offer name telephone events?
    fn offers_events(&self) -> bool {
        self.remote_offer.iter().flat_map(|offer| &offer.media).any(|media| {
            media.rtpmaps().any(|map| map.name.eq_ignore_ascii_case("telephone-event"))
        })
    }

    fn dtmf_type(&self, channel: &Channel, agreed: &AudioPlan) -> DtmfType {
        let wanted = channel
            .var("dtmf_type")
            .map_or(self.profile.media_settings().dtmf_type, |text| DtmfType::parse(&text));
        match (wanted, agreed.telephone_event) {
            (DtmfType::Rfc2833, None) => DtmfType::Info,
            (wanted, _) => wanted,
        }
    }

    /// Whether the audio has a handshake whose keys are not there yet.
    #[must_use]
    pub fn awaits_keys(&self) -> bool {
        self.reach.awaits_keys()
    }

    /// What happens next to the media. May be given up half-way.
    pub async fn news(&mut self) -> News {
        let Self { events, reach, streams, .. } = self;
        let media = async {
            match events {
                Some(events) => match events.recv().await {
                    Some(event) => event,
                    None => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            event = reach.event() => News::Link(Linked { kind: "audio", event }),
            event = media => News::Media(event),
            (kind, event) = streams.link_event() => News::Link(Linked { kind, event }),
        }
    }

    /// The same without the engine's own, which wait until they are served.
    pub async fn link_news(&mut self) -> Linked {
        let Self { reach, streams, .. } = self;
        tokio::select! {
            biased;
            event = reach.event() => Linked { kind: "audio", event },
            (kind, event) = streams.link_event() => Linked { kind, event },
        }
    }

    /// Does the peer hold us?
    #[must_use]
    pub fn is_held_by_peer(&self) -> bool {
        self.agreed().is_some_and(|agreed| agreed.hold)
    }

    /// Our description with all it says: SIP's library leaves out what holds by default, JSON-RPC does not.
    #[must_use]
    pub fn local_in_full(&self) -> String {
        self.local.as_ref().map(|(_, shown)| shown.to_string()).unwrap_or_default()
    }

    /// Was an offer of the peer seen?
    #[must_use]
    pub fn has_remote_offer(&self) -> bool {
        self.remote_offer.is_some()
    }
}

fn refuse(channel: &Channel, error: NegotiationError) -> Cause {
    tracing::error!(uuid = %channel.uuid(), "CODEC NEGOTIATION ERROR: {error}");
    channel.set_var("endpoint_disposition", "CODEC NEGOTIATION ERROR");
    Cause::INCOMPATIBLE_DESTINATION
}
