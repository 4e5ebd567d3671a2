//! What was recorded of a call: which file, from the `RECORD_START` events, and its bytes.
//!
//! A client names a call, never a file. The file is one that the switch itself recorded into, and it is served only where
//! it lies in the folder of recordings once all links are followed.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use esl_server::EventName;
use futures_util::stream;
use parking_lot::RwLock;
use switch_core::switch::Switch;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::Gateway;
use super::given::Id;
use super::problem::Problem;
use super::tenant::Tenant;

/// Calls whose recordings are remembered: as many as the history has.
const MOST: usize = 10_000;
/// Events that wait to be noted.
const WAITING: usize = 2000;
/// Bytes that are read at once.
const CHUNK: u64 = 64 << 10;

/// The first file of each call, the oldest call first.
#[derive(Default)]
struct Files {
    of: HashMap<String, PathBuf>,
    order: VecDeque<String>,
}

impl Files {
    fn note(&mut self, uuid: String, file: PathBuf) {
        if self.of.contains_key(&uuid) {
            return;
        }
        if self.order.len() == MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.of.remove(&oldest);
        }
        self.order.push_back(uuid.clone());
        self.of.insert(uuid, file);
    }
}

/// The recordings of calls since the gateway was started.
pub(super) struct Recordings {
    files: Arc<RwLock<Files>>,
    notes: tokio::task::AbortHandle,
}

impl Drop for Recordings {
    fn drop(&mut self) {
        self.notes.abort();
    }
}

impl Recordings {
    /// Notes what is recorded from now on.
    pub(super) fn watch(switch: &Switch) -> Self {
        let files: Arc<RwLock<Files>> = Arc::default();
        let kept = Arc::clone(&files);
        let bus = switch.bus.clone();
        let listen = move || {
            let subscription = bus.subscribe(WAITING);
            subscription.listen(EventName::RecordStart);
            subscription
        };
        let mut subscription = listen();
        let task = tokio::spawn(async move {
            loop {
                let Some(event) = subscription.recv().await else {
                    tracing::warn!("http_api: too many recordings at once: some are not served");
                    subscription = listen();
                    continue;
                };
                let (uuid, file) = (event.get("Unique-ID"), event.get("Record-File-Path"));
                if let (Some(uuid), Some(file)) = (uuid, file) {
                    kept.write().note(uuid.to_string(), PathBuf::from(file.to_string()));
                }
            }
        });
        Self { files, notes: task.abort_handle() }
    }

    fn of(&self, uuid: &str) -> Option<PathBuf> {
        self.files.read().of.get(uuid).cloned()
    }

    /// Whether something was recorded of a call.
    pub(super) fn has(&self, uuid: &str) -> bool {
        self.files.read().of.contains_key(uuid)
    }
}

fn none() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no recording of this call")
}

/// The file behind a path, all links followed, if it is a plain one in the folder.
async fn inside(folder: &Path, file: &Path) -> Option<PathBuf> {
    let folder = tokio::fs::canonicalize(folder).await.ok()?;
    let file = tokio::fs::canonicalize(folder.join(file)).await.ok()?;
    // Opening a pipe would wait for a writer.
    let plain = tokio::fs::symlink_metadata(&file).await.ok()?.is_file();
    (plain && file.starts_with(&folder)).then_some(file)
}

/// The type of a file by its ending; what is no sound is not called one.
fn kind(file: &Path) -> &'static str {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "ogg" | "opus" => "audio/ogg",
        "mp4" => "video/mp4",
        _ => "application/octet-stream",
    }
}

/// Which bytes are asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// The first byte and how many.
    Bytes(u64, u64),
    /// None that there are.
    Outside,
}

/// One range of RFC 9110, section 14. What is no such range, and several at once, are answered with the whole file.
fn part(range: Option<&str>, size: u64) -> Part {
    let range = range.and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.trim().split_once('-')) else {
        return Part::Whole;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) || (first.is_empty() && last.is_empty()) {
        return Part::Whole;
    }
    // More digits than a number has are beyond every end.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let (from, to) = match (first, last) {
        ("", last) => match number(last) {
            0 => return Part::Outside,
            tail => (size.saturating_sub(tail), size.saturating_sub(1)),
        },
        (first, "") => (number(first), size.saturating_sub(1)),
        (first, last) if number(last) < number(first) => return Part::Whole,
        (first, last) => (number(first), number(last).min(size.saturating_sub(1))),
    };
    if from >= size { Part::Outside } else { Part::Bytes(from, to - from + 1) }
}

fn body(file: File, bytes: u64) -> Body {
    Body::from_stream(stream::unfold((file, bytes), |(mut file, left)| async move {
        if left == 0 {
            return None;
        }
        let mut chunk = vec![0; usize::try_from(left.min(CHUNK)).unwrap_or(0)];
        let read = match file.read(&mut chunk).await {
            Ok(0) => Err(std::io::Error::from(ErrorKind::UnexpectedEof)),
            Ok(read) => {
                chunk.truncate(read);
                Ok((Bytes::from(chunk), read as u64))
            }
            Err(error) => Err(error),
        };
        Some(match read {
            Ok((chunk, read)) => (Ok(chunk), (file, left - read)),
            Err(error) => (Err(error), (file, 0)),
        })
    }))
}

/// `GET /api/calls/{uuid}/recording`: the first file that was recorded of a call, or the part of it that is asked for.
pub(super) async fn serve(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(uuid): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let ended = || gateway.history.find(&uuid).filter(|entry| tenant.owns_entry(entry));
    let up = gateway.switch.channel(&uuid).is_some_and(|leg| tenant.owns(&leg));
    if !up && ended().is_none() {
        return Err(Problem::no_such_call());
    }
    let file = gateway.recordings.of(&uuid).ok_or_else(none)?;
    let file = inside(&gateway.switch.dirs.recordings_dir, &file).await.ok_or_else(none)?;
    let kind = kind(&file);
    let failed = |error: std::io::Error| {
        tracing::error!("http: {}: {error}", file.display());
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the recording cannot be read")
    };
    let mut open = File::open(&file).await.map_err(failed)?;
    let size = open.metadata().await.map_err(failed)?.len();
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let (status, first, bytes) = match part(range, size) {
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Bytes(first, bytes) => (StatusCode::PARTIAL_CONTENT, first, bytes),
        Part::Outside => {
            let why = format!("the recording has {size} bytes");
            let mut refused = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, why).into_response();
            let all = HeaderValue::from_str(&format!("bytes */{size}"));
            all.into_iter().for_each(|all| {
                refused.headers_mut().insert(header::CONTENT_RANGE, all);
            });
            return Ok(refused);
        }
    };
    open.seek(SeekFrom::Start(first)).await.map_err(failed)?;
    let mut answer = (status, body(open, bytes)).into_response();
    let put = answer.headers_mut();
    put.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    put.insert(header::CONTENT_LENGTH, bytes.into());
    put.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    put.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    put.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if status == StatusCode::PARTIAL_CONTENT {
        let which = format!("bytes {first}-{}/{size}", first + bytes - 1);
        if let Ok(which) = HeaderValue::from_str(&which) {
            put.insert(header::CONTENT_RANGE, which);
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_cut_to_the_file_and_others_are_the_whole() {
        for (range, wanted) in [
            ("bytes=0-9", Part::Bytes(0, 10)),
            ("bytes=90-", Part::Bytes(90, 10)),
            ("bytes=-10", Part::Bytes(90, 10)),
            ("bytes=-1000", Part::Bytes(0, 100)),
            ("bytes=50-1000", Part::Bytes(50, 50)),
            ("bytes=50-99999999999999999999999", Part::Bytes(50, 50)),
            ("bytes=100-", Part::Outside),
            ("bytes=99999999999999999999999-", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=9-5", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=+1-5", Part::Whole),
            ("bytes=-", Part::Whole),
            ("lines=1-2", Part::Whole),
        ] {
            assert_eq!(part(Some(range), 100), wanted, "{range}");
        }
        assert_eq!(part(None, 100), Part::Whole);
        assert_eq!(part(Some("bytes=-5"), 0), Part::Outside);
    }

    #[tokio::test]
    async fn only_plain_files_of_the_folder_are_served() {
        let all = tempfile::tempdir().unwrap();
        let folder = all.path().join("recordings");
        std::fs::create_dir_all(folder.join("team")).unwrap();
        std::fs::create_dir(all.path().join("recordings-other")).unwrap();
        let outside = all.path().join("secret.wav");
        for file in
            [&outside, &folder.join("team/a.wav"), &all.path().join("recordings-other/b.wav")]
        {
            std::fs::write(file, "x").unwrap();
        }
        std::os::unix::fs::symlink(&outside, folder.join("link.wav")).unwrap();
        std::os::unix::fs::symlink(all.path(), folder.join("out")).unwrap();
        let served = async |file: &Path| inside(&folder, file).await.is_some();
        assert!(served(&folder.join("team/a.wav")).await);
        assert!(served(Path::new("team/a.wav")).await);
        for bad in [
            "../secret.wav",
            "link.wav",
            "out/secret.wav",
            "team",
            "none.wav",
            "",
            "../recordings-other/b.wav",
        ] {
            assert!(!served(&folder.join(bad)).await, "{bad}");
        }
        assert!(!served(&outside).await);
        assert!(!served(Path::new("/etc/passwd")).await);
    }
}
