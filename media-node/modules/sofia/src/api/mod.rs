//! API commands about SIP: `sofia …` and the lookups of registrations and gateways.

mod command;
pub mod json;
mod lookup;
mod status;
mod xml;

use std::sync::Arc;

use esl_server::event::{Event, EventName};

use super::Sofia;
use switch_core::api;
use switch_core::api::{Api, ApiCall};

/// The family.
pub const APIS: &[Api] = &[
    api!("reloadcert", "mod_commands", "", "Reload SSL/TLS certificates", async reload_certificates),
    api!("sofia", "mod_sofia", "<cmd> <args>", "Sofia Controls", async sofia),
    api!(
        "sofia_contact",
        "mod_sofia",
        "[profile/]<user>@<domain>",
        "Sofia Contacts",
        lookup::contact
    ),
    api!(
        "sofia_count_reg",
        "mod_sofia",
        "[profile/]<user>@<domain>",
        "Count Sofia registration",
        lookup::count_reg
    ),
    api!(
        "sofia_username_of",
        "mod_sofia",
        "[profile/]<user>@<domain>",
        "Sofia Username Lookup",
        lookup::username_of
    ),
    api!(
        "sofia_gateway_data",
        "mod_sofia",
        "<gateway_name> [ivar|ovar|var] <name>",
        "Get data from a sofia gateway",
        lookup::gateway_data
    ),
    api!(
        "sofia_presence_data",
        "mod_sofia",
        "[list|status|rpid|user_agent] [profile/]<user>@domain",
        "Sofia Presence Data",
        lookup::presence_data
    ),
];

/// `reloadcert`: all profiles read their certificates anew; the event tells other modules to do likewise.
async fn reload_certificates(call: ApiCall) -> String {
    let event = Event::new(EventName::CertReload);
    esl_server::fire!(call.switch.bus, event);
    if let Some(sofia) = Sofia::find_in(&call.switch) {
        for profile in sofia.profiles() {
            let reloaded = tokio::task::spawn_blocking(move || profile.reload_certificates());
            let _panicked = reloaded.await;
        }
    }
    "+OK cert reload event sent\n".into()
}

/// The line listings are ruled with.
const LINE: &str = "=================================================================================================";

const USAGE: &str = "USAGE:
--------------------------------------------------------------------------------
sofia global siptrace <on|off>
sofia        capture  <on|off>
             watchdog <on|off>

sofia profile <name> [start | stop | restart | rescan] [wait]
                     flush_inbound_reg [<call_id> | <[user]@domain>] [reboot]
                     check_sync [<call_id> | <[user]@domain>]
                     [register | unregister] [<gateway name> | all]
                     killgw <gateway name>
                     [stun-auto-disable | stun-enabled] [true | false]]
                     siptrace <on|off>
                     capture  <on|off>
                     watchdog <on|off>

sofia <status|xmlstatus> profile <name> [reg [<contact str>]] | [pres <pres str>] | [user <user@domain>]
sofia <status|xmlstatus> gateway <name>

sofia loglevel <all|default|tport|iptsec|nea|nta|nth_client|nth_server|nua|soa|sresolv|stun> [0-9]
sofia tracelevel <console|alert|crit|err|warning|notice|info|debug>

sofia help
--------------------------------------------------------------------------------
";

async fn sofia(call: ApiCall) -> String {
    let Some(sofia) = Sofia::find_in(&call.switch) else { return "-ERR no SIP\n".into() };
    let words = call.words(20);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((verb, rest)) = words.split_first() else { return USAGE.into() };
    match verb.to_ascii_lowercase().as_str() {
        "help" => USAGE.into(),
        "status" => status::run(&sofia, rest),
        "jsonstatus" => format!("{}\n", json::print(&json::status(&sofia, true))),
        "xmlstatus" => xml::run(&sofia, rest),
        "profile" => command::profile(&sofia, rest).await,
        "global" => command::global(&sofia, rest).await,
        "loglevel" => match rest {
            [component, level] => {
                format!("Sofia log level for component [{component}] has been set to [{level}]")
            }
            _ => "-ERR Usage: sofia loglevel <component> <level>".into(),
        },
        "tracelevel" => format!("+OK tracelevel is {}", rest.first().copied().unwrap_or("console")),
        "recover" => "No calls to recover.\n".into(),
        _ => format!("Unknown Command [{verb}]\n"),
    }
}

/// SIP of the switch a command runs in.
fn sofia_of(call: &ApiCall) -> Option<Arc<Sofia>> {
    Sofia::find_in(&call.switch)
}
