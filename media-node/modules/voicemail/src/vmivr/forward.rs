//! A message goes to another box, with words in front of it if the owner likes.

use switch_core::call::{AppResult, Session};

use super::conf::Deed;
use super::fields::Fields;
use super::menus::{Visit, rest_of};
use super::talk::{self, Draft};

/// `std_forward`.
pub(super) async fn forward(visit: &mut Visit, session: &mut Session) -> AppResult {
    let menu = visit.conf.menu("std_forward_ask_prepend");
    if !menu.is_whole() {
        return Ok(());
    }
    let mut left = menu.attempts();
    while left > 0 {
        session.check()?;
        let fields = visit.fields(&menu, left);
        left -= 1;
        let mut entry = talk::question(&menu);
        talk::ask(session, &menu, &mut entry, "menu_options", &fields).await?;
        let Some(action) = visit.chosen(session, &menu, &entry).await? else { continue };
        left = menu.attempts();
        match action.to_ascii_lowercase().as_str() {
            "return" => return Ok(()),
            "forward" => return send(visit, session, None).await,
            "prepend" => {
                let inner = visit.conf.menu("std_record_message");
                let fields = visit.fields(&inner, inner.attempts());
                if let Some(draft) = talk::record(session, &inner, &fields).await? {
                    return send(visit, session, Some(draft)).await;
                }
                talk::tell(session, &menu, "record_failed", "", &Fields::default()).await?;
            }
            _ => {
                if let Some(name) = rest_of(&action, "menu:") {
                    visit.open(session, name).await?;
                }
            }
        }
    }
    Ok(())
}

/// Asks for the box and sends the message there.
async fn send(visit: &mut Visit, session: &mut Session, before: Option<Draft>) -> AppResult {
    let result = send_with(visit, session, before.as_ref()).await;
    if let Some(draft) = before {
        draft.discard().await;
    }
    result
}

async fn send_with(visit: &mut Visit, session: &mut Session, before: Option<&Draft>) -> AppResult {
    let menu = visit.conf.menu("std_forward_ask_extension");
    let mut left = menu.attempts();
    while left > 0 {
        session.check()?;
        let fields = visit.fields(&menu, left);
        left -= 1;
        let Some(id) = talk::typed(session, &menu, "X.", &fields).await? else {
            talk::tell(session, &menu, "invalid_input", "", &Fields::default()).await?;
            continue;
        };
        let path = before.map(Draft::path);
        let mut more = vec![visit.current.as_str(), &visit.domain, &id];
        more.extend(path.as_deref());
        let words = visit.words(&more);
        if visit.api(session, Deed::Forward, &words).await.is_some() {
            return talk::tell(session, &menu, "ack", "saved", &Fields::default()).await;
        }
        talk::tell(session, &menu, "invalid_extension", "", &Fields::default()).await?;
    }
    Ok(())
}
