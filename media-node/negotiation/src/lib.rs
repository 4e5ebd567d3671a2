//! Offer and answer (RFC 3264): parsed descriptions and settings in, a media plan and our description out. No SIP, no
//! sockets, no clock.
//!
//! # How a leg uses it
//!
//! 1. It fills a [`Local`]: codecs and settings, and for each line a [`LocalStream`] with the ports it has bound. With
//!    DTLS and ICE it adds an [`Identity`] (digests of the certificate) and a [`LocalIce`] per line.
//! 2. It calls: [`offer`] writes our offer and [`negotiate`] reads the answer. It is called: [`negotiate`] makes a
//!    [`Plan`] of the offer (nothing need be bound yet), and [`answer`] writes the answer to it.
//! 3. It carries the plan out. Each line taken has a [`Transport`]:
//!    - [`Transport::secure`] says how packets are protected: not at all, with the keys of an `a=crypto` pair, or with
//!      those of a DTLS handshake ([`Dtls`]: our role, and the digests the peer's certificate must have one of);
//!    - [`Transport::ice`] holds both sides' credentials, the candidates that may be used, whether more may come
//!      ([`Ice::complete`]), whether the peer is lite and which role we begin in. Without it `remote` is where packets go;
//!    - [`Transport::rtcp_mux`] says whether RTCP shares the port.
//!
//!    A later plan with other [`Ice::theirs`] is an ICE restart; with other fingerprints, a new handshake.
//! 4. It puts the description on the wire as [`as_sent`] has it (an [`Answer`] has both forms), and shows the other.
//!
//! What differs from the RFCs does so because the reference does; the recordings of it are this crate's tests.

#![forbid(unsafe_code)]

mod answer;
mod choice;
mod codecs;
mod fmtp;
mod jitter;
mod lines;
mod listed;
mod local;
mod offer;
mod plan;
mod rooms;
mod secure;
mod security;
mod video;
mod wire;

#[cfg(test)]
mod tests;

pub use answer::{Answer, answer};
pub use choice::{Choice, Mode};
pub use codecs::{CodecInfo, CodecPref, parse_codec_list};
pub use fmtp::OpusWishes;
pub use jitter::jitter_buffer;
pub use listed::{audio_codecs, common_codecs, known_codec, offered_choices, video_codecs};
pub use local::{Before, CandidateFilter, FurtherStream, Local};
pub use offer::offer;
pub use plan::{AudioPlan, FaxPlan, NegotiationError, Plan, TextPlan, fax_line, negotiate};
pub use rooms::{RoomVideo, Simulcast, VideoExtras};
pub use secure::{Dtls, DtlsRole, Ice, Identity, LocalIce, LocalStream, Secure, Transport};
pub use security::{CryptoPair, Security, SecurityRule};
pub use video::{Feedback, VideoPlan, video_codec};
pub use wire::{as_sent, into_sent};
