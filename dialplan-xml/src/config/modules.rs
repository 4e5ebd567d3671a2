//! Which modules to load.

use crate::text::is_true;
use crate::{Node, Place};

/// `modules.conf`, and `pre_load_modules.conf` and `post_load_modules.conf`, which look the same.
#[derive(Clone, Debug, Default)]
pub struct ModulesConf {
    /// Modules in load order.
    pub modules: Vec<ModuleLoad>,
}

/// One `<load>`.
#[derive(Clone, Debug)]
pub struct ModuleLoad {
    /// Name as written.
    pub module: String,
    /// `path` attribute.
    pub path: Option<String>,
    /// Whether start-up stops when it fails.
    pub critical: bool,
    /// Where it is written.
    pub place: Place,
}

impl ModulesConf {
    /// Reads the element; see [`crate::config`].
    pub fn read(conf: Option<Node<'_>>) -> Self {
        let list = conf.and_then(|c| c.child("modules"));
        let loads = list.into_iter().flat_map(|l| l.children_named("load"));
        let modules = loads.filter_map(|load| {
            let module = load.attr("module").filter(|m| !m.is_empty())?;
            Some(ModuleLoad {
                module: module.to_owned(),
                path: load.attr("path").map(str::to_owned),
                critical: load.attr("critical").is_some_and(is_true),
                place: load.attr_place("module"),
            })
        });
        Self { modules: modules.collect() }
    }
}
