//! `hiredis_raw`: one command for a server, as application and as command.

use redis::Cmd;
use switch_core::api::{Api, ApiCall};
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Session};
use switch_core::switch::Switch;
use switch_core::{api, app, text};

use crate::client::Failure;
use crate::profile;

/// Words of a command at most (reference).
const MOST_WORDS: usize = 64;
/// Commands that turn a connection into something else; connections here are shared.
const OWN_CONNECTION: [&str; 7] =
    ["hello", "monitor", "psubscribe", "quit", "reset", "ssubscribe", "subscribe"];

pub(crate) const APPS: &[App] = &[app!(
    "hiredis_raw",
    "mod_hiredis",
    Flags::NO_MEDIA.and(Flags::ROUTING).and(Flags::ZOMBIE),
    "",
    "hiredis_raw",
    raw_app
)
.marked()];

pub(crate) const APIS: &[Api] =
    &[api!("hiredis_raw", "mod_hiredis", "", "hiredis_raw", async raw_api)];

/// Runs the command behind a profile's name. `Ok(None)` is a server's nil.
async fn run(switch: &Switch, words: &[String]) -> Result<Option<String>, Failure> {
    let [name, command @ ..] = words else { return Err(Failure::Unsupported) };
    let Some(profile) = profile(switch, name) else {
        tracing::error!("hiredis: Unable to locate profile[{name}]");
        return Err(Failure::Unsupported);
    };
    let verb = command.first().map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    if verb.is_empty() || OWN_CONNECTION.contains(&verb.as_str()) {
        return Err(Failure::Refused(format!("ERR {verb} needs a connection of its own")));
    }
    let mut built = Cmd::new();
    command.iter().for_each(|word| {
        built.arg(word);
    });
    profile.run(&built).await
}

async fn raw_app(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, MOST_WORDS);
    let channel = std::sync::Arc::clone(session.channel());
    if words.len() < 2 {
        tracing::error!(uuid = %channel.uuid(), "hiredis: invalid data! Use the format 'default set keyname value' ");
        return Ok(());
    }
    let switch = std::sync::Arc::clone(session.switch());
    if profile(&switch, &words[0]).is_none() {
        tracing::error!(uuid = %channel.uuid(), "hiredis: Unable to locate profile[{}]", words[0]);
        return Ok(());
    }
    let response = match run(&switch, &words).await {
        Ok(response) => response.unwrap_or_default(),
        Err(error) => {
            tracing::error!(
                uuid = %channel.uuid(),
                "hiredis: profile[{}] error executing [{}] because [{error}]",
                words[0],
                words[1]
            );
            match error {
                Failure::Refused(words) => words,
                Failure::Unreachable | Failure::Unsupported => String::new(),
            }
        }
    };
    channel.set_var("hiredis_raw_response", response);
    session.check()
}

/// Its errors reach an Event Socket client as those of a command that is not there (reference behaviour).
async fn raw_api(call: ApiCall) -> String {
    match run(&call.switch, &call.words(MOST_WORDS + 1)).await {
        Ok(response) => response.unwrap_or_default(),
        Err(error) => {
            tracing::error!("hiredis: error executing a command reason:[{error}]");
            "-ERR hiredis_raw Command not found!\n".into()
        }
    }
}
