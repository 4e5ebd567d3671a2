//! Digest against the directory: challenge, verify, and the user a caller or phone turns out to be.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use base::guess_guard::{Attempt, Verdict as Guess};
use dialplan_xml::directory::{Domain, User};
use esl_server::event::{Event, EventName};
use sip::digest::{Algorithm, Challenge, Credentials, NonceState, Qop, Secret};
use sip::message::{Headers, Method, Name, Request};
use sip::stack::Path;
use sip::uri::{NameAddr, Uri, with_scheme};

use super::inbound::{Admission, Refusal};
use super::profile::Profile;
use crate::guesses::Door;
use crate::text;
use crate::xml::{self, FoundUser};

/// Shortest life of a nonce, seconds.
const MIN_NONCE_TTL: i64 = 60;
/// A nonce outlives its announced life by this, seconds.
const NONCE_GRACE: u64 = 32;
/// Credentials that prove nothing are refused so long after they came, whatever is wrong with them: how long it took to
/// find out says whether there is such a user.
const REFUSAL_TIME: Duration = Duration::from_millis(100);

/// An authenticated party.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The directory's user.
    pub user: User,
    /// What was proved with.
    pub credentials: Credentials,
    /// Name of the domain the user was looked up in.
    pub domain: String,
    /// Names of the variables the domain has.
    pub of_domain: Vec<String>,
}

/// What credentials, or their absence, lead to.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Let in.
    Accepted(Box<Identity>),
    /// Ask (again).
    Challenge(Challenges),
    /// Turn away.
    Forbidden,
}

/// What a far end is asked to prove itself with: one challenge per algorithm, the strongest first.
#[derive(Clone, Debug)]
pub struct Challenges(Vec<Challenge>);

impl Challenges {
    /// The credentials were right, only their nonce was old.
    #[must_use]
    pub fn are_stale(&self) -> bool {
        self.0.iter().any(|challenge| challenge.stale)
    }

    /// The headers that ask, and the status they go with: 401 or 407.
    #[must_use]
    pub fn response(&self) -> (u16, Headers) {
        let mut headers = Headers::new();
        for challenge in &self.0 {
            headers.push(challenge.header_name(), challenge.to_string());
        }
        let proxy = self.0.iter().any(|challenge| challenge.proxy);
        (if proxy { 407 } else { 401 }, headers)
    }
}

/// REGISTER and subscriptions to the user's own features, where the switch is the far end and no proxy.
fn asks_as_registrar(request: &Request) -> bool {
    let package = request.headers.get(Name::Event).unwrap_or_default();
    request.method == Method::Register
        || request.method == Method::Subscribe && package.trim() == super::feature_events::PACKAGE
}

/// Judges the credentials of a request. REGISTER and feature subscriptions are asked with 401, everything else with 407. Takes [`REFUSAL_TIME`] for
/// credentials that prove nothing.
#[must_use]
pub async fn judge(profile: &Profile, request: &Request, path: &Path) -> Verdict {
    let came = tokio::time::Instant::now();
    let verdict = judge_at_once(profile, request, path).await;
    if matches!(verdict, Verdict::Forbidden) {
        tokio::time::sleep_until(came + REFUSAL_TIME).await;
    }
    verdict
}

async fn judge_at_once(profile: &Profile, request: &Request, path: &Path) -> Verdict {
    let proxy = !asks_as_registrar(request);
    let Some(credentials) = Credentials::of(&request.headers, proxy) else {
        log_challenge(profile, request, path);
        return Verdict::Challenge(challenge(profile, request, proxy, false));
    };
    let ttl = fresh_nonce_ttl(profile);
    let nonce = profile.nonces.lock().check(Instant::now(), &credentials, ttl);
    if nonce == NonceState::Stale {
        super::registrar::fire_attempt(profile, request, path, None, "STALE");
        return Verdict::Challenge(challenge(profile, request, proxy, true));
    }
    let algorithm = credentials.algorithm;
    if chosen_algorithms(profile).is_some_and(|allowed| !allowed.contains(&algorithm)) {
        if profile.refusal_log.admits(&profile.name) {
            let ip = path.remote.ip();
            tracing::warn!("Credentials from ip {ip} are of {}, not asked for", algorithm.as_str());
        }
        log_failure(profile, request, path);
        return Verdict::Forbidden;
    }
    if !is_for(profile, request, path, &credentials) {
        if profile.refusal_log.admits(&profile.name) {
            tracing::warn!(
                "Credentials for {} came with a request for {} from ip {}",
                credentials.uri,
                request.uri.as_str(),
                path.remote.ip()
            );
        }
        log_failure(profile, request, path);
        return Verdict::Forbidden;
    }
    let domain = lookup_domain(profile, &credentials.realm);
    let account = format!("{}@{domain}", credentials.username);
    let attempt = Attempt { address: path.remote.ip(), account: Some(&account) };
    if let Guess::Wait(_) = profile.switch.guesses.ask(Door::Sip, &attempt) {
        return Verdict::Forbidden;
    }
    match verify(profile, request, path, &credentials).await {
        Ok(found) => {
            profile.switch.guesses.passed(Door::Sip, &attempt);
            if !profile.nonces.lock().accept(Instant::now(), &credentials, ttl) {
                // The same nonce and count were used meanwhile.
                return Verdict::Challenge(challenge(profile, request, proxy, true));
            }
            // What a registration comes to is decided later.
            if request.method != Method::Register {
                let result = result_of(&credentials);
                super::registrar::fire_attempt(profile, request, path, Some(&credentials), result);
            }
            let names =
                |domain: &Domain| domain.variables.iter().map(|v| v.name.to_string()).collect();
            Verdict::Accepted(Box::new(Identity {
                of_domain: found.domain().map(names).unwrap_or_default(),
                user: found.user,
                domain,
                credentials,
            }))
        }
        Err(why) => {
            // A directory that does not answer says nothing about the password.
            if why == Unproven::Wrong {
                profile.switch.guess_failed(Door::Sip, &attempt);
            }
            super::registrar::fire_attempt(profile, request, path, Some(&credentials), "FORBIDDEN");
            log_failure(profile, request, path);
            Verdict::Forbidden
        }
    }
}

/// `auth-result` of credentials that are right: with a counted nonce they renew it.
#[must_use]
pub fn result_of(credentials: &Credentials) -> &'static str {
    if credentials.counted.is_some() { "RENEWED" } else { "SUCCESS" }
}

/// Were the credentials made for this request? Digest `uri` and Request-URI must name the same user, and a host that
/// means us in both; ports and parameters may differ, as phones write them in one and not in the other. A `uri` may name
/// the host alone, as SIPp and some phones have it: such credentials cannot be made from others. What a proxy we trust (`apply-proxy-acl`) made of the Request-URI does not count.
fn is_for(profile: &Profile, request: &Request, path: &Path, credentials: &Credentials) -> bool {
    if credentials.uri.eq_ignore_ascii_case(request.uri.as_str()) {
        return true;
    }
    let settings = profile.settings.load();
    let trusted = settings
        .params
        .all("apply-proxy-acl")
        .any(|list| !list.is_empty() && profile.switch.acl_allows(list, path.remote.ip()));
    if trusted {
        return true;
    }
    let uri = &credentials.uri;
    let Some(claimed) = Uri::parse(uri).or_else(|| Uri::parse(&with_scheme(uri))) else {
        return false;
    };
    let user = |uri: &Uri| sip::uri::unescape(uri.user().unwrap_or_default());
    let same_user = request.method == Method::Register
        || claimed.user().is_none_or(str::is_empty)
        || user(&claimed) == user(&request.uri);
    let host = claimed.host();
    let own = |ip: IpAddr| {
        ip == settings.sip_ip
            || settings.ext_sip_ip == Some(ip)
            || profile.stack.listening().iter().any(|(_, at)| at.ip() == ip)
    };
    let ours = host.eq_ignore_ascii_case(request.uri.host())
        || host.eq_ignore_ascii_case(&credentials.realm)
        || claimed.host_ip().is_some_and(own);
    same_user && ours
}

/// A registration was granted: its nonce serves until the next one is due.
pub fn renew_nonce(profile: &Profile, nonce: &str, granted: u32) {
    let ttl = nonce_ttl(profile) + Duration::from_secs(granted.into());
    profile.nonces.lock().renew(Instant::now(), nonce, ttl);
}

/// The domain users are looked up in: forced by the profile, else the digest realm.
#[must_use]
pub fn lookup_domain(profile: &Profile, realm: &str) -> String {
    let settings = profile.settings.load();
    settings
        .params
        .last("force-register-domain")
        .filter(|d| !d.is_empty())
        .unwrap_or(realm)
        .to_owned()
}

fn nonce_ttl(profile: &Profile) -> Duration {
    let seconds =
        profile.settings.load().params.int("nonce-ttl").unwrap_or(MIN_NONCE_TTL).max(MIN_NONCE_TTL);
    Duration::from_secs(seconds.unsigned_abs())
}

/// How long a nonce serves that has not been renewed.
fn fresh_nonce_ttl(profile: &Profile) -> Duration {
    nonce_ttl(profile) + Duration::from_secs(NONCE_GRACE)
}

fn challenge(profile: &Profile, request: &Request, proxy: bool, stale: bool) -> Challenges {
    let settings = profile.settings.load();
    let host = |name: Name| {
        let address = if name == Name::From {
            request.headers.from_addr()
        } else {
            request.headers.to_addr()
        };
        address.map(|a| a.uri.host().to_owned()).unwrap_or_default()
    };
    let realm = match settings.params.last("challenge-realm") {
        None | Some("" | "auto_to") => host(Name::To),
        Some("auto_from") => host(Name::From),
        Some(literal) => literal.to_owned(),
    };
    let algorithms = chosen_algorithms(profile).unwrap_or_else(|| vec![Algorithm::default()]);
    let asked = algorithms.into_iter().map(|algorithm| Challenge {
        realm: realm.clone(),
        nonce: profile.nonces.lock().issue(Instant::now()),
        opaque: None,
        algorithm,
        qop: Some(Qop::Auth),
        stale,
        proxy,
    });
    Challenges(asked.collect())
}

/// The algorithms of `rfc8760-auth-algorithms`, the strongest first as in the reference; `None` where it names none, and
/// credentials are taken in whatever way they were made.
fn chosen_algorithms(profile: &Profile) -> Option<Vec<Algorithm>> {
    let settings = profile.settings.load();
    let list = settings.params.last("rfc8760-auth-algorithms")?;
    let chosen = algorithms(list);
    (!chosen.is_empty()).then_some(chosen)
}

/// The names of a list, with the spellings the reference reads. Unknown ones are left out.
fn algorithms(list: &str) -> Vec<Algorithm> {
    let named = |name: &str| {
        let (base, session) =
            match name.len().checked_sub(5).and_then(|at| name.split_at_checked(at)) {
                Some((base, end)) if end.eq_ignore_ascii_case("-sess") => (base, end),
                _ => (name, ""),
            };
        let base = match base.to_ascii_uppercase().as_str() {
            "MD-5" => "MD5",
            "SHA256" => "SHA-256",
            "SHA512" | "SHA-512" | "SHA512-256" => "SHA-512-256",
            _ => base,
        }
        .to_owned();
        Algorithm::parse(&format!("{base}{session}"))
    };
    let mut chosen: Vec<_> = list.split([',', ' ']).filter_map(|name| named(name.trim())).collect();
    chosen.sort_by_key(|algorithm| std::cmp::Reverse(strength(*algorithm)));
    chosen.dedup();
    chosen
}

fn strength(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Md5 => 0,
        Algorithm::Md5Sess => 1,
        Algorithm::Sha256 => 2,
        Algorithm::Sha256Sess => 3,
        Algorithm::Sha512_256 => 4,
        Algorithm::Sha512_256Sess => 5,
    }
}

/// Why credentials are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unproven {
    /// No such user, or the wrong password.
    Wrong,
    /// The directory could not be asked.
    Unanswered,
}

/// The user whose secret the credentials prove.
async fn verify(
    profile: &Profile,
    request: &Request,
    path: &Path,
    credentials: &Credentials,
) -> Result<FoundUser, Unproven> {
    let domain = lookup_domain(profile, &credentials.realm);
    let ip = path.remote.ip().to_string();
    let ask = |params: &mut Event| question(profile, request, path, credentials, params);
    let switch = &profile.switch;
    let found =
        xml::ask_for_user(switch, "id", &credentials.username, &domain, Some(&ip), ask).await;
    match found {
        Ok(Some(found)) if proves(profile, request, path, credentials, &found.user) => Ok(found),
        Ok(_) => Err(Unproven::Wrong),
        Err(xml::Unanswered) => Err(Unproven::Unanswered),
    }
}

/// Do the credentials prove that it is this user?
fn proves(
    profile: &Profile,
    request: &Request,
    path: &Path,
    credentials: &Credentials,
    user: &User,
) -> bool {
    if user.pointer {
        return false;
    }
    if let Some(list) = user.params.get("auth-acl").filter(|list| !list.is_empty())
        && !profile.switch.acl_allows(list, path.remote.ip())
    {
        tracing::warn!("IP {} Rejected by user acl [{list}]", path.remote.ip());
        return false;
    }
    let secret = match (user.params.get("a1-hash"), user.params.get("password")) {
        (Some(hash), _) if credentials.algorithm.is_md5() => Secret::Ha1(hash.to_owned()),
        (_, Some(password)) => {
            // The reference lets anybody be such a user unless it is told not to.
            if password.is_empty() {
                return user.params.bool("allow-empty-password") == Some(true);
            }
            Secret::Password(password.to_owned())
        }
        // Without a password nothing can be proved (the reference accepts users that have no params at all).
        _ => return false,
    };
    credentials.verify(request.method.as_str(), &request.body, &secret)
}

/// What a web server is told about the request when it is asked for its user.
fn question(
    profile: &Profile,
    request: &Request,
    path: &Path,
    credentials: &Credentials,
    params: &mut Event,
) {
    let headers = &request.headers;
    params.push("action", "sip_auth");
    params.push("sip_profile", profile.name.as_str());
    params.push("sip_user_agent", headers.get(Name::UserAgent).unwrap_or_default());
    params.push("sip_auth_username", credentials.username.as_str());
    params.push("sip_auth_realm", credentials.realm.as_str());
    params.push("sip_auth_nonce", credentials.nonce.as_str());
    params.push("sip_auth_uri", credentials.uri.as_str());
    let uri = |address: Option<NameAddr>| address.map(|address| address.uri);
    if let Some(contact) = uri(headers.contact()) {
        params.push("sip_contact_user", contact.user().unwrap_or_default());
        params.push("sip_contact_host", contact.host());
    }
    put_address(params, "to", uri(headers.to_addr()).as_ref());
    params.push("sip_via_protocol", path.transport.as_param());
    put_address(params, "from", uri(headers.from_addr()).as_ref());
    params.push("sip_call_id", headers.call_id());
    put_address(params, "request", Some(&request.uri));
    for header in headers.iter().filter(|header| header.text.starts_with("X-")) {
        params.push(header.text.to_string(), header.value.to_string());
    }
    if let Some((qop, count)) = &credentials.counted {
        params.push("sip_auth_qop", qop.as_str());
        params.push("sip_auth_cnonce", credentials.cnonce.as_deref().unwrap_or_default());
        params.push("sip_auth_nc", count.as_str());
    }
    params.push("sip_auth_response", credentials.response.as_str());
    params.push("sip_auth_method", request.method.as_str());
    params.push("client_port", path.remote.port().to_string());
}

fn put_address(params: &mut Event, whose: &str, uri: Option<&Uri>) {
    let Some(uri) = uri else { return };
    params.push(format!("sip_{whose}_user"), uri.user().unwrap_or_default());
    params.push(format!("sip_{whose}_host"), uri.host());
    params.push_some(format!("sip_{whose}_port"), uri.port().map(|port| port.to_string()));
}

/// What a user brings to calls and to registration events, in the reference's order.
#[must_use]
pub fn user_variables(identity: &Identity, for_call: bool) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: &str| out.push((name.to_owned(), value.to_owned()));
    let user = &identity.user;
    let alias = user.number_alias().unwrap_or(&identity.credentials.username);
    put("sip_number_alias", alias);
    put("sip_auth_username", &identity.credentials.username);
    put("sip_auth_realm", &identity.credentials.realm);
    if for_call {
        put("requested_user_name", &identity.credentials.username);
        put("requested_domain_name", &identity.domain);
    }
    put("number_alias", alias);
    if !for_call {
        put("user_name", &user.id);
        put("domain_name", &user.domain);
    }
    for (name, value) in directory_variables(identity) {
        put(&name, &value);
    }
    for param in &user.params {
        if param.name.starts_with("sip-") && for_call {
            put(&param.name, &param.value);
        }
    }
    if for_call {
        put("user_name", &user.id);
        put("domain_name", &user.domain);
        if let Some(account) = user.params.get("mwi-account") {
            put("mwi-account", account);
        }
    }
    out
}

/// The user's variables, the domain's first.
fn directory_variables(identity: &Identity) -> Vec<(String, String)> {
    let of_domain =
        |name: &str| identity.of_domain.iter().any(|known| known.eq_ignore_ascii_case(name));
    let pair = |p: &dialplan_xml::config::Param| (p.name.to_string(), p.value.to_string());
    let (first, second): (Vec<_>, Vec<_>) =
        identity.user.variables.iter().map(pair).partition(|(name, _)| of_domain(name));
    first.into_iter().chain(second).collect()
}

/// The variables of a user who is not authenticated: the address is known, or authentication is off. `None` if there is no such
/// user.
pub async fn known_user(
    profile: &Profile,
    request: &Request,
    path: &Path,
    user: &str,
    domain: &str,
) -> Option<Vec<(String, String)>> {
    let ip = path.remote.ip().to_string();
    let ask = |params: &mut Event| {
        let headers = &request.headers;
        params.push("action", "user_call");
        params.push("sip_profile", profile.name.as_str());
        params.push("sip_user_agent", headers.get(Name::UserAgent).unwrap_or_default());
        params.push("sip_call_id", headers.call_id());
    };
    let found = xml::find_user_by(&profile.switch, "id", user, domain, Some(&ip), ask).await?;
    let pair = |p: &dialplan_xml::config::Param| (p.name.to_string(), p.value.to_string());
    let alias = found.user.number_alias().map(|alias| ("number_alias".into(), alias.into()));
    let mut out: Vec<_> = alias.into_iter().chain(found.user.variables.iter().map(pair)).collect();
    out.push(("user_name".into(), found.user.id.to_string()));
    out.push(("domain_name".into(), found.user.domain.to_string()));
    Some(out)
}

/// How much a request outside calls has to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: the profile's parameter for it is off.
    None,
    /// Digest.
    Digest,
    /// Digest, where calls need it, or an address calls are let in from.
    DigestOrAddress,
}

/// May the sender of a request outside calls be served? True when digest proved who it is.
///
/// Addresses that calls are not let in from are turned away; the reference serves other requests to anybody.
///
/// # Errors
/// The challenge (407, 401) or refusal (403) to send.
pub async fn admit_request(
    profile: &Profile,
    request: &Request,
    path: &Path,
    proof: Proof,
) -> Result<bool, Refusal> {
    let settings = profile.settings.load_full();
    let known = || {
        let peer = path.remote.ip();
        settings.inbound_acl.iter().any(|acl| profile.switch.acl_allows(&acl.list, peer))
    };
    if proof == Proof::None {
        return Ok(false);
    }
    if !settings.auth_calls && !settings.inbound_acl.is_empty() && !known() {
        if profile.refusal_log.admits(&profile.name) {
            tracing::warn!("IP {} Rejected by acl: {}", path.remote.ip(), request.method);
        }
        return Err(Refusal::new(403, ""));
    }
    let by_address = !settings.auth_calls || settings.accept_blind_auth || known();
    if proof == Proof::DigestOrAddress && by_address {
        return Ok(false);
    }
    match judge(profile, request, path).await {
        Verdict::Accepted(_) => Ok(true),
        Verdict::Challenge(challenges) => {
            let (status, headers) = challenges.response();
            Err(Refusal { headers, ..Refusal::new(status, "") })
        }
        Verdict::Forbidden => Err(Refusal::new(403, "")),
    }
}

/// Authorises a call by digest.
///
/// # Errors
/// The challenge (407) or refusal (403) to send.
pub async fn authorise_call(
    profile: &Profile,
    request: &Request,
    path: &Path,
    mut admission: Admission,
) -> Result<Admission, Refusal> {
    match judge(profile, request, path).await {
        Verdict::Accepted(identity) => {
            admission.variables.push(("sip_authorized".into(), "true".into()));
            admission.variables.extend(lookup_event(profile));
            admission.variables.extend(user_variables(&identity, true));
            renew_nonce(profile, &identity.credentials.nonce, 0);
            Ok(admission)
        }
        Verdict::Challenge(challenges) => {
            if !challenges.are_stale() {
                super::registrar::fire_pre_register(profile, request, path);
            }
            let (_, headers) = challenges.response();
            Err(Refusal { headers, known: credentials_shown(request), ..Refusal::new(407, "") })
        }
        Verdict::Forbidden => Err(Refusal { known: true, ..Refusal::new(403, "") }),
    }
}

fn credentials_shown(request: &Request) -> bool {
    Credentials::of(&request.headers, true).is_some()
}

/// The reference leaves the headers of its directory question on the channel, as variables.
fn lookup_event(profile: &Profile) -> Vec<(String, String)> {
    let mut event = Event::new(EventName::RequestParams);
    esl_server::stamp!(profile.switch.bus, &mut event);
    let mut out = Vec::new();
    event.for_each_header(|name, value| out.push((name.to_owned(), value.text().into_owned())));
    out
}

fn log_challenge(profile: &Profile, request: &Request, path: &Path) {
    if wants_auth_log(profile) {
        let (who, ip, kind) = (account(request), path.remote.ip(), kind(request));
        tracing::warn!(
            "SIP auth challenge ({kind}) on sofia profile '{}' for [{who}] from ip {ip}",
            profile.name
        );
    }
}

fn log_failure(profile: &Profile, request: &Request, path: &Path) {
    let ip: IpAddr = path.remote.ip();
    if wants_auth_log(profile) {
        let (who, kind) = (account(request), kind(request));
        tracing::warn!(
            "SIP auth failure ({kind}) on sofia profile '{}' for [{who}] from ip {ip}",
            profile.name
        );
    }
    super::registrar::fire_failure(profile, request, path);
}

fn wants_auth_log(profile: &Profile) -> bool {
    profile.settings.load().params.last("log-auth-failures").is_some_and(text::is_true)
        && profile.refusal_log.admits(&profile.name)
}

fn kind(request: &Request) -> &'static str {
    if request.method == Method::Register { "REGISTER" } else { "INVITE" }
}

fn account(request: &Request) -> String {
    let Some(to) = request.headers.to_addr() else { return String::new() };
    format!("{}@{}", to.uri.user().unwrap_or_default(), to.uri.host())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_are_asked_for_strongest_first() {
        assert_eq!(
            algorithms("MD5, sha256,SHA-256-sess,nonsense,SHA-512-256,MD5"),
            [Algorithm::Sha512_256, Algorithm::Sha256Sess, Algorithm::Sha256, Algorithm::Md5]
        );
        assert!(algorithms("none, é-sess").is_empty());
    }
}
