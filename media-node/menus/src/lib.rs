//! Menus kept in a database: `ivr_menus` and `ivr_menu_options`, in SQLite or PostgreSQL.
//!
//! Calls read a menu each time they greet with it, so what an administrator changes is heard from the next greeting on.
//! Tables that are there already are used as they are: columns that are missing have their defaults.

#![deny(unsafe_code)]

use std::path::{Path, PathBuf};

use database::{Database, args};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// Menus a list shows at most.
const MENUS: usize = 1_000;
/// Options of one menu.
const OPTIONS: usize = 200;
/// Longest text of a column, bytes.
const LONGEST: usize = 4_096;

/// What a choice does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Another menu, by its id.
    Menu,
    /// The call is transferred: number, dialplan, context.
    Transfer,
    /// The call ends, with the cause named.
    Hangup,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Menu => "menu",
            Self::Transfer => "transfer",
            Self::Hangup => "hangup",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Menu, Self::Transfer, Self::Hangup]
            .into_iter()
            .find(|action| action.name().eq_ignore_ascii_case(word.trim()))
    }
}

/// A choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MenuOption {
    /// The keys.
    pub digit: String,
    /// What they do.
    pub action_type: Action,
    /// With what.
    #[serde(default)]
    pub action_value: String,
    /// Spoken before it is done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub welcome_message: String,
}

/// A menu.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Menu {
    /// What `ivr` and options know it by.
    #[serde(default)]
    pub id: String,
    /// Spoken when the caller comes, or played where it names a file.
    #[serde(default)]
    pub welcome_message: String,
    /// Spoken at further greetings; the same where it is empty.
    #[serde(default)]
    pub short_message: String,
    /// Spoken after keys that are no choice.
    #[serde(default)]
    pub invalid_message: String,
    /// Spoken at the end.
    #[serde(default)]
    pub exit_message: String,
    /// Wait for the first key, ms; 0 for the usual time.
    #[serde(default)]
    pub timeout_ms: i64,
    /// Wait for further keys, ms; 0 for half of that.
    #[serde(default)]
    pub digit_timeout_ms: i64,
    /// Wrong choices that end the menu; 0 for three.
    #[serde(default)]
    pub max_failures: i64,
    /// Greetings without a key that end it; 0 for as many.
    #[serde(default)]
    pub max_timeouts: i64,
    /// The engine that speaks; the call's own where it is empty.
    #[serde(default)]
    pub tts_engine: String,
    /// Its voice.
    #[serde(default)]
    pub tts_voice: String,
    /// The choices.
    #[serde(default)]
    pub options: Vec<MenuOption>,
}

/// Why a menu is not had or not kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the database says.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// A value that cannot be kept: the field, and why.
    #[error("{0}: {1}")]
    Unusable(&'static str, String),
}

impl Menu {
    /// Can it be kept?
    ///
    /// # Errors
    /// [`Error::Unusable`] names the field.
    pub fn check(&self) -> Result<(), Error> {
        let unusable = |field, why: &str| Err(Error::Unusable(field, why.to_owned()));
        let plain =
            |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        if self.id.is_empty() || self.id.len() > 64 || !plain(&self.id) {
            return unusable("id", "1 to 64 letters, digits, '_', '-' and '.'");
        }
        let texts = [
            ("welcome_message", &self.welcome_message),
            ("short_message", &self.short_message),
            ("invalid_message", &self.invalid_message),
            ("exit_message", &self.exit_message),
            ("tts_engine", &self.tts_engine),
            ("tts_voice", &self.tts_voice),
        ];
        if let Some((field, _)) = texts.iter().find(|(_, text)| too_long(text)) {
            return unusable(field, "too long, or with control characters");
        }
        let times = [
            ("timeout_ms", self.timeout_ms, 600_000),
            ("digit_timeout_ms", self.digit_timeout_ms, 600_000),
            ("max_failures", self.max_failures, 100),
            ("max_timeouts", self.max_timeouts, 100),
        ];
        if let Some((field, _, most)) = times.iter().find(|(_, n, most)| !(0..=*most).contains(n)) {
            return unusable(field, &format!("0 to {most}"));
        }
        if self.options.len() > OPTIONS {
            return unusable("options", &format!("at most {OPTIONS}"));
        }
        for (at, option) in self.options.iter().enumerate() {
            let keys = option.digit.bytes().all(|b| b.is_ascii_digit() || b"*#".contains(&b));
            if option.digit.is_empty() || option.digit.len() > 16 || !keys {
                return unusable("digit", "1 to 16 of 0-9, '*' and '#'");
            }
            if self.options.iter().take(at).any(|other| other.digit == option.digit) {
                return unusable("digit", "each choice once");
            }
            let needs = option.action_type != Action::Hangup;
            if (needs && option.action_value.trim().is_empty()) || too_long(&option.action_value) {
                return unusable("action_value", "the menu, or number, dialplan and context");
            }
            if option.action_value.contains(['$', '\'', '"', '\\']) {
                return unusable("action_value", "no references and no quotes");
            }
            if too_long(&option.welcome_message) {
                return unusable("welcome_message", "too long, or with control characters");
            }
        }
        Ok(())
    }
}

fn too_long(text: &str) -> bool {
    text.len() > LONGEST || text.chars().any(char::is_control)
}

const TABLES: [&str; 2] = [
    "create table if not exists ivr_menus (\
     id varchar(64) not null primary key, welcome_message text, short_message text, invalid_message text, \
     exit_message text, timeout_ms bigint, digit_timeout_ms bigint, max_failures bigint, max_timeouts bigint, \
     tts_engine varchar(64), tts_voice varchar(64))",
    "create table if not exists ivr_menu_options (\
     menu_id varchar(64) not null, digit varchar(16) not null, action_type varchar(16) not null, \
     action_value text, welcome_message text, primary key (menu_id, digit))",
];

/// The menus of one database.
#[derive(Clone)]
pub struct Store {
    database: Database,
}

impl Store {
    /// Opens the database a data source name stands for, and makes the tables where they are missing.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open(name: &str, folder: &Path) -> Result<Self, Error> {
        let database = Database::open(name, folder).await?;
        for table in TABLES {
            database.execute(table, args![]).await?;
        }
        Ok(Self { database })
    }

    /// The menu of an id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: &str) -> Result<Option<Menu>, Error> {
        let statement = "select * from ivr_menus where cast(id as varchar(64)) = $1";
        let Some(row) = self.database.row(statement, args![id]).await? else { return Ok(None) };
        let text = |name: &str| row.named(name).unwrap_or_default().to_owned();
        let number = |name: &str| {
            let value = row.named(name).and_then(|value| value.trim().parse::<i64>().ok());
            value.unwrap_or(0).max(0)
        };
        let statement =
            "select * from ivr_menu_options where cast(menu_id as varchar(64)) = $1 order by digit";
        let rows = self.database.rows(statement, args![id]).await?;
        let options = rows.iter().take(OPTIONS).filter_map(|row| {
            let text = |name: &str| row.named(name).unwrap_or_default().to_owned();
            Some(MenuOption {
                digit: text("digit"),
                action_type: Action::parse(row.named("action_type")?)?,
                action_value: text("action_value"),
                welcome_message: text("welcome_message"),
            })
        });
        Ok(Some(Menu {
            id: id.to_owned(),
            welcome_message: text("welcome_message"),
            short_message: text("short_message"),
            invalid_message: text("invalid_message"),
            exit_message: text("exit_message"),
            timeout_ms: number("timeout_ms"),
            digit_timeout_ms: number("digit_timeout_ms"),
            max_failures: number("max_failures"),
            max_timeouts: number("max_timeouts"),
            tts_engine: text("tts_engine"),
            tts_voice: text("tts_voice"),
            options: options.collect(),
        }))
    }

    /// All menus, ordered by id, without their options.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list(&self) -> Result<Vec<(String, String)>, Error> {
        let statement = "select cast(id as varchar(64)), welcome_message from ivr_menus order by 1";
        let rows = self.database.rows(statement, args![]).await?;
        let menus = rows.iter().take(MENUS);
        Ok(menus.map(|row| (row.text(0).to_owned(), row.text(1).to_owned())).collect())
    }

    /// Keeps a menu in place of the one of its id. Calls see all of it or nothing.
    ///
    /// # Errors
    /// [`Error::Unusable`], or what the database says.
    pub async fn save(&self, menu: &Menu) -> Result<(), Error> {
        menu.check()?;
        let id = menu.id.as_str();
        let mut all = removal(id);
        all.push((
            "insert into ivr_menus (id, welcome_message, short_message, invalid_message, exit_message, timeout_ms, \
             digit_timeout_ms, max_failures, max_timeouts, tts_engine, tts_voice) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
                .to_owned(),
            args![
                id,
                &menu.welcome_message,
                &menu.short_message,
                &menu.invalid_message,
                &menu.exit_message,
                menu.timeout_ms,
                menu.digit_timeout_ms,
                menu.max_failures,
                menu.max_timeouts,
                &menu.tts_engine,
                &menu.tts_voice
            ],
        ));
        for option in &menu.options {
            all.push((
                "insert into ivr_menu_options (menu_id, digit, action_type, action_value, welcome_message) \
                 values ($1, $2, $3, $4, $5)"
                    .to_owned(),
                args![
                    id,
                    &option.digit,
                    option.action_type.name(),
                    &option.action_value,
                    &option.welcome_message
                ],
            ));
        }
        self.database.execute_all(all).await?;
        Ok(())
    }

    /// Removes a menu; false when there is none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove(&self, id: &str) -> Result<bool, Error> {
        let changed = self.database.execute_all(removal(id)).await?;
        Ok(changed.last().is_some_and(|rows| *rows > 0))
    }
}

fn removal(id: &str) -> Vec<(String, Vec<database::Arg>)> {
    [
        "ivr_menu_options where cast(menu_id as varchar(64))",
        "ivr_menus where cast(id as varchar(64))",
    ]
    .map(|rest| (format!("delete from {rest} = $1"), args![id]))
    .into()
}

/// The store of a switch, opened when it is first asked for and again when its name changes.
#[derive(Default)]
pub struct Opened(Mutex<Option<(String, Store)>>);

impl Opened {
    /// The store of that name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn get(&self, name: &str, folder: PathBuf) -> Result<Store, Error> {
        let mut opened = self.0.lock().await;
        if let Some((_, store)) = opened.as_ref().filter(|(own, _)| own == name) {
            return Ok(store.clone());
        }
        let store = Store::open(name, &folder).await?;
        *opened = Some((name.to_owned(), store.clone()));
        Ok(store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu() -> Menu {
        let option = |digit: &str, action_type, value: &str| MenuOption {
            digit: digit.into(),
            action_type,
            action_value: value.into(),
            welcome_message: String::new(),
        };
        Menu {
            id: "main".into(),
            welcome_message: "It's 5 o'clock; press 1".into(),
            timeout_ms: 3000,
            options: vec![
                option("1", Action::Transfer, "1000 XML default"),
                option("2", Action::Menu, "sales"),
                option("9", Action::Hangup, ""),
            ],
            ..Menu::default()
        }
    }

    #[tokio::test]
    async fn a_menu_is_kept_changed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("menus", folder.path()).await.unwrap();
        assert_eq!(store.find("main").await.unwrap(), None);
        let mut menu = menu();
        store.save(&menu).await.unwrap();
        assert_eq!(store.find("main").await.unwrap().as_ref(), Some(&menu));
        menu.options.truncate(1);
        menu.welcome_message = "changed".into();
        store.save(&menu).await.unwrap();
        assert_eq!(store.find("main").await.unwrap(), Some(menu));
        assert_eq!(store.list().await.unwrap(), [("main".to_owned(), "changed".to_owned())]);
        assert!(store.remove("main").await.unwrap() && !store.remove("main").await.unwrap());
        assert_eq!(store.find("main").await.unwrap(), None);
    }

    #[tokio::test]
    async fn tables_of_others_with_fewer_columns_and_numbers_for_ids_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open("menus", folder.path()).await.unwrap();
        for statement in [
            "create table ivr_menus (id integer primary key, welcome_message text)",
            "create table ivr_menu_options (menu_id integer, digit text, action_type text, action_value text)",
            "insert into ivr_menus values (7, 'hello')",
            "insert into ivr_menu_options values (7, '1', 'TRANSFER', '1000'), (7, '2', 'dance', 'x')",
        ] {
            database.execute(statement, args![]).await.unwrap();
        }
        let store = Store::open("menus", folder.path()).await.unwrap();
        let menu = store.find("7").await.unwrap().unwrap();
        assert_eq!((menu.welcome_message.as_str(), menu.options.len()), ("hello", 1));
        assert_eq!(menu.options[0].action_type, Action::Transfer);
    }

    #[test]
    fn what_cannot_be_kept_is_named() {
        let field = |change: fn(&mut Menu)| {
            let mut menu = menu();
            change(&mut menu);
            match menu.check() {
                Err(Error::Unusable(field, _)) => field,
                _ => "",
            }
        };
        assert_eq!(field(|_| {}), "");
        assert_eq!(field(|menu| menu.id = "a b".into()), "id");
        assert_eq!(field(|menu| menu.timeout_ms = -1), "timeout_ms");
        assert_eq!(field(|menu| menu.options[0].digit = "x".into()), "digit");
        assert_eq!(field(|menu| menu.options[0].digit = "2".into()), "digit");
        assert_eq!(field(|menu| menu.options[1].action_value = " ".into()), "action_value");
        assert_eq!(
            field(|menu| menu.options[0].action_value = "${system(x)}".into()),
            "action_value"
        );
        assert_eq!(field(|menu| menu.welcome_message = "a\nb".into()), "welcome_message");
    }
}
