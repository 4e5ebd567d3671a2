//! An Event Socket server in front of a switch that exists only in memory: for trying clients.
//!
//!     cargo run -p esl-server --example fake_switch -- 127.0.0.1:8021 ClueCon
#[path = "../tests/support/mod.rs"]
mod support;

use esl_server::server::{Listener, ServerConfig};
use support::FakeSwitch;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().unwrap_or_else(|| "127.0.0.1:8021".into()).parse()?;
    let password = args.next().unwrap_or_else(|| "ClueCon".into());
    let listener =
        Listener::bind(ServerConfig { listen, password, ..ServerConfig::default() }).await?;
    println!("listening on {}", listener.local_addr()?);
    let server = listener.serve(FakeSwitch::new());
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
