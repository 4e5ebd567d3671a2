//! SIP as channel variables: what dialplans and programs read of requests and responses.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use sip::message::{Headers, Name, Request};
use sip::stack::Path;
use sip::uri::{NameAddr, Params, SipUri, Uri};

use super::identity::{self, CallerIdentity, Named};
use super::profile::Profile;
use super::settings::AssertedForm;
use crate::call::index::Key;
use crate::call::{Channel, Direction};
use crate::{clock, text};

mod responses;

pub use responses::{Local, of_reinvite, of_response, of_source};

/// A channel as far ends write to it: their texts are made harmless first, and marked as theirs.
pub(crate) struct Heard<'a>(pub(crate) &'a Channel);

impl Heard<'_> {
    pub(crate) fn set_var(&self, name: impl Into<Cow<'static, str>>, value: impl AsRef<str>) {
        self.0.set_heard_var(name, &harmless_end(value.as_ref()));
    }

    pub(crate) fn set_vars(&self, pairs: impl IntoIterator<Item = (&'static str, String)>) {
        for (name, value) in pairs {
            self.set_var(name, value);
        }
    }

    /// Appends to an array; a text that holds a reference, or would make one, loses its `$`.
    fn push_var(&self, name: &str, value: &str) {
        let open = text::has_reference(value) || value.trim_end_matches('\\').ends_with('$');
        let value = if open { Cow::Owned(value.replace('$', "%")) } else { Cow::Borrowed(value) };
        self.0.push_var(name, &base::far::mark(&value));
    }
}

/// A value with a reference is refused by the channel and said in the log; one that would make a reference together
/// with what a dialplan puts behind it loses its `$`.
fn harmless_end(value: &str) -> Cow<'_, str> {
    if text::has_reference(value) { Cow::Borrowed(value) } else { text::harmless(value) }
}

/// The user part of an address that has none, as variables show it.
const NOBODY: &str = "nobody";
/// Most repetitions of one custom header that become variables.
const MAX_REPEATS: usize = 20;

/// What digits are kept out of (`redact-digits` of the profile), where the call itself does not say.
pub(crate) fn redaction(channel: &Channel, profile: &Profile) {
    let settings = profile.settings.load();
    if let Some(what) = settings.params.last("redact-digits")
        && channel.own_var("redact_digits").is_none()
    {
        channel.set_var("redact_digits", what.trim());
    }
}

/// Variables of an inbound INVITE, in the order the reference assigns them. `codecs_without_offer` is what we would
/// offer to a caller that offered nothing.
pub fn of_invite(
    leg: &Channel,
    profile: &Profile,
    request: &Request,
    path: &Path,
    of_user: &[(String, String)],
    codecs_without_offer: Option<&str>,
) {
    let channel = &Heard(leg);
    let from = request.headers.from_addr();
    if let Some(from) = &from {
        address(channel, "sip_from", &from.uri, Part::UserUriHost);
    }
    if let Some(by) = request.headers.get(Name::ReferredBy).and_then(NameAddr::parse) {
        uri_params(channel, "sip_referred_by", &by.uri);
        address(channel, "sip_referred_by", &by.uri, Part::Full);
    }
    channel.set_vars([
        ("video_media_flow", "disabled".to_owned()),
        ("audio_media_flow", "disabled".to_owned()),
        ("text_media_flow", "disabled".to_owned()),
        ("channel_name", leg.name()),
        ("sip_call_id", request.headers.call_id().to_owned()),
    ]);
    find_by_call_id(leg, request.headers.call_id());
    transport(channel, path);
    channel.set_var("sip_via_protocol", path.transport.as_param());
    if super::nat::of_call(profile, request, path) {
        channel.set_var("sip_nat_detected", "true");
    }
    for (name, value) in of_user {
        leg.set_var(name.clone(), value.as_str());
    }
    if let Some(from) = &from {
        let user = from.uri.user().unwrap_or_default();
        channel.set_var("sip_from_user_stripped", user.strip_prefix('+').unwrap_or(user));
        if let Some(port) = from.uri.port() {
            channel.set_var("sip_from_port", port.to_string());
        }
        uri_params(channel, "sip_from", &from.uri);
        if let Some(display) = &from.display {
            channel.set_var("sip_from_display", display.as_str());
        }
        header_params(channel, "sip_from", from);
    }
    channel.set_vars([
        ("sofia_profile_name", profile.name.clone()),
        ("sofia_profile_url", profile.url()),
        ("recovery_profile_name", profile.name.clone()),
    ]);
    redaction(leg, profile);
    identities(channel, request, profile.settings.load().asserted_form);
    if let Some(params) = CallerIdentity::of(request).params {
        channel.set_var("sip_name_params", params);
    }
    let headers = &request.headers;
    let joined = |name: Name, by: &str| headers.list(name).collect::<Vec<_>>().join(by);
    routes(leg, headers, &joined(Name::Route, ","));
    channel.set_var("sip_full_via", vias(request));
    channel.set_var("sip_full_from", full_address(headers, Name::From));
    channel.set_var("sip_full_to", full_address(headers, Name::To));
    channel.set_var("sip_allow", joined(Name::Allow, ", "));
    address(channel, "sip_req", &request.uri, Part::Request);
    if request.uri.params().get("intercom").is_some_and(|value| value == "true") {
        channel.set_var("sip_auto_answer_detected", "true");
    }
    if let Some(to) = headers.to_addr() {
        uri_params(channel, "sip_to", &to.uri);
        address(channel, "sip_to", &to.uri, Part::Full);
        if let Some(display) = &to.display {
            channel.set_var("sip_to_display", display.as_str());
        }
        header_params(channel, "sip_to", &to);
    }
    if let Some(contact) = headers.contact() {
        address(channel, "sip_contact", &contact.uri, Part::Full);
        uri_params(channel, "sip_contact", &contact.uri);
    }
    referrer(channel, headers);
    if let Some(codecs) = codecs_without_offer {
        channel.set_var("rtp_use_codec_string", codecs);
    }
    named(channel, "sip_subject", request, "Subject");
    header(channel, "sip_user_agent", request, Name::UserAgent);
    languages(channel, headers);
    if let Some(via) = request.headers.via() {
        channel.set_var("sip_via_host", via.host);
        channel.set_var("sip_via_port", via.port.unwrap_or(5060).to_string());
        if via.params.has("rport") {
            channel.set_var("sip_via_rport", path.remote.port().to_string());
        }
    }
    body_parts(leg, request);
    if let Some(hops) = request.headers.number(Name::MaxForwards) {
        channel.set_var("max_forwards", hops.to_string());
    }
    let settings = profile.settings.load();
    if let Some(alert) = headers.list_named("Alert-Info").next() {
        channel.set_var("alert_info", alert);
    }
    call_info(leg, headers);
    super::shared_lines::note(&settings, leg, headers);
    if settings.manages_presence() && channel.0.own_var("presence_id").is_none() {
        let who = from.as_ref().map(|from| (from.uri.user().unwrap_or_default(), from.uri.host()));
        let (user, host) = who.unwrap_or_default();
        channel.set_var("presence_id", format!("{user}@{host}"));
    }
    replaces(channel, headers);
    if let Some(identity) = headers.list(Name::Identity).next() {
        for identity in headers.list(Name::Identity) {
            channel.push_var("sip_identity", identity);
        }
        channel.set_var("sip_h_identity", identity);
    }
    if let Some(date) = headers.get(Name::Date).and_then(epoch_of_date) {
        channel.set_var("sip_date_epoch_time", date.to_string());
    }
    let history = headers.all_named("History-Info").collect::<Vec<_>>().join(", ");
    channel.set_var("sip_history_info", history);
    named(channel, "sip_geolocation", request, "Geolocation");
    named(channel, "sip_geolocation_error", request, "Geolocation-Error");
    named(channel, "sip_user_location", request, "userLocation");
    custom_headers(leg, headers, "sip_h_", Repeats::Numbered);
    if settings.parse_all_headers {
        all_headers(leg, headers);
    }
}

/// `sip_full_route`, and the route set of the dialog under the names it is sent by again.
fn routes(leg: &Channel, headers: &Headers, route: &str) {
    let channel = &Heard(leg);
    channel.set_var("sip_full_route", route);
    let mut recorded: Vec<&str> = headers.list(Name::RecordRoute).collect();
    if recorded.is_empty() {
        return;
    }
    let forward = recorded.join(",");
    recorded.reverse();
    let reverse = recorded.join(",");
    let inbound = leg.direction() == Direction::Inbound;
    let (route, record) = if inbound { (forward, reverse) } else { (reverse, forward) };
    channel.set_var("sip_invite_route_uri", route);
    channel.set_var("sip_invite_record_route", record);
}

/// Each element of `Call-Info`; several make an array.
fn call_info(leg: &Channel, headers: &Headers) {
    let channel = &Heard(leg);
    for (at, info) in headers.list_named("Call-Info").enumerate() {
        if at == 0 {
            let answer = NameAddr::parse(info);
            if answer.is_some_and(|info| info.params().get("answer-after") == Some("0")) {
                channel.set_var("sip_auto_answer_detected", "true");
            }
            channel.set_var("sip_call_info", info);
        } else if at <= MAX_REPEATS {
            channel.push_var("sip_call_info", info);
        }
    }
}

/// `sip_accept_language` with each language and its quality.
fn languages(channel: &Heard<'_>, headers: &Headers) {
    let mut count = 0;
    for language in headers.list(Name::AcceptLanguage).take(MAX_REPEATS) {
        let (value, params) = language.split_once(';').unwrap_or((language, ""));
        let value = value.trim();
        if count == 0 {
            channel.set_var("sip_accept_language", value);
        }
        channel.set_var(format!("sip_accept_language_{count}_value"), value);
        if let Some(q) = Params::new(params).get("q") {
            channel.set_var(format!("sip_accept_language_{count}_q"), q);
        }
        count += 1;
    }
    if count > 0 {
        channel.set_var("sip_accept_language_count", count.to_string());
    }
}

/// Who sent the caller here.
fn referrer(channel: &Heard<'_>, headers: &Headers) {
    let Some(by) = headers.get(Name::ReferredBy).and_then(NameAddr::parse) else { return };
    let user = by.uri.user().unwrap_or_default();
    channel.set_var("sip_referred_by_user_stripped", user.strip_prefix('+').unwrap_or(user));
    header_params(channel, "sip_referred_by", &by);
}

/// The dialog this call is to replace.
fn replaces(channel: &Heard<'_>, headers: &Headers) {
    let Some(value) = headers.get(Name::Replaces) else { return };
    let (call_id, params) = value.split_once(';').unwrap_or((value, ""));
    channel.set_var("sip_replaces_call_id", call_id.trim());
    for (name, value) in Params::new(params).iter().take(MAX_REPEATS) {
        channel.set_var(format!("sip_replaces_{name}"), value.unwrap_or("true"));
    }
}

/// Parts of a body in several parts, as `type:content`.
fn body_parts(leg: &Channel, request: &Request) {
    let Some(kind) = request.headers.get(Name::ContentType) else { return };
    for part in sip::message::parts(kind, &request.body).unwrap_or_default() {
        let content = String::from_utf8_lossy(&part.body);
        Heard(leg).push_var("sip_multipart", &format!("{}:{content}", part.content_type));
    }
}

/// Seconds since 1970 of a `Date` header (RFC 1123 form).
fn epoch_of_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp().as_second())
}

/// `<prefix>_params`: the parameters of an address.
fn uri_params(channel: &Heard<'_>, prefix: &'static str, uri: &Uri) {
    let params = uri.params().as_str().trim_start_matches(';');
    if !params.is_empty() {
        channel.set_var(format!("{prefix}_params"), params);
    }
}

/// `<prefix>_<name>` for each parameter of an address header (`sip_from_tag`).
fn header_params(channel: &Heard<'_>, prefix: &'static str, address: &NameAddr) {
    // These are parts of the address itself; a parameter does not overwrite them.
    const TAKEN: [&str; 8] =
        ["user", "host", "port", "uri", "params", "display", "user_stripped", "comment"];
    for (name, value) in address.params().iter().take(MAX_REPEATS) {
        if !TAKEN.iter().any(|taken| name.eq_ignore_ascii_case(taken)) {
            channel.set_var(format!("{prefix}_{name}"), value.unwrap_or_default());
        }
    }
}

/// An address header as the reference writes it again: as sent, the user part in its plain form.
fn full_address(headers: &Headers, name: Name) -> String {
    let value = headers.get(name).unwrap_or_default();
    match NameAddr::parse(value).filter(|_| value.contains('%')) {
        Some(address) => address.to_string(),
        None => value.to_owned(),
    }
}

/// What is known of a call that is refused before it becomes one.
pub fn of_refused(leg: &Channel, profile: &Profile, request: &Request) {
    let channel = &Heard(leg);
    if let Some(from) = request.headers.from_addr() {
        address(channel, "sip_from", &from.uri, Part::UserUriHost);
    }
    channel.set_vars([
        ("video_media_flow", "disabled".to_owned()),
        ("audio_media_flow", "disabled".to_owned()),
        ("text_media_flow", "disabled".to_owned()),
        ("channel_name", leg.name()),
        ("sip_call_id", request.headers.call_id().to_owned()),
    ]);
    let body = String::from_utf8_lossy(&request.body);
    if let Ok(description) = sdp::SessionDescription::parse(&body) {
        let ours = &profile.settings.load().media.inbound_codecs;
        let codecs = negotiation::common_codecs(&description, ours);
        if !codecs.is_empty() {
            channel.set_var("ep_codec_string", codecs);
        }
    }
}

fn transport(channel: &Heard<'_>, path: &Path) {
    let ip = path.remote.ip().to_string();
    let port = path.remote.port().to_string();
    channel.set_vars([
        ("sip_local_network_addr", path.local.ip().to_string()),
        ("sip_network_ip", ip.clone()),
        ("sip_network_port", port.clone()),
        ("sip_invite_stamp", clock::now_us().to_string()),
        ("sip_received_ip", ip),
        ("sip_received_port", port),
    ]);
}

/// Which parts of an address become variables, and in which order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    UserUriHost,
    Request,
    Full,
}

fn address(channel: &Heard<'_>, prefix: &'static str, uri: &Uri, part: Part) {
    let user = uri.user().filter(|user| !user.is_empty()).unwrap_or(NOBODY);
    let text = match uri.user() {
        Some(user) if !user.is_empty() => user_at_host(uri),
        _ => format!("{NOBODY}@{}", user_at_host(uri)),
    };
    let name = |suffix: &str| format!("{prefix}_{suffix}");
    channel.set_var(name("user"), user);
    if part != Part::UserUriHost
        && let Some(port) = uri.port()
    {
        channel.set_var(name("port"), port.to_string());
    }
    channel.set_var(name("uri"), text);
    channel.set_var(name("host"), uri.host());
    if part == Part::Request && !uri.params().as_str().is_empty() {
        channel.set_var(name("params"), uri.params().as_str().trim_start_matches(';'));
    }
}

/// `user@host:port`, as the `*_uri` variables show addresses.
#[must_use]
pub fn user_at_host(uri: &Uri) -> String {
    let mut text = String::new();
    if let Some(user) = uri.user() {
        text.push_str(user);
        text.push('@');
    }
    text.push_str(uri.host());
    if let Some(port) = uri.port() {
        text.push(':');
        text.push_str(&port.to_string());
    }
    text
}

/// `"name" <sip:number@domain>`: quoted and escaped, so that a name adds no parameters to what is asserted.
/// `None` when that is no address.
#[must_use]
pub fn identity(name: Option<&str>, number: &str, domain: &str) -> Option<String> {
    let mut address = NameAddr::new(SipUri::new(number, domain).uri()?);
    address.display = name.map(str::to_owned);
    Some(address.to_string())
}

/// The identities a call came with. Which of several in one header counts, [`Named`] says; the kind is the last one's
/// of `Remote-Party-ID`, `P-Asserted-Identity` and `P-Preferred-Identity`.
fn identities(channel: &Heard<'_>, request: &Request, asserted: AssertedForm) {
    let headers = &request.headers;
    let named = |header| Named::in_header(headers, header);
    let has_user =
        |named: &Named<'_>| named.address.uri.user().is_some_and(|user| !user.is_empty());
    if let Some(party) = named("Remote-Party-ID") {
        if has_user(&party) {
            channel.set_var("sip_Remote-Party-ID", party.text);
        }
        channel.set_var("sip_cid_type", "rpid");
    }
    if let Some(asserted_by) = named("P-Asserted-Identity") {
        if has_user(&asserted_by) {
            let uri = &asserted_by.address.uri;
            let user = uri.user().unwrap_or_default();
            channel.set_var(
                "sip_P-Asserted-Identity",
                match asserted {
                    AssertedForm::User => user.to_owned(),
                    AssertedForm::UserAndDomain => format!("{user}@{}", uri.host()),
                    AssertedForm::Verbatim => asserted_by.text.to_owned(),
                },
            );
        }
        channel.set_var("sip_cid_type", "pid");
    }
    if let Some(preferred) = named("P-Preferred-Identity") {
        if has_user(&preferred) {
            channel.set_var("sip_P-Preferred-Identity", preferred.text);
        }
        channel.set_var("sip_cid_type", "pid");
    }
    let privacy: Vec<&str> = identity::privacy(headers).collect();
    channel.set_var("sip_Privacy", privacy.join(";"));
}

fn vias(request: &Request) -> String {
    request.headers.all(Name::Via).collect::<Vec<_>>().join(",")
}

fn header(channel: &Heard<'_>, variable: &'static str, request: &Request, name: Name) {
    if let Some(value) = request.headers.get(name) {
        channel.set_var(variable, value);
    }
}

fn named(channel: &Heard<'_>, variable: &'static str, request: &Request, name: &str) {
    if let Some(value) = request.headers.named(name) {
        channel.set_var(variable, value);
    }
}

/// What becomes of a custom header's repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// They get `-1`, `-2`, … behind their name (requests that begin a call).
    Numbered,
    /// The last one counts (everything else).
    LastCounts,
}

/// `X-*`, `P-*` and a few others under a prefix. Of `Diversion` the last one counts, always: programs rely on it.
pub fn custom_headers(leg: &Channel, headers: &Headers, prefix: &str, repeats: Repeats) {
    let channel = &Heard(leg);
    let mut seen: Vec<(&str, usize)> = Vec::new();
    for header in headers.iter().filter(|header| is_custom(header.text) && !header.value.is_empty())
    {
        let name = header.text;
        let alone = repeats == Repeats::LastCounts
            || ["Diversion", "Accept-Language"].iter().any(|one| starts_with(name, one));
        let known = seen.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let count = match known {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                seen.push((name, 0));
                0
            }
        };
        let suffix = if alone || count == 0 { String::new() } else { format!("-{count}") };
        if alone || count <= MAX_REPEATS {
            channel.set_var(format!("{prefix}{name}{suffix}"), header.value);
        }
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Is it a header that is none of SIP's own, or one that programs want to see as it is?
fn is_custom(name: &str) -> bool {
    let identity = ["P-Asserted-Identity", "P-Preferred-Identity", "P-Early-Media"];
    let whole = ["User-to-User", "Identity"];
    let begins = ["X-", "P-", "K-", "On", "Diversion", "Accept-Language"];
    (begins.iter().any(|prefix| starts_with(name, prefix))
        || whole.iter().any(|known| name.eq_ignore_ascii_case(known)))
        && !identity.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Every header as `sip_i_<name>` (`parse-all-invite-headers`); headers that may repeat, and the elements of those
/// that are lists, become arrays.
fn all_headers(leg: &Channel, headers: &Headers) {
    const LISTS: [&str; 8] = [
        "Via",
        "Record-Route",
        "Call-Info",
        "Accept",
        "Alert-Info",
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
    ];
    let channel = &Heard(leg);
    let mut seen: Vec<Cow<'_, str>> = Vec::new();
    for header in headers.iter().filter(|header| !header.value.is_empty()) {
        let full = match header.name {
            Name::Other => Cow::Owned(header.text.to_ascii_lowercase()),
            name => Cow::Borrowed(name.as_str()),
        };
        if seen.contains(&full) {
            continue;
        }
        let variable = format!("sip_i_{}", full.to_ascii_lowercase().replace('-', "_"));
        let list = LISTS.iter().any(|list| full.eq_ignore_ascii_case(list));
        if list || header.name == Name::Other {
            let values: Vec<&str> = if list {
                headers.list_named(&full).collect()
            } else {
                headers.all_named(&full).collect()
            };
            for value in values.into_iter().take(MAX_REPEATS) {
                channel.push_var(&variable, value);
            }
        } else {
            let joined = headers.all(header.name).collect::<Vec<_>>().join(", ");
            channel.set_var(variable, joined);
        }
        seen.push(full);
    }
}

/// The leg can be found by its dialog's Call-ID from now on (`Replaces`, requests of programs).
fn find_by_call_id(leg: &Channel, call_id: &str) {
    leg.switch().index.enter(Key::CallId(call_id.into()), leg.uuid());
}

/// Variables of the ACK that completes an inbound call.
pub fn of_ack(leg: &Channel, request: &Request) {
    let channel = &Heard(leg);
    if let Some(tag) = request.headers.to_tag() {
        channel.set_var("sip_to_tag", tag);
    }
    if let Some(tag) = request.headers.from_tag() {
        channel.set_var("sip_from_tag", tag);
    }
    if let Some(cseq) = request.headers.cseq() {
        channel.set_var("sip_cseq", cseq.number.to_string());
    }
    channel.set_var("sip_call_id", request.headers.call_id());
    channel.set_var("sip_full_via", vias(request));
    header(channel, "sip_full_from", request, Name::From);
    header(channel, "sip_full_to", request, Name::To);
    leg.flags.awaits_ack.store(false, Ordering::Relaxed);
    leg.notify();
}

/// Headers set by variables: every variable that starts so becomes a header of that name.
#[must_use]
pub fn headers_from(channel: &Channel, prefix: &str) -> Vec<(String, String)> {
    channel
        .vars()
        .iter()
        .filter_map(|(name, value)| {
            let header = name
                .get(..prefix.len())
                .filter(|start| start.eq_ignore_ascii_case(prefix))
                .map(|_| &name[prefix.len()..])?;
            (!header.is_empty()).then(|| (header.to_owned(), value.text().into_owned()))
        })
        .collect()
}

/// The peer's RTP comes from elsewhere than its description said, and goes there from now on.
pub fn of_latched(channel: &Channel, from: SocketAddr) {
    let (ip, port) = (channel.var("remote_media_ip"), channel.var("remote_media_port"));
    let (ip, port) = (ip.unwrap_or_default(), port.unwrap_or_default());
    tracing::info!(
        uuid = %channel.uuid(), "Auto Changing audio port from {ip}:{port} to {}:{}", from.ip(), from.port()
    );
    channel.set_vars([
        ("remote_audio_ip_reported", ip),
        ("remote_audio_ip", from.ip().to_string()),
        ("remote_audio_port_reported", port),
        ("remote_audio_port", from.port().to_string()),
        ("rtp_auto_adjust_audio", "true".to_owned()),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_adds_no_parameters_to_an_identity() {
        assert_eq!(
            identity(Some("Alice"), "1000", "192.0.2.1").as_deref(),
            Some("\"Alice\" <sip:1000@192.0.2.1>")
        );
        assert_eq!(
            identity(Some("x\" <sip:boss@h>;screen=yes;y=\""), "1>;screen=yes", "h:5080")
                .as_deref(),
            Some("\"x\\\" <sip:boss@h>;screen=yes;y=\\\"\" <sip:1%3E;screen=yes@h:5080>")
        );
        assert_eq!(identity(None, "", "h").as_deref(), Some("<sip:h>"));
        assert_eq!(identity(None, "1", "no host").as_deref(), None);
    }
}
