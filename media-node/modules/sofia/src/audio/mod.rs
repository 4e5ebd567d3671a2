//! A leg's media: descriptions on both sides, what was agreed, the media legs, and the variables that show them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use media::{Codec, Direction as Flow, Handling, RtpParams, RtpSpec};
use negotiation::{
    AudioPlan, Before, CandidateFilter, Choice, Identity, Local, LocalIce, LocalStream, Mode,
    NegotiationError, Plan, Secure, Security, as_sent, audio_codecs, common_codecs, known_codec,
    parse_codec_list, video_codecs,
};
use sdp::{MediaDirection, SessionDescription};
use tokio::sync::mpsc;

mod again;
mod reach;
mod secure;
mod shown;
mod streams;
mod timeouts;

pub use again::{Again, means_the_same};
pub(crate) use reach::{Linked, News};
pub(crate) use streams::{BridgedStreams, StreamObserver};

use self::reach::Reach;
use self::streams::Streams;
use self::timeouts::media_timeouts;
use super::profile::Profile;
use super::settings::DtmfType;
use crate::call::description::OF_PARTNER;
use crate::call::{Cause, Channel, Direction};
use crate::clock;

/// One leg's media.
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
    plan: Option<Plan>,
    remote_offer: Option<Arc<SessionDescription>>,
    /// Whether and how packets are protected.
    security: Security,
    /// The offer was looked at when its answer was needed, not when it came (`inbound-late-negotiation`).
    late: bool,
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
    /// Payload type of digits in our offer: what the peer is to send.
    te_offered: Option<u8>,
    /// Was the partner's description known when ours was first written?
    partner_described: bool,
    /// No comfort noise is offered or taken (`suppress_cng`).
    suppress_cng: bool,
    /// Attributes to add to the audio section, without `a=` (`rtp_append_audio_sdp`).
    append: Vec<String>,
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
            plan: None,
            remote_offer: None,
            security: Security::default(),
            late: false,
            local: None,
            streams: Streams::default(),
            identity: None,
            ice: None,
            reach: Reach::default(),
            held_by_us: false,
            te_offered: None,
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
                // Linear audio is what legs without a network speak; nobody is offered it for that.
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

    fn local(&self, channel: &Channel, direction: MediaDirection) -> Local {
        let settings = self.profile.settings.load();
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
            identity: self.identity.clone(),
            candidates: self.candidate_filter(),
            append: settings
                .suppress_cng
                .then(|| "silenceSupp:off - - - -".to_owned())
                .into_iter()
                .chain(self.append.iter().cloned())
                .collect(),
            reuse: self.reused(channel),
            offer_video: self.offers_video(),
            audio: LocalStream { port: self.port(), rtcp_port, ssrc, ice: self.ice.clone() },
            video: streams.video(),
            text: streams.text(),
            before: self.before(),
            ..Local::new(&settings.username, self.advertised)
        }
    }

    /// Are our offers for a browser?
    fn offers_webrtc(&self, channel: &Channel) -> bool {
        let agreed = self.plan.as_ref().map(|plan| plan.feedback);
        agreed.unwrap_or_else(|| {
            channel.direction() == Direction::Outbound && channel.is_true("media_webrtc")
        }) && self.identity.is_some()
    }

    /// Is video in our offers? Once the peer has described itself, only as it was agreed.
    fn offers_video(&self) -> Option<MediaDirection> {
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
    fn reused(&self, channel: &Channel) -> Vec<Choice> {
        if let Some(plan) = &self.plan {
            let video = plan.video.iter().filter(|v| !v.declined).map(|v| v.codec.clone());
            return plan.audio.iter().map(|audio| audio.codec.clone()).chain(video).collect();
        }
        let near = channel.var("originating_leg_uuid");
        let near = near.and_then(|uuid| channel.switch().channel(&uuid));
        near.map(|near| near.with(|data| data.slot::<BridgedStreams>().offered.clone()))
            .unwrap_or_default()
    }

    fn before(&self) -> Before {
        let role = |secure: &Secure| secure.dtls().map(|dtls| dtls.role);
        let Some(plan) = &self.plan else { return Before::default() };
        Before {
            proto: plan.audio.as_ref().map(|audio| audio.proto.clone()),
            audio_role: plan.audio.as_ref().and_then(|audio| role(&audio.transport.secure)),
            video_role: plan.video.as_ref().and_then(|video| role(&video.transport.secure)),
            within: true,
        }
    }

    fn candidate_filter(&self) -> CandidateFilter {
        let switch = Arc::clone(&self.profile.switch);
        let lists: Vec<String> = {
            let settings = self.profile.settings.load();
            let named =
                settings.params.all("apply-candidate-acl").map(|list| list.trim().to_owned());
            named.filter(|list| !list.is_empty()).collect()
        };
        CandidateFilter::new(move |ip| match lists.is_empty() {
            true => switch.acl_allows("wan.auto", ip),
            false => lists.iter().any(|list| switch.acl_allows(list, ip)),
        })
    }

    /// Makes certificate, names and credentials ready where a description needs them.
    fn prepare_for_browser(&mut self, needed: bool) {
        if !needed || self.identity.is_some() {
            return;
        }
        let fingerprints = self.profile.fingerprints();
        self.identity = (!fingerprints.is_empty()).then(|| Identity::new(fingerprints)).flatten();
        if self.identity.is_some() {
            self.ice = LocalIce::new();
            self.streams.prepare_checks();
        }
    }

    /// What a description of the peer and our side have in common.
    fn agree(
        &mut self,
        channel: &Channel,
        theirs: &SessionDescription,
        mode: Mode,
    ) -> Result<Plan, NegotiationError> {
        self.prepare_for_browser(wants_checks(theirs));
        negotiation::negotiate(theirs, &self.local(channel, MediaDirection::SendRecv), mode)
    }

    /// The codec of a choice, at the sample rate our list asks for.
    fn codec_of(&self, choice: &Choice) -> Option<Codec> {
        let pref = parse_codec_list(&self.codecs).into_iter().find(|pref| choice.is(&pref.name));
        pref.and_then(|pref| known_codec(&pref))
            .filter(|codec| codec.clock() == choice.rate)
            .or_else(|| Codec::by_name(&choice.name, choice.rate))
    }

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
                near: near.and_then(Channel::media).map(|media| media.id()),
                rtcp: asked
                    || self.identity.is_some()
                    || self.profile.settings.load().rtcp_interval.is_some(),
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
        self.open_streams(channel)
    }

    /// Binds what video and text need that was not bound before.
    fn open_streams(&mut self, channel: &Channel) -> Result<(), Cause> {
        let (video, text) = match &self.plan {
            Some(plan) => (plan.video.is_some(), plan.text.is_some()),
            None => (!video_codecs(&self.codecs).is_empty(), false),
        };
        let near = self.media.as_ref().map(|media| media.id());
        let spec = RtpSpec { local_ip: self.bind_ip, near, rtcp: true };
        self.streams.open(channel, &self.profile.switch.media, &spec, video, text)
    }

    /// Writes our offer.
    ///
    /// # Errors
    /// As for [`Audio::open`].
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
        let local = self.local(channel, direction);
        self.te_offered = local.telephone_event;
        let made = negotiation::offer(&local);
        let sent = as_sent(&made);
        self.keep_local(channel, made, sent.clone());
        Ok(sent)
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

    /// Keeps our description. Our own hold is not shown.
    fn keep_local(
        &mut self,
        channel: &Channel,
        made: SessionDescription,
        sent: SessionDescription,
    ) {
        let mut shown = made;
        if self.held_by_us {
            let directions = shown.media.iter_mut().flat_map(|media| &mut media.attributes);
            directions
                .filter(|attribute| attribute.name == "sendonly")
                .for_each(|attribute| attribute.name = "sendrecv".into());
        }
        self.local = Some((sent, shown));
        self.show_local(channel);
    }

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
    /// As for [`Audio::consider`].
    pub fn consider_late(
        &mut self,
        channel: &Channel,
        remote: &Arc<SessionDescription>,
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
        let plan =
            self.agree(channel, &offer, self.mode).map_err(|error| refuse(channel, error))?;
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
    /// As for [`Audio::accept`].
    pub fn accept_early(
        &mut self,
        channel: &Channel,
        remote: &SessionDescription,
    ) -> Result<(), Cause> {
        self.accept_with(channel, remote, true)
    }

    fn accept_with(
        &mut self,
        channel: &Channel,
        remote: &SessionDescription,
        early: bool,
    ) -> Result<(), Cause> {
        self.show_common(channel, remote, &self.codecs);
        channel.set_var("rtp_use_codec_string", self.codecs.clone());
        let plan =
            self.agree(channel, remote, Mode::Generous).map_err(|error| refuse(channel, error))?;
        if early {
            channel.unset_var("audio_media_flow");
        }
        self.note(channel, plan);
        self.show_ports(channel);
        self.start(channel);
        Ok(())
    }

    /// Tells the media legs what was agreed, and shows what they use.
    fn start(&mut self, channel: &Channel) {
        self.apply(channel);
        if let (Some(media), Some(agreed)) = (&self.media, self.agreed()) {
            channel.set_vars([
                (
                    "rtp_use_timer_name",
                    channel
                        .var("rtp_timer_name")
                        .unwrap_or_else(|| self.profile.settings.load().rtp_timer_name.clone()),
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
    fn apply(&mut self, channel: &Channel) {
        if let Some(plan) = &self.plan {
            let identity = crate::certificate::identity(&self.profile.switch);
            self.streams.apply(channel, self.bind_ip, plan, self.held_by_us, identity.as_ref());
        }
        let agreed = self.plan.as_ref().and_then(|plan| plan.audio.as_ref());
        let (Some(media), Some(agreed)) = (&self.media, agreed) else { return };
        let Some(codec) = self.codec_of(&agreed.codec) else { return };
        let settings = self.profile.settings.load();
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
        params.te_clock = agreed.event_clock;
        params.fmtp.clone_from(&agreed.codec.fmtp);
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
        let identity = crate::certificate::identity(&self.profile.switch);
        if agreed.declined {
            self.reach = Reach::default();
        } else if !self.reach.apply(media, self.bind_ip, &agreed.transport, identity.as_ref()) {
            tracing::error!(uuid = %channel.uuid(), "No checks and no handshake: the media engine is overloaded");
        }
    }

    /// Whether the audio has a handshake whose keys are not there yet.
    #[must_use]
    pub fn awaits_keys(&self) -> bool {
        self.reach.awaits_keys()
    }

    /// Takes candidates that come after the description they belong to (RFC 8840).
    pub fn trickle(&self, fragment: &str) {
        let filter = self.candidate_filter();
        let [audio, video] = reach::trickled(fragment, |ip| filter.allows(ip));
        self.reach.add_candidates(&audio);
        self.streams.add_candidates(&video);
    }

    /// Makes new credentials when the peer has: its checks begin anew (RFC 8445 §9).
    fn follow_restart(&mut self, plan: &Plan) {
        let theirs = |audio: &AudioPlan| Some(audio.transport.ice.as_ref()?.theirs.clone());
        let (old, new) = (self.agreed().and_then(theirs), plan.audio.as_ref().and_then(theirs));
        if old.is_some() && new.is_some() && old != new {
            self.ice = LocalIce::new();
            self.streams.prepare_checks();
        }
    }

    /// What happens next to the media. May be given up half-way.
    pub(crate) async fn news(&mut self) -> News {
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
            event = streams.link_event() => News::Link(Linked { kind: "video", event }),
        }
    }

    /// The same without the engine's own, which wait until they are served.
    pub(crate) async fn link_news(&mut self) -> Linked {
        let Self { reach, streams, .. } = self;
        tokio::select! {
            biased;
            event = reach.event() => Linked { kind: "audio", event },
            event = streams.link_event() => Linked { kind: "video", event },
        }
    }

    /// Does the peer hold us?
    #[must_use]
    pub fn is_held_by_peer(&self) -> bool {
        self.agreed().is_some_and(|agreed| agreed.hold)
    }

    /// Was an offer of the peer seen?
    #[must_use]
    pub fn has_remote_offer(&self) -> bool {
        self.remote_offer.is_some()
    }
}

/// Interval of RTCP reports to a peer that asks for them, as the reference's.
const RTCP_INTERVAL: Duration = Duration::from_secs(1);

/// Whether a description needs certificates or connectivity checks to be answered.
fn wants_checks(description: &SessionDescription) -> bool {
    let feedback = |proto: &str| proto.to_ascii_uppercase().ends_with("AVPF");
    description.attribute("ice-ufrag").is_some()
        || description
            .media
            .iter()
            .any(|media| feedback(&media.proto) || media.attribute("ice-ufrag").is_some())
}

/// A plan, to compare with one made before our ports and credentials were there.
fn without_credentials(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let transports = plan.audio.iter_mut().map(|audio| &mut audio.transport);
    let video = plan.video.iter_mut().map(|video| &mut video.transport);
    transports.chain(video).for_each(|transport| transport.ice = None);
    plan
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
