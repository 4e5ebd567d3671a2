//! The application `callcenter`: a caller's stay in a queue.

use std::sync::Arc;
use std::time::Duration;

use switch_core::app::play::{Ended, Keys, Play};
use switch_core::call::{AppResult, Channel, Interrupt, Session, Wake};
use switch_core::switch::Switch;
use switch_core::{clock, text};

use crate::center::{self, Center};
use crate::dispatch::CancelReason;
use crate::events::{fire_on, push_caller};

/// What a call knows of its stay.
#[derive(Default)]
pub(crate) struct Stay {
    /// It has to leave.
    pub(crate) cancel: Option<CancelReason>,
    /// It was taken out for an agent who left: its name in the queue, where its place still is.
    pub(crate) back_to: Option<Arc<str>>,
    /// The announcement that was played last; it may still run.
    pub(crate) announced: Option<String>,
}

/// How a stay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// To an agent.
    Served,
    /// Unserved; `None` where an agent was found and the call ended first.
    Cancelled(Option<CancelReason>),
}

/// A pause between plays, so that music without length does not keep the switch busy.
const BETWEEN_PLAYS: Duration = Duration::from_millis(1);

pub(crate) async fn callcenter(session: &mut Session, argument: &str) -> AppResult {
    let (channel, switch) = (Arc::clone(session.channel()), Arc::clone(session.switch()));
    let words = text::words(argument, 6);
    let Some(queue) = words.first().cloned() else {
        tracing::warn!(uuid = %channel.uuid(), "No Queue name provided");
        return Ok(());
    };
    let center = center::of(&switch);
    if !center.is_running() {
        return Ok(());
    }
    if !session.wait_for(center.ensure_queue(&switch, &queue)).await? {
        tracing::warn!(uuid = %channel.uuid(), "Queue {queue} not found");
        return Ok(());
    }
    session.answer().await?;
    let member = join(&switch, &center, &channel, &queue);
    center.tell_count(&switch, &queue);
    center.wake();
    let waited = wait(session, &center, &queue).await;
    center::stop_announcement(&switch, &channel);
    let left = leave(&switch, &center, &channel, &queue, &member, &waited);
    tracing::debug!(uuid = %channel.uuid(), "Left queue {queue}: {left:?}");
    center.tell_count(&switch, &queue);
    waited.map(drop)?;
    session.check()
}

/// Who a member is, for events.
struct Caller {
    uuid: Arc<str>,
    name: String,
    number: String,
    called: i64,
}

fn join(switch: &Arc<Switch>, center: &Arc<Center>, channel: &Arc<Channel>, queue: &str) -> Caller {
    let now = clock::now_secs();
    let name = channel.var("caller_id_name").unwrap_or_default();
    let number = channel.var("caller_id_number").unwrap_or_default();
    let session = channel.uuid().to_string();
    let back = channel.with(|data| {
        let stay = data.slot::<Stay>();
        stay.cancel = None;
        stay.back_to.take()
    });
    let back = back.filter(|uuid| {
        let dispatcher = center.dispatcher.lock();
        dispatcher.member(uuid).is_some_and(|member| member.session_uuid == session)
    });
    let resumed = match &back {
        Some(_) => None,
        None => center.run(switch, |d| d.resume(queue, &number, &session, now)),
    };
    let old_place = back.clone().or_else(|| resumed.clone());
    let uuid = old_place.clone().unwrap_or_else(|| clock::new_uuid().into());
    channel.set_var("cc_side", "member");
    channel.set_var("cc_member_uuid", uuid.to_string());
    channel.unset_var("cc_agent_found");
    channel.unset_var("cc_agent_bridged");
    channel.set_var("cc_queue_joined_epoch", now.to_string());
    channel.set_var("cc_queue", queue.to_owned());
    let caller = Caller { uuid, name, number, called: now };
    let action = if old_place.is_some() { "member-queue-resume" } else { "member-queue-start" };
    fire_on(channel, |event| {
        event.push("CC-Queue", queue);
        event.push("CC-Action", action);
        push_caller(event, &caller.uuid, &session, &caller.name, &caller.number);
    });
    if old_place.is_none() {
        enter(switch, center, channel, queue, &caller);
    }
    caller
}

fn enter(
    switch: &Arc<Switch>,
    center: &Arc<Center>,
    channel: &Channel,
    queue: &str,
    caller: &Caller,
) {
    let answered = channel.profile().times.answered / 1_000_000;
    let given = channel.var("cc_base_score").map_or(0, |score| text::int(&score));
    center.run(switch, |dispatcher| {
        let system = dispatcher
            .queue(queue)
            .is_some_and(|queue| queue.settings.time_base_score.eq_ignore_ascii_case("system"));
        let since = if system { caller.called.saturating_sub(answered) } else { 0 };
        let mut member = dispatcher.caller(queue, &caller.uuid, channel.uuid(), caller.called);
        member.cid_name.clone_from(&caller.name);
        member.cid_number.clone_from(&caller.number);
        member.system_epoch = answered;
        member.base_score = given.saturating_add(since);
        dispatcher.join(member, caller.called);
    });
}

/// Music, until an agent takes the caller away or something makes it leave.
async fn wait(
    session: &mut Session,
    center: &Arc<Center>,
    queue: &str,
) -> Result<CancelReason, Interrupt> {
    let channel = Arc::clone(session.channel());
    let music = channel.variable_marked("cc_moh_override").or_else(|| {
        let dispatcher = center.dispatcher.lock();
        dispatcher.queue(queue)?.settings.moh_sound.clone()
    });
    let mut music = match &music {
        Some(music) => Some(session.expand(music).await.into_owned()),
        None => None,
    };
    loop {
        if let Some(reason) = channel.with(|data| data.slot::<Stay>().cancel) {
            return Ok(reason);
        }
        let exit_keys = channel.var("cc_exit_keys").unwrap_or_default();
        let key = match &music {
            Some(sound) => {
                let sound = base::far::path(sound).into_owned();
                let play = Play::once(&sound, Keys::Stop(&exit_keys));
                match session.play(play).await? {
                    Ended::Key(key) => key,
                    Ended::NotFound | Ended::Failed => {
                        tracing::warn!(
                            uuid = %channel.uuid(),
                            "Couldn't play file '{sound}', continuing wait with no audio"
                        );
                        music = None;
                        None
                    }
                    Ended::Done | Ended::Broken | Ended::TimedOut => None,
                }
            }
            None => silently(session, &exit_keys).await?,
        };
        if let Some(key) = key {
            channel.set_var("cc_exit_key", key.to_string());
            return Ok(CancelReason::ExitWithKey);
        }
        session.wait_or(None, tokio::time::sleep(BETWEEN_PLAYS)).await?;
    }
}

/// Without music: something happened, or an exit key was pressed.
async fn silently(session: &mut Session, exit_keys: &str) -> Result<Option<char>, Interrupt> {
    let filling = session.channel().begin_filling_silence();
    let woken = session.wait(None).await;
    session.channel().end_filling_silence(filling);
    if let Wake::Digit = woken? {
        while let Some(digit) = session.take_digit() {
            if exit_keys.contains(digit.digit) {
                return Ok(Some(digit.digit));
            }
        }
    }
    Ok(None)
}

fn leave(
    switch: &Arc<Switch>,
    center: &Arc<Center>,
    channel: &Arc<Channel>,
    queue: &str,
    caller: &Caller,
    waited: &Result<CancelReason, Interrupt>,
) -> Left {
    channel.stop_broadcast();
    let found = channel.is_true("cc_agent_found");
    channel.unset_var("cc_agent_found");
    let reason = match waited {
        Ok(reason) => Some(*reason),
        Err(_) if found => None,
        Err(_) => Some(CancelReason::BreakOut),
    };
    if reason.is_none() && channel.is_up() {
        channel.set_var("cc_cause", "answered");
        center.run(switch, |dispatcher| dispatcher.count_call(queue, true));
        return Left::Served;
    }
    let now = clock::now_secs();
    center.run(switch, |dispatcher| dispatcher.leave(&caller.uuid, now));
    let reason_name = reason.map_or("NONE", CancelReason::name);
    fire_on(channel, |event| {
        event.push("CC-Queue", queue);
        event.push("CC-Action", "member-queue-end");
        event.push("CC-Member-Leaving-Time", now.to_string());
        event.push("CC-Member-Joined-Time", caller.called.to_string());
        event.push("CC-Cause", "Cancel");
        event.push("CC-Cancel-Reason", reason_name);
        push_caller(event, &caller.uuid, channel.uuid(), &caller.name, &caller.number);
    });
    channel.set_vars([
        ("cc_queue_canceled_epoch", now.to_string()),
        ("cc_cause", "cancel".to_owned()),
        ("cc_cancel_reason", reason_name.to_owned()),
    ]);
    center.run(switch, |dispatcher| dispatcher.count_call(queue, false));
    Left::Cancelled(reason)
}
