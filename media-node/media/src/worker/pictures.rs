//! Video in rooms: packets of one member shown to others, each as a stream of its own.
//!
//! Who is shown what is decided outside. Here a switch waits for a picture that needs no other, which the source is asked
//! for; lost packets are sent again from what was sent last, or asked for at the source, once for all who miss them. A
//! source is told the lowest bit rate its receivers can take ([`Limit`]); a receiver that loses much gets no discardable
//! frames. With simulcast a layer is chosen for each receiver ([`Chooser`]).

mod feedback;
mod video;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layers::Protection;
use super::leg::{LegState, Route, Transport};
use super::{Ctx, Worker};
use crate::io::MediaIo;
use crate::leg::LegId;
use crate::picture::PictureOptions;
use crate::picture::limit::{Limit, Rate};
use crate::picture::sent::{Asked, Sent};
use crate::picture::simulcast::{Chooser, MAX_LAYERS, Offered, Receiver};
use crate::picture::view::{self, LEAST_STEP, Numbers, Stream, Target, View};
use crate::picture::{Seen, VideoCodec};
use crate::rtp::{self, HEADER_LEN, Header, Kind, NUMBER_LEN};
use crate::service::Retired;
use crate::shared::{Command, LegShared, Op};

/// Microseconds between two receiver reports to a source.
const REPORT_INTERVAL_US: u64 = 1_000_000;
/// Microseconds for which a receiver's estimate counts that is not repeated.
const ESTIMATE_US: u64 = 6_000_000;
/// Reordering tolerated, in sequence numbers.
const REORDERED: i16 = 256;
/// RTP clock of video.
const CLOCK: u32 = 90_000;
/// Bits of a header's first octet.
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;

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
    /// Which layer of a source with simulcast it is sent.
    chooser: Chooser,
    /// What it could take of what it is sent, bits a second, and when it said so.
    estimate: Option<(u64, u64)>,
    /// Key frames asked for of each of its layers.
    key_frames: [KeyFrames; MAX_LAYERS],
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

/// Requests for key frames of one stream of a source.
#[derive(Clone, Copy, Debug, Default)]
struct KeyFrames {
    /// A receiver needs one.
    wanted: bool,
    asked_us: u64,
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
            chooser: Chooser::default(),
            estimate: None,
            key_frames: Default::default(),
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
        (self.firs, self.key_frames) = (old.firs, old.key_frames);
        if let Some(view) = &mut self.view {
            view.stop();
        }
    }

    /// What it is to be shown.
    fn target(&self) -> Option<Target> {
        let leg = self.wanted.as_ref()?.id;
        Some(Target { leg, layer: self.chooser.layer() })
    }

    /// The layer of `from` of which it waits for a key frame, as a set of layers.
    fn waits_for(&self, from: LegId) -> u8 {
        let target = self.target().filter(|target| target.leg == from);
        let waits = |target: &Target| self.view.as_ref().is_none_or(|view| view.waits_for(*target));
        target.filter(waits).map_or(0, |target| 1 << target.layer)
    }

    /// Whether it has yet to be shown what it is to be shown.
    fn waits(&self) -> bool {
        self.target().is_some_and(|target| self.waits_for(target.leg) != 0)
    }

    /// Chooses the layer of the source that is wanted; of one without simulcast there is one.
    fn choose(&mut self, offered: Option<&Offered>, now_us: u64) {
        let Some(offered) = offered else { return self.chooser.begin_anew() };
        let recent = |(_, at): &(u64, u64)| now_us.saturating_sub(*at) < ESTIMATE_US;
        let receiver = Receiver {
            small: self.options.small,
            most: self.options.most,
            estimate: self.estimate.filter(recent).map(|(bits, _)| bits),
            sent: self.rate.bits(now_us),
            waits: self.waits(),
        };
        self.chooser.choose(offered, &receiver, now_us);
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
    /// What there is beside, of a source with simulcast.
    offered: Option<Offered>,
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

    /// Shows the packet in `ctx.packet[..len]`, which is of that layer, or does what its sender asks for.
    pub(super) fn show(&mut self, leg: &mut LegState, kind: Kind, len: usize, layer: usize) {
        match kind {
            Kind::Rtp => self.show_rtp(leg, len, layer),
            Kind::Rtcp => self.take_feedback(leg, len),
            _ => {}
        }
    }

    fn show_rtp(&mut self, leg: &mut LegState, len: usize, layer: usize) {
        let packet = self.ctx.packet.get(..len).unwrap_or_default();
        let Some(header) = Header::parse(packet) else { return };
        let (Route::Pictures(host), Some(picture)) = (&leg.route, &leg.picture) else { return };
        if leg.layers.is_none() {
            leg.arrival.packet(&header, self.ctx.now.us, CLOCK, &leg.shared.stats);
        }
        let taken = header.pt == leg.params.recv_pt && leg.params.direction.receives();
        if !taken || picture.hidden {
            return;
        }
        let codec = picture.options.codec;
        let seen = codec.look(packet.get(header.payload.clone()).unwrap_or_default());
        let (host, from) = (Arc::clone(host), Arc::clone(&leg.shared));
        let stream = Stream { leg: from.id, layer, ssrc: header.ssrc, epoch: picture.epoch };
        let now = self.ctx.now.us;
        if let (Some(layers), Some(pixels)) = (&mut leg.layers, seen.pixels) {
            layers.sized(layer, pixels);
        }
        let offered = leg.layers.as_mut().map(|layers| layers.offered(now));
        let frame = Frame { from: &from, stream, codec, header, seen, len, offered };
        let Some(place) = self.find(&host) else { return };
        let Some(host) = self.take(place) else { return };
        self.with_leg(place, host, |worker, host| {
            let mut key_frames = 0;
            for viewer in host.room.iter().flat_map(|room| room.viewers()) {
                if !viewer.watches(from.id) {
                    continue;
                }
                if viewer.id == from.id {
                    key_frames |= leg.show(&frame, &mut worker.ctx);
                    continue;
                }
                let Some(slot) = worker.find(viewer) else { continue };
                let Some(other) = worker.take(slot) else { continue };
                worker.with_leg(slot, other, |worker, other| {
                    key_frames |= other.show(&frame, &mut worker.ctx);
                });
            }
            for layer in (0..MAX_LAYERS).filter(|layer| key_frames >> layer & 1 == 1) {
                leg.request_key_frame(layer, &mut worker.ctx);
            }
        });
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
        let wanted = picture.wanted.clone().filter(|wanted| picture.waits_for(wanted.id) != 0);
        let layer = picture.chooser.chosen();
        if let Some(wanted) = wanted {
            self.on_leg(leg, &wanted, |source, ctx| {
                // Of a source with simulcast nothing is asked for before a layer is chosen.
                if source.layers.is_none() || layer.is_some() {
                    source.request_key_frame(layer.unwrap_or_default(), ctx);
                }
            });
        }
        let Some(picture) = &mut leg.picture else { return };
        if leg.heard_ssrc != 0 && now.saturating_sub(picture.reported_us) >= REPORT_INTERVAL_US {
            picture.reported_us = now;
            leg.report(&mut self.ctx);
        }
        for layer in 0..MAX_LAYERS {
            let wanted = leg.picture.as_ref().and_then(|picture| picture.key_frames.get(layer));
            if wanted.is_some_and(|key_frames| key_frames.wanted) {
                leg.request_key_frame(layer, &mut self.ctx);
            }
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
        let before = picture.wanted.as_ref().map(|wanted| wanted.id);
        if before != source.as_ref().map(|source| source.id) {
            picture.chooser.begin_anew();
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

    /// Shows this leg's pictures to others or not.
    pub(super) fn hide_pictures(&mut self, hidden: bool) {
        let (Route::Pictures(_), Some(picture)) = (&self.route, &mut self.picture) else {
            self.early.hide = Some(hidden);
            return;
        };
        picture.hidden = hidden;
        picture.epoch = picture.epoch.wrapping_add(1);
        picture.key_frames.iter_mut().for_each(|key_frames| key_frames.wanted |= !hidden);
    }

    /// Shows a packet of a source to this leg, if it is to see it. The layers of which it waits for a key frame.
    fn show(&mut self, frame: &Frame<'_>, ctx: &mut Ctx) -> u8 {
        let behind = |(seq, timestamp): (u16, u32)| (seq, timestamp.wrapping_add(LEAST_STEP));
        let start = self.passed.map_or_else(|| self.out.begins_at(), behind);
        let goes_out = self.goes_out(ctx);
        let Some(picture) = &mut self.picture else { return 0 };
        let wanted = picture.wanted.as_ref().map(|wanted| wanted.id);
        let from = frame.from.id;
        let is_shown = || picture.view.as_ref().and_then(View::source) == Some(from);
        if picture.options.codec != frame.codec || wanted != Some(from) && !is_shown() {
            return 0;
        }
        if wanted == Some(from) {
            picture.choose(frame.offered.as_ref(), ctx.now.us);
        }
        let target = picture.target();
        let view = picture.view.get_or_insert_with(|| View::new(start.0, start.1));
        let payload = frame.header.payload.clone();
        let packet = ctx.packet.get(..frame.len).unwrap_or_default();
        let seen = packet.get(payload.clone()).unwrap_or_default();
        let who = (frame.stream, target);
        let before = view.source();
        let numbers = view.numbers(who, &frame.header, &frame.seen, seen, ctx.now.us);
        if view.source() != before {
            self.shared.set_watched([wanted, view.source()]);
        }
        let Some(numbers) = numbers else { return picture.waits_for(from) };
        if picture.source.as_ref().is_none_or(|source| source.id != from) {
            picture.source = Some(Arc::clone(frame.from));
        }
        let waits = picture.waits_for(from);
        // Header extensions of the source's line mean nothing here: what follows them is taken, padding included.
        let id = self.params.transport_cc;
        let start = HEADER_LEN + if id.is_some() { NUMBER_LEN } else { 0 };
        let (head, body) = packet.split_at_checked(payload.start).unwrap_or_default();
        let len = start + body.len();
        let Some(out) = ctx.out.get_mut(..len) else { return waits };
        let (to, rest) = out.split_at_mut(start);
        rest.copy_from_slice(body);
        if let Some(to) = to.first_chunk_mut() {
            let Numbers { seq, timestamp, .. } = numbers;
            let pt = self.params.send_pt;
            rtp::write_header(to, frame.header.marker, pt, seq, timestamp, self.out.ssrc);
            to[0] |= head.first().copied().unwrap_or_default() & PADDING;
        }
        if let (Some(id), Some(congestion)) = (id, &mut self.congestion)
            && let Some((first, rest)) = to.split_first_mut()
            && let Some(place) = rest.last_chunk_mut()
        {
            *first |= EXTENSION;
            // A number that is not sent would be taken for a loss.
            let number = if goes_out { congestion.sending.number(len, ctx.now.us) } else { 0 };
            rtp::write_number(place, id, number);
        }
        if let Some(payload) = rest.get_mut(..payload.len()) {
            view::renumber(payload, &frame.seen, &numbers);
        }
        if goes_out || self.protection.allows_new_header() {
            picture.sent.keep(numbers.seq, out, ctx.now.us);
        }
        self.passed = Some((numbers.seq, numbers.timestamp));
        self.send_shown(len, ctx);
        waits
    }

    /// Sends a packet again; the source's number of one that is not kept.
    fn retransmit(&mut self, seq: u16, ctx: &mut Ctx) -> Option<u16> {
        let picture = self.picture.as_mut()?;
        match picture.sent.again(seq, &mut ctx.out, ctx.now.us) {
            Some(0) => None,
            Some(len) => {
                self.number_again(len, ctx);
                self.send_shown(len, ctx);
                None
            }
            None => picture.view.as_ref()?.number_at_source(seq),
        }
    }

    /// Whether packets shown go out now.
    fn goes_out(&self, ctx: &Ctx) -> bool {
        let ready = self.active && self.params.direction.sends();
        let open = !matches!(self.protection, Protection::Waiting);
        let wire = matches!(self.transport, Transport::Rtp(_));
        ready && open && wire && self.path.destination(ctx.now.ms()).is_some()
    }

    /// Gives the packet in `ctx.out[..len]`, which is sent again, a number of its own for transport-wide feedback: by the first
    /// one's it would be taken for late. With AEAD it goes out as it did before.
    fn number_again(&mut self, len: usize, ctx: &mut Ctx) {
        if !self.goes_out(ctx) || !self.protection.allows_new_header() {
            return;
        }
        if let (Some(id), Some(congestion)) = (self.params.transport_cc, &mut self.congestion)
            && let Some(out) = ctx.out.get_mut(..len)
            && out.first().is_some_and(|first| first & EXTENSION != 0)
            && let Some(place) = out.get_mut(HEADER_LEN..).and_then(|rest| rest.first_chunk_mut())
        {
            rtp::write_number(place, id, congestion.sending.number(len, ctx.now.us));
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
