//! `hiredis.conf`.

use std::time::Duration;

use base::text::{int, is_true};
use dialplan_xml::Node;
use dialplan_xml::config::Params;

/// Servers of one profile that are read.
const MOST_CONNECTIONS: usize = 16;
/// Longest time speech is kept, seconds.
const MOST_SPEECH_TTL: u64 = 31_536_000;
/// Most bytes of speech under one key.
const MOST_SPEECH: usize = 64 << 20;

/// What is wrong with the file. FreeSWITCH does not load the module then either.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// No `<profiles>`.
    #[error("Profiles config is missing")]
    NoProfiles,
    /// A profile without `<connections>`.
    #[error("Profile->connections config is missing")]
    NoConnections,
}

/// A server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) password: Option<String>,
    /// For a connection, and for an answer.
    pub(crate) timeout: Duration,
    pub(crate) connections: usize,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({}:{})", self.host, self.port)
    }
}

/// Calls kept as keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallState {
    pub(crate) prefix: String,
    pub(crate) channel: String,
    pub(crate) ttl: Duration,
}

/// Speech that switches share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpeechSettings {
    pub(crate) prefix: String,
    pub(crate) ttl: Duration,
    /// Most bytes of an entry.
    pub(crate) largest: usize,
    /// How long a call waits for an entry.
    pub(crate) timeout: Duration,
}

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) servers: Vec<Server>,
    pub(crate) ignore_connect_fail: bool,
    pub(crate) ignore_error: bool,
    pub(crate) delete_when_zero: bool,
    /// Commands on their way on a connection.
    pub(crate) pipelined: usize,
    pub(crate) calls: Option<CallState>,
    pub(crate) speech: Option<SpeechSettings>,
}

impl Settings {
    /// The profiles of the file.
    pub(crate) fn read(conf: Node<'_>) -> Result<Vec<Self>, SettingsError> {
        let profiles = conf.child("profiles").ok_or(SettingsError::NoProfiles)?;
        profiles.children_named("profile").map(profile).collect()
    }
}

fn profile(node: Node<'_>) -> Result<Settings, SettingsError> {
    let params = Params::read(node.child("params"), "param");
    let on = |name: &str| params.last(name).is_some_and(is_true);
    let text = |name: &str, default: &str| params.last(name).unwrap_or(default).to_owned();
    let servers = node.child("connections").ok_or(SettingsError::NoConnections)?;
    let number = |name: &str| params.last(name).and_then(|text| u64::try_from(int(text)).ok());
    Ok(Settings {
        name: node.attr("name").unwrap_or_default().to_owned(),
        servers: servers.children_named("connection").take(MOST_CONNECTIONS).map(server).collect(),
        ignore_connect_fail: on("ignore-connect-fail"),
        ignore_error: on("ignore-error"),
        delete_when_zero: on("delete-when-zero"),
        pipelined: count(&params, "max-pipelined-requests", 20),
        calls: on("call-state").then(|| CallState {
            prefix: text("key-prefix", ""),
            channel: text("call-channel", "call-events"),
            ttl: Duration::from_secs(number("session-ttl").unwrap_or(300).clamp(15, 86_400)),
        }),
        speech: on("tts-cache").then(|| SpeechSettings {
            prefix: text("key-prefix", ""),
            ttl: Duration::from_secs(
                number("tts-cache-ttl").unwrap_or(604_800).clamp(1, MOST_SPEECH_TTL),
            ),
            largest: usize::try_from(number("tts-cache-largest").unwrap_or(1_048_576))
                .unwrap_or(MOST_SPEECH)
                .clamp(1000, MOST_SPEECH),
            timeout: Duration::from_millis(
                number("tts-cache-timeout-ms").unwrap_or(200).clamp(1, 5000),
            ),
        }),
    })
}

fn server(node: Node<'_>) -> Server {
    let params = Params::read(Some(node), "param");
    let set = |name: &str| params.last(name).filter(|text| !text.is_empty());
    let timeout = set("timeout-ms").or_else(|| set("timeout_ms")).map_or(0, int);
    let timeout = u64::try_from(timeout).ok().filter(|ms| *ms > 0).unwrap_or(500).min(60_000);
    let port = set("port").and_then(|text| u16::try_from(int(text)).ok());
    Server {
        host: set("hostname").unwrap_or("localhost").to_owned(),
        port: port.filter(|port| *port > 0).unwrap_or(6379),
        password: set("password").map(str::to_owned),
        timeout: Duration::from_millis(timeout),
        connections: count(&params, "max-connections", 3),
    }
}

fn count(params: &Params, name: &str, default: usize) -> usize {
    let set = params.last(name).and_then(|text| usize::try_from(int(text)).ok());
    set.filter(|count| *count > 0).unwrap_or(default).min(10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inner: &str) -> Result<Vec<Settings>, SettingsError> {
        let text = format!(
            "<document><section name=\"configuration\"><configuration name=\"hiredis.conf\">{inner}</configuration></section></document>"
        );
        let tree = dialplan_xml::parse_raw(&text, "test").tree.unwrap();
        Settings::read(tree.configuration("hiredis.conf").unwrap())
    }

    #[test]
    fn a_profile_is_read_with_its_servers_in_order() {
        let profiles = read(
            "<profiles><profile name=\"default\"><connections>\
             <connection name=\"primary\"><param name=\"hostname\" value=\"one\"/><param name=\"password\" value=\"hush\"/>\
             <param name=\"port\" value=\"6380\"/><param name=\"timeout_ms\" value=\"250\"/></connection>\
             <connection name=\"secondary\"/></connections>\
             <params><param name=\"ignore-connect-fail\" value=\"true\"/><param name=\"call-state\" value=\"true\"/>\
             <param name=\"session-ttl\" value=\"1\"/><param name=\"tts-cache\" value=\"true\"/>\
             <param name=\"tts-cache-largest\" value=\"1\"/></params></profile></profiles>",
        )
        .unwrap();
        let profile = &profiles[0];
        assert!(profile.ignore_connect_fail && !profile.ignore_error);
        let (one, two) = (&profile.servers[0], &profile.servers[1]);
        assert_eq!((one.port, one.timeout.as_millis(), one.connections), (6380, 250, 3));
        assert_eq!((two.host.as_str(), two.port, &two.password), ("localhost", 6379, &None));
        assert_eq!(profile.calls.as_ref().unwrap().ttl.as_secs(), 15);
        let speech = profile.speech.as_ref().unwrap();
        assert_eq!((speech.ttl.as_secs(), speech.largest), (604_800, 1000));
        assert_eq!(speech.timeout.as_millis(), 200);
        assert!(!format!("{profiles:?}").contains("hush"));
    }

    #[test]
    fn what_the_reference_does_not_load_is_refused() {
        assert_eq!(read("").unwrap_err(), SettingsError::NoProfiles);
        let error = read("<profiles><profile name=\"x\"/></profiles>").unwrap_err();
        assert_eq!(error, SettingsError::NoConnections);
    }
}
