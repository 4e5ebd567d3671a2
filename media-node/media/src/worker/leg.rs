//! A leg as its worker holds it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use base::queue::TrySendError;

use super::layers::{Path, Protection};
use super::mix::{Member, Room};
use super::out::OutStream;
use super::pictures::{Early, Picture};
use super::playing::{DelayLine, Level, Playing};
use super::watching::Watching;
use super::{Ctx, Now};
use crate::codec::{Codec, Coder, Coding};
use crate::conceal::Concealer;
use crate::dtmf::{Digit, DigitStep, inband, receive::Receiver, send, tones::ToneKeys};
use crate::event::{DigitSource, EventSender, LegEvent, PlayEnd};
use crate::jitter::JitterBuffer;
use crate::latch::{Latch, Verdict};
use crate::leg::playout::PlayoutEnd;
use crate::leg::{BridgeOptions, PlayId};
use crate::params::RtpParams;
use crate::picture::congestion::Congestion;
use crate::picture::simulcast::Layers;
use crate::ports::Sockets;
use crate::record::tap::{Fifo, Tap};
use crate::resample::Converter;
use crate::rtp::{Header, Kind};
use crate::shared::{LegShared, PlayHow};
use crate::side_channel::SideInput;
use crate::stats::arrival::{Arrival, Order};

/// Events that wait for room in a full channel before the unimportant ones are dropped.
const PENDING: usize = 256;
/// Plays that can wait for one within them to end.
const MAX_SUSPENDED: usize = 8;
/// Recordings a leg can have at once.
pub(crate) const MAX_TAPS: usize = 8;
/// Programs that may speak to a leg at once.
pub(crate) const MAX_PLAYOUTS: usize = 8;
/// After a program's audio, silence is sent on for this long: its next words find the stream open.
const AFTER_PLAYOUT_US: u64 = 1_000_000;

/// What carries a leg's packets.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Sockets.
    Rtp(Arc<Sockets>),
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
    /// To those in that mixer's room who are shown this leg's video.
    Pictures(Arc<LegShared>),
}

/// What a packet turned out to be.
pub(crate) enum Heard {
    Nothing,
    Audio(Header, Order),
    /// Comfort noise.
    Noise(Header),
    Digit(Digit, u32),
}

/// One leg.
#[derive(Debug)]
pub(crate) struct LegState {
    pub(crate) shared: Arc<LegShared>,
    pub(crate) transport: Transport,
    events: EventSender,
    pending: VecDeque<LegEvent>,
    pub(crate) params: Box<RtpParams>,
    /// `set_rtp` was called (memory and null legs are born active).
    pub(crate) active: bool,
    pub(crate) path: Path,
    pub(crate) rtcp_remote: Option<SocketAddr>,
    pub(crate) out: OutStream,
    pub(crate) arrival: Arrival,
    heard_first: bool,
    pub(crate) last_rtp_us: u64,
    pub(crate) timeout_told: bool,
    pub(crate) digits_in: Receiver,
    pub(crate) digits_out: send::Sender,
    /// Sends digits as tones in the audio instead.
    pub(crate) tone_keys: Option<Box<ToneKeys>>,
    /// Lets digits received be tones in what the leg says.
    pub(super) said_keys: Option<Box<ToneKeys>>,
    pub(crate) inband: Option<Box<inband::Detector>>,
    pub(crate) main: Option<Playing>,
    /// Plays interrupted by the main one; the last goes on when it ends.
    pub(super) suspended: Vec<Playing>,
    pub(crate) over: Option<Playing>,
    /// Stands in the place of what the leg says, or (true) on top of it.
    pub(super) said: Option<(Playing, bool)>,
    #[allow(
        clippy::vec_box,
        reason = "they come boxed from the control side and go back boxed: the worker neither makes nor frees them"
    )]
    pub(crate) playouts: Vec<Box<PlayoutEnd>>,
    /// One of them is heard. Looked at once per interval, so that a packet is judged alike all the way it takes.
    pub(super) playout_sounds: bool,
    /// When one was heard last.
    pub(super) playout_us: Option<u64>,
    pub(crate) route: Route,
    #[allow(
        clippy::vec_box,
        reason = "taps come boxed from the control side and go back boxed: the worker neither makes nor frees them"
    )]
    pub(crate) taps: Vec<Box<Tap>>,
    pub(crate) read_level: Level,
    pub(crate) write_level: Level,
    /// Silence is sent while there is nothing else: 0, or what noise in it is divided by.
    pub(crate) silence: Option<u32>,
    pub(super) noise: u32,
    pub(crate) held: bool,
    pub(crate) watch: Option<Watching>,
    pub(super) said_codec: Codec,
    pub(crate) protection: Protection,
    /// That of RTCP, where a handshake of its own protects its port.
    pub(crate) rtcp_protection: Option<Protection>,
    /// Where what is no media goes; `None` = it is dropped.
    pub(crate) side: Option<Box<SideInput>>,
    /// The state of `params.codec`, where it has one.
    pub(crate) coder: Coder,
    /// Makes up lost packets for those who need samples.
    pub(super) conceal: Option<Box<Concealer>>,
    pub(crate) jitter: Option<Box<JitterBuffer>>,
    /// Samples due from the jitter buffer, and the length of its packets.
    pub(super) jitter_due: usize,
    pub(super) jitter_len: usize,
    pub(crate) converter: Option<Box<Converter>>,
    pub(crate) converter_asked: bool,
    /// Converts what a mixer of another rate sends to this leg.
    pub(crate) mix_converter: Option<Box<Converter>>,
    /// The conference side of a member.
    pub(crate) member: Option<Box<Member>>,
    /// Its video in a room.
    pub(crate) picture: Option<Box<Picture>>,
    /// The layers of its far end, with simulcast; and what it knows by transport-wide feedback.
    pub(super) layers: Option<Box<Layers>>,
    pub(super) congestion: Option<Box<Congestion>>,
    /// What is wished of it before it is there.
    pub(super) early: Early,
    /// Number and timestamp of the last packet of another's that it was sent.
    pub(super) passed: Option<(u16, u32)>,
    /// What makes this leg a mixer.
    pub(crate) room: Option<Box<Room>>,
    /// Audio waiting to fill a packet when the source's packets are of another length.
    pub(super) repack: Option<Box<Fifo>>,
    pub(crate) tick_at: Option<u64>,
    /// When a peer's audio (or an echo) was sent on last.
    pub(super) peer_us: u64,
    /// Sequence number and source of what leaves the jitter buffer.
    pub(crate) jitter_seq: u16,
    pub(crate) jitter_ssrc: u32,
    /// SSRC of the last packet passed on as it came; 0 = none yet.
    pub(super) heard_ssrc: u32,
    /// Where the audio ends that taps heard last: its source and timestamp.
    pub(super) tapped_until: Option<(u32, u32)>,
    pub(crate) next_rtcp_us: u64,
    pub(crate) rtcp_sent_packets: u64,
    pub(crate) payload_octets: u64,
    /// Bugs that work on this leg has brought out.
    pub(super) bugs: u32,
}

impl LegState {
    pub(crate) fn new(
        shared: Arc<LegShared>,
        transport: Transport,
        events: EventSender,
        params: RtpParams,
        start: (u16, u32),
    ) -> Box<Self> {
        let active = !matches!(transport, Transport::Rtp(_));
        let (ssrc, codec) = (shared.ssrc, params.codec);
        Box::new(Self {
            shared,
            transport,
            events,
            pending: VecDeque::new(),
            params: Box::new(params),
            active,
            path: Path::Fixed(Latch::new(None, true, None)),
            rtcp_remote: None,
            out: OutStream::new(ssrc, start.0, start.1),
            arrival: Arrival::default(),
            heard_first: false,
            last_rtp_us: 0,
            timeout_told: false,
            digits_in: Receiver::default(),
            digits_out: send::Sender::default(),
            tone_keys: None,
            said_keys: None,
            inband: None,
            main: None,
            suspended: Vec::new(),
            over: None,
            said: None,
            playouts: Vec::with_capacity(MAX_PLAYOUTS),
            playout_sounds: false,
            playout_us: None,
            route: Route::Nowhere,
            taps: Vec::with_capacity(MAX_TAPS),
            read_level: Level::default(),
            write_level: Level::default(),
            silence: None,
            noise: 1,
            held: false,
            watch: None,
            said_codec: codec,
            protection: Protection::None,
            rtcp_protection: None,
            side: None,
            coder: Coder::default(),
            conceal: None,
            jitter: None,
            jitter_due: 0,
            jitter_len: 0,
            converter: None,
            converter_asked: false,
            mix_converter: None,
            member: None,
            picture: None,
            layers: None,
            congestion: None,
            early: Early::default(),
            passed: None,
            room: None,
            repack: None,
            tick_at: None,
            peer_us: 0,
            jitter_seq: 0,
            jitter_ssrc: 0,
            heard_ssrc: 0,
            tapped_until: None,
            next_rtcp_us: 0,
            rtcp_sent_packets: 0,
            payload_octets: 0,
            bugs: 0,
        })
    }

    pub(crate) fn codec(&self) -> Codec {
        self.params.codec
    }

    pub(crate) fn frame(&self) -> usize {
        self.codec().frame_samples(self.params.ptime)
    }

    /// RTP timestamp units per second.
    pub(crate) fn clock(&self) -> u32 {
        self.codec().clock()
    }

    /// RTP timestamp units in that many samples.
    pub(super) fn ticks(&self, samples: usize) -> usize {
        self.codec().ticks(samples)
    }

    /// Samples in a packet just received, which lies in `packet`.
    pub(super) fn samples_in(&self, header: &Header, packet: &[u8]) -> usize {
        self.said_codec.samples_in(packet.get(header.payload.clone()).unwrap_or_default())
    }

    /// Decodes a payload just received.
    #[inline]
    pub(super) fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        match &mut self.coder.decoder {
            Some(decoder) => decoder.decode(payload, out),
            None => self.said_codec.decode(payload, out),
        }
    }

    /// Encodes a frame to send.
    #[inline]
    pub(super) fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        match &mut self.coder.encoder {
            Some(encoder) => encoder.encode(pcm, out),
            None => self.params.codec.encode(pcm, out),
        }
    }

    /// Makes up a lost packet; `next` is the payload after it where it is there already.
    pub(super) fn make_up(&mut self, frame: &mut [i16], next: Option<&[u8]>) {
        if self.coder.decoder.as_mut().is_some_and(|decoder| decoder.conceal(frame, next)) {
            return;
        }
        match &mut self.conceal {
            Some(conceal) => conceal.conceal(frame),
            None => frame.fill(0),
        }
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
        // What the far end can send without end must not pile up: digits nobody has taken are lost at last.
        let expendable = matches!(
            event,
            LegEvent::RemoteLatched(_) | LegEvent::FirstPacket | LegEvent::Digit { .. }
        );
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
    pub(crate) fn begin_play(&mut self, mut play: Playing, how: PlayHow, ctx: &Ctx) {
        play.alone = how == PlayHow::Alone;
        match how {
            PlayHow::Over => {
                self.end_play(true, PlayEnd::Replaced, ctx);
                self.over = Some(play);
            }
            PlayHow::Said | PlayHow::SaidOver => {
                self.end_said(PlayEnd::Replaced, ctx);
                self.said = Some((play, how == PlayHow::SaidOver));
            }
            PlayHow::Within | PlayHow::Alone if self.suspended.len() < MAX_SUSPENDED => {
                self.suspended.extend(self.main.replace(play));
            }
            PlayHow::Instead | PlayHow::Within | PlayHow::Alone => {
                if let Some(old) = self.main.replace(play) {
                    self.tell_play_end(old, PlayEnd::Replaced, ctx);
                }
            }
        }
    }

    /// Is what the leg says kept from its peer while something plays?
    pub(crate) fn is_apart(&self) -> bool {
        self.main.iter().chain(&self.suspended).any(|play| play.alone)
    }

    /// The play of that name, wherever it is.
    pub(crate) fn play(&mut self, id: PlayId) -> Option<&mut Playing> {
        let said = self.said.iter_mut().map(|(play, _)| play);
        let all = self.main.iter_mut().chain(&mut self.over).chain(&mut self.suspended).chain(said);
        all.into_iter().find(|p| p.id == id)
    }

    /// Ends the play of that name.
    pub(crate) fn stop_play(&mut self, id: PlayId, ctx: &Ctx) {
        if self.main.as_ref().is_some_and(|p| p.id == id) {
            self.end_play(false, PlayEnd::Stopped, ctx);
        } else if self.over.as_ref().is_some_and(|p| p.id == id) {
            self.end_play(true, PlayEnd::Stopped, ctx);
        } else if self.said.as_ref().is_some_and(|(play, _)| play.id == id) {
            self.end_said(PlayEnd::Stopped, ctx);
        } else if let Some(index) = self.suspended.iter().position(|p| p.id == id) {
            let play = self.suspended.remove(index);
            self.tell_play_end(play, PlayEnd::Stopped, ctx);
        }
    }

    pub(super) fn end_said(&mut self, reason: PlayEnd, ctx: &Ctx) {
        if let Some((play, _)) = self.said.take() {
            self.tell_play_end(play, reason, ctx);
        }
    }

    /// Puts what is played as the leg's own speech in the place of its samples, or on top of them.
    /// True when that was its end: it is told once the packet has gone its way.
    pub(super) fn displace_said(&mut self, samples: usize, ctx: &mut Ctx) -> bool {
        let rate = self.codec().rate();
        let Some((play, mixed)) = &mut self.said else { return false };
        let Some(frame) = ctx.wide.get_mut(..samples) else { return false };
        let goes_on = play.fill(frame, rate);
        for (own, other) in ctx.pcm.iter_mut().zip(frame) {
            *own = if *mixed { own.saturating_add(*other) } else { *other };
        }
        !goes_on
    }

    /// Ends everything that plays: the leg is closed.
    pub(crate) fn end_plays(&mut self, ctx: &Ctx) {
        self.end_said(PlayEnd::Closed, ctx);
        self.end_play(true, PlayEnd::Closed, ctx);
        while self.main.is_some() {
            self.end_play(false, PlayEnd::Closed, ctx);
        }
    }

    // === receiving ===

    /// Takes the protection off a packet; returns its length. `None` for one that is not genuine: it changes nothing.
    #[inline]
    pub(crate) fn unprotect(&mut self, kind: Kind, packet: &mut [u8]) -> Option<usize> {
        let plain = self.protection_of(kind).open(kind, packet);
        if plain.is_none() {
            self.shared.stats.in_unauthentic.add(1);
        }
        plain
    }

    #[inline]
    pub(super) fn protection_of(&mut self, kind: Kind) -> &mut Protection {
        match (kind, &mut self.rtcp_protection) {
            (Kind::Rtcp, Some(own)) => own,
            _ => &mut self.protection,
        }
    }

    /// Leaves what is no media to the control side.
    #[cold]
    pub(crate) fn pass_aside(&mut self, packet: &[u8], from: Option<SocketAddr>, rtcp: bool) {
        if let (Some(side), Some(from)) = (&mut self.side, from) {
            let known = if rtcp { self.rtcp_remote } else { self.path.remote() };
            side.offer(packet, from, known == Some(from), rtcp);
        }
    }

    /// Is that packet the peer's, on a leg that passes packets on as they are? Statistics and address as in
    /// [`LegState::accept`].
    pub(super) fn takes_raw(&mut self, rtcp: bool, len: usize, from: SocketAddr, now: Now) -> bool {
        if rtcp {
            // Only the host that sends the media may speak for it.
            let is_peer = self.path.remote().is_some_and(|peer| peer.ip() == from.ip());
            self.rtcp_remote = if is_peer { Some(from) } else { self.rtcp_remote };
            return self.active && is_peer;
        }
        match self.path.judge(from, now.ms(), false) {
            _ if !self.active => return false,
            Verdict::Accept => {}
            Verdict::Moved => self.tell(LegEvent::RemoteLatched(from)),
            Verdict::Refuse | Verdict::StillThere => return false,
        }
        self.shared.stats.in_packets.add(1);
        self.shared.stats.in_raw_bytes.add(len as u64);
        self.last_rtp_us = now.us;
        self.timeout_told = false;
        true
    }

    /// Takes a packet from the network: statistics, source address, payload type.
    pub(crate) fn accept(&mut self, packet: &[u8], from: Option<SocketAddr>, now: Now) -> Heard {
        let Some(header) = Header::parse(packet) else { return Heard::Nothing };
        if !self.active {
            return Heard::Nothing;
        }
        if let Some(from) = from {
            match self.path.judge(from, now.ms(), self.protection.proves()) {
                Verdict::Accept => {}
                Verdict::Moved => self.tell(LegEvent::RemoteLatched(from)),
                Verdict::Refuse => return Heard::Nothing,
                Verdict::StillThere => {
                    self.tell(LegEvent::RemoteLatched(from));
                    return Heard::Nothing;
                }
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
        let rate = self.clock();
        if self.is_telephone_event(header.pt) {
            stats.in_dtmf.add(1);
            self.taps.iter_mut().for_each(|tap| tap.pressed());
            self.member.iter_mut().for_each(|member| member.pressed());
            self.pass_over(&header);
            let payload = packet.get(header.payload.clone()).unwrap_or_default();
            return match self.digits_in.feed(payload, header.timestamp, now.ms()) {
                Some((digit, units)) => Heard::Digit(digit, in_8k(units, self.params.te_clock)),
                None => Heard::Nothing,
            };
        }
        if Some(header.pt) == self.params.cn_pt {
            stats.in_cng.add(1);
            self.pass_over(&header);
            return Heard::Noise(header);
        }
        let Some(codec) = self.codec_of(header.pt).filter(|_| !header.payload.is_empty()) else {
            return Heard::Nothing;
        };
        self.said_codec = codec;
        stats.in_media_packets.add(1);
        stats.in_media_bytes.add(packet.len() as u64);
        let order = self.arrival.packet(&header, now.us, rate, stats);
        Heard::Audio(header, order)
    }

    /// A packet without audio has its place in the sequence: it is not lost.
    fn pass_over(&mut self, header: &Header) {
        self.arrival.other(header, &self.shared.stats);
        if let Some(buffer) = self.jitter.as_mut().filter(|_| self.jitter_ssrc == header.ssrc) {
            buffer.pass_over(header.seq);
        }
    }

    /// Digits come under the number we described; some peers use their own, or one of ours for another clock.
    fn is_telephone_event(&self, pt: u8) -> bool {
        let params = &self.params;
        let pt = Some(pt);
        let also = pt == params.te_send || pt == params.te_other;
        pt == params.te_recv || also && pt != Some(params.recv_pt)
    }

    /// What a packet of this payload type holds: what was agreed, or the other half of G.711, which
    /// some gateways change to in mid-call without a word.
    fn codec_of(&self, pt: u8) -> Option<Codec> {
        let agreed = self.codec();
        if pt == self.params.recv_pt {
            return Some(agreed);
        }
        let other = Codec::by_static_pt(pt)?;
        let g711 = |codec: Codec| matches!(codec.coding(), Coding::Ulaw | Coding::Alaw);
        (g711(agreed) && g711(other)).then_some(other)
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

    // === time ===

    pub(crate) fn needs_ticks(&self) -> bool {
        self.active
            && (self.main.is_some()
                || self.over.is_some()
                || !self.playouts.is_empty()
                || self.silence.is_some()
                || self.pressing_anything()
                || self.watch.is_some()
                || self.jitter.is_some()
                || self.room.as_ref().is_some_and(|r| !r.is_empty())
                || !self.taps.is_empty())
    }

    /// Looks whether a program's audio is to be heard in this interval.
    pub(super) fn look_at_playouts(&mut self, now: Now) {
        self.playout_sounds = false;
        for playout in &mut self.playouts {
            // Each is looked at: one that sounds does not speak for the others.
            self.playout_sounds |= playout.look();
        }
        if self.playout_sounds {
            self.playout_us = Some(now.us);
        } else if self.playout_us.is_some_and(|at| now.us.saturating_sub(at) > AFTER_PLAYOUT_US) {
            self.playout_us = None;
        }
    }

    /// Adds what programs say to `pcm`, and turns down everything else meanwhile.
    pub(super) fn mix_playouts(&mut self, pcm: &mut [i16]) {
        let rate = self.codec().rate();
        let percent = self.playouts.iter().map(|p| if p.sounds() { p.duck() } else { 100 }).min();
        if let Some(percent @ 0..100) = percent {
            Level { percent, muted: false }.apply(pcm);
        }
        for playout in &mut self.playouts {
            playout.mix(pcm, rate);
        }
    }

    /// Presses a key towards the peer, as an event or as a tone.
    pub(crate) fn press(&mut self, step: DigitStep) {
        match &mut self.tone_keys {
            Some(keys) => keys.push(step),
            None => self.digits_out.push(step),
        }
    }

    /// Whether digits are being sent, or wait to be.
    pub(super) fn pressing_anything(&self) -> bool {
        self.digits_out.busy() || self.tone_keys.as_ref().is_some_and(|keys| keys.busy())
    }

    /// Whether a digit takes the place of audio right now.
    pub(super) fn is_pressing(&self) -> bool {
        self.digits_out.pressing() || self.tone_keys.as_ref().is_some_and(|keys| keys.busy())
    }

    /// Whether tones or a play stand in the place of what the leg says.
    pub(super) fn is_displaced(&self) -> bool {
        self.said.is_some() || self.said_keys.as_ref().is_some_and(|keys| keys.busy())
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

/// Timestamp units of a clock as 8 kHz units.
pub(super) fn in_8k(units: u32, rate: u32) -> u32 {
    (u64::from(units) * 8000 / u64::from(rate.max(1))) as u32
}
