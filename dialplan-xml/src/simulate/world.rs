//! What a call on paper finds around it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::Caller;
use super::menu::{Menu, Menus};
use crate::Tree;
use crate::acl::{AclSet, LocalNet};
use crate::config::AclConf;
use crate::directory::Directory;

/// Answers an API command for a call on paper, or says nothing.
pub type Answers = dyn Fn(&str, &str, &mut Caller) -> Option<String> + Send + Sync;

/// Says why an application cannot run, if it cannot: it is not available, or its module is not loaded.
pub type Refusal = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Menus, access lists, and the source of answers to API commands. Cheap to clone; the default is an empty
/// world, in which commands have no answer and no address is refused.
#[derive(Clone, Default)]
pub struct World {
    menus: Menus,
    acl: Option<Arc<AclSet>>,
    answers: Option<Arc<Answers>>,
    refusal: Option<Arc<Refusal>>,
}

impl World {
    /// The world a configuration describes.
    pub fn read(tree: &Tree, directory: &Directory, local: &LocalNet) -> Self {
        let conf = AclConf::read(tree.configuration("acl.conf"));
        let (acl, _) = AclSet::build(&conf, directory, local);
        Self { menus: Menus::read(tree), acl: Some(Arc::new(acl)), answers: None, refusal: None }
    }

    /// The same with a source of answers to API commands.
    #[must_use]
    pub fn answering(mut self, answers: Arc<Answers>) -> Self {
        self.answers = Some(answers);
        self
    }

    /// The same with a judge of which applications cannot run.
    #[must_use]
    pub fn refusing(mut self, refusal: Arc<Refusal>) -> Self {
        self.refusal = Some(refusal);
        self
    }

    /// Why an application cannot run, if it cannot.
    pub(super) fn refuses(&self, application: &str) -> Option<String> {
        self.refusal.as_ref()?(application)
    }

    pub(super) fn menu(&self, name: &str) -> Option<&Menu> {
        self.menus.get(name)
    }

    /// Whether an address is in a list; `None` when nothing is known about lists.
    pub(super) fn allows(&self, list: &str, ip: IpAddr) -> Option<bool> {
        Some(self.acl.as_ref()?.check(list, ip))
    }

    pub(super) fn answer(&self, command: &str, args: &str, caller: &mut Caller) -> Option<String> {
        let answered = self.answers.as_ref().and_then(|a| a(command, args, caller));
        answered.or_else(|| {
            let (ip, list) =
                args.split_once(' ').filter(|_| command.eq_ignore_ascii_case("acl"))?;
            let listed = self.allows(list.trim(), ip.trim().parse().ok()?)?;
            Some(listed.to_string())
        })
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}
