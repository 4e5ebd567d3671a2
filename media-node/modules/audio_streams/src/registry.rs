//! The streams of each call: by family and name, and what may be asked of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::reading::Reading;
use serde_json::{Value, json};
use switch_core::call::Channel;
use switch_core::switch::Switch;
use tokio::sync::{mpsc, watch};

/// Requests that may wait for a stream; more are refused.
const CONTROLS: usize = 512;
/// Streams of a call that ended by themselves, whose `stop` still succeeds.
const ENDED: usize = 32;

/// Whose command made a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `uuid_audio_fork`.
    Fork,
    /// `uuid_audio_stream`.
    Stream,
    /// `uuid_openai_audio_stream`.
    Model,
    /// The application `stream`.
    Application,
    /// `detect_speech` and `play_and_detect_speech`.
    Recognition,
    /// `uuid_transcribe` and its kin.
    Transcription,
}

impl Family {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fork => "uuid_audio_fork",
            Self::Stream => "uuid_audio_stream",
            Self::Model => "uuid_openai_audio_stream",
            Self::Application => "stream",
            Self::Recognition => "detect_speech",
            Self::Transcription => "uuid_transcribe",
        }
    }
}

/// What may be asked of a stream.
#[derive(Debug)]
pub(crate) enum Control {
    /// A text to the program.
    Send(String),
    /// The end, with a last text.
    Stop(Option<String>),
    /// No audio goes out; with silence in its place or nothing.
    Pause { silence: bool },
    /// It goes out again.
    Resume,
    /// The far end is not heard by the program, or the program not by it; or they are again.
    Mute { on: bool, whom: Whom },
    /// No more audio will.
    NoMoreAudio,
    /// What waits to be heard is not.
    StopPlay,
    /// A key of the far end.
    Digit(char, u32),
    /// For the dialect alone.
    Tune(&'static str, String),
    /// The call is over.
    HangUp,
}

/// Who is muted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// The far end of the call.
    User,
    Program,
    Both,
}

impl Whom {
    /// By its name; the user without one.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "" | "user" => Self::User,
            "program" | "bot" | "openai" => Self::Program,
            "all" | "both" => Self::Both,
            _ => return None,
        })
    }

    pub(crate) fn user(self) -> bool {
        self != Self::Program
    }

    pub(crate) fn program(self) -> bool {
        self != Self::User
    }
}

impl Control {
    /// What every stream can be asked, by the command's word and the one behind it. `None` for other words.
    pub(crate) fn of(verb: &str, word: &str) -> Option<Self> {
        Some(match verb {
            "pause" => Self::Pause { silence: word == "silence" },
            "resume" => Self::Resume,
            "mute" | "unmute" => Self::Mute { on: verb == "mute", whom: Whom::of(word)? },
            _ => return None,
        })
    }
}

/// Figures of one stream.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) connected: AtomicBool,
    pub(crate) sent: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) queued_ms: AtomicU64,
    pub(crate) heard_ms: AtomicU64,
    pub(crate) underruns: AtomicU64,
    pub(crate) ping_us: AtomicU64,
}

/// How a stream stands, for those who wait for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Connecting,
    Open,
    /// It ended after it was open; by whom.
    Over(Ending),
}

/// Why a stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A command, or the end of the call.
    Stopped,
    /// The program.
    Closed,
    /// There never was a connection.
    NotConnected,
    /// The connection broke.
    Broken,
}

/// One stream, as commands see it.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) family: Family,
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) control: mpsc::Sender<Control>,
    pub(crate) figures: Figures,
    pub(crate) stage: watch::Sender<Stage>,
    /// No more audio is to go out: the end is near.
    ending: watch::Sender<bool>,
}

impl Handle {
    /// Waits until a command asked for the end.
    pub(crate) async fn ending(&self) {
        let mut ending = self.ending.subscribe();
        let _lives_as_long = ending.wait_for(|ending| *ending).await;
    }

    pub(crate) fn new(
        family: Family,
        name: &str,
        target: String,
    ) -> (Arc<Self>, mpsc::Receiver<Control>) {
        let (control, requests) = mpsc::channel(CONTROLS);
        let handle = Self {
            family,
            name: name.to_owned(),
            target,
            control,
            figures: Figures::default(),
            stage: watch::Sender::new(Stage::Connecting),
            ending: watch::Sender::new(false),
        };
        (Arc::new(handle), requests)
    }

    /// Asks something of the stream; false when it is over or has too much to do.
    pub(crate) fn ask(&self, control: Control) -> bool {
        if matches!(control, Control::NoMoreAudio) {
            self.ending.send_replace(true);
        }
        self.control.try_send(control).is_ok()
    }

    fn row(&self) -> Value {
        let figures = &self.figures;
        let number = |value: &AtomicU64| value.load(Ordering::Relaxed);
        json!({
            "name": self.name,
            "command": self.family.name(),
            "target": self.target,
            "connected": figures.connected.load(Ordering::Relaxed),
            "sent_messages": number(&figures.sent),
            "dropped_messages": number(&figures.dropped),
            "received_bytes": number(&figures.received_bytes),
            "queued_ms": number(&figures.queued_ms),
            "heard_ms": number(&figures.heard_ms),
            "underruns": number(&figures.underruns),
            "ping_us": number(&figures.ping_us),
        })
    }
}

/// The streams of a channel.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    list: Vec<Arc<Handle>>,
    /// Those that ended by themselves, and have not been stopped since.
    ended: Vec<(Family, String)>,
}

/// Why a stream cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("a stream of that name is there already")]
    Taken,
    #[error("the call has as many streams as it may")]
    TooMany,
}

/// Adds a stream to a call.
pub(crate) fn add(channel: &Channel, handle: &Arc<Handle>, most: usize) -> Result<(), Refused> {
    channel.with(|data| {
        let streams = data.slot::<Streams>();
        let same = |own: &Arc<Handle>| own.family == handle.family && own.name == handle.name;
        if streams.list.iter().any(same) {
            return Err(Refused::Taken);
        }
        if streams.list.len() >= most {
            return Err(Refused::TooMany);
        }
        streams.ended.retain(|(family, name)| (*family, name) != (handle.family, &handle.name));
        streams.list.push(Arc::clone(handle));
        Ok(())
    })
}

/// The stream of that name.
pub(crate) fn find(channel: &Channel, family: Family, name: &str) -> Option<Arc<Handle>> {
    channel.with(|data| {
        let streams = data.find_slot::<Streams>()?;
        let found = streams.list.iter().find(|own| own.family == family && own.name == name);
        found.cloned()
    })
}

/// The only stream a call has by that name, or at all without one, whatever began it.
pub(crate) fn find_named(channel: &Channel, name: &str) -> Option<Arc<Handle>> {
    channel.with(|data| {
        let streams = data.find_slot::<Streams>()?;
        let mut named = streams.list.iter().filter(|own| name.is_empty() || own.name == name);
        let first = named.next()?;
        named.next().is_none().then(|| Arc::clone(first))
    })
}

/// A stream is over. One that ended by itself accepts one more stop.
pub(crate) fn remove(channel: &Channel, handle: &Arc<Handle>, by_itself: bool) {
    channel.with(|data| {
        let Some(streams) = data.find_slot::<Streams>() else { return };
        let before = streams.list.len();
        streams.list.retain(|own| !Arc::ptr_eq(own, handle));
        let was_there = streams.list.len() < before;
        if was_there && by_itself && streams.ended.len() < ENDED {
            streams.ended.push((handle.family, handle.name.clone()));
        }
    });
}

/// Stops a stream: its name is free at once. True if there was one, or one that ended by itself.
pub(crate) fn stop(channel: &Channel, family: Family, name: &str, text: Option<String>) -> bool {
    let found = channel.with(|data| {
        let streams = data.find_slot::<Streams>()?;
        let at = streams.list.iter().position(|own| own.family == family && own.name == name);
        if let Some(at) = at {
            return Some(Some(streams.list.remove(at)));
        }
        let at = streams.ended.iter().position(|(f, n)| *f == family && n == name)?;
        streams.ended.swap_remove(at);
        Some(None)
    });
    match found {
        Some(Some(handle)) => {
            handle.ask(Control::Stop(text));
            true
        }
        Some(None) => true,
        None => false,
    }
}

/// Tells all streams of a call something.
pub(crate) fn tell_all(channel: &Channel, make: impl Fn() -> Control) {
    let list = channel.with(|data| data.find_slot::<Streams>().map(|s| s.list.clone()));
    for handle in list.unwrap_or_default() {
        handle.ask(make());
    }
}

/// The streams of a call, for people.
pub(crate) fn rows(channel: &Channel) -> Vec<Value> {
    let list = channel.with(|data| data.find_slot::<Streams>().map(|s| s.list.clone()));
    list.unwrap_or_default().iter().map(|handle| handle.row()).collect()
}

/// Figures of all streams since the start.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) open: AtomicU64,
    pub(crate) begun: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) heard_ms: AtomicU64,
    pub(crate) underruns: AtomicU64,
    pub(crate) overflows: AtomicU64,
}

/// Numbers for the metrics page.
pub(crate) fn readings(switch: &Arc<Switch>) -> Vec<Reading> {
    let totals = switch.module::<Totals>();
    let count =
        |name, help, value: &AtomicU64| Reading::counter(name, help, value.load(Ordering::Relaxed));
    vec![
        Reading::gauge(
            "audio_streams",
            "Streams to programs that are open.",
            totals.open.load(Ordering::Relaxed) as f64,
        ),
        count("audio_streams_begun_total", "Streams that were asked for.", &totals.begun),
        count("audio_streams_failed_total", "Streams that failed.", &totals.failed),
        count("audio_stream_messages_total", "Messages with audio sent.", &totals.sent),
        count(
            "audio_stream_dropped_messages_total",
            "Messages with audio that programs did not take in time.",
            &totals.dropped,
        ),
        count("audio_stream_received_bytes_total", "Bytes of programs.", &totals.received_bytes),
        count(
            "audio_stream_heard_milliseconds_total",
            "Audio of programs that was heard.",
            &totals.heard_ms,
        ),
        count(
            "audio_stream_underruns_total",
            "Frames that found too little of a program's audio.",
            &totals.underruns,
        ),
        count(
            "audio_stream_overflows_total",
            "Times a program's audio found no room.",
            &totals.overflows,
        ),
    ]
}
