//! The thread of a fax: 50 times a second it hands the machine what has come and sends what the machine has made.
//!
//! The library reads and writes files and is not ours to interrupt: it does not belong in a task or in a media thread. It
//! takes little (a machine 0.15 % of a core), so a thread of its own costs no more than its stack. What waits on either
//! side is in rings of the engine, which have bounds.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as sync;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use fax::tiff::{self, LONGEST_PAGE};
use fax::udptl::{Incoming, Outgoing};
use fax::{Code, Library, Machine, News, Report};
use media::record::live::LiveAudio;
use media::{Leg, Playout, SideChannel};
use sdp::T38Options;
use tokio::sync::mpsc;

use crate::settings::Job;

/// How often the machine is fed, and the samples of that time.
const TICK: Duration = Duration::from_millis(20);
const FRAME: usize = 160;
/// Audio that is made in advance: a thread that runs that late is not heard.
const AHEAD: usize = FRAME * 6;
/// Ticks that are made up for after a pause; more are left out.
const MOST_LATE: u32 = 25;
/// News that wait for the application.
const WAITING: usize = 64;
/// Ticks between two looks at how large a page has become.
const LOOK: u32 = 50;
/// The last that was said is waited for so long.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Repetitions of a packet, whatever is asked for.
const MOST_COPIES: usize = 8;

/// The engine's ends of a leg's audio.
pub(crate) struct Line {
    leg: Weak<Leg>,
    heard: LiveAudio,
    said: Playout,
}

impl Line {
    /// Of a leg with 8,000 samples per second.
    pub(crate) fn open(leg: &Arc<Leg>) -> Option<Self> {
        let said = leg.playout().ok()?;
        let Ok(heard) = leg.listen(false) else {
            let _closed = leg.end_playout(&said);
            return None;
        };
        Some(Self { leg: Arc::downgrade(leg), heard, said })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(leg) = self.leg.upgrade() {
            let _closed = (leg.end_tap(&self.heard), leg.end_playout(&self.said));
        }
    }
}

/// The change to T.38, as the leg's signalling has made it.
pub(crate) struct ToFax {
    pub(crate) side: SideChannel,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) options: T38Options,
    pub(crate) redundancy: usize,
}

/// What the application holds of a fax that runs.
pub(crate) struct Work {
    stop: Arc<AtomicBool>,
    changes: sync::SyncSender<ToFax>,
    news: mpsc::Receiver<News>,
}

impl Work {
    /// Begins a fax. Without a line only T.38 can bring it forward.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn begin(
        library: Arc<Library>,
        job: Job,
        line: Option<Line>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (changes, changed) = sync::sync_channel(1);
        let (told, news) = mpsc::channel(WAITING);
        let run = Run { library, job, stop: Arc::clone(&stop), changed, told };
        thread::Builder::new().name("fax".into()).spawn(move || run.run(line))?;
        Ok(Self { stop, changes, news })
    }

    /// What is new; `None` once the fax is over. May be given up half-way.
    pub(crate) async fn news(&mut self) -> Option<News> {
        self.news.recv().await
    }

    /// Goes on over T.38.
    pub(crate) fn change(&self, to: ToFax) {
        // A leg changes once.
        let _second = self.changes.try_send(to);
    }

    /// What ends the fax from elsewhere.
    pub(crate) fn stopper(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Ends it; [`News::Done`] follows.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread's side.
struct Run {
    library: Arc<Library>,
    job: Job,
    stop: Arc<AtomicBool>,
    changed: sync::Receiver<ToFax>,
    told: mpsc::Sender<News>,
}

/// What the machine is connected to.
enum Front {
    Audio(Option<Line>, Vec<i16>),
    Network { side: SideChannel, remote: Option<SocketAddr>, inward: Incoming, outward: Outgoing },
}

impl Run {
    fn run(self, line: Option<Line>) {
        if let Some((code, text)) = self.unfit() {
            return self.tell(News::Done { code, text, report: Report::default() });
        }
        let made = Machine::audio(&self.library, &self.job.setup);
        let mut front = Front::Audio(line, Vec::new());
        let mut machine = match made {
            Ok(machine) => machine,
            Err(error) => return self.fail(Code::FILE, &error.to_string()),
        };
        let mut due = Instant::now();
        let mut ticks = 0_u32;
        loop {
            due += TICK;
            let now = Instant::now();
            match due.checked_duration_since(now) {
                Some(wait) => thread::sleep(wait),
                None if now - due > TICK * MOST_LATE => due = now,
                None => {}
            }
            ticks = ticks.wrapping_add(1);
            if let Ok(to) = self.changed.try_recv() {
                // The file is opened again by the new machine.
                drop(machine);
                machine = match Machine::t38(&self.library, &self.job.setup, &to.options) {
                    Ok(machine) => machine,
                    Err(error) => return self.fail(Code::FILE, &error.to_string()),
                };
                front = Front::of(to);
            }
            let open = front.tick(&mut machine);
            let large = ticks.is_multiple_of(LOOK)
                && !self.job.setup.sends
                && is_too_large(&machine.report());
            if self.stop.load(Ordering::Relaxed) || !open || large {
                machine.end();
                front.tick(&mut machine);
            }
            while let Some(news) = machine.next_news() {
                let done = matches!(news, News::Done { .. });
                if done {
                    front.finish();
                }
                self.tell(news);
                if done {
                    return;
                }
            }
            if self.told.is_closed() || !machine.is_active() && !open {
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
        self.tell(News::Done { code, text: text.to_owned(), report: Report::default() });
    }

    fn tell(&self, news: News) {
        let _over = match news {
            // The log and pages are left out where the application is behind; the end is not.
            News::Done { .. } => self.told.blocking_send(news).is_err(),
            news => self.told.try_send(news).is_err(),
        };
    }
}

/// A page that grows beyond any there is: its rows are kept in memory until it ends.
fn is_too_large(report: &Report) -> bool {
    u64::try_from(report.size.1).is_ok_and(|rows| rows > LONGEST_PAGE)
}

impl Front {
    fn of(to: ToFax) -> Self {
        let longest = usize::try_from(to.options.max_datagram).unwrap_or(usize::MAX);
        Self::Network {
            side: to.side,
            remote: to.remote,
            inward: Incoming::default(),
            outward: Outgoing::new(to.redundancy, longest),
        }
    }

    /// One tick; false when there is no leg any more.
    fn tick(&mut self, machine: &mut Machine) -> bool {
        match self {
            Self::Audio(None, _) => {
                // Time passes in silence.
                let mut frame = [0; FRAME];
                machine.hear(&mut frame);
                machine.speak(&mut frame);
                true
            }
            Self::Audio(Some(line), samples) => {
                samples.clear();
                let open = line.heard.read(samples);
                for frame in samples.chunks_mut(FRAME) {
                    machine.hear(frame);
                }
                while line.said.waiting() < AHEAD {
                    let mut frame = [0; FRAME];
                    let made = machine.speak(&mut frame);
                    let Some(made) = frame.get(..made).filter(|made| !made.is_empty()) else {
                        break;
                    };
                    if line.said.push(made) < made.len() {
                        break;
                    }
                }
                open && line.said.is_open()
            }
            Self::Network { side, remote, inward, outward } => {
                while let Some(datagram) = side.take() {
                    let taken = inward.take(&datagram.octets, |n, ifp| machine.packet(n, ifp));
                    if taken.is_ok() {
                        *remote = Some(datagram.from);
                    }
                }
                machine.pass(FRAME as u32);
                while let Some((ifp, count)) = machine.next_packet() {
                    let (Some(packet), Some(to)) = (outward.packet(&ifp), *remote) else {
                        continue;
                    };
                    for _ in 0..count.clamp(1, MOST_COPIES) {
                        let _lost = side.send_to(&packet, to, false);
                    }
                }
                true
            }
        }
    }

    /// Lets what was said last be heard.
    fn finish(&self) {
        let Self::Audio(Some(line), _) = self else { return };
        let end = Instant::now() + LAST_WORDS;
        while line.said.waiting() > 0 && line.said.is_open() && Instant::now() < end {
            thread::sleep(TICK);
        }
    }
}
