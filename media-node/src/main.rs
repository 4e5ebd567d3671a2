//! `ferroswitch`, the switch.

use std::process::ExitCode;

fn main() -> ExitCode {
    boot::main(media_node::run, media_node::offline::run)
}
