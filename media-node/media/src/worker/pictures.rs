//! Video in rooms: packets of one member shown to others, each as a stream of its own.
//!
//! Who is shown what is decided outside. Here a switch waits for a picture that needs no other, which the source is asked
//! for; lost packets are sent again from what was sent last, or asked for at the source, once for all who miss them. A
//! source is told the lowest bit rate its receivers can take ([`Limit`]); a receiver that loses much gets no discardable
//! frames.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::leg::{LegState, Route, Transport};
use super::{Ctx, Worker};
use crate::io::MediaIo;
use crate::leg::LegId;
use crate::picture::PictureOptions;
use crate::picture::limit::{LEAST_BITS, Limit, Rate, share};
use crate::picture::sent::{ASKED, Asked, Sent, nack_words};
use crate::picture::view::{self, LEAST_STEP, Stream, View};
use crate::picture::{Seen, VideoCodec};
use crate::rtcp::{self, Item, KEY_FRAME_REQUEST, MAX_REPORT, REMB, Report};
use crate::rtp::{self, Header, Kind};
use crate::service::Retired;
use crate::shared::{Command, LegShared, Op};
use crate::srtp::OVERHEAD;

/// Microseconds between two key frame requests (PLI, FIR) to one source.
const KEY_FRAME_INTERVAL_US: u64 = 500_000;
/// Microseconds between two receiver reports to a source.
const REPORT_INTERVAL_US: u64 = 1_000_000;
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
/// Reordering tolerated, in sequence numbers.
const REORDERED: i16 = 256;
/// RTP clock of video.
const CLOCK: u32 = 90_000;

/// The video of a leg in a room: what it sends, and what it is shown.
#[derive(Debug)]
pub(crate) struct Picture {
    options: PictureOptions,
    /// Nothing of it is shown to others.
    hidden: bool,
    /// How often that has changed: what is shown then begins with a key frame.
    epoch: u32,
    /// Whom it is to be shown.
    wanted: Option<Arc<LegShared>>,
    /// Whose packets it was shown last.
    source: Option<Arc<LegShared>>,
    /// Made with the first packet shown: where it begins depends on what was sent before.
    view: Option<View>,
    sent: Sent,
    /// A receiver needs a key frame of this source.
    key_frame_wanted: bool,
    key_frame_asked_us: u64,
    firs: u8,
    asked: Asked,
    reported_us: u64,
    /// When its estimates were taken last.
    estimated_us: Option<u64>,
    /// What it is sent.
    rate: Rate,
    /// What its receivers can take of it.
    limit: Limit,
}

impl Picture {
    pub(crate) fn new(options: PictureOptions) -> Self {
        Self {
            options,
            hidden: options.hidden,
            epoch: 0,
            wanted: None,
            source: None,
            view: None,
            sent: Sent::new(),
            key_frame_wanted: false,
            key_frame_asked_us: 0,
            firs: 0,
            asked: Asked::default(),
            reported_us: 0,
            estimated_us: None,
            rate: Rate::default(),
            limit: Limit::default(),
        }
    }

    /// Takes over the numbers of an earlier stay in a room: to the far end it is one stream. Where it was sent another's since, up to
    /// `passed`, that is where it goes on: no number is to be used again.
    fn continue_from(&mut self, old: &mut Self, passed: Option<(u16, u32)>) {
        let goes_on = |view: &View| {
            passed.is_none_or(|(seq, _)| {
                (-REORDERED..=0).contains(&rtp::seq_distance(view.seq(), seq))
            })
        };
        if old.view.as_ref().is_some_and(goes_on) {
            std::mem::swap(&mut self.view, &mut old.view);
            std::mem::swap(&mut self.sent, &mut old.sent);
        }
        std::mem::swap(&mut self.limit, &mut old.limit);
        (self.firs, self.key_frame_asked_us) = (old.firs, old.key_frame_asked_us);
        if let Some(view) = &mut self.view {
            view.stop();
        }
    }

    /// Whether it waits for a key frame of `from`.
    fn waits_for(&self, from: LegId) -> bool {
        let wanted = self.wanted.as_ref().is_some_and(|wanted| wanted.id == from);
        wanted && self.view.as_ref().and_then(View::source) != Some(from)
    }
}

/// What is wished of the video of a leg that has yet to join a room: the leg moves to another worker for that, and what is asked of it
/// meanwhile may be there first.
#[derive(Debug, Default)]
pub(super) struct Early {
    look: Option<Option<Arc<LegShared>>>,
    hide: Option<bool>,
}

/// A packet of a source, read.
struct Frame<'a> {
    from: &'a Arc<LegShared>,
    stream: Stream,
    codec: VideoCodec,
    header: Header,
    seen: Seen,
    len: usize,
}

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
    /// Makes a leg a member of a mixer's room for its video.
    pub(super) fn join_pictures(
        &mut self,
        slot: u32,
        mut leg: Box<LegState>,
        mixer: Arc<LegShared>,
        mut picture: Box<Picture>,
    ) {
        self.unbridge(&mut leg);
        let at = mixer.worker.load(Ordering::Acquire);
        if at != self.index && at < self.mailboxes.len() {
            let shared = Arc::clone(&leg.shared);
            self.put(slot, leg);
            self.move_to(at, slot);
            if let Some(mailbox) = self.mailboxes.get(at) {
                let op = Op::JoinPictures { mixer, picture };
                let _ = mailbox.post(Command { leg: shared, op });
            }
            return;
        }
        if let Some(place) = self.find(&mixer)
            && let Some(Some(host)) = self.legs.get_mut(place as usize)
            && let Some(room) = &mut host.room
        {
            room.add_viewer(Arc::clone(&leg.shared));
            leg.route = Route::Pictures(Arc::clone(&mixer));
            if let Some(old) = &mut leg.picture {
                picture.continue_from(old, leg.passed);
            }
            let old = leg.picture.replace(picture);
            leg.tell_watched();
            if let Some(picture) = old {
                self.ctx.jobs.retire(Retired::Op(Op::JoinPictures { mixer, picture }));
            }
            let Early { look, hide } = std::mem::take(&mut leg.early);
            if let Some(source) = look {
                leg.look_at(source);
            }
            if let Some(hidden) = hide {
                leg.hide_pictures(hidden);
            }
        } else {
            self.ctx.jobs.retire(Retired::Op(Op::JoinPictures { mixer, picture }));
        }
        self.put(slot, leg);
    }

    /// Shows the packet in `ctx.packet[..len]`, or does what its sender asks for.
    pub(super) fn show(&mut self, leg: &mut LegState, kind: Kind, len: usize) {
        match kind {
            Kind::Rtp => self.show_rtp(leg, len),
            Kind::Rtcp => self.take_feedback(leg, len),
            _ => {}
        }
    }

    fn show_rtp(&mut self, leg: &mut LegState, len: usize) {
        let packet = self.ctx.packet.get(..len).unwrap_or_default();
        let Some(header) = Header::parse(packet) else { return };
        let (Route::Pictures(host), Some(picture)) = (&leg.route, &leg.picture) else { return };
        leg.arrival.packet(&header, self.ctx.now.us, CLOCK, &leg.shared.stats);
        let taken = header.pt == leg.params.recv_pt && leg.params.direction.receives();
        if !taken || picture.hidden {
            return;
        }
        let codec = picture.options.codec;
        let seen = codec.look(packet.get(header.payload.clone()).unwrap_or_default());
        let (host, from) = (Arc::clone(host), Arc::clone(&leg.shared));
        let stream = Stream { leg: from.id, ssrc: header.ssrc, epoch: picture.epoch };
        let frame = Frame { from: &from, stream, codec, header, seen, len };
        let Some(place) = self.find(&host) else { return };
        let Some(host) = self.take(place) else { return };
        self.with_leg(place, host, |worker, host| {
            let mut key_frame_wanted = false;
            for viewer in host.room.iter().flat_map(|room| room.viewers()) {
                if !viewer.watches(from.id) {
                    continue;
                }
                if viewer.id == from.id {
                    key_frame_wanted |= leg.show(&frame, &mut worker.ctx);
                    continue;
                }
                let Some(slot) = worker.find(viewer) else { continue };
                let Some(other) = worker.take(slot) else { continue };
                worker.with_leg(slot, other, |worker, other| {
                    key_frame_wanted |= other.show(&frame, &mut worker.ctx);
                });
            }
            if key_frame_wanted {
                leg.request_key_frame(&mut worker.ctx);
            }
        });
    }

    fn take_feedback(&mut self, leg: &mut LegState, len: usize) {
        let mut feedback = Feedback::new();
        let (ours, now) = (leg.out.ssrc, self.ctx.now.us);
        let arrival = &mut leg.arrival;
        rtcp::parse(self.ctx.packet.get(..len).unwrap_or_default(), |item| match item {
            Item::KeyFrameRequest => feedback.key_frame = true,
            Item::Nack { seq, more } => feedback.nack(seq, more),
            Item::Block { block, .. } if block.ssrc == ours => {
                feedback.heavy_loss |= block.fraction_lost >= HEAVY_LOSS;
            }
            Item::Remb { ssrc, bits, first, .. } => feedback.remb(ssrc, bits, first),
            Item::Sender { info, .. } => arrival.sender_report(info.ntp, now),
            _ => {}
        });
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
        }
        // While a switch waits, it is the new source's picture that is missing.
        let source = picture.wanted.as_ref().or(picture.source.as_ref()).cloned();
        if feedback.key_frame
            && let Some(source) = &source
        {
            self.on_leg(leg, source, |source, ctx| source.request_key_frame(ctx));
        }
        let source = leg.picture.as_ref().and_then(|picture| picture.source.clone());
        if count > 0
            && let Some(source) = source
        {
            let missing = upstream.get_mut(..count).unwrap_or_default();
            self.on_leg(leg, &source, |source, ctx| source.request_retransmission(missing, ctx));
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
            self.on_leg(leg, viewer, |viewer, _| source = viewer.limits(thin, now));
            let Some(source) = source else { continue };
            self.on_leg(leg, &source, |source, ctx| {
                let told = source.picture.as_mut().filter(|p| p.options.remb);
                let Some(picture) = told.filter(|_| source.heard_ssrc != 0) else { return };
                if picture.limit.estimate(own, ctx.now.us) {
                    source.report(ctx);
                }
            });
        }
    }

    /// Does `work` on the leg `other`, unless it has closed, moved away or is being worked on. It may be `leg` itself, which is
    /// out of its place: who is alone in a room is shown its own pictures, and a receiver's estimate names its own stream.
    fn on_leg(
        &mut self,
        leg: &mut LegState,
        other: &Arc<LegShared>,
        work: impl FnOnce(&mut LegState, &mut Ctx),
    ) {
        if other.id == leg.shared.id {
            return work(leg, &mut self.ctx);
        }
        let Some(slot) = self.find(other) else { return };
        let Some(other) = self.take(slot) else { return };
        self.with_leg(slot, other, |worker, other| work(other, &mut worker.ctx));
    }

    /// Asks again for what has not come, and reports, now and then.
    pub(super) fn tend_picture(&mut self, leg: &mut LegState) {
        let now = self.ctx.now.us;
        let Some(picture) = &mut leg.picture else { return };
        if !matches!(leg.route, Route::Pictures(_)) {
            // It has left the room, whose receivers limit it no longer.
            let due = now.saturating_sub(picture.reported_us) >= REPORT_INTERVAL_US;
            if due && leg.heard_ssrc != 0 && picture.limit.end() {
                picture.reported_us = now;
                leg.report(&mut self.ctx);
            }
            return;
        }
        let wanted = picture.wanted.clone().filter(|wanted| picture.waits_for(wanted.id));
        if let Some(wanted) = wanted {
            self.on_leg(leg, &wanted, |source, ctx| source.request_key_frame(ctx));
        }
        let Some(picture) = &mut leg.picture else { return };
        if leg.heard_ssrc != 0 && now.saturating_sub(picture.reported_us) >= REPORT_INTERVAL_US {
            picture.reported_us = now;
            leg.report(&mut self.ctx);
        }
        if leg.picture.as_ref().is_some_and(|picture| picture.key_frame_wanted) {
            leg.request_key_frame(&mut self.ctx);
        }
    }
}

impl LegState {
    /// Sets who is shown; without one nothing is shown from now on.
    pub(super) fn look_at(&mut self, source: Option<Arc<LegShared>>) {
        let (Route::Pictures(_), Some(picture)) = (&self.route, &mut self.picture) else {
            self.early.look = Some(source);
            return;
        };
        if source.is_none()
            && let Some(view) = &mut picture.view
        {
            view.stop();
        }
        picture.wanted = source;
        self.tell_watched();
    }

    /// Says whose packets it takes, so that those of others pass it by.
    fn tell_watched(&self) {
        let Some(picture) = &self.picture else { return };
        let wanted = picture.wanted.as_ref().map(|wanted| wanted.id);
        self.shared.set_watched([wanted, picture.view.as_ref().and_then(View::source)]);
    }

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

    /// Shows this leg's pictures to others or not.
    pub(super) fn hide_pictures(&mut self, hidden: bool) {
        let (Route::Pictures(_), Some(picture)) = (&self.route, &mut self.picture) else {
            self.early.hide = Some(hidden);
            return;
        };
        picture.hidden = hidden;
        picture.epoch = picture.epoch.wrapping_add(1);
        picture.key_frame_wanted |= !hidden;
    }

    /// Shows a packet of a source to this leg, if it is to see it. True when it waits for a key frame.
    fn show(&mut self, frame: &Frame<'_>, ctx: &mut Ctx) -> bool {
        let behind = |(seq, timestamp): (u16, u32)| (seq, timestamp.wrapping_add(LEAST_STEP));
        let start = self.passed.map_or_else(|| self.out.begins_at(), behind);
        let Some(picture) = &mut self.picture else { return false };
        let wanted = picture.wanted.as_ref().map(|wanted| wanted.id);
        let from = frame.from.id;
        let is_shown = || picture.view.as_ref().and_then(View::source) == Some(from);
        if picture.options.codec != frame.codec || wanted != Some(from) && !is_shown() {
            return false;
        }
        let view = picture.view.get_or_insert_with(|| View::new(start.0, start.1));
        let payload = frame.header.payload.clone();
        let packet = ctx.packet.get(..frame.len).unwrap_or_default();
        let seen = packet.get(payload.clone()).unwrap_or_default();
        let who = (frame.stream, wanted);
        let before = view.source();
        let numbers = view.numbers(who, &frame.header, &frame.seen, seen, ctx.now.us);
        if view.source() != before {
            self.shared.set_watched([wanted, view.source()]);
        }
        let Some(numbers) = numbers else { return picture.waits_for(from) };
        if picture.source.as_ref().is_none_or(|source| source.id != from) {
            picture.source = Some(Arc::clone(frame.from));
        }
        let Some(out) = ctx.out.get_mut(..frame.len) else { return false };
        out.copy_from_slice(packet);
        if let Some(second) = out.get_mut(1) {
            *second = *second & 0x80 | self.params.send_pt & 0x7f;
        }
        for (at, number) in [
            (2, &numbers.seq.to_be_bytes()[..]),
            (4, &numbers.timestamp.to_be_bytes()[..]),
            (8, &self.out.ssrc.to_be_bytes()[..]),
        ] {
            if let Some(place) = out.get_mut(at..at + number.len()) {
                place.copy_from_slice(number);
            }
        }
        if let Some(payload) = out.get_mut(payload) {
            view::renumber(payload, &frame.seen, &numbers);
        }
        picture.sent.keep(numbers.seq, out, ctx.now.us);
        self.passed = Some((numbers.seq, numbers.timestamp));
        self.send_shown(frame.len, ctx);
        false
    }

    /// Sends a packet again; the source's number of one that is not kept.
    fn retransmit(&mut self, seq: u16, ctx: &mut Ctx) -> Option<u16> {
        let picture = self.picture.as_mut()?;
        match picture.sent.again(seq, &mut ctx.out, ctx.now.us) {
            Some(0) => None,
            Some(len) => {
                self.send_shown(len, ctx);
                None
            }
            None => picture.view.as_ref()?.number_at_source(seq),
        }
    }

    /// Puts the packet in `ctx.out[..len]` on this leg's wire.
    fn send_shown(&mut self, len: usize, ctx: &mut Ctx) {
        if !self.active || !self.params.direction.sends() {
            return;
        }
        let Some(len) = self.protection.protect_rtp(&mut ctx.out, len) else { return };
        let (Transport::Rtp(sockets), Some(packet)) = (&self.transport, ctx.out.get(..len)) else {
            return;
        };
        let to = self.path.destination(ctx.now.ms());
        let stats = &self.shared.stats;
        if to.is_some_and(|to| sockets.rtp.send_to(packet, to).is_ok()) {
            stats.out_packets.add(1);
            stats.out_raw_bytes.add(packet.len() as u64);
            stats.out_media_packets.add(1);
            stats.out_media_bytes.add(packet.len() as u64);
            if let Some(picture) = &mut self.picture {
                picture.rate.sent(packet.len(), ctx.now.us);
            }
        } else {
            stats.out_skip.add(1);
        }
    }

    /// Asks the far end for a key frame, now or as soon as it may be asked again.
    fn request_key_frame(&mut self, ctx: &mut Ctx) {
        let (ours, theirs) = (self.out.ssrc, self.heard_ssrc);
        let Some(picture) = &mut self.picture else { return };
        picture.key_frame_wanted = true;
        let due = ctx.now.us.saturating_sub(picture.key_frame_asked_us) >= KEY_FRAME_INTERVAL_US;
        if theirs == 0 || !due && picture.key_frame_asked_us != 0 {
            return;
        }
        picture.key_frame_wanted = false;
        picture.key_frame_asked_us = ctx.now.us;
        let PictureOptions { pli, fir, .. } = picture.options;
        picture.firs = picture.firs.wrapping_add(u8::from(fir));
        let fir = fir.then_some(picture.firs);
        let mut out = [0; KEY_FRAME_REQUEST];
        let len = rtcp::request_key_frame(&mut out, (ours, theirs), pli, fir);
        self.send_feedback(out.get(..len).unwrap_or_default(), ctx);
    }

    /// Asks the far end to send packets again, those it was not asked for a moment ago.
    fn request_retransmission(&mut self, missing: &mut [u16], ctx: &mut Ctx) {
        let (ours, theirs) = (self.out.ssrc, self.heard_ssrc);
        let Some(picture) = &mut self.picture else { return };
        let mut wanted = [0; ASKED];
        let mut count = 0;
        for (place, seq) in
            wanted.iter_mut().zip(missing.iter().filter(|seq| picture.asked.may(**seq, ctx.now.us)))
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
    fn report(&mut self, ctx: &mut Ctx) {
        let names = (self.out.ssrc, self.heard_ssrc);
        let told = self.picture.as_mut().filter(|picture| picture.options.remb && names.1 != 0);
        let mut out = [0; REMB];
        match told.and_then(|picture| picture.limit.tell(ctx.now.us)) {
            Some(bits) => {
                rtcp::remb(&mut out, names, bits);
                self.send_feedback(&out, ctx);
            }
            None => self.send_feedback(&[], ctx),
        }
    }

    /// Sends the far end a compound packet: a receiver report on its stream, and behind that `request`, which may be empty.
    fn send_feedback(&mut self, request: &[u8], ctx: &mut Ctx) {
        if !self.active {
            return;
        }
        let block = self.arrival.report(ctx.now.us);
        let report = Report { ssrc: self.out.ssrc, sender: None, block, cname: &self.params.cname };
        let mut plain = [0; MAX_REPORT];
        let len = report.write(&mut plain);
        let whole = len + request.len();
        let Some(out) = ctx.out.get_mut(..whole + OVERHEAD) else { return };
        out[..len].copy_from_slice(&plain[..len]);
        out[len..whole].copy_from_slice(request);
        let Some(len) = self.protection_of(Kind::Rtcp).protect_rtcp(out, whole) else { return };
        let Transport::Rtp(sockets) = &self.transport else { return };
        let (socket, to) = match &sockets.rtcp {
            Some(socket) if !self.params.rtcp_mux => (socket, self.rtcp_remote),
            _ => (&sockets.rtp, self.path.destination(ctx.now.ms())),
        };
        let (Some(to), Some(packet)) = (to, out.get(..len)) else { return };
        let _ = socket.send_to(packet, to);
    }

    /// Remembers how far the stream towards the far end has come, which is another's while it is bridged.
    pub(super) fn note_passed(&mut self, packet: &[u8]) {
        if let Some(&[_, _, s0, s1, t0, t1, t2, t3]) = packet.first_chunk::<8>() {
            let last = (u16::from_be_bytes([s0, s1]), u32::from_be_bytes([t0, t1, t2, t3]));
            // One that is a little late changes nothing; a jump is another stream.
            let late = |(seq, _)| (-REORDERED..=0).contains(&rtp::seq_distance(seq, last.0));
            if !self.passed.is_some_and(late) {
                self.passed = Some(last);
            }
        }
    }
}
