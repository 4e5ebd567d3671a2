//! Web requests and files from the web (mod_curl, mod_http_cache).

#![deny(unsafe_code)]
