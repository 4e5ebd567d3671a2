//! The sending side of a leg: a peer's packets passed on or transcoded, its own clock's frames,
//! digits, and the wire.

use super::leg::{LegState, Route, Transport};
use super::out::Stamp;
use super::receive::Turn;
use super::{Ctx, Now};
use crate::codec::Coding;
use crate::event::{LegEvent, PlayEnd};
use crate::params::Handling;
use crate::record::tap::Fifo;
use crate::resample::Converter;
use crate::rtp::{self, Header};

/// Packet intervals of silence after which a sign of life is sent.
const KEEP_ALIVE_FRAMES: u64 = 60;
/// Its payload: noise of -65 dBov (RFC 3389), spelt as the reference spells it.
const NOISE: [u8; 2] = [65, 0];

impl LegState {
    /// Whether audio of a bridged peer reaches this leg now.
    pub(crate) fn open_to_peer(&self) -> bool {
        self.active && self.sends_audio() && self.main.is_none()
    }

    /// Whether audio may be sent at all: not to a far end that takes datagrams of fax.
    fn sends_audio(&self) -> bool {
        self.params.direction.sends() && self.params.handling == Handling::Audio
    }

    /// Whether a peer's packets leave this leg one for one: the clock and the length are the same.
    pub(super) fn keeps_packets(&self, source: &Self, samples: usize) -> bool {
        source.codec().rate() == self.codec().rate()
            && (samples == self.frame() || self.codec().is_passed_only())
    }

    /// Whether they leave it untouched besides.
    pub(super) fn passes_as_is(&self, source: &Self, samples: usize) -> bool {
        self.keeps_packets(source, samples)
            && source.said_codec == self.codec()
            && !source.is_displaced()
            && source.read_level.is_unity()
            && self.write_level.is_unity()
            && self.over.is_none()
            && !self.playout_sounds
    }

    /// Sends on a peer's packet.
    pub(super) fn forward(&mut self, source: &mut Self, turn: Turn<'_>, ctx: &mut Ctx) {
        if !self.open_to_peer() {
            return;
        }
        self.peer_us = ctx.now.us;
        if self.is_pressing() {
            self.shared.stats.out_skip.add(1);
            return;
        }
        let samples = source.samples_in(turn.header, &ctx.packet);
        if self.passes_as_is(source, samples) {
            return self.relay(turn, ctx);
        }
        if turn.decoded == 0 {
            return;
        }
        let (from, to) = (source.clock(), self.clock());
        if self.keeps_packets(source, turn.decoded) {
            let (ticks, to_rate) = (self.ticks(turn.decoded), self.codec().rate());
            let stamp = self.out.relayed(turn.header, ctx.now.us, from, to, ticks);
            if let Some(stamp) = stamp {
                self.sampled_at(to_rate);
                self.say(turn.decoded, stamp, ctx);
            }
        } else if !turn.late {
            self.convert(source, turn.decoded, ctx);
        }
    }

    /// Takes audio made up for packets of the peer that are lost (`ctx.pcm[..n]`). Where packets
    /// leave one for one the gap is passed on; only recordings need it filled.
    pub(super) fn forward_made_up(&mut self, source: &mut Self, n: usize, ctx: &mut Ctx) {
        if !self.open_to_peer() || self.is_pressing() {
            return;
        }
        if self.keeps_packets(source, n) {
            self.write_level.apply(&mut ctx.pcm[..n]);
            self.taps.iter_mut().for_each(|t| t.heard(&ctx.pcm[..n]));
        } else {
            self.convert(source, n, ctx);
        }
    }

    fn relay(&mut self, turn: Turn<'_>, ctx: &mut Ctx) {
        let Turn { header, decoded, late } = turn;
        if !late {
            self.taps.iter_mut().for_each(|t| t.heard(&ctx.pcm[..decoded]));
        }
        let (clock, ticks) = (self.clock(), self.ticks(self.frame()));
        let Some(stamp) = self.out.relayed(header, ctx.now.us, clock, clock, ticks) else { return };
        // The fixed header goes right before the payload, over extensions if there were any.
        let start = header.payload.start - rtp::HEADER_LEN;
        let Some(head) = ctx.packet.get_mut(start..).and_then(|p| p.first_chunk_mut()) else {
            return;
        };
        rtp::write_header(
            head,
            stamp.marker,
            self.params.send_pt,
            stamp.seq,
            stamp.timestamp,
            self.out.ssrc,
        );
        self.count_audio(header.payload.len());
        self.transmit(start..header.payload.end, false, ctx);
    }

    /// Another clock or another packet length: through the source's converter if need be, then
    /// packet by packet as they fill up.
    fn convert(&mut self, source: &mut Self, n: usize, ctx: &mut Ctx) {
        let to = self.codec().rate();
        let from = source.codec().rate();
        let n = if from == to { n } else { source.resample(n, to, ctx) };
        let alone = self.over.is_none() && !self.playout_sounds;
        self.sampled_at(if alone { from } else { to });
        self.fill_up(n, ctx);
    }

    /// Converts `ctx.pcm[..n]` of this leg to another rate; returns its new length, 0 while the
    /// converter is being made.
    pub(crate) fn resample(&mut self, n: usize, to: u32, ctx: &mut Ctx) -> usize {
        let from = self.codec().rate();
        let fits = |c: &Converter| c.from_rate() == from && c.to_rate() == to;
        if let Some(converter) = self.converter.as_mut().filter(|c| fits(c)) {
            return convert(converter, n, ctx);
        }
        if !self.converter_asked {
            self.converter_asked = ctx.ask_converter(&self.shared, from, to);
        }
        0
    }

    /// Says `ctx.pcm[..n]`, which is at a mixer's rate or of a mixer's packet length.
    pub(super) fn say_converted(&mut self, n: usize, from: u32, ctx: &mut Ctx) {
        self.peer_us = ctx.now.us;
        let to = self.codec().rate();
        let alone = self.over.is_none() && !self.playout_sounds;
        self.sampled_at(if alone { from } else { to });
        if from == to {
            return self.fill_up(n, ctx);
        }
        let fits = |c: &Converter| c.from_rate() == from && c.to_rate() == to;
        if let Some(converter) = self.mix_converter.as_mut().filter(|c| fits(c)) {
            let n = convert(converter, n, ctx);
            self.fill_up(n, ctx);
        } else if !self.converter_asked {
            self.converter_asked = ctx.ask_converter(&self.shared, from, to);
        }
    }

    /// Sends a payload somebody else has encoded in this leg's codec.
    pub(super) fn say_encoded(&mut self, payload: &[u8], samples: usize, ctx: &mut Ctx) {
        self.peer_us = ctx.now.us;
        let stamp = self.out.clocked(ctx.now.us, self.clock(), self.ticks(samples));
        let end = rtp::HEADER_LEN + payload.len();
        let Some(room) = ctx.out.get_mut(rtp::HEADER_LEN..end) else { return };
        room.copy_from_slice(payload);
        let Some(head) = ctx.out.first_chunk_mut() else { return };
        rtp::write_header(
            head,
            stamp.marker,
            self.params.send_pt,
            stamp.seq,
            stamp.timestamp,
            self.out.ssrc,
        );
        self.count_audio(payload.len());
        self.transmit(0..end, true, ctx);
    }

    /// Notes that somebody else's audio is sent on now: no silence of our own is needed.
    pub(super) fn note_peer(&mut self, ctx: &Ctx) {
        self.peer_us = ctx.now.us;
    }

    /// Whether nothing is done to what this leg hears.
    pub(super) fn hears_plainly(&self) -> bool {
        self.write_level.is_unity()
            && self.over.is_none()
            && !self.playout_sounds
            && self.taps.is_empty()
    }

    pub(super) fn apply_read_level(&self, pcm: &mut [i16]) {
        self.read_level.apply(pcm);
    }

    /// Takes a converter the file thread has made.
    pub(crate) fn take_converter(&mut self, converter: Box<Converter>) -> Option<Box<Converter>> {
        self.converter_asked = false;
        if converter.from_rate() == self.codec().rate() {
            self.converter.replace(converter)
        } else {
            self.mix_converter.replace(converter)
        }
    }

    /// Tells the encoder how much there is to encode in what comes next. A wider sound after a narrow one, a prompt after
    /// a telephone, is told of as well.
    pub(super) fn sampled_at(&mut self, rate: u32) {
        if let Some(encoder) = &mut self.coder.encoder {
            encoder.sampled_at(rate);
        }
    }

    /// Adds `ctx.pcm[..n]` to what waits, and sends every full packet.
    fn fill_up(&mut self, n: usize, ctx: &mut Ctx) {
        let frame = self.frame();
        let fifo = self.repack.get_or_insert_with(|| Box::new(Fifo::new(frame * 8 + 4096)));
        fifo.push(&ctx.pcm[..n]);
        while self.repack.as_mut().is_some_and(|f| f.len() >= frame) {
            if let Some(fifo) = &mut self.repack {
                fifo.take(&mut ctx.pcm[..frame]);
            }
            let stamp = self.out.clocked(ctx.now.us, self.clock(), self.ticks(frame));
            self.say(frame, stamp, ctx);
        }
    }

    /// Whether an echo sends packets back as they came.
    pub(super) fn echoes_plainly(&self) -> bool {
        matches!(self.route, Route::Echo(None))
            && self.said_codec == self.codec()
            && self.said.is_none()
            && self.read_level.is_unity()
            && self.write_level.is_unity()
            && self.over.is_none()
            && !self.playout_sounds
    }

    /// The leg's own audio back to it.
    pub(super) fn echo(&mut self, turn: Turn<'_>, ctx: &mut Ctx) {
        if !self.open_to_peer() || self.is_pressing() {
            return;
        }
        self.peer_us = ctx.now.us;
        if self.echoes_plainly() {
            return self.relay(turn, ctx);
        }
        let n = turn.decoded;
        if let Route::Echo(Some(line)) = &mut self.route {
            line.pass(&mut ctx.pcm[..n]);
        }
        if n == 0 {
            return;
        }
        let (clock, ticks) = (self.clock(), self.ticks(n));
        if let Some(stamp) = self.out.relayed(turn.header, ctx.now.us, clock, clock, ticks) {
            self.say(n, stamp, ctx);
        }
    }

    /// Sends `ctx.pcm[..n]`: overlay, level, recordings, encoding, the wire.
    pub(crate) fn say(&mut self, n: usize, stamp: Stamp, ctx: &mut Ctx) {
        let rate = self.codec().rate();
        if let Some(over) = &mut self.over {
            let mixed = &mut ctx.wide[..n];
            let more = over.fill(mixed, rate);
            for (sample, add) in ctx.pcm.iter_mut().zip(mixed.iter()) {
                *sample = sample.saturating_add(*add);
            }
            if !more {
                self.end_play(true, PlayEnd::Finished, ctx);
            }
        }
        let mut alone = false;
        if self.playout_sounds {
            // Looked at only where a frame of the program's own could go in the place of what is mixed.
            alone = self.playouts.len() == 1
                && self.codec().coding() == Coding::Opus
                && self.write_level.is_unity()
                && ctx.pcm[..n].iter().all(|sample| *sample == 0);
            self.mix_playouts(&mut ctx.pcm[..n]);
        }
        self.write_level.apply(&mut ctx.pcm[..n]);
        self.taps.iter_mut().for_each(|t| t.heard(&ctx.pcm[..n]));
        let room = &mut ctx.out[rtp::HEADER_LEN..];
        let copied = if alone { self.copy_frame(n, room) } else { 0 };
        let octets = if copied > 0 { copied } else { self.encode(&ctx.pcm[..n], room) };
        if octets == 0 {
            return self.out.leave_out(stamp);
        }
        let pausing = self.coder.encoder.as_ref().is_some_and(|encoder| encoder.is_pausing());
        let Some(head) = ctx.out.first_chunk_mut() else { return };
        rtp::write_header(
            head,
            stamp.marker | self.out.resumes(pausing),
            self.params.send_pt,
            stamp.seq,
            stamp.timestamp,
            self.out.ssrc,
        );
        self.count_audio(octets);
        self.transmit(0..rtp::HEADER_LEN + octets, true, ctx);
    }

    /// Shows a packet, as it came, to those who take it so.
    pub(super) fn show_frame(&mut self, payload: &[u8]) {
        if !self.read_level.muted {
            self.taps.iter_mut().for_each(|tap| tap.frame(payload));
        }
    }

    /// The frame a program's audio of `n` samples was made of, as it is; 0 where there is none.
    fn copy_frame(&self, n: usize, room: &mut [u8]) -> usize {
        let frame = self.playouts.first().and_then(|playout| playout.frame());
        let Some(frame) = frame.filter(|frame| self.codec().samples_in(frame) == n) else {
            return 0;
        };
        let Some(place) = room.get_mut(..frame.len()) else { return 0 };
        place.copy_from_slice(frame);
        frame.len()
    }

    fn count_audio(&mut self, octets: usize) {
        let stats = &self.shared.stats;
        stats.out_media_packets.add(1);
        stats.out_media_bytes.add((octets + rtp::HEADER_LEN) as u64);
        self.payload_octets += octets as u64;
    }

    /// Puts a packet on the wire: from `ctx.out` when it is `ours`, else from `ctx.packet`.
    fn transmit(&mut self, range: std::ops::Range<usize>, ours: bool, ctx: &mut Ctx) {
        let buffer = if ours { &mut ctx.out } else { &mut ctx.packet };
        let Some(room) = buffer.get_mut(range.start..) else { return };
        let len = self.protection.protect_rtp(room, range.len());
        let Some(packet) = len.and_then(|len| room.get(..len)) else { return };
        let stats = &self.shared.stats;
        let sent = match &self.transport {
            Transport::Rtp(sockets) => self
                .path
                .destination(ctx.now.ms())
                .is_some_and(|to| sockets.rtp.send_to(packet, to).is_ok()),
            Transport::Memory(twin) => ctx.mail.post(twin, packet),
            Transport::Null => true,
        };
        if sent {
            stats.out_packets.add(1);
            stats.out_raw_bytes.add(packet.len() as u64);
        } else {
            stats.out_skip.add(1);
        }
    }

    /// Sends the packet in `ctx.packet[..len]` as it came.
    pub(super) fn send_raw(&self, rtcp: bool, len: usize, ctx: &Ctx) {
        let (Transport::Rtp(sockets), Some(packet)) = (&self.transport, ctx.packet.get(..len))
        else {
            return;
        };
        let sent = match (rtcp, &sockets.rtcp) {
            (true, Some(socket)) => self.rtcp_remote.map(|to| socket.send_to(packet, to)),
            _ => self.path.destination(ctx.now.ms()).map(|to| sockets.rtp.send_to(packet, to)),
        };
        let stats = &self.shared.stats;
        if sent.is_some_and(|sent| sent.is_ok()) {
            stats.out_packets.add(1);
            stats.out_raw_bytes.add(len as u64);
        } else {
            stats.out_skip.add(1);
        }
    }

    /// One packet interval of our own clock: a digit, a play, or silence.
    pub(crate) fn write_tick(&mut self, ctx: &mut Ctx) {
        let frame = self.frame();
        let sends = self.sends_audio();
        self.look_at_playouts(ctx.now);
        if self.digits_out.busy() && self.digit_tick(frame, ctx) {
            return self.play_unheard(frame, ctx);
        }
        if self.tone_keys.as_ref().is_some_and(|keys| keys.busy()) {
            self.play_unheard(frame, ctx);
            return self.tone_tick(sends, frame, ctx);
        }
        let rate = self.codec().rate();
        let peer_idle = self.quiet_for(ctx.now, frame * 2);
        if let Some(main) = &mut self.main {
            let more = main.fill(&mut ctx.pcm[..frame], rate);
            self.say_or_skip(sends, frame, ctx);
            if !more {
                self.end_play(false, PlayEnd::Finished, ctx);
            }
        } else if peer_idle
            && (self.over.is_some() || self.idle_noise().is_some() || self.playout_us.is_some())
        {
            self.hush(&mut ctx.pcm[..frame]);
            self.say_or_skip(sends, frame, ctx);
        }
    }

    /// Silence, with a little noise in it if that was asked for.
    fn hush(&mut self, pcm: &mut [i16]) {
        crate::source::noise(pcm, self.idle_noise().unwrap_or(0), &mut self.noise);
    }

    /// The noise sent while there is nothing else: what was asked for, or what a recording keeps the stream open with.
    fn idle_noise(&self) -> Option<u32> {
        self.silence.or_else(|| self.taps.iter().find_map(|tap| tap.waste))
    }

    /// One interval of digits sent as tones.
    fn tone_tick(&mut self, sends: bool, frame: usize, ctx: &mut Ctx) {
        let (rate, gap) = (self.codec().rate(), self.params.digit_delay_ms);
        let Some(keys) = &mut self.tone_keys else { return };
        keys.fill(&mut ctx.pcm[..frame], rate, gap);
        let done = !keys.busy();
        self.say_or_skip(sends, frame, ctx);
        if done {
            self.tell(LegEvent::DigitsSent);
        }
    }

    fn say_or_skip(&mut self, sends: bool, frame: usize, ctx: &mut Ctx) {
        if sends {
            let stamp = self.out.clocked(ctx.now.us, self.clock(), self.ticks(frame));
            self.sampled_at(self.codec().rate());
            self.say(frame, stamp, ctx);
        } else {
            self.taps.iter_mut().for_each(|t| t.heard(&ctx.pcm[..frame]));
        }
    }

    /// Whether nothing was sent by somebody else for `samples`.
    fn quiet_for(&self, now: Now, samples: usize) -> bool {
        let us = samples as u64 * 1_000_000 / u64::from(self.codec().rate().max(1));
        now.us.saturating_sub(self.peer_us) >= us
    }

    /// Time passes for a play while a digit is heard in its place.
    fn play_unheard(&mut self, frame: usize, ctx: &mut Ctx) {
        let rate = self.codec().rate();
        if let Some(main) = &mut self.main
            && !main.fill(&mut ctx.pcm[..frame], rate)
        {
            self.end_play(false, PlayEnd::Finished, ctx);
        }
    }

    /// True when an event packet was sent.
    fn digit_tick(&mut self, frame: usize, ctx: &mut Ctx) -> bool {
        let (clock, ticks) = (self.clock(), self.ticks(frame));
        let (ptime, gap) = (self.params.ptime, self.params.digit_delay_ms);
        let emit = self.digits_out.tick(ptime, self.params.te_clock, gap);
        if !self.digits_out.busy() {
            self.tell(LegEvent::DigitsSent);
        }
        let pt = self.params.te_send.filter(|_| self.params.handling == Handling::Audio);
        let (Some(emit), Some(pt)) = (emit, pt) else { return false };
        for copy in 0..emit.copies {
            let stamp = self.out.digit(emit.first && copy == 0, ctx.now.us, clock, ticks);
            let Some(head) = ctx.out.first_chunk_mut() else { return false };
            rtp::write_header(head, stamp.marker, pt, stamp.seq, stamp.timestamp, self.out.ssrc);
            let end = rtp::HEADER_LEN + emit.payload.len();
            ctx.out[rtp::HEADER_LEN..end].copy_from_slice(&emit.payload);
            self.shared.stats.out_dtmf.add(1);
            self.transmit(0..end, true, ctx);
        }
        true
    }

    /// A sign of life when nothing was sent for long, to peers that know comfort noise: it keeps an
    /// address translator's entry open, as the reference does.
    pub(super) fn keep_alive(&mut self, ctx: &mut Ctx) {
        let Some(pt) = self.params.cn_pt.filter(|_| self.active && self.sends_audio()) else {
            return;
        };
        let (ticks, clock) = (self.ticks(self.frame()), self.clock());
        let idle = KEEP_ALIVE_FRAMES * u64::from(self.params.ptime) * 1000;
        if !self.out.is_idle(ctx.now.us, idle) {
            return;
        }
        let stamp = self.out.clocked(ctx.now.us, clock, ticks);
        let end = rtp::HEADER_LEN + NOISE.len();
        let Some(head) = ctx.out.first_chunk_mut() else { return };
        rtp::write_header(head, false, pt, stamp.seq, stamp.timestamp, self.out.ssrc);
        ctx.out[rtp::HEADER_LEN..end].copy_from_slice(&NOISE);
        self.shared.stats.out_cng.add(1);
        self.transmit(0..end, true, ctx);
    }

    /// Sends on a peer's comfort noise, if this leg's peer knows it.
    pub(crate) fn forward_noise(&mut self, header: &Header, ctx: &mut Ctx) {
        let (Some(pt), true) = (self.params.cn_pt, self.open_to_peer()) else { return };
        let (clock, ticks) = (self.clock(), self.ticks(self.frame()));
        let Some(stamp) = self.out.relayed(header, ctx.now.us, clock, clock, ticks) else {
            return;
        };
        let start = header.payload.start - rtp::HEADER_LEN;
        let Some(head) = ctx.packet.get_mut(start..).and_then(|p| p.first_chunk_mut()) else {
            return;
        };
        rtp::write_header(head, stamp.marker, pt, stamp.seq, stamp.timestamp, self.out.ssrc);
        self.shared.stats.out_cng.add(1);
        self.transmit(start..header.payload.end, false, ctx);
    }
}

/// Runs `ctx.pcm[..n]` through a converter; returns its new length.
fn convert(converter: &mut Converter, n: usize, ctx: &mut Ctx) -> usize {
    let mut at = 0;
    let (pcm, wide) = (&ctx.pcm, &mut ctx.wide);
    converter.push(&pcm[..n], |piece| {
        for (to, from) in wide[at..].iter_mut().zip(piece) {
            *to = crate::resample::to_i16(*from);
        }
        at = (at + piece.len()).min(pcm.len());
    });
    ctx.pcm[..at].copy_from_slice(&ctx.wide[..at]);
    at
}
