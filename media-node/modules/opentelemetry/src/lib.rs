//! Traces of calls for OpenTelemetry collectors (mod_opentelemetry): what [`base::trace`] keeps is sent by OTLP over HTTP.
//!
//! A leg is a span from its creation to its end, with its setup and its conversation as spans in it; the dialplan, each
//! application and each web request are spans by the code that runs them. Legs that a call makes belong to its trace.
//! Without `opentelemetry.conf` nothing is kept; a collector that is down costs a bounded queue.

#![deny(unsafe_code)]

mod otlp;
mod send;
mod settings;

use std::sync::Arc;

use base::reading::Reading;
use base::trace::{self, Kind, Span, Value};
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::call::Channel;
use switch_core::call::state::Direction;
use switch_core::clock;
use switch_core::contract::{CallObserver, Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use tokio::task::AbortHandle;

use send::Sender;
use settings::Settings;

/// mod_opentelemetry.
pub struct OpenTelemetry;

/// The module.
pub const MODULE: OpenTelemetry = OpenTelemetry;

/// Its state for a switch.
#[derive(Default)]
struct State {
    settings: Mutex<Option<Arc<Settings>>>,
    sender: Mutex<Option<Arc<Sender>>>,
    task: Mutex<Option<AbortHandle>>,
}

impl Module for OpenTelemetry {
    fn name(&self) -> &'static str {
        "mod_opentelemetry"
    }

    fn provides(&self) -> Provides {
        Provides {
            observers: &[&Ends],
            parameters: settings::PARAMETERS,
            readings: &[readings],
            ..Provides::NOTHING
        }
    }

    /// Only with a configuration file of its own.
    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().tree.configuration("opentelemetry.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        let config = switch.config.load_full();
        let loaded = Settings::read(config.document("opentelemetry.conf"))
            .and_then(|settings| Ok((Sender::new(switch, &settings)?, settings)));
        let done = match loaded {
            Ok((sender, settings)) => {
                let state = switch.module::<State>();
                trace::enable(settings.queue, settings.million);
                *state.sender.lock() = Some(Arc::new(sender));
                *state.settings.lock() = Some(Arc::new(settings));
                Ok(())
            }
            Err(error) => {
                tracing::error!("opentelemetry.conf: {error}");
                Err(NotLoaded)
            }
        };
        Box::pin(std::future::ready(done))
    }

    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        let state = switch.module::<State>();
        let sender = state.sender.lock().clone();
        if let Some(sender) = sender {
            let task = tokio::spawn(async move {
                loop {
                    base::tasks::step("OpenTelemetry", sender.run()).await;
                }
            });
            *state.task.lock() = Some(task.abort_handle());
        }
        Box::pin(std::future::ready(()))
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let state = switch.module::<State>();
            if let Some(task) = state.task.lock().take() {
                task.abort();
            }
            let sender = state.sender.lock().take();
            if let Some(sender) = sender {
                sender.last().await;
            }
            trace::disable();
            *state.settings.lock() = None;
        })
    }
}

fn readings(switch: &Arc<Switch>) -> Vec<Reading> {
    let state = switch.module::<State>();
    let sender = state.sender.lock().clone();
    let Some(sender) = sender else { return Vec::new() };
    let counter = |name, help, count: u64| Reading::counter(name, help, count);
    vec![
        counter("trace_spans_sent_total", "Spans a collector has taken.", sender.sent()),
        counter("trace_spans_refused_total", "Spans a collector refused.", sender.refused()),
        counter(
            "trace_spans_lost_total",
            "Spans that found no place while no collector took them.",
            trace::lost(),
        ),
    ]
}

/// Makes the spans of legs as they end.
struct Ends;

impl CallObserver for Ends {
    fn reported<'a>(&'a self, channel: &'a Arc<Channel>) -> BoxFuture<'a, ()> {
        if let Some(call) = trace::end_call(channel.uuid()) {
            let settings = channel.switch().module::<State>().settings.lock().clone();
            for span in spans(channel, call, settings.is_some_and(|settings| settings.numbers)) {
                trace::record(span);
            }
        }
        Box::pin(std::future::ready(()))
    }

    fn gone(&self, channel: &Channel) {
        // Of a call whose task died of a bug.
        let _left = trace::end_call(channel.uuid());
    }
}

/// The leg, its setup and its conversation.
fn spans(channel: &Channel, call: trace::Call, numbers: bool) -> Vec<Span> {
    let profile = channel.profile();
    let times = &profile.times;
    let start = channel.created();
    let end = if times.hungup > start { times.hungup } else { clock::now_us() };
    let inbound = channel.direction() == Direction::Inbound;
    let cause = channel.cause().map_or("NONE", |cause| cause.name());
    let mut attributes = vec![
        ("call.uuid", Value::from(&**channel.uuid())),
        ("call.direction", Value::from(channel.direction().name())),
        ("call.context", Value::from(&*profile.context)),
        ("call.hangup_cause", Value::from(cause)),
    ];
    if numbers {
        attributes.push(("call.from", Value::from(&*profile.caller_id_number)));
        attributes.push(("call.to", Value::from(&*profile.destination_number)));
    }
    let moments = [
        ("ringing", times.progress),
        ("early media", times.progress_media),
        ("answer", times.answered),
        ("bridge", times.bridged),
        ("hangup", times.hungup),
    ];
    let mut events: Vec<_> = moments.into_iter().filter(|(_, at)| *at > 0).collect();
    events.sort_by_key(|(_, at)| *at);
    let failed = times.answered == 0 && !["NORMAL_CLEARING", "ORIGINATOR_CANCEL"].contains(&cause);
    let whole = Span {
        name: if inbound { "call in" } else { "call out" }.into(),
        kind: if inbound { Kind::Server } else { Kind::Client },
        context: call.context,
        parent: call.parent,
        start,
        end,
        attributes,
        events,
        error: failed.then(|| cause.to_owned()),
    };
    let part = |name: &'static str, start: i64, end: i64| Span {
        name: name.into(),
        kind: Kind::Internal,
        context: call.context.child(),
        parent: Some(call.context.span),
        start,
        end: end.max(start),
        attributes: Vec::new(),
        events: Vec::new(),
        error: None,
    };
    let answered = (times.answered > 0).then_some(times.answered);
    let setup = part("setup", start, answered.unwrap_or(end));
    let talk = answered.map(|answered| part("conversation", answered, end));
    [Some(whole), Some(setup), talk].into_iter().flatten().collect()
}
