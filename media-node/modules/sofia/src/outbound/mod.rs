//! `sofia/<profile>/<uri>` and `sofia/gateway/<name>/<number>`: making calls.

mod headers;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sip::stack::{InviteSpec, Transport};
use sip::uri::{NameAddr, Scheme, SipUri, Uri, escape_param, escape_user, unescape, with_scheme};

pub use headers::finish_headers;
pub(crate) use headers::way_of;

use base::far;

use super::Sofia;
use super::gateway::Gateway;
use super::leg::SofiaLeg;
use super::profile::{Profile, host_text};
use crate::BoxFuture;
use crate::call::{CallerProfile, Cause, Channel, Direction, Endpoint, OutgoingCall, Session};
use leg_media::LegMedia;

/// The endpoint.
pub struct SofiaEndpoint(pub Arc<Sofia>);

impl Endpoint for SofiaEndpoint {
    fn name(&self) -> &'static str {
        "sofia"
    }

    fn module(&self) -> &'static str {
        "mod_sofia"
    }

    fn reads_marks(&self) -> bool {
        true
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
    /// The transport the gateway is reached by, or the URI names.
    transport: Option<Transport>,
    /// Parameters behind a gateway's number; they go into our Contact too.
    contact_params: String,
    /// The registered user that is called, `user@domain`.
    local_url: Option<String>,
}

impl Route {
    fn plain(profile: Arc<Profile>, uri: Uri, to: Option<String>, dialled: String) -> Self {
        let transport = leaves_by(&uri);
        let contact_params = String::new();
        Self {
            profile,
            gateway: None,
            uri,
            to,
            dialled,
            transport,
            contact_params,
            local_url: None,
        }
    }
}

/// The transport a request to that address leaves by, unless it is UDP's turn: that of the first proxy of the address's
/// stored `Path` (RFC 3327 §5.3, `fs_path` in brackets), which takes it the rest of the way, else the address's own.
fn leaves_by(uri: &Uri) -> Option<Transport> {
    let path = uri.params().get("fs_path").map(unescape);
    let proxy = path.filter(|path| path.trim_start().starts_with('<'));
    let proxy = proxy.and_then(|path| way_of(&path).0);
    let next = proxy.as_ref().unwrap_or(uri);
    let named = next.params().get("transport").and_then(Transport::parse);
    match next.scheme() {
        Scheme::Sips => Some(named.filter(|named| named.is_websocket()).unwrap_or(Transport::Tls)),
        _ => named,
    }
}

/// The address that is meant by one in which a far end's words are marked: they are the user, or the whole of it, and
/// bring no host of their own to one that is there, no header, and no route.
fn address(marked: &str) -> String {
    if !far::is_marked(marked) {
        return marked.to_owned();
    }
    let scheme =
        ["sip:", "sips:"].into_iter().find(|scheme| marked.starts_with(scheme)).unwrap_or_default();
    let rest = marked.get(scheme.len()..).unwrap_or_default();
    if let Some((user, host)) = rest.rsplit_once('@') {
        let user = far::in_user(user);
        let ends = |c: char| !(c.is_ascii_alphanumeric() || "-_.:[]".contains(c));
        let host = far::split(host);
        // What a far end puts into a host may be one, and nothing behind it.
        let said: String = host.1.mark(&host.0, 0);
        let mut chars = said.chars();
        let harmless: String = host
            .0
            .chars()
            .map(|c| {
                let far = chars.next() != Some(c);
                if far && ends(c) { '_' } else { c }
            })
            .collect();
        return format!("{scheme}{user}@{harmless}");
    }
    let plain = far::plain(rest);
    if !plain.contains('@') {
        return format!("{scheme}{}", far::in_user(rest));
    }
    let mut parts = plain.split(';');
    let mut whole =
        parts.next().unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    for param in parts {
        let name = param.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
        if ["transport", "user", "phone-context"].contains(&name.as_str()) {
            whole = format!("{whole};{}", param.split('?').next().unwrap_or_default());
        }
    }
    whole.retain(|c| !c.is_control() && !" <>\"".contains(c));
    format!("{scheme}{whole}")
}

/// Fields of the new call's profile that the gateway prescribes (`p:` variables).
fn profile_fields(route: &Route) -> impl Iterator<Item = (&str, &str)> {
    let variables = route.gateway.iter().flat_map(|gateway| &gateway.conf.variables);
    variables
        .filter(|variable| variable.outbound)
        .filter_map(|variable| Some((variable.name.strip_prefix("p:")?, variable.value.as_str())))
}

impl SofiaEndpoint {
    fn make(&self, call: OutgoingCall) -> Result<Session, Cause> {
        let route = self.route(&call)?;
        if route.profile.is_paused() {
            tracing::error!(fs_level = "CRIT", "System Paused");
            return Err(Cause::SYSTEM_SHUTDOWN);
        }
        let switch = &route.profile.switch;
        let shown = route.dialled.split(';').next().unwrap_or_default();
        let name = format!("sofia/{}/{shown}", route.profile.name);
        let (channel, inbox) =
            switch.new_channel(Direction::Outbound, name, call.uuid.as_deref())?;
        set_creation_variables(&channel, &route, &call);
        let mut profile = call.profile.clone();
        profile.uuid = channel.uuid().to_string();
        profile.chan_name = channel.name();
        for (field, value) in profile_fields(&route) {
            profile.set_field(field, value);
        }
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
            profile.callee_id_number = profile.destination_number.clone();
        }
        channel.with(|data| data.profile = Some(profile));
        let peer = route.uri.host_ip();
        let settings = route.profile.settings.load_full();
        let audio = LegMedia::new(
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
        let first = &*far::plain(first);
        let profile = self.0.find(first).ok_or_else(|| {
            tracing::error!("Invalid Profile {first}");
            Cause::INVALID_PROFILE
        })?;
        let (target, to) =
            rest.split_once('^').map_or((rest, None), |(target, to)| (target, Some(address(to))));
        if let Some(contact) = self.registered(&profile, target)? {
            return Ok(contact);
        }
        let target = &match far::is_marked(target) {
            true => address(target),
            false => with_user_escaped(target),
        };
        let text = with_scheme(target);
        let uri = Uri::parse(&text).ok_or_else(|| {
            tracing::error!("Invalid URL \'{target}\'");
            Cause::INVALID_URL
        })?;
        let dialled = text.trim_start_matches("sips:").trim_start_matches("sip:").to_owned();
        Ok(Route::plain(profile, uri, to, dialled))
    }

    /// `user%domain`, or a bare user: whoever registered under that name.
    fn registered(&self, profile: &Arc<Profile>, target: &str) -> Result<Option<Route>, Cause> {
        if far::plain(target).contains('@') && !target.contains('%') {
            return Ok(None);
        }
        let bare = target.trim_start_matches("sip:");
        // Behind an `@` a percent sign is part of an escape (`fs_path=sip%3A…`).
        let (user, domain) = match bare.split_once('%') {
            Some((user, domain)) if !bare.contains('@') => (user, domain.to_owned()),
            _ if !bare.contains('@') => (
                bare,
                profile.aliases.read().first().cloned().unwrap_or_else(|| profile.name.clone()),
            ),
            _ => return Ok(None),
        };
        let (user, domain) = (far::plain(user), far::into_plain(domain));
        let contact = super::registrar::contacts(profile, &user, &domain)
            .into_iter()
            .next()
            .ok_or(Cause::USER_NOT_REGISTERED)?;
        let address = NameAddr::parse(&contact).ok_or(Cause::USER_NOT_REGISTERED)?;
        let dialled = address.uri.as_str().trim_start_matches("sip:").to_owned();
        let mut route = Route::plain(Arc::clone(profile), address.uri, None, dialled);
        route.local_url = Some(format!("{user}@{domain}"));
        Ok(Some(route))
    }

    fn gateway_route(&self, rest: &str) -> Result<Route, Cause> {
        let (name, number) = rest.split_once('/').ok_or(Cause::INVALID_URL)?;
        let name = &*far::plain(name);
        let (profile, gateway) = self.0.gateway(name).ok_or_else(|| {
            tracing::error!("Invalid Gateway \'{name}\'");
            Cause::INVALID_GATEWAY
        })?;
        if !gateway.is_up() {
            tracing::error!("Gateway \'{name}\' is down!");
            gateway.counters.failed_out.fetch_add(1, Ordering::Relaxed);
            return Err(Cause::GATEWAY_DOWN);
        }
        let (number, params) =
            number.split_once(';').map_or((number, String::new()), |(number, params)| {
                (number, format!(";{}", far::plain(params)))
            });
        let dialled = far::plain(number).into_owned();
        let number = &*address(number);
        let asked = sip::uri::Params::new(&params).get("transport").map(str::to_ascii_lowercase);
        if asked.is_some_and(|asked| asked != gateway.transport) {
            tracing::error!(
                "Gateway {name} is reached by {}; a number cannot ask for another transport",
                gateway.transport
            );
            gateway.counters.failed_out.fetch_add(1, Ordering::Relaxed);
            return Err(Cause::DESTINATION_OUT_OF_ORDER);
        }
        let target = if number.contains('@') {
            Uri::parse(&format!("{}{params}", with_scheme(&with_user_escaped(number))))
        } else {
            let user = format!("{}{number}", gateway.destination_prefix);
            SipUri::new(&user, &gateway.proxy).params(&params).uri()
        };
        let uri = target.ok_or(Cause::INVALID_URL)?;
        let transport = Transport::parse(&gateway.transport);
        Ok(Route {
            profile,
            gateway: Some(gateway),
            uri,
            to: None,
            dialled,
            transport,
            contact_params: params,
            local_url: None,
        })
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
    if let Some(local) = &route.local_url {
        channel.set_var("sip_local_url", local.as_str());
        if route.profile.settings.load().manages_presence()
            && channel.own_var("presence_id").is_none()
        {
            channel.set_var("presence_id", local.as_str());
        }
    }
    channel.set_vars([
        ("video_media_flow", "disabled".to_owned()),
        ("text_media_flow", "disabled".to_owned()),
        ("channel_name", channel.name()),
        ("sip_destination_url", route.uri.as_str().to_owned()),
    ]);
    // What is registered over a WebSocket is a browser. The dial string, which comes later, may say otherwise.
    if route
        .uri
        .params()
        .get("transport")
        .and_then(Transport::parse)
        .is_some_and(Transport::is_websocket)
    {
        channel.set_var("media_webrtc", "true");
    }
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
            channel.set_var("sip_route_uri", with_scheme(proxy).into_owned());
        }
        if let Some(domain) = &gateway.from_domain
            && call.variable("sip_invite_domain").is_none()
        {
            let caller = || call.originator.as_deref();
            let of_caller = |name: &str| caller().and_then(|caller| caller.var(name));
            let (name, value) = match domain.as_str() {
                "auto-aleg-full" => ("sip_force_full_from", of_caller("sip_full_from")),
                "auto-aleg-domain" => ("sip_invite_domain", of_caller("sip_from_host")),
                domain => ("sip_invite_domain", Some(domain.to_owned())),
            };
            if let Some(value) = value {
                channel.set_var(name, value);
            }
        }
    }
}

/// The INVITE as far as it can be written before the channel's variables are all set.
fn invite(route: &Route, channel: &Channel, call: &OutgoingCall) -> Result<InviteSpec, Cause> {
    let ip = host_text(route.profile.sip_ip_for(route.uri.host_ip()));
    let transport = route.transport.or_else(|| {
        route.gateway.is_none().then(|| Transport::parse(&channel.var("sip_transport")?)).flatten()
    });
    let transport = transport.unwrap_or(Transport::Udp);
    let plain = matches!(transport, Transport::Udp | Transport::Tcp);
    if !plain && !route.profile.has(transport) {
        tracing::error!("Profile {} has no {transport}", route.profile.name);
        return Err(Cause::DESTINATION_OUT_OF_ORDER);
    }
    // A browser answers over its own connection; the reference shows it the port of UDP.
    let shown = if transport.is_websocket() { Transport::Udp } else { transport };
    let port = route.profile.port_for(shown);
    let settings = route.profile.settings.load();
    let request_uri = over(&route.uri.without_headers(), transport);
    let contact = match &route.gateway {
        Some(gateway) => {
            let contact = gateway.contact_for(&route.profile, route.uri.host_ip());
            contact.replacen('>', &format!("{}>", route.contact_params), 1)
        }
        None => {
            let own = SipUri::new(&settings.contact_user, &ip).port(port);
            let named = transport != Transport::Udp && !transport.is_websocket();
            let own = if named { own.param("transport", transport.as_param()) } else { own };
            own.bracketed()
        }
    };
    let from = caller_address(&call.profile, &ip).ok_or(Cause::INVALID_URL)?;
    let parse = |text: &str| NameAddr::parse(text).ok_or(Cause::INVALID_URL);
    let mut spec = InviteSpec::new(request_uri, from, parse(&contact)?);
    if let Some(to) = &route.to {
        spec.to = NameAddr::new(Uri::parse(&with_scheme(to)).ok_or(Cause::INVALID_URL)?);
    }
    if let Some(gateway) = &route.gateway {
        if !gateway.caller_id_in_from {
            spec.from = parse(&gateway.from_text())?;
        }
        spec.credentials = Some(gateway.authorizer(&route.profile.switch));
    }
    spec.transport = Some(transport).filter(|transport| *transport != Transport::Udp);
    if settings.uuid_as_callid {
        spec.call_id = Some(channel.uuid().to_string());
    }
    Ok(spec)
}

/// The address with its transport written in it, unless that is UDP.
fn over(uri: &Uri, transport: Transport) -> Uri {
    if transport == Transport::Udp || uri.params().has("transport") {
        return uri.clone();
    }
    let params = format!("{};transport={}", uri.params().as_str(), transport.as_param());
    uri.with_params(&params).unwrap_or_else(|| uri.clone())
}

/// The caller's address at that host. A caller without a number has an address without a user part.
#[must_use]
pub fn caller_address(caller: &CallerProfile, host: &str) -> Option<NameAddr> {
    let class = match caller.aniii.as_str() {
        "" => String::new(),
        class => format!(";isup-oli={}", escape_param(class)),
    };
    SipUri::new(&caller.caller_id_number, host).params(&class).uri().map(NameAddr::new)
}

/// A dial string's address with its user part escaped where it must be: numbers hold blanks and `#`.
fn with_user_escaped(target: &str) -> String {
    let (scheme, rest) = ["sip:", "sips:"]
        .iter()
        .find_map(|scheme| Some((*scheme, target.strip_prefix(scheme)?)))
        .unwrap_or(("", target));
    // What stands behind an address's host is no user part, even where it holds an `@`.
    let Some((user, host)) = rest.split_once('@').filter(|(user, _)| !user.contains("fs_path="))
    else {
        return target.to_owned();
    };
    match user.split_once(':') {
        Some((user, password)) => format!("{scheme}{}:{password}@{host}", escape_user(user)),
        None => format!("{scheme}{}@{host}", escape_user(user)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_without_number_or_with_blanks_have_an_address() {
        let shown = |number: &str, class: &str| {
            let mut caller = CallerProfile::new(Direction::Outbound, 0);
            caller.caller_id_number = number.into();
            caller.aniii = class.into();
            caller_address(&caller, "192.0.2.1:5080").map(|address| address.to_string())
        };
        assert_eq!(shown("", "").as_deref(), Some("<sip:192.0.2.1:5080>"));
        assert_eq!(shown("12 34", "").as_deref(), Some("<sip:12%2034@192.0.2.1:5080>"));
        assert_eq!(shown("+1555", "61").as_deref(), Some("<sip:+1555@192.0.2.1:5080;isup-oli=61>"));
        assert_eq!(shown("a>b@c", "").as_deref(), Some("<sip:a%3Eb%40c@192.0.2.1:5080>"));
    }

    #[test]
    fn a_browser_behind_a_proxy_is_called_over_the_proxys_transport() {
        let leaves = |text: &str| Uri::parse(text).and_then(|uri| leaves_by(&uri));
        let browser = "sip:x@a.invalid;transport=ws";
        let edge =
            escape_param("<sip:192.0.2.1:5070;lr;received=sip:192.0.2.9:4444%3Btransport%3Dws>");
        assert_eq!(leaves(browser), Some(Transport::Ws));
        assert_eq!(leaves(&format!("{browser};fs_path={edge}")), None);
        let over_tcp = escape_param("<sip:192.0.2.1:5070;transport=tcp;lr>,<sip:192.0.2.2;lr>");
        assert_eq!(leaves(&format!("{browser};fs_path={over_tcp}")), Some(Transport::Tcp));
        let own = escape_param("sip:x@192.0.2.9:4444;transport=ws");
        assert_eq!(leaves(&format!("{browser};fs_nat=yes;fs_path={own}")), Some(Transport::Ws));
        assert_eq!(leaves("sips:x@h"), Some(Transport::Tls));
    }

    #[test]
    fn the_user_part_of_a_dial_string_is_escaped() {
        for (target, escaped) in [
            ("9#1@h", "9%231@h"),
            ("sip:12 34@h;x=1", "sip:12%2034@h;x=1"),
            ("sips:u:p@h", "sips:u:p@h"),
            ("1000%h", "1000%h"),
            ("sip:1@h;fs_path=sip%3A1%40h", "sip:1@h;fs_path=sip%3A1%40h"),
            ("h;fs_path=sip:a@b", "h;fs_path=sip:a@b"),
        ] {
            assert_eq!(with_user_escaped(target), escaped);
        }
    }

    #[test]
    fn a_far_end_names_a_user_or_an_address_and_nothing_more() {
        let far = far::mark;
        for (marked, meant) in [
            ("1000@192.0.2.1".to_owned(), "1000@192.0.2.1"),
            (format!("{}@192.0.2.1", far("+49*30#")), "+49*30#@192.0.2.1"),
            (format!("{}@192.0.2.1", far("1;rn=2;npdi")), "1;rn=2;npdi@192.0.2.1"),
            (format!("{}@192.0.2.1", far("1@evil")), "1%40evil@192.0.2.1"),
            (
                format!("sip:{}@h;transport=tcp", far("a:b>\r\nX: y")),
                "sip:a%3Ab%3E%0D%0AX%3A%20y@h;transport=tcp",
            ),
            (format!("1@{}", far("h.example:5080")), "1@h.example:5080"),
            (format!("1@{}", far("h;fs_path=sip:evil")), "1@h_fs_path_sip:evil"),
            (far("1000@h.example:5062"), "1000@h.example:5062"),
            (far("1000@h;transport=tcp;fs_path=sip:evil;maddr=x"), "1000@h;transport=tcp"),
            (far("1@h?Subject=x\r\nY: z"), "1@h"),
            (far("1 0<0>@h\r\nX"), "100@hX"),
            (far("0171/555"), "0171/555"),
        ] {
            assert_eq!(address(&marked), meant);
        }
    }
}
