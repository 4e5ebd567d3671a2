//! Memory that a busy hour leaves behind goes back to the system.
//!
//! The C library keeps what calls freed for later calls. After a burst that is most of the process: 600 bridged
//! calls leave some 70 MB behind, which containers count against their limit.

/// Sessions that must have come since the last time; below, there is little to give back.
const WORTHWHILE: u64 = 200;
/// Calls are few again when at most one in so many of the busiest moment is left.
const FEW: u32 = 4;

/// Decides when memory is given back. Looked at every second.
#[derive(Debug, Default)]
pub struct Tidy {
    sessions_then: u64,
    busiest: u32,
}

impl Tidy {
    /// Notes how many sessions there are, and were since the start; true when it is time to give memory back.
    fn is_due(&mut self, running: u32, since_start: u64) -> bool {
        self.busiest = self.busiest.max(running);
        let few = running <= self.busiest / FEW;
        if !few || since_start.saturating_sub(self.sessions_then) < WORTHWHILE {
            return false;
        }
        *self = Self { sessions_then: since_start, busiest: running };
        true
    }

    /// Gives memory back if it is time to, on a thread that may be kept waiting.
    pub fn look(&mut self, running: u32, since_start: u64) {
        if self.is_due(running, since_start) {
            tokio::task::spawn_blocking(give_back);
        }
    }
}

/// Gives back what nobody holds. May take some milliseconds.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
pub fn give_back() {
    // SAFETY: malloc_trim may be called at any time from any thread; it frees only what nobody holds.
    unsafe { nix::libc::malloc_trim(0) };
}

/// Other allocators do so by themselves.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

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
