//! Documents for lookups: what the files have, and what a snapshot adds.

use std::collections::BTreeSet;

use dialplan_xml::directory::Directory;
use dialplan_xml::{Element, Node, Tree};

use crate::{Snapshot, User};

/// How users of a domain are called that the files do not know.
const DIAL_STRING: &str = "{^^:sip_invite_domain=${dialed_domain}:presence_id=${dialed_user}@${dialed_domain}}${sofia_contact(*/${dialed_user}@${dialed_domain})}";

/// Adds a child behind everything else.
fn append(parent: &mut Element, child: Element) {
    parent.children.push((parent.text.len(), child));
}

/// The first child of a name, made where it is missing.
fn child<'e>(parent: &'e mut Element, name: &str) -> Option<&'e mut Element> {
    if parent.child(name).is_none() {
        append(parent, Element::new(name));
    }
    parent.child_mut(name)
}

fn document(section: &str, inner: Element) -> Option<Tree> {
    let mut outer = Element::new("section");
    outer.set_attr("name", section);
    append(&mut outer, inner);
    let mut document = Element::new("document");
    document.set_attr("type", "freeswitch/xml");
    append(&mut document, outer);
    dialplan_xml::parse_raw(&document.to_xml(), "resources").tree
}

/// A domain as the files have it, without its users.
fn bare_domain(files: &Tree, name: &str) -> Element {
    let known = files.section("directory").and_then(|section| {
        let mut domains = section.children_named("domain");
        domains.find(|domain| domain.attr_or_empty("name").eq_ignore_ascii_case(name))
    });
    let mut domain = Element::new("domain");
    match known {
        Some(known) => {
            for (name, value) in known.attrs() {
                domain.set_attr(name, value);
            }
            for list in ["params", "variables", "profile-variables"] {
                if let Some(list) = known.child(list) {
                    append(&mut domain, Element::from_node(list));
                }
            }
        }
        None => domain.set_attr("name", name),
    }
    with_dial_string(&mut domain);
    domain
}

/// A domain that does not say how its users are called says what the sample configuration does.
fn with_dial_string(domain: &mut Element) {
    let Some(params) = child(domain, "params") else { return };
    let named = |(_, param): &(usize, Element)| param.attr("name") == Some("dial-string");
    if !params.children.iter().any(named) {
        let mut param = Element::new("param");
        param.set_attr("name", "dial-string");
        param.set_attr("value", DIAL_STRING);
        append(params, param);
    }
}

/// The directory for one user: its domain with no other user in it. `None` if the files know the user, or no source does.
#[must_use]
pub fn user(
    files: &Tree,
    known: &Directory,
    all: &Snapshot,
    user: &str,
    domain: &str,
) -> Option<Tree> {
    let found = all.user(user, domain).filter(|user| user.enabled)?;
    if known.find_user(user, domain).is_some() {
        return None;
    }
    of_user(files, found)
}

/// The directory with one user in it.
#[must_use]
pub fn of_user(files: &Tree, user: &User) -> Option<Tree> {
    of_user_with(files, user, &[])
}

/// The same, with parameters of the user's that count more than its domain's.
#[must_use]
pub fn of_user_with(files: &Tree, user: &User, params: &[(&str, &str)]) -> Option<Tree> {
    let mut domain = bare_domain(files, &user.domain);
    let mut users = Element::new("users");
    let mut own = user.element();
    let list = child(&mut own, "params")?;
    for (name, value) in params {
        let mut param = Element::new("param");
        param.set_attr("name", name);
        param.set_attr("value", value);
        append(list, param);
    }
    append(&mut users, own);
    append(&mut domain, users);
    document("directory", domain)
}

/// A domain with all of its users and groups, those of the files first. `None` where the snapshot adds none.
#[must_use]
pub fn domain(files: &Tree, known: &Directory, all: &Snapshot, name: &str) -> Option<Tree> {
    let here =
        |user: &&std::sync::Arc<User>| user.enabled && known.find_user(&user.user, name).is_none();
    let added: Vec<_> = all.users_of(name).filter(here).collect();
    if added.is_empty() {
        return None;
    }
    let written = files.section("directory").and_then(|section| {
        let mut domains = section.children_named("domain");
        domains.find(|domain| domain.attr_or_empty("name").eq_ignore_ascii_case(name))
    });
    let mut domain = written.map_or_else(|| bare_domain(files, name), Element::from_node);
    with_dial_string(&mut domain);
    let groups = child(&mut domain, "groups")?;
    let mut home = group("default");
    for user in &added {
        child(&mut home, "users").map(|users| append(users, user.element()))?;
    }
    // In front: a pointer of an earlier group would hide the user.
    groups.children.insert(0, (0, home));
    let names: BTreeSet<&String> = added.iter().flat_map(|user| &user.groups).collect();
    for name in names {
        let fits = |(_, group): &(usize, Element)| {
            group.attr("name").is_some_and(|own| own.eq_ignore_ascii_case(name))
        };
        let at = groups.children.iter().position(fits).unwrap_or_else(|| {
            append(groups, group(name));
            groups.children.len() - 1
        });
        let users = child(&mut groups.children[at].1, "users")?;
        for user in added.iter().filter(|user| user.groups.contains(name)) {
            let mut pointer = Element::new("user");
            pointer.set_attr("id", &user.user);
            pointer.set_attr("type", "pointer");
            append(users, pointer);
        }
    }
    document("directory", domain)
}

fn group(name: &str) -> Element {
    let mut group = Element::new("group");
    group.set_attr("name", name);
    group
}

/// The whole directory with the domains that only the snapshot knows. `None` where it adds no domain.
#[must_use]
pub fn directory(files: &Tree, known: &Directory, all: &Snapshot) -> Option<Tree> {
    let mut added = all.domains().filter(|name| known.find_domain(name).is_none()).peekable();
    added.peek()?;
    let mut section =
        files.section("directory").map_or_else(|| Element::new("section"), Element::from_node);
    section.set_attr("name", "directory");
    for name in added {
        append(&mut section, bare_domain(files, name));
    }
    let mut document = Element::new("document");
    document.set_attr("type", "freeswitch/xml");
    append(&mut document, section);
    dialplan_xml::parse_raw(&document.to_xml(), "resources").tree
}

/// The dialplan for a number: its context as the files have it, and the route behind it. `None` where no route fits.
#[must_use]
pub fn dialplan(files: &Tree, all: &Snapshot, context: &str, number: &str) -> Option<Tree> {
    let extension = all.route_for(context, number)?.extension(number)?;
    let section = files.section("dialplan");
    let named = |name: &str| {
        let mut contexts =
            section.into_iter().flat_map(|section| section.children_named("context"));
        contexts.find(|node| node.attr_or_empty("name").eq_ignore_ascii_case(name))
    };
    // A context that is not there is the global one, as without routes.
    let found: Option<Node<'_>> = named(context).or_else(|| named("global"));
    let mut whole = found.map_or_else(|| Element::new("context"), Element::from_node);
    whole.set_attr("name", context);
    append(&mut whole, extension);
    document("dialplan", whole)
}

/// `sofia.conf` with the trunks in their profiles; `None` where there are none. A gateway of that name in the files stays.
#[must_use]
pub fn sofia(files: &Tree, all: &Snapshot) -> Option<Tree> {
    all.trunks().next()?;
    let mut conf = Element::from_node(files.configuration("sofia.conf")?);
    let profiles = conf.child_mut("profiles")?;
    let known = gateways(files);
    for (_, profile) in profiles.children.iter_mut().filter(|(_, node)| node.name == "profile") {
        let name = profile.attr("name").unwrap_or_default().to_owned();
        let mut of_profile = all.trunks().filter(|trunk| trunk.profile == name).peekable();
        if of_profile.peek().is_none() {
            continue;
        }
        let list = child(profile, "gateways")?;
        for trunk in of_profile.filter(|trunk| !known.contains(&trunk.name)) {
            append(list, trunk.element());
        }
    }
    document("configuration", conf)
}

/// Names of SIP profiles of the files.
#[must_use]
pub fn profiles(files: &Tree) -> BTreeSet<String> {
    let conf = files.configuration("sofia.conf").and_then(|conf| conf.child("profiles"));
    let profiles = conf.into_iter().flat_map(|profiles| profiles.children_named("profile"));
    profiles.map(|profile| profile.attr_or_empty("name").to_owned()).collect()
}

/// Names of gateways of the files: those in profiles.
#[must_use]
pub fn gateways(files: &Tree) -> BTreeSet<String> {
    let conf = files.configuration("sofia.conf");
    let nodes = conf.into_iter().flat_map(Node::descendants);
    let gateways = nodes.filter(|node| node.name() == "gateway");
    gateways.map(|gateway| gateway.attr_or_empty("name").to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use dialplan_xml::config::SofiaConf;

    use super::*;
    use crate::{Route, Trunk};

    const FILES: &str = r#"<document type="freeswitch/xml">
<section name="configuration"><configuration name="sofia.conf"><profiles>
  <profile name="external"><gateways><gateway name="own"><param name="proxy" value="a"/></gateway></gateways><settings/></profile>
  <profile name="internal"><settings/></profile>
</profiles></configuration></section>
<section name="dialplan"><context name="default">
  <extension name="first"><condition field="destination_number" expression="^1$"><action application="echo"/></condition></extension>
</context></section>
<section name="directory"><domain name="A.test"><params><param name="dial-string" value="theirs"/></params>
  <groups><group name="sales"><users><user id="1"><params><param name="password" value="of-the-file"/></params></user></users></group></groups>
</domain></section></document>"#;

    fn user_of(name: &str, domain: &str) -> User {
        let mut user = User { user: name.into(), domain: domain.into(), ..User::default() };
        user.password = "from<the>\"database\"&".into();
        user.groups = vec!["sales".into(), "night".into()];
        user
    }

    fn all() -> Snapshot {
        let trunk = |name: &str| Trunk { name: name.into(), proxy: "b".into(), ..Trunk::default() };
        let route = Route {
            id: "out".into(),
            context: "default".into(),
            pattern: "^".into(),
            trunks: vec!["new".into()],
            ..Route::default()
        };
        let users = vec![user_of("1", "a.test"), user_of("2", "a.test"), user_of("3", "b.test")];
        Snapshot::new(1, users, vec![trunk("own"), trunk("new")], vec![route])
    }

    #[test]
    fn a_user_is_found_with_what_its_domain_adds_and_the_files_come_first() {
        let files = dialplan_xml::parse_raw(FILES, "test").tree.unwrap();
        let (known, all) = (Directory::compile(&files), all());
        assert!(user(&files, &known, &all, "1", "a.test").is_none());
        assert!(user(&files, &known, &all, "9", "a.test").is_none());
        let found = Directory::compile(&user(&files, &known, &all, "2", "A.TEST").unwrap());
        let second = found.find_user("2", "a.test").unwrap();
        assert_eq!(second.params.last("password"), Some("from<the>\"database\"&"));
        assert_eq!(second.dial_string(), Some("theirs"));
        let found = Directory::compile(&user(&files, &known, &all, "3", "b.test").unwrap());
        assert!(
            found
                .find_user("3", "b.test")
                .unwrap()
                .dial_string()
                .unwrap()
                .contains("sofia_contact")
        );
    }

    #[test]
    fn a_domain_has_the_users_and_groups_of_both() {
        let files = dialplan_xml::parse_raw(FILES, "test").tree.unwrap();
        let (known, all) = (Directory::compile(&files), all());
        let found = Directory::compile(&domain(&files, &known, &all, "a.test").unwrap());
        let domain = found.find_domain("a.test").unwrap();
        assert_eq!(found.users(domain).count(), 2);
        let names = |group: &str| {
            let members = found.group_members(group, "a.test");
            members.iter().map(|user| user.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            (names("sales"), names("night")),
            (vec!["1".to_owned(), "2".into()], vec!["2".into()])
        );
        assert_eq!(
            found.find_user("1", "a.test").unwrap().params.last("password"),
            Some("of-the-file")
        );
        let whole = Directory::compile(&directory(&files, &known, &all).unwrap());
        assert!(whole.find_domain("b.test").is_some() && whole.find_user("1", "a.test").is_some());
    }

    #[test]
    fn a_route_stands_behind_the_extensions_of_its_context() {
        let files = dialplan_xml::parse_raw(FILES, "test").tree.unwrap();
        let tree = dialplan(&files, &all(), "default", "4711").unwrap();
        let (plan, problems) = dialplan_xml::dialplan::Dialplan::compile(&tree);
        let names: Vec<_> = plan.extensions("default").map(|(name, _)| name.to_owned()).collect();
        assert_eq!((names, problems.len()), (vec!["first".to_owned(), "route out".into()], 0));
        assert!(dialplan(&files, &all(), "public", "4711").is_none());
    }

    #[test]
    fn trunks_are_gateways_of_their_profiles() {
        let files = dialplan_xml::parse_raw(FILES, "test").tree.unwrap();
        let tree = sofia(&files, &all()).unwrap();
        let conf = SofiaConf::read(tree.configuration("sofia.conf"));
        let names = |profile: &str| {
            let profile = conf.profile(profile).unwrap();
            profile.gateways.iter().map(|gateway| gateway.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names("external"), ["own", "new"]);
        assert!(names("internal").is_empty());
        assert_eq!(profiles(&files).len(), 2);
    }
}
