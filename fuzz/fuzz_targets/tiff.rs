//! TIFF files that are to be faxed.

#![no_main]

use std::io::Cursor;

use fax::tiff::{LONGEST_PAGE, look};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    for page in look(&mut Cursor::new(file)).unwrap_or_default() {
        assert!(page.width > 0 && (1..=LONGEST_PAGE).contains(&page.length));
    }
});
