//! `fifo <names> out`: a consumer takes callers.

use std::sync::Arc;
use std::time::Duration;

use switch_core::app::play::{Ended, Keys, Play};
use switch_core::call::channel::OtherType;
use switch_core::call::originate::{Request, originate};
use switch_core::call::profile::Times;
use switch_core::call::{
    AppResult, Channel, Direction, Interrupt, Session, State as CallState, Wake,
};
use switch_core::{clock, host, text};
use tokio::time::Instant;

use crate::caller::back_to_queue;
use crate::center::{Fifos, Part, note_places, stamp};
use crate::events::{push_caller_times, push_consumer_times, push_outbound, tell, tell_with};
use crate::state::{Bridge, PRIORITIES, Waiting};
use crate::track;

/// How long a number that is called back may ring.
const CALL_BACK_TIME: Duration = Duration::from_secs(120);
/// Milliseconds of rest after a call unless `fifo_consumer_wrapup_time` says otherwise.
const WRAPUP: i64 = 5000;
/// How long a caller may take to be ready for the bridge.
const READY_TIME: Duration = Duration::from_secs(5);

pub(crate) struct Arguments {
    pub(crate) fifos: Vec<String>,
    /// As written, for events.
    pub(crate) written: String,
    pub(crate) waits: bool,
    pub(crate) announce: Option<String>,
    pub(crate) music: Option<String>,
}

/// A consumer at work.
struct Consumer {
    fifos: Arc<Fifos>,
    args: Arguments,
    channel: Arc<Channel>,
    outbound: Option<String>,
    more_people: bool,
    order: Vec<usize>,
}

/// Takes callers.
pub(crate) async fn run(session: &mut Session, fifos: &Arc<Fifos>, args: Arguments) -> AppResult {
    let channel = Arc::clone(session.channel());
    track::forget(&channel, None);
    let more_people = match channel.var("fifo_strategy").as_deref().map(str::to_ascii_lowercase) {
        None => false,
        Some(name) if name.is_empty() || name == "waiting_longer" => false,
        Some(name) if name == "more_ppl" => true,
        Some(_) => {
            tracing::error!(uuid = %channel.uuid(), "Invalid strategy");
            return Ok(());
        }
    };
    let consumer = Consumer {
        fifos: Arc::clone(fifos),
        outbound: channel.variable("fifo_outbound_uuid"),
        order: pop_order(&channel),
        more_people,
        args,
        channel,
    };
    if consumer.args.waits {
        consumer.stand(true);
    }
    let worked = consumer.work(session).await;
    consumer.tell("consumer_stop");
    if consumer.args.waits {
        consumer.stand(false);
    }
    let channel = &consumer.channel;
    if let (Some(outbound), true) = (&consumer.outbound, channel.is_up()) {
        tracing::debug!(uuid = %channel.uuid(), "{} is still alive, tracking call.", channel.name());
        track::begin(channel, outbound);
    }
    fifos.destroy_if_unused(channel, &consumer.args.fifos);
    worked?;
    session.check()
}

/// The priorities in the order of `fifo_pop_order`; those it leaves out are asked as 0, as in the reference.
fn pop_order(channel: &Channel) -> Vec<usize> {
    let Some(list) = channel.var("fifo_pop_order").filter(|list| !list.is_empty()) else {
        return (0..PRIORITIES).collect();
    };
    let mut order = vec![0; PRIORITIES];
    for (at, word) in list.split(',').take(PRIORITIES - 1).enumerate() {
        if let Some(priority) = usize::try_from(text::int(word)).ok().filter(|p| *p < PRIORITIES) {
            order[at] = priority;
        }
    }
    order
}

impl Consumer {
    fn tell(&self, action: &'static str) {
        tell(&self.channel, &self.args.written, action);
    }

    fn uses(&self) -> i64 {
        self.outbound.as_ref().map_or(0, |outbound| self.fifos.state.lock().use_count(outbound))
    }

    /// Enters the list of consumers of its fifos, or leaves it.
    fn stand(&self, here: bool) {
        let mut state = self.fifos.state.lock();
        for fifo in &self.args.fifos {
            let Some(node) = state.node_mut(fifo) else { continue };
            node.consumers.retain(|uuid| uuid != self.channel.uuid());
            if here {
                node.consumers.push(Arc::clone(self.channel.uuid()));
            }
        }
    }

    async fn work(&self, session: &mut Session) -> AppResult {
        if self.args.waits {
            session.answer().await?;
        }
        self.tell("consumer_start");
        self.channel.set_var("fifo_status", "WAITING");
        self.channel.set_var("fifo_timestamp", stamp());
        loop {
            session.check()?;
            if !self.fifos.is_running() {
                return Ok(());
            }
            let Some((fifo, popped)) = self.next(session).await? else { return Ok(()) };
            let Some(caller) = self.reach(session, &popped).await? else {
                if !self.args.waits {
                    return Ok(());
                }
                continue;
            };
            self.serve(session, &fifo, &caller).await?;
            if !self.args.waits {
                return Ok(());
            }
            self.wrap_up(session).await?;
            self.tell("consumer_reentrance");
        }
    }

    /// The next caller; waits for one if it may. `None` for no more.
    async fn next(&self, session: &mut Session) -> Result<Option<(String, Waiting)>, Interrupt> {
        loop {
            match self.pop() {
                Popped::Caller(fifo, waiting) => return Ok(Some((fifo, waiting))),
                Popped::Answered => {
                    let name = self.channel.name();
                    tracing::warn!(uuid = %self.channel.uuid(), "{name} Call has already been answered");
                    return Ok(None);
                }
                Popped::Empty if !self.args.waits => return Ok(None),
                Popped::Empty => {}
            }
            self.channel.with(|data| data.slot::<Part>().idles = true);
            // A caller that came before the notification was armed is not waited for.
            let waited = match self.somebody_waits() {
                true => Ok(()),
                false => self.idle(session).await,
            };
            self.channel.with(|data| data.slot::<Part>().idles = false);
            waited?;
            if !self.fifos.is_running() {
                return Ok(None);
            }
        }
    }

    fn somebody_waits(&self) -> bool {
        let state = self.fifos.state.lock();
        self.args.fifos.iter().any(|fifo| state.node(fifo).is_some_and(|node| node.waiting() > 0))
    }

    async fn idle(&self, session: &mut Session) -> AppResult {
        if let Some(music) = &self.args.music {
            let sound = session.expand(music).await.into_owned();
            let sound = base::far::path(&sound).into_owned();
            let ended = session.play(Play::once(&sound, Keys::Stop(""))).await?;
            if !matches!(ended, Ended::NotFound | Ended::Failed) {
                let pause = tokio::time::sleep(Duration::from_millis(1));
                session.wait_or(None, pause).await?;
                return Ok(());
            }
        }
        let filling = self.channel.begin_filling_silence();
        let woken = session.wait(None).await;
        self.channel.end_filling_silence(filling);
        if let Wake::Digit = woken? {
            while session.take_digit().is_some() {}
        }
        Ok(())
    }

    /// The fifo to serve: importance first, then who waits longest or where most wait.
    fn pop(&self) -> Popped {
        let mut state = self.fifos.state.lock();
        let (mut importance, mut winner) = (0, None);
        let (mut longest, mut most) = (i64::MAX, 0);
        for fifo in &self.args.fifos {
            let Some(node) = state.node(fifo) else { continue };
            let waiting = node.waiting();
            if waiting == 0 {
                continue;
            }
            if importance == 0 || node.importance > importance {
                if self.more_people && waiting > most {
                    (most, winner) = (waiting, Some(fifo.clone()));
                } else if !self.more_people && node.start_waiting < longest {
                    (longest, winner) = (node.start_waiting, Some(fifo.clone()));
                }
            }
            importance = importance.max(node.importance);
        }
        let Some(fifo) = winner else { return Popped::Empty };
        let switch = self.channel.switch();
        let meant = self.channel.variable("fifo_bridge_uuid");
        let required = self.channel.is_true("fifo_bridge_uuid_required");
        if let Some(meant) = &meant
            && required
            && state.bridged.contains(meant)
        {
            return Popped::Answered;
        }
        let ringing = state.caller_orig.clone();
        let skill = self.channel.variable("fifo_target_skill");
        let Some(node) = state.node_mut(&fifo) else { return Popped::Empty };
        let var = |waiting: &Waiting, name: &str| match waiting {
            Waiting::Call(uuid) => switch.channel(uuid).and_then(|leg| leg.variable(name)),
            Waiting::Dial(_) => None,
        };
        let free = |waiting: &Waiting| match waiting {
            Waiting::Call(uuid) => !ringing.contains(&**uuid),
            Waiting::Dial(_) => true,
        };
        let mut popped = meant.as_ref().and_then(|meant| {
            node.pop(
                &self.order,
                |waiting| matches!(waiting, Waiting::Call(uuid) if **uuid == **meant),
            )
        });
        if popped.is_none() && meant.is_some() && required {
            return Popped::Answered;
        }
        if popped.is_none() && skill.is_some() {
            popped = node.pop(&self.order, |w| free(w) && var(w, "fifo_skill") == skill);
        }
        if popped.is_none() {
            popped =
                node.pop(&self.order, |w| free(w) && var(w, "fifo_vip").as_deref() == Some("true"));
        }
        let popped = popped.or_else(|| node.pop(&self.order, free));
        drop(state);
        let Some((popped, moved)) = popped else { return Popped::Empty };
        note_places(switch, moved);
        Popped::Caller(fifo, popped)
    }

    /// The caller's leg; one to be called back is called.
    async fn reach(
        &self,
        session: &mut Session,
        popped: &Waiting,
    ) -> Result<Option<Arc<Channel>>, Interrupt> {
        let url = match popped {
            Waiting::Call(uuid) => {
                let caller = session.switch().channel(uuid).filter(|caller| caller.is_up());
                if let Some(caller) = &caller {
                    tell(caller, &self.args.written, "caller_pop");
                }
                return Ok(caller);
            }
            Waiting::Dial(url) => url.clone(),
        };
        if let Some(announce) = self.channel.variable_marked("fifo_outbound_announce") {
            let sound = base::far::path(&announce).into_owned();
            session.play(Play::once(&sound, Keys::Stop(""))).await?;
        }
        let request =
            Request { dial: url.clone(), timeout: Some(CALL_BACK_TIME), ..Request::default() };
        let switch = Arc::clone(session.switch());
        let made = originate(&switch, &request, Some(session)).await;
        let result = match &made {
            Ok(_) => "success".to_owned(),
            Err(failure) => format!("failure:{}", failure.cause),
        };
        tell_with(&self.channel, &self.args.written, "caller_outbound", |event| {
            event.push("FIFO-Result", result);
            event.push("Outbound-URL", url);
        });
        session.check()?;
        Ok(made.ok())
    }

    /// Bridges to a caller; comes back when one of the two has left.
    async fn serve(&self, session: &mut Session, fifo: &str, caller: &Arc<Channel>) -> AppResult {
        let (channel, written) = (&self.channel, &self.args.written);
        tell_with(channel, written, "consumer_pop", |event| {
            event.push("FIFO-Caller-UUID", &**caller.uuid());
        });
        let own = self.args.announce.clone();
        let announce = caller.variable_marked("fifo_override_announce").or(own);
        if let Some(announce) = announce {
            let sound = session.expand(&announce).await.into_owned();
            let sound = base::far::path(&sound).into_owned();
            let played = session.play(Play::once(&sound, Keys::Stop(""))).await;
            if let Err(interrupt) = played {
                self.give_back(fifo, caller);
                return Err(interrupt);
            }
        }
        let id = channel.variable("fifo_consumer_id");
        caller.set_var("fifo_serviced_by", id.unwrap_or_else(|| channel.uuid().to_string()));
        caller.set_var("fifo_serviced_uuid", channel.uuid().to_string());
        caller.break_media();
        if let Err(interrupt) = self.until_ready(session, caller).await {
            self.give_back(fifo, caller);
            return Err(interrupt);
        }
        if !caller.is_up() {
            return Ok(());
        }
        session.answer().await?;
        self.introduce(caller);
        let began = clock::now_secs();
        self.note_talking(caller, began);
        self.fifos.settled(session.switch(), fifo);
        let recorded = self.record(caller).await;
        self.begin(fifo, caller);
        let result = self.talk(session, caller).await;
        self.end(fifo, caller, began);
        if let (Some(path), Ok(())) = (recorded, &result) {
            let args = format!("{} stop '{path}'", channel.uuid());
            crate::members::run_quietly(session.switch(), "uuid_record", &args).await;
        }
        result
    }

    /// Waits until the caller has left its music.
    async fn until_ready(&self, session: &mut Session, caller: &Arc<Channel>) -> AppResult {
        let mut watch = caller.watch();
        let until = Instant::now() + READY_TIME;
        while caller.is_up()
            && (caller.with(|data| data.slot::<Part>().waits)
                || !matches!(
                    caller.running(),
                    CallState::Hibernate | CallState::ConsumeMedia | CallState::Park
                ) && caller.direction() == Direction::Inbound)
        {
            let woken = session.wait_or(Some(until), watch.changed()).await?;
            if matches!(woken, futures_util::future::Either::Left(Wake::Timeout)) {
                break;
            }
        }
        session.check()
    }

    /// The consumer leaves, and the caller is still there.
    fn give_back(&self, fifo: &str, caller: &Arc<Channel>) {
        if !caller.is_up() {
            return;
        }
        tracing::warn!(
            uuid = %caller.uuid(),
            "Customer {} appears to be abandoned by agent {} but is still on the line, redirecting them back to the queue with VIP status.",
            caller.name(), self.channel.name()
        );
        if caller.with(|data| data.slot::<Part>().waits)
            && caller.own_var("fifo_serviced_uuid").is_none()
        {
            // It has not left its music: it is put back where it was.
            caller.set_var("fifo_vip", "true");
            let who = Waiting::Call(Arc::clone(caller.uuid()));
            let _place = self.fifos.state.lock().push(fifo, 0, who);
            self.fifos.wake_consumers(caller.switch(), fifo);
            return;
        }
        self.fifos.settled(caller.switch(), fifo);
        back_to_queue(Arc::clone(caller), fifo.to_owned());
    }

    /// New profiles for both, each with the other as its partner.
    fn introduce(&self, caller: &Arc<Channel>) {
        let (mut own, mut other) = (step_profile(&self.channel), step_profile(caller));
        let mut shown_to_caller = own.clone();
        shown_to_caller.times = Times::default();
        let shown_to_own = other.clone();
        own.callee_id_name.clone_from(&other.callee_id_name);
        own.callee_id_number.clone_from(&other.callee_id_number);
        other.callee_id_name = other.caller_id_name.clone();
        other.callee_id_number = other.caller_id_number.clone();
        other.caller_id_name.clone_from(&own.caller_id_name);
        other.caller_id_number.clone_from(&own.caller_id_number);
        self.channel.with(|data| {
            data.profile = Some(own);
            data.other = Some((OtherType::Originatee, shown_to_own));
        });
        caller.with(|data| {
            data.profile = Some(other);
            data.other = Some((OtherType::Originator, shown_to_caller));
        });
    }

    fn note_talking(&self, caller: &Channel, began: i64) {
        let (own, now) = (&self.channel, stamp());
        own.set_vars([
            ("fifo_status", "TALKING".to_owned()),
            ("fifo_target", caller.uuid().to_string()),
            ("fifo_timestamp", now.clone()),
            ("fifo_epoch_start_bridge", began.to_string()),
            ("fifo_role", "consumer".to_owned()),
        ]);
        caller.set_vars([
            ("fifo_status", "TALKING".to_owned()),
            ("fifo_timestamp", now),
            ("fifo_epoch_start_bridge", began.to_string()),
            ("fifo_target", own.uuid().to_string()),
            ("fifo_role", "caller".to_owned()),
        ]);
        import(own, caller, "fifo_caller_consumer_import");
        import(caller, own, "fifo_consumer_caller_import");
    }

    async fn record(&self, caller: &Arc<Channel>) -> Option<String> {
        let template = self.channel.variable_marked("fifo_record_template")?;
        let switch = self.channel.switch();
        let path = host::expand_for(switch, Some(caller), &template).await;
        let args = format!("{} start '{path}'", self.channel.uuid());
        crate::members::run_quietly(switch, "uuid_record", &args).await;
        Some(path)
    }

    /// Tells that the two talk.
    fn begin(&self, fifo: &str, caller: &Arc<Channel>) {
        let (own, written) = (&self.channel, &self.args.written);
        let (cid_name, cid_number) = match own.direction() {
            Direction::Outbound => seen_as(own),
            Direction::Inbound => {
                let profile = own.profile();
                (profile.callee_id_name.clone(), profile.callee_id_number.clone())
            }
        };
        if let Some(outbound) = &self.outbound {
            self.fifos.state.lock().begin_use(outbound);
            let now = clock::now_secs();
            self.fifos.state.lock().change_members(outbound, |member| {
                (member.stop_time, member.start_time, member.fails) = (0, now, 0);
                member.use_count += 1;
            });
        }
        let (outbound, uses) = (self.outbound.as_deref(), self.uses());
        tell_with(own, written, "channel-consumer-start", |event| {
            event.push("FIFO-Type", "onhook");
            event.push("FIFO-Caller-CID-Name", cid_name);
            event.push("FIFO-Caller-CID-Number", cid_number);
            push_outbound(event, outbound, uses);
        });
        tell_with(own, written, "bridge-consumer-start", |event| {
            push_outbound(event, outbound, uses)
        });
        tell(caller, written, "bridge-caller-start");
        let mut state = self.fifos.state.lock();
        for leg in [own, caller] {
            state.bridged.insert(leg.uuid().to_string());
        }
        state.add_bridge(Bridge {
            fifo: fifo.to_owned(),
            caller: caller.uuid().to_string(),
            caller_name: caller.var("caller_id_name").unwrap_or_default(),
            caller_number: caller.var("caller_id_number").unwrap_or_default(),
            consumer: own.uuid().to_string(),
            outbound: self.outbound.clone().unwrap_or_default(),
            start: clock::now_secs(),
        });
        drop(state);
        let shown = caller.profile();
        own.with(|data| {
            if let Some(profile) = &mut data.profile {
                profile.callee_id_name.clone_from(&shown.callee_id_name);
                profile.callee_id_number.clone_from(&shown.callee_id_number);
            }
        });
        for (leg, other, role) in [(own, caller, "consumer"), (caller, own, "caller")] {
            leg.set_vars([
                ("signal_bond", other.uuid().to_string()),
                ("fifo_initiated_bridge", "true".to_owned()),
                ("fifo_bridge_role", role.to_owned()),
            ]);
        }
    }

    async fn talk(&self, session: &mut Session, caller: &Arc<Channel>) -> AppResult {
        let key = self.channel.var("fifo_consumer_exit_key");
        let key = key.as_deref().and_then(|key| key.chars().next()).unwrap_or('*');
        self.channel.with(|data| data.slot::<Part>().talks = Some(key));
        let before =
            self.channel.flags.filters_digits.swap(true, std::sync::atomic::Ordering::Relaxed);
        let result = session.bridge_until(caller, "").await;
        self.channel.flags.filters_digits.store(before, std::sync::atomic::Ordering::Relaxed);
        self.channel.with(|data| data.slot::<Part>().talks = None);
        result.map(drop)
    }

    /// Tells that they do no more.
    fn end(&self, fifo: &str, caller: &Arc<Channel>, began: i64) {
        let (own, written) = (&self.channel, &self.args.written);
        let now = clock::now_secs();
        if let Some(outbound) = &self.outbound {
            let mut state = self.fifos.state.lock();
            state.end_use(outbound);
            state.change_members(outbound, |member| {
                member.stop_time = now;
                member.use_count = (member.use_count - 1).max(0);
                member.calls += 1;
                member.calls_total += 1;
                member.next_avail = now + member.lag + 1;
            });
        }
        let (outbound, uses) = (self.outbound.as_deref(), self.uses());
        tell_with(own, written, "channel-consumer-stop", |event| {
            event.push("FIFO-Type", "onhook");
            push_outbound(event, outbound, uses);
            push_consumer_times(event, own);
        });
        for leg in [own, caller] {
            self.fifos.state.lock().bridged.remove(&**leg.uuid());
        }
        tell_with(own, written, "bridge-consumer-stop", |event| {
            push_outbound(event, outbound, uses)
        });
        tell_with(caller, written, "bridge-caller-stop", |event| push_caller_times(event, caller));
        for leg in [own, caller] {
            leg.set_vars([
                ("fifo_epoch_stop_bridge", now.to_string()),
                ("fifo_bridge_seconds", (now - began).to_string()),
            ]);
        }
        self.fifos.state.lock().end_bridge(own.uuid());
        let stamp = stamp();
        own.set_vars([("fifo_status", "WAITING".to_owned()), ("fifo_timestamp", stamp.clone())]);
        caller.set_vars([("fifo_status", "DONE".to_owned()), ("fifo_timestamp", stamp)]);
        self.fifos.settled(own.switch(), fifo);
    }

    /// Rest after a call, until a key or the time ends it.
    async fn wrap_up(&self, session: &mut Session) -> AppResult {
        let own = &self.channel;
        let time = own.variable("fifo_consumer_wrapup_time").filter(|time| !time.is_empty());
        let time = time.map_or(WRAPUP, |time| text::int(&time)).clamp(0, 86_400_000);
        let key = own.variable("fifo_consumer_wrapup_key").unwrap_or_default();
        if time > 0 || !key.is_empty() {
            own.set_var("fifo_status", "WRAPUP");
            self.tell("consumer_wrapup");
        }
        let until = Instant::now() + Duration::from_millis(time.unsigned_abs());
        if let Some(sound) = own.variable_marked("fifo_consumer_wrapup_sound") {
            let sound = base::far::path(&sound).into_owned();
            if let Ended::Key(_) = session.play(Play::once(&sound, Keys::Stop(&key))).await? {
                own.set_var("fifo_status", "WAITING");
                return Ok(());
            }
        }
        if time > 0 {
            'rest: loop {
                while let Some(digit) = session.take_digit() {
                    if key.contains(digit.digit) {
                        break 'rest;
                    }
                }
                if let Wake::Timeout = session.wait(Some(until)).await? {
                    break;
                }
            }
        }
        own.set_var("fifo_status", "WAITING");
        Ok(())
    }
}

/// What looking for a caller came to.
enum Popped {
    Caller(String, Waiting),
    Empty,
    /// The one it was called for is taken.
    Answered,
}

/// A new profile for a leg, the old one kept; it is not in place yet.
fn step_profile(leg: &Channel) -> switch_core::call::CallerProfile {
    let old = leg.profile();
    let mut profile = old.clone();
    profile.profile_index = (text::int(&old.profile_index) + 1).to_string();
    profile.times.profile_created = clock::now_us();
    profile.times.bridged = 0;
    // An outbound leg that runs an application counts as one that calls.
    profile.logical_direction = Direction::Inbound;
    leg.with(|data| data.past_profiles.push(old));
    profile
}

/// Whom a consumer's far end takes itself to be talking to, for events.
pub(crate) fn seen_as(own: &Channel) -> (String, String) {
    let var = |name: &str| own.var(name).filter(|value| !value.is_empty());
    if own.direction() == Direction::Outbound {
        return (
            var("caller_id_name").unwrap_or_default(),
            var("caller_id_number").unwrap_or_default(),
        );
    }
    let name = var("callee_id_name").or_else(|| var("destination_number")).unwrap_or_default();
    let number = var("callee_id_number").unwrap_or_else(|| name.clone());
    (name, number)
}

/// Variables of the partner that a leg's list names, with a prefix if it has one.
pub(crate) fn import(own: &Channel, partner: &Channel, list: &str) {
    let Some(names) = own.variable(list) else { return };
    let prefix = own.variable("fifo_import_prefix").unwrap_or_default();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if let Some(value) = partner.variable_marked(name) {
            own.set_var(format!("{prefix}{name}"), value);
        }
    }
}
