//! Functions of C libraries that are loaded at run time.

/// Declares a struct `Functions` with one pointer per function of a C library, and `Functions::find`, which looks all of
/// them up by name in a `libloading::Library`. The struct copies what it finds and does not keep the library loaded.
///
/// `find` is unsafe: its caller promises that the library has these functions with these signatures, and that it stays
/// loaded as long as the pointers are used. Its error is the name of the first function the library lacks.
///
/// One line declares one function: `strlen(*const std::ffi::c_char) -> usize;`.
#[macro_export]
macro_rules! library_functions {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions that are used, by their names in the library's headers.
        #[derive(Clone, Copy)]
        #[allow(non_snake_case, reason = "the library's names")]
        pub(crate) struct Functions {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            /// Looks the functions up. The error is the name of one that the library lacks.
            ///
            /// # Safety
            /// The library's functions of these names have these signatures, and it stays loaded while they are used.
            unsafe fn find(library: &libloading::Library) -> Result<Self, &'static str> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the caller's promise about the signatures.
                        let found = unsafe {
                            library.get::<unsafe extern "C" fn($($argument),*) $(-> $result)?>(
                                concat!(stringify!($name), "\0").as_bytes(),
                            )
                        };
                        *found.map_err(|_| stringify!($name))?
                    },)*
                })
            }
        }
    };
}
