//! `originate`.

use std::time::Duration;

use base::far;

use super::{Api, ApiCall, usage};
use crate::api;
use crate::call::originate::{Request, originate};
use crate::call::transfer::transfer;
use crate::call::{Extension, State};
use crate::text;

const SYNTAX: &str = "<call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>] [<cid_name>] [<cid_num>] [<timeout_sec>]";

/// The family.
pub const APIS: &[Api] =
    &[api!("originate", "mod_commands", SYNTAX, "Originate a call", async run)];

async fn run(call: ApiCall) -> String {
    let words = text::words_marked(&call.marked, 10);
    if words.len() < 2 || words.len() > 7 {
        return usage(SYNTAX);
    }
    let given = |at: usize| {
        let word = words.get(at).filter(|word| !word.eq_ignore_ascii_case("undef"));
        word.map(|word| far::plain(word).into_owned())
    };
    let request = Request {
        dial: words[0].clone(),
        cid_name: given(4),
        cid_number: given(5),
        timeout: given(6)
            .and_then(|text| u64::try_from(text::int(&text)).ok())
            .map(Duration::from_secs),
        variables: Vec::new(),
    };
    let channel = match originate(&call.switch, &request, None).await {
        Ok(channel) => channel,
        Err(failure) => return format!("-ERR {}\n", failure.cause),
    };
    let exten = &words[1];
    if let Some(application) = exten.strip_prefix('&') {
        let (name, rest) = application.split_once('(').unwrap_or((application, ""));
        let argument = rest.split_once(')').map_or(rest, |(inside, _)| inside);
        channel.with(|data| {
            let (shown, number) = (far::plain(name), far::plain(argument));
            data.begin_extension(Extension::new(&*shown, &*number, [(name, argument)]));
        });
        channel.set_state(State::Execute);
    } else {
        let dialplan = given(2).unwrap_or_else(|| "XML".into());
        let context = given(3).unwrap_or_else(|| "default".into());
        transfer(&channel, exten, Some(&dialplan), Some(&context));
    }
    format!("+OK {}\n", channel.uuid())
}
