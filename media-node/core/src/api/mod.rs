//! What an API command is, and the registry that `show api`, `help` and every caller read.

use std::sync::Arc;

use base::far;

use crate::BoxFuture;
use crate::app::Argument;
use crate::call::Channel;
use crate::contract::{self, Effect, Named};
use crate::switch::Switch;

/// One call of a command.
#[derive(Clone)]
pub struct ApiCall {
    /// The switch.
    pub switch: Arc<Switch>,
    /// Everything after the command's name, trimmed, as it is meant.
    pub args: String,
    /// The same with what a far end said marked ([`base::far`]), for code that takes it apart.
    pub marked: String,
    /// The call on whose behalf it runs, if any.
    pub channel: Option<Arc<Channel>>,
    /// A person typed it at a console: more may be said than programs expect.
    pub console: bool,
}

impl ApiCall {
    /// A call of the command of that name. What a far end said in its arguments is made fit for shells and paths where
    /// the command has such.
    #[must_use]
    pub fn new(
        switch: Arc<Switch>,
        command: &str,
        args: &str,
        channel: Option<Arc<Channel>>,
    ) -> Self {
        let argument = switch.api(command).map_or(Argument::TEXT, |api| api.argument);
        let marked = argument.fit(args).into_owned();
        Self { switch, args: far::plain(&marked).into_owned(), marked, channel, console: false }
    }

    /// The arguments split at spaces, quotes respected, at most `most` parts.
    #[must_use]
    pub fn words(&self, most: usize) -> Vec<String> {
        crate::text::words(&self.marked, most)
    }
}

/// A command's code.
#[derive(Clone, Copy)]
pub enum Run {
    /// Turns text into text, asks nothing of the switch: works on paper too.
    Text(fn(&str) -> String),
    /// Done at once.
    Sync(fn(&ApiCall) -> String),
    /// May wait.
    Async(fn(ApiCall) -> BoxFuture<'static, String>),
}

/// One command.
pub struct Api {
    /// Its name.
    pub name: &'static str,
    /// The module administrators know it from.
    pub module: &'static str,
    /// Argument syntax, as `-USAGE:` and `show api` print it.
    pub syntax: &'static str,
    /// One line about it.
    pub description: &'static str,
    /// Its code.
    pub code: Run,
    /// What becomes of what a far end said in its argument.
    pub argument: Argument,
    /// Does it do anything?
    pub effect: Effect,
}

impl Api {
    /// The same, which does nothing; see [`Effect::NoEffect`].
    #[must_use]
    pub const fn no_effect(self, why: &'static str) -> Self {
        Self { effect: Effect::NoEffect(why), ..self }
    }

    /// Runs the command.
    pub async fn run(&self, call: ApiCall) -> String {
        contract::warn_idle("command", self.name, self.effect);
        match self.code {
            Run::Text(code) if self.argument.stays_marked() => code(&call.marked),
            // Whatever it makes of a far end's words is a far end's.
            Run::Text(code) if far::is_marked(&call.marked) => far::mark(&code(&call.args)),
            Run::Text(code) => code(&call.args),
            Run::Sync(code) => code(&call),
            Run::Async(code) => code(call).await,
        }
    }

    /// `-USAGE: …`.
    #[must_use]
    pub fn usage(&self) -> String {
        usage(self.syntax)
    }
}

crate::app::argument::declared!(Api);

/// The reply to arguments that cannot be right.
#[must_use]
pub fn usage(syntax: &str) -> String {
    format!("-USAGE: {syntax}\n")
}

/// Declares a command that is done at once: `api!("name", "module", "syntax", "description", function)`; with `async`
/// before the function for one that may wait, with `text` for one that needs its argument only.
#[macro_export]
macro_rules! api {
    ($name:literal, $module:literal, $syntax:expr, $description:literal, async $run:path) => {
        $crate::api::Api {
            name: $name,
            module: $module,
            syntax: $syntax,
            description: $description,
            code: $crate::api::Run::Async(|call| Box::pin($run(call))),
            argument: $crate::app::Argument::TEXT,
            effect: $crate::contract::Effect::Honoured,
        }
    };
    ($name:literal, $module:literal, $syntax:expr, $description:literal, text $run:path) => {
        $crate::api::Api {
            name: $name,
            module: $module,
            syntax: $syntax,
            description: $description,
            code: $crate::api::Run::Text($run),
            argument: $crate::app::Argument::TEXT,
            effect: $crate::contract::Effect::Honoured,
        }
    };
    ($name:literal, $module:literal, $syntax:expr, $description:literal, $run:path) => {
        $crate::api::Api {
            name: $name,
            module: $module,
            syntax: $syntax,
            description: $description,
            code: $crate::api::Run::Sync($run),
            argument: $crate::app::Argument::TEXT,
            effect: $crate::contract::Effect::Honoured,
        }
    };
}

impl Named for Api {
    fn name(&self) -> &'static str {
        self.name
    }

    fn module(&self) -> &'static str {
        self.module
    }
}

/// All commands by name.
pub type Registry = contract::Registry<Api>;
