//! What is played and said to rooms, and recorded of them.

use std::sync::Arc;

use base::far;

use super::{Asked, Reply, find};
use crate::host::expand_for;
use crate::member::Member;
use crate::room::Room;
use crate::sound::Which;
use crate::speech;
use crate::text;

/// Sub-commands whose words are taken one by one.
pub(super) async fn by_words(asked: &Asked<'_>, name: &str) -> Reply {
    let (room, args) = (asked.room, asked.args);
    match name {
        "play" => play(asked).await,
        "stop" => stop(asked),
        "moh" => Ok(match args.first() {
            Some(what) => {
                room.set_music(what);
                "+OK moh\n".to_owned()
            }
            None => "-ERR invalid moh param\n".to_owned(),
        }),
        "pause_play" => pause(asked),
        "play_status" => status(asked),
        "file_seek" => seek(asked),
        "file-vol" => volume(room, args),
        "enter_sound" => sound(asked, true),
        "exit_sound" => sound(asked, false),
        "record" | "chkrecord" | "norecord" | "pause" | "resume" => record(asked, name, args),
        "recording" => match args {
            [verb] if ["stop", "check"].iter().any(|v| verb.eq_ignore_ascii_case(v)) => {
                record(asked, recording_verb(verb).unwrap_or_default(), &["all".to_owned()])
            }
            [] => Err(String::new()),
            // The old way to say it: only the file.
            [_] => record(asked, "record", args),
            [verb, rest @ ..] => match recording_verb(verb) {
                Some(verb) => record(asked, verb, &rest[..1]),
                None => Err(String::new()),
            },
        },
        _ => Err(String::new()),
    }
}

fn recording_verb(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "start" => "record",
        "stop" => "norecord",
        "check" => "chkrecord",
        "pause" => "pause",
        "resume" => "resume",
        _ => return None,
    })
}

/// Sub-commands that take the rest of the line.
pub(super) async fn by_text(asked: &Asked<'_>, name: &str, text: &str) -> Reply {
    match name {
        "say" => say(asked.room, text).await,
        "saymember" => say_to_member(asked, text).await,
        _ => {
            asked.room.clear_video_floor();
            Ok("+OK floor Cleared\n".to_owned())
        }
    }
}

fn unknown(id: &str) -> String {
    format!("-ERR Member: {id} not found.\n")
}

async fn play(asked: &Asked<'_>) -> Reply {
    let (room, mut args) = (asked.room, asked.args);
    let asynchronous =
        matches!(args, [_, last] | [_, _, last] if last.eq_ignore_ascii_case("async"));
    if asynchronous {
        args = args.get(..args.len() - 1).unwrap_or_default();
    }
    match args {
        [] => Err(String::new()),
        [file] => {
            if !room.play(file, None, asynchronous).await {
                return Ok(format!("-ERR (play) File: {file} not found.\n"));
            }
            room.fire_play(None, file, Some(asynchronous));
            Ok(format!("+OK (play) Playing file {file}\n"))
        }
        [file, id, ..] => {
            let Some(member) = find(room, id) else { return Err(unknown(id)) };
            if !room.play_to(&member, file).await {
                return Ok(format!("-ERR (play) File: {file} not found.\n"));
            }
            room.fire_play(Some(&member), file, None);
            Ok(format!("+OK (play) Playing file {file} to member {}\n", member.id))
        }
    }
}

fn stop(asked: &Asked<'_>) -> Reply {
    let which = match asked.arg(0).map(str::to_ascii_lowercase).as_deref() {
        None | Some("all") => Which::All,
        Some("current") => Which::Current,
        Some("async") => Which::Async,
        Some(_) => return Err(String::new()),
    };
    let stopped = match asked.arg(1) {
        None => asked.room.stop_plays(which),
        Some(id) => match find(asked.room, id) {
            Some(member) => asked.room.stop_member_plays(&member, which),
            None => return Ok(unknown(id)),
        },
    };
    Ok(format!("+OK Stopped {stopped} files.\n"))
}

/// The member a word names, or none when there is no word.
fn target(asked: &Asked<'_>, at: usize) -> Result<Option<Arc<Member>>, String> {
    if asked.args.len() > at + 1 {
        return Err(String::new());
    }
    match asked.arg(at) {
        None => Ok(None),
        Some(id) => find(asked.room, id).map(Some).ok_or_else(|| unknown(id)),
    }
}

fn pause(asked: &Asked<'_>) -> Reply {
    let member = target(asked, 0)?;
    let paused = asked.room.on_deck(member.as_ref(), |deck, leg| deck.toggle(leg)).flatten();
    Ok(match paused {
        Some(true) => "+OK Pause\n",
        Some(false) => "+OK Resume\n",
        None => "",
    }
    .to_owned())
}

fn status(asked: &Asked<'_>) -> Reply {
    let member = target(asked, 0)?;
    let status = asked.room.on_deck(member.as_ref(), |deck, _| deck.status()).flatten();
    Ok(match status {
        Some((at, length, file)) => format!("+OK {at}/{length} {file}\n"),
        None => "-ERR Nothing is playing\n".to_owned(),
    })
}

fn seek(asked: &Asked<'_>) -> Reply {
    let Some(to) = asked.arg(0) else { return Err(String::new()) };
    let member = target(asked, 1)?;
    let at = asked.room.on_deck(member.as_ref(), |deck, leg| deck.seek(leg, to)).flatten();
    Ok(at.map(|at| format!("+OK seek to position {at}\n")).unwrap_or_default())
}

fn volume(room: &Room, args: &[String]) -> Reply {
    let Some(level) = args.first() else { return Err("-ERR missing args\n".to_owned()) };
    // As in the reference, any further word but `async` means what plays beside.
    let aside = args.get(1).is_some_and(|word| !word.eq_ignore_ascii_case("async"));
    let set =
        |deck: &mut crate::sound::Deck, leg: &media::Leg| deck.volume(leg, aside, text::int(level));
    if room.on_deck(None, set) == Some(true) {
        Ok("+OK volume changed\n".to_owned())
    } else {
        Err("-ERR File not playing\n".to_owned())
    }
}

/// `enter_sound` and `exit_sound`.
fn sound(asked: &Asked<'_>, enter: bool) -> Reply {
    let room = asked.room;
    let (word, plural) = if enter { ("enter", "enter-sounds") } else { ("exit", "exit-sounds") };
    let path = |room: &Room| {
        room.with(|s| if enter { s.enter_sound.clone() } else { s.exit_sound.clone() })
    };
    let switch = |on: bool| {
        room.with(|s| {
            let place = if enter { &mut s.flags.enter_sound } else { &mut s.flags.exit_sound };
            *place = on;
        });
        let state = if on { "on" } else { "off" };
        room.fire(&format!("{plural}-{state}"), |_| {});
        format!("+OK {} {word} sounds {state} ({})\n", room.name, path(room))
    };
    match asked.arg(0).map(str::to_ascii_lowercase).as_deref() {
        None => Err("-ERR Not enough args\n".to_owned()),
        Some("on") => Ok(switch(true)),
        Some("off" | "none") => Ok(switch(false)),
        Some("file") => {
            let Some(file) = asked.arg(1) else {
                return Ok("-ERR No filename specified\n".to_owned());
            };
            let old = path(room);
            room.with(|s| {
                let place = if enter { &mut s.enter_sound } else { &mut s.exit_sound };
                file.clone_into(place);
            });
            room.fire(&format!("{word}-sound-file-changed"), |_| {});
            let before =
                if enter { String::new() } else { format!("+OK Old exit sound: [{old}]\n") };
            Ok(format!("{before}+OK {} {word} sound file set to {file}\n", room.name))
        }
        Some(_) => Err("-ERR Bad args\n".to_owned()),
    }
}

/// A word of the command as the name of a file: what a far end said in it is marked.
fn file_word(line: &str, word: &str) -> String {
    let words = text::words_marked(line, super::WORDS);
    let said = words.into_iter().skip(2).find(|said| far::plain(said) == word);
    said.map_or_else(|| word.to_owned(), |said| far::in_path(&said).into_owned())
}

fn record(asked: &Asked<'_>, verb: &str, args: &[String]) -> Reply {
    let room = asked.room;
    if verb == "chkrecord" {
        let files: String = room.with(|s| {
            let line = |r: &crate::recording::Recording| {
                format!("+OK Record file {}{}\n", r.path, if r.automatic { " (Auto)" } else { "" })
            };
            s.recordings.iter().filter(|r| !r.stopping).map(line).collect()
        });
        return Ok(match files.is_empty() {
            true => "-ERR Conference is not being recorded.\n".to_owned(),
            false => files,
        });
    }
    let Some(word) = args.first() else { return Err(String::new()) };
    let marked = file_word(&asked.call.marked, word);
    let path = &*far::plain(&marked);
    Ok(match verb {
        "record" if room.record(&marked, false) => format!("+OK Record file {path}\n"),
        "record" => format!("-ERR file [{path}] is already being used for recording.\n"),
        "norecord" => {
            let all = path.eq_ignore_ascii_case("all");
            let stopped = room.stop_recording((!all).then_some(path));
            let mut reply: String =
                stopped.iter().map(|file| format!("Stopped recording file {file}\n")).collect();
            if stopped.is_empty() && !all {
                reply = format!("-ERR non-existant recording '{path}'\n");
            }
            // The reference counts before those it stopped have ended: it always says none.
            reply + "+OK Stopped recording 0 files\n"
        }
        _ => {
            let word = if verb == "pause" { "Pause" } else { "Resume" };
            let mut reply = format!("+OK {word} recording file {path}\n");
            if !room.pause_recording(path, verb == "pause") {
                reply += &format!("-ERR non-existant recording '{path}'\n");
            }
            reply
        }
    })
}

/// Says a text to all members, after what plays already.
async fn say(room: &Arc<Room>, text: &str) -> Reply {
    if text.is_empty() {
        return Err("-ERR (say) Error! No text.\n".to_owned());
    }
    let Some(name) = speech::name_of(room, text) else {
        tracing::error!("Missing TTS engine or voice");
        return Err("-ERR (say) Error!\n".to_owned());
    };
    if !room.play(&name, None, false).await {
        return Err("-ERR (say) Error!\n".to_owned());
    }
    room.fire("speak-text", |event| {
        event.push("Text", far::plain(text).into_owned());
    });
    Ok("+OK (say) OK\n".to_owned())
}

/// Says a text to one member. Without an engine in the profile the reference takes this for said.
async fn say_to_member(asked: &Asked<'_>, text: &str) -> Reply {
    let (id, text) = text.split_once(' ').unwrap_or((text, ""));
    if text.is_empty() {
        return Err("-ERR (saymember) No Text!\n".to_owned());
    }
    let Some(member) = find(asked.room, id) else {
        return Err(format!("-ERR (saymember) Unknown Member {id}!\n"));
    };
    let text = expand_for(&asked.room.switch, Some(&member.channel), text).await;
    if let Some(name) = speech::name_of(asked.room, &text)
        && !asked.room.play_to(&member, &name).await
    {
        return Err("-ERR (saymember) Error!\n".to_owned());
    }
    asked.room.fire_member(&member, "speak-text-member", |event| {
        event.push("Text", far::plain(&text).into_owned());
    });
    Ok("+OK (saymember) OK\n".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_end_s_words_in_the_name_of_a_recording_stay_its_own() {
        let line = |said: &str| format!("room record http://{}/x.wav", far::mark(said));
        let word = "http://10.0.0.1/x.wav";
        assert_eq!(far::plain(&file_word(&line("10.0.0.1"), word)), format!("far+{word}"));
        let up = format!("room record /rec/{}.wav", far::mark("../x"));
        assert_eq!(far::plain(&file_word(&up, "/rec/../x.wav")), "/rec/__/x.wav");
        assert_eq!(file_word("room record /rec/../x.wav", "/rec/../x.wav"), "/rec/../x.wav");
        assert_eq!(file_word("room recording stop", "all"), "all");
    }
}
