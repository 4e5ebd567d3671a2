//! The messages of a box, one after the other.

use base::far;
use switch_core::call::display::Party;
use switch_core::call::{AppResult, Indication, Session};

use super::conf::{Deed, Menu};
use super::fields::Fields;
use super::menus::{FOLDER, Visit, rest_of};
use super::talk;

/// What happened to the message before, to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Deleted,
    Undeleted,
    Saved,
}

impl Done {
    const fn word(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Undeleted => "undeleted",
            Self::Saved => "saved",
        }
    }
}

/// Where a caller is among the messages.
struct Walk {
    uuids: Vec<String>,
    at: usize,
    done: Option<Done>,
    without_header: bool,
    without_message: bool,
}

/// `std_navigator`.
pub(super) async fn navigate(visit: &mut Visit, session: &mut Session) -> AppResult {
    let menu = visit.conf.menu("std_navigator");
    if !menu.is_whole() {
        return Ok(());
    }
    let mut listed = Fields::default();
    if !visit.ask_for(session, Deed::List, &[FOLDER, visit.filter.word()], &mut listed).await {
        tracing::error!(
            "API message list return invalid result : {}",
            visit.conf.command(Deed::List)
        );
        return Ok(());
    }
    let count = usize::try_from(listed.number("VM-List-Count")).unwrap_or(0);
    let uuid = |number: usize| listed.get(&format!("VM-List-Message-{number}-UUID"));
    let uuids: Vec<_> = (1..=count).map_while(uuid).map(str::to_owned).collect();
    if uuids.is_empty() {
        return Ok(());
    }
    let mut walk = Walk { uuids, at: 0, done: None, without_header: false, without_message: false };
    let mut left = menu.attempts();
    while left > 0 {
        session.check()?;
        let mut fields = visit.fields(&menu, left);
        left -= 1;
        let mut entry = talk::question(&menu);
        if let Some(done) = walk.done.take() {
            talk::say(session, &menu, &mut entry, ("ack", done.word()), &fields).await?;
        }
        if walk.at >= walk.uuids.len() {
            walk.at = walk.uuids.len() - 1;
            talk::tell(session, &menu, "no_more_messages", "", &Fields::default()).await?;
        }
        describe(visit, session, &walk, &mut fields).await;
        show(session, &fields).await?;
        if !walk.without_header {
            for occasion in ["say_msg_number", "say_date"] {
                talk::say(session, &menu, &mut entry, (occasion, ""), &fields).await?;
            }
        }
        if !walk.without_message {
            talk::say(session, &menu, &mut entry, ("play_message", ""), &fields).await?;
        }
        (walk.without_header, walk.without_message) = (false, false);
        talk::ask(session, &menu, &mut entry, "menu_options", &fields).await?;
        let chosen = visit.chosen(session, &menu, &entry).await?;
        let goes_on = match chosen {
            None => true,
            Some(action) => {
                left = menu.attempts();
                act(visit, session, (&menu, &fields), &mut walk, &action).await?
            }
        };
        drop_copy(&fields).await;
        if !goes_on {
            return Ok(());
        }
    }
    Ok(())
}

/// What phrases say of the message that is heard.
async fn describe(visit: &mut Visit, session: &mut Session, walk: &Walk, fields: &mut Fields) {
    let uuid = walk.uuids[walk.at].as_str();
    visit.ask_for(session, Deed::Get, &[uuid], fields).await;
    fields.set("VM-Message-Type", "new");
    fields.set("VM-Message-Number", (walk.at + 1).to_string());
    if fields.get("VM-Message-Private-Local-Copy").is_none() {
        fields.set("VM-Message-Private-Local-Copy", "False");
    }
    fields.set("VM-List-Count", walk.uuids.len().to_string());
    uuid.clone_into(&mut visit.current);
}

/// The phone shows whose message it is.
async fn show(session: &mut Session, fields: &Fields) -> AppResult {
    let text = |name: &str| fields.get(name).unwrap_or_default().to_owned();
    let party =
        Party { name: text("VM-Message-Caller-Name"), number: text("VM-Message-Caller-Number") };
    if session.channel().note_shown(&party) {
        let display = Indication::Display { name: party.name, number: party.number };
        let _not_every_leg_has_a_display = session.indicate(display).await;
    }
    session.check()
}

/// A file that was fetched for this caller alone goes.
async fn drop_copy(fields: &Fields) {
    let own = fields.get("VM-Message-Private-Local-Copy");
    if own.is_some_and(switch_core::text::is_true)
        && let Some(path) = fields.get("VM-Message-File-Path")
        && let Err(error) = tokio::fs::remove_file(path).await
    {
        tracing::warn!("Failed to delete temp file [{path}]: {error}");
    }
}

/// Does what a key stands for; false to leave the messages.
async fn act(
    visit: &mut Visit,
    session: &mut Session,
    (menu, fields): (&Menu, &Fields),
    walk: &mut Walk,
    action: &str,
) -> Result<bool, switch_core::call::Interrupt> {
    let words = visit.words(&[&walk.uuids[walk.at]]);
    match action.to_ascii_lowercase().as_str() {
        "delete_msg" => {
            let flags = fields.get("VM-Message-Flags").unwrap_or_default();
            let deleted = flags.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("delete"));
            let deed = if deleted { Deed::Undelete } else { Deed::Delete };
            if visit.api(session, deed, &words).await.is_none() {
                tracing::error!("{} did nothing", visit.conf.command(deed));
            } else if deleted {
                walk.done = Some(Done::Undeleted);
            } else {
                walk.done = Some(Done::Deleted);
                match menu.setting("Nav-Action-On-Delete") {
                    Some(next) if !next.eq_ignore_ascii_case("delete_msg") => {
                        return Box::pin(act(visit, session, (menu, fields), walk, next)).await;
                    }
                    _ => (walk.without_header, walk.without_message) = (true, true),
                }
            }
        }
        "save_msg" => {
            if visit.api(session, Deed::Save, &words).await.is_some() {
                walk.done = Some(Done::Saved);
            }
        }
        "skip_intro" => walk.without_header = true,
        "next_msg" => walk.at += 1,
        "prev_msg" => walk.at = walk.at.saturating_sub(1),
        "callback" => {
            // The number is a far end's: one word, whatever it holds.
            let number = fields.get("VM-Message-Caller-Number").unwrap_or_default();
            if !number.is_empty() {
                let argument = format!("{} XML {}", far::mark(number), visit.domain);
                session.execute("execute_extension", &argument).await?;
            }
        }
        "return" => return Ok(false),
        _ => {
            if let Some(name) = rest_of(action, "menu:") {
                visit.open(session, name).await?;
            }
        }
    }
    Ok(true)
}
