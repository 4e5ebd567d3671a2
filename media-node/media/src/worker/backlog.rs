//! What a worker does that has fallen behind: it takes the newest packets of each leg and drops those that have
//! waited for more than [`OLDEST_MS`]. Read one by one they would all arrive late, and later with every pass, until
//! every call of the worker hears seconds of the past.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use super::leg::Transport;
use super::{PACKET, Worker};
use crate::io::{MediaIo, Token};
use crate::params::Handling;

/// Milliseconds of audio of a leg that may have waited.
const OLDEST_MS: u32 = 60;
/// Packets kept of a leg at most: that much of the shortest ones.
const KEPT: usize = 6;
/// Packets taken from one socket at once.
const MOST: usize = 512;

/// Packets read and not yet dropped.
pub(super) struct Backlog {
    packets: Box<[Waiting]>,
}

struct Waiting {
    octets: Box<[u8]>,
    len: usize,
    from: Option<SocketAddr>,
}

impl Backlog {
    pub(super) fn new() -> Self {
        let waiting = || Waiting { octets: vec![0; PACKET].into(), len: 0, from: None };
        Self { packets: std::iter::repeat_with(waiting).take(KEPT).collect() }
    }
}

impl<I: MediaIo> Worker<I> {
    /// Reads everything that waits in a socket and takes what is new enough. Telephone events are taken however old:
    /// a key pressed is not lost for lack of time.
    pub(super) fn read_newest(&mut self, token: Token) {
        if token.rtcp {
            return self.read(token);
        }
        let Some(Some(leg)) = self.legs.get(token.slot as usize) else { return };
        if leg.params.handling == Handling::Packets {
            return self.read(token);
        }
        let keep = (OLDEST_MS.div_ceil(leg.params.ptime.max(1)) as usize).clamp(1, KEPT);
        let events = [leg.params.te_recv, leg.params.te_send];
        let (mut read, mut dropped) = (0usize, 0usize);
        while read < MOST {
            let Some(Some(leg)) = self.legs.get(token.slot as usize) else { return };
            let Transport::Rtp(sockets) = &leg.transport else { return };
            let Some(place) = self.backlog.packets.get_mut(read % keep) else { return };
            // The oldest gives way to what comes next, if anything does.
            let (oldest, is_event) = (read >= keep, is_event(&place.octets[..place.len], events));
            if oldest && is_event {
                self.ctx.packet[..place.len].copy_from_slice(&place.octets[..place.len]);
            }
            let (old_len, old_from) = (place.len, place.from);
            let Ok((len, from)) = sockets.rtp.recv_from(&mut place.octets) else { break };
            (place.len, place.from) = (len, Some(from));
            read += 1;
            if oldest && is_event {
                self.receive(token.slot, old_len, old_from);
            } else if oldest {
                dropped += 1;
            }
        }
        self.note_dropped(token.slot, dropped);
        for n in read.saturating_sub(keep)..read {
            let Some(waiting) = self.backlog.packets.get(n % keep) else { return };
            let (len, from) = (waiting.len, waiting.from);
            self.ctx.packet[..len].copy_from_slice(&waiting.octets[..len]);
            self.packets += 1;
            self.receive(token.slot, len, from);
        }
    }

    fn note_dropped(&self, slot: u32, dropped: usize) {
        if dropped == 0 {
            return;
        }
        self.mailbox.dropped.fetch_add(dropped, Ordering::Relaxed);
        if let Some(Some(leg)) = self.legs.get(slot as usize) {
            leg.shared.stats.in_flush.add(dropped as u64);
        }
    }
}

fn is_event(packet: &[u8], events: [Option<u8>; 2]) -> bool {
    packet.get(1).is_some_and(|second| events.contains(&Some(second & 0x7f)))
}
