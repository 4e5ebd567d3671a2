//! Who is offered to whom: agents, tiers, queues and callers in memory, and a clock that is told. No sockets, no tasks:
//! [`Dispatcher::tick`] and the reports of what became of an offer go in, [`Output`]s come out.
//!
//! A caller has at most one offer under way, unless its queue rings several agents at once; an agent never has more than
//! one. `tests.rs` holds both through a simulated day.

mod choose;
mod edit;
mod offers;
mod tables;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

pub use edit::{AgentKey, Refused, TierKey};
pub use offers::{Answered, Failure, Miss};
pub use tables::{Agent, Epoch, Member, Queue, QueueSettings, SINGLE_BOX, Tier};
pub use words::{
    AgentState, CALLBACK, CancelReason, MemberState, Status, Strategy, TierState, is_agent_type,
};

use tables::{Agents, Here, Members, Tiers};

/// Names an offer.
pub type OfferId = u64;

/// A caller offered to an agent: all that is needed to call the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Names it.
    pub id: OfferId,
    /// The caller, as it was then.
    pub member: Member,
    /// The agent, as it was then.
    pub agent: Agent,
    /// The queue.
    pub queue: Arc<str>,
    /// What the queue was set up with.
    pub settings: Arc<QueueSettings>,
    /// How the queue chose.
    pub strategy: Strategy,
    /// Place of the agent that was chosen: level, position.
    pub tier: (i64, i64),
}

/// Something others are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A new agent, and its type.
    AgentAdded(Arc<str>, String),
    /// Its status, as it was given.
    AgentStatus(Arc<str>, String),
    /// Its state, as it was given.
    AgentState(Arc<str>, String),
    /// Its contact.
    AgentContact(Arc<str>, String),
    /// It missed too many calls.
    MaxNoAnswer {
        /// The agent.
        agent: Arc<str>,
        /// How many are too many.
        count: i64,
        /// What becomes of it.
        status: Status,
        /// The caller it missed last.
        member: Arc<str>,
        /// The caller's leg.
        session: String,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell others.
    Notice(Notice),
    /// Call the agent.
    Offer(Box<Offer>),
    /// Make the caller leave the queue.
    Cancel(Arc<str>, CancelReason),
    /// Play the queue's announcement to the caller.
    Announce(Arc<str>, String),
    /// Read the queue's configuration: callers wait in a queue that is not loaded.
    LoadQueue(Arc<str>),
    /// Stop calling agents for the caller, because it has one (true) or because it or its agent left.
    HangUpCalled(Arc<str>, bool),
    /// `top-down` begins anew for the caller: forget the place it had got to.
    ForgetTier(Arc<str>),
}

/// A row that has changed since it was asked for last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An agent is there, or is different.
    Agent(Agent),
    /// No agent of that name any more.
    NoAgent(Arc<str>),
    /// A tier is there, or is different.
    Tier(Tier),
    /// No such tier any more: queue, agent.
    NoTier(Arc<str>, Arc<str>),
    /// A caller is there, or is different.
    Member(Member),
    /// No such caller any more.
    NoMember(Arc<str>),
}

#[derive(Debug, Default)]
struct Touched {
    agents: HashSet<Arc<str>>,
    tiers: HashSet<(Arc<str>, Arc<str>)>,
    members: HashSet<Arc<str>>,
}

/// How a call centre is set up as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Names this switch in the table of callers.
    pub instance_id: String,
    /// Agents are reserved before they are called.
    pub reserve_agents: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { instance_id: SINGLE_BOX.to_owned(), reserve_agents: false }
    }
}

/// The call centre.
#[derive(Debug, Default)]
pub struct Dispatcher {
    setup: Setup,
    agents: Agents,
    tiers: Tiers,
    queues: BTreeMap<Arc<str>, Queue>,
    members: Members,
    offers: HashMap<OfferId, Offer>,
    next_offer: OfferId,
    dice: u64,
    touched: Touched,
    out: Vec<Output>,
}

impl Dispatcher {
    /// An empty one; `seed` is what `random` begins with.
    #[must_use]
    pub fn new(setup: Setup, seed: u64) -> Self {
        Self { setup, dice: seed | 1, ..Self::default() }
    }

    /// What is to be done since it was asked last, in order.
    pub fn outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    /// Rows that changed since they were asked for last.
    pub fn changes(&mut self) -> Vec<Change> {
        let touched = std::mem::take(&mut self.touched);
        let agents = touched.agents.into_iter().map(|name| match self.agents.get(&name) {
            Some(agent) => Change::Agent(agent.clone()),
            None => Change::NoAgent(name),
        });
        let tiers = touched.tiers.into_iter().map(|(queue, agent)| {
            match self.tiers.find(&queue, &agent).and_then(|id| self.tiers.get(id)) {
                Some(tier) => Change::Tier(tier.clone()),
                None => Change::NoTier(queue, agent),
            }
        });
        let members = touched.members.into_iter().map(|uuid| match self.members.get(&uuid) {
            Some(member) => Change::Member(member.clone()),
            None => Change::NoMember(uuid),
        });
        agents.chain(tiers).chain(members).collect()
    }

    /// Changes are not stored: there is no database.
    pub fn forget_changes(&mut self) {
        self.touched = Touched::default();
    }

    /// Is there anything a clock has to be looked at for?
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.members.len() == 0
    }

    fn agent_mut(&mut self, name: &str) -> Option<&mut Agent> {
        let agent = self.agents.get_mut(name)?;
        self.touched.agents.insert(Arc::clone(&agent.name));
        Some(agent)
    }

    fn member_mut(&mut self, uuid: &str) -> Option<&mut Member> {
        let member = self.members.get_mut(uuid)?;
        self.touched.members.insert(Arc::clone(&member.uuid));
        Some(member)
    }

    fn remove_member(&mut self, uuid: &str) {
        if let Some(member) = self.members.remove(uuid) {
            self.touched.members.insert(member.uuid);
        }
    }

    fn set_tier_state(&mut self, id: tables::TierId, state: TierState) {
        if let Some(tier) = self.tiers.get_mut(id)
            && tier.state != state
        {
            tier.state = state;
            self.touched.tiers.insert((Arc::clone(&tier.queue), Arc::clone(&tier.agent)));
        }
    }

    fn notice(&mut self, notice: Notice) {
        self.out.push(Output::Notice(notice));
    }

    // ---- queues ----

    /// Loads a queue, or loads it anew: its counts begin again.
    pub fn load_queue(&mut self, queue: Queue) {
        self.queues.insert(Arc::clone(&queue.name), queue);
    }

    /// Forgets a queue; its callers stay. False if there was none.
    pub fn unload_queue(&mut self, name: &str) -> bool {
        self.queues.remove(name).is_some()
    }

    /// A queue that is loaded.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.get(name)
    }

    /// All queues that are loaded.
    pub fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.queues.values()
    }

    /// Counts a caller as served or not.
    pub fn count_call(&mut self, queue: &str, answered: bool) {
        if let Some(queue) = self.queues.get_mut(queue) {
            match answered {
                true => queue.calls_answered += 1,
                false => queue.calls_abandoned += 1,
            }
        }
    }

    // ---- callers ----

    /// A caller comes in. The queue decides under which name it is known as served by several.
    pub fn join(&mut self, mut member: Member, now: Epoch) {
        let several = self.queues.get(&*member.queue).and_then(|q| q.strategy.rings_several());
        member.serving_agent = several.unwrap_or_default().to_owned();
        member.here =
            Here { called: now, announced: now, several: several.is_some(), ..Here::default() };
        self.touched.members.insert(Arc::clone(&member.uuid));
        self.members.insert(member);
    }

    /// A new caller of a queue.
    #[must_use]
    pub fn caller(&self, queue: &str, uuid: &str, session: &str, now: Epoch) -> Member {
        Member {
            queue: queue.into(),
            instance_id: self.setup.instance_id.clone(),
            uuid: uuid.into(),
            session_uuid: session.to_owned(),
            cid_number: String::new(),
            cid_name: String::new(),
            system_epoch: now,
            joined_epoch: now,
            rejoined_epoch: 0,
            bridge_epoch: 0,
            abandoned_epoch: 0,
            base_score: 0,
            skill_score: 0,
            serving_agent: String::new(),
            serving_system: String::new(),
            state: MemberState::Waiting,
            here: Here::default(),
        }
    }

    /// Gives one who gave up before, and calls again from the same number, the old place; its name in the queue.
    pub fn resume(
        &mut self,
        queue: &str,
        cid_number: &str,
        session: &str,
        now: Epoch,
    ) -> Option<Arc<str>> {
        let loaded = self.queues.get(queue)?;
        if !loaded.settings.abandoned_resume_allowed {
            return None;
        }
        let several = loaded.strategy.rings_several();
        let left = self.members.iter().filter(|m| {
            m.state == MemberState::Abandoned && &*m.queue == queue && m.cid_number == cid_number
        });
        let found = left.filter(|m| m.abandoned_epoch > 0).max_by_key(|m| m.abandoned_epoch)?;
        let uuid = Arc::clone(&found.uuid);
        let instance_id = self.setup.instance_id.clone();
        let member = self.member_mut(&uuid)?;
        member.session_uuid = session.to_owned();
        member.state = MemberState::Waiting;
        member.rejoined_epoch = now;
        member.instance_id = instance_id;
        several.unwrap_or_default().clone_into(&mut member.serving_agent);
        member.serving_system.clear();
        let turn = member.here.turn;
        let several = several.is_some();
        member.here = Here { called: now, announced: now, turn, several, ..Here::default() };
        Some(uuid)
    }

    /// A caller leaves unserved.
    pub fn leave(&mut self, uuid: &str, now: Epoch) {
        let Some(member) = self.member_mut(uuid) else { return };
        if member.state == MemberState::Answered {
            return;
        }
        abandon(member, now);
        let uuid = Arc::clone(&member.uuid);
        self.out.push(Output::HangUpCalled(uuid, false));
    }

    /// The announcement cannot be played: it is not tried again.
    pub fn mute(&mut self, uuid: &str) {
        if let Some(member) = self.members.get_mut(uuid) {
            member.here.mute = true;
        }
    }

    /// A caller.
    #[must_use]
    pub fn member(&self, uuid: &str) -> Option<&Member> {
        self.members.get(uuid)
    }

    /// All callers, best score first.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// An agent.
    #[must_use]
    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.agents.get(name)
    }

    /// All agents.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter()
    }

    /// All tiers.
    pub fn tiers(&self) -> impl Iterator<Item = &Tier> {
        self.tiers.iter()
    }

    /// Tiers of a queue.
    pub fn tiers_of(&self, queue: &str) -> impl Iterator<Item = &Tier> {
        self.tiers.of_queue(queue).map(|(_, tier)| tier)
    }

    /// How many callers of a queue (of all, with `*`) are waiting or being offered, and how many only waiting.
    #[must_use]
    pub fn waiting(&self, queue: &str) -> (usize, usize) {
        let all = queue.starts_with('*');
        let of_queue = self.members.iter().filter(|m| all || &*m.queue == queue);
        of_queue.fold((0, 0), |(both, waiting), m| match m.state {
            MemberState::Waiting => (both + 1, waiting + 1),
            MemberState::Trying => (both + 1, waiting),
            _ => (both, waiting),
        })
    }

    /// What a database remembers of an earlier run: agents are free, callers have given up.
    pub fn restore(&mut self, agents: Vec<Agent>, tiers: Vec<Tier>, members: Vec<Member>) {
        for mut agent in agents {
            if agent.instance_id == SINGLE_BOX {
                agent.state = AgentState::Waiting;
                agent.uuid.clear();
                agent.external_calls_count = 0;
            }
            self.touched.agents.insert(Arc::clone(&agent.name));
            self.agents.insert(agent);
        }
        for mut tier in tiers {
            if self.agents.get(&tier.agent).is_some_and(|a| a.instance_id == SINGLE_BOX) {
                tier.state = TierState::Ready;
            }
            self.touched.tiers.insert((Arc::clone(&tier.queue), Arc::clone(&tier.agent)));
            if self.tiers.find(&tier.queue, &tier.agent).is_none() {
                self.tiers.insert(tier);
            }
        }
        for mut member in members {
            // Another switch sees to its own callers.
            if member.instance_id != self.setup.instance_id {
                continue;
            }
            member.state = MemberState::Abandoned;
            member.session_uuid.clear();
            self.touched.members.insert(Arc::clone(&member.uuid));
            self.members.insert(member);
        }
    }

    // ---- the clock ----

    /// Makes callers leave who have waited too long, and plays announcements that are due. Twice a second.
    pub fn watch(&mut self, now: Epoch) {
        let waiting: Vec<_> = self
            .members
            .iter()
            .filter(|m| matches!(m.state, MemberState::Waiting | MemberState::Trying))
            .filter(|m| !m.here.cancelled)
            .map(|m| Arc::clone(&m.uuid))
            .collect();
        for uuid in waiting {
            self.watch_member(&uuid, now);
        }
    }

    fn watch_member(&mut self, uuid: &Arc<str>, now: Epoch) {
        let Some(member) = self.members.get_mut(uuid) else { return };
        let Some(queue) = self.queues.get(&*member.queue) else { return };
        let rules = &queue.settings;
        let called = member.here.called;
        if rules.max_wait_time > 0 && rules.max_wait_time <= now - called {
            member.here.late = true;
        }
        let connecting = member.here.offers > 0;
        let reason = if member.here.late && !connecting {
            Some(CancelReason::Timeout)
        } else if !member.here.late && no_agent_for_too_long(queue, called) {
            Some(CancelReason::NoAgentTimeout)
        } else {
            None
        };
        if let Some(reason) = reason {
            member.here.cancelled = true;
            self.out.push(Output::Cancel(Arc::clone(uuid), reason));
            return;
        }
        let due = rules.announce_frequency > 0
            && !member.here.mute
            && rules.announce_frequency <= now - member.here.announced;
        if let (true, Some(sound)) = (due, &rules.announce_sound) {
            member.here.announced = now;
            self.out.push(Output::Announce(Arc::clone(uuid), sound.clone()));
        }
    }
}

/// `max-wait-time-with-no-agent`, with the time of grace for one who has just come.
fn no_agent_for_too_long(queue: &Queue, called: Epoch) -> bool {
    let rules = &queue.settings;
    let (seen, looked) = (queue.last_agent_exist, queue.last_agent_exist_check);
    if rules.max_wait_time_with_no_agent <= 0 || looked <= seen || called > looked {
        return false;
    }
    if looked - seen < rules.max_wait_time_with_no_agent {
        return false;
    }
    let grace = rules.max_wait_time_with_no_agent_time_reached;
    grace <= 0 || looked - called >= grace + rules.max_wait_time_with_no_agent
}

fn abandon(member: &mut Member, now: Epoch) {
    member.state = MemberState::Abandoned;
    member.session_uuid.clear();
    member.abandoned_epoch = now;
}
