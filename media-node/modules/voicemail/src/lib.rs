//! Messages left and heard (mod_voicemail).

#![deny(unsafe_code)]
