//! Fax over T.38: the far end changes its call to fax by re-INVITE, or we do.
//!
//! As in the reference the leg that gets the re-INVITE must allow fax (`fax_enable_t38`); `refuse_t38` forbids it. Where a
//! fax application or a T.38 gateway has the leg ([`Terminal`]) the change is between it and the far end. In a bridge the
//! other leg's far end is asked to do the same (`t38_passthru`, `once` for one time), and UDPTL packets pass between them.
//! In all other cases the change is refused with 488; the call goes on with audio.

use std::sync::Arc;

use ::fax::{MediaChange, Terminal};
use negotiation::FaxPlan;
use sdp::SessionDescription;
use sip::message::Headers;
use sip::stack::{Body, InDialog, RequestId};

use super::SofiaLeg;
use super::dialog::{offer_to_partner, tell_peer};
use crate::call::description::OF_FAR_END;
use crate::call::{Cause, Channel, LegEvent, bypass};

/// How far a change to fax went that this leg has part in.
#[derive(Default)]
pub(super) struct Fax {
    /// The far end's request, and where it takes fax: the partner's far end has been asked.
    passed_on: Option<(RequestId, FaxPlan)>,
    /// We have offered fax to the far end, for whom.
    offered: Option<For>,
    /// A change was passed on before (`t38_passthru=once`).
    passed_once: bool,
}

/// Whose offer of fax a leg's far end got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// The partner's far end.
    Partner,
    /// A fax application, or a gateway, on this leg.
    Application,
}

impl SofiaLeg {
    /// A re-INVITE that offers fax: passed on to the partner, or refused.
    pub(super) fn on_fax_offer(
        &mut self,
        channel: &Arc<Channel>,
        offer: &InDialog,
        sdp: &Arc<SessionDescription>,
        fax: FaxPlan,
    ) -> LegEvent {
        channel.set_description(OF_FAR_END, Arc::clone(sdp));
        self.audio.show_offered(channel, sdp);
        self.show_flags(channel, &fax);
        let partner = channel.partner();
        if let Some(partner) = &partner {
            partner.note_partner(channel);
        }
        if channel.is_true("fax_enable_t38") && !channel.is_true("refuse_t38") {
            channel.set_var("has_t38", "true");
            if self.answer_as_terminal(channel, offer.id, &fax) {
                return LegEvent::Other;
            }
            let ready = |partner: &&Arc<Channel>| {
                partner.is_answered()
                    && partner.media().is_some()
                    && !bypass::is_on(partner)
                    && !has_terminal(partner)
            };
            if self.passes_fax(channel)
                && let Some(partner) = partner.as_ref().filter(ready)
                && offer_to_partner(channel, partner, Arc::clone(sdp))
            {
                self.fax.passed_once = true;
                self.fax.passed_on = Some((offer.id, fax));
                return LegEvent::Other;
            }
        }
        if let Some(dialog) = &self.dialog {
            dialog.respond(offer.id, 488, "", Headers::new(), None);
        }
        LegEvent::Other
    }

    /// Agrees to fax with the application that runs on the leg; false when none runs that takes it.
    fn answer_as_terminal(&mut self, channel: &Channel, id: RequestId, theirs: &FaxPlan) -> bool {
        let agreed = channel
            .with(|data| data.find_slot::<Terminal>().and_then(|t| t.answer(&theirs.options)));
        let Some(options) = agreed else { return false };
        let ours = self.audio.fax_description(channel, &options, theirs.numbers);
        self.audio.switch_to_fax(channel, theirs.remote);
        let contact = self.contact_in_dialog();
        if let Some(dialog) = &self.dialog {
            let mut headers = Headers::new();
            headers.push(sip::message::Name::Contact, contact);
            dialog.respond(id, 200, "OK", headers, Some(Body::sdp(ours.to_string())));
        }
        // The machine keeps to what the far end takes.
        let options = sdp::T38Options {
            max_bit_rate: options.max_bit_rate.min(theirs.options.max_bit_rate),
            max_datagram: theirs.options.max_datagram,
            ..options
        };
        notify_terminal(channel, MediaChange::ToT38 { remote: theirs.remote, options });
        true
    }

    fn passes_fax(&self, channel: &Channel) -> bool {
        let Some(word) = channel.var("t38_passthru") else { return false };
        crate::text::is_true(&word) || word.eq_ignore_ascii_case("once") && !self.fax.passed_once
    }

    /// Flags with numbers are answered with numbers.
    fn show_flags(&self, channel: &Channel, fax: &FaxPlan) {
        if fax.numbers {
            channel.set_var("t38_broken_boolean", "true");
        }
    }

    /// Offers the far end the fax that the partner's, or an application on this leg, offers.
    pub(super) fn offer_fax(
        &mut self,
        channel: &Channel,
        theirs: &SessionDescription,
    ) -> Result<(), Cause> {
        let fax = negotiation::fax_line(theirs).ok_or(Cause::NONE)?;
        let numbers = channel.is_true("t38_broken_boolean");
        let ours = self.audio.fax_description(channel, &fax.options, numbers);
        self.reinvite(&ours)?;
        let ours = has_terminal(channel);
        self.fax.offered = Some(if ours { For::Application } else { For::Partner });
        Ok(())
    }

    /// The answer to our re-INVITE, if that offered fax; `None` = it was refused.
    pub(super) fn on_fax_answer(
        &mut self,
        channel: &Arc<Channel>,
        answer: Option<&Arc<SessionDescription>>,
    ) -> bool {
        let Some(offered) = self.fax.offered.take() else { return false };
        // The partner or application that the offer was made for may have gone meanwhile.
        let ours = has_terminal(channel);
        let partner = channel.partner().filter(|_| !ours && offered == For::Partner);
        let fax = answer
            .filter(|_| ours || partner.is_some())
            .and_then(|answer| negotiation::fax_line(answer));
        if let (Some(answer), Some(fax)) = (answer, &fax) {
            self.audio.show_offered(channel, answer);
            self.show_flags(channel, fax);
            channel.set_var("has_t38", "true");
            self.audio.switch_to_fax(channel, fax.remote);
        } else if answer.is_some()
            && let Ok(audio) = self.audio.offer(channel, None)
        {
            // The far end has answered without taking the fax, or has taken one that is over: audio is wanted back.
            let _gone = self.reinvite(&audio);
        }
        if ours {
            let change = match &fax {
                Some(fax) => {
                    MediaChange::ToT38 { remote: fax.remote, options: fax.options.clone() }
                }
                None => MediaChange::Refused,
            };
            notify_terminal(channel, change);
        } else if let Some(partner) = partner {
            let answer = answer.filter(|_| fax.is_some()).map(Arc::clone);
            tell_peer(channel, partner.uuid(), answer);
        }
        true
    }

    /// What became of the fax offer that was passed on; true if one was.
    pub(super) fn answer_fax(
        &mut self,
        channel: &Channel,
        theirs: Option<&SessionDescription>,
    ) -> bool {
        let Some((id, own)) = self.fax.passed_on.take() else { return false };
        let taken = theirs.and_then(negotiation::fax_line);
        let body = taken.map(|taken| {
            let numbers = channel.is_true("t38_broken_boolean");
            let ours = self.audio.fax_description(channel, &taken.options, numbers);
            self.audio.switch_to_fax(channel, own.remote);
            Body::sdp(ours.to_string())
        });
        let contact = self.contact_in_dialog();
        let Some(dialog) = &self.dialog else { return true };
        match body {
            Some(body) => {
                let mut headers = Headers::new();
                headers.push(sip::message::Name::Contact, contact);
                dialog.respond(id, 200, "OK", headers, Some(body));
            }
            None => dialog.respond(id, 488, "", Headers::new(), None),
        }
        true
    }
}

/// Tells the fax application that runs on a leg, if one does, of a change of its media.
pub(super) fn notify_terminal(channel: &Channel, change: MediaChange) {
    channel.with(|data| {
        if let Some(terminal) = data.find_slot::<Terminal>() {
            terminal.notify(change);
        }
    });
}

/// Does a fax application, or a gateway, have the leg?
fn has_terminal(channel: &Channel) -> bool {
    channel.with(|data| data.find_slot::<Terminal>().is_some_and(|terminal| terminal.is_open()))
}
