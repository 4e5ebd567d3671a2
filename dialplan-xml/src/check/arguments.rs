//! Arguments of applications: numbers with units, missing words, words that mean nothing, menus,
//! rooms, macros and queues that do not exist.

use super::Subject;
use super::uses::Use;
use super::words::{cause, option};
use crate::catalogue::{Kind, Support, nearest};
use crate::config::AclConf;
use crate::regex::Pattern;
use crate::text::{is_number, split};
use crate::{Diagnostic, Node, Place};

pub(super) fn check(subject: &mut Subject<'_>, uses: &[Use<'_>]) {
    let known = Known::read(subject);
    for one in uses {
        argument(subject, &known, one);
    }
}

/// Names other files give to what applications use. `None`: they come from elsewhere, or nothing
/// can say.
struct Known {
    menus: Option<Vec<String>>,
    rooms: Option<Vec<String>>,
    macros: Option<Vec<String>>,
    mailboxes: Option<Vec<String>>,
    queues: Option<Vec<String>>,
    lists: Option<Vec<String>>,
}

impl Known {
    fn read(subject: &Subject<'_>) -> Self {
        let elsewhere = super::targets::elsewhere(subject.tree, "configuration");
        let named = |file: &str, tag: &str, group: &str| {
            let conf = subject.tree.configuration(file).filter(|_| !elsewhere)?;
            let nodes = conf.child(group).into_iter().flat_map(|g| g.children_named(tag));
            Some(nodes.map(|n| n.attr_or_empty("name").to_owned()).collect())
        };
        let lists = subject.tree.configuration("acl.conf").filter(|_| !elsewhere);
        Self {
            menus: named("ivr.conf", "menu", "menus"),
            rooms: named("conference.conf", "profile", "profiles"),
            mailboxes: named("voicemail.conf", "profile", "profiles"),
            queues: named("callcenter.conf", "queue", "queues"),
            macros: macros(subject),
            lists: lists.map(|conf| {
                let own = AclConf::read(Some(conf)).lists.into_iter().map(|l| l.name.to_string());
                own.chain(super::sip::BUILT_IN_LISTS.map(str::to_owned)).collect()
            }),
        }
    }
}

/// Phrase macros of all languages.
pub(super) fn macros(subject: &Subject<'_>) -> Option<Vec<String>> {
    if super::targets::elsewhere(subject.tree, "languages") {
        return None;
    }
    let sections = ["languages", "phrases"].into_iter().filter_map(|s| subject.tree.section(s));
    let nodes: Vec<_> = sections.flat_map(Node::descendants).collect();
    let macros = nodes.iter().filter(|n| n.name() == "macro");
    let names: Vec<_> = macros.map(|m| m.attr_or_empty("name").to_owned()).collect();
    (!names.is_empty()).then_some(names)
}

/// Something that a name refers to and that is not there.
pub(super) fn refers(
    subject: &mut Subject<'_>,
    known: Option<&Vec<String>>,
    (code, what): (&'static str, &str),
    name: &str,
    place: &Place,
) {
    let Some(known) = known else { return };
    if name.is_empty() || name.contains('$') || known.iter().any(|k| k.eq_ignore_ascii_case(name)) {
        return;
    }
    let message = format!("there is no {what} \"{name}\"");
    let mut found = Diagnostic::error(code, message, Some(place.clone()));
    if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
        found = found.with_hint(format!("did you mean \"{near}\"?"));
    }
    subject.say(found.with_focus(name, 0));
}

/// Whether a word can be judged: it is written out.
fn plain(word: &str) -> bool {
    !word.is_empty() && !word.contains(['$', '{', '}'])
}

/// A word that must be a number, such as milliseconds.
fn number(subject: &mut Subject<'_>, one: &Use<'_>, word: &str, what: &str) {
    if !plain(word) || is_number(word) {
        return;
    }
    let application = one.application;
    let message = format!("{application}: \"{word}\" is not {what}");
    let found = Diagnostic::error("argument", message, Some(one.place.clone()));
    let hint = if word.starts_with(|c: char| c.is_ascii_digit()) {
        format!("{what}, without a unit")
    } else {
        what.to_owned()
    };
    subject.say(found.with_focus(word, 0).with_hint(hint));
}

/// A word that must be one of these.
fn among(subject: &mut Subject<'_>, one: &Use<'_>, word: &str, words: &[&str]) {
    if !plain(word) || words.iter().any(|w| w.eq_ignore_ascii_case(word)) {
        return;
    }
    let message = format!("{} does not know \"{word}\"", one.application);
    let found = Diagnostic::error("argument", message, Some(one.place.clone()));
    subject.say(found.with_focus(word, 0).with_hint(match nearest(word, words.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("one of {}", words.join(", ")),
    }));
}

fn too_few(subject: &mut Subject<'_>, one: &Use<'_>, wanted: &str) {
    let message = format!("{} needs {wanted}", one.application);
    subject.say(Diagnostic::error("argument", message, Some(one.place.clone())));
}

const LEVELS: [&str; 10] =
    ["console", "alert", "crit", "err", "error", "warning", "notice", "info", "debug", "disable"];
const SAY_TYPES: [&str; 20] = [
    "number",
    "items",
    "persons",
    "messages",
    "currency",
    "time_measurement",
    "current_date",
    "current_time",
    "current_date_time",
    "telephone_number",
    "telephone_extension",
    "url",
    "ip_address",
    "email_address",
    "postal_address",
    "account_number",
    "name_spelled",
    "name_phonetic",
    "short_date_time",
    "name",
];
const SAY_METHODS: [&str; 5] = ["pronounced", "pronounced_year", "iterated", "counted", "n/a"];

/// How many words an application needs at least, and what they are.
const NEEDS: [(&str, usize, &str); 24] = [
    ("sleep", 1, "a number of milliseconds"),
    ("transfer", 1, "an extension to go to"),
    ("execute_extension", 1, "an extension to run"),
    ("bridge", 1, "a dial string"),
    ("playback", 1, "a file"),
    ("endless_playback", 1, "a file"),
    ("loop_playback", 1, "a file"),
    ("ivr", 1, "the name of a menu"),
    ("conference", 1, "the name of a conference"),
    ("phrase", 1, "the name of a macro"),
    ("record", 1, "a file"),
    ("record_session", 1, "a file"),
    ("socket", 1, "host:port"),
    ("play_and_get_digits", 7, "min, max, tries, timeout, terminators, file and invalid file"),
    ("read", 4, "min, max, file and a variable"),
    ("bind_meta_app", 4, "a key, a leg, flags and an application"),
    ("limit", 3, "a backend, a realm and a resource"),
    ("valet_park", 2, "a lot and a place"),
    ("check_acl", 2, "an address and an access list"),
    ("wait_for_silence", 3, "threshold, silence hits and listen hits"),
    ("say", 4, "module, type, method and text"),
    ("sched_transfer", 2, "a time and an extension"),
    ("sched_hangup", 1, "a time"),
    ("delay_echo", 1, "a number of milliseconds"),
];

fn argument(subject: &mut Subject<'_>, known: &Known, one: &Use<'_>) {
    let application = one.application.to_ascii_lowercase();
    let data = one.data.trim();
    let words = split(data, ' ', usize::MAX);
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let written = !data.contains("${");
    if let Some((_, least, wanted)) = NEEDS.iter().find(|(name, ..)| *name == application)
        && (words.len() < *least || data.is_empty())
        && written
    {
        return too_few(subject, one, wanted);
    }
    match application.as_str() {
        "set" | "export" | "bridge_export" | "set_global" | "set_profile_var" | "push"
        | "unshift" => assignment(subject, one, data),
        "multiset" => {
            let (list, separator) = crate::text::chosen_delimiter(data, ' ');
            for item in split(list, separator, usize::MAX) {
                option(subject, &item, &one.place);
            }
        }
        "sleep" => number(subject, one, data, "a number of milliseconds"),
        "delay_echo" => number(subject, one, word(0), "a number of milliseconds"),
        "park" | "echo" | "answer" => {}
        "hangup" => cause(subject, data, &one.place),
        "respond" => number(subject, one, word(0), "a SIP status code"),
        "sched_hangup" => {
            number(subject, one, word(0), "a number of seconds");
            cause(subject, word(1), &one.place);
        }
        "sched_transfer" | "sched_broadcast" => {
            number(subject, one, word(0), "a number of seconds");
        }
        "wait_for_silence" => {
            words.iter().take(4).for_each(|w| number(subject, one, w, "a number"));
        }
        "read" => {
            [0, 1].iter().for_each(|at| number(subject, one, word(*at), "a number of digits"));
            number(subject, one, word(4), "a number of milliseconds");
            order(subject, one, word(0), word(1));
        }
        "play_and_get_digits" => digits(subject, one, &words),
        "record" => {
            (1..4).for_each(|at| number(subject, one, word(at), "a number"));
        }
        "set_audio_level" => {
            among(subject, one, word(0), &["read", "write"]);
            number(subject, one, word(1), "a level from -4 to 4");
        }
        "set_mute" => among(subject, one, word(0), &["read", "write"]),
        "bind_meta_app" => {
            among(subject, one, word(1), &["a", "b", "ab", "both", "bridge"]);
        }
        "log" | "session_loglevel" => level(subject, one, word(0), &application),
        "say" => {
            among(subject, one, word(1), &SAY_TYPES);
            among(subject, one, word(2), &SAY_METHODS);
        }
        "privacy" => among(
            subject,
            one,
            data,
            &["off", "on", "name", "full", "number", "yes", "no", "true", "false", "default"],
        ),
        "fifo" => among(subject, one, word(1), &["in", "out", "undial"]),
        "transfer" | "execute_extension" => destination(subject, one, &words),
        "socket" => socket(subject, one, &words),
        "limit" => {
            among(subject, one, word(0), &["hash", "db", "redis", "hiredis"]);
            number(subject, one, word(3).split('/').next().unwrap_or_default(), "a number");
        }
        "limit_hash" => {
            number(subject, one, word(2).split('/').next().unwrap_or_default(), "a number");
        }
        "hash" | "db" => {
            let verb = data.split('/').next().unwrap_or_default();
            among(subject, one, verb, &["insert", "insert_ifempty", "delete", "delete_ifmatch"]);
        }
        "ivr" => refers(subject, known.menus.as_ref(), ("menu-unknown", "menu"), data, &one.place),
        "conference" => conference(subject, known, one, data),
        "phrase" => {
            let name = data.split([',', '@']).next().unwrap_or_default().trim();
            let what = ("macro-unknown", "phrase macro");
            refers(subject, known.macros.as_ref(), what, name, &one.place);
        }
        "voicemail" => {
            let options = ["check", "auth_only", "admin"];
            let profile = words.iter().find(|w| !options.contains(&w.as_str()));
            let profile = profile.map_or("", String::as_str);
            let what = ("voicemail-unknown", "voicemail profile");
            refers(subject, known.mailboxes.as_ref(), what, profile, &one.place);
        }
        "callcenter" => {
            let what = ("queue-unknown", "callcenter queue");
            refers(subject, known.queues.as_ref(), what, data, &one.place);
        }
        "check_acl" => {
            if !word(1).contains('/') {
                let what = ("acl-unknown", "access list");
                refers(subject, known.lists.as_ref(), what, word(1), &one.place);
            }
            cause(subject, word(2), &one.place);
        }
        _ => {}
    }
}

/// `name=value`.
fn assignment(subject: &mut Subject<'_>, one: &Use<'_>, data: &str) {
    // The reference splits at a comma when there is no equals sign.
    if data.contains(['=', ',']) || data.starts_with("${") {
        return option(subject, data, &one.place);
    }
    let message = if data.is_empty() {
        format!("{} has nothing to set", one.application)
    } else {
        format!("{}: \"{data}\" is not name=value and sets nothing", one.application)
    };
    let place = if data.is_empty() { &one.named } else { &one.place };
    subject.say(Diagnostic::error("set-without-equals", message, Some(place.clone())));
}

/// At least no more than at most.
fn order(subject: &mut Subject<'_>, one: &Use<'_>, least: &str, most: &str) {
    if let (Ok(low), Ok(high)) = (least.parse::<i64>(), most.parse::<i64>())
        && low > high
    {
        let message = format!("{}: at least {low} digits and at most {high}", one.application);
        subject.say(Diagnostic::error("argument", message, Some(one.place.clone())));
    }
}

fn digits(subject: &mut Subject<'_>, one: &Use<'_>, words: &[String]) {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    for (at, what) in [
        "a number of digits",
        "a number of digits",
        "a number of tries",
        "a number of milliseconds",
    ]
    .iter()
    .enumerate()
    {
        number(subject, one, word(at), what);
    }
    order(subject, one, word(0), word(1));
    number(subject, one, word(9), "a number of milliseconds");
    let expression = word(8);
    if plain(expression)
        && let Err(error) = Pattern::cached(expression)
    {
        let message =
            format!("play_and_get_digits: /{expression}/ is not valid: {}", error.message);
        let found = Diagnostic::error("regex-invalid", message, Some(one.place.clone()));
        subject.say(found.with_focus(expression, 0));
    }
}

/// `log LEVEL text`: a word that is nearly a level was meant as one.
fn level(subject: &mut Subject<'_>, one: &Use<'_>, word: &str, application: &str) {
    let known = LEVELS.iter().any(|l| l.eq_ignore_ascii_case(word)) || is_number(word);
    if known || !plain(word) {
        return;
    }
    let near = nearest(word, LEVELS);
    let shouted = word.bytes().all(|b| b.is_ascii_uppercase());
    if application == "session_loglevel" || near.is_some() && shouted {
        among(subject, one, word, &LEVELS);
    }
}

/// `number [dialplan [context]]`.
fn destination(subject: &mut Subject<'_>, one: &Use<'_>, words: &[String]) {
    let flagged = words.first().is_some_and(|w| matches!(w.as_str(), "-bleg" | "-both"));
    let words = words.get(usize::from(flagged)..).unwrap_or_default();
    let dialplan = words.get(1).map_or("", String::as_str);
    let first = dialplan.split([',', ':']).next().unwrap_or_default();
    if !plain(first) || subject.catalogue.support(Kind::Dialplan, first) != Support::Unknown {
        return;
    }
    let message = format!("there is no dialplan \"{first}\": calls sent there find nothing");
    let mut found = Diagnostic::error("dialplan-unknown", message, Some(one.place.clone()));
    if let Some(near) = subject.catalogue.nearest(Kind::Dialplan, first) {
        found = found.with_hint(format!("did you mean \"{near}\"?"));
    } else {
        found = found.with_hint("number, dialplan and context: transfer 1000 XML default");
    }
    subject.say(found.with_focus(first, 0));
}

fn socket(subject: &mut Subject<'_>, one: &Use<'_>, words: &[String]) {
    let target = words.first().map_or("", String::as_str);
    if plain(target)
        && let Some((_, port)) = target.rsplit_once(':').filter(|(host, _)| !host.contains(':'))
        && port.split('/').next().and_then(|p| p.parse::<u16>().ok()).is_none_or(|p| p == 0)
    {
        let message = format!("socket: \"{port}\" is not a port");
        let found = Diagnostic::error("argument", message, Some(one.place.clone()));
        subject.say(found.with_focus(target, target.len() - port.len()));
    }
    for word in words.iter().skip(1) {
        among(subject, one, word, &["async", "full", "event", "text"]);
    }
}

/// `name@profile+pin+flags{…}`, or `bridge:name@profile:dial string`.
fn conference(subject: &mut Subject<'_>, known: &Known, one: &Use<'_>, data: &str) {
    let data = match data.strip_prefix("bridge:") {
        Some(rest) => rest.split(':').next().unwrap_or_default(),
        None => data,
    };
    // A name that is put together from others may hold an @ of its own.
    let Some((_, rest)) = data.rsplit_once('@').filter(|(name, _)| !name.contains('@')) else {
        return;
    };
    let end = rest.find(['+', ':', ' ', '{']).unwrap_or(rest.len());
    let profile = rest.get(..end).unwrap_or_default();
    let what = ("conference-profile-unknown", "conference profile");
    refers(subject, known.rooms.as_ref(), what, profile, &one.place);
    if let Some(flags) = rest.split_once("flags{").and_then(|(_, f)| f.split_once('}')) {
        for flag in flags.0.split('|') {
            among(subject, one, flag.trim(), &super::files::MEMBER_FLAGS);
        }
    }
}
