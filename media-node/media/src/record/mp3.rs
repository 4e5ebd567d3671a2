//! MP3 files: the tag before the frames, and the frames. The frames are whole as they are written, so that a file left by a
//! crash plays to its end; only the length in its first frame is missing then.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::{RecordSpec, Tags};
use crate::wav::Header;

/// Samples by which what is decoded comes later than what was encoded: LAME's delay, and a decoder's.
const DELAY: u64 = 576 + 529;
/// Octets of an ID3v2 header.
const ID3_HEADER: usize = 10;

/// How MP3 files are encoded (`shout.conf`). 0 leaves it to the form of the audio.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mp3Settings {
    /// Kilobits per second (`encode-brate`).
    pub kbps: u32,
    /// Samples per second of the file (`encode-resample`).
    pub resample: u32,
    /// From 1 (best) to 9 (fastest) (`encode-quality`).
    pub quality: u32,
}

static SETTINGS: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

/// How files begun from now on are encoded, in this whole process.
pub fn set_mp3(settings: Mp3Settings) {
    let values = [settings.kbps, settings.resample, settings.quality];
    SETTINGS.iter().zip(values).for_each(|(cell, value)| cell.store(value, Relaxed));
}

/// Can MP3 files be written? The encoder is a library of the system's.
///
/// # Errors
/// `Unsupported`, with the names of the library and of the package it is in.
pub fn check_mp3() -> io::Result<()> {
    lame::available().map_err(unsupported)
}

fn unsupported(error: lame::Error) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, error)
}

/// Is it a file of this form?
pub(super) fn is_named(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("mp3") || e.eq_ignore_ascii_case("mpga"))
}

/// What a frame's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    rate: u32,
    channels: u16,
    samples: u32,
    /// Octets of the whole frame.
    len: usize,
    /// Octets of the header and the side information.
    head: usize,
}

/// Reads the header of a frame of layer III.
fn frame(header: [u8; 4]) -> Option<Frame> {
    const MPEG_1: [u32; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    const MPEG_2: [u32; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    let [sync, version, form, mode] = header;
    if sync != 0xff || version & 0xe0 != 0xe0 || version & 0x06 != 0x02 {
        return None;
    }
    let halvings = match version >> 3 & 3 {
        3 => 0,
        2 => 1,
        0 => 2,
        _ => return None,
    };
    let kbps = if halvings == 0 { MPEG_1 } else { MPEG_2 };
    let kbps = *kbps.get(usize::from(form >> 4).checked_sub(1)?)?;
    let rate = *[44_100, 48_000, 32_000].get(usize::from(form >> 2 & 3))? >> halvings;
    let samples = if halvings == 0 { 1152 } else { 576 };
    let len = samples / 8 * kbps * 1000 / rate + u32::from(form >> 1 & 1);
    let channels = if mode >> 6 == 3 { 1 } else { 2 };
    let side = match (halvings, channels) {
        (0, 1) | (1.., 2) => 17,
        (0, _) => 32,
        _ => 9,
    };
    Some(Frame { rate, channels, samples, len: len as usize, head: 4 + side })
}

/// Octets of the ID3v2 tag a file begins with.
fn tag_len(head: &[u8]) -> u64 {
    match head.first_chunk::<ID3_HEADER>() {
        Some([b'I', b'D', b'3', _, _, _, size @ ..]) => {
            let size = size.iter().fold(0, |size, octet| size << 7 | u64::from(octet & 0x7f));
            size + ID3_HEADER as u64
        }
        _ => 0,
    }
}

/// The form of the frames of a file that is to be continued.
pub(super) fn look(file: &mut File) -> io::Result<Header> {
    let (_, frame) = first_frame(file)?;
    Ok(Header { rate: frame.rate, channels: frame.channels })
}

/// The first frame and where it stands.
fn first_frame(file: &mut File) -> io::Result<(u64, Frame)> {
    let mut head = [0; ID3_HEADER];
    file.seek(SeekFrom::Start(0))?;
    let unfit = |_| io::Error::other("the file to continue is no MP3 file");
    file.read_exact(&mut head).map_err(unfit)?;
    let at = tag_len(&head);
    let mut header = [0; 4];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut header).map_err(unfit)?;
    let frame = frame(header).ok_or_else(|| unfit(io::ErrorKind::InvalidData.into()))?;
    Ok((at, frame))
}

/// What is encoded into a file.
pub(super) struct Mp3File {
    encoder: lame::Encoder,
    settings: lame::Settings,
    /// Where the first frame stands, the one that says how many there are; `None` when the file is continued.
    info: Option<u64>,
    /// Frames known, and what is to be silent of them.
    redacted: Option<Redacted>,
}

/// For recordings of which a part may be silenced once it is encoded.
struct Redacted {
    /// Where each frame stands.
    frames: Vec<(u64, Frame)>,
    /// Where the next will.
    next: u64,
    /// Frames to be silent, those to come included.
    cuts: Vec<Range<u64>>,
}

impl Mp3File {
    /// An encoder for a new file, or for the end of what is there (`continues`). No file is touched.
    pub(super) fn new(spec: &RecordSpec, form: Header, continues: bool) -> io::Result<Self> {
        let [kbps, resample, quality] = [0, 1, 2].map(|at: usize| SETTINGS[at].load(Relaxed));
        let settings = lame::Settings {
            rate: form.rate,
            channels: form.channels,
            kbps,
            // What is added is at the rate of what is there.
            resample: if continues { 0 } else { resample },
            quality,
            // A frame that is silenced must not hold what others are decoded with.
            independent: spec.redact.is_some(),
            info: !continues,
        };
        let encoder = lame::Encoder::new(&settings).map_err(unsupported)?;
        let redacted =
            spec.redact.map(|_| Redacted { frames: Vec::new(), next: 0, cuts: Vec::new() });
        Ok(Self { encoder, settings, info: None, redacted })
    }

    /// Makes the file ready for the first frame: writes the tag, or goes to the end of what is there.
    pub(super) fn begin(&mut self, tags: &Tags, file: &mut File) -> io::Result<()> {
        let at = if self.settings.info {
            let tag = id3(tags);
            file.write_all(&tag)?;
            self.info = Some(tag.len() as u64);
            tag.len() as u64
        } else {
            clear_info(file)?;
            file.seek(SeekFrom::End(0))?
        };
        if let Some(redacted) = &mut self.redacted {
            redacted.next = at;
        }
        Ok(())
    }

    /// Octets of so many milliseconds.
    pub(super) fn octets(&self, ms: usize) -> usize {
        self.settings.kbps() as usize * ms / 8
    }

    /// Adds the frames that are done to `out`.
    pub(super) fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) -> io::Result<()> {
        self.encoder.encode(samples, out).map_err(io::Error::other)
    }

    /// Adds the last frames to `out`.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.encoder.flush(out).map_err(io::Error::other)
    }

    /// Once the last frames are in the file: its length goes into the first.
    pub(super) fn write_info(&mut self, file: &mut File) -> io::Result<()> {
        let Some(at) = self.info else { return Ok(()) };
        let frame = self.encoder.info_frame();
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&frame)
    }

    /// A range of samples is to be silent, on all channels: one alone cannot be taken out of a frame.
    pub(super) fn cut(&mut self, from: u64, to: u64) {
        let Some(redacted) = &mut self.redacted else { return };
        let rates = (u64::from(self.settings.file_rate()), u64::from(self.settings.rate.max(1)));
        let in_file = |sample: u64| sample.saturating_mul(rates.0) / rates.1 + DELAY;
        let frame = if rates.0 >= 32_000 { 1152 } else { 576 };
        // A frame is heard in its neighbours, too; and the first may be the one that says how many there are.
        let (from, to) = (in_file(from) / frame, in_file(to) / frame);
        redacted.cuts.push(from.saturating_sub(2)..to + 2);
    }

    /// Notes the frames that are whole in a file that is written up to `end`, and silences those that are to be.
    pub(super) fn written(&mut self, end: u64, file: &mut File) -> io::Result<()> {
        let Some(redacted) = &mut self.redacted else { return Ok(()) };
        while redacted.next + 4 <= end {
            let mut header = [0; 4];
            file.seek(SeekFrom::Start(redacted.next))?;
            file.read_exact(&mut header)?;
            let Some(frame) = frame(header) else {
                return Err(io::Error::other("an MP3 frame is not where it should be"));
            };
            if redacted.next + frame.len as u64 > end {
                break;
            }
            redacted.frames.push((redacted.next, frame));
            redacted.next += frame.len as u64;
        }
        redacted.silence(file)
    }
}

impl Redacted {
    fn silence(&mut self, file: &mut File) -> io::Result<()> {
        let known = self.frames.len() as u64;
        for cut in &mut self.cuts {
            let (from, to) = (cut.start as usize, cut.end.min(known) as usize);
            for (at, frame) in self.frames.get(from..to).unwrap_or_default() {
                blank(file, *at, frame)?;
            }
            cut.start = cut.start.max(cut.end.min(known));
        }
        self.cuts.retain(|cut| !cut.is_empty());
        Ok(())
    }
}

/// Leaves a frame's header and nothing else: that is silence.
fn blank(file: &mut File, at: u64, frame: &Frame) -> io::Result<()> {
    file.seek(SeekFrom::Start(at + 4))?;
    file.write_all(&vec![0; frame.len.saturating_sub(4)])
}

/// The length in the first frame of a file that becomes longer would end it early: what is left is a silent frame.
fn clear_info(file: &mut File) -> io::Result<()> {
    let (at, frame) = first_frame(file)?;
    let mut mark = [0; 4];
    file.seek(SeekFrom::Start(at + frame.head as u64))?;
    if file.read_exact(&mut mark).is_ok() && matches!(&mark, b"Info" | b"Xing") {
        blank(file, at, &frame)?;
    }
    Ok(())
}

/// The ID3v2.3 tag; empty without any text. Which text goes where is mod_shout's choice.
fn id3(tags: &Tags) -> Vec<u8> {
    let mut frames = Vec::new();
    for (name, text) in [
        (b"TIT2", &tags.title),
        (b"TPE1", &tags.artist),
        (b"TALB", &tags.software),
        (b"TYER", &tags.date),
        (b"TCON", &tags.copyright),
        (b"COMM", &tags.comment),
    ] {
        if text.is_empty() {
            continue;
        }
        // Latin-1, or UTF-16 with its mark. A comment has a language and a description of its own, which is empty.
        let wide = !text.is_ascii();
        let mut body = vec![u8::from(wide)];
        if name == b"COMM" {
            body.extend_from_slice(b"eng");
            body.extend_from_slice(if wide { &[0xff, 0xfe, 0, 0] } else { &[0] });
        }
        if wide {
            body.extend_from_slice(&[0xff, 0xfe]);
            body.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        } else {
            body.extend_from_slice(text.as_bytes());
        }
        frames.extend_from_slice(name);
        frames.extend_from_slice(&u32::try_from(body.len()).unwrap_or(0).to_be_bytes());
        frames.extend_from_slice(&[0, 0]);
        frames.extend_from_slice(&body);
    }
    // A size has 28 bits.
    if frames.is_empty() || frames.len() >= 1 << 28 {
        return Vec::new();
    }
    let mut tag = b"ID3\x03\x00\x00".to_vec();
    tag.extend([21, 14, 7, 0].map(|shift| (frames.len() >> shift & 0x7f) as u8));
    tag.append(&mut frames);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_frames_say_their_form() {
        let read = |octets| frame(octets).map(|f| (f.rate, f.channels, f.samples, f.len, f.head));
        // MPEG 1, 128 kbit/s, 44.1 kHz, with and without padding; MPEG 2.5, 16 kbit/s, 8 kHz, mono.
        assert_eq!(read([0xff, 0xfb, 0x90, 0x00]), Some((44_100, 2, 1152, 417, 36)));
        assert_eq!(read([0xff, 0xfb, 0x92, 0x00]), Some((44_100, 2, 1152, 418, 36)));
        assert_eq!(read([0xff, 0xe3, 0x28, 0xc0]), Some((8000, 1, 576, 144, 13)));
        assert_eq!(read([0xff, 0xf3, 0x88, 0xc4]), Some((16_000, 1, 576, 288, 13)));
        for no_frame in [[0; 4], [0xff; 4], [0xff, 0xfb, 0, 0], [0xff, 0xeb, 0x90, 0], *b"RIFF"] {
            assert_eq!(read(no_frame), None, "{no_frame:?}");
        }
    }

    #[test]
    fn tags_are_written_where_there_are_any_and_skipped() {
        assert_eq!(id3(&Tags::default()), b"");
        let (title, comment) = ("a call".to_owned(), "grün".to_owned());
        let tag = id3(&Tags { title, comment, ..Tags::default() });
        assert_eq!(tag_len(&tag), tag.len() as u64);
        assert_eq!(tag[10..27], *b"TIT2\0\0\0\x07\0\0\0a call");
        assert_eq!(tag[27..45], *b"COMM\0\0\0\x12\0\0\x01eng\xff\xfe\0\0");
        assert_eq!(tag[45..], *b"\xff\xfeg\0r\0\xfc\0n\0");
        assert_eq!(tag_len(b"\xff\xfb"), 0);
    }
}
