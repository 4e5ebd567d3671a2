//! RTP packets (RFC 3550 §5.1): reading a header, writing one, and telling packet kinds apart
//! (RFC 7983, RFC 5761).

use std::ops::Range;

/// Octets of the fixed header.
pub const HEADER_LEN: usize = 12;

/// What a datagram on an RTP port is, by its first octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
    /// STUN.
    Stun,
    /// DTLS.
    Dtls,
    /// None of them.
    Unknown,
}

/// Tells what `datagram` is.
pub fn classify(datagram: &[u8]) -> Kind {
    match datagram {
        // 64-95 as RTP payload types are given up to RTCP packet types 192-223 (RFC 5761 §4).
        [128..=191, second, ..] if (192..=223).contains(second) => Kind::Rtcp,
        [128..=191, ..] => Kind::Rtp,
        [0..=3, ..] => Kind::Stun,
        [20..=63, ..] => Kind::Dtls,
        _ => Kind::Unknown,
    }
}

/// One packet's header, with the place of its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Marker bit.
    pub marker: bool,
    /// Payload type.
    pub pt: u8,
    /// Sequence number.
    pub seq: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Where the payload is, padding and extensions left out.
    pub payload: Range<usize>,
}

impl Header {
    /// Reads a packet. `None` when it is not RTP version 2 or its lengths do not add up.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; HEADER_LEN] = packet.first_chunk()?;
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if first >> 6 != 2 {
            return None;
        }
        let mut start = HEADER_LEN + usize::from(first & 0x0f) * 4;
        if first & 0x10 != 0 {
            let extension: &[u8; 4] = packet.get(start..)?.first_chunk()?;
            start += 4 + usize::from(u16::from_be_bytes([extension[2], extension[3]])) * 4;
        }
        let mut end = packet.len();
        if first & 0x20 != 0 {
            let padding = usize::from(*packet.last()?);
            if padding == 0 {
                return None;
            }
            end = end.checked_sub(padding)?;
        }
        (start <= end).then_some(Self {
            marker: second & 0x80 != 0,
            pt: second & 0x7f,
            seq: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload: start..end,
        })
    }
}

/// Octets of a one-byte header extension with a single element of two octets.
pub const NUMBER_LEN: usize = 8;

/// Writes a header extension that holds `number` alone, under the number `id` (1 to 14).
#[inline]
pub fn write_number(to: &mut [u8; NUMBER_LEN], id: u8, number: u16) {
    let [high, low] = number.to_be_bytes();
    *to = [0xbe, 0xde, 0, 1, id << 4 | 1, high, low, 0];
}

/// The element of a packet's header extension under the number `id` (RFC 8285); `None` when it has none.
pub fn extension(packet: &[u8], id: u8) -> Option<&[u8]> {
    let (profile, mut rest) = extensions(packet)?;
    // One octet of number and length for each, or two.
    let long = match profile {
        0xbede => false,
        0x1000..=0x100f => true,
        _ => return None,
    };
    while let Some((&head, behind)) = rest.split_first() {
        if head == 0 {
            rest = behind;
            continue;
        }
        let (found, len, behind) = match long {
            false if head >> 4 == 15 => return None,
            false => (head >> 4, usize::from(head & 0x0f) + 1, behind),
            true => {
                let (&len, behind) = behind.split_first()?;
                (head, usize::from(len), behind)
            }
        };
        let (element, behind) = behind.split_at_checked(len)?;
        if found == id {
            return Some(element);
        }
        rest = behind;
    }
    None
}

/// The word that says how a packet's header extension is written, and what it holds.
fn extensions(packet: &[u8]) -> Option<(u16, &[u8])> {
    let first = *packet.first()?;
    if first & 0x10 == 0 {
        return None;
    }
    let start = HEADER_LEN + usize::from(first & 0x0f) * 4;
    let &[p0, p1, l0, l1] = packet.get(start..)?.first_chunk()?;
    let len = usize::from(u16::from_be_bytes([l0, l1])) * 4;
    let elements = packet.get(start + 4..)?.get(..len)?;
    Some((u16::from_be_bytes([p0, p1]), elements))
}

/// Takes the header extension out of a packet; its new length. The numbers in it mean something on its own line only.
pub fn remove_extension(packet: &mut [u8]) -> usize {
    let len = packet.len();
    let Some((_, elements)) = extensions(packet) else { return len };
    let more = elements.len() + 4;
    let Some(first) = packet.first_mut() else { return len };
    *first &= !0x10;
    let start = HEADER_LEN + usize::from(*first & 0x0f) * 4;
    packet.copy_within(start + more.., start);
    len - more
}

/// Writes a fixed header into the first twelve octets of `to`.
#[inline]
pub fn write_header(
    to: &mut [u8; HEADER_LEN],
    marker: bool,
    pt: u8,
    seq: u16,
    timestamp: u32,
    ssrc: u32,
) {
    to[0] = 0x80;
    to[1] = (u8::from(marker) << 7) | (pt & 0x7f);
    to[2..4].copy_from_slice(&seq.to_be_bytes());
    to[4..8].copy_from_slice(&timestamp.to_be_bytes());
    to[8..12].copy_from_slice(&ssrc.to_be_bytes());
}

/// Signed distance from `from` to `to` in sequence number space.
#[inline]
pub fn seq_distance(from: u16, to: u16) -> i16 {
    to.wrapping_sub(from) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(marker: bool, payload: &[u8]) -> Vec<u8> {
        let mut p = vec![0; HEADER_LEN];
        write_header(p.first_chunk_mut().unwrap(), marker, 8, 65_535, 7, 0xdead_beef);
        p.extend_from_slice(payload);
        p
    }

    #[test]
    fn a_written_header_reads_back() {
        let p = packet(true, &[1, 2, 3]);
        let header = Header::parse(&p).unwrap();
        assert_eq!(
            header,
            Header {
                marker: true,
                pt: 8,
                seq: 65_535,
                timestamp: 7,
                ssrc: 0xdead_beef,
                payload: 12..15
            }
        );
    }

    #[test]
    fn contributors_extensions_and_padding_are_left_out() {
        let mut p = packet(false, &[]);
        p[0] |= 0x32; // two contributors, an extension, padding
        p.extend_from_slice(&[0; 8]);
        p.extend_from_slice(&[0xbe, 0xde, 0, 1, 9, 9, 9, 9]);
        p.extend_from_slice(&[5, 6, 0, 0, 3]);
        assert_eq!(&p[Header::parse(&p).unwrap().payload], &[5, 6]);
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        for (first, extra) in [(0x8f, 4), (0x90, 2), (0xa0, 0), (0x40, 20)] {
            let mut p = packet(false, &vec![0; extra]);
            p[0] = first;
            assert_eq!(Header::parse(&p), None, "{first:#x}");
        }
        let mut padded = packet(false, &[200]);
        padded[0] |= 0x20;
        assert_eq!(Header::parse(&padded), None);
        assert_eq!(Header::parse(&[0x80; 11]), None);
    }

    fn extended(profile: u16, elements: &[u8]) -> Vec<u8> {
        let mut p = packet(false, &profile.to_be_bytes());
        p[0] |= 0x10;
        p.extend(((elements.len() / 4) as u16).to_be_bytes());
        p.extend_from_slice(elements);
        p.extend([7, 8, 9]);
        p
    }

    #[test]
    fn elements_of_header_extensions_are_found() {
        let short = extended(0xbede, &[0x12, 1, 2, 3, 0, 0x40, b'h', 0]);
        assert_eq!(extension(&short, 1), Some(&[1, 2, 3][..]));
        assert_eq!(extension(&short, 4), Some(&b"h"[..]));
        assert_eq!((extension(&short, 2), extension(&short, 0)), (None, None));
        let long = extended(0x1000, &[200, 2, 1, 2, 0, 3, 0, 5, 1, 9, 0, 0]);
        assert_eq!(extension(&long, 200), Some(&[1, 2][..]));
        assert_eq!((extension(&long, 3), extension(&long, 5)), (Some(&[][..]), Some(&[9][..])));
        for (profile, elements) in [
            (0xbede, &[0x1f, 1, 2, 3][..]),
            (0xbede, &[0xf0, 1, 0x10, 3]),
            (0x1000, &[1, 255, 2, 3]),
            (0x1000, &[0, 0, 0, 1]),
            (0x2000, &[0x10, 1, 0, 0]),
        ] {
            assert_eq!(extension(&extended(profile, elements), 1), None, "{elements:x?}");
        }
        let mut lying = extended(0xbede, &[0x10, 1, 0, 0]);
        lying[14] = 255;
        assert_eq!(extension(&lying, 1), None);
        let len = lying.len();
        assert_eq!(remove_extension(&mut lying), len);
    }

    #[test]
    fn a_packet_without_its_extension_is_the_same_packet() {
        let mut p = extended(0xbede, &[0x10, 1, 0, 0]);
        let before = Header::parse(&p).unwrap();
        let len = remove_extension(&mut p);
        let after = Header::parse(&p[..len]).unwrap();
        assert_eq!(&p[after.payload.clone()], &[7, 8, 9]);
        assert_eq!((after.seq, after.ssrc), (before.seq, before.ssrc));
        assert_eq!(remove_extension(&mut p[..len]), len);

        let mut p = packet(false, &[0; NUMBER_LEN]);
        p[0] |= 0x10;
        write_number(p[12..].first_chunk_mut().unwrap(), 14, 0x1234);
        assert_eq!(extension(&p, 14), Some(&[0x12, 0x34][..]));
        assert_eq!(Header::parse(&p).unwrap().payload, 20..20);
    }

    #[test]
    fn kinds_are_told_apart_by_the_first_octets() {
        assert_eq!(classify(&[0x80, 0]), Kind::Rtp);
        assert_eq!(classify(&[0x80, 0x80 | 101]), Kind::Rtp);
        assert_eq!(classify(&[0x81, 200]), Kind::Rtcp);
        assert_eq!(classify(&[0, 1]), Kind::Stun);
        assert_eq!(classify(&[22, 254]), Kind::Dtls);
        assert_eq!(classify(&[255]), Kind::Unknown);
        assert_eq!(classify(&[]), Kind::Unknown);
    }
}
