//! `ferroswitch stream-test`: calls a program's server as a phone would, without a call, and says what came of it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Map;
use streams::client::{self, Frames, Item};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use voice::audio::Coding;
use voice::capture::{Capture, Mix};
use voice::dialects::audiosocket::AudioSocket;
use voice::dialects::chan_websocket::{self, ChanWebsocket};
use voice::dialects::fork::{self, Fork};
use voice::dialects::openai::{self, Model};
use voice::dialects::stream::{self, Stream};
use voice::dialects::twilio::{self, Flavour, MediaStream};
use voice::playout::{News, Queue, Sink};
use voice::target::{Allowed, Target};
use voice::{Action, Dialect, Input};

use crate::link::{self, Link, Tls, Way};
use crate::outbox::Outbox;
use crate::wire::Writing;
use crate::{settings, start};

/// Samples per second of the phone.
const RATE: u32 = 8000;
/// How long the server may take to close when the call has ended.
const CLOSING: Duration = Duration::from_secs(3);
const UUID: &str = "5eed0000-0000-4000-8000-000000000001";

/// What to try.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The server.
    pub url: String,
    /// How to speak to it.
    pub dialect: String,
    /// Length of the call.
    pub seconds: u32,
    /// Bearer token.
    pub token: Option<String>,
    /// Text or JSON for it.
    pub metadata: String,
    /// Certificates are not checked.
    pub insecure: bool,
}

/// What came of it: a line for each thing looked at, and whether all that is required happened.
#[derive(Debug, Default)]
pub struct Report {
    text: String,
    failed: bool,
}

impl Report {
    /// For people.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Did everything required happen?
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.failed
    }

    fn check(&mut self, required: bool, good: bool, what: &str) {
        let word = match (good, required) {
            (true, _) => "ok  ",
            (false, true) => "FAIL",
            (false, false) => "note",
        };
        self.failed |= required && !good;
        let _ = writeln!(self.text, "{word}  {what}");
    }
}

/// A phone: takes a frame every 20 ms.
#[derive(Default)]
struct FarEnd {
    ring: VecDeque<i16>,
    pushed: u64,
    passed: u64,
    heard: u64,
    loud: u64,
    flowing: bool,
    dry: u64,
}

impl Sink for FarEnd {
    fn rate(&self) -> u32 {
        RATE
    }
    fn waiting(&self) -> usize {
        self.ring.len()
    }
    fn push(&mut self, samples: &[i16]) -> usize {
        self.ring.extend(samples);
        self.pushed += samples.len() as u64;
        samples.len()
    }
    fn pushed(&self) -> u64 {
        self.pushed
    }
    fn passed(&self) -> u64 {
        self.passed
    }
    fn heard(&self) -> u64 {
        self.heard
    }
    fn dry(&self) -> u64 {
        self.dry
    }
    fn cut(&mut self) {
        self.passed += self.ring.len() as u64;
        self.ring.clear();
    }
}

impl FarEnd {
    fn listen(&mut self) {
        let n = self.ring.len().min(RATE as usize / 50);
        let frame = self.ring.drain(..n);
        self.loud += frame.filter(|sample| sample.unsigned_abs() > 200).count() as u64;
        self.passed += n as u64;
        self.heard += n as u64;
        let full = n == RATE as usize / 50;
        self.dry += u64::from(std::mem::replace(&mut self.flowing, full) && !full);
    }
}

/// What was noticed.
#[derive(Default)]
struct Notes {
    texts: u64,
    binaries: u64,
    played: u64,
    first_audio: Option<Duration>,
    marks: (u64, u64, u64),
    clears: u64,
    complaints: Vec<String>,
    events: Vec<String>,
    closed: Option<u16>,
    hung_up: bool,
}

fn dialect(trial: &Trial) -> Option<Box<dyn Dialect>> {
    let metadata = trial.metadata.clone();
    let files = std::env::temp_dir().join("stream-test");
    let bytes = trial.url.starts_with("tcp:") || trial.url.starts_with("audiosocket:");
    let kind = if bytes { "audiosocket" } else { trial.dialect.as_str() };
    Some(match kind {
        "fork" | "drachtio" | "jambonz" => Box::new(Fork::new(fork::Setup {
            rate: RATE,
            metadata,
            bidirectional: true,
            back: RATE,
            files,
        })),
        "audio_stream" => Box::new(Stream::new(stream::Setup {
            rate: RATE,
            frame_ms: 20,
            metadata,
            playback: Some(RATE),
            files,
        })),
        "openai" => Box::new(Model::new(openai::Setup {
            rate: 24_000,
            frame_ms: 20,
            files,
            ..openai::Setup::default()
        })),
        "chan_websocket" | "chan_websocket_json" => {
            Box::new(ChanWebsocket::new(chan_websocket::Setup {
                json: trial.dialect.ends_with("json"),
                coding: Coding::Ulaw,
                rate: RATE,
                connection: UUID.to_owned(),
                channel: "stream-test".to_owned(),
                channel_id: UUID.to_owned(),
                variables: start::object(&metadata),
            }))
        }
        "audiosocket" => Box::new(AudioSocket::new(UUID, RATE)),
        other => {
            let flavour = Flavour::of(other)?;
            let linear = matches!(flavour, Flavour::Vonage | Flavour::Exotel);
            Box::new(MediaStream::new(twilio::Setup {
                flavour,
                coding: if linear { Coding::Linear } else { Coding::Ulaw },
                rate: if flavour == Flavour::Vonage { 16_000 } else { RATE },
                mix: Mix::Mono,
                call: UUID.to_owned(),
                stream: format!("MZ{}", UUID.replace('-', "")),
                account: "AC00000000000000000000000000000000".to_owned(),
                from: "+15550100".to_owned(),
                to: "+15550101".to_owned(),
                parameters: if metadata.is_empty() { Map::new() } else { start::object(&metadata) },
            }))
        }
    })
}

/// Tries a server.
pub async fn run(trial: &Trial) -> Report {
    let mut report = Report::default();
    let (Some(target), Some(dialect)) = (Target::any(&trial.url), dialect(trial)) else {
        report.check(true, false, "no address of a program, or no such dialect");
        return report;
    };
    let fork = dialect.prefix() == fork::PREFIX;
    let way = Way {
        protocol: fork.then(settings::subprotocol),
        headers: trial.token.iter().map(|token| start::bearer(token)).collect(),
        deflate: dialect.prefix() == stream::PREFIX,
        bare_host: fork,
        tls: Tls { no_authority: trial.insecure, no_name: trial.insecure, ..Tls::default() },
    };
    let begun = Instant::now();
    let (anywhere, _) = Allowed::read("any");
    let link = link::connect(&target, &way, &anywhere, Duration::from_secs(10)).await;
    match link {
        Ok(link) => {
            let ms = begun.elapsed().as_millis();
            report.check(true, true, &format!("connected to {} in {ms} ms", target.shown()));
            let notes = Bench::new(trial, dialect).talk(link).await;
            judge(&mut report, trial, &notes);
        }
        Err(end) => report.check(true, false, &format!("no connection: {end}")),
    }
    report
}

fn judge(report: &mut Report, trial: &Trial, notes: &Notes) {
    report.check(
        false,
        notes.texts + notes.binaries > 0,
        &format!("it sent {} texts and {} binary messages", notes.texts, notes.binaries),
    );
    let first = notes
        .first_audio
        .map_or_else(|| "never".to_owned(), |at| format!("after {} ms", at.as_millis()));
    report.check(
        false,
        notes.played > 0,
        &format!("it spoke for {} ms of {} s, first {first}", notes.played, trial.seconds),
    );
    let (asked, heard, cleared) = notes.marks;
    report.check(
        true,
        heard + cleared <= asked,
        &format!("{asked} marks, {heard} heard, {cleared} cleared; {} times cleared", notes.clears),
    );
    let early = notes.closed.is_some() && !notes.hung_up;
    let closed =
        notes.closed.map_or_else(|| "not at all".to_owned(), |code| format!("with {code}"));
    report.check(
        true,
        notes.closed.is_some_and(|code| code != 1006),
        &format!(
            "it closed the connection {closed}{}",
            if early { ", before the call ended" } else { "" }
        ),
    );
    for complaint in notes.complaints.iter().take(10) {
        report.check(true, false, complaint);
    }
    for event in notes.events.iter().take(20) {
        report.check(false, true, &format!("event {event}"));
    }
}

struct Bench {
    dialect: Box<dyn Dialect>,
    capture: Capture,
    queue: Queue,
    far_end: FarEnd,
    outbox: Outbox,
    notes: Notes,
    begun: Instant,
    length: Duration,
    raw: bool,
    over: bool,
}

impl Bench {
    fn new(trial: &Trial, dialect: Box<dyn Dialect>) -> Self {
        let wanted = dialect.wanted();
        Self {
            capture: Capture::new(Mix::Mono, wanted.rate, wanted.frame_ms),
            queue: Queue::new(60_000, wanted.marks),
            dialect,
            far_end: FarEnd::default(),
            outbox: Outbox::new(100),
            notes: Notes::default(),
            begun: Instant::now(),
            length: Duration::from_secs(u64::from(trial.seconds)),
            raw: false,
            over: false,
        }
    }

    async fn talk(mut self, link: Link) -> Notes {
        let Link { io, early, deflate, raw } = link;
        self.raw = raw;
        let (mut reader, writer) = tokio::io::split(io);
        let mut frames = Frames::new(early, 16 * 1024 * 1024, deflate);
        let mut writing = Writing::new(writer);
        self.feed(Input::Opened);
        let mut clock = interval(Duration::from_millis(20));
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut n, mut ended) = (0_u32, None::<Instant>);
        while self.notes.closed.is_none() {
            if ended.is_some_and(|at| at.elapsed() > CLOSING) {
                return self.notes;
            }
            writing.refill(&mut self.outbox);
            tokio::select! {
                read = reader.read_buf(frames.buffer()) => match read {
                    Ok(1..) => self.received(&mut frames),
                    // AudioSocket has no close of its own.
                    Ok(0) => self.notes.closed = Some(if raw { 1000 } else { 1006 }),
                    Err(error) => {
                        self.notes.complaints.push(error.to_string());
                        self.notes.closed = Some(1006);
                    }
                },
                written = writing.step(), if writing.has_work() => if let Err(error) = written {
                    self.notes.complaints.push(error.to_string());
                    self.notes.closed = Some(1006);
                },
                _ = clock.tick(), if ended.is_none() => {
                    self.frame(n);
                    n += 1;
                    if self.over || self.begun.elapsed() >= self.length {
                        self.notes.hung_up = true;
                        self.feed(Input::Stop(None));
                        if !raw {
                            self.outbox.text(client::close(1000));
                        }
                        let _late = timeout(CLOSING, writing.flush_all(&mut self.outbox)).await;
                        ended = Some(Instant::now());
                    }
                },
                () = tokio::time::sleep(Duration::from_millis(100)), if ended.is_some() => {}
            }
        }
        if !self.notes.hung_up && !raw {
            self.outbox.text(client::close(1000));
            let _late = timeout(CLOSING, writing.flush_all(&mut self.outbox)).await;
        }
        self.notes
    }

    /// Twenty milliseconds of a caller who listens for a second and speaks for one, in turn.
    fn frame(&mut self, n: u32) {
        let speaks = !(n / 50).is_multiple_of(2);
        let samples: Vec<i16> = (0..RATE / 50)
            .map(|i| {
                let at = f64::from(n * RATE / 50 + i) / f64::from(RATE);
                let level = if speaks { 9000.0 } else { 0.0 };
                ((at * 440.0 * std::f64::consts::TAU).sin() * level) as i16
            })
            .collect();
        self.capture.push(&samples, false, RATE);
        let (dialect, mut actions) = (&mut self.dialect, Vec::new());
        self.capture.frames(|frame| dialect.feed(Input::Audio(frame), &mut actions));
        self.act(actions);
        if n == 75 {
            self.feed(Input::Digit('5', 100));
        }
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut news = Vec::new();
        self.queue.tick(&mut self.far_end, now, &mut news);
        self.far_end.listen();
        self.notes.played = self.far_end.loud * 1000 / u64::from(RATE);
        self.news(news);
    }

    fn news(&mut self, news: Vec<News>) {
        for one in news {
            match &one {
                News::Heard(name) => {
                    self.notes.marks.1 += 1;
                    self.feed(Input::Heard(name));
                }
                News::Cleared(name) => {
                    self.notes.marks.2 += 1;
                    self.feed(Input::Cleared(name));
                }
                News::Drained(heard_ms) => self.feed(Input::Drained { heard_ms: *heard_ms }),
                News::Cut(heard, lost) => {
                    self.feed(Input::Cut { heard_ms: *heard, lost_ms: *lost });
                }
                News::Full(full) => self.feed(Input::Full(*full)),
            }
        }
    }

    fn received(&mut self, frames: &mut Frames) {
        if self.raw {
            let bytes = frames.buffer().split();
            self.notes.binaries += 1;
            return self.feed(Input::Binary(&bytes));
        }
        loop {
            match frames.next_item() {
                Ok(None) => return,
                Ok(Some(Item::Text(text))) => {
                    self.notes.texts += 1;
                    self.feed(Input::Text(&text));
                }
                Ok(Some(Item::Binary(bytes))) => {
                    self.notes.binaries += 1;
                    self.feed(Input::Binary(&bytes));
                }
                Ok(Some(Item::Ping(payload))) => {
                    self.outbox.text(client::pong(&payload));
                }
                Ok(Some(Item::Pong)) => {}
                Ok(Some(Item::Close(code, _))) => {
                    self.notes.closed = Some(code);
                    return;
                }
                Err(error) => {
                    self.notes.complaints.push(error.to_string());
                    self.notes.closed = Some(error.code());
                    return;
                }
            }
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.dialect.feed(input, &mut actions);
        self.act(actions);
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            let framed = |raw: bool, bytes: &[u8]| {
                if raw { bytes::Bytes::copy_from_slice(bytes) } else { client::binary(bytes) }
            };
            match action {
                Action::Text(text) => drop(self.outbox.text(client::text(&text))),
                Action::AudioText(text) => drop(self.outbox.audio(client::text(&text))),
                Action::Binary(bytes) => drop(self.outbox.text(framed(self.raw, &bytes))),
                Action::AudioBinary(bytes) => drop(self.outbox.audio(framed(self.raw, &bytes))),
                Action::Play(rate, samples) => {
                    self.notes.first_audio.get_or_insert(self.begun.elapsed());
                    let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                    if !self.queue.push(rate, samples, now) {
                        self.notes
                            .complaints
                            .push("it sent more than a minute of audio ahead".to_owned());
                    }
                }
                Action::Mark(name) => {
                    self.notes.marks.0 += 1;
                    if !self.queue.mark(name) {
                        self.notes.complaints.push("too many marks wait".to_owned());
                    }
                }
                Action::Clear | Action::DropAudio => {
                    self.notes.clears += 1;
                    let mut news = Vec::new();
                    self.queue.clear(&mut self.far_end, &mut news);
                    self.news(news);
                }
                Action::ForgetMarks => self.queue.forget_marks(),
                Action::Event(name, _) | Action::Store(_, name, _) => {
                    self.notes.events.push(format!("{}::{name}", self.dialect.prefix()));
                }
                Action::HangUp => self.over = true,
                Action::AskStatus => {
                    let queued = self.queue.queued_ms();
                    self.feed(Input::Status(queued));
                }
                Action::Log(text) => self.notes.complaints.push(text),
                Action::PlayFrame(_)
                | Action::Hold(_)
                | Action::Break
                | Action::Answer
                | Action::Speech(_)
                | Action::Close(_) => {}
            }
        }
    }
}
