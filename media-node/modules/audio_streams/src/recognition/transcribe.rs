//! `uuid_transcribe` and the commands of jambonz' modules (`uuid_google_transcribe`, …): a transcript of a call while it is
//! spoken, by whichever engine the switch has, told as the module of that name tells it.

use std::sync::Arc;
use std::time::Duration;

use switch_core::api::{ApiCall, usage};
use switch_core::call::Channel;
use switch_core::text;
use tokio::sync::mpsc;
use voice::capture::Mix;
use voice::speech::{Speech, Vendor, Words};
use voice::target::Target;

use super::engine::{Engine, Listening, RunningRecognition};
use super::settings::{EngineConf, Engines};
use super::transcript;
use crate::registry::{self, Control, Ending, Family, Stage};
use crate::session::Told;
use crate::split::split;
use crate::start;
use crate::{EMPTY, FAILED, OK};

pub(crate) const SYNTAX: &str =
    "<uuid> [start|stop] lang-code [interim|full] [stereo|mono] [bug-name]";
/// How long a server may take for its last words once the end is asked for.
const LAST_WORDS: Duration = Duration::from_millis(2000);
const MAX_NAME: usize = 64;

/// A command: its events' family, what it is called in them, how it writes.
pub(crate) struct Dialect {
    family: &'static str,
    vendor: &'static str,
    writes: Vendor,
}

pub(crate) const OWN: Dialect =
    Dialect { family: "transcribe", vendor: "switch", writes: Vendor::Jambonz };
pub(crate) const GOOGLE: Dialect =
    Dialect { family: "google_transcribe", vendor: "google", writes: Vendor::Google };
pub(crate) const NVIDIA: Dialect =
    Dialect { family: "nvidia_transcribe", vendor: "nvidia", writes: Vendor::Google };
pub(crate) const AWS: Dialect =
    Dialect { family: "aws_transcribe", vendor: "aws", writes: Vendor::Aws };
pub(crate) const AZURE: Dialect =
    Dialect { family: "azure_transcribe", vendor: "microsoft", writes: Vendor::Azure };
pub(crate) const DEEPGRAM: Dialect =
    Dialect { family: "deepgram_transcribe", vendor: "deepgram", writes: Vendor::Deepgram };
pub(crate) const JAMBONZ: Dialect =
    Dialect { family: "jambonz_transcribe", vendor: "jambonz", writes: Vendor::Jambonz };

/// What `start` asks for.
struct Asked {
    name: String,
    language: String,
    interim: bool,
    stereo: bool,
}

/// Runs one of the commands.
pub(crate) async fn run(call: ApiCall, dialect: &'static Dialect) -> String {
    let words = split(&call.marked, 6);
    let (Some(uuid), Some(verb)) = (words.first(), words.get(1)) else { return usage(SYNTAX) };
    let verb = verb.to_ascii_lowercase();
    if verb == "start" && words.len() < 3 {
        return usage(SYNTAX);
    }
    let Some(channel) = call.switch.channel(uuid) else { return FAILED.into() };
    match verb.as_str() {
        "start" => {
            let asked = asked(&words, dialect);
            if asked.name.len() > MAX_NAME {
                return EMPTY.into();
            }
            begin(&call, &channel, dialect, &asked).await.into()
        }
        "stop" => {
            // The name stands behind the language in some modules' words, and alone in others'.
            let name = words
                .get(2..)
                .unwrap_or_default()
                .iter()
                .rev()
                .find_map(|word| find(&channel, word).then(|| word.clone()));
            let name = name.unwrap_or_else(|| dialect.family.to_owned());
            let stopped = [key(&name, 0), key(&name, 1)].map(|key| finish(&channel, &key));
            if stopped.contains(&true) { OK } else { FAILED }.into()
        }
        _ => FAILED.into(),
    }
}

fn asked(words: &[String], dialect: &Dialect) -> Asked {
    let rest = words.get(3..).unwrap_or_default();
    let said = |word: &str| rest.iter().any(|own| own == word);
    let known = ["interim", "full", "stereo", "mono"];
    let name = rest.iter().find(|word| !word.is_empty() && !known.contains(&word.as_str()));
    Asked {
        name: name.cloned().unwrap_or_else(|| dialect.family.to_owned()),
        language: words.get(2).cloned().unwrap_or_default(),
        interim: said("interim"),
        stereo: said("stereo"),
    }
}

/// A transcription's name among the call's streams, for one side.
fn key(name: &str, side: u32) -> String {
    if side == 0 { name.to_owned() } else { format!("{name}#write") }
}

fn find(channel: &Channel, name: &str) -> bool {
    registry::find(channel, Family::Transcription, name).is_some()
}

/// Asks for the end: last words may still come.
fn finish(channel: &Channel, name: &str) -> bool {
    match registry::find(channel, Family::Transcription, name) {
        Some(handle) => handle.ask(Control::NoMoreAudio),
        // One that ended by itself may be stopped once.
        None => registry::stop(channel, Family::Transcription, name, None),
    }
}

async fn begin(
    call: &ApiCall,
    channel: &Arc<Channel>,
    dialect: &'static Dialect,
    asked: &Asked,
) -> &'static str {
    if find(channel, &asked.name) {
        return FAILED;
    }
    let engine = match engine(channel, dialect) {
        Ok(engine) => engine,
        Err(why) => {
            tracing::error!(uuid = %channel.uuid(), "{}: {why}", dialect.family);
            return FAILED;
        }
    };
    if !start::ensure_media(channel, call.channel.as_ref()).await {
        return FAILED;
    }
    let sides = if asked.stereo { 2 } else { 1 };
    for side in 0..sides {
        if let Err(error) = one(channel, dialect, asked, &*engine.0, engine.1.clone(), side) {
            tracing::error!(uuid = %channel.uuid(), "{}: {error}", dialect.family);
            registry::stop(channel, Family::Transcription, &key(&asked.name, 0), None);
            return FAILED;
        }
    }
    OK
}

/// The engine, and its name: jambonz' own command has an address in a variable, the others have the switch's.
fn engine(channel: &Channel, dialect: &Dialect) -> Result<(Box<dyn Engine>, String), &'static str> {
    let var = |name: &str| channel.var(name).filter(|value| !value.is_empty());
    if dialect.writes == Vendor::Jambonz
        && let Some(url) = var("JAMBONZ_STT_URL")
    {
        let target = Target::fork(&url).ok_or("JAMBONZ_STT_URL is no address")?;
        let token = var("JAMBONZ_STT_API_KEY").unwrap_or_default();
        let rate = var("JAMBONZ_STT_SAMPLING").and_then(|set| start::rate(&set)).unwrap_or(8000);
        return Ok((EngineConf::foreign(target, &token, rate), "jambonz".to_owned()));
    }
    let name = var("transcribe_engine").unwrap_or_default();
    let conf = Engines::of(channel.switch()).named(&name).ok_or("no engine")?;
    Ok((conf.engine(), conf.name.clone()))
}

fn one(
    channel: &Arc<Channel>,
    dialect: &'static Dialect,
    asked: &Asked,
    engine: &dyn Engine,
    engine_name: String,
    side: u32,
) -> Result<(), start::StartError> {
    let options = channel.var("JAMBONZ_STT_OPTIONS").unwrap_or_default();
    let listening = Listening {
        family: Family::Transcription,
        name: key(&asked.name, side),
        mix: if side == 0 { Mix::Mono } else { Mix::Heard },
        language: asked.language.clone(),
        phrases: Vec::new(),
        interim: asked.interim,
        options: serde_json::from_str(&options).unwrap_or_default(),
        threshold: channel
            .var("stream_vad_threshold")
            .and_then(|set| u32::try_from(text::int(&set)).ok().filter(|set| *set > 0)),
        end_ms: None,
    };
    let RunningRecognition { handle, told } = engine.listen(channel, listening)?;
    let writer = Writer {
        channel: Arc::clone(channel),
        handle,
        dialect,
        name: asked.name.clone(),
        language: asked.language.clone(),
        interim: asked.interim,
        side,
        engine: engine_name,
    };
    tokio::spawn(async move {
        let _logged = switch_core::tasks::step("transcript", writer.run(told)).await;
    });
    Ok(())
}

/// Between an engine and the events.
struct Writer {
    channel: Arc<Channel>,
    handle: Arc<registry::Handle>,
    dialect: &'static Dialect,
    name: String,
    language: String,
    interim: bool,
    side: u32,
    engine: String,
}

impl Writer {
    async fn run(self, mut told: mpsc::Receiver<Told>) {
        let mut stage = self.handle.stage.subscribe();
        let mut stopping = None;
        let (mut open, mut last) = (false, None);
        loop {
            let deadline = async {
                match stopping {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                news = told.recv() => match news {
                    None => break,
                    Some(Told::Event(name, body)) => match name.as_str() {
                        "connect" if !std::mem::replace(&mut open, true) => self.fire("connect", None, false),
                        "error" => last = body,
                        _ => {}
                    },
                    Some(Told::Speech(speech)) => self.speech(speech, stopping.is_some()),
                    Some(Told::Voice(_)) => {}
                },
                () = self.handle.ending(), if stopping.is_none() => {
                    stopping = Some(tokio::time::Instant::now() + LAST_WORDS);
                }
                () = deadline => {
                    self.handle.ask(Control::Stop(None));
                    break;
                }
            }
        }
        self.end(&mut stage, open, last).await;
    }

    /// How it ended, where that was not asked for.
    async fn end(
        &self,
        stage: &mut tokio::sync::watch::Receiver<Stage>,
        open: bool,
        body: Option<String>,
    ) {
        let over = tokio::time::timeout(
            LAST_WORDS * 2,
            stage.wait_for(|stage| matches!(stage, Stage::Over(_))),
        );
        let ending = match over.await {
            Ok(Ok(stage)) => match *stage {
                Stage::Over(ending) => ending,
                _ => Ending::Broken,
            },
            _ => Ending::Stopped,
        };
        registry::remove(&self.channel, &self.handle, true);
        match ending {
            Ending::NotConnected => self.fire("connect_failed", body, true),
            Ending::Broken if open => self.fire("error", body, true),
            _ => {}
        }
    }

    fn speech(&self, speech: Speech, last: bool) {
        match speech {
            Speech::Partial(words) if self.interim => self.words(&words, false, last),
            Speech::Partial(_) => {}
            Speech::Final(words) => {
                self.words(&words, true, last);
                if !words.text.is_empty() {
                    transcript::note(&self.channel, &words, self.side, &self.engine);
                }
            }
            Speech::Error(why) => {
                let body = serde_json::json!({"type": "error", "error": why}).to_string();
                self.fire("error", Some(body), last);
            }
        }
    }

    fn words(&self, words: &Words, is_final: bool, last: bool) {
        let redacted = transcript::redacts(&self.channel).then(|| words.redacted());
        let words = redacted.as_ref().unwrap_or(words);
        let own = self.dialect.writes == Vendor::Jambonz && self.engine == "jambonz";
        let body = if own && !words.whole.is_empty() {
            words.whole.clone()
        } else {
            let channel = words.channel.unwrap_or(self.side);
            self.dialect.writes.write(words, is_final, &self.language, channel)
        };
        self.fire("transcription", Some(body), last);
    }

    fn fire(&self, name: &str, body: Option<String>, finished: bool) {
        self.channel.fire_custom(
            &format!("{}::{name}", self.dialect.family),
            |_| {},
            |event| {
                event.push("transcription-vendor", self.dialect.vendor);
                event.push(
                    "transcription-session-finished",
                    if finished { "true" } else { "false" },
                );
                event.push("media-bugname", self.name.as_str());
                if let Some(body) = body {
                    event.set_body(body);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_behind_the_language_are_known_by_what_they_say() {
        let of = |line: &str| asked(&split(line, 6), &GOOGLE);
        let all = of("u start en-US interim stereo bug");
        assert_eq!((all.interim, all.stereo, all.name.as_str()), (true, true, "bug"));
        let few = of("u start en-US");
        assert_eq!(
            (few.interim, few.stereo, few.name.as_str()),
            (false, false, "google_transcribe")
        );
        assert_eq!(of("u start en-US full mono x").name, "x");
    }
}
