//! `fifo list`: fifos as XML, indented by two blanks a level.

use std::fmt::Write as _;
use std::sync::Arc;

use switch_core::call::Channel;
use switch_core::clock;
use switch_core::switch::Switch;

use crate::settings::MANUAL;
use crate::state::{Bridge, Member, Node, State, Waiting};

/// An element that is being written.
struct Xml(String);

impl Xml {
    fn open(&mut self, level: usize, tag: &str, attributes: &[(&str, String)]) {
        let _fits = write!(self.0, "{:width$}<{tag}", "", width = level * 2);
        for (name, value) in attributes {
            let _fits = write!(self.0, " {name}=\"");
            base::xml::escape(&mut self.0, value, true);
            self.0.push('"');
        }
        self.0.push('>');
    }

    fn text(&mut self, text: &str) {
        base::xml::escape(&mut self.0, text, false);
    }

    fn close(&mut self, tag: &str) {
        let _fits = writeln!(self.0, "</{tag}>");
    }

    /// A list of elements; on one line where there are none.
    fn list<T>(
        &mut self,
        level: usize,
        tag: &str,
        items: &[T],
        mut each: impl FnMut(&mut Self, &T),
    ) {
        self.open(level, tag, &[]);
        if !items.is_empty() {
            self.0.push('\n');
            items.iter().for_each(|item| each(self, item));
            let _fits = write!(self.0, "{:width$}", "", width = level * 2);
        }
        self.close(tag);
    }
}

/// What may not stand in a URL, in percent signs.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let unsafe_ = b"\r\n #%&+:;<=>?@[\\]^`{|}\"".contains(&byte) || !(33..127).contains(&byte);
        match unsafe_ {
            true => {
                let _fits = write!(out, "%{byte:02X}");
            }
            false => out.push(char::from(byte)),
        }
    }
    out
}

fn when(epoch: i64, never: &str) -> String {
    match epoch {
        0 => never.to_owned(),
        epoch => clock::local_stamp(epoch.saturating_mul(1_000_000)),
    }
}

/// The report of one fifo, of all, or of none where there is none of that name.
pub(crate) fn report(
    switch: &Arc<Switch>,
    state: &State,
    wanted: Option<&str>,
    verbose: bool,
) -> String {
    let nodes: Vec<&Node> = match wanted {
        Some(name) => state.node(name).into_iter().collect(),
        None => state.ordered(),
    };
    let mut xml = Xml(String::new());
    xml.list(0, "fifo_report", &nodes, |xml, node| fifo(xml, switch, state, node, verbose));
    xml.0.push('\n');
    xml.0
}

fn fifo(xml: &mut Xml, switch: &Arc<Switch>, state: &State, node: &Node, verbose: bool) {
    let attributes = [
        ("name", node.name.clone()),
        ("consumer_count", node.consumers.len().to_string()),
        ("caller_count", node.waiting().to_string()),
        ("waiting_count", node.waiting().to_string()),
        ("importance", node.importance.to_string()),
        ("outbound_per_cycle", node.per_cycle.to_string()),
        ("outbound_per_cycle_min", node.per_cycle_min.to_string()),
        ("ring_timeout", node.ring_timeout.to_string()),
        ("default_lag", node.default_lag.to_string()),
        ("outbound_priority", node.priority.to_string()),
        ("outbound_strategy", node.strategy.name().to_owned()),
    ];
    xml.open(1, "fifo", &attributes);
    xml.0.push('\n');
    let manual = node.name == MANUAL;
    let mut members: Vec<&Member> =
        state.members.iter().filter(|m| manual || m.fifo == node.name).collect();
    if manual {
        members.sort_by(|a, b| a.uuid.cmp(&b.uuid));
        members.dedup_by(|a, b| a.uuid == b.uuid);
    }
    xml.list(2, "outbound", &members, |xml, row| member(xml, row, !manual));
    let callers: Vec<_> = node
        .slots
        .iter()
        .enumerate()
        .flat_map(|(slot, queue)| queue.iter().map(move |waiting| (slot, waiting)))
        .filter_map(|(slot, waiting)| match waiting {
            Waiting::Call(uuid) => Some((slot, switch.channel(uuid)?)),
            Waiting::Dial(_) => None,
        })
        .collect();
    xml.list(2, "callers", &callers, |xml, (slot, leg)| {
        call(xml, "caller", leg, Some(*slot), verbose);
    });
    let consumers: Vec<_> = node.consumers.iter().filter_map(|uuid| switch.channel(uuid)).collect();
    xml.list(2, "consumers", &consumers, |xml, leg| call(xml, "consumer", leg, None, verbose));
    let bridges: Vec<&Bridge> = state.bridges.iter().filter(|b| b.fifo == node.name).collect();
    xml.list(2, "bridges", &bridges, |xml, row| bridge(xml, switch, row, verbose));
    xml.0.push_str("  ");
    xml.close("fifo");
}

fn member(xml: &mut Xml, member: &Member, whole: bool) {
    let mut attributes = vec![
        ("simo", member.simo.to_string()),
        ("use_count", member.use_count.to_string()),
        ("timeout", member.timeout.to_string()),
        ("lag", member.lag.to_string()),
        ("outbound-call-count", member.calls.to_string()),
        ("outbound-fail-count", member.fails.to_string()),
        ("taking-calls", member.taking_calls.to_string()),
        ("status", member.status.clone()),
        ("outbound-call-total-count", member.calls_total.to_string()),
        ("outbound-fail-total-count", member.fails_total.to_string()),
    ];
    match member.taking_calls {
        0 => attributes.push(("logged-off-since", when(member.inactive_time, "now"))),
        _ => attributes.push(("logged-on-since", when(member.active_time, "now"))),
    }
    attributes.extend([
        ("manual-calls-out-count", member.manual_out.to_string()),
        ("manual-calls-in-count", member.manual_in.to_string()),
        ("manual-calls-out-total-count", member.manual_out_total.to_string()),
        ("manual-calls-in-total-count", member.manual_in_total.to_string()),
    ]);
    if whole {
        attributes.extend([
            ("ring-count", member.ring_count.to_string()),
            ("start-time", when(member.start_time, "never")),
            ("stop-time", when(member.stop_time, "never")),
        ]);
    }
    attributes.push(("next-available", when(member.next_avail, "now")));
    xml.open(3, "member", &attributes);
    xml.text(&member.dial);
    xml.close("member");
}

fn call(xml: &mut Xml, tag: &str, leg: &Arc<Channel>, slot: Option<usize>, verbose: bool) {
    let mut attributes = vec![("uuid", leg.uuid().to_string())];
    let mut add = |name: &'static str, value: Option<String>| {
        if let Some(value) = value {
            attributes.push((name, value));
        }
    };
    add("status", leg.variable("fifo_status"));
    add("caller_id_name", leg.var("caller_id_name").map(|name| encoded(&name)));
    add("caller_id_number", leg.var("caller_id_number").map(|number| encoded(&number)));
    add("timestamp", leg.variable("fifo_timestamp"));
    add("target", leg.variable("fifo_target"));
    if let Some(slot) = slot {
        add("position", leg.variable("fifo_position"));
        add("slot", Some(slot.to_string()));
    }
    xml.open(3, tag, &attributes);
    if verbose {
        record(xml, leg);
    }
    xml.close(tag);
}

/// The call record so far (`list_verbose`), where a module makes one.
fn record(xml: &mut Xml, leg: &Channel) {
    let document = leg.switch().observers().iter().find_map(|observer| observer.document(leg));
    if let Some(document) = document {
        xml.0.push('\n');
        xml.0.push_str(document.trim_end());
        xml.0.push_str("\n      ");
    }
}

fn bridge(xml: &mut Xml, switch: &Switch, row: &Bridge, verbose: bool) {
    xml.open(
        3,
        "bridge",
        &[
            ("fifo_name", row.fifo.clone()),
            ("bridge_start", when(row.start, "now")),
            ("bridge_start_epoch", row.start.to_string()),
        ],
    );
    xml.0.push('\n');
    let caller = [
        ("uuid", row.caller.clone()),
        ("caller_id_name", encoded(&row.caller_name)),
        ("caller_id_number", encoded(&row.caller_number)),
    ];
    xml.open(4, "caller", &caller);
    if let (true, Some(leg)) = (verbose, switch.channel(&row.caller)) {
        record(xml, &leg);
    }
    xml.close("caller");
    xml.open(4, "consumer", &[]);
    xml.0.push('\n');
    for (tag, text) in [("uuid", &row.consumer), ("outgoing_uuid", &row.outbound)] {
        xml.open(5, tag, &[]);
        xml.text(text);
        xml.close(tag);
    }
    xml.0.push_str("        ");
    xml.close("consumer");
    xml.0.push_str("      ");
    xml.close("bridge");
}
