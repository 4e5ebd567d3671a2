//! What waits to go to a program: texts before audio, both bounded. Audio a program does not take is dropped, the oldest
//! first; the call never waits.

use std::collections::VecDeque;

use bytes::Bytes;

/// Texts that may wait, and their bytes.
const MOST_TEXTS: usize = 4096;
const MOST_TEXT_BYTES: usize = 16 * 1024 * 1024;
/// Texts kept for a program that is not connected yet, and their bytes.
const MOST_EARLY: usize = 256;
const MOST_EARLY_BYTES: usize = 1024 * 1024;

/// Texts for a program that is not connected yet.
#[derive(Debug, Default)]
pub(crate) struct Early {
    texts: Vec<String>,
    bytes: usize,
}

impl Early {
    /// Keeps a text. False when too much waits already: it is left out.
    pub(crate) fn keep(&mut self, text: String) -> bool {
        let bytes = self.bytes + text.len();
        if self.texts.len() >= MOST_EARLY || bytes > MOST_EARLY_BYTES {
            return false;
        }
        self.bytes = bytes;
        self.texts.push(text);
        true
    }

    /// What was kept, in its order.
    pub(crate) fn take(&mut self) -> Vec<String> {
        self.bytes = 0;
        std::mem::take(&mut self.texts)
    }
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Outbox {
    texts: VecDeque<Bytes>,
    text_bytes: usize,
    /// The answer to the program's latest ping. One for several is enough (RFC 6455 §5.5.3), and bounds what a program
    /// that pings and does not read makes us keep.
    pong: Option<Bytes>,
    /// The last to be sent was such an answer.
    ponged: bool,
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
            ponged: false,
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

    /// Queues the answer to a ping, in place of one that still waits. It is the next to be sent, but every other message
    /// is one of ours: a program that pings without end gets its texts and audio, too.
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
        if !self.ponged || (self.texts.is_empty() && self.audio.is_empty()) {
            self.ponged = self.pong.is_some();
            if self.ponged {
                return self.pong.take();
            }
        }
        self.ponged = false;
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

    /// Forgets what only the connection that ends could take: audio, and the answer to a ping.
    pub(crate) fn forget_connection(&mut self) {
        self.forget_audio();
        self.pong = None;
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

    #[test]
    fn a_program_that_pings_without_end_gets_its_texts_and_audio() {
        let mut outbox = Outbox::new(4);
        outbox.text(bytes(1));
        outbox.audio(bytes(2));
        let order: Vec<u8> = std::iter::from_fn(|| {
            outbox.pong(bytes(99));
            outbox.next()
        })
        .take(6)
        .map(|b| b[0])
        .collect();
        assert_eq!(order, [99, 1, 99, 2, 99, 99]);
    }

    #[test]
    fn an_answer_is_not_kept_for_the_next_connection() {
        let mut outbox = Outbox::new(4);
        outbox.text(bytes(1));
        outbox.audio(bytes(2));
        outbox.pong(bytes(99));
        outbox.forget_connection();
        let order: Vec<u8> = std::iter::from_fn(|| outbox.next()).map(|b| b[0]).collect();
        assert_eq!(order, [1]);
    }

    #[test]
    fn texts_before_the_connection_are_bounded_by_number_and_by_bytes() {
        let mut early = Early::default();
        assert_eq!((0..1000).filter(|_| early.keep("{}".to_owned())).count(), MOST_EARLY);
        assert_eq!(early.take().len(), MOST_EARLY);
        let large = "x".repeat(MOST_EARLY_BYTES / 2);
        let kept: Vec<bool> = (0..3).map(|_| early.keep(large.clone())).collect();
        assert_eq!(kept, [true, true, false]);
        assert_eq!(early.take().len(), 2);
        assert!(early.keep(large), "there is room again");
    }
}
