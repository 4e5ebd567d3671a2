//! What the arrival of packets tells: interval, variance, loss, and the figures of a reception
//! report (RFC 3550 §6.4.1, appendix A).

use crate::rtcp::ReportBlock;
use crate::rtp::{Header, seq_distance};

use super::cell::StatsCell;

/// Packets at the start that do not count for interval and variance.
const WARM_UP: u64 = 10;
/// A sequence number this far ahead or behind belongs to a sender that started anew, if the next
/// one follows it (RFC 3550 appendix A.1).
const MAX_DROPOUT: i16 = 3000;
const MAX_MISORDER: i16 = 100;

/// Follows one incoming stream.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    ssrc: u32,
    started: bool,
    base_seq: u32,
    highest: u32,
    received: u64,
    /// Gaps of this stream so far.
    lost: u64,
    /// Packets of this call's streams that never came: gaps, less what filled them late.
    missing: u64,
    bursts: u64,
    run: u64,
    last_us: u64,
    intervals: u64,
    mean: f64,
    variance: f64,
    min_variance: Option<f64>,
    max_variance: f64,
    jitter: f64,
    transit: Option<i64>,
    reported: (u64, u64),
    sr: Option<(u32, u64)>,
    /// What would follow a number out of reach.
    suspect: Option<u16>,
}

/// How a packet stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The next one.
    Next,
    /// After a gap of this many.
    Gap(u16),
    /// Older than the newest.
    Late,
    /// First of a stream, or out of all order: nothing can be said.
    First,
}

impl Arrival {
    /// Counts a packet that carries audio.
    pub(crate) fn packet(
        &mut self,
        header: &Header,
        now_us: u64,
        rate: u32,
        stats: &StatsCell,
    ) -> Order {
        let order = self.other(header, stats);
        self.interval(now_us, order);
        self.interarrival(header.timestamp, now_us, rate);
        self.last_us = now_us;
        order
    }

    /// Counts a packet that carries something else (a digit, comfort noise): it has its place in the
    /// sequence, but no say about the pace of the audio.
    pub(crate) fn other(&mut self, header: &Header, stats: &StatsCell) -> Order {
        if !self.started || self.ssrc != header.ssrc {
            self.restart(header);
        }
        self.received += 1;
        self.sequence(header, stats)
    }

    fn restart(&mut self, header: &Header) {
        let sr = None;
        *self = Self { ssrc: header.ssrc, started: true, sr, ..Self { ..self.carried() } };
        self.base_seq = u32::from(header.seq);
        // One before, so that the first packet is the next one.
        self.highest = self.base_seq.wrapping_sub(1);
    }

    /// What survives a change of source: the sums reported at the end of the call.
    fn carried(&self) -> Self {
        Self {
            intervals: self.intervals,
            mean: self.mean,
            min_variance: self.min_variance,
            max_variance: self.max_variance,
            variance: self.variance,
            missing: self.missing,
            ..Self::default()
        }
    }

    fn sequence(&mut self, header: &Header, stats: &StatsCell) -> Order {
        let seq = header.seq;
        let ahead = seq_distance(self.highest as u16, seq);
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&ahead) && self.received > 1 {
            if self.suspect != Some(seq) {
                self.suspect = Some(seq.wrapping_add(1));
                return Order::First;
            }
            self.restart(header);
            self.received = 1;
            self.highest = self.base_seq;
            return Order::First;
        }
        self.suspect = None;
        if ahead <= 0 {
            stats.in_jitter.add(1);
            // A duplicate fills no gap, but a sender that doubles its packets has few to fill.
            self.missing = self.missing.saturating_sub(u64::from(ahead < 0));
            self.run = 0;
            return Order::Late;
        }
        self.highest = self.highest.wrapping_add(ahead as u32);
        if ahead == 1 {
            self.run = 0;
            return if self.received == 1 { Order::First } else { Order::Next };
        }
        let gap = (ahead - 1) as u64;
        self.lost += gap;
        self.missing += gap;
        self.bursts += u64::from(gap > 1);
        self.run += 1;
        // A defect right after another weighs more, as the reference counts it.
        stats.in_flaws.add(gap + self.run - 1);
        Order::Gap(gap as u16)
    }

    fn interval(&mut self, now_us: u64, order: Order) {
        if self.received <= WARM_UP || matches!(order, Order::First) || self.last_us == 0 {
            return;
        }
        let ms = now_us.saturating_sub(self.last_us) as f64 / 1000.0;
        self.intervals += 1;
        let n = self.intervals as f64;
        self.mean += (ms - self.mean) / n;
        let deviation = ms - self.mean;
        self.variance += (deviation * deviation - self.variance) / n;
        self.max_variance = self.max_variance.max(self.variance);
        let lowest = self.min_variance.map_or(self.variance, |v| v.min(self.variance));
        self.min_variance = Some(lowest);
    }

    fn interarrival(&mut self, timestamp: u32, now_us: u64, rate: u32) {
        let arrival = (now_us as u128 * u128::from(rate) / 1_000_000) as i64;
        let transit = arrival.wrapping_sub(i64::from(timestamp));
        if let Some(last) = self.transit.replace(transit) {
            let d = (transit - last).unsigned_abs().min(u64::from(rate) * 10);
            self.jitter += (d as f64 - self.jitter) / 16.0;
        }
    }

    /// Writes the figures that are not counted packet by packet; `rate` is the stream's RTP clock.
    pub(crate) fn publish(&self, rate: u32, stats: &StatsCell) {
        stats.in_lost.set(self.missing);
        stats.in_interarrival_us.set((self.jitter * 1e6 / f64::from(rate.max(1))) as u64);
        stats.in_mean_interval.set_float(self.mean);
        stats.in_min_variance.set_float(self.min_variance.unwrap_or(0.0));
        stats.in_max_variance.set_float(self.max_variance);
        if self.received > 0 {
            stats.in_loss_rate.set_float(self.lost as f64 / self.received as f64);
            let burst = if self.lost > 0 { self.bursts as f64 / self.lost as f64 } else { 0.0 };
            stats.in_burst_rate.set_float(burst);
        }
    }

    /// Notes a sender report, for the delay fields of our next reception report.
    pub(crate) fn sender_report(&mut self, ntp: u64, now_us: u64) {
        self.sr = Some(((ntp >> 16) as u32, now_us));
    }

    /// The reception report due now.
    pub(crate) fn report(&mut self, now_us: u64) -> Option<ReportBlock> {
        if !self.started {
            return None;
        }
        let expected = u64::from(self.highest.wrapping_sub(self.base_seq)) + 1;
        let lost = expected as i64 - self.received as i64;
        let (expected_before, received_before) =
            std::mem::replace(&mut self.reported, (expected, self.received));
        let span = expected.saturating_sub(expected_before);
        let span_lost = span.saturating_sub(self.received.saturating_sub(received_before));
        let (last_sr, delay) = self.sr.map_or((0, 0), |(middle, at)| {
            (middle, (now_us.saturating_sub(at) as u128 * 65_536 / 1_000_000) as u32)
        });
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: (span_lost * 256).checked_div(span).unwrap_or(0).min(255) as u8,
            lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_seq: self.highest,
            jitter: self.jitter as u32,
            last_sr,
            delay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(seq: u16, ms: u64) -> Header {
        let timestamp = ms as u32 * 8;
        Header { marker: false, pt: 0, seq, timestamp, ssrc: 7, payload: 12..172 }
    }

    fn feed(arrival: &mut Arrival, stats: &StatsCell, packets: &[(u16, u64)]) {
        for &(seq, ms) in packets {
            stats.in_packets.add(1);
            arrival.packet(&header(seq, ms), 1_000_000 + ms * 1000, 8000, stats);
        }
        arrival.publish(8000, stats);
    }

    #[test]
    fn even_arrival_has_its_interval_and_no_variance() {
        let (mut arrival, stats) = (Arrival::default(), StatsCell::default());
        let packets: Vec<_> =
            (0..100).map(|n| (65_500u16.wrapping_add(n), u64::from(n) * 20)).collect();
        feed(&mut arrival, &stats, &packets);
        let inbound = stats.snapshot().inbound;
        assert_eq!((inbound.mean_interval, inbound.jitter_max_variance), (20.0, 0.0));
        assert_eq!((inbound.flaw_total, inbound.jitter_packet_count), (0, 0));
        let block = arrival.report(3_000_000).unwrap();
        assert_eq!((block.lost, block.fraction_lost, block.jitter), (0, 0, 0));
        assert_eq!(block.highest_seq, 65_599);
    }

    #[test]
    fn gaps_are_flaws_and_late_packets_are_jitter() {
        let (mut arrival, stats) = (Arrival::default(), StatsCell::default());
        let packets: Vec<_> = (0..40u16)
            .filter(|n| !(20..24).contains(n))
            .chain([22])
            .map(|n| (n, u64::from(n) * 20))
            .collect();
        feed(&mut arrival, &stats, &packets);
        let inbound = stats.snapshot().inbound;
        assert_eq!((inbound.flaw_total, inbound.jitter_packet_count), (4, 1));
        assert_eq!(inbound.lost_packet_count, 3);
        let block = arrival.report(3_000_000).unwrap();
        assert_eq!((block.lost, block.fraction_lost), (3, 19));
    }

    #[test]
    fn a_sender_report_is_echoed_with_its_age() {
        let mut arrival = Arrival::default();
        feed(&mut arrival, &StatsCell::default(), &[(1, 0)]);
        arrival.sender_report(0x1111_2222_3333_4444, 2_000_000);
        let block = arrival.report(2_500_000).unwrap();
        assert_eq!((block.last_sr, block.delay), (0x2222_3333, 32_768));
    }
}
