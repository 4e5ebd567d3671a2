//! A configuration as calls on paper find it.

use super::{Caller, World};
use crate::acl::LocalNet;
use crate::dialplan::Dialplan;
use crate::directory::{Directory, User};
use crate::{Globals, Tree};

/// Everything of a configuration that calls on paper meet.
#[derive(Clone, Default)]
pub struct Setting {
    /// What decides.
    pub dialplan: Dialplan,
    /// Who calls.
    pub directory: Directory,
    /// Global variables.
    pub globals: Globals,
    /// Menus, access lists, answers.
    pub world: World,
}

impl Setting {
    /// The setting a document and its global variables make.
    pub fn read(tree: &Tree, globals: Globals, local: &LocalNet) -> Self {
        let directory = Directory::compile(tree);
        let world = World::read(tree, &directory, local);
        Self { dialplan: Dialplan::compile(tree).0, directory, globals, world }
    }

    /// A call to a number in a context.
    pub fn caller(&self, number: &str, context: &str) -> Caller {
        let mut caller = Caller::new(number, context);
        caller.globals = self.globals.clone();
        caller.world = self.world.clone();
        caller
    }

    /// A user, as `name@domain`, or as `name` of the domain that is the default one, or the only
    /// one.
    pub fn user(&self, name: &str) -> Option<User> {
        if let Some((user, domain)) = name.rsplit_once('@') {
            return self.directory.find_user(user, domain);
        }
        let default = self.globals.get("domain").map(str::to_owned);
        let first = self.directory.domains().next().map(|d| d.name.to_string());
        let domains = default.into_iter().chain(first);
        domains.into_iter().find_map(|domain| self.directory.find_user(name, &domain))
    }
}
