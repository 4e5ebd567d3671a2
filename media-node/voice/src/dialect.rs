//! What a dialect is told, and what it wants done.

use std::path::PathBuf;

use crate::speech::Speech;

/// What happened. Texts and bytes come from a program and may hold anything.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The connection is open.
    Opened,
    /// A frame of the call's audio at the stream's rate, both sides in turn where the stream has both.
    Audio(&'a [i16]),
    /// A frame of the call's audio in Opus, of a stream that has it so ([`Wanted::opus`]), and its milliseconds.
    Frame(&'a [u8], u32),
    /// A text message of the program.
    Text(&'a str),
    /// A binary message, or on a connection without messages whatever bytes have come.
    Binary(&'a [u8]),
    /// The audio before a mark has left for the phone.
    Heard(&'a str),
    /// A mark was thrown away with the audio before it.
    Cleared(&'a str),
    /// Everything queued has left for the phone.
    Drained {
        /// Milliseconds heard since the last time.
        heard_ms: u64,
    },
    /// Queued audio was thrown away.
    Cut {
        /// Milliseconds of it that were heard.
        heard_ms: u64,
        /// Milliseconds that were not.
        lost_ms: u64,
    },
    /// The queue has become so long that the program had better wait (`true`), or short enough to go on.
    Full(bool),
    /// The answer to [`Action::AskStatus`]: milliseconds of the program's audio that wait.
    Status(u64),
    /// The program's audio found no room.
    Overflow,
    /// The program did not take the call's audio in time: some of it is lost.
    Overrun,
    /// A key of the far end, and its length in milliseconds.
    Digit(char, u32),
    /// Voice activity: whether speech began, on which side.
    Voice {
        /// The far end's side (`true`), or what it hears.
        said: bool,
        /// It began (`true`) or ended.
        begins: bool,
    },
    /// The far end's turn is over: silence for as long as was asked for.
    TurnEnd {
        /// Milliseconds of it.
        silence_ms: u64,
    },
    /// An application has a text for the program.
    Send(&'a str),
    /// The switch's side will send no more audio; the connection stays.
    NoMoreAudio,
    /// The switch ends the stream, with a last text.
    Stop(Option<&'a str>),
    /// The far end has closed the connection.
    Closed(u16, &'a str),
    /// The connection failed, before or after it was open.
    Failed(&'a End),
    /// A key and value for the dialect alone (`mute`, `send_json`).
    Tune(&'a str, &'a str),
}

/// Why a stream ended that was not stopped by a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The address is one the settings do not allow.
    #[error(
        "{0} is inside the node's own network; `allow-internal-targets` in audio_streams.conf can allow it"
    )]
    Internal(String),
    /// No connection.
    #[error("{0}")]
    Connect(String),
    /// TLS does not come about.
    #[error("{0}")]
    Tls(String),
    /// The other side does not open a WebSocket; its status, 0 if it has none.
    #[error("{1}")]
    Handshake(u16, String),
    /// It took too long.
    #[error("Connection timed out")]
    Timeout,
    /// Pings are not answered.
    #[error("Ping timeout")]
    Ping,
    /// What came is against the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
}

/// A file to write before something is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// Where; it ends with the stream.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Play it in the switch when it is there.
    pub play: bool,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A text to the program.
    Text(String),
    /// Bytes to the program: a binary message.
    Binary(Vec<u8>),
    /// The call's audio as a text: dropped before others when the program does not take it.
    AudioText(String),
    /// The same as a binary message.
    AudioBinary(Vec<u8>),
    /// An event `prefix::name` with that body.
    Event(&'static str, Option<String>),
    /// A file, then the event.
    Store(Clip, &'static str, String),
    /// Audio for the far end: samples per second, samples.
    Play(u32, Vec<i16>),
    /// A frame of Opus for the far end.
    PlayFrame(Vec<u8>),
    /// A mark behind all audio queued so far.
    Mark(String),
    /// Marks are forgotten, audio stays.
    ForgetMarks,
    /// Audio and marks are thrown away.
    Clear,
    /// Audio is thrown away; marks are heard then.
    DropAudio,
    /// Playing stops (`true`) or goes on; the queue stays.
    Hold(bool),
    /// What an application plays on the call is broken off, as `uuid_break` does.
    Break,
    /// How long the queue is.
    AskStatus,
    /// The call is answered.
    Answer,
    /// The call is hung up.
    HangUp,
    /// The stream ends; the close code.
    Close(u16),
    /// Something an administrator may want to know.
    Log(String),
    /// What a recogniser understood.
    Speech(Speech),
}

/// What a dialect wants done.
pub type Actions = Vec<Action>;

/// What a dialect needs to know of the stream's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Samples per second towards the program.
    pub rate: u32,
    /// Milliseconds of a frame.
    pub frame_ms: u32,
    /// Marks that may wait at once.
    pub marks: usize,
    /// Audio is frames of Opus, both ways.
    pub opus: bool,
}

/// A way programs and the switch speak with each other. One file each; no input or output of its own.
pub trait Dialect: Send {
    /// What events begin with.
    fn prefix(&self) -> &'static str;

    /// What it needs of the engine.
    fn wanted(&self) -> Wanted;

    /// Something happened.
    fn feed(&mut self, input: Input<'_>, out: &mut Actions);
}
