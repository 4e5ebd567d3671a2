//! `uuid_record`, `uuid_displace`, `uuid_buglist`: files written from a call, files in place of its audio, and all that
//! listens to it.

use std::time::Duration;

use super::audio::{displace, stop_displacing};
use super::record::{self, StartError, Switch};
use crate::api;
use crate::api::{Api, ApiCall, usage};
use crate::call::Channel;
use crate::text;

/// The family.
pub const APIS: &[Api] = &[
    api!("uuid_buglist", "mod_commands", "<uuid>", "List media bugs on a session", buglist),
    api!("uuid_displace", "mod_commands", DISPLACE, "Displace audio", async displace_session)
        .path(),
    api!("uuid_record", "mod_commands", RECORD, "Record session audio", async record_session)
        .path(),
];

const DISPLACE: &str = "<uuid> [start|stop] <path> [<limit>] [mux]";
const RECORD: &str = "<uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]";
const SUCCESS: &str = "+OK Success\n";
const NO_SESSION: &str = "-ERR Cannot locate session!\n";
/// How long a stopped recording's file may take to be closed.
const CLOSING: Duration = Duration::from_secs(2);

fn seconds(word: Option<&String>) -> Option<Duration> {
    let seconds = word.map_or(0, |w| text::int(w.trim_start_matches('+')));
    u64::try_from(seconds).ok().filter(|s| *s > 0).map(Duration::from_secs)
}

fn success_or(done: bool, failed: &str) -> String {
    if done { SUCCESS.into() } else { format!("-ERR {failed}\n") }
}

async fn record_session(call: ApiCall) -> String {
    let words = call.words(5);
    let (Some(uuid), Some(verb), Some(path)) = (words.first(), words.get(1), words.get(2)) else {
        return usage(RECORD);
    };
    let Some(channel) = call.switch.channel(uuid) else { return NO_SESSION.into() };
    // Who chose the host of an address is judged by its marks.
    let marked = text::words_marked(&call.marked, 5);
    let marked = marked.get(2).unwrap_or(path);
    match verb.to_ascii_lowercase().as_str() {
        "start" if !record::is_writable(&channel, marked).await => {
            "-ERR Cannot record session!\n".into()
        }
        "start" => {
            let variables = words.get(4).map(|w| variables(w)).unwrap_or_default();
            match record::start(&channel, marked, seconds(words.get(3)), variables) {
                Ok(()) | Err(StartError::Toggled) => SUCCESS.into(),
                // The file is being written, which is what was asked for.
                Err(StartError::Busy | StartError::Partner) => {
                    let shown = base::secrets::masked(path);
                    tracing::warn!(uuid = %channel.uuid(), "Already recording [{shown}]");
                    SUCCESS.into()
                }
                Err(_) => "-ERR Cannot record session!\n".into(),
            }
        }
        "stop" => {
            let stopped = record::stop(&channel, path);
            if stopped {
                closed(&channel, path).await;
            }
            success_or(stopped, "Cannot stop record session!")
        }
        "mask" => switch(&channel, path, Switch::Mask(true), "Cannot mask recording session!"),
        "unmask" => switch(&channel, path, Switch::Mask(false), "Cannot unmask recording session!"),
        "pause" => switch(&channel, path, Switch::Pause(true), "Cannot pause recording session!"),
        "resume" => {
            switch(&channel, path, Switch::Pause(false), "Cannot resume recording session!")
        }
        _ => usage(RECORD),
    }
}

fn switch(channel: &Channel, path: &str, what: Switch, failed: &str) -> String {
    success_or(record::switch(channel, path, what), failed)
}

/// `{a=b,c=d}`, URL-encoded or not.
fn variables(word: &str) -> Vec<(String, String)> {
    let decoded = esl_server::event::url_decode(word.as_bytes());
    let text = String::from_utf8_lossy(&decoded).into_owned();
    let inside = text.trim().trim_start_matches('{').trim_end_matches('}');
    inside
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// Waits until the file is closed, so that the client finds it whole.
async fn closed(channel: &Channel, path: &str) {
    let waiting = async {
        while record::is_recording(channel, path) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _late = tokio::time::timeout(CLOSING, waiting).await;
}

async fn displace_session(call: ApiCall) -> String {
    let words = call.words(5);
    let (Some(uuid), Some(verb), Some(path)) = (words.first(), words.get(1), words.get(2)) else {
        return usage(DISPLACE);
    };
    let Some(channel) = call.switch.channel(uuid) else { return NO_SESSION.into() };
    match verb.to_ascii_lowercase().as_str() {
        "start" => {
            let limit = seconds(words.get(3));
            let flags = words.get(4).cloned().unwrap_or_default();
            let begun = displace(&channel, path, &flags, limit).await;
            if let Err(error) = &begun {
                tracing::error!(uuid = %channel.uuid(), "Cannot displace: {error}");
            }
            success_or(begun.is_ok(), "Cannot displace session!")
        }
        "stop" => success_or(stop_displacing(&channel, path), "Cannot stop displace session!"),
        _ => usage(DISPLACE),
    }
}

fn buglist(call: &ApiCall) -> String {
    let uuid = call.args.trim();
    if uuid.is_empty() {
        return usage("<uuid>");
    }
    let Some(channel) = call.switch.channel(uuid) else { return String::new() };
    let mut list = String::from("<media-bugs>\n");
    for path in record::paths(&channel) {
        list.push_str(" <media-bug>\n  <function>session_record</function>\n  <target>");
        list.push_str(&path);
        list.push_str("</target>\n  <thread-locked>0</thread-locked>\n </media-bug>\n");
    }
    let tones: Vec<String> = channel.with(|data| data.tones.keys().map(str::to_owned).collect());
    for key in tones {
        list.push_str(" <media-bug>\n  <function>tone_detect</function>\n  <target>");
        list.push_str(&key);
        list.push_str("</target>\n  <thread-locked>0</thread-locked>\n </media-bug>\n");
    }
    list + "</media-bugs>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recording_variables_may_be_url_encoded() {
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(variables("{a=b,c=d}"), [pair("a", "b"), pair("c", "d")]);
        assert_eq!(variables("%7Ba%3Db%20c%7D"), [pair("a", "b c")]);
    }
}
