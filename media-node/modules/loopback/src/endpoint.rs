//! `loopback/<number>[/<context>[/<dialplan>]]` and `loopback/app=<app>:<argument>`: a pair of legs wired to each other.
//!
//! Leg `-a` is the outbound one the caller gets; leg `-b` is inbound and runs the dialplan (or the application).

mod bowout;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::far;
use tokio::sync::mpsc;

use self::bowout::Bowout;
use crate::BoxFuture;
use crate::call::dialstring::Variables;
use crate::call::links::Link;
use crate::call::profile::Times;
use crate::call::{
    CallerProfile, Cause, Channel, CodecInfo, Direction, Endpoint, EndpointLeg, Extension,
    Indication, LegEvent, OutgoingCall, Session, State,
};
use crate::clock;
use crate::switch::Switch;

pub struct LoopbackEndpoint {
    switch: Arc<Switch>,
}

impl LoopbackEndpoint {
    /// The endpoint of that switch.
    #[must_use]
    pub fn new(switch: Arc<Switch>) -> Self {
        Self { switch }
    }
}

/// News that travel from one leg to the other; a handful per call.
const NEWS: usize = 16;

/// `Caller-Source` of both legs.
const SOURCE: &str = "mod_loopback";

#[derive(Debug)]
enum News {
    Ringing,
    EarlyMedia,
    Answered,
    Hangup(Cause),
}

impl Endpoint for LoopbackEndpoint {
    fn name(&self) -> &'static str {
        "loopback"
    }

    fn module(&self) -> &'static str {
        "mod_loopback"
    }

    fn reads_marks(&self) -> bool {
        true
    }

    fn wants_early_media(&self, caller: &Channel) -> bool {
        !caller.is_true("loopback_no_pre_answer")
    }

    fn outgoing(&self, call: OutgoingCall) -> BoxFuture<'_, Result<Session, Cause>> {
        Box::pin(async move { self.make(call) })
    }
}

impl LoopbackEndpoint {
    fn make(&self, call: OutgoingCall) -> Result<Session, Cause> {
        let target = Target::parse(&call.destination, call.originator.as_deref(), &call.profile);
        let (a, a_inbox) = self.switch.new_channel(
            Direction::Outbound,
            format!("loopback/{}-a", far::plain(&target.number)),
            call.uuid.as_deref(),
        )?;
        let ((a_media, a_events), (b_media, b_events)) = self
            .switch
            .media
            .open_pair(media::PairSpec::default())
            .map_err(|_| Cause::NORMAL_TEMPORARY_FAILURE)?;
        a.with(|data| data.media = Some(Arc::new(a_media)));
        a.set_var("channel_name", a.name());
        a.set_vars([("loopback_leg", "A".to_owned()), ("is_loopback", "1".to_owned())]);
        if let Some(from) = &call.originator {
            a.set_var("loopback_from_uuid", &**from.uuid());
        }
        let mut profile = call.profile;
        profile.uuid = a.uuid().to_string();
        profile.chan_name = a.name();
        profile.source = SOURCE.into();
        profile.set_field("destination_number", &target.number);
        profile.context.clone_from(&target.context);
        if let Some((app, argument)) = &target.app {
            a.set_var("loopback_app", app.as_str());
            a.set_var("loopback_app_arg", argument.as_str());
        }
        if profile.callee_id_number.is_empty() {
            // The reference takes what follows the last slash, be it number or context.
            let last = call.destination.rsplit('/').next().unwrap_or_default();
            profile.set_field("callee_id_number", last);
        }
        a.with(|data| data.profile = Some(profile));
        announce_codec(&a);
        let (to_a, from_b) = mpsc::channel(NEWS);
        let (to_b, from_a) = mpsc::channel(NEWS);
        let variables = call.variables;
        let b_half = BHalf { target, variables, media: b_media, events: b_events, to_a, from_a };
        let leg = LoopLeg {
            events: a_events,
            peer: to_b,
            news: from_b,
            b: Some(b_half),
            waiting: None,
            told: AtomicBool::new(false),
            bowout: Some(Bowout::default()),
        };
        Ok(Session::new(a, Box::new(leg), a_inbox))
    }
}

/// Where leg `-b` goes.
#[derive(Clone, Debug)]
struct Target {
    number: String,
    context: String,
    dialplan: String,
    app: Option<(String, String)>,
}

impl Target {
    fn parse(text: &str, originator: Option<&Channel>, profile: &CallerProfile) -> Self {
        let from = originator.map(Channel::profile);
        let inherited = |field: fn(&CallerProfile) -> &String| {
            from.as_ref()
                .map(field)
                .or(Some(field(profile)))
                .filter(|text| !text.is_empty())
                .cloned()
        };
        if let Some(app) = text.strip_prefix("app=") {
            let (app, argument) = app.split_once(':').unwrap_or((app, ""));
            return Self {
                number: far::plain(app).into_owned(),
                context: inherited(|profile| &profile.context).unwrap_or_else(|| "default".into()),
                dialplan: "inline".into(),
                app: Some((app.to_owned(), argument.to_owned())),
            };
        }
        let mut parts = text.splitn(3, '/');
        let number = parts.next().unwrap_or_default().to_owned();
        let mut part = || {
            parts.next().filter(|text| !text.is_empty()).map(|text| far::plain(text).into_owned())
        };
        let (context, dialplan) = (part(), part());
        Self {
            number,
            context: context
                .or_else(|| inherited(|profile| &profile.context))
                .unwrap_or_else(|| "default".into()),
            dialplan: dialplan
                .or_else(|| inherited(|profile| &profile.dialplan))
                .unwrap_or_else(|| "XML".into()),
            app: None,
        }
    }
}

/// What leg `-b` will be made of once leg `-a` starts.
struct BHalf {
    target: Target,
    variables: Variables,
    media: media::Leg,
    events: media::LegEvents,
    to_a: mpsc::Sender<News>,
    from_a: mpsc::Receiver<News>,
}

struct LoopLeg {
    events: media::LegEvents,
    peer: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
    b: Option<BHalf>,
    waiting: Option<Session>,
    told: AtomicBool,
    /// Leg `-a` watches for the moment the pair is no longer needed.
    bowout: Option<Bowout>,
}

impl LoopLeg {
    fn tell(&self, news: News) {
        let _gone = self.peer.try_send(news);
    }

    /// Makes leg `-b`; it starts once leg `-a` has been announced.
    fn make_b(a: &Arc<Channel>, half: BHalf) -> Result<Session, Cause> {
        let switch = a.switch();
        let BHalf { target, variables, media, events, to_a, from_a } = half;
        let name = format!("loopback/{}-b", far::plain(&target.number));
        let (b, inbox) = switch.new_channel(Direction::Inbound, name.clone(), None)?;
        b.set_var("channel_name", name.clone());
        b.set_vars([
            ("loopback_leg", "B".to_owned()),
            ("is_loopback", "1".to_owned()),
            ("other_loopback_leg_uuid", a.uuid().to_string()),
        ]);
        a.link(Link::LoopbackOther, &b);
        if let Some(from) = a.var("loopback_from_uuid") {
            b.set_var("other_loopback_from_uuid", from);
        }
        let mut profile = a.profile();
        profile.times = Times::at(clock::now_us());
        let own = &mut *profile;
        own.direction = Direction::Inbound;
        own.logical_direction = Direction::Inbound;
        own.dialplan.clone_from(&target.dialplan);
        own.context.clone_from(&target.context);
        own.uuid = b.uuid().to_string();
        own.chan_name = name;
        own.source = SOURCE.into();
        own.callee_id_name.clear();
        own.callee_id_number.clear();
        profile.set_field("destination_number", &target.number);
        b.with(|data| {
            data.profile = Some(profile);
            data.media = Some(Arc::new(media));
            data.state = State::Init;
            if let Some((app, argument)) = target.app {
                let steps = [("pre_answer", ""), (&app, &argument)];
                data.begin_extension(Extension::new(app.as_str(), app.as_str(), steps));
            }
        });
        for (name, _) in a.vars().iter() {
            if is_exported(a, name)
                && let Some(value) = a.var_marked(name)
            {
                b.set_var_as_is(name.to_owned(), value);
            }
        }
        for (name, value) in variables.iter().filter(|(name, _)| !name.starts_with("origination_"))
        {
            // Leg `-a` was given the same, and knows what of it a far end said.
            let marked = a.var_marked(name).filter(|marked| far::plain(marked) == value.as_str());
            b.set_var(name.clone(), marked.unwrap_or_else(|| value.clone()));
        }
        switch.add_channel(&b)?;
        let leg = Self {
            events,
            peer: to_a,
            news: from_a,
            b: None,
            waiting: None,
            told: AtomicBool::new(false),
            bowout: None,
        };
        Ok(Session::new(b, Box::new(leg), inbox))
    }
}

fn is_exported(channel: &Channel, name: &str) -> bool {
    channel
        .var("export_vars")
        .is_some_and(|list| list.split(',').any(|item| item.eq_ignore_ascii_case(name)))
}

fn announce_codec(channel: &Channel) {
    channel.set_codecs(&CodecInfo { name: "L16".into(), rate: 8000, bit_rate: 128_000, ptime: 20 });
}

impl EndpointLeg for LoopLeg {
    fn kind(&self) -> &'static str {
        "loopback"
    }

    fn on_init<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            match self.b.take() {
                Some(half) => {
                    self.waiting = Some(Self::make_b(channel, half)?);
                    Ok(())
                }
                None => Ok(()),
            }
        })
    }

    fn on_hangup<'a>(&'a mut self, _channel: &'a Arc<Channel>, cause: Cause) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(b) = self.waiting.take() {
                // Made but never started: it still has to end.
                b.channel().hangup(cause);
                b.start();
            }
            if !self.told.swap(true, Ordering::Relaxed) {
                self.tell(News::Hangup(cause));
            }
        })
    }

    fn indicate<'a>(
        &'a mut self,
        channel: &'a Arc<Channel>,
        what: Indication,
    ) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            match what {
                Indication::Ringing { .. } => self.tell(News::Ringing),
                Indication::EarlyMedia => self.tell(News::EarlyMedia),
                Indication::Answer => self.tell(News::Answered),
                Indication::Respond { .. } => {
                    channel.hangup(Cause::NORMAL_CLEARING);
                }
                _ if crate::needs_a_network(&what) => return Err(Cause::NONE),
                Indication::Digits(digits) => {
                    // To the other leg's applications, through the pair's media.
                    let media = channel.media().ok_or(Cause::NONE)?;
                    let steps = digits.iter().flat_map(|digit| {
                        media::dtmf::parse_digits(&digit.digit.to_string(), digit.duration)
                    });
                    media.send_dtmf(steps.collect()).map_err(|_| Cause::NONE)?;
                }
                _ => {}
            }
            Ok(())
        })
    }

    fn event<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, LegEvent> {
        Box::pin(async move {
            if let Some(b) = self.waiting.take() {
                announce_codec(b.channel());
                b.start();
            }
            tokio::select! {
                biased;
                Some(news) = self.news.recv() => match news {
                    News::Ringing => {
                        channel.mark_ring_ready();
                        LegEvent::Ringing
                    }
                    News::EarlyMedia => {
                        channel.mark_pre_answered();
                        LegEvent::EarlyMedia
                    }
                    News::Answered => {
                        channel.mark_answered();
                        LegEvent::Answered
                    }
                    News::Hangup(cause) => {
                        self.told.store(true, Ordering::Relaxed);
                        channel.hangup(cause);
                        LegEvent::Other
                    }
                },
                Some(event) = self.events.recv() => LegEvent::Media(event),
                () = bowout::due(self.bowout.as_mut(), channel) => {
                    self.bowout = None;
                    LegEvent::Other
                }
            }
        })
    }
}
