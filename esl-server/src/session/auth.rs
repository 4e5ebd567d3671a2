//! Logging in, and what a user may then do.

use std::collections::HashSet;
use std::fmt;

use crate::event::EventName;
use crate::switch::{EslUser, is_true};

/// Compares a secret with what was given. The time taken depends on what was given only: neither where they differ nor
/// how long the secret is can be told from it.
pub(crate) fn same_secret(given: &str, secret: &str) -> bool {
    let (given, secret) = (given.as_bytes(), secret.as_bytes());
    let mut difference = u8::from(given.len() != secret.len());
    for (at, byte) in given.iter().enumerate() {
        difference |= byte ^ secret.get(at % secret.len().max(1)).copied().unwrap_or(0);
    }
    std::hint::black_box(difference) == 0
}

/// How a client proves who it is.
pub(crate) enum Login {
    /// `auth`: the one password of the listener.
    Password(String),
    /// `userauth`: a user of the directory.
    User(UserLogin),
}

impl Login {
    /// The account it is for; `None` for the listener's own password.
    pub(crate) fn account(&self) -> Option<String> {
        match self {
            Self::Password(_) => None,
            Self::User(login) => Some(format!("{}@{}", login.user, login.domain)),
        }
    }
}

/// The credentials of a `userauth`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UserLogin {
    pub(crate) user: String,
    pub(crate) domain: String,
    pub(crate) password: String,
}

impl fmt::Debug for UserLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, domain, .. } = self;
        f.debug_struct("UserLogin")
            .field("user", user)
            .field("domain", domain)
            .finish_non_exhaustive()
    }
}

impl UserLogin {
    /// Reads `user@domain:pass` or `user:pass@domain`; `None` when user or domain is missing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (user, domain) = text.split_once('@')?;
        let (domain, behind) = domain.split_once(':').unwrap_or((domain, ""));
        let (user, password) = user.split_once(':').unwrap_or((user, behind));
        let login = Self { user: user.into(), domain: domain.into(), password: password.into() };
        (!user.is_empty() && !domain.is_empty()).then_some(login)
    }

    /// Whether a directory entry admits this login. Takes the same time when there is none.
    pub(crate) fn is_valid(&self, entry: Option<&EslUser>) -> bool {
        let password = entry.and_then(|entry| entry.password.as_deref()).unwrap_or_default();
        same_secret(&self.password, password) && !password.is_empty()
    }
}

/// What a connection may ask for. The default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permissions {
    events: Option<AllowedEvents>,
    api: Option<HashSet<String>>,
    no_log: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct AllowedEvents {
    types: HashSet<EventName>,
    subclasses: HashSet<String>,
}

/// API commands that run another one, named by their first argument.
const WRAPPERS: [&str; 5] = ["bgapi", "sched_api", "eval", "expand", "xml_wrap"];

impl Permissions {
    /// The restrictions of a directory entry.
    pub(crate) fn of(user: &EslUser) -> Self {
        Self {
            events: user.allowed_events.as_deref().map(AllowedEvents::parse),
            api: user.allowed_api.as_deref().map(|list| items(list).map(str::to_owned).collect()),
            no_log: user.allowed_log.as_deref().is_some_and(|text| !is_true(text)),
        }
    }

    pub(crate) fn event(&self, name: EventName) -> bool {
        self.events.as_ref().is_none_or(|allowed| {
            allowed.types.contains(&name) || allowed.types.contains(&EventName::All)
        })
    }

    pub(crate) fn subclass(&self, subclass: &str) -> bool {
        self.events.as_ref().is_none_or(|allowed| allowed.subclasses.contains(subclass))
    }

    /// Whether there is any API command that may not run.
    pub(crate) const fn restrict_api(&self) -> bool {
        self.api.is_some()
    }

    /// Whether an API line may run; for a wrapper, also what it wraps.
    pub(crate) fn api(&self, line: &str) -> bool {
        let Some(allowed) = &self.api else {
            return true;
        };
        let line = line.trim();
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        if command.eq_ignore_ascii_case("json")
            && let Some(inner) = within_json(rest)
        {
            return allowed.contains(command) && self.api(&inner);
        }
        allowed.contains(command)
            && (!WRAPPERS.contains(&command)
                || rest.trim().is_empty()
                // What stands in `${…}` would run too, whatever it is.
                || (!rest.contains("${") && self.api(rest)))
    }

    pub(crate) const fn log(&self) -> bool {
        !self.no_log
    }
}

/// The API line that a request of the `json` command would run (`fsapi`), if it would.
fn within_json(request: &str) -> Option<String> {
    let request: serde_json::Value = serde_json::from_str(request).ok()?;
    if request.get("command")?.as_str()? != "fsapi" {
        return None;
    }
    let text = |name| request.get("data")?.get(name)?.as_str();
    Some(format!("{} {}", text("cmd")?, text("arg").unwrap_or_default()))
}

impl AllowedEvents {
    fn parse(list: &str) -> Self {
        let mut allowed = Self::default();
        let mut custom = false;
        for item in items(list) {
            if custom {
                allowed.subclasses.insert(item.to_owned());
            } else if let Some(name) = EventName::parse(item) {
                allowed.types.insert(name);
                custom = name == EventName::Custom;
            }
        }
        allowed
    }
}

/// Items of a list: separated by spaces if it has any, else by commas.
fn items(list: &str) -> impl Iterator<Item = &str> {
    let separator = if list.contains(' ') { ' ' } else { ',' };
    list.split(separator).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restricted(events: &str, api: &str) -> Permissions {
        Permissions::of(&EslUser {
            allowed_events: Some(events.into()),
            allowed_api: Some(api.into()),
            ..EslUser::default()
        })
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same_secret("ClueCon", "ClueCon"));
        assert!(!same_secret("ClueCon", "cluecon"));
        assert!(!same_secret("Clue", "ClueCon"));
        assert!(!same_secret("", "a"));
    }

    #[test]
    fn a_login_may_put_the_password_on_either_side() {
        for text in ["anna@golden.test:p:w", "anna:p:w@golden.test"] {
            let login = UserLogin::parse(text).unwrap();
            assert_eq!(
                (&*login.user, &*login.domain, &*login.password),
                ("anna", "golden.test", "p:w")
            );
        }
        let login = UserLogin::parse("anna:in front@golden.test:behind").unwrap();
        assert_eq!((&*login.domain, &*login.password), ("golden.test", "in front"));
        for bad in ["anna", "anna:x", "@golden.test:x", "anna@:x", ""] {
            assert!(UserLogin::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_empty_password_never_admits() {
        let login = UserLogin::parse("a@b").unwrap();
        let empty = EslUser { password: Some(String::new()), ..EslUser::default() };
        assert!(!login.is_valid(Some(&empty)));
        assert!(!login.is_valid(Some(&EslUser::default())) && !login.is_valid(None));
    }

    #[test]
    fn json_runs_nothing_that_is_not_allowed_by_itself() {
        let permissions = restricted("all", "json status");
        let request = |command: &str| {
            format!(r#"json {{"command":"fsapi","data":{{"cmd":"{command}","arg":"id"}}}}"#)
        };
        assert!(permissions.api(&request("status")));
        assert!(!permissions.api(&request("system")));
        assert!(permissions.api(r#"json {"command":"status","data":{}}"#));
        assert!(permissions.api("json nonsense"));
        assert!(!restricted("all", "status").api(&request("status")));
    }

    #[test]
    fn a_wrapper_lets_nothing_through_that_expansion_would_run() {
        let permissions = restricted("all", "eval expand status");
        assert!(permissions.api("eval status"));
        assert!(!permissions.api("eval status ${system(id)}"));
        assert!(!permissions.api("expand system id"));
    }

    #[test]
    fn events_and_subclasses_are_allowed_by_name() {
        let some = restricted("HEARTBEAT CUSTOM a::b HEARTBEAT", "");
        assert!(some.event(EventName::Heartbeat) && some.event(EventName::Custom));
        assert!(!some.event(EventName::All));
        assert!(some.subclass("a::b") && some.subclass("HEARTBEAT") && !some.subclass("A::b"));
        let all = restricted("all", "");
        assert!(all.event(EventName::Dtmf) && !all.subclass("a::b"));
        assert!(restricted("DTMF,TALK", "").event(EventName::Talk));
    }

    #[test]
    fn wrappers_need_permission_for_what_they_wrap() {
        let some = restricted("", "status,bgapi,eval");
        assert!(some.api("status") && some.api("bgapi status") && some.api("bgapi eval status"));
        assert!(!some.api("version") && !some.api("bgapi version") && !some.api("STATUS"));
    }
}
