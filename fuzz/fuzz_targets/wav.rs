//! WAV files: prompts and recordings from elsewhere.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    if let Ok((info, samples)) = media::wav::decode(file) {
        assert!(info.data.end <= file.len());
        assert!(samples.len() <= file.len());
    }
});
