//! What a leg tells its owner.

use std::net::SocketAddr;
use std::path::PathBuf;

use base::queue::{self, TryRecvError, TrySendError};

use crate::dtmf::Digit;
use crate::leg::{PlayId, RecordId};

/// Something that happened on a leg. Digits and the ends of plays and recordings are never lost:
/// a full channel is tried again on the worker's next pass.
#[derive(Debug, Clone, PartialEq)]
pub enum LegEvent {
    /// The peer pressed a key; told once, when the key's end was seen.
    Digit {
        /// The key.
        digit: Digit,
        /// How long, in 8 kHz units (8 per millisecond) whatever the codec's clock.
        duration: u32,
        /// How it arrived.
        source: DigitSource,
    },
    /// All digits given to [`crate::Leg::send_dtmf`] so far have been sent.
    DigitsSent,
    /// A play ended.
    PlayDone {
        /// Which one.
        id: PlayId,
        /// Samples heard, at the plan's rate.
        samples: u64,
        /// Position in the material when it ended, in samples (differs after a seek).
        position: u64,
        /// Why it ended.
        reason: PlayEnd,
    },
    /// A recording's file is open and being written.
    RecordStarted {
        /// Which one.
        id: RecordId,
    },
    /// A recording ended and its file is closed.
    RecordDone {
        /// Which one.
        id: RecordId,
        /// How it went.
        report: RecordReport,
    },
    /// The first RTP packet arrived.
    FirstPacket,
    /// The peer sends from another address than announced, and now gets its media there; a peer that holds with
    /// 0.0.0.0 ([`crate::RtpParams::held_off`]) still sends, and gets nothing.
    RemoteLatched(SocketAddr),
    /// No RTP for the configured time. Told once per silence.
    MediaTimeout {
        /// Whether it was the hold timeout.
        held: bool,
    },
    /// A member of a conference began or stopped talking.
    Talking {
        /// Began.
        on: bool,
        /// Level of the interval, as the mean absolute sample.
        energy: u32,
        /// What was said, when it stopped.
        report: Option<TalkReport>,
    },
    /// A watch set with [`crate::Leg::watch_level`] has its answer.
    Level(LevelReport),
}

/// How a digit arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitSource {
    /// RFC 4733 events.
    Rtp,
    /// Tones in the audio.
    Inband,
}

/// Why a play ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayEnd {
    /// All of it was played.
    Finished,
    /// [`crate::Leg::stop_play`].
    Stopped,
    /// Another play took its place.
    Replaced,
    /// The leg was closed.
    Closed,
}

/// Why a recording ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordEnd {
    /// [`crate::Leg::stop_record`].
    Stopped,
    /// The time limit was reached.
    Limit,
    /// Silence for as long as asked.
    Silence,
    /// Nothing was heard at the start for as long as asked.
    NoInput,
    /// The leg was closed.
    Closed,
    /// The file could not be opened or written; the text says why.
    Failed(String),
}

/// The outcome of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordReport {
    /// The file.
    pub path: PathBuf,
    /// Samples per channel written.
    pub samples: u64,
    /// Samples per second.
    pub rate: u32,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Samples lost because the disk could not keep up (silence stands in their place).
    pub lost: u64,
    /// Why it ended.
    pub reason: RecordEnd,
    /// Whether something was heard; assumed when silence is not watched for.
    pub spoke: bool,
}

impl RecordReport {
    /// Length in milliseconds.
    pub fn millis(&self) -> u64 {
        self.samples.saturating_mul(1000) / u64::from(self.rate.max(1))
    }
}

/// What a member of a conference said from the beginning of its talking to the end, in intervals of the mixer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TalkReport {
    /// Intervals in all.
    pub intervals: u32,
    /// Those above the energy level.
    pub loud: u32,
    /// Those below it, without the pause that ended the talking.
    pub quiet: u32,
    /// Sum of the levels of the loud ones.
    pub level_sum: u64,
    /// Sum of the differences between the level of each loud one and of the interval before it.
    pub change_sum: u64,
}

/// The answer to a level watch: how the counters of [`LevelWatch`] stood when one was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelReport {
    /// Frames in a row at or above the threshold (at the end of the watch).
    pub loud_hits: u32,
    /// Frames in a row below it.
    pub quiet_hits: u32,
    /// Which counter ended the watch.
    pub outcome: LevelOutcome,
}

/// How a level watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelOutcome {
    /// Enough loud frames (and no quiet target, or no quiet target reached first).
    Loud,
    /// Enough quiet frames, after enough loud ones if those were asked for.
    Quiet,
}

/// What to watch the received audio for. The score of a frame is the mean absolute sample, as the
/// reference computes it for its silence thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelWatch {
    /// Score that divides loud from quiet.
    pub threshold: u32,
    /// Loud frames to hear first; 0 = none are needed.
    pub loud_hits: u32,
    /// Quiet frames in a row that end the watch; 0 = the loud ones alone end it.
    pub quiet_hits: u32,
}

/// What a leg reports. Boxed on its way: a queue keeps room for dozens of events, and a leg has few.
#[derive(Debug)]
pub struct LegEvents(queue::Receiver<Box<LegEvent>>);

impl LegEvents {
    /// The next event; `None` when the leg has ended.
    pub async fn recv(&mut self) -> Option<LegEvent> {
        self.0.recv().await.map(|event| *event)
    }

    /// The next event, if it is there already.
    ///
    /// # Errors
    /// There is none, or there will be none.
    pub fn try_recv(&mut self) -> Result<LegEvent, TryRecvError> {
        self.0.try_recv().map(|event| *event)
    }
}

/// The other end of [`LegEvents`].
#[derive(Debug, Clone)]
pub(crate) struct EventSender(queue::Sender<Box<LegEvent>>);

impl EventSender {
    pub(crate) fn try_send(&self, event: LegEvent) -> Result<(), TrySendError<LegEvent>> {
        self.0.try_send(Box::new(event)).map_err(|error| match error {
            TrySendError::Full(event) => TrySendError::Full(*event),
            TrySendError::Closed(event) => TrySendError::Closed(*event),
        })
    }
}

/// A queue of so many events.
pub(crate) fn queue(size: usize) -> (EventSender, LegEvents) {
    let (sender, receiver) = queue::bounded(size);
    (EventSender(sender), LegEvents(receiver))
}
