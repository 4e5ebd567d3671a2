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
