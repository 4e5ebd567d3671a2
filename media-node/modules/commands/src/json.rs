//! `json`: commands and their replies as JSON objects.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::{Api, ApiCall, status};
use crate::api;
use base::version::COMPATIBLE_FULL;

/// The family.
pub const APIS: &[Api] =
    // `jsjson` runs a script.
    &[api!("json", "mod_commands", "JSON", "JSON API", async run).code()];

/// A reply, or the message of an error.
type Reply = Result<Value, String>;

async fn run(call: ApiCall) -> String {
    let text = call.args.trim();
    if text.is_empty() {
        return "-ERR No JSON supplied.\n".into();
    }
    let Ok(Value::Object(mut request)) = serde_json::from_str(text) else {
        return "-ERR Parse error.\n".into();
    };
    let reply = answer(&call, &request).await;
    let (status, response) = match reply {
        Ok(value) => ("success", value),
        Err(message) => ("error", json!({ "message": message })),
    };
    request.insert("status".into(), status.into());
    request.insert("response".into(), response);
    format!("{}\n", Value::Object(request))
}

fn text<'v>(data: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    data.get(name).and_then(Value::as_str)
}

async fn answer(call: &ApiCall, request: &Map<String, Value>) -> Reply {
    let command = text(request, "command").ok_or("Invalid request")?;
    let empty = Map::new();
    let data = match request.get("data") {
        Some(Value::Object(data)) => data,
        Some(_) => &empty,
        None => return Err("Invalid request".into()),
    };
    if !permitted(call, command) {
        return Err("Invalid Method, Missing Method or Permission Denied".into());
    }
    match command {
        "status" => Ok(switch_status(call)),
        "fsapi" => {
            let name = text(data, "cmd").ok_or("INVALID INPUT")?;
            let run = call.switch.run_api(name, text(data, "arg").unwrap_or_default(), None);
            let output = Box::pin(run).await.ok_or("INVALID COMMAND!")?;
            Ok(json!({ "message": output }))
        }
        "execute" => execute(call, data),
        "channelData" => channel_data(call, data),
        "mediaStats" => {
            let channel = channel(call, data)?;
            media_stats(&channel, call, data)
        }
        method => match call.switch.linked().json(method) {
            Some(kind) => (kind.answer)(&call.switch, data),
            None => match call.switch.linked().json_later(method) {
                Some(kind) => (kind.answer)(call.clone(), marked(call)?).await,
                None => Err("Invalid Method, Missing Method or Permission Denied".into()),
            },
        },
    }
}

/// The request's `data` with what a far end said marked: a mark is no quote, so that it ends no value.
fn marked(call: &ApiCall) -> Reply {
    let request = serde_json::from_str::<Map<String, Value>>(call.marked.trim());
    let mut request = request.map_err(|error| error.to_string())?;
    Ok(request.remove("data").unwrap_or_default())
}

/// Methods of mod_commands itself.
pub(crate) const OWN: [&str; 5] = ["status", "fsapi", "execute", "channelData", "mediaStats"];

/// Whether `<interface-allowlist>` lets a method in.
fn permitted(call: &ApiCall, method: &str) -> bool {
    let config = call.switch.config.load();
    let allowed = &config.switch.allowlist;
    let brings = |module: &&&dyn crate::contract::Module| {
        let provides = module.provides();
        provides.json.iter().any(|kind| kind.name == method)
            || provides.json_later.iter().any(|kind| kind.name == method)
    };
    let linked = call.switch.linked();
    let owner = linked.iter().find(|module| brings(&module)).map_or("mod_commands", |m| m.name());
    allowed.allows(owner, method, "json_api")
}

fn channel(
    call: &ApiCall,
    data: &Map<String, Value>,
) -> Result<std::sync::Arc<crate::call::Channel>, String> {
    let uuid = text(data, "uuid").ok_or("INVALID INPUT")?;
    call.switch.channel(uuid).ok_or_else(|| "INVALID UUID".to_owned())
}

fn execute(call: &ApiCall, data: &Map<String, Value>) -> Reply {
    let channel = channel(call, data)?;
    let app = text(data, "app").ok_or("INVALID INPUT")?;
    let message = esl_server::CallMessage::execute(app, text(data, "arg").unwrap_or_default());
    channel.post(message).map_err(|_| "The call's queue is full")?;
    Ok(json!({ "message": "+OK" }))
}

fn channel_data(call: &ApiCall, data: &Map<String, Value>) -> Reply {
    let mut event = channel(call, data)?.channel_data(false);
    esl_server::stamp!(call.switch.bus, &mut event);
    serde_json::from_slice(&event.json()).map_err(|error| error.to_string())
}

fn media_stats(channel: &crate::call::Channel, call: &ApiCall, data: &Map<String, Value>) -> Reply {
    crate::call::statistics::set(channel);
    let mut reply = Map::new();
    if let Some(leg) = channel.media().filter(|_| channel.has_media()) {
        let stats = leg.stats();
        reply.insert("quality".into(), quality(&stats.quality(leg.codec(), None)));
        let figures = stats.variables();
        // Numbers, as the variables have them: a variance with two decimals.
        let number = |text: String| text.parse::<f64>().map_or(Value::Null, |figure| json!(figure));
        let name = |variable: &str| variable.trim_start_matches("rtp_audio_").to_owned();
        let figures = figures.into_iter().map(|(variable, text)| (name(variable), number(text)));
        reply.insert("audio".into(), Value::Object(figures.collect()));
    }
    if data.get("channelData").is_some_and(|wanted| wanted.as_bool() != Some(false)) {
        reply.insert("channelData".into(), channel_data(call, data)?);
    }
    Ok(Value::Object(reply))
}

/// Loss, jitter and score per direction, and the round trip; what is not known is left out.
fn quality(quality: &media::stats::Quality) -> Value {
    let hundredths = |value: f64| (value * 100.0).round() / 100.0;
    let way = |way: media::stats::Way| {
        json!({
            "packets": way.packets,
            "lost": way.lost,
            "loss_percent": hundredths(way.loss_percent),
            "jitter_ms": hundredths(way.jitter_ms),
            "mos": hundredths(way.mos),
        })
    };
    let mut shown = Map::new();
    for (name, known) in [("inbound", quality.inbound), ("outbound", quality.outbound)] {
        if let Some(known) = known {
            shown.insert(name.into(), way(known));
        }
    }
    if let Some(ms) = quality.round_trip_ms {
        shown.insert("round_trip_ms".into(), json!(hundredths(ms)));
    }
    Value::Object(shown)
}

/// `uuid_media_stats`: the reply of `mediaStats` without its envelope.
pub(super) fn uuid_media_stats(call: &ApiCall) -> String {
    let uuid = call.args.trim();
    if uuid.is_empty() {
        return super::usage("<uuid>");
    }
    let Some(channel) = call.switch.channel(uuid) else { return "-ERR No such channel!\n".into() };
    match media_stats(&channel, call, &Map::new()) {
        Ok(reply) => format!("{reply}\n"),
        Err(why) => format!("-ERR {why}\n"),
    }
}

fn switch_status(call: &ApiCall) -> Value {
    let switch = &call.switch;
    let counters = &switch.counters;
    let us = crate::heartbeat::uptime_us(switch);
    let seconds = us / 1_000_000;
    let load = |value: &std::sync::atomic::AtomicU32| value.load(Ordering::Relaxed);
    let (stack, stack_max) = status::stack_kilobytes();
    let ready = !counters.paused_inbound.load(Ordering::Relaxed)
        && !counters.draining.load(Ordering::Relaxed);
    json!({
        "systemStatus": if ready { "ready" } else { "not ready" },
        "uptime": {
            "years": seconds / 86_400 / 365,
            "days": seconds / 86_400 % 365,
            "hours": seconds / 3600 % 24,
            "minutes": seconds / 60 % 60,
            "seconds": seconds % 60,
            "milliseconds": us / 1000 % 1000,
            "microseconds": us % 1000,
        },
        "version": COMPATIBLE_FULL,
        "sessions": {
            "count": {
                "total": counters.total.load(Ordering::Relaxed),
                "active": switch.channel_count(),
                "peak": load(&counters.peak),
                "peak5Min": load(&counters.peak_five_minutes),
                "limit": load(&counters.max_sessions),
            },
            "rate": {
                "current": load(&counters.last_second),
                "max": load(&counters.sps_limit),
                "peak": load(&counters.sps_peak),
                "peak5Min": load(&counters.sps_peak_five_minutes),
            },
        },
        "idleCPU": { "used": switch.stores.tuning.min_idle_cpu(), "allowed": switch_log::idle_cpu() },
        "stackSize": { "current": stack, "max": stack_max },
    })
}
