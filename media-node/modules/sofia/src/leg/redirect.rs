//! 3xx: the call goes on to where the far end says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sip::message::{Name, Response};
use sip::stack::{InviteSpec, Transport};
use sip::uri::NameAddr;

use super::super::variables::Heard;
use super::{Progress, Side, SofiaLeg};
use crate::call::{Cause, Channel, transfer};
use crate::text;

/// Redirections followed for one call.
const MAX_REDIRECTS: u8 = 8;

impl SofiaLeg {
    /// Follows a redirection. False when it names nobody: then the call fails like any other.
    pub(super) fn on_redirect(&mut self, channel: &Arc<Channel>, response: &Response) -> bool {
        let list = response.headers.list(Name::Contact);
        let contacts: Vec<NameAddr> = list.filter_map(NameAddr::parse).collect();
        let Some(first) = contacts.first() else {
            tracing::error!(uuid = %channel.uuid(), "Missing contact header in redirect request");
            return false;
        };
        if channel.is_true("outbound_redirect_fatal") {
            show_contacts(channel, &contacts, None);
            channel
                .set_var("proto_specific_hangup_cause", crate::cause::of_protocol(response.status));
            self.end_redirected(channel, Cause::REQUESTED_CHAN_UNAVAIL);
            return true;
        }
        let caller =
            channel.var("originating_leg_uuid").and_then(|uuid| channel.switch().channel(&uuid));
        let Some(caller) = caller else {
            Heard(channel).set_var("sip_redirected_to", first.uri.as_str());
            return self.call_again(channel, response, first);
        };
        self.show_to_both(channel, &caller, response, &contacts);
        let settings = self.profile.settings.load_full();
        let manual = settings.params.last("manual-redirect").is_some_and(text::is_true);
        let user = first.uri.user().unwrap_or_default();
        if manual {
            if channel.var("outbound_redirect_info").is_none() {
                let chosen = |name: &str, default: &str| {
                    channel.var(name).unwrap_or_else(|| default.to_owned())
                };
                let dialplan = chosen("sip_redirect_dialplan", "XML");
                let context = chosen("sip_redirect_context", "redirected");
                transfer::transfer(&caller, user, Some(&dialplan), Some(&context));
            }
            self.end_redirected(channel, Cause::REDIRECTION_TO_NEW_DESTINATION);
            return true;
        }
        if self.is_ours(first) {
            transfer::transfer(&caller, user, None, None);
            self.end_redirected(channel, Cause::REDIRECTION_TO_NEW_DESTINATION);
            return true;
        }
        self.call_again(channel, response, first)
    }

    fn show_to_both(
        &self,
        channel: &Channel,
        caller: &Channel,
        response: &Response,
        contacts: &[NameAddr],
    ) {
        let profile =
            channel.var("sip_redirect_profile").unwrap_or_else(|| self.profile.name.clone());
        let separator = if channel.is_true("sip_redirect_fork") { "," } else { "|" };
        let dials: Vec<String> = contacts
            .iter()
            .map(|contact| {
                // What separates legs there is escaped, or the far end would choose who else is called.
                let address = crate::stored::in_dial_string(contact.uri.as_str());
                format!("sofia/{profile}/{address}")
            })
            .collect();
        for leg in [channel, caller] {
            show_contacts(leg, contacts, Some(&dials));
            leg.set_var("sip_redirect_dialstring", dials.join(separator));
            if let Some(by) = response.headers.named("Diversion") {
                Heard(leg).set_var("sip_redirected_by", by);
            }
        }
        channel.set_var("sip_redirect_count", contacts.len().to_string());
    }

    /// Does the address lead back to this switch?
    fn is_ours(&self, contact: &NameAddr) -> bool {
        let settings = self.profile.settings.load();
        let ip = contact.uri.host_ip();
        let own = ip.is_some() && (ip == Some(settings.sip_ip) || ip == settings.ext_sip_ip);
        let config = self.profile.switch.config.load();
        own || config.directory.find_domain(contact.uri.host()).is_some()
    }

    fn end_redirected(&mut self, channel: &Arc<Channel>, cause: Cause) {
        self.progress = Progress::Over;
        self.profile.counters.failed_out.fetch_add(1, Ordering::Relaxed);
        channel.hangup(cause);
    }

    /// The same call, to another address.
    fn call_again(
        &mut self,
        channel: &Arc<Channel>,
        response: &Response,
        contact: &NameAddr,
    ) -> bool {
        let Side::Outbound { again, redirects, .. } = &mut self.side else { return false };
        let Some(spec) = again else { return false };
        if *redirects >= MAX_REDIRECTS || contact.uri.host().is_empty() {
            tracing::warn!(uuid = %channel.uuid(), "Redirected too often, or to nowhere: {}", contact.uri);
            return false;
        }
        *redirects += 1;
        let mut spec = InviteSpec::clone(spec);
        if let Some(credentials) = spec.credentials.as_ref().and_then(|all| all.after_redirect()) {
            spec.credentials = Some(credentials);
        }
        spec.request_uri = contact.uri.without_headers();
        spec.transport = contact.uri.params().get("transport").and_then(Transport::parse);
        if channel.var("sip_route_uri").is_none() {
            spec.next_hop = self.profile.outbound_proxy();
        }
        if let Some(info) = self.dialog.as_ref().and_then(sip::stack::Dialog::info) {
            spec.call_id = Some(info.call_id.clone());
            spec.from.params = format!(";tag={}", info.local_tag);
        }
        spec.cseq = response.headers.cseq().map(|cseq| cseq.number.saturating_add(1));
        tracing::info!(uuid = %channel.uuid(), "Redirected to {}", spec.request_uri);
        let (dialog, events) = self.profile.stack.invite(spec);
        self.dialog = Some(dialog);
        self.events = Some(events);
        true
    }
}

/// `sip_redirect_contact_N` and its parts.
fn show_contacts(leg: &Channel, contacts: &[NameAddr], dials: Option<&[String]>) {
    for (at, contact) in contacts.iter().enumerate() {
        if at == 0 {
            Heard(leg).set_var("sip_redirected_to", contact.to_string());
        }
        Heard(leg).set_var(format!("sip_redirect_contact_{at}"), contact.to_string());
        let params = contact.uri.params().as_str().trim_start_matches(';');
        let parts = [
            ("user", contact.uri.user().unwrap_or_default()),
            ("host", contact.uri.host()),
            ("params", params),
        ];
        for (name, value) in parts.into_iter().filter(|(_, value)| !value.is_empty()) {
            Heard(leg).set_var(format!("sip_redirect_contact_{name}_{at}"), value);
        }
        if let Some(dial) = dials.and_then(|dials| dials.get(at)) {
            leg.set_var(format!("sip_redirect_dialstring_{at}"), dial.as_str());
        }
    }
}
