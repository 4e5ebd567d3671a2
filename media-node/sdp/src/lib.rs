//! Session descriptions (RFC 8866) as values.
//!
//! [`SessionDescription::parse`] reads a text once; from then on the description is handed on, looked into and changed
//! as a value, and printed only where it goes on the wire or is shown. Reading is as tolerant as the reference's
//! library: bare LF, unknown lines and attributes, missing `rtpmap` of static payload types. It is bounded: in bytes,
//! lines and media. What cannot be read is named with its line.
//!
//! This crate knows the text of attributes ([`RtpMap`], [`CryptoLine`], [`Candidate`], [`Fingerprint`], [`T38Options`]),
//! not what two sides agree on: that is `negotiation`'s.

#![forbid(unsafe_code)]

mod crypto;
mod description;
mod direction;
mod dtls;
mod ice;
mod rtp;
mod t38;

pub use crypto::{CryptoLine, crypto_lines};
pub use description::{
    Attribute, Connection, MediaLine, Origin, SdpError, SessionDescription, Unreadable,
};
pub use direction::MediaDirection;
pub use dtls::{Fingerprint, Setup};
pub use ice::{Candidate, CandidateKind, Credentials, MAX_CANDIDATES, candidates};
pub use rtp::{RtpMap, static_codec, static_payload_type};
pub use t38::T38Options;
