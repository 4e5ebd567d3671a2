//! The lines of a call beside its audio: video and real-time text. They are passed through, never decoded.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use media::picture::LegVideo;
use media::picture::simulcast::Simulcast;
use media::{Codec, Engine, Handling, RtpParams, RtpSpec};
use negotiation::{
    Choice, LocalIce, LocalStream, Plan, Security, Transport, VideoExtras, VideoPlan,
};
use webrtc::link::LinkEvent;
use webrtc::turn::driver::Server;

use super::apply::flow;
use super::further::Further;
use super::reach::{self, FURTHER, Reach};
use crate::call::{Cause, Channel};
use crate::contract::CallObserver;

/// Video and text of one leg.
#[derive(Default)]
pub(super) struct Streams {
    video: Option<Arc<media::Leg>>,
    text: Option<Arc<media::Leg>>,
    video_ice: Option<LocalIce>,
    /// Checks and handshake of the video.
    video_reach: Reach,
    /// Keys of the video.
    pub(super) security: Security,
    /// Lines of video behind the first.
    pub(super) further: Further,
}

/// What other legs and bridges see of a leg's streams: its slot on the channel.
#[derive(Default)]
pub(crate) struct BridgedStreams {
    /// The codecs its far end offered that we have.
    pub(super) offered: Vec<Choice>,
    /// The video codec agreed on.
    pub(super) agreed_video: Option<String>,
    video: Option<Arc<media::Leg>>,
    text: Option<Arc<media::Leg>>,
}

impl Streams {
    /// Makes credentials for the connectivity checks of the video.
    pub(super) fn prepare_checks(&mut self, bind_ip: IpAddr) {
        self.further.prepare_checks();
        self.video_ice = LocalIce::new();
        if let (Some(ours), Some(leg)) = (&mut self.video_ice, &self.video) {
            self.video_reach.name_relay(ours, SocketAddr::new(bind_ip, leg.rtp_port()));
        }
    }

    /// See [`Reach::gather`].
    pub(super) async fn gather(&mut self, channel: &Channel, server: &Server, bind_ip: IpAddr) {
        if let (Some(ours), Some(leg)) = (&mut self.video_ice, &self.video) {
            let base = SocketAddr::new(bind_ip, leg.rtp_port());
            self.video_reach.gather(channel, server, base, ours).await;
        }
    }

    pub(super) fn video(&self) -> LocalStream {
        LocalStream { ice: self.video_ice.clone(), ..bound(self.video.as_deref()) }
    }

    pub(super) fn text(&self) -> LocalStream {
        bound(self.text.as_deref())
    }

    /// Binds ports for the streams wanted.
    ///
    /// # Errors
    /// The cause to hang up with when no port can be had.
    pub(super) fn open(
        &mut self,
        channel: &Channel,
        engine: &Engine,
        spec: &RtpSpec,
        video: bool,
        text: bool,
    ) -> Result<(), Cause> {
        for (leg, wanted) in [(&mut self.video, video), (&mut self.text, text)] {
            if wanted && leg.is_none() {
                let (opened, _no_events) = engine.open_rtp(spec.clone()).map_err(|error| {
                    tracing::error!(uuid = %channel.uuid(), fs_level = "CRIT", "No RTP port available: {error}");
                    Cause::DESTINATION_OUT_OF_ORDER
                })?;
                *leg = Some(Arc::new(opened));
            }
        }
        let (video, text) = (self.video.clone(), self.text.clone());
        channel.with(|data| {
            let seen = data.slot::<BridgedStreams>();
            (seen.video, seen.text) = (video, text);
        });
        connect(channel);
        Ok(())
    }

    /// The next thing that checks or handshake of a line of video lead to, and which kind of line it is.
    pub(super) async fn link_event(&mut self) -> (&'static str, LinkEvent) {
        tokio::select! {
            biased;
            event = self.video_reach.event() => ("video", event),
            event = self.further.link_event() => (FURTHER, event),
        }
    }

    /// Takes candidates of the further line in this place that came later.
    pub(super) fn add_candidates(&self, media_index: usize, candidates: &[sdp::Candidate]) {
        self.further.add_candidates(media_index, candidates);
    }

    /// The same of the first line of video.
    pub(super) fn add_first(&self, candidates: &[sdp::Candidate]) {
        self.video_reach.add_candidates(candidates);
    }

    /// Shows what was agreed of the video.
    pub(super) fn note(&mut self, channel: &Channel, plan: &Plan) {
        if let Some(video) = &plan.video {
            let theirs = video.remote_direction;
            channel.set_vars([
                ("remote_video_media_flow", theirs.as_str().to_owned()),
                ("video_media_flow", theirs.answer().as_str().to_owned()),
                ("video_possible", "true".to_owned()),
            ]);
            if !video.declined {
                note_codec(channel, video);
            }
            let agreed = (!video.declined).then(|| video.codec.name.clone());
            channel.with(|data| data.slot::<BridgedStreams>().agreed_video = agreed);
        }
        if plan.text.is_some() {
            channel.set_var("text_possible", "true");
        }
    }

    pub(super) fn has_video(&self) -> bool {
        self.video.is_some()
    }

    /// Shows where we expect video.
    pub(super) fn show_video_port(&self, channel: &Channel, ip: IpAddr) {
        if let Some(leg) = &self.video {
            channel.set_vars([
                ("local_video_ip", ip.to_string()),
                ("local_video_port", leg.rtp_port().to_string()),
            ]);
        }
    }

    /// Shows what the streams use.
    pub(super) fn show_used(&self, channel: &Channel, ip: IpAddr, plan: &Plan) {
        if let (Some(leg), Some(video)) = (&self.video, &plan.video) {
            self.show_video_port(channel, ip);
            if !video.declined {
                channel.set_vars([
                    ("rtp_use_video_pt", video.codec.payload_type.to_string()),
                    ("rtp_use_video_ssrc", leg.ssrc().to_string()),
                ]);
            }
        }
        if let (Some(leg), Some(text)) = (&self.text, &plan.text) {
            channel.set_vars([
                ("local_text_ip", ip.to_string()),
                ("local_text_port", leg.rtp_port().to_string()),
                (
                    "rtp_use_text_pt",
                    text.formats.first().map_or(0, |codec| codec.payload_type).to_string(),
                ),
                ("rtp_use_text_ssrc", leg.ssrc().to_string()),
            ]);
        }
    }

    /// What others are told of the video.
    fn known_video(&self, plan: &Plan, held: bool) -> LegVideo {
        let agreed = plan.video.as_ref().filter(|video| !video.declined);
        let Some(video) = agreed.filter(|_| self.video.is_some()) else {
            return LegVideo { leg: self.video.clone(), ..LegVideo::default() };
        };
        let direction = flow(video.remote_direction.answer(), held);
        LegVideo {
            leg: self.video.clone(),
            codec: Some(video.codec.name.clone()),
            sends: direction.receives(),
            wants: direction.sends(),
            pli: video.feedback.pli || !video.feedback.fir,
            fir: video.feedback.fir && !video.feedback.pli,
            remb: video.feedback.remb,
            most: video.most,
            further: self.further.known(plan, held),
            ..LegVideo::default()
        }
    }

    /// Tells the media legs what was agreed: whether we hold, and which association of the far end's it is.
    pub(super) fn apply(
        &mut self,
        channel: &Channel,
        bind_ip: IpAddr,
        plan: &Plan,
        (held, association): (bool, u32),
        identity: Option<&webrtc::dtls::Identity>,
    ) {
        self.further.apply(channel, bind_ip, plan, (held, association), identity);
        let known = self.known_video(plan, held);
        if channel.with(|data| data.slot::<LegVideo>().renew(known)) {
            // Who waits on the call looks again: a room shows it, and it is shown others.
            channel.notify();
        }
        if let (Some(leg), Some(video)) = (&self.video, &plan.video)
            && !video.declined
        {
            let direction = flow(video.remote_direction.answer(), held);
            let number = video.codec.payload_type;
            let how = (direction, !plan.feedback);
            set(channel, leg, &video.transport, number, how, &video.extras);
            if !self.video_reach.apply(leg, bind_ip, &video.transport, identity, association) {
                tracing::error!(uuid = %channel.uuid(), "Video: no checks and no handshake: the media engine is overloaded");
            }
        }
        if let (Some(leg), Some(text)) = (&self.text, &plan.text)
            && let Some(codec) = text.formats.first()
        {
            let direction = flow(text.remote_direction.answer(), held);
            let none = VideoExtras::default();
            set(channel, leg, &text.transport, codec.payload_type, (direction, true), &none);
        }
    }
}

/// What a stream's leg has bound.
pub(super) fn bound(leg: Option<&media::Leg>) -> LocalStream {
    let Some(leg) = leg else { return LocalStream::default() };
    LocalStream { port: leg.rtp_port(), rtcp_port: leg.rtcp_port(), ssrc: leg.ssrc(), ice: None }
}

/// Tells a line's leg what was agreed: its direction, and whether it learns the peer's address from packets.
pub(super) fn set(
    channel: &Channel,
    leg: &media::Leg,
    transport: &Transport,
    number: u8,
    (direction, symmetric): (media::Direction, bool),
    extras: &VideoExtras,
) {
    let mut params = RtpParams::new(Codec::L16_8K, number);
    params.handling = Handling::Packets;
    params.remote = transport.remote.filter(|to| !to.ip().is_unspecified());
    params.remote_rtcp = transport.remote_rtcp;
    params.rtcp_mux = transport.rtcp_mux;
    reach::describe(&mut params, transport);
    params.direction = direction;
    params.symmetric = symmetric;
    params.simulcast = extras.simulcast.as_ref().map(|simulcast| Simulcast {
        extension: simulcast.extension,
        rids: simulcast.rids.clone(),
    });
    params.transport_cc = extras.transport_cc;
    params.cname = channel.uuid().to_string();
    if let Err(error) = leg.set_rtp(params) {
        tracing::error!(uuid = %channel.uuid(), "Media engine refuses the leg: {error}");
    }
}

fn note_codec(channel: &Channel, video: &VideoPlan) {
    let codec = &video.codec;
    if video.transport.ice.is_some() {
        show_chosen(channel, "video", &video.transport);
    } else if let Some(remote) = video.transport.remote {
        channel.set_vars([
            ("remote_video_ip", remote.ip().to_string()),
            ("remote_video_port", remote.port().to_string()),
        ]);
    }
    if let Some(fmtp) = &codec.fmtp {
        channel.set_heard_var("rtp_video_fmtp", fmtp);
    }
    let number = codec.payload_type.to_string();
    let rate = codec.rate.to_string();
    channel.set_vars([
        ("rtp_video_pt", number.clone()),
        ("rtp_video_recv_pt", number),
        ("video_read_codec", codec.name.clone()),
        ("video_read_rate", rate.clone()),
        ("video_write_codec", codec.name.clone()),
        ("video_write_rate", rate.clone()),
        ("rtp_last_video_codec_string", format!("{}@{rate}h", codec.name)),
        ("rtp_use_video_codec_name", codec.name.clone()),
    ]);
    if let Some(fmtp) = &codec.fmtp {
        channel.set_heard_var("rtp_use_video_codec_fmtp", fmtp);
    }
    channel.set_vars([
        ("rtp_use_video_codec_rate", rate),
        ("rtp_use_video_codec_ptime", "0".to_owned()),
    ]);
}

/// Shows which of the peer's candidates was chosen to begin with.
pub(super) fn show_chosen(channel: &Channel, kind: &'static str, transport: &Transport) {
    let names = match kind {
        "video" => [
            "remote_video_ip",
            "remote_video_port",
            "remote_video_rtcp_ip",
            "remote_video_rtcp_port",
        ],
        _ => [
            "remote_audio_ip",
            "remote_audio_port",
            "remote_audio_rtcp_ip",
            "remote_audio_rtcp_port",
        ],
    };
    let [ip, port, rtcp_ip, rtcp_port] = names;
    for (ip, port, at) in
        [(ip, port, transport.remote), (rtcp_ip, rtcp_port, transport.remote_rtcp)]
    {
        if let Some(at) = at {
            channel.set_vars([(ip, at.ip().to_string()), (port, at.port().to_string())]);
        }
    }
}

/// Joins the streams of bridged legs and parts them again.
pub struct StreamObserver;

impl CallObserver for StreamObserver {
    fn bridged(&self, channel: &Channel) {
        connect(channel);
    }

    fn unbridged(&self, channel: &Channel) {
        for leg in seen(channel).into_iter().flatten() {
            let _gone = leg.unbridge();
        }
    }
}

/// Passes the streams of a bridged leg to its partner and back, those that both have.
fn connect(channel: &Channel) {
    let Some(partner) = channel.partner() else { return };
    for (own, other) in seen(channel).into_iter().zip(seen(&partner)) {
        if let (Some(own), Some(other)) = (own, other) {
            let _gone = own.bridge(&other);
        }
    }
}

fn seen(channel: &Channel) -> [Option<Arc<media::Leg>>; 2] {
    channel.with(|data| match data.find_slot::<BridgedStreams>() {
        Some(seen) => [seen.video.clone(), seen.text.clone()],
        None => [None, None],
    })
}
