//! A caller leaves a message.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use esl_server::event::Event;
use switch_core::call::transfer::transfer;
use switch_core::call::{AppResult, Channel, Interrupt, Session};
use switch_core::{clock, text};

use crate::boxes::Boxes;
use crate::deliver::{Delivery, deliver};
use crate::mail::clock_time;
use crate::owner::{self, Owner};
use crate::profile::writable;
use crate::recording::{self, Outcome, Wish};
use crate::store::{NORMAL, Prefs, URGENT};
use crate::{check, prompts, unfinished};

/// Greetings a box may have.
pub(crate) const GREETINGS: i64 = 9;

/// What the call asks to be left out. The variables are used up by it.
#[derive(Clone, Copy, Debug)]
struct Skips {
    greeting: bool,
    instructions: bool,
    urgent_check: bool,
    goodbye: bool,
}

impl Skips {
    fn take(channel: &Channel) -> Self {
        let [greeting, instructions, urgent_check, goodbye] = [
            "skip_greeting",
            "skip_instructions",
            "skip_record_urgent_check",
            "voicemail_skip_goodbye",
        ]
        .map(|name| {
            let wanted = channel.is_true(name);
            channel.unset_var(name);
            wanted
        });
        Self { greeting, instructions, urgent_check, goodbye }
    }
}

/// The name and number a caller is known by.
fn caller(channel: &Channel) -> (String, String) {
    let profile = channel.profile();
    let of = |name: &str, own: String| channel.variable(name).unwrap_or(own);
    (
        of("effective_caller_id_name", profile.caller_id_name.clone()),
        of("effective_caller_id_number", profile.caller_id_number.clone()),
    )
}

/// The whole of it: greeting, message, thanks.
pub(crate) async fn leave(
    session: &mut Session,
    boxes: &Arc<Boxes>,
    id: &str,
    domain: &str,
) -> AppResult {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    let skips = Skips::take(&channel);
    let address = channel.var("network_addr");
    let fill = |params: &mut Event| {
        params.push("action", "voicemail-lookup");
    };
    let lookup = owner::find(&switch, id, domain, address.as_deref(), fill);
    let found = session.wait_for(lookup).await?;
    match &found {
        Some(owner) if !owner.is_enabled() => {
            tracing::warn!(uuid = %channel.uuid(), "User [{id}@{domain}] have voicemail disabled");
            return Ok(());
        }
        Some(owner) => {
            take_message(session, boxes, owner, skips).await?;
        }
        None => {
            tracing::warn!(uuid = %channel.uuid(), "Can't find user [{id}@{domain}]");
        }
    }
    session.check()?;
    if !skips.goodbye {
        prompts::tell(session, "voicemail_goodbye", "").await?;
    }
    Ok(())
}

/// Where a caller goes from the greeting.
enum After {
    /// To the tone, with or without instructions.
    Record { instructions: bool },
    /// Elsewhere.
    Left,
}

async fn take_message(
    session: &mut Session,
    boxes: &Arc<Boxes>,
    owner: &Owner,
    skips: Skips,
) -> AppResult {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    let profile = &boxes.profile;
    let folder = owner.folder(profile, &switch.dirs.storage_dir);
    if let Err(error) = session.wait_for(tokio::fs::create_dir_all(&folder)).await? {
        tracing::error!(uuid = %channel.uuid(), "Error creating {}: {error}", folder.display());
        return Ok(());
    }
    let prefs = match session.wait_for(boxes.store.prefs(&owner.id, &owner.domain)).await? {
        Ok(prefs) => prefs.unwrap_or_default(),
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "Voicemail profile {}: {error}", profile.name);
            Prefs::default()
        }
    };
    let own_extension = owner.param("vm-message-ext").map(str::to_owned);
    let extension = channel
        .variable("vm_message_ext")
        .or(own_extension)
        .unwrap_or_else(|| profile.file_extension.clone());
    let extension = writable(&extension, &owner.id);
    let path = folder.join(format!("msg_{}.{extension}", clock::new_uuid()));
    let instructions =
        owner.param("vm-skip-instructions").map_or(!skips.instructions, |v| !text::is_true(v));
    let visit = Visit { boxes, owner, folder: &folder, prefs: &prefs };
    let mut next = match skips.greeting {
        true => After::Record { instructions },
        false => greet(session, &visit, instructions).await?,
    };
    loop {
        let After::Record { instructions } = next else { return Ok(()) };
        if is_full(session, &visit).await? {
            return prompts::tell(session, "voicemail_disk_quota_exceeded", "").await;
        }
        match record(session, &visit, &path, instructions, skips).await? {
            // Operator or main menu, chosen instead of a message.
            Some(key) => {
                next = on_key(session, &visit, key, instructions).await?.unwrap_or(After::Left)
            }
            None => return Ok(()),
        }
    }
}

/// A caller in front of a box.
struct Visit<'v> {
    boxes: &'v Arc<Boxes>,
    owner: &'v Owner,
    folder: &'v Path,
    prefs: &'v Prefs,
}

/// The file of the greeting, if there is one.
fn greeting_of(channel: &Channel, visit: &Visit<'_>) -> String {
    let extension = &visit.boxes.profile.file_extension;
    if let Some(number) = channel.variable("voicemail_greeting_number") {
        let number = text::int(&number);
        return match (1..=GREETINGS).contains(&number) {
            true => visit
                .folder
                .join(format!("greeting_{number}.{extension}"))
                .to_string_lossy()
                .into_owned(),
            false => String::new(),
        };
    }
    channel.variable("voicemail_greeting_path").unwrap_or_else(|| visit.prefs.greeting_path.clone())
}

/// Plays the greeting until it was heard or a key leads elsewhere.
async fn greet(
    session: &mut Session,
    visit: &Visit<'_>,
    instructions: bool,
) -> Result<After, Interrupt> {
    let channel = Arc::clone(session.channel());
    let greeting = greeting_of(&channel, visit);
    loop {
        session.sleep(std::time::Duration::from_millis(100)).await?;
        let key = if session.wait_for(prompts::exists(&greeting)).await? {
            prompts::play_until_key(session, &greeting).await?
        } else {
            say_greeting(session, visit).await?
        };
        let Some(key) = key else { return Ok(After::Record { instructions }) };
        if let Some(after) = on_key(session, visit, key, instructions).await? {
            return Ok(after);
        }
    }
}

async fn say_greeting(session: &mut Session, visit: &Visit<'_>) -> Result<Option<char>, Interrupt> {
    if session.wait_for(prompts::exists(&visit.prefs.name_path)).await? {
        let key = prompts::play_until_key(session, &visit.prefs.name_path).await?;
        if key.is_some() {
            return Ok(key);
        }
    }
    let channel = session.channel();
    let id = visit
        .owner
        .param("vm-alternate-greet-id")
        .map(str::to_owned)
        .or_else(|| channel.variable("voicemail_alternate_greet_id"))
        .unwrap_or_else(|| visit.owner.id.clone());
    prompts::say_until(session, "voicemail_play_greeting", &id, prompts::ANY_KEY).await
}

/// A key in the greeting. `None` plays it again.
async fn on_key(
    session: &mut Session,
    visit: &Visit<'_>,
    key: char,
    instructions: bool,
) -> Result<Option<After>, Interrupt> {
    let profile = &visit.boxes.profile;
    let key = key.to_string();
    if profile.login_keys.contains(&key) {
        let who = (Some(visit.owner.id.as_str()), visit.owner.domain.as_str());
        Box::pin(check::check(session, visit.boxes, who, check::Proof::Asked, None)).await?;
        return Ok(Some(After::Record { instructions }));
    }
    let channel = Arc::clone(session.channel());
    let operator = channel
        .variable("vm_operator_extension")
        .or_else(|| visit.owner.param("vm-operator-extension").map(str::to_owned))
        .filter(|extension| !extension.is_empty())
        .unwrap_or_else(|| profile.operator_extension.clone());
    if key == profile.operator_key && !operator.is_empty() {
        return send_to(session, &operator).await.map(Some);
    }
    if key == profile.vmain_key {
        if !profile.vmain_extension.is_empty() {
            return send_to(session, &profile.vmain_extension).await.map(Some);
        }
        return Ok(Some(After::Record { instructions }));
    }
    Ok((key == profile.skip_greet_key).then_some(After::Record { instructions: false }))
}

/// Transfers the call to `number [dialplan [context]]`.
async fn send_to(session: &mut Session, extension: &str) -> Result<After, Interrupt> {
    let words = text::words(extension, 3);
    let word = |index: usize| words.get(index).map(String::as_str);
    if let Some(number) = word(0) {
        transfer(session.channel(), number, word(1), word(2));
    }
    session.check()?;
    Ok(After::Left)
}

/// `vm-disk-quota`: does the box hold as many seconds as it may?
async fn is_full(session: &mut Session, visit: &Visit<'_>) -> Result<bool, Interrupt> {
    let quota = visit.owner.quota();
    if quota <= 0 {
        return Ok(false);
    }
    let (id, domain) = (&visit.owner.id, &visit.owner.domain);
    let used = session.wait_for(visit.boxes.store.seconds(id, domain)).await?;
    let full = used.is_ok_and(|used| used >= quota);
    if full {
        switch_core::log_notice!("Voicemail disk quota is exceeded for {id}");
    }
    Ok(full)
}

fn set_tags(channel: &Channel, visit: &Visit<'_>, (name, number): (&str, &str)) {
    let profile = &visit.boxes.profile;
    channel.set_var("RECORD_ARTIST", base::far::mark(&format!("{name} ({number})")));
    let now = clock::local_stamp(clock::now_us());
    channel.set_var("RECORD_DATE", now.split('.').next().unwrap_or_default().to_owned());
    channel.set_var("RECORD_SOFTWARE", "FreeSWITCH");
    channel.set_var("RECORD_TITLE", profile.record_title.as_str());
    channel.set_var("RECORD_COMMENT", profile.record_comment.as_str());
    channel.set_var("RECORD_COPYRIGHT", profile.record_copyright.as_str());
}

/// Takes the message and delivers it. A key is given back that leads elsewhere.
async fn record(
    session: &mut Session,
    visit: &Visit<'_>,
    path: &PathBuf,
    instructions: bool,
    skips: Skips,
) -> Result<Option<char>, Interrupt> {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    let profile = &visit.boxes.profile;
    let (name, number) = caller(&channel);
    set_tags(&channel, visit, (&name, &number));
    let who = (&**channel.uuid(), name.as_str(), number.as_str());
    let begin = unfinished::begin(&switch, visit.boxes, visit.owner, path, who);
    let recorded = session.wait_for(begin).await?;
    let wish = Wish {
        prompt: if instructions { "voicemail_record_message" } else { "" },
        path,
        bounded: true,
        exits: &format!("{}{}", profile.operator_key, profile.vmain_key),
    };
    let (outcome, mut result) = recording::create(session, profile, &wish).await;
    let seconds = match outcome {
        Outcome::Kept(seconds) => seconds,
        Outcome::None | Outcome::Key(_) => {
            unfinished::forget(visit.boxes, path).await;
            result?;
            return Ok(if let Outcome::Key(key) = outcome { Some(key) } else { None });
        }
    };
    let mut flags = NORMAL;
    if result.is_ok() && !skips.urgent_check {
        match is_urgent(session, visit).await {
            Ok(true) => flags = URGENT,
            Ok(false) => {}
            Err(interrupt) => result = Err(interrupt),
        }
    }
    let delivery = Delivery {
        path: path.clone(),
        copy: false,
        seconds,
        read_flags: flags.to_owned(),
        cid_name: name,
        cid_number: number,
        forwarded_by: String::new(),
        uuid: channel.uuid().to_string(),
        channel: Some(Arc::clone(&channel)),
        depth: 0,
    };
    // Delivered to its end, whatever becomes of the call meanwhile.
    let delivered = deliver(&switch, visit.boxes, visit.owner, delivery).await;
    drop(recorded);
    if delivered {
        channel.set_var("voicemail_account", visit.owner.id.as_str());
        channel.set_var("voicemail_domain", visit.owner.domain.as_str());
        channel.set_var("voicemail_file_path", path.to_string_lossy().into_owned());
        channel.set_var("voicemail_read_flags", flags);
        channel.set_var("voicemail_message_len", clock_time(seconds));
    } else {
        tracing::error!(uuid = %channel.uuid(), "Failed to deliver message");
    }
    result?;
    if !delivered {
        prompts::tell(session, "voicemail_ack", "deleted").await?;
    }
    Ok(None)
}

async fn is_urgent(session: &mut Session, visit: &Visit<'_>) -> Result<bool, Interrupt> {
    let profile = &visit.boxes.profile;
    let keys = format!("{}:{}", profile.urgent_key, profile.terminator_key);
    let name = "voicemail_record_urgent_check";
    let typed = prompts::ask(session, name, &keys, 1, "", profile.digit_timeout).await?;
    let urgent = typed == profile.urgent_key;
    // The reference says it even where nothing was typed.
    let told =
        prompts::tell(session, "voicemail_ack", if urgent { "marked-urgent" } else { "saved" });
    // A caller who hangs up here has marked the message nevertheless.
    if let Err(interrupt) = told.await {
        return if urgent { Ok(true) } else { Err(interrupt) };
    }
    Ok(urgent)
}
