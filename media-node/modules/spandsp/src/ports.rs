//! What a thread of a fax machine or a gateway is connected to: a leg's audio, or its UDPTL datagrams. What waits on either
//! side is in rings of the media engine, which have bounds.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use fax::udptl::{Incoming, Outgoing};
use media::record::live::LiveAudio;
use media::{Leg, Playout, SideChannel};
use sdp::T38Options;

/// Samples per second that modems work with.
pub(crate) const RATE: u32 = 8000;
/// Samples of 20 ms.
pub(crate) const FRAME: usize = 160;
/// Samples sent in advance: a thread that runs late by less leaves no gap in the audio.
const AHEAD: usize = FRAME * 6;
/// Repetitions of a packet, whatever is asked for.
const MAX_COPIES: usize = 8;

/// The engine's ends of a leg's audio.
pub(crate) struct AudioPort {
    leg: Weak<Leg>,
    received: LiveAudio,
    transmit: Playout,
}

impl AudioPort {
    /// Of a leg with 8,000 samples per second.
    pub(crate) fn open(leg: &Arc<Leg>) -> Option<Self> {
        let transmit = leg.playout().ok()?;
        let Ok(received) = leg.listen(false) else {
            let _closed = leg.end_playout(&transmit);
            return None;
        };
        Some(Self { leg: Arc::downgrade(leg), received, transmit })
    }

    /// Adds what has come from the far end since the last time; false once the leg is closed.
    pub(crate) fn read(&mut self, samples: &mut Vec<i16>) -> bool {
        self.received.read(samples)
    }

    /// Has frames made until [`AHEAD`] samples wait to be sent. `make` returns how many samples of its frame it has filled;
    /// 0 ends it.
    pub(crate) fn fill(&mut self, mut make: impl FnMut(&mut [i16]) -> usize) {
        while self.transmit.waiting() < AHEAD {
            let mut frame = [0; FRAME];
            let made = make(&mut frame);
            let Some(made) = frame.get(..made).filter(|made| !made.is_empty()) else { return };
            if self.transmit.push(made) < made.len() {
                return;
            }
        }
    }

    /// Whether the leg still takes audio.
    pub(crate) fn is_open(&self) -> bool {
        self.transmit.is_open()
    }

    /// Whether audio still waits to be sent.
    pub(crate) fn is_sending(&self) -> bool {
        self.transmit.waiting() > 0 && self.is_open()
    }
}

impl Drop for AudioPort {
    fn drop(&mut self) {
        if let Some(leg) = self.leg.upgrade() {
            let _closed = (leg.end_tap(&self.received), leg.end_playout(&self.transmit));
        }
    }
}

/// The change to T.38, as the leg's signalling has made it.
pub(crate) struct T38Session {
    pub(crate) side: SideChannel,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) options: T38Options,
    pub(crate) redundancy: usize,
}

/// A leg whose datagrams are UDPTL.
pub(crate) struct UdptlPort {
    side: SideChannel,
    /// Where packets go: what the description says, then where valid datagrams come from.
    remote: Option<SocketAddr>,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl UdptlPort {
    pub(crate) fn open(to: T38Session) -> Self {
        let longest = usize::try_from(to.options.max_datagram).unwrap_or(usize::MAX);
        Self {
            side: to.side,
            remote: to.remote,
            incoming: Incoming::default(),
            outgoing: Outgoing::new(to.redundancy, longest),
        }
    }

    /// Takes the datagrams that have come; calls `each` with number and octets of every IFP packet. Others are left out.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(u16, &[u8])) {
        while let Some(datagram) = self.side.take() {
            if self.incoming.take(&datagram.octets, &mut each).is_ok() {
                self.remote = Some(datagram.from);
            }
        }
    }

    /// Sends an IFP packet, `count` times as spandsp asks for.
    pub(crate) fn send(&mut self, ifp: &[u8], count: usize) {
        let (Some(packet), Some(to)) = (self.outgoing.packet(ifp), self.remote) else { return };
        for _ in 0..count.clamp(1, MAX_COPIES) {
            let _lost = self.side.send_to(&packet, to, false);
        }
    }
}
