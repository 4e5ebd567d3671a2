//! Which codec of an offer is taken, and what goes with it: packet time, telephone events, comfort noise.

use sdp::{MediaLine, static_codec};

use crate::{CodecPref, Local};

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

impl Choice {
    /// Whether it is the codec of this name.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The codecs of a section in the peer's order.
pub(crate) fn offered(media: &MediaLine) -> Vec<Choice> {
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

pub(crate) fn choose(media: &MediaLine, local: &Local, mode: Mode) -> Option<Choice> {
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
pub(crate) fn telephone_event(media: &MediaLine, clock: u32) -> Option<(u8, u32)> {
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

pub(crate) fn comfort_noise(media: &MediaLine) -> Option<u8> {
    let named = media.rtpmaps().find(|m| m.name.eq_ignore_ascii_case("CN")).map(|m| m.payload_type);
    named.or_else(|| media.formats.iter().any(|f| f == "13").then_some(13))
}
