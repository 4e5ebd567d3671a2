//! Guests of rooms: the holder of a token joins one conference and reaches nothing else.
//!
//! A token is a user of the directory and its password, made here and kept in memory until it expires. Whatever number such
//! a user calls, by SIP or Verto, leads to the room the token is for: its context is answered from here, too, and holds
//! nothing but that room. Both ways in (`/api/rooms/{room}/tokens`, `/api/livekit/token`) share this store and its bound.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dialplan_xml::{Element, Tree};
use parking_lot::Mutex;
use provisioning::{User, xml};
use switch_core::BoxFuture;
use switch_core::clock;
use switch_core::switch::Switch;
use switch_core::xml::{Lookup, Unanswered, XmlSource};

/// Tokens that are valid at once.
const MOST: usize = 10_000;
/// Where calls of guests begin. No file needs to have it.
const CONTEXT: &str = "guests-of-rooms";
/// What a guest may use beside its room, whatever its domain's users may: lists without what is there.
const NOTHING_ELSE: [(&str, &str); 4] = [
    ("http-allowed-api", "none"),
    ("jsonrpc-allowed-event-channels", "none"),
    ("jsonrpc-allowed-fsapi", "none"),
    ("jsonrpc-allowed-jsapi", "none"),
];

/// What a token lets its holder into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    /// The only domain it logs in at; `None`: that of the page or phone it uses.
    pub(crate) domain: Option<String>,
    /// The room.
    pub(crate) room: String,
    /// Profile of conference.conf that a new room is made by.
    pub(crate) profile: String,
    /// Shown to the others.
    pub(crate) name: String,
    pub(crate) moderator: bool,
    /// False: it listens only.
    pub(crate) speaks: bool,
}

struct Kept {
    guest: Guest,
    password: String,
    until: Instant,
}

/// The guests of a switch, by user in lower case.
#[derive(Default)]
pub(crate) struct Guests(Mutex<HashMap<String, Kept>>);

/// There are as many tokens as there may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// A user name for a new guest. No two are the same, and none can be guessed.
pub(crate) fn new_user() -> String {
    format!("guest-{}", secret())
}

/// 128 random bits.
pub(crate) fn secret() -> String {
    clock::new_uuid().replace('-', "")
}

impl Guests {
    /// Lets a guest in for a while.
    ///
    /// # Errors
    /// [`TooMany`].
    pub(crate) fn admit(
        &self,
        user: &str,
        password: &str,
        guest: Guest,
        lasts: Duration,
    ) -> Result<(), TooMany> {
        let now = Instant::now();
        let mut all = self.0.lock();
        if all.len() >= MOST {
            all.retain(|_, kept| kept.until > now);
        }
        if all.len() >= MOST {
            return Err(TooMany);
        }
        let kept = Kept { guest, password: password.to_owned(), until: now + lasts };
        all.insert(user.to_ascii_lowercase(), kept);
        Ok(())
    }

    /// Lets a guest of that room in no more. False if there is none of that name.
    pub(crate) fn dismiss(&self, room: &str, user: &str) -> bool {
        let user = user.to_ascii_lowercase();
        let mut all = self.0.lock();
        let known = all.get(&user).is_some_and(|kept| kept.guest.room == room);
        known && all.remove(&user).is_some()
    }

    fn find(&self, user: &str, domain: &str) -> Option<(Guest, String)> {
        let all = self.0.lock();
        let kept = all.get(&user.to_ascii_lowercase())?;
        let own = kept.guest.domain.as_deref();
        let valid = kept.until > Instant::now();
        (valid && own.is_none_or(|own| own.eq_ignore_ascii_case(domain)))
            .then(|| (kept.guest.clone(), kept.password.clone()))
    }

    /// The directory with a guest in it.
    fn directory(&self, files: &Tree, user: &str, domain: &str) -> Option<Tree> {
        let (guest, password) = self.find(user, domain)?;
        let user = User {
            user: user.to_ascii_lowercase(),
            domain: guest.domain.unwrap_or_else(|| domain.to_owned()),
            password,
            caller_id_name: guest.name,
            caller_id_number: user.to_ascii_lowercase(),
            context: CONTEXT.to_owned(),
            ..User::default()
        };
        xml::of_user_with(files, &user, &NOTHING_ELSE)
    }

    /// The dialplan of a guest: the room, whatever was dialled.
    fn dialplan(&self, context: &str, user: &str, domain: &str) -> Option<Tree> {
        let (guest, _) = self.find(user, domain).filter(|_| context == CONTEXT)?;
        let flags: Vec<_> = [("moderator", guest.moderator), ("mute", !guest.speaks)]
            .into_iter()
            .filter_map(|(flag, on)| on.then_some(flag))
            .collect();
        let flags = match flags.is_empty() {
            true => String::new(),
            false => format!("+flags{{{}}}", flags.join("|")),
        };
        // Others see who the token is for, whatever the guest's phone says.
        let mut actions = vec![
            ("set_profile_var", format!("caller_id_name={}", guest.name)),
            ("set_profile_var", format!("caller_id_number={}", user.to_ascii_lowercase())),
        ];
        if !guest.speaks {
            // By a key of its phone it would be heard again.
            actions.push(("set", "conference_controls=none".to_owned()));
        }
        actions.extend([
            ("answer", String::new()),
            ("conference", format!("{}@{}{flags}", guest.room, guest.profile)),
        ]);
        let mut inner = Element::new("condition");
        for (application, data) in actions {
            let mut action = Element::new("action");
            action.set_attr("application", application);
            action.set_attr("data", &data);
            inner.add_child(action);
        }
        for (name, own) in [("extension", "room"), ("context", CONTEXT), ("section", "dialplan")] {
            let mut element = Element::new(name);
            element.set_attr("name", own);
            element.add_child(inner);
            inner = element;
        }
        let mut document = Element::new("document");
        document.add_child(inner);
        dialplan_xml::parse_raw(&document.to_xml(), "guests of rooms").tree
    }
}

/// Answers for guests only. It comes before the database of resources, so that guests log in while that is down.
pub(crate) struct Source(Arc<Guests>);

impl Source {
    pub(crate) fn of(switch: &Arc<Switch>) -> Arc<dyn XmlSource> {
        Arc::new(Self(switch.module::<Guests>()))
    }

    fn answer(&self, files: &Tree, lookup: &Lookup<'_>) -> Option<Tree> {
        let params = lookup.params?;
        let param = |name: &str| params.get(name).map(|value| value.into_owned());
        match lookup.section {
            "directory" if lookup.tag_name == "domain" => {
                self.0.directory(files, &param("user")?, lookup.key_value)
            }
            "dialplan" => {
                let context = param("Hunt-Context").or_else(|| param("Caller-Context"))?;
                // Of the user whose password was proved; a phone or page cannot set these.
                let user = param("variable_user_name")?;
                let domain = param("variable_domain_name").unwrap_or_default();
                self.0.dialplan(&context, &user, &domain)
            }
            _ => None,
        }
    }
}

impl XmlSource for Source {
    fn serves(&self, section: &str) -> bool {
        matches!(section, "directory" | "dialplan") && !self.0.0.lock().is_empty()
    }

    fn ask<'a>(
        &'a self,
        switch: &'a Arc<Switch>,
        lookup: &'a Lookup<'a>,
    ) -> BoxFuture<'a, Result<Option<Tree>, Unanswered>> {
        let found = self.answer(&switch.config.load().tree, lookup);
        Box::pin(std::future::ready(Ok(found)))
    }
}

#[cfg(test)]
mod tests {
    use dialplan_xml::dialplan::Dialplan;
    use dialplan_xml::directory::Directory;
    use esl_server::event::{Event, EventName};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn guest() -> Guest {
        Guest {
            domain: None,
            room: "hall".into(),
            profile: "default".into(),
            name: "A & \"B\"".into(),
            moderator: true,
            speaks: true,
        }
    }

    fn files() -> Tree {
        let text = r#"<document><section name="directory"><domain name="d.test"><params>
            <param name="jsonrpc-allowed-fsapi" value="all"/></params></domain></section></document>"#;
        dialplan_xml::parse_raw(text, "test").tree.expect("a tree")
    }

    /// What a source answers for a login of `user` at `domain`, and for its call.
    fn asked(source: &Source, user: &str, domain: &str) -> (Option<String>, Option<String>) {
        let mut params = Event::new(EventName::RequestParams);
        for (name, value) in [
            ("user", user),
            ("Hunt-Context", CONTEXT),
            ("variable_user_name", user),
            ("variable_domain_name", domain),
        ] {
            params.push(name.to_owned(), value.to_owned());
        }
        let password = source.answer(&files(), &Lookup::domain(domain, &params)).map(|tree| {
            let user = Directory::compile(&tree).find_user(user, domain).expect("a user");
            assert_eq!(user.variables.last("user_context"), Some(CONTEXT));
            for (list, nothing) in NOTHING_ELSE {
                assert_eq!(user.params.last(list), Some(nothing));
            }
            user.params.last("password").unwrap_or_default().to_owned()
        });
        let plan = source.answer(&files(), &Lookup::section("dialplan", &params)).map(|tree| {
            assert_eq!(Dialplan::compile(&tree).0.extensions(CONTEXT).count(), 1);
            tree.root().to_xml()
        });
        (password, plan)
    }

    #[test]
    fn a_guest_is_known_by_its_token_and_led_to_its_room() {
        let guests = Arc::new(Guests::default());
        let source = Source(Arc::clone(&guests));
        assert!(!source.serves("directory"));
        guests.admit("guest-1", "secret", guest(), MINUTE).unwrap();
        assert!(
            source.serves("directory") && source.serves("dialplan") && !source.serves("phrases")
        );
        let (password, plan) = asked(&source, "guest-1", "d.test");
        assert_eq!(password.as_deref(), Some("secret"));
        let plan = plan.expect("a dialplan");
        assert!(plan.contains("hall@default+flags{moderator}\""), "{plan}");
        assert!(plan.contains("caller_id_name=A &amp; ") && !plan.contains("conference_controls"));
        assert_eq!(asked(&source, "1000", "d.test"), (None, None));
        assert!(!guests.dismiss("other", "guest-1"));
        assert!(guests.dismiss("hall", "Guest-1"));
        assert_eq!(asked(&source, "guest-1", "d.test"), (None, None));
    }

    #[test]
    fn one_of_a_domain_is_unknown_in_others_and_one_that_listens_has_no_keys() {
        let guests = Arc::new(Guests::default());
        let source = Source(Arc::clone(&guests));
        let listener =
            Guest { domain: Some("D.test".into()), moderator: false, speaks: false, ..guest() };
        guests.admit("guest-1", "secret", listener, MINUTE).unwrap();
        let plan = asked(&source, "guest-1", "d.test").1.expect("a dialplan");
        assert!(plan.contains("hall@default+flags{mute}\""), "{plan}");
        assert!(plan.contains("conference_controls=none"));
        assert_eq!(asked(&source, "guest-1", "e.test"), (None, None));
    }

    #[test]
    fn tokens_expire_and_there_are_not_more_than_so_many() {
        let guests = Guests::default();
        guests.admit("gone", "secret", guest(), Duration::ZERO).unwrap();
        assert_eq!(guests.find("gone", "d.test"), None);
        for n in 0..MOST {
            guests.admit(&n.to_string(), "secret", guest(), MINUTE).unwrap();
        }
        assert_eq!(guests.admit("one more", "secret", guest(), MINUTE), Err(TooMany));
    }
}
