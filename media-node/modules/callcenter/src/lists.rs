//! Agents, tiers, queues and callers as lists: `|` between columns, a line of names first; and as JSON.

use std::fmt::Write as _;

use database::Arg;
use serde_json::{Map, Value as Json, json};
use switch_core::clock;
use switch_core::switch::Switch;

use crate::center::{self, Center};
use crate::dispatch::{Agent, Dispatcher, Member, Queue};
use crate::store::{AGENT_COLUMNS, MEMBER_COLUMNS, TIER_COLUMNS, agent_row, member_row, tier_row};
use base::hash_order as order;

const QUEUE_COLUMNS: &str = "name|strategy|moh_sound|time_base_score|tier_rules_apply|\
    tier_rule_wait_second|tier_rule_wait_multiply_level|tier_rule_no_agent_no_wait|discard_abandoned_after|\
    abandoned_resume_allowed|max_wait_time|max_wait_time_with_no_agent|\
    max_wait_time_with_no_agent_time_reached|record_template|calls_answered|calls_abandoned|\
    ring_progressively_delay|skip_agents_with_external_calls|agent_no_answer_status";

fn cell(value: &Arg) -> String {
    match value {
        Arg::Int(number) => number.to_string(),
        Arg::Real(number) => number.to_string(),
        Arg::Text(text) => text.clone(),
        Arg::Null => String::new(),
    }
}

/// Rows under their names; no names where there are no rows.
fn table(columns: &[&str], rows: impl Iterator<Item = Vec<Arg>>) -> String {
    let mut out = String::new();
    for row in rows {
        if out.is_empty() {
            out.push_str(&columns.join("|"));
            out.push('\n');
        }
        let cells: Vec<_> = row.iter().map(cell).collect();
        out.push_str(&cells.join("|"));
        out.push('\n');
    }
    out + "+OK\n"
}

/// `agent list`.
pub(crate) fn agents(center: &Center, wanted: impl Fn(&Agent) -> bool) -> String {
    let dispatcher = center.dispatcher.lock();
    table(AGENT_COLUMNS, dispatcher.agents().filter(|agent| wanted(agent)).map(agent_row))
}

/// `tier list`.
pub(crate) fn tiers(center: &Center) -> String {
    let dispatcher = center.dispatcher.lock();
    let mut tiers: Vec<_> = dispatcher.tiers().collect();
    tiers.sort_by_key(|tier| (tier.level, tier.position));
    table(TIER_COLUMNS, tiers.into_iter().map(tier_row))
}

/// Queues in the order of the reference's hash table.
fn ordered(dispatcher: &Dispatcher) -> Vec<Queue> {
    let mut queues: Vec<_> = dispatcher.queues().cloned().collect();
    let count = queues.len();
    queues.sort_by_key(|queue| order::place(&queue.name, count));
    queues
}

/// `queue list`.
pub(crate) fn queues(center: &Center) -> String {
    let queues = ordered(&center.dispatcher.lock());
    let mut out = format!("{QUEUE_COLUMNS}\n");
    for queue in queues {
        let q = &queue.settings;
        let _fits = writeln!(
            out,
            "{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}",
            queue.name,
            q.strategy,
            q.moh_sound.as_deref().unwrap_or_default(),
            q.time_base_score,
            q.tier_rules_apply,
            q.tier_rule_wait_second,
            q.tier_rule_wait_multiply_level,
            q.tier_rule_no_agent_no_wait,
            q.discard_abandoned_after,
            q.abandoned_resume_allowed,
            q.max_wait_time,
            q.max_wait_time_with_no_agent,
            q.max_wait_time_with_no_agent_time_reached,
            q.record_template.as_deref().unwrap_or_default(),
            queue.calls_answered,
            queue.calls_abandoned,
            q.ring_progressively_delay,
            q.skip_agents_with_external_calls,
            q.agent_no_answer_status.name(),
        );
    }
    out + "+OK\n"
}

/// Agents of a queue, of a status and in a state if those are given.
fn agents_of<'d>(
    dispatcher: &'d Dispatcher,
    queue: &str,
    status: Option<&str>,
    state: Option<&str>,
) -> Vec<&'d Agent> {
    // In the order of agents, as joining the tables gives them.
    let in_queue = |agent: &&Agent| dispatcher.has_tier(queue, &agent.name);
    let wanted = |agent: &&Agent| {
        status.is_none_or(|status| agent.status.name() == status)
            && state.is_none_or(|state| agent.state.name() == state)
    };
    dispatcher.agents().filter(in_queue).filter(wanted).collect()
}

/// Callers of a queue, or of all, with their scores.
fn members_of(dispatcher: &Dispatcher, queue: Option<&str>) -> Vec<Vec<Arg>> {
    let now = clock::now_secs();
    let mut members: Vec<&Member> =
        dispatcher.members().filter(|m| queue.is_none_or(|queue| *m.queue == *queue)).collect();
    if queue.is_none() {
        // Stable: the best of each queue stay first.
        members.sort_by(|a, b| a.queue.cmp(&b.queue));
    }
    let row = |member: &Member| {
        let mut row = member_row(member);
        row.push(member.score(now).into());
        row
    };
    members.into_iter().map(row).collect()
}

/// `queue list agents|members|tiers`; `None` for anything else.
pub(crate) fn of_queue(center: &Center, what: &str, words: &[&str]) -> Option<String> {
    let queue = words.first().copied();
    let dispatcher = center.dispatcher.lock();
    Some(match what.to_ascii_lowercase().as_str() {
        "agents" => {
            let found = agents_of(
                &dispatcher,
                queue.unwrap_or_default(),
                words.get(1).copied(),
                words.get(2).copied(),
            );
            table(AGENT_COLUMNS, found.into_iter().map(agent_row))
        }
        "members" => table(MEMBER_COLUMNS, members_of(&dispatcher, queue).into_iter()),
        "tiers" => {
            table(TIER_COLUMNS, dispatcher.tiers_of(queue.unwrap_or_default()).map(tier_row))
        }
        _ => return None,
    })
}

/// `queue count agents|members|tiers`; `None` for anything else.
pub(crate) fn count_of_queue(center: &Center, what: &str, words: &[&str]) -> Option<usize> {
    let queue = words.first().copied().unwrap_or_default();
    let dispatcher = center.dispatcher.lock();
    Some(match what.to_ascii_lowercase().as_str() {
        "agents" => {
            agents_of(&dispatcher, queue, words.get(1).copied(), words.get(2).copied()).len()
        }
        "members" => dispatcher.members().filter(|member| *member.queue == *queue).count(),
        "tiers" => dispatcher.tiers_of(queue).count(),
        _ => return None,
    })
}

// ---- JSON ----

fn object(columns: &[&str], row: &[Arg]) -> Json {
    let pairs = columns.iter().zip(row);
    Json::Object(pairs.map(|(name, value)| ((*name).to_owned(), cell(value).into())).collect())
}

fn array(columns: &[&str], rows: impl Iterator<Item = Vec<Arg>>) -> Json {
    Json::Array(rows.map(|row| object(columns, &row)).collect())
}

/// The method `callcenter_config` of `json`: `arguments` says what is listed.
pub(crate) fn json(switch: &Switch, data: &Map<String, Json>) -> Result<Json, String> {
    const REFUSED: &str = "The command returned an error";
    let text = |name: &str| {
        let text = data.get(name).and_then(Json::as_str);
        text.filter(|text| !text.is_empty())
    };
    let arguments = text("arguments").ok_or(REFUSED)?.to_ascii_lowercase();
    let queue = || text("queue_name").ok_or("Missing data attribute: queue_name");
    let center = center::of(switch);
    let dispatcher = center.dispatcher.lock();
    Ok(match arguments.as_str() {
        "agent list" => array(AGENT_COLUMNS, dispatcher.agents().map(agent_row)),
        "queue list" => Json::Array(ordered(&dispatcher).iter().map(queue_object).collect()),
        "queue list agents" => {
            let found = agents_of(&dispatcher, queue()?, None, None);
            array(AGENT_COLUMNS, found.into_iter().map(agent_row))
        }
        "queue list members" => {
            array(MEMBER_COLUMNS, members_of(&dispatcher, Some(queue()?)).into_iter())
        }
        "queue list tiers" => array(TIER_COLUMNS, dispatcher.tiers_of(queue()?).map(tier_row)),
        "member list" => {
            let now = clock::now_secs();
            let row = |member: &Member| {
                let mut row = member_row(member);
                row.push(member.score(now).into());
                row
            };
            array(MEMBER_COLUMNS, dispatcher.members().map(row))
        }
        "tier list" => {
            let mut tiers: Vec<_> = dispatcher.tiers().collect();
            tiers.sort_by_key(|tier| (tier.level, tier.position));
            array(TIER_COLUMNS, tiers.into_iter().map(tier_row))
        }
        _ => return Err(REFUSED.into()),
    })
}

fn queue_object(queue: &Queue) -> Json {
    let q = &queue.settings;
    // Yes and no are texts there.
    let word = |yes: bool| if yes { "true" } else { "false" };
    json!({
        "name": &*queue.name,
        "strategy": q.strategy,
        "moh_sound": q.moh_sound,
        "time_base_score": q.time_base_score,
        "tier_rules_apply": word(q.tier_rules_apply),
        "tier_rule_wait_second": q.tier_rule_wait_second,
        "tier_rule_wait_multiply_level": word(q.tier_rule_wait_multiply_level),
        "tier_rule_no_agent_no_wait": word(q.tier_rule_no_agent_no_wait),
        "discard_abandoned_after": q.discard_abandoned_after,
        "abandoned_resume_allowed": word(q.abandoned_resume_allowed),
        "max_wait_time": q.max_wait_time,
        "max_wait_time_with_no_agent": q.max_wait_time_with_no_agent,
        "max_wait_time_with_no_agent_time_reached": q.max_wait_time_with_no_agent_time_reached,
        "record_template": q.record_template,
        "skip_agents_with_external_calls": word(q.skip_agents_with_external_calls),
        "agent_no_answer_status": q.agent_no_answer_status.name(),
    })
}
