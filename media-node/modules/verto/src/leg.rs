//! A call's side towards its browser: offers and answers travel in messages of the client that bears the call's session.

use std::collections::VecDeque;
use std::sync::Arc;

use base::far;
use leg_media::{LegMedia, News};
use media::dtmf::DigitStep;
use sdp::SessionDescription;
use serde_json::Value;
use switch_core::BoxFuture;
use switch_core::call::description::OF_FAR_END;
use switch_core::call::{
    Cause, Channel, Digit, DigitSource, Direction, EndpointLeg, Indication, LegEvent, State,
};
use tokio::sync::{mpsc, oneshot};

use crate::client::{Client, Login};
use crate::hub::{Call, Hub};
use crate::rpc::Object;
use crate::said;

/// Orders that wait for a call.
pub(crate) const ORDERS: usize = 32;
/// Keys that wait for a call.
const MOST_DIGITS: usize = 128;
/// Length of a key pressed in a message, as the reference's default.
const DIGIT: u32 = 2000;

/// Why an order was not done: the message the client is told.
pub(crate) type Refusal = &'static str;

/// What a client asks of a call.
pub(crate) enum Order {
    /// It answers.
    Answer(Box<Answer>),
    /// It answers the offer of a `verto.attach`.
    Attach(String, oneshot::Sender<Result<(), Refusal>>),
    /// It describes its media anew; it is told ours.
    Update(String, oneshot::Sender<Result<String, Refusal>>),
    /// It is back: make it an offer.
    Reattach(oneshot::Sender<Result<(), Refusal>>),
    /// Its user pressed keys.
    Digits(String),
}

/// An answer, and whom it says has answered.
pub(crate) struct Answer {
    pub(crate) sdp: String,
    pub(crate) callee_name: Option<String>,
    pub(crate) callee_number: Option<String>,
    pub(crate) reply: oneshot::Sender<Result<(), Refusal>>,
}

/// How far the signalling went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Nothing,
    EarlyMedia,
    Answered,
}

/// The leg.
pub(crate) struct VertoLeg {
    hub: Arc<Hub>,
    session: String,
    direction: Direction,
    audio: LegMedia,
    inbound_codecs: String,
    outbound_codecs: String,
    orders: mpsc::Receiver<Order>,
    digits: VecDeque<Digit>,
    progress: Progress,
}

impl VertoLeg {
    /// The leg of a call of that session.
    pub(crate) fn new(
        hub: Arc<Hub>,
        client: &Client,
        direction: Direction,
        audio: LegMedia,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        let settings = &client.profile.settings;
        Self {
            hub,
            session: client.session(),
            direction,
            audio,
            inbound_codecs: settings.media.inbound_codecs.clone(),
            outbound_codecs: settings.outbound_codecs.clone(),
            orders,
            digits: VecDeque::new(),
            progress: Progress::Nothing,
        }
    }

    /// Tells the client. `Err` when it is not there, or does not read.
    fn tell(&self, method: &str, params: Object) -> Result<(), Cause> {
        let client = self.hub.client(&self.session).ok_or(Cause::DESTINATION_OUT_OF_ORDER)?;
        match client.send(self.hub.request(method, params)) {
            true => Ok(()),
            false => Err(Cause::DESTINATION_OUT_OF_ORDER),
        }
    }

    /// An offer in a `verto.invite` or `verto.attach`.
    fn send_offer(&self, channel: &Channel, method: &str) -> Result<(), Cause> {
        let mut params = params_of(channel);
        params.insert("variables".into(), variables(channel));
        params.insert("sdp".into(), self.audio.local_in_full().into());
        add_parties(&mut params, channel);
        self.tell(method, params)
    }

    async fn start_outbound(&mut self, channel: &Arc<Channel>) -> Result<(), Cause> {
        if !self.hub.track(&self.session, channel.uuid()) {
            return Err(Cause::USER_BUSY);
        }
        channel.set_var("media_webrtc", "true");
        channel.unset_var("codec_string");
        let near = channel.var("originating_leg_uuid");
        let near = near.and_then(|uuid| channel.switch().channel(&uuid));
        self.audio.use_codecs(channel, &self.outbound_codecs);
        self.audio.gather(channel, near.as_deref()).await?;
        self.audio.offer(channel, near.as_deref())?;
        self.send_offer(channel, "verto.invite")?;
        channel.mark_ring_ready();
        Ok(())
    }

    /// Our answer, for a `verto.media` or `verto.answer`.
    async fn local_description(&mut self, channel: &Channel, last: bool) -> Result<String, Cause> {
        if !self.audio.has_remote_offer() {
            let Some(offer) = channel.description(OF_FAR_END) else {
                return Err(Cause::INCOMPATIBLE_DESTINATION);
            };
            // What the far end offered stays shown, not only what is taken of it.
            let offered = channel.var("ep_codec_string");
            self.audio.consider_late(channel, &offer, &self.inbound_codecs)?;
            if let Some(offered) = offered {
                channel.set_var("ep_codec_string", offered);
            }
        }
        let near = channel.partner();
        self.audio.gather(channel, near.as_deref()).await?;
        self.audio.answer(channel, near.as_deref(), last)?;
        Ok(self.audio.local_in_full())
    }

    /// Tells of early media or of the answer; the description goes with the first of the two.
    async fn send_media(
        &mut self,
        channel: &Channel,
        method: &str,
        last: bool,
    ) -> Result<(), Cause> {
        let described = self.progress == Progress::Nothing;
        let description = self.local_description(channel, last).await?;
        let mut params = params_of(channel);
        if described {
            params.insert("sdp".into(), description.into());
        }
        params.insert("variables".into(), variables(channel));
        self.tell(method, params)
    }

    async fn answer_inbound(&mut self, channel: &Arc<Channel>) -> Result<(), Cause> {
        channel.set_var("endpoint_disposition", "ANSWERED");
        self.send_media(channel, "verto.answer", true).await?;
        self.progress = Progress::Answered;
        if self.audio.awaits_keys() {
            channel.mark_pre_answered();
        }
        self.await_keys(channel).await;
        if channel.is_up() {
            channel.mark_answered();
        } else {
            channel.tell_answer();
        }
        Ok(())
    }

    /// As in the reference the call counts as answered, and goes on, when what is said in it can be heard.
    async fn await_keys(&mut self, channel: &Arc<Channel>) {
        let mut marks = channel.watch();
        while channel.is_up() && self.audio.awaits_keys() {
            let Self { orders, audio, .. } = self;
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => {
                        let _nothing_to_tell = self.on_order(channel, order);
                    }
                    None => return,
                },
                linked = audio.link_news() => linked.note(channel),
                changed = marks.changed() => if changed.is_err() { return },
            }
        }
    }

    fn on_order(&mut self, channel: &Arc<Channel>, order: Order) -> LegEvent {
        match order {
            Order::Digits(text) => {
                let room = MOST_DIGITS.saturating_sub(self.digits.len());
                self.digits.extend(digits(&text).take(room));
                LegEvent::Other
            }
            Order::Answer(answer) => self.on_answer(channel, *answer),
            Order::Attach(sdp, reply) => {
                let _gone = reply.send(self.on_attach(channel, &sdp));
                LegEvent::Other
            }
            Order::Update(sdp, reply) => {
                let _gone = reply.send(self.on_update(channel, &sdp));
                LegEvent::Other
            }
            Order::Reattach(reply) => {
                let _gone = reply.send(self.reattach(channel).map_err(|_| "MEDIA ERROR"));
                LegEvent::Other
            }
        }
    }

    fn on_answer(&mut self, channel: &Arc<Channel>, answer: Answer) -> LegEvent {
        let Answer { sdp, callee_name, callee_number, reply } = answer;
        if self.direction == Direction::Inbound || self.progress == Progress::Answered {
            let _gone = reply.send(Err("CODEC ERROR"));
            return LegEvent::Other;
        }
        let accepted = describe(channel, &sdp).and_then(|sdp| {
            self.audio.show_offered(channel, &sdp);
            self.audio.accept(channel, &sdp).map_err(|_| "CODEC ERROR")
        });
        if let Err(refusal) = accepted {
            channel.set_var("endpoint_disposition", "CODEC NEGOTIATION ERROR");
            let _gone = reply.send(Err(refusal));
            return LegEvent::Other;
        }
        channel.with(|data| {
            let Some(profile) = &mut data.profile else { return };
            for (field, value) in
                [("callee_id_name", callee_name), ("callee_id_number", callee_number)]
            {
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    let value = match field {
                        "callee_id_name" => base::text::harmless_name(&value).into_owned(),
                        _ => base::text::harmless_number(&value).into_owned(),
                    };
                    profile.set_field(field, &far::mark(&value));
                }
            }
        });
        self.progress = Progress::Answered;
        channel.mark_answered();
        let _gone = reply.send(Ok(()));
        LegEvent::Answered
    }

    fn on_attach(&mut self, channel: &Arc<Channel>, sdp: &str) -> Result<(), Refusal> {
        let sdp = describe(channel, sdp)?;
        self.audio.accept_again(channel, &sdp).map_err(|_| "CODEC NEGOTIATION ERROR").inspect_err(
            |_| {
                channel.set_var("endpoint_disposition", "CODEC NEGOTIATION ERROR");
                channel.hangup(Cause::BEARERCAPABILITY_NOTAVAIL);
            },
        )
    }

    fn on_update(&mut self, channel: &Arc<Channel>, sdp: &str) -> Result<String, Refusal> {
        let sdp = Arc::new(describe(channel, sdp)?);
        let again = self.audio.consider_again(channel, &sdp);
        let answer = again.and_then(|again| self.audio.answer_again(channel, &again));
        answer.map(|_| self.audio.local_in_full()).map_err(|_| {
            channel.set_var("endpoint_disposition", "CODEC NEGOTIATION ERROR");
            "CODEC NEGOTIATION ERROR"
        })
    }

    /// Makes the client an offer for a call that goes on in a page that was loaded again.
    fn reattach(&mut self, channel: &Arc<Channel>) -> Result<(), Cause> {
        self.audio.offer_anew(channel)?;
        self.send_offer(channel, "verto.attach")
    }

    /// Digits to the far end, which takes them in its media only.
    fn send_digits(channel: &Channel, digits: &[Digit]) -> Result<(), Cause> {
        let media = channel.media().ok_or(Cause::NONE)?;
        let steps = digits
            .iter()
            .flat_map(|digit| media::dtmf::parse_digits(&digit.digit.to_string(), digit.duration));
        media.send_dtmf(steps.collect()).map_err(|_| Cause::NONE)
    }
}

impl EndpointLeg for VertoLeg {
    fn kind(&self) -> &'static str {
        crate::endpoint::NAME
    }

    fn starts_in(&self) -> State {
        State::Init
    }

    fn on_init<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            match self.direction {
                Direction::Inbound => Ok(()),
                Direction::Outbound => self.start_outbound(channel).await,
            }
        })
    }

    fn on_hangup<'a>(&'a mut self, channel: &'a Arc<Channel>, cause: Cause) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.hub.untrack(&self.session, channel.uuid());
            let told = channel.with(|data| data.slot::<Call>().ended_by_client);
            if !told && self.hub.client(&self.session).is_some() {
                channel.set_var("verto_hangup_disposition", "send_bye");
                let mut params = params_of(channel);
                params.insert("causeCode".into(), cause.number().into());
                params.insert("cause".into(), cause.name().into());
                let _gone = self.tell("verto.bye", params);
            }
            switch_core::call::statistics::set(channel);
        })
    }

    fn indicate<'a>(
        &'a mut self,
        channel: &'a Arc<Channel>,
        what: Indication,
    ) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            let inbound = self.direction == Direction::Inbound;
            match what {
                Indication::Answer if inbound => self.answer_inbound(channel).await,
                Indication::EarlyMedia if inbound => {
                    self.send_media(channel, "verto.media", false).await?;
                    self.progress = self.progress.max(Progress::EarlyMedia);
                    channel.set_var("endpoint_disposition", "EARLY MEDIA");
                    channel.mark_pre_answered();
                    Ok(())
                }
                // Browsers are not told of ringing or of hold, as in the reference.
                Indication::Answer
                | Indication::EarlyMedia
                | Indication::Ringing { .. }
                | Indication::Hold(_)
                | Indication::Unhold
                | Indication::LocalMedia => Ok(()),
                Indication::Display { name, number } => {
                    channel.set_var("last_sent_display_name", far::mark(&name));
                    channel.set_var("last_sent_display_number", far::mark(&number));
                    self.show(channel, name, number)
                }
                Indication::Digits(digits) => Self::send_digits(channel, &digits),
                Indication::Renegotiate(_) if channel.is_answered() => self.reattach(channel),
                _ => Err(Cause::NONE),
            }
        })
    }

    fn event<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, LegEvent> {
        Box::pin(async move {
            if let Some(digit) = self.digits.pop_front() {
                return LegEvent::Digit(digit);
            }
            let Self { orders, audio, .. } = self;
            // Only the receipts wait; what they lead to does not, so dropping this loses nothing.
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.on_order(channel, order),
                    // The sender lives as long as the channel.
                    None => std::future::pending().await,
                },
                news = audio.news() => match news {
                    News::Media(event) => LegEvent::Media(event),
                    News::Link(linked) => {
                        linked.note(channel);
                        LegEvent::Other
                    }
                },
            }
        })
    }
}

impl VertoLeg {
    fn show(&self, channel: &Channel, name: String, number: String) -> Result<(), Cause> {
        let mut params = params_of(channel);
        params.insert("display_name".into(), name.into());
        params.insert("display_number".into(), number.into());
        add_parties(&mut params, channel);
        self.tell("verto.display", params).map_err(|_| Cause::NONE)
    }
}

/// Shows the far end's description, and reads it.
fn describe(channel: &Channel, sdp: &str) -> Result<SessionDescription, Refusal> {
    let read = SessionDescription::parse(sdp).map_err(|error| {
        tracing::warn!(uuid = %channel.uuid(), "Cannot read the session description: {error}");
        "CODEC ERROR"
    })?;
    let read = negotiation::into_sent(read);
    show_description(channel, Arc::new(read.clone()), sdp);
    Ok(read)
}

/// Keeps what the far end says of its media, and shows it as it came.
pub(crate) fn show_description(channel: &Channel, read: Arc<SessionDescription>, sdp: &str) {
    channel.set_description(OF_FAR_END, read);
    channel.set_var(OF_FAR_END, far::mark(sdp));
}

/// The keys of a text.
fn digits(text: &str) -> impl Iterator<Item = Digit> {
    media::dtmf::parse_digits(text, DIGIT).into_iter().filter_map(|step| match step {
        DigitStep::Press { digit, duration } => {
            Some(Digit { digit: digit.as_char(), duration, source: DigitSource::Endpoint })
        }
        DigitStep::Pause { .. } => None,
    })
}

fn params_of(channel: &Channel) -> Object {
    let mut params = Object::new();
    params.insert("callID".into(), channel.uuid().to_string().into());
    params
}

/// What a message tells of the call: the block every event has, as in the reference, and the variables meant for it.
fn variables(channel: &Channel) -> Value {
    let mut event = esl_server::event::Event::new(esl_server::event::EventName::ChannelData);
    esl_server::stamp!(channel.switch().bus, &mut event);
    let mut variables: Object = serde_json::from_slice(&event.json()).unwrap_or_default();
    for (name, value) in channel.vars().iter().filter(|(name, _)| name.starts_with("verto_svar_")) {
        variables.insert(name.to_owned(), value.text().into_owned().into());
    }
    Value::Object(variables)
}

/// Who talks to whom, and what is meant for the client (`verto_h_…`).
fn add_parties(params: &mut Object, channel: &Channel) {
    for name in ["caller_id_name", "caller_id_number", "callee_id_name", "callee_id_number"] {
        if let Some(value) = channel.var(name) {
            params.insert(name.into(), value.into());
        }
    }
    params.insert("display_direction".into(), channel.direction().name().into());
    for (name, value) in channel.vars().iter() {
        if name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("verto_h_")) {
            params.insert(name.to_owned(), value.text().into_owned().into());
        }
    }
}

/// Variables that tell whose call it is.
pub(crate) fn show_owner(channel: &Channel, client: &Client, login: &Login) {
    for (name, value) in [
        ("verto_user", login.uid.clone()),
        ("presence_id", login.uid.clone()),
        ("verto_client_address", client.name()),
        ("chat_proto", "verto".to_owned()),
        ("verto_host", login.domain.clone()),
    ] {
        if !value.is_empty() {
            said(channel, name, &value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_message_are_read_and_bounded() {
        let keys = |text: &str| -> String { digits(text).map(|digit| digit.digit).collect() };
        assert_eq!(keys("12#*w9"), "12#*9");
        assert_eq!(keys("~5"), "5");
        assert_eq!(keys(&"1".repeat(10_000)).len(), media::dtmf::MAX_STEPS);
    }
}
