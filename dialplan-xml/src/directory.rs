//! The directory: domains, groups, users.

use std::sync::Arc;

use crate::config::Params;
use crate::{Element, Place, Tree};

/// Every domain of a document, indexed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Directory {}

/// One domain.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Its name as written.
    pub name: Arc<str>,
    /// Domain-wide params.
    pub params: Params,
    /// Domain-wide variables.
    pub variables: Params,
    /// Groups in document order.
    pub groups: Vec<Group>,
    /// Where it is written.
    pub place: Place,
}

/// One group of a domain.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: Arc<str>,
    /// Group-wide params.
    pub params: Params,
    /// Group-wide variables.
    pub variables: Params,
    /// Members in document order: ids, whether or not they are pointers.
    pub members: Vec<Member>,
}

/// A `<user>` element inside a group.
#[derive(Clone, Debug)]
pub struct Member {
    /// The user id.
    pub id: Arc<str>,
    /// `type="pointer"`: the user is described elsewhere.
    pub pointer: bool,
}

/// A user with what the group and the domain add (user > group > domain).
#[derive(Clone, Debug)]
pub struct User {
    /// `id` attribute.
    pub id: Arc<str>,
    /// Domain name as looked up.
    pub domain: Arc<str>,
    /// Group it was found in, if any.
    pub group: Option<Arc<str>>,
    /// Attributes of the element.
    pub attrs: Vec<(String, String)>,
    /// Merged params.
    pub params: Params,
    /// Merged variables.
    pub variables: Params,
    /// Merged profile variables.
    pub profile_variables: Params,
    /// Whether the element found is a pointer (it has no credentials then).
    pub pointer: bool,
    /// Where it is written.
    pub place: Place,
}

impl Directory {
    /// Indexes the `directory` section of a document.
    pub fn compile(tree: &Tree) -> Self {
        let _ = tree;
        Self::default()
    }

    /// Domains in document order.
    pub fn domains(&self) -> impl Iterator<Item = &Domain> {
        std::iter::empty()
    }

    /// A domain by name, case-insensitive.
    pub fn find_domain(&self, name: &str) -> Option<&Domain> {
        let _ = name;
        None
    }

    /// A user by id or number alias.
    pub fn find_user(&self, user: &str, domain: &str) -> Option<User> {
        self.find_user_by("id", user, domain, None)
    }

    /// A user by any attribute (`id`, `number-alias`, …; a colon list is tried in order), with the
    /// address of the asker for users found by `ip`.
    pub fn find_user_by(
        &self,
        key: &str,
        value: &str,
        domain: &str,
        ip: Option<&str>,
    ) -> Option<User> {
        let _ = (key, value, domain, ip);
        None
    }

    /// The merged user as XML, as `find_user_xml` prints it.
    pub fn user_xml(&self, key: &str, user: &str, domain: &str) -> Option<Element> {
        let _ = (key, user, domain);
        None
    }
}

impl User {
    /// `user_data`: a param, variable or attribute of the user. Kinds other than `attr` and `param`
    /// are variables.
    pub fn lookup(&self, kind: &str, name: &str) -> Option<&str> {
        match kind {
            "attr" => self.attrs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()),
            "param" => self.params.get(name),
            _ => self.variables.get(name),
        }
    }

    /// Param `dial-string`, not expanded.
    pub fn dial_string(&self) -> Option<&str> {
        self.params.get("dial-string")
    }

    /// The `number-alias` attribute.
    pub fn number_alias(&self) -> Option<&str> {
        self.lookup("attr", "number-alias")
    }

    /// The `cidr` attribute.
    pub fn cidr(&self) -> Option<&str> {
        self.lookup("attr", "cidr")
    }

    /// The `cacheable` attribute, if not empty.
    pub fn cacheable(&self) -> Option<&str> {
        self.lookup("attr", "cacheable").filter(|v| !v.is_empty())
    }
}
