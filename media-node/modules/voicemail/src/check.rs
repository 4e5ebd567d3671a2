//! The owner hears the messages of a box: who it is, what there is, and the menus.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use esl_server::event::Event;
use md5::{Digest as _, Md5};
use switch_core::call::{AppResult, Cause, Interrupt, Session};

use crate::boxes::Boxes;
use crate::listen::{self, Kind, Move};
use crate::mwi::{self, Reason};
use crate::owner::{self, Owner};
use crate::store::{Counts, INBOX, Message, Prefs, Which};
use crate::{options, prompts};

/// What a caller has to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The password.
    Asked,
    /// Nothing: the dialplan knows the caller.
    Known,
    /// The password, and nothing else is wanted (`auth_only`).
    Only,
}

/// An owner who is let in.
pub(crate) struct Visitor<'v> {
    pub(crate) boxes: &'v Arc<Boxes>,
    pub(crate) owner: Owner,
    pub(crate) folder: PathBuf,
}

impl Visitor<'_> {
    pub(crate) fn id(&self) -> &str {
        &self.owner.id
    }

    pub(crate) fn domain(&self) -> &str {
        &self.owner.domain
    }

    /// `vm::maintenance` of this box and call.
    pub(crate) fn tell(&self, session: &Session, fill: impl FnOnce(&mut Event)) {
        session.channel().fire_custom("vm::maintenance", fill, |_| {});
    }

    /// Says in the log what the database said.
    pub(crate) fn noted<T: Default>(&self, asked: Result<T, database::Error>) -> T {
        asked.unwrap_or_else(|error| {
            tracing::error!("Voicemail profile {}: {error}", self.boxes.profile.name);
            T::default()
        })
    }
}

/// How the attempt to come in ended.
enum Entrance {
    In(Owner),
    /// Too many wrong passwords.
    Failed,
    /// No such box, or nothing was typed.
    Out,
}

/// The whole visit. `only` is the one message that is to be heard.
pub(crate) async fn check(
    session: &mut Session,
    boxes: &Arc<Boxes>,
    (id, domain): (Option<&str>, &str),
    proof: Proof,
    only: Option<&str>,
) -> AppResult {
    let channel = Arc::clone(session.channel());
    let auth_only = proof == Proof::Only || channel.is_true("vm_auth_only");
    prompts::tell(session, "voicemail_hello", "").await?;
    let entrance = come_in(session, boxes, (id, domain), proof).await;
    if auth_only {
        return end_of_proof(session, entrance?, domain).await;
    }
    let failed = match entrance? {
        Entrance::In(owner) => {
            let folder = owner.folder(&boxes.profile, &session.switch().dirs.storage_dir);
            let made = session.wait_for(tokio::fs::create_dir_all(&folder)).await?;
            if let Err(error) = made {
                tracing::error!(uuid = %channel.uuid(), "Error creating {}: {error}", folder.display());
            } else {
                let visitor = Visitor { boxes, owner, folder };
                options::put_back(&visitor.folder).await;
                visit(session, &visitor, only).await?;
            }
            false
        }
        Entrance::Failed => true,
        Entrance::Out => false,
    };
    session.check()?;
    if failed {
        prompts::tell(session, "voicemail_abort", "").await?;
    }
    prompts::tell(session, "voicemail_goodbye", "").await
}

/// `auth_only`: the dialplan goes on with a caller who is known, or the call ends.
async fn end_of_proof(session: &mut Session, entrance: Entrance, domain: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    match entrance {
        Entrance::In(owner) => {
            channel.set_var("user_pin_authenticated", "true");
            channel.set_var("user_pin_authenticated_user", owner.id.as_str());
            session.execute("set_user", &format!("{}@{domain}", owner.id)).await
        }
        other => {
            if matches!(other, Entrance::Failed) {
                prompts::tell(session, "voicemail_abort", "").await?;
            }
            prompts::tell(session, "voicemail_goodbye", "").await?;
            channel.hangup(Cause::USER_CHALLENGE);
            Err(Interrupt::Hangup)
        }
    }
}

/// The pause between the steps of a visit.
pub(crate) async fn pause(session: &mut Session) -> AppResult {
    session.sleep(Duration::from_millis(100)).await
}

async fn come_in(
    session: &mut Session,
    boxes: &Arc<Boxes>,
    (given, domain): (Option<&str>, &str),
    proof: Proof,
) -> Result<Entrance, Interrupt> {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    let profile = &boxes.profile;
    let terminator = profile.terminator_key.as_str();
    let address = channel.var("network_addr");
    pause(session).await?;
    let mut attempts = profile.max_login_attempts;
    let mut id = given.map(str::to_owned);
    loop {
        pause(session).await?;
        if attempts <= 0 {
            return Ok(Entrance::Failed);
        }
        attempts -= 1;
        let name = match id.clone() {
            Some(id) => id,
            None => {
                let (name, time) = ("voicemail_enter_id", profile.digit_timeout);
                let typed = prompts::ask(session, name, terminator, 0, terminator, time).await?;
                if typed.is_empty() {
                    continue;
                }
                typed
            }
        };
        let caller = channel.profile();
        let number = channel.variable("effective_caller_id_number");
        let fill = |params: &mut Event| {
            params.push("action", "voicemail-lookup");
            params.push("destination_number", caller.destination_number.as_str());
            params.push("caller_id_number", number.as_deref().unwrap_or(&caller.caller_id_number));
        };
        let lookup = owner::find(&switch, &name, domain, address.as_deref(), fill);
        let Some(owner) = session.wait_for(lookup).await? else {
            tracing::warn!(uuid = %channel.uuid(), "Can't find user [{name}@{domain}]");
            return Ok(Entrance::Out);
        };
        if !owner.is_enabled() {
            tracing::warn!(uuid = %channel.uuid(), "User [{name}@{domain}] have voicemail disabled");
            return Ok(Entrance::Out);
        }
        if let Some(zone) = owner.timezone() {
            channel.set_var("timezone", zone);
        }
        let prefs = session.wait_for(boxes.store.prefs(&owner.id, domain)).await?;
        let stored = match prefs {
            Ok(prefs) => prefs.unwrap_or_default(),
            Err(error) => {
                // The password in the database may be the one that counts: without it logins are refused.
                tracing::error!(uuid = %channel.uuid(), "Voicemail profile {}: {error}", profile.name);
                if proof != Proof::Known {
                    return Ok(Entrance::Out);
                }
                Prefs::default()
            }
        };
        let secrets = Secrets::of(&owner, &stored, boxes);
        let mut passed = proof == Proof::Known || secrets.chosen_freely;
        if !passed {
            let (name, time) = ("voicemail_enter_pass", profile.digit_timeout);
            let typed = prompts::ask(session, name, terminator, 0, terminator, time).await?;
            if typed.is_empty() {
                id = Some(owner.id);
                continue;
            }
            passed = secrets.fit(&owner, &typed);
        }
        channel.fire_custom(
            "vm::maintenance",
            |event| {
                event.push("VM-Action", "authentication");
                event.push("VM-Auth-Result", if passed { "success" } else { "fail" });
                event.push("VM-User", owner.id.as_str());
                event.push("VM-Domain", domain.to_owned());
            },
            |_| {},
        );
        if passed {
            return Ok(Entrance::In(owner));
        }
        prompts::tell(session, "voicemail_fail_auth", "").await?;
        id = given.map(str::to_owned);
    }
}

/// What may be typed as the password of a box.
struct Secrets {
    /// The owner's own, set by phone.
    stored: String,
    /// The directory's, unless the owner's replaces it.
    written: Option<String>,
    hash: Option<String>,
    /// No password is asked for before the first is set.
    chosen_freely: bool,
    /// Without any password every caller is let in.
    open: bool,
}

impl Secrets {
    fn of(owner: &Owner, stored: &Prefs, boxes: &Boxes) -> Self {
        let profile = &boxes.profile;
        let stored = stored.password.clone();
        let own = |name: &str| owner.param(name).map(str::to_owned);
        let voicemail = own("vm-password");
        let free = voicemail.as_deref().is_some_and(|v| v.eq_ignore_ascii_case("user-choose"));
        let chosen_freely = free && stored.is_empty() && profile.allow_empty_password;
        // `user-choose` is no password.
        let written = voicemail.filter(|_| !free).or_else(|| own("password").filter(|_| !free));
        let hash = own("vm-a1-hash").or_else(|| own("a1-hash"));
        let open = profile.allow_empty_password
            && written.is_none()
            && hash.is_none()
            && stored.is_empty()
            && !free;
        let replaced = profile.db_password_override && !stored.is_empty();
        Self {
            written: written.filter(|_| !replaced),
            hash: hash.filter(|_| !replaced),
            stored,
            chosen_freely,
            open,
        }
    }

    fn fit(&self, owner: &Owner, typed: &str) -> bool {
        if self.open || (!self.stored.is_empty() && self.stored == typed) {
            return true;
        }
        if self.written.as_deref() == Some(typed) {
            return true;
        }
        self.hash.as_deref().is_some_and(|hash| {
            let text = format!("{}:{}:{typed}", owner.id, owner.domain);
            let digest = Md5::digest(text.as_bytes());
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            hex.eq_ignore_ascii_case(hash)
        })
    }
}

/// Where a visit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Summary,
    Menu,
    Options,
    Messages(Kind),
    End,
}

async fn visit(session: &mut Session, visitor: &Visitor<'_>, only: Option<&str>) -> AppResult {
    let mut place = Place::Summary;
    let mut turns = visitor.boxes.profile.max_retries;
    // New messages play by themselves once.
    let mut heard = false;
    let mut key = None;
    while place != Place::End {
        pause(session).await?;
        place = match place {
            Place::Summary => summary(session, visitor, &mut heard, &mut key).await?,
            Place::Menu => {
                if turns <= 0 {
                    return Ok(());
                }
                turns -= 1;
                let next = menu(session, visitor, key.take()).await?;
                if matches!(next, Place::Messages(_)) {
                    turns = visitor.boxes.profile.max_retries;
                }
                next
            }
            Place::Options => match options::menu(session, visitor).await? {
                true => Place::Menu,
                false => Place::Options,
            },
            Place::Messages(kind) => {
                heard = true;
                play_all(session, visitor, kind, only).await?;
                Place::Summary
            }
            Place::End => Place::End,
        };
    }
    Ok(())
}

async fn counts(session: &mut Session, visitor: &Visitor<'_>) -> Result<Counts, Interrupt> {
    let counts = visitor.boxes.store.counts(visitor.id(), visitor.domain());
    Ok(visitor.noted(session.wait_for(counts).await?))
}

/// Says how many messages there are.
async fn summary(
    session: &mut Session,
    visitor: &Visitor<'_>,
    heard: &mut bool,
    key: &mut Option<char>,
) -> Result<Place, Interrupt> {
    let channel = Arc::clone(session.channel());
    let auto_play = channel.variable("vm_auto_play").is_none_or(|v| switch_core::text::is_true(&v));
    channel.set_var("voicemail_current_folder", INBOX);
    let Counts { new, saved, new_urgent, saved_urgent } = counts(session, visitor).await?;
    visitor.tell(session, |event| {
        event.push("VM-Action", "folder-summary");
        event.push("VM-User", visitor.id().to_owned());
        event.push("VM-Domain", visitor.domain().to_owned());
        event.push("VM-Folder", INBOX);
        event.push("VM-Total-New-Messages", new.to_string());
        event.push("VM-Total-Saved-Messages", saved.to_string());
        event.push("VM-Total-New-Urgent-Messages", new_urgent.to_string());
        event.push("VM-Total-Saved-Urgent-Messages", saved_urgent.to_string());
    });
    let name = "voicemail_message_count";
    let mut said = false;
    let others = new - new_urgent;
    for (count, kind) in [(new_urgent, "urgent-new"), (if others > 0 { new } else { 0 }, "new")] {
        if count > 0 {
            let data = format!("{count}:{kind}");
            *key = prompts::say_until(session, name, &data, prompts::ANY_KEY).await?;
            said = true;
            if auto_play && key.is_some() {
                return Ok(Place::Menu);
            }
        }
    }
    if auto_play && !*heard && new > 0 {
        *heard = true;
        return Ok(Place::Messages(Kind::New));
    }
    if !said {
        for data in ["0:new".to_owned(), format!("{saved}:saved")] {
            let pressed = prompts::say_until(session, name, &data, prompts::ANY_KEY).await?;
            *key = pressed.or(*key);
        }
    }
    Ok(Place::Menu)
}

/// The main menu; `pressed` is a key that came before it was said.
async fn menu(
    session: &mut Session,
    visitor: &Visitor<'_>,
    pressed: Option<char>,
) -> Result<Place, Interrupt> {
    let profile = &visitor.boxes.profile;
    let typed = match pressed {
        Some(key) => key.to_string(),
        None => {
            let keys = format!(
                "{}:{}:{}:{}",
                profile.play_new_key,
                profile.play_saved_key,
                profile.config_menu_key,
                profile.terminator_key
            );
            prompts::ask(session, "voicemail_menu", &keys, 1, "", profile.digit_timeout).await?
        }
    };
    Ok(if typed == profile.play_new_key {
        Place::Messages(Kind::New)
    } else if typed == profile.play_saved_key {
        Place::Messages(Kind::Saved)
    } else if typed == profile.terminator_key {
        Place::End
    } else if typed == profile.config_menu_key {
        Place::Options
    } else {
        Place::Menu
    })
}

/// Plays the messages of one kind; what was decided about them holds even if the caller hangs up meanwhile.
async fn play_all(
    session: &mut Session,
    visitor: &Visitor<'_>,
    kind: Kind,
    only: Option<&str>,
) -> AppResult {
    let result = play_each(session, visitor, kind, only).await;
    let (switch, boxes) = (Arc::clone(session.switch()), visitor.boxes);
    let (id, domain) = (visitor.id(), visitor.domain());
    visitor.noted(boxes.store.settle(id, domain).await);
    purge(visitor).await;
    mwi::update(&switch, boxes, id, domain, Reason::Purge).await;
    result
}

async fn play_each(
    session: &mut Session,
    visitor: &Visitor<'_>,
    kind: Kind,
    only: Option<&str>,
) -> AppResult {
    let profile = &visitor.boxes.profile;
    let counts = counts(session, visitor).await?;
    let (which, newest_first, total) = match kind {
        Kind::New => (Which::Unread, profile.new_lifo, counts.new),
        Kind::Saved => (Which::Read, profile.saved_lifo, counts.saved),
    };
    let total = usize::try_from(total).unwrap_or(0);
    let mut index = 0;
    while index < total {
        let (id, domain) = (visitor.id(), visitor.domain());
        let all = visitor.boxes.store.messages(id, domain, which, newest_first);
        let all = visitor.noted(session.wait_for(all).await?);
        let Some(message) = all.get(index) else { break };
        if only.is_some_and(|only| only != message.uuid) {
            index += 1;
            continue;
        }
        index = match listen::listen(session, visitor, message, kind, index).await? {
            Move::Next => index + 1,
            Move::Previous => index.saturating_sub(1),
            Move::Same => index,
        };
    }
    Ok(())
}

/// Deletes what is marked so: the file first, so that a row never outlives its file in silence.
pub(crate) async fn purge(visitor: &Visitor<'_>) {
    let store = &visitor.boxes.store;
    let marked =
        store.messages(visitor.id(), visitor.domain(), Which::Flagged("delete"), false).await;
    for Message { path, .. } in visitor.noted(marked) {
        if let Err(error) = tokio::fs::remove_file(&path).await {
            tracing::warn!("Failed to delete file [{path}]: {error}");
        }
        visitor.noted(store.delete_path(&path).await);
    }
}
