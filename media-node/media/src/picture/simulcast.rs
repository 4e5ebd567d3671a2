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
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn rids() -> Vec<String> {
        ["h", "m", "l"].map(str::to_owned).to_vec()
    }

    fn sent(bits: [u64; MAX_LAYERS]) -> Offered {
        let mut rank = MAX_LAYERS;
        bits.map(|bits| {
            rank -= 1;
            (bits > 0).then_some(Quality { bits, pixels: 0, rank })
        })
    }

    /// In the order "h", "m", "l".
    const ALL: [u64; MAX_LAYERS] = [1_500_000, 500_000, 150_000];

    #[test]
    fn layers_are_learnt_by_name_and_known_by_ssrc() {
        let mut layers = Layers::default();
        let mut of = |ssrc, name: Option<&str>, ms: u64| {
            layers.of((ssrc, name.map(str::as_bytes)), &rids(), SECOND + ms * 1000)
        };
        assert_eq!(of(7, None, 0), None, "nothing is known of it");
        assert_eq!(of(7, Some("m"), 0), Some(1));
        assert_eq!(of(7, None, 10), Some(1), "named once, known from then on");
        assert_eq!(of(7, Some("h"), 20), Some(1), "what was learnt stays");
        assert_eq!(of(8, Some("h"), 30), Some(0));
        for forged in ["", "x", "hh", "H", "~h", &"h".repeat(255)] {
            assert_eq!(of(9, Some(forged), 40), None, "{forged}");
        }
        assert_eq!(of(9, Some("m"), 50), None, "the place is taken");
        assert_eq!(of(9, Some("m"), 219), None);
        assert_eq!(of(9, Some("m"), 221), Some(1), "its sender began anew");
        assert_eq!(of(7, None, 222), None);
    }

    #[test]
    fn hundreds_of_ssrcs_take_no_more_room_and_no_place_in_use() {
        let mut layers = Layers::default();
        for (n, rid) in ["h", "m", "l"].iter().enumerate() {
            assert_eq!(layers.of((n as u32, Some(rid.as_bytes())), &rids(), SECOND), Some(n));
        }
        for ssrc in 100..1000 {
            assert_eq!(layers.of((ssrc, Some(b"h")), &rids(), SECOND + 1), None);
            assert_eq!(layers.of((ssrc, None), &rids(), SECOND + 1), None);
        }
        assert_eq!([0, 1, 2].map(|n| layers.ssrc(n)), [Some(0), Some(1), Some(2)]);
        let many: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let mut layers = Layers::default();
        assert_eq!(layers.of((1, Some(b"49")), &many, SECOND), None, "more than are taken");
    }

    #[test]
    fn layers_keep_their_order_unless_they_clearly_differ() {
        let mut order = Order::default();
        let look = |order: &mut Order, bits: [u64; 3], pixels: [u32; 3], tenth: u64| {
            let mut offered = sent(bits);
            for (quality, pixels) in offered.iter_mut().zip(pixels) {
                if let Some(quality) = quality {
                    quality.pixels = pixels;
                }
            }
            order.look(&offered, [true; 3], SECOND + tenth * LOOK_US);
            order.layers
        };
        // A picture that stands still, and a moment's key frame.
        assert_eq!(look(&mut order, [90, 100, 80], [0; 3], 0), [2, 1, 0]);
        assert_eq!(look(&mut order, [100, 100, 900], [0; 3], 1), [2, 1, 0]);
        assert_eq!(look(&mut order, [100, 100, 100], [0; 3], 5), [2, 1, 0]);
        // A far end that names the smallest first.
        for tenth in 10..60 {
            look(&mut order, [100, 300, 900], [0; 3], tenth);
        }
        assert_eq!(order.layers, [0, 1, 2]);
        look(&mut order, [100, 300, 900], [3, 2, 1], 60);
        look(&mut order, [100, 300, 900], [3, 2, 1], 61);
        assert_eq!(order.layers, [2, 1, 0], "sizes have the say");
    }

    #[test]
    fn the_largest_goes_to_who_says_nothing_and_the_smallest_to_who_wants_it_small() {
        let large = Receiver::default();
        let small = Receiver { small: true, ..large };
        assert_eq!(Chooser::default().choose(&sent(ALL), &large, SECOND), 0);
        assert_eq!(Chooser::default().choose(&sent(ALL), &small, SECOND), 2);
        let narrow = Receiver { most: Some(600_000), ..large };
        assert_eq!(Chooser::default().choose(&sent(ALL), &narrow, SECOND), 1);
        let narrower = Receiver { most: Some(1), ..large };
        assert_eq!(Chooser::default().choose(&sent(ALL), &narrower, SECOND), 2, "there is no less");
        assert_eq!(Chooser::default().choose(&sent([0; 3]), &large, SECOND), 0, "nothing is sent");
    }

    #[test]
    fn a_receiver_gets_what_its_estimate_allows_and_goes_down_at_once() {
        let with = |estimate| Receiver { estimate: Some(estimate), ..Receiver::default() };
        let mut chooser = Chooser::default();
        assert_eq!(chooser.choose(&sent(ALL), &with(2_000_000), SECOND), 0);
        assert_eq!(chooser.choose(&sent(ALL), &with(200_000), SECOND + 1), 0, "not at each packet");
        assert_eq!(chooser.choose(&sent(ALL), &with(1_400_000), 2 * SECOND), 0, "nearly enough");
        assert_eq!(chooser.choose(&sent(ALL), &with(700_000), 3 * SECOND), 1);
        assert_eq!(chooser.choose(&sent(ALL), &with(10), 4 * SECOND), 2);
        assert_eq!(chooser.choose(&sent(ALL), &with(10), 5 * SECOND), 2, "there is no less");
        let mut far = Chooser::default();
        assert_eq!(far.choose(&sent(ALL), &with(160_000), SECOND), 2, "from the beginning");
    }

    #[test]
    fn a_receiver_that_could_take_more_is_tried_with_more_and_later_each_time_it_fails() {
        // As browsers estimate: half as much again as they get, less when more is sent than passes.
        let passes = 400_000;
        let mut chooser = Chooser::default();
        let mut ups = Vec::new();
        let mut layer = chooser.choose(
            &sent(ALL),
            &Receiver { estimate: Some(passes), ..Receiver::default() },
            SECOND,
        );
        for second in 2..240 {
            let sent_bits = ALL[layer];
            let estimate = Some((sent_bits * 3 / 2).min(passes));
            let receiver = Receiver { estimate, sent: sent_bits, ..Receiver::default() };
            let next = chooser.choose(&sent(ALL), &receiver, second * SECOND);
            if next < layer {
                ups.push(second);
            }
            layer = next;
        }
        assert!((4..=8).contains(&ups.len()), "{ups:?}");
        let waits: Vec<_> = ups.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.is_sorted(), "{waits:?}");

        // With a line that is wide again it ends on the largest.
        for second in 240..400 {
            let estimate = Some(ALL[layer] * 3 / 2);
            let receiver = Receiver { estimate, sent: ALL[layer], ..Receiver::default() };
            layer = chooser.choose(&sent(ALL), &receiver, second * SECOND);
        }
        assert_eq!(layer, 0);
    }

    /// Looks ten times a second at a receiver whose line passes that much, and which estimates as browsers do: half as much again
    /// as it got a second ago, by 8 % a second more at most. The layers it was sent, and since which tenth.
    fn over(passes: u64, tenths: usize) -> Vec<(usize, usize)> {
        let mut chooser = Chooser::default();
        let (mut estimate, mut got) = (200_000, vec![ALL[2]]);
        let mut layers: Vec<(usize, usize)> = Vec::new();
        for tenth in 0..tenths {
            let before = got[got.len().saturating_sub(10)];
            let grown = estimate + estimate * 8 / 1000;
            estimate = grown.min((before * 3 / 2).max(estimate)).min(passes);
            let layer = layers.last().map_or(2, |(layer, _)| *layer);
            let receiver =
                Receiver { estimate: Some(estimate), sent: ALL[layer], ..Receiver::default() };
            let now = SECOND + tenth as u64 * LOOK_US;
            let chosen = chooser.choose(&sent(ALL), &receiver, now);
            if layers.last().is_none_or(|(layer, _)| *layer != chosen) {
                layers.push((chosen, tenth));
            }
            got.push(ALL[chosen]);
        }
        layers
    }

    #[test]
    fn a_try_has_time_to_prove_itself() {
        let wide = over(10_000_000, 1200);
        assert_eq!(wide.iter().map(|(layer, _)| *layer).collect::<Vec<_>>(), [2, 1, 0], "{wide:?}");
        let narrow = over(400_000, 3000);
        let ups: Vec<_> = narrow.iter().filter(|(n, _)| *n == 1).map(|(_, at)| *at).collect();
        assert!((3..=8).contains(&ups.len()), "{narrow:?}");
        assert!(narrow.iter().all(|(layer, _)| *layer != 0), "{narrow:?}");
        let waits: Vec<_> = ups.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.is_sorted() && waits.first() < waits.last(), "{waits:?}");
    }

    #[test]
    fn a_trial_waits_for_the_first_picture_and_ends_with_a_falling_estimate() {
        let with = |estimate, waits| Receiver {
            estimate: Some(estimate),
            sent: ALL[2],
            waits,
            ..Receiver::default()
        };
        let mut chooser = Chooser::default();
        assert_eq!(chooser.choose(&sent(ALL), &with(225_000, false), SECOND), 2);
        assert_eq!(chooser.choose(&sent(ALL), &with(225_000, false), 2 * SECOND), 1);
        for second in 3..20 {
            let waiting = with(225_000, true);
            assert_eq!(chooser.choose(&sent(ALL), &waiting, second * SECOND), 1, "{second}");
        }
        let shown = with(225_000, false);
        assert_eq!(chooser.choose(&sent(ALL), &shown, 20 * SECOND), 1);
        assert_eq!(chooser.choose(&sent(ALL), &with(190_000, false), 21 * SECOND), 2, "it fell");
        assert_eq!(chooser.choose(&sent(ALL), &shown, 30 * SECOND), 2, "later than before");
        assert_eq!(chooser.choose(&sent(ALL), &shown, 32 * SECOND), 1);
    }

    #[test]
    fn heavy_loss_leads_down_and_a_layer_that_stops_is_replaced() {
        let receiver = Receiver::default();
        let mut chooser = Chooser::default();
        assert_eq!(chooser.choose(&sent(ALL), &receiver, SECOND), 0);
        chooser.loses();
        assert_eq!(chooser.choose(&sent(ALL), &receiver, 2 * SECOND), 1);
        assert_eq!(chooser.choose(&sent(ALL), &receiver, 3 * SECOND), 1, "not up again at once");
        assert_eq!(chooser.choose(&sent(ALL), &receiver, 8 * SECOND), 0);
        let [_, m, l] = ALL;
        assert_eq!(chooser.choose(&sent([0, m, l]), &receiver, 8 * SECOND + 1), 1, "at once");
        assert_eq!(chooser.choose(&sent([0, 0, l]), &receiver, 9 * SECOND), 2);
        assert_eq!(chooser.choose(&sent([0; 3]), &receiver, 10 * SECOND), 2, "it may come back");
        assert_eq!(chooser.choose(&sent(ALL), &receiver, 30 * SECOND), 1, "one at a time");
        chooser.begin_anew();
        assert_eq!(chooser.choose(&sent(ALL), &receiver, 30 * SECOND + 1), 0, "another source");
    }

    #[test]
    fn a_layer_is_offered_while_it_is_heard_and_one_alone_crosses_a_bridge() {
        let mut layers = Layers::default();
        let stats = StatsCell::default();
        let hear = |layers: &mut Layers, ssrc: u32, rid: &str, ms: u64| {
            let now = SECOND + ms * 1000;
            let n = layers.of((ssrc, Some(rid.as_bytes())), &rids(), now).unwrap();
            let header = Header {
                marker: false,
                pt: 96,
                seq: ms as u16,
                timestamp: 0,
                ssrc,
                payload: 12..20,
            };
            layers.count(n, &header, if rid == "h" { 1000 } else { 100 }, now, &stats);
            n
        };
        for ms in 0..2000 {
            hear(&mut layers, 1, "h", ms);
            hear(&mut layers, 2, "l", ms);
        }
        let offered = layers.offered(3 * SECOND);
        assert!(offered[0].unwrap().bits > 8 * offered[2].unwrap().bits && offered[1].is_none());
        assert!(layers.is_bridged(0, 3 * SECOND) && !layers.is_bridged(2, 3 * SECOND));
        assert_eq!(layers.reports(3 * SECOND).iter().flatten().count(), 2);
        for ms in 2000..2800 {
            hear(&mut layers, 2, "l", ms);
        }
        let offered = layers.offered(SECOND + 2_800_000);
        assert!(offered[0].is_none() && offered[2].is_some(), "it has stopped, beside another");
        for ms in 2800..6000 {
            hear(&mut layers, 2, "l", ms);
        }
        assert!(layers.offered(7 * SECOND)[0].is_none());
        assert!(layers.offered(8 * SECOND)[2].is_some(), "all is quiet: it may be a still screen");
        assert!(layers.is_bridged(2, 7 * SECOND), "it stands in for the one that has stopped");
    }
}
