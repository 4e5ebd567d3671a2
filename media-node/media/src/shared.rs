//! What a leg's handle and its worker share, and what is said between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crossbeam_queue::{ArrayQueue, SegQueue};

use crate::codec::{Codec, Coder};
use crate::conceal::Concealer;
use crate::dtmf::DigitStep;
use crate::dtmf::tones::ToneKeys;
use crate::error::LegError;
use crate::event::LevelWatch;
use crate::io::os::Waker;
use crate::jitter::JitterBuffer;
use crate::leg::playout::PlayoutEnd;
use crate::leg::{BridgeOptions, LegId, MemberOptions, PlayId, RecordId, Side};
use crate::params::RtpParams;
use crate::picture::congestion::Congestion;
use crate::picture::simulcast::Layers;
use crate::record::tap::Tap;
use crate::resample::Converter;
use crate::side_channel::SideInput;
use crate::source::PlayPlan;
use crate::srtp::Srtp;
use crate::stats::cell::StatsCell;
use crate::worker::leg::LegState;
use crate::worker::mix::Member;
use crate::worker::pictures::Picture;
use crate::worker::playing::DelayLine;

/// Commands a worker has waiting before further ones are refused ([`LegError::QueueFull`]).
pub(crate) const COMMANDS: usize = 8192;
/// Legs on one worker before opening is refused.
pub(crate) const MAX_LEGS: usize = 16_384;
/// A leg that is on no worker.
pub(crate) const NOWHERE: usize = usize::MAX;

/// One leg, seen from both sides.
#[derive(Debug)]
pub(crate) struct LegShared {
    pub(crate) id: LegId,
    /// Worker the leg is on; changes when it moves.
    pub(crate) worker: AtomicUsize,
    /// Its place there; [`NOWHERE`] before it is attached, on its way, and after it is closed.
    pub(crate) slot: AtomicUsize,
    /// Index into [`Codec::all`].
    pub(crate) codec: AtomicUsize,
    pub(crate) ssrc: u32,
    pub(crate) stats: StatsCell,
    /// The legs whose pictures it is to be shown and is shown; [`NO_LEG`] for none. Written by its worker alone.
    pub(crate) watched: [AtomicU64; 2],
}

/// No leg has this number.
pub(crate) const NO_LEG: u64 = u64::MAX;

impl LegShared {
    /// Says whose pictures it is to be shown, and is shown now.
    pub(crate) fn set_watched(&self, legs: [Option<LegId>; 2]) {
        for (place, leg) in self.watched.iter().zip(legs) {
            place.store(leg.map_or(NO_LEG, |leg| leg.0), Ordering::Relaxed);
        }
    }

    /// Whether it is, or is to be, shown pictures of that leg.
    pub(crate) fn watches(&self, leg: LegId) -> bool {
        self.watched.iter().any(|watched| watched.load(Ordering::Relaxed) == leg.0)
    }

    pub(crate) fn set_codec(&self, codec: Codec) {
        let index = Codec::all().iter().position(|c| *c == codec).unwrap_or(0);
        self.codec.store(index, Ordering::Relaxed);
    }

    pub(crate) fn codec(&self) -> Codec {
        let index = self.codec.load(Ordering::Relaxed);
        Codec::all().get(index).copied().unwrap_or(Codec::PCMU)
    }
}

/// One message to a worker about one leg.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) leg: Arc<LegShared>,
    pub(crate) op: Op,
}

/// What to do. Everything large comes in a box built by the sender; the worker hands it back for
/// dropping.
#[derive(Debug)]
pub(crate) enum Op {
    Attach(Box<LegState>),
    SetRtp(Box<NewRtp>),
    Play {
        id: PlayId,
        plan: Box<PlayPlan>,
        how: PlayHow,
    },
    PlayControl {
        id: PlayId,
        control: PlayControl,
    },
    Playout(Box<PlayoutEnd>),
    EndPlayout(PlayId),
    Record(Box<Tap>),
    RecordControl {
        id: RecordId,
        control: RecordControl,
    },
    /// Silences a piece of recordings that was written already, milliseconds ago.
    Redact {
        from_ms: u32,
        to_ms: u32,
        heard: bool,
    },
    Bridge {
        peer: Arc<LegShared>,
        options: BridgeOptions,
    },
    Unbridge,
    Join {
        mixer: Arc<LegShared>,
        member: Box<Member>,
    },
    Member(MemberOptions),
    JoinPictures {
        mixer: Arc<LegShared>,
        picture: Box<Picture>,
    },
    /// Whose pictures the leg is shown.
    LookAt(Option<Arc<LegShared>>),
    HidePictures(bool),
    Separate(Vec<(LegId, LegId)>),
    Noise(u32),
    Echo(Option<Box<DelayLine>>),
    EchoOff,
    Hold(bool),
    Gain {
        side: Side,
        percent: u32,
    },
    Mute {
        side: Side,
        on: bool,
    },
    Digits(Vec<DigitStep>),
    FlushDigits,
    ToneKeys(Option<Box<ToneKeys>>),
    SaidKeys(Option<Box<ToneKeys>>),
    Inband(Option<Box<crate::dtmf::inband::Detector>>),
    Silence(Option<u32>),
    Jitter(Option<Box<JitterBuffer>>),
    Watch(Option<LevelWatch>),
    Converter(Box<Converter>),
    /// Where what is no media goes.
    SideChannel(Box<SideInput>),
    /// Where a leg with connectivity checks sends to.
    Path(Option<SocketAddr>),
    /// What a handshake has brought.
    Keys(Box<Srtp>),
    /// The same of an RTCP port of its own: where its packets go, and the keys of its handshake.
    RtcpPath(Option<SocketAddr>),
    RtcpKeys(Box<Srtp>),
}

/// New negotiated parameters, with what they need built.
#[derive(Debug)]
pub(crate) struct NewRtp {
    pub(crate) params: Box<RtpParams>,
    pub(crate) jitter: Option<Box<JitterBuffer>>,
    pub(crate) conceal: Option<Box<Concealer>>,
    pub(crate) coder: Coder,
    pub(crate) protection: Option<Box<Srtp>>,
    /// Room for what simulcast and transport-wide feedback keep, where they were agreed.
    pub(crate) layers: Option<Box<Layers>>,
    pub(crate) congestion: Option<Box<Congestion>>,
}

/// What a new play does to one in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlayHow {
    /// Ends it.
    Instead,
    /// Lets it wait.
    Within,
    /// Lets it wait, and keeps what the leg says from its bridged peer.
    Alone,
    /// Is added to it, or to whatever else the leg hears.
    Over,
    /// Takes the place of what the leg says, for all who hear it.
    Said,
    /// Is added to what the leg says.
    SaidOver,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum PlayControl {
    Pause(bool),
    Seek { position: i64, relative: bool },
    Volume(u32),
    Speed(i8),
    Stop,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum RecordControl {
    Pause(bool),
    Mask(bool),
    Stop,
}

/// The outside of one worker.
#[derive(Debug)]
pub(crate) struct Mailbox {
    commands: ArrayQueue<Command>,
    /// Handles dropped: each leg's once, so that it holds no more than [`MAX_LEGS`].
    closes: SegQueue<Arc<LegShared>>,
    /// The worker blocks, or is about to.
    sleeping: AtomicBool,
    pub(crate) stop: AtomicBool,
    pub(crate) legs: AtomicUsize,
    waker: Option<Arc<Waker>>,
    /// Processor time, per mille of the last second.
    pub(crate) busy: AtomicUsize,
    /// Time in which packets and frames were late, per mille of the last second.
    pub(crate) late_share: AtomicUsize,
    /// Frames skipped because the worker was late.
    pub(crate) late: AtomicUsize,
    /// Packets dropped because they had waited too long to be read.
    pub(crate) dropped: AtomicUsize,
}

impl Mailbox {
    pub(crate) fn new(waker: Option<Arc<Waker>>) -> Self {
        Self {
            commands: ArrayQueue::new(COMMANDS),
            closes: SegQueue::new(),
            sleeping: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            legs: AtomicUsize::new(0),
            waker,
            busy: AtomicUsize::new(0),
            late_share: AtomicUsize::new(0),
            late: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
        }
    }

    pub(crate) fn post(&self, command: Command) -> Result<(), Command> {
        let result = self.commands.push(command);
        self.wake();
        result
    }

    pub(crate) fn close(&self, leg: Arc<LegShared>) {
        self.closes.push(leg);
        self.wake();
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }

    fn wake(&self) {
        if self.sleeping.swap(false, Ordering::SeqCst)
            && let Some(waker) = &self.waker
        {
            waker.wake();
        }
    }

    /// Says the worker is about to block. False when there is something to do first.
    pub(crate) fn prepare_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        let idle =
            self.commands.is_empty() && self.closes.is_empty() && !self.stop.load(Ordering::SeqCst);
        if !idle {
            self.sleeping.store(false, Ordering::SeqCst);
        }
        idle
    }

    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    pub(crate) fn next_command(&self) -> Option<Command> {
        self.commands.pop()
    }

    pub(crate) fn closes_waiting(&self) -> usize {
        self.closes.len()
    }

    pub(crate) fn next_close(&self) -> Option<Arc<LegShared>> {
        self.closes.pop()
    }
}

/// Every worker's mailbox.
pub(crate) type Mailboxes = Arc<[Arc<Mailbox>]>;

/// Posts to the worker the leg is on.
pub(crate) fn post(mailboxes: &Mailboxes, leg: &Arc<LegShared>, op: Op) -> Result<(), LegError> {
    let worker = leg.worker.load(Ordering::Acquire);
    let mailbox = mailboxes.get(worker).ok_or(LegError::Closed)?;
    let command = Command { leg: Arc::clone(leg), op };
    mailbox.post(command).map_err(|_| LegError::QueueFull)
}
