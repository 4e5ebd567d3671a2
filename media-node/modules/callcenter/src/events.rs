//! `callcenter::info`.

use esl_server::event::{Event, EventName};
use switch_core::call::Channel;
use switch_core::call::presence::fire_queue_presence;
use switch_core::switch::Switch;

use crate::dispatch::{Member, Notice, Offer};

/// The subclass of all events here.
pub(crate) const SUBCLASS: &str = "callcenter::info";

/// Fires an event that is about no call.
pub(crate) fn fire(switch: &Switch, fill: impl FnOnce(&mut Event)) {
    if !switch.bus.wants(EventName::Custom) {
        switch.bus.skip();
        return;
    }
    let mut event = Event::custom(SUBCLASS);
    fill(&mut event);
    esl_server::fire!(switch.bus, event);
}

/// Fires an event with a call's data in front.
pub(crate) fn fire_on(channel: &Channel, fill: impl FnOnce(&mut Event)) {
    channel.fire_custom(SUBCLASS, |_| {}, fill);
}

/// What the dispatcher tells of agents.
pub(crate) fn notice(switch: &Switch, notice: &Notice) {
    fire(switch, |event| match notice {
        Notice::AgentAdded(agent, kind) => {
            event.push("CC-Agent", &**agent);
            event.push("CC-Agent-Type", kind.as_str());
            event.push("CC-Action", "agent-add");
        }
        Notice::AgentStatus(agent, status) => {
            event.push("CC-Agent", &**agent);
            event.push("CC-Action", "agent-status-change");
            event.push("CC-Agent-Status", status.as_str());
        }
        Notice::AgentState(agent, state) => {
            event.push("CC-Agent", &**agent);
            event.push("CC-Action", "agent-state-change");
            event.push("CC-Agent-State", state.as_str());
        }
        Notice::AgentContact(agent, contact) => {
            event.push("CC-Agent", &**agent);
            event.push("CC-Action", "agent-contact-change");
            event.push("CC-Agent-Contact", contact.as_str());
        }
        Notice::MaxNoAnswer { agent, count, status, member, session } => {
            event.push("CC-Agent", &**agent);
            event.push("CC-Action", "agent-max-no-answer");
            event.push("CC-Agent-No-Answer-Count", count.to_string());
            event.push("CC-Agent-No-Answer-Status", status.name());
            event.push("CC-Member-UUID", &**member);
            event.push("CC-Member-Session-UUID", session.as_str());
        }
    });
}

/// How many wait in a queue.
pub(crate) fn members_count(switch: &Switch, queue: &str, count: usize) {
    fire(switch, |event| {
        event.push("CC-Queue", queue);
        event.push("CC-Action", "members-count");
        event.push("CC-Count", count.to_string());
        let all = queue.starts_with('*');
        event.push("CC-Selection", if all { "All-Queues" } else { "Single-Queue" });
    });
}

/// Who calls.
pub(crate) fn push_caller(event: &mut Event, uuid: &str, session: &str, name: &str, number: &str) {
    event.push("CC-Member-UUID", uuid);
    event.push("CC-Member-Session-UUID", session);
    event.push("CC-Member-CID-Name", name);
    event.push("CC-Member-CID-Number", number);
}

/// The same, of a caller in a queue.
pub(crate) fn push_member(event: &mut Event, member: &Member) {
    push_caller(event, &member.uuid, &member.session_uuid, &member.cid_name, &member.cid_number);
}

/// What begins each event of an offer.
pub(crate) fn push_offer(event: &mut Event, offer: &Offer, action: &'static str) {
    event.push("CC-Queue", &*offer.queue);
    event.push("CC-Action", action);
}

/// The agent of an offer.
pub(crate) fn push_agent(event: &mut Event, offer: &Offer) {
    event.push("CC-Agent", &*offer.agent.name);
    event.push("CC-Agent-System", offer.agent.instance_id.as_str());
}

/// PRESENCE_IN of a queue: how many wait in it.
pub(crate) fn presence(switch: &Switch, queue: &str, waiting: usize) {
    if !switch.bus.wants(EventName::PresenceIn) {
        switch.bus.skip();
        return;
    }
    fire_queue_presence(switch, "callcenter", queue, queue, waiting);
}
