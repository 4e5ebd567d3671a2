//! Judges the detector of voice activity by loudness on a corpus (`compat-tests/bench/voices.py` makes one).
//!
//! `who_speaks DIR [guard]`: for each `NAME.s16` (8 kHz, mono, signed 16 bit, little end first) `NAME.said` holds the same
//! with speech alone. `guard` judges as while something is played. A line of figures goes to standard output.

use std::path::Path;
use std::time::Instant;

use voice::vad::{Detector, Settings, Voice};

/// Samples of ten milliseconds.
const PIECE: usize = 80;
/// Share of the level of all speech in the recording from which a piece is speech: 15.9 dB below, as ITU-T P.56 has it.
const LOUD: f64 = 0.16;
/// Pieces after an utterance that count neither way.
const TAIL: usize = 32;
/// Pieces without speech before an onset.
const PAUSE: usize = 30;

fn samples(path: &Path) -> std::io::Result<Vec<i16>> {
    let octets = std::fs::read(path)?;
    Ok(octets.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
}

/// Root of the mean square.
fn level<'a>(samples: impl Iterator<Item = &'a i16>) -> f64 {
    let (sum, count) = samples.fold((0.0, 0_u32), |(sum, count), sample| {
        (sum + f64::from(*sample) * f64::from(*sample), count + 1)
    });
    (sum / f64::from(count.max(1))).sqrt()
}

/// What is so at each piece: speech, and pieces that count neither way.
fn truth(said: &[i16]) -> (Vec<bool>, Vec<bool>, Vec<usize>) {
    let least = LOUD * level(said.iter().filter(|sample| **sample != 0));
    let loud = said.chunks_exact(PIECE).map(|piece| level(piece.iter()) >= least);
    let loud: Vec<bool> = loud.collect();
    let (mut open, mut onsets, mut speech) = (vec![false; loud.len()], vec![], loud.clone());
    let (mut quiet, mut last) = (PAUSE, None);
    for (at, loud) in loud.iter().enumerate() {
        if *loud {
            if quiet >= PAUSE {
                onsets.push(at);
            } else if let Some(last) = last {
                // A pause within an utterance is a part of it.
                speech[last..at].fill(true);
                open[last..at].fill(false);
            }
            (quiet, last) = (0, Some(at));
        } else {
            quiet += 1;
            open[at] = last.is_some_and(|last| at - last <= TAIL);
        }
    }
    (speech, open, onsets)
}

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let guard = std::env::args().any(|word| word == "guard");
    let (mut hits, mut wrong, mut missed, mut begun, mut silence) = (0_u64, 0_u64, 0_u64, 0, 0);
    let (mut late, mut never, mut heard) = (Vec::new(), 0, 0_u64);
    let mut spent = std::time::Duration::ZERO;
    let mut names: Vec<_> = std::fs::read_dir(&folder)?.flatten().map(|e| e.path()).collect();
    names.retain(|path| path.extension().is_some_and(|kind| kind == "s16"));
    names.sort();
    for path in &names {
        let (line, said) = (samples(path)?, samples(&path.with_extension("said"))?);
        let (speech, open, onsets) = truth(&said);
        let mut detector = Detector::new(Settings::default());
        detector.guard_echo(guard);
        let (mut told, mut begins) = (Vec::new(), Vec::new());
        let from = Instant::now();
        for (at, piece) in line.chunks_exact(PIECE).enumerate() {
            let mut tell = |voice| {
                if voice == Voice::Begins {
                    begins.push(at);
                }
            };
            detector.hear(piece.iter().copied(), 8000, &mut tell);
            told.push(detector.is_speaking());
        }
        spent += from.elapsed();
        heard += line.len() as u64;
        for (at, told) in told.iter().enumerate().take(speech.len()) {
            match (speech[at], *told) {
                (true, true) => hits += 1,
                (true, false) => missed += 1,
                (false, true) if !open[at] => wrong += 1,
                _ => {}
            }
            silence += u64::from(!speech[at] && !open[at]);
        }
        begun += begins
            .iter()
            .filter(|at| {
                !speech.get(**at).is_some_and(|s| *s) && !open.get(**at).is_some_and(|s| *s)
            })
            .count();
        for onset in onsets {
            // Judged at the end of the piece; one that is told already is noticed at once.
            let until = (onset + 60).min(told.len());
            match (onset..until).find(|at| told[*at]) {
                Some(_) if onset > 0 && told[onset - 1] => late.push(0),
                Some(at) => late.push((at - onset + 1) * 10),
                None => never += 1,
            }
        }
    }
    late.sort_unstable();
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let (precision, recall) = (share(hits, hits + wrong), share(hits, hits + missed));
    let at = |hundredth: usize| late.get(late.len() * hundredth / 100).copied().unwrap_or(0);
    println!(
        "files {} onsets {} precision {precision:.3} recall {recall:.3} F1 {:.3} begun-in-silence/min {:.2} \
         onset-ms 50% {} 90% {} 95% {} 99% {} never {never} core-% {:.4}",
        names.len(),
        late.len() + never,
        2.0 * precision * recall / (precision + recall),
        begun as f64 / (silence as f64 / 6000.0).max(0.001),
        at(50),
        at(90),
        at(95),
        at(99),
        spent.as_secs_f64() * 8000.0 * 100.0 / heard.max(1) as f64,
    );
    Ok(())
}
