//! Offer and answer for one audio stream, in the reference's line order.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use super::codecs::{CodecPref, static_codec, static_payload_type};
use super::crypto::{CryptoLine, CryptoPair, Protection, Security};
use super::description::{Attribute, Connection, MediaLine, Origin, SessionDescription};
use super::fmtp;

/// First dynamic payload type of our offers.
const FIRST_DYNAMIC: u8 = 102;
/// Payload type of comfort noise at 8000 Hz (RFC 3551 §6).
const COMFORT_NOISE: u8 = 13;

/// How a codec is chosen (`inbound-codec-negotiation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// The offerer's order.
    #[default]
    Generous,
    /// Our order.
    Greedy,
    /// Our order, packet time and rate differences ignored.
    Scrooge,
}

impl Mode {
    /// Reads the parameter's value; anything unknown is generous.
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "greedy" => Self::Greedy,
            "scrooge" => Self::Scrooge,
            _ => Self::Generous,
        }
    }
}

/// Our side of the audio.
#[derive(Clone, Debug)]
pub struct LocalAudio {
    /// `o=` and `s=` name.
    pub username: String,
    /// Session id of `o=`.
    pub session_id: u64,
    /// Version of `o=`; the caller adds one for every new description.
    pub version: u64,
    /// Address peers send to.
    pub address: IpAddr,
    /// RTP port.
    pub port: u16,
    /// Codecs in order.
    pub codecs: Vec<CodecPref>,
    /// Payload type of telephone-event in our offers; `None`: no DTMF in RTP.
    pub telephone_event: Option<u8>,
    /// Offer comfort noise (payload type 13).
    pub comfort_noise: bool,
    /// Our direction in an offer.
    pub direction: MediaDirection,
    /// Offer codecs of unlike packet times in sections of their own (`sdp_m_per_ptime`).
    pub section_per_ptime: bool,
    /// Write `a=rtcp:` with this port.
    pub rtcp_port: Option<u16>,
    /// Offer or accept `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// Whether and how packets are protected.
    pub security: Security,
    /// Extra `a=` lines before `a=ptime` (`rtp_append_audio_sdp`), without `a=`.
    pub append: Vec<String>,
}

impl LocalAudio {
    fn description(&self, media: Vec<MediaLine>) -> SessionDescription {
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
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedAudio {
    /// Index of the audio section used.
    pub media_index: usize,
    /// The codec.
    pub codec: Choice,
    /// Payload type for telephone-event, both directions; `None` when one side lacks it.
    pub telephone_event: Option<u8>,
    /// Clock of telephone events, Hz.
    pub event_clock: u32,
    /// Payload type for comfort noise.
    pub comfort_noise: Option<u8>,
    /// Where to send RTP. `None` when the peer gave port 0 or a name.
    pub remote: Option<SocketAddr>,
    /// Where to send RTCP.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTP and RTCP share a port.
    pub rtcp_mux: bool,
    /// The peer's direction.
    pub remote_direction: MediaDirection,
    /// The peer holds: direction says so, or its address is 0.0.0.0.
    pub hold: bool,
    /// What packets are protected with.
    pub crypto: Option<CryptoPair>,
    /// The audio is answered with port 0: how the peer wants to protect it, or not to, is nothing we can do. The
    /// call goes on without, as with the reference.
    pub declined: bool,
}

/// Payload types beside a codec's own, at one clock.
#[derive(Clone, Copy, Debug)]
struct Extras {
    clock: u32,
    telephone_event: Option<u8>,
    comfort_noise: Option<u8>,
}

/// A codec with its payload type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Payload type we send and receive.
    pub payload_type: u8,
    /// IANA name, as the peer spells it when it named it.
    pub name: String,
    /// RTP clock rate, Hz.
    pub rate: u32,
    /// Channels.
    pub channels: u8,
    /// Packet time, ms.
    pub ptime: u32,
    /// Peer's `fmtp`.
    pub fmtp: Option<String>,
}

/// Why there is no agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NegotiationError {
    /// No audio section with a usable profile.
    #[error("no usable audio section")]
    NoAudio,
    /// No codec in common: 488.
    #[error("no codec in common")]
    NoCodec,
}

/// Writes our offer.
pub fn offer_audio(local: &LocalAudio) -> SessionDescription {
    let mut next = FIRST_DYNAMIC;
    let mut codecs = Vec::new();
    for pref in &local.codecs {
        let rate = pref.clock_rate();
        let payload_type = static_payload_type(&pref.name, rate).unwrap_or_else(|| {
            let payload_type = next;
            next = next.saturating_add(1).min(127);
            payload_type
        });
        let sampled = pref.rate.unwrap_or(rate);
        codecs.push(Choice {
            payload_type,
            name: pref.name.clone(),
            rate,
            channels: if pref.is_opus() { 2 } else { pref.channels.unwrap_or(1) },
            ptime: pref.packet_time(),
            fmtp: pref.is_opus().then(|| fmtp::opus_offer(sampled, pref.packet_time())),
        });
    }
    let extras = offered_extras(local, &codecs, next);
    let groups = by_packet_time(codecs, local.section_per_ptime);
    let mut sections = Vec::new();
    for (proto, lines) in local.security.sections() {
        for codecs in &groups {
            let mut media = section(local, codecs, &extras, local.direction, proto);
            // In offers keys stand before the packet time, in answers after it.
            let at = media.attributes.len().saturating_sub(1);
            media.attributes.splice(at..at, lines.iter().map(crypto_attribute));
            sections.push(media);
        }
    }
    local.description(sections)
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
fn offered_extras(local: &LocalAudio, codecs: &[Choice], mut next: u8) -> Vec<Extras> {
    let mut extras: Vec<Extras> = Vec::new();
    let mut free = || {
        // Not the number telephone events of 8000 Hz have.
        while Some(next) == local.telephone_event {
            next = next.saturating_add(1);
        }
        let payload_type = next;
        next = next.saturating_add(1).min(127);
        payload_type
    };
    let mut clocks: Vec<u32> = Vec::new();
    for Choice { rate, .. } in codecs {
        if !clocks.contains(rate) {
            clocks.push(*rate);
        }
    }
    if clocks.is_empty() {
        clocks.push(8000);
    }
    for clock in &clocks {
        // As in the reference a clock that stands alone has the usual numbers as well.
        let usual = *clock == 8000 || clocks.len() == 1;
        let telephone_event = local.telephone_event.map(|pt| if usual { pt } else { free() });
        let comfort_noise = local.comfort_noise.then(|| if usual { COMFORT_NOISE } else { free() });
        extras.push(Extras { clock: *clock, telephone_event, comfort_noise });
    }
    extras
}

/// Answers an offer: the agreement, and the description to send.
pub fn answer_audio(
    offer: &SessionDescription,
    local: &LocalAudio,
    mode: Mode,
) -> Result<(NegotiatedAudio, SessionDescription), NegotiationError> {
    let agreed = agree(offer, local, mode)?;
    let mut media = Vec::new();
    for (index, theirs) in offer.media.iter().enumerate() {
        media.push(if index == agreed.media_index && !agreed.declined {
            let direction = agreed.remote_direction.answer();
            let codec = Choice { fmtp: answered_fmtp(&agreed.codec), ..agreed.codec.clone() };
            let extras = Extras {
                clock: agreed.event_clock,
                telephone_event: agreed.telephone_event,
                comfort_noise: agreed.comfort_noise,
            };
            let mut media = section(local, &[codec], &[extras], direction, &theirs.proto);
            let ours = agreed.crypto.iter().map(|pair| crypto_attribute(&pair.ours));
            media.attributes.extend(ours);
            media
        } else {
            // A stream we do not take is refused with port 0 (RFC 3264 §6); 19 is the reference's.
            MediaLine::new(&theirs.kind, 0, &theirs.proto, vec!["19".into()])
        });
    }
    Ok((agreed, local.description(media)))
}

fn crypto_attribute(line: &CryptoLine) -> Attribute {
    Attribute::new("crypto", line.value())
}

/// What we say of the codec answered.
fn answered_fmtp(codec: &Choice) -> Option<String> {
    if codec.name.eq_ignore_ascii_case("opus") {
        return Some(fmtp::opus_answer(codec.fmtp.as_deref()));
    }
    codec.fmtp.clone()
}

/// Finds what an offer, or an answer to ours, and our codecs have in common.
pub fn agree(
    theirs: &SessionDescription,
    local: &LocalAudio,
    mode: Mode,
) -> Result<NegotiatedAudio, NegotiationError> {
    let known = ["RTP/AVP", "RTP/AVPF", "RTP/SAVP"];
    let usable =
        |m: &&MediaLine| m.kind == "audio" && m.port != 0 && known.contains(&m.proto.as_str());
    if !theirs.media.iter().any(|m| usable(&m)) {
        return Err(NegotiationError::NoAudio);
    }
    let mut declined = None;
    let taken =
        theirs.media.iter().enumerate().filter(|(_, m)| usable(m)).find_map(|(n, media)| {
            let crypto = match local.security.of(media) {
                Protection::Plain => None,
                Protection::Secure(pair) => Some(pair),
                Protection::Declined => {
                    let codec = choose(media, local, mode)?;
                    declined.get_or_insert((n, media, codec, None));
                    return None;
                }
                Protection::Refused => return None,
            };
            Some((n, media, choose(media, local, mode)?, crypto))
        });
    let is_declined = taken.is_none();
    let (media_index, media, codec, crypto) =
        taken.or(declined).ok_or(NegotiationError::NoCodec)?;
    let remote = theirs.rtp_address(media);
    let remote_direction = MediaDirection::of(theirs, media);
    let rtcp_mux = local.rtcp_mux && media.attribute("rtcp-mux").is_some();
    let event = local.telephone_event.and_then(|_| telephone_event(media, codec.rate));
    Ok(NegotiatedAudio {
        media_index,
        telephone_event: event.map(|(payload_type, _)| payload_type),
        event_clock: event.map_or(8000, |(_, clock)| clock),
        comfort_noise: local.comfort_noise.then(|| comfort_noise(media)).flatten(),
        codec,
        remote_rtcp: if rtcp_mux { remote } else { rtcp_address(media, remote) },
        remote,
        rtcp_mux,
        hold: remote_direction.is_hold() || remote.is_some_and(|a| a.ip().is_unspecified()),
        remote_direction,
        crypto,
        declined: is_declined,
    })
}

/// The codecs of a section in the peer's order.
fn offered(media: &MediaLine) -> Vec<Choice> {
    let number = |name: &str| {
        let number = media.attribute(name).and_then(|p| p.trim().parse::<u32>().ok());
        number.filter(|number| *number > 0)
    };
    let ptime =
        number("ptime").map(|ptime| number("maxptime").map_or(ptime, |most| ptime.min(most)));
    let maps: Vec<_> = media.rtpmaps().collect();
    let mut out = Vec::new();
    for payload_type in
        media.formats.iter().filter_map(|f| f.parse::<u8>().ok()).filter(|pt| *pt < 128)
    {
        let map = maps.iter().find(|m| m.payload_type == payload_type);
        let (name, rate, channels) = match (map, static_codec(payload_type)) {
            (Some(map), _) => (map.name.clone(), map.rate, map.channels),
            (None, Some((name, rate, channels))) => (name.to_owned(), rate, channels),
            (None, None) => continue,
        };
        let fmtp = media.fmtp(payload_type).map(str::to_owned);
        out.push(Choice { payload_type, name, rate, channels, ptime: ptime.unwrap_or(20), fmtp });
    }
    out
}

/// Longest packets sent, ms: as the reference's codecs, and 60 where they would not fit a datagram.
fn longest_packet(rate: u32) -> u32 {
    if rate <= 16_000 { 120 } else { 60 }
}

/// The packet time used with a peer that names one: its own where it can be sent, else what we prefer for the codec. The
/// answer says what is sent.
fn packet_time(theirs: &Choice, ours: Option<&CodecPref>) -> u32 {
    let fits = (10..=longest_packet(theirs.rate)).contains(&theirs.ptime);
    let whole = match theirs.name.to_ascii_lowercase().as_str() {
        "opus" => matches!(theirs.ptime, 10 | 20 | 40 | 60),
        "gsm" => theirs.ptime.is_multiple_of(20),
        _ => theirs.ptime.is_multiple_of(10),
    };
    if fits && whole { theirs.ptime } else { ours.map_or(20, CodecPref::packet_time) }
}

fn choose(media: &MediaLine, local: &LocalAudio, mode: Mode) -> Option<Choice> {
    let offered = offered(media);
    let alike = |theirs: &Choice, ours: &CodecPref| {
        theirs.name.eq_ignore_ascii_case(&ours.name)
            && (mode == Mode::Scrooge || theirs.rate == ours.clock_rate())
            && (ours.is_opus() || ours.channels.unwrap_or(theirs.channels) == theirs.channels)
    };
    let first_of_theirs =
        || offered.iter().find(|theirs| local.codecs.iter().any(|ours| alike(theirs, ours)));
    let chosen = match mode {
        Mode::Generous => first_of_theirs().cloned(),
        // Where our first choice has another packet time than theirs, their order counts after all.
        Mode::Greedy => local
            .codecs
            .iter()
            .find_map(|ours| {
                let fits =
                    |theirs: &&Choice| alike(theirs, ours) && theirs.ptime == ours.packet_time();
                offered.iter().find(fits)
            })
            .or_else(first_of_theirs)
            .cloned(),
        Mode::Scrooge => local.codecs.iter().find_map(|ours| {
            let theirs = offered.iter().find(|theirs| alike(theirs, ours))?;
            Some(Choice { ptime: ours.packet_time(), ..theirs.clone() })
        }),
    };
    chosen.map(|mut codec| {
        let ours = local.codecs.iter().find(|ours| alike(&codec, ours));
        codec.ptime = packet_time(&codec, ours);
        // Opus has no packets of 30 ms, and those of 60 are not sent (the reference's choice).
        if codec.name.eq_ignore_ascii_case("opus") && !matches!(codec.ptime, 10 | 20 | 40) {
            codec.ptime = 20;
        }
        codec
    })
}

/// The payload type and clock of telephone-event: with the codec's clock, else with 8000 Hz. Where there are others
/// only, we say one of 8000 Hz under a number that is free.
fn telephone_event(media: &MediaLine, clock: u32) -> Option<(u8, u32)> {
    let events: Vec<_> = media
        .rtpmaps()
        .filter(|map| map.name.eq_ignore_ascii_case("telephone-event"))
        .map(|map| (map.payload_type, map.rate))
        .collect();
    let of = |clock: u32| events.iter().find(|(_, rate)| *rate == clock).copied();
    let free = || {
        let taken = |pt: &u8| media.formats.iter().any(|f| f.parse() == Ok(*pt));
        (96..=127).find(|pt| !taken(pt)).map(|pt| (pt, 8000))
    };
    events.first()?;
    of(clock).or_else(|| of(8000)).or_else(free)
}

fn comfort_noise(media: &MediaLine) -> Option<u8> {
    let named = media.rtpmaps().find(|m| m.name.eq_ignore_ascii_case("CN")).map(|m| m.payload_type);
    named.or_else(|| media.formats.iter().any(|f| f == "13").then_some(13))
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

/// One audio section, lines in the reference's order.
fn section(
    local: &LocalAudio,
    codecs: &[Choice],
    extras: &[Extras],
    direction: MediaDirection,
    proto: &str,
) -> MediaLine {
    let extra = extras.iter().flat_map(|e| e.telephone_event.into_iter().chain(e.comfort_noise));
    let formats = codecs.iter().map(|c| c.payload_type).chain(extra);
    let mut media =
        MediaLine::new("audio", local.port, proto, formats.map(|pt| pt.to_string()).collect());
    let lines = &mut media.attributes;
    for Choice { payload_type, name, rate, channels, fmtp, .. } in codecs {
        let channels = if *channels > 1 { format!("/{channels}") } else { String::new() };
        lines.push(Attribute::new("rtpmap", format!("{payload_type} {name}/{rate}{channels}")));
        if let Some(fmtp) = fmtp {
            lines.push(Attribute::new("fmtp", format!("{payload_type} {fmtp}")));
        }
    }
    for (index, Extras { clock, telephone_event, comfort_noise }) in extras.iter().enumerate() {
        if let Some(pt) = telephone_event {
            lines.push(Attribute::new("rtpmap", format!("{pt} telephone-event/{clock}")));
            lines.push(Attribute::new("fmtp", format!("{pt} 0-15")));
        }
        if index == 0 {
            if local.rtcp_mux {
                lines.push(Attribute::flag("rtcp-mux"));
            }
            if let Some(port) = local.rtcp_port {
                let address = Connection::of(local.address);
                lines.push(Attribute::new("rtcp", format!("{port} {address}")));
            }
        }
        if let Some(pt) = comfort_noise {
            lines.push(Attribute::new("rtpmap", format!("{pt} CN/{clock}")));
        }
    }
    lines.extend(local.append.iter().map(|line| match line.split_once(':') {
        Some((name, value)) => Attribute::new(name, value),
        None => Attribute::flag(line),
    }));
    if direction != MediaDirection::SendRecv {
        lines.push(Attribute::flag(direction.as_str()));
    }
    let ptime = codecs.first().map_or(20, |c| c.ptime);
    lines.push(Attribute::new("ptime", ptime.to_string()));
    media
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> LocalAudio {
        LocalAudio {
            username: "FreeSWITCH".into(),
            session_id: 10,
            version: 11,
            address: "127.0.0.1".parse().unwrap(),
            port: 27120,
            codecs: crate::sdp::parse_codec_list("PCMU,PCMA"),
            telephone_event: Some(101),
            comfort_noise: true,
            direction: MediaDirection::SendRecv,
            section_per_ptime: true,
            rtcp_port: None,
            rtcp_mux: false,
            security: Security::default(),
            append: Vec::new(),
        }
    }

    fn offer(lines: &str) -> SessionDescription {
        let text = format!(
            "v=0\r\no=x 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{lines}"
        );
        SessionDescription::parse(&text).unwrap()
    }

    #[test]
    fn the_offer_is_the_recorded_one() {
        let expected = "v=0\r\no=FreeSWITCH 10 11 IN IP4 127.0.0.1\r\ns=FreeSWITCH\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
            m=audio 27120 RTP/AVP 0 8 101 13\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
            a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtpmap:13 CN/8000\r\na=ptime:20\r\n";
        assert_eq!(offer_audio(&local()).to_string(), expected);
    }

    #[test]
    fn keys_stand_where_the_reference_writes_them() {
        use crate::sdp::SecurityRule;
        let line = CryptoLine::new(7, "AES_CM_128_HMAC_SHA1_80", "OURS".into(), false);
        let security = |rule| Security { rule, lines: vec![line.clone()], ..Security::default() };
        let optional = LocalAudio { security: security(SecurityRule::Optional), ..local() };
        let text = offer_audio(&optional).to_string();
        let crypto = "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:OURS\r\na=ptime:20\r\n";
        assert!(text.contains(&format!("{crypto}m=audio 27120 RTP/AVP 0 8 101 13\r\n")), "{text}");
        let theirs = offer(
            "m=audio 4000 RTP/SAVP 0\r\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:THEIRS\r\n",
        );
        let (agreed, answer) = answer_audio(&theirs, &optional, Mode::Generous).unwrap();
        assert_eq!(agreed.crypto.unwrap().theirs.key, "THEIRS");
        let text = answer.to_string();
        assert!(
            text.ends_with("a=ptime:20\r\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:OURS\r\n"),
            "{text}"
        );
        let bare = offer("m=audio 4000 RTP/SAVP 0\r\n");
        let (agreed, answer) = answer_audio(&bare, &optional, Mode::Generous).unwrap();
        assert!(agreed.declined);
        assert!(answer.to_string().ends_with("m=audio 0 RTP/SAVP 19\r\n"));
        let mandatory = LocalAudio { security: security(SecurityRule::Mandatory), ..local() };
        let refused = answer_audio(&bare, &mandatory, Mode::Generous);
        assert_eq!(refused.map(|_| ()), Err(NegotiationError::NoCodec));
    }

    #[test]
    fn several_clocks_are_offered_as_recorded() {
        let local = LocalAudio {
            codecs: crate::sdp::parse_codec_list("opus,G722,PCMU,PCMA,G729"),
            ..local()
        };
        let text = offer_audio(&local).to_string();
        let expected = "m=audio 27120 RTP/AVP 102 9 0 8 18 103 104 101 13\r\na=rtpmap:102 opus/48000/2\r\n\
            a=fmtp:102 useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40\r\n\
            a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:18 G729/8000\r\n\
            a=rtpmap:103 telephone-event/48000\r\na=fmtp:103 0-15\r\na=rtpmap:104 CN/48000\r\n\
            a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtpmap:13 CN/8000\r\na=ptime:20\r\n";
        assert!(text.ends_with(expected), "{text}");
        let alone = LocalAudio { codecs: crate::sdp::parse_codec_list("opus@16000h"), ..local };
        let text = offer_audio(&alone).to_string();
        assert!(text.contains("m=audio 27120 RTP/AVP 102 101 13\r\n"), "{text}");
        assert!(text.contains("maxplaybackrate=16000"), "{text}");
        assert!(text.contains("a=rtpmap:101 telephone-event/48000\r\n"), "{text}");
    }

    #[test]
    fn telephone_events_of_every_clock_are_answered_as_recorded() {
        let local =
            LocalAudio { codecs: crate::sdp::parse_codec_list("opus,G722,PCMU"), ..local() };
        let events = |lines: &str| {
            let (agreed, answer) = answer_audio(&offer(lines), &local, Mode::Generous).unwrap();
            (agreed.telephone_event, agreed.event_clock, answer.media[0].formats.join(" "))
        };
        let opus = "a=rtpmap:96 opus/48000/2\r\na=rtpmap:110 telephone-event/48000\r\n\
            a=rtpmap:126 telephone-event/8000\r\n";
        assert_eq!(
            events(&format!("m=audio 4 RTP/AVP 96 110 126\r\n{opus}")),
            (Some(110), 48_000, "96 110".into())
        );
        assert_eq!(
            events(&format!("m=audio 4 RTP/AVP 0 110 126\r\n{opus}")),
            (Some(126), 8000, "0 126".into())
        );
        assert_eq!(
            events("m=audio 4 RTP/AVP 0 110\r\na=rtpmap:110 telephone-event/48000\r\n"),
            (Some(96), 8000, "0 96".into())
        );
        assert_eq!(events("m=audio 4 RTP/AVP 9\r\n"), (None, 8000, "9".into()));
    }

    #[test]
    fn packet_times_are_bounded_by_the_peer_and_the_codec() {
        let local = LocalAudio {
            codecs: crate::sdp::parse_codec_list("opus,PCMA@20i,PCMU@20i"),
            ..local()
        };
        let chosen = |lines: &str, mode| {
            let codec = agree(&offer(lines), &local, mode).unwrap().codec;
            (codec.payload_type, codec.ptime)
        };
        let opus = "m=audio 4 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n";
        assert_eq!(chosen(&format!("{opus}a=ptime:60\r\n"), Mode::Generous), (96, 20));
        assert_eq!(chosen(&format!("{opus}a=ptime:40\r\n"), Mode::Generous), (96, 40));
        let both = "m=audio 4 RTP/AVP 0 8\r\na=ptime:40\r\n";
        assert_eq!(
            chosen(&format!("{both}a=maxptime:20\r\n"), Mode::Generous),
            (0, 20),
            "no longer than the peer takes"
        );
        assert_eq!(chosen(both, Mode::Greedy), (0, 40), "their order where packet times differ");
        assert_eq!(chosen(both, Mode::Scrooge), (8, 20));
    }

    #[test]
    fn a_held_call_is_answered_recvonly_before_ptime() {
        let theirs = offer(
            "m=audio 4000 RTP/AVP 8 0 96\r\na=rtpmap:96 telephone-event/8000\r\na=sendonly\r\na=ptime:30\r\n\
             m=video 5000 RTP/AVP 99\r\n",
        );
        let (agreed, answer) = answer_audio(&theirs, &local(), Mode::Generous).unwrap();
        assert!(agreed.hold);
        assert_eq!((agreed.codec.payload_type, agreed.codec.ptime), (8, 30));
        assert_eq!(agreed.telephone_event, Some(96));
        assert_eq!(agreed.remote, Some("192.0.2.1:4000".parse().unwrap()));
        assert_eq!(agreed.remote_rtcp, Some("192.0.2.1:4001".parse().unwrap()));
        let text = answer.to_string();
        assert!(text.ends_with(
            "m=audio 27120 RTP/AVP 8 96\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\n\
             a=fmtp:96 0-15\r\na=recvonly\r\na=ptime:30\r\nm=video 0 RTP/AVP 19\r\n"
        ), "{text}");
    }

    #[test]
    fn codecs_of_unlike_packet_times_are_all_offered() {
        let sections = |codecs: &str, apart: bool| -> Vec<(String, String)> {
            let local = LocalAudio {
                codecs: crate::sdp::parse_codec_list(codecs),
                section_per_ptime: apart,
                ..local()
            };
            let offer = offer_audio(&local);
            let shown = |m: &MediaLine| {
                assert_eq!(m.port, 27120);
                (m.formats.join(" "), m.attribute("ptime").unwrap().to_owned())
            };
            offer.media.iter().map(shown).collect()
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            sections("PCMA@30i,PCMU@20i", true),
            [pair("8 101 13", "30"), pair("0 101 13", "20")]
        );
        assert_eq!(
            sections("PCMU@20i,G722@30i,PCMA,PCMU@30i,PCMU", true),
            [pair("0 8 101 13", "20"), pair("9 0 101 13", "30")]
        );
        assert_eq!(sections("PCMU@30i,PCMA,PCMU", false), [pair("0 8 101 13", "30")]);
    }

    #[test]
    fn the_packet_time_answered_can_be_sent() {
        for (attribute, codecs, sent) in [
            ("a=ptime:10\r\n", "PCMU", 10),
            ("a=ptime:120\r\n", "PCMU", 120),
            ("a=ptime:130\r\n", "PCMU", 20),
            ("a=ptime:200\r\n", "PCMU@30i", 30),
            ("a=ptime:4000000000\r\n", "PCMU", 20),
            ("a=ptime:25\r\n", "PCMU", 20),
            ("a=ptime:5\r\n", "PCMU", 20),
            ("a=ptime:0\r\n", "PCMU@40i", 20),
            ("", "PCMU@40i", 20),
        ] {
            let theirs = offer(&format!("m=audio 4000 RTP/AVP 0\r\n{attribute}"));
            let local = LocalAudio { codecs: crate::sdp::parse_codec_list(codecs), ..local() };
            let (agreed, answer) = answer_audio(&theirs, &local, Mode::Generous).unwrap();
            assert_eq!(agreed.codec.ptime, sent, "{attribute}");
            assert!(answer.to_string().contains(&format!("a=ptime:{sent}\r\n")));
        }
    }

    #[test]
    fn greedy_takes_our_order_and_nothing_in_common_is_an_error() {
        let theirs = offer("m=audio 4000 RTP/AVP 8 0\r\n");
        assert_eq!(agree(&theirs, &local(), Mode::Greedy).unwrap().codec.payload_type, 0);
        assert_eq!(agree(&theirs, &local(), Mode::Generous).unwrap().codec.payload_type, 8);
        let g729 = offer("m=audio 4000 RTP/AVP 18\r\n");
        assert_eq!(agree(&g729, &local(), Mode::Generous), Err(NegotiationError::NoCodec));
        assert_eq!(agree(&offer(""), &local(), Mode::Generous), Err(NegotiationError::NoAudio));
    }

    #[test]
    fn an_unspecified_address_holds() {
        let theirs = offer("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n");
        assert!(agree(&theirs, &local(), Mode::Generous).unwrap().hold);
    }

    #[test]
    fn rtcp_follows_its_attribute_or_the_mux() {
        let theirs =
            offer("m=audio 4000 RTP/AVP 0\r\na=rtcp:4009 IN IP4 192.0.2.9\r\na=rtcp-mux\r\n");
        let agreed = agree(&theirs, &local(), Mode::Generous).unwrap();
        assert_eq!(
            (agreed.rtcp_mux, agreed.remote_rtcp),
            (false, Some("192.0.2.9:4009".parse().unwrap()))
        );
        let mux = LocalAudio { rtcp_mux: true, ..local() };
        let agreed = agree(&theirs, &mux, Mode::Generous).unwrap();
        assert_eq!((agreed.rtcp_mux, agreed.remote_rtcp), (true, agreed.remote));
    }

    #[test]
    fn descriptions_round_trip() {
        let text = offer_audio(&local()).to_string();
        assert_eq!(SessionDescription::parse(&text).unwrap().to_string(), text);
    }
}
