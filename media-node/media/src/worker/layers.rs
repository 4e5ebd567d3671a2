//! What lies between a leg's sockets and everything else: how packets reach the peer, and what keeps them secret and
//! genuine. Relaying, transcoding, mixing and recording know neither.

use std::net::SocketAddr;

use crate::latch::{Latch, Verdict};
use crate::rtp::Kind;
use crate::srtp::Srtp;

/// How packets reach the peer.
#[derive(Debug)]
pub(crate) enum Path {
    /// By the negotiated address, and what comes from there.
    Fixed(Latch),
    /// By connectivity checks, which are made outside; `None` until one pair of addresses has proved to work.
    Checked(Option<SocketAddr>),
}

impl Path {
    /// The peer's address as known now.
    #[inline]
    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        match self {
            Self::Fixed(latch) => latch.remote(),
            Self::Checked(remote) => *remote,
        }
    }

    /// Where to send.
    #[inline]
    pub(crate) fn destination(&self, now_ms: u64) -> Option<SocketAddr> {
        match self {
            Self::Fixed(latch) => latch.destination(now_ms),
            Self::Checked(remote) => *remote,
        }
    }

    /// Judges where a packet comes from; `genuine` = it is proved to be the peer's, wherever that is.
    #[inline]
    pub(crate) fn judge(&mut self, from: SocketAddr, now_ms: u64, genuine: bool) -> Verdict {
        match self {
            Self::Fixed(latch) => latch.judge(from, now_ms),
            // The peer may send on any pair that works (RFC 8445 §12.2).
            Self::Checked(Some(remote)) if genuine || remote.ip() == from.ip() => Verdict::Accept,
            Self::Checked(_) => Verdict::Refuse,
        }
    }

    /// See [`Latch::expire`].
    pub(crate) fn expire(&mut self, now_ms: u64) -> Option<SocketAddr> {
        match self {
            Self::Fixed(latch) => latch.expire(now_ms),
            Self::Checked(_) => None,
        }
    }
}

/// What keeps packets secret and genuine.
#[derive(Debug)]
pub(crate) enum Protection {
    /// Nothing.
    None,
    /// Keys that a handshake is to bring; until then nothing is taken and nothing is sent.
    Waiting,
    Srtp(Box<Srtp>),
}

impl Protection {
    /// Whether what was taken is proved to be the peer's.
    #[inline]
    pub(crate) fn proves(&self) -> bool {
        matches!(self, Self::Srtp(_))
    }

    /// Takes the protection off a packet; returns its length then.
    #[inline]
    pub(crate) fn open(&mut self, kind: Kind, packet: &mut [u8]) -> Option<usize> {
        match self {
            Self::None => Some(packet.len()),
            Self::Waiting => None,
            Self::Srtp(srtp) => match kind {
                Kind::Rtp => srtp.open_rtp(packet),
                Kind::Rtcp => srtp.open_rtcp(packet),
                Kind::Stun | Kind::Dtls | Kind::Unknown => None,
            },
        }
    }

    /// Whether a packet may be sent again with another header: not with AEAD, where that gives away the key of the tags.
    pub(crate) fn allows_new_header(&self) -> bool {
        !matches!(self, Self::Srtp(srtp) if srtp.is_aead())
    }

    /// Protects the RTP packet in `buffer[..len]`; returns its new length.
    #[inline]
    pub(crate) fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        match self {
            Self::None => Some(len),
            Self::Waiting => None,
            Self::Srtp(srtp) => srtp.protect_rtp(buffer, len),
        }
    }

    /// Protects the RTCP packet in `buffer[..len]`; returns its new length.
    pub(crate) fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        match self {
            Self::None => Some(len),
            Self::Waiting => None,
            Self::Srtp(srtp) => srtp.protect_rtcp(buffer, len),
        }
    }

    /// Takes keys; counters of a direction whose key stays the same go on. What is no longer needed comes back, to be
    /// dropped elsewhere.
    pub(crate) fn set_keys(&mut self, mut new: Box<Srtp>) -> Option<Box<Srtp>> {
        match self {
            Self::Srtp(old) => {
                old.rekey(&mut new);
                Some(new)
            }
            Self::None | Self::Waiting => {
                *self = Self::Srtp(new);
                None
            }
        }
    }

    /// Takes the keys away.
    pub(crate) fn take_keys(&mut self, instead: Self) -> Option<Box<Srtp>> {
        match std::mem::replace(self, instead) {
            Self::Srtp(old) => Some(old),
            Self::None | Self::Waiting => None,
        }
    }
}
