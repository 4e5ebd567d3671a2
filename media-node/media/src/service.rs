//! The file thread: writes recordings, builds what workers need, and drops what they are done
//! with, so that workers never allocate, free or touch a disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use rtrb::Consumer;

use crate::event::EventSender;
use crate::leg::RecordId;
use crate::record::RecordSpec;
use crate::record::recorder::Recorder;
use crate::record::tap::{Tap, TapEnd};
use crate::resample::Converter;
use crate::shared::{LegShared, Mailboxes, Op, post};
use crate::source::PlayPlan;
use crate::worker::leg::LegState;

/// Jobs waiting before workers drop things themselves.
const JOBS: usize = 4096;
/// How often recordings are written while there are any.
const WRITE_EVERY: Duration = Duration::from_millis(60);
/// Bugs after which the recordings under way are given up.
const MAX_BUGS: u32 = 50;

/// Work for the file thread.
pub(crate) enum Job {
    /// Things a worker is done with: dropping them is the job.
    Retire(Retired),
    /// A recording to begin.
    Record(Box<NewRecord>),
    /// A leg needs audio converted on its way to its peer.
    Convert { leg: Arc<LegShared>, from: u32, to: u32 },
}

/// What is only held to be dropped.
#[expect(dead_code, reason = "dropping it is all that is done with it")]
pub(crate) enum Retired {
    Leg(Box<LegState>),
    Plan(Box<PlayPlan>),
    Tap(Box<Tap>),
    Op(Op),
}

/// The file side of a recording.
pub(crate) struct NewRecord {
    pub(crate) id: RecordId,
    pub(crate) spec: RecordSpec,
    pub(crate) rate: u32,
    pub(crate) ring: Consumer<i16>,
    pub(crate) end: Arc<TapEnd>,
    pub(crate) events: EventSender,
}

/// Where jobs are left. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Jobs(SyncSender<Job>);

impl Jobs {
    /// Leaves a job; if the thread is hopelessly behind it is dropped here and now.
    pub(crate) fn leave(&self, job: Job) -> bool {
        self.0.try_send(job).is_ok()
    }

    pub(crate) fn retire(&self, retired: Retired) {
        let _ = self.leave(Job::Retire(retired));
    }
}

/// The file thread's state; stepped by its thread, or by a test.
pub(crate) struct Service {
    jobs: Receiver<Job>,
    mailboxes: Mailboxes,
    recorders: Vec<Recorder>,
    bugs: u32,
}

impl Service {
    pub(crate) fn new(mailboxes: Mailboxes) -> (Self, Jobs) {
        let (sender, jobs) = sync_channel(JOBS);
        (Self { jobs, mailboxes, recorders: Vec::new(), bugs: 0 }, Jobs(sender))
    }

    /// Runs until every [`Jobs`] is gone and every file closed.
    pub(crate) fn run(mut self) {
        let mut open = true;
        while open || !self.recorders.is_empty() {
            // A bug that one recording or job brings out must not stop the writing of all.
            let turn = catch_unwind(AssertUnwindSafe(|| {
                open = self.wait();
                self.write();
                if !open {
                    self.recorders.retain_mut(|r| !r.abandon());
                }
            }));
            if turn.is_err() {
                self.bugs += 1;
                if self.bugs.is_multiple_of(MAX_BUGS) {
                    // Whichever recording it is brings it out each time: none can be told from the others.
                    self.recorders.clear();
                }
            }
        }
    }

    fn wait(&mut self) -> bool {
        let first = if self.recorders.is_empty() {
            self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            self.jobs.recv_timeout(WRITE_EVERY)
        };
        match first {
            Ok(job) => {
                self.take(job);
                self.take_waiting()
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    fn take_waiting(&mut self) -> bool {
        loop {
            match self.jobs.try_recv() {
                Ok(job) => self.take(job),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Retire(retired) => drop(retired),
            Job::Record(new) => self.recorders.push(Recorder::open(*new)),
            Job::Convert { leg, from, to } => {
                if let Some(converter) = Converter::new(from, to) {
                    // Refused when overloaded: the worker asks again with the next packet.
                    let _ = post(&self.mailboxes, &leg, Op::Converter(Box::new(converter)));
                }
            }
        }
    }

    fn write(&mut self) {
        self.recorders.retain_mut(|r| !r.step());
    }

    /// One round without waiting.
    pub(crate) fn step(&mut self) {
        self.take_waiting();
        self.write();
    }
}
