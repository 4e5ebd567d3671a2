//! XML that comes from elsewhere (mod_xml_curl): asked before the static files.
//!
//! Everything that looks something up in the XML registry on behalf of a call or a command comes here. Bindings are
//! asked in the order they are written; the first that answers with a document decides. A document without the
//! element looked for sends the lookup to the static files; one that has the domain but not the user does not.

pub mod api;
pub mod binding;
pub mod cache;
pub mod gate;
pub mod http;
pub mod lookup;
pub mod request;
pub mod stats;
pub mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use dialplan_xml::config::XmlCurlConf;

use crate::switch::Switch;
pub use binding::Binding;
pub use lookup::{
    FoundUser, Unanswered, configuration, dialplan, directory, find_user, find_user_by, locate,
    section, whole_directory,
};
pub(crate) use lookup::{configuration_as, directory_as};
pub use request::Lookup;

/// The bindings in use, and what is kept of their answers.
#[derive(Default)]
pub struct Bindings {
    all: ArcSwap<Vec<Arc<Binding>>>,
    users: cache::Users,
    debug: AtomicBool,
}

impl Bindings {
    /// Would anybody be asked in this section? Spares the making of parameters.
    #[must_use]
    pub fn serve(&self, section: &str) -> bool {
        self.all.load().iter().any(|binding| binding.serves(section))
    }

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

    /// Asks nobody any more.
    pub fn clear(&self) {
        self.all.store(Arc::default());
    }

    /// `xml_curl debug_on`: responses are kept in files.
    pub fn set_debug(&self, on: bool) {
        self.debug.store(on, Ordering::Relaxed);
    }

    fn debug_file(&self, switch: &Switch) -> Option<PathBuf> {
        let on = self.debug.load(Ordering::Relaxed);
        on.then(|| switch.dirs.temp_dir.join(format!("{}.tmp.xml", crate::clock::new_uuid())))
    }

    /// What became of the lookups of each binding.
    #[must_use]
    pub fn report(&self) -> String {
        self.all.load().iter().map(|binding| binding.report()).collect()
    }

    /// `xml_flush_cache`: forgets kept users, or one. Returns how many.
    pub fn flush_users(&self, which: Option<(&str, &str, Option<&str>)>) -> usize {
        self.users.flush(which)
    }
}

/// Takes `xml_curl.conf` into use. False (with the reason logged) if there is no usable binding in it.
pub fn start(switch: &Switch) -> bool {
    let config = switch.config.load_full();
    let conf = config.tree.configuration("xml_curl.conf");
    if conf.is_none() {
        tracing::error!("open of xml_curl.conf failed");
        return false;
    }
    let usable = switch.xml.configure(XmlCurlConf::read(conf));
    if !usable {
        switch.xml.clear();
        tracing::error!("xml_curl.conf: no usable binding");
    }
    usable
}
