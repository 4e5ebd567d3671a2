//! A message becomes one of a box: row, events, mail, copies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dialplan_xml::directory::Directory;
use esl_server::event::Event;
use switch_core::BoxFuture;
use switch_core::call::Channel;
use switch_core::switch::Switch;
use switch_core::{clock, text, xml};

use crate::boxes::{self, Boxes};
use crate::mail;
use crate::mwi::{self, Reason};
use crate::owner::Owner;
use crate::recording;
use crate::store::{INBOX, Message, NORMAL};

/// Copies of copies (`vm-cc`); deeper is a loop.
const MAX_COPIES: usize = 8;
/// Bytes of a path in the table.
const LONGEST_PATH: usize = 250;

/// A message on its way into a box.
pub(crate) struct Delivery {
    /// Its file.
    pub(crate) path: PathBuf,
    /// The file is another's: the box gets a copy.
    pub(crate) copy: bool,
    /// 0 when they are not known.
    pub(crate) seconds: i64,
    pub(crate) read_flags: String,
    pub(crate) cid_name: String,
    pub(crate) cid_number: String,
    pub(crate) forwarded_by: String,
    pub(crate) uuid: String,
    /// The call it was left by.
    pub(crate) channel: Option<Arc<Channel>>,
    /// How many boxes it came through.
    pub(crate) depth: usize,
}

/// Brings a message into a box. False when it cannot be kept.
pub(crate) fn deliver<'a>(
    switch: &'a Arc<Switch>,
    boxes: &'a Arc<Boxes>,
    owner: &'a Owner,
    new: Delivery,
) -> BoxFuture<'a, bool> {
    Box::pin(async move {
        let folder = owner.folder(&boxes.profile, &switch.dirs.storage_dir);
        if let Err(error) = tokio::fs::create_dir_all(&folder).await {
            tracing::error!("Error creating {}: {error}", folder.display());
            return false;
        }
        let path = match new.copy {
            true => copy_into(&folder, &new).await,
            false => new.path.clone(),
        };
        if !crate::prompts::exists(&path.to_string_lossy()).await {
            // Nothing to keep; the reference calls that success.
            return true;
        }
        let seconds = if new.seconds > 0 { new.seconds } else { recording::measure(&path).await };
        let message = Message {
            created: clock::now_secs(),
            user: owner.id.clone(),
            domain: owner.domain.clone(),
            uuid: new.uuid.clone(),
            cid_name: new.cid_name.clone(),
            cid_number: new.cid_number.clone(),
            folder: INBOX.to_owned(),
            path: path.to_string_lossy().into_owned(),
            seconds,
            read_flags: new.read_flags.clone(),
            forwarded_by: new.forwarded_by.clone(),
            ..Message::default()
        };
        let keeps = owner.param("vm-keep-local-after-email").is_none_or(text::is_true);
        if keeps && !keep(switch, boxes, &message, new.channel.as_deref()).await {
            return false;
        }
        mail::of_new_message(switch, boxes, owner, &message, new.channel.as_ref(), keeps).await;
        send_copies(switch, owner, &message, &new).await;
        true
    })
}

/// The row, and where its result is sent.
pub(crate) async fn keep(
    switch: &Arc<Switch>,
    boxes: &Boxes,
    message: &Message,
    channel: Option<&Channel>,
) -> bool {
    match boxes.store.insert(message).await {
        Ok(true) => {}
        // It was stored by the process that was killed.
        Ok(false) => return true,
        Err(error) => {
            tracing::error!(
                "Voicemail profile {}: {} cannot be stored: {error}",
                boxes.profile.name,
                message.path
            );
            return false;
        }
    }
    let fill = |event: &mut Event| {
        event.push("VM-Action", "leave-message");
        event.push("VM-User", message.user.as_str());
        event.push("VM-Domain", message.domain.as_str());
        event.push("VM-Caller-ID-Name", message.cid_name.as_str());
        event.push("VM-Caller-ID-Number", message.cid_number.as_str());
        event.push("VM-File-Path", message.path.as_str());
        event.push("VM-Flags", message.read_flags.as_str());
        event.push("VM-Folder", message.folder.as_str());
        event.push("VM-UUID", message.uuid.as_str());
        event.push("VM-Message-Len", message.seconds.to_string());
        event.push("VM-Timestamp", message.created.to_string());
    };
    match channel {
        Some(channel) => channel.fire_custom("vm::maintenance", fill, |_| {}),
        None => {
            let mut event = Event::custom("vm::maintenance");
            fill(&mut event);
            esl_server::fire!(switch.bus, event);
        }
    }
    mwi::update(switch, boxes, &message.user, &message.domain, Reason::New).await;
    true
}

/// Copies the file under a name of its own, so that a copy that is cut off is not taken for a message.
async fn copy_into(folder: &Path, new: &Delivery) -> PathBuf {
    let given = new.path.to_string_lossy();
    let name = given.rsplit('/').next().unwrap_or_default();
    let mut path = folder.join(format!("msg_{}_broadcast_{name}", new.uuid));
    if path.as_os_str().len() >= LONGEST_PATH {
        let ending = name.rsplit_once('.').map_or("wav", |(_, ending)| ending);
        let name = format!("msg_{}_broadcast_{}.{ending}", new.uuid, clock::now_us());
        path = folder.join(name);
    }
    let part = path.with_extension("part");
    let copied = match tokio::fs::copy(&new.path, &part).await {
        Ok(_) => tokio::fs::rename(&part, &path).await,
        Err(error) => Err(error),
    };
    if let Err(error) = copied {
        tracing::error!("Cannot copy {given} to {}: {error}", path.display());
        let _gone = tokio::fs::remove_file(&part).await;
    }
    path
}

/// `vm-cc`: the same message for other boxes.
async fn send_copies(switch: &Arc<Switch>, owner: &Owner, message: &Message, new: &Delivery) {
    let by_call = new.channel.as_ref().and_then(|channel| channel.variable("vm_cc"));
    let Some(list) = by_call.as_deref().or_else(|| owner.param("vm-cc")) else { return };
    if new.depth >= MAX_COPIES {
        tracing::error!("vm-cc of {}@{} leads in a circle", owner.id, owner.domain);
        return;
    }
    for target in list.split(',').map(str::trim).filter(|target| !target.is_empty()) {
        let order = Injection {
            target: target.to_owned(),
            path: message.path.clone(),
            cid_number: message.cid_number.clone(),
            cid_name: message.cid_name.clone(),
            forwarded_by: format!("{}@{}", owner.id, owner.domain),
            read_flags: message.read_flags.clone(),
            depth: new.depth + 1,
        };
        if inject(switch, order, new.channel.clone()).await {
            switch_core::log_notice!("Sent Carbon Copy to {target}");
        } else {
            tracing::error!("Failed to Carbon Copy to {target}");
        }
    }
}

/// A file that is to become a message of one or many boxes.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    /// `user[@domain[@profile]]`, `group=name[@domain]`, `domain=name`.
    pub(crate) target: String,
    pub(crate) path: String,
    pub(crate) cid_number: String,
    pub(crate) cid_name: String,
    pub(crate) forwarded_by: String,
    pub(crate) read_flags: String,
    pub(crate) depth: usize,
}

impl Injection {
    /// Reads `target file [number] [name] [forwarded by] [flags]`; `None` with too few words.
    pub(crate) fn parse(arguments: &str) -> Option<Self> {
        let words = text::words(arguments, 6);
        let word = |index: usize| words.get(index).filter(|word| !word.is_empty()).cloned();
        let anonymous = || "anonymous".to_owned();
        Some(Self {
            target: word(0)?,
            path: word(1)?,
            cid_number: word(2).unwrap_or_else(anonymous),
            cid_name: word(3).unwrap_or_else(anonymous),
            forwarded_by: word(4).unwrap_or_default(),
            read_flags: word(5).unwrap_or_else(|| NORMAL.to_owned()),
            depth: 0,
        })
    }
}

/// Whom an injection is for.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    User(String),
    Group(String),
    All,
}

/// Takes a target apart: whom, domain, profile; the domain may be missing.
fn target_of(text: &str) -> (Target, Option<String>, Option<String>) {
    let (name, rest) = text.split_once('@').map_or((text, None), |(name, rest)| (name, Some(rest)));
    let (domain, profile) = match rest {
        None => (None, None),
        Some(rest) => match rest.split_once('@') {
            Some((domain, profile)) => (Some(domain.to_owned()), Some(profile.to_owned())),
            None => (Some(rest.to_owned()), Some(rest.to_owned())),
        },
    };
    let prefixed = |prefix: &str| {
        name.get(..prefix.len()).filter(|own| own.eq_ignore_ascii_case(prefix))?;
        name.get(prefix.len()..).map(str::to_owned)
    };
    if let Some(group) = prefixed("group=") {
        return (Target::Group(group), domain, profile);
    }
    if let Some(all) = prefixed("domain=") {
        return (Target::All, Some(all.clone()), Some(all));
    }
    (Target::User(name.to_owned()), domain, profile)
}

/// Makes a file a message of boxes. False when no box got it.
pub(crate) fn inject(
    switch: &Arc<Switch>,
    order: Injection,
    channel: Option<Arc<Channel>>,
) -> BoxFuture<'_, bool> {
    Box::pin(async move {
        let (target, domain, profile) = target_of(&order.target);
        let domain = match domain.filter(|domain| !domain.is_empty()) {
            Some(domain) => domain,
            None => switch.global("domain").unwrap_or_default(),
        };
        if domain.is_empty() {
            tracing::error!("Invalid syntax [{}]", order.target);
            return false;
        }
        let named = profile.unwrap_or_else(|| domain.clone());
        let mut boxes = None;
        for name in [named.as_str(), domain.as_str(), "default"] {
            boxes = boxes::find(switch, name).await;
            if boxes.is_some() {
                break;
            }
        }
        let Some(boxes) = boxes else {
            tracing::error!("Can't find profile");
            return false;
        };
        let owners = owners_of(switch, &target, &domain, &order.forwarded_by).await;
        let mut given = false;
        for owner in &owners {
            let delivery = Delivery {
                path: PathBuf::from(&order.path),
                copy: true,
                seconds: 0,
                read_flags: order.read_flags.clone(),
                cid_name: order.cid_name.clone(),
                cid_number: order.cid_number.clone(),
                forwarded_by: order.forwarded_by.clone(),
                uuid: match &channel {
                    Some(channel) => channel.uuid().to_string(),
                    None => clock::new_uuid(),
                },
                channel: channel.clone(),
                depth: order.depth,
            };
            given |= deliver(switch, &boxes, owner, delivery).await;
        }
        // An empty group or domain is no mistake, a user who is not there is.
        given || (owners.is_empty() && !matches!(target, Target::User(_)))
    })
}

async fn owners_of(
    switch: &Arc<Switch>,
    target: &Target,
    domain: &str,
    forwarded_by: &str,
) -> Vec<Owner> {
    let fill = |params: &mut Event| {
        match target {
            Target::Group(group) => params.push("group", group.as_str()),
            Target::All => params.push("user", "_all_"),
            Target::User(user) => params.push("user", user.as_str()),
        };
        params.push_some("Forwarded-By", Some(forwarded_by).filter(|by| !by.is_empty()));
        params.push("domain", domain);
        params.push("purpose", "publish-vm");
    };
    let directory: Directory = xml::directory(switch, domain, fill).await;
    let Some(found) = directory.find_domain(domain) else {
        tracing::warn!("Cannot locate domain {domain}");
        return Vec::new();
    };
    let owner = |id: &str| directory.find_user(id, domain).map(|user| Owner::new(user, domain));
    match target {
        Target::User(user) => owner(user).into_iter().collect(),
        Target::Group(name) => {
            let group = found.groups.iter().find(|group| *group.name == **name);
            if group.is_none() {
                tracing::warn!("Cannot locate group {name}");
            }
            let members = group.into_iter().flat_map(|group| &group.members);
            members.filter_map(|member| owner(&member.id)).collect()
        }
        Target::All => {
            let members = found.groups.iter().flat_map(|group| &group.members);
            members.filter(|m| !m.pointer).filter_map(|member| owner(&member.id)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_users_groups_and_domains() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(target_of("1@d"), (Target::User("1".into()), some("d"), some("d")));
        assert_eq!(target_of("1@d@p"), (Target::User("1".into()), some("d"), some("p")));
        assert_eq!(target_of("1"), (Target::User("1".into()), None, None));
        assert_eq!(target_of("GROUP=g@d"), (Target::Group("g".into()), some("d"), some("d")));
        assert_eq!(target_of("domain=d"), (Target::All, some("d"), some("d")));
    }

    #[test]
    fn names_may_be_quoted_and_missing() {
        let read = Injection::parse("1@d /a.wav 555 'Inga B' 2@d A_URGENT").unwrap();
        assert_eq!((read.cid_name.as_str(), read.read_flags.as_str()), ("Inga B", "A_URGENT"));
        let read = Injection::parse("1@d /a.wav").unwrap();
        assert_eq!((read.cid_name.as_str(), read.read_flags.as_str()), ("anonymous", "B_NORMAL"));
        assert!(Injection::parse("1@d").is_none());
    }
}
