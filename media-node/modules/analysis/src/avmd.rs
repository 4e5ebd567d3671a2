//! mod_avmd: the beep of an answering machine.

use std::sync::Arc;
use std::time::Duration;

use esl_server::event::Event;
use parking_lot::Mutex;
use switch_core::api;
use switch_core::api::{Api, ApiCall};
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Channel, Direction, Session};
use switch_core::contract::declare::{
    EventKind, Parameter, Parameters, Value, Variable, event, param, reads, sets,
};
use switch_core::switch::Switch;
use switch_core::text;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use voice::beep::{Beep, Listener};

use crate::call_audio::CallAudio;

const SYNTAX: &str = "<uuid> < start | stop | set [inbound|outbound|default] | load [inbound|outbound] | reload | show >";
/// How often the call is listened to.
const TICK: Duration = Duration::from_millis(20);

pub(crate) const APPS: &[App] = &[
    app!("avmd_start", "mod_avmd", Flags::NONE, "", "Start avmd detection", start),
    app!("avmd_stop", "mod_avmd", Flags::NONE, "", "Stop avmd detection", stop_app),
    app!(
        "avmd",
        "mod_avmd",
        Flags::NONE,
        "<uuid> < start | stop | set [inbound|outbound|default] | load [inbound|outbound] | reload | show >",
        "Advanced detection of voicemail beeps",
        start_or_stop
    ),
];

pub(crate) const APIS: &[Api] =
    &[api!("avmd", "mod_avmd", SYNTAX, "Voicemail beep detection", command)];

const OWN: &str = "the detector is another: one steady, pure tone for 180 ms";

const fn idle(name: &'static str, default: &'static str, what: &'static str) -> Parameter {
    param(name, Value::Number(0, 1000), default, what).no_effect(OWN)
}

#[rustfmt::skip]
pub(crate) const PARAMETERS: &[Parameters] = &[Parameters { file: "avmd.conf", scope: "", list: &[
    param("inbound_channel", Value::Bool, "0", "Inbound legs are listened to: what they hear"),
    param("outbound_channel", Value::Bool, "1", "Outbound legs are listened to: what they say"),
    param("report_status", Value::Bool, "1", "Beeps, starts and stops are logged"),
    idle("debug", "0", "Computations are logged"),
    idle("fast_math", "0", "A table of cosines"),
    idle("require_continuous_streak", "1", "Estimates must follow each other"),
    idle("sample_n_continuous_streak", "3", "So many of them"),
    idle("sample_n_to_skip", "0", "Samples left out at the beginning of a frame"),
    idle("require_continuous_streak_amp", "1", "The same for the amplitude"),
    idle("sample_n_continuous_streak_amp", "3", "So many of them"),
    idle("simplified_estimation", "1", "An approximation of the sine"),
    idle("detection_mode", "2", "Amplitude, frequency or both"),
    idle("detectors_n", "36", "Threads of a session"),
    idle("detectors_lagged_n", "1", "More of them"),
] }];

#[rustfmt::skip]
pub(crate) const VARIABLES: &[Variable] = &[
    reads("execute_on_avmd_beep", Value::Text, "Application that is run at a beep"),
    sets("avmd_detect", "`TRUE` once a beep was heard"),
    sets("avmd_total_time", "Milliseconds until then, in brackets"),
];

#[rustfmt::skip]
pub(crate) const EVENTS: &[EventKind] = &[
    event("avmd::beep", "A beep was heard"),
    event("avmd::start", "A call is listened to for beeps"),
    event("avmd::stop", "It is no more"),
];

/// What is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Settings {
    inbound: bool,
    outbound: bool,
    report: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { inbound: false, outbound: true, report: true }
    }
}

impl Settings {
    /// Sets one of them.
    fn set(&mut self, name: &str, value: &str) {
        let yes = text::is_true(value.trim()) || value.trim() == "1";
        match name.trim() {
            "inbound_channel" => self.inbound = yes,
            "outbound_channel" => self.outbound = yes,
            "report_status" => self.report = yes,
            _ => {}
        }
    }
}

#[derive(Default)]
struct InForce(Mutex<Settings>);

/// Takes `avmd.conf` into use.
pub(crate) fn configure(switch: &Switch) {
    let config = switch.config.load_full();
    let mut settings = Settings::default();
    for param in &dialplan_xml::config::settings(config.document("avmd.conf")) {
        settings.set(&param.name, &param.value);
    }
    *switch.module::<InForce>().0.lock() = settings;
}

/// The detection of a call: dropping it ends it.
#[derive(Default)]
struct Running(Option<watch::Sender<bool>>);

/// Why none was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Started,
    Direction,
    NoMedia,
}

fn begin(channel: &Arc<Channel>, settings: Settings) -> Result<(), Refused> {
    let outbound = channel.direction() == Direction::Outbound;
    if !(outbound && settings.outbound || !outbound && settings.inbound) {
        return Err(Refused::Direction);
    }
    if channel.with(|data| data.slot::<Running>().0.is_some()) {
        return Err(Refused::Started);
    }
    // On an inbound leg a beep comes from the leg it is bridged to: what it hears.
    let audio = CallAudio::new(channel, !outbound).ok_or(Refused::NoMedia)?;
    let (sender, stopped) = watch::channel(false);
    channel.with(|data| data.slot::<Running>().0 = Some(sender));
    let detection = Detection {
        channel: Arc::clone(channel),
        audio,
        other: !outbound,
        report: settings.report,
        begun: Instant::now(),
        begun_us: switch_core::clock::now_us(),
        detected: false,
    };
    detection.fire("avmd::start", |event| {
        event.push("Start-time", detection.begun_us.to_string());
    });
    tokio::spawn(async move {
        let _logged = switch_core::tasks::step("avmd", detection.run(stopped)).await;
    });
    Ok(())
}

/// Ends it. False when there is none.
fn stop(channel: &Channel) -> bool {
    channel.with(|data| data.slot::<Running>().0.take().is_some())
}

struct Detection {
    channel: Arc<Channel>,
    audio: CallAudio,
    /// The other side's audio, of both.
    other: bool,
    report: bool,
    begun: Instant,
    begun_us: i64,
    detected: bool,
}

impl Detection {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut listener = Listener::default();
        let mut own = Vec::new();
        loop {
            tokio::select! {
                _gone = stopped.changed() => break,
                _ = clock.tick() => {}
            }
            if !self.channel.is_up() {
                break;
            }
            let (heard, rate) = self.audio.hear(&self.channel);
            let beep = if self.other {
                own.clear();
                own.extend(heard.iter().skip(1).step_by(2));
                listener.hear(&own, rate)
            } else {
                listener.hear(heard, rate)
            };
            if let Some(beep) = beep {
                self.beep(beep);
            }
        }
        stop(&self.channel);
        let total = self.begun.elapsed().as_micros();
        let status = if self.detected { "DETECTED" } else { "NOTDETECTED" };
        self.fire("avmd::stop", |event| {
            event.push("Beep-Status", status);
            event.push("Total-time", total.to_string());
        });
        self.log(&format!("stopped, {status}"));
    }

    fn beep(&mut self, beep: Beep) {
        self.detected = true;
        let took = self.begun.elapsed();
        self.channel.set_vars([
            ("avmd_total_time", format!("[{}]", took.as_millis())),
            ("avmd_detect", "TRUE".to_owned()),
        ]);
        let _busy = self
            .channel
            .job(Box::new(|session| Box::pin(async move { session.run_hooks("avmd_beep").await })));
        self.fire("avmd::beep", |event| {
            event.push("Beep-Status", "DETECTED");
            event.push("Frequency", format!("{:.6}", beep.frequency));
            event.push("Frequency-variance", format!("{:.6}", beep.frequency_variance));
            event.push("Amplitude", format!("{:.6}", beep.amplitude));
            event.push("Amplitude-variance", format!("{:.6}", beep.amplitude_variance));
            event.push("Detection-time", took.as_micros().to_string());
            event.push("Detector-resolution", "0");
            event.push("Detector-offset", "0");
            event.push("Detector-index", "0");
        });
        self.log(&format!("beep at {:.0} Hz after {} ms", beep.frequency, took.as_millis()));
    }

    fn log(&self, what: &str) {
        if self.report {
            tracing::info!(uuid = %self.channel.uuid(), "avmd on [{}]: {what}", self.channel.name());
        }
    }

    /// These events say whose they are, and no more of the call.
    fn fire(&self, subclass: &str, fill: impl FnOnce(&mut Event)) {
        let mut event = Event::custom(subclass);
        event.push("Unique-ID", self.channel.uuid().to_string());
        event.push("Call-command", "avmd");
        fill(&mut event);
        esl_server::fire!(self.channel.switch().bus, event);
    }
}

async fn start(session: &mut Session, argument: &str) -> AppResult {
    let mut settings = *session.switch().module::<InForce>().0.lock();
    for pair in argument.split(',') {
        if let Some((name, value)) = pair.split_once('=') {
            settings.set(name, value);
        }
    }
    if let Err(refused) = begin(session.channel(), settings) {
        let why = match refused {
            Refused::Started => "Avmd already started!",
            Refused::Direction => "Can't set direction for channel",
            Refused::NoMedia => "Channel has no codec assigned yet. Please try again",
        };
        tracing::error!(uuid = %session.channel().uuid(), "{why}");
    }
    Ok(())
}

async fn stop_app(session: &mut Session, _argument: &str) -> AppResult {
    if !stop(session.channel()) {
        tracing::warn!(uuid = %session.channel().uuid(), "Avmd has not yet been started");
    }
    Ok(())
}

async fn start_or_stop(session: &mut Session, argument: &str) -> AppResult {
    match argument.trim() {
        "stop" => stop_app(session, argument).await,
        "start" => start(session, "").await,
        other => start(session, other).await,
    }
}

fn command(call: &ApiCall) -> String {
    let words: Vec<&str> = call.args.split_whitespace().collect();
    let usage = |why: &str| format!("-ERR, {why}!\n-USAGE: {SYNTAX}\n\n");
    match words.as_slice() {
        [] => usage("bad command"),
        ["reload"] => {
            configure(&call.switch);
            "+OK\n XML reloaded\n\n".to_owned()
        }
        ["show"] => shown(&call.switch),
        ["load"] | ["set"] => usage(&format!("{} command takes 1 parameter", words[0])),
        ["load" | "set", which] => direction(&call.switch, words[0], which, usage),
        [uuid, verb, ..] => of_call(call, uuid, verb),
        _ => usage("avmd takes [2] min and [2] max parameters"),
    }
}

fn shown(switch: &Switch) -> String {
    let settings = *switch.module::<InForce>().0.lock();
    let number = u8::from;
    format!(
        "+OK\n show\n\n\n\nAvmd global settings\n\n\nreport status\t{}\ninbound channel\t{}\noutbound channel\t{}\n\n\n",
        number(settings.report),
        number(settings.inbound),
        number(settings.outbound)
    )
}

fn direction(switch: &Switch, verb: &str, which: &str, usage: impl Fn(&str) -> String) -> String {
    let state = switch.module::<InForce>();
    let mut settings = state.0.lock();
    match which {
        "inbound" => (settings.inbound, settings.outbound) = (true, false),
        "outbound" => (settings.inbound, settings.outbound) = (false, true),
        "default" if verb == "set" => {
            *settings = Settings::default();
            return "+OK\n reset to factory settings\n\n".to_owned();
        }
        _ => return usage(&format!("{verb} command: bad syntax")),
    }
    format!("+OK\n {which} XML configuration loaded\n\n")
}

fn of_call(call: &ApiCall, uuid: &str, verb: &str) -> String {
    let Some(channel) = call.switch.channel(uuid) else {
        return format!("-ERR, no FreeSWITCH session for uuid [{uuid}]!\n-USAGE: {SYNTAX}\n\n");
    };
    let name = channel.name();
    match verb {
        "stop" if stop(&channel) => format!("+OK\n [{uuid}] [{name}] stopped\n\n"),
        "stop" => format!("+ERR, avmd has not yet been started on\n [{uuid}] [{name}]\n\n"),
        "start" => {
            let settings = *call.switch.module::<InForce>().0.lock();
            match begin(&channel, settings) {
                Ok(()) => format!("+OK\n [{uuid}] [{name}] started!\n\n"),
                Err(Refused::Started) => {
                    format!("-ERR, avmd for FreeSWITCH session [{uuid}]\n already started\n\n")
                }
                Err(Refused::Direction) => format!(
                    "-ERR, can't set direction for channel [{name}]\n for FreeSWITCH session [{uuid}]. Please check avmd configuration\n\n"
                ),
                Err(Refused::NoMedia) => format!(
                    "-ERR, channel [{name}] for FreeSWITCH session [{uuid}]\n has no read codec assigned yet. Please try again.\n\n"
                ),
            }
        }
        _ => format!("-ERR, did you mean\n api avmd {uuid} start ?\n-USAGE: {SYNTAX}\n\n"),
    }
}
