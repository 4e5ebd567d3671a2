//! JavaScript as a language of scripts.

use std::sync::atomic::AtomicBool;

use scripting::scripts::{Begin, Outcome, Task};
use scripting::{Language, Names};

use crate::engine;

/// JavaScript.
pub(crate) struct JavaScript;

impl Language for JavaScript {
    const NAMES: Names = Names {
        conf: "v8.conf",
        thread: "js",
        shebang: "",
        kill: "jskill",
        title: "JavaScript",
        errors: "mod_v8.cpp:v8_error:435",
        // The interpreter takes `engine::STACK` of it; the rest is for what of ours a script calls last.
        stack: 4 << 20,
    };

    fn run(begin: Begin, task: Task) -> Outcome {
        engine::run(begin, task)
    }
}

/// What the switch keeps of its scripts.
pub(crate) type Scripts = scripting::scripts::Scripts<JavaScript>;

/// `jsmon`: the time each script took is logged.
#[derive(Default)]
pub(crate) struct Monitor(pub(crate) AtomicBool);

/// Logs a script's error: what was thrown, and where.
pub(crate) fn log_failed(text: &str, uuid: Option<&str>) {
    scripting::logging::failed(&JavaScript::NAMES, text, uuid);
}
