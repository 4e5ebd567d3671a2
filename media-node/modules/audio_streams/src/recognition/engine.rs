//! Engines: how a recognition is begun with each, behind one trait.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use switch_core::call::Channel;
use tokio::sync::mpsc;
use voice::Dialect;
use voice::capture::Mix;
use voice::dialects::transcriber::{self, Transcriber};
use voice::dialects::vosk::{self, Vosk};
use voice::dialects::whisper::{self, Whisper};
use voice::target::Target;
use voice::vad::Settings as VadSettings;

use super::http::Http;
use super::settings::{EngineConf, Kind};
use crate::activity::ActivityOptions;
use crate::link::Way;
use crate::registry::{Family, Handle};
use crate::session::Told;
use crate::settings::Settings;
use crate::start::{self, Order, StartError};

/// News of an engine that may wait to be taken.
const NEWS: usize = 256;
/// Milliseconds of a message to a server that answers each.
const FRAME_MS: u32 = 100;
/// Silence that ends speech for servers that are sent whole utterances.
const END_MS: u32 = 700;

/// What is to be recognised.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) family: Family,
    pub(crate) name: String,
    pub(crate) mix: Mix,
    pub(crate) language: String,
    pub(crate) phrases: Vec<String>,
    pub(crate) interim: bool,
    /// `options` of servers that take some.
    pub(crate) options: Value,
    /// Mean absolute sample from which sound may be speech.
    pub(crate) threshold: Option<u32>,
    /// Milliseconds of silence that end it.
    pub(crate) end_ms: Option<u32>,
}

/// A recognition that runs: what it is asked, and what it tells.
pub(crate) struct RunningRecognition {
    pub(crate) handle: Arc<Handle>,
    pub(crate) told: mpsc::Receiver<Told>,
}

/// What recognises speech.
pub(crate) trait Engine: Send + Sync {
    /// Begins to listen to a call. Whether the server is there is told later, by the stage of the handle.
    fn listen(
        &self,
        channel: &Arc<Channel>,
        what: Listening,
    ) -> Result<RunningRecognition, StartError>;

    /// Does it tell words before its result? Where it does not, the start of speech is found by voice activity.
    fn tells_words_early(&self) -> bool {
        true
    }
}

impl EngineConf {
    /// The engine.
    pub(crate) fn engine(self: &Arc<Self>) -> Box<dyn Engine> {
        match self.kind {
            Kind::Http => Box::new(Http(Arc::clone(self))),
            _ => Box::new(Server { conf: Arc::clone(self), trusted: true }),
        }
    }

    /// A server of the open protocol at an address a client named: where streams may go, it may be.
    pub(crate) fn foreign(target: Target, token: &str, rate: u32) -> Box<dyn Engine> {
        let conf = Self {
            name: "jambonz".to_owned(),
            kind: Kind::Jambonz,
            url: String::new(),
            target: Some(target),
            rate,
            language: String::new(),
            model: String::new(),
            token: token.to_owned(),
            result: Default::default(),
            defaults: Vec::new(),
        };
        Box::new(Server { conf: Arc::new(conf), trusted: false })
    }

    /// Words a channel variable or parameter may put in place of the file's.
    pub(crate) fn language<'a>(&'a self, asked: &'a str) -> &'a str {
        if asked.is_empty() { &self.language } else { asked }
    }
}

/// A server that is streamed to.
struct Server {
    conf: Arc<EngineConf>,
    trusted: bool,
}

impl Server {
    fn dialect(&self, channel: &Channel, what: &Listening) -> Box<dyn Dialect> {
        let conf = &self.conf;
        let language = conf.language(&what.language).to_owned();
        match conf.kind {
            Kind::Vosk | Kind::Http => Box::new(Vosk::new(vosk::Setup {
                rate: conf.rate,
                frame_ms: FRAME_MS,
                phrases: what.phrases.clone(),
            })),
            Kind::Whisper => Box::new(Whisper::new(whisper::Setup {
                uid: channel.uuid().to_string(),
                // These servers know languages by two letters.
                language: language.split(['-', '_']).next().unwrap_or_default().to_lowercase(),
                model: conf.model.clone(),
            })),
            Kind::Jambonz => Box::new(Transcriber::new(transcriber::Setup {
                rate: conf.rate,
                language,
                interim: what.interim,
                options: options(what),
                channels: what.mix.channels() as u32,
            })),
        }
    }
}

/// What was asked for with the phrases in it, where there are some.
fn options(what: &Listening) -> Value {
    let mut options = what.options.clone();
    if !what.phrases.is_empty() {
        if !options.is_object() {
            options = serde_json::json!({});
        }
        options["hints"] = what.phrases.clone().into();
    }
    options
}

impl Engine for Server {
    fn listen(
        &self,
        channel: &Arc<Channel>,
        what: Listening,
    ) -> Result<RunningRecognition, StartError> {
        let (sender, told) = mpsc::channel(NEWS);
        let settings = Settings::of(channel.switch());
        let conf = &self.conf;
        let token = (!conf.token.is_empty()).then(|| start::bearer(&conf.token));
        let order = Order {
            family: what.family,
            name: what.name.clone(),
            targets: conf.target.clone().into_iter().collect(),
            way: Way { headers: token.into_iter().collect(), ..Way::default() },
            mix: what.mix,
            dialect: self.dialect(channel, &what),
            capture_ms: settings.capture_ms,
            ping: settings.ping,
            reconnects: 0,
            speaks: false,
            activity: activity(&what),
            duck: 100,
            told: Some(sender),
            trusted: self.trusted,
        };
        Ok(RunningRecognition { handle: start::begin(channel, order)?, told })
    }
}

/// Whose voice a recognition follows: the far end's.
pub(super) fn activity(what: &Listening) -> ActivityOptions {
    let usual = VadSettings::default();
    ActivityOptions {
        said: true,
        settings: VadSettings {
            threshold: what.threshold.unwrap_or(usual.threshold),
            min_ms: 60,
            end_ms: what.end_ms.unwrap_or(END_MS),
            ..usual
        },
        ..ActivityOptions::default()
    }
}

/// How long a server may take until it is there.
pub(crate) fn patience(channel: &Channel) -> Duration {
    Settings::of(channel.switch()).connect + Duration::from_secs(1)
}
