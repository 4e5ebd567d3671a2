//! What this crate's modules provide: the commands everybody expects.

use crate::contract::{Module, Plain, Provides};
use crate::guesses;
use crate::modules;
use crate::{
    audit, console, control, directory, explain, expr, fsctl, json, net, originate, regex, sched,
    show, status, strings, system, time, uuid, vars, why,
};

pub const MODULES: &[&dyn Module] = &[
    &Plain::new(
        "mod_commands",
        Provides {
            commands: &[
                audit::APIS,
                console::APIS,
                control::APIS,
                directory::APIS,
                explain::APIS,
                expr::APIS,
                fsctl::APIS,
                guesses::APIS,
                json::APIS,
                modules::APIS,
                net::APIS,
                originate::APIS,
                regex::APIS,
                sched::APIS,
                show::APIS,
                status::APIS,
                strings::APIS,
                system::APIS,
                time::APIS,
                uuid::digits::APIS,
                uuid::flow::APIS,
                uuid::media::APIS,
                uuid::signal::APIS,
                uuid::vars::APIS,
                vars::APIS,
                why::APIS,
            ],
            completions: include_str!("completions.txt"),
            name_lists: console::NAME_LISTS,
            idle: fsctl::IDLE,
            readings: &[net::readings],
            ..Provides::NOTHING
        },
    )
    .staying(),
    &Plain::new(
        "mod_console",
        Provides {
            completions: console::CONSOLE_LINES,
            parameters: switch_log::CONSOLE,
            ..Provides::NOTHING
        },
    ),
    &Plain::new("mod_expr", Provides::NOTHING),
];
