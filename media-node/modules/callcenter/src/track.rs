//! `callcenter_track`: calls beside the queues keep an agent from getting more.

use std::sync::Arc;

use switch_core::call::{AppResult, Channel, Session};

use crate::center;

/// Agents this call counts for.
#[derive(Default)]
struct Tracked(Vec<String>);

/// The application.
pub(crate) async fn track(session: &mut Session, argument: &str) -> AppResult {
    let (channel, switch) = (Arc::clone(session.channel()), Arc::clone(session.switch()));
    let agent = argument.trim();
    if agent.is_empty() {
        tracing::error!(uuid = %channel.uuid(), "Missing agent name");
        return Ok(());
    }
    let center = center::of(&switch);
    let status = center.dispatcher.lock().agent(agent).map(|agent| agent.status.name());
    let Some(status) = status else {
        tracing::warn!(uuid = %channel.uuid(), "Invalid agent {agent}");
        return Ok(());
    };
    // The reference asks for the status as a command would, and tells so.
    crate::commands::tell_get(&switch, agent, "status", status);
    channel.set_var("cc_tracked_agent", agent);
    if center.run(&switch, |dispatcher| dispatcher.count_external_call(agent, true)) {
        channel.with(|data| data.slot::<Tracked>().0.push(agent.to_owned()));
    }
    Ok(())
}

/// A call has ended: it counts no more.
pub(crate) fn call_ended(channel: &Channel) {
    let tracked = channel.with(|data| data.find_slot::<Tracked>().map(std::mem::take));
    let Some(Tracked(agents)) = tracked else { return };
    let switch = channel.switch();
    let center = center::of(switch);
    for agent in agents {
        center.run(switch, |dispatcher| dispatcher.count_external_call(&agent, false));
    }
}
