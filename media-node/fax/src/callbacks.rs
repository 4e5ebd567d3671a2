//! What fax machines and gateways have in common: the queues that the library's handlers fill, its log, T.38's options.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use sdp::T38Options;

use crate::library::{Functions, Library, State};
use crate::report::FaxEvent;

/// Packets and events that wait to be taken; more are lost, as on a network.
const MAX_QUEUED: usize = 512;
/// Lines of the protocol's log that wait.
const MAX_LOG_LINES: usize = 256;

// `T30_SUPPORT_…`, see t30.h.
const V27TER: c_int = 1;
const V29: c_int = 2;
const V17: c_int = 4;
/// Severity of every message of the protocol, with severity and protocol before each.
const LOG_ALL: c_int = 5 | 0x0400 | 0x0800;
/// `T38_DATA_RATE_MANAGEMENT_…`
const LOCAL_TCF: c_int = 1;
const TRANSFERRED_TCF: c_int = 2;

/// Queues that the library's handlers fill. Handlers run within calls to the library, on the same thread.
pub(crate) struct Callbacks {
    pub(crate) library: Arc<Library>,
    pub(crate) events: RefCell<VecDeque<FaxEvent>>,
    packets: RefCell<VecDeque<(Vec<u8>, usize)>>,
}

thread_local! {
    /// The log of the machines of this thread: the library gives its log handler the text and nothing that names the
    /// machine.
    static LOG: RefCell<VecDeque<(i32, String)>> = const { RefCell::new(VecDeque::new()) };
}

impl Callbacks {
    pub(crate) fn new(library: &Arc<Library>) -> Box<Self> {
        Box::new(Self {
            library: Arc::clone(library),
            events: RefCell::default(),
            packets: RefCell::default(),
        })
    }

    pub(crate) fn address(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// The next packet for the network, and how often it is to be sent.
    pub(crate) fn next_packet(&self) -> Option<(Vec<u8>, usize)> {
        self.packets.borrow_mut().pop_front()
    }

    pub(crate) fn push(&self, event: FaxEvent) {
        // Handlers run while nothing else borrows the list; if that were ever not so, an event is lost instead of a panic.
        if let Ok(mut list) = self.events.try_borrow_mut()
            && list.len() < MAX_QUEUED
        {
            list.push_back(event);
        }
    }
}

/// A text of the library; none is empty.
///
/// # Safety
/// The pointer is null or to a text that ends with NUL.
pub(crate) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// The queues a handler was given.
///
/// # Safety
/// The pointer is one of [`Callbacks::address`], and the machine lives.
pub(crate) unsafe fn callbacks<'a>(user: *mut c_void) -> Option<&'a Callbacks> {
    // SAFETY: the caller's promise. Nothing holds the callbacks mutably: its lists are in cells.
    unsafe { user.cast::<Callbacks>().as_ref() }
}

/// Modems that may be used (`T30_SUPPORT_…`).
pub(crate) fn modems(v17: bool) -> c_int {
    V29 | V27TER | if v17 { V17 } else { 0 }
}

/// Gives T.38 what was negotiated.
///
/// # Safety
/// `core` is a live T.38 state of that library.
pub(crate) unsafe fn configure_t38(
    f: &Functions,
    core: *mut State,
    agreed: &T38Options,
    v17: bool,
) {
    let number = |n: u32| c_int::try_from(n).unwrap_or(c_int::MAX);
    let local = agreed.rate_management.eq_ignore_ascii_case("localTCF");
    let fastest = agreed.max_bit_rate.min(if v17 { 14_400 } else { 9600 });
    let method = if local { LOCAL_TCF } else { TRANSFERRED_TCF };
    // SAFETY: the caller's promise; the functions take any number.
    unsafe {
        (f.t38_set_t38_version)(core, c_int::from(agreed.version));
        (f.t38_set_max_buffer_size)(core, number(agreed.max_buffer));
        (f.t38_set_max_datagram_size)(core, number(agreed.max_datagram));
        (f.t38_set_fastest_image_data_rate)(core, number(fastest));
        (f.t38_set_fill_bit_removal)(core, c_int::from(agreed.fill_bit_removal));
        (f.t38_set_mmr_transcoding)(core, c_int::from(agreed.transcoding_mmr));
        (f.t38_set_jbig_transcoding)(core, c_int::from(agreed.transcoding_jbig));
        (f.t38_set_data_rate_management_method)(core, method);
    }
}

/// Has the library log to this thread's list, which is emptied.
///
/// # Safety
/// The states are live logging states of that library.
pub(crate) unsafe fn set_up_logs(f: &Functions, logs: [*mut State; 2], verbose: bool) {
    LOG.with_borrow_mut(VecDeque::clear);
    for log in logs {
        // SAFETY: the caller's promise.
        unsafe {
            (f.span_log_set_message_handler)(log, on_log);
            (f.span_log_set_level)(log, if verbose { LOG_ALL } else { 0 });
        }
    }
}

/// The next line of the log of this thread's machine: severity, and text.
pub(crate) fn next_log_line() -> Option<(i32, String)> {
    LOG.with_borrow_mut(VecDeque::pop_front)
}

pub(crate) unsafe extern "C" fn on_t38_packet(
    _core: *mut State,
    user: *mut c_void,
    octets: *const u8,
    length: c_int,
    count: c_int,
) -> c_int {
    let (Ok(length), Ok(count)) = (usize::try_from(length), usize::try_from(count)) else {
        return 0;
    };
    if octets.is_null() {
        return 0;
    }
    // SAFETY: the library hands back what it was given, within a call to it; the library gives a buffer of so many octets.
    let (callbacks, packet) =
        unsafe { (callbacks(user), std::slice::from_raw_parts(octets, length)) };
    if let Some(mut list) = callbacks.and_then(|callbacks| callbacks.packets.try_borrow_mut().ok())
        && list.len() < MAX_QUEUED
    {
        list.push_back((packet.to_vec(), count));
    }
    0
}

unsafe extern "C" fn on_log(severity: c_int, line: *const c_char) {
    // SAFETY: the library gives a text that ends with NUL.
    let line = unsafe { text(line) };
    // While the thread ends there is no list any more.
    let _gone = LOG.try_with(|log| {
        if let Ok(mut log) = log.try_borrow_mut()
            && log.len() < MAX_LOG_LINES
        {
            log.push_back((severity, line.trim_end().to_owned()));
        }
    });
}
