//! Listeners of a profile: who is let in, and how many.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use switch_core::switch::Switch;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::connection;
use crate::profile::Profile;
use crate::settings::Bind;

/// After an accept failed for want of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

type Bound = (Arc<Profile>, Vec<(usize, TcpListener)>);

/// How long listeners may take to end.
const ENDING: Duration = Duration::from_secs(2);

/// Listeners that do not accept yet, and those that do.
#[derive(Default)]
pub(crate) struct Waiting {
    bound: Mutex<Vec<Bound>>,
    accepting: Mutex<Vec<JoinHandle<()>>>,
}

impl Waiting {
    pub(crate) fn put(&self, bound: Vec<Bound>) {
        *self.bound.lock() = bound;
    }

    /// Waits until the ports are free again: a module that is loaded anew binds them at once.
    pub(crate) async fn ended(&self) {
        self.bound.lock().clear();
        let accepting = std::mem::take(&mut *self.accepting.lock());
        for task in accepting {
            let _late = tokio::time::timeout(ENDING, task).await;
        }
    }
}

/// Binds the listeners of a profile. One that is taken is said in the log; the others work.
pub(crate) async fn bind(profile: &Arc<Profile>) -> Vec<(usize, TcpListener)> {
    let mut bound = Vec::new();
    for (index, bind) in profile.settings.binds.iter().enumerate() {
        match TcpListener::bind(bind.address).await {
            Ok(listener) => {
                if let Some(listens) = profile.listening.write().get_mut(index) {
                    *listens = true;
                }
                bound.push((index, listener));
            }
            Err(error) => {
                tracing::error!("{}: {}: Bind Error! {error}", profile.name(), bind.url())
            }
        }
    }
    if bound.is_empty() {
        tracing::error!("{} Client Socket Error! No Listeners!", profile.name());
    }
    bound
}

/// Begins to accept once the switch serves.
pub(crate) fn start(switch: &Arc<Switch>) {
    let slot = switch.module::<Waiting>();
    let waiting = std::mem::take(&mut *slot.bound.lock());
    for (profile, listeners) in waiting {
        let asking = Arc::clone(&profile);
        tokio::spawn(async move { asking.ask_for_external_address().await });
        for (index, listener) in listeners {
            let Some(bind) = profile.settings.binds.get(index).cloned() else { continue };
            let (profile, serving) = (Arc::clone(&profile), switch.serving.when());
            let switch = Arc::downgrade(switch);
            let task = tokio::spawn(accept(switch, profile, bind, listener, serving));
            slot.accepting.lock().push(task);
        }
    }
}

async fn accept(
    switch: Weak<Switch>,
    profile: Arc<Profile>,
    bind: Bind,
    listener: TcpListener,
    mut serving: tokio::sync::watch::Receiver<bool>,
) {
    let mut stopped = profile.stopped.subscribe();
    tokio::select! {
        () = is_true(&mut serving) => {}
        () = is_true(&mut stopped) => return,
    }
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = is_true(&mut stopped) => return,
        };
        let Some(switch) = switch.upgrade() else { return };
        match accepted {
            Ok((socket, from)) => take(&switch, &profile, &bind, socket, from),
            Err(error) => {
                tracing::warn!("{}: ACCEPT FAILED: {error}", profile.name());
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Resolves when the value is true, or can no longer become so.
async fn is_true(value: &mut tokio::sync::watch::Receiver<bool>) {
    let _sender_gone = value.wait_for(|value| *value).await.is_err();
}

fn take(
    switch: &Arc<Switch>,
    profile: &Arc<Profile>,
    bind: &Bind,
    socket: TcpStream,
    from: SocketAddr,
) {
    let ip = from.ip().to_canonical();
    let from = SocketAddr::new(ip, from.port());
    let refused_by =
        profile.settings.connection_acls.iter().find(|list| !switch.acl_allows(list, ip));
    if let Some(list) = refused_by {
        tracing::debug!("Client Connect from {from} refused by ACL {list}");
        return;
    }
    if !has_room(profile, ip) {
        tracing::debug!("Client Connect from {from} refused: too many");
        return;
    }
    let tls = match (bind.secure, profile.tls.load_full()) {
        (true, Some(tls)) => Some(tls.acceptor()),
        (true, None) => return,
        (false, _) => None,
    };
    connection::start(switch, profile, socket, from, tls);
}

/// Is there room for one more client of that address?
fn has_room(profile: &Profile, ip: IpAddr) -> bool {
    let limits = &profile.settings.limits;
    let clients = profile.clients.read();
    if clients.len() >= limits.connections {
        return false;
    }
    let strangers = clients
        .iter()
        .filter(|client| client.address.ip() == ip && !client.with(|state| state.authed));
    strangers.count() < limits.strangers
}
