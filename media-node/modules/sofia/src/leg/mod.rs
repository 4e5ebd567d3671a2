//! A channel's SIP side: one dialog, one audio, and what each does to the channel.

mod actions;
mod dialog;
mod display;
mod fax;
mod inbound;
mod outbound;
mod redirect;

pub(crate) use actions::press;
pub use dialog::replaced_call;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::queue;
use sdp::{SdpError, SessionDescription};
use sip::message::{Headers, Name, Request};
use sip::stack::{Dialog, DialogEvent, InviteSpec, Path};

use super::inbound::Admission;
use super::profile::Profile;
use crate::BoxFuture;
use crate::call::{
    CallerProfile, Cause, Channel, EndpointLeg, Indication, LegEvent, State, bypass,
};
use crate::proxy::Relay;
use leg_media::{LegMedia, News};

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
    events: Option<queue::Receiver<DialogEvent>>,
    audio: LegMedia,
    progress: Progress,
    side: Side,
    counted: bool,
    disposition: Option<&'static str>,
    refusal: Option<Refusal>,
    /// Did our last 200 carry the offer?
    offered: Offered,
    /// The far end is a switch that takes displays by INFO (`X-FS-Support`).
    takes_displays: bool,
    /// The far end's offer that waits for the other leg's answer.
    passed_on: Option<sip::stack::RequestId>,
    fax: fax::Fax,
}

/// Whether a 200 of ours carried an offer, so that the ACK is to bring the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offered {
    No,
    /// To an INVITE without description: the call begins with the answer.
    ToBegin,
    /// To a re-INVITE without description.
    Within,
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
        /// What it called, whatever became of it.
        dialled: String,
    },
    Outbound {
        invite: Option<Box<InviteSpec>>,
        gateway: Option<Arc<super::Gateway>>,
        /// The INVITE as sent, until it is answered: a redirection sends it elsewhere.
        again: Option<Box<InviteSpec>>,
        /// Redirections followed.
        redirects: u8,
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
        events: queue::Receiver<DialogEvent>,
        audio: LegMedia,
        request: Arc<Request>,
        path: Path,
        caller: CallerProfile,
        admission: Admission,
    ) -> Self {
        let support = request.headers.named("X-FS-Support");
        let takes_displays = support.is_some_and(|text| text.contains("update_display"));
        let dialled = caller.destination_number.clone();
        let caller = Some(Box::new(caller));
        let side = Side::Inbound { request, path, caller, admission, dialled };
        Self {
            takes_displays,
            profile,
            dialog: Some(dialog),
            events: Some(events),
            audio,
            progress: Progress::Nothing,
            side,
            counted: false,
            disposition: None,
            refusal: None,
            offered: Offered::No,
            passed_on: None,
            fax: fax::Fax::default(),
        }
    }

    /// The leg of a call to be made.
    pub fn outbound(
        profile: Arc<Profile>,
        invite: InviteSpec,
        audio: LegMedia,
        gateway: Option<Arc<super::Gateway>>,
    ) -> Self {
        let invite = Some(Box::new(invite));
        let side = Side::Outbound { invite, gateway, again: None, redirects: 0 };
        Self {
            takes_displays: false,
            profile,
            dialog: None,
            events: None,
            audio,
            progress: Progress::Nothing,
            side,
            counted: false,
            disposition: None,
            refusal: None,
            offered: Offered::No,
            passed_on: None,
            fax: fax::Fax::default(),
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
                Side::Outbound { .. } => self.start_outbound(channel).await,
            }
        })
    }

    fn on_routing<'a>(&'a mut self, _channel: &'a Arc<Channel>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if matches!(self.side, Side::Inbound { .. })
                && self.progress == Progress::Nothing
                && self.profile.settings.load().auto_invite_100
                && let Some(dialog) = &self.dialog
            {
                dialog.provisional(100, "Trying", Headers::new(), None);
            }
        })
    }

    fn on_hangup<'a>(&'a mut self, channel: &'a Arc<Channel>, cause: Cause) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(disposition) = self.disposition.take() {
                channel.set_var("sip_hangup_disposition", disposition);
            }
            self.say_goodbye(channel, cause);
            crate::call::statistics::set(channel);
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
                Indication::EarlyMedia if inbound => self.early_media_inbound(channel).await,
                Indication::Answer if inbound => self.answer_inbound(channel).await,
                Indication::Ringing { .. } | Indication::EarlyMedia | Indication::Answer => Ok(()),
                Indication::Referral { id, outcome } => self.tell_referral(id, outcome),
                Indication::Hold(_) => self.hold(channel, true),
                Indication::Unhold => self.hold(channel, false),
                Indication::Respond { code, phrase } => self.respond(channel, code, &phrase),
                Indication::Redirect(targets) => self.redirect(channel, &targets),
                Indication::Deflect(target) => self.deflect(channel, &target).await,
                Indication::Display { name, number } => self.show_party(channel, &name, &number),
                Indication::Info { content_type, body } => self.send_info(&content_type, body),
                Indication::PhoneEvent(event) => self.phone_event(event),
                Indication::Request(request) => self.send_request(request),
                Indication::Digits(digits) => self.send_digits(channel, &digits),
                Indication::Offer(offer) if !bypass::is_on(channel) => {
                    self.offer_fax(channel, &offer)
                }
                Indication::Offer(offer) => {
                    let offer = crate::proxy::description_through(channel, offer);
                    channel.set_heard_var("rtp_local_sdp_str", &offer.to_string());
                    self.reinvite(&offer)
                }
                Indication::PeerDescription(sdp) => {
                    if !self.answer_fax(channel, sdp.as_deref()) {
                        let sdp = sdp.map(|sdp| crate::proxy::description_through(channel, sdp));
                        self.answer_passed_on(sdp.as_deref());
                    }
                    Ok(())
                }
                Indication::Renegotiate(codecs) => self.renegotiate(channel, codecs.as_deref()),
                Indication::LocalMedia => {
                    Relay::detach(channel);
                    let sdp = self.audio.offer(channel, None).map_err(|_| Cause::NONE)?;
                    self.reinvite(&sdp)
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
            // Only the receipts wait; what they lead to does not, so dropping this loses nothing.
            let event = tokio::select! {
                biased;
                event = signalling => event,
                news = audio.news() => {
                    return match news {
                        News::Media(event) => {
                            if let media::LegEvent::RemoteLatched(from) = &event {
                                super::variables::of_latched(channel, *from);
                            }
                            LegEvent::Media(event)
                        }
                        News::Link(linked) => {
                            linked.note(channel);
                            LegEvent::Other
                        }
                    };
                }
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

/// The session description of an INVITE, if it has one.
pub fn description_of_invite(
    request: &Request,
) -> Result<Option<Arc<SessionDescription>>, SdpError> {
    description_of(&request.body, request.headers.get(Name::ContentType))
}

/// The session description of a body, if it is one or one of its parts is, as the reference's library prints it.
fn description_of(
    body: &[u8],
    content_type: Option<&str>,
) -> Result<Option<Arc<SessionDescription>>, SdpError> {
    let is_sdp = |kind: &str| {
        kind.get(..15).is_some_and(|start| start.eq_ignore_ascii_case("application/sdp"))
    };
    if let Some(parts) = content_type.and_then(|kind| sip::message::parts(kind, body)) {
        let part = parts.iter().find(|part| is_sdp(&part.content_type));
        return part.map_or(Ok(None), |part| description_of(&part.body, None));
    }
    if body.is_empty() || !content_type.is_none_or(is_sdp) {
        return Ok(None);
    }
    let read = SessionDescription::parse(&String::from_utf8_lossy(body))?;
    Ok(Some(Arc::new(negotiation::into_sent(read))))
}

/// The same of a message within a call, where one that cannot be read is as good as none.
fn described(channel: &Channel, message: &Headers, body: &[u8]) -> Option<Arc<SessionDescription>> {
    description_of(body, message.get(Name::ContentType)).unwrap_or_else(|error| {
        tracing::warn!(uuid = %channel.uuid(), "Cannot read the session description: {error}");
        None
    })
}
