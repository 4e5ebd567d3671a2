//! `sofia/<profile>/<uri>` and `sofia/gateway/<name>/<number>`: making calls.

use std::sync::Arc;

use sip::message::Name;
use sip::stack::{InviteSpec, Transport};
use sip::uri::{NameAddr, Uri};

use super::audio::Audio;
use super::gateway::Gateway;
use super::leg::SofiaLeg;
use super::profile::{Profile, host_text};
use super::{Sofia, variables};
use crate::BoxFuture;
use crate::call::{Cause, Channel, Direction, Endpoint, OutgoingCall, Session};

/// The endpoint.
pub struct SofiaEndpoint(pub Arc<Sofia>);

impl Endpoint for SofiaEndpoint {
    fn name(&self) -> &'static str {
        "sofia"
    }

    fn module(&self) -> &'static str {
        "mod_sofia"
    }

    fn outgoing(&self, call: OutgoingCall) -> BoxFuture<'_, Result<Session, Cause>> {
        Box::pin(async move { self.make(call) })
    }
}

/// Where a dial string leads.
struct Route {
    profile: Arc<Profile>,
    gateway: Option<Arc<Gateway>>,
    /// Request-URI.
    uri: Uri,
    /// `To`, when it is to differ (`^user@host`).
    to: Option<String>,
    /// What `sip_destination_url` and the channel name show.
    dialled: String,
}

impl SofiaEndpoint {
    fn make(&self, call: OutgoingCall) -> Result<Session, Cause> {
        let route = self.route(&call)?;
        let switch = &route.profile.switch;
        let name = format!("sofia/{}/{}", route.profile.name, route.dialled);
        let (channel, inbox) =
            switch.new_channel(Direction::Outbound, name, call.uuid.as_deref())?;
        set_creation_variables(&channel, &route, &call);
        let mut profile = call.profile.clone();
        profile.uuid = channel.uuid().to_string();
        profile.chan_name = channel.name();
        profile.destination_number =
            route.uri.user().unwrap_or_else(|| route.uri.host()).to_owned();
        if let Some(gateway) = &route.gateway
            && !gateway.destination_prefix.is_empty()
        {
            profile.destination_number = profile
                .destination_number
                .trim_start_matches(gateway.destination_prefix.as_str())
                .to_owned();
        }
        if profile.callee_id_number.is_empty() {
            profile.callee_id_number.clone_from(&profile.destination_number);
        }
        channel.with(|data| data.profile = Some(profile));
        let peer = route.uri.host_ip();
        let settings = route.profile.settings.load_full();
        let audio = Audio::new(
            Arc::clone(&route.profile),
            peer,
            settings.outbound_codecs.clone(),
            settings.negotiation,
        );
        let spec = invite(&route, &channel, &call)?;
        let leg =
            SofiaLeg::outbound(Arc::clone(&route.profile), spec, audio, route.gateway.clone());
        tracing::info!(uuid = %channel.uuid(), fs_level = "NOTICE", "New Channel {} [{}]", channel.name(), channel.uuid());
        Ok(Session::new(channel, Box::new(leg), inbox))
    }

    fn route(&self, call: &OutgoingCall) -> Result<Route, Cause> {
        let (first, rest) = call.destination.split_once('/').ok_or(Cause::INVALID_URL)?;
        if first.eq_ignore_ascii_case("gateway") {
            return self.gateway_route(rest);
        }
        let profile = self.0.find(first).ok_or_else(|| {
            tracing::error!("Invalid Profile {first}");
            Cause::INVALID_PROFILE
        })?;
        let (target, to) =
            rest.split_once('^').map_or((rest, None), |(target, to)| (target, Some(to.to_owned())));
        if let Some(contact) = self.registered(&profile, target)? {
            return Ok(contact);
        }
        let text = if target.starts_with("sip:") || target.starts_with("sips:") {
            target.to_owned()
        } else {
            format!("sip:{target}")
        };
        let uri = Uri::parse(&text).ok_or_else(|| {
            tracing::error!("Invalid URL \'{target}\'");
            Cause::INVALID_URL
        })?;
        let dialled = text.trim_start_matches("sips:").trim_start_matches("sip:").to_owned();
        Ok(Route { profile, gateway: None, uri, to, dialled })
    }

    /// `user%domain`, or a bare user: whoever registered under that name.
    fn registered(&self, profile: &Arc<Profile>, target: &str) -> Result<Option<Route>, Cause> {
        let bare = target.trim_start_matches("sip:");
        let (user, domain) = match bare.split_once('%') {
            Some((user, domain)) => (user, domain.to_owned()),
            None if !bare.contains('@') => (
                bare,
                profile.aliases.read().first().cloned().unwrap_or_else(|| profile.name.clone()),
            ),
            None => return Ok(None),
        };
        let contact = super::registrar::contacts(profile, user, &domain)
            .into_iter()
            .next()
            .ok_or(Cause::USER_NOT_REGISTERED)?;
        let address = NameAddr::parse(&contact).ok_or(Cause::USER_NOT_REGISTERED)?;
        let dialled = address.uri.as_str().trim_start_matches("sip:").to_owned();
        Ok(Some(Route {
            profile: Arc::clone(profile),
            gateway: None,
            uri: address.uri,
            to: None,
            dialled,
        }))
    }

    fn gateway_route(&self, rest: &str) -> Result<Route, Cause> {
        let (name, number) = rest.split_once('/').ok_or(Cause::INVALID_URL)?;
        let (profile, gateway) = self.0.gateway(name).ok_or_else(|| {
            tracing::error!("Invalid Gateway \'{name}\'");
            Cause::INVALID_GATEWAY
        })?;
        if !gateway.is_up() {
            tracing::error!("Gateway is down!");
            return Err(Cause::GATEWAY_DOWN);
        }
        let (number, params) = number
            .split_once(';')
            .map_or((number, String::new()), |(number, params)| (number, format!(";{params}")));
        let target = if number.contains('@') {
            format!("sip:{number}{params}")
        } else {
            format!("sip:{}{number}@{}{params}", gateway.destination_prefix, gateway.proxy)
        };
        let uri = Uri::parse(&target).ok_or(Cause::INVALID_URL)?;
        let dialled = number.to_owned();
        Ok(Route { profile, gateway: Some(gateway), uri, to: None, dialled })
    }
}

fn set_creation_variables(channel: &Channel, route: &Route, call: &OutgoingCall) {
    let ip = route.profile.settings.load().sip_ip.to_string();
    channel.set_var("sip_local_network_addr", ip);
    match &route.gateway {
        Some(gateway) => {
            channel.set_var("sip_gateway_name", gateway.name.as_str());
            channel.set_var("sip_profile_name", "gateway");
        }
        None => channel.set_var("sip_profile_name", route.profile.name.as_str()),
    }
    channel.set_vars([
        ("video_media_flow", "disabled".to_owned()),
        ("text_media_flow", "disabled".to_owned()),
        ("channel_name", channel.name()),
        ("sip_destination_url", route.uri.as_str().to_owned()),
    ]);
    if let Some(gateway) = &route.gateway {
        for variable in gateway.conf.variables.iter().filter(|variable| variable.outbound) {
            match variable.name.strip_prefix("p:") {
                Some(_) => {}
                None => channel.set_var(variable.name.clone(), variable.value.as_str()),
            }
        }
        if let Some(proxy) = &gateway.outbound_proxy
            && call.variable("sip_route_uri").is_none()
        {
            channel.set_var("sip_route_uri", format!("sip:{}", proxy.trim_start_matches("sip:")));
        }
        if let Some(domain) = &gateway.from_domain {
            channel.set_var("sip_invite_domain", domain.as_str());
        }
    }
}

/// The INVITE as far as it can be written before the channel's variables are all set.
fn invite(route: &Route, channel: &Channel, call: &OutgoingCall) -> Result<InviteSpec, Cause> {
    let ip = host_text(route.profile.sip_ip_for(route.uri.host_ip()));
    let secure = route.uri.params().get("transport").is_some_and(|t| t.eq_ignore_ascii_case("tls"));
    if secure && !route.profile.has(Transport::Tls) {
        tracing::error!("Profile {} has no TLS", route.profile.name);
        return Err(Cause::DESTINATION_OUT_OF_ORDER);
    }
    let transport = if secure { Transport::Tls } else { Transport::Udp };
    let port = route.profile.port_for(transport);
    let settings = route.profile.settings.load();
    let request_uri = route.uri.without_headers();
    let contact = match &route.gateway {
        Some(gateway) => format!(
            "<sip:gw+{}@{ip}:{port};transport={};gw={}>",
            gateway.name, gateway.transport, gateway.name
        ),
        None if secure => format!("<sip:{}@{ip}:{port};transport=tls>", settings.contact_user),
        None => format!("<sip:{}@{ip}:{port}>", settings.contact_user),
    };
    let from = format!("<sip:{}@{ip}>", call.profile.caller_id_number);
    let parse = |text: &str| NameAddr::parse(text).ok_or(Cause::INVALID_URL);
    let mut spec = InviteSpec::new(request_uri, parse(&from)?, parse(&contact)?);
    if let Some(to) = &route.to {
        spec.to = parse(&format!("<sip:{}>", to.trim_start_matches("sip:")))?;
    }
    if let Some(gateway) = &route.gateway {
        spec.from = gateway_from(gateway, call)?;
        spec.credentials = Some(gateway.authorizer());
    }
    if settings.uuid_as_callid {
        spec.call_id = Some(channel.uuid().to_string());
    }
    Ok(spec)
}

fn gateway_from(gateway: &Gateway, call: &OutgoingCall) -> Result<NameAddr, Cause> {
    let domain = gateway
        .from_domain
        .as_deref()
        .unwrap_or_else(|| gateway.proxy.split(';').next().unwrap_or_default());
    let text = if gateway.caller_id_in_from && !call.profile.caller_id_number.is_empty() {
        format!("<sip:{}@{domain}>", call.profile.caller_id_number)
    } else {
        format!("<sip:{}@{domain}>", gateway.from_user)
    };
    NameAddr::parse(&text).ok_or(Cause::INVALID_URL)
}

/// What the channel's variables change in the INVITE, just before it goes.
pub fn finish_headers(channel: &Channel, profile: &Profile, spec: &mut InviteSpec) {
    let settings = profile.settings.load();
    let caller = channel.profile();
    let shown_name =
        Some(caller.caller_id_name.as_str()).filter(|name| !name.is_empty() && *name != "_undef_");
    let gateway_hides_caller = channel.var("sip_gateway_name").is_some()
        && spec.from.uri.user() != Some(&caller.caller_id_number);
    if !gateway_hides_caller {
        spec.from.display = shown_name.map(str::to_owned);
    }
    if let Some(domain) = channel.var("sip_invite_domain") {
        let user = spec.from.uri.user().unwrap_or_default().to_owned();
        if let Some(uri) = Uri::parse(&format!("sip:{user}@{domain}")) {
            spec.from.uri = uri;
        }
    }
    if let Some(uri) = channel.var("sip_from_uri").and_then(|text| Uri::parse(&with_scheme(&text)))
    {
        spec.from.uri = uri;
    }
    if let Some(display) = channel.var("sip_from_display") {
        spec.from.display = Some(display);
    }
    for name in ["sip_invite_full_from", "sip_force_full_from"] {
        if let Some(from) = channel.var(name).and_then(|text| NameAddr::parse(&text)) {
            spec.from = from;
        }
    }
    if let Some(to) =
        channel.var("sip_invite_to_uri").and_then(|text| Uri::parse(text.trim_matches(['<', '>'])))
    {
        spec.to = NameAddr::new(to);
    }
    for name in ["sip_invite_full_to", "sip_force_full_to"] {
        if let Some(to) = channel.var(name).and_then(|text| NameAddr::parse(&text)) {
            spec.to = to;
        }
    }
    if let Some(uri) =
        channel.var("sip_invite_req_uri").and_then(|text| Uri::parse(&with_scheme(&text)))
    {
        spec.request_uri = uri;
    }
    if let Some(params) = channel.var("sip_invite_params")
        && let Some(uri) = spec.request_uri.with_params(&params)
    {
        spec.request_uri = uri;
    }
    if let Some(user) = channel.var("sip_contact_user")
        && channel.var("sip_gateway_name").is_none()
        && channel.var("sip_recover_contact").is_none()
    {
        let text = spec.contact.to_string().replacen(settings.contact_user.as_str(), &user, 1);
        if let Some(contact) = NameAddr::parse(&text) {
            spec.contact = contact;
        }
    }
    for name in ["sip_route_uri", "sip_invite_route_uri"] {
        if let Some(route) = channel.var(name) {
            let bare = route.trim_matches(['<', '>']);
            spec.next_hop = Uri::parse(&with_scheme(bare));
        }
    }
    fs_path(spec);
    spec.call_id = channel.var("sip_invite_call_id").or_else(|| spec.call_id.take());
    spec.cseq = channel.var("sip_invite_cseq").and_then(|text| text.parse().ok());
    if let (Some(user), Some(password)) =
        (channel.var("sip_auth_username"), channel.var("sip_auth_password"))
    {
        spec.credentials = Some(Arc::new(sip::digest::PasswordAuthorizer::new(
            user,
            sip::digest::Secret::Password(password),
            "",
        )));
    }
    if let Some(hops) = channel.var("max_forwards") {
        spec.headers.push(Name::MaxForwards, hops);
    }
    copy_custom_headers(channel);
    for (name, value) in variables::headers_from(channel, "sip_h_") {
        spec.headers.push_text(&name, value);
    }
    if settings.pass_callee_id {
        spec.headers.push_text("X-FS-Support", "update_display,send_info");
    }
    if let Some(info) = channel.var("alert_info") {
        spec.headers.push_text("Alert-Info", info);
    }
    if channel.is_true("sip_auto_answer") {
        spec.headers.push_text("Call-Info", format!("<sip:{}>;answer-after=0", settings.sip_ip));
    }
    push_caller_identity(channel, &caller, &settings.cid_type, profile, spec);
}

fn with_scheme(text: &str) -> String {
    if text.starts_with("sip:") || text.starts_with("sips:") {
        text.to_owned()
    } else {
        format!("sip:{text}")
    }
}

/// A contact's `fs_path` names the next hop; it and its like do not go out.
fn fs_path(spec: &mut InviteSpec) {
    let params = spec.request_uri.params();
    if let Some(path) = params.get("fs_path") {
        spec.next_hop = Uri::parse(&with_scheme(&sip::uri::unescape(path)));
    }
    if !params.as_str().contains("fs_") && !params.has("received") {
        return;
    }
    let kept = params.without(|name| name.starts_with("fs_") || name == "received");
    let text = spec.request_uri.as_str();
    let base = text.split(';').next().unwrap_or(text);
    if let Some(uri) = Uri::parse(&format!("{base}{kept}")) {
        spec.to = NameAddr::new(uri.clone());
        spec.request_uri = uri;
    }
}

/// The caller's `sip_h_*` go on to this leg unless `sip_copy_custom_headers` says no.
fn copy_custom_headers(channel: &Channel) {
    let Some(caller) =
        channel.var("originating_leg_uuid").and_then(|uuid| channel.switch().channel(&uuid))
    else {
        return;
    };
    if caller.var("sip_copy_custom_headers").is_some_and(|value| !crate::text::is_true(&value)) {
        return;
    }
    for (name, value) in variables::headers_from(&caller, "sip_h_") {
        let variable = format!("sip_h_{name}");
        if channel.var(&variable).is_none() {
            channel.set_var(variable, value);
        }
    }
}

fn push_caller_identity(
    channel: &Channel,
    caller: &crate::call::CallerProfile,
    default_kind: &str,
    profile: &Profile,
    spec: &mut InviteSpec,
) {
    let kind = channel.var("sip_cid_type").unwrap_or_else(|| default_kind.to_owned());
    let shown =
        Some(caller.caller_id_name.as_str()).filter(|name| !name.is_empty() && *name != "_undef_");
    let name = shown.map(|name| format!("\"{name}\" ")).unwrap_or_default();
    let domain = channel
        .var("sip_invite_domain")
        .unwrap_or_else(|| host_text(profile.sip_ip_for(spec.request_uri.host_ip())));
    let number = &caller.caller_id_number;
    match kind.as_str() {
        "none" => {}
        "pid" => {
            let header = if caller.screen { "P-Asserted-Identity" } else { "P-Preferred-Identity" };
            spec.headers.push_text(header, format!("{name}<sip:{number}@{domain}>"));
            if caller.hide_name || caller.hide_number {
                spec.headers.push_text("Privacy", "id");
            } else if !channel.is_true("sip_cid_suppress_privacy_none") {
                spec.headers.push_text("Privacy", "none");
            }
        }
        _ => {
            let privacy = match (caller.hide_name, caller.hide_number) {
                (true, true) => "full",
                (true, false) => "name",
                (false, true) => "uri",
                (false, false) => "off",
            };
            let screen = if caller.screen { "yes" } else { "no" };
            spec.headers.push_text(
                "Remote-Party-ID",
                format!(
                    "{name}<sip:{number}@{domain}>;party=calling;screen={screen};privacy={privacy}"
                ),
            );
        }
    }
}
