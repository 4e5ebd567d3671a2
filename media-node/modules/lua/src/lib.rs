//! Scripts in Lua (mod_lua).

#![deny(unsafe_code)]
