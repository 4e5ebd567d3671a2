//! First in, first out: callers who wait for consumers (mod_fifo).
//!
//! [`state`] is what all fifos hold; [`caller`] waits, [`consumer`] takes callers and bridges them, [`members`] are called
//! when no consumer is free, [`track`] counts calls beside the fifos; [`center`] is the file, the clock and the tables.

#![deny(unsafe_code)]

mod caller;
mod center;
mod commands;
mod consumer;
mod declared;
mod events;
mod lists;
mod members;
mod parameters;
mod settings;
mod state;
mod store;
mod track;

use std::sync::Arc;

use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Session};
use switch_core::contract::{Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use switch_core::{BoxFuture, app, text};

const USAGE: &str = "<fifo name>[!<importance_number>] [in [<announce file>|undef] [<music file>|undef] [early|noans] | \
     out [wait|nowait] [<announce file>|undef] [<music file>|undef]]";
/// Fifos of one consumer at most.
const MAX_FIFOS: usize = 25;

const APPS: &[App] = &[
    app!(
        "fifo",
        "mod_fifo",
        Flags::NONE,
        "<fifo name>[!<importance_number>] [in [<announce file>|undef] [<music file>|undef] [early|noans] | out [wait|nowait] [<announce file>|undef] [<music file>|undef]]",
        "Park with FIFO",
        fifo
    ),
    app!(
        "fifo_track_call",
        "mod_fifo",
        Flags::NO_MEDIA,
        "<fifo_outbound_uuid>",
        "Count a call as a fifo call in the manual_calls queue",
        track::track
    ),
];

/// mod_fifo.
pub struct Fifo;

/// mod_fifo, for the list of modules.
pub const MODULE: Fifo = Fifo;

impl Module for Fifo {
    fn name(&self) -> &'static str {
        "mod_fifo"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[APPS],
            commands: &[commands::APIS],
            observers: &[&track::Observer],
            completions: include_str!("completions.txt"),
            parameters: parameters::PARAMETERS,
            variables: &[declared::VARIABLES],
            events: &[declared::EVENTS],
            ..Provides::NOTHING
        }
    }

    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().document(center::FILE).is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move { center::of(switch).load(switch).await })
    }

    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move { center::of(switch).start(switch) })
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move { center::of(switch).stop(switch).await })
    }
}

/// The application.
async fn fifo(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let fifos = center::of(session.switch());
    if !fifos.is_running() {
        return Ok(());
    }
    channel.unset_var("fifo_hangup_check");
    let words = text::words(argument, 5);
    let usage = || tracing::error!(uuid = %channel.uuid(), "USAGE {USAGE}");
    let (Some(names), Some(way)) = (words.first(), words.get(1)) else {
        usage();
        return Ok(());
    };
    let consumer = way.eq_ignore_ascii_case("out");
    let list = text::separated(names, ',', MAX_FIFOS);
    if !(consumer || way.eq_ignore_ascii_case("in") && list.len() == 1) {
        usage();
        return Ok(());
    }
    let fifos_named: Vec<String> = {
        let mut state = fifos.state.lock();
        let name = |entry: &String| {
            let (name, importance) = match entry.rsplit_once('!') {
                Some((name, importance)) => (name, text::int(importance).max(0)),
                None => (entry.as_str(), 0),
            };
            state.make(name, importance);
            name.to_owned()
        };
        list.iter().map(name).collect()
    };
    let given = |at: usize, variable: &str| {
        let word = words.get(at).cloned().or_else(|| channel.variable_marked(variable));
        word.filter(|word| !word.is_empty() && !word.eq_ignore_ascii_case("undef"))
    };
    let music =
        |at: usize| given(at, "fifo_music").filter(|music| !music.eq_ignore_ascii_case("silence"));
    if !consumer {
        let late = words.get(4).map(|word| word.to_ascii_lowercase());
        let args = caller::Arguments {
            fifo: fifos_named.into_iter().next().unwrap_or_default(),
            written: names.clone(),
            announce: given(2, "fifo_announce"),
            music: music(3),
            answers: !matches!(late.as_deref(), Some("noans" | "early")),
        };
        return caller::run(session, &fifos, args).await;
    }
    let waits = match words.get(2).map(|word| word.to_ascii_lowercase()).as_deref() {
        None | Some("wait") => true,
        Some("nowait") => false,
        Some(_) => {
            usage();
            return Ok(());
        }
    };
    let args = consumer::Arguments {
        fifos: fifos_named,
        written: names.clone(),
        waits,
        announce: given(3, "fifo_announce"),
        music: music(4),
    };
    consumer::run(session, &fifos, args).await
}
