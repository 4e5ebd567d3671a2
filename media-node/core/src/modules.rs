//! Which of the reference's modules this switch stands in for, which are loaded, and what they bring.

use std::sync::Arc;

use dialplan_xml::config::ModulesConf;
use esl_server::event::{Event, EventName};
use parking_lot::RwLock;

use crate::contract::Change;
use crate::switch::Switch;

/// The set of loaded modules, by FreeSWITCH's names.
#[derive(Default)]
pub struct Modules {
    loaded: RwLock<std::collections::BTreeSet<String>>,
}

impl Modules {
    /// Is it loaded?
    #[must_use]
    pub fn is_loaded(&self, name: &str) -> bool {
        self.loaded.read().contains(name)
    }

    /// Notes a module as loaded; false if it was already.
    pub fn load(&self, name: &str) -> bool {
        self.loaded.write().insert(name.to_owned())
    }

    /// Notes a module as gone; false if it was not loaded.
    pub fn unload(&self, name: &str) -> bool {
        self.loaded.write().remove(name)
    }
}

/// Something a module brings: an endpoint, a command, a codec, …
#[derive(Clone, Debug)]
pub struct Interface {
    /// `api`, `application`, `endpoint`, `codec`, …
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub module: &'static str,
    /// One line about it; empty for kinds that have none.
    pub description: &'static str,
    /// Argument syntax; empty for kinds that have none.
    pub syntax: &'static str,
}

impl Interface {
    fn plain(kind: &'static str, name: impl Into<String>, module: &'static str) -> Self {
        Self { kind, name: name.into(), module, description: "", syntax: "" }
    }

    /// The file an administrator expects the module in.
    #[must_use]
    pub fn filename(&self, switch: &Switch) -> String {
        if self.module.starts_with("CORE_") {
            return String::new();
        }
        switch.dirs.mod_dir.join(format!("{}.so", self.module)).display().to_string()
    }
}

/// What the core itself brings: kind, name, module.
const FIXED: &[(&str, &str, &str)] = &[
    ("codec", "G.711 alaw", "CORE_PCM_MODULE"),
    ("codec", "G.711 ulaw", "CORE_PCM_MODULE"),
    ("codec", "RAW Signed Linear (16 bit)", "CORE_PCM_MODULE"),
    ("timer", "soft", "CORE_SOFTTIMER_MODULE"),
];

/// Everything the loaded modules bring.
#[must_use]
pub fn interfaces(switch: &Switch) -> Vec<Interface> {
    let mut all: Vec<Interface> = switch
        .endpoints()
        .into_iter()
        .map(|(name, module)| Interface::plain("endpoint", name, module))
        .collect();
    all.extend(FIXED.iter().map(|(kind, name, module)| Interface::plain(kind, *name, module)));
    for module in switch.loaded_modules() {
        let provides = module.provides();
        let plain = |kind, name: &'static str| Interface::plain(kind, name, module.name());
        all.extend(provides.names.iter().map(|(kind, name)| plain(kind, name)));
        all.extend(provides.dialplans.iter().map(|dialplan| plain("dialplan", dialplan.name)));
        all.extend(provides.chats.iter().map(|chat| plain("chat", chat.name)));
    }
    all.extend(switch.apps.all().into_iter().map(|app| Interface {
        kind: "application",
        name: app.name.to_owned(),
        module: app.module,
        description: app.description,
        syntax: app.syntax,
    }));
    all.extend(switch.apis.all().into_iter().map(|api| Interface {
        kind: "api",
        name: api.name.to_owned(),
        module: api.module,
        description: api.description,
        syntax: api.syntax,
    }));
    all
}

/// Loads what `modules.conf` and its two relatives name; no list means everything there is.
///
/// # Errors
/// The message to stop with, if a module marked critical is not to be had.
pub async fn load_configured(switch: &Arc<Switch>) -> Result<(), String> {
    let config = switch.config.load_full();
    let mut loads = Vec::new();
    for file in ["pre_load_modules.conf", "modules.conf", "post_load_modules.conf"] {
        loads.extend(ModulesConf::read(config.tree.configuration(file)).modules);
    }
    if config.modules.modules.is_empty() {
        for module in switch.linked().iter().filter(|module| module.is_default(switch)) {
            load(switch, module.name()).await;
        }
    }
    for wanted in loads {
        let name = wanted.module.rsplit('/').next().unwrap_or_default().trim_end_matches(".so");
        if switch.linked().find(name).is_some() {
            load(switch, name).await;
        } else if wanted.critical {
            return Err(format!(
                "{}: critical module {name} is not part of this switch",
                wanted.place
            ));
        } else {
            tracing::warn!(
                "{}: {name} is not part of this switch; what it would bring is missing",
                wanted.place
            );
        }
    }
    Ok(())
}

/// Takes a module into use and announces what it brings. False if it is not part of this switch, in use already, or
/// cannot work as it is set.
pub async fn load(switch: &Arc<Switch>, name: &str) -> bool {
    let Some(module) = switch.linked().find(name) else { return false };
    if switch.modules().is_loaded(name) {
        return false;
    }
    if module.load(switch).await.is_err() {
        let file = switch.dirs.mod_dir.join(format!("{name}.so"));
        tracing::error!(
            fs_level = "CRIT",
            "Error Loading module {}\n**Module load routine returned an error**",
            file.display()
        );
        return false;
    }
    if !switch.modules().load(name) {
        return false;
    }
    switch.take_up(module);
    for interface in &brought_by(switch, name) {
        announce(switch, EventName::ModuleLoad, interface);
    }
    tracing::info!("Successfully Loaded [{name}]");
    true
}

/// Has a module that was just loaded begin its work.
pub async fn start(switch: &Arc<Switch>, name: &str) {
    if let Some(module) = switch.linked().find(name).filter(|_| switch.modules().is_loaded(name)) {
        module.start(switch).await;
    }
}

/// Has all loaded modules begin their work.
pub async fn start_all(switch: &Arc<Switch>) {
    for module in switch.loaded_modules() {
        module.start(switch).await;
    }
}

/// Tells loaded modules of a change.
pub async fn reloaded(switch: &Arc<Switch>, change: Change) {
    for module in switch.loaded_modules() {
        module.reloaded(switch, change).await;
    }
}

/// The switch ends: so does the work of its modules.
pub async fn end_all(switch: &Arc<Switch>) {
    for module in switch.loaded_modules() {
        module.unload(switch).await;
    }
}

/// Takes a module out of use: what it brings is announced as gone and not found any more, and its work ends.
///
/// # Errors
/// Why not, in the reference's words.
pub async fn unload(switch: &Arc<Switch>, name: &str) -> Result<(), &'static str> {
    let module = switch.linked().find(name).filter(|_| switch.modules().is_loaded(name));
    let Some(module) = module else { return Err("No such module!") };
    if module.stays() {
        return Err("Module is not unloadable");
    }
    for interface in &brought_by(switch, name) {
        announce(switch, EventName::ModuleUnload, interface);
    }
    if switch.modules().unload(name) {
        switch.give_up(module);
        crate::log_console!("{name} unloaded.");
        module.unload(switch).await;
    }
    Ok(())
}

/// What a loaded module brings, in the order of its announcements; itself, if it brings nothing that has a name.
fn brought_by(switch: &Switch, name: &str) -> Vec<Interface> {
    let mut brings = interfaces(switch);
    brings.retain(|interface| interface.module == name);
    brings.sort_by_key(|interface| (rank(interface.kind), interface.name.clone()));
    if brings.is_empty() {
        brings.push(Interface {
            kind: "generic",
            name: name.to_owned(),
            module: "",
            description: "",
            syntax: "",
        });
    }
    brings
}

/// The order in which the reference announces the kinds within a module.
fn rank(kind: &str) -> usize {
    const ORDER: &[&str] =
        &["endpoint", "codec", "dialplan", "timer", "application", "api", "file", "chat", "limit"];
    ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len())
}

fn announce(switch: &Switch, name: EventName, interface: &Interface) {
    if !switch.bus.wants(name) {
        switch.bus.skip();
        return;
    }
    let mut event = Event::new(name);
    event.push("type", interface.kind);
    event.push("name", interface.name.as_str());
    if matches!(interface.kind, "api" | "application") {
        event.push("description", interface.description);
        event.push("syntax", interface.syntax);
    }
    if name == EventName::ModuleLoad {
        event.push("key", interface.module);
        event.push("filename", interface.filename(switch));
    }
    esl_server::fire!(switch.bus, event);
}
