//! The Event Socket.
