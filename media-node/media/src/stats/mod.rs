//! Figures of one leg, as reported when a call ends (`rtp_audio_*`).

pub(crate) mod arrival;
pub(crate) mod cell;
mod quality;

pub use quality::{Quality, Way};

/// A snapshot of a leg's counters. Names follow the channel variables they become.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Received, packets and octets.
    pub inbound: Inbound,
    /// Sent, packets and octets.
    pub outbound: Outbound,
    /// RTCP seen from the peer.
    pub rtcp: Rtcp,
}

/// What was received. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inbound {
    /// Octets of RTP packets, headers included.
    pub raw_bytes: u64,
    /// Octets of packets that carried audio, headers included.
    pub media_bytes: u64,
    /// RTP packets.
    pub packet_count: u64,
    /// RTP packets that carried audio.
    pub media_packet_count: u64,
    /// Reads that found nothing while audio was expected.
    pub skip_packet_count: u64,
    /// Packets that arrived out of order or too late.
    pub jitter_packet_count: u64,
    /// telephone-event packets.
    pub dtmf_packet_count: u64,
    /// Comfort noise packets.
    pub cng_packet_count: u64,
    /// Packets thrown away because too many waited.
    pub flush_packet_count: u64,
    /// Largest depth of the jitter buffer, in packets.
    pub largest_jb_size: u64,
    /// Smallest variance of the time between packets.
    pub jitter_min_variance: f64,
    /// Largest variance of the time between packets.
    pub jitter_max_variance: f64,
    /// Lost / received.
    pub jitter_loss_rate: f64,
    /// Share of losses that came in bursts.
    pub jitter_burst_rate: f64,
    /// Mean time between packets.
    pub mean_interval: f64,
    /// Packets that never came: gaps in the sequence less what filled them later.
    pub lost_packet_count: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1), microseconds.
    pub interarrival_jitter_us: u64,
    /// Packets refused because they were not protected with the negotiated key, or came twice.
    pub unauthentic_packet_count: u64,
    /// Gaps and other defects, weighted.
    pub flaw_total: u64,
    /// Share of packets without defect, percent.
    pub quality_percentage: f64,
    /// Estimated mean opinion score.
    pub mos: f64,
}

impl Default for Inbound {
    fn default() -> Self {
        Self {
            raw_bytes: 0,
            media_bytes: 0,
            packet_count: 0,
            media_packet_count: 0,
            skip_packet_count: 0,
            jitter_packet_count: 0,
            dtmf_packet_count: 0,
            cng_packet_count: 0,
            flush_packet_count: 0,
            largest_jb_size: 0,
            jitter_min_variance: 0.0,
            jitter_max_variance: 0.0,
            jitter_loss_rate: 0.0,
            jitter_burst_rate: 0.0,
            mean_interval: 0.0,
            lost_packet_count: 0,
            interarrival_jitter_us: 0,
            unauthentic_packet_count: 0,
            flaw_total: 0,
            quality_percentage: 100.0,
            mos: 4.5,
        }
    }
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outbound {
    /// Octets of RTP packets, headers included.
    pub raw_bytes: u64,
    /// Octets of packets that carried audio, headers included.
    pub media_bytes: u64,
    /// RTP packets.
    pub packet_count: u64,
    /// RTP packets that carried audio.
    pub media_packet_count: u64,
    /// Packets not sent (no address yet, refused by the network, or a digit in their place).
    pub skip_packet_count: u64,
    /// telephone-event packets.
    pub dtmf_packet_count: u64,
    /// Comfort noise packets.
    pub cng_packet_count: u64,
}

/// What the peer's RTCP said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rtcp {
    /// RTP packets the peer says it sent.
    pub packet_count: u64,
    /// Octets the peer says it sent.
    pub octet_count: u64,
    /// Packets the peer says it lost of ours.
    pub peer_lost: u64,
    /// Interarrival jitter the peer saw, in timestamp units.
    pub peer_jitter: u64,
    /// Share of ours that the peer's last report says it lost, of 256.
    pub peer_fraction_lost: u64,
    /// Reports of the peer about what we send.
    pub peer_reports: u64,
    /// Round trip, microseconds; 0 = not known.
    pub round_trip_us: u64,
}

impl Stats {
    /// The statistics as channel variables, as the reference names and prints them, in its order.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let (i, o, r) = (&self.inbound, &self.outbound, &self.rtcp);
        let two = |v: f64| format!("{v:.2}");
        vec![
            ("rtp_audio_in_raw_bytes", i.raw_bytes.to_string()),
            ("rtp_audio_in_media_bytes", i.media_bytes.to_string()),
            ("rtp_audio_in_packet_count", i.packet_count.to_string()),
            ("rtp_audio_in_media_packet_count", i.media_packet_count.to_string()),
            ("rtp_audio_in_skip_packet_count", i.skip_packet_count.to_string()),
            ("rtp_audio_in_jitter_packet_count", i.jitter_packet_count.to_string()),
            ("rtp_audio_in_dtmf_packet_count", i.dtmf_packet_count.to_string()),
            ("rtp_audio_in_cng_packet_count", i.cng_packet_count.to_string()),
            ("rtp_audio_in_flush_packet_count", i.flush_packet_count.to_string()),
            ("rtp_audio_in_largest_jb_size", i.largest_jb_size.to_string()),
            ("rtp_audio_in_jitter_min_variance", two(i.jitter_min_variance)),
            ("rtp_audio_in_jitter_max_variance", two(i.jitter_max_variance)),
            ("rtp_audio_in_jitter_loss_rate", two(i.jitter_loss_rate)),
            ("rtp_audio_in_jitter_burst_rate", two(i.jitter_burst_rate)),
            ("rtp_audio_in_mean_interval", two(i.mean_interval)),
            ("rtp_audio_in_flaw_total", i.flaw_total.to_string()),
            ("rtp_audio_in_quality_percentage", two(i.quality_percentage)),
            ("rtp_audio_in_mos", two(i.mos)),
            ("rtp_audio_out_raw_bytes", o.raw_bytes.to_string()),
            ("rtp_audio_out_media_bytes", o.media_bytes.to_string()),
            ("rtp_audio_out_packet_count", o.packet_count.to_string()),
            ("rtp_audio_out_media_packet_count", o.media_packet_count.to_string()),
            ("rtp_audio_out_skip_packet_count", o.skip_packet_count.to_string()),
            ("rtp_audio_out_dtmf_packet_count", o.dtmf_packet_count.to_string()),
            ("rtp_audio_out_cng_packet_count", o.cng_packet_count.to_string()),
            ("rtp_audio_rtcp_packet_count", r.packet_count.to_string()),
            ("rtp_audio_rtcp_octet_count", r.octet_count.to_string()),
        ]
    }
}
