//! `ferroswitch`, the switch.

use std::process::ExitCode;

use media_node::boot::{self, Context, Fatal, Request};

fn main() -> ExitCode {
    boot::main(run)
}

/// Stands in for the switch: is ready at once and waits for the end.
async fn run(mut ctx: Context) -> Result<(), Fatal> {
    ctx.ready.announce();
    loop {
        match ctx.signals.next().await {
            Request::Hangup => ctx.log.hangup(),
            Request::Terminate | Request::Interrupt => return Ok(()),
        }
    }
}
