//! Users that are there twice, pointers to nobody, passwords anybody guesses.

use std::collections::HashMap;

use super::Subject;
use crate::directory::{Directory, User};
use crate::{Diagnostic, Place, Severity};

pub(super) fn check(subject: &mut Subject<'_>) {
    let directory: Directory = subject.directory.clone();
    let mut weak: Vec<(User, &'static str)> = Vec::new();
    for domain in directory.domains() {
        let users: Vec<_> = directory.users(domain).collect();
        duplicates(subject, &users);
        pointers(subject, &directory, &domain.name, &users);
        weak.extend(
            users.into_iter().filter_map(|u| Some((weakness(&u)?, u))).map(|(w, u)| (u, w)),
        );
    }
    passwords(subject, &weak);
}

fn duplicates(subject: &mut Subject<'_>, users: &[User]) {
    let mut seen: HashMap<String, &Place> = HashMap::new();
    for user in users {
        for name in [Some(&*user.id), user.number_alias()].into_iter().flatten() {
            let Some(first) = seen.get(&name.to_ascii_lowercase()) else {
                seen.insert(name.to_ascii_lowercase(), &user.place);
                continue;
            };
            if **first == user.place {
                continue;
            }
            let message = format!("user \"{name}\" of {} is never found", user.domain);
            let place = Some(user.place.clone());
            let found = Diagnostic::warning("user-duplicate", message, place);
            subject.say(found.with_related((*first).clone(), "this one answers to that name"));
        }
    }
}

fn pointers(subject: &mut Subject<'_>, directory: &Directory, domain: &str, users: &[User]) {
    let Some(found) = directory.find_domain(domain) else { return };
    let known = |id: &str| users.iter().any(|u| u.id.eq_ignore_ascii_case(id));
    for group in &found.groups {
        for pointer in group.members.iter().filter(|m| m.pointer && !known(&m.id)) {
            let message = format!(
                "group \"{}\" points to user \"{}\", who does not exist",
                group.name, pointer.id
            );
            let place = Some(pointer.place.clone());
            subject.say(Diagnostic::warning("pointer-dangling", message, place));
        }
    }
    for user in users {
        let first = directory.find_user(&user.id, domain);
        if let Some(first) = first.filter(|f| f.pointer) {
            let message = format!("user \"{}\" is hidden by a pointer before it", user.id);
            let place = Some(user.place.clone());
            let found = Diagnostic::error("user-hidden", message, place);
            let hint = "groups of pointers come after the group with the users";
            subject.say(found.with_related(first.place, "the pointer").with_hint(hint));
        }
    }
}

/// What is wrong with a user's password.
fn weakness(user: &User) -> Option<&'static str> {
    if user.params.get("a1-hash").is_some() || user.lookup("attr", "type").is_some() {
        return None;
    }
    weak(user.params.get("password")?, &user.id)
}

/// What is wrong with a password of somebody of this name.
pub(super) fn weak(password: &str, name: &str) -> Option<&'static str> {
    const COMMON: [&str; 10] = [
        "1234",
        "12345",
        "123456",
        "password",
        "secret",
        "changeme",
        "admin",
        "freeswitch",
        "cluecon",
        "abc123",
    ];
    if password.is_empty() {
        Some("empty")
    } else if COMMON.iter().any(|c| c.eq_ignore_ascii_case(password)) {
        Some("one of the first anybody tries")
    } else if password.eq_ignore_ascii_case(name) {
        Some("the same as the name")
    } else if password.len() < 8 && password.bytes().all(|b| b.is_ascii_digit()) {
        Some("a short number")
    } else if password.len() < 6 {
        Some("very short")
    } else {
        None
    }
}

/// One diagnostic per kind of weakness; twenty users with one default password are one problem.
fn passwords(subject: &mut Subject<'_>, weak: &[(User, &'static str)]) {
    let mut kinds: Vec<&str> = weak.iter().map(|(_, w)| *w).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let mut users = weak.iter().filter(|(_, w)| *w == kind).map(|(u, _)| u);
        let Some(first) = users.next() else { continue };
        let others = match users.count() {
            0 => String::new(),
            1 => " (and that of one more user)".to_owned(),
            n => format!(" (and those of {n} more users)"),
        };
        let message = format!("the password of user \"{}\" is {kind}{others}", first.id);
        let place = first.params.param("password").map(|p| p.place.clone());
        let found = Diagnostic::new(Severity::Warning, "password-weak", message, place);
        subject.say(found.with_hint("set long random passwords before the first phone registers"));
    }
}
