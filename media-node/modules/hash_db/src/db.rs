//! `db`, `group` and the `db` backend of `limit`: one SQLite file, opened when it is first needed.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row, query};

use base::far;
use tokio::sync::OnceCell;

/// The file keeps the reference's name and tables, so that either switch can read the other's.
const FILE: &str = "call_limit.db";

const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS db_data (hostname VARCHAR(255), realm VARCHAR(255), data_key VARCHAR(255), data VARCHAR(255))",
    "CREATE UNIQUE INDEX IF NOT EXISTS dd_data_key_realm ON db_data (data_key, realm)",
    "CREATE INDEX IF NOT EXISTS dd_realm ON db_data (realm)",
    "CREATE TABLE IF NOT EXISTS group_data (hostname VARCHAR(255), groupname VARCHAR(255), url VARCHAR(255))",
    "CREATE INDEX IF NOT EXISTS gd_groupname ON group_data (groupname)",
    "CREATE TABLE IF NOT EXISTS limit_data (hostname VARCHAR(255), realm VARCHAR(255), id VARCHAR(255), uuid VARCHAR(255))",
    "CREATE INDEX IF NOT EXISTS ld_realm_id ON limit_data (realm, id)",
    "CREATE INDEX IF NOT EXISTS ld_uuid ON limit_data (uuid)",
];

/// Beside the reference's tables, which hold plain text: rows some part of which a far end said, as marked texts
/// ([`base::far`]). A mark counts only while the plain row still says the same.
const FAR_TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS far_data (realm TEXT, data_key TEXT, marked_realm TEXT, marked_key TEXT, marked TEXT, \
     PRIMARY KEY (data_key, realm))",
    "CREATE TABLE IF NOT EXISTS far_group (groupname TEXT, url TEXT, marked TEXT, PRIMARY KEY (groupname, url))",
];

/// The database, open or not.
#[derive(Default)]
pub struct Db {
    pool: OnceCell<SqlitePool>,
}

/// A handle on the open database.
pub struct Open<'d> {
    pool: &'d SqlitePool,
    hostname: &'d str,
}

impl Db {
    /// Has anybody needed it yet?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.pool.initialized()
    }

    /// Opens the file in `dir`, or takes the open one.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn open<'d>(
        &'d self,
        dir: &std::path::Path,
        hostname: &'d str,
    ) -> Result<Open<'d>, sqlx::Error> {
        let pool = self.pool.get_or_try_init(|| connect(dir.join(FILE), hostname)).await?;
        Ok(Open { pool, hostname })
    }
}

async fn connect(path: PathBuf, hostname: &str) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(5));
    // One connection: writers of SQLite wait for each other in any case.
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    for table in TABLES.iter().chain(FAR_TABLES) {
        query(*table).execute(&pool).await?;
    }
    // Calls of an earlier run hold nothing any more.
    query("DELETE FROM limit_data WHERE hostname = ?").bind(hostname).execute(&pool).await?;
    Ok(pool)
}

/// The marked form of a text read, where there is one and it says the same.
fn marked_or_plain(plain: String, marked: Option<String>) -> String {
    marked.filter(|marked| far::plain(marked) == plain).unwrap_or(plain)
}

impl Open<'_> {
    /// Sets a value. What a far end said in realm, key or value stays marked when it is read.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn insert(&self, realm: &str, key: &str, value: &str) -> Result<(), sqlx::Error> {
        let mut both = self.pool.begin().await?;
        query(
            "INSERT OR REPLACE INTO db_data (hostname, realm, data_key, data) VALUES (?, ?, ?, ?)",
        )
        .bind(self.hostname)
        .bind(far::plain(realm).as_ref())
        .bind(far::plain(key).as_ref())
        .bind(far::plain(value).as_ref())
        .execute(&mut *both)
        .await?;
        let marked = [realm, key, value].into_iter().any(far::is_marked);
        let change = if marked {
            "INSERT OR REPLACE INTO far_data (realm, data_key, marked_realm, marked_key, marked) VALUES (?, ?, ?, ?, ?)"
        } else {
            "DELETE FROM far_data WHERE realm = ? AND data_key = ?"
        };
        let change = query(change)
            .bind(far::plain(realm).as_ref().to_owned())
            .bind(far::plain(key).as_ref().to_owned());
        let change = if marked { change.bind(realm).bind(key).bind(value) } else { change };
        change.execute(&mut *both).await?;
        both.commit().await
    }

    /// A value, marked where a far end said it.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn select(&self, realm: &str, key: &str) -> Result<Option<String>, sqlx::Error> {
        let row = query(
            "SELECT data, marked FROM db_data LEFT JOIN far_data USING (realm, data_key) WHERE realm = ? AND data_key = ?",
        )
        .bind(far::plain(realm).as_ref())
        .bind(far::plain(key).as_ref())
        .fetch_optional(self.pool)
        .await?;
        row.map(|row| Ok(marked_or_plain(row.try_get(0)?, row.try_get(1)?))).transpose()
    }

    /// Deletes a value, or all of a realm.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn delete(&self, realm: &str, key: Option<&str>) -> Result<(), sqlx::Error> {
        for (of_key, of_realm) in [
            (
                "DELETE FROM db_data WHERE realm = ? AND data_key = ?",
                "DELETE FROM db_data WHERE realm = ?",
            ),
            (
                "DELETE FROM far_data WHERE realm = ? AND data_key = ?",
                "DELETE FROM far_data WHERE realm = ?",
            ),
        ] {
            let delete = query(if key.is_some() { of_key } else { of_realm })
                .bind(far::plain(realm).as_ref().to_owned());
            match key {
                Some(key) => delete.bind(far::plain(key).as_ref().to_owned()),
                None => delete,
            }
            .execute(self.pool)
            .await?;
        }
        Ok(())
    }

    /// How many values there are, in all or in a realm.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn count(&self, realm: Option<&str>) -> Result<i64, sqlx::Error> {
        let row = match realm {
            Some(realm) => {
                query("SELECT count(*) FROM db_data WHERE realm = ?")
                    .bind(realm)
                    .fetch_one(self.pool)
                    .await?
            }
            None => query("SELECT count(*) FROM db_data").fetch_one(self.pool).await?,
        };
        row.try_get(0)
    }

    /// Realms, or the keys of one, marked where a far end said them.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn list(&self, realm: Option<&str>) -> Result<Vec<String>, sqlx::Error> {
        let rows = match realm {
            Some(realm) => {
                query(
                    "SELECT data_key, max(marked_key) FROM db_data LEFT JOIN far_data USING (realm, data_key) \
                     WHERE realm = ? GROUP BY data_key ORDER BY min(db_data.rowid)",
                )
                .bind(far::plain(realm).as_ref())
                .fetch_all(self.pool)
                .await?
            }
            None => {
                query(
                    "SELECT realm, max(marked_realm) FROM db_data LEFT JOIN far_data USING (realm, data_key) \
                     GROUP BY realm ORDER BY min(db_data.rowid)",
                )
                .fetch_all(self.pool)
                .await?
            }
        };
        rows.iter().map(|row| Ok(marked_or_plain(row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Adds a member to a group. What a far end said in it stays marked when it is read.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn group_insert(&self, group: &str, url: &str) -> Result<(), sqlx::Error> {
        let mut both = self.pool.begin().await?;
        query("INSERT INTO group_data (hostname, groupname, url) VALUES (?, ?, ?)")
            .bind(self.hostname)
            .bind(far::plain(group).as_ref())
            .bind(far::plain(url).as_ref())
            .execute(&mut *both)
            .await?;
        let change = if far::is_marked(url) {
            "INSERT OR REPLACE INTO far_group (groupname, url, marked) VALUES (?, ?, ?)"
        } else {
            "DELETE FROM far_group WHERE groupname = ? AND url = ?"
        };
        let change = query(change)
            .bind(far::plain(group).as_ref().to_owned())
            .bind(far::plain(url).as_ref().to_owned());
        let change = if far::is_marked(url) { change.bind(url) } else { change };
        change.execute(&mut *both).await?;
        both.commit().await
    }

    /// Takes a member out of a group; `*` all.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn group_delete(&self, group: &str, url: &str) -> Result<(), sqlx::Error> {
        for delete in [
            "DELETE FROM group_data WHERE groupname = ? AND (url = ? OR ? = '*')",
            "DELETE FROM far_group WHERE groupname = ? AND (url = ? OR ? = '*')",
        ] {
            query(delete)
                .bind(far::plain(group).as_ref())
                .bind(far::plain(url).as_ref())
                .bind(far::plain(url).as_ref())
                .execute(self.pool)
                .await?;
        }
        Ok(())
    }

    /// Members of a group in the order they came, marked where a far end said them.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn group(&self, group: &str) -> Result<Vec<String>, sqlx::Error> {
        let rows = query(
            "SELECT url, marked FROM group_data LEFT JOIN far_group USING (groupname, url) WHERE groupname = ? \
             ORDER BY group_data.rowid",
        )
        .bind(far::plain(group).as_ref())
        .fetch_all(self.pool)
        .await?;
        rows.iter().map(|row| Ok(marked_or_plain(row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Takes a resource for a call: the count before it, and whether it was had.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn limit_take(
        &self,
        realm: &str,
        id: &str,
        uuid: &str,
        max: Option<u32>,
    ) -> Result<(u32, bool), sqlx::Error> {
        // One statement decides and counts, so that two calls cannot both take the last one.
        let most = max.map_or(i64::MAX, i64::from);
        let taken = query(
            "INSERT INTO limit_data (hostname, realm, id, uuid) SELECT ?, ?, ?, ? \
             WHERE (SELECT count(*) FROM limit_data WHERE realm = ? AND id = ?) < ? \
             AND NOT EXISTS (SELECT 1 FROM limit_data WHERE realm = ? AND id = ? AND uuid = ?)",
        )
        .bind(self.hostname)
        .bind(realm)
        .bind(id)
        .bind(uuid)
        .bind(realm)
        .bind(id)
        .bind(most)
        .bind(realm)
        .bind(id)
        .bind(uuid)
        .execute(self.pool)
        .await?
        .rows_affected();
        let holds = query("SELECT 1 FROM limit_data WHERE realm = ? AND id = ? AND uuid = ?")
            .bind(realm)
            .bind(id)
            .bind(uuid)
            .fetch_optional(self.pool)
            .await?
            .is_some();
        Ok((self.limit_usage(realm, id).await?, taken > 0 || holds))
    }

    /// How many calls hold a resource.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn limit_usage(&self, realm: &str, id: &str) -> Result<u32, sqlx::Error> {
        let row = query("SELECT count(hostname) FROM limit_data WHERE realm = ? AND id = ?")
            .bind(realm)
            .bind(id)
            .fetch_one(self.pool)
            .await?;
        row.try_get(0)
    }

    /// Forgets what a call holds: everything, or one resource.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn limit_release(
        &self,
        uuid: &str,
        only: Option<(&str, &str)>,
    ) -> Result<(), sqlx::Error> {
        match only {
            Some((realm, id)) => {
                query("DELETE FROM limit_data WHERE uuid = ? AND realm = ? AND id = ?")
                    .bind(uuid)
                    .bind(realm)
                    .bind(id)
                    .execute(self.pool)
                    .await?
            }
            None => {
                query("DELETE FROM limit_data WHERE uuid = ?").bind(uuid).execute(self.pool).await?
            }
        };
        Ok(())
    }

    /// Forgets what all calls hold.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn limit_reset(&self) -> Result<(), sqlx::Error> {
        query("DELETE FROM limit_data").execute(self.pool).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("db-test-{}", uuid::Uuid::new_v4()));
            std::fs::create_dir_all(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn values_survive_the_process() -> Result<(), sqlx::Error> {
        let folder = Folder::new();
        {
            let db = Db::default();
            assert!(!db.is_open());
            db.open(&folder.0, "host").await?.insert("r", "k", "it's").await?;
        }
        let db = Db::default();
        let open = db.open(&folder.0, "host").await?;
        assert_eq!(open.select("r", "k").await?.as_deref(), Some("it's"));
        open.insert("r", "k", "new").await?;
        assert_eq!(open.count(Some("r")).await?, 1);
        assert_eq!(open.list(None).await?, ["r"]);
        open.delete("r", None).await?;
        assert_eq!(open.count(None).await?, 0);
        Ok(())
    }

    #[tokio::test]
    async fn the_last_one_is_taken_once() -> Result<(), sqlx::Error> {
        let folder = Folder::new();
        let db = Db::default();
        let open = db.open(&folder.0, "host").await?;
        assert_eq!(open.limit_take("r", "i", "a", Some(1)).await?, (1, true));
        assert_eq!(open.limit_take("r", "i", "a", Some(1)).await?, (1, true));
        assert_eq!(open.limit_take("r", "i", "b", Some(1)).await?, (1, false));
        open.limit_release("a", None).await?;
        assert_eq!(open.limit_take("r", "i", "b", None).await?, (1, true));
        Ok(())
    }

    #[tokio::test]
    async fn what_a_far_end_said_stays_marked_and_lies_plain_in_the_reference_s_tables()
    -> Result<(), sqlx::Error> {
        let folder = Folder::new();
        let said = format!("x={}", far::mark("a,b}{sofia/evil"));
        {
            let db = Db::default();
            let open = db.open(&folder.0, "host").await?;
            open.insert("r", "k", &said).await?;
            open.insert("r", &far::mark("key,2"), "own").await?;
            open.group_insert("g", &said).await?;
            open.group_insert("g", "sofia/own").await?;
        }
        // Also in another process, and for those who look with the reference's eyes.
        let db = Db::default();
        let open = db.open(&folder.0, "host").await?;
        assert_eq!(open.select("r", "k").await?.as_deref(), Some(&*said));
        assert_eq!(open.list(Some("r")).await?, ["k".to_owned(), far::mark("key,2")]);
        assert_eq!(open.select("r", "key,2").await?.as_deref(), Some("own"));
        assert_eq!(open.group("g").await?, [said.clone(), "sofia/own".to_owned()]);
        let plain: String = query("SELECT data FROM db_data WHERE data_key = 'k'")
            .fetch_one(open.pool)
            .await?
            .try_get(0)?;
        assert_eq!(plain, far::plain(&said));
        query("UPDATE db_data SET data = 'changed' WHERE data_key = 'k'")
            .execute(open.pool)
            .await?;
        assert_eq!(open.select("r", "k").await?.as_deref(), Some("changed"));
        open.insert("r", "k", &far::plain(&said)).await?;
        assert_eq!(
            open.select("r", "k").await?.as_deref(),
            Some(&*far::plain(&said)),
            "an administrator's own"
        );
        open.group_delete("g", &said).await?;
        assert_eq!(open.group("g").await?, ["sofia/own"]);
        Ok(())
    }

    #[tokio::test]
    async fn groups_keep_their_order() -> Result<(), sqlx::Error> {
        let folder = Folder::new();
        let db = Db::default();
        let open = db.open(&folder.0, "host").await?;
        for url in ["z", "a", "m"] {
            open.group_insert("g", url).await?;
        }
        open.group_delete("g", "a").await?;
        assert_eq!(open.group("g").await?, ["z", "m"]);
        open.group_delete("g", "*").await?;
        assert!(open.group("g").await?.is_empty());
        Ok(())
    }
}
