//! WAV files: PCM of 8, 16, 24 and 32 bits, float, A-law and mu-law in; PCM 16 out.

mod incoming;
mod read;
mod write;

pub use incoming::Incoming;
pub use read::{Format, Info, WavError, decode, info};
pub use write::{HEADER_LEN, Header};
