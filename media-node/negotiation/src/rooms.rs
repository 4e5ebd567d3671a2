//! What is agreed of a line of video for rooms alone: simulcast (RFC 8853) and transport-wide feedback. Bridges pass one stream
//! and its feedback from one side to the other, and have no use for either.

use sdp::{Attribute, MediaLine};

use crate::Local;

/// The header extension that names a layer (RFC 8852).
const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// The header extension that numbers packets for transport-wide feedback.
const TRANSPORT: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// The direction of a header extension that names none (RFC 8285 §5).
const BOTH: &str = "sendrecv";
/// Codecs whose key frames are known: a receiver can be switched between layers.
const LAYERED: [&str; 5] = ["VP8", "VP9", "H264", "H265", "AV1"];
/// Layers taken of one line, those the peer names first; octets of the longest name (RFC 8852 allows more, browsers 16).
const MOST_LAYERS: usize = 3;
const LONGEST_RID: usize = 16;

/// Which of this our side takes, by the room the call is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RoomVideo {
    /// Simulcast.
    pub simulcast: bool,
    /// Transport-wide feedback.
    pub transport_cc: bool,
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VideoExtras {
    /// The peer sends several streams of one camera.
    pub simulcast: Option<Simulcast>,
    /// The number of the header extension of transport-wide feedback (1 to 14).
    pub transport_cc: Option<u8>,
}

/// Simulcast of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulcast {
    /// The number of the header extension that names a layer (1 to 14).
    pub extension: u8,
    /// Names of the layers, two or three.
    pub rids: Vec<String>,
}

impl VideoExtras {
    /// What is taken of a peer's line of this payload type and codec, on which it sends or not.
    pub(crate) fn of(
        media: &MediaLine,
        (number, codec): (u8, &str),
        sends: bool,
        local: &Local,
    ) -> Self {
        let RoomVideo { simulcast, transport_cc } = local.room_video;
        // A browser that sends no video may send its feedback about it on its line of audio, where nothing is made of it.
        let transport_cc = extension(media, TRANSPORT, &[])
            .filter(|_| transport_cc && sends && has_transport_feedback(media, number));
        let layered = LAYERED.iter().any(|known| known.eq_ignore_ascii_case(codec));
        let simulcast = extension(media, RID, &["sendonly"])
            .filter(|id| simulcast && sends && layered && transport_cc != Some(*id))
            .map(|extension| Simulcast { extension, rids: rids(media, number) })
            .filter(|simulcast| simulcast.rids.len() > 1);
        Self { simulcast, transport_cc }
    }

    /// Writes it into a line of ours with these payload types.
    pub(crate) fn write(&self, lines: &mut Vec<Attribute>, numbers: &[u8]) {
        if let Some(id) = self.transport_cc {
            let fb = |number| Attribute::new("rtcp-fb", format!("{number} transport-cc"));
            lines.extend(numbers.iter().map(fb));
            lines.push(Attribute::new("extmap", format!("{id} {TRANSPORT}")));
        }
        if let Some(Simulcast { extension, rids }) = &self.simulcast {
            lines.push(Attribute::new("extmap", format!("{extension} {RID}")));
            lines.extend(rids.iter().map(|rid| Attribute::new("rid", format!("{rid} recv"))));
            lines.push(Attribute::new("simulcast", format!("recv {}", rids.join(";"))));
        }
    }
}

/// The number of a header extension of a line, if it is one that fits into one octet with its length (RFC 8285 §4.2) and
/// the peer uses it in both directions, or in one of `ways`.
fn extension(media: &MediaLine, uri: &str, ways: &[&str]) -> Option<u8> {
    values(media, "extmap").find_map(|value| {
        let mut words = value.split_ascii_whitespace();
        let (number, way) =
            words.next().map(|word| word.split_once('/').unwrap_or((word, BOTH)))?;
        let number = number.parse::<u8>().ok()?;
        let used = way == BOTH || ways.contains(&way);
        (used && words.next()? == uri && (1..=14).contains(&number)).then_some(number)
    })
}

fn has_transport_feedback(media: &MediaLine, number: u8) -> bool {
    let number = number.to_string();
    values(media, "rtcp-fb").any(|value| {
        let mut words = value.split_ascii_whitespace();
        let of = words.next();
        (of == Some("*") || of == Some(&*number)) && words.next() == Some("transport-cc")
    })
}

/// The layers the peer sends, of each set of alternatives the first.
fn rids(media: &MediaLine, number: u8) -> Vec<String> {
    let Some(value) = media.attribute("simulcast") else { return Vec::new() };
    let mut words = value.split_ascii_whitespace();
    let mut sent = "";
    while let (Some(direction), Some(list)) = (words.next(), words.next()) {
        if direction.eq_ignore_ascii_case("send") {
            sent = list;
        }
    }
    let mut rids: Vec<String> = Vec::new();
    for layer in sent.split(';').take(MOST_LAYERS) {
        // One that begins with a tilde is paused to begin with.
        let rid = layer.split(',').next().unwrap_or_default().trim_start_matches('~');
        let valid = (1..=LONGEST_RID).contains(&rid.len())
            && rid.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
        if valid && is_sent(media, rid, number) && !rids.iter().any(|known| known == rid) {
            rids.push(rid.to_owned());
        }
    }
    rids
}

/// Whether `a=rid` says that this layer is sent, and not with other codecs only.
fn is_sent(media: &MediaLine, rid: &str, number: u8) -> bool {
    let number = number.to_string();
    values(media, "rid").any(|value| {
        let mut words = value.split_ascii_whitespace();
        let named = words.next() == Some(rid);
        let sent = words.next().is_some_and(|way| way.eq_ignore_ascii_case("send"));
        let restrictions = words.next().unwrap_or_default();
        let formats = restrictions.split(';').find_map(|one| one.strip_prefix("pt="));
        let fits = formats.is_none_or(|formats| formats.split(',').any(|pt| pt == number));
        named && sent && fits
    })
}

fn values<'a>(media: &'a MediaLine, name: &'static str) -> impl Iterator<Item = &'a str> {
    let named = media.attributes.iter().filter(move |a| a.name.eq_ignore_ascii_case(name));
    named.filter_map(|attribute| attribute.value.as_deref())
}

/// The most a line's peer takes, bits a second (`b=AS`, RFC 4566; `b=TIAS`, RFC 3890).
pub(crate) fn most(media: &MediaLine) -> Option<u64> {
    let said = media.other.iter().filter(|(letter, _)| *letter == 'b');
    let bits = said.filter_map(|(_, value)| {
        let (word, number) = value.split_once(':')?;
        let number = number.trim().parse::<u64>().ok()?;
        match word {
            "AS" => number.checked_mul(1000),
            "TIAS" => Some(number),
            _ => None,
        }
    });
    bits.min()
}
