//! What became of an offer.

use std::sync::Arc;

use super::tables::{Epoch, Member, SINGLE_BOX};
use super::words::{AgentState, MemberState, Status, TierState};
use super::{Dispatcher, Notice, Offer, OfferId, Output, abandon};

/// An agent answered: is the caller still to be had?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Bridge the two.
    Won,
    /// Another agent was faster.
    Lost,
}

/// How an offer failed, for what the agent is charged with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// Another agent was faster, or the caller left: no miss is counted.
    Called,
    /// The agent's line was busy.
    Busy,
    /// The agent refused.
    Rejected,
    /// The agent is not registered.
    NotRegistered,
    /// No answer, or anything else.
    NoAnswer,
}

/// Why two who were to be bridged are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The caller has left.
    CallerGone,
    /// The agent has.
    AgentGone,
}

/// Seconds of rest for an agent that is not registered: without, it would be called without a pause.
const NOT_REGISTERED_DELAY: i64 = 5;

impl Dispatcher {
    /// The offer, while it is under way.
    #[must_use]
    pub fn offer_of(&self, id: OfferId) -> Option<&Offer> {
        self.offers.get(&id)
    }

    /// How many offers are under way.
    #[must_use]
    pub fn offers_under_way(&self) -> usize {
        self.offers.len()
    }

    /// The caller was gone before the agent could be called.
    pub fn caller_was_gone(&mut self, id: OfferId, now: Epoch) {
        let Some(uuid) = self.offers.get(&id).map(|offer| Arc::clone(&offer.member.uuid)) else {
            return;
        };
        if let Some(member) = self.member_mut(&uuid)
            && !matches!(member.state, MemberState::Abandoned | MemberState::Answered)
        {
            abandon(member, now);
        }
    }

    /// The agent answered. Where several were called, the first has the caller and the others stop ringing.
    pub fn answered(&mut self, id: OfferId) -> Answered {
        let Some(offer) = self.offers.get(&id) else { return Answered::Lost };
        let (uuid, agent) = (Arc::clone(&offer.member.uuid), Arc::clone(&offer.agent.name));
        let several = offer.strategy.rings_several().is_some();
        let Some(member) = self.member_mut(&uuid) else { return Answered::Lost };
        if !several {
            return Answered::Won;
        }
        if member.state != MemberState::Trying || !member.here.several {
            return Answered::Lost;
        }
        member.serving_agent = agent.to_string();
        SINGLE_BOX.clone_into(&mut member.serving_system);
        member.here.several = false;
        self.out.push(Output::HangUpCalled(uuid, true));
        Answered::Won
    }

    /// Caller and agent are bridged.
    pub fn bridged(&mut self, id: OfferId, agent_uuid: &str, now: Epoch) {
        let Some(offer) = self.offers.get(&id) else { return };
        let (uuid, name) = (Arc::clone(&offer.member.uuid), Arc::clone(&offer.agent.name));
        let queue = Arc::clone(&offer.queue);
        if let Some(member) = self.member_mut(&uuid) {
            member.state = MemberState::Answered;
            member.bridge_epoch = now;
        }
        if let Some(agent) = self.agent_mut(&name) {
            agent_uuid.clone_into(&mut agent.uuid);
            agent.last_bridge_start = now;
            agent.calls_answered += 1;
            agent.no_answer_count = 0;
        }
        if let Some(tier) = self.tiers.find(&queue, &name) {
            self.set_tier_state(tier, TierState::ActiveInbound);
        }
        self.set_state(&name, AgentState::InQueueCall);
    }

    /// One of the two left before they were bridged. A caller who is still there waits on.
    pub fn not_bridged(&mut self, id: OfferId, why: Failure, now: Epoch) {
        let Some(offer) = self.offers.get(&id) else { return };
        let (uuid, several) = (Arc::clone(&offer.member.uuid), offer.strategy.rings_several());
        let Some(member) = self.member_mut(&uuid) else { return };
        match why {
            Failure::CallerGone => abandon(member, now),
            Failure::AgentGone => wait_on(member, several),
        }
    }

    /// The call is over, after it was bridged.
    pub fn ended(&mut self, id: OfferId, now: Epoch) {
        let Some(offer) = self.offers.get(&id) else { return };
        let (uuid, name) = (Arc::clone(&offer.member.uuid), Arc::clone(&offer.agent.name));
        let standby = offer.agent.is_standby();
        if let Some(agent) = self.agent_mut(&name) {
            if !standby {
                agent.uuid.clear();
            }
            agent.last_bridge_end = now;
            agent.talk_time += now.saturating_sub(agent.last_bridge_start).max(0);
        }
        self.remove_member(&uuid);
    }

    /// The agent could not be had. The caller waits on; the agent rests as its settings say.
    pub fn failed(&mut self, id: OfferId, miss: Miss, now: Epoch) {
        let Some(offer) = self.offers.get(&id).cloned() else { return };
        let (uuid, agent) = (&offer.member.uuid, &offer.agent);
        if let Some(member) = self.member_mut(uuid)
            && member.serving_agent == *agent.name
            && !member.here.several
        {
            member.serving_agent.clear();
            member.serving_system.clear();
            if member.state == MemberState::Trying {
                member.state = MemberState::Waiting;
            }
        }
        let delay = match miss {
            Miss::Called => 0,
            Miss::Busy => agent.busy_delay_time,
            Miss::Rejected => agent.reject_delay_time,
            Miss::NotRegistered => NOT_REGISTERED_DELAY,
            Miss::NoAnswer => {
                self.count_miss(&offer, now);
                agent.no_answer_delay_time
            }
        };
        if delay > 0
            && let Some(agent) = self.agent_mut(&agent.name)
        {
            agent.ready_time = now.saturating_add(delay);
        }
    }

    fn count_miss(&mut self, offer: &Offer, now: Epoch) {
        let agent = &offer.agent;
        if let Some(agent) = self.agent_mut(&agent.name) {
            agent.no_answer_count += 1;
        }
        if agent.max_no_answer <= 0 || agent.no_answer_count + 1 < agent.max_no_answer {
            return;
        }
        let status = offer.settings.agent_no_answer_status;
        self.notice(Notice::MaxNoAnswer {
            agent: Arc::clone(&agent.name),
            count: agent.max_no_answer,
            status,
            member: Arc::clone(&offer.member.uuid),
            session: offer.member.session_uuid.clone(),
        });
        self.set_status(&agent.name, status, status.name(), now);
    }

    /// The offer is over, however it went: the agent is free again, or idle if it takes one call at a time.
    pub fn release(&mut self, id: OfferId, bridged: bool, missed: bool) {
        let Some(offer) = self.offers.remove(&id) else { return };
        if let Some(member) = self.members.get_mut(&offer.member.uuid) {
            member.here.offers = member.here.offers.saturating_sub(1);
        }
        let name = &offer.agent.name;
        let after = if missed { TierState::NoAnswer } else { TierState::Ready };
        for id in self.tiers.ids_of_agent(name) {
            let Some(tier) = self.tiers.get(id) else { continue };
            let own = tier.queue == offer.queue;
            let next = match tier.state {
                TierState::ActiveInbound | TierState::Standby | TierState::Offering if own => after,
                TierState::Standby => TierState::Ready,
                other => other,
            };
            self.set_tier_state(id, next);
        }
        let on_demand = offer.agent.status == Status::OnDemand && bridged;
        let state = if on_demand { AgentState::Idle } else { AgentState::Waiting };
        self.set_state(name, state);
    }

    fn set_state(&mut self, name: &str, state: AgentState) {
        let Some(agent) = self.agent_mut(name) else { return };
        agent.state = state;
        let name = Arc::clone(&agent.name);
        self.notice(Notice::AgentState(name, state.name().to_owned()));
    }

    /// Changes a status; `as_given` is what others are told.
    pub(super) fn set_status(&mut self, name: &str, status: Status, as_given: &str, now: Epoch) {
        let Some(agent) = self.agent_mut(name) else { return };
        let name = Arc::clone(&agent.name);
        if status != Status::Available {
            agent.status = status;
            agent.last_status_change = now;
        } else if agent.status != status {
            agent.status = status;
            agent.last_status_change = now;
            (agent.talk_time, agent.calls_answered, agent.no_answer_count) = (0, 0, 0);
        }
        if status != Status::Available {
            let served = self.offers.values().find(|offer| {
                offer.agent.name == name
                    && self.members.get(&offer.member.uuid).is_some_and(|member| {
                        member.serving_agent == *name && member.state != MemberState::Answered
                    })
            });
            if let Some(uuid) = served.map(|offer| Arc::clone(&offer.member.uuid)) {
                self.out.push(Output::HangUpCalled(uuid, false));
            }
        }
        self.notice(Notice::AgentStatus(name, as_given.to_owned()));
    }

    /// The uuid-standby agent's leg is gone: it is logged out.
    pub fn standby_leg_gone(&mut self, name: &str, now: Epoch) {
        self.set_status(name, Status::LoggedOut, Status::LoggedOut.name(), now);
        if let Some(agent) = self.agent_mut(name) {
            agent.uuid.clear();
        }
    }
}

fn wait_on(member: &mut Member, several: Option<&'static str>) {
    if member.state == MemberState::Abandoned {
        return;
    }
    several.unwrap_or_default().clone_into(&mut member.serving_agent);
    member.serving_system.clear();
    member.state = MemberState::Waiting;
    member.here.several = several.is_some();
}
