//! Messages and preferences, in the reference's tables. Beside them stands one of our own: what is being recorded.

use std::path::Path;

use database::{Arg, Database, Error, Row, args};
use switch_core::clock;

/// The reference's tables. Text has the length it has there on servers that insist.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS voicemail_msgs (created_epoch INTEGER, read_epoch INTEGER, username VARCHAR(255), \
     domain VARCHAR(255), uuid VARCHAR(255), cid_name VARCHAR(255), cid_number VARCHAR(255), in_folder VARCHAR(255), \
     file_path VARCHAR(255), message_len INTEGER, flags VARCHAR(255), read_flags VARCHAR(255), \
     forwarded_by VARCHAR(255))",
    "CREATE TABLE IF NOT EXISTS voicemail_prefs (username VARCHAR(255), domain VARCHAR(255), name_path VARCHAR(255), \
     greeting_path VARCHAR(255), password VARCHAR(255))",
    // Written before the first sample, deleted with the message's own row: what is left at the start was cut off.
    "CREATE TABLE IF NOT EXISTS voicemail_unfinished (file_path VARCHAR(1024), hostname VARCHAR(255), \
     username VARCHAR(255), domain VARCHAR(255), uuid VARCHAR(255), cid_name VARCHAR(255), cid_number VARCHAR(255), \
     started_epoch BIGINT)",
];

const INDEXES: &[(&str, &str)] = &[
    ("voicemail_msgs_idx1", "voicemail_msgs (created_epoch)"),
    ("voicemail_msgs_idx2", "voicemail_msgs (username)"),
    ("voicemail_msgs_idx3", "voicemail_msgs (domain)"),
    ("voicemail_msgs_idx4", "voicemail_msgs (uuid)"),
    ("voicemail_msgs_idx5", "voicemail_msgs (in_folder)"),
    ("voicemail_msgs_idx6", "voicemail_msgs (read_flags)"),
    ("voicemail_msgs_idx7", "voicemail_msgs (forwarded_by)"),
    ("voicemail_msgs_idx8", "voicemail_msgs (read_epoch)"),
    ("voicemail_msgs_idx9", "voicemail_msgs (flags)"),
    ("voicemail_prefs_idx1", "voicemail_prefs (username)"),
    ("voicemail_prefs_idx2", "voicemail_prefs (domain)"),
];

const COLUMNS: &str = "created_epoch, read_epoch, username, domain, uuid, cid_name, cid_number, in_folder, file_path, \
     message_len, flags, read_flags, forwarded_by";

/// Characters of a text column.
const LONGEST: usize = 255;

/// Flag of an urgent message; sorts before [`NORMAL`].
pub(crate) const URGENT: &str = "A_URGENT";
/// Flag of any other message.
pub(crate) const NORMAL: &str = "B_NORMAL";
/// The only folder there is.
pub(crate) const INBOX: &str = "inbox";

/// A message as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) created: i64,
    pub(crate) read: i64,
    pub(crate) user: String,
    pub(crate) domain: String,
    pub(crate) uuid: String,
    pub(crate) cid_name: String,
    pub(crate) cid_number: String,
    pub(crate) folder: String,
    pub(crate) path: String,
    pub(crate) seconds: i64,
    pub(crate) flags: String,
    pub(crate) read_flags: String,
    pub(crate) forwarded_by: String,
}

impl Message {
    fn of(row: &Row) -> Self {
        let text = |index: usize| row.text(index).to_owned();
        Self {
            created: row.int(0),
            read: row.int(1),
            user: text(2),
            domain: text(3),
            uuid: text(4),
            cid_name: text(5),
            cid_number: text(6),
            folder: text(7),
            path: text(8),
            seconds: row.int(9),
            flags: text(10),
            read_flags: text(11),
            forwarded_by: text(12),
        }
    }

    pub(crate) fn is_urgent(&self) -> bool {
        self.read_flags.eq_ignore_ascii_case(URGENT)
    }
}

/// How many messages there are; urgent ones count among the others too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) new: i64,
    pub(crate) saved: i64,
    pub(crate) new_urgent: i64,
    pub(crate) saved_urgent: i64,
}

impl Counts {
    /// From rows of: unread or not, flag, how many.
    fn of(rows: &[Row]) -> Self {
        let mut counts = Self::default();
        for row in rows {
            let (unread, urgent) = (row.int(0) == 1, row.text(1).eq_ignore_ascii_case(URGENT));
            let number = row.int(2);
            match unread {
                true => counts.new += number,
                false => counts.saved += number,
            }
            match (urgent, unread) {
                (true, true) => counts.new_urgent += number,
                (true, false) => counts.saved_urgent += number,
                (false, _) => {}
            }
        }
        counts
    }
}

/// What an owner has set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefs {
    pub(crate) name_path: String,
    pub(crate) greeting_path: String,
    pub(crate) password: String,
}

/// A preference that can be set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pref {
    Name,
    Greeting,
    Password,
}

/// Which messages of a box are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Unread,
    Read,
    /// `flags` is that.
    Flagged(&'static str),
}

/// A recording that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfinished {
    pub(crate) path: String,
    pub(crate) user: String,
    pub(crate) domain: String,
    pub(crate) uuid: String,
    pub(crate) cid_name: String,
    pub(crate) cid_number: String,
}

/// The messages of one profile.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    open: Database,
}

/// No longer than a column, without characters that would end a line of a listing or a header.
pub(crate) fn fit(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

impl Store {
    /// Opens a database and makes what is missing in it.
    pub(crate) async fn open(name: &str, folder: &Path) -> Result<Self, Error> {
        let open = Database::open(name, folder).await?;
        for table in TABLES {
            open.execute(table, args![]).await?;
        }
        for (index, place) in INDEXES {
            open.execute(&format!("CREATE INDEX IF NOT EXISTS {index} ON {place}"), args![])
                .await?;
        }
        Ok(Self { open })
    }

    /// Counts what is in a folder by whether it was heard.
    pub(crate) async fn counts(&self, user: &str, domain: &str) -> Result<Counts, Error> {
        let rows = self
            .open
            .rows(
                "SELECT CASE WHEN read_epoch = 0 THEN 1 ELSE 0 END AS unread, read_flags, count(*) FROM voicemail_msgs \
                 WHERE username = $1 AND domain = $2 AND in_folder = $3 GROUP BY 1, 2",
                args![user, domain, INBOX],
            )
            .await?;
        Ok(Counts::of(&rows))
    }

    /// Counts by flag, as the commands of the IVR do: neither saved nor deleted, and saved.
    pub(crate) async fn counts_by_flag(
        &self,
        user: &str,
        domain: &str,
        folder: &str,
    ) -> Result<Counts, Error> {
        let rows = self
            .open
            .rows(
                "SELECT CASE WHEN flags = '' THEN 1 ELSE 0 END AS unread, read_flags, count(*) FROM voicemail_msgs \
                 WHERE username = $1 AND domain = $2 AND in_folder = $3 AND in_folder = $4 \
                 AND (flags = '' OR flags = 'save') GROUP BY 1, 2",
                args![user, domain, INBOX, folder],
            )
            .await?;
        Ok(Counts::of(&rows))
    }

    /// Messages in the order they are played: urgent ones first.
    pub(crate) async fn messages(
        &self,
        user: &str,
        domain: &str,
        which: Which,
        newest_first: bool,
    ) -> Result<Vec<Message>, Error> {
        let (condition, flag) = match which {
            Which::Unread => ("read_epoch = 0 AND $3 = ''", ""),
            Which::Read => ("read_epoch <> 0 AND $3 = ''", ""),
            Which::Flagged(flag) => ("flags = $3", flag),
        };
        let order = if newest_first { "DESC" } else { "ASC" };
        let statement = format!(
            "SELECT {COLUMNS} FROM voicemail_msgs WHERE username = $1 AND domain = $2 AND {condition} \
             ORDER BY read_flags, created_epoch {order}"
        );
        let rows = self.open.rows(&statement, args![user, domain, flag]).await?;
        Ok(rows.iter().map(Message::of).collect())
    }

    /// All messages of a box, or one, as they were stored.
    pub(crate) async fn listed(
        &self,
        user: &str,
        domain: &str,
        uuid: Option<&str>,
    ) -> Result<Vec<Message>, Error> {
        let mut statement =
            format!("SELECT {COLUMNS} FROM voicemail_msgs WHERE username = $1 AND domain = $2");
        let mut args = args![user, domain];
        if let Some(uuid) = uuid {
            statement.push_str(" AND uuid = $3");
            args.push(uuid.into());
        }
        statement.push_str(" ORDER BY created_epoch");
        Ok(self.open.rows(&statement, args).await?.iter().map(Message::of).collect())
    }

    /// Files of a message, or of a whole box.
    pub(crate) async fn paths(
        &self,
        user: &str,
        domain: &str,
        uuid: Option<&str>,
    ) -> Result<Vec<String>, Error> {
        let rows = match uuid {
            Some(uuid) => {
                let by = "SELECT file_path FROM voicemail_msgs WHERE uuid = $1";
                self.open.rows(by, args![uuid]).await?
            }
            None => {
                let by = "SELECT file_path FROM voicemail_msgs WHERE username = $1 AND domain = $2";
                self.open.rows(by, args![user, domain]).await?
            }
        };
        Ok(rows.iter().map(|row| row.text(0).to_owned()).collect())
    }

    /// Deletes a message, or all of a box.
    pub(crate) async fn delete(
        &self,
        user: &str,
        domain: &str,
        uuid: Option<&str>,
    ) -> Result<(), Error> {
        match uuid {
            Some(uuid) => {
                self.open.execute("DELETE FROM voicemail_msgs WHERE uuid = $1", args![uuid]).await?
            }
            None => {
                let all = "DELETE FROM voicemail_msgs WHERE username = $1 AND domain = $2";
                self.open.execute(all, args![user, domain]).await?
            }
        };
        Ok(())
    }

    /// Marks messages as heard or not. Without a message the whole domain is meant (reference behaviour).
    pub(crate) async fn set_read(
        &self,
        domain: &str,
        uuid: Option<&str>,
        read: bool,
    ) -> Result<(), Error> {
        let change = match read {
            true => "read_epoch = $2",
            false => "read_epoch = $2, flags = ''",
        };
        let (column, value) = uuid.map_or(("domain", domain), |uuid| ("uuid", uuid));
        let statement = format!("UPDATE voicemail_msgs SET {change} WHERE {column} = $1");
        let when = if read { clock::now_secs() } else { 0 };
        self.open.execute(&statement, args![value, when]).await?;
        Ok(())
    }

    /// Marks a message: `save`, `delete` or nothing. `of` restricts it to a box.
    pub(crate) async fn flag(
        &self,
        uuid: &str,
        flag: &str,
        of: Option<(&str, &str)>,
    ) -> Result<(), Error> {
        let mut statement = "UPDATE voicemail_msgs SET flags = $2 WHERE uuid = $1".to_owned();
        let mut args = args![uuid, flag];
        if let Some((user, domain)) = of {
            statement.push_str(" AND username = $3 AND domain = $4");
            args.extend([Arg::from(user), Arg::from(domain)]);
        }
        self.open.execute(&statement, args).await?;
        Ok(())
    }

    /// The end of a visit: what was saved was heard.
    pub(crate) async fn settle(&self, user: &str, domain: &str) -> Result<(), Error> {
        self.open
            .execute(
                "UPDATE voicemail_msgs SET read_epoch = $3 WHERE read_epoch = 0 AND username = $1 AND domain = $2 \
                 AND flags = 'save'",
                args![user, domain, clock::now_secs()],
            )
            .await?;
        Ok(())
    }

    /// Deletes the row of one file.
    pub(crate) async fn delete_path(&self, path: &str) -> Result<(), Error> {
        self.open.execute("DELETE FROM voicemail_msgs WHERE file_path = $1", args![path]).await?;
        Ok(())
    }

    /// Seconds of all messages of a box.
    pub(crate) async fn seconds(&self, user: &str, domain: &str) -> Result<i64, Error> {
        let sum = "SELECT CAST(coalesce(sum(message_len), 0) AS BIGINT) FROM voicemail_msgs \
                   WHERE username = $1 AND domain = $2";
        Ok(self.open.row(sum, args![user, domain]).await?.map_or(0, |row| row.int(0)))
    }

    /// Stores a message, and with it forgets that it was unfinished. False when its file has a row already.
    pub(crate) async fn insert(&self, new: &Message) -> Result<bool, Error> {
        let insert = "INSERT INTO voicemail_msgs (created_epoch, read_epoch, username, domain, uuid, cid_name, \
             cid_number, in_folder, file_path, message_len, flags, read_flags, forwarded_by) \
             SELECT $1, 0, $2, $3, $4, $5, $6, $7, $8, $9, '', $10, $11 \
             WHERE NOT EXISTS (SELECT 1 FROM voicemail_msgs WHERE file_path = $8)";
        let row = args![
            new.created,
            fit(&new.user),
            fit(&new.domain),
            fit(&new.uuid),
            fit(&new.cid_name),
            fit(&new.cid_number),
            INBOX,
            new.path.as_str(),
            new.seconds,
            fit(&new.read_flags),
            fit(&new.forwarded_by),
        ];
        let finished = "DELETE FROM voicemail_unfinished WHERE file_path = $1".to_owned();
        let both = vec![(insert.to_owned(), row), (finished, args![new.path.as_str()])];
        Ok(self.open.execute_all(both).await?.first().is_some_and(|rows| *rows > 0))
    }

    /// A recording begins.
    pub(crate) async fn begin(&self, host: &str, what: &Unfinished) -> Result<(), Error> {
        self.open
            .execute(
                "INSERT INTO voicemail_unfinished (file_path, hostname, username, domain, uuid, cid_name, cid_number, \
                 started_epoch) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                args![
                    what.path.as_str(),
                    host,
                    fit(&what.user),
                    fit(&what.domain),
                    fit(&what.uuid),
                    fit(&what.cid_name),
                    fit(&what.cid_number),
                    clock::now_secs(),
                ],
            )
            .await?;
        Ok(())
    }

    /// A recording was thrown away.
    pub(crate) async fn forget(&self, path: &str) -> Result<(), Error> {
        let delete = "DELETE FROM voicemail_unfinished WHERE file_path = $1";
        self.open.execute(delete, args![path]).await?;
        Ok(())
    }

    /// Recordings of this host that were begun and not finished.
    pub(crate) async fn unfinished(&self, host: &str) -> Result<Vec<Unfinished>, Error> {
        let rows = self
            .open
            .rows(
                "SELECT file_path, username, domain, uuid, cid_name, cid_number FROM voicemail_unfinished \
                 WHERE hostname = $1 ORDER BY started_epoch",
                args![host],
            )
            .await?;
        let one = |row: &Row| {
            let text = |index: usize| row.text(index).to_owned();
            Unfinished {
                path: text(0),
                user: text(1),
                domain: text(2),
                uuid: text(3),
                cid_name: text(4),
                cid_number: text(5),
            }
        };
        Ok(rows.iter().map(one).collect())
    }

    /// What the owner of a box has set up; `None` before the first time.
    pub(crate) async fn prefs(&self, user: &str, domain: &str) -> Result<Option<Prefs>, Error> {
        let select = "SELECT name_path, greeting_path, password FROM voicemail_prefs \
                      WHERE username = $1 AND domain = $2";
        let row = self.open.row(select, args![user, domain]).await?;
        Ok(row.map(|row| Prefs {
            name_path: row.text(0).to_owned(),
            greeting_path: row.text(1).to_owned(),
            password: row.text(2).to_owned(),
        }))
    }

    /// Sets a preference; `None` removes it.
    pub(crate) async fn set_pref(
        &self,
        user: &str,
        domain: &str,
        pref: Pref,
        value: Option<&str>,
    ) -> Result<(), Error> {
        let column = match pref {
            Pref::Name => "name_path",
            Pref::Greeting => "greeting_path",
            Pref::Password => "password",
        };
        let insert = "INSERT INTO voicemail_prefs (username, domain, name_path, greeting_path, password) \
             SELECT $1, $2, '', '', '' \
             WHERE NOT EXISTS (SELECT 1 FROM voicemail_prefs WHERE username = $1 AND domain = $2)";
        let update =
            format!("UPDATE voicemail_prefs SET {column} = $3 WHERE username = $1 AND domain = $2");
        let value = value.map_or(Arg::Null, Arg::from);
        let mut row = args![user, domain];
        let make = (insert.to_owned(), row.clone());
        row.push(value);
        self.open.execute_all(vec![make, (update, row)]).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(user: &str, path: &str, flags: &str) -> Message {
        Message {
            created: 1_700_000_000,
            user: user.to_owned(),
            domain: "d".to_owned(),
            uuid: format!("u-{path}"),
            cid_name: "O'Neil\r\nBcc: x\"; --".to_owned(),
            path: path.to_owned(),
            seconds: 7,
            read_flags: flags.to_owned(),
            ..Message::default()
        }
    }

    #[tokio::test]
    async fn messages_are_counted_played_in_order_and_deleted() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("vm", folder.path()).await?;
        assert!(store.insert(&message("1", "/a", NORMAL)).await?);
        assert!(!store.insert(&message("1", "/a", NORMAL)).await?, "one file is one message");
        store.insert(&message("1", "/b", URGENT)).await?;
        store.insert(&message("2", "/c", NORMAL)).await?;
        assert_eq!(
            store.counts("1", "d").await?,
            Counts { new: 2, new_urgent: 1, ..Counts::default() }
        );
        let new = store.messages("1", "d", Which::Unread, false).await?;
        assert_eq!(new.iter().map(|m| m.path.as_str()).collect::<Vec<_>>(), ["/b", "/a"]);
        assert_eq!(new[0].cid_name, "O'Neil  Bcc: x\"; --");
        store.flag("u-/a", "save", None).await?;
        store.settle("1", "d").await?;
        assert_eq!(
            store.counts("1", "d").await?,
            Counts { new: 1, saved: 1, new_urgent: 1, saved_urgent: 0 }
        );
        assert_eq!((store.seconds("1", "d").await?, store.seconds("9", "d").await?), (14, 0));
        store.set_read("d", None, true).await?;
        assert_eq!(store.counts("2", "d").await?.saved, 1, "the whole domain is meant");
        store.delete("1", "d", None).await?;
        assert_eq!(store.listed("1", "d", None).await?, []);
        assert_eq!(store.paths("x", "y", Some("u-/c")).await?, ["/c"]);
        Ok(())
    }

    #[tokio::test]
    async fn a_message_is_unfinished_until_it_is_stored() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("vm", folder.path()).await?;
        let mut begun = Unfinished {
            path: "/a".into(),
            user: "1".into(),
            domain: "d".into(),
            uuid: "u".into(),
            cid_name: "n".into(),
            cid_number: "5".into(),
        };
        store.begin("here", &begun).await?;
        begun.path = "/b".into();
        store.begin("here", &begun).await?;
        assert_eq!(store.unfinished("here").await?.len(), 2);
        assert_eq!(store.unfinished("elsewhere").await?, []);
        store.insert(&message("1", "/a", NORMAL)).await?;
        assert_eq!(store.unfinished("here").await?, [begun]);
        store.forget("/b").await?;
        assert_eq!(store.unfinished("here").await?, []);
        Ok(())
    }

    #[tokio::test]
    async fn preferences_are_kept_one_by_one() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("vm", folder.path()).await?;
        assert_eq!(store.prefs("1", "d").await?, None);
        store.set_pref("1", "d", Pref::Password, Some("42")).await?;
        store.set_pref("1", "d", Pref::Greeting, Some("/g")).await?;
        store.set_pref("1", "d", Pref::Greeting, None).await?;
        let kept = store.prefs("1", "d").await?.unwrap();
        assert_eq!((kept.password.as_str(), kept.greeting_path.as_str()), ("42", ""));
        Ok(())
    }
}
