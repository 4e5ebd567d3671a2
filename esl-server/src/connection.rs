//! One socket: moves bytes between a peer and a [`Session`].
//!
//! A single task reads, runs commands and writes, so a reply always precedes the events its
//! command caused. Events are written in batches of shared bytes: whatever is queued when the task
//! comes round goes out in as few writes as the socket allows. A reader that is told hundreds of events a second gets
//! those of a millisecond together ([`Pace`]): a wake-up and a write for each cost more than the event.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, warn};

use crate::bus::{Queued, Subscription};
use crate::door::{Patience, Place};
use crate::event::EventName;
use crate::frame::PacketDecoder;
use crate::log::{LogLine, LogSubscription};
use crate::pace::Pace;
use crate::queue::{Item, Queue};
use crate::session::reply::{self, Farewell};
use crate::session::{ApiCall, Linger, Login, Outcome, Session};
use crate::switch::{BoxFuture, InlineCall};

/// A client must complete its first command, and log in, within this time. The reference has no limit for the login.
const FIRST_COMMAND: Duration = Duration::from_secs(25);
/// A refused login is answered this long after it came, whatever was wrong about it, so that the time taken does not tell
/// whether there is such a user.
const REFUSAL: Duration = Duration::from_millis(50);
/// A write that makes no progress for this long ends the connection.
const WRITE_STALL: Duration = Duration::from_secs(600);
/// How long the last words may take to leave, so that a peer that reads nothing is not waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Events taken from the queue at a time; bounds what waits outside the queue.
const BATCH: usize = 512;
/// Replies to pipelined commands are written when they have grown to this many bytes.
const WRITE_AT: usize = 65_536;
/// Pieces handed to one write.
const PIECES: usize = 64;
/// Least room offered to a read.
const READ_ROOM: usize = 4096;
/// How long after the hangup its last events are awaited. The reference goes round every 20 ms, so
/// that a client usually gets `CHANNEL_HANGUP_COMPLETE` before the notice.
const HANGUP_GRACE: Duration = Duration::from_millis(40);
/// The same for a client that asked for `CHANNEL_HANGUP_COMPLETE`, which ends the wait.
const HANGUP_COMPLETE_GRACE: Duration = Duration::from_millis(500);
/// `linger <n>` ends when more than n whole seconds have passed.
const LINGER_EXTRA: Duration = Duration::from_millis(500);

/// A socket and its conversation.
pub(crate) struct Connection {
    stream: TcpStream,
    session: Session,
    decoder: PacketDecoder,
    out: VecDeque<Bytes>,
    queued: VecDeque<Queued>,
    lines: VecDeque<Arc<LogLine>>,
    /// Events are among what is written next.
    tells: bool,
    pace: Pace,
    /// Bytes in `out`.
    out_size: usize,
    /// Resolves when the system is being shut down.
    shutdown: BoxFuture<'static, ()>,
    /// Resolves at the hangup of the call this connection is bound to.
    hangup: Option<BoxFuture<'static, ()>>,
    phase: Phase,
    started: Instant,
    /// The last words are being written; being overrun no longer matters.
    closing: bool,
    /// Told when the client has said `connect`.
    connected: Option<watch::Sender<bool>>,
    /// The place of a client that came to us.
    place: Option<Place>,
    /// The client has said `exit`.
    left: bool,
}

/// Where the bound call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Alive, or there is none.
    Running,
    /// Hung up; its last events are awaited until then.
    Hanging(Instant),
    /// Hung up; the client stays, without limit or until then.
    Lingering(Option<Instant>),
}

/// Why a connection ends.
enum End {
    /// Say this, then close.
    Notice(Farewell),
    /// The peer is gone or cannot be written to.
    Gone,
}

/// What woke the connection.
enum Woken {
    Readable,
    Queue,
    Hangup,
    Deadline,
    GiveWay,
    /// The client has come back on another connection.
    Elsewhere,
    Shutdown,
}

/// The line in front of an event's envelope that gives it its number.
fn numbered(number: u64) -> Bytes {
    Bytes::from(format!("Event-Number: {number}\n"))
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        session: Session,
        shutdown: BoxFuture<'static, ()>,
    ) -> Self {
        let mut decoder = PacketDecoder::new();
        if session.is_authenticated() {
            decoder.authenticated();
        }
        Self {
            stream,
            session,
            decoder,
            out: VecDeque::new(),
            out_size: 0,
            closing: false,
            queued: VecDeque::new(),
            lines: VecDeque::new(),
            tells: false,
            pace: Pace::default(),
            shutdown,
            hangup: None,
            phase: Phase::Running,
            started: Instant::now(),
            connected: None,
            place: None,
            left: false,
        }
    }

    /// Takes a place among those that a listener has.
    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Reports `connect` to the task that waits for it before parking the call.
    pub(crate) fn announce_connect(&mut self, to: watch::Sender<bool>) {
        self.connected = Some(to);
    }

    /// Writes a first message.
    pub(crate) fn greet(&mut self, text: &'static [u8]) {
        self.put(Bytes::from_static(text));
    }

    /// Serves the connection until it ends. `inline` is the call when this runs in its own task.
    pub(crate) async fn run(mut self, mut inline: Option<&mut dyn InlineCall>) {
        let end = loop {
            if let Err(end) = self.turn(&mut inline).await {
                break end;
            }
        };
        if let End::Notice(farewell) = &end {
            let farewell = *farewell;
            if farewell == Farewell::ShuttingDown {
                self.collect();
            }
            let notice = farewell.notice(self.session.call().map(|call| call.uuid()));
            self.put(notice.into());
            self.closing = true;
            tokio::select! {
                _ = self.flush() => {}
                () = sleep(LAST_WORDS) => {}
            }
        }
        // A client that said goodbye, or was cut off, does not come back for more.
        if matches!(end, End::Gone | End::Notice(Farewell::Goodbye))
            && !self.left
            && self.session.park(std::time::Instant::now())
        {
            debug!("event socket: what a client asked for is kept until it comes back");
        }
        self.session.release();
        // Dropping the stream closes it; unread input would turn that into a reset.
        let _ = self.stream.try_read(&mut [0; READ_ROOM]);
    }

    /// Once round: run what has arrived, write what is due, wait for more.
    async fn turn(&mut self, inline: &mut Option<&mut dyn InlineCall>) -> Result<(), End> {
        while let Some(packet) = self.decoder.next().map_err(|_| End::Notice(Farewell::Goodbye))? {
            self.collect();
            let outcome = match self.session.handle(packet) {
                Outcome::LogIn(login) => self.log_in(login).await?,
                outcome => outcome,
            };
            self.perform(outcome, inline).await?;
            self.after_command();
            if self.out_size > WRITE_AT {
                self.flush().await?;
            }
        }
        if !self.decoder.is_partial() {
            self.collect();
        }
        self.flush().await?;
        if std::mem::take(&mut self.tells) {
            self.pace.wrote(Instant::now());
        }
        self.check_overrun()?;
        if self.phase_is_over() {
            self.next_phase()?;
            return Ok(());
        }
        match self.wait(inline).await {
            Woken::Readable => self.read(),
            Woken::Queue => Ok(()),
            Woken::Hangup => {
                self.hung_up(inline.is_some());
                Ok(())
            }
            Woken::Deadline => self.deadline_passed(),
            Woken::GiveWay => Err(End::Notice(Farewell::Goodbye)),
            Woken::Elsewhere => Err(End::Gone),
            Woken::Shutdown => Err(End::Notice(Farewell::ShuttingDown)),
        }
    }

    /// Judges a password, later where guessing is slowed. A slow directory holds up only this connection.
    async fn log_in(&mut self, login: Login) -> Result<Outcome, End> {
        let Some(place) = self.place.take() else { return Ok(Outcome::Silent) };
        self.session.call_in().await;
        let outcome = tokio::select! {
            biased;
            () = place.gives_way() => return Err(End::Notice(Farewell::Goodbye)),
            () = &mut self.shutdown => return Err(End::Notice(Farewell::ShuttingDown)),
            outcome = judge(&mut self.session, &place, login) => outcome,
        };
        self.place = Some(place);
        Ok(outcome)
    }

    async fn perform(
        &mut self,
        outcome: Outcome,
        inline: &mut Option<&mut dyn InlineCall>,
    ) -> Result<(), End> {
        match outcome {
            Outcome::Reply(text) => self.put(text.into()),
            Outcome::Silent | Outcome::LogIn(_) => {}
            Outcome::Api(call) => self.run_api(call, inline).await?,
            Outcome::Background(text, job) => {
                self.put(text.into());
                base::foreign::spawn(job.run(Arc::clone(self.session.switch())));
            }
            Outcome::Execute { message, silent } => {
                self.flush().await?;
                if let Some(call) = inline {
                    call.execute(message).await;
                }
                if !silent {
                    self.put(reply::command(reply::OK).into());
                }
            }
            Outcome::Bye(text) => {
                self.left = true;
                if !text.is_empty() {
                    self.put(text.into());
                }
                return Err(End::Notice(Farewell::Goodbye));
            }
        }
        Ok(())
    }

    /// Runs a command and answers. Earlier replies leave first if it does not finish at once, so
    /// that pipelined quick ones are answered in one write.
    ///
    /// A call whose own task this is goes on meanwhile: the command may ask something of it.
    async fn run_api(
        &mut self,
        call: ApiCall,
        inline: &mut Option<&mut dyn InlineCall>,
    ) -> Result<(), End> {
        let switch = Arc::clone(self.session.switch());
        let mut running = pin!(call.run(switch.as_ref()));
        let output = match (poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await, inline) {
            (Poll::Ready(output), _) => output,
            (Poll::Pending, None) => {
                self.flush().await?;
                running.await
            }
            (Poll::Pending, Some(call)) => {
                self.flush().await?;
                tokio::select! {
                    output = running.as_mut() => output,
                    () = call.idle() => running.await,
                }
            }
        };
        self.put(reply::api(&output).into());
        Ok(())
    }

    fn put(&mut self, text: Bytes) {
        if text.is_empty() {
            return;
        }
        self.out_size += text.len();
        self.out.push_back(text);
    }

    /// Takes notice of what a command may have changed.
    fn after_command(&mut self) {
        if self.session.is_authenticated() {
            self.decoder.authenticated();
            if let Some(place) = &mut self.place {
                place.logged_in();
            }
        }
        if self.session.is_connected()
            && let Some(connected) = self.connected.take()
        {
            connected.send_replace(true);
        }
        if self.hangup.is_none() && self.phase == Phase::Running {
            self.hangup = self.session.call().map(|call| call.hung_up());
        }
    }

    /// Moves log lines and events from their queues into the output, as far as they are wanted.
    fn collect(&mut self) {
        if let Some(logs) = self.session.log_subscription() {
            logs.take(BATCH, &mut self.lines);
            for line in self.lines.drain(..) {
                let text = Bytes::from(reply::log(&line));
                self.out_size += text.len();
                self.out.push_back(text);
            }
        }
        for (number, event) in self.session.again() {
            self.put(numbered(number));
            self.put(self.session.message(&event, false));
        }
        let Some(events) = self.session.subscription() else {
            return;
        };
        events.take(BATCH, &mut self.queued);
        self.tells |= !self.queued.is_empty();
        for Queued { event, diverted } in self.queued.drain(..) {
            if self.session.admits(&event, diverted) {
                if let Some(number) = self.session.number(&event) {
                    let text = numbered(number);
                    self.out_size += text.len();
                    self.out.push_back(text);
                }
                let text = self.session.message(&event, diverted);
                self.out_size += text.len();
                self.out.push_back(text);
            }
            if matches!(self.phase, Phase::Hanging(_))
                && event.name() == EventName::ChannelHangupComplete
                && self
                    .session
                    .call()
                    .is_some_and(|call| event.get("Unique-ID").as_deref() == Some(call.uuid()))
            {
                self.phase = Phase::Hanging(self.started);
            }
        }
    }

    fn has_backlog(&self) -> bool {
        !self.decoder.is_partial()
            && (self.session.subscription().is_some_and(Subscription::has_events)
                || self.session.log_subscription().is_some_and(LogSubscription::has_lines))
    }

    fn check_overrun(&self) -> Result<(), End> {
        if let Some(events) = self.session.subscription().filter(|events| events.is_overrun()) {
            self.say_cut_off("events", events.lost(), events.queued_bytes());
            return Err(End::Notice(Farewell::LostEvents));
        }
        if let Some(logs) = self.session.log_subscription().filter(|logs| logs.is_overrun()) {
            self.say_cut_off("log lines", logs.lost(), logs.queued_bytes());
            return Err(End::Notice(Farewell::LostLogLines));
        }
        Ok(())
    }

    fn say_cut_off(&self, what: &str, lost: u64, waiting: usize) {
        let who = match (self.session.peer(), self.session.call()) {
            (Some(peer), _) => peer.to_string(),
            (None, Some(call)) => format!("the program of call {}", call.uuid()),
            (None, None) => "a client".to_owned(),
        };
        warn!(
            "event socket: {who} reads too slowly and is cut off: {lost} {what} lost, {} kB unread",
            waiting / 1024
        );
    }

    async fn wait(&mut self, inline: &mut Option<&mut dyn InlineCall>) -> Woken {
        let deadline = self.deadline();
        let running = self.phase == Phase::Running;
        let (events, logs) = (self.session.subscription(), self.session.log_subscription());
        let hold_back = self.decoder.is_partial();
        let backlog = self.has_backlog();
        let gathers_until = self.pace.gathers_until();
        let hangup = &mut self.hangup;
        let stranger = self.place.as_ref().filter(|_| !self.session.is_authenticated());
        tokio::select! {
            biased;
            () = &mut self.shutdown => Woken::Shutdown,
            () = gives_way(stranger) => Woken::GiveWay,
            () = self.session.elsewhere() => Woken::Elsewhere,
            ready = self.stream.readable() => {
                // An error shows at the read that follows.
                let _ = ready;
                Woken::Readable
            }
            () = gathered(gathers_until, events.map(Subscription::queue)), if !hold_back => {
                Woken::Queue
            }
            () = changed(logs.map(LogSubscription::queue)), if !hold_back => Woken::Queue,
            () = hung_up(hangup, inline), if running => Woken::Hangup,
            () = until(deadline) => Woken::Deadline,
            // More is queued than one batch: let others run, look whether a command came, go on.
            () = yield_now(), if backlog => Woken::Queue,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => (!self.session.has_spoken() || !self.session.is_authenticated())
                .then(|| self.started + FIRST_COMMAND),
            Phase::Hanging(at) => Some(at),
            Phase::Lingering(at) => at,
        }
    }

    fn deadline_passed(&mut self) -> Result<(), End> {
        match self.phase {
            Phase::Running => Err(End::Notice(Farewell::Goodbye)),
            // The next turn sees it.
            Phase::Hanging(_) | Phase::Lingering(_) => Ok(()),
        }
    }

    /// The call has hung up: its last events are still on their way.
    fn hung_up(&mut self, inline: bool) {
        self.hangup = None;
        let listens = |name| self.session.subscription().is_some_and(|events| events.listens(name));
        let grace = if inline {
            // The call's task is here; nothing more comes of it.
            Duration::ZERO
        } else if listens(EventName::ChannelHangupComplete) || listens(EventName::All) {
            HANGUP_COMPLETE_GRACE
        } else {
            HANGUP_GRACE
        };
        self.phase = Phase::Hanging(Instant::now() + grace);
    }

    fn phase_is_over(&self) -> bool {
        let at = match self.phase {
            Phase::Running => None,
            Phase::Hanging(at) => Some(at),
            Phase::Lingering(at) => at,
        };
        at.is_some_and(|at| at <= Instant::now())
    }

    fn next_phase(&mut self) -> Result<(), End> {
        let seconds = match (self.phase, self.session.linger_mode()) {
            (Phase::Hanging(_), Linger::Forever) => None,
            (Phase::Hanging(_), Linger::Seconds(n)) => Some(n),
            _ => return Err(End::Notice(Farewell::Goodbye)),
        };
        if let Some(call) = self.session.call() {
            let shown = seconds.map_or(-1, i64::from);
            let text = reply::linger(call.uuid(), &call.channel_name(), shown);
            self.put(text.into());
        }
        let span = seconds.map(|n| Duration::from_secs(n.into()) + LINGER_EXTRA);
        self.phase = Phase::Lingering(span.map(|span| Instant::now() + span));
        Ok(())
    }

    fn read(&mut self) -> Result<(), End> {
        let buffer = self.decoder.buffer();
        buffer.reserve(READ_ROOM);
        match self.stream.try_read_buf(buffer) {
            // The peer has said all it will; it may still read what is said to it last.
            Ok(0) => Err(End::Notice(Farewell::Goodbye)),
            Ok(_) => {
                self.acknowledge();
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(End::Gone),
        }
    }

    /// Libraries write a command in pieces and send the next one only when the last was acknowledged:
    /// a delayed acknowledgement costs each command 40 ms. Has the system send it at once.
    fn acknowledge(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _unsupported = socket2::SockRef::from(&self.stream).set_tcp_quickack(true);
    }

    /// Writes everything due. While the peer does not take it, only a lost cause ends the wait.
    async fn flush(&mut self) -> Result<(), End> {
        while !self.out.is_empty() {
            match self.write_some() {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    tokio::select! {
                        _ = self.stream.writable() => {}
                        () = overrun(self.session.subscription(), self.session.log_subscription()), if !self.closing => {
                            self.check_overrun()?;
                        }
                        () = self.session.elsewhere() => return Err(End::Gone),
                        () = sleep(WRITE_STALL) => return Err(End::Gone),
                    }
                }
                Err(_) => return Err(End::Gone),
            }
        }
        self.session.written();
        Ok(())
    }

    fn write_some(&mut self) -> io::Result<()> {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        for (slot, piece) in pieces.iter_mut().zip(&self.out) {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        let mut written = self.stream.try_write_vectored(&pieces[..count])?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.out_size = self.out_size.saturating_sub(written);
        while let Some(piece) = self.out.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                break;
            }
            written -= piece.len();
            self.out.pop_front();
            if written == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// Judges a password, later where guessing is slowed.
async fn judge(session: &mut Session, place: &Place, login: Login) -> Outcome {
    let account = login.account();
    let mut came = Instant::now();
    let refused = match place.ask(account.as_deref()) {
        Patience::Now => false,
        Patience::Refuse => true,
        Patience::After(wait) => match place.hold_back() {
            Some(_waiting) => {
                sleep(wait).await;
                came = Instant::now();
                false
            }
            None => true,
        },
    };
    if refused {
        sleep_until(came + REFUSAL).await;
        return Outcome::Bye(reply::command(reply::INVALID));
    }
    let outcome = match login {
        Login::Password(given) => session.log_in_with(&given),
        Login::User(login) => {
            let switch = Arc::clone(session.switch());
            let entry = switch.esl_user(&login.user, &login.domain).await;
            session.log_in_user(&login, entry)
        }
    };
    let right = session.is_authenticated();
    if let Some(entry) = place.judged(account.as_deref(), right) {
        session.switch().guessing(&place.attempt(account.as_deref()), &entry);
    }
    if !right {
        sleep_until(came + REFUSAL).await;
    }
    outcome
}

async fn gives_way(place: Option<&Place>) {
    match place {
        Some(place) => place.gives_way().await,
        None => pending().await,
    }
}

async fn changed<T: Item>(queue: Option<&Queue<T>>) {
    match queue {
        Some(queue) => queue.changed().await,
        None => pending().await,
    }
}

/// [`changed`], not before that time.
async fn gathered<T: Item>(from: Option<Instant>, queue: Option<&Queue<T>>) {
    if let Some(from) = from {
        sleep_until(from).await;
    }
    changed(queue).await;
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

async fn hung_up(
    hangup: &mut Option<BoxFuture<'static, ()>>,
    inline: &mut Option<&mut dyn InlineCall>,
) {
    match (inline, hangup) {
        (Some(call), _) => call.idle().await,
        (None, Some(hangup)) => hangup.await,
        (None, None) => pending().await,
    }
}

/// Resolves when either queue was overrun.
async fn overrun(events: Option<&Subscription>, logs: Option<&LogSubscription>) {
    loop {
        tokio::select! {
            () = changed(events.map(Subscription::queue)) => {}
            () = changed(logs.map(LogSubscription::queue)) => {}
        }
        if events.is_some_and(Subscription::is_overrun)
            || logs.is_some_and(LogSubscription::is_overrun)
        {
            return;
        }
    }
}
