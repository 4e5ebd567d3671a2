//! What a client may use: methods, commands, event channels, as its user's `jsonrpc-allowed-*` parameters say.

use std::collections::BTreeSet;

/// Names one list may have.
const MOST_NAMES: usize = 1000;

/// One list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// The user has no such parameter.
    #[default]
    Unset,
    /// `__ANY__`.
    Any,
    /// These.
    Only(BTreeSet<String>),
}

impl Allowed {
    /// Reads the parameter's value: names separated by commas, or by blanks where there is one.
    pub(crate) fn parse(value: Option<&str>) -> Self {
        match value.filter(|value| !value.is_empty()) {
            None => Self::Unset,
            Some(value) if value.eq_ignore_ascii_case("__ANY__") => Self::Any,
            Some(value) => Self::Only(names(value).map(str::to_owned).collect()),
        }
    }

    /// Adds names, or takes them away (`verto perm`, `verto noperm`).
    pub(crate) fn change(&mut self, value: &str, add: bool) {
        if let Self::Unset = self {
            *self = Self::Only(BTreeSet::new());
        }
        let Self::Only(list) = self else { return };
        for name in names(value) {
            if !add {
                list.remove(name);
            } else if list.len() < MOST_NAMES {
                list.insert(name.to_owned());
            }
        }
    }

    /// Is the name in the list, or what stands before its first dot? `unset` says what holds without a list.
    pub(crate) fn has_family(&self, name: &str, unset: bool) -> bool {
        let family = name.split_once('.').map(|(family, _)| family);
        self.has(name, unset) || family.is_some_and(|family| self.has(family, unset))
    }

    /// Is the name in the list?
    pub(crate) fn has(&self, name: &str, unset: bool) -> bool {
        match self {
            Self::Unset => unset,
            Self::Any => true,
            Self::Only(list) => list.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)),
        }
    }

    /// May a command with these arguments run? Those that run other commands need these allowed too.
    pub(crate) fn has_command(&self, command: &str, argument: &str) -> bool {
        const RUN_OTHERS: [&str; 5] = ["bgapi", "sched_api", "eval", "expand", "xml_wrap"];
        let mut words =
            std::iter::once(command).chain(argument.split(' ').filter(|w| !w.is_empty()));
        let runs_others =
            |word: &str| RUN_OTHERS.iter().any(|name| name.eq_ignore_ascii_case(word));
        loop {
            let Some(word) = words.next() else { return true };
            if !self.has(word, false) {
                return false;
            }
            if !runs_others(word) {
                return true;
            }
        }
    }
}

fn names(value: &str) -> impl Iterator<Item = &str> {
    let delimiter = if value.contains(' ') { ' ' } else { ',' };
    value.split(delimiter).map(str::trim).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_allows_what_it_names_and_families_of_it() {
        let list = Allowed::parse(Some("verto,echo"));
        assert!(list.has_family("verto.invite", false) && list.has_family("echo", false));
        assert!(!list.has_family("jsapi", true) && !list.has_family("vertox.invite", true));
        assert!(Allowed::parse(Some("__ANY__")).has("x", false));
        let none = Allowed::parse(None);
        assert!(none.has("x", true) && !none.has("x", false));
        let mut list = Allowed::parse(Some("one two"));
        list.change("three", true);
        list.change("one", false);
        assert_eq!(list, Allowed::Only(["three", "two"].map(String::from).into()));
    }

    #[test]
    fn a_command_that_runs_others_needs_them_allowed() {
        let list = Allowed::parse(Some("bgapi,status,eval"));
        for (command, argument, allowed) in [
            ("status", "", true),
            ("system", "ls", false),
            ("bgapi", "status", true),
            ("bgapi", "system ls", false),
            ("bgapi", "eval system", false),
            ("bgapi", "", true),
        ] {
            assert_eq!(list.has_command(command, argument), allowed, "{command} {argument}");
        }
        assert!(!Allowed::Unset.has_command("status", ""));
    }
}
