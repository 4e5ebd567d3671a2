//! `db`, `group` and the `db` backend of `limit`: one SQLite file, opened when it is first needed.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row, query};
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
    for table in TABLES {
        query(*table).execute(&pool).await?;
    }
    // Calls of an earlier run hold nothing any more.
    query("DELETE FROM limit_data WHERE hostname = ?").bind(hostname).execute(&pool).await?;
    Ok(pool)
}

impl Open<'_> {
    /// Sets a value.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn insert(&self, realm: &str, key: &str, value: &str) -> Result<(), sqlx::Error> {
        query(
            "INSERT OR REPLACE INTO db_data (hostname, realm, data_key, data) VALUES (?, ?, ?, ?)",
        )
        .bind(self.hostname)
        .bind(realm)
        .bind(key)
        .bind(value)
        .execute(self.pool)
        .await?;
        Ok(())
    }

    /// A value.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn select(&self, realm: &str, key: &str) -> Result<Option<String>, sqlx::Error> {
        let row = query("SELECT data FROM db_data WHERE realm = ? AND data_key = ?")
            .bind(realm)
            .bind(key)
            .fetch_optional(self.pool)
            .await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    /// Deletes a value, or all of a realm.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn delete(&self, realm: &str, key: Option<&str>) -> Result<(), sqlx::Error> {
        match key {
            Some(key) => {
                query("DELETE FROM db_data WHERE realm = ? AND data_key = ?")
                    .bind(realm)
                    .bind(key)
                    .execute(self.pool)
                    .await?
            }
            None => {
                query("DELETE FROM db_data WHERE realm = ?").bind(realm).execute(self.pool).await?
            }
        };
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

    /// Realms, or the keys of one.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn list(&self, realm: Option<&str>) -> Result<Vec<String>, sqlx::Error> {
        let rows = match realm {
            Some(realm) => {
                query("SELECT DISTINCT data_key FROM db_data WHERE realm = ?")
                    .bind(realm)
                    .fetch_all(self.pool)
                    .await?
            }
            None => query("SELECT DISTINCT realm FROM db_data").fetch_all(self.pool).await?,
        };
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    /// Adds a member to a group.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn group_insert(&self, group: &str, url: &str) -> Result<(), sqlx::Error> {
        query("INSERT INTO group_data (hostname, groupname, url) VALUES (?, ?, ?)")
            .bind(self.hostname)
            .bind(group)
            .bind(url)
            .execute(self.pool)
            .await?;
        Ok(())
    }

    /// Takes a member out of a group; `*` all.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn group_delete(&self, group: &str, url: &str) -> Result<(), sqlx::Error> {
        query("DELETE FROM group_data WHERE groupname = ? AND (url = ? OR ? = '*')")
            .bind(group)
            .bind(url)
            .bind(url)
            .execute(self.pool)
            .await?;
        Ok(())
    }

    /// Members of a group in the order they came.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn group(&self, group: &str) -> Result<Vec<String>, sqlx::Error> {
        let rows = query("SELECT url FROM group_data WHERE groupname = ? ORDER BY rowid")
            .bind(group)
            .fetch_all(self.pool)
            .await?;
        rows.iter().map(|row| row.try_get(0)).collect()
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
