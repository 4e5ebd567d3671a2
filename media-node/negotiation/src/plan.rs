//! What both sides agreed on, line by line.

use std::net::SocketAddr;

use sdp::{
    Credentials, Fingerprint, MediaDirection, MediaLine, SessionDescription, Setup, T38Options,
    candidates,
};
use thiserror::Error;

use crate::choice::{Choice, Mode, choose, comfort_noise, telephone_event};
use crate::security::Protection;
use crate::video::{self, VideoPlan};
use crate::{Dtls, DtlsRole, Ice, Local, LocalStream, Secure, Transport};

/// What came of a description of the peer. Lines that no member names are declined in their place.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Plan {
    /// The audio line used.
    pub audio: Option<AudioPlan>,
    /// The video line used, or the one declined for want of a codec.
    pub video: Option<VideoPlan>,
    /// Further lines of video used, on which the peer only receives ([`Local::most_further`]).
    pub further: Vec<VideoPlan>,
    /// The line of real-time text (RFC 4103) used.
    pub text: Option<TextPlan>,
    /// A fax line that is in use by the peer, and what it says; the answer declines it unless the caller takes it up.
    pub fax: Option<FaxPlan>,
    /// The description is one with RTCP feedback: lines of another profile are not used (`RTP/AVPF` and its kin).
    pub feedback: bool,
}

/// The audio line used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioPlan {
    /// Index of the line in the peer's description.
    pub media_index: usize,
    /// The word for its profile, as the peer wrote it.
    pub proto: String,
    /// The codec.
    pub codec: Choice,
    /// Payload type for telephone-event, both directions; `None` when one side lacks it.
    pub telephone_event: Option<u8>,
    /// Clock of telephone events, Hz.
    pub event_clock: u32,
    /// Payload type for comfort noise.
    pub comfort_noise: Option<u8>,
    /// How packets travel and are protected.
    pub transport: Transport,
    /// The peer asks for RTCP, by `a=rtcp`, `a=rtcp-mux` or a profile with feedback.
    pub rtcp: bool,
    /// The peer's direction.
    pub remote_direction: MediaDirection,
    /// The peer holds: direction says so, or its address is 0.0.0.0.
    pub hold: bool,
    /// The line is answered with port 0: how the peer wants to protect it, or not to, is nothing we can do. The call
    /// goes on without, as with the reference.
    pub declined: bool,
}

/// The text line used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPlan {
    /// Index of the line in the peer's description.
    pub media_index: usize,
    /// The word for its profile.
    pub proto: String,
    /// Payload types and encodings (`t140`, `red`), in the peer's order; all of them are used.
    pub formats: Vec<Choice>,
    /// How packets travel and are protected.
    pub transport: Transport,
    /// The peer's direction.
    pub remote_direction: MediaDirection,
}

/// The fax line of a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaxPlan {
    /// Index of the line in the peer's description.
    pub media_index: usize,
    /// What the peer can do.
    pub options: T38Options,
    /// Where its UDPTL packets are expected.
    pub remote: Option<SocketAddr>,
    /// It writes flags with numbers (`T38FaxFillBitRemoval:0`).
    pub numbers: bool,
}

/// Why there is no agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NegotiationError {
    /// No line with a usable profile and a port.
    #[error("no usable media line")]
    NoMedia,
    /// No codec in common, or no way to protect it that both sides want: 488.
    #[error("no codec in common")]
    NoCodec,
    /// Connectivity checks are asked for, and no candidate of the peer may be used: 488.
    #[error("no candidate that may be used")]
    NoCandidate,
}

/// Finds what an offer, or an answer to ours, and our side have in common.
///
/// # Errors
/// [`NegotiationError`] when nothing at all can be used; the call is refused then.
pub fn negotiate(
    theirs: &SessionDescription,
    local: &Local,
    mode: Mode,
) -> Result<Plan, NegotiationError> {
    let feedback = theirs.media.iter().any(|m| m.port != 0 && has_feedback(&m.proto));
    let fax = fax_line(theirs);
    let audio = audio_line(theirs, local, mode, feedback);
    let mut plan = Plan { feedback, fax, ..Plan::default() };
    let mut failed = None;
    match audio {
        Ok(audio) => plan.audio = Some(audio),
        Err(error) => failed = Some(error),
    }
    plan.video = video::video_line(theirs, local, mode, feedback);
    if let Some(first) = &plan.video {
        plan.further = video::further_lines(theirs, local, first, feedback);
    }
    plan.text = text_line(theirs, feedback);
    let none_of_other_kinds =
        plan.video.as_ref().is_none_or(|video| video.declined) && plan.text.is_none();
    match failed {
        // What the peer demands of its audio and does not get ends the call, whatever else it offers.
        Some(error) if error != NegotiationError::NoMedia || none_of_other_kinds => Err(error),
        _ => Ok(plan),
    }
}

/// Profiles with RTCP feedback (RFC 4585, RFC 5124).
pub(crate) fn has_feedback(proto: &str) -> bool {
    proto.to_ascii_uppercase().ends_with("AVPF")
}

/// Profiles that say that packets are protected.
pub(crate) fn is_secure(proto: &str) -> bool {
    let proto = proto.to_ascii_uppercase();
    proto.ends_with("SAVP") || proto.ends_with("SAVPF")
}

fn is_rtp(proto: &str) -> bool {
    matches!(
        proto.to_ascii_uppercase().as_str(),
        "RTP/AVP"
            | "RTP/SAVP"
            | "RTP/AVPF"
            | "RTP/SAVPF"
            | "UDP/TLS/RTP/SAVP"
            | "UDP/TLS/RTP/SAVPF"
    ) || proto.eq_ignore_ascii_case("UDP/AVPF")
}

/// A line of a kind and an RTP profile that is in use.
pub(crate) fn is_usable(media: &MediaLine, kind: &str) -> bool {
    media.kind == kind && media.port != 0 && is_rtp(&media.proto)
}

/// The fax line of a description that is in use, if there is one.
#[must_use]
pub fn fax_line(theirs: &SessionDescription) -> Option<FaxPlan> {
    let (media_index, media) =
        theirs.media.iter().enumerate().find(|(_, media)| T38Options::is_fax(media))?;
    Some(FaxPlan {
        media_index,
        options: T38Options::of(media),
        remote: theirs.rtp_address(media),
        numbers: T38Options::writes_numbers(media),
    })
}

fn audio_line(
    theirs: &SessionDescription,
    local: &Local,
    mode: Mode,
    feedback: bool,
) -> Result<AudioPlan, NegotiationError> {
    let usable = || theirs.media.iter().enumerate().filter(|(_, m)| is_usable(m, "audio"));
    if usable().next().is_none() {
        return Err(NegotiationError::NoMedia);
    }
    let mut declined = None;
    let mut refused = NegotiationError::NoCodec;
    for (index, media) in usable() {
        let Some(codec) = choose(media, local, mode) else { continue };
        let role = local.before.audio_role;
        match protect(theirs, media, local, feedback, &local.security, role) {
            Ok(Some(secure)) => match transport(theirs, media, local, secure, &local.audio) {
                Ok(transport) => {
                    return Ok(audio_plan(theirs, (index, media), local, codec, Some(transport)));
                }
                Err(error) => refused = error,
            },
            Ok(None) => drop(declined.get_or_insert(((index, media), codec))),
            Err(()) => {}
        }
    }
    let (line, codec) = declined.ok_or(refused)?;
    Ok(audio_plan(theirs, line, local, codec, None))
}

fn audio_plan(
    theirs: &SessionDescription,
    (media_index, media): (usize, &MediaLine),
    local: &Local,
    codec: Choice,
    transport: Option<Transport>,
) -> AudioPlan {
    let remote_direction = MediaDirection::of(theirs, media);
    let event = local.telephone_event.and_then(|_| telephone_event(media, codec.rate));
    let address = theirs.rtp_address(media);
    let declined = transport.is_none();
    let checked = transport.as_ref().is_some_and(|transport| transport.ice.is_some());
    let rtcp = has_feedback(&media.proto)
        || media.attribute("rtcp").is_some()
        || media.attribute("rtcp-mux").is_some();
    AudioPlan {
        media_index,
        proto: media.proto.clone(),
        telephone_event: event.map(|(payload_type, _)| payload_type),
        event_clock: event.map_or(8000, |(_, clock)| clock),
        comfort_noise: local.comfort_noise.then(|| comfort_noise(media)).flatten(),
        codec,
        transport: transport.unwrap_or_else(|| Transport {
            remote: address,
            remote_rtcp: rtcp_address(media, address),
            ..Transport::default()
        }),
        rtcp,
        // Browsers write 0.0.0.0 where only their candidates say where they are.
        hold: remote_direction.is_hold()
            || !checked && address.is_some_and(|a| a.ip().is_unspecified()),
        remote_direction,
        declined,
    }
}

/// How a line is protected: `Ok(None)` when it is to be declined, `Err` when it may not be used.
pub(crate) fn protect(
    theirs: &SessionDescription,
    media: &MediaLine,
    local: &Local,
    feedback: bool,
    security: &crate::Security,
    before: Option<DtlsRole>,
) -> Result<Option<Secure>, ()> {
    if feedback != has_feedback(&media.proto) {
        return Ok(None);
    }
    let fingerprints = Fingerprint::all_of(theirs, media);
    let by_dtls = feedback || media.proto.to_ascii_uppercase().starts_with("UDP/TLS/");
    if is_secure(&media.proto) && by_dtls {
        if fingerprints.is_empty() || local.identity.is_none() {
            return Ok(None);
        }
        let role = dtls_role(Setup::of(theirs, media), local, before);
        return Ok(Some(Secure::Dtls(Box::new(Dtls { role, fingerprints }))));
    }
    if by_dtls {
        // Feedback without protection.
        return Ok(fingerprints.is_empty().then_some(Secure::None));
    }
    match security.of(media) {
        Protection::Plain => Ok(Some(Secure::None)),
        Protection::Secure(pair) => Ok(Some(Secure::Sdes(Box::new(pair)))),
        Protection::Declined => Ok(None),
        Protection::Refused => Err(()),
    }
}

/// Which side of the handshake is ours. In a re-INVITE `actpass` leaves it as it was, and makes us wait on a line that is
/// new, as the reference has it.
fn dtls_role(theirs: Option<Setup>, local: &Local, before: Option<DtlsRole>) -> DtlsRole {
    match (theirs, before) {
        (Some(Setup::Passive), _) => DtlsRole::Client,
        (Some(Setup::Active), _) => DtlsRole::Server,
        (_, Some(role)) => role,
        (Some(Setup::ActPass), None) if !local.before.within => DtlsRole::Client,
        (Some(Setup::ActPass | Setup::HoldConn) | None, None) => DtlsRole::Server,
    }
}

/// Where a line's packets go.
pub(crate) fn transport(
    theirs: &SessionDescription,
    media: &MediaLine,
    local: &Local,
    secure: Secure,
    ours: &LocalStream,
) -> Result<Transport, NegotiationError> {
    let address = theirs.rtp_address(media);
    let rtcp_mux = local.rtcp_mux && media.attribute("rtcp-mux").is_some();
    let ice = checks(theirs, media, local, ours)?;
    let candidate = |component: u16| {
        let usable = ice.as_ref()?.candidates.iter().filter(|c| c.component == component);
        // Relayed ones last: they cost a server's bandwidth.
        let relayed = |c: &&sdp::Candidate| c.kind == sdp::CandidateKind::Relayed;
        let best = usable.clone().find(|c| !relayed(c)).or_else(|| usable.clone().next())?;
        best.udp_address()
    };
    let remote = candidate(1).or(address);
    let remote_rtcp = match rtcp_mux {
        true => remote,
        false => candidate(2).or_else(|| rtcp_address(media, remote)),
    };
    Ok(Transport { remote, remote_rtcp, rtcp_mux, secure, ice })
}

/// The connectivity checks of a line whose peer gives credentials.
fn checks(
    theirs: &SessionDescription,
    media: &MediaLine,
    local: &Local,
    ours: &LocalStream,
) -> Result<Option<Box<Ice>>, NegotiationError> {
    let credentials = Credentials::of(theirs, media);
    let Some(credentials) = credentials.filter(|_| local.identity.is_some()) else {
        return Ok(None);
    };
    let said = |name: &str| {
        media.attribute(name).or_else(|| theirs.attribute(name)).map(str::to_ascii_lowercase)
    };
    let trickles = said("ice-options").is_some_and(|options| options.contains("trickle"));
    let usable = |candidate: &sdp::Candidate| {
        candidate.udp_address().is_some_and(|at| local.candidates.allows(at.ip()))
    };
    let candidates: Vec<_> = candidates(theirs, media).into_iter().filter(usable).collect();
    let reachable = candidates.iter().any(|candidate| candidate.component == 1);
    if !reachable && !trickles {
        return Err(NegotiationError::NoCandidate);
    }
    let lite = theirs.attribute("ice-lite").is_some();
    let none = || Credentials { ufrag: String::new(), pwd: String::new() };
    Ok(Some(Box::new(Ice {
        ours: ours.ice.as_ref().map_or_else(none, |ice| ice.credentials.clone()),
        theirs: credentials,
        candidates,
        complete: !trickles || said("end-of-candidates").is_some(),
        lite,
        lite_ours: local.ice_lite,
        controlling: (lite || local.security.answers_ours) && !local.ice_lite,
    })))
}

/// `a=rtcp:port [IN IP4 address]` (RFC 3605), else the next port.
fn rtcp_address(media: &MediaLine, rtp: Option<SocketAddr>) -> Option<SocketAddr> {
    let rtp = rtp?;
    let Some(value) = media.attribute("rtcp") else {
        return Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?));
    };
    let mut words = value.split_ascii_whitespace();
    let port = words.next()?.parse().ok()?;
    let ip = words.nth(2).and_then(|a| a.parse().ok()).unwrap_or(rtp.ip());
    Some(SocketAddr::new(ip, port))
}

fn text_line(theirs: &SessionDescription, feedback: bool) -> Option<TextPlan> {
    let (media_index, media) =
        theirs.media.iter().enumerate().find(|(_, media)| is_usable(media, "text"))?;
    // Text is taken as it comes, and only plainly: no key of it is made here.
    if feedback || is_secure(&media.proto) {
        return None;
    }
    let formats: Vec<Choice> = media
        .rtpmaps()
        .filter(|map| ["t140", "red"].iter().any(|name| map.name.eq_ignore_ascii_case(name)))
        .map(|map| Choice {
            payload_type: map.payload_type,
            fmtp: media.fmtp(map.payload_type).map(str::to_owned),
            name: map.name,
            rate: map.rate,
            channels: 1,
            ptime: 0,
        })
        .collect();
    let remote = theirs.rtp_address(media);
    (!formats.is_empty()).then(|| TextPlan {
        media_index,
        proto: media.proto.clone(),
        formats,
        transport: Transport {
            remote,
            remote_rtcp: rtcp_address(media, remote),
            ..Transport::default()
        },
        remote_direction: MediaDirection::of(theirs, media),
    })
}
