//! mod_enum: telephone numbers to addresses by the domain name system (RFC 6116, and ISN numbers `n*domain`).
//!
//! [`settings`] reads `enum.conf`, [`naptr`] judges records, [`dns`] asks for them, [`interfaces`] are the application, the
//! commands and the dialplan. What name servers say is checked before it may become part of a dial string: a record
//! must not be able to call anybody but the address it stands for.

#![deny(unsafe_code)]

// The core's rooms are known here by their own names.
use switch_core::*;

mod declared;
mod dns;
pub mod interfaces;
mod naptr;
mod parameters;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use esl_server::event::{Event, EventName};
use tokio::sync::Semaphore;

use crate::BoxFuture;
use crate::call::Channel;
use crate::contract::{Change, DialplanKind, Module, NotLoaded, Provides};
use crate::switch::Switch;
use naptr::Naptr;
use settings::{Settings, server_address};

/// Lookups under way at once; one more finds nothing.
const MAX_LOOKUPS: usize = 256;

/// The module's settings, and how many may use it at once.
pub struct Lookups {
    settings: ArcSwap<Settings>,
    slots: Semaphore,
}

impl Default for Lookups {
    fn default() -> Self {
        Self { settings: ArcSwap::default(), slots: Semaphore::new(MAX_LOOKUPS) }
    }
}

/// One way to reach a number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    order: u16,
    preference: u16,
    service: String,
    /// A dial string, or the bare address if no `<route>` knows the service.
    route: String,
    supported: bool,
}

/// Reads `enum.conf` anew, from bindings or files; a binding that cannot be asked leaves the settings as they are.
pub async fn reload(switch: &Arc<Switch>) {
    let read = |node: Option<dialplan_xml::Node<'_>>| {
        if node.is_none() {
            tracing::warn!(
                "There is no enum.conf: numbers are looked up with the built-in settings"
            );
        }
        Settings::read(node)
    };
    if let Ok(settings) = xml::read_configuration(switch, "enum.conf", None, read).await {
        switch.module::<Lookups>().settings.store(Arc::new(settings));
    }
}

/// mod_enum.
pub struct Enum;

impl Module for Enum {
    fn name(&self) -> &'static str {
        "mod_enum"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[interfaces::APPS],
            commands: &[interfaces::APIS],
            dialplans: &[DialplanKind {
                name: "enum",
                find: |session, root, number| Box::pin(interfaces::route(session, root, number)),
            }],
            parameters: parameters::PARAMETERS,
            variables: &[declared::VARIABLES],
            ..Provides::NOTHING
        }
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            reload(switch).await;
            Ok(())
        })
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let wanted = switch.module::<Lookups>().settings.load().auto_reload;
            if change == Change::Configuration && wanted {
                reload(switch).await;
                tracing::info!("ENUM Reloaded");
            }
        })
    }
}

/// Everything offered for a number, best first. Nothing found and no response look the same.
async fn lookup(
    switch: &Arc<Switch>,
    channel: Option<&Arc<Channel>>,
    number: &str,
    root: Option<&str>,
) -> Vec<Offer> {
    let lookups = switch.module::<Lookups>();
    let settings = lookups.settings.load_full();
    let Some((number, name)) = question(&settings, number, root) else {
        tracing::debug!("ENUM: {number} has no digits to look up");
        return Vec::new();
    };
    let Ok(_slot) = lookups.slots.try_acquire() else {
        tracing::warn!(
            "ENUM: {MAX_LOOKUPS} lookups are under way already, {name} is not asked for"
        );
        return Vec::new();
    };
    let servers = servers(switch, channel, &settings);
    let mut records = dns::ask(&name, &servers, &settings).await;
    records.sort();
    let mut offered: Vec<Offer> =
        records.iter().flat_map(|record| offers(&settings, record, &number, &name)).collect();
    let nothing = Event::new(EventName::RequestParams);
    for offer in offered.iter_mut().filter(|offer| offer.supported) {
        offer.route = host::expand_event(switch, &nothing, &offer.route).await;
    }
    offered
}

/// The number as records match it and the name they are found at. `n*domain` is an ISN.
fn question(settings: &Settings, number: &str, root: Option<&str>) -> Option<(String, String)> {
    let root = root.filter(|root| !root.is_empty());
    let (number, root) = match number.split_once('*') {
        Some((number, domain)) => {
            (number, format!("{domain}.{}", root.unwrap_or(&settings.isn_root)))
        }
        None => (number, root.unwrap_or(&settings.root).to_owned()),
    };
    let mut name = String::new();
    for digit in number.chars().rev().filter(char::is_ascii_digit) {
        name.push(digit);
        name.push('.');
    }
    if name.is_empty() {
        return None;
    }
    let plus = if number.starts_with('+') { "" } else { "+" };
    Some((format!("{plus}{number}"), name + &root))
}

/// Who is asked: the call's choice, the global one, the configured ones; none means the machine's own.
fn servers(
    switch: &Arc<Switch>,
    channel: Option<&Arc<Channel>>,
    settings: &Settings,
) -> Vec<SocketAddr> {
    let chosen = channel
        .and_then(|channel| channel.var("enum_nameserver"))
        .filter(|list| !list.is_empty())
        .or_else(|| switch.global("enum-server").filter(|list| !list.is_empty()));
    let Some(list) = chosen else { return settings.servers.clone() };
    let named = list.split(',').filter_map(|word| {
        let address = server_address(word);
        if address.is_none() {
            tracing::warn!("ENUM: {word} is not the address of a name server");
        }
        address
    });
    named.take(settings::MAX_SERVERS).collect()
}

/// What one record offers: a dial string for each route that knows its service, still to be expanded, or its address
/// alone.
fn offers(settings: &Settings, record: &Naptr, number: &str, owner: &str) -> Vec<Offer> {
    let address = match record.address(number) {
        Ok(Some(address)) => address,
        Ok(None) => return Vec::new(),
        Err(error) => {
            tracing::warn!("ENUM: a record of {owner} is of no use: {error}");
            return Vec::new();
        }
    };
    let offer = |route: String, supported: bool| Offer {
        order: record.order,
        preference: record.preference,
        service: record.service.clone(),
        route,
        supported,
    };
    let routes = settings.routes.iter();
    let routed: Vec<_> = routes
        .filter(|route| route.service.eq_ignore_ascii_case(&record.service))
        .filter_map(|route| route.apply(&address))
        .map(|route| offer(route, true))
        .collect();
    if routed.is_empty() { vec![offer(address, false)] } else { routed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let xml = r#"<document type="freeswitch/xml"><section name="configuration">
          <configuration name="enum.conf">
            <routes>
              <route service="E2U+SIP" regex="sip:(.*)" replace="sofia/${use_profile}/$1"/>
              <route service="E2U+SIP" regex="sip:(.*)@near" replace="user/$1"/>
              <route service="E2U+TEL" regex="tel:" replace="error/no_route_destination"/>
            </routes>
          </configuration></section></document>"#;
        let tree = dialplan_xml::parse_raw(xml, "test").tree.unwrap();
        Settings::read(tree.configuration("enum.conf"))
    }

    fn offered(service: &str, regexp: &str) -> Vec<(String, bool)> {
        let record = Naptr {
            order: 1,
            preference: 2,
            service: service.to_owned(),
            regexp: regexp.to_owned(),
        };
        offers(&settings(), &record, "+4930123", "owner")
            .into_iter()
            .map(|offer| (offer.route.replace("${use_profile}", "outside"), offer.supported))
            .collect()
    }

    #[test]
    fn numbers_are_asked_for_backwards_under_their_root() {
        let asked = |number, root| {
            question(&Settings::default(), number, root).map(|(a, b)| format!("{a} {b}"))
        };
        assert_eq!(asked("4930", None).as_deref(), Some("+4930 0.3.9.4.e164.org"));
        assert_eq!(asked("+49-30", Some("x.test")).as_deref(), Some("+49-30 0.3.9.4.x.test"));
        assert_eq!(asked("+49", Some("")).as_deref(), Some("+49 9.4.e164.org"));
        assert_eq!(asked("12*256", None).as_deref(), Some("+12 2.1.256.freenum.org"));
        assert_eq!(asked("12*256", Some("x.test")).as_deref(), Some("+12 2.1.256.x.test"));
        assert_eq!(asked("alice", None), None);
        assert_eq!(asked("", None), None);
    }

    #[test]
    fn each_route_of_the_service_makes_a_dial_string() {
        let found = offered("e2u+sip", r"!^\+(.*)$!sip:\1@near!");
        let routes = ["sofia/outside/4930123@near", "user/4930123"];
        assert_eq!(found, routes.map(|route| (route.to_owned(), true)));
        let found = offered("E2U+TEL", "!.*!tel:+1!");
        assert_eq!(found, [("error/no_route_destination".to_owned(), true)]);
    }

    #[test]
    fn a_service_without_route_is_offered_by_its_address() {
        let found = offered("E2U+mailto", "!.*!mailto:me@there.example!");
        assert_eq!(found, [("mailto:me@there.example".to_owned(), false)]);
        assert_eq!(offered("E2U+SIP", "!^.99!sip:a@b!"), []);
        assert_eq!(offered("E2U+SIP", "!broken"), []);
    }
}
