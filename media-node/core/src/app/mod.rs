//! What a dialplan application is, the registry that `show application` and dialplans read, and the verbs of a session
//! that applications share: playing, collecting digits, ringback.

pub(crate) mod argument;
pub mod digits;
pub mod play;
pub mod ringback;

use crate::BoxFuture;
use crate::call::{AppResult, Session};
use crate::contract::{Effect, Named};

pub use call_model::argument::Argument;

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

/// An application's code: gets the session and the expanded argument, marked if [`Argument::stays_marked`].
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
    /// What becomes of what a far end said in its argument.
    pub argument: Argument,
    /// Does it do anything?
    pub effect: Effect,
}

impl App {
    /// The same, which does nothing; see [`Effect::NoEffect`].
    #[must_use]
    pub const fn no_effect(self, why: &'static str) -> Self {
        Self { effect: Effect::NoEffect(why), ..self }
    }
}

argument::declared!(App);

/// Declares an application: `app!("name", "module", flags, "syntax", "description", function)`. Behind it stands what its
/// argument is beside text ([`Argument`]).
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
            argument: $crate::app::Argument::TEXT,
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
