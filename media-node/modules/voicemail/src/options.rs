//! What an owner sets up by phone: greetings, name, password.

use std::path::{Path, PathBuf};
use std::time::Duration;

use switch_core::call::{AppResult, Interrupt, Session};
use switch_core::xml;

use crate::check::Visitor;
use crate::leave::GREETINGS;
use crate::prompts;
use crate::recording::{self, Outcome, Wish};
use crate::store::Pref;

/// Digits of a password at most.
const MAX_PASSWORD: usize = 255;
/// For a new password's next digit.
const PASSWORD_TIME: Duration = Duration::from_secs(10);
/// Refused passwords in a row after which the menu is said again.
const MAX_REFUSED: usize = 10;

/// In the name of a recording that was there before.
const OLD: &str = "_OLD";

/// The menu, once; true when the caller is done with it.
pub(crate) async fn menu(session: &mut Session, visitor: &Visitor<'_>) -> Result<bool, Interrupt> {
    let profile = &visitor.boxes.profile;
    let keys = [
        &profile.record_greeting_key,
        &profile.choose_greeting_key,
        &profile.record_name_key,
        &profile.change_pass_key,
        &profile.main_menu_key,
    ]
    .map(String::as_str)
    .join(":");
    let (name, time) = ("voicemail_config_menu", profile.digit_timeout);
    let typed = prompts::ask(session, name, &keys, 1, "", time).await?;
    if typed == profile.main_menu_key {
        return Ok(true);
    } else if typed == profile.choose_greeting_key {
        choose_greeting(session, visitor, &keys).await?;
    } else if typed == profile.record_greeting_key {
        record_greeting(session, visitor, &keys).await?;
    } else if typed == profile.change_pass_key {
        change_password(session, visitor).await?;
    } else if typed == profile.record_name_key {
        record_name(session, visitor).await?;
    }
    Ok(false)
}

async fn number(
    session: &mut Session,
    visitor: &Visitor<'_>,
    keys: &str,
) -> Result<(i64, String), Interrupt> {
    let time = visitor.boxes.profile.digit_timeout;
    let name = "voicemail_choose_greeting";
    let typed = prompts::ask(session, name, keys, 1, "", time).await?;
    // Neither `*` nor silence chooses a greeting.
    Ok((typed.parse().unwrap_or(-1), typed))
}

fn greeting_file(visitor: &Visitor<'_>, number: i64) -> PathBuf {
    let extension = &visitor.boxes.profile.file_extension;
    visitor.folder.join(format!("greeting_{number}.{extension}"))
}

async fn choose_greeting(session: &mut Session, visitor: &Visitor<'_>, keys: &str) -> AppResult {
    let (number, typed) = number(session, visitor, keys).await?;
    let file = (number > 0).then(|| greeting_file(visitor, number));
    let mut fits = (0..=GREETINGS).contains(&number);
    if let Some(file) = file.as_ref().filter(|_| fits) {
        fits = session.wait_for(prompts::exists(&file.to_string_lossy())).await?;
        if fits {
            prompts::play_recording(session, &visitor.boxes.profile, file, "").await?;
        }
    }
    if !fits {
        return prompts::tell(session, "voicemail_choose_greeting_fail", "").await;
    }
    prompts::tell(session, "voicemail_greeting_selected", &typed).await?;
    let path = file.map(|file| file.to_string_lossy().into_owned());
    set(visitor, Pref::Greeting, path.as_deref()).await;
    visitor.tell(session, |event| {
        match &path {
            Some(path) => {
                event.push("VM-Action", "change-greeting");
                event.push("VM-Greeting-Path", path.as_str());
            }
            None => {
                event.push("VM-Action", "remove-greeting");
            }
        }
        event.push("VM-User", visitor.id().to_owned());
        event.push("VM-Domain", visitor.domain().to_owned());
    });
    Ok(())
}

async fn set(visitor: &Visitor<'_>, pref: Pref, value: Option<&str>) {
    let set = visitor.boxes.store.set_pref(visitor.id(), visitor.domain(), pref, value);
    visitor.noted(set.await);
}

async fn record_greeting(session: &mut Session, visitor: &Visitor<'_>, keys: &str) -> AppResult {
    let (number, _) = number(session, visitor, keys).await?;
    if !(1..=GREETINGS).contains(&number) {
        return prompts::tell(session, "voicemail_choose_greeting_fail", "").await;
    }
    let path = greeting_file(visitor, number);
    let wish = Wish { prompt: "voicemail_record_greeting", path: &path, bounded: true, exits: "" };
    if let Some(path) = replace(session, visitor, &wish).await? {
        set(visitor, Pref::Greeting, Some(&path)).await;
        told(session, visitor, "record-greeting", "VM-Greeting-Path", &path);
    }
    Ok(())
}

async fn record_name(session: &mut Session, visitor: &Visitor<'_>) -> AppResult {
    let extension = &visitor.boxes.profile.file_extension;
    let path = visitor.folder.join(format!("recorded_name.{extension}"));
    let wish = Wish { prompt: "voicemail_record_name", path: &path, bounded: false, exits: "" };
    if let Some(path) = replace(session, visitor, &wish).await? {
        set(visitor, Pref::Name, Some(&path)).await;
        told(session, visitor, "record-name", "VM-Name-Path", &path);
    }
    Ok(())
}

fn told(
    session: &Session,
    visitor: &Visitor<'_>,
    action: &'static str,
    header: &'static str,
    path: &str,
) {
    visitor.tell(session, |event| {
        event.push("VM-Action", action);
        event.push(header, path.to_owned());
        event.push("VM-User", visitor.id().to_owned());
        event.push("VM-Domain", visitor.domain().to_owned());
    });
}

/// The name the recording has while its successor is made.
fn old_name(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}{OLD}.{ending}"))
}

/// Records in the place of what is there, which comes back if nothing comes of it. The path, if something did.
async fn replace(
    session: &mut Session,
    visitor: &Visitor<'_>,
    wish: &Wish<'_>,
) -> Result<Option<String>, Interrupt> {
    let old = old_name(wish.path);
    let _there = tokio::fs::rename(wish.path, &old).await;
    let (outcome, result) = recording::create(session, &visitor.boxes.profile, wish).await;
    if result.is_ok() && matches!(outcome, Outcome::Kept(_)) {
        let _gone = tokio::fs::remove_file(&old).await;
        return Ok(Some(wish.path.to_string_lossy().into_owned()));
    }
    let _gone = tokio::fs::remove_file(wish.path).await;
    let _back = tokio::fs::rename(&old, wish.path).await;
    result.map(|()| None)
}

/// Greetings and names whose successor was being recorded when the process ended come back.
pub(crate) async fn put_back(folder: &Path) {
    let Ok(mut entries) = tokio::fs::read_dir(folder).await else { return };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name.starts_with("greeting_") || name.starts_with("recorded_name");
        if let (true, Some((stem, ending))) = (ours, name.split_once(&format!("{OLD}."))) {
            let path = folder.join(format!("{stem}.{ending}"));
            let _back = tokio::fs::rename(entry.path(), path).await;
        }
    }
}

async fn change_password(session: &mut Session, visitor: &Visitor<'_>) -> AppResult {
    let profile = &visitor.boxes.profile;
    let terminator = profile.terminator_key.as_str();
    for _ in 0..MAX_REFUSED {
        let name = "voicemail_enter_pass";
        let typed =
            prompts::read(session, name, terminator, MAX_PASSWORD, terminator, PASSWORD_TIME)
                .await?;
        let empty = typed.is_empty() && !profile.allow_empty_password;
        if !empty && !is_refused(session, visitor, &typed).await? {
            set(visitor, Pref::Password, Some(&typed)).await;
            prompts::tell(session, "voicemail_change_pass_success", "").await?;
            visitor.tell(session, |event| {
                event.push("VM-Action", "change-password");
                event.push("VM-User-Password", typed.as_str());
                event.push("VM-User", visitor.id().to_owned());
                event.push("VM-Domain", visitor.domain().to_owned());
            });
            return Ok(());
        }
        prompts::tell(session, "voicemail_change_pass_fail", "").await?;
    }
    Ok(())
}

/// The server of the directory may refuse a new password: `<result success="false"/>` in the user.
async fn is_refused(
    session: &mut Session,
    visitor: &Visitor<'_>,
    password: &str,
) -> Result<bool, Interrupt> {
    let switch = std::sync::Arc::clone(session.switch());
    if !switch.xml.serve("directory") {
        return Ok(false);
    }
    // Not from memory: the answer is about this password.
    let (id, domain) = (visitor.id(), visitor.domain());
    let directory = xml::directory(&switch, domain, |params| {
        params.push("VM-Action", "change-password");
        params.push("VM-User-Password", password);
        params.push("VM-User", id.to_owned());
        params.push("VM-Domain", domain.to_owned());
        params.push("key", "id").push("user", id.to_owned()).push("domain", domain.to_owned());
    });
    let directory = session.wait_for(directory).await?;
    let user = directory.user_xml("id", id, domain);
    let result = user.as_ref().and_then(|user| user.child("result")).cloned();
    Ok(result.is_some_and(|r| !r.attr("success").is_some_and(switch_core::text::is_true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_greeting_comes_back_when_its_successor_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("greeting_3.wav");
        assert_eq!(old_name(&path), folder.path().join("greeting_3_OLD.wav"));
        std::fs::write(&path, "half of a new one").unwrap();
        std::fs::write(old_name(&path), "the old one").unwrap();
        put_back(folder.path()).await;
        assert_eq!(std::fs::read(&path).unwrap(), b"the old one");
        assert!(!old_name(&path).exists());
    }
}
