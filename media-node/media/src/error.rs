//! What can go wrong when a leg is opened or told to do something.

use std::io;
use std::net::IpAddr;

/// A leg could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Every even port of the configured range is taken on this address.
    #[error("no free RTP port on {ip} in {min}-{max}")]
    NoPorts {
        /// Address asked for.
        ip: IpAddr,
        /// First port of the range.
        min: u16,
        /// Last port of the range.
        max: u16,
    },
    /// The address itself cannot be bound (not one of this host's, or no permission).
    #[error("cannot bind RTP on {ip}: {source}")]
    Bind {
        /// Address asked for.
        ip: IpAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The worker's command queue is full: the machine is overloaded.
    #[error("media worker {worker} is overloaded")]
    Overloaded {
        /// Index of the worker.
        worker: usize,
    },
}

/// A leg did not take a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LegError {
    /// The worker's command queue is full: the command was not taken.
    #[error("media worker's command queue is full")]
    QueueFull,
    /// The leg is closed.
    #[error("media leg is closed")]
    Closed,
}
