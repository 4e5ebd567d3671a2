//! SIP as channel variables: what dialplans and programs read of requests and responses.

use std::borrow::Cow;
use std::net::SocketAddr;

use sip::message::{Name, Request, Response};
use sip::stack::Path;
use sip::uri::{NameAddr, Uri, escape_user};

use super::profile::Profile;
use crate::call::Channel;
use crate::{clock, text};

/// A channel as far ends write to it: their texts are made harmless first.
struct Heard<'a>(&'a Channel);

impl Heard<'_> {
    fn set_var(&self, name: impl Into<Cow<'static, str>>, value: impl AsRef<str>) {
        self.0.set_var(name, harmless_end(value.as_ref()));
    }

    fn set_vars(&self, pairs: impl IntoIterator<Item = (&'static str, String)>) {
        for (name, value) in pairs {
            self.set_var(name, value);
        }
    }
}

/// A value with a reference is refused by the channel and said in the log; one that would make a reference together
/// with what a dialplan puts behind it loses its `$`.
fn harmless_end(value: &str) -> Cow<'_, str> {
    if text::has_reference(value) { Cow::Borrowed(value) } else { text::harmless(value) }
}

/// Most repetitions of one custom header that become variables.
const MAX_REPEATS: usize = 20;

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
    channel.set_vars([
        ("video_media_flow", "disabled".to_owned()),
        ("audio_media_flow", "disabled".to_owned()),
        ("text_media_flow", "disabled".to_owned()),
        ("channel_name", leg.name()),
        ("sip_call_id", request.headers.call_id().to_owned()),
    ]);
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
        channel.set_var("sip_from_user_stripped", user.trim_start_matches('+'));
        if let Some(port) = from.uri.port() {
            channel.set_var("sip_from_port", port.to_string());
        }
        if let Some(display) = &from.display {
            channel.set_var("sip_from_display", display.as_str());
        }
        if let Some(tag) = from.tag() {
            channel.set_var("sip_from_tag", tag);
        }
    }
    channel.set_vars([
        ("sofia_profile_name", profile.name.clone()),
        ("sofia_profile_url", profile.url()),
        ("recovery_profile_name", profile.name.clone()),
    ]);
    identities(channel, request);
    channel.set_var("sip_full_via", vias(request));
    header(channel, "sip_full_route", request, Name::Route);
    header(channel, "sip_full_from", request, Name::From);
    header(channel, "sip_full_to", request, Name::To);
    header(channel, "sip_allow", request, Name::Allow);
    address(channel, "sip_req", &request.uri, Part::Request);
    if let Some(to) = request.headers.to_addr() {
        address(channel, "sip_to", &to.uri, Part::Full);
        if let Some(display) = &to.display {
            channel.set_var("sip_to_display", display.as_str());
        }
    }
    if let Some(contact) = request.headers.contact() {
        address(channel, "sip_contact", &contact.uri, Part::Full);
        if !contact.uri.params().as_str().is_empty() {
            channel.set_var(
                "sip_contact_params",
                contact.uri.params().as_str().trim_start_matches(';'),
            );
        }
    }
    if let Some(codecs) = codecs_without_offer {
        channel.set_var("rtp_use_codec_string", codecs);
    }
    named(channel, "sip_subject", request, "Subject");
    header(channel, "sip_user_agent", request, Name::UserAgent);
    if let Some(via) = request.headers.via() {
        channel.set_var("sip_via_host", via.host);
        channel.set_var("sip_via_port", via.port.unwrap_or(5060).to_string());
        if via.params.has("rport") {
            channel.set_var("sip_via_rport", path.remote.port().to_string());
        }
    }
    if let Some(hops) = request.headers.number(Name::MaxForwards) {
        channel.set_var("max_forwards", hops.to_string());
    }
    named(channel, "sip_call_info", request, "Call-Info");
    named(channel, "alert_info", request, "Alert-Info");
    named(channel, "sip_history_info", request, "History-Info");
    named(channel, "sip_geolocation", request, "Geolocation");
    custom_headers(leg, &request.headers, "sip_h_", profile.settings.load().parse_all_headers);
}

/// What is known of a call that is refused before it becomes one.
pub fn of_refused(leg: &Channel, request: &Request) {
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
    if let Ok(description) = sip::sdp::SessionDescription::parse(&body) {
        let codecs = super::audio::common_codecs(&description);
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
    let user = uri.user().unwrap_or_default();
    let text = user_at_host(uri);
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

/// `"name" <sip:number@domain>`: quoted and escaped, so that nobody's name adds parameters to what we assert of him.
/// `None` when that is no address.
#[must_use]
pub fn identity(name: Option<&str>, number: &str, domain: &str) -> Option<String> {
    let user = if number.is_empty() { String::new() } else { format!("{}@", escape_user(number)) };
    let mut address = NameAddr::new(Uri::parse(&format!("sip:{user}{domain}"))?);
    address.display = name.map(str::to_owned);
    Some(address.to_string())
}

fn identities(channel: &Heard<'_>, request: &Request) {
    for (name, kind) in [("P-Asserted-Identity", "pid"), ("P-Preferred-Identity", "pid")] {
        if let Some(value) = request.headers.named(name) {
            let user =
                NameAddr::parse(value).and_then(|address| address.uri.user().map(str::to_owned));
            channel.set_var(format!("sip_{name}"), user.unwrap_or_else(|| value.to_owned()));
            channel.set_var("sip_cid_type", kind);
        }
    }
    if let Some(value) = request.headers.named("Remote-Party-ID") {
        channel.set_var("sip_Remote-Party-ID", value);
        channel.set_var("sip_cid_type", "rpid");
    }
    if let Some(value) = request.headers.named("Privacy") {
        channel.set_var("sip_Privacy", value);
    }
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

/// `X-*`, `P-*` and a few others under a prefix; repetitions get `-1`, `-2`, …
pub fn custom_headers(leg: &Channel, headers: &sip::message::Headers, prefix: &str, all: bool) {
    let channel = &Heard(leg);
    let mut seen: Vec<(String, usize)> = Vec::new();
    for header in headers.iter() {
        let name = header.text;
        let starts = |prefix: &str| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let is_identity = ["P-Asserted-Identity", "P-Preferred-Identity", "P-Early-Media"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known));
        let kept = starts("X-")
            || (starts("P-") && !is_identity)
            || starts("On")
            || ["Diversion", "User-to-User", "Accept-Language", "Identity"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known));
        if !kept {
            if all {
                channel.set_var(
                    format!("sip_i_{}", name.to_ascii_lowercase().replace('-', "_")),
                    header.value,
                );
            }
            continue;
        }
        let count = match seen.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                seen.push((name.to_owned(), 0));
                0
            }
        };
        if count > MAX_REPEATS {
            continue;
        }
        let variable =
            if count == 0 { format!("{prefix}{name}") } else { format!("{prefix}{name}-{count}") };
        channel.set_var(variable, header.value);
    }
}

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
    if let Some(allow) = response.headers.get(Name::Allow) {
        channel.set_var("sip_allow", allow);
    }
    if let Some(codecs) = local.offered {
        channel.set_var("ep_codec_string", codecs);
    }
    if let Some(contact) = response.headers.get(Name::Contact) {
        channel.set_var("sip_recover_contact", contact);
    }
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

/// RTP figures at the end of a call (`rtp_audio_*`), in the order of the reference.
pub fn set_rtp_statistics(channel: &Channel) {
    let Some(media) = channel.media().filter(|_| channel.has_media()) else { return };
    let stats = media.stats();
    let (i, o) = (stats.inbound, stats.outbound);
    let two = |value: f64| format!("{value:.2}");
    channel.set_vars([
        ("rtp_audio_in_raw_bytes", i.raw_bytes.to_string()),
        ("rtp_audio_in_media_bytes", i.media_bytes.to_string()),
        ("rtp_audio_in_packet_count", i.packet_count.to_string()),
        ("rtp_audio_in_media_packet_count", i.media_packet_count.to_string()),
        ("rtp_audio_in_skip_packet_count", i.skip_packet_count.to_string()),
        ("rtp_audio_in_jitter_packet_count", i.jitter_packet_count.to_string()),
        ("rtp_audio_in_dtmf_packet_count", i.dtmf_packet_count.to_string()),
        ("rtp_audio_in_cng_packet_count", i.cng_packet_count.to_string()),
        ("rtp_audio_in_flush_packet_count", i.flush_packet_count.to_string()),
        ("rtp_audio_in_largest_jb_size", i.largest_jb_size.to_string()),
        ("rtp_audio_in_jitter_min_variance", two(i.jitter_min_variance)),
        ("rtp_audio_in_jitter_max_variance", two(i.jitter_max_variance)),
        ("rtp_audio_in_jitter_loss_rate", two(i.jitter_loss_rate)),
        ("rtp_audio_in_jitter_burst_rate", two(i.jitter_burst_rate)),
        ("rtp_audio_in_mean_interval", two(i.mean_interval)),
        ("rtp_audio_in_flaw_total", i.flaw_total.to_string()),
        ("rtp_audio_in_quality_percentage", two(i.quality_percentage)),
        ("rtp_audio_in_mos", two(i.mos)),
        ("rtp_audio_out_raw_bytes", o.raw_bytes.to_string()),
        ("rtp_audio_out_media_bytes", o.media_bytes.to_string()),
        ("rtp_audio_out_packet_count", o.packet_count.to_string()),
        ("rtp_audio_out_media_packet_count", o.media_packet_count.to_string()),
        ("rtp_audio_out_skip_packet_count", o.skip_packet_count.to_string()),
        ("rtp_audio_out_dtmf_packet_count", o.dtmf_packet_count.to_string()),
        ("rtp_audio_out_cng_packet_count", o.cng_packet_count.to_string()),
        ("rtp_audio_rtcp_packet_count", stats.rtcp.packet_count.to_string()),
        ("rtp_audio_rtcp_octet_count", stats.rtcp.octet_count.to_string()),
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
