//! Our offers, and the ports they name.

use std::net::SocketAddr;
use std::sync::Arc;

use media::{Handling, RtpParams, RtpSpec};
use negotiation::{as_sent, video_codecs};
use sdp::{MediaDirection, SessionDescription};

use super::{LegMedia, shown};
use crate::call::description::OF_PARTNER;
use crate::call::{Cause, Channel, Direction};

impl LegMedia {
    /// Binds the media ports if that was not done, and shows them.
    ///
    /// # Errors
    /// The cause to hang up with when no port can be had.
    pub fn open(&mut self, channel: &Channel, near: Option<&Channel>) -> Result<(), Cause> {
        let plan = self.plan.as_ref();
        if self.media.is_none() && plan.is_none_or(|plan| plan.audio.is_some()) {
            let asked = plan.and_then(|plan| plan.audio.as_ref()).is_some_and(|audio| audio.rtcp);
            let spec = RtpSpec {
                local_ip: self.bind_ip,
                local_port: None,
                near: near.and_then(Channel::media).map(|media| media.id()),
                rtcp: asked
                    || self.identity.is_some()
                    || self.profile.media_settings().rtcp_interval.is_some(),
            };
            let (leg, events) = self.profile.switch().media.open_rtp(spec).map_err(|error| {
                tracing::error!(uuid = %channel.uuid(), fs_level = "CRIT", "No RTP port available: {error}");
                Cause::DESTINATION_OUT_OF_ORDER
            })?;
            let leg = Arc::new(leg);
            channel.with(|data| data.media = Some(Arc::clone(&leg)));
            self.media = Some(leg);
            self.events = Some(events);
        }
        self.open_streams(channel)
    }

    /// Binds what video and text need that was not bound before.
    pub(super) fn open_streams(&mut self, channel: &Channel) -> Result<(), Cause> {
        let (video, text) = match &self.plan {
            Some(plan) => (plan.video.is_some(), plan.text.is_some()),
            None => (!video_codecs(&self.codecs).is_empty(), false),
        };
        let near = self.media.as_ref().map(|media| media.id());
        let spec = RtpSpec { near, ..RtpSpec::new(self.bind_ip) };
        let engine = &self.profile.switch().media;
        self.streams.open(channel, engine, &spec, video, text)?;
        let further = self.plan.as_ref().map_or(&[][..], |plan| &plan.further);
        self.streams.further.open(channel, engine, &spec, (further, self.identity.is_some()));
        Ok(())
    }

    /// Writes our offer.
    ///
    /// # Errors
    /// As for [`LegMedia::open`].
    pub fn offer(
        &mut self,
        channel: &Channel,
        near: Option<&Channel>,
    ) -> Result<SessionDescription, Cause> {
        let webrtc = channel.direction() == Direction::Outbound && channel.is_true("media_webrtc");
        self.prepare_for_browser(webrtc);
        self.open(channel, near)?;
        if self.local.is_none() {
            self.show_ports(channel);
        }
        let direction =
            if self.held_by_us { MediaDirection::SendOnly } else { MediaDirection::SendRecv };
        self.version += 1;
        self.set_up(channel, None);
        self.show_offered_key(channel);
        shown::flow(channel, "sendrecv");
        if self.streams.has_video() {
            self.streams.show_video_port(channel, self.bind_ip);
            channel.set_var("video_media_flow", "sendrecv");
        } else if channel.var(OF_PARTNER).is_some() {
            channel.set_var("video_media_flow", "inactive");
        }
        let mut local = self.local(channel, direction);
        if !self.profile.media_settings().offers_events {
            local.telephone_event = None;
        }
        self.te_offered = local.telephone_event;
        let made = negotiation::offer(&local);
        self.te_other = shown::other_events(&made, local.telephone_event);
        let sent = as_sent(&made);
        self.keep_local(channel, made, sent.clone());
        Ok(sent)
    }

    /// An offer to a far end that begins anew within a call, such as a browser whose page was loaded again: other
    /// credentials for the checks, and a handshake that owes nothing to the last.
    ///
    /// # Errors
    /// As for [`LegMedia::open`].
    pub fn offer_anew(&mut self, channel: &Channel) -> Result<SessionDescription, Cause> {
        self.ice = self.identity.as_ref().and_then(|_| self.new_credentials());
        self.streams.prepare_checks(self.bind_ip);
        // A page that was loaded again knows nothing of the lines it had asked for.
        if let Some(plan) = &mut self.plan {
            plan.further.clear();
        }
        self.anew = true;
        self.beginnings = self.beginnings.wrapping_add(1);
        self.offer(channel, None)
    }

    /// A description of ours that offers or answers fax, at the audio's port.
    pub fn fax_description(
        &mut self,
        channel: &Channel,
        options: &sdp::T38Options,
        numbers: bool,
    ) -> SessionDescription {
        self.version += 1;
        let fax = self.local(channel, MediaDirection::SendRecv).fax(options, numbers);
        self.keep_local(channel, fax.clone(), fax.clone());
        fax
    }

    /// From now on the leg's datagrams are fax; the next description with audio changes that.
    pub fn switch_to_fax(&self, channel: &Channel, remote: Option<SocketAddr>) {
        let Some(media) = &self.media else { return };
        let mut params = RtpParams::new(media.codec(), 0);
        params.handling = Handling::Datagrams;
        params.remote = remote;
        params.signalling = self.peer;
        if let Err(error) = media.set_rtp(params) {
            tracing::error!(uuid = %channel.uuid(), "Media engine refuses the leg: {error}");
        }
    }

    /// Keeps our description. Our own hold is not shown; on further lines of video we only send at any time.
    pub(super) fn keep_local(
        &mut self,
        channel: &Channel,
        made: SessionDescription,
        sent: SessionDescription,
    ) {
        let mut shown = made;
        if self.held_by_us {
            let further = self.streams.further.ports();
            let lines = shown.media.iter_mut().filter(|media| !further.contains(&media.port));
            lines
                .flat_map(|media| &mut media.attributes)
                .filter(|attribute| attribute.name == "sendonly")
                .for_each(|attribute| attribute.name = "sendrecv".into());
        }
        self.local = Some((sent, shown));
        self.show_local(channel);
    }
}
