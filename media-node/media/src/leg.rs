//! The control handle of one leg.

use crate::codec::Codec;
use crate::dtmf::DigitStep;
use crate::error::LegError;
use crate::event::LevelWatch;
use crate::params::RtpParams;
use crate::record::RecordSpec;
use crate::source::PlayPlan;
use crate::stats::Stats;

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

/// One leg. Dropping the handle closes the leg, frees its ports and ends its bridge.
///
/// Every method posts a command and returns at once; commands of one handle are obeyed in order.
#[derive(Debug)]
pub struct Leg {
    id: LegId,
}

impl Leg {
    /// The leg's name.
    pub fn id(&self) -> LegId {
        self.id
    }

    /// Local RTP port; 0 for legs without a socket.
    pub fn rtp_port(&self) -> u16 {
        0
    }

    /// Local RTCP port, if one was bound.
    pub fn rtcp_port(&self) -> Option<u16> {
        None
    }

    /// SSRC the leg sends with.
    pub fn ssrc(&self) -> u32 {
        0
    }

    /// Codec in use.
    pub fn codec(&self) -> Codec {
        Codec::PCMU
    }

    /// Says what was negotiated, first or again.
    pub fn set_rtp(&self, params: RtpParams) -> Result<(), LegError> {
        let _ = params;
        Ok(())
    }

    /// Plays to the leg in place of whatever it hears. A play in progress is ended as
    /// [`crate::PlayEnd::Replaced`].
    pub fn play(&self, plan: Box<PlayPlan>) -> Result<PlayId, LegError> {
        let _ = plan;
        Ok(PlayId(0))
    }

    /// Plays on top of whatever the leg hears ("mux"); one at a time beside [`Leg::play`].
    pub fn play_over(&self, plan: Box<PlayPlan>) -> Result<PlayId, LegError> {
        let _ = plan;
        Ok(PlayId(0))
    }

    /// Pauses or continues a play; the leg hears silence meanwhile.
    pub fn pause_play(&self, id: PlayId, paused: bool) -> Result<(), LegError> {
        let _ = (id, paused);
        Ok(())
    }

    /// Moves a play to `position` samples from its start, or by that many when `relative`.
    pub fn seek_play(&self, id: PlayId, position: i64, relative: bool) -> Result<(), LegError> {
        let _ = (id, position, relative);
        Ok(())
    }

    /// Sets a play's volume, in percent of the original.
    pub fn play_volume(&self, id: PlayId, percent: u32) -> Result<(), LegError> {
        let _ = (id, percent);
        Ok(())
    }

    /// Ends a play, if it is still going on.
    pub fn stop_play(&self, id: PlayId) -> Result<(), LegError> {
        let _ = id;
        Ok(())
    }

    /// Starts a recording. The file is opened by the engine's file thread:
    /// [`crate::LegEvent::RecordStarted`] or a failed [`crate::LegEvent::RecordDone`] follows.
    pub fn record(&self, spec: RecordSpec) -> Result<RecordId, LegError> {
        let _ = spec;
        Ok(RecordId(0))
    }

    /// Ends a recording.
    pub fn stop_record(&self, id: RecordId) -> Result<(), LegError> {
        let _ = id;
        Ok(())
    }

    /// Leaves time out of a recording while paused.
    pub fn pause_record(&self, id: RecordId, paused: bool) -> Result<(), LegError> {
        let _ = (id, paused);
        Ok(())
    }

    /// Writes silence into a recording while masked.
    pub fn mask_record(&self, id: RecordId, masked: bool) -> Result<(), LegError> {
        let _ = (id, masked);
        Ok(())
    }

    /// Connects two legs of any kind: each hears what the other says. Ends earlier bridges of both.
    pub fn bridge(&self, other: &Self) -> Result<(), LegError> {
        self.bridge_with(other, BridgeOptions::default())
    }

    /// [`Leg::bridge`] with options.
    pub fn bridge_with(&self, other: &Self, options: BridgeOptions) -> Result<(), LegError> {
        let _ = (other, options);
        Ok(())
    }

    /// Ends the leg's bridge, on both sides.
    pub fn unbridge(&self) -> Result<(), LegError> {
        Ok(())
    }

    /// Sends the leg's own audio back to it.
    pub fn echo(&self, on: bool) -> Result<(), LegError> {
        let _ = on;
        Ok(())
    }

    /// [`Leg::echo`] after `delay_ms` (at most ten seconds).
    pub fn delayed_echo(&self, delay_ms: u32) -> Result<(), LegError> {
        let _ = delay_ms;
        Ok(())
    }

    /// Marks the leg as held: the hold timeout applies.
    pub fn hold(&self, on: bool) -> Result<(), LegError> {
        let _ = on;
        Ok(())
    }

    /// Replaces one side's audio with silence.
    pub fn mute(&self, side: Side, on: bool) -> Result<(), LegError> {
        let _ = (side, on);
        Ok(())
    }

    /// Sets one side's level, in percent (100 = unchanged).
    pub fn gain(&self, side: Side, percent: u32) -> Result<(), LegError> {
        let _ = (side, percent);
        Ok(())
    }

    /// Queues digits to send to the peer (RFC 4733).
    pub fn send_dtmf(&self, steps: Vec<DigitStep>) -> Result<(), LegError> {
        let _ = steps;
        Ok(())
    }

    /// Forgets queued digits.
    pub fn flush_dtmf(&self) -> Result<(), LegError> {
        Ok(())
    }

    /// Looks for digits in the audio received.
    pub fn detect_inband(&self, on: bool) -> Result<(), LegError> {
        let _ = on;
        Ok(())
    }

    /// Sends silence while nothing else is to be sent.
    pub fn silence(&self, on: bool) -> Result<(), LegError> {
        let _ = on;
        Ok(())
    }

    /// Watches the level of the audio received; one [`crate::LegEvent::Level`] answers. `None`
    /// ends a watch without an answer.
    pub fn watch_level(&self, watch: Option<LevelWatch>) -> Result<(), LegError> {
        let _ = watch;
        Ok(())
    }

    /// The leg's figures so far.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
