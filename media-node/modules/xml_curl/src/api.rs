//! `xml_curl`: responses kept for a look, and how the bindings do.

use super::Bindings;
use switch_core::api;
use switch_core::api::{Api, ApiCall};

/// The family.
pub const APIS: &[Api] = &[api!("xml_curl", "mod_xml_curl", SYNTAX, "XML Curl", xml_curl)];

const SYNTAX: &str = "[debug_on|debug_off|status]";

fn xml_curl(call: &ApiCall) -> String {
    match call.args.to_ascii_lowercase().as_str() {
        "debug_on" => call.switch.module::<Bindings>().set_debug(true),
        "debug_off" => call.switch.module::<Bindings>().set_debug(false),
        "status" => return call.switch.module::<Bindings>().report(),
        _ => return format!("USAGE: {SYNTAX}\n"),
    }
    "OK\n".into()
}
