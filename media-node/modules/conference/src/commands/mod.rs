//! `conference`: what is said to rooms and asked of them from outside.

mod list;

use std::sync::Arc;

use super::room::{Leave, Member, Room, Rooms};
use super::{set_deaf, set_energy, set_lock, set_mute, set_volume};
use crate::api;
use crate::api::{Api, ApiCall};
use crate::app::play::source_options;
use crate::call::{Digit, DigitSource, Indication};
use crate::text;

/// The family.
pub const APIS: &[Api] = &[api!(
    "conference",
    "mod_conference",
    "",
    "Conference module commands.",
    async conference
)];

async fn conference(call: ApiCall) -> String {
    let words = call.words(64);
    let Some(first) = words.first() else { return list::all(&call.switch, "list", &[]) };
    if matches!(first.as_str(), "list" | "count" | "xml_list" | "json_list") {
        return list::all(&call.switch, first, words.get(1..).unwrap_or_default());
    }
    let Some(room) = call.switch.module::<Rooms>().find(first) else {
        return format!("-ERR Conference {first} not found\n");
    };
    let Some(command) = words.get(1) else {
        return format!("-ERR Conference command required for {first}.\n");
    };
    let rest = words.get(2..).unwrap_or_default();
    run(&call, &room, &command.to_ascii_lowercase(), rest).await
}

async fn run(call: &ApiCall, room: &Arc<Room>, command: &str, args: &[String]) -> String {
    let first = args.first().map_or("", String::as_str);
    match command {
        "list" | "count" | "xml_list" | "json_list" => list::room(room, command, args),
        "mute" => members(room, first, |m| {
            set_mute(room, m, true);
            told("mute", m, ())
        }),
        "unmute" => members(room, first, |m| {
            set_mute(room, m, false);
            told("unmute", m, ())
        }),
        "tmute" => members(room, first, |m| {
            let mute = m.state().speaks;
            set_mute(room, m, mute);
            told(if mute { "mute" } else { "unmute" }, m, ())
        }),
        "deaf" => members(room, first, |m| {
            set_deaf(room, m, true);
            told("deaf", m, ())
        }),
        "undeaf" => members(room, first, |m| {
            set_deaf(room, m, false);
            told("undeaf", m, ())
        }),
        "kick" => members(room, first, |m| {
            room.fire_member(m, "kick-member", |_| {});
            let _: () = m.leave(Leave::Kicked);
            told("kicked", m, ())
        }),
        "hup" => members(room, first, |m| {
            room.fire_member(m, "hup-member", |_| {});
            let _: () = m.leave(Leave::HungUp);
            told("hup", m, ())
        }),
        "energy" | "volume_in" | "volume_out" => level(room, command, args),
        "lock" | "unlock" => {
            set_lock(room, command == "lock");
            format!("+OK {} {command}ed\n", room.name)
        }
        "pin" => {
            room.with(|s| first.clone_into(&mut s.pin));
            format!("+OK Pin for conference {} set: {first}\n", room.name)
        }
        "nopin" => {
            room.with(|s| s.pin.clear());
            format!("+OK Pin for conference {} deleted\n", room.name)
        }
        "play" => play(call, room, args).await,
        "stop" => {
            let stopped = room.stop_plays(first == "all");
            format!("+OK Stopped {stopped} files.\n")
        }
        "dtmf" => dtmf(room, first, args.get(1).map_or("", String::as_str)),
        "floor" => floor(room, first),
        "transfer" => transfer(room, args),
        "record" | "chkrecord" | "norecord" | "recording" => recording(room, command, args),
        "get" => get(room, first),
        "get-uuid" => match find(room, first) {
            Some(member) => member.channel.uuid().to_string(),
            None => missing(first),
        },
        _ => format!("-ERR Conference command '{command}' not found.\n"),
    }
}

fn missing(id: &str) -> String {
    format!("-ERR Non-Existant ID {id}\n")
}

fn told(what: &str, member: &Member, _done: ()) -> String {
    format!("+OK {what} {}\n", member.id)
}

fn find(room: &Room, id: &str) -> Option<Arc<Member>> {
    if id == "last" {
        return room.members().pop();
    }
    room.member(id.parse().ok()?)
}

/// Members named by `id`, `all`, `last` or `non_moderator`; the replies one after the other.
fn members(room: &Room, which: &str, each: impl Fn(&Arc<Member>) -> String) -> String {
    let all = room.members();
    match which {
        "all" => all.iter().map(each).collect(),
        "non_moderator" => all.iter().filter(|m| !m.state().moderator).map(each).collect(),
        id => find(room, id).map_or_else(|| missing(id), |member| each(&member)),
    }
}

fn level(room: &Room, command: &str, args: &[String]) -> String {
    let which = args.first().map_or("", String::as_str);
    let value = args.get(1);
    members(room, which, |member| {
        let state = member.state();
        let given = |old: i64| match value.map(String::as_str) {
            Some("up") => old + 1,
            Some("down" | "dn") => old - 1,
            Some(text) => text::int(text),
            None => old,
        };
        match command {
            "energy" => {
                if value.is_some() {
                    let level = given(i64::from(state.energy_level)).clamp(0, 20_000);
                    set_energy(room, member, u32::try_from(level).unwrap_or(0));
                }
                format!("Energy {} = {}\n", member.id, member.state().energy_level)
            }
            "volume_in" => {
                if value.is_some() {
                    set_volume(room, member, true, given(state.volume_in));
                }
                format!("+OK Volume IN {} = {}\n", member.id, member.state().volume_in)
            }
            _ => {
                if value.is_some() {
                    set_volume(room, member, false, given(state.volume_out));
                }
                format!("+OK Volume OUT {} = {}\n", member.id, member.state().volume_out)
            }
        }
    })
}

async fn play(call: &ApiCall, room: &Arc<Room>, args: &[String]) -> String {
    let Some(path) = args.first() else { return "-ERR (play) File:  not found.\n".into() };
    let word = args.get(1).map_or("", String::as_str);
    let member = match word {
        "" | "async" => None,
        id => match find(room, id) {
            Some(member) => Some(member),
            None => return missing(id),
        },
    };
    let asker = member.as_ref().map(|m| Arc::clone(&m.channel));
    let listener = asker.or_else(|| room.members().first().map(|m| Arc::clone(&m.channel)));
    let Some(listener) = listener else { return format!("-ERR (play) File: {path} not found.\n") };
    let (room, path, aside) = (Arc::clone(room), path.clone(), word == "async");
    let name = path.clone();
    let to = member.as_ref().map(|m| m.id);
    let reading = tokio::task::spawn_blocking(move || match member {
        None => room.play(&path, &source_options(&listener, room.profile.rate), aside),
        Some(member) => play_to(&room, &member, &path),
    });
    let _switch = &call.switch;
    if !reading.await.unwrap_or(false) {
        return format!("-ERR (play) File: {name} not found.\n");
    }
    match to {
        Some(id) => format!("+OK (play) Playing file {name} to member {id}\n"),
        None => format!("+OK (play) Playing file {name}\n"),
    }
}

fn play_to(room: &Room, member: &Member, path: &str) -> bool {
    let Some(leg) = member.channel.media() else { return false };
    let options = source_options(&member.channel, leg.codec().rate());
    let Ok(plan) = media::source::open(path, &options) else { return false };
    let begun = leg.play_over(Box::new(plan)).is_ok();
    room.fire_member(member, "play-file-member", |event| {
        event.push("File", path.to_owned());
    });
    begun
}

fn dtmf(room: &Room, which: &str, digits: &str) -> String {
    let send = |member: &Arc<Member>| {
        let keys = digits.chars().filter(|c| c.is_ascii_digit() || "*#ABCDabcd".contains(*c));
        let keys: Vec<Digit> =
            keys.map(|digit| Digit { digit, duration: 2000, source: DigitSource::App }).collect();
        let _full = member.channel.job(Box::new(move |session| {
            Box::pin(async move {
                let _sent = session.indicate(Indication::Digits(keys)).await;
            })
        }));
        room.fire_member(member, "dtmf-member", |event| {
            event.push("Digits", digits.to_owned());
        });
        format!("+OK sent {digits} to {}\n", member.id)
    };
    members(room, which, send)
}

fn floor(room: &Room, which: &str) -> String {
    if which != "none" {
        let Some(member) = find(room, which) else { return missing(which) };
        room.give_floor(Some(&member));
        return format!("+OK floor {}\n", member.id);
    }
    room.give_floor(None);
    "+OK floor none\n".into()
}

fn transfer(room: &Room, args: &[String]) -> String {
    let Some((target, ids)) = args.split_first() else { return missing("") };
    let mut reply = String::new();
    for id in ids {
        reply += &members(room, id, |member| {
            member.leave(Leave::Moved(target.clone()));
            format!("+OK Member '{}' sent to conference {target}.\n", member.id)
        });
    }
    reply
}

fn recording(room: &Room, command: &str, args: &[String]) -> String {
    let (verb, path) = match command {
        "record" => ("start", args.first()),
        "norecord" => ("stop", args.first()),
        "chkrecord" => ("check", args.first()),
        _ => (args.first().map_or("", String::as_str), args.get(1)),
    };
    let Some(path) = path else { return format!("-ERR (recording) {verb}: a file is needed\n") };
    match verb {
        "start" => {
            if room.record(path) {
                format!("+OK Record file {path}\n")
            } else {
                format!("-ERR Cannot record to {path}\n")
            }
        }
        "check" => {
            let busy = room.with(|s| s.recordings.iter().any(|(_, p)| p == path));
            if busy { format!("+OK Record file {path}\n") } else { "-ERR not recording\n".into() }
        }
        "stop" => {
            let stopped = room.each_recording(path, |id| {
                let _closed = room.mixer.stop_record(id);
            });
            format!("Stopped recording file {path}\n+OK Stopped recording {stopped} files\n")
        }
        "pause" | "resume" => {
            room.each_recording(path, |id| {
                let _closed = room.mixer.pause_record(id, verb == "pause");
            });
            let word = if verb == "pause" { "Pause" } else { "Resume" };
            format!("+OK {word} recording file {path}\n")
        }
        _ => format!("-ERR Conference command 'recording {verb}' not found.\n"),
    }
}

fn get(room: &Room, name: &str) -> String {
    let profile = &room.profile;
    let count = room.members().len();
    match name {
        "run_time" => (crate::clock::now_secs() - room.created).to_string(),
        "count" => count.to_string(),
        "count_ghosts" => "0".to_owned(),
        "max_members" => profile.max_members.to_string(),
        "rate" => profile.rate.to_string(),
        "profile_name" => profile.name.clone(),
        "caller_id_name" => profile.caller_id.0.clone(),
        "caller_id_number" => profile.caller_id.1.clone(),
        "is_locked" => if room.with(|s| s.locked) { "locked" } else { "" }.to_owned(),
        "uuid" => room.uuid.clone(),
        other => profile.params.get(other).unwrap_or_default().to_owned(),
    }
}
