//! An INVITE comes in: who may call, and the channel that results.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sip::message::{Headers, Name, Request};
use sip::stack::{IncomingInvite, Path};
use sip::uri::NameAddr;

use super::identity::CallerIdentity;
use super::leg::SofiaLeg;
use super::profile::Profile;
use crate::call::{CallerProfile, Channel, Direction, Session};
use crate::switch::Switch;
use crate::{clock, text};
use leg_media::LegMedia;

/// What the checks found about a caller that may call.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Context that the access list prescribes.
    pub context: Option<String>,
    /// Variables of the user the caller is.
    pub variables: Vec<(String, String)>,
}

impl Admission {
    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }
}

/// Decides about an INVITE and starts its channel.
pub async fn accept(profile: &Arc<Profile>, invite: IncomingInvite) {
    profile.counters.calls_in.fetch_add(1, Ordering::Relaxed);
    let admission = match admit(profile, &invite).await {
        Ok(admission) => admission,
        Err(refusal) => {
            profile.counters.failed_in.fetch_add(1, Ordering::Relaxed);
            let request = Arc::clone(&invite.request);
            invite.respond(refusal.status, refusal.reason, refusal.headers, None);
            if refusal.known {
                super::refused::show(profile, &request);
            }
            return;
        }
    };
    if let Err((status, reason)) = start(profile, &admission, invite) {
        profile.counters.failed_in.fetch_add(1, Ordering::Relaxed);
        tracing::warn!("Call refused: {status} {reason}");
    }
}

/// A final answer instead of a call.
pub struct Refusal {
    /// SIP status.
    pub status: u16,
    /// Reason phrase; the standard one when empty.
    pub reason: &'static str,
    /// Further headers.
    pub headers: Headers,
    /// The caller has shown credentials: programs see the call end.
    pub known: bool,
}

impl Refusal {
    /// A refusal without further headers.
    #[must_use]
    pub fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason, headers: Headers::new(), known: false }
    }
}

/// The checks, in the order of the reference.
async fn admit(profile: &Arc<Profile>, invite: &IncomingInvite) -> Result<Admission, Refusal> {
    let request = &invite.request;
    let switch = &profile.switch;
    let room = switch.admit(Direction::Inbound).is_ok() && (invite.known || has_room(switch));
    if !room {
        let mut refusal = Refusal::new(503, "Maximum Calls In Progress");
        refusal.headers.push(Name::RetryAfter, "300");
        return Err(refusal);
    }
    if switch.counters.media_full.load(Ordering::Relaxed) {
        switch.counters.media_refused.fetch_add(1, Ordering::Relaxed);
        let mut refusal = Refusal::new(503, "Media Overloaded");
        refusal.headers.push(Name::RetryAfter, "10");
        return Err(refusal);
    }
    if request.headers.contact().is_none() {
        return Err(Refusal::new(400, "Missing Contact Header"));
    }
    if let Some((status, reason, headers)) = super::body::refused(request) {
        return Err(Refusal { status, reason, headers, known: false });
    }
    if profile.is_paused() {
        return Err(Refusal::new(503, "System Paused"));
    }
    let settings = profile.settings.load_full();
    let gate = gate(profile, request, &invite.path);
    let mut admission = Admission { context: gate.context, variables: Vec::new() };
    if gate.open {
        if settings.auth_calls
            && let Some(list) = gate.list
        {
            admission.set("sip_authorized", "true");
            admission.set("sip_acl_authed_by", list);
            if let Some(token) = &gate.token {
                admission.set("sip_acl_token", token);
            }
        }
        if let Some(token) = gate.token {
            let known = of_token(profile, invite, &token, &mut admission).await;
            let needed = settings.params.last("auth-require-user").is_some_and(text::is_true);
            if !known && needed {
                return Err(Refusal::new(480, ""));
            }
        }
        if settings.auth_calls {
            return Ok(admission);
        }
    } else if !settings.auth_calls && admission.context.is_none() {
        profile.counters.refused_by_acl.fetch_add(1, Ordering::Relaxed);
        return Err(Refusal::new(403, ""));
    }
    if settings.auth_calls && settings.auth_calls_acl_only {
        profile.counters.refused_by_acl.fetch_add(1, Ordering::Relaxed);
        return Err(Refusal::new(403, ""));
    }
    if settings.auth_calls && settings.accept_blind_auth {
        of_sender(profile, invite, &mut admission).await;
        return Ok(admission);
    }
    let shows_credentials = [Name::Authorization, Name::ProxyAuthorization]
        .iter()
        .any(|name| request.headers.get(*name).is_some());
    if settings.auth_calls || (shows_credentials && !settings.accept_blind_auth) {
        if profile.is_own_address(invite.path.remote) {
            admission.set("sip_looped_call", "true");
            return Ok(admission);
        }
        admission = super::auth::authorise_call(profile, request, &invite.path, admission).await?;
    }
    Ok(admission)
}

/// Strangers leave a quarter of the rate of new sessions, and an eighth of the sessions, to known peers.
fn has_room(switch: &Switch) -> bool {
    let counters = &switch.counters;
    let (now, most) =
        (counters.this_second.load(Ordering::Relaxed), counters.sps_limit.load(Ordering::Relaxed));
    let (running, sessions) =
        (switch.channel_count(), counters.max_sessions.load(Ordering::Relaxed) as usize);
    now < most - most / 4 && running < sessions - sessions / 8
}

/// What the access lists say about a caller.
struct Gate {
    /// He may, as far as they are concerned.
    open: bool,
    /// The list that let him in; `None` when there are no lists.
    list: Option<String>,
    /// The directory's user whose address it is, `user@domain`.
    token: Option<String>,
    /// The context the list prescribes.
    context: Option<String>,
}

/// `apply-inbound-acl`: the first list that fits decides; when none does, a trusted proxy (`apply-proxy-acl`) may speak
/// for the address it heard the call from.
fn gate(profile: &Profile, request: &Request, path: &Path) -> Gate {
    let settings = profile.settings.load();
    let peer = path.remote.ip();
    if settings.inbound_acl.is_empty() {
        return Gate { open: !settings.auth_calls, list: None, token: None, context: None };
    }
    let first = by_lists(profile, &settings.inbound_acl, peer);
    if first.open {
        return first;
    }
    let trusted = settings
        .params
        .all("apply-proxy-acl")
        .any(|list| !list.is_empty() && profile.switch.acl_allows(list, peer));
    let behind = request.headers.named("X-AUTH-IP").and_then(|text| text.trim().parse().ok());
    if trusted && let Some(behind) = behind {
        tracing::info!("{peer} is a proxy that speaks for {behind}");
        let second = by_lists(profile, &settings.inbound_acl, behind);
        if second.open {
            return second;
        }
    }
    let list = settings.inbound_acl.last().map(|acl| acl.list.as_str()).unwrap_or_default();
    if !settings.auth_calls && profile.refusal_log.admits(&profile.name) {
        tracing::warn!("IP {peer} Rejected by acl \"{list}\"");
    }
    first
}

fn by_lists(profile: &Profile, lists: &[super::settings::InboundAcl], peer: IpAddr) -> Gate {
    let mut context = None;
    for acl in lists {
        let verdict = profile.switch.acl_verdict(&acl.list, peer);
        if verdict.allowed {
            let context = acl.pass_context.clone();
            let list = Some(acl.list.clone());
            return Gate { open: true, list, token: verdict.token, context };
        }
        context.clone_from(&acl.fail_context);
    }
    Gate { open: false, list: None, token: None, context }
}

/// The variables of the user whose address an access list knows. False when there is no such user.
async fn of_token(
    profile: &Arc<Profile>,
    invite: &IncomingInvite,
    token: &str,
    admission: &mut Admission,
) -> bool {
    admission.set("acl_token", token);
    let (user, domain) = token.split_once('@').unwrap_or((token, ""));
    match super::auth::known_user(profile, &invite.request, &invite.path, user, domain).await {
        Some(variables) => {
            admission.variables.extend(variables);
            true
        }
        None => {
            tracing::warn!("Error Authenticating user {token}");
            false
        }
    }
}

/// `accept-blind-auth`: the identity the caller claims.
async fn of_sender(profile: &Arc<Profile>, invite: &IncomingInvite, admission: &mut Admission) {
    admission.set("sip_authorized", "true");
    let Some(from) = invite.request.headers.from_addr() else { return };
    let (user, domain) = (from.uri.user().unwrap_or_default(), from.uri.host());
    let found = super::auth::known_user(profile, &invite.request, &invite.path, user, domain).await;
    admission.variables.extend(found.into_iter().flatten());
}

/// Makes the channel and starts its task.
fn start(
    profile: &Arc<Profile>,
    admission: &Admission,
    invite: IncomingInvite,
) -> Result<(), (u16, &'static str)> {
    let request = Arc::clone(&invite.request);
    let path = invite.path;
    if let Err(error) = super::leg::description_of_invite(&request) {
        tracing::warn!("Cannot read the session description of {}: {error}", path.remote);
        invite.respond(400, "Bad Session Description", Headers::new(), None);
        return Err((400, "Bad Session Description"));
    }
    let settings = profile.settings.load_full();
    let name = channel_name(profile, &request);
    let taken_over = match request.headers.named("Replaces").map(|text| taken_over(profile, text)) {
        Some(None) => {
            invite.respond(481, "Call Does Not Exist", Headers::new(), None);
            return Err((481, "Call Does Not Exist"));
        }
        found => found.flatten(),
    };
    let line = match taken_over {
        None => super::shared_lines::picked_up(profile, &request, admission, path.remote.ip()),
        Some(_) => None,
    };
    let uuid = settings
        .callid_as_uuid
        .then(|| request.headers.call_id())
        .filter(|id| is_plain_id(id))
        .map(str::to_owned);
    let Ok((channel, inbox)) =
        profile.switch.new_channel(Direction::Inbound, name, uuid.as_deref())
    else {
        invite.respond(503, "Maximum Calls In Progress", Headers::new(), None);
        return Err((503, "Maximum Calls In Progress"));
    };
    let mut caller = caller_profile(profile, &channel, &request, &path, admission);
    if let Some(far) = taken_over {
        caller.rdnis = caller.destination_number.clone();
        caller.dialplan = "inline".into();
        caller.set_field("destination_number", &format!("answer,intercept:{}", far.uuid()));
    } else if let Some(there) = line {
        caller.rdnis = caller.destination_number.clone();
        caller.dialplan = "inline".into();
        caller.set_field("destination_number", &there);
    }
    let audio = LegMedia::new(
        Arc::clone(profile),
        Some(path.remote.ip()),
        settings.media.inbound_codecs.clone(),
        settings.negotiation,
    );
    let (dialog, events) = invite.into_dialog();
    if super::nat::of_call(profile, &request, &path) {
        dialog.pin_to_source();
    }
    let leg = SofiaLeg::inbound(
        Arc::clone(profile),
        dialog,
        events,
        audio,
        request,
        path,
        caller,
        admission.clone(),
    );
    let _taken = profile.switch.add_channel(&channel);
    tracing::info!(
        uuid = %channel.uuid(), fs_level = "NOTICE",
        "New Channel {} [{}]", channel.name(), channel.uuid()
    );
    Session::new(channel, Box::new(leg), inbox).start();
    Ok(())
}

/// The name of an inbound call's channel: profile and caller, or who sent the caller here.
#[must_use]
pub fn channel_name(profile: &Profile, request: &Request) -> String {
    let referrer = request.headers.get(Name::ReferredBy).and_then(NameAddr::parse);
    let from = referrer.or_else(|| request.headers.from_addr()).map(|from| from.uri);
    let user = from.as_ref().and_then(|from| from.user()).unwrap_or("nobody");
    let host = from.as_ref().map_or("nowhere", |from| from.host());
    let port = from
        .as_ref()
        .and_then(|from| from.port())
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("sofia/{}/{user}@{host}{port}", profile.name)
}

/// May a Call-ID name the call here, in file names and events too?
fn is_plain_id(id: &str) -> bool {
    const MOST: usize = 256;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@+=~".contains(&byte);
    id.len() <= MOST && !id.contains("..") && id.bytes().all(plain)
}

/// The leg that a call with `Replaces` is to talk to: the partner of the one it replaces (RFC 3891).
fn taken_over(profile: &Profile, replaces: &str) -> Option<Arc<Channel>> {
    let replaced = super::leg::replaced_call(&profile.switch, replaces)?;
    let far = replaced.partner().or_else(|| {
        let uuid = replaced.var("signal_bond")?;
        profile.switch.channel(&uuid).filter(|leg| leg.is_up())
    })?;
    replaced.fire_custom("sofia::replaced", |_| {}, |_| {});
    Some(far)
}

/// Who calls, from the headers that may say so.
fn caller_profile(
    profile: &Profile,
    channel: &Channel,
    request: &Request,
    path: &Path,
    admission: &Admission,
) -> CallerProfile {
    let settings = profile.settings.load();
    let mut caller = CallerProfile::new(Direction::Inbound, clock::now_us());
    let from = request.headers.from_addr();
    let who = CallerIdentity::of(request);
    caller.screen = who.screen;
    caller.hide_name = who.hide_name;
    caller.hide_number = who.hide_number;
    caller.caller_id_name = who.name;
    caller.username.clone_from(&who.number);
    caller.orig_caller_id_name = caller.caller_id_name.clone();
    caller.orig_caller_id_number.clone_from(&who.number);
    caller.ani.clone_from(&who.number);
    caller.caller_id_number = who.number;
    if let Some(class) = from.as_ref().and_then(|from| from.uri.params().get("isup-oli")) {
        class.clone_into(&mut caller.aniii);
    }
    caller.network_addr = path.remote.ip().to_string();
    caller.source = "mod_sofia".into();
    caller.uuid = channel.uuid().to_string();
    caller.chan_name = channel.name();
    let full = settings.params.last("full-id-in-dialplan").is_some_and(text::is_true);
    caller.destination_number = match request.uri.user() {
        Some(user) if full && !user.is_empty() => super::variables::user_at_host(&request.uri),
        _ => destination(request),
    };
    let of_user = |wanted: &str| {
        let found = admission.variables.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    caller.context =
        admission.context.clone().or_else(|| of_user("user_context")).unwrap_or_else(|| {
            if settings.context == "_domain_" {
                from.as_ref().map_or_else(|| "default".into(), |from| from.uri.host().to_owned())
            } else {
                settings.context.clone()
            }
        });
    caller.dialplan = of_user("inbound_dialplan").unwrap_or_else(|| settings.dialplan.clone());
    match_gateway(profile, channel, request, &mut caller);
    caller.make_harmless();
    caller
}

fn destination(request: &Request) -> String {
    request
        .uri
        .user()
        .filter(|user| !user.is_empty())
        .map(str::to_owned)
        .or_else(|| request.headers.to_addr().and_then(|to| to.uri.user().map(str::to_owned)))
        .or_else(|| request.headers.from_addr().and_then(|from| from.uri.user().map(str::to_owned)))
        .unwrap_or_else(|| "service".into())
}

/// A call to the Contact a gateway registered with: its context, extension and variables.
fn match_gateway(
    profile: &Profile,
    channel: &Channel,
    request: &Request,
    caller: &mut CallerProfile,
) {
    let by_user =
        request.uri.user().and_then(|user| user.split_once("gw+")).map(|(_, name)| name.to_owned());
    let by_param = request.uri.params().get("gw").map(str::to_owned);
    let Some(name) = by_user.clone().or(by_param) else { return };
    let Some(gateway) = profile.gateway(&name) else { return };
    gateway.counters.calls_in.fetch_add(1, Ordering::Relaxed);
    channel.set_var("sip_gateway", gateway.name.clone());
    for variable in gateway.conf.variables.iter().filter(|variable| variable.inbound) {
        channel.set_var(variable.name.clone(), variable.value.as_str());
    }
    if let Some(context) = &gateway.context {
        caller.context.clone_from(context);
    }
    let to_user = || request.headers.to_addr().and_then(|to| to.uri.user().map(str::to_owned));
    let extension = match gateway.extension.as_deref() {
        Some("auto_to_user") => to_user(),
        Some("auto") => by_user.is_some().then(to_user).flatten(),
        Some(literal) => Some(literal.to_owned()),
        None => by_user.is_some().then(|| gateway.username.clone()),
    };
    if let Some(extension) = extension {
        caller.destination_number = extension;
    }
}
