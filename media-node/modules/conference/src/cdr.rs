//! Records of conferences (`cdr-log-dir`, `cdr-event-mode`): who took part, when, and which callers were refused; a file for each
//! room that is over, and a `conference::cdr` event.

use std::path::PathBuf;
use std::sync::Arc;

use base::xml::Writer;
use esl_server::event::Event;

use super::member::{Leave, Member, MemberFlags};
use super::profile::Profile;
use super::room::Room;
use crate::call::{CallerProfile, Channel};
use crate::clock;

/// Subclass of the event.
pub(super) const SUBCLASS: &str = "conference::cdr";
/// Entries a record has at most; the oldest that are over give way, since a room may last for months.
const MAX_ENTRIES: usize = 10_000;
/// Refused callers a record names at most; the first are kept. A locked room can be called without limit.
const MAX_REJECTED: usize = 1_000;

/// What programs are told of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Nothing,
    /// The record is the event's body.
    Content,
    /// The event names the file.
    File,
}

/// What a room notes for its record.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    rejected: Vec<Rejected>,
    /// A member whose leaving ends the room has left.
    forced: bool,
}

#[derive(Debug)]
enum What {
    Member { id: u32, flags: MemberFlags, kicked: bool, profile: Box<CallerProfile> },
    Recording(String),
}

#[derive(Debug)]
struct Entry {
    what: What,
    joined: i64,
    /// 0 while it lasts.
    left: i64,
}

#[derive(Debug)]
struct Rejected {
    reason: &'static str,
    at: i64,
    profile: Box<CallerProfile>,
}

/// Why a caller was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Locked,
    Full,
    Pin,
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Self::Locked => "conference_locked",
            Self::Full => "max_members_reached",
            Self::Pin => "invalid_pin",
        }
    }
}

impl Ledger {
    fn add(&mut self, what: What, joined: i64) {
        if self.entries.len() >= MAX_ENTRIES
            && let Some(over) = self.entries.iter().position(|entry| entry.left != 0)
        {
            self.entries.remove(over);
        }
        if self.entries.len() < MAX_ENTRIES {
            self.entries.push(Entry { what, joined, left: 0 });
        }
    }
}

/// Where records of the profile go, and what is told of them. `None`: none are kept.
fn wanted(room: &Room) -> Option<(Option<PathBuf>, Mode)> {
    destination(&room.profile, &room.switch.dirs.log_dir)
}

fn destination(profile: &Profile, logs: &std::path::Path) -> Option<(Option<PathBuf>, Mode)> {
    let param = |name: &str| profile.params.get(name).filter(|value| !value.is_empty());
    let folder = param("cdr-log-dir").map(|folder| match folder {
        "auto" => logs.join("conference_cdr"),
        folder => logs.join(folder),
    });
    let mode = match param("cdr-event-mode") {
        Some("content") => Mode::Content,
        Some("file") if folder.is_some() => Mode::File,
        Some("file") => {
            tracing::warn!("'cdr-log-dir' parameter not set; CDR event mode 'file' ignored");
            Mode::Nothing
        }
        _ => Mode::Nothing,
    };
    (folder.is_some() || mode != Mode::Nothing).then_some((folder, mode))
}

/// A member has come in.
pub(super) fn joined(room: &Room, member: &Member) {
    if wanted(room).is_none() {
        return;
    }
    let (flags, profile) = (member.state().flags, Box::new(member.channel.profile()));
    let what = What::Member { id: member.id, flags, kicked: false, profile };
    room.with(|s| s.ledger.add(what, clock::now_secs()));
}

/// A member has left.
pub(super) fn left(room: &Room, member: &Member) {
    let state = member.state();
    let was_kicked = matches!(state.leave, Some(Leave::Kicked(_)));
    room.with(|s| {
        s.ledger.forced |= state.flags.ends_room;
        let mut own = s.ledger.entries.iter_mut().rev().filter(|entry| entry.left == 0);
        let entry =
            own.find(|entry| matches!(&entry.what, What::Member { id, .. } if *id == member.id));
        if let Some(Entry { what: What::Member { flags, kicked, .. }, left, .. }) = entry {
            (*flags, *kicked, *left) = (state.flags, was_kicked, clock::now_secs());
        }
    });
}

/// The room is recorded from now on.
pub(super) fn recording_began(room: &Room, path: &str) {
    if wanted(room).is_some() {
        room.with(|s| s.ledger.add(What::Recording(path.to_owned()), clock::now_secs()));
    }
}

/// A recording is over.
pub(super) fn recording_ended(room: &Room, path: &str) {
    room.with(|s| {
        let mut own = s.ledger.entries.iter_mut().filter(|entry| entry.left == 0);
        let found = own.find(|entry| matches!(&entry.what, What::Recording(own) if own == path));
        if let Some(entry) = found {
            entry.left = clock::now_secs();
        }
    });
}

/// A caller was refused.
pub(super) fn rejected(room: &Room, channel: &Channel, reason: Reason) {
    if wanted(room).is_none() {
        return;
    }
    let profile = Box::new(channel.profile());
    let rejected = Rejected { reason: reason.word(), at: clock::now_secs(), profile };
    room.with(|s| {
        if s.ledger.rejected.len() < MAX_REJECTED {
            s.ledger.rejected.push(rejected);
        }
    });
}

/// The room is over: its record is written and told of.
pub(super) fn closed(room: &Arc<Room>) {
    let Some((folder, mode)) = wanted(room) else { return };
    let ledger = room.with(|s| std::mem::take(&mut s.ledger));
    if ledger.entries.is_empty() && ledger.rejected.is_empty() {
        return;
    }
    let about = About {
        name: &room.name,
        host: &room.switch.global("hostname").unwrap_or_default(),
        rate: room.profile.rate,
        interval: room.profile.interval,
        began: room.created,
        ended: clock::now_secs(),
    };
    let text = about.render(&ledger);
    let (switch, uuid) = (Arc::clone(&room.switch), room.uuid.clone());
    crate::foreign::spawn(async move {
        let path = folder.map(|folder| folder.join(format!("{uuid}.cdr.xml")));
        if let Some(path) = &path
            && let Err(error) = write(path.clone(), text.clone()).await
        {
            tracing::error!("Error writing [{}][{error}]", path.display());
        }
        if mode == Mode::Nothing {
            return;
        }
        esl_server::fire!(switch.bus, {
            let mut event = Event::custom(SUBCLASS);
            event.push("CDR-Source", SUBCLASS);
            match (&path, mode) {
                (Some(path), Mode::File) => {
                    event.push("CDR-Path", path.display().to_string());
                }
                _ => {
                    event.set_body(text.clone());
                }
            }
            event
        });
    });
}

async fn write(path: PathBuf, text: String) -> std::io::Result<()> {
    let written = tokio::task::spawn_blocking(move || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text)
    });
    written.await.map_err(std::io::Error::other)?
}

/// What stands at the head of a record.
struct About<'a> {
    name: &'a str,
    host: &'a str,
    rate: u32,
    interval: u32,
    began: i64,
    ended: i64,
}

impl About<'_> {
    fn render(&self, ledger: &Ledger) -> String {
        let mut out = Writer::after("<?xml version=\"1.0\"?>\n");
        let epoch = [("type", "UNIX-epoch")];
        let word = |on: bool| if on { "true" } else { "false" };
        out.open("cdr", &[]);
        out.open("conference", &[]);
        out.leaf("name", self.name);
        out.leaf("hostname", self.host);
        out.leaf("rate", &self.rate.to_string());
        out.leaf("interval", &self.interval.to_string());
        out.leaf_with("start_time", &epoch, &self.began.to_string());
        let forced = [("endconference_forced", word(ledger.forced)), epoch[0]];
        out.leaf_with("end_time", &forced, &self.ended.to_string());
        out.open("members", &[]);
        // The last to come first, as in the reference.
        for entry in ledger.entries.iter().rev() {
            let kind = match entry.what {
                What::Member { .. } => "caller",
                What::Recording(_) => "recording_node",
            };
            out.open("member", &[("type", kind)]);
            out.leaf_with("join_time", &epoch, &entry.joined.to_string());
            out.leaf_with("leave_time", &epoch, &entry.left.to_string());
            match &entry.what {
                What::Member { flags, kicked, profile, .. } => {
                    out.open("flags", &[]);
                    for (name, on) in [
                        ("is_moderator", flags.moderator),
                        ("end_conference", flags.ends_room),
                        ("mandatory_member_end_conference", flags.mandatory),
                        ("was_kicked", *kicked),
                        ("is_ghost", flags.ghost),
                    ] {
                        out.leaf(name, word(on));
                    }
                    out.close("flags");
                    caller_profile(&mut out, profile);
                }
                What::Recording(path) => out.leaf("record_path", path),
            }
            out.close("member");
        }
        out.close("members");
        out.open("rejected", &[]);
        for attempt in ledger.rejected.iter().rev() {
            out.open("attempt", &[]);
            out.leaf("reason", attempt.reason);
            out.leaf_with("reject_time", &epoch, &attempt.at.to_string());
            caller_profile(&mut out, &attempt.profile);
            out.close("attempt");
        }
        out.close("rejected");
        out.close("conference");
        out.close("cdr");
        out.finish()
    }
}

fn caller_profile(out: &mut Writer, profile: &CallerProfile) {
    out.open("caller_profile", &[]);
    for (name, value) in [
        ("username", &profile.username),
        ("dialplan", &profile.dialplan),
        ("caller_id_name", &profile.caller_id_name),
        ("caller_id_number", &profile.caller_id_number),
        ("callee_id_name", &profile.callee_id_name),
        ("callee_id_number", &profile.callee_id_number),
        ("ani", &profile.ani),
        ("aniii", &profile.aniii),
        ("network_addr", &profile.network_addr),
        ("rdnis", &profile.rdnis),
        ("destination_number", &profile.destination_number),
        ("uuid", &profile.uuid),
        ("source", &profile.source),
        ("transfer_source", &profile.transfer_source),
        ("context", &profile.context),
        ("chan_name", &profile.chan_name),
    ] {
        if name != "transfer_source" || !value.is_empty() {
            out.leaf(name, value);
        }
    }
    out.close("caller_profile");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Direction;

    fn profile(number: &str) -> Box<CallerProfile> {
        let mut profile = CallerProfile::new(Direction::Inbound, 0);
        profile.caller_id_number = number.to_owned();
        profile.caller_id_name = "A & B".to_owned();
        Box::new(profile)
    }

    #[test]
    fn a_record_reads_as_the_references() {
        let mut ledger = Ledger { forced: true, ..Ledger::default() };
        let flags = MemberFlags { moderator: true, ends_room: true, ..MemberFlags::default() };
        ledger.add(What::Member { id: 1, flags, kicked: true, profile: profile("1000") }, 10);
        ledger.add(What::Recording("/tmp/a.wav".to_owned()), 11);
        let attempt = Rejected { reason: Reason::Pin.word(), at: 12, profile: profile("1001") };
        ledger.rejected.push(attempt);
        let about =
            About { name: "hall", host: "pbx", rate: 8000, interval: 20, began: 9, ended: 20 };
        let text = about.render(&ledger);
        for part in [
            "<?xml version=\"1.0\"?>\n<cdr>\n  <conference>\n    <name>hall</name>\n    <hostname>pbx</hostname>\n",
            "    <start_time type=\"UNIX-epoch\">9</start_time>\n",
            "    <end_time endconference_forced=\"true\" type=\"UNIX-epoch\">20</end_time>\n    <members>\n",
            "      <member type=\"recording_node\">\n        <join_time type=\"UNIX-epoch\">11</join_time>\n",
            "        <record_path>/tmp/a.wav</record_path>\n      </member>\n      <member type=\"caller\">\n",
            "          <is_moderator>true</is_moderator>\n          <end_conference>true</end_conference>\n",
            "          <was_kicked>true</was_kicked>\n",
            "          <caller_id_name>A &amp; B</caller_id_name>\n",
            "        <reason>invalid_pin</reason>\n        <reject_time type=\"UNIX-epoch\">12</reject_time>\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(text.ends_with("    </rejected>\n  </conference>\n</cdr>\n"));
        assert!(!text.contains("transfer_source"), "only where there is one");
    }

    #[test]
    fn the_oldest_that_are_over_give_way() {
        let mut ledger = Ledger::default();
        for n in 0..=MAX_ENTRIES {
            ledger.add(What::Recording(n.to_string()), 1);
            ledger.entries.last_mut().unwrap().left = 2;
        }
        assert_eq!(ledger.entries.len(), MAX_ENTRIES);
        assert!(matches!(&ledger.entries[0].what, What::Recording(path) if path == "1"));
    }
}
