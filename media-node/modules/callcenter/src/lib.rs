//! Queues, agents and tiers (mod_callcenter).
//!
//! [`dispatch`] decides who is offered to whom, in memory and by a clock that is told; [`center`] is its clock and does what
//! it says; [`offer`] calls an agent and bridges it; [`member`] is the application a caller waits in; [`store`] writes the
//! reference's tables behind it; [`commands`] and [`lists`] are `callcenter_config`.

#![deny(unsafe_code)]

mod center;
mod commands;
mod declared;
pub mod dispatch;
mod events;
mod lists;
mod member;
mod offer;
mod parameters;
mod settings;
mod store;
mod track;

use std::sync::Arc;

use switch_core::BoxFuture;
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::contract::{JsonKind, Module, NotLoaded, Provides};
use switch_core::switch::Switch;

const APPS: &[App] = &[
    app!(
        "callcenter",
        "mod_callcenter",
        Flags::NONE,
        "queue_name",
        "CallCenter",
        member::callcenter
    ),
    app!(
        "callcenter_track",
        "mod_callcenter",
        Flags::NO_MEDIA,
        "queue_name",
        "CallCenter Track Call",
        track::track
    ),
];

/// mod_callcenter.
pub struct CallCenter;

/// mod_callcenter, for the list of modules.
pub const MODULE: CallCenter = CallCenter;

impl Module for CallCenter {
    fn name(&self) -> &'static str {
        "mod_callcenter"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[APPS],
            commands: &[commands::APIS],
            json: &[JsonKind { name: "callcenter_config", answer: lists::json }],
            observers: &[&offer::Observer],
            completions: include_str!("completions.txt"),
            parameters: parameters::PARAMETERS,
            variables: &[declared::VARIABLES],
            events: &[declared::EVENTS],
            ..Provides::NOTHING
        }
    }

    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().document(center::FILE).is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move { center::of(switch).load(switch).await })
    }

    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move { center::of(switch).start(switch) })
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move { center::of(switch).stop(switch).await })
    }
}
