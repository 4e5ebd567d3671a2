//! Dialling by name (mod_directory).

#![deny(unsafe_code)]
