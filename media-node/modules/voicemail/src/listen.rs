//! One message is heard, and what is done with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::far;
use switch_core::call::display::Party;
use switch_core::call::{AppResult, Indication, Interrupt, Session};
use switch_core::clock;

use crate::check::Visitor;
use crate::deliver::{Injection, inject};
use crate::mail;
use crate::owner;
use crate::profile::DateAnnouncement;
use crate::prompts;
use crate::recording::{self, Outcome, Wish};
use crate::store::{Message, NORMAL};

/// Which messages are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    New,
    Saved,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Saved => "saved",
        }
    }
}

/// Which message comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    Next,
    Previous,
    Same,
}

/// Extensions asked for when a message is forwarded, at most, before the owner is asked what to do again.
const MAX_TRIES: usize = 10;
/// Digits of one.
const MAX_EXTENSION: usize = 64;

/// Where mail for the owner goes.
fn address<'o>(visitor: &'o Visitor<'_>) -> Option<&'o str> {
    visitor.owner.param("vm-mailto").or_else(|| visitor.owner.param("email-addr"))
}

/// Plays a message and does with it what the owner says.
pub(crate) async fn listen(
    session: &mut Session,
    visitor: &Visitor<'_>,
    message: &Message,
    kind: Kind,
    index: usize,
) -> Result<Move, Interrupt> {
    let channel = Arc::clone(session.channel());
    let profile = &visitor.boxes.profile;
    show(session, message).await?;
    if !message.cid_number.is_empty() && channel.is_true("vm_announce_cid") {
        prompts::tell(session, "voicemail_say_phone_number", &message.cid_number).await?;
    }
    // Keys that end what is said before and after the message.
    let ending = prompts::ending_keys(profile);
    let outside = format!("{ending}{}", profile.email_key);
    let number = format!("{}:{}", kind.as_str(), index + 1);
    let name = "voicemail_say_message_number";
    let mut key = prompts::say_until(session, name, &number, &outside).await?;
    loop {
        key = play(session, visitor, message, key, (&ending, &outside)).await?;
        let typed = match key.take().filter(|key| !profile.terminator_key.contains(*key)) {
            Some(key) => key.to_string(),
            None => ask(session, visitor).await?,
        };
        let is = |key: &str| typed == key;
        if is(&profile.previous_key) {
            return Ok(Move::Previous);
        } else if is(&profile.repeat_key) {
            return Ok(Move::Same);
        } else if is(&profile.next_key) {
            return Ok(Move::Next);
        } else if is(&profile.listen_file_key) {
            continue;
        } else if is(&profile.callback_key) {
            call_back(session, visitor, message).await?;
        } else if is(&profile.forward_key) {
            return forward(session, visitor, message).await;
        } else if is(&profile.delete_file_key) {
            mark(visitor, message, "delete").await;
            prompts::tell(session, "voicemail_ack", "deleted").await?;
        } else if is(&profile.email_key) && address(visitor).is_some() {
            mail_it(session, visitor, message).await?;
        } else {
            mark(visitor, message, "save").await;
            prompts::tell(session, "voicemail_ack", "saved").await?;
        }
        return Ok(Move::Next);
    }
}

async fn mark(visitor: &Visitor<'_>, message: &Message, flag: &str) {
    visitor.noted(visitor.boxes.store.flag(&message.uuid, flag, None).await);
}

/// The phone shows whose message it is.
async fn show(session: &mut Session, message: &Message) -> AppResult {
    let party = Party { name: message.cid_name.clone(), number: message.cid_number.clone() };
    if session.channel().note_shown(&party) {
        let display = Indication::Display { name: party.name, number: party.number };
        let _not_every_leg_has_a_display = session.indicate(display).await;
    }
    session.check()
}

/// Date, message, date, as far as no key ends it.
async fn play(
    session: &mut Session,
    visitor: &Visitor<'_>,
    message: &Message,
    mut key: Option<char>,
    (ending, outside): (&str, &str),
) -> Result<Option<char>, Interrupt> {
    let profile = &visitor.boxes.profile;
    let (name, when) = ("voicemail_say_date", message.created.to_string());
    if key.is_none() && profile.date_announcement == DateAnnouncement::First {
        key = prompts::say_until(session, name, &when, outside).await?;
    }
    if key.is_none_or(|key| profile.skip_info_key.contains(key)) {
        key = None;
        if session.wait_for(prompts::exists(&message.path)).await? {
            let path = Path::new(&message.path);
            key = prompts::play_recording(session, profile, path, ending).await?;
        } else {
            tracing::error!(uuid = %session.channel().uuid(), "{}: the message is gone", message.path);
        }
    }
    if key.is_none() && profile.date_announcement == DateAnnouncement::Last {
        key = prompts::say_until(session, name, &when, outside).await?;
    }
    Ok(key)
}

async fn ask(session: &mut Session, visitor: &Visitor<'_>) -> Result<String, Interrupt> {
    let profile = &visitor.boxes.profile;
    let mut keys = [
        &profile.repeat_key,
        &profile.save_file_key,
        &profile.delete_file_key,
        &profile.email_key,
        &profile.callback_key,
        &profile.forward_key,
    ]
    .map(String::as_str)
    .join(":");
    if let Some(address) = address(visitor) {
        keys.push(':');
        keys.push_str(address);
    }
    let name = "voicemail_listen_file_check";
    prompts::ask(session, name, &keys, 1, "", profile.digit_timeout).await
}

/// Calls the sender of the message, and comes back.
async fn call_back(session: &mut Session, visitor: &Visitor<'_>, message: &Message) -> AppResult {
    let channel = Arc::clone(session.channel());
    let profile = &visitor.boxes.profile;
    let of = |name: &str, own: &str| channel.variable(name).unwrap_or_else(|| own.to_owned());
    let dialplan = of("voicemail_callback_dialplan", &profile.callback_dialplan);
    let context = of("voicemail_callback_context", &profile.callback_context);
    // The number is a far end's: one word, whatever it holds.
    let number = far::mark(&message.cid_number);
    session.execute("execute_extension", &format!("{number} {dialplan} {context}")).await
}

/// The message goes to another box, with words in front of it if the owner likes.
async fn forward(
    session: &mut Session,
    visitor: &Visitor<'_>,
    message: &Message,
) -> Result<Move, Interrupt> {
    let profile = &visitor.boxes.profile;
    let keys = format!("{}:{}", profile.prepend_key, profile.forward_key);
    let (name, time) = ("voicemail_forward_prepend", profile.digit_timeout);
    let typed = prompts::ask(session, name, &keys, 1, "", time).await?;
    let mut file = PathBuf::from(&message.path);
    let mut made = None;
    if typed == profile.prepend_key {
        match prepend(session, visitor, &file).await? {
            Some(joined) => {
                made = Some(joined.clone());
                file = joined;
            }
            None => return Ok(Move::Next),
        }
    }
    let result = forward_to(session, visitor, message, &file).await;
    if let Some(made) = made {
        let _gone = tokio::fs::remove_file(made).await;
    }
    result
}

/// Records an introduction and joins it with the message. `None` when there is none.
async fn prepend(
    session: &mut Session,
    visitor: &Visitor<'_>,
    original: &Path,
) -> Result<Option<PathBuf>, Interrupt> {
    let temp = session.switch().dirs.temp_dir.clone();
    let file = |name: String| temp.join(name);
    let words = file(format!("msg_{}.wav", clock::new_uuid()));
    let wish = Wish { prompt: "voicemail_record_message", path: &words, bounded: true, exits: "" };
    let (outcome, result) = recording::create(session, &visitor.boxes.profile, &wish).await;
    if result.is_err() || !matches!(outcome, Outcome::Kept(_)) {
        let _gone = tokio::fs::remove_file(&words).await;
        result?;
        return Ok(None);
    }
    let joined = file(format!("msg_{}.wav", clock::new_uuid()));
    let parts = vec![words.clone(), original.to_owned()];
    let done = recording::join(parts, &joined).await;
    let _gone = tokio::fs::remove_file(&words).await;
    if let Err(error) = done {
        tracing::error!(uuid = %session.channel().uuid(), "Error merging files: {error}");
        prompts::tell(session, "voicemail_ack", "deleted").await?;
        return Ok(None);
    }
    Ok(Some(joined))
}

async fn forward_to(
    session: &mut Session,
    visitor: &Visitor<'_>,
    message: &Message,
    file: &Path,
) -> Result<Move, Interrupt> {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    let profile = &visitor.boxes.profile;
    let terminator = profile.terminator_key.as_str();
    for _ in 0..MAX_TRIES {
        let name = "voicemail_forward_message_enter_extension";
        let time = profile.digit_timeout;
        let extension =
            prompts::read(session, name, terminator, MAX_EXTENSION, terminator, time).await?;
        let lookup = owner::find(&switch, &extension, visitor.domain(), None, |_| {});
        let found = match extension.is_empty() {
            true => None,
            false => session.wait_for(lookup).await?,
        };
        if let Some(to) = found.filter(owner::Owner::is_enabled) {
            let order = Injection {
                target: format!("{}@{}@{}", to.id, visitor.domain(), profile.name),
                path: file.to_string_lossy().into_owned(),
                cid_number: message.cid_number.clone(),
                cid_name: message.cid_name.clone(),
                forwarded_by: String::new(),
                read_flags: NORMAL.to_owned(),
                depth: 0,
            };
            if inject(&switch, order, Some(Arc::clone(&channel))).await {
                switch_core::log_notice!("Forwarded message to {extension}");
                prompts::tell(session, "voicemail_ack", "saved").await?;
                return Ok(Move::Same);
            }
            tracing::error!(uuid = %channel.uuid(), "Failed to forward message to {extension}");
        } else {
            tracing::warn!(
                uuid = %channel.uuid(),
                "Failed to forward message - Cannot locate user {extension}@{}", visitor.domain()
            );
        }
        prompts::tell(session, "voicemail_invalid_extension", &extension).await?;
    }
    Ok(Move::Same)
}

/// The message goes to the owner's address and out of the box, once the mail is on its way.
async fn mail_it(session: &mut Session, visitor: &Visitor<'_>, message: &Message) -> AppResult {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    let Some(to) = address(visitor).map(str::to_owned) else { return Ok(()) };
    let zone = visitor.owner.timezone();
    let owner = Some(&visitor.owner);
    let sending = mail::of_old_message(&switch, visitor.boxes, owner, message, &to, zone);
    match session.wait_for(sending).await? {
        Ok(variables) => {
            for (name, value) in variables {
                channel.set_var(name, far::mark(&value));
            }
            mark(visitor, message, "delete").await;
            prompts::tell(session, "voicemail_ack", "emailed").await
        }
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "Cannot send mail to {to}: {error}");
            mark(visitor, message, "save").await;
            prompts::tell(session, "voicemail_ack", "saved").await
        }
    }
}
