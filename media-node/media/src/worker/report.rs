//! RTCP of a leg: reports sent at the interval, and what the peer's say.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::layers::Path;
use super::leg::{LegState, Transport};
use super::{Ctx, Now};
use crate::rtcp::{self, Item, MAX_REPORT, Report, SenderInfo};
use crate::rtp::Kind;
use crate::srtp::OVERHEAD;

/// Seconds from 1900 to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;

/// Reads a compound packet.
pub(super) fn receive(
    leg: &mut LegState,
    packet: &[u8],
    from: Option<SocketAddr>,
    now: Now,
    wall: SystemTime,
) {
    // Only the host that sends the audio may speak for it.
    let peer = leg.path.remote().map(|r| r.ip());
    if from.is_some() && from.map(|f| f.ip()) != peer {
        return;
    }
    if leg.params.symmetric && from.is_some() && matches!(leg.path, Path::Fixed(_)) {
        leg.rtcp_remote = from;
    }
    let ours = leg.out.ssrc;
    let middle = (ntp(wall) >> 16) as u32;
    rtcp::parse(packet, |item| match item {
        Item::Sender { info, .. } => {
            leg.shared.stats.rtcp_packets.set(u64::from(info.packets));
            leg.shared.stats.rtcp_octets.set(u64::from(info.octets));
            leg.arrival.sender_report(info.ntp, now.us);
        }
        Item::Block { block, .. } if block.ssrc == ours => {
            let stats = &leg.shared.stats;
            stats.peer_lost.set(u64::try_from(block.lost).unwrap_or(0));
            stats.peer_jitter.set(u64::from(block.jitter));
            stats.peer_fraction.set(u64::from(block.fraction_lost));
            stats.peer_reports.add(1);
            let round = middle.wrapping_sub(block.last_sr).wrapping_sub(block.delay);
            if block.last_sr != 0 && (round as i32) >= 0 {
                stats.round_trip_us.set(u64::from(round) * 1_000_000 / 65_536);
            }
        }
        _ => {}
    });
}

/// Sends a report when its time has come.
pub(super) fn send_if_due(leg: &mut LegState, ctx: &mut Ctx, wall: impl Fn() -> SystemTime) {
    let (Some(interval), Some(to)) = (leg.params.rtcp_interval, leg.rtcp_remote) else { return };
    if !leg.active || ctx.now.us < leg.next_rtcp_us {
        return;
    }
    leg.next_rtcp_us = ctx.now.us + interval.max(Duration::from_millis(100)).as_micros() as u64;
    let sent = leg.shared.stats.out_packets.get();
    let sender = (sent > leg.rtcp_sent_packets).then(|| SenderInfo {
        ntp: ntp(wall()),
        rtp_timestamp: leg.out.timestamp(),
        packets: sent as u32,
        octets: leg.payload_octets as u32,
    });
    leg.rtcp_sent_packets = sent;
    let block = leg.arrival.report(ctx.now.us);
    let report = Report { ssrc: leg.out.ssrc, sender, block, cname: &leg.params.cname };
    let mut buffer = [0; MAX_REPORT + OVERHEAD];
    let Some(plain) = buffer.first_chunk_mut() else { return };
    let mut len = report.write(plain);
    let Some(protected) = leg.protection_of(Kind::Rtcp).protect_rtcp(&mut buffer, len) else {
        return;
    };
    len = protected;
    if let Transport::Rtp(sockets) = &leg.transport {
        let socket = match &sockets.rtcp {
            Some(rtcp) if !leg.params.rtcp_mux => rtcp,
            _ => &sockets.rtp,
        };
        let _ = socket.send_to(&buffer[..len], to);
    }
}

fn ntp(wall: SystemTime) -> u64 {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    ((since.as_secs() + NTP_EPOCH) << 32) | fraction
}
