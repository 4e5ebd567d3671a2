//! What scripts of any language share: a thread for each, limits, the list and its end, the way into a call's task, keys and
//! events for callbacks, what far ends said, databases and mail. A language's module brings the interpreter.

// The core's rooms are known here by their own names.
use switch_core::*;

pub mod application;
pub mod context;
pub mod database;
pub mod digits;
pub mod email;
pub mod hooks;
pub mod input;
pub mod legs;
pub mod line;
pub mod logging;
pub mod playing;
pub mod program;
pub mod scripts;
pub mod settings;
pub mod splice;
pub mod taint;
pub mod turn;
pub mod xml_handler;

use scripts::{Begin, Outcome, Task};

/// A language that scripts are written in.
pub trait Language: Send + Sync + 'static {
    /// How the language's module is called in messages.
    const NAMES: Names;

    /// Runs a script to its end; its errors are logged. Called on the script's thread.
    fn run(begin: Begin, task: Task) -> Outcome;
}

/// Names of a language's module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The document of its settings.
    pub conf: &'static str,
    /// Begins the names of its scripts' threads.
    pub thread: &'static str,
    /// Begins code beside `~`, in any case; empty where nothing else does.
    pub shebang: &'static str,
    /// The command that ends a script.
    pub kill: &'static str,
    /// The language, where errors name it.
    pub title: &'static str,
    /// Where the log says that a script's errors come from.
    pub errors: &'static str,
    /// Stack of a script's thread, in octets.
    pub stack: usize,
}
