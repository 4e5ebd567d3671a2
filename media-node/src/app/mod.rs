//! Dialplan applications: one file per family, one registry that `show application` and dialplans read.

pub mod answer;
pub mod attended;
pub mod audio;
pub mod bridge;
pub mod conference;
pub mod desk;
pub mod digit_action;
pub mod digit_filter;
pub mod digits;
pub mod eavesdrop;
pub mod flow;
pub mod hold;
pub mod info;
pub mod intercept;
pub mod ivr;
pub mod jitter;
pub mod limit;
pub mod machine;
pub mod meta;
pub mod mutex;
pub mod phrase;
pub mod play;
pub mod record;
pub mod record_file;
pub mod record_hooks;
pub mod respond;
pub mod ringback;
pub mod say;
pub mod schedule;
pub mod socket;
pub mod store;
pub mod tone;
pub mod unicast;
pub mod valet;
pub mod variables;

use std::collections::HashMap;

use crate::BoxFuture;
use crate::call::{AppResult, Session};

/// What an application may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// Nothing special: needs audio.
    pub const NONE: Self = Self(0);
    /// Runs without audio; does not cause early media.
    pub const NO_MEDIA: Self = Self(1);
    /// May run while the dialplan is being searched (`inline="true"`).
    pub const ROUTING: Self = Self(2);
    /// Runs after hangup (`set_zombie_exec`).
    pub const ZOMBIE: Self = Self(4);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Is that flag set?
    #[must_use]
    pub const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 == flag.0
    }
}

/// An application's code: gets the session and the expanded argument.
pub type AppFn = for<'a> fn(&'a mut Session, &'a str) -> BoxFuture<'a, AppResult>;

/// One application.
pub struct App {
    /// Its name.
    pub name: &'static str,
    /// The module administrators know it from.
    pub module: &'static str,
    /// Argument syntax, as `show application` prints it.
    pub syntax: &'static str,
    /// One line about it.
    pub description: &'static str,
    /// What it may be used for.
    pub flags: Flags,
    /// Its code.
    pub run: AppFn,
}

/// Declares an application: `app!("name", "module", flags, "syntax", "description", function)`.
#[macro_export]
macro_rules! app {
    ($name:literal, $module:literal, $flags:expr, $syntax:literal, $description:literal, $run:path) => {
        $crate::app::App {
            name: $name,
            module: $module,
            syntax: $syntax,
            description: $description,
            flags: $flags,
            run: |session, argument| Box::pin($run(session, argument)),
        }
    };
}

/// All applications by name.
pub struct Registry {
    by_name: HashMap<&'static str, &'static App>,
}

impl Registry {
    /// Everything this switch can do.
    #[must_use]
    pub fn standard() -> Self {
        let families: &[&'static [App]] = &[
            answer::APPS,
            attended::APPS,
            audio::APPS,
            desk::APPS,
            digit_action::APPS,
            digit_filter::APPS,
            intercept::APPS,
            ivr::APPS,
            jitter::APPS,
            meta::APPS,
            phrase::APPS,
            say::APPS,
            valet::APPS,
            bridge::APPS,
            conference::APPS,
            digits::APPS,
            eavesdrop::APPS,
            flow::APPS,
            info::APPS,
            play::APPS,
            record::APPS,
            respond::APPS,
            schedule::APPS,
            socket::APPS,
            hold::APPS,
            limit::APPS,
            machine::APPS,
            mutex::APPS,
            store::APPS,
            tone::APPS,
            variables::APPS,
            crate::enum_lookup::faces::APPS,
        ];
        let by_name =
            families.iter().flat_map(|family| family.iter()).map(|app| (app.name, app)).collect();
        Self { by_name }
    }

    /// The application of that name, in any case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'static App> {
        self.by_name
            .get(name)
            .or_else(|| self.by_name.get(name.to_ascii_lowercase().as_str()))
            .copied()
    }

    /// All, by name.
    #[must_use]
    pub fn all(&self) -> Vec<&'static App> {
        let mut all: Vec<_> = self.by_name.values().copied().collect();
        all.sort_by_key(|app| app.name);
        all
    }
}

/// The media leg has news: ended plays are noted for whoever waits, ended recordings booked.
pub fn media_changed(session: &mut Session, event: &media::LegEvent) {
    let channel = session.channel();
    if let media::LegEvent::PlayDone { id, .. } = event {
        channel.with(|data| data.plays.note(event));
        audio::play_ended(channel, *id);
    }
    record::note(channel, event);
}

/// CS_HANGUP: recordings of the session end before the call state does.
pub async fn stop_session_recordings(session: &mut Session) {
    record::stop_all(session).await;
}
