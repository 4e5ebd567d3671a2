//! Whether what is played can be heard: files that are not there, kinds of files and streams that nothing plays, tones and
//! silence that are none.

use std::path::{Path, PathBuf};

use super::played::{self, Played};
use super::uses::Use;
use super::{Subject, arguments, details};
use crate::catalogue::nearest;
use crate::text::{is_number, split};
use crate::{Diagnostic, Place};

const RATES: [&str; 4] = ["8000", "16000", "32000", "48000"];
/// Kinds of files that are played, by the end of their names.
#[rustfmt::skip]
const KINDS: [&str; 25] = [
    "wav", "wave", "mp3", "ogg", "oga", "flac", "raw", "r8", "r16", "r24", "r32", "r48", "r64", "sln", "sln16", "sln24", "sln32", "sln48",
    "l16", "ul", "ulaw", "pcmu", "al", "alaw", "pcma",
];
/// What stands before `://` and is played.
const SCHEMES: [&str; 9] = [
    "file",
    "file_string",
    "tone_stream",
    "silence_stream",
    "local_stream",
    "http",
    "https",
    "http_cache",
    "tts",
];
/// The module that plays what is fetched from the web.
const FETCHER: &str = "mod_http_cache";
/// Applications that write the file that is played later.
const RECORDERS: [&str; 2] = ["record", "record_session"];

pub(super) fn check(subject: &mut Subject<'_>, uses: &[Use<'_>]) {
    let prefix = subject.globals.get("sound_prefix").or_else(|| subject.globals.get("sounds_dir"));
    let prefix = prefix.map(PathBuf::from);
    let recorded = recorded(uses);
    let macros = arguments::macros(subject);
    let mut files: Vec<(String, Place)> = Vec::new();
    for one in played::all(subject, uses) {
        for item in items(&one.text) {
            if let Some(name) = item.strip_prefix("phrase:") {
                let name = name.split([':', '@']).next().unwrap_or_default();
                let what = ("macro-unknown", "phrase macro");
                arguments::refers(subject, macros.as_ref(), what, name, &one.place);
            } else if item.starts_with("say:") || item.starts_with("tone_stream:") {
                details::tones(subject, &one.by, &one.place, item);
            } else if let Some((scheme, rest)) = item.split_once("://") {
                stream(subject, &one, item, scheme, rest);
                if scheme == "file" {
                    files.push((rest.to_owned(), one.place.clone()));
                }
            } else if kind(subject, &one, item) && !recorded.iter().any(|name| name == item) {
                files.push((item.to_owned(), one.place.clone()));
            }
        }
    }
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

/// The files and streams of one text: without parameters in front, a `file_string` taken apart, without where to begin
/// (`@@8000`).
fn items(text: &str) -> Vec<&str> {
    let text = without_parameters(text);
    let (list, several) = match text.strip_prefix("file_string://") {
        Some(list) => (list, true),
        None => (text, false),
    };
    let items: Vec<&str> = if several { list.split('!').collect() } else { vec![list] };
    let bare = items.into_iter().map(without_parameters);
    bare.map(|item| item.split("@@").next().unwrap_or(item))
        .filter(|item| !item.is_empty())
        .collect()
}

fn without_parameters(text: &str) -> &str {
    let text = text.trim();
    match text.strip_prefix('{') {
        Some(rest) => rest.split_once('}').map_or(text, |(_, rest)| rest.trim()),
        None => text,
    }
}

/// Files that the same configuration records.
fn recorded(uses: &[Use<'_>]) -> Vec<String> {
    let recorders =
        uses.iter().filter(|one| RECORDERS.iter().any(|r| r.eq_ignore_ascii_case(one.application)));
    recorders.filter_map(|one| split(one.data.trim(), ' ', 2).into_iter().next()).collect()
}

/// A stream whose kind nothing plays, or whose words mean nothing.
fn stream(subject: &mut Subject<'_>, one: &Played, item: &str, scheme: &str, rest: &str) {
    if scheme.contains(['$', '{', ' ']) {
        return;
    }
    if !SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        let message = format!("{}: nothing here plays {scheme}://", one.by);
        let mut found = Diagnostic::warning("file-not-played", message, Some(one.place.clone()));
        if let Some(near) = nearest(scheme, SCHEMES) {
            found = found.with_hint(format!("did you mean {near}://?"));
        }
        return subject.say(found.with_focus(format!("{scheme}://"), 0));
    }
    match scheme {
        "tone_stream" => details::tones(subject, &one.by, &one.place, item),
        "silence_stream" => {
            let length = rest.split(',').next().unwrap_or_default();
            if !length.contains('$') && !is_number(length) {
                let message = format!("{}: \"{length}\" is no length of silence", one.by);
                let found = Diagnostic::error("argument", message, Some(one.place.clone()));
                let hint = "milliseconds, or -1 for silence without end: silence_stream://500";
                subject.say(found.with_focus(item, 0).with_hint(hint));
            }
        }
        "http" | "https" | "http_cache" if rest.is_empty() => {
            let message = format!("{}: {scheme}:// names no address", one.by);
            let found = Diagnostic::error("argument", message, Some(one.place.clone()));
            subject.say(found.with_focus(item, 0));
        }
        "http" | "https" | "http_cache"
            if subject.loaded.as_ref().is_some_and(|all| !all.contains(FETCHER)) =>
        {
            let message = format!("{FETCHER} is not loaded: {scheme}:// is not played");
            let found = Diagnostic::warning("file-not-fetched", message, Some(one.place.clone()));
            subject.say(found.with_focus(format!("{scheme}://"), 0));
        }
        _ => {}
    }
}

/// Whether the text is the name of a file whose being there can be judged: no variable in it, and of a kind that is played.
fn kind(subject: &mut Subject<'_>, one: &Played, item: &str) -> bool {
    if item.contains(['$', ' ', '!', '{', '%', '*']) {
        return false;
    }
    let name = item.rsplit('/').next().unwrap_or(item);
    let Some((_, kind)) = name.rsplit_once('.') else { return false };
    if KINDS.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
        return true;
    }
    if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let message = format!("{}: files of the kind .{kind} are not played", one.by);
        let found = Diagnostic::warning("file-not-played", message, Some(one.place.clone()));
        let hint = "wav, mp3, ogg (Vorbis), flac, and raw forms";
        subject.say(found.with_focus(item, item.len() - kind.len() - 1).with_hint(hint));
    }
    false
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

#[cfg(test)]
mod tests {
    use super::items;

    #[test]
    fn what_is_played_is_taken_apart() {
        assert_eq!(items("/a/b.wav@@8000"), ["/a/b.wav"]);
        assert_eq!(items("{volume=2}/a.wav"), ["/a.wav"]);
        assert_eq!(
            items(" file_string:///a.wav!{loops=2}b.wav!silence_stream://100 "),
            ["/a.wav", "b.wav", "silence_stream://100"]
        );
        assert_eq!(items("{a=b}file_string://x.wav!!y.wav"), ["x.wav", "y.wav"]);
        assert_eq!(items("{never closed"), ["{never closed"]);
    }
}
