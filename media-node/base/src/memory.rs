//! Memory that a busy hour leaves behind goes back to the system.
//!
//! The C library keeps what was freed for later use. After a burst that is most of the process: 600 bridged calls leave some
//! 70 MB behind, which containers count against their limit.

use std::sync::Arc;

use parking_lot::Mutex;

/// Between two looks at how much there is, in seconds.
const LOOK: u32 = 5;
/// What is held and not used is worth giving back from here on.
const WORTHWHILE: u64 = 2 << 20;
/// And when it is more than this part of what is used.
const PART: u64 = 8;
/// It rests when it is not more than at the last look by this part.
const GROWN: u64 = 16;

/// Decides when memory is given back. Looked at every second.
#[derive(Debug, Default)]
pub struct Tidy {
    turn: u32,
    waste: Arc<Mutex<Waste>>,
}

/// What the process holds without using it: freed memory, and what lies between what is used.
#[derive(Debug, Default)]
struct Waste {
    last: u64,
    /// What was left when memory was given back the last time: no more is to be had.
    stays: Option<u64>,
    given_back: bool,
}

impl Waste {
    /// Notes how many bytes the process has in memory and uses; true when it is time to give back what it does not.
    fn is_due(&mut self, resident: u64, used: u64) -> bool {
        let waste = resident.saturating_sub(used);
        let rests = waste <= self.last + self.last / GROWN;
        self.last = waste;
        let stays = match self.stays {
            Some(stays) if !std::mem::take(&mut self.given_back) => stays.min(waste),
            _ => waste,
        };
        self.stays = Some(stays);
        self.given_back = rests && waste > stays + WORTHWHILE.max(used / PART);
        self.given_back
    }
}

impl Tidy {
    /// Gives memory back if it is time to, on a thread that may be kept waiting.
    pub fn look(&mut self) {
        self.turn += 1;
        if !self.turn.is_multiple_of(LOOK) {
            return;
        }
        let waste = Arc::clone(&self.waste);
        tokio::task::spawn_blocking(move || {
            let Some(resident) = resident() else { return };
            if waste.lock().is_due(resident, used()) {
                give_back();
            }
        });
    }
}

/// Bytes of its own that the process has in memory; `None` where the system does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// Bytes in use.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
fn used() -> u64 {
    // SAFETY: mallinfo2 may be called at any time from any thread; it only counts.
    let info = unsafe { nix::libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}

/// Returns free memory to the system. May take some milliseconds.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
pub fn give_back() {
    // SAFETY: malloc_trim may be called at any time from any thread; it frees only what nothing holds.
    unsafe { nix::libc::malloc_trim(0) };
}

/// Bounds the C library's arenas to one for each processor; to be called before there are threads. By default there may be
/// eight times as many, and each keeps some of what a burst freed between what is in use.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
pub fn bound_arenas() {
    // Who starts the process may know better.
    if std::env::var_os("MALLOC_ARENA_MAX").is_some() {
        return;
    }
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let arenas = nix::libc::c_int::try_from(processors).unwrap_or(nix::libc::c_int::MAX);
    // SAFETY: mallopt may be called at any time; this setting only bounds arenas that are made later.
    unsafe { nix::libc::mallopt(nix::libc::M_ARENA_MAX, arenas) };
}

/// Other allocators have none.
#[cfg(not(target_env = "gnu"))]
pub fn bound_arenas() {}

/// Other allocators give back by themselves: nothing is wasted.
#[cfg(not(target_env = "gnu"))]
fn used() -> u64 {
    u64::MAX
}

/// Other allocators do so by themselves.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn due(waste: &mut Waste, looks: &[(u64, u64)]) -> Vec<bool> {
        looks.iter().map(|(resident, used)| waste.is_due(resident * MB, used * MB)).collect()
    }

    #[test]
    fn what_is_freed_is_given_back_once_it_rests_whenever_that_is() {
        let mut waste = Waste::default();
        assert_eq!(due(&mut waste, &[(10, 8), (100, 80), (200, 180)]), [false; 3], "it is used");
        // An hour of that later it is freed, bit by bit.
        assert_eq!(due(&mut waste, &[(200, 100), (200, 60)]), [false; 2], "more and more is freed");
        assert_eq!(due(&mut waste, &[(200, 58), (62, 58), (62, 58)]), [true, false, false]);
        assert_eq!(
            due(&mut waste, &[(62, 8), (62, 8), (12, 8), (12, 8)]),
            [false, true, false, false]
        );
    }

    #[test]
    fn what_does_not_come_back_is_not_asked_for_again() {
        let mut waste = Waste::default();
        assert_eq!(due(&mut waste, &[(10, 8), (100, 8), (100, 8)]), [false, false, true]);
        assert_eq!(due(&mut waste, &[(90, 8), (91, 8), (90, 8)]), [false; 3]);
        assert_eq!(due(&mut waste, &[(95, 8), (95, 8)]), [true, false], "more is there");
    }

    #[test]
    fn the_process_knows_what_it_has() {
        let held = vec![1u8; 8 << 20];
        assert!(resident().is_some_and(|bytes| bytes > held.len() as u64));
        assert!(used() >= held.len() as u64);
    }
}
