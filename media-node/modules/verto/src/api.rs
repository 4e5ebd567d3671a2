//! Commands: `verto` and `verto_contact`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Value, json};
use switch_core::api;
use switch_core::api::{Api, ApiCall};

use crate::client::Client;
use crate::endpoint;
use crate::hub::Hub;
use crate::profile::Profile;
use crate::rpc::Object;

/// The family.
pub(crate) const APIS: &[Api] = &[
    api!("verto", "mod_verto", "syntax", "Verto API", verto),
    api!(
        "verto_contact",
        "mod_verto",
        "user@domain",
        "Generate a verto endpoint dialstring",
        contact
    ),
];

const USAGE: &str = "USAGE:\n\
    --------------------------------------------------------------------------------\n\
    verto [status|xmlstatus|jsonstatus]\n\
    verto help\n\
    verto debug [0-10]\n\
    verto perm <sessid> <type> <value>\n\
    verto noperm <sessid> <type> <value>\n\
    --------------------------------------------------------------------------------\n";

const LINE: &str = "=================================================================================================";

/// Levels by which messages of clients may be logged (`debug-level`).
const LEVELS: [&str; 8] = ["CONSOLE", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG"];

/// The level that was asked for.
struct Level(AtomicU8);

impl Default for Level {
    fn default() -> Self {
        Self(AtomicU8::new(6))
    }
}

fn verto(call: &ApiCall) -> String {
    let words = call.words(10);
    let hub = Hub::of(&call.switch);
    let word = |index: usize| words.get(index).map(String::as_str);
    match word(0).unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "help" => USAGE.into(),
        "status" => status(&hub),
        "xmlstatus" => xml_status(&hub),
        "jsonstatus" => {
            format!("{}\n", serde_json::to_string_pretty(&json_status(&hub)).unwrap_or_default())
        }
        "announce" => announce(&hub, words.get(1..).unwrap_or_default()),
        "perm" => permit(&hub, &words, true),
        "noperm" => permit(&hub, &words, false),
        "debug" => {
            let asked = word(1).and_then(|text| u8::try_from(base::text::int(text)).ok());
            if let Some(level) = asked.filter(|level| *level <= 10) {
                hub.debug.store(level, Ordering::Relaxed);
            }
            format!("Debug Level: {}\n", hub.debug.load(Ordering::Relaxed))
        }
        "debug-level" => {
            let level = call.switch.module::<Level>();
            let known = word(1).and_then(|text| {
                let of_name = LEVELS.iter().position(|name| name.eq_ignore_ascii_case(text));
                of_name.or_else(|| text.parse().ok().filter(|number| *number < LEVELS.len()))
            });
            if let Some(known) = known.and_then(|known| u8::try_from(known).ok()) {
                level.0.store(known, Ordering::Relaxed);
            }
            let level = usize::from(level.0.load(Ordering::Relaxed));
            format!("Debug Level: {}\n", LEVELS.get(level).unwrap_or(&"INFO"))
        }
        _ => format!("Unknown Command [{}]\n", word(0).unwrap_or_default()),
    }
}

fn contact(call: &ApiCall) -> String {
    if call.args.is_empty() {
        return String::new();
    }
    let found = endpoint::contacts(&call.switch, &call.args);
    if found.is_empty() {
        return "error/user_not_registered".into();
    }
    let legs: Vec<_> =
        found.iter().map(|session| format!("{}/{session}", endpoint::NAME)).collect();
    legs.join(",")
}

/// A client as lists show it: `user@domain`, state, kind.
fn shown(client: &Client) -> (String, &'static str, &'static str) {
    let login = client.login();
    let or_null = |text: &str| if text.is_empty() { "(null)".to_owned() } else { text.to_owned() };
    let name = format!("{}@{}", or_null(&login.id), or_null(&login.domain));
    let state = if login.uid.is_empty() { "CONN_NO_REG" } else { "CONN_REG" };
    (name, state, if client.secure { "WSS" } else { "WS" })
}

fn listeners(profile: &Profile) -> Vec<(String, bool, bool)> {
    let listening = profile.listening.read();
    let binds = profile.settings.binds.iter().zip(listening.iter());
    binds.map(|(bind, listens)| (bind.url(), bind.secure, *listens)).collect()
}

fn clients(profile: &Profile) -> Vec<Arc<Client>> {
    profile.clients.read().clone()
}

fn running(listens: bool) -> &'static str {
    if listens { "RUNNING" } else { "DOWN" }
}

fn status(hub: &Hub) -> String {
    let row = |name: &str, kind: &str, data: &str, state: &str| {
        format!("{name:>25}\t{kind}\t  {data:>40}\t{state}\n")
    };
    let mut out = row("Name", "   Type", "Data", "State");
    out.push_str(&format!("{LINE}\n"));
    let (mut profiles, mut count) = (0, 0);
    for profile in hub.profiles.read().iter() {
        profiles += 1;
        for (url, _, listens) in listeners(profile) {
            out.push_str(&row(profile.name(), "profile", &url, running(listens)));
        }
        for client in clients(profile) {
            count += 1;
            let (name, state, kind) = shown(&client);
            let name = format!("{}::{name}", profile.name());
            out.push_str(&row(&name, "client", &client.name(), &format!("{state} ({kind})")));
        }
    }
    let s = |count| if count == 1 { "" } else { "s" };
    out.push_str(&format!(
        "{LINE}\n{profiles} profile{} , {count} client{}\n",
        s(profiles),
        s(count)
    ));
    out
}

fn xml_status(hub: &Hub) -> String {
    let escape = base::xml::in_xml;
    let mut out = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<profiles>\n".to_owned();
    for profile in hub.profiles.read().iter() {
        let name = escape(profile.name());
        for (url, _, listens) in listeners(profile) {
            out.push_str(&format!(
                "<profile>\n<name>{name}</name>\n<type>profile</type>\n<data>{}</data>\n<state>{}</state>\n</profile>\n",
                escape(&url),
                running(listens)
            ));
        }
        for client in clients(profile) {
            let (user, state, kind) = shown(&client);
            out.push_str(&format!(
                "<client>\n<profile>{name}</profile>\n<name>{}</name>\n<type>client</type>\n<data>{}</data>\n\
                 <state>{state} ({kind})</state>\n</client>\n",
                escape(&user),
                escape(&client.name())
            ));
        }
    }
    out.push_str("</profiles>\n");
    out
}

fn json_status(hub: &Hub) -> Value {
    let mut rows = Vec::new();
    for profile in hub.profiles.read().iter() {
        for (url, secure, listens) in listeners(profile) {
            let users: Vec<_> = clients(profile)
                .iter()
                .filter(|client| client.secure == secure)
                .map(|client| {
                    let (entity, state, kind) = shown(client);
                    let login = client.login();
                    json!({
                        "user": login.id, "domain": login.domain, "entity": entity, "type": kind,
                        "remoteHost": client.name(), "state": state,
                    })
                })
                .collect();
            rows.push(json!({
                "name": profile.name(), "id": url, "type": if secure { "SECURE" } else { "BASIC" },
                "state": running(listens), "users": users,
            }));
        }
    }
    json!({ "profiles": rows })
}

fn announce(hub: &Hub, words: &[String]) -> String {
    for profile in hub.profiles.read().iter() {
        for client in clients(profile) {
            let words: Vec<Value> = words.iter().map(|word| word.as_str().into()).collect();
            let mut params = Object::new();
            params.insert("msg".into(), words.into());
            client.send(hub.request("verto.announce", params));
        }
    }
    "+OK\n".into()
}

/// Gives a session what its user has not, or takes it away.
fn permit(hub: &Hub, words: &[String], add: bool) -> String {
    let word = |index: usize| words.get(index).map(String::as_str);
    let done = word(1).zip(word(2)).zip(word(3)).is_some_and(|((session, kind), value)| {
        hub.client(session).is_some_and(|client| {
            client.with(|state| {
                let list = match kind {
                    "methods" => &mut state.login.methods,
                    "jsapi" => &mut state.login.jsapi,
                    "fsapi" => &mut state.login.fsapi,
                    "event_channels" => &mut state.login.event_channels,
                    _ => return false,
                };
                list.change(value, add);
                true
            })
        })
    });
    if done { "+OK" } else { "-ERR" }.into()
}
