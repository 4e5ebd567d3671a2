//! The history of calls from a database of call records (`history-dsn`): that of mod_cdr_sqlite or mod_cdr_pg_csv, with
//! columns named as there by default. It outlives the process, and every switch that fills the database is in it.

use std::collections::HashSet;
use std::time::Duration;

use database::{Arg, Database, Row, args};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Gateway;
use super::lists::Page;
use super::problem::Problem;
use super::tenant::Tenant;

/// How long a request waits for the database.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
enum RecordedError {
    #[error(transparent)]
    Database(#[from] database::Error),
    #[error("no answer in time")]
    Late,
    #[error("the table has no column {0}")]
    Column(&'static str),
}

/// A table of call records that is open.
#[derive(Clone)]
struct Open {
    database: Database,
    columns: std::sync::Arc<HashSet<String>>,
}

/// The table of the settings, opened when it is first asked for.
#[derive(Default)]
pub(super) struct Recorded(Mutex<Option<Open>>);

/// Columns without which there is no history.
const NEEDED: [&str; 5] =
    ["uuid", "caller_id_number", "destination_number", "start_stamp", "hangup_cause"];

fn quoted(name: &str) -> String {
    let part = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

impl Recorded {
    async fn open(&self, gateway: &Gateway, name: &str) -> Result<Open, RecordedError> {
        let mut open = self.0.lock().await;
        if let Some(open) = open.as_ref() {
            return Ok(open.clone());
        }
        let database = Database::open(name, &gateway.switch.dirs.db_dir).await?;
        let table = &gateway.settings.history_table;
        let rows = if database.is_server() {
            let own = table.rsplit('.').next().unwrap_or_default();
            let statement = "select cast(column_name as text) from information_schema.columns where table_name = $1";
            database.rows(statement, args![own]).await?
        } else {
            database.rows("select name from pragma_table_info($1)", args![table.as_str()]).await?
        };
        let columns: HashSet<String> = rows.iter().map(|row| row.text(0).to_owned()).collect();
        if let Some(missing) = NEEDED.iter().find(|name| !columns.contains(**name)) {
            return Err(RecordedError::Column(missing));
        }
        let new = Open { database, columns: columns.into() };
        *open = Some(new.clone());
        Ok(new)
    }

    /// A page of the history; `None` where records cannot tell whose calls they are.
    async fn page(
        &self,
        gateway: &Gateway,
        name: &str,
        tenant: &Tenant,
        page: &Page,
        uuid: Option<&str>,
    ) -> Result<Option<(usize, Vec<Value>)>, RecordedError> {
        let open = self.open(gateway, name).await?;
        let has = |column: &str| open.columns.contains(column);
        let (mut parts, mut arguments): (Vec<String>, Vec<Arg>) =
            (vec!["1 = 1".into()], Vec::new());
        let mut equals = |column: &str, value: &str| {
            arguments.push(Arg::from(value));
            let number = arguments.len();
            parts.push(format!("lower(cast({} as varchar)) = lower(${number})", quoted(column)));
        };
        if let Some(domain) = &tenant.0 {
            match (has("domain_name"), has("context")) {
                (true, _) => equals("domain_name", domain),
                // A context is a domain's only where its name holds it.
                (false, true) if gateway.settings.context.contains("{domain}") => {
                    equals("context", &gateway.settings.context.replace("{domain}", domain));
                }
                _ => return Ok(None),
            }
        }
        let filters = [
            ("caller_id_number", page.filter("from")),
            ("destination_number", page.filter("to")),
            ("hangup_cause", page.filter("cause")),
            ("direction", page.filter("direction")),
            ("uuid", uuid),
        ];
        for (column, wanted) in filters {
            match wanted {
                Some(wanted) if has(column) => equals(column, wanted),
                Some(_) => return Err(RecordedError::Column("direction")),
                None => {}
            }
        }
        // Every record is of a call that has ended; there are no users in them.
        let none = page.filter("user").is_some()
            || page.filter("state").is_some_and(|state| !state.eq_ignore_ascii_case("ended"));
        if none {
            return Ok(Some((0, Vec::new())));
        }
        let server = open.database.is_server();
        let epoch = |column: &str| {
            let name = quoted(column);
            if server {
                format!("extract(epoch from cast(nullif(cast({name} as text), '') as timestamptz))")
            } else {
                format!("strftime('%s', nullif({name}, ''), 'utc')")
            }
        };
        let columns = [
            ("uuid", "uuid"),
            ("other", "bleg_uuid"),
            ("name", "caller_id_name"),
            ("caller", "caller_id_number"),
            ("called", "destination_number"),
            ("context", "context"),
            ("domain", "domain_name"),
            ("direction", "direction"),
            ("cause", "hangup_cause"),
            ("duration", "duration"),
            ("billed", "billsec"),
        ];
        let mut wanted: Vec<String> = columns
            .iter()
            .filter(|(_, column)| has(column))
            .map(|(short, column)| format!("cast({} as varchar) as {short}", quoted(column)))
            .collect();
        for (short, column) in [("created", "start_stamp"), ("answered", "answer_stamp")] {
            if has(column) {
                wanted.push(format!("cast({} as varchar) as {short}", epoch(column)));
            }
        }
        let table = quoted(&gateway.settings.history_table);
        let condition = parts.join(" and ");
        let count = format!("select count(*) from {table} where {condition}");
        let total = open.database.row(&count, arguments.clone()).await?.map_or(0, |row| row.int(0));
        let (limit, offset) = page.bounds();
        let statement = format!(
            "select {} from {table} where {condition} order by {} desc limit {limit} offset {offset}",
            wanted.join(", "),
            quoted("start_stamp")
        );
        let rows = open.database.rows(&statement, arguments).await?;
        let total = usize::try_from(total).unwrap_or(0);
        Ok(Some((total, rows.iter().map(shown).collect())))
    }
}

fn shown(row: &Row) -> Value {
    let text = |name: &str| row.named(name).filter(|value| !value.is_empty());
    let seconds = |name: &str| text(name).and_then(|value| value.parse::<f64>().ok());
    let millis = |name: &str| (seconds(name).unwrap_or(0.0) * 1000.0) as i64;
    json!({
        "uuid": row.named("uuid").unwrap_or_default(),
        "state": "ended",
        "other_uuid": text("other"),
        "direction": text("direction").unwrap_or_default(),
        "from": text("caller").unwrap_or_default(),
        "from_name": text("name").unwrap_or_default(),
        "to": text("called").unwrap_or_default(),
        "context": text("context").unwrap_or_default(),
        "domain": text("domain").unwrap_or_default(),
        "created": seconds("created"),
        "answered": seconds("answered"),
        "cause": text("cause").unwrap_or_default(),
        "duration_ms": millis("duration"),
        "billed_ms": millis("billed"),
    })
}

async fn asked(
    gateway: &Gateway,
    tenant: &Tenant,
    page: &Page,
    uuid: Option<&str>,
) -> Result<Option<(usize, Vec<Value>)>, Problem> {
    let Some(name) = &gateway.settings.history else { return Ok(None) };
    let read = gateway.recorded.page(gateway, name, tenant, page, uuid);
    let read = timeout(PATIENCE, read).await.unwrap_or(Err(RecordedError::Late));
    read.map_err(|error| {
        if let RecordedError::Column("direction") = error {
            return Problem::unusable("direction", "the records do not tell it");
        }
        tracing::error!("http: history-dsn: {error}");
        Problem::new(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "the database of call records does not answer",
        )
    })
}

/// A page of the history in the database; `None` where there is none for this client.
pub(super) async fn history(
    gateway: &Gateway,
    tenant: &Tenant,
    page: &Page,
) -> Result<Option<axum::Json<Value>>, Problem> {
    let found = asked(gateway, tenant, page, None).await?;
    Ok(found.map(|(total, items)| page.shown(total, items)))
}

/// A leg of the history in the database.
pub(super) async fn find(
    gateway: &Gateway,
    tenant: &Tenant,
    uuid: &str,
) -> Result<Option<Value>, Problem> {
    let found = asked(gateway, tenant, &Page::default(), Some(uuid)).await?;
    Ok(found.and_then(|(_, items)| items.into_iter().next()))
}
