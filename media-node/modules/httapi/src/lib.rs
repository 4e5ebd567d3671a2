//! Calls told by a web server (mod_httapi).

#![deny(unsafe_code)]
