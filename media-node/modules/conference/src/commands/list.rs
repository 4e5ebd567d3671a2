//! Lists of rooms and members: lines, XML, JSON. Spelling and spacing are the reference's.

use std::fmt::Write;
use std::sync::Arc;

use super::super::room::{Member, Room, Rooms};
use crate::clock;
use crate::switch::Switch;

/// `conference list|count|xml_list|json_list` without a room.
pub(super) fn all(switch: &Switch, form: &str, args: &[String]) -> String {
    let rooms = switch.module::<Rooms>().all();
    match form {
        "xml_list" => xml(&rooms),
        "json_list" => json(&rooms, args.iter().any(|a| a == "compact")),
        "count" => rooms.len().to_string(),
        _ if rooms.is_empty() => "+OK No active conferences.\n".to_owned(),
        _ => {
            let summary = args.iter().any(|a| a == "summary");
            let delimiter = delimiter(args);
            rooms.iter().fold(String::new(), |mut text, room| {
                text += &headline(room);
                if !summary {
                    text += &lines(room, delimiter);
                }
                text
            })
        }
    }
}

/// The same of one room.
pub(super) fn room(room: &Arc<Room>, form: &str, args: &[String]) -> String {
    match form {
        "xml_list" => xml(std::slice::from_ref(room)),
        "json_list" => json(std::slice::from_ref(room), args.iter().any(|a| a == "compact")),
        "count" => room.members().len().to_string(),
        _ if args.first().is_some_and(|a| a == "count") => room.members().len().to_string(),
        _ if args.first().is_some_and(|a| a == "summary") => headline(room),
        _ => lines(room, delimiter(args)),
    }
}

fn delimiter(args: &[String]) -> &str {
    let at = args.iter().position(|a| a == "delim");
    at.and_then(|at| args.get(at + 1)).map_or(";", String::as_str)
}

fn headline(room: &Room) -> String {
    let count = room.members().len();
    let plural = if count == 1 { "" } else { "s" };
    format!(
        "+OK Conference {} ({count} member{plural} rate: {} flags: {})\n",
        room.name,
        room.profile.rate,
        room.flags().join("|")
    )
}

fn lines(room: &Room, delimiter: &str) -> String {
    let floor = room.with(|s| s.floor);
    room.members().iter().fold(String::new(), |text, member| {
        let state = member.state();
        let mut flags = Vec::new();
        for (on, name) in [
            (state.hears, "hear"),
            (state.speaks, "speak"),
            (state.talking, "talking"),
            (floor == Some(member.id), "floor"),
            (state.moderator, "moderator"),
            (state.ends_room, "endconf"),
        ] {
            if on {
                flags.push(name);
            }
        }
        let profile = member.channel.profile();
        let parts = [
            member.id.to_string(),
            member.channel.name(),
            member.channel.uuid().to_string(),
            profile.caller_id_name,
            profile.caller_id_number,
            flags.join("|"),
            state.volume_in.to_string(),
            "0".to_owned(),
            state.volume_out.to_string(),
            state.energy_level.to_string(),
        ];
        text + &parts.join(delimiter) + "\n"
    })
}

fn word(on: bool) -> &'static str {
    if on { "true" } else { "false" }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn xml(rooms: &[Arc<Room>]) -> String {
    if rooms.is_empty() {
        return "<?xml version=\"1.0\"?>\n<conferences></conferences>\n".to_owned();
    }
    let mut text = "<?xml version=\"1.0\"?>\n<conferences>\n".to_owned();
    for room in rooms {
        let members = room.members();
        let _infallible = write!(
            text,
            "  <conference name=\"{}\" member-count=\"{}\" ghost-count=\"0\" rate=\"{}\" uuid=\"{}\"",
            escape(&room.name),
            members.len(),
            room.profile.rate,
            room.uuid
        );
        for flag in room.flags().iter().filter(|f| **f != "json_status") {
            let _infallible = write!(text, " {flag}=\"true\"");
        }
        let _infallible = writeln!(text, " run_time=\"{}\">", clock::now_secs() - room.created);
        text += "    <variables></variables>\n    <members>\n";
        for member in &members {
            xml_member(&mut text, room, member);
        }
        text += "    </members>\n  </conference>\n";
    }
    text + "</conferences>\n"
}

fn xml_member(text: &mut String, room: &Room, member: &Member) {
    let state = member.state();
    let profile = member.channel.profile();
    let now = clock::now_secs();
    let _infallible =
        write!(text, "      <member type=\"caller\">\n        <id>{}</id>\n", member.id);
    *text += "        <flags>\n";
    for (name, on) in member_flags(room, member) {
        let _infallible = writeln!(text, "          <{name}>{}</{name}>", word(on));
    }
    let last = match state.last_talking {
        0 => "N/A".to_owned(),
        at => (now - at).to_string(),
    };
    let _infallible = write!(
        text,
        "        </flags>\n        <uuid>{}</uuid>\n        <caller_id_name>{}</caller_id_name>\n        \
         <caller_id_number>{}</caller_id_number>\n        <join_time>{}</join_time>\n        \
         <last_talking>{last}</last_talking>\n        <energy>{}</energy>\n        \
         <volume_in>{}</volume_in>\n        <volume_out>{}</volume_out>\n        \
         <output-volume>0</output-volume>\n      </member>\n",
        member.channel.uuid(),
        escape(&profile.caller_id_name),
        escape(&profile.caller_id_number),
        now - member.joined,
        state.energy_level,
        state.volume_in,
        state.volume_out,
    );
}

fn member_flags(room: &Room, member: &Member) -> [(&'static str, bool); 13] {
    let state = member.state();
    [
        ("can_hear", state.hears),
        ("can_see", true),
        ("can_speak", state.speaks),
        ("mute_detect", false),
        ("talking", state.talking),
        ("hold", false),
        ("has_video", false),
        ("video_bridge", false),
        ("has_floor", room.with(|s| s.floor) == Some(member.id)),
        ("is_moderator", state.moderator),
        ("end_conference", state.ends_room),
        ("mandatory_member_end_conference", false),
        ("is_ghost", false),
    ]
}

/// One JSON line: indentation in tabs, name, value.
struct Lines {
    text: String,
    compact: bool,
}

impl Lines {
    fn open(&mut self, depth: usize, name: Option<&str>, bracket: &str) {
        self.name(depth, name);
        self.text += bracket;
    }

    fn name(&mut self, depth: usize, name: Option<&str>) {
        if self.text.ends_with(['{', '[']) || self.text.is_empty() {
        } else {
            self.text.push(',');
        }
        if let Some(name) = name {
            self.break_line(depth);
            let gap = if self.compact { "" } else { "\t" };
            let _infallible = write!(self.text, "\"{name}\":{gap}");
        }
    }

    fn break_line(&mut self, depth: usize) {
        if !self.compact {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n('\t', depth));
        }
    }

    fn value(&mut self, depth: usize, name: &str, value: impl std::fmt::Display) {
        self.name(depth, Some(name));
        let _infallible = write!(self.text, "{value}");
    }

    fn text(&mut self, depth: usize, name: &str, value: &str) {
        let quoted = serde_json::to_string(value).unwrap_or_default();
        self.value(depth, name, quoted);
    }

    fn close(&mut self, depth: Option<usize>, bracket: &str) {
        if let Some(depth) = depth {
            self.break_line(depth);
        }
        self.text += bracket;
    }
}

fn json(rooms: &[Arc<Room>], compact: bool) -> String {
    let mut out = Lines { text: String::new(), compact };
    out.open(0, None, "[");
    for room in rooms {
        json_room(&mut out, room);
    }
    out.close(None, "]");
    out.text
}

fn json_room(out: &mut Lines, room: &Arc<Room>) {
    let members = room.members();
    let now = clock::now_secs();
    out.open(0, None, "{");
    out.text(2, "conference_name", &room.name);
    out.value(2, "member_count", members.len());
    out.value(2, "ghost_count", 0);
    out.value(2, "rate", room.profile.rate);
    out.value(2, "run_time", now - room.created);
    out.text(2, "conference_uuid", &room.uuid);
    for name in ["canvas_count", "max_bw_in", "force_bw_in", "video_floor_packets"] {
        out.value(2, name, 0);
    }
    let (locked, recording) = room.with(|s| (s.locked, !s.recordings.is_empty()));
    for (name, on) in [
        ("locked", locked),
        ("destruct", false),
        ("wait_mod", false),
        ("audio_always", false),
        ("running", true),
        ("answered", true),
        ("enforce_min", true),
        ("bridge_to", false),
        ("dynamic", true),
        ("exit_sound", true),
        ("enter_sound", true),
        ("recording", recording),
        ("video_bridge", false),
        ("video_floor_only", false),
        ("video_rfc4579", false),
    ] {
        out.value(2, name, on);
    }
    out.open(2, Some("variables"), "{");
    out.close(Some(2), "}");
    out.open(2, Some("members"), "[");
    for member in &members {
        json_member(out, room, member);
    }
    out.close(None, "]");
    out.close(Some(1), "}");
}

fn json_member(out: &mut Lines, room: &Room, member: &Member) {
    let state = member.state();
    let profile = member.channel.profile();
    let now = clock::now_secs();
    out.open(0, None, "{");
    out.text(4, "type", "caller");
    out.value(4, "id", member.id);
    out.open(4, Some("flags"), "{");
    for (name, on) in [
        ("can_hear", state.hears),
        ("can_see", true),
        ("can_speak", state.speaks),
        ("hold", false),
        ("mute_detect", false),
        ("talking", state.talking),
        ("has_video", false),
        ("video_bridge", false),
        ("has_floor", room.with(|s| s.floor) == Some(member.id)),
        ("is_moderator", state.moderator),
        ("end_conference", state.ends_room),
        ("mandatory_member_end_conference", false),
        ("pass_digits", false),
    ] {
        out.value(5, name, on);
    }
    out.close(Some(4), "}");
    out.text(4, "uuid", member.channel.uuid());
    out.text(4, "caller_id_name", &profile.caller_id_name);
    out.text(4, "caller_id_number", &profile.caller_id_number);
    out.value(4, "join_time", now - member.joined);
    let last = if state.last_talking == 0 { 0 } else { now - state.last_talking };
    out.value(4, "last_talking", last);
    out.value(4, "energy", state.energy_level);
    out.value(4, "volume_in", state.volume_in);
    out.value(4, "volume_out", state.volume_out);
    out.value(4, "output-volume", 0);
    out.value(4, "input-volume", 0);
    out.close(Some(3), "}");
}
