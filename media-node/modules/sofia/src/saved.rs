//! Registrations on disk, so that phones stay reachable when the switch starts again, however it ended.
//!
//! The file keeps the reference's name and table (`sofia_reg_<profile>.db`, `sip_registrations`) with three columns of our
//! own. Changes are written in batches: what comes within a twentieth of a second of one batch makes up the next.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use sip::registrar::{Binding, Changed};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Row, query};

use super::profile::Profile;
use crate::clock;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS sip_registrations (\
     call_id VARCHAR(255), sip_user VARCHAR(255), sip_host VARCHAR(255), presence_hosts VARCHAR(255), \
     contact VARCHAR(1024), status VARCHAR(255), ping_status VARCHAR(255), ping_count INTEGER, ping_time BIGINT, \
     force_ping INTEGER, rpid VARCHAR(255), expires BIGINT, ping_expires INTEGER NOT NULL DEFAULT 0, \
     user_agent VARCHAR(255), server_user VARCHAR(255), server_host VARCHAR(255), profile_name VARCHAR(255), \
     hostname VARCHAR(255), network_ip VARCHAR(255), network_port VARCHAR(6), sip_username VARCHAR(255), \
     sip_realm VARCHAR(255), mwi_user VARCHAR(255), mwi_host VARCHAR(255), orig_server_host VARCHAR(255), \
     orig_hostname VARCHAR(255), sub_host VARCHAR(255))";
const INDEX: &str =
    "CREATE INDEX IF NOT EXISTS sr_sip_user_host ON sip_registrations (sip_user, sip_host)";
/// Columns the reference does not have.
const OWN: &[(&str, &str)] = &[
    ("granted", "INTEGER NOT NULL DEFAULT 0"),
    ("network_proto", "VARCHAR(16) NOT NULL DEFAULT 'udp'"),
    ("metadata", "VARCHAR(1024) NOT NULL DEFAULT ''"),
];
/// When nothing was noticed to change, it is looked after so often.
const LOOK: Duration = Duration::from_secs(1);
/// From one batch to the next at least. A phone that registers alone is on disk at once; many that do are written together.
const BETWEEN: Duration = Duration::from_millis(50);

/// The registrations of one profile on disk.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    pool: SqlitePool,
    profile: String,
}

impl Saved {
    /// Opens the file of a profile, or makes it.
    pub(super) async fn open(dir: &Path, profile: &str) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(file(dir, profile))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        query(TABLE).execute(&pool).await?;
        query(INDEX).execute(&pool).await?;
        for (name, kind) in OWN {
            // Fails where it is there already; where it could not be added, reading fails.
            let _there = query(sqlx::AssertSqlSafe(format!(
                "ALTER TABLE sip_registrations ADD {name} {kind}"
            )))
            .execute(&pool)
            .await;
        }
        Ok(Self { pool, profile: profile.to_owned() })
    }

    /// The registrations that have not ended; the others are removed.
    pub(super) async fn load(&self, now: i64) -> Result<Vec<Binding>, sqlx::Error> {
        query("DELETE FROM sip_registrations WHERE profile_name = ? AND expires <= ?")
            .bind(&self.profile)
            .bind(now)
            .execute(&self.pool)
            .await?;
        let rows = query(
            "SELECT sip_user, sip_host, contact, call_id, expires, granted, status, user_agent, network_ip, \
             network_port, network_proto, sip_username, sip_realm, mwi_user, mwi_host, metadata \
             FROM sip_registrations WHERE profile_name = ? ORDER BY rowid",
        )
        .bind(&self.profile)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(binding).collect()
    }

    /// Writes what changed, all or nothing: one statement each for what goes and what comes, however much it is, since
    /// each costs a turn of the database's thread.
    pub(super) async fn write(&self, changed: &[Changed]) -> Result<(), sqlx::Error> {
        let accounts = changed.iter().map(|(key, _)| {
            let (user, host) = key.rsplit_once('@').unwrap_or((key, ""));
            json!([user, host])
        });
        let accounts = Value::from_iter(accounts).to_string();
        let bindings = changed.iter().flat_map(|(_, list)| list).map(row);
        let bindings = Value::from_iter(bindings).to_string();
        let mut transaction = self.pool.begin().await?;
        query(
            "DELETE FROM sip_registrations WHERE profile_name = ? AND (sip_user, lower(sip_host)) IN \
             (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
        )
        .bind(&self.profile)
        .bind(accounts)
        .execute(&mut *transaction)
        .await?;
        query(
            "INSERT INTO sip_registrations (sip_user, sip_host, contact, call_id, expires, granted, status, user_agent, \
             network_ip, network_port, network_proto, sip_username, sip_realm, mwi_user, mwi_host, metadata, \
             profile_name, rpid, ping_status, ping_count, ping_time) \
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
             value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, \
             value ->> 14, value ->> 15, ?, 'unknown', 'Reachable', 0, 0 FROM json_each(?)",
        )
        .bind(&self.profile)
        .bind(bindings)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }
}

/// A binding's values in the order in which they are filed.
fn row(b: &Binding) -> Value {
    let (mwi_user, mwi_host) = b.mwi_account.split_once('@').unwrap_or((&b.mwi_account, ""));
    json!([
        b.user,
        b.host,
        b.contact,
        b.call_id,
        b.expires,
        b.granted,
        b.status,
        b.user_agent,
        b.network_ip,
        b.network_port.to_string(),
        b.network_proto,
        b.auth_user,
        b.auth_realm,
        mwi_user,
        mwi_host,
        b.metadata,
    ])
}

fn file(dir: &Path, profile: &str) -> PathBuf {
    // The name is the administrator's, and becomes one component of a path.
    dir.join(format!("sofia_reg_{}.db", profile.replace(['/', '\0'], "_")))
}

fn binding(row: &SqliteRow) -> Result<Binding, sqlx::Error> {
    let text = |name: &str| row.try_get::<Option<String>, _>(name).map(Option::unwrap_or_default);
    Ok(Binding {
        user: text("sip_user")?,
        host: text("sip_host")?,
        contact: text("contact")?,
        call_id: text("call_id")?,
        expires: row.try_get("expires")?,
        granted: row.try_get("granted")?,
        status: text("status")?,
        user_agent: text("user_agent")?,
        network_ip: text("network_ip")?,
        network_port: text("network_port")?.parse().unwrap_or(5060),
        network_proto: text("network_proto")?,
        auth_user: text("sip_username")?,
        auth_realm: text("sip_realm")?,
        mwi_account: format!("{}@{}", text("mwi_user")?, text("mwi_host")?),
        metadata: text("metadata")?,
    })
}

/// Opens a profile's registrations and gives those of an earlier run. Without the file the profile works, and forgets.
pub(super) async fn restore(dir: &Path, profile: &str) -> (Option<Saved>, Vec<Binding>) {
    let opened = async {
        let saved = Saved::open(dir, profile).await?;
        let bindings = saved.load(clock::now_secs()).await?;
        Ok::<_, sqlx::Error>((saved, bindings))
    };
    match opened.await {
        Ok((saved, bindings)) => (Some(saved), bindings),
        Err(error) => {
            tracing::error!(
                "profile {profile}: registrations are kept in memory only: {}: {error}",
                file(dir, profile).display()
            );
            (None, Vec::new())
        }
    }
}

/// Writes a profile's registrations as they change.
pub(super) fn keep(profile: &Arc<Profile>, saved: Option<Saved>) {
    let Some(saved) = saved else { return };
    let weak = Arc::downgrade(profile);
    crate::tasks::keep_running(format!("Registrations of {}", profile.name), move || {
        write_changes(weak.clone(), saved.clone())
    });
}

async fn write_changes(profile: Weak<Profile>, saved: Saved) {
    let mut failed = false;
    loop {
        let Some(profile) = profile.upgrade() else { return };
        let changed = profile.bindings.lock().take_changed();
        let wrote = (!changed.is_empty()).then(tokio::time::Instant::now);
        if wrote.is_some()
            && let Err(error) = saved.write(&changed).await
        {
            profile.bindings.lock().changed_again(changed);
            if !std::mem::replace(&mut failed, true) {
                tracing::error!("profile {}: registrations not written: {error}", profile.name);
            }
            tokio::time::sleep(LOOK).await;
            continue;
        }
        failed = false;
        if profile.is_stopped() {
            return;
        }
        let noticed = Arc::clone(&profile.registrations_changed);
        drop(profile);
        if let Some(wrote) = wrote {
            // A profile that is stopped meanwhile has the rest written by the next turn.
            tokio::time::sleep_until(wrote + BETWEEN).await;
        }
        let _in_any_case = tokio::time::timeout(LOOK, noticed.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::registrar::{Bindings, Multiple};

    fn binding(user: &str, contact: &str, expires: i64) -> Binding {
        Binding {
            user: user.into(),
            host: "Golden.test".into(),
            contact: contact.into(),
            call_id: format!("call of {contact}"),
            expires,
            granted: 120,
            status: "Registered(TLS-NAT)".into(),
            user_agent: "it's a phone".into(),
            network_ip: "2001:db8::1".into(),
            network_port: 5062,
            network_proto: "tls".into(),
            auth_user: "auth".into(),
            auth_realm: "realm".into(),
            mwi_account: "box@golden.test".into(),
            metadata: "x=1".into(),
        }
    }

    #[tokio::test]
    async fn what_is_written_comes_back_whole_and_what_ended_does_not() -> Result<(), sqlx::Error> {
        let dir = std::env::temp_dir().join(format!("saved-{}", clock::new_uuid()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut table = Bindings::new();
        for (user, contact, expires) in
            [("1000", "a", 500), ("1000", "b", 100), ("1001", "c", 500), ("1002", "d", 500)]
        {
            table.register(binding(user, contact, expires), Multiple::Contact).unwrap();
        }
        {
            let saved = Saved::open(&dir, "in/ternal").await?;
            saved.write(&table.take_changed()).await?;
            table.unregister("1001", "golden.test", "*", "", Multiple::Contact);
            table.register(binding("1002", "e", 600), Multiple::Off).unwrap();
            saved.write(&table.take_changed()).await?;
        }
        let saved = Saved::open(&dir, "in/ternal").await?;
        let mut loaded = saved.load(100).await?;
        loaded.sort_by(|a, b| a.user.cmp(&b.user));
        assert_eq!(loaded, [binding("1000", "a", 500), binding("1002", "e", 600)]);
        assert!(Saved::open(&dir, "other").await?.load(0).await?.is_empty());
        let _gone = std::fs::remove_dir_all(&dir);
        Ok(())
    }
}
