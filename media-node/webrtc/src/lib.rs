//! What makes an RTP leg reachable for browsers: connectivity checks (ICE, RFC 8445) and key agreement (DTLS-SRTP,
//! RFC 5764).
//!
//! - [`ice`]: which pair of addresses works;
//! - [`dtls`]: the handshake behind [`dtls::DtlsEngine`], certificates and fingerprints;
//! - [`link`]: both of one leg together. Neither a socket nor a clock is in these three: datagrams and the time go in,
//!   datagrams and events come out;
//! - [`driver`]: the task that gives a link its leg's datagrams and the time.

#![forbid(unsafe_code)]

pub mod driver;
pub mod dtls;
pub mod ice;
pub mod link;
pub mod turn;
