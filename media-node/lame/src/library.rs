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

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) -> $result:ty;)*) => {
        /// The functions that are used, with the types of `lame.h`.
        #[derive(Clone, Copy)]
        #[expect(non_snake_case, reason = "LAME's names")]
        pub(crate) struct Functions {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Functions {
            /// # Safety
            /// The library must be LAME 3.98 or later, whose functions have these types, and stay loaded while they are
            /// used.
            unsafe fn find(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: the caller's promise.
                    $($name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }?,)*
                })
            }
        }
    };
}

functions! {
    lame_init: fn() -> *mut Handle;
    lame_close: fn(*mut Handle) -> c_int;
    lame_init_params: fn(*mut Handle) -> c_int;
    lame_set_errorf: fn(*mut Handle, Reporter) -> c_int;
    lame_set_debugf: fn(*mut Handle, Reporter) -> c_int;
    lame_set_msgf: fn(*mut Handle, Reporter) -> c_int;
    lame_set_bWriteVbrTag: fn(*mut Handle, c_int) -> c_int;
    lame_set_write_id3tag_automatic: fn(*mut Handle, c_int) -> ();
    lame_set_num_channels: fn(*mut Handle, c_int) -> c_int;
    lame_set_in_samplerate: fn(*mut Handle, c_int) -> c_int;
    lame_set_out_samplerate: fn(*mut Handle, c_int) -> c_int;
    lame_set_brate: fn(*mut Handle, c_int) -> c_int;
    lame_set_mode: fn(*mut Handle, c_int) -> c_int;
    lame_set_quality: fn(*mut Handle, c_int) -> c_int;
    lame_set_disable_reservoir: fn(*mut Handle, c_int) -> c_int;
    lame_encode_buffer: fn(*mut Handle, *const i16, *const i16, c_int, *mut u8, c_int) -> c_int;
    lame_encode_buffer_interleaved: fn(*mut Handle, *const i16, c_int, *mut u8, c_int) -> c_int;
    lame_encode_flush: fn(*mut Handle, *mut u8, c_int) -> c_int;
    lame_get_lametag_frame: fn(*const Handle, *mut u8, usize) -> usize;
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
    let missing = |error: libloading::Error| Error::Missing {
        file: FILE,
        package: PACKAGE,
        why: error.to_string(),
    };
    // SAFETY: loading runs the library's initialisers. The name is a constant and found by the system's loader alone, and
    // LAME has no initialisers but the C runtime's.
    let library = unsafe { Library::new(file) }.map_err(missing)?;
    // SAFETY: the name says LAME's ABI 0, in which these functions have these types since 3.98; it is never unloaded (below).
    let found = unsafe { Functions::find(&library) }.map_err(missing)?;
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
