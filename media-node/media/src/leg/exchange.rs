//! A leg's audio exchanged with code outside the engine: samples out, samples in.

use rtrb::{Consumer, Producer};

use super::{Leg, PlayId, RecordId};
use crate::error::LegError;
use crate::record::tap::Tap;
use crate::record::{RecordMix, RecordSpec};
use crate::shared::{Op, PlayHow};
use crate::source::PlayPlan;

/// Milliseconds of speech that may wait to be said; the engine skips the oldest of a longer queue.
const WAITING_MS: usize = 400;
/// Milliseconds of what the far end says that may wait to be taken before the oldest is skipped.
const BEHIND_MS: usize = 200;

/// Names one exchange, for ending it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voice {
    tap: RecordId,
    play: PlayId,
}

/// The outer ends of an exchange.
pub struct Speech {
    said: Consumer<i16>,
    voice: Producer<i16>,
    most: usize,
}

impl std::fmt::Debug for Speech {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Speech({} waiting)", self.said.slots())
    }
}

impl Speech {
    /// Takes a frame of what the leg said, if a whole one has come. A reader that falls far behind misses
    /// what is oldest.
    pub fn take(&mut self, frame: &mut [i16]) -> bool {
        let waiting = self.said.slots();
        if waiting > self.most
            && let Ok(old) = self.said.read_chunk(waiting - self.most / 2)
        {
            old.commit_all();
        }
        self.said.pop_entire_slice(frame).is_ok()
    }

    /// Says samples to the leg, on top of whatever it hears. What finds no room is left out.
    pub fn say(&mut self, samples: &[i16]) {
        let _ = self.voice.push_partial_slice(samples);
    }
}

#[expect(clippy::missing_errors_doc, reason = "said once, at the type")]
impl Leg {
    /// Lets code outside the engine hear what the leg says and speak to it, at the leg's rate. Undone with
    /// [`Leg::end_exchange`].
    pub fn exchange(&self) -> Result<(Voice, Speech), LegError> {
        let rate = self.codec().rate();
        let (tap, play) = (RecordId(self.new_id()), PlayId(self.new_id()));
        let mut spec = RecordSpec::new("");
        spec.mix = RecordMix::ReadOnly;
        let (new, said, _end) = Tap::new(tap, &spec, rate);
        let per_ms = rate as usize / 1000;
        let (voice, heard) = rtrb::RingBuffer::new(per_ms * WAITING_MS);
        self.post(Op::Record(new))?;
        let plan = Box::new(PlayPlan::live(rate, heard));
        if let Err(error) = self.post(Op::Play { id: play, plan, how: PlayHow::Over }) {
            let _over = self.stop_record(tap);
            return Err(error);
        }
        Ok((Voice { tap, play }, Speech { said, voice, most: per_ms * BEHIND_MS }))
    }

    /// Ends what [`Leg::exchange`] began.
    pub fn end_exchange(&self, voice: &Voice) -> Result<(), LegError> {
        self.stop_play(voice.play)?;
        self.stop_record(voice.tap)
    }
}
