//! The replay window of RFC 3711 §3.3.2.

/// Packets before the newest one that are told apart.
const SIZE: u64 = 128;

/// Which of the newest packets were seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    /// One past the newest index; 0 = none was seen.
    next: u64,
    /// Bit n = the packet n before the newest was seen.
    seen: u128,
}

impl Window {
    /// Whether the packet was seen, or is too old to say.
    pub(super) fn has(&self, index: u64) -> bool {
        let Some(behind) = self.next.checked_sub(index + 1) else { return false };
        behind >= SIZE || self.seen >> behind & 1 == 1
    }

    /// Notes a packet.
    pub(super) fn note(&mut self, index: u64) {
        match (index + 1).checked_sub(self.next) {
            Some(ahead) if ahead > 0 => {
                self.seen = if ahead >= SIZE { 0 } else { self.seen << ahead };
                self.seen |= 1;
                self.next = index + 1;
            }
            _ => {
                let behind = self.next - 1 - index;
                if behind < SIZE {
                    self.seen |= 1 << behind;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_is_taken_once() {
        let mut window = Window::default();
        for index in [5, 3, 4, 200, 100, 199] {
            assert!(!window.has(index), "{index}");
            window.note(index);
            assert!(window.has(index), "{index}");
        }
        assert!(window.has(72), "too old to say");
        assert!(!window.has(73));
        assert!(!window.has(201));
    }
}
