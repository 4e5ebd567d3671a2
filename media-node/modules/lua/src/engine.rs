//! The interpreter of one script: made, limited, fed, and asked what is left when the script has ended.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use base::far;
use mlua::{Function, HookTriggers, Lua, MultiValue, StdLib, Table, Value, VmState};
use scripting::logging;
use scripting::program::Program;
use scripting::scripts::{Begin, Outcome, Script, Task};
use scripting::settings::Settings;

use crate::context::Context;
use crate::language::log_failed;
use crate::{event, functions, session, stream};

/// After so many instructions a script's limits are looked at.
const STEP: u32 = 10_000;

/// Runs a script to its end; its errors are logged. Called on the script's thread.
pub(crate) fn run(begin: Begin, task: Task) -> Outcome {
    let script = Arc::clone(&begin.script);
    let ran = prepare(begin, &task).map(|lua| {
        let failed = execute(&lua, &script, &task.program);
        (lua, failed)
    });
    match ran {
        Ok((lua, failed)) => {
            let outcome = left_behind(&lua, failed);
            // What the script still holds of calls ends here, as when the reference closes its state.
            drop(lua);
            outcome
        }
        Err(error) => {
            log_failed(&text_of(&error), script.uuid());
            Outcome { failed: true, ..Outcome::default() }
        }
    }
}

/// An interpreter with everything a script expects.
fn prepare(begin: Begin, task: &Task) -> mlua::Result<Lua> {
    let lua = interpreter();
    let settings = begin.script.settings().clone();
    limit(&lua, &begin.script)?;
    let own =
        task.call.as_ref().and_then(|(channel, jobs)| Some((Arc::clone(channel), jobs.clone()?)));
    let context = Context::new(begin, own);
    context.belongs_to(&lua);
    search_paths(&lua, &settings)?;
    functions::install(&lua, &context)?;
    let globals = lua.globals();
    if let Some((channel, _)) = &task.call {
        session::conjure(&lua, &context, channel)?;
    }
    if let Some(output) = &task.output {
        globals.set("stream", stream::Stream::over(output.clone()))?;
    }
    for (name, event) in &task.events {
        globals.set(*name, event::EventObject::given(&context, event.clone()))?;
    }
    if let Some(request) = &task.request {
        globals.set("XML_REQUEST", asked(&lua, request)?)?;
    }
    if let Program::File { name, arguments } = &task.program {
        globals.set("argv", argv(&lua, name, arguments)?)?;
    }
    globals.get::<Table>("os")?.set("exit", no_exit(&lua, &context)?)?;
    for (library, name) in [("os", "execute"), ("io", "popen")] {
        let library = globals.get::<Table>(library)?;
        library.set(name, in_shell(&lua, &context, library.get(name)?)?)?;
    }
    Ok(lua)
}

/// Scripts are the administrator's own, and run as in the reference: with all libraries, `debug` and `package.loadlib`
/// among them.
#[allow(unsafe_code, reason = "the library calls scripts that use `debug` or C modules unsafe")]
fn interpreter() -> Lua {
    // SAFETY: what a script may do to the process with these libraries it may do in the reference as well; no text of
    // a far end becomes a script (`program`).
    unsafe { Lua::unsafe_new_with(StdLib::ALL, mlua::LuaOptions::default()) }
}

/// Memory, and a look at the other limits every [`STEP`] instructions.
fn limit(lua: &Lua, script: &Arc<Script>) -> mlua::Result<()> {
    let memory = script.settings().max_memory;
    if memory > 0 {
        lua.set_memory_limit(memory)?;
    }
    let script = Arc::clone(script);
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(STEP), move |lua, debug| {
        script.step(STEP.into(), || {
            let source = debug.source().short_src.unwrap_or_default().into_owned();
            format!("{source}:{}", debug.current_line().unwrap_or(0))
        });
        if !script.is_killed() {
            return Ok(VmState::Continue);
        }
        end_for_good(lua, &script)?;
        Err(mlua::Error::RuntimeError(script.end()))
    })
}

/// From now on each instruction fails: whatever catches the error (`pcall`) is left at its next step.
pub(crate) fn end_for_good(lua: &Lua, script: &Arc<Script>) -> mlua::Result<()> {
    let script = Arc::clone(script);
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(1), move |_, _| {
        Err(mlua::Error::RuntimeError(script.end()))
    })
}

/// `package.path` and `package.cpath`: what is configured, then the scripts' folder, then the interpreter's own.
fn search_paths(lua: &Lua, settings: &Settings) -> mlua::Result<()> {
    let package = lua.globals().get::<Table>("package")?;
    let own = settings.script_dir.to_string_lossy();
    let in_scripts = [format!("{own}/?.lua"), format!("{own}/?/init.lua")];
    let lists = [
        ("path", settings.own("script-directory"), &in_scripts[..]),
        ("cpath", settings.own("module-directory"), &[]),
    ];
    for (name, configured, more) in lists {
        let before = package.get::<String>(name)?;
        let mut all: Vec<&str> = configured.chain(more.iter().map(String::as_str)).collect();
        all.push(&before);
        package.set(name, all.join(";"))?;
    }
    Ok(())
}

fn argv(lua: &Lua, name: &str, arguments: &[String]) -> mlua::Result<Table> {
    let table = lua.create_sequence_from(arguments.iter().map(String::as_str))?;
    table.raw_set(0, name)?;
    Ok(table)
}

fn asked(lua: &Lua, request: &[String; 4]) -> mlua::Result<Table> {
    let names = ["section", "tag_name", "key_name", "key_value"];
    lua.create_table_from(names.into_iter().zip(request.iter().map(String::as_str)))
}

/// `os.exit` would end the switch.
fn no_exit(lua: &Lua, context: &Rc<Context>) -> mlua::Result<Function> {
    let uuid = context.script.uuid().map(str::to_owned);
    lua.create_function(move |_, ()| {
        logging::say("err", "Surely you jest! exiting is a bad plan....", uuid.as_deref());
        Ok(())
    })
}

/// A function whose first argument is a line for the shell: what a far end said is one word of it, as in the application
/// `system`.
fn in_shell(lua: &Lua, context: &Rc<Context>, own: Function) -> mlua::Result<Function> {
    let context = Rc::clone(context);
    lua.create_function(move |lua, mut given: MultiValue| {
        if let Some(Value::String(line)) = given.front() {
            let line = context.taint.borrow().mark_all(&line.to_string_lossy());
            if far::is_marked(&line) {
                let line = far::into_plain(far::in_shell(&line).into_owned());
                given.pop_front();
                given.push_front(Value::String(lua.create_string(line)?));
            }
        }
        own.call::<MultiValue>(given)
    })
}

/// Loads and runs the program. True if it failed.
fn execute(lua: &Lua, script: &Script, program: &Program) -> bool {
    let ran = match program {
        Program::Code(code) => lua.load(code.as_str()).set_name("line").exec(),
        Program::File { name, .. } => load_file(lua, script, name).and_then(|chunk| chunk.call(())),
    };
    if let Err(error) = &ran {
        log_failed(&text_of(error), script.uuid());
    }
    ran.is_err()
}

fn load_file(lua: &Lua, script: &Script, name: &str) -> mlua::Result<Function> {
    let path = match name.starts_with('/') {
        true => PathBuf::from(name),
        false => script.settings().script_dir.join(name),
    };
    let shown = path.to_string_lossy();
    let text = std::fs::read(&path).map_err(|error| {
        let why = error.raw_os_error().map_or_else(|| error.to_string(), os_text);
        mlua::Error::RuntimeError(format!("cannot open {shown}: {why}"))
    })?;
    lua.load(without_shebang(&text)).set_name(format!("@{shown}")).into_function()
}

/// What the system calls an error, without its number.
fn os_text(code: i32) -> String {
    let text = std::io::Error::from_raw_os_error(code).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// As the interpreter reads files: without a mark of the encoding, the first line left out if it begins with `#` (its
/// end stays, so that lines keep their numbers).
fn without_shebang(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    match text.first() {
        Some(b'#') => {
            let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
            &text[end..]
        }
        _ => text,
    }
}

/// The globals by which scripts answer.
fn left_behind(lua: &Lua, failed: bool) -> Outcome {
    let globals = lua.globals();
    let xml = match globals.get::<Value>("XML_STRING") {
        Ok(Value::String(text)) => Some(text.to_string_lossy()),
        _ => None,
    };
    let actions = match globals.get::<Value>("ACTIONS") {
        Ok(Value::Table(table)) => Some(crate::dialplan::actions(&table)),
        _ => None,
    };
    Outcome { failed, xml, actions }
}

/// An error as the interpreter tells it: the message, then the traceback of the script's own lines.
pub(crate) fn text_of(error: &mlua::Error) -> String {
    match error {
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        mlua::Error::RuntimeError(text) => tidy(text),
        mlua::Error::MemoryError(_) => "not enough memory".to_owned(),
        mlua::Error::CallbackError { traceback, cause } => {
            let mut root = cause;
            while let mlua::Error::CallbackError { cause, .. } = &**root {
                root = cause;
            }
            let text = match &**root {
                mlua::Error::RuntimeError(text) => text.clone(),
                mlua::Error::BadArgument { cause, .. } => text_of(cause),
                other => other.to_string(),
            };
            // The first frame is the function that failed: it stays.
            tidy(&format!(
                "{text}\n{}",
                traceback.replacen("traceback:", "traceback:\n\t[C]: in ?", 1)
            ))
        }
        other => other.to_string(),
    }
}

/// The headline of a traceback.
const TRACE: &str = "\nstack traceback:";

/// Without the frames of the host program: the error's own handler, which is the first, and what has no name.
fn tidy(text: &str) -> String {
    let text = text.trim_end();
    let Some((message, frames)) = text.split_once(TRACE) else { return text.to_owned() };
    let own = |(at, line): &(usize, &str)| {
        !(*line == "\t[C]: in ?" || *at == 0 && line.starts_with("\t[C]: in "))
    };
    let frames = frames.trim_start_matches('\n').lines().enumerate().filter(own);
    frames.fold(format!("{message}{TRACE}"), |text, (_, line)| text + "\n" + line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(code: &str) -> String {
        let lua = interpreter();
        text_of(&lua.load(code).set_name("@/x/y.lua").exec().unwrap_err())
    }

    #[test]
    fn errors_read_as_the_reference_logs_them() {
        assert_eq!(
            fails("stream = {}\nlocal x = nil\nprint(x.field)"),
            "/x/y.lua:3: attempt to index a nil value (local 'x')\nstack traceback:\n\t/x/y.lua:3: in main chunk"
        );
        assert_eq!(fails("f(1\n"), "/x/y.lua:2: ')' expected (to close '(' at line 1) near <eof>");
    }

    #[test]
    fn the_first_line_may_be_for_the_shell() {
        assert_eq!(without_shebang(b"#!/usr/bin/lua\nx = 1"), b"\nx = 1");
        assert_eq!(without_shebang(b"\xEF\xBB\xBFx = 1"), b"x = 1");
        assert_eq!(without_shebang(b"#"), b"");
    }
}
