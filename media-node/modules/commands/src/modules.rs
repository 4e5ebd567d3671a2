//! `module_exists`, `load`, `unload`, `reload`.

use super::{Api, ApiCall, net, usage};
use crate::api;
use switch_core::modules;

/// The family.
pub const APIS: &[Api] = &[
    api!("load", "mod_commands", LOAD, "Load Module", async load),
    api!("module_exists", "mod_commands", "<module>", "Check if module exists", module_exists),
    api!("reload", "mod_commands", UNLOAD, "Reload module", async reload),
    api!("unload", "mod_commands", UNLOAD, "Unload module", async unload),
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

async fn loaded(call: &ApiCall, name: &str) -> Result<(), &'static str> {
    if call.switch.modules().is_loaded(name) {
        return Err("Module already loaded");
    }
    if call.switch.linked().find(name).is_none() {
        return Err("module load file routine returned an error");
    }
    if !modules::load(&call.switch, name).await {
        return Err("module load routine returned an error");
    }
    modules::start(&call.switch, name).await;
    Ok(())
}

async fn load(call: ApiCall) -> String {
    let name = named(&call.args);
    if name.is_empty() {
        return usage(LOAD);
    }
    let reloaded = reload_xml(&call).await;
    match loaded(&call, name).await {
        Ok(()) => format!("{reloaded}+OK\n"),
        Err(reason) => format!("{reloaded}-ERR [{reason}]\n"),
    }
}

/// Reads the configuration anew, as these commands do first; what is said of it.
async fn reload_xml(call: &ApiCall) -> String {
    let crate::config::Reloaded { status, serves: done, .. } = net::reload(call).await;
    if done { "+OK Reloading XML\n".to_owned() } else { format!("-ERR [{status}]\n") }
}

async fn unload(call: ApiCall) -> String {
    let name = named(&call.args);
    if name.is_empty() {
        return usage(UNLOAD);
    }
    match modules::unload(&call.switch, name).await {
        Ok(()) => "+OK\n".into(),
        Err(reason) => format!("-ERR [{reason}]\n"),
    }
}

async fn reload(call: ApiCall) -> String {
    let name = named(&call.args);
    if name.is_empty() {
        return usage(UNLOAD);
    }
    let reloaded = reload_xml(&call).await;
    let first = match modules::unload(&call.switch, name).await {
        Ok(()) => "+OK module unloaded\n".to_owned(),
        Err(reason) => format!("-ERR unloading module [{reason}]\n"),
    };
    let second = match loaded(&call, name).await {
        Ok(()) => "+OK module loaded\n".to_owned(),
        Err(reason) => format!("-ERR loading module [{reason}]\n"),
    };
    format!("{reloaded}{first}{second}")
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
