//! `explain`: why a call that is up would go where it goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use dialplan_xml::Host as _;
use dialplan_xml::config::TimezonesConf;
use dialplan_xml::dialplan::PROFILE_FIELDS;
use dialplan_xml::explain::explain;
use dialplan_xml::simulate::{Caller, World};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Api, ApiCall, Registry, usage};
use crate::call::Channel;
use crate::offline_api::OfflineApi;
use crate::switch::Switch;
use crate::{api, config};

/// The family.
pub const APIS: &[Api] =
    &[api!("explain", "mod_dialplan_xml", SYNTAX, "Explain a dialplan decision", explain_call)];

const SYNTAX: &str = "[-v] [-json] <uuid> [<destination> [<context>]]|media <uuid>";

/// Commands that only look at what the running switch knows.
const LOOKING: &[&str] = &[
    "acl",
    "domain_data",
    "domain_exists",
    "group_call",
    "in_group",
    "limit_usage",
    "reg_url",
    "sofia_contact",
    "sofia_count_reg",
    "sofia_username_of",
    "user_data",
    "user_exists",
    "uuid_exists",
    "uuid_getvar",
    "valet_info",
];

/// The decision is made for a copy of the call: nothing about the call changes, nothing is run but
/// commands that only look.
fn explain_call(call: &ApiCall) -> String {
    let words = call.words(5);
    let (options, words): (Vec<_>, Vec<_>) =
        words.into_iter().partition(|word| matches!(word.as_str(), "-v" | "-json"));
    let given = |option: &str| options.iter().any(|word| word == option);
    if let [what, uuid] = &words[..]
        && what == "media"
    {
        return match call.switch.channel(uuid) {
            Some(channel) => super::explain_media::told(&channel),
            None => "-ERR No such channel!\n".into(),
        };
    }
    let Some(uuid) = words.first().filter(|w| !w.is_empty()) else { return usage(SYNTAX) };
    let Some(channel) = call.switch.channel(uuid) else { return "-ERR No such channel!\n".into() };
    let mut caller = on_paper(&channel);
    for (name, word) in ["destination_number", "context"].iter().zip(words.iter().skip(1)) {
        caller.set_field(name, word);
    }
    let dialplan = Arc::clone(&call.switch.config.load().dialplan);
    let explanation = explain(&dialplan, &mut caller);
    if given("-json") {
        return format!("{:#}\n", explanation.to_json());
    }
    explanation.to_text(given("-v"))
}

fn on_paper(channel: &Channel) -> Caller {
    let switch = channel.switch();
    let mut caller = Caller::new("", "default");
    for name in PROFILE_FIELDS {
        if let Some(value) = channel.field(name) {
            caller.set_field(name, &value);
        }
    }
    let vars = channel.vars();
    for (name, _) in vars.iter() {
        caller.set_variable(name, channel.var(name).as_deref());
    }
    caller.globals = switch.globals();
    caller.now = Timestamp::now();
    caller.zone = TimeZone::system();
    caller.world = world(switch);
    caller
}

/// The running configuration, and the commands that look at the running switch.
fn world(switch: &Arc<Switch>) -> World {
    let serving = switch.config.load_full();
    let offline = OfflineApi {
        registry: Registry::of(switch.linked().commands()),
        directory: (*serving.directory).clone(),
        zones: TimezonesConf::read(serving.document("timezones.conf")),
        modules: loaded(switch),
    };
    let local = config::local_net(&switch.globals());
    let asked = Arc::clone(switch);
    let refusal = move |application: &str| {
        asked.app(application).is_none().then(|| "no module that is loaded has it".to_owned())
    };
    let switch = Arc::clone(switch);
    let answers = move |command: &str, args: &str, caller: &mut Caller| {
        look(&switch, command, args).or_else(|| offline.answer(command, args, caller))
    };
    World::read(&serving.tree, &serving.directory, &local)
        .answering(Arc::new(answers))
        .refusing(Arc::new(refusal))
}

fn loaded(switch: &Switch) -> BTreeSet<String> {
    switch.loaded_modules().iter().map(|module| module.name().to_owned()).collect()
}

fn look(switch: &Arc<Switch>, command: &str, args: &str) -> Option<String> {
    let first = args.split(['/', ' ']).next().unwrap_or_default();
    let reads = matches!(command, "hash" | "db") && matches!(first, "select" | "exists");
    if !reads && !LOOKING.contains(&command) {
        return None;
    }
    let call = ApiCall::new(Arc::clone(switch), command, args, None);
    // None of these waits for anything.
    base::at_once(switch.apis.find(command)?.run(call))
}
