//! The `bridge` application: dial, join, and decide what follows a failure.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;

use super::play::{Keys, Play};
use super::{App, Flags, ringback};
use crate::app;
use crate::call::originate::{self, Request};
use crate::call::{AppResult, Cause, Channel, Interrupt, Session, State, post_bridge, transfer};
use crate::text;

/// The family.
pub const APPS: &[App] =
    &[app!("bridge", "mod_dptools", Flags::NO_MEDIA, "<channel_url>", "Bridge Audio", run)
        .marked()];

async fn run(session: &mut Session, argument: &str) -> AppResult {
    if argument.is_empty() {
        return Ok(());
    }
    if session.channel().is_true("campon") {
        return Box::pin(camp_on(session, argument)).await;
    }
    session.run_hooks("pre_originate").await;
    let request = Request { dial: argument.to_owned(), ..Request::default() };
    let switch = Arc::clone(session.switch());
    let result = Box::pin(originate::originate(&switch, &request, Some(session))).await;
    session.ring_wait(false);
    match result {
        Ok(peer) => bridged(session, &peer).await,
        Err(failure) => {
            session.check()?;
            post_bridge::failed(session.channel(), failure.cause)
        }
    }
}

/// What a caller that waits for a busy party may ask for (`campon_*`).
struct CampOn {
    retries: u64,
    request: Request,
    pause: Duration,
    music: Option<String>,
    stop_key: String,
}

impl CampOn {
    fn of(channel: &Channel, dial: &str) -> Self {
        let number = |name: &str, default: u64| {
            let given = channel.var(name).map(|text| text::int(&text));
            given.and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0).unwrap_or(default)
        };
        let identity = |own: &str, field: &str| {
            channel.var(own).or_else(|| channel.field(field)).filter(|text| !text.is_empty())
        };
        let name = identity("effective_caller_id_name", "caller_id_name");
        let digits = identity("effective_caller_id_number", "caller_id_number");
        let music = channel.var("campon_hold_music").or_else(|| channel.var("hold_music"));
        Self {
            retries: number("campon_retries", 100),
            request: Request {
                dial: dial.to_owned(),
                cid_name: name.clone().or_else(|| digits.clone()),
                cid_number: digits.or(name),
                timeout: Some(Duration::from_secs(number("campon_timeout", 10))),
                ..Request::default()
            },
            pause: Duration::from_secs(number("campon_sleep", 10)),
            music: music.filter(|music| !music.eq_ignore_ascii_case("silence")),
            stop_key: channel.var("campon_stop_key").unwrap_or_default(),
        }
    }
}

/// `campon`: the caller is answered and hears music until the called party takes the call.
async fn camp_on(session: &mut Session, dial: &str) -> AppResult {
    let own = Arc::clone(session.channel());
    let rules = CampOn::of(&own, dial);
    session.answer().await?;
    if let Some(greeting) = own.var("campon_announce_sound") {
        session.play(Play::once(&greeting, Keys::Any)).await?;
    }
    let switch = Arc::clone(session.switch());
    let mut cause = Cause::NO_ANSWER;
    for turn in 0..rules.retries {
        if let Some(music) = &rules.music {
            ringback::play(session, music).await?;
        }
        if turn > 0 && until_key(session, &rules, tokio::time::sleep(rules.pause)).await?.is_none()
        {
            break;
        }
        let attempt = originate::originate(&switch, &rules.request, None);
        match until_key(session, &rules, attempt).await? {
            Some(Ok(peer)) => {
                ringback::stop(session);
                return bridged(session, &peer).await;
            }
            Some(Err(failure)) => cause = failure.cause,
            None => break,
        }
    }
    ringback::stop(session);
    if let Some(exten) = own.var("campon_fallback_exten") {
        let (dialplan, context) =
            (own.var("campon_fallback_dialplan"), own.var("campon_fallback_context"));
        transfer::transfer(&own, &exten, dialplan.as_deref(), context.as_deref());
        return session.check();
    }
    own.set_var("originate_failed_cause", cause.name());
    post_bridge::failed(session.channel(), cause)
}

/// Waits for something unless the caller presses `campon_stop_key`; the music ends with the call's stay.
async fn until_key<T>(
    session: &mut Session,
    rules: &CampOn,
    what: impl Future<Output = T>,
) -> Result<Option<T>, Interrupt> {
    tokio::pin!(what);
    loop {
        while let Some(digit) = session.take_digit() {
            if rules.stop_key.contains(digit.digit) {
                return Ok(None);
            }
        }
        match session.wait_or(None, what.as_mut()).await {
            Ok(Either::Right(value)) => return Ok(Some(value)),
            Ok(Either::Left(_)) => {}
            Err(interrupt) => {
                ringback::stop(session);
                return Err(interrupt);
            }
        }
    }
}

async fn bridged(session: &mut Session, peer: &Arc<Channel>) -> AppResult {
    peer.queue_hooks("post_originate");
    session.run_hooks("post_originate").await;
    if let Err(interrupt) = session.check() {
        if originate::dials_on(session.channel()) {
            // The caller has left a call that goes on without it: the leg waits for a program to move it.
            peer.set_state(State::Park);
        } else {
            peer.hangup(Cause::ORIGINATOR_CANCEL);
        }
        return Err(interrupt);
    }
    session.bridge_to(peer).await?;
    post_bridge::of_originator(session, peer)
}
