//! The cache: an address is fetched once, by the first that wants it, and kept for its time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::far;
use bytes::Bytes;
use http_client::tls::{self, ClientConfig, TlsSettings};
use http_client::{Ask, Client, HttpError, Login, Schemes, reach};
use hyper::{HeaderMap, Method};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use switch_core::contract::NotLoaded;
use switch_core::switch::Switch;
use switch_core::xml;
use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::settings::Settings;

/// Longest file taken, bytes.
const MOST_BYTES: usize = 128 * 1024 * 1024;
/// Octets a second below which a line is too slow to send on.
const SLOWEST: usize = 64 * 1024;
/// What servers see us as.
const AGENT: &str = "freeswitch-http-cache/1.0";
/// Extensions a file may have; others are taken for WAV.
pub(crate) const KINDS: [&str; 14] = [
    "wav", "mp3", "ogg", "flac", "raw", "sln", "r8", "r16", "r24", "r32", "ul", "al", "pcmu",
    "pcma",
];

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("{0}: no address")]
    Address(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    #[error("{host}: {source}")]
    Http { host: String, source: HttpError },
    #[error("{host} answered {status}")]
    Status { host: String, status: u16 },
    #[error("{host} took more than {seconds} s")]
    Late { host: String, seconds: u64 },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: longer than {most} bytes")]
    Long { path: PathBuf, most: usize },
}

impl CacheError {
    /// May it go well another time?
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(*status, 408 | 425 | 429 | 500..),
            Self::Http { .. } | Self::Late { .. } => true,
            Self::Address(_) | Self::Tls(_) | Self::File { .. } | Self::Long { .. } => false,
        }
    }
}

/// How something is asked for.
struct Way<'w> {
    profile: Option<&'w str>,
    /// A far end chose the host: nothing inside the node's network is asked.
    far: bool,
    limit: Duration,
}

#[derive(Clone, Debug)]
struct Kept {
    path: PathBuf,
    until: Instant,
}

/// One address: its file, and the turn of those who want it.
#[derive(Default)]
struct Place {
    kept: Turn<Option<Kept>>,
    used: Mutex<Option<Instant>>,
}

/// Everything kept of one switch.
pub(crate) struct Cache {
    settings: Settings,
    /// TLS, or why there is none.
    tls: Result<Arc<ClientConfig>, String>,
    places: Mutex<HashMap<String, Arc<Place>>>,
    ahead: Semaphore,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct InForce(Mutex<Option<Arc<Cache>>>);

impl Cache {
    /// Takes `http_cache.conf` into use.
    ///
    /// # Errors
    /// [`NotLoaded`] when its authorities cannot be read; said in the log.
    pub(crate) async fn configure(switch: &Arc<Switch>) -> Result<(), NotLoaded> {
        let read = |node: Option<dialplan_xml::Node<'_>>| Settings::read(node, switch);
        let settings = xml::read_configuration(switch, "http_cache.conf", None, read).await;
        let settings = settings.map_err(|_| NotLoaded)?;
        let made = tokio::task::spawn_blocking(move || Self::new(settings));
        match made.await {
            Ok(Self { tls: Err(error), .. }) => {
                tracing::error!("http_cache.conf: {error}");
                Err(NotLoaded)
            }
            Ok(cache) => {
                *switch.module::<InForce>().0.lock() = Some(Arc::new(cache));
                Ok(())
            }
            Err(_) => Err(NotLoaded),
        }
    }

    fn new(settings: Settings) -> Self {
        let tls = tls::client(TlsSettings {
            check_authority: settings.verify_peer,
            check_name: settings.verify_host,
            authorities: settings.authorities.as_deref(),
            ..TlsSettings::default()
        });
        Self {
            tls: tls.map(Arc::new).map_err(|error| error.to_string()),
            ahead: Semaphore::new(settings.at_once),
            places: Mutex::default(),
            waiting: AtomicUsize::new(0),
            settings,
        }
    }

    /// The cache in force. It is there while the module is loaded.
    pub(crate) fn of(switch: &Switch) -> Arc<Self> {
        let state = switch.module::<InForce>();
        let mut cache = state.0.lock();
        let make = || Arc::new(Self::new(Settings::read(None, switch)));
        Arc::clone(cache.get_or_insert_with(make))
    }

    /// The file of an address, fetched if it is not there.
    pub(crate) async fn get(&self, address: &str) -> Result<PathBuf, CacheError> {
        self.get_as(address, None).await
    }

    /// [`Cache::get`] with the headers of a profile.
    pub(crate) async fn get_as(
        &self,
        address: &str,
        profile: Option<&str>,
    ) -> Result<PathBuf, CacheError> {
        let (address, far) = whose(address);
        let place = self.place(&key(&address, far));
        let mut kept = place.kept.lock().await;
        if let Some(path) = fresh(kept.as_ref()).await {
            return Ok(path);
        }
        let (path, age) = self.fetch(&address, far, profile).await?;
        *kept = Some(Kept { path: path.clone(), until: Instant::now() + age });
        Ok(path)
    }

    /// The file of an address, if it is there.
    pub(crate) async fn kept(&self, address: &str) -> Option<PathBuf> {
        let (address, far) = whose(address);
        let place = self.places.lock().get(&key(&address, far)).cloned()?;
        // While it is being fetched it is not there.
        let kept = place.kept.try_lock().ok()?.clone();
        fresh(kept.as_ref()).await
    }

    fn place(&self, address: &str) -> Arc<Place> {
        let mut places = self.places.lock();
        if places.len() >= self.settings.most && !places.contains_key(address) {
            let oldest = places.iter().min_by_key(|(_, place)| *place.used.lock());
            if let Some(address) = oldest.map(|(address, _)| address.clone()) {
                places.remove(&address).into_iter().for_each(|place| forget(&place));
            }
        }
        let place = Arc::clone(places.entry(address.to_owned()).or_default());
        *place.used.lock() = Some(Instant::now());
        place
    }

    /// Fetches a file; with it how long it may be kept.
    async fn fetch(
        &self,
        address: &str,
        far: bool,
        profile: Option<&str>,
    ) -> Result<(PathBuf, Duration), CacheError> {
        let url = parse(address)?;
        let path = self.path_of(&url, far);
        let way = Way { profile, far, limit: self.settings.limit };
        let (headers, body) = self.exchange(Method::GET, url, way, None).await?;
        let age = max_age(&headers).unwrap_or(self.settings.age);
        let failed = |source| CacheError::File { path: path.clone(), source };
        tokio::fs::create_dir_all(&self.settings.location).await.map_err(failed)?;
        let draft = path.with_extension("draft");
        tokio::fs::write(&draft, &body).await.map_err(failed)?;
        tokio::fs::rename(&draft, &path).await.map_err(failed)?;
        Ok((path, age))
    }

    fn path_of(&self, url: &Url, far: bool) -> PathBuf {
        let hash = Sha256::digest(key(url.as_str(), far).as_bytes());
        let name: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let last = Path::new(url.path()).extension().and_then(|e| e.to_str()).unwrap_or_default();
        let last = last.to_ascii_lowercase();
        let kind = KINDS.into_iter().find(|kind| *kind == last).unwrap_or("wav");
        self.settings.location.join(format!("{name}.{kind}"))
    }

    async fn exchange(
        &self,
        method: Method,
        mut url: Url,
        way: Way<'_>,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<(HeaderMap, Bytes), CacheError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let login = Login::take_from(&mut url, Schemes { basic: true, digest: true });
        let ask = Ask { method, url, user_agent: AGENT, headers: Vec::new(), body };
        let limit = way.limit;
        let tls = self.tls.as_ref().map_err(|error| CacheError::Tls(error.clone()))?;
        let mut client = Client::new(Arc::clone(tls), None, login, MOST_BYTES);
        client.guard = Some(reach::Guard { far: way.far, allowed: self.settings.allowed.clone() });
        // What only asked for an answer has sent nothing.
        client.keeps_body = true;
        client.extra = self.settings.headers(way.profile, &host).to_vec();
        match timeout(limit, client.exchange_whole(ask)).await {
            Ok(Ok((status, headers, body))) if status.is_success() => Ok((headers, body)),
            Ok(Ok((status, ..))) => Err(CacheError::Status { host, status: status.as_u16() }),
            Ok(Err(source)) => Err(CacheError::Http { host, source }),
            Err(_) => Err(CacheError::Late { host, seconds: limit.as_secs() }),
        }
    }

    /// Fetches an address ahead; false when too many wait.
    pub(crate) fn prefetch(self: &Arc<Self>, address: &str) -> bool {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.settings.waiting {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let (cache, address) = (Arc::clone(self), address.to_owned());
        tokio::spawn(async move {
            let turn = cache.ahead.acquire().await;
            cache.waiting.fetch_sub(1, Ordering::Relaxed);
            if turn.is_ok()
                && let Err(error) = cache.get(&address).await
            {
                tracing::warn!("http_prefetch: {error}");
            }
        });
        true
    }

    /// Sends a file to an address. What is kept of the address is the file then.
    pub(crate) async fn put(
        &self,
        address: &str,
        file: &str,
        profile: Option<&str>,
    ) -> Result<(), CacheError> {
        let (address, far) = whose(address);
        self.put_for(&address, Path::new(file), profile, far).await
    }

    /// [`Cache::put`] to an address without marks; nothing inside the node's network is asked where a far end chose the host.
    pub(crate) async fn put_for(
        &self,
        address: &str,
        file: &Path,
        profile: Option<&str>,
        far: bool,
    ) -> Result<(), CacheError> {
        let url = parse(address)?;
        let failed = |source| CacheError::File { path: file.into(), source };
        // It is in memory while it is sent.
        let length = tokio::fs::metadata(file).await.map_err(failed)?.len();
        if length > MOST_BYTES as u64 {
            return Err(CacheError::Long { path: file.into(), most: MOST_BYTES });
        }
        let body = tokio::fs::read(file).await.map_err(failed)?;
        // What is long takes its time on slow lines.
        let more = Duration::from_secs((body.len() / SLOWEST) as u64);
        let way = Way { profile, far, limit: self.settings.limit + more };
        let body = Some((kind_of(file), body.into()));
        self.exchange(Method::PUT, url, way, body).await?;
        self.remove(address).await;
        Ok(())
    }

    /// A folder beside the cache's own, which is emptied at the start.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.settings.location.with_file_name(name)
    }

    /// Forgets an address.
    pub(crate) async fn remove(&self, address: &str) {
        let (address, _) = whose(address);
        for key in [key(&address, false), key(&address, true)] {
            let place = self.places.lock().remove(&key);
            if let Some(place) = place
                && let Some(kept) = place.kept.lock().await.take()
            {
                let _gone = tokio::fs::remove_file(kept.path).await;
            }
        }
    }

    /// Forgets all of them.
    pub(crate) async fn clear(&self) {
        let addresses: Vec<String> = self.places.lock().keys().cloned().collect();
        for address in addresses {
            self.remove(&address).await;
        }
    }

    /// Removes the files of an earlier process.
    pub(crate) async fn sweep(&self) {
        let _none = tokio::fs::remove_dir_all(&self.settings.location).await;
    }
}

/// An address as it is meant, and whether a far end chose its server: its words in it are marked, or the name says so.
pub(crate) fn whose(address: &str) -> (String, bool) {
    let named = address.strip_prefix(far::FAR_HOST);
    let address = named.unwrap_or(address);
    (far::plain(address).into_owned(), named.is_some() || reach::is_far(address))
}

/// What an address is kept under. What the administrator fetched from inside is no answer to a far end.
fn key(address: &str, far: bool) -> String {
    if far { format!("{}{address}", far::FAR_HOST) } else { address.to_owned() }
}

/// `max-age` of `Cache-Control`.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("cache-control").into_iter().filter_map(|v| v.to_str().ok());
    let mut items = values.flat_map(|value| value.split(','));
    let seconds = items.find_map(|item| {
        let item = item.trim();
        let name = item.get(..8)?.eq_ignore_ascii_case("max-age=");
        name.then(|| item.get(8..)?.trim().parse::<u32>().ok())?
    })?;
    Some(Duration::from_secs(u64::from(seconds)))
}

/// The content type a file is sent with.
fn kind_of(file: &Path) -> &'static str {
    match file.extension().and_then(|e| e.to_str()).unwrap_or_default() {
        "wav" => "audio/x-wav",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        _ => "application/octet-stream",
    }
}

fn parse(address: &str) -> Result<Url, CacheError> {
    let shown = || CacheError::Address(base::secrets::masked(address).chars().take(40).collect());
    Url::parse(address).map_err(|_| shown())
}

/// The file, if it has neither expired nor been removed.
async fn fresh(kept: Option<&Kept>) -> Option<PathBuf> {
    let kept = kept.filter(|kept| kept.until > Instant::now())?;
    let there = tokio::fs::try_exists(&kept.path).await.unwrap_or(false);
    there.then(|| kept.path.clone())
}

/// Removes the file of an address that had to make room, if no fetch of it is under way.
fn forget(place: &Place) {
    if let Ok(mut kept) = place.kept.try_lock()
        && let Some(kept) = kept.take()
    {
        tokio::spawn(async move {
            // Who has just been given it may still be about to read it.
            tokio::time::sleep(Duration::from_secs(60)).await;
            let _gone = tokio::fs::remove_file(kept.path).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::network::Allowed;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn cache(folder: &Path, most: usize, limit: Duration) -> Arc<Cache> {
        Arc::new(Cache::new(Settings::test(folder, most, limit)))
    }

    /// A server that answers each request with what `answer` makes of its first line, and counts.
    async fn server(
        answer: impl Fn(&str) -> Option<String> + Send + 'static,
    ) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                seen.fetch_add(1, Ordering::SeqCst);
                let mut request = vec![0; 4096];
                let n = socket.read(&mut request).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&request[..n]).into_owned();
                match answer(text.lines().next().unwrap_or_default()) {
                    Some(answer) => socket.write_all(answer.as_bytes()).await.unwrap(),
                    None => held.push(socket),
                }
            }
        });
        (address, count)
    }

    fn ok(body: &str) -> Option<String> {
        Some(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    #[tokio::test]
    async fn an_address_is_fetched_once_however_many_want_it_and_again_once_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (server, count) = server(|_| ok("sound")).await;
        let cache = cache(folder.path(), 10, Duration::from_secs(5));
        let url = format!("{server}/a/b.MP3?x=1");
        assert_eq!(cache.kept(&url).await, None);
        let (a, b) = tokio::join!(cache.get(&url), cache.get(&url));
        let path = a.unwrap();
        assert_eq!((&path, count.load(Ordering::SeqCst)), (&b.unwrap(), 1));
        assert_eq!(path.extension().unwrap(), "mp3");
        assert_eq!(std::fs::read(&path).unwrap(), b"sound");
        assert_eq!(cache.kept(&url).await.as_ref(), Some(&path));
        std::fs::remove_file(&path).unwrap();
        cache.get(&url).await.unwrap();
        cache.remove(&url).await;
        assert!(!path.exists());
        cache.get(&url).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn servers_that_refuse_stall_or_are_not_there_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (server, _) = server(|line| {
            let gone = "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            line.contains("gone").then(|| gone.to_owned())
        })
        .await;
        let cache = cache(folder.path(), 10, Duration::from_millis(300));
        let gone = cache.get(&format!("{server}/gone.wav")).await.unwrap_err();
        assert!(matches!(gone, CacheError::Status { status: 404, .. }), "{gone}");
        let late = cache.get(&format!("{server}/late.wav")).await.unwrap_err();
        assert!(matches!(late, CacheError::Late { .. }), "{late}");
        assert!(matches!(cache.get("http://").await, Err(CacheError::Address(_))));
    }

    #[tokio::test]
    async fn a_server_says_how_long_a_file_may_be_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (server, count) = server(|_| {
            let head =
                "HTTP/1.1 200 OK\r\nCache-Control: public, Max-Age=0\r\nContent-Length: 1\r\n";
            Some(format!("{head}Connection: close\r\n\r\nx"))
        })
        .await;
        let cache = cache(folder.path(), 2, Duration::from_secs(5));
        for _ in 0..3 {
            cache.get(&format!("{server}/a.wav")).await.unwrap();
        }
        assert_eq!(count.load(Ordering::SeqCst), 3);
        let headers = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("cache-control", value.parse().unwrap());
            max_age(&headers)
        };
        assert_eq!(headers("no-store"), None);
        assert_eq!(headers("s-maxage=1, max-age=90"), Some(Duration::from_secs(90)));
    }

    #[tokio::test]
    async fn no_more_addresses_are_kept_than_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let (server, _) = server(|_| ok("x")).await;
        let cache = cache(folder.path(), 2, Duration::from_secs(5));
        for n in 0..5 {
            cache.get(&format!("{server}/{n}.wav")).await.unwrap();
        }
        assert_eq!(cache.places.lock().len(), 2);
        assert!(cache.kept(&format!("{server}/4.wav")).await.is_some());
        cache.clear().await;
        assert!(cache.places.lock().is_empty());
    }

    #[tokio::test]
    async fn a_file_is_put_where_it_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.wav");
        std::fs::write(&file, b"recorded").unwrap();
        let (server, count) = server(|line| {
            assert!(line.starts_with("PUT /up.wav "), "{line}");
            ok("")
        })
        .await;
        let cache = cache(folder.path(), 2, Duration::from_secs(5));
        cache.put(&format!("{server}/up.wav"), file.to_str().unwrap(), None).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert!(cache.put(&format!("{server}/up.wav"), "/nowhere", None).await.is_err());
    }

    #[tokio::test]
    async fn a_file_that_is_put_stays_one_however_a_server_sends_it_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.wav");
        std::fs::write(&file, b"recorded").unwrap();
        let (store, count) = server(|line| {
            let status = if line.starts_with("PUT /up.wav ") { "200 OK" } else { "405 No" };
            let rest = "Content-Length: 0\r\nConnection: close\r\n\r\n";
            Some(format!("HTTP/1.1 {status}\r\n{rest}"))
        })
        .await;
        let cache = cache(folder.path(), 2, Duration::from_secs(5));
        for (status, stored) in [(301, 1), (302, 2), (307, 3), (308, 4), (303, 4)] {
            let rest = "Content-Length: 0\r\nConnection: close\r\n\r\n";
            let head = format!("HTTP/1.1 {status} On\r\nLocation: {store}/up.wav\r\n{rest}");
            let (first, _) = server(move |_| Some(head.clone())).await;
            let put = cache.put(&format!("{first}/x.wav"), file.to_str().unwrap(), None).await;
            assert_eq!(count.load(Ordering::SeqCst), stored, "{status}");
            match put {
                Ok(()) => assert_ne!(status, 303),
                Err(CacheError::Status { status: 303, .. }) => assert_eq!(status, 303),
                Err(error) => panic!("{status}: {error}"),
            }
        }
    }

    #[tokio::test]
    async fn a_file_too_long_to_send_is_refused_before_it_is_read_and_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.wav");
        std::fs::File::create(&file).unwrap().set_len(MOST_BYTES as u64 + 1).unwrap();
        let (server, count) = server(|_| ok("")).await;
        let cache = cache(folder.path(), 2, Duration::from_secs(5));
        let put = cache.put(&format!("{server}/x.wav"), file.to_str().unwrap(), None).await;
        let error = put.unwrap_err();
        assert!(matches!(error, CacheError::Long { .. }) && !error.may_pass(), "{error}");
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }

    /// A server that sends everyone on.
    async fn redirects(to: String) -> String {
        let location = format!("Location: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        server(move |_| Some(format!("HTTP/1.1 302 Found\r\n{location}"))).await.0
    }

    fn is_refused<T: std::fmt::Debug>(result: Result<T, CacheError>) -> bool {
        let Err(CacheError::Http { source: HttpError::Connect { source, .. }, .. }) = &result
        else {
            panic!("{result:?}");
        };
        source.to_string().contains("allow-internal-targets")
    }

    #[tokio::test]
    async fn a_far_end_s_words_lead_nowhere_inside_however_they_spell_it() {
        let folder = tempfile::tempdir().unwrap();
        let (server, count) = server(|_| ok("inside")).await;
        let port = server.rsplit(':').next().unwrap();
        let cache = cache(folder.path(), 10, Duration::from_secs(5));
        // What the administrator wrote is reached, and what is kept of it is not the far end's.
        let own = format!("http://127.0.0.1:{port}/a.wav");
        cache.get(&own).await.unwrap();
        for host in ["127.0.0.1", "x@127.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"] {
            let marked = format!("http://{}:{port}/a.wav", far::mark(host));
            assert!(is_refused(cache.get(&marked).await), "{host}");
            assert!(is_refused(cache.put(&marked, "/dev/null", None).await), "{host}");
            assert_eq!(cache.kept(&marked).await, None, "{host}");
        }
        for name in ["localhost", "2130706433", "127.0.0.1"] {
            let named = format!("far+http://{name}:{port}/a.wav");
            assert!(is_refused(cache.get(&named).await), "{name}");
        }
        assert!(is_refused(cache.get(&format!("http://2130706433:{port}/a.wav")).await));
        assert_eq!(count.load(Ordering::SeqCst), 1, "the server heard of the first alone");
        // A far end's words in the path choose no server.
        let path = format!("http://127.0.0.1:{port}/{}", far::mark("@b/c.wav"));
        cache.get(&path).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_only_the_machine_may_ask_is_refused_to_all_and_redirects_to_it_too() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 10, Duration::from_secs(5));
        for address in [
            "http://169.254.169.254/latest/meta-data/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://2852039166/",
        ] {
            assert!(is_refused(cache.get(address).await), "{address}");
        }
        let sent_on = redirects("http://169.254.169.254/latest/".to_owned()).await;
        assert!(is_refused(cache.get(&format!("{sent_on}/x.wav")).await));
    }

    #[tokio::test]
    async fn what_the_settings_name_is_reached_by_a_far_end_s_words_too() {
        let folder = tempfile::tempdir().unwrap();
        let (server, _) = server(|_| ok("inside")).await;
        let mut settings = Settings::test(folder.path(), 10, Duration::from_secs(5));
        settings.allowed = Allowed::read("127.0.0.0/8").0;
        let cache = Cache::new(settings);
        cache.get(&format!("far+{server}/x.wav")).await.unwrap();
        assert!(is_refused(cache.get("far+http://10.255.255.1/x.wav").await));
    }
}
