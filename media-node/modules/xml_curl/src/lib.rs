//! XML from web servers (mod_xml_curl). Bindings are asked in the order they are written.

#![deny(unsafe_code)]

// The core's rooms are known here by their own names.
use switch_core::*;

pub mod api;
pub mod binding;
pub mod form;
pub mod gate;
mod parameters;
pub mod responses;
pub mod stats;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use dialplan_xml::Tree;
use dialplan_xml::config::XmlCurlConf;

use crate::BoxFuture;
use crate::contract::{Module, NotLoaded, Provides};
use crate::switch::Switch;
use crate::xml::{Lookup, Unanswered, XmlSource};
use binding::Binding;

/// mod_xml_curl.
pub struct XmlCurl;

impl Module for XmlCurl {
    fn name(&self) -> &'static str {
        "mod_xml_curl"
    }

    fn provides(&self) -> Provides {
        Provides {
            commands: &[api::APIS],
            completions: "xml_curl debug_on\nxml_curl debug_off",
            parameters: parameters::PARAMETERS,
            xml_sources: &[|switch| switch.module::<Bindings>()],
            ..Provides::NOTHING
        }
    }

    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().tree.configuration("xml_curl.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        let usable = start(switch);
        Box::pin(std::future::ready(if usable { Ok(()) } else { Err(NotLoaded) }))
    }
}

/// The bindings in use.
#[derive(Default)]
pub struct Bindings {
    all: ArcSwap<Vec<Arc<Binding>>>,
    debug: AtomicBool,
}

impl XmlSource for Bindings {
    fn serves(&self, section: &str) -> bool {
        self.all.load().iter().any(|binding| binding.serves(section))
    }

    fn ask<'a>(
        &'a self,
        switch: &'a Arc<Switch>,
        lookup: &'a Lookup<'a>,
    ) -> BoxFuture<'a, Result<Option<Tree>, Unanswered>> {
        Box::pin(async move {
            let bindings = self.all.load_full();
            let mut nobody = Ok(None);
            for binding in bindings.iter().filter(|binding| binding.serves(lookup.section)) {
                match binding.ask(switch, lookup).await {
                    Ok(Some(tree)) => return Ok(Some(tree)),
                    Ok(None) => {}
                    Err(unanswered) => nobody = Err(unanswered),
                }
            }
            nobody
        })
    }
}

impl Bindings {
    /// Puts the bindings of a configuration in the place of those before. False if it has none that can be used.
    pub fn configure(&self, conf: XmlCurlConf) -> bool {
        let all: Vec<_> =
            conf.bindings.into_iter().filter_map(Binding::new).map(Arc::new).collect();
        let usable = !all.is_empty();
        if usable {
            self.all.store(Arc::new(all));
        }
        usable
    }

    /// Asks no server any more.
    pub fn clear(&self) {
        self.all.store(Arc::default());
    }

    /// `xml_curl debug_on`: responses are kept in files.
    pub fn set_debug(&self, on: bool) {
        self.debug.store(on, Ordering::Relaxed);
    }

    fn debug_file(&self, switch: &Switch) -> Option<PathBuf> {
        let on = self.debug.load(Ordering::Relaxed);
        on.then(|| switch.dirs.temp_dir.join(format!("{}.tmp.xml", clock::new_uuid())))
    }

    /// What became of the lookups of each binding.
    #[must_use]
    pub fn report(&self) -> String {
        self.all.load().iter().map(|binding| binding.report()).collect()
    }
}

/// Takes `xml_curl.conf` into use. False (with the reason logged) if there is no usable binding in it.
fn start(switch: &Switch) -> bool {
    let config = switch.config.load_full();
    let conf = config.tree.configuration("xml_curl.conf");
    if conf.is_none() {
        tracing::error!("open of xml_curl.conf failed");
        return false;
    }
    let bindings = switch.module::<Bindings>();
    let usable = bindings.configure(XmlCurlConf::read(conf));
    if !usable {
        bindings.clear();
        tracing::error!("xml_curl.conf: no usable binding");
    }
    usable
}
