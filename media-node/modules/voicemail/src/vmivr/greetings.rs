//! Greetings, the owner's name and the password.

use switch_core::call::{AppResult, Session};

use super::conf::{Deed, Menu};
use super::fields::Fields;
use super::menus::Visit;
use super::talk;

/// `std_record_name`.
pub(super) async fn record_name(visit: &mut Visit, session: &mut Session) -> AppResult {
    let menu = visit.conf.menu("std_record_name");
    let fields = visit.fields(&menu, menu.attempts());
    if let Some(draft) = talk::record(session, &menu, &fields).await? {
        let words = visit.words(&[&draft.path()]);
        if visit.api(session, Deed::SetName, &words).await.is_none() {
            tracing::error!("{} did not take a name", visit.conf.command(Deed::SetName));
        }
        draft.discard().await;
    }
    Ok(())
}

/// `std_set_password`.
pub(super) async fn set_password(visit: &mut Visit, session: &mut Session) -> AppResult {
    let menu = visit.conf.menu("std_set_password");
    let mask = menu.setting("Password-Mask").unwrap_or("XXX.").to_owned();
    let fields = visit.fields(&menu, menu.attempts());
    let Some(password) = talk::typed(session, &menu, &mask, &fields).await? else { return Ok(()) };
    let words = visit.words(&[&password]);
    let set = visit.api(session, Deed::SetPassword, &words).await.is_some();
    let occasion = if set { "password_set" } else { "password_not_set" };
    talk::tell(session, &menu, occasion, "", &Fields::default()).await
}

/// The number of a greeting, as one key.
async fn slot(
    visit: &Visit,
    session: &mut Session,
    menu: &Menu,
) -> Result<Option<String>, switch_core::call::Interrupt> {
    let fields = visit.fields(menu, menu.attempts());
    talk::typed(session, menu, "X", &fields).await
}

/// `std_select_greeting_slot`.
pub(super) async fn select(visit: &mut Visit, session: &mut Session) -> AppResult {
    let menu = visit.conf.menu("std_select_greeting_slot");
    let Some(slot) = slot(visit, session, &menu).await? else { return Ok(()) };
    let words = visit.words(&[&slot]);
    if visit.api(session, Deed::SetGreeting, &words).await.is_none() {
        return talk::tell(session, &menu, "invalid_slot", "", &Fields::default()).await;
    }
    selected(visit, session, &menu, &slot).await
}

async fn selected(visit: &Visit, session: &mut Session, menu: &Menu, slot: &str) -> AppResult {
    let mut fields = Fields::default();
    visit.ask_for(session, Deed::GetGreeting, &[slot], &mut fields).await;
    talk::tell(session, menu, "selected_slot", slot, &fields).await
}

/// `std_record_greeting_with_slot`.
pub(super) async fn record(visit: &mut Visit, session: &mut Session) -> AppResult {
    let menu = visit.conf.menu("std_record_greeting_with_slot");
    let slot = slot(visit, session, &menu).await?;
    let Some(slot) = slot.filter(|slot| slot != "0") else { return Ok(()) };
    let inner = visit.conf.menu("std_record_greeting");
    let fields = visit.fields(&inner, inner.attempts());
    if let Some(draft) = talk::record(session, &inner, &fields).await? {
        let words = visit.words(&[&slot, &draft.path()]);
        let taken = visit.api(session, Deed::SetGreeting, &words).await.is_some();
        draft.discard().await;
        if taken {
            return selected(visit, session, &menu, &slot).await;
        }
        return talk::tell(session, &menu, "invalid_slot", "", &Fields::default()).await;
    }
    Ok(())
}
