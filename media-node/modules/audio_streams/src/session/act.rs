//! What a dialect asks for is done: texts and audio are sent, clips played and kept, events fired.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use streams::client;
use switch_core::call::Cause;
use tokio::time::Instant;
use voice::speech::Speech;
use voice::{Action, Actions, Clip, Input};

use super::{MOST_FILES, Session, Told};
use crate::wire::{decode, write_private};

/// Milliseconds around a spoken digit that are taken out of recordings, too: recognisers' times are no exact ones.
const AROUND_MS: u64 = 150;
/// Bytes of a mark's name. They are kept until it is heard, and a message could be all name.
const MOST_NAME: usize = 4096;

impl Session {
    pub(super) fn fed(&mut self, input: Input<'_>) -> Actions {
        let mut actions = Vec::new();
        self.dialect.feed(input, &mut actions);
        actions
    }

    /// Does what is to be done, in order. What doing it leads to is done next.
    pub(super) async fn act(&mut self, actions: Actions) {
        let mut waiting = VecDeque::from(actions);
        while let Some(action) = waiting.pop_front() {
            let mut more = Vec::new();
            self.act_once(action, &mut more).await;
            for action in more.into_iter().rev() {
                waiting.push_front(action);
            }
        }
    }

    async fn act_once(&mut self, action: Action, more: &mut Actions) {
        match action {
            Action::Text(text) => self.send(client::text(&text)),
            Action::Binary(bytes) => self.send(self.framed(&bytes)),
            Action::AudioText(text) => self.send_audio(client::text(&text), more),
            Action::AudioBinary(bytes) => self.send_audio(self.framed(&bytes), more),
            Action::Event(name, body) => self.event(name, body),
            Action::Store(clip, name, body) => {
                Box::pin(self.store(clip, name, body, more)).await;
            }
            Action::Play(rate, samples) => self.play(rate, samples, more),
            Action::PlayFrame(frame) => {
                let Some(coder) = &mut self.opus else { return };
                let (rate, samples) = (coder.rate(), coder.decode(&frame));
                if samples.is_empty() {
                    return more.push(Action::Log("no frame of Opus: left out".to_owned()));
                }
                self.play_frame(rate, samples, Some(frame), more);
            }
            Action::Mark(name) if name.len() > MOST_NAME => {
                more.push(Action::Log("a mark's name is too long: it is left out".to_owned()));
            }
            Action::Mark(name) => {
                if !self.queue.mark(name) {
                    more.push(Action::Log("too many marks wait: one is left out".to_owned()));
                }
            }
            Action::ForgetMarks => self.queue.forget_marks(),
            Action::Clear | Action::DropAudio => {
                let mut news = Vec::new();
                let clear = action == Action::Clear;
                match self.audio.playout() {
                    Some(playout) if clear => self.queue.clear(playout, &mut news),
                    Some(playout) => self.queue.drop_audio(playout, &mut news),
                    None => {}
                }
                self.news(news, more);
            }
            Action::Hold(on) => self.audio.hold(on),
            Action::AskStatus => {
                let waiting = self.audio.playout().map_or(0, |playout| {
                    playout.waiting() as u64 * 1000 / u64::from(playout.rate().max(1))
                });
                let queued = self.queue.queued_ms() + waiting;
                self.dialect.feed(Input::Status(queued), more);
            }
            Action::Break => self.channel.interrupt(false),
            Action::Answer => {
                let _busy = self.channel.job(Box::new(|session| {
                    Box::pin(async move {
                        let _interrupted = session.answer().await;
                    })
                }));
            }
            Action::HangUp => self.channel.hangup(Cause::NORMAL_CLEARING),
            Action::Close(code) => self.closing = Some(code),
            Action::Speech(speech) => {
                self.redact(&speech);
                self.tell(Told::Speech(speech));
            }
            Action::Log(text) => self.complain(&text),
        }
    }

    /// Logs what a program causes, unless it floods the log.
    pub(super) fn complain(&mut self, text: &str) {
        if let Some(line) = self.line(text) {
            tracing::info!(uuid = %self.channel.uuid(), "{line}");
        }
    }

    /// The line of the log that a program causes, if there may be one now.
    fn line(&mut self, text: &str) -> Option<String> {
        let target = &self.handle.target;
        Some(match self.complaints.admit(Instant::now())? {
            0 => format!("{target}: {text}"),
            more => format!("{target}: {text}; {more} such lines were left out"),
        })
    }

    /// At the end: how many lines were left out that none has told.
    pub(super) fn complain_no_more(&mut self) {
        let more = self.complaints.rest();
        if more > 0 {
            tracing::info!(uuid = %self.channel.uuid(), "{}: {more} lines were left out", self.handle.target);
        }
    }

    /// Takes digits that were spoken out of recordings, where the recogniser says when that was.
    fn redact(&self, speech: &Speech) {
        let Speech::Final(words) = speech else { return };
        let heard = self.plan.capture.is_of_heard();
        for (from, to) in words.digits_at() {
            let now = u64::try_from(self.opened_at.elapsed().as_millis()).unwrap_or(u64::MAX);
            let ago = |at: u64| u32::try_from(now.saturating_sub(at)).unwrap_or(u32::MAX);
            let (from, to) = (from.saturating_sub(AROUND_MS), to.saturating_add(AROUND_MS));
            self.audio.silence_recorded(ago(from), ago(to), heard);
        }
    }

    fn play(&mut self, rate: u32, samples: Vec<i16>, more: &mut Actions) {
        self.play_frame(rate, samples, None, more);
    }

    fn play_frame(
        &mut self,
        rate: u32,
        samples: Vec<i16>,
        frame: Option<Vec<u8>>,
        more: &mut Actions,
    ) {
        let now = self.now_ms();
        let speaks = self.audio.playout().is_some();
        if speaks && !self.queue.push_frame(rate, samples, frame, now) {
            self.totals.overflows.fetch_add(1, Ordering::Relaxed);
            self.dialect.feed(Input::Overflow, more);
        }
    }

    fn framed(&self, bytes: &[u8]) -> Bytes {
        if self.raw { Bytes::copy_from_slice(bytes) } else { client::binary(bytes) }
    }

    fn send(&mut self, bytes: Bytes) {
        if !self.outbox.text(bytes) && self.closing.is_none() {
            tracing::warn!(uuid = %self.channel.uuid(), "{} takes nothing: closed", self.handle.target);
            self.closing = Some(1008);
        }
    }

    fn send_audio(&mut self, bytes: Bytes, more: &mut Actions) {
        if self.outbox.audio(bytes) {
            self.dialect.feed(Input::Overrun, more);
        }
    }

    /// Tells the module that asked for the stream. What it does not take at once is lost: the stream never waits.
    pub(super) fn tell(&mut self, told: Told) {
        if let Some(to) = &self.plan.told
            && to.try_send(told).is_err()
            && let Some(line) = self.line("news lost")
        {
            tracing::warn!(uuid = %self.channel.uuid(), "{line}");
        }
    }

    pub(super) fn event(&mut self, name: &str, body: Option<String>) {
        if self.plan.told.is_some() {
            return self.tell(Told::Event(name.to_owned(), body));
        }
        let subclass = format!("{}::{name}", self.dialect.prefix());
        self.channel.fire_custom(
            &subclass,
            |_| {},
            |event| {
                event.push("media-bugname", self.handle.name.as_str());
                if let Some(body) = body {
                    event.set_body(body);
                }
            },
        );
    }

    async fn store(&mut self, clip: Clip, name: &str, body: String, more: &mut Actions) {
        let Clip { path, bytes, play } = clip;
        if let Err(error) = write_private(&path, &bytes).await {
            if let Some(line) = self.line(&format!("{}: {error}", path.display())) {
                tracing::error!(uuid = %self.channel.uuid(), "{line}");
            }
            return;
        }
        self.files.push_back(path.clone());
        if self.files.len() > MOST_FILES
            && let Some(oldest) = self.files.pop_front()
        {
            let _gone = tokio::fs::remove_file(oldest).await;
        }
        if play {
            self.play_file(path, more).await;
        }
        self.event(name, Some(body));
    }

    async fn play_file(&mut self, path: PathBuf, more: &mut Actions) {
        let rate = self.audio.playout().map_or(8000, |playout| playout.rate());
        let most = usize::try_from(self.settings.playout_ms * u64::from(rate) / 1000).unwrap_or(0);
        let samples = tokio::task::spawn_blocking(move || decode(&path, rate, most)).await;
        match samples {
            Ok(Ok(samples)) => self.play(rate, samples, more),
            Ok(Err(error)) => {
                if let Some(line) = self.line(&error) {
                    tracing::warn!(uuid = %self.channel.uuid(), "{line}");
                }
            }
            Err(_) => {}
        }
    }
}
