//! From the synthesiser's samples to a prompt: trimmed, levelled, at the rate asked for.
//!
//! This runs once, offline; it is no part of the media engine.

use std::f64::consts::PI;
use std::path::Path;
use std::{fs, io};

/// Mono speech.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Audio {
    pub(super) rate: u32,
    pub(super) samples: Vec<i16>,
}

/// Quieter than this is silence: -50 dB of full scale.
const SILENCE: u16 = 100;
/// Left before the first and after the last sound.
const HEAD_MS: usize = 30;
const TAIL_MS: usize = 90;
/// Loudest sample of a prompt: -3 dB, so that no codec clips.
const PEAK: f64 = 23_200.0;
/// Half width of the low-pass filter, in zero crossings.
const CROSSINGS: f64 = 24.0;

/// Cuts silence off both ends and brings the loudest sample to [`PEAK`].
pub(super) fn tidy(audio: &Audio) -> Audio {
    let heard = |sample: &i16| sample.unsigned_abs() > SILENCE;
    let per_ms = usize::try_from(audio.rate / 1000).unwrap_or(0);
    let first = audio.samples.iter().position(heard).unwrap_or(0);
    let last = audio.samples.iter().rposition(heard).unwrap_or(0);
    let from = first.saturating_sub(HEAD_MS.saturating_mul(per_ms));
    let to = last.saturating_add(TAIL_MS.saturating_mul(per_ms)).min(audio.samples.len());
    let kept = audio.samples.get(from..to).unwrap_or_default();
    let loudest = kept.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0).max(1);
    let gain = PEAK / f64::from(loudest);
    let samples = kept.iter().map(|sample| to_sample(f64::from(*sample) * gain)).collect();
    Audio { rate: audio.rate, samples }
}

/// Band-limited resampling: each output sample is the sum of its neighbours under a windowed sinc.
pub(super) fn resample(input: &[i16], from: u32, to: u32) -> Vec<i16> {
    if from == to || from == 0 || to == 0 {
        return input.to_vec();
    }
    let step = f64::from(from) / f64::from(to);
    // Everything above half the lower rate has to go.
    let cutoff = (1.0 / step).min(1.0);
    let reach = CROSSINGS / cutoff;
    let length = (input.len() as f64 / step) as usize;
    (0..length)
        .map(|index| {
            let centre = index as f64 * step;
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = (centre + reach).floor().max(0.0) as usize;
            let window = input.iter().enumerate().take(last.saturating_add(1)).skip(first);
            let sum: f64 = window
                .map(|(at, sample)| f64::from(*sample) * tap(at as f64 - centre, cutoff, reach))
                .sum();
            to_sample(sum)
        })
        .collect()
}

/// One tap of the filter: a sinc under a Hann window.
fn tap(distance: f64, cutoff: f64, reach: f64) -> f64 {
    let x = PI * distance * cutoff;
    let sinc = if x == 0.0 { 1.0 } else { x.sin() / x };
    cutoff * sinc * (0.5 + 0.5 * (PI * distance / reach).cos())
}

fn to_sample(value: f64) -> i16 {
    // `as` saturates.
    value.round() as i16
}

/// Reads a mono 16-bit WAV file; a length that is not known yet when the header is written, as on a
/// pipe, means up to the end.
pub(super) fn read_wav(bytes: &[u8]) -> Option<Audio> {
    let mut rest = bytes.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
    let mut rate = None;
    loop {
        let (head, body) = rest.split_at_checked(8)?;
        let length = u32::from_le_bytes(head.get(4..8)?.try_into().ok()?);
        let length = usize::try_from(length).ok()?.min(body.len());
        let (chunk, after) = body.split_at_checked(length)?;
        match head.get(..4)? {
            b"fmt " => rate = Some(read_format(chunk)?),
            b"data" => {
                let samples = chunk.chunks_exact(2);
                let samples = samples.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
                return Some(Audio { rate: rate?, samples });
            }
            _ => {}
        }
        // Chunks begin at even places.
        rest = after.get(length % 2..)?;
    }
}

/// The sampling rate, if it is mono 16-bit PCM.
fn read_format(chunk: &[u8]) -> Option<u32> {
    let word = |at: usize| Some(u16::from_le_bytes(chunk.get(at..at + 2)?.try_into().ok()?));
    let pcm = word(0)? == 1 && word(2)? == 1 && word(14)? == 16;
    pcm.then(|| Some(u32::from_le_bytes(chunk.get(4..8)?.try_into().ok()?)))?
}

/// Writes a mono 16-bit WAV file; it appears under its name only when it is whole.
pub(super) fn write_wav(path: &Path, samples: &[i16], rate: u32) -> io::Result<()> {
    let data = u32::try_from(samples.len().saturating_mul(2)).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(samples.len().saturating_mul(2).saturating_add(44));
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&data.saturating_add(36).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16_u32.to_le_bytes());
    for word in [1_u16, 1] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&rate.to_le_bytes());
    bytes.extend_from_slice(&rate.saturating_mul(2).to_le_bytes());
    for word in [2_u16, 16] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&data.to_le_bytes());
    for sample in samples {
        bytes.extend_from_slice(&sample.to_le_bytes());
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let unfinished = path.with_extension("wav.part");
    fs::write(&unfinished, bytes)?;
    fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::scratch::Scratch;

    fn tone(rate: u32, hertz: f64, seconds: f64) -> Vec<i16> {
        let count = (f64::from(rate) * seconds) as usize;
        let wave = |n: usize| (2.0 * PI * hertz * n as f64 / f64::from(rate)).sin();
        (0..count).map(|n| to_sample(10_000.0 * wave(n))).collect()
    }

    /// Amplitude of one frequency, away from the edges.
    fn strength(samples: &[i16], rate: u32, hertz: f64) -> f64 {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in middle.iter().enumerate() {
            let angle = 2.0 * PI * hertz * n as f64 / f64::from(rate);
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
        }
        2.0 * re.hypot(im) / middle.len() as f64
    }

    #[test]
    fn resampling_keeps_what_fits_and_drops_what_does_not() {
        for to in [8000_u32, 16000, 48000] {
            let kept = resample(&tone(22050, 1000.0, 1.0), 22050, to);
            assert_eq!(kept.len(), to as usize, "a second stays a second");
            let amplitude = strength(&kept, to, 1000.0);
            assert!((9_900.0..10_100.0).contains(&amplitude), "{to}: {amplitude}");
        }
        // 5 kHz would come back as 3 kHz.
        let folded = resample(&tone(22050, 5000.0, 1.0), 22050, 8000);
        assert!(strength(&folded, 8000, 3000.0) < 30.0);
    }

    #[test]
    fn silence_goes_and_loudness_is_even() {
        let mut samples = vec![0; 8000];
        samples.extend(tone(8000, 440.0, 0.5));
        samples.extend(vec![3; 8000]);
        let tidy = tidy(&Audio { rate: 8000, samples });
        let expected = 4000 + (HEAD_MS + TAIL_MS) * 8;
        assert!(tidy.samples.len().abs_diff(expected) < 50, "{}", tidy.samples.len());
        let loudest = tidy.samples.iter().map(|s| s.unsigned_abs()).max();
        assert_eq!(loudest, Some(23_200));
    }

    #[test]
    fn silence_alone_is_left_in_peace() {
        let silent = Audio { rate: 8000, samples: vec![0; 100] };
        assert!(tidy(&silent).samples.iter().all(|sample| *sample == 0));
        assert!(tidy(&Audio { rate: 8000, samples: Vec::new() }).samples.is_empty());
    }

    #[test]
    fn what_is_written_can_be_read() {
        let dir = Scratch::new("wav");
        let path = dir.path().join("a/b/x.wav");
        let samples = vec![0, 1, -1, i16::MAX, i16::MIN];
        write_wav(&path, &samples, 16000).expect("written");
        let read = read_wav(&fs::read(&path).expect("file"));
        assert_eq!(read, Some(Audio { rate: 16000, samples }));
    }

    #[test]
    fn a_streamed_file_ends_where_it_ends_and_garbage_is_none() {
        let dir = Scratch::new("wav");
        let path = dir.path().join("x.wav");
        write_wav(&path, &[1, 2, 3], 8000).expect("written");
        let mut bytes = fs::read(&path).expect("file");
        bytes[40..44].copy_from_slice(&[0xff; 4]);
        assert_eq!(read_wav(&bytes).map(|audio| audio.samples), Some(vec![1, 2, 3]));
        for end in 0..44 {
            assert_eq!(read_wav(&bytes[..end]).map(|a| a.samples.len()), None, "cut at {end}");
        }
        assert_eq!(read_wav(b"not a sound"), None);
    }
}
