//! A T.38 gateway of the library, behind a safe interface: modems on a telephone line on one side, T.38 packets on the
//! other.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;

use sdp::T38Options;

use crate::callbacks::{
    Callbacks, configure_t38, modems, next_log_line, on_t38_packet, set_up_logs,
};
use crate::library::{Functions, INIT_LOCK, Library, State};
use crate::machine::MachineError;

/// Parameters of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewaySetup {
    /// The machines may agree on error correction (ECM). Without, it is taken out of what they say they can do.
    pub ecm: bool,
    /// V.17 may be used (14,400 bit/s).
    pub v17: bool,
    /// A tone against echo suppressors is sent on the line before the modems' signals.
    pub tep: bool,
    /// The protocol is logged.
    pub verbose: bool,
}

/// How far the fax got that passes through a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatewayReport {
    /// Bits per second of pages.
    pub bit_rate: i32,
    /// The machines use ECM.
    pub ecm: bool,
    /// Pages transferred, in either direction.
    pub pages: i32,
}

/// A gateway between audio of 8,000 samples per second and T.38. Its clock is the audio that is received: a call of
/// [`Gateway::receive`] or [`Gateway::skip`] for each 20 ms. It is of one thread.
pub struct Gateway {
    state: *mut State,
    core: *mut State,
    /// Boxed: the library holds its address.
    callbacks: Box<Callbacks>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("report", &self.report()).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway whose T.38 side uses the options that were negotiated.
    ///
    /// # Errors
    /// [`MachineError::Refused`]: the library has no memory.
    pub fn new(
        library: &Arc<Library>,
        setup: GatewaySetup,
        agreed: &T38Options,
    ) -> Result<Self, MachineError> {
        let callbacks = Callbacks::new(library);
        let f = &library.functions;
        let _one = INIT_LOCK.lock();
        // SAFETY: without a state of ours `t38_gateway_init` makes one, which is freed in `drop`; the other functions get
        // that one. The handler gets the address of the queues, which does not change and is freed after the state.
        unsafe {
            let state = (f.t38_gateway_init)(ptr::null_mut(), on_t38_packet, callbacks.address());
            if state.is_null() {
                return Err(MachineError::Refused);
            }
            let core = (f.t38_gateway_get_t38_core_state)(state);
            (f.t38_gateway_set_transmit_on_idle)(state, 1);
            (f.t38_gateway_set_supported_modems)(state, modems(setup.v17));
            (f.t38_gateway_set_ecm_capability)(state, c_int::from(setup.ecm));
            (f.t38_gateway_set_tep_mode)(state, c_int::from(setup.tep));
            (f.t38_gateway_set_fill_bit_removal)(state, c_int::from(agreed.fill_bit_removal));
            configure_t38(f, core, agreed, setup.v17);
            let logs =
                [(f.t38_gateway_get_logging_state)(state), (f.t38_core_get_logging_state)(core)];
            set_up_logs(f, logs, setup.verbose);
            Ok(Self { state, core, callbacks })
        }
    }

    fn functions(&self) -> &Functions {
        &self.callbacks.library.functions
    }

    /// Takes audio of the line, and lets its time pass.
    pub fn receive(&mut self, samples: &mut [i16]) {
        let Ok(length) = c_int::try_from(samples.len()) else { return };
        // SAFETY: a live state; the library reads and filters so many samples in place.
        unsafe { (self.functions().t38_gateway_rx)(self.state, samples.as_mut_ptr(), length) };
    }

    /// Lets the time of so many samples pass that did not come.
    pub fn skip(&mut self, samples: u32) {
        let Ok(samples) = c_int::try_from(samples) else { return };
        // SAFETY: a live state.
        unsafe { (self.functions().t38_gateway_rx_fillin)(self.state, samples) };
    }

    /// Fills in audio for the line; returns how many samples there are.
    pub fn transmit(&mut self, samples: &mut [i16]) -> usize {
        let Ok(room) = c_int::try_from(samples.len()) else { return 0 };
        let f = self.functions();
        // SAFETY: a live state; the library writes at most so many samples.
        let made = unsafe { (f.t38_gateway_tx)(self.state, samples.as_mut_ptr(), room) };
        usize::try_from(made).unwrap_or(0).min(samples.len())
    }

    /// Takes a T.38 packet of the network.
    pub fn receive_packet(&mut self, number: u16, ifp: &[u8]) {
        let Ok(length) = c_int::try_from(ifp.len()) else { return };
        if length == 0 {
            return;
        }
        let f = self.functions();
        // SAFETY: a live state; the library reads so many octets and checks lengths in them against that.
        unsafe { (f.t38_core_rx_ifp_packet)(self.core, ifp.as_ptr(), length, number) };
    }

    /// The next packet for the network, and how often it is to be sent.
    pub fn next_packet(&mut self) -> Option<(Vec<u8>, usize)> {
        self.callbacks.next_packet()
    }

    /// The next line of the protocol's log: severity as spandsp numbers it, and the text.
    pub fn next_log_line(&mut self) -> Option<(i32, String)> {
        next_log_line()
    }

    /// The figures so far.
    #[must_use]
    pub fn report(&self) -> GatewayReport {
        // SAFETY: a live gateway of this library.
        let s = unsafe { self.callbacks.library.gateway_statistics(self.state) };
        GatewayReport { bit_rate: s.bit_rate, ecm: s.ecm != 0, pages: s.pages }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // SAFETY: made by `t38_gateway_init`, and freed only here. The queues still stand.
        unsafe { (self.functions().t38_gateway_free)(self.state) };
    }
}
