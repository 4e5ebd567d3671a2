//! What a leg notices when nothing comes.

use super::Now;
use super::leg::{LegState, in_8k};
use crate::dtmf::Digit;
use crate::event::LegEvent;

impl LegState {
    /// A digit whose end never came.
    pub(crate) fn expire_digit(&mut self, now: Now) -> Option<(Digit, u32)> {
        let (digit, units) = self.digits_in.expire(now.ms())?;
        Some((digit, in_8k(units, self.params.te_clock)))
    }

    /// Tells of a peer that fell silent.
    pub(crate) fn check_timeout(&mut self, now: Now) {
        let limit = if self.held {
            self.params.hold_timeout
        } else if self.params.direction.receives() {
            self.params.media_timeout
        } else {
            None
        };
        let Some(limit) = limit else { return };
        let silent = now.us.saturating_sub(self.last_rtp_us);
        if self.active && !self.timeout_told && silent >= limit.as_micros() as u64 {
            self.timeout_told = true;
            let held = self.held;
            self.tell(LegEvent::MediaTimeout { held });
        }
    }

    /// Tells when the negotiated address has its leg back because a doubtful source fell silent.
    pub(crate) fn check_address(&mut self, now: Now) {
        if let Some(back) = self.path.expire(now.ms()) {
            self.tell(LegEvent::RemoteLatched(back));
        }
    }
}
