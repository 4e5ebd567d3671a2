//! NOTIFY, MESSAGE and OPTIONS to phones: message counts, check-sync, texts, keep-alives.

use std::sync::Arc;
use std::time::Duration;

use esl_server::event::{Event, EventName};
use sip::message::{Headers, Method, Name};
use sip::registrar::Binding;
use sip::stack::{Body, OutOfDialog};
use sip::uri::{NameAddr, SipUri, Uri, unescape};

use super::Sofia;
use super::profile::Profile;
use super::registrar::uri_of;
use crate::contract::ChatMessage;

/// Events of programs waiting to become requests; what comes while so many wait is lost.
const QUEUE: usize = 1000;

/// Takes up the events by which programs ask for SIP requests.
pub fn start(sofia: &Arc<Sofia>) {
    let mut events = sofia.switch().bus.subscribe(QUEUE);
    for name in [
        EventName::MessageWaiting,
        EventName::Notify,
        EventName::PhoneFeature,
        EventName::SendMessage,
        EventName::SendInfo,
    ] {
        events.listen(name);
    }
    let sofia = Arc::downgrade(sofia);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let Some(sofia) = sofia.upgrade() else { return };
            crate::tasks::step("Requests by event", async {
                match event.name() {
                    EventName::MessageWaiting => super::mwi::message_waiting(&sofia, &event),
                    EventName::PhoneFeature => super::feature_events::tell(&sofia, &event),
                    _ => super::event_requests::handle(&sofia, &event),
                }
            })
            .await;
        }
    });
}

/// Sends a request to a registered phone.
pub fn to_binding(
    profile: &Arc<Profile>,
    binding: &Binding,
    method: &Method,
    headers: Headers,
    body: Option<Body>,
) {
    send(profile, request_to_binding(profile, binding, method, headers, body));
}

/// Sends a text message (`chat sip|…`); false when it reaches no phone.
pub fn chat(sofia: &Sofia, message: &ChatMessage<'_>) -> bool {
    // A line end would begin a header of its own.
    if message.kind.chars().any(char::is_control) {
        return false;
    }
    let (profile, address) = message
        .to
        .split_once('/')
        .map_or((None, message.to), |(profile, address)| (Some(profile), address));
    let Some((user, host)) = address.split_once('@') else { return false };
    let mut sent = false;
    for one in sofia.profiles() {
        if profile.is_none_or(|name| one.name == name) {
            sent |= self::message(&one, user, host, message.from, message.kind, message.body);
        }
    }
    sent
}

/// Sends a text to a user's phones (`chat`); false when none is registered here.
fn message(
    profile: &Arc<Profile>,
    user: &str,
    host: &str,
    from: &str,
    kind: &str,
    text: &str,
) -> bool {
    let bindings: Vec<Binding> = {
        let table = profile.bindings.lock();
        table.find(user, host, crate::clock::now_secs()).cloned().collect()
    };
    let shown = sender(from, host);
    for binding in &bindings {
        let to = SipUri::new(user, host).to_string();
        let body = Body::new(kind, text.to_owned().into_bytes());
        let target = uri_of(&binding.contact);
        let (headers, body) = (Headers::new(), Some(body));
        let request = request_to(profile, &Method::Message, target, &to, None, headers, body);
        let request = request.zip(shown.clone()).map(|(spec, from)| OutOfDialog { from, ..spec });
        send(profile, request);
    }
    !bindings.is_empty()
}

/// `From` of a text, in `domain` where it names none: the user is its display name too, as in the reference; of `conf+room@domain`
/// that is the room alone.
fn sender(from: &str, domain: &str) -> Option<NameAddr> {
    if from.contains(':') {
        return NameAddr::parse(from);
    }
    let (user, host) = from.split_once('@').unwrap_or((from, domain));
    let mut address = NameAddr::new(SipUri::new(user, host).uri()?);
    let shown = user.split_once('+').filter(|(way, _)| !way.is_empty()).map_or(user, |(_, to)| to);
    address.display = Some(shown.to_owned());
    Some(address)
}

fn request_to_binding(
    profile: &Profile,
    binding: &Binding,
    method: &Method,
    headers: Headers,
    body: Option<Body>,
) -> Option<OutOfDialog> {
    let address = SipUri::new(&binding.user, &binding.host).to_string();
    request_to(profile, method, uri_of(&binding.contact), &address, Some(&address), headers, body)
}

/// A request to a contact as stored (`fs_path` names the way to it).
pub(super) fn request_to(
    profile: &Profile,
    method: &Method,
    target: &str,
    to: &str,
    from: Option<&str>,
    headers: Headers,
    body: Option<Body>,
) -> Option<OutOfDialog> {
    let stored = Uri::parse(target)?;
    let kept = stored.params().without(|name| name.starts_with("fs_") || name == "received");
    let uri = stored.with_params(&kept)?;
    let address = |text: &str| {
        let text = text.trim_matches(['<', '>']);
        Uri::parse(text).map(|uri| NameAddr::new(uri.without_headers()))
    };
    let own = profile.url();
    let mut spec =
        OutOfDialog::new(method.clone(), uri, address(from.unwrap_or(&own))?, address(to)?);
    let path = stored.params().get("fs_path").map(unescape);
    let (hop, route) = path.as_deref().map(crate::outbound::way_of).unwrap_or_default();
    spec.next_hop = hop.or_else(|| profile.outbound_proxy());
    let ip = profile.sip_ip_for(spec.request_uri.host_ip());
    let user = &profile.settings.load().contact_user;
    spec.contact = SipUri::new(user, ip).port(profile.port()).uri().map(NameAddr::new);
    spec.headers = headers;
    if let Some(route) = route {
        spec.headers.push(Name::Route, route);
    }
    spec.body = body;
    Some(spec)
}

/// Sends a request; its response is not waited for.
pub(super) fn send(profile: &Arc<Profile>, spec: Option<OutOfDialog>) {
    let Some(spec) = spec else {
        tracing::warn!("A request was asked for that cannot be addressed");
        return;
    };
    let stack = profile.stack.clone();
    tokio::spawn(async move {
        let _answer = stack.request(spec).await;
    });
}

/// `check_sync`: asks phones to fetch their configuration. What to say depends on the maker.
pub fn check_sync(profile: &Arc<Profile>, binding: &Binding, reboot: bool) {
    let agent = binding.user_agent.to_ascii_lowercase();
    let event = if agent.contains("snom") || agent.contains("yealink") {
        "check-sync;reboot=true"
    } else if agent.contains("linksys") && reboot {
        "reboot_now"
    } else if agent.contains("spa") && reboot {
        "reboot"
    } else {
        "check-sync"
    };
    let mut headers = Headers::new();
    headers.push(Name::Event, event);
    headers.push(Name::SubscriptionState, "terminated;reason=noresource");
    to_binding(profile, binding, &Method::Notify, headers, None);
}

/// OPTIONS to phones that keep their NAT's door open that way (`nat-options-ping`, `all-reg-options-ping`).
pub fn keep_alive(profile: &Arc<Profile>) {
    let settings = profile.settings.load_full();
    let word = |name: &str| settings.params.last(name).unwrap_or_default().to_ascii_lowercase();
    let all = crate::text::is_true(&word("all-reg-options-ping"));
    let nat = word("nat-options-ping");
    let udp_only = nat == "udp-only";
    if !all && !udp_only && !crate::text::is_true(&nat) {
        return;
    }
    let chosen: Vec<Binding> = {
        let table = profile.bindings.lock();
        let wanted = |b: &&Binding| {
            all || (b.status.contains("NAT") && (!udp_only || b.network_proto == "udp"))
        };
        table.all().into_iter().filter(wanted).cloned().collect()
    };
    profile.pings.lock().retain(|contact, _| chosen.iter().any(|b| b.contact == *contact));
    for binding in chosen {
        let Some(mut spec) =
            request_to_binding(profile, &binding, &Method::Options, Headers::new(), None)
        else {
            continue;
        };
        spec.call_id = Some(format!("{}_{}", crate::clock::new_uuid(), binding.call_id));
        let profile = Arc::clone(profile);
        tokio::spawn(async move {
            let reply = profile.stack.request(spec).await.ok();
            let time = reply.as_ref().map(|reply| reply.round_trip).unwrap_or_default();
            let status = reply.map(|reply| (reply.response.status, reply.response.reason));
            on_keep_alive(&profile, &binding, status, time);
        });
    }
}

/// What keep-alives found out about a contact.
#[derive(Clone, Copy, Debug)]
pub struct Ping {
    /// Answers less silences, within `sip-user-ping-min` and `sip-user-ping-max`.
    count: i64,
    /// It answers.
    pub reachable: bool,
    /// Round trip of the last answer.
    pub time: Duration,
}

impl Ping {
    /// Counts an answer (with its round trip) or a silence; true when that changes what is thought of the phone.
    fn count(&mut self, answered: Option<Duration>, min: i64, max: i64) -> bool {
        let was = self.reachable;
        match answered {
            Some(time) => {
                self.time = time;
                self.count = if self.count < 0 { 0 } else { (self.count + 1).min(max) };
                self.reachable |= self.count >= min;
            }
            None => {
                self.count = (self.count - 1).max(-1);
                self.reachable &= self.count >= min;
            }
        }
        was != self.reachable
    }
}

/// What a phone's silence or answer means.
fn on_keep_alive(
    profile: &Arc<Profile>,
    binding: &Binding,
    status: Option<(u16, String)>,
    time: Duration,
) {
    let settings = profile.settings.load();
    let number = |name: &str, default: i64| settings.params.int(name).unwrap_or(default).max(1);
    let (min, max) = (number("sip-user-ping-min", 1), number("sip-user-ping-max", 3));
    let answered = matches!(status, Some((200 | 486, _))).then_some(time);
    let (changed, alive) = {
        let mut pings = profile.pings.lock();
        let ping = pings.entry(binding.contact.clone()).or_insert(Ping {
            count: 0,
            reachable: true,
            time: Duration::ZERO,
        });
        (ping.count(answered, min, max), ping.reachable)
    };
    if !changed {
        return;
    }
    let (code, phrase) = status.unwrap_or((408, "Request Timeout".into()));
    let mut event = Event::custom("sofia::sip_user_state");
    event.push("sip_contact", binding.contact.as_str());
    event.push("profile-name", profile.name.as_str());
    event.push("sip_user", binding.user.as_str());
    event.push("from-user", binding.user.as_str());
    event.push("from-host", binding.host.as_str());
    event.push("call-id", binding.call_id.as_str());
    event.push("Ping-Status", if alive { "REACHABLE" } else { "UNREACHABLE" });
    event.push("Status", code.to_string());
    event.push("Phrase", phrase);
    esl_server::fire!(profile.switch.bus, event);
    let drop_it =
        settings.params.last("unregister-on-options-fail").is_some_and(crate::text::is_true);
    if !alive && drop_it {
        profile.pings.lock().remove(&binding.contact);
        let gone = profile
            .bindings
            .lock()
            .take(|b| b.contact == binding.contact && b.call_id == binding.call_id);
        for binding in &gone {
            super::registrar::fire_expired(profile, binding);
        }
    }
}

/// How often keep-alives go out.
#[must_use]
pub fn keep_alive_interval(profile: &Profile) -> Duration {
    let seconds = profile.settings.load().params.int("ping-mean-interval").unwrap_or(30);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(30).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_that_answered_often_may_be_silent_for_a_while() {
        let mut ping = Ping { count: 0, reachable: true, time: Duration::ZERO };
        let answer = Some(Duration::from_millis(20));
        for _ in 0..5 {
            assert!(!ping.count(answer, 1, 3));
        }
        assert!(!ping.count(None, 1, 3) && !ping.count(None, 1, 3));
        assert!(ping.count(None, 1, 3) && !ping.reachable);
        assert!(!ping.count(None, 1, 3));
        assert!(!ping.count(answer, 1, 3), "the first answer only ends the silence");
        assert!(ping.count(answer, 1, 3) && ping.reachable);
    }

    #[test]
    fn a_phone_never_heard_of_is_gone_at_the_first_silence() {
        let mut ping = Ping { count: 0, reachable: true, time: Duration::ZERO };
        assert!(ping.count(None, 1, 3) && !ping.reachable);
    }

    #[test]
    fn a_text_comes_from_the_address_it_may_be_answered_at() {
        let from = |text: &str| sender(text, "b.test").map(|address| address.to_string());
        assert_eq!(from("1000@a.test").as_deref(), Some("\"1000\" <sip:1000@a.test>"));
        assert_eq!(from("conf+hall@a.test").as_deref(), Some("\"hall\" <sip:conf+hall@a.test>"));
        assert_eq!(from("+4930@a.test").as_deref(), Some("\"+4930\" <sip:+4930@a.test>"));
        assert_eq!(from("sip:1000@a.test").as_deref(), Some("<sip:1000@a.test>"));
        assert_eq!(from("a b@a.test").as_deref(), Some("\"a b\" <sip:a%20b@a.test>"));
        assert_eq!(from("desk").as_deref(), Some("\"desk\" <sip:desk@b.test>"));
        assert_eq!(from("sip:"), None);
    }
}
