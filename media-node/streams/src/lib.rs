//! What the bytes of a connection are wrapped in before a protocol sees them: TLS, WebSocket, and what a proxy in front of
//! us says about the client.
//!
//! Parsing does no input or output of its own: bytes go into a buffer, items come out.

pub mod client;
pub mod http;
pub mod proxied;
pub mod tls;
pub mod websocket;
