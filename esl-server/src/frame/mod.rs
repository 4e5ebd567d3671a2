//! Framing in both directions, without IO: bytes in, packets or messages out.
//!
//! A client sends [`Packet`]s, a server sends [`Message`]s. Both decoders take bytes split at any
//! point, never panic on any input and never reserve memory by a claimed length.

mod lines;
mod message;
mod packet;

pub use message::{Decoder, Message};
pub use packet::{Packet, PacketDecoder};

/// Longest header block, in bytes. A client's is processed as it stands when it gets longer; the
/// reference has the same limit.
pub const MAX_BLOCK: usize = 10_485_760;

/// Longest body of a client's packet, in bytes.
pub const MAX_PACKET_BODY: usize = 10_485_760;

/// Longest packet, body included, before the client has logged in. A login fits many times over.
pub const MAX_UNAUTHENTICATED: usize = 4096;

/// Longest body of a server's message, in bytes: `show calls` of a large switch is some megabytes.
pub const MAX_MESSAGE_BODY: usize = 268_435_456;

/// Why a stream cannot be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header block is longer than allowed.
    #[error("header block of more than {limit} bytes")]
    BlockTooLong {
        /// The limit in force.
        limit: usize,
    },
    /// `Content-Length` announces more than allowed.
    #[error("Content-Length {announced} is over the limit of {limit}")]
    BodyTooLong {
        /// What was announced.
        announced: u64,
        /// The limit in force.
        limit: usize,
    },
}
