//! What administrators change: agents and tiers.

use std::sync::Arc;

use super::tables::{Agent, Epoch, SINGLE_BOX, Tier, TierId};
use super::words::{AgentState, Status, TierState, is_agent_type};
use super::{Dispatcher, Notice};

/// Why a change is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such agent.
    #[error("Agent not found!")]
    AgentNotFound,
    /// There is one already.
    #[error("Agent already exist!")]
    AgentExists,
    /// Neither `callback` nor `uuid-standby`.
    #[error("Agent type invalid!")]
    AgentType,
    /// No such status.
    #[error("Invalid Agent Status!")]
    AgentStatus,
    /// No such state.
    #[error("Invalid Agent State!")]
    AgentState,
    /// There is no such queue.
    #[error("Queue not found!")]
    QueueNotFound,
    /// There is one already.
    #[error("Tier already exist!")]
    TierExists,
    /// There is no such tier.
    #[error("Tier not found!")]
    TierNotFound,
    /// No such state.
    #[error("Invalid Tier State!")]
    TierState,
}

/// What of an agent can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentKey {
    /// `status`
    Status,
    /// `state`
    State,
    /// `state_if_waiting`
    StateIfWaiting,
    /// `uuid`
    Uuid,
    /// `contact`
    Contact,
    /// `type`
    Type,
    /// `ready_time`
    ReadyTime,
    /// `busy_delay_time`
    BusyDelay,
    /// `reject_delay_time`
    RejectDelay,
    /// `no_answer_delay_time`
    NoAnswerDelay,
    /// `max_no_answer`
    MaxNoAnswer,
    /// `wrap_up_time`
    WrapUp,
}

impl AgentKey {
    /// By its name in commands.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "status" => Self::Status,
            "state" => Self::State,
            "state_if_waiting" => Self::StateIfWaiting,
            "uuid" => Self::Uuid,
            "contact" => Self::Contact,
            "type" => Self::Type,
            "ready_time" => Self::ReadyTime,
            "busy_delay_time" => Self::BusyDelay,
            "reject_delay_time" => Self::RejectDelay,
            "no_answer_delay_time" => Self::NoAnswerDelay,
            "max_no_answer" => Self::MaxNoAnswer,
            "wrap_up_time" => Self::WrapUp,
            _ => return None,
        })
    }
}

/// What of a tier can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierKey {
    /// `state`
    State,
    /// `level`
    Level,
    /// `position`
    Position,
}

impl TierKey {
    /// By its name in commands.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "state" => Self::State,
            "level" => Self::Level,
            "position" => Self::Position,
            _ => return None,
        })
    }
}

impl Dispatcher {
    /// Adds an agent, logged out.
    ///
    /// # Errors
    /// When there is one of that name, or the type is none.
    pub fn add_agent(&mut self, name: &str, kind: &str) -> Result<(), Refused> {
        if !is_agent_type(kind) {
            return Err(Refused::AgentType);
        }
        if self.agents.get(name).is_some() {
            return Err(Refused::AgentExists);
        }
        let agent = Agent::new(name, kind);
        let name = Arc::clone(&agent.name);
        self.touched.agents.insert(Arc::clone(&name));
        self.agents.insert(agent);
        self.notice(Notice::AgentAdded(name, kind.to_owned()));
        Ok(())
    }

    /// Forgets an agent and its tiers, if there is one.
    pub fn delete_agent(&mut self, name: &str) {
        if let Some(agent) = self.agents.remove(name) {
            self.touched.agents.insert(agent.name);
        }
        for id in self.tiers.ids_of_agent(name) {
            self.forget_tier(id);
        }
    }

    /// Sets one thing of an agent.
    ///
    /// # Errors
    /// When there is no such agent, or the value is none for this.
    pub fn set_agent(
        &mut self,
        key: AgentKey,
        name: &str,
        value: &str,
        now: Epoch,
    ) -> Result<(), Refused> {
        let known = self.agents.get(name).ok_or(Refused::AgentNotFound)?;
        let name = Arc::clone(&known.name);
        let number = base::text::int(value);
        match key {
            AgentKey::Status => {
                let status = Status::parse(value).ok_or(Refused::AgentStatus)?;
                self.set_status(&name, status, value, now);
                return Ok(());
            }
            AgentKey::State => {
                let state = AgentState::parse(value).ok_or(Refused::AgentState)?;
                if let Some(agent) = self.agent_mut(&name) {
                    agent.state = state;
                    if state == AgentState::Receiving {
                        agent.last_offered_call = now;
                    }
                }
                self.notice(Notice::AgentState(name, value.to_owned()));
                return Ok(());
            }
            AgentKey::StateIfWaiting => return self.set_state_if_waiting(&name, value),
            AgentKey::Type if !is_agent_type(value) => return Err(Refused::AgentType),
            _ => {}
        }
        let Some(agent) = self.agent_mut(&name) else { return Err(Refused::AgentNotFound) };
        if key != AgentKey::Type {
            SINGLE_BOX.clone_into(&mut agent.instance_id);
        }
        match key {
            AgentKey::Uuid => value.clone_into(&mut agent.uuid),
            AgentKey::Contact => value.clone_into(&mut agent.contact),
            AgentKey::Type => value.clone_into(&mut agent.kind),
            AgentKey::ReadyTime => agent.ready_time = number,
            AgentKey::BusyDelay => agent.busy_delay_time = number,
            AgentKey::RejectDelay => agent.reject_delay_time = number,
            AgentKey::NoAnswerDelay => agent.no_answer_delay_time = number,
            AgentKey::MaxNoAnswer => agent.max_no_answer = number,
            AgentKey::WrapUp => agent.wrap_up_time = number,
            AgentKey::Status | AgentKey::State | AgentKey::StateIfWaiting => {}
        }
        if key == AgentKey::Contact {
            self.notice(Notice::AgentContact(name, value.to_owned()));
        }
        Ok(())
    }

    fn set_state_if_waiting(&mut self, name: &Arc<str>, value: &str) -> Result<(), Refused> {
        let state = AgentState::parse(value).ok_or(Refused::AgentState)?;
        let agent = self.agent_mut(name).ok_or(Refused::AgentNotFound)?;
        let takes_calls = matches!(agent.status, Status::Available | Status::OnDemand);
        if agent.state != AgentState::Waiting || !takes_calls {
            return Err(Refused::AgentNotFound);
        }
        agent.state = state;
        self.notice(Notice::AgentState(Arc::clone(name), value.to_owned()));
        Ok(())
    }

    /// One call more, or less, beside the queues. False if there is no such agent.
    pub fn count_external_call(&mut self, name: &str, more: bool) -> bool {
        let Some(agent) = self.agent_mut(name) else { return false };
        agent.external_calls_count += if more { 1 } else { -1 };
        true
    }

    /// Puts an agent into a queue.
    ///
    /// # Errors
    /// When one of the two is not there, or the agent is in it.
    pub fn add_tier(
        &mut self,
        queue: &str,
        agent: &str,
        level: i64,
        position: i64,
    ) -> Result<(), Refused> {
        let queue = Arc::clone(&self.queues.get(queue).ok_or(Refused::QueueNotFound)?.name);
        let agent = Arc::clone(&self.agents.get(agent).ok_or(Refused::AgentNotFound)?.name);
        if self.tiers.find(&queue, &agent).is_some() {
            return Err(Refused::TierExists);
        }
        self.touched.tiers.insert((Arc::clone(&queue), Arc::clone(&agent)));
        self.tiers.insert(Tier { queue, agent, state: TierState::Ready, level, position });
        Ok(())
    }

    /// Is the agent in the queue, whether or not the queue is loaded?
    #[must_use]
    pub fn has_tier(&self, queue: &str, agent: &str) -> bool {
        self.tiers.find(queue, agent).is_some()
    }

    /// Can the tier be changed?
    ///
    /// # Errors
    /// When it, its agent or its queue is not there.
    pub fn check_tier(&self, queue: &str, agent: &str) -> Result<(), Refused> {
        self.tiers.find(queue, agent).ok_or(Refused::TierNotFound)?;
        self.agents.get(agent).ok_or(Refused::AgentNotFound)?;
        self.queues.get(queue).ok_or(Refused::QueueNotFound).map(drop)
    }

    /// Sets one thing of a tier.
    ///
    /// # Errors
    /// When it, its agent or its queue is not there, or the value is none for this.
    pub fn set_tier(
        &mut self,
        key: TierKey,
        queue: &str,
        agent: &str,
        value: &str,
    ) -> Result<(), Refused> {
        self.check_tier(queue, agent)?;
        let id = self.tiers.find(queue, agent).ok_or(Refused::TierNotFound)?;
        if key == TierKey::State {
            let state = TierState::parse(value).ok_or(Refused::TierState)?;
            self.set_tier_state(id, state);
            return Ok(());
        }
        let number = base::text::int(value);
        if let Some(tier) = self.tiers.get_mut(id) {
            match key {
                TierKey::Level => tier.level = number,
                TierKey::Position | TierKey::State => tier.position = number,
            }
            self.touched.tiers.insert((Arc::clone(&tier.queue), Arc::clone(&tier.agent)));
        }
        Ok(())
    }

    /// Takes an agent out of a queue, if it is in it.
    pub fn delete_tier(&mut self, queue: &str, agent: &str) {
        if let Some(id) = self.tiers.find(queue, agent) {
            self.forget_tier(id);
        }
    }

    fn forget_tier(&mut self, id: TierId) {
        if let Some(tier) = self.tiers.remove(id) {
            self.touched.tiers.insert((tier.queue, tier.agent));
        }
    }

    /// Forgets all agents, or all tiers (`truncate-…-on-load`).
    pub fn truncate(&mut self, agents: bool, tiers: bool) {
        if tiers {
            let all: Vec<_> = self.tiers.iter().cloned().collect();
            for tier in all {
                self.delete_tier(&tier.queue, &tier.agent);
            }
        }
        if agents {
            let all: Vec<_> = self.agents.iter().map(|agent| Arc::clone(&agent.name)).collect();
            for name in all {
                if let Some(agent) = self.agents.remove(&name) {
                    self.touched.agents.insert(agent.name);
                }
            }
        }
    }
}
