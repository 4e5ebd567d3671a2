//! The control handle of one leg.

mod exchange;
mod pictures;
pub(crate) mod playout;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use exchange::{Speech, Voice};
pub use playout::Playout;

use crate::codec::Codec;
use crate::conceal::Concealer;
use crate::dtmf::DigitStep;
use crate::dtmf::inband::Detector;
use crate::engine::Inner;
use crate::error::LegError;
use crate::event::{EventSender, LevelWatch, RecordEnd};
use crate::params::{JitterSpec, ProtectionSpec, RtpParams};
use crate::ports::Sockets;
use crate::record::live::LiveAudio;
use crate::record::tap::Tap;
use crate::record::{RecordMix, RecordSpec, Redaction};
use crate::service::{Job, NewRecord};
use crate::shared::{LegShared, NewRtp, Op, PlayControl, PlayHow, RecordControl, post};
use crate::side_channel::SideChannel;
use crate::source::PlayPlan;
use crate::srtp::Srtp;
use crate::stats::Stats;
use crate::worker::mix::Member;
use crate::worker::playing::DelayLine;

/// Names a leg for as long as the engine runs; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub(crate) u64);

/// Names one play of one leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlayId(pub(crate) u64);

/// Names one recording of one leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub(crate) u64);

/// Which side of a leg a gain or mute applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What the leg says (received from it).
    Read,
    /// What the leg hears (sent to it).
    Write,
}

/// How two legs are bridged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BridgeOptions {
    /// Digits received on one leg are sent on to the other by the engine. They are reported as
    /// events either way; switch this off to decide about each digit outside.
    pub forward_dtmf: bool,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self { forward_dtmf: true }
    }
}

/// One leg hearing another live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    tap: RecordId,
    play: PlayId,
}

/// How a leg takes part in a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemberOptions {
    /// Is not heard.
    pub muted: bool,
    /// Hears nothing.
    pub deaf: bool,
    /// Level (mean absolute sample) from which the member counts as talking; quieter audio is left
    /// out of the mix, except at 0.
    pub energy_level: u32,
    /// Talking is told although the member is muted.
    pub watched: bool,
    /// Quiet audio is in the mix whatever the energy level.
    pub always: bool,
    /// Level that is too loud; 0 = none is.
    pub max_level: u32,
    /// Intervals above `max_level` that are let pass.
    pub max_hits: u32,
    /// Intervals of silence after one more.
    pub burst_mute: u32,
    /// Gain that follows the voice.
    pub auto_gain: Option<AutoGain>,
    /// Keys the member presses are silence in recordings of the conference. What it is when the member joins holds.
    pub redact: Option<Redaction>,
}

/// A gain that brings a member's voice to a level, in steps of a thirtieth of its present loudness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoGain {
    /// The level aimed at, as the mean absolute sample.
    pub level: u32,
    /// A voice below this is raised without waiting.
    pub low: u32,
    /// Difference from the level that is let pass.
    pub margin: u32,
    /// Periods in a row outside the margin before the gain changes.
    pub patience: u32,
    /// Intervals of talking in a period.
    pub period: u32,
}

/// One leg. Dropping the handle closes the leg, frees its ports and ends its bridge.
///
/// Every method posts a command and returns at once; commands of one handle are executed in order.
///
/// # Errors
/// Methods that post fail with [`LegError::QueueFull`] when the worker is hopelessly behind; the
/// command was not taken then.
pub struct Leg {
    shared: Arc<LegShared>,
    engine: Arc<Inner>,
    events: EventSender,
    rtp_port: u16,
    rtcp_port: Option<u16>,
    sockets: Option<Arc<Sockets>>,
    next_id: AtomicU64,
}

impl fmt::Debug for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leg").field("id", &self.shared.id).field("port", &self.rtp_port).finish()
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        self.engine.close(&self.shared);
    }
}

#[expect(clippy::missing_errors_doc, reason = "said once, at the type")]
impl Leg {
    pub(crate) fn new(
        shared: Arc<LegShared>,
        engine: Arc<Inner>,
        events: EventSender,
        sockets: Option<Arc<Sockets>>,
    ) -> Self {
        let rtp_port = sockets.as_ref().map_or(0, |s| s.rtp.port());
        let rtcp_port = sockets.as_ref().and_then(|s| s.rtcp.as_ref()).map(|s| s.port());
        let next_id = AtomicU64::new(1);
        Self { shared, engine, events, rtp_port, rtcp_port, sockets, next_id }
    }

    fn post(&self, op: Op) -> Result<(), LegError> {
        post(self.engine.mailboxes(), &self.shared, op)
    }

    fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The leg's name.
    pub fn id(&self) -> LegId {
        self.shared.id
    }

    /// Local RTP port; 0 for legs without a socket.
    pub fn rtp_port(&self) -> u16 {
        self.rtp_port
    }

    /// Local RTCP port, if one was bound.
    pub fn rtcp_port(&self) -> Option<u16> {
        self.rtcp_port
    }

    /// SSRC the leg sends with unless [`RtpParams::ssrc`] says otherwise.
    pub fn ssrc(&self) -> u32 {
        self.shared.ssrc
    }

    /// Codec in use.
    pub fn codec(&self) -> Codec {
        self.shared.codec()
    }

    /// Says what was negotiated, first or again. Packet lengths the codec
    /// cannot have are brought to the nearest it can.
    pub fn set_rtp(&self, mut params: RtpParams) -> Result<(), LegError> {
        params.ptime = params.codec.packet_time(params.ptime);
        self.shared.set_codec(params.codec);
        let coder = params.codec.coder(params.fmtp.as_deref());
        let protection = match &params.protection {
            ProtectionSpec::Keys(keys) => Some(Box::new(Srtp::new(keys.clone()))),
            ProtectionSpec::None | ProtectionSpec::Handshake => None,
        };
        let jitter = params.jitter.map(|spec| spec.buffer(params.codec, params.ptime));
        let conceal = Some(Box::new(Concealer::new(params.codec.rate())));
        let layers = params.simulcast.is_some().then(Box::default);
        let congestion = params.transport_cc.is_some().then(Box::default);
        self.post(Op::SetRtp(Box::new(NewRtp {
            layers,
            congestion,
            params: Box::new(params),
            jitter,
            conceal,
            coder,
            protection,
        })))
    }

    /// Takes what comes to the leg's port and is no media, and answers it. A second one takes the place of the first.
    /// `None` for a leg without a socket.
    pub fn side_channel(&self) -> Result<Option<SideChannel>, LegError> {
        let Some(sockets) = &self.sockets else { return Ok(None) };
        let (shared, engine) = (Arc::clone(&self.shared), Arc::clone(&self.engine));
        let (side, input) = SideChannel::new(Arc::clone(sockets), shared, engine);
        self.post(Op::SideChannel(input))?;
        Ok(Some(side))
    }

    /// Plays to the leg in place of whatever it hears. A play in progress is ended as
    /// [`crate::PlayEnd::Replaced`].
    pub fn play(&self, plan: Box<PlayPlan>) -> Result<PlayId, LegError> {
        self.play_at(plan, PlayHow::Instead)
    }

    /// Plays within a play in progress, which goes on where it was when this one has ended.
    pub fn play_within(&self, plan: Box<PlayPlan>) -> Result<PlayId, LegError> {
        self.play_at(plan, PlayHow::Within)
    }

    /// As [`Leg::play_within`]; a bridged peer hears nothing of the leg meanwhile, and gets none of its digits.
    pub fn play_alone(&self, plan: Box<PlayPlan>) -> Result<PlayId, LegError> {
        self.play_at(plan, PlayHow::Alone)
    }

    /// Plays on top of whatever the leg hears ("mux"); one at a time beside [`Leg::play`].
    pub fn play_over(&self, plan: Box<PlayPlan>) -> Result<PlayId, LegError> {
        self.play_at(plan, PlayHow::Over)
    }

    /// Plays in the place of what the leg says, or with `mixed` on top of it: to its peer, room, echo and recordings, one at
    /// a time, with every packet that comes from the leg.
    pub fn play_said(&self, plan: Box<PlayPlan>, mixed: bool) -> Result<PlayId, LegError> {
        self.play_at(plan, if mixed { PlayHow::SaidOver } else { PlayHow::Said })
    }

    fn play_at(&self, plan: Box<PlayPlan>, how: PlayHow) -> Result<PlayId, LegError> {
        let id = PlayId(self.new_id());
        self.post(Op::Play { id, plan, how })?;
        Ok(id)
    }

    /// Pauses or continues a play; the leg hears silence meanwhile.
    pub fn pause_play(&self, id: PlayId, paused: bool) -> Result<(), LegError> {
        self.post(Op::PlayControl { id, control: PlayControl::Pause(paused) })
    }

    /// Moves a play to `position` samples from its start, or by that many when `relative`.
    pub fn seek_play(&self, id: PlayId, position: i64, relative: bool) -> Result<(), LegError> {
        self.post(Op::PlayControl { id, control: PlayControl::Seek { position, relative } })
    }

    /// Sets a play's volume, in percent of the original.
    pub fn play_volume(&self, id: PlayId, percent: u32) -> Result<(), LegError> {
        self.post(Op::PlayControl { id, control: PlayControl::Volume(percent) })
    }

    /// Plays slower (-2, -1) or faster (1, 2) than it was recorded; 0 = as it was. The pitch changes with it.
    pub fn play_speed(&self, id: PlayId, speed: i8) -> Result<(), LegError> {
        self.post(Op::PlayControl { id, control: PlayControl::Speed(speed) })
    }

    /// Ends a play, if it is still going on.
    pub fn stop_play(&self, id: PlayId) -> Result<(), LegError> {
        self.post(Op::PlayControl { id, control: PlayControl::Stop })
    }

    /// Starts a recording. The file is opened by the engine's file thread:
    /// [`crate::LegEvent::RecordStarted`] or a failed [`crate::LegEvent::RecordDone`] follows.
    pub fn record(&self, spec: RecordSpec) -> Result<RecordId, LegError> {
        let id = RecordId(self.new_id());
        let rate = self.codec().rate();
        let (tap, ring, end) = Tap::new(id, &spec, rate);
        self.post(Op::Record(tap))?;
        let events = self.events.clone();
        let new = NewRecord { id, spec, rate, ring, end: Arc::clone(&end), events };
        if !self.engine.leave_job(Job::Record(Box::new(new))) {
            end.finish(&RecordEnd::Stopped);
            return Err(LegError::QueueFull);
        }
        Ok(id)
    }

    /// Ends a recording.
    pub fn stop_record(&self, id: RecordId) -> Result<(), LegError> {
        self.post(Op::RecordControl { id, control: RecordControl::Stop })
    }

    /// Leaves time out of a recording while paused.
    pub fn pause_record(&self, id: RecordId, paused: bool) -> Result<(), LegError> {
        self.post(Op::RecordControl { id, control: RecordControl::Pause(paused) })
    }

    /// Writes silence into a recording while masked.
    pub fn mask_record(&self, id: RecordId, masked: bool) -> Result<(), LegError> {
        self.post(Op::RecordControl { id, control: RecordControl::Mask(masked) })
    }

    /// Silences a piece of the leg's recordings that was written already, between so many milliseconds ago: of what the
    /// leg says, or with `heard` of what it hears. Only recordings that keep pressed keys out ([`RecordSpec::redact`]) do,
    /// and those of a conference the leg has joined with [`MemberOptions::redact`].
    pub fn silence_recorded(&self, from_ms: u32, to_ms: u32, heard: bool) -> Result<(), LegError> {
        self.post(Op::Redact { from_ms, to_ms, heard })
    }

    /// Connects two legs of any kind: each hears what the other says. Ends earlier bridges of both.
    pub fn bridge(&self, other: &Self) -> Result<(), LegError> {
        self.bridge_with(other, BridgeOptions::default())
    }

    /// [`Leg::bridge`] with options.
    pub fn bridge_with(&self, other: &Self, options: BridgeOptions) -> Result<(), LegError> {
        self.post(Op::Bridge { peer: Arc::clone(&other.shared), options })
    }

    /// Hears another leg live, on top of what it hears anyway or in place of it. Undone with
    /// [`Leg::stop_listening`].
    pub fn listen_to(
        &self,
        other: &Self,
        mix: RecordMix,
        over: bool,
    ) -> Result<Listening, LegError> {
        let tap = RecordId(other.new_id());
        let rate = other.codec().rate();
        let mut spec = RecordSpec::new("");
        // A live stream has one channel.
        spec.mix = if mix.channels() == 1 { mix } else { RecordMix::Mono };
        let (new, ring, _end) = Tap::new(tap, &spec, rate);
        other.post(Op::Record(new))?;
        let plan = Box::new(PlayPlan::live(rate, ring));
        let play = if over { self.play_over(plan) } else { self.play_within(plan) };
        match play {
            Ok(play) => Ok(Listening { tap, play }),
            Err(error) => {
                let _over = other.stop_record(tap);
                Err(error)
            }
        }
    }

    /// The leg's audio for a program that answers it: what is said comes as it arrives, without the delay that evens out
    /// packets; nothing is left out or made up while they come. Both sides are apart with `both`, a sample of each in
    /// turn, said first. Undone with [`Leg::end_tap`].
    pub fn listen(&self, both: bool) -> Result<LiveAudio, LegError> {
        self.listen_redacted(both, None)
    }

    /// [`Leg::listen`] without pressed keys, where `redact` says so: all of it comes 60 ms later then.
    pub fn listen_redacted(
        &self,
        both: bool,
        redact: Option<Redaction>,
    ) -> Result<LiveAudio, LegError> {
        let id = RecordId(self.new_id());
        let rate = self.codec().rate();
        let (tap, ring) = Tap::live(id, both, redact, rate);
        self.post(Op::Record(tap))?;
        Ok(LiveAudio::new(id, ring, rate))
    }

    /// [`Leg::listen`] with packets of the leg's codec as they came, besides. A leg that is muted shows none.
    pub fn listen_as_is(&self, both: bool) -> Result<LiveAudio, LegError> {
        let id = RecordId(self.new_id());
        let rate = self.codec().rate();
        let (tap, ring) = Tap::live(id, both, None, rate);
        let (tap, frames) = tap.with_frames();
        self.post(Op::Record(tap))?;
        Ok(LiveAudio::new(id, ring, rate).with_frames(frames))
    }

    /// The leg's audio as it passes, for observers outside the engine. Undone with [`Leg::end_tap`].
    pub fn tap(&self, mix: RecordMix) -> Result<LiveAudio, LegError> {
        let id = RecordId(self.new_id());
        let rate = self.codec().rate();
        let mut spec = RecordSpec::new("");
        spec.mix = if mix.channels() == 1 { mix } else { RecordMix::Mono };
        let (tap, ring, _end) = Tap::new(id, &spec, rate);
        self.post(Op::Record(tap))?;
        Ok(LiveAudio::new(id, ring, rate))
    }

    /// Ends what [`Leg::tap`] began.
    pub fn end_tap(&self, audio: &LiveAudio) -> Result<(), LegError> {
        self.stop_record(audio.id)
    }

    /// Ends what [`Leg::listen_to`] began with the same two legs.
    pub fn stop_listening(&self, other: &Self, listening: Listening) -> Result<(), LegError> {
        self.stop_play(listening.play)?;
        other.stop_record(listening.tap)
    }

    /// Joins the conference of a mixer ([`crate::Engine::open_mixer`]): the leg hears the others and
    /// they hear it. Ends an earlier bridge or conference; [`Leg::unbridge`] leaves.
    pub fn join(&self, mixer: &Self, options: MemberOptions) -> Result<(), LegError> {
        let member = Box::new(Member::new(options, mixer.codec().rate()));
        self.post(Op::Join { mixer: Arc::clone(&mixer.shared), member })
    }

    /// Which members of this mixer do not hear which: pairs of speaker and listener.
    pub fn separate(&self, pairs: Vec<(LegId, LegId)>) -> Result<(), LegError> {
        self.post(Op::Separate(pairs))
    }

    /// What members of this mixer hear while no member speaks and nothing plays: white noise of full scale divided by `divisor`, 0 for
    /// silence.
    pub fn set_noise(&self, divisor: u32) -> Result<(), LegError> {
        self.post(Op::Noise(divisor))
    }

    /// Changes how the leg takes part in its conference.
    pub fn set_member(&self, options: MemberOptions) -> Result<(), LegError> {
        self.post(Op::Member(options))
    }

    /// Ends the leg's bridge, on both sides, or leaves its conference.
    pub fn unbridge(&self) -> Result<(), LegError> {
        self.post(Op::Unbridge)
    }

    /// Sends the leg's own audio back to it.
    pub fn echo(&self, on: bool) -> Result<(), LegError> {
        self.post(if on { Op::Echo(None) } else { Op::EchoOff })
    }

    /// [`Leg::echo`] after `delay_ms` (at most ten seconds).
    pub fn delayed_echo(&self, delay_ms: u32) -> Result<(), LegError> {
        let samples = self.codec().rate() as usize * delay_ms.min(10_000) as usize / 1000;
        self.post(Op::Echo(Some(Box::new(DelayLine::new(samples)))))
    }

    /// Marks the leg as held: the hold timeout applies.
    pub fn hold(&self, on: bool) -> Result<(), LegError> {
        self.post(Op::Hold(on))
    }

    /// Replaces one side's audio with silence.
    pub fn mute(&self, side: Side, on: bool) -> Result<(), LegError> {
        self.post(Op::Mute { side, on })
    }

    /// Sets one side's level, in percent (100 = unchanged).
    pub fn gain(&self, side: Side, percent: u32) -> Result<(), LegError> {
        self.post(Op::Gain { side, percent: percent.min(10_000) })
    }

    /// Queues digits to send to the peer (RFC 4733).
    pub fn send_dtmf(&self, steps: Vec<DigitStep>) -> Result<(), LegError> {
        self.post(Op::Digits(steps))
    }

    /// Forgets queued digits.
    pub fn flush_dtmf(&self) -> Result<(), LegError> {
        self.post(Op::FlushDigits)
    }

    /// Looks for digits in the audio received.
    pub fn detect_inband(&self, on: bool) -> Result<(), LegError> {
        let rate = self.codec().rate();
        self.post(Op::Inband(on.then(|| Box::new(Detector::new(rate)))))
    }

    /// Sends silence while nothing else is to be sent: `Some(0)`, or with noise in it, the quieter
    /// the larger the number. `None` = nothing is sent then.
    pub fn silence(&self, noise: Option<u32>) -> Result<(), LegError> {
        self.post(Op::Silence(noise))
    }

    /// Sends digits as tones in the audio instead of events.
    pub fn send_digits_as_tones(&self, on: bool) -> Result<(), LegError> {
        self.post(Op::ToneKeys(on.then(Box::default)))
    }

    /// Lets digits that come as events be tones in what the leg says: a bridged peer and recordings
    /// hear them, in place of the audio. They are still told, and not sent on as events.
    pub fn hear_digits_as_tones(&self, on: bool) -> Result<(), LegError> {
        self.post(Op::SaidKeys(on.then(Box::default)))
    }

    /// Changes the jitter buffer of what is received; `None` takes it away.
    pub fn set_jitter(&self, spec: Option<JitterSpec>) -> Result<(), LegError> {
        self.post(Op::Jitter(spec.map(|spec| spec.buffer(self.codec(), 20))))
    }

    /// Watches the level of the audio received; one [`crate::LegEvent::Level`] answers. `None` ends a
    /// watch without an answer.
    pub fn watch_level(&self, watch: Option<LevelWatch>) -> Result<(), LegError> {
        self.post(Op::Watch(watch))
    }

    /// The leg's figures so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats.snapshot()
    }
}
