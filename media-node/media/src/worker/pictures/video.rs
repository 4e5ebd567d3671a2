//! What a line of video sends beside pictures: which layer a packet is of, and the numbers of transport-wide feedback.

use super::super::Ctx;
use super::super::leg::{LegState, Route};
use crate::picture::simulcast::MAX_LAYERS;
use crate::rtcp::transport;
use crate::rtp::{self, Header};

impl LegState {
    /// Sorts the packet in `ctx.packet[..len]`: the layer it is of, which is 0 without simulcast; `None` for one of no layer,
    /// and in a bridge for those of all layers but one. Tells the far end what has arrived.
    pub(in crate::worker) fn sort_video(&mut self, len: usize, ctx: &mut Ctx) -> Option<usize> {
        if self.layers.is_none() && self.congestion.is_none() {
            return Some(0);
        }
        let now = ctx.now.us;
        let packet = ctx.packet.get(..len).unwrap_or_default();
        let header = Header::parse(packet)?;
        let number = self.params.transport_cc.and_then(|id| rtp::extension(packet, id));
        let number = number.and_then(|number| number.first_chunk()).copied();
        if let (Some(congestion), Some(number)) = (&mut self.congestion, number) {
            congestion.received.note(u16::from_be_bytes(number), now);
        }
        let mut layer = Some(0);
        if let (Some(layers), Some(simulcast)) = (&mut self.layers, &self.params.simulcast) {
            let name = rtp::extension(packet, simulcast.extension);
            layer = layers.of((header.ssrc, name), &simulcast.rids, now);
            if let Some(n) = layer.filter(|_| header.pt == self.params.recv_pt) {
                layers.count(n, &header, len, now, &self.shared.stats);
            }
            let in_room = matches!(self.route, Route::Pictures(_));
            layer = layer.filter(|n| in_room || layers.is_bridged(*n, now));
        }
        self.tell_arrivals(header.ssrc, ctx);
        layer
    }

    /// Sends the message about packets that have come, when it is due.
    fn tell_arrivals(&mut self, theirs: u32, ctx: &mut Ctx) {
        let Some(congestion) = &mut self.congestion else { return };
        let mut out = [0; transport::LONGEST];
        let names = (self.out.ssrc, theirs);
        if let Some(len) = congestion.received.tell(&mut out, names, ctx.now.us) {
            let message = out.get(..len).unwrap_or_default();
            self.send_compound(&[None; MAX_LAYERS], message, ctx);
        }
    }
}
