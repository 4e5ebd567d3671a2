//! What waits to go to a program: texts before audio, both bounded. Audio a program does not take is dropped, the oldest
//! first; the call never waits.

use std::collections::VecDeque;

use bytes::Bytes;

/// Texts that may wait, and their bytes.
const MOST_TEXTS: usize = 4096;
const MOST_TEXT_BYTES: usize = 16 * 1024 * 1024;

/// The queue.
#[derive(Debug)]
pub(crate) struct Outbox {
    texts: VecDeque<Bytes>,
    text_bytes: usize,
    /// The answer to the program's latest ping. One for several is enough (RFC 6455 §5.5.3), and bounds what a program
    /// that pings and does not read makes us keep.
    pong: Option<Bytes>,
    audio: VecDeque<Bytes>,
    most_audio: usize,
    /// Audio has been dropped, and the queue has not become short since.
    overrun: bool,
    pub(crate) dropped: u64,
    pub(crate) sent: u64,
}

impl Outbox {
    /// A queue of so many messages with audio.
    pub(crate) fn new(most_audio: usize) -> Self {
        Self {
            texts: VecDeque::new(),
            text_bytes: 0,
            pong: None,
            audio: VecDeque::new(),
            most_audio: most_audio.max(1),
            overrun: false,
            dropped: 0,
            sent: 0,
        }
    }

    /// Queues what must not be dropped. False when the program takes nothing at all.
    pub(crate) fn text(&mut self, bytes: Bytes) -> bool {
        self.text_bytes += bytes.len();
        self.texts.push_back(bytes);
        self.texts.len() <= MOST_TEXTS && self.text_bytes <= MOST_TEXT_BYTES
    }

    /// The next to be sent, in place of an answer that still waits.
    pub(crate) fn pong(&mut self, bytes: Bytes) {
        self.pong = Some(bytes);
    }

    /// Queues audio. True when an episode of dropping begins.
    pub(crate) fn audio(&mut self, bytes: Bytes) -> bool {
        self.audio.push_back(bytes);
        if self.audio.len() <= self.most_audio {
            return false;
        }
        self.audio.pop_front();
        self.dropped += 1;
        !std::mem::replace(&mut self.overrun, true)
    }

    /// The next message to send.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        if let Some(pong) = self.pong.take() {
            return Some(pong);
        }
        if let Some(text) = self.texts.pop_front() {
            self.text_bytes -= text.len();
            return Some(text);
        }
        let audio = self.audio.pop_front()?;
        self.sent += 1;
        if self.audio.len() * 2 < self.most_audio {
            self.overrun = false;
        }
        Some(audio)
    }

    /// Forgets audio that waits.
    pub(crate) fn forget_audio(&mut self) {
        self.audio.clear();
        self.overrun = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(n: u8) -> Bytes {
        Bytes::copy_from_slice(&[n])
    }

    #[test]
    fn texts_go_first_and_the_oldest_audio_is_dropped_once_per_episode() {
        let mut outbox = Outbox::new(4);
        let told = (0..8).filter(|n| outbox.audio(bytes(*n))).count();
        assert_eq!((told, outbox.dropped), (1, 4));
        outbox.text(bytes(99));
        let order: Vec<u8> = std::iter::from_fn(|| outbox.next()).map(|b| b[0]).collect();
        assert_eq!(order, [99, 4, 5, 6, 7]);
        let told = (0..6).filter(|n| outbox.audio(bytes(*n))).count();
        assert_eq!(told, 1, "the next episode is told again");
    }

    #[test]
    fn many_pings_are_answered_once() {
        let mut outbox = Outbox::new(4);
        outbox.text(bytes(1));
        (2..100).for_each(|n| outbox.pong(bytes(n)));
        let order: Vec<u8> = std::iter::from_fn(|| outbox.next()).map(|b| b[0]).collect();
        assert_eq!(order, [99, 1]);
    }
}
