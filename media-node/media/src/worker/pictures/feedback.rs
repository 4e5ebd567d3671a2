//! What receivers say of the pictures they are sent, and what sources are told of theirs (RTCP).

use std::sync::Arc;

use super::super::leg::{LegState, Route, Transport};
use super::super::{Ctx, Worker};
use super::KeyFrames;
use crate::io::MediaIo;
use crate::picture::PictureOptions;
use crate::picture::limit::{LEAST_BITS, share};
use crate::picture::sent::{ASKED, nack_words};
use crate::picture::simulcast::MAX_LAYERS;
use crate::picture::view::View;
use crate::rtcp::{self, Item, KEY_FRAME_REQUEST, MAX_REPORT, REMB, Report, ReportBlock};
use crate::rtp::Kind;
use crate::shared::LegShared;
use crate::srtp::OVERHEAD;

/// Microseconds between two key frame requests (PLI, FIR) for one stream.
const KEY_FRAME_INTERVAL_US: u64 = 500_000;
/// Fraction lost (of 256) from which a receiver gets no discardable frames for a while: a tenth.
const HEAVY_LOSS: u8 = 26;
/// Streams of one estimate that are taken: those of the lines a call can have.
const MAX_LIMITED: usize = 16;
/// Estimates of one compound packet that are taken.
const MAX_ESTIMATES: usize = 4;
/// Microseconds between two compound packets of a receiver whose estimates are taken: each is looked up among all of the room.
const ESTIMATE_INTERVAL_US: u64 = 50_000;
/// Sequence numbers taken from the NACKs of one compound packet.
const MAX_NACKED: usize = 64;

/// What one compound RTCP packet of a receiver asks for.
struct Feedback {
    key_frame: bool,
    missing: [u16; MAX_NACKED],
    count: usize,
    heavy_loss: bool,
    estimates: [Estimate; MAX_ESTIMATES],
    estimate_count: usize,
}

/// What a receiver estimates it can take.
#[derive(Clone, Copy, Default)]
struct Estimate {
    /// Bits a second, of all these streams together.
    bits: u64,
    ssrcs: [u32; MAX_LIMITED],
    count: usize,
}

impl Estimate {
    fn ssrcs(&self) -> &[u32] {
        self.ssrcs.get(..self.count).unwrap_or_default()
    }
}

impl Feedback {
    fn new() -> Self {
        Self {
            key_frame: false,
            missing: [0; MAX_NACKED],
            count: 0,
            heavy_loss: false,
            estimates: Default::default(),
            estimate_count: 0,
        }
    }

    fn remb(&mut self, ssrc: u32, bits: u64, first: bool) {
        self.estimate_count += usize::from(first);
        let last = self.estimate_count.checked_sub(1);
        let Some(estimate) = last.and_then(|last| self.estimates.get_mut(last)) else { return };
        estimate.bits = bits;
        if let Some(place) = estimate.ssrcs.get_mut(estimate.count) {
            *place = ssrc;
            estimate.count += 1;
        }
    }

    fn estimates(&self) -> impl Iterator<Item = &Estimate> {
        self.estimates.iter().take(self.estimate_count)
    }

    fn nack(&mut self, seq: u16, more: u16) {
        let after = (0..16).filter(|bit| more >> bit & 1 == 1).map(|bit| seq.wrapping_add(bit + 1));
        for seq in std::iter::once(seq).chain(after) {
            if let Some(place) = self.missing.get_mut(self.count) {
                *place = seq;
                self.count += 1;
            }
        }
    }
}

impl<I: MediaIo> Worker<I> {
    pub(super) fn take_feedback(&mut self, leg: &mut LegState, len: usize) {
        let mut feedback = Feedback::new();
        let (ours, now) = (leg.out.ssrc, self.ctx.now.us);
        let LegState { arrival, layers, congestion, .. } = leg;
        let mut acknowledged = false;
        rtcp::parse(self.ctx.packet.get(..len).unwrap_or_default(), |item| match item {
            Item::KeyFrameRequest => feedback.key_frame = true,
            Item::Nack { seq, more } => feedback.nack(seq, more),
            Item::Block { block, .. } if block.ssrc == ours => {
                feedback.heavy_loss |= block.fraction_lost >= HEAVY_LOSS;
            }
            Item::Remb { ssrc, bits, first, .. } => feedback.remb(ssrc, bits, first),
            Item::Sender { ssrc, info } => match layers {
                Some(layers) => layers.sender_report(ssrc, info.ntp, now),
                None => arrival.sender_report(info.ntp, now),
            },
            Item::Transport { number, arrived } => {
                if let Some(congestion) = congestion {
                    congestion.sending.heard(number, arrived, now);
                    acknowledged = true;
                }
            }
            _ => {}
        });
        if let Some(congestion) = congestion.as_mut().filter(|_| acknowledged)
            && let Some(bits) = congestion.sending.estimate(now)
        {
            // As if the receiver had said so itself, of its one stream.
            feedback.remb(ours, bits, true);
        }
        let mut upstream = [0; ASKED];
        let mut count = 0;
        for seq in feedback.missing.iter().take(feedback.count) {
            if let Some(seq) = leg.retransmit(*seq, &mut self.ctx)
                && let Some(place) = upstream.get_mut(count)
            {
                *place = seq;
                count += 1;
            }
        }
        if feedback.estimate_count > 0 && leg.may_estimate(now) {
            for estimate in feedback.estimates() {
                self.take_estimate(leg, estimate);
            }
        }
        let Some(picture) = &mut leg.picture else { return };
        if feedback.heavy_loss
            && let Some(view) = &mut picture.view
        {
            view.thin_out(now);
            picture.chooser.loses();
        }
        let layer = picture.chooser.layer();
        // While a switch waits, it is the new source's picture that is missing.
        let source = picture.wanted.as_ref().or(picture.source.as_ref()).cloned();
        if feedback.key_frame
            && let Some(source) = &source
        {
            self.on_leg(leg, source, |source, ctx| source.request_key_frame(layer, ctx));
        }
        let source = leg.picture.as_ref().and_then(|picture| {
            let stream = picture.view.as_ref().and_then(View::stream)?;
            let source = picture.source.clone().filter(|source| source.id == stream.leg)?;
            Some((source, stream.ssrc))
        });
        if count > 0
            && let Some((source, ssrc)) = source
        {
            let missing = upstream.get_mut(..count).unwrap_or_default();
            self.on_leg(leg, &source, |source, ctx| {
                source.request_retransmission(missing, ssrc, ctx);
            });
        }
    }

    /// Limits the sources of the streams that a receiver's estimate names: this leg's, and those of further lines of the same
    /// call, of which a browser speaks on one line. Each counts by what is sent of it: browsers estimate at most half as much
    /// again as they get, so that equal parts would hold back a busy source beside quiet ones.
    fn take_estimate(&mut self, leg: &mut LegState, estimate: &Estimate) {
        let (Route::Pictures(host), Some(picture)) = (&leg.route, &leg.picture) else { return };
        let (now, call) = (self.ctx.now.us, picture.options.call);
        let mut named: [Option<(Arc<LegShared>, u64)>; MAX_LIMITED] = Default::default();
        let mut places = named.iter_mut();
        let host = self.find(host).and_then(|place| self.legs.get(place as usize)?.as_ref());
        for viewer in
            host.and_then(|host| host.room.as_ref()).iter().flat_map(|room| room.viewers())
        {
            if !estimate.ssrcs().contains(&viewer.ssrc) {
                continue;
            }
            let picture = if viewer.id == leg.shared.id {
                leg.picture.as_ref()
            } else {
                let other =
                    self.find(viewer).and_then(|place| self.legs.get(place as usize)?.as_ref());
                let other = other.and_then(|other| other.picture.as_ref());
                // A number of another call's stream says nothing: anyone may write it.
                other.filter(|other| call.is_some() && other.options.call == call)
            };
            let shows = picture.filter(|p| p.view.as_ref().and_then(View::source).is_some());
            if let Some(picture) = shows
                && let Some(place) = places.next()
            {
                *place = Some((Arc::clone(viewer), picture.rate.bits(now)));
            }
        }
        let all = named.iter().flatten();
        let (total, streams) = (all.clone().map(|(_, rate)| rate).sum(), all.count() as u64);
        for (viewer, rate) in named.iter().flatten() {
            let own = share(estimate.bits, *rate, (total, streams));
            // With less than so little it has spare pictures left out, if it takes less than it is sent.
            let thin = own < LEAST_BITS && estimate.bits <= total;
            let mut source = None;
            self.on_leg(leg, viewer, |viewer, _| {
                if let Some(picture) = &mut viewer.picture {
                    picture.estimate = Some((own, now));
                }
                source = viewer.limits(thin, now);
            });
            let Some(source) = source else { continue };
            self.on_leg(leg, &source, |source, ctx| {
                // With simulcast each receiver has the layer that fits.
                let told = source.picture.as_mut().filter(|p| p.options.remb);
                let told = told.filter(|_| source.layers.is_none());
                let Some(picture) = told.filter(|_| source.heard_ssrc != 0) else { return };
                if picture.limit.estimate(own, ctx.now.us) {
                    source.report(ctx);
                }
            });
        }
    }
}

impl LegState {
    /// The source an estimate of this receiver limits: the one it is shown, unless it does without spare pictures and so gets
    /// less than that source sends. `thin`: that is to be so from now on.
    fn limits(&mut self, thin: bool, now_us: u64) -> Option<Arc<LegShared>> {
        let picture = self.picture.as_mut()?;
        let view = picture.view.as_mut()?;
        if thin {
            view.thin_out(now_us);
        }
        let shown = view.source().filter(|_| !view.is_thin(now_us))?;
        picture.source.clone().filter(|source| source.id == shown)
    }

    /// Whether its estimates are taken now; the next ones are when a while has passed.
    fn may_estimate(&mut self, now_us: u64) -> bool {
        let Some(picture) = &mut self.picture else { return false };
        let recent = |at: u64| now_us.saturating_sub(at) < ESTIMATE_INTERVAL_US;
        if picture.estimated_us.is_some_and(recent) {
            return false;
        }
        picture.estimated_us = Some(now_us);
        true
    }

    /// Asks the far end for a key frame of that layer, now or as soon as it may be asked again.
    pub(super) fn request_key_frame(&mut self, layer: usize, ctx: &mut Ctx) {
        let theirs = match &self.layers {
            Some(layers) => layers.ssrc(layer),
            None => Some(self.heard_ssrc).filter(|ssrc| *ssrc != 0 && layer == 0),
        };
        let ours = self.out.ssrc;
        let Some(picture) = &mut self.picture else { return };
        let Some(key_frames) = picture.key_frames.get_mut(layer) else { return };
        let Some(theirs) = theirs else {
            // Without simulcast the only stream is one that may yet come; a layer that does not come is not waited for.
            key_frames.wanted = layer == 0;
            return;
        };
        key_frames.wanted = true;
        let due = ctx.now.us.saturating_sub(key_frames.asked_us) >= KEY_FRAME_INTERVAL_US;
        if !due && key_frames.asked_us != 0 {
            return;
        }
        *key_frames = KeyFrames { wanted: false, asked_us: ctx.now.us };
        let PictureOptions { pli, fir, .. } = picture.options;
        picture.firs = picture.firs.wrapping_add(u8::from(fir));
        let fir = fir.then_some(picture.firs);
        let mut out = [0; KEY_FRAME_REQUEST];
        let len = rtcp::request_key_frame(&mut out, (ours, theirs), pli, fir);
        self.send_feedback(out.get(..len).unwrap_or_default(), ctx);
    }

    /// Asks the far end to send packets again, those it was not asked for a moment ago.
    fn request_retransmission(&mut self, missing: &mut [u16], theirs: u32, ctx: &mut Ctx) {
        let (ours, now) = (self.out.ssrc, ctx.now.us);
        let asked = match &mut self.layers {
            Some(layers) => layers.asked(theirs),
            None => self.picture.as_mut().map(|picture| &mut picture.asked),
        };
        let Some(asked) = asked else { return };
        let mut wanted = [0; ASKED];
        let mut count = 0;
        for (place, seq) in
            wanted.iter_mut().zip(missing.iter().filter(|seq| asked.may(**seq, now)))
        {
            *place = *seq;
            count += 1;
        }
        let mut words = [(0, 0); ASKED];
        let count = nack_words(wanted.get_mut(..count).unwrap_or_default(), &mut words);
        let mut out = [0; 12 + 4 * ASKED];
        let words = words.get(..count).unwrap_or_default();
        let len = rtcp::generic_nack(&mut out, (ours, theirs), words);
        if len > 0 {
            self.send_feedback(out.get(..len).unwrap_or_default(), ctx);
        }
    }

    /// Sends the far end a receiver report on its stream, and behind it the limit its receivers set (REMB), if there is one
    /// and the far end knows REMB.
    pub(super) fn report(&mut self, ctx: &mut Ctx) {
        let names = (self.out.ssrc, self.heard_ssrc);
        let told = self.picture.as_mut().filter(|picture| picture.options.remb && names.1 != 0);
        let layered = self.layers.is_some();
        let mut out = [0; REMB];
        let limit = told.and_then(|picture| {
            if layered {
                // A limit told before simulcast was agreed is lifted: each receiver has the layer that fits.
                picture.limit.end();
            }
            picture.limit.tell(ctx.now.us)
        });
        match limit {
            Some(bits) => {
                rtcp::remb(&mut out, names, bits);
                self.send_feedback(&out, ctx);
            }
            None => self.send_feedback(&[], ctx),
        }
    }

    /// Sends the far end a compound packet: a receiver report on each of its streams, and behind that `request`, which may be
    /// empty.
    fn send_feedback(&mut self, request: &[u8], ctx: &mut Ctx) {
        let now = ctx.now.us;
        let blocks = match &mut self.layers {
            Some(layers) => layers.reports(now),
            None => {
                let mut blocks = [None; MAX_LAYERS];
                blocks[0] = self.arrival.report(now);
                blocks
            }
        };
        self.send_compound(&blocks, request, ctx);
    }

    /// Sends the far end a compound packet: a receiver report for each block, or one without, and behind that `request`.
    pub(super) fn send_compound(
        &mut self,
        blocks: &[Option<ReportBlock>; MAX_LAYERS],
        request: &[u8],
        ctx: &mut Ctx,
    ) {
        if !self.active {
            return;
        }
        let mut whole = 0;
        let mut put = |octets: &[u8], out: &mut [u8]| {
            if let Some(place) = out.get_mut(whole..whole + octets.len()) {
                place.copy_from_slice(octets);
                whole += octets.len();
            }
        };
        let (ssrc, cname) = (self.out.ssrc, &*self.params.cname);
        let mut blocks = blocks.iter().flatten().copied();
        let mut plain = [0; MAX_REPORT];
        let first = Report { ssrc, sender: None, block: blocks.next(), cname };
        let len = first.write(&mut plain);
        put(plain.get(..len).unwrap_or_default(), &mut ctx.out);
        for block in blocks {
            let len = Report { ssrc, sender: None, block: Some(block), cname }.write(&mut plain);
            put(plain.get(..len).unwrap_or_default(), &mut ctx.out);
        }
        put(request, &mut ctx.out);
        let Some(out) = ctx.out.get_mut(..whole + OVERHEAD) else { return };
        let Some(len) = self.protection_of(Kind::Rtcp).protect_rtcp(out, whole) else { return };
        let Transport::Rtp(sockets) = &self.transport else { return };
        let (socket, to) = match &sockets.rtcp {
            Some(socket) if !self.params.rtcp_mux => (socket, self.rtcp_remote),
            _ => (&sockets.rtp, self.path.destination(ctx.now.ms())),
        };
        let (Some(to), Some(packet)) = (to, out.get(..len)) else { return };
        let _ = socket.send_to(packet, to);
    }
}
