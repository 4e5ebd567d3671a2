//! The configuration as one snapshot, swapped whole by a reload.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use dialplan_xml::acl::{AclSet, LocalNet};
use dialplan_xml::catalogue::Catalogue;
use dialplan_xml::check::unknown_names;
use dialplan_xml::config::{
    AclConf, AclTarget, EventSocketConf, ModulesConf, SofiaConf, SwitchConf,
};
use dialplan_xml::dialplan::Dialplan;
use dialplan_xml::diff;
use dialplan_xml::directory::Directory;
use dialplan_xml::{Diagnostic, Globals, LoadOptions, Node, PreprocessorCommand, Severity, Tree};
use esl_server::event::{Event, EventName};

use crate::call::Channel;
use crate::contract::Change;
use crate::switch::Switch;
use crate::xml;

/// Everything read from the XML files, compiled. Cheap to clone.
#[derive(Clone)]
pub struct Config {
    /// The merged tree.
    pub tree: Tree,
    /// Configuration documents that came from elsewhere, by name: they stand before those of the tree.
    pub documents: Arc<HashMap<String, Tree>>,
    /// switch.conf, with post_load_switch.conf over it.
    pub switch: SwitchConf,
    /// event_socket.conf.
    pub event_socket: EventSocketConf,
    /// modules.conf.
    pub modules: ModulesConf,
    /// sofia.conf.
    pub sofia: SofiaConf,
    /// Access lists.
    pub acl: Arc<AclSet>,
    /// Users.
    pub directory: Arc<Directory>,
    /// Contexts and extensions.
    pub dialplan: Arc<Dialplan>,
}

impl Config {
    /// A configuration document, wherever it came from.
    #[must_use]
    pub fn document(&self, name: &str) -> Option<Node<'_>> {
        let elsewhere = self.documents.get(name).and_then(|tree| tree.configuration(name));
        elsewhere.or_else(|| self.tree.configuration(name))
    }

    /// A tree that serves, and what is to be said about it.
    #[must_use]
    pub fn compile(tree: Tree, globals: &Globals) -> (Self, Vec<Diagnostic>) {
        let directory = Arc::new(Directory::compile(&tree));
        let (dialplan, mut diagnostics) = Dialplan::compile(&tree);
        let local = local_net(globals);
        let (acl, more) =
            AclSet::build(&AclConf::read(tree.configuration("acl.conf")), &directory, &local);
        diagnostics.extend(more);
        let config = Self {
            switch: SwitchConf::read(tree.configuration("switch.conf"))
                .over(tree.configuration("post_load_switch.conf")),
            event_socket: EventSocketConf::read(tree.configuration("event_socket.conf")),
            modules: ModulesConf::read(tree.configuration("modules.conf")),
            sofia: SofiaConf::read(tree.configuration("sofia.conf")),
            acl: Arc::new(acl),
            directory,
            dialplan: Arc::new(dialplan),
            documents: Arc::default(),
            tree,
        };
        (config, diagnostics)
    }

    fn use_documents(&mut self, documents: HashMap<String, Tree>) {
        self.documents = Arc::new(documents);
        self.switch = SwitchConf::read(self.tree.configuration("switch.conf"))
            .over(self.document("post_load_switch.conf"));
        self.event_socket = EventSocketConf::read(self.document("event_socket.conf"));
        self.sofia = SofiaConf::read(self.document("sofia.conf"));
    }
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
    known: &Catalogue,
) -> LoadedConfig {
    let options = LoadOptions {
        allowed: allowed.clone(),
        stun: Some(base::stun_set::asker()),
        ..LoadOptions::default()
    };
    let loaded = dialplan_xml::load(root, globals, &options);
    let mut diagnostics = loaded.diagnostics;
    let config = loaded.tree.map(|tree| {
        diagnostics.extend(unknown_names(&tree, known));
        let (config, more) = Config::compile(tree, &loaded.globals);
        diagnostics.extend(more);
        config
    });
    LoadedConfig { config, globals: loaded.globals, diagnostics, status: loaded.status }
}

/// The networks `localnet.auto` stands for.
#[must_use]
pub fn local_net(globals: &Globals) -> LocalNet {
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
            // An optional variable that is not set, or a folder for files of one's own that has none yet, is the
            // normal case.
            _ if matches!(diagnostic.code, "env-unset" | "include-empty") => {
                tracing::debug!("{diagnostic}");
            }
            _ => tracing::info!("{diagnostic}"),
        }
    }
}

/// What loading complained about, one line each: what has been said once is not said at every reload.
#[must_use]
pub fn complaints(diagnostics: &[Diagnostic]) -> BTreeSet<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}

/// Logs what loading noticed and had not noticed before; returns all it noticed.
fn log_new(diagnostics: &[Diagnostic], known: &BTreeSet<String>) -> BTreeSet<String> {
    let now = complaints(diagnostics);
    let new: Vec<Diagnostic> =
        diagnostics.iter().filter(|d| !known.contains(&d.to_string())).cloned().collect();
    let serious = |d: &&Diagnostic| d.severity > Severity::Info;
    let old = diagnostics.iter().filter(serious).count() - new.iter().filter(serious).count();
    log_diagnostics(&new);
    if old > 0 {
        tracing::info!("Errors and warnings logged before and still there: {old}");
    }
    now
}

/// What a reload came to.
pub struct Reloaded {
    /// The text `reloadxml` shows in brackets.
    pub status: String,
    /// Whether the new tree serves (or, tried only, would serve).
    pub serves: bool,
    /// What an administrator wants to know beside: errors with their places, or what is different now.
    pub told: Vec<String>,
}

/// Errors with their places, as far as they fit.
fn errors(diagnostics: &[Diagnostic]) -> Vec<String> {
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error);
    let line = |d: &Diagnostic| {
        let hint = d.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{d}{hint}")
    };
    errors.take(ERRORS_SHOWN).map(line).collect()
}

/// Errors a reload's reply names.
const ERRORS_SHOWN: usize = 20;

/// Reads the files anew and swaps the snapshot; what cannot be used changes nothing. Access lists stay as they are
/// ([`reload_acl`] is `reloadacl`'s second half, as in the reference).
pub async fn reload(switch: &Arc<Switch>) -> Reloaded {
    let mut known = switch.reloading.lock().await;
    let before = switch.globals();
    let (of, given) = (Arc::clone(switch), before.clone());
    let reading = move || load(&of.dirs.root_path(), given, &of.allow_preprocess, &of.known);
    let Ok(loaded) = tokio::task::spawn_blocking(reading).await else {
        let status = "Cannot reload".to_owned();
        return Reloaded { status, serves: false, told: Vec::new() };
    };
    let mut noticed = log_new(&loaded.diagnostics, &known);
    let mut told = errors(&loaded.diagnostics);
    let Some(mut config) = loaded.config else {
        tracing::error!("Reload: nothing changed: {}", loaded.status);
        // It was not read to its end: what it did not get to is not gone.
        known.append(&mut noticed);
        return Reloaded { status: loaded.status, serves: false, told };
    };
    *known = noticed;
    let old = switch.config.load_full();
    config.use_documents(ask_documents(switch, &old).await);
    config.acl = Arc::clone(&old.acl);
    let config = Arc::new(config);
    switch.adopt_globals(&before, &loaded.globals);
    switch.adopt_config(Arc::clone(&config));
    let variables = diff::variables(&before, &loaded.globals);
    let comparing = tokio::task::spawn_blocking(move || changes(&old, &config, variables));
    for change in comparing.await.unwrap_or_default() {
        crate::log_notice!("{change}");
        told.push(change);
    }
    esl_server::fire!(switch.bus, Event::new(EventName::Reloadxml));
    crate::modules::reloaded(switch, Change::Configuration).await;
    Reloaded { status: loaded.status, serves: true, told }
}

/// Reads the files anew and says what a reload would come to; nothing changes. Documents from web servers are not
/// asked for.
pub async fn try_reload(switch: &Arc<Switch>) -> Reloaded {
    let before = switch.globals();
    let (of, given) = (Arc::clone(switch), before.clone());
    let reading = move || {
        let loaded = load(&of.dirs.root_path(), given, &of.allow_preprocess, &of.known);
        let mut told = errors(&loaded.diagnostics);
        let serves = loaded.config.is_some();
        if let Some(mut config) = loaded.config {
            let old = of.config.load_full();
            config.documents = Arc::clone(&old.documents);
            told.extend(changes(&old, &config, diff::variables(&before, &loaded.globals)));
        }
        Reloaded { status: loaded.status, serves, told }
    };
    tokio::task::spawn_blocking(reading).await.unwrap_or_else(|_| Reloaded {
        status: "Cannot reload".to_owned(),
        serves: false,
        told: Vec::new(),
    })
}

/// Changes named one by one; the rest is counted.
const CHANGES_SHOWN: usize = 100;

/// What is different between two configurations, one line each.
fn changes(old: &Config, new: &Config, mut changes: Vec<diff::Change>) -> Vec<String> {
    changes.extend(diff::changes(&old.tree, &new.tree));
    for (name, tree) in new.documents.iter() {
        if let Some(before) = old.documents.get(name) {
            changes.extend(diff::changes(before, tree));
        }
    }
    let named = changes.iter().take(CHANGES_SHOWN).map(|change| format!("Configuration {change}"));
    let mut lines: Vec<String> = named.collect();
    let more = changes.len().saturating_sub(CHANGES_SHOWN);
    if more > 0 {
        lines.push(format!("Configuration: {more} more changes"));
    }
    lines
}

/// Rebuilds the access lists from the configuration in force; domains may come from a web server.
pub async fn reload_acl(switch: &Arc<Switch>) {
    let _turn = switch.reloading.lock().await;
    let old = switch.config.load_full();
    let conf = AclConf::read(old.document("acl.conf"));
    let mut directories = HashMap::new();
    for node in conf.lists.iter().flat_map(|list| &list.nodes) {
        let AclTarget::Domain(domain) = &node.target else { continue };
        if !directories.contains_key(domain) {
            let fill = |params: &mut Event| {
                params.push("domain", domain.as_str()).push("purpose", "network-list");
            };
            let found = xml::directory_as(switch, EventName::General, domain, fill).await;
            directories.insert(domain.clone(), found);
        }
    }
    let local = local_net(&switch.globals());
    let (acl, diagnostics) =
        AclSet::build_with(&conf, |domain| directories.get(domain).cloned(), &local);
    log_diagnostics(&diagnostics);
    for line in acl.describe() {
        crate::log_notice!("{line}");
    }
    let config = Config { acl: Arc::new(acl), ..Config::clone(&old) };
    switch.adopt_config(Arc::new(config));
}

/// Once modules are loaded: what bindings answer takes the place of the files, and access lists are built again.
pub async fn ask_bindings(switch: &Arc<Switch>) {
    if switch.xml.serve("configuration") {
        let _turn = switch.reloading.lock().await;
        let mut config = Config::clone(&switch.config.load());
        let documents = ask_documents(switch, &config).await;
        config.use_documents(documents);
        switch.tune(&config.switch);
        switch.adopt_config(Arc::new(config));
    }
    if switch.xml.serve("configuration") || switch.xml.serve("directory") {
        reload_acl(switch).await;
    }
}

/// Configuration documents bindings are asked for when the switch starts and at each reload.
const ASKED: [&str; 5] =
    ["acl.conf", "event_socket.conf", "post_load_switch.conf", "sofia.conf", "timezones.conf"];

/// A document a web server cannot be asked for stays as it was.
async fn ask_documents(switch: &Arc<Switch>, old: &Config) -> HashMap<String, Tree> {
    if !switch.xml.serve("configuration") {
        return HashMap::new();
    }
    let asks = ASKED.map(|name| async move {
        // Modules ask without any parameters, but for sofia.
        let bare: &(dyn Fn(&mut Event) + Sync) = &|_| {};
        let fill = (name == "sofia.conf").then_some(bare);
        let document = match xml::configuration(switch, name, fill).await {
            Ok(answer) => answer,
            Err(xml::Unanswered) => {
                tracing::warn!("{name} could not be asked for");
                old.documents.get(name).cloned()
            }
        };
        Some((name.to_owned(), document?))
    });
    futures_util::future::join_all(asks).await.into_iter().flatten().collect()
}

/// Asks bindings for one SIP profile (`sofia profile … rescan` and the like); what they answer takes its place.
pub async fn ask_profile(
    switch: &Arc<Switch>,
    profile: &str,
    reconfig: bool,
    gateway: Option<&str>,
) {
    if !switch.xml.serve("configuration") {
        return;
    }
    let fill = |params: &mut Event| {
        params.push("profile", profile);
        params.push("reconfig", if reconfig { "true" } else { "" });
        params.push_some("gateway", gateway);
    };
    let Ok(Some(tree)) = xml::configuration(switch, "sofia.conf", Some(&fill)).await else {
        return;
    };
    let _turn = switch.reloading.lock().await;
    let mut config = Config::clone(&switch.config.load());
    for answered in SofiaConf::read(tree.configuration("sofia.conf")).profiles {
        match config.sofia.profiles.iter_mut().find(|known| known.name == answered.name) {
            Some(known) => *known = answered,
            None => config.sofia.profiles.push(answered),
        }
    }
    switch.adopt_config(Arc::new(config));
}

/// The dialplan a channel is routed by: the loaded one, a file of its own (`XML:<path>`), or an answer from elsewhere.
pub async fn dialplan_for(
    switch: &Arc<Switch>,
    channel: &Arc<Channel>,
    file: &str,
) -> Option<Arc<Dialplan>> {
    if !file.is_empty() {
        return switch.module::<xml::DialplanFiles>().get(switch, file).await;
    }
    if let Some(found) = xml::dialplan(switch, channel).await {
        return Some(found);
    }
    Some(Arc::clone(&switch.config.load().dialplan))
}
