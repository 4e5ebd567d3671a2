//! Recognition of speech: `detect_speech` and `play_and_detect_speech`, and transcripts of calls (`uuid_transcribe` and its
//! kin). Engines are servers: [`engine`] says which there are; each is a dialect of the streams, or asked by HTTP.

pub(crate) mod apps;
pub(crate) mod detect;
pub(crate) mod engine;
mod grammar;
mod http;
mod result;
pub(crate) mod settings;
pub(crate) mod transcribe;
pub(crate) mod transcript;
mod turn;
