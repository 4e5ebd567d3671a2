//! The commands `jsapi`, `jsrun`, `jsps`, `jskill` and `jsmon`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::event::{Event, EventName};
use scripting::Language as _;
use scripting::program::{Program, Refused};
use scripting::scripts::{Output, Script, Task};
use serde_json::{Value, json};

use crate::api;
use crate::api::{Api, ApiCall};
use crate::language::{JavaScript, Monitor, Scripts};
use crate::{BoxFuture, foreign, text};

const API: &str = "jsapi <script> [additional_vars [...]]";
const RUN: &str = "jsrun <script> [additional_vars [...]]";
const STATUS: &str = "jsps [as plain|json|xml|delim|csv [<delimeter>]]";
const KILL: &str = "jskill <task_id>";
const MONITOR: &str = "jsmon on|off";

pub(crate) const APIS: &[Api] = &[
    api!("jsapi", "mod_v8", API, "execute an api call", async jsapi).code(),
    api!("jsrun", "mod_v8", RUN, "run a script", jsrun).code(),
    api!("jsps", "mod_v8", STATUS, "process status", jsps),
    api!("jskill", "mod_v8", KILL, "kill a task", jskill),
    api!("jsmon", "mod_v8", MONITOR, "toggle performance monitor", jsmon),
];

pub(crate) const COMPLETIONS: &str =
    "jsmon on\njsmon off\njsps as plain\njsps as json\njsps as xml\njsps as csv";

fn usage(syntax: &str) -> String {
    format!("USAGE: {syntax}\n")
}

async fn jsapi(call: ApiCall) -> String {
    if call.args.is_empty() {
        return usage(API);
    }
    match answered(&call, &call.marked, Vec::new()).await {
        Ok(answer) => answer,
        Err(refused) => {
            tracing::error!("{refused}");
            format!("-ERR {refused}\n")
        }
    }
}

/// What a script writes to `request`, which has these headers.
async fn answered(
    call: &ApiCall,
    marked: &str,
    headers: Vec<(&'static str, String)>,
) -> Result<String, Refused> {
    let output = Output::default();
    let mut asked = Event::new(EventName::RequestParams);
    esl_server::stamp!(call.switch.bus, &mut asked);
    for (name, value) in headers {
        asked.push(name, value);
    }
    let program = Program::read(&JavaScript::NAMES, marked).and_then(Program::admit)?;
    let task = Task {
        call: call.channel.clone().map(|channel| (channel, None)),
        output: Some(Arc::clone(&output)),
        // What `request` reads: its command, and headers.
        request: Some(std::array::from_fn(|at| match at {
            0 => base::far::plain(marked).into_owned(),
            _ => String::new(),
        })),
        events: vec![("request", asked)],
        ..Task::new(program)
    };
    // As in the reference the answer is what the script wrote, whether it failed or not: the log says so.
    drop(Scripts::start(&call.switch, task)?.outcome().await);
    let text = String::from_utf8_lossy(&output.lock()).into_owned();
    Ok(text)
}

/// The method `jsjson` of the command `json`: `data` names the script (`path`), which finds all of it in the header `JSON` of
/// `request` and writes the reply.
pub(crate) fn jsjson(call: ApiCall, data: Value) -> BoxFuture<'static, Result<Value, String>> {
    Box::pin(async move {
        let unfit = || json!({"error": "parse error in return val or invalid data supplied"});
        let Some(path) = data.get("path").and_then(Value::as_str) else { return Ok(unfit()) };
        let headers = vec![("JSON", meant(&data).to_string())];
        let answer = answered(&call, path, headers).await.map_err(|refused| refused.to_string())?;
        Ok(serde_json::from_str(&answer).unwrap_or_else(|_| unfit()))
    })
}

/// The same without marks: it is the script that takes it apart.
fn meant(value: &Value) -> Value {
    let plain = |text: &str| base::far::plain(text).into_owned();
    match value {
        Value::String(text) => Value::String(plain(text)),
        Value::Array(items) => items.iter().map(meant).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (plain(name), meant(value))).collect()
        }
        other => other.clone(),
    }
}

fn jsrun(call: &ApiCall) -> String {
    if call.args.is_empty() {
        return usage(RUN);
    }
    let started = Program::read(&JavaScript::NAMES, &call.marked)
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

fn jskill(call: &ApiCall) -> String {
    let Some(id) = call.words(2).first().cloned() else { return "false".to_owned() };
    if let Some(refused) = foreign::refuse("jskill") {
        return refused;
    }
    let number = if text::is_number(&id) { u64::try_from(text::int(&id)).ok() } else { None };
    let scripts = call.switch.module::<Scripts>();
    match number {
        Some(number) if scripts.kill(number, "Script termination requested by jskill API.") => {
            "+OK\n".to_owned()
        }
        _ => format!("-ERR no script {id} runs\n"),
    }
}

fn jsmon(call: &ApiCall) -> String {
    let on = match call.args.to_ascii_lowercase().as_str() {
        "on" => true,
        "off" => false,
        _ => return usage(MONITOR),
    };
    call.switch.module::<Monitor>().0.store(on, Ordering::Relaxed);
    let word = if on { "enabled" } else { "disabled" };
    format!("Performance monitor has been {word}.\n+OK\n")
}

/// A script as `jsps` shows it. What V8 counts of its heaps has no counterpart.
struct Row {
    id: u64,
    code: String,
    milliseconds: u128,
}

fn row(script: &Arc<Script>) -> Row {
    let title = script.title();
    let code = if title.starts_with('~') { "inline".to_owned() } else { title.to_owned() };
    Row { id: script.id, code, milliseconds: script.age().as_millis() }
}

fn jsps(call: &ApiCall) -> String {
    let words = call.words(3);
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let form = match (word(0).to_ascii_lowercase().as_str(), word(1)) {
        ("", _) => "plain".to_owned(),
        ("as", form) if !form.is_empty() => form.to_ascii_lowercase(),
        _ => return usage(STATUS),
    };
    let rows: Vec<Row> = call.switch.module::<Scripts>().all().iter().map(row).collect();
    match form.as_str() {
        "plain" => plain(&rows),
        "json" => {
            let rows: Vec<_> = rows
                .iter()
                .map(|row| json!({"task_id": row.id.to_string(), "input_code": row.code, "execution_time": row.milliseconds as u64}))
                .collect();
            json!({"row_count": rows.len(), "rows": rows}).to_string()
        }
        "xml" => xml(&rows),
        "csv" | "delim" => {
            // Only `csv` takes another delimiter, as in the reference.
            let other = Some(word(2)).filter(|other| form == "csv" && !other.is_empty());
            delimited(&rows, other.unwrap_or(","))
        }
        _ => usage(STATUS),
    }
}

fn plain(rows: &[Row]) -> String {
    let mut text = "JavaScript process status.\n".to_owned();
    for Row { id, code, milliseconds } in rows {
        let _ = write!(
            text,
            "\nTask id: {id}\ninput_code: {code}\nexecution_time: {milliseconds} ms\n"
        );
    }
    text
}

fn delimited(rows: &[Row], delimiter: &str) -> String {
    let mut text = ["task_id", "input_code", "execution_time"].join(delimiter);
    text.push('\n');
    for Row { id, code, milliseconds } in rows {
        let _ = writeln!(text, "{id}{delimiter}{code}{delimiter}{milliseconds}");
    }
    let _ = writeln!(text, "\n{} total.", rows.len());
    text
}

fn xml(rows: &[Row]) -> String {
    let mut text = format!("<result row_count=\"{}\">\n", rows.len());
    for (at, Row { id, code, milliseconds }) in rows.iter().enumerate() {
        let code = base::xml::in_xml(code);
        let _ = write!(
            text,
            "  <row row_id=\"{}\">\n    <task_id>{id}</task_id>\n    <input_code>{code}</input_code>\n    \
             <execution_time>{milliseconds}</execution_time>\n  </row>\n",
            at + 1
        );
    }
    text.push_str("</result>\n");
    text
}
