//! The jitter buffer of one leg: puts packets back in order and gives them out at an even pace.
//!
//! Packets sit in a fixed ring indexed by sequence number. The depth adapts between one packet and
//! the configured maximum: a packet that came too late deepens it, a long time with more waiting
//! than needed makes it shallower. Nothing is allocated after construction.
//!
//! The caller asks once per packet length. After running empty the buffer fills up to its depth
//! again and goes on with what is there: time that has passed in silence is not played as loss too.

use crate::rtp::seq_distance;

/// Packets the ring can hold.
pub const SLOTS: usize = 32;
/// Deepest the buffer grows by itself, in packets.
pub const MAX_DEPTH: usize = 10;
/// A number at most this far before the next one is late; further back the sender began anew.
const REACH: i16 = SLOTS as i16 * 4;
/// Reads after which one packet too many is dropped (half a second).
const CATCH_UP_AFTER: u32 = 25;
/// Reads between two looks at whether the buffer is deeper than needed (5 s of 20 ms packets).
const SHRINK_AFTER: u32 = 250;

/// Received audio on its way out.
#[derive(Debug)]
pub struct JitterBuffer {
    slots: [Slot; SLOTS],
    data: Box<[u8]>,
    slot_len: usize,
    next: Option<u16>,
    /// The first number whose turn has not come yet, once something was given out.
    first_waiting: Option<u16>,
    /// Bit n = the packet n + 1 numbers before that was given out.
    given_out: u64,
    /// Packets with audio.
    count: usize,
    filling: bool,
    target: usize,
    min_depth: usize,
    max_depth: usize,
    lowest: usize,
    reads: u32,
    largest: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    used: bool,
    seq: u16,
    timestamp: u32,
    len: u16,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Kept.
    Stored,
    /// Too late, its turn is over.
    Late,
    /// There already, or larger than a slot.
    Refused,
    /// So far ahead that everything waiting was thrown away (that many packets).
    Flushed(usize),
}

/// What the next interval holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Got<'a> {
    /// A packet.
    Packet {
        /// Its timestamp.
        timestamp: u32,
        /// Its payload.
        payload: &'a [u8],
    },
    /// The packet of this interval did not come: conceal it.
    Lost,
    /// Nothing to play yet, or nothing left.
    Empty,
}

impl JitterBuffer {
    /// A buffer for payloads of up to `slot_len` octets that starts with `depth` packets and grows
    /// to [`MAX_DEPTH`].
    pub fn new(slot_len: usize, depth: usize) -> Self {
        Self::with_limit(slot_len, depth, MAX_DEPTH)
    }

    /// [`JitterBuffer::new`] with a limit of its own; the ring's size bounds both.
    pub fn with_limit(slot_len: usize, depth: usize, most: usize) -> Self {
        let max_depth = most.clamp(1, SLOTS * 3 / 4);
        let depth = depth.clamp(1, max_depth);
        Self {
            slots: [Slot::default(); SLOTS],
            data: vec![0; slot_len * SLOTS].into_boxed_slice(),
            slot_len,
            next: None,
            first_waiting: None,
            given_out: 0,
            count: 0,
            filling: true,
            target: depth,
            min_depth: depth,
            max_depth,
            lowest: usize::MAX,
            reads: 0,
            largest: 0,
        }
    }

    /// Packets waiting.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Most packets that ever waited.
    pub fn largest(&self) -> usize {
        self.largest
    }

    /// Current depth aimed at.
    pub fn depth(&self) -> usize {
        self.target
    }

    /// Forgets everything, keeping the depth learnt.
    pub fn reset(&mut self) {
        self.slots = [Slot::default(); SLOTS];
        self.next = None;
        self.first_waiting = None;
        self.given_out = 0;
        self.count = 0;
        self.filling = true;
        self.lowest = usize::MAX;
        self.reads = 0;
    }

    /// Takes a packet.
    pub fn put(&mut self, seq: u16, timestamp: u32, payload: &[u8]) -> Put {
        if payload.len() > self.slot_len {
            return Put::Refused;
        }
        if let Some(behind) = self.behind(seq) {
            if self.given_out.checked_shr(behind).is_some_and(|bits| bits & 1 == 1) {
                return Put::Refused;
            }
            self.target = (self.target + 1).min(self.max_depth);
            return Put::Late;
        }
        let mut outcome = Put::Stored;
        match self.next.map(|next| seq_distance(next, seq)) {
            None => self.next = Some(seq),
            // Not begun yet: an earlier packet may still come first.
            Some(ahead @ ..0)
                if self.filling && usize::from(ahead.unsigned_abs()) + self.count < SLOTS =>
            {
                self.next = Some(seq);
            }
            Some(ahead) if ahead < 0 || usize::from(ahead.unsigned_abs()) >= SLOTS => {
                outcome = Put::Flushed(self.count);
                self.reset();
                self.next = Some(seq);
            }
            Some(_) => {}
        }
        let index = usize::from(seq) % SLOTS;
        if self.slots[index].used {
            return Put::Refused;
        }
        self.slots[index] = Slot { used: true, seq, timestamp, len: payload.len() as u16 };
        let at = index * self.slot_len;
        self.data[at..at + payload.len()].copy_from_slice(payload);
        self.count += usize::from(!payload.is_empty());
        self.largest = self.largest.max(self.count);
        match self.drop_surplus() {
            0 => outcome,
            dropped => Put::Flushed(dropped),
        }
    }

    /// How far before what comes next a number lies whose turn is over; 0 = right before it.
    fn behind(&self, seq: u16) -> Option<u32> {
        let distance = seq_distance(seq, self.first_waiting?);
        (1..=REACH).contains(&distance).then(|| u32::from(distance.unsigned_abs()) - 1)
    }

    /// More waits than the buffer may ever hold back: after a stall of the network everything comes
    /// at once, and the call must not stay behind by that much. The oldest go.
    fn drop_surplus(&mut self) -> usize {
        if self.count <= self.max_depth + 1 {
            return 0;
        }
        let before = self.count;
        while self.count > self.target {
            self.discard_one();
        }
        before - self.count
    }

    /// Notes that the packet of this number came and holds no audio (a digit, comfort noise): it is
    /// neither lost nor takes an interval.
    pub fn pass_over(&mut self, seq: u16) {
        // Before the first audio there is no order to keep.
        if self.next.is_some() {
            self.put(seq, 0, &[]);
        }
    }

    /// Gives out the next interval.
    pub fn get(&mut self) -> Got<'_> {
        self.drop_passed_over();
        if self.filling {
            if self.count < self.target {
                return Got::Empty;
            }
            self.filling = false;
            self.skip_missing();
        }
        if self.count == 0 {
            self.filling = true;
            self.reads = 0;
            self.lowest = usize::MAX;
            return Got::Empty;
        }
        self.shrink();
        let Some(seq) = self.next else { return Got::Empty };
        let index = usize::from(seq) % SLOTS;
        let slot = self.slots[index];
        if !slot.used || slot.seq != seq {
            self.step(seq, false);
            return Got::Lost;
        }
        self.step(seq, true);
        self.slots[index].used = false;
        self.count -= 1;
        let at = index * self.slot_len;
        let payload = &self.data[at..at + usize::from(slot.len)];
        Got::Packet { timestamp: slot.timestamp, payload }
    }

    /// Takes out packets without audio that are next.
    fn drop_passed_over(&mut self) {
        while let Some(seq) = self.next {
            let slot = &mut self.slots[usize::from(seq) % SLOTS];
            if !slot.used || slot.seq != seq || slot.len > 0 {
                return;
            }
            slot.used = false;
            self.step(seq, true);
        }
    }

    /// The turn of a number is over.
    fn step(&mut self, seq: u16, given_out: bool) {
        let next = seq.wrapping_add(1);
        self.next = Some(next);
        self.first_waiting = Some(next);
        self.given_out = self.given_out << 1 | u64::from(given_out);
    }

    /// Goes to the oldest packet there is.
    fn skip_missing(&mut self) {
        for _ in 0..SLOTS {
            let Some(seq) = self.next else { return };
            let slot = self.slots[usize::from(seq) % SLOTS];
            if slot.used && slot.seq == seq {
                return self.drop_passed_over();
            }
            self.step(seq, false);
        }
    }

    /// Once in a while drops one packet if all the time more waited than the depth asks for.
    fn shrink(&mut self) {
        self.lowest = self.lowest.min(self.count);
        self.reads += 1;
        if self.reads.is_multiple_of(CATCH_UP_AFTER) && self.lowest > self.target + 1 {
            self.discard_one();
            self.lowest -= 1;
        }
        if self.reads < SHRINK_AFTER {
            return;
        }
        if self.lowest >= 2 && self.lowest != usize::MAX {
            self.target = (self.target - 1).max(self.min_depth);
            if self.lowest > self.target {
                self.discard_one();
            }
        }
        self.reads = 0;
        self.lowest = usize::MAX;
    }

    fn discard_one(&mut self) {
        let Some(seq) = self.next else { return };
        let slot = &mut self.slots[usize::from(seq) % SLOTS];
        let there = slot.used && slot.seq == seq;
        if there {
            slot.used = false;
            self.count -= usize::from(slot.len > 0);
        }
        self.step(seq, there);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(jb: &mut JitterBuffer, seq: u16) -> Put {
        jb.put(seq, u32::from(seq) * 160, &seq.to_be_bytes())
    }

    fn get(jb: &mut JitterBuffer) -> Result<u16, bool> {
        match jb.get() {
            Got::Packet { payload, .. } => Ok(u16::from_be_bytes([payload[0], payload[1]])),
            Got::Lost => Err(true),
            Got::Empty => Err(false),
        }
    }

    #[test]
    fn packets_come_out_in_order_across_the_wrap() {
        let mut jb = JitterBuffer::new(160, 3);
        for seq in [65_534, 0, 65_535, 2, 1] {
            assert_eq!(put(&mut jb, seq), Put::Stored);
        }
        let out: Vec<_> = (0..6).map(|_| get(&mut jb)).collect();
        assert_eq!(out, [Ok(65_534), Ok(65_535), Ok(0), Ok(1), Ok(2), Err(false)]);
    }

    #[test]
    fn a_lost_packet_is_one_gap_and_a_late_one_deepens_the_buffer() {
        let mut jb = JitterBuffer::new(160, 1);
        put(&mut jb, 1);
        put(&mut jb, 3);
        assert_eq!([get(&mut jb), get(&mut jb), get(&mut jb)], [Ok(1), Err(true), Ok(3)]);
        let before = jb.depth();
        assert_eq!(put(&mut jb, 2), Put::Late);
        assert_eq!(jb.depth(), before + 1);
    }

    #[test]
    fn a_second_copy_of_what_was_played_is_not_late() {
        let mut jb = JitterBuffer::new(160, 1);
        put(&mut jb, 1);
        assert_eq!([get(&mut jb), get(&mut jb)], [Ok(1), Err(false)]);
        let before = jb.depth();
        assert_eq!((put(&mut jb, 1), jb.depth()), (Put::Refused, before));
        put(&mut jb, 2);
        assert_eq!(get(&mut jb), Ok(2));
    }

    #[test]
    fn after_running_empty_it_goes_on_with_what_there_is() {
        let mut jb = JitterBuffer::new(160, 2);
        (1..=2).for_each(|n| assert_eq!(put(&mut jb, n), Put::Stored));
        assert_eq!([get(&mut jb), get(&mut jb), get(&mut jb)], [Ok(1), Ok(2), Err(false)]);
        (10..=11).for_each(|n| assert_eq!(put(&mut jb, n), Put::Stored));
        assert_eq!([get(&mut jb), get(&mut jb)], [Ok(10), Ok(11)]);
    }

    #[test]
    fn packets_without_audio_take_no_time() {
        let mut jb = JitterBuffer::new(160, 1);
        put(&mut jb, 1);
        (2..6).for_each(|n| jb.pass_over(n));
        put(&mut jb, 6);
        assert_eq!([get(&mut jb), get(&mut jb)], [Ok(1), Ok(6)]);
        assert_eq!(jb.largest(), 2);
    }

    #[test]
    fn duplicates_and_giants_are_refused() {
        let mut jb = JitterBuffer::new(160, 2);
        assert_eq!(put(&mut jb, 1), Put::Stored);
        assert_eq!(put(&mut jb, 1), Put::Refused);
        assert_eq!(jb.put(2, 0, &[0; 161]), Put::Refused);
        assert_eq!(jb.len(), 1);
    }

    #[test]
    fn a_jump_ahead_flushes_and_starts_over() {
        let mut jb = JitterBuffer::new(160, 1);
        put(&mut jb, 1);
        put(&mut jb, 2);
        assert_eq!(put(&mut jb, 1000), Put::Flushed(2));
        assert_eq!(get(&mut jb), Ok(1000));
    }

    #[test]
    fn a_needlessly_deep_buffer_gets_shallower() {
        let mut jb = JitterBuffer::new(160, 1);
        for seq in 0..8 {
            put(&mut jb, seq);
        }
        for seq in 8..2000 {
            let _ = get(&mut jb);
            put(&mut jb, seq);
        }
        assert!(jb.len() <= 2, "{} packets wait", jb.len());
    }

    #[test]
    fn random_jitter_loss_and_duplication_never_reorder_the_output() {
        let mut random = 12345u32;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random >> 16
        };
        // Arrival times in ms: nominal + up to 70 ms of jitter, 5 % lost, 5 % twice.
        let mut arrivals: Vec<(u32, u16)> = Vec::new();
        for seq in 0..3000u16 {
            if next() % 20 == 0 {
                continue;
            }
            let at = u32::from(seq) * 20 + next() % 70;
            arrivals.push((at, seq));
            if next() % 20 == 0 {
                arrivals.push((at + next() % 100, seq));
            }
        }
        arrivals.sort_unstable();
        let mut arrivals = arrivals.into_iter().peekable();
        let mut jb = JitterBuffer::new(160, 1);
        let (mut last, mut played, mut gaps) = (None, 0u32, 0u32);
        for now in (0..3000 * 20).step_by(20) {
            while let Some((_, seq)) = arrivals.next_if(|(at, _)| *at <= now) {
                put(&mut jb, seq);
            }
            match get(&mut jb) {
                Ok(seq) => {
                    assert!(last.is_none_or(|l| seq > l), "{seq} after {last:?}");
                    last = Some(seq);
                    played += 1;
                }
                Err(_) => gaps += 1,
            }
        }
        assert!(played > 2700, "only {played} played, {gaps} gaps");
    }
}
