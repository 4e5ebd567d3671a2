//! Listeners of a profile: who is let in, and how many.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use switch_core::switch::Switch;
use tokio::net::{TcpListener, TcpStream};

use crate::connection;
use crate::profile::Profile;
use crate::settings::Bind;

/// After an accept failed for want of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

type Bound = (Arc<Profile>, Vec<(usize, TcpListener)>);

/// Bound, and not yet accepting.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<Vec<Bound>>);

impl Waiting {
    pub(crate) fn put(&self, bound: Vec<Bound>) {
        *self.0.lock() = bound;
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
    let waiting = std::mem::take(&mut *switch.module::<Waiting>().0.lock());
    for (profile, listeners) in waiting {
        let asking = Arc::clone(&profile);
        tokio::spawn(async move { asking.ask_for_external_address().await });
        for (index, listener) in listeners {
            let Some(bind) = profile.settings.binds.get(index).cloned() else { continue };
            let (profile, serving) = (Arc::clone(&profile), switch.serving.when());
            let switch = Arc::downgrade(switch);
            tokio::spawn(accept(switch, profile, bind, listener, serving));
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
    if serving.wait_for(|serving| *serving).await.is_err() {
        return;
    }
    while !profile.stopped.load(Ordering::Relaxed) {
        // A profile that stops has to notice without a client that connects.
        let accepted = tokio::time::timeout(Duration::from_millis(500), listener.accept()).await;
        let Some(switch) = switch.upgrade() else { return };
        match accepted {
            Err(_) => {}
            Ok(Ok((socket, from))) => take(&switch, &profile, &bind, socket, from),
            Ok(Err(error)) => {
                tracing::warn!("{}: ACCEPT FAILED: {error}", profile.name());
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
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
