//! Lists of rooms and members: lines, XML, JSON. Spelling and spacing are the reference's.

use std::fmt::Write;
use std::sync::Arc;

use base::xml::in_xml;

use crate::clock;
use crate::member::Member;
use crate::room::{Room, Rooms};
use crate::switch::Switch;

/// `conference list|count|xml_list|json_list` without a room.
pub(super) fn all(switch: &Switch, form: &str, args: &[String]) -> String {
    let rooms = switch.module::<Rooms>().all();
    match form {
        "xml_list" => xml(&rooms),
        "json_list" => json(&rooms, args == ["compact"]),
        "count" => rooms.len().to_string(),
        _ if rooms.is_empty() => "+OK No active conferences.\n".to_owned(),
        _ => rooms.iter().fold(String::new(), |mut text, room| {
            text += &headline(room);
            match Form::of(args) {
                Form::Summary => {}
                Form::Pretty => text += &pretty(room),
                Form::Count => text += &lines(room, ";"),
                Form::Lines(delimiter) => text += &lines(room, &delimiter),
            }
            text
        }),
    }
}

/// The same of one room.
pub(super) fn room(room: &Arc<Room>, form: &str, args: &[String]) -> String {
    match form {
        "xml_list" => xml(std::slice::from_ref(room)),
        "json_list" => json(std::slice::from_ref(room), args == ["compact"]),
        "count" => room.count().to_string(),
        _ => match Form::of(args) {
            Form::Count => room.count().to_string(),
            Form::Pretty => pretty(room),
            Form::Summary => lines(room, ";"),
            Form::Lines(delimiter) => lines(room, &delimiter),
        },
    }
}

/// How a list is wanted.
enum Form {
    Lines(String),
    Pretty,
    Summary,
    Count,
}

impl Form {
    fn of(args: &[String]) -> Self {
        let word = args.first().map(|word| word.to_ascii_lowercase());
        match (word.as_deref(), args.get(1)) {
            (Some("delim"), Some(delimiter)) => {
                let inner = delimiter.strip_prefix('"').map(|d| d.trim_end_matches('"'));
                let delimiter = inner.unwrap_or(delimiter);
                Self::Lines(if delimiter.is_empty() { ";" } else { delimiter }.to_owned())
            }
            (Some("pretty"), _) => Self::Pretty,
            (Some("summary"), _) => Self::Summary,
            (Some("count"), _) => Self::Count,
            _ => Self::Lines(";".to_owned()),
        }
    }
}

fn headline(room: &Room) -> String {
    let count = room.count();
    let plural = if count == 1 { "" } else { "s" };
    // `video_bridge` is not among the words of this list; `json_status` always is.
    let on = room.flags().into_iter().filter(|(_, on)| *on).map(|(name, _)| name);
    let flags: Vec<_> = on.chain(["json_status"]).collect();
    format!(
        "+OK Conference {} ({count} member{plural} rate: {}{} flags: {})\n",
        room.name,
        room.profile.rate,
        if room.with(|s| s.flags.locked) { " locked" } else { "" },
        flags.join("|")
    )
}

pub(crate) fn pretty(room: &Room) -> String {
    room.members().iter().fold(String::new(), |text, member| {
        let profile = member.channel.profile();
        text + &format!(
            "{}) {} ({})\n",
            member.id, profile.caller_id_name, profile.caller_id_number
        )
    })
}

fn lines(room: &Room, delimiter: &str) -> String {
    let (floor, video_floor) = room.with(|s| (s.floor, s.video_floor.holder));
    room.members().iter().fold(String::new(), |text, member| {
        let state = member.state();
        let flags = [
            (!state.held && state.hears, "hear"),
            (!state.held && state.speaks, "speak"),
            (!state.held && state.talking, "talking"),
            (state.held, "hold"),
            (member.has_video(), "video"),
            (floor == Some(member.id), "floor"),
            (video_floor == Some(member.id), "vid-floor"),
            (state.flags.moderator, "moderator"),
            (state.flags.ghost, "ghost"),
        ];
        let flags: Vec<_> = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        let profile = member.channel.profile();
        let parts = [
            member.id.to_string(),
            member.channel.name(),
            member.channel.uuid().to_string(),
            profile.caller_id_name.clone(),
            profile.caller_id_number.clone(),
            flags.join("|"),
            state.volume_in.to_string(),
            state.volume_out.to_string(),
            state.energy_level.to_string(),
        ];
        text + &parts.join(delimiter) + "\n"
    })
}

fn word(on: bool) -> &'static str {
    if on { "true" } else { "false" }
}

/// Text as in a URL; the characters are the reference's choice.
fn url_encode(text: &str) -> String {
    const UNSAFE: &[u8] = b" \"#%&+:;<=>?@[\\]^`{|}";
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_graphic() && !UNSAFE.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn xml(rooms: &[Arc<Room>]) -> String {
    if rooms.is_empty() {
        return "<?xml version=\"1.0\"?>\n<conferences></conferences>\n".to_owned();
    }
    let mut text = "<?xml version=\"1.0\"?>\n<conferences>\n".to_owned();
    for room in rooms {
        xml_room(&mut text, room);
    }
    text + "</conferences>\n"
}

fn xml_room(text: &mut String, room: &Room) {
    let (count, ghosts, most, grace, variables) =
        room.with(|s| (s.count(), s.ghosts(), s.max_members, s.grace, s.variables.clone()));
    let _infallible = write!(
        text,
        "  <conference name=\"{}\" member-count=\"{count}\" ghost-count=\"{ghosts}\" rate=\"{}\" uuid=\"{}\"",
        in_xml(&room.name),
        room.profile.rate,
        room.uuid
    );
    let limits = |text: &mut String, name: &str, value: u64| {
        if value > 0 {
            let _infallible = write!(text, " {name}=\"{value}\"");
        }
    };
    for (flag, on) in room.flags() {
        if flag == "recording" {
            limits(text, "max_members", u64::from(most));
        }
        if flag == "video_bridge" {
            limits(text, "endconference_grace_time", grace);
        }
        if on && flag != "livearray_sync" {
            let _infallible = write!(text, " {flag}=\"true\"");
        }
    }
    let _infallible = writeln!(text, " run_time=\"{}\">", clock::now_secs() - room.created);
    if variables.is_empty() {
        text.push_str("    <variables></variables>\n");
    } else {
        text.push_str("    <variables>\n");
        for (name, value) in variables {
            let (name, value) = (in_xml(&name), in_xml(&value));
            let _infallible =
                writeln!(text, "      <variable name=\"{name}\" value=\"{value}\"></variable>");
        }
        text.push_str("    </variables>\n");
    }
    text.push_str("    <members>\n");
    for (path, paused, since) in recordings(room) {
        let status = if paused { " status=\"paused\"" } else { "" };
        let _infallible = write!(
            text,
            "      <member type=\"recording_node\">\n        <record_path{status}>{}</record_path>\n        \
             <join_time type=\"UNIX-epoch\">{since}</join_time>\n      </member>\n",
            in_xml(&path)
        );
    }
    for member in &room.members() {
        xml_member(text, room, member);
    }
    text.push_str("    </members>\n  </conference>\n");
}

/// File, whether it is paused, and when it began, of each recording; the newest first.
fn recordings(room: &Room) -> Vec<(String, bool, i64)> {
    room.with(|s| s.recordings.iter().rev().map(|r| (r.path.clone(), r.paused, r.since)).collect())
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
    // Values are encoded as in a URL, as the reference does it.
    let _infallible = write!(
        text,
        "        </flags>\n        <uuid>{}</uuid>\n        <caller_id_name>{}</caller_id_name>\n        \
         <caller_id_number>{}</caller_id_number>\n        <join_time>{}</join_time>\n        \
         <last_talking>{last}</last_talking>\n        <energy>{}</energy>\n        \
         <volume_in>{}</volume_in>\n        <volume_out>{}</volume_out>\n        \
         <output-volume>{}</output-volume>\n      </member>\n",
        member.channel.uuid(),
        url_encode(&profile.caller_id_name),
        url_encode(&profile.caller_id_number),
        now - member.joined,
        state.energy_level,
        state.volume_in,
        state.volume_out,
        state.volume_out,
    );
}

fn member_flags(room: &Room, member: &Member) -> [(&'static str, bool); 13] {
    let state = member.state();
    let free = !state.held;
    [
        ("can_hear", free && state.hears),
        ("can_see", free && state.sees),
        ("can_speak", free && state.speaks),
        ("mute_detect", state.flags.mute_detect),
        ("talking", free && state.talking),
        ("hold", state.held),
        ("has_video", member.has_video()),
        ("video_bridge", false),
        ("has_floor", room.with(|s| s.floor) == Some(member.id)),
        ("is_moderator", state.flags.moderator),
        ("end_conference", state.flags.ends_room),
        ("mandatory_member_end_conference", state.flags.mandatory),
        ("is_ghost", state.flags.ghost),
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
    let now = clock::now_secs();
    let (count, ghosts, most, variables) =
        room.with(|s| (s.count(), s.ghosts(), s.max_members, s.variables.clone()));
    out.open(0, None, "{");
    out.text(2, "conference_name", &room.name);
    out.value(2, "member_count", count);
    out.value(2, "ghost_count", ghosts);
    out.value(2, "rate", room.profile.rate);
    out.value(2, "run_time", now - room.created);
    out.text(2, "conference_uuid", &room.uuid);
    for name in ["canvas_count", "max_bw_in", "force_bw_in"] {
        out.value(2, name, 0);
    }
    let wait = room.profile.number("video-auto-floor-msec", 0).max(0);
    out.value(2, "video_floor_packets", wait / i64::from(room.profile.interval.max(1)));
    for (name, on) in room.flags() {
        if name != "livearray_sync" {
            out.value(2, name, on);
        }
    }
    if most > 0 {
        out.value(2, "max_members", most);
    }
    out.open(2, Some("variables"), "{");
    for (name, value) in &variables {
        out.text(3, name, value);
    }
    out.close(Some(2), "}");
    out.open(2, Some("members"), "[");
    for (path, paused, since) in recordings(room) {
        out.open(0, None, "{");
        out.text(4, "type", "recording_node");
        out.text(4, "record_path", &path);
        if paused {
            out.text(4, "status", "paused");
        }
        out.value(4, "join_time", since);
        out.close(Some(3), "}");
    }
    for member in &room.members() {
        json_member(out, room, member);
    }
    out.close(None, "]");
    out.close(Some(1), "}");
}

fn json_member(out: &mut Lines, room: &Room, member: &Member) {
    let state = member.state();
    let profile = member.channel.profile();
    let now = clock::now_secs();
    let free = !state.held;
    out.open(0, None, "{");
    out.text(4, "type", "caller");
    out.value(4, "id", member.id);
    out.open(4, Some("flags"), "{");
    for (name, on) in [
        ("can_hear", free && state.hears),
        ("can_see", free && state.sees),
        ("can_speak", free && state.speaks),
        ("hold", state.held),
        ("mute_detect", state.flags.mute_detect),
        ("talking", state.talking),
        ("has_video", member.has_video()),
        ("video_bridge", false),
        ("has_floor", room.with(|s| s.floor) == Some(member.id)),
        ("is_moderator", state.flags.moderator),
        ("end_conference", state.flags.ends_room),
        ("mandatory_member_end_conference", state.flags.mandatory),
        ("pass_digits", state.flags.dist_dtmf),
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
    out.value(4, "output-volume", state.volume_out);
    out.value(4, "input-volume", state.volume_in);
    out.close(Some(3), "}");
}
