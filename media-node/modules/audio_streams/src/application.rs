//! The application `stream`: a program hears the call and speaks to it until one of them ends it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use serde_json::{Map, Value};
use switch_core::app::play::{Keys, Play};
use switch_core::call::transfer::transfer;
use switch_core::call::{AppResult, Cause, Channel, Session, Wake};
use switch_core::text;
use tokio::time::Instant;
use voice::Dialect;
use voice::audio::Coding;
use voice::capture::Mix;
use voice::dialects::audiosocket::AudioSocket;
use voice::dialects::chan_websocket::{self, ChanWebsocket};
use voice::dialects::fork::{self, Fork};
use voice::dialects::openai::{self, Model};
use voice::dialects::stream::{self, Stream};
use voice::dialects::twilio::{self, Flavour, MediaStream};
use voice::target::Target;
use voice::vad::Settings as VadSettings;

use crate::activity::ActivityOptions;
use crate::link::{Tls, Way};
use crate::registry::{self, Ending, Family, Handle, Stage};
use crate::settings::{self, Settings};
use crate::split::split;
use crate::start::{self, Order};

/// Words of an argument.
const MOST: usize = 64;
/// A stream without a name.
const DEFAULT: &str = "stream";

/// What stands behind the addresses: `name=value`.
struct Options(Vec<(String, String)>);

impl Options {
    fn of(words: &[String]) -> Self {
        let pair = |word: &String| {
            let (name, value) = word.split_once('=').unwrap_or((word, "true"));
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self(words.iter().map(pair).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str, default: &str) -> String {
        self.get(name).unwrap_or(default).to_owned()
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(text::is_true)
    }

    fn is_false(&self, name: &str) -> bool {
        self.get(name).is_some_and(text::is_false)
    }

    fn number(&self, name: &str, default: u32) -> u32 {
        self.get(name).map_or(default, |set| u32::try_from(text::int(set)).unwrap_or(default))
    }

    fn unknown(&self) -> Option<&str> {
        const KNOWN: &[&str] = &[
            "account",
            "background",
            "barge_in",
            "ca",
            "cert",
            "dialect",
            "duck",
            "fallback",
            "format",
            "headers",
            "json",
            "keep",
            "key",
            "max_seconds",
            "metadata",
            "mix",
            "name",
            "ping",
            "rate",
            "return_rate",
            "reconnect",
            "token",
            "tracks",
            "turn_silence_ms",
            "vad",
            "vad_end_ms",
            "vad_min_ms",
            "vad_threshold",
            "verify",
            "verify_name",
        ];
        let unknown = self.0.iter().find(|(name, _)| !KNOWN.contains(&name.as_str()));
        unknown.map(|(name, _)| name.as_str())
    }
}

pub(crate) async fn run(session: &mut Session, argument: &str) -> AppResult {
    let words = split(argument, MOST);
    let channel = Arc::clone(session.channel());
    let Some((urls, rest)) = words.split_first() else {
        tracing::error!(uuid = %channel.uuid(), "stream: no address");
        return Ok(());
    };
    let options = Options::of(rest);
    if let Some(unknown) = options.unknown() {
        tracing::warn!(uuid = %channel.uuid(), "stream: unknown option {unknown}");
    }
    session.pre_answer().await?;
    let handle = match begin(&channel, urls, &options) {
        Ok(handle) => handle,
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "stream: {error}");
            channel.set_var("stream_result", "failed");
            return fall_back(session, &options).await;
        }
    };
    if options.is_true("background") {
        return Ok(());
    }
    let ending = follow(session, &handle, &options).await;
    let result = match &ending {
        Ok(Ending::Closed) => "closed",
        Ok(Ending::NotConnected) => "failed",
        Ok(Ending::Broken) => "broken",
        Ok(Ending::Stopped) | Err(_) => "stopped",
    };
    channel.set_var("stream_result", result);
    match ending {
        Ok(Ending::NotConnected | Ending::Broken) => fall_back(session, &options).await,
        Ok(_) => Ok(()),
        Err(interrupt) => Err(interrupt),
    }
}

/// Waits for the end of a stream. A call that goes elsewhere ends it, unless it is to be kept.
async fn follow(
    session: &mut Session,
    handle: &Arc<Handle>,
    options: &Options,
) -> Result<Ending, switch_core::call::Interrupt> {
    let channel = Arc::clone(session.channel());
    let limit = u64::from(options.number("max_seconds", 0));
    let until = (limit > 0).then(|| Instant::now() + Duration::from_secs(limit));
    let mut stage = handle.stage.subscribe();
    loop {
        if let Stage::Over(ending) = *stage.borrow_and_update() {
            return Ok(ending);
        }
        match session.wait_or(until, stage.changed()).await {
            Ok(Either::Left(Wake::Broken | Wake::Timeout)) => {
                registry::stop(&channel, Family::Application, &handle.name, None);
                return Ok(Ending::Stopped);
            }
            // Keys are the program's.
            Ok(Either::Left(Wake::Digit)) => while session.take_digit().is_some() {},
            Ok(Either::Left(_) | Either::Right(Ok(()))) => {}
            Ok(Either::Right(Err(_))) => return Ok(Ending::Broken),
            Err(interrupt) => {
                if !options.is_true("keep") {
                    registry::stop(&channel, Family::Application, &handle.name, None);
                }
                return Err(interrupt);
            }
        }
    }
}

/// What happens instead: `hangup[:CAUSE]`, `play:FILE`, or an extension.
async fn fall_back(session: &mut Session, options: &Options) -> AppResult {
    let Some(instead) = options.get("fallback").map(str::to_owned) else { return Ok(()) };
    let channel = Arc::clone(session.channel());
    let (verb, rest) = instead.split_once(':').unwrap_or((&instead, ""));
    match verb {
        "hangup" => {
            let cause =
                if rest.is_empty() { Cause::NETWORK_OUT_OF_ORDER } else { Cause::parse(rest) };
            channel.hangup(cause);
        }
        "play" => {
            session.play(Play::once(rest, Keys::Stop(""))).await?;
        }
        _ => {
            let mut words = instead.split_whitespace();
            let (exten, dialplan, context) = (words.next(), words.next(), words.next());
            if let Some(exten) = exten {
                transfer(&channel, exten, dialplan, context);
            }
        }
    }
    session.check()
}

#[derive(Debug, thiserror::Error)]
enum OptionError {
    #[error("{0}: no address of a program")]
    Address(String),
    #[error("{0}: no such dialect")]
    Dialect(String),
    #[error("{0}: mix is mono, mixed or stereo")]
    Mix(String),
    #[error("streams of Opus have one side")]
    OneSide,
    #[error("the dialect {0} has no Opus")]
    NoOpus(String),
    #[error("{0}: no rate")]
    Rate(String),
    #[error(transparent)]
    Start(#[from] start::StartError),
}

fn begin(
    channel: &Arc<Channel>,
    urls: &str,
    options: &Options,
) -> Result<Arc<Handle>, OptionError> {
    let target = |url: &str| {
        Target::any(url).ok_or_else(|| {
            OptionError::Address(base::secrets::masked(url).chars().take(40).collect())
        })
    };
    let targets = urls.split(',').map(|url| target(url.trim())).collect::<Result<Vec<_>, _>>()?;
    let raw = targets.iter().any(|target| target.raw);
    let kind = options.text("dialect", if raw { "audiosocket" } else { "twilio" });
    let mix = match (options.get("mix"), options.get("tracks")) {
        (Some(mix), _) => Mix::of(mix).ok_or_else(|| OptionError::Mix(mix.to_owned()))?,
        (None, Some("both" | "both_tracks")) => Mix::Stereo,
        _ => Mix::Mono,
    };
    let one_channel = matches!(kind.as_str(), "audiosocket" | "chan_websocket" | "asterisk");
    if one_channel && mix == Mix::Stereo {
        return Err(OptionError::Mix("stereo".to_owned()));
    }
    let settings = Settings::of(channel.switch());
    let dialect = dialect(channel, &kind, mix, options)?;
    let ping = match options.get("ping") {
        Some(set) => {
            let seconds = u64::try_from(text::int(set)).unwrap_or(0);
            (seconds > 0).then(|| Duration::from_secs(seconds))
        }
        None => settings.ping,
    };
    let order = Order {
        family: Family::Application,
        name: options.text("name", DEFAULT),
        targets,
        way: way(&kind, options),
        mix,
        dialect,
        capture_ms: settings.capture_ms,
        ping,
        reconnects: options.number("reconnect", 0),
        speaks: true,
        activity: activity(channel, options),
        duck: options.number("duck", start::duck(channel)).min(100),
        told: None,
        trusted: false,
    };
    Ok(start::begin(channel, order)?)
}

fn way(kind: &str, options: &Options) -> Way {
    let mut headers = options.get("headers").map(start::headers).unwrap_or_default();
    headers.extend(options.get("token").map(start::bearer));
    Way {
        protocol: match kind {
            "fork" | "drachtio" | "jambonz" => Some(settings::subprotocol()),
            "chan_websocket" | "asterisk" => Some("media".to_owned()),
            _ => None,
        },
        headers,
        deflate: matches!(kind, "audio_stream" | "openai"),
        bare_host: false,
        tls: Tls {
            authorities: options.get("ca").map(str::to_owned),
            no_authority: options.is_false("verify"),
            no_name: options.is_false("verify") || options.is_false("verify_name"),
            expired: false,
            certificate: options.get("cert").map(str::to_owned),
            key: options.get("key").map(str::to_owned),
        },
    }
}

fn activity(channel: &Channel, options: &Options) -> ActivityOptions {
    let set = start::activity(channel);
    let yes = |name: &str, set: bool| options.get(name).map_or(set, text::is_true);
    let neural =
        options.get("vad").map_or(set.settings.neural, |asked| start::is_neural(channel, asked));
    ActivityOptions {
        vad: yes("vad", set.vad) || neural,
        said: false,
        barge_in: yes("barge_in", set.barge_in),
        turn_ms: options.number("turn_silence_ms", set.turn_ms),
        settings: VadSettings {
            threshold: options.number("vad_threshold", set.settings.threshold),
            min_ms: options.number("vad_min_ms", set.settings.min_ms),
            end_ms: options.number("vad_end_ms", set.settings.end_ms),
            neural,
        },
    }
}

fn dialect(
    channel: &Channel,
    kind: &str,
    mix: Mix,
    options: &Options,
) -> Result<Box<dyn Dialect>, OptionError> {
    let rate = |name: &str, default: u32| match options.get(name) {
        Some(set) => start::rate(set).ok_or_else(|| OptionError::Rate(set.to_owned())),
        None => Ok(default),
    };
    let metadata = options.text("metadata", "");
    let files = start::files(channel);
    let coding = |default: Coding| match options.get("format") {
        Some("ulaw" | "pcmu" | "PCMU") => Coding::Ulaw,
        Some("alaw" | "pcma" | "PCMA") => Coding::Alaw,
        Some("l16" | "slin" | "L16") => Coding::Linear,
        Some("opus" | "OPUS") => Coding::Opus,
        _ => default,
    };
    let others = ["fork", "drachtio", "jambonz", "audio_stream", "openai", "audiosocket"];
    if others.contains(&kind) && coding(Coding::Linear) == Coding::Opus {
        return Err(OptionError::NoOpus(kind.to_owned()));
    }
    Ok(match kind {
        "fork" | "drachtio" | "jambonz" => {
            let own = rate("rate", 8000)?;
            let back = rate("return_rate", own)?;
            Box::new(Fork::new(fork::Setup {
                rate: own,
                metadata,
                bidirectional: true,
                back,
                files,
            }))
        }
        "audio_stream" => {
            let own = rate("rate", 8000)?;
            let playback = Some(rate("return_rate", own)?);
            Box::new(Stream::new(stream::Setup {
                rate: own,
                frame_ms: 20,
                metadata,
                playback,
                files,
            }))
        }
        "openai" => Box::new(Model::new(openai::Setup {
            rate: rate("rate", 24_000)?,
            frame_ms: 20,
            mute_user: false,
            keeps_files: false,
            files,
        })),
        "chan_websocket" | "asterisk" => {
            let coding = coding(Coding::Ulaw);
            let own = match coding {
                Coding::Linear => rate("rate", 8000)?,
                Coding::Opus => voice::opus::RATE,
                Coding::Ulaw | Coding::Alaw => 8000,
            };
            Box::new(ChanWebsocket::new(chan_websocket::Setup {
                json: options.is_true("json"),
                coding,
                rate: own,
                connection: options.text("name", channel.uuid()),
                channel: channel.name(),
                channel_id: channel.uuid().to_string(),
                variables: start::object(&metadata),
            }))
        }
        "audiosocket" => Box::new(AudioSocket::new(channel.uuid(), rate("rate", 8000)?)),
        other => {
            let flavour =
                Flavour::of(other).ok_or_else(|| OptionError::Dialect(other.to_owned()))?;
            Box::new(media_stream(channel, flavour, mix, options, &metadata, rate, coding)?)
        }
    })
}

fn media_stream(
    channel: &Channel,
    flavour: Flavour,
    mix: Mix,
    options: &Options,
    metadata: &str,
    rate: impl Fn(&str, u32) -> Result<u32, OptionError>,
    coding: impl Fn(Coding) -> Coding,
) -> Result<MediaStream, OptionError> {
    let (usual, linear_rate) = match flavour {
        Flavour::Vonage => (Coding::Linear, 16_000),
        Flavour::Exotel => (Coding::Linear, 8000),
        _ => (Coding::Ulaw, 8000),
    };
    let coding = coding(usual);
    if coding == Coding::Opus && mix == Mix::Stereo {
        return Err(OptionError::OneSide);
    }
    let profile = channel.profile();
    let call = channel.uuid().to_string();
    let parameters: Map<String, Value> = start::object(metadata);
    Ok(MediaStream::new(twilio::Setup {
        flavour,
        coding,
        rate: match coding {
            Coding::Linear => rate("rate", linear_rate)?,
            Coding::Opus => voice::opus::RATE,
            Coding::Ulaw | Coding::Alaw => 8000,
        },
        mix: if mix == Mix::Mixed { Mix::Mono } else { mix },
        stream: format!("MZ{}", call.replace('-', "")),
        account: options.text("account", "AC00000000000000000000000000000000"),
        from: profile.caller_id_number.clone(),
        to: profile.destination_number.clone(),
        call,
        parameters,
    }))
}
