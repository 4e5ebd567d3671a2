//! JSON-RPC calls of browsers (mod_verto).

#![deny(unsafe_code)]
