//! mod_easyroute: a number's gateway out of a database.

use std::sync::Arc;

use database::{Database, args};
use dialplan_xml::config::settings;
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::api;
use switch_core::api::{Api, ApiCall};
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Session};
use switch_core::contract::declare::{Parameters, Value, Variable, param, sets};
use switch_core::contract::{Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use switch_core::text;

use crate::conf;

const APPS: &[App] = &[app!(
    "easyroute",
    "mod_easyroute",
    Flags::NO_MEDIA.and(Flags::ROUTING),
    "<number>",
    "Perform an easyroute lookup",
    run
)];
const APIS: &[Api] = &[api!("easyroute", "mod_easyroute", "", "EasyRoute", async easyroute)];

#[rustfmt::skip]
const PARAMETERS: &[Parameters] = &[Parameters { file: "easyroute.conf", scope: "", list: &[
    param("db-dsn", Value::Text, "easyroute", "Database of numbers and gateways: `pgsql://…`, `sqlite://…`, or a file's name"),
    param("db-username", Value::Text, "", "Nothing").no_effect("the data source name holds it"),
    param("db-password", Value::Secret, "", "Nothing").no_effect("the data source name holds it"),
    param("odbc-retries", Value::Number(0, i32::MAX as i64), "", "Nothing").no_effect("a connection that is lost is made again by itself"),
    param("default-techprofile", Value::Text, "sofia/default", "Endpoint and profile where the row names none"),
    param("default-gateway", Value::Text, "192.168.1.1", "Gateway where the row names none"),
    param("custom-query", Value::Text, "", "Statement that gives gateway, group, limit, profile, account and number for `%q`"),
] }];
#[rustfmt::skip]
const VARIABLES: &[Variable] = &[
    sets("easy_destnum", "The number looked up"),
    sets("easy_dialstring", "Dial string of its gateway"),
    sets("easy_group", "Group of the gateway"),
    sets("easy_limit", "Calls the gateway may have"),
    sets("easy_acctcode", "Account of the number"),
];

const LOOKUP: &str = "SELECT gateways.gateway_ip, gateways.\"group\", gateways.\"limit\", gateways.techprofile, \
     numbers.acctcode, numbers.translated FROM gateways, numbers WHERE numbers.number = $1 \
     AND numbers.gateway_id = gateways.gateway_id LIMIT 1";

/// The settings in force.
#[derive(Clone, Debug)]
struct Settings {
    open: Option<Database>,
    profile: String,
    gateway: String,
    query: String,
}

#[derive(Default)]
struct InForce(Mutex<Option<Settings>>);

/// The module.
pub(crate) struct Easyroute;

impl Module for Easyroute {
    fn name(&self) -> &'static str {
        "mod_easyroute"
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
        switch.config.load().document("easyroute.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            let read = conf::with(switch, "easyroute.conf", |node| {
                let params = settings(Some(node));
                let text = |name: &str, default: &str| {
                    let value = params.last(name).filter(|value| !value.is_empty());
                    value.unwrap_or(default).to_owned()
                };
                let query = conf::with_arguments(&text("custom-query", LOOKUP)).0;
                let profile = text("default-techprofile", "sofia/default");
                let gateway = text("default-gateway", "192.168.1.1");
                (text("db-dsn", "easyroute"), Settings { open: None, profile, gateway, query })
            });
            let Some((dsn, mut settings)) = read.await else { return Err(NotLoaded) };
            settings.open = conf::open(switch, "mod_easyroute", &dsn).await;
            *switch.module::<InForce>().0.lock() = Some(settings);
            Ok(())
        })
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        switch.module::<InForce>().0.lock().take();
        Box::pin(std::future::ready(()))
    }
}

/// How number and gateway are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Form(String);

impl Form {
    /// Nothing with `noat`, a text with `separator`, else `@`.
    fn of(words: &[String]) -> Self {
        let word = |index: usize| words.get(index).map(String::as_str);
        match (word(1), word(2)) {
            (Some(noat), _) if noat.eq_ignore_ascii_case("noat") => Self(String::new()),
            (Some(own), Some(text)) if own.eq_ignore_ascii_case("separator") => {
                Self(text.to_owned())
            }
            _ => Self("@".to_owned()),
        }
    }
}

/// What a number leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Route {
    limit: String,
    dialstring: String,
    group: String,
    account: String,
    translated: String,
}

async fn lookup(switch: &Switch, number: &str, form: &Form) -> Route {
    let settings = switch.module::<InForce>().0.lock().clone();
    let Some(settings) = settings else { return Route::default() };
    let asked = match &settings.open {
        Some(open) => open.row(&settings.query, args![number]).await.map_err(|e| e.to_string()),
        None => Err("there is no database".to_owned()),
    };
    let row = match asked {
        Ok(row) => row,
        Err(error) => {
            tracing::error!("DB Error Setting Default Route! {error}");
            None
        }
    };
    let text = |index: usize, default: &str| {
        let value = row.as_ref().map(|row| row.text(index)).filter(|value| !value.is_empty());
        value.unwrap_or(default).to_owned()
    };
    let (gateway, profile) = (text(0, &settings.gateway), text(3, &settings.profile));
    let translated = text(5, number);
    Route {
        dialstring: format!("{profile}/{translated}{}{gateway}", form.0),
        limit: text(2, "9999"),
        group: text(1, ""),
        account: text(4, ""),
        translated,
    }
}

async fn run(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 4);
    let Some(number) = words.first() else { return Ok(()) };
    let switch = Arc::clone(session.switch());
    let form = Form::of(&words);
    let route = session.wait_for(lookup(&switch, number, &form)).await?;
    tracing::info!(uuid = %session.channel().uuid(), "EASY ROUTE DEST: [{}]", route.dialstring);
    let channel = session.channel();
    channel.set_var("easy_destnum", number.as_str());
    channel.set_var("easy_dialstring", route.dialstring);
    channel.set_var("easy_group", route.group);
    channel.set_var("easy_limit", route.limit);
    channel.set_var("easy_acctcode", route.account);
    Ok(())
}

async fn easyroute(call: ApiCall) -> String {
    let words = call.words(4);
    let Some(number) = words.first() else { return "Usage: easyroute <number>\n".into() };
    if words.len() > 3 {
        return "Invalid Input!\n".into();
    }
    let route = lookup(&call.switch, number, &Form::of(&words)).await;
    if words.len() == 2 {
        let word = words.get(1).map(|word| word.to_ascii_lowercase()).unwrap_or_default();
        return match word.as_str() {
            w if w.starts_with("dialstring") => route.dialstring,
            w if w.starts_with("translated") => route.translated,
            w if w.starts_with("limit") => route.limit,
            w if w.starts_with("group") => route.group,
            w if w.starts_with("acctcode") => route.account,
            _ => "Invalid Input!\n".into(),
        };
    }
    let Route { limit, group, account, dialstring, .. } = route;
    format!(
        "Number    \tLimit     \tGroup    \tAcctCode  \tDialstring\n\
         {number:<10}\t{limit:<10}\t{group:<10}\t{account:<10}\t{dialstring}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_gateway_are_joined_as_asked() {
        let form = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Form::of(&words).0
        };
        assert_eq!(form(&["5"]), "@");
        assert_eq!(form(&["5", "NOAT"]), "");
        assert_eq!(form(&["5", "separator", "@x@"]), "@x@");
        assert_eq!(form(&["5", "dialstring"]), "@");
    }
}
