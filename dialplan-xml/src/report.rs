//! The compatibility report: what of a configuration is honoured, what is accepted without effect,
//! what is unknown, with counts and places.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::catalogue::{Catalogue, Kind, Support};
use crate::check::{api_references, endpoints, later};
use crate::config::ModulesConf;
use crate::{Node, Place, Tree};

/// Everything a configuration names, by kind and name.
pub struct Report {
    entries: BTreeMap<(String, Support, String), Vec<Place>>,
    /// Parameters of modules the configuration does not load.
    idle: usize,
    /// Extensions that run into an application that cannot run.
    failing: Vec<Failing>,
}

/// An extension whose calls end at an application that cannot run.
struct Failing {
    context: String,
    extension: String,
    application: String,
    why: String,
    place: Place,
}

/// Names what a document uses and what becomes of it.
pub fn report(tree: &Tree, catalogue: &Catalogue) -> Report {
    let idle = crate::check::idle_params(tree);
    let mut report = Report { entries: BTreeMap::new(), idle, failing: Vec::new() };
    report.failing(tree, catalogue);
    for (file, scope, param) in crate::check::params(tree) {
        let Some(name) = param.attr("name") else { continue };
        let kind = if scope.is_empty() { file.to_owned() } else { format!("{file} {scope}") };
        // Files the reference has no list for belong to other software.
        let support = catalogue.param(file, scope, name).unwrap_or(Support::Unknown);
        report.add(format!("parameter of {kind}"), support, name, param.attr_place("name"));
    }
    for file in ["pre_load_modules.conf", "modules.conf", "post_load_modules.conf"] {
        for load in ModulesConf::read(tree.configuration(file)).modules {
            report.name(catalogue, Kind::Module, &load.module, load.place);
        }
    }
    report.elsewhere(tree, catalogue);
    let section = tree.section("dialplan");
    for node in section.into_iter().flat_map(Node::descendants) {
        match node.name() {
            "action" | "anti-action" => report.action(catalogue, node),
            "condition" | "regex" => {
                for attr in ["field", "expression"] {
                    report.apis(catalogue, node.attr_or_empty(attr), &node.attr_place(attr));
                }
            }
            _ => {}
        }
    }
    report
}

impl Report {
    fn add(&mut self, kind: String, support: Support, name: &str, place: Place) {
        self.entries.entry((kind, support, name.to_owned())).or_default().push(place);
    }

    fn name(&mut self, catalogue: &Catalogue, kind: Kind, name: &str, place: Place) {
        if !name.is_empty() && !name.contains('$') {
            self.add(kind.as_str().to_owned(), catalogue.support(kind, name), name, place);
        }
    }

    /// Follows no calls: an extension is named once for each application in it that cannot run.
    fn failing(&mut self, tree: &Tree, catalogue: &Catalogue) {
        let loaded = crate::check::loaded_modules(tree);
        let section = tree.section("dialplan");
        for context in section.into_iter().flat_map(|s| s.children_named("context")) {
            for extension in context.children_named("extension") {
                for action in extension.descendants().filter(|n| n.name().ends_with("action")) {
                    let application = action.attr_or_empty("application");
                    if application.is_empty() || application.contains('$') {
                        continue;
                    }
                    let Some(why) = catalogue.refusal(application, loaded.as_ref()) else {
                        continue;
                    };
                    self.failing.push(Failing {
                        context: context.attr_or_empty("name").to_owned(),
                        extension: extension.attr("name").unwrap_or("UNKNOWN").to_owned(),
                        application: application.to_owned(),
                        why,
                        place: action.attr_place("application"),
                    });
                }
            }
        }
    }

    fn apis(&mut self, catalogue: &Catalogue, text: &str, place: &Place) {
        for command in api_references(text) {
            self.name(catalogue, Kind::Api, command, place.clone());
        }
    }

    fn action(&mut self, catalogue: &Catalogue, node: Node<'_>) {
        let application = node.attr_or_empty("application");
        self.name(catalogue, Kind::Application, application, node.attr_place("application"));
        let data = if node.text().is_empty() { node.attr_or_empty("data") } else { node.text() };
        self.argument(catalogue, application, data, &node.attr_place("data"));
    }

    fn argument(&mut self, catalogue: &Catalogue, application: &str, data: &str, place: &Place) {
        self.apis(catalogue, data, place);
        if application.eq_ignore_ascii_case("bridge") {
            self.legs(catalogue, data, place);
        }
        for (kind, inner) in later(application, data) {
            self.name(catalogue, kind, inner, place.clone());
        }
    }

    fn legs(&mut self, catalogue: &Catalogue, dial_string: &str, place: &Place) {
        for endpoint in endpoints(dial_string) {
            self.name(catalogue, Kind::Endpoint, endpoint, place.clone());
        }
    }

    /// What menus run and how phones are dialled.
    fn elsewhere(&mut self, tree: &Tree, catalogue: &Catalogue) {
        let menus = tree.configuration("ivr.conf").into_iter().flat_map(Node::descendants);
        for entry in menus.filter(|n| n.attr("action") == Some("menu-exec-app")) {
            let (param, place) = (entry.attr_or_empty("param"), entry.attr_place("param"));
            let (application, data) = param.split_once([' ', ':']).unwrap_or((param, ""));
            self.name(catalogue, Kind::Application, application, place.clone());
            self.argument(catalogue, application, data, &place);
        }
        let directory = tree.section("directory").into_iter().flat_map(Node::descendants);
        let dialled =
            |n: &Node<'_>| n.name() == "param" && n.attr_or_empty("name").ends_with("dial-string");
        for param in directory.filter(dialled) {
            let (value, place) = (param.attr_or_empty("value"), param.attr_place("value"));
            self.apis(catalogue, value, &place);
            self.legs(catalogue, value, &place);
        }
    }

    /// How many places name something this switch knows and does not have: no parameter, whose absence
    /// changes a detail, but an application, a command, a module.
    pub fn unavailable(&self) -> usize {
        self.count(Support::Unavailable)
    }

    /// How many places name something of this support.
    pub fn count(&self, support: Support) -> usize {
        let entries = self.entries.iter().filter(|((_, s, _), _)| *s == support);
        entries.map(|(_, places)| places.len()).sum()
    }

    /// The report as text: counts, then everything that is not honoured, with its first place.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let all = [Support::Honoured, Support::Accepted, Support::Unavailable, Support::Unknown];
        let total: usize = all.map(|s| self.count(s)).iter().sum();
        let _ = writeln!(out, "{total} names used");
        for support in all {
            let (label, count) = (support.as_str(), self.count(support));
            let percent = if total == 0 { 0.0 } else { count as f64 * 100.0 / total as f64 };
            let _ = writeln!(out, "  {label:<24}{count:>6}  {percent:>5.1}%");
        }
        if self.idle > 0 {
            let idle = self.idle;
            let _ = writeln!(out, "  (not counted: {idle} parameters of modules not loaded)");
        }
        self.list(&mut out, "accepted without effect", Support::Accepted);
        self.list(&mut out, "not available (an application ends the call)", Support::Unavailable);
        self.list(&mut out, "unknown", Support::Unknown);
        if !self.failing.is_empty() {
            out.push_str("\nextensions that fail:\n");
        }
        for Failing { context, extension, application, why, place } in &self.failing {
            let _ = writeln!(out, "  {extension} in {context}: {application}: {why}    # {place}");
        }
        out
    }

    /// One part of the text: what is of one sort, with its first place.
    fn list(&self, out: &mut String, title: &str, wanted: Support) {
        let entries = self.entries.iter().filter(|((_, support, _), _)| *support == wanted);
        for (number, ((kind, _, name), places)) in entries.enumerate() {
            if number == 0 {
                let _ = writeln!(out, "\n{title}:");
            }
            let Some(first) = places.first() else { continue };
            let more = match places.len() - 1 {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            let _ = writeln!(out, "  {kind} {name}    # {first}{more}");
        }
    }

    /// The report as one JSON object.
    pub fn to_json(&self) -> Value {
        let entry = |((kind, support, name), places): (&(String, Support, String), &Vec<Place>)| {
            let places: Vec<_> = places.iter().map(Place::to_string).collect();
            json!({"kind": kind, "name": name, "support": support.as_str(), "places": places})
        };
        let failing = self.failing.iter().map(|f| {
            json!({
                "context": f.context, "extension": f.extension, "application": f.application,
                "why": f.why, "place": f.place.to_string(),
            })
        });
        json!({
            "honoured": self.count(Support::Honoured),
            "accepted": self.count(Support::Accepted),
            "unavailable": self.unavailable(),
            "unknown": self.count(Support::Unknown),
            "not_loaded": self.idle,
            "failing_extensions": failing.collect::<Vec<_>>(),
            "names": self.entries.iter().map(entry).collect::<Vec<_>>(),
        })
    }
}
