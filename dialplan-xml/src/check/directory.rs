//! Users that are there twice, pointers to missing users, passwords that are easily guessed.

use std::collections::HashMap;

use super::Subject;
use crate::catalogue::{Support, nearest};
use crate::config::SofiaConf;
use crate::directory::{Directory, Domain, User};
use crate::{Diagnostic, Node, Place, Severity};

pub(super) fn check(subject: &mut Subject<'_>) {
    let directory: Directory = subject.directory.clone();
    let mut weak: Vec<(User, &'static str)> = Vec::new();
    for domain in directory.domains() {
        let users: Vec<_> = directory.users(domain).collect();
        duplicates(subject, &users);
        pointers(subject, &directory, &domain.name, &users);
        without_password(subject, domain, &users);
        weak.extend(
            users.into_iter().filter_map(|u| Some((weakness(&u)?, u))).map(|(w, u)| (u, w)),
        );
    }
    passwords(subject, &weak);
    misspelt_params(subject);
    domains(subject, &directory);
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

/// Users whose phones have nothing to prove who they are with.
fn without_password(subject: &mut Subject<'_>, domain: &Domain, users: &[User]) {
    let enough = ["password", "a1-hash", "allow-empty-password", "reverse-auth-user"];
    for user in users {
        let special = user.pointer || user.lookup("attr", "type").is_some();
        let by_address = ["cidr", "ip"].iter().any(|a| user.lookup("attr", a).is_some());
        // Templates and desk sets of other protocols have nothing that a SIP phone is given.
        let given = |name: &str| {
            let known = PARAMS.iter().any(|p| p.eq_ignore_ascii_case(name));
            !name.starts_with("skinny-") && (known || nearest(name, PARAMS).is_some())
        };
        let groups = domain.groups.iter().map(|group| &group.params);
        let shared: Vec<_> = groups.chain([&domain.params]).flatten().map(|p| &p.place).collect();
        let mut own = user.params.iter().filter(|p| !shared.contains(&&p.place));
        let phone = own.any(|p| given(&p.name)) || user.variables.get("user_context").is_some();
        let enough = enough.iter().any(|p| user.params.get(p).is_some());
        if special || by_address || enough || !phone {
            continue;
        }
        let message = format!("user \"{}\" has no password: its phone cannot register", user.id);
        let place = Some(user.place.clone());
        let found = Diagnostic::warning("user-no-password", message, place);
        subject.say(found.with_hint("add <param name=\"password\" value=\"…\"/> to its params"));
    }
}

/// Parameters of users that look misspelt.
fn misspelt_params(subject: &mut Subject<'_>) {
    let section = subject.tree.section("directory");
    let params: Vec<_> =
        section.into_iter().flat_map(Node::descendants).filter(|n| n.name() == "param").collect();
    for param in params {
        let around = std::iter::successors(param.parent(), |n| n.parent());
        if around.into_iter().any(|n| n.name() == "gateway") {
            gateway_param(subject, param);
            continue;
        }
        let name = param.attr_or_empty("name");
        if PARAMS.iter().any(|p| p.eq_ignore_ascii_case(name)) {
            continue;
        }
        if let Some(near) = nearest(name, PARAMS) {
            let message = format!("nothing reads the user's parameter \"{name}\"");
            let place = Some(param.attr_place("name"));
            let found = Diagnostic::warning("param-unknown", message, place);
            subject.say(found.with_hint(format!("did you mean \"{near}\"?")));
        }
    }
}

fn gateway_param(subject: &mut Subject<'_>, param: Node<'_>) {
    let name = param.attr_or_empty("name");
    let verdict = subject.catalogue.param("sofia.conf", "gateway", name);
    if verdict != Some(Support::Unknown) {
        return;
    }
    let message = format!("a gateway has no parameter \"{name}\"");
    let mut found = Diagnostic::warning("param-unknown", message, Some(param.attr_place("name")));
    if let Some(near) = subject.catalogue.nearest_param("sofia.conf", "gateway", name) {
        found = found.with_hint(format!("did you mean \"{near}\"?"));
    }
    subject.say(found);
}

/// Parameters of users, groups and domains the reference's modules read.
const PARAMS: [&str; 58] = [
    "password",
    "a1-hash",
    "allow-empty-password",
    "reverse-auth-user",
    "reverse-auth-pass",
    "dial-string",
    "group-dial-string",
    "verto-dial-string",
    "auth-acl",
    "sip-forbid-register",
    "max-registrations-per-extension",
    "vm-password",
    "vm-a1-hash",
    "vm-enabled",
    "vm-domain",
    "vm-cc",
    "vm-mailto",
    "vm-mailto-all",
    "vm-mailfrom",
    "vm-notify-mailto",
    "vm-email-all-messages",
    "vm-notify-email-all-messages",
    "vm-attach-file",
    "vm-keep-local-after-email",
    "vm-alternate-greet-id",
    "vm-message-ext",
    "vm-disk-quota",
    "vm-operator-extension",
    "vm-storage-dir",
    "vm-timezone",
    "vm-template-file",
    "vm-skip-instructions",
    "vm-auto-delete",
    "mwi-account",
    "http-allowed-api",
    "http-realm",
    "jsonrpc-allowed-methods",
    "jsonrpc-allowed-jsapi",
    "jsonrpc-allowed-fsapi",
    "jsonrpc-allowed-event-channels",
    "verto-context",
    "verto-dialplan",
    "directory-visible",
    "directory-exten-visible",
    "esl-password",
    "esl-allowed-log",
    "esl-allowed-events",
    "esl-allowed-api",
    "esl-disable-command-logging",
    "has-voicemail",
    "presence-id",
    "register-gateway",
    "ringback",
    "skinny-firmware-version",
    "skinny-soft-key-set-set",
    "login",
    "user",
    "number-alias",
];

/// Realms and domains profiles insist on and the directory does not have.
fn domains(subject: &mut Subject<'_>, directory: &Directory) {
    let none = directory.domains().next().is_none();
    if none || super::targets::elsewhere(subject.tree, "directory") {
        return;
    }
    let sofia = SofiaConf::read(subject.tree.configuration("sofia.conf"));
    for profile in &sofia.profiles {
        for name in
            ["force-register-domain", "force-subscription-domain", "force-register-db-domain"]
        {
            let Some(param) = profile.settings.as_ref().and_then(|s| s.param(name)) else {
                continue;
            };
            let domain = &*param.value;
            if domain.is_empty() || domain.contains("${") || directory.find_domain(domain).is_some()
            {
                continue;
            }
            let message = format!(
                "{name} is \"{domain}\", and the directory has no such domain: no phone can register"
            );
            let found = Diagnostic::error("domain-unknown", message, Some(param.place.clone()));
            let known: Vec<_> = directory.domains().map(|d| d.name.to_string()).collect();
            subject
                .say(found.with_focus(domain, 0).with_hint(format!("it has {}", known.join(", "))));
        }
    }
    for domain in directory.domains() {
        if domain.name.is_empty() {
            let message = "this domain has an empty name, and no user is found in it";
            let place = Some(domain.place.clone());
            let found = Diagnostic::error("domain-unknown", message, place);
            subject.say(found.with_hint("a $${variable} that is not set expands to nothing"));
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

/// What is wrong with the password of a user of this name.
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
