//! What the channel's variables make of an INVITE's headers.

use std::sync::Arc;

use dialplan_xml::regex::Pattern;
use sip::message::Name;
use sip::stack::{InviteSpec, Transport};
use sip::uri::{NameAddr, SipUri, Uri, with_scheme};

use crate::call::Channel;
use crate::profile::{Profile, host_text};
use crate::variables;

/// What the channel's variables change in the INVITE, just before it goes.
pub fn finish_headers(channel: &Channel, profile: &Profile, spec: &mut InviteSpec) {
    let settings = profile.settings.load();
    let caller = channel.profile();
    let shown_name =
        Some(caller.caller_id_name.as_str()).filter(|name| !name.is_empty() && *name != "_undef_");
    let gateway = channel.var("sip_gateway_name").and_then(|name| profile.gateway(&name));
    let hides_caller = gateway.is_some_and(|gateway| !gateway.caller_id_in_from);
    spec.from.display = shown_name.map(str::to_owned);
    if !hides_caller
        && let Some(domain) = channel.var("sip_invite_domain")
        && let Some(from) = super::caller_address(&caller, &domain)
    {
        spec.from.uri = from.uri;
    }
    if let Some(uri) = channel.var("sip_from_uri").and_then(|text| Uri::parse(&with_scheme(&text)))
    {
        spec.from.uri = uri;
    }
    if let Some(from) = channel
        .var("sip_invite_from_uri")
        .and_then(|text| Uri::parse(&with_scheme(text.trim_matches(['<', '>']))))
    {
        spec.from.uri = from;
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
    let plus = |uri: &Uri, name: &str| {
        let more = channel.var(name)?;
        let more = more.trim_start_matches(['~', ';']);
        uri.with_params(&format!("{};{more}", uri.params().as_str()))
    };
    if let Some(uri) = plus(&spec.request_uri, "sip_invite_params") {
        spec.request_uri = uri;
    }
    if let Some(uri) = plus(&spec.to.uri, "sip_invite_to_params") {
        spec.to.uri = uri;
    }
    if let Some(uri) = plus(&spec.from.uri, "sip_invite_from_params") {
        spec.from.uri = uri;
    }
    if let Some(uri) = plus(&spec.contact.uri, "sip_invite_contact_params") {
        spec.contact.uri = uri;
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
    fs_path(channel, spec);
    if spec.next_hop.is_none()
        && let Some(proxy) = profile.outbound_proxy()
    {
        spec.next_hop = Some(proxy);
    }
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
    if let Some(gateway) =
        channel.var("sip_use_gateway").and_then(|name| profile.gateway(name.trim()))
    {
        spec.credentials = Some(gateway.authorizer(&profile.switch));
    }
    if spec.credentials.is_none() {
        spec.credentials = crate::reverse_auth::credentials(profile, spec);
    }
    if let Some(hops) = channel.var("max_forwards") {
        spec.headers.push(Name::MaxForwards, hops);
    }
    copy_custom_headers(channel);
    let unwanted = channel.var("exclude_outgoing_extra_header");
    for (name, value) in variables::headers_from(channel, "sip_h_") {
        if !unwanted.as_deref().is_some_and(|pattern| is_excluded(pattern, &name)) {
            spec.headers.push_text(&name, value);
        }
    }
    if settings.pass_callee_id {
        spec.headers.push_text("X-FS-Support", "update_display,send_info");
    }
    if let Some(info) = channel.var("alert_info") {
        spec.headers.push_text("Alert-Info", info);
    }
    if channel.is_true("sip_auto_answer") {
        let own = SipUri::new("", settings.sip_ip).bracketed();
        let intercom = if channel.is_true("intercom") { ";intercom=true" } else { "" };
        spec.headers.push_text("Call-Info", format!("{own};answer-after=0{intercom}"));
    }
    push_caller_identity(channel, &caller, &settings.cid_type, profile, spec);
}

/// `exclude_outgoing_extra_header`: a regular expression over `sip_h_NAME`.
fn is_excluded(pattern: &str, header: &str) -> bool {
    let name = format!("sip_h_{header}");
    Pattern::cached(pattern).is_ok_and(|pattern| pattern.is_match(&name))
}

/// The next hop an `fs_path` names, and the route to write down where it is the Path of a registration (RFC 3327 §5.3): addresses
/// in brackets.
pub(crate) fn way_of(path: &str) -> (Option<Uri>, Option<String>) {
    let first = path.split(',').next().unwrap_or_default();
    let uri = first.split(['<', '>']).find(|part| part.contains(':')).unwrap_or(first);
    let hop = Uri::parse(&with_scheme(uri.trim()));
    let bracketed = path.trim_start().starts_with('<');
    // What a phone wrote becomes part of a message only where it is an address.
    let hops: Option<Vec<String>> = path
        .split(',')
        .map(|part| NameAddr::parse(part.trim()).map(|hop| format!("<{}>", hop.uri.as_str())))
        .collect();
    (hop, hops.filter(|_| bracketed).map(|hops| hops.join(", ")))
}

/// A contact's `fs_path` names the next hop; it and its like do not go out. A peer behind NAT (`fs_nat`) is spoken to
/// where it was dialled, whatever address it calls its own.
fn fs_path(channel: &Channel, spec: &mut InviteSpec) {
    let params = spec.request_uri.params();
    if spec.next_hop.is_none()
        && let Some(path) = params.get("fs_path")
    {
        let path = sip::uri::unescape(path);
        let route;
        (spec.next_hop, route) = way_of(&path);
        // The way to a browser is written down, with its transport outside the brackets as in the reference.
        if let Some(hop) = &spec.next_hop
            && let Some(over) = hop.params().get("transport").and_then(Transport::parse)
            && over.is_websocket()
        {
            let bare = hop.as_str().split(';').next().unwrap_or_default();
            spec.headers.push(Name::Route, format!("<{bare}>;transport={}", over.as_param()));
        } else if let Some(route) = route {
            spec.headers.push(Name::Route, route);
        }
    }
    let sticky =
        channel.is_true("sip_sticky_contact") || channel.var("sip-force-contact").is_some();
    if params.has("fs_nat") || params.has("received") || sticky {
        channel.set_var("sip_nat_detected", "true");
        if spec.next_hop.is_none() {
            spec.next_hop = Some(spec.request_uri.clone());
        }
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
            // What a far end said stays marked as its own.
            let value = caller.variable_marked(&variable).unwrap_or(value);
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
    let domain = channel
        .var("sip_invite_domain")
        .unwrap_or_else(|| host_text(profile.sip_ip_for(spec.request_uri.host_ip())));
    let params = channel
        .var("sip_invite_pid_params")
        .filter(|_| kind == "pid")
        .map(|params| format!(";{}", params.trim_start_matches(';')))
        .unwrap_or_default();
    let place = format!("{domain}{params}");
    let Some(who) = variables::identity(shown, &caller.caller_id_number, &place) else {
        tracing::warn!(uuid = %channel.uuid(), "No address can be made of caller and {place}");
        return;
    };
    match kind.as_str() {
        "none" => {}
        "pid" => {
            let header = if caller.screen { "P-Asserted-Identity" } else { "P-Preferred-Identity" };
            spec.headers.push_text(header, who);
            if caller.hide_number {
                spec.headers.push_text("Privacy", "id");
            } else if !channel.is_true("sip_cid_suppress_privacy_none") {
                spec.headers.push_text("Privacy", "none");
            }
        }
        _ => {
            let privacy = match (caller.hide_name, caller.hide_number) {
                (true, true) => "full",
                (true, false) => "name",
                (false, true) => "full",
                (false, false) => "off",
            };
            let screen = if caller.screen { "yes" } else { "no" };
            spec.headers.push_text(
                "Remote-Party-ID",
                format!("{who};party=calling;screen={screen};privacy={privacy}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_path_is_the_route_and_what_is_no_address_is_none() {
        let way = |path: &str| {
            let (hop, route) = way_of(path);
            (hop.map(|hop| hop.as_str().to_owned()), route)
        };
        let edge = "<sip:192.0.2.1:5070;lr;received=sip:192.0.2.9:4444%3Btransport%3Dws>";
        let (hop, route) = way(&format!("{edge},<sip:192.0.2.2;lr>"));
        assert_eq!(hop.as_deref(), Some(edge.trim_matches(['<', '>'])));
        assert_eq!(route, Some(format!("{edge}, <sip:192.0.2.2;lr>")));
        let (hop, route) = way("sip:1000@192.0.2.9:4444;transport=ws");
        assert_eq!(hop.as_deref(), Some("sip:1000@192.0.2.9:4444;transport=ws"));
        assert_eq!(route, None);
        let (_, route) = way("<sip:192.0.2.1;lr>\r\nX-Evil: 1");
        assert_ne!(route.as_deref().map(|route| route.contains('\n')), Some(true));
    }
}
