//! A leg's audio as it passes, for observers outside the engine.

use rtrb::Consumer;

use crate::leg::RecordId;

/// What [`crate::Leg::tap`] gives: samples as they come, a few seconds of them kept until they are read.
#[derive(Debug)]
pub struct LiveAudio {
    pub(crate) id: RecordId,
    ring: Consumer<i16>,
    rate: u32,
}

impl LiveAudio {
    pub(crate) fn new(id: RecordId, ring: Consumer<i16>, rate: u32) -> Self {
        Self { id, ring, rate }
    }

    /// Samples per second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Adds what has come since the last time; false when nothing more will come.
    pub fn read(&mut self, out: &mut Vec<i16>) -> bool {
        let open = !self.ring.is_abandoned();
        let waiting = self.ring.slots();
        if let Ok(chunk) = self.ring.read_chunk(waiting) {
            out.extend(chunk);
        }
        open
    }
}
