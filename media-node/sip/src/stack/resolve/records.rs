//! Records from name servers.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::locate::{Naptr, Records, Srv};
use crate::transport::Transport;

/// One question may take so long. The answer, or its absence, is remembered by the resolver.
const PATIENCE: Duration = Duration::from_secs(2);
/// Where the machine's name servers are written.
const SETTINGS: &str = "/etc/resolv.conf";

/// Name servers, the machine's or one of our own choice.
pub(super) struct SystemRecords {
    server: Option<SocketAddr>,
    /// With the time its settings were written, to notice when they change.
    resolver: Mutex<Option<(Option<SystemTime>, TokioResolver)>>,
}

impl SystemRecords {
    pub(super) fn new(server: Option<SocketAddr>) -> Self {
        Self { server, resolver: Mutex::new(None) }
    }

    /// The resolver, made anew when the machine's settings have changed. `None` without settings.
    fn resolver(&self) -> Option<TokioResolver> {
        let written = match self.server {
            Some(_) => None,
            None => std::fs::metadata(SETTINGS).and_then(|file| file.modified()).ok(),
        };
        let mut kept = self.resolver.lock().ok()?;
        if let Some((of, resolver)) = &*kept
            && *of == written
        {
            return Some(resolver.clone());
        }
        let resolver = self.build()?;
        *kept = Some((written, resolver.clone()));
        Some(resolver)
    }

    fn build(&self) -> Option<TokioResolver> {
        let mut builder = match self.server {
            Some(server) => {
                let mut by_udp = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut by_udp.connections {
                    connection.port = server.port();
                }
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![by_udp]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
            None => TokioResolver::builder_tokio().ok()?,
        };
        let options = builder.options_mut();
        options.timeout = PATIENCE / 2;
        options.attempts = 1;
        builder.build().ok()
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Vec<RData> {
        let Some(resolver) = self.resolver() else { return Vec::new() };
        // A final dot keeps search domains out of it.
        let name = format!("{}.", name.trim_end_matches('.'));
        match tokio::time::timeout(PATIENCE, resolver.lookup(name, kind)).await {
            Ok(Ok(found)) => found.answers().iter().map(|record| record.data.clone()).collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }
}

impl Records for SystemRecords {
    fn naptr<'a>(
        &'a self,
        domain: &'a str,
    ) -> std::pin::Pin<Box<dyn Future<Output = Vec<Naptr>> + Send + 'a>> {
        Box::pin(async move {
            let found = self.ask(domain, RecordType::NAPTR).await;
            found.into_iter().filter_map(sip_service).collect()
        })
    }

    fn srv<'a>(
        &'a self,
        name: &'a str,
    ) -> std::pin::Pin<Box<dyn Future<Output = Vec<Srv>> + Send + 'a>> {
        Box::pin(async move {
            let found = self.ask(name, RecordType::SRV).await;
            let servers = found.into_iter().filter_map(|data| match data {
                RData::SRV(srv) => Some(Srv {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: srv.target.to_ascii(),
                }),
                _ => None,
            });
            servers.collect()
        })
    }

    fn addresses<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> std::pin::Pin<Box<dyn Future<Output = Vec<SocketAddr>> + Send + 'a>> {
        Box::pin(async move {
            let host = host.trim_end_matches('.');
            match self.server {
                // The one server answers for everything.
                Some(_) => {
                    let (v4, v6) = futures_util::future::join(
                        self.ask(host, RecordType::A),
                        self.ask(host, RecordType::AAAA),
                    )
                    .await;
                    let ip = |data: RData| data.ip_addr();
                    let all = v4.into_iter().chain(v6).filter_map(ip);
                    all.map(|ip| SocketAddr::new(ip, port)).collect()
                }
                None => match tokio::net::lookup_host((host, port)).await {
                    Ok(found) => found.collect(),
                    Err(_) => Vec::new(),
                },
            }
        })
    }
}

/// What a NAPTR record says of SIP; `None` when it speaks of something else.
fn sip_service(data: RData) -> Option<Naptr> {
    let RData::NAPTR(naptr) = data else { return None };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_uppercase();
    let transport = match text(&naptr.services).as_str() {
        "SIP+D2U" => Transport::Udp,
        "SIP+D2T" => Transport::Tcp,
        "SIPS+D2T" => Transport::Tls,
        _ => return None,
    };
    (text(&naptr.flags) == "S").then(|| Naptr {
        order: naptr.order,
        preference: naptr.preference,
        transport,
        replacement: naptr.replacement.to_ascii(),
    })
}
