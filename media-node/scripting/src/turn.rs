//! Whose turn it is: a script's, which computes, or the switch's.
//!
//! Where tests let time jump whenever no task of the switch has anything to do, it must not jump while a script computes
//! on its own thread. A turn is something the test's runtime counts as work. Anywhere else it is nothing.

/// A script computes.
pub struct Turn {
    #[cfg(feature = "simulated")]
    _held: std::sync::mpsc::SyncSender<()>,
}

impl Turn {
    /// Begins here, on a thread that knows the runtime.
    #[cfg(feature = "simulated")]
    pub fn begin() -> Self {
        let (held, released) = std::sync::mpsc::sync_channel::<()>(0);
        tokio::task::spawn_blocking(move || {
            let _released = released.recv();
        });
        Self { _held: held }
    }

    /// Begins here, on a thread that knows the runtime.
    #[cfg(not(feature = "simulated"))]
    pub fn begin() -> Self {
        Self {}
    }
}
