//! What watched users' calls do, told to subscribers: `dialog` (RFC 4235, busy lamps) and `presence` (RFC 3863, RFC 4480).
//!
//! Calls with a `presence_id` fire PRESENCE_IN; programs may send such events too (`sendevent PRESENCE_IN`), which is how
//! lamps of features are lit. Nothing listens for them before the first subscription.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::xml::in_xml;
use esl_server::event::{Event, EventName};
use sip::stack::Body;
use sip::uri::SipUri;

use super::Sofia;
use super::presence::{self, Subscription};
use super::profile::Profile;
use super::settings::Settings;
use super::shared_lines;
use crate::call::Channel;
use crate::switch::Switch;
use crate::text::is_true;

/// Events that wait to be told. What comes while so many wait is lost: a lamp then shows an older state until the next.
const QUEUE: usize = 4000;

/// How far a call is, as RFC 4235 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Early,
    Confirmed,
    Terminated,
}

impl Progress {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Confirmed => "confirmed",
            Self::Terminated => "terminated",
        }
    }
}

/// A call of a watched user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WatchedCall {
    uuid: String,
    /// The user is called; otherwise it calls.
    recipient: bool,
    progress: Progress,
    held: bool,
    /// Number and name of the other party.
    number: String,
    name: String,
    /// The other party is not told.
    private: bool,
    /// What people are told instead of a note of ours (`force-status`).
    note: String,
}

impl WatchedCall {
    /// A call as an event of it (or its data) describes it; `None` for an event that is about no call.
    fn of(event: &Event, user: &str) -> Option<Self> {
        let get =
            |name: &str| event.get(name).map(std::borrow::Cow::into_owned).unwrap_or_default();
        let either = |name: &str, other: &str| match get(name) {
            empty if empty.is_empty() => get(other),
            found => found,
        };
        let uuid = Some(get("Unique-ID")).filter(|uuid| !uuid.is_empty())?;
        let inbound = get("Presence-Call-Direction").eq_ignore_ascii_case("inbound");
        // A leg whose identity the dialplan set is seen from the other side: its user is the one who is called.
        let recipient = !inbound || get("Caller-Username") != user;
        let over = get("Channel-State").eq_ignore_ascii_case("CS_HANGUP");
        let progress = match get("Answer-State").to_ascii_lowercase().as_str() {
            _ if over => Progress::Terminated,
            "answered" | "confirmed" => Progress::Confirmed,
            "hangup" | "terminated" => Progress::Terminated,
            "early" => Progress::Early,
            _ if recipient => Progress::Early,
            _ => Progress::Confirmed,
        };
        let (number, name) = if inbound {
            (get("Caller-Destination-Number"), String::new())
        } else {
            (
                either("Caller-Caller-ID-Number", "Other-Leg-Caller-ID-Number"),
                either("Caller-Caller-ID-Name", "Other-Leg-Caller-ID-Name"),
            )
        };
        Some(Self {
            uuid,
            recipient,
            progress,
            held: !over && get("status").to_ascii_lowercase().starts_with("hold"),
            number,
            name,
            private: is_true(&get("Presence-Privacy")),
            note: get("force-status"),
        })
    }

    fn of_channel(channel: &Channel, user: &str) -> Option<Self> {
        let mut call = Self::of(&channel.channel_data(false), user)?;
        call.held = channel.flags.held.load(Ordering::Relaxed);
        call.private = channel.is_true("presence_privacy");
        Some(call)
    }

    /// The state a `dialog` element shows; a held call may look otherwise (`presence-hold-state`).
    fn shown(&self, settings: &Settings) -> Progress {
        if !self.held || self.progress == Progress::Terminated {
            return self.progress;
        }
        match settings.params.last("presence-hold-state") {
            Some("confirmed") => Progress::Confirmed,
            Some("terminated") => Progress::Terminated,
            _ => Progress::Early,
        }
    }
}

/// Calls of a user that are up now.
fn calls_of(switch: &Switch, user: &str, host: &str) -> Vec<WatchedCall> {
    let id = format!("{user}@{host}");
    let channels = switch.channels();
    let own = channels.iter().filter(|channel| channel.is_up());
    let own =
        own.filter(|c| c.own_var("presence_id").is_some_and(|own| own.eq_ignore_ascii_case(&id)));
    own.filter_map(|channel| WatchedCall::of_channel(channel, user)).collect()
}

/// Listens for PRESENCE_IN from now on, if it does not yet.
pub(super) fn begin(switch: &Arc<Switch>) {
    #[derive(Default)]
    struct Begun(AtomicBool);
    if switch.module::<Begun>().0.swap(true, Ordering::Relaxed) {
        return;
    }
    let Some(sofia) = Sofia::find_in(switch) else { return };
    let mut events = switch.bus.subscribe(QUEUE);
    events.listen(EventName::PresenceIn);
    let sofia = Arc::downgrade(&sofia);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let Some(sofia) = sofia.upgrade() else { return };
            crate::tasks::step("NOTIFY of presence", async { changed(&sofia, &event) }).await;
        }
    });
}

/// PRESENCE_PROBE: modules and clients that know what a subscriber asks for answer with PRESENCE_IN. What belongs to no phone
/// (`park+5900`) has its protocol in front.
pub(super) fn probe(profile: &Profile, from: &str, subscription: &Subscription, expires: u32) {
    let Subscription { user, host, package, call_id, .. } = subscription;
    let proto = user.split_once('+').map(|(proto, _)| proto);
    let plain = proto.is_none();
    let mut event = Event::new(EventName::PresenceProbe);
    if plain && package == "dialog" {
        event.push("probe-type", "dialog");
    }
    event.push("proto", proto.unwrap_or("sip").to_owned());
    event.push("login", profile.name.as_str());
    event.push("sip_profile", profile.name.as_str());
    if plain && package == "presence" {
        event.push("presence-source", "subscribe");
    }
    event.push("from", from.to_owned());
    event.push("to", format!("{user}@{host}"));
    if !plain || package == "dialog" {
        event.push("proto-specific-event-name", package.as_str());
        event.push("expires", expires.to_string());
        event.push("event_type", "presence");
        event.push("alt_event_type", "dialog");
        event.push("expires", expires.to_string());
    } else {
        event.push("expires", expires.to_string());
        event.push("alt_event_type", "dialog");
        event.push("rpid", "unknown");
        event.push("status", "Registered");
    }
    event.push("sub-call-id", call_id.as_str());
    esl_server::fire!(profile.switch.bus, event);
}

/// PRESENCE_IN: subscribers of its user learn what its call does now.
fn changed(sofia: &Sofia, event: &Event) {
    let get = |name: &str| event.get(name).map(std::borrow::Cow::into_owned).unwrap_or_default();
    let from = get("from");
    let from = from.trim_start_matches("sip:");
    let Some((user, host)) = from.split_once('@') else { return };
    // `park+5900`: what belongs to no phone is watched with its protocol in front.
    let prefixed = format!("{}+{user}", get("proto"));
    let call = WatchedCall::of(event, user);
    // The answer to one subscriber's question (PRESENCE_PROBE).
    let only = get("call-id");
    for profile in sofia.profiles() {
        shared_lines::changed(&profile, event, user, host);
        let watched = |s: &Subscription| {
            matches!(s.package.as_str(), "dialog" | "presence")
                && (s.user == user || s.user == prefixed)
                && s.host.eq_ignore_ascii_case(host)
                && (only.is_empty() || s.call_id == only)
        };
        let told = presence::due(&profile, watched);
        if told.is_empty() || call.as_ref().is_some_and(|call| is_hushed(&profile, call)) {
            continue;
        }
        let mut calls = shown_calls(&profile, user, host);
        if let Some(call) = &call {
            calls.retain(|other| other.uuid != call.uuid);
            calls.push(call.clone());
        }
        for subscription in &told {
            let body = match (subscription.package.as_str(), &call) {
                ("dialog", Some(call)) => {
                    dialog_info(&profile, subscription, std::slice::from_ref(call), false)
                }
                ("dialog", None) => continue,
                _ => pidf(&profile, subscription, &calls, &get("status"), &get("rpid")),
            };
            presence::tell_due(&profile, subscription, body);
        }
    }
}

/// A user's phone has registered or is gone: subscribers to its presence are told.
pub(super) fn registration_changed(profile: &Arc<Profile>, user: &str, host: &str) {
    if !profile.subscriptions.lock().watch(user, host) {
        return;
    }
    let told = presence::due(profile, |s| {
        s.package == "presence" && s.user == user && s.host.eq_ignore_ascii_case(host)
    });
    if told.is_empty() {
        return;
    }
    let calls = shown_calls(profile, user, host);
    for subscription in &told {
        presence::tell_due(profile, subscription, pidf(profile, subscription, &calls, "", ""));
    }
}

/// Are calls told of only once they are answered (`presence-disable-early`, the parameter and the variable)?
fn is_hushed(profile: &Profile, call: &WatchedCall) -> bool {
    let channel = profile.switch.channel(&call.uuid);
    let by_call = channel.as_ref().is_some_and(|c| c.is_true("presence_disable_early"));
    let hush = by_call
        || profile.settings.load().params.last("presence-disable-early").is_some_and(is_true);
    let answered = channel.is_some_and(|channel| channel.is_answered());
    hush && (call.progress == Progress::Early || call.progress == Progress::Terminated && !answered)
}

/// The calls of a user that subscribers are told of now.
fn shown_calls(profile: &Profile, user: &str, host: &str) -> Vec<WatchedCall> {
    let mut calls = calls_of(&profile.switch, user, host);
    calls.retain(|call| !is_hushed(profile, call));
    calls
}

/// What a new subscriber is told: all there is.
pub(super) fn full_state(profile: &Profile, subscription: &Subscription) -> Body {
    let calls = shown_calls(profile, &subscription.user, &subscription.host);
    match subscription.package.as_str() {
        "dialog" => dialog_info(profile, subscription, &calls, true),
        _ => pidf(profile, subscription, &calls, "", ""),
    }
}

/// `application/dialog-info+xml`. Of one that is not `full` a subscriber keeps what it knows of other calls.
fn dialog_info(profile: &Profile, to: &Subscription, calls: &[WatchedCall], full: bool) -> Body {
    let settings = profile.settings.load();
    let shown: Vec<_> = calls.iter().map(|call| (call, call.shown(&settings))).collect();
    Body::new(
        "application/dialog-info+xml",
        dialog_info_text(&to.user, &to.host, to.version, &shown, full),
    )
}

fn dialog_info_text(
    user: &str,
    host: &str,
    version: u32,
    calls: &[(&WatchedCall, Progress)],
    full: bool,
) -> String {
    let entity = in_xml(&SipUri::new(user, host).to_string());
    let pickup = in_xml(&SipUri::new(&format!("**{user}"), host).to_string());
    let user = in_xml(user);
    let state = if full { "full" } else { "partial" };
    let mut text = format!(
        "<?xml version=\"1.0\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" \
         state=\"{state}\" entity=\"{entity}\">\n"
    );
    for (call, progress) in calls {
        let direction = if call.recipient { "recipient" } else { "initiator" };
        let _ = writeln!(
            text,
            "<dialog id=\"{}\" direction=\"{direction}\">\n<state>{}</state>",
            in_xml(&call.uuid),
            progress.as_str()
        );
        if *progress != Progress::Terminated && !call.number.is_empty() {
            let rendering = if call.held { "no" } else { "yes" };
            let _ = writeln!(
                text,
                "<local>\n<identity display=\"{user}\">{entity}</identity>\n\
                 <target uri=\"{entity}\">\n<param pname=\"+sip.rendering\" pvalue=\"{rendering}\"/>\n\
                 </target>\n</local>\n<remote>"
            );
            let name = in_xml(if call.name.is_empty() { &call.number } else { &call.name });
            let party = in_xml(&SipUri::new(&call.number, host).to_string());
            let _ = if call.private {
                writeln!(
                    text,
                    "<identity display=\"Anonymous\">sip:anonymous@anonymous.invalid</identity>"
                )
            } else {
                writeln!(text, "<identity display=\"{name}\">{party}</identity>")
            };
            // What a lamp's button dials to pick the call up.
            let _ = writeln!(text, "<target uri=\"{pickup}\"/>\n</remote>");
        }
        text.push_str("</dialog>\n");
    }
    text.push_str("</dialog-info>\n");
    text
}

/// `application/pidf+xml`: reachable or not, on the phone or not, and a note for people. Without a call, what a program
/// says of the user (`status`, `rpid`) is shown.
fn pidf(
    profile: &Profile,
    to: &Subscription,
    calls: &[WatchedCall],
    status: &str,
    rpid: &str,
) -> Body {
    let (user, host) = (&to.user, &to.host);
    let registered =
        profile.bindings.lock().find(user, host, crate::clock::now_secs()).next().is_some();
    let busy = calls.iter().rfind(|call| call.progress != Progress::Terminated);
    let secret = profile.settings.load().params.last("presence-privacy").is_some_and(is_true);
    let (note, activity) = match busy {
        Some(call) => (note_of(call, secret), Some("on-the-phone")),
        None if calls.is_empty() && !status.is_empty() => {
            (status.to_owned(), activity_of(rpid).or_else(|| activity_of(status)))
        }
        None if registered => ("Available".to_owned(), None),
        None => ("Unregistered".to_owned(), None),
    };
    let open = registered || busy.is_some() || activity.is_some();
    Body::new("application/pidf+xml", pidf_text(user, host, open, &note, activity))
}

fn pidf_text(user: &str, host: &str, open: bool, note: &str, activity: Option<&str>) -> String {
    let entity = in_xml(&SipUri::new(user, host).to_string());
    let basic = if open { "open" } else { "closed" };
    let activities = activity
        .map(|word| format!("<rpid:activities>\n<rpid:{word}/>\n</rpid:activities>\n"))
        .unwrap_or_default();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         entity=\"{entity}\">\n<tuple id=\"t6a5ed77e\">\n<status>\n<basic>{basic}</basic>\n</status>\n</tuple>\n\
         <dm:person id=\"p06360c4a\">\n{activities}<dm:note>{}</dm:note>\n</dm:person>\n</presence>\n",
        in_xml(note)
    )
}

/// The note of a user who is on the phone, in the reference's words.
fn note_of(call: &WatchedCall, secret: bool) -> String {
    if !call.note.is_empty() {
        return call.note.clone();
    }
    let word = match (call.held, call.progress, call.recipient) {
        (true, ..) => "Hold",
        (_, Progress::Early, true) => "Ring",
        (_, Progress::Early, false) => "Call",
        _ if secret || call.private || call.number.is_empty() => return "On The Phone".to_owned(),
        _ => "Talk",
    };
    if secret || call.private { word.to_owned() } else { format!("{word} {}", call.number) }
}

/// The element of RFC 4480 that a word of `rpid` or `status` stands for.
fn activity_of(word: &str) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    [
        ("on-the-phone", "on-the-phone"),
        ("on the phone", "on-the-phone"),
        ("dnd", "busy"),
        ("do not disturb", "busy"),
        ("busy", "busy"),
        ("away", "away"),
        ("idle", "away"),
        ("be right back", "away"),
        ("meeting", "meeting"),
    ]
    .into_iter()
    .find_map(|(known, element)| (lower == known).then_some(element))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(pairs: &[(&'static str, &str)]) -> Event {
        let mut event = Event::new(EventName::PresenceIn);
        event.push("Unique-ID", "u-1");
        for (name, value) in pairs {
            event.push(*name, *value);
        }
        event
    }

    #[test]
    fn a_phone_that_rings_is_a_recipient_whose_call_is_early() {
        let call = WatchedCall::of(
            &event(&[
                ("Channel-State", "CS_ROUTING"),
                ("Presence-Call-Direction", "outbound"),
                ("Answer-State", "ringing"),
                ("Caller-Caller-ID-Number", "1000"),
                ("Caller-Caller-ID-Name", "A & B"),
            ]),
            "1001",
        )
        .unwrap();
        assert_eq!((call.recipient, call.progress), (true, Progress::Early));
        let text = dialog_info_text("1001", "h", 3, &[(&call, call.progress)], false);
        assert!(text.contains("version=\"3\" state=\"partial\" entity=\"sip:1001@h\""), "{text}");
        assert!(text.contains("direction=\"recipient\">\n<state>early</state>"), "{text}");
        assert!(text.contains("display=\"A &amp; B\">sip:1000@h<"), "{text}");
        assert!(text.contains("<target uri=\"sip:**1001@h\"/>"), "{text}");
        assert_eq!(note_of(&call, false), "Ring 1000");
        assert_eq!(note_of(&call, true), "Ring");
    }

    #[test]
    fn a_phone_that_calls_is_the_initiator_and_its_end_says_no_more_of_the_other() {
        let said = [
            ("Presence-Call-Direction", "inbound"),
            ("Caller-Username", "1001"),
            ("Caller-Destination-Number", "9196"),
        ];
        let call = WatchedCall::of(
            &event(&[said.as_slice(), &[("Answer-State", "answered")]].concat()),
            "1001",
        );
        let call = call.unwrap();
        assert_eq!((call.recipient, call.progress), (false, Progress::Confirmed));
        assert_eq!(note_of(&call, false), "Talk 9196");
        let over = [said.as_slice(), &[("Channel-State", "CS_HANGUP"), ("Answer-State", "hangup")]]
            .concat();
        let over = WatchedCall::of(&event(&over), "1001").unwrap();
        let text = dialog_info_text("1001", "h", 4, &[(&over, over.progress)], false);
        assert!(text.contains("<state>terminated</state>\n</dialog>"), "{text}");
        assert_eq!(dialog_info_text("1", "h", 0, &[], true).lines().count(), 3);
    }

    #[test]
    fn a_program_may_say_how_a_user_is() {
        assert_eq!(WatchedCall::of(&Event::new(EventName::PresenceIn), "1"), None);
        assert_eq!(activity_of("DND"), Some("busy"));
        assert_eq!(activity_of("Available"), None);
        let text = pidf_text("1", "h", true, "<b>", Some("busy"));
        assert!(text.contains("<basic>open</basic>") && text.contains("<rpid:busy/>"), "{text}");
        assert!(text.contains("<dm:note>&lt;b&gt;</dm:note>"), "{text}");
    }
}
