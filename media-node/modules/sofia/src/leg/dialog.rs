//! What the far end does within the call: re-INVITE, INFO, REFER, BYE, CANCEL.

use std::sync::Arc;

use ::fax::MediaChange;
use sdp::SessionDescription;
use sip::message::{Headers, Name, Request};
use sip::stack::{Body, DialogEvent, Ended, InDialog};
use sip::uri::SipUri;

use super::super::cause::reasons;
use super::super::variables::{self, Heard, Repeats};
use super::fax::notify_terminal;
use super::{Offered, Progress, Side, SofiaLeg, described, description_of};
use crate::call::description::OF_FAR_END;
use crate::call::index::Key;
use crate::call::{Cause, Channel, Digit, DigitSource, Indication, LegEvent, bypass};
use crate::refer::{self, Refer, Replaces};
use crate::switch::Switch;
use crate::text;

impl SofiaLeg {
    pub(super) fn note_end(&self, channel: &Channel, status: u16, phrase: &str, cause: Cause) {
        channel.set_vars([
            ("sip_term_status", status.to_string()),
            ("proto_specific_hangup_cause", crate::cause::of_protocol(status)),
            ("sip_term_cause", cause.number().to_string()),
        ]);
        let named = |name: &str| channel.switch().channel(&channel.var(name)?);
        let other = channel
            .partner()
            .or_else(|| named("originating_leg_uuid"))
            .or_else(|| named("originate_signal_bond"));
        if let Some(other) = other {
            Heard(&other).set_var("sip_hangup_phrase", phrase);
        }
    }

    pub(super) fn on_bye(&mut self, channel: &Arc<Channel>, request: &Request) {
        self.progress = Progress::Over;
        let mut cause = Cause::NORMAL_CLEARING;
        if let Some((reason, named)) = reasons(&request.headers) {
            Heard(channel).set_var("sip_reason", reason);
            cause = named.unwrap_or(cause);
        }
        variables::custom_headers(channel, &request.headers, "sip_bye_h_", Repeats::LastCounts);
        // The disposition is shown from CS_HANGUP on, everything else already by the hangup event.
        self.note_end(channel, 200, "OK", cause);
        hang_up(channel, cause);
        if let Some(agent) = request.headers.get(Name::UserAgent) {
            Heard(channel).set_var("sip_user_agent", agent);
        }
        channel.set_var("sip_hangup_disposition", "recv_bye");
    }

    pub(super) fn on_cancelled(&mut self, channel: &Arc<Channel>, request: &Request) {
        self.progress = Progress::Over;
        if let Some((reason, _)) = reasons(&request.headers) {
            Heard(channel).set_var("sip_reason", reason);
        }
        channel.set_vars([
            ("sip_hangup_disposition", "recv_cancel".to_owned()),
            ("sip_invite_failure_status", "487".to_owned()),
            ("sip_invite_failure_phrase", "CANCEL".to_owned()),
        ]);
        self.note_end(channel, 487, "Request Terminated", Cause::ORIGINATOR_CANCEL);
        hang_up(channel, Cause::ORIGINATOR_CANCEL);
    }

    /// UPDATE: with a description like a re-INVITE, without one it only says that the peer is still there.
    fn on_update(&mut self, channel: &Arc<Channel>, update: &InDialog) -> LegEvent {
        self.learn_party(channel, &update.request.headers, true);
        if !update.request.body.is_empty() {
            return self.on_reinvite(channel, update);
        }
        if let Some(dialog) = &self.dialog {
            let mut headers = Headers::new();
            headers.push(Name::Contact, self.contact_in_dialog());
            dialog.respond(update.id, 200, "OK", headers, None);
        }
        LegEvent::Other
    }

    pub(super) fn on_reinvite(&mut self, channel: &Arc<Channel>, offer: &InDialog) -> LegEvent {
        if let Some((status, reason, headers)) = crate::body::refused(&offer.request) {
            if let Some(dialog) = &self.dialog {
                dialog.respond(offer.id, status, reason, headers, None);
            }
            return LegEvent::Other;
        }
        channel.fire_custom("sofia::reinvite", |_| {}, |_| {});
        let body = &offer.request.body;
        let read = description_of(body, offer.request.headers.get(Name::ContentType));
        let sdp = match read {
            Ok(sdp) => sdp,
            Err(error) => {
                tracing::warn!(uuid = %channel.uuid(), "Cannot read the session description: {error}");
                if let Some(dialog) = &self.dialog {
                    dialog.respond(offer.id, 400, "Bad Session Description", Headers::new(), None);
                }
                return LegEvent::Other;
            }
        };
        if let (Some(_), Some(dialog), true) =
            (&sdp, &self.dialog, channel.is_true("sip_ignore_reinvites"))
        {
            // As in the reference: agreed to, and nothing changes.
            let mut headers = Headers::new();
            headers.push(Name::Contact, self.contact_in_dialog());
            dialog.respond(offer.id, 200, "OK", headers, None);
            return LegEvent::Other;
        }
        if let (Some(sdp), true) = (&sdp, bypass::is_on(channel))
            && self.pass_on(channel, offer, sdp)
        {
            return LegEvent::Other;
        }
        if let Some(sdp) = &sdp
            && let Some(fax) = negotiation::fax_line(sdp)
        {
            return self.on_fax_offer(channel, offer, sdp, fax);
        }
        crate::shared_lines::note(&self.profile.settings.load(), channel, &offer.request.headers);
        let was_held = self.audio.is_held_by_peer();
        let answer = match &sdp {
            // The hold is told before our side changes, as the reference does.
            Some(sdp) => self.audio.consider_again(channel, sdp).and_then(|again| {
                match (was_held, self.audio.is_held_by_peer()) {
                    (false, true) => crate::call::hold::remote_hold(channel, true),
                    (true, false) => crate::call::hold::remote_hold(channel, false),
                    _ => {}
                }
                self.audio.answer_again(channel, &again)
            }),
            None => self.audio.offer(channel, None),
        };
        let Some(dialog) = &self.dialog else { return LegEvent::Other };
        match answer {
            Ok(text) => {
                let mut headers = Headers::new();
                headers.push(Name::Contact, self.contact_in_dialog());
                let body = Some(Body::sdp(text.to_string()));
                dialog.respond(offer.id, 200, "OK", headers, body);
                self.offered = if sdp.is_none() { Offered::Within } else { Offered::No };
                if sdp.is_some() {
                    notify_terminal(channel, MediaChange::ToAudio);
                }
            }
            Err(_) => dialog.respond(offer.id, 488, "", Headers::new(), None),
        }
        LegEvent::Reinvited
    }

    /// Offers the other leg what this far end offers; true if there is one to ask.
    fn pass_on(
        &mut self,
        channel: &Channel,
        offer: &InDialog,
        sdp: &Arc<SessionDescription>,
    ) -> bool {
        let Some(partner) = channel.partner().filter(|partner| bypass::is_on(partner)) else {
            return false;
        };
        channel.set_var("sip_reinvite_sdp", sdp.to_string());
        channel.set_description(OF_FAR_END, Arc::clone(sdp));
        self.passed_on = Some(offer.id);
        offer_to_partner(channel, &partner, Arc::clone(sdp))
    }

    /// The other leg's answer to an offer that was passed on.
    pub(super) fn answer_passed_on(&mut self, sdp: Option<&SessionDescription>) {
        let (Some(id), Some(dialog)) = (self.passed_on.take(), &self.dialog) else { return };
        match sdp {
            Some(sdp) => {
                let mut headers = Headers::new();
                headers.push(Name::Contact, self.contact_in_dialog());
                dialog.respond(id, 200, "OK", headers, Some(Body::sdp(sdp.to_string())));
            }
            None => dialog.respond(id, 488, "", Headers::new(), None),
        }
    }

    pub(super) fn contact_in_dialog(&self) -> String {
        match &self.side {
            Side::Inbound { .. } => self.reply_contact(),
            Side::Outbound { .. } => format!("<{}>", self.profile.url()),
        }
    }

    /// INFO: digits, a new display, a client's code. Whatever it is, programs hear of it (RECV_INFO).
    pub(super) fn on_info(&mut self, channel: &Arc<Channel>, info: &InDialog) -> LegEvent {
        if let Some(dialog) = &self.dialog {
            dialog.respond(info.id, 200, "OK", Headers::new(), None);
        }
        let request = &info.request;
        variables::custom_headers(channel, &request.headers, "sip_info_h_", Repeats::LastCounts);
        if let Some(code) = request.headers.named("x-clientcode").filter(|code| !code.is_empty()) {
            Heard(channel).set_var("call_clientcode", text::harmless(code));
        }
        if super::display::changes_display(request) {
            self.learn_party(channel, &request.headers, true);
        }
        let content = request.headers.get(Name::ContentType).unwrap_or_default();
        let body = String::from_utf8_lossy(&request.body);
        if content.eq_ignore_ascii_case("application/trickle-ice-sdpfrag") {
            self.audio.trickle(&body);
        }
        let digit = digit_of_info(&content.to_ascii_lowercase(), &body)
            .filter(|digit| self.takes_info_digits(channel, *digit));
        tell_info(channel, request);
        digit.map_or(LegEvent::Other, LegEvent::Digit)
    }

    /// Are digits taken from INFO: agreed on, or taken from wherever they come?
    fn takes_info_digits(&self, channel: &Channel, digit: Digit) -> bool {
        let by_info =
            channel.var("dtmf_type").is_some_and(|kind| kind.eq_ignore_ascii_case("info"));
        let takes = by_info
            || self.profile.settings.load().liberal_dtmf
            || channel.is_true("rtp_liberal_dtmf");
        if !takes {
            tracing::warn!(uuid = %channel.uuid(), "IGNORE INFO DTMF({}) (This channel was not configured to use INFO DTMF!)", digit.digit);
        }
        takes
    }

    pub(super) fn on_refer(&mut self, channel: &Arc<Channel>, refer: &InDialog) -> LegEvent {
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
        let replaces = match replaces_of(&address.uri) {
            None => Replaces::Nothing,
            Some(text) => match replaced_call(channel.switch(), &text) {
                Some(other) if other.uuid() != channel.uuid() => {
                    Replaces::Here(other.uuid().to_string())
                }
                _ => self.elsewhere(channel, &address.uri, text),
            },
        };
        let asked = Refer {
            id: refer.request.headers.cseq().map(|cseq| cseq.number).unwrap_or_default(),
            to: text::harmless_number(address.uri.user().unwrap_or_else(|| address.uri.host()))
                .into_owned(),
            refer_to: target.unwrap_or_default().to_owned(),
            referred_by: refer.request.headers.named("Referred-By").map(str::to_owned),
            replaces,
        };
        LegEvent::Asks(Box::new(move |session| {
            Box::pin(async move { refer::on_refer(session, &asked).await })
        }))
    }

    /// A call that is not of this switch. Only who has shown who it is may have us call any address: the dialplan has
    /// no say in it.
    fn elsewhere(&self, channel: &Channel, uri: &sip::uri::Uri, header: String) -> Replaces {
        let known = matches!(self.side, Side::Outbound { .. }) || channel.is_true("sip_authorized");
        let plain = |text: &str| {
            !text.is_empty()
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-._*#~:[]".contains(c))
        };
        let user = uri.user().unwrap_or_default();
        // What names no dialog is not sent on: it matches no dialog.
        if !known || !plain(user) || !plain(uri.host()) || dialog_named(&header).is_none() {
            return Replaces::Refused;
        }
        let address = SipUri::new(user, uri.host());
        let address = uri.port().map_or(address.clone(), |port| address.port(port));
        let dial = format!("sofia/{}/{address}", self.profile.name);
        Replaces::Elsewhere { dial, header }
    }

    /// Our re-INVITE was answered: the variables show the dialog as that message has it.
    fn note_reinvited(&self, channel: &Channel, response: &sip::message::Response) {
        let path =
            self.dialog.as_ref().and_then(sip::stack::Dialog::info).and_then(|info| info.path);
        if let Some(path) = path {
            channel.set_var("sip_local_network_addr", path.local.ip().to_string());
            variables::of_source(channel, path.remote);
        }
        if matches!(self.side, Side::Inbound { .. }) {
            channel.set_var("dlg_req_swap_direction", "true");
        }
        variables::of_reinvite(channel, response);
    }

    pub(super) fn on_dialog(&mut self, channel: &Arc<Channel>, event: DialogEvent) -> LegEvent {
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
            DialogEvent::Acked(request) if self.offered != Offered::No => {
                self.on_late_answer(channel, &request)
            }
            DialogEvent::Acked(request) => {
                variables::of_ack(channel, &request);
                LegEvent::Other
            }
            DialogEvent::Bye(request) => {
                self.on_bye(channel, &request);
                LegEvent::Other
            }
            DialogEvent::Reinvite(offer) => self.on_reinvite(channel, &offer),
            DialogEvent::Update(update) => self.on_update(channel, &update),
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
                self.note_reinvited(channel, &response);
                if let Some(sdp) = described(channel, &response.headers, &response.body) {
                    channel.set_description(OF_FAR_END, Arc::clone(&sdp));
                    if self.on_fax_answer(channel, Some(&sdp)) {
                        return LegEvent::Other;
                    }
                    if bypass::is_on(channel) {
                        if let Some(partner) = channel.partner() {
                            tell_peer(channel, partner.uuid(), Some(sdp));
                        }
                        return LegEvent::Other;
                    }
                    if self.audio.accept_again(channel, &sdp).is_ok() {
                        notify_terminal(channel, MediaChange::ToAudio);
                    }
                }
                LegEvent::Other
            }
            DialogEvent::ReinviteDone(Err(_)) if self.on_fax_answer(channel, None) => {
                LegEvent::Other
            }
            DialogEvent::ReinviteDone(Err(_)) => {
                if bypass::is_on(channel)
                    && let Some(partner) = channel.partner()
                {
                    tell_peer(channel, partner.uuid(), None);
                }
                LegEvent::Other
            }
            DialogEvent::Prack(_) => LegEvent::Other,
            DialogEvent::Terminated(ended) => {
                self.progress = Progress::Over;
                let cause = match ended {
                    Ended::NoAck => Cause::PROTOCOL_ERROR,
                    Ended::PeerGone | Ended::Transport => Cause::NORMAL_TEMPORARY_FAILURE,
                    Ended::ByUs | Ended::Stopped | Ended::SessionExpired => Cause::NORMAL_CLEARING,
                };
                hang_up(channel, cause);
                LegEvent::Other
            }
        }
    }
}

/// The far end is gone. What it dialled for somebody else goes on without it, and ends the leg.
fn hang_up(channel: &Channel, cause: Cause) {
    if channel.with(|data| data.hand_over.is_none()) {
        channel.hangup(cause);
    }
}

/// Has the partner offer its far end what ours offers; false if it takes no more commands.
pub(super) fn offer_to_partner(
    channel: &Channel,
    partner: &Channel,
    offer: Arc<SessionDescription>,
) -> bool {
    let uuid = Arc::clone(channel.uuid());
    let asked = partner.job(Box::new(move |session| {
        Box::pin(async move {
            if !session.indicate(Indication::Offer(offer)).await {
                tell_peer(session.channel(), &uuid, None);
            }
        })
    }));
    asked.is_ok()
}

/// Hands the answer to a passed-on offer to the leg whose far end made it.
pub(super) fn tell_peer(channel: &Channel, peer: &str, sdp: Option<Arc<SessionDescription>>) {
    let Some(peer) = channel.switch().channel(peer) else { return };
    let _full = peer.job(Box::new(move |session| {
        Box::pin(async move {
            let _done = session.indicate(Indication::PeerDescription(sdp)).await;
        })
    }));
}

/// RECV_INFO: a message within the call that is not for us.
fn tell_info(channel: &Channel, request: &Request) {
    let headers = &request.headers;
    let uri = |address: Option<sip::uri::NameAddr>| address.map(|address| address.uri);
    let addresses = [
        ("SIP-From-User", "SIP-From-Host", uri(headers.from_addr())),
        ("SIP-To-User", "SIP-To-Host", uri(headers.to_addr())),
        ("SIP-Contact-User", "SIP-Contact-Host", uri(headers.contact())),
    ];
    channel.fire_with(
        esl_server::EventName::RecvInfo,
        |event| {
            event.push_some("SIP-Content-Type", headers.get(Name::ContentType));
            for (user, host, uri) in
                addresses.iter().filter_map(|(u, h, uri)| Some((*u, *h, uri.as_ref()?)))
            {
                event.push_some(user, uri.user());
                event.push(host, uri.host());
            }
            event.push_some("Call-Info", headers.named("Call-Info"));
            event.push_some("Alert-Info", headers.named("Alert-Info"));
            event.set_body(request.body.clone());
        },
        |_| {},
    );
}

/// The digit an INFO body names.
fn digit_of_info(content_type: &str, body: &str) -> Option<Digit> {
    let line = |key: &str| {
        body.split(['\r', '\n']).find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case(key).then(|| value.trim().to_owned())
        })
    };
    let (signal, ms) = if content_type.starts_with("application/dtmf-relay") {
        // A length that says nothing becomes 2,000 milliseconds, none at all the default.
        let ms = line("Duration").map(|text| text::int(&text));
        (line("Signal")?, ms.map_or(250, |ms| if ms > 0 { ms } else { 2000 }))
    } else if content_type.starts_with("application/dtmf") {
        (body.trim().trim_matches('"').to_owned(), 250)
    } else if content_type.starts_with("application/vnd.nortelnetworks.digits") {
        (line("d")?, 50)
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
        "16" => 'F',
        other => other.chars().next()?.to_ascii_uppercase(),
    };
    let valid = digit.is_ascii_digit() || matches!(digit, '*' | '#' | 'A'..='D' | 'F');
    let duration = u32::try_from(ms.clamp(50, 24_000)).unwrap_or(250) * 8;
    valid.then_some(Digit { digit, duration, source: DigitSource::Endpoint })
}

/// The `Replaces` among the headers of a URI, whichever its place.
fn replaces_of(uri: &sip::uri::Uri) -> Option<String> {
    uri.headers().split('&').find_map(|header| {
        let (name, value) = header.split_once('=')?;
        sip::uri::unescape(name).eq_ignore_ascii_case("Replaces").then(|| sip::uri::unescape(value))
    })
}

/// Call-ID, `to-tag` and `from-tag` of a `Replaces` value; `None` when one of them is missing.
fn dialog_named(replaces: &str) -> Option<(&str, &str, &str)> {
    let present = |text: &&str| !text.is_empty();
    let mut parts = replaces.split(';').map(str::trim);
    let call_id = parts.next().filter(present)?;
    let (mut to, mut from) = (None, None);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim().to_ascii_lowercase().as_str() {
            "to-tag" => to = Some(value.trim()),
            "from-tag" => from = Some(value.trim()),
            _ => {}
        }
    }
    Some((call_id, to.filter(present)?, from.filter(present)?))
}

/// The local call a `Replaces` value names. Call-ID and both tags must be those of its dialog (RFC 3891 §3): a Call-ID
/// alone is no secret, and naming a call allows taking it over.
pub fn replaced_call(switch: &Switch, replaces: &str) -> Option<Arc<Channel>> {
    let (call_id, to, from) = dialog_named(replaces)?;
    let named = |leg: &Arc<Channel>| {
        let ours = leg.with(|data| data.local_tag.clone());
        let is = |name: &str, text: &str| match leg.var(name) {
            Some(value) => value == text,
            // Who has our answer may name its call before we have its ACK.
            None => name == "sip_to_tag" && ours.as_deref() == Some(text),
        };
        // Which side is To depends on who called, and on who sent the last re-INVITE.
        is("sip_call_id", call_id)
            && (is("sip_to_tag", to) && is("sip_from_tag", from)
                || is("sip_to_tag", from) && is("sip_from_tag", to))
    };
    let known = switch.channels_by(&Key::CallId(call_id.into()));
    known.into_iter().find(|leg| leg.is_up() && named(leg))
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
        let duration = |kind, body| digit_of_info(kind, body).map(|digit| digit.duration);
        assert_eq!(duration("application/dtmf-relay", "Signal=5\nDuration=0\n"), Some(16_000));
        assert_eq!(duration("application/dtmf-relay", "Signal=5"), Some(2000));
        assert_eq!(duration("application/vnd.nortelnetworks.digits", "d=5"), Some(400));
        assert_eq!(digit_of_info("application/dtmf", "x"), None);
        assert_eq!(digit_of_info("text/plain", "5"), None);
    }
}
