//! `limit` for calls: chooses the backend, keeps the variables, announces usage.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use esl_server::event::{Event, EventName};

use base::limits::{Backend as Shared, Backends};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Stores;
use super::limits::{Allowance, Resource, Usage};
use crate::BoxFuture;
use crate::call::transfer::transfer;
use crate::call::{Cause, Channel, Session};
use crate::clock;
use crate::contract::CallObserver;
use crate::switch::Switch;

/// Where usage is kept.
#[derive(Clone)]
pub enum Backend {
    /// In memory.
    Hash,
    /// In the database.
    Db,
    /// Where another module counts.
    Other(Arc<dyn Shared>),
}

impl Backend {
    /// The backend of that name, in any case.
    #[must_use]
    pub fn find(switch: &Switch, name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "hash" => Some(Self::Hash),
            "db" => Some(Self::Db),
            name => switch.module::<Backends>().find(name).map(Self::Other),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Db => "db",
            Self::Other(backend) => backend.name(),
        }
    }
}

/// Releases on their way to where usage is kept, by call. A call that takes something again waits for its own: a transfer
/// gives everything back, and what it leads to may take the same.
#[derive(Default)]
pub struct Releases(Mutex<HashMap<String, (u64, oneshot::Receiver<()>)>>);

impl Releases {
    /// One more for that call; the answer ends it, and tells of the one before.
    fn begin(&self, uuid: &str, turn: u64) -> (oneshot::Sender<()>, Option<oneshot::Receiver<()>>) {
        let (done, over) = oneshot::channel();
        let before = self.0.lock().insert(uuid.to_owned(), (turn, over));
        (done, before.map(|(_, over)| over))
    }

    fn forget(&self, uuid: &str, turn: u64) {
        let mut all = self.0.lock();
        if all.get(uuid).is_some_and(|(last, _)| *last == turn) {
            all.remove(uuid);
        }
    }

    async fn finished(&self, uuid: &str) {
        let pending = self.0.lock().remove(uuid);
        if let Some((_, over)) = pending {
            let _over = over.await;
        }
    }
}

/// Takes a resource for a call; false when there is none left.
///
/// A database that cannot be reached refuses no call: calls matter more than their count.
pub async fn take(
    switch: &Arc<Switch>,
    channel: &Arc<Channel>,
    backend: &Backend,
    resource: &Resource,
    allowed: Allowance,
) -> bool {
    let stores = switch.module::<Stores>();
    channel.set_var("limit_backend", backend.name());
    let taken = match backend {
        Backend::Other(other) => {
            return take_shared(switch, channel, other, resource, allowed).await;
        }
        Backend::Hash => stores.limits.take(resource, channel.uuid(), allowed, clock::now_secs()),
        Backend::Db => take_db(switch, channel, resource, allowed).await,
    };
    let (realm, id) = resource;
    match taken {
        Ok(usage) => {
            tracing::info!(uuid = %channel.uuid(), "Usage for {realm}_{id} is now {}", usage.total);
            announce(switch, backend, resource, &usage, allowed.max);
            channel.set_var("limit_usage", usage.total.to_string());
            channel.set_var(format!("limit_usage_{realm}_{id}"), usage.total.to_string());
            channel.set_var("limit_rate", usage.rate.to_string());
            channel.set_var(format!("limit_rate_{realm}_{id}"), usage.rate.to_string());
            if !channel.is_up() {
                // It hung up meanwhile, and nothing would release the resource.
                release(switch, backend, channel.uuid(), Some(resource));
            }
            true
        }
        Err(usage) => {
            let max = allowed.max.unwrap_or(0);
            let shown = if allowed.interval > 0 { usage.rate } else { usage.total };
            tracing::info!(uuid = %channel.uuid(), "Usage for {realm}_{id} exceeds maximum rate or number: {shown}/{max}");
            false
        }
    }
}

/// Takes a resource where another module counts it.
async fn take_shared(
    switch: &Arc<Switch>,
    channel: &Arc<Channel>,
    backend: &Arc<dyn Shared>,
    resource: &Resource,
    allowed: Allowance,
) -> bool {
    switch.module::<Stores>().limit_releases.finished(channel.uuid()).await;
    let (realm, id) = resource;
    let outcome = backend.take(channel.uuid(), realm, id, allowed).await;
    for (name, value) in outcome.variables {
        channel.set_var(name, value);
    }
    if outcome.granted && !channel.is_up() {
        release(switch, &Backend::Other(Arc::clone(backend)), channel.uuid(), Some(resource));
    }
    outcome.granted
}

async fn take_db(
    switch: &Arc<Switch>,
    channel: &Arc<Channel>,
    resource: &Resource,
    allowed: Allowance,
) -> Result<Usage, Usage> {
    let hostname = switch.global("hostname").unwrap_or_default();
    let stores = switch.module::<Stores>();
    stores.limit_releases.finished(channel.uuid()).await;
    let attempt = async {
        let open = stores.db.open(&switch.dirs.db_dir, &hostname).await?;
        open.limit_take(&resource.0, &resource.1, channel.uuid(), allowed.max).await
    };
    match attempt.await {
        Ok((total, taken)) => {
            let usage = Usage { total, ..Usage::default() };
            if taken { Ok(usage) } else { Err(usage) }
        }
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "limit: {error}");
            Ok(Usage::default())
        }
    }
}

/// Gives back what calls hold when they are transferred or over.
pub struct Observer;

impl CallObserver for Observer {
    fn transferred(&self, channel: &Arc<Channel>) {
        if !channel.is_true("limit_ignore_transfer") {
            release_everything(channel.switch(), channel.uuid());
        }
    }

    fn hung_up<'a>(&'a self, session: &'a mut Session) -> BoxFuture<'a, ()> {
        release_everything(session.switch(), session.channel().uuid());
        Box::pin(std::future::ready(()))
    }

    fn gone(&self, channel: &Channel) {
        // Already done in CS_HANGUP, unless the call's task ended before it came there.
        let switch = channel.switch();
        let _released = switch.module::<Stores>().limits.release(channel.uuid(), None);
        for backend in switch.module::<Backends>().holding(channel.uuid()) {
            release(switch, &Backend::Other(backend), channel.uuid(), None);
        }
    }
}

/// Gives back what a call holds in all backends.
fn release_everything(switch: &Arc<Switch>, uuid: &str) {
    release(switch, &Backend::Hash, uuid, None);
    if switch.module::<Stores>().db.is_open() {
        release(switch, &Backend::Db, uuid, None);
    }
    for backend in switch.module::<Backends>().holding(uuid) {
        release(switch, &Backend::Other(backend), uuid, None);
    }
}

/// Gives back what a call holds: everything, or one resource.
pub fn release(switch: &Arc<Switch>, backend: &Backend, uuid: &str, only: Option<&Resource>) {
    match backend {
        Backend::Hash => {
            for (resource, usage) in switch.module::<Stores>().limits.release(uuid, only) {
                announce(switch, backend, &resource, &usage, None);
            }
        }
        Backend::Db => {
            let (own, call, only) = (Arc::clone(switch), uuid.to_owned(), only.cloned());
            in_turn(switch, uuid, async move { release_db(&own, &call, only.as_ref()).await });
        }
        Backend::Other(backend) => {
            let (backend, call, only) = (Arc::clone(backend), uuid.to_owned(), only.cloned());
            in_turn(switch, uuid, async move {
                let only = only.as_ref().map(|(realm, id)| (realm.as_str(), id.as_str()));
                backend.release(&call, only).await;
            });
        }
    }
}

/// Runs a release of a call after those before it.
fn in_turn(switch: &Arc<Switch>, uuid: &str, work: impl Future<Output = ()> + Send + 'static) {
    static TURN: AtomicU64 = AtomicU64::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let stores = switch.module::<Stores>();
    let (done, before) = stores.limit_releases.begin(uuid, turn);
    let uuid = uuid.to_owned();
    crate::foreign::spawn(async move {
        if let Some(before) = before {
            let _over = before.await;
        }
        work.await;
        drop(done);
        stores.limit_releases.forget(&uuid, turn);
    });
}

async fn release_db(switch: &Switch, uuid: &str, only: Option<&Resource>) {
    let hostname = switch.global("hostname").unwrap_or_default();
    let stores = switch.module::<Stores>();
    let attempt = async {
        let open = stores.db.open(&switch.dirs.db_dir, &hostname).await?;
        open.limit_release(uuid, only.map(|(realm, id)| (realm.as_str(), id.as_str()))).await
    };
    if let Err(error) = attempt.await {
        tracing::error!(uuid = %uuid, "limit: {error}");
    }
}

fn announce(
    switch: &Switch,
    backend: &Backend,
    resource: &Resource,
    usage: &Usage,
    max: Option<u32>,
) {
    if !switch.bus.wants(EventName::Custom) {
        switch.bus.skip();
        return;
    }
    let max = max.unwrap_or(0).to_string();
    let mut event = Event::custom("limit::usage");
    event.push("backend", backend.name());
    event.push("realm", resource.0.as_str());
    event.push("key", resource.1.as_str());
    event.push("usage", usage.total.to_string());
    event.push("rate", usage.rate.to_string());
    event.push("max", max.as_str());
    event.push("ratemax", max.as_str());
    esl_server::fire!(switch.bus, event);
}

/// Where a call goes that got nothing: a number, or a cause after `!`.
pub fn exceeded(
    channel: &Arc<Channel>,
    target: &str,
    dialplan: Option<&str>,
    context: Option<&str>,
) {
    match target.strip_prefix('!') {
        Some(cause) => channel.hangup(Cause::parse(cause)),
        None => {
            transfer(channel, target, dialplan, context);
        }
    }
}
