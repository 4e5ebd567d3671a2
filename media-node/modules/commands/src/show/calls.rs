//! `show channels` and its relatives: one row per leg, or one per conversation.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::table::Table;
use crate::call::{Channel, CodecInfo, Direction, State};
use crate::clock;
use crate::switch::Switch;

/// Columns of `show channels`, in order.
const CHANNEL: &[&str] = &[
    "uuid",
    "direction",
    "created",
    "created_epoch",
    "name",
    "state",
    "cid_name",
    "cid_num",
    "ip_addr",
    "dest",
    "application",
    "application_data",
    "dialplan",
    "context",
    "read_codec",
    "read_rate",
    "read_bit_rate",
    "write_codec",
    "write_rate",
    "write_bit_rate",
    "secure",
    "hostname",
    "presence_id",
    "presence_data",
    "accountcode",
    "callstate",
    "callee_name",
    "callee_num",
    "callee_direction",
    "call_uuid",
    "sent_callee_name",
    "sent_callee_num",
    "initial_cid_name",
    "initial_cid_num",
    "initial_ip_addr",
    "initial_dest",
    "initial_dialplan",
    "initial_context",
];

/// Columns of the first leg in `show calls`.
const CALL_A: &[&str] = &[
    "uuid",
    "direction",
    "created",
    "created_epoch",
    "name",
    "state",
    "cid_name",
    "cid_num",
    "ip_addr",
    "dest",
    "presence_id",
    "presence_data",
    "accountcode",
    "callstate",
    "callee_name",
    "callee_num",
    "callee_direction",
    "call_uuid",
    "hostname",
    "sent_callee_name",
    "sent_callee_num",
];

/// Columns of the second leg in `show calls`.
const CALL_B: &[&str] = &[
    "uuid",
    "direction",
    "created",
    "created_epoch",
    "name",
    "state",
    "cid_name",
    "cid_num",
    "ip_addr",
    "dest",
    "presence_id",
    "presence_data",
    "accountcode",
    "callstate",
    "callee_name",
    "callee_num",
    "callee_direction",
    "sent_callee_name",
    "sent_callee_num",
];

/// How many of [`CHANNEL`] the detailed listings show of each leg.
const DETAILED: usize = 32;

/// A leg with the values of [`CHANNEL`].
struct Row(Vec<String>);

impl Row {
    fn get(&self, column: &str) -> String {
        let at = CHANNEL.iter().position(|known| *known == column);
        at.and_then(|at| self.0.get(at)).cloned().unwrap_or_default()
    }
}

fn codec(info: Option<&CodecInfo>) -> [String; 3] {
    info.map_or_else(Default::default, |codec| {
        [codec.name.clone(), codec.rate.to_string(), codec.bit_rate.to_string()]
    })
}

fn row(channel: &Channel, hostname: &str) -> Row {
    let profile = channel.profile();
    let initial = channel.with(|data| data.initial.clone());
    let var = |name: &str| channel.var(name).unwrap_or_default();
    // The leg knows of a common call once it was bridged, or was made by another leg.
    let call_uuid = if profile.times.bridged != 0
        || (channel.direction() == Direction::Outbound && channel.with(|data| data.other.is_some()))
    {
        var("call_uuid")
    } else {
        String::new()
    };
    channel.with(|data| {
        // A leg is listed from its creation, before its first state runs.
        let state = match data.running {
            State::None | State::New => State::Init,
            state => state,
        };
        let (callee_name, callee_num) = match data.callee_direction {
            "" => Default::default(),
            _ => (profile.callee_id_name.clone(), profile.callee_id_number.clone()),
        };
        let [read, read_rate, read_bits] = codec(data.read_codec.as_ref());
        let [write, write_rate, write_bits] = codec(data.write_codec.as_ref());
        Row(vec![
            channel.uuid().to_string(),
            channel.direction().name().to_owned(),
            clock::local_stamp(channel.created()),
            (channel.created() / 1_000_000).to_string(),
            data.name.clone(),
            state.name().to_owned(),
            profile.caller_id_name.clone(),
            profile.caller_id_number.clone(),
            profile.network_addr.clone(),
            profile.destination_number.clone(),
            data.showing.0.to_owned(),
            data.showing.1.to_string(),
            profile.dialplan.clone(),
            profile.context.clone(),
            read,
            read_rate,
            read_bits,
            write,
            write_rate,
            write_bits,
            data.secure.clone(),
            hostname.to_owned(),
            data.listed.presence_id.clone(),
            data.listed.presence_data.clone(),
            data.listed.account.clone(),
            data.call_state.name().to_owned(),
            callee_name,
            callee_num,
            data.callee_direction.to_owned(),
            call_uuid,
            data.sent_callee.0.clone(),
            data.sent_callee.1.clone(),
            initial.cid_name,
            initial.cid_num,
            initial.ip_addr,
            initial.dest,
            initial.dialplan,
            initial.context,
        ])
    })
}

/// Legs that were announced, oldest first.
fn shown(switch: &Switch) -> Vec<Arc<Channel>> {
    let mut channels = switch.channels();
    channels.retain(|channel| channel.flags.shown.load(Ordering::Relaxed));
    channels
}

fn hostname(switch: &Switch) -> String {
    switch.global("hostname").unwrap_or_default()
}

/// How many legs `show channels` lists.
#[must_use]
pub(super) fn channel_count(switch: &Switch) -> usize {
    shown(switch).len()
}

/// Is the text like the pattern, as SQL has it: `%` for anything, `_` for one character, any case? A pattern without
/// `%` may be anywhere in the text.
fn is_like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let anywhere = if pattern.contains('%') { "" } else { "%" };
    let pattern: Vec<char> =
        format!("{anywhere}{pattern}{anywhere}").to_lowercase().chars().collect();
    // Where to go on when what follows the last `%` does not fit: try it one character further.
    let (mut at, mut seen, mut retry) = (0, 0, None);
    while seen < text.len() {
        match pattern.get(at) {
            Some('%') => {
                at += 1;
                retry = Some((at, seen));
            }
            Some(&wanted) if wanted == '_' || wanted == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((from, start)) = retry else { return false };
                retry = Some((from, start + 1));
                (at, seen) = (from, start + 1);
            }
        }
    }
    pattern[at.min(pattern.len())..].iter().all(|rest| *rest == '%')
}

/// One row per leg; only those in which `like` is found, if it is given.
#[must_use]
pub(super) fn channels(switch: &Switch, like: Option<&str>) -> Table {
    let hostname = hostname(switch);
    let mut table = Table::new(CHANNEL);
    for channel in shown(switch) {
        let row = row(&channel, &hostname);
        let found = like.is_none_or(|like| {
            ["uuid", "name", "cid_name", "cid_num", "presence_data", "accountcode"]
                .iter()
                .any(|column| is_like(&row.get(column), like))
        });
        if found {
            table.rows.push(row.0);
        }
    }
    table
}

/// A conversation: its first leg, and the second one with the time they met, if there is one.
struct Call {
    a: Row,
    b: Option<(Row, i64)>,
}

fn calls_of(switch: &Switch) -> Vec<Call> {
    let hostname = hostname(switch);
    let mut calls = Vec::new();
    for channel in shown(switch) {
        let Some(partner) = channel.partner() else {
            calls.push(Call { a: row(&channel, &hostname), b: None });
            continue;
        };
        let leads = channel.leads();
        if leads || !partner.leads() {
            let met = channel.profile().times.bridged / 1_000_000;
            calls.push(Call {
                a: row(&channel, &hostname),
                b: Some((row(&partner, &hostname), met)),
            });
        }
    }
    calls
}

/// How many rows `show calls` has.
#[must_use]
pub(super) fn call_count(switch: &Switch) -> usize {
    calls_of(switch).len()
}

/// One row per conversation; legs on their own too, unless only bridged ones are asked for.
#[must_use]
pub(super) fn calls(switch: &Switch, bridged_only: bool, detailed: bool) -> Table {
    let (a, b) =
        if detailed { (&CHANNEL[..DETAILED], &CHANNEL[..DETAILED]) } else { (CALL_A, CALL_B) };
    let mut table = Table::new(a);
    table.columns.extend(b.iter().map(|column| format!("b_{column}")));
    table.columns.push("call_created_epoch".into());
    let mut calls = calls_of(switch);
    if !bridged_only && !detailed {
        // By the time the two met; legs on their own have none and come first.
        calls.sort_by_key(|call| call.b.as_ref().map(|(_, met)| *met));
    }
    for call in calls {
        if bridged_only && call.b.is_none() {
            continue;
        }
        let mut row: Vec<String> = a.iter().map(|column| call.a.get(column)).collect();
        match &call.b {
            Some((other, met)) => {
                row.extend(b.iter().map(|column| other.get(column)));
                row.push(met.to_string());
            }
            None => row.resize(table.columns.len(), String::new()),
        }
        table.rows.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn a_pattern_is_found_anywhere_or_says_where() {
        assert!(is_like("sofia/open/Probe@x", "probe"));
        assert!(!is_like("sofia/open/probe@x", "probe%"));
        assert!(is_like("sofia/open/probe@x", "%probe%"));
        assert!(is_like("sofia/open/probe@x", "sofia/%@x"));
        assert!(!is_like("sofia/open/probe@x", "sofia/%@y"));
        assert!(is_like("1001", "1__1") && !is_like("1001", "1_2"));
        assert!(is_like("", "%") && !is_like("", "x"));
        assert!(is_like("aab", "%ab") && !is_like("aab", "%aa"));
    }
}
