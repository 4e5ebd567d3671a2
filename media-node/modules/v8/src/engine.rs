//! The interpreter of one script: made, limited, fed, and asked what is left when the script has ended.

use std::cell::{Cell, RefCell};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rquickjs::context::EvalOptions;
use rquickjs::{Array, Coerced, Ctx, Function, Object, Persistent, Runtime, Value};
use scripting::program::Program;
use scripting::scripts::{Begin, Outcome, Script, Task};

use crate::context::Context;
use crate::events::EventObject;
use crate::language::{Monitor, log_failed};
use crate::session::Call;
use crate::values::Answer;
use crate::{natives, requests};

/// The interpreter looks at a script's limits after so many turns of loops and calls.
const STEP: u64 = 10_000;
/// Most of its thread's stack a script may use, in octets: recursion ends there with an error.
const STACK: usize = 1 << 20;
/// Largest file that is run, in octets.
const LARGEST: u64 = 16 << 20;

/// Classes and functions of scripts, over those of [`natives`].
const CLASSES: &str = include_str!("classes.js");
/// Classes that `use` brings.
const BROUGHT: &str = include_str!("brought.js");

/// Runs a script to its end; its errors are logged. Called on the script's thread.
pub(crate) fn run(begin: Begin, task: Task) -> Outcome {
    let (script, switch) = (Arc::clone(&begin.script), Arc::clone(&begin.switch));
    let started = Instant::now();
    let outcome = interpret(begin, task).unwrap_or_else(|error| {
        log_failed(&format!("Exception: {error}"), script.uuid());
        Outcome { failed: true, ..Outcome::default() }
    });
    if switch.module::<Monitor>().0.load(Ordering::Relaxed) {
        tracing::info!("Javascript execution time: {} microseconds", started.elapsed().as_micros());
    }
    outcome
}

/// # Errors
/// That of an interpreter for which there is no memory.
fn interpret(begin: Begin, task: Task) -> rquickjs::Result<Outcome> {
    let script = Arc::clone(&begin.script);
    let over = Rc::new(Cell::new(false));
    let runtime = Runtime::new()?;
    let failures = Rc::default();
    limit(&runtime, &script, &over, &failures);
    let interpreter = rquickjs::Context::full(&runtime)?;
    interpreter.with(|ctx| {
        let own = task.call.as_ref();
        let own = own.and_then(|(channel, jobs)| Some((Arc::clone(channel), jobs.clone()?)));
        let context = Context::new(begin, own, task.output.clone(), over);
        let ran = prepare(&ctx, &context, &task)
            .and_then(|()| program(&ctx, &script, &task.program))
            .map(|value| finish(&ctx, &context, value));
        if !context.is_over() {
            log_uncaught(&ctx, &failures, script.uuid());
        }
        failures.take();
        let failed = match ran {
            // One that is ended while its promises run has not ended well.
            Ok(()) if script.is_killed() => {
                log_failed(&script.end().to_string(), None);
                true
            }
            Ok(()) => false,
            Err(error) => fails(&ctx, &context, &error),
        };
        let xml = ctx.globals().get::<_, Option<Coerced<String>>>("XML_STRING").ok().flatten();
        Ok(Outcome { failed, xml: xml.map(|text| text.0), actions: None })
    })
}

/// Memory, stack, and a look at the other limits every [`STEP`] turns.
fn limit(
    runtime: &Runtime,
    script: &Arc<Script>,
    over: &Rc<Cell<bool>>,
    failures: &Rc<RefCell<Failures>>,
) {
    runtime.set_max_stack_size(STACK);
    let memory = script.settings().max_memory;
    if memory > 0 {
        runtime.set_memory_limit(memory);
    }
    let (script, over) = (Arc::clone(script), Rc::clone(over));
    runtime.set_interrupt_handler(Some(Box::new(move || {
        script.step(STEP, || script.title().to_owned());
        over.get() || script.is_killed()
    })));
    let failures = Rc::clone(failures);
    runtime.set_host_promise_rejection_tracker(Some(Box::new(
        move |ctx, promise, reason, caught| {
            failures.borrow_mut().note(&ctx, promise, reason, caught);
        },
    )));
}

/// A value that outlives a look at the interpreter.
type Kept = Persistent<Value<'static>>;

/// Promises that failed and that nothing has caught so far. A script may catch one later than it fails, so that those are
/// logged which are left when no promise has anything to do any more. They belong to the interpreter, and have to go before it.
#[derive(Default)]
struct Failures {
    uncaught: Vec<(Kept, Kept)>,
    /// How many came when [`MOST_FAILURES`] were there.
    more: usize,
}

/// So many are kept, and named in the log.
const MOST_FAILURES: usize = 100;

impl Failures {
    fn note<'js>(&mut self, ctx: &Ctx<'js>, promise: Value<'js>, reason: Value<'js>, caught: bool) {
        if caught {
            let is_it = |kept: &Kept| kept.clone().restore(ctx).is_ok_and(|kept| kept == promise);
            match self.uncaught.iter().position(|(kept, _)| is_it(kept)) {
                Some(at) => drop(self.uncaught.remove(at)),
                None => self.more = self.more.saturating_sub(1),
            }
        } else if self.uncaught.len() < MOST_FAILURES {
            self.uncaught.push((Persistent::save(ctx, promise), Persistent::save(ctx, reason)));
        } else {
            self.more += 1;
        }
    }
}

/// Logs promises that failed and were not caught.
fn log_uncaught(ctx: &Ctx<'_>, failures: &RefCell<Failures>, uuid: Option<&str>) {
    // To show one may run code of the script, which may make others.
    let Failures { uncaught, more } = std::mem::take(&mut *failures.borrow_mut());
    for (_, reason) in uncaught {
        if let Ok(reason) = reason.restore(ctx) {
            log_failed(&format!("Exception in a promise: {}", thrown(&reason)), uuid);
        }
    }
    if more > 0 {
        log_failed(&format!("Exceptions in {more} more promises"), uuid);
    }
}

/// The classes, and what the script is given.
fn prepare<'js>(ctx: &Ctx<'js>, context: &Rc<Context>, task: &Task) -> rquickjs::Result<()> {
    let given = Object::new(ctx.clone())?;
    if let Some((channel, _)) = &task.call {
        given.set("session", Call::of(context, channel).publish(ctx)?)?;
    }
    let events = Array::new(ctx.clone())?;
    for (at, (name, event)) in task.events.iter().filter(|(name, _)| *name != "request").enumerate()
    {
        let pair = Array::new(ctx.clone())?;
        pair.set(0, *name)?;
        pair.set(1, EventObject::given(ctx, context, event.clone())?)?;
        events.set(at, pair)?;
    }
    given.set("events", events)?;
    let asked = task.events.iter().find(|(name, _)| *name == "request");
    match (&task.request, asked) {
        (Some(request), Some((_, event))) => {
            let [command, ..] = request;
            given.set("request", requests::object(ctx, context, command, event.clone())?)?;
        }
        (Some(request), None) => {
            let asked = Object::new(ctx.clone())?;
            let names = ["section", "tag_name", "key_name", "key_value"];
            for (name, value) in names.into_iter().zip(request) {
                asked.set(name, value.as_str())?;
            }
            given.set("XML_REQUEST", asked)?;
        }
        (None, _) => {}
    }
    if let Program::File { name, arguments } = &task.program {
        let list = Array::new(ctx.clone())?;
        for (at, argument) in arguments.iter().enumerate() {
            list.set(at, argument.as_str())?;
        }
        given.set("argv", list)?;
        let path = path_of(context.script.settings().script_dir.as_path(), name);
        let folder = path.parent().unwrap_or(Path::new(".")).to_string_lossy().into_owned();
        given.set("scriptPath", folder)?;
    }
    let classes: Function = evaluate(ctx, CLASSES, "classes.js")?;
    let brought: Function = evaluate(ctx, BROUGHT, "brought.js")?;
    classes.call((natives::table(ctx, context)?, given, ctx.globals(), brought))
}

/// Where a script's file lies.
pub(crate) fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}

/// Evaluates code as scripts are: not strict, in the global scope.
pub(crate) fn evaluate<'js, T: rquickjs::FromJs<'js>>(
    ctx: &Ctx<'js>,
    code: impl Into<Vec<u8>>,
    name: &str,
) -> rquickjs::Result<T> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(name.to_owned());
    ctx.eval_with_options(code, options)
}

fn program<'js>(
    ctx: &Ctx<'js>,
    script: &Script,
    program: &Program,
) -> rquickjs::Result<Value<'js>> {
    match program {
        Program::Code(code) => evaluate(ctx, code.as_str(), "inline"),
        Program::File { name, .. } => {
            let path = path_of(&script.settings().script_dir, name);
            match read(&path) {
                Ok(text) => evaluate(ctx, text, &path.to_string_lossy()),
                Err(why) => {
                    let text = format!("Cannot Open File: {} ({why})", path.display());
                    Err(ctx.throw(rquickjs::String::from_str(ctx.clone(), &text)?.into_value()))
                }
            }
        }
    }
}

/// Reads a script's file, without a mark of the encoding and with a first line for the shell left empty.
///
/// # Errors
/// When it cannot be read or is too large.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no plain file"));
    }
    let mut text = Vec::new();
    // It may grow while it is read.
    file.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(std::io::Error::other("the file is too large"));
    }
    if text.starts_with(b"\xEF\xBB\xBF") {
        text.drain(..3);
    }
    Ok(text)
}

/// Runs what promises still have to do, and logs what the script came to, as the reference does.
fn finish<'js>(ctx: &Ctx<'js>, context: &Context, value: Value<'js>) {
    while !context.is_over() && ctx.execute_pending_job() {}
    if !value.is_undefined()
        && let Ok(text) = value.get::<Coerced<String>>()
    {
        tracing::info!("Javascript result: [{}]", text.0);
    }
    exit_message(context);
}

/// What `exit` was given.
fn exit_message(context: &Context) {
    if let Some(text) = context.exit_message.borrow_mut().take() {
        tracing::info!(fs_level = "NOTICE", "Script exited with info [{text}]");
    }
}

/// Logs why a script ended. False where it ended by `exit`.
fn fails(ctx: &Ctx<'_>, context: &Context, error: &rquickjs::Error) -> bool {
    let thrown_value = ctx.catch();
    if context.script.is_killed() {
        log_failed(&context.script.end(), context.script.uuid());
        return true;
    }
    if context.over.get() {
        exit_message(context);
        return false;
    }
    let text = if error.is_exception() { thrown(&thrown_value) } else { error.to_string() };
    log_failed(&format!("Exception: {text}"), context.script.uuid());
    true
}

/// What was thrown: an error with where it came from, or any other value.
fn thrown(value: &Value<'_>) -> String {
    if value.is_null() {
        return "out of memory".to_owned();
    }
    let text = value.get::<Coerced<String>>().map(|text| text.0);
    let text = text.unwrap_or_else(|_| "what cannot be shown".to_owned());
    match value.as_exception().and_then(rquickjs::Exception::stack) {
        Some(stack) if !stack.trim().is_empty() => format!("{text}\n{}", stack.trim_end()),
        _ => text,
    }
}

/// What `include` evaluates.
pub(crate) fn include<'js>(ctx: &Ctx<'js>, path: &Path) -> rquickjs::Result<Option<Answer<'js>>> {
    let Ok(text) = read(path) else { return Ok(None) };
    let value = evaluate::<Value>(ctx, text, &path.to_string_lossy())?;
    Ok(Some(Answer::Value(value)))
}
