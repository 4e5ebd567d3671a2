//! Sound files that are not there.

use std::path::{Path, PathBuf};

use super::Subject;
use crate::text::split;
use crate::{Diagnostic, Node, Place};

/// Applications whose argument is a file to play.
const PLAYERS: [&str; 4] = ["playback", "endless_playback", "loop_playback", "displace_session"];
/// Applications whose argument has files among its words, and which words these are.
const ASKERS: [(&str, &[usize]); 2] = [("read", &[2]), ("play_and_get_digits", &[5, 6])];
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
const RATES: [&str; 4] = ["8000", "16000", "32000", "48000"];
const EXTENSIONS: [&str; 10] =
    ["wav", "mp3", "PCMU", "PCMA", "gsm", "ogg", "opus", "r8", "raw", "au"];

pub(super) fn check(subject: &mut Subject<'_>) {
    let prefix = subject.globals.get("sound_prefix").or_else(|| subject.globals.get("sounds_dir"));
    let prefix = prefix.map(PathBuf::from);
    let mut files: Vec<(String, Place)> = Vec::new();
    let section = subject.tree.section("dialplan");
    for action in section.into_iter().flat_map(Node::descendants) {
        if matches!(action.name(), "action" | "anti-action") {
            let (data, place) = super::names::data(action);
            played(action.attr_or_empty("application"), data, &place, &mut files);
        }
    }
    menus(subject.tree.configuration("ivr.conf"), &mut files);
    files.retain(|(file, _)| is_plain(file));
    let installed = prefix.as_ref().is_some_and(|p| (subject.file_exists)(p));
    if let Some(prefix) = prefix.as_ref().filter(|_| !installed) {
        none_installed(subject, prefix, &files);
        // One remark for all of them is enough.
        files.retain(|(file, _)| file.starts_with('/'));
    }
    for (file, place) in files {
        if !exists(subject, prefix.as_deref(), &file) {
            missing(subject, prefix.as_deref(), &file, place);
        }
    }
}

fn played(application: &str, data: &str, place: &Place, files: &mut Vec<(String, Place)>) {
    if PLAYERS.iter().any(|p| p.eq_ignore_ascii_case(application)) {
        files.push((data.to_owned(), place.clone()));
    }
    let asks = ASKERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(application));
    if let Some((_, positions)) = asks {
        let words = split(data, ' ', usize::MAX);
        let named = positions.iter().filter_map(|at| words.get(*at));
        files.extend(named.map(|word| (word.clone(), place.clone())));
    }
}

fn menus(conf: Option<Node<'_>>, files: &mut Vec<(String, Place)>) {
    for node in conf.into_iter().flat_map(Node::descendants) {
        if node.name() == "menu" {
            for sound in MENU_SOUNDS {
                let file = node.attr_or_empty(sound);
                files.push((file.to_owned(), node.attr_place(sound)));
            }
        }
        let plays = node.attr_or_empty("action").eq_ignore_ascii_case("menu-play-sound");
        if node.name() == "entry" && plays {
            files.push((node.attr_or_empty("param").to_owned(), node.attr_place("param")));
        }
    }
}

/// A file name and nothing else: no variable, no stream, no list.
fn is_plain(file: &str) -> bool {
    let known = file.rsplit_once('.').is_some_and(|(_, e)| EXTENSIONS.contains(&e));
    known && !file.contains("://") && !file.contains(['$', ' ', '!', '{'])
}

/// `ivr/hello.wav` is looked for as `ivr/8000/hello.wav` and so on below the prefix.
fn exists(subject: &Subject<'_>, prefix: Option<&Path>, file: &str) -> bool {
    let there = subject.file_exists;
    if file.starts_with('/') {
        return there(Path::new(file));
    }
    let Some(prefix) = prefix else { return true };
    let path = prefix.join(file);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return true };
    there(&path) || RATES.iter().any(|rate| there(&parent.join(rate).join(name)))
}

fn missing(subject: &mut Subject<'_>, prefix: Option<&Path>, file: &str, place: Place) {
    let message = format!("there is no sound file \"{file}\"");
    let mut found = Diagnostic::warning("sound-missing", message, Some(place));
    if let Some(prefix) = prefix.filter(|_| !file.starts_with('/')) {
        let hint = format!("looked for below {} with and without a rate", prefix.display());
        found = found.with_hint(hint);
    }
    subject.say(found.with_focus(file, 0));
}

fn none_installed(subject: &mut Subject<'_>, prefix: &Path, files: &[(String, Place)]) {
    let mut below = files.iter().filter(|(file, _)| !file.starts_with('/'));
    let Some((file, place)) = below.next() else { return };
    let others = match below.count() {
        0 => String::new(),
        n => format!(" (nor are {n} others)"),
    };
    let message = format!(
        "no prompts are installed: \"{file}\" is not there{others}, for there is no folder {}",
        prefix.display()
    );
    let found = Diagnostic::warning("sound-missing", message, Some(place.clone()));
    subject.say(found.with_focus(file.as_str(), 0).with_hint("`ferroswitch sounds` makes them"));
}
