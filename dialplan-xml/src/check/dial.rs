//! Dial strings: brackets that do not close, options that are none, profiles, users and groups that
//! do not exist.

use std::collections::BTreeSet;

use super::Subject;
use super::names::{addresses, legs_to};
use super::uses::Use;
use super::words::{cause, option};
use crate::catalogue::nearest;
use crate::config::SofiaConf;
use crate::{Diagnostic, Node, Place};

/// Applications whose argument is a dial string.
pub(super) const DIALLERS: [&str; 2] = ["bridge", "att_xfer"];

/// What dial strings may name.
pub(super) struct Known {
    /// SIP profiles and their other names; `None` when these come from elsewhere.
    profiles: Option<BTreeSet<String>>,
    /// Whether users come from elsewhere.
    directory_elsewhere: bool,
    default_domain: String,
}

impl Known {
    pub(super) fn read(subject: &Subject<'_>) -> Self {
        let elsewhere = |section: &str| super::targets::elsewhere(subject.tree, section);
        let sofia = SofiaConf::read(subject.tree.configuration("sofia.conf"));
        let mut profiles: BTreeSet<String> = BTreeSet::new();
        for profile in &sofia.profiles {
            profiles.insert(profile.name.to_lowercase());
        }
        let conf = subject.tree.configuration("sofia.conf");
        for node in conf.into_iter().flat_map(Node::descendants) {
            match node.name() {
                "alias" => drop(profiles.insert(node.attr_or_empty("name").to_lowercase())),
                "domain" if node.attr("alias").is_some_and(crate::text::is_true) => {
                    profiles.insert(node.attr_or_empty("name").to_lowercase());
                    for domain in subject.directory.domains() {
                        profiles.insert(domain.name.to_lowercase());
                    }
                }
                _ => {}
            }
        }
        let unsure = elsewhere("configuration") || profiles.is_empty();
        let default = subject.globals.get("domain").unwrap_or_default().to_owned();
        Self {
            profiles: (!unsure).then_some(profiles),
            directory_elsewhere: elsewhere("directory"),
            default_domain: default,
        }
    }
}

pub(super) fn check(subject: &mut Subject<'_>, uses: &[Use<'_>]) {
    let known = Known::read(subject);
    for one in uses {
        if DIALLERS.iter().any(|d| d.eq_ignore_ascii_case(one.application)) {
            dial_string(subject, &known, one.data, &one.place);
        }
    }
    let directory = subject.tree.section("directory");
    let params = directory.into_iter().flat_map(Node::descendants).filter(|n| n.name() == "param");
    for param in params.filter(|p| p.attr_or_empty("name").ends_with("dial-string")) {
        dial_string(subject, &known, param.attr_or_empty("value"), &param.attr_place("value"));
    }
}

/// Everything about one dial string.
fn dial_string(subject: &mut Subject<'_>, known: &Known, text: &str, place: &Place) {
    if let Some((at, bracket)) = unbalanced(text) {
        let rest = text.get(at..).unwrap_or_default();
        let shown: String = rest.chars().take(40).collect();
        let reference = at > 0 && text.get(at - 1..at) == Some("$");
        let shown = if reference { format!("${shown}") } else { shown };
        let message = match bracket {
            '{' if reference => "this ${ is never closed".to_owned(),
            '{' | '[' | '<' => format!("the {bracket} before the options is never closed"),
            _ => format!("this {bracket} closes nothing"),
        };
        let found = Diagnostic::error("dial-string-brackets", message, Some(place.clone()));
        subject.say(
            found.with_focus(shown, 0).with_hint(
                "options stand in {…} for all legs, in [...] for one, before the endpoint",
            ),
        );
        return;
    }
    for options in option_lists(text) {
        for item in options {
            option(subject, item, place);
        }
    }
    for plain in addresses(text).into_iter().map(str::trim) {
        if !plain.is_empty() && !plain.contains(['$', '/']) {
            let message = format!("\"{plain}\" names no endpoint: nothing can be called");
            let found = Diagnostic::error("dial-string-endpoint", message, Some(place.clone()));
            let hint = "a leg is written endpoint/address: user/1000, sofia/gateway/name/number";
            subject.say(found.with_focus(plain, 0).with_hint(hint));
        }
    }
    let legs = addresses(text);
    if legs.len() > 1 && legs.iter().any(|leg| leg.trim().is_empty()) {
        let message = "an empty leg: it calls no destination";
        let found = Diagnostic::warning("dial-string-empty", message, Some(place.clone()));
        let hint = "legs are separated by one comma (all at once) or one | (one after the other)";
        subject.say(found.with_hint(hint));
    }
    profiles(subject, known, text, place);
    users(subject, known, text, place);
    for leg in legs_to(text, "error") {
        let word = leg.split(['/', ':']).next().unwrap_or_default();
        cause(subject, word, place);
    }
}

fn profiles(subject: &mut Subject<'_>, known: &Known, text: &str, place: &Place) {
    let Some(profiles) = &known.profiles else { return };
    for leg in legs_to(text, "sofia") {
        let (profile, rest) = leg.split_once('/').unwrap_or((leg, ""));
        if profile.contains('$') {
            continue;
        }
        if profile.eq_ignore_ascii_case("gateway") {
            let number = rest.split_once('/').map(|(_, number)| number);
            if number.is_none_or(str::is_empty) && !rest.contains('$') {
                let message = format!("\"sofia/{leg}\" says no number to call");
                let found = Diagnostic::error("dial-string-address", message, Some(place.clone()));
                subject.say(
                    found
                        .with_focus(format!("sofia/{leg}"), 0)
                        .with_hint("sofia/gateway/name/number"),
                );
            }
            continue;
        }
        if !profiles.contains(&profile.to_lowercase()) {
            let message = format!("there is no SIP profile \"{profile}\": this call fails");
            let mut found = Diagnostic::error("profile-unknown", message, Some(place.clone()));
            let names = profiles.iter().map(String::as_str).chain(["gateway"]);
            if let Some(near) = nearest(profile, names) {
                found = found.with_hint(format!("did you mean \"{near}\"?"));
            }
            subject.say(found.with_focus(format!("sofia/{profile}"), "sofia/".len()));
        } else if rest.is_empty() {
            let message = format!("\"sofia/{leg}\" has no address to call");
            let found = Diagnostic::error("dial-string-address", message, Some(place.clone()));
            subject.say(
                found
                    .with_focus(format!("sofia/{leg}"), 0)
                    .with_hint("sofia/profile/number@host, or sofia/profile/number%domain"),
            );
        }
    }
}

fn users(subject: &mut Subject<'_>, known: &Known, text: &str, place: &Place) {
    if known.directory_elsewhere || subject.directory.domains().next().is_none() {
        return;
    }
    for endpoint in ["user", "group"] {
        for leg in legs_to(text, endpoint) {
            let leg = leg.split(['+', ':']).next().unwrap_or_default();
            let (name, domain) = leg.split_once('@').unwrap_or((leg, &known.default_domain));
            if leg.contains('$') || name.is_empty() || domain.is_empty() {
                continue;
            }
            let place = Some(place.clone());
            let focus = format!("{endpoint}/{leg}");
            let Some(found) = subject.directory.find_domain(domain) else {
                let message = format!("the directory has no domain \"{domain}\": no user is found");
                let found = Diagnostic::error("domain-unknown", message, place);
                let skip = focus.find('@').map_or(0, |at| at + 1);
                subject.say(found.with_focus(focus, skip));
                continue;
            };
            let exists = match endpoint {
                "user" => subject.directory.find_user(name, domain).is_some(),
                _ => found.groups.iter().any(|g| g.name.eq_ignore_ascii_case(name)),
            };
            if !exists {
                let message =
                    format!("there is no {endpoint} \"{name}\" in {domain}: this call fails");
                let code = if endpoint == "user" { "user-unknown" } else { "group-unknown" };
                let found = Diagnostic::error(code, message, place);
                subject.say(found.with_focus(focus, endpoint.len() + 1));
            }
        }
    }
}

/// The first bracket that does not pair, with its position.
pub(super) fn unbalanced(text: &str) -> Option<(usize, char)> {
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '\'' => quoted = !quoted && text.get(at + 1..).is_some_and(|rest| rest.contains('\'')),
            _ if quoted => {}
            '{' | '[' => open.push((at, c)),
            '}' | ']' => {
                let fits = if c == '}' { '{' } else { '[' };
                match open.last() {
                    Some((_, last)) if *last == fits => drop(open.pop()),
                    // Character classes in the expressions of API commands need not pair.
                    Some((_, '{')) if c == ']' => {}
                    _ if open.is_empty() => return Some((at, c)),
                    _ => return open.last().copied(),
                }
            }
            _ => {}
        }
    }
    if let Some(inside) = text.trim_start().strip_prefix('<')
        && !inside.contains('>')
    {
        return Some((text.len() - inside.len() - 1, '<'));
    }
    open.first().copied()
}

/// The options in front of a dial string and of its legs, each list split at its commas.
pub(super) fn option_lists(text: &str) -> Vec<Vec<&str>> {
    let mut lists = Vec::new();
    let mut depth = 0_usize;
    let mut from = None;
    let bytes = text.as_bytes();
    for (at, b) in bytes.iter().enumerate() {
        match b {
            b'{' | b'[' => {
                let before = at.checked_sub(1).and_then(|before| bytes.get(before)).copied();
                let leads = matches!(before, None | Some(b' ' | b',' | b'|' | b'}' | b']' | b'>'));
                if depth == 0 && leads {
                    from = Some(at + 1);
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0
                    && let Some(from) = from.take()
                {
                    lists.push(commas(text.get(from..at).unwrap_or_default()));
                }
            }
            _ => {}
        }
    }
    lists
}

/// Splits options at commas outside quotes and brackets; `^^;` chooses another separator.
fn commas(text: &str) -> Vec<&str> {
    let (text, separator) = crate::text::chosen_delimiter(text, ',');
    let (mut items, mut from, mut depth, mut quoted) = (Vec::new(), 0, 0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            c if c == separator && depth == 0 && !quoted => {
                items.extend(text.get(from..at));
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    items.extend(text.get(from..));
    items.retain(|item| !item.trim().is_empty());
    items
}

#[cfg(test)]
mod tests {
    use super::{option_lists, unbalanced};

    #[test]
    fn brackets_that_do_not_pair_are_found() {
        assert_eq!(unbalanced("{a=b}sofia/x/1@[::1]:5060"), None);
        assert_eq!(unbalanced("{a=${x},b='it{'}[c=d]user/1|error/busy"), None);
        assert_eq!(unbalanced("<a=b>{c=d}user/1"), None);
        assert_eq!(unbalanced("{a=b sofia/x/1"), Some((0, '{')));
        assert_eq!(unbalanced("{a=b}[c=d sofia/x/1"), Some((5, '[')));
        assert_eq!(unbalanced("a=b}sofia/x/1"), Some((3, '}')));
        assert_eq!(unbalanced("user/${x"), Some((6, '{')));
        assert_eq!(unbalanced("<a=b user/1"), Some((0, '<')));
    }

    #[test]
    fn options_are_read_apart() {
        let lists = option_lists("{a=b,c='d,e'}[f=${g(h,i)}]user/1,[^^;j=k,l;m=n]user/2");
        assert_eq!(lists, [vec!["a=b", "c='d,e'"], vec!["f=${g(h,i)}"], vec!["j=k,l", "m=n"]]);
        assert!(option_lists("sofia/x/1@[::1]").is_empty());
    }
}
