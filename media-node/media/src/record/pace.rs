//! What a live tap gives while its far end sends nothing: silence, so that a place in the stream is a time of the call.
//!
//! A far end with silence suppression stops sending. Whether a packet is missing or late shows only when the next one comes, so
//! silence begins some intervals into a pause, and what was left out before it follows when RTP's clock says how long the pause
//! was. Packets that were late have silence in front of them that was no pause: the stream is ahead then, until the next one.

/// Intervals without a packet after which silence is given.
const IDLE: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Intervals since the last packet.
    idle: usize,
    /// Samples of silence given since.
    given: usize,
    /// Samples given beyond what RTP's clock counts.
    ahead: usize,
}

impl Pace {
    /// An interval of `frame` samples without a packet. True if silence takes its place.
    pub(super) fn idles(&mut self, frame: usize) -> bool {
        self.idle += 1;
        let gives = self.idle > IDLE && self.ahead + self.given + frame <= self.idle * frame;
        self.given += if gives { frame } else { 0 };
        gives
    }

    /// A packet comes, which begins `pause` samples behind the end of the one before; `None` where its clock does not say,
    /// as that of the first. Gives the samples of silence that are missing in front of it.
    pub(super) fn resumes(&mut self, pause: Option<usize>, frame: usize) -> usize {
        let waited = std::mem::take(&mut self.idle) * frame;
        let given = std::mem::take(&mut self.given);
        // A clock that jumps is believed no further than our own.
        let due = match pause {
            Some(pause) => pause.min(waited + frame),
            None if given > 0 => waited,
            None => 0,
        };
        let missing = due.saturating_sub(given + self.ahead);
        self.ahead = (given + self.ahead).saturating_sub(due);
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 160;

    fn silence(pace: &mut Pace, intervals: usize) -> usize {
        (0..intervals).filter(|_| pace.idles(FRAME)).count() * FRAME
    }

    #[test]
    fn a_pause_is_as_long_in_the_stream_as_by_rtp_s_clock() {
        for pause in 0..20 {
            let mut pace = Pace::default();
            let given = silence(&mut pace, pause);
            assert_eq!(given + pace.resumes(Some(pause * FRAME), FRAME), pause * FRAME, "{pause}");
        }
        let mut pace = Pace::default();
        let given = silence(&mut pace, 10);
        assert_eq!(given + pace.resumes(None, FRAME), 10 * FRAME, "the first packet");
    }

    #[test]
    fn packets_that_were_late_put_the_stream_ahead_until_the_next_pause() {
        let mut pace = Pace::default();
        assert_eq!(silence(&mut pace, 8), 5 * FRAME);
        // All eight come at once, without a pause between them.
        assert!((0..8).all(|_| pace.resumes(Some(0), FRAME) == 0));
        let given = silence(&mut pace, 20);
        assert_eq!(given + pace.resumes(Some(20 * FRAME), FRAME), 15 * FRAME);
        let given = silence(&mut pace, 6);
        assert_eq!(given + pace.resumes(Some(6 * FRAME), FRAME), 6 * FRAME, "made up for");
    }

    #[test]
    fn a_clock_that_jumps_fills_in_no_more_than_the_time_that_passed() {
        let mut pace = Pace::default();
        assert_eq!(silence(&mut pace, 4), FRAME);
        assert_eq!(pace.resumes(Some(usize::MAX), FRAME), 4 * FRAME);
        assert_eq!(pace.resumes(Some(usize::MAX), FRAME), FRAME);
    }
}
