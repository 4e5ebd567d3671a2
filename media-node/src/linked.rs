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

    use switch_core::app::Argument;

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

    /// Every application and command: its kind, its name, what it says of its argument, and what it declares.
    fn arguments() -> Vec<(&'static str, &'static str, String, Argument)> {
        let linked = linked();
        let says = |syntax: &str, description: &str| format!("{syntax} {description}");
        let apps = linked
            .applications()
            .flatten()
            .map(|app| ("application", app.name, says(app.syntax, app.description), app.argument));
        let apis = linked
            .commands()
            .flatten()
            .map(|api| ("api", api.name, says(api.syntax, api.description), api.argument));
        apps.chain(apis).collect()
    }

    /// What the help for an argument says has to be declared too: nobody adds another interpreter, or another way to write
    /// files, whose far ends' words are taken as they come.
    #[test]
    fn arguments_that_run_or_name_files_are_declared_so() {
        // They take their argument apart, and each file in it for a path.
        let lists = ["playback", "loop_playback", "endless_playback", "http_put"];
        // Without effect.
        let idle = ["video_write_overlay", "stop_video_write_overlay", "detect_speech"];
        for (kind, name, says, argument) in arguments() {
            let has = |words: &[&str]| words.iter().any(|word| says.contains(word));
            let scripts = says.contains("<script>");
            let shells = has(&["system command", "spawn command"]);
            let paths = has(&["<path>", "<file>", "<filename>", "<from_path>"]);
            assert!(
                !scripts || argument.is_run() && argument.stays_marked(),
                "{kind} {name}: {says}"
            );
            assert!(!shells || argument.is_shell(), "{kind} {name}: {says}");
            let excused = lists.contains(&name) || idle.contains(&name);
            assert!(!paths || argument.is_path() || excused, "{kind} {name}: {says}");
        }
    }

    #[test]
    fn a_far_end_s_words_stay_words_in_all_that_is_run() {
        let hostile = format!("x {}", base::far::mark("'; touch y\"$(id)"));
        let mut runs = BTreeSet::new();
        for (_, name, _, argument) in arguments().iter().filter(|(.., argument)| argument.is_run())
        {
            let fit = argument.fit(&hostile);
            match argument.is_shell() {
                true => {
                    assert!(base::far::plain(&fit).starts_with("x \\'\\;\\ touch"), "{name}: {fit}")
                }
                // Whoever runs it sees what is a far end's, and refuses it.
                false => assert!(base::far::is_marked(&fit) && argument.stays_marked(), "{name}"),
            }
            runs.insert(*name);
        }
        #[cfg(all(feature = "lua", feature = "javascript"))]
        assert_eq!(
            runs.into_iter().collect::<Vec<_>>(),
            [
                "bg_spawn",
                "bg_system",
                "bgsystem",
                "javascript",
                "jsapi",
                "json",
                "jsrun",
                "lua",
                "luarun",
                "spawn",
                "spawn_stream",
                "system"
            ]
        );
    }
}
