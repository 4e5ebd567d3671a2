//! `answer`, `pre_answer`, `ring_ready`, `hangup`, `sleep`, `park` and their kin: the life of one leg.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Cause, Interrupt, Session, Wake};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!("answer", "mod_dptools", Flags::NO_MEDIA, "", "Answer the call", answer),
    app!(
        "pre_answer",
        "mod_dptools",
        Flags::NO_MEDIA,
        "",
        "Pre-Answer the call for a channel.",
        pre_answer
    ),
    app!(
        "ring_ready",
        "mod_dptools",
        Flags::NO_MEDIA,
        "",
        "Indicate Ring_Ready on a channel.",
        ring_ready
    ),
    app!(
        "acknowledge_call",
        "mod_dptools",
        Flags::NO_MEDIA,
        "",
        "Indicate Call Acknowledged on a channel.",
        acknowledge
    ),
    app!(
        "wait_for_answer",
        "mod_dptools",
        Flags::NO_MEDIA,
        "",
        "Wait for call to be answered",
        wait_for_answer
    ),
    app!(
        "hangup",
        "mod_dptools",
        Flags::NO_MEDIA,
        "[<cause>]",
        "Hangup the call for a channel.",
        hangup
    ),
    app!(
        "sleep",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<pausemilliseconds>",
        "Pause a channel for given amount of milliseconds.",
        sleep
    ),
    app!("park", "mod_dptools", Flags::NO_MEDIA, "", "Park a call", park),
    app!("park_state", "mod_dptools", Flags::NONE, "", "Park a call by state", park_state),
    app!("break", "mod_dptools", Flags::NO_MEDIA, "", "Set the break flag.", set_break),
    app!("stop", "mod_dptools", Flags::NO_MEDIA.and(Flags::ROUTING), "", "Do Nothing", nothing),
    app!(
        "set_zombie_exec",
        "mod_dptools",
        Flags::NO_MEDIA.and(Flags::ROUTING).and(Flags::ZOMBIE),
        "",
        "Enable Zombie Execution",
        zombie
    ),
    app!(
        "early_hangup",
        "mod_dptools",
        Flags::NO_MEDIA.and(Flags::ROUTING),
        "",
        "Enable early hangup",
        nothing
    ),
];

async fn answer(session: &mut Session, _argument: &str) -> AppResult {
    let delay = session.channel().var("answer_delay").map_or(0, |text| text::int(&text));
    if let Some(delay) = u64::try_from(delay).ok().filter(|&delay| delay > 0) {
        session.sleep(Duration::from_millis(delay)).await?;
    }
    session.answer().await
}

async fn pre_answer(session: &mut Session, _argument: &str) -> AppResult {
    session.pre_answer().await
}

async fn ring_ready(session: &mut Session, argument: &str) -> AppResult {
    session.ring_ready(argument.eq_ignore_ascii_case("queued")).await
}

async fn acknowledge(session: &mut Session, _argument: &str) -> AppResult {
    session.check()
}

async fn wait_for_answer(session: &mut Session, _argument: &str) -> AppResult {
    while !session.channel().is_answered() {
        session.wait(None).await?;
    }
    Ok(())
}

async fn hangup(session: &mut Session, argument: &str) -> AppResult {
    let cause = if argument.is_empty() { Cause::NORMAL_CLEARING } else { Cause::parse(argument) };
    session.channel().hangup(cause);
    Err(Interrupt::Hangup)
}

async fn sleep(session: &mut Session, argument: &str) -> AppResult {
    let ms = u64::try_from(text::int(argument)).unwrap_or(0);
    let eats_digits = session.channel().is_true("sleep_eat_digits");
    let until = tokio::time::Instant::now() + Duration::from_millis(ms);
    loop {
        match session.wait(Some(until)).await? {
            Wake::Timeout | Wake::Broken => return Ok(()),
            Wake::Digit if eats_digits => while session.take_digit().is_some() {},
            _ => {}
        }
    }
}

async fn park(session: &mut Session, _argument: &str) -> AppResult {
    session.park().await
}

async fn park_state(session: &mut Session, _argument: &str) -> AppResult {
    session.channel().set_state(crate::call::State::Park);
    session.check()
}

async fn set_break(session: &mut Session, _argument: &str) -> AppResult {
    session.channel().interrupt(false);
    Ok(())
}

async fn nothing(_session: &mut Session, _argument: &str) -> AppResult {
    Ok(())
}

async fn zombie(session: &mut Session, _argument: &str) -> AppResult {
    session.channel().flags.zombie.store(true, Ordering::Relaxed);
    Ok(())
}
