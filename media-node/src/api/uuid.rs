//! `uuid_kill`, `uuid_exists`, `create_uuid`: the shortest commands about one call.

use super::{Api, ApiCall, usage};
use crate::api;
use crate::call::Cause;

/// The family.
pub const APIS: &[Api] = &[
    api!("create_uuid", "mod_commands", "", "Create a uuid", create),
    api!("uuid_exists", "mod_commands", "<uuid>", "Check if a uuid exists", exists),
    api!("uuid_kill", "mod_commands", KILL, "Kill channel", kill),
];

const KILL: &str = "<uuid> [cause]";

fn create(_call: &ApiCall) -> String {
    crate::clock::new_uuid()
}

fn exists(call: &ApiCall) -> String {
    call.switch.channel(call.args.trim()).is_some().to_string()
}

fn kill(call: &ApiCall) -> String {
    let words = call.words(2);
    let Some(uuid) = words.first() else { return usage(KILL) };
    let Some(channel) = call.switch.channel(uuid) else { return "-ERR No such channel!\n".into() };
    channel.hangup(words.get(1).map_or(Cause::NORMAL_CLEARING, |name| Cause::parse(name)));
    "+OK\n".into()
}
