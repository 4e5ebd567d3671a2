//! The bit rate a source of a room is told to keep to: the lowest that its receivers estimate they can take (REMB).
//!
//! One receiver on a bad line does not take the picture from all: an estimate below [`LEAST_BITS`] limits no source, and a
//! receiver that is sent more than so little gets no discardable frames instead. A limit lasts as long as receivers repeat it, so that one that
//! leaves, recovers or is sent another source limits this one no longer.

/// Estimates below do not count, bits a second: enough for 360 lines at 15 frames a second.
pub(crate) const LEAST_BITS: u64 = 300_000;
/// What lifts a limit, bits a second: more than any source of a room sends.
const NO_LIMIT_BITS: u64 = 1 << 27;
/// Estimates of one window and the one before count. Receivers repeat theirs at least every second.
const WINDOW_US: u64 = 3_000_000;
const SECOND_US: u64 = 1_000_000;
/// A lower limit is told between two reports, but not more often than this.
const HURRY_US: u64 = 200_000;
/// Reports that say that there is no limit any more: one of them may be lost.
const LIFTS: u8 = 3;

/// What the receivers of one source can take.
#[derive(Debug, Default)]
pub(crate) struct Limit {
    /// Lowest estimates of this window and of the one before.
    lowest: [Option<u64>; 2],
    window_us: u64,
    /// Told last, and when.
    told: Option<u64>,
    told_us: u64,
    lifts: u8,
}

impl Limit {
    /// Takes a receiver's estimate of what it can take of this source, bits a second; less than [`LEAST_BITS`] is not taken.
    /// True when the source is to be told at once.
    pub(crate) fn estimate(&mut self, bits: u64, now_us: u64) -> bool {
        if bits < LEAST_BITS {
            return false;
        }
        self.turn(now_us);
        let bits = bits.min(NO_LIMIT_BITS);
        let [lowest, _] = &mut self.lowest;
        *lowest = Some(lowest.map_or(bits, |lowest| lowest.min(bits)));
        let due = self.told_us == 0 || now_us.saturating_sub(self.told_us) >= HURRY_US;
        // By less than a thirtieth: estimates waver.
        due && self.told.is_none_or(|told| bits < told - told / 30)
    }

    /// What the source is to be told now, bits a second, if anything.
    pub(crate) fn tell(&mut self, now_us: u64) -> Option<u64> {
        self.turn(now_us);
        let lowest = self.lowest.iter().flatten().min().copied();
        if lowest.is_some() {
            self.lifts = LIFTS;
        } else if self.lifts > 0 {
            self.lifts -= 1;
        } else {
            self.told = None;
            return None;
        }
        let bits = lowest.unwrap_or(NO_LIMIT_BITS);
        (self.told, self.told_us) = (Some(bits), now_us);
        Some(bits)
    }

    /// Forgets all estimates. True while the source has yet to be told so.
    pub(crate) fn end(&mut self) -> bool {
        self.lowest = [None; 2];
        self.lifts > 0
    }

    fn turn(&mut self, now_us: u64) {
        let windows = now_us.saturating_sub(self.window_us) / WINDOW_US;
        if windows > 0 {
            let [this, _] = self.lowest;
            self.lowest = [None, this.filter(|_| windows == 1)];
            self.window_us += windows * WINDOW_US;
        }
    }
}

/// What one receiver was sent in this second and the one before, by the engine's clock.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// This second's octets, and those of the one before.
    octets: [u64; 2],
    second: u64,
}

impl Rate {
    /// Counts a packet.
    pub(crate) fn sent(&mut self, octets: usize, now_us: u64) {
        self.turn(now_us);
        let [this, _] = &mut self.octets;
        *this += octets as u64;
    }

    /// Bits a second.
    pub(crate) fn bits(&self, now_us: u64) -> u64 {
        let over_us = SECOND_US + now_us % SECOND_US;
        let octets: u64 = self.at(now_us / SECOND_US).iter().sum();
        octets.saturating_mul(8 * SECOND_US) / over_us
    }

    fn turn(&mut self, now_us: u64) {
        let second = now_us / SECOND_US;
        self.octets = self.at(second);
        self.second = second;
    }

    /// The octets as they count in that second.
    fn at(&self, second: u64) -> [u64; 2] {
        let [this, _] = self.octets;
        match second.saturating_sub(self.second) {
            0 => self.octets,
            1 => [0, this],
            _ => [0, 0],
        }
    }
}

/// What a receiver can take of one of the streams its estimate of `bits` covers: as much as that stream has of what it was
/// sent of all of them. `total` is the sum of the `streams`' rates; while that is 0 all are alike.
pub(crate) fn share(bits: u64, rate: u64, (total, streams): (u64, u64)) -> u64 {
    if total == 0 {
        return bits / streams.max(1);
    }
    let own = u128::from(bits) * u128::from(rate) / u128::from(total);
    u64::try_from(own).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn the_lowest_estimate_is_told_unless_it_is_worth_no_picture() {
        let mut limit = Limit::default();
        assert_eq!(limit.tell(SECOND), None, "no receiver has an estimate");
        assert!(limit.estimate(2_000_000, SECOND));
        assert_eq!(limit.tell(SECOND), Some(2_000_000));
        assert!(!limit.estimate(900_000, SECOND + 1000), "it was told a moment ago");
        assert!(!limit.estimate(1_990_000, 2 * SECOND), "that is nearly the same");
        assert!(limit.estimate(900_000, 2 * SECOND));
        assert_eq!(limit.tell(2 * SECOND), Some(900_000));
        for little in [0, 30_000, LEAST_BITS - 1] {
            assert!(!limit.estimate(little, 3 * SECOND));
        }
        assert_eq!(limit.tell(3 * SECOND), Some(900_000));
        let mut other = Limit::default();
        assert!(!other.estimate(0, SECOND));
        assert_eq!(other.tell(SECOND), None, "no sender is limited by it");
    }

    #[test]
    fn streams_of_one_estimate_count_as_they_are_sent() {
        let (mut large, mut small) = (Rate::default(), Rate::default());
        for ms in 0..3000 {
            large.sent(125, ms * 1000);
            small.sent(if ms % 10 == 0 { 62 } else { 0 }, ms * 1000);
        }
        let rates = [large.bits(3 * SECOND), small.bits(3 * SECOND)];
        assert_eq!(rates, [1_000_000, 49_600]);
        let total = rates[0] + rates[1];
        let own = rates.map(|rate| share(total * 3 / 2, rate, (total, 2)));
        assert_eq!(own, [1_500_000, 74_400]);
        assert_eq!(large.bits(4 * SECOND + SECOND / 2), 0, "two seconds ago");
        assert_eq!(share(900_000, 0, (0, 3)), 300_000, "before anything is sent");
        assert_eq!(share(u64::MAX, 1, (1, 1)), u64::MAX);
        assert_eq!(share(7, 0, (0, 0)), 7);
    }

    #[test]
    fn a_limit_that_is_not_repeated_ends_and_the_source_is_told_so() {
        let mut limit = Limit::default();
        limit.estimate(500_000, SECOND);
        let mut told = Vec::new();
        for second in 1..16 {
            limit.estimate(4_000_000, second * SECOND);
            told.push(limit.tell(second * SECOND).unwrap());
        }
        assert_eq!(told[..4], [500_000; 4]);
        assert_eq!(told[5..], [4_000_000; 10], "the other receiver alone counts");
        let after: Vec<_> = (22..30).map(|second| limit.tell(second * SECOND)).collect();
        assert_eq!(after[..3], [Some(NO_LIMIT_BITS); 3]);
        assert_eq!(after[3..], [None; 5]);
        assert!(limit.estimate(700_000, 40 * SECOND));
    }
}
