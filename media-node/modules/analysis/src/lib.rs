//! Who answers and who talks on calls: `amd` (mod_amd), `avmd` (mod_avmd), and conversations (mod_conversation, of this
//! switch). What is heard is judged by the crate `voice`; here are the call's media, events, variables and settings.

#![deny(unsafe_code)]

mod amd;
mod avmd;
mod call_audio;
mod talk;

use std::sync::Arc;

use switch_core::BoxFuture;
use switch_core::contract::{Change, Module, NotLoaded, Plain, Provides};
use switch_core::switch::Switch;

/// The modules.
pub const MODULES: &[&dyn Module] = &[
    &Configured {
        name: "mod_amd",
        configure: amd::configure,
        provides: Provides {
            applications: &[amd::APPS],
            parameters: amd::PARAMETERS,
            variables: &[amd::VARIABLES],
            events: &[amd::EVENTS],
            ..Provides::NOTHING
        },
    },
    &Configured {
        name: "mod_avmd",
        configure: avmd::configure,
        provides: Provides {
            applications: &[avmd::APPS],
            commands: &[avmd::APIS],
            parameters: avmd::PARAMETERS,
            variables: &[avmd::VARIABLES],
            events: &[avmd::EVENTS],
            completions: "avmd ::console::list_uuid ::[start:stop\n",
            ..Provides::NOTHING
        },
    },
    &Plain::new(
        "mod_conversation",
        Provides {
            applications: &[talk::APPS],
            commands: &[talk::APIS],
            variables: &[talk::VARIABLES],
            events: &[talk::EVENTS],
            observers: &[&talk::Observer],
            readings: &[talk::readings],
            ..Provides::NOTHING
        },
    ),
];

/// A module with a file of its own.
struct Configured {
    name: &'static str,
    configure: fn(&Switch),
    provides: Provides,
}

impl Module for Configured {
    fn name(&self) -> &'static str {
        self.name
    }

    fn provides(&self) -> Provides {
        self.provides
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        (self.configure)(switch);
        Box::pin(std::future::ready(Ok(())))
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        if change == Change::Configuration {
            (self.configure)(switch);
        }
        Box::pin(std::future::ready(()))
    }
}
