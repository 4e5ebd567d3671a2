//! `audio_streams.conf`, and the environment mod_audio_fork reads.

use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::Node;
use parking_lot::Mutex;
use switch_core::contract::declare::{Parameters, Value, param};
use switch_core::switch::Switch;
use voice::dialects::fork::SUBPROTOCOL;
use voice::target::Allowed;

pub(crate) const PARAMETERS: &[Parameters] = &[Parameters {
    file: "audio_streams.conf",
    scope: "",
    list: &[
        param(
            "allow-internal-targets",
            Value::Text,
            "none",
            "Addresses inside the node's own network that streams may go to: host names, addresses, networks, or `any`",
        ),
        param("connect-timeout", Value::Number(1, 120), "10", "Seconds a connection may take"),
        param("ping-interval", Value::Number(0, 3600), "25", "Seconds between pings; 0 = none"),
        param("max-streams-per-call", Value::Number(1, 6), "6", "Streams a call may have at once"),
        param(
            "max-message-bytes",
            Value::Number(1024, 64 * 1024 * 1024),
            "4194304",
            "Longest message taken from a program; a longer one ends the stream",
        ),
        param(
            "max-playout-seconds",
            Value::Number(1, 600),
            "60",
            "Audio of a program that may wait to be heard; more is left out",
        ),
        param(
            "capture-buffer-seconds",
            Value::Number(1, 30),
            "2",
            "Audio of the call kept for a program that does not take it; the oldest is left out then",
        ),
    ],
}];

/// What is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) allowed: Allowed,
    pub(crate) connect: Duration,
    pub(crate) ping: Option<Duration>,
    pub(crate) streams: usize,
    pub(crate) message_bytes: usize,
    pub(crate) playout_ms: u64,
    pub(crate) capture_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allowed: Allowed::default(),
            connect: Duration::from_secs(10),
            ping: Some(Duration::from_secs(25)),
            streams: 6,
            message_bytes: 4 * 1024 * 1024,
            playout_ms: 60_000,
            capture_ms: 2000,
        }
    }
}

impl Settings {
    fn read(conf: Option<Node<'_>>) -> Self {
        let mut read = Self::default();
        for param in &dialplan_xml::config::settings(conf) {
            let number = || param.value.trim().parse::<u32>().ok();
            let seconds = || number().map(|n| Duration::from_secs(u64::from(n)));
            match param.name.to_ascii_lowercase().as_str() {
                "allow-internal-targets" => {
                    let (allowed, odd) = Allowed::read(&param.value);
                    read.allowed = allowed;
                    for word in odd {
                        tracing::error!("audio_streams.conf: allow-internal-targets: {word}?");
                    }
                }
                "connect-timeout" => read.connect = seconds().unwrap_or(read.connect),
                "ping-interval" => {
                    read.ping = seconds().or(read.ping).filter(|ping| !ping.is_zero());
                }
                "max-streams-per-call" => {
                    read.streams = number().map_or(read.streams, |n| n.clamp(1, 6) as usize);
                }
                "max-message-bytes" => {
                    read.message_bytes = number().map_or(read.message_bytes, |n| n as usize);
                }
                "max-playout-seconds" => {
                    read.playout_ms = number().map_or(read.playout_ms, |n| u64::from(n) * 1000);
                }
                "capture-buffer-seconds" => {
                    read.capture_ms = number().map_or(read.capture_ms, |n| u64::from(n) * 1000);
                }
                _ => {}
            }
        }
        read
    }

    /// The settings in force.
    pub(crate) fn of(switch: &Switch) -> Arc<Self> {
        let state = switch.module::<InForce>();
        let mut settings = state.0.lock();
        Arc::clone(settings.get_or_insert_with(Arc::default))
    }

    /// Takes `audio_streams.conf` into use.
    pub(crate) fn configure(switch: &Switch) {
        let config = switch.config.load_full();
        let settings = Self::read(config.document("audio_streams.conf"));
        *switch.module::<InForce>().0.lock() = Some(Arc::new(settings));
    }
}

#[derive(Default)]
struct InForce(Mutex<Option<Arc<Settings>>>);

/// The subprotocol mod_audio_fork offers.
pub(crate) fn subprotocol() -> String {
    let set = std::env::var("MOD_AUDIO_FORK_SUBPROTOCOL_NAME").ok();
    set.filter(|name| !name.is_empty()).unwrap_or_else(|| SUBPROTOCOL.to_owned())
}

/// Milliseconds of audio mod_audio_fork keeps for a program that does not take it.
pub(crate) fn fork_buffer_ms(default: u64) -> u64 {
    let set = std::env::var("MOD_AUDIO_FORK_BUFFER_SECS").ok();
    let seconds = set.and_then(|text| text.trim().parse::<u64>().ok());
    seconds.map_or(default, |seconds| seconds.clamp(1, 5) * 1000)
}
