//! The peer's offer and our answer; the peer's answer to our offer.

use std::sync::Arc;

use negotiation::{Mode, Plan};
use sdp::{MediaDirection, SessionDescription};

use super::{LegMedia, refuse};
use crate::call::description::OF_PARTNER;
use crate::call::{Cause, Channel};

impl LegMedia {
    /// Looks at the peer's offer and chooses codecs; nothing is bound yet.
    ///
    /// # Errors
    /// [`Cause::INCOMPATIBLE_DESTINATION`] when nothing fits.
    pub fn consider(
        &mut self,
        channel: &Channel,
        remote: &Arc<SessionDescription>,
        profile_codecs: &str,
    ) -> Result<(), Cause> {
        self.show_common(channel, remote, &self.list(channel, profile_codecs));
        self.use_codecs(channel, profile_codecs);
        self.set_up(channel, Some(remote));
        if let Some(mode) = channel.var("rtp_codec_negotiation") {
            self.mode = Mode::parse(&mode);
        }
        let agreed = self.agree(channel, remote, self.mode);
        self.remote_offer = Some(Arc::clone(remote));
        let plan = agreed.map_err(|error| {
            self.show_refused(channel, remote, error);
            Cause::INCOMPATIBLE_DESTINATION
        })?;
        self.note(channel, plan);
        Ok(())
    }

    /// Considers an offer whose answer is needed now.
    ///
    /// # Errors
    /// As for [`LegMedia::consider`].
    pub fn consider_late(
        &mut self,
        channel: &Channel,
        remote: &Arc<SessionDescription>,
        profile_codecs: &str,
    ) -> Result<(), Cause> {
        self.late = true;
        self.consider(channel, remote, profile_codecs)
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
    ) -> Result<SessionDescription, Cause> {
        let partner_described = channel.var(OF_PARTNER).is_some();
        if let Some((sent, _)) = self.local.clone() {
            if last && partner_described && !self.partner_described {
                self.show_other_flows(channel);
            }
            if last {
                self.show_local(channel);
            }
            return Ok(sent);
        }
        self.te_offered = None;
        self.partner_described = partner_described;
        self.open(channel, near)?;
        let offer = self.remote_offer.clone().ok_or(Cause::INCOMPATIBLE_DESTINATION)?;
        self.version += 1;
        let mut plan =
            self.agree(channel, &offer, self.mode).map_err(|error| refuse(channel, error))?;
        self.streams.further.keep_bound(&mut plan);
        let local = self.local(channel, MediaDirection::SendRecv);
        let answer = negotiation::answer(&offer, &plan, &local);
        if self.plan.as_ref().map(without_credentials) != Some(without_credentials(&plan)) {
            self.note(channel, plan);
        } else {
            self.plan = Some(plan);
        }
        if last && partner_described {
            self.show_other_flows(channel);
        }
        if !self.late {
            self.keep_local(channel, answer.shown.clone(), answer.sent.clone());
        }
        self.show_ports(channel);
        self.start(channel);
        if self.late {
            channel.set_var("endpoint_disposition", "EARLY MEDIA");
            self.keep_local(channel, answer.shown, answer.sent.clone());
        }
        Ok(answer.sent)
    }

    /// The peer's answer to our offer.
    ///
    /// # Errors
    /// The cause to hang up with.
    pub fn accept(&mut self, channel: &Channel, remote: &SessionDescription) -> Result<(), Cause> {
        self.accept_with(channel, remote, false)
    }

    /// The peer's answer in a provisional response. As in the reference it counts as a description of its own: our
    /// direction is shown anew.
    ///
    /// # Errors
    /// As for [`LegMedia::accept`].
    pub fn accept_early(
        &mut self,
        channel: &Channel,
        remote: &SessionDescription,
    ) -> Result<(), Cause> {
        self.accept_with(channel, remote, true)
    }

    pub(super) fn accept_with(
        &mut self,
        channel: &Channel,
        remote: &SessionDescription,
        early: bool,
    ) -> Result<(), Cause> {
        self.show_common(channel, remote, &self.codecs);
        channel.set_var("rtp_use_codec_string", self.codecs.clone());
        let plan =
            self.agree(channel, remote, Mode::Generous).map_err(|error| refuse(channel, error))?;
        self.anew = false;
        if early {
            channel.unset_var("audio_media_flow");
        }
        self.note(channel, plan);
        self.show_ports(channel);
        self.start(channel);
        Ok(())
    }
}

/// A plan, to compare with one made before our ports and credentials were there.
fn without_credentials(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let transports = plan.audio.iter_mut().map(|audio| &mut audio.transport);
    let video = plan.video.iter_mut().chain(&mut plan.further).map(|video| &mut video.transport);
    transports.chain(video).for_each(|transport| transport.ice = None);
    plan
}
