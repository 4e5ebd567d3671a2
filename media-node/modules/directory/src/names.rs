//! The names of a domain, and which of them some keys of a keypad may mean.

use std::sync::Arc;

use dialplan_xml::directory::User;
use switch_core::switch::Switch;
use switch_core::text::is_true;
use switch_core::xml;

/// A user who can be dialled by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    // First, as they are sorted by it.
    last: String,
    first: String,
    pub(crate) full: String,
    pub(crate) extension: String,
    pub(crate) shows_extension: bool,
}

/// Which part of a name is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SearchBy {
    FirstName,
    LastName,
    Either,
}

impl SearchBy {
    /// `search-order`.
    pub(crate) fn of(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "first_name" => Self::FirstName,
            "first_and_last_name" => Self::Either,
            _ => Self::LastName,
        }
    }

    /// What `switch-order-key` leads to.
    pub(crate) fn other(self) -> Self {
        if self == Self::LastName { Self::FirstName } else { Self::LastName }
    }
}

/// The keys a text is typed with; what is on no key is left out.
fn keys(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c.to_ascii_uppercase() {
            'A'..='C' => Some('2'),
            'D'..='F' => Some('3'),
            'G'..='I' => Some('4'),
            'J'..='L' => Some('5'),
            'M'..='O' => Some('6'),
            'P'..='S' => Some('7'),
            'T'..='V' => Some('8'),
            'W'..='Z' => Some('9'),
            _ => None,
        })
        .collect()
}

impl Name {
    /// `None` for one who has no name or is not to be found.
    fn of(user: &User, use_number_alias: bool) -> Option<Self> {
        if user.params.last("directory-visible").is_some_and(|v| !is_true(v)) {
            return None;
        }
        let variable = |name: &str| user.variables.last(name);
        let full = variable("directory_full_name").or_else(|| variable("effective_caller_id_name"));
        let full = full.filter(|full| !full.is_empty())?.to_owned();
        let (first, last) = full.rsplit_once(' ').unwrap_or((&full, &full));
        let alias = user.number_alias().filter(|alias| use_number_alias && !alias.is_empty());
        Some(Self {
            last: last.to_owned(),
            first: first.to_owned(),
            extension: alias.unwrap_or(&user.id).to_owned(),
            shows_extension: user.params.last("directory-exten-visible").is_none_or(is_true),
            full,
        })
    }

    fn fits(&self, by: SearchBy, typed: &str) -> bool {
        let begins = |text: &str| keys(text).starts_with(typed);
        match by {
            SearchBy::FirstName => begins(&self.first),
            SearchBy::LastName => begins(&self.last),
            SearchBy::Either => begins(&self.first) || begins(&self.last),
        }
    }
}

/// All names of a domain, or of one of its groups.
pub(crate) async fn all(
    switch: &Arc<Switch>,
    domain: &str,
    group: Option<&str>,
    use_number_alias: bool,
) -> Vec<Name> {
    let directory = xml::directory(switch, domain, |_| {}).await;
    let Some(found) = directory.find_domain(domain) else {
        tracing::warn!("Cannot locate domain {domain}");
        return Vec::new();
    };
    let wanted = |name: &str| group.is_none_or(|group| group.eq_ignore_ascii_case(name));
    let groups = found.groups.iter().filter(|group| wanted(&group.name));
    let members = groups.flat_map(|group| &group.members);
    let users = members.filter_map(|member| directory.find_user(&member.id, domain));
    users.filter_map(|user| Name::of(&user, use_number_alias)).collect()
}

/// Those who fit, each once, in order of last and first names.
pub(crate) fn fitting(names: &[Name], by: SearchBy, typed: &str) -> Vec<Name> {
    let mut fitting: Vec<Name> =
        names.iter().filter(|name| name.fits(by, typed)).cloned().collect();
    fitting.sort();
    fitting.dedup();
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(full: &str, extension: &str) -> Name {
        let (first, last) = full.rsplit_once(' ').unwrap_or((full, full));
        Name {
            last: last.into(),
            first: first.into(),
            full: full.into(),
            extension: extension.into(),
            shows_extension: true,
        }
    }

    #[test]
    fn keys_are_those_of_a_keypad_and_nothing_else_counts() {
        assert_eq!(keys("O'Brien-Żak 7"), "62743625");
        assert_eq!(keys(""), "");
    }

    #[test]
    fn those_who_fit_come_in_order_and_once() {
        let names = [
            name("Emil Frost", "2"),
            name("Dora Fern", "1"),
            name("Dora Fern", "1"),
            name("Cher", "3"),
        ];
        let found = |by, typed: &str| {
            fitting(&names, by, typed).into_iter().map(|name| name.extension).collect::<Vec<_>>()
        };
        assert_eq!(found(SearchBy::LastName, "33"), ["1"]);
        assert_eq!(found(SearchBy::LastName, "37"), ["2"]);
        assert_eq!(found(SearchBy::FirstName, "36"), ["1", "2"]);
        assert_eq!(found(SearchBy::Either, "243"), ["3"]);
        assert_eq!(found(SearchBy::LastName, "999"), [] as [String; 0]);
        assert_eq!(SearchBy::of("LAST_NAME").other(), SearchBy::FirstName);
    }
}
