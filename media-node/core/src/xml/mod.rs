//! Where XML comes from: sources that modules bind are asked before the static files.
//!
//! Everything that looks something up in the XML registry on behalf of a call or a command comes here. Sources are
//! asked in the order in which their modules were loaded; the first that answers with a document decides. A document
//! without the element looked for sends the lookup to the static files; one that has the domain but not the user does
//! not.

pub mod cache;
mod files;
mod lookup;
mod request;

use std::sync::Arc;

use arc_swap::ArcSwap;
use dialplan_xml::Tree;

use crate::BoxFuture;
use crate::switch::Switch;
pub use files::DialplanFiles;
pub use lookup::{
    FoundUser, ask_for_user, configuration, configuration_as, dialplan, directory, directory_as,
    find_user, find_user_by, locate, read_configuration, section, whole_directory,
};
pub use request::Lookup;

/// A source that would have been asked could not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

/// Somewhere XML comes from.
pub trait XmlSource: Send + Sync + 'static {
    /// Would anybody be asked in this section (`configuration`, `directory`, `dialplan`, …)?
    fn serves(&self, section: &str) -> bool;

    /// Asks. `None` when it does not know: the next source's turn.
    ///
    /// # Errors
    /// [`Unanswered`] when it cannot be asked, or says nothing that can be used.
    fn ask<'a>(
        &'a self,
        switch: &'a Arc<Switch>,
        lookup: &'a Lookup<'a>,
    ) -> BoxFuture<'a, Result<Option<Tree>, Unanswered>>;
}

/// The static files, as they were last read.
pub struct LocalTree(pub Tree);

impl XmlSource for LocalTree {
    fn serves(&self, section: &str) -> bool {
        self.0.section(section).is_some()
    }

    fn ask<'a>(
        &'a self,
        _switch: &'a Arc<Switch>,
        lookup: &'a Lookup<'a>,
    ) -> BoxFuture<'a, Result<Option<Tree>, Unanswered>> {
        Box::pin(std::future::ready(Ok(lookup.is_in(&self.0).then(|| self.0.clone()))))
    }
}

/// The sources that modules have bound, and what is kept of their answers.
#[derive(Default)]
pub struct Sources {
    bound: ArcSwap<Vec<(&'static str, Arc<dyn XmlSource>)>>,
    users: cache::Users,
}

impl Sources {
    /// Would anybody beside the static files be asked in this section? Spares the making of parameters.
    #[must_use]
    pub fn serve(&self, section: &str) -> bool {
        self.bound.load().iter().any(|(_, source)| source.serves(section))
    }

    /// Binds a source of a module.
    pub fn add(&self, module: &'static str, source: Arc<dyn XmlSource>) {
        self.bound.rcu(|bound| {
            let mut bound = Vec::clone(bound);
            bound.push((module, Arc::clone(&source)));
            bound
        });
    }

    /// Asks the sources of a module no more.
    pub fn remove(&self, module: &str) {
        self.bound.rcu(|bound| {
            let others = bound.iter().filter(|(of, _)| *of != module);
            others.cloned().collect::<Vec<_>>()
        });
    }

    /// `xml_flush_cache`: forgets kept users, or one. Returns how many.
    pub fn flush_users(&self, which: Option<(&str, &str, Option<&str>)>) -> usize {
        self.users.flush(which)
    }
}
