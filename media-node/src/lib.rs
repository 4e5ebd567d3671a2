//! The switch.

pub mod boot;
