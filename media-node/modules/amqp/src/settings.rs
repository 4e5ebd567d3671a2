//! `amqp.conf`.

use std::time::Duration;

use dialplan_xml::Node;
use dialplan_xml::config::Params;
use esl_server::Level;
use esl_server::event::EventName;
use switch_core::text::{int, is_true};

use crate::routing::KeyPart;

/// Connections of one profile that are tried in turn.
const MOST_CONNECTIONS: usize = 16;
/// Bytes that may wait on disk for one profile, unless the file says otherwise.
const SPOOL: u64 = 256 << 20;
/// Longest name of an exchange, a queue or a key in the protocol, bytes.
pub(crate) const LONGEST_NAME: usize = 255;

/// What is wrong with the file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    /// A profile without a name.
    #[error("a profile of {0} has no name")]
    Nameless(&'static str),
    /// A profile that cannot connect to anything.
    #[error("the profile {0} has no connection")]
    NoConnection(String),
    /// A name the protocol has no room for.
    #[error("the profile {0} has a name longer than {LONGEST_NAME} bytes")]
    TooLong(String),
}

/// A broker.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) vhost: String,
    pub(crate) user: String,
    pub(crate) password: String,
    /// Seconds; 0 is none.
    pub(crate) heartbeat: u16,
    pub(crate) tls: bool,
    /// Authorities, PEM; the system's when absent.
    pub(crate) authorities: Option<String>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Broker({} {}:{})", self.name, self.host, self.port)
    }
}

/// What all profiles have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Common {
    pub(crate) brokers: Vec<Broker>,
    pub(crate) exchange: String,
    pub(crate) exchange_type: String,
    pub(crate) exchange_durable: bool,
    pub(crate) reconnect: Duration,
    /// Events or lines that may wait in memory.
    pub(crate) queue: usize,
    pub(crate) spool: u64,
    /// After a message was dropped, others are for so long.
    pub(crate) breaker: Duration,
    /// `delivery-mode`, where it is set.
    pub(crate) delivery_mode: Option<u8>,
    pub(crate) timestamp: bool,
    pub(crate) content_type: String,
}

/// Publishes events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) name: String,
    pub(crate) common: Common,
    pub(crate) key: Vec<KeyPart>,
    /// Types and, for `CUSTOM^subclass`, their subclass.
    pub(crate) events: Vec<(EventName, Option<String>)>,
}

/// Publishes a few messages per call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VoiceBus {
    pub(crate) name: String,
    pub(crate) common: Common,
}

/// Runs commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commands {
    pub(crate) name: String,
    pub(crate) common: Common,
    pub(crate) queue_name: String,
    pub(crate) binding_key: String,
    pub(crate) passive: bool,
    pub(crate) durable: bool,
    pub(crate) exclusive: bool,
    pub(crate) auto_delete: bool,
}

/// Publishes log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logging {
    pub(crate) name: String,
    pub(crate) common: Common,
    pub(crate) levels: Vec<Level>,
}

/// All profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) producers: Vec<Producer>,
    pub(crate) buses: Vec<VoiceBus>,
    pub(crate) commands: Vec<Commands>,
    pub(crate) logging: Vec<Logging>,
}

impl Settings {
    pub(crate) fn read(conf: Node<'_>) -> Result<Self, SettingsError> {
        let profiles = |section: &'static str| {
            let list = conf.child(section).into_iter();
            list.flat_map(|list| list.children_named("profile")).map(move |node| {
                let name = node.attr("name").filter(|name| !name.is_empty());
                name.map(|name| (name.to_owned(), node)).ok_or(SettingsError::Nameless(section))
            })
        };
        let mut read = Self::default();
        for profile in profiles("producers") {
            let (name, node) = profile?;
            read.producers.push(producer(name, node)?);
        }
        for profile in profiles("voice-bus") {
            let (name, node) = profile?;
            let common = common(&name, node, "voice-bus")?;
            read.buses.push(VoiceBus { name, common });
        }
        for profile in profiles("commands") {
            let (name, node) = profile?;
            read.commands.push(commands(name, node)?);
        }
        for profile in profiles("logging") {
            let (name, node) = profile?;
            let common = common(&name, node, "TAP.Logging")?;
            let levels = params(node).last("log-levels").map_or_else(Vec::new, levels);
            read.logging.push(Logging { name, common, levels });
        }
        Ok(read)
    }
}

fn params(node: Node<'_>) -> Params {
    Params::read(node.child("params"), "param")
}

fn common(name: &str, node: Node<'_>, exchange: &str) -> Result<Common, SettingsError> {
    let connections = node.child("connections").into_iter();
    let brokers: Vec<Broker> = connections
        .flat_map(|list| list.children_named("connection"))
        .map(broker)
        .take(MOST_CONNECTIONS)
        .collect();
    if brokers.is_empty() {
        return Err(SettingsError::NoConnection(name.to_owned()));
    }
    let params = params(node);
    let number = |key: &str, default: u64| {
        let set = params.last(key).map(int).and_then(|number| u64::try_from(number).ok());
        set.filter(|number| *number > 0).unwrap_or(default)
    };
    let text = |key: &str, default: &str| {
        params.last(key).filter(|text| !text.is_empty()).unwrap_or(default).to_owned()
    };
    let on = |key: &str| params.last(key).is_none_or(is_true);
    let common = Common {
        brokers,
        exchange: text("exchange-name", exchange),
        exchange_type: text("exchange-type", "topic"),
        exchange_durable: on("exchange-durable"),
        reconnect: Duration::from_millis(number("reconnect_interval_ms", 1000)),
        queue: usize::try_from(number("send_queue_size", 5000)).unwrap_or(5000).min(1 << 20),
        spool: number("spool-max-bytes", SPOOL),
        breaker: Duration::from_millis(number("circuit_breaker_ms", 10_000)),
        delivery_mode: params
            .last("delivery-mode")
            .and_then(|text| u8::try_from(int(text)).ok())
            .filter(|mode| *mode > 0),
        timestamp: on("delivery-timestamp"),
        content_type: text("content-type", "text/json"),
    };
    let names = [&common.exchange, &common.exchange_type, &common.content_type];
    if names.iter().any(|name| name.len() > LONGEST_NAME) {
        return Err(SettingsError::TooLong(name.to_owned()));
    }
    Ok(common)
}

fn broker(node: Node<'_>) -> Broker {
    let params = Params::read(Some(node), "param");
    let text = |key: &str, default: &str| params.last(key).unwrap_or(default).to_owned();
    let number = |key: &str| params.last(key).and_then(|text| u16::try_from(int(text)).ok());
    let tls = params.last("ssl_on").is_some_and(is_true);
    Broker {
        name: node.attr("name").unwrap_or("unnamed").to_owned(),
        host: text("hostname", "localhost"),
        port: number("port").filter(|port| *port > 0).unwrap_or(if tls { 5671 } else { 5672 }),
        vhost: text("virtualhost", "/"),
        user: text("username", "guest"),
        password: text("password", "guest"),
        heartbeat: number("heartbeat").unwrap_or(0),
        tls,
        authorities: params.last("ssl_cacert_file").filter(|f| !f.is_empty()).map(str::to_owned),
    }
}

fn producer(name: String, node: Node<'_>) -> Result<Producer, SettingsError> {
    let common = common(&name, node, "TAP.Events")?;
    let params = params(node);
    let fallback = params.last("enable_fallback_format_fields").is_some_and(|text| int(text) > 0);
    let key =
        params.last("format_fields").map_or_else(Vec::new, |text| KeyPart::read(text, fallback));
    let mut events = Vec::new();
    for word in params.last("event_filter").unwrap_or("ALL").split(',').map(str::trim) {
        let (name, subclass) = match word.split_once('^') {
            Some((name, subclass)) => (name, Some(subclass.to_owned())),
            None => (word, None),
        };
        match EventName::parse(name) {
            Some(event) => events.push((event, subclass)),
            None => {
                tracing::error!(fs_level = "CRIT", "The switch event {name} was not recognised.")
            }
        }
    }
    Ok(Producer { name, common, key, events })
}

fn commands(name: String, node: Node<'_>) -> Result<Commands, SettingsError> {
    let common = common(&name, node, "TAP.Commands")?;
    let params = params(node);
    let text = |key: &str, default: &str| params.last(key).unwrap_or(default).to_owned();
    let on = |key: &str, default: bool| params.last(key).map_or(default, is_true);
    let read = Commands {
        common,
        queue_name: text("queue-name", ""),
        binding_key: text("binding_key", "commandBindingKey"),
        passive: on("queue-passive", false),
        durable: on("queue-durable", false),
        exclusive: on("queue-exclusive", false),
        auto_delete: on("queue-auto-delete", true),
        name,
    };
    if [&read.queue_name, &read.binding_key].iter().any(|name| name.len() > LONGEST_NAME) {
        return Err(SettingsError::TooLong(read.name));
    }
    Ok(read)
}

/// `debug,info,err`; `all` is every level.
fn levels(text: &str) -> Vec<Level> {
    let words = || text.split(',').map(str::trim);
    if words().any(|word| word.eq_ignore_ascii_case("all")) {
        return Level::EVERY.to_vec();
    }
    words().filter_map(Level::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inner: &str) -> Result<Settings, SettingsError> {
        let text = format!(
            "<document><section name=\"configuration\"><configuration name=\"amqp.conf\">{inner}</configuration></section></document>"
        );
        let tree = dialplan_xml::parse_raw(&text, "test").tree.unwrap();
        Settings::read(tree.configuration("amqp.conf").unwrap())
    }

    const CONNECTIONS: &str = "<connections><connection name=\"one\"><param name=\"hostname\" value=\"mq\"/>\
         <param name=\"port\" value=\"5673\"/><param name=\"password\" value=\"hush\"/></connection>\
         <connection name=\"two\"/></connections>";

    #[test]
    fn profiles_are_read_as_the_reference_writes_them() {
        let settings = read(&format!(
            "<producers><profile name=\"default\">{CONNECTIONS}<params><param name=\"exchange-name\" value=\"TAP.Events\"/>\
             <param name=\"send_queue_size\" value=\"7\"/><param name=\"format_fields\" value=\"#FreeSWITCH,Event-Name\"/>\
             <param name=\"event_filter\" value=\"SWITCH_EVENT_DTMF,CUSTOM^sofia::register,NONSENSE\"/></params></profile></producers>\
             <logging><profile name=\"default\">{CONNECTIONS}<params><param name=\"log-levels\" value=\"err,crit\"/></params></profile></logging>"
        ))
        .unwrap();
        let producer = &settings.producers[0];
        assert_eq!((producer.common.brokers.len(), producer.common.queue), (2, 7));
        assert_eq!(
            (producer.common.brokers[0].port, producer.common.brokers[1].port),
            (5673, 5672)
        );
        assert_eq!(
            producer.events,
            [(EventName::Dtmf, None), (EventName::Custom, Some("sofia::register".into()))]
        );
        assert_eq!(settings.logging[0].levels, [Level::Err, Level::Crit]);
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn a_profile_needs_a_connection() {
        let error = read("<commands><profile name=\"default\"/></commands>").unwrap_err();
        assert_eq!(error, SettingsError::NoConnection("default".into()));
    }
}
