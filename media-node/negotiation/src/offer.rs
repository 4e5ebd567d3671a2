//! Our offers, as the reference makes them: payload types, sections, and the order of their lines.

use sdp::{Attribute, MediaDirection, MediaLine, SessionDescription, Setup, static_payload_type};

use crate::choice::Choice;
use crate::lines::{self, Candidates};
use crate::video::{self, Feedback};
use crate::{FurtherStream, Local, VideoExtras, fmtp};

/// First dynamic payload type of our offers.
const FIRST_DYNAMIC: u8 = 102;
/// Payload type of comfort noise at 8000 Hz (RFC 3551 §6).
const COMFORT_NOISE: u8 = 13;
/// What we say of our bandwidth for video, kbit/s.
pub(crate) const VIDEO_BANDWIDTH: &str = "AS:1024";

/// The same of several streams of one camera.
const SIMULCAST_BANDWIDTH: &str = "AS:4096";

/// What we say of our bandwidth for a line of video.
pub(crate) fn bandwidth(extras: &VideoExtras) -> &'static str {
    if extras.simulcast.is_some() { SIMULCAST_BANDWIDTH } else { VIDEO_BANDWIDTH }
}

/// Writes our offer. It is sent as [`crate::as_sent`] has it.
pub fn offer(local: &Local) -> SessionDescription {
    let mut next = FIRST_DYNAMIC;
    let mut codecs = Vec::new();
    for pref in &local.codecs {
        let rate = pref.clock_rate();
        let reused = local.reuse.iter().find(|c| c.is(&pref.name) && c.rate == rate);
        let payload_type = static_payload_type(&pref.name, rate)
            .or_else(|| reused.map(|codec| codec.payload_type))
            .unwrap_or_else(|| dynamic(&mut next, local));
        let sampled = pref.rate.unwrap_or(rate);
        let usual =
            || pref.is_opus().then(|| fmtp::opus_offer(&local.opus, sampled, pref.packet_time()));
        codecs.push(Choice {
            payload_type,
            name: pref.name.clone(),
            rate,
            channels: if pref.is_opus() { 2 } else { pref.channels.unwrap_or(1) },
            ptime: pref.packet_time(),
            fmtp: reused.and_then(|codec| codec.fmtp.clone()).or_else(usual),
        });
    }
    let video = offered_video(local, &mut next);
    let extras = offered_extras(local, &codecs, next);
    let apart = local.section_per_ptime && !local.webrtc;
    let mut audio = Vec::new();
    let groups = by_packet_time(codecs, apart);
    let profiles = match local.webrtc {
        true => {
            vec![(local.before.proto.as_deref().unwrap_or("RTP/SAVPF"), Vec::new())]
        }
        false => local.security.sections(),
    };
    for (proto, keys) in &profiles {
        for codecs in &groups {
            let keys = keys.iter().map(|key| Attribute::new("crypto", key.value()));
            audio.push(audio_section(local, codecs, &extras, proto, keys.collect()));
        }
    }
    let mut first = Vec::new();
    let mut further = Vec::new();
    if let Some(direction) = local.offer_video.filter(|_| !video.is_empty()) {
        first = video_sections(local, &video, direction, (&local.video, 0));
        for FurtherStream { media_index, stream, .. } in &local.further {
            let ours = (stream, *media_index);
            let lines = video_sections(local, &video, MediaDirection::SendOnly, ours);
            further.push((*media_index, lines));
        }
    }
    let mut description = local.description(in_their_places(local, audio, first, further));
    if let Some(identity) = local.identity.as_ref().filter(|_| local.webrtc) {
        let streams = format!(" WMS {}", identity.msid);
        description.attributes.extend(local.ice_lite.then(|| Attribute::flag("ice-lite")));
        description.attributes.push(Attribute::new("msid-semantic", streams));
    }
    description
}

/// The lines of an offer in the places they had in the last description of the call (RFC 3264 §8). Lines of it that are not
/// used any more are offered as such, with port 0. Sections that say one line in several ways (profiles, packet times) stay
/// where that moves no other line; else the line is said in one way, that of the profile it had.
fn in_their_places(
    local: &Local,
    audio: Vec<MediaLine>,
    first: Vec<MediaLine>,
    further: Vec<(usize, Vec<MediaLine>)>,
) -> Vec<MediaLine> {
    let before = &local.before;
    let mut places: Vec<Option<MediaLine>> =
        audio.iter().chain(&first).cloned().map(Some).collect();
    let kept = places.iter().flatten().zip(&before.lines).all(|(own, (kind, _))| own.kind == *kind)
        && before.audio_index.is_none_or(|at| at < audio.len())
        && (first.is_empty()
            || before.video_index.is_none_or(|at| (audio.len()..places.len()).contains(&at)));
    if !further.is_empty() || !kept {
        places.clear();
        let named = before.lines.iter().position(|(kind, _)| kind == "audio");
        let other = if before.video_index == Some(0) { before.lines.len() } else { 0 };
        let audio_index = before.audio_index.or(named).unwrap_or(other);
        // A first video takes the place behind the audio, or one of its own behind all others.
        let video_index = before.video_index.unwrap_or(before.lines.len().max(audio_index + 1));
        let wanted = [(audio_index, audio), (video_index, first)];
        for (index, ways) in wanted.into_iter().chain(further) {
            if places.len() <= index && !ways.is_empty() {
                places.resize(index + 1, None);
            }
            let proto = before.lines.get(index).map(|(_, proto)| proto);
            let way = ways.iter().find(|way| Some(&way.proto) == proto).or(ways.first());
            if let (Some(place), Some(way)) = (places.get_mut(index), way) {
                *place = Some(way.clone());
            }
        }
    }
    if places.len() < before.lines.len() {
        places.resize(before.lines.len(), None);
    }
    let unused = |index: usize| {
        let line = before.lines.get(index);
        let (kind, proto) = line.map_or(("video", "RTP/AVP"), |(kind, proto)| (kind, proto));
        MediaLine::new(kind, 0, proto, vec!["19".into()])
    };
    let places = places.into_iter().enumerate();
    places.map(|(index, line)| line.unwrap_or_else(|| unused(index))).collect()
}

/// The next dynamic payload type: not one of telephone events, nor one reused of the other leg.
fn dynamic(next: &mut u8, local: &Local) -> u8 {
    let taken = |number: u8| {
        local.telephone_event == Some(number)
            || local.reuse.iter().any(|codec| codec.payload_type == number)
    };
    while taken(*next) && *next < 127 {
        *next += 1;
    }
    let number = *next;
    *next = next.saturating_add(1).min(127);
    number
}

fn offered_video(local: &Local, next: &mut u8) -> Vec<Choice> {
    if local.offer_video.is_none() {
        return Vec::new();
    }
    let choice = |name: &String| {
        let reused = local.reuse.iter().find(|codec| codec.is(name));
        let number = video::static_video(name).or_else(|| reused.map(|codec| codec.payload_type));
        Choice {
            payload_type: number.unwrap_or_else(|| dynamic(next, local)),
            name: name.clone(),
            rate: video::CLOCK,
            channels: 1,
            ptime: 0,
            fmtp: reused.and_then(|codec| codec.fmtp.clone()),
        }
    };
    local.video_codecs.iter().map(choice).collect()
}

/// Payload types beside a codec's own, at one clock.
#[derive(Clone, Copy, Debug)]
struct Extras {
    clock: u32,
    telephone_event: Option<u8>,
    comfort_noise: Option<u8>,
}

/// The codecs of each section. As in the reference a section has one packet time, since `a=ptime` says one; a payload
/// type stands in it once. Without `apart` all stand in one section, whose packet time is the first codec's.
fn by_packet_time(codecs: Vec<Choice>, apart: bool) -> Vec<Vec<Choice>> {
    let mut groups: Vec<Vec<Choice>> = Vec::new();
    for codec in codecs {
        let alike = |group: &&mut Vec<Choice>| {
            !apart || group.first().is_some_and(|first| first.ptime == codec.ptime)
        };
        match groups.iter_mut().find(alike) {
            Some(group) if group.iter().any(|c| c.payload_type == codec.payload_type) => {}
            Some(group) => group.push(codec),
            None => groups.push(vec![codec]),
        }
    }
    if groups.is_empty() {
        groups.push(Vec::new());
    }
    groups
}

/// Telephone events and comfort noise for each clock of the codecs offered, in the order the clocks come up. Those of
/// 8000 Hz have their usual numbers, others the next free ones.
fn offered_extras(local: &Local, codecs: &[Choice], mut next: u8) -> Vec<Extras> {
    let mut clocks: Vec<u32> = Vec::new();
    for Choice { rate, .. } in codecs {
        if !clocks.contains(rate) {
            clocks.push(*rate);
        }
    }
    if clocks.is_empty() {
        clocks.push(8000);
    }
    let mut extras: Vec<Extras> = Vec::new();
    for clock in &clocks {
        // As in the reference a clock that stands alone has the usual numbers as well.
        let usual = *clock == 8000 || clocks.len() == 1;
        let mut number = |of_8000: u8| if usual { of_8000 } else { dynamic(&mut next, local) };
        let telephone_event = local.telephone_event.map(&mut number);
        let comfort_noise = local.comfort_noise.then(|| number(COMFORT_NOISE));
        extras.push(Extras { clock: *clock, telephone_event, comfort_noise });
    }
    extras
}

fn audio_section(
    local: &Local,
    codecs: &[Choice],
    extras: &[Extras],
    proto: &str,
    keys: Vec<Attribute>,
) -> MediaLine {
    let extra = extras.iter().flat_map(|e| e.telephone_event.into_iter().chain(e.comfort_noise));
    let formats = codecs.iter().map(|c| c.payload_type).chain(extra);
    let formats = formats.map(|pt| pt.to_string()).collect();
    let mut media = MediaLine::new("audio", local.audio.port, proto, formats);
    let lines = &mut media.attributes;
    codecs.iter().for_each(|codec| lines::codec(lines, codec));
    for Extras { clock, telephone_event, .. } in extras {
        if let Some(pt) = telephone_event {
            lines.push(Attribute::new("rtpmap", format!("{pt} telephone-event/{clock}")));
            if !local.webrtc {
                lines.push(Attribute::new("fmtp", format!("{pt} 0-15")));
            }
        }
    }
    secured(lines, local, &local.audio);
    if let (true, Some(identity), Some(ice)) = (local.webrtc, &local.identity, &local.audio.ice) {
        lines::source(lines, local.audio.ssrc, identity, "a0");
        let how = Candidates { mux: local.rtcp_mux, both: true, level: true, end: false };
        lines::ice(lines, ice, &local.audio, local.address, how);
    }
    lines.extend(keys);
    for Extras { clock, comfort_noise, .. } in extras {
        if let Some(pt) = comfort_noise {
            lines.push(Attribute::new("rtpmap", format!("{pt} CN/{clock}")));
        }
    }
    appended(lines, &local.append);
    let ptime = codecs.first().map_or(20, |c| c.ptime);
    lines.push(Attribute::new("ptime", ptime.to_string()));
    lines.push(Attribute::flag(local.direction.as_str()));
    media
}

/// What a line offered to a browser says of its keys and of RTCP.
fn secured(lines: &mut Vec<Attribute>, local: &Local, stream: &crate::LocalStream) {
    if local.webrtc {
        if let Some(ours) = local.identity.as_ref().and_then(|own| own.fingerprint_for(&[])) {
            lines::fingerprint(lines, ours, Setup::ActPass);
        }
        lines::rtcp(lines, stream, local.address, local.rtcp_mux);
    } else if local.rtcp {
        lines::rtcp(lines, stream, local.address, false);
    }
}

/// Lines of the administrator's own.
pub(crate) fn appended(lines: &mut Vec<Attribute>, append: &[String]) {
    lines.extend(append.iter().map(|line| match line.split_once(':') {
        Some((name, value)) => Attribute::new(name, value),
        None => Attribute::flag(line),
    }));
}

/// A video line, once per profile as the audio's; `track` numbers its track.
fn video_sections(
    local: &Local,
    codecs: &[Choice],
    direction: MediaDirection,
    (stream, track): (&crate::LocalStream, usize),
) -> Vec<MediaLine> {
    let profiles = match local.webrtc {
        true => vec![(local.before.proto.as_deref().unwrap_or("RTP/SAVPF"), Vec::new())],
        false => local.video_security.sections(),
    };
    // What was agreed of the first line stays agreed.
    let extras =
        if track == 0 { local.before.video_extras.clone() } else { VideoExtras::default() };
    let section = |(proto, keys): (&str, Vec<sdp::CryptoLine>)| {
        let formats = codecs.iter().map(|codec| codec.payload_type.to_string()).collect();
        let mut media = MediaLine::new("video", stream.port, proto, formats);
        media.other.push(('b', bandwidth(&extras).into()));
        let lines = &mut media.attributes;
        codecs.iter().for_each(|codec| lines::codec(lines, codec));
        lines.push(Attribute::flag(direction.as_str()));
        secured(lines, local, stream);
        for codec in codecs {
            lines::feedback(lines, codec.payload_type, Feedback::all(local.webrtc));
        }
        let numbers: Vec<_> = codecs.iter().map(|codec| codec.payload_type).collect();
        extras.write(lines, &numbers);
        if let (true, Some(identity), Some(ice)) = (local.webrtc, &local.identity, &stream.ice) {
            lines::source(lines, stream.ssrc, identity, &format!("v{track}"));
            let how = Candidates { mux: local.rtcp_mux, both: true, level: false, end: true };
            lines::ice(lines, ice, stream, local.address, how);
        }
        lines.extend(keys.iter().map(|key| Attribute::new("crypto", key.value())));
        media
    };
    profiles.into_iter().map(section).collect()
}
