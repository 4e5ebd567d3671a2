//! LAME's functions, found in the library by name.

use std::ffi::{c_char, c_int, c_void};

use libloading::Library;
use parking_lot::Mutex;

use crate::Error;

/// The library's file, as the loader looks for it.
pub(crate) const FILE: &str = "libmp3lame.so.0";
/// The Debian package that brings it.
pub(crate) const PACKAGE: &str = "libmp3lame0";

/// LAME's `lame_global_flags`: only ever a pointer.
#[repr(C)]
pub(crate) struct Handle {
    _opaque: [u8; 0],
}

/// Takes a line of text LAME has to say. The second argument is a `va_list`, which is never looked at: only null is given.
type Reporter = Option<unsafe extern "C" fn(*const c_char, *mut c_void)>;

base::library_functions! {
    lame_init() -> *mut Handle;
    lame_close(*mut Handle) -> c_int;
    lame_init_params(*mut Handle) -> c_int;
    lame_set_errorf(*mut Handle, Reporter) -> c_int;
    lame_set_debugf(*mut Handle, Reporter) -> c_int;
    lame_set_msgf(*mut Handle, Reporter) -> c_int;
    lame_set_bWriteVbrTag(*mut Handle, c_int) -> c_int;
    lame_set_write_id3tag_automatic(*mut Handle, c_int);
    lame_set_num_channels(*mut Handle, c_int) -> c_int;
    lame_set_in_samplerate(*mut Handle, c_int) -> c_int;
    lame_set_out_samplerate(*mut Handle, c_int) -> c_int;
    lame_set_brate(*mut Handle, c_int) -> c_int;
    lame_set_mode(*mut Handle, c_int) -> c_int;
    lame_set_quality(*mut Handle, c_int) -> c_int;
    lame_set_disable_reservoir(*mut Handle, c_int) -> c_int;
    lame_encode_buffer(*mut Handle, *const i16, *const i16, c_int, *mut u8, c_int) -> c_int;
    lame_encode_buffer_interleaved(*mut Handle, *const i16, c_int, *mut u8, c_int) -> c_int;
    lame_encode_flush(*mut Handle, *mut u8, c_int) -> c_int;
    lame_get_lametag_frame(*const Handle, *mut u8, usize) -> usize;
}

/// What was found. A library that is missing is looked for again: it may be installed meanwhile.
static LOADED: Mutex<Option<Functions>> = Mutex::new(None);

pub(crate) fn functions() -> Result<Functions, Error> {
    let mut loaded = LOADED.lock();
    if let Some(functions) = *loaded {
        return Ok(functions);
    }
    let found = load(FILE)?;
    *loaded = Some(found);
    Ok(found)
}

fn load(file: &str) -> Result<Functions, Error> {
    let missing = |why: String| Error::Missing { file: FILE, package: PACKAGE, why };
    // SAFETY: loading runs the library's initialisers. The name is a constant and found by the system's loader alone, and
    // LAME has no initialisers but the C runtime's.
    let library = unsafe { Library::new(file) }.map_err(|error| missing(error.to_string()))?;
    // SAFETY: the name says LAME's ABI 0, in which these functions have these types since 3.98; it is never unloaded (below).
    let found = unsafe { Functions::find(&library) }
        .map_err(|lacks| missing(format!("it has no {lacks}")))?;
    std::mem::forget(library);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_or_not_lame_is_told_with_the_package_that_brings_it() {
        for (file, why) in [("libmp3lame-none.so.0", "No such file"), ("libm.so.6", "lame_init")] {
            let error = load(file).err().expect("it is not there").to_string();
            assert!(error.contains(PACKAGE) && error.contains(why), "{error}");
        }
    }
}
