//! Redis or Valkey (mod_hiredis): `hiredis_raw`, the backend `hiredis` of `limit`, calls as keys, and speech that switches share.
//!
//! A profile of `hiredis.conf` has servers that are tried in their order ([`client`]); whatever is asked waits for one no
//! longer than its `timeout-ms`, so that a server that is away costs a call that time and not more.

#![deny(unsafe_code)]

mod calls;
mod client;
mod declared;
mod limit;
mod raw;
mod settings;
mod speech;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::limits::Backends;
use base::reading::Reading;
use base::speech_cache::{SharedCache, SpeechCache};
use parking_lot::{Mutex, RwLock};
use switch_core::BoxFuture;
use switch_core::contract::{Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use tokio::task::JoinHandle;

use client::Profile;
use settings::Settings;

/// mod_hiredis.
pub struct Hiredis;

/// The module.
pub const MODULE: Hiredis = Hiredis;

/// Profiles by name.
#[derive(Default)]
pub(crate) struct Profiles(RwLock<HashMap<String, Arc<Profile>>>);

impl Profiles {
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Profile>> {
        self.0.read().get(name).cloned()
    }
}

/// What runs while the module is loaded.
#[derive(Default)]
struct Tasks(Mutex<Vec<JoinHandle<()>>>);

/// The profile of that name.
pub(crate) fn profile(switch: &Switch, name: &str) -> Option<Arc<Profile>> {
    switch.module::<Profiles>().find(name)
}

impl Module for Hiredis {
    fn name(&self) -> &'static str {
        "mod_hiredis"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[raw::APPS],
            commands: &[raw::APIS],
            names: &[("limit", limit::NAME)],
            readings: &[readings],
            parameters: declared::PARAMETERS,
            variables: &[declared::VARIABLES],
            ..Provides::NOTHING
        }
    }

    /// Only with a configuration file of its own.
    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().tree.configuration("hiredis.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move { if configure(switch) { Ok(()) } else { Err(NotLoaded) } })
    }

    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        begin(switch);
        Box::pin(std::future::ready(()))
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        switch.module::<Backends>().retire(limit::NAME);
        switch.module::<SpeechCache>().set(None);
        switch.module::<Tasks>().0.lock().drain(..).for_each(|task| task.abort());
        switch.module::<Profiles>().0.write().clear();
        Box::pin(std::future::ready(()))
    }
}

/// Reads the file; false, with the reason logged, if it cannot be used.
fn configure(switch: &Arc<Switch>) -> bool {
    let config = switch.config.load_full();
    let Some(conf) = config.document("hiredis.conf") else {
        tracing::error!("open of hiredis.conf failed");
        return false;
    };
    match Settings::read(conf) {
        Ok(read) => {
            let profiles = read
                .into_iter()
                .map(|settings| (settings.name.clone(), Arc::new(Profile::new(settings))));
            *switch.module::<Profiles>().0.write() = profiles.collect();
            true
        }
        Err(error) => {
            tracing::error!("hiredis.conf: {error}");
            false
        }
    }
}

fn begin(switch: &Arc<Switch>) {
    let profiles = switch.module::<Profiles>();
    let limits = Arc::new(limit::Limits::new(Arc::clone(&profiles)));
    switch.module::<Backends>().add(Arc::clone(&limits) as _);
    let all: Vec<_> = profiles.0.read().values().cloned().collect();
    let speech = speech::Speech::of(&all).map(|speech| Arc::new(speech) as Arc<dyn SharedCache>);
    switch.module::<SpeechCache>().set(speech);
    let mut tasks = vec![tokio::spawn(limits.settle())];
    for profile in profiles.0.read().values().filter(|profile| profile.settings.calls.is_some()) {
        let (switch, profile) = (Arc::clone(switch), Arc::clone(profile));
        tasks.push(tokio::spawn(async move {
            // A bug costs the keys of the calls there are, not those to come.
            while base::tasks::step(
                "hiredis calls",
                calls::run(Arc::clone(&switch), Arc::clone(&profile)),
            )
            .await
            .is_none()
            {}
        }));
    }
    switch.module::<Tasks>().0.lock().append(&mut tasks);
}

fn readings(switch: &Arc<Switch>) -> Vec<Reading> {
    let profiles = switch.module::<Profiles>();
    let profiles = profiles.0.read();
    let of = |profile: &Arc<Profile>| {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let connected = f64::from(u8::from(profile.connected.load(Ordering::Relaxed)));
        [
            Reading::gauge("hiredis_connected", "1 if a server answered last time.", connected),
            Reading::counter(
                "hiredis_commands_total",
                "Commands of calls and clients that a server answered.",
                read(&profile.done),
            ),
            Reading::counter(
                "hiredis_failures_total",
                "Commands that a server refused, or that none could be asked.",
                read(&profile.failed),
            ),
            Reading::counter(
                "hiredis_call_messages_total",
                "Messages about calls that were published.",
                read(&profile.published),
            ),
            Reading::counter(
                "hiredis_call_messages_lost_total",
                "Messages about calls that no server was there for.",
                read(&profile.unpublished),
            ),
        ]
        .map(|reading| reading.of("profile", &profile.settings.name))
    };
    profiles.values().flat_map(of).collect()
}
