//! The file side of a recording, run by the file thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rtrb::Consumer;
use tokio::sync::mpsc::error::TrySendError;

use super::tap::TapEnd;
use super::{RecordSpec, Tags};
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
            // A WAV file under another name would mislead other software.
            other => {
                let why =
                    format!("recordings cannot be written as [{other}]; wav and raw forms can");
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
        })
    }
}

/// Can a recording be written in the form the file's extension names?
///
/// # Errors
/// `Unsupported`, with the name of the form.
pub fn check_form(path: &Path) -> io::Result<()> {
    Container::of(path).map(drop)
}

struct Target {
    file: File,
    container: Container,
    header: wav::Header,
    buffer: Vec<u8>,
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
        let before = if spec.append { Existing::look(&spec.path) } else { Ok(None) };
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

    /// Writes what there is. True when the recording is over and everybody told.
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
        if Container::of(path)? != Container::Wav {
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
        if let Some(folder) = spec.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let raw = spec.append && container != Container::Wav;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(before.is_none() && !raw);
        let mut file = options.open(&spec.path)?;
        let mut target = Self {
            container,
            header,
            buffer: Vec::with_capacity(CHUNK + 8192),
            data_len: 0,
            synced: 0,
            chunk: match spec.prompt {
                // Half a second of 16-bit samples.
                true => (header.rate as usize * usize::from(header.channels)).min(CHUNK),
                false => CHUNK,
            },
            file: file.try_clone()?,
        };
        if let Some(before) = before {
            target.data_len = before.len;
            if before.start != wav::HEADER_LEN as u64 {
                move_audio(&mut file, before)?;
            }
            // Whatever stood after the audio (tags) is cut off; it is written anew at the end.
            file.set_len(wav::HEADER_LEN as u64 + before.len)?;
            target.update_header(0)?;
        } else if container == Container::Wav {
            file.write_all(&header.bytes(0, 0))?;
        } else {
            target.data_len = file.seek(SeekFrom::End(0))?;
        }
        Ok(target)
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
        }
        if self.buffer.len() >= self.chunk { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.data_len += self.buffer.len() as u64;
        self.buffer.clear();
        if self.data_len - self.synced >= self.chunk as u64 {
            self.synced = self.data_len;
            self.update_header(0)?;
        }
        Ok(())
    }

    fn update_header(&mut self, tail_len: u64) -> io::Result<()> {
        if self.container != Container::Wav {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.header.bytes(self.data_len, tail_len))?;
        self.file.seek(SeekFrom::End(0))?;
        Ok(())
    }

    fn finish(mut self, tags: &Tags) -> io::Result<u64> {
        self.flush()?;
        if self.container == Container::Wav {
            let tags = wav::Header::tags(&[
                (*b"INAM", &tags.title),
                (*b"ICOP", &tags.copyright),
                (*b"ISFT", &tags.software),
                (*b"IART", &tags.artist),
                (*b"ICMT", &tags.comment),
                (*b"ICRD", &tags.date),
            ]);
            self.file.write_all(&tags)?;
            self.update_header(tags.len() as u64)?;
        }
        self.file.seek(SeekFrom::End(0))
    }
}
