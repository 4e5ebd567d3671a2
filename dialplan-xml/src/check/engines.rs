//! What applications need beside the configuration: speech engines and recognisers, scripts, queues of mod_fifo, the encoder
//! of MP3.

use std::path::Path;

use super::Subject;
use super::names::hook;
use super::uses::Use;
use crate::catalogue::{Kind, nearest};
use crate::text::split;
use crate::{Diagnostic, Node, Place};

/// Speech engines that are modules of their own.
const SPEECH: [(&str, &str); 2] =
    [("flite", "mod_flite"), ("tts_commandline", "mod_tts_commandline")];
/// Words of `detect_speech` that are no engine.
#[rustfmt::skip]
const VERBS: [&str; 13] = [
    "grammar", "nogrammar", "grammaron", "grammaroff", "grammarsalloff", "init", "pause", "resume", "stop", "param",
    "start_input_timers", "loadgrammar", "unloadgrammar",
];
/// Parameters that name the file of a recording, or the form of recordings.
const RECORDERS: [(&str, &str); 3] = [
    ("conference.conf", "auto-record"),
    ("voicemail.conf", "file-extension"),
    ("callcenter.conf", "record-template"),
];

/// What is there.
struct Known {
    /// Engines that speak, and that recognise; `None` when configurations come from elsewhere.
    speech: Option<Vec<String>>,
    recognisers: Option<Vec<String>>,
    fifos: Vec<String>,
}

impl Known {
    fn read(subject: &Subject<'_>) -> Self {
        let elsewhere = super::targets::elsewhere(subject.tree, "configuration");
        let named = |file: &str, group: &str, tag: &str| -> Vec<String> {
            let conf = subject.tree.configuration(file);
            let groups = conf.into_iter().flat_map(|conf| conf.children_named(group));
            let nodes = groups.flat_map(|group| group.children_named(tag));
            nodes.map(|node| node.attr_or_empty("name").to_owned()).collect()
        };
        let modules = SPEECH.iter().map(|(name, _)| (*name).to_owned());
        let speech = named("tts.conf", "engines", "engine").into_iter().chain(modules).collect();
        let mut recognisers = named("recognition.conf", "engines", "engine");
        if subject.tree.configuration("vosk.conf").is_some() {
            recognisers.push("vosk".to_owned());
        }
        Self {
            speech: (!elsewhere).then_some(speech),
            recognisers: (!elsewhere).then_some(recognisers),
            fifos: named("fifo.conf", "fifos", "fifo"),
        }
    }
}

pub(super) fn check(subject: &mut Subject<'_>, uses: &[Use<'_>]) {
    let known = Known::read(subject);
    for one in uses {
        let data = one.data.trim();
        let application = one.application.to_ascii_lowercase();
        match application.as_str() {
            "speak" => {
                if let [engine, _, _, ..] = &*data.split('|').collect::<Vec<_>>() {
                    speaks(subject, &known, engine, one);
                }
            }
            "set" | "export" => {
                if let Some(engine) = data.strip_prefix("tts_engine=") {
                    speaks(subject, &known, engine, one);
                }
            }
            "detect_speech" => recognises(subject, &known, data, one),
            "play_and_detect_speech" => {
                if let Some((_, rest)) = data.split_once("detect:") {
                    recognises(subject, &known, rest, one);
                }
            }
            "lua" | "javascript" => script(subject, first_word(data), &one.place),
            "fifo" => fifo(subject, &known, data, one),
            "record" | "record_session" => {
                let words = split(data, ' ', 2);
                encoded(subject, words.first().map_or("", String::as_str), &one.place);
            }
            _ => {}
        }
        for name in scripts_of_commands(data) {
            script(subject, name, &one.place);
        }
        if let Some((Kind::Api, run)) = hook(data).filter(|_| SETTERS.contains(&&*application))
            && let Some((command, arguments)) = run.split_once(' ')
            && is_script_command(command)
        {
            script(subject, first_word(arguments), &one.place);
        }
    }
    recorders(subject);
    for conf in
        ["lua.conf", "v8.conf"].into_iter().filter_map(|name| subject.tree.configuration(name))
    {
        for param in conf.descendants().filter(|node| node.name() == "param") {
            if ["xml-handler-script", "startup-script"].contains(&param.attr_or_empty("name")) {
                let value = param.attr_or_empty("value").split(' ').next().unwrap_or_default();
                script(subject, value, &param.attr_place("value"));
            }
        }
        for hook in conf.descendants().filter(|node| node.name() == "hook") {
            script(subject, hook.attr_or_empty("script"), &hook.attr_place("script"));
        }
    }
}

/// Recordings that settings ask for.
fn recorders(subject: &mut Subject<'_>) {
    for (file, name) in RECORDERS {
        let conf = subject.tree.configuration(file);
        for param in conf.into_iter().flat_map(Node::descendants) {
            if param.name() == "param" && param.attr_or_empty("name") == name {
                encoded(subject, param.attr_or_empty("value"), &param.attr_place("value"));
            }
        }
    }
}

/// A file that needs an encoder which is not there.
fn encoded(subject: &mut Subject<'_>, file: &str, place: &Place) {
    let form = file.rsplit_once('.').map_or(file, |(_, form)| form);
    let Some(why) = subject.no_mp3.filter(|_| form.eq_ignore_ascii_case("mp3")) else { return };
    let message = format!("recordings cannot be written as mp3: {why}");
    let found = Diagnostic::warning("encoder-missing", message, Some(place.clone()));
    subject.say(found.with_focus(form, 0));
}

/// Whether a word can be judged: it is written out.
fn plain(word: &str) -> bool {
    !word.is_empty() && !word.contains(['$', '{', '}'])
}

/// An engine that speaks.
fn speaks(subject: &mut Subject<'_>, known: &Known, engine: &str, one: &Use<'_>) {
    let Some(engines) = &known.speech else { return };
    let engine = engine.trim();
    let what = ("speech engine", "nothing is said and the call ends");
    engine_known(subject, engines, engine, what, one);
    let module = SPEECH.iter().find(|(name, _)| name.eq_ignore_ascii_case(engine));
    let loaded = |module: &str| subject.loaded.as_ref().is_none_or(|all| all.contains(module));
    if let Some((_, module)) = module.filter(|(_, module)| !loaded(module)) {
        let message = format!("{module} is not loaded: the engine \"{engine}\" is not there");
        let found = Diagnostic::error("engine-unknown", message, Some(one.place.clone()));
        subject.say(found.with_focus(engine, 0));
    }
}

/// `engine grammar …`, or an order to the recogniser that runs.
fn recognises(subject: &mut Subject<'_>, known: &Known, data: &str, one: &Use<'_>) {
    let Some(engines) = &known.recognisers else { return };
    let words = split(data, ' ', 2);
    let word = words.first().map_or("", String::as_str);
    // What stands behind the colon is the engine's own.
    let engine = word.split(':').next().unwrap_or_default();
    if !VERBS.iter().any(|verb| verb.eq_ignore_ascii_case(engine)) {
        let what = ("recogniser", "nothing is recognised");
        engine_known(subject, engines, engine, what, one);
    }
}

fn engine_known(
    subject: &mut Subject<'_>,
    engines: &[String],
    engine: &str,
    (what, then): (&str, &str),
    one: &Use<'_>,
) {
    if !plain(engine) || engines.iter().any(|known| known.eq_ignore_ascii_case(engine)) {
        return;
    }
    let message = format!("there is no {what} \"{engine}\": {then}");
    let found = Diagnostic::error("engine-unknown", message, Some(one.place.clone()));
    let hint = match nearest(engine, engines.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if engines.is_empty() => "engines are servers that recognition.conf names".to_owned(),
        None => format!("known: {}", engines.join(", ")),
    };
    subject.say(found.with_focus(engine, 0).with_hint(hint));
}

/// Applications that set the variable of a hook.
const SETTERS: [&str; 2] = ["set", "export"];

/// Commands whose first word is the name of a script.
fn is_script_command(name: &str) -> bool {
    ["lua", "luarun", "jsapi", "jsrun"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// What stands before the first space.
fn first_word(text: &str) -> &str {
    text.trim_start().split(' ').next().unwrap_or_default()
}

/// Scripts that a text names in `${command(script …)}` or `${command script …}`.
fn scripts_of_commands(text: &str) -> impl Iterator<Item = &str> {
    let bodies = text.match_indices("${").filter_map(|(at, _)| text.get(at + 2..));
    bodies.filter_map(|body| {
        let (command, arguments) = body.split_once(['(', ' '])?;
        let name = arguments.split([' ', ')', '}']).next().unwrap_or_default();
        is_script_command(command).then_some(name)
    })
}

/// A script that is not there. What begins with `~` is code, not a name.
fn script(subject: &mut Subject<'_>, name: &str, place: &Place) {
    let Some(folder) = subject.globals.get("script_dir").map(str::to_owned) else { return };
    if !plain(name) || name.starts_with('~') || !name.contains('.') {
        return;
    }
    let path = Path::new(&folder).join(name);
    if (subject.file_exists)(&path) {
        return;
    }
    let message = format!("there is no script \"{name}\"");
    let found = Diagnostic::warning("script-missing", message, Some(place.clone()));
    let found = found.with_focus(name, 0);
    subject.say(match name.starts_with('/') {
        true => found,
        false => found.with_hint(format!("looked for in {folder}")),
    });
}

/// `name in|out`: a queue is made when it is first used, so only one that is nearly another is told of.
fn fifo(subject: &mut Subject<'_>, known: &Known, data: &str, one: &Use<'_>) {
    let words = split(data, ' ', 2);
    let all = words.first().map_or("", String::as_str);
    for name in all.split(',').map(str::trim).filter(|name| plain(name)) {
        if known.fifos.iter().any(|fifo| fifo == name) {
            continue;
        }
        let Some(near) = nearest(name, known.fifos.iter().map(String::as_str)) else { continue };
        let message = format!("fifo.conf has no queue \"{name}\": it is made, without members");
        let found = Diagnostic::warning("queue-unknown", message, Some(one.place.clone()));
        subject.say(found.with_focus(name, 0).with_hint(format!("did you mean \"{near}\"?")));
    }
}
