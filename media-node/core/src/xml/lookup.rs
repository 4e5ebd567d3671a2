//! Lookups: bindings first, then the static files.

use std::sync::Arc;

use dialplan_xml::dialplan::Dialplan;
use dialplan_xml::directory::{Directory, Domain, User};
use dialplan_xml::{Element, Node, Tree};
use esl_server::event::{Event, EventName};

use super::request::Lookup;
use super::{LocalTree, Unanswered, XmlSource};
use crate::call::Channel;
use crate::call::profile::Prefix;
use crate::switch::Switch;

/// Asks the bindings. `None` sends the lookup to the static files: no binding answered, or not with what was looked for.
pub async fn locate(switch: &Arc<Switch>, lookup: Lookup<'_>) -> Option<Tree> {
    ask(switch, lookup).await.ok().flatten()
}

/// As [`locate`], but tells "not found" from "a binding could not be asked".
async fn ask(switch: &Arc<Switch>, lookup: Lookup<'_>) -> Result<Option<Tree>, Unanswered> {
    let bound = switch.xml.bound.load_full();
    let mut nobody = Ok(None);
    for (_, source) in bound.iter().filter(|(_, source)| source.serves(lookup.section)) {
        match source.ask(switch, &lookup).await {
            Ok(Some(tree)) => return Ok(lookup.is_in(&tree).then_some(tree)),
            Ok(None) => {}
            Err(unanswered) => nobody = Err(unanswered),
        }
    }
    nobody
}

/// An event for parameters, with the block every event has.
fn params(switch: &Switch, name: EventName) -> Event {
    let mut event = Event::new(name);
    esl_server::stamp!(switch.bus, &mut event);
    event
}

/// A dialplan from a binding; `None` when no binding answers for this section.
pub async fn dialplan(switch: &Arc<Switch>, channel: &Arc<Channel>) -> Option<Arc<Dialplan>> {
    if !switch.xml.serve("dialplan") {
        return None;
    }
    let mut event = params(switch, EventName::RequestParams);
    channel.describe(&mut event);
    channel.profile().write(&mut event, Prefix::Hunt);
    let tree = locate(switch, Lookup::section("dialplan", &event)).await?;
    let zones = switch.config.load().dialplan.zones().clone();
    let (dialplan, diagnostics) = Dialplan::compile_with_zones(&tree, zones);
    crate::config::log_diagnostics(&diagnostics);
    Some(Arc::new(dialplan))
}

/// A configuration document from a binding, with the parameters `fill` adds (none at all if it is `None`, as modules
/// ask for their own file). Sofia says which `profile`, and `reconfig` on a rescan.
///
/// # Errors
/// [`Unanswered`] when it was not found, but a binding could not be asked.
pub async fn configuration(
    switch: &Arc<Switch>,
    name: &str,
    fill: Option<&(dyn Fn(&mut Event) + Sync)>,
) -> Result<Option<Tree>, Unanswered> {
    configuration_as(switch, EventName::RequestParams, name, fill).await
}

/// Reads a configuration document, from a binding or else from the files: `read` gets it, or `None` where neither has it.
///
/// # Errors
/// [`Unanswered`]: a binding could not be asked, which is in the log.
pub async fn read_configuration<T>(
    switch: &Arc<Switch>,
    name: &str,
    fill: Option<&(dyn Fn(&mut Event) + Sync)>,
    read: impl FnOnce(Option<Node<'_>>) -> T,
) -> Result<T, Unanswered> {
    let answer = configuration(switch, name, fill)
        .await
        .inspect_err(|_| tracing::error!("{name} could not be asked for"))?;
    let config = switch.config.load_full();
    Ok(read(match &answer {
        Some(tree) => tree.configuration(name),
        None => config.document(name),
    }))
}

/// As [`configuration`], with another event's name on the parameters (conferences ask as `COMMAND`).
///
/// # Errors
/// As for [`configuration`].
pub async fn configuration_as(
    switch: &Arc<Switch>,
    event: EventName,
    name: &str,
    fill: Option<&(dyn Fn(&mut Event) + Sync)>,
) -> Result<Option<Tree>, Unanswered> {
    if !switch.xml.serve("configuration") {
        return Ok(None);
    }
    let event = fill.map(|fill| {
        let mut event = params(switch, event);
        fill(&mut event);
        event
    });
    ask(switch, Lookup::configuration(name, event.as_ref())).await
}

/// The directory that knows a domain: a binding's answer to a request with the parameters `fill` adds, or the static
/// one. Whether the domain is in it is for the caller to see.
pub async fn directory(
    switch: &Arc<Switch>,
    domain: &str,
    fill: impl FnOnce(&mut Event),
) -> Directory {
    directory_as(switch, EventName::RequestParams, domain, fill).await
}

/// A section as a channel needs it (`languages`, `phrases`): the document of a binding that has it, or the static one.
/// `fill` adds parameters in front of the channel's data. `None` when no source has the section.
pub async fn section(
    switch: &Arc<Switch>,
    section: &str,
    channel: &Channel,
    fill: impl FnOnce(&mut Event),
) -> Option<Tree> {
    if switch.xml.serve(section) {
        let mut event = params(switch, EventName::RequestParams);
        fill(&mut event);
        channel.describe(&mut event);
        if let Some(tree) = locate(switch, Lookup::section(section, &event)).await {
            return Some(tree);
        }
    }
    let local = LocalTree(switch.config.load().tree.clone());
    local.serves(section).then_some(local.0)
}

/// The whole directory: a binding's answer for the section, or the static one.
pub async fn whole_directory(switch: &Arc<Switch>, fill: impl FnOnce(&mut Event)) -> Directory {
    if switch.xml.serve("directory") {
        let mut event = params(switch, EventName::RequestParams);
        fill(&mut event);
        if let Some(tree) = locate(switch, Lookup::section("directory", &event)).await {
            return Directory::compile(&tree);
        }
    }
    Directory::clone(&switch.config.load().directory)
}

/// As [`directory`], with another event's name on the parameters (access lists ask as `GENERAL`).
pub async fn directory_as(
    switch: &Arc<Switch>,
    name: EventName,
    domain: &str,
    fill: impl FnOnce(&mut Event),
) -> Directory {
    ask_for_directory(switch, name, domain, fill).await.0
}

/// As [`directory_as`]; with it, whether a binding could not be asked for it.
async fn ask_for_directory(
    switch: &Arc<Switch>,
    name: EventName,
    domain: &str,
    fill: impl FnOnce(&mut Event),
) -> (Directory, Option<Unanswered>) {
    let mut unanswered = None;
    if switch.xml.serve("directory") {
        let mut event = params(switch, name);
        fill(&mut event);
        match ask(switch, Lookup::domain(domain, &event)).await {
            Ok(Some(tree)) => return (Directory::compile(&tree), None),
            Ok(None) => {}
            Err(nobody) => unanswered = Some(nobody),
        }
    }
    (Directory::clone(&switch.config.load().directory), unanswered)
}

/// A user, and where it was found.
pub struct FoundUser {
    /// The user with what group and domain add.
    pub user: User,
    directory: Directory,
    key: String,
    name: String,
    domain: String,
}

impl FoundUser {
    /// The domain it belongs to.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.directory.find_domain(&self.domain)
    }

    /// The merged element, as `find_user_xml` prints it.
    #[must_use]
    pub fn xml(&self) -> Option<Element> {
        self.directory.user_xml(&self.key, &self.name, &self.domain)
    }
}

/// A user by id (or number alias). `fill` adds what the asker has to say: `action`, SIP details, …; `key`, `user` and
/// `domain` are added after it.
pub async fn find_user(
    switch: &Arc<Switch>,
    user: &str,
    domain: &str,
    fill: impl Fn(&mut Event),
) -> Option<User> {
    find_user_by(switch, "id", user, domain, None, fill).await.map(|found| found.user)
}

/// A user by any attribute (a colon list is tried in order), with the address of the asker for users known by `ip`.
pub async fn find_user_by(
    switch: &Arc<Switch>,
    keys: &str,
    user: &str,
    domain: &str,
    ip: Option<&str>,
    fill: impl Fn(&mut Event),
) -> Option<FoundUser> {
    ask_for_user(switch, keys, user, domain, ip, fill).await.ok().flatten()
}

/// As [`find_user_by`].
///
/// # Errors
/// [`Unanswered`] when the user was not found, but a binding could not be asked.
pub async fn ask_for_user(
    switch: &Arc<Switch>,
    keys: &str,
    user: &str,
    domain: &str,
    ip: Option<&str>,
    fill: impl Fn(&mut Event),
) -> Result<Option<FoundUser>, Unanswered> {
    let mut unanswered = None;
    for key in keys.split(':') {
        let kept = switch.xml.users.get(key, user, domain);
        let fresh = kept.is_none();
        let directory = match kept {
            Some(directory) => directory,
            None => {
                let fill = |event: &mut Event| {
                    fill(event);
                    event.push("key", key).push("user", user).push("domain", domain);
                    event.push_some("ip", ip);
                };
                let (directory, nobody) =
                    ask_for_directory(switch, EventName::RequestParams, domain, fill).await;
                unanswered = unanswered.or(nobody);
                directory
            }
        };
        let Some(found) = directory.find_user_by(key, user, domain, ip) else { continue };
        if fresh {
            switch.xml.users.put(key, user, domain, &found, &directory);
        }
        return Ok(Some(FoundUser {
            user: found,
            directory,
            key: key.to_owned(),
            name: user.to_owned(),
            domain: domain.to_owned(),
        }));
    }
    unanswered.map_or(Ok(None), Err)
}
