//! Servers that are sent what was said as a file, by HTTP, as OpenAI's transcriptions are: an utterance at a time, from its
//! onset (and a little before) to the silence after it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_client::tls::{self, TlsSettings};
use http_client::{Ask, Client};
use hyper::Method;
use serde_json::Value;
use switch_core::call::Channel;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use voice::capture::{Capture, Mix};
use voice::speech::{Speech, Words};

use super::engine::{Engine, Listening, RunningRecognition, activity};
use super::settings::EngineConf;
use crate::activity::{Activity, Heard};
use crate::call_audio::CallAudio;
use crate::registry::{self, Control, Ending, Handle, Stage};
use crate::session::Told;
use crate::settings::Settings;
use crate::start::StartError;

/// How often the call is listened to.
const TICK: Duration = Duration::from_millis(20);
/// Milliseconds of a frame, and of audio before the onset that is sent too.
const FRAME_MS: usize = 20;
const BEFORE_MS: usize = 300;
/// Longest utterance; what is longer is sent in parts.
const LONGEST_MS: usize = 30_000;
/// How long an answer may take, and its longest text.
const TIMEOUT: Duration = Duration::from_secs(30);
const MOST_BYTES: usize = 1024 * 1024;
/// Between parts of the body, and its type.
const BOUNDARY: &str = "7f3a9c-ferroswitch-recognition";
const FORM: &str = "multipart/form-data; boundary=7f3a9c-ferroswitch-recognition";
const NEWS: usize = 256;
/// Utterances that may wait for the one before.
const MOST_WAITING: usize = 4;

/// The engine.
pub(super) struct Http(pub(super) Arc<EngineConf>);

impl Engine for Http {
    fn listen(
        &self,
        channel: &Arc<Channel>,
        what: Listening,
    ) -> Result<RunningRecognition, StartError> {
        let both = what.mix != Mix::Mono;
        let audio = CallAudio::new(channel, both, false, 100, false).ok_or(StartError::NoMedia)?;
        let shown = shown(&self.0.url);
        let (handle, requests) = Handle::new(what.family, &what.name, shown);
        registry::add(channel, &handle, Settings::of(channel.switch()).streams)?;
        let (to, told) = mpsc::channel(NEWS);
        let rate = self.0.rate;
        let listener = Listener {
            channel: Arc::clone(channel),
            handle: Arc::clone(&handle),
            conf: Arc::clone(&self.0),
            language: self.0.language(&what.language).to_owned(),
            prompt: what.phrases.join(", "),
            audio,
            activity: Activity::new(activity(&what)),
            capture: Capture::new(what.mix, rate, FRAME_MS as u32),
            said: Said::new(rate as usize * FRAME_MS / 1000),
            paused: false,
            to,
        };
        let (channel, own) = (Arc::clone(channel), Arc::clone(&handle));
        tokio::spawn(async move {
            let ran = switch_core::tasks::step("recognition", listener.run(requests)).await;
            registry::remove(&channel, &own, true);
            let ending = if ran.is_some() { Ending::Stopped } else { Ending::Broken };
            own.stage.send_replace(Stage::Over(ending));
        });
        Ok(RunningRecognition { handle, told })
    }

    fn tells_words_early(&self) -> bool {
        false
    }
}

/// An address without its path, which may hold secrets.
fn shown(url: &str) -> String {
    url::Url::parse(url)
        .map_or_else(|_| "http".to_owned(), |url| url.origin().ascii_serialization())
}

/// Frames of an utterance, and those before it.
struct Said {
    frame: usize,
    frames: VecDeque<Vec<i16>>,
    speaking: bool,
}

impl Said {
    fn new(frame: usize) -> Self {
        Self { frame, frames: VecDeque::new(), speaking: false }
    }

    fn push(&mut self, frame: &[i16]) {
        self.frames.push_back(frame.to_vec());
        let most = if self.speaking { LONGEST_MS } else { BEFORE_MS } / FRAME_MS;
        while self.frames.len() > most {
            self.frames.pop_front();
        }
    }

    fn is_full(&self) -> bool {
        self.speaking && self.frames.len() >= LONGEST_MS / FRAME_MS
    }

    fn take(&mut self) -> Vec<i16> {
        let mut all = Vec::with_capacity(self.frames.len() * self.frame);
        self.frames.drain(..).for_each(|frame| all.extend(frame));
        all
    }
}

struct Listener {
    channel: Arc<Channel>,
    handle: Arc<Handle>,
    conf: Arc<EngineConf>,
    language: String,
    prompt: String,
    audio: CallAudio,
    activity: Activity,
    capture: Capture,
    said: Said,
    paused: bool,
    to: mpsc::Sender<Told>,
}

impl Listener {
    async fn run(mut self, mut requests: mpsc::Receiver<Control>) {
        let client = match client().await {
            Ok(client) => Arc::new(client),
            Err(why) => return self.tell(Told::Speech(Speech::Error(why))),
        };
        self.tell(Told::Event("connect".to_owned(), None));
        self.handle.stage.send_replace(Stage::Open);
        let (sender, mut answers) = mpsc::channel::<Speech>(1);
        // One utterance after the other: results come in order.
        let (mut waiting, mut asking, mut ends) = (VecDeque::new(), false, false);
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    None | Some(Control::Stop(_) | Control::HangUp) => return,
                    Some(Control::Pause { .. }) => self.pause(true),
                    Some(Control::Resume) => self.pause(false),
                    Some(Control::NoMoreAudio) => {
                        ends = true;
                        self.say(&mut waiting);
                    }
                    Some(Control::Tune("flush", _)) => self.say(&mut waiting),
                    Some(_) => {}
                },
                Some(speech) = answers.recv() => {
                    asking = false;
                    self.tell(Told::Speech(speech));
                }
                _ = clock.tick() => {
                    if !self.channel.is_up() {
                        return;
                    }
                    if !ends && self.listen() {
                        waiting.push_back(self.said.take());
                    }
                    // A server that is too slow for speech loses the oldest of it.
                    if waiting.len() > MOST_WAITING {
                        waiting.pop_front();
                        tracing::warn!(uuid = %self.channel.uuid(), "recognition: the server is too slow");
                    }
                }
            }
            if !asking && let Some(samples) = waiting.pop_front() {
                asking = true;
                self.ask(&client, samples, &sender);
            }
            if ends && !asking {
                return;
            }
        }
    }

    /// What is being said is taken as an utterance.
    fn say(&mut self, waiting: &mut VecDeque<Vec<i16>>) {
        if self.said.speaking {
            waiting.push_back(self.said.take());
        }
    }

    fn pause(&mut self, on: bool) {
        self.paused = on;
        self.said.speaking = false;
        let _forgotten = self.said.take();
    }

    fn tell(&self, told: Told) {
        if self.to.try_send(told).is_err() {
            tracing::warn!(uuid = %self.channel.uuid(), "recognition: news lost");
        }
    }

    /// Hears what has come. True when an utterance is over.
    fn listen(&mut self) -> bool {
        self.audio.follow(&self.channel);
        let both = self.audio.both();
        let (heard, rate) = self.audio.hear();
        if heard.is_empty() || self.paused {
            return false;
        }
        let told = self.activity.hear(heard, both, rate, false);
        self.capture.push(heard, both, rate);
        let said = &mut self.said;
        self.capture.frames(|frame| said.push(frame));
        let mut over = false;
        for voice in told {
            let Heard::Voice { said: true, begins } = voice else { continue };
            self.said.speaking = begins;
            over |= !begins;
            self.tell(Told::Voice(begins));
        }
        over || self.said.is_full()
    }

    /// Asks for the words of an utterance.
    fn ask(&self, client: &Arc<Client>, samples: Vec<i16>, to: &mpsc::Sender<Speech>) {
        let (client, to) = (Arc::clone(client), to.clone());
        let conf = Arc::clone(&self.conf);
        let (language, prompt) = (self.language.clone(), self.prompt.clone());
        tokio::spawn(async move {
            let asked = timeout(TIMEOUT, words(&client, &conf, &language, &prompt, &samples));
            let speech = match asked.await {
                Ok(Ok(words)) => Speech::Final(words),
                Ok(Err(why)) => Speech::Error(why),
                Err(_) => Speech::Error("the server takes too long".to_owned()),
            };
            let _nobody_listens = to.send(speech).await;
        });
    }
}

/// Reading certificates is no work for the runtime's threads.
async fn client() -> Result<Client, String> {
    let made = tokio::task::spawn_blocking(|| tls::client(TlsSettings::default())).await;
    let tls = made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    Ok(Client::new(Arc::new(tls), None, None, MOST_BYTES))
}

async fn words(
    client: &Client,
    conf: &EngineConf,
    language: &str,
    prompt: &str,
    samples: &[i16],
) -> Result<Words, String> {
    let url = url::Url::parse(&conf.url).map_err(|error| error.to_string())?;
    let file = voice::audio::wav(conf.rate, samples);
    let fields = [("model", &*conf.model), ("language", language), ("prompt", prompt)];
    let mut headers = vec![("accept", "application/json".to_owned())];
    if !conf.token.is_empty() {
        headers.push(("authorization", format!("Bearer {}", conf.token)));
    }
    let ask = Ask {
        method: Method::POST,
        url,
        user_agent: "freeswitch-recognition/1.0",
        headers,
        body: Some((FORM, Bytes::from(form(&fields, &file)))),
    };
    let (status, body) = client.send(ask).await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(format!("the server answers {}", status.as_u16()));
    }
    read(&body)
}

/// What the server says: JSON with a text in it, or the text.
fn read(body: &[u8]) -> Result<Words, String> {
    let whole = String::from_utf8_lossy(body).trim().to_owned();
    let text = match serde_json::from_str::<Value>(&whole) {
        Ok(Value::Object(object)) => match object.get("text").and_then(Value::as_str) {
            Some(text) => text.trim().to_owned(),
            None => return Err("the server's answer has no text".to_owned()),
        },
        Ok(Value::String(text)) => text.trim().to_owned(),
        _ => whole.clone(),
    };
    Ok(Words { text, whole, ..Words::default() })
}

/// The body: fields that are set, then the file.
fn form(fields: &[(&str, &str)], file: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(file.len() + 1024);
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        let value = value.replace(['\r', '\n'], " ");
        body.extend(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
            .bytes(),
        );
    }
    body.extend(
        format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; \
             filename=\"speech.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
        )
        .bytes(),
    );
    body.extend(file);
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_utterance_has_a_little_from_before_it_and_an_end() {
        let mut said = Said::new(160);
        (0..100).for_each(|n| said.push(&[n; 160]));
        assert_eq!(said.frames.len(), 15);
        said.speaking = true;
        (0..5000).for_each(|n| said.push(&[n; 160]));
        assert!(said.is_full());
        assert_eq!(said.take().len(), 1500 * 160);
    }

    #[test]
    fn answers_are_objects_with_a_text_or_texts() {
        let text = |body: &str| read(body.as_bytes()).map(|words| words.text);
        assert_eq!(text(r#"{"text":" Hello."}"#).unwrap(), "Hello.");
        assert_eq!(text("hello\n").unwrap(), "hello");
        assert!(text(r#"{"error":"x"}"#).is_err());
        let body = form(&[("model", "m"), ("language", ""), ("prompt", "a\r\n--x")], b"RIFF");
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains("name=\"model\"\r\n\r\nm\r\n") && !body.contains("language"));
        assert!(body.contains("a  --x") && body.ends_with("--\r\n"));
    }
}
