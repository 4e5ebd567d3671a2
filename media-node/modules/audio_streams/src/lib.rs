//! Audio of calls to and from programs (mod_audio_fork, mod_audio_stream).

#![deny(unsafe_code)]
