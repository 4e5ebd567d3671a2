//! JSON-RPC calls of browsers (mod_verto).
//!
//! [`listener`] accepts, [`connection`] serves a client, [`rpc`] is the protocol, [`methods`] what a client may ask; [`hub`]
//! knows the sessions and their calls, [`leg`] is a call's side towards its browser, [`endpoint`] makes calls to browsers;
//! [`event_channels`] and [`pump`] tell clients what happens; [`api`] has the commands.

#![deny(unsafe_code)]

mod api;
mod client;
mod connection;
mod detach;
mod endpoint;
mod event_channels;
mod hub;
mod leg;
mod listener;
mod login;
mod methods;
mod parameters;
mod permissions;
mod profile;
mod pump;
pub mod rpc;
mod settings;
mod store;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use switch_core::BoxFuture;
use switch_core::call::Channel;
use switch_core::contract::{ChatKind, EndpointKind, Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use switch_core::xml;

use crate::hub::Hub;
use crate::profile::Profile;

/// mod_verto.
pub struct Verto;

impl Module for Verto {
    fn name(&self) -> &'static str {
        "mod_verto"
    }

    fn provides(&self) -> Provides {
        Provides {
            commands: &[api::APIS],
            endpoints: &[EndpointKind {
                name: endpoint::NAME,
                make: |switch| Arc::new(endpoint::VertoEndpoint(Arc::downgrade(switch))),
            }],
            chats: &[ChatKind { name: "verto", send: methods::chat }],
            completions: include_str!("completions.txt"),
            resolver: Some(&endpoint::Resolver),
            parameters: parameters::PARAMETERS,
            variables: &[parameters::VARIABLES],
            events: &[parameters::EVENTS],
            readings: &[readings],
            ..Provides::NOTHING
        }
    }

    /// Only with a configuration file of its own: no port is opened unasked.
    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().tree.configuration("verto.conf").is_some()
    }

    /// Binds the ports, as long as the process may, and reads the certificates.
    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            let read = xml::read_configuration(switch, "verto.conf", None, settings::read).await;
            let (shared, profiles) = read.map_err(|_| NotLoaded)?.map_err(|error| {
                tracing::error!("verto.conf: {error}");
                NotLoaded
            })?;
            let hub = Hub::of(switch);
            hub.debug.store(shared.debug, Ordering::Relaxed);
            hub.shared.store(Arc::new(shared));
            let certificates = Arc::clone(switch);
            let _done = tokio::task::spawn_blocking(move || {
                leg_media::certificate::prepare(&certificates);
            })
            .await;
            let mut loaded = Vec::new();
            for settings in profiles {
                let profile = Arc::new(Profile::new(settings));
                if let Err(problem) = profile.read_certificate().await {
                    tracing::error!("{}: SSL ERR: {problem}", profile.name());
                }
                let bound = listener::bind(&profile).await;
                loaded.push((profile, bound));
            }
            *hub.profiles.write() =
                loaded.iter().rev().map(|(profile, _)| Arc::clone(profile)).collect();
            switch.module::<listener::Waiting>().put(loaded);
            Ok(())
        })
    }

    /// Answers once the switch serves.
    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            pump::start(switch);
            event_channels::carry(switch, true);
            listener::start(switch);
        })
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let hub = Hub::of(switch);
            drop(hub.pump.lock().take());
            event_channels::carry(switch, false);
            let profiles = std::mem::take(&mut *hub.profiles.write());
            profiles.iter().for_each(|profile| profile.stop());
            switch.module::<listener::Waiting>().ended().await;
        })
    }
}

/// Sets a variable to what a far end said: made harmless, and marked as its.
pub(crate) fn said(channel: &Channel, name: &str, value: &str) {
    let value = match base::text::has_reference(value) {
        // Refused by the channel, and said in the log.
        true => std::borrow::Cow::Borrowed(value),
        false => base::text::harmless(value),
    };
    channel.set_var(name.to_owned(), base::far::mark(&value));
}

fn readings(switch: &Arc<Switch>) -> Vec<base::reading::Reading> {
    use base::reading::Reading;
    let hub = Hub::of(switch);
    let mut readings = Vec::new();
    for profile in hub.profiles.read().iter() {
        let clients = profile.clients.read();
        let authed = clients.iter().filter(|client| client.with(|state| state.authed)).count();
        for (state, count) in [("logged_in", authed), ("stranger", clients.len() - authed)] {
            let reading = Reading::gauge("verto_clients", "Verto clients now.", count as f64);
            readings.push(reading.of("profile", profile.name().to_owned()).of("state", state));
        }
    }
    readings
}
