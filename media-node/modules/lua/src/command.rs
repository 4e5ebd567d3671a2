//! The commands `lua`, `luarun` and `lua_scripts`.

use std::sync::Arc;

use esl_server::event::{Event, EventName};
use scripting::Language as _;
use scripting::program::Program;
use scripting::scripts::{Output, Task};

use crate::api;
use crate::api::{Api, ApiCall};
use crate::language::{Lua, Scripts};
use crate::{foreign, text};

const SCRIPTS: &str = "list|count|kill <id>";

pub(crate) const APIS: &[Api] = &[
    api!("lua", "mod_lua", "<script>", "run a script as an api function", async lua).code(),
    api!("luarun", "mod_lua", "<script>", "run a script", luarun).code(),
    api!("lua_scripts", "mod_lua", SCRIPTS, "List scripts that run, end one", scripts),
];

pub(crate) const COMPLETIONS: &str = "lua_scripts list\nlua_scripts count\nlua_scripts kill";

async fn lua(call: ApiCall) -> String {
    if call.args.is_empty() {
        return String::new();
    }
    let output = Output::default();
    let failed = match Program::read(&Lua::NAMES, &call.marked).and_then(Program::admit) {
        Ok(program) => run(&call, program, &output).await,
        Err(refused) => {
            tracing::error!("{refused}");
            true
        }
    };
    let mut text = String::from_utf8_lossy(&output.lock()).into_owned();
    if failed {
        text.push_str("-ERR Cannot execute script\n");
    }
    text
}

/// True if it failed.
async fn run(call: &ApiCall, program: Program, output: &Output) -> bool {
    let mut env = Event::new(EventName::Api);
    esl_server::stamp!(call.switch.bus, &mut env);
    env.push("API-Command", "lua").push("API-Command-Argument", &*call.args);
    let task = Task {
        call: call.channel.clone().map(|channel| (channel, None)),
        output: Some(Arc::clone(output)),
        events: vec![("env", env)],
        ..Task::new(program)
    };
    match Scripts::start(&call.switch, task) {
        Ok(started) => started.outcome().await.failed,
        Err(refused) => {
            tracing::error!("{refused}");
            true
        }
    }
}

fn luarun(call: &ApiCall) -> String {
    if call.args.is_empty() {
        return "-ERR no args specified!\n".to_owned();
    }
    let started = Program::read(&Lua::NAMES, &call.marked)
        .and_then(Program::admit)
        .and_then(|program| Scripts::start(&call.switch, Task::new(program)));
    match started {
        Ok(_in_background) => "+OK\n".to_owned(),
        Err(refused) => {
            tracing::error!("{refused}");
            format!("-ERR {refused}\n")
        }
    }
}

fn scripts(call: &ApiCall) -> String {
    let scripts = call.switch.module::<Scripts>();
    let words = call.words(3);
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    match (word(0), word(1)) {
        ("" | "list", "") => scripts.list(),
        ("count", "") => format!("{}\n", scripts.count()),
        ("kill", id) if text::is_number(id) => {
            if let Some(refused) = foreign::refuse("lua_scripts kill") {
                return refused;
            }
            let id = u64::try_from(text::int(id)).unwrap_or(0);
            match scripts.kill(id, "lua_scripts kill") {
                true => "+OK\n".to_owned(),
                false => format!("-ERR no script {id} runs\n"),
            }
        }
        _ => api::usage(SCRIPTS),
    }
}
