//! Queues, agents and tiers (mod_callcenter).

#![deny(unsafe_code)]
