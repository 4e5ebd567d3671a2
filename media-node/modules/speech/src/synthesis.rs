//! From a text to what is played: files that are there already, speech that is heard while it is made, files of engines
//! that give nothing before all is done.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use base::speech_cache::{SharedCache, SpeechCache};
use media::resample::ClipConverter;
use media::source::growing::{self, Listener, Maker};
use media::wav::Header;
use switch_core::call::Channel;
use switch_core::switch::Switch;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::engine::{Engine, TIMEOUT, Utterance};

/// Files kept; the least recently used beyond that are removed.
const MOST_FILES: usize = 2000;
/// A file that was used within this time is not removed: it may be about to be read.
const IN_USE: Duration = Duration::from_secs(60);
/// Programs that work at once; more orders wait for them.
const PROGRAMS: usize = 8;
/// The same of services, which work elsewhere and may take as long as the speech lasts.
const SERVICES: usize = 64;
/// Longest time to make one text.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// How often is looked whether anyone still listens, and whether there is enough to be heard.
const LOOK: Duration = Duration::from_millis(20);
/// Most samples of a text: half an hour at 24 kHz.
const MOST_SAMPLES: usize = 24_000 * 60 * 30;

/// A file of what was ordered.
pub(crate) struct Made {
    pub(crate) path: PathBuf,
    /// It was there already.
    pub(crate) cached: bool,
}

/// The orders being worked on.
struct Capacity {
    programs: Semaphore,
    services: Semaphore,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { programs: Semaphore::new(PROGRAMS), services: Semaphore::new(SERVICES) }
    }
}

/// What is to be said, and by whom, for a task of its own.
pub(crate) struct SpeechRequest {
    pub(crate) engine: Arc<dyn Engine>,
    /// The name it is known by.
    pub(crate) name: String,
    pub(crate) voice: String,
    pub(crate) text: String,
    pub(crate) rate: u32,
}

impl SpeechRequest {
    fn utterance(&self) -> Utterance<'_> {
        Utterance { voice: &self.voice, text: &self.text, rate: self.rate }
    }
}

/// Speech with the rate its engine made it at.
struct Speech {
    rate: u32,
    samples: Vec<i16>,
}

/// The file to play: there already, or being made, with enough of it there to begin.
pub(crate) async fn heard(
    channel: &Arc<Channel>,
    request: SpeechRequest,
) -> Result<PathBuf, String> {
    let switch = channel.switch();
    if !request.engine.speaks() {
        return Ok(file(switch, &request).await?.path);
    }
    let path = path_of(switch, &request);
    if touch(&path).await {
        return Ok(path);
    }
    if shared(switch, &path).await {
        return Ok(path);
    }
    let request = Arc::new(request);
    // A second time where the one who made it gave up before we listened.
    for _ in 0..2 {
        let (listener, maker) = growing::join(&path, request.rate);
        if let Some(maker) = maker {
            let (switch, caller) = (Arc::clone(switch), Arc::downgrade(channel));
            tokio::spawn(say(switch, caller, Arc::clone(&request), path.clone(), maker));
        }
        begun(&listener).await;
        if let Some(why) = listener.failure() {
            return Err(why.to_owned());
        }
        if !listener.is_over() || tokio::fs::try_exists(&path).await.unwrap_or(false) {
            listener.promise();
            return Ok(path);
        }
    }
    Err("the engine gave up".to_owned())
}

async fn begun(listener: &Listener) {
    while !listener.has_begun() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Makes the speech, as long as anyone wants to hear it.
async fn say(
    switch: Arc<Switch>,
    caller: Weak<Channel>,
    request: Arc<SpeechRequest>,
    path: PathBuf,
    maker: Maker,
) {
    let making = async {
        let speech = spoken(&switch, &request, Some(&maker)).await?;
        keep(&switch, &path, speech).await
    };
    let unwanted = async {
        while maker.is_wanted() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let made = tokio::select! {
        made = making => made,
        () = unwanted => {
            tracing::debug!("speech engine {}: broken off, as it is not listened to", request.name);
            return;
        }
    };
    let Err(why) = made else { return maker.finish() };
    // What comes before the first sound is the error of the play itself.
    if maker.has_begun() {
        let why = base::secrets::masked(&why);
        tracing::error!("speech engine {}: speech ends before its end: {why}", request.name);
    }
    if let Some(channel) = caller.upgrade() {
        // A program may repeat what it was to say.
        channel.set_var("tts_error", base::far::mark(&base::secrets::masked(&why)));
    }
    maker.fail(&why);
}

/// A whole file of what was ordered.
pub(crate) async fn file(switch: &Switch, request: &SpeechRequest) -> Result<Made, String> {
    let path = path_of(switch, request);
    if touch(&path).await {
        return Ok(Made { path, cached: true });
    }
    if shared(switch, &path).await {
        return Ok(Made { path, cached: true });
    }
    if request.engine.speaks() {
        let speech = spoken(switch, request, None).await?;
        keep(switch, &path, speech).await?;
        return Ok(Made { path, cached: false });
    }
    let capacity = switch.module::<Capacity>();
    let _place = placed(&capacity.programs).await?;
    let draft = draft(&path).await?;
    let made = request.engine.make(&request.utterance(), &draft).await;
    settle(made, draft, &path).await?;
    share(switch, &path);
    Ok(Made { path, cached: false })
}

async fn placed(places: &Semaphore) -> Result<tokio::sync::SemaphorePermit<'_>, String> {
    match timeout(TIMEOUT, places.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err("too much is to be said at once".to_owned()),
    }
}

/// Lets the engine speak, to the end or until it is silent for too long; a listening clip gets each piece at once.
async fn spoken(
    switch: &Switch,
    request: &SpeechRequest,
    maker: Option<&Maker>,
) -> Result<Speech, String> {
    let capacity = switch.module::<Capacity>();
    let elsewhere = request.engine.is_elsewhere();
    let _place = placed(if elsewhere { &capacity.services } else { &capacity.programs }).await?;
    let utterance = request.utterance();
    let work = listen(&*request.engine, &utterance, maker);
    let done = timeout(LONGEST, work).await;
    done.unwrap_or_else(|_| Err(format!("takes more than {} minutes", LONGEST.as_secs() / 60)))
}

async fn listen(
    engine: &dyn Engine,
    utterance: &Utterance<'_>,
    maker: Option<&Maker>,
) -> Result<Speech, String> {
    let stall_timeout = engine.stall_timeout();
    let stalled = |_| format!("no audio for {} s", stall_timeout.as_secs());
    let mut stream = timeout(stall_timeout, engine.speak(utterance)).await.map_err(stalled)??;
    let mut samples = Vec::new();
    let mut clip: Option<ClipConverter> = None;
    let mut heard = 0;
    loop {
        let piece = timeout(stall_timeout, stream.next()).await.map_err(stalled)??;
        let Some(piece) = piece else { break };
        stream.reader.push(&piece, &mut samples).map_err(|error| error.to_string())?;
        if samples.len() > MOST_SAMPLES {
            return Err("the speech has no end".to_owned());
        }
        if let (Some(maker), Some(rate)) = (maker, stream.reader.rate()) {
            let clip = clip.get_or_insert_with(|| ClipConverter::new(rate, utterance.rate));
            clip.push(&samples[heard..]);
            heard = samples.len();
            maker.push(&clip.drain());
        }
    }
    let rate = stream.reader.rate().filter(|_| !samples.is_empty());
    let rate = rate.ok_or("the engine gave no audio")?;
    if let (Some(maker), Some(clip)) = (maker, clip) {
        maker.push(&clip.finish());
    }
    Ok(Speech { rate, samples })
}

/// Puts speech where the next utterance for it looks.
async fn keep(switch: &Switch, path: &Path, speech: Speech) -> Result<(), String> {
    let Speech { rate, samples } = speech;
    let header = Header { rate, channels: 1 }.bytes(samples.len() as u64 * 2, 0);
    let mut whole = header.to_vec();
    whole.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    write(path, &whole).await?;
    share(switch, path);
    swept(switch).await;
    Ok(())
}

async fn write(path: &Path, whole: &[u8]) -> Result<(), String> {
    let draft = draft(path).await?;
    let written = tokio::fs::write(&draft, whole).await.map_err(|error| error.to_string());
    settle(written, draft, path).await
}

async fn swept(switch: &Switch) {
    let folder = folder(switch);
    let _swept = tokio::task::spawn_blocking(move || sweep(&folder, MOST_FILES)).await;
}

/// Takes the file from the cache that switches share; false when it has none that can be used.
async fn shared(switch: &Switch, path: &Path) -> bool {
    let Some(cache) = switch.module::<SpeechCache>().find() else { return false };
    let taken = take(&*cache, path).await;
    if taken {
        swept(switch).await;
    }
    taken
}

async fn take(cache: &dyn SharedCache, path: &Path) -> bool {
    let Some(hash) = path.file_stem().and_then(|stem| stem.to_str()) else { return false };
    let Some(bytes) = cache.get(hash).await else { return false };
    if bytes.len() > cache.largest() || !is_speech(&bytes) {
        tracing::warn!("shared speech {hash} is no audio");
        return false;
    }
    match write(path, &bytes).await {
        Ok(()) => true,
        Err(why) => {
            tracing::error!("shared speech {hash}: {why}");
            false
        }
    }
}

/// Gives a new file to the other switches, in the background.
fn share(switch: &Switch, path: &Path) {
    let Some(cache) = switch.module::<SpeechCache>().find() else { return };
    let path = path.to_owned();
    tokio::spawn(async move { give(&*cache, &path).await });
}

async fn give(cache: &dyn SharedCache, path: &Path) {
    let Some(hash) = path.file_stem().and_then(|stem| stem.to_str()) else { return };
    let Ok(meta) = tokio::fs::metadata(path).await else { return };
    if usize::try_from(meta.len()).is_ok_and(|len| len <= cache.largest())
        && let Ok(bytes) = tokio::fs::read(path).await
        && is_speech(&bytes)
    {
        cache.put(hash, bytes).await;
    }
}

/// Whether bytes are a WAV file with something in it.
fn is_speech(bytes: &[u8]) -> bool {
    media::wav::info(bytes).is_ok_and(|info| info.rate > 0 && !info.data.is_empty())
}

fn folder(switch: &Switch) -> PathBuf {
    switch.dirs.cache_dir.join("speech")
}

fn path_of(switch: &Switch, request: &SpeechRequest) -> PathBuf {
    folder(switch).join(format!("{}.wav", request.engine.key(&request.utterance())))
}

/// A name of its own until it is whole: two calls may want the same at once.
async fn draft(path: &Path) -> Result<PathBuf, String> {
    let folder = path.parent().unwrap_or(path);
    let unusable = |error: std::io::Error| format!("{}: {error}", folder.display());
    tokio::fs::create_dir_all(folder).await.map_err(unusable)?;
    Ok(folder.join(format!("{}.draft.wav", switch_core::clock::new_uuid())))
}

/// Gives a draft its name, or removes it.
async fn settle(made: Result<(), String>, draft: PathBuf, path: &Path) -> Result<(), String> {
    let kept = match made {
        Ok(()) => {
            tokio::fs::rename(&draft, path).await.map_err(|_| "no file was written".to_owned())
        }
        Err(reason) => Err(reason),
    };
    if kept.is_err() {
        let _gone = tokio::fs::remove_file(&draft).await;
    }
    kept
}

/// Marks a file as used now; false when there is none.
async fn touch(file: &Path) -> bool {
    let file = file.to_owned();
    let touched = tokio::task::spawn_blocking(move || {
        let opened = std::fs::File::options().append(true).open(file)?;
        opened.set_modified(SystemTime::now())
    });
    matches!(touched.await, Ok(Ok(())))
}

/// Removes the least recently used files beyond `most`.
fn sweep(folder: &Path, most: usize) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let used = |entry: &std::fs::DirEntry| entry.metadata().and_then(|meta| meta.modified()).ok();
    let mut files: Vec<_> =
        entries.flatten().filter_map(|entry| Some((used(&entry)?, entry.path()))).collect();
    if files.len() <= most {
        return;
    }
    files.sort();
    let surplus = files.len() - most;
    for (used, path) in files.into_iter().take(surplus) {
        if used.elapsed().is_ok_and(|age| age > IN_USE) {
            let _gone = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::CommandLine;

    #[test]
    fn the_least_recently_used_files_go_first_and_those_in_use_never() {
        let folder = tempfile::tempdir().unwrap();
        let age = |name: &str, seconds: u64| {
            let file = std::fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
        };
        age("old", 900);
        age("older", 1000);
        age("new", 1);
        age("newer", 0);
        let left = |most| {
            sweep(folder.path(), most);
            let names = std::fs::read_dir(folder.path()).unwrap().flatten();
            let mut names: Vec<_> =
                names.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(left(3), ["new", "newer", "old"]);
        assert_eq!(left(1), ["new", "newer"]);
    }

    /// Entries by their hash, none longer than 1000 bytes.
    #[derive(Default)]
    struct Table(parking_lot::Mutex<std::collections::HashMap<String, Vec<u8>>>);

    impl SharedCache for Table {
        fn largest(&self) -> usize {
            1000
        }

        fn get<'a>(&'a self, hash: &'a str) -> base::BoxFuture<'a, Option<Vec<u8>>> {
            Box::pin(std::future::ready(self.0.lock().get(hash).cloned()))
        }

        fn put<'a>(&'a self, hash: &'a str, bytes: Vec<u8>) -> base::BoxFuture<'a, ()> {
            self.0.lock().insert(hash.to_owned(), bytes);
            Box::pin(std::future::ready(()))
        }
    }

    fn wav(octets: usize) -> Vec<u8> {
        let mut whole = Header { rate: 8000, channels: 1 }.bytes(octets as u64, 0).to_vec();
        whole.resize(whole.len() + octets, 1);
        whole
    }

    #[tokio::test]
    async fn what_one_switch_made_is_the_file_of_another() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cache = Table::default();
        let path = |folder: &tempfile::TempDir| folder.path().join("speech/ab.wav");
        assert!(!take(&cache, &path(&two)).await);
        write(&path(&one), &wav(800)).await.unwrap();
        give(&cache, &path(&one)).await;
        assert!(take(&cache, &path(&two)).await);
        assert_eq!(std::fs::read(path(&two)).unwrap(), wav(800));
    }

    #[tokio::test]
    async fn what_is_no_speech_or_too_long_is_neither_taken_nor_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ab.wav");
        for wrong in [b"not a file of sound".to_vec(), b"RIFF".to_vec(), wav(0), wav(2000)] {
            let cache = Table::default();
            write(&path, &wrong).await.unwrap();
            give(&cache, &path).await;
            assert!(cache.0.lock().is_empty());
            std::fs::remove_file(&path).unwrap();
            cache.0.lock().insert("ab".to_owned(), wrong);
            assert!(!take(&cache, &path).await && !path.exists());
        }
    }

    const UTTERANCE: Utterance<'_> = Utterance { voice: "v", text: "hello", rate: 8000 };

    #[tokio::test]
    async fn a_piece_is_heard_before_the_next_one_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        // The second half comes only once the first was heard.
        let line = format!(
            "head -c 2000 /dev/zero; while [ ! -e {} ]; do sleep 0.01; done; head -c 2000 /dev/zero",
            go.display()
        );
        let engine = CommandLine::new(&line).with_raw(Some(8000));
        let (listener, maker) = growing::join(&folder.path().join("x.wav"), 8000);
        let maker = maker.unwrap();
        let speaking = listen(&engine, &UTTERANCE, Some(&maker));
        let hearing = async {
            begun(&listener).await;
            std::fs::write(&go, b"").unwrap();
        };
        let (speech, ()) = tokio::join!(speaking, hearing);
        assert_eq!(speech.unwrap().samples.len(), 2000);
    }

    #[tokio::test]
    async fn an_engine_that_stalls_is_given_up_and_what_it_said_stays() {
        let engine = CommandLine::new("head -c 2000 /dev/zero; sleep 1000").with_raw(Some(8000));
        let engine = engine.with_timeout(Duration::from_secs(3));
        let (listener, maker) = growing::join(Path::new("/nowhere/stalls.wav"), 8000);
        let maker = maker.unwrap();
        let why = listen(&engine, &UTTERANCE, Some(&maker)).await.err().unwrap();
        assert_eq!((why.as_str(), listener.has_begun()), ("no audio for 3 s", true));
        let silent = CommandLine::new("exit 0").with_raw(Some(8000));
        assert!(listen(&silent, &UTTERANCE, None).await.is_err());
    }
}
