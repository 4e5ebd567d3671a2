//! The directory: domains, groups, users.
//!
//! Lookups answer as the reference does, oddities included: a pointer in an earlier group hides the
//! real user of a later one, and a user with a `type` other than `pointer` answers to every name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::config::{GatewayConf, Params};
use crate::{Element, Node, NodeId, Place, Tree};

/// Every domain of a document, indexed. Cheap to clone.
#[derive(Clone, Default)]
pub struct Directory {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    tree: Option<Tree>,
    domains: Vec<Domain>,
    by_name: HashMap<String, usize>,
}

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
    node: NodeId,
    /// Every `<user>` in the order they are searched.
    users: Vec<UserEntry>,
    /// Lower-case ids and number aliases to the first user they belong to.
    by_id: HashMap<Box<str>, usize>,
    /// The first user that answers to every name.
    wildcard: Option<usize>,
    /// Some user is known by its address.
    by_ip: bool,
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
    node: NodeId,
}

/// A `<user>` element inside a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The user id.
    pub id: Arc<str>,
    /// `type="pointer"`: the user is described elsewhere.
    pub pointer: bool,
    /// Where it is written.
    pub place: Place,
}

#[derive(Clone, Debug)]
struct UserEntry {
    node: NodeId,
    group: Option<usize>,
}

/// A user with what the group and the domain add (user > group > domain).
#[derive(Clone)]
pub struct User {
    /// `id` attribute.
    pub id: Arc<str>,
    /// Domain name as written in the directory.
    pub domain: Arc<str>,
    /// Group it was found in, if any.
    pub group: Option<Arc<str>>,
    /// Attributes of the element, and `domain-name`.
    pub attrs: Vec<(String, String)>,
    /// Merged params.
    pub params: Params,
    /// Merged variables.
    pub variables: Params,
    /// Merged profile variables.
    pub profile_variables: Params,
    /// Gateways that come with the user.
    pub gateways: Vec<GatewayConf>,
    /// Whether the element found is a pointer (it has no credentials then).
    pub pointer: bool,
    /// Where it is written.
    pub place: Place,
}

/// The three lists that are merged, and what is in them.
const MERGED: [(&str, &str); 3] =
    [("params", "param"), ("variables", "variable"), ("profile-variables", "variable")];

impl Directory {
    /// Indexes the `directory` section of a document.
    pub fn compile(tree: &Tree) -> Self {
        let section = tree.section("directory");
        let nodes = section.into_iter().flat_map(|s| s.children_named("domain"));
        let domains: Vec<_> = nodes.map(Domain::read).collect();
        let mut by_name = HashMap::new();
        for (position, domain) in domains.iter().enumerate() {
            by_name.entry(domain.name.to_ascii_lowercase()).or_insert(position);
        }
        Self { inner: Arc::new(Inner { tree: Some(tree.clone()), domains, by_name }) }
    }

    /// Domains in document order.
    pub fn domains(&self) -> impl Iterator<Item = &Domain> {
        self.inner.domains.iter()
    }

    /// A domain by name, case-insensitive; the first one of that name.
    pub fn find_domain(&self, name: &str) -> Option<&Domain> {
        self.inner.domains.get(*self.inner.by_name.get(&name.to_ascii_lowercase())?)
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
        let domain = self.find_domain(domain)?;
        let entry = self.find_entry(domain, key, value, ip)?;
        self.user(domain, entry)
    }

    /// The members of a group, each looked up: a pointer gives what its id names.
    pub fn group_members(&self, group: &str, domain: &str) -> Vec<User> {
        let Some(domain) = self.find_domain(domain) else { return Vec::new() };
        let Some(position) = domain.groups.iter().position(|g| g.name.eq_ignore_ascii_case(group))
        else {
            return Vec::new();
        };
        let members = domain.users.iter().filter(|e| e.group == Some(position));
        let member = |entry: &UserEntry| {
            let node = self.node(entry.node)?;
            let target = if is_pointer(node) {
                self.find_entry(domain, "id", node.attr("id")?, None)?
            } else {
                entry
            };
            self.user(domain, target)
        };
        members.filter_map(member).collect()
    }

    /// Every user of a domain in search order, pointers left out.
    pub fn users<'a>(&'a self, domain: &'a Domain) -> impl Iterator<Item = User> + 'a {
        domain.users.iter().filter_map(|entry| self.user(domain, entry)).filter(|u| !u.pointer)
    }

    /// The gateways of a domain's users, in search order.
    #[must_use]
    pub fn gateways(&self, domain: &Domain) -> Vec<GatewayConf> {
        let users = domain.users.iter().filter_map(|entry| self.node(entry.node));
        users.flat_map(GatewayConf::read_all).collect()
    }

    /// The merged user as XML, as `find_user_xml` prints it.
    pub fn user_xml(&self, key: &str, user: &str, domain: &str) -> Option<Element> {
        let domain = self.find_domain(domain)?;
        let entry = self.find_entry(domain, key, user, None)?;
        // The reference copies the element by printing and parsing it, which doubles its white
        // space, and puts what it adds in front.
        let printed = self.node(entry.node)?.to_xml();
        let copy = crate::parse_raw(&printed, "user").tree?;
        let mut element = Element::from_node(copy.root());
        element.set_attr("domain-name", &domain.name);
        if let Some(group) = entry.group.and_then(|g| domain.groups.get(g)) {
            merge(&mut element, self.node(group.node)?);
        }
        merge(&mut element, self.node(domain.node)?);
        Some(element)
    }

    fn node(&self, id: NodeId) -> Option<Node<'_>> {
        self.inner.tree.as_ref()?.node(id)
    }

    fn find_entry<'d>(
        &self,
        domain: &'d Domain,
        keys: &str,
        value: &str,
        ip: Option<&str>,
    ) -> Option<&'d UserEntry> {
        keys.split(':').find_map(|key| {
            if (ip.is_none() || !domain.by_ip) && key.eq_ignore_ascii_case("id") {
                let named = domain.by_id.get(value.to_ascii_lowercase().as_str()).copied();
                let first = [named, domain.wildcard].into_iter().flatten().min()?;
                return domain.users.get(first);
            }
            domain
                .users
                .iter()
                .find(|e| self.node(e.node).is_some_and(|n| answers(n, key, value, ip)))
        })
    }

    fn user(&self, domain: &Domain, entry: &UserEntry) -> Option<User> {
        let node = self.node(entry.node)?;
        let group = entry.group.and_then(|g| domain.groups.get(g));
        let outer = [group.and_then(|g| self.node(g.node)), self.node(domain.node)];
        let merged = |(list, item): (&str, &str)| {
            let own = Params::read(node.child(list), item);
            let mut all = Params::default();
            for level in outer.into_iter().flatten() {
                for param in &Params::read(level.child(list), item) {
                    if own.get(&param.name).is_none() && all.get(&param.name).is_none() {
                        all.push(param.clone());
                    }
                }
            }
            own.iter().for_each(|param| all.push(param.clone()));
            all
        };
        let [params, variables, profile_variables] = MERGED.map(merged);
        let mut attrs: Vec<_> = node.attrs().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        attrs.push(("domain-name".to_owned(), domain.name.to_string()));
        Some(User {
            id: node.attr_or_empty("id").into(),
            domain: domain.name.clone(),
            group: group.map(|g| g.name.clone()),
            attrs,
            params,
            variables,
            profile_variables,
            gateways: GatewayConf::read_all(node),
            pointer: is_pointer(node),
            place: node.place(),
        })
    }
}

impl Domain {
    fn read(node: Node<'_>) -> Self {
        let mut domain = Self {
            name: node.attr_or_empty("name").into(),
            params: Params::read(node.child("params"), "param"),
            variables: Params::read(node.child("variables"), "variable"),
            groups: Vec::new(),
            place: node.place(),
            node: node.id(),
            users: Vec::new(),
            by_id: HashMap::new(),
            wildcard: None,
            by_ip: false,
        };
        let groups = node.child("groups");
        for group in groups.into_iter().flat_map(|g| g.children_named("group")) {
            let position = domain.groups.len();
            let mut members = Vec::new();
            for user in group.child("users").into_iter().flat_map(|u| u.children_named("user")) {
                let id = user.attr_or_empty("id").into();
                members.push(Member { id, pointer: is_pointer(user), place: user.place() });
                domain.add_user(user, Some(position));
            }
            domain.groups.push(Group {
                name: group.attr_or_empty("name").into(),
                params: Params::read(group.child("params"), "param"),
                variables: Params::read(group.child("variables"), "variable"),
                members,
                node: group.id(),
            });
        }
        for user in node.child("users").unwrap_or(node).children_named("user") {
            domain.add_user(user, None);
        }
        domain
    }

    fn add_user(&mut self, node: Node<'_>, group: Option<usize>) {
        let position = self.users.len();
        for name in [node.attr("id"), node.attr("number-alias")].into_iter().flatten() {
            self.by_id.entry(name.to_ascii_lowercase().into()).or_insert(position);
        }
        if answers_to_all(node) {
            self.wildcard.get_or_insert(position);
        }
        self.by_ip |= node.attr("ip").is_some();
        self.users.push(UserEntry { node: node.id(), group });
    }

    /// A group by name, case-insensitive.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|g| g.name.eq_ignore_ascii_case(name))
    }
}

impl Directory {
    /// Id, `cidr`, whether it is in a group, and place of every user of a domain that has both:
    /// what an access list's `domain` node is made of.
    pub(crate) fn user_networks(&self, domain: &Domain) -> Vec<(String, String, bool, Place)> {
        let user = |entry: &UserEntry| {
            let node = self.node(entry.node)?;
            let (id, cidr) = (node.attr("id")?, node.attr("cidr")?);
            let place = node.attr_place("cidr");
            Some((id.to_owned(), cidr.to_owned(), entry.group.is_some(), place))
        };
        domain.users.iter().filter_map(user).collect()
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.domains().map(|d| &d.name)).finish()
    }
}

fn is_pointer(node: Node<'_>) -> bool {
    node.attr("type").is_some_and(|t| t.eq_ignore_ascii_case("pointer"))
}

fn answers_to_all(node: Node<'_>) -> bool {
    node.attr("type").is_some_and(|t| !t.eq_ignore_ascii_case("pointer"))
}

fn answers(node: Node<'_>, key: &str, value: &str, ip: Option<&str>) -> bool {
    let is =
        |name: &str, wanted: &str| node.attr(name).is_some_and(|v| v.eq_ignore_ascii_case(wanted));
    answers_to_all(node)
        || ip.is_some_and(|ip| is("ip", ip))
        || is(key, value)
        || key.eq_ignore_ascii_case("id") && is("number-alias", value)
}

/// Adds to a user what it lacks of a group or a domain.
fn merge(user: &mut Element, from: Node<'_>) {
    for (list, item) in MERGED {
        if user.child(list).is_none() {
            user.add_child(Element::new(list));
        }
        let Some(target) = user.child_mut(list) else { continue };
        for param in from.child(list).into_iter().flat_map(|l| l.children_named(item)) {
            let name = param.attr_or_empty("name");
            let known = |(_, c): &(usize, Element)| {
                c.name == item && c.attr("name").is_some_and(|n| n.eq_ignore_ascii_case(name))
            };
            if !target.children.iter().any(known) {
                let mut added = Element::new(item);
                added.set_attr("name", name);
                added.set_attr("value", param.attr_or_empty("value"));
                target.add_child(added);
            }
        }
    }
}

impl User {
    /// `user_data`: a param, variable or attribute of the user. Kinds other than `attr` and `param`
    /// are variables.
    pub fn lookup(&self, kind: &str, name: &str) -> Option<&str> {
        if kind.eq_ignore_ascii_case("attr") {
            self.attrs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
        } else if kind.eq_ignore_ascii_case("param") {
            self.params.get(name)
        } else {
            self.variables.get(name)
        }
    }

    /// Param `dial-string`, not expanded.
    pub fn dial_string(&self) -> Option<&str> {
        self.params.get("dial-string")
    }

    /// Param `group-dial-string`, or else `dial-string`, not expanded.
    pub fn group_dial_string(&self) -> Option<&str> {
        self.params.get("group-dial-string").or_else(|| self.dial_string())
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

/// Without params, which hold passwords.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({}@{} at {})", self.id, self.domain, self.place)
    }
}
