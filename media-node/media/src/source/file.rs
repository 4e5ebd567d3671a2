//! Files: finding the right one, reading it, bringing it to the leg's rate.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache::{self, Stamp};
use super::compressed;
use super::{SourceError, SourceOptions};
use crate::codec::g711;
use crate::resample::convert_clip;
use crate::wav;

/// Largest file read, in octets.
const LARGEST: u64 = 512 * 1024 * 1024;
/// Rates whose folders are looked into beside the leg's own.
const RATE_FOLDERS: [u32; 4] = [48_000, 32_000, 16_000, 8000];

/// The file `name` stands for, decoded at the leg's rate.
pub(super) fn load(name: &str, options: &SourceOptions) -> Result<Arc<[i16]>, SourceError> {
    let path = find(name, options)?;
    let unreadable = |reason: String| SourceError::Unreadable { path: path.clone(), reason };
    let meta = fs::metadata(&path).map_err(|e| unreadable(e.to_string()))?;
    let stamp = Stamp { modified: meta.modified().ok(), len: meta.len() };
    if let Some(pcm) = cache::get(&path, options.rate, stamp) {
        return Ok(pcm);
    }
    if meta.len() > LARGEST {
        return Err(unreadable("file too large".to_owned()));
    }
    let bytes = fs::read(&path).map_err(|e| unreadable(e.to_string()))?;
    let pcm: Arc<[i16]> = decode(&path, bytes, options.rate).map_err(unreadable)?.into();
    cache::put(&path, options.rate, stamp, &pcm);
    Ok(pcm)
}

/// Where the file is: with the codec's or the backup extension when it has none, and for WAV in
/// the folder of the leg's rate before others.
fn find(name: &str, options: &SourceOptions) -> Result<PathBuf, SourceError> {
    let path = options.sound_prefix.join(name);
    let mut candidates = Vec::new();
    if path.extension().is_none() {
        let with = |extension: &str| PathBuf::from(format!("{}.{extension}", path.display()));
        candidates.extend(options.native_extension.as_deref().map(with));
        rate_folders(&with(&options.backup_extension), options.rate, &mut candidates);
    } else {
        rate_folders(&path, options.rate, &mut candidates);
    }
    candidates.into_iter().find(|p| p.is_file()).ok_or(SourceError::NotFound { path })
}

fn rate_folders(path: &Path, rate: u32, candidates: &mut Vec<PathBuf>) {
    if let (Some(folder), Some(base)) = (path.parent(), path.file_name()) {
        let rates = std::iter::once(rate).chain(RATE_FOLDERS);
        candidates.extend(rates.map(|r| folder.join(r.to_string()).join(base)));
    }
    candidates.push(path.to_owned());
}

fn decode(path: &Path, bytes: Vec<u8>, rate: u32) -> Result<Vec<i16>, String> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let extension = extension.to_ascii_lowercase();
    if compressed::knows(&extension) {
        return compressed::decode(bytes, &extension, rate);
    }
    let (from, samples) = uncompressed(&extension, &bytes)?;
    Ok(convert_clip(&samples, from, rate))
}

fn uncompressed(extension: &str, bytes: &[u8]) -> Result<(u32, Vec<i16>), String> {
    let linear = |join: fn([u8; 2]) -> i16| -> Vec<i16> {
        bytes.chunks_exact(2).map(|b| join([b[0], b[1]])).collect()
    };
    let octets = |f: fn(u8) -> i16| -> Vec<i16> { bytes.iter().map(|b| f(*b)).collect() };
    // Files without a header are at 8 kHz where their name does not say another rate, as mod_sndfile has it.
    let rate = match extension {
        "r16" | "sln16" => 16_000,
        "r24" | "sln24" => 24_000,
        "r32" | "sln32" => 32_000,
        "r48" | "sln48" => 48_000,
        "r64" => 64_000,
        _ => 8000,
    };
    let samples = match extension {
        "pcmu" | "ul" | "ulaw" => octets(g711::ulaw_to_linear),
        "pcma" | "al" | "alaw" => octets(g711::alaw_to_linear),
        "l16" => linear(i16::from_be_bytes),
        "raw" | "r8" | "r16" | "r24" | "r32" | "r48" | "r64" | "sln" | "sln16" | "sln24"
        | "sln32" | "sln48" => linear(i16::from_le_bytes),
        _ => {
            let (info, samples) = wav::decode(bytes).map_err(|e| e.to_string())?;
            return Ok((info.rate, samples));
        }
    };
    Ok((rate, samples))
}
