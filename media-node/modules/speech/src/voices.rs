//! `tts.conf`: engines of this switch's own: Piper by its command line, any service by HTTP, any program by a line.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dialplan_xml::Node;
use dialplan_xml::config::Params;
use http_client::tls::{self, TlsSettings};
use http_client::{Ask, Client};
use hyper::Method;
use media::wav::Incoming;
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::contract::declare::{Parameters, Value, param};
use switch_core::switch::Switch;
use tokio::process::Command;

use crate::engine::{CommandLine, Engine, STALL_TIMEOUT, Utterance};
use crate::stream::SpeechStream;

/// Longest answer of a service: half an hour of speech at 8000 Hz.
const MOST_BYTES: usize = 32 * 1024 * 1024;
const KINDS: &[&str] = &["piper", "http", "command"];

#[rustfmt::skip]
pub(crate) const PARAMETERS: &[Parameters] = &[Parameters { file: "tts.conf", scope: "", list: &[
    param("engine", Value::Text, "the first", "Settings: the engine where none is named"),
    param("voice", Value::Text, "", "Engine: the voice where none is named"),
    param("voices", Value::Text, "", "Engine: its voices, separated by commas; Piper's are its files"),
    param("type", Value::Word(KINDS), "piper", "Engine: Piper's program, a service by HTTP, or a line for the shell"),
    param("program", Value::Path, "piper", "Piper: the program"),
    param("voices-dir", Value::Path, "", "Piper: folder of its voices (`NAME.onnx`)"),
    param("url", Value::Text, "", "HTTP: address of the service; `${text}`, `${voice}` and `${rate}` are filled in, encoded"),
    param("method", Value::Word(&["GET", "POST"]), "POST; GET without a body", "HTTP: verb"),
    param("body", Value::Text, "the text", "HTTP: what is sent; the same are filled in, fit for JSON where the content type is that"),
    param("content-type", Value::Text, "text/plain; charset=utf-8", "HTTP: its type"),
    param("token", Value::Secret, "", "HTTP: bearer token the service is shown"),
    param("response", Value::Word(&["wav", "raw"]), "wav", "HTTP, and a line that writes to its standard output: what comes: a WAV file, or 16-bit samples"),
    param("response-rate", Value::Number(4000, 96_000), "24000", "Samples per second of these"),
    param("command", Value::Text, "", "Line for the shell, as in tts_commandline.conf"),
    param("timeout", Value::Number(1, 300), "10", "Seconds without audio after which an engine that speaks piece by piece is given up"),
] }];

/// One engine of the file.
pub(crate) struct Voices {
    pub(crate) name: String,
    /// The voice where none is named.
    pub(crate) voice: String,
    voices: Vec<String>,
    stall_timeout: Duration,
    kind: Kind,
}

enum Kind {
    Piper { program: String, folder: PathBuf },
    Http(Box<Service>),
    Command(CommandLine),
}

struct Service {
    url: String,
    method: Method,
    body: Option<String>,
    content: &'static str,
    json: bool,
    token: String,
    /// Samples per second where samples come back.
    raw: Option<u32>,
    client: Client,
}

impl Voices {
    fn read(name: &str, params: &Params) -> Result<Self, String> {
        let get = |key: &str| params.get(key).unwrap_or_default().to_owned();
        let seconds = get("timeout").parse().ok().filter(|seconds| (1..=300).contains(seconds));
        let stall_timeout = seconds.map_or(STALL_TIMEOUT, Duration::from_secs);
        let rate = get("response-rate").parse().unwrap_or(24_000);
        let raw = (get("response") == "raw").then_some(rate);
        let kind = match get("type").as_str() {
            "" | "piper" => {
                let folder = get("voices-dir");
                if folder.is_empty() {
                    return Err("voices-dir is missing".to_owned());
                }
                let program = Some(get("program")).filter(|program| !program.is_empty());
                let program = program.unwrap_or_else(|| "piper".to_owned());
                Kind::Piper { program, folder: PathBuf::from(folder) }
            }
            "http" => Kind::Http(Box::new(Service::read(params, raw)?)),
            "command" => {
                let line = CommandLine::new(&get("command")).with_raw(raw);
                Kind::Command(line.with_timeout(stall_timeout))
            }
            other => return Err(format!("{other}: no such type")),
        };
        let list = get("voices");
        let voices = list.split(',').map(str::trim).filter(|voice| !voice.is_empty());
        Ok(Self {
            name: name.to_owned(),
            voice: get("voice"),
            voices: voices.map(str::to_owned).collect(),
            stall_timeout,
            kind,
        })
    }

    /// Names of its voices, as far as they are known.
    pub(crate) fn list(&self) -> Vec<String> {
        let mut list = self.voices.clone();
        if let Kind::Piper { folder, .. } = &self.kind {
            let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
            list.extend(files.filter_map(|file| {
                let name = file.file_name().into_string().ok()?;
                Some(name.strip_suffix(".onnx")?.to_owned())
            }));
        }
        list.sort();
        list.dedup();
        list
    }
}

impl Service {
    fn read(params: &Params, raw: Option<u32>) -> Result<Self, String> {
        let get = |key: &str| params.get(key).unwrap_or_default().to_owned();
        let url = get("url");
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err("url: no address of a service".to_owned());
        }
        let body = Some(get("body")).filter(|body| !body.is_empty());
        let method = match get("method").as_str() {
            "GET" => Method::GET,
            "POST" => Method::POST,
            _ if body.is_none() && url.contains("${text}") => Method::GET,
            _ => Method::POST,
        };
        let tls = tls::client(TlsSettings::default()).map_err(|error| error.to_string())?;
        let json = get("content-type").starts_with("application/json");
        Ok(Self {
            url,
            method,
            body,
            content: if json { "application/json" } else { "text/plain; charset=utf-8" },
            json,
            token: get("token"),
            raw,
            client: Client::new(Arc::new(tls), None, None, MOST_BYTES),
        })
    }

    async fn speak(&self, utterance: &Utterance<'_>) -> Result<SpeechStream, String> {
        let url = fill(&self.url, utterance, encoded);
        let url = url::Url::parse(&url).map_err(|error| error.to_string())?;
        let mut headers = vec![("accept", "audio/wav, audio/*".to_owned())];
        if !self.token.is_empty() {
            headers.push(("authorization", format!("Bearer {}", self.token)));
        }
        let text = match &self.body {
            Some(body) if self.json => fill(body, utterance, inside_json),
            Some(body) => fill(body, utterance, str::to_owned),
            None => utterance.text.to_owned(),
        };
        let body = (self.method == Method::POST).then(|| (self.content, Bytes::from(text)));
        let method = self.method.clone();
        let ask = Ask { method, url, user_agent: "freeswitch-tts/1.0", headers, body };
        // Addresses and texts are no part of what is told: they may hold secrets.
        let answer = self.client.open(ask).await;
        let (status, _, body) = answer.map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("the service answers {}", status.as_u16()));
        }
        Ok(SpeechStream::service(body, self.raw.map_or_else(Incoming::wav, Incoming::raw)))
    }
}

/// Fills values in, in one pass: what a text holds is no name of another value.
fn fill(template: &str, utterance: &Utterance<'_>, fit: impl Fn(&str) -> String) -> String {
    let rate = utterance.rate.to_string();
    let values =
        [("${text}", utterance.text), ("${voice}", utterance.voice), ("${rate}", rate.as_str())];
    let (mut out, mut rest) = (String::new(), template);
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match values.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                out.push_str(&fit(value));
                rest = &rest[name.len()..];
            }
            None => {
                out.push_str("${");
                rest = &rest[2..];
            }
        }
    }
    out + rest
}

/// Fit for any part of an address.
fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Fit for the inside of a JSON text.
fn inside_json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Names of voices become names of files.
fn is_voice(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.len() <= 128 && name.bytes().all(fits)
}

/// Samples per second of a voice, as the file beside its model says.
async fn piper_rate(model: &Path) -> Option<u32> {
    let text = tokio::fs::read(format!("{}.json", model.display())).await.ok()?;
    let said: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let rate = u32::try_from(said.get("audio")?.get("sample_rate")?.as_u64()?).ok()?;
    (4000..=96_000).contains(&rate).then_some(rate)
}

/// Piper, which writes the samples of a sentence as soon as it has them.
async fn piper(
    program: &str,
    folder: &Path,
    utterance: &Utterance<'_>,
) -> Result<SpeechStream, String> {
    if !is_voice(utterance.voice) {
        return Err("no such voice".to_owned());
    }
    let model = folder.join(format!("{}.onnx", utterance.voice));
    let mut command = Command::new(program);
    command.arg("--model").arg(&model);
    let reader = match piper_rate(&model).await {
        Some(rate) => {
            command.arg("--output_raw");
            Incoming::raw(rate)
        }
        // Without a word about its rate: a WAV file says it.
        None => {
            command.arg("--output_file").arg("-");
            Incoming::wav()
        }
    };
    // A line is a text of its own for Piper.
    let text = format!("{}\n", utterance.text.replace(['\r', '\n'], " "));
    SpeechStream::program(command, Some(text), reader)
}

impl Engine for Voices {
    fn identity(&self) -> String {
        match &self.kind {
            Kind::Piper { folder, .. } => format!("piper {}", folder.display()),
            Kind::Http(service) => {
                format!("http {} {}", service.url, service.body.as_deref().unwrap_or_default())
            }
            Kind::Command(line) => line.identity(),
        }
    }

    fn speaks(&self) -> bool {
        match &self.kind {
            Kind::Command(line) => line.speaks(),
            Kind::Piper { .. } | Kind::Http(_) => true,
        }
    }

    fn is_elsewhere(&self) -> bool {
        matches!(self.kind, Kind::Http(_))
    }

    fn stall_timeout(&self) -> Duration {
        self.stall_timeout
    }

    fn speak<'a>(
        &'a self,
        utterance: &'a Utterance<'a>,
    ) -> BoxFuture<'a, Result<SpeechStream, String>> {
        Box::pin(async move {
            match &self.kind {
                Kind::Piper { program, folder } => piper(program, folder, utterance).await,
                Kind::Http(service) => service.speak(utterance).await,
                Kind::Command(line) => line.speak(utterance).await,
            }
        })
    }

    fn make<'a>(
        &'a self,
        utterance: &'a Utterance<'a>,
        file: &'a Path,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            match &self.kind {
                Kind::Command(line) => line.make(utterance, file).await,
                Kind::Piper { .. } | Kind::Http(_) => Err("writes no files".to_owned()),
            }
        })
    }
}

/// All engines of the file.
#[derive(Default)]
pub(crate) struct Table {
    list: Vec<Arc<Voices>>,
    default: String,
}

#[derive(Default)]
struct InForce(Mutex<Option<Arc<Table>>>);

impl Table {
    fn read(conf: Option<Node<'_>>) -> Self {
        let settings = dialplan_xml::config::settings(conf);
        let default = settings.get("engine").unwrap_or_default().to_owned();
        let mut table = Self { list: Vec::new(), default };
        let lists = conf.and_then(|conf| conf.child("engines"));
        for node in lists.into_iter().flat_map(|list| list.children_named("engine")) {
            let name = node.attr_or_empty("name");
            match Voices::read(name, &Params::read(Some(node), "param")) {
                Ok(engine) if !name.is_empty() => table.list.push(Arc::new(engine)),
                Ok(_) => tracing::error!("tts.conf: an engine without a name"),
                Err(why) => tracing::error!("tts.conf: engine {name}: {why}"),
            }
        }
        table
    }

    /// The engine of that name.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<Voices>> {
        self.list.iter().find(|engine| engine.name.eq_ignore_ascii_case(name)).cloned()
    }

    /// Name of the engine where none is named.
    pub(crate) fn default(&self) -> Option<&str> {
        let first = self.list.first().map(|engine| engine.name.as_str());
        Some(self.default.as_str()).filter(|name| !name.is_empty()).or(first)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Voices>> {
        self.list.iter()
    }

    /// The engines in force.
    pub(crate) fn of(switch: &Switch) -> Arc<Self> {
        let state = switch.module::<InForce>();
        let mut table = state.0.lock();
        Arc::clone(table.get_or_insert_with(Arc::default))
    }

    /// Takes the file into use.
    pub(crate) async fn configure(switch: &Arc<Switch>) {
        let own = Arc::clone(switch);
        // Authorities are read with it: no work for the runtime's threads.
        let read = tokio::task::spawn_blocking(move || {
            let config = own.config.load_full();
            Self::read(config.document("tts.conf"))
        });
        if let Ok(table) = read.await {
            *switch.module::<InForce>().0.lock() = Some(Arc::new(table));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTTERANCE: Utterance<'_> =
        Utterance { voice: "en_US-amy", text: "say \"${voice}\" & more", rate: 8000 };

    #[test]
    fn values_are_fit_for_where_they_stand() {
        let url = fill("http://h/x?t=${text}&v=${voice}&r=${rate}&o=${other}", &UTTERANCE, encoded);
        assert_eq!(
            url,
            "http://h/x?t=say%20%22%24%7Bvoice%7D%22%20%26%20more&v=en_US-amy&r=8000&o=${other}"
        );
        let body = fill(r#"{"input":"${text}","voice":"${voice}"}"#, &UTTERANCE, inside_json);
        let read: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(read["input"], UTTERANCE.text);
    }

    #[test]
    fn a_voice_names_no_other_folder() {
        for odd in ["", "../x", "a/b", ".hidden", "a b", "a\0"] {
            assert!(!is_voice(odd), "{odd}");
        }
        assert!(is_voice("en_US-amy-medium"));
    }

    #[tokio::test]
    async fn piper_gets_its_text_as_a_line_and_its_voice_as_a_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("piper");
        let script =
            "#!/bin/sh\n[ -f \"$2\" ] || { echo no model >&2; exit 1; }\necho $3 $4; cat\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(folder.path().join("en_US-amy.onnx"), b"x").unwrap();
        let kind = Kind::Piper {
            program: program.to_string_lossy().into_owned(),
            folder: folder.path().to_owned(),
        };
        let voices = Voices {
            name: "p".into(),
            voice: String::new(),
            voices: Vec::new(),
            stall_timeout: STALL_TIMEOUT,
            kind,
        };
        assert_eq!(voices.list(), ["en_US-amy"]);
        let said = async |voice| {
            let mut stream =
                voices.speak(&Utterance { text: "one\ntwo", voice, ..UTTERANCE }).await?;
            let mut all = Vec::new();
            while let Some(piece) = stream.next().await? {
                all.extend_from_slice(&piece);
            }
            Ok::<_, String>((all, stream.reader.rate()))
        };
        assert_eq!(
            said("en_US-amy").await.unwrap(),
            (b"--output_file -\none two\n".to_vec(), None)
        );
        let about = br#"{"audio":{"sample_rate":22050}}"#;
        std::fs::write(folder.path().join("en_US-amy.onnx.json"), about).unwrap();
        let (all, rate) = said("en_US-amy").await.unwrap();
        assert_eq!((all, rate), (b"--output_raw\none two\n".to_vec(), Some(22_050)));
        assert!(said("other").await.unwrap_err().contains("no model"));
    }
}
