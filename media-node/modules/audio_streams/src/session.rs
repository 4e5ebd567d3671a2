//! One stream: a task between the call's media and a program. It never makes the call wait; when the call ends, it ends.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use streams::client::{self, Frames, Item};
use switch_core::call::Channel;
use tokio::io::{AsyncReadExt, ReadHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use voice::capture::Capture;
use voice::opus::{self, Opus};
use voice::playout::{News, Queue};
use voice::speech::Speech;
use voice::target::{Allowed, Target};
use voice::{Action, Actions, Dialect, End, Input};

use crate::activity::{Activity, Heard};
use crate::call_audio::CallAudio;
use crate::link::{self, Io, Link, Way};
use crate::outbox::{Early, Outbox};
use crate::registry::{self, Control, Ending, Handle, Stage, Totals, Whom};
use crate::settings::Settings;
use crate::wire::{Complaints, Due, OpenCount, Pings, Writing};

mod act;

/// How often the media is looked at.
const TICK: Duration = Duration::from_millis(10);
/// How long a closing connection may take.
const CLOSING: Duration = Duration::from_secs(2);
/// Files of a stream that are kept; the oldest go first.
const MOST_FILES: usize = 512;
/// Tries to connect again, and the pauses between them: each twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a stream is made of.
pub(crate) struct Plan {
    pub(crate) targets: Vec<Target>,
    pub(crate) way: Way,
    pub(crate) capture: Capture,
    pub(crate) capture_ms: u64,
    pub(crate) ping: Option<Duration>,
    pub(crate) reconnects: u32,
    pub(crate) activity: Activity,
    /// The module that is told what happens, instead of events.
    pub(crate) told: Option<mpsc::Sender<Told>>,
    /// Addresses inside the node's own network may be connected to.
    pub(crate) trusted: bool,
}

/// What a stream tells the module that asked for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// What would be an event `prefix::name` with that body.
    Event(String, Option<String>),
    /// What a recogniser understood.
    Speech(Speech),
    /// The far end speaks, or has stopped.
    Voice(bool),
}

/// One stream.
pub(crate) struct Session {
    channel: Arc<Channel>,
    handle: Arc<Handle>,
    dialect: Box<dyn Dialect>,
    plan: Plan,
    settings: Arc<Settings>,
    totals: Arc<Totals>,
    audio: CallAudio,
    /// Coders of a stream whose audio is frames of Opus.
    opus: Option<Opus>,
    queue: Queue,
    outbox: Outbox,
    requests: mpsc::Receiver<Control>,
    begun: Instant,
    /// When the connection was opened: what the program heard first is from then.
    opened_at: Instant,
    files: VecDeque<PathBuf>,
    early: Early,
    /// Silence instead of audio (`Some(true)`), or nothing.
    paused: Option<bool>,
    /// The program hears silence.
    muted: bool,
    no_more_audio: bool,
    /// The close code once the dialect wants the end.
    closing: Option<u16>,
    raw: bool,
    counted: (u64, u64, u64),
    complaints: Complaints,
}

/// Samples per second of the playout.
fn playout_rate(audio: &mut CallAudio) -> u32 {
    audio.playout().map_or(opus::RATE, |playout| playout.rate())
}

/// How talking to a program ended.
enum Over {
    Stopped,
    HungUp,
    /// The program closed: code and reason.
    Closed(u16, String),
    Failed(End),
}

impl Session {
    pub(crate) fn new(
        channel: &Arc<Channel>,
        handle: &Arc<Handle>,
        requests: mpsc::Receiver<Control>,
        dialect: Box<dyn Dialect>,
        mut audio: CallAudio,
        plan: Plan,
    ) -> Self {
        let settings = Settings::of(channel.switch());
        let wanted = dialect.wanted();
        let most = plan.capture_ms / u64::from(wanted.frame_ms.max(1));
        Self {
            channel: Arc::clone(channel),
            handle: Arc::clone(handle),
            dialect,
            totals: channel.switch().module::<Totals>(),
            opus: wanted.opus.then(|| Opus::new(playout_rate(&mut audio))).flatten(),
            audio,
            queue: Queue::new(settings.playout_ms, wanted.marks)
                .beginning_after(crate::start::prebuffer(channel)),
            outbox: Outbox::new(usize::try_from(most).unwrap_or(1)),
            settings,
            requests,
            begun: Instant::now(),
            opened_at: Instant::now(),
            files: VecDeque::new(),
            early: Early::default(),
            paused: None,
            muted: false,
            no_more_audio: false,
            closing: None,
            raw: plan.targets.first().is_some_and(|target| target.raw),
            plan,
            counted: (0, 0, 0),
            complaints: Complaints::new(Instant::now()),
        }
    }

    /// The stream from its connection to its end.
    pub(crate) async fn run(mut self) {
        self.totals.begun.fetch_add(1, Ordering::Relaxed);
        let ending = self.live().await;
        self.audio.detach();
        self.complain_no_more();
        self.count();
        if matches!(ending, Ending::NotConnected | Ending::Broken) {
            self.totals.failed.fetch_add(1, Ordering::Relaxed);
        }
        let by_itself = ending != Ending::Stopped;
        registry::remove(&self.channel, &self.handle, by_itself);
        self.handle.stage.send_replace(Stage::Over(ending));
        for file in self.files.drain(..) {
            let _gone = tokio::fs::remove_file(file).await;
        }
    }

    async fn live(&mut self) -> Ending {
        let mut left = self.plan.reconnects;
        let mut pause = FIRST_PAUSE;
        let mut was_open = false;
        loop {
            // On the heap while it lasts: what looking up names and shaking hands takes is not held by a stream that is open.
            let over = match Box::pin(self.connect()).await {
                Ok(link) => {
                    (was_open, pause) = (true, FIRST_PAUSE);
                    left = self.plan.reconnects;
                    self.talk(link).await
                }
                Err(over) => over,
            };
            self.handle.figures.connected.store(false, Ordering::Relaxed);
            let again = left > 0 && !matches!(over, Over::Stopped | Over::HungUp);
            if again && !matches!(over, Over::Closed(1000, _)) {
                left -= 1;
                tracing::warn!(uuid = %self.channel.uuid(), "{}: connecting again", self.handle.target);
                self.event("reconnecting", None);
                if let Some(over) = self.rest(pause).await {
                    return self.told(over, was_open).await;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            return self.told(over, was_open).await;
        }
    }

    /// Tells how it ended, once.
    async fn told(&mut self, over: Over, was_open: bool) -> Ending {
        let (ending, actions) = match over {
            Over::Stopped | Over::HungUp => return Ending::Stopped,
            Over::Closed(code, reason) => (Ending::Closed, self.fed(Input::Closed(code, &reason))),
            Over::Failed(end) => {
                tracing::warn!(
                    uuid = %self.channel.uuid(), "{} {}: {end}", self.handle.family.name(), self.handle.target
                );
                let ending = if was_open { Ending::Broken } else { Ending::NotConnected };
                (ending, self.fed(Input::Failed(&end)))
            }
        };
        // The name is free before the end is announced: a client may start a new stream on that event.
        registry::remove(&self.channel, &self.handle, true);
        self.act(actions).await;
        ending
    }

    /// Waits before the next try; the end if one comes meanwhile.
    async fn rest(&mut self, pause: Duration) -> Option<Over> {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return None,
                request = self.requests.recv() => {
                    if let Some(over) = self.before_open(request) {
                        return Some(over);
                    }
                }
            }
        }
    }

    /// A request while there is no connection.
    fn before_open(&mut self, request: Option<Control>) -> Option<Over> {
        match request {
            None | Some(Control::HangUp) => return Some(Over::HungUp),
            Some(Control::Stop(_)) => return Some(Over::Stopped),
            // Programs send their first texts in the instant of the start.
            Some(Control::Send(text)) => self.keep_early(text),
            Some(Control::Pause { silence }) => self.paused = Some(silence),
            Some(Control::Resume) => self.paused = None,
            Some(Control::Mute { on, whom }) => self.mute(on, whom),
            Some(Control::NoMoreAudio) => self.no_more_audio = true,
            Some(Control::Tune(key, value)) => {
                for action in self.fed(Input::Tune(key, &value)) {
                    // `send_json`: a model's session is set up in the instant of the start, too.
                    if let Action::Text(text) = action {
                        self.keep_early(text);
                    }
                }
            }
            Some(Control::StopPlay | Control::Digit(..)) => {}
        }
        None
    }

    fn keep_early(&mut self, text: String) {
        if !self.early.keep(text) {
            self.complain("too many texts wait for the connection: one is left out");
        }
    }

    async fn connect(&mut self) -> Result<Link, Over> {
        let targets = self.plan.targets.clone();
        let (way, settings) = (self.plan.way.clone(), Arc::clone(&self.settings));
        let mut last = End::Connect("no address".to_owned());
        for target in targets {
            let trusted = self.plan.trusted.then(Allowed::any);
            let allowed = trusted.as_ref().unwrap_or(&settings.allowed);
            let connecting = link::connect(&target, &way, allowed, settings.connect);
            let mut connecting = pin!(connecting);
            let result = loop {
                tokio::select! {
                    result = &mut connecting => break result,
                    request = self.requests.recv() => {
                        if let Some(over) = self.before_open(request) {
                            return Err(over);
                        }
                    }
                }
            };
            match result {
                Ok(link) => {
                    self.raw = link.raw;
                    return Ok(link);
                }
                Err(end) => last = end,
            }
        }
        Err(Over::Failed(last))
    }

    /// Everything between the handshake and the end of the connection.
    async fn talk(&mut self, link: Link) -> Over {
        let Link { io, early, deflate, .. } = link;
        let (mut reader, writer) = tokio::io::split(io);
        let mut frames = Frames::new(early, self.settings.message_bytes, deflate);
        let mut writing = Writing::new(writer);
        let _open = OpenCount::new(&self.totals);
        self.opened().await;
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut pings = Pings::new(self.plan.ping.filter(|_| !self.raw));
        // What came with the handshake's answer.
        if let Some(over) = self.received(&mut frames, &mut pings).await {
            return Box::pin(self.finish(over, reader, writing)).await;
        }
        loop {
            if let Some(code) = self.closing {
                return Box::pin(self.finish_own(code, reader, writing)).await;
            }
            writing.refill(&mut self.outbox);
            let over = tokio::select! {
                read = reader.read_buf(frames.buffer()) => match read {
                    Ok(0) => Some(Over::Closed(1006, String::new())),
                    Ok(n) => {
                        self.handle.figures.received_bytes.fetch_add(n as u64, Ordering::Relaxed);
                        self.totals.received_bytes.fetch_add(n as u64, Ordering::Relaxed);
                        let over = self.received(&mut frames, &mut pings).await;
                        // What may be heard already does not wait for the clock.
                        let mut actions = Vec::new();
                        self.speak(&mut actions);
                        self.act(actions).await;
                        over
                    }
                    Err(error) => Some(Over::Failed(End::Broken(error.to_string()))),
                },
                written = writing.step(), if writing.has_work() => {
                    written.err().map(|error| Over::Failed(End::Broken(error.to_string())))
                }
                _ = clock.tick() => {
                    self.tick().await;
                    self.ping(&mut pings)
                }
                request = self.requests.recv() => self.asked(request).await,
            };
            if let Some(over) = over {
                return Box::pin(self.finish(over, reader, writing)).await;
            }
        }
    }

    async fn opened(&mut self) {
        self.audio.follow(&self.channel);
        // Audio from before the connection is not sent.
        let _old = self.audio.hear();
        self.plan.capture.forget();
        self.outbox.forget_connection();
        self.opened_at = Instant::now();
        self.handle.figures.connected.store(true, Ordering::Relaxed);
        let actions = self.fed(Input::Opened);
        self.act(actions).await;
        self.handle.stage.send_replace(Stage::Open);
        for text in self.early.take() {
            let actions = self.fed(Input::Send(&text));
            self.act(actions).await;
        }
        if self.no_more_audio {
            let actions = self.fed(Input::NoMoreAudio);
            self.act(actions).await;
        }
    }

    /// Takes what has come apart.
    async fn received(&mut self, frames: &mut Frames, pings: &mut Pings) -> Option<Over> {
        if self.raw {
            let bytes = frames.buffer().split();
            let actions = self.fed(Input::Binary(&bytes));
            self.act(actions).await;
            return None;
        }
        loop {
            // A buffer full of the smallest messages is work for a while: other tasks go on meanwhile.
            tokio::task::coop::consume_budget().await;
            let actions = match frames.next_item() {
                Ok(None) => return None,
                Ok(Some(Item::Text(text))) => self.fed(Input::Text(&text)),
                Ok(Some(Item::Binary(bytes))) => self.fed(Input::Binary(&bytes)),
                Ok(Some(Item::Ping(payload))) => {
                    self.outbox.pong(client::pong(&payload));
                    continue;
                }
                Ok(Some(Item::Pong)) => {
                    let took = pings.answered();
                    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                    self.handle.figures.ping_us.store(us, Ordering::Relaxed);
                    continue;
                }
                Ok(Some(Item::Close(code, reason))) => return Some(Over::Closed(code, reason)),
                Err(error) => {
                    self.outbox.text(client::close(error.code()));
                    return Some(Over::Failed(End::Protocol(error.to_string())));
                }
            };
            self.act(actions).await;
            if self.closing.is_some() {
                return None;
            }
        }
    }

    async fn asked(&mut self, request: Option<Control>) -> Option<Over> {
        let actions = match request {
            None => return Some(Over::HungUp),
            Some(Control::HangUp) => self.fed(Input::Stop(None)),
            Some(Control::Stop(text)) => self.fed(Input::Stop(text.as_deref())),
            Some(Control::Send(text)) => self.fed(Input::Send(&text)),
            Some(Control::Digit(digit, duration)) => self.fed(Input::Digit(digit, duration)),
            Some(Control::Tune(key, value)) => self.fed(Input::Tune(key, &value)),
            Some(Control::NoMoreAudio) => {
                self.no_more_audio = true;
                self.outbox.forget_audio();
                self.fed(Input::NoMoreAudio)
            }
            Some(Control::Pause { silence }) => {
                self.paused = Some(silence);
                return None;
            }
            Some(Control::Resume) => {
                self.paused = None;
                self.plan.capture.forget();
                return None;
            }
            Some(Control::Mute { on, whom }) => {
                self.mute(on, whom);
                return None;
            }
            Some(Control::StopPlay) => vec![Action::DropAudio],
        };
        self.act(actions).await;
        None
    }

    fn mute(&mut self, on: bool, whom: Whom) {
        if whom.user() {
            self.muted = on;
        }
        if whom.program() {
            self.queue.mute(on);
        }
    }

    fn ping(&mut self, pings: &mut Pings) -> Option<Over> {
        if !self.channel.is_up() {
            return Some(Over::HungUp);
        }
        match pings.due() {
            Due::Nothing => None,
            Due::Ping => {
                self.outbox.text(client::ping());
                None
            }
            Due::Dead => Some(Over::Failed(End::Ping)),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Ten milliseconds of the call.
    async fn tick(&mut self) {
        if self.audio.follow(&self.channel)
            && let Some(playout) = self.audio.playout()
        {
            self.queue.renew(playout);
            if self.opus.is_some() {
                self.opus = Opus::new(playout_rate(&mut self.audio));
            }
        }
        let mut actions = Vec::new();
        self.listen(&mut actions);
        self.speak(&mut actions);
        self.act(actions).await;
        self.count();
    }

    fn listen(&mut self, actions: &mut Actions) {
        let both = self.audio.both();
        let playing = !self.queue.is_idle();
        let (heard, rate) = self.audio.hear();
        if heard.is_empty() {
            return;
        }
        let told = self.plan.activity.hear(heard, both, rate, playing);
        match self.paused {
            _ if self.no_more_audio => {}
            None if !self.muted => self.plan.capture.push(heard, both, rate),
            None if both => {
                // What the far end hears is the program's to know all the same.
                let silent = |(at, sample): (usize, &i16)| if at % 2 == 0 { 0 } else { *sample };
                let heard: Vec<i16> = heard.iter().enumerate().map(silent).collect();
                self.plan.capture.push(&heard, both, rate);
            }
            None | Some(true) => self.plan.capture.push(&vec![0; heard.len()], both, rate),
            Some(false) => {}
        }
        let sends = self.paused.is_none() && !self.muted && !self.no_more_audio;
        let dialect = &mut self.dialect;
        let as_is = self.opus.is_some()
            && self.audio.frames(|frame| {
                if sends {
                    dialect.feed(Input::Frame(frame, opus::ms(frame)), actions);
                }
            });
        self.plan.capture.frames(|frame| match &mut self.opus {
            None => dialect.feed(Input::Audio(frame), actions),
            // It was sent as it came.
            Some(_) if as_is && sends => {}
            Some(coder) => {
                if let Some(frame) = coder.encode(frame) {
                    dialect.feed(Input::Frame(&frame, 20), actions);
                }
            }
        });
        for heard in told {
            self.activity(heard, actions);
        }
    }

    fn activity(&mut self, heard: Heard, actions: &mut Actions) {
        let at = self.now_ms();
        match heard {
            Heard::Voice { said: true, begins } if self.plan.told.is_some() => {
                self.tell(Told::Voice(begins));
            }
            Heard::Voice { said, begins } => {
                let (event, side) =
                    (if begins { "start" } else { "end" }, if said { "read" } else { "write" });
                let body = format!(r#"{{"event":"{event}","direction":"{side}","at":{at}}}"#);
                actions.push(Action::Event("vad", Some(body)));
                self.dialect.feed(Input::Voice { said, begins }, actions);
                if said && begins && self.plan.activity.barges_in() && !self.queue.is_idle() {
                    actions.push(Action::Event("barge_in", Some(format!(r#"{{"at":{at}}}"#))));
                    actions.push(Action::Clear);
                }
            }
            Heard::TurnEnd { silence_ms } => {
                let body = format!(r#"{{"at":{at},"silence":{silence_ms}}}"#);
                actions.push(Action::Event("turn_end", Some(body)));
                self.dialect.feed(Input::TurnEnd { silence_ms }, actions);
            }
        }
    }

    fn speak(&mut self, actions: &mut Actions) {
        let now = self.now_ms();
        let Some(playout) = self.audio.playout() else { return };
        let mut news = Vec::new();
        self.queue.tick(playout, now, &mut news);
        self.news(news, actions);
    }

    fn news(&mut self, news: Vec<News>, actions: &mut Actions) {
        for one in news {
            let input = match &one {
                News::Heard(name) => Input::Heard(name),
                News::Cleared(name) => Input::Cleared(name),
                News::Drained(heard_ms) => Input::Drained { heard_ms: *heard_ms },
                News::Cut(heard_ms, lost_ms) => {
                    let body = format!(r#"{{"heard_ms":{heard_ms},"cleared_ms":{lost_ms}}}"#);
                    actions.push(Action::Event("cleared", Some(body)));
                    Input::Cut { heard_ms: *heard_ms, lost_ms: *lost_ms }
                }
                News::Full(full) => Input::Full(*full),
            };
            self.dialect.feed(input, actions);
        }
    }

    fn count(&mut self) {
        let figures = &self.handle.figures;
        figures.sent.store(self.outbox.sent, Ordering::Relaxed);
        figures.dropped.store(self.outbox.dropped, Ordering::Relaxed);
        figures.queued_ms.store(self.queue.queued_ms(), Ordering::Relaxed);
        let (sent, dropped, _) = self.counted;
        self.totals.sent.fetch_add(self.outbox.sent - sent, Ordering::Relaxed);
        self.totals.dropped.fetch_add(self.outbox.dropped - dropped, Ordering::Relaxed);
        self.counted.0 = self.outbox.sent;
        self.counted.1 = self.outbox.dropped;
        if let Some(playout) = self.audio.playout() {
            let heard = playout.heard() * 1000 / u64::from(playout.rate().max(1));
            let new = heard.saturating_sub(self.counted.2);
            self.totals.heard_ms.fetch_add(new, Ordering::Relaxed);
            self.counted.2 = heard;
            let underruns = playout.underruns();
            let before = figures.underruns.swap(underruns, Ordering::Relaxed);
            self.totals.underruns.fetch_add(underruns.saturating_sub(before), Ordering::Relaxed);
            figures.heard_ms.store(heard, Ordering::Relaxed);
        }
    }

    /// The dialect wants the end: what waits is sent, but for audio, and the close frame answered.
    async fn finish_own(
        &mut self,
        code: u16,
        mut reader: ReadHalf<Box<dyn Io>>,
        mut writing: Writing,
    ) -> Over {
        self.audio.detach();
        self.outbox.forget_connection();
        if !self.raw {
            self.outbox.text(client::close(code));
        }
        let mut rest = [0; 4096];
        let closing = async {
            writing.flush_all(&mut self.outbox).await?;
            writing.shut_down().await?;
            // The program's own close frame, or the end of the connection.
            while reader.read(&mut rest).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        let _late = timeout(CLOSING, closing).await;
        Over::Stopped
    }

    /// The connection ends, or has.
    async fn finish(
        &mut self,
        over: Over,
        reader: ReadHalf<Box<dyn Io>>,
        mut writing: Writing,
    ) -> Over {
        match over {
            Over::HungUp => {
                let actions = self.fed(Input::Stop(None));
                self.act(actions).await;
                let code = self.closing.unwrap_or(1000);
                return self.finish_own(code, reader, writing).await;
            }
            Over::Closed(code, _) if code != 1006 => {
                let answer = if code == 1005 { 1000 } else { code };
                self.outbox.forget_connection();
                self.outbox.text(client::close(answer));
                let _late = timeout(CLOSING, writing.flush_all(&mut self.outbox)).await;
            }
            Over::Failed(End::Protocol(_)) => {
                self.outbox.forget_connection();
                let _late = timeout(CLOSING, writing.flush_all(&mut self.outbox)).await;
            }
            _ => {}
        }
        over
    }
}
