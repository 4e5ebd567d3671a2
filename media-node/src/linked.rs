//! The modules that are part of this switch.

use switch_core::contract::{Linked, Module};

/// One line for each module, or for each folder of modules.
const MODULES: &[&[&dyn Module]] = &[
    crate::built_in::MODULES,
    &[&mod_amqp::Amqp],
    mod_analysis::MODULES,
    mod_audio_streams::MODULES,
    &[&mod_callcenter::MODULE],
    mod_cdr::MODULES,
    mod_commands::MODULES,
    &[&mod_conference::MODULE],
    mod_curl::MODULES,
    &[&mod_dialplan_asterisk::MODULE],
    mod_dptools::MODULES,
    &[&mod_directory::MODULE],
    &[&mod_enum::Enum],
    &[&mod_event_socket::MODULE],
    &[&mod_fifo::MODULE],
    mod_hash_db::MODULES,
    #[cfg(feature = "hiredis")]
    &[&mod_hiredis::MODULE],
    &[&mod_httapi::Httapi],
    mod_http_api::MODULES,
    &[&mod_loopback::MODULE],
    #[cfg(feature = "lua")]
    &[&mod_lua::MODULE],
    &[&mod_media_quality::MODULE],
    &[&mod_opentelemetry::MODULE],
    mod_routing::MODULES,
    &[&mod_sofia::SofiaModule],
    &[&mod_spandsp::MODULE],
    mod_speech::MODULES,
    #[cfg(feature = "javascript")]
    &[&mod_v8::MODULE],
    &[&mod_verto::Verto],
    mod_voicemail::MODULES,
    &[&mod_watchdog::MODULE],
    &[&mod_xml_curl::XmlCurl],
];

/// All of them.
#[must_use]
pub fn linked() -> Linked {
    Linked::new(MODULES)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn whatever_names_a_module_names_one_that_is_linked() {
        let linked = linked();
        let names = linked.names();
        let apps = linked.applications().flatten().map(|app| (app.name, app.module));
        let apis = linked.commands().flatten().map(|api| (api.name, api.module));
        for (entry, module) in apps.chain(apis) {
            assert!(names.contains(module), "{entry} is of {module}");
        }
    }

    #[test]
    fn no_name_is_given_twice() {
        let linked = linked();
        assert_eq!(linked.names().len(), linked.iter().count());
        let mut seen = BTreeSet::new();
        for app in linked.applications().flatten() {
            assert!(seen.insert(("application", app.name)), "{} is there twice", app.name);
        }
        for api in linked.commands().flatten() {
            assert!(seen.insert(("api", api.name)), "{} is there twice", api.name);
        }
        for module in linked.iter() {
            for endpoint in module.provides().endpoints {
                assert!(seen.insert(("endpoint", endpoint.name)), "{}", endpoint.name);
            }
        }
    }
}
