//! How good a leg's audio is, per direction: loss, jitter, round trip, and a score by the E-model (ITU-T G.107).

use crate::codec::Codec;

use super::Stats;

/// What is known of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Way {
    /// RTP packets that came (inbound) or were sent (outbound).
    pub packets: u64,
    /// Packets lost on the way; outbound as the peer's reports say.
    pub lost: u64,
    /// Share of packets lost, percent.
    pub loss_percent: f64,
    /// Interarrival jitter at the receiver (RFC 3550 §6.4.1), milliseconds.
    pub jitter_ms: f64,
    /// Estimated mean opinion score, 1 to 4.5.
    pub mos: f64,
}

/// Both directions of a leg, over its life or since an earlier look at it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quality {
    /// What we receive. Without a packet there is nothing to judge.
    pub inbound: Option<Way>,
    /// What the peer receives of us, as it reports; `None` without reports (no RTCP).
    pub outbound: Option<Way>,
    /// Round trip, milliseconds; `None` until the peer has echoed a report of ours.
    pub round_trip_ms: Option<f64>,
}

impl Stats {
    /// The quality of a leg that speaks `codec`: since `before`, an earlier snapshot of the same leg, or over all its life.
    #[must_use]
    pub fn quality(&self, codec: Codec, before: Option<&Self>) -> Quality {
        let start = Self::default();
        let since = before.unwrap_or(&start);
        let round_trip = self.rtcp.round_trip_us as f64 / 1000.0;
        let delay = round_trip / 2.0;
        let grown = |now: u64, then: u64| now.saturating_sub(then);
        let way = |packets: u64, lost: u64, share: f64, jitter_ms: f64| Way {
            packets,
            lost,
            loss_percent: share * 100.0,
            jitter_ms,
            mos: score(codec, share, delay + 2.0 * jitter_ms),
        };
        let packets = grown(self.inbound.packet_count, since.inbound.packet_count);
        let lost = grown(self.inbound.lost_packet_count, since.inbound.lost_packet_count);
        let jitter = self.inbound.interarrival_jitter_us as f64 / 1000.0;
        let inbound =
            (packets > 0).then(|| way(packets, lost, share(lost, packets + lost), jitter));
        let sent = grown(self.outbound.packet_count, since.outbound.packet_count);
        let lost = grown(self.rtcp.peer_lost, since.rtcp.peer_lost);
        let reported = self.rtcp.peer_reports > since.rtcp.peer_reports && sent > 0;
        let outbound = reported.then(|| {
            let clock = f64::from(codec.clock().max(1));
            let jitter = self.rtcp.peer_jitter as f64 * 1000.0 / clock;
            // Over an interval the peer's own fraction is exact; over a life the sums are.
            let share = match before {
                Some(_) => self.rtcp.peer_fraction_lost as f64 / 256.0,
                None => share(lost, sent),
            };
            way(sent, lost, share, jitter)
        });
        Quality { inbound, outbound, round_trip_ms: (round_trip > 0.0).then_some(round_trip) }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) }
}

/// Mean opinion score of a codec at a share of random loss and a mouth-to-ear delay: the E-model with its default values
/// (G.107 §7), impairments of codecs from G.113 appendix I.
fn score(codec: Codec, loss: f64, delay_ms: f64) -> f64 {
    let (impairment, robustness) = impairment(codec.name());
    let late = (delay_ms - 177.3).max(0.0);
    let delay = 0.024 * delay_ms + 0.11 * late;
    let loss = loss * 100.0;
    let equipment = impairment + (95.0 - impairment) * loss / (loss + robustness);
    rating(93.2 - delay - equipment)
}

/// Equipment impairment `Ie` and packet-loss robustness `Bpl` of a codec, with loss concealed.
fn impairment(codec: &str) -> (f64, f64) {
    match codec {
        "G729" => (11.0, 19.0),
        "G723" => (15.0, 16.1),
        "GSM" => (20.0, 10.0),
        "AMR" => (5.0, 10.0),
        // Forward error correction and the decoder's own concealment.
        "opus" | "OPUS" => (0.0, 30.0),
        _ => (0.0, 25.1),
    }
}

/// Mean opinion score of a rating `r` (G.107 annex B).
fn rating(r: f64) -> f64 {
    if r <= 0.0 {
        return 1.0;
    }
    let r = r.min(100.0);
    (1.0 + 0.035 * r + 0.000_007 * r * (r - 60.0) * (100.0 - r)).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(packets: u64, lost: u64) -> Stats {
        let mut stats = Stats::default();
        stats.inbound.packet_count = packets;
        stats.inbound.lost_packet_count = lost;
        stats
    }

    #[test]
    fn loss_and_delay_lower_the_score() {
        let mos = |loss, delay| score(Codec::PCMU, loss, delay);
        assert!((mos(0.0, 0.0) - 4.41).abs() < 0.01, "{}", mos(0.0, 0.0));
        assert!((3.8..4.0).contains(&mos(0.05, 0.0)), "{}", mos(0.05, 0.0));
        assert!(mos(0.0, 400.0) < 3.5 && mos(0.0, 400.0) < mos(0.0, 150.0));
        assert!((1.0..1.5).contains(&mos(1.0, 1000.0)));
    }

    #[test]
    fn a_look_counts_from_the_look_before() {
        let (then, now) = (heard(1000, 0), heard(1090, 10));
        let since = now.quality(Codec::PCMU, Some(&then)).inbound.expect("packets");
        assert_eq!((since.packets, since.lost, since.loss_percent), (90, 10, 10.0));
        let life = now.quality(Codec::PCMU, None).inbound.expect("packets");
        assert!((life.loss_percent - 0.909).abs() < 0.001);
        assert_eq!(now.quality(Codec::PCMU, Some(&now)).inbound, None);
    }

    #[test]
    fn what_the_peer_hears_is_known_from_its_reports_only() {
        let mut now = Stats::default();
        now.outbound.packet_count = 500;
        assert_eq!(now.quality(Codec::PCMU, None).outbound, None);
        now.rtcp.peer_reports = 1;
        now.rtcp.peer_fraction_lost = 64;
        now.rtcp.peer_lost = 50;
        now.rtcp.peer_jitter = 80;
        now.rtcp.round_trip_us = 30_000;
        let all = now.quality(Codec::PCMU, None);
        let out = all.outbound.expect("reports");
        assert_eq!((out.loss_percent, out.jitter_ms, all.round_trip_ms), (10.0, 10.0, Some(30.0)));
        let since = now.quality(Codec::PCMU, Some(&Stats::default())).outbound.expect("reports");
        assert_eq!(since.loss_percent, 25.0);
        assert_eq!(now.quality(Codec::PCMU, Some(&now)).outbound, None);
    }
}
