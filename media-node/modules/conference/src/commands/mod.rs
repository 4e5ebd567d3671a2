//! `conference`: what is said to rooms and asked of them from outside.

mod levels;
mod list;
mod sounds;
mod table;

use std::sync::Arc;

use crate::api;
use crate::api::{Api, ApiCall};
use crate::call::Cause;
use crate::clock;
use crate::member::{Leave, Member};
use crate::outcall::{self, Outcall};
use crate::room::{Relation, Room, Rooms};
use crate::text;
use crate::{NoVideoFloor, send_digits, send_to, toggle_floor, toggle_video_floor};

use table::{Command, Kind};

/// Who is in a room, a line each, as its `list pretty` says it.
pub(crate) use list::pretty as listed;

/// The family.
pub const APIS: &[Api] = &[api!(
    "conference",
    "mod_conference",
    "",
    "Conference module commands.",
    async conference
)];

/// Words taken apart; the reference knows no more.
const WORDS: usize = 25;
/// The reply where only video could do something.
const NO_VIDEO: &str = "-ERR Conference is not in mixing mode\n";

/// A reply, or one that is followed by the usage.
type Reply = Result<String, String>;

/// A command to a room, with its words after the name.
struct Asked<'a> {
    call: &'a ApiCall,
    room: &'a Arc<Room>,
    args: &'a [String],
}

impl Asked<'_> {
    fn arg(&self, at: usize) -> Option<&str> {
        self.args.get(at).map(String::as_str)
    }
}

async fn conference(call: ApiCall) -> String {
    let words = call.words(WORDS);
    let Some(first) = words.first() else { return table::overview() };
    let rest = words.get(1..).unwrap_or_default();
    if let Some(room) = call.switch.module::<Rooms>().find(first) {
        let Some(name) = rest.first() else {
            return "Conference command, not specified.\nTry 'help'\n".to_owned();
        };
        let Some(command) = table::find(name) else {
            return format!("-ERR Conference command '{name}' not found.\n");
        };
        let args = rest.get(1..).unwrap_or_default();
        return run(&Asked { call: &call, room: &room, args }, command).await;
    }
    match first.to_ascii_lowercase().as_str() {
        form @ ("list" | "count" | "xml_list" | "json_list") => list::all(&call.switch, form, rest),
        "help" | "commands" => table::help() + "\n",
        _ => match rest.first().map(|word| word.to_ascii_lowercase()).as_deref() {
            Some(verb @ ("dial" | "bgdial")) => {
                let reply = dial(&call, first, None, verb, rest.get(1..).unwrap_or_default()).await;
                with_usage(reply, verb)
            }
            _ => format!("-ERR Conference {first} not found\n"),
        },
    }
}

/// The reply, and the usage behind it if that is wanted.
fn with_usage(reply: Reply, command: &str) -> String {
    match reply {
        Ok(text) => text,
        Err(text) => text + &table::find(command).map(Command::usage).unwrap_or_default(),
    }
}

async fn run(asked: &Asked<'_>, command: &Command) -> String {
    match command.kind {
        Kind::Words => with_usage(by_words(asked, command.name).await, command.name),
        Kind::Text => {
            // Everything behind the first place where the name stands, as in the reference.
            let line = asked.call.args.as_str();
            let at = line.find(command.name).map(|at| at + command.name.len());
            let text = at.map_or("", |at| line[at..].trim_start_matches([' ', '\t']));
            with_usage(sounds::by_text(asked, command.name, text).await, command.name)
        }
        Kind::Members => of_members(asked, command),
    }
}

async fn by_words(asked: &Asked<'_>, name: &str) -> Reply {
    let room = asked.room;
    match name {
        "list" | "count" | "xml_list" | "json_list" => Ok(list::room(room, name, asked.args)),
        "relate" => relate(room, asked.args),
        "getvar" => Ok(getvar(room, asked.arg(0).unwrap_or_default())),
        "setvar" => Ok(setvar(room, asked.args)),
        "lock" | "unlock" => {
            room.lock(name == "lock");
            Ok(format!("+OK {} {name}ed\n", room.name))
        }
        "dial" | "bgdial" => {
            dial(asked.call, &room.name, Some(Arc::clone(room)), name, asked.args).await
        }
        "transfer" => transfer(room, asked.args),
        "pin" | "nopin" => pin(room, name, asked.args),
        "get" => get(room, asked.args),
        "set" => set(room, asked.args),
        "auto-3d-position" => Ok("-ERR not supported\n".to_owned()),
        "canvas-auto-clear" => Ok("+OK\n".to_owned()),
        "vid-bandwidth" => Ok("-ERR Bandwidth not set\n".to_owned()),
        "cam" => Err(String::new()),
        name if name.starts_with("vid-") => Ok(NO_VIDEO.to_owned()),
        name => sounds::by_words(asked, name).await,
    }
}

/// A sub-command for the members the first word names.
fn of_members(asked: &Asked<'_>, command: &Command) -> String {
    let which = asked.arg(0).unwrap_or_default();
    let data = asked.arg(1);
    let each = |member: &Arc<Member>| to_member(asked.room, member, command.name, data);
    let id = u32::try_from(text::int(which)).unwrap_or(0);
    if id != 0 {
        return match asked.room.member(id) {
            Some(member) => each(&member),
            None => format!("-ERR Non-Existant ID {id}\n"),
        };
    }
    let members = asked.room.members();
    match which.to_ascii_lowercase().as_str() {
        "all" => members.iter().map(each).collect(),
        "non_moderator" => {
            members.iter().filter(|m| !m.state().flags.moderator).map(each).collect()
        }
        "last" => members.iter().max_by_key(|m| m.id).map(each).unwrap_or_default(),
        _ => match which.split_once('=') {
            Some((name, value)) => match by_variable(&members, name, value) {
                Some(member) => each(&member),
                None => "-ERR Non-Existant member\n".to_owned(),
            },
            None => command.usage(),
        },
    }
}

fn by_variable(members: &[Arc<Member>], name: &str, value: &str) -> Option<Arc<Member>> {
    let fits = |member: &&Arc<Member>| {
        member.channel.variable(name).is_some_and(|v| v.eq_ignore_ascii_case(value))
    };
    members.iter().find(fits).cloned()
}

/// The member a word names: a number, `last`, or a variable and its value.
fn find(room: &Room, word: &str) -> Option<Arc<Member>> {
    let members = room.members();
    if word.eq_ignore_ascii_case("last") {
        return members.into_iter().max_by_key(|m| m.id);
    }
    match word.split_once('=') {
        Some((name, value)) => by_variable(&members, name, value),
        None => room.member(u32::try_from(text::int(word)).ok()?),
    }
}

/// What happens to one member; the reply.
fn to_member(room: &Arc<Room>, member: &Arc<Member>, command: &str, data: Option<&str>) -> String {
    let quiet = data.is_some_and(|data| data.contains("quiet"));
    let id = member.id;
    match command {
        "mute" => {
            room.mute(member, quiet);
            format!("+OK mute {id}\n")
        }
        "unmute" => {
            room.unmute(member, quiet);
            format!("+OK unmute {id}\n")
        }
        "tmute" => {
            let verb = if member.state().speaks { "mute" } else { "unmute" };
            to_member(room, member, verb, data)
        }
        "deaf" => {
            room.deafen(member, quiet);
            format!("+OK deaf {id}\n")
        }
        "undeaf" => {
            room.undeafen(member, quiet);
            format!("+OK undeaf {id}\n")
        }
        "hold" => {
            room.hold(member, data);
            format!("+OK hold {id}\n")
        }
        "unhold" => {
            room.unhold(member);
            format!("+OK unhold {id}\n")
        }
        "kick" => {
            room.fire_member(member, "kick-member", |_| {});
            member.leave(Leave::Kicked(data.map(str::to_owned)));
            format!("+OK kicked {id}\n")
        }
        "hup" => {
            room.fire_member(member, "hup-member", |_| {});
            member.leave(Leave::Out);
            format!("+OK hup {id}\n")
        }
        "dtmf" => match data.filter(|digits| !digits.is_empty()) {
            Some(digits) => {
                send_digits(member, digits);
                room.fire_member(member, "dtmf-member", |event| {
                    event.push("Digits", digits.to_owned());
                });
                format!("+OK sent {digits} to {id}\n")
            }
            None => "-ERR Invalid input!\n".to_owned(),
        },
        "floor" => match toggle_floor(room, member) {
            Ok(Some(id)) => format!("+OK floor {id}\n"),
            Ok(None) => "+OK floor none\n".to_owned(),
            Err(holder) => format!("-ERR floor is held by {holder}\n"),
        },
        "get-uuid" => member.channel.uuid().to_string(),
        "position" => "-ERR not supported\n".to_owned(),
        "vmute-snap" => NO_VIDEO.to_owned(),
        name if name.starts_with("vid-") || name.ends_with("vmute") || name.ends_with("vblind") => {
            to_video(room, member, name, data)
        }
        _ => levels::set(room, member, command, data),
    }
}

/// The same for what is about its video. Nothing is said of a member without.
fn to_video(room: &Arc<Room>, member: &Arc<Member>, command: &str, data: Option<&str>) -> String {
    let (id, state) = (member.id, member.state());
    if !member.has_video() {
        if command == "vid-floor" {
            tracing::error!(uuid = %member.channel.uuid(), "Channel {} does not have video capability!", member.channel.name());
        }
        return String::new();
    }
    let command = match command {
        "tvmute" if state.seen => "vmute",
        "tvmute" => "unvmute",
        "tvblind" if state.sees => "vblind",
        "tvblind" => "unvblind",
        command => command,
    };
    if command.ends_with("vmute") && state.held {
        return format!("-ERR member {id} is on hold\n");
    }
    let done = match command {
        "vmute" => room.vmute(member),
        "unvmute" => room.unvmute(member),
        "vblind" | "unvblind" => {
            room.vblind(member, command == "vblind");
            Ok(())
        }
        "vid-floor" => {
            let force = data.is_some_and(|data| data.to_ascii_lowercase().contains("force"));
            return match toggle_video_floor(room, member, force) {
                Ok(Some(id)) => format!("+OK floor {id}\n"),
                Ok(None) => "+OK floor none\n".to_owned(),
                Err(NoVideoFloor::HeldBy(holder)) => format!("-ERR floor is held by {holder}\n"),
                Err(NoVideoFloor::SendsNone) => format!("-ERR member {id} sends no video\n"),
            };
        }
        // What is left places, labels or draws on pictures, which are passed on as they are.
        _ => return NO_VIDEO.to_owned(),
    };
    match done {
        Ok(()) => format!("+OK {command} {id}\n"),
        Err(_full) => "-ERR the media engine is overloaded\n".to_owned(),
    }
}

fn relate(room: &Room, args: &[String]) -> Reply {
    let ids = |list: &str| -> Vec<u32> {
        list.split(',').map(|id| u32::try_from(text::int(id)).unwrap_or(0)).collect()
    };
    let (members, others, action) = match args {
        [] | [_] => return Ok(relations(room, args.first().map(|list| ids(list)))),
        [_, _] => return Err(String::new()),
        [members, others, action, ..] => (ids(members), ids(others), action),
    };
    let clear = action.eq_ignore_ascii_case("clear");
    let (nospeak, nohear) = (action.contains("nospeak"), action.contains("nohear"));
    let sends = action.contains("sendvideo");
    if !(clear || nospeak || nohear || sends) {
        return Err(String::new());
    }
    let mut reply = String::new();
    for member in &members {
        for other in &others {
            reply += &relate_two(
                room,
                Relation { member: *member, other: *other, nospeak, nohear },
                action,
                clear,
            );
        }
    }
    room.separate();
    Ok(reply)
}

fn relate_two(room: &Room, wanted: Relation, action: &str, clear: bool) -> String {
    let Relation { member, other, .. } = wanted;
    let known = room.member(member).is_some() && (clear || room.member(other).is_some());
    if !known {
        return format!("-ERR relationship {member}->{other} not found.\n");
    }
    room.with(|s| {
        s.relations.retain(|r| (r.member, r.other) != (member, other));
        if !clear {
            s.relations.push(wanted);
        }
    });
    if clear {
        format!("+OK relationship {member}->{other} cleared.\n")
    } else {
        format!("+OK {member}->{other} {action} set\n")
    }
}

fn relations(room: &Room, of: Option<Vec<u32>>) -> String {
    let all = room.with(|s| s.relations.clone());
    if all.is_empty() {
        return "+OK No relationships\n".to_owned();
    }
    let wanted = of.unwrap_or_default();
    let line = |r: &Relation| {
        let speak = if r.nospeak { "NOSPEAK" } else { "SPEAK" };
        let hear = if r.nohear { "NOHEAR" } else { "HEAR" };
        format!("{} -> {} {speak} {hear} NOSENDVIDEO \n", r.member, r.other)
    };
    let shown = |id: u32| all.iter().filter(move |r| id == 0 || r.member == id);
    wanted.iter().flat_map(|id| shown(*id)).map(line).collect()
}

fn getvar(room: &Room, name: &str) -> String {
    room.with(|s| {
        let found = s.variables.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    })
}

fn setvar(room: &Room, args: &[String]) -> String {
    if let Some(name) = args.first() {
        room.with(|s| {
            s.variables.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
            if let Some(value) = args.get(1).filter(|value| !value.is_empty()) {
                s.variables.push((name.clone(), value.clone()));
            }
        });
    }
    "+OK\n".to_owned()
}

async fn dial(
    call: &ApiCall,
    name: &str,
    room: Option<Arc<Room>>,
    verb: &str,
    args: &[String],
) -> Reply {
    let Some(dial) = args.first() else { return Err("-ERR Bad Args\n".to_owned()) };
    let outcall = Outcall {
        dial: dial.clone(),
        number: args.get(1).cloned(),
        name: args.get(2).cloned(),
        ..Outcall::default()
    };
    if verb == "bgdial" {
        let job = clock::new_uuid();
        outcall::call_in_background(&call.switch, name, room, outcall, job.clone());
        return Ok(format!("+OK Job-UUID: {job}\n"));
    }
    let made = outcall::call(&call.switch, name, room.as_ref(), outcall, None).await;
    let result = made.err().map_or("SUCCESS", Cause::name);
    Ok(format!("+OK Call Requested: result: [{result}]\n"))
}

fn transfer(room: &Arc<Room>, args: &[String]) -> Reply {
    let Some((target, ids)) =
        args.split_first().filter(|(target, ids)| !target.is_empty() && !ids.is_empty())
    else {
        return Err(String::new());
    };
    let mut reply = String::new();
    for id in ids {
        let Some(member) = find(room, id) else {
            reply += &format!("-ERR No Member {id} in conference {}.\n", room.name);
            continue;
        };
        send_to(&member, target);
        reply += &format!("+OK Member '{}' sent to conference {target}.\n", member.id);
        room.fire_transfer(&member, target);
    }
    Ok(reply)
}

fn pin(room: &Room, name: &str, args: &[String]) -> Reply {
    match (name, args) {
        (_, [word, pin]) if word == "mod" => {
            room.with(|s| pin.clone_into(&mut s.moderator_pin));
            Ok(format!("+OK Moderator Pin for conference {} set: {pin}\n", room.name))
        }
        ("pin", [pin]) => {
            room.with(|s| pin.clone_into(&mut s.pin));
            Ok(format!("+OK Pin for conference {} set: {pin}\n", room.name))
        }
        ("nopin", []) => {
            room.with(|s| s.pin.clear());
            Ok(format!("+OK Pin for conference {} deleted\n", room.name))
        }
        _ => Err("-ERR Invalid parameters:\n".to_owned()),
    }
}

fn get(room: &Room, args: &[String]) -> Reply {
    let [name] = args else { return Err(String::new()) };
    room.with(|s| {
        Some(match name.to_ascii_lowercase().as_str() {
            "run_time" => (clock::now_secs() - room.created).to_string(),
            "count" => s.count().to_string(),
            "count_ghosts" => s.ghosts().to_string(),
            "max_members" => s.max_members.to_string(),
            "rate" => room.profile.rate.to_string(),
            "profile_name" => room.profile.name.clone(),
            "sound_prefix" => s.sound_prefix.clone(),
            "caller_id_name" => s.caller_id.0.clone(),
            "caller_id_number" => s.caller_id.1.clone(),
            "is_locked" => if s.flags.locked { "locked" } else { "" }.to_owned(),
            "endconference_grace_time" => s.grace.to_string(),
            "uuid" => room.uuid.clone(),
            "wait_mod" => if s.flags.wait_mod { "true" } else { "" }.to_owned(),
            _ => return None,
        })
    })
    .ok_or_else(String::new)
}

/// Sets a parameter; the reply is what it was.
fn set(room: &Room, args: &[String]) -> Reply {
    let [name, value] = args else { return Err(String::new()) };
    let number = u32::try_from(text::int(value)).map_err(|_| String::new());
    room.with(|s| {
        let old = match name.to_ascii_lowercase().as_str() {
            "max_members" => std::mem::replace(&mut s.max_members, number?).to_string(),
            "sound_prefix" => std::mem::replace(&mut s.sound_prefix, value.clone()),
            "caller_id_name" => std::mem::replace(&mut s.caller_id.0, value.clone()),
            "caller_id_number" => std::mem::replace(&mut s.caller_id.1, value.clone()),
            "endconference_grace_time" => {
                std::mem::replace(&mut s.grace, u64::from(number?)).to_string()
            }
            _ => return Err(String::new()),
        };
        Ok(old)
    })
}
