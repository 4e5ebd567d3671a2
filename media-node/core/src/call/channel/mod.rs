//! The channel as everybody sees it: identity, variables, caller profile, marks.
//!
//! One task owns a channel's life (see [`super::machine`]); this is the part others may look at and, in the few ways
//! below, touch: reading, setting variables, asking for a state, hanging up. All of it is short work under one short
//! lock that is never held across an await, so a `uuid_setvar` is visible to the very next `uuid_getvar`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use base::queue::{self, TrySendError};
use esl_server::event::{Event, EventName, Vars};
use esl_server::{CallMessage, EventSink, QueueFull};
use parking_lot::Mutex;
use tokio::sync::watch;

mod variables;

use super::CodecInfo;
use super::bridge::{Bridge, SoftStep};
use super::cause::Cause;
use super::command::{COMMAND_QUEUE, Command, Job};
use super::endpoint::Digit;
use super::plan::{Doing, Extension, Routed};
use super::profile::CallerProfile;
use super::progress::ProgressCell;
use super::state::{CallState, Direction, State};
use crate::clock;
use crate::contract::ChannelSlots;
use crate::switch::Switch;

/// What whoever asked for another's call, by then perhaps gone, would have got: the leg that was answered, or why none was.
pub type HandOver = tokio::sync::oneshot::Sender<Result<Arc<Channel>, Cause>>;

/// Longest history of answers kept; a call that is transferred more often loses the oldest.
const MAX_ROUTED: usize = 32;

impl Data {
    /// Takes an extension to be run and keeps it for the record.
    pub fn begin_extension(&mut self, extension: Extension) {
        let profile =
            self.profile.as_ref().map(|own| own.profile_index.clone()).unwrap_or_default();
        self.routed.retain(|earlier| earlier.profile != profile);
        if self.routed.len() >= MAX_ROUTED {
            self.routed.remove(0);
        }
        self.routed.push(Routed { profile, extension: extension.clone() });
        self.extension = Some(extension);
    }
}

/// Which kind of leg the `Other-Leg-*` headers show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherType {
    /// The leg that made this one.
    Originator,
    /// The leg this one made or was bridged to.
    Originatee,
}

/// What a channel is, behind its lock.
pub struct Data {
    /// Channel name, `sofia/internal/1000@host`.
    pub name: String,
    /// The state asked for.
    pub state: State,
    /// The state the task runs.
    pub running: State,
    /// Call state.
    pub call_state: CallState,
    /// Why it ended; set once.
    pub cause: Option<Cause>,
    /// Variables.
    pub vars: Arc<Vars>,
    /// Scope variables of the application that runs now, innermost last; marked where a far end had part in them.
    pub scopes: Vec<Arc<Vars>>,
    /// Caller profile. `None` before the endpoint has made one.
    pub profile: Option<CallerProfile>,
    /// Earlier profiles, newest last.
    pub past_profiles: Vec<CallerProfile>,
    /// The other leg's profile, as shown in events.
    pub other: Option<(OtherType, CallerProfile)>,
    /// The leg that made this one.
    pub originator_profile: Option<CallerProfile>,
    /// Codec of what comes in.
    pub read_codec: Option<CodecInfo>,
    /// Codec of what goes out.
    pub write_codec: Option<CodecInfo>,
    /// What CS_EXECUTE will run.
    pub extension: Option<Extension>,
    /// What dialplans answered, for the call record.
    pub routed: Vec<Routed>,
    /// Digits received and not yet taken by an application.
    pub digits: VecDeque<Digit>,
    /// Digits that applications took.
    pub digits_dialed: String,
    /// Applications run so far: name, argument, time in µs.
    pub app_log: Vec<(&'static str, Arc<str>, i64)>,
    /// Applications that run now, the innermost last.
    pub doing: Vec<Doing>,
    /// The conversation it is in.
    pub bridge: Option<Arc<Bridge>>,
    /// The media leg, once there is one.
    pub media: Option<Arc<media::Leg>>,
    /// Where events of this call are sent instead of everywhere (`divert_events`).
    pub divert: Option<EventSink>,
    /// What `show channels` shows as running: application and argument.
    pub showing: (&'static str, Arc<str>),
    /// Presence and account as `show channels` prints them: as of the last event that told them.
    pub listed: Listed,
    /// Secure media, as `show channels` prints it.
    pub secure: String,
    /// Last callee shown to the far end, as `show channels` has it: empty again once the far end told who it is.
    pub sent_callee: (String, String),
    /// What the far end's display shows, if we ever set it.
    pub shown: Option<(String, String)>,
    /// Direction of the last CALL_UPDATE.
    pub callee_direction: &'static str,
    /// Hold history: on and off times in µs.
    pub holds: Vec<(i64, i64)>,
    /// First profile's identities, for `show channels`.
    pub initial: Initial,
    /// What plays, and what has ended.
    pub plays: crate::app::play::Plays,
    /// Tones it is watched for.
    pub tones: super::tones::Tones,
    /// What modules keep of this call.
    slots: ChannelSlots,
    /// Our tag in the dialog of a leg that came in; its variable appears with what is said to the far end.
    pub local_tag: Option<Arc<str>>,
    /// Whoever answers is for somebody else: who is told. The far end may leave meanwhile.
    pub hand_over: Option<HandOver>,
    /// What to do in CS_SOFT_EXECUTE.
    pub(super) soft_step: Option<SoftStep>,
}

/// Columns of `show channels` that change with certain events only, as in the reference's table.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// `presence_id`.
    pub presence_id: String,
    /// `presence_data`.
    pub presence_data: String,
    /// `accountcode`.
    pub account: String,
}

impl Data {
    /// A module's own state of this call, made at the first call; it ends with the channel.
    pub fn slot<T: Default + Send + 'static>(&mut self) -> &mut T {
        self.slots.get()
    }

    /// A module's own state of this call, if there is any.
    pub fn find_slot<T: Send + 'static>(&mut self) -> Option<&mut T> {
        self.slots.find()
    }
}

/// What `show channels` keeps of a leg's beginning.
#[derive(Clone, Debug, Default)]
pub struct Initial {
    /// Caller's name.
    pub cid_name: String,
    /// Caller's number.
    pub cid_num: String,
    /// Far end's address.
    pub ip_addr: String,
    /// Number dialled.
    pub dest: String,
    /// Dialplan.
    pub dialplan: String,
    /// Context.
    pub context: String,
}

/// Things that are so or not so.
#[derive(Debug, Default)]
pub struct Flags {
    /// An outbound leg has run a dialplan.
    pub hit_dialplan: AtomicBool,
    /// Another leg takes it out of its call (`intercept`).
    pub intercepted: AtomicBool,
    /// On hold by us.
    pub held: AtomicBool,
    /// Was on hold when it was hung up.
    pub left_holding: AtomicBool,
    /// An Event Socket connection controls the call.
    pub controlled: AtomicBool,
    /// Stop the current media operation (`uuid_break`, `break`).
    pub broken: AtomicBool,
    /// Drop the messages posted up to this one, if they still wait (`uuid_break … all`); 0: none.
    pub forget_until: AtomicU64,
    /// Was transferred while bridged: the partner is not to be hung up by the bridge's end.
    pub transferred: AtomicBool,
    /// Was transferred, and the hooks about it have not run yet.
    pub transfer_hooks: AtomicBool,
    /// Remaining applications that can are run after hangup (`set_zombie_exec`).
    pub zombie: AtomicBool,
    /// All events of the channel carry its variables (`verbose_events`).
    pub verbose: AtomicBool,
    /// Parked, and waiting messages may run.
    pub parked: AtomicBool,
    /// CREATE was fired: the leg is shown in `show channels`.
    pub shown: AtomicBool,
    /// Digits are passed on to the partner by the call's task, not by the media engine.
    pub digits_by_task: AtomicBool,
    /// When its partner leaves, somebody else takes the leg over: it waits (attended transfer).
    pub awaited: AtomicBool,
    /// The partner hears music while this leg hears something of its own.
    pub amuses_partner: AtomicBool,
    /// A module looks at each digit before it counts: bridged digits pass through the call's task.
    pub filters_digits: AtomicBool,
    /// When its partner leaves, the leg waits for as long as it takes somebody else to take it over.
    pub kept: AtomicBool,
    /// What it dials goes on when it hangs up (`uuid_xfer_zombie`, `originate_xfer_zombie`).
    pub dials_on: AtomicBool,
    /// Calls somebody on its own behalf and is not bridged yet.
    pub dials: AtomicBool,
    /// Silence is being sent because nothing else is (`send_silence_when_idle`).
    pub fills_silence: AtomicBool,
    /// Digits to the far end are tones in the audio.
    pub sends_tones: AtomicBool,
    /// Media flows directly between the far ends.
    pub bypass_media: AtomicBool,
    /// No digit goes in or out (`block_dtmf`).
    pub blocks_digits: AtomicBool,
    /// The far end accepted the call (`group_confirm_key`).
    pub confirmed: AtomicBool,
    /// Early media counts from now on (`uuid_early_ok`).
    pub early_ok: AtomicBool,
    /// The answer went out, and the far end has not acknowledged it yet.
    pub awaits_ack: AtomicBool,
}

/// One leg of a call.
pub struct Channel {
    uuid: Arc<str>,
    session_id: u64,
    direction: Direction,
    created: i64,
    switch: Arc<Switch>,
    commands: queue::Sender<Command>,
    /// Messages posted and not yet taken up.
    messages: AtomicUsize,
    /// Messages ever posted.
    posted: AtomicU64,
    wake: watch::Sender<u32>,
    session_heartbeat: AtomicU32,
    /// Presence events told so far.
    pub(super) presence_events: AtomicU32,
    /// Applications that run from outside (messages), and their end.
    pub(super) broadcasts: super::broadcast::Broadcasts,
    /// The Event Socket client on another machine that made or changed the call.
    foreign: std::sync::OnceLock<std::net::IpAddr>,
    /// How far the leg has come.
    pub progress: ProgressCell,
    /// Yes-or-no facts.
    pub flags: Flags,
    pub(super) data: Mutex<Data>,
}

impl Channel {
    /// A new channel in CS_NEW that nobody knows yet.
    pub(crate) fn new(
        switch: Arc<Switch>,
        uuid: Arc<str>,
        session_id: u64,
        direction: Direction,
        name: String,
        commands: queue::Sender<Command>,
    ) -> Arc<Self> {
        let mut vars = Vars::new();
        vars.set("direction", direction.name());
        if direction == Direction::Outbound {
            vars.set("is_outbound", "true");
        }
        vars.set("uuid", &*uuid);
        vars.set("call_uuid", &*uuid);
        vars.set("session_id", session_id.to_string());
        let created = clock::now_us();
        Arc::new(Self {
            foreign: crate::foreign::who().map(Into::into).unwrap_or_default(),
            uuid,
            session_id,
            direction,
            created,
            switch,
            commands,
            messages: AtomicUsize::new(0),
            posted: AtomicU64::new(0),
            wake: watch::Sender::new(0),
            session_heartbeat: AtomicU32::new(0),
            presence_events: AtomicU32::new(0),
            broadcasts: Default::default(),
            progress: ProgressCell::default(),
            flags: Flags::default(),
            data: Mutex::new(Data {
                name,
                state: State::New,
                running: State::None,
                call_state: CallState::Down,
                cause: None,
                vars: Arc::new(vars),
                scopes: Vec::new(),
                profile: None,
                past_profiles: Vec::new(),
                other: None,
                originator_profile: None,
                read_codec: None,
                write_codec: None,
                extension: None,
                routed: Vec::new(),
                digits: VecDeque::new(),
                digits_dialed: String::new(),
                app_log: Vec::new(),
                doing: Vec::new(),
                bridge: None,
                media: None,
                divert: None,
                showing: Default::default(),
                listed: Listed::default(),
                secure: String::new(),
                sent_callee: Default::default(),
                shown: None,
                callee_direction: "",
                holds: Vec::new(),
                initial: Initial::default(),
                plays: Default::default(),
                tones: Default::default(),
                slots: ChannelSlots::default(),
                local_tag: None,
                hand_over: None,
                soft_step: None,
            }),
        })
    }

    /// The call leg's UUID.
    #[must_use]
    pub fn uuid(&self) -> &Arc<str> {
        &self.uuid
    }

    /// The switch it lives in.
    #[must_use]
    pub fn switch(&self) -> &Arc<Switch> {
        &self.switch
    }

    /// Counter from 1 since start (`session_id`).
    #[must_use]
    pub fn session_id(&self) -> u64 {
        self.session_id
    }

    /// Who started the leg.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// When it came to be, µs.
    #[must_use]
    pub fn created(&self) -> i64 {
        self.created
    }

    /// Channel name.
    #[must_use]
    pub fn name(&self) -> String {
        self.data.lock().name.clone()
    }

    /// Looks at the data, or changes it; keep it short.
    pub fn with<R>(&self, look: impl FnOnce(&mut Data) -> R) -> R {
        look(&mut self.data.lock())
    }

    /// The requested state.
    #[must_use]
    pub fn state(&self) -> State {
        self.data.lock().state
    }

    /// The state the task runs.
    #[must_use]
    pub fn running(&self) -> State {
        self.data.lock().running
    }

    /// Why it ended, if it did.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.data.lock().cause
    }

    /// Not hung up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.data.lock().state < State::Hangup
    }

    /// Was it answered?
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.progress.get().is_answered()
    }

    /// Answered or in early media: audio can flow.
    #[must_use]
    pub fn has_media(&self) -> bool {
        self.progress.get().has_media()
    }

    /// The media leg.
    #[must_use]
    pub fn media(&self) -> Option<Arc<media::Leg>> {
        self.data.lock().media.clone()
    }

    /// The caller profile; an empty one when the endpoint has not made any yet.
    #[must_use]
    pub fn profile(&self) -> CallerProfile {
        self.data
            .lock()
            .profile
            .clone()
            .unwrap_or_else(|| CallerProfile::new(self.direction, self.created))
    }

    /// The conversation it is in.
    #[must_use]
    pub fn bridge(&self) -> Option<Arc<Bridge>> {
        self.data.lock().bridge.clone()
    }

    /// Is it in that conversation, and not in another since?
    #[must_use]
    pub fn is_in(&self, bridge: &Arc<Bridge>) -> bool {
        self.data.lock().bridge.as_ref().is_some_and(|now| Arc::ptr_eq(now, bridge))
    }

    /// Does its task drive the bridge it is in (the bridge's originator)?
    #[must_use]
    pub fn leads(&self) -> bool {
        self.data.lock().bridge.as_ref().is_some_and(|bridge| bridge.is_driven_by(&self.uuid))
    }

    /// The leg it is bridged to.
    #[must_use]
    pub fn partner(&self) -> Option<Arc<Self>> {
        self.switch.channel(self.bridge()?.partner_of(&self.uuid))
    }

    /// Gives an event to the call: a connection that diverted the call's events gets it, else everybody, once the
    /// call's task takes it up.
    pub fn queue_event(&self, mut event: Event) {
        self.describe(&mut event);
        let divert = self.data.lock().divert.clone();
        match divert {
            Some(sink) => {
                esl_server::stamp!(self.switch.bus, &mut event);
                sink.send(Arc::new(event));
            }
            None => {
                esl_server::fire!(self.switch.bus, event);
            }
        }
    }

    /// Leaves a step for the moment the task reaches CS_SOFT_EXECUTE.
    pub(super) fn arrange_soft_step(&self, step: SoftStep) {
        self.data.lock().soft_step = Some(step);
    }

    pub(super) fn take_soft_step(&self) -> Option<SoftStep> {
        self.data.lock().soft_step.take()
    }

    // ---- asking the task for something ----

    /// Queues a message (`sendmsg`). A task that has ended takes it and does nothing with it.
    ///
    /// # Errors
    /// [`QueueFull`] when [`COMMAND_QUEUE`] messages wait already, or as many jobs.
    pub fn post(&self, message: CallMessage) -> Result<(), QueueFull> {
        self.touched();
        if self.messages.fetch_add(1, Ordering::Relaxed) >= COMMAND_QUEUE {
            self.messages_taken(1);
            return Err(QueueFull);
        }
        match self.commands.try_send(Command::Message(Box::new(message))) {
            Err(TrySendError::Full(_)) => {
                self.messages_taken(1);
                Err(QueueFull)
            }
            Ok(()) | Err(TrySendError::Closed(_)) => {
                self.posted.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Messages that wait now are to be forgotten; those posted later are not.
    pub(super) fn forget_waiting(&self) {
        self.flags.forget_until.store(self.posted.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// How many of the messages that wait, the oldest first, are to be forgotten.
    pub(super) fn to_forget(&self) -> usize {
        let until = self.flags.forget_until.swap(0, Ordering::Relaxed);
        let waiting = self.messages.load(Ordering::Relaxed) as u64;
        let taken = self.posted.load(Ordering::Relaxed).saturating_sub(waiting);
        usize::try_from(until.saturating_sub(taken)).unwrap_or(usize::MAX)
    }

    /// The Event Socket client on another machine on whose behalf the call acts: the first that made or changed it.
    #[must_use]
    pub fn foreign(&self) -> Option<std::net::IpAddr> {
        self.foreign.get().copied()
    }

    /// The call is about to be changed: by whom, if it is a client on another machine, counts from now on.
    pub(super) fn touched(&self) {
        if let Some(who) = crate::foreign::who() {
            let _first = self.foreign.set(who);
        }
    }

    /// The task has taken up, or forgotten, so many messages.
    pub(super) fn messages_taken(&self, count: usize) {
        self.messages.fetch_sub(count, Ordering::Relaxed);
    }

    /// Queues a job for the task.
    ///
    /// # Errors
    /// [`QueueFull`] as for [`Channel::post`].
    pub fn job(&self, job: Job) -> Result<(), QueueFull> {
        self.touched();
        self.commands.try_send(Command::Job(job)).map_err(|_| QueueFull)
    }

    /// Asks for a state; the task goes there when what it runs notices. Refused moves are logged and return false.
    pub fn set_state(&self, state: State) -> bool {
        let refused = {
            let mut data = self.data.lock();
            if data.state == state {
                return true;
            }
            if data.state.allows(state) {
                data.state = state;
                None
            } else {
                Some(data.state)
            }
        };
        if let Some(from) = refused {
            tracing::warn!(uuid = %self.uuid, "Invalid state change {} -> {}", from.name(), state.name());
            return false;
        }
        self.notify();
        true
    }

    /// Ends the call: fires CHANNEL_HANGUP at once, the task does the rest. Only the first cause counts.
    pub fn hangup(&self, cause: Cause) {
        if self.is_up() && self.flags.held.load(Ordering::Relaxed) {
            self.flags.left_holding.store(true, Ordering::Relaxed);
            super::hold::mark_held(self, false);
        }
        {
            let mut data = self.data.lock();
            if data.state >= State::Hangup {
                return;
            }
            data.state = State::Hangup;
            data.cause = Some(cause);
            if let Some(bridge) = &data.bridge {
                let leads = bridge.is_driven_by(&self.uuid);
                let role = if leads { "originator" } else { "originatee" };
                Arc::make_mut(&mut data.vars).set("last_bridge_role", role);
            }
        }
        tracing::info!(
            uuid = %self.uuid, fs_level = "NOTICE",
            "Hangup {} [{}] [{}]", self.name(), self.running().name(), cause
        );
        if self.flags.shown.load(Ordering::Relaxed) || self.running() != State::None {
            self.fire(EventName::ChannelHangup);
        }
        self.notify();
    }

    /// Wakes the task and everybody who watches the channel.
    pub fn notify(&self) {
        self.wake.send_modify(|turn| *turn = turn.wrapping_add(1));
    }

    /// Watches for changes of state and marks.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u32> {
        self.wake.subscribe()
    }

    /// Resolves when the call is hung up.
    pub async fn hung_up(self: Arc<Self>) {
        let mut watch = self.watch();
        while self.is_up() {
            if watch.changed().await.is_err() {
                return;
            }
        }
    }

    /// Interrupts the current media operation.
    pub fn break_media(&self) {
        self.flags.broken.store(true, Ordering::Relaxed);
        self.notify();
    }

    /// Puts a digit where applications take them.
    pub fn queue_digit(&self, mut digit: Digit) {
        if !matches!(digit.digit, 'w' | 'W') {
            digit.duration = self.switch.stores.tuning.digit_duration(digit.duration);
        }
        let mut data = self.data.lock();
        if data.digits.len() < MAX_DIGITS {
            data.digits.push_back(digit);
        }
    }

    /// An application has a digit of the caller: the DTMF event is fired, and the call record keeps it.
    pub fn use_digit(&self, digit: Digit) {
        self.with(|data| {
            if data.digits_dialed.len() < MAX_DIGITS_DIALED {
                data.digits_dialed.push(digit.digit);
            }
        });
        let told = |event: &mut Event| {
            event.push("DTMF-Digit", digit.digit.to_string());
            event.push("DTMF-Duration", digit.duration.to_string());
            event.push("DTMF-Source", digit.source.name());
        };
        self.fire_with(EventName::Dtmf, |_| {}, told);
    }

    /// Whether digits to the far end are the media engine's to send, as events or as tones.
    #[must_use]
    pub fn sends_digits_in_media(&self) -> bool {
        self.flags.sends_tones.load(Ordering::Relaxed)
            || !matches!(self.var("dtmf_type").as_deref(), Some("info" | "none"))
    }

    /// Seconds between SESSION_HEARTBEAT events; 0 is off.
    pub fn session_heartbeat(&self) -> &AtomicU32 {
        &self.session_heartbeat
    }
}

/// Digits waiting for an application; further ones are dropped, as nobody reads them.
const MAX_DIGITS: usize = 512;
/// Digits the call record keeps, as in the reference.
const MAX_DIGITS_DIALED: usize = 1000;
