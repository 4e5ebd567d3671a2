//! Packets sent last, kept to be sent again (RFC 4585 §6.2.1).

/// Packets kept: about a second of a video of a megabit.
const KEPT: usize = 128;
/// Octets of the longest packet kept; what is longer is not sent again.
const LONGEST: usize = 1500;
/// A packet is not sent again sooner than this: the first copy may be on its way.
const AGAIN_US: u64 = 20_000;

/// The packets themselves, in one piece made by the control side; the system gives its pages as they are first written.
#[derive(Debug)]
pub(crate) struct Sent {
    octets: Box<[u8]>,
    places: [Place; KEPT],
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    seq: u16,
    /// 0 = nothing is here.
    len: u16,
    sent_us: u64,
}

impl Sent {
    pub(crate) fn new() -> Self {
        Self { octets: vec![0; KEPT * LONGEST].into(), places: [Place::default(); KEPT] }
    }

    pub(crate) fn keep(&mut self, seq: u16, packet: &[u8], now_us: u64) {
        let at = usize::from(seq) % KEPT;
        let Some(place) = self.places.get_mut(at) else { return };
        *place = Place::default();
        let room =
            self.octets.get_mut(at * LONGEST..).and_then(|rest| rest.get_mut(..packet.len()));
        if let (Some(room), true) = (room, packet.len() <= LONGEST) {
            room.copy_from_slice(packet);
            *place = Place { seq, len: packet.len() as u16, sent_us: now_us };
        }
    }

    /// Puts a packet that is asked for again into `out`; its length. `Some(0)`: it was sent a moment ago. `None`: it is
    /// not here.
    pub(crate) fn again(&mut self, seq: u16, out: &mut [u8], now_us: u64) -> Option<usize> {
        let at = usize::from(seq) % KEPT;
        let place = self.places.get_mut(at).filter(|place| place.seq == seq && place.len > 0)?;
        if now_us.saturating_sub(place.sent_us) < AGAIN_US {
            return Some(0);
        }
        place.sent_us = now_us;
        let len = usize::from(place.len);
        let kept = self.octets.get(at * LONGEST..at * LONGEST + len)?;
        out.get_mut(..len)?.copy_from_slice(kept);
        Some(len)
    }
}

/// Numbers a sender was asked for that are remembered, and the most that one request names.
pub(crate) const ASKED: usize = 32;

/// Sequence numbers a sender was asked for, so that each is asked for once for all who miss it.
#[derive(Debug)]
pub(crate) struct Asked([(u16, u64); ASKED]);

impl Default for Asked {
    fn default() -> Self {
        Self([(0, 0); ASKED])
    }
}

impl Asked {
    /// Whether to ask for that number now.
    pub(crate) fn may(&mut self, seq: u16, now_us: u64) -> bool {
        let recent = |at: u64| at != 0 && now_us.saturating_sub(at) < 2 * AGAIN_US;
        if self.0.iter().any(|(asked, at)| *asked == seq && recent(*at)) {
            return false;
        }
        if let Some(oldest) = self.0.iter_mut().min_by_key(|(_, at)| *at) {
            *oldest = (seq, now_us.max(1));
        }
        true
    }
}

/// Numbers as a generic NACK names them: one, and which of the next sixteen. Returns how many words were written.
pub(crate) fn nack_words(missing: &mut [u16], out: &mut [(u16, u16)]) -> usize {
    // By how far each is from the first: numbers more than half the range apart have no order among themselves.
    let Some(&first) = missing.first() else { return 0 };
    missing.sort_unstable_by_key(|seq| seq.wrapping_sub(first).wrapping_add(0x8000));
    let mut words: usize = 0;
    for seq in missing {
        let last = words.checked_sub(1).and_then(|last| out.get_mut(last));
        match last.map(|word| (seq.wrapping_sub(word.0), word)) {
            Some((0, _)) => {}
            Some((ahead @ 1..=16, word)) => word.1 |= 1 << (ahead - 1),
            _ => {
                let Some(word) = out.get_mut(words) else { return words };
                *word = (*seq, 0);
                words += 1;
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_last_is_sent_again_and_not_at_once() {
        let mut sent = Sent::new();
        for n in 0..200_u16 {
            sent.keep(65_500_u16.wrapping_add(n), &[n as u8; 40], 0);
        }
        let mut out = [0; LONGEST];
        let newest = 65_500_u16.wrapping_add(199);
        assert_eq!(sent.again(newest, &mut out, 10_000), Some(0), "it may still be on its way");
        assert_eq!(sent.again(newest, &mut out, 30_000), Some(40));
        assert_eq!(out[..40], [199; 40]);
        assert_eq!(sent.again(newest, &mut out, 40_000), Some(0));
        assert_eq!(sent.again(65_500, &mut out, 30_000), None, "{KEPT} are kept");
        sent.keep(7, &[1; LONGEST + 1], 0);
        assert_eq!(sent.again(7, &mut out, 30_000), None, "too long to be kept");
    }

    #[test]
    fn a_number_is_asked_for_once_for_all_who_miss_it() {
        let mut asked = Asked::default();
        assert!(asked.may(5, 1000));
        assert!(!asked.may(5, 20_000) && asked.may(6, 20_000));
        assert!(asked.may(5, 60_000), "it has not come");
    }

    #[test]
    fn numbers_are_named_in_few_words() {
        let mut words = [(0, 0); 4];
        let n = nack_words(&mut [3, 65_535, 0, 20, 3], &mut words);
        assert_eq!(words[..n], [(65_535, 0b1001), (20, 0)]);
        let mut far: Vec<u16> = (0..10).map(|n| n * 100).collect();
        assert_eq!(nack_words(&mut far, &mut words), 4, "no more than there is room for");
        assert_eq!(nack_words(&mut [], &mut words), 0);
    }

    #[test]
    fn numbers_from_all_of_the_range_are_put_in_one_order() {
        let mut words = [(0, 0); ASKED];
        for step in [2048_u16, 21_845, 40_503, 30_011] {
            let mut missing: Vec<u16> = (0..32).map(|n: u16| n.wrapping_mul(step)).collect();
            nack_words(&mut missing, &mut words);
            assert!(
                missing.is_sorted_by_key(|seq| seq.wrapping_add(0x8000)),
                "{step}: {missing:?}"
            );
        }
    }
}
