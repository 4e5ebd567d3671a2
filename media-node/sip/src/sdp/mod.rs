//! Session descriptions (RFC 8866) and offer/answer (RFC 3264) for audio calls.

mod codecs;
mod crypto;
mod description;
mod fmtp;
mod negotiate;

pub use codecs::{CodecPref, parse_codec_list, static_codec};
pub use crypto::{CryptoLine, CryptoPair, Security, SecurityRule, crypto_lines};
pub use description::{
    Attribute, Connection, MediaLine, Origin, RtpMap, SdpError, SessionDescription,
};
pub use negotiate::{
    Choice, LocalAudio, MediaDirection, Mode, NegotiatedAudio, NegotiationError, agree,
    answer_audio, offer_audio,
};
