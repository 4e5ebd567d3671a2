//! What a dialplan application is, the registry that `show application` and dialplans read, and the verbs of a session
//! that applications share: playing, collecting digits, ringback.

pub mod digits;
pub mod play;
pub mod ringback;

use std::borrow::Cow;

use base::far;

use crate::BoxFuture;
use crate::call::{AppResult, Session};
use crate::contract::{Effect, Named};

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

/// An application's code: gets the session and the expanded argument, marked if [`App::keeps_marks`].
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
    /// Does it do anything?
    pub effect: Effect,
}

/// Applications that take apart arguments with what a far end said marked ([`base::far`]): whatever it holds, it is part
/// of one value. Others get the argument as it is meant.
#[rustfmt::skip]
const KEEP_MARKS: &[&str] = &[
    "att_xfer", "bind_digit_action", "bind_meta_app", "bridge", "bridge_export", "broadcast", "capture", "conference", "curl",
    "db", "endless_playback", "event", "execute_extension", "export", "group", "hash", "hiredis_raw", "httapi", "intercept",
    "javascript", "limit", "limit_execute", "limit_hash", "limit_hash_execute", "loop_playback", "lua", "multiset", "multiunset", "mutex",
    "phrase", "play_and_get_digits", "playback", "presence", "push", "read", "record", "record_session", "rename", "respond",
    "say", "sched_broadcast", "sched_transfer", "send_display", "set", "set_global", "set_profile_var", "set_user", "socket",
    "soft_hold", "stream", "tone_detect", "transfer", "unset", "unshift", "valet_park",
];

/// Applications and commands whose argument is a line for the shell.
const SHELLS: &[&str] = &["bg_spawn", "bg_system", "bgsystem", "spawn", "spawn_stream", "system"];

/// Applications and commands whose argument holds the name of a file or directory. `playback` and its kin are not among
/// them: they take a list apart, and each of its items for a path.
#[rustfmt::skip]
const PATHS: &[&str] = &[
    "broadcast", "displace_session", "file_exists", "mkdir", "play_and_get_digits", "read", "record",
    "record_session", "record_session_mask", "record_session_pause", "record_session_resume", "record_session_unmask",
    "rename", "rxfax", "sched_broadcast", "stop_displace_session", "stop_record_session", "txfax", "uuid_broadcast",
    "uuid_displace", "uuid_fileman", "uuid_record",
];

/// The argument of an application or a command with what a far end said in it fit for shells and paths; the rest of it
/// stays marked.
#[must_use]
pub fn fit<'a>(name: &str, argument: &'a str) -> Cow<'a, str> {
    if !far::is_marked(argument) {
        return Cow::Borrowed(argument);
    }
    let named = |list: &[&str]| list.iter().any(|own| own.eq_ignore_ascii_case(name));
    if named(SHELLS) {
        far::in_shell(argument)
    } else if named(PATHS) && !argument.starts_with("phrase:") {
        far::in_path(argument)
    } else {
        Cow::Borrowed(argument)
    }
}

/// Applications and commands whose argument may be code of a script.
const SCRIPTS: &[&str] = &["javascript", "jsapi", "jsrun", "lua", "luarun"];

/// Is that an application or command whose argument is run as it stands, a line for the shell or code? What a far end said
/// stays a value in it also where it is the whole of it.
#[must_use]
pub fn is_run(name: &str) -> bool {
    is_shell(name) || SCRIPTS.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Is that an application whose argument is a line for the shell?
#[must_use]
pub fn is_shell(name: &str) -> bool {
    SHELLS.iter().any(|own| own.eq_ignore_ascii_case(name))
}

impl App {
    /// The same, which does nothing; see [`Effect::NoEffect`].
    #[must_use]
    pub const fn no_effect(self, why: &'static str) -> Self {
        Self { effect: Effect::NoEffect(why), ..self }
    }

    /// Does its code take apart arguments that are marked ([`base::far`])?
    #[must_use]
    pub fn keeps_marks(&self) -> bool {
        KEEP_MARKS.contains(&self.name)
    }
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
            effect: $crate::contract::Effect::Honoured,
        }
    };
}

impl Named for App {
    fn name(&self) -> &'static str {
        self.name
    }

    fn module(&self) -> &'static str {
        self.module
    }
}

/// All applications by name.
pub type Registry = crate::contract::Registry<App>;

/// The media leg has news: ended plays are noted for the application that waits, and observers are told.
pub fn media_changed(session: &mut Session, event: &media::LegEvent) {
    let channel = session.channel();
    if let media::LegEvent::PlayDone { .. } = event {
        channel.with(|data| data.plays.note(event));
    }
    for observer in channel.switch().observers() {
        observer.media(channel, event);
    }
}
