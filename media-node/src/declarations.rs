//! Gathers what the core and the modules declare: for `check`, the compatibility report and the tables of `docs/`.

use dialplan_xml::catalogue::{Catalogue, Kind};

use switch_core::contract::{Linked, Provides};

use crate::built_in;

/// What is declared, whether or not its module is loaded: each module's name with what it provides, the core's first.
pub(crate) fn declared(modules: &Linked) -> impl Iterator<Item = (&'static str, Provides)> {
    let own = modules.iter().map(|module| (module.name(), module.provides()));
    std::iter::once(("core", built_in::CORE)).chain(own)
}

/// Everything this switch honours, and what it accepts without effect.
#[must_use]
pub fn catalogue(modules: &Linked) -> Catalogue {
    let mut known = Catalogue::new();
    known.honour(Kind::Module, modules.names());
    known.honour(Kind::Dialplan, ["XML", "inline"]);
    for app in modules.applications().flatten() {
        known.honour_owned(Kind::Application, [(app.name, app.module)]);
        known.declare_idle(Kind::Application, app.effect.why_none().map(|why| (app.name, why)));
    }
    for api in modules.commands().flatten() {
        known.honour_owned(Kind::Api, [(api.name, api.module)]);
        known.declare_idle(Kind::Api, api.effect.why_none().map(|why| (api.name, why)));
    }
    for (module, provides) in declared(modules) {
        let endpoints = provides.endpoints.iter().map(|kind| kind.name);
        let resolved = provides.resolver.map_or(&[][..], |resolver| resolver.names());
        let endpoints = endpoints.chain(resolved.iter().copied());
        known.honour_owned(Kind::Endpoint, endpoints.map(|name| (name, module)));
        known.honour(Kind::Dialplan, provides.dialplans.iter().map(|kind| kind.name));
        provides.parameters.iter().for_each(|table| known.declare_parameters(table));
        provides.variables.iter().for_each(|list| known.declare_variables(list));
    }
    known.complete();
    known
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dialplan_xml::catalogue::Support;

    use super::*;
    use crate::linked::linked;

    #[test]
    fn no_declaration_is_made_twice_and_each_says_something() {
        let mut seen = BTreeSet::new();
        for (module, provides) in declared(&linked()) {
            for table in provides.parameters {
                for parameter in table.list {
                    let key = (table.file, table.scope, parameter.name);
                    assert!(seen.insert(key), "{key:?} is declared twice");
                    assert!(parameter.doc.len() > 3, "{key:?} says nothing");
                    assert!(!parameter.doc.ends_with('.'), "{key:?}: no full stop");
                }
            }
            for variable in provides.variables.iter().copied().flatten() {
                let key = ("variable", module, variable.name);
                assert!(seen.insert(key), "{key:?} is declared twice");
                assert!(variable.doc.len() > 3, "{key:?} says nothing");
            }
            for event in provides.events.iter().copied().flatten() {
                assert!(seen.insert(("event", "", event.name)), "{} is declared twice", event.name);
            }
        }
    }

    #[test]
    fn names_are_judged_by_what_this_switch_does() {
        let known = catalogue(&linked());
        assert_eq!(known.support(Kind::Application, "answer"), Support::Honoured);
        assert_eq!(known.support(Kind::Application, "skinny-drop"), Support::Unavailable);
        assert_eq!(known.support(Kind::Application, "answr"), Support::Unknown);
        assert_eq!(known.param("switch.conf", "", "loglevel"), Some(Support::Honoured));
        assert_eq!(known.param("switch.conf", "", "tipping-point"), Some(Support::Accepted));
        assert_eq!(known.param("switch.conf", "", "loglevle"), Some(Support::Unknown));
        assert_eq!(known.param("sofia.conf", "profile", "hold-music"), Some(Support::Accepted));
        assert_eq!(known.param("xml_curl.conf", "", "cookie-file"), Some(Support::Accepted));
    }
}
