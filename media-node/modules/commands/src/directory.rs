//! The directory: users, domains, groups, and raw XML.

use dialplan_xml::Element;
use dialplan_xml::directory::{Directory, User};

use super::{Api, ApiCall};
use crate::api;
use crate::xml::{self, Lookup};

/// The family.
pub const APIS: &[Api] = &[
    api!(
        "domain_data",
        "mod_commands",
        "<domain> [var|param|attr] <name>",
        "Find domain data",
        async domain_data
    ),
    api!("domain_exists", "mod_commands", "<domain>", "Check if a domain exists", async domain_exists),
    api!("find_user_xml", "mod_commands", "<key> <user> <domain>", "Find a user", async find_user_xml),
    api!("group_call", "mod_commands", "<group>[@<domain>]", "Generate a dial string to call a group", async group_call),
    api!(
        "in_group",
        "mod_commands",
        "<user>[@<domain>] <group_name>",
        "Determine if a user is in a group",
        async in_group
    ),
    api!("list_users", "mod_commands", LIST_USERS, "List Users configured in Directory", async list_users),
    api!("reg_url", "mod_commands", "<user>@<realm>", "Find a registration", reg_url),
    api!(
        "user_data",
        "mod_commands",
        "<user>@<domain> [var|param|attr] <name>",
        "Find user data",
        async user_data
    ),
    api!("user_exists", "mod_commands", "<key> <user> <domain>", "Find a user", async user_exists),
    api!("xml_flush_cache", "mod_commands", "<id> <key> <val>", "Clear xml cache", xml_flush_cache),
    api!("xml_locate", "mod_commands", LOCATE, "Find some xml", async xml_locate),
];

const LIST_USERS: &str = "[group <group>] [domain <domain>] [user <user>] [context <context>]";
const LOCATE: &str = "[root | <section> <tag> <tag_attr_name> <tag_attr_val>]";
const BAD_ARGS: &str = "-ERR bad args\n";

fn directory(call: &ApiCall) -> std::sync::Arc<Directory> {
    call.switch.config.load().directory.clone()
}

/// The directory that knows a domain, wherever it comes from.
async fn directory_of(call: &ApiCall, domain: &str) -> Directory {
    let fill = |params: &mut esl_server::Event| {
        params.push("domain", domain);
    };
    xml::directory(&call.switch, domain, fill).await
}

async fn user_exists(call: ApiCall) -> String {
    let words = call.words(3);
    let found = match words.as_slice() {
        [key, user, domain] => {
            xml::find_user_by(&call.switch, key, user, domain, None, |_| {}).await.is_some()
        }
        _ => false,
    };
    found.to_string()
}

async fn user_data(call: ApiCall) -> String {
    let words = call.words(3);
    let [address, kind, name] = words.as_slice() else { return String::new() };
    let default = || call.switch.global("domain").unwrap_or_default();
    let (user, domain) = match address.split_once('@') {
        Some((user, domain)) => (user, domain.to_owned()),
        None => (address.as_str(), default()),
    };
    let found = xml::find_user(&call.switch, user, &domain, |params| {
        params.push("type", kind.as_str());
    })
    .await;
    found.and_then(|user| user.lookup(kind, name).map(str::to_owned)).unwrap_or_default()
}

async fn domain_exists(call: ApiCall) -> String {
    let name = call.args.trim();
    directory_of(&call, name).await.find_domain(name).is_some().to_string()
}

async fn domain_data(call: ApiCall) -> String {
    let words = call.words(3);
    let [name, kind, wanted] = words.as_slice() else { return String::new() };
    let directory = directory_of(&call, name).await;
    let Some(domain) = directory.find_domain(name) else { return String::new() };
    let found = match kind.as_str() {
        "attr" if wanted == "name" => Some(&*domain.name),
        "attr" => None,
        "param" => domain.params.get(wanted),
        _ => domain.variables.get(wanted),
    };
    found.unwrap_or_default().to_owned()
}

async fn find_user_xml(call: ApiCall) -> String {
    let words = call.words(3);
    let [key, user, domain] = words.as_slice() else { return BAD_ARGS.into() };
    xml::find_user_by(&call.switch, key, user, domain, None, |_| {})
        .await
        .and_then(|found| found.xml())
        .map_or_else(|| "-ERR can't find user\n".into(), |found| found.to_xml())
}

fn xml_flush_cache(call: &ApiCall) -> String {
    let words = call.words(3);
    let word = |at: usize| words.get(at).map(String::as_str).filter(|word| !word.is_empty());
    let which = word(0).zip(word(1)).map(|(key, user)| (key, user, word(2)));
    let count = call.switch.xml.flush_users(which);
    format!("+OK cleared {count} {}\n", if count == 1 { "entry" } else { "entries" })
}

async fn xml_locate(call: ApiCall) -> String {
    let words = call.words(4);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (section, tag, attr, value) = match words[..] {
        ["root"] => ("", "", "", ""),
        [section] => (section, "", "", ""),
        [section, tag, attr, value] => (section, tag, attr, value),
        _ => return BAD_ARGS.into(),
    };
    let lookup = Lookup { section, tag_name: tag, key_name: attr, key_value: value, params: None };
    let elsewhere = if section.is_empty() { None } else { xml::locate(&call.switch, lookup).await };
    let tree = elsewhere.unwrap_or_else(|| call.switch.config.load().tree.clone());
    let found = match (section, tag) {
        ("", _) => Some(tree.root()),
        (_, "") => tree.section(section),
        _ => tree.locate(section, tag, attr, value),
    };
    found.map_or_else(|| "can't find anything\n".into(), |node| Element::from_node(node).to_xml())
}

/// The separator the reference looks for is a comma, whatever its help says.
async fn in_group(call: ApiCall) -> String {
    let Some((address, group)) = call.args.split_once(',') else { return "false".into() };
    let default = || call.switch.global("domain").unwrap_or_default();
    let (user, domain) = match address.trim().split_once('@') {
        Some((user, domain)) => (user, domain.to_owned()),
        None => (address.trim(), default()),
    };
    let directory = directory_of(&call, &domain).await;
    let found = directory.find_domain(&domain).is_some_and(|domain| {
        let member = |known: &dialplan_xml::directory::Group| {
            known.members.iter().any(|member| &*member.id == user)
        };
        domain.groups.iter().any(|known| &*known.name == group.trim() && member(known))
    });
    found.to_string()
}

/// Where a user can be reached, as `sofia_contact` tells.
async fn contact(call: &ApiCall, user: &str, domain: &str) -> String {
    let found =
        Box::pin(call.switch.run_api("sofia_contact", &format!("{user}@{domain}"), None)).await;
    found.unwrap_or_else(|| "error/user_not_registered".into())
}

async fn list_users(call: ApiCall) -> String {
    let words = call.words(16);
    let option = |name: &str| {
        let pairs = words.chunks(2);
        pairs
            .into_iter()
            .find(|pair| pair.first().is_some_and(|word| word == name))
            .and_then(|pair| pair.get(1))
            .cloned()
    };
    let (group, domain, user, context) =
        (option("group"), option("domain"), option("user"), option("context"));
    let mut out = String::from(
        "userid|context|domain|group|contact|callgroup|effective_caller_id_name|effective_caller_id_number\n",
    );
    let directory = directory(&call);
    for domain in
        directory.domains().filter(|known| domain.as_ref().is_none_or(|name| *name == *known.name))
    {
        for known in domain
            .groups
            .iter()
            .filter(|known| group.as_ref().is_none_or(|name| *name == *known.name))
        {
            for member in known
                .members
                .iter()
                .filter(|member| user.as_ref().is_none_or(|id| *id == *member.id))
            {
                let Some(found) = directory.find_user(&member.id, &domain.name) else { continue };
                let variable = |name: &str| found.variables.get(name).unwrap_or_default();
                if context.as_ref().is_some_and(|context| context != variable("user_context")) {
                    continue;
                }
                out.push_str(&format!(
                    "{}|{}|{}|{}|{}|{}|{}|{}\n",
                    member.id,
                    variable("user_context"),
                    domain.name,
                    known.name,
                    contact(&call, &member.id, &domain.name).await,
                    variable("callgroup"),
                    variable("effective_caller_id_name"),
                    variable("effective_caller_id_number"),
                ));
            }
        }
    }
    out.push_str("\n+OK\n");
    out
}

/// `desk@example.com+F`.
struct Wanted<'t> {
    group: &'t str,
    domain: Option<&'t str>,
    /// Between the members: together (`,`), one after the other (`|`), each as an enterprise of its own (`:_:`).
    separator: &'static str,
}

impl<'t> Wanted<'t> {
    fn parse(text: &'t str) -> Self {
        let (address, flags) = text.split_once('+').unwrap_or((text, ""));
        let (group, domain) = address
            .split_once('@')
            .map_or((address, None), |(group, domain)| (group, Some(domain)));
        let separator = match flags.chars().next() {
            Some('F' | 'f') => "|",
            Some('E' | 'e') => ":_:",
            _ => ",",
        };
        Self { group, domain, separator }
    }
}

async fn group_call(call: ApiCall) -> String {
    const NOBODY: &str = "error/NO_ROUTE_DESTINATION";
    let wanted = Wanted::parse(call.args.trim());
    let domain = match wanted.domain.filter(|domain| !domain.is_empty()) {
        Some(domain) => domain.to_owned(),
        None => call.switch.global("domain").unwrap_or_default(),
    };
    let group = wanted.group;
    let directory = xml::directory(&call.switch, &domain, |params| {
        params.push("group", group).push("domain", domain.as_str());
        params.push("action", "group_call").push("group_name", group);
    })
    .await;
    let Some(found) = directory.find_domain(&domain) else { return NOBODY.into() };
    let mut legs = Vec::new();
    for group in found.groups.iter().filter(|group| &*group.name == wanted.group) {
        for member in &group.members {
            if let Some(user) = directory.find_user(&member.id, &domain) {
                legs.push(leg_of(&call, &user, &member.id, &domain).await);
            }
        }
    }
    if legs.is_empty() { NOBODY.into() } else { legs.join(wanted.separator) }
}

/// The dial string of one member: variables for all its legs become the leg's own.
async fn leg_of(call: &ApiCall, user: &User, id: &str, domain: &str) -> String {
    let Some(dial) = user.params.get("group-dial-string").or_else(|| user.dial_string()) else {
        return format!("user/{id}@{domain}");
    };
    let mut event = esl_server::Event::new(esl_server::EventName::RequestParams);
    event.push("dialed_user", id);
    event.push("dialed_group", user.group.as_deref().unwrap_or_default());
    event.push("dialed_domain", domain);
    let dial = crate::host::expand_headers(&call.switch, &event, dial).await;
    match dial.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((variables, rest)) => format!("[{variables}]{rest}"),
        None => dial,
    }
}

fn reg_url(call: &ApiCall) -> String {
    let args = call.args.trim();
    let (user, realm) = args.split_once('@').unwrap_or((args, ""));
    let realm = if realm.is_empty() {
        call.switch.global("domain").unwrap_or_default()
    } else {
        realm.to_owned()
    };
    let all = call.switch.stores.registrations.all();
    let now = crate::clock::now_secs();
    all.iter()
        .find(|one| {
            one.user == user && one.realm.eq_ignore_ascii_case(&realm) && one.expires >= now
        })
        .map_or_else(|| "error/user_not_registered".into(), |one| one.url.clone())
}
