//! Audio of calls to and from programs: `uuid_audio_fork` (mod_audio_fork), `uuid_audio_stream` (mod_audio_stream),
//! `uuid_openai_audio_stream` (mod_openai_audio_stream) and the application `stream`.
//!
//! A command attaches a tap to the call and spawns one task ([`session`]) that connects to the program. What is said on the
//! wire is the crate `voice`'s; here are connections, the call's media, files and events.

#![deny(unsafe_code)]

mod activity;
mod application;
mod audio_stream;
mod call_audio;
pub mod conformance;
mod declared;
mod fork;
mod link;
mod model;
mod outbox;
mod recognition;
mod registry;
mod session;
mod settings;
mod split;
mod start;
mod wire;

use std::path::Path;
use std::sync::Arc;

use switch_core::BoxFuture;
use switch_core::api::{Api, ApiCall, usage};
use switch_core::app::{App, Flags};
use switch_core::call::{Channel, Digit, Session as Call};
use switch_core::contract::{CallObserver, Change, Module, NotLoaded, Plain, Provides};
use switch_core::switch::Switch;
use switch_core::{api, app};

use registry::Control;

/// Replies, as the reference's modules write them. An empty one reaches the client as `-ERR no reply`.
const OK: &str = "+OK Success\n";
const FAILED: &str = "-ERR Operation Failed\n";
const EMPTY: &str = "";

const LIST: &str = "<uuid> [list | stop | send_text | pause | resume | mute | unmute] [name] [text | silence | user | program | all]";

const FORK: &[Api] = &[api!(
    "uuid_audio_fork",
    "mod_audio_fork",
    fork::SYNTAX,
    "audio_fork API",
    async fork::run
)];

const STREAM: &[Api] = &[
    api!(
        "uuid_audio_stream",
        "mod_audio_stream",
        audio_stream::SYNTAX,
        "audio_stream API",
        async audio_stream::run
    ),
    api!(
        "uuid_audio_streams",
        "mod_audio_stream",
        LIST,
        "List a call's streams to programs and their figures, or ask something of one",
        list
    ),
];

const MODEL: &[Api] = &[api!(
    "uuid_openai_audio_stream",
    "mod_openai_audio_stream",
    model::SYNTAX,
    "openai_audio_stream API",
    async model::run
)];

const SPEECH: &[App] = &[
    app!(
        "detect_speech",
        "mod_dptools",
        Flags::NONE,
        "<mod_name> <gram_name> <gram_path> [<addr>] OR grammar <gram_name> [<path>] OR nogrammar <gram_name> OR grammaron/grammaroff <gram_name> OR grammarsalloff OR pause OR resume OR start-input-timers OR stop OR param <name> <value>",
        "Detect speech",
        recognition::apps::detect_speech
    ),
    app!(
        "play_and_detect_speech",
        "mod_dptools",
        Flags::NONE,
        "<file> detect:<engine> {param1=val1,param2=val2}<grammar>",
        "Play and do speech recognition",
        recognition::apps::play_and_detect_speech
    )
    .path(),
];

macro_rules! transcribe {
    ($name:literal, $dialect:ident) => {
        Api {
            name: $name,
            module: "mod_recognition",
            syntax: recognition::transcribe::SYNTAX,
            description: "Transcribe a call",
            code: switch_core::api::Run::Async(|call| {
                Box::pin(recognition::transcribe::run(call, &recognition::transcribe::$dialect))
            }),
            argument: switch_core::app::Argument::TEXT,
            effect: switch_core::contract::Effect::Honoured,
        }
    };
}

const TRANSCRIBE: &[Api] = &[
    transcribe!("uuid_transcribe", OWN),
    transcribe!("uuid_google_transcribe", GOOGLE),
    transcribe!("uuid_nvidia_transcribe", NVIDIA),
    transcribe!("uuid_aws_transcribe", AWS),
    transcribe!("uuid_azure_transcribe", AZURE),
    transcribe!("uuid_deepgram_transcribe", DEEPGRAM),
    transcribe!("uuid_jambonz_transcribe", JAMBONZ),
];

const APPS: &[App] = &[app!(
    "stream",
    "mod_audio_stream",
    Flags::NONE,
    "<url>[,<url>...] [<option>=<value> ...]",
    "Let a program hear the call and speak to it",
    application::run
)
.marked()];

/// The modules.
pub const MODULES: &[&dyn Module] = &[
    &Plain::new(
        "mod_audio_fork",
        Provides {
            commands: &[FORK],
            completions: declared::FORK_COMPLETIONS,
            variables: &[declared::FORK_VARIABLES],
            events: &[declared::FORK_EVENTS],
            ..Provides::NOTHING
        },
    ),
    &AudioStream,
    &Recognition,
    &Plain::new(
        "mod_vosk",
        Provides { parameters: recognition::settings::VOSK_PARAMETERS, ..Provides::NOTHING },
    ),
    &Plain::new(
        "mod_unimrcp",
        Provides { parameters: recognition::settings::MRCP_PARAMETERS, ..Provides::NOTHING },
    ),
    &Plain::new(
        "mod_openai_audio_stream",
        Provides {
            commands: &[MODEL],
            completions: declared::MODEL_COMPLETIONS,
            variables: &[declared::MODEL_VARIABLES],
            events: &[declared::MODEL_EVENTS],
            ..Provides::NOTHING
        },
    ),
];

/// Recognition of speech: its engines, and transcripts.
struct Recognition;

impl Module for Recognition {
    fn name(&self) -> &'static str {
        "mod_recognition"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[SPEECH],
            commands: &[TRANSCRIBE],
            completions: declared::TRANSCRIBE_COMPLETIONS,
            names: &[("asr", "vosk"), ("asr", "recognition")],
            parameters: recognition::settings::PARAMETERS,
            variables: &[declared::RECOGNITION_VARIABLES],
            events: &[declared::RECOGNITION_EVENTS],
            ..Provides::NOTHING
        }
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        recognition::settings::Engines::configure(switch);
        Box::pin(std::future::ready(Ok(())))
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        if change == Change::Configuration {
            recognition::settings::Engines::configure(switch);
        }
        Box::pin(std::future::ready(()))
    }
}

/// mod_audio_stream, which the settings and the end of calls belong to.
struct AudioStream;

impl Module for AudioStream {
    fn name(&self) -> &'static str {
        "mod_audio_stream"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[APPS],
            commands: &[STREAM],
            completions: declared::STREAM_COMPLETIONS,
            observers: &[&Observer],
            parameters: settings::PARAMETERS,
            readings: &[registry::readings],
            variables: &[declared::STREAM_VARIABLES],
            events: &[declared::STREAM_EVENTS],
            ..Provides::NOTHING
        }
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        settings::Settings::configure(switch);
        Box::pin(std::future::ready(Ok(())))
    }

    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        let folder = switch.dirs.temp_dir.clone();
        Box::pin(async move {
            let swept = tokio::task::spawn_blocking(move || sweep(&folder)).await;
            if let Ok(1..) = swept {
                tracing::info!("Files of streams from before the start are removed");
            }
        })
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        if change == Change::Configuration {
            settings::Settings::configure(switch);
        }
        Box::pin(std::future::ready(()))
    }
}

/// Removes files that streams of a switch that died have left.
fn sweep(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let ours = |name: &str| {
        let Some((stem, _)) = name.split_once(".tmp.") else { return false };
        let Some((uuid, number)) = stem.rsplit_once('_') else { return false };
        let is_uuid = uuid.len() == 36 && uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        is_uuid && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    };
    let old = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(ours));
    old.filter(|entry| std::fs::remove_file(entry.path()).is_ok()).count()
}

fn list(call: &ApiCall) -> String {
    let words = split::split(&call.marked, 4);
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    if word(0).is_empty() {
        return usage(LIST);
    }
    let Some(channel) = call.switch.channel(word(0)) else {
        return "-ERR No such channel!\n".to_owned();
    };
    let verb = word(1).to_ascii_lowercase();
    let asked = match verb.as_str() {
        "" | "list" => return format!("{}\n", serde_json::Value::from(registry::rows(&channel))),
        "stop" => Some(Control::Stop(words.get(3).cloned())),
        "send_text" if words.len() == 4 => Some(Control::Send(word(3).to_owned())),
        verb => Control::of(verb, word(3)),
    };
    let Some(asked) = asked else { return usage(LIST) };
    let Some(handle) = registry::find_named(&channel, word(2)) else {
        return "-ERR No such stream!\n".to_owned();
    };
    let done = match asked {
        Control::Stop(text) => registry::stop(&channel, handle.family, &handle.name, text),
        asked => handle.ask(asked),
    };
    if done { OK } else { FAILED }.to_owned()
}

/// What happens to calls, as their streams need to know it.
struct Observer;

impl CallObserver for Observer {
    fn digit(&self, channel: &Arc<Channel>, digit: Digit) -> bool {
        registry::tell_all(channel, || Control::Digit(digit.digit, digit.duration / 8));
        true
    }

    fn hung_up<'a>(&'a self, call: &'a mut Call) -> BoxFuture<'a, ()> {
        registry::tell_all(call.channel(), || Control::HangUp);
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_streams_are_swept() {
        let folder = std::env::temp_dir().join(format!("sweep-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let ours = "00112233-4455-6677-8899-aabbccddeeff_12.tmp.r16";
        for name in [ours, "other.tmp.r16", "00112233_1.tmp.r8", "x.wav"] {
            std::fs::write(folder.join(name), b"x").unwrap();
        }
        assert_eq!(sweep(&folder), 1);
        assert!(!folder.join(ours).exists() && folder.join("other.tmp.r16").exists());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
