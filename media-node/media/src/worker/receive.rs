//! The receiving side of a leg: from a packet that came to whoever listens and to wherever the leg's
//! audio goes.
//!
//! Audio is decoded once, and only if somebody needs samples: a bridge that passes packets on as
//! they are does not. What is missing is made up for those who need samples; in a stream that is
//! passed on packet by packet a gap stays a gap.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::leg::{Heard, LegState, Route};
use super::{Ctx, PCM, Worker};
use crate::dtmf::{Digit, DigitStep, clamp_duration};
use crate::event::{DigitSource, PlayEnd};
use crate::io::{MediaIo, Token};
use crate::jitter::{Got, Put};
use crate::rtp::{self, Header};
use crate::stats::arrival::Order;

/// Packets missing in a row that are made up; a longer gap is a pause of the sender.
const MOST_CONCEALED: u16 = 10;

/// A packet whose turn has come; it lies in `ctx.packet`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) header: &'a Header,
    /// Samples of it in `ctx.pcm`; 0 = nobody needed them.
    pub(super) decoded: usize,
    /// Its time is over: it goes only where packets are passed on one by one.
    pub(super) late: bool,
}

impl<I: MediaIo> Worker<I> {
    pub(super) fn receive_rtp(
        &mut self,
        slot: u32,
        leg: &mut LegState,
        len: usize,
        from: Option<SocketAddr>,
    ) {
        let packet = self.ctx.packet.get(..len).unwrap_or_default();
        match leg.accept(packet, from, self.ctx.now) {
            Heard::Nothing => {}
            Heard::Digit(digit, duration) => self.digit(leg, digit, duration, DigitSource::Rtp),
            Heard::Noise(header) if !leg.is_apart() => {
                self.with_peer(leg, |peer, _, ctx| peer.forward_noise(&header, ctx));
            }
            Heard::Noise(_) => {}
            Heard::Audio(header, order) => self.audio(slot, leg, &header, order),
        }
    }

    /// Passes the packet in `ctx.packet[..len]` to the bridged leg as it is.
    pub(super) fn relay_raw(&mut self, token: Token, len: usize, from: SocketAddr) {
        let Some(leg) = self.take(token.slot) else { return };
        self.with_leg(token.slot, leg, |worker, leg| {
            if leg.takes_raw(token.rtcp, len, from, worker.ctx.now) {
                worker.with_peer(leg, |peer, _, ctx| peer.send_raw(token.rtcp, len, ctx));
            }
        });
    }

    fn audio(&mut self, slot: u32, leg: &mut LegState, header: &Header, order: Order) {
        let Some(buffer) = &mut leg.jitter else {
            if let Order::Gap(lost @ 1..=MOST_CONCEALED) = order {
                let samples = leg.samples_in(header, &self.ctx.packet);
                self.fill_gap(slot, leg, lost, samples, Some(header));
            }
            return self.play_out(slot, leg, header, order == Order::Late);
        };
        if leg.jitter_ssrc != header.ssrc {
            leg.jitter_ssrc = header.ssrc;
            buffer.reset();
        }
        let payload = self.ctx.packet.get(header.payload.clone()).unwrap_or_default();
        if let Put::Flushed(n) = buffer.put(header.seq, header.timestamp, payload) {
            leg.shared.stats.in_flush.add(n as u64);
        }
        leg.shared.stats.in_largest_jb.set(buffer.largest() as u64);
    }

    /// Gives out one packet interval of a jitter buffer. The peer's packets may be longer or shorter
    /// than that: as many are taken as make up the time.
    pub(super) fn read_jitter(&mut self, slot: u32, leg: &mut LegState) {
        if leg.jitter.is_none() {
            return;
        }
        leg.jitter_due += leg.frame();
        loop {
            let expected = if leg.jitter_len == 0 { leg.frame() } else { leg.jitter_len };
            let Some(buffer) = leg.jitter.as_mut().filter(|_| leg.jitter_due >= expected) else {
                return;
            };
            let (timestamp, end) = match buffer.get() {
                Got::Empty => {
                    leg.jitter_due = 0;
                    return;
                }
                Got::Lost => {
                    leg.jitter_due -= expected;
                    leg.jitter_seq = leg.jitter_seq.wrapping_add(1);
                    leg.shared.stats.in_skip.add(1);
                    self.fill_gap(slot, leg, 1, expected, None);
                    continue;
                }
                Got::Packet { timestamp, payload } => {
                    let end = rtp::HEADER_LEN + payload.len();
                    let Some(room) = self.ctx.packet.get_mut(rtp::HEADER_LEN..end) else { return };
                    room.copy_from_slice(payload);
                    (timestamp, end)
                }
            };
            leg.jitter_seq = leg.jitter_seq.wrapping_add(1);
            let header = Header {
                marker: false,
                pt: leg.params.recv_pt,
                seq: leg.jitter_seq,
                timestamp,
                ssrc: leg.jitter_ssrc,
                payload: rtp::HEADER_LEN..end,
            };
            leg.jitter_len = leg.samples_in(&header, &self.ctx.packet).max(1);
            leg.jitter_due = leg.jitter_due.saturating_sub(leg.jitter_len);
            self.play_out(slot, leg, &header, false);
        }
    }

    /// A packet's turn: to those who listen, and on its way.
    fn play_out(&mut self, slot: u32, leg: &mut LegState, header: &Header, late: bool) {
        let listens = leg.listens() && !late;
        let (mut decoded, mut said_all) = (0, false);
        // A decoder with a state cannot go back to a packet it has made up already.
        let passed_by = late && leg.coder.decoder.is_some();
        if !passed_by && (listens || self.route_decodes(leg, header)) {
            let payload = self.ctx.packet.get(header.payload.clone()).unwrap_or_default();
            decoded = leg.decode(payload, &mut self.ctx.pcm);
            if listens {
                let payload = self.ctx.packet.get(header.payload.clone()).unwrap_or_default();
                leg.show_frame(payload);
            }
            if let (Some(conceal), false) = (&mut leg.conceal, late) {
                conceal.heard(&mut self.ctx.pcm[..decoded]);
            }
            let (rate, gap) = (leg.codec().rate(), leg.params.digit_delay_ms);
            if let Some(keys) = leg.said_keys.as_mut().filter(|keys| keys.busy()) {
                keys.fill(&mut self.ctx.pcm[..decoded], rate, gap);
            }
            said_all = leg.displace_said(decoded, &mut self.ctx);
            if listens {
                leg.follow_clock(header, decoded);
            }
            self.listen(slot, leg, decoded, listens);
        }
        self.route(leg, Turn { header, decoded, late });
        if said_all {
            leg.end_said(PlayEnd::Finished, &self.ctx);
        }
    }

    /// Makes up `lost` packets of `samples` each for whoever needs samples. `next` is the packet after them, if it
    /// lies in `ctx.packet`.
    fn fill_gap(
        &mut self,
        slot: u32,
        leg: &mut LegState,
        lost: u16,
        samples: usize,
        next: Option<&Header>,
    ) {
        let samples = samples.min(PCM);
        let listens = leg.listens();
        if !listens && !self.route_fills(leg, samples) {
            return;
        }
        for n in 1..=lost {
            let next = next.filter(|_| n == lost).map(|next| next.payload.clone());
            let next = next.and_then(|payload| self.ctx.packet.get(payload));
            leg.make_up(&mut self.ctx.pcm[..samples], next);
            leg.made_up_for(samples);
            self.listen(slot, leg, samples, listens);
            match leg.route {
                Route::Mix(_) => self.feed_mixer(leg, samples),
                Route::Bridge { .. } if leg.is_apart() => {}
                Route::Bridge { .. } => {
                    self.with_peer(leg, |peer, leg, ctx| peer.forward_made_up(leg, samples, ctx));
                }
                Route::Nowhere | Route::Echo(_) | Route::Pictures(_) => {}
            }
        }
    }

    /// Gives `ctx.pcm[..n]` to recordings, watches and the tone detector if they listen, and leaves
    /// it at the leg's level.
    fn listen(&mut self, _slot: u32, leg: &mut LegState, n: usize, listens: bool) {
        if !listens {
            return leg.apply_read_level(&mut self.ctx.pcm[..n]);
        }
        let mut found = None;
        leg.listen(&mut self.ctx.pcm[..n], |digit, duration| found = Some((digit, duration)));
        if let Some((digit, duration)) = found {
            self.digit(leg, digit, duration, DigitSource::Inband);
        }
    }

    fn route(&mut self, leg: &mut LegState, turn: Turn<'_>) {
        match leg.route {
            Route::Nowhere | Route::Pictures(_) => {}
            Route::Echo(_) => leg.echo(turn, &mut self.ctx),
            Route::Mix(_) if turn.late => {}
            Route::Mix(_) => self.feed_mixer(leg, turn.decoded),
            Route::Bridge { .. } if leg.is_apart() => {}
            Route::Bridge { .. } => {
                self.with_peer(leg, |peer, leg, ctx| peer.forward(leg, turn, ctx))
            }
        }
    }

    /// Whether the way a packet takes needs its samples.
    fn route_decodes(&self, leg: &LegState, header: &Header) -> bool {
        match &leg.route {
            Route::Nowhere | Route::Pictures(_) => false,
            Route::Echo(_) => !leg.echoes_plainly(),
            Route::Mix(_) => true,
            Route::Bridge { .. } if leg.is_apart() => false,
            Route::Bridge { .. } => self.look_at_peer(leg).is_some_and(|peer| {
                !peer.passes_as_is(leg, leg.samples_in(header, &self.ctx.packet))
                    || !peer.taps.is_empty()
            }),
        }
    }

    /// Whether what is missing on that way has to be made up.
    fn route_fills(&self, leg: &LegState, samples: usize) -> bool {
        match &leg.route {
            Route::Nowhere | Route::Echo(_) | Route::Pictures(_) => false,
            Route::Mix(_) => true,
            Route::Bridge { .. } if leg.is_apart() => false,
            Route::Bridge { .. } => self
                .look_at_peer(leg)
                .is_some_and(|peer| !peer.keeps_packets(leg, samples) || !peer.taps.is_empty()),
        }
    }

    fn look_at_peer(&self, leg: &LegState) -> Option<&LegState> {
        let Route::Bridge { peer, .. } = &leg.route else { return None };
        self.legs.get(self.find(peer)? as usize)?.as_deref()
    }

    /// Works on the bridged peer taken from its place, and puts it back also when that brings out a bug: the guard that
    /// counts it is the leg's own.
    fn with_peer(
        &mut self,
        leg: &mut LegState,
        work: impl FnOnce(&mut LegState, &mut LegState, &mut Ctx),
    ) {
        let Some((place, mut peer)) = self.peer_of(leg) else { return };
        let done = catch_unwind(AssertUnwindSafe(|| work(&mut peer, leg, &mut self.ctx)));
        self.put(place, peer);
        if let Err(bug) = done {
            resume_unwind(bug);
        }
    }

    /// The bridged peer, taken from its place.
    pub(super) fn peer_of(&mut self, leg: &LegState) -> Option<(u32, Box<LegState>)> {
        let Route::Bridge { peer, .. } = &leg.route else { return None };
        let place = self.find(peer)?;
        Some((place, self.take(place)?))
    }

    /// A digit of the leg: told, and pressed on the peer's side of a bridge. Tones in the audio reach
    /// the peer as audio besides, as in the reference: where one side speaks tones and the other
    /// events, this is what joins them.
    pub(super) fn digit(
        &mut self,
        leg: &mut LegState,
        digit: Digit,
        duration: u32,
        source: DigitSource,
    ) {
        leg.tell_digit(digit, duration, source);
        let step = DigitStep::Press { digit, duration: clamp_duration(duration) };
        if let (Some(keys), DigitSource::Rtp) = (&mut leg.said_keys, source) {
            return keys.push(step);
        }
        let forwards = matches!(&leg.route, Route::Bridge { options, .. } if options.forward_dtmf);
        if !forwards || leg.is_apart() {
            return;
        }
        if let Some((place, mut peer)) = self.peer_of(leg) {
            peer.press(step);
            self.schedule(place, &mut peer);
            self.put(place, peer);
        }
    }
}

impl LegState {
    /// Notes that taps hear a packet of `samples` next, and tells them of a pause in front of it.
    fn follow_clock(&mut self, header: &Header, samples: usize) {
        if self.taps.is_empty() {
            return;
        }
        let pause = match self.tapped_until {
            Some((ssrc, until)) if ssrc == header.ssrc => {
                let ticks = header.timestamp.wrapping_sub(until);
                // Half the range is the past: packets in disorder, or a clock set anew.
                i32::try_from(ticks).ok().map(|ticks| self.codec().samples(ticks as usize))
            }
            _ => None,
        };
        self.taps.iter_mut().for_each(|tap| tap.resumes(pause));
        let ticks = self.ticks(samples) as u32;
        self.tapped_until = Some((header.ssrc, header.timestamp.wrapping_add(ticks)));
    }

    /// Taps were given `samples` in place of lost packets.
    fn made_up_for(&mut self, samples: usize) {
        let ticks = self.ticks(samples) as u32;
        if let Some((_, until)) = &mut self.tapped_until {
            *until = until.wrapping_add(ticks);
        }
    }
}
