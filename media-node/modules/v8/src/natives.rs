//! The functions `classes.js` is written over.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use dialplan_xml::regex::{Pattern, substitute};
use rquickjs::function::Rest;
use rquickjs::{Array, Ctx, Exception, Function, Object, Value};
use scripting::{email, logging};

use crate::context::Context;
use crate::databases::Database;
use crate::events::EventObject;
use crate::files::File;
use crate::handlers::{self, Handler};
use crate::session::Call;
use crate::sockets::Socket;
use crate::values::{Answer, Given};
use crate::{engine, web, xml};

/// A function of the table.
type Native = for<'js> fn(&Ctx<'js>, &Rc<Context>, &Given<'js>) -> rquickjs::Result<Answer<'js>>;

const NATIVES: &[(&str, Native)] = &[
    ("log", log),
    ("getGlobal", get_global),
    ("setGlobal", set_global),
    ("exit", exit),
    ("include", include),
    ("api", api),
    ("msleep", msleep),
    ("email", send_email),
    ("fileDelete", delete),
    ("writeFile", write_file),
    ("system", system),
    ("http", web::request),
    ("httpFile", web::file),
    ("regex", regex),
    ("session", |ctx, context, _| Call::new(context).publish(ctx).map(Answer::Function)),
    ("event", EventObject::create),
    ("file", File::open),
    ("database", Database::open),
    ("socket", Socket::create),
    ("handler", Handler::create),
    ("bgapi", handlers::background),
    ("parseXml", xml::parse),
    ("printXml", xml::print),
    ("id", |_, context, _| Ok(Answer::Text(context.script.id.to_string()))),
];

/// Makes the table. After `exit`, and when the script has to end, every function but `over` throws.
pub(crate) fn table<'js>(ctx: &Ctx<'js>, context: &Rc<Context>) -> rquickjs::Result<Object<'js>> {
    let table = Object::new(ctx.clone())?;
    for (name, run) in NATIVES {
        let (context, run) = (Rc::clone(context), *run);
        let function =
            Function::new(ctx.clone(), move |ctx: Ctx<'js>, given: Rest<Value<'js>>| {
                if context.is_over() {
                    return Err(Context::end(&ctx, &context.ended()));
                }
                run(&ctx, &context, &Given(given))
            })?;
        table.set(*name, function)?;
    }
    let own = Rc::clone(context);
    table.set("over", Function::new(ctx.clone(), move || own.is_over())?)?;
    Ok(table)
}

fn log<'js>(
    _: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let text = given.text(1);
    if !text.is_empty() {
        logging::say(&given.text(0), text.trim_end_matches('\n'), context.script.uuid());
    }
    Ok(Answer::Nothing)
}

fn get_global<'js>(
    _: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let value = context.switch.global_marked(&given.text(0)).unwrap_or_default();
    Ok(Answer::Text(context.taint.borrow_mut().read(value)))
}

/// With a third value only where the variable has it.
fn set_global<'js>(
    _: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let (name, switch) = (given.text(0), &context.switch);
    if given.0.len() > 2 && switch.global(&name).unwrap_or_default() != given.text(2) {
        return Ok(Answer::Bool(false));
    }
    let value = context.taint.borrow().mark(&given.text(1));
    Ok(Answer::Bool(switch.set_global(&name, &value)))
}

fn exit<'js>(
    _: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    *context.exit_message.borrow_mut() = given.filled(0);
    context.over.set(true);
    Ok(Answer::Nothing)
}

/// Evaluates a file: the name as it is, in the folder of the script, or in that of all scripts. Nothing if there is none;
/// else a list of what it came to.
fn include<'js>(
    ctx: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let (name, folder) = (given.text(0), given.text(1));
    let all = &context.script.settings().script_dir;
    let places = [Path::new(&folder).join(&name), all.join(&name)];
    let places = if folder.is_empty() { &places[1..] } else { &places[..] };
    for place in places.iter().filter(|place| place.is_file()) {
        if let Some(answer) = engine::include(ctx, place)? {
            let list = Array::new(ctx.clone())?;
            list.set(0, answer)?;
            return Ok(Answer::Object(list.into_object()));
        }
    }
    Ok(Answer::Null)
}

fn api<'js>(
    ctx: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let channel = context.call(given.id(2)).and_then(|call| call.channel());
    let said = context.run_api(&given.text(0), &given.text(1), channel);
    said.map(Answer::Text).map_err(|ended| Context::end(ctx, &ended))
}

fn msleep<'js>(
    ctx: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let time = Duration::from_millis(given.whole(0));
    context.wait(ctx, "msleep", async move { tokio::time::sleep(time).await })?;
    Ok(Answer::Nothing)
}

fn send_email<'js>(
    _: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let given = email::Given {
        to: given.text(0),
        from: given.text(1),
        headers: given.text(2),
        body: given.text(3),
        file: given.text(4),
        command: given.text(5),
        extension: given.text(6),
    };
    Ok(Answer::Bool(email::send(context, &given)))
}

fn delete<'js>(_: &Ctx<'js>, _: &Rc<Context>, given: &Given<'js>) -> rquickjs::Result<Answer<'js>> {
    Ok(Answer::Bool(std::fs::remove_file(given.text(0)).is_ok()))
}

/// Writes a text into a file, which is made or replaced.
fn write_file<'js>(
    _: &Ctx<'js>,
    _: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let path = given.text(0);
    let written = std::fs::write(&path, given.text(1));
    if let Err(error) = &written {
        tracing::error!("Failed to open file [{path}]: {error}");
    }
    Ok(Answer::Bool(written.is_ok()))
}

/// Runs a command line in a shell; gives its status, -1 where it was not run or ended by a signal.
fn system<'js>(
    ctx: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    // What a far end said is one word of the line, as in the application of this name.
    let line = context.taint.borrow().mark_all(&given.text(0));
    let line = base::far::into_plain(base::far::in_shell(&line).into_owned());
    let status = context.wait(ctx, "a program", async move {
        if base::foreign::refuse("system").is_some() {
            return Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        }
        let mut shell = tokio::process::Command::new("/bin/sh");
        // A script that is ended meanwhile ends its program.
        shell.arg("-c").arg(line).stdin(std::process::Stdio::null()).kill_on_drop(true);
        shell.status().await
    })?;
    let code = status.ok().and_then(|status| status.code());
    Ok(Answer::Int(code.map_or(-1, i64::from)))
}

/// A template with what a pattern finds in a text put in (`$1`); nothing where the pattern does not fit.
fn regex<'js>(
    ctx: &Ctx<'js>,
    _: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let pattern = Pattern::cached(&given.text(1));
    let pattern = pattern.map_err(|error| Exception::throw_message(ctx, &error.to_string()))?;
    let found = pattern.captures(&given.text(0));
    Ok(found.map(|found| substitute(&given.text(2), &found)).into())
}
