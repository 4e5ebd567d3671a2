//! Tone descriptions (TGML), from dialplans and from commands, and the samples they make.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media::tone::{Generator, Tones};

fuzz_target!(|text: &str| {
    if let Ok(tones) = Tones::parse(text) {
        let mut generator = Generator::new(tones, 8000);
        let mut frame = [0; 160];
        for _ in 0..50 {
            if generator.fill(&mut frame) < frame.len() {
                break;
            }
        }
    }
});
