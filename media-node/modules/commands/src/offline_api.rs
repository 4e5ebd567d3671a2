//! Answers of API commands to calls on paper (`explain`, `dialplan test`): those that only turn text
//! into text, ask the clock, the directory or the files. Nothing is changed or asked over
//! the network.

use std::collections::BTreeSet;
use std::path::Path;

use dialplan_xml::Host as _;
use dialplan_xml::directory::{Directory, User};
use dialplan_xml::expand::expand;
use dialplan_xml::simulate::Caller;

use crate::api::{Registry, Run};
use crate::contract::Linked;
use crate::text;
use crate::time::{strftime_at, strftime_tz_at};

/// What answers: a configuration.
pub struct OfflineApi {
    /// All commands.
    pub registry: Registry,
    /// Who there is.
    pub directory: Directory,
    /// Names of time zones.
    pub zones: dialplan_xml::config::TimezonesConf,
    /// Modules that are loaded.
    pub modules: BTreeSet<String>,
}

impl OfflineApi {
    /// The reply of a command, if it can be known on paper.
    #[must_use]
    pub fn answer(&self, command: &str, args: &str, caller: &mut Caller) -> Option<String> {
        let now = || caller.now.to_zoned(caller.zone.clone());
        Some(match command.to_ascii_lowercase().as_str() {
            "strftime" => strftime_at(args, now()),
            "strftime_tz" => strftime_tz_at(args, now(), &self.zones),
            "strepoch" if args.trim().is_empty() => now().timestamp().as_second().to_string(),
            "strmicroepoch" if args.trim().is_empty() => {
                now().timestamp().as_microsecond().to_string()
            }
            "module_exists" => self.modules.contains(args.trim()).to_string(),
            "file_exists" => Path::new(args.trim()).exists().to_string(),
            "hostname" => caller.global("hostname")?,
            "global_getvar" => caller.global(args.trim()).unwrap_or_default(),
            "eval" => expand(args, caller),
            "expand" => {
                let args = expand(args, caller);
                let (command, args) = args.split_once(' ').unwrap_or((&args, ""));
                base::at_once(caller.api(command, args))??
            }
            "domain_exists" => self.directory.find_domain(args.trim()).is_some().to_string(),
            "user_exists" => self.found(args).is_some().to_string(),
            "user_data" => self.user_data(args, caller),
            _ => match self.registry.find(command)?.code {
                Run::Text(code) => code(args),
                _ => return None,
            },
        })
    }

    /// `key user domain`.
    fn found(&self, args: &str) -> Option<User> {
        let words = text::words(args, 3);
        let [key, user, domain] = words.as_slice() else { return None };
        self.directory.find_user_by(key, user, domain, None)
    }

    /// `user[@domain] attr|param|var name`.
    fn user_data(&self, args: &str, caller: &Caller) -> String {
        let words = text::words(args, 3);
        let [address, kind, name] = words.as_slice() else { return String::new() };
        let default = caller.global("domain").unwrap_or_default();
        let (user, domain) = address.split_once('@').unwrap_or((address, &default));
        let found = self.directory.find_user(user, domain);
        found.and_then(|user| user.lookup(kind, name).map(str::to_owned)).unwrap_or_default()
    }
}

/// Modules a configuration loads here; a list without modules means all of them.
#[must_use]
pub fn loaded_modules(tree: &dialplan_xml::Tree, linked: &Linked) -> BTreeSet<String> {
    let listed = ["pre_load_modules.conf", "modules.conf", "post_load_modules.conf"]
        .iter()
        .flat_map(|file| dialplan_xml::config::ModulesConf::read(tree.configuration(file)).modules)
        .map(|load| load.module)
        .collect::<BTreeSet<_>>();
    let here = linked.names().into_iter().map(str::to_owned);
    here.filter(|name| listed.is_empty() || listed.contains(name)).collect()
}
