//! One fax machine of the library, behind a safe interface.

#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use sdp::T38Options;

use crate::callbacks::{
    Callbacks, callbacks, configure_t38, modems, next_log_line, on_t38_packet, set_up_logs, text,
};
use crate::library::{INIT_LOCK, Library, State, Statistics};
use crate::report::{Code, FaxEvent, Report};

/// Octets of a file's name; the library keeps no more, and would write to another file.
const MAX_FILE_NAME: usize = 255;
/// Octets of an identifier and of a header line (T.30).
const MAX_IDENT: usize = 20;
const MAX_HEADER: usize = 50;
/// Octets of a time zone.
const MAX_ZONE: usize = 64;
// Capabilities of a machine: see t30.h.
const T4_1D: c_int = 2;
const T4_2D: c_int = 4;
const T6: c_int = 8;
/// Standard, fine, superfine; R8, R16; 300 and 400 dots per inch.
const RESOLUTIONS: c_int = 0x01 | 0x02 | 0x04 | 0x2_0000 | 0x4_0000 | 0x10_0000 | 0x20_0000;
/// All widths and lengths.
const SIZES: c_int = 0x01 | 0x02 | 0x04 | 0x1_0000 | 0x2_0000 | 0x4_0000 | 0x8_0000 | 0x10_0000;
/// What a machine is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The TIFF file that is sent, or written.
    pub file: String,
    /// It is sent.
    pub sends: bool,
    /// The machine calls (sends CNG and waits for the other's capabilities).
    pub calls: bool,
    /// First and last page that are sent, from 0; -1 = all.
    pub pages: (i32, i32),
    /// Who we say we are: at most 20 characters.
    pub ident: String,
    /// Line at the head of each page that is sent: at most 50 characters.
    pub header: String,
    /// Time zone of that line (POSIX); empty = the system's.
    pub zone: String,
    /// Error correction may be used.
    pub ecm: bool,
    /// V.17 may be used (14,400 bit/s).
    pub v17: bool,
    /// A tone against echo suppressors is sent before the modems'.
    pub tep: bool,
    /// The protocol is logged.
    pub verbose: bool,
}

/// Why a machine cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// The library has no memory.
    #[error("spandsp cannot make a fax machine")]
    Refused,
    /// The name of the file cannot be handed on.
    #[error(
        "the name of the file is empty, longer than {MAX_FILE_NAME} octets, or has a NUL in it"
    )]
    FileName,
}

enum Transport {
    Audio(*mut State),
    T38 { state: *mut State, core: *mut State },
}

/// A fax machine. It is of one thread.
pub struct Machine {
    transport: Transport,
    t30: *mut State,
    /// Boxed: the library holds its address.
    callbacks: Box<Callbacks>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("t38", &matches!(self.transport, Transport::T38 { .. }))
            .finish()
    }
}

impl Machine {
    /// A machine on a telephone line: audio of 8,000 samples per second.
    ///
    /// # Errors
    /// See [`MachineError`].
    pub fn audio(library: &Arc<Library>, setup: &Setup) -> Result<Self, MachineError> {
        let texts = Texts::of(setup)?;
        let callbacks = Callbacks::new(library);
        let f = &library.functions;
        let _one = INIT_LOCK.lock();
        // SAFETY: without a state of ours `fax_init` makes one, which is freed in `drop`; the others get that one.
        unsafe {
            let state = (f.fax_init)(ptr::null_mut(), c_int::from(setup.calls));
            if state.is_null() {
                return Err(MachineError::Refused);
            }
            (f.fax_set_transmit_on_idle)(state, 1);
            (f.fax_set_tep_mode)(state, c_int::from(setup.tep));
            let t30 = (f.fax_get_t30_state)(state);
            let logs = [(f.fax_get_logging_state)(state), (f.t30_get_logging_state)(t30)];
            let machine = Self { transport: Transport::Audio(state), t30, callbacks };
            machine.set_up(setup, &texts, logs);
            Ok(machine)
        }
    }

    /// A machine on a network that carries T.38.
    ///
    /// # Errors
    /// See [`MachineError`].
    pub fn t38(
        library: &Arc<Library>,
        setup: &Setup,
        agreed: &T38Options,
    ) -> Result<Self, MachineError> {
        let texts = Texts::of(setup)?;
        let callbacks = Callbacks::new(library);
        let f = &library.functions;
        let _one = INIT_LOCK.lock();
        // SAFETY: as in `audio`. The handler gets the address of the queues, which does not
        // change and is freed after the state.
        unsafe {
            let user = callbacks.address();
            let state = (f.t38_terminal_init)(
                ptr::null_mut(),
                c_int::from(setup.calls),
                on_t38_packet,
                user,
            );
            if state.is_null() {
                return Err(MachineError::Refused);
            }
            (f.t38_terminal_set_tep_mode)(state, c_int::from(setup.tep));
            let core = (f.t38_terminal_get_t38_core_state)(state);
            configure_t38(f, core, agreed, setup.v17);
            let t30 = (f.t38_terminal_get_t30_state)(state);
            let logs = [(f.t38_terminal_get_logging_state)(state), (f.t30_get_logging_state)(t30)];
            let machine = Self { transport: Transport::T38 { state, core }, t30, callbacks };
            machine.set_up(setup, &texts, logs);
            Ok(machine)
        }
    }

    /// What both kinds have in common.
    fn set_up(&self, setup: &Setup, texts: &Texts, logs: [*mut State; 2]) {
        let (f, t30, user) = (self.functions(), self.t30, self.callbacks.address());
        let (first, last) = setup.pages;
        // SAFETY: live states of this library; it copies the texts, which end with NUL and are within its bounds. The
        // queues outlive the states.
        unsafe {
            set_up_logs(f, logs, setup.verbose);
            (f.t30_set_tx_ident)(t30, texts.ident.as_ptr());
            (f.t30_set_tx_page_header_info)(t30, texts.header.as_ptr());
            if !texts.zone.is_empty() {
                (f.t30_set_tx_page_header_tz)(t30, texts.zone.as_ptr());
            }
            (f.t30_set_phase_b_handler)(t30, on_phase_b, user);
            (f.t30_set_phase_d_handler)(t30, on_phase_d, user);
            (f.t30_set_phase_e_handler)(t30, on_phase_e, user);
            (f.t30_set_supported_image_sizes)(t30, SIZES);
            (f.t30_set_supported_resolutions)(t30, RESOLUTIONS);
            (f.t30_set_supported_compressions)(t30, T4_1D | T4_2D | T6);
            (f.t30_set_supported_modems)(t30, modems(setup.v17));
            (f.t30_set_ecm_capability)(t30, c_int::from(setup.ecm));
            if setup.sends {
                (f.t30_set_tx_file)(t30, texts.file.as_ptr(), first, last);
            } else {
                (f.t30_set_rx_file)(t30, texts.file.as_ptr(), -1);
            }
        }
    }

    fn functions(&self) -> &crate::library::Functions {
        &self.callbacks.library.functions
    }

    /// Takes audio of the line; nothing on a network.
    pub fn receive(&mut self, samples: &mut [i16]) {
        let Transport::Audio(state) = self.transport else { return };
        let Ok(length) = c_int::try_from(samples.len()) else { return };
        // SAFETY: a live state; the library reads and filters so many samples in place.
        unsafe { (self.functions().fax_rx)(state, samples.as_mut_ptr(), length) };
    }

    /// Fills in audio for the line; returns how many samples there are. None on a network.
    pub fn transmit(&mut self, samples: &mut [i16]) -> usize {
        let Transport::Audio(state) = self.transport else { return 0 };
        let Ok(room) = c_int::try_from(samples.len()) else { return 0 };
        // SAFETY: a live state; the library writes at most so many samples.
        let made = unsafe { (self.functions().fax_tx)(state, samples.as_mut_ptr(), room) };
        usize::try_from(made).unwrap_or(0).min(samples.len())
    }

    /// Takes a T.38 packet of the network; nothing on a line.
    pub fn receive_packet(&mut self, number: u16, ifp: &[u8]) {
        let Transport::T38 { core, .. } = self.transport else { return };
        let Ok(length) = c_int::try_from(ifp.len()) else { return };
        if length == 0 {
            return;
        }
        // SAFETY: a live state; the library reads so many octets and checks what they say against that length.
        unsafe { (self.functions().t38_core_rx_ifp_packet)(core, ifp.as_ptr(), length, number) };
    }

    /// So much time of 8,000 samples per second has passed on a network.
    pub fn advance(&mut self, samples: u32) {
        let Transport::T38 { state, .. } = self.transport else { return };
        let Ok(samples) = c_int::try_from(samples) else { return };
        // SAFETY: a live state.
        unsafe { (self.functions().t38_terminal_send_timeout)(state, samples) };
    }

    /// The next packet for the network, and how often it is to be sent.
    pub fn next_packet(&mut self) -> Option<(Vec<u8>, usize)> {
        self.callbacks.next_packet()
    }

    /// The machine's next event.
    pub fn next_event(&mut self) -> Option<FaxEvent> {
        let line = next_log_line().map(|(severity, text)| FaxEvent::Log(severity, text));
        line.or_else(|| self.callbacks.events.borrow_mut().pop_front())
    }

    /// Whether the fax goes on.
    #[must_use]
    pub fn is_active(&self) -> bool {
        // SAFETY: a live state.
        unsafe { (self.functions().t30_call_active)(self.t30) != 0 }
    }

    /// The figures so far.
    #[must_use]
    pub fn report(&self) -> Report {
        self.callbacks.report(self.t30)
    }

    /// Ends the fax; [`FaxEvent::Finished`] follows if it was not over.
    pub fn terminate(&mut self) {
        // SAFETY: a live state.
        unsafe { (self.functions().t30_terminate)(self.t30) };
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let f = self.functions();
        // SAFETY: made by `fax_init` or `t38_terminal_init`, and freed only here. The callbacks are still there.
        unsafe {
            match self.transport {
                Transport::Audio(state) => (f.fax_free)(state),
                Transport::T38 { state, .. } => (f.t38_terminal_free)(state),
            };
        }
    }
}

/// Texts as the library takes them.
struct Texts {
    file: CString,
    ident: CString,
    header: CString,
    zone: CString,
}

impl Texts {
    fn of(setup: &Setup) -> Result<Self, MachineError> {
        let file = &setup.file;
        let fits = !file.is_empty() && file.len() <= MAX_FILE_NAME;
        let file = fits.then(|| CString::new(file.as_str()).ok()).flatten();
        Ok(Self {
            file: file.ok_or(MachineError::FileName)?,
            ident: printable_ascii(&setup.ident, MAX_IDENT),
            header: printable_ascii(&setup.header, MAX_HEADER),
            zone: printable_ascii(&setup.zone, MAX_ZONE),
        })
    }
}

/// So much of a text as a page and a protocol of ASCII can hold.
fn printable_ascii(text: &str, longest: usize) -> CString {
    let shown = text.chars().filter(|c| !c.is_control());
    let ascii: Vec<u8> =
        shown.map(|c| if c.is_ascii() { c as u8 } else { b'?' }).take(longest).collect();
    CString::new(ascii).unwrap_or_default()
}

impl Callbacks {
    /// The figures of a T.30 state so far.
    fn report(&self, t30: *mut State) -> Report {
        let f = &self.library.functions;
        // SAFETY: `t30` is the live state of the machine this callbacks is of.
        let s: Statistics = unsafe { self.library.statistics(t30) };
        // SAFETY: the same; the texts are the state's and are copied at once.
        let [local, remote, country, vendor, model] = unsafe {
            [
                text((f.t30_get_tx_ident)(t30)),
                text((f.t30_get_rx_ident)(t30)),
                text((f.t30_get_rx_country)(t30)),
                text((f.t30_get_rx_vendor)(t30)),
                text((f.t30_get_rx_model)(t30)),
            ]
        };
        Report {
            bit_rate: s.bit_rate,
            ecm: s.ecm != 0,
            sent: s.pages_tx,
            received: s.pages_rx,
            in_file: s.pages_in_file,
            resolution: (s.x_resolution, s.y_resolution),
            size: (s.width, s.length),
            octets: s.image_size,
            encoding: s.encoding,
            bad_rows: s.bad_rows,
            longest_bad_run: s.longest_bad_row_run,
            local,
            remote,
            country,
            vendor,
            model,
        }
    }
}

unsafe extern "C" fn on_phase_b(t30: *mut State, user: *mut c_void, _result: c_int) -> c_int {
    // SAFETY: the library hands back what `set_up` gave it, within a call to it.
    if let Some(callbacks) = unsafe { callbacks(user) } {
        callbacks.push(FaxEvent::Negotiated(callbacks.report(t30)));
    }
    0
}

unsafe extern "C" fn on_phase_d(t30: *mut State, user: *mut c_void, _result: c_int) -> c_int {
    // SAFETY: as in `on_phase_b`.
    if let Some(callbacks) = unsafe { callbacks(user) } {
        callbacks.push(FaxEvent::PageDone(callbacks.report(t30)));
    }
    0
}

unsafe extern "C" fn on_phase_e(t30: *mut State, user: *mut c_void, result: c_int) {
    // SAFETY: as in `on_phase_b`.
    if let Some(callbacks) = unsafe { callbacks(user) } {
        // SAFETY: the function takes any number and gives a text of the library's own.
        let words =
            unsafe { text((callbacks.library.functions.t30_completion_code_to_str)(result)) };
        let done =
            FaxEvent::Finished { code: Code(result), text: words, report: callbacks.report(t30) };
        callbacks.push(done);
    }
}
