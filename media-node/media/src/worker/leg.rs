//! A leg as its worker holds it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::mix::{Member, Room};
use super::out::OutStream;
use super::{Ctx, Now};
use crate::codec::Codec;
use crate::dtmf::{Digit, inband, receive::Receiver, send};
use crate::event::{DigitSource, LegEvent, LevelOutcome, LevelReport, LevelWatch, PlayEnd};
use crate::jitter::JitterBuffer;
use crate::latch::{Latch, Verdict};
use crate::leg::{BridgeOptions, PlayId};
use crate::params::RtpParams;
use crate::ports::Sockets;
use crate::record::tap::{Fifo, Tap, score};
use crate::resample::Converter;
use crate::rtp::{self, Header};
use crate::shared::{LegShared, PlayHow};
use crate::source::PlayPlan;
use crate::stats::arrival::{Arrival, Order};

/// Events that wait for room in a full channel before the unimportant ones are dropped.
const PENDING: usize = 256;
/// Plays that can wait for one within them to end.
const MAX_SUSPENDED: usize = 8;
/// Recordings a leg can have at once.
pub(crate) const MAX_TAPS: usize = 8;

/// What carries a leg's packets.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Sockets.
    Rtp(Sockets),
    /// The other leg of an in-memory pair.
    Memory(Arc<LegShared>),
    /// Nothing.
    Null,
}

/// Where received audio goes.
#[derive(Debug)]
pub(crate) enum Route {
    Nowhere,
    Bridge {
        peer: Arc<LegShared>,
        options: BridgeOptions,
    },
    Echo(Option<Box<DelayLine>>),
    /// To that mixer.
    Mix(Arc<LegShared>),
}

#[derive(Debug)]
pub(crate) struct DelayLine {
    line: Box<[i16]>,
    at: usize,
}

impl DelayLine {
    pub(crate) fn new(samples: usize) -> Self {
        Self { line: vec![0; samples].into_boxed_slice(), at: 0 }
    }

    fn pass(&mut self, pcm: &mut [i16]) {
        let len = self.line.len();
        if len == 0 {
            return;
        }
        for sample in pcm {
            std::mem::swap(sample, &mut self.line[self.at]);
            self.at = (self.at + 1) % len;
        }
    }
}

/// A play in progress.
#[derive(Debug)]
pub(crate) struct Playing {
    pub(crate) id: PlayId,
    pub(crate) plan: Box<PlayPlan>,
    pub(crate) paused: bool,
    pub(crate) volume: Level,
    pub(crate) samples: u64,
    /// Position of a plan of another rate between two of its samples, 16.16.
    fraction: u32,
    last: i16,
}

impl Playing {
    pub(crate) fn new(id: PlayId, plan: Box<PlayPlan>) -> Self {
        let volume = Level::default();
        Self { id, plan, paused: false, volume, samples: 0, fraction: 0, last: 0 }
    }

    /// Fills a frame; false when it was the last one (what the plan had not is silence).
    pub(super) fn fill(&mut self, out: &mut [i16], rate: u32) -> bool {
        if self.paused {
            out.fill(0);
            return true;
        }
        let n = if self.plan.rate() == rate {
            self.plan.fill(out)
        } else {
            self.fill_stretched(out, rate)
        };
        self.samples += n as u64;
        out[n..].fill(0);
        self.volume.apply(&mut out[..n]);
        n == out.len() && !self.plan.is_finished()
    }

    /// A plan opened for another rate than the leg now has (the codec changed under it): nearest
    /// samples will do until the next play.
    fn fill_stretched(&mut self, out: &mut [i16], rate: u32) -> usize {
        let step = (u64::from(self.plan.rate()) << 16) / u64::from(rate.max(1));
        for (n, sample) in out.iter_mut().enumerate() {
            let mut at = u64::from(self.fraction) + step;
            while at >= 1 << 16 {
                let mut one = [0];
                if self.plan.fill(&mut one) == 0 {
                    return n;
                }
                self.last = one[0];
                at -= 1 << 16;
            }
            self.fraction = at as u32;
            *sample = self.last;
        }
        out.len()
    }
}

/// A level in percent with a mute switch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    pub(crate) percent: u32,
    pub(crate) muted: bool,
}

impl Default for Level {
    fn default() -> Self {
        Self { percent: 100, muted: false }
    }
}

impl Level {
    fn is_unity(self) -> bool {
        self.percent == 100 && !self.muted
    }

    fn apply(self, pcm: &mut [i16]) {
        if self.muted {
            pcm.fill(0);
        } else if self.percent != 100 {
            let factor = i64::from(self.percent);
            for sample in pcm {
                let scaled = i64::from(*sample) * factor / 100;
                *sample = scaled.clamp(-0x8000, 0x7fff) as i16;
            }
        }
    }
}

/// A level watch in progress.
#[derive(Debug)]
pub(crate) struct Watching {
    watch: LevelWatch,
    loud: u32,
    quiet: u32,
    armed: bool,
    /// Score of the newest frame, and ticks it may still stand for a frame that is late.
    latest: (u32, u8),
}

impl Watching {
    pub(crate) fn new(watch: LevelWatch) -> Self {
        Self { watch, loud: 0, quiet: 0, armed: watch.loud_hits == 0, latest: (0, 0) }
    }

    fn hear(&mut self, pcm: &[i16]) {
        self.latest = (score(pcm), 2);
    }

    fn tick(&mut self) -> Option<LevelReport> {
        let heard = if self.latest.1 > 0 { self.latest.0 } else { 0 };
        self.latest.1 = self.latest.1.saturating_sub(1);
        if heard >= self.watch.threshold {
            self.loud += 1;
            self.quiet = 0;
            self.armed |= self.loud >= self.watch.loud_hits;
        } else {
            self.quiet += 1;
            if !self.armed {
                self.loud = 0;
            }
        }
        let outcome = if self.watch.quiet_hits == 0 {
            (self.armed && self.loud > 0).then_some(LevelOutcome::Loud)
        } else {
            (self.armed && self.quiet >= self.watch.quiet_hits).then_some(LevelOutcome::Quiet)
        };
        outcome.map(|outcome| LevelReport { loud_hits: self.loud, quiet_hits: self.quiet, outcome })
    }
}

/// What a packet turned out to be.
pub(crate) enum Heard {
    Nothing,
    Audio(Header),
    /// Comfort noise.
    Noise(Header),
    Digit(Digit, u32),
}

/// One leg.
#[derive(Debug)]
pub(crate) struct LegState {
    pub(crate) shared: Arc<LegShared>,
    pub(crate) transport: Transport,
    events: Sender<LegEvent>,
    pending: VecDeque<LegEvent>,
    pub(crate) params: Box<RtpParams>,
    /// `set_rtp` was called (memory and null legs are born active).
    pub(crate) active: bool,
    pub(crate) latch: Latch,
    pub(crate) rtcp_remote: Option<SocketAddr>,
    pub(crate) out: OutStream,
    pub(crate) arrival: Arrival,
    heard_first: bool,
    pub(crate) last_rtp_us: u64,
    pub(crate) timeout_told: bool,
    pub(crate) digits_in: Receiver,
    pub(crate) digits_out: send::Sender,
    pub(crate) inband: Option<Box<inband::Detector>>,
    pub(crate) main: Option<Playing>,
    /// Plays interrupted by the main one; the last goes on when it ends.
    suspended: Vec<Playing>,
    pub(crate) over: Option<Playing>,
    pub(crate) route: Route,
    #[allow(
        clippy::vec_box,
        reason = "taps come boxed from the control side and go back boxed: the worker neither makes nor frees them"
    )]
    pub(crate) taps: Vec<Box<Tap>>,
    pub(crate) read_level: Level,
    pub(crate) write_level: Level,
    pub(crate) silence: bool,
    pub(crate) held: bool,
    pub(crate) watch: Option<Watching>,
    pub(crate) jitter: Option<Box<JitterBuffer>>,
    pub(crate) converter: Option<Box<Converter>>,
    pub(crate) converter_asked: bool,
    /// Converts what a mixer of another rate sends to this leg.
    pub(crate) mix_converter: Option<Box<Converter>>,
    /// The conference side of a member.
    pub(crate) member: Option<Box<Member>>,
    /// What makes this leg a mixer.
    pub(crate) room: Option<Box<Room>>,
    /// Audio waiting to fill a packet when the source's packets are of another length.
    repack: Option<Box<Fifo>>,
    pub(crate) tick_at: Option<u64>,
    /// When a peer's audio (or an echo) was sent on last.
    peer_us: u64,
    /// Sequence number and source of what leaves the jitter buffer.
    pub(crate) jitter_seq: u16,
    pub(crate) jitter_ssrc: u32,
    pub(crate) next_rtcp_us: u64,
    pub(crate) rtcp_sent_packets: u64,
    pub(crate) payload_octets: u64,
}

impl LegState {
    pub(crate) fn new(
        shared: Arc<LegShared>,
        transport: Transport,
        events: Sender<LegEvent>,
        params: RtpParams,
        start: (u16, u32),
    ) -> Box<Self> {
        let active = !matches!(transport, Transport::Rtp(_));
        let ssrc = shared.ssrc;
        Box::new(Self {
            shared,
            transport,
            events,
            pending: VecDeque::new(),
            params: Box::new(params),
            active,
            latch: Latch::new(None, true),
            rtcp_remote: None,
            out: OutStream::new(ssrc, start.0, start.1),
            arrival: Arrival::default(),
            heard_first: false,
            last_rtp_us: 0,
            timeout_told: false,
            digits_in: Receiver::default(),
            digits_out: send::Sender::default(),
            inband: None,
            main: None,
            suspended: Vec::new(),
            over: None,
            route: Route::Nowhere,
            taps: Vec::with_capacity(MAX_TAPS),
            read_level: Level::default(),
            write_level: Level::default(),
            silence: false,
            held: false,
            watch: None,
            jitter: None,
            converter: None,
            converter_asked: false,
            mix_converter: None,
            member: None,
            room: None,
            repack: None,
            tick_at: None,
            peer_us: 0,
            jitter_seq: 0,
            jitter_ssrc: 0,
            next_rtcp_us: 0,
            rtcp_sent_packets: 0,
            payload_octets: 0,
        })
    }

    pub(crate) fn codec(&self) -> Codec {
        self.params.codec
    }

    pub(crate) fn frame(&self) -> usize {
        self.codec().frame_samples(self.params.ptime)
    }

    // === events ===

    /// Tells the owner. A full channel is tried again on later passes.
    pub(crate) fn tell(&mut self, event: LegEvent) {
        if self.pending.is_empty() {
            match self.events.try_send(event) {
                Err(TrySendError::Full(event)) => self.pending.push_back(event),
                Ok(()) | Err(TrySendError::Closed(_)) => {}
            }
            return;
        }
        let expendable = matches!(event, LegEvent::RemoteLatched(_) | LegEvent::FirstPacket);
        if self.pending.len() < PENDING || !expendable {
            self.pending.push_back(event);
        }
    }

    /// Tries again what was refused before.
    pub(crate) fn retell(&mut self) {
        while let Some(event) = self.pending.pop_front() {
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                self.pending.push_front(event);
                return;
            }
        }
    }

    pub(crate) fn tell_digit(&mut self, digit: Digit, duration: u32, source: DigitSource) {
        self.tell(LegEvent::Digit { digit, duration, source });
    }

    pub(crate) fn end_play(&mut self, over: bool, reason: PlayEnd, ctx: &Ctx) {
        let place = if over { &mut self.over } else { &mut self.main };
        let Some(play) = place.take() else { return };
        if !over {
            self.main = self.suspended.pop();
        }
        self.tell_play_end(play, reason, ctx);
    }

    fn tell_play_end(&mut self, play: Playing, reason: PlayEnd, ctx: &Ctx) {
        let (id, samples, position) = (play.id, play.samples, play.plan.position());
        self.tell(LegEvent::PlayDone { id, samples, position, reason });
        ctx.retire_plan(play.plan);
    }

    /// Begins a play; one in progress waits for its end when it is `within` it.
    pub(crate) fn begin_play(&mut self, play: Playing, how: PlayHow, ctx: &Ctx) {
        match how {
            PlayHow::Over => {
                self.end_play(true, PlayEnd::Replaced, ctx);
                self.over = Some(play);
            }
            PlayHow::Within if self.suspended.len() < MAX_SUSPENDED => {
                self.suspended.extend(self.main.replace(play));
            }
            PlayHow::Instead | PlayHow::Within => {
                if let Some(old) = self.main.replace(play) {
                    self.tell_play_end(old, PlayEnd::Replaced, ctx);
                }
            }
        }
    }

    /// The play of that name, wherever it is.
    pub(crate) fn play(&mut self, id: PlayId) -> Option<&mut Playing> {
        let all = self.main.iter_mut().chain(&mut self.over).chain(&mut self.suspended);
        all.into_iter().find(|p| p.id == id)
    }

    /// Ends the play of that name.
    pub(crate) fn stop_play(&mut self, id: PlayId, ctx: &Ctx) {
        if self.main.as_ref().is_some_and(|p| p.id == id) {
            self.end_play(false, PlayEnd::Stopped, ctx);
        } else if self.over.as_ref().is_some_and(|p| p.id == id) {
            self.end_play(true, PlayEnd::Stopped, ctx);
        } else if let Some(index) = self.suspended.iter().position(|p| p.id == id) {
            let play = self.suspended.remove(index);
            self.tell_play_end(play, PlayEnd::Stopped, ctx);
        }
    }

    /// Ends everything that plays: the leg is closed.
    pub(crate) fn end_plays(&mut self, ctx: &Ctx) {
        self.end_play(true, PlayEnd::Closed, ctx);
        while self.main.is_some() {
            self.end_play(false, PlayEnd::Closed, ctx);
        }
    }

    // === receiving ===

    /// Takes a packet from the network: statistics, source address, payload type.
    pub(crate) fn accept(&mut self, packet: &[u8], from: Option<SocketAddr>, now: Now) -> Heard {
        let Some(header) = Header::parse(packet) else { return Heard::Nothing };
        if !self.active {
            return Heard::Nothing;
        }
        if let Some(from) = from {
            match self.latch.judge(from, now.ms()) {
                Verdict::Accept => {}
                Verdict::Moved => self.tell(LegEvent::RemoteLatched(from)),
                Verdict::Refuse => return Heard::Nothing,
            }
        }
        let stats = &self.shared.stats;
        stats.in_packets.add(1);
        stats.in_raw_bytes.add(packet.len() as u64);
        self.last_rtp_us = now.us;
        self.timeout_told = false;
        if !self.heard_first {
            self.heard_first = true;
            self.tell(LegEvent::FirstPacket);
        }
        self.sort(header, packet, now)
    }

    fn sort(&mut self, header: Header, packet: &[u8], now: Now) -> Heard {
        let stats = &self.shared.stats;
        let rate = self.codec().rate();
        if Some(header.pt) == self.params.te_recv {
            stats.in_dtmf.add(1);
            let payload = packet.get(header.payload.clone()).unwrap_or_default();
            return match self.digits_in.feed(payload, header.timestamp, now.ms()) {
                Some((digit, units)) => Heard::Digit(digit, in_8k(units, rate)),
                None => Heard::Nothing,
            };
        }
        if Some(header.pt) == self.params.cn_pt {
            stats.in_cng.add(1);
            return Heard::Noise(header);
        }
        if header.pt != self.params.recv_pt || header.payload.is_empty() {
            return Heard::Nothing;
        }
        stats.in_media_packets.add(1);
        stats.in_media_bytes.add(packet.len() as u64);
        let order = self.arrival.packet(&header, now.us, rate, stats);
        if let (Order::Gap(lost @ 1..=10), false) = (order, self.taps.is_empty()) {
            // Time lost on the network stays time in a recording.
            let silence = [0; 960];
            let frame = self.frame().min(silence.len());
            for _ in 0..lost {
                self.taps.iter_mut().for_each(|t| t.said(&silence[..frame]));
            }
        }
        Heard::Audio(header)
    }

    /// Whether received audio must be decoded for somebody besides the peer.
    pub(crate) fn listens(&self) -> bool {
        !self.taps.is_empty() || self.watch.is_some() || self.inband.is_some()
    }

    /// Gives received audio to recordings, watches and the tone detector. Calls `digit` for each
    /// key found in it.
    pub(crate) fn listen(&mut self, pcm: &mut [i16], digit: impl FnMut(Digit, u32)) {
        if let Some(detector) = &mut self.inband {
            detector.feed(pcm, digit);
        }
        self.read_level.apply(pcm);
        if let Some(watch) = &mut self.watch {
            watch.hear(pcm);
        }
        self.taps.iter_mut().for_each(|t| t.said(pcm));
    }

    // === sending ===

    /// Whether audio of a bridged peer reaches this leg now.
    pub(crate) fn open_to_peer(&self) -> bool {
        self.active && self.params.direction.sends() && self.main.is_none()
    }

    /// Sends on a peer's packet, which lies in `ctx.packet`.
    pub(crate) fn forward(&mut self, source: &mut Self, header: &Header, ctx: &mut Ctx) {
        if !self.open_to_peer() {
            return;
        }
        self.peer_us = ctx.now.us;
        if self.digits_out.pressing() {
            self.shared.stats.out_skip.add(1);
            return;
        }
        let samples = header.payload.len() / source.codec().octets_per_sample();
        let as_is = source.codec() == self.codec()
            && samples == self.frame()
            && source.read_level.is_unity()
            && self.write_level.is_unity()
            && self.over.is_none();
        if as_is {
            self.relay(header, samples, ctx);
        } else {
            self.transcode(source, header, ctx);
        }
    }

    fn relay(&mut self, header: &Header, samples: usize, ctx: &mut Ctx) {
        if !self.taps.is_empty() {
            let payload = ctx.packet.get(header.payload.clone()).unwrap_or_default();
            let n = self.params.codec.decode(payload, &mut ctx.pcm);
            self.taps.iter_mut().for_each(|t| t.heard(&ctx.pcm[..n]));
        }
        let rate = self.codec().rate();
        let Some(stamp) = self.out.relayed(header, ctx.now.us, rate, rate, samples) else { return };
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

    fn transcode(&mut self, source: &mut Self, header: &Header, ctx: &mut Ctx) {
        let payload = ctx.packet.get(header.payload.clone()).unwrap_or_default();
        let n = source.codec().decode(payload, &mut ctx.pcm);
        source.read_level.apply(&mut ctx.pcm[..n]);
        let (from, to) = (source.codec().rate(), self.codec().rate());
        if from != to {
            self.convert(source, n, ctx);
            return;
        }
        if n == self.frame() {
            let stamp = self.out.relayed(header, ctx.now.us, from, to, n);
            if let Some(stamp) = stamp {
                self.say(n, stamp, ctx);
            }
        } else {
            self.fill_up(n, ctx);
        }
    }

    /// Another clock: through the source's converter, then packet by packet as they fill up.
    fn convert(&mut self, source: &mut Self, n: usize, ctx: &mut Ctx) {
        let n = source.resample(n, self.codec().rate(), ctx);
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
        let stamp = self.out.clocked(ctx.now.us, self.codec().rate(), samples);
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
        self.write_level.is_unity() && self.over.is_none() && self.taps.is_empty()
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

    /// Adds `ctx.pcm[..n]` to what waits, and sends every full packet.
    fn fill_up(&mut self, n: usize, ctx: &mut Ctx) {
        let frame = self.frame();
        let fifo = self.repack.get_or_insert_with(|| Box::new(Fifo::new(frame * 8 + 4096)));
        fifo.push(&ctx.pcm[..n]);
        while self.repack.as_mut().is_some_and(|f| f.len() >= frame) {
            if let Some(fifo) = &mut self.repack {
                fifo.take(&mut ctx.pcm[..frame]);
            }
            let stamp = self.out.clocked(ctx.now.us, self.codec().rate(), frame);
            self.say(frame, stamp, ctx);
        }
    }

    /// The leg's own audio back to it.
    pub(crate) fn echo(&mut self, header: &Header, ctx: &mut Ctx) {
        if !self.open_to_peer() || self.digits_out.pressing() {
            return;
        }
        self.peer_us = ctx.now.us;
        let payload = ctx.packet.get(header.payload.clone()).unwrap_or_default();
        let plain = matches!(self.route, Route::Echo(None))
            && self.read_level.is_unity()
            && self.write_level.is_unity()
            && self.over.is_none();
        let samples = payload.len() / self.codec().octets_per_sample();
        if plain {
            self.relay(header, samples, ctx);
            return;
        }
        let n = self.params.codec.decode(payload, &mut ctx.pcm);
        self.read_level.apply(&mut ctx.pcm[..n]);
        if let Route::Echo(Some(line)) = &mut self.route {
            line.pass(&mut ctx.pcm[..n]);
        }
        let rate = self.codec().rate();
        if let Some(stamp) = self.out.relayed(header, ctx.now.us, rate, rate, n) {
            self.say(n, stamp, ctx);
        }
    }

    /// Sends `ctx.pcm[..n]`: overlay, level, recordings, encoding, the wire.
    pub(crate) fn say(&mut self, n: usize, stamp: super::out::Stamp, ctx: &mut Ctx) {
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
        self.write_level.apply(&mut ctx.pcm[..n]);
        self.taps.iter_mut().for_each(|t| t.heard(&ctx.pcm[..n]));
        let octets = self.params.codec.encode(&ctx.pcm[..n], &mut ctx.out[rtp::HEADER_LEN..]);
        let Some(head) = ctx.out.first_chunk_mut() else { return };
        rtp::write_header(
            head,
            stamp.marker,
            self.params.send_pt,
            stamp.seq,
            stamp.timestamp,
            self.out.ssrc,
        );
        self.count_audio(octets);
        self.transmit(0..rtp::HEADER_LEN + octets, true, ctx);
    }

    fn count_audio(&mut self, octets: usize) {
        let stats = &self.shared.stats;
        stats.out_media_packets.add(1);
        stats.out_media_bytes.add((octets + rtp::HEADER_LEN) as u64);
        self.payload_octets += octets as u64;
    }

    /// Puts a packet on the wire: from `ctx.out` when it is `ours`, else from `ctx.packet`.
    fn transmit(&self, range: std::ops::Range<usize>, ours: bool, ctx: &mut Ctx) {
        let buffer = if ours { &ctx.out } else { &ctx.packet };
        let Some(packet) = buffer.get(range) else { return };
        let stats = &self.shared.stats;
        let sent = match &self.transport {
            Transport::Rtp(sockets) => {
                self.latch.remote().is_some_and(|to| sockets.rtp.send_to(packet, to).is_ok())
            }
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

    /// One packet interval of our own clock: a digit, a play, or silence.
    pub(crate) fn write_tick(&mut self, ctx: &mut Ctx) {
        let frame = self.frame();
        let sends = self.params.direction.sends();
        if self.digits_out.busy() && self.digit_tick(frame, ctx) {
            return self.play_unheard(frame, ctx);
        }
        let rate = self.codec().rate();
        let peer_idle = self.quiet_for(ctx.now, frame * 2);
        if let Some(main) = &mut self.main {
            let more = main.fill(&mut ctx.pcm[..frame], rate);
            self.say_or_skip(sends, frame, ctx);
            if !more {
                self.end_play(false, PlayEnd::Finished, ctx);
            }
        } else if peer_idle && (self.over.is_some() || self.silence) {
            ctx.pcm[..frame].fill(0);
            self.say_or_skip(sends, frame, ctx);
        }
    }

    fn say_or_skip(&mut self, sends: bool, frame: usize, ctx: &mut Ctx) {
        if sends {
            let stamp = self.out.clocked(ctx.now.us, self.codec().rate(), frame);
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
        let rate = self.codec().rate();
        let (ptime, gap) = (self.params.ptime, self.params.digit_delay_ms);
        let emit = self.digits_out.tick(ptime, rate, gap);
        if !self.digits_out.busy() {
            self.tell(LegEvent::DigitsSent);
        }
        let (Some(emit), Some(pt)) = (emit, self.params.te_send) else { return false };
        for copy in 0..emit.copies {
            let stamp = self.out.digit(emit.first && copy == 0, ctx.now.us, rate, frame);
            let Some(head) = ctx.out.first_chunk_mut() else { return false };
            rtp::write_header(head, stamp.marker, pt, stamp.seq, stamp.timestamp, self.out.ssrc);
            let end = rtp::HEADER_LEN + emit.payload.len();
            ctx.out[rtp::HEADER_LEN..end].copy_from_slice(&emit.payload);
            self.shared.stats.out_dtmf.add(1);
            self.transmit(0..end, true, ctx);
        }
        true
    }

    /// Sends on a peer's comfort noise, if this leg's peer knows it.
    pub(crate) fn forward_noise(&mut self, header: &Header, ctx: &mut Ctx) {
        let (Some(pt), true) = (self.params.cn_pt, self.open_to_peer()) else { return };
        let rate = self.codec().rate();
        let Some(stamp) = self.out.relayed(header, ctx.now.us, rate, rate, self.frame()) else {
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

    // === time ===

    /// Whether the leg has something to do at its packet interval.
    pub(crate) fn needs_ticks(&self) -> bool {
        self.active
            && (self.main.is_some()
                || self.over.is_some()
                || self.silence
                || self.digits_out.busy()
                || self.watch.is_some()
                || self.jitter.is_some()
                || self.room.as_ref().is_some_and(|r| !r.is_empty())
                || !self.taps.is_empty())
    }

    /// A digit whose end never came.
    pub(crate) fn expire_digit(&mut self, now: Now) -> Option<(Digit, u32)> {
        let (digit, units) = self.digits_in.expire(now.ms())?;
        Some((digit, in_8k(units, self.codec().rate())))
    }

    /// Tells of a peer that fell silent.
    pub(crate) fn check_timeout(&mut self, now: Now) {
        let limit = if self.held {
            self.params.hold_timeout
        } else if self.params.direction.receives() {
            self.params.media_timeout
        } else {
            None
        };
        let Some(limit) = limit else { return };
        let silent = now.us.saturating_sub(self.last_rtp_us);
        if self.active && !self.timeout_told && silent >= limit.as_micros() as u64 {
            self.timeout_told = true;
            let held = self.held;
            self.tell(LegEvent::MediaTimeout { held });
        }
    }

    /// Drops audio that waits for a packet to fill up: its length has changed.
    pub(crate) fn forget_repack(&mut self) {
        if let Some(fifo) = &mut self.repack {
            fifo.clear();
        }
    }

    /// Recordings and watches, once per interval.
    pub(crate) fn tap_tick(&mut self, ctx: &mut Ctx) {
        let frame = self.frame();
        let mut index = 0;
        while let Some(tap) = self.taps.get_mut(index) {
            match tap.tick(frame, &mut ctx.wide) {
                Some(reason) => {
                    tap.finish(&reason);
                    ctx.retire_tap(self.taps.remove(index));
                }
                None => index += 1,
            }
        }
        if let Some(report) = self.watch.as_mut().and_then(Watching::tick) {
            self.watch = None;
            self.tell(LegEvent::Level(report));
        }
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

/// Timestamp units of a clock as 8 kHz units.
fn in_8k(units: u32, rate: u32) -> u32 {
    (u64::from(units) * 8000 / u64::from(rate.max(1))) as u32
}
