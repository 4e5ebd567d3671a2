//! Shared lines (BroadWorks' shared call appearances, `manage-shared-appearance`): several phones of one user show each
//! other what its lines do.
//!
//! A phone subscribes to `call-info` and is told of each appearance in the `Call-Info` of a NOTIFY without a body. Before
//! it dials it seizes one by subscribing to `line-seize`; the INVITE then names it in its own `Call-Info`, which becomes
//! `presence_call_info`. An INVITE to the user's own address with an appearance that is taken picks up the call there: it
//! takes over a held one, and joins one that talks.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use esl_server::event::Event;
use sip::digest::Credentials;
use sip::message::{Headers, Request};
use sip::uri::SipUri;

use super::auth;
use super::presence::{self, Subscription, Told};
use super::profile::Profile;
use super::settings::Settings;
use super::variables::Heard;
use crate::call::{Channel, Direction};
use crate::clock;
use crate::inbound::Admission;
use crate::text::is_true;

/// What phones subscribe to for the state of their lines.
pub(super) const STATES: &str = "call-info";
/// What they subscribe to to take one.
pub(super) const SEIZE: &str = "line-seize";

/// Characters of an appearance; longer ones are not kept.
const MAX_INFO: usize = 128;
/// Seizures of a profile at a time; a further one is refused.
const MAX_SEIZED: usize = 2000;
/// Calls of a profile whose appearance is known.
const MAX_CALLS: usize = 20_000;
/// Appearances of one user; phones have keys for a few, and a NOTIFY lists all of them in one header.
const MAX_APPEARANCES: usize = 64;

/// An appearance that a phone has taken without a call yet.
#[derive(Debug)]
struct Seized {
    user: String,
    host: String,
    info: String,
    until: Instant,
    /// Of the subscription.
    call_id: String,
}

/// The appearance of a call.
#[derive(Debug)]
struct Shown {
    uuid: String,
    user: String,
    host: String,
    info: String,
    state: String,
}

/// The shared lines of a profile.
#[derive(Debug, Default)]
pub struct Lines {
    seized: Vec<Seized>,
    calls: Vec<Shown>,
}

impl Lines {
    /// Drops calls of a user that are over, and seizures that have run out.
    fn prune(&mut self, profile: &Profile, user: (&str, &str)) {
        let is_up = |one: &Shown| profile.switch.channel(&one.uuid).is_some_and(|c| c.is_up());
        self.calls.retain(|one| !is_user(&one.user, &one.host, user) || is_up(one));
        let now = Instant::now();
        self.seized.retain(|one| !is_user(&one.user, &one.host, user) || one.until > now);
    }
}

fn is_user(user: &str, host: &str, (other, at): (&str, &str)) -> bool {
    user == other && host.eq_ignore_ascii_case(at)
}

/// Is `name` in one of `domains` the user of the address of record, whose host is written as `hosts` (the one kept, the one asked
/// for)? An address for a host stands for any domain of this switch.
fn is_address_of((user, hosts): (&str, &[Option<&str>]), name: &str, domains: &[&str]) -> bool {
    let fits = |host: &&str| {
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_address || domains.iter().any(|domain| domain.eq_ignore_ascii_case(host))
    };
    name.eq_ignore_ascii_case(user) && hosts.iter().flatten().any(fits)
}

/// `1` of `appearance-index=1;appearance-state=held`.
fn index_of(info: &str) -> Option<&str> {
    let mut params = info.split(';').map(str::trim);
    params.find_map(|param| param.strip_prefix("appearance-index="))
}

/// Which appearance it is, without what a phone says of its state: that is told anew.
fn bare(info: &str) -> String {
    let states = |param: &&str| {
        let name = param.split('=').next().unwrap_or_default();
        !["appearance-state", "appearance-uri"].contains(&name)
    };
    let params: Vec<&str> = info.split(';').map(str::trim).filter(states).collect();
    params.join(";")
}

/// Does the profile look after shared lines?
pub(super) fn is_on(settings: &Settings) -> bool {
    settings.params.last("manage-shared-appearance").is_some_and(is_true)
}

/// Is it one of the packages here, and are they looked after?
pub(super) fn serves(settings: &Settings, package: &str) -> bool {
    [STATES, SEIZE].contains(&package) && is_on(settings)
}

/// `Call-Info` with an appearance: the whole element, and its parameters. It goes to other phones, so only marks that
/// stand in parameters are taken.
fn appearance(headers: &Headers) -> Option<(&str, &str)> {
    let full = headers.list_named("Call-Info").next()?.trim();
    let info = full.split_once(';').map_or("", |(_, info)| info).trim();
    let fit = |c: char| c.is_ascii_alphanumeric() || ";=-_.*".contains(c);
    let whole = full.len() <= 2 * MAX_INFO && info.len() <= MAX_INFO && info.chars().all(fit);
    (whole && index_of(info).is_some()).then_some((full, info))
}

/// The headers of a NOTIFY.
fn call_info(value: &str) -> Told {
    let mut headers = Headers::new();
    headers.push_text("Call-Info", value);
    Told { headers, ..Told::default() }
}

/// The credentials that were verified: `Proxy-Authorization`, which a SUBSCRIBE is asked for. What else it brings proves nothing.
fn verified(headers: &Headers) -> Option<Credentials> {
    Credentials::of(headers, true)
}

/// A phone has subscribed; what its NOTIFY says.
pub(super) fn subscribed(
    profile: &Arc<Profile>,
    subscription: &Subscription,
    request: &Request,
    expires: u32,
) -> Told {
    let Subscription { user, host, call_id, .. } = subscription;
    if subscription.package == STATES {
        return call_info(&state_of(profile, user, host));
    }
    let Some((full, info)) = appearance(&request.headers) else { return Told::default() };
    // Credentials of another user, or of this name in another domain, take none of this user's lines.
    let proved = verified(&request.headers);
    let asked_host = request.headers.to_addr().map(|to| to.uri.host().to_owned());
    let hosts = [Some(host.as_str()), asked_host.as_deref()];
    let own = proved.is_none_or(|credentials| {
        let domain = auth::lookup_domain(profile, &credentials.realm);
        is_address_of((user, &hosts), &credentials.username, &[&credentials.realm, &domain])
    });
    let taken = {
        let mut lines = profile.lines.lock();
        lines.seized.retain(|one| !is_user(&one.user, &one.host, (user, host)));
        let taken = expires > 0 && own && lines.seized.len() < MAX_SEIZED;
        if taken {
            lines.seized.push(Seized {
                user: user.clone(),
                host: host.clone(),
                info: info.to_owned(),
                until: Instant::now() + Duration::from_secs(expires.into()),
                call_id: call_id.clone(),
            });
        }
        taken
    };
    tell_all(profile, user, host);
    if taken || expires == 0 {
        return call_info(full);
    }
    let _ended = presence::end(profile, |one| one.package == SEIZE && one.call_id == *call_id);
    Told { ended: Some("rejected"), ..Told::default() }
}

/// PRESENCE_IN of a call on a shared line: the phones of its user are told.
pub(super) fn changed(profile: &Arc<Profile>, event: &Event, user: &str, host: &str) {
    let get = |name: &str| event.get(name).map(std::borrow::Cow::into_owned).unwrap_or_default();
    let (uuid, info) = (get("Unique-ID"), get("presence-call-info"));
    if uuid.is_empty() || info.is_empty() || !is_on(&profile.settings.load()) {
        return;
    }
    let state = match get("presence-call-info-state") {
        state if state == "held" && info.contains("private") => "held-private".to_owned(),
        state => state,
    };
    show(profile, Shown { uuid, user: user.to_owned(), host: host.to_owned(), info, state });
}

/// A call's appearance is what it is now.
fn show(profile: &Arc<Profile>, shown: Shown) {
    let (user, host) = (shown.user.clone(), shown.host.clone());
    let used = {
        let mut lines = profile.lines.lock();
        let index = index_of(&shown.info).map(str::to_owned);
        lines.calls.retain(|one| one.uuid != shown.uuid);
        lines.prune(profile, (&user, &host));
        let own = lines.calls.iter().filter(|one| is_user(&one.user, &one.host, (&user, &host)));
        let is_room = lines.calls.len() < MAX_CALLS && own.count() < MAX_APPEARANCES;
        let alive = profile.switch.channel(&shown.uuid).is_some();
        if alive && shown.state != "idle" && is_room {
            lines.calls.push(shown);
        }
        // What was seized is in use now.
        let is_it = |one: &Seized| {
            is_user(&one.user, &one.host, (&user, &host)) && index_of(&one.info) == index.as_deref()
        };
        let at = lines.seized.iter().position(is_it);
        at.map(|at| lines.seized.remove(at).call_id)
    };
    if let Some(call_id) = used {
        let over = presence::end(profile, |one| one.package == SEIZE && one.call_id == call_id);
        for subscription in &over {
            let mut told = call_info(&state_of(profile, &user, &host));
            told.ended = Some("noresource");
            presence::tell_end(profile, subscription, told);
        }
    }
    tell_all(profile, &user, &host);
}

/// Ends seizures that no call came of, and drops calls that are over.
pub(super) fn sweep(profile: &Arc<Profile>) {
    let now = Instant::now();
    let over: Vec<Seized> = {
        let mut lines = profile.lines.lock();
        lines.calls.retain(|one| profile.switch.channel(&one.uuid).is_some_and(|c| c.is_up()));
        if lines.seized.is_empty() {
            return;
        }
        let (stay, over) =
            std::mem::take(&mut lines.seized).into_iter().partition(|one| one.until > now);
        lines.seized = stay;
        over
    };
    for one in over {
        tell_all(profile, &one.user, &one.host);
    }
}

/// The phones of a user are told of its lines.
fn tell_all(profile: &Arc<Profile>, user: &str, host: &str) {
    let told = presence::due(profile, |one| {
        one.package == STATES && is_user(&one.user, &one.host, (user, host))
    });
    if told.is_empty() {
        return;
    }
    let state = state_of(profile, user, host);
    for subscription in &told {
        presence::tell_due(profile, subscription, call_info(&state));
    }
}

/// `Call-Info` of all appearances of a user that are not idle, and one for all others.
fn state_of(profile: &Profile, user: &str, host: &str) -> String {
    let own = SipUri::new("", host).bracketed();
    let mut elements: Vec<String> = Vec::new();
    let mut lines = profile.lines.lock();
    lines.prune(profile, (user, host));
    for one in lines.calls.iter().filter(|one| is_user(&one.user, &one.host, (user, host))) {
        let Some(channel) = profile.switch.channel(&one.uuid) else { continue };
        // Each appearance once: the longest call has it.
        let begins = format!("{own};{};", bare(&one.info));
        if elements.iter().any(|element| element.starts_with(&begins)) {
            continue;
        }
        let (state, party) = seen(&channel, &one.state);
        let mut element = format!("{begins}appearance-state={state}");
        if let Some((name, number)) = party {
            let party = SipUri::new(&number, host).bracketed();
            element += &format!(";appearance-uri=\"\\\"{name}\\\" {party}\"");
        }
        elements.push(element);
        if elements.len() >= MAX_APPEARANCES {
            break;
        }
    }
    let seized = lines.seized.iter().filter(|one| is_user(&one.user, &one.host, (user, host)));
    elements.extend(seized.map(|one| format!("{own};{};appearance-state=seized", bare(&one.info))));
    elements.push(format!("{own};appearance-index=*;appearance-state=idle"));
    elements.join(",")
}

/// The state phones show, and name and number of the other party.
fn seen<'s>(channel: &Channel, state: &'s str) -> (&'s str, Option<(String, String)>) {
    let profile = channel.profile();
    let calls = channel.direction() == Direction::Inbound;
    let state = if calls && !channel.is_answered() { "progressing" } else { state };
    let (name, number) = if calls {
        let number = [&profile.callee_id_number, &profile.destination_number];
        let number = number.into_iter().find(|number| !number.is_empty());
        (profile.callee_id_name.clone(), number.cloned().unwrap_or_default())
    } else {
        (profile.caller_id_name.clone(), profile.caller_id_number.clone())
    };
    let number = plain(&number);
    if number.is_empty() {
        return (state, None);
    }
    let name = match plain(&name) {
        name if name.is_empty() => number.clone(),
        name => name,
    };
    (state, Some((name, number.replace(' ', ""))))
}

/// A party's text without what has a meaning in headers.
fn plain(text: &str) -> String {
    let fit = |c: &char| !c.is_control() && !"\"\\<>,;@".contains(*c);
    base::far::plain(text).chars().filter(fit).take(MAX_INFO).collect::<String>().trim().to_owned()
}

/// The appearance a far end names in its INVITE or answer.
pub(super) fn note(settings: &Settings, channel: &Channel, headers: &Headers) -> bool {
    let Some((full, info)) = appearance(headers).filter(|_| is_on(settings)) else { return false };
    let heard = Heard(channel);
    heard.set_var("presence_call_info_full", full);
    heard.set_var("presence_call_info", info);
    true
}

/// A phone that is called says at which appearance it rings; of one that says nothing it is the first.
pub(super) fn note_response(profile: &Arc<Profile>, channel: &Channel, headers: &Headers) {
    let settings = profile.settings.load();
    if !is_on(&settings) {
        return;
    }
    let before = channel.own_var("presence_call_info");
    let Some(id) = channel.own_var("presence_id") else { return };
    let Some((user, host)) = id.split_once('@') else { return };
    if !note(&settings, channel, headers) {
        let shared = presence::is_watched(profile, |one| {
            one.package == STATES && is_user(&one.user, &one.host, (user, host))
        });
        if before.is_some() || !shared {
            return;
        }
        let own = SipUri::new("", host).bracketed();
        channel.set_var("presence_call_info_full", format!("{own};appearance-index=1"));
        channel.set_var("presence_call_info", "appearance-index=1");
    }
    let info = channel.own_var("presence_call_info").unwrap_or_default();
    if before.as_deref() != Some(info.as_str()) && !channel.is_answered() {
        let (uuid, state) = (channel.uuid().to_string(), "progressing".to_owned());
        show(profile, Shown { uuid, user: user.to_owned(), host: host.to_owned(), info, state });
    }
}

/// May a caller take calls of that user? One who has proved who it is must be the user, of that domain unless an address
/// stands for it; one who was asked for no proof comes from where a phone of the user has registered.
fn may_take(
    profile: &Profile,
    admission: &Admission,
    (user, host): (&str, &str),
    from_ip: IpAddr,
) -> bool {
    let known = &admission.variables;
    if let Some((_, name)) = known.iter().find(|(name, _)| name == "sip_auth_username") {
        let domains = ["sip_auth_realm", "requested_domain_name", "domain_name"];
        let is_its = |(name, value): &(String, String)| {
            domains.contains(&name.as_str()) && value.eq_ignore_ascii_case(host)
        };
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        return name == user && (is_address || known.iter().any(is_its));
    }
    let bindings = profile.bindings.lock();
    let mut phones = bindings.find(user, host, clock::now_secs());
    phones.any(|phone| phone.network_ip.parse::<IpAddr>().is_ok_and(|ip| ip == from_ip))
}

/// Where a call goes that names a taken appearance of its caller's own line, as an inline dialplan has it.
pub(super) fn picked_up(
    profile: &Profile,
    request: &Request,
    admission: &Admission,
    from_ip: IpAddr,
) -> Option<String> {
    if !is_on(&profile.settings.load()) {
        return None;
    }
    let (_, info) = appearance(&request.headers)?;
    let (from, to) = (request.headers.from_addr()?, request.headers.to_addr()?);
    let (user, host) = (to.uri.user()?, to.uri.host());
    if from.uri.user() != Some(user) {
        return None;
    }
    if !may_take(profile, admission, (user, host), from_ip) {
        return None;
    }
    let index = index_of(info);
    let id = format!("{user}@{host}");
    let on_it = |channel: &Arc<Channel>| {
        channel.is_up()
            && channel.own_var("presence_id").is_some_and(|own| own.eq_ignore_ascii_case(&id))
            && channel
                .own_var("presence_call_info")
                .is_some_and(|own| index_of(&own) == index && !own.contains("private"))
    };
    let call = profile.switch.channels().into_iter().find(on_it)?;
    let partner = call.partner();
    Some(match partner.filter(|_| call.flags.held.load(Ordering::Relaxed)) {
        Some(partner) => format!("answer,intercept:{}", partner.uuid()),
        None => format!("answer,three_way:{}", call.uuid()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> Headers {
        let mut headers = Headers::new();
        headers.push_text("Call-Info", value);
        headers
    }

    #[test]
    fn an_appearance_is_what_call_info_names() {
        let good = headers("<sip:h.test>;appearance-index=2;appearance-state=held, <sip:x>");
        let (full, info) = appearance(&good).unwrap();
        assert_eq!(full, "<sip:h.test>;appearance-index=2;appearance-state=held");
        assert_eq!((info, index_of(info)), ("appearance-index=2;appearance-state=held", Some("2")));
        assert_eq!(bare(info), "appearance-index=2");
        for bad in [
            "<sip:h>;answer-after=0",
            "<sip:h>",
            "<sip:h>;appearance-index=\"1\"",
            "<sip:h>;appearance-index=1;x=<y>",
        ] {
            assert_eq!(appearance(&headers(bad)), None, "{bad}");
        }
        let long = format!("<sip:h>;appearance-index={}", "1".repeat(500));
        assert_eq!(appearance(&headers(&long)), None);
    }

    #[test]
    fn a_line_belongs_to_the_whole_address_of_record() {
        let own = |host: &str, name: &str, domain: &str| {
            is_address_of(("1000", &[Some(host), None]), name, &[domain])
        };
        assert!(own("a.test", "1000", "A.test"));
        assert!(!own("a.test", "1000", "b.test"), "the same number at another customer's");
        assert!(!own("a.test", "1001", "a.test"));
        assert!(own("192.0.2.1", "1000", "a.test") && own("[2001:db8::1]", "1000", "a.test"));
        let mapped = is_address_of(("1", &[Some("forced.test"), Some("a.test")]), "1", &["a.test"]);
        assert!(mapped, "force-subscription-domain");
    }

    #[test]
    fn whose_line_it_is_says_the_header_that_was_verified() {
        let digest = |user: &str| {
            format!(
                r#"Digest username="{user}", realm="a.test", nonce="n", uri="sip:a.test", response="00""#
            )
        };
        let mut headers = Headers::new();
        headers.push_text("Authorization", digest("1001"));
        assert!(verified(&headers).is_none(), "never looked at");
        headers.push_text("Proxy-Authorization", digest("1000"));
        assert_eq!(verified(&headers).unwrap().username, "1000");
    }

    #[test]
    fn what_a_far_end_is_called_ends_no_header() {
        assert_eq!(plain("Al \"x\" <sip:evil@h>\r\nVia: y"), "Al x sip:evilhVia: y");
    }
}
