//! What a configuration plays, wherever it is written: arguments of applications, channel variables, menus, phrases and
//! settings of rooms, queues and profiles.

use super::Subject;
use super::dial::{DIALLERS, option_lists};
use super::uses::Use;
use crate::text::{chosen_delimiter, split};
use crate::{Node, Place};

/// Something that is played, as it is written.
pub(super) struct Played {
    pub(super) text: String,
    pub(super) place: Place,
    /// What plays it: an application, a variable or a setting.
    pub(super) by: String,
}

/// Applications whose whole argument is played.
const PLAYERS: [&str; 2] = ["playback", "endless_playback"];
/// Applications with names of files among the words of their argument, and which words these are.
const ASKERS: [(&str, &[usize]); 6] = [
    ("read", &[2]),
    ("play_and_get_digits", &[5, 6]),
    ("displace_session", &[0]),
    ("wait_for_silence", &[4]),
    ("soft_hold", &[1, 2]),
    ("sched_broadcast", &[1]),
];
/// Channel variables that name what is played.
const VARIABLES: [&str; 11] = [
    "ringback",
    "transfer_ringback",
    "hold_music",
    "temp_hold_music",
    "campon_hold_music",
    "valet_hold_music",
    "fifo_music",
    "cc_moh_override",
    "group_confirm_file",
    "group_confirm_error_file",
    "conference_moh_sound",
];
/// Applications that set variables.
const SETTERS: [&str; 4] = ["set", "export", "bridge_export", "set_global"];
/// Attributes of a menu that name files.
const MENU_SOUNDS: [&str; 7] = [
    "greet-long",
    "greet-short",
    "invalid-sound",
    "exit-sound",
    "transfer-sound",
    "pin-file",
    "bad-pin-file",
];
/// Settings that name what is played: the file, how their names end, and what lies between several of them.
const SETTINGS: [(&str, &str, Option<char>); 5] = [
    ("conference.conf", "-sound", None),
    ("callcenter.conf", "-sound", None),
    ("sofia.conf", "hold-music", None),
    ("local_stream.conf", "chime-list", Some(',')),
    ("voicemail.conf", "hold-music", None),
];

/// All of it, in the order of the document within each kind.
pub(super) fn all(subject: &Subject<'_>, uses: &[Use<'_>]) -> Vec<Played> {
    let mut played = Vec::new();
    for one in uses {
        by_application(one, &mut played);
    }
    menus(subject.tree.configuration("ivr.conf"), &mut played);
    for (file, ending, separator) in SETTINGS {
        let conf = subject.tree.configuration(file);
        for param in conf.into_iter().flat_map(Node::descendants).filter(|n| n.name() == "param") {
            let (name, value) = (param.attr_or_empty("name"), param.attr_or_empty("value"));
            if name.ends_with(ending) && !name.starts_with("tts-") {
                let items = separator.map_or_else(|| vec![value], |by| value.split(by).collect());
                let place = param.attr_place("value");
                items.into_iter().for_each(|text| push(&mut played, text, &place, name));
            }
        }
    }
    let directory = subject.tree.section("directory");
    for node in directory.into_iter().flat_map(Node::descendants) {
        if node.name() == "variable" {
            let place = node.attr_place("value");
            let (name, value) = (node.attr_or_empty("name"), node.attr_or_empty("value"));
            by_variable(name, value, &place, &mut played);
        }
    }
    phrases(subject, &mut played);
    played
}

fn push(played: &mut Vec<Played>, text: &str, place: &Place, by: &str) {
    let text = text.trim().trim_matches('\'');
    if !text.is_empty() {
        played.push(Played { text: text.to_owned(), place: place.clone(), by: by.to_owned() });
    }
}

fn by_application(one: &Use<'_>, played: &mut Vec<Played>) {
    let application = one.application.to_ascii_lowercase();
    let data = one.data.trim();
    let by = one.application;
    let words = || split(data, ' ', usize::MAX);
    if PLAYERS.contains(&&*application) {
        push(played, data, &one.place, by);
    }
    if let Some((_, positions)) = ASKERS.iter().find(|(name, _)| *name == application) {
        let words = words();
        for word in positions.iter().filter_map(|at| words.get(*at)) {
            push(played, word, &one.place, by);
        }
    }
    match &*application {
        // `+N file`
        "loop_playback" => {
            let file = match data.strip_prefix('+') {
                Some(rest) => rest.split_once(' ').map_or("", |(_, file)| file),
                None => data,
            };
            push(played, file, &one.place, by);
        }
        "play_and_detect_speech" => {
            let file = data.split_once(" detect:").map_or(data, |(file, _)| file);
            push(played, file, &one.place, by);
        }
        // `queue in announcement music`
        "fifo" => {
            let words = words();
            if words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("in")) {
                let named = words.iter().skip(2).take(2).filter(|word| *word != "undef");
                named.for_each(|word| push(played, word, &one.place, by));
            }
        }
        "multiset" => {
            let (list, separator) = chosen_delimiter(data, ' ');
            for item in split(list, separator, usize::MAX) {
                by_assignment(&item, &one.place, played);
            }
        }
        name if SETTERS.contains(&name) => by_assignment(data, &one.place, played),
        name if DIALLERS.contains(&name) => {
            for item in option_lists(data).into_iter().flatten() {
                by_assignment(item, &one.place, played);
            }
        }
        _ => {}
    }
}

/// `name=value`.
fn by_assignment(item: &str, place: &Place, played: &mut Vec<Played>) {
    if let Some((name, value)) = item.split_once('=') {
        by_variable(name.trim().trim_start_matches("nolocal:"), value, place, played);
    }
}

fn by_variable(name: &str, value: &str, place: &Place, played: &mut Vec<Played>) {
    // `%(2000,4000,440)` is a tone, a word without a form of file is none (`silence`, `indicate_hold`).
    if VARIABLES.contains(&name) && !value.trim().trim_matches('\'').starts_with('%') {
        push(played, value, place, name);
    }
}

fn menus(conf: Option<Node<'_>>, played: &mut Vec<Played>) {
    for node in conf.into_iter().flat_map(Node::descendants) {
        if node.name() == "menu" {
            for sound in MENU_SOUNDS {
                push(played, node.attr_or_empty(sound), &node.attr_place(sound), sound);
            }
        }
        let plays = node.attr_or_empty("action").eq_ignore_ascii_case("menu-play-sound");
        if node.name() == "entry" && plays {
            let by = "menu-play-sound";
            push(played, node.attr_or_empty("param"), &node.attr_place("param"), by);
        }
    }
}

/// Files of phrase macros, of languages whose sounds lie where all the others do.
fn phrases(subject: &Subject<'_>, played: &mut Vec<Played>) {
    let sections = ["languages", "phrases"].into_iter().filter_map(|s| subject.tree.section(s));
    for language in sections.flat_map(Node::descendants).filter(|n| n.name() == "language") {
        if ["sound-prefix", "sound-path"].iter().any(|name| language.attr(name).is_some()) {
            continue;
        }
        for action in language.descendants().filter(|n| n.name() == "action") {
            let function = action.attr_or_empty("function");
            if ["play-file", "play-file-in-lang"].contains(&function) {
                let by = "play-file";
                push(played, action.attr_or_empty("data"), &action.attr_place("data"), by);
            }
        }
    }
}
