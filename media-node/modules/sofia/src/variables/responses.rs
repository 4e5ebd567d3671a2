//! Variables of responses to our requests.

use std::net::SocketAddr;

use sip::message::{Name, Response};

use super::{Channel, Heard, Part, Profile, address, find_by_call_id, routes};

/// Variables of a response to our INVITE.
pub fn of_response(
    leg: &Channel,
    response: &Response,
    source: Option<SocketAddr>,
    local: &Local<'_>,
) {
    let channel = &Heard(leg);
    if response.status > 100 {
        channel.set_var("sip_local_network_addr", local.ip.to_string());
    }
    if let Some(source) = source {
        of_source(leg, source);
    }
    if let Some(agent) =
        response.headers.get(Name::UserAgent).or_else(|| response.headers.named("Server"))
    {
        channel.set_var("sip_user_agent", agent);
    }
    let allow: Vec<_> = response.headers.list(Name::Allow).collect();
    if !allow.is_empty() {
        channel.set_var("sip_allow", allow.join(", "));
    }
    if let Some(codecs) = local.offered {
        channel.set_var("ep_codec_string", codecs);
    }
    if let Some(contact) = response.headers.get(Name::Contact) {
        channel.set_var("sip_recover_contact", contact);
    }
    routes(leg, &response.headers, "");
    if let Some(via) = response.headers.get(Name::Via) {
        channel.set_var("sip_full_via", via);
        channel.set_var("sip_recover_via", via);
    }
    if let Some(from) = response.headers.from_addr() {
        if let Some(display) = &from.display {
            channel.set_var("sip_from_display", display.as_str());
        }
        channel.set_var("sip_full_from", response.headers.get(Name::From).unwrap_or_default());
        channel.set_var("sip_full_to", response.headers.get(Name::To).unwrap_or_default());
        address(channel, "sip_from", &from.uri, Part::UserUriHost);
    }
    if let Some(to) = response.headers.to_addr() {
        address(channel, "sip_to", &to.uri, Part::Full);
    }
    if let Some(contact) = response.headers.contact() {
        address(channel, "sip_contact", &contact.uri, Part::Full);
    }
    dialog(channel, response);
}

/// Where a response came from.
pub fn of_source(channel: &Channel, source: SocketAddr) {
    let (ip, port) = (source.ip().to_string(), source.port().to_string());
    channel.set_vars([
        ("sip_reply_host", ip.clone()),
        ("sip_reply_port", port.clone()),
        ("sip_network_ip", ip),
        ("sip_network_port", port),
    ]);
}

/// What of our side a response's variables need.
pub struct Local<'a> {
    /// Our address.
    pub ip: std::net::IpAddr,
    /// The profile.
    pub profile: &'a Profile,
    /// What we know of the codecs in a provisional response's description.
    pub offered: Option<&'a str>,
}

/// Variables of the answer to our re-INVITE: who is From and who To may have changed sides.
pub fn of_reinvite(leg: &Channel, response: &Response) {
    let channel = &Heard(leg);
    if let Some(via) = response.headers.get(Name::Via) {
        channel.set_var("sip_full_via", via);
    }
    channel.set_var("sip_full_from", response.headers.get(Name::From).unwrap_or_default());
    channel.set_var("sip_full_to", response.headers.get(Name::To).unwrap_or_default());
    if let Some(from) = response.headers.from_addr() {
        leg.unset_var("sip_from_port");
        address(channel, "sip_from", &from.uri, Part::Full);
    }
    if let Some(to) = response.headers.to_addr() {
        leg.unset_var("sip_to_port");
        address(channel, "sip_to", &to.uri, Part::Full);
    }
    if let Some(contact) = response.headers.contact() {
        address(channel, "sip_contact", &contact.uri, Part::Full);
    }
    dialog(channel, response);
}

fn dialog(channel: &Heard<'_>, response: &Response) {
    if let Some(tag) = response.headers.to_tag() {
        channel.set_var("sip_to_tag", tag);
    }
    if let Some(tag) = response.headers.from_tag() {
        channel.set_var("sip_from_tag", tag);
    }
    if let Some(cseq) = response.headers.cseq() {
        channel.set_var("sip_cseq", cseq.number.to_string());
    }
    channel.set_var("sip_call_id", response.headers.call_id());
    find_by_call_id(channel.0, response.headers.call_id());
}
