//! Simulcast (RFC 8853): one camera, encoded several times in different sizes, each encoding a stream of its own. Which SSRC is
//! which encoding is learnt from a header extension (RFC 8852); each receiver is sent one of them.
//!
//! Everything here is bounded by [`MAX_LAYERS`]: a far end that names others, or sends with ever new SSRCs, takes no more room.

use super::limit::Rate;
use super::sent::Asked;
use crate::rtcp::ReportBlock;
use crate::rtp::Header;
use crate::stats::arrival::Arrival;
use crate::stats::cell::StatsCell;

/// Layers of one line that are taken: as many as browsers send, and with one more as many as SRTP keeps counters of.
pub const MAX_LAYERS: usize = 3;
/// RTP clock of video.
const CLOCK: u32 = 90_000;
/// A layer that was not heard for so long has stopped. Browsers send a screen that does not change once a second.
const SILENT_US: u64 = 2_500_000;
/// Rates of layers heard for so long are compared; two are the wrong way round after so long in doubt.
const KNOWN_US: u64 = 2_000_000;
const DOUBT_US: u64 = 1_000_000;
/// One that came steadily has stopped sooner, when another is heard still.
const STOPPED_US: u64 = 700_000;
const HEARD_US: u64 = 200_000;
/// Steadily: with no more than so much between two packets, on average.
const STEADY_US: u64 = 100_000;
/// Another SSRC may take the place of a layer that was not heard for so long.
const REPLACED_AFTER_US: u64 = 200_000;
/// Qualities are worked out again, and receivers look at them, as often as this.
const LOOK_US: u64 = 100_000;
/// A receiver is tried with the next higher layer when it has been content with its own for so long; doubled with each try
/// that fails, up to the longest.
const TRY_US: u64 = 5_000_000;
const LONGEST_TRY_US: u64 = 80_000_000;
/// A way down so soon after a trial means that the try has failed.
const FAILED_WITHIN_US: u64 = 10_000_000;
/// A trial of a layer lasts so long from its first picture: an estimate, at most half as much again as was sent before, has to
/// catch up with what is sent now.
const TRIAL_US: u64 = 6_000_000;
/// It goes on while the estimate has risen within the one, but no longer than the other.
const RISING_US: u64 = 2_000_000;
const LONGEST_TRIAL_US: u64 = 30_000_000;

/// What was agreed of a line with simulcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulcast {
    /// The number of the header extension that names the layer (`urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`).
    pub extension: u8,
    /// The names of the layers, at most [`MAX_LAYERS`].
    pub rids: Vec<String>,
}

/// What is known of a layer that is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Quality {
    /// Bits a second.
    pub(crate) bits: u64,
    /// Pixels of a picture; 0 where its packets do not say.
    pub(crate) pixels: u32,
    /// Its place among all layers, the smallest first.
    pub(crate) rank: usize,
}

/// The layers of a source; `None` for one that is not sent now.
pub(crate) type Offered = [Option<Quality>; MAX_LAYERS];

/// The layers of a far end.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    all: [Layer; MAX_LAYERS],
    order: Order,
    offered: Offered,
    looked_us: u64,
    /// The one that is passed on in a bridge.
    bridged: Option<usize>,
}

/// Which layers are smaller, kept: rates waver, and each change costs all receivers a key frame.
#[derive(Debug)]
struct Order {
    /// The smallest first. The first that is named is taken for the largest until it is known better.
    layers: [usize; MAX_LAYERS],
    /// Two that seem to be the wrong way round, and since when, by the place of the first.
    doubts: [Option<(usize, usize, u64)>; MAX_LAYERS],
}

impl Default for Order {
    fn default() -> Self {
        let layers = std::array::from_fn(|n| MAX_LAYERS - 1 - n);
        Self { layers, doubts: [None; MAX_LAYERS] }
    }
}

impl Order {
    fn rank(&self, n: usize) -> usize {
        self.layers.iter().position(|other| *other == n).unwrap_or_default()
    }

    /// Compares each two neighbours that are sent; `known` are those heard long enough for their rates to say something.
    fn look(&mut self, offered: &Offered, known: [bool; MAX_LAYERS], now_us: u64) {
        let quality = |n: usize| offered.get(n).copied().flatten();
        let is_known = |n: usize| known.get(n).copied().unwrap_or_default();
        let mut before: Option<(usize, usize, Quality)> = None;
        for place in 0..MAX_LAYERS {
            let Some(&n) = self.layers.get(place) else { return };
            let Some(larger) = quality(n) else { continue };
            let Some((at, other, smaller)) = before.replace((place, n, larger)) else { continue };
            let sized = smaller.pixels > 0 && larger.pixels > 0 && smaller.pixels != larger.pixels;
            let Some(doubt) = self.doubts.get_mut(at) else { continue };
            let wrong = if sized {
                smaller.pixels > larger.pixels
            } else {
                is_known(other) && is_known(n) && smaller.bits > larger.bits.saturating_mul(2)
            };
            let since = doubt.filter(|(a, b, _)| (*a, *b) == (other, n)).map_or(now_us, |d| d.2);
            *doubt = wrong.then_some((other, n, since));
            if wrong && (sized || now_us.saturating_sub(since) >= DOUBT_US) {
                *doubt = None;
                self.layers.swap(at, place);
                before = Some((place, other, smaller));
            }
        }
    }
}

#[derive(Debug, Default)]
struct Layer {
    ssrc: Option<u32>,
    heard_us: u64,
    since_us: u64,
    /// Between two of its packets, smoothed.
    gap_us: u64,
    rate: Rate,
    pixels: u32,
    arrival: Arrival,
    asked: Asked,
}

impl Layers {
    /// The layer of a packet by its SSRC, or the name it bears; `None` for one that belongs to none.
    pub(crate) fn of(
        &mut self,
        (ssrc, name): (u32, Option<&[u8]>),
        rids: &[String],
        now_us: u64,
    ) -> Option<usize> {
        let known = self.all.iter().position(|layer| layer.ssrc == Some(ssrc));
        let named = name
            .and_then(|name| rids.iter().take(MAX_LAYERS).position(|rid| rid.as_bytes() == name));
        // What was learnt stays: browsers name a layer only until a report has acknowledged its SSRC.
        let n = known.or(named)?;
        let layer = self.all.get_mut(n)?;
        if layer.ssrc != Some(ssrc) {
            if layer.ssrc.is_some() && now_us.saturating_sub(layer.heard_us) < REPLACED_AFTER_US {
                return None;
            }
            *layer =
                Layer { ssrc: Some(ssrc), gap_us: SILENT_US, since_us: now_us, ..Layer::default() };
        } else {
            let gap = now_us.saturating_sub(layer.heard_us).min(SILENT_US);
            layer.gap_us = (layer.gap_us * 7 + gap) / 8;
            if gap >= STOPPED_US {
                layer.since_us = now_us;
            }
        }
        layer.heard_us = now_us;
        Some(n)
    }

    /// Counts a packet of a layer.
    pub(crate) fn count(
        &mut self,
        n: usize,
        header: &Header,
        len: usize,
        now_us: u64,
        stats: &StatsCell,
    ) {
        let Some(layer) = self.all.get_mut(n) else { return };
        layer.rate.sent(len, now_us);
        layer.arrival.packet(header, now_us, CLOCK, stats);
    }

    /// Notes how large the pictures of a layer are.
    pub(crate) fn sized(&mut self, n: usize, pixels: u32) {
        if let Some(layer) = self.all.get_mut(n) {
            layer.pixels = pixels;
        }
    }

    /// What is sent now.
    pub(crate) fn offered(&mut self, now_us: u64) -> Offered {
        if self.looked_us == 0 || now_us.saturating_sub(self.looked_us) >= LOOK_US {
            self.looked_us = now_us;
            let heard = self.all.iter().filter(|layer| layer.ssrc.is_some());
            let last = heard.map(|layer| layer.heard_us).max().unwrap_or(0);
            let others = now_us.saturating_sub(last) < HEARD_US;
            for (offered, layer) in self.offered.iter_mut().zip(&self.all) {
                let steady = layer.gap_us <= STEADY_US;
                let longest = if others && steady { STOPPED_US } else { SILENT_US };
                let sent = layer.ssrc.is_some() && now_us.saturating_sub(layer.heard_us) < longest;
                let (bits, pixels) = (layer.rate.bits(now_us), layer.pixels);
                *offered = sent.then_some(Quality { bits, pixels, rank: 0 });
            }
            let known = |n: usize| self.all.get(n).map_or(0, |layer| layer.since_us);
            let known = std::array::from_fn(|n| now_us.saturating_sub(known(n)) >= KNOWN_US);
            self.order.look(&self.offered, known, now_us);
            for (n, quality) in self.offered.iter_mut().enumerate() {
                if let Some(quality) = quality {
                    quality.rank = self.order.rank(n);
                }
            }
        }
        self.offered
    }

    /// The SSRC of a layer.
    pub(crate) fn ssrc(&self, n: usize) -> Option<u32> {
        self.all.get(n)?.ssrc
    }

    /// What was asked for of the layer with that SSRC.
    pub(crate) fn asked(&mut self, ssrc: u32) -> Option<&mut Asked> {
        let mut layers = self.all.iter_mut();
        layers.find(|layer| layer.ssrc == Some(ssrc)).map(|layer| &mut layer.asked)
    }

    /// Notes a sender report of one of them.
    pub(crate) fn sender_report(&mut self, ssrc: u32, ntp: u64, now_us: u64) {
        if let Some(layer) = self.all.iter_mut().find(|layer| layer.ssrc == Some(ssrc)) {
            layer.arrival.sender_report(ntp, now_us);
        }
    }

    /// The reception reports due now, one for each layer heard.
    pub(crate) fn reports(&mut self, now_us: u64) -> [Option<ReportBlock>; MAX_LAYERS] {
        let mut layers = self.all.iter_mut();
        std::array::from_fn(|_| layers.next().and_then(|layer| layer.arrival.report(now_us)))
    }

    /// Publishes the figures of the largest layer that is sent.
    pub(crate) fn publish(&mut self, now_us: u64, stats: &StatsCell) {
        let largest = ranked(&self.offered(now_us)).largest();
        if let Some(layer) = largest.and_then(|n| self.all.get(n)) {
            layer.arrival.publish(CLOCK, stats);
        }
    }

    /// Whether packets of this layer are passed on where one stream is all there may be: those of the largest, as long as it
    /// is sent.
    pub(crate) fn is_bridged(&mut self, n: usize, now_us: u64) -> bool {
        let offered = self.offered(now_us);
        let sent = |n: usize| offered.get(n).is_some_and(Option::is_some);
        if !self.bridged.is_some_and(sent) {
            self.bridged = ranked(&offered).largest().or(Some(n));
        }
        self.bridged == Some(n)
    }
}

/// The layers that are sent, the smallest first.
#[derive(Clone, Copy, Debug)]
struct Ranked {
    order: [usize; MAX_LAYERS],
    len: usize,
}

impl Ranked {
    fn largest(&self) -> Option<usize> {
        self.at(self.len.checked_sub(1)?)
    }

    fn at(&self, place: usize) -> Option<usize> {
        self.order.get(..self.len)?.get(place).copied()
    }

    fn place(&self, n: usize) -> Option<usize> {
        self.order.iter().take(self.len).position(|other| *other == n)
    }
}

/// In the order that is kept.
fn ranked(offered: &Offered) -> Ranked {
    let mut ranked = Ranked { order: [0; MAX_LAYERS], len: 0 };
    let sent = || offered.iter().enumerate().filter_map(|(n, quality)| Some((n, (*quality)?)));
    for ((n, _), place) in sent().zip(&mut ranked.order) {
        *place = n;
        ranked.len += 1;
    }
    let key = |n: &usize| offered.get(*n).copied().flatten().map_or(0, |quality| quality.rank);
    if let Some(order) = ranked.order.get_mut(..ranked.len) {
        order.sort_by_key(key);
    }
    ranked
}

/// What a receiver wants, and what reaches it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Receiver {
    /// It shows the picture small.
    pub(crate) small: bool,
    /// It never takes more, bits a second, by its description.
    pub(crate) most: Option<u64>,
    /// It estimates that it can take so much of this stream, bits a second.
    pub(crate) estimate: Option<u64>,
    /// It is sent so much, bits a second; 0 where that is not known.
    pub(crate) sent: u64,
    /// It is yet to be sent the first picture of the layer chosen for it.
    pub(crate) waits: bool,
}

/// A try with the next layer up that has yet to prove itself.
#[derive(Clone, Copy, Debug)]
struct Trial {
    /// The first picture of the layer was sent.
    since_us: Option<u64>,
    /// The estimate it began with.
    first: Option<u64>,
    /// The highest estimate since, and when it was reached.
    best: u64,
    best_us: u64,
}

impl Trial {
    fn new(estimate: Option<u64>, now_us: u64) -> Self {
        Self { since_us: None, first: estimate, best: estimate.unwrap_or(0), best_us: now_us }
    }

    /// Notes how the receiver is now; true while the trial lasts.
    fn lasts(&mut self, receiver: &Receiver, now_us: u64) -> bool {
        if receiver.waits && self.since_us.is_none() {
            return true;
        }
        let since = *self.since_us.get_or_insert(now_us);
        // By a fiftieth: estimates waver.
        if let Some(estimate) = receiver.estimate.filter(|now| *now > self.best + self.best / 50) {
            (self.best, self.best_us) = (estimate, now_us);
        }
        let over = now_us.saturating_sub(since);
        let rising = now_us.saturating_sub(self.best_us) < RISING_US;
        over < TRIAL_US || rising && over < LONGEST_TRIAL_US
    }

    /// Whether the estimate has fallen clearly below the one it began with.
    fn fell(&self, estimate: Option<u64>) -> bool {
        let fell = |(first, now): (u64, u64)| now < first - first / 10;
        self.first.zip(estimate).is_some_and(fell)
    }
}

/// Chooses the layer for one receiver.
///
/// A receiver's estimate covers at most half as much again as it is sent, so that the estimate alone would never lead up: a
/// receiver that says it could take clearly more than it gets is tried with the next layer. During the trial it is loss, or an
/// estimate that falls, that leads down again. A try that fails is repeated later each time.
#[derive(Debug)]
pub(crate) struct Chooser {
    layer: Option<usize>,
    looked_us: u64,
    trial: Option<Trial>,
    /// When it was on trial last.
    tried_us: Option<u64>,
    /// Not up before.
    up_after_us: u64,
    wait_us: u64,
    lossy: bool,
}

impl Default for Chooser {
    fn default() -> Self {
        Self {
            layer: None,
            looked_us: 0,
            trial: None,
            tried_us: None,
            up_after_us: 0,
            wait_us: TRY_US,
            lossy: false,
        }
    }
}

impl Chooser {
    /// The layer chosen last.
    pub(crate) fn layer(&self) -> usize {
        self.layer.unwrap_or_default()
    }

    /// The same, once there is one.
    pub(crate) fn chosen(&self) -> Option<usize> {
        self.layer
    }

    /// Another source is to be shown: its layers are others.
    pub(crate) fn begin_anew(&mut self) {
        (self.layer, self.looked_us) = (None, 0);
        (self.trial, self.tried_us) = (None, None);
    }

    /// The receiver loses much of what it is sent.
    pub(crate) fn loses(&mut self) {
        self.lossy = true;
    }

    /// The layer to send.
    pub(crate) fn choose(&mut self, offered: &Offered, receiver: &Receiver, now_us: u64) -> usize {
        let gone = |n: usize| offered.get(n).is_none_or(Option::is_none);
        let due = self.looked_us == 0 || now_us.saturating_sub(self.looked_us) >= LOOK_US;
        if let Some(layer) = self.layer.filter(|layer| !due && !gone(*layer)) {
            return layer;
        }
        self.looked_us = now_us.max(1);
        let chosen = self.look(offered, receiver, now_us);
        self.lossy = false;
        if let Some(chosen) = chosen {
            self.layer = Some(chosen);
        }
        self.layer()
    }

    fn look(&mut self, offered: &Offered, receiver: &Receiver, now_us: u64) -> Option<usize> {
        let ranked = ranked(offered);
        let bits = |place: usize| {
            let quality = ranked.at(place).and_then(|n| offered.get(n).copied().flatten());
            quality.map_or(0, |quality| quality.bits)
        };
        let largest = ranked.len.checked_sub(1)?;
        if receiver.small {
            return ranked.at(0);
        }
        let allowed = |place: usize| receiver.most.is_none_or(|most| bits(place) <= most);
        let top = (0..=largest).rev().find(|place| allowed(*place)).unwrap_or(0);
        let fits =
            |estimate: u64| (0..=top).rev().find(|place| bits(*place) <= estimate).unwrap_or(0);
        let Some(place) = self.layer.and_then(|layer| ranked.place(layer)) else {
            // The first look, or the layer has stopped.
            self.trial = None;
            return ranked.at(receiver.estimate.map_or(top, fits));
        };
        if place > top {
            self.trial = None;
            return ranked.at(top);
        }
        let trial = self.trial.as_mut().filter(|_| place > 0);
        let on_trial = trial.is_some_and(|trial| trial.lasts(receiver, now_us));
        let fell = self.trial.is_some_and(|trial| trial.fell(receiver.estimate));
        if on_trial {
            self.tried_us = Some(now_us);
        } else {
            self.trial = None;
        }
        // A tenth less: estimates waver, and rates with what is filmed. What more than covers what is sent is enough, however
        // much the layer may have at times.
        let less = |estimate: &u64, than: u64| *estimate < than - than / 10;
        let short = receiver.estimate.filter(|estimate| {
            less(estimate, bits(place)) && (receiver.sent == 0 || less(estimate, receiver.sent))
        });
        let too_much = if on_trial { fell } else { short.is_some() };
        if place > 0 && (self.lossy || too_much) {
            self.trial = None;
            let failed = self.tried_us.take();
            let failed = failed.is_some_and(|at| now_us.saturating_sub(at) < FAILED_WITHIN_US);
            self.wait_us = if failed { (self.wait_us * 2).min(LONGEST_TRY_US) } else { TRY_US };
            self.up_after_us = now_us + self.wait_us;
            return ranked.at(short.map_or(place - 1, fits).min(place - 1));
        }
        if self.lossy {
            self.up_after_us = self.up_after_us.max(now_us + self.wait_us);
        }
        if place == top || on_trial || now_us < self.up_after_us {
            return ranked.at(place);
        }
        let next = bits(place + 1);
        let up = match receiver.estimate {
            None => true,
            Some(estimate) => {
                estimate >= next + next / 10 || estimate >= receiver.sent + receiver.sent * 3 / 10
            }
        };
        if !up {
            return ranked.at(place);
        }
        self.trial = Some(Trial::new(receiver.estimate, now_us));
        self.tried_us = Some(now_us);
        self.up_after_us = now_us + TRY_US;
        ranked.at(place + 1)
    }
}

#[cfg(test)]
mod tests;
