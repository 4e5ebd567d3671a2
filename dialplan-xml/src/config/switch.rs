//! The core's own settings.

use std::collections::BTreeSet;

use super::{Params, log_level, settings};
use crate::Node;
use crate::declare::{Parameter, Parameters, Value, param};
use crate::text::{is_true, leading_integer};

/// What is honoured of `switch.conf`.
pub const PARAMETERS: &[Parameters] =
    &[Parameters { file: "switch.conf", scope: "", list: SETTINGS }];

const DIGIT: Value = Value::Clamped(DTMF_MIN as i64, DTMF_MAX as i64);
const COUNT: Value = Value::Number(1, u32::MAX as i64);

const SETTINGS: &[Parameter] = &[
    param("switchname", Value::Text, "host's name", "Name of the switch, in events and headers"),
    param("max-sessions", COUNT, "1000", "Calls at once"),
    param("sessions-per-second", COUNT, "30", "New calls a second"),
    param(
        "min-idle-cpu",
        Value::Number(0, 100),
        "0",
        "Percent of idle CPU below which new calls are refused",
    ),
    param("loglevel", Value::Level, "debug", "Log lines above this level are not made"),
    param("event-heartbeat-interval", Value::Seconds, "20", "Seconds between HEARTBEAT events"),
    param("rtp-start-port", Value::Port, "16384", "First port of RTP"),
    param("rtp-end-port", Value::Port, "32768", "Last port of RTP"),
    param("min-dtmf-duration", DIGIT, "400", "Shortest digit, samples at 8 kHz"),
    param("default-dtmf-duration", DIGIT, "2000", "Digit without a length, samples at 8 kHz"),
    param("max-dtmf-duration", DIGIT, "192000", "Longest digit, samples at 8 kHz"),
    param("api-expansion", Value::Bool, "true", "`${command(…)}` runs commands"),
    param("verbose-channel-events", Value::Bool, "false", "Events of calls carry all variables"),
    param("multiple-registrations", Value::Bool, "false", "Not read")
        .no_effect("profiles have a parameter of this name"),
];

/// `switch.conf`, and `post_load_switch.conf`, which looks the same.
#[derive(Clone, Debug)]
pub struct SwitchConf {
    /// `<settings>`, everything as written.
    pub settings: Params,
    /// `<variables>`: become global variables.
    pub variables: Params,
    /// `<cli-keybindings>`: key number, 1 to 12, and command.
    pub keybindings: Vec<(u8, String)>,
    /// `<default-ptimes>`: codec and milliseconds.
    pub default_ptimes: Vec<(String, u32)>,
    /// `switchname`.
    pub switchname: Option<String>,
    /// `max-sessions`.
    pub max_sessions: u32,
    /// `sessions-per-second`.
    pub sessions_per_second: u32,
    /// `loglevel`, 0 to 7; `None` when disabled.
    pub loglevel: Option<u8>,
    /// `rtp-start-port`.
    pub rtp_start_port: u16,
    /// `rtp-end-port`.
    pub rtp_end_port: u16,
    /// `event-heartbeat-interval`, seconds.
    pub event_heartbeat_interval: u32,
    /// `min-dtmf-duration`, 8 kHz samples.
    pub min_dtmf_duration: u32,
    /// `default-dtmf-duration`, 8 kHz samples.
    pub default_dtmf_duration: u32,
    /// `max-dtmf-duration`, 8 kHz samples.
    pub max_dtmf_duration: u32,
    /// `api-expansion`: whether `${api()}` runs.
    pub api_expansion: bool,
    /// `verbose-channel-events`.
    pub verbose_channel_events: bool,
    /// `<interface-allowlist>`.
    pub allowlist: Allowlist,
}

/// `<interface-allowlist>`, which the reference's next version has: the only applications and commands there are, once it has
/// an entry. An entry is a module, a module and a name with a dot between, or both and a kind (`app`, `api`, `json_api`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowlist {
    /// In lower case.
    entries: BTreeSet<String>,
    /// The section is there.
    present: bool,
}

impl Allowlist {
    fn add(&mut self, list: Option<Node<'_>>) {
        self.present |= list.is_some();
        let entries = list.into_iter().flat_map(|list| list.children_named("allow"));
        let names = entries.filter_map(|entry| entry.attr("name")).filter(|name| !name.is_empty());
        self.entries.extend(names.map(str::to_ascii_lowercase));
    }

    /// Whether it refuses anything.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Whether it is there and has no entry that can be read: nothing is enforced then.
    #[must_use]
    pub fn is_empty_by_mistake(&self) -> bool {
        self.present && self.entries.is_empty()
    }

    /// Whether a module may bring something of that kind and name.
    #[must_use]
    pub fn allows(&self, module: &str, name: &str, kind: &str) -> bool {
        let module = module.to_ascii_lowercase();
        let named = format!("{module}.{}", name.to_ascii_lowercase());
        !self.is_active()
            || self.entries.contains(&module)
            || self.entries.contains(&format!("{named}.{kind}"))
            || self.entries.contains(&named)
    }
}

/// Shortest digit, 8 kHz samples.
const DTMF_MIN: u32 = 400;
/// Longest digit, 8 kHz samples.
const DTMF_MAX: u32 = 192_000;

impl Default for SwitchConf {
    fn default() -> Self {
        Self {
            settings: Params::default(),
            variables: Params::default(),
            keybindings: Vec::new(),
            default_ptimes: Vec::new(),
            switchname: None,
            max_sessions: 1000,
            sessions_per_second: 30,
            loglevel: Some(7),
            rtp_start_port: 16384,
            rtp_end_port: 32768,
            event_heartbeat_interval: 20,
            min_dtmf_duration: DTMF_MIN,
            default_dtmf_duration: 2000,
            max_dtmf_duration: DTMF_MAX,
            api_expansion: true,
            verbose_channel_events: false,
            allowlist: Allowlist::default(),
        }
    }
}

impl SwitchConf {
    /// Reads the element; see [`crate::config`]. Later settings win.
    pub fn read(conf: Option<Node<'_>>) -> Self {
        Self::default().over(conf)
    }

    /// The same settings with those of another element over them: `post_load_switch.conf`.
    #[must_use]
    pub fn over(mut self, conf: Option<Node<'_>>) -> Self {
        let list = |name| conf.and_then(|c| c.child(name));
        for param in &settings(conf) {
            self.apply(&param.name.to_ascii_lowercase(), &param.value);
            self.settings.push(param.clone());
        }
        for variable in &Params::read(list("variables"), "variable") {
            self.variables.push(variable.clone());
        }
        self.keybindings.extend(keybindings(list("cli-keybindings")));
        self.default_ptimes.extend(default_ptimes(list("default-ptimes")));
        self.allowlist.add(list("interface-allowlist"));
        // The shortest and the longest digit make room for the default one.
        self.min_dtmf_duration = self.min_dtmf_duration.min(self.default_dtmf_duration);
        self.max_dtmf_duration = self.max_dtmf_duration.max(self.default_dtmf_duration);
        self
    }

    fn apply(&mut self, name: &str, value: &str) {
        let number = |old: u32| u32::try_from(leading_integer(value)).unwrap_or(old);
        let port = |old: u16| u16::try_from(leading_integer(value)).unwrap_or(old);
        let duration = || number(0).clamp(DTMF_MIN, DTMF_MAX);
        match name {
            "switchname" if !value.is_empty() => self.switchname = Some(value.to_owned()),
            "max-sessions" => self.max_sessions = number(self.max_sessions),
            "sessions-per-second" => self.sessions_per_second = number(self.sessions_per_second),
            "loglevel" => self.loglevel = log_level(value).unwrap_or(self.loglevel),
            "rtp-start-port" => self.rtp_start_port = port(self.rtp_start_port),
            "rtp-end-port" => self.rtp_end_port = port(self.rtp_end_port),
            "event-heartbeat-interval" => {
                self.event_heartbeat_interval = number(self.event_heartbeat_interval);
            }
            "min-dtmf-duration" => self.min_dtmf_duration = duration(),
            "default-dtmf-duration" => self.default_dtmf_duration = duration(),
            "max-dtmf-duration" => self.max_dtmf_duration = duration(),
            "api-expansion" => self.api_expansion = is_true(value),
            "verbose-channel-events" => self.verbose_channel_events = is_true(value),
            _ => {}
        }
    }
}

fn keybindings(list: Option<Node<'_>>) -> Vec<(u8, String)> {
    let keys = Params::read(list, "key");
    let key = |p: &super::Param| {
        let number = u8::try_from(leading_integer(&p.name)).ok()?;
        (1..=12).contains(&number).then(|| (number, p.value.to_string()))
    };
    keys.iter().filter_map(key).collect()
}

/// G723 and iLBC have fixed packet times and are refused.
fn default_ptimes(list: Option<Node<'_>>) -> Vec<(String, u32)> {
    let codecs = list.into_iter().flat_map(|l| l.children_named("codec"));
    let codec = |node: Node<'_>| {
        let name = node.attr("name")?;
        let fixed = ["G723", "iLBC"].iter().any(|f| f.eq_ignore_ascii_case(name));
        let ptime = u32::try_from(leading_integer(node.attr("ptime")?)).ok()?;
        (!fixed && ptime > 0).then(|| (name.to_owned(), ptime))
    };
    codecs.filter_map(codec).collect()
}
