//! mod_cidlookup: the name that belongs to a caller's number, from a database or a web server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use database::{Database, args};
use dialplan_xml::config::settings;
use esl_server::event::EventName;
use http_client::tls::{self, TlsSettings};
use http_client::{Ask, Client};
use hyper::Method;
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::api;
use switch_core::api::{Api, ApiCall};
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Session};
use switch_core::contract::declare::{Parameters, Value, Variable, param, sets};
use switch_core::contract::{Change, Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use switch_core::text;
use url::Url;

use crate::conf;

const SYNTAX: &str = "cidlookup status|number [skipurl] [skipcitystate] [verbose]";
const APPS: &[App] = &[app!(
    "cidlookup",
    "mod_cidlookup",
    Flags::NO_MEDIA.and(Flags::ROUTING),
    "[number [skipurl]]",
    "Perform a CID lookup",
    run
)];
const APIS: &[Api] = &[api!(
    "cidlookup",
    "mod_cidlookup",
    "cidlookup status|number [skipurl] [skipcitystate] [verbose]",
    "cidlookup API",
    async cidlookup
)];
const MOST: i64 = i32::MAX as i64;

#[rustfmt::skip]
const PARAMETERS: &[Parameters] = &[Parameters { file: "cidlookup.conf", scope: "", list: &[
    param("url", Value::Text, "", "Where the name is asked for; `${caller_id_number}` stands for the number"),
    param("whitepages-apikey", Value::Secret, "", "Nothing").no_effect("the service it was for is no more"),
    param("cache", Value::Bool, "false", "What a web server said is remembered"),
    param("cache-expire", Value::Number(0, MOST), "300", "Seconds for which it is"),
    param("curl-timeout", Value::Millis, "2000", "Milliseconds the web server has"),
    param("curl-warning-duration", Value::Millis, "1000", "Milliseconds after which its slowness is said in the log"),
    param("odbc-dsn", Value::Text, "", "Database of names: `pgsql://…`, `sqlite://…`, or a file's name"),
    param("sql", Value::Text, "", "Statement that gives the name of `${caller_id_number}`"),
    param("citystate-sql", Value::Text, "", "Statement that gives the place of `${caller_id_number}`"),
] }];
#[rustfmt::skip]
const VARIABLES: &[Variable] = &[
    sets("original_caller_id_name", "The name the caller came with"),
    sets("cidlookup_source", "Where the name was found"),
    sets("cidlookup_area", "The place of the number"),
];

/// Bytes a web server may answer with.
const MAX_BYTES: usize = 10_240;
/// Numbers remembered.
const MAX_CACHED: usize = 10_000;
/// Characters of a name.
const MAX_NAME: usize = 255;

/// The settings in force.
#[derive(Clone, Debug, Default)]
struct Settings {
    url: String,
    cache: bool,
    cache_expire: u64,
    timeout: Duration,
    warn_after: Duration,
    dsn: String,
    open: Option<Database>,
    sql: String,
    citystate_sql: String,
}

/// What belongs to a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    name: String,
    area: String,
    source: String,
}

#[derive(Default)]
struct InForce {
    settings: Mutex<Settings>,
    cache: Mutex<HashMap<String, (Instant, Found)>>,
}

/// The module.
pub(crate) struct CidLookup;

impl Module for CidLookup {
    fn name(&self) -> &'static str {
        "mod_cidlookup"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[APPS],
            commands: &[APIS],
            parameters: PARAMETERS,
            variables: &[VARIABLES],
            ..Provides::NOTHING
        }
    }

    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().document("cidlookup.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            reload(switch).await;
            Ok(())
        })
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if change == Change::Configuration {
                reload(switch).await;
            }
        })
    }
}

async fn reload(switch: &Arc<Switch>) {
    let read = conf::with(switch, "cidlookup.conf", |node| {
        let params = settings(Some(node));
        let text = |name: &str| params.last(name).unwrap_or_default().to_owned();
        let number = |name: &str, default: u64| {
            let value = params.last(name).filter(|value| text::is_number(value)).map(text::int);
            value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default)
        };
        Settings {
            url: text("url"),
            cache: params.last("cache").is_some_and(text::is_true),
            cache_expire: number("cache-expire", 300),
            timeout: Duration::from_millis(number("curl-timeout", 2000)),
            warn_after: Duration::from_millis(number("curl-warning-duration", 1000)),
            dsn: text("odbc-dsn"),
            open: None,
            sql: text("sql"),
            citystate_sql: text("citystate-sql"),
        }
    });
    let Some(mut read) = read.await else { return };
    let in_force = switch.module::<InForce>();
    if read.dsn.is_empty() {
        tracing::info!("No local database defined.");
    } else {
        let kept = {
            let before = in_force.settings.lock();
            before.open.clone().filter(|_| before.dsn == read.dsn)
        };
        read.open = match kept {
            Some(open) => Some(open),
            None => conf::open(switch, "mod_cidlookup", &read.dsn).await,
        };
    }
    *in_force.settings.lock() = read;
}

/// The statement with its number bound: `'${caller_id_number}'` and `${caller_id_number}` become `$1`.
fn bound(statement: &str) -> String {
    const NUMBER: &str = "${caller_id_number}";
    statement.replace(&format!("'{NUMBER}'"), "$1").replace(NUMBER, "$1")
}

async fn from_database(settings: &Settings, statement: &str, number: &str) -> Option<String> {
    let open = settings.open.as_ref().filter(|_| !statement.is_empty())?;
    let statement = bound(statement);
    let args = if statement.contains("$1") { args![number] } else { args![] };
    match open.row(&statement, args).await {
        Ok(row) => row.map(|row| row.text(0).to_owned()).filter(|name| !name.is_empty()),
        Err(error) => {
            tracing::error!("Unable to lookup cid: {error}");
            None
        }
    }
}

async fn from_server(settings: &Settings, number: &str) -> Option<String> {
    let address = settings.url.replace("${caller_id_number}", number);
    let url = Url::parse(&address)
        .map_err(|error| tracing::error!("cidlookup.conf: url: {error}"))
        .ok()?;
    // The reference believes any certificate.
    let tls = tls::client(TlsSettings::default()).ok()?;
    let client = Client::new(Arc::new(tls), None, None, MAX_BYTES);
    let ask = Ask {
        method: Method::GET,
        url,
        user_agent: "freeswitch-cidlookup/1.0",
        headers: Vec::new(),
        body: None,
    };
    let begun = Instant::now();
    let answer = tokio::time::timeout(settings.timeout, client.send(ask)).await;
    let took = begun.elapsed();
    if took >= settings.warn_after {
        tracing::warn!("SLOW LOOKUP ({} ms) of {number}", took.as_millis());
    }
    let body = match answer {
        Ok(Ok((_, body))) => body,
        Ok(Err(error)) => {
            tracing::error!("cidlookup of {number}: {error}");
            return None;
        }
        Err(_) => return None,
    };
    let text = String::from_utf8_lossy(&body);
    let name: String = text.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    let unknown = ["", " ", "UNKNOWN", "UNAVAILABLE"];
    (!unknown.iter().any(|word| word.eq_ignore_ascii_case(&name))).then_some(name)
}

/// Looks a number up. The database always wins.
async fn lookup(switch: &Switch, number: &str, skip_url: bool, skip_place: bool) -> Found {
    let number: String = number.chars().filter(char::is_ascii_digit).collect();
    let in_force = switch.module::<InForce>();
    let settings = in_force.settings.lock().clone();
    let mut found = Found::default();
    let mut fresh = false;
    if let Some(name) = from_database(&settings, &settings.sql, &number).await {
        found = Found { name, source: "phone_database".to_owned(), ..found };
    } else if let Some(kept) = cached(&in_force, &settings, &number) {
        found = kept;
    } else if !skip_url
        && !settings.url.is_empty()
        && let Some(name) = from_server(&settings, &number).await
    {
        found = Found { name, source: "url".to_owned(), ..found };
        fresh = true;
    }
    let north_american = number.len() == 11 && number.starts_with('1');
    if found.area.is_empty()
        && !skip_place
        && north_american
        && let Some(place) = from_database(&settings, &settings.citystate_sql, &number).await
    {
        found.area = place;
        if !found.source.is_empty() {
            found.source.push(',');
        }
        found.source.push_str("npanxx_database");
    }
    let found = completed(found, &number, skip_place, north_american);
    if settings.cache && fresh {
        keep(&in_force, &settings, &number, &found);
    }
    found
}

/// What is not known is said so; a name that is not known is the place, or the number.
fn completed(mut found: Found, number: &str, skip_place: bool, north_american: bool) -> Found {
    let unknown = || "UNKNOWN".to_owned();
    if found.area.is_empty() {
        found.area = unknown();
    }
    if found.name.is_empty() {
        found.name = match (skip_place, north_american) {
            (true, true) => format!("{}-{}-{}", &number[1..4], &number[4..7], &number[7..]),
            (true, false) => number.to_owned(),
            (false, _) => found.area.clone(),
        };
    }
    if found.source.is_empty() {
        found.source = unknown();
    }
    found
}

fn cached(in_force: &InForce, settings: &Settings, number: &str) -> Option<Found> {
    if !settings.cache {
        return None;
    }
    let cache = in_force.cache.lock();
    let (until, found) = cache.get(number)?;
    (*until > Instant::now())
        .then(|| Found { source: format!("{} (cache)", found.source), ..found.clone() })
}

fn keep(in_force: &InForce, settings: &Settings, number: &str, found: &Found) {
    let now = Instant::now();
    let mut cache = in_force.cache.lock();
    if cache.len() >= MAX_CACHED {
        cache.retain(|_, (until, _)| *until > now);
    }
    if cache.len() < MAX_CACHED {
        let until = now + Duration::from_secs(settings.cache_expire);
        cache.insert(number.to_owned(), (until, found.clone()));
    }
}

async fn run(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 4);
    let channel = Arc::clone(session.channel());
    let has = |wanted: &str| words.iter().skip(1).any(|word| word.eq_ignore_ascii_case(wanted));
    let number =
        words.first().cloned().unwrap_or_else(|| channel.profile().caller_id_number.clone());
    let switch = Arc::clone(session.switch());
    let looking = lookup(&switch, &number, has("skipurl"), has("skipcitystate"));
    let found = session.wait_for(looking).await?;
    if text::has_reference(&found.name) {
        tracing::error!(
            uuid = %channel.uuid(), fs_level = "CRIT",
            "Invalid CID data {{{}}} contains a variable", found.name
        );
        return Ok(());
    }
    let before = channel.profile().caller_id_name.clone();
    channel.set_var("original_caller_id_name", base::far::mark(&before));
    channel.set_var("cidlookup_source", found.source);
    channel.set_var("cidlookup_area", found.area);
    channel.with(|data| {
        if let Some(profile) = &mut data.profile {
            profile.caller_id_name.clone_from(&found.name);
        }
    });
    let partner = channel.partner().map(|partner| partner.uuid().to_string());
    channel.fire_with(
        EventName::CallUpdate,
        |event| {
            event.push("Direction", "RECV");
            event.push_some("Bridged-To", partner.as_deref());
        },
        |_| {},
    );
    Ok(())
}

async fn cidlookup(call: ApiCall) -> String {
    let words = call.words(4);
    let Some(first) = words.first() else { return format!("-ERR\n{SYNTAX}\n") };
    if first == "status" {
        return status(&call.switch.module::<InForce>().settings.lock());
    }
    let has = |wanted: &str| words.iter().skip(1).any(|word| word.eq_ignore_ascii_case(wanted));
    let found = lookup(&call.switch, first, has("skipurl"), has("skipcitystate")).await;
    if text::has_reference(&found.name) {
        return format!("-ERR Invalid CID data {{{}}} contains a variable\n", found.name);
    }
    let Found { name, area, source } = found;
    if has("verbose") { format!("{name} ({area}) [{source}]") } else { name }
}

fn status(settings: &Settings) -> String {
    let or_null = |text: &str| if text.is_empty() { "(null)".to_owned() } else { text.to_owned() };
    // A data source name may hold a password.
    let dsn = if settings.dsn.is_empty() { "(null)" } else { "(set)" };
    format!(
        "+OK\n url: {}\n cache: {}\n cache-expire: {}\n curl-timeout: {}\n curl-warn-duration: {}\n odbc-dsn: {dsn}\n \
         sql: {}\n citystate-sql: {}\n",
        or_null(&settings.url),
        settings.cache,
        settings.cache_expire,
        settings.timeout.as_millis(),
        settings.warn_after.as_millis(),
        or_null(&settings.sql),
        or_null(&settings.citystate_sql),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_bound_whether_or_not_it_stands_in_quotes() {
        assert_eq!(
            bound("select n from t where a='${caller_id_number}'"),
            "select n from t where a=$1"
        );
        assert_eq!(
            bound("select n from t where a=${caller_id_number}"),
            "select n from t where a=$1"
        );
    }

    #[test]
    fn what_is_not_known_is_said_so() {
        let none = || Found::default();
        let unknown = completed(none(), "12125551234", false, true);
        assert_eq!((unknown.name.as_str(), unknown.source.as_str()), ("UNKNOWN", "UNKNOWN"));
        assert_eq!(completed(none(), "12125551234", true, true).name, "212-555-1234");
        assert_eq!(completed(none(), "4930123", true, false).name, "4930123");
    }

    #[tokio::test]
    async fn a_database_gives_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let open = Database::open("names", folder.path()).await.unwrap();
        open.execute("CREATE TABLE t (n VARCHAR(20), a VARCHAR(20))", args![]).await.unwrap();
        open.execute("INSERT INTO t VALUES ('Dora', '555')", args![]).await.unwrap();
        let settings = Settings { open: Some(open), ..Settings::default() };
        let statement = "select n from t where a='${caller_id_number}'";
        assert_eq!(from_database(&settings, statement, "555").await.as_deref(), Some("Dora"));
        assert_eq!(from_database(&settings, statement, "556").await, None);
        assert_eq!(from_database(&settings, "select nonsense", "555").await, None);
    }
}
