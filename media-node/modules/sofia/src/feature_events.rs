//! The phones' package `as-feature-event` (BroadWorks' feature key synchronisation, CSTA bodies of ECMA-323): do-not-disturb
//! and call forwarding that a phone and a program keep in step.
//!
//! A phone's SUBSCRIBE becomes PHONE_FEATURE_SUBSCRIBE, with what its body asks for; a program does it and says how things
//! stand with PHONE_FEATURE, which becomes the NOTIFY. Only who proved to be the user may subscribe.

use std::fmt::Write as _;

use base::xml::escape;
use esl_server::event::{Event, EventName};
use sip::digest::Credentials;
use sip::message::{Name, Request};
use sip::stack::Body;

use super::Sofia;
use super::presence;
use super::profile::Profile;

/// Name of the package.
pub(super) const PACKAGE: &str = "as-feature-event";
const TYPE: &str = "application/x-as-feature-event+xml";
const NAMESPACE: &str = "http://www.ecma-international.org/standards/ecma-323/csta/ed3";
/// Between the parts of a whole state.
const BOUNDARY: &str = "UniqueFreeSWITCHBoundary";
/// Bytes of a phone's wish; longer ones are not read.
const MAX_BODY: usize = 8192;
/// Each kind of forwarding: its name in bodies, and the header that says where to.
const FORWARDS: [(&str, &str, &str); 3] = [
    ("forwardImmediate", "forward_immediate", "i"),
    ("forwardBusy", "forward_busy", "b"),
    ("forwardNoAns", "forward_no_answer", "n"),
];

/// Is it the features of the user who proved its identity that the request is about?
pub(super) fn is_own(request: &Request) -> bool {
    let Some(credentials) = Credentials::of(&request.headers, false) else { return false };
    let from = request.headers.from_addr();
    let user = from.as_ref().and_then(|from| from.uri.user()).unwrap_or_default();
    credentials.username.eq_ignore_ascii_case(user)
}

/// A phone has subscribed, or changes a feature within its subscription.
pub(super) fn subscribed(profile: &Profile, request: &Request, expires: u32) {
    let Some(from) = request.headers.from_addr() else { return };
    let contact = request.headers.contact().map(|contact| format!("<{}>", contact.uri.as_str()));
    let mut event = Event::new(EventName::PhoneFeatureSubscribe);
    event.push("user", from.uri.user().unwrap_or_default().to_owned());
    event.push("host", from.uri.host().to_owned());
    event.push("contact", contact.unwrap_or_default());
    event.push("call-id", request.headers.call_id().to_owned());
    event.push("expires", expires.to_string());
    let cseq = request.headers.get(Name::CSeq).unwrap_or_default();
    event.push("cseq", cseq.split_whitespace().next().unwrap_or_default().to_owned());
    event.push("profile_name", profile.name.as_str());
    event.push("hostname", profile.switch.global("hostname").unwrap_or_default());
    let body = std::str::from_utf8(&request.body).unwrap_or_default().trim();
    if !body.is_empty() && body.len() <= MAX_BODY {
        push_wish(&mut event, body);
    }
    esl_server::fire!(profile.switch.bus, event);
}

/// What a phone wants changed.
fn push_wish(event: &mut Event, body: &str) {
    let loaded = dialplan_xml::parse_raw(body, PACKAGE);
    let Some(tree) = loaded.tree else { return };
    let wish = tree.root();
    let child = |name: &str| wish.child(name).map(|node| node.text().trim().to_owned());
    if let Some(device) = child("device") {
        event.push("device", device);
    }
    match wish.name() {
        "SetDoNotDisturb" => {
            event.push("Feature-Action", "SetDoNotDisturb");
            if let Some(on) = child("doNotDisturbOn") {
                event.push("Feature-Enabled", on);
                event.push("Action-Name", "doNotDisturbOn");
            }
        }
        "SetForwarding" => {
            event.push("Feature-Action", "SetCallForward");
            let said = (child("forwardingType"), child("activateForward"), child("forwardDN"));
            let (Some(kind), Some(on), Some(to)) = said else { return };
            let Some((_, action, _)) = FORWARDS.iter().find(|(name, ..)| *name == kind) else {
                return;
            };
            event.push("Feature-Enabled", on);
            event.push("Action-Name", *action);
            event.push("Action-Value", to);
            if kind == "forwardNoAns"
                && let Some(rings) = child("ringCount")
            {
                event.push("ringCount", rings);
            }
        }
        _ => {}
    }
}

/// PHONE_FEATURE: the subscribed phones of a user, or the one of a Call-ID, learn how things stand.
pub(super) fn tell(sofia: &Sofia, event: &Event) {
    let get = |name: &str| event.get(name).map(std::borrow::Cow::into_owned);
    let (profile, user, host) = (get("profile"), get("user"), get("host"));
    let (Some(profile), Some(user), Some(host)) = (profile, user, host) else {
        tracing::info!(fs_level = "NOTICE", "PHONE_FEATURE without profile, user or host");
        return;
    };
    let Some(profile) = sofia.find(&profile) else {
        tracing::info!(fs_level = "NOTICE", "PHONE_FEATURE: no profile {profile}");
        return;
    };
    let call_id = get("call-id");
    let told = presence::due(&profile, |subscription| {
        subscription.package == PACKAGE
            && match &call_id {
                Some(call_id) => subscription.call_id == *call_id,
                None => subscription.user == user && subscription.host.eq_ignore_ascii_case(&host),
            }
    });
    let body = body_of(event, &user, &host);
    for subscription in &told {
        presence::tell_due(&profile, subscription, body.clone());
    }
}

fn body_of(event: &Event, user: &str, host: &str) -> Body {
    let kind = event.get("Feature-Event").map(std::borrow::Cow::into_owned).unwrap_or_default();
    match kind.as_str() {
        "" => Body::new(TYPE, String::new()),
        "init" => whole_state(event, user, host),
        _ => {
            let forward = FORWARDS.iter().find(|(_, header, _)| event.get(header).is_some());
            Body::new(TYPE, document(event, &kind, forward.map(|(name, ..)| *name)))
        }
    }
}

/// All features, each in a part of its own.
fn whole_state(event: &Event, user: &str, host: &str) -> Body {
    let line = |text: &str| text.replace(char::is_control, "");
    let (user, host) = (line(user), line(host));
    let forwards = FORWARDS.iter().filter(|(_, header, _)| event.get(header).is_some());
    let parts = forwards
        .map(|(name, _, mark)| (*mark, document(event, "ForwardingEvent", Some(*name))))
        .chain([("d", document(event, "DoNotDisturbEvent", None))]);
    let mut text = String::new();
    for (mark, part) in parts {
        let _infallible = write!(
            text,
            "--{BOUNDARY}\r\nContent-Type: {TYPE}\r\nContent-Length: {}\r\nContent-ID: <{user}{mark}@{host}>\r\n\r\n{part}",
            part.len()
        );
    }
    let _infallible = write!(text, "--{BOUNDARY}--\r\n");
    Body::new(format!("multipart/mixed; boundary=\"{BOUNDARY}\""), text)
}

/// One feature.
fn document(event: &Event, kind: &str, forward: Option<&str>) -> String {
    let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<{kind} xmlns=\"{NAMESPACE}\">\n"
    );
    let mut element = |name: &str, value: Option<String>| {
        let Some(value) = value else { return };
        let _infallible = write!(text, "  <{name}>");
        escape(&mut text, &value, false);
        let _infallible = writeln!(text, "</{name}>");
    };
    let get = |name: &str| event.get(name).map(std::borrow::Cow::into_owned);
    element("device", get("device"));
    if kind == "DoNotDisturbEvent" {
        element("doNotDisturbOn", get("doNotDisturbOn"));
    }
    let named = forward.and_then(|forward| FORWARDS.iter().find(|(name, ..)| *name == forward));
    if let ("ForwardingEvent", Some((name, header, _))) = (kind.as_str(), named) {
        element("forwardingType", Some((*name).to_owned()));
        element("forwardStatus", get(&format!("{header}_enabled")));
        element("forwardTo", get(header));
        if *name == "forwardNoAns" {
            element("ringCount", get("ringCount"));
        }
    }
    let _infallible = writeln!(text, "</{kind}>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(headers: &[(&'static str, &str)]) -> Event {
        let mut event = Event::new(EventName::PhoneFeature);
        for (name, value) in headers {
            event.push(*name, *value);
        }
        event
    }

    fn text(body: &Body) -> String {
        String::from_utf8_lossy(&body.bytes).into_owned()
    }

    #[test]
    fn one_feature_is_a_document() {
        let dnd = event(&[
            ("Feature-Event", "DoNotDisturbEvent"),
            ("device", "10<0"),
            ("doNotDisturbOn", "true"),
        ]);
        assert_eq!(
            text(&body_of(&dnd, "100", "d")),
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n\
             <DoNotDisturbEvent xmlns=\"http://www.ecma-international.org/standards/ecma-323/csta/ed3\">\n  \
             <device>10&lt;0</device>\n  <doNotDisturbOn>true</doNotDisturbOn>\n</DoNotDisturbEvent>\n"
        );
        let forward = event(&[
            ("Feature-Event", "ForwardingEvent"),
            ("forward_no_answer", "200"),
            ("forward_no_answer_enabled", "true"),
            ("ringCount", "3"),
        ]);
        let forward = text(&body_of(&forward, "100", "d"));
        assert!(forward.contains(
            "  <forwardingType>forwardNoAns</forwardingType>\n  <forwardStatus>true</forwardStatus>\n  \
             <forwardTo>200</forwardTo>\n  <ringCount>3</ringCount>\n</ForwardingEvent>\n"
        ));
    }

    #[test]
    fn the_whole_state_is_in_parts() {
        let all =
            event(&[("Feature-Event", "init"), ("forward_busy", "1"), ("doNotDisturbOn", "false")]);
        let body = body_of(&all, "100", "d\r\nX: y");
        let text = text(&body);
        let ids: Vec<_> = text.lines().filter(|line| line.starts_with("Content-ID")).collect();
        assert_eq!(ids, ["Content-ID: <100b@dX: y>", "Content-ID: <100d@dX: y>"]);
        assert!(text.ends_with("</DoNotDisturbEvent>\n--UniqueFreeSWITCHBoundary--\r\n"));
    }

    #[test]
    fn a_phones_wish_is_read() {
        let mut told = event(&[]);
        push_wish(
            &mut told,
            "<?xml version=\"1.0\"?><SetForwarding xmlns=\"x\"><device>100</device>\
             <forwardingType>forwardBusy</forwardingType><activateForward>true</activateForward>\
             <forwardDN>200</forwardDN></SetForwarding>",
        );
        let get = |name: &str| told.get(name).unwrap_or_default().into_owned();
        assert_eq!(get("device"), "100");
        assert_eq!([get("Feature-Action"), get("Feature-Enabled")], ["SetCallForward", "true"]);
        assert_eq!([get("Action-Name"), get("Action-Value")], ["forward_busy", "200"]);
        for garbage in ["", "<", "<a", "<SetForwarding><device/>", "\u{0}"] {
            push_wish(&mut event(&[]), garbage);
        }
    }
}
