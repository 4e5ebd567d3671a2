//! What pages say to rooms: moderators lead them on `conference-mod.ROOM@DOMAIN`, members write to each other on
//! `conference-chat.ROOM@DOMAIN`.
//!
//! A page is a far end. What it gives as an argument is one word of a command, files it names lie below the folders of sounds and of
//! recordings, and it sends members to numbers of their own dialplan only.

use std::sync::{Arc, Weak};

use event_channels::Message;
use serde_json::{Value, json};

use super::board;
use super::room::Room;
use crate::call::transfer::transfer;
use crate::switch::Switch;

/// Longest text of a chat that is passed on, bytes.
const MAX_TEXT: usize = 16 * 1024;

/// Stands for the folder of recordings in a command; no word of a page holds braces.
const RECORDINGS: &str = "{recordings}";

/// Takes up what clients say, or no more.
pub(super) fn listen(switch: &Arc<Switch>, on: bool) {
    let channels = board::channels(switch);
    let hears = |hear: fn(&Arc<Switch>, &str, &Message)| -> Option<event_channels::Listener> {
        let switch = Arc::downgrade(switch);
        on.then(|| -> event_channels::Listener {
            Arc::new(move |channel: &str, message: &Message| {
                if let Some(switch) = Weak::upgrade(&switch) {
                    hear(&switch, channel, message);
                }
            })
        })
    };
    channels.listen("conference-liveArray", hears(|switch, c, m| board::asked(switch, c, m)));
    channels.listen("conference-chat", hears(|switch, c, m| chat(switch, c, m)));
    channels.listen("conference-mod", hears(lead));
    let greeted = Arc::downgrade(switch);
    let greeter: event_channels::Greeter = Arc::new(move |holder| {
        if let Some(switch) = greeted.upgrade() {
            board::is_back(&switch, holder);
        }
    });
    channels.greet("mod_conference", on.then_some(greeter));
}

/// A text for all members of the room.
fn chat(switch: &Switch, channel: &str, message: &Message) {
    let data = message.get("data");
    let text = |name: &str| data.and_then(|data| data.get(name)).and_then(Value::as_str);
    if !text("action").is_some_and(|action| action.eq_ignore_ascii_case("send")) {
        return;
    }
    let said = text("message").unwrap_or_default();
    if said.len() > MAX_TEXT {
        tracing::warn!("A text of {} bytes on {channel} is not passed on", said.len());
        return;
    }
    let mut told = Message::new();
    told.insert("direction".into(), "outbound".into());
    if !said.is_empty() {
        told.insert("message".into(), said.into());
    }
    for (name, from) in [("fromDisplay", "fromDisplay"), ("from", "userid")] {
        if let Some(who) = message.get(from).and_then(Value::as_str) {
            told.insert(name.into(), who.into());
        }
    }
    told.insert("type".into(), text("type").unwrap_or("message").into());
    board::tell(&board::channels(switch), told, channel, None);
}

/// What a moderator's page asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    /// A command about the room, its name left out.
    Command(String),
    /// A member, and the number it is sent to.
    Transfer(u32, String),
    /// Something about pictures, of which there are none.
    Pictures(String),
    Unknown,
}

/// Leads a room, and tells its moderators how that went.
fn lead(switch: &Arc<Switch>, channel: &str, message: &Message) {
    let wish = message.get("data").map_or(Wish::Unknown, read);
    let (switch, channel) = (Arc::clone(switch), channel.to_owned());
    crate::foreign::spawn(async move {
        let mut told = Message::new();
        told.insert("action".into(), "response".into());
        let room = board::room_of(&switch, &channel);
        match (wish, room) {
            (Wish::Command(command), Some(room)) => {
                let folder = switch.global("recordings_dir").unwrap_or_default();
                let command = command.replace(RECORDINGS, &folder);
                let command = format!("{} {command}", room.name);
                let reply = switch.run_api("conference", &command, None).await;
                told.insert("conf-command".into(), command.into());
                told.insert("response".into(), reply.unwrap_or_default().into());
            }
            (Wish::Transfer(id, number), Some(room)) => {
                let response = send_away(&room, id, &number);
                told.insert("conf-command".into(), number.into());
                told.insert("response".into(), response.into());
            }
            (Wish::Pictures(action), _) => {
                told.insert("conf-command".into(), action.into());
                told.insert("response".into(), "OK".into());
                told.insert("responseData".into(), json!([]));
            }
            _ => {
                told.insert("error".into(), "Invalid Command".into());
            }
        }
        board::tell(&board::channels(&switch), told, &channel, None);
    });
}

fn send_away(room: &Room, id: u32, number: &str) -> String {
    match room.member(id) {
        Some(member) if transfer(&member.channel, number, None, None) => {
            format!("+OK Call transferred to {number}")
        }
        Some(_) => "-ERR Call cannot be transferred".to_owned(),
        None => format!("-ERR Member: {id} not found."),
    }
}

/// Reads a wish; what is no word of the kind that belongs there makes it none.
fn read(data: &Value) -> Wish {
    let Some(action) = data.get("command").and_then(Value::as_str) else { return Wish::Unknown };
    let action = action.to_ascii_lowercase();
    let id = match data.get("id") {
        Some(Value::Number(id)) => id.to_string(),
        Some(Value::String(id)) => id.clone(),
        _ => String::new(),
    };
    let arguments: Vec<&str> = match data.get("value") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).take(10).collect(),
        _ => Vec::new(),
    };
    let whom = Some(id.as_str()).filter(|id| is_word(id));
    let first = arguments.first().copied();
    let command = match action.as_str() {
        "kick" => whom.map(|id| format!("kick {id}")),
        "mute" | "unmute" | "tmute" | "deaf" | "undeaf" | "vmute" | "unvmute" | "tvmute" => {
            match (whom, first) {
                (Some(id), None) => Some(format!("{action} {id}")),
                (Some(id), Some(how)) if is_word(how) => Some(format!("{action} {id} {how}")),
                _ => None,
            }
        }
        "volume_in"
        | "volume_out"
        | "vid-res-id"
        | "vid-floor"
        | "vid-layer"
        | "vid-canvas"
        | "vid-watching-canvas"
        | "vid-banner" => {
            let value = first.filter(|value| is_word(value));
            whom.zip(value).map(|(id, value)| format!("{action} {id} {value}"))
        }
        "play" => first.filter(|file| is_file(file)).map(|file| format!("play {file}")),
        "stop" => first.filter(|which| is_word(which)).map(|which| format!("stop {which}")),
        "recording" => recording(&arguments),
        "vid-layout" => {
            first.filter(|layout| is_word(layout)).map(|l| format!("vid-layout {l} all"))
        }
        "transfer" => {
            let number = first.filter(|number| is_number(number));
            return match (id.parse(), number) {
                (Ok(id), Some(number)) => Wish::Transfer(id, number.to_owned()),
                _ => Wish::Unknown,
            };
        }
        "canvasinfo" | "list-videolayouts" => {
            let shown = data.get("command").and_then(Value::as_str).unwrap_or_default();
            return Wish::Pictures(shown.to_owned());
        }
        _ => None,
    };
    command.map_or(Wish::Unknown, Wish::Command)
}

/// `recording VERB FILE`: files lie in the folder of recordings.
fn recording(arguments: &[&str]) -> Option<String> {
    let verb = arguments.first()?.to_ascii_lowercase();
    if !["start", "stop", "check", "pause", "resume"].contains(&verb.as_str()) {
        return None;
    }
    match arguments.get(1).copied() {
        None | Some("all") => (verb != "start").then(|| format!("recording {verb} all")),
        Some(file) => is_file(file).then(|| format!("recording {verb} {RECORDINGS}/{file}")),
    }
}

/// A number of a member, a level, or a word such as `all` or `quiet`.
fn is_word(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-+:.".contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(fits)
}

/// A file below a folder.
fn is_file(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    (1..=200).contains(&text.len())
        && text.chars().all(fits)
        && !text.starts_with(['/', '.'])
        && !text.contains("..")
}

/// What is dialled.
fn is_number(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-+*#.".contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(data: Value) -> Option<String> {
        match read(&data) {
            Wish::Command(command) => Some(command),
            _ => None,
        }
    }

    #[test]
    fn moderators_lead_with_single_words() {
        let run = |command_, id: Value, value: Value| {
            command(json!({ "command": command_, "id": id, "value": value }))
        };
        assert_eq!(run("MUTE", 3.into(), Value::Null).as_deref(), Some("mute 3"));
        assert_eq!(run("tmute", "3".into(), "quiet".into()).as_deref(), Some("tmute 3 quiet"));
        assert_eq!(run("volume_in", 3.into(), "-1".into()).as_deref(), Some("volume_in 3 -1"));
        assert_eq!(run("kick", "all".into(), Value::Null).as_deref(), Some("kick all"));
        let several = json!(["start", "day/one.wav"]);
        let started = run("recording", Value::Null, several);
        assert_eq!(started.as_deref(), Some("recording start {recordings}/day/one.wav"));
        assert_eq!(
            run("play", Value::Null, "ivr/beep.wav".into()).as_deref(),
            Some("play ivr/beep.wav")
        );
        for (name, id, value) in [
            ("kick", json!(""), Value::Null),
            ("kick", json!("1 all"), Value::Null),
            ("mute", json!(3), json!("x;y")),
            ("play", Value::Null, json!("/etc/passwd")),
            ("play", Value::Null, json!("../x.wav")),
            ("play", Value::Null, json!("http://x/y.wav")),
            ("recording", Value::Null, json!(["start", "/tmp/x.wav"])),
            ("recording", Value::Null, json!(["start"])),
            ("recording", Value::Null, json!(["start", "${x}.wav"])),
            ("system", json!(1), json!("rm")),
        ] {
            assert_eq!(run(name, id, value), None, "{name}");
        }
    }

    #[test]
    fn members_are_sent_to_numbers_and_nothing_else() {
        let read = |number: &str| {
            read(&json!({ "command": "transfer", "id": 7, "value": [number, "inline"] }))
        };
        assert_eq!(read("*98"), Wish::Transfer(7, "*98".into()));
        assert_eq!(read("system:rm -rf /"), Wish::Unknown);
        assert_eq!(read(""), Wish::Unknown);
    }
}
