//! The tokio edge: sockets, name resolution, queues, and the handles a switch holds.
//!
//! One task owns the endpoint and its sockets ([`Stack`] and [`Dialog`] only post commands to it), so
//! a message is parsed, matched and answered without changing threads.

mod command;
mod config;
mod connections;
mod cut;
mod driver;
mod greet;
mod handles;
mod resolve;
mod tcp;

mod udp;
mod unreachable;

use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;

use connections::{Certificates, Connections};
use driver::Driver;
use udp::Udp;

use crate::endpoint::{Endpoint, EndpointConfig};
use crate::token::Tokens;

pub use crate::endpoint::{
    Advertise, Identity, LEAST_INTERVAL, Limits, Peers, Rport, RportServer, SessionTimers, Timers,
    Tuning, USUAL_LEAST,
};
pub use config::{Direction, Resolve, ResolveFuture, StackConfig, Trace};
pub use handles::{Arrivals, Dialog, Incoming, IncomingInvite, IncomingRequest, Stack};
pub use resolve::{DnsOptions, DnsResolver};
pub use streams::tls::{Tls, TlsError, TlsOptions, VerifyPolicy};

pub use crate::endpoint::{
    Body, DialogEvent, DialogId, DialogInfo, Ended, Failure, InDialog, InviteSpec, OutOfDialog,
    Reply, RequestError, RequestId,
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

const NOWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

fn no_certificate(transport: Transport) -> std::io::Error {
    std::io::Error::other(format!("{transport} needs a certificate"))
}

impl Stack {
    /// Binds the listening addresses and starts the stack's task on the current tokio runtime.
    /// Requests outside dialogs come out of the receiver; while it is full they are refused with 503.
    pub async fn start(config: StackConfig) -> Result<(Self, Arrivals), StartError> {
        let limits = config.limits;
        let (stream_events, streams) = mpsc::channel(driver::STREAM_QUEUE);
        let (mut udp, inbox) = Udp::new();
        let mut listening = Vec::new();
        for (transport, addr) in config.listen {
            let bound = match transport {
                Transport::Udp => udp.bind(addr),
                Transport::Tls if config.tls.is_none() => Err(no_certificate(transport)),
                Transport::Wss if config.wss.is_none() => Err(no_certificate(transport)),
                _ => tcp::listen(transport, addr, stream_events.clone()).await,
            };
            let bound = bound.map_err(|source| StartError { transport, addr, source })?;
            listening.push((transport, bound));
        }
        let endpoint = Endpoint::new(
            EndpointConfig {
                listening: listening.clone(),
                timers: config.timers,
                session: config.session,
                identity: config.identity,
                limits,
                advertise: config.advertise,
                rport: config.rport,
                peers: config.peers.clone(),
            },
            Tokens::random(),
        );
        udp.start(|| endpoint.another_doorman()).map_err(|source| {
            let addr = listening.first().map_or(NOWHERE, |(_, addr)| *addr);
            StartError { transport: Transport::Udp, addr, source }
        })?;
        let (commands, command_queue) = command::queue();
        let (known, from_known) = mpsc::channel(limits.incoming_queue.max(1));
        let (strangers, from_strangers) = mpsc::channel(limits.incoming_queue.max(1));
        let (resolved_tx, resolved) = mpsc::channel(driver::INNER_QUEUE);
        let stream_limits =
            tcp::StreamLimits { message: limits.message(), idle: limits.connection_idle };
        let dialog_queue = limits.dialog_queue.max(16);
        let driver = Driver {
            endpoint,
            udp,
            inbox,
            connections: Connections::new(
                stream_events,
                stream_limits,
                Certificates { tls: config.tls, wss: config.wss },
                config.peers,
                limits.into(),
            ),
            commander: commands.downgrade(),
            commands: command_queue,
            streams,
            resolved,
            resolved_tx,
            incoming: driver::Lanes { known, strangers },
            resolver: config
                .resolver
                .unwrap_or_else(|| Arc::new(DnsResolver::new(DnsOptions::default()))),
            trace: config.trace,
            dialog_queue,
            state: driver::State::default(),
        };
        let serve_when = config.serve_when;
        tokio::spawn(async move {
            if let Some(mut serve_when) = serve_when
                && serve_when.wait_for(|serves| *serves).await.is_err()
            {
                // Whoever was to give the word has ended.
                return;
            }
            driver.run().await;
        });
        let arrivals = Arrivals { known: from_known, strangers: from_strangers };
        Ok((Self::over(commands, listening, dialog_queue), arrivals))
    }
}
