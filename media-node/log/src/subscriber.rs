//! From `tracing` events to log lines.
//!
//! Fields with a meaning: `uuid` (the call the line is about), `clean` (the bare message, without date
//! and place), `fs_place` (another place than the line's own; the line is about a call then, unless `no_call`) and `fs_level` (a level `tracing` has no name for). Any other field is appended to the
//! message as ` name=value`. Spans carry nothing here and are ignored.

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use base::far;
use esl_server::log::{Level, LogHub, LogLine, TextChannel};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use super::calls;
use super::cpu::idle_hundredths;
use super::line::{Origin, push_shown, write_prefix};
use super::writer::{Entry, Queue};

/// Crates whose debug lines are the switch's own; of the others only warnings count.
const OWN_CRATES: &[&str] = &[
    "media_node",
    "ferroswitch",
    "base",
    "boot",
    "switch_core",
    "switch_log",
    "esl_server",
    "dialplan_xml",
    "sip",
    "media",
    "fs_cli",
];

/// What the names of modules' crates begin with.
const MODULES: &str = "mod_";

/// Source directories are not told: a line names the file only.
const NO_FILE: &str = "unknown";

pub(super) struct Lines {
    pub(super) queue: Arc<Queue>,
    pub(super) hub: Arc<LogHub>,
    /// `fsctl loglevel`: nothing above it is logged anywhere.
    pub(super) core_level: Arc<AtomicU8>,
    pub(super) zone: TimeZone,
}

impl Lines {
    fn wanted(&self, level: Level) -> bool {
        let core = level as u8 <= self.core_level.load(Ordering::Relaxed);
        (core || calls::may_want(level)) && self.somebody_reads(level)
    }

    /// A line about a call that has a level of its own keeps to that.
    fn wanted_of(&self, level: Level, uuid: &str) -> bool {
        let limit = match calls::level(uuid) {
            Some(own) => own as u8,
            None => self.core_level.load(Ordering::Relaxed),
        };
        level as u8 <= limit && self.somebody_reads(level)
    }

    fn somebody_reads(&self, level: Level) -> bool {
        self.queue.wants(level as u8) || self.hub.enabled(level)
    }

    fn write(&self, metadata: &Metadata<'_>, fields: &mut Fields) {
        let level = fields.level.unwrap_or_else(|| level_of(metadata));
        if !self.wanted_of(level, &fields.uuid) {
            return;
        }
        let (at, idle) = (Timestamp::now(), idle_hundredths());
        let place = place(&fields.place);
        let file = place.map_or_else(|| metadata.file().map_or(NO_FILE, base_name), |p| p.0);
        let line = place.map_or_else(|| metadata.line().unwrap_or(0), |p| p.2);
        let func = place.map_or_else(|| metadata.module_path().map_or("", last_segment), |p| p.1);
        let mut text = String::with_capacity(fields.message.len().saturating_add(80));
        if !fields.clean {
            let origin = Origin { at, idle, level, file, line };
            write_prefix(&mut text, &origin, &self.zone);
        }
        let message_at = text.len();
        // What is marked as a far end's is shown as it is meant.
        push_shown(&mut text, &far::plain(&fields.message));
        push_shown(&mut text, &far::plain(&fields.rest));
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let about_no_call = fields.uuid.is_empty() && (place.is_none() || fields.no_call);
        let text_channel = match (fields.clean, about_no_call) {
            (true, _) => TextChannel::LogClean,
            (false, false) => TextChannel::Session,
            (false, true) => TextChannel::Log,
        };
        let line = LogLine {
            level,
            text_channel,
            file: file.to_owned(),
            func: func.to_owned(),
            line,
            user_data: std::mem::take(&mut fields.uuid),
            text,
        };
        if self.hub.enabled(level) {
            self.hub.publish(line.clone());
        }
        if self.queue.wants(level as u8) {
            self.queue.push(Entry { line: Arc::new(line), at, idle, message_at });
        }
    }
}

impl Subscriber for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let target = metadata.target();
        let krate = target.split_once(':').map_or(target, |(krate, _)| krate);
        let own = OWN_CRATES.contains(&krate) || krate.starts_with(MODULES);
        let verbosity = if own { tracing::Level::DEBUG } else { tracing::Level::WARN };
        if metadata.is_event() && *metadata.level() <= verbosity {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // An event that names its own level may be more urgent than tracing knows.
        metadata.is_event()
            && (metadata.fields().field("fs_level").is_some() || self.wanted(level_of(metadata)))
    }

    fn event(&self, event: &Event<'_>) {
        thread_local! {
            static FIELDS: RefCell<Fields> = RefCell::default();
        }
        // A line logged while another is being formatted gets buffers of its own.
        FIELDS.with(|fields| match fields.try_borrow_mut() {
            Ok(mut fields) => self.event_with(event, &mut fields),
            Err(_) => self.event_with(event, &mut Fields::default()),
        });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Lines {
    fn event_with(&self, event: &Event<'_>, fields: &mut Fields) {
        fields.clear();
        event.record(fields);
        self.write(event.metadata(), fields);
    }
}

/// What an event carries, in buffers used again and again.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
    uuid: String,
    clean: bool,
    no_call: bool,
    level: Option<Level>,
    /// `file:function:line` that the line is to show instead of its own.
    place: String,
}

impl Fields {
    fn clear(&mut self) {
        self.message.clear();
        self.rest.clear();
        self.uuid.clear();
        self.clean = false;
        self.no_call = false;
        self.level = None;
        self.place.clear();
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "uuid" => write!(self.uuid, "{value:?}"),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            "uuid" => self.uuid.push_str(value),
            "fs_level" => self.level = Level::parse(value),
            "fs_place" => self.place.push_str(value),
            name => {
                let _ = write!(self.rest, " {name}={value:?}");
            }
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "clean" => self.clean = value,
            "no_call" => self.no_call = value,
            _ => self.record_debug(field, &value),
        }
    }
}

fn level_of(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing::Level::ERROR => Level::Err,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        _ => Level::Debug,
    }
}

/// A place as `file:function:line`.
fn place(text: &str) -> Option<(&str, &str, u32)> {
    let (file, rest) = text.split_once(':')?;
    let (function, line) = rest.split_once(':')?;
    Some((file, function, line.parse().ok()?))
}

/// The file without its directory, except where the directory is what tells files apart: `leg/mod.rs`,
/// `sofia/src/lib.rs`.
fn base_name(path: &str) -> &str {
    let Some((directory, file)) = path.rsplit_once('/') else { return path };
    if !["mod.rs", "lib.rs", "main.rs"].contains(&file) {
        return file;
    }
    let start = |directory: &str| directory.rfind('/').map_or(0, |slash| slash + 1);
    let above = directory.strip_suffix("/src").unwrap_or(directory);
    path.get(start(above)..).unwrap_or(file)
}

fn last_segment(module: &str) -> &str {
    module.rsplit("::").next().unwrap_or(module)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing::subscriber::with_default;

    use super::*;
    use crate::{log_alert, log_clean, log_console, log_crit, log_notice};

    /// Runs `work` with a reader of `level` on the hub, and returns the lines it would see.
    fn heard(level: Level, core: Level, work: impl FnOnce()) -> Vec<Arc<LogLine>> {
        let hub = LogHub::new();
        let mut lines = hub.subscribe(100, Some(level));
        let subscriber = Lines {
            queue: Queue::new(),
            hub,
            core_level: Arc::new(AtomicU8::new(core as u8)),
            zone: TimeZone::UTC,
        };
        with_default(subscriber, work);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("runtime").block_on(async {
            let mut heard = Vec::new();
            // What was published is already queued.
            while let Ok(Some(line)) = tokio::time::timeout(Duration::ZERO, lines.recv()).await {
                heard.push(line);
            }
            heard
        })
    }

    #[test]
    fn every_level_has_its_name() {
        let lines = heard(Level::Debug, Level::Debug, || {
            log_console!("m");
            log_alert!("m");
            log_crit!("m");
            tracing::error!("m");
            tracing::warn!("m");
            log_notice!("m");
            tracing::info!("m");
            tracing::debug!("m");
            tracing::trace!("never");
        });
        let levels: Vec<Level> = lines.iter().map(|line| line.level).collect();
        assert_eq!(levels, Level::EVERY);
    }

    #[test]
    fn a_line_has_the_reference_shape() {
        let lines = heard(Level::Debug, Level::Debug, || {
            tracing::info!(peer = %"10.0.0.1", tries = 3, "Registered {}", "1000");
        });
        let text = &lines[0].text;
        let (date, rest) = text.split_at("2024-03-05 10:11:12.000123".len());
        assert!(date.bytes().zip(*b"dddd-dd-dd dd:dd:dd.dddddd").all(|(byte, shape)| {
            if shape == b'd' { byte.is_ascii_digit() } else { byte == shape }
        }));
        let (idle, rest) = rest.trim_start().split_once("% ").expect("idle CPU");
        assert!(idle.parse::<f64>().is_ok_and(|idle| (0.0..=100.0).contains(&idle)), "{idle}");
        let place = format!("[INFO] subscriber.rs:{} ", lines[0].line);
        assert_eq!(rest, format!("{place}Registered 1000 peer=10.0.0.1 tries=3\n"));
        assert_eq!(lines[0].file, "subscriber.rs");
        assert_eq!(lines[0].func, "tests");
        assert_eq!(lines[0].text_channel, TextChannel::Log);
    }

    #[test]
    fn files_are_named_so_that_they_can_be_told_apart() {
        assert_eq!(base_name("media-node/src/sofia/profile.rs"), "profile.rs");
        assert_eq!(base_name("media-node/src/sofia/mod.rs"), "sofia/mod.rs");
        assert_eq!(base_name("media-node/modules/sofia/src/lib.rs"), "sofia/src/lib.rs");
        assert_eq!(base_name("src/main.rs"), "src/main.rs");
        assert_eq!(base_name("mod.rs"), "mod.rs");
    }

    #[test]
    fn lines_of_a_call_carry_its_uuid_beside_the_text() {
        let uuid = "8b192020-7368-4498-9b11-cbe10f48a784";
        let lines = heard(Level::Debug, Level::Debug, || {
            tracing::debug!(uuid = %uuid, "State Change");
            log_clean!(uuid = uuid, "EXECUTE [depth=0] answer()");
        });
        assert_eq!(lines[0].user_data, uuid);
        assert!(lines[0].text.ends_with("State Change\n"), "{}", lines[0].text);
        assert_eq!(lines[0].text_channel, TextChannel::Session);
        assert_eq!(lines[1].user_data, uuid);
        assert_eq!(lines[1].text, "EXECUTE [depth=0] answer()\n");
        assert_eq!(lines[1].text_channel, TextChannel::LogClean);
    }

    #[test]
    fn the_core_level_silences_everybody() {
        let lines = heard(Level::Debug, Level::Warning, || {
            tracing::info!("no");
            log_notice!("no");
            tracing::warn!("yes");
        });
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn readers_get_no_more_than_they_asked_for() {
        let lines = heard(Level::Notice, Level::Debug, || {
            tracing::info!("no");
            log_notice!("yes");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].level, Level::Notice);
    }

    #[test]
    fn strangers_are_heard_only_when_they_warn() {
        let lines = heard(Level::Debug, Level::Debug, || {
            tracing::debug!(target: "mio::poll", "no");
            tracing::debug!(target: "sipper", "no");
            tracing::warn!(target: "mio::poll", "yes");
            tracing::debug!(target: "sip::transaction", "yes");
        });
        assert_eq!(lines.len(), 2);
    }
}
