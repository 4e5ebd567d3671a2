//! Our answers: a section for each line taken, and every line of the offer in its place.

use sdp::{Attribute, MediaDirection, MediaLine, SessionDescription};

use crate::choice::Choice;
use crate::lines::{self, Candidates};
use crate::offer::{VIDEO_BANDWIDTH, appended, bandwidth};
use crate::plan::{AudioPlan, Plan, TextPlan, is_secure};
use crate::video::VideoPlan;
use crate::wire::in_library_order;
use crate::{FurtherStream, Local, Secure, Transport, fmtp};

/// First of the numbers named when no video codec of the offer is ours.
const FIRST_OF_OURS: u8 = 96;

/// An answer, in both forms the reference has it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// As made: our sections in our order. Variables show it so.
    pub shown: SessionDescription,
    /// As sent: a section for every line of the offer, in its place.
    pub sent: SessionDescription,
}

/// Writes the answer to an offer for which `plan` was made.
pub fn answer(theirs: &SessionDescription, plan: &Plan, local: &Local) -> Answer {
    let audio = plan.audio.as_ref().map(|audio| audio_section(audio, plan, local));
    let video =
        plan.video.as_ref().map(|video| video_section(video, plan, local, (&local.video, 0)));
    let further: Vec<_> =
        plan.further.iter().map(|line| further_section(line, plan, local)).collect();
    let text = plan.text.as_ref().map(|text| text_section(text, local));
    let fax = plan.fax.as_ref().map(|_| MediaLine::new("image", 0, "udptl", vec!["T38".into()]));
    let mut session = local.description(Vec::new());
    if let Some(identity) = local.identity.as_ref().filter(|_| plan.feedback) {
        let streams = format!(" WMS {}", identity.msid);
        session.attributes.extend(local.ice_lite.then(|| Attribute::flag("ice-lite")));
        session.attributes.push(Attribute::new("msid-semantic", streams));
    }
    let place = |index: usize, line: &MediaLine| {
        let is_audio = plan.audio.as_ref().is_some_and(|p| p.media_index == index && !p.declined);
        let is_video = plan.video.as_ref().is_some_and(|p| p.media_index == index);
        let another = plan.further.iter().position(|p| p.media_index == index);
        let taken = match line.kind.as_str() {
            "audio" if is_audio => audio.as_ref(),
            "video" if is_video => video.as_ref(),
            "video" => another.and_then(|n| further.get(n)),
            "text" if plan.text.as_ref().is_some_and(|p| p.media_index == index) => text.as_ref(),
            "image" if plan.fax.as_ref().is_some_and(|p| p.media_index == index) => fax.as_ref(),
            _ => None,
        };
        match taken {
            Some(section) => {
                let mut section = section.clone();
                if plan.video.as_ref().is_some_and(|p| p.media_index == index && p.declined) {
                    section.port = 0;
                    section.other.clear();
                }
                in_library_order(&mut section);
                section
            }
            // A stream we do not take is refused with port 0 (RFC 3264 §6); 19 is the reference's.
            None => MediaLine::new(&line.kind, 0, &line.proto, vec!["19".into()]),
        }
    };
    let mut sent = session.clone();
    sent.media = theirs.media.iter().enumerate().map(|(n, line)| place(n, line)).collect();
    let other =
        passed_over(theirs, plan).then(|| MediaLine::new("audio", 0, "RTP/AVP", vec!["19".into()]));
    session.media = [audio, other, fax, video].into_iter().flatten().collect();
    session.media.extend(further.into_iter().chain(text));
    Answer { shown: session, sent }
}

/// Whether an audio line was passed over because another is used, one of the two being secure: shown as declined.
fn passed_over(theirs: &SessionDescription, plan: &Plan) -> bool {
    let Some(taken) = &plan.audio else { return false };
    let in_use = || theirs.media.iter().filter(|line| line.kind == "audio" && line.port != 0);
    let later = theirs.media.iter().skip(taken.media_index + 1);
    later.filter(|line| line.kind == "audio" && line.port != 0).count() > 0
        && in_use().any(|line| is_secure(&line.proto))
}

/// The profile of the line as we would have it; only a line of the same is answered.
fn own_proto<'a>(plan: &'a AudioPlan, whole: &Plan) -> &'a str {
    match (plan.declined, whole.feedback) {
        (false, _) => &plan.proto,
        (true, true) => "RTP/AVPF",
        (true, false) if is_secure(&plan.proto) => "RTP/AVP",
        (true, false) => "RTP/SAVP",
    }
}

fn audio_section(plan: &AudioPlan, whole: &Plan, local: &Local) -> MediaLine {
    let codec = Choice { fmtp: answered_fmtp(local, &plan.codec), ..plan.codec.clone() };
    let mut extras: Vec<u8> = plan.telephone_event.into_iter().chain(plan.comfort_noise).collect();
    // As the reference's library sorts an answer to one that only listens.
    if plan.remote_direction == MediaDirection::RecvOnly && whole.feedback {
        extras.reverse();
    }
    let formats = std::iter::once(codec.payload_type).chain(extras).map(|pt| pt.to_string());
    let mut media =
        MediaLine::new("audio", local.audio.port, own_proto(plan, whole), formats.collect());
    let lines = &mut media.attributes;
    lines::codec(lines, &codec);
    if let Some(pt) = plan.telephone_event {
        let clock = plan.event_clock;
        lines.push(Attribute::new("rtpmap", format!("{pt} telephone-event/{clock}")));
        if !whole.feedback {
            lines.push(Attribute::new("fmtp", format!("{pt} 0-15")));
        }
    }
    if let Some(pt) = plan.comfort_noise {
        lines.push(Attribute::new("rtpmap", format!("{pt} CN/8000")));
    }
    appended(lines, &local.append);
    lines.push(Attribute::new("ptime", plan.codec.ptime.to_string()));
    lines.push(Attribute::flag(plan.remote_direction.answer().as_str()));
    let rtcp = plan.rtcp || local.rtcp || whole.feedback;
    reach(lines, &plan.transport, rtcp, &local.audio, local);
    if let Some((identity, ice)) = checks(whole, &plan.transport, &local.audio, local) {
        let how = Candidates { mux: plan.transport.rtcp_mux, both: false, level: false, end: true };
        lines::ice(lines, ice, &local.audio, local.address, how);
        lines::source(lines, local.audio.ssrc, identity, "a0");
    }
    key(lines, &plan.transport);
    media
}

/// A line of video on which we only send, under a track of its own.
fn further_section(plan: &VideoPlan, whole: &Plan, local: &Local) -> MediaLine {
    let bound = FurtherStream::at(local, plan.media_index).cloned().unwrap_or_default();
    video_section(plan, whole, local, (&bound.stream, plan.media_index))
}

/// The section of a line of video; `track` numbers its track.
fn video_section(
    plan: &VideoPlan,
    whole: &Plan,
    local: &Local,
    (stream, track): (&crate::LocalStream, usize),
) -> MediaLine {
    if plan.declined {
        return video_of_ours(plan, local);
    }
    let number = plan.codec.payload_type;
    let mut media = MediaLine::new("video", stream.port, &plan.proto, vec![number.to_string()]);
    media.other.push(('b', bandwidth(&plan.extras).into()));
    let lines = &mut media.attributes;
    lines::codec(lines, &plan.codec);
    lines.push(Attribute::flag(plan.remote_direction.answer().as_str()));
    let rtcp = whole.feedback || local.rtcp;
    reach(lines, &plan.transport, rtcp, stream, local);
    lines::feedback(lines, number, plan.feedback);
    plan.extras.write(lines, &[number]);
    if let Some((identity, ice)) = checks(whole, &plan.transport, stream, local) {
        lines::source(lines, stream.ssrc, identity, &format!("v{track}"));
        let how = Candidates { mux: plan.transport.rtcp_mux, both: false, level: false, end: true };
        lines::ice(lines, ice, stream, local.address, how);
    }
    key(lines, &plan.transport);
    media
}

/// What we could have taken instead; sent with port 0.
fn video_of_ours(plan: &VideoPlan, local: &Local) -> MediaLine {
    let ours: Vec<Choice> = (FIRST_OF_OURS..=127)
        .zip(&local.video_codecs)
        .map(|(payload_type, name)| Choice {
            payload_type,
            name: name.clone(),
            rate: crate::video::CLOCK,
            channels: 1,
            ptime: 0,
            fmtp: None,
        })
        .collect();
    let formats = ours.iter().map(|codec| codec.payload_type.to_string()).collect();
    let mut media = MediaLine::new("video", local.video.port, &plan.proto, formats);
    media.other.push(('b', VIDEO_BANDWIDTH.into()));
    ours.iter().for_each(|codec| lines::codec(&mut media.attributes, codec));
    media.attributes.push(Attribute::flag(plan.remote_direction.answer().as_str()));
    media
}

fn text_section(plan: &TextPlan, local: &Local) -> MediaLine {
    let formats = plan.formats.iter().map(|codec| codec.payload_type.to_string()).collect();
    let mut media = MediaLine::new("text", local.text.port, &plan.proto, formats);
    plan.formats.iter().for_each(|codec| lines::codec(&mut media.attributes, codec));
    let direction = plan.remote_direction.answer();
    if direction != MediaDirection::SendRecv {
        media.attributes.push(Attribute::flag(direction.as_str()));
    }
    media
}

/// Fingerprint, role and RTCP of a line.
fn reach(
    lines: &mut Vec<Attribute>,
    transport: &Transport,
    rtcp: bool,
    stream: &crate::LocalStream,
    local: &Local,
) {
    if let (Secure::Dtls(dtls), Some(identity)) = (&transport.secure, &local.identity)
        && let Some(ours) = identity.fingerprint_for(&dtls.fingerprints)
    {
        lines::fingerprint(lines, ours, lines::setup_of(dtls.role));
    }
    if rtcp || transport.rtcp_mux {
        lines::rtcp(lines, stream, local.address, transport.rtcp_mux);
    }
}

/// What is written of connectivity checks: in every description with feedback, and where the peer wants them.
fn checks<'a>(
    whole: &Plan,
    transport: &Transport,
    stream: &'a crate::LocalStream,
    local: &'a Local,
) -> Option<(&'a crate::Identity, &'a crate::LocalIce)> {
    let wanted = whole.feedback || transport.ice.is_some();
    Some((local.identity.as_ref().filter(|_| wanted)?, stream.ice.as_ref()?))
}

fn key(lines: &mut Vec<Attribute>, transport: &Transport) {
    if let Secure::Sdes(pair) = &transport.secure {
        lines.push(Attribute::new("crypto", pair.ours.value()));
    }
}

/// What we say of the codec answered.
fn answered_fmtp(local: &Local, codec: &Choice) -> Option<String> {
    if codec.is("opus") {
        return Some(fmtp::opus_answer(&local.opus, codec.fmtp.as_deref()));
    }
    codec.fmtp.clone()
}
