//! A channel's SIP side: one dialog, one audio, and what each does to the channel.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sip::message::{Headers, Method, Name, Request, Response};
use sip::stack::{Body, Dialog, DialogEvent, Ended, Failure, InDialog, InviteSpec, Path};
use tokio::sync::mpsc;

use super::audio::Audio;
use super::cause::{cause_of, cause_of_reason, reason_header, status_of};
use super::inbound::Admission;
use super::profile::Profile;
use super::variables::{self, Local};
use crate::BoxFuture;
use crate::call::{
    CallerProfile, Cause, Channel, Digit, DigitSource, Direction, EndpointLeg, Indication,
    LegEvent, State,
};
use crate::text;

/// How far the signalling went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Nothing,
    Ringing,
    EarlyMedia,
    Answered,
    Over,
}

/// A SIP leg.
pub struct SofiaLeg {
    profile: Arc<Profile>,
    dialog: Option<Dialog>,
    events: Option<mpsc::Receiver<DialogEvent>>,
    audio: Audio,
    progress: Progress,
    side: Side,
    counted: bool,
    disposition: Option<&'static str>,
    refusal: Option<Refusal>,
}

/// How an unanswered inbound call is refused, when not simply by its cause.
struct Refusal {
    status: u16,
    reason: String,
    contacts: Vec<String>,
}

/// What only one of the two directions has.
enum Side {
    Inbound {
        request: Arc<Request>,
        path: Path,
        caller: Option<Box<CallerProfile>>,
        admission: Admission,
    },
    Outbound {
        invite: Option<Box<InviteSpec>>,
        gateway: Option<Arc<super::Gateway>>,
    },
}

impl SofiaLeg {
    /// The leg of a call that came in.
    #[allow(
        clippy::too_many_arguments,
        reason = "made in one place, of parts that belong together only here"
    )]
    pub fn inbound(
        profile: Arc<Profile>,
        dialog: Dialog,
        events: mpsc::Receiver<DialogEvent>,
        audio: Audio,
        request: Arc<Request>,
        path: Path,
        caller: CallerProfile,
        admission: Admission,
    ) -> Self {
        let side = Side::Inbound { request, path, caller: Some(Box::new(caller)), admission };
        Self {
            profile,
            dialog: Some(dialog),
            events: Some(events),
            audio,
            progress: Progress::Nothing,
            side,
            counted: false,
            disposition: None,
            refusal: None,
        }
    }

    /// The leg of a call to be made.
    pub fn outbound(
        profile: Arc<Profile>,
        invite: InviteSpec,
        audio: Audio,
        gateway: Option<Arc<super::Gateway>>,
    ) -> Self {
        let side = Side::Outbound { invite: Some(Box::new(invite)), gateway };
        Self {
            profile,
            dialog: None,
            events: None,
            audio,
            progress: Progress::Nothing,
            side,
            counted: false,
            disposition: None,
            refusal: None,
        }
    }

    /// The profile.
    #[must_use]
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// Identifiers of the dialog.
    #[must_use]
    pub fn dialog(&self) -> Option<&Dialog> {
        self.dialog.as_ref()
    }

    fn count(&mut self) {
        if !std::mem::replace(&mut self.counted, true) {
            self.profile.counters.in_use.fetch_add(1, Ordering::Relaxed);
        }
    }

    // ---- inbound ----

    fn set_up_inbound(&mut self, channel: &Arc<Channel>) -> Result<(), Cause> {
        self.count();
        let Side::Inbound { request, path, caller, admission } = &mut self.side else {
            return Ok(());
        };
        variables::of_invite(channel, &self.profile, request, path, &admission.variables);
        let caller = caller.take();
        let sdp = sdp_of(&request.body, request.headers.get(Name::ContentType));
        let settings = self.profile.settings.load_full();
        let result = match sdp {
            None if settings.enable_3pcc => {
                channel.set_var("endpoint_disposition", "RECEIVED_NOSDP");
                Ok(())
            }
            None => {
                channel.set_var("endpoint_disposition", "3PCC DISABLED");
                Err(Cause::MANDATORY_IE_MISSING)
            }
            Some(sdp) => {
                channel.set_var("switch_r_sdp", sdp.as_str());
                if settings.late_negotiation {
                    channel.set_var("endpoint_disposition", "DELAYED NEGOTIATION");
                    Ok(())
                } else {
                    self.audio
                        .consider(channel, &sdp, &settings.inbound_codecs)
                        .inspect(|()| channel.set_var("endpoint_disposition", "RECEIVED"))
                }
            }
        };
        if let Some(caller) = caller {
            channel.with(|data| data.profile = Some(*caller));
        }
        result
    }

    /// Our Contact in replies: the number that was called, at our address.
    fn reply_contact(&self) -> String {
        let Side::Inbound { request, path, .. } = &self.side else {
            return format!("<{}>", self.profile.url());
        };
        let user = request
            .headers
            .to_addr()
            .and_then(|to| to.uri.user().map(str::to_owned))
            .unwrap_or_else(|| self.profile.settings.load().contact_user.clone());
        let ip = self.profile.sip_ip_for(Some(path.remote.ip()));
        format!(
            "<sip:{user}@{}:{};transport={}>",
            super::profile::host_text(ip),
            self.profile.port(),
            path.transport.as_param()
        )
    }

    fn reply_headers(&self, channel: &Channel, provisional: bool) -> Headers {
        let mut headers = Headers::new();
        headers.push(Name::Contact, self.reply_contact());
        let prefix = if provisional { "sip_ph_" } else { "sip_rh_" };
        for (name, value) in variables::headers_from(channel, prefix) {
            headers.push_text(&name, value);
        }
        self.push_callee_identity(channel, &mut headers, provisional);
        headers
    }

    /// Who answers, or would: `Remote-Party-ID` or `P-Asserted-Identity` towards the caller.
    fn push_callee_identity(&self, channel: &Channel, headers: &mut Headers, provisional: bool) {
        let settings = self.profile.settings.load();
        if !settings.pass_callee_id || (provisional && !settings.cid_in_1xx) {
            return;
        }
        let profile = channel.profile();
        let number = first(&[
            channel.var("effective_callee_id_number").unwrap_or_default(),
            profile.callee_id_number,
            profile.destination_number,
        ]);
        let name = first(&[
            channel.var("effective_callee_id_name").unwrap_or_default(),
            profile.callee_id_name,
            number.clone(),
        ]);
        let ip = super::profile::host_text(self.profile.sip_ip_for(None));
        let kind = channel.var("sip_cid_type").unwrap_or_else(|| settings.cid_type.clone());
        match kind.as_str() {
            "none" => {}
            "pid" => {
                headers.push_text("P-Asserted-Identity", format!("\"{name}\" <sip:{number}@{ip}>"))
            }
            _ => headers.push_text(
                "Remote-Party-ID",
                format!("\"{name}\" <sip:{number}@{ip}>;party=calling;privacy=off;screen=no"),
            ),
        }
    }

    fn show_local_tag(&self, channel: &Channel) {
        if let Some(info) = self.dialog.as_ref().and_then(Dialog::info) {
            channel.set_var("sip_to_tag", info.local_tag.as_str());
        }
    }

    /// Chooses codecs that were left to be chosen late.
    fn negotiate_late(&mut self, channel: &Channel) -> Result<(), Cause> {
        if self.audio.has_remote_offer() {
            return Ok(());
        }
        let Some(sdp) = channel.var("switch_r_sdp") else { return Ok(()) };
        let codecs = self.profile.settings.load().inbound_codecs.clone();
        self.audio.consider(channel, &sdp, &codecs)
    }

    /// Our description for a 183 or 200.
    fn local_description(&mut self, channel: &Channel) -> Result<String, Cause> {
        self.negotiate_late(channel)?;
        let near = channel.partner();
        if self.audio.has_remote_offer() {
            self.audio.answer(channel, near.as_deref())
        } else {
            let codecs = self.profile.settings.load().inbound_codecs.clone();
            self.audio.use_codecs(channel, &codecs);
            self.audio.offer(channel, near.as_deref())
        }
    }

    fn answer_inbound(&mut self, channel: &Arc<Channel>) -> Result<(), Cause> {
        let sdp = self.local_description(channel)?;
        let headers = self.reply_headers(channel, false);
        let Some(dialog) = &self.dialog else { return Err(Cause::WRONG_CALL_STATE) };
        dialog.answer(headers, Some(Body::sdp(sdp)));
        self.progress = Progress::Answered;
        channel.mark_answered();
        channel.set_var("endpoint_disposition", "ANSWER");
        Ok(())
    }

    fn early_media_inbound(&mut self, channel: &Arc<Channel>) -> Result<(), Cause> {
        let sdp = self.local_description(channel)?;
        let headers = self.reply_headers(channel, true);
        let status = if channel.is_true("early_use_180") {
            (180, "Ringing")
        } else {
            (183, "Session Progress")
        };
        if let Some(dialog) = &self.dialog {
            dialog.provisional(status.0, status.1, headers, Some(Body::sdp(sdp)));
        }
        self.progress = Progress::EarlyMedia;
        channel.set_var("endpoint_disposition", "EARLY MEDIA");
        channel.mark_pre_answered();
        Ok(())
    }

    fn ring_inbound(&mut self, channel: &Arc<Channel>, queued: bool) {
        let headers = self.reply_headers(channel, true);
        if let Some(dialog) = &self.dialog {
            let (status, reason) = if queued { (182, "Queued") } else { (180, "Ringing") };
            dialog.provisional(status, reason, headers, None);
        }
        self.progress = self.progress.max(Progress::Ringing);
        self.show_local_tag(channel);
    }

    // ---- outbound ----

    fn start_outbound(&mut self, channel: &Arc<Channel>) -> Result<(), Cause> {
        self.count();
        self.profile.counters.calls_out.fetch_add(1, Ordering::Relaxed);
        let Side::Outbound { invite, gateway } = &mut self.side else { return Ok(()) };
        if let Some(gateway) = gateway {
            gateway.counters.calls_out.fetch_add(1, Ordering::Relaxed);
        }
        let Some(mut spec) = invite.take() else { return Err(Cause::WRONG_CALL_STATE) };
        let codecs = self.profile.settings.load().outbound_codecs.clone();
        self.audio.use_codecs(channel, &codecs);
        let near =
            channel.var("originating_leg_uuid").and_then(|uuid| channel.switch().channel(&uuid));
        let sdp = match channel.var("bypass_sdp") {
            Some(sdp) => sdp,
            None => self.audio.offer(channel, near.as_deref())?,
        };
        super::outbound::finish_headers(channel, &self.profile, &mut spec);
        spec.body = Some(Body::sdp(sdp));
        channel.set_vars([
            ("sip_outgoing_contact_uri", spec.contact.to_string()),
            ("sip_req_uri", variables::user_at_host(&spec.request_uri)),
            ("sip_to_host", host_port(&spec.request_uri)),
            ("sip_from_host", spec.from.uri.host().to_owned()),
            ("sofia_profile_name", self.profile.name.clone()),
            ("recovery_profile_name", self.profile.name.clone()),
            ("sofia_profile_url", self.profile.url()),
        ]);
        let (dialog, events) = self.profile.stack.invite(*spec);
        self.dialog = Some(dialog);
        self.events = Some(events);
        Ok(())
    }

    /// Where the peer's messages come from: known from its first response, else from where we sent.
    fn source(&self, channel: &Channel) -> Option<SocketAddr> {
        let known = self.dialog.as_ref().and_then(Dialog::info).and_then(|info| info.path);
        known.map(|path| path.remote).or_else(|| {
            let uri = sip::uri::Uri::parse(&channel.var("sip_destination_url")?)?;
            Some(SocketAddr::new(uri.host_ip()?, uri.port().unwrap_or(5060)))
        })
    }

    fn note_source(&self, channel: &Channel) {
        if let Some(source) = self.source(channel) {
            variables::of_source(channel, source);
        }
    }

    fn note_response(&self, channel: &Channel, response: &Response) {
        let source = self.source(channel);
        let local = Local { ip: self.profile.settings.load().sip_ip, profile: &self.profile };
        variables::of_response(channel, response, source, &local);
        if let Some(source) = source {
            channel.with(|data| {
                if let Some(profile) = &mut data.profile {
                    if profile.network_addr.is_empty() {
                        profile.network_addr = source.ip().to_string();
                    }
                }
            });
        }
        let prefix = if response.status < 200 { "sip_ph_" } else { "sip_rh_" };
        variables::custom_headers(channel, &response.headers, prefix, false);
    }

    fn on_provisional(&mut self, channel: &Arc<Channel>, response: &Response) -> LegEvent {
        if response.status == 100 {
            return LegEvent::Other;
        }
        self.note_response(channel, response);
        let sdp = sdp_of(&response.body, response.headers.get(Name::ContentType));
        match sdp {
            Some(sdp) if matches!(response.status, 180 | 183) => {
                if self.progress < Progress::EarlyMedia {
                    channel.set_var("switch_r_sdp", sdp.as_str());
                    self.audio.show_offered(channel, &sdp);
                    channel.set_var("endpoint_disposition", "EARLY MEDIA");
                    channel.announce_pre_answer();
                    if let Err(cause) = self.audio.accept(channel, &sdp) {
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
            _ if response.status == 183 && self.profile.settings.load().ignore_183_nosdp => {
                LegEvent::Other
            }
            _ if matches!(response.status, 180 | 182 | 183) => {
                self.progress = self.progress.max(Progress::Ringing);
                if channel.mark_ring_ready() { LegEvent::Ringing } else { LegEvent::Other }
            }
            _ => LegEvent::Other,
        }
    }

    fn on_answered(&mut self, channel: &Arc<Channel>, response: &Response) -> LegEvent {
        self.note_response(channel, response);
        if let Some(sdp) = sdp_of(&response.body, response.headers.get(Name::ContentType)) {
            let same = channel.var("switch_r_sdp").is_some_and(|old| old == sdp);
            channel.set_var("switch_r_sdp", sdp.as_str());
            if !same || self.progress < Progress::EarlyMedia {
                if let Err(cause) = self.audio.accept(channel, &sdp) {
                    channel.hangup(cause);
                    return LegEvent::Other;
                }
            }
        } else if self.audio.agreed.is_none() {
            channel.hangup(Cause::INCOMPATIBLE_DESTINATION);
            return LegEvent::Other;
        }
        self.progress = Progress::Answered;
        channel.mark_answered();
        channel.set_var("endpoint_disposition", "ANSWER");
        LegEvent::Answered
    }

    fn on_failed(&mut self, channel: &Arc<Channel>, failure: &Failure) {
        self.progress = Progress::Over;
        let status = failure.status();
        let mut cause = cause_of(status);
        let mut phrase = String::new();
        if let Some(response) = failure.response() {
            self.note_source(channel);
            phrase.clone_from(&response.reason);
            if let Some(reason) = response.headers.named("Reason") {
                channel.set_var("sip_reason", reason);
                if !channel.is_true("ignore_q850_reason") {
                    cause = cause_of_reason(reason).unwrap_or(cause);
                }
            }
        } else if let Failure::NoResponse(error) = failure {
            tracing::info!(uuid = %channel.uuid(), "{}: {error}", channel.name());
        }
        let status_text = status.to_string();
        channel.set_vars([
            ("sip_invite_failure_status", status_text.clone()),
            ("sip_invite_failure_phrase", phrase.clone()),
        ]);
        if let Some(caller) =
            channel.var("originating_leg_uuid").and_then(|uuid| channel.switch().channel(&uuid))
        {
            caller.set_vars([
                ("sip_invite_failure_status", status_text.clone()),
                ("sip_invite_failure_phrase", phrase.clone()),
                ("last_bridge_proto_specific_hangup_cause", format!("sip:{status}")),
            ]);
        }
        self.note_end(channel, status, &phrase, cause);
        self.profile.counters.failed_out.fetch_add(1, Ordering::Relaxed);
        channel.hangup(cause);
    }

    // ---- both ----

    fn note_end(&self, channel: &Channel, status: u16, phrase: &str, cause: Cause) {
        channel.set_vars([
            ("sip_term_status", status.to_string()),
            ("proto_specific_hangup_cause", format!("sip:{status}")),
            ("sip_term_cause", cause.number().to_string()),
        ]);
        let caller = || channel.switch().channel(&channel.var("originating_leg_uuid")?);
        if let Some(other) = channel.partner().or_else(caller) {
            other.set_var("sip_hangup_phrase", phrase.to_owned());
        }
    }

    fn on_bye(&mut self, channel: &Arc<Channel>, request: &Request) {
        self.progress = Progress::Over;
        let reason = request.headers.named("Reason");
        if let Some(reason) = reason {
            channel.set_var("sip_reason", reason);
        }
        let cause = reason.and_then(cause_of_reason).unwrap_or(Cause::NORMAL_CLEARING);
        variables::custom_headers(channel, &request.headers, "sip_bye_h_", false);
        // The disposition is shown from CS_HANGUP on, everything else already by the hangup event.
        self.note_end(channel, 200, "OK", cause);
        channel.hangup(cause);
        channel.set_var("sip_hangup_disposition", "recv_bye");
    }

    fn on_cancelled(&mut self, channel: &Arc<Channel>, request: &Request) {
        self.progress = Progress::Over;
        if let Some(reason) = request.headers.named("Reason") {
            channel.set_var("sip_reason", reason);
        }
        channel.set_vars([
            ("sip_invite_failure_status", "487".to_owned()),
            ("sip_invite_failure_phrase", "CANCEL".to_owned()),
            ("sip_hangup_disposition", "recv_cancel".to_owned()),
        ]);
        self.note_end(channel, 487, "CANCEL", Cause::ORIGINATOR_CANCEL);
        channel.hangup(Cause::ORIGINATOR_CANCEL);
    }

    fn on_reinvite(&mut self, channel: &Arc<Channel>, offer: &InDialog) -> LegEvent {
        channel.fire_custom("sofia::reinvite", |_| {}, |_| {});
        let sdp = sdp_of(&offer.request.body, offer.request.headers.get(Name::ContentType));
        let was_held = self.audio.is_held_by_peer();
        let answer = match &sdp {
            Some(sdp) => {
                channel.set_var("sip_reinvite_sdp", sdp.as_str());
                channel.set_var("switch_r_sdp", sdp.as_str());
                self.audio.answer_again(channel, sdp)
            }
            None => self.audio.offer(channel, None),
        };
        let Some(dialog) = &self.dialog else { return LegEvent::Other };
        match answer {
            Ok(text) => {
                let mut headers = Headers::new();
                headers.push(Name::Contact, self.contact_in_dialog());
                dialog.respond(offer.id, 200, "OK", headers, Some(Body::sdp(text)));
            }
            Err(_) => dialog.respond(offer.id, 488, "", Headers::new(), None),
        }
        match (was_held, self.audio.is_held_by_peer()) {
            (false, true) => LegEvent::RemoteHold(true),
            (true, false) => LegEvent::RemoteHold(false),
            _ => LegEvent::Other,
        }
    }

    fn contact_in_dialog(&self) -> String {
        match &self.side {
            Side::Inbound { .. } => self.reply_contact(),
            Side::Outbound { .. } => format!("<{}>", self.profile.url()),
        }
    }

    fn on_info(&mut self, channel: &Arc<Channel>, info: &InDialog) -> LegEvent {
        if let Some(dialog) = &self.dialog {
            dialog.respond(info.id, 200, "OK", Headers::new(), None);
        }
        let content =
            info.request.headers.get(Name::ContentType).unwrap_or_default().to_ascii_lowercase();
        let body = String::from_utf8_lossy(&info.request.body);
        let Some(digit) = digit_of_info(&content, &body) else {
            channel.fire_with(
                esl_server::EventName::RecvInfo,
                |event| {
                    event.push("SIP-Content-Type", content.as_str());
                    event.set_body(info.request.body.clone());
                },
                |_| {},
            );
            return LegEvent::Other;
        };
        let by_info =
            channel.var("dtmf_type").is_some_and(|kind| kind.eq_ignore_ascii_case("info"));
        if by_info || self.profile.settings.load().liberal_dtmf || channel.is_true("liberal_dtmf") {
            return LegEvent::Digit(digit);
        }
        tracing::warn!(uuid = %channel.uuid(), "IGNORE INFO DTMF({}) (This channel was not configured to use INFO DTMF!)", digit.digit);
        LegEvent::Other
    }

    fn on_refer(&mut self, channel: &Arc<Channel>, refer: &InDialog) -> LegEvent {
        let Some(dialog) = &self.dialog else { return LegEvent::Other };
        let target =
            refer.request.headers.named("Refer-To").or_else(|| refer.request.headers.named("r"));
        if self.profile.settings.load().disable_transfer {
            dialog.respond(refer.id, 403, "", Headers::new(), None);
            return LegEvent::Other;
        }
        let Some(address) = target.and_then(sip::uri::NameAddr::parse) else {
            dialog.respond(refer.id, 400, "Bad Refer-To", Headers::new(), None);
            return LegEvent::Other;
        };
        let mut headers = Headers::new();
        headers.push(Name::Expires, "60");
        headers.push(Name::Contact, self.contact_in_dialog());
        dialog.respond(refer.id, 202, "Accepted", headers, None);
        let cseq = refer.request.headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let mut headers = Headers::new();
        headers.push(Name::Contact, self.contact_in_dialog());
        headers.push_text("Event", format!("refer;id={cseq}"));
        headers.push_text("Subscription-State", "terminated;reason=noresource");
        let sent = dialog.request(
            Method::Notify,
            headers,
            Some(Body::new("message/sipfrag;version=2.0", "SIP/2.0 200 OK\r\n")),
        );
        tokio::spawn(sent);
        let replaces =
            address.uri.headers().to_ascii_lowercase().contains("replaces=").then(|| {
                let text = address.uri.headers();
                sip::uri::unescape(text.split_once('=').map_or("", |(_, value)| value))
            });
        let replaced = replaces.as_deref().and_then(|text| find_dialog(channel, text));
        LegEvent::Refer {
            to: address.uri.user().unwrap_or_else(|| address.uri.host()).to_owned(),
            refer_to: target.unwrap_or_default().to_owned(),
            referred_by: refer.request.headers.named("Referred-By").map(str::to_owned),
            replaces: replaced,
        }
    }

    fn on_dialog(&mut self, channel: &Arc<Channel>, event: DialogEvent) -> LegEvent {
        match event {
            DialogEvent::Provisional(response) => self.on_provisional(channel, &response),
            DialogEvent::Answered(response) => self.on_answered(channel, &response),
            DialogEvent::Failed(failure) => {
                self.on_failed(channel, &failure);
                LegEvent::Other
            }
            DialogEvent::Cancelled(request) => {
                self.on_cancelled(channel, &request);
                LegEvent::Other
            }
            DialogEvent::Acked(request) => {
                variables::of_ack(channel, &request);
                if let Some(sdp) = sdp_of(&request.body, request.headers.get(Name::ContentType)) {
                    if !self.audio.has_remote_offer() {
                        channel.set_var("switch_r_sdp", sdp.as_str());
                        if let Err(cause) = self.audio.accept(channel, &sdp) {
                            channel.hangup(cause);
                        }
                    }
                }
                LegEvent::Other
            }
            DialogEvent::Bye(request) => {
                self.on_bye(channel, &request);
                LegEvent::Other
            }
            DialogEvent::Reinvite(offer) | DialogEvent::Update(offer) => {
                self.on_reinvite(channel, &offer)
            }
            DialogEvent::Info(info) => self.on_info(channel, &info),
            DialogEvent::Refer(refer) => self.on_refer(channel, &refer),
            DialogEvent::Notify(request) => {
                if let Some(dialog) = &self.dialog {
                    dialog.respond(request.id, 200, "OK", Headers::new(), None);
                }
                LegEvent::Other
            }
            DialogEvent::Message(request) => {
                if let Some(dialog) = &self.dialog {
                    dialog.respond(request.id, 202, "Accepted", Headers::new(), None);
                }
                LegEvent::Other
            }
            DialogEvent::ReinviteDone(Ok(response)) => {
                if let Some(sdp) = sdp_of(&response.body, response.headers.get(Name::ContentType)) {
                    channel.set_var("switch_r_sdp", sdp.as_str());
                    let _kept = self.audio.accept(channel, &sdp);
                }
                LegEvent::Other
            }
            DialogEvent::ReinviteDone(Err(_)) | DialogEvent::Prack(_) => LegEvent::Other,
            DialogEvent::Terminated(ended) => {
                self.progress = Progress::Over;
                channel.hangup(match ended {
                    Ended::NoAck => Cause::PROTOCOL_ERROR,
                    Ended::PeerGone | Ended::Transport => Cause::NORMAL_TEMPORARY_FAILURE,
                    Ended::ByUs | Ended::Stopped => Cause::NORMAL_CLEARING,
                });
                LegEvent::Other
            }
        }
    }

    /// Tells the far end that the call is over, as far as it does not know.
    fn say_goodbye(&mut self, channel: &Arc<Channel>, cause: Cause) {
        let Some(dialog) = &self.dialog else { return };
        let mut headers = Headers::new();
        if !channel.is_true("disable_q850_reason") {
            headers.push_text(
                "Reason",
                channel.var("sip_reason").unwrap_or_else(|| reason_header(cause)),
            );
        }
        let disposition = match (self.progress, channel.direction()) {
            (Progress::Over, _) => return,
            (Progress::Answered, _) => {
                for (name, value) in variables::headers_from(channel, "sip_bye_h_") {
                    headers.push_text(&name, value);
                }
                dialog.bye(headers);
                "send_bye"
            }
            (_, Direction::Outbound) => {
                dialog.cancel(headers);
                channel.set_vars([
                    ("sip_invite_failure_status", "487".to_owned()),
                    ("sip_invite_failure_phrase", "CANCEL".to_owned()),
                ]);
                "send_cancel"
            }
            (_, Direction::Inbound) => {
                if let Some(hops) = channel.var("max_forwards") {
                    headers.push(Name::MaxForwards, hops);
                }
                let refusal = self.refusal.take().unwrap_or_else(|| {
                    let status = refusal_status(channel, cause);
                    Refusal {
                        status,
                        reason: sip::message::reason_phrase(status).to_owned(),
                        contacts: Vec::new(),
                    }
                });
                for contact in &refusal.contacts {
                    headers.push(Name::Contact, contact);
                }
                let mut more = self.reply_headers(channel, false);
                more.remove(Name::Contact);
                for header in more.iter() {
                    headers.push_header(header);
                }
                dialog.reject(refusal.status, &refusal.reason, headers, None);
                self.profile.counters.failed_in.fetch_add(1, Ordering::Relaxed);
                "send_refuse"
            }
        };
        channel.set_var("sip_hangup_disposition", disposition);
        self.progress = Progress::Over;
    }

    fn respond(&mut self, channel: &Arc<Channel>, code: u16, phrase: &str) -> Result<(), Cause> {
        let Some(dialog) = &self.dialog else { return Err(Cause::NONE) };
        let phrase = if phrase.is_empty() { sip::message::reason_phrase(code) } else { phrase };
        if self.progress >= Progress::Answered || channel.direction() == Direction::Outbound {
            return Err(Cause::NONE);
        }
        if code < 200 {
            let headers = self.reply_headers(channel, true);
            dialog.provisional(code, phrase, headers, None);
            return Ok(());
        }
        self.refusal =
            Some(Refusal { status: code, reason: phrase.to_owned(), contacts: Vec::new() });
        let cause = if matches!(code, 401 | 407) { Cause::USER_CHALLENGE } else { cause_of(code) };
        Err(cause)
    }

    fn redirect(&mut self, channel: &Arc<Channel>, targets: &str) -> Result<(), Cause> {
        if self.progress >= Progress::Answered || channel.direction() == Direction::Outbound {
            return Err(Cause::NONE);
        }
        let Some(dialog) = &self.dialog else { return Err(Cause::NONE) };
        let targets: Vec<&str> =
            targets.split(',').map(str::trim).filter(|target| !target.is_empty()).collect();
        let several = targets.len() > 1;
        let contacts = targets
            .iter()
            .enumerate()
            .map(|(at, target)| {
                let bare = target.trim_start_matches('<').trim_end_matches('>');
                let bare = if bare.contains(':') { bare.to_owned() } else { format!("sip:{bare}") };
                let quality = if several {
                    format!(";q={:.1}", 1.0 - at as f32 / 10.0)
                } else {
                    String::new()
                };
                format!("\"unknown\" <{bare}>{quality}")
            })
            .collect();
        let (status, reason) =
            if several { (300, "Multiple Choices") } else { (302, "Moved Temporarily") };
        self.refusal = Some(Refusal { status, reason: reason.to_owned(), contacts });
        Err(cause_of(status))
    }

    async fn deflect(&mut self, channel: &Arc<Channel>, target: &str) -> Result<(), Cause> {
        if self.progress != Progress::Answered {
            return Err(Cause::NONE);
        }
        let Some(dialog) = &self.dialog else { return Err(Cause::NONE) };
        let bare = target.trim_start_matches('<').trim_end_matches('>');
        let uri = if bare.contains(':') { bare.to_owned() } else { format!("sip:{bare}") };
        let mut headers = Headers::new();
        headers.push(Name::Contact, self.contact_in_dialog());
        headers.push_text("Refer-To", format!("<{uri}>"));
        headers.push_text("Referred-By", format!("<{}>", self.profile.url()));
        let reply = dialog.request(Method::Refer, headers, None).await;
        match reply {
            Ok(response) => {
                channel.set_var("sip_refer_status_code", response.status.to_string());
                channel.set_var(
                    "sip_refer_reply",
                    format!("SIP/2.0 {} {}\r\n", response.status, response.reason),
                );
                Ok(())
            }
            Err(_) => Err(Cause::NONE),
        }
    }

    fn hold(&mut self, channel: &Arc<Channel>, on: bool) -> Result<(), Cause> {
        if self.progress != Progress::Answered {
            return Err(Cause::NONE);
        }
        let sdp = self.audio.hold_offer(channel, on).map_err(|_| Cause::NONE)?;
        self.reinvite(sdp)
    }

    fn reinvite(&mut self, sdp: String) -> Result<(), Cause> {
        let Some(dialog) = &self.dialog else { return Err(Cause::NONE) };
        let mut headers = Headers::new();
        headers.push(Name::Contact, self.contact_in_dialog());
        dialog.reinvite(headers, Some(Body::sdp(sdp)));
        Ok(())
    }

    fn send_info(&self, content_type: &str, body: String) -> Result<(), Cause> {
        let Some(dialog) = &self.dialog else { return Err(Cause::NONE) };
        let mut headers = Headers::new();
        headers.push(Name::Contact, self.contact_in_dialog());
        tokio::spawn(dialog.request(Method::Info, headers, Some(Body::new(content_type, body))));
        Ok(())
    }

    fn send_digits(&self, channel: &Channel, digits: &[Digit]) -> Result<(), Cause> {
        match channel.var("dtmf_type").as_deref() {
            Some("info") => {
                for digit in digits {
                    let body =
                        format!("Signal={}\r\nDuration={}\r\n", digit.digit, digit.duration / 8);
                    self.send_info("application/dtmf-relay", body)?;
                }
                Ok(())
            }
            Some("none") => Err(Cause::NONE),
            _ => {
                let media = channel.media().ok_or(Cause::NONE)?;
                let steps = digits
                    .iter()
                    .flat_map(|digit| {
                        media::dtmf::parse_digits(&digit.digit.to_string(), digit.duration)
                    })
                    .collect();
                media.send_dtmf(steps).map_err(|_| Cause::NONE)
            }
        }
    }
}

impl EndpointLeg for SofiaLeg {
    fn kind(&self) -> &'static str {
        "sofia"
    }

    fn starts_in(&self) -> State {
        match self.side {
            Side::Inbound { .. } => State::New,
            Side::Outbound { .. } => State::Init,
        }
    }

    fn on_new<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move { self.set_up_inbound(channel) })
    }

    fn on_init<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            match self.side {
                Side::Inbound { .. } => Ok(()),
                Side::Outbound { .. } => self.start_outbound(channel),
            }
        })
    }

    fn on_routing<'a>(&'a mut self, _channel: &'a Arc<Channel>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if matches!(self.side, Side::Inbound { .. })
                && self.progress == Progress::Nothing
                && self.profile.settings.load().auto_invite_100
            {
                if let Some(dialog) = &self.dialog {
                    dialog.provisional(100, "Trying", Headers::new(), None);
                }
            }
        })
    }

    fn on_hangup<'a>(&'a mut self, channel: &'a Arc<Channel>, cause: Cause) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(disposition) = self.disposition.take() {
                channel.set_var("sip_hangup_disposition", disposition);
            }
            self.say_goodbye(channel, cause);
            super::variables::set_rtp_statistics(channel);
            if std::mem::replace(&mut self.counted, false) {
                self.profile.counters.in_use.fetch_sub(1, Ordering::Relaxed);
            }
        })
    }

    fn indicate<'a>(
        &'a mut self,
        channel: &'a Arc<Channel>,
        what: Indication,
    ) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            let inbound = matches!(self.side, Side::Inbound { .. });
            match what {
                Indication::Ringing { queued } if inbound => {
                    self.ring_inbound(channel, queued);
                    Ok(())
                }
                Indication::EarlyMedia if inbound => self.early_media_inbound(channel),
                Indication::Answer if inbound => self.answer_inbound(channel),
                Indication::Ringing { .. } | Indication::EarlyMedia | Indication::Answer => Ok(()),
                Indication::Hold(_) => self.hold(channel, true),
                Indication::Unhold => self.hold(channel, false),
                Indication::Respond { code, phrase } => self.respond(channel, code, &phrase),
                Indication::Redirect(targets) => self.redirect(channel, &targets),
                Indication::Deflect(target) => self.deflect(channel, &target).await,
                Indication::Display { name, number } => {
                    if channel.is_answered() && self.peer_takes_displays() {
                        self.send_info(
                            "message/update_display",
                            format!("From:\r\nTo: \"{name}\" {number}\r\n"),
                        )
                    } else {
                        Ok(())
                    }
                }
                Indication::Info { content_type, body } => self.send_info(&content_type, body),
                Indication::PhoneEvent(_) => Err(Cause::NONE),
                Indication::Digits(digits) => self.send_digits(channel, &digits),
                Indication::RemoteSdp(sdp) => self.reinvite(sdp),
                Indication::LocalMedia => {
                    let sdp = self.audio.offer(channel, None).map_err(|_| Cause::NONE)?;
                    self.reinvite(sdp)
                }
            }
        })
    }

    fn event<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, LegEvent> {
        Box::pin(async move {
            let Self { events, audio, .. } = self;
            let signalling = async {
                match events {
                    Some(events) => events.recv().await,
                    None => std::future::pending().await,
                }
            };
            let media = async {
                match &mut audio.events {
                    Some(events) => match events.recv().await {
                        Some(event) => event,
                        None => std::future::pending().await,
                    },
                    None => std::future::pending().await,
                }
            };
            // Only the two receipts wait; what they lead to does not, so dropping this loses nothing.
            let event = tokio::select! {
                biased;
                event = signalling => event,
                event = media => return LegEvent::Media(event),
            };
            match event {
                Some(event) => self.on_dialog(channel, event),
                None => {
                    self.events = None;
                    if self.progress != Progress::Over {
                        channel.hangup(Cause::NORMAL_TEMPORARY_FAILURE);
                    }
                    LegEvent::Other
                }
            }
        })
    }
}

impl SofiaLeg {
    fn peer_takes_displays(&self) -> bool {
        match &self.side {
            Side::Inbound { request, .. } => request
                .headers
                .named("X-FS-Support")
                .is_some_and(|text| text.contains("update_display")),
            Side::Outbound { .. } => false,
        }
    }
}

/// Session description of a body, if it is one.
fn sdp_of(body: &[u8], content_type: Option<&str>) -> Option<String> {
    let is_sdp =
        content_type.is_none_or(|kind| kind.to_ascii_lowercase().starts_with("application/sdp"));
    // The reference shows descriptions as its own printer writes them: the default direction is left out.
    (is_sdp && !body.is_empty())
        .then(|| String::from_utf8_lossy(body).replace("a=sendrecv\r\n", ""))
}

fn host_port(uri: &sip::uri::Uri) -> String {
    match uri.port() {
        Some(port) => format!("{}:{port}", uri.host()),
        None => uri.host().to_owned(),
    }
}

fn first(choices: &[String]) -> String {
    choices.iter().find(|text| !text.is_empty()).cloned().unwrap_or_default()
}

/// The status that refuses an inbound call: the other leg's, unless told to ignore it.
fn refusal_status(channel: &Channel, cause: Cause) -> u16 {
    let from_peer = channel
        .var("last_bridge_proto_specific_hangup_cause")
        .filter(|_| !channel.is_true("sip_ignore_remote_cause"))
        .and_then(|text| text.strip_prefix("sip:").map(text::int))
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (300..700).contains(code));
    from_peer.unwrap_or_else(|| status_of(cause))
}

/// The digit an INFO body names.
fn digit_of_info(content_type: &str, body: &str) -> Option<Digit> {
    let line = |key: &str| {
        body.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case(key).then(|| value.trim().to_owned())
        })
    };
    let (signal, ms) = if content_type.starts_with("application/dtmf-relay") {
        (line("Signal")?, line("Duration").map_or(250, |text| text::int(&text)))
    } else if content_type.starts_with("application/dtmf") {
        (body.trim().to_owned(), 250)
    } else if content_type.starts_with("application/vnd.nortelnetworks.digits") {
        (line("d")?, 250)
    } else {
        return None;
    };
    let digit = match signal.as_str() {
        "10" => '*',
        "11" => '#',
        "12" => 'A',
        "13" => 'B',
        "14" => 'C',
        "15" => 'D',
        other => other.chars().next()?.to_ascii_uppercase(),
    };
    let valid = digit.is_ascii_digit() || matches!(digit, '*' | '#' | 'A'..='D' | 'F');
    let duration = u32::try_from(ms.clamp(50, 24_000)).unwrap_or(250) * 8;
    valid.then_some(Digit { digit, duration, source: DigitSource::Endpoint })
}

/// The local call a `Replaces` value names.
fn find_dialog(channel: &Channel, replaces: &str) -> Option<String> {
    let call_id = replaces.split(';').next()?.trim().to_owned();
    channel
        .switch()
        .channels()
        .into_iter()
        .find(|other| {
            other.uuid() != channel.uuid() && other.var("sip_call_id").as_deref() == Some(&call_id)
        })
        .map(|other| other.uuid().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_arrive_in_three_kinds_of_info() {
        let relay = digit_of_info("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
        assert_eq!(relay.map(|digit| (digit.digit, digit.duration)), Some(('5', 1280)));
        assert_eq!(
            digit_of_info("application/dtmf-relay", "Signal= 10\r\n").map(|digit| digit.digit),
            Some('*')
        );
        assert_eq!(digit_of_info("application/dtmf", "7").map(|digit| digit.digit), Some('7'));
        assert_eq!(digit_of_info("application/dtmf", "x"), None);
        assert_eq!(digit_of_info("text/plain", "5"), None);
    }
}
