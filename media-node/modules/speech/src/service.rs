//! The command `tts`: a text becomes a file that can be played, for programs and for the voice gateway (`POST /tts`).

use serde_json::{Value, json};
use switch_core::api::{ApiCall, usage};

use crate::engine_of;
use crate::form::Form;
use crate::synthesis::{self, SpeechRequest};
use crate::voices::Table;

pub(crate) const SYNTAX: &str =
    "voices | {\"text\":…[,\"voice\":…][,\"engine\":…][,\"rate\":…][,\"format\":…][,\"uuid\":…]}";
/// Longest text, characters.
const LONGEST: usize = 5000;
/// Rates a file may be asked for.
const RATES: &[u64] = &[8000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

/// Answers with JSON: the file, or what is wrong (`error`).
pub(crate) async fn run(call: ApiCall) -> String {
    match call.args.trim() {
        "" => usage(SYNTAX),
        "voices" => {
            let table = Table::of(&call.switch);
            let listed = tokio::task::spawn_blocking(move || voices(&table)).await;
            format!("{}\n", listed.unwrap_or(Value::Null))
        }
        text => match file(&call, text).await {
            Ok(value) => format!("{value}\n"),
            Err(why) => format!("{}\n", json!({ "error": why })),
        },
    }
}

/// The engines and their voices.
fn voices(table: &Table) -> Value {
    let usual = table.default().unwrap_or_default().to_owned();
    let engines: Vec<Value> = table
        .iter()
        .map(|engine| {
            json!({
                "engine": engine.name,
                "default": engine.name == usual,
                "default_voice": engine.voice,
                "voices": engine.list(),
            })
        })
        .collect();
    json!({ "engines": engines })
}

async fn file(call: &ApiCall, asked: &str) -> Result<Value, String> {
    let Ok(Value::Object(asked)) = serde_json::from_str::<Value>(asked) else {
        return Err("not a JSON object".to_owned());
    };
    let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default().trim();
    let said = text("text");
    if said.is_empty() {
        return Err("text: nothing to say".to_owned());
    }
    if said.chars().count() > LONGEST {
        return Err(format!("text: longer than {LONGEST} characters"));
    }
    let rate = asked.get("rate").and_then(Value::as_u64).unwrap_or(8000);
    if !RATES.contains(&rate) {
        return Err("rate: no rate of audio".to_owned());
    }
    let form = form(call, text("format"), text("uuid"), asked.get("rate").map(|_| rate))?;
    let rate = form.map_or(rate, |form| u64::from(form.rate()));
    let table = Table::of(&call.switch);
    let name = match text("engine") {
        "" => table.default().unwrap_or("tts_commandline"),
        name => name,
    };
    let engine = engine_of(&call.switch, name)?;
    let usual = table.named(name).map(|engine| engine.voice.clone()).unwrap_or_default();
    let voice = Some(text("voice")).filter(|voice| !voice.is_empty()).unwrap_or(&usual);
    let request = SpeechRequest {
        engine,
        name: name.to_owned(),
        voice: voice.to_owned(),
        text: said.to_owned(),
        rate: u32::try_from(rate).unwrap_or(8000),
    };
    let made = synthesis::file(&call.switch, &request).await?;
    let path = match form {
        Some(form) => form.file(&made.path).await?,
        None => made.path,
    };
    let bytes = tokio::fs::metadata(&path).await.map(|meta| meta.len()).unwrap_or(0);
    Ok(json!({
        "file_path": path.to_string_lossy(),
        "engine": name,
        "voice": voice,
        "format": form.map_or("wav", Form::name),
        "bytes": bytes,
        "cached": made.cached,
    }))
}

/// What the file is to be: as it is asked for, or what the codec of the call that is named takes; the engine's own without
/// either.
fn form(call: &ApiCall, name: &str, uuid: &str, rate: Option<u64>) -> Result<Option<Form>, String> {
    if !name.is_empty() {
        let rate = u32::try_from(rate.unwrap_or(8000)).unwrap_or(8000);
        let form = Form::of(name, rate).ok_or("format: wav, ulaw, alaw or g722")?;
        return Ok(Some(form));
    }
    if uuid.is_empty() {
        return Ok(None);
    }
    let channel = call.switch.channel(uuid).ok_or("uuid: no such call")?;
    Form::for_call(&channel).map(Some).ok_or_else(|| "uuid: the call has no audio".to_owned())
}
