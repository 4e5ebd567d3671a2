//! Counters one worker writes and anybody reads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Inbound, Outbound, Rtcp, Stats};

/// A counter with a single writer: adding is a plain load and store.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    fn float(&self) -> f64 {
        f64::from_bits(self.get())
    }

    pub(crate) fn set_float(&self, value: f64) {
        self.set(value.to_bits());
    }
}

macro_rules! cell {
    ($($name:ident),* $(,)?) => {
        /// One leg's counters.
        #[derive(Debug, Default)]
        pub(crate) struct StatsCell { $(pub(crate) $name: Counter,)* }
    };
}

cell! {
    in_raw_bytes, in_media_bytes, in_packets, in_media_packets, in_skip, in_jitter, in_dtmf, in_cng,
    in_flush, in_largest_jb, in_min_variance, in_max_variance, in_loss_rate, in_burst_rate,
    in_mean_interval, in_flaws, in_unauthentic, in_lost, in_interarrival_us,
    out_raw_bytes, out_media_bytes, out_packets, out_media_packets, out_skip, out_dtmf, out_cng,
    rtcp_packets, rtcp_octets, peer_lost, peer_jitter, peer_fraction, peer_reports, round_trip_us,
}

impl StatsCell {
    pub(crate) fn snapshot(&self) -> Stats {
        let received = self.in_packets.get();
        let quality = quality(received, self.in_flaws.get());
        Stats {
            inbound: Inbound {
                raw_bytes: self.in_raw_bytes.get(),
                media_bytes: self.in_media_bytes.get(),
                packet_count: received,
                media_packet_count: self.in_media_packets.get(),
                skip_packet_count: self.in_skip.get(),
                jitter_packet_count: self.in_jitter.get(),
                dtmf_packet_count: self.in_dtmf.get(),
                cng_packet_count: self.in_cng.get(),
                flush_packet_count: self.in_flush.get(),
                largest_jb_size: self.in_largest_jb.get(),
                jitter_min_variance: self.in_min_variance.float(),
                jitter_max_variance: self.in_max_variance.float(),
                jitter_loss_rate: self.in_loss_rate.float(),
                jitter_burst_rate: self.in_burst_rate.float(),
                mean_interval: self.in_mean_interval.float(),
                lost_packet_count: self.in_lost.get(),
                interarrival_jitter_us: self.in_interarrival_us.get(),
                unauthentic_packet_count: self.in_unauthentic.get(),
                flaw_total: self.in_flaws.get(),
                quality_percentage: quality,
                mos: mos(quality),
            },
            outbound: Outbound {
                raw_bytes: self.out_raw_bytes.get(),
                media_bytes: self.out_media_bytes.get(),
                packet_count: self.out_packets.get(),
                media_packet_count: self.out_media_packets.get(),
                skip_packet_count: self.out_skip.get(),
                dtmf_packet_count: self.out_dtmf.get(),
                cng_packet_count: self.out_cng.get(),
            },
            rtcp: Rtcp {
                packet_count: self.rtcp_packets.get(),
                octet_count: self.rtcp_octets.get(),
                peer_lost: self.peer_lost.get(),
                peer_jitter: self.peer_jitter.get(),
                peer_fraction_lost: self.peer_fraction.get(),
                peer_reports: self.peer_reports.get(),
                round_trip_us: self.round_trip_us.get(),
            },
        }
    }
}

/// Share of packets without flaw in whole percent; 100 where the formula leaves its range.
fn quality(received: u64, flaws: u64) -> f64 {
    if received == 0 || flaws > received {
        return 100.0;
    }
    ((received - flaws) * 100 / received) as f64
}

/// Mean opinion score of quality `r` (ITU-T G.107 annex B).
fn mos(r: f64) -> f64 {
    1.0 + 0.035 * r + 0.000_007 * r * (r - 60.0) * (100.0 - r)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_without_packets_has_full_quality() {
        assert_eq!(StatsCell::default().snapshot(), Stats::default());
    }

    #[test]
    fn flaws_lower_quality_and_score() {
        let cell = StatsCell::default();
        cell.in_packets.set(200);
        cell.in_flaws.set(20);
        let inbound = cell.snapshot().inbound;
        assert_eq!(inbound.quality_percentage, 90.0);
        assert!((inbound.mos - 4.339).abs() < 0.001, "{}", inbound.mos);
    }
}
