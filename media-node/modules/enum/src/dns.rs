//! Asking name servers for NAPTR records.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ServerOrderingStrategy};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::NAPTR;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::naptr::Naptr;
use super::settings::Settings;

/// No lookup takes longer, whatever the settings multiply to.
const DEADLINE: Duration = Duration::from_secs(30);
/// Records of one name looked at.
const MAX_RECORDS: usize = 64;

/// The records of a name that can be read, in no order. Without servers, those of the machine are asked.
pub(super) async fn ask(name: &str, servers: &[SocketAddr], settings: &Settings) -> Vec<Naptr> {
    let resolver = match resolver(servers, settings) {
        Ok(resolver) => resolver,
        Err(error) => {
            tracing::error!("ENUM: there is no name server to ask: {error}");
            return Vec::new();
        }
    };
    // The machine may be set up with as many servers as its own resolver uses.
    let asked = if servers.is_empty() { 3 } else { servers.len() };
    let tries = u32::try_from(settings.tries * asked).unwrap_or(1);
    let patience = settings.timeout.saturating_mul(tries).min(DEADLINE);
    // A final dot keeps search domains out of it.
    let question = format!("{}.", name.trim_end_matches('.'));
    let answer = tokio::time::timeout(patience, resolver.lookup(question, RecordType::NAPTR)).await;
    let found = match answer {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::debug!("ENUM: nothing is known of {name}: {error}");
            return Vec::new();
        }
        Err(_) => {
            tracing::warn!("ENUM: no answer for {name} within {patience:?}");
            return Vec::new();
        }
    };
    let all = found.answers().iter().filter_map(|record| match &record.data {
        RData::NAPTR(naptr) => Some(naptr),
        _ => None,
    });
    if all.clone().count() > MAX_RECORDS {
        tracing::warn!("ENUM: {name} has more than {MAX_RECORDS} records, the rest is left out");
    }
    all.take(MAX_RECORDS).filter_map(|naptr| read(naptr, name)).collect()
}

fn resolver(servers: &[SocketAddr], settings: &Settings) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let known = servers.iter().map(|server| {
            let mut one = NameServerConfig::udp_and_tcp(server.ip());
            for connection in &mut one.connections {
                connection.port = server.port();
            }
            one
        });
        let mut known: Vec<_> = known.collect();
        if settings.random {
            shuffle(&mut known);
        }
        let config = ResolverConfig::from_parts(None, Vec::new(), known);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = settings.timeout;
    options.attempts = settings.tries;
    options.num_concurrent_reqs = 1;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    builder.build()
}

fn shuffle<T>(list: &mut [T]) {
    for last in (1..list.len()).rev() {
        let drawn = getrandom::u32().ok().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        list.swap(last, drawn % (last + 1));
    }
}

/// A record's texts; those that are none, or empty, offer nothing.
fn read(naptr: &NAPTR, name: &str) -> Option<Naptr> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(ToOwned::to_owned);
    let (Some(service), Some(regexp)) = (text(&naptr.services), text(&naptr.regexp)) else {
        tracing::warn!("ENUM: a record of {name} is of no use: it is no text");
        return None;
    };
    let printable = service.chars().all(|c| c.is_ascii_graphic());
    if !printable {
        tracing::warn!("ENUM: a record of {name} is of no use: its service has odd characters");
    }
    // Without a rule a record points to another name, which is not followed (reference behaviour).
    let offers = printable && !service.is_empty() && !regexp.is_empty();
    offers.then_some(Naptr { order: naptr.order, preference: naptr.preference, service, regexp })
}
