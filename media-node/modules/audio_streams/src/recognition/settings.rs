//! `recognition.conf` and `vosk.conf`: which engines there are.

use std::sync::Arc;

use dialplan_xml::Node;
use dialplan_xml::config::Params;
use parking_lot::Mutex;
use switch_core::contract::declare::{Parameter, Parameters, Value, param};
use switch_core::switch::Switch;
use switch_core::text;
use voice::speech::Format;
use voice::target::Target;

const KINDS: &[&str] = &["vosk", "whisper", "jambonz", "http"];
const MILLIS: Value = Value::Number(0, 600_000);

#[rustfmt::skip]
const LIST: &[Parameter] = &[
    param("engine", Value::Text, "the first", "Settings: the engine where none is named, and of `uuid_transcribe`"),
    param("type", Value::Word(KINDS), "vosk", "Engine: what its server speaks: Vosk's, WhisperLive's or jambonz' WebSocket, or HTTP as OpenAI's transcriptions"),
    param("url", Value::Text, "", "Engine: address of its server (`ws://`, `wss://`, `http://`, `https://`); it may be inside the node's own network"),
    param("rate", Value::Number(8000, 48_000), "8000; 16000", "Engine: samples per second; Whisper's are 16000"),
    param("language", Value::Text, "", "Engine: language that is spoken"),
    param("model", Value::Text, "", "Engine: model its server is asked for"),
    param("token", Value::Secret, "", "Engine: bearer token its server is shown"),
    param("result", Value::Word(&["text", "json", "nlsml"]), "text", "Engine: how results are written: the words, JSON (the server's own), or XML as MRCP servers send it"),
    param("start-of-speech", Value::Word(&["words", "voice"]), "words; voice with HTTP", "Engine: what `begin-speaking` is: the first words, or sound"),
    param("partial-results", Value::Bool, "false", "Engine: words that may still change are told (`detected-partial-speech`)"),
    param("auto-resume", Value::Bool, "true", "Engine: `detect_speech` goes on after a result"),
    param("start-input-timers", Value::Bool, "true", "Engine: silence counts from the start; with `play_and_detect_speech` it counts after the prompt unless this is set"),
    param("no-input-timeout", MILLIS, "0; 5000", "Engine: milliseconds of silence after which the result is no input; `play_and_detect_speech` waits 5000"),
    param("speech-timeout", MILLIS, "20000", "Engine: longest speech, milliseconds"),
    param("speech-complete-timeout", MILLIS, "0", "Engine: silence that ends speech even if the engine has not noticed; 0 = the engine decides (HTTP: 700)"),
    param("vad-threshold", Value::Number(1, 32_767), "160", "Engine: mean absolute sample from which sound may be speech"),
];

const MRCP: &str = "there is no MRCP client; an engine of recognition.conf takes its place";

#[rustfmt::skip]
pub(crate) const PARAMETERS: &[Parameters] = &[Parameters { file: "recognition.conf", scope: "", list: LIST }];

#[rustfmt::skip]
pub(crate) const VOSK_PARAMETERS: &[Parameters] = &[Parameters { file: "vosk.conf", scope: "", list: &[
    param("server-url", Value::Text, "ws://127.0.0.1:2700", "Address of the Vosk server"),
    param("return-json", Value::Bool, "false", "Results are the server's own messages"),
    param("sample-rate", Value::Number(8000, 48_000), "8000", "Samples per second (not in mod_vosk)"),
] }];

#[rustfmt::skip]
pub(crate) const MRCP_PARAMETERS: &[Parameters] = &[Parameters { file: "unimrcp.conf", scope: "", list: &[
    param("default-asr-profile", Value::Text, "", "Profile of recognition").no_effect(MRCP),
    param("default-tts-profile", Value::Text, "", "Profile of synthesis").no_effect(MRCP),
    param("log-level", Value::Text, "", "Level of its log").no_effect(MRCP),
    param("enable-profile-events", Value::Bool, "", "Events of profiles").no_effect(MRCP),
    param("max-connection-count", Value::Text, "", "Connections at once").no_effect(MRCP),
    param("offer-new-connection", Value::Text, "", "A connection for each session").no_effect(MRCP),
    param("request-timeout", Value::Text, "", "Milliseconds of a request").no_effect(MRCP),
] }];

/// What an engine's server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Vosk,
    Whisper,
    Jambonz,
    Http,
}

/// One engine.
#[derive(Clone, PartialEq)]
pub(crate) struct EngineConf {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) url: String,
    /// Where its server is; none for HTTP.
    pub(crate) target: Option<Target>,
    pub(crate) rate: u32,
    pub(crate) language: String,
    pub(crate) model: String,
    pub(crate) token: String,
    pub(crate) result: Format,
    /// What `param` and parameters of grammars may set too.
    pub(crate) defaults: Vec<(String, String)>,
}

impl std::fmt::Debug for EngineConf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EngineConf({} {:?})", self.name, self.kind)
    }
}

impl EngineConf {
    fn read(name: &str, params: &Params) -> Result<Self, String> {
        let get = |key: &str| params.get(key).unwrap_or_default();
        let kind = match get("type") {
            "" | "vosk" => Kind::Vosk,
            "whisper" => Kind::Whisper,
            "jambonz" => Kind::Jambonz,
            "http" => Kind::Http,
            other => return Err(format!("{other}: no such type")),
        };
        let url = get("url").to_owned();
        let target = match kind {
            Kind::Http if url.starts_with("http://") || url.starts_with("https://") => None,
            Kind::Http => return Err("no address".to_owned()),
            _ => Some(Target::fork(&url).ok_or("no address")?),
        };
        let usual = if matches!(kind, Kind::Whisper | Kind::Http) { 16_000 } else { 8000 };
        let set = crate::start::rate(get("rate")).filter(|rate| *rate <= 48_000);
        let rate = if kind == Kind::Whisper { usual } else { set.unwrap_or(usual) };
        let defaults = params.iter().map(|p| (p.name.to_ascii_lowercase(), p.value.to_string()));
        Ok(Self {
            name: name.to_owned(),
            kind,
            url,
            target,
            rate,
            language: get("language").to_owned(),
            model: get("model").to_owned(),
            token: get("token").to_owned(),
            result: Format::of(get("result")).unwrap_or_default(),
            defaults: defaults.collect(),
        })
    }
}

/// All engines.
#[derive(Debug, Default)]
pub(crate) struct Engines {
    list: Vec<Arc<EngineConf>>,
    default: String,
}

#[derive(Default)]
struct InForce(Mutex<Option<Arc<Engines>>>);

impl Engines {
    fn read(conf: Option<Node<'_>>, vosk: Option<Node<'_>>) -> Self {
        let mut engines = Self::default();
        let settings = dialplan_xml::config::settings(conf);
        engines.default = settings.get("engine").unwrap_or_default().to_owned();
        let lists = conf.and_then(|conf| conf.child("engines"));
        for node in lists.into_iter().flat_map(|list| list.children_named("engine")) {
            let name = node.attr_or_empty("name");
            match EngineConf::read(name, &Params::read(Some(node), "param")) {
                Ok(engine) if !name.is_empty() => engines.list.push(Arc::new(engine)),
                Ok(_) => tracing::error!("recognition.conf: an engine without a name"),
                Err(why) => tracing::error!("recognition.conf: engine {name}: {why}"),
            }
        }
        if let Some(vosk) = vosk.filter(|_| engines.find("vosk").is_none()) {
            engines.list.extend(vosk_of(vosk));
        }
        engines
    }

    fn find(&self, name: &str) -> Option<&Arc<EngineConf>> {
        self.list.iter().find(|engine| engine.name.eq_ignore_ascii_case(name))
    }

    /// The engine of that name; the usual one for none.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<EngineConf>> {
        if !name.is_empty() {
            return self.find(name).cloned();
        }
        let usual = (!self.default.is_empty()).then(|| self.find(&self.default));
        usual.unwrap_or_else(|| self.list.first()).cloned()
    }

    /// The engines in force.
    pub(crate) fn of(switch: &Switch) -> Arc<Self> {
        let state = switch.module::<InForce>();
        let mut engines = state.0.lock();
        Arc::clone(engines.get_or_insert_with(Arc::default))
    }

    /// Takes the files into use.
    pub(crate) fn configure(switch: &Switch) {
        let config = switch.config.load_full();
        let vosk = config.document("vosk.conf");
        let engines = Self::read(config.document("recognition.conf"), vosk);
        *switch.module::<InForce>().0.lock() = Some(Arc::new(engines));
    }
}

/// The engine `vosk.conf` describes.
fn vosk_of(conf: Node<'_>) -> Option<Arc<EngineConf>> {
    let settings = dialplan_xml::config::settings(Some(conf));
    let url = settings.get("server-url").unwrap_or("ws://127.0.0.1:2700").to_owned();
    let Some(target) = Target::fork(&url) else {
        tracing::error!("vosk.conf: server-url is no address");
        return None;
    };
    let json = settings.get("return-json").is_some_and(|set| text::is_true(set) || set == "1");
    Some(Arc::new(EngineConf {
        name: "vosk".to_owned(),
        kind: Kind::Vosk,
        url,
        target: Some(target),
        rate: settings.get("sample-rate").and_then(crate::start::rate).unwrap_or(8000),
        language: String::new(),
        model: String::new(),
        token: String::new(),
        result: if json { Format::Json } else { Format::Text },
        defaults: Vec::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engines(conf: &str, vosk: &str) -> Engines {
        let text =
            format!("<document><section name=\"configuration\">{conf}{vosk}</section></document>");
        let tree = dialplan_xml::parse_raw(&text, "test").tree.unwrap();
        Engines::read(tree.configuration("recognition.conf"), tree.configuration("vosk.conf"))
    }

    #[test]
    fn engines_have_names_and_one_is_the_usual_one() {
        let conf = r#"<configuration name="recognition.conf"><settings><param name="engine" value="w"/></settings>
          <engines><engine name="v"><param name="url" value="ws://h:2700"/><param name="result" value="nlsml"/></engine>
          <engine name="w"><param name="type" value="whisper"/><param name="url" value="wss://h/x"/><param name="rate" value="8000"/></engine>
          <engine name="bad"><param name="type" value="http"/><param name="url" value="ftp://h"/></engine></engines></configuration>"#;
        let read = engines(
            conf,
            r#"<configuration name="vosk.conf"><settings><param name="return-json" value="1"/></settings></configuration>"#,
        );
        assert_eq!(read.named("").unwrap().rate, 16_000);
        assert_eq!(read.named("V").unwrap().result, Format::Nlsml);
        let vosk = read.named("vosk").unwrap();
        assert_eq!((vosk.result, vosk.target.as_ref().unwrap().port), (Format::Json, 2700));
        assert!(read.named("bad").is_none() && read.named("unimrcp").is_none());
        assert!(!format!("{vosk:?}").contains("2700"));
    }
}
