//! Subscriptions (RFC 6665): SUBSCRIBE is accepted and answered with a NOTIFY of the present state; later states come from
//! [`super::watch`]. Message counts are told to subscribers and to registered phones; PUBLISH is taken note of.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use esl_server::event::{Event, EventName};
use sip::message::{Headers, Method, Name, Request};
use sip::stack::{Body, IncomingRequest, OutOfDialog, Path};
use sip::uri::{NameAddr, SipUri, Uri};

use super::auth::{self, Proof};
use super::feature_events;
use super::mwi;
use super::profile::Profile;
use super::shared_lines;
use super::watch;
use crate::text;

/// Subscriptions of one profile; a further one is refused with 503.
const MAX_SUBSCRIPTIONS: usize = 20_000;
/// The same in bytes of text.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of text of one subscription; a larger one is refused with 413.
const MAX_TEXT: usize = 4096;
/// NOTIFYs to subscribers who proved nothing that wait for their answers; while there are so many, further such
/// subscribers are refused with 503. A forged source never answers.
const MAX_UNANSWERED: usize = 500;
/// Subscriptions that ended are removed so often.
const SWEEP: Duration = Duration::from_secs(1);
/// Lifetime when a phone asks for none, seconds.
const DEFAULT_EXPIRES: u32 = 3600;

/// One subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) package: String,
    pub(super) call_id: String,
    local: String,
    remote: String,
    target: Uri,
    next_hop: Option<Uri>,
    cseq: u32,
    expires: Instant,
    /// Of its documents: each has a higher one (RFC 4235).
    pub(super) version: u32,
}

impl Subscription {
    /// Bytes of its texts.
    fn size(&self) -> usize {
        let texts =
            [&self.user, &self.host, &self.package, &self.call_id, &self.local, &self.remote];
        texts.iter().map(|text| text.len()).sum::<usize>() + self.target.as_str().len()
    }
}

/// The subscriptions of one profile, by Call-ID and package.
#[derive(Debug, Default)]
pub struct Subscriptions {
    table: HashMap<(String, String), Subscription>,
    /// How many there are for each address (`user@host`, the host in lower case): what happens to an address without any, as most
    /// registrations, costs no walk through the table.
    watched: HashMap<String, u32>,
    bytes: usize,
    swept: Option<Instant>,
    /// NOTIFYs on their way to those who proved nothing.
    unanswered: Arc<AtomicUsize>,
}

impl Subscriptions {
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP) {
            return;
        }
        self.swept = Some(now);
        self.retain(|s| s.expires > now);
    }

    fn retain(&mut self, stays: impl Fn(&Subscription) -> bool) {
        self.table.retain(|_, s| stays(s));
        self.bytes = self.table.values().map(Subscription::size).sum();
        self.watched.clear();
        for one in self.table.values() {
            *self.watched.entry(address_of(&one.user, &one.host)).or_default() += 1;
        }
        self.table.shrink_to(self.table.len().saturating_mul(2));
    }

    fn remove(&mut self, call_id: &str, package: &str) -> Option<Subscription> {
        let old = self.table.remove(&(call_id.to_owned(), package.to_owned()))?;
        self.bytes = self.bytes.saturating_sub(old.size());
        let address = address_of(&old.user, &old.host);
        if let Some(count) = self.watched.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.watched.remove(&address);
            }
        }
        Some(old)
    }

    /// False when there is no room.
    fn insert(&mut self, new: Subscription) -> bool {
        let size = new.size();
        if self.table.len() >= MAX_SUBSCRIPTIONS || self.bytes + size > MAX_BYTES {
            return false;
        }
        self.bytes += size;
        *self.watched.entry(address_of(&new.user, &new.host)).or_default() += 1;
        self.table.insert((new.call_id.clone(), new.package.clone()), new);
        true
    }

    /// Has the address a subscription of any kind?
    pub(super) fn watch(&self, user: &str, host: &str) -> bool {
        !self.watched.is_empty() && self.watched.contains_key(&address_of(user, host))
    }
}

fn address_of(user: &str, host: &str) -> String {
    format!("{user}@{}", host.to_ascii_lowercase())
}

/// Answers a SUBSCRIBE.
pub async fn subscribe(profile: &Arc<Profile>, incoming: IncomingRequest) {
    let settings = profile.settings.load_full();
    let request = Arc::clone(&incoming.request);
    let path = incoming.path;
    let off =
        settings.params.last("manage-presence").is_some_and(|v| v.eq_ignore_ascii_case("false"));
    let package = package_of(&request);
    let features = package == feature_events::PACKAGE;
    let lines = shared_lines::serves(&settings, &package);
    let known = matches!(package.as_str(), "message-summary" | "presence" | "dialog");
    if !lines && (off || !features && !known) {
        return incoming.respond(489, "", Headers::new(), None);
    }
    let asks = features || settings.params.last("auth-subscriptions").is_none_or(text::is_true);
    let proof = if asks { Proof::Digest } else { Proof::None };
    let proved = match auth::admit_request(profile, &request, &path, proof).await {
        Ok(proved) => proved,
        Err(refusal) => {
            return incoming.respond(refusal.status, refusal.reason, refusal.headers, None);
        }
    };
    if features && !feature_events::is_own(&request) {
        return incoming.respond(403, "", Headers::new(), None);
    }
    let forced = settings
        .params
        .int("force-subscription-expires")
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n > 0);
    let asked = request.headers.number(Name::Expires).unwrap_or(DEFAULT_EXPIRES);
    let expires = if asked == 0 { 0 } else { forced.unwrap_or(asked) };
    let read = read(profile, &request, &path, &incoming.local_tag, package, expires);
    let Some(mut subscription) = read else {
        return incoming.respond(400, "", Headers::new(), None);
    };
    if subscription.size() > MAX_TEXT {
        return incoming.respond(413, "", Headers::new(), None);
    }
    let unanswered = Arc::clone(&profile.subscriptions.lock().unanswered);
    if !proved && unanswered.load(Ordering::Relaxed) >= MAX_UNANSWERED {
        return incoming.respond(503, "", Headers::new(), None);
    }
    if !proved && subscription.next_hop.is_none() {
        subscription.next_hop = super::requests::back_to_source(&subscription.target, &path);
    }
    let Some(kept) = keep(profile, subscription, expires) else {
        return incoming.respond(503, "", Headers::new(), None);
    };
    let mut headers = Headers::new();
    let ip = profile.sip_ip_for(Some(path.remote.ip()));
    headers.push(Name::Contact, SipUri::new(&kept.user, ip).port(profile.port()).bracketed());
    headers.push(Name::Expires, expires.to_string());
    let plain = settings.params.last("sip-subscribe-respond-200-ok").is_some_and(text::is_true);
    incoming.respond(if plain { 200 } else { 202 }, "", headers, None);
    if features {
        // The program that keeps them answers, and that becomes the NOTIFY.
        return feature_events::subscribed(profile, &request, expires);
    }
    if expires > 0 && kept.package != "message-summary" {
        watch::begin(&profile.switch);
    }
    if kept.package == "message-summary" && expires > 0 && mwi::ask_for(profile, &kept) {
        // The module that counts messages answers, and that becomes the NOTIFY.
        return;
    }
    let told = match lines {
        true => shared_lines::subscribed(profile, &kept, &request, expires),
        false => state_of(profile, &kept).into(),
    };
    tell(profile, &kept, expires, told, (!proved).then(|| Counted::new(unanswered)));
    if expires > 0 && !lines && kept.package != "message-summary" {
        let from = request.headers.from_addr();
        let from =
            from.map(|from| format!("{}@{}", from.uri.user().unwrap_or_default(), from.uri.host()));
        watch::probe(profile, &from.unwrap_or_default(), &kept, expires);
    }
}

/// Counts while it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn package_of(request: &Request) -> String {
    let event = request.headers.get(Name::Event).unwrap_or_default();
    event.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn read(
    profile: &Profile,
    request: &Request,
    path: &Path,
    local_tag: &str,
    package: String,
    expires: u32,
) -> Option<Subscription> {
    let to = request.headers.to_addr()?;
    let contact = request.headers.contact()?;
    let natted = super::nat::of_call(profile, request, path);
    let to_text = request.headers.get(Name::To)?;
    let local =
        if to.tag().is_some() { to_text.to_owned() } else { format!("{to_text};tag={local_tag}") };
    let settings = profile.settings.load();
    let host = settings
        .params
        .last("force-subscription-domain")
        .filter(|d| !d.is_empty())
        .unwrap_or_else(|| to.uri.host());
    Some(Subscription {
        user: to.uri.user()?.to_owned(),
        host: host.to_owned(),
        package,
        call_id: request.headers.call_id().to_owned(),
        local,
        remote: request.headers.get(Name::From)?.to_owned(),
        target: contact.uri,
        next_hop: natted.then(|| super::requests::source_uri(path)).flatten(),
        cseq: 1,
        expires: Instant::now() + Duration::from_secs(expires.into()),
        version: 0,
    })
}

/// Puts a subscription into the table, or renews or removes the one of the same dialog; gives the one to notify.
fn keep(profile: &Profile, new: Subscription, expires: u32) -> Option<Subscription> {
    let mut table = profile.subscriptions.lock();
    table.sweep(Instant::now());
    let mut kept = new;
    if let Some(old) = table.remove(&kept.call_id, &kept.package) {
        kept.local = old.local;
        kept.cseq = old.cseq + 1;
        kept.version = old.version + 1;
    }
    (expires == 0 || table.insert(kept.clone())).then_some(kept)
}

/// What a new subscriber is told.
fn state_of(profile: &Profile, subscription: &Subscription) -> Body {
    let Subscription { user, host, package, .. } = subscription;
    match package.as_str() {
        "message-summary" => mwi::nothing_known(&format!("{user}@{host}")),
        _ => watch::full_state(profile, subscription),
    }
}

/// The subscriptions that are due a NOTIFY, each with the numbers it has.
pub(super) fn due(profile: &Profile, watched: impl Fn(&Subscription) -> bool) -> Vec<Subscription> {
    let now = Instant::now();
    let mut subscriptions = profile.subscriptions.lock();
    let watched = subscriptions.table.values_mut().filter(|s| s.expires > now && watched(s));
    let told = watched.map(|subscription| {
        subscription.cseq += 1;
        subscription.version += 1;
        subscription.clone()
    });
    told.collect()
}

/// Is there a subscription of that kind?
pub(super) fn is_watched(profile: &Profile, watched: impl Fn(&Subscription) -> bool) -> bool {
    let now = Instant::now();
    profile.subscriptions.lock().table.values().any(|s| s.expires > now && watched(s))
}

/// Takes subscriptions away; each is due its last NOTIFY.
pub(super) fn end(profile: &Profile, over: impl Fn(&Subscription) -> bool) -> Vec<Subscription> {
    let ended = due(profile, &over);
    if !ended.is_empty() {
        profile.subscriptions.lock().retain(|s| !over(s));
    }
    ended
}

/// What a NOTIFY says.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) body: Option<Body>,
    pub(super) headers: Headers,
    /// The subscription is over, and why.
    pub(super) ended: Option<&'static str>,
}

impl From<Body> for Told {
    fn from(body: Body) -> Self {
        Self { body: Some(body), ..Self::default() }
    }
}

/// NOTIFY within a subscription that was [`due`].
pub(super) fn tell_due(profile: &Arc<Profile>, subscription: &Subscription, told: impl Into<Told>) {
    let left = subscription.expires.saturating_duration_since(Instant::now()).as_secs();
    tell(profile, subscription, u32::try_from(left).unwrap_or(u32::MAX), told.into(), None);
}

/// The last NOTIFY of a subscription that was [`end`]ed.
pub(super) fn tell_end(profile: &Arc<Profile>, subscription: &Subscription, told: Told) {
    tell(profile, subscription, 0, told, None);
}

/// NOTIFY within a subscription.
fn tell(
    profile: &Arc<Profile>,
    subscription: &Subscription,
    left: u32,
    told: Told,
    counted: Option<Counted>,
) {
    let Some(spec) = notify_request(profile, subscription, left, told) else { return };
    let (stack, profile) = (profile.stack.clone(), Arc::clone(profile));
    let call_id = subscription.call_id.clone();
    tokio::spawn(async move {
        // A subscriber that is gone, or does not know the subscription, is not told again (RFC 6665 §4.2.2).
        let gone = match stack.request(spec).await {
            Ok(reply) => matches!(reply.response.status, 404 | 410 | 481),
            Err(_) => true,
        };
        drop(counted);
        if gone {
            profile.subscriptions.lock().retain(|s| s.call_id != call_id);
        }
    });
}

fn notify_request(
    profile: &Profile,
    subscription: &Subscription,
    left: u32,
    told: Told,
) -> Option<OutOfDialog> {
    let (from, to) =
        (NameAddr::parse(&subscription.local)?, NameAddr::parse(&subscription.remote)?);
    let mut spec = OutOfDialog::new(Method::Notify, subscription.target.clone(), from, to);
    let ip = profile.sip_ip_for(spec.request_uri.host_ip());
    let contact = SipUri::new(&subscription.user, ip).port(profile.port());
    spec.contact = contact.uri().map(NameAddr::new);
    spec.call_id = Some(subscription.call_id.clone());
    spec.cseq = Some(100_000 + subscription.cseq);
    spec.next_hop = subscription.next_hop.clone();
    spec.headers.push(Name::Event, &subscription.package);
    let state = match told.ended {
        Some(reason) => format!("terminated;reason={reason}"),
        None if left > 0 => format!("active;expires={left}"),
        None => "terminated;reason=timeout".into(),
    };
    spec.headers.push(Name::SubscriptionState, state);
    for header in told.headers.iter() {
        spec.headers.push_text(header.text, header.value);
    }
    spec.body = told.body;
    Some(spec)
}

/// Answers a PUBLISH.
pub async fn publish(profile: &Arc<Profile>, incoming: IncomingRequest) {
    let request = Arc::clone(&incoming.request);
    let proof = Proof::DigestOrAddress;
    if let Err(refusal) = auth::admit_request(profile, &request, &incoming.path, proof).await {
        return incoming.respond(refusal.status, refusal.reason, refusal.headers, None);
    }
    let expires = request.headers.number(Name::Expires).unwrap_or(DEFAULT_EXPIRES);
    let mut headers = Headers::new();
    headers.push(Name::Expires, expires.to_string());
    headers.push(Name::SipEtag, crate::clock::new_uuid());
    incoming.respond(200, "", headers, None);
    let Some(from) = request.headers.from_addr() else { return };
    let mut event = Event::new(EventName::PresenceIn);
    event.push("proto", "sip");
    event.push("login", profile.name.as_str());
    event.push("from", format!("{}@{}", from.uri.user().unwrap_or_default(), from.uri.host()));
    event.push("event_type", "presence");
    event.set_body(request.body.clone());
    esl_server::fire!(profile.switch.bus, event);
}
