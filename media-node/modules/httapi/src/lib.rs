//! mod_httapi: a web server leads the call. Each request tells it of the call and of what was typed or recorded; each answer
//! is a list of actions.
//!
//! [`settings`] are profiles and permissions, [`client`] is the conversation, [`document`] an answer, [`actions`],
//! [`sound`] and [`recording`] what it may ask for; [`ear`] and [`digits`] are the keys.

#![deny(unsafe_code)]

mod actions;
mod client;
mod declared;
mod digits;
mod document;
mod ear;
mod form;
mod multipart;
mod recording;
mod settings;
mod sound;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::far;
use dialplan_xml::Node;
use esl_server::event::{Event, EventName};
use parking_lot::Mutex;
use switch_core::api::{Api, ApiCall};
use switch_core::app::{App, Flags};
use switch_core::call::profile::Prefix;
use switch_core::call::{AppResult, Channel, Session};
use switch_core::contract::{Change, Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use switch_core::{BoxFuture, api, app, text, xml};

use actions::Next;
use client::{Client, Slot};
use form::Form;
use settings::{Profile, Settings};

const USAGE: &str = "[debug_on|debug_off]";

const APPS: &[App] = &[app!(
    "httapi",
    "mod_httapi",
    Flags::NO_MEDIA,
    "{<param1>=<val1>}",
    "HT-TAPI Hypertext Telephony API",
    httapi
)
.marked()];
const APIS: &[Api] = &[api!(
    "httapi",
    "mod_httapi",
    "[debug_on|debug_off]",
    "HT-TAPI Hypertext Telephony API",
    debug
)];

/// Fields an argument may hold.
const FIELDS: usize = 1024;

/// mod_httapi.
pub struct Httapi;

/// The settings in force.
#[derive(Default)]
struct InForce {
    settings: Mutex<Option<Arc<Settings>>>,
    debug: AtomicBool,
}

impl Module for Httapi {
    fn name(&self) -> &'static str {
        "mod_httapi"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[APPS],
            commands: &[APIS],
            observers: &[&ear::Observer],
            completions: "httapi debug_on\nhttapi debug_off",
            parameters: declared::PARAMETERS,
            variables: &[declared::VARIABLES],
            ..Provides::NOTHING
        }
    }

    /// Without a configuration there is no server to ask.
    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().document("httapi.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            let read = read(switch).await;
            let Some(settings) = read else {
                tracing::error!("open of httapi.conf failed");
                return Err(NotLoaded);
            };
            take(switch, settings);
            Ok(())
        })
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if change == Change::Configuration
                && let Some(settings) = read(switch).await
            {
                take(switch, settings);
            }
        })
    }
}

async fn read(switch: &Arc<Switch>) -> Option<Settings> {
    let read = |conf: Option<Node<'_>>| conf.and_then(Settings::read);
    xml::read_configuration(switch, "httapi.conf", None, read).await.ok()?
}

fn take(switch: &Switch, settings: Settings) {
    for profile in &settings.profiles {
        tracing::info!(
            fs_level = "NOTICE",
            "Profile [{}] JSON Function [{}]",
            profile.name,
            profile.url
        );
    }
    let in_force = switch.module::<InForce>();
    in_force.debug.store(settings.debug, Ordering::Relaxed);
    *in_force.settings.lock() = Some(Arc::new(settings));
}

fn debug(call: &ApiCall) -> String {
    if call.channel.is_some() {
        return String::new();
    }
    let on = match call.args.trim() {
        word if word.eq_ignore_ascii_case("debug_on") => true,
        word if word.eq_ignore_ascii_case("debug_off") => false,
        _ => return format!("USAGE: {USAGE}\n"),
    };
    call.switch.module::<InForce>().debug.store(on, Ordering::Relaxed);
    "OK\n".to_owned()
}

/// The fields in braces, and what stands behind them. What a far end said in the argument is marked.
fn taken_apart(argument: &str) -> (Vec<(String, String)>, &str) {
    let mut fields = Vec::new();
    let mut rest = argument.trim_start();
    while let Some(inside) = rest.strip_prefix('{') {
        let mut depth = 1_i32;
        let end = inside.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        let Some(end) = end else { break };
        let mut list = &inside[..end];
        let mut separator = ',';
        if let Some(after) = list.strip_prefix("^^")
            && let Some(own) = after.chars().next()
        {
            (separator, list) = (own, &after[own.len_utf8()..]);
        }
        for pair in text::separated_marked(list, separator, FIELDS) {
            if let Some((name, value)) = pair.split_once('=') {
                fields.push((far::plain(name.trim()).into_owned(), value.trim().to_owned()));
            }
        }
        rest = inside[end + 1..].trim_start_matches(' ');
    }
    (fields, rest)
}

async fn httapi(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let (mut fields, rest) = taken_apart(argument);
    if far::plain(rest).contains("://") {
        fields.push(("url".to_owned(), rest.to_owned()));
    }
    let Some(client) = client_of(&channel, fields) else { return Ok(()) };
    let every = {
        let mut client = client.lock();
        let caller = caller(&channel);
        client.params.merge(&caller);
        client.profile.permissions.extended_data
            && client.params.get("full_channel_data_on_every_req").is_some_and(text::is_true)
    };
    let mut first = true;
    loop {
        session.check()?;
        if std::mem::take(&mut first) || every {
            client::add_extended_data(&channel, &client);
        }
        let answer = session.wait_for(client::exchange(&channel, &client)).await?;
        let Some(answer) = answer else { return Ok(()) };
        if answer.status != 200 {
            tracing::error!(uuid = %channel.uuid(), "Received HTTP response: {}.", answer.status);
            return Ok(());
        }
        let kind = answer.kind.unwrap_or_default();
        if !kind.to_ascii_lowercase().contains("text/xml") {
            tracing::error!(uuid = %channel.uuid(), "Received unsupported content-type {kind}");
            return Ok(());
        }
        if session.switch().module::<InForce>().debug.load(Ordering::Relaxed) {
            let body = String::from_utf8_lossy(&answer.body);
            tracing::error!(uuid = %channel.uuid(), fs_level = "CRIT", "Debugging Return Data:\n{body}");
        }
        let Some(tree) = document::parse(&answer.body) else {
            tracing::warn!(uuid = %channel.uuid(), "No instructions found in result!");
            return Ok(());
        };
        if document::run(session, &client, &tree).await? == Next::Leave {
            return session.check();
        }
    }
}

/// The call's client, made with its first request; the argument's fields are set in it.
fn client_of(channel: &Arc<Channel>, fields: Vec<(String, String)>) -> Option<Arc<Mutex<Client>>> {
    let far_url = fields.iter().rfind(|(name, _)| name.eq_ignore_ascii_case("url"));
    let far_url = far_url.map(|(_, url)| http_client::reach::is_far(url));
    let mut given = Form::default();
    for (name, value) in &fields {
        given.set(name, far::plain(value));
    }
    let known = channel.with(|data| data.find_slot::<Slot>().and_then(|slot| slot.0.clone()));
    if let Some(known) = known {
        let mut client = known.lock();
        client.params.merge(&given);
        client.once = Form::default();
        client.public_only = far_url.unwrap_or(client.public_only);
        drop(client);
        return Some(known);
    }
    let name = given.get("httapi_profile").filter(|name| !name.is_empty()).map(str::to_owned);
    let name = name.or_else(|| channel.var("httapi_profile")).unwrap_or_else(|| "default".into());
    let Some(profile) = profile(channel.switch(), &name) else {
        tracing::error!(uuid = %channel.uuid(), "Cannot find profile [{name}]");
        tracing::error!(uuid = %channel.uuid(), "Cannot find suitable profile");
        return None;
    };
    given.set("hostname", channel.switch().name());
    let client = Arc::new(Mutex::new(Client {
        profile,
        params: given,
        once: Form::default(),
        files: Vec::new(),
        recording: None,
        public_only: far_url.unwrap_or(false),
    }));
    channel.with(|data| data.slot::<Slot>().0 = Some(Arc::clone(&client)));
    Some(client)
}

fn profile(switch: &Switch, name: &str) -> Option<Arc<Profile>> {
    let settings = switch.module::<InForce>().settings.lock().clone()?;
    settings.profile(name).cloned()
}

/// The `Caller-…` fields.
fn caller(channel: &Channel) -> Form {
    let mut event = Event::new(EventName::ChannelData);
    channel.with(|data| {
        if let Some(profile) = &data.profile {
            profile.write(&mut event, Prefix::Caller);
        }
    });
    let mut form = Form::default();
    event.for_each_header(|name, value| {
        if name.starts_with("Caller-") {
            form.set(name, value.text());
        }
    });
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_fields_in_braces_and_an_address() {
        let (fields, rest) = taken_apart("{url=http://a/b?c=d,method=POST} http://e/");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(fields, [pair("url", "http://a/b?c=d"), pair("method", "POST")]);
        assert_eq!(rest, "http://e/");
        let (fields, rest) = taken_apart("{^^:a=1,2:b={x}}");
        assert_eq!((fields, rest), (vec![pair("a", "1,2"), pair("b", "{x}")], ""));
        assert_eq!(taken_apart("{open").1, "{open");
        assert_eq!(taken_apart("http://a/").1, "http://a/");
    }
}
