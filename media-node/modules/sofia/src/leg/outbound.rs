//! The side of a call we make: the INVITE, and what its responses mean.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sip::message::Response;
use sip::stack::{Body, Dialog, Failure};

use super::super::cause::{cause_of, reasons};
use super::super::variables::{self, Heard, Local, Repeats};
use super::{Progress, Side, SofiaLeg, described};
use crate::call::description::OF_FAR_END;
use crate::call::{Cause, Channel, LegEvent, bypass};
use crate::proxy::Relay;

impl SofiaLeg {
    pub(super) async fn start_outbound(&mut self, channel: &Arc<Channel>) -> Result<(), Cause> {
        self.count();
        self.profile.counters.calls_out.fetch_add(1, Ordering::Relaxed);
        let Side::Outbound { invite, gateway, again, .. } = &mut self.side else { return Ok(()) };
        if let Some(gateway) = gateway {
            gateway.counters.calls_out.fetch_add(1, Ordering::Relaxed);
        }
        let Some(mut spec) = invite.take() else { return Err(Cause::WRONG_CALL_STATE) };
        let near =
            channel.var("originating_leg_uuid").and_then(|uuid| channel.switch().channel(&uuid));
        let direct = near
            .as_deref()
            .filter(|caller| {
                let own = ["bypass_media", "proxy_media"].iter().any(|name| channel.is_true(name));
                bypass::wanted(caller) || own
            })
            .and_then(|caller| caller.description(OF_FAR_END));
        let sdp = match direct {
            Some(sdp) => {
                if let Some(near) = near.as_deref().filter(|near| proxied(near, channel)) {
                    let address = |channel: &Channel| channel.profile().network_addr.parse().ok();
                    let callee = spec.request_uri.host_ip();
                    let relay = Relay::new(Arc::clone(&self.profile), near, address(near), callee);
                    [near, channel].into_iter().for_each(|leg| relay.attach(leg));
                }
                let sdp = crate::proxy::through(channel, &sdp);
                channel.flags.bypass_media.store(true, Ordering::Relaxed);
                channel.set_heard_var("rtp_local_sdp_str", &sdp);
                channel.set_var("audio_media_flow", "sendrecv");
                channel.set_var("video_media_flow", "inactive");
                sdp
            }
            None => {
                let codecs = self.profile.settings.load().outbound_codecs.clone();
                self.audio.use_codecs(channel, &codecs);
                self.audio.gather(channel, near.as_deref()).await?;
                self.audio.offer(channel, near.as_deref())?.to_string()
            }
        };
        crate::outbound::finish_headers(channel, &self.profile, &mut spec);
        spec.body = Some(with_parts(channel, sdp));
        let interval = super::inbound::session_interval(channel, self.profile.session_expires());
        spec.session_expires = interval;
        spec.refresh_by_update = super::inbound::refreshes_by_update(channel);
        channel.set_vars([
            ("sip_outgoing_contact_uri", spec.contact.to_string()),
            ("sip_req_uri", variables::user_at_host(&spec.request_uri)),
            ("sip_to_host", host_port(&spec.request_uri)),
            ("sip_from_host", spec.from.uri.host().to_owned()),
            ("sofia_profile_name", self.profile.name.clone()),
            ("recovery_profile_name", self.profile.name.clone()),
            ("sofia_profile_url", self.profile.url()),
        ]);
        variables::redaction(channel, &self.profile);
        *again = Some(spec.clone());
        let (dialog, events) = self.profile.stack.invite(*spec);
        self.dialog = Some(dialog);
        self.events = Some(events);
        Ok(())
    }

    /// Where the peer's messages come from: known from its first response, else from where we sent.
    pub(super) fn source(&self, channel: &Channel) -> Option<SocketAddr> {
        let known = self.dialog.as_ref().and_then(Dialog::info).and_then(|info| info.path);
        known.map(|path| path.remote).or_else(|| {
            let uri = sip::uri::Uri::parse(&channel.var("sip_destination_url")?)?;
            Some(SocketAddr::new(uri.host_ip()?, uri.port().unwrap_or(5060)))
        })
    }

    pub(super) fn note_source(&self, channel: &Channel) {
        if let Some(source) = self.source(channel) {
            variables::of_source(channel, source);
        }
    }

    pub(super) fn note_response(&mut self, channel: &Channel, response: &Response) {
        let source = self.source(channel);
        let early =
            described(channel, &response.headers, &response.body).filter(|_| response.status < 200);
        let offered = early.and_then(|sdp| self.audio.offered_codecs(&sdp));
        let local = Local {
            ip: self.profile.settings.load().sip_ip,
            profile: &self.profile,
            offered: offered.as_deref(),
        };
        variables::of_response(channel, response, source, &local);
        if let Some(source) = source {
            channel.with(|data| {
                if let Some(profile) = &mut data.profile
                    && profile.network_addr.is_empty()
                {
                    profile.network_addr = source.ip().to_string();
                }
            });
        }
        self.note_support(&response.headers);
        if matches!(response.status, 180 | 183 | 200) {
            self.learn_party(channel, &response.headers, false);
            crate::shared_lines::note_response(&self.profile, channel, &response.headers);
        }
        let prefix = if response.status < 200 { "sip_ph_" } else { "sip_rh_" };
        variables::custom_headers(channel, &response.headers, prefix, Repeats::LastCounts);
    }

    pub(super) fn on_provisional(
        &mut self,
        channel: &Arc<Channel>,
        response: &Response,
    ) -> LegEvent {
        if response.status == 100 {
            return LegEvent::Other;
        }
        self.note_response(channel, response);
        let sdp = described(channel, &response.headers, &response.body);
        match sdp {
            Some(sdp) if matches!(response.status, 180 | 183) => {
                if self.progress < Progress::EarlyMedia {
                    channel.set_description(OF_FAR_END, Arc::clone(&sdp));
                    channel.set_var("endpoint_disposition", "EARLY MEDIA");
                    channel.announce_pre_answer();
                    if !bypass::is_on(channel)
                        && let Err(cause) = self.audio.accept_early(channel, &sdp)
                    {
                        channel.hangup(cause);
                        return LegEvent::Other;
                    }
                    self.progress = Progress::EarlyMedia;
                    channel.set_var("endpoint_disposition", "EARLY MEDIA");
                    channel.notify();
                    return LegEvent::EarlyMedia;
                }
                LegEvent::Other
            }
            _ if response.status == 183
                && (self.profile.settings.load().ignore_183_nosdp
                    || channel.is_true("sip_ignore_183nosdp")) =>
            {
                LegEvent::Other
            }
            _ if matches!(response.status, 180 | 182 | 183) => {
                self.progress = self.progress.max(Progress::Ringing);
                if channel.mark_ring_ready() { LegEvent::Ringing } else { LegEvent::Other }
            }
            _ => LegEvent::Other,
        }
    }

    pub(super) fn on_answered(&mut self, channel: &Arc<Channel>, response: &Response) -> LegEvent {
        self.note_response(channel, response);
        if let Some(sdp) = described(channel, &response.headers, &response.body) {
            let old = channel.description(OF_FAR_END);
            let same = old.is_some_and(|old| leg_media::means_the_same(&old, &sdp));
            channel.set_description(OF_FAR_END, Arc::clone(&sdp));
            if bypass::is_on(channel) || (same && self.progress >= Progress::EarlyMedia) {
                self.audio.show_offered(channel, &sdp);
            } else if (!same || self.progress < Progress::EarlyMedia)
                && let Err(cause) = self.audio.accept(channel, &sdp)
            {
                channel.hangup(cause);
                return LegEvent::Other;
            }
        } else if !self.audio.has_agreed() && !bypass::is_on(channel) {
            channel.hangup(Cause::INCOMPATIBLE_DESTINATION);
            return LegEvent::Other;
        }
        self.progress = Progress::Answered;
        if let Side::Outbound { again, .. } = &mut self.side {
            *again = None;
        }
        channel.mark_answered();
        channel.set_var("endpoint_disposition", "ANSWER");
        LegEvent::Answered
    }

    pub(super) fn on_failed(&mut self, channel: &Arc<Channel>, failure: &Failure) {
        if let Some(response) = failure.response()
            && matches!(response.status, 300 | 301 | 302 | 305)
            && self.on_redirect(channel, response)
        {
            return;
        }
        self.progress = Progress::Over;
        let status = failure.status();
        let mut cause = cause_of(status);
        let mut phrase = String::new();
        if let Some(response) = failure.response() {
            channel.set_var("sip_call_id", response.headers.call_id());
            let ip = self.profile.settings.load().sip_ip;
            channel.set_var("sip_local_network_addr", ip.to_string());
            self.note_source(channel);
            channel.set_var("sip_hangup_disposition", "recv_refuse");
            phrase.clone_from(&response.reason);
            if let Some((reason, named)) = reasons(&response.headers) {
                Heard(channel).set_var("sip_reason", reason);
                if !channel.is_true("ignore_q850_reason") {
                    cause = named.unwrap_or(cause);
                }
            }
        } else if let Failure::NoResponse(error) = failure {
            tracing::info!(uuid = %channel.uuid(), "{}: {error}", channel.name());
        }
        let status_text = status.to_string();
        Heard(channel).set_vars([
            ("sip_invite_failure_status", status_text.clone()),
            ("sip_invite_failure_phrase", phrase.clone()),
        ]);
        if let Some(caller) =
            channel.var("originating_leg_uuid").and_then(|uuid| channel.switch().channel(&uuid))
        {
            Heard(&caller).set_vars([
                ("sip_invite_failure_status", status_text.clone()),
                ("sip_invite_failure_phrase", phrase.clone()),
            ]);
        }
        self.note_end(channel, status, &phrase, cause);
        if let Some(caller) =
            channel.var("originating_leg_uuid").and_then(|uuid| channel.switch().channel(&uuid))
        {
            caller.set_vars([
                ("last_bridge_hangup_cause", cause.name().to_owned()),
                ("last_bridge_proto_specific_hangup_cause", crate::cause::of_protocol(status)),
            ]);
        }
        self.profile.counters.failed_out.fetch_add(1, Ordering::Relaxed);
        channel.hangup(cause);
    }
}

/// Is the media of these legs to pass through the switch unlooked at?
fn proxied(caller: &Channel, callee: &Channel) -> bool {
    let says = |name: &str| caller.is_true(name) || callee.is_true(name);
    says("proxy_media") && !says("bypass_media")
}

/// The offer, with what `sip_multipart` (each entry `type:content`) adds to it as further parts.
fn with_parts(channel: &Channel, sdp: String) -> Body {
    let vars = channel.vars();
    let boundary = channel.uuid();
    let mut parts = String::new();
    let mut add = |kind: &str, content: &str| {
        parts.push_str(&format!(
            "--{boundary}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{content}\r\n",
            content.len()
        ));
    };
    let entries =
        vars.value("sip_multipart").map(|value| value.items().to_vec()).unwrap_or_default();
    let entries: Vec<_> = entries.iter().filter_map(|entry| entry.split_once(':')).collect();
    if entries.is_empty() {
        return Body::sdp(sdp);
    }
    for (kind, content) in entries {
        let kind: String = kind.chars().filter(|c| !c.is_control()).collect();
        add(&kind, content);
    }
    add("application/sdp", &sdp);
    parts.push_str(&format!("--{boundary}--\r\n"));
    Body::new(format!("multipart/mixed; boundary={boundary}"), parts)
}

fn host_port(uri: &sip::uri::Uri) -> String {
    match uri.port() {
        Some(port) => format!("{}:{port}", uri.host()),
        None => uri.host().to_owned(),
    }
}
