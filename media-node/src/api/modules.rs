//! `module_exists`, `load`, `unload`, `reload`.

use super::{Api, ApiCall, net, usage};
use crate::api;
use crate::modules::{self, HERE};

/// The family.
pub const APIS: &[Api] = &[
    api!("load", "mod_commands", LOAD, "Load Module", async load),
    api!("module_exists", "mod_commands", "<module>", "Check if module exists", module_exists),
    api!("reload", "mod_commands", UNLOAD, "Reload module", async reload),
    api!("unload", "mod_commands", UNLOAD, "Unload module", unload),
];

const LOAD: &str = "<mod_name>";
const UNLOAD: &str = "[-f] <mod_name>";

/// The name of a module, however it was written.
fn named(args: &str) -> &str {
    let args = args.trim();
    let name = args.strip_prefix("-f").map_or(args, str::trim);
    name.trim_end_matches(".so")
}

fn module_exists(call: &ApiCall) -> String {
    let name = named(&call.args);
    if name.is_empty() {
        return String::new();
    }
    call.switch.modules().is_loaded(name).to_string()
}

fn loaded(call: &ApiCall, name: &str) -> Result<(), &'static str> {
    if call.switch.modules().is_loaded(name) {
        return Err("Module already loaded");
    }
    if !HERE.contains(&name) {
        return Err("module load file routine returned an error");
    }
    if modules::load(&call.switch, name) {
        Ok(())
    } else {
        Err("module load routine returned an error")
    }
}

async fn load(call: ApiCall) -> String {
    let name = named(&call.args);
    if name.is_empty() {
        return usage(LOAD);
    }
    let (status, done) = net::reload(&call).await;
    let reloaded =
        if done { "+OK Reloading XML\n".to_owned() } else { format!("-ERR [{status}]\n") };
    match loaded(&call, name) {
        Ok(()) => format!("{reloaded}+OK\n"),
        Err(reason) => format!("{reloaded}-ERR [{reason}]\n"),
    }
}

/// Why a module cannot go: what is built in stays.
fn refusal(call: &ApiCall, name: &str) -> &'static str {
    if call.switch.modules().is_loaded(name) {
        "Module is not unloadable"
    } else {
        "No such module!"
    }
}

fn unload(call: &ApiCall) -> String {
    let name = named(&call.args);
    if name.is_empty() {
        return usage(UNLOAD);
    }
    format!("-ERR [{}]\n", refusal(call, name))
}

/// Modules that hold connections of their own: reading their settings anew is not enough.
const KEEPS_STATE: &[&str] = &["mod_sofia", "mod_event_socket"];

async fn reload(call: ApiCall) -> String {
    let name = named(&call.args);
    if name.is_empty() {
        return usage(UNLOAD);
    }
    let (status, done) = net::reload(&call).await;
    let reloaded =
        if done { "+OK Reloading XML\n".to_owned() } else { format!("-ERR [{status}]\n") };
    // Modules that follow the configuration have been reloaded with it.
    if call.switch.modules().is_loaded(name) && !KEEPS_STATE.contains(&name) {
        if !modules::configure(&call.switch, name) {
            call.switch.modules().unload(name);
            return format!(
                "{reloaded}+OK module unloaded\n-ERR loading module [module load routine returned an error]\n"
            );
        }
        return format!("{reloaded}+OK module unloaded\n+OK module loaded\n");
    }
    let second = match loaded(&call, name) {
        Ok(()) => "+OK module loaded\n".to_owned(),
        Err(reason) => format!("-ERR loading module [{reason}]\n"),
    };
    format!("{reloaded}-ERR unloading module [{}]\n{second}", refusal(&call, name))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_module_may_be_named_like_its_file() {
        assert_eq!(super::named(" -f mod_x.so "), "mod_x");
        assert_eq!(super::named("mod_x"), "mod_x");
        assert_eq!(super::named(""), "");
    }
}
