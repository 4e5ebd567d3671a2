//! What the call does to the far end: goodbye, refusals, redirects, hold, messages, digits.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sdp::SessionDescription;
use sip::message::{Headers, Method, Name};
use sip::stack::{Body, DialogEvent};
use sip::uri::{SipUri, with_scheme};

use super::super::cause::{cause_of, reason_header, status_of};
use super::super::variables;
use super::{Progress, Refusal, SofiaLeg};
use crate::call::endpoint::{DialogMethod, DialogRequest};
use crate::call::{Cause, Channel, Digit, Direction, Referral};
use crate::text;

impl SofiaLeg {
    /// Tells the far end that the call is over, as far as it does not know.
    pub(super) fn say_goodbye(&mut self, channel: &Arc<Channel>, cause: Cause) {
        let Some(dialog) = &self.dialog else { return };
        let mut headers = Headers::new();
        if !channel.is_true("disable_q850_reason") {
            if cause == Cause::LOSE_RACE {
                channel.set_var("call_completed_elsewhere", "true");
            }
            let reason = if channel.is_true("call_completed_elsewhere") {
                "SIP;cause=200;text=\"Call completed elsewhere\"".to_owned()
            } else {
                channel.var("sip_reason").unwrap_or_else(|| reason_header(cause))
            };
            headers.push_text("Reason", reason);
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
                    ("sip_hangup_disposition", "send_cancel".to_owned()),
                    ("sip_invite_failure_status", "487".to_owned()),
                    ("sip_invite_failure_phrase", "CANCEL".to_owned()),
                ]);
                self.progress = Progress::Over;
                return;
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

    pub(super) fn respond(
        &mut self,
        channel: &Arc<Channel>,
        code: u16,
        phrase: &str,
    ) -> Result<(), Cause> {
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

    pub(super) fn redirect(&mut self, channel: &Arc<Channel>, targets: &str) -> Result<(), Cause> {
        if self.progress >= Progress::Answered || channel.direction() == Direction::Outbound {
            return Err(Cause::NONE);
        }
        let targets: Vec<&str> =
            targets.split(',').map(str::trim).filter(|target| !target.is_empty()).collect();
        let several = targets.len() > 1;
        let contacts = targets
            .iter()
            .enumerate()
            .map(|(at, target)| {
                let bare = target.trim_start_matches('<').trim_end_matches('>');
                let bare = target_uri(bare);
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

    pub(super) async fn deflect(
        &mut self,
        channel: &Arc<Channel>,
        target: &str,
    ) -> Result<(), Cause> {
        if self.progress != Progress::Answered {
            return Err(Cause::NONE);
        }
        // As in the reference nothing is asked before the far end has acknowledged the answer.
        while channel.flags.awaits_ack.load(Ordering::Relaxed) && channel.is_up() {
            let Some(events) = &mut self.events else { return Err(Cause::NONE) };
            let Some(event) = events.recv().await else { return Err(Cause::NONE) };
            let _handled = self.on_dialog(channel, event);
        }
        let Some(dialog) = &self.dialog else { return Err(Cause::NONE) };
        let bare = target.trim_start_matches('<').trim_end_matches('>');
        let uri = target_uri(bare);
        let mut headers = Headers::new();
        headers.push(Name::Contact, self.contact_in_dialog());
        headers.push_text("Refer-To", format!("<{uri}>"));
        let own = SipUri::new("", self.profile.sip_ip_for(None)).port(self.profile.port());
        headers.push_text("Referred-By", own.bracketed());
        let answer = dialog.request(Method::Refer, headers, None);
        tokio::pin!(answer);
        let response = loop {
            let Some(events) = &mut self.events else { return Err(Cause::NONE) };
            tokio::select! {
                biased;
                // First: what the far end sent behind its answer comes after it.
                response = &mut answer => break response.map_err(|_| Cause::NONE)?,
                Some(event) = events.recv() => {
                    let _handled = self.on_dialog(channel, event);
                }
            }
        };
        channel.set_var("sip_refer_status_code", response.status.to_string());
        if response.status < 300 {
            self.await_referral(channel).await;
        }
        Ok(())
    }

    /// After a REFER was taken: waits until the far end has told how its call went, or has gone.
    async fn await_referral(&mut self, channel: &Arc<Channel>) {
        let until = tokio::time::Instant::now() + REFERRAL;
        while self.progress == Progress::Answered && channel.is_up() {
            let Some(events) = &mut self.events else { return };
            let Ok(Some(event)) = tokio::time::timeout_at(until, events.recv()).await else {
                return;
            };
            let told = match &event {
                DialogEvent::Notify(notify) => referral_status(&notify.request.body),
                _ => None,
            };
            let _handled = self.on_dialog(channel, event);
            if let Some((status, line)) = told {
                channel.set_var("sip_refer_reply", format!("{line}\r\n"));
                if status >= 200 {
                    return;
                }
            }
        }
    }

    pub(super) fn hold(&mut self, channel: &Arc<Channel>, on: bool) -> Result<(), Cause> {
        if self.progress != Progress::Answered {
            return Err(Cause::NONE);
        }
        let sdp = self.audio.hold_offer(channel, on).map_err(|_| Cause::NONE)?;
        self.reinvite(&sdp)
    }

    pub(super) fn reinvite(&mut self, offer: &SessionDescription) -> Result<(), Cause> {
        let Some(dialog) = &self.dialog else { return Err(Cause::NONE) };
        let mut headers = Headers::new();
        headers.push(Name::Contact, self.contact_in_dialog());
        if self.profile.settings.load().pass_callee_id {
            headers.push_text("X-FS-Support", "update_display,send_info");
        }
        dialog.reinvite(headers, Some(Body::sdp(offer.to_string())));
        Ok(())
    }

    /// A new offer; `codecs` (a leading `=` may stand) take the place of those used so far.
    pub(super) fn renegotiate(
        &mut self,
        channel: &Channel,
        codecs: Option<&str>,
    ) -> Result<(), Cause> {
        if self.progress != Progress::Answered {
            return Err(Cause::NONE);
        }
        if let Some(codecs) = codecs {
            channel.unset_var("absolute_codec_string");
            channel.set_var("codec_string", format!("={}", codecs.trim_start_matches('=')));
            self.audio.use_codecs(channel, codecs);
        }
        let sdp = self.audio.offer(channel, None).map_err(|_| Cause::NONE)?;
        self.reinvite(&sdp)
    }

    /// Presses a key of the phone: `talk` or `hold`.
    pub(super) fn phone_event(&self, event: String) -> Result<(), Cause> {
        if event.is_empty() || !event.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(Cause::NONE);
        }
        let headers = vec![("Event", event), ("Subscription-State", "active".to_owned())];
        self.send_request(DialogRequest { method: DialogMethod::Notify, headers, body: None })
    }

    /// Tells whoever asked for a transfer how it goes.
    pub(super) fn tell_referral(&self, id: u32, outcome: Referral) -> Result<(), Cause> {
        let Some(dialog) = &self.dialog else { return Err(Cause::NONE) };
        let status = match outcome {
            Referral::Trying => 100,
            Referral::Done => 200,
            Referral::Forbidden => 403,
            Referral::Gone => 481,
            Referral::Failed(cause) => status_of(cause),
        };
        let state = if status < 200 { "active;expires=60" } else { "terminated;reason=noresource" };
        let mut headers = Headers::new();
        headers.push(Name::Contact, self.contact_in_dialog());
        headers.push_text("Event", format!("refer;id={id}"));
        headers.push_text("Subscription-State", state);
        let line = format!("SIP/2.0 {status} {}\r\n", sip::message::reason_phrase(status));
        let body = Body::new("message/sipfrag;version=2.0", line);
        tokio::spawn(dialog.request(Method::Notify, headers, Some(body)));
        Ok(())
    }

    pub(super) fn send_info(&self, content_type: &str, body: String) -> Result<(), Cause> {
        let body = Some((content_type.to_owned(), body));
        self.send_request(DialogRequest { method: DialogMethod::Info, headers: Vec::new(), body })
    }

    /// Sends a request within the dialog; nobody waits for its answer.
    pub(super) fn send_request(&self, request: DialogRequest) -> Result<(), Cause> {
        let Some(dialog) = &self.dialog else { return Err(Cause::NONE) };
        let mut headers = Headers::new();
        headers.push(Name::Contact, self.contact_in_dialog());
        for (name, value) in request.headers {
            headers.push_text(name, value);
        }
        let method = match request.method {
            DialogMethod::Info => Method::Info,
            DialogMethod::Message => Method::Message,
            DialogMethod::Notify => Method::Notify,
            DialogMethod::Update => Method::Update,
        };
        let body = request.body.map(|(kind, text)| Body::new(kind, text));
        tokio::spawn(dialog.request(method, headers, body));
        Ok(())
    }

    pub(super) fn send_digits(&self, channel: &Channel, digits: &[Digit]) -> Result<(), Cause> {
        match channel.var("dtmf_type").as_deref() {
            _ if channel.flags.sends_tones.load(Ordering::Relaxed) => press(channel, digits),
            Some("info") => {
                for digit in digits {
                    let body =
                        format!("Signal={}\r\nDuration={}\r\n", digit.digit, digit.duration / 8);
                    self.send_info("application/dtmf-relay", body)?;
                }
                Ok(())
            }
            Some("none") => Err(Cause::NONE),
            _ => press(channel, digits),
        }
    }
}

/// An address people write as a target: another scheme than SIP stays, a host with a port is none.
fn target_uri(text: &str) -> Cow<'_, str> {
    let foreign = text.split_once(':').is_some_and(|(scheme, rest)| {
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '-';
        let is_port = rest.split(';').next().is_some_and(|port| port.parse::<u16>().is_ok());
        !scheme.is_empty() && scheme.chars().all(is_scheme) && (!is_port || scheme == "tel")
    });
    if foreign { Cow::Borrowed(text) } else { with_scheme(text) }
}

/// How long a far end may take to say how a REFER went.
const REFERRAL: std::time::Duration = std::time::Duration::from_secs(10);

/// Status and line of a `message/sipfrag`.
fn referral_status(body: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next()?.trim();
    let status = line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
    Some((status, line.to_owned()))
}

/// Digits as events or tones in the media.
pub(crate) fn press(channel: &Channel, digits: &[Digit]) -> Result<(), Cause> {
    let media = channel.media().ok_or(Cause::NONE)?;
    let steps = digits
        .iter()
        .flat_map(|digit| media::dtmf::parse_digits(&digit.digit.to_string(), digit.duration));
    media.send_dtmf(steps.collect()).map_err(|_| Cause::NONE)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_sip_address_unless_it_names_another_scheme() {
        for (text, uri) in [
            ("1000@a.test", "sip:1000@a.test"),
            ("1000@a.test:5070", "sip:1000@a.test:5070"),
            ("localhost:5070;transport=tcp", "sip:localhost:5070;transport=tcp"),
            ("sips:1@a.test", "sips:1@a.test"),
            ("tel:112", "tel:112"),
            ("mailto:a@b.test", "mailto:a@b.test"),
        ] {
            assert_eq!(target_uri(text), uri);
        }
    }
}
