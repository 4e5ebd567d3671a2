//! Lua as a language of scripts.

use scripting::scripts::{Begin, Outcome, Task};
use scripting::{Language, Names};

use crate::engine;

/// Lua.
pub(crate) struct Lua;

impl Language for Lua {
    const NAMES: Names = Names {
        conf: "lua.conf",
        thread: "lua",
        shebang: "#!/lua",
        kill: "lua_scripts kill",
        title: "LUA",
        errors: "mod_lua.cpp:lua_parse_and_execute:202",
        // The interpreter nests at most 200 C calls.
        stack: 2 << 20,
    };

    fn run(begin: Begin, task: Task) -> Outcome {
        engine::run(begin, task)
    }
}

/// What the switch keeps of its scripts.
pub(crate) type Scripts = scripting::scripts::Scripts<Lua>;

/// Logs a script's error: file, line and traceback, as the interpreter tells it.
pub(crate) fn log_failed(text: &str, uuid: Option<&str>) {
    scripting::logging::failed(&Lua::NAMES, text, uuid);
}
