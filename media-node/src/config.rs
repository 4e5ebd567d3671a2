//! The configuration as one snapshot, swapped whole by a reload.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use dialplan_xml::acl::{AclSet, LocalNet};
use dialplan_xml::config::{
    AclConf, EventSocketConf, ModulesConf, SofiaConf, SwitchConf, TimezonesConf,
};
use dialplan_xml::dialplan::Dialplan;
use dialplan_xml::diff::changes;
use dialplan_xml::directory::Directory;
use dialplan_xml::{Diagnostic, Globals, LoadOptions, PreprocessorCommand, Severity, Tree};

use crate::call::Channel;
use crate::switch::Switch;

/// Everything read from the XML files, compiled.
pub struct Config {
    /// The merged tree.
    pub tree: Tree,
    /// switch.conf.
    pub switch: SwitchConf,
    /// event_socket.conf.
    pub event_socket: EventSocketConf,
    /// modules.conf.
    pub modules: ModulesConf,
    /// sofia.conf.
    pub sofia: SofiaConf,
    /// Access lists.
    pub acl: AclSet,
    /// Users.
    pub directory: Arc<Directory>,
    /// Contexts and extensions.
    pub dialplan: Arc<Dialplan>,
}

/// What loading gave.
pub struct LoadedConfig {
    /// The configuration; `None` when the files cannot be used at all.
    pub config: Option<Config>,
    /// Global variables after preprocessing.
    pub globals: Globals,
    /// What was noticed, in order.
    pub diagnostics: Vec<Diagnostic>,
    /// What `reloadxml` replies in its brackets.
    pub status: String,
}

/// Reads the files and compiles them.
#[must_use]
pub fn load(
    root: &Path,
    globals: Globals,
    allowed: &BTreeSet<PreprocessorCommand>,
) -> LoadedConfig {
    let options = LoadOptions { allowed: allowed.clone(), ..LoadOptions::default() };
    let loaded = dialplan_xml::load(root, globals, &options);
    let mut diagnostics = loaded.diagnostics;
    let config = loaded.tree.map(|tree| {
        let (config, more) = compile(tree, &loaded.globals);
        diagnostics.extend(more);
        config
    });
    LoadedConfig { config, globals: loaded.globals, diagnostics, status: loaded.status }
}

fn compile(tree: Tree, globals: &Globals) -> (Config, Vec<Diagnostic>) {
    let directory = Arc::new(Directory::compile(&tree));
    let (dialplan, mut diagnostics) = Dialplan::compile(&tree);
    let local = local_net(globals);
    let (acl, more) =
        AclSet::build(&AclConf::read(tree.configuration("acl.conf")), &directory, &local);
    diagnostics.extend(more);
    let config = Config {
        switch: SwitchConf::read(tree.configuration("switch.conf")),
        event_socket: EventSocketConf::read(tree.configuration("event_socket.conf")),
        modules: ModulesConf::read(tree.configuration("modules.conf")),
        sofia: SofiaConf::read(tree.configuration("sofia.conf")),
        acl,
        directory,
        dialplan: Arc::new(dialplan),
        tree,
    };
    (config, diagnostics)
}

fn local_net(globals: &Globals) -> LocalNet {
    let get = |name: &str| globals.get(name).and_then(|text| text.parse().ok());
    LocalNet {
        v4: get("local_ip_v4").unwrap_or(std::net::Ipv4Addr::LOCALHOST),
        mask: get("local_mask_v4").unwrap_or(std::net::Ipv4Addr::BROADCAST),
        v6: globals.get("local_ip_v6").and_then(|text| text.parse().ok()),
    }
}

/// Logs what loading noticed.
pub fn log_diagnostics(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        match diagnostic.severity {
            Severity::Error => tracing::error!("{diagnostic}"),
            Severity::Warning => tracing::warn!("{diagnostic}"),
            // An optional variable that is not set is the normal case.
            _ if diagnostic.code == "env-unset" => tracing::debug!("{diagnostic}"),
            _ => tracing::info!("{diagnostic}"),
        }
    }
}

/// Reads the files anew and swaps the snapshot; what cannot be used changes nothing.
///
/// Returns the text `reloadxml` shows in brackets, and whether the new tree serves.
pub fn reload(switch: &Arc<Switch>) -> (String, bool) {
    let before = switch.globals();
    let loaded = load(&switch.dirs.root_path(), before.clone(), &switch.allow_preprocess);
    log_diagnostics(&loaded.diagnostics);
    let Some(config) = loaded.config else { return (loaded.status, false) };
    switch.adopt_globals(&before, &loaded.globals);
    for change in changes(&switch.config.load().tree, &config.tree) {
        crate::log_notice!("Configuration {change}");
    }
    switch.config.store(Arc::new(config));
    esl_server::fire!(switch.bus, esl_server::Event::new(esl_server::EventName::Reloadxml));
    (loaded.status, true)
}

/// The dialplan a channel is routed by: the loaded one, a file of its own (`XML:<path>`), or an answer from elsewhere.
pub async fn dialplan_for(
    switch: &Arc<Switch>,
    channel: &Arc<Channel>,
    file: &str,
    context: &str,
) -> Option<Arc<Dialplan>> {
    if !file.is_empty() {
        let config = switch.config.load();
        return from_file(file, config.dialplan.zones());
    }
    if let Some(found) = crate::xml::dialplan(switch, channel, context).await {
        return Some(found);
    }
    Some(Arc::clone(&switch.config.load().dialplan))
}

/// A dialplan file is read as it stands, without preprocessing.
fn from_file(file: &str, zones: &TimezonesConf) -> Option<Arc<Dialplan>> {
    let text = std::fs::read(file)
        .inspect_err(|error| tracing::error!("Open of dialplan failed: {file}: {error}"))
        .ok()?;
    let loaded = dialplan_xml::parse_raw(&String::from_utf8_lossy(&text), file);
    log_diagnostics(&loaded.diagnostics);
    let (dialplan, diagnostics) = Dialplan::compile_with_zones(&loaded.tree?, zones.clone());
    log_diagnostics(&diagnostics);
    Some(Arc::new(dialplan))
}
