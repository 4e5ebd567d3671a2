//! What was agreed, told to the media engine.

use std::time::Duration;

use media::{Direction as Flow, RtpParams};
use negotiation::{AudioPlan, Plan};
use sdp::MediaDirection;

use super::reach::{self, Reach, Trickled};
use super::timeouts::media_timeouts;
use super::{LegMedia, certificate, shown};
use crate::call::Channel;

impl LegMedia {
    /// Tells the media legs what was agreed, and shows what they use.
    pub(super) fn start(&mut self, channel: &Channel) {
        self.apply(channel);
        if let (Some(media), Some(agreed)) = (&self.media, self.agreed()) {
            channel.set_vars([
                (
                    "rtp_use_timer_name",
                    channel
                        .var("rtp_timer_name")
                        .unwrap_or_else(|| self.profile.media_settings().rtp_timer_name.clone()),
                ),
                ("rtp_use_pt", agreed.codec.payload_type.to_string()),
                ("rtp_use_ssrc", media.ssrc().to_string()),
            ]);
        }
        self.show_telephone_event(channel);
        self.show_peer(channel);
        if let Some(plan) = &self.plan {
            self.streams.show_used(channel, self.bind_ip, plan);
        }
    }

    /// Tells the media leg what was agreed.
    pub(super) fn apply(&mut self, channel: &Channel) {
        if let Some(plan) = &self.plan {
            let identity = certificate::identity(self.profile.switch());
            let how = (self.held_by_us, self.beginnings);
            self.streams.apply(channel, self.bind_ip, plan, how, identity.as_ref());
        }
        let agreed = self.plan.as_ref().and_then(|plan| plan.audio.as_ref());
        let (Some(media), Some(agreed)) = (&self.media, agreed) else { return };
        let Some(codec) = self.codec_of(&agreed.codec) else { return };
        let settings = self.profile.media_settings();
        let mut params = RtpParams::new(codec, agreed.codec.payload_type);
        // No host is at 0.0.0.0, which is how old phones hold, and no other may take that place.
        params.remote = agreed.transport.remote.filter(|to| !to.ip().is_unspecified());
        params.held_off = agreed.transport.remote.is_some() && params.remote.is_none();
        params.remote_rtcp = agreed.transport.remote_rtcp;
        params.rtcp_mux = agreed.transport.rtcp_mux;
        params.ptime = agreed.codec.ptime;
        params.te_send = agreed.telephone_event;
        // Of the numbers we offered, the peer sends with the one of the clock it chose.
        let offered = self.te_offered.filter(|_| agreed.event_clock == 8000);
        params.te_recv = offered.or(agreed.telephone_event);
        params.te_other = self.te_other.filter(|_| self.te_offered.is_some());
        params.te_clock = agreed.event_clock;
        params.fmtp = match agreed.codec.is("opus") {
            true => {
                let conf = crate::opus::OpusConf::of(self.profile.switch());
                Some(conf.sent_to(agreed.codec.fmtp.as_deref()))
            }
            false => agreed.codec.fmtp.clone(),
        };
        params.cn_pt = agreed.comfort_noise;
        params.symmetric = settings.rtp_auto_adjust
            && !params.held_off
            && self.plan.as_ref().is_none_or(|plan| !plan.feedback)
            && !channel.is_true("disable_rtp_auto_adjust");
        params.signalling = self.peer;
        reach::describe(&mut params, &agreed.transport);
        params.direction = flow(agreed.remote_direction.answer(), self.held_by_us);
        if agreed.declined {
            (params.remote, params.symmetric, params.direction) = (None, false, Flow::Inactive);
        }
        (params.media_timeout, params.hold_timeout) = media_timeouts(
            |name| channel.var(name),
            (settings.rtp_timeout, settings.rtp_hold_timeout),
        );
        params.rtcp_interval =
            settings.rtcp_interval.or_else(|| agreed.rtcp.then_some(RTCP_INTERVAL));
        params.digit_delay_ms = settings.digit_delay_ms;
        params.cname = channel.uuid().to_string();
        params.jitter = crate::call::jitter::of(channel);
        let _gone = media.hold(self.held_by_us || agreed.hold);
        if let Err(error) = media.set_rtp(params) {
            tracing::error!(uuid = %channel.uuid(), "Media engine refuses the leg: {error}");
        }
        let pair =
            agreed.transport.secure.sdes().filter(|pair| self.secured.as_ref() != Some(*pair));
        if let Some(pair) = pair {
            shown::secured(channel, &format!("srtp:sdes:{}", pair.ours.suite));
        }
        let pair = pair.cloned();
        let identity = certificate::identity(self.profile.switch());
        if agreed.declined {
            self.reach = Reach::default();
        } else if !self.reach.apply(
            media,
            self.bind_ip,
            &agreed.transport,
            identity.as_ref(),
            self.beginnings,
        ) {
            tracing::error!(uuid = %channel.uuid(), "No checks and no handshake: the media engine is overloaded");
        }
        if pair.is_some() {
            self.secured = pair;
        }
    }

    /// Takes candidates that come after the description they belong to (RFC 8840).
    pub fn trickle(&self, fragment: &str) {
        let filter = self.candidate_filter();
        for section in reach::trickled(fragment, |ip| filter.allows(ip)) {
            match self.place_of(&section) {
                Some(place) if section.video => {
                    self.streams.add_candidates(place, &section.candidates);
                }
                Some(_) => {}
                None if section.nth > 0 => {}
                None if section.video => self.streams.add_first(&section.candidates),
                None => self.reach.add_candidates(&section.candidates),
            }
        }
    }

    /// Which line of the peer's offer a section of a fragment is of, when it is not the first used of its kind: by its name, or
    /// by its place among those of its kind.
    fn place_of(&self, section: &Trickled) -> Option<usize> {
        let lines = || self.remote_offer.iter().flat_map(|offer| &offer.media).enumerate();
        let named = section.mid.as_deref().and_then(|mid| {
            lines().find(|(_, line)| line.attribute("mid").map(str::trim) == Some(mid))
        });
        let kind = if section.video { "video" } else { "audio" };
        let counted = || lines().filter(|(_, line)| line.kind == kind).nth(section.nth);
        let (place, _) = named.or_else(counted)?;
        let plan = self.plan.as_ref()?;
        let first = match section.video {
            true => plan.video.as_ref().map(|video| video.media_index),
            false => plan.audio.as_ref().map(|audio| audio.media_index),
        };
        (first != Some(place)).then_some(place)
    }

    /// Makes new credentials when the peer has: its checks begin anew (RFC 8445 §9).
    pub(super) fn follow_restart(&mut self, plan: &Plan) {
        let theirs = |audio: &AudioPlan| Some(audio.transport.ice.as_ref()?.theirs.clone());
        let (old, new) = (self.agreed().and_then(theirs), plan.audio.as_ref().and_then(theirs));
        if old.is_some() && new.is_some() && old != new {
            self.ice = self.new_credentials();
            self.streams.prepare_checks(self.bind_ip);
        }
    }
}

/// Interval of RTCP reports to a peer that asks for them, as the reference's.
const RTCP_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn flow(ours: MediaDirection, held: bool) -> Flow {
    match ours {
        MediaDirection::SendRecv if held => Flow::SendOnly,
        MediaDirection::SendRecv => Flow::SendRecv,
        MediaDirection::SendOnly => Flow::SendOnly,
        MediaDirection::RecvOnly => Flow::RecvOnly,
        MediaDirection::Inactive => Flow::Inactive,
    }
}
