//! The search for an agent: all waiting callers, the best first, each against the agents of its queue in the order of the
//! strategy.

use std::collections::HashMap;
use std::sync::Arc;

use super::tables::{Agent, Epoch, Member, Queue, QueueSettings, SINGLE_BOX, Tier, TierId};
use super::words::{AgentState, MemberState, Status, Strategy, TierState};
use super::{Dispatcher, Notice, Offer, Output, abandon};

/// Seconds before one more agent is called, unless the queue says otherwise.
const PROGRESSIVE_DELAY: i64 = 10;

/// An agent of a queue that could take calls, now or later.
struct Candidate {
    tier: TierId,
    agent: Arc<str>,
    level: i64,
    position: i64,
}

/// The agents of a queue in the order of its strategy, made once a tick.
struct Roster {
    order: Vec<Candidate>,
    /// Agents free when it was made, less those called since; with none the search is skipped.
    free: usize,
}

/// What a search found among the agents it may choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// No agent.
    None,
    /// Agents, none of whom can take a call now.
    Busy,
    /// Agents who can, though their level may have to be waited for.
    Free,
}

/// How far a caller may look, as levels have to be waited for.
struct Reach<'q> {
    rules: &'q QueueSettings,
    waited: i64,
    level: i64,
    seen: usize,
}

impl Reach<'_> {
    /// May an agent of that level be looked at? Asked for each in turn.
    fn allows(&mut self, level: i64) -> bool {
        if self.rules.tier_rules_apply && level > self.level {
            let rules = self.rules;
            let wait = match rules.tier_rule_wait_multiply_level {
                true => level.saturating_mul(rules.tier_rule_wait_second),
                false => rules.tier_rule_wait_second,
            };
            if rules.tier_rule_no_agent_no_wait && self.seen == 0 {
                self.level = level;
            } else if self.waited >= wait {
                self.level = level;
                self.seen = 0;
            } else {
                return false;
            }
        }
        self.seen += 1;
        true
    }
}

impl Dispatcher {
    /// Looks for agents for all who wait. Ten times a second.
    pub fn tick(&mut self, now: Epoch) {
        let mut rosters = HashMap::new();
        let waiting: Vec<_> = self
            .members
            .iter()
            .filter(|member| needs_look(member))
            .map(|member| Arc::clone(&member.uuid))
            .collect();
        let mut missing = Vec::new();
        for uuid in waiting {
            self.serve(&uuid, now, &mut rosters, &mut missing);
        }
        self.out.extend(missing.into_iter().map(Output::LoadQueue));
    }

    fn serve(
        &mut self,
        uuid: &Arc<str>,
        now: Epoch,
        rosters: &mut HashMap<Arc<str>, Roster>,
        missing: &mut Vec<Arc<str>>,
    ) {
        let Some(member) = self.members.get(uuid) else { return };
        let Some(queue) = self.queues.get(&*member.queue) else {
            if !missing.contains(&member.queue) {
                missing.push(Arc::clone(&member.queue));
            }
            return;
        };
        let (name, rules) = (Arc::clone(&queue.name), Arc::clone(&queue.settings));
        let strategy = queue.strategy;
        if member.state == MemberState::Abandoned {
            let since = match member.abandoned_epoch {
                0 => member.joined_epoch,
                abandoned => abandoned,
            };
            if since.saturating_add(rules.discard_abandoned_after) < now {
                self.remove_member(uuid);
            }
            return;
        }
        if member.here.cancelled {
            return;
        }
        self.follow_strategy(uuid, strategy);
        if self
            .members
            .get(uuid)
            .is_some_and(|m| strategy.rings_several().is_none() && m.here.offers > 0)
        {
            return;
        }
        if strategy == Strategy::RingProgressively && self.rings_long_enough(uuid, &rules, now) {
            return;
        }
        let roster = match rosters.entry(Arc::clone(&name)) {
            std::collections::hash_map::Entry::Occupied(made) => made.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(self.roster(&name, strategy, &rules, now))
            }
        };
        let found = self.offer_to_roster(uuid, strategy, &name, &rules, now, roster);
        self.note_agents(&name, found, now);
        if strategy == Strategy::TopDown && found != Found::Free {
            self.begin_anew(uuid);
        }
    }

    /// A caller follows its queue where that rings several agents now, or no more.
    fn follow_strategy(&mut self, uuid: &str, strategy: Strategy) {
        let Some(member) = self.members.get(uuid) else { return };
        let several = strategy.rings_several();
        let (serving, state) = match (several, member.here.several) {
            (Some(all), _) => (all, MemberState::Trying),
            (None, true) => ("", MemberState::Waiting),
            (None, false) => return,
        };
        // Agents called together ring on when the strategy changes; the caller is theirs until they stop.
        if several.is_none() && member.here.offers > 0 {
            return;
        }
        if member.serving_agent != serving || member.state != state || !member.here.several {
            let Some(member) = self.member_mut(uuid) else { return };
            serving.clone_into(&mut member.serving_agent);
            member.state = state;
            member.here.several = several.is_some();
        }
    }

    /// `ring-progressively`: the agents called so far are to ring alone a while longer.
    fn rings_long_enough(&self, uuid: &str, rules: &QueueSettings, now: Epoch) -> bool {
        let delay = match rules.ring_progressively_delay {
            0 => PROGRESSIVE_DELAY,
            delay => delay,
        };
        let last = self.members.get(uuid).and_then(|member| member.here.last_call);
        last.is_some_and(|last| now < last.saturating_add(delay))
    }

    /// Whether there were agents at all: callers may leave when there are none for too long.
    fn note_agents(&mut self, name: &str, found: Found, now: Epoch) {
        if let Some(queue) = self.queues.get_mut(name) {
            queue.last_agent_exist_check = now;
            if found != Found::None {
                queue.last_agent_exist = now;
            }
        }
    }

    /// `top-down`: the next search begins with the first agent. In the reference it does not as long as there are agents
    /// behind the one tried last, and a caller waits for them alone, be they on break until the evening.
    fn begin_anew(&mut self, uuid: &Arc<str>) {
        if let Some(member) = self.members.get_mut(uuid)
            && member.here.last_tier.take().is_some()
        {
            self.out.push(Output::ForgetTier(Arc::clone(uuid)));
        }
    }

    fn roster(
        &mut self,
        queue: &str,
        strategy: Strategy,
        rules: &QueueSettings,
        now: Epoch,
    ) -> Roster {
        let mut seed = self.dice;
        let mut free = 0;
        let mut keyed: Vec<_> = self
            .tiers
            .of_queue(queue)
            .filter_map(|(id, tier)| {
                let agent = self.agents.get(&tier.agent).filter(|agent| agent.is_in())?;
                free += usize::from(is_free(agent, tier, rules, now));
                let key = sort_key(strategy, agent, tier, &mut seed);
                let candidate = Candidate {
                    tier: id,
                    agent: Arc::clone(&agent.name),
                    level: tier.level,
                    position: tier.position,
                };
                Some((key, candidate))
            })
            .collect();
        self.dice = seed;
        keyed.sort_by_key(|(key, _)| *key);
        Roster { order: keyed.into_iter().map(|(_, candidate)| candidate).collect(), free }
    }

    /// Offers a caller to the first free agent, or to all of a level at once.
    fn offer_to_roster(
        &mut self,
        uuid: &Arc<str>,
        strategy: Strategy,
        queue: &Arc<str>,
        rules: &Arc<QueueSettings>,
        now: Epoch,
        roster: &mut Roster,
    ) -> Found {
        let Some(member) = self.members.get(uuid) else { return Found::None };
        let last = member.here.last_tier.unwrap_or_default();
        let waited = now.saturating_sub(member.joined_epoch);
        let top_down = |candidate: &&Candidate| {
            strategy != Strategy::TopDown
                || candidate.level > last.0
                || (candidate.level == last.0 && candidate.position > last.1)
        };
        if !roster.order.iter().any(|candidate| top_down(&candidate)) {
            return Found::None;
        }
        let is_free = |candidate: &Candidate| {
            let known = self.agents.get(&candidate.agent).zip(self.tiers.get(candidate.tier));
            known.is_some_and(|(agent, tier)| is_free(agent, tier, rules, now))
        };
        if roster.free == 0 || !roster.order.iter().filter(top_down).any(is_free) {
            return Found::Busy;
        }
        let behind = match strategy {
            Strategy::RoundRobin => self.offered_last(roster),
            _ => None,
        };
        let rest = roster.order.iter().filter(|candidate| {
            behind.is_some_and(|(level, place)| {
                candidate.level == level && candidate.position > place
            })
        });
        let several = strategy == Strategy::RingAll;
        let mut reach = Reach { rules, waited, level: 0, seen: 0 };
        let mut taken = Vec::new();
        for candidate in rest.chain(roster.order.iter().filter(top_down)) {
            if !reach.allows(candidate.level) {
                break;
            }
            if is_free(candidate) {
                taken.push((candidate.tier, Arc::clone(&candidate.agent)));
                if !several {
                    break;
                }
            }
        }
        for (tier, agent) in taken {
            roster.free = roster.free.saturating_sub(1);
            self.offer(uuid, &agent, tier, queue, rules, now);
        }
        Found::Free
    }

    /// Level and position of the agent of a roster that was called last.
    fn offered_last(&self, roster: &Roster) -> Option<(i64, i64)> {
        let offered = roster.order.iter().filter_map(|candidate| {
            let agent = self.agents.get(&candidate.agent)?;
            (agent.last_offered_call > 0)
                .then_some(((agent.last_offered_call, agent.offered), candidate))
        });
        let last = offered.max_by_key(|(key, _)| *key)?.1;
        Some((last.level, last.position))
    }

    fn offer(
        &mut self,
        uuid: &Arc<str>,
        agent: &Arc<str>,
        tier: TierId,
        queue: &Arc<str>,
        rules: &Arc<QueueSettings>,
        now: Epoch,
    ) {
        let strategy = Strategy::parse(&rules.strategy);
        let place = self.tiers.get(tier).map_or((0, 0), |tier| (tier.level, tier.position));
        if self.setup.reserve_agents {
            let reserved = AgentState::Reserved.name().to_owned();
            self.notice(Notice::AgentState(Arc::clone(agent), reserved));
        }
        self.next_offer += 1;
        let id = self.next_offer;
        let Some(called) = self.agent_mut(agent) else { return };
        called.state = AgentState::Receiving;
        called.last_offered_call = now;
        called.offered = id;
        let snapshot = called.clone();
        let Some(member) = self.member_mut(uuid) else { return };
        member.here.offers += 1;
        match strategy {
            Strategy::TopDown => member.here.last_tier = Some(place),
            Strategy::RingProgressively => member.here.last_call = Some(now),
            _ => {}
        }
        if strategy.rings_several().is_none() {
            member.serving_agent = agent.to_string();
            member.serving_system = SINGLE_BOX.to_owned();
            member.state = MemberState::Trying;
        }
        let offer = Offer {
            id,
            member: member.clone(),
            agent: snapshot,
            queue: Arc::clone(queue),
            settings: Arc::clone(rules),
            strategy,
            tier: place,
        };
        let receiving = AgentState::Receiving.name().to_owned();
        self.notice(Notice::AgentState(Arc::clone(agent), receiving));
        for other in self.tiers.ids_of_agent(agent) {
            if other == tier {
                self.set_tier_state(other, TierState::Offering);
            } else if self.tiers.get(other).is_some_and(|t| t.state == TierState::Ready) {
                self.set_tier_state(other, TierState::Standby);
            }
        }
        self.offers.insert(id, offer.clone());
        self.out.push(Output::Offer(Box::new(offer)));
    }

    /// The queue's configuration is gone: its callers can be served no more.
    pub fn drop_callers_of(&mut self, queue: &str, now: Epoch) {
        let lost: Vec<_> = self
            .members
            .iter()
            .filter(|member| &*member.queue == queue && needs_look(member))
            .map(|member| (Arc::clone(&member.uuid), member.session_uuid.is_empty()))
            .collect();
        for (uuid, gone) in lost {
            if gone {
                self.remove_member(&uuid);
            } else if let Some(member) = self.member_mut(&uuid) {
                // Still on the line: sent on, not left in a queue without a dispatcher.
                member.here.cancelled = true;
                abandon(member, now);
                let reason = super::CancelReason::BreakOut;
                self.out.push(Output::Cancel(uuid, reason));
            }
        }
    }
}

/// Callers to be looked at: those who wait, who may be offered to more agents, or who gave up.
fn needs_look(member: &Member) -> bool {
    match member.state {
        MemberState::Waiting | MemberState::Abandoned => true,
        MemberState::Trying => member.here.several,
        MemberState::Answered => false,
    }
}

/// May the agent be called for this queue now?
fn is_free(agent: &Agent, tier: &Tier, rules: &QueueSettings, now: Epoch) -> bool {
    matches!(tier.state, TierState::NoAnswer | TierState::Ready)
        && agent.state == AgentState::Waiting
        && agent.last_bridge_end < now.saturating_sub(agent.wrap_up_time)
        && agent.ready_time <= now
        && agent.status != Status::OnBreak
        && !(rules.skip_agents_with_external_calls && agent.external_calls_count > 0)
        && agent.instance_id.eq_ignore_ascii_case(SINGLE_BOX)
}

fn sort_key(strategy: Strategy, agent: &Agent, tier: &Tier, seed: &mut u64) -> (i64, i64, i64) {
    let (level, position) = (tier.level, tier.position);
    match strategy {
        Strategy::LongestIdle => (level, agent.last_bridge_end, position),
        Strategy::LeastTalkTime => (level, agent.talk_time, position),
        Strategy::FewestCalls => (level, agent.calls_answered, position),
        Strategy::RingAll | Strategy::RingProgressively => (level, position, 0),
        Strategy::Random => (level, throw(seed), 0),
        Strategy::TopDown | Strategy::RoundRobin | Strategy::Sequential => {
            (level, position, agent.last_offered_call)
        }
    }
}

/// The next of a run of numbers that look random (xorshift).
fn throw(seed: &mut u64) -> i64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    i64::try_from(*seed >> 1).unwrap_or(0)
}

impl Queue {
    /// How it chooses.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }
}
