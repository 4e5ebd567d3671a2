//! An engine without threads on a simulated network and clock, for tests: everything happens when
//! [`Sim::run_ms`] is called, in the same order every time.

use std::sync::Arc;

use crate::engine::{Engine, EngineConfig};
use crate::io::simulated::{SimIo, SimNet};
use crate::io::{Network, Wait};
use crate::service::Service;
use crate::shared::{Mailbox, Mailboxes};
use crate::worker::Worker;

/// The parts an engine's threads would run.
pub struct Sim {
    /// The network legs are opened on; tests bind their phones here.
    pub net: SimNet,
    workers: Vec<Worker<SimIo>>,
    service: Service,
}

impl Sim {
    /// An engine and what drives it.
    pub fn start(config: &EngineConfig) -> (Engine, Self) {
        let count = config.workers.unwrap_or(1).max(1);
        let mailboxes: Mailboxes = (0..count).map(|_| Arc::new(Mailbox::new(None))).collect();
        let net = SimNet::new();
        let (service, jobs) = Service::new(Arc::clone(&mailboxes));
        let network = Network::Sim(net.clone());
        let engine = Engine::assemble(config, network, Arc::clone(&mailboxes), jobs.clone());
        let workers = (0..count)
            .map(|i| Worker::new(i, SimIo::new(net.clone()), Arc::clone(&mailboxes), jobs.clone()))
            .collect();
        (engine, Self { net, workers, service })
    }

    /// Lets `ms` milliseconds pass, one at a time.
    pub fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms {
            self.net.advance_us(1000);
            self.settle();
        }
    }

    /// Handles commands and delivers packets without letting time pass.
    pub fn settle(&mut self) {
        for worker in &mut self.workers {
            worker.pass(Wait::No);
        }
        self.service.step();
    }

    /// Lets a pass take that long, as when a worker has more to do than time; then delivers what came meanwhile.
    pub fn overload_ms(&mut self, ms: u64) {
        self.net.advance_us(ms * 1000);
        for worker in &mut self.workers {
            worker.fall_behind(ms * 1000);
        }
        self.settle();
    }

    /// From the next on, as many ticks of legs bring out a bug: for tests of what that costs.
    pub fn fail_ticks(&mut self, ticks: u32) {
        self.workers.iter_mut().for_each(|worker| worker.fail_ticks(ticks));
    }

    /// The threads compute for `ms` milliseconds, and look after their legs each millisecond.
    pub fn compute_ms(&mut self, ms: u64) {
        for _ in 0..ms {
            self.net.compute_us(1000);
            self.settle();
        }
    }

    /// Another program has the processor for `ms` milliseconds, then the threads go on with what has become due.
    pub fn starve_ms(&mut self, ms: u64) {
        let due = self.net.now_us();
        self.net.advance_us(ms * 1000);
        for worker in &mut self.workers {
            worker.pass(Wait::Until(due));
        }
        self.service.step();
    }

    /// Lets time jump, as when the machine was busy elsewhere.
    pub fn stall_ms(&mut self, ms: u64) {
        self.net.advance_us(ms * 1000);
        self.settle();
    }
}
