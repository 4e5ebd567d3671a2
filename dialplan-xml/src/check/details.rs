//! What an argument asks for that cannot be had: recordings in file formats that cannot be written, streams that do not exist,
//! moments long gone, SIP statuses for causes; and names in other files that nothing reads.

use super::Subject;
use super::uses::Use;
use crate::catalogue::nearest;
use crate::text::split;
use crate::{Diagnostic, Node, Place};

/// Forms recordings are written in, by the extension of the file.
const RECORDED: [&str; 13] =
    ["wav", "mp3", "raw", "r8", "r16", "sln", "l16", "ul", "ulaw", "pcmu", "al", "alaw", "pcma"];
/// A time of day below this is a wait for which the `+` was forgotten.
const LONG_AGO: i64 = 1_000_000_000;
/// SIP statuses that are written where causes belong, and the causes they stand for.
const STATUSES: [(&str, &str); 10] = [
    ("401", "CALL_REJECTED"),
    ("403", "CALL_REJECTED"),
    ("404", "UNALLOCATED_NUMBER"),
    ("408", "RECOVERY_ON_TIMER_EXPIRE"),
    ("410", "NUMBER_CHANGED"),
    ("480", "NO_USER_RESPONSE"),
    ("484", "INVALID_NUMBER_FORMAT"),
    ("486", "USER_BUSY"),
    ("488", "INCOMPATIBLE_DESTINATION"),
    ("603", "CALL_REJECTED"),
];
const STREAM: &str = "local_stream://";
const TONES: &str = "tone_stream://";

pub(super) fn check(subject: &mut Subject<'_>, uses: &[Use<'_>]) {
    for one in uses {
        argument(subject, one);
    }
    streams(subject);
    levels(subject);
    ports(subject);
    fields(subject);
    names(subject);
}

fn wrong(subject: &mut Subject<'_>, place: &Place, message: String, focus: &str, hint: &str) {
    let found = Diagnostic::error("argument", message, Some(place.clone()));
    subject.say(found.with_focus(focus, 0).with_hint(hint));
}

fn argument(subject: &mut Subject<'_>, one: &Use<'_>) {
    let application = one.application.to_ascii_lowercase();
    let data = one.data.trim();
    let first = data.split(' ').next().unwrap_or_default();
    match &*application {
        "record" => recorded(subject, one, first, "the call ends here"),
        "record_session" => {
            recorded(subject, one, first.split('+').next().unwrap_or(first), "nothing is recorded")
        }
        "sched_hangup" | "sched_transfer" | "sched_broadcast" => {
            let moment = first.parse::<i64>();
            if !first.starts_with('+') && moment.is_ok_and(|at| (0..LONG_AGO).contains(&at)) {
                let message = format!(
                    "{application}: {first} is a moment in 1970 or soon after: this happens at once"
                );
                wrong(
                    subject,
                    &one.place,
                    message,
                    first,
                    &format!("+{first} is in {first} seconds"),
                );
            }
        }
        "hangup" => {
            if let Some((status, cause)) = STATUSES.iter().find(|(status, _)| *status == data) {
                let message = format!("hangup: {status} is a SIP status, not a cause");
                let hint = format!("{cause}, or the application respond with {status}");
                wrong(subject, &one.place, message, data, &hint);
            }
        }
        "bind_meta_app" => {
            let bound = split(data, ' ', 4);
            let bound = bound.get(3).map_or("", String::as_str);
            let name = bound.split([' ', ':']).next().unwrap_or_default();
            let single = bound.get(name.len()..).is_some_and(|rest| rest.starts_with(':'));
            if !bound.contains("::") && single && !bound.contains("://") && !bound.contains('$') {
                let message = format!("bind_meta_app: \"{bound}\" is played as a file");
                let rest = bound.get(name.len() + 1..).unwrap_or_default();
                wrong(
                    subject,
                    &one.place,
                    message,
                    bound,
                    &format!("an application and its argument: {name}::{rest}"),
                );
            }
        }
        "set" | "export" | "multiset" => secured(subject, one, data),
        "gentones" => tones(subject, one.application, &one.place, data),
        _ => {}
    }
}

/// The extension of a file that is to be written.
fn recorded(subject: &mut Subject<'_>, one: &Use<'_>, file: &str, end: &str) {
    let file = file.rsplit('}').next().unwrap_or(file);
    let file = file.split("@@").next().unwrap_or(file);
    let name = file.rsplit('/').next().unwrap_or(file);
    if name.is_empty() || file.contains("://") {
        return;
    }
    let (message, focus, hint) = match name.rsplit_once('.') {
        Some((_, form)) if form.contains(['$', '{', '}', ')', '(']) => return,
        Some((_, form)) if RECORDED.iter().any(|known| known.eq_ignore_ascii_case(form)) => return,
        Some((_, form)) => (
            format!("{}: recordings cannot be written as .{form}: {end}", one.application),
            format!(".{form}"),
            "wav, mp3, or a raw form",
        ),
        None if name.contains('$') => return,
        None => (
            format!("{}: the form of \"{name}\" is not said: {end}", one.application),
            name.to_owned(),
            "the name ends in .wav",
        ),
    };
    wrong(subject, &one.place, message, &focus, hint);
}

/// `rtp_secure_media`: a policy, and suites after a colon.
fn secured(subject: &mut Subject<'_>, one: &Use<'_>, data: &str) {
    const POLICIES: [&str; 10] = [
        "mandatory",
        "optional",
        "forbidden",
        "true",
        "false",
        "yes",
        "no",
        "inbound",
        "outbound",
        "srtp",
    ];
    for name in ["rtp_secure_media", "rtp_secure_media_inbound", "rtp_secure_media_outbound"] {
        let Some(value) = data
            .trim_start_matches("nolocal:")
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
        else {
            continue;
        };
        let policy = value.split(':').next().unwrap_or_default();
        let suite = policy.contains("AES") || policy.contains("AEAD");
        if policy.is_empty() || policy.contains('$') || suite {
            continue;
        }
        if let Some(near) =
            nearest(policy, POLICIES).filter(|near| !near.eq_ignore_ascii_case(policy))
        {
            let message =
                format!("{name}={policy}: a policy, and suites after a colon, are wanted");
            let found = Diagnostic::error("value-type", message, Some(one.place.clone()));
            let focus = format!("{name}={policy}");
            subject.say(
                found.with_focus(focus, name.len() + 1).with_hint(format!("did you mean {near}?")),
            );
        }
    }
}

/// `tone_stream://%(on,off,hz);…`: brackets that close.
pub(super) fn tones(subject: &mut Subject<'_>, by: &str, place: &Place, data: &str) {
    if let Some(rest) = data.strip_prefix("tone_stream:").filter(|rest| !rest.starts_with("//")) {
        let message = format!("{by}: \"{data}\" is played as a file");
        let hint = format!("{TONES}{}", rest.trim_start_matches('/'));
        return wrong(subject, place, message, data, &hint);
    }
    let Some(tones) = data.strip_prefix(TONES).filter(|tones| !tones.contains('$')) else { return };
    if tones.matches('(').count() != tones.matches(')').count() {
        let message = format!("{by}: a tone whose bracket is not closed is not heard");
        wrong(subject, place, message, data, "%(milliseconds of sound, of silence, Hz)");
    }
}

/// Streams that are played and do not exist.
fn streams(subject: &mut Subject<'_>) {
    if super::targets::elsewhere(subject.tree, "configuration") {
        return;
    }
    let Some(conf) = subject.tree.configuration("local_stream.conf") else { return };
    let known: Vec<&str> =
        conf.children_named("directory").map(|one| one.attr_or_empty("name")).collect();
    // Without a stream of that name the default one is played.
    if known.is_empty() {
        return;
    }
    let mut played: Vec<(String, Place)> = Vec::new();
    for section in subject.tree.root().children_named("section") {
        for node in section.descendants() {
            for attribute in ["data", "value", "param"] {
                let Some(text) = node.attr(attribute) else { continue };
                for (at, _) in text.match_indices(STREAM) {
                    let rest = text.get(at + STREAM.len()..).unwrap_or_default();
                    let end = rest
                        .find([' ', ',', '\'', '"', ']', '}', '|', ';', '!'])
                        .unwrap_or(rest.len());
                    played.push((
                        rest.get(..end).unwrap_or_default().to_owned(),
                        node.attr_place(attribute),
                    ));
                }
            }
        }
    }
    for (name, place) in played {
        let plain = !name.is_empty() && !name.contains('$');
        let is = |known: &&str| {
            known.eq_ignore_ascii_case(&name)
                || known.rsplit_once('/').is_some_and(|(stem, _)| stem.eq_ignore_ascii_case(&name))
        };
        if !plain || known.iter().any(is) {
            continue;
        }
        let message = format!("there is no stream \"{name}\"");
        let mut found = Diagnostic::warning("stream-unknown", message, Some(place));
        if let Some(near) =
            nearest(&name, known.iter().map(|name| name.split('/').next().unwrap_or(name)))
        {
            found = found.with_hint(format!("did you mean {near}?"));
        }
        subject.say(found.with_focus(format!("{STREAM}{name}"), STREAM.len()));
    }
}

/// Levels in the maps of logs.
fn levels(subject: &mut Subject<'_>) {
    for file in ["logfile.conf", "console.conf", "syslog.conf"] {
        let Some(conf) = subject.tree.configuration(file) else { continue };
        for map in conf.descendants().filter(|node| node.name() == "map") {
            let value = map.attr_or_empty("value");
            for level in value
                .split(',')
                .map(str::trim)
                .filter(|level| !level.is_empty() && !level.contains('$'))
            {
                if level.eq_ignore_ascii_case("all") || crate::config::log_level(level).is_some() {
                    continue;
                }
                let words = [
                    "console", "debug", "info", "notice", "warning", "err", "crit", "alert", "all",
                ];
                let message = format!("there is no log level \"{level}\"");
                let mut found =
                    Diagnostic::error("value-type", message, Some(map.attr_place("value")));
                if let Some(near) = nearest(level, words) {
                    found = found.with_hint(format!("did you mean {near}?"));
                }
                subject.say(found.with_focus(level, 0));
            }
        }
    }
}

/// A range of RTP ports that holds none.
fn ports(subject: &mut Subject<'_>) {
    const DEFAULTS: (u32, u32) = (16_384, 32_768);
    let Some(conf) = subject.tree.configuration("switch.conf") else { return };
    let port = |name: &str| {
        let param = conf
            .descendants()
            .filter(|node| node.name() == "param" && node.attr_or_empty("name") == name)
            .last()?;
        Some((param.attr_or_empty("value").parse::<u32>().ok()?, param.attr_place("value")))
    };
    let (first, last) = (port("rtp-start-port"), port("rtp-end-port"));
    let Some(place) = first.as_ref().or(last.as_ref()).map(|(_, place)| place.clone()) else {
        return;
    };
    let low = first.as_ref().map_or(DEFAULTS.0, |(port, _)| *port);
    let high = last.as_ref().map_or(DEFAULTS.1, |(port, _)| *port);
    // A range that runs backwards is found where ports that clash are.
    if low != high {
        return;
    }
    let message = format!("there is no RTP port from {low} to {high}: no call has audio");
    subject.say(Diagnostic::error("port-range", message, Some(place)));
}

/// Fields and expressions of conditions that mean something else than it looks.
fn fields(subject: &mut Subject<'_>) {
    let section = subject.tree.section("dialplan");
    for node in section
        .into_iter()
        .flat_map(Node::descendants)
        .filter(|n| matches!(n.name(), "condition" | "regex"))
    {
        let field = node.attr_or_empty("field");
        if field.matches("${").count() > field.matches('}').count() {
            let message = format!("\"{field}\" is not closed and is compared as it stands");
            let found =
                Diagnostic::error("reference-unclosed", message, Some(node.attr_place("field")));
            subject.say(found.with_focus(field, 0).with_hint(format!("{field}}}")));
        }
        if !field.is_empty() && node.attr("expression") == Some("") {
            let message = "an empty expression matches everything";
            let found = Diagnostic::warning(
                "expression-empty",
                message,
                Some(node.attr_place("expression")),
            );
            subject.say(found.with_hint("^$ matches what is empty"));
        }
    }
}

/// Files and directives whose names nothing asks for.
fn names(subject: &mut Subject<'_>) {
    for node in subject.tree.root().children() {
        let name = node.name();
        if name != "section" && nearest(name, ["x-pre-process"]).is_some()
            || name.eq_ignore_ascii_case("X-PREPROCESS")
        {
            let message = format!("<{name}> is not looked at");
            let found = Diagnostic::error("element-unknown", message, Some(node.place()));
            subject.say(found.with_focus(name, 0).with_hint("did you mean <X-PRE-PROCESS>?"));
        }
    }
    let known = subject.catalogue.configurations();
    let section = subject.tree.section("configuration");
    for conf in section.into_iter().flat_map(|section| section.children_named("configuration")) {
        let name = conf.attr_or_empty("name");
        if known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        let Some(near) = nearest(name, known.iter().copied()) else { continue };
        let message = format!("no module asks for \"{name}\"");
        let found =
            Diagnostic::warning("configuration-unknown", message, Some(conf.attr_place("name")));
        subject.say(found.with_focus(name, 0).with_hint(format!("did you mean {near}?")));
    }
}
