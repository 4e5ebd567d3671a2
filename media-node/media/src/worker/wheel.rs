//! The timer wheel: 64 slots of one millisecond, each a list of legs whose next frame is due.

const SLOTS: usize = 64;
/// Longest time ahead the wheel can hold, in milliseconds.
pub(crate) const SPAN_MS: u64 = SLOTS as u64 - 1;

/// A leg's place and when it is due; stale entries are recognised by the leg's own due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) slot: u32,
    pub(crate) due_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Wheel {
    slots: [Vec<Entry>; SLOTS],
    /// Bit n set = slot n holds something.
    filled: u64,
    /// Everything due before this millisecond has been taken.
    cursor_ms: u64,
}

impl Wheel {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            slots: std::array::from_fn(|_| Vec::with_capacity(64)),
            filled: 0,
            cursor_ms: now_ms,
        }
    }

    /// Adds a leg due at `due_ms`, or now if that has passed. Gives the time it was entered for.
    pub(crate) fn add(&mut self, slot: u32, due_ms: u64) -> u64 {
        let due_ms = due_ms.clamp(self.cursor_ms, self.cursor_ms + SPAN_MS);
        let index = (due_ms % SLOTS as u64) as usize;
        self.slots[index].push(Entry { slot, due_ms });
        self.filled |= 1 << index;
        due_ms
    }

    /// Catches up with the clock after a time without anything due.
    pub(crate) fn resume(&mut self, now_ms: u64) {
        if self.filled == 0 {
            self.cursor_ms = self.cursor_ms.max(now_ms);
        }
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<u64> {
        if self.filled == 0 {
            return None;
        }
        let turned = self.filled.rotate_right((self.cursor_ms % SLOTS as u64) as u32);
        Some(self.cursor_ms + u64::from(turned.trailing_zeros()))
    }

    /// Moves everything due by `now_ms` into `due` (cleared first).
    pub(crate) fn take_due(&mut self, now_ms: u64, due: &mut Vec<Entry>) {
        due.clear();
        let last = now_ms.min(self.cursor_ms + SPAN_MS);
        for ms in self.cursor_ms..=last {
            let index = (ms % SLOTS as u64) as usize;
            if self.filled & (1 << index) != 0 {
                due.append(&mut self.slots[index]);
                self.filled &= !(1 << index);
            }
        }
        self.cursor_ms = self.cursor_ms.max(now_ms + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel, now_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.take_due(now_ms, &mut due);
        due.iter().map(|e| e.slot).collect()
    }

    #[test]
    fn legs_come_up_when_due_and_not_before() {
        let mut wheel = Wheel::new(1000);
        wheel.add(1, 1020);
        wheel.add(2, 1005);
        wheel.add(3, 1063);
        assert_eq!(wheel.next_due(), Some(1005));
        assert_eq!(due(&mut wheel, 1004), [0u32; 0]);
        assert_eq!(due(&mut wheel, 1005), [2]);
        assert_eq!(wheel.next_due(), Some(1020));
        assert_eq!(due(&mut wheel, 1070), [1, 3]);
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn a_time_that_has_passed_means_at_once() {
        let mut wheel = Wheel::new(1000);
        assert_eq!(due(&mut wheel, 1010), [0u32; 0]);
        assert_eq!(wheel.add(1, 900), 1011);
        assert_eq!(due(&mut wheel, 1011), [1]);
    }

    #[test]
    fn after_a_long_idle_time_the_present_counts() {
        let mut wheel = Wheel::new(1000);
        wheel.resume(90_000);
        assert_eq!(wheel.add(1, 90_010), 90_010);
        assert_eq!(due(&mut wheel, 90_009), [0u32; 0]);
        assert_eq!(due(&mut wheel, 90_010), [1]);
    }

    #[test]
    fn a_long_stall_loses_nobody() {
        let mut wheel = Wheel::new(1000);
        for n in 0..64 {
            wheel.add(n, 1000 + u64::from(n));
        }
        assert_eq!(due(&mut wheel, 5000).len(), 64);
    }
}
