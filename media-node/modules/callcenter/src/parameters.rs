//! The parameters of `callcenter.conf`.

use dialplan_xml::declare::{Parameters, Value, param};

const STATUSES: &[&str] = &["Logged Out", "Available", "Available (On Demand)", "On Break"];

/// All of them.
#[rustfmt::skip]
pub(super) const PARAMETERS: &[Parameters] = &[
    Parameters { file: "callcenter.conf", scope: "", list: &[
        param("dbname", Value::Text, "callcenter", "Name or path of the SQLite file of agents, tiers and callers"),
        param("odbc-dsn", Value::Secret, "", "Database instead: `pgsql://…` or `sqlite://…`"),
        param("reserve-agents", Value::Bool, "false", "Agents are shown as `Reserved` before they are called"),
        param("truncate-tiers-on-load", Value::Bool, "false", "Tiers kept from an earlier run are forgotten"),
        param("truncate-agents-on-load", Value::Bool, "false", "Agents kept from an earlier run are forgotten"),
        param("cc-instance-id", Value::Text, "single_box", "Name of this switch in the table of callers"),
        param("agent-originate-timeout", Value::Seconds, "60", "Seconds an agent's phone may ring"),
        param("global-database-lock", Value::Bool, "true", "One statement at a time").no_effect("the state is in memory, and one task writes it behind"),
        param("debug", Value::Number(0, 10), "0", "More lines in the log").no_effect("the log level decides"),
        param("strategy", Value::Text, "longest-idle-agent", "How a queue chooses among free agents; an unknown name is `sequentially-by-agent-order`"),
        param("moh-sound", Value::Text, "", "What callers hear while they wait"),
        param("announce-sound", Value::Text, "", "What is played over it now and then"),
        param("announce-frequency", Value::Number(0, 86_400), "0", "Seconds between announcements"),
        param("record-template", Value::Text, "", "File calls are recorded to, with `${…}`"),
        param("time-base-score", Value::Word(&["queue", "system"]), "queue", "With `system` the time before the queue counts as well"),
        param("ring-progressively-delay", Value::Number(0, 86_400), "10", "Seconds before one more agent is called"),
        param("tier-rules-apply", Value::Bool, "false", "Callers have to wait for agents of higher levels"),
        param("tier-rule-wait-second", Value::Number(0, 86_400), "0", "How long"),
        param("tier-rule-wait-multiply-level", Value::Bool, "false", "That many times the level"),
        param("tier-rule-no-agent-no-wait", Value::Bool, "true", "Levels without agents are not waited for"),
        param("discard-abandoned-after", Value::Number(0, 86_400), "60", "Seconds the place of a caller who gave up is kept"),
        param("abandoned-resume-allowed", Value::Bool, "false", "A caller who calls again gets the place back"),
        param("max-wait-time", Value::Number(0, 86_400), "0", "Seconds a caller may wait; 0 is without limit"),
        param("max-wait-time-with-no-agent", Value::Number(0, 86_400), "0", "Seconds a caller may wait while no agent is there"),
        param("max-wait-time-with-no-agent-time-reached", Value::Number(0, 86_400), "5", "Seconds more for one who has just come"),
        param("agent-no-answer-status", Value::Word(STATUSES), "On Break", "Status of an agent who missed `max-no-answer` calls"),
        param("skip-agents-with-external-calls", Value::Bool, "true", "Agents in calls of `callcenter_track` are not called"),
    ] },
];
