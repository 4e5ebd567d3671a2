//! Sound files that are not there.

use std::path::{Path, PathBuf};

use super::Subject;
use crate::{Diagnostic, Node};

/// Applications whose argument is a file to play.
const PLAYERS: [&str; 4] = ["playback", "endless_playback", "loop_playback", "displace_session"];
const RATES: [&str; 4] = ["8000", "16000", "32000", "48000"];
const EXTENSIONS: [&str; 10] =
    ["wav", "mp3", "PCMU", "PCMA", "gsm", "ogg", "opus", "r8", "raw", "au"];

pub(super) fn check(subject: &mut Subject<'_>) {
    let prefix = subject.globals.get("sound_prefix").or_else(|| subject.globals.get("sounds_dir"));
    let prefix = prefix.map(PathBuf::from);
    let section = subject.tree.section("dialplan");
    let actions: Vec<_> = section
        .into_iter()
        .flat_map(Node::descendants)
        .filter(|n| matches!(n.name(), "action" | "anti-action"))
        .filter(|n| PLAYERS.iter().any(|p| p.eq_ignore_ascii_case(n.attr_or_empty("application"))))
        .collect();
    // Without any prompts installed one remark would repeat for every file.
    let prefix = prefix.filter(|p| (subject.file_exists)(p));
    for action in actions {
        let (file, place) = super::names::data(action);
        let known = file.rsplit_once('.').is_some_and(|(_, e)| EXTENSIONS.contains(&e));
        if !known || file.contains("${") || file.contains("://") || file.contains(['$', ' ', '!']) {
            continue;
        }
        if exists(subject, prefix.as_deref(), file) {
            continue;
        }
        let message = format!("there is no sound file \"{file}\"");
        let mut found = Diagnostic::warning("sound-missing", message, Some(place));
        if let Some(prefix) = prefix.as_ref().filter(|_| !file.starts_with('/')) {
            let hint = format!("looked for below {} with and without a rate", prefix.display());
            found = found.with_hint(hint);
        }
        subject.say(found);
    }
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
