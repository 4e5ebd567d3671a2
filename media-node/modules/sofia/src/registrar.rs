//! REGISTER: which user is registered where, and until when.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::event::{Event, EventName};
use sip::digest::Credentials;
use sip::message::{Headers, Name, Request};
use sip::registrar::{Binding, Multiple};
use sip::stack::{IncomingRequest, Path, Transport};
use sip::uri::NameAddr;

use super::auth::{self, Identity, Verdict};
use super::directives;
use super::profile::Profile;
use super::stored::stored_contact;
use crate::store::registrations::Registration;
use crate::{clock, text};

/// Lifetime when a phone asks for none, seconds.
const DEFAULT_EXPIRES: u32 = 300;
/// The same behind NAT.
const DEFAULT_EXPIRES_NAT: u32 = 30;
/// Contact, Call-ID and User-Agent of one registration together, in bytes. Longer ones are refused: each is kept.
const MAX_TEXT: usize = 4096;

/// One registration that was asked for.
struct Asked {
    user: String,
    host: String,
    from_user: String,
    from_host: String,
    contact: String,
    expires: u32,
    status: String,
    call_id: String,
    user_agent: String,
}

/// Contacts of a user of a domain, newest first, as name-addrs.
#[must_use]
pub fn contacts(profile: &Profile, user: &str, domain: &str) -> Vec<String> {
    let bindings = profile.bindings.lock();
    let mut found: Vec<_> =
        bindings.find(user, domain, clock::now_secs()).map(|b| b.contact.clone()).collect();
    found.reverse();
    found
}

/// Answers a REGISTER.
pub async fn serve(profile: &Arc<Profile>, incoming: IncomingRequest) {
    let request = Arc::clone(&incoming.request);
    let path = incoming.path;
    match decide(profile, &request, &path).await {
        Reply::Ok { headers, events } => {
            incoming.respond(200, "", headers, None);
            for event in events {
                esl_server::fire!(profile.switch.bus, event);
            }
        }
        Reply::Refused { status, headers } => incoming.respond(status, "", headers, None),
    }
}

/// Has a `CUSTOM` event a subscriber? Without one its number is used up all the same.
fn is_heard(profile: &Profile) -> bool {
    let heard = profile.switch.bus.wants(EventName::Custom);
    if !heard {
        profile.switch.bus.skip();
    }
    heard
}

/// The event, built only for a subscriber: it costs more than the rest of a registration.
fn wanted(profile: &Profile, build: impl FnOnce() -> Event) -> Option<Event> {
    is_heard(profile).then(build)
}

fn fire(profile: &Profile, build: impl FnOnce() -> Event) {
    if let Some(event) = wanted(profile, build) {
        esl_server::fire!(profile.switch.bus, event);
    }
}

enum Reply {
    Ok { headers: Headers, events: Vec<Event> },
    Refused { status: u16, headers: Headers },
}

fn refused(status: u16) -> Reply {
    Reply::Refused { status, headers: Headers::new() }
}

/// The checks in the order of the reference, then the table.
async fn decide(profile: &Arc<Profile>, request: &Request, path: &Path) -> Reply {
    let settings = profile.settings.load_full();
    let on = |name: &str| settings.params.last(name).is_some_and(text::is_true);
    if on("disable-register") {
        return refused(403);
    }
    let Some(asked) = Asked::read(profile, request, path) else { return refused(401) };
    let mut asked = asked;
    if asked.contact.len() + asked.call_id.len() + asked.user_agent.len() > MAX_TEXT {
        return refused(413);
    }
    let acls: Vec<&str> =
        settings.params.all("apply-register-acl").filter(|list| !list.is_empty()).collect();
    let by_acl = !acls.is_empty();
    if !acls.into_iter().all(|list| profile.switch.acl_allows(list, path.remote.ip())) {
        profile.counters.refused_by_acl.fetch_add(1, Ordering::Relaxed);
        if profile.refusal_log.admits(&profile.name) {
            tracing::warn!("IP {} Rejected by register acl", path.remote.ip());
        }
        return refused(403);
    }
    // A user whose address is on an access list registers as that user, whatever the request names.
    let token = settings
        .params
        .all("apply-register-acl")
        .find_map(|list| profile.switch.acl_verdict(list, path.remote.ip()).token);
    if let Some((user, domain)) = token.as_deref().and_then(|token| token.split_once('@')) {
        user.clone_into(&mut asked.user);
        domain.clone_into(&mut asked.host);
    }
    if !is_welcome(settings.params.last("user-agent-filter"), &asked.user_agent) {
        fire_failure(profile, request, path);
        return refused(403);
    }
    let mut events = Vec::new();
    let identity = if by_acl || on("accept-blind-reg") {
        None
    } else {
        match auth::judge(profile, request, path).await {
            Verdict::Challenge(challenges) => {
                if !challenges.are_stale() {
                    fire_pre_register(profile, request, path);
                }
                let (status, headers) = challenges.response();
                return Reply::Refused { status, headers };
            }
            Verdict::Forbidden => return refused(403),
            Verdict::Accepted(identity) => {
                if !may_register(profile, &asked, &identity) {
                    fire(profile, || {
                        asked.attempt(profile, path, known(&asked, &identity), "FORBIDDEN")
                    });
                    fire_failure(profile, request, path);
                    return refused(403);
                }
                let result = auth::result_of(&identity.credentials);
                events.extend(wanted(profile, || {
                    asked.attempt(profile, path, Some(&identity.credentials), result)
                }));
                Some(identity)
            }
        }
    };
    if is_confused(&request.headers) {
        return refused(400);
    }
    if let Some(identity) = &identity {
        asked.apply_directives(identity, request, path);
    }
    let reply = apply(profile, path, request, &asked, identity.as_deref(), events);
    let registers = request.headers.get(Name::Contact).is_some();
    if let Some(identity) =
        identity.filter(|_| registers && !matches!(reply, Reply::Refused { .. }))
    {
        directives::follow(profile, &identity, asked.expires > 0);
    }
    reply
}

/// A `Contact: *` that is not all there is, or not with `Expires: 0`: it means to give up everything, and says otherwise (RFC 3261
/// §10.3, step 6).
fn is_confused(headers: &Headers) -> bool {
    let mut contacts = headers.list(Name::Contact);
    let all = headers.list(Name::Contact).any(|contact| contact.trim() == "*");
    all && (contacts.nth(1).is_some() || headers.number(Name::Expires) != Some(0))
}

/// `user-agent-filter`: only phones whose name fits the pattern register.
fn is_welcome(filter: Option<&str>, agent: &str) -> bool {
    let Some(filter) = filter.filter(|filter| !filter.is_empty()) else { return true };
    match dialplan_xml::regex::Pattern::cached(filter) {
        Ok(pattern) => pattern.is_match(agent),
        Err(error) => {
            tracing::error!("user-agent-filter {filter}: {error}");
            false
        }
    }
}

fn may_register(profile: &Profile, asked: &Asked, identity: &Identity) -> bool {
    let settings = profile.settings.load();
    let forced =
        settings.params.last("inbound-reg-force-matching-username").is_some_and(text::is_true);
    if forced && identity.credentials.username != asked.user {
        return false;
    }
    if identity.user.params.bool("sip-forbid-register") == Some(true)
        || !is_welcome(identity.user.params.get("user-agent-filter"), &asked.user_agent)
    {
        return false;
    }
    let most = identity
        .user
        .params
        .int("max-registrations-per-extension")
        .or_else(|| settings.params.int("max-registrations-per-extension"))
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n > 0);
    let Some(most) = most else { return true };
    let bindings = profile.bindings.lock();
    let mut others = bindings.find(&asked.user, &asked.host, clock::now_secs());
    asked.expires == 0 || others.by_ref().filter(|b| b.contact != asked.contact).count() < most
}

/// Changes the table and writes the 200.
fn apply(
    profile: &Arc<Profile>,
    path: &Path,
    request: &Request,
    asked: &Asked,
    identity: Option<&Identity>,
    mut events: Vec<Event>,
) -> Reply {
    let now = clock::now_secs();
    let multiple = multiple_of(profile, identity);
    let fetch_only = request.headers.get(Name::Contact).is_none();
    let expires = if fetch_only { 0 } else { granted(profile, identity, asked.expires) };
    // Does the phone come or go? A renewal is no news.
    let mut changed = !fetch_only;
    if !fetch_only {
        let mut bindings = profile.bindings.lock();
        if expires > 0 {
            let binding = asked.binding(profile, path, identity, expires, now);
            match bindings.register(binding.clone(), multiple) {
                Ok(renewed) => {
                    changed = !renewed;
                    events.extend(wanted(profile, || {
                        asked.registered(profile, path, identity, expires, renewed)
                    }));
                    let phones = bindings.find(&asked.user, &asked.host, now).count();
                    let own = identity
                        .and_then(|i| i.user.variables.get("send-message-query-on-register"));
                    events.extend(super::mwi::on_register(profile, own, &binding, phones));
                }
                Err(_) => return refused(403),
            }
        } else {
            bindings.unregister(&asked.user, &asked.host, &asked.contact, &asked.call_id, multiple);
            events.extend(wanted(profile, || asked.unregistered(profile, path, identity)));
        }
    }
    profile.registrations_changed.notify_one();
    if changed {
        super::watch::registration_changed(profile, &asked.user, &asked.host);
    }
    if let Some(identity) = identity {
        auth::renew_nonce(profile, &identity.credentials.nonce, expires);
    }
    let mut headers = Headers::new();
    let bindings = profile.bindings.lock();
    for binding in bindings.find(&asked.user, &asked.host, now) {
        let contact = bare(&binding.contact);
        // A browser's is given back as it came.
        let shown = match contact.find(";fs_nat=yes;fs_path=") {
            Some(at) if binding.network_proto.starts_with("ws") => {
                format!("{}>", contact.get(..at).unwrap_or_default())
            }
            _ => contact.to_owned(),
        };
        headers.push(Name::Contact, format!("{shown};expires={}", binding.granted));
    }
    headers.push(Name::Date, super::date::http_date(now));
    Reply::Ok { headers, events }
}

/// A stored contact without an empty display name.
fn bare(contact: &str) -> &str {
    contact.trim_start_matches("\"\" ")
}

fn multiple_of(profile: &Profile, identity: Option<&Identity>) -> Multiple {
    let own = identity
        .and_then(|i| i.user.variables.get("sip-allow-multiple-registrations").map(str::to_owned));
    let settings = profile.settings.load();
    match own.as_deref().or_else(|| settings.params.last("multiple-registrations")) {
        Some("call-id") => Multiple::CallId,
        Some("contact") => Multiple::Contact,
        Some(word) if text::is_true(word) => Multiple::Contact,
        // A shared line has several phones.
        None if super::shared_lines::is_on(&settings) => Multiple::CallId,
        _ => Multiple::Off,
    }
}

/// The lifetime granted: what was asked, within the bounds of the user or the profile.
fn granted(profile: &Profile, identity: Option<&Identity>, asked: u32) -> u32 {
    if asked == 0 {
        return 0;
    }
    let settings = profile.settings.load();
    let bound = |name: &str| {
        identity
            .and_then(|i| i.user.variables.get(name).map(text::int))
            .or_else(|| settings.params.last(name).map(text::int))
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| *n > 0)
    };
    let spread = bound("sip-expires-max-deviation").unwrap_or(0);
    if let Some(forced) = bound("sip-force-expires") {
        return spread_out(forced, spread);
    }
    let least =
        bound("sip-force-expires-min").or_else(|| bound("sip-expires-force-min")).unwrap_or(0);
    let most = bound("sip-force-expires-max")
        .or_else(|| bound("sip-expires-force-max"))
        .unwrap_or(u32::MAX);
    spread_out(asked.max(least).min(most), spread)
}

/// So that phones which started together do not register together every time (`sip-expires-max-deviation`).
fn spread_out(seconds: u32, by: u32) -> u32 {
    if by == 0 {
        return seconds;
    }
    let by = by.min(seconds.saturating_sub(1));
    let chance = getrandom::u32().unwrap_or(by) % (2 * by).max(1);
    (seconds - by + chance).max(1)
}

impl Asked {
    /// `None` without user or host in To and From.
    fn read(profile: &Profile, request: &Request, path: &Path) -> Option<Self> {
        let headers = &request.headers;
        let (to, from) = (headers.to_addr()?, headers.from_addr()?);
        let settings = profile.settings.load();
        let host = settings.params.last("force-register-db-domain").filter(|d| !d.is_empty());
        let host = host
            .or_else(|| settings.params.last("force-register-domain").filter(|d| !d.is_empty()));
        let natted = super::nat::of_register(profile, request, path);
        let (contact, star) = match headers.list(Name::Contact).next() {
            Some("*") => ("*".to_owned(), true),
            Some(text) => (stored_contact(&NameAddr::parse(text)?, request, path, natted), false),
            None => (String::new(), false),
        };
        let base = if natted { DEFAULT_EXPIRES_NAT } else { DEFAULT_EXPIRES };
        let in_contact =
            || headers.contact()?.params().get("expires")?.trim_matches('"').parse().ok();
        let expires = if star {
            0
        } else {
            headers.number(Name::Expires).or_else(in_contact).unwrap_or(base)
        };
        Some(Self {
            user: to.uri.user().filter(|u| !u.is_empty())?.to_owned(),
            host: host.unwrap_or_else(|| to.uri.host()).to_owned(),
            from_user: from.uri.user().unwrap_or_default().to_owned(),
            from_host: from.uri.host().to_owned(),
            contact,
            expires,
            status: status_of(path.transport, natted),
            call_id: headers.call_id().to_owned(),
            user_agent: headers.get(Name::UserAgent).unwrap_or("unknown").to_owned(),
        })
    }

    /// `sip-force-user`, `sip-force-contact` and `sip-force-expires` of the user in the directory replace what the phone sent.
    fn apply_directives(&mut self, identity: &Identity, request: &Request, path: &Path) {
        if let Some(user) = directives::said(identity, "sip-force-user") {
            user.clone_into(&mut self.user);
        }
        let contact = request.headers.list(Name::Contact).next().filter(|text| *text != "*");
        if let Some(word) = directives::said(identity, "sip-force-contact")
            && let Some(contact) = contact.and_then(NameAddr::parse)
        {
            let kept = directives::forced_contact(word, &contact, &self.contact, path.remote);
            self.contact = kept.contact;
            if let Some(status) = kept.status {
                status.clone_into(&mut self.status);
            }
            if let Some(expires) = kept.expires.filter(|_| self.expires > 0) {
                self.expires = expires;
            }
        }
    }

    fn binding(
        &self,
        profile: &Profile,
        path: &Path,
        identity: Option<&Identity>,
        expires: u32,
        now: i64,
    ) -> Binding {
        let settings = profile.settings.load();
        let margin = settings.params.int("sip-expires-late-margin").unwrap_or(60).max(0);
        let mwi = identity.and_then(|i| i.user.params.get("mwi-account").map(str::to_owned));
        let metadata =
            identity.and_then(|i| i.user.variables.get("registration_metadata").map(str::to_owned));
        Binding {
            user: self.user.clone(),
            host: self.host.clone(),
            contact: self.contact.clone(),
            call_id: self.call_id.clone(),
            expires: now + i64::from(expires) + margin,
            granted: expires,
            status: self.status.clone(),
            user_agent: self.user_agent.clone(),
            network_ip: path.remote.ip().to_string(),
            network_port: path.remote.port(),
            network_proto: path.transport.as_param().to_owned(),
            auth_user: identity
                .map_or_else(|| self.user.clone(), |i| i.credentials.username.clone()),
            auth_realm: identity.map_or_else(|| self.host.clone(), |i| i.credentials.realm.clone()),
            mwi_account: mwi.unwrap_or_else(|| format!("{}@{}", self.user, self.host)),
            metadata: metadata.unwrap_or_default(),
        }
    }

    // ---- events ----

    fn base(&self, subclass: &str, profile: &Profile, hosts: Option<&str>) -> Event {
        let mut event = Event::custom(subclass);
        event.push("profile-name", profile.name.as_str());
        event.push("from-user", self.user.as_str());
        event.push("from-host", self.host.as_str());
        if let Some(hosts) = hosts {
            event.push("presence-hosts", hosts.to_owned());
        }
        event.push("contact", self.contact.as_str());
        event.push("call-id", self.call_id.as_str());
        event.push("rpid", "unknown");
        event.push("status", self.status.as_str());
        event
    }

    fn peer(&self, event: &mut Event, path: &Path, expires: u32) {
        event.push("expires", expires.to_string());
        event.push("to-user", self.from_user.as_str());
        event.push("to-host", self.from_host.as_str());
        event.push("network-ip", path.remote.ip().to_string());
        event.push("network-port", path.remote.port().to_string());
    }

    /// `sofia::register_attempt`: credentials came, and this is what they were worth. Without those of a user who
    /// may try, the reference names none.
    fn attempt(
        &self,
        profile: &Profile,
        path: &Path,
        credentials: Option<&Credentials>,
        result: &'static str,
    ) -> Event {
        let mut event = self.base("sofia::register_attempt", profile, None);
        self.peer(&mut event, path, self.expires);
        event.push("username", credentials.map_or("unknown", |c| c.username.as_str()));
        event.push("realm", credentials.map_or(self.host.as_str(), |c| c.realm.as_str()));
        event.push("user-agent", self.user_agent.as_str());
        event.push("auth-result", result);
        event
    }

    fn registered(
        &self,
        profile: &Profile,
        path: &Path,
        identity: Option<&Identity>,
        expires: u32,
        renewed: bool,
    ) -> Event {
        let settings = profile.settings.load();
        let hosts = settings
            .params
            .last("presence-hosts")
            .filter(|h| !h.is_empty())
            .unwrap_or("n/a")
            .to_owned();
        let mut event = self.base("sofia::register", profile, Some(&hosts));
        self.peer(&mut event, path, expires);
        event.push(
            "username",
            identity.map_or(self.user.as_str(), |i| i.credentials.username.as_str()),
        );
        event.push("realm", identity.map_or(self.host.as_str(), |i| i.credentials.realm.as_str()));
        event.push("user-agent", self.user_agent.as_str());
        if renewed {
            event.push("update-reg", "true");
        }
        self.user_part(&mut event, identity);
        event
    }

    fn unregistered(&self, profile: &Profile, path: &Path, identity: Option<&Identity>) -> Event {
        let mut event = Event::custom("sofia::unregister");
        event.push("profile-name", profile.name.as_str());
        event.push(
            "username",
            identity.map_or(self.user.as_str(), |i| i.credentials.username.as_str()),
        );
        event.push("from-user", self.user.as_str());
        event.push("from-host", self.host.as_str());
        event.push("contact", self.contact.as_str());
        event.push("call-id", self.call_id.as_str());
        event.push("rpid", "unknown");
        event.push("realm", identity.map_or(self.host.as_str(), |i| i.credentials.realm.as_str()));
        event.push("network-ip", path.remote.ip().to_string());
        event.push("network-port", path.remote.port().to_string());
        event.push("user-agent", self.user_agent.as_str());
        event.push("expires", self.expires.to_string());
        self.user_part(&mut event, identity);
        event
    }

    fn user_part(&self, event: &mut Event, identity: Option<&Identity>) {
        let Some(identity) = identity else { return };
        for (name, value) in auth::user_variables(identity, false) {
            event.push(name, value);
        }
    }
}

impl crate::store::registrations::Registrar for super::Sofia {
    fn knows_peer(&self, ip: std::net::IpAddr) -> bool {
        self.is_known_anywhere(ip)
    }

    fn registrations(&self) -> Vec<Registration> {
        let mut out = Vec::new();
        for profile in self.profiles() {
            let bindings = profile.bindings.lock();
            out.extend(bindings.all().into_iter().map(|b| Registration {
                user: b.user.clone(),
                realm: b.host.clone(),
                token: b.call_id.clone(),
                url: format!("sofia/{}/{}", profile.name, uri_of(&b.contact)),
                expires: b.expires,
                network_ip: b.network_ip.clone(),
                network_port: b.network_port,
                // The reference knows no WebSocket here.
                network_proto: match b.network_proto.as_str() {
                    "ws" | "wss" => "udp".to_owned(),
                    proto => proto.to_owned(),
                },
                metadata: b.metadata.clone(),
            }));
        }
        out
    }
}

/// The URI inside a stored contact.
#[must_use]
pub fn uri_of(contact: &str) -> &str {
    contact.rsplit_once('<').and_then(|(_, rest)| rest.split('>').next()).unwrap_or(contact)
}

/// `sofia::pre_register`: a phone without credentials is about to be asked for them. The reference
/// fires it for calls too.
pub fn fire_pre_register(profile: &Profile, request: &Request, path: &Path) {
    if !is_heard(profile) {
        return;
    }
    let Some(asked) = Asked::read(profile, request, path) else { return };
    let mut event = asked.base("sofia::pre_register", profile, None);
    asked.peer(&mut event, path, asked.expires);
    event.push("user-agent", asked.user_agent.as_str());
    esl_server::fire!(profile.switch.bus, event);
}

/// The credentials the reference names when it refuses a registration: none for another user than the one proved.
fn known<'a>(asked: &Asked, identity: &'a Identity) -> Option<&'a Credentials> {
    Some(&identity.credentials).filter(|credentials| credentials.username == asked.user)
}

/// `sofia::register_attempt` of whatever request credentials came with.
pub fn fire_attempt(
    profile: &Profile,
    request: &Request,
    path: &Path,
    credentials: Option<&Credentials>,
    result: &'static str,
) {
    if !is_heard(profile) {
        return;
    }
    let Some(asked) = Asked::read(profile, request, path) else { return };
    esl_server::fire!(profile.switch.bus, asked.attempt(profile, path, credentials, result));
}

/// `sofia::register_failure`: credentials that prove nothing.
pub fn fire_failure(profile: &Profile, request: &Request, path: &Path) {
    if !is_heard(profile) {
        return;
    }
    let to = request.headers.to_addr();
    let kind = if request.method == sip::message::Method::Register { "REGISTER" } else { "INVITE" };
    let mut event = Event::custom("sofia::register_failure");
    event.push("profile-name", profile.name.as_str());
    event.push("to-user", to.as_ref().and_then(|t| t.uri.user()).unwrap_or_default().to_owned());
    event.push("to-host", to.as_ref().map_or("", |t| t.uri.host()).to_owned());
    event.push("network-ip", path.remote.ip().to_string());
    event.push("user-agent", request.headers.get(Name::UserAgent).unwrap_or_default().to_owned());
    // Twice, as the reference writes it.
    event.push("profile-name", profile.name.as_str());
    event.push("network-port", path.remote.port().to_string());
    event.push("registration-type", kind);
    esl_server::fire!(profile.switch.bus, event);
}

/// Removes registrations that ended, and tells.
pub fn sweep(profile: &Arc<Profile>) {
    let ended = profile.bindings.lock().sweep(clock::now_secs());
    for binding in ended {
        fire_expired(profile, &binding);
    }
}

/// A connection is lost: phones that registered over it cannot be reached any more (`tcp-unreg-on-socket-close`; over
/// WebSocket always).
pub fn on_disconnected(profile: &Arc<Profile>, path: &Path) {
    let always = path.transport.is_websocket();
    let settings = profile.settings.load();
    if !always && !settings.params.last("tcp-unreg-on-socket-close").is_some_and(text::is_true) {
        return;
    }
    let (ip, port) = (path.remote.ip().to_string(), path.remote.port());
    let gone = profile.bindings.lock().take(|binding| {
        binding.network_proto == path.transport.as_param()
            && binding.network_port == port
            && binding.network_ip == ip
    });
    for binding in gone {
        let mut event = Event::custom("sofia::unregister");
        event.push("profile-name", profile.name.as_str());
        event.push("from-user", binding.user.as_str());
        event.push("from-host", binding.host.as_str());
        event.push("call-id", binding.call_id.as_str());
        event.push("rpid", "unknown");
        event.push("reason", "socket-disconnection");
        esl_server::fire!(profile.switch.bus, event);
        super::watch::registration_changed(profile, &binding.user, &binding.host);
    }
}

/// `sofia::expire`.
pub fn fire_expired(profile: &Arc<Profile>, binding: &Binding) {
    let mut event = Event::custom("sofia::expire");
    event.push("profile-name", profile.name.as_str());
    event.push("call-id", binding.call_id.as_str());
    event.push("user", binding.user.as_str());
    event.push("username", binding.auth_user.as_str());
    event.push("host", binding.host.as_str());
    event.push("contact", binding.contact.as_str());
    event.push("expires", binding.expires.to_string());
    event.push("user-agent", binding.user_agent.as_str());
    event.push("realm", binding.auth_realm.as_str());
    event.push("network-ip", binding.network_ip.as_str());
    event.push("network-port", binding.network_port.to_string());
    esl_server::fire!(profile.switch.bus, event);
    super::watch::registration_changed(profile, &binding.user, &binding.host);
}

fn status_of(transport: Transport, natted: bool) -> String {
    let suffix = if natted { "-NAT" } else { "" };
    format!("Registered({transport}{suffix})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_given_up_with_expires_0_only() {
        let confused = |lines: &[(&str, &str)]| is_confused(&lines.iter().copied().collect());
        assert!(!confused(&[("Contact", "*"), ("Expires", "0")]));
        assert!(confused(&[("Contact", "*"), ("Expires", "60")]));
        assert!(confused(&[("Contact", "*")]));
        assert!(confused(&[("Contact", "*, <sip:1@h>"), ("Expires", "0")]));
        assert!(confused(&[("Contact", "<sip:1@h>"), ("Contact", "*"), ("Expires", "0")]));
        assert!(!confused(&[("Contact", "<sip:1@h>"), ("Expires", "60")]));
    }
}
