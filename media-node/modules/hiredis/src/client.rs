//! A profile at work: its servers in the order they are tried, and the connections to them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, Value,
};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use crate::settings::{Server, Settings};

/// Why a command has no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The server refused it, with these words.
    #[error("{0}")]
    Refused(String),
    /// No server could be reached, or none answered in time.
    #[error("unable to connect")]
    Unreachable,
    /// The answer is a list or the like, which a channel variable cannot hold (reference behaviour).
    #[error("unsupported array response")]
    Unsupported,
}

/// A profile with its connections, and counters for the metrics page.
pub(crate) struct Profile {
    pub(crate) settings: Settings,
    servers: Vec<Pool>,
    /// Commands that were answered.
    pub(crate) done: AtomicU64,
    /// Commands that failed: refused, or no server was there.
    pub(crate) failed: AtomicU64,
    /// Messages about calls that were published.
    pub(crate) published: AtomicU64,
    /// Messages about calls that no server was there for.
    pub(crate) unpublished: AtomicU64,
    /// A server answered last time.
    pub(crate) connected: AtomicBool,
}

/// Connections to one server, made when they are needed.
struct Pool {
    server: Server,
    client: Option<Client>,
    slots: Vec<Mutex<Slot>>,
    next: AtomicUsize,
    /// Bounds the commands on their way.
    room: Semaphore,
}

#[derive(Default)]
struct Slot {
    connection: Option<MultiplexedConnection>,
    /// Grows with each connection made: a command that saw one fail does not close a later one.
    generation: u64,
}

/// What became of one try.
enum Tried {
    Answered(Value),
    Refused(String),
    /// The connection broke: the server may have been restarted.
    Broken,
    /// No connection, or no answer in time.
    Silent,
}

impl Profile {
    pub(crate) fn new(settings: Settings) -> Self {
        let pools = settings.servers.iter();
        let servers = pools.map(|server| Pool::new(server, settings.pipelined)).collect();
        Self {
            settings,
            servers,
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            published: AtomicU64::new(0),
            unpublished: AtomicU64::new(0),
            connected: AtomicBool::new(false),
        }
    }

    /// Runs a command on the first server that answers. A connection that breaks is made anew once before the next server
    /// is tried.
    pub(crate) async fn run(&self, command: &Cmd) -> Result<Option<String>, Failure> {
        as_text(self.counted(command).await?)
    }

    /// The same for an answer that is bytes; nil has none.
    pub(crate) async fn bytes(&self, command: &Cmd) -> Result<Vec<u8>, Failure> {
        match self.counted(command).await? {
            Value::Nil | Value::Okay => Ok(Vec::new()),
            Value::BulkString(bytes) => Ok(bytes),
            _ => Err(Failure::Unsupported),
        }
    }

    async fn counted(&self, command: &Cmd) -> Result<Value, Failure> {
        let answer = self.value(command).await;
        let counter = if answer.is_ok() { &self.done } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        let reached = !matches!(answer, Err(Failure::Unreachable));
        self.connected.store(reached, Ordering::Relaxed);
        answer
    }

    async fn value(&self, command: &Cmd) -> Result<Value, Failure> {
        for pool in &self.servers {
            let mut tried = pool.run(command).await;
            if matches!(tried, Tried::Broken) {
                tried = pool.run(command).await;
            }
            match tried {
                Tried::Answered(value) => return Ok(value),
                Tried::Refused(words) => return Err(Failure::Refused(words)),
                Tried::Broken | Tried::Silent => {}
            }
        }
        Err(Failure::Unreachable)
    }

    /// A connection of its own to the first server that can be reached.
    pub(crate) async fn connect(&self) -> Option<(MultiplexedConnection, Duration)> {
        for pool in &self.servers {
            if let Some(connection) = pool.connect().await {
                return Some((connection, pool.server.timeout));
            }
        }
        None
    }
}

impl Pool {
    fn new(server: &Server, pipelined: usize) -> Self {
        let address = ConnectionAddr::Tcp(server.host.clone(), server.port);
        let client = address.into_connection_info().and_then(|info| {
            let own = RedisConnectionInfo::default().set_skip_set_lib_name();
            let own = match &server.password {
                Some(password) => own.set_password(password),
                None => own,
            };
            Client::open(info.set_redis_settings(own))
        });
        Self {
            client: client.ok(),
            slots: (0..server.connections).map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
            room: Semaphore::new(server.connections.saturating_mul(pipelined).min(1 << 20)),
            server: server.clone(),
        }
    }

    async fn connect(&self) -> Option<MultiplexedConnection> {
        let (host, port) = (&self.server.host, self.server.port);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.server.timeout))
            .set_response_timeout(None);
        let client = self.client.as_ref()?;
        let made = client.get_multiplexed_async_connection_with_config(&config);
        match timeout(self.server.timeout, made).await {
            Ok(Ok(connection)) => return Some(connection),
            Ok(Err(error)) => {
                tracing::error!("hiredis: connection error[{host}, {port}] ({error})")
            }
            Err(_) => tracing::error!("hiredis: timed out waiting for [{host}, {port}]"),
        }
        None
    }

    async fn run(&self, command: &Cmd) -> Tried {
        let patience = self.server.timeout;
        let Ok(Ok(_room)) = timeout(patience, self.room.acquire()).await else {
            return Tried::Silent;
        };
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len().max(1);
        let Some(slot) = self.slots.get(at) else { return Tried::Silent };
        let Ok(Some((mut connection, generation))) = timeout(patience, self.connection(slot)).await
        else {
            return Tried::Silent;
        };
        let tried = match timeout(patience, connection.send_packed_command(command)).await {
            Ok(Ok(Value::ServerError(error))) => Tried::Refused(words(&error.into())),
            Ok(Ok(value)) => return Tried::Answered(value),
            Ok(Err(error)) if is_lost(&error) => Tried::Broken,
            Ok(Err(error)) => Tried::Refused(words(&error)),
            Err(_) => Tried::Silent,
        };
        if !matches!(tried, Tried::Refused(_)) {
            // A late answer would keep those behind it waiting.
            let mut slot = slot.lock().await;
            if slot.generation == generation {
                slot.connection = None;
            }
        }
        tried
    }

    /// The connection of a slot, made if there is none.
    async fn connection(&self, slot: &Mutex<Slot>) -> Option<(MultiplexedConnection, u64)> {
        let mut slot = slot.lock().await;
        if slot.connection.is_none() {
            slot.connection = Some(self.connect().await?);
            slot.generation += 1;
        }
        slot.connection.clone().map(|connection| (connection, slot.generation))
    }
}

/// Whether it is the connection that failed, not the command.
pub(crate) fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.is_unrecoverable_error()
}

/// The server's own words: `ERR unknown command …`.
fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(word), None) | (None, Some(word)) => word.to_owned(),
        (None, None) => error.to_string(),
    }
}

/// An answer as the reference gives it to channel variables; `None` for nil.
fn as_text(value: Value) -> Result<Option<String>, Failure> {
    match value {
        Value::Nil => Ok(None),
        Value::Okay => Ok(Some("OK".to_owned())),
        Value::Int(number) => Ok(Some(number.to_string())),
        Value::SimpleString(text) => Ok(Some(text)),
        Value::BulkString(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        _ => Err(Failure::Unsupported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_texts_as_the_reference_has_them() {
        assert_eq!(as_text(Value::Nil), Ok(None));
        assert_eq!(as_text(Value::Okay), Ok(Some("OK".into())));
        assert_eq!(as_text(Value::Int(-3)), Ok(Some("-3".into())));
        assert_eq!(as_text(Value::BulkString(b"a b".to_vec())), Ok(Some("a b".into())));
        assert_eq!(as_text(Value::Array(vec![])), Err(Failure::Unsupported));
    }
}
