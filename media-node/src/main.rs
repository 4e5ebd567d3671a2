//! `ferroswitch`, the switch.

fn main() {}
