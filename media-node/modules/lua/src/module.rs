//! The module: what it provides, its settings, what starts with it.

use std::sync::Arc;

use scripting::program::Program;
use scripting::scripts::Task;
use scripting::settings::Settings;
use scripting::xml_handler::Handler;
use scripting::{Language as _, hooks, input};

use crate::contract::{DialplanKind, Module, NotLoaded, Provides};
use crate::language::Scripts;
use crate::switch::Switch;
use crate::{BoxFuture, application, command, declared, dialplan, language};

/// mod_lua.
pub struct Lua;

/// The module.
pub const MODULE: Lua = Lua;

impl Module for Lua {
    fn name(&self) -> &'static str {
        "mod_lua"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[application::APPS],
            commands: &[command::APIS],
            completions: command::COMPLETIONS,
            dialplans: &[DialplanKind {
                name: "LUA",
                find: |session, _, number| Box::pin(dialplan::find(session, number)),
            }],
            observers: &[&input::Observer],
            parameters: declared::PARAMETERS,
            variables: &[declared::VARIABLES],
            xml_sources: &[|switch| switch.module::<Handler<language::Lua>>()],
            ..Provides::NOTHING
        }
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        let config = switch.config.load_full();
        let conf = config.tree.configuration("lua.conf");
        let settings = Settings::read(
            &language::Lua::NAMES,
            &declared::OWN,
            conf,
            switch.dirs.script_dir.clone(),
        );
        if let (Some(script), false) = (&settings.handler, settings.bindings.is_empty()) {
            tracing::info!("binding '{script}' to '{}'", settings.bindings.trim_end_matches('|'));
        }
        let scripts = switch.module::<Scripts>();
        scripts.settings.store(Arc::new(settings));
        switch.module::<Handler<language::Lua>>().follow(scripts);
        Box::pin(std::future::ready(Ok(())))
    }

    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let settings = switch.module::<Scripts>().settings.load_full();
            hooks::begin::<language::Lua>(switch, &settings.hooks);
            for script in &settings.startup {
                let started = Program::read(&language::Lua::NAMES, script)
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
