//! What the core asks of an endpoint (`sofia`, `loopback`, `user`, `null`, `error`, …) and of one leg of it.

use std::sync::Arc;

use sdp::SessionDescription;

use super::cause::Cause;
use super::channel::Channel;
use super::dialstring::Variables;
use super::profile::CallerProfile;
use super::session::Session;
use super::state::State;
use crate::BoxFuture;

/// A way to reach a far end: everything before the first slash of a dial string names one.
pub trait Endpoint: Send + Sync + 'static {
    /// Does it take apart destinations in which a far end's words are marked ([`base::far`])? Others get them as meant.
    fn reads_marks(&self) -> bool {
        false
    }

    /// The name in dial strings and `show endpoint`.
    fn name(&self) -> &'static str;

    /// The module an administrator knows it by.
    fn module(&self) -> &'static str;

    /// Must a caller have early media before legs of this kind are made for it?
    fn wants_early_media(&self, _caller: &Channel) -> bool {
        false
    }

    /// Makes a leg that has not started yet.
    ///
    /// The channel exists afterwards (in no state, registered nowhere); the caller applies variables and starts it.
    ///
    /// # Errors
    /// The cause with which the attempt ends when no channel can be made at all.
    fn outgoing(&self, call: OutgoingCall) -> BoxFuture<'_, Result<Session, Cause>>;
}

/// What an endpoint needs to make a leg.
#[derive(Clone)]
pub struct OutgoingCall {
    /// The dial string's part after the endpoint's name.
    pub destination: String,
    /// Variables of the dial string that concern this leg (`{}` and `[]` merged, `[]` winning).
    pub variables: Variables,
    /// The caller profile the leg starts with: caller id, ANI, context; the endpoint fills in the rest.
    pub profile: CallerProfile,
    /// The UUID the leg must have (`origination_uuid`).
    pub uuid: Option<String>,
    /// The leg on whose behalf this one is made.
    pub originator: Option<Arc<Channel>>,
}

impl OutgoingCall {
    /// The value of a dial string variable; the last of equal names wins, names in any case.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .iter()
            .rev()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// One leg's connection to the outside. Owned by the channel's task, never shared.
///
/// An implementation marks what it learns on the [`Channel`] (`mark_ring_ready`, `mark_answered`, `hangup`, variables)
/// before it returns the event: the core then only reacts.
pub trait EndpointLeg: Send {
    /// The endpoint's name.
    fn kind(&self) -> &'static str;

    /// The state the leg's life starts in: inbound SIP legs negotiate in [`State::New`], others start in [`State::Init`].
    fn starts_in(&self) -> State {
        State::Init
    }

    /// CS_NEW: what must be known before the leg can be set up (inbound: variables, caller profile, codecs).
    ///
    /// # Errors
    /// The cause to hang up with.
    fn on_new<'a>(&'a mut self, _channel: &'a Arc<Channel>) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async { Ok(()) })
    }

    /// CS_INIT: outbound legs start calling here.
    ///
    /// # Errors
    /// The cause to hang up with.
    fn on_init<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, Result<(), Cause>>;

    /// CS_ROUTING of an inbound leg, before the dialplan is asked (SIP: 100 Trying).
    fn on_routing<'a>(&'a mut self, _channel: &'a Arc<Channel>) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    /// CS_HANGUP: tell the far end. Also sets what only the endpoint knows (`sip_hangup_disposition`, RTP statistics).
    fn on_hangup<'a>(&'a mut self, channel: &'a Arc<Channel>, cause: Cause) -> BoxFuture<'a, ()>;

    /// Tells the far end something, or changes the leg.
    ///
    /// # Errors
    /// The cause to hang up with, or [`Cause::NONE`] when it simply did not work (the call goes on).
    fn indicate<'a>(
        &'a mut self,
        channel: &'a Arc<Channel>,
        what: Indication,
    ) -> BoxFuture<'a, Result<(), Cause>>;

    /// The next thing that happens on the leg. Must be cancel-safe. Never resolves after the leg is gone for good.
    fn event<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, LegEvent>;
}

/// How a transfer goes that a far end asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referral {
    /// It is being tried.
    Trying,
    /// Those transferred are with each other.
    Done,
    /// It may not be, or cannot.
    Forbidden,
    /// The call to be taken over is gone.
    Gone,
    /// The call to be taken over came to nothing.
    Failed(Cause),
}

/// Something to tell the far end.
#[derive(Clone, Debug)]
pub enum Indication {
    /// 180 Ringing (`queued`: 182).
    Ringing {
        /// 182 instead of 180.
        queued: bool,
    },
    /// 183 with SDP; starts media.
    EarlyMedia,
    /// 200; starts media.
    Answer,
    /// Put the far end on hold, with an optional message for its display.
    Hold(Option<String>),
    /// How a transfer goes that the far end asked for.
    Referral {
        /// Number of its request.
        id: u32,
        /// How it goes.
        outcome: Referral,
    },
    /// Take the far end off hold.
    Unhold,
    /// A final or provisional status of the administrator's choice.
    Respond {
        /// SIP status.
        code: u16,
        /// Reason phrase; the standard one when empty.
        phrase: String,
    },
    /// 302 (or 300 for a list) before the answer.
    Redirect(String),
    /// REFER after the answer.
    Deflect(String),
    /// New display of the other party.
    Display {
        /// Name to show.
        name: String,
        /// Number to show.
        number: String,
    },
    /// A mid-call message (`uuid_send_info`).
    Info {
        /// MIME type.
        content_type: String,
        /// Body.
        body: String,
    },
    /// `talk` or `hold`: the phone is to act as if its user had pressed a key (NOTIFY).
    PhoneEvent(String),
    /// A request a program asks for (`sendevent NOTIFY`, `SEND_MESSAGE`, `SEND_INFO`).
    Request(DialogRequest),
    /// Digits to send towards the far end.
    Digits(Vec<Digit>),
    /// Media directly between the far ends (`bypass_media`): what to offer instead of a description of our own.
    Offer(Arc<SessionDescription>),
    /// The other leg's answer to an offer of this leg's far end that was passed on to it; `None` refuses.
    PeerDescription(Option<Arc<SessionDescription>>),
    /// Media through the switch again.
    LocalMedia,
    /// A new offer, of these codecs or those of the last one.
    Renegotiate(Option<String>),
}

/// A request within a call's dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogRequest {
    /// Its method.
    pub method: DialogMethod,
    /// Headers besides those every request has.
    pub headers: Vec<(&'static str, String)>,
    /// MIME type and text.
    pub body: Option<(String, String)>,
}

/// What a [`DialogRequest`] may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogMethod {
    /// INFO.
    Info,
    /// MESSAGE.
    Message,
    /// NOTIFY.
    Notify,
    /// UPDATE.
    Update,
}

/// A digit with its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// `0`-`9`, `*`, `#`, `A`-`D`, `F` (flash), `w`/`W` pauses when sending.
    pub digit: char,
    /// Length in RTP timestamp units of 8 kHz (8 per millisecond).
    pub duration: u32,
    /// Where it came from.
    pub source: DigitSource,
}

/// `DTMF-Source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigitSource {
    /// Heard in the audio.
    Inband,
    /// RFC 4733.
    Rtp,
    /// Signalling.
    Endpoint,
    /// Made by an application or command.
    App,
    /// Not known.
    Unknown,
}

impl DigitSource {
    /// The word on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inband => "INBAND_AUDIO",
            Self::Rtp => "RTP",
            Self::Endpoint => "ENDPOINT",
            Self::App => "APP",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// What happened on a leg. The channel already shows it (marks, variables) when the core gets this.
pub enum LegEvent {
    /// The far end rings.
    Ringing,
    /// Early media flows.
    EarlyMedia,
    /// Answered.
    Answered,
    /// A digit from signalling; those in the media come as [`LegEvent::Media`].
    Digit(Digit),
    /// The media leg has news.
    Media(media::LegEvent),
    /// The far end put us on hold (`true`) or took us off (`false`).
    RemoteHold(bool),
    /// The far end asks for something that is done in the call's task (a transfer of its partner).
    Asks(super::command::Job),
    /// The far end has described its media anew.
    Reinvited,
    /// Nothing the core must act on.
    Other,
}
