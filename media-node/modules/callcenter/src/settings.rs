//! `callcenter.conf`.

use dialplan_xml::Node;
use dialplan_xml::config::{Params, settings as params};
use switch_core::text::{int, is_false, is_number, is_true};

use crate::dispatch::{QueueSettings, SINGLE_BOX, Status};

/// Seconds a setting of a queue may say at most.
const LONGEST: i64 = 86_400;
/// Seconds an agent's phone may ring unless the configuration or its contact says otherwise.
const ORIGINATE_TIMEOUT: i64 = 60;
/// The database's name unless there is another.
const DATABASE: &str = "callcenter";

/// What holds for all queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where the tables are.
    pub(crate) dsn: String,
    pub(crate) instance_id: String,
    pub(crate) reserve_agents: bool,
    pub(crate) truncate_tiers: bool,
    pub(crate) truncate_agents: bool,
    /// Seconds an agent's phone may ring.
    pub(crate) originate_timeout: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dsn: DATABASE.to_owned(),
            instance_id: SINGLE_BOX.to_owned(),
            reserve_agents: false,
            truncate_tiers: false,
            truncate_agents: false,
            originate_timeout: ORIGINATE_TIMEOUT.unsigned_abs(),
        }
    }
}

/// An `<agent>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentConf {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
    /// What is set, in this order: the key as commands have it, and the value.
    pub(crate) values: Vec<(&'static str, String)>,
}

/// A `<tier>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TierConf {
    pub(crate) queue: String,
    pub(crate) agent: String,
    pub(crate) level: Option<String>,
    pub(crate) position: Option<String>,
}

/// All of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conf {
    pub(crate) settings: Settings,
    pub(crate) queues: Vec<(String, QueueSettings)>,
    pub(crate) agents: Vec<AgentConf>,
    pub(crate) tiers: Vec<TierConf>,
}

impl Conf {
    /// From the `<configuration>` element.
    pub(crate) fn read(conf: Node<'_>) -> Self {
        let children = |list: &'static str, name: &'static str| {
            let list = conf.child(list);
            list.into_iter().flat_map(move |list| list.children_named(name))
        };
        Self {
            settings: Settings::read(conf),
            queues: children("queues", "queue")
                .map(|queue| (queue.attr_or_empty("name").to_owned(), queue_settings(queue)))
                .collect(),
            agents: children("agents", "agent").filter_map(agent).collect(),
            tiers: children("tiers", "tier")
                .map(|tier| TierConf {
                    queue: tier.attr_or_empty("queue").to_owned(),
                    agent: tier.attr_or_empty("agent").to_owned(),
                    level: tier.attr("level").map(str::to_owned).filter(|text| !text.is_empty()),
                    position: tier
                        .attr("position")
                        .map(str::to_owned)
                        .filter(|text| !text.is_empty()),
                })
                .collect(),
        }
    }
}

impl Settings {
    fn read(conf: Node<'_>) -> Self {
        let mut read = Self::default();
        let (mut dbname, mut dsn) = (DATABASE.to_owned(), String::new());
        for param in &params(Some(conf)) {
            let value = &*param.value;
            match param.name.to_ascii_lowercase().as_str() {
                "dbname" if !value.is_empty() => value.clone_into(&mut dbname),
                "odbc-dsn" => value.clone_into(&mut dsn),
                "reserve-agents" => read.reserve_agents = is_true(value),
                "truncate-tiers-on-load" => read.truncate_tiers = is_true(value),
                "truncate-agents-on-load" => read.truncate_agents = is_true(value),
                "cc-instance-id" if !value.is_empty() => value.clone_into(&mut read.instance_id),
                "agent-originate-timeout" => {
                    let seconds = match int(value) {
                        0 => ORIGINATE_TIMEOUT,
                        seconds => seconds.clamp(1, LONGEST),
                    };
                    read.originate_timeout = seconds.unsigned_abs();
                }
                _ => {}
            }
        }
        read.dsn = if dsn.is_empty() { dbname } else { dsn };
        read
    }
}

fn agent(node: Node<'_>) -> Option<AgentConf> {
    const VALUES: &[(&str, &str)] = &[
        ("contact", "contact"),
        ("status", "status"),
        ("wrap-up-time", "wrap_up_time"),
        ("max-no-answer", "max_no_answer"),
        ("reject-delay-time", "reject_delay_time"),
        ("busy-delay-time", "busy_delay_time"),
        ("no-answer-delay-time", "no_answer_delay_time"),
    ];
    let values = VALUES
        .iter()
        .filter_map(|(attribute, key)| Some((*key, node.attr(attribute)?.to_owned())))
        .collect();
    Some(AgentConf {
        name: node.attr("name")?.to_owned(),
        kind: node.attr("type").map(str::to_owned),
        values,
    })
}

/// Values as the reference's typed settings take them: the first of a name, and the default, with a word in the log, for
/// what cannot be.
struct Typed(Params);

impl Typed {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(str::to_owned).filter(|text| !text.is_empty())
    }

    fn seconds(&self, name: &str, default: i64) -> i64 {
        let Some(param) = self.0.param(name) else { return default };
        let value = &*param.value;
        if is_number(value) && (0..=LONGEST).contains(&int(value)) {
            return int(value);
        }
        self.refuse(name, &default.to_string());
        default
    }

    fn yes(&self, name: &str, default: bool) -> bool {
        let Some(param) = self.0.param(name) else { return default };
        if is_true(&param.value) {
            return true;
        }
        if is_false(&param.value) {
            return false;
        }
        self.refuse(name, if default { "true" } else { "false" });
        default
    }

    fn refuse(&self, name: &str, default: &str) {
        let value = self.0.get(name).unwrap_or_default();
        tracing::error!(
            "Invalid value [{value}] for parameter [{name}], setting default [{default}]"
        );
    }
}

/// The parameters of a `<queue>`.
pub(crate) const QUEUE_PARAMETERS: &[&str] = &[
    "strategy",
    "moh-sound",
    "announce-sound",
    "announce-frequency",
    "record-template",
    "time-base-score",
    "ring-progressively-delay",
    "tier-rules-apply",
    "tier-rule-wait-second",
    "tier-rule-wait-multiply-level",
    "tier-rule-no-agent-no-wait",
    "discard-abandoned-after",
    "abandoned-resume-allowed",
    "max-wait-time",
    "max-wait-time-with-no-agent",
    "max-wait-time-with-no-agent-time-reached",
    "agent-no-answer-status",
    "skip-agents-with-external-calls",
];

fn queue_settings(queue: Node<'_>) -> QueueSettings {
    let name = queue.attr_or_empty("name");
    let typed = Typed(Params::read(Some(queue), "param"));
    for param in &typed.0 {
        if !QUEUE_PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(&param.name)) {
            tracing::warn!(
                "Configuration parameter [{}] is unfortunately not valid, you might want to double-check that.",
                param.name
            );
        }
    }
    let usual = QueueSettings::default();
    let status = typed.text("agent-no-answer-status");
    let agent_no_answer_status = match status.as_deref().map(Status::parse) {
        None => usual.agent_no_answer_status,
        Some(Some(status)) => status,
        Some(None) => {
            let usual = usual.agent_no_answer_status;
            tracing::warn!(
                "Queue {name} has invalid agent-no-answer-status, setting to {}",
                usual.name()
            );
            usual
        }
    };
    QueueSettings {
        strategy: typed.text("strategy").unwrap_or(usual.strategy),
        moh_sound: typed.text("moh-sound"),
        announce_sound: typed.text("announce-sound"),
        announce_frequency: typed.seconds("announce-frequency", usual.announce_frequency),
        record_template: typed.text("record-template"),
        time_base_score: typed.text("time-base-score").unwrap_or(usual.time_base_score),
        ring_progressively_delay: typed.seconds("ring-progressively-delay", 0),
        tier_rules_apply: typed.yes("tier-rules-apply", usual.tier_rules_apply),
        tier_rule_wait_second: typed.seconds("tier-rule-wait-second", 0),
        tier_rule_wait_multiply_level: typed.yes("tier-rule-wait-multiply-level", false),
        tier_rule_no_agent_no_wait: typed.yes("tier-rule-no-agent-no-wait", true),
        discard_abandoned_after: typed
            .seconds("discard-abandoned-after", usual.discard_abandoned_after),
        abandoned_resume_allowed: typed.yes("abandoned-resume-allowed", false),
        max_wait_time: typed.seconds("max-wait-time", 0),
        max_wait_time_with_no_agent: typed.seconds("max-wait-time-with-no-agent", 0),
        max_wait_time_with_no_agent_time_reached: typed.seconds(
            "max-wait-time-with-no-agent-time-reached",
            usual.max_wait_time_with_no_agent_time_reached,
        ),
        agent_no_answer_status,
        skip_agents_with_external_calls: typed.yes("skip-agents-with-external-calls", true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inner: &str) -> Conf {
        let xml = format!(
            "<document type=\"freeswitch/xml\"><section name=\"configuration\">\
             <configuration name=\"callcenter.conf\">{inner}</configuration></section></document>"
        );
        let tree = dialplan_xml::parse_raw(&xml, "test").tree.unwrap();
        Conf::read(tree.configuration("callcenter.conf").unwrap())
    }

    #[test]
    fn the_first_value_counts_and_what_cannot_be_is_the_default() {
        let conf = read(
            r#"<queues><queue name="q@x">
              <param name="strategy" value="round-robin"/>
              <param name="strategy" value="ring-all"/>
              <param name="max-wait-time" value="soon"/>
              <param name="discard-abandoned-after" value="90000"/>
              <param name="tier-rule-no-agent-no-wait" value="perhaps"/>
              <param name="tier-rules-apply" value="yes"/>
              <param name="agent-no-answer-status" value="Asleep"/>
            </queue></queues>"#,
        );
        let (name, queue) = &conf.queues[0];
        assert_eq!((&**name, &*queue.strategy), ("q@x", "round-robin"));
        assert_eq!((queue.max_wait_time, queue.discard_abandoned_after), (0, 60));
        assert!(queue.tier_rule_no_agent_no_wait && queue.tier_rules_apply);
        assert_eq!(queue.agent_no_answer_status, Status::OnBreak);
    }

    #[test]
    fn agents_tiers_and_settings_are_read() {
        let conf = read(
            r#"<settings>
              <param name="dbname" value="cc2"/>
              <param name="odbc-dsn" value="pgsql://host=db"/>
              <param name="agent-originate-timeout" value="7"/>
              <param name="reserve-agents" value="true"/>
            </settings>
            <agents><agent name="a@x" type="callback" contact="user/a" max-no-answer="3"/><agent type="callback"/></agents>
            <tiers><tier agent="a@x" queue="q@x" level="" position="2"/></tiers>"#,
        );
        assert_eq!(conf.settings.dsn, "pgsql://host=db");
        assert!(conf.settings.reserve_agents);
        assert_eq!(conf.settings.originate_timeout, 7);
        assert_eq!(conf.agents.len(), 1);
        let values = [("contact", "user/a".to_owned()), ("max_no_answer", "3".to_owned())];
        assert_eq!(conf.agents[0].values, values);
        assert_eq!((&conf.tiers[0].level, conf.tiers[0].position.as_deref()), (&None, Some("2")));
    }
}
