//! `ferroswitch sounds`: makes the standard prompts, so that a fresh installation is not silent.
//!
//! The prompts people know belong to others; these are spoken by a free synthesiser, espeak-ng, run as
//! a process. File names and folders are those dialplans expect; a file that is already there is kept,
//! so that recordings of one's own survive.

mod audio;
mod engine;
mod list;
mod music;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::Args;

use self::engine::{Engine, EngineError};
use self::list::{LANGUAGES, Language, Prompt};
use super::cli::DirOptions;
use super::dirs::resolve;

/// Language, country and voice of English prompts, as dialplans for FreeSWITCH spell the folder.
pub const VOICE_DIR: &str = "en/us/callie";

/// Failures named one by one; of more only the number is told.
const NAMED_FAILURES: usize = 5;

/// Arguments of `ferroswitch sounds`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Files go to DIR/en/us/callie/CATEGORY/RATE/NAME.wav, of other languages to the folder that stands in
place of en/us/callie: de/DE/default, es/ES/cristina, fr/ca/june, nl/NL/default, ru/RU/elena.
Files that exist are kept unless --force.
The synthesiser is espeak-ng: apt-get install espeak-ng")]
pub struct SoundsArgs {
    /// Print what would be made: one file and its text per line
    #[arg(long)]
    pub list: bool,
    /// Make files again that exist already
    #[arg(long)]
    pub force: bool,
    /// Sampling rates in Hz
    #[arg(long = "rate", value_name = "HZ", value_delimiter = ',', default_values_t = [8000, 16000],
          value_parser = clap::value_parser!(u32).range(8000..=48000))]
    pub rates: Vec<u32>,
    /// Language of the prompts: en, de, es, fr, nl or ru
    #[arg(long = "lang", value_name = "NAME", default_value = "en")]
    pub language: String,
    /// Voice of the synthesiser, if not the usual one of the language: see espeak-ng --voices=en
    #[arg(long, value_name = "NAME")]
    pub voice: Option<String>,
    /// Words per minute
    #[arg(long, value_name = "WORDS", default_value_t = 150,
          value_parser = clap::value_parser!(u32).range(80..=400))]
    pub speed: u32,
    /// Where to, if not the sounds directory of the switch
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Only these categories: ascii, base256, conference, currency, digits, directory, ivr, misc,
    /// phonetic-ascii, time, voicemail; or music, which is what callers on hold hear
    #[arg(long = "category", value_name = "NAME", value_delimiter = ',')]
    pub categories: Vec<String>,
    /// The synthesiser, if it is not on the path
    #[arg(long, value_name = "PATH", default_value = "espeak-ng")]
    pub program: PathBuf,
}

/// Runs the command.
pub fn command(args: &SoundsArgs, dirs: &DirOptions) -> ExitCode {
    let prompts = match chosen(args) {
        Ok(prompts) => prompts,
        Err(unknown) => return fail(&unknown),
    };
    if args.list {
        let mut text = String::new();
        for prompt in &prompts {
            text.push_str(&format!("{}/{}.wav\t{}\n", prompt.category, prompt.name, prompt.text));
        }
        if args.wants_music() {
            text.push_str(&format!("{}/{}.wav\tmusic on hold\n", music::DIR, music::NAME));
        }
        // A reader that has seen enough is no failure.
        let _ = io::stdout().write_all(text.as_bytes());
        return ExitCode::SUCCESS;
    }
    let root = match &args.dir {
        Some(dir) => dir.clone(),
        None => match resolve(dirs) {
            Ok(dirs) => dirs.sounds_dir,
            Err(error) => return fail(&error),
        },
    };
    let folder = language(args).map_or(VOICE_DIR, |language| language.folder);
    let made = make_music(args, &root)
        .map_err(|error| error.to_string())
        .and_then(|()| make_all(&prompts, args, &engine(args), &root.join(folder)));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

fn fail(message: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::FAILURE
}

/// The language asked for; what to say if prompts cannot be made in it.
fn language(args: &SoundsArgs) -> Result<&'static Language, String> {
    Language::find(&args.language).ok_or_else(|| {
        let names: Vec<_> = LANGUAGES.iter().map(|one| one.name).collect();
        format!("There are no prompts in \"{}\"; there are {}", args.language, names.join(", "))
    })
}

fn engine(args: &SoundsArgs) -> Engine {
    let usual = || language(args).map_or("en-us", |language| language.voice).to_owned();
    Engine {
        program: args.program.clone(),
        voice: args.voice.clone().unwrap_or_else(usual),
        words_per_minute: args.speed,
    }
}

fn chosen(args: &SoundsArgs) -> Result<Vec<Prompt<'static>>, String> {
    let all = language(args)?.standard();
    if let Some(unknown) = args
        .categories
        .iter()
        .filter(|name| *name != music::DIR)
        .find(|name| all.iter().all(|prompt| prompt.category != *name))
    {
        return Err(format!("There is no category \"{unknown}\"; see ferroswitch sounds --list"));
    }
    let wanted = |prompt: &Prompt<'_>| {
        args.categories.is_empty() || args.categories.iter().any(|name| name == prompt.category)
    };
    Ok(all.into_iter().filter(wanted).collect())
}

impl SoundsArgs {
    fn wants_music(&self) -> bool {
        self.categories.is_empty() || self.categories.iter().any(|name| name == music::DIR)
    }
}

/// Writes the music on hold, where `local_stream.conf` looks for it.
fn make_music(args: &SoundsArgs, root: &Path) -> Result<(), EngineError> {
    for rate in args.rates.iter().filter(|_| args.wants_music()) {
        let dir = root.join(music::DIR).join(rate.to_string());
        let path = dir.join(format!("{}.wav", music::NAME));
        if args.force || !path.exists() {
            audio::write_wav(&path, &music::tune(*rate), *rate)
                .map_err(|source| EngineError::Write { path, source })?;
        }
    }
    Ok(())
}

/// Makes what is missing, on every processor.
fn make_all(
    prompts: &[Prompt<'_>],
    args: &SoundsArgs,
    engine: &Engine,
    root: &Path,
) -> Result<(), String> {
    let work: Vec<Job<'_>> = prompts
        .iter()
        .map(|prompt| Job::of(prompt, root, &args.rates, args.force))
        .filter(|job| !job.files.is_empty())
        .collect();
    let kept = prompts.len().saturating_sub(work.len());
    let progress = Progress::of(work.len());
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let hands = thread::available_parallelism().map_or(1, usize::from).min(work.len().max(1));
    thread::scope(|scope| {
        for _ in 0..hands {
            scope.spawn(|| {
                while let Some(job) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    progress.doing(job.prompt);
                    if let Err(error) = job.run(engine) {
                        // Without the synthesiser nothing else will work either.
                        if matches!(error, EngineError::Missing { .. }) {
                            next.store(work.len(), Ordering::Relaxed);
                        }
                        let mut failures = failures.lock().unwrap_or_else(|e| e.into_inner());
                        failures.push((job.prompt.name.to_owned(), error));
                    }
                }
            });
        }
    });
    progress.done();
    let failures = failures.into_inner().unwrap_or_else(|e| e.into_inner());
    if failures.is_empty() {
        let made = work.len();
        eprintln!("{made} prompts made, {kept} kept, in {}", root.display());
        return Ok(());
    }
    Err(complaint(&failures))
}

fn complaint(failures: &[(String, EngineError)]) -> String {
    if let Some((_, missing @ EngineError::Missing { .. })) =
        failures.iter().find(|(_, error)| matches!(error, EngineError::Missing { .. }))
    {
        return missing.to_string();
    }
    let named = failures.iter().take(NAMED_FAILURES);
    let mut lines: Vec<String> = named.map(|(name, error)| format!("{name}: {error}")).collect();
    let more = failures.len().saturating_sub(NAMED_FAILURES);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

/// One text and the files it goes to.
struct Job<'a> {
    prompt: &'a Prompt<'a>,
    files: Vec<(u32, PathBuf)>,
}

impl<'a> Job<'a> {
    fn of(prompt: &'a Prompt<'a>, root: &Path, rates: &[u32], force: bool) -> Self {
        let files = rates
            .iter()
            .map(|rate| {
                let dir = root.join(prompt.category).join(rate.to_string());
                (*rate, dir.join(format!("{}.wav", prompt.name)))
            })
            .filter(|(_, path)| force || !path.exists())
            .collect();
        Self { prompt, files }
    }

    fn run(&self, engine: &Engine) -> Result<(), EngineError> {
        let speech = engine.speak(self.prompt.text)?;
        let tidy = audio::tidy(&speech);
        for (rate, path) in &self.files {
            let samples = audio::resample(&tidy.samples, tidy.rate, *rate);
            audio::write_wav(path, &samples, *rate)
                .map_err(|source| EngineError::Write { path: path.clone(), source })?;
        }
        Ok(())
    }
}

/// What is being done, on standard error; a line that changes on a terminal, nothing elsewhere.
struct Progress {
    total: usize,
    begun: AtomicUsize,
    terminal: bool,
}

impl Progress {
    fn of(total: usize) -> Self {
        Self { total, begun: AtomicUsize::new(0), terminal: io::stderr().is_terminal() }
    }

    fn doing(&self, prompt: &Prompt<'_>) {
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        if self.terminal {
            let name = format!("{}/{}", prompt.category, prompt.name);
            let _ = write!(io::stderr(), "\r{number}/{} {name:.60}\x1b[K", self.total);
        }
    }

    fn done(&self) {
        if self.terminal && self.total > 0 {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use base::scratch::Scratch;

    fn args(program: &str) -> SoundsArgs {
        SoundsArgs {
            list: false,
            force: false,
            rates: vec![8000, 16000],
            language: "en".to_owned(),
            voice: None,
            speed: 150,
            dir: None,
            categories: vec!["currency".to_owned()],
            program: program.into(),
        }
    }

    fn make(args: &SoundsArgs, root: &Path) -> Result<(), String> {
        make_all(&chosen(args)?, args, &engine(args), root)
    }

    #[test]
    fn a_missing_synthesiser_is_said_with_the_remedy() {
        let dir = Scratch::new("sounds");
        let message = make(&args("no-such-synthesiser"), dir.path()).expect_err("missing");
        assert!(message.contains("apt-get install espeak-ng"), "{message}");
        assert_eq!(message.lines().count(), 1, "once, not for every prompt");
    }

    #[test]
    fn files_that_exist_are_kept() {
        let dir = Scratch::new("sounds");
        let args = args("no-such-synthesiser");
        for prompt in chosen(&args).expect("known category") {
            for rate in ["8000", "16000"] {
                let place = dir.path().join(prompt.category).join(rate);
                fs::create_dir_all(&place).expect("directory");
                fs::write(place.join(format!("{}.wav", prompt.name)), "mine").expect("file");
            }
        }
        assert_eq!(make(&args, dir.path()), Ok(()), "nothing to do, so nothing is missing");
    }

    #[test]
    fn music_is_made_without_the_synthesiser() {
        let dir = Scratch::new("sounds");
        let mut args = args("no-such-synthesiser");
        args.categories = vec!["music".to_owned()];
        args.rates = vec![8000];
        assert!(chosen(&args).is_ok_and(|prompts| prompts.is_empty()));
        make_music(&args, dir.path()).expect("written");
        let bytes = fs::read(dir.path().join("music/8000/quiet_morning.wav")).expect("music");
        assert!(audio::read_wav(&bytes).is_some_and(|music| music.samples.len() > 8000 * 40));
    }

    #[test]
    fn a_language_has_its_voice_and_an_unknown_one_is_named() {
        let mut args = args("x");
        args.language = "DE".to_owned();
        assert_eq!(engine(&args).voice, "de");
        assert!(chosen(&args).is_ok_and(|prompts| prompts.iter().any(|one| one.text == "und")));
        args.voice = Some("de+f2".to_owned());
        assert_eq!(engine(&args).voice, "de+f2");
        args.language = "tlh".to_owned();
        assert!(chosen(&args).is_err_and(|why| why.contains("\"tlh\"") && why.contains("en, de")));
    }

    #[test]
    fn an_unknown_category_is_named() {
        let mut args = args("x");
        args.categories = vec!["jokes".to_owned()];
        assert!(chosen(&args).is_err_and(|message| message.contains("\"jokes\"")));
    }

    #[test]
    fn prompts_are_spoken_at_every_rate() {
        let dir = Scratch::new("sounds");
        let args = args("espeak-ng");
        let made = make(&args, dir.path());
        if made.as_ref().is_err_and(|message| message.contains("apt-get install")) {
            eprintln!("SKIPPED: espeak-ng is not installed, no prompt was made");
            return;
        }
        assert_eq!(made, Ok(()));
        for rate in [8000_u32, 16000] {
            let path = dir.path().join(format!("currency/{rate}/dollars.wav"));
            let bytes = fs::read(&path).expect("prompt");
            let speech = audio::read_wav(&bytes).expect("a WAV file");
            assert_eq!(speech.rate, rate);
            let seconds = speech.samples.len() as f64 / f64::from(rate);
            assert!((0.3..2.0).contains(&seconds), "one word took {seconds} s");
            let loudest = speech.samples.iter().map(|s| s.unsigned_abs()).max();
            assert!(loudest.is_some_and(|peak| (15_000..30_000).contains(&peak)), "{loudest:?}");
        }
    }
}
