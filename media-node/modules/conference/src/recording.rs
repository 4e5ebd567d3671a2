//! Recordings of a room: begun by a command, the profile or a variable; paused; told of when they end.

use std::path::Path;
use std::sync::Arc;

use media::event::RecordEnd;
use media::source;
use media::{RecordId, RecordReport, RecordSpec};

use super::room::Room;
use crate::call::Channel;
use crate::contract::{self, Sink};

/// A recording of the room.
pub struct Recording {
    /// Which one.
    pub id: RecordId,
    /// The file.
    pub path: String,
    /// Begun by the profile.
    pub automatic: bool,
    /// Nothing is written for now.
    pub paused: bool,
    /// Its file is open.
    pub open: bool,
    /// It was ended already.
    pub stopping: bool,
    /// Sends it elsewhere once it is closed.
    pub sink: Option<Arc<dyn Sink>>,
    /// When it began, seconds since the epoch.
    pub since: i64,
}

impl Room {
    /// Records the room; what a far end said in the path is marked. False when the same file is recorded to already.
    pub fn record(&self, marked: &str, automatic: bool) -> bool {
        let path = &*base::far::plain(marked);
        let plain = |path: &str| source::split_params(path).1.to_owned();
        let file = plain(path);
        if self.with(|s| s.recordings.iter().any(|r| plain(&r.path) == file)) {
            return false;
        }
        self.with(|s| s.recorded_to = Some(path.to_owned()));
        let sink = match contract::sink(&self.switch, marked).transpose() {
            Ok(sink) => sink,
            Err(error) => {
                tracing::error!("Conference {}: cannot record: {error}", self.name);
                self.tell_unopened(path);
                return true;
            }
        };
        let elsewhere = sink.is_none() && file.contains("://");
        let known = !elsewhere && Path::new(&file).extension().is_some();
        let mut spec = RecordSpec::new(sink.as_ref().map_or(Path::new(&file), |sink| sink.file()));
        spec.tags.artist = self.profile.sound("recording-metadata").unwrap_or_default();
        let (since, path) = (crate::clock::now_secs(), path.to_owned());
        let (paused, open, stopping) = (false, false, false);
        // Noted in the same moment: the file may be open, and told so, before the next line is reached.
        let begun = self.with(|s| {
            let id = if known { self.mixer.record(spec).ok()? } else { return None };
            let path = path.clone();
            let new = Recording { id, path, automatic, paused, open, stopping, sink, since };
            s.recordings.push(new);
            Some(())
        });
        if begun.is_none() {
            self.tell_unopened(&path);
            let nothing = RecordReport {
                path: file.into(),
                samples: 0,
                rate: self.profile.rate,
                bytes: 0,
                lost: 0,
                reason: RecordEnd::Stopped,
                spoke: false,
            };
            self.tell_recorded(&path, &nothing);
        }
        true
    }

    fn tell_unopened(&self, path: &str) {
        self.fire("start-recording", |event| {
            event.push("Path", path.to_owned());
            event.push("Error", "File could not be opened for recording");
        });
    }

    pub(super) fn recording_began(&self, id: RecordId) {
        let Some(path) = self.recording_path(id) else { return };
        self.with(|s| s.recordings.iter_mut().filter(|r| r.id == id).for_each(|r| r.open = true));
        super::cdr::recording_began(self, &path);
        self.fire("start-recording", |event| {
            event.push("Path", path);
        });
    }

    /// Ends the recording to `path`, or all. Returns their files.
    pub fn stop_recording(&self, path: Option<&str>) -> Vec<String> {
        let stopped: Vec<(RecordId, String)> = self.with(|s| {
            let wanted = s
                .recordings
                .iter_mut()
                .filter(|r| !r.stopping && path.is_none_or(|path| r.path == path));
            wanted
                .map(|r| {
                    r.stopping = true;
                    (r.id, r.path.clone())
                })
                .collect()
        });
        for (id, _) in &stopped {
            let _closed = self.mixer.stop_record(*id);
        }
        stopped.into_iter().map(|(_, path)| path).collect()
    }

    /// Pauses the recording to `path` or lets it go on. False when there is none.
    pub fn pause_recording(&self, path: &str, paused: bool) -> bool {
        let found = self.with(|s| {
            let recording = s.recordings.iter_mut().find(|r| r.path == path && !r.stopping)?;
            recording.paused = paused;
            Some(recording.id)
        });
        let Some(id) = found else { return false };
        let _closed = self.mixer.pause_record(id, paused);
        self.fire(if paused { "pause-recording" } else { "resume-recording" }, |event| {
            event.push("Path", path.to_owned());
            event.push("Other-Recordings", "true");
        });
        true
    }

    pub(super) fn recording_ended(&self, id: RecordId, report: &RecordReport) {
        let found = self.with(|s| {
            let index = s.recordings.iter().position(|r| r.id == id)?;
            let ended = s.recordings.remove(index);
            if s.flags.restart_auto_record && ended.automatic {
                s.auto_recorded = false;
            }
            Some(ended)
        });
        let Some(Recording { path, open, sink, .. }) = found else { return };
        if let Some(sink) = sink {
            sink.send();
        }
        super::cdr::recording_ended(self, &path);
        if let RecordEnd::Failed(why) = &report.reason {
            let shown = base::secrets::masked(&path);
            tracing::error!("Conference {}: recording to {shown} failed: {why}", self.name);
        }
        if !open {
            self.tell_unopened(&path);
        }
        self.tell_recorded(&path, report);
    }

    fn tell_recorded(&self, path: &str, report: &RecordReport) {
        let others = self.with(|s| !s.recordings.is_empty());
        self.fire("stop-recording", |event| {
            event.push("Path", path.to_owned());
            event.push("Other-Recordings", if others { "true" } else { "false" });
            event.push("Samples-Out", report.samples.to_string());
            event.push("Samplerate", report.rate.to_string());
            event.push("Milliseconds-Elapsed", report.millis().to_string());
            if report.bytes > 0 {
                event.push("Record-File-Size", report.bytes.to_string());
            }
        });
    }

    /// Begins the recording the profile or a variable asks for, once enough are in.
    pub(super) fn record_automatically(self: &Arc<Self>, channel: &Arc<Channel>) {
        let least = usize::try_from(self.profile.number("min-required-recording-participants", 1));
        let wanted = self.with(|s| {
            let due =
                !s.auto_record.is_empty() && !s.auto_recorded && s.count() >= least.unwrap_or(1);
            s.auto_recorded |= due;
            due.then(|| s.auto_record.clone())
        });
        let Some(path) = wanted else { return };
        let room = Arc::clone(self);
        crate::host::expand_then(channel, &path, move |_, path| {
            room.record(&base::far::in_path(&path), true);
            let path = base::far::path(&path).into_owned();
            for member in room.members() {
                member.channel.set_var("conference_recording", path.clone());
            }
        });
    }
}
