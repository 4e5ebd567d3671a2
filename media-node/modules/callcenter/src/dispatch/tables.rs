//! Agents, tiers, queues and callers, as the reference's tables have them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::words::{AgentState, MemberState, STANDBY, Status, Strategy, TierState};

/// Seconds since the epoch.
pub type Epoch = i64;
/// Whose rows are this switch's own.
pub const SINGLE_BOX: &str = "single_box";

/// One who takes calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// `name@domain`.
    pub name: Arc<str>,
    /// The switch it belongs to.
    pub instance_id: String,
    /// The leg it talks on, or waits on (`uuid-standby`).
    pub uuid: String,
    /// `callback` or `uuid-standby`, as written.
    pub kind: String,
    /// Where it is called.
    pub contact: String,
    /// What it says of itself.
    pub status: Status,
    /// What it does.
    pub state: AgentState,
    /// Missed calls after which its status changes; 0 is never.
    pub max_no_answer: i64,
    /// Seconds of rest after a call.
    pub wrap_up_time: i64,
    /// Seconds of rest after a refused call.
    pub reject_delay_time: i64,
    /// Seconds of rest after it was busy.
    pub busy_delay_time: i64,
    /// Seconds of rest after a missed call.
    pub no_answer_delay_time: i64,
    /// When its last call began.
    pub last_bridge_start: Epoch,
    /// When its last call ended.
    pub last_bridge_end: Epoch,
    /// When it was called last.
    pub last_offered_call: Epoch,
    /// When its status changed last.
    pub last_status_change: Epoch,
    /// Calls missed in a row.
    pub no_answer_count: i64,
    /// Calls taken since it became available.
    pub calls_answered: i64,
    /// Seconds talked since it became available.
    pub talk_time: i64,
    /// No call before.
    pub ready_time: Epoch,
    /// Calls beside the queues (`callcenter_track`).
    pub external_calls_count: i64,
    /// Place in the order of calls offered; finer than seconds.
    pub(super) offered: u64,
}

impl Agent {
    /// A new one, logged out.
    #[must_use]
    pub fn new(name: &str, kind: &str) -> Self {
        Self {
            name: name.into(),
            instance_id: SINGLE_BOX.to_owned(),
            uuid: String::new(),
            kind: kind.to_owned(),
            contact: String::new(),
            status: Status::LoggedOut,
            state: AgentState::Waiting,
            max_no_answer: 0,
            wrap_up_time: 0,
            reject_delay_time: 0,
            busy_delay_time: 0,
            no_answer_delay_time: 0,
            last_bridge_start: 0,
            last_bridge_end: 0,
            last_offered_call: 0,
            last_status_change: 0,
            no_answer_count: 0,
            calls_answered: 0,
            talk_time: 0,
            ready_time: 0,
            external_calls_count: 0,
            offered: 0,
        }
    }

    /// Does it wait on a line of its own?
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.kind.eq_ignore_ascii_case(STANDBY)
    }

    /// Could it take a call now or later?
    pub(super) fn is_in(&self) -> bool {
        self.status != Status::LoggedOut
    }
}

/// An agent's place in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// The queue.
    pub queue: Arc<str>,
    /// The agent.
    pub agent: Arc<str>,
    /// What it does for this queue.
    pub state: TierState,
    /// Lower levels come first.
    pub level: i64,
    /// Place within the level.
    pub position: i64,
}

/// What the configuration says of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// As written.
    pub strategy: String,
    /// What callers hear.
    pub moh_sound: Option<String>,
    /// What they hear now and then.
    pub announce_sound: Option<String>,
    /// Seconds between announcements; 0 is none.
    pub announce_frequency: i64,
    /// Where calls are recorded.
    pub record_template: Option<String>,
    /// `queue`, or `system`: seconds the call has lasted before count too.
    pub time_base_score: String,
    /// Seconds before one more agent is called; 0 is 10.
    pub ring_progressively_delay: i64,
    /// Levels have to be waited for.
    pub tier_rules_apply: bool,
    /// How long.
    pub tier_rule_wait_second: i64,
    /// That many times the level.
    pub tier_rule_wait_multiply_level: bool,
    /// A level without agents is not waited for.
    pub tier_rule_no_agent_no_wait: bool,
    /// Seconds the place of one who gave up is kept.
    pub discard_abandoned_after: i64,
    /// A caller that calls again gets the place back.
    pub abandoned_resume_allowed: bool,
    /// Longest wait; 0 is without limit.
    pub max_wait_time: i64,
    /// Longest wait while no agent is there.
    pub max_wait_time_with_no_agent: i64,
    /// Seconds more for one who has just come.
    pub max_wait_time_with_no_agent_time_reached: i64,
    /// What becomes of an agent that misses too many calls.
    pub agent_no_answer_status: Status,
    /// Agents in calls beside the queues are left alone.
    pub skip_agents_with_external_calls: bool,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            strategy: "longest-idle-agent".to_owned(),
            moh_sound: None,
            announce_sound: None,
            announce_frequency: 0,
            record_template: None,
            time_base_score: "queue".to_owned(),
            ring_progressively_delay: 0,
            tier_rules_apply: false,
            tier_rule_wait_second: 0,
            tier_rule_wait_multiply_level: false,
            tier_rule_no_agent_no_wait: true,
            discard_abandoned_after: 60,
            abandoned_resume_allowed: false,
            max_wait_time: 0,
            max_wait_time_with_no_agent: 0,
            max_wait_time_with_no_agent_time_reached: 5,
            agent_no_answer_status: Status::OnBreak,
            skip_agents_with_external_calls: true,
        }
    }
}

/// A queue that is loaded.
#[derive(Clone, Debug)]
pub struct Queue {
    /// `name@domain`.
    pub name: Arc<str>,
    /// What it was set up with.
    pub settings: Arc<QueueSettings>,
    /// Callers served since it was loaded.
    pub calls_answered: u64,
    /// Callers who left unserved.
    pub calls_abandoned: u64,
    pub(super) strategy: Strategy,
    /// When an agent that could take calls was seen last.
    pub(super) last_agent_exist: Epoch,
    /// When that was looked for last.
    pub(super) last_agent_exist_check: Epoch,
}

impl Queue {
    /// A queue without calls.
    #[must_use]
    pub fn new(name: &str, settings: QueueSettings) -> Self {
        Self {
            name: name.into(),
            strategy: Strategy::parse(&settings.strategy),
            settings: Arc::new(settings),
            calls_answered: 0,
            calls_abandoned: 0,
            last_agent_exist: 0,
            last_agent_exist_check: 0,
        }
    }
}

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The queue it waits in.
    pub queue: Arc<str>,
    /// The switch it is on.
    pub instance_id: String,
    /// Its name in the queue.
    pub uuid: Arc<str>,
    /// The call; empty once it gave up.
    pub session_uuid: String,
    /// Its number.
    pub cid_number: String,
    /// Its name.
    pub cid_name: String,
    /// When the call was answered.
    pub system_epoch: Epoch,
    /// When it came into the queue.
    pub joined_epoch: Epoch,
    /// When it came back to its place.
    pub rejoined_epoch: Epoch,
    /// When an agent was found.
    pub bridge_epoch: Epoch,
    /// When it gave up.
    pub abandoned_epoch: Epoch,
    /// Points it came with.
    pub base_score: i64,
    /// Points for skills; nothing gives any yet.
    pub skill_score: i64,
    /// The agent it is offered to, or how several are called.
    pub serving_agent: String,
    /// The switch that agent belongs to.
    pub serving_system: String,
    /// Where it is.
    pub state: MemberState,
    pub(super) here: Here,
}

/// What only this run knows of a caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Here {
    /// When the application began.
    pub(super) called: Epoch,
    /// The last announcement.
    pub(super) announced: Epoch,
    /// Nothing more is announced: the file cannot be played.
    pub(super) mute: bool,
    /// It has been told to leave.
    pub(super) cancelled: bool,
    /// `max-wait-time` was over while it was being connected.
    pub(super) late: bool,
    /// Offers under way.
    pub(super) offers: usize,
    /// Several agents are called for it at once.
    pub(super) several: bool,
    /// Place of the agent tried last (`top-down`): level, position.
    pub(super) last_tier: Option<(i64, i64)>,
    /// When one more agent was called (`ring-progressively`).
    pub(super) last_call: Option<Epoch>,
    /// Order of arrival.
    pub(super) turn: u64,
}

impl Member {
    /// Points, which grow by one each second.
    #[must_use]
    pub fn score(&self, now: Epoch) -> i64 {
        now.saturating_sub(self.joined_epoch)
            .saturating_add(self.base_score)
            .saturating_add(self.skill_score)
    }

    /// Best first: the score but for the time, which is the same for all.
    fn rank(&self) -> (i64, u64) {
        (self.score(0).saturating_neg(), self.here.turn)
    }
}

/// Callers, the best first.
#[derive(Debug, Default)]
pub(super) struct Members {
    by_uuid: HashMap<Arc<str>, Member>,
    ranks: BTreeMap<(i64, u64), Arc<str>>,
    turn: u64,
}

impl Members {
    pub(super) fn get(&self, uuid: &str) -> Option<&Member> {
        self.by_uuid.get(uuid)
    }

    /// For changes that leave the score as it is.
    pub(super) fn get_mut(&mut self, uuid: &str) -> Option<&mut Member> {
        self.by_uuid.get_mut(uuid)
    }

    pub(super) fn insert(&mut self, mut member: Member) {
        self.remove(&Arc::clone(&member.uuid));
        self.turn += 1;
        member.here.turn = self.turn;
        self.ranks.insert(member.rank(), Arc::clone(&member.uuid));
        self.by_uuid.insert(Arc::clone(&member.uuid), member);
    }

    pub(super) fn remove(&mut self, uuid: &str) -> Option<Member> {
        let member = self.by_uuid.remove(uuid)?;
        self.ranks.remove(&member.rank());
        Some(member)
    }

    pub(super) fn len(&self) -> usize {
        self.by_uuid.len()
    }

    /// Best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.ranks.values().filter_map(|uuid| self.by_uuid.get(uuid))
    }
}

/// Agents, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Agents {
    by_name: HashMap<Arc<str>, Agent>,
    order: BTreeMap<u64, Arc<str>>,
    places: HashMap<Arc<str>, u64>,
    next: u64,
}

impl Agents {
    pub(super) fn get(&self, name: &str) -> Option<&Agent> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Agent> {
        self.by_name.get_mut(name)
    }

    pub(super) fn insert(&mut self, agent: Agent) {
        self.remove(&Arc::clone(&agent.name));
        self.next += 1;
        self.order.insert(self.next, Arc::clone(&agent.name));
        self.places.insert(Arc::clone(&agent.name), self.next);
        self.by_name.insert(Arc::clone(&agent.name), agent);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Agent> {
        let place = self.places.remove(name)?;
        self.order.remove(&place);
        self.by_name.remove(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.order.values().filter_map(|name| self.by_name.get(name))
    }
}

/// Which tier: its place in the order in which they were added.
pub(super) type TierId = u64;

/// Tiers, in the order in which they were added, found by queue and by agent.
#[derive(Debug, Default)]
pub(super) struct Tiers {
    all: BTreeMap<TierId, Tier>,
    by_queue: HashMap<Arc<str>, BTreeSet<TierId>>,
    by_agent: HashMap<Arc<str>, BTreeSet<TierId>>,
    next: TierId,
}

impl Tiers {
    pub(super) fn find(&self, queue: &str, agent: &str) -> Option<TierId> {
        let of_agent = self.by_agent.get(agent)?;
        of_agent.iter().copied().find(|id| self.all.get(id).is_some_and(|t| &*t.queue == queue))
    }

    pub(super) fn get(&self, id: TierId) -> Option<&Tier> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: TierId) -> Option<&mut Tier> {
        self.all.get_mut(&id)
    }

    pub(super) fn insert(&mut self, tier: Tier) {
        self.next += 1;
        self.by_queue.entry(Arc::clone(&tier.queue)).or_default().insert(self.next);
        self.by_agent.entry(Arc::clone(&tier.agent)).or_default().insert(self.next);
        self.all.insert(self.next, tier);
    }

    pub(super) fn remove(&mut self, id: TierId) -> Option<Tier> {
        let tier = self.all.remove(&id)?;
        for (index, name) in [(&mut self.by_queue, &tier.queue), (&mut self.by_agent, &tier.agent)]
        {
            if let Some(ids) = index.get_mut(name) {
                ids.remove(&id);
                if ids.is_empty() {
                    index.remove(name);
                }
            }
        }
        Some(tier)
    }

    pub(super) fn of_queue(&self, queue: &str) -> impl Iterator<Item = (TierId, &Tier)> {
        let ids = self.by_queue.get(queue).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.all.get(id)?)))
    }

    pub(super) fn ids_of_agent(&self, agent: &str) -> Vec<TierId> {
        self.by_agent.get(agent).into_iter().flatten().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.all.values()
    }
}
