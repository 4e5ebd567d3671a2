//! Speech made and recognised (mod_tts_commandline, mod_flite).

#![deny(unsafe_code)]
