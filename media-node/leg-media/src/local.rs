//! What we have to offer: our side of a negotiation.

use std::net::SocketAddr;
use std::sync::Arc;

use negotiation::{
    Before, CandidateFilter, Choice, Identity, Local, LocalIce, LocalStream, Mode,
    NegotiationError, Plan, RoomVideo, Secure, VideoExtras, audio_codecs, video_codecs,
};
use sdp::{MediaDirection, SessionDescription};

use super::further;
use super::settings::DtmfType;
use super::streams::BridgedStreams;
use super::{LegMedia, certificate};
use crate::call::{Cause, Channel, Direction};

impl LegMedia {
    pub(super) fn local(&self, channel: &Channel, direction: MediaDirection) -> Local {
        let settings = self.profile.media_settings();
        let rtcp_port = self.media.as_ref().and_then(|media| media.rtcp_port());
        let ssrc = self.media.as_ref().map_or(0, |media| media.ssrc());
        let refuses = |name: &str| channel.var(name).is_some_and(|v| crate::text::is_false(&v));
        let streams = &self.streams;
        Local {
            session_id: self.session_id,
            version: self.version,
            codecs: audio_codecs(&self.codecs),
            video_codecs: video_codecs(&self.codecs),
            telephone_event: (settings.dtmf_type == DtmfType::Rfc2833).then_some(settings.te_pt),
            comfort_noise: !settings.suppress_cng
                && !self.suppress_cng
                && self.agreed().is_none_or(|agreed| agreed.comfort_noise.is_some()),
            direction,
            section_per_ptime: !refuses("sdp_m_per_ptime"),
            rtcp: settings.rtcp_interval.is_some() && rtcp_port.is_some(),
            rtcp_mux: !refuses("rtcp_mux"),
            security: self.security.clone(),
            video_security: streams.security.clone(),
            webrtc: self.offers_webrtc(channel),
            ice_lite: channel.is_true("ice_lite"),
            identity: self.identity.clone(),
            candidates: self.candidate_filter(),
            append: settings
                .suppress_cng
                .then(|| "silenceSupp:off - - - -".to_owned())
                .into_iter()
                .chain(self.append.iter().cloned())
                .collect(),
            opus: crate::opus::OpusConf::of(self.profile.switch()).wishes,
            reuse: self.reused(channel),
            offer_video: self.offers_video(),
            audio: LocalStream { port: self.port(), rtcp_port, ssrc, ice: self.ice.clone() },
            video: streams.video(),
            text: streams.text(),
            further: streams.further.streams(channel, self.plan.as_ref().filter(|_| !self.anew)),
            most_further: streams.further.most(channel),
            room_video: further::room_video(channel),
            before: self.before(further::room_video(channel)),
            ..Local::new(&settings.username, self.advertised)
        }
    }

    /// Are our offers for a browser?
    pub(super) fn offers_webrtc(&self, channel: &Channel) -> bool {
        let agreed = self.plan.as_ref().map(|plan| plan.feedback);
        agreed.unwrap_or_else(|| {
            channel.direction() == Direction::Outbound && channel.is_true("media_webrtc")
        }) && self.identity.is_some()
    }

    /// Is video in our offers? Once the peer has described itself, only as it was agreed.
    pub(super) fn offers_video(&self) -> Option<MediaDirection> {
        match &self.plan {
            None => Some(MediaDirection::SendRecv),
            Some(plan) => plan.video.as_ref().filter(|video| !video.declined).map(|video| {
                if self.held_by_us {
                    MediaDirection::SendOnly
                } else {
                    video.remote_direction.answer()
                }
            }),
        }
    }

    /// What the leg on whose behalf we call agreed on with its far end: our offer uses its numbers.
    pub(super) fn reused(&self, channel: &Channel) -> Vec<Choice> {
        if let Some(plan) = &self.plan {
            let video = plan.video.iter().filter(|v| !v.declined).map(|v| v.codec.clone());
            return plan.audio.iter().map(|audio| audio.codec.clone()).chain(video).collect();
        }
        let near = channel.var("originating_leg_uuid");
        let near = near.and_then(|uuid| channel.switch().channel(&uuid));
        near.map(|near| near.with(|data| data.slot::<BridgedStreams>().offered.clone()))
            .unwrap_or_default()
    }

    /// What an earlier exchange agreed on; of what it agreed for a room, what this one still takes.
    pub(super) fn before(&self, room: RoomVideo) -> Before {
        let role = |secure: &Secure| secure.dtls().map(|dtls| dtls.role);
        let Some(plan) = &self.plan else { return Before::default() };
        if self.anew {
            let proto = plan.audio.as_ref().map(|audio| audio.proto.clone());
            return Before { proto, within: true, ..Before::default() };
        }
        Before {
            proto: plan.audio.as_ref().map(|audio| audio.proto.clone()),
            audio_role: plan.audio.as_ref().and_then(|audio| role(&audio.transport.secure)),
            video_role: plan.video.as_ref().and_then(|video| role(&video.transport.secure)),
            within: true,
            lines: self.last_lines(),
            audio_index: plan.audio.as_ref().map(|audio| audio.media_index),
            video_index: plan.video.as_ref().map(|video| video.media_index),
            video_extras: plan.video.as_ref().map(|v| kept(&v.extras, room)).unwrap_or_default(),
        }
    }

    /// Kind and profile of each line of our last description.
    fn last_lines(&self) -> Vec<(String, String)> {
        let lines = self.local.iter().flat_map(|(sent, _)| &sent.media);
        lines.map(|line| (line.kind.clone(), line.proto.clone())).collect()
    }

    pub(super) fn candidate_filter(&self) -> CandidateFilter {
        let switch = Arc::clone(self.profile.switch());
        let lists = self.profile.media_settings().candidate_acls.clone();
        CandidateFilter::new(move |ip| match lists.is_empty() {
            true => switch.acl_allows("wan.auto", ip),
            false => lists.iter().any(|list| switch.acl_allows(list, ip)),
        })
    }

    /// Makes certificate, names and credentials ready where a description needs them.
    pub(super) fn prepare_for_browser(&mut self, needed: bool) {
        if !needed || self.identity.is_some() {
            return;
        }
        let fingerprints = certificate::fingerprints(self.profile.switch());
        self.identity = (!fingerprints.is_empty()).then(|| Identity::new(fingerprints)).flatten();
        if self.identity.is_some() {
            self.ice = self.new_credentials();
            self.streams.prepare_checks(self.bind_ip);
        }
    }

    /// Credentials for checks that begin, with the candidates there are.
    pub(super) fn new_credentials(&self) -> Option<LocalIce> {
        let mut ours = LocalIce::new()?;
        self.reach.name_relay(&mut ours, SocketAddr::new(self.bind_ip, self.port()));
        Some(ours)
    }

    /// Gets what must be known before a description of ours is written: addresses of a TURN server's, if the profile
    /// names one and the description is for a browser. To be called before [`LegMedia::offer`] and [`LegMedia::answer`].
    ///
    /// # Errors
    /// As for [`LegMedia::open`].
    pub async fn gather(&mut self, channel: &Channel, near: Option<&Channel>) -> Result<(), Cause> {
        let Some(server) = self.profile.media_settings().relay.clone() else { return Ok(()) };
        let outbound = channel.direction() == Direction::Outbound;
        self.prepare_for_browser(outbound && channel.is_true("media_webrtc"));
        // A lite agent checks nothing, and a relay passes nothing before it was told of the peer.
        if self.ice.is_none() || self.local.is_some() || channel.is_true("ice_lite") {
            return Ok(());
        }
        self.open(channel, near)?;
        let base = SocketAddr::new(self.bind_ip, self.port());
        let Self { reach, streams, ice, bind_ip, .. } = self;
        let audio = async {
            if let Some(ours) = ice {
                reach.gather(channel, &server, base, ours).await;
            }
        };
        tokio::join!(audio, streams.gather(channel, &server, *bind_ip));
        Ok(())
    }

    /// What a description of the peer and our side have in common.
    pub(super) fn agree(
        &mut self,
        channel: &Channel,
        theirs: &SessionDescription,
        mode: Mode,
    ) -> Result<Plan, NegotiationError> {
        self.prepare_for_browser(wants_checks(theirs));
        negotiation::negotiate(theirs, &self.local(channel, MediaDirection::SendRecv), mode)
    }
}

/// What of it is offered again.
fn kept(extras: &VideoExtras, room: RoomVideo) -> VideoExtras {
    VideoExtras {
        simulcast: extras.simulcast.clone().filter(|_| room.simulcast),
        transport_cc: extras.transport_cc.filter(|_| room.transport_cc),
    }
}

/// Whether a description needs certificates or connectivity checks to be answered.
fn wants_checks(description: &SessionDescription) -> bool {
    let feedback = |proto: &str| proto.to_ascii_uppercase().ends_with("AVPF");
    description.attribute("ice-ufrag").is_some()
        || description
            .media
            .iter()
            .any(|media| feedback(&media.proto) || media.attribute("ice-ufrag").is_some())
}
