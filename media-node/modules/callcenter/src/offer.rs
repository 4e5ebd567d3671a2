//! One offer: the agent is called, or taken from the line it waits on, and bridged to the caller; the agent is free again
//! when the call is over.

use std::sync::Arc;
use std::time::Duration;

use esl_server::event::{Event, EventName};
use switch_core::app::play::{Keys, Play};
use switch_core::call::originate::{Request, originate};
use switch_core::call::{Cause, Channel, Extension, uuid_bridge};
use switch_core::contract::CallObserver;
use switch_core::switch::Switch;
use switch_core::{clock, host};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::center::{Center, hang_up_called, run_quietly};
use crate::dispatch::{Answered, CALLBACK, Epoch, Failure, Miss, Offer, Strategy, is_agent_type};
use crate::events::{fire, fire_on, push_agent, push_member, push_offer};

/// How long the two may take to be bridged.
const BRIDGE_TIME: Duration = Duration::from_secs(3);
/// How long a loopback agent's other side may take to be bridged, and a standing agent to be parked.
const SETTLE_TIME: Duration = Duration::from_secs(5);
/// How often it is looked whether a call is over.
const LOOK: Duration = Duration::from_millis(100);

/// What is known of the leg of an agent.
#[derive(Debug, Default)]
pub(crate) struct AgentLeg {
    /// It has been bridged since it was given the caller.
    bridged: bool,
    /// It is not bridged any more.
    over: bool,
    /// `callcenter_break`: the agent is released while it talks on.
    released: bool,
}

impl AgentLeg {
    /// Releases the agent that talks on this leg.
    pub(crate) fn release(channel: &Channel) {
        channel.with(|data| data.slot::<Self>().released = true);
        channel.notify();
    }
}

/// Notes bridges of agents' legs.
pub(crate) struct Observer;

impl CallObserver for Observer {
    fn bridged(&self, channel: &Channel) {
        let known = channel
            .with(|data| data.find_slot::<AgentLeg>().map(|leg| leg.bridged = true).is_some());
        if known {
            channel.notify();
        }
    }

    fn unbridged(&self, channel: &Channel) {
        let known = channel
            .with(|data| data.find_slot::<AgentLeg>().map(|leg| leg.over = leg.bridged).is_some());
        if known {
            channel.notify();
        }
    }

    fn hung_up<'a>(
        &'a self,
        session: &'a mut switch_core::call::Session,
    ) -> switch_core::BoxFuture<'a, ()> {
        crate::track::call_ended(session.channel());
        Box::pin(std::future::ready(()))
    }
}

/// Times of an offer, as events tell them.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    called: Epoch,
    answered: Epoch,
}

/// What the agent's side came to.
enum Reached {
    /// A leg to bridge to, and the cause events tell.
    Leg(Arc<Channel>, Cause),
    Failed(Cause),
}

/// Variables of the caller that tell how the agent was chosen.
pub(crate) fn note_choice(member: &Channel, offer: &Offer) {
    match offer.strategy {
        Strategy::TopDown => member.set_vars([
            ("cc_last_agent_tier_position", offer.tier.1.to_string()),
            ("cc_last_agent_tier_level", offer.tier.0.to_string()),
        ]),
        Strategy::RingProgressively => {
            member.set_var("cc_last_originated_call", clock::now_secs().to_string());
        }
        _ => {}
    }
}

/// Sees an offer through.
pub(crate) async fn run(switch: &Arc<Switch>, center: &Arc<Center>, offer: Offer) {
    let id = offer.id;
    // Whatever happens, the agent is released.
    let step = see_through(switch, center, &offer);
    let how = switch_core::tasks::step("offer of a caller to an agent", step).await;
    let (bridged, missed) = how.unwrap_or_default();
    center.run(switch, |dispatcher| dispatcher.release(id, bridged, missed));
}

/// True for bridged, true for missed.
async fn see_through(switch: &Arc<Switch>, center: &Arc<Center>, offer: &Offer) -> (bool, bool) {
    let caller = switch.channel(&offer.member.session_uuid).filter(|channel| channel.is_up());
    let Some(member) = caller else {
        tracing::debug!(
            "Member {} in queue {} is gone just before we assigned an agent",
            offer.member.uuid,
            offer.queue
        );
        center.run(switch, |d| d.caller_was_gone(offer.id, clock::now_secs()));
        return (false, false);
    };
    tell_offering(switch, offer, &member);
    let mut times = Times::default();
    let reached = if offer.agent.is_standby() {
        standing(switch, center, offer, &member).await
    } else {
        times.called = clock::now_secs();
        called(switch, center, offer, &member).await
    };
    let (agent, cause) = match reached {
        Reached::Leg(agent, cause) => (agent, cause),
        Reached::Failed(cause) => return (false, failed(switch, center, offer, times, cause)),
    };
    agent.unset_var("cc_member_pre_answer_uuid");
    if center.run(switch, |dispatcher| dispatcher.answered(offer.id)) == Answered::Lost {
        if !offer.agent.is_standby() {
            agent.hangup(Cause::LOSE_RACE);
        }
        return (false, false);
    }
    times.answered = clock::now_secs();
    let pair = Pair { switch, center, offer, member: &member, agent: &agent, times, cause };
    (pair.serve().await, false)
}

fn tell_offering(switch: &Switch, offer: &Offer, member: &Channel) {
    fire(switch, |event| {
        push_offer(event, offer, "agent-offering");
        event.push("CC-Agent", &*offer.agent.name);
        event.push("CC-Agent-Type", offer.agent.kind.as_str());
        event.push("CC-Agent-System", offer.agent.instance_id.as_str());
        push_member(event, &offer.member);
        push_dnis(event, member);
    });
}

fn push_dnis(event: &mut Event, member: &Channel) {
    let dnis = member.profile().rdnis.clone();
    if !dnis.is_empty() {
        event.push("CC-Member-DNIS", dnis);
    }
}

/// Calls the agent.
async fn called(
    switch: &Arc<Switch>,
    center: &Arc<Center>,
    offer: &Offer,
    member: &Arc<Channel>,
) -> Reached {
    if !is_agent_type(&offer.agent.kind) {
        return Reached::Failed(Cause::USER_NOT_REGISTERED);
    }
    let caller = &offer.member;
    let name = member.variable_marked("effective_caller_id_name");
    let name = name.unwrap_or_else(|| caller.cid_name.clone());
    let number = member.variable_marked("effective_caller_id_number");
    let prefix = member.variable("cc_outbound_cid_name_prefix").unwrap_or_default();
    let request = Request {
        dial: host::expand_for(switch, Some(member), &offer.agent.contact).await,
        cid_name: Some(format!("{prefix}{name}")),
        cid_number: Some(number.unwrap_or_else(|| caller.cid_number.clone())),
        timeout: Some(center.originate_timeout()),
        variables: variables(offer, member),
    };
    let mut running = center.running();
    let calling = originate(switch, &request, None);
    tokio::pin!(calling);
    let gone = async {
        tokio::select! {
            () = Arc::clone(member).hung_up() => {}
            _ended = running.wait_for(|running| !running) => {}
        }
    };
    tokio::pin!(gone);
    let mut leaving = false;
    let made = loop {
        tokio::select! {
            made = &mut calling => break made,
            () = &mut gone, if !leaving => leaving = true,
            // Legs that come up late end too.
            () = tokio::time::sleep(LOOK), if leaving => {}
        }
        if leaving {
            hang_up_called(switch, &caller.uuid, Cause::ORIGINATOR_CANCEL);
        }
    };
    match made {
        Ok(leg) => match behind_loopback(switch, offer, member, leg).await {
            Some(agent) => Reached::Leg(agent, Cause::SUCCESS),
            None => Reached::Failed(Cause::SUCCESS),
        },
        Err(failure) => Reached::Failed(failure.cause),
    }
}

fn variables(offer: &Offer, member: &Channel) -> Vec<(String, String)> {
    let caller = &offer.member;
    let mut variables = of_a_request(member.switch());
    let own = [
        ("cc_queue", offer.queue.to_string()),
        ("cc_queue_joined_epoch", caller.joined_epoch.to_string()),
        ("cc_member_uuid", caller.uuid.to_string()),
        ("cc_member_session_uuid", caller.session_uuid.clone()),
        ("cc_member_pre_answer_uuid", caller.uuid.to_string()),
        ("cc_agent", offer.agent.name.to_string()),
        ("cc_agent_type", offer.agent.kind.clone()),
        ("cc_side", "agent".to_owned()),
        ("loopback_bowout", "false".to_owned()),
        ("loopback_bowout_on_execute", "false".to_owned()),
        ("ignore_early_media", "true".to_owned()),
    ];
    variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
    if let Some(list) = member.variable("cc_export_vars") {
        variables.push(("cc_export_vars".to_owned(), list.clone()));
        variables.extend(exported(member, &list));
    }
    variables
}

/// The headers of an event of parameters: the reference makes its variables in one, and legs get those as well.
fn of_a_request(switch: &Switch) -> Vec<(String, String)> {
    let mut event = Event::new(EventName::RequestParams);
    esl_server::stamp!(switch.bus, &mut event);
    let mut headers = Vec::new();
    event.for_each_header(|name, value| headers.push((name.to_owned(), value.text().into_owned())));
    headers
}

/// Variables of the caller that go to the agent's leg.
fn exported(member: &Channel, list: &str) -> Vec<(String, String)> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let plain = |name: &str| {
        let name = name.strip_prefix("nolocal:").unwrap_or(name);
        name.strip_prefix("_nolocal_").unwrap_or(name).to_owned()
    };
    names.filter_map(|name| Some((plain(name), member.variable_marked(name)?))).collect()
}

/// A loopback leg stands for whom it is bridged to.
async fn behind_loopback(
    switch: &Arc<Switch>,
    offer: &Offer,
    member: &Channel,
    leg: Arc<Channel>,
) -> Option<Arc<Channel>> {
    let Some(other) = leg.variable("other_loopback_leg_uuid") else { return Some(leg) };
    let real = real_agent(switch, &other).await;
    let Some(real) = real else {
        tracing::debug!(
            "Failed to find a real channel behind loopback agent '{}'",
            offer.agent.name
        );
        leg.hangup(Cause::DESTINATION_OUT_OF_ORDER);
        return None;
    };
    set_agent_variables(&real, offer);
    if let Some(list) = member.variable("cc_export_vars") {
        for (name, value) in exported(member, &list) {
            real.set_var(name, value);
        }
    }
    // The pair is not to be hung up with those who lost the race.
    leg.unset_var("cc_member_pre_answer_uuid");
    if let Some(other) = switch.channel(&other) {
        other.unset_var("cc_member_pre_answer_uuid");
    }
    Some(real)
}

async fn real_agent(switch: &Switch, other: &str) -> Option<Arc<Channel>> {
    let other = switch.channel(other)?;
    let mut watch = other.watch();
    let bridged = async {
        loop {
            if let Some(partner) = other.partner() {
                return Some(partner);
            }
            if !other.is_up() || watch.changed().await.is_err() {
                return None;
            }
        }
    };
    timeout(SETTLE_TIME, bridged).await.ok().flatten().filter(|real| real.is_up())
}

fn set_agent_variables(leg: &Channel, offer: &Offer) {
    leg.set_vars([
        ("cc_side", "agent".to_owned()),
        ("cc_queue", offer.queue.to_string()),
        ("cc_agent", offer.agent.name.to_string()),
        ("cc_agent_type", offer.agent.kind.clone()),
        ("cc_member_uuid", offer.member.uuid.to_string()),
        ("cc_member_session_uuid", offer.member.session_uuid.clone()),
    ]);
}

/// The agent that waits on its line.
async fn standing(
    switch: &Arc<Switch>,
    center: &Arc<Center>,
    offer: &Offer,
    member: &Arc<Channel>,
) -> Reached {
    let Some(leg) = switch.channel(&offer.agent.uuid).filter(|leg| leg.is_up()) else {
        let now = clock::now_secs();
        center.run(switch, |dispatcher| dispatcher.standby_leg_gone(&offer.agent.name, now));
        return Reached::Failed(Cause::NONE);
    };
    set_agent_variables(&leg, offer);
    if let Some(list) = member.variable("cc_export_vars") {
        for (name, value) in exported(member, &list) {
            leg.set_var(name, value);
        }
    }
    if let Some(tone) = leg.variable("cc_warning_tone") {
        play_to(&leg, &tone).await;
    }
    Reached::Leg(leg, Cause::NONE)
}

/// Plays files (`ARRAY::a::b`) to a leg, and waits for their end.
async fn play_to(leg: &Arc<Channel>, files: &str) {
    let files: Vec<String> = match files.strip_prefix("ARRAY::") {
        Some(list) => {
            list.split("|:").flat_map(|part| part.split("::")).map(str::to_owned).collect()
        }
        None => vec![files.to_owned()],
    };
    let (tell, played) = oneshot::channel();
    let job = leg.job(Box::new(move |session| {
        Box::pin(async move {
            for file in files {
                let play = Play::once(&file, Keys::Stop(""));
                if session.play(play).await.is_err() {
                    break;
                }
            }
            let _gone = tell.send(());
        })
    }));
    if job.is_ok() {
        tokio::select! {
            _played = played => {}
            () = Arc::clone(leg).hung_up() => {}
        }
    }
}

/// The agent could not be had. True if it counts as missed.
fn failed(
    switch: &Arc<Switch>,
    center: &Arc<Center>,
    offer: &Offer,
    times: Times,
    cause: Cause,
) -> bool {
    let miss = match cause {
        Cause::LOSE_RACE | Cause::ORIGINATOR_CANCEL => Miss::Called,
        Cause::NORMAL_CIRCUIT_CONGESTION | Cause::USER_BUSY => Miss::Busy,
        Cause::CALL_REJECTED => Miss::Rejected,
        Cause::USER_NOT_REGISTERED => Miss::NotRegistered,
        _ => Miss::NoAnswer,
    };
    tracing::debug!("Agent {} Origination Canceled : {cause}", offer.agent.name);
    center.run(switch, |dispatcher| dispatcher.failed(offer.id, miss, clock::now_secs()));
    fire(switch, |event| {
        push_offer(event, offer, "bridge-agent-fail");
        event.push("CC-Hangup-Cause", cause.name());
        push_agent(event, offer);
        event.push("CC-Agent-Called-Time", times.called.to_string());
        event.push("CC-Agent-Aborted-Time", clock::now_secs().to_string());
        push_member(event, &offer.member);
        event.push("CC-Member-Joined-Time", offer.member.joined_epoch.to_string());
    });
    miss == Miss::NoAnswer
}

/// Caller and agent who are to be bridged.
struct Pair<'a> {
    switch: &'a Arc<Switch>,
    center: &'a Arc<Center>,
    offer: &'a Offer,
    member: &'a Arc<Channel>,
    agent: &'a Arc<Channel>,
    times: Times,
    cause: Cause,
}

impl Pair<'_> {
    /// Bridges the two and waits for the end. True if they were bridged.
    async fn serve(&self) -> bool {
        fire_on(self.agent, |event| {
            push_offer(event, self.offer, "bridge-agent-start");
            self.push_times(event);
            event.push("CC-Member-Joined-Time", self.offer.member.joined_epoch.to_string());
            push_member(event, &self.offer.member);
            push_dnis(event, self.member);
        });
        self.record().await;
        if let Some(files) = self.member.variable("cc_outbound_announce") {
            play_to(self.agent, &files).await;
        }
        let bridged = self.bridge().await;
        if bridged {
            self.until_over().await;
        }
        self.tell_end(bridged);
        bridged
    }

    fn push_times(&self, event: &mut Event) {
        push_agent(event, self.offer);
        event.push("CC-Agent-UUID", &**self.agent.uuid());
        event.push("CC-Agent-Called-Time", self.times.called.to_string());
        event.push("CC-Agent-Answered-Time", self.times.answered.to_string());
    }

    async fn record(&self) {
        let Some(template) = &self.offer.settings.record_template else { return };
        let path = host::expand_for(self.switch, Some(self.member), template).await;
        self.member.set_var("cc_record_filename", path.clone());
        let args = format!("{} start '{path}'", self.member.uuid());
        let reply = run_quietly(self.switch, "uuid_record", &args).await;
        if !reply.starts_with("+OK") {
            let path = base::secrets::masked(&path);
            tracing::error!(uuid = %self.member.uuid(), "The call cannot be recorded to {path}");
        }
    }

    async fn bridge(&self) -> bool {
        let (member, agent) = (self.member, self.agent);
        agent.with(|data| *data.slot::<AgentLeg>() = AgentLeg::default());
        // An agent who left meanwhile: the caller is not taken out of the queue.
        let there = member.is_up() && agent.is_up();
        let mut bridged = false;
        if there {
            member.set_var("cc_agent_found", "true");
            member.set_var("cc_agent_uuid", agent.uuid().to_string());
            uuid_bridge::join(member, agent);
            bridged = self.bridged_in_time().await;
        }
        let now = clock::now_secs();
        if !bridged && !member.is_up() {
            for leg in [agent, member] {
                leg.set_var("cc_agent_bridged", "false");
            }
            self.caller_gone(now).await;
            return false;
        }
        if !bridged && !agent.is_up() {
            self.agent_gone(now, there);
            return false;
        }
        member.set_var("cc_agent_bridged", "true");
        agent.set_var("cc_agent_bridged", "true");
        member.set_var("cc_agent", self.offer.agent.name.to_string());
        member.set_var("cc_queue_answered_epoch", now.to_string());
        let (id, uuid) = (self.offer.id, agent.uuid());
        self.center.run(self.switch, |dispatcher| dispatcher.bridged(id, uuid, now));
        true
    }

    async fn bridged_in_time(&self) -> bool {
        let mut watch = self.agent.watch();
        let bridged = async {
            loop {
                if self.agent.with(|data| data.slot::<AgentLeg>().bridged) {
                    return true;
                }
                if !self.agent.is_up() || watch.changed().await.is_err() {
                    return false;
                }
            }
        };
        timeout(BRIDGE_TIME, bridged).await.unwrap_or(false)
    }

    async fn caller_gone(&self, now: Epoch) {
        let id = self.offer.id;
        self.center.run(self.switch, |d| d.not_bridged(id, Failure::CallerGone, now));
        if let Some(files) = self.member.variable("cc_bridge_failed_outbound_announce") {
            play_to(self.agent, &files).await;
        }
        if self.offer.agent.kind.eq_ignore_ascii_case(CALLBACK) {
            self.agent.hangup(Cause::ORIGINATOR_CANCEL);
        }
    }

    /// The agent left before the bridge. A caller who had been taken out of the queue for it goes back, to its place.
    fn agent_gone(&self, now: Epoch, taken_out: bool) {
        let id = self.offer.id;
        self.center.run(self.switch, |d| d.not_bridged(id, Failure::AgentGone, now));
        if !taken_out {
            return;
        }
        tracing::debug!(uuid = %self.member.uuid(), "The agent has gone; back to the queue");
        let queue = self.offer.queue.to_string();
        self.member.with(|data| {
            data.slot::<crate::member::Stay>().back_to = Some(Arc::clone(&self.offer.member.uuid));
            let (name, number, rest) = match &data.extension {
                Some(now) => {
                    let from = now.steps().len() - now.left();
                    (Arc::clone(&now.name), Arc::clone(&now.number), now.steps()[from..].to_vec())
                }
                None => ("callcenter".into(), Arc::from(&*queue), Vec::new()),
            };
            let again = ("callcenter", queue.as_str()).into();
            data.extension = Some(Extension::new(name, number, std::iter::once(again).chain(rest)));
        });
    }

    /// Until the agent has hung up, is released, or the module ends.
    async fn until_over(&self) {
        let (mut watch, mut running) = (self.agent.watch(), self.center.running());
        let began = Instant::now();
        let standby = self.offer.agent.is_standby();
        loop {
            let (over, released) = self.agent.with(|data| {
                let leg = data.slot::<AgentLeg>();
                (leg.over, std::mem::take(&mut leg.released))
            });
            if released {
                tracing::debug!(
                    "callcenter_break requested at agent channel, releasing agent {}",
                    self.offer.agent.name
                );
                break;
            }
            if !self.agent.is_up() || (standby && over) || !self.center.is_running() {
                break;
            }
            tokio::select! {
                changed = watch.changed() => if changed.is_err() { break },
                _ended = running.changed() => {}
            }
        }
        // The end is seen when it is looked for next, as in the reference: after what the legs tell of it.
        let past = began.elapsed().as_millis() % LOOK.as_millis();
        let left = LOOK.saturating_sub(Duration::from_millis(past as u64));
        tokio::time::sleep(left.max(Duration::from_millis(20))).await;
    }

    fn tell_end(&self, bridged: bool) {
        let member = &self.offer.member;
        let now = clock::now_secs();
        fire_on(self.agent, |event| {
            push_offer(event, self.offer, "bridge-agent-end");
            event.push("CC-Hangup-Cause", self.cause.name());
            push_agent(event, self.offer);
            event.push("CC-Agent-UUID", &**self.agent.uuid());
            event.push("CC-Agent-Bridged", if bridged { "true" } else { "false" });
            event.push("CC-Agent-Called-Time", self.times.called.to_string());
            event.push("CC-Agent-Answered-Time", self.times.answered.to_string());
            event.push("CC-Member-Joined-Time", member.joined_epoch.to_string());
            event.push("CC-Bridge-Terminated-Time", now.to_string());
            push_member(event, member);
        });
        if !bridged {
            return;
        }
        self.member.set_var("cc_queue_terminated_epoch", now.to_string());
        let id = self.offer.id;
        self.center.run(self.switch, |dispatcher| dispatcher.ended(id, now));
        fire_on(self.member, |event| {
            push_offer(event, self.offer, "member-queue-end");
            event.push("CC-Hangup-Cause", self.cause.name());
            event.push("CC-Cause", "Terminated");
            self.push_times(event);
            event.push("CC-Member-Leaving-Time", now.to_string());
            event.push("CC-Member-Joined-Time", member.joined_epoch.to_string());
            push_member(event, member);
        });
    }
}
