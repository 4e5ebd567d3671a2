//! The side of a call that came in: what the INVITE says, ringing, early media, the answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::fax::MediaChange;
use sip::message::{Headers, Name, Request};
use sip::stack::{Body, Dialog, DialogEvent, Transport};
use sip::uri::SipUri;

use super::super::variables;
use super::fax::notify_terminal;
use super::{Offered, Progress, Side, SofiaLeg, described};
use crate::call::description::{OF_FAR_END, OF_PARTNER};
use crate::call::{Cause, Channel, LegEvent, State, bypass};

impl SofiaLeg {
    pub(super) fn set_up_inbound(&mut self, channel: &Arc<Channel>) -> Result<(), Cause> {
        let tag =
            self.dialog.as_ref().and_then(Dialog::info).map(|info| info.local_tag.as_str().into());
        channel.with(|data| data.local_tag = tag);
        self.count();
        let Side::Inbound { request, path, caller, admission, .. } = &mut self.side else {
            return Ok(());
        };
        let sdp = described(channel, &request.headers, &request.body);
        let settings = self.profile.settings.load_full();
        let ours = sdp.is_none().then_some(settings.media.inbound_codecs.as_str());
        variables::of_invite(channel, &self.profile, request, path, &admission.variables, ours);
        if let Some(caller) = caller.take() {
            channel.with(|data| data.profile = Some(*caller));
        }
        if settings.inbound_proxy_media {
            channel.set_var("proxy_media", "true");
        }
        if settings.inbound_bypass_media {
            channel.set_var("bypass_media", "true");
        }
        match sdp {
            None if settings.enable_3pcc => {
                channel.set_var("endpoint_disposition", "RECEIVED_NOSDP");
                self.offer_in_answer(channel, &settings.media.inbound_codecs)
            }
            None => {
                channel.set_var("endpoint_disposition", "3PCC DISABLED");
                Err(Cause::MANDATORY_IE_MISSING)
            }
            Some(sdp) => {
                channel.set_description(OF_FAR_END, Arc::clone(&sdp));
                // What only passes through is not looked at here.
                let passes = settings.inbound_bypass_media || settings.inbound_proxy_media;
                if settings.late_negotiation || passes {
                    self.audio.show_offer(channel, &sdp, &settings.media.inbound_codecs);
                    channel.set_var("endpoint_disposition", "DELAYED NEGOTIATION");
                    Ok(())
                } else {
                    self.audio
                        .consider(channel, &sdp, &settings.media.inbound_codecs)
                        .inspect(|()| channel.set_var("endpoint_disposition", "RECEIVED"))
                }
            }
        }
    }

    /// The caller leaves the offer to us: it goes out in the 200 at once, and the call begins once the ACK has brought
    /// the caller's answer.
    fn offer_in_answer(&mut self, channel: &Arc<Channel>, codecs: &str) -> Result<(), Cause> {
        self.audio.use_codecs(channel, codecs);
        let sdp = self.audio.offer(channel, None)?;
        let mut headers = Headers::new();
        headers.push(Name::Contact, self.reply_contact());
        let Some(dialog) = &self.dialog else { return Err(Cause::WRONG_CALL_STATE) };
        dialog.answer(headers, Some(Body::sdp(sdp.to_string())));
        self.progress = Progress::Answered;
        self.offered = Offered::ToBegin;
        channel.set_state(State::Hibernate);
        Ok(())
    }

    /// The ACK of a 200 that carried our offer.
    pub(super) fn on_late_answer(&mut self, channel: &Arc<Channel>, request: &Request) -> LegEvent {
        let begins = std::mem::replace(&mut self.offered, Offered::No) == Offered::ToBegin;
        let sdp = described(channel, &request.headers, &request.body);
        if sdp.is_some() {
            let raw = String::from_utf8_lossy(&request.body).into_owned();
            channel.set_var("sip_reinvite_sdp", raw);
        }
        variables::of_ack(channel, request);
        let was_held = self.audio.is_held_by_peer();
        let accepted = match &sdp {
            Some(sdp) => {
                channel.set_description(OF_FAR_END, Arc::clone(sdp));
                self.audio.accept(channel, sdp)
            }
            None => Err(Cause::INCOMPATIBLE_DESTINATION),
        };
        match accepted {
            Ok(()) if begins => {
                channel.mark_answered();
                channel.set_var("endpoint_disposition", "ANSWER");
                channel.set_state(State::Init);
                LegEvent::Answered
            }
            Ok(()) => {
                notify_terminal(channel, MediaChange::ToAudio);
                let held = self.audio.is_held_by_peer();
                if held != was_held {
                    crate::call::hold::remote_hold(channel, held);
                }
                LegEvent::Other
            }
            Err(cause) if begins => {
                channel.hangup(cause);
                LegEvent::Other
            }
            Err(_) => LegEvent::Other,
        }
    }

    /// Our Contact in replies: the number that was called, at our address.
    pub(super) fn reply_contact(&self) -> String {
        let Side::Inbound { request, path, .. } = &self.side else {
            return format!("<{}>", self.profile.url());
        };
        let user = request
            .headers
            .to_addr()
            .and_then(|to| to.uri.user().map(str::to_owned))
            .unwrap_or_else(|| self.profile.settings.load().contact_user.clone());
        let ip = self.profile.sip_ip_for(Some(path.remote.ip()));
        // Over WebSocket a call goes on over the connection it came by, whatever address stands here.
        let shown = if path.transport.is_websocket() { Transport::Udp } else { path.transport };
        SipUri::new(&user, ip)
            .port(self.profile.port_for(shown))
            .param("transport", shown.as_param())
            .bracketed()
    }

    pub(super) fn reply_headers(&self, channel: &Channel, provisional: bool) -> Headers {
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
    pub(super) fn push_callee_identity(
        &self,
        channel: &Channel,
        headers: &mut Headers,
        provisional: bool,
    ) {
        let settings = self.profile.settings.load();
        if !settings.pass_callee_id || (provisional && !settings.cid_in_1xx) {
            return;
        }
        let profile = channel.profile();
        // A caller who was sent on before the answer is shown what it dialled, as in the reference.
        let dialled = match &self.side {
            Side::Inbound { dialled, .. } => dialled.clone(),
            Side::Outbound { .. } => profile.destination_number.clone(),
        };
        let number = first(&[
            channel.var("effective_callee_id_number").unwrap_or_default(),
            profile.callee_id_number.clone(),
            dialled,
        ]);
        let name = first(&[
            channel.var("effective_callee_id_name").unwrap_or_default(),
            profile.callee_id_name.clone(),
            number.clone(),
        ]);
        let ip = crate::profile::host_text(self.profile.sip_ip_for(None));
        let kind = channel.var("sip_cid_type").unwrap_or_else(|| settings.cid_type.clone());
        let Some(who) = variables::identity(Some(&name), &number, &ip) else { return };
        match kind.as_str() {
            "none" => {}
            "pid" => headers.push_text("P-Asserted-Identity", who),
            _ => headers
                .push_text("Remote-Party-ID", format!("{who};party=calling;privacy=off;screen=no")),
        }
    }

    pub(super) fn show_local_tag(&self, channel: &Channel) {
        if let Some(info) = self.dialog.as_ref().and_then(Dialog::info) {
            channel.set_var("sip_to_tag", info.local_tag.as_str());
        }
    }

    /// Chooses codecs that were left to be chosen late.
    pub(super) fn negotiate_late(&mut self, channel: &Channel) -> Result<(), Cause> {
        if self.audio.has_remote_offer() {
            return Ok(());
        }
        let Some(sdp) = channel.description(OF_FAR_END) else { return Ok(()) };
        let codecs = self.profile.settings.load().media.inbound_codecs.clone();
        self.audio.consider_late(channel, &sdp, &codecs)
    }

    /// Our description for a 183 or 200.
    pub(super) async fn local_description(
        &mut self,
        channel: &Channel,
        last: bool,
    ) -> Result<Body, Cause> {
        if bypass::is_on(channel)
            && let Some(theirs) = channel.description(OF_PARTNER)
        {
            let text = crate::proxy::through(channel, &theirs);
            channel.set_heard_var("rtp_local_sdp_str", &text);
            return Ok(Body::sdp(text));
        }
        self.negotiate_late(channel)?;
        let near = channel.partner();
        self.audio.gather(channel, near.as_deref()).await?;
        let answer = self.audio.answer(channel, near.as_deref(), last)?;
        Ok(Body::sdp(answer.to_string()))
    }

    pub(super) async fn answer_inbound(&mut self, channel: &Arc<Channel>) -> Result<(), Cause> {
        let body = self.local_description(channel, true).await?;
        let headers = self.reply_headers(channel, false);
        let Some(dialog) = &self.dialog else { return Err(Cause::WRONG_CALL_STATE) };
        let secured = std::str::from_utf8(&body.bytes).is_ok_and(|text| text.contains("a=setup"));
        // A browser's session is watched by its consent checks; it gets no timer unless it asks for one.
        let interval = if secured {
            Some(0)
        } else {
            session_interval(channel, self.profile.session_expires())
        };
        if let Some(seconds) = interval {
            dialog.set_session_expires(seconds, refreshes_by_update(channel));
        }
        channel.flags.awaits_ack.store(true, Ordering::Relaxed);
        dialog.answer(headers, Some(body));
        self.progress = Progress::Answered;
        if self.audio.awaits_keys() {
            channel.mark_pre_answered();
        }
        self.await_keys(channel).await;
        channel.mark_answered();
        channel.set_var("endpoint_disposition", "ANSWER");
        Ok(())
    }

    /// A call whose keys come from a handshake counts as answered, and goes on, when they are there: as in the
    /// reference, so that nothing is played before it can be heard. A caller who leaves ends the wait.
    async fn await_keys(&mut self, channel: &Arc<Channel>) {
        let mut marks = channel.watch();
        while channel.is_up() && self.audio.awaits_keys() {
            let Self { events, audio, .. } = self;
            let Some(events) = events else { return };
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => {
                        let leaves = matches!(event, DialogEvent::Bye(_));
                        let _handled = self.on_dialog(channel, event);
                        if leaves {
                            channel.tell_answer();
                        }
                    }
                    None => return,
                },
                linked = audio.link_news() => linked.note(channel),
                changed = marks.changed() => if changed.is_err() { return },
            }
        }
    }

    pub(super) async fn early_media_inbound(
        &mut self,
        channel: &Arc<Channel>,
    ) -> Result<(), Cause> {
        let body = self.local_description(channel, false).await?;
        let headers = self.reply_headers(channel, true);
        let status = if channel.is_true("early_use_180") {
            (180, "Ringing")
        } else {
            (183, "Session Progress")
        };
        if let Some(dialog) = &self.dialog {
            dialog.provisional(status.0, status.1, headers, Some(body));
        }
        self.progress = Progress::EarlyMedia;
        channel.set_var("endpoint_disposition", "EARLY MEDIA");
        channel.mark_pre_answered();
        Ok(())
    }

    pub(super) fn ring_inbound(&mut self, channel: &Arc<Channel>, queued: bool) {
        let headers = self.reply_headers(channel, true);
        if let Some(dialog) = &self.dialog {
            let (status, reason) = if queued { (182, "Queued") } else { (180, "Ringing") };
            dialog.provisional(status, reason, headers, None);
        }
        self.progress = self.progress.max(Progress::Ringing);
        self.show_local_tag(channel);
    }
}

/// Session interval behind NAT, seconds: refreshes keep the way in open. The stack rounds it up to the least
/// interval the profile asks for, as the reference's library does.
const NAT_INTERVAL: u32 = 90;

/// The session interval of a call, where it is not the profile's.
pub(super) fn session_interval(channel: &Channel, of_profile: u32) -> Option<u32> {
    let own = channel
        .var("sofia_session_timeout")
        .and_then(|text| u32::try_from(crate::text::int(&text)).ok());
    let natted = || channel.is_true("sip_nat_detected").then_some(NAT_INTERVAL);
    let by_update = channel.var("sip_update_refresher").map(|_| of_profile);
    own.or_else(natted).or(by_update)
}

/// Whether the session is refreshed by UPDATE, where the channel says so.
pub(super) fn refreshes_by_update(channel: &Channel) -> Option<bool> {
    channel.is_true("sip_update_refresher").then_some(true)
}

fn first(choices: &[String]) -> String {
    choices.iter().find(|text| !text.is_empty()).cloned().unwrap_or_default()
}
