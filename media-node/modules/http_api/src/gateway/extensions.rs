//! A table of users that another program keeps (`extensions-dsn`), as a source of the directory.
//!
//! The administrator's query is asked for each user that neither the files nor the resources know; its columns are known by
//! the names they usually have. Passwords are taken as they are: the table is its owner's.

use std::time::Duration;

use database::{Arg, Database, Row};
use dialplan_xml::Tree;
use provisioning::{User, xml};
use switch_core::switch::Switch;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

/// The query, unless the settings have another. `$1` is the user, `$2` the domain.
pub(super) const QUERY: &str = "select * from extensions where extension = $1";
/// How long a lookup waits for the database.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lookups at once: strangers that try names must not keep the database from others.
const AT_ONCE: usize = 16;
/// Longest name that is asked for, bytes.
const LONGEST: usize = 128;

/// The database cannot be asked.
pub(super) struct Unasked;

/// The table.
pub(super) struct Extensions {
    name: String,
    query: String,
    database: Mutex<Option<Database>>,
    places: Semaphore,
}

impl Extensions {
    pub(super) fn new(name: &str, query: &str) -> Self {
        Self {
            name: name.to_owned(),
            query: query.to_owned(),
            database: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// The directory with one user of the table; `None` where there is no such user.
    pub(super) async fn find(
        &self,
        switch: &Switch,
        user: &str,
        domain: &str,
    ) -> Result<Option<Tree>, Unasked> {
        if user.len() > LONGEST || domain.len() > LONGEST {
            return Ok(None);
        }
        let Ok(_place) = self.places.try_acquire() else {
            tracing::warn!("extensions-dsn: too many lookups at once");
            return Err(Unasked);
        };
        let row = match timeout(PATIENCE, self.row(switch, user, domain)).await {
            Ok(Ok(row)) => row,
            Ok(Err(error)) => {
                tracing::error!("extensions-dsn: {error}");
                return Err(Unasked);
            }
            Err(_) => {
                tracing::error!("extensions-dsn: no answer within {} s", PATIENCE.as_secs());
                return Err(Unasked);
            }
        };
        let found = row.and_then(|row| read(&row, user, domain));
        Ok(found.and_then(|found| xml::of_user(&switch.config.load().tree, &found)))
    }

    async fn row(
        &self,
        switch: &Switch,
        user: &str,
        domain: &str,
    ) -> Result<Option<Row>, database::Error> {
        let open = {
            let mut open = self.database.lock().await;
            match open.as_ref() {
                Some(open) => open.clone(),
                None => {
                    let new = Database::open(&self.name, &switch.dirs.db_dir).await?;
                    open.insert(new).clone()
                }
            }
        };
        let mut arguments = vec![Arg::from(user)];
        if self.query.contains("$2") {
            arguments.push(Arg::from(domain));
        }
        open.row(&self.query, arguments).await
    }
}

/// The user of a row. A row of another domain, and one that is switched off, is none.
fn read(row: &Row, user: &str, domain: &str) -> Option<User> {
    let first = |names: &[&str]| {
        let value = names.iter().find_map(|name| row.named(name).filter(|value| !value.is_empty()));
        value.unwrap_or_default().trim().to_owned()
    };
    let off = ["0", "f", "false", "no", "off", "n", "inactive", "disabled", "suspended"];
    let state = first(&["enabled", "active", "is_active", "status"]).to_ascii_lowercase();
    if off.contains(&state.as_str()) {
        return None;
    }
    let own = first(&["domain", "sip_domain", "domain_name", "realm"]);
    if !own.is_empty() && !own.eq_ignore_ascii_case(domain) {
        return None;
    }
    let found = User {
        user: user.to_owned(),
        domain: domain.to_owned(),
        password: first(&["password", "sip_password", "secret"]),
        a1_hash: first(&["a1_hash", "ha1", "md5_secret"]),
        vm_password: first(&["vm_password", "voicemail_pin", "voicemail_password", "pin"]),
        email: first(&["email", "voicemail_email", "mail"]),
        caller_id_name: first(&[
            "caller_id_name",
            "display_name",
            "callerid_name",
            "full_name",
            "name",
        ]),
        caller_id_number: first(&["caller_id_number", "callerid_number", "extension"]),
        outbound_caller_id_name: first(&["outbound_caller_id_name"]),
        outbound_caller_id_number: first(&["outbound_caller_id_number", "outbound_cid"]),
        context: first(&["context", "user_context"]),
        account_code: first(&["account_code", "accountcode"]),
        toll_allow: first(&["toll_allow"]),
        ..User::default()
    };
    // Without either no client could prove to be the user; with an empty password every client could.
    (!found.password.is_empty() || !found.a1_hash.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use dialplan_xml::directory::Directory;

    use super::*;

    async fn asked(seed: &[&str], query: &str, user: &str, domain: &str) -> Option<User> {
        let folder = tempfile::tempdir().expect("a folder");
        let open = Database::open("seed", folder.path()).await.expect("a database");
        for statement in seed {
            open.execute(statement, Vec::new()).await.expect("done");
        }
        let mut arguments = vec![Arg::from(user)];
        if query.contains("$2") {
            arguments.push(Arg::from(domain));
        }
        let row = open.row(query, arguments).await.expect("an answer")?;
        read(&row, user, domain)
    }

    #[tokio::test]
    async fn rows_of_usual_seeds_are_users() {
        let seed = [
            "create table extensions (extension varchar, domain varchar, password varchar, display_name varchar, enabled boolean)",
            "insert into extensions values ('100', 'a.test', 'p<1>', 'Ann & Co', 1), ('101', 'a.test', 'p', '', 0), ('102', 'a.test', '', '', 1)",
        ];
        let found = asked(&seed, QUERY, "100", "A.test").await.expect("a user");
        assert_eq!((found.password.as_str(), found.caller_id_name.as_str()), ("p<1>", "Ann & Co"));
        let empty = dialplan_xml::parse_raw("<document/>", "test").tree.expect("a tree");
        let tree = xml::of_user(&empty, &found).expect("a tree");
        let user = Directory::compile(&tree).find_user("100", "a.test").expect("a user");
        assert_eq!(user.params.last("password"), Some("p<1>"));
        for none in
            [("100", "b.test"), ("101", "a.test"), ("102", "a.test"), ("' or 1=1 --", "a.test")]
        {
            assert!(asked(&seed, QUERY, none.0, none.1).await.is_none(), "{none:?}");
        }
        let seed = [
            "create table sip_users (username varchar, sip_password varchar, realm varchar)",
            "insert into sip_users values ('7', 'secret', 'a.test'), ('7', 'other', 'b.test')",
        ];
        let query = "select * from sip_users where username = $1 and realm = $2";
        let found = asked(&seed, query, "7", "b.test").await.expect("a user");
        assert_eq!(found.password, "other");
    }
}
