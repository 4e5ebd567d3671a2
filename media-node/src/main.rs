//! `ferroswitch`, the switch.

use std::process::ExitCode;

fn main() -> ExitCode {
    media_node::boot::main(media_node::run)
}
