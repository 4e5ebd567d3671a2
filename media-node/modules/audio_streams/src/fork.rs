//! `uuid_audio_fork`.

use std::sync::Arc;

use switch_core::api::{ApiCall, usage};
use switch_core::call::Channel;
use voice::capture::Mix;
use voice::dialects::fork::{Fork, Setup};
use voice::target::Target;

use crate::link::{Tls, Way};
use crate::registry::{self, Control, Family};
use crate::settings::{self, Settings};
use crate::split::split;
use crate::start::{self, Order};
use crate::{EMPTY, FAILED, OK};

pub(crate) const SYNTAX: &str = "<uuid> [start | stop | send_text | pause | resume | mute | unmute | graceful-shutdown | stop_play ] \
     [wss-url | path] [mono | mixed | stereo] [8000 | 16000 | 24000 | 32000 | 64000] [bugname] [metadata] \
     [bidirectionalAudio_enabled] [bidirectionalAudio_stream_enabled] [bidirectionalAudio_stream_samplerate]";

/// A stream without a name.
const DEFAULT: &str = "audio_fork";
const MAX_NAME: usize = 64;
const MAX_METADATA: usize = 8192;

pub(crate) async fn run(call: ApiCall) -> String {
    let words = split(&call.marked, 10);
    let (Some(uuid), Some(verb)) = (words.first(), words.get(1)) else { return usage(SYNTAX) };
    if verb == "start" && words.len() < 4 {
        return usage(SYNTAX);
    }
    let Some(channel) = call.switch.channel(uuid) else { return FAILED.into() };
    let reply = match verb.to_ascii_lowercase().as_str() {
        "start" => start(&call, &channel, &words).await,
        "stop" => {
            let (name, text) = name_and_text(&words);
            done(registry::stop(&channel, Family::Fork, name, text.map(str::to_owned)))
        }
        "send_text" => {
            let (name, text) = name_and_text(&words);
            let Some(text) = text else { return EMPTY.into() };
            ask(&channel, name, Control::Send(text.to_owned()))
        }
        verb @ ("pause" | "resume" | "mute" | "unmute") => {
            let word = words.get(3).map_or("", String::as_str);
            Control::of(verb, word).map_or(FAILED, |asked| ask(&channel, name(&words), asked))
        }
        "graceful-shutdown" => ask(&channel, name(&words), Control::NoMoreAudio),
        "stop_play" => ask(&channel, name(&words), Control::StopPlay),
        _ => FAILED,
    };
    reply.into()
}

fn done(done: bool) -> &'static str {
    if done { OK } else { FAILED }
}

fn ask(channel: &Channel, name: &str, control: Control) -> &'static str {
    done(registry::find(channel, Family::Fork, name).is_some_and(|handle| handle.ask(control)))
}

fn or_default(name: Option<&String>) -> &str {
    name.map(String::as_str).filter(|name| !name.is_empty()).unwrap_or(DEFAULT)
}

fn name(words: &[String]) -> &str {
    or_default(words.get(2))
}

fn is_json(word: &str) -> bool {
    word.starts_with(['{', '['])
}

/// What follows `stop` and `send_text`: one word is a text if it is JSON, else a name; of two the first is the name.
/// drachtio-fsmrf (4 and 5) sends the text of a `stop` twice: twice the same JSON is no name and its text.
fn name_and_text(words: &[String]) -> (&str, Option<&str>) {
    let text = |at: usize| words.get(at).map(String::as_str).filter(|text| !text.is_empty());
    match words.get(2) {
        Some(only) if is_json(only) && words.get(3).is_none_or(|again| again == only) => {
            (DEFAULT, Some(only))
        }
        first => (or_default(first), text(3)),
    }
}

/// What follows the rate of `start`.
#[derive(Debug, PartialEq, Eq)]
struct Tail<'a> {
    name: &'a str,
    metadata: &'a str,
    bidirectional: bool,
    /// Samples per second of binary answers; 0 = there are none.
    back: u32,
}

impl<'a> Tail<'a> {
    /// The three last words count wherever they are there, and an empty name is the default: drachtio's own client leaves
    /// the tenth word empty, which the reference then takes for nine.
    fn of(words: &'a [String]) -> Option<Self> {
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        let (name, metadata) = match words.get(5) {
            Some(only) if words.len() == 6 && is_json(only) => (DEFAULT, only.as_str()),
            first => (or_default(first), word(6)),
        };
        let bidirectional = words.len() <= 7 || word(7) == "true";
        let back = match word(9) {
            "" => 0,
            set => start::rate(set)?,
        };
        let streams = bidirectional && word(8) == "true";
        let fits = name.len() <= MAX_NAME && metadata.len() <= MAX_METADATA;
        fits.then_some(Self { name, metadata, bidirectional, back: if streams { back } else { 0 } })
    }
}

async fn start(call: &ApiCall, channel: &Arc<Channel>, words: &[String]) -> &'static str {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let Some(mix) = Mix::of(word(3)) else { return EMPTY };
    let target = Target::fork(word(2));
    let (Some(target), Some(rate), Some(tail)) = (target, start::rate(word(4)), Tail::of(words))
    else {
        return FAILED;
    };
    if !start::ensure_media(channel, call.channel.as_ref()).await {
        return FAILED;
    }
    let settings = Settings::of(&call.switch);
    let setup = Setup {
        rate,
        metadata: tail.metadata.to_owned(),
        bidirectional: tail.bidirectional,
        back: tail.back,
        files: start::files(channel),
    };
    let order = Order {
        family: Family::Fork,
        name: tail.name.to_owned(),
        targets: vec![target],
        way: way(channel),
        mix,
        dialect: Box::new(Fork::new(setup)),
        capture_ms: settings::fork_buffer_ms(settings.capture_ms),
        ping: settings.ping,
        reconnects: 0,
        speaks: tail.back > 0,
        activity: start::activity(channel),
        duck: start::duck(channel),
        told: None,
        trusted: false,
    };
    match start::begin(channel, order) {
        Ok(_) => OK,
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "uuid_audio_fork {}: {error}", tail.name);
            FAILED
        }
    }
}

fn way(channel: &Channel) -> Way {
    let var = |name: &str| channel.var(name).filter(|value| !value.is_empty());
    let user = var("MOD_AUDIO_BASIC_AUTH_USERNAME");
    let login = user.zip(var("MOD_AUDIO_BASIC_AUTH_PASSWORD"));
    let lenient = |what: &str| channel.is_true(&format!("MOD_AUDIO_FORK_{what}"));
    let tls = Tls {
        no_authority: lenient("ALLOW_SELFSIGNED"),
        no_name: lenient("SKIP_SERVER_CERT_HOSTNAME_CHECK"),
        expired: lenient("ALLOW_EXPIRED"),
        ..Tls::default()
    };
    if tls != Tls::default() {
        tracing::warn!(uuid = %channel.uuid(), "uuid_audio_fork: certificates are not fully checked");
    }
    Way {
        protocol: Some(settings::subprotocol()),
        headers: login.iter().map(|(user, password)| start::basic(user, password)).collect(),
        deflate: false,
        bare_host: true,
        tls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(words: &[String]) -> (String, String, bool, u32) {
        let Tail { name, metadata, bidirectional, back } = Tail::of(words).unwrap();
        (name.to_owned(), metadata.to_owned(), bidirectional, back)
    }

    fn told(
        name: &str,
        metadata: &str,
        bidirectional: bool,
        back: u32,
    ) -> (String, String, bool, u32) {
        (name.to_owned(), metadata.to_owned(), bidirectional, back)
    }

    #[test]
    fn one_optional_word_is_metadata_if_it_is_json_and_a_name_otherwise() {
        let words = |text: &str| split(text, 10);
        assert_eq!(tail(&words("u start ws://x mono 8k")), told(DEFAULT, "", true, 0));
        assert_eq!(tail(&words("u start ws://x mono 8k bug")), told("bug", "", true, 0));
        assert_eq!(
            tail(&words("u start ws://x mono 8k {\"a\":1}")),
            told(DEFAULT, "{\"a\":1}", true, 0)
        );
        assert_eq!(
            tail(&words("u start ws://x mono 8k b {\"a\":1}")),
            told("b", "{\"a\":1}", true, 0)
        );
    }

    #[test]
    fn the_ten_field_form_is_read_whichever_of_its_fields_are_empty() {
        let words = |text: &str| split(text, 10);
        let drachtio = "^^|u|start|wss://bot/x|mono|16000|bug1|'{\"a\":1}'|true|false|";
        assert_eq!(tail(&words(drachtio)), told("bug1", "{\"a\":1}", true, 0));
        let empty = "^^|u|start|wss://bot/x|mono|16000|||true|true|16000";
        assert_eq!(tail(&words(empty)), told(DEFAULT, "", true, 16_000));
        let nine = "^^|u|start|wss://bot/x|mono|16000||'{}'|false|false|";
        assert_eq!(tail(&words(nine)), told(DEFAULT, "{}", false, 0));
        let off = "^^|u|start|wss://bot/x|mono|16000|b||yes|true|16000";
        assert_eq!(tail(&words(off)), told("b", "", false, 0));
        let no_rate = "^^|u|start|wss://bot/x|mono|16000|b||true|true|";
        assert_eq!(tail(&words(no_rate)), told("b", "", true, 0));
        assert_eq!(Tail::of(&words("^^|u|start|ws://b|mono|8k|b||true|true|x")), None);
    }

    #[test]
    fn texts_and_names_of_the_short_verbs() {
        let of = |text: &str| {
            let words = split(text, 10);
            let (name, text) = name_and_text(&words);
            (name.to_owned(), text.map(str::to_owned))
        };
        assert_eq!(of("u stop"), (DEFAULT.into(), None));
        assert_eq!(of("u stop bug"), ("bug".into(), None));
        assert_eq!(of("u stop {\"a\":1}"), (DEFAULT.into(), Some("{\"a\":1}".into())));
        assert_eq!(
            of("u send_text bug1 '{\"type\": \"dtmf\"}'").1.unwrap(),
            "{\"type\": \"dtmf\"}"
        );
        assert_eq!(
            of("u stop '{\"a\":1}' '{\"a\":1}'"),
            (DEFAULT.into(), Some("{\"a\":1}".into()))
        );
        assert_eq!(of("u stop b '{}' '{}'"), ("b".into(), Some("{}".into())));
        assert_eq!(of("u send_text hello"), ("hello".into(), None));
        assert_eq!(of("^^|u|stop||bye"), (DEFAULT.into(), Some("bye".into())));
    }
}
