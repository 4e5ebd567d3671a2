//! Requests outside calls: OPTIONS, MESSAGE, REFER, NOTIFY, SUBSCRIBE, PUBLISH; REGISTER goes on to the registrar.

use std::sync::Arc;

use esl_server::event::{Event, EventName};
use sip::message::{Headers, Method, Name, Request};
use sip::stack::{Body, IncomingRequest, OutOfDialog, Path};
use sip::uri::{NameAddr, SipUri, Uri};

use super::auth::{self, Proof};
use super::profile::Profile;
use super::registrar;
use crate::contract::ChatMessage;
use crate::text;

/// Answers a request outside calls.
pub async fn serve(profile: &Arc<Profile>, request: IncomingRequest) {
    match request.request.method {
        Method::Register => registrar::serve(profile, request).await,
        Method::Options => options(profile, request),
        Method::Message => message(profile, request).await,
        Method::Refer => refer(profile, request).await,
        Method::Notify => notify(request),
        Method::Subscribe => super::presence::subscribe(profile, request).await,
        Method::Publish => super::presence::publish(profile, request).await,
        _ => request.respond(501, "", Headers::new(), None),
    }
}

/// `<sip:ip:port>`: where the profile listens.
fn own_contact(profile: &Profile, path: &Path) -> String {
    let ip = profile.sip_ip_for(Some(path.remote.ip()));
    SipUri::new("", ip).port(profile.port()).bracketed()
}

fn options(profile: &Profile, request: IncomingRequest) {
    let settings = profile.settings.load();
    let busy = settings.params.last("sip-options-respond-503-on-busy").is_some_and(text::is_true)
        && (profile.is_paused() || profile.switch.admit(crate::call::Direction::Inbound).is_err());
    let mut headers = Headers::new();
    // A profile with WebSockets names the last of its listeners here, as the reference does.
    let socket = profile.stack.listening().iter().rfind(|(transport, _)| transport.is_websocket());
    headers.push(
        Name::Contact,
        match socket {
            Some((_, address)) => {
                let ip = profile.sip_ip_for(Some(request.path.remote.ip()));
                SipUri::new("", ip).port(address.port()).param("transport", "udp").bracketed()
            }
            None => own_contact(profile, &request.path),
        },
    );
    request.respond(if busy { 503 } else { 200 }, "", headers, None);
}

/// NOTIFY outside a subscription: keep-alives and message counts are taken note of, the rest belongs to nothing.
fn notify(request: IncomingRequest) {
    let event = request.request.headers.get(Name::Event).unwrap_or_default();
    let package = event.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match package.as_str() {
        "keep-alive" | "message-summary" => request.respond(200, "", Headers::new(), None),
        _ => request.respond(481, "Subscription Does Not Exist", Headers::new(), None),
    }
}

async fn message(profile: &Arc<Profile>, incoming: IncomingRequest) {
    let settings = profile.settings.load_full();
    let asks = settings.params.last("auth-messages").is_none_or(text::is_true)
        && !settings.params.last("disable-auth-messages").is_some_and(text::is_true);
    let proof = if asks { Proof::Digest } else { Proof::None };
    if let Err(refusal) =
        auth::admit_request(profile, &incoming.request, &incoming.path, proof).await
    {
        return incoming.respond(refusal.status, refusal.reason, refusal.headers, None);
    }
    let event = message_event(profile, &incoming.request, &incoming.path);
    let plain = settings.params.last("sip-messages-respond-200-ok").is_some_and(text::is_true);
    incoming.respond(if plain { 200 } else { 202 }, "", Headers::new(), None);
    hand_on(profile, &event);
    esl_server::fire!(profile.switch.bus, event);
}

/// A message to `way+addressee` goes to those who take messages that way (`conf+room`).
fn hand_on(profile: &Profile, event: &Event) {
    let [from, to, kind] = ["from", "to", "type"].map(|name| event.get(name).unwrap_or_default());
    let Some((way, to)) = to.split_once('+') else { return };
    // Another way back to a phone would only be a detour.
    let mut ways = profile.switch.provided(|provides| provides.chats).filter(|c| c.name != "sip");
    if let Some(chat) = ways.find(|chat| chat.name.eq_ignore_ascii_case(way)) {
        let body = String::from_utf8_lossy(event.body().map_or(&[][..], |body| body.as_ref()))
            .into_owned();
        let _nobody_there = (chat.send)(
            &profile.switch,
            &ChatMessage { from: &from, to, body: &body, kind: &kind },
        );
    }
}

fn message_event(profile: &Profile, request: &Request, path: &Path) -> Event {
    let (from, to) = (request.headers.from_addr(), request.headers.to_addr());
    let part = |address: &Option<NameAddr>, user: bool| {
        let uri = address.as_ref().map(|a| &a.uri);
        let text = if user { uri.and_then(Uri::user) } else { uri.map(Uri::host) };
        text.unwrap_or_default().to_owned()
    };
    let both =
        |address: &Option<NameAddr>| format!("{}@{}", part(address, true), part(address, false));
    let mut event = Event::new(EventName::Message);
    event.push("login", profile.url());
    event.push("proto", "sip");
    event.push("from", both(&from));
    event.push("from_user", part(&from, true));
    event.push("from_host", part(&from, false));
    event.push("to_user", part(&to, true));
    event.push("to_host", part(&to, false));
    event.push("from_sip_ip", path.remote.ip().to_string());
    event.push("from_sip_port", path.remote.port().to_string());
    event.push("to", both(&to));
    event.push("subject", "SIMPLE MESSAGE");
    event.push("context", profile.settings.load().context.clone());
    event.push("type", request.headers.content_type().unwrap_or("text/plain").to_owned());
    event.push("from_full", request.headers.get(Name::From).unwrap_or_default().to_owned());
    event.push("sip_profile", profile.name.as_str());
    for header in
        request.headers.iter().filter(|h| h.text.starts_with("X-") || h.text.starts_with("P-"))
    {
        event.push(format!("sip_h_{}", header.text), header.value.to_owned());
    }
    event.set_body(request.body.clone());
    event
}

/// REFER outside a dialog: accepted, told to event clients, and reported as gone nowhere.
async fn refer(profile: &Arc<Profile>, incoming: IncomingRequest) {
    if profile.settings.load().disable_transfer {
        return incoming.respond(403, "", Headers::new(), None);
    }
    let (request, path) = (&incoming.request, &incoming.path);
    if let Err(refusal) = auth::admit_request(profile, request, path, Proof::DigestOrAddress).await
    {
        return incoming.respond(refusal.status, refusal.reason, refusal.headers, None);
    }
    let request = Arc::clone(&incoming.request);
    let (path, tag) = (incoming.path, incoming.local_tag.clone());
    let mut headers = Headers::new();
    headers.push(Name::Contact, own_contact(profile, &path));
    incoming.respond(202, "", headers, None);
    let status = match request.headers.get(Name::ReferTo) {
        Some(to) => {
            let mut event = Event::new(EventName::CallSetupReq);
            event.push("profile_name", profile.name.as_str());
            event.push("refer-to", to.to_owned());
            esl_server::fire!(profile.switch.bus, event);
            "200 OK"
        }
        None => "481 Failure",
    };
    let Some(spec) = refer_notify(profile, &request, &path, &tag, status) else { return };
    let stack = profile.stack.clone();
    tokio::spawn(async move {
        let _unanswered = stack.request(spec).await;
    });
}

/// Where a request goes that a peer made us send: to the peer's source address, not to whatever its Contact names. `None` when
/// that is the same.
#[must_use]
pub fn back_to_source(contact: &Uri, path: &Path) -> Option<Uri> {
    if contact.host_ip() == Some(path.remote.ip()) {
        return None;
    }
    source_uri(path)
}

/// The address a request came from, with its transport.
#[must_use]
pub fn source_uri(path: &Path) -> Option<Uri> {
    SipUri::new("", path.remote).param("transport", path.transport.as_param()).uri()
}

/// The NOTIFY that ends the subscription a REFER makes (RFC 3515).
fn refer_notify(
    profile: &Profile,
    request: &Request,
    path: &Path,
    tag: &str,
    status: &str,
) -> Option<OutOfDialog> {
    let target = request.headers.contact()?.uri;
    let from = NameAddr::parse(&format!("{};tag={tag}", request.headers.get(Name::To)?))?;
    let to = NameAddr::parse(request.headers.get(Name::From)?)?;
    let user = from.uri.user().unwrap_or_default();
    let ip = profile.sip_ip_for(Some(path.remote.ip()));
    let mut contact = NameAddr::new(SipUri::new(user, ip).port(profile.port()).uri()?);
    contact.params = ";isfocus".to_owned();
    let mut spec = OutOfDialog::new(Method::Notify, target, from, to);
    spec.contact = Some(contact);
    spec.next_hop = back_to_source(&spec.request_uri, path);
    spec.call_id = Some(request.headers.call_id().to_owned());
    spec.headers.push(Name::Expires, "0");
    spec.headers.push(Name::Event, "refer");
    spec.headers.push(Name::SubscriptionState, "terminated;reason=noresource");
    spec.body = Some(Body::new("message/sipfrag", format!("SIP/2.0 {status}\r\n")));
    Some(spec)
}
