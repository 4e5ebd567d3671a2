//! SIP requests that programs ask for by event: `sendevent NOTIFY`, `SEND_MESSAGE` and `SEND_INFO`.
//!
//! Each goes to a call (`uuid`, or `call-id` for INFO), to an address (`to-uri`, with `contact-uri` to where), or to
//! the phones a user has registered. What is missing or unknown is said in the log; the program got its `+OK` when
//! the event was taken.

use std::sync::Arc;

use esl_server::event::{Event, EventName};
use sip::message::{Headers, Method, Name};
use sip::registrar::Binding;
use sip::stack::Body;

use super::Sofia;
use super::notify::{request_to, send, to_binding};
use super::profile::Profile;
use crate::call::endpoint::{DialogMethod, DialogRequest};
use crate::call::index::Key;
use crate::call::{Channel, Indication};
use crate::switch::Switch;

/// Event package and MIME type of a NOTIFY that names none.
const DEFAULT_PACKAGE: &str = "message-summary";
const DEFAULT_TYPE: &str = "application/simple-message-summary";
/// What a NOTIFY without a subscription says of it.
const NO_SUBSCRIPTION: &str = "terminated;reason=noresource";

/// Sends what an event asks for.
pub(super) fn handle(sofia: &Sofia, event: &Event) {
    match event.name() {
        EventName::Notify => notify(sofia, event),
        EventName::SendMessage => message(sofia, event),
        EventName::SendInfo => info(sofia, event),
        _ => {}
    }
}

/// A header that says something.
fn text(event: &Event, name: &str) -> Option<String> {
    event.get(name).map(std::borrow::Cow::into_owned).filter(|value| !value.is_empty())
}

fn body_text(event: &Event) -> Option<String> {
    let bytes = event.body().filter(|bytes| !bytes.is_empty())?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

fn notify(sofia: &Sofia, event: &Event) {
    let (package, kind) = (text(event, "event-string"), text(event, "content-type"));
    if ["contact-uri", "to-uri", "from-uri"].iter().any(|name| text(event, name).is_some()) {
        let package = package.unwrap_or_else(|| DEFAULT_PACKAGE.into());
        return notify_address(sofia, event, &package, kind.as_deref().unwrap_or(DEFAULT_TYPE));
    }
    let (Some(package), Some(kind)) = (package, kind) else {
        // An event for another consumer, perhaps.
        tracing::debug!("NOTIFY without event-string or content-type: not for a phone");
        return;
    };
    if let Some(uuid) = text(event, "uuid") {
        let request = DialogRequest {
            method: DialogMethod::Notify,
            headers: vec![("Event", package), ("Subscription-State", NO_SUBSCRIPTION.into())],
            body: body_text(event).map(|body| (kind, body)),
        };
        return in_dialog(sofia.switch(), &uuid, request);
    }
    let Some(profile) = profile_of(sofia, event, None) else { return };
    let body = body_text(event).map(|text| Body::new(kind, text));
    for binding in bindings(&profile, event) {
        let headers = notify_headers(event, &package);
        to_binding(&profile, &binding, &Method::Notify, headers, body.clone());
    }
}

/// To an address, registered or not.
fn notify_address(sofia: &Sofia, event: &Event, package: &str, kind: &str) {
    let Some(profile) = profile_of(sofia, event, Some("default")) else { return };
    let (Some(to), Some(from)) = (text(event, "to-uri"), text(event, "from-uri")) else {
        tracing::error!("NOTIFY: an event with an address needs to-uri and from-uri");
        return;
    };
    let target = text(event, "contact-uri").unwrap_or_else(|| to.clone());
    let headers = notify_headers(event, package);
    let body = body_text(event).map(|text| Body::new(kind, text));
    let mut spec = request_to(&profile, &Method::Notify, &target, &to, Some(&from), headers, body);
    if let (Some(spec), Some(call_id)) = (&mut spec, text(event, "call-id")) {
        spec.call_id = Some(call_id);
    }
    send(&profile, spec);
}

fn notify_headers(event: &Event, package: &str) -> Headers {
    let mut headers = Headers::new();
    headers.push(Name::Event, package);
    if !text(event, "no-sub-state").is_some_and(|value| crate::text::is_true(&value)) {
        headers.push(Name::SubscriptionState, NO_SUBSCRIPTION);
    }
    for line in text(event, "extra-headers").unwrap_or_default().lines() {
        if let Some((name, value)) = line.split_once(':') {
            headers.push_text(name.trim(), value.trim());
        }
    }
    headers
}

fn message(sofia: &Sofia, event: &Event) {
    let Some(kind) = text(event, "content-type") else {
        tracing::error!("SEND_MESSAGE: an event needs content-type");
        return;
    };
    let subject = text(event, "subject");
    if let (None, Some(uuid)) = (text(event, "user"), text(event, "uuid")) {
        let request = DialogRequest {
            method: DialogMethod::Message,
            headers: subject.map(|subject| ("Subject", subject)).into_iter().collect(),
            body: body_text(event).map(|body| (kind, body)),
        };
        return in_dialog(sofia.switch(), &uuid, request);
    }
    let Some(profile) = profile_of(sofia, event, None) else { return };
    let body = body_text(event).map(|text| Body::new(kind, text));
    for binding in bindings(&profile, event) {
        let mut headers = Headers::new();
        if let Some(subject) = &subject {
            headers.push_text("Subject", subject);
        }
        to_binding(&profile, &binding, &Method::Message, headers, body.clone());
    }
}

fn info(sofia: &Sofia, event: &Event) {
    let Some(profile) = profile_of(sofia, event, None) else { return };
    let more: Vec<(&'static str, String)> =
        [("Alert-Info", "alert-info"), ("Call-Info", "call-info")]
            .into_iter()
            .filter_map(|(name, key)| Some((name, text(event, key)?)))
            .collect();
    let kind = text(event, "content-type").unwrap_or_default();
    if let Some(call_id) = text(event, "call-id") {
        let Some(channel) = by_call_id(sofia.switch(), &call_id) else {
            tracing::error!("SEND_INFO: Invalid Call-ID {call_id}");
            return;
        };
        let body = body_text(event).map(|body| (kind, body));
        let request = DialogRequest { method: DialogMethod::Info, headers: more, body };
        return tell(&channel, request);
    }
    let Some(from) = text(event, "from-uri") else {
        tracing::error!("SEND_INFO: Missing From-URI header");
        return;
    };
    let mut headers = Headers::new();
    for (name, value) in &more {
        headers.push_text(name, value);
    }
    let mut body = body_text(event).map(|text| Body::new(kind, text));
    if let Some(body) = &mut body {
        body.disposition = text(event, "content-disposition");
    }
    for to in info_targets(&profile, event) {
        let target = super::registrar::uri_of(&to);
        let spec = request_to(
            &profile,
            &Method::Info,
            target,
            target,
            Some(&from),
            headers.clone(),
            body.clone(),
        );
        send(&profile, spec);
    }
}

/// `to-uri`, or where `local-user` is registered.
fn info_targets(profile: &Profile, event: &Event) -> Vec<String> {
    let Some(local) = text(event, "local-user") else {
        let to = text(event, "to-uri");
        if to.is_none() {
            tracing::error!("SEND_INFO: Missing To-URI header");
        }
        return to.into_iter().collect();
    };
    let (user, host) = local.split_once('@').unwrap_or((&local, ""));
    let now = crate::clock::now_secs();
    let found: Vec<String> =
        profile.bindings.lock().find(user, host, now).take(1).map(|b| b.contact.clone()).collect();
    if found.is_empty() {
        tracing::error!("SEND_INFO: Can't find local user {local}");
    }
    found
}

fn profile_of(sofia: &Sofia, event: &Event, default: Option<&str>) -> Option<Arc<Profile>> {
    let name = text(event, "profile").or_else(|| default.map(str::to_owned));
    let profile = name.as_deref().and_then(|name| sofia.find(name));
    if profile.is_none() {
        let name = name.unwrap_or_default();
        tracing::error!("{}: Can't find profile {name}", event.name().as_str());
    }
    profile
}

/// The registrations an event is for: of `user` at `host`, or the one made with `call-id`.
fn bindings(profile: &Profile, event: &Event) -> Vec<Binding> {
    let (user, host) =
        (text(event, "user").unwrap_or_default(), text(event, "host").unwrap_or_default());
    let table = profile.bindings.lock();
    let found: Vec<Binding> = match text(event, "call-id") {
        Some(call_id) => {
            table.all().into_iter().filter(|b| b.call_id == call_id).cloned().collect()
        }
        None => table.find(&user, &host, crate::clock::now_secs()).cloned().collect(),
    };
    if found.is_empty() {
        tracing::error!("{}: Can't find registered user {user}@{host}", event.name().as_str());
    }
    found
}

fn in_dialog(switch: &Arc<Switch>, uuid: &str, request: DialogRequest) {
    match switch.channel(uuid).filter(|channel| channel.is_up()) {
        Some(channel) => tell(&channel, request),
        None => tracing::error!("No call {uuid} to send a request within"),
    }
}

fn by_call_id(switch: &Arc<Switch>, call_id: &str) -> Option<Arc<Channel>> {
    switch.channels_by(&Key::CallId(call_id.into())).into_iter().next()
}

/// Leaves the request with the call's own task.
fn tell(channel: &Channel, request: DialogRequest) {
    let left = channel.job(Box::new(move |session| {
        Box::pin(async move {
            let _unsent = session.indicate(Indication::Request(request)).await;
        })
    }));
    if left.is_err() {
        tracing::error!(uuid = %channel.uuid(), "The call is too busy for a request within it");
    }
}
