//! The library's detector of the signals that fax machines begin with.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::library::{INIT_LOCK, Library, State};

/// `MODEM_CONNECT_TONES_FAX_CED_OR_PREAMBLE`.
const CED_OR_PREAMBLE: c_int = 7;

/// Finds the tone of a machine that answers (CED, 2100 Hz) or the preamble of its first frame (V.21 flags) in audio of 8,000
/// samples per second.
pub struct AnswerDetector {
    state: NonNull<State>,
    library: Arc<Library>,
}

// SAFETY: the library keeps a detector's data in its state alone, which this value owns, and every call takes it mutably.
unsafe impl Send for AnswerDetector {}

impl std::fmt::Debug for AnswerDetector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerDetector")
    }
}

impl AnswerDetector {
    /// A detector; `None` when the library has no memory.
    #[must_use]
    pub fn new(library: &Arc<Library>) -> Option<Self> {
        let init = library.functions.modem_connect_tones_rx_init;
        let _one = INIT_LOCK.lock();
        // SAFETY: without a state of ours the library makes one, which is freed in `drop`. It has no handler to call.
        let state =
            unsafe { init(ptr::null_mut(), CED_OR_PREAMBLE, ptr::null_mut(), ptr::null_mut()) };
        NonNull::new(state).map(|state| Self { state, library: Arc::clone(library) })
    }

    /// Takes audio; true once a signal was found in it.
    pub fn feed(&mut self, samples: &[i16]) -> bool {
        let Ok(length) = c_int::try_from(samples.len()) else { return false };
        let f = &self.library.functions;
        // SAFETY: a live state; the library reads so many samples.
        unsafe {
            (f.modem_connect_tones_rx)(self.state.as_ptr(), samples.as_ptr(), length);
            (f.modem_connect_tones_rx_get)(self.state.as_ptr()) != 0
        }
    }
}

impl Drop for AnswerDetector {
    fn drop(&mut self) {
        let free = self.library.functions.modem_connect_tones_rx_free;
        // SAFETY: made by `modem_connect_tones_rx_init`, and freed only here.
        unsafe { free(self.state.as_ptr()) };
    }
}
