//! The variables that show what was offered and agreed, in the order the reference assigns them.

use std::net::SocketAddr;

use esl_server::event::{Event, EventName};
use negotiation::common_codecs;
use sdp::{MediaDirection, SessionDescription};

use super::*;
use crate::call::CodecInfo;

/// Our own direction; a variable that says so already keeps its place.
pub(super) fn flow(channel: &Channel, flow: &str) {
    if channel.var("audio_media_flow").as_deref() != Some(flow) {
        channel.set_var("audio_media_flow", flow);
    }
}

/// Which way the peer's media flows, as variables. Video in use shows itself later.
pub(super) fn flows(channel: &Channel, plan: &Plan) {
    if plan.video.is_none() {
        channel.set_var("remote_video_media_flow", "inactive");
    }
    channel.set_var("remote_text_media_flow", "inactive");
    if let Some(audio) = &plan.audio {
        channel.set_var("remote_audio_media_flow", audio.remote_direction.as_str());
    }
}

/// Where the connectivity checks found the peer.
pub(super) fn path(channel: &Channel, kind: &str, to: SocketAddr) {
    let names = match kind {
        "video" => ["remote_video_ip", "remote_video_port"],
        _ => ["remote_audio_ip", "remote_audio_port"],
    };
    let [ip, port] = names;
    channel.set_vars([(ip, to.ip().to_string()), (port, to.port().to_string())]);
    if kind == "audio" {
        channel.set_vars([
            ("remote_media_ip", to.ip().to_string()),
            ("remote_media_port", to.port().to_string()),
        ]);
    }
}

/// Tells programs that packets are protected now, once for each direction as in the reference.
pub(super) fn secured(channel: &Channel, secure: &str) {
    let bus = &channel.switch().bus;
    for _ in ["send", "receive"] {
        if !bus.wants(EventName::CallSecure) {
            bus.skip();
            continue;
        }
        let mut event = Event::new(EventName::CallSecure);
        event.push("secure_type", secure.to_owned());
        event.push("caller-unique-id", channel.uuid().to_string());
        esl_server::fire!(bus, event);
    }
}

impl LegMedia {
    /// Shows which codecs of a description are ours, if any.
    pub(super) fn show_common(
        &self,
        channel: &Channel,
        description: &SessionDescription,
        ours: &str,
    ) {
        let common = common_codecs(description, ours);
        if !common.is_empty() {
            channel.set_var("ep_codec_string", common);
        }
        let offered = negotiation::offered_choices(description, ours);
        channel.with(|data| data.slot::<BridgedStreams>().offered = offered);
    }

    /// Shows which codecs of an offer not yet looked at are ours.
    pub fn show_offer(&self, channel: &Channel, remote: &SessionDescription, ours: &str) {
        self.show_common(channel, remote, ours);
    }

    /// Shows which of the peer's codecs we know (`ep_codec_string`).
    pub fn show_offered(&self, channel: &Channel, remote: &SessionDescription) {
        self.show_common(channel, remote, &self.codecs);
    }

    /// The peer's codecs that we know, if any.
    #[must_use]
    pub fn offered_codecs(&self, remote: &SessionDescription) -> Option<String> {
        Some(common_codecs(remote, &self.codecs)).filter(|offered| !offered.is_empty())
    }

    /// Shows why an offer is refused.
    pub(super) fn show_refused(
        &self,
        channel: &Channel,
        remote: &SessionDescription,
        error: NegotiationError,
    ) {
        let audio = remote.media.iter().find(|media| media.kind == "audio" && media.port != 0);
        channel.set_vars([
            ("remote_video_media_flow", "inactive".to_owned()),
            ("remote_text_media_flow", "inactive".to_owned()),
        ]);
        match audio.map(|media| MediaDirection::of(remote, media)) {
            Some(theirs) => {
                channel.set_var("remote_audio_media_flow", theirs.as_str());
                flow(channel, theirs.answer().as_str());
            }
            None => flow(channel, MediaDirection::Inactive.as_str()),
        }
        let events = self.offers_events();
        if !self.late || events && error == NegotiationError::NoCodec {
            let dtmf = if self.late { DtmfType::Rfc2833 } else { DtmfType::Info };
            channel.set_var("dtmf_type", dtmf.name());
        }
        refuse(channel, error);
        if !self.late {
            channel.set_var("endpoint_disposition", "NO CODECS");
        }
    }

    /// Books an agreement on the channel.
    pub(super) fn note(&mut self, channel: &Channel, plan: Plan) {
        flows(channel, &plan);
        if let Some(agreed) = &plan.audio {
            self.note_audio(channel, agreed);
        }
        self.streams.note(channel, &plan);
        self.plan = Some(plan);
    }

    fn note_audio(&mut self, channel: &Channel, agreed: &AudioPlan) {
        let codec = &agreed.codec;
        let ours = agreed.remote_direction.answer();
        flow(channel, if self.held_by_us { "sendrecv" } else { ours.as_str() });
        if let Some(remote) = agreed.transport.remote {
            channel.set_vars([
                ("remote_media_ip", remote.ip().to_string()),
                ("remote_media_port", remote.port().to_string()),
            ]);
        }
        channel.set_vars([
            ("rtp_audio_recv_pt", codec.payload_type.to_string()),
            ("rtp_use_codec_name", codec.name.clone()),
        ]);
        match &codec.fmtp {
            Some(fmtp) => channel.set_heard_var("rtp_use_codec_fmtp", fmtp),
            None => channel.unset_var("rtp_use_codec_fmtp"),
        }
        channel.set_vars([
            ("rtp_use_codec_rate", codec.rate.to_string()),
            ("rtp_use_codec_ptime", codec.ptime.to_string()),
            ("rtp_use_codec_channels", "1".to_owned()),
            (
                "rtp_last_audio_codec_string",
                format!("{}@{}h@{}i@1c", codec.name, codec.rate, codec.ptime),
            ),
        ]);
        if let Some(known) = self.codec_of(codec) {
            channel.set_codecs(&CodecInfo {
                name: known.name().to_owned(),
                rate: known.rate(),
                bit_rate: known.bit_rate(),
                ptime: codec.ptime,
            });
        }
        if agreed.transport.ice.is_some() {
            streams::show_chosen(channel, "audio", &agreed.transport);
        }
        self.note_security(channel, agreed);
        let dtmf = self.dtmf_type(channel, agreed);
        channel.set_var("dtmf_type", dtmf.name());
    }

    pub(super) fn show_ports(&self, channel: &Channel) {
        if self.media.is_none() {
            return;
        }
        channel.set_vars([
            ("local_media_ip", self.bind_ip.to_string()),
            ("local_media_port", self.port().to_string()),
            ("advertised_media_ip", self.advertised.to_string()),
        ]);
    }

    /// Shows our description.
    pub(super) fn show_local(&self, channel: &Channel) {
        if let Some((_, shown)) = &self.local {
            // It repeats formats and identifications of the far end.
            channel.set_heard_var("rtp_local_sdp_str", &shown.to_string());
        }
    }

    pub(super) fn show_other_flows(&self, channel: &Channel) {
        let flow = self.agreed().map(|a| a.remote_direction.answer()).unwrap_or_default();
        let video = self.plan.as_ref().and_then(|plan| plan.video.as_ref());
        let video = video.map_or("inactive", |video| video.remote_direction.answer().as_str());
        channel.set_vars([
            ("video_media_flow", video.to_owned()),
            ("text_media_flow", "inactive".to_owned()),
            ("audio_media_flow", flow.as_str().to_owned()),
        ]);
    }

    pub(super) fn show_telephone_event(&self, channel: &Channel) {
        if let Some(pt) = self.agreed().and_then(|agreed| agreed.telephone_event) {
            channel.set_vars([
                ("rtp_2833_send_payload", pt.to_string()),
                ("rtp_2833_recv_payload", pt.to_string()),
            ]);
        }
    }

    pub(super) fn show_peer(&self, channel: &Channel) {
        if let Some(remote) = self.agreed().and_then(|agreed| agreed.transport.remote) {
            channel.set_vars([
                ("remote_media_ip", remote.ip().to_string()),
                ("remote_media_port", remote.port().to_string()),
            ]);
        }
    }
}

/// The number of telephone events that an offer names for another clock than that of `usual`.
pub(super) fn other_events(offer: &SessionDescription, usual: Option<u8>) -> Option<u8> {
    let audio = offer.media.iter().find(|media| media.kind == "audio")?;
    let events = audio.rtpmaps().filter(|map| map.name.eq_ignore_ascii_case("telephone-event"));
    events.map(|map| map.payload_type).find(|number| Some(*number) != usual)
}
