//! Names to addresses, off the stack's task.

use std::net::SocketAddr;
use std::time::Duration;

use super::config::{Resolve, ResolveFuture};
use crate::transport::Transport;

/// A call must not hang on a dead name server longer than a caller would listen to silence.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// Lookups under way at once; one more fails like a name without address.
pub(super) const MAX_LOOKUPS: usize = 256;

/// The system's resolver: A and AAAA of the host.
#[derive(Debug)]
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(
        &self,
        host: String,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> ResolveFuture {
        Box::pin(async move {
            let transport = transport.unwrap_or(Transport::Udp);
            let port = port.unwrap_or(transport.default_port());
            let found = tokio::net::lookup_host((host.as_str(), port)).await?;
            Ok(found.map(|addr: SocketAddr| (transport, addr)).collect())
        })
    }
}
