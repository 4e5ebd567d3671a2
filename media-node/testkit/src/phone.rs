//! Phones: an endpoint whose far ends do what a test tells them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use media::{Codec, RtpParams, RtpSpec};
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::call::{
    CallerProfile, Cause, Channel, CodecInfo, Digit, DigitSource, Direction, Endpoint, EndpointLeg,
    Indication, LegEvent, OutgoingCall, Session, State,
};
use switch_core::clock;
use switch_core::contract::{EndpointKind, Plain, Provides};
use switch_core::switch::Switch;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::ear::{PAYLOAD_TYPE, SERVER};
use crate::world::Wires;

/// Things a phone is told to do that wait; more would be a mistake of the test.
const ACTS: usize = 64;

/// The module phones belong to.
pub(crate) const MODULE: Plain = Plain::new(
    "mod_phone",
    Provides {
        endpoints: &[EndpointKind {
            name: "phone",
            make: |switch| Arc::new(PhoneEndpoint { switch: Arc::clone(switch) }),
        }],
        ..Provides::NOTHING
    },
);

/// All phones of a world, and how their media gets to them.
#[derive(Default)]
pub(crate) struct Phones {
    all: Mutex<HashMap<String, Arc<Phone>>>,
    wires: Mutex<Option<Arc<Wires>>>,
}

impl Phones {
    pub(crate) fn wire(&self, wires: Arc<Wires>) {
        *self.wires.lock() = Some(wires);
    }

    pub(crate) fn get(switch: &Arc<Switch>, name: &str) -> Arc<Phone> {
        let phones = switch.module::<Self>();
        let mut all = phones.all.lock();
        let make = || {
            Arc::new(Phone {
                name: name.to_owned(),
                switch: Arc::clone(switch),
                script: Mutex::default(),
                calls: Mutex::default(),
                rings: Notify::new(),
            })
        };
        Arc::clone(all.entry(name.to_owned()).or_insert_with(make))
    }

    pub(crate) fn forget(switch: &Arc<Switch>) {
        let phones = switch.module::<Self>();
        phones.all.lock().clear();
        *phones.wires.lock() = None;
    }
}

/// What a phone does with a call, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Lets time pass first.
    Wait(Duration),
    /// Rings (180).
    Ring,
    /// Early media (183).
    Early,
    /// Answers (200).
    Answer,
    /// Ends the call, or refuses it before the answer.
    HangUp(Cause),
    /// Presses keys.
    Press(&'static str),
    /// Puts the call on hold.
    Hold,
    /// Takes it off hold.
    Resume,
}

/// A phone. What calls to it meet is its script; without one they wait for the test.
pub struct Phone {
    name: String,
    switch: Arc<Switch>,
    script: Mutex<Vec<Act>>,
    calls: Mutex<VecDeque<Call>>,
    rings: Notify,
}

impl Phone {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From now on calls to it meet this.
    pub fn does(self: &Arc<Self>, script: &[Act]) -> Arc<Self> {
        *self.script.lock() = script.to_vec();
        Arc::clone(self)
    }

    /// It rings and answers.
    pub fn answers(self: &Arc<Self>) -> Arc<Self> {
        self.does(&[Act::Ring, Act::Answer])
    }

    /// It rings that many seconds and answers then.
    pub fn answers_after(self: &Arc<Self>, seconds: u64) -> Arc<Self> {
        self.does(&[Act::Ring, Act::Wait(Duration::from_secs(seconds)), Act::Answer])
    }

    /// It rings, and the call is not answered.
    pub fn only_rings(self: &Arc<Self>) -> Arc<Self> {
        self.does(&[Act::Ring])
    }

    /// It refuses calls.
    pub fn refuses(self: &Arc<Self>, cause: Cause) -> Arc<Self> {
        self.does(&[Act::HangUp(cause)])
    }

    /// Calls a number in the context `default`.
    pub fn dial(self: &Arc<Self>, number: &str) -> Call {
        self.dialling(number).go()
    }

    /// Prepares a call.
    pub fn dialling(self: &Arc<Self>, number: &str) -> Dialling {
        let mut profile = CallerProfile::new(Direction::Inbound, clock::now_us());
        profile.username.clone_from(&self.name);
        profile.caller_id_name.clone_from(&self.name);
        profile.caller_id_number.clone_from(&self.name);
        profile.ani.clone_from(&self.name);
        profile.destination_number = number.to_owned();
        profile.context = "default".into();
        profile.dialplan = "XML".into();
        profile.source = "mod_phone".into();
        profile.network_addr = "192.0.2.1".into();
        Dialling { phone: Arc::clone(self), profile, variables: Vec::new(), refuses_answer: None }
    }

    /// The oldest call to it that the test has not taken yet; waits for one.
    ///
    /// # Panics
    /// When none comes in two minutes.
    pub async fn rung(&self) -> Call {
        let next = async {
            loop {
                let notified = self.rings.notified();
                if let Some(call) = self.calls.lock().pop_front() {
                    return call;
                }
                notified.await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(120), next).await {
            Ok(call) => call,
            Err(_) => panic!("nobody calls {}", self.name),
        }
    }

    /// Calls to it that the test has not taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.calls.lock().len()
    }
}

/// A call about to be made.
pub struct Dialling {
    phone: Arc<Phone>,
    profile: CallerProfile,
    variables: Vec<(String, String)>,
    refuses_answer: Option<Cause>,
}

impl Dialling {
    /// In that context.
    #[must_use]
    pub fn context(mut self, context: &str) -> Self {
        self.profile.context = context.to_owned();
        self
    }

    /// With that dialplan.
    #[must_use]
    pub fn dialplan(mut self, dialplan: &str) -> Self {
        self.profile.dialplan = dialplan.to_owned();
        self
    }

    /// With a variable.
    #[must_use]
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With those identities.
    #[must_use]
    pub fn from(mut self, name: &str, number: &str) -> Self {
        name.clone_into(&mut self.profile.caller_id_name);
        number.clone_into(&mut self.profile.caller_id_number);
        self
    }

    /// The switch's answer cannot be taken (no common codec, say).
    #[must_use]
    pub fn answer_fails(mut self, cause: Cause) -> Self {
        self.refuses_answer = Some(cause);
        self
    }

    /// Makes the call.
    ///
    /// # Panics
    /// When the switch takes no more calls.
    #[must_use]
    pub fn go(self) -> Call {
        let name = format!("phone/{}", self.phone.name);
        self.try_go().unwrap_or_else(|cause| panic!("{name} cannot call: {cause}"))
    }

    /// Makes the call, if the switch takes it.
    ///
    /// # Errors
    /// The cause the switch refuses with.
    pub fn try_go(self) -> Result<Call, Cause> {
        let Self { phone, mut profile, variables, refuses_answer } = self;
        let name = format!("phone/{}", phone.name);
        let (channel, inbox) = phone.switch.new_channel(Direction::Inbound, name.clone(), None)?;
        profile.uuid = channel.uuid().to_string();
        profile.chan_name = name;
        channel.with(|data| data.profile = Some(profile));
        for (name, value) in variables {
            channel.set_var_as_is(name, value);
        }
        let (mut leg, call) = PhoneLeg::new(&phone, &channel, Vec::new())?;
        leg.refuses_answer = refuses_answer;
        phone.switch.add_channel(&channel)?;
        Session::new(channel, Box::new(leg), inbox).start();
        Ok(call)
    }
}

/// One call as its phone sees it.
#[derive(Clone)]
pub struct Call {
    /// The switch's side of it.
    pub channel: Arc<Channel>,
    acts: mpsc::Sender<Act>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Call {
    /// The leg's UUID.
    #[must_use]
    pub fn uuid(&self) -> &str {
        self.channel.uuid()
    }

    /// Does something with the call.
    ///
    /// # Panics
    /// When the phone has too much to do already.
    pub fn act(&self, act: Act) {
        if let Err(mpsc::error::TrySendError::Full(act)) = self.acts.try_send(act) {
            panic!("{} is too busy for {act:?}", self.channel.name());
        }
    }

    /// Rings.
    pub fn ring(&self) {
        self.act(Act::Ring);
    }

    /// Answers.
    pub fn answer(&self) {
        self.act(Act::Answer);
    }

    /// Hangs up, or refuses.
    pub fn hang_up(&self) {
        self.act(Act::HangUp(Cause::NORMAL_CLEARING));
    }

    /// Presses keys.
    pub fn press(&self, keys: &'static str) {
        self.act(Act::Press(keys));
    }

    /// What the switch told the phone so far: `ringing`, `answer`, `digits 12`, `hangup NORMAL_CLEARING`, …
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        self.told.lock().clone()
    }

    /// Was the phone told that?
    #[must_use]
    pub fn was_told(&self, what: &str) -> bool {
        self.told.lock().iter().any(|told| told == what)
    }

    /// Is the leg up and bridged?
    #[must_use]
    pub fn is_bridged(&self) -> bool {
        self.channel.is_up() && self.channel.partner().is_some()
    }

    /// A variable, as the dialplan sees it.
    #[must_use]
    pub fn var(&self, name: &str) -> String {
        self.channel.var(name).unwrap_or_default()
    }

    /// Why it ended; `None` while it is up.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.channel.cause()
    }
}

struct PhoneEndpoint {
    switch: Arc<Switch>,
}

impl Endpoint for PhoneEndpoint {
    fn name(&self) -> &'static str {
        "phone"
    }

    fn module(&self) -> &'static str {
        "mod_phone"
    }

    fn outgoing(&self, call: OutgoingCall) -> BoxFuture<'_, Result<Session, Cause>> {
        Box::pin(async move {
            let phone = Phones::get(&self.switch, &call.destination);
            let name = format!("phone/{}", call.destination);
            let (channel, inbox) =
                self.switch.new_channel(Direction::Outbound, name.clone(), call.uuid.as_deref())?;
            let mut profile = call.profile;
            profile.destination_number.clone_from(&call.destination);
            profile.uuid = channel.uuid().to_string();
            profile.chan_name = name;
            profile.source = "mod_phone".into();
            if profile.callee_id_number.is_empty() {
                profile.callee_id_number = call.destination;
            }
            channel.with(|data| data.profile = Some(profile));
            let script = phone.script.lock().clone();
            let (leg, call) = PhoneLeg::new(&phone, &channel, script)?;
            phone.calls.lock().push_back(call);
            phone.rings.notify_one();
            Ok(Session::new(channel, Box::new(leg), inbox))
        })
    }
}

struct PhoneLeg {
    script: VecDeque<Act>,
    /// Until when the script rests.
    rests: Option<Instant>,
    acts: mpsc::Receiver<Act>,
    keys: VecDeque<char>,
    told: Arc<Mutex<Vec<String>>>,
    media: Option<media::LegEvents>,
    wires: Option<Arc<Wires>>,
    voice: usize,
    refuses_answer: Option<Cause>,
}

impl PhoneLeg {
    fn new(phone: &Phone, channel: &Arc<Channel>, script: Vec<Act>) -> Result<(Self, Call), Cause> {
        let (sender, acts) = mpsc::channel(ACTS);
        let told = Arc::<Mutex<Vec<String>>>::default();
        let call = Call { channel: Arc::clone(channel), acts: sender, told: Arc::clone(&told) };
        let wires = phone.switch.module::<Phones>().wires.lock().clone();
        let mut leg = Self {
            script: script.into(),
            rests: None,
            acts,
            keys: VecDeque::new(),
            told,
            media: None,
            wires,
            voice: 0,
            refuses_answer: None,
        };
        if let Some(wires) = &leg.wires {
            let mut spec = RtpSpec::new(SERVER);
            spec.rtcp = false;
            let opened = phone.switch.media.open_rtp(spec);
            let (media, events) = opened.map_err(|_| Cause::NORMAL_TEMPORARY_FAILURE)?;
            leg.voice = wires.connect(&phone.name, media.rtp_port());
            leg.media = Some(events);
            channel.with(|data| data.media = Some(Arc::new(media)));
        }
        Ok((leg, call))
    }

    fn note(&self, what: impl Into<String>) {
        self.told.lock().push(what.into());
    }

    /// Media flows from now on.
    fn talk(&self, channel: &Channel) {
        if channel.with(|data| data.read_codec.is_some()) {
            return;
        }
        channel.set_codecs(&CodecInfo {
            name: "L16".into(),
            rate: 8000,
            bit_rate: 128_000,
            ptime: 20,
        });
        if let (Some(wires), Some(media)) = (&self.wires, channel.media()) {
            let mut params = RtpParams::new(Codec::L16_8K, PAYLOAD_TYPE);
            params.remote = wires.address(self.voice);
            let _full = media.set_rtp(params);
        }
    }

    fn perform(&mut self, channel: &Arc<Channel>, act: Act) -> LegEvent {
        match act {
            Act::Wait(time) => {
                self.rests = Some(Instant::now() + time);
                LegEvent::Other
            }
            Act::Ring => {
                channel.mark_ring_ready();
                LegEvent::Ringing
            }
            Act::Early => {
                self.talk(channel);
                channel.mark_pre_answered();
                LegEvent::EarlyMedia
            }
            Act::Answer if channel.is_answered() => LegEvent::Other,
            Act::Answer => {
                self.talk(channel);
                channel.mark_answered();
                LegEvent::Answered
            }
            Act::HangUp(cause) => {
                channel.hangup(cause);
                LegEvent::Other
            }
            Act::Press(keys) => {
                self.keys.extend(keys.chars());
                LegEvent::Other
            }
            Act::Hold => LegEvent::RemoteHold(true),
            Act::Resume => LegEvent::RemoteHold(false),
        }
    }
}

impl Drop for PhoneLeg {
    fn drop(&mut self) {
        if let Some(wires) = &self.wires {
            wires.disconnect(self.voice);
        }
    }
}

async fn next_media(media: Option<&mut media::LegEvents>) -> media::LegEvent {
    match media {
        Some(media) => match media.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

impl EndpointLeg for PhoneLeg {
    fn kind(&self) -> &'static str {
        "phone"
    }

    fn starts_in(&self) -> State {
        State::New
    }

    fn on_init<'a>(&'a mut self, _channel: &'a Arc<Channel>) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async { Ok(()) })
    }

    fn on_hangup<'a>(&'a mut self, _channel: &'a Arc<Channel>, cause: Cause) -> BoxFuture<'a, ()> {
        self.note(format!("hangup {cause}"));
        Box::pin(async {})
    }

    fn indicate<'a>(
        &'a mut self,
        channel: &'a Arc<Channel>,
        what: Indication,
    ) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            match what {
                Indication::Ringing { queued: false } => self.note("ringing"),
                Indication::Ringing { queued: true } => self.note("queued"),
                Indication::EarlyMedia => {
                    self.note("early");
                    self.talk(channel);
                }
                Indication::Answer => {
                    if let Some(cause) = self.refuses_answer {
                        return Err(cause);
                    }
                    self.note("answer");
                    self.talk(channel);
                }
                Indication::Digits(digits) => {
                    let keys: String = digits.iter().map(|digit| digit.digit).collect();
                    self.note(format!("digits {keys}"));
                }
                Indication::Display { name, number } => {
                    self.note(format!("display {name} <{number}>"));
                }
                Indication::Hold(_) => self.note("hold"),
                Indication::Unhold => self.note("unhold"),
                Indication::Respond { code, phrase } => {
                    self.note(format!("respond {code} {phrase}"));
                    channel.hangup(Cause::NORMAL_CLEARING);
                }
                Indication::Redirect(to) => self.note(format!("redirect {to}")),
                Indication::Deflect(to) => self.note(format!("deflect {to}")),
                Indication::Info { content_type, body } => {
                    self.note(format!("info {content_type} {body}"));
                }
                Indication::PhoneEvent(event) => self.note(format!("event {event}")),
                other => self.note(format!("{other:?}")),
            }
            Ok(())
        })
    }

    fn event<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, LegEvent> {
        Box::pin(async move {
            if let Some(digit) = self.keys.pop_front() {
                return LegEvent::Digit(Digit {
                    digit,
                    duration: 2000,
                    source: DigitSource::Endpoint,
                });
            }
            loop {
                let rests = self.rests;
                if rests.is_none()
                    && let Some(act) = self.script.pop_front()
                {
                    return self.perform(channel, act);
                }
                let rest = async {
                    match rests {
                        Some(until) => tokio::time::sleep_until(until).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    Some(act) = self.acts.recv() => return self.perform(channel, act),
                    event = next_media(self.media.as_mut()) => return LegEvent::Media(event),
                    () = rest => self.rests = None,
                }
            }
        })
    }
}
