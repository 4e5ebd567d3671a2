//! A visit: who it is, the main menu and the preferences, and what all menus share.

use std::sync::Arc;

use base::far;
use switch_core::call::{AppResult, Session};

use super::conf::{Conf, Deed, Menu};
use super::entry::{Entry, Outcome};
use super::fields::Fields;
use super::{forward, greetings, navigator, talk};

/// The folder messages are in.
pub(super) const FOLDER: &str = "inbox";
/// Menus may lead to menus, so many one within the other.
const MAX_DEPTH: usize = 16;

/// Which messages are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    NotRead,
    New,
    Saved,
}

impl Filter {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::NotRead => "not-read",
            Self::New => "new",
            Self::Saved => "save",
        }
    }
}

/// One caller and one mailbox.
pub(super) struct Visit {
    pub(super) conf: Arc<Conf>,
    pub(super) domain: String,
    pub(super) id: Option<String>,
    authorized: bool,
    pub(super) filter: Filter,
    /// UUID of the message that is heard.
    pub(super) current: String,
    depth: usize,
}

impl Visit {
    pub(super) fn new(conf: Conf, domain: String, id: Option<String>) -> Self {
        Self {
            conf: Arc::new(conf),
            domain,
            id,
            authorized: false,
            filter: Filter::NotRead,
            current: String::new(),
            depth: 0,
        }
    }

    /// All of it.
    pub(super) async fn run(&mut self, session: &mut Session) -> AppResult {
        self.authenticate(session).await?;
        if self.authorized {
            self.main_menu(session).await?;
        }
        Ok(())
    }

    /// Messages marked as deleted go, if the profile says so.
    pub(super) async fn purge(&self, session: &mut Session) {
        let menu = self.conf.menu("std_menu_purge");
        let purges = menu.setting("Exit-Purge").is_none_or(switch_core::text::is_true);
        if self.authorized && purges {
            let arguments = self.words(&[]);
            let _said = self.api(session, Deed::Purge, &arguments).await;
        }
    }

    /// `profile domain id …`, each one word.
    pub(super) fn words(&self, more: &[&str]) -> String {
        let id = self.id.as_deref().unwrap_or_default();
        let first = [self.conf.name.as_str(), &self.domain, id];
        let all: Vec<_> = first.iter().chain(more).map(|word| far::mark(word)).collect();
        all.join(" ")
    }

    /// Does something with the box; what the command said, or nothing if that was an error.
    pub(super) async fn api(
        &self,
        session: &mut Session,
        deed: Deed,
        arguments: &str,
    ) -> Option<String> {
        talk::command(session, self.conf.command(deed), arguments).await
    }

    /// Asks a command for data and takes them over.
    pub(super) async fn ask_for(
        &self,
        session: &mut Session,
        deed: Deed,
        more: &[&str],
        fields: &mut Fields,
    ) -> bool {
        let arguments = format!("json {}", self.words(more));
        let reply = self.api(session, deed, &arguments).await;
        reply.is_some_and(|reply| fields.fill(&reply))
    }

    /// What phrases of a menu may speak of: whose box it is, and the menu's keys.
    pub(super) fn fields(&self, menu: &Menu, attempts_left: i64) -> Fields {
        let mut fields = Fields::default();
        if let Some(id) = &self.id {
            fields.set("VM-Profile", self.conf.name.as_str());
            fields.set("VM-Account-ID", id.as_str());
            fields.set("VM-Account-Domain", self.domain.as_str());
        }
        for key in menu.keys.iter().filter(|key| !key.field.is_empty()) {
            fields.set(&key.field, key.typed.as_str());
        }
        fields.set("IVR-Retry-Left", attempts_left.to_string());
        fields
    }

    async fn authenticate(&mut self, session: &mut Session) -> AppResult {
        let menu = self.conf.menu("std_authenticate");
        self.authorized = self.id.is_some() && session.channel().is_true("voicemail_authorized");
        let mask = |name: &str, default: &str| menu.setting(name).unwrap_or(default).to_owned();
        let mut left = menu.attempts();
        while left > 0 && !self.authorized {
            session.check()?;
            let id = match &self.id {
                Some(id) => Some(id.clone()),
                None => {
                    let ask = self.conf.menu("std_authenticate_ask_user");
                    let fields = self.fields(&ask, left);
                    talk::typed(session, &ask, &mask("User-Mask", "X."), &fields).await?
                }
            };
            let ask = self.conf.menu("std_authenticate_ask_password");
            let fields = self.fields(&ask, left);
            let password =
                talk::typed(session, &ask, &mask("Password-Mask", "XXX."), &fields).await?;
            if let (Some(id), Some(password)) = (id, password) {
                let words = [self.conf.name.as_str(), &self.domain, &id, &password];
                let words: Vec<_> = words.iter().map(|word| far::mark(word)).collect();
                if self.api(session, Deed::Login, &words.join(" ")).await.is_some() {
                    (self.id, self.authorized) = (Some(id), true);
                    return Ok(());
                }
            }
            talk::tell(session, &menu, "fail_auth", "", &Fields::default()).await?;
            left -= 1;
        }
        Ok(())
    }

    async fn main_menu(&mut self, session: &mut Session) -> AppResult {
        let menu = self.conf.menu("std_main_menu");
        if !menu.is_whole() {
            return Ok(());
        }
        let mut by_itself = menu.setting("Action-On-New-Message").map(str::to_owned);
        let mut left = menu.attempts();
        while left > 0 {
            session.check()?;
            let mut fields = self.fields(&menu, left);
            left -= 1;
            let told = self.ask_for(session, Deed::Count, &[FOLDER], &mut fields).await;
            if !told || fields.get("VM-Total-New-Messages").is_none() {
                tracing::error!(
                    "Return from API is invalid. Check that the context exist on your DB backend"
                );
                return Ok(());
            }
            let mut entry = talk::question(&menu);
            talk::say(session, &menu, &mut entry, ("msg_count", ""), &fields).await?;
            let news = fields.number("VM-Total-New-Messages") > 0;
            let action = if news
                && entry.outcome == Outcome::Waiting
                && let Some(action) = by_itself.take()
            {
                Some(action)
            } else {
                talk::ask(session, &menu, &mut entry, "menu_options", &fields).await?;
                self.chosen(session, &menu, &entry).await?
            };
            let Some(action) = action else { continue };
            left = menu.attempts();
            let opens = |prefix: &str| rest_of(&action, prefix).map(str::to_owned);
            if let Some(name) = opens("new_msg:") {
                self.filter = Filter::New;
                self.open(session, &name).await?;
            } else if let Some(name) = opens("saved_msg:") {
                self.filter = Filter::Saved;
                self.open(session, &name).await?;
            } else if let Some(name) = opens("menu:") {
                self.open(session, &name).await?;
            } else if action.eq_ignore_ascii_case("return") {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The action of the keys typed; says what is wrong with them otherwise. An empty one for keys without any.
    pub(super) async fn chosen(
        &self,
        session: &mut Session,
        menu: &Menu,
        entry: &Entry,
    ) -> Result<Option<String>, switch_core::call::Interrupt> {
        talk::reproach(session, menu, entry).await?;
        let found = entry.outcome == Outcome::Found;
        Ok(found.then(|| menu.action(&entry.typed).unwrap_or_default().to_owned()))
    }

    /// Goes into the menu of that name.
    pub(super) async fn open(&mut self, session: &mut Session, name: &str) -> AppResult {
        if self.depth >= MAX_DEPTH {
            tracing::error!(uuid = %session.channel().uuid(), "Menus lead to each other without end: {name}");
            return Ok(());
        }
        self.depth += 1;
        let result = Box::pin(self.inside(session, name)).await;
        self.depth -= 1;
        result
    }

    async fn inside(&mut self, session: &mut Session, name: &str) -> AppResult {
        match name.to_ascii_lowercase().as_str() {
            "std_authenticate" => self.authenticate(session).await,
            "std_main_menu" => self.main_menu(session).await,
            "std_navigator" => navigator::navigate(self, session).await,
            "std_record_name" => greetings::record_name(self, session).await,
            "std_set_password" => greetings::set_password(self, session).await,
            "std_select_greeting_slot" => greetings::select(self, session).await,
            "std_record_greeting_with_slot" => greetings::record(self, session).await,
            "std_preference" => self.preferences(session).await,
            "std_purge" => {
                self.purge(session).await;
                Ok(())
            }
            "std_forward" => forward::forward(self, session).await,
            _ => {
                tracing::error!(uuid = %session.channel().uuid(), "There is no menu {name}");
                Ok(())
            }
        }
    }

    async fn preferences(&mut self, session: &mut Session) -> AppResult {
        let menu = self.conf.menu("std_preference");
        if !menu.is_whole() {
            return Ok(());
        }
        let mut left = menu.attempts();
        while left > 0 {
            session.check()?;
            let fields = self.fields(&menu, left);
            left -= 1;
            let mut entry = talk::question(&menu);
            talk::ask(session, &menu, &mut entry, "menu_options", &fields).await?;
            let Some(action) = self.chosen(session, &menu, &entry).await? else { continue };
            left = menu.attempts();
            if let Some(name) = rest_of(&action, "menu:") {
                self.open(session, name).await?;
            } else if action.eq_ignore_ascii_case("return") {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// What follows a prefix, in either case of letters.
pub(super) fn rest_of<'a>(action: &'a str, prefix: &str) -> Option<&'a str> {
    let begins = action.get(..prefix.len())?.eq_ignore_ascii_case(prefix);
    begins.then(|| &action[prefix.len()..])
}
