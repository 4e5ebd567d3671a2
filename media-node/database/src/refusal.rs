//! What a database refuses for good, as opposed to one that cannot be reached.

use crate::{Arg, Database, Error, Pool, to_postgres, to_sqlite};
use sqlx::{Acquire as _, AssertSqlSafe};

/// Why trying a statement again changes nothing by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A value does not fit its column, or a constraint.
    Row,
    /// The statement: a table or column that is not there, a right that is missing.
    Statement,
}

impl Refusal {
    /// Whether an SQL state of PostgreSQL is one of these. Among those of rows are limits of the server that a long value
    /// goes beyond (54), and what a trigger raises (P0).
    #[must_use]
    pub fn of_state(code: &str) -> Option<Self> {
        match code.get(..2)? {
            "21" | "22" | "23" | "44" | "54" | "P0" => Some(Self::Row),
            "42" | "3F" => Some(Self::Statement),
            _ => None,
        }
    }
}

impl Error {
    /// Whether the database has read the statement and refuses it.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let Self::Database(sqlx::Error::Database(error)) = self else { return None };
        let code = error.code()?;
        if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
            // Extended result codes have the primary one in their lowest byte.
            return match code.parse::<u32>().ok()? & 0xff {
                18..=20 => Some(Refusal::Row),
                1 | 25 => Some(Refusal::Statement),
                _ => None,
            };
        }
        Refusal::of_state(&code)
    }
}

impl Database {
    /// Tries statements one by one and takes all of it back: what each would be refused for.
    ///
    /// # Errors
    /// A database that cannot be asked.
    pub async fn refusals(
        &self,
        all: Vec<(String, Vec<Arg>)>,
    ) -> Result<Vec<Option<Error>>, Error> {
        // The same for both kinds, whose connections are of different types.
        macro_rules! tried {
            ($pool:expr, $arguments:path) => {{
                let mut transaction = $pool.begin().await?;
                let mut found = Vec::with_capacity(all.len());
                for (statement, args) in all {
                    let mut savepoint = transaction.begin().await?;
                    let query = sqlx::query_with(AssertSqlSafe(statement), $arguments(args)?);
                    match query.execute(&mut *savepoint).await.map_err(Error::from) {
                        Ok(_) => {
                            savepoint.commit().await?;
                            found.push(None);
                        }
                        Err(error) if error.refusal().is_some() => {
                            savepoint.rollback().await?;
                            found.push(Some(error));
                        }
                        Err(error) => return Err(error),
                    }
                }
                transaction.rollback().await?;
                Ok(found)
            }};
        }
        match &self.pool {
            Pool::Sqlite(pool) => {
                let pool = pool.clone();
                crate::ours(async move { tried!(pool, to_sqlite) }).await
            }
            Pool::Postgres(pool) => tried!(pool, to_postgres),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    #[test]
    fn states_that_trying_again_does_not_change_are_refusals() {
        for code in ["21000", "22001", "23505", "44000", "54000", "P0001"] {
            assert_eq!(Refusal::of_state(code), Some(Refusal::Row), "{code}");
        }
        assert_eq!(Refusal::of_state("42P01"), Some(Refusal::Statement));
        for code in ["", "5", "08006", "40001", "53100", "57P01"] {
            assert_eq!(Refusal::of_state(code), None, "{code}");
        }
    }

    #[tokio::test]
    async fn what_is_refused_is_told_and_nothing_is_kept() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let open = Database::open("test", folder.path()).await?;
        open.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)", args![]).await?;
        let insert =
            |table: &str, key: i64| (format!("INSERT INTO {table} (a) VALUES ($1)"), args![key]);
        let all = vec![insert("t", 1), insert("t", 1), insert("nothing", 1), insert("t", 2)];
        let found = open.refusals(all).await?;
        let kinds: Vec<_> =
            found.iter().map(|error| error.as_ref().and_then(Error::refusal)).collect();
        assert_eq!(kinds, [None, Some(Refusal::Row), Some(Refusal::Statement), None]);
        assert!(open.row("SELECT a FROM t", args![]).await?.is_none());
        Ok(())
    }
}
