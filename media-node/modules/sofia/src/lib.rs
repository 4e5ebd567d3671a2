//! SIP for calls (mod_sofia): profiles, the way in and the way out, and the leg in between.
//!
//! [`profile`] owns a stack; [`inbound`] turns an INVITE into a channel; [`outbound`] makes one for a dial string;
//! [`leg`] is a channel's SIP side; its session description and media are a [`leg_media::LegMedia`]; [`variables`] what the dialplan sees.

#![deny(unsafe_code)]

// The core's rooms are known here by their own names.
use switch_core::*;

mod account_guard;
pub mod api;
pub mod auth;
mod body;
pub mod capture;
pub mod cause;
mod date;
mod declared;
mod directives;
pub mod domains;
mod event_requests;
mod external;
mod feature_events;
mod filter;
pub mod gateway;
mod gateway_task;
pub mod identity;
pub mod inbound;
pub mod leg;
pub mod mwi;
mod nat;
pub mod notify;
pub mod outbound;
mod parameters;
pub mod presence;
pub mod profile;
mod proxy;
mod readings;
mod refer;
mod refusal_log;
mod refused;
pub mod registrar;
pub mod requests;
mod reverse_auth;
mod rtp;
mod saved;
mod serving;
pub mod settings;
mod shared_lines;
mod standing;
mod stored;
mod tls;
pub mod trace;
pub mod variables;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dialplan_xml::config::ProfileConf;
use esl_server::event::{Event, EventName};
use parking_lot::RwLock;

pub use gateway::Gateway;
pub use profile::Profile;

use crate::BoxFuture;
use crate::call::Cause;
use crate::contract::{ChatKind, EndpointKind, JsonKind, Module, NameList, Provides};
use crate::switch::Switch;

/// A profile that starts again tries to get its ports so often, with a pause in between.
const START_TRIES: u32 = 50;
const START_PAUSE: Duration = Duration::from_millis(100);

/// mod_sofia.
pub struct SofiaModule;

impl Module for SofiaModule {
    fn name(&self) -> &'static str {
        "mod_sofia"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[filter::APPS],
            commands: &[api::APIS],
            endpoints: &[
                EndpointKind {
                    name: "sofia",
                    make: |switch| Arc::new(outbound::SofiaEndpoint(Sofia::of(switch))),
                },
                EndpointKind {
                    name: "rtp",
                    make: |switch| Arc::new(rtp::RtpEndpoint(Arc::clone(switch))),
                },
            ],
            chats: &[ChatKind {
                name: "sip",
                send: |switch, message| {
                    Sofia::find_in(switch).is_some_and(|s| notify::chat(&s, message))
                },
            }],
            json: &[
                JsonKind { name: "sofia.status", answer: |switch, _| json_status(switch, false) },
                JsonKind {
                    name: "sofia.status.info",
                    answer: |switch, _| json_status(switch, true),
                },
            ],
            completions: include_str!("completions.txt"),
            parameters: parameters::PARAMETERS,
            variables: &[declared::VARIABLES],
            events: &[declared::EVENTS],
            readings: &[readings::take],
            observers: &[&leg_media::StreamObserver],
            name_lists: &[
                NameList {
                    name: "::sofia::list_profiles",
                    names: |switch, _| {
                        profiles_of(switch).iter().map(|profile| profile.name.clone()).collect()
                    },
                },
                NameList {
                    name: "::sofia::list_gateways",
                    names: |switch, _| {
                        profiles_of(switch).iter().flat_map(|p| gateway_names(p)).collect()
                    },
                },
                NameList {
                    name: "::sofia::list_profile_gateway",
                    names: |switch, before| {
                        let sofia = Sofia::find_in(switch);
                        let profile = before.get(2).and_then(|name| sofia?.find(name));
                        profile.map(|profile| gateway_names(&profile)).unwrap_or_default()
                    },
                },
            ],
            ..Provides::NOTHING
        }
    }

    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let sofia = Sofia::of(switch);
            if sofia.started.swap(true, Ordering::Relaxed) {
                sofia.return_to_work().await;
            } else {
                sofia.start_all().await;
            }
        })
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(sofia) = Sofia::find_in(switch) {
                sofia.leave().await;
            }
        })
    }
}

fn profiles_of(switch: &Switch) -> Vec<Arc<Profile>> {
    Sofia::find_in(switch).map(|sofia| sofia.profiles()).unwrap_or_default()
}

fn gateway_names(profile: &Profile) -> Vec<String> {
    profile.gateways.read().iter().map(|gateway| gateway.name.clone()).collect()
}

fn json_status(switch: &Switch, info: bool) -> Result<serde_json::Value, String> {
    let sofia = Sofia::find_in(switch).ok_or("no SIP")?;
    Ok(api::json::status(&sofia, info))
}

/// All profiles.
pub struct Sofia {
    switch: Arc<Switch>,
    profiles: RwLock<BTreeMap<String, Arc<Profile>>>,
    /// Its profiles were started once.
    started: AtomicBool,
}

impl Sofia {
    /// SIP of that switch; at the first call no profile runs yet.
    #[must_use]
    pub fn of(switch: &Arc<Switch>) -> Arc<Self> {
        let make = || Self {
            switch: Arc::clone(switch),
            profiles: RwLock::default(),
            started: AtomicBool::new(false),
        };
        switch.slots().get_or(make)
    }

    /// SIP of that switch, if there is any.
    #[must_use]
    pub fn find_in(switch: &Switch) -> Option<Arc<Self>> {
        switch.slots().find()
    }

    /// The switch it belongs to.
    #[must_use]
    pub fn switch(&self) -> &Arc<Switch> {
        &self.switch
    }

    /// Starts all profiles of the configuration. One that cannot start is said so and left out.
    pub async fn start_all(self: &Arc<Self>) {
        let registrar: Arc<dyn store::registrations::Registrar> = Arc::clone(self) as _;
        self.switch.stores.registrations.add(registrar);
        notify::start(self);
        let config = self.switch.config.load_full();
        for conf in &config.sofia.profiles {
            if let Err(problem) = self.start_profile(conf).await {
                tracing::error!("{}: profile {}: {problem}", conf.place, conf.name);
                self.try_again(&conf.name, conf.settings.as_ref());
            }
        }
    }

    /// A profile could not start, perhaps because its address is still another's: tries again a few times
    /// (`bind-attempts`, `bind-attempt-interval`), while the others serve.
    fn try_again(self: &Arc<Self>, name: &str, settings: Option<&dialplan_xml::config::Params>) {
        let number = |key: &str, default: i64| {
            let value = settings.and_then(|settings| settings.int(key)).unwrap_or(default);
            u64::try_from(value).unwrap_or_default()
        };
        let (attempts, pause) = (number("bind-attempts", 2), number("bind-attempt-interval", 5));
        let (sofia, name) = (Arc::downgrade(self), name.to_owned());
        tokio::spawn(async move {
            for _ in 0..attempts {
                tokio::time::sleep(Duration::from_secs(pause.max(1))).await;
                let Some(sofia) = sofia.upgrade() else { return };
                if sofia.find(&name).is_some() {
                    return;
                }
                let config = sofia.switch.config.load_full();
                let Some(conf) = config.sofia.profile(&name) else { return };
                match sofia.start_profile(conf).await {
                    Ok(_) => return,
                    Err(problem) => tracing::error!("{}: profile {name}: {problem}", conf.place),
                }
            }
        });
    }

    /// Starts the profiles of the configuration again after [`Self::leave`].
    pub async fn return_to_work(self: &Arc<Self>) {
        let config = self.switch.config.load_full();
        for conf in &config.sofia.profiles {
            if let Err(problem) = self.start_again(conf).await {
                tracing::error!("{}: profile {}: {problem}", conf.place, conf.name);
            }
        }
    }

    /// Starts one profile.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub async fn start_profile(
        self: &Arc<Self>,
        conf: &ProfileConf,
    ) -> Result<Arc<Profile>, String> {
        let conf = domains::complete(&self.switch, conf).await;
        let (profile, arrivals) = Profile::start(&self.switch, &conf).await?;
        self.profiles.write().insert(conf.name.clone(), Arc::clone(&profile));
        tracing::info!(fs_level = "NOTICE", "Started Profile {} [{}]", profile.name, profile.url());
        self.announce(&profile);
        let settings = profile.settings.load_full();
        if settings.params.last("sip-capture").is_some_and(text::is_true)
            && let Err(problem) = self.capture(&profile, true).await
        {
            tracing::error!("profile {}: sip-capture: {problem}", profile.name);
        }
        tokio::spawn(serving::serve(Arc::clone(&profile), arrivals));
        Ok(profile)
    }

    /// Starts a profile that may have run a moment ago: its ports may take a moment to become free.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub async fn start_again(self: &Arc<Self>, conf: &ProfileConf) -> Result<(), String> {
        let mut tries = 0;
        loop {
            match self.start_profile(conf).await {
                Ok(_) => return Ok(()),
                Err(problem) if tries == START_TRIES => return Err(problem),
                Err(_) => {
                    tries += 1;
                    tokio::time::sleep(START_PAUSE).await;
                }
            }
        }
    }

    fn announce(&self, profile: &Profile) {
        let mut event = Event::custom("sofia::profile_start");
        event.push("module_name", "mod_sofia");
        event.push("profile_name", profile.name.as_str());
        event.push("profile_uri", profile.url());
        esl_server::fire!(self.switch.bus, event);
        let mut event = Event::new(EventName::Publish);
        event.push("service", "_sip._udp,_sip._tcp,_sip._sctp");
        event.push("port", profile.port().to_string());
        event.push("module_name", "mod_sofia");
        event.push("profile_name", profile.name.as_str());
        event.push("profile_uri", profile.url());
        esl_server::fire!(self.switch.bus, event);
    }

    /// Sends copies of a profile's messages to `capture-server`, or no more.
    ///
    /// # Errors
    /// A text that says why there can be no copies.
    pub async fn capture(&self, profile: &Profile, on: bool) -> Result<(), String> {
        if !on {
            profile.trace.copy_to(None);
            return Ok(());
        }
        let config = self.switch.config.load_full();
        let server = config.sofia.globals.last("capture-server").unwrap_or_default().to_owned();
        if server.is_empty() {
            return Err("sofia.conf names no capture-server".into());
        }
        // A name may have to be looked up.
        let opened = tokio::task::spawn_blocking(move || capture::Capture::open(&server)).await;
        let capture = opened.map_err(|error| error.to_string())??;
        profile.trace.copy_to(Some(Arc::new(capture)));
        Ok(())
    }

    /// The profile of that name or alias.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Profile>> {
        let profiles = self.profiles.read();
        profiles.get(name).cloned().or_else(|| {
            profiles
                .values()
                .find(|profile| {
                    profile.aliases.read().iter().any(|alias| alias.eq_ignore_ascii_case(name))
                })
                .cloned()
        })
    }

    /// All profiles, by name.
    #[must_use]
    pub fn profiles(&self) -> Vec<Arc<Profile>> {
        self.profiles.read().values().cloned().collect()
    }

    /// A gateway by `name` or `profile::name`, with its profile.
    #[must_use]
    pub fn gateway(&self, name: &str) -> Option<(Arc<Profile>, Arc<Gateway>)> {
        let (wanted, name) =
            name.split_once("::").map_or((None, name), |(profile, name)| (Some(profile), name));
        self.profiles
            .read()
            .values()
            .filter(|profile| wanted.is_none_or(|wanted| profile.name == wanted))
            .find_map(|profile| profile.gateway(name).map(|gateway| (Arc::clone(profile), gateway)))
    }

    /// Stops a profile: its calls end with MANAGER_REQUEST. The task ends when its ports are free.
    pub fn stop_profile(&self, name: &str) -> Option<tokio::task::JoinHandle<()>> {
        let profile = self.profiles.write().remove(name)?;
        self.end_calls(|of| of == name);
        Some(tokio::spawn(async move { profile.leave().await }))
    }

    fn end_calls(&self, of: impl Fn(&str) -> bool) {
        for channel in self.switch.channels() {
            if channel.var("sofia_profile_name").is_some_and(|name| of(&name)) {
                channel.hangup(Cause::MANAGER_REQUEST);
            }
        }
    }

    /// Takes leave of everybody: what was registered with others is given up. Calls that still run end.
    pub async fn leave(&self) {
        self.end_calls(|_| true);
        let profiles = std::mem::take(&mut *self.profiles.write());
        futures_util::future::join_all(profiles.values().map(Profile::leave)).await;
    }
}
