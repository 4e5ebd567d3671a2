//! Our side: what we can do and have bound.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use sdp::{Connection, MediaDirection, MediaLine, Origin, SessionDescription};

use crate::{CodecPref, Identity, LocalStream, Security};

/// Everything a description of ours is made of. The caller fills it from settings, variables and what the leg has bound.
#[derive(Clone, Debug)]
pub struct Local {
    /// `o=` and `s=` name.
    pub username: String,
    /// Session id of `o=`.
    pub session_id: u64,
    /// Version of `o=`; the caller adds one for every new description.
    pub version: u64,
    /// Address peers send to.
    pub address: IpAddr,
    /// Audio codecs in order.
    pub codecs: Vec<CodecPref>,
    /// Video codecs in order, as descriptions name them. Video is passed through, never decoded.
    pub video_codecs: Vec<String>,
    /// Payload type of telephone-event in our offers; `None`: no digits in RTP.
    pub telephone_event: Option<u8>,
    /// Offer comfort noise (payload type 13), and take it.
    pub comfort_noise: bool,
    /// Our direction in an offer.
    pub direction: MediaDirection,
    /// Offer codecs of unlike packet times in sections of their own (`sdp_m_per_ptime`).
    pub section_per_ptime: bool,
    /// Write `a=rtcp` although the peer did not ask for RTCP: an interval is configured.
    pub rtcp: bool,
    /// Offer or accept `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// Whether and how packets are protected with keys of descriptions.
    pub security: Security,
    /// The same for video, which has keys of its own.
    pub video_security: Security,
    /// Offer to browsers: `RTP/SAVPF` with DTLS and ICE (`media_webrtc`).
    pub webrtc: bool,
    /// We are an ICE lite agent (`ice_lite`).
    pub ice_lite: bool,
    /// Certificate and names, where DTLS and ICE can be done. Without it such lines are declined.
    pub identity: Option<Identity>,
    /// Which candidates of the peer may be used (`apply-candidate-acl`).
    pub candidates: CandidateFilter,
    /// Extra `a=` lines of audio before `a=ptime` (`rtp_append_audio_sdp`), without `a=`.
    pub append: Vec<String>,
    /// What is said of Opus.
    pub opus: crate::OpusWishes,
    /// Codecs of the leg on whose behalf we call: our offers use its numbers and formats for the same codecs.
    pub reuse: Vec<crate::Choice>,
    /// Offer video in this direction.
    pub offer_video: Option<MediaDirection>,
    /// What the audio line has bound.
    pub audio: LocalStream,
    /// What the video line has bound.
    pub video: LocalStream,
    /// What further lines of video have bound, on which we only send, in the order of their places.
    pub further: Vec<FurtherStream>,
    /// Further lines of video that are taken of an offer.
    pub most_further: usize,
    /// What is taken of video for the room the call is in; nothing outside of rooms.
    pub room_video: crate::RoomVideo,
    /// What the text line has bound.
    pub text: LocalStream,
    /// What an earlier exchange of this call agreed on.
    pub before: Before,
}

/// What a line of video behind the first has bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FurtherStream {
    /// The line's place in the descriptions of the call.
    pub media_index: usize,
    /// What it has bound.
    pub stream: LocalStream,
    /// Our side of its handshake, as an earlier exchange agreed.
    pub role: Option<crate::DtlsRole>,
}

impl FurtherStream {
    /// That of the line in this place, if it has one.
    pub(crate) fn at(local: &Local, media_index: usize) -> Option<&Self> {
        local.further.iter().find(|line| line.media_index == media_index)
    }
}

/// What an earlier exchange of the call agreed on and a later one keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// The word for the profile, as the peer writes it: `UDP/TLS/RTP/SAVPF` stays that in our later offers.
    pub proto: Option<String>,
    /// Which side of the handshake the audio's is; `a=setup:actpass` of a later offer does not change it.
    pub audio_role: Option<crate::DtlsRole>,
    /// The same of the video.
    pub video_role: Option<crate::DtlsRole>,
    /// The peer has described itself before: what comes now is a re-INVITE.
    pub within: bool,
    /// Kind and profile of each line of the last description of the call, ours or answered by ours: later offers of ours keep
    /// their number and places (RFC 3264 §8).
    pub lines: Vec<(String, String)>,
    /// The place of the audio among them.
    pub audio_index: Option<usize>,
    /// The place of the first video among them.
    pub video_index: Option<usize>,
    /// What was agreed of the first video for a room.
    pub video_extras: crate::VideoExtras,
}

/// Which addresses of candidates may be used.
#[derive(Clone)]
pub struct CandidateFilter(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>);

impl CandidateFilter {
    /// Those for which `allowed` says so.
    pub fn new(allowed: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(allowed))
    }

    /// Whether an address may be used.
    pub fn allows(&self, ip: IpAddr) -> bool {
        (self.0)(ip)
    }
}

impl Default for CandidateFilter {
    /// All of them.
    fn default() -> Self {
        Self::new(|_| true)
    }
}

impl fmt::Debug for CandidateFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CandidateFilter")
    }
}

impl Local {
    /// A side that can do nothing yet, at `address`.
    pub fn new(username: &str, address: IpAddr) -> Self {
        Self {
            username: username.to_owned(),
            session_id: 0,
            version: 0,
            address,
            codecs: Vec::new(),
            video_codecs: Vec::new(),
            telephone_event: None,
            comfort_noise: false,
            direction: MediaDirection::SendRecv,
            section_per_ptime: true,
            rtcp: false,
            rtcp_mux: true,
            security: Security::default(),
            video_security: Security::default(),
            webrtc: false,
            ice_lite: false,
            identity: None,
            candidates: CandidateFilter::default(),
            append: Vec::new(),
            opus: crate::OpusWishes::default(),
            reuse: Vec::new(),
            offer_video: None,
            audio: LocalStream::default(),
            video: LocalStream::default(),
            further: Vec::new(),
            most_further: 0,
            room_video: crate::RoomVideo::default(),
            text: LocalStream::default(),
            before: Before::default(),
        }
    }

    pub(crate) fn description(&self, media: Vec<MediaLine>) -> SessionDescription {
        let connection = Connection::of(self.address);
        SessionDescription {
            origin: Origin {
                username: self.username.clone(),
                session_id: self.session_id.to_string(),
                version: self.version.to_string(),
                address: connection.clone(),
            },
            name: self.username.clone(),
            connection: Some(connection),
            time: "0 0".into(),
            other: Vec::new(),
            attributes: Vec::new(),
            media,
        }
    }

    /// A fax description of ours in answer to `theirs` or, without, as an offer: the one section, at the audio's port.
    pub fn fax(&self, options: &sdp::T38Options, numbers: bool) -> SessionDescription {
        self.description(vec![options.section(self.audio.port, numbers)])
    }
}
