//! Addresses: `acl`, `reloadacl`, `host_lookup`, `is_lan_addr`, `interface_ip`, `stun`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::reading::Reading;

use super::{Api, ApiCall, usage};
use crate::switch::Switch;
use crate::{api, config, stun};

/// The family.
pub const APIS: &[Api] = &[
    api!("acl", "mod_commands", "<ip> <list | net>", "Compare an ip to an acl list", acl),
    api!("gethost", "mod_commands", "<hostname>", "gethostbyname", async host_lookup),
    api!("host_lookup", "mod_commands", "<hostname>", "Lookup host", async host_lookup),
    api!(
        "interface_ip",
        "mod_commands",
        INTERFACE_IP,
        "Return the primary IP of an interface",
        interface_ip
    ),
    api!("is_lan_addr", "mod_commands", "<ip>", "See if an ip is a lan addr", text is_lan_addr),
    api!("reloadacl", "mod_commands", "[reloadxml]", "Reload XML", async reloadacl),
    api!(
        "stun",
        "mod_commands",
        "<stun_server>[:port] [<source_ip>[:<source_port]]",
        "Execute STUN lookup",
        async stun
    ),
];

const INTERFACE_IP: &str = "[auto|ipv4|ipv6] <ifname>";

fn acl(call: &ApiCall) -> String {
    let words = call.words(2);
    let allowed = match (words.first().and_then(|ip| ip.parse().ok()), words.get(1)) {
        (Some(ip), Some(list)) => call.switch.acl_allows(list, ip),
        _ => false,
    };
    allowed.to_string()
}

async fn reloadacl(call: ApiCall) -> String {
    let note = if call.args.trim().eq_ignore_ascii_case("reloadxml") {
        "This option is deprecated, we now always reloadxml.\n"
    } else {
        ""
    };
    let config::Reloaded { status, serves: loaded, .. } = reload(&call).await;
    if loaded {
        config::reload_acl(&call.switch).await;
    }
    if loaded { format!("{note}+OK acl reloaded\n") } else { format!("{note}-ERR [{status}]\n") }
}

/// Reads the configuration anew.
pub(super) async fn reload(call: &ApiCall) -> config::Reloaded {
    let reloaded = config::reload(&call.switch).await;
    let counts = call.switch.module::<Reloads>();
    let count = if reloaded.serves { &counts.done } else { &counts.failed };
    count.fetch_add(1, Ordering::Relaxed);
    reloaded
}

/// Reloads of the configuration since the start.
#[derive(Default)]
struct Reloads {
    done: AtomicU64,
    failed: AtomicU64,
}

/// What the metrics page shows of them.
pub(crate) fn readings(switch: &Arc<Switch>) -> Vec<Reading> {
    let counts = switch.module::<Reloads>();
    [("done", &counts.done), ("failed", &counts.failed)]
        .map(|(result, count)| {
            let help = "Reloads of the configuration by commands.";
            Reading::counter("config_reloads_total", help, count.load(Ordering::Relaxed))
                .of("result", result)
        })
        .into()
}

async fn host_lookup(call: ApiCall) -> String {
    let host = call.args.trim();
    if host.is_empty() {
        return "parameter missing\n".into();
    }
    let found = tokio::net::lookup_host((host, 0)).await.ok();
    let found: Vec<IpAddr> = found.into_iter().flatten().map(|address| address.ip()).collect();
    let first = found.iter().find(|ip| ip.is_ipv4()).or_else(|| found.first());
    first.map_or_else(|| "!err!".into(), ToString::to_string)
}

fn is_lan_addr(args: &str) -> String {
    args.trim().parse().is_ok_and(lan).to_string()
}

/// The addresses the reference takes for local ones.
fn lan(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            matches!(a, 0 | 1 | 2 | 10 | 127 | 255)
                || (a == 172 && (16..32).contains(&b))
                || (a == 192 && b == 168)
                || (a == 192 && b == 0 && c == 2)
                || (a == 169 && b == 254)
        }
        IpAddr::V6(_) => false,
    }
}

fn interface_ip(call: &ApiCall) -> String {
    let words = call.words(2);
    let (Some(family), Some(name)) = (words.first(), words.get(1)) else {
        return usage(INTERFACE_IP);
    };
    base::machine::address_of(family, name).map(|ip| ip.to_string()).unwrap_or_default()
}

async fn stun(call: ApiCall) -> String {
    let words = call.words(2);
    let Some(server) = words.first() else { return "-STUN Failed! NO STUN SERVER\n".into() };
    let source = match words.get(1) {
        None => Some(SocketAddr::new(own_address(&call), 0)),
        Some(text) => text
            .parse::<SocketAddr>()
            .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)))
            .ok(),
    };
    let Some(source) = source else { return "-STUN Failed! [bad source address]\n".into() };
    match stun::public_address(server, source).await {
        Ok(found) => format!("{}:{}\n", found.ip(), found.port()),
        Err(problem) => format!("-STUN Failed! [{problem}]\n"),
    }
}

fn own_address(call: &ApiCall) -> IpAddr {
    let known = call.switch.global("local_ip_v4").and_then(|text| text.parse().ok());
    known.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_networks_are_told_from_others() {
        let lan = |text: &str| text.parse().is_ok_and(lan);
        assert!(
            lan("10.0.0.1")
                && lan("172.31.9.9")
                && lan("192.168.1.1")
                && lan("127.0.0.1")
                && lan("169.254.0.1")
        );
        assert!(!lan("8.8.8.8") && !lan("172.32.0.1") && !lan("not-an-ip") && !lan("192.169.0.1"));
    }
}
