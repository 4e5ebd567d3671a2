//! The clock of a simulation: wall-clock times follow the runtime's paused time.

use std::cell::Cell;

use tokio::time::Instant;

/// The second in which every simulation begins: 2024-07-03 09:46:40 UTC, a Wednesday.
const BEGIN_US: i64 = 1_720_000_000_000_000;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// From now on this thread's wall clock is the runtime's.
pub(crate) fn begin() {
    BEGAN.set(Some(Instant::now()));
    base::clock::simulate(|| {
        let since = BEGAN.get().map(|began| began.elapsed()).unwrap_or_default();
        BEGIN_US + i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    });
}
