//! `ferroswitch check`: every problem of a configuration at once, with file, line and column.
//!
//! [`check`] takes what [`crate::load`] found and adds what can be said about the meaning: names
//! that are unknown, conditions that cannot match, ports two profiles want, passwords that are easily guessed,
//! callers who reach a trunk without having to say who they are.

mod arguments;
mod audit;
mod details;
mod dial;
mod dialplan;
mod directory;
mod engines;
mod files;
mod fraud;
mod names;
mod params;
mod played;
mod reach;
mod sample;
mod schema;
mod sip;
mod sounds;
mod structure;
mod targets;
mod uses;
mod values;
mod variables;
mod words;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;

use crate::catalogue::Catalogue;
use crate::dialplan::Dialplan;
use crate::directory::Directory;
use crate::{Diagnostic, Globals, Loaded, Paint, Place, Severity, Sources, Tree};

pub use audit::{AuditOptions, audit, interface_allowlist};
pub use names::{api_references, endpoints};
pub(crate) use names::{later, legs_to};
pub use params::modules as loaded_modules;
pub(crate) use params::{all as params, idle as idle_params};

/// What a check may know about its surroundings.
pub struct CheckOptions<'a> {
    /// What names mean something.
    pub catalogue: &'a Catalogue,
    /// Whether a file exists: for sounds and certificates.
    pub file_exists: &'a dyn Fn(&Path) -> bool,
    /// Whether an address is one of this machine's.
    pub own_address: &'a dyn Fn(IpAddr) -> bool,
    /// Why MP3 files cannot be written; `None` where they can.
    pub no_mp3: Option<&'a str>,
}

/// The outcome of a check.
pub struct Checked {
    /// Everything found, ordered by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The files, for snippets.
    pub sources: Sources,
    /// The document, unless it was refused.
    pub tree: Option<Tree>,
    /// What the reference would say about it.
    pub status: String,
}

/// What the rules look at.
struct Subject<'a> {
    tree: &'a Tree,
    globals: &'a Globals,
    directory: Directory,
    dialplan: Dialplan,
    catalogue: &'a Catalogue,
    file_exists: &'a dyn Fn(&Path) -> bool,
    own_address: &'a dyn Fn(IpAddr) -> bool,
    no_mp3: Option<&'a str>,
    /// The modules that are loaded; `None` when the configuration does not say.
    loaded: Option<BTreeSet<String>>,
    found: Vec<Diagnostic>,
}

impl Subject<'_> {
    fn say(&mut self, found: Diagnostic) {
        self.found.push(found);
    }
}

/// Checks a loaded configuration.
pub fn check(loaded: Loaded, options: &CheckOptions<'_>) -> Checked {
    let mut diagnostics = loaded.diagnostics;
    if let Some(tree) = &loaded.tree {
        let (dialplan, found) = Dialplan::compile(tree);
        diagnostics.extend(found);
        let mut subject = Subject {
            tree,
            globals: &loaded.globals,
            directory: Directory::compile(tree),
            dialplan,
            catalogue: options.catalogue,
            file_exists: options.file_exists,
            own_address: options.own_address,
            no_mp3: options.no_mp3,
            loaded: params::modules(tree),
            found: Vec::new(),
        };
        let uses = uses::all(&subject);
        structure::check(&mut subject);
        schema::check(&mut subject);
        params::check(&mut subject);
        values::check(&mut subject);
        names::check(&mut subject);
        files::check(&mut subject);
        arguments::check(&mut subject, &uses);
        details::check(&mut subject, &uses);
        dial::check(&mut subject, &uses);
        engines::check(&mut subject, &uses);
        variables::check(&mut subject, &uses);
        dialplan::check(&mut subject);
        directory::check(&mut subject);
        sip::check(&mut subject);
        sounds::check(&mut subject, &uses);
        targets::check(&mut subject);
        fraud::check(&mut subject);
        diagnostics.append(&mut subject.found);
    }
    diagnostics.iter_mut().for_each(|found| found.aim(&loaded.sources));
    diagnostics.sort_by(|a, b| a.place.cmp(&b.place));
    let diagnostics = once(diagnostics);
    Checked { diagnostics, sources: loaded.sources, tree: loaded.tree, status: loaded.status }
}

/// Unknown parameters, applications, commands, modules and endpoints: what a switch says about
/// its configuration when it starts.
pub fn unknown_names(tree: &Tree, catalogue: &Catalogue) -> Vec<Diagnostic> {
    let globals = Globals::new();
    let mut subject = Subject {
        tree,
        globals: &globals,
        directory: Directory::default(),
        dialplan: Dialplan::default(),
        catalogue,
        file_exists: &|_| true,
        own_address: &|_| true,
        no_mp3: None,
        loaded: params::modules(tree),
        found: Vec::new(),
    };
    params::check(&mut subject);
    names::check(&mut subject);
    subject.found.retain(|found| found.code.ends_with("-unknown"));
    subject.found
}

impl Checked {
    /// How many diagnostics there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == severity).count()
    }

    /// Exit status for a command: 1 when there are errors (with `strict`, warnings too), else 0.
    pub fn exit_status(&self, strict: bool) -> u8 {
        let refused = self.tree.is_none() || self.count(Severity::Error) > 0;
        u8::from(refused || strict && self.count(Severity::Warning) > 0)
    }

    /// The report as text. Remarks are left out unless `verbose`.
    pub fn to_text(&self, verbose: bool) -> String {
        self.to_text_in(verbose, Paint::Off)
    }

    /// The same in colours.
    pub fn to_text_in(&self, verbose: bool, paint: Paint) -> String {
        let shown = self.diagnostics.iter();
        let shown = shown.filter(|d| verbose || d.severity > Severity::Info);
        let mut out = String::new();
        for (found, again) in together(shown) {
            out.push_str(&found.render_in(&self.sources, paint));
            out.push_str(&elsewhere(&again));
            out.push('\n');
        }
        let count = |severity, one: &str| {
            let n = self.count(severity);
            format!("{n} {one}{}", if n == 1 { "" } else { "s" })
        };
        let (errors, warnings) =
            (count(Severity::Error, "error"), count(Severity::Warning, "warning"));
        let remarks = count(Severity::Info, "remark");
        let files = self.sources.files().count();
        let s = if files == 1 { "" } else { "s" };
        let more = match self.count(Severity::Info) {
            hidden if hidden > 0 && !verbose => " (shown with -v)",
            _ => "",
        };
        let line = format!("{files} file{s} checked: {errors}, {warnings}, {remarks}{more}");
        let worst = self.diagnostics.iter().map(|d| d.severity).max();
        let line = match worst.filter(|w| *w > Severity::Info) {
            Some(worst) => paint.severity(worst, &line),
            None => paint.good(&line),
        };
        out.push_str(&format!("{line}\n"));
        if self.tree.is_none() {
            out.push_str(&format!("the configuration cannot be loaded: {}\n", self.status));
        }
        out
    }

    /// The report as one JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "status": self.status,
            "loads": self.tree.is_some(),
            "files": self.sources.files().count(),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "remarks": self.count(Severity::Info),
            "diagnostics": self.diagnostics.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
        })
    }
}

/// One mistake in a variable shows wherever the variable is used: it is said once, with those places.
fn once(all: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut kept: Vec<Diagnostic> = Vec::new();
    for found in all {
        let same = kept.iter_mut().rev().take_while(|known| known.place == found.place);
        let same = same.filter(|k| k.code == found.code && k.message == found.message);
        match same.last() {
            Some(known) => {
                for related in found.related {
                    if !known.related.contains(&related) {
                        known.related.push(related);
                    }
                }
            }
            None => kept.push(found),
        }
    }
    kept
}

/// The first of each thing said, with the places it is said of again.
fn together<'d>(
    all: impl Iterator<Item = &'d Diagnostic>,
) -> Vec<(&'d Diagnostic, Vec<&'d Place>)> {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    let mut groups: Vec<(&Diagnostic, Vec<&Place>)> = Vec::new();
    for found in all {
        match seen.get(&(found.code, found.message.as_str())).and_then(|at| groups.get_mut(*at)) {
            Some((_, again)) => again.extend(&found.place),
            None => {
                seen.insert((found.code, &found.message), groups.len());
                groups.push((found, Vec::new()));
            }
        }
    }
    groups
}

/// Most further places that are named one by one.
const MAX_AGAIN: usize = 4;

fn elsewhere(again: &[&Place]) -> String {
    let named = again.iter().take(MAX_AGAIN).map(|place| format!("  also: {place}\n"));
    let mut out: String = named.collect();
    if again.len() > MAX_AGAIN {
        out.push_str(&format!("  also: {} more places\n", again.len() - MAX_AGAIN));
    }
    out
}
