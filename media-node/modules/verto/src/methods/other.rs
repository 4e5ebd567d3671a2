//! What is not about calls: logins, event channels, commands.

use ::event_channels::EventChannels;
use serde_json::Value;

use super::{Ask, Outcome, refuse};
use crate::event_channels::{self, Subscribed};
use crate::rpc::{self, Object};
use crate::{login, pump, store};

/// `login`, once the client was let in.
pub(super) fn login(ask: &Ask<'_>) -> Outcome {
    let mut result = Object::new();
    result.insert("message".into(), "logged in".into());
    ask.client.with(|state| {
        if let Some(expires) = state.login.expires {
            result.insert("auth-expires".into(), expires.into());
        }
        for (variable, member) in [
            ("moderator", "moderator"),
            ("stereo_audio", "stereoAudio"),
            ("superuser", "superuser"),
        ] {
            if state.login.var(variable).is_some_and(base::text::is_true) {
                result.insert(member.into(), true.into());
            }
        }
    });
    login::tell_success(ask.switch, ask.client, ask.params.as_ref());
    Outcome::Done(result)
}

/// `echo`
pub(super) fn echo(ask: Ask<'_>) -> Outcome {
    match ask.params {
        Some(params) => Outcome::Done(params),
        None => refuse(Object::new(), "Params data missing"),
    }
}

/// `verto.ping`
pub(super) fn ping(ask: &Ask<'_>) -> Outcome {
    let mut result = Object::new();
    if let Some(expires) = ask.client.with(|state| state.login.expires) {
        result.insert("auth-expires".into(), expires.into());
    }
    result.insert("message".into(), "PONG".into());
    Outcome::Done(result)
}

/// `verto.subscribe`
pub(super) fn subscribe(ask: &Ask<'_>) -> Outcome {
    let (mut new, mut already, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let names = ask.params.as_ref().map(event_channels::named).unwrap_or_default();
    for name in names {
        let outcome = match event_channels::may(ask.switch, ask.client, name) {
            true => ask.hub.channels.add(ask.client, name),
            false => Subscribed::Refused,
        };
        match outcome {
            Subscribed::New => {
                pump::subscribed(ask.switch, &ask.hub, ask.client, name);
                new.push(Value::from(name));
            }
            Subscribed::Already => {
                // The reference gives an empty list of new ones then, so that the request does not fail.
                already.push(Value::from(name));
            }
            Subscribed::Refused => refused.push(Value::from(name)),
        }
    }
    let any = !new.is_empty() || !already.is_empty();
    let mut result = Object::new();
    if any {
        result.insert("subscribedChannels".into(), new.into());
    }
    for (member, names) in
        [("unauthorizedChannels", refused), ("alreadySubscribedChannels", already)]
    {
        if !names.is_empty() {
            result.insert(member.into(), names.into());
        }
    }
    if any { Outcome::Done(result) } else { Outcome::Failed(result) }
}

/// `verto.unsubscribe`
pub(super) fn unsubscribe(ask: &Ask<'_>) -> Outcome {
    let names = ask.params.as_ref().map(event_channels::named).unwrap_or_default();
    let (ended, unknown): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| ask.hub.channels.remove(ask.client, name));
    let failed = !unknown.is_empty() && ended.is_empty();
    let mut result = Object::new();
    for (member, names) in [("unsubscribedChannels", ended), ("notSubscribedChannels", unknown)] {
        if !names.is_empty() {
            let names: Vec<Value> = names.into_iter().map(Value::from).collect();
            result.insert(member.into(), names.into());
        }
    }
    if failed { Outcome::Failed(result) } else { Outcome::Done(result) }
}

/// `verto.broadcast`: for the module that listens on the channel. Other clients are told with `localBroadcast` only, and what is
/// wrong is told in a result, as in the reference.
pub(super) fn broadcast(ask: Ask<'_>) -> Outcome {
    let Ask { switch, hub, client, params } = ask;
    let told = |message: &str| {
        let Outcome::Failed(result) = refuse(Object::new(), message) else {
            return Outcome::Denied;
        };
        Outcome::Done(result)
    };
    let mut event = params.unwrap_or_default();
    let Some(name) = rpc::text(&event, "eventChannel").map(str::to_owned) else {
        return told("eventChannel not specified.");
    };
    if !event_channels::may(switch, client, &name) {
        return told("Permission Denied.");
    }
    let login = client.login();
    event.insert("userid".into(), login.uid.as_str().into());
    event.insert("sessid".into(), client.session().into());
    if let Some(display) = login.param("caller-id-name") {
        event.insert("fromDisplay".into(), display.into());
    }
    if rpc::is_true(&event, "localBroadcast") {
        hub.channels.tell(&hub, &name, &event);
    }
    switch.module::<EventChannels>().say(&name, &event);
    Outcome::Done(Object::new())
}

/// `fsapi`: a command of the switch, if the user may use it.
pub(super) async fn fsapi(ask: Ask<'_>) -> Outcome {
    let params = ask.params.clone().unwrap_or_default();
    let command = rpc::text(&params, "cmd");
    let argument = rpc::text(&params, "arg").unwrap_or_default();
    if let Some(command) = command
        && !may_run(&ask, command, argument)
    {
        return Outcome::Denied;
    }
    let output = match command {
        Some(command) => ask.switch.run_api(command, argument, None).await,
        None => None,
    };
    let mut result = Object::new();
    result.insert("message".into(), output.unwrap_or_else(|| "INVALID CALL".into()).into());
    Outcome::Done(result)
}

fn may_run(ask: &Ask<'_>, command: &str, argument: &str) -> bool {
    ask.client.with(|state| state.login.root || state.login.fsapi.has_command(command, argument))
}

/// `jsapi`: a method of the JSON API, if the user may use it.
pub(super) async fn jsapi(ask: Ask<'_>) -> Outcome {
    let params = ask.params.clone().unwrap_or_default();
    let Some(command) = rpc::text(&params, "command") else { return Outcome::Denied };
    let allowed =
        ask.client.with(|state| state.login.root || state.login.jsapi.has(command, false));
    if !allowed {
        return Outcome::Denied;
    }
    if command == "fsapi" {
        let empty = Object::new();
        let data = rpc::object_in(&params, "data").unwrap_or(&empty);
        let argument = rpc::text(data, "arg").unwrap_or_default();
        if rpc::text(data, "cmd").is_some_and(|command| !may_run(&ask, command, argument)) {
            return Outcome::Denied;
        }
    }
    if command == "store" {
        let reply = store::run(ask.switch, &ask.hub.store, &params);
        return reply.as_object().cloned().map_or(Outcome::Denied, Outcome::Done);
    }
    let request = Value::Object(params).to_string();
    let output = ask.switch.run_api("json", &request, None).await.unwrap_or_default();
    let reply = serde_json::from_str::<Value>(&output).ok();
    let response = reply.as_ref().and_then(|reply| reply.get("response")?.as_object().cloned());
    response.map_or(Outcome::Denied, Outcome::Done)
}
