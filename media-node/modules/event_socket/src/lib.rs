//! The Event Socket of this switch (mod_event_socket): the listener, and the `socket` application.

#![deny(unsafe_code)]

// The core's rooms are known here by their own names.
use switch_core::*;

pub mod adapter;
mod declared;
mod parameters;
mod readings;
pub mod socket;

use std::net::SocketAddr;
use std::sync::Arc;

use esl_server::server::{Listener, ServerConfig, ServerHandle};

use crate::contract::{JsonKind, Plain, Provides};
use crate::guesses::Door;
use crate::switch::Switch;
pub use adapter::EslAdapter;

/// The module. Its listener is opened and closed by the process, not by loading it: its clients would be cut off by
/// their own command.
pub const MODULE: Plain = Plain::new(
    "mod_event_socket",
    Provides {
        applications: &[socket::APPS],
        parameters: parameters::PARAMETERS,
        variables: &[declared::VARIABLES],
        readings: &[readings::take],
        json: &[JsonKind {
            name: "event_socket.clients",
            answer: |switch, _| Ok(readings::rows(switch)),
        }],
        ..Provides::NOTHING
    },
)
.staying();

/// The Event Socket, or the attempts to open it.
pub enum EventSocket {
    /// It answers.
    Open(ServerHandle),
    /// Its port is taken; it is tried again until it is free. Everything else works meanwhile.
    Opening(tokio::task::JoinHandle<Option<ServerHandle>>),
    /// Its port was taken, and `stop-on-bind-error` gave up.
    GivenUp,
}

/// Its port, bound if it was free; requests are not answered yet.
pub struct Bound {
    config: ServerConfig,
    listener: Option<Listener>,
}

impl Bound {
    /// Begins to answer.
    pub fn serve(self, switch: &Arc<Switch>) -> EventSocket {
        let Self { config, listener } = self;
        let adapter = Arc::new(EslAdapter(Arc::clone(switch)));
        match listener {
            Some(listener) => EventSocket::Open(listener.serve(adapter)),
            None if config.stop_on_bind_error => EventSocket::GivenUp,
            None => EventSocket::Opening(tokio::spawn(async move {
                let listener = Listener::bind_patiently(config).await.ok()?;
                tracing::info!("The Event Socket is open");
                Some(listener.serve(adapter))
            })),
        }
    }
}

impl EventSocket {
    /// Binds it where `event_socket.conf` says.
    ///
    /// # Errors
    /// What is wrong with its address.
    pub async fn bind(switch: &Arc<Switch>) -> Result<Bound, String> {
        let conf = switch.config.load().event_socket.clone();
        let config = ServerConfig {
            listen: address(&conf.listen_ip, conf.listen_port).await?,
            password: conf.password.clone(),
            acls: conf.apply_inbound_acl.clone(),
            stop_on_bind_error: conf.stop_on_bind_error,
            guard: Arc::clone(switch.guesses.at(Door::EventSocket)),
            counts: switch.module(),
            ..ServerConfig::default()
        };
        let listener = match Listener::bind(config.clone()).await {
            Ok(listener) => Some(listener),
            Err(error) if config.stop_on_bind_error => {
                tracing::error!("Socket Error! {error}; the Event Socket stays closed");
                None
            }
            // Logged once, by the task that tries again.
            Err(_) => None,
        };
        Ok(Bound { config, listener })
    }

    /// Closes it; connections are told.
    pub async fn shutdown(self) {
        match self {
            Self::Open(handle) => handle.shutdown().await,
            Self::Opening(task) if task.is_finished() => {
                if let Ok(Some(handle)) = task.await {
                    handle.shutdown().await;
                }
            }
            Self::Opening(task) => task.abort(),
            Self::GivenUp => {}
        }
    }
}

/// Where `listen-ip` says to listen; it may be a name.
async fn address(ip: &str, port: u16) -> Result<SocketAddr, String> {
    let found = tokio::net::lookup_host((ip, port)).await;
    found
        .ok()
        .and_then(|mut all| all.next())
        .ok_or_else(|| format!("event_socket.conf: listen-ip is no address: {ip}"))
}
