//! Memory that a busy hour leaves behind goes back to the system.
//!
//! The C library keeps what calls freed for later calls. After a burst that is most of the process: 600 bridged
//! calls leave some 70 MB behind, which containers count against their limit.

/// Sessions that must have come since the last time; below, there is little to give back.
const WORTHWHILE: u64 = 200;
/// Calls are few again when at most one in so many of the busiest moment is left.
const FEW: u32 = 4;

/// Between two looks at how much there is, in seconds.
const LOOK: u32 = 5;
/// The process has grown when it has so much more than after the last time: this part of it.
const GROWN: u64 = 16;
/// Looks at which memory is given back once the process has stopped growing: for longer than SIP keeps what answers
/// again (32 seconds), since what a flood took is freed only then.
const LOOKS: u32 = 9;

/// Decides when memory is given back. Looked at every second.
#[derive(Debug, Default)]
pub struct Tidy {
    sessions_then: u64,
    busiest: u32,
    turn: u32,
    growth: Growth,
}

/// What floods and other things that are no sessions leave behind shows in the size of the process only.
#[derive(Debug, Default)]
struct Growth {
    /// Size when nothing could be given back.
    floor: u64,
    last: u64,
    /// Looks that are left since it has grown.
    left: u32,
}

impl Growth {
    /// Notes the size of the process; true while it is larger than before and grows no more, for some looks.
    fn is_due(&mut self, size: u64) -> bool {
        if self.floor == 0 || size < self.floor {
            self.floor = size;
        }
        let rests = size <= self.last + self.last / GROWN;
        self.last = size;
        if size <= self.floor + self.floor / GROWN {
            self.left = 0;
            return false;
        }
        if !rests || self.left == 0 {
            self.left = LOOKS;
        }
        if rests {
            self.left -= 1;
            if self.left == 0 {
                // What has not come back by now is needed.
                self.floor = size;
            }
        }
        rests
    }
}

/// What the process has in memory, in pages; `None` where the system does not say.
fn resident_pages() -> Option<u64> {
    std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()
}

impl Tidy {
    /// Notes how many sessions there are, and were since the start; true when it is time to give memory back.
    fn is_due(&mut self, running: u32, since_start: u64) -> bool {
        self.busiest = self.busiest.max(running);
        let few = running <= self.busiest / FEW;
        if !few || since_start.saturating_sub(self.sessions_then) < WORTHWHILE {
            return false;
        }
        (self.sessions_then, self.busiest) = (since_start, running);
        true
    }

    /// Gives memory back if it is time to, on a thread that may be kept waiting.
    pub fn look(&mut self, running: u32, since_start: u64) {
        self.turn += 1;
        let grown = self.turn.is_multiple_of(LOOK)
            && resident_pages().is_some_and(|size| self.growth.is_due(size));
        if self.is_due(running, since_start) || grown {
            tokio::task::spawn_blocking(give_back);
        }
    }
}

/// Returns free memory to the system. May take some milliseconds.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
pub fn give_back() {
    // SAFETY: malloc_trim may be called at any time from any thread; it frees only what nothing holds.
    unsafe { nix::libc::malloc_trim(0) };
}

/// Other allocators do so by themselves.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_made_the_process_grow_is_given_back_once_it_rests_and_when_it_is_freed_later() {
        let mut growth = Growth::default();
        let mut due = |sizes: &[u64]| -> Vec<bool> {
            sizes.iter().map(|size| growth.is_due(*size)).collect()
        };
        assert_eq!(due(&[100, 101, 200, 300]), [false; 4], "it grows");
        assert_eq!(due(&[300, 300, 290, 290]), [true; 4], "it rests, and may free more");
        assert_eq!(due(&[104, 104]), [false; 2], "all is back");
        assert_eq!(due(&[300]), [false]);
        assert_eq!(due(&[300; LOOKS as usize]), [true; LOOKS as usize]);
        assert_eq!(due(&[300; 3]), [false; 3], "what stays then is what it needs");
    }

    #[test]
    fn memory_is_given_back_once_after_a_burst() {
        let mut tidy = Tidy::default();
        assert!(!tidy.is_due(0, 0));
        assert!(!tidy.is_due(300, 300), "calls are running");
        assert!(!tidy.is_due(100, 300), "still many");
        assert!(tidy.is_due(50, 300));
        assert!(!tidy.is_due(0, 300), "it was done");
        assert!(!tidy.is_due(0, 400), "too few calls since");
        assert!(tidy.is_due(0, 500));
    }
}
