//! The reference's tables `agents`, `tiers` and `members`. The dispatcher works in memory; what changes is written behind
//! it, in batches.

use std::path::Path;

use database::{Arg, Database, Error, Row};

use crate::dispatch::{
    Agent, AgentState, Change, Dispatcher, Epoch, Member, MemberState, Status, Tier, TierState,
};

const MEMBERS: &str = "CREATE TABLE members (queue VARCHAR(255), instance_id VARCHAR(255), \
     uuid VARCHAR(255) NOT NULL DEFAULT '', session_uuid VARCHAR(255) NOT NULL DEFAULT '', cid_number VARCHAR(255), \
     cid_name VARCHAR(255), system_epoch INTEGER NOT NULL DEFAULT 0, joined_epoch INTEGER NOT NULL DEFAULT 0, \
     rejoined_epoch INTEGER NOT NULL DEFAULT 0, bridge_epoch INTEGER NOT NULL DEFAULT 0, \
     abandoned_epoch INTEGER NOT NULL DEFAULT 0, base_score INTEGER NOT NULL DEFAULT 0, \
     skill_score INTEGER NOT NULL DEFAULT 0, serving_agent VARCHAR(255), serving_system VARCHAR(255), state VARCHAR(255))";
const AGENTS: &str = "CREATE TABLE agents (name VARCHAR(255), instance_id VARCHAR(255), uuid VARCHAR(255), \
     type VARCHAR(255), contact VARCHAR(1024), status VARCHAR(255), state VARCHAR(255), \
     max_no_answer INTEGER NOT NULL DEFAULT 0, wrap_up_time INTEGER NOT NULL DEFAULT 0, \
     reject_delay_time INTEGER NOT NULL DEFAULT 0, busy_delay_time INTEGER NOT NULL DEFAULT 0, \
     no_answer_delay_time INTEGER NOT NULL DEFAULT 0, last_bridge_start INTEGER NOT NULL DEFAULT 0, \
     last_bridge_end INTEGER NOT NULL DEFAULT 0, last_offered_call INTEGER NOT NULL DEFAULT 0, \
     last_status_change INTEGER NOT NULL DEFAULT 0, no_answer_count INTEGER NOT NULL DEFAULT 0, \
     calls_answered INTEGER NOT NULL DEFAULT 0, talk_time INTEGER NOT NULL DEFAULT 0, \
     ready_time INTEGER NOT NULL DEFAULT 0, external_calls_count INTEGER NOT NULL DEFAULT 0)";
const TIERS: &str = "CREATE TABLE tiers (queue VARCHAR(255), agent VARCHAR(255), state VARCHAR(255), \
     level INTEGER NOT NULL DEFAULT 1, position INTEGER NOT NULL DEFAULT 1)";

/// Columns of `agents`, as lists and tables have them.
pub(crate) const AGENT_COLUMNS: &[&str] = &[
    "name",
    "instance_id",
    "uuid",
    "type",
    "contact",
    "status",
    "state",
    "max_no_answer",
    "wrap_up_time",
    "reject_delay_time",
    "busy_delay_time",
    "no_answer_delay_time",
    "last_bridge_start",
    "last_bridge_end",
    "last_offered_call",
    "last_status_change",
    "no_answer_count",
    "calls_answered",
    "talk_time",
    "ready_time",
    "external_calls_count",
];
/// Columns of `tiers`.
pub(crate) const TIER_COLUMNS: &[&str] = &["queue", "agent", "state", "level", "position"];
/// Columns of `members` as they are listed: with the score behind.
pub(crate) const MEMBER_COLUMNS: &[&str] = &[
    "queue",
    "instance_id",
    "uuid",
    "session_uuid",
    "cid_number",
    "cid_name",
    "system_epoch",
    "joined_epoch",
    "rejoined_epoch",
    "bridge_epoch",
    "abandoned_epoch",
    "base_score",
    "skill_score",
    "serving_agent",
    "serving_system",
    "state",
    "score",
];

/// An agent's columns.
pub(crate) fn agent_row(agent: &Agent) -> Vec<Arg> {
    vec![
        (*agent.name).into(),
        (&agent.instance_id).into(),
        (&agent.uuid).into(),
        (&agent.kind).into(),
        (&agent.contact).into(),
        agent.status.name().into(),
        agent.state.name().into(),
        agent.max_no_answer.into(),
        agent.wrap_up_time.into(),
        agent.reject_delay_time.into(),
        agent.busy_delay_time.into(),
        agent.no_answer_delay_time.into(),
        agent.last_bridge_start.into(),
        agent.last_bridge_end.into(),
        agent.last_offered_call.into(),
        agent.last_status_change.into(),
        agent.no_answer_count.into(),
        agent.calls_answered.into(),
        agent.talk_time.into(),
        agent.ready_time.into(),
        agent.external_calls_count.into(),
    ]
}

/// A tier's columns.
pub(crate) fn tier_row(tier: &Tier) -> Vec<Arg> {
    vec![
        (*tier.queue).into(),
        (*tier.agent).into(),
        tier.state.name().into(),
        tier.level.into(),
        tier.position.into(),
    ]
}

/// A caller's columns, without the score.
pub(crate) fn member_row(member: &Member) -> Vec<Arg> {
    vec![
        (*member.queue).into(),
        (&member.instance_id).into(),
        (*member.uuid).into(),
        (&member.session_uuid).into(),
        (&member.cid_number).into(),
        (&member.cid_name).into(),
        member.system_epoch.into(),
        member.joined_epoch.into(),
        member.rejoined_epoch.into(),
        member.bridge_epoch.into(),
        member.abandoned_epoch.into(),
        member.base_score.into(),
        member.skill_score.into(),
        (&member.serving_agent).into(),
        (&member.serving_system).into(),
        member.state.name().into(),
    ]
}

/// Changes a table unless it is as it has to be: `probe` is a query that works then.
async fn ensure(database: &Database, probe: &str, change: &str) -> Result<(), Error> {
    if database.rows(probe, Vec::new()).await.is_ok() {
        return Ok(());
    }
    database.execute(change, Vec::new()).await.map(drop)
}

/// Opens the database and makes its tables.
pub(crate) async fn open(dsn: &str, folder: &Path) -> Result<Database, Error> {
    let database = Database::open(dsn, folder).await?;
    ensure(&database, "SELECT count(session_uuid), count(instance_id) FROM members", MEMBERS)
        .await?;
    ensure(&database, "SELECT count(name) FROM agents", AGENTS).await?;
    // Columns that tables of earlier versions lack.
    for column in [
        "ready_time",
        "reject_delay_time",
        "busy_delay_time",
        "no_answer_delay_time",
        "external_calls_count",
    ] {
        let probe = format!("SELECT count({column}) FROM agents");
        let add = format!("ALTER TABLE agents ADD {column} INTEGER NOT NULL DEFAULT 0");
        ensure(&database, &probe, &add).await?;
    }
    for table in ["agents", "members"] {
        let probe = format!("SELECT count(instance_id) FROM {table}");
        let rename = format!("ALTER TABLE {table} RENAME COLUMN system TO instance_id");
        ensure(&database, &probe, &rename).await?;
    }
    ensure(&database, "SELECT count(queue) FROM tiers", TIERS).await?;
    Ok(database)
}

/// What an earlier run left.
pub(crate) async fn restore(
    database: &Database,
    dispatcher: &parking_lot::Mutex<Dispatcher>,
    instance_id: &str,
    now: Epoch,
) -> Result<(), Error> {
    let select =
        |table: &str, columns: &[&str]| format!("SELECT {} FROM {table}", columns.join(", "));
    let agents = database.rows(&select("agents", AGENT_COLUMNS), Vec::new()).await?;
    let tiers = database.rows(&select("tiers", TIER_COLUMNS), Vec::new()).await?;
    let columns = MEMBER_COLUMNS.split_last().map_or(&[][..], |(_, columns)| columns);
    let members = database
        .rows(
            &format!("{} WHERE instance_id = $1", select("members", columns)),
            vec![instance_id.into()],
        )
        .await?;
    let mut dispatcher = dispatcher.lock();
    let agents = agents.iter().map(agent_of).collect();
    let tiers = tiers.iter().map(tier_of).collect();
    let caller = |row: &Row| {
        let cell = |at: usize| row.text(at);
        let mut member = dispatcher.caller(cell(0), cell(2), "", now);
        member.instance_id = cell(1).to_owned();
        member.cid_number = cell(4).to_owned();
        member.cid_name = cell(5).to_owned();
        member.system_epoch = row.int(6);
        member.joined_epoch = row.int(7);
        member.rejoined_epoch = row.int(8);
        member.bridge_epoch = row.int(9);
        member.abandoned_epoch = row.int(10);
        member.base_score = row.int(11);
        member.skill_score = row.int(12);
        member.state = MemberState::Abandoned;
        member
    };
    let members = members.iter().map(caller).collect();
    dispatcher.restore(agents, tiers, members);
    Ok(())
}

fn agent_of(row: &Row) -> Agent {
    let cell = |at: usize| row.text(at);
    let figure = |at: usize| row.int(at);
    let mut agent = Agent::new(cell(0), cell(3));
    agent.instance_id = cell(1).to_owned();
    agent.uuid = cell(2).to_owned();
    agent.contact = cell(4).to_owned();
    agent.status = Status::parse(cell(5)).unwrap_or(Status::LoggedOut);
    agent.state = AgentState::parse(cell(6)).unwrap_or(AgentState::Waiting);
    agent.max_no_answer = figure(7);
    agent.wrap_up_time = figure(8);
    agent.reject_delay_time = figure(9);
    agent.busy_delay_time = figure(10);
    agent.no_answer_delay_time = figure(11);
    agent.last_bridge_start = figure(12);
    agent.last_bridge_end = figure(13);
    agent.last_offered_call = figure(14);
    agent.last_status_change = figure(15);
    agent.no_answer_count = figure(16);
    agent.calls_answered = figure(17);
    agent.talk_time = figure(18);
    agent.ready_time = figure(19);
    agent.external_calls_count = figure(20);
    agent
}

fn tier_of(row: &Row) -> Tier {
    Tier {
        queue: row.text(0).into(),
        agent: row.text(1).into(),
        state: TierState::parse(row.text(2)).unwrap_or(TierState::Ready),
        level: row.int(3),
        position: row.int(4),
    }
}

/// Changes as statements. A row that is there keeps its place in the table: it is updated, and made only if it is new.
pub(crate) fn statements(changes: Vec<Change>) -> Vec<(String, Vec<Arg>)> {
    changes.into_iter().flat_map(statement).collect()
}

fn statement(change: Change) -> Vec<(String, Vec<Arg>)> {
    let columns = MEMBER_COLUMNS.split_last().map_or(&[][..], |(_, columns)| columns);
    match change {
        Change::Agent(agent) => upsert("agents", AGENT_COLUMNS, &[0], &agent_row(&agent)),
        Change::Tier(tier) => upsert("tiers", TIER_COLUMNS, &[0, 1], &tier_row(&tier)),
        Change::Member(member) => upsert("members", columns, &[2], &member_row(&member)),
        Change::NoAgent(name) => {
            vec![("DELETE FROM agents WHERE name = $1".to_owned(), vec![(*name).into()])]
        }
        Change::NoTier(queue, agent) => vec![(
            "DELETE FROM tiers WHERE queue = $1 AND agent = $2".to_owned(),
            vec![(*queue).into(), (*agent).into()],
        )],
        Change::NoMember(uuid) => {
            vec![("DELETE FROM members WHERE uuid = $1".to_owned(), vec![(*uuid).into()])]
        }
    }
}

/// Updates the row whose `keys` are as given, or makes it.
fn upsert(table: &str, columns: &[&str], keys: &[usize], row: &[Arg]) -> Vec<(String, Vec<Arg>)> {
    let set: Vec<_> =
        columns.iter().enumerate().map(|(at, column)| format!("{column} = ${}", at + 1)).collect();
    let same: Vec<_> =
        keys.iter().filter_map(|at| Some(format!("{} = ${}", columns.get(*at)?, at + 1))).collect();
    let (set, same) = (set.join(", "), same.join(" AND "));
    let places: Vec<_> = (1..=columns.len()).map(|at| format!("${at}")).collect();
    let (names, places) = (columns.join(", "), places.join(", "));
    // PostgreSQL's text holds no NUL.
    let row: Vec<Arg> = row
        .iter()
        .map(|value| match value {
            Arg::Text(text) => Arg::Text(text.replace('\0', "")),
            other => other.clone(),
        })
        .collect();
    vec![
        (format!("UPDATE {table} SET {set} WHERE {same}"), row.clone()),
        (
            format!(
                "INSERT INTO {table} ({names}) SELECT {places} WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {same})"
            ),
            row,
        ),
    ]
}
