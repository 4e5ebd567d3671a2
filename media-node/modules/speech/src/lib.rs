//! Speech made by programs on the machine: mod_flite and mod_tts_commandline.
//!
//! A text becomes a file, `tts://engine|voice|text`, which is played as any other; `speak`, `say:` and phrases come here
//! through the core. Files are kept under the name of what they say, so that a prompt is made once; an engine that gives
//! its speech piece by piece is heard from the first piece on.

#![deny(unsafe_code)]

mod engine;
mod form;
mod service;
mod stream;
mod synthesis;
mod voices;

use std::path::PathBuf;
use std::sync::Arc;

use switch_core::api::Api;
use switch_core::call::Channel;
use switch_core::contract::declare::{Parameters, Value, Variable, param, sets};
use switch_core::contract::{Change, Module, NotLoaded, Plain, Provides, SourceKind};
use switch_core::switch::Switch;
use switch_core::{BoxFuture, api};

use engine::{CommandLine, Engine, Flite};
use synthesis::SpeechRequest;
use voices::Table;

const PARAMETERS: &[Parameters] = &[Parameters {
    file: "tts_commandline.conf",
    scope: "",
    list: &[param(
        "command",
        Value::Text,
        "none",
        "Line for the shell that writes a WAV file, to its standard output where it does not name `${file}`; `${text}`, `${voice}`, `${file}` (quoted) and `${rate}` are filled in",
    )],
}];

/// `tts://` belongs to both modules: whichever is loaded brings it.
const SOURCES: &[SourceKind] = &[SourceKind {
    scheme: "tts",
    fetch: |channel, name, rate| Box::pin(fetch(channel, name, rate)),
}];

#[rustfmt::skip]
const VARIABLES: &[Variable] = &[
    sets("tts_error", "Why the speech that was ordered last could not be made, or not to its end"),
];

/// The modules.
pub const MODULES: &[&dyn Module] = &[
    &Plain::new(
        "mod_flite",
        Provides { sources: SOURCES, names: &[("speech", "flite")], ..Provides::NOTHING },
    ),
    &TtsCommandLine,
    &Tts,
];

const APIS: &[Api] =
    &[api!("tts", "mod_tts", service::SYNTAX, "Make a file of a text", async service::run)];

/// Engines of this switch's own.
struct Tts;

impl Module for Tts {
    fn name(&self) -> &'static str {
        "mod_tts"
    }

    fn provides(&self) -> Provides {
        Provides {
            commands: &[APIS],
            sources: SOURCES,
            names: &[("speech", "tts")],
            parameters: voices::PARAMETERS,
            variables: &[VARIABLES],
            ..Provides::NOTHING
        }
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            Table::configure(switch).await;
            Ok(())
        })
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if change == Change::Configuration {
                Table::configure(switch).await;
            }
        })
    }
}

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
    let engine = engine_of(switch, own)?;
    let text = text.trim().to_owned();
    if text.is_empty() {
        return Err("nothing to say".to_owned());
    }
    let request =
        SpeechRequest { engine, name: own.to_owned(), voice: voice.to_owned(), text, rate };
    synthesis::heard(channel, request).await
}

/// The engine of that name.
fn engine_of(switch: &Switch, name: &str) -> Result<Arc<dyn Engine>, String> {
    let loaded = |module: &str| switch.modules().is_loaded(module);
    match name {
        "flite" if loaded("mod_flite") => return Ok(Arc::new(Flite)),
        "tts_commandline" if loaded("mod_tts_commandline") => return Ok(CommandLine::of(switch)),
        _ if loaded("mod_tts") => {
            if let Some(engine) = Table::of(switch).named(name) {
                return Ok(engine);
            }
        }
        _ => {}
    }
    Err(format!("there is no speech engine {name}"))
}
