//! The session: a channel's own task, and the surface applications run on.
//!
//! A [`Session`] owns the leg, the queue of requests and the flow of control. Applications are async functions over
//! `&mut Session`; whatever they wait for, they wait through [`Session::wait`], which also serves the leg and runs
//! queued messages nested inside the application, as the reference does. A hangup or a move to another state makes
//! every wait return [`Interrupt`], so applications end at well-defined points.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use esl_server::CallMessage;
use esl_server::event::EventName;
use futures_util::future::Either;
use tokio::sync::watch;
use tokio::time::Instant;

use super::cause::Cause;
use super::channel::Channel;
use super::command::{Command, Inbox};
use super::endpoint::{Digit, DigitSource, EndpointLeg, Indication, LegEvent};
use super::state::{CallState, State};
use crate::switch::Switch;

/// Why an application has to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The call is hung up.
    Hangup,
    /// The call was sent to another state (transfer, bridge by others, reset).
    Moved,
}

/// What an application returns: `Err` passes an interruption on, it is no failure.
pub type AppResult = Result<(), Interrupt>;

/// What a wait ended with.
#[derive(Debug)]
pub enum Wake {
    /// The time is over.
    Timeout,
    /// `uuid_break` or the `break` application asked to stop what is going on.
    Broken,
    /// Digits wait to be taken.
    Digit,
    /// The media leg has news an application may wait for: a playback or recording ended, a level was reached.
    Media(media::LegEvent),
    /// The leg was answered.
    Answered,
    /// The leg has early media.
    EarlyMedia,
    /// The leg rings.
    Ringing,
    /// Something changed on the channel; look.
    Changed,
}

/// A channel's task.
pub struct Session {
    pub(super) channel: Arc<Channel>,
    pub(super) leg: Box<dyn EndpointLeg>,
    pub(super) inbox: Inbox,
    pub(super) watch: watch::Receiver<u32>,
    pub(super) messages: VecDeque<CallMessage>,
    pub(super) depth: usize,
    pub(super) locked: bool,
    stacked: usize,
    /// The ringback tone that plays now.
    pub(crate) ringback: Option<media::PlayId>,
}

/// Messages nest this deep: a message that runs an application in which a message runs …
pub const MAX_DEPTH: usize = 32;

impl Session {
    /// A session around a new channel. It does nothing before [`Session::start`].
    #[must_use]
    pub fn new(channel: Arc<Channel>, leg: Box<dyn EndpointLeg>, inbox: Inbox) -> Self {
        let watch = channel.watch();
        Self {
            channel,
            leg,
            inbox,
            watch,
            messages: VecDeque::new(),
            depth: 0,
            locked: false,
            stacked: 0,
            ringback: None,
        }
    }

    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// The switch.
    #[must_use]
    pub fn switch(&self) -> &Arc<Switch> {
        self.channel.switch()
    }

    /// The leg, for endpoint code that knows its own kind.
    pub fn leg_mut(&mut self) -> &mut dyn EndpointLeg {
        &mut *self.leg
    }

    /// `Err` if the running application has to return.
    ///
    /// # Errors
    /// [`Interrupt`] when the call is hung up or was sent to another state.
    pub fn check(&self) -> AppResult {
        self.channel.with(|data| {
            if data.state >= State::Hangup && data.running < State::Hangup {
                Err(Interrupt::Hangup)
            } else if data.state != data.running {
                Err(Interrupt::Moved)
            } else {
                Ok(())
            }
        })
    }

    /// Waits for anything at all to happen, at most until `until`.
    ///
    /// # Errors
    /// [`Interrupt`] as for [`Session::check`].
    pub async fn wait(&mut self, until: Option<Instant>) -> Result<Wake, Interrupt> {
        match self.wait_or(until, std::future::pending::<()>()).await? {
            Either::Left(wake) => Ok(wake),
            Either::Right(()) => Ok(Wake::Changed),
        }
    }

    /// Waits for `other` while serving the leg and the queue.
    ///
    /// # Errors
    /// [`Interrupt`] as for [`Session::check`]; `other` is dropped then.
    pub async fn wait_for<T>(&mut self, other: impl Future<Output = T>) -> Result<T, Interrupt> {
        tokio::pin!(other);
        loop {
            if let Either::Right(value) = self.wait_or(None, other.as_mut()).await? {
                return Ok(value);
            }
        }
    }

    /// Waits for something on the call or for `other`, whichever comes first. `other` must be cancel-safe.
    ///
    /// # Errors
    /// [`Interrupt`] as for [`Session::check`].
    pub async fn wait_or<T>(
        &mut self,
        until: Option<Instant>,
        other: impl Future<Output = T>,
    ) -> Result<Either<Wake, T>, Interrupt> {
        tokio::pin!(other);
        loop {
            self.check()?;
            if self.run_waiting_messages().await {
                continue;
            }
            if self.channel.flags.broken.swap(false, Ordering::Relaxed) {
                self.forget_messages().await;
                return Ok(Either::Left(Wake::Broken));
            }
            // Only the raw receipt may be dropped half-way; whatever it leads to runs to its end below.
            let raw = tokio::select! {
                biased;
                raw = self.raw(until) => raw,
                value = &mut other => return Ok(Either::Right(value)),
            };
            match raw {
                Raw::Timeout => return Ok(Either::Left(Wake::Timeout)),
                Raw::Changed => {
                    self.check()?;
                    if !self.channel.flags.broken.load(Ordering::Relaxed) {
                        return Ok(Either::Left(Wake::Changed));
                    }
                }
                Raw::Command(command) => self.accept(command).await,
                Raw::Leg(event) => {
                    if let Some(wake) = self.on_leg_event(event).await {
                        return Ok(Either::Left(wake));
                    }
                }
            }
        }
    }

    /// The next raw thing. Cancel-safe: nothing is lost when it is dropped before it resolves.
    pub(super) async fn raw(&mut self, until: Option<Instant>) -> Raw {
        let Self { inbox, leg, watch, channel, .. } = self;
        let sleep = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Ok(()) = watch.changed() => Raw::Changed,
            Some(command) = inbox.recv() => Raw::Command(command),
            event = leg.event(channel) => Raw::Leg(event),
            () = sleep => Raw::Timeout,
        }
    }

    pub(super) async fn accept(&mut self, command: Command) {
        match command {
            Command::Message(message) => self.messages.push_back(*message),
            Command::Job(job) => job(self).await,
        }
    }

    /// Drops the messages that waited when `uuid_break … all` came, those not taken up yet too; jobs are done.
    async fn forget_messages(&mut self) {
        let forget = self.channel.to_forget();
        if forget == 0 {
            return;
        }
        let mut dropped = self.messages.len().min(forget);
        self.messages.drain(..dropped);
        // No more than wait now: whoever posts meanwhile is not to keep us here.
        for _ in 0..self.inbox.len() {
            match self.inbox.try_recv() {
                Ok(Command::Message(_)) if dropped < forget => dropped += 1,
                Ok(Command::Message(message)) => self.messages.push_back(*message),
                Ok(Command::Job(job)) => job(self).await,
                Err(_) => break,
            }
        }
        self.channel.messages_taken(dropped);
    }

    /// Runs one waiting message if that is allowed now. True if something ran.
    async fn run_waiting_messages(&mut self) -> bool {
        if self.locked || self.depth >= MAX_DEPTH || self.messages.is_empty() {
            return false;
        }
        self.forget_messages().await;
        let Some(message) = self.messages.pop_front() else { return false };
        self.channel.messages_taken(1);
        Box::pin(self.run_message(message, true)).await;
        true
    }

    /// Reacts to the leg: hooks for marks, digits into the queue.
    pub(super) async fn on_leg_event(&mut self, event: LegEvent) -> Option<Wake> {
        match event {
            LegEvent::Ringing => {
                Box::pin(self.run_hooks("ring")).await;
                Some(Wake::Ringing)
            }
            LegEvent::EarlyMedia => {
                Box::pin(self.run_hooks("pre_answer")).await;
                Box::pin(self.run_hooks("media")).await;
                Some(Wake::EarlyMedia)
            }
            LegEvent::Answered => {
                Box::pin(self.run_answer_hooks()).await;
                Some(Wake::Answered)
            }
            LegEvent::Digit(digit) => self.on_digit(digit),
            LegEvent::Media(media::LegEvent::MediaTimeout { .. }) => {
                self.on_media_timeout().await;
                None
            }
            LegEvent::Media(event) => self.on_media(event),
            LegEvent::Reinvited => {
                Box::pin(self.run_hooks("sip_reinvite")).await;
                None
            }
            LegEvent::RemoteHold(on) => {
                super::hold::remote_hold(&self.channel, on);
                None
            }
            LegEvent::Asks(job) => {
                job(self).await;
                None
            }
            LegEvent::Other => None,
        }
    }

    /// A digit of the far end: for a binding, or for whoever takes digits.
    fn on_digit(&mut self, digit: Digit) -> Option<Wake> {
        if !super::digit_guard::lets_in(&self.channel)
            || !self
                .switch()
                .observers()
                .iter()
                .all(|observer| observer.digit(&self.channel, digit))
        {
            return None;
        }
        self.channel.queue_digit(digit);
        Some(Wake::Digit)
    }

    fn on_media(&mut self, event: media::LegEvent) -> Option<Wake> {
        match event {
            media::LegEvent::Digit { digit, duration, source } => {
                let source = match source {
                    media::DigitSource::Rtp => DigitSource::Rtp,
                    media::DigitSource::Inband => DigitSource::Inband,
                };
                self.on_digit(Digit { digit: digit.as_char(), duration, source })
            }
            media::LegEvent::MediaTimeout { .. }
            | media::LegEvent::FirstPacket
            | media::LegEvent::RemoteLatched(_)
            | media::LegEvent::DigitsSent => None,
            other => {
                crate::app::media_changed(self, &other);
                Some(Wake::Media(other))
            }
        }
    }

    /// Nothing was heard for too long. With something to execute (`execute_on_media_timeout`) the call goes on.
    async fn on_media_timeout(&mut self) {
        let name = self.channel.name();
        if self.channel.var("execute_on_media_timeout").is_some() {
            tracing::info!(uuid = %self.channel.uuid(), fs_level = "NOTICE", "No media on {name}");
            return Box::pin(self.run_hooks("media_timeout")).await;
        }
        tracing::info!(uuid = %self.channel.uuid(), fs_level = "NOTICE", "No media on {name}, hanging up");
        self.channel.hangup(Cause::MEDIA_TIMEOUT);
    }

    /// How many extensions run inside each other (`execute_extension`).
    #[must_use]
    pub fn stacked_extensions(&self) -> usize {
        self.stacked
    }

    /// One extension deeper, or one less.
    pub fn stack_extension(&mut self, deeper: bool) {
        self.stacked = if deeper { self.stacked + 1 } else { self.stacked.saturating_sub(1) };
    }

    // ---- what applications do ----

    /// Takes the next digit and fires its DTMF event.
    pub fn take_digit(&mut self) -> Option<Digit> {
        let digit = self.channel.with(|data| data.digits.pop_front())?;
        self.channel.use_digit(digit);
        Some(digit)
    }

    /// Throws waiting digits away, without events.
    pub fn flush_digits(&mut self) {
        self.channel.with(|data| data.digits.clear());
    }

    /// Waits that long, running messages meanwhile.
    ///
    /// # Errors
    /// [`Interrupt`] as for [`Session::check`].
    pub async fn sleep(&mut self, time: Duration) -> AppResult {
        let until = Instant::now() + time;
        let filling = self.channel.begin_filling_silence();
        let result = loop {
            match self.wait(Some(until)).await {
                Ok(Wake::Timeout | Wake::Broken) => break Ok(()),
                Ok(_) => {}
                Err(interrupt) => break Err(interrupt),
            }
        };
        self.channel.end_filling_silence(filling);
        result
    }

    /// Answers an inbound leg (200 OK); no effect on an outbound or answered one.
    ///
    /// # Errors
    /// [`Interrupt::Hangup`] if the leg cannot be answered; the call is hung up then.
    pub async fn answer(&mut self) -> AppResult {
        if self.channel.is_answered()
            || self.channel.direction() == super::state::Direction::Outbound
        {
            return Ok(());
        }
        self.indicate_or_hang_up(Indication::Answer).await?;
        self.channel.mark_answered();
        self.run_answer_hooks().await;
        self.check()
    }

    /// Starts early media on an inbound leg (183).
    ///
    /// # Errors
    /// As for [`Session::answer`].
    pub async fn pre_answer(&mut self) -> AppResult {
        if self.channel.has_media() || self.channel.direction() == super::state::Direction::Outbound
        {
            return Ok(());
        }
        self.indicate_or_hang_up(Indication::EarlyMedia).await?;
        self.channel.mark_pre_answered();
        self.run_hooks("pre_answer").await;
        self.run_hooks("media").await;
        self.check()
    }

    /// Tells an inbound caller that it rings (180, or 182 when queued).
    ///
    /// # Errors
    /// As for [`Session::answer`].
    pub async fn ring_ready(&mut self, queued: bool) -> AppResult {
        if self.channel.has_media()
            || self.channel.direction() == super::state::Direction::Outbound
            || self.channel.progress.get().rang()
        {
            return Ok(());
        }
        self.indicate_or_hang_up(Indication::Ringing { queued }).await?;
        if self.channel.mark_ring_ready() {
            self.run_hooks("ring").await;
        }
        Ok(())
    }

    /// Tells the leg something; failures that the endpoint calls fatal hang up.
    ///
    /// # Errors
    /// [`Interrupt::Hangup`] after a fatal failure.
    pub async fn indicate_or_hang_up(&mut self, what: Indication) -> AppResult {
        let channel = Arc::clone(&self.channel);
        match self.leg.indicate(&channel, what).await {
            Ok(()) | Err(Cause::NONE) => self.check(),
            Err(cause) => {
                self.channel.hangup(cause);
                Err(Interrupt::Hangup)
            }
        }
    }

    /// Tells the leg something; true if it worked.
    pub async fn indicate(&mut self, what: Indication) -> bool {
        let channel = Arc::clone(&self.channel);
        let what = match what {
            Indication::Digits(digits) => {
                let digits = super::digit_guard::outgoing(&channel, digits);
                if digits.is_empty() {
                    return true;
                }
                Indication::Digits(digits)
            }
            other => other,
        };
        self.leg.indicate(&channel, what).await.is_ok()
    }

    /// The hooks of an answer, in order, and what the answer starts.
    pub async fn run_answer_hooks(&mut self) {
        let had_early_media = self.channel.progress.get().had_early_media();
        self.run_hooks("answer").await;
        if !had_early_media {
            self.run_hooks("media").await;
        }
        if self.channel.is_up() {
            self.channel.set_call_state(CallState::Active);
            self.channel.fire_presence("answered");
        }
        super::heartbeat::start_if_asked(&self.channel);
    }

    /// Parks: waits for somebody to do something with the call.
    ///
    /// # Errors
    /// [`Interrupt`] as for [`Session::check`]: the only way out.
    pub async fn park(&mut self) -> AppResult {
        self.park_until(Box::pin(std::future::pending())).await
    }

    /// Parks until `stop` resolves, as when the Event Socket connection that controls the call ends.
    ///
    /// # Errors
    /// [`Interrupt`] as for [`Session::check`].
    pub async fn park_until(&mut self, stop: crate::BoxFuture<'static, ()>) -> AppResult {
        if self.channel.flags.parked.swap(true, Ordering::Relaxed) {
            tracing::error!(
                uuid = %self.channel.uuid(),
                "Cannot park channels that are under control already."
            );
            return Ok(());
        }
        self.channel.fire(EventName::ChannelPark);
        let filling = self.channel.begin_filling_silence();
        let result = match self.tell_parked().await {
            Ok(()) => self.park_loop(stop).await,
            moved => moved,
        };
        self.switch().observers().iter().for_each(|observer| observer.unparked(&self.channel));
        self.channel.end_filling_silence(filling);
        self.channel.flags.parked.store(false, Ordering::Relaxed);
        self.channel.fire(EventName::ChannelUnpark);
        result
    }

    async fn tell_parked(&mut self) -> AppResult {
        let switch = Arc::clone(self.switch());
        for observer in switch.observers() {
            observer.parked(self).await?;
        }
        Ok(())
    }

    async fn park_loop(&mut self, mut stop: crate::BoxFuture<'static, ()>) -> AppResult {
        let (deadline, cause) = match self.channel.var("park_timeout") {
            Some(text) => {
                let (seconds, cause) = text.split_once(':').unwrap_or((&text, "NORMAL_CLEARING"));
                let seconds = seconds.trim().parse::<u64>().unwrap_or(0);
                let deadline = (seconds > 0).then(|| Instant::now() + Duration::from_secs(seconds));
                (deadline, Cause::parse(cause))
            }
            None => (None, Cause::NORMAL_CLEARING),
        };
        loop {
            while self.take_digit().is_some() {}
            match self.wait_or(deadline, stop.as_mut()).await? {
                Either::Left(Wake::Timeout) => {
                    self.channel.hangup(cause);
                    return Err(Interrupt::Hangup);
                }
                Either::Left(_) => {}
                Either::Right(()) => return Ok(()),
            }
        }
    }

    /// Moves the call state for the time an answered leg dials another.
    pub fn ring_wait(&self, dialing: bool) {
        if self.channel.is_answered() {
            self.channel.set_call_state(if dialing {
                CallState::RingWait
            } else {
                CallState::Active
            });
        }
    }
}

/// What [`Session::raw`] yields.
pub(super) enum Raw {
    /// The time is over.
    Timeout,
    /// The channel's marks or state changed.
    Changed,
    /// Somebody asks for something.
    Command(Command),
    /// The leg has news.
    Leg(LegEvent),
}
