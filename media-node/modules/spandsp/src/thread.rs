//! The thread of a fax: 50 times a second it hands the machine what has come and sends what the machine has made.
//!
//! The library reads and writes files and is not ours to interrupt: it does not belong in a task or in a media thread. It
//! takes little (a machine 0.15 % of a core), so a thread of its own costs no more than its stack. What waits on either
//! side is in rings of the engine, which have bounds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as sync;
use std::thread;
use std::time::{Duration, Instant};

use fax::tiff::{self, LONGEST_PAGE};
use fax::{Code, FaxEvent, Library, Machine, Report};
use tokio::sync::mpsc;

use crate::ports::{AudioPort, FRAME, T38Session, UdptlPort};
use crate::settings::Job;

/// How often the machine is fed: once for each [`FRAME`].
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// Ticks that are made up for after a pause; more are left out.
const MAX_LATE_TICKS: u32 = 25;
/// Events that wait for the application.
const MAX_QUEUED: usize = 64;
/// Ticks between two looks at how large a page has become.
const SIZE_CHECK_TICKS: u32 = 50;
/// How long the last audio may take to be sent after the end of a fax.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// The clock of a thread.
pub(crate) struct Ticker {
    due: Instant,
}

impl Ticker {
    pub(crate) fn new() -> Self {
        Self { due: Instant::now() }
    }

    /// Sleeps until the next tick is due. After a long pause ticks are left out.
    pub(crate) fn wait(&mut self) {
        self.due += TICK;
        let now = Instant::now();
        match self.due.checked_duration_since(now) {
            Some(wait) => thread::sleep(wait),
            None if now - self.due > TICK * MAX_LATE_TICKS => self.due = now,
            None => {}
        }
    }
}

/// What the application holds of a fax that runs.
pub(crate) struct FaxThread {
    stop: Arc<AtomicBool>,
    changes: sync::SyncSender<T38Session>,
    events: mpsc::Receiver<FaxEvent>,
}

impl FaxThread {
    /// Begins a fax. Without a line only T.38 can bring it forward.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn start(
        library: Arc<Library>,
        job: Job,
        port: Option<AudioPort>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (changes, changed) = sync::sync_channel(1);
        let (sender, events) = mpsc::channel(MAX_QUEUED);
        let worker = Worker { library, job, stop: Arc::clone(&stop), changed, events: sender };
        thread::Builder::new().name("fax".into()).spawn(move || worker.run(port))?;
        Ok(Self { stop, changes, events })
    }

    /// What is new; `None` once the fax is over. May be given up half-way.
    pub(crate) async fn next_event(&mut self) -> Option<FaxEvent> {
        self.events.recv().await
    }

    /// Goes on over T.38.
    pub(crate) fn switch_to_t38(&self, to: T38Session) {
        // A leg changes once.
        let _second = self.changes.try_send(to);
    }

    /// What ends the fax from elsewhere.
    pub(crate) fn stopper(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Ends it; [`FaxEvent::Finished`] follows.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for FaxThread {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread's side.
struct Worker {
    library: Arc<Library>,
    job: Job,
    stop: Arc<AtomicBool>,
    changed: sync::Receiver<T38Session>,
    events: mpsc::Sender<FaxEvent>,
}

/// What the machine is connected to.
enum Transport {
    Audio(Option<AudioPort>, Vec<i16>),
    T38(UdptlPort),
}

impl Worker {
    fn run(self, port: Option<AudioPort>) {
        if let Some((code, text)) = self.unfit() {
            return self.send(FaxEvent::Finished { code, text, report: Report::default() });
        }
        let made = Machine::audio(&self.library, &self.job.setup);
        let mut transport = Transport::Audio(port, Vec::new());
        let mut machine = match made {
            Ok(machine) => machine,
            Err(error) => return self.fail(Code::FILE, &error.to_string()),
        };
        let mut ticker = Ticker::new();
        let mut ticks = 0_u32;
        loop {
            ticker.wait();
            ticks = ticks.wrapping_add(1);
            if let Ok(to) = self.changed.try_recv() {
                // The file is opened again by the new machine.
                drop(machine);
                machine = match Machine::t38(&self.library, &self.job.setup, &to.options) {
                    Ok(machine) => machine,
                    Err(error) => return self.fail(Code::FILE, &error.to_string()),
                };
                transport = Transport::T38(UdptlPort::open(to));
            }
            let open = transport.tick(&mut machine);
            let large = ticks.is_multiple_of(SIZE_CHECK_TICKS)
                && !self.job.setup.sends
                && is_too_large(&machine.report());
            if self.stop.load(Ordering::Relaxed) || !open || large {
                machine.terminate();
                transport.tick(&mut machine);
            }
            while let Some(event) = machine.next_event() {
                let done = matches!(event, FaxEvent::Finished { .. });
                if done {
                    transport.drain();
                }
                self.send(event);
                if done {
                    return;
                }
            }
            if self.events.is_closed() || !machine.is_active() && !open {
                return;
            }
        }
    }

    /// Why the file is not even begun with.
    fn unfit(&self) -> Option<(Code, String)> {
        let setup = &self.job.setup;
        if !setup.sends {
            return None;
        }
        match tiff::inspect(Path::new(&setup.file)) {
            Ok(_) => None,
            Err(tiff::TiffError::Io(error)) => {
                tracing::error!(uuid = %self.job.uuid, "Cannot send fax file [{}]: it {error}", setup.file);
                Some((Code::FILE, "TIFF/F file cannot be opened".into()))
            }
            Err(error) => {
                tracing::error!(uuid = %self.job.uuid, "Cannot send fax file [{}]: it {error}", setup.file);
                Some((Code::BAD_TIFF, "TIFF/F format is not compatible".into()))
            }
        }
    }

    fn fail(&self, code: Code, text: &str) {
        self.send(FaxEvent::Finished { code, text: text.to_owned(), report: Report::default() });
    }

    fn send(&self, event: FaxEvent) {
        let _over = match event {
            // The log and pages are left out where the application is behind; the end is not.
            FaxEvent::Finished { .. } => self.events.blocking_send(event).is_err(),
            event => self.events.try_send(event).is_err(),
        };
    }
}

/// A page that grows beyond any there is: its rows are kept in memory until it ends.
fn is_too_large(report: &Report) -> bool {
    u64::try_from(report.size.1).is_ok_and(|rows| rows > LONGEST_PAGE)
}

impl Transport {
    /// One tick; false when there is no leg any more.
    fn tick(&mut self, machine: &mut Machine) -> bool {
        match self {
            Self::Audio(None, _) => {
                // Time passes in silence.
                let mut frame = [0; FRAME];
                machine.receive(&mut frame);
                machine.transmit(&mut frame);
                true
            }
            Self::Audio(Some(port), samples) => {
                samples.clear();
                let open = port.read(samples);
                for frame in samples.chunks_mut(FRAME) {
                    machine.receive(frame);
                }
                port.fill(|frame| machine.transmit(frame));
                open && port.is_open()
            }
            Self::T38(port) => {
                port.receive(|number, ifp| machine.receive_packet(number, ifp));
                machine.advance(FRAME as u32);
                while let Some((ifp, count)) = machine.next_packet() {
                    port.send(&ifp, count);
                }
                true
            }
        }
    }

    /// Waits until the last audio has been sent.
    fn drain(&self) {
        let Self::Audio(Some(port), _) = self else { return };
        let end = Instant::now() + DRAIN_TIMEOUT;
        while port.is_sending() && Instant::now() < end {
            thread::sleep(TICK);
        }
    }
}
