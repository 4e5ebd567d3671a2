//! The `enum` application, the `enum` and `enum_auto` commands, the `enum` dialplan.

use std::sync::Arc;

use super::{Offer, lookup, reload};
use crate::api::{Api, ApiCall};
use crate::app::{App, Flags};
use crate::call::Extension;
use crate::call::{AppResult, Session};
use crate::{api, app};

/// The applications.
pub const APPS: &[App] = &[app!(
    "enum",
    "mod_enum",
    Flags::NO_MEDIA.and(Flags::ROUTING),
    "[reload | <number> [<root>]]",
    "Perform an ENUM lookup",
    find_routes
)];

/// The commands.
pub const APIS: &[Api] = &[
    api!("enum", "mod_enum", "", "ENUM", async show),
    api!("enum_auto", "mod_enum", "", "ENUM", async dial_string),
];

/// What one may say: a number and the name it is looked up under.
fn number_and_root(text: &str) -> Option<(&str, Option<&str>)> {
    let mut words = text.split_whitespace();
    Some((words.next()?, words.next()))
}

/// The dial strings in one: those equally good together, others in turn.
fn joined(offers: &[Offer]) -> String {
    let mut out = String::new();
    let mut last = None;
    for offer in offers.iter().filter(|offer| offer.supported) {
        let rank = (offer.order, offer.preference);
        if let Some(before) = last.replace(rank) {
            out.push(if before == rank { ',' } else { '|' });
        }
        out.push_str(&offer.route);
    }
    out
}

async fn find_routes(session: &mut Session, argument: &str) -> AppResult {
    let Some((number, root)) = number_and_root(argument) else { return Ok(()) };
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    let offers = session.wait_for(lookup(&switch, Some(&channel), number, root)).await?;
    channel.clear_vars("enum_");
    let routes: Vec<_> = offers.iter().filter(|offer| offer.supported).collect();
    for (at, offer) in routes.iter().enumerate() {
        channel.set_var(format!("enum_route_{}", at + 1), offer.route.clone());
    }
    channel.set_var("enum_route_count", routes.len().to_string());
    if !routes.is_empty() {
        channel.set_var("enum_auto_route", joined(&offers));
    }
    Ok(())
}

async fn show(call: ApiCall) -> String {
    if call.channel.is_some() {
        tracing::error!("This function cannot be called from the dialplan.");
        return String::new();
    }
    let Some((number, root)) = number_and_root(&call.args) else {
        return "Usage: enum [reload | <number> [<root>] ]\n".into();
    };
    if number.eq_ignore_ascii_case("reload") {
        reload(&call.switch).await;
        return "+OK ENUM Reloaded.\n".into();
    }
    let offers = lookup(&call.switch, None, number, root).await;
    format!(
        "{}{}",
        table("Offered", offers.iter()),
        table("Supported", offers.iter().filter(|offer| offer.supported))
    )
}

fn table<'a>(title: &str, offers: impl Iterator<Item = &'a Offer>) -> String {
    let line = "=".repeat(78);
    let mut out = format!("\n{title} Routes:\nOrder\tPref\tService   \tRoute\n{line}\n");
    for offer in offers {
        let Offer { order, preference, service, route, .. } = offer;
        out.push_str(&format!("{order}\t{preference}\t{service:<10}\t{route}\n"));
    }
    out
}

async fn dial_string(call: ApiCall) -> String {
    match number_and_root(&call.args) {
        Some((number, root)) => joined(&lookup(&call.switch, None, number, root).await),
        None => "none".into(),
    }
}

/// The `enum` dialplan: bridges to what is found, one after the other. As in the reference a number that leads
/// nowhere has an extension too, an empty one: dialplans named after this one are not asked.
pub(super) async fn route(session: &mut Session, root: &str, number: &str) -> Option<Extension> {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    tracing::debug!(uuid = %channel.uuid(), "ENUM Lookup on {number}");
    let lookup = lookup(&switch, Some(&channel), number, Some(root));
    // The caller may give up while name servers think.
    let offers = session.wait_for(lookup).await.ok()?;
    channel.set_var("hangup_after_bridge", "true");
    let routes = offers.into_iter().filter(|offer| offer.supported);
    Some(Extension::new(number, number, routes.map(|offer| ("bridge", offer.route))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(order: u16, preference: u16, route: &str, supported: bool) -> Offer {
        Offer { order, preference, service: "E2U+sip".into(), route: route.into(), supported }
    }

    #[test]
    fn equally_good_routes_are_called_together() {
        let offers = [
            offer(1, 1, "a", true),
            offer(1, 1, "x", false),
            offer(1, 1, "b", true),
            offer(1, 2, "c", true),
            offer(2, 2, "d", true),
        ];
        assert_eq!(joined(&offers), "a,b|c|d");
        assert_eq!(joined(&[]), "");
    }

    #[test]
    fn tables_have_the_shape_of_the_reference() {
        let offers = [offer(10, 100, "sofia/open/1@a", true)];
        let shown = table("Offered", offers.iter());
        let line = "=".repeat(78);
        assert_eq!(
            shown,
            format!(
                "\nOffered Routes:\nOrder\tPref\tService   \tRoute\n{line}\n10\t100\tE2U+sip   \tsofia/open/1@a\n"
            )
        );
    }
}
