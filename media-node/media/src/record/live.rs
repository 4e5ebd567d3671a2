//! A leg's audio as it passes, for observers outside the engine.

use rtrb::Consumer;

use crate::leg::RecordId;

/// What [`crate::Leg::tap`] gives: samples as they come, a few seconds of them kept until they are read.
#[derive(Debug)]
pub struct LiveAudio {
    pub(crate) id: RecordId,
    ring: Consumer<i16>,
    frames: Option<Consumer<u8>>,
    rate: u32,
}

impl LiveAudio {
    pub(crate) fn new(id: RecordId, ring: Consumer<i16>, rate: u32) -> Self {
        Self { id, ring, frames: None, rate }
    }

    pub(crate) fn with_frames(self, frames: Consumer<u8>) -> Self {
        Self { frames: Some(frames), ..self }
    }

    /// Hands out packets as they came since the last time, where the tap has them ([`crate::Leg::listen_as_is`]); false
    /// where it has none.
    pub fn read_frames(&mut self, mut each: impl FnMut(&[u8])) -> bool {
        let Some(ring) = &mut self.frames else { return false };
        let mut frame = Vec::new();
        loop {
            let mut length = [0; 2];
            if ring.pop_entire_slice(&mut length).is_err() {
                return true;
            }
            frame.resize(usize::from(u16::from_le_bytes(length)), 0);
            // Both were written at once.
            if ring.pop_entire_slice(&mut frame).is_ok() {
                each(&frame);
            }
        }
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
