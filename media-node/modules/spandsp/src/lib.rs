//! Faxes (`rxfax`, `txfax`, `stopfax`), faxes of others that pass between audio and T.38 (`t38_gateway`), the tones of fax
//! machines, and tones with a cadence (mod_spandsp).
//!
//! The fax machine itself is the library spandsp, behind the crate `fax`. `settings` reads the parameters of a fax, `ports`
//! connects to the leg's media, `thread` is the thread that runs the machine, `application` follows it in the call's task,
//! and `outcome` reports its result. `gateway` and `gateway_thread` are the same of a T.38 gateway.

#![deny(unsafe_code)]

mod application;
mod cadence;
mod check;
mod declared;
mod detect;
mod gateway;
mod gateway_thread;
mod outcome;
mod ports;
mod settings;
mod thread;

pub use check::check;

use std::sync::Arc;

use switch_core::BoxFuture;
use switch_core::contract::{Change, Module, NotLoaded, Provides};
use switch_core::switch::Switch;

/// mod_spandsp.
pub struct Spandsp;

/// The module.
pub const MODULE: Spandsp = Spandsp;

impl Module for Spandsp {
    fn name(&self) -> &'static str {
        "mod_spandsp"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[application::APPS, gateway::APPS, detect::APPS, cadence::APPS],
            commands: &[cadence::APIS],
            names: &[("codec", "G.722"), ("codec", "GSM")],
            parameters: declared::PARAMETERS,
            variables: &[declared::VARIABLES],
            events: &[declared::EVENTS],
            observers: &[&gateway::Observer],
            ..Provides::NOTHING
        }
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        settings::configure(switch);
        let switch = Arc::clone(switch);
        Box::pin(async move {
            let looking = tokio::task::spawn_blocking(move || settings::look(&switch));
            // The module has more than faxes: it is loaded all the same.
            if let Ok(Err(error)) = looking.await {
                tracing::info!(fs_level = "NOTICE", "No rxfax, txfax and t38_gateway: {error}");
            }
            Ok(())
        })
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        if change == Change::Configuration {
            settings::configure(switch);
        }
        Box::pin(std::future::ready(()))
    }
}
