//! `callcenter_config` and `callcenter_break`.

use std::sync::Arc;

use switch_core::api;
use switch_core::api::{Api, ApiCall};
use switch_core::switch::Switch;
use switch_core::{clock, text};

use crate::center::{self, Center};
use crate::dispatch::{Agent, AgentKey, Refused, TierKey};
use crate::{events, lists, offer};

/// The commands.
pub(crate) const APIS: &[Api] = &[
    api!("callcenter_config", "mod_callcenter", SYNTAX, "Config of callcenter", async config),
    api!(
        "callcenter_break",
        "mod_callcenter",
        "callcenter_break agent <uuid>",
        "Stop watching an uuid and release agent",
        break_agent
    ),
];

const SYNTAX: &str = "callcenter_config <target> <args>,\n\
    \tcallcenter_config agent add [name] [type] | \n\
    \tcallcenter_config agent del [name] | \n\
    \tcallcenter_config agent reload [name] | \n\
    \tcallcenter_config agent set status [agent_name] [status] | \n\
    \tcallcenter_config agent set state [agent_name] [state] | \n\
    \tcallcenter_config agent set contact [agent_name] [contact] | \n\
    \tcallcenter_config agent set ready_time [agent_name] [wait till epoch] | \n\
    \tcallcenter_config agent set reject_delay_time [agent_name] [wait second] | \n\
    \tcallcenter_config agent set busy_delay_time [agent_name] [wait second] | \n\
    \tcallcenter_config agent set no_answer_delay_time [agent_name] [wait second] | \n\
    \tcallcenter_config agent get status [agent_name] | \n\
    \tcallcenter_config agent get state [agent_name] | \n\
    \tcallcenter_config agent get uuid [agent_name] | \n\
    \tcallcenter_config agent list [[agent_name]] | \n\
    \tcallcenter_config tier add [queue_name] [agent_name] [[level]] [[position]] | \n\
    \tcallcenter_config tier set state [queue_name] [agent_name] [state] | \n\
    \tcallcenter_config tier set level [queue_name] [agent_name] [level] | \n\
    \tcallcenter_config tier set position [queue_name] [agent_name] [position] | \n\
    \tcallcenter_config tier del [queue_name] [agent_name] | \n\
    \tcallcenter_config tier reload [queue_name] [agent_name] | \n\
    \tcallcenter_config tier list | \n\
    \tcallcenter_config queue load [queue_name] | \n\
    \tcallcenter_config queue unload [queue_name] | \n\
    \tcallcenter_config queue reload [queue_name] | \n\
    \tcallcenter_config queue list | \n\
    \tcallcenter_config queue list agents [queue_name] [status] [state] | \n\
    \tcallcenter_config queue list members [queue_name] | \n\
    \tcallcenter_config queue list tiers [queue_name] | \n\
    \tcallcenter_config queue count | \n\
    \tcallcenter_config queue count agents [queue_name] [status] [state] | \n\
    \tcallcenter_config queue count members [queue_name] | \n\
    \tcallcenter_config queue count tiers [queue_name]";

const OK: &str = "+OK\n";
const INVALID: &str = "-ERR Invalid!\n";
const UNKNOWN: &str = "-ERR Unknown Error!\n";
const BREAK_USAGE: &str = "-ERR Usage: callcenter_break agent <uuid>\n";

async fn config(call: ApiCall) -> String {
    if call.args.trim().is_empty() {
        return format!("-USAGE: \n{SYNTAX}\n");
    }
    let words = call.words(8);
    let [section, action, rest @ ..] = words.as_slice() else { return INVALID.into() };
    let center = center::of(&call.switch);
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let command = Command { switch: &call.switch, center: &center, words: &rest };
    match (section.to_ascii_lowercase().as_str(), action.to_ascii_lowercase().as_str()) {
        ("agent", action) => command.agent(action).await,
        ("tier", action) => command.tier(action).await,
        ("queue", action) => command.queue(action).await,
        _ => String::new(),
    }
}

struct Command<'c> {
    switch: &'c Arc<Switch>,
    center: &'c Arc<Center>,
    words: &'c [&'c str],
}

impl Command<'_> {
    async fn agent(&self, action: &str) -> String {
        match (action, self.words) {
            ("add", [name, kind, ..]) => {
                match self.center.run(self.switch, |d| d.add_agent(name, kind)) {
                    Ok(()) => OK.into(),
                    Err(refused) => format!("-ERR {refused}\n"),
                }
            }
            ("del", [name, ..]) => {
                self.center.run(self.switch, |d| d.delete_agent(name));
                OK.into()
            }
            ("reload", [name, ..]) => {
                ok_or_unknown(self.center.reload_agent(self.switch, name).await)
            }
            ("set", [key, name, value, ..]) => self.set_agent(key, name, value),
            ("get", [key, name, ..]) => self.get_agent(key, name),
            ("list", []) => lists::agents(self.center, |_| true),
            ("list", [name]) => lists::agents(self.center, |agent| *agent.name == **name),
            ("add" | "del" | "reload" | "set" | "get" | "list", _) => INVALID.into(),
            _ => String::new(),
        }
    }

    fn set_agent(&self, key: &str, name: &str, value: &str) -> String {
        let now = clock::now_secs();
        let known = self.center.dispatcher.lock().agent(name).is_some();
        let Some(key) = AgentKey::parse(key) else {
            return if known {
                "-ERR Invalid Agent Update KEY!\n"
            } else {
                "-ERR Agent not found!\n"
            }
            .into();
        };
        match self.center.run(self.switch, |d| d.set_agent(key, name, value, now)) {
            Ok(()) => OK.into(),
            Err(Refused::AgentType) => "-ERR Invalid Agent Type!\n".into(),
            Err(refused) => format!("-ERR {refused}\n"),
        }
    }

    fn get_agent(&self, key: &str, name: &str) -> String {
        let agent: Option<Agent> = self.center.dispatcher.lock().agent(name).cloned();
        let Some(agent) = agent else { return "-ERR Agent not found!\n".into() };
        let value = match key.to_ascii_lowercase().as_str() {
            "status" => agent.status.name(),
            "state" => agent.state.name(),
            "uuid" => &agent.uuid,
            _ => return "-ERR Invalid Agent Update KEY!\n".into(),
        };
        tell_get(self.switch, name, key, value);
        value.to_owned()
    }

    async fn tier(&self, action: &str) -> String {
        match (action, self.words) {
            ("add", [queue, agent, rest @ ..]) => {
                let number = |at: usize| {
                    let given = rest.get(at).filter(|text| !text.is_empty());
                    given.map_or(1, |text| text::int(text))
                };
                self.center.ensure_queue(self.switch, queue).await;
                let added = self
                    .center
                    .run(self.switch, |d| d.add_tier(queue, agent, number(0), number(1)));
                match added {
                    Ok(()) => OK.into(),
                    Err(refused) => format!("-ERR {refused}\n"),
                }
            }
            ("set", [key, queue, agent, value, ..]) => {
                self.set_tier(key, queue, agent, value).await
            }
            ("del", [queue, agent, ..]) => {
                self.center.run(self.switch, |d| d.delete_tier(queue, agent));
                OK.into()
            }
            ("reload", [queue, rest @ ..]) => {
                let agent = rest.first().copied().unwrap_or_default();
                ok_or_unknown(self.center.reload_tiers(self.switch, queue, agent).await)
            }
            ("list", _) => lists::tiers(self.center),
            ("add" | "set" | "del" | "reload", _) => INVALID.into(),
            _ => String::new(),
        }
    }

    async fn set_tier(&self, key: &str, queue: &str, agent: &str, value: &str) -> String {
        let known = self.center.dispatcher.lock().has_tier(queue, agent);
        if !known {
            return UNKNOWN.into();
        }
        self.center.ensure_queue(self.switch, queue).await;
        let done = match TierKey::parse(key) {
            Some(key) => self.center.run(self.switch, |d| d.set_tier(key, queue, agent, value)),
            None => match self.center.dispatcher.lock().check_tier(queue, agent) {
                Ok(()) => return "-ERR Invalid Tier Update KEY!\n".into(),
                Err(refused) => Err(refused),
            },
        };
        match done {
            Ok(()) => OK.into(),
            Err(Refused::TierNotFound) => UNKNOWN.into(),
            // The reference says so of a queue, too.
            Err(Refused::QueueNotFound) => "-ERR Agent not found!\n".into(),
            Err(refused) => format!("-ERR {refused}\n"),
        }
    }

    async fn queue(&self, action: &str) -> String {
        const NOT_FOUND: &str = "-ERR Invalid Queue not found!\n";
        let (switch, center) = (self.switch, self.center);
        match (action, self.words) {
            ("load", [name, ..]) => match center.load_queue(switch, name).await {
                true => OK.into(),
                false => NOT_FOUND.into(),
            },
            ("unload", [name, ..]) => {
                self.unload(name);
                OK.into()
            }
            ("reload", [name, ..]) => {
                self.unload(name);
                match center.load_queue(switch, name).await {
                    true => OK.into(),
                    false => NOT_FOUND.into(),
                }
            }
            ("list", []) => lists::queues(center),
            ("list", [what, rest @ ..]) => {
                lists::of_queue(center, what, rest).unwrap_or_else(|| INVALID.into())
            }
            ("count", []) => format!("{}\n", center.dispatcher.lock().queues().count()),
            ("count", [what, rest @ ..]) => match lists::count_of_queue(center, what, rest) {
                Some(count) => format!("{count}\n"),
                None => INVALID.into(),
            },
            ("load" | "unload" | "reload", _) => INVALID.into(),
            _ => String::new(),
        }
    }

    fn unload(&self, name: &str) {
        if !self.center.run(self.switch, |d| d.unload_queue(name)) {
            tracing::error!("[{name}] Invalid queue");
        }
    }
}

fn ok_or_unknown(done: bool) -> String {
    if done { OK } else { UNKNOWN }.into()
}

/// What asking for something of an agent tells others.
pub(crate) fn tell_get(switch: &Switch, agent: &str, key: &str, value: &str) {
    let header = match key {
        uuid if uuid.eq_ignore_ascii_case("uuid") => "CC-Agent-UUID".to_owned(),
        key => {
            let mut letters = key.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase()).unwrap_or_default();
            format!("CC-Agent-{first}{}", letters.as_str())
        }
    };
    events::fire(switch, |event| {
        event.push("CC-Agent", agent);
        event.push("CC-Action", format!("agent-{key}-get"));
        event.push(header, value);
    });
}

fn break_agent(call: &ApiCall) -> String {
    let words = call.words(2);
    let Some(uuid) = words.get(1) else { return BREAK_USAGE.into() };
    match call.switch.channel(uuid) {
        Some(channel) => {
            offer::AgentLeg::release(&channel);
            String::new()
        }
        None => format!("-ERR Session not found for uuid {uuid}\n"),
    }
}
