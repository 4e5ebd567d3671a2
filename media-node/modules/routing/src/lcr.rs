//! mod_lcr: which carriers take a number, cheapest or best first, out of a database.

mod dial;
mod profile;
mod route;

use std::sync::Arc;

use base::far;
use database::Database;
use dialplan_xml::config::settings;
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::api;
use switch_core::api::{Api, ApiCall};
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Channel, Extension, Session};
use switch_core::contract::declare::{Parameters, Value, Variable, param, reads, sets};
use switch_core::contract::{Change, DialplanKind, Module, NotLoaded, Provides};
use switch_core::host::expand_for;
use switch_core::switch::Switch;
use switch_core::text;

use crate::conf;
use profile::{Has, Profile, expanded, filled};
use route::Route;

const SYNTAX: &str = "lcr <digits> [<lcr profile>] [caller_id] [intrastate] [as xml]";
const ADMIN: &str = "lcr_admin show profiles";
const APPS: &[App] = &[app!(
    "lcr",
    "mod_lcr",
    Flags::NO_MEDIA.and(Flags::ROUTING),
    "<number>",
    "Perform an LCR lookup",
    run
)];
const APIS: &[Api] = &[
    api!("lcr", "mod_lcr", SYNTAX, "Least Cost Routing Module", async lookup_api),
    api!("lcr_admin", "mod_lcr", ADMIN, "Least Cost Routing Module Admin", admin),
];

#[rustfmt::skip]
const PARAMETERS: &[Parameters] = &[
    Parameters { file: "lcr.conf", scope: "", list: &[
        param("odbc-dsn", Value::Text, "", "Database of rates and carriers: `pgsql://…`, `sqlite://…`, or a file's name"),
    ] },
    Parameters { file: "lcr.conf", scope: "profile", list: &[
        param("id", Value::Number(0, 65_535), "0", "Rows of this `lcr_profile` alone; 0 for all"),
        param("order_by", Value::Text, "rate", "Order behind the length of the digits: `rate`, `quality`, `reliability`, columns"),
        param("custom_sql", Value::Text, "", "Statement instead of the usual one; `%q` are the digits, `${…}` are bound"),
        param("reorder_by_rate", Value::Bool, "false", "The cheapest route first, however many digits matched"),
        param("quote_in_list", Value::Bool, "false", "Lists of digits are quoted, for columns that are text"),
        param("single_bridge", Value::Bool, "false", "Each carrier once"),
        param("info_in_headers", Value::Bool, "false", "Rate and carrier go along as `X-LCR-INFO`"),
        param("enable_sip_redir", Value::Bool, "false", "Routes are addresses for `redirect`, without variables"),
        param("export_fields", Value::Text, "", "Columns that become variables of the leg"),
        param("limit_type", Value::Word(&["db", "hash"]), "db", "Where calls of a limited route are counted"),
    ] },
];
#[rustfmt::skip]
const VARIABLES: &[Variable] = &[
    reads("intrastate", Value::Bool, "`true`: rates within a state"),
    reads("lrn", Value::Text, "Location routing number, looked up beside the number"),
    reads("max_rate", Value::Text, "Routes that cost more are left out"),
    reads("lcr_context", Value::Text, "Dialplan context of a leg dialled by `lcr/`, once it is connected"),
    sets("lcr_rate_field", "Column of the rate"),
    sets("lcr_user_rate_field", "Column of the rate to the customer"),
    sets("lcr_query_digits", "Digits looked up"),
    sets("lcr_query_profile", "Id of the profile"),
    sets("lcr_query_expanded_digits", "Beginnings of the digits"),
    sets("lcr_query_expanded_lrn_digits", "Beginnings of the location routing number"),
    sets("lcr_lrn", "The location routing number"),
    sets("lcr_route_*", "Dial string of a route; the first is 1"),
    sets("lcr_rate_*", "Its rate"),
    sets("lcr_carrier_*", "Its carrier"),
    sets("lcr_codec_*", "Its codec"),
    sets("lcr_route_count", "How many routes there are"),
    sets("lcr_auto_route", "All of them, one after the other"),
];

/// What legs hand to the call that dialled them.
const IMPORT: &str = "lcr_carrier,lcr_rate,lcr_user_rate";
/// Whose call it is where nothing says so.
const CALLER: &str = "18005551212";
/// Digits of a number.
const MAX_DIGITS: usize = 64;

#[derive(Default)]
struct Settings {
    open: Option<Database>,
    has: Has,
    profiles: Vec<Profile>,
}

#[derive(Default)]
struct InForce(Mutex<Arc<Settings>>);

/// The module.
pub(crate) struct Lcr;

impl Module for Lcr {
    fn name(&self) -> &'static str {
        "mod_lcr"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[APPS],
            commands: &[APIS],
            dialplans: &[DialplanKind {
                name: "lcr",
                find: |session, _, number| Box::pin(route_call(session, number)),
            }],
            parameters: PARAMETERS,
            variables: &[VARIABLES],
            completions: "lcr_admin show profiles",
            names: &[("endpoint", "lcr")],
            resolver: Some(&dial::Resolver),
            ..Provides::NOTHING
        }
    }

    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().document("lcr.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move { if reload(switch).await { Ok(()) } else { Err(NotLoaded) } })
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if change == Change::Configuration {
                reload(switch).await;
            }
        })
    }
}

async fn reload(switch: &Arc<Switch>) -> bool {
    let read = conf::with(switch, "lcr.conf", |node| {
        let profiles = node.child("profiles").into_iter();
        let profiles = profiles.flat_map(|all| all.children_named("profile"));
        let dsn = settings(Some(node)).last("odbc-dsn").unwrap_or_default().to_owned();
        (dsn, profiles.filter_map(Profile::read).collect::<Vec<_>>())
    });
    let Some((dsn, profiles)) = read.await else { return false };
    let mut settings = Settings { profiles, ..Settings::default() };
    if !dsn.is_empty() {
        let Some(open) = conf::open(switch, "mod_lcr", &dsn).await else { return false };
        let usual = settings.profiles.iter().any(|profile| profile.usual);
        if usual && let Err(incomplete) = profile::complete(&open).await {
            tracing::error!("{incomplete}");
            return false;
        }
        settings.has = match Has::of(&open).await {
            Ok(has) => has,
            Err(error) => {
                tracing::error!("{}", profile::Incomplete::Unknown(error));
                return false;
            }
        };
        settings.open = Some(open);
    }
    *switch.module::<InForce>().0.lock() = Arc::new(settings);
    true
}

impl Settings {
    /// The profile of a name; the one called `default` where none is named.
    fn profile(&self, name: Option<&str>) -> Option<&Profile> {
        let name = name.filter(|name| !name.is_empty()).unwrap_or("default");
        let found = self.profiles.iter().find(|profile| profile.name.eq_ignore_ascii_case(name));
        if found.is_none() {
            tracing::error!("Error invalid profile {name}");
        }
        found
    }
}

/// What is looked up. The number and the caller are marked where a far end chose them.
struct Question<'a> {
    number: &'a str,
    caller: &'a str,
    lrn: Option<String>,
    intrastate: bool,
    channel: Option<&'a Arc<Channel>>,
}

/// Why there is no answer.
#[derive(Debug)]
struct Failed;

async fn lookup(
    switch: &Arc<Switch>,
    settings: &Settings,
    profile: &Profile,
    mut question: Question<'_>,
) -> Result<Vec<Route>, Failed> {
    let only_digits = |text: &str| {
        let digits = text.chars().filter(char::is_ascii_digit).take(MAX_DIGITS);
        digits.collect::<String>()
    };
    let digits = only_digits(question.number);
    let Some(open) = settings.open.as_ref().filter(|_| !digits.is_empty()) else {
        return Err(Failed);
    };
    let lrn = question.lrn.as_deref().map(only_digits);
    let mut intralata = false;
    if settings.has.npanxx {
        let caller = far::plain(question.caller).into_owned();
        let (state, lata) = same_area(open, &far::plain(question.number), &caller).await;
        question.intrastate |= state;
        intralata = lata;
    }
    let (rate, user_rate) = match () {
        () if intralata && settings.has.intralata => ("intralata_rate", "user_intralata_rate"),
        () if question.intrastate && settings.has.intrastate => {
            ("intrastate_rate", "user_intrastate_rate")
        }
        () => ("rate", "user_rate"),
    };
    let quote = profile.quote_in_list;
    let listed = expanded(&digits, quote);
    let own = [
        ("lcr_rate_field", rate.to_owned()),
        ("lcr_user_rate_field", user_rate.to_owned()),
        ("lcr_query_digits", digits.clone()),
        ("lcr_query_profile", profile.id.to_string()),
        (
            "lcr_query_expanded_lrn_digits",
            lrn.as_ref().map_or_else(|| listed.clone(), |lrn| expanded(lrn, quote)),
        ),
        ("lcr_query_expanded_digits", listed),
        ("lcr_lrn", lrn.clone().unwrap_or_default()),
    ];
    if let Some(channel) = question.channel {
        for (name, value) in own.iter().filter(|(name, _)| *name != "lcr_lrn" || lrn.is_some()) {
            channel.set_var(*name, value.as_str());
        }
    }
    let variable = |name: &str| question.channel.and_then(|channel| channel.var(name));
    let (statement, args) = filled(&profile.sql, &digits, &own, variable);
    let rows = open.rows(&statement, args).await.map_err(|error| {
        tracing::error!("lcr: {}: {error}", profile.name);
        Failed
    })?;
    let most = question.channel.and_then(|channel| channel.var("max_rate"));
    let most = most.and_then(|most| most.trim().parse::<f32>().ok()).filter(|most| *most != 0.0);
    let mut routes = Vec::new();
    for row in &rows {
        let Some(mut route) = Route::read(row) else { continue };
        let dial = route.dial(profile, question.number, question.caller);
        route.dialstring = match question.channel {
            Some(channel) => expand_for(switch, Some(channel), &dial).await,
            None => dial,
        };
        routes.push(route);
    }
    Ok(route::in_order(profile, routes, most))
}

/// Are two numbers of North America in one state, and in one LATA?
async fn same_area(open: &Database, one: &str, other: &str) -> (bool, bool) {
    let area = |number: &str| {
        let fits = number.len() == 11
            && number.starts_with('1')
            && number.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| (number[1..4].to_owned(), number[4..7].to_owned()))
    };
    let (Some(one), Some(other)) = (area(one), area(other)) else { return (false, false) };
    // All four are three digits each.
    let places =
        format!("(npa={} AND nxx={}) OR (npa={} AND nxx={})", one.0, one.1, other.0, other.1);
    (is_same(open, "state", &places).await, is_same(open, "lata", &places).await)
}

async fn is_same(open: &Database, column: &str, places: &str) -> bool {
    let statement =
        format!("SELECT count(DISTINCT {column}) FROM npa_nxx_company_ocn WHERE {places}");
    matches!(open.row(&statement, Vec::new()).await, Ok(Some(row)) if row.int(0) == 1)
}

fn in_force(switch: &Switch) -> Arc<Settings> {
    Arc::clone(&switch.module::<InForce>().0.lock())
}

/// What a call asks for a number.
fn question_of<'a>(channel: &'a Arc<Channel>, number: &'a str, caller: &'a str) -> Question<'a> {
    Question {
        number,
        caller,
        lrn: channel.var("lrn").filter(|lrn| !lrn.is_empty()),
        intrastate: channel.var("intrastate").is_some_and(|v| v.eq_ignore_ascii_case("true")),
        channel: Some(channel),
    }
}

fn caller_of(channel: &Channel) -> String {
    let own = channel.variable_marked("effective_caller_id_number");
    own.or_else(|| channel.var_marked("caller_id_number")).unwrap_or_default()
}

/// Legs hand carrier and rate to the call.
fn import(channel: &Channel) {
    match channel.var("import").filter(|own| !own.is_empty()) {
        None => channel.set_var("import", IMPORT),
        Some(own) if !own.contains(IMPORT) => channel.set_var("import", format!("{own},{IMPORT}")),
        Some(_) => {}
    }
}

async fn run(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let words = text::words(argument, 32);
    // Where a far end chose the number, it stays one value in a dial string.
    let Some(number) = words.first().map(|number| far::mark(number)) else { return Ok(()) };
    let number = &number;
    let switch = Arc::clone(session.switch());
    let settings = in_force(&switch);
    let name = words.get(1).map(String::as_str);
    let Some(profile) = settings.profile(name) else { return Ok(()) };
    let caller = caller_of(&channel);
    let question = question_of(&channel, number, &caller);
    let found = session.wait_for(lookup(&switch, &settings, profile, question)).await?;
    let Ok(routes) = found else {
        tracing::warn!(uuid = %channel.uuid(), "LCR lookup failed for {}", far::plain(number));
        return Ok(());
    };
    for (at, route) in routes.iter().enumerate() {
        let at = at + 1;
        channel.set_var(format!("lcr_route_{at}"), route.dialstring.as_str());
        channel.set_var(format!("lcr_rate_{at}"), route.rate_text.as_str());
        channel.set_var(format!("lcr_carrier_{at}"), route.carrier.as_str());
        if !route.codec.is_empty() {
            channel.set_var(format!("lcr_codec_{at}"), route.codec.as_str());
        }
    }
    channel.set_var("lcr_route_count", routes.len().to_string());
    let dials: Vec<&str> = routes.iter().map(|route| route.dialstring.as_str()).collect();
    let all = dials.join(if profile.sip_redirect { "," } else { "|" });
    if all.is_empty() {
        channel.unset_var("lcr_auto_route");
    } else {
        channel.set_var("lcr_auto_route", all);
    }
    import(&channel);
    Ok(())
}

/// The dialplan `lcr`: the context names the profile, each route is tried in turn.
async fn route_call(session: &mut Session, number: &str) -> Option<Extension> {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    let settings = in_force(&switch);
    let context = channel.profile().context.clone();
    let profile = settings.profile(Some(&context))?;
    let caller = caller_of(&channel);
    let marked = channel.var_marked("destination_number").unwrap_or_else(|| number.to_owned());
    let question = question_of(&channel, &marked, &caller);
    // The caller may give up while the database thinks.
    let found = session.wait_for(lookup(&switch, &settings, profile, question)).await.ok()?;
    let Ok(routes) = found else {
        tracing::warn!(
            uuid = %channel.uuid(),
            "LCR lookup failed for {number} using profile {context}"
        );
        return None;
    };
    channel.set_var("continue_on_fail", "true");
    channel.set_var("hangup_after_bridge", "true");
    import(&channel);
    let steps = routes.into_iter().map(|route| match route.limit {
        Some((realm, id, most)) => {
            let kind = profile.limit_type;
            ("limit_execute", format!("{kind} {realm} {id} {most} bridge {}", route.dialstring))
        }
        None => ("bridge", route.dialstring),
    });
    Some(Extension::new(number, number, steps))
}

async fn lookup_api(call: ApiCall) -> String {
    let usage = || format!("USAGE: {SYNTAX}\n");
    let words = text::words(&call.args, 32);
    let Some(number) = words.first().map(|number| far::mark(number)) else { return usage() };
    let (mut intrastate, mut lrn, mut caller, mut as_xml) = (false, None, None, false);
    let mut rest = words.iter().skip(2);
    while let Some(word) = rest.next() {
        match word.to_ascii_lowercase().as_str() {
            "intrastate" => intrastate = true,
            "lrn" => lrn = rest.next().cloned(),
            "as" if rest.next().is_some_and(|kind| kind.eq_ignore_ascii_case("xml")) => {
                as_xml = true;
            }
            "as" => return usage(),
            _ => caller = Some(word.clone()),
        }
    }
    let settings = in_force(&call.switch);
    let name = words.get(1).map(String::as_str);
    let Some(profile) = settings.profile(name) else {
        return format!("-ERR Unknown profile: {}\n", name.unwrap_or("(null)"));
    };
    let caller = caller.unwrap_or_else(|| CALLER.to_owned());
    let channel = call.channel.as_ref();
    let question = Question { number: &number, caller: &caller, lrn, intrastate, channel };
    match lookup(&call.switch, &settings, profile, question).await {
        Err(Failed) => "-ERR Error looking up routes\n".to_owned(),
        Ok(routes) if routes.is_empty() && as_xml => {
            // The reference closes it by another name.
            "<result row_count=\"0\">\n</results>\n".to_owned()
        }
        Ok(routes) if routes.is_empty() => "No Routes To Display\n".to_owned(),
        Ok(routes) if as_xml => route::xml(&routes),
        Ok(routes) => route::table(&routes),
    }
}

fn admin(call: &ApiCall) -> String {
    let words = call.words(32);
    let is =
        |at: usize, word: &str| words.get(at).is_some_and(|own| own.eq_ignore_ascii_case(word));
    if !is(0, "show") || !is(1, "profiles") {
        return format!("-ERR {ADMIN}\n");
    }
    let settings = in_force(&call.switch);
    settings.profiles.iter().map(|profile| profile.shown(settings.has)).collect()
}
