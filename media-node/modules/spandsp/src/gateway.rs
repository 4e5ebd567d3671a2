//! `t38_gateway`: in a bridge, one leg has the fax as audio and the other as T.38.
//!
//! The application begins in the task of its leg; a task of the gateway follows. It listens for a machine that answers (or
//! takes a far end's own change to T.38 as the sign), has the T.38 leg offer the change to its far end, and starts the
//! thread that translates. The bridge stays as it is: while one of its legs has datagrams of fax, the media engine passes no
//! audio between them, and gives the datagrams to the gateway. A far end that refuses leaves the bridge with its audio.
//!
//! A gateway that has begun ends with the bridge, and both calls end then, as in the reference.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use esl_server::event::{Event, EventName};
use fax::{AnswerDetector, GatewayReport, Library, MediaChange, Offer, Terminal};
use sdp::T38Options;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Cause, Channel, Indication, Session};
use switch_core::contract::CallObserver;
use switch_core::{app, foreign, text};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::cadence::LegAudio;
use crate::gateway_thread::{GatewayEvent, GatewayThread};
use crate::outcome::{self, T38};
use crate::ports::{AudioPort, RATE, T38Session, UdptlPort};
use crate::settings::{self, GatewayJob};
use crate::thread::TICK;

/// The application.
pub(crate) const APPS: &[App] = &[app!(
    "t38_gateway",
    "mod_spandsp",
    Flags::NONE,
    "[self|peer] [nocng]",
    "Convert to T38 Gateway if tones are heard",
    t38_gateway
)];

/// Seconds a machine is listened for.
const DETECT_TIMEOUT: i64 = 20;
/// How long a bridge may take to come about after the application, or after the signal.
const BRIDGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The gateway's task, in a slot of the leg that began it. It ends by itself.
#[derive(Default)]
struct Begun(Option<AbortHandle>);

/// In a slot of either leg of a gateway that has begun.
#[derive(Default)]
struct Member(Option<Membership>);

struct Membership {
    other: Weak<Channel>,
    ended: Arc<Notify>,
}

async fn t38_gateway(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let words = text::words(argument, 2);
    let is_self = words.first().is_some_and(|word| word.eq_ignore_ascii_case("self"));
    let at_once = words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("nocng"));
    channel.set_var("t38_leg", if is_self { "self" } else { "peer" });
    // Nothing is waited for here: a leg that has just been answered goes into its bridge meanwhile, which would end the
    // application.
    if let Err(why) = begin(&channel, is_self, at_once) {
        fail(&channel, &why);
    }
    Ok(())
}

fn fail(channel: &Channel, why: &str) {
    tracing::error!(uuid = %channel.uuid(), "t38_gateway: {why}");
    channel.set_var("current_application_response", why);
}

fn begin(channel: &Arc<Channel>, is_self: bool, at_once: bool) -> Result<(), String> {
    let runs = |begun: &mut Begun| begun.0.as_ref().is_some_and(|task| !task.is_finished());
    if channel.with(|data| runs(data.slot::<Begun>())) {
        return Err("Max Tones Reached!".into());
    }
    let heard = if at_once { None } else { Some(listen(channel)?) };
    let own = Arc::downgrade(channel);
    let switch = Arc::clone(channel.switch());
    let handle = foreign::spawn(async move {
        let loading = tokio::task::spawn_blocking(move || settings::library(&switch)).await;
        let loaded = match loading {
            Ok(loaded) => loaded.map_err(|error| error.to_string()),
            Err(bug) => Err(bug.to_string()),
        };
        let ready = loaded.and_then(|library| {
            let detection = heard.map(|heard| heard.with(&library)).transpose()?;
            Ok((library, detection))
        });
        match ready {
            Ok((library, detection)) => {
                Task { own, library, is_self, agreement: None }.run(detection).await;
            }
            Err(why) => {
                if let Some(channel) = own.upgrade() {
                    fail(&channel, &why);
                }
            }
        }
    });
    channel.with(|data| data.slot::<Begun>().0 = Some(handle.abort_handle()));
    Ok(())
}

/// The audio in which a machine is listened for, and for how long; without limit where there is none.
struct Heard {
    audio: LegAudio,
    limit: Option<Duration>,
}

impl Heard {
    fn with(self, library: &Arc<Library>) -> Result<Detection, String> {
        let detector = AnswerDetector::new(library).ok_or("spandsp has no memory")?;
        Ok(Detection { audio: self.audio, detector, limit: self.limit })
    }
}

fn listen(channel: &Channel) -> Result<Heard, String> {
    let leg = channel.media().ok_or("there is no audio")?;
    if leg.codec().rate() != RATE {
        return Err("fax machines cannot be heard on this leg: it needs PCMU or PCMA".into());
    }
    let audio = LegAudio::of(&leg).ok_or("the media engine is overloaded")?;
    let seconds = match channel.var("t38_gateway_detect_timeout").map(|value| text::int(&value)) {
        Some(seconds @ 0..) => seconds,
        Some(_) => {
            tracing::warn!(uuid = %channel.uuid(), "{} invalid timeout value.", channel.name());
            DETECT_TIMEOUT
        }
        None => DETECT_TIMEOUT,
    };
    let limit = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    Ok(Heard { audio, limit: limit.map(Duration::from_secs) })
}

/// A machine is listened for.
struct Detection {
    audio: LegAudio,
    detector: AnswerDetector,
    /// For so long; without limit where there is none.
    limit: Option<Duration>,
}

/// The agreement to T.38 on a leg. Dropping it withdraws it; a far end that has T.38 by then is asked for audio.
struct Agreement {
    leg: Weak<Channel>,
    changes: mpsc::Receiver<MediaChange>,
    /// The leg's packets are T.38.
    in_t38: bool,
}

impl Agreement {
    /// `None` where another application has the leg.
    fn open(leg: &Arc<Channel>, offer: Offer) -> Option<Self> {
        let changes = leg.with(|data| {
            let terminal = data.slot::<Terminal>();
            (!terminal.is_open()).then(|| terminal.open(Some(offer)))
        })?;
        Some(Self { leg: Arc::downgrade(leg), changes, in_t38: false })
    }

    /// Whether it stands on that leg: another application may have taken its place.
    fn is_of(&self, leg: &Arc<Channel>) -> bool {
        Weak::ptr_eq(&self.leg, &Arc::downgrade(leg)) && !self.changes.is_closed()
    }

    /// The next change of the leg's media; `None` once another application has the leg. May be given up half-way.
    async fn next(&mut self) -> Option<MediaChange> {
        let change = self.changes.recv().await?;
        Some(self.noted(change))
    }

    /// A change that waits.
    fn waiting(&mut self) -> Option<MediaChange> {
        let change = self.changes.try_recv().ok()?;
        Some(self.noted(change))
    }

    fn noted(&mut self, change: MediaChange) -> MediaChange {
        match change {
            MediaChange::ToT38 { .. } => self.in_t38 = true,
            MediaChange::ToAudio => self.in_t38 = false,
            MediaChange::Refused => {}
        }
        change
    }

    /// Offers the far end audio again if it has T.38, which no gateway translates.
    fn restore_audio(&mut self) {
        if !std::mem::take(&mut self.in_t38) {
            return;
        }
        let Some(leg) = self.leg.upgrade().filter(|leg| leg.is_up()) else { return };
        tracing::info!(uuid = %leg.uuid(), "T.38 gateway: {} is to have audio again", leg.name());
        let job = leg.job(Box::new(|session| {
            Box::pin(async move {
                if !session.indicate(Indication::Renegotiate(None)).await {
                    let uuid = session.channel().uuid();
                    tracing::warn!(uuid = %uuid, "T.38 gateway: the leg stays without audio");
                }
            })
        }));
        if job.is_err() {
            tracing::warn!(uuid = %leg.uuid(), "T.38 gateway: the leg takes no commands, and stays without audio");
        }
    }
}

impl Drop for Agreement {
    fn drop(&mut self) {
        if let Some(leg) = self.leg.upgrade() {
            leg.with(|data| {
                // Closed by another application that took its place: that one's stays.
                if !self.changes.is_closed() {
                    data.slot::<Terminal>().close();
                }
            });
        }
        while self.waiting().is_some() {}
        self.restore_audio();
    }
}

/// The task of a gateway.
struct Task {
    /// The leg the application ran on.
    own: Weak<Channel>,
    library: Arc<Library>,
    /// That leg is the one with T.38; else its partner.
    is_self: bool,
    agreement: Option<Agreement>,
}

/// Both legs of a gateway that has begun.
struct Legs {
    t38: Weak<Channel>,
    audio: Weak<Channel>,
}

impl Task {
    async fn run(mut self, detection: Option<Detection>) {
        let Some((legs, change)) = self.wait_for_fax(detection).await else { return };
        let ended = Arc::new(Notify::new());
        let Some(job) = legs.begin(&ended) else { return };
        self.translate(&legs, &job, &ended, change).await;
        legs.end(&ended);
    }

    /// Waits until a fax machine was heard, or the far end has changed to T.38, and the leg is in a bridge.
    async fn wait_for_fax(
        &mut self,
        mut detection: Option<Detection>,
    ) -> Option<(Legs, Option<MediaChange>)> {
        let (mut since, mut change) = (Instant::now(), None);
        let mut samples = Vec::new();
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let own = self.own.upgrade().filter(|own| own.is_up())?;
            while let Some(changed) = self.agreement.as_mut().and_then(Agreement::waiting) {
                match changed {
                    MediaChange::ToT38 { .. } => {
                        change = Some(changed);
                        detection = None;
                        since = Instant::now();
                    }
                    MediaChange::ToAudio => change = None,
                    MediaChange::Refused => {}
                }
            }
            let both = own.partner().map(|partner| {
                let own = Arc::clone(&own);
                if self.is_self { (own, partner) } else { (partner, own) }
            });
            let up = |leg: &Arc<Channel>| leg.is_answered() && leg.media().is_some();
            let both = both.filter(|(t38, audio)| up(t38) && up(audio));
            // Nothing is agreed to before it can be translated.
            let fits = both.as_ref().filter(|(_, audio)| has_rate(audio));
            if !self.agree(fits.map(|(t38, _)| t38)) {
                change = None;
            }
            if let Some(Detection { audio, detector, limit }) = &mut detection {
                let open = audio.read(&mut samples);
                if detector.feed(&samples) {
                    tell_detected(&own);
                    detection = None;
                    since = Instant::now();
                } else if !open || limit.is_some_and(|limit| since.elapsed() >= limit) {
                    return None;
                }
            }
            if detection.is_some() {
                continue;
            }
            if let Some((t38, audio)) = both {
                if !has_rate(&audio) {
                    tracing::error!(
                        uuid = %audio.uuid(),
                        "T.38 gateway: {} needs audio of 8000 samples per second (PCMU, PCMA)", audio.name()
                    );
                    return None;
                }
                if self.agreement.is_some() {
                    let legs = Legs { t38: Arc::downgrade(&t38), audio: Arc::downgrade(&audio) };
                    return Some((legs, change));
                }
            }
            if since.elapsed() >= BRIDGE_TIMEOUT {
                let why = "the leg is in no bridge, or another application has a fax on it";
                tracing::warn!(uuid = %own.uuid(), "t38_gateway: {why}");
                return None;
            }
        }
    }

    /// Agrees to T.38 on a leg, or on none; true if it stands as before.
    fn agree(&mut self, leg: Option<&Arc<Channel>>) -> bool {
        let stands = match (&self.agreement, leg) {
            (Some(agreement), Some(leg)) => agreement.is_of(leg),
            (None, None) => true,
            _ => false,
        };
        if !stands {
            // The old one goes first: it may be of the same leg.
            self.agreement = None;
            self.agreement = leg.and_then(|leg| Agreement::open(leg, settings::gateway(leg).offer));
        }
        stands
    }

    /// From the change to T.38 to the end of the bridge.
    async fn translate(
        &mut self,
        legs: &Legs,
        job: &GatewayJob,
        ended: &Notify,
        change: Option<MediaChange>,
    ) {
        let library = &self.library;
        let Some(agreement) = &mut self.agreement else { return };
        let mut thread = None;
        let is_translated = match change {
            Some(change) => legs.follow(change, library, job, &mut thread),
            None => {
                if job.requests {
                    legs.request(job.offer);
                }
                true
            }
        };
        if !is_translated {
            agreement.restore_audio();
        }
        loop {
            let event = async {
                match &mut thread {
                    Some(thread) => GatewayThread::next_event(thread).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = ended.notified() => return,
                change = agreement.next() => match change {
                    Some(change) => {
                        if !legs.follow(change, library, job, &mut thread) {
                            agreement.restore_audio();
                        }
                    }
                    None => return,
                },
                event = event => match event {
                    Some(GatewayEvent::Progress(report)) => legs.show(report),
                    Some(GatewayEvent::Log(severity, line)) => {
                        if let Some(leg) = legs.t38.upgrade() {
                            outcome::log(&leg, job.level, severity, &line);
                        }
                    }
                    None => {
                        thread = None;
                        // Where a call has ended the other does, too.
                        if legs.both().is_some_and(|(t38, audio)| t38.is_up() && audio.is_up()) {
                            agreement.restore_audio();
                        }
                    }
                },
            }
        }
    }
}

impl Legs {
    fn both(&self) -> Option<(Arc<Channel>, Arc<Channel>)> {
        Some((self.t38.upgrade()?, self.audio.upgrade()?))
    }

    /// Marks both legs; returns how the gateway is to work. `None` where it is not to: the bridge has ended meanwhile, or
    /// has a gateway already.
    fn begin(&self, ended: &Arc<Notify>) -> Option<GatewayJob> {
        let (t38, audio) = self.both()?;
        for (leg, other) in [(&t38, &audio), (&audio, &t38)] {
            let own = Membership { other: Arc::downgrade(other), ended: Arc::clone(ended) };
            let is_free = leg.with(|data| {
                let member = data.slot::<Member>();
                let is_free = member.0.is_none();
                if is_free {
                    member.0 = Some(own);
                }
                is_free
            });
            if !is_free {
                tracing::error!(uuid = %leg.uuid(), "T.38 gateway: {} has a gateway already", leg.name());
                self.end(ended);
                return None;
            }
        }
        // The bridge may have ended before its end could be told.
        if !t38.partner().is_some_and(|partner| Arc::ptr_eq(&partner, &audio)) {
            self.end(ended);
            return None;
        }
        tracing::info!(
            uuid = %t38.uuid(),
            "T.38 gateway: {} is to have T.38, {} has audio", t38.name(), audio.name()
        );
        for (leg, other, format) in [(&t38, &audio, "udptl"), (&audio, &t38, "audio")] {
            leg.set_vars([
                ("t38_peer", other.uuid().to_string()),
                ("t38_gateway_format", format.to_owned()),
            ]);
        }
        t38.set_var("fax_t38_status", T38::Off.name());
        Some(settings::gateway(&t38))
    }

    /// Offers T.38 to the far end of its leg.
    fn request(&self, offer: Offer) {
        let (Some(leg), Some(description)) = (self.t38.upgrade(), settings::description(offer))
        else {
            return;
        };
        leg.set_var("fax_t38_status", T38::Requested.name());
        let refused = |leg: &Channel| {
            leg.with(|data| data.slot::<Terminal>().notify(MediaChange::Refused));
        };
        let job = leg.job(Box::new(move |session| {
            Box::pin(async move {
                if !session.indicate(Indication::Offer(Arc::new(description))).await {
                    refused(session.channel());
                }
            })
        }));
        if job.is_err() {
            refused(&leg);
        }
    }

    /// The signalling of the T.38 leg has changed its media, or has not; false if the leg has T.38 that nothing
    /// translates.
    #[must_use]
    fn follow(
        &self,
        change: MediaChange,
        library: &Arc<Library>,
        job: &GatewayJob,
        thread: &mut Option<GatewayThread>,
    ) -> bool {
        let Some((t38, audio)) = self.both() else { return true };
        match change {
            // A re-INVITE that says the same again changes nothing, nor does the end of an offer of ours that crossed the
            // far end's own.
            MediaChange::ToT38 { .. } | MediaChange::Refused if thread.is_some() => true,
            MediaChange::ToT38 { remote, options } => {
                outcome::log_t38(&t38, &options);
                match start(&t38, &audio, library, job, remote, options) {
                    Ok(started) => {
                        *thread = Some(started);
                        t38.set_var("fax_t38_status", T38::Negotiated.name());
                        true
                    }
                    Err(why) => {
                        tracing::error!(uuid = %t38.uuid(), "T.38 gateway: {why}");
                        false
                    }
                }
            }
            MediaChange::Refused => {
                t38.set_var("fax_t38_status", T38::Refused.name());
                tracing::info!(uuid = %t38.uuid(), "T.38 is refused: the bridge goes on in audio");
                true
            }
            MediaChange::ToAudio => {
                if thread.take().is_some() {
                    let what = "The T.38 leg has audio again: nothing is translated";
                    tracing::info!(uuid = %t38.uuid(), "{what}");
                }
                true
            }
        }
    }

    /// Shows the figures on both legs.
    fn show(&self, report: GatewayReport) {
        for leg in [self.t38.upgrade(), self.audio.upgrade()].into_iter().flatten() {
            leg.set_vars([
                ("fax_transfer_rate", report.bit_rate.to_string()),
                ("fax_ecm_used", outcome::on_off(report.ecm).to_owned()),
                ("fax_document_transferred_pages", report.pages.to_string()),
            ]);
        }
    }

    /// Takes the marks off the legs, unless another gateway has made its own.
    fn end(&self, ended: &Arc<Notify>) {
        for leg in [self.t38.upgrade(), self.audio.upgrade()].into_iter().flatten() {
            let other = leg.with(|data| {
                let member = data.slot::<Member>();
                let is_ours = |own: &mut Membership| Arc::ptr_eq(&own.ended, ended);
                let _ours = member.0.take_if(is_ours);
                member.0.is_some()
            });
            if !other {
                leg.unset_var("t38_peer");
            }
        }
    }
}

/// Whether modems can work with the leg's audio.
fn has_rate(leg: &Channel) -> bool {
    leg.media().is_some_and(|leg| leg.codec().rate() == RATE)
}

/// Starts the thread that translates between two legs.
fn start(
    t38: &Channel,
    audio: &Channel,
    library: &Arc<Library>,
    job: &GatewayJob,
    remote: Option<SocketAddr>,
    options: T38Options,
) -> Result<GatewayThread, String> {
    if !has_rate(audio) {
        return Err(format!("{} has no audio of 8000 samples per second", audio.name()));
    }
    let redundancy = settings::redundancy(t38);
    let side = t38.media().and_then(|leg| leg.side_channel().ok().flatten());
    let port = audio.media().and_then(|leg| {
        // A buffer that evens out packets throws some away, which modems do not survive.
        let _behind = leg.set_jitter(None);
        AudioPort::open(&leg)
    });
    let (Some(side), Some(port)) = (side, port) else {
        return Err("the media engine is overloaded".into());
    };
    let udptl = UdptlPort::open(T38Session { side, remote, options: options.clone(), redundancy });
    let library = Arc::clone(library);
    GatewayThread::start(library, job.setup, options, port, udptl)
        .map_err(|error| format!("no thread: {error}"))
}

/// A machine was heard.
fn tell_detected(channel: &Arc<Channel>) {
    tracing::info!(uuid = %channel.uuid(), "Fax Tone Detected. [t38_gateway]");
    let tone = |event: &mut Event| {
        event.push("Detected-Fax-Tone", "true");
    };
    channel.fire_with(EventName::DetectedTone, tone, |_| {});
}

/// Ends a gateway with its bridge.
pub(crate) struct Observer;

impl CallObserver for Observer {
    fn unbridged(&self, channel: &Channel) {
        // The leg may be in another bridge already, with a gateway of that bridge.
        let partner = channel.partner().map(|partner| Arc::downgrade(&partner));
        let member = channel.with(|data| {
            let member = data.find_slot::<Member>()?;
            let is_of_now = |own: &Membership| {
                partner.as_ref().is_some_and(|now| Weak::ptr_eq(now, &own.other))
            };
            member.0.take_if(|own| !is_of_now(own))
        });
        let Some(Membership { other, ended }) = member else { return };
        let other_is_up = other.upgrade().is_some_and(|other| other.is_up());
        // A leg that goes elsewhere (a transfer) takes no call down; one that has ended takes the other along.
        if partner.is_none() && channel.is_up() && !other_is_up {
            channel.hangup(Cause::NORMAL_CLEARING);
        }
        // Where this leg has ended and the other is up, the other is looked at before the gateway is told.
        if channel.is_up() || !other_is_up {
            ended.notify_one();
        }
    }
}
