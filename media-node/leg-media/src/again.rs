//! Offers and answers within a call: what changes, what stays, and what is shown of it.

use std::sync::Arc;

use negotiation::{AudioPlan, Local, Mode, Plan};
use sdp::{MediaDirection, SessionDescription};

use super::{LegMedia, further, refuse, shown};
use crate::call::description::OF_FAR_END;
use crate::call::{Cause, Channel};

/// What a new offer within a call leaves as it was.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    same_codec: bool,
    same_peer: bool,
}

impl LegMedia {
    /// Looks at a new offer of the peer within the call; what we send does not change yet.
    ///
    /// # Errors
    /// The cause (488) when nothing fits; the call goes on as it was.
    pub fn consider_again(
        &mut self,
        channel: &Channel,
        remote: &Arc<SessionDescription>,
    ) -> Result<Again, Cause> {
        let codecs = self.profile.media_settings().inbound_codecs.clone();
        self.set_up(channel, Some(remote));
        let plan =
            self.agree(channel, remote, self.mode).map_err(|error| refuse(channel, error))?;
        self.follow_restart(&plan);
        channel.set_description(OF_FAR_END, Arc::clone(remote));
        self.show_common(channel, remote, &self.codecs);
        self.use_codecs(channel, &codecs);
        let agreed = plan.audio.as_ref();
        let peer = |audio: &AudioPlan| audio.transport.remote;
        let again = Again {
            same_codec: self.agreed().map(|old| &old.codec) == agreed.map(|new| &new.codec),
            same_peer: self.agreed().map(peer) == agreed.map(peer),
        };
        shown::flows(channel, &plan);
        if let Some(agreed) = agreed {
            channel.set_var("audio_media_flow", agreed.remote_direction.answer().as_str());
        }
        self.remote_offer = Some(Arc::clone(remote));
        if again.same_codec {
            self.streams.note(channel, &plan);
        } else {
            self.note(channel, plan.clone());
        }
        if let Some(agreed) = &plan.audio {
            self.note_security(channel, agreed);
        }
        self.plan = Some(plan);
        Ok(again)
    }

    /// The answer to the offer just considered; media follows it.
    ///
    /// # Errors
    /// The cause (488) when no answer can be written.
    pub fn answer_again(
        &mut self,
        channel: &Channel,
        again: &Again,
    ) -> Result<SessionDescription, Cause> {
        self.te_offered = None;
        self.open(channel, None)?;
        let offer = self.remote_offer.clone().ok_or(Cause::INCOMPATIBLE_DESTINATION)?;
        let before = self.before(further::room_video(channel));
        let write = |audio: &Self| {
            let local =
                Local { before: before.clone(), ..audio.local(channel, MediaDirection::SendRecv) };
            let mut plan = negotiation::negotiate(&offer, &local, audio.mode)
                .map_err(|error| refuse(channel, error))?;
            audio.streams.further.keep_bound(&mut plan);
            let answer = negotiation::answer(&offer, &plan, &local);
            Ok((plan, answer))
        };
        let (mut plan, mut answer) = write(self)?;
        // A description that says the same keeps its version.
        let same = |(sent, _): &(SessionDescription, _)| means_the_same(sent, &answer.sent);
        if !self.local.as_ref().is_some_and(same) {
            self.version += 1;
            (plan, answer) = write(self)?;
        }
        self.plan = Some(plan);
        if again.same_peer {
            self.show_peer(channel);
        }
        if let Some(agreed) = self.agreed() {
            channel.set_var("rtp_audio_recv_pt", agreed.codec.payload_type.to_string());
            channel.set_var("dtmf_type", self.dtmf_type(channel, agreed).name());
        }
        self.show_telephone_event(channel);
        self.keep_local(channel, answer.shown, answer.sent.clone());
        if !again.same_peer {
            self.show_peer(channel);
            self.show_ports(channel);
        }
        self.apply(channel);
        Ok(answer.sent)
    }

    /// The description to send for a hold or its end.
    ///
    /// # Errors
    /// As for [`LegMedia::offer`].
    pub fn hold_offer(&mut self, channel: &Channel, on: bool) -> Result<SessionDescription, Cause> {
        self.held_by_us = on;
        if let Some(media) = &self.media {
            let _gone = media.hold(on || self.is_held_by_peer());
        }
        if let Some(AudioPlan { codec, .. }) = self.agreed() {
            // Within a call only what is in use is offered.
            let rate = self.codec_of(codec).map_or(codec.rate, |known| known.rate());
            let mut narrow = format!("{}@{rate}h@{}i", codec.name, codec.ptime);
            let video = self.plan.as_ref().and_then(|plan| plan.video.as_ref());
            if let Some(video) = video.filter(|video| !video.declined) {
                narrow.push_str(&format!(",{}", video.codec.name));
            }
            let all = std::mem::replace(&mut self.codecs, narrow);
            let offer = self.offer(channel, None);
            self.codecs = all;
            return offer;
        }
        self.offer(channel, None)
    }

    /// The peer's answer to an offer of ours within the call; what stays as it was is not shown again.
    ///
    /// # Errors
    /// The cause when nothing fits; the call goes on as it was.
    pub fn accept_again(
        &mut self,
        channel: &Channel,
        remote: &SessionDescription,
    ) -> Result<(), Cause> {
        let plan =
            self.agree(channel, remote, Mode::Generous).map_err(|error| refuse(channel, error))?;
        self.anew = false;
        let codec = |plan: &Plan| plan.audio.as_ref().map(|audio| audio.codec.clone());
        if self.plan.as_ref().and_then(codec) != codec(&plan) {
            return self.accept(channel, remote);
        }
        self.show_offered(channel, remote);
        channel.set_var("rtp_use_codec_string", self.codecs.clone());
        shown::flows(channel, &plan);
        self.streams.note(channel, &plan);
        if let Some(agreed) = &plan.audio {
            self.note_security(channel, agreed);
        }
        self.plan = Some(plan);
        self.show_peer(channel);
        if let Some(agreed) = self.agreed() {
            channel.set_var("rtp_audio_recv_pt", agreed.codec.payload_type.to_string());
            channel.set_var("dtmf_type", self.dtmf_type(channel, agreed).name());
        }
        self.show_telephone_event(channel);
        self.apply(channel);
        Ok(())
    }
}

/// Do two descriptions say the same, whatever their versions?
#[must_use]
pub fn means_the_same(one: &SessionDescription, other: &SessionDescription) -> bool {
    let origin = &one.origin;
    *one == SessionDescription { origin: origin.clone(), ..other.clone() }
}
