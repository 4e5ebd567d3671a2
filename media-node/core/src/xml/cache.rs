//! Users that say so themselves are kept for a while.

use std::collections::HashMap;
use std::time::Duration;

use dialplan_xml::directory::{Directory, User};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Most users kept; when so many are fresh, further ones are not kept.
const MAX_USERS: usize = 10_000;

/// Users with a `cacheable` attribute: found here before any binding is asked, and kept through reloads.
#[derive(Default)]
pub struct Users(Mutex<HashMap<String, KeptUser>>);

struct KeptUser {
    /// `None`: without limit.
    until: Option<Instant>,
    directory: Directory,
}

fn name(key: &str, user: &str, domain: &str) -> String {
    format!("{key}\n{user}\n{domain}").to_ascii_lowercase()
}

impl Users {
    /// The directory a kept user is in.
    #[must_use]
    pub fn get(&self, key: &str, user: &str, domain: &str) -> Option<Directory> {
        let mut kept = self.0.lock();
        if kept.is_empty() {
            return None;
        }
        let name = name(key, user, domain);
        let found = kept.get(&name)?;
        if found.until.is_some_and(|until| until <= Instant::now()) {
            kept.remove(&name);
            return None;
        }
        Some(found.directory.clone())
    }

    /// Keeps a user that wants it: for so many milliseconds, or without limit if the attribute is no number.
    pub fn put(&self, key: &str, user: &str, domain: &str, found: &User, directory: &Directory) {
        let Some(cacheable) = found.cacheable() else { return };
        let now = Instant::now();
        let until = match cacheable.trim().parse::<u32>() {
            Ok(0) => return,
            Ok(ms) => Some(now + Duration::from_millis(ms.into())),
            Err(_) => None,
        };
        let mut kept = self.0.lock();
        if kept.len() >= MAX_USERS {
            kept.retain(|_, user| user.until.is_none_or(|until| now < until));
        }
        if kept.len() < MAX_USERS {
            kept.insert(name(key, user, domain), KeptUser { until, directory: directory.clone() });
        }
    }

    /// Forgets all users, or one (in every domain if none is named). Returns how many.
    pub fn flush(&self, which: Option<(&str, &str, Option<&str>)>) -> usize {
        let mut kept = self.0.lock();
        let before = kept.len();
        match which {
            None => kept.clear(),
            Some((key, user, Some(domain))) => drop(kept.remove(&name(key, user, domain))),
            Some((key, user, None)) => {
                let start = name(key, user, "");
                kept.retain(|name, _| !name.starts_with(&start));
            }
        }
        before - kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(cacheable: &str) -> Directory {
        let text = format!(
            "<document><section name=\"directory\"><domain name=\"d\"><user id=\"1\" cacheable=\"{cacheable}\"/>\
             </domain></section></document>"
        );
        Directory::compile(&dialplan_xml::parse_raw(&text, "test").tree.expect("well-formed"))
    }

    fn put(users: &Users, cacheable: &str) {
        let directory = directory(cacheable);
        let user = directory.find_user("1", "d").expect("a user");
        users.put("id", "1", "d", &user, &directory);
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_is_kept_as_long_as_it_says() {
        let users = Users::default();
        put(&users, "250");
        assert!(users.get("id", "1", "D").is_some());
        tokio::time::advance(Duration::from_millis(250)).await;
        assert!(users.get("id", "1", "d").is_none());
        put(&users, "true");
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert!(users.get("id", "1", "d").is_some());
        assert_eq!(users.flush(Some(("id", "1", None))), 1);
        assert!(users.get("id", "1", "d").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_that_does_not_say_so_is_not_kept() {
        let users = Users::default();
        put(&users, "");
        put(&users, "0");
        assert_eq!(users.flush(None), 0);
    }
}
