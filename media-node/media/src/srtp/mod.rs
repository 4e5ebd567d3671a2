//! SRTP and SRTCP (RFC 3711, RFC 6188, RFC 7714) of one leg: packets are protected and opened in place, without
//! allocating. Keys come from signalling ([`Keying`]); how they got there (SDES, DTLS) is not this layer's concern.
//!
//! Invariant: a packet that fails authentication, or that was seen before, changes nothing: no rollover counter, no
//! replay window, no source is touched before the tag is verified.

mod crypto;
mod replay;
mod suite;

use std::fmt;

use crypto::Keys;
use replay::Window;
pub use suite::Suite;

use crate::rtp::Header;

/// Sources of one direction whose counters are kept; the one not heard for longest gives way.
const SOURCES: usize = 4;
/// Octets of the SRTCP index word.
const INDEX_WORD: usize = 4;
/// Octets a protected packet is longer than a plain one, at most: index word, longest key identifier, tag.
pub const OVERHEAD: usize = INDEX_WORD + MAX_MKI + 16;
/// Longest master key identifier (RFC 4568 §6.1 allows up to 128; peers use four at most).
pub const MAX_MKI: usize = 16;
/// Octets of the SRTCP header that stay plain.
const RTCP_CLEAR: usize = 8;

/// One direction's master key as signalling carries it.
#[derive(Clone, PartialEq, Eq)]
pub struct Keying {
    suite: Suite,
    master: Vec<u8>,
    mki: Vec<u8>,
}

impl fmt::Debug for Keying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keying({})", self.suite.name())
    }
}

impl Keying {
    /// A master key and salt, one after the other. `None` when they are not as long as the suite needs.
    pub fn new(suite: Suite, master: &[u8]) -> Option<Self> {
        let fits = master.len() == suite.key_len() + suite.salt_len();
        fits.then(|| Self { suite, master: master.to_vec(), mki: Vec::new() })
    }

    /// The same with a master key identifier in every packet. `None` for one that is too long.
    pub fn with_mki(mut self, mki: &[u8]) -> Option<Self> {
        (mki.len() <= MAX_MKI).then(|| {
            self.mki = mki.to_vec();
            self
        })
    }

    /// Its suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }
}

/// The keys of both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrtpKeys {
    /// What we send with.
    pub local: Keying,
    /// What the peer sends with; `None` = it gave a key that cannot be used, and nothing of it is taken.
    pub remote: Option<Keying>,
}

/// Both directions of a leg's protection.
#[derive(Debug)]
pub struct Srtp {
    keys: SrtpKeys,
    outbound: Direction,
    inbound: Option<Direction>,
}

impl Srtp {
    /// Protection with these keys.
    pub fn new(keys: SrtpKeys) -> Self {
        let outbound = Direction::new(&keys.local);
        let inbound = keys.remote.as_ref().map(Direction::new);
        Self { keys, outbound, inbound }
    }

    /// Takes over what is new in `other`: a direction whose key is the same keeps its counters.
    pub fn rekey(&mut self, other: &mut Self) {
        if self.keys.local != other.keys.local {
            std::mem::swap(&mut self.outbound, &mut other.outbound);
        }
        if self.keys.remote != other.keys.remote {
            std::mem::swap(&mut self.inbound, &mut other.inbound);
        }
        std::mem::swap(&mut self.keys, &mut other.keys);
    }

    /// Whether two packets of one number that differ, if only in their headers, would give away the key of the tags.
    pub(crate) fn is_aead(&self) -> bool {
        self.outbound.keys.suite().is_aead()
    }

    /// Protects the RTP packet in `buffer[..len]`; returns its new length.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        self.outbound.protect_rtp(buffer, len)
    }

    /// Protects the RTCP packet in `buffer[..len]`; returns its new length.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        self.outbound.protect_rtcp(buffer, len)
    }

    /// Opens the SRTP packet; returns the plain one's length. `None` when it is to be dropped.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Option<usize> {
        self.inbound.as_mut()?.open_rtp(packet)
    }

    /// Opens the SRTCP packet; returns the plain one's length. `None` when it is to be dropped.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Option<usize> {
        self.inbound.as_mut()?.open_rtcp(packet)
    }
}

/// One direction.
#[derive(Debug)]
struct Direction {
    keys: Keys,
    mki: Box<[u8]>,
    sources: [Source; SOURCES],
    /// Counts packets, to tell which source was heard last.
    turn: u64,
}

/// The counters of one synchronisation source.
#[derive(Debug, Clone, Copy, Default)]
struct Source {
    ssrc: u32,
    /// When it was heard last; 0 = the place is free.
    turn: u64,
    /// Index of the newest RTP packet: rollover counter and sequence number. `None` before the first.
    newest: Option<u64>,
    rtp: Window,
    rtcp: Window,
    /// SRTCP index sent last.
    rtcp_sent: u32,
}

impl Source {
    /// The index a sequence number most likely stands for (RFC 3711 §3.3.1).
    fn index_of(&self, seq: u16) -> u64 {
        let Some(newest) = self.newest else { return u64::from(seq) };
        let (roc, last) = (newest >> 16, newest as u16);
        let roc = if last < 0x8000 && i32::from(seq) - i32::from(last) > 0x8000 {
            // Before the first packet there was none.
            roc.saturating_sub(1)
        } else if last >= 0x8000 && i32::from(last) - 0x8000 > i32::from(seq) {
            roc + 1
        } else {
            roc
        };
        roc << 16 | u64::from(seq)
    }
}

impl Direction {
    fn new(keying: &Keying) -> Self {
        let (key, salt) = keying.master.split_at(keying.suite.key_len());
        Self {
            keys: Keys::derive(keying.suite, key, salt),
            mki: keying.mki.clone().into(),
            sources: [Source::default(); SOURCES],
            turn: 0,
        }
    }

    /// The counters of a source, or those it begins with.
    fn source(&self, ssrc: u32) -> Source {
        let known = self.sources.iter().find(|s| s.turn > 0 && s.ssrc == ssrc);
        known.copied().unwrap_or(Source { ssrc, ..Source::default() })
    }

    /// Keeps the counters of a source.
    fn keep(&mut self, mut source: Source) {
        self.turn += 1;
        source.turn = self.turn;
        let known = self.sources.iter().position(|s| s.turn > 0 && s.ssrc == source.ssrc);
        let oldest = self.sources.iter().enumerate().min_by_key(|(_, s)| s.turn).map(|(n, _)| n);
        if let Some(place) = known.or(oldest).and_then(|n| self.sources.get_mut(n)) {
            *place = source;
        }
    }

    fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let header = Header::parse(buffer.get(..len)?)?;
        let mut source = self.source(header.ssrc);
        let index = source.index_of(header.seq);
        let start = clear_part(buffer)?;
        let tag_at = self.keys.seal_rtp(buffer, start, len, header.ssrc, index)?;
        let end = self.place_mki(buffer, tag_at, self.keys.suite().rtp_tag())?;
        source.newest = Some(source.newest.map_or(index, |newest| newest.max(index)));
        self.keep(source);
        Some(end)
    }

    fn open_rtp(&mut self, packet: &mut [u8]) -> Option<usize> {
        let header = Header::parse(packet)?;
        let start = clear_part(packet)?;
        let len = self.remove_mki(packet, self.keys.suite().rtp_tag())?;
        let mut source = self.source(header.ssrc);
        let index = source.index_of(header.seq);
        if source.rtp.has(index) {
            return None;
        }
        let end = self.keys.open_rtp(packet.get_mut(..len)?, start, header.ssrc, index)?;
        source.rtp.note(index);
        source.newest = Some(source.newest.map_or(index, |newest| newest.max(index)));
        self.keep(source);
        Some(end)
    }

    fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let ssrc = rtcp_ssrc(buffer.get(..len)?)?;
        let mut source = self.source(ssrc);
        source.rtcp_sent = source.rtcp_sent.wrapping_add(1) & 0x7fff_ffff;
        let tag_at = self.keys.seal_rtcp(buffer, RTCP_CLEAR, len, ssrc, source.rtcp_sent)?;
        let end = self.place_mki(buffer, tag_at, self.keys.suite().rtcp_trailer())?;
        self.keep(source);
        Some(end)
    }

    fn open_rtcp(&mut self, packet: &mut [u8]) -> Option<usize> {
        let ssrc = rtcp_ssrc(packet)?;
        let len = self.remove_mki(packet, self.keys.suite().rtcp_trailer())?;
        let packet = packet.get_mut(..len)?;
        let index = self.keys.rtcp_index(packet)?;
        let mut source = self.source(ssrc);
        if source.rtcp.has(u64::from(index)) {
            return None;
        }
        let end = self.keys.open_rtcp(packet, RTCP_CLEAR, ssrc)?;
        source.rtcp.note(u64::from(index));
        self.keep(source);
        Some(end)
    }

    /// Puts the key identifier before the last `trailer` octets of `buffer[..end]`.
    fn place_mki(&self, buffer: &mut [u8], end: usize, trailer: usize) -> Option<usize> {
        if self.mki.is_empty() {
            return Some(end);
        }
        let at = end.checked_sub(trailer)?;
        let room = buffer.get_mut(at..end + self.mki.len())?;
        room.copy_within(..trailer, self.mki.len());
        room[..self.mki.len()].copy_from_slice(&self.mki);
        Some(end + self.mki.len())
    }

    /// Takes the key identifier out again; `None` when it is not ours.
    fn remove_mki(&self, packet: &mut [u8], trailer: usize) -> Option<usize> {
        if self.mki.is_empty() {
            return Some(packet.len());
        }
        let at = packet.len().checked_sub(trailer + self.mki.len())?;
        let rest = packet.get_mut(at..)?;
        if !rest.starts_with(&self.mki) {
            return None;
        }
        rest.copy_within(self.mki.len().., 0);
        Some(packet.len() - self.mki.len())
    }
}

/// Where the part of an RTP packet begins that is encrypted: extensions stay plain (RFC 3711 §3.1).
fn clear_part(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let mut start = crate::rtp::HEADER_LEN + usize::from(first & 0x0f) * 4;
    if first & 0x10 != 0 {
        let extension: &[u8; 4] = packet.get(start..)?.first_chunk()?;
        start += 4 + usize::from(u16::from_be_bytes([extension[2], extension[3]])) * 4;
    }
    (start <= packet.len()).then_some(start)
}

fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    packet.get(4..RTCP_CLEAR)?.first_chunk().map(|ssrc| u32::from_be_bytes(*ssrc))
}

#[cfg(test)]
mod tests;
