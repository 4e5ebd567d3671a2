//! Speech made by programs on the machine: mod_flite and mod_tts_commandline.
//!
//! A text becomes a file, `tts://engine|voice|text`, which is played as any other; `speak`, `say:` and phrases come here
//! through the core. Files are kept under the name of what they say, so that a prompt is made once.

#![deny(unsafe_code)]

mod engine;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use switch_core::BoxFuture;
use switch_core::call::Channel;
use switch_core::contract::declare::{Parameters, Value, param};
use switch_core::contract::{Change, Module, NotLoaded, Plain, Provides, SourceKind};
use switch_core::switch::Switch;

use engine::{CommandLine, Engine, Flite, Order};

/// Files kept; the least recently used beyond that are removed.
const MOST_FILES: usize = 2000;
/// A file that was used within this time is not removed: it may be about to be read.
const IN_USE: Duration = Duration::from_secs(60);

const PARAMETERS: &[Parameters] = &[Parameters {
    file: "tts_commandline.conf",
    scope: "",
    list: &[param(
        "command",
        Value::Text,
        "none",
        "Line for the shell that writes a WAV file; `${text}`, `${voice}`, `${file}` (quoted) and `${rate}` are filled in",
    )],
}];

/// `tts://` belongs to both modules: whichever is loaded brings it.
const SOURCES: &[SourceKind] = &[SourceKind {
    scheme: "tts",
    fetch: |channel, name, rate| Box::pin(fetch(channel, name, rate)),
}];

/// The modules.
pub const MODULES: &[&dyn Module] = &[
    &Plain::new(
        "mod_flite",
        Provides { sources: SOURCES, names: &[("speech", "flite")], ..Provides::NOTHING },
    ),
    &TtsCommandLine,
];

/// mod_tts_commandline.
struct TtsCommandLine;

impl Module for TtsCommandLine {
    fn name(&self) -> &'static str {
        "mod_tts_commandline"
    }

    fn provides(&self) -> Provides {
        Provides {
            sources: SOURCES,
            names: &[("speech", "tts_commandline")],
            parameters: PARAMETERS,
            ..Provides::NOTHING
        }
    }

    /// Without its file there is no command to run.
    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().document("tts_commandline.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            CommandLine::configure(switch).await;
            Ok(())
        })
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if change == Change::Configuration {
                CommandLine::configure(switch).await;
            }
        })
    }
}

/// The file that says `name`, `tts://engine|voice|text`.
async fn fetch(channel: &Arc<Channel>, name: &str, rate: u32) -> Result<PathBuf, String> {
    let switch = channel.switch();
    let inside = name.split_once("://").map_or(name, |(_, inside)| inside);
    let (own, rest) = inside.split_once('|').ok_or("no engine, voice and text")?;
    let (voice, text) = rest.split_once('|').ok_or("no voice and text")?;
    let loaded = |module: &str| switch.modules().is_loaded(module);
    let engine: Arc<dyn Engine> = match own {
        "flite" if loaded("mod_flite") => Arc::new(Flite),
        "tts_commandline" if loaded("mod_tts_commandline") => CommandLine::of(switch),
        other => return Err(format!("there is no speech engine {other}")),
    };
    let text = text.trim();
    if text.is_empty() {
        return Err("nothing to say".to_owned());
    }
    let order = Order { voice, text, rate };
    let folder = switch.dirs.cache_dir.join("speech");
    let file = folder.join(format!("{}.wav", engine.key(&order)));
    if touch(&file).await {
        return Ok(file);
    }
    let unusable = |error: std::io::Error| format!("{}: {error}", folder.display());
    tokio::fs::create_dir_all(&folder).await.map_err(unusable)?;
    // Under a name of its own until it is whole: two calls may want the same at once.
    let draft = folder.join(format!("{}.draft.wav", channel.uuid()));
    let made = engine.make(&order, &draft).await;
    let kept = match made {
        Ok(()) => {
            tokio::fs::rename(&draft, &file).await.map_err(|_| "no file was written".to_owned())
        }
        Err(reason) => Err(reason),
    };
    if kept.is_err() {
        let _gone = tokio::fs::remove_file(&draft).await;
    }
    kept?;
    let _swept = tokio::task::spawn_blocking(move || sweep(&folder, MOST_FILES)).await;
    Ok(file)
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
}
