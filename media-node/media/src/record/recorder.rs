//! The file side of a recording, run by the file thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::queue::TrySendError;
use rtrb::Consumer;

use super::mp3::{self, Mp3File};
use super::tap::{Cut, TapEnd};
use super::{RecordMix, RecordSpec, Tags};
use crate::codec::g711;
use crate::event::{EventSender, LegEvent, RecordEnd, RecordReport};
use crate::leg::RecordId;
use crate::resample::{Converter, to_i16};
use crate::service::NewRecord;
use crate::wav;

/// Octets collected before they go to the file.
const CHUNK: usize = 64 * 1024;

/// One recording being written.
pub(crate) struct Recorder {
    id: RecordId,
    spec: RecordSpec,
    channels: u16,
    file_rate: u32,
    leg_rate: u32,
    ring: Consumer<i16>,
    end: Arc<TapEnd>,
    events: EventSender,
    /// One converter per channel when the file's rate is not the leg's.
    converters: Vec<Converter>,
    target: Option<Target>,
    failure: Option<String>,
    lost_seen: u64,
    samples: u64,
    /// Events still to be taken by a full channel.
    waiting: Vec<LegEvent>,
    closed: bool,
}

/// How samples are put into the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Wav,
    RawLittle,
    RawBig,
    Ulaw,
    Alaw,
    Mp3,
}

impl Container {
    fn of(path: &Path) -> io::Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        Ok(match extension.to_ascii_lowercase().as_str() {
            "raw" | "r8" | "r16" | "sln" => Self::RawLittle,
            "l16" => Self::RawBig,
            "ul" | "ulaw" | "pcmu" => Self::Ulaw,
            "al" | "alaw" | "pcma" => Self::Alaw,
            "wav" => Self::Wav,
            _ if mp3::is_named(path) => Self::Mp3,
            // A WAV file under another name would mislead other software.
            other => {
                let why = format!(
                    "recordings cannot be written as [{other}]; wav, raw forms and mp3 can"
                );
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
        })
    }
}

/// Can a recording be written in the form the file's extension names?
///
/// # Errors
/// `Unsupported`, with the name of the form, or of the library that is missing.
pub fn check_form(path: &Path) -> io::Result<()> {
    match Container::of(path)? {
        Container::Mp3 => mp3::check_mp3(),
        _ => Ok(()),
    }
}

struct Target {
    file: File,
    container: Container,
    /// What encodes, for the form that is encoded.
    mp3: Option<Box<Mp3File>>,
    header: wav::Header,
    buffer: Vec<u8>,
    /// Where the audio begins, where in it is written next, and its length.
    start: u64,
    at: u64,
    /// Where this recording's own audio began.
    begins: u64,
    data_len: u64,
    synced: u64,
    /// Octets collected before they go to the file, and after which the header's sizes are brought up to date.
    chunk: usize,
}

impl Recorder {
    /// Opens the file and says so, or says why not.
    pub(crate) fn open(new: NewRecord) -> Self {
        let NewRecord { id, spec, rate, ring, end, events } = new;
        let channels = spec.mix.channels();
        // Frames cannot be written over as samples can: such a file is replaced.
        let kept = spec.append || spec.over && !mp3::is_named(&spec.path);
        let before = if kept { Existing::look(&spec.path) } else { Ok(None) };
        // What is added is at the rate of what is there.
        let file_rate = match &before {
            Ok(Some(before)) => before.header.rate,
            _ => spec.rate.filter(|r| (1000..=192_000).contains(r)).unwrap_or(rate),
        };
        let converters = if file_rate == rate {
            Vec::new()
        } else {
            (0..channels).filter_map(|_| Converter::new(rate, file_rate)).collect()
        };
        let header = wav::Header { rate: file_rate, channels };
        let opened = before.and_then(|before| match before {
            Some(before) if before.header != header => Err(before.refuses(channels)),
            before => Target::open(&spec, header, before.as_ref()),
        });
        let mut recorder = Self {
            id,
            channels,
            file_rate,
            leg_rate: rate,
            ring,
            end,
            events,
            converters,
            target: None,
            failure: None,
            lost_seen: 0,
            samples: 0,
            waiting: Vec::new(),
            closed: false,
            spec,
        };
        match opened {
            Ok(target) => {
                recorder.target = Some(target);
                recorder.tell(LegEvent::RecordStarted { id });
            }
            Err(error) => recorder.fail(&error),
        }
        recorder
    }

    fn fail(&mut self, error: &io::Error) {
        self.failure = Some(error.to_string());
        self.target = None;
        self.end.failed.store(true, Ordering::Relaxed);
        self.close(None);
    }

    /// Writes what there is. True when the recording is over and the events are out.
    pub(crate) fn step(&mut self) -> bool {
        if !self.closed {
            // Asked before the ring is emptied: what the worker wrote before ending is then in it.
            let ended = self.end.reason();
            self.drain();
            if self.closed {
                return self.flush_events();
            }
            let gone = ended.is_none() && self.ring.is_abandoned() && self.ring.is_empty();
            if let Some(reason) = ended.or(gone.then_some(RecordEnd::Closed)) {
                self.drain();
                self.close(Some(reason));
            }
        }
        self.flush_events()
    }

    /// The engine stops: closes the file whatever the worker says.
    pub(crate) fn abandon(&mut self) -> bool {
        self.drain();
        if !self.closed {
            self.close(Some(RecordEnd::Closed));
        }
        self.flush_events();
        true
    }

    fn drain(&mut self) {
        self.take();
        while let Some(cut) = self.end.cuts.pop() {
            if let Err(error) = self.silence(cut) {
                return self.fail(&error);
            }
        }
    }

    /// Overwrites a piece with silence.
    fn silence(&mut self, cut: Cut) -> io::Result<()> {
        let channel = match (self.spec.mix, cut.heard) {
            (RecordMix::Mono, _) | (RecordMix::ReadOnly, false) | (RecordMix::WriteOnly, true) => {
                None
            }
            (RecordMix::Stereo, heard) => Some(usize::from(heard)),
            (RecordMix::StereoSwapped, heard) => Some(usize::from(!heard)),
            (RecordMix::ReadOnly, true) | (RecordMix::WriteOnly, false) => return Ok(()),
        };
        let at = |sample: u64| sample * u64::from(self.file_rate) / u64::from(self.leg_rate.max(1));
        let (from, to) = (at(cut.from), at(cut.to));
        self.target.as_mut().map_or(Ok(()), |target| target.silence(from, to, channel))
    }

    fn take(&mut self) {
        self.fill_gap();
        let waiting = self.ring.slots();
        let whole = waiting - waiting % usize::from(self.channels);
        let Ok(chunk) = self.ring.read_chunk(whole) else { return };
        let (a, b) = chunk.as_slices();
        let mut samples = Vec::with_capacity(whole);
        samples.extend_from_slice(a);
        samples.extend_from_slice(b);
        chunk.commit_all();
        self.append(&samples);
    }

    /// Silence in the place of what the ring could not hold, so that time stays true.
    fn fill_gap(&mut self) {
        let lost = self.end.lost.load(Ordering::Relaxed);
        let gap = lost - self.lost_seen;
        self.lost_seen = lost;
        let mut left = gap as usize * usize::from(self.channels);
        let silence = [0; 1024];
        while left > 0 {
            let n = left.min(silence.len());
            self.append(&silence[..n]);
            left -= n;
        }
    }

    fn append(&mut self, samples: &[i16]) {
        let Some(target) = &mut self.target else { return };
        let channels = usize::from(self.channels);
        let result = if self.converters.is_empty() {
            self.samples += (samples.len() / channels) as u64;
            target.write(samples)
        } else {
            let converted = convert(&mut self.converters, samples);
            self.samples += (converted.len() / channels) as u64;
            target.write(&converted)
        };
        if let Err(error) = result {
            self.fail(&error);
        }
    }

    fn close(&mut self, reason: Option<RecordEnd>) {
        self.closed = true;
        let mut reason = reason;
        let mut bytes = 0;
        if let Some(target) = self.target.take() {
            match target.finish(&self.spec.tags) {
                Ok(len) => bytes = len,
                Err(error) => self.failure = Some(error.to_string()),
            }
        }
        if let Some(text) = self.failure.take() {
            reason = Some(RecordEnd::Failed(text));
        }
        let report = RecordReport {
            path: self.spec.path.clone(),
            samples: self.samples,
            rate: self.file_rate,
            bytes,
            lost: self.lost_seen,
            reason: reason.unwrap_or(RecordEnd::Closed),
            spoke: self.spec.silence.is_none() || self.end.spoke.load(Ordering::Relaxed),
        };
        self.tell(LegEvent::RecordDone { id: self.id, report });
    }

    fn tell(&mut self, event: LegEvent) {
        self.waiting.push(event);
        self.flush_events();
    }

    fn flush_events(&mut self) -> bool {
        while !self.waiting.is_empty() {
            let event = self.waiting.remove(0);
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                self.waiting.insert(0, event);
                return false;
            }
        }
        self.closed
    }
}

/// Brings the audio of a file with another header than ours to where ours ends.
fn move_audio(file: &mut File, before: &Existing) -> io::Result<()> {
    let mut audio = Vec::new();
    file.seek(SeekFrom::Start(before.start))?;
    Read::by_ref(file).take(before.len).read_to_end(&mut audio)?;
    file.seek(SeekFrom::Start(wav::HEADER_LEN as u64))?;
    file.write_all(&audio)
}

fn convert(converters: &mut [Converter], samples: &[i16]) -> Vec<i16> {
    let channels = converters.len().max(1);
    let mut out = Vec::new();
    for (channel, converter) in converters.iter_mut().enumerate() {
        let mono: Vec<i16> = samples.iter().skip(channel).step_by(channels).copied().collect();
        let mut at = channel;
        converter.push(&mono, |piece| {
            for sample in piece {
                if at >= out.len() {
                    out.resize(at - channel + channels, 0);
                }
                if let Some(place) = out.get_mut(at) {
                    *place = to_i16(*sample);
                }
                at += channels;
            }
        });
    }
    out
}

/// A WAV file that is to be continued.
struct Existing {
    header: wav::Header,
    /// Where its audio begins, and its length.
    start: u64,
    len: u64,
}

impl Existing {
    /// Octets within which a header ends.
    const HEAD: u64 = 64 * 1024;

    /// Looks at a file's header; `None` when there is nothing yet. A file that is something else is
    /// not overwritten.
    fn look(path: &Path) -> io::Result<Option<Self>> {
        let container = Container::of(path)?;
        if !matches!(container, Container::Wav | Container::Mp3) {
            return Ok(None);
        }
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let whole = file.metadata()?.len();
        if whole == 0 {
            return Ok(None);
        }
        if container == Container::Mp3 {
            let header = mp3::look(&mut file)?;
            return Ok(Some(Self { header, start: 0, len: whole }));
        }
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(Self::HEAD).read_to_end(&mut head)?;
        let unfit = || io::Error::other("the file to continue is no WAV file of 16-bit samples");
        Self::read(&head, whole).map(Some).ok_or_else(unfit)
    }

    fn read(head: &[u8], whole: u64) -> Option<Self> {
        let info = wav::info(head).ok().filter(|info| info.format == wav::Format::I16)?;
        let named = head.get(info.data.start - 4..info.data.start)?.first_chunk::<4>()?;
        let (start, named) = (info.data.start as u64, u64::from(u32::from_le_bytes(*named)));
        // A recorder that died left no length.
        let left = whole.saturating_sub(start);
        let len = if named == 0 || named > left { left } else { named };
        let frame = u64::from(info.channels) * 2;
        let header = wav::Header { rate: info.rate, channels: info.channels };
        Some(Self { header, start, len: len - len % frame.max(1) })
    }

    fn refuses(&self, channels: u16) -> io::Error {
        let there = self.header.channels;
        let why = format!("the file to continue has {there} channels, the recording {channels}");
        io::Error::new(io::ErrorKind::InvalidInput, why)
    }
}

impl Target {
    fn open(spec: &RecordSpec, header: wav::Header, before: Option<&Existing>) -> io::Result<Self> {
        let container = Container::of(&spec.path)?;
        // First of all: a file that is there is not emptied for a recording that cannot be made.
        let mp3 = match container {
            Container::Mp3 => Some(Box::new(Mp3File::new(spec, header, before.is_some())?)),
            _ => None,
        };
        if let Some(folder) = spec.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let raw = !matches!(container, Container::Wav | Container::Mp3);
        let fresh = before.is_none() && !(raw && (spec.append || spec.over));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(fresh);
        let mut file = options.open(&spec.path)?;
        let mp3 = match mp3 {
            Some(mut mp3) => {
                mp3.begin(&spec.tags, &mut file)?;
                Some(mp3)
            }
            None => None,
        };
        // Four seconds of a call, and of those for whom it is to be prompt half a one.
        let chunk = match (&mp3, spec.prompt) {
            (Some(mp3), true) => mp3.octets(500),
            (Some(mp3), false) => mp3.octets(4000),
            // Half a second of 16-bit samples.
            (None, true) => header.rate as usize * usize::from(header.channels),
            (None, false) => CHUNK,
        };
        let mut target = Self {
            container,
            mp3,
            header,
            buffer: Vec::with_capacity(CHUNK + 8192),
            start: if container == Container::Wav { wav::HEADER_LEN as u64 } else { 0 },
            at: 0,
            begins: 0,
            data_len: 0,
            synced: 0,
            chunk: chunk.min(CHUNK),
            file: file.try_clone()?,
        };
        match (container, before) {
            (Container::Wav, Some(before)) => {
                target.data_len = before.len;
                if before.start != wav::HEADER_LEN as u64 {
                    move_audio(&mut file, before)?;
                }
                // Whatever stood after the audio (tags) is cut off; it is written anew at the end.
                file.set_len(wav::HEADER_LEN as u64 + before.len)?;
                target.update_header(0)?;
            }
            (Container::Wav, None) => file.write_all(&header.bytes(0, 0))?,
            _ => target.data_len = file.seek(SeekFrom::End(0))?,
        }
        let goes_on = spec.append || target.mp3.is_some();
        target.at = if goes_on { target.data_len } else { 0 };
        target.synced = target.at;
        target.begins = target.at;
        Ok(target)
    }

    /// Overwrites frames, of all channels or of one, with silence.
    fn silence(&mut self, from: u64, to: u64, channel: Option<usize>) -> io::Result<()> {
        if let Some(mp3) = &mut self.mp3 {
            mp3.cut(from, to);
            return self.flush();
        }
        let (width, nothing) = match self.container {
            Container::Wav | Container::RawLittle | Container::RawBig => (2, 0),
            Container::Ulaw => (1, g711::linear_to_ulaw(0)),
            Container::Alaw => (1, g711::linear_to_alaw(0)),
            Container::Mp3 => return Ok(()),
        };
        let channels = usize::from(self.header.channels.max(1));
        let frame = (width * channels) as u64;
        let there = self.at + self.buffer.len() as u64;
        let at = |frames: u64| self.begins.saturating_add(frames.saturating_mul(frame)).min(there);
        let (from, to) = (at(from), at(to));
        let quiet = |octets: &mut [u8]| {
            for one in octets.chunks_exact_mut(width * channels) {
                match channel {
                    Some(channel) => one[channel * width..(channel + 1) * width].fill(nothing),
                    None => one.fill(nothing),
                }
            }
        };
        // Piece by piece: it may be all of a long recording.
        let (mut place, mut octets) = (from, Vec::new());
        while place < to.min(self.at) {
            let piece = (to.min(self.at) - place).min(frame * CHUNK as u64);
            octets.resize(piece as usize, 0);
            self.file.seek(SeekFrom::Start(self.start + place))?;
            self.file.read_exact(&mut octets)?;
            quiet(&mut octets);
            self.file.seek(SeekFrom::Start(self.start + place))?;
            self.file.write_all(&octets)?;
            place += piece;
        }
        let kept = from.max(self.at) - self.at..to.max(self.at) - self.at;
        if let Some(octets) = self.buffer.get_mut(kept.start as usize..kept.end as usize) {
            quiet(octets);
        }
        Ok(())
    }

    fn write(&mut self, samples: &[i16]) -> io::Result<()> {
        match self.container {
            Container::Wav | Container::RawLittle => {
                self.buffer.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
            }
            Container::RawBig => self.buffer.extend(samples.iter().flat_map(|s| s.to_be_bytes())),
            Container::Ulaw => {
                self.buffer.extend(samples.iter().map(|s| g711::linear_to_ulaw(*s)));
            }
            Container::Alaw => {
                self.buffer.extend(samples.iter().map(|s| g711::linear_to_alaw(*s)));
            }
            Container::Mp3 => {
                if let Some(mp3) = &mut self.mp3 {
                    mp3.encode(samples, &mut self.buffer)?;
                }
            }
        }
        if self.buffer.len() >= self.chunk { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.start + self.at))?;
        self.file.write_all(&self.buffer)?;
        self.at += self.buffer.len() as u64;
        self.data_len = self.data_len.max(self.at);
        self.buffer.clear();
        if let Some(mp3) = &mut self.mp3 {
            mp3.written(self.at, &mut self.file)?;
        }
        if self.at - self.synced >= self.chunk as u64 {
            self.synced = self.at;
            self.update_header(0)?;
        }
        Ok(())
    }

    fn update_header(&mut self, tail_len: u64) -> io::Result<()> {
        if self.container != Container::Wav {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.header.bytes(self.data_len, tail_len))
    }

    fn finish(mut self, tags: &Tags) -> io::Result<u64> {
        if let Some(mp3) = &mut self.mp3 {
            mp3.end(&mut self.buffer)?;
        }
        self.flush()?;
        if let Some(mp3) = &mut self.mp3 {
            mp3.write_info(&mut self.file)?;
        }
        if self.container == Container::Wav {
            let tags = wav::Header::tags(&[
                (*b"INAM", &tags.title),
                (*b"ICOP", &tags.copyright),
                (*b"ISFT", &tags.software),
                (*b"IART", &tags.artist),
                (*b"ICMT", &tags.comment),
                (*b"ICRD", &tags.date),
            ]);
            self.file.seek(SeekFrom::Start(self.start + self.data_len))?;
            self.file.write_all(&tags)?;
            self.update_header(tags.len() as u64)?;
        }
        self.file.seek(SeekFrom::End(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_that_cannot_be_encoded_leaves_the_file_as_it_was() {
        let path = std::env::temp_dir().join(format!("kept-{}.mp3", std::process::id()));
        fs::write(&path, b"an earlier recording").unwrap();
        // No encoder takes three channels, and none is there without its library.
        let header = wav::Header { rate: 8000, channels: 3 };
        let opened = Target::open(&RecordSpec::new(&path), header, None);
        let left = fs::read(&path);
        fs::remove_file(&path).unwrap();
        assert!(opened.is_err());
        assert_eq!(left.unwrap(), b"an earlier recording");
    }
}
