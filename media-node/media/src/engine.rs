//! The engine: its workers and how legs are opened on them.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use crate::codec::Codec;
use crate::error::OpenError;
use crate::event::LegEvents;
use crate::io::Network;
use crate::io::os::OsPoll;
use crate::leg::{Leg, LegId};
use crate::params::{PairSpec, RtpParams, RtpSpec};
use crate::ports::PortPool;
use crate::service::{Jobs, Service};
use crate::shared::{Command, LegShared, MAX_LEGS, Mailbox, Mailboxes, NO_LEG, NOWHERE, Op};
use crate::stats::cell::StatsCell;
use crate::worker::Worker;
use crate::worker::leg::{LegState, Transport};
use crate::worker::mix::Room;

/// Events of one leg that may wait for their reader.
const EVENTS: usize = 64;
/// Payload type of telephone events between the two legs of an in-memory pair.
const PAIR_TE: u8 = 101;
/// Payload type of audio between them.
const PAIR_PT: u8 = 96;

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Media threads; `None` = one less than the machine has cores, at least one.
    pub workers: Option<usize>,
    /// Puts the media threads before other programs, where the system allows it: a packet should not
    /// wait for whatever else the machine computes. They sleep as soon as there is none.
    pub raise_priority: bool,
    /// First RTP port (`rtp-start-port`).
    pub port_min: u16,
    /// Last RTP port (`rtp-end-port`).
    pub port_max: u16,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { workers: None, raise_priority: false, port_min: 16_384, port_max: 32_768 }
    }
}

/// A leg's handle and what it reports.
pub type OpenLeg = (Leg, LegEvents);

/// How one worker is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Legs on it.
    pub legs: usize,
    /// Processor time of its thread in the last second, per mille.
    pub busy_permille: usize,
    /// Time of the last second in which packets and frames had waited for more than 60 ms, per mille.
    pub late_permille: usize,
    /// Frames skipped so far because it was late.
    pub late_frames: usize,
    /// Packets dropped so far because they had waited for more than 60 ms to be read.
    pub dropped_packets: usize,
}

/// The media engine. Cheap to clone; when the last clone and the last leg are gone the threads end.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    mailboxes: Mailboxes,
    jobs: Mutex<Option<Jobs>>,
    ports: Arc<PortPool>,
    network: Network,
    legs: Mutex<HashMap<LegId, Weak<LegShared>>>,
    next_id: AtomicU64,
    random: RandomState,
    workers: Mutex<Vec<JoinHandle<()>>>,
    service: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("workers", &self.mailboxes.len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the worker threads and the file thread.
    ///
    /// # Errors
    /// When a thread or its poll descriptor cannot be made.
    pub fn start(config: EngineConfig) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let count = config.workers.unwrap_or(cores.saturating_sub(1)).max(1);
        let mut polls = Vec::with_capacity(count);
        let mut mailboxes = Vec::with_capacity(count);
        for _ in 0..count {
            let (poll, waker) = OsPoll::new()?;
            polls.push(poll);
            mailboxes.push(Arc::new(Mailbox::new(Some(waker))));
        }
        let mailboxes: Mailboxes = mailboxes.into();
        let (service, jobs) = Service::new(Arc::clone(&mailboxes));
        let engine = Self::assemble(&config, Network::Os, Arc::clone(&mailboxes), jobs.clone());
        let file_thread = thread::Builder::new().name("media-files".to_owned());
        let handle = file_thread.spawn(move || service.run())?;
        *lock(&engine.inner.service) = Some(handle);
        for (index, poll) in polls.into_iter().enumerate() {
            let (mailboxes, jobs) = (Arc::clone(&mailboxes), jobs.clone());
            let raise = config.raise_priority;
            let handle =
                thread::Builder::new().name(format!("media-{index}")).spawn(move || {
                    if raise {
                        crate::io::os::raise_priority();
                    }
                    Worker::new(index, poll.into_io(), mailboxes, jobs).run();
                })?;
            lock(&engine.inner.workers).push(handle);
        }
        Ok(engine)
    }

    pub(crate) fn assemble(
        config: &EngineConfig,
        network: Network,
        mailboxes: Mailboxes,
        jobs: Jobs,
    ) -> Self {
        let inner = Inner {
            mailboxes,
            jobs: Mutex::new(Some(jobs)),
            ports: PortPool::new(config.port_min, config.port_max),
            network,
            legs: Mutex::new(HashMap::new()),
            next_id: AtomicU64::new(1),
            random: RandomState::new(),
            workers: Mutex::new(Vec::new()),
            service: Mutex::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Opens a leg on an even port of the range (RTCP on the next one), or on the port asked for. A port of the range
    /// that is taken by another owner is passed over.
    ///
    /// # Errors
    /// No free port, an address that is not ours, or an overloaded worker.
    pub fn open_rtp(&self, spec: RtpSpec) -> Result<OpenLeg, OpenError> {
        let inner = &self.inner;
        let sockets = match spec.local_port {
            Some(port) => PortPool::open_at(&inner.network, spec.local_ip, port, spec.rtcp),
            None => inner.ports.open(&inner.network, spec.local_ip, spec.rtcp),
        }?;
        let worker = inner.place(spec.near);
        let shared = inner.new_shared(worker);
        let params = RtpParams::new(Codec::PCMU, 0);
        let transport = Transport::Rtp(Arc::new(sockets));
        self.open(shared, transport, params)
    }

    /// Opens two legs wired to each other in memory (the loopback endpoint).
    ///
    /// # Errors
    /// An overloaded worker.
    pub fn open_pair(&self, spec: PairSpec) -> Result<(OpenLeg, OpenLeg), OpenError> {
        let worker = self.inner.place(spec.near);
        let (a, b) = (self.inner.new_shared(worker), self.inner.new_shared(worker));
        let mut params = RtpParams::new(spec.codec, spec.codec.static_pt().unwrap_or(PAIR_PT));
        params.ptime = spec.ptime.clamp(10, 60);
        params.te_send = Some(PAIR_TE);
        params.te_recv = Some(PAIR_TE);
        let to_b = Transport::Memory(Arc::clone(&b));
        let to_a = Transport::Memory(Arc::clone(&a));
        let first = self.open(a, to_b, params.clone())?;
        let second = self.open(b, to_a, params)?;
        Ok((first, second))
    }

    /// Opens a leg that hears nothing and says nothing (the null endpoint).
    ///
    /// # Errors
    /// An overloaded worker.
    pub fn open_null(&self) -> Result<OpenLeg, OpenError> {
        let shared = self.inner.new_shared(self.inner.place(None));
        let params = RtpParams::new(Codec::L16_8K, PAIR_PT);
        self.open(shared, Transport::Null, params)
    }

    /// Opens a conference mixer at a rate of 8, 16, 24, 32 or 48 kHz (8 kHz for any other). It is a
    /// leg without a network: what is played on it everybody hears, and recording it records the
    /// mix. Legs take part with [`Leg::join`]. Dropping it ends the conference.
    ///
    /// # Errors
    /// An overloaded worker.
    pub fn open_mixer(&self, rate: u32, ptime: u32) -> Result<OpenLeg, OpenError> {
        let shared = self.inner.new_shared(self.inner.place(None));
        let codec = Codec::by_name("L16", rate).unwrap_or(Codec::L16_8K);
        let mut params = RtpParams::new(codec, PAIR_PT);
        params.ptime = ptime.clamp(10, 60);
        self.open_with(shared, Transport::Null, params, Some(Box::default()))
    }

    /// How the workers are doing.
    pub fn load(&self) -> Vec<WorkerLoad> {
        let load = |m: &Arc<Mailbox>| {
            let legs = m.legs.load(Ordering::Relaxed);
            // A worker without legs sleeps and publishes nothing: what it said of its last second holds no longer.
            let of_now = |published: &AtomicUsize| match legs {
                0 => 0,
                _ => published.load(Ordering::Relaxed),
            };
            WorkerLoad {
                legs,
                busy_permille: of_now(&m.busy),
                late_permille: of_now(&m.late_share),
                late_frames: m.late.load(Ordering::Relaxed),
                dropped_packets: m.dropped.load(Ordering::Relaxed),
            }
        };
        self.inner.mailboxes.iter().map(load).collect()
    }

    /// RTP port pairs in use on the local address that uses most of them, and pairs of the range.
    #[must_use]
    pub fn port_pairs(&self) -> (usize, usize) {
        self.inner.ports.usage()
    }

    fn open(
        &self,
        shared: Arc<LegShared>,
        transport: Transport,
        params: RtpParams,
    ) -> Result<OpenLeg, OpenError> {
        self.open_with(shared, transport, params, None)
    }

    fn open_with(
        &self,
        shared: Arc<LegShared>,
        transport: Transport,
        params: RtpParams,
        room: Option<Box<Room>>,
    ) -> Result<OpenLeg, OpenError> {
        let (sender, receiver) = crate::event::queue(EVENTS);
        shared.set_codec(params.codec);
        let start = (self.inner.random() as u16 & 0x7fff, self.inner.random() as u32);
        let sockets = match &transport {
            Transport::Rtp(sockets) => Some(Arc::clone(sockets)),
            Transport::Memory(_) | Transport::Null => None,
        };
        let mut state =
            LegState::new(Arc::clone(&shared), transport, sender.clone(), params, start);
        state.room = room;
        let worker = shared.worker.load(Ordering::Relaxed);
        let mailbox = self.inner.mailboxes.get(worker).ok_or(OpenError::Overloaded { worker })?;
        if mailbox.legs.load(Ordering::Relaxed) >= MAX_LEGS {
            return Err(OpenError::Overloaded { worker });
        }
        mailbox
            .post(Command { leg: Arc::clone(&shared), op: Op::Attach(state) })
            .map_err(|_| OpenError::Overloaded { worker })?;
        lock(&self.inner.legs).insert(shared.id, Arc::downgrade(&shared));
        Ok((Leg::new(shared, Arc::clone(&self.inner), sender, sockets), receiver))
    }
}

impl Inner {
    pub(crate) fn mailboxes(&self) -> &Mailboxes {
        &self.mailboxes
    }

    pub(crate) fn leave_job(&self, job: crate::service::Job) -> bool {
        lock(&self.jobs).as_ref().is_some_and(|jobs| jobs.leave(job))
    }

    /// The worker of `near`, or the one with the fewest legs.
    fn place(&self, near: Option<LegId>) -> usize {
        let near = near.and_then(|id| lock(&self.legs).get(&id)?.upgrade());
        if let Some(leg) = near {
            return leg.worker.load(Ordering::Relaxed);
        }
        let legs = |(_, m): &(usize, &Arc<Mailbox>)| m.legs.load(Ordering::Relaxed);
        self.mailboxes.iter().enumerate().min_by_key(legs).map_or(0, |(index, _)| index)
    }

    fn new_shared(&self, worker: usize) -> Arc<LegShared> {
        Arc::new(LegShared {
            id: LegId(self.next_id.fetch_add(1, Ordering::Relaxed)),
            worker: AtomicUsize::new(worker),
            slot: AtomicUsize::new(NOWHERE),
            codec: AtomicUsize::new(0),
            ssrc: self.random() as u32,
            stats: StatsCell::default(),
            watched: [NO_LEG, NO_LEG].map(AtomicU64::new),
        })
    }

    /// Not guessable from outside: the hasher's keys come from the system.
    fn random(&self) -> u64 {
        let mut hasher = self.random.build_hasher();
        hasher.write_u64(self.next_id.fetch_add(1, Ordering::Relaxed));
        hasher.finish()
    }

    pub(crate) fn close(&self, leg: &Arc<LegShared>) {
        lock(&self.legs).remove(&leg.id);
        let worker = leg.worker.load(Ordering::Acquire);
        if let Some(mailbox) = self.mailboxes.get(worker) {
            mailbox.close(Arc::clone(leg));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for mailbox in self.mailboxes.iter() {
            mailbox.stop();
        }
        for worker in lock(&self.workers).drain(..) {
            let _ = worker.join();
        }
        // With the workers gone this was the last way to leave a job: the file thread ends.
        lock(&self.jobs).take();
        if let Some(service) = lock(&self.service).take() {
            let _ = service.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
