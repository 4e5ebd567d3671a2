//! Message waiting indication (RFC 3842): phones learn how many messages their mailboxes hold.
//!
//! A module that counts messages answers with MESSAGE_WAITING; this asks for it with MESSAGE_QUERY where a phone registers or
//! subscribes, and turns the answers into NOTIFYs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use esl_server::event::{Event, EventName};
use parking_lot::Mutex;
use sip::message::{Headers, Method, Name};
use sip::registrar::Binding;
use sip::stack::Body;
use sip::uri::with_scheme;

use super::Sofia;
use super::notify;
use super::presence::{self, Subscription};
use super::profile::Profile;
use crate::text;

/// With `first-only`, one account is asked about so often at most.
const PAUSE: Duration = Duration::from_secs(30);
/// Accounts remembered for that.
const MAX_ASKED: usize = 20_000;

/// When which account was asked about.
#[derive(Debug, Default)]
struct Asked(Mutex<HashMap<String, Instant>>);

impl Asked {
    fn may_ask(&self, account: &str) -> bool {
        let (now, mut asked) = (Instant::now(), self.0.lock());
        if asked.get(account).is_some_and(|last| now.saturating_duration_since(*last) < PAUSE) {
            return false;
        }
        if asked.len() >= MAX_ASKED {
            asked.retain(|_, last| now.saturating_duration_since(*last) < PAUSE);
        }
        if asked.len() < MAX_ASKED {
            asked.insert(account.to_owned(), now);
        }
        true
    }
}

/// When a registration leads to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// Only of an account with one phone, and not too often.
    First,
    Never,
}

impl When {
    fn of(word: Option<&str>) -> Self {
        match word {
            None => Self::First,
            Some(word) if word.eq_ignore_ascii_case("first-only") => Self::First,
            Some(word) if text::is_true(word) => Self::Always,
            Some(_) => Self::Never,
        }
    }
}

/// `send-message-query-on-register`: the question a registration leads to. `own` is the user's word, `phones` how many
/// are registered as the user now.
pub(super) fn on_register(
    profile: &Profile,
    own: Option<&str>,
    binding: &Binding,
    phones: usize,
) -> Option<Event> {
    let settings = profile.settings.load();
    let word = own.or_else(|| settings.params.last("send-message-query-on-register"));
    let account = &binding.mwi_account;
    let asks = match When::of(word) {
        When::Always => true,
        When::First => phones == 1 && profile.switch.module::<Asked>().may_ask(account),
        When::Never => false,
    };
    asks.then(|| query(profile, account, "VM-Call-ID", &binding.call_id))
}

fn query(profile: &Profile, account: &str, header: &'static str, call_id: &str) -> Event {
    let mut event = Event::new(EventName::MessageQuery);
    event.push("Message-Account", with_scheme(account).into_owned());
    event.push("VM-Sofia-Profile", profile.name.as_str());
    event.push(header, call_id.to_owned());
    event
}

/// A phone has subscribed. False when no module counts messages: the query would stay unanswered.
pub(super) fn ask_for(profile: &Profile, subscription: &Subscription) -> bool {
    let counts = |module: &&'static dyn crate::contract::Module| {
        let events = module.provides().events;
        events.iter().flat_map(|list| *list).any(|event| event.name == "MESSAGE_WAITING")
    };
    if !profile.switch.loaded_modules().iter().any(counts) {
        return false;
    }
    let account = format!("{}@{}", subscription.user, subscription.host);
    let event = query(profile, &account, "VM-sub-call-id", &subscription.call_id);
    esl_server::fire!(profile.switch.bus, event);
    true
}

/// What a subscriber is told where no module counts messages.
pub(super) fn nothing_known(account: &str) -> Body {
    body_of(&[
        ("Messages-Waiting", "no".to_owned()),
        ("Message-Account", with_scheme(account).into_owned()),
        ("Voice-Message", "0/0 (0/0)".to_owned()),
    ])
}

fn body_of(lines: &[(&str, String)]) -> Body {
    let mut text = String::new();
    for (name, value) in lines {
        // A value is one line.
        let value = value.replace(['\r', '\n'], " ");
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    Body::new("application/simple-message-summary", text)
}

/// The `MWI-` headers of an event, in its order.
fn summary(event: &Event) -> Body {
    let mut lines = Vec::new();
    event.for_each_header(|name, value| {
        if name.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("MWI-")) {
            let mut value = value.text().into_owned();
            if name.eq_ignore_ascii_case("MWI-Message-Account") {
                value = with_scheme(&value).into_owned();
            }
            lines.push((name[4..].to_owned(), value));
        }
    });
    let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    body_of(&lines)
}

/// MESSAGE_WAITING: subscribers of the account and phones registered with it learn the count; of an answer to a
/// question only the phone it was asked for.
pub(super) fn message_waiting(sofia: &Sofia, event: &Event) {
    let get = |name: &str| event.get(name).map(std::borrow::Cow::into_owned).unwrap_or_default();
    let account = get("MWI-Message-Account").trim_start_matches("sip:").to_owned();
    let Some((user, host)) = account.split_once('@') else { return };
    if get("MWI-Messages-Waiting").is_empty() {
        tracing::error!("Missing required Header 'MWI-Messages-Waiting'");
        return;
    }
    let (only, call_id, sub_call_id) = (get("Sofia-Profile"), get("Call-ID"), get("sub-call-id"));
    let for_all = call_id.is_empty() && sub_call_id.is_empty();
    let body = summary(event);
    for profile in sofia.profiles() {
        if !only.is_empty() && profile.name != only {
            continue;
        }
        let mut told = Vec::new();
        if for_all || !sub_call_id.is_empty() {
            told = presence::due(&profile, |s| {
                s.package == "message-summary"
                    && s.user == user
                    && s.host.eq_ignore_ascii_case(host)
                    && (for_all || s.call_id == sub_call_id)
            });
        }
        for subscription in &told {
            presence::tell_due(&profile, subscription, body.clone());
        }
        if !told.is_empty() || (!for_all && call_id.is_empty()) {
            continue;
        }
        let wanted = |binding: &&Binding| match for_all {
            true => binding.mwi_account.eq_ignore_ascii_case(&account),
            false => binding.call_id == call_id,
        };
        let phones: Vec<_> =
            profile.bindings.lock().all().into_iter().filter(wanted).cloned().collect();
        for phone in phones {
            notify_phone(&profile, &phone, body.clone());
        }
    }
}

fn notify_phone(profile: &Arc<Profile>, phone: &Binding, body: Body) {
    let mut headers = Headers::new();
    headers.push(Name::Event, "message-summary");
    headers.push(Name::SubscriptionState, "terminated;reason=noresource");
    notify::to_binding(profile, phone, &Method::Notify, headers, Some(body));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_what_the_event_says() {
        let mut event = Event::new(EventName::MessageWaiting);
        event.push("MWI-Messages-Waiting", "yes").push("Update-Reason", "NEW");
        event.push("MWI-Message-Account", "1@d").push("MWI-Voice-Message", "1/0\r\nX: y");
        let body = summary(&event);
        let text = String::from_utf8_lossy(&body.bytes).into_owned();
        assert_eq!(
            text,
            "Messages-Waiting: yes\r\nMessage-Account: sip:1@d\r\nVoice-Message: 1/0  X: y\r\n\r\n"
        );
    }

    #[test]
    fn an_account_is_not_asked_about_at_each_renewal() {
        let asked = Asked::default();
        assert!(asked.may_ask("1@d") && !asked.may_ask("1@d") && asked.may_ask("2@d"));
        assert_eq!(When::of(Some("true")), When::Always);
        assert_eq!((When::of(None), When::of(Some("false"))), (When::First, When::Never));
    }
}
