//! When silence is not sent (`usedtx` of RFC 7587 §3.1.3), judged by the level of what is to be encoded.
//!
//! The encoder has an analysis of its own that begins at complexity 7 only; below that it knows silence by nothing
//! but zeros. What counts as silence is kept low: never above [`LOUDEST`], so that nothing said softly is cut.

/// Silence that is still sent before packets are left out.
const BEFORE_MS: u32 = 200;
/// Silence after which one packet is sent: it tells the far end that the stream lives, and how the background sounds.
const APART_MS: u32 = 400;
/// What always counts as silence, as mean square: 16 of 32768, the rounding of G.711 and what is below it.
const SOFTEST: f32 = 256.0;
/// What never counts as silence, as mean square: 130 of 32768, -48 dBov.
const LOUDEST: f32 = 16_900.0;
/// How far above the background something has to be: 6 dB.
const ABOVE: f32 = 4.0;
/// How fast the background is let rise, per 20 ms: 3 dB a second.
const RISE: f32 = 1.014;

/// What is to be done with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Encode and send it.
    Send,
    /// Leave it out.
    Leave,
}

/// Counts silence.
#[derive(Debug)]
pub(super) struct Quiet {
    /// The background as mean square.
    floor: f32,
    /// Silence so far, and how much of it since the last packet.
    quiet_ms: u32,
    unsent_ms: u32,
}

impl Quiet {
    pub(super) fn new() -> Self {
        Self { floor: SOFTEST, quiet_ms: 0, unsent_ms: 0 }
    }

    /// Whether silence is being left out.
    pub(super) fn lasts(&self) -> bool {
        self.quiet_ms > BEFORE_MS
    }

    /// Judges a frame of `ms` milliseconds by its level.
    pub(super) fn hear(&mut self, pcm: &[i16], ms: u32) -> Verdict {
        let sum: f32 = pcm.iter().map(|sample| f32::from(*sample).powi(2)).sum();
        let level = sum / pcm.len().max(1) as f32;
        let silent = level <= (self.floor * ABOVE).clamp(SOFTEST, LOUDEST);
        let risen = self.floor * RISE.powi((ms / 20).max(1) as i32);
        self.floor = risen.min(level).clamp(SOFTEST / ABOVE, LOUDEST);
        if !silent {
            (self.quiet_ms, self.unsent_ms) = (0, 0);
            return Verdict::Send;
        }
        self.quiet_ms = self.quiet_ms.saturating_add(ms);
        if self.quiet_ms <= BEFORE_MS {
            return Verdict::Send;
        }
        self.unsent_ms += ms;
        if self.unsent_ms < APART_MS {
            return Verdict::Leave;
        }
        self.unsent_ms = 0;
        Verdict::Send
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wave of that amplitude, `ms` long, and how many of its frames of 20 ms are sent.
    fn sent(quiet: &mut Quiet, amplitude: f32, ms: u32) -> usize {
        let frame: Vec<i16> =
            (0..960).map(|n| (amplitude * (n as f32 / 7.0).sin()) as i16).collect();
        (0..ms / 20).filter(|_| quiet.hear(&frame, 20) == Verdict::Send).count()
    }

    #[test]
    fn silence_is_sent_once_in_400_ms() {
        let mut quiet = Quiet::new();
        assert_eq!(sent(&mut quiet, 8000.0, 1000), 50);
        assert_eq!(sent(&mut quiet, 0.0, 4200), 10 + 10);
        assert!(quiet.lasts());
        assert_eq!(sent(&mut quiet, 8000.0, 20), 1, "at once");
        assert!(!quiet.lasts());
    }

    #[test]
    fn a_background_is_learnt_and_what_is_soft_is_not_cut() {
        let mut quiet = Quiet::new();
        sent(&mut quiet, 80.0, 6000);
        assert!(sent(&mut quiet, 80.0, 4000) <= 11, "a steady background is silence");
        assert_eq!(sent(&mut quiet, 300.0, 10_000), 500, "-44 dBov is not, however long it lasts");
    }
}
