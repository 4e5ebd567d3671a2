//! The module: what it provides, its settings, what starts with it.

use std::sync::Arc;

use scripting::program::Program;
use scripting::scripts::Task;
use scripting::settings::Settings;
use scripting::xml_handler::Handler;
use scripting::{Language as _, hooks, input};

use crate::contract::{JsonLater, Module, NotLoaded, Provides};
use crate::language::{JavaScript, Scripts};
use crate::switch::Switch;
use crate::{BoxFuture, application, command, declared};

/// mod_v8.
pub struct V8;

/// The module.
pub const MODULE: V8 = V8;

impl Module for V8 {
    fn name(&self) -> &'static str {
        "mod_v8"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[application::APPS],
            commands: &[command::APIS],
            observers: &[&input::Observer],
            json_later: &[JsonLater { name: "jsjson", answer: command::jsjson }],
            parameters: declared::PARAMETERS,
            completions: command::COMPLETIONS,
            xml_sources: &[|switch| switch.module::<Handler<JavaScript>>()],
            ..Provides::NOTHING
        }
    }

    // In FreeSWITCH a module of its own package: only a configuration that has settings for it means it.
    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().document("v8.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        let config = switch.config.load_full();
        let conf = config.tree.configuration("v8.conf");
        let dir = switch.dirs.script_dir.clone();
        let settings = Settings::read(&JavaScript::NAMES, &declared::OWN, conf, dir);
        if let (Some(script), false) = (&settings.handler, settings.bindings.is_empty()) {
            tracing::info!("binding '{script}' to '{}'", settings.bindings.trim_end_matches('|'));
        }
        let scripts = switch.module::<Scripts>();
        scripts.settings.store(Arc::new(settings));
        switch.module::<Handler<JavaScript>>().follow(scripts);
        Box::pin(std::future::ready(Ok(())))
    }

    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let settings = switch.module::<Scripts>().settings.load_full();
            hooks::begin::<JavaScript>(switch, &settings.hooks);
            for script in &settings.startup {
                let started = Program::read(&JavaScript::NAMES, script)
                    .and_then(|program| Scripts::start(switch, Task::new(program)));
                if let Err(refused) = started {
                    tracing::error!("startup-script {script}: {refused}");
                }
            }
        })
    }

    // As in the reference: scripts may run at any time.
    fn stays(&self) -> bool {
        true
    }
}
