//! A connected client: who it is, what it may, and the queue of what it is to be told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use crate::permissions::Allowed;
use crate::profile::Profile;
use crate::rpc::Object;

/// Messages that wait for one client.
const QUEUE: usize = 2000;
/// Bytes of them.
const MOST_BYTES: usize = 8 << 20;
/// A client that has lost so many messages in a row is given up, as in the reference.
const MOST_LOST: u32 = 500;

/// Pairs of names and values, in order; a later one of the same name counts.
pub(crate) type Pairs = Vec<(String, String)>;

/// A client's data that other tasks read.
pub(crate) struct Client {
    pub(crate) profile: Arc<Profile>,
    pub(crate) address: SocketAddr,
    pub(crate) secure: bool,
    queue: mpsc::Sender<String>,
    bytes: AtomicUsize,
    lost: AtomicU32,
    /// It is to be let go of once what is queued was written.
    dropped: AtomicBool,
    wake: Notify,
    state: Mutex<State>,
}

/// What changes of a client.
#[derive(Default)]
pub(crate) struct State {
    /// The session it bears; empty before the login, and once another connection has taken it over.
    pub(crate) session: String,
    /// It is authenticated, or authentication is off.
    pub(crate) authed: bool,
    /// Its session was begun.
    pub(crate) begun: bool,
    /// When it was last told of all calls it watches, seconds since the epoch.
    pub(crate) looked: i64,
    /// Its user.
    pub(crate) login: Login,
}

/// A user that logged in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login {
    pub(crate) id: String,
    pub(crate) domain: String,
    /// `id@domain`; empty without authentication.
    pub(crate) uid: String,
    /// Parameters of the directory.
    pub(crate) params: Pairs,
    /// Variables of the directory.
    pub(crate) vars: Pairs,
    /// Those the client sent, and those of the directory behind them.
    pub(crate) user_vars: Pairs,
    pub(crate) dialplan: Option<String>,
    pub(crate) context: Option<String>,
    pub(crate) methods: Allowed,
    pub(crate) jsapi: Allowed,
    pub(crate) fsapi: Allowed,
    pub(crate) event_channels: Allowed,
    /// When the login ends, seconds since the epoch.
    pub(crate) expires: Option<i64>,
    /// `root` may use everything.
    pub(crate) root: bool,
}

impl Login {
    /// The last value of a parameter of the directory.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        last(&self.params, name)
    }

    /// The last value of a variable of the directory.
    pub(crate) fn var(&self, name: &str) -> Option<&str> {
        last(&self.vars, name)
    }
}

fn last<'p>(pairs: &'p Pairs, name: &str) -> Option<&'p str> {
    let mut pairs = pairs.iter().rev();
    pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

impl Client {
    /// A new client, and what it is to be told.
    pub(crate) fn new(
        profile: Arc<Profile>,
        address: SocketAddr,
        secure: bool,
    ) -> (Arc<Self>, mpsc::Receiver<String>) {
        let (queue, messages) = mpsc::channel(QUEUE);
        let client = Self {
            profile,
            address,
            secure,
            queue,
            bytes: AtomicUsize::new(0),
            lost: AtomicU32::new(0),
            dropped: AtomicBool::new(false),
            wake: Notify::new(),
            state: Mutex::default(),
        };
        (Arc::new(client), messages)
    }

    /// Address and port, as events and variables name it.
    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    /// Looks at, or changes, what changes of it.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock())
    }

    /// Its session.
    pub(crate) fn session(&self) -> String {
        self.with(|state| state.session.clone())
    }

    /// Its user, `id@domain`.
    pub(crate) fn uid(&self) -> String {
        self.with(|state| state.login.uid.clone())
    }

    /// A copy of its login.
    pub(crate) fn login(&self) -> Login {
        self.with(|state| state.login.clone())
    }

    /// Queues a message; what finds no room is lost, and a client that reads nothing is given up.
    pub(crate) fn send(&self, mut message: Value) -> bool {
        self.add_session(&mut message);
        let text = message.to_string();
        let length = text.len();
        let fits = self.bytes.load(Ordering::Relaxed).saturating_add(length) <= MOST_BYTES;
        if fits && self.queue.try_send(text).is_ok() {
            self.bytes.fetch_add(length, Ordering::Relaxed);
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::error!(fs_level = "CRIT", "{}: Lost {lost} json events!", self.address);
            }
            return true;
        }
        if self.lost.fetch_add(1, Ordering::Relaxed) >= MOST_LOST {
            self.let_go();
        }
        false
    }

    /// Replies bear the session they are for.
    fn add_session(&self, message: &mut Value) {
        let Some(result) = message.get_mut("result").and_then(Value::as_object_mut) else { return };
        let session = self.session();
        if !session.is_empty() {
            Object::insert(result, "sessid".into(), session.into());
        }
    }

    /// A message was written, or thrown away.
    pub(crate) fn written(&self, text: &str) {
        self.bytes.fetch_sub(text.len(), Ordering::Relaxed);
    }

    /// The connection ends once what is queued was written.
    pub(crate) fn let_go(&self) {
        self.dropped.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Is it to end?
    pub(crate) fn is_let_go(&self) -> bool {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Resolves when [`Client::let_go`] was called.
    pub(crate) async fn let_go_of(&self) {
        while !self.is_let_go() {
            self.wake.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_client_does_not_read_is_bounded_and_ends_it() {
        let profile = Arc::new(Profile::for_tests());
        let (client, mut messages) = Client::new(profile, "127.0.0.1:1".parse().unwrap(), false);
        client.with(|state| state.session = "s".into());
        assert!(client.send(json!({ "result": { "a": 1 } })));
        let first = messages.try_recv().unwrap();
        assert_eq!(first, r#"{"result":{"a":1,"sessid":"s"}}"#);
        client.written(&first);
        let big = "x".repeat(MOST_BYTES / 2 - 100);
        let sent = (0..10).filter(|_| client.send(json!({ "method": big }))).count();
        assert_eq!(sent, 2);
        // Fill what is left, so that the smallest finds no room either.
        while client.send(json!({ "method": "y".repeat(90) })) {}
        for _ in 0..=MOST_LOST {
            client.send(json!({ "method": "y".repeat(90) }));
        }
        assert!(client.is_let_go());
    }
}
