//! mod_voicemail: messages left, kept and heard.
//!
//! [`leave`] and [`check`] are the two ways a call meets a box ([`listen`] and [`options`] are rooms of the latter);
//! [`recording`] takes what is said, [`deliver`] makes it a message, [`mail`] sends it on, [`mwi`] lights lamps.
//! [`store`] keeps rows, [`unfinished`] what the end of the process cut off. [`boxes`] holds the profiles.
//! [`vmivr`] is mod_voicemail_ivr, which works with any commands of the kind of [`fsdb`].

#![deny(unsafe_code)]

mod boxes;
mod check;
mod commands;
mod declared;
mod deliver;
mod fsdb;
mod leave;
mod letter;
mod listen;
mod mail;
mod mwi;
mod options;
mod owner;
mod parameters;
mod profile;
mod prompts;
mod recording;
mod rss;
mod store;
mod unfinished;
mod vmivr;
mod web;

use std::sync::Arc;

use boxes::Loaded;
use check::Proof;
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Channel, Digit, Session};
use switch_core::contract::{CallObserver, Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use switch_core::{BoxFuture, text};

const USAGE: &str = "[check] [auth] <profile_name> <domain_name> [<id>] [uuid]";

/// The family.
const APPS: &[App] = &[app!(
    "voicemail",
    "mod_voicemail",
    Flags::NONE,
    "[check] [auth] <profile_name> <domain_name> [<id>] [uuid]",
    "Voicemail",
    voicemail
)];

/// mod_voicemail and the menus that are made of its commands.
pub const MODULES: &[&dyn Module] = &[&Voicemail, &vmivr::MODULE];

/// mod_voicemail.
pub struct Voicemail;

impl Module for Voicemail {
    fn name(&self) -> &'static str {
        "mod_voicemail"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[APPS],
            commands: &[commands::APIS, fsdb::APIS],
            observers: &[&Observer],
            parameters: parameters::PARAMETERS,
            variables: &[declared::VARIABLES],
            events: &[declared::EVENTS],
            ..Provides::NOTHING
        }
    }

    /// Without a configuration there is nothing to do for it.
    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().document("voicemail.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            if !boxes::load_all(switch).await {
                tracing::error!("Open of voicemail.conf failed");
                return Err(NotLoaded);
            }
            mwi::start(switch);
            Ok(())
        })
    }

    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(boxes::start(switch))
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            mwi::stop(switch);
            switch.module::<Loaded>().clear();
        })
    }
}

/// What happens to calls that record or listen.
struct Observer;

impl CallObserver for Observer {
    fn digit(&self, channel: &Arc<Channel>, digit: Digit) -> bool {
        !prompts::steers(channel, digit)
    }

    fn media(&self, channel: &Arc<Channel>, event: &media::LegEvent) {
        recording::note(channel, event);
    }
}

async fn voicemail(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let words = text::words(argument, 6);
    let mut words = words.into_iter().peekable();
    let (mut checks, mut proof) = (false, Proof::Asked);
    while let Some(word) = words.peek() {
        match word.to_ascii_lowercase().as_str() {
            "check" => checks = true,
            "auth_only" => proof = Proof::Only,
            "auth" => proof = Proof::Known,
            _ => break,
        }
        words.next();
    }
    let mut next = |variable: &str| {
        let given = words.next().filter(|word| !word.is_empty());
        given.or_else(|| channel.variable(variable)).filter(|word| !word.is_empty())
    };
    let profile = next("voicemail_profile_name");
    let domain = next("voicemail_domain_name");
    let id = next("voicemail_id");
    let only = words.next();
    if channel.is_true("voicemail_authorized") {
        proof = Proof::Known;
    }
    let (Some(profile), Some(domain)) = (profile, domain) else {
        tracing::error!(uuid = %channel.uuid(), "Error Usage: {USAGE}");
        return Ok(());
    };
    let switch = Arc::clone(session.switch());
    let Some(boxes) = session.wait_for(boxes::find(&switch, &profile)).await? else {
        tracing::error!(uuid = %channel.uuid(), "Error invalid profile {profile}");
        return Ok(());
    };
    if checks || proof == Proof::Only {
        let who = (id.as_deref(), domain.as_str());
        return check::check(session, &boxes, who, proof, only.as_deref()).await;
    }
    let Some(id) = id else {
        tracing::error!(uuid = %channel.uuid(), "Error Usage: {USAGE}");
        return Ok(());
    };
    leave::leave(session, &boxes, &id, &domain).await
}
