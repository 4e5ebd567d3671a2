//! `vm_fsdb_…`: what menus of their own (mod_voicemail_ivr, scripts) do with a box. Success is said as `-OK`, and data
//! as an event in JSON, as the reference has it.

use std::path::PathBuf;
use std::sync::Arc;

use esl_server::event::{Event, EventName};
use switch_core::api;
use switch_core::api::{Api, ApiCall};
use switch_core::clock;

use crate::boxes::{self, Boxes};
use crate::commands::told;
use crate::deliver::{Injection, inject};
use crate::leave::GREETINGS;
use crate::mwi::{self, Reason};
use crate::store::{Counts, Message, NORMAL, Pref, Which};
use crate::{mail, owner, prompts, recording};

/// The family.
pub(crate) const APIS: &[Api] = &[
    api!(
        "vm_fsdb_auth_login",
        "mod_voicemail",
        "<profile> <domain> <user> <password>",
        "vm_fsdb_auth_login",
        async auth_login
    ),
    api!(
        "vm_fsdb_msg_count",
        "mod_voicemail",
        "<format> <profile> <domain> <user> <folder>",
        "vm_fsdb_msg_count",
        async msg_count
    ),
    api!(
        "vm_fsdb_msg_list",
        "mod_voicemail",
        "<format> <profile> <domain> <user> <folder> <filter> [msg-order = ASC | DESC]",
        "vm_fsdb_msg_list",
        async msg_list
    ),
    api!(
        "vm_fsdb_msg_get",
        "mod_voicemail",
        "<format> <profile> <domain> <user> <uuid>",
        "vm_fsdb_msg_get",
        async msg_get
    ),
    api!(
        "vm_fsdb_msg_delete",
        "mod_voicemail",
        "<profile> <domain> <user> <uuid>",
        "vm_fsdb_msg_delete",
        async msg_delete
    ),
    api!(
        "vm_fsdb_msg_undelete",
        "mod_voicemail",
        "<profile> <domain> <user> <uuid>",
        "vm_fsdb_msg_undelete",
        async msg_undelete
    ),
    api!(
        "vm_fsdb_msg_email",
        "mod_voicemail",
        "<profile> <domain> <user> <uuid> <email>",
        "vm_fsdb_msg_email",
        async msg_email
    ),
    api!(
        "vm_fsdb_msg_purge",
        "mod_voicemail",
        "<profile> <domain> <user>",
        "vm_fsdb_msg_purge",
        async msg_purge
    ),
    api!(
        "vm_fsdb_msg_save",
        "mod_voicemail",
        "<profile> <domain> <user> <uuid>",
        "vm_fsdb_msg_save",
        async msg_save
    ),
    api!(
        "vm_fsdb_msg_forward",
        "mod_voicemail",
        "<profile> <domain> <user> <uuid> <dst_domain> <dst_user> [prepend_file_location]",
        "vm_fsdb_msg_forward",
        async msg_forward
    ),
    api!(
        "vm_fsdb_pref_greeting_set",
        "mod_voicemail",
        "<profile> <domain> <user> <slot> [file-path]",
        "vm_fsdb_pref_greeting_set",
        async greeting_set
    ),
    api!(
        "vm_fsdb_pref_greeting_get",
        "mod_voicemail",
        "<format> <profile> <domain> <user> [slot]",
        "vm_fsdb_pref_greeting_get",
        async greeting_get
    ),
    api!(
        "vm_fsdb_pref_recname_set",
        "mod_voicemail",
        "<profile> <domain> <user> <file-path>",
        "vm_fsdb_pref_recname_set",
        async recname_set
    ),
    api!(
        "vm_fsdb_pref_password_set",
        "mod_voicemail",
        "<profile> <domain> <user> <password>",
        "vm_fsdb_pref_password_set",
        async password_set
    ),
];

const MISSING: &str = "-ERR Missing Arguments\n";
const NO_PROFILE: &str = "-ERR Profile not found\n";
const OK: &str = "-OK\n";

/// The box a command is about, and its further arguments.
struct Asked {
    call: ApiCall,
    boxes: Arc<Boxes>,
    domain: String,
    user: String,
    rest: Vec<String>,
}

impl Asked {
    /// Reads `profile domain user …`, behind a format where there is one; at least `least` further arguments.
    async fn read(call: ApiCall, format: bool, least: usize) -> Result<Self, &'static str> {
        let mut words = call.words(8);
        if format && !words.is_empty() {
            // It is ignored: there is one form.
            words.remove(0);
        }
        if words.len() < 3 + least {
            return Err(MISSING);
        }
        let rest = words.split_off(3);
        let [profile, domain, user] = &words[..] else { return Err(MISSING) };
        let boxes = boxes::find(&call.switch, profile).await.ok_or(NO_PROFILE)?;
        Ok(Self { boxes, domain: domain.clone(), user: user.clone(), rest, call })
    }

    fn word(&self, index: usize) -> &str {
        self.rest.get(index).map_or("", String::as_str)
    }

    /// An event as text, with the block every event has.
    fn data(&self, fill: impl FnOnce(&mut Event)) -> String {
        let mut event = Event::new(EventName::RequestParams);
        esl_server::stamp!(self.call.switch.bus, &mut event);
        fill(&mut event);
        String::from_utf8_lossy(&event.json()).into_owned()
    }

    /// Where greetings and names of the box go: below the switch's storage, whatever `storage-dir` the profile has, as the
    /// reference does it; what a box says is found by its row.
    fn folder(&self) -> PathBuf {
        let dirs = &self.call.switch.dirs;
        dirs.storage_dir
            .join("voicemail")
            .join(&self.boxes.profile.name)
            .join(owner::component(&self.domain))
            .join(owner::component(&self.user))
    }

    async fn message(&self) -> Result<Option<Message>, database::Error> {
        let listed = self.boxes.store.listed(&self.user, &self.domain, Some(self.word(0))).await?;
        Ok(listed.into_iter().next())
    }

    async fn set(&self, pref: Pref, value: &str) -> String {
        match self.boxes.store.set_pref(&self.user, &self.domain, pref, Some(value)).await {
            Ok(()) => OK.into(),
            Err(error) => told(&error),
        }
    }
}

async fn auth_login(call: ApiCall) -> String {
    let asked = match Asked::read(call, false, 1).await {
        Ok(asked) => asked,
        Err(why) => return why.into(),
    };
    let (user, domain, profile) = (&asked.user, &asked.domain, &asked.boxes.profile);
    let found = owner::find(&asked.call.switch, user, domain, None, |_| {}).await;
    let Some(owner) = found else {
        tracing::warn!("Can't find user [{user}@{domain}]");
        return "-ERR User not found\n".into();
    };
    let stored = match asked.boxes.store.prefs(user, domain).await {
        Ok(prefs) => prefs.unwrap_or_default().password,
        Err(error) => return told(&error),
    };
    if !owner.is_enabled() {
        return "-ERR Login Denied".into();
    }
    let written = owner.param("vm-password").unwrap_or_default();
    let typed = asked.word(0);
    let fits = |password: &str| !password.is_empty() && password.eq_ignore_ascii_case(typed);
    let open = profile.allow_empty_password && stored.is_empty() && written.is_empty();
    let replaced = profile.db_password_override && !stored.is_empty();
    let passed = open || fits(&stored) || (!replaced && fits(written));
    if passed { "-OK" } else { "-ERR" }.into()
}

async fn msg_count(call: ApiCall) -> String {
    let asked = match Asked::read(call, true, 1).await {
        Ok(asked) => asked,
        Err(why) => return why.into(),
    };
    let store = &asked.boxes.store;
    match store.counts_by_flag(&asked.user, &asked.domain, asked.word(0)).await {
        Ok(Counts { new, saved, new_urgent, saved_urgent }) => asked.data(|event| {
            event.push("VM-Total-New-Messages", new.to_string());
            event.push("VM-Total-New-Urgent-Messages", new_urgent.to_string());
            event.push("VM-Total-Saved-Messages", saved.to_string());
            event.push("VM-Total-Saved-Urgent-Messages", saved_urgent.to_string());
        }),
        Err(error) => told(&error),
    }
}

async fn msg_list(call: ApiCall) -> String {
    let asked = match Asked::read(call, true, 2).await {
        Ok(asked) => asked,
        Err(why) => return why.into(),
    };
    let newest_first = match asked.word(2).to_ascii_uppercase().as_str() {
        "" | "ASC" => false,
        "DESC" => true,
        _ => return format!("-ERR Bad Argument: '{}'\n", asked.word(2)),
    };
    let which = match asked.word(1).to_ascii_lowercase().as_str() {
        "not-read" => Which::Unread,
        "new" => Which::Flagged(""),
        "save" => Which::Flagged("save"),
        _ => Which::Read,
    };
    let store = &asked.boxes.store;
    match store.messages(&asked.user, &asked.domain, which, newest_first).await {
        Ok(messages) => asked.data(|event| {
            for (index, message) in messages.iter().enumerate() {
                let name = format!("VM-List-Message-{}-UUID", index + 1);
                event.push(name, message.uuid.as_str());
            }
            event.push("VM-List-Count", messages.len().to_string());
        }),
        Err(error) => told(&error),
    }
}

async fn msg_get(call: ApiCall) -> String {
    let asked = match Asked::read(call, true, 1).await {
        Ok(asked) => asked,
        Err(why) => return why.into(),
    };
    match asked.message().await {
        Ok(message) => asked.data(|event| {
            if let Some(message) = &message {
                describe(event, message);
            }
        }),
        Err(error) => told(&error),
    }
}

fn describe(event: &mut Event, message: &Message) {
    event.push("VM-Message-Received-Epoch", message.created.to_string());
    event.push("VM-Message-Read-Epoch", message.read.to_string());
    event.push("VM-Message-UUID", message.uuid.as_str());
    event.push("VM-Message-Caller-Name", message.cid_name.as_str());
    event.push("VM-Message-Caller-Number", message.cid_number.as_str());
    event.push("VM-Message-Folder", message.folder.as_str());
    event.push("VM-Message-File-Path", message.path.as_str());
    event.push("VM-Message-Duration", message.seconds.to_string());
    event.push("VM-Message-Flags", message.flags.as_str());
    event.push("VM-Message-Read-Flags", message.read_flags.as_str());
    event.push("VM-Message-Forwarded-By", message.forwarded_by.as_str());
}

async fn flagged(call: ApiCall, flag: &'static str) -> String {
    let asked = match Asked::read(call, false, 1).await {
        Ok(asked) => asked,
        Err(why) => return why.into(),
    };
    let of = Some((asked.user.as_str(), asked.domain.as_str()));
    match asked.boxes.store.flag(asked.word(0), flag, of).await {
        Ok(()) => OK.into(),
        Err(error) => told(&error),
    }
}

async fn msg_delete(call: ApiCall) -> String {
    flagged(call, "delete").await
}

async fn msg_undelete(call: ApiCall) -> String {
    flagged(call, "").await
}

async fn msg_save(call: ApiCall) -> String {
    flagged(call, "save").await
}

async fn msg_purge(call: ApiCall) -> String {
    let asked = match Asked::read(call, false, 0).await {
        Ok(asked) => asked,
        Err(why) => return why.into(),
    };
    let store = &asked.boxes.store;
    let which = Which::Flagged("delete");
    let marked = match store.messages(&asked.user, &asked.domain, which, false).await {
        Ok(marked) => marked,
        Err(error) => return told(&error),
    };
    for Message { path, .. } in marked {
        if let Err(error) = tokio::fs::remove_file(&path).await {
            tracing::warn!("Failed to delete file [{path}]: {error}");
            if error.kind() != std::io::ErrorKind::NotFound {
                continue;
            }
        }
        if let Err(error) = store.delete_path(&path).await {
            return told(&error);
        }
    }
    let switch = &asked.call.switch;
    mwi::update(switch, &asked.boxes, &asked.user, &asked.domain, Reason::Purge).await;
    OK.into()
}

async fn msg_email(call: ApiCall) -> String {
    let asked = match Asked::read(call, false, 2).await {
        Ok(asked) => asked,
        Err(why) => return why.into(),
    };
    let switch = &asked.call.switch;
    let found = owner::find(switch, &asked.user, &asked.domain, None, |_| {}).await;
    let Some(owner) = found else { return "-ERR Can't locate user.\n".into() };
    let message = match asked.message().await {
        Ok(Some(message)) => message,
        Ok(None) => return "-ERR Invalid Message UUID\n".into(),
        Err(error) => return told(&error),
    };
    let zone = owner.timezone();
    let sent =
        mail::of_old_message(switch, &asked.boxes, None, &message, asked.word(1), zone).await;
    match sent {
        Ok(_) => OK.into(),
        Err(error) => {
            tracing::error!("Cannot send mail to {}: {error}", asked.word(1));
            format!("-ERR {error}\n")
        }
    }
}

async fn msg_forward(call: ApiCall) -> String {
    let asked = match Asked::read(call, false, 3).await {
        Ok(asked) => asked,
        Err(why) => return why.into(),
    };
    let message = match asked.message().await {
        Ok(message) => message.unwrap_or_default(),
        Err(error) => return told(&error),
    };
    if !prompts::exists(&message.path).await {
        return format!("-ERR Cannot find source msg to forward: {}\n", message.path);
    }
    let mut path = message.path.clone();
    let mut made = None;
    if prompts::exists(asked.word(3)).await {
        let temp = &asked.call.switch.dirs.temp_dir;
        let joined = temp.join(format!("msg_{}.wav", clock::new_uuid()));
        let parts = vec![PathBuf::from(asked.word(3)), PathBuf::from(&path)];
        if recording::join(parts, &joined).await.is_err() {
            return "-ERR Error Merging the file\n".into();
        }
        path = joined.to_string_lossy().into_owned();
        made = Some(joined);
    }
    let order = Injection {
        target: format!("{}@{}", asked.word(2), asked.word(1)),
        path,
        cid_number: message.cid_number,
        cid_name: message.cid_name,
        forwarded_by: String::new(),
        read_flags: NORMAL.to_owned(),
        depth: 0,
    };
    let done = inject(&asked.call.switch, order, None).await;
    if let Some(made) = made {
        let _gone = tokio::fs::remove_file(made).await;
    }
    if done { OK.into() } else { "-ERR Error Forwarding Message\n".into() }
}

async fn greeting_set(call: ApiCall) -> String {
    let asked = match Asked::read(call, false, 1).await {
        Ok(asked) => asked,
        Err(why) => return why.into(),
    };
    let slot = asked.word(0).parse::<i64>().unwrap_or(0);
    if !(1..=GREETINGS + 1).contains(&slot) {
        return MISSING.into();
    }
    let name = format!("greeting_{slot}.{}", asked.boxes.profile.file_extension);
    let path = asked.folder().join(name);
    if !asked.word(1).is_empty()
        && let Some(refusal) = take_over(&asked, asked.word(1), &path).await
    {
        return refusal;
    }
    let text = path.to_string_lossy().into_owned();
    if !prompts::exists(&text).await {
        return format!("-ERR Recording doesn't exist [{text}]\n");
    }
    asked.set(Pref::Greeting, &text).await
}

/// Moves a file into a box; what to say if that cannot be.
async fn take_over(asked: &Asked, from: &str, to: &std::path::Path) -> Option<String> {
    if !prompts::exists(from).await {
        return Some("-ERR Filename doesn't exist\n".into());
    }
    let moved = async {
        tokio::fs::create_dir_all(asked.folder()).await?;
        match tokio::fs::rename(from, to).await {
            // Another file system.
            Err(_) => tokio::fs::copy(from, to).await.map(drop),
            done => done,
        }
    };
    moved.await.err().map(|error| format!("-ERR {error}\n"))
}

async fn greeting_get(call: ApiCall) -> String {
    let asked = match Asked::read(call, true, 0).await {
        Ok(asked) => asked,
        Err(why) => return why.into(),
    };
    let path = match asked.boxes.store.prefs(&asked.user, &asked.domain).await {
        Ok(prefs) => prefs.unwrap_or_default().greeting_path,
        Err(error) => return told(&error),
    };
    if path.is_empty() {
        return "-ERR No greeting found\n".into();
    }
    asked.data(|event| {
        event.push("VM-Preference-Greeting-File-Path", path);
        event.push("VM-Preference-Greeting-Slot", "Not Implemented yet");
        event.push("VM-Preference-Greeting-Selected", "True");
    })
}

async fn recname_set(call: ApiCall) -> String {
    let asked = match Asked::read(call, false, 1).await {
        Ok(asked) => asked,
        Err(why) => return why.into(),
    };
    let name = format!("recorded_name.{}", asked.boxes.profile.file_extension);
    let path = asked.folder().join(name);
    if let Some(refusal) = take_over(&asked, asked.word(0), &path).await {
        return refusal;
    }
    asked.set(Pref::Name, &path.to_string_lossy()).await
}

async fn password_set(call: ApiCall) -> String {
    let asked = match Asked::read(call, false, 1).await {
        Ok(asked) => asked,
        Err(why) => return why.into(),
    };
    asked.set(Pref::Password, asked.word(0)).await
}
