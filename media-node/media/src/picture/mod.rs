//! Video that is passed on to several receivers: what its packets say of the pictures they hold, without decoding any.
//!
//! A receiver that is shown another source must begin with a key frame, and one that loses too much can do without the
//! pictures no other is made from. Both are read from the payload descriptors (RFC 7741, RFC 9628, RFC 6184, RFC 7798, AV1).

pub(crate) mod congestion;
pub(crate) mod limit;
pub(crate) mod sent;
pub mod simulcast;
pub(crate) mod view;

use std::fmt;
use std::sync::Arc;

use crate::leg::{Leg, LegId};

/// A video codec, as far as its packets can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum VideoCodec {
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// H.264.
    H264,
    /// H.265.
    H265,
    /// AV1.
    Av1,
    /// One whose packets do not tell key frames from others: every packet may begin one.
    #[default]
    Other,
}

/// What is known of a leg's video by all who deal with its call: a slot of its channel, written by those who negotiate.
#[derive(Clone, Debug, Default)]
pub struct LegVideo {
    /// The media leg of the video line.
    pub leg: Option<Arc<Leg>>,
    /// The codec agreed on, as descriptions name it; `None` while there is no video.
    pub codec: Option<String>,
    /// The far end sends pictures.
    pub sends: bool,
    /// The far end wants pictures.
    pub wants: bool,
    /// The far end knows requests for key frames by the name of PLI (RFC 4585).
    pub pli: bool,
    /// The far end knows FIR (RFC 5104).
    pub fir: bool,
    /// The far end keeps to the bit rate it is told (REMB).
    pub remb: bool,
    /// The far end takes no more than this, bits a second, by its description (`b=`).
    pub most: Option<u64>,
    /// Further lines, over which the far end receives other members of a room.
    pub further: Vec<FurtherLine>,
    /// Further lines the room has use for, written by the room alone; 0 outside of rooms.
    pub room_lines: usize,
    /// What the room takes beside, written by the room alone; nothing outside of rooms.
    pub room_takes: RoomTakes,
    /// What a room sends it, written by the room alone; `None` outside of rooms and while it is sent nothing.
    pub watches: Option<Watches>,
    /// The members it is sent on further lines, written by the room alone.
    pub also_watches: Vec<u32>,
}

/// What a room takes of its members' descriptions, by its profile. Outside of rooms neither is of use: a bridge passes one stream
/// with its feedback from one side to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RoomTakes {
    /// Simulcast.
    pub simulcast: bool,
    /// Transport-wide feedback.
    pub transport_cc: bool,
}

/// A line of video behind the first.
#[derive(Clone, Debug)]
pub struct FurtherLine {
    /// Its media leg.
    pub leg: Arc<Leg>,
    /// The far end wants pictures on it.
    pub wants: bool,
}

/// The member of a room whose video another is to receive, by its number in the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watches {
    /// It receives that member's.
    Member(u32),
    /// It receives none: that member sends what this one cannot decode.
    OtherCodec {
        /// That member.
        member: u32,
        /// The codec it sends, if one was agreed on.
        sends: Option<String>,
        /// The codec this one takes.
        takes: String,
    },
}

impl fmt::Display for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(member) => write!(f, "shown member {member}"),
            Self::OtherCodec { member, sends, takes } => {
                let sends = sends.as_deref().unwrap_or("no codec");
                write!(f, "member {member} sends {sends}, this one takes {takes}: it is not shown")
            }
        }
    }
}

impl LegVideo {
    /// Puts what was negotiated in the place of what was; true if that is something else. What the room wrote stays.
    pub fn renew(&mut self, new: Self) -> bool {
        let leg = |video: &Self| video.leg.as_ref().map(|leg| leg.id());
        let line = |line: &FurtherLine| (line.leg.id(), line.wants);
        let further = |video: &Self| -> Vec<_> { video.further.iter().map(line).collect() };
        let same = leg(self) == leg(&new)
            && further(self) == further(&new)
            && (&self.codec, self.sends, self.wants) == (&new.codec, new.sends, new.wants)
            && (self.pli, self.fir, self.remb) == (new.pli, new.fir, new.remb)
            && self.most == new.most;
        let (watches, also_watches) = (self.watches.take(), std::mem::take(&mut self.also_watches));
        let (room_lines, room_takes) = (self.room_lines, self.room_takes);
        *self = Self { watches, also_watches, room_lines, room_takes, ..new };
        !same
    }

    /// Whether both have video of one codec: packets of one can be shown to the other.
    #[must_use]
    pub fn fits(&self, other: &Self) -> bool {
        let (Some(own), Some(other)) = (&self.codec, &other.codec) else { return false };
        own.eq_ignore_ascii_case(other)
    }

    /// How its leg joins others' pictures.
    #[must_use]
    pub fn options(&self) -> PictureOptions {
        let codec = self.codec.as_deref().map(VideoCodec::by_name).unwrap_or_default();
        let call = self.leg.as_ref().map(|leg| leg.id());
        let (pli, fir, remb, most) = (self.pli, self.fir, self.remb, self.most);
        PictureOptions { codec, call, pli, fir, remb, most, small: false, hidden: false }
    }
}

/// How the video of a leg is passed on to several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PictureOptions {
    /// What it is made with.
    pub codec: VideoCodec,
    /// Whose call it is: the leg of that call's first line of video. A receiver's estimate counts for legs of its own call
    /// alone; without one, for the leg itself.
    pub call: Option<LegId>,
    /// Key frames are asked for by PLI.
    pub pli: bool,
    /// Key frames are asked for by FIR.
    pub fir: bool,
    /// It is told what its receivers can take (REMB).
    pub remb: bool,
    /// It takes no more than this, bits a second.
    pub most: Option<u64>,
    /// It shows pictures small: of a source with simulcast it is sent the smallest.
    pub small: bool,
    /// Nothing of it is shown to others at first.
    pub hidden: bool,
}

/// What the payload of one packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// It begins a picture that needs no other.
    pub(crate) whole: bool,
    /// No picture of a lower layer is made from its picture.
    pub(crate) spare: bool,
    /// Where the number of the picture is, and whether it has 15 bits instead of 7.
    pub(crate) number: Option<(usize, bool)>,
    /// Where the number of the picture of the base layer is.
    pub(crate) base: Option<usize>,
    /// Pixels of the picture, where the packet says.
    pub(crate) pixels: Option<u32>,
}

impl VideoCodec {
    /// The codec of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Self {
        let all = [
            ("VP8", Self::Vp8),
            ("VP9", Self::Vp9),
            ("H264", Self::H264),
            ("H265", Self::H265),
            ("AV1", Self::Av1),
        ];
        let found = all.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(Self::Other, |(_, codec)| *codec)
    }

    /// Reads a payload.
    pub(crate) fn look(self, payload: &[u8]) -> Seen {
        let seen = match self {
            Self::Vp8 => vp8(payload),
            Self::Vp9 => vp9(payload),
            Self::H264 => h264(payload),
            Self::H265 => h265(payload),
            Self::Av1 => payload.first().map(|first| {
                // A new sequence begins with this packet (N), which does not go on with an old one (Z).
                Seen { whole: first & 0x88 == 0x08, ..Seen::default() }
            }),
            Self::Other => Some(Seen { whole: true, ..Seen::default() }),
        };
        seen.unwrap_or_default()
    }
}

/// The number at `at`, in one octet or two; the place behind it.
fn number(payload: &[u8], at: usize) -> Option<((usize, bool), usize)> {
    let wide = payload.get(at)? & 0x80 != 0;
    Some(((at, wide), at + 1 + usize::from(wide)))
}

fn vp8(payload: &[u8]) -> Option<Seen> {
    let first = *payload.first()?;
    let mut seen = Seen { spare: first & 0x20 != 0, ..Seen::default() };
    let mut at = 1;
    if first & 0x80 != 0 {
        let extended = *payload.get(1)?;
        at = 2;
        if extended & 0x80 != 0 {
            let (place, behind) = number(payload, at)?;
            seen.number = Some(place);
            at = behind;
        }
        if extended & 0x40 != 0 {
            seen.base = Some(at);
            at += 1;
        }
        if extended & 0x30 != 0 {
            seen.spare |= extended & 0x20 != 0 && payload.get(at)? >> 6 > 0;
            at += 1;
        }
    }
    // The first partition begins here, and its first bit says "made from another".
    seen.whole = first & 0x1f == 0x10 && payload.get(at)? & 1 == 0;
    // Behind its tag of three octets a key frame has a start code, width and height (RFC 6386 §9.1).
    if let (true, Some(&[0x9d, 0x01, 0x2a, w0, w1, h0, h1])) =
        (seen.whole, payload.get(at + 3..).and_then(|rest| rest.first_chunk()))
    {
        let [width, height] = [[w0, w1], [h0, h1]].map(|side| u16::from_le_bytes(side) & 0x3fff);
        seen.pixels = Some(u32::from(width) * u32::from(height));
    }
    Some(seen)
}

fn vp9(payload: &[u8]) -> Option<Seen> {
    let first = *payload.first()?;
    let (layered, flexible) = (first & 0x20 != 0, first & 0x10 != 0);
    let mut seen = Seen::default();
    let mut at = 1;
    if first & 0x80 != 0 {
        let (place, behind) = number(payload, at)?;
        seen.number = Some(place);
        at = behind;
    }
    let mut lowest = true;
    if layered {
        let layers = *payload.get(at)?;
        seen.spare = layers >> 5 > 0;
        lowest = layers >> 1 & 7 == 0;
        seen.base = (!flexible).then_some(at + 1);
    }
    seen.whole = first & 0x48 == 0x08 && lowest;
    Some(seen)
}

fn h264(payload: &[u8]) -> Option<Seen> {
    const SLICE: u8 = 1;
    let whole = |kind: u8| matches!(kind, 5 | 7);
    let first = *payload.first()?;
    let unused = first & 0x60 == 0;
    let seen = |whole, spare| Some(Seen { whole, spare, ..Seen::default() });
    match first & 0x1f {
        // Several units in one packet, each behind its length.
        24 => {
            let mut rest = payload.get(1..)?;
            while let Some((&[l0, l1, unit], _)) = rest.split_first_chunk::<3>() {
                if whole(unit & 0x1f) {
                    return seen(true, false);
                }
                rest = rest.get(2 + usize::from(u16::from_be_bytes([l0, l1]))..)?;
            }
            seen(false, false)
        }
        // A piece of one; its first says so.
        28 => {
            let head = *payload.get(1)?;
            seen(head & 0x80 != 0 && whole(head & 0x1f), unused && head & 0x1f == SLICE)
        }
        kind => seen(whole(kind), unused && kind == SLICE),
    }
}

fn h265(payload: &[u8]) -> Option<Seen> {
    let whole = |kind: u8| matches!(kind, 16..=21 | 32..=34);
    let [first, second] = *payload.first_chunk::<2>()?;
    let spare = second & 7 > 1;
    let seen = |whole| Some(Seen { whole, spare, ..Seen::default() });
    match first >> 1 & 0x3f {
        48 => {
            let mut rest = payload.get(2..)?;
            while let Some((&[l0, l1, unit], _)) = rest.split_first_chunk::<3>() {
                if whole(unit >> 1 & 0x3f) {
                    return seen(true);
                }
                rest = rest.get(2 + usize::from(u16::from_be_bytes([l0, l1]))..)?;
            }
            seen(false)
        }
        49 => {
            let head = *payload.get(2)?;
            seen(head & 0x80 != 0 && whole(head & 0x3f))
        }
        kind => seen(whole(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(codec: VideoCodec, payload: &[u8]) -> bool {
        codec.look(payload).whole
    }

    #[test]
    fn a_far_end_that_names_another_way_to_ask_is_something_else() {
        let known = LegVideo { codec: Some("VP8".into()), room_lines: 3, ..LegVideo::default() };
        let mut video = known.clone();
        assert!(!video.renew(known.clone()));
        for new in [
            LegVideo { remb: true, ..known.clone() },
            LegVideo { pli: true, ..known.clone() },
            LegVideo { fir: true, ..known.clone() },
        ] {
            assert!(video.renew(LegVideo { room_lines: 0, ..new.clone() }));
            assert_eq!((video.remb, video.pli, video.fir), (new.remb, new.pli, new.fir));
            assert_eq!(video.room_lines, 3, "what the room wrote stays");
        }
    }

    #[test]
    fn whole_pictures_of_each_codec_are_told_from_others() {
        use VideoCodec::{Av1, H264, H265, Other, Vp8, Vp9};
        for (codec, begins, others) in [
            // VP8: plain; with everything a descriptor may have.
            (
                Vp8,
                &[0x10, 0x00, 9][..],
                &[&[0x10, 0x01][..], &[0x00, 0x00], &[0x11, 0x00], &[]][..],
            ),
            (
                Vp8,
                &[0x90, 0xf0, 0x81, 2, 3, 0, 0],
                &[&[0x90, 0xf0, 0x81, 2, 3, 0, 1], &[0x90, 0xf0, 0x81]],
            ),
            (
                Vp9,
                &[0xac, 0x81, 2, 0, 5],
                &[&[0xec, 0x81, 2, 0, 5], &[0xa4, 0x81, 2, 0], &[0xac, 0x81, 2, 2]],
            ),
            (Vp9, &[0x8c, 5], &[&[0xcc, 5], &[0x84, 5], &[]]),
            (H264, &[0x67, 1], &[&[0x41, 1], &[0x09], &[0x68]]),
            (
                H264,
                &[0x78, 0, 1, 0x09, 0, 2, 0x67, 1],
                &[&[0x78, 0, 1, 0x09, 0, 2, 0x41, 1], &[0x78, 255, 255, 9]],
            ),
            (H264, &[0x7c, 0x85, 1], &[&[0x7c, 0x05], &[0x7c, 0x81], &[0x7c]]),
            (H265, &[0x40, 1, 9], &[&[0x02, 1], &[0x02], &[]]),
            (H265, &[0x60, 1, 0, 2, 0x42, 1], &[&[0x60, 1, 0, 2, 0x02, 1]]),
            (H265, &[0x62, 1, 0x93], &[&[0x62, 1, 0x13], &[0x62, 1, 0x81]]),
            (Av1, &[0x18, 1], &[&[0x10, 1], &[0x98, 1], &[]]),
        ] {
            assert!(whole(codec, begins), "{codec:?} {begins:x?}");
            for other in others {
                assert!(!whole(codec, other), "{codec:?} {other:x?}");
            }
        }
        assert!(whole(Other, &[1]));
        assert_eq!(VideoCodec::by_name("vp8"), Vp8);
        assert_eq!(VideoCodec::by_name("H261"), Other);
    }

    #[test]
    fn pictures_that_no_other_needs_are_seen() {
        use VideoCodec::{H264, H265, Vp8, Vp9};
        for (codec, payload, spare) in [
            (Vp8, &[0x30, 0x01][..], true),
            (Vp8, &[0x90, 0x20, 0x40, 0x01], true),
            (Vp8, &[0x90, 0x20, 0x00, 0x01], false),
            (Vp9, &[0x28, 0x20, 0], true),
            (Vp9, &[0x28, 0x00, 0], false),
            (H264, &[0x01, 1], true),
            (H264, &[0x1c, 0x81, 1], true),
            (H264, &[0x41, 1], false),
            (H264, &[0x06, 1], false),
            (H265, &[0x02, 2], true),
            (H265, &[0x02, 1], false),
        ] {
            assert_eq!(codec.look(payload).spare, spare, "{codec:?} {payload:x?}");
        }
    }

    #[test]
    fn key_frames_of_vp8_say_how_large_they_are() {
        let mut packet =
            vec![0x90, 0x80, 0x11, 0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x01];
        assert_eq!(VideoCodec::Vp8.look(&packet).pixels, Some(640 * 360));
        packet[3] |= 1;
        assert_eq!(VideoCodec::Vp8.look(&packet).pixels, None, "another frame");
        packet[3] &= !1;
        packet.truncate(12);
        let seen = VideoCodec::Vp8.look(&packet);
        assert!(seen.whole && seen.pixels.is_none());
    }

    #[test]
    fn numbers_of_pictures_are_found() {
        let seen = VideoCodec::Vp8.look(&[0x90, 0xe0, 0x81, 2, 3, 0x40, 1]);
        assert_eq!((seen.number, seen.base), (Some((2, true)), Some(4)));
        let seen = VideoCodec::Vp8.look(&[0x90, 0x80, 0x11, 1]);
        assert_eq!((seen.number, seen.base), (Some((2, false)), None));
        let seen = VideoCodec::Vp9.look(&[0xa8, 0x81, 2, 0, 7]);
        assert_eq!((seen.number, seen.base), (Some((1, true)), Some(4)));
        let seen = VideoCodec::Vp9.look(&[0xb8, 0x01, 0, 7]);
        assert_eq!((seen.number, seen.base), (Some((1, false)), None));
    }
}
