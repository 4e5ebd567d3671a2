//! Names to addresses, off the stack's task: NAPTR, SRV, A and AAAA (RFC 3263).

mod locate;
mod records;

use std::sync::Arc;
use std::time::Duration;

use super::config::{Resolve, ResolveFuture};
use crate::transport::Transport;

pub(crate) use locate::Records;
use records::SystemRecords;

/// A call must not hang on a dead name server longer than a caller would listen to silence.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// Lookups under way at once; one more fails like a name without address.
pub(super) const MAX_LOOKUPS: usize = 256;

/// Which records are asked for (`disable-naptr`, `disable-srv`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsOptions {
    /// Ask a domain which transports it has.
    pub naptr: bool,
    /// Ask for the servers of a domain and transport.
    pub srv: bool,
}

impl Default for DnsOptions {
    fn default() -> Self {
        Self { naptr: true, srv: true }
    }
}

/// Finds servers by the domain name system: NAPTR and SRV of the name servers the machine is set up with, addresses
/// by the machine's own means (`/etc/hosts` included).
pub struct DnsResolver {
    records: Arc<dyn Records>,
    options: DnsOptions,
}

impl DnsResolver {
    /// With the machine's name servers.
    pub fn new(options: DnsOptions) -> Self {
        Self { records: Arc::new(SystemRecords::new(None)), options }
    }

    /// With one name server of our own choice.
    pub fn with_server(options: DnsOptions, server: std::net::SocketAddr) -> Self {
        Self { records: Arc::new(SystemRecords::new(Some(server))), options }
    }
}

impl std::fmt::Debug for DnsResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DnsResolver").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Resolve for DnsResolver {
    fn resolve(
        &self,
        host: String,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> ResolveFuture {
        let (records, options) = (Arc::clone(&self.records), self.options);
        Box::pin(
            async move { Ok(locate::locate(&*records, options, &host, port, transport).await) },
        )
    }
}
