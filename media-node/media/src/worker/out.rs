//! The outgoing RTP stream of one leg: one SSRC, one sequence and one timestamp line for the leg's
//! whole life, whatever is sent on it (a file, the bridged peer, digits, silence).

use crate::rtp::{Header, seq_distance};

/// A jump of this many sequence numbers in a relayed stream means its sender started anew.
const RESTART_GAP: u16 = 512;

/// Numbers for one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) marker: bool,
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
}

#[derive(Debug)]
pub(crate) struct OutStream {
    pub(crate) ssrc: u32,
    seq: u16,
    timestamp: u32,
    /// When `timestamp` was the present; `None` before the first packet.
    sent_us: Option<u64>,
    /// What wrote last.
    source: Source,
    /// Something was left out since the last packet.
    paused: bool,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    None,
    /// Our own clock.
    Clocked,
    /// Digits.
    Digits,
    /// A stream passed on, with how its numbers become ours.
    Relay(Map),
}

#[derive(Debug, Clone, Copy)]
struct Map {
    ssrc: u32,
    first_seq: u16,
    last_seq: u16,
    seq_offset: u16,
    in_base: u32,
    out_base: u32,
}

impl OutStream {
    pub(crate) fn new(ssrc: u32, seq: u16, timestamp: u32) -> Self {
        Self { ssrc, seq, timestamp, sent_us: None, source: Source::None, paused: false }
    }

    /// The numbers before its first packet.
    pub(crate) fn begins_at(&self) -> (u16, u32) {
        (self.seq, self.timestamp)
    }

    /// Timestamp sent last.
    pub(crate) fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Whether the last packet, of whatever source, was sent that long ago.
    pub(crate) fn is_idle(&self, now_us: u64, for_us: u64) -> bool {
        self.sent_us.is_some_and(|at| now_us.saturating_sub(at) >= for_us)
    }

    /// The next packet of our own clock, `samples` long.
    pub(crate) fn clocked(&mut self, now_us: u64, rate: u32, samples: usize) -> Stamp {
        let frame_us = samples as u64 * 1_000_000 / u64::from(rate.max(1));
        let continues = matches!(self.source, Source::Clocked)
            && self.sent_us.is_some_and(|at| now_us.saturating_sub(at) < frame_us * 4);
        if continues {
            self.timestamp = self.timestamp.wrapping_add(samples as u32);
            // Several frames at once are of the time to come: the next are not late for it.
            let due = self.sent_us.map_or(now_us, |at| at + frame_us);
            self.sent_us = Some(due.max(now_us));
        } else {
            self.timestamp = self.present(now_us, rate, samples);
            self.source = Source::Clocked;
            self.sent_us = Some(now_us);
        }
        self.seq = self.seq.wrapping_add(1);
        Stamp { marker: !continues, seq: self.seq, timestamp: self.timestamp }
    }

    /// The numbers under which a packet of another stream goes out: gaps and reordering of that
    /// stream are kept. `None` for a packet from before the stream was switched to.
    pub(crate) fn relayed(
        &mut self,
        header: &Header,
        now_us: u64,
        in_rate: u32,
        out_rate: u32,
        samples: usize,
    ) -> Option<Stamp> {
        let map = match self.source {
            Source::Relay(map) if map.follows(header) => map,
            _ => self.switch(header, now_us, out_rate, samples),
        };
        if seq_distance(map.first_seq, header.seq) < 0 {
            return None;
        }
        let switched = header.seq == map.first_seq;
        let passed = header.timestamp.wrapping_sub(map.in_base);
        let passed = if in_rate == out_rate {
            passed
        } else {
            (i64::from(passed as i32) * i64::from(out_rate) / i64::from(in_rate.max(1))) as u32
        };
        let seq = header.seq.wrapping_add(map.seq_offset);
        let timestamp = map.out_base.wrapping_add(passed);
        if seq_distance(self.seq, seq) > 0 {
            self.seq = seq;
            self.timestamp = timestamp;
            self.sent_us = Some(now_us);
        }
        let last_seq =
            if seq_distance(map.last_seq, header.seq) > 0 { header.seq } else { map.last_seq };
        self.source = Source::Relay(Map { first_seq: map.trail(last_seq), last_seq, ..map });
        Some(Stamp { marker: header.marker || switched, seq, timestamp })
    }

    fn switch(&mut self, header: &Header, now_us: u64, rate: u32, samples: usize) -> Map {
        let out_base = self.present(now_us, rate, samples);
        let map = Map {
            ssrc: header.ssrc,
            first_seq: header.seq,
            last_seq: header.seq,
            seq_offset: self.seq.wrapping_add(1).wrapping_sub(header.seq),
            in_base: header.timestamp,
            out_base,
        };
        self.source = Source::Relay(map);
        map
    }

    /// Takes the numbers of a packet back that is silence and is not sent. Time goes on, but no number is missing: the
    /// far end would make up for a loss.
    pub(crate) fn leave_out(&mut self, stamp: Stamp) {
        self.paused = true;
        // One that came late has no number to give back: those after it are sent.
        if stamp.seq != self.seq {
            return;
        }
        self.seq = self.seq.wrapping_sub(1);
        if let Source::Relay(map) = &mut self.source {
            map.seq_offset = map.seq_offset.wrapping_sub(1);
        }
    }

    /// Whether the packet about to be sent is the first of talk after others were left out; asked once per packet.
    /// `pausing`: it is a sign of life in the silence.
    pub(crate) fn resumes(&mut self, pausing: bool) -> bool {
        !pausing && std::mem::take(&mut self.paused)
    }

    /// A packet of a digit: the first takes the present as its timestamp, the rest repeat it.
    pub(crate) fn digit(&mut self, first: bool, now_us: u64, rate: u32, samples: usize) -> Stamp {
        if first {
            self.timestamp = self.present(now_us, rate, samples);
            // Left at the beginning: what follows is counted from there.
            self.sent_us = Some(now_us);
            self.source = Source::Digits;
        }
        self.seq = self.seq.wrapping_add(1);
        Stamp { marker: first, seq: self.seq, timestamp: self.timestamp }
    }

    /// The timestamp of now: at least one frame after the last one sent.
    fn present(&self, now_us: u64, rate: u32, samples: usize) -> u32 {
        let Some(at) = self.sent_us else { return self.timestamp };
        let elapsed = now_us.saturating_sub(at) as u128 * u128::from(rate) / 1_000_000;
        self.timestamp.wrapping_add((elapsed as u32).max(samples as u32))
    }
}

impl Map {
    fn follows(&self, header: &Header) -> bool {
        let distance = seq_distance(self.last_seq, header.seq);
        self.ssrc == header.ssrc && distance.unsigned_abs() < RESTART_GAP
    }

    /// Keeps the start of the stream within reach of 16-bit comparison.
    fn trail(&self, last_seq: u16) -> u16 {
        if seq_distance(self.first_seq, last_seq) > 0x2000 {
            last_seq.wrapping_sub(0x1000)
        } else {
            self.first_seq
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(ssrc: u32, seq: u16, timestamp: u32) -> Header {
        Header { marker: false, pt: 0, seq, timestamp, ssrc, payload: 12..172 }
    }

    #[test]
    fn sequence_and_timestamp_carry_on_across_sources() {
        let mut out = OutStream::new(1, 99, 5000);
        let a = out.clocked(1_000_000, 8000, 160);
        let b = out.clocked(1_020_000, 8000, 160);
        assert_eq!((a.seq, a.timestamp, a.marker), (100, 5000, true));
        assert_eq!((b.seq, b.timestamp, b.marker), (101, 5160, false));
        let c = out.relayed(&header(7, 40_000, 123), 1_040_000, 8000, 8000, 160).unwrap();
        let d = out.relayed(&header(7, 40_001, 283), 1_060_000, 8000, 8000, 160).unwrap();
        assert_eq!((c.seq, c.timestamp, c.marker), (102, 5320, true));
        assert_eq!((d.seq, d.timestamp, d.marker), (103, 5480, false));
        let e = out.relayed(&header(8, 5, 1), 1_090_000, 8000, 8000, 160).unwrap();
        assert_eq!((e.seq, e.timestamp, e.marker), (104, 5720, true));
    }

    #[test]
    fn gaps_and_reordering_of_a_relayed_stream_are_kept() {
        let mut out = OutStream::new(1, 0, 0);
        let mut seq = |n: u16| {
            out.relayed(&header(7, n, u32::from(n) * 160), 1_000_000, 8000, 8000, 160)
                .map(|s| s.seq)
        };
        assert_eq!(seq(500), Some(1));
        assert_eq!(seq(503), Some(4));
        assert_eq!(seq(501), Some(2));
        assert_eq!(seq(499), None, "from before the switch");
        assert_eq!(seq(504), Some(5));
    }

    #[test]
    fn a_very_long_stream_never_looks_like_the_past() {
        let mut out = OutStream::new(1, 0, 0);
        let mut expected = 0u16;
        for n in 0..200_000u32 {
            expected = expected.wrapping_add(1);
            let h = header(7, n as u16, n.wrapping_mul(160));
            let stamp = out.relayed(&h, u64::from(n) * 20_000, 8000, 8000, 160).unwrap();
            assert_eq!(stamp.seq, expected);
        }
    }

    #[test]
    fn a_digit_keeps_one_timestamp_and_audio_resumes_after_it() {
        let mut out = OutStream::new(1, 0, 1000);
        out.clocked(1_000_000, 8000, 160);
        let first = out.digit(true, 1_020_000, 8000, 160);
        let end = out.digit(false, 1_120_000, 8000, 160);
        assert_eq!((first.timestamp, first.marker), (1160, true));
        assert_eq!((end.timestamp, end.marker, end.seq), (1160, false, first.seq + 1));
        let audio = out.clocked(1_140_000, 8000, 160);
        assert_eq!((audio.timestamp, audio.marker), (1160 + 960, true));
    }

    #[test]
    fn frames_that_come_in_bursts_are_a_frame_apart_in_time() {
        let mut out = OutStream::new(1, 0, 0);
        let mut last = out.clocked(1_000_000, 8000, 80).timestamp;
        // Packets of 60 ms become six of 10 ms, all at once.
        for burst in 0..50u64 {
            for _ in usize::from(burst == 0)..6 {
                let stamp = out.clocked(1_000_000 + burst * 60_000, 8000, 80);
                let step = stamp.timestamp.wrapping_sub(last);
                assert_eq!((step, stamp.marker), (80, false), "burst {burst}");
                last = stamp.timestamp;
            }
        }
    }

    #[test]
    fn what_is_left_out_takes_time_but_no_number() {
        let mut out = OutStream::new(1, 0, 0);
        out.clocked(1_000_000, 8000, 160);
        let left = out.clocked(1_020_000, 8000, 160);
        out.leave_out(left);
        let next = out.clocked(1_040_000, 8000, 160);
        assert_eq!((next.seq, next.timestamp), (left.seq, 320));
        assert!(!out.resumes(true) && out.resumes(false) && !out.resumes(false));
        let mut relayed = |n: u16| {
            out.relayed(&header(7, n, u32::from(n) * 160), 1_000_000, 8000, 8000, 160).unwrap()
        };
        let first = relayed(500);
        let left = relayed(501);
        out.leave_out(left);
        let next = out.relayed(&header(7, 502, 502 * 160), 1_000_000, 8000, 8000, 160).unwrap();
        assert_eq!((next.seq, next.timestamp), (left.seq, first.timestamp + 320));
    }

    #[test]
    fn other_clock_rates_are_scaled() {
        let mut out = OutStream::new(1, 0, 0);
        out.relayed(&header(7, 1, 1000), 0, 8000, 16_000, 320);
        let stamp = out.relayed(&header(7, 2, 1160), 20_000, 8000, 16_000, 320).unwrap();
        assert_eq!(stamp.timestamp, 320);
    }
}
