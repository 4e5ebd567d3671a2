//! Conferences: a leg that mixes. Every interval it adds up what its members said, takes each
//! member's own voice out again, and gives the rest to them.
//!
//! Members that said nothing all hear the same: that packet is encoded once per codec.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::leg::{LegState, Route};
use super::{Ctx, Worker};
use crate::codec::Codec;
use crate::event::{LegEvent, PlayEnd, TalkReport};
use crate::io::MediaIo;
use crate::leg::{AutoGain, LegId, MemberOptions};
use crate::record::redact::{HeldMix, Side};
use crate::record::tap::{Fifo, score};
use crate::shared::LegShared;
use crate::source::noise;

/// Intervals a member counts as talking after the last loud one (half a second of 20 ms).
const HANGOVER: u8 = 25;
/// Codecs whose common packet is kept; members of further ones are encoded one by one.
const CACHED: usize = 4;
/// Octets of the largest common packet: 60 ms of L16 at 48 kHz.
const PAYLOAD: usize = 5760;

/// The mixing part of a mixer's leg.
#[derive(Debug, Default)]
pub(crate) struct Room {
    members: Vec<Arc<LegShared>>,
    /// Legs whose video is in the room.
    viewers: Vec<Arc<LegShared>>,
    /// What each member said this interval, one after the other, and whether it counts.
    said: Vec<i16>,
    spoke: Vec<bool>,
    sum: Vec<i32>,
    common: Vec<Common>,
    /// Pairs that are not heard: speaker, listener.
    separated: Vec<(LegId, LegId)>,
    /// The mix of a member that does not hear all others.
    own: Vec<i32>,
    /// Noise in intervals in which nothing is heard: the divisor of white noise, 0 for none, and the noise's state.
    noise: (u32, u32),
    /// For recordings, once a member redacts.
    held: Option<HeldMix>,
}

/// What all members that were silent hear, in one codec.
#[derive(Debug)]
struct Common {
    codec: Codec,
    payload: Vec<u8>,
    len: usize,
}

/// The conference side of a member's leg.
#[derive(Debug)]
pub(crate) struct Member {
    options: MemberOptions,
    /// Audio received and not yet mixed, at the mixer's rate.
    voice: Fifo,
    rate: u32,
    talking: bool,
    hang: u8,
    talk: TalkReport,
    last_level: u32,
    max_hits: u32,
    /// Intervals of silence still to come because the voice was too loud.
    burst: u32,
    gain: Gain,
    /// Keeps pressed keys out of recordings.
    redact: Option<Box<Side>>,
}

/// The state of an [`AutoGain`].
#[derive(Debug, Default)]
struct Gain {
    /// Steps up or down.
    step: i32,
    sum: u64,
    count: u32,
    over: u32,
    under: u32,
}

/// Steps an automatic gain goes at most in either direction.
const GAIN_STEPS: i32 = 50;

impl Gain {
    /// Applies the gain to a loud interval and learns from it.
    fn feed(&mut self, frame: &mut [i16], wanted: &AutoGain) {
        if self.step != 0 {
            let percent = (100 + 3 * self.step).max(5);
            for sample in frame.iter_mut() {
                *sample = clamp(i32::from(*sample) * percent / 100);
            }
        }
        self.sum += u64::from(score(frame));
        self.count += 1;
        if self.count <= wanted.period {
            return;
        }
        let average = (self.sum / u64::from(self.count)) as u32;
        (self.sum, self.count) = (0, 0);
        let too_loud = average > wanted.level.saturating_add(wanted.margin);
        self.over = if too_loud { self.over + 1 } else { 0 };
        if average < wanted.low {
            self.under = wanted.patience + 1;
        } else if average.saturating_add(wanted.margin) < wanted.level {
            self.under += 1;
        } else {
            self.under = 0;
        }
        if self.over > wanted.patience {
            self.step = (self.step - 1).max(-GAIN_STEPS);
        } else if self.under > wanted.patience {
            self.step = (self.step + 1).min(GAIN_STEPS);
        }
    }
}

impl Member {
    pub(crate) fn new(options: MemberOptions, rate: u32) -> Self {
        let voice = Fifo::new(rate as usize / 1000 * 20 * 16);
        Self {
            options,
            voice,
            rate,
            talking: false,
            hang: 0,
            talk: TalkReport::default(),
            last_level: 0,
            max_hits: 0,
            burst: 0,
            gain: Gain::default(),
            redact: options.redact.map(|asked| Box::new(Side::new(asked, rate))),
        }
    }

    pub(crate) fn redacts(&self) -> bool {
        self.redact.is_some()
    }

    /// A key is pressed, which comes beside the audio.
    pub(crate) fn pressed(&mut self) {
        let waits = self.voice.len();
        if let Some(redact) = &mut self.redact {
            redact.pressed_behind(waits);
        }
    }

    /// Samples of the member's that wait to be mixed.
    pub(crate) fn waiting(&self) -> usize {
        self.voice.len()
    }

    pub(crate) fn set(&mut self, options: MemberOptions) {
        self.options = options;
    }

    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }

    pub(crate) fn hear(&mut self, pcm: &[i16]) {
        self.voice.push(pcm);
    }

    /// Takes this interval's voice. True when it goes into the mix; the second value tells when
    /// talking began or ended.
    fn pull(&mut self, frame: &mut [i16]) -> (bool, Option<LegEvent>) {
        self.voice.pull(frame);
        if self.options.muted && !self.options.watched {
            frame.fill(0);
        }
        let level = score(frame);
        let loud = level > self.options.energy_level;
        if let (true, Some(wanted)) = (loud, &self.options.auto_gain) {
            self.gain.feed(frame, wanted);
        }
        self.tame(frame, level);
        let told = self.follow(loud, level);
        self.last_level = level;
        if self.options.muted {
            frame.fill(0);
        }
        let counts = !self.options.muted
            && (self.talking
                || self.options.always
                || (self.options.energy_level == 0 && level > 0));
        (counts, told)
    }

    /// Keeps track of talking, and tells of its beginning and end.
    fn follow(&mut self, loud: bool, level: u32) -> Option<LegEvent> {
        let was = self.talking;
        if loud {
            self.hang = HANGOVER;
            self.talking = true;
        } else {
            self.hang = self.hang.saturating_sub(1);
            self.talking &= self.hang > 0;
        }
        match (was, self.talking) {
            (false, true) => {
                self.talk = TalkReport::default();
                Some(LegEvent::Talking { on: true, energy: level, report: None })
            }
            (true, false) => {
                self.talk.quiet = self.talk.quiet.saturating_sub(u32::from(HANGOVER) - 1);
                Some(LegEvent::Talking { on: false, energy: level, report: Some(self.talk) })
            }
            (true, true) => {
                self.talk.intervals += 1;
                if loud {
                    self.talk.loud += 1;
                    self.talk.level_sum += u64::from(level);
                    self.talk.change_sum += u64::from(level.abs_diff(self.last_level));
                } else {
                    self.talk.quiet += 1;
                }
                None
            }
            (false, false) => None,
        }
    }

    /// Silences a voice that was too loud too often, for a while.
    fn tame(&mut self, frame: &mut [i16], level: u32) {
        if self.options.max_level == 0 {
            return;
        }
        if level > self.options.max_level {
            self.max_hits += 1;
            if self.max_hits > self.options.max_hits {
                self.burst = self.options.burst_mute;
            }
        }
        if self.burst > 0 {
            self.burst -= 1;
            frame.fill(0);
            if self.burst == 0 {
                self.max_hits = 0;
            }
        }
    }
}

impl Room {
    pub(crate) fn add(&mut self, member: Arc<LegShared>, frame: usize, redact: Option<u32>) {
        self.remove(&member);
        if let Some(rate) = redact {
            self.held.get_or_insert_with(HeldMix::default).begin(rate);
        }
        self.members.push(member);
        let n = self.members.len();
        self.said.resize(n * frame, 0);
        self.spoke.resize(n, false);
        self.sum.resize(frame, 0);
        self.own.resize(frame, 0);
        if self.common.is_empty() {
            let empty = || Common { codec: Codec::PCMU, payload: vec![0; PAYLOAD], len: 0 };
            self.common.extend(std::iter::repeat_with(empty).take(CACHED));
        }
    }

    pub(crate) fn remove(&mut self, member: &LegShared) {
        self.members.retain(|m| m.id != member.id);
        self.viewers.retain(|m| m.id != member.id);
    }

    pub(crate) fn add_viewer(&mut self, leg: Arc<LegShared>) {
        self.remove(&leg);
        self.viewers.push(leg);
    }

    /// Sets which members do not hear which; returns what was set before.
    pub(crate) fn separate(&mut self, pairs: Vec<(LegId, LegId)>) -> Vec<(LegId, LegId)> {
        std::mem::replace(&mut self.separated, pairs)
    }

    /// What is heard while nothing is: white noise divided by `divisor`, or silence (0).
    pub(crate) fn set_noise(&mut self, divisor: u32) {
        self.noise.0 = divisor;
    }

    /// Fills an interval in which no member spoke with noise, if the room has any.
    fn fill_silence(&mut self, frame: usize, out: &mut [i16]) {
        let (divisor, state) = &mut self.noise;
        let Some(out) = out.get_mut(..frame).filter(|_| *divisor > 0) else { return };
        noise(out, *divisor, state);
        for (sum, sample) in self.sum.iter_mut().zip(out.iter()) {
            *sum = i32::from(*sample);
        }
    }

    /// Whether a member that speaks now is not to be heard by the one at `index`.
    fn is_kept_from(&self, index: usize) -> bool {
        let Some(listener) = self.members.get(index).map(|m| m.id) else { return false };
        self.separated.iter().any(|(_, hearer)| *hearer == listener)
    }

    /// Takes out of `sum` what the member at `index` is not to hear.
    fn keep_from(&self, index: usize, frame: usize, sum: &mut [i32]) {
        let Some(listener) = self.members.get(index).map(|m| m.id) else { return };
        for (speaker, member) in self.members.iter().enumerate() {
            let kept = self.separated.contains(&(member.id, listener));
            if speaker == index || !kept || !self.spoke[speaker] {
                continue;
            }
            for (sum, said) in sum.iter_mut().zip(&self.said[speaker * frame..]) {
                *sum -= i32::from(*said);
            }
        }
    }

    /// Samples by which recordings are behind the mix.
    pub(crate) fn held_back(&self) -> usize {
        self.held.as_ref().map_or(0, HeldMix::held_back)
    }

    pub(crate) fn members(&self) -> &[Arc<LegShared>] {
        &self.members
    }

    pub(crate) fn viewers(&self) -> &[Arc<LegShared>] {
        &self.viewers
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<I: MediaIo> Worker<I> {
    /// Audio a member said (`ctx.pcm[..n]`), on its way to the mixer.
    pub(super) fn feed_mixer(&mut self, leg: &mut LegState, n: usize) {
        let Some(rate) = leg.member.as_ref().map(|m| m.rate()) else { return };
        let n = if leg.codec().rate() == rate { n } else { leg.resample(n, rate, &mut self.ctx) };
        if let Some(member) = &mut leg.member {
            member.hear(&self.ctx.pcm[..n]);
        }
    }

    /// One interval of a mixer.
    pub(super) fn mix(&mut self, mixer: &mut LegState) {
        let Some(mut room) = mixer.room.take() else { return };
        // The room outlives a bug that mixing brings out; the mixer's guard counts it.
        let mixed = catch_unwind(AssertUnwindSafe(|| self.mix_into(mixer, &mut room)));
        mixer.room = Some(room);
        if let Err(bug) = mixed {
            resume_unwind(bug);
        }
    }

    fn mix_into(&mut self, mixer: &mut LegState, room: &mut Room) {
        self.fail_if_asked();
        let frame = mixer.frame();
        self.gather(room, frame);
        let played = self.add_play(mixer, room, frame);
        if !played && !room.spoke.iter().take(room.members.len()).any(|spoke| *spoke) {
            room.fill_silence(frame, &mut self.ctx.pcm);
        }
        for common in &mut room.common {
            common.len = 0;
        }
        for index in 0..room.members.len() {
            let Some(slot) = room.members.get(index).and_then(|m| self.find(m)) else { continue };
            let Some(leg) = self.take(slot) else { continue };
            self.with_leg(slot, leg, |worker, leg| {
                if leg.hears_mix() {
                    hand_out(leg, room, index, frame, mixer.codec(), &mut worker.ctx);
                }
            });
        }
    }

    /// Adds up what all members said.
    fn gather(&mut self, room: &mut Room, frame: usize) {
        room.sum.clear();
        room.sum.resize(frame, 0);
        room.said.resize(room.members.len() * frame, 0);
        for (index, member) in room.members.iter().enumerate() {
            let said = &mut room.said[index * frame..(index + 1) * frame];
            room.spoke[index] = false;
            let Some(Some(leg)) = self.find(member).and_then(|s| self.legs.get_mut(s as usize))
            else {
                continue;
            };
            let Some(state) = &mut leg.member else { continue };
            let (counts, changed) = state.pull(said);
            room.spoke[index] = counts;
            if counts {
                for (sum, sample) in room.sum.iter_mut().zip(said.iter()) {
                    *sum += i32::from(*sample);
                }
            }
            if let (Some(redact), Some(held)) = (&mut state.redact, &mut room.held) {
                let Some(own) = self.ctx.pcm.get_mut(..frame) else { continue };
                if counts {
                    own.copy_from_slice(said)
                } else {
                    own.fill(0)
                }
                redact.withhold(own);
                held.withhold(own);
            }
            if let Some(event) = changed {
                leg.tell(event);
            }
        }
    }

    /// The mixer's own play is heard by all members; its recordings hear the whole mix. True if something played.
    fn add_play(&mut self, mixer: &mut LegState, room: &mut Room, frame: usize) -> bool {
        let mut played = false;
        let rate = mixer.codec().rate();
        let ctx = &mut self.ctx;
        for over in [false, true] {
            let play = if over { &mut mixer.over } else { &mut mixer.main };
            let Some(play) = play else { continue };
            played = true;
            let more = play.fill(&mut ctx.pcm[..frame], rate);
            for (sum, sample) in room.sum.iter_mut().zip(ctx.pcm.iter()) {
                *sum += i32::from(*sample);
            }
            if !more {
                mixer.end_play(over, PlayEnd::Finished, ctx);
            }
        }
        // What is held back goes on without a recording, too: one that begins has nothing old in it.
        match &mut room.held {
            Some(held) => held.pass(&room.sum, &mut ctx.pcm),
            None if mixer.taps.is_empty() => return played,
            None => clip(&room.sum, &mut ctx.pcm),
        }
        if !mixer.taps.is_empty() {
            mixer.taps.iter_mut().for_each(|t| t.said(&ctx.pcm[..frame]));
        }
        played
    }
}

/// Gives one member its mix.
fn hand_out(
    leg: &mut LegState,
    room: &mut Room,
    index: usize,
    frame: usize,
    codec: Codec,
    ctx: &mut Ctx,
) {
    let plain = leg.codec().rate() == codec.rate() && leg.frame() == frame && leg.hears_plainly();
    let spoke = room.spoke.get(index).copied().unwrap_or(false);
    if room.is_kept_from(index) {
        room.own.clear();
        room.own.extend_from_slice(&room.sum);
        if spoke {
            for (sum, own) in room.own.iter_mut().zip(&room.said[index * frame..]) {
                *sum -= i32::from(*own);
            }
        }
        let mut own = std::mem::take(&mut room.own);
        room.keep_from(index, frame, &mut own);
        clip(&own, &mut ctx.pcm);
        room.own = own;
    } else if spoke {
        let own = &room.said[index * frame..(index + 1) * frame];
        for ((out, sum), own) in ctx.pcm.iter_mut().zip(&room.sum).zip(own) {
            *out = clamp(*sum - i32::from(*own));
        }
    } else if let (true, Some(common)) = (plain, common(room, leg.codec(), ctx)) {
        return leg.say_encoded(&common.payload[..common.len], frame, ctx);
    } else {
        clip(&room.sum, &mut ctx.pcm);
    }
    if plain {
        leg.note_peer(ctx);
        leg.sampled_at(codec.rate());
        let stamp = leg.out.clocked(ctx.now.us, leg.clock(), leg.ticks(frame));
        leg.say(frame, stamp, ctx);
    } else {
        leg.say_converted(frame, codec.rate(), ctx);
    }
}

/// The packet of all members that said nothing, made when first asked for.
fn common<'a>(room: &'a mut Room, codec: Codec, ctx: &mut Ctx) -> Option<&'a Common> {
    if codec.has_state() {
        return None;
    }
    let index = room.common.iter().position(|c| c.len == 0 || c.codec == codec)?;
    let common = room.common.get_mut(index)?;
    if common.len == 0 {
        clip(&room.sum, &mut ctx.pcm);
        common.codec = codec;
        common.len = codec.encode(&ctx.pcm[..room.sum.len()], &mut common.payload);
    }
    room.common.get(index)
}

fn clip(sum: &[i32], out: &mut [i16]) {
    for (out, sum) in out.iter_mut().zip(sum) {
        *out = clamp(*sum);
    }
}

#[inline]
fn clamp(sample: i32) -> i16 {
    sample.clamp(-0x8000, 0x7fff) as i16
}

impl LegState {
    /// Whether the mix is heard now.
    fn hears_mix(&self) -> bool {
        let deaf = self.member.as_ref().is_none_or(|m| m.options.deaf);
        matches!(self.route, Route::Mix(_)) && !deaf && self.open_to_peer() && !self.is_pressing()
    }
}
