//! Compressed files (MP3, Ogg Vorbis, FLAC), decoded by symphonia: plain Rust, built with these
//! formats only.

use std::io::{Cursor, ErrorKind};

use symphonia::core::audio::SampleBuffer;
use symphonia::core::codecs::{Decoder, DecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::probe::Hint;

use crate::resample::ClipConverter;

/// Samples of the longest file, at the leg's rate: more than two hours at 8 kHz.
const LONGEST: usize = 64 * 1024 * 1024;

/// Whether files of that extension are read here.
pub(super) fn knows(extension: &str) -> bool {
    matches!(extension, "mp3" | "mpga" | "ogg" | "oga" | "flac")
}

/// Decodes a file to one channel at `rate`.
pub(super) fn decode(bytes: Vec<u8>, extension: &str, rate: u32) -> Result<Vec<i16>, String> {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let mut hint = Hint::new();
    hint.with_extension(extension);
    let probed = symphonia::default::get_probe()
        .format(&hint, stream, &FormatOptions::default(), &MetadataOptions::default())
        .map_err(|error| error.to_string())?;
    let mut format = probed.format;
    let track = format.default_track().ok_or("no audio in it")?;
    let id = track.id;
    let decoder = symphonia::default::get_codecs()
        .make(&track.codec_params, &DecoderOptions::default())
        .map_err(|error| error.to_string())?;
    decode_track(&mut *format, decoder, id, rate)
}

fn decode_track(
    format: &mut dyn FormatReader,
    mut decoder: Box<dyn Decoder>,
    track: u32,
    rate: u32,
) -> Result<Vec<i16>, String> {
    let mut clip: Option<ClipConverter> = None;
    let mut mono = Vec::new();
    loop {
        let packet = match format.next_packet() {
            Ok(packet) if packet.track_id() == track => packet,
            Ok(_) => continue,
            // The end is told as an error too; so is a chain of streams, of which the first will do.
            Err(Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(Error::ResetRequired) => break,
            Err(error) => return Err(error.to_string()),
        };
        let decoded = match decoder.decode(&packet) {
            Ok(decoded) => decoded,
            // A damaged packet is a moment lost, not the file.
            Err(Error::DecodeError(_)) => continue,
            Err(error) => return Err(error.to_string()),
        };
        let (from, channels) = (decoded.spec().rate, decoded.spec().channels.count().max(1));
        let mut samples = SampleBuffer::<i16>::new(decoded.capacity() as u64, *decoded.spec());
        samples.copy_interleaved_ref(decoded);
        mono.clear();
        mono.extend(samples.samples().chunks_exact(channels).map(|frame| {
            let sum: i32 = frame.iter().map(|s| i32::from(*s)).sum();
            (sum / channels as i32) as i16
        }));
        let clip = clip.get_or_insert_with(|| ClipConverter::new(from, rate));
        clip.push(&mono);
        if clip.len() > LONGEST {
            return Err("it is too long".to_owned());
        }
    }
    Ok(clip.map(ClipConverter::finish).unwrap_or_default())
}
