//! MP3 encoding by LAME, the library of the system (`libmp3lame.so.0`), loaded when the first encoder is made.
//!
//! LAME's licence (LGPL) does not fit a statically linked program: nothing of it is part of this one, which runs without
//! it and then writes no MP3. All that is unsafe is here, behind [`Encoder`].

#![deny(unsafe_op_in_unsafe_fn)]

mod library;

use std::ffi::c_int;
use std::ptr::{self, NonNull};

use library::{Functions, Handle};

/// Samples of a channel encoded at once. Resampled from 8 to 48 kHz they become six times as many, whose frames at 320 kbit/s
/// must find room in [`WORST`].
const PIECE: usize = 1152;
/// Octets LAME may give for a piece, by its documentation: 1.25 per sample of the file's and 7200 more. Seven frames of 960
/// octets (48 kHz) and five of 1440 (32 kHz), the most that a piece of 8 kHz becomes, fit in.
const WORST: usize = PIECE * 5 / 4 + 7200;
/// Sampling rates of MPEG 1, 2 and 2.5.
const RATES: [u32; 9] = [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];
/// Two channels that know nothing of each other (`STEREO` of LAME's `MPEG_mode`).
const APART: c_int = 0;
/// One channel.
const MONO: c_int = 3;
/// Quality unless asked for otherwise, from 0 (best) to 9 (fastest); mod_shout's.
const QUALITY: u32 = 2;

/// Why there is no encoder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library is not installed, or is not one.
    #[error(
        "writing MP3 needs LAME, and {file} cannot be loaded (Debian package {package}): {why}"
    )]
    Missing {
        /// The file that was looked for.
        file: &'static str,
        /// The Debian package it is in.
        package: &'static str,
        /// What the loader said.
        why: String,
    },
    /// LAME refuses the settings, or has no memory.
    #[error("LAME refuses {rate} Hz, {channels} channels, {kbps} kbit/s")]
    Refused {
        /// Samples per second.
        rate: u32,
        /// Channels.
        channels: u16,
        /// Kilobits per second.
        kbps: u32,
    },
    /// LAME failed at a piece of audio.
    #[error("LAME failed with {0}")]
    Failed(c_int),
}

/// Can the library be loaded? It stays loaded.
///
/// # Errors
/// [`Error::Missing`].
pub fn available() -> Result<(), Error> {
    library::functions().map(drop)
}

/// How a file is to be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Samples per second of what is given.
    pub rate: u32,
    /// One or two.
    pub channels: u16,
    /// Kilobits per second; 0 = 16 for each channel and 8 kHz, as mod_shout has it.
    pub kbps: u32,
    /// Samples per second of the file; 0 = as given.
    pub resample: u32,
    /// From 1 (best) to 9 (fastest); 0 = 2.
    pub quality: u32,
    /// Each frame can be decoded without the ones before it.
    pub independent: bool,
    /// A first frame is kept for the length of the file ([`Encoder::info_frame`]).
    pub info: bool,
}

impl Settings {
    /// Kilobits per second of the file. LAME takes the nearest rate there is.
    #[must_use]
    pub fn kbps(&self) -> u32 {
        match self.kbps {
            0 => (16 * (self.rate / 8000).max(1) * u32::from(self.channels)).clamp(8, 320),
            kbps => kbps.clamp(8, 320),
        }
    }

    /// Samples per second of the file.
    #[must_use]
    pub fn file_rate(&self) -> u32 {
        let wanted = if self.resample == 0 { self.rate } else { self.resample };
        let nearest = RATES.into_iter().min_by_key(|rate| rate.abs_diff(wanted));
        nearest.unwrap_or(wanted)
    }
}

/// An encoder of one file.
pub struct Encoder {
    functions: Functions,
    handle: NonNull<Handle>,
    channels: u16,
}

// SAFETY: LAME keeps an encoder's whole state behind its handle and nothing in the thread; the handle is owned by this value
// alone, and every call takes it mutably.
unsafe impl Send for Encoder {}

impl Encoder {
    /// An encoder.
    ///
    /// # Errors
    /// The library is missing, or refuses the settings.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let Settings { rate, channels, .. } = *settings;
        let kbps = settings.kbps();
        let refused = || Error::Refused { rate, channels, kbps };
        if !(1..=2).contains(&channels) {
            return Err(refused());
        }
        let functions = library::functions()?;
        // SAFETY: takes nothing, and gives an encoder or null.
        let handle = NonNull::new(unsafe { (functions.lame_init)() }).ok_or_else(refused)?;
        let encoder = Self { functions, handle, channels };
        let number = |n: u32| c_int::try_from(n).unwrap_or(c_int::MAX);
        let quality = if settings.quality == 0 { QUALITY } else { settings.quality.min(9) };
        let mode = if channels == 2 { APART } else { MONO };
        let lame = handle.as_ptr();
        // SAFETY: the handle is the one just made, and no parameter was fixed yet; null as a reporter stands for silence
        // in place of lines on the error output.
        let ready = unsafe {
            (functions.lame_set_errorf)(lame, None);
            (functions.lame_set_debugf)(lame, None);
            (functions.lame_set_msgf)(lame, None);
            (functions.lame_set_bWriteVbrTag)(lame, settings.info.into());
            (functions.lame_set_write_id3tag_automatic)(lame, 0);
            (functions.lame_set_num_channels)(lame, c_int::from(channels));
            (functions.lame_set_in_samplerate)(lame, number(rate));
            (functions.lame_set_out_samplerate)(lame, number(settings.file_rate()));
            (functions.lame_set_brate)(lame, number(kbps));
            (functions.lame_set_mode)(lame, mode);
            (functions.lame_set_quality)(lame, number(quality));
            (functions.lame_set_disable_reservoir)(lame, settings.independent.into());
            (functions.lame_init_params)(lame)
        };
        if ready < 0 { Err(refused()) } else { Ok(encoder) }
    }

    /// Encodes samples, interleaved where there are two channels, and adds the frames that are done to `out`.
    ///
    /// # Errors
    /// LAME failed, as for want of memory.
    pub fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) -> Result<(), Error> {
        let channels = usize::from(self.channels);
        for piece in samples.chunks(PIECE * channels) {
            let frames = c_int::try_from(piece.len() / channels).unwrap_or(0);
            let (lame, audio) = (self.handle.as_ptr(), piece.as_ptr());
            let functions = self.functions;
            give(out, |octets, size| {
                // SAFETY: `audio` holds `frames` samples for each channel and `octets` has room for `size`; LAME reads the
                // first, though its prototype has no `const` for it in one of the two, and writes at most `size`.
                unsafe {
                    if channels == 2 {
                        (functions.lame_encode_buffer_interleaved)(
                            lame, audio, frames, octets, size,
                        )
                    } else {
                        (functions.lame_encode_buffer)(
                            lame,
                            audio,
                            ptr::null(),
                            frames,
                            octets,
                            size,
                        )
                    }
                }
            })?;
        }
        Ok(())
    }

    /// Adds what is left. Nothing is encoded after it.
    ///
    /// # Errors
    /// LAME failed.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let (lame, flush) = (self.handle.as_ptr(), self.functions.lame_encode_flush);
        // SAFETY: `octets` has room for `size`, which is more than LAME asks for at the end (7200).
        give(out, |octets, size| unsafe { flush(lame, octets, size) })
    }

    /// The first frame, with the length of the file in it, once all is flushed; empty where frames are too short for it.
    pub fn info_frame(&mut self) -> Vec<u8> {
        let mut frame = vec![0; WORST];
        // SAFETY: the buffer is as long as is said; LAME writes nothing if it needs more, and says how much.
        let len = unsafe {
            (self.functions.lame_get_lametag_frame)(
                self.handle.as_ptr(),
                frame.as_mut_ptr(),
                frame.len(),
            )
        };
        if len > frame.len() {
            return Vec::new();
        }
        frame.truncate(len);
        frame
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the handle came from `lame_init`, is closed here only, and not used after.
        let _closed = unsafe { (self.functions.lame_close)(self.handle.as_ptr()) };
    }
}

/// Lets LAME write at the end of `out`.
fn give(out: &mut Vec<u8>, write: impl FnOnce(*mut u8, c_int) -> c_int) -> Result<(), Error> {
    let before = out.len();
    out.resize(before + WORST, 0);
    let room = out.get_mut(before..).unwrap_or_default();
    let size = c_int::try_from(room.len()).unwrap_or(0);
    let written = write(room.as_mut_ptr(), size);
    out.truncate(before + usize::try_from(written).unwrap_or(0).min(WORST));
    if written < 0 { Err(Error::Failed(written)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(rate: u32, channels: u16) -> Settings {
        Settings {
            rate,
            channels,
            kbps: 0,
            resample: 0,
            quality: 0,
            independent: false,
            info: true,
        }
    }

    #[test]
    fn bit_rates_are_mod_shouts_and_sampling_rates_those_of_mpeg() {
        let figures = |s: Settings| (s.kbps(), s.file_rate());
        assert_eq!(figures(settings(8000, 1)), (16, 8000));
        assert_eq!(figures(settings(8000, 2)), (32, 8000));
        assert_eq!(figures(settings(48_000, 2)), (192, 48_000));
        assert_eq!(figures(settings(44_100, 1)), (80, 44_100));
        assert_eq!(figures(settings(7000, 1)), (16, 8000));
        assert_eq!(figures(settings(192_000, 2)), (320, 48_000));
        let asked = Settings { kbps: 24, resample: 16_000, ..settings(8000, 1) };
        assert_eq!(figures(asked), (24, 16_000));
    }

    /// Is LAME here? Says on the error output what is not tested without it.
    fn is_here(test: &str) -> bool {
        let here = available();
        if let Err(error) = &here {
            eprintln!("SKIPPED: {test}: {error}");
        }
        here.is_ok()
    }

    #[test]
    fn what_is_encoded_is_frames_and_the_first_tells_how_many() {
        if !is_here("what is encoded") {
            return;
        }
        for (rate, channels) in [(8000, 1), (8000, 2), (16_000, 1), (48_000, 2)] {
            let mut encoder = Encoder::new(&settings(rate, channels)).unwrap();
            let second = vec![1000; rate as usize * usize::from(channels)];
            let mut file = Vec::new();
            encoder.encode(&second, &mut file).unwrap();
            encoder.flush(&mut file).unwrap();
            let info = encoder.info_frame();
            assert_eq!(file[0], 0xff, "frames begin with their mark");
            let named = info.windows(4).any(|four| four == b"Info");
            // Frames of 144 octets have no room for it.
            assert_eq!(named, channels == 2, "{rate} {channels}");
            let expected = settings(rate, channels).kbps() as usize * 1000 / 8;
            let slack = expected * 3 / 10 + 2000;
            assert!(file.len().abs_diff(expected) < slack, "{}: {expected}", file.len());
        }
    }

    #[test]
    fn settings_no_file_can_have_are_refused() {
        let refused = Encoder::new(&settings(8000, 3)).err();
        assert!(matches!(refused, Some(Error::Refused { channels: 3, .. })));
    }

    #[test]
    fn audio_that_becomes_more_when_it_is_resampled_finds_room() {
        if !is_here("audio that is resampled") {
            return;
        }
        for resample in [32_000, 44_100, 48_000] {
            let asked = Settings { kbps: 320, resample, ..settings(8000, 1) };
            let mut encoder = Encoder::new(&asked).unwrap();
            let mut file = Vec::new();
            encoder.encode(&[1000; 8000], &mut file).unwrap();
            encoder.flush(&mut file).unwrap();
            assert!(file.len().abs_diff(40_000) < 8000, "{resample}: {}", file.len());
        }
    }
}
