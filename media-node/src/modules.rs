//! Which of the reference's modules this switch stands in for, which are loaded, and what they bring.

use std::sync::Arc;

use dialplan_xml::config::ModulesConf;
use esl_server::event::{Event, EventName};
use parking_lot::RwLock;

use crate::switch::Switch;

/// Modules whose work is done here. Everything else is not loaded, and `module_exists` says so.
pub const HERE: &[&str] = &[
    "mod_commands",
    "mod_conference",
    "mod_console",
    "mod_db",
    "mod_dialplan_xml",
    "mod_dptools",
    "mod_enum",
    "mod_event_socket",
    "mod_expr",
    "mod_hash",
    "mod_local_stream",
    "mod_logfile",
    "mod_loopback",
    "mod_native_file",
    "mod_say_en",
    "mod_sndfile",
    "mod_sofia",
    "mod_spandsp",
    "mod_tone_stream",
    "mod_valet_parking",
    "mod_xml_curl",
];

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

    /// May what a module brings be used? What belongs to the core always may.
    #[must_use]
    pub fn offers(&self, module: &str) -> bool {
        module.starts_with("CORE_") || self.is_loaded(module)
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

/// Interfaces that need no registry: kind, name, module.
const FIXED: &[(&str, &str, &str)] = &[
    ("codec", "G.711 alaw", "CORE_PCM_MODULE"),
    ("codec", "G.711 ulaw", "CORE_PCM_MODULE"),
    ("codec", "RAW Signed Linear (16 bit)", "CORE_PCM_MODULE"),
    ("dialplan", "XML", "mod_dialplan_xml"),
    ("dialplan", "inline", "mod_dptools"),
    ("dialplan", "enum", "mod_enum"),
    ("timer", "soft", "CORE_SOFTTIMER_MODULE"),
    ("chat", "event", "mod_dptools"),
    ("chat", "sip", "mod_sofia"),
    ("file", "file_string", "mod_dptools"),
    ("file", "local_stream", "mod_local_stream"),
    ("file", "silence_stream", "mod_tone_stream"),
    ("file", "tone_stream", "mod_tone_stream"),
    ("file", "L16", "mod_native_file"),
    ("file", "PCMA", "mod_native_file"),
    ("file", "PCMU", "mod_native_file"),
    ("file", "wav", "mod_sndfile"),
    ("limit", "db", "mod_db"),
    ("limit", "hash", "mod_hash"),
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
    all.retain(|interface| switch.modules().offers(interface.module));
    all
}

/// Loads what `modules.conf` and its two relatives name; no list means everything there is.
///
/// # Errors
/// The message to stop with, if a module marked critical is not to be had.
pub fn load_configured(switch: &Arc<Switch>) -> Result<(), String> {
    let config = switch.config.load_full();
    let mut loads = Vec::new();
    for file in ["pre_load_modules.conf", "modules.conf", "post_load_modules.conf"] {
        loads.extend(ModulesConf::read(config.tree.configuration(file)).modules);
    }
    if config.modules.modules.is_empty() {
        let nothing_to_ask = config.tree.configuration("xml_curl.conf").is_none();
        for name in HERE.iter().filter(|name| **name != "mod_xml_curl" || !nothing_to_ask) {
            load(switch, name);
        }
    }
    for wanted in loads {
        let name = wanted.module.rsplit('/').next().unwrap_or_default().trim_end_matches(".so");
        if HERE.contains(&name) {
            load(switch, name);
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

/// Has a module read its own settings. False if they cannot be used.
pub fn configure(switch: &Arc<Switch>, name: &str) -> bool {
    if name == "mod_enum" {
        crate::host::block_on(crate::enum_lookup::reload(switch));
    }
    let usable = name != "mod_xml_curl" || crate::xml::start(switch);
    if !usable {
        let file = switch.dirs.mod_dir.join(format!("{name}.so"));
        tracing::error!(
            fs_level = "CRIT",
            "Error Loading module {}\n**Module load routine returned an error**",
            file.display()
        );
    }
    usable
}

/// Takes a module into use and announces what it brings. False if it is in use already, or cannot work as it is set.
pub fn load(switch: &Arc<Switch>, name: &str) -> bool {
    if switch.modules().is_loaded(name) || !configure(switch, name) || !switch.modules().load(name)
    {
        return false;
    }
    for interface in &brought_by(switch, name) {
        announce(switch, EventName::ModuleLoad, interface);
    }
    tracing::info!("Successfully Loaded [{name}]");
    true
}

/// Modules that stay for good: the reference's own list, and the one whose clients would be cut off by their own
/// command (there, that hangs).
const STAYS: &[&str] = &["mod_commands", "mod_event_socket", "mod_valet_parking"];

/// Takes a module out of use: what it brings is not found any more, and is announced as gone.
///
/// # Errors
/// Why not, in the reference's words.
pub fn unload(switch: &Switch, name: &str) -> Result<(), &'static str> {
    if !switch.modules().is_loaded(name) {
        return Err("No such module!");
    }
    if STAYS.contains(&name) {
        return Err("Module is not unloadable");
    }
    for interface in &brought_by(switch, name) {
        announce(switch, EventName::ModuleUnload, interface);
    }
    switch.modules().unload(name);
    crate::log_console!("{name} unloaded.");
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
