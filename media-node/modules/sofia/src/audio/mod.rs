//! A leg's audio: its session description on both sides, the media leg, and the variables that show them.

use std::net::IpAddr;
use std::sync::Arc;

use media::{Codec, Direction as Flow, ProtectionSpec, RtpParams, RtpSpec};
use negotiation::{
    AudioPlan, Choice, CodecPref, Local, LocalStream, Mode, NegotiationError, Security, as_sent,
    parse_codec_list,
};
use sdp::{MediaDirection, SessionDescription};
use tokio::sync::mpsc;

mod again;
mod secure;
mod timeouts;

pub use again::{Again, means_the_same};

use self::timeouts::media_timeouts;
use super::profile::Profile;
use super::settings::DtmfType;
use crate::call::{Cause, Channel, CodecInfo};
use crate::clock;

/// Which way audio flows, as variables.
fn show_flows(channel: &Channel, agreed: &AudioPlan) {
    channel.set_vars([
        ("remote_video_media_flow", "inactive".to_owned()),
        ("remote_text_media_flow", "inactive".to_owned()),
        ("remote_audio_media_flow", agreed.remote_direction.as_str().to_owned()),
    ]);
}

/// Our own direction; a variable that says so already keeps its place.
fn show_flow(channel: &Channel, flow: &str) {
    if channel.var("audio_media_flow").as_deref() != Some(flow) {
        channel.set_var("audio_media_flow", flow);
    }
}

/// One leg's audio.
pub struct Audio {
    profile: Arc<Profile>,
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
    pub events: Option<mpsc::Receiver<media::LegEvent>>,
    /// What was agreed.
    pub agreed: Option<AudioPlan>,
    remote_offer: Option<SessionDescription>,
    /// Whether and how packets are protected.
    security: Security,
    /// The offer was looked at when its answer was needed, not when it came (`inbound-late-negotiation`).
    late: bool,
    /// Our description as sent.
    pub local_sdp: Option<String>,
    held_by_us: bool,
    /// Payload type of digits in our offer: what the peer is to send.
    te_offered: Option<u8>,
    /// Was the partner's description known when ours was first written?
    partner_described: bool,
    /// Do codecs of unlike packet times stand in sections of their own in our offers?
    section_per_ptime: bool,
}

impl Audio {
    /// Audio of a leg towards `peer`.
    #[must_use]
    pub fn new(profile: Arc<Profile>, peer: Option<IpAddr>, codecs: String, mode: Mode) -> Self {
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
            agreed: None,
            remote_offer: None,
            security: Security::default(),
            late: false,
            local_sdp: None,
            held_by_us: false,
            te_offered: None,
            partner_described: false,
            section_per_ptime: true,
        }
    }

    /// Names the codecs tried, and shows them.
    pub fn use_codecs(&mut self, channel: &Channel, profile_codecs: &str) {
        let list = self.list(channel, profile_codecs);
        channel.set_var("rtp_use_codec_string", list.clone());
        self.codecs = list;
    }

    /// Shows which codecs of a description are ours, if any.
    fn show_common(&self, channel: &Channel, description: &SessionDescription, ours: &str) {
        let common = common_codecs(description, ours);
        if !common.is_empty() {
            channel.set_var("ep_codec_string", common);
        }
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
                // Linear audio is what legs without a network speak; nobody is offered it for that.
                let codec = channel.var("originator_codec").filter(|own| !own.starts_with("L16@"));
                match codec {
                    // The recordings show the originator's codec offered alone.
                    Some(codec)
                        if !channel.is_answered()
                            && !channel.is_true("media_mix_inbound_outbound_codecs") =>
                    {
                        Some(codec)
                    }
                    _ => Some(base),
                }
            })
            .unwrap_or_else(|| profile_codecs.to_owned())
    }

    fn port(&self) -> u16 {
        self.media.as_ref().map_or(0, |media| media.rtp_port())
    }

    fn local(&self, direction: MediaDirection) -> Local {
        let settings = self.profile.settings.load();
        let rtcp_port = self.media.as_ref().and_then(|media| media.rtcp_port());
        let ssrc = self.media.as_ref().map_or(0, |media| media.ssrc());
        Local {
            session_id: self.session_id,
            version: self.version,
            codecs: parse_codec_list(&self.codecs).into_iter().filter_map(spelt).collect(),
            telephone_event: (settings.dtmf_type == DtmfType::Rfc2833).then_some(settings.te_pt),
            comfort_noise: !settings.suppress_cng
                && self.agreed.as_ref().is_none_or(|agreed| agreed.comfort_noise.is_some()),
            direction,
            section_per_ptime: self.section_per_ptime,
            rtcp: settings.rtcp_interval.is_some() && rtcp_port.is_some(),
            rtcp_mux: false,
            security: self.security.clone(),
            append: settings
                .suppress_cng
                .then(|| "silenceSupp:off - - - -".to_owned())
                .into_iter()
                .collect(),
            audio: LocalStream { port: self.port(), rtcp_port, ssrc, ice: None },
            ..Local::new(&settings.username, self.advertised)
        }
    }

    /// What a description of the peer and our side have in common.
    fn agree(
        &self,
        theirs: &SessionDescription,
        mode: Mode,
    ) -> Result<AudioPlan, NegotiationError> {
        let local = self.local(MediaDirection::SendRecv);
        let plan = negotiation::negotiate(theirs, &local, mode)?;
        plan.audio.ok_or(NegotiationError::NoMedia)
    }

    /// The answer to an offer.
    fn answer_to(
        &self,
        theirs: &SessionDescription,
    ) -> Result<(AudioPlan, SessionDescription), NegotiationError> {
        let local = self.local(MediaDirection::SendRecv);
        let plan = negotiation::negotiate(theirs, &local, self.mode)?;
        let answer = negotiation::answer(theirs, &plan, &local);
        Ok((plan.audio.ok_or(NegotiationError::NoMedia)?, answer.sent))
    }

    /// The codec of a choice, at the sample rate our list asks for.
    fn codec_of(&self, choice: &Choice) -> Option<Codec> {
        let named = |pref: &CodecPref| pref.name.eq_ignore_ascii_case(&choice.name);
        let pref = parse_codec_list(&self.codecs).into_iter().find(named).and_then(known);
        pref.filter(|codec| codec.clock() == choice.rate)
            .or_else(|| Codec::by_name(&choice.name, choice.rate))
    }

    /// Binds the media ports if that was not done, and shows them.
    ///
    /// # Errors
    /// The cause to hang up with when no port can be had.
    pub fn open(&mut self, channel: &Channel, near: Option<&Channel>) -> Result<(), Cause> {
        if self.media.is_none() {
            let spec = RtpSpec {
                local_ip: self.bind_ip,
                near: near.and_then(Channel::media).map(|media| media.id()),
                rtcp: self.profile.settings.load().rtcp_interval.is_some(),
            };
            let (leg, events) = self.profile.switch.media.open_rtp(spec).map_err(|error| {
                tracing::error!(uuid = %channel.uuid(), fs_level = "CRIT", "No RTP port available: {error}");
                Cause::DESTINATION_OUT_OF_ORDER
            })?;
            let leg = Arc::new(leg);
            channel.with(|data| data.media = Some(Arc::clone(&leg)));
            self.media = Some(leg);
            self.events = Some(events);
        }
        Ok(())
    }

    fn show_ports(&self, channel: &Channel) {
        channel.set_vars([
            ("local_media_ip", self.bind_ip.to_string()),
            ("local_media_port", self.port().to_string()),
            ("advertised_media_ip", self.advertised.to_string()),
        ]);
    }

    /// Writes our offer.
    ///
    /// # Errors
    /// As for [`Audio::open`].
    pub fn offer(&mut self, channel: &Channel, near: Option<&Channel>) -> Result<String, Cause> {
        self.open(channel, near)?;
        self.section_per_ptime =
            !channel.var("sdp_m_per_ptime").is_some_and(|value| crate::text::is_false(&value));
        if self.local_sdp.is_none() {
            self.show_ports(channel);
        }
        show_flow(channel, "sendrecv");
        if channel.var("switch_m_sdp").is_some() {
            channel.set_var("video_media_flow", "inactive");
        }
        let direction =
            if self.held_by_us { MediaDirection::SendOnly } else { MediaDirection::SendRecv };
        self.version += 1;
        self.set_up_security(channel, None);
        self.show_offered_key(channel);
        let local = self.local(direction);
        self.te_offered = local.telephone_event;
        let text = as_sent(&negotiation::offer(&local)).to_string();
        self.keep_local(channel, &text);
        Ok(text)
    }

    fn keep_local(&mut self, channel: &Channel, text: &str) {
        const DIRECTIONS: [&str; 3] = ["a=sendonly", "a=recvonly", "a=inactive"];
        const SENDRECV: &str = "a=sendrecv";
        // As a variable, the direction stands after the packet time and is always said; our own hold is not shown.
        let unheld;
        let shown = if self.held_by_us {
            unheld = text.replace("a=sendonly\r\n", "");
            &unheld
        } else {
            text
        };
        let mut kept = String::new();
        let mut direction = SENDRECV;
        for line in shown.lines() {
            if DIRECTIONS.contains(&line) {
                direction = line;
                continue;
            }
            kept.push_str(line);
            kept.push_str("\r\n");
            if line.starts_with("a=ptime:") {
                kept.push_str(std::mem::replace(&mut direction, SENDRECV));
                kept.push_str("\r\n");
            }
        }
        channel.set_var("rtp_local_sdp_str", kept);
        self.local_sdp = Some(text.to_owned());
    }

    /// Looks at the peer's offer and chooses a codec; nothing is bound yet.
    ///
    /// # Errors
    /// [`Cause::INCOMPATIBLE_DESTINATION`] when nothing fits.
    pub fn consider(
        &mut self,
        channel: &Channel,
        remote: &str,
        profile_codecs: &str,
    ) -> Result<(), Cause> {
        let description = SessionDescription::parse(remote).map_err(|error| {
            tracing::warn!(uuid = %channel.uuid(), "Cannot read the session description: {error}");
            Cause::INCOMPATIBLE_DESTINATION
        })?;
        self.show_common(channel, &description, &self.list(channel, profile_codecs));
        self.use_codecs(channel, profile_codecs);
        self.set_up_security(channel, Some(&description));
        if let Some(mode) = channel.var("rtp_codec_negotiation") {
            self.mode = Mode::parse(&mode);
        }
        let agreed = self.agree(&description, self.mode);
        let theirs = direction_of(&description);
        self.remote_offer = Some(description);
        let agreed = agreed.map_err(|error| {
            channel.set_vars([
                ("remote_video_media_flow", "inactive".to_owned()),
                ("remote_text_media_flow", "inactive".to_owned()),
                ("remote_audio_media_flow", theirs.as_str().to_owned()),
            ]);
            show_flow(channel, theirs.answer().as_str());
            let events = self.offers_events();
            if !self.late || events && error == NegotiationError::NoCodec {
                let dtmf = if self.late { DtmfType::Rfc2833 } else { DtmfType::Info };
                channel.set_var("dtmf_type", dtmf.name());
            }
            refuse(channel, error);
            if !self.late {
                channel.set_var("endpoint_disposition", "NO CODECS");
            }
            Cause::INCOMPATIBLE_DESTINATION
        })?;
        self.note(channel, agreed);
        Ok(())
    }

    /// Considers an offer whose answer is needed now.
    ///
    /// # Errors
    /// As for [`Audio::consider`].
    pub fn consider_late(
        &mut self,
        channel: &Channel,
        remote: &str,
        profile_codecs: &str,
    ) -> Result<(), Cause> {
        self.late = true;
        self.consider(channel, remote, profile_codecs)
    }

    /// Does the peer's offer name telephone events?
    fn offers_events(&self) -> bool {
        self.remote_offer.iter().flat_map(|offer| &offer.media).any(|media| {
            media.rtpmaps().any(|map| map.name.eq_ignore_ascii_case("telephone-event"))
        })
    }

    /// Shows which codecs of an offer not yet looked at are ours.
    pub fn show_offer(&self, channel: &Channel, remote: &str, profile_codecs: &str) {
        if let Ok(description) = SessionDescription::parse(remote) {
            self.show_common(channel, &description, profile_codecs);
        }
    }

    /// Shows which of the peer's codecs we know (`ep_codec_string`).
    pub fn show_offered(&self, channel: &Channel, remote: &str) {
        if let Some(offered) = self.offered_codecs(remote) {
            channel.set_var("ep_codec_string", offered);
        }
    }

    /// The peer's codecs that we know, if any.
    #[must_use]
    pub fn offered_codecs(&self, remote: &str) -> Option<String> {
        let description = SessionDescription::parse(remote).ok()?;
        Some(common_codecs(&description, &self.codecs)).filter(|offered| !offered.is_empty())
    }

    /// Books an agreement on the channel.
    fn note(&mut self, channel: &Channel, agreed: AudioPlan) {
        let codec = &agreed.codec;
        show_flows(channel, &agreed);
        let flow = agreed.remote_direction.answer();
        show_flow(channel, if self.held_by_us { "sendrecv" } else { flow.as_str() });
        if let Some(remote) = agreed.transport.remote {
            channel.set_vars([
                ("remote_media_ip", remote.ip().to_string()),
                ("remote_media_port", remote.port().to_string()),
            ]);
        }
        channel.set_vars([
            ("rtp_audio_recv_pt", codec.payload_type.to_string()),
            ("rtp_use_codec_name", codec.name.clone()),
            ("rtp_use_codec_rate", codec.rate.to_string()),
            ("rtp_use_codec_ptime", codec.ptime.to_string()),
            ("rtp_use_codec_channels", "1".to_owned()),
            (
                "rtp_last_audio_codec_string",
                format!("{}@{}h@{}i@1c", codec.name, codec.rate, codec.ptime),
            ),
        ]);
        match &codec.fmtp {
            Some(fmtp) => channel.set_var("rtp_use_codec_fmtp", fmtp.clone()),
            None => channel.unset_var("rtp_use_codec_fmtp"),
        }
        if let Some(known) = self.codec_of(codec) {
            channel.set_codecs(&CodecInfo {
                name: known.name().to_owned(),
                rate: known.rate(),
                bit_rate: known.bit_rate(),
                ptime: codec.ptime,
            });
        }
        self.note_security(channel, &agreed);
        let dtmf = self.dtmf_type(channel, &agreed);
        channel.set_var("dtmf_type", dtmf.name());
        self.agreed = Some(agreed);
    }

    fn dtmf_type(&self, channel: &Channel, agreed: &AudioPlan) -> DtmfType {
        let wanted = channel
            .var("dtmf_type")
            .map_or(self.profile.settings.load().dtmf_type, |text| DtmfType::parse(&text));
        match (wanted, agreed.telephone_event) {
            (DtmfType::Rfc2833, None) => DtmfType::Info,
            (wanted, _) => wanted,
        }
    }

    /// Writes the answer to the offer considered, binding ports and starting media. `last` is the 200's, after which
    /// no other follows.
    ///
    /// # Errors
    /// The cause to hang up with.
    pub fn answer(
        &mut self,
        channel: &Channel,
        near: Option<&Channel>,
        last: bool,
    ) -> Result<String, Cause> {
        let partner_described = channel.var("switch_m_sdp").is_some();
        if let (Some(text), Some(_)) = (self.local_sdp.clone(), &self.media) {
            if last && partner_described && !self.partner_described {
                self.show_other_flows(channel);
            }
            if last {
                self.keep_local(channel, &text);
            }
            return Ok(text);
        }
        self.te_offered = None;
        self.partner_described = partner_described;
        self.open(channel, near)?;
        let offer = self.remote_offer.clone().ok_or(Cause::INCOMPATIBLE_DESTINATION)?;
        self.version += 1;
        let (agreed, answer) = self.answer_to(&offer).map_err(|error| refuse(channel, error))?;
        if self.agreed.as_ref() != Some(&agreed) {
            self.note(channel, agreed);
        }
        if last && partner_described {
            self.show_other_flows(channel);
        }
        let text = answer.to_string();
        if !self.late {
            self.keep_local(channel, &text);
        }
        self.show_ports(channel);
        self.start(channel);
        if self.late {
            channel.set_var("endpoint_disposition", "EARLY MEDIA");
            self.keep_local(channel, &text);
        }
        Ok(text)
    }

    /// The peer's answer to our offer.
    ///
    /// # Errors
    /// The cause to hang up with.
    pub fn accept(&mut self, channel: &Channel, remote: &str) -> Result<(), Cause> {
        let description =
            SessionDescription::parse(remote).map_err(|_| Cause::INCOMPATIBLE_DESTINATION)?;
        self.show_common(channel, &description, &self.codecs);
        channel.set_var("rtp_use_codec_string", self.codecs.clone());
        let agreed =
            self.agree(&description, Mode::Generous).map_err(|error| refuse(channel, error))?;
        self.note(channel, agreed);
        self.show_ports(channel);
        self.start(channel);
        Ok(())
    }

    /// Tells the media leg what was agreed, and shows what it uses.
    fn start(&self, channel: &Channel) {
        self.apply(channel);
        let (Some(media), Some(agreed)) = (&self.media, &self.agreed) else { return };
        channel.set_vars([
            ("rtp_use_timer_name", self.profile.settings.load().rtp_timer_name.clone()),
            ("rtp_use_pt", agreed.codec.payload_type.to_string()),
            ("rtp_use_ssrc", media.ssrc().to_string()),
        ]);
        self.show_telephone_event(channel);
        self.show_peer(channel);
    }

    fn show_other_flows(&self, channel: &Channel) {
        let flow = self.agreed.as_ref().map(|a| a.remote_direction.answer()).unwrap_or_default();
        channel.set_vars([
            ("video_media_flow", "inactive".to_owned()),
            ("text_media_flow", "inactive".to_owned()),
            ("audio_media_flow", flow.as_str().to_owned()),
        ]);
    }

    fn show_telephone_event(&self, channel: &Channel) {
        if let Some(pt) = self.agreed.as_ref().and_then(|agreed| agreed.telephone_event) {
            channel.set_vars([
                ("rtp_2833_send_payload", pt.to_string()),
                ("rtp_2833_recv_payload", pt.to_string()),
            ]);
        }
    }

    fn show_peer(&self, channel: &Channel) {
        if let Some(remote) = self.agreed.as_ref().and_then(|agreed| agreed.transport.remote) {
            channel.set_vars([
                ("remote_media_ip", remote.ip().to_string()),
                ("remote_media_port", remote.port().to_string()),
            ]);
        }
    }

    /// Tells the media leg what was agreed.
    fn apply(&self, channel: &Channel) {
        let (Some(media), Some(agreed)) = (&self.media, &self.agreed) else { return };
        let Some(codec) = self.codec_of(&agreed.codec) else { return };
        let settings = self.profile.settings.load();
        let mut params = RtpParams::new(codec, agreed.codec.payload_type);
        // Nobody is at 0.0.0.0, which is how old phones hold; nor may anybody else take that place.
        params.remote = agreed.transport.remote.filter(|to| !to.ip().is_unspecified());
        params.remote_rtcp = agreed.transport.remote_rtcp;
        params.rtcp_mux = agreed.transport.rtcp_mux;
        params.ptime = agreed.codec.ptime;
        params.te_send = agreed.telephone_event;
        // Of the numbers we offered, the peer sends with the one of the clock it chose.
        let offered = self.te_offered.filter(|_| agreed.event_clock == 8000);
        params.te_recv = offered.or(agreed.telephone_event);
        params.te_clock = agreed.event_clock;
        params.fmtp.clone_from(&agreed.codec.fmtp);
        params.cn_pt = agreed.comfort_noise;
        params.symmetric = settings.rtp_auto_adjust
            && (agreed.transport.remote.is_none() || params.remote.is_some())
            && !channel.is_true("disable_rtp_auto_adjust");
        params.signalling = self.peer;
        let keys = agreed.transport.secure.sdes().and_then(secure::keys);
        params.protection = keys.map_or(ProtectionSpec::None, ProtectionSpec::Keys);
        params.direction = flow(agreed.remote_direction.answer(), self.held_by_us);
        if agreed.declined {
            (params.remote, params.symmetric, params.direction) = (None, false, Flow::Inactive);
        }
        (params.media_timeout, params.hold_timeout) = media_timeouts(
            |name| channel.var(name),
            (settings.rtp_timeout, settings.rtp_hold_timeout),
        );
        params.rtcp_interval = settings.rtcp_interval;
        params.digit_delay_ms = settings.digit_delay_ms;
        params.cname = channel.uuid().to_string();
        params.jitter = crate::call::jitter::of(channel);
        let _gone = media.hold(self.held_by_us || agreed.hold);
        if let Err(error) = media.set_rtp(params) {
            tracing::error!(uuid = %channel.uuid(), "Media engine refuses the leg: {error}");
        }
    }

    /// Does the peer hold us?
    #[must_use]
    pub fn is_held_by_peer(&self) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| agreed.hold)
    }

    /// Was an offer of the peer seen?
    #[must_use]
    pub fn has_remote_offer(&self) -> bool {
        self.remote_offer.is_some()
    }
}

/// Which way the audio of a description goes.
fn direction_of(description: &SessionDescription) -> MediaDirection {
    const DIRECTIONS: [(&str, MediaDirection); 3] = [
        ("sendonly", MediaDirection::SendOnly),
        ("recvonly", MediaDirection::RecvOnly),
        ("inactive", MediaDirection::Inactive),
    ];
    let audio = description.media.iter().find(|media| media.kind == "audio");
    let said =
        |name: &str| audio.is_some_and(|media| media.attributes.iter().any(|a| a.name == name));
    DIRECTIONS
        .into_iter()
        .find(|(name, _)| said(name))
        .map_or(MediaDirection::SendRecv, |(_, direction)| direction)
}

fn flow(ours: MediaDirection, held: bool) -> Flow {
    match ours {
        MediaDirection::SendRecv if held => Flow::SendOnly,
        MediaDirection::SendRecv => Flow::SendRecv,
        MediaDirection::SendOnly => Flow::SendOnly,
        MediaDirection::RecvOnly => Flow::RecvOnly,
        MediaDirection::Inactive => Flow::Inactive,
    }
}

fn refuse(channel: &Channel, error: NegotiationError) -> Cause {
    tracing::error!(uuid = %channel.uuid(), "CODEC NEGOTIATION ERROR: {error}");
    channel.set_var("endpoint_disposition", "CODEC NEGOTIATION ERROR");
    Cause::INCOMPATIBLE_DESTINATION
}

/// The codec an entry of a codec string means.
fn known(pref: CodecPref) -> Option<Codec> {
    match pref.rate {
        Some(rate) => Codec::by_pref(&pref.name, rate),
        None => Codec::all().iter().find(|c| c.name().eq_ignore_ascii_case(&pref.name)).copied(),
    }
}

/// An entry of a codec string, spelt as descriptions spell it; `None` for what we do not know.
fn spelt(pref: CodecPref) -> Option<CodecPref> {
    let codec = known(pref.clone())?;
    let rate = if codec.clock() == codec.rate() { codec.clock() } else { codec.rate() };
    Some(CodecPref { name: codec.name().to_owned(), rate: Some(rate), ..pref })
}

/// Codecs of the offer that we know, the way `ep_codec_string` lists them.
pub(super) fn common_codecs(description: &SessionDescription, ours: &str) -> String {
    let ours: Vec<Codec> = parse_codec_list(ours).into_iter().filter_map(known).collect();
    let mut names = Vec::new();
    for media in description.media.iter().filter(|media| media.kind == "audio") {
        let ptime =
            media.attribute("ptime").and_then(|text| text.parse::<u32>().ok()).unwrap_or(20);
        for format in &media.formats {
            let Ok(pt) = format.parse::<u8>() else { continue };
            let map = media
                .rtpmaps()
                .find(|map| map.payload_type == pt)
                .map(|map| (map.name, map.rate, map.channels))
                .or_else(|| {
                    let (name, rate, channels) = sdp::static_codec(pt)?;
                    Some((name.to_owned(), rate, channels))
                });
            let Some((name, rate, channels)) = map else { continue };
            if let Some(codec) = ours.iter().find(|c| c.name().eq_ignore_ascii_case(&name)) {
                names.push(named(codec, &name, rate, ptime, channels));
            }
        }
    }
    names.join(",")
}

/// A codec as `ep_codec_string` names it, at the rate offered: bit rate and channels where they are not the usual.
fn named(codec: &Codec, name: &str, rate: u32, ptime: u32, channels: u8) -> String {
    let mut text = format!("{}.{name}@{rate}h@{ptime}i", codec.module());
    if codec.bit_rate() > 0 && codec.clock() == rate {
        text.push_str(&format!("@{}b", codec.bit_rate()));
    }
    if channels > 1 {
        text.push_str(&format!("@{channels}c"));
    }
    text
}
