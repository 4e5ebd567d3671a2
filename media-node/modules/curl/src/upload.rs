//! Recordings to addresses: written on this machine first, and put where they belong once they are closed.
//!
//! A call waits for no server. A recording that a server does not take is tried again for a while, and kept in a folder
//! of its own then; so is what a process that died had not sent.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base::far;
use esl_server::event::{Event, EventName};
use switch_core::contract::Sink;
use switch_core::contract::declare::{EventKind, event};
use switch_core::switch::Switch;
use tokio::sync::Semaphore;
use url::Url;

use crate::cache::{self, Cache, CacheError};

/// Recordings that may be written or wait to be sent; further ones are refused.
const MOST: usize = 1000;
/// Recordings sent at once: each is in memory meanwhile.
const AT_ONCE: usize = 4;
/// Pauses between tries.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// Folders beside the cache's: what is written and waits, and what no server took.
const SPOOL: &str = "http_record_spool";
const KEPT: &str = "http_record_kept";
/// The extensions of what recordings are written as.
const FORMS: [&str; 14] = [
    "wav", "mp3", "mpga", "raw", "r8", "r16", "sln", "l16", "ul", "ulaw", "pcmu", "al", "alaw",
    "pcma",
];
/// The event of a recording that was not sent.
const NOT_SENT: &str = "http_cache::not_sent";

pub(crate) const EVENTS: &[EventKind] = &[event(
    NOT_SENT,
    "A recording was not taken by its server (`Record-File-Path`, `Reason`); `Kept-File` has it",
)];

/// What a switch has on its way.
struct Outbox {
    turns: Semaphore,
    held: AtomicUsize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), held: AtomicUsize::new(0) }
    }
}

/// One recording.
struct Upload {
    switch: Arc<Switch>,
    outbox: Arc<Outbox>,
    address: String,
    profile: Option<String>,
    /// A far end chose the host.
    far: bool,
    file: PathBuf,
    sent: AtomicBool,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        f.debug_struct("Upload").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.outbox.held.fetch_sub(1, Ordering::Relaxed);
        // Its call ended before it was closed, or it was not closed at all: nothing is sent of it, and nothing is lost.
        if !*self.sent.get_mut() && self.file.exists() {
            let kept = keep_now(&self.file, &Cache::of(&self.switch).beside(KEPT));
            self.tell("it was not closed in time", &kept);
        }
    }
}

/// Where a recording is sent.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    address: String,
    far: bool,
    profile: Option<String>,
    url: Url,
}

impl Target {
    /// The parts of a name in which what a far end said is marked.
    fn read(name: &str) -> Result<Self, String> {
        let (marked, profile) = crate::parts(name.strip_prefix("http_cache://").unwrap_or(name));
        let marked = marked.strip_prefix("http_cache://").unwrap_or(marked);
        let (address, far) = cache::whose(marked);
        let url = Url::parse(&address).map_err(|error| format!("no address: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("nothing is sent to {}://", url.scheme()));
        }
        let profile = profile.map(|name| far::plain(name).into_owned());
        Ok(Self { address, far, profile, url })
    }
}

/// Begins a recording to an address, in which what a far end said is marked.
pub(crate) fn open(switch: &Arc<Switch>, name: &str) -> Result<Arc<dyn Sink>, String> {
    let Target { address, far, profile, url } = Target::read(name)?;
    let outbox: Arc<Outbox> = switch.module();
    if outbox.held.fetch_add(1, Ordering::Relaxed) >= MOST {
        outbox.held.fetch_sub(1, Ordering::Relaxed);
        return Err(format!("{MOST} recordings wait to be sent"));
    }
    let name = format!("{}.{}", base::clock::new_uuid(), kind_of(&url));
    Ok(Arc::new(Upload {
        file: Cache::of(switch).beside(SPOOL).join(name),
        profile,
        far,
        switch: Arc::clone(switch),
        sent: AtomicBool::new(false),
        outbox,
        address,
    }))
}

/// The form an address names: its last extension, or WAV where that is none a recording can have.
fn kind_of(url: &Url) -> &'static str {
    let last = Path::new(url.path()).extension().and_then(|e| e.to_str()).unwrap_or_default();
    let last = last.to_ascii_lowercase();
    FORMS.into_iter().find(|form| *form == last).unwrap_or("wav")
}

impl Sink for Upload {
    fn file(&self) -> &Path {
        &self.file
    }

    fn send(self: Arc<Self>) {
        if !self.sent.swap(true, Ordering::Relaxed) {
            tokio::spawn(async move { self.deliver().await });
        }
    }
}

impl Upload {
    async fn deliver(&self) {
        // Nothing was written: the media engine said why.
        if !tokio::fs::try_exists(&self.file).await.unwrap_or(false) {
            return;
        }
        let mut pauses = PAUSES.into_iter();
        let error = loop {
            let Err(error) = self.try_once().await else {
                if let Err(error) = tokio::fs::remove_file(&self.file).await {
                    tracing::warn!("http_cache: {}: {error}", self.file.display());
                }
                return;
            };
            // Where many wait, none of them holds up the others for a server that does not answer.
            let crowded = self.outbox.held.load(Ordering::Relaxed) > MOST / 4;
            match pauses.next().filter(|_| error.may_pass() && !crowded) {
                Some(pause) => {
                    tracing::warn!("http_cache: a recording is not sent yet: {error}");
                    tokio::time::sleep(pause).await;
                }
                None => break error,
            }
        };
        let kept = keep(&self.file, &Cache::of(&self.switch).beside(KEPT)).await;
        self.tell(&error.to_string(), &kept);
    }

    async fn try_once(&self) -> Result<(), CacheError> {
        let _turn = self.outbox.turns.acquire().await;
        let cache = Cache::of(&self.switch);
        cache.put_for(&self.address, &self.file, self.profile.as_deref(), self.far).await
    }

    fn tell(&self, why: &str, kept: &Path) {
        let place = kept.display();
        tracing::error!("http_cache: a recording is not sent: {why}; it is kept in {place}");
        let bus = &self.switch.bus;
        if !bus.wants(EventName::Custom) {
            bus.skip();
            return;
        }
        let mut event = Event::custom(NOT_SENT);
        esl_server::stamp!(bus, &mut event);
        event.push("Record-File-Path", base::secrets::masked(&self.address).into_owned());
        event.push("Kept-File", kept.to_string_lossy().into_owned());
        event.push("Reason", why.to_owned());
        bus.deliver(event);
    }
}

/// Moves a recording to where it stays; where that fails it stays where it is. Returns its place.
async fn keep(file: &Path, folder: &Path) -> PathBuf {
    let (from, to) = (file.to_owned(), folder.to_owned());
    let moved = tokio::task::spawn_blocking(move || keep_now(&from, &to)).await;
    moved.unwrap_or_else(|_| file.to_owned())
}

/// [`keep`] for code that cannot wait.
fn keep_now(file: &Path, folder: &Path) -> PathBuf {
    let to = folder.join(file.file_name().unwrap_or_default());
    match std::fs::create_dir_all(folder).and_then(|()| std::fs::rename(file, &to)) {
        Ok(()) => to,
        Err(error) => {
            tracing::error!("http_cache: {}: {error}", folder.display());
            file.to_owned()
        }
    }
}

/// Keeps what an earlier process wrote and did not send.
pub(crate) async fn recover(switch: &Arc<Switch>) {
    let outbox: Arc<Outbox> = switch.module();
    if outbox.held.load(Ordering::Relaxed) > 0 {
        return;
    }
    let cache = Cache::of(switch);
    let Ok(mut files) = tokio::fs::read_dir(cache.beside(SPOOL)).await else { return };
    while let Ok(Some(file)) = files.next_entry().await {
        let kept = keep(&file.path(), &cache.beside(KEPT)).await;
        tracing::error!("http_cache: an earlier recording was not sent: {}", kept.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_whether_a_far_end_chose_its_host() {
        let read = |name: &str| Target::read(name).map(|to| (to.address, to.far, to.profile));
        let to = |address: &str, far| Ok((address.to_owned(), far, None));
        assert_eq!(read("http://a/x.wav"), to("http://a/x.wav", false));
        assert_eq!(read("far+http://a/x.wav"), to("http://a/x.wav", true));
        assert_eq!(read("http_cache://far+https://a/x.wav"), to("https://a/x.wav", true));
        assert_eq!(read(&format!("http://{}/x", far::mark("a-b"))), to("http://a-b/x", true));
        let path = format!("http_cache://{{profile=p}}http://a/{}", far::mark("x@y"));
        assert_eq!(read(&path), Ok(("http://a/x@y".into(), false, Some("p".into()))));
        assert!(read("http_cache://file:///etc/x").is_err());
        assert!(read("http_cache://far+ftp://a/x").is_err());
        for scheme in ["far+http", "far+https"] {
            assert!(crate::SINKS.iter().any(|kind| kind.scheme == scheme), "{scheme}");
        }
    }

    #[test]
    fn an_address_names_the_form_of_its_recording() {
        let kind = |address: &str| kind_of(&Url::parse(address).unwrap());
        assert_eq!(kind("http://a/b/c.MP3?x=y.wav"), "mp3");
        assert_eq!(kind("http://a.b/upload"), "wav");
        assert_eq!(kind("http://a/x.w%2fv"), "wav");
        assert_eq!((kind("http://a/x.php"), kind("http://a/x.alaw")), ("wav", "alaw"));
    }

    #[tokio::test]
    async fn what_is_kept_is_moved_whole_or_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.wav");
        std::fs::write(&file, b"recorded").unwrap();
        let kept = keep(&file, &folder.path().join("kept")).await;
        assert_eq!(
            (std::fs::read(&kept).unwrap().as_slice(), file.exists()),
            (&b"recorded"[..], false)
        );
        assert_eq!(keep(&kept, &kept.join("no/folder")).await, kept);
        assert!(kept.exists());
    }
}
