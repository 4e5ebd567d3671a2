//! API commands: one file per family, one registry that `show api`, `help` and every caller read.

pub mod chat;
pub mod conference;
pub mod console;
pub mod control;
pub mod directory;
pub mod explain;
pub mod expr;
pub mod fsctl;
pub mod guesses;
pub mod json;
pub mod limit;
pub mod modules;
pub mod nesting;
pub mod net;
pub mod originate;
pub mod regex;
pub mod sched;
pub mod show;
pub mod status;
pub mod store;
pub mod strings;
pub mod system;
pub mod time;
pub mod uuid;
pub mod vars;

use std::collections::HashMap;
use std::sync::Arc;

use crate::BoxFuture;
use crate::call::Channel;
use crate::switch::Switch;

/// One call of a command.
#[derive(Clone)]
pub struct ApiCall {
    /// The switch.
    pub switch: Arc<Switch>,
    /// Everything after the command's name, trimmed.
    pub args: String,
    /// The call on whose behalf it runs, if any.
    pub channel: Option<Arc<Channel>>,
}

impl ApiCall {
    /// The arguments split at spaces, quotes respected, at most `most` parts.
    #[must_use]
    pub fn words(&self, most: usize) -> Vec<String> {
        crate::text::words(&self.args, most)
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
}

impl Api {
    /// Runs the command.
    pub async fn run(&self, call: ApiCall) -> String {
        match self.code {
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
        }
    };
    ($name:literal, $module:literal, $syntax:expr, $description:literal, text $run:path) => {
        $crate::api::Api {
            name: $name,
            module: $module,
            syntax: $syntax,
            description: $description,
            code: $crate::api::Run::Text($run),
        }
    };
    ($name:literal, $module:literal, $syntax:expr, $description:literal, $run:path) => {
        $crate::api::Api {
            name: $name,
            module: $module,
            syntax: $syntax,
            description: $description,
            code: $crate::api::Run::Sync($run),
        }
    };
}

/// All commands by name.
pub struct Registry {
    by_name: HashMap<&'static str, &'static Api>,
}

impl Registry {
    /// Everything this switch can be asked.
    #[must_use]
    pub fn standard() -> Self {
        let families: &[&'static [Api]] = &[
            conference::APIS,
            chat::APIS,
            console::APIS,
            control::APIS,
            directory::APIS,
            explain::APIS,
            expr::APIS,
            fsctl::APIS,
            guesses::APIS,
            json::APIS,
            limit::APIS,
            modules::APIS,
            net::APIS,
            originate::APIS,
            regex::APIS,
            sched::APIS,
            show::APIS,
            status::APIS,
            store::APIS,
            strings::APIS,
            system::APIS,
            time::APIS,
            vars::APIS,
            crate::app::say::APIS,
            crate::app::tone::APIS,
            crate::app::valet::APIS,
            crate::enum_lookup::faces::APIS,
            crate::sofia::api::APIS,
            crate::xml::api::APIS,
        ];
        let by_name = families
            .iter()
            .chain(uuid::FAMILIES)
            .flat_map(|family| family.iter())
            .map(|api| (api.name, api))
            .collect();
        Self { by_name }
    }

    /// The command of that name, in any case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'static Api> {
        self.by_name
            .get(name)
            .or_else(|| self.by_name.get(name.to_ascii_lowercase().as_str()))
            .copied()
    }

    /// All, by name.
    #[must_use]
    pub fn all(&self) -> Vec<&'static Api> {
        let mut all: Vec<_> = self.by_name.values().copied().collect();
        all.sort_by_key(|api| api.name);
        all
    }
}
