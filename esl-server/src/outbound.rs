//! The outbound side: the `socket` dialplan application, by which a call connects to a program and
//! lets it take over.
//!
//! A synchronous connection *is* the call's task while it lasts: messages run in place. An
//! asynchronous one has a task of its own while the call is parked and runs what is queued for it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::connection::Connection;
use crate::session::{OutboundMode, Session};
use crate::switch::{CallControl, InlineCall, Switch, is_true};

/// Port of a host that names none, unless an earlier host of the list did.
const DEFAULT_PORT: u16 = 8084;
/// Hosts tried; further ones are ignored.
const MAX_HOSTS: usize = 50;
/// Keepalive idle time and interval.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Where to connect and how to talk: `host[:port][/path][|host2...] [async] [full]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketArgs {
    /// Hosts in the order they are tried.
    pub targets: Vec<Target>,
    /// The connection runs beside the parked call instead of inside it.
    pub asynchronous: bool,
    /// The program may use every command.
    pub full: bool,
}

/// One host of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What followed the slash; shown to the program as `variable_socket_path`.
    pub path: Option<String>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl SocketArgs {
    /// Reads the application's argument; `None` when it names no host.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let targets = targets(words.next()?);
        let mut args = Self { targets, asynchronous: false, full: false };
        for word in words {
            args.asynchronous |= word.eq_ignore_ascii_case("async");
            args.full |= word.eq_ignore_ascii_case("full");
        }
        (!args.targets.is_empty()).then_some(args)
    }
}

fn targets(list: &str) -> Vec<Target> {
    // As in the reference, a port once given holds for the hosts after it.
    let mut port = DEFAULT_PORT;
    let hosts = list.split('|').filter(|host| !host.is_empty()).take(MAX_HOSTS);
    hosts
        .filter_map(|item| {
            let (address, path) = item.split_once('/').map_or((item, None), |(a, p)| (a, Some(p)));
            let (host, given) =
                match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                    Some((host, after)) => (host, after.strip_prefix(':')),
                    None => address.rsplit_once(':').map_or((address, None), |(h, p)| (h, Some(p))),
                };
            port = given.and_then(|digits| digits.parse().ok()).unwrap_or(port);
            let path = path.filter(|path| !path.is_empty()).map(str::to_owned);
            (!host.is_empty()).then(|| Target { host: host.to_owned(), port, path })
        })
        .collect()
}

/// Runs the `socket` application for a call, and returns when the dialplan may go on: because no
/// host answered, because the program has gone, or because the call has hung up.
pub async fn run(switch: Arc<dyn Switch>, call: &mut dyn InlineCall, args: &str) {
    let Some(args) = SocketArgs::parse(args) else {
        warn!("socket: no host given");
        return;
    };
    let control = call.control();
    let Some(stream) = connect(&args, control.as_ref()).await else {
        return;
    };
    control.set_controlled(true);
    let foreign = stream.peer_addr().ok().and_then(|peer| base::foreign::is_foreign(peer.ip()));
    let mode = OutboundMode { asynchronous: args.asynchronous, full: args.full };
    let session = Session::outbound(Arc::clone(&switch), Arc::clone(&control), mode);
    let connection = Connection::new(stream, session, switch.shutting_down());
    if mode.asynchronous {
        beside(connection, control, call, foreign).await;
    } else {
        base::foreign::scope(move || foreign, connection.run(Some(call))).await;
        let_go(control.as_ref());
    }
}

/// Tries the hosts in order. A call that hangs up meanwhile ends the search.
async fn connect(args: &SocketArgs, control: &dyn CallControl) -> Option<TcpStream> {
    for target in &args.targets {
        if let Some(path) = &target.path {
            control.setvar("socket_path", Some(path));
        }
        control.setvar("socket_host", Some(&target.host));
        let attempt = tokio::select! {
            attempt = connect_one(target) => attempt,
            () = control.hung_up() => return None,
        };
        match attempt {
            Ok(stream) => {
                debug!("socket: call {} connected to {target}", control.uuid());
                return Some(stream);
            }
            Err(error) => {
                warn!("socket: call {} cannot connect to {target}: {error}", control.uuid())
            }
        }
    }
    None
}

async fn connect_one(target: &Target) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

/// Gives the connection a task of its own and parks the call while it lasts. The call is parked
/// only once the program has said `connect`, so that it sees everything that is queued afterwards.
async fn beside(
    mut connection: Connection,
    control: Arc<dyn CallControl>,
    call: &mut dyn InlineCall,
    foreign: Option<std::net::IpAddr>,
) {
    let (said, mut connected) = watch::channel(false);
    let (ended, mut done) = watch::channel(false);
    connection.announce_connect(said);
    let inherited = base::foreign::who();
    let serve = async move {
        connection.run(None).await;
        let_go(control.as_ref());
        ended.send_replace(true);
    };
    tokio::spawn(base::foreign::scope(move || foreign.or(inherited), serve));
    let ready = tokio::select! {
        // Fails when the connection ends first.
        ready = connected.wait_for(|&yes| yes) => ready.is_ok(),
        () = call.idle() => false,
    };
    if ready {
        call.park(Box::pin(async move {
            let _ = done.wait_for(|&yes| yes).await;
        }))
        .await;
    }
}

/// The connection has ended: the call is its own again. What it runs is broken off first, so that
/// leaving the park finds the call where it was put.
fn let_go(control: &dyn CallControl) {
    if control.getvar("socket_resume").is_some_and(|text| is_true(&text)) {
        control.interrupt();
    }
    control.set_controlled(false);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, port: u16, path: Option<&str>) -> Target {
        Target { host: host.into(), port, path: path.map(Into::into) }
    }

    #[test]
    fn flags_come_in_any_order_and_case() {
        let args = SocketArgs::parse("127.0.0.1:8040 FULL async").unwrap();
        assert!(args.asynchronous && args.full);
        let args = SocketArgs::parse("host").unwrap();
        assert!(!args.asynchronous && !args.full);
        assert_eq!(args.targets, [target("host", 8084, None)]);
        assert_eq!(SocketArgs::parse("  "), None);
        assert_eq!(SocketArgs::parse("| async"), None);
    }

    #[test]
    fn a_port_holds_for_the_hosts_after_it() {
        let args = SocketArgs::parse("a|b:9000/app/x|c/y|[::1]:7 full").unwrap();
        assert_eq!(
            args.targets,
            [
                target("a", 8084, None),
                target("b", 9000, Some("app/x")),
                target("c", 9000, Some("y")),
                target("::1", 7, None)
            ]
        );
    }
}
