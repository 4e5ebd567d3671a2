//! mod_nibblebill: takes the price of a call off an account while the call is up.
//!
//! An account is charged at heartbeats (`global_heartbeat`, SESSION_HEARTBEAT), when asked to, and at the end. What could
//! not be charged because the database did not answer is charged the next time.

use std::sync::Arc;

use database::{Database, args};
use dialplan_xml::config::settings;
use esl_server::event::EventName;
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::api;
use switch_core::api::{Api, ApiCall};
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::transfer::transfer;
use switch_core::call::{AppResult, Channel, Session, heartbeat};
use switch_core::contract::declare::{Parameters, Value, Variable, param, reads, sets};
use switch_core::contract::{CallObserver, Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use switch_core::{clock, host, tasks, text};

use crate::conf;

const APPS: &[App] = &[app!(
    "nibblebill",
    "mod_nibblebill",
    Flags::NO_MEDIA.and(Flags::ROUTING),
    "pause | resume | reset | adjust <amount> | heartbeat <seconds> | check",
    "Pause, resume, reset, adjust, flush, heartbeat commands to handle billing.",
    run
)];
const SYNTAX: &str =
    "<uuid> [pause | resume | reset | adjust <amount> | heartbeat <seconds> | check]";
const APIS: &[Api] = &[api!(
    "nibblebill",
    "mod_nibblebill",
    SYNTAX,
    "Manage billing parameters for a channel/call",
    async nibblebill
)];

#[rustfmt::skip]
const PARAMETERS: &[Parameters] = &[Parameters { file: "nibblebill.conf", scope: "", list: &[
    param("odbc-dsn", Value::Text, "", "Database of the accounts: `pgsql://…`, `sqlite://…`, or a file's name"),
    param("db_dsn", Value::Text, "", "The same as `odbc-dsn`"),
    param("db_table", Value::Text, "", "Table of the accounts"),
    param("db_column_cash", Value::Text, "", "Column of what is on an account"),
    param("db_column_account", Value::Text, "", "Column of its name"),
    param("custom_sql_save", Value::Text, "", "Statement that takes `${nibble_bill}` off an account"),
    param("custom_sql_lookup", Value::Text, "", "Statement that gives `nibble_balance`"),
    param("percall_action", Value::Text, "hangup", "Nothing").no_effect("FreeSWITCH reads it and does nothing with it"),
    param("percall_max_amt", Value::Text, "0", "Nothing").no_effect("FreeSWITCH reads it and does nothing with it"),
    param("lowbal_amt", Value::Text, "0", "Balance at which `lowbal_action` runs"),
    param("lowbal_action", Value::Text, "play ding", "Application that runs once when the balance is low"),
    param("nobal_amt", Value::Text, "0", "Balance at which a call is sent to `nobal_action`"),
    param("nobal_action", Value::Text, "hangup", "Where it is sent: number, dialplan, context"),
    param("var_name_rate", Value::Text, "nibble_rate", "Variable that holds the price of a minute"),
    param("var_name_account", Value::Text, "nibble_account", "Variable that holds the account"),
    param("global_heartbeat", Value::Seconds, "0", "Seconds between charges; 0 charges at the end"),
] }];
#[rustfmt::skip]
const VARIABLES: &[Variable] = &[
    reads("nibble_rate", Value::Text, "Price of a minute"),
    reads("nibble_account", Value::Text, "Account that is charged"),
    reads("nibble_increment", Value::Seconds, "Seconds that are charged together"),
    reads("nibble_rounding", Value::Number(0, 9), "Decimals the whole price is rounded up to"),
    reads("nibble_minimum", Value::Text, "Least price of a call"),
    reads("nobal_amt", Value::Text, "Instead of the parameter `nobal_amt`"),
    reads("lowbal_amt", Value::Text, "Instead of the parameter `lowbal_amt`"),
    sets("nibble_total_billed", "What the call has cost so far"),
    sets("nibble_current_balance", "What is left on the account after the call"),
    sets("nibble_bill", "For `custom_sql_save`: what is to be charged"),
];

/// Heartbeats that wait to be charged.
const QUEUE: usize = 10_000;

/// The settings in force.
#[derive(Clone, Debug, Default)]
struct Settings {
    open: Option<Database>,
    table: String,
    cash: String,
    account: String,
    save: String,
    lookup: String,
    low_amount: f64,
    low_action: String,
    none_amount: f64,
    none_action: String,
    rate_variable: String,
    account_variable: String,
    heartbeat: u32,
}

#[derive(Default)]
struct InForce {
    settings: Mutex<Settings>,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// What a call has been charged; times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bill {
    /// Charged until then; 0 before the first time.
    until: i64,
    total: f64,
    /// Paused since then.
    paused: i64,
    /// Not to be charged, for pauses.
    credit: f64,
    warned: bool,
    closed: bool,
}

impl Bill {
    /// What is due at a time, and until when it pays: whole increments where there are such.
    fn due(&self, now: i64, rate: f64, increment: i64) -> (f64, i64) {
        let passed = (now - self.until).max(0);
        let charged = match increment.saturating_mul(1_000_000) {
            step if step > 0 => {
                let steps = passed.div_euclid(step) + i64::from(passed % step > 0);
                steps.max(1) * step
            }
            _ => passed,
        };
        (rate / 60_000_000.0 * charged as f64 - self.credit, self.until + charged)
    }

    /// What is still to be charged at the end: rounding, and a least price.
    fn rest(&self, decimals: Option<f64>, minimum: f64) -> f64 {
        let factor = decimals.map(|decimals| 10_f64.powf(decimals));
        let rounded = factor.map_or(self.total, |factor| (self.total * factor).ceil() / factor);
        if rounded < minimum { minimum - self.total } else { (rounded - self.total).max(0.0) }
    }
}

/// The module.
pub(crate) struct Nibblebill;

impl Module for Nibblebill {
    fn name(&self) -> &'static str {
        "mod_nibblebill"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[APPS],
            commands: &[APIS],
            observers: &[&Observer],
            parameters: PARAMETERS,
            variables: &[VARIABLES],
            ..Provides::NOTHING
        }
    }

    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().document("nibblebill.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            let Some((dsn, mut read)) = read(switch).await else { return Err(NotLoaded) };
            if !dsn.is_empty() {
                read.open = conf::open(switch, "mod_nibblebill", &dsn).await;
            }
            let in_force = switch.module::<InForce>();
            *in_force.settings.lock() = read;
            if let Some(old) = in_force.task.lock().replace(listen(switch)) {
                old.abort();
            }
            Ok(())
        })
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        let in_force = switch.module::<InForce>();
        if let Some(task) = in_force.task.lock().take() {
            task.abort();
        }
        *in_force.settings.lock() = Settings::default();
        Box::pin(std::future::ready(()))
    }
}

async fn read(switch: &Arc<Switch>) -> Option<(String, Settings)> {
    conf::with(switch, "nibblebill.conf", |node| {
        let params = settings(Some(node));
        let text = |name: &str, default: &str| {
            let value = params.last(name).filter(|value| !value.is_empty());
            value.unwrap_or(default).to_owned()
        };
        let dsn = text("odbc-dsn", &text("db_dsn", ""));
        let read = Settings {
            open: None,
            table: text("db_table", ""),
            cash: text("db_column_cash", ""),
            account: text("db_column_account", ""),
            save: text("custom_sql_save", ""),
            lookup: text("custom_sql_lookup", ""),
            low_amount: amount(&text("lowbal_amt", "0")),
            low_action: text("lowbal_action", "play ding"),
            none_amount: amount(&text("nobal_amt", "0")),
            none_action: text("nobal_action", "hangup"),
            rate_variable: text("var_name_rate", "nibble_rate"),
            account_variable: text("var_name_account", "nibble_account"),
            heartbeat: u32::try_from(text::int(&text("global_heartbeat", "0"))).unwrap_or(0),
        };
        (dsn, read)
    })
    .await
}

/// The number a text begins with.
fn amount(text: &str) -> f64 {
    let text = text.trim();
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+')).unwrap_or(text.len());
    text.get(..end).and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

/// Charges at heartbeats.
fn listen(switch: &Arc<Switch>) -> tokio::task::JoinHandle<()> {
    let mut events = switch.bus.subscribe(QUEUE);
    events.listen(EventName::SessionHeartbeat);
    let weak = Arc::downgrade(switch);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let Some(switch) = weak.upgrade() else { return };
            let uuid = event.get("Unique-ID").unwrap_or_default().into_owned();
            if let Some(channel) = switch.channel(&uuid) {
                tasks::step("a charge at a heartbeat", charge(&channel, false)).await;
            }
        }
    })
}

/// What happens to calls that cost something.
struct Observer;

impl CallObserver for Observer {
    fn answered(&self, channel: &Channel) {
        let settings = channel.switch().module::<InForce>().settings.lock().clone();
        let wanted = settings.heartbeat > 0 && account_of(channel, &settings).is_some();
        let found = wanted.then(|| channel.switch().channel(channel.uuid())).flatten();
        if let Some(channel) = found {
            heartbeat::start(&channel, settings.heartbeat);
        }
    }

    fn hung_up<'a>(&'a self, session: &'a mut Session) -> BoxFuture<'a, ()> {
        let channel = Arc::clone(session.channel());
        Box::pin(async move {
            let settings = channel.switch().module::<InForce>().settings.lock().clone();
            let Some((_, account)) = account_of(&channel, &settings) else { return };
            charge(&channel, true).await;
            if let Some(balance) = balance(&channel, &settings, &account).await {
                channel.set_var("nibble_current_balance", format!("{balance:.6}"));
            }
        })
    }
}

/// Price of a minute and account, where the call has both.
fn account_of(channel: &Channel, settings: &Settings) -> Option<(f64, String)> {
    let rate = channel.variable(&settings.rate_variable)?;
    Some((amount(&rate), channel.variable(&settings.account_variable)?))
}

/// A name of the administrator's as an identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn balance(channel: &Arc<Channel>, settings: &Settings, account: &str) -> Option<f64> {
    let open = settings.open.as_ref()?;
    let asked = if settings.lookup.is_empty() {
        let (cash, table) = (quoted(&settings.cash), quoted(&settings.table));
        let key = quoted(&settings.account);
        let statement = format!("SELECT {cash} AS nibble_balance FROM {table} WHERE {key} = $1");
        open.row(&statement, args![account]).await
    } else {
        let statement = statement_for(channel, &settings.lookup).await;
        open.row(&statement, args![]).await
    };
    match asked {
        Ok(row) => {
            Some(row.map_or(0.0, |row| {
                amount(row.named("nibble_balance").unwrap_or_else(|| row.text(0)))
            }))
        }
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "nibblebill: the balance of {account}: {error}");
            None
        }
    }
}

/// A statement of the administrator's with variables filled in: each is part of one SQL literal.
async fn statement_for(channel: &Arc<Channel>, statement: &str) -> String {
    let expanded = host::expand_for(channel.switch(), Some(channel), statement).await;
    let mut text = String::with_capacity(expanded.len());
    // What a far end said is marked: its quotes are doubled, and it ends no statement.
    let (plain, spans) = base::far::split(&expanded);
    if spans.is_empty() {
        return plain.into_owned();
    }
    for (own, marked) in plain.chars().zip(expanded.chars()) {
        if own != marked && own == '\'' {
            text.push('\'');
        }
        text.push(own);
    }
    text
}

async fn save(channel: &Arc<Channel>, settings: &Settings, account: &str, price: f64) -> bool {
    let Some(open) = settings.open.as_ref() else { return false };
    let done = if settings.save.is_empty() {
        let (cash, table) = (quoted(&settings.cash), quoted(&settings.table));
        let key = quoted(&settings.account);
        let statement = format!("UPDATE {table} SET {cash} = {cash} - $1 WHERE {key} = $2");
        open.execute(&statement, args![price, account]).await
    } else {
        channel.set_var("nibble_bill", format!("{price:.6}"));
        let statement = statement_for(channel, &settings.save).await;
        open.execute(&statement, args![]).await
    };
    if let Err(error) = &done {
        tracing::error!(uuid = %channel.uuid(), fs_level = "CRIT", "Failed to log to database! {error}");
    }
    done.is_ok()
}

/// Charges what is due. At most one charge of a call runs at a time, as it is read and written under a lock around both.
async fn charge(channel: &Arc<Channel>, last: bool) {
    let settings = channel.switch().module::<InForce>().settings.lock().clone();
    let Some((rate, account)) = account_of(channel, &settings) else { return };
    let turn = channel.with(|data| Arc::clone(&data.slot::<Turn>().0));
    let _alone = turn.lock().await;
    let answered = channel.with(|data| data.profile.as_ref().map_or(0, |p| p.times.answered));
    let number = |name: &str| channel.variable(name).filter(|value| !value.is_empty());
    let mut bill = channel.with(|data| *data.slot::<Bill>());
    if answered < 1 && !last {
        // Nothing is due yet, but the account may be empty (`nibblebill flush` before the bridge).
        watch(channel, &settings, &account).await;
    }
    if answered < 1 || bill.paused > 0 || bill.closed {
        return;
    }
    if bill.until == 0 {
        bill.until = answered;
    }
    let increment = number("nibble_increment").map_or(0, |value| text::int(&value));
    let (price, until) = bill.due(clock::now_us(), rate, increment);
    if until > bill.until && save(channel, &settings, &account, price).await {
        bill.until = until;
        bill.total += price;
        bill.credit = 0.0;
    }
    if last {
        let decimals = number("nibble_rounding").map(|value| amount(&value));
        let rest = bill.rest(decimals, number("nibble_minimum").map_or(0.0, |v| amount(&v)));
        if rest > 0.0 && save(channel, &settings, &account, rest).await {
            bill.total += rest;
        }
        bill.closed = true;
    }
    channel.with(|data| *data.slot::<Bill>() = bill);
    channel.set_var("nibble_total_billed", format!("{:.6}", bill.total));
    if !last {
        watch(channel, &settings, &account).await;
    }
}

/// Charges of one call wait for each other.
#[derive(Default)]
struct Turn(Arc<tokio::sync::Mutex<()>>);

/// Warns of a low balance, and sends the call away when there is none.
async fn watch(channel: &Arc<Channel>, settings: &Settings, account: &str) {
    let bound = |name: &str, own: f64| {
        channel.variable(name).filter(|value| !value.is_empty()).map_or(own, |v| amount(&v))
    };
    // A balance that cannot be asked for is none, as in the reference.
    let balance = balance(channel, settings, account).await.unwrap_or(-1.0);
    let first = channel.with(|data| {
        let low = balance <= bound("lowbal_amt", settings.low_amount);
        low && !std::mem::replace(&mut data.slot::<Bill>().warned, low)
    });
    if first {
        let action = settings.low_action.clone();
        let told = channel.job(Box::new(move |session| {
            Box::pin(async move {
                let (name, argument) = action.split_once(' ').unwrap_or((&action, ""));
                let _over = match session.switch().app(name) {
                    Some(_) => session.execute(name, argument).await,
                    None => {
                        tracing::error!("Low balance action didn't execute: no application {name}");
                        Ok(())
                    }
                };
            })
        }));
        if told.is_err() {
            tracing::error!(uuid = %channel.uuid(), "Low balance action didn't execute");
        }
    }
    if balance <= bound("nobal_amt", settings.none_amount) {
        tracing::error!(
            uuid = %channel.uuid(), fs_level = "CRIT",
            "Balance of {balance:.6} fell below allowed amount! (Account {account})"
        );
        pause(channel);
        let words = text::words(&settings.none_action, 3);
        let word = |index: usize| words.get(index).map(String::as_str);
        for leg in channel.partner().into_iter().chain([Arc::clone(channel)]) {
            transfer(&leg, word(0).unwrap_or_default(), word(1), word(2));
        }
    }
}

fn pause(channel: &Channel) {
    channel.with(|data| {
        let bill = data.slot::<Bill>();
        if bill.paused == 0 {
            bill.paused = clock::now_us();
        }
    });
}

fn resume(channel: &Channel) {
    let settings = channel.switch().module::<InForce>().settings.lock().clone();
    let rate = account_of(channel, &settings).map_or(0.0, |(rate, _)| rate);
    channel.with(|data| {
        let bill = data.slot::<Bill>();
        if bill.paused > 0 {
            let passed = clock::now_us() - bill.paused;
            bill.credit += rate / 60_000_000.0 * passed as f64;
            bill.paused = 0;
        }
    });
}

/// What application and command have in common.
async fn order(channel: &Arc<Channel>, verb: &str, value: Option<&str>) {
    match (verb.to_ascii_lowercase().as_str(), value) {
        ("adjust", Some(value)) => {
            let settings = channel.switch().module::<InForce>().settings.lock().clone();
            if let Some((_, account)) = account_of(channel, &settings) {
                // What is given to the caller is taken off the price.
                save(channel, &settings, &account, -amount(value)).await;
            }
        }
        ("flush", _) => charge(channel, false).await,
        ("pause", _) => pause(channel),
        ("resume", _) => resume(channel),
        ("reset", _) => channel.with(|data| data.slot::<Bill>().until = clock::now_us()),
        ("check", _) => {
            let total = channel.with(|data| data.slot::<Bill>().total);
            tracing::info!(uuid = %channel.uuid(), "Current billing is at ${total:.6}");
        }
        ("heartbeat", Some(value)) => {
            heartbeat::start(channel, u32::try_from(text::int(value)).unwrap_or(0));
        }
        _ => {}
    }
}

async fn run(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 3);
    let channel = Arc::clone(session.channel());
    if let Some(verb) = words.first() {
        session.wait_for(order(&channel, verb, words.get(1).map(String::as_str))).await?;
    }
    Ok(())
}

async fn nibblebill(call: ApiCall) -> String {
    let words = call.words(3);
    let (Some(uuid), Some(verb)) = (words.first(), words.get(1)) else {
        return if words.is_empty() { String::new() } else { format!("-USAGE: {SYNTAX}\n") };
    };
    let Some(channel) = call.switch.channel(uuid) else { return "-ERR No Such Channel!\n".into() };
    order(&channel, verb, words.get(2).map(String::as_str)).await;
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn time_is_charged_by_the_moment_or_in_steps() {
        let bill = Bill { until: MINUTE, ..Bill::default() };
        let (price, until) = bill.due(MINUTE + 90_000_000, 0.2, 0);
        assert!(near(price, 0.3), "{price}");
        assert_eq!(until, MINUTE + 90_000_000);
        // A step begun is a step charged, and pays ahead.
        let (price, until) = bill.due(MINUTE + 61_000_000, 0.2, 60);
        assert!(near(price, 0.4), "{price}");
        assert_eq!(until, 3 * MINUTE);
        let ahead = Bill { until: 3 * MINUTE, credit: 0.1, ..Bill::default() };
        assert!(near(ahead.due(2 * MINUTE, 0.2, 0).0, -0.1));
    }

    #[test]
    fn the_end_rounds_up_and_has_a_least_price() {
        let bill = Bill { total: 0.123, ..Bill::default() };
        assert!(near(bill.rest(Some(2.0), 0.0), 0.007));
        assert!(near(bill.rest(None, 0.0), 0.0));
        assert!(near(bill.rest(Some(2.0), 1.0), 0.877));
    }

    #[test]
    fn amounts_are_the_number_a_text_begins_with() {
        assert!(near(amount(" -1.5 EUR"), -1.5) && near(amount("x"), 0.0));
    }
}
