//! Legs whose packets are passed on as they come: video and real-time text with their RTCP, fax over UDPTL.
//!
//! Nothing is decoded, timed or made up. Each side sees the stream under the SSRC its own description named, and what it
//! asks of the sender in RTCP (lost packets again, a key frame) reaches the sender under the SSRC it sends with.

use std::net::SocketAddr;

use super::leg::{LegState, Route, Transport};
use super::{Ctx, Worker};
use crate::event::LegEvent;
use crate::io::MediaIo;
use crate::latch::Verdict;
use crate::params::Handling;
use crate::rtp::{self, Kind};

impl<I: MediaIo> Worker<I> {
    /// Passes on the packet in `ctx.packet[..len]`, which is no longer protected: to the bridged leg, or a datagram of one
    /// that has none to the leg's control side.
    pub(super) fn pass_on(
        &mut self,
        leg: &mut LegState,
        kind: Kind,
        len: usize,
        from: Option<SocketAddr>,
    ) {
        let rtcp = kind == Kind::Rtcp;
        if !leg.active || !self.comes_from_peer(leg, rtcp, from) {
            return;
        }
        let stats = &leg.shared.stats;
        stats.in_packets.add(1);
        stats.in_raw_bytes.add(len as u64);
        leg.last_rtp_us = self.ctx.now.us;
        leg.timeout_told = false;
        let (mut len, mut layer) = (len, 0);
        if kind == Kind::Rtp {
            let Some(sorted) = leg.sort_video(len, &mut self.ctx) else { return };
            layer = sorted;
            let packet = self.ctx.packet.get_mut(..len).unwrap_or_default();
            let Some(ssrc) = rtp_ssrc(packet) else { return };
            leg.heard_ssrc = ssrc;
            let stats = &leg.shared.stats;
            stats.in_media_packets.add(1);
            stats.in_media_bytes.add(len as u64);
            // What was agreed for rooms alone stays on this side of a bridge.
            if (leg.layers.is_some() || leg.congestion.is_some())
                && !matches!(leg.route, Route::Pictures(_))
            {
                len = rtp::remove_extension(packet);
            }
        }
        let packet = self.ctx.packet.get_mut(..len).unwrap_or_default();
        // Of several numbers (text with redundancy) only the first one agreed on has another on the other side.
        let main = packet.get(1).is_some_and(|second| second & 0x7f == leg.params.recv_pt);
        let renumber = kind == Kind::Rtp && main;
        if let Route::Echo(_) = leg.route {
            let (ours, theirs) = (leg.out.ssrc, leg.heard_ssrc);
            if rename(packet, kind, [(theirs, ours), (ours, theirs)]) {
                leg.send_passed(kind, renumber, len, &mut self.ctx);
            }
        } else if let Route::Pictures(_) = leg.route {
            self.show(leg, kind, len, layer);
        } else if let Some((place, mut peer)) = self.peer_of(leg) {
            let names = [(leg.heard_ssrc, peer.out.ssrc), (leg.out.ssrc, peer.heard_ssrc)];
            let packet = self.ctx.packet.get_mut(..len).unwrap_or_default();
            let alike = peer.params.handling == leg.params.handling;
            if alike && rename(packet, kind, names) {
                peer.send_passed(kind, renumber, len, &mut self.ctx);
            }
            self.put(place, peer);
            if !alike && leg.params.handling == Handling::Datagrams {
                // A gateway of this switch translates between fax packets and the audio of the other leg.
                let packet = self.ctx.packet.get(..len).unwrap_or_default();
                leg.pass_aside(packet, from, false);
            }
        } else if leg.params.handling == Handling::Datagrams {
            // A fax machine of this switch is the other side.
            let packet = self.ctx.packet.get(..len).unwrap_or_default();
            leg.pass_aside(packet, from, false);
        }
    }

    fn comes_from_peer(&self, leg: &mut LegState, rtcp: bool, from: Option<SocketAddr>) -> bool {
        let Some(from) = from else { return true };
        if rtcp {
            let peer = leg.path.remote().map(|remote| remote.ip()) == Some(from.ip());
            if peer && leg.params.symmetric {
                leg.rtcp_remote = Some(from);
            }
            return peer;
        }
        let genuine = leg.protection.proves();
        match leg.path.judge(from, self.ctx.now.ms(), genuine) {
            Verdict::Accept => true,
            Verdict::Moved => {
                leg.tell(LegEvent::RemoteLatched(from));
                true
            }
            Verdict::Refuse | Verdict::StillThere => false,
        }
    }
}

impl LegState {
    /// Puts a passed packet, in `ctx.packet[..len]`, on this leg's wire.
    fn send_passed(&mut self, kind: Kind, renumber: bool, len: usize, ctx: &mut Ctx) {
        let rtcp = kind == Kind::Rtcp;
        if !self.active || !rtcp && !self.params.direction.sends() {
            return;
        }
        if renumber && let Some(second) = ctx.packet.get_mut(1) {
            // The numbers of the two sides may differ; a marker stays.
            *second = *second & 0x80 | self.params.send_pt & 0x7f;
        }
        let len = match kind {
            Kind::Rtp => self.protection.protect_rtp(&mut ctx.packet, len),
            Kind::Rtcp => self.protection_of(kind).protect_rtcp(&mut ctx.packet, len),
            _ => Some(len),
        };
        let Some(packet) = len.and_then(|len| ctx.packet.get(..len)) else { return };
        if kind == Kind::Rtp {
            self.note_passed(packet);
        }
        let Transport::Rtp(sockets) = &self.transport else { return };
        let (socket, to) = match &sockets.rtcp {
            Some(socket) if rtcp && !self.params.rtcp_mux => (socket, self.rtcp_remote),
            _ => (&sockets.rtp, self.path.destination(ctx.now.ms())),
        };
        let stats = &self.shared.stats;
        if to.is_some_and(|to| socket.send_to(packet, to).is_ok()) {
            stats.out_packets.add(1);
            stats.out_raw_bytes.add(packet.len() as u64);
        } else {
            stats.out_skip.add(1);
        }
    }
}

fn rtp_ssrc(packet: &[u8]) -> Option<u32> {
    let header = packet.get(..rtp::HEADER_LEN)?;
    header.last_chunk().copied().map(u32::from_be_bytes)
}

/// Gives sources the names the other side knows: in RTP the SSRC, in RTCP every word that is one. False for a packet that
/// may not be passed on.
fn rename(packet: &mut [u8], kind: Kind, names: [(u32, u32); 2]) -> bool {
    let renamed = |word: [u8; 4]| {
        let old = u32::from_be_bytes(word);
        let new = names.iter().find(|(from, to)| *from == old && *from != 0 && *to != 0);
        new.map(|(_, new)| new.to_be_bytes())
    };
    match kind {
        Kind::Rtp => {
            let Some(ssrc) = packet.get_mut(8..12) else { return false };
            ssrc.copy_from_slice(&names[0].1.to_be_bytes());
        }
        Kind::Rtcp => {
            for word in packet.chunks_exact_mut(4).skip(1) {
                let Ok(old) = <[u8; 4]>::try_from(&*word) else { continue };
                if let Some(new) = renamed(old) {
                    word.copy_from_slice(&new);
                }
            }
        }
        Kind::Unknown => {}
        // Checks and handshakes are between a leg and its own peer.
        Kind::Stun | Kind::Dtls => return false,
    }
    true
}

/// What a datagram of a leg is to it: fax packets look like anything.
pub(super) fn kind_of(handling: Handling, packet: &[u8]) -> Kind {
    match handling {
        Handling::Datagrams => Kind::Unknown,
        Handling::Audio | Handling::Packets => rtp::classify(packet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_sees_the_names_its_description_had() {
        let names = [(0x1111, 0xaaaa), (0xbbbb, 0x2222)];
        let mut rtp = [0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0x11, 0x11, 9];
        assert!(rename(&mut rtp, Kind::Rtp, names));
        assert_eq!(rtp, [0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0xaa, 0xaa, 9]);
        // A picture loss indication: by the far end's source, of ours.
        let mut pli = [0x81, 206, 0, 2, 0, 0, 0x11, 0x11, 0, 0, 0xbb, 0xbb];
        assert!(rename(&mut pli, Kind::Rtcp, names));
        assert_eq!(pli, [0x81, 206, 0, 2, 0, 0, 0xaa, 0xaa, 0, 0, 0x22, 0x22]);
        // Of a source not heard yet nothing is known.
        let mut early = pli;
        assert!(rename(&mut early, Kind::Rtcp, [(0, 0xaaaa), (0xbbbb, 0)]));
        assert_eq!(early, pli);
        let mut short = [0x80, 96];
        assert!(!rename(&mut short, Kind::Rtp, names));
        assert!(!rename(&mut [0, 1], Kind::Stun, names));
    }

    #[test]
    fn fax_packets_may_begin_with_anything() {
        for first in [0, 22, 0x80] {
            assert_eq!(kind_of(Handling::Datagrams, &[first, 1, 2, 3]), Kind::Unknown);
        }
        assert_eq!(
            kind_of(Handling::Packets, &[0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Kind::Rtp
        );
    }
}
