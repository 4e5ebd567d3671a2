//! spandsp, loaded at run time.
//!
//! The signatures are those of its public headers at 0.0.6 (`libspandsp.so.2`). FreeSWITCH's own spandsp
//! (`libspandsp.so.3`) has other ones under the same names: handlers get other arguments, statistics other fields. That is
//! why a library is taken only if it has a function that the later one lost, and fills in exactly as much of the
//! statistics as the earlier one does.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use libloading::Library as Shared;
use parking_lot::Mutex;

/// The Debian package that has the library.
pub const PACKAGE: &str = "libspandsp2";
/// Its name for the system's loader.
const NAME: &str = "libspandsp.so.2";
/// The one with another interface.
const OTHER: &str = "libspandsp.so.3";

/// Why there is no library.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is not installed.
    #[error(
        "faxes need the library spandsp ({0}), which is not here: install the Debian package {PACKAGE}"
    )]
    Missing(String),
    /// Only the later one is installed.
    #[error(
        "faxes need the library spandsp 0.0.6 ({NAME}): {OTHER} has another interface; install the Debian package {PACKAGE}"
    )]
    OtherVersion,
    /// It lacks a function.
    #[error("{0} is no spandsp 0.0.6: it has no {1}")]
    Lacks(String, &'static str),
    /// Its data are laid out otherwise.
    #[error("{0} is no spandsp 0.0.6: its statistics have {1} octets, not {STATISTICS}")]
    Layout(String, usize),
}

/// Opaque states of the library.
pub(crate) type State = c_void;
pub(crate) type PhaseHandler = unsafe extern "C" fn(*mut State, *mut c_void, c_int) -> c_int;
pub(crate) type EndHandler = unsafe extern "C" fn(*mut State, *mut c_void, c_int);
pub(crate) type LogHandler = unsafe extern "C" fn(c_int, *const c_char);
pub(crate) type PacketHandler =
    unsafe extern "C" fn(*mut State, *mut c_void, *const u8, c_int, c_int) -> c_int;

/// `t30_stats_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) bit_rate: c_int,
    pub(crate) ecm: c_int,
    pub(crate) pages_tx: c_int,
    pub(crate) pages_rx: c_int,
    pub(crate) pages_in_file: c_int,
    pub(crate) x_resolution: c_int,
    pub(crate) y_resolution: c_int,
    pub(crate) width: c_int,
    pub(crate) length: c_int,
    pub(crate) image_size: c_int,
    pub(crate) encoding: c_int,
    pub(crate) bad_rows: c_int,
    pub(crate) longest_bad_row_run: c_int,
    pub(crate) ecm_retries: c_int,
    pub(crate) status: c_int,
}

/// `t38_stats_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GatewayStatistics {
    pub(crate) bit_rate: c_int,
    pub(crate) ecm: c_int,
    pub(crate) pages: c_int,
}

const STATISTICS: usize = size_of::<Statistics>();
/// Octets offered to the library where it fills in statistics: more than either version writes.
const ROOM: usize = 512;

base::library_functions! {
    fax_init(*mut State, c_int) -> *mut State;
    fax_free(*mut State) -> c_int;
    fax_rx(*mut State, *mut i16, c_int) -> c_int;
    fax_tx(*mut State, *mut i16, c_int) -> c_int;
    fax_set_transmit_on_idle(*mut State, c_int);
    fax_set_tep_mode(*mut State, c_int);
    fax_get_t30_state(*mut State) -> *mut State;
    fax_get_logging_state(*mut State) -> *mut State;
    t38_terminal_init(*mut State, c_int, PacketHandler, *mut c_void) -> *mut State;
    t38_terminal_free(*mut State) -> c_int;
    t38_terminal_send_timeout(*mut State, c_int) -> c_int;
    t38_terminal_set_tep_mode(*mut State, c_int);
    t38_terminal_get_t30_state(*mut State) -> *mut State;
    t38_terminal_get_t38_core_state(*mut State) -> *mut State;
    t38_terminal_get_logging_state(*mut State) -> *mut State;
    t38_gateway_init(*mut State, PacketHandler, *mut c_void) -> *mut State;
    t38_gateway_free(*mut State) -> c_int;
    t38_gateway_rx(*mut State, *mut i16, c_int) -> c_int;
    t38_gateway_rx_fillin(*mut State, c_int) -> c_int;
    t38_gateway_tx(*mut State, *mut i16, c_int) -> c_int;
    t38_gateway_set_ecm_capability(*mut State, c_int);
    t38_gateway_set_transmit_on_idle(*mut State, c_int);
    t38_gateway_set_supported_modems(*mut State, c_int);
    t38_gateway_set_tep_mode(*mut State, c_int);
    t38_gateway_set_fill_bit_removal(*mut State, c_int);
    t38_gateway_get_transfer_statistics(*mut State, *mut c_void);
    t38_gateway_get_t38_core_state(*mut State) -> *mut State;
    t38_gateway_get_logging_state(*mut State) -> *mut State;
    t38_core_get_logging_state(*mut State) -> *mut State;
    modem_connect_tones_rx_init(*mut State, c_int, *mut c_void, *mut c_void) -> *mut State;
    modem_connect_tones_rx_free(*mut State) -> c_int;
    modem_connect_tones_rx(*mut State, *const i16, c_int) -> c_int;
    modem_connect_tones_rx_get(*mut State) -> c_int;
    t38_core_rx_ifp_packet(*mut State, *const u8, c_int, u16) -> c_int;
    t38_set_t38_version(*mut State, c_int);
    t38_set_max_buffer_size(*mut State, c_int);
    t38_set_max_datagram_size(*mut State, c_int);
    t38_set_fastest_image_data_rate(*mut State, c_int);
    t38_set_fill_bit_removal(*mut State, c_int);
    t38_set_mmr_transcoding(*mut State, c_int);
    t38_set_jbig_transcoding(*mut State, c_int);
    t38_set_data_rate_management_method(*mut State, c_int);
    t30_terminate(*mut State);
    t30_call_active(*mut State) -> c_int;
    t30_get_transfer_statistics(*mut State, *mut c_void);
    t30_set_tx_ident(*mut State, *const c_char) -> c_int;
    t30_get_tx_ident(*mut State) -> *const c_char;
    t30_get_rx_ident(*mut State) -> *const c_char;
    t30_get_rx_country(*mut State) -> *const c_char;
    t30_get_rx_vendor(*mut State) -> *const c_char;
    t30_get_rx_model(*mut State) -> *const c_char;
    t30_set_tx_page_header_info(*mut State, *const c_char) -> c_int;
    t30_set_tx_page_header_tz(*mut State, *const c_char) -> c_int;
    t30_set_rx_file(*mut State, *const c_char, c_int);
    t30_set_tx_file(*mut State, *const c_char, c_int, c_int);
    t30_set_ecm_capability(*mut State, c_int) -> c_int;
    t30_set_supported_modems(*mut State, c_int) -> c_int;
    t30_set_supported_compressions(*mut State, c_int) -> c_int;
    t30_set_supported_resolutions(*mut State, c_int) -> c_int;
    t30_set_supported_image_sizes(*mut State, c_int) -> c_int;
    t30_set_phase_b_handler(*mut State, PhaseHandler, *mut c_void);
    t30_set_phase_d_handler(*mut State, PhaseHandler, *mut c_void);
    t30_set_phase_e_handler(*mut State, EndHandler, *mut c_void);
    t30_get_logging_state(*mut State) -> *mut State;
    t30_completion_code_to_str(c_int) -> *const c_char;
    span_log_set_level(*mut State, c_int) -> c_int;
    span_log_set_message_handler(*mut State, LogHandler);
}

/// Held while a state is made: that fills in tables that all states of the process share, however often the library was
/// loaded.
pub(crate) static INIT_LOCK: Mutex<()> = Mutex::new(());

/// spandsp 0.0.6. Its functions work on states of their own and may be called from several threads at once, each state
/// from one.
pub struct Library {
    pub(crate) functions: Functions,
    /// Last: the functions are in it.
    _shared: Shared,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Library")
    }
}

impl Library {
    /// Loads the library: the one of that name or path, or with an empty name the one the system has.
    ///
    /// # Errors
    /// Why faxes cannot be had, for people.
    pub fn load(name: &str) -> Result<Arc<Self>, LoadError> {
        let wanted = if name.is_empty() { NAME } else { name };
        // SAFETY: loading runs the library's own initialisers. spandsp has none that could be harmful; which file it is, the
        // system's loader decides, or the administrator.
        let Ok(shared) = (unsafe { Shared::new(wanted) }) else {
            // SAFETY: as above; nothing of it is called.
            let other = name.is_empty() && unsafe { Shared::new(OTHER) }.is_ok();
            return Err(if other {
                LoadError::OtherVersion
            } else {
                LoadError::Missing(wanted.to_owned())
            });
        };
        // SAFETY: the version is what the file's name says, and is looked at below before anything is called but
        // `fax_init`, `fax_get_t30_state`, `t30_get_transfer_statistics` and `fax_free`, whose arguments are the same in
        // both versions; `shared` is kept as long as the functions.
        let functions = unsafe { Functions::find(&shared) }
            .map_err(|lacks| LoadError::Lacks(wanted.to_owned(), lacks))?;
        let library = Self { functions, _shared: shared };
        let octets = library.statistics_size();
        if octets != STATISTICS {
            return Err(LoadError::Layout(wanted.to_owned(), octets));
        }
        Ok(Arc::new(library))
    }

    /// Octets that the library fills in of statistics, found out by having it do so twice.
    fn statistics_size(&self) -> usize {
        let f = &self.functions;
        let _one = INIT_LOCK.lock();
        // SAFETY: a state of the library's own making is given back to it; its statistics get more room than they have in
        // any version.
        unsafe {
            let state = (f.fax_init)(ptr::null_mut(), 0);
            if state.is_null() {
                return 0;
            }
            let t30 = (f.fax_get_t30_state)(state);
            let [mut once, mut again] = [[0x55_u8; ROOM], [0xaa_u8; ROOM]];
            (f.t30_get_transfer_statistics)(t30, once.as_mut_ptr().cast());
            (f.t30_get_transfer_statistics)(t30, again.as_mut_ptr().cast());
            (f.fax_free)(state);
            let untouched = |at: usize| once.get(at) == Some(&0x55) && again.get(at) == Some(&0xaa);
            (0..ROOM).rev().find(|at| !untouched(*at)).map_or(0, |last| last + 1)
        }
    }

    /// The statistics of a T.30 state.
    ///
    /// # Safety
    /// `t30` is a live state of this library.
    pub(crate) unsafe fn statistics(&self, t30: *mut State) -> Statistics {
        // More room than the structure has, in case this file is of another version than it says.
        #[repr(C)]
        struct Room {
            statistics: Statistics,
            spare: [u8; ROOM],
        }
        let mut room = Room { statistics: Statistics::default(), spare: [0; ROOM] };
        // SAFETY: the caller's promise; all fields are integers.
        unsafe {
            (self.functions.t30_get_transfer_statistics)(t30, ptr::from_mut(&mut room).cast())
        };
        room.statistics
    }

    /// The statistics of a gateway.
    ///
    /// # Safety
    /// `gateway` is a live gateway of this library.
    pub(crate) unsafe fn gateway_statistics(&self, gateway: *mut State) -> GatewayStatistics {
        // With spare room, as above.
        #[repr(C)]
        struct Room {
            statistics: GatewayStatistics,
            spare: [u8; ROOM],
        }
        let mut room = Room { statistics: GatewayStatistics::default(), spare: [0; ROOM] };
        let get = self.functions.t38_gateway_get_transfer_statistics;
        // SAFETY: the caller's promise; all fields are integers.
        unsafe { get(gateway, ptr::from_mut(&mut room).cast()) };
        room.statistics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_names_its_package() {
        let error = Library::load("/nonexistent/libspandsp.so.2").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("install the Debian package libspandsp2"), "{text}");
        assert!(text.contains("/nonexistent/libspandsp.so.2"), "{text}");
    }

    #[test]
    fn a_library_that_is_another_is_refused() {
        let error = Library::load("libc.so.6").unwrap_err();
        assert_eq!(error, LoadError::Lacks("libc.so.6".into(), "fax_init"));
    }

    #[test]
    fn the_one_of_the_system_is_taken() {
        match Library::load("") {
            Ok(library) => assert_eq!(library.statistics_size(), 60),
            Err(error) => eprintln!("SKIPPED: {error}"),
        }
    }
}
