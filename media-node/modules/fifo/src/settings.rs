//! `fifo.conf`.

use dialplan_xml::Node;
use dialplan_xml::config::settings as params;
use switch_core::text::{int, is_true};

/// How members are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// A caller is chosen first; members see whose call it is.
    #[default]
    RingAll,
    /// As many members as callers need are called; each that answers takes the next caller.
    Enterprise,
}

impl Strategy {
    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "ringall" => Some(Self::RingAll),
            "enterprise" => Some(Self::Enterprise),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RingAll => "ringall",
            Self::Enterprise => "enterprise",
        }
    }
}

/// The `<settings>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where the tables are.
    pub(crate) dsn: String,
    pub(crate) strategy: Strategy,
    pub(crate) allow_transcoding: bool,
    pub(crate) delete_members_on_startup: bool,
    pub(crate) no_hold_key: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dsn: "fifo".to_owned(),
            strategy: Strategy::RingAll,
            allow_transcoding: false,
            delete_members_on_startup: false,
            no_hold_key: false,
        }
    }
}

/// A `<member>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberConf {
    pub(crate) dial: String,
    pub(crate) simo: i64,
    pub(crate) taking_calls: i64,
    pub(crate) timeout: i64,
    pub(crate) lag: i64,
}

/// A `<fifo>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FifoConf {
    pub(crate) name: String,
    pub(crate) importance: i64,
    pub(crate) outbound_name: Option<String>,
    pub(crate) strategy: Option<Strategy>,
    /// One of the attributes that only matter to members is written.
    pub(crate) for_members: bool,
    pub(crate) per_cycle: i64,
    pub(crate) per_cycle_min: i64,
    pub(crate) retry_delay: i64,
    pub(crate) priority: i64,
    pub(crate) ring_timeout: i64,
    pub(crate) default_lag: i64,
    pub(crate) members: Vec<MemberConf>,
}

/// All of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conf {
    pub(crate) settings: Settings,
    pub(crate) fifos: Vec<FifoConf>,
}

/// The fifo of calls beside the others (`fifo_track_call`).
pub(crate) const MANUAL: &str = "manual_calls";

impl Conf {
    pub(crate) fn read(conf: Node<'_>) -> Self {
        let fifos = conf.child("fifos");
        let fifos = fifos.into_iter().flat_map(|fifos| fifos.children_named("fifo"));
        Self { settings: settings(conf), fifos: fifos.filter_map(fifo).collect() }
    }
}

fn settings(conf: Node<'_>) -> Settings {
    let mut read = Settings::default();
    let (mut dbname, mut dsn) = (read.dsn.clone(), String::new());
    for param in &params(Some(conf)) {
        let value = &*param.value;
        match param.name.to_ascii_lowercase().as_str() {
            "outbound-strategy" if !value.is_empty() => match Strategy::parse(value) {
                Some(strategy) => read.strategy = strategy,
                None => tracing::error!("{}: {value} is not a strategy", param.place),
            },
            "odbc-dsn" => value.clone_into(&mut dsn),
            "dbname" if !value.is_empty() => value.clone_into(&mut dbname),
            "allow-transcoding" => read.allow_transcoding = is_true(value),
            "delete-all-outbound-member-on-startup" => {
                read.delete_members_on_startup = is_true(value);
            }
            "disable-dtmf-moh-key" => read.no_hold_key = is_true(value),
            _ => {}
        }
    }
    read.dsn = if dsn.is_empty() { dbname } else { dsn };
    read
}

fn fifo(node: Node<'_>) -> Option<FifoConf> {
    let Some(name) = node.attr("name") else {
        tracing::error!("{}: fifo has no name!", node.place());
        return None;
    };
    if name.eq_ignore_ascii_case(MANUAL) {
        tracing::error!("{MANUAL} is a reserved name, use another name please.");
        return None;
    }
    let number = |attribute: &str| node.attr(attribute).map(int);
    let at_least = |attribute: &str, least: i64, usual: i64| {
        number(attribute).filter(|n| *n >= least).unwrap_or(usual)
    };
    let over_ten = |attribute: &str, usual: i64| match number(attribute) {
        Some(seconds) if seconds > 10 => seconds,
        Some(_) => {
            tracing::error!(
                fs_level = "CRIT",
                "Invalid {attribute}: must be > 10 for queue {name}"
            );
            usual
        }
        None => usual,
    };
    let strategy = node.attr("outbound_strategy");
    let (ring_timeout, default_lag) =
        (over_ten("outbound_ring_timeout", 60), over_ten("outbound_default_lag", 30));
    let member = |member: Node<'_>| {
        let number = |attribute: &str| int(member.attr_or_empty(attribute));
        MemberConf {
            dial: member.text().trim().to_owned(),
            simo: number("simo"),
            taking_calls: number("taking_calls").max(1),
            timeout: Some(number("timeout")).filter(|n| *n >= 10).unwrap_or(ring_timeout),
            lag: Some(number("lag")).filter(|n| *n >= 0).unwrap_or(default_lag),
        }
    };
    Some(FifoConf {
        name: name.to_owned(),
        importance: at_least("importance", 0, 0),
        outbound_name: node.attr("outbound_name").map(str::to_owned),
        strategy: strategy.and_then(Strategy::parse),
        for_members: strategy.is_some()
            || node.attr("outbound_per_cycle").is_some()
            || node.attr("outbound_priority").is_some(),
        per_cycle: at_least("outbound_per_cycle", 0, 1),
        per_cycle_min: at_least("outbound_per_cycle_min", 0, 1),
        retry_delay: at_least("retry_delay", 0, 0),
        priority: number("outbound_priority").filter(|n| (1..=10).contains(n)).unwrap_or(5),
        ring_timeout,
        default_lag,
        members: node.children_named("member").map(member).collect(),
    })
}
