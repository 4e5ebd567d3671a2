//! Offers and answers within a call: what changes, what stays, and what is shown of it.

use negotiation::{AudioPlan, Mode, as_sent};
use sdp::SessionDescription;

use super::{Audio, refuse, show_flows};
use crate::call::{Cause, Channel};

/// What a new offer within a call leaves as it was.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    same_codec: bool,
    same_peer: bool,
}

impl Audio {
    /// Looks at a new offer of the peer within the call; what we send does not change yet.
    ///
    /// # Errors
    /// The cause (488) when nothing fits; the call goes on as it was.
    pub fn consider_again(&mut self, channel: &Channel, remote: &str) -> Result<Again, Cause> {
        let description =
            SessionDescription::parse(remote).map_err(|_| Cause::INCOMPATIBLE_DESTINATION)?;
        let shown = as_sent(&description).to_string();
        let codecs = self.profile.settings.load().inbound_codecs.clone();
        self.set_up_security(channel, Some(&description));
        let agreed = self.agree(&description, self.mode).map_err(|error| refuse(channel, error))?;
        channel.set_var("switch_r_sdp", shown);
        self.show_common(channel, &description, &self.codecs);
        self.use_codecs(channel, &codecs);
        let old = self.agreed.as_ref();
        let again = Again {
            same_codec: old.is_some_and(|old| old.codec == agreed.codec),
            same_peer: old.is_some_and(|old| old.transport.remote == agreed.transport.remote),
        };
        show_flows(channel, &agreed);
        channel.set_var("audio_media_flow", agreed.remote_direction.answer().as_str());
        self.remote_offer = Some(description);
        if !again.same_codec {
            self.note(channel, agreed.clone());
        }
        self.note_security(channel, &agreed);
        self.agreed = Some(agreed);
        Ok(again)
    }

    /// The answer to the offer just considered; media follows it.
    ///
    /// # Errors
    /// The cause (488) when no answer can be written.
    pub fn answer_again(&mut self, channel: &Channel, again: &Again) -> Result<String, Cause> {
        self.te_offered = None;
        self.open(channel, None)?;
        let offer = self.remote_offer.clone().ok_or(Cause::INCOMPATIBLE_DESTINATION)?;
        let answer = |audio: &Self| {
            audio
                .answer_to(&offer)
                .map(|(_, answer)| answer.to_string())
                .map_err(|error| refuse(channel, error))
        };
        let mut text = answer(self)?;
        // A description that says the same keeps its version.
        if self.local_sdp.as_deref().map(without_origin) != Some(without_origin(&text)) {
            self.version += 1;
            text = answer(self)?;
        }
        if again.same_peer {
            self.show_peer(channel);
        }
        if let Some(agreed) = &self.agreed {
            channel.set_var("rtp_audio_recv_pt", agreed.codec.payload_type.to_string());
            channel.set_var("dtmf_type", self.dtmf_type(channel, agreed).name());
        }
        self.show_telephone_event(channel);
        self.keep_local(channel, &text);
        if !again.same_peer {
            self.show_peer(channel);
            self.show_ports(channel);
        }
        self.apply(channel);
        Ok(text)
    }

    /// The description to send for a hold or its end.
    ///
    /// # Errors
    /// As for [`Audio::offer`].
    pub fn hold_offer(&mut self, channel: &Channel, on: bool) -> Result<String, Cause> {
        self.held_by_us = on;
        if let Some(media) = &self.media {
            let _gone = media.hold(on || self.is_held_by_peer());
        }
        if let Some(AudioPlan { codec, .. }) = &self.agreed {
            // Within a call only what is in use is offered.
            let rate = self.codec_of(codec).map_or(codec.rate, |known| known.rate());
            let narrow = format!("{}@{rate}h@{}i", codec.name, codec.ptime);
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
    pub fn accept_again(&mut self, channel: &Channel, remote: &str) -> Result<(), Cause> {
        let description =
            SessionDescription::parse(remote).map_err(|_| Cause::INCOMPATIBLE_DESTINATION)?;
        let agreed =
            self.agree(&description, Mode::Generous).map_err(|error| refuse(channel, error))?;
        if self.agreed.as_ref().is_none_or(|old| old.codec != agreed.codec) {
            return self.accept(channel, remote);
        }
        self.show_offered(channel, remote);
        channel.set_var("rtp_use_codec_string", self.codecs.clone());
        show_flows(channel, &agreed);
        self.note_security(channel, &agreed);
        self.agreed = Some(agreed);
        self.show_peer(channel);
        if let Some(agreed) = &self.agreed {
            channel.set_var("rtp_audio_recv_pt", agreed.codec.payload_type.to_string());
            channel.set_var("dtmf_type", self.dtmf_type(channel, agreed).name());
        }
        self.show_telephone_event(channel);
        if let Some(text) = self.local_sdp.clone() {
            self.keep_local(channel, &text);
        }
        self.apply(channel);
        Ok(())
    }
}

/// Do two descriptions say the same, whatever their versions?
#[must_use]
pub fn means_the_same(one: &str, other: &str) -> bool {
    without_origin(one) == without_origin(other)
}

/// A description without the line that carries its version.
fn without_origin(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("o=")).collect::<Vec<_>>().join("\n")
}
