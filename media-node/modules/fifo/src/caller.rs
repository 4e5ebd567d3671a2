//! `fifo <name> in`: a caller waits.

use std::sync::Arc;
use std::time::Duration;

use switch_core::app::play::{Ended, Keys, Play};
use switch_core::call::{
    AppResult, Channel, Interrupt, Session, State as CallState, Wake, transfer,
};
use switch_core::{clock, text};
use tokio::time::Instant;

use crate::center::{Fifos, Part, hang_up_where, stamp};
use crate::events::{tell, tell_with};
use crate::state::Waiting;

/// Files played now and then at most.
const MAX_CHIMES: usize = 25;

/// What a caller hears and where it goes from here.
struct Wait {
    music: Option<String>,
    exit_keys: String,
    chimes: Vec<String>,
    every: i64,
    orbit: Option<Orbit>,
}

/// Where a caller goes who has waited too long.
struct Orbit {
    exten: String,
    dialplan: Option<String>,
    context: Option<String>,
    at: i64,
}

/// How the wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Served,
    Aborted,
    TimedOut,
}

pub(crate) struct Arguments {
    pub(crate) fifo: String,
    /// As written, for events.
    pub(crate) written: String,
    pub(crate) announce: Option<String>,
    pub(crate) music: Option<String>,
    pub(crate) answers: bool,
}

/// Waits.
pub(crate) async fn run(session: &mut Session, fifos: &Arc<Fifos>, args: Arguments) -> AppResult {
    let (channel, switch) = (Arc::clone(session.channel()), Arc::clone(session.switch()));
    let mut wait = Wait::of(&channel, &args);
    if args.answers {
        session.answer().await?;
    }
    if !enter(&channel, fifos, &args) {
        tracing::error!(uuid = %channel.uuid(), "{} is full", args.fifo);
        return Ok(());
    }
    let waited = until_served(session, &mut wait).await;
    let left = match &waited {
        Ok(left) => *left,
        Err(_) => Left::Aborted,
    };
    if left == Left::Served {
        let mut played = Ok(());
        if let Some(announce) = &args.announce {
            let sound = session.expand(announce).await.into_owned();
            let sound = base::far::path(&sound).into_owned();
            played = session.play(Play::once(&sound, Keys::Stop(""))).await.map(drop);
        }
        // The consumer takes it from here.
        channel.set_state(CallState::Hibernate);
        channel.with(|data| data.slot::<Part>().waits = false);
        channel.notify();
        played?;
        return session.check();
    }
    channel.with(|data| data.slot::<Part>().waits = false);
    channel.notify();
    let timed_out = left == Left::TimedOut;
    channel.set_var("fifo_status", if timed_out { "TIMEOUT" } else { "ABORTED" });
    channel.set_var("fifo_timestamp", stamp());
    tell(&channel, &args.written, if timed_out { "timeout" } else { "abort" });
    fifos.take_out(&switch, &args.fifo, channel.uuid());
    fifos.settled(&switch, &args.fifo);
    hang_up_where(
        &switch,
        "fifo_bridge_uuid",
        channel.uuid(),
        switch_core::call::Cause::ORIGINATOR_CANCEL,
    );
    fifos.destroy_if_unused(&channel, std::slice::from_ref(&args.fifo));
    waited?;
    let to_orbit = timed_out || channel.is_true("fifo_caller_exit_to_orbit");
    if let (true, Some(orbit)) = (to_orbit, wait.orbit) {
        if let Some(announce) = channel.variable_marked("fifo_orbit_announce") {
            let sound = base::far::path(&announce).into_owned();
            session.play(Play::once(&sound, Keys::Stop(""))).await?;
        }
        if orbit.exten != "_continue_" {
            transfer::transfer(
                &channel,
                &orbit.exten,
                orbit.dialplan.as_deref(),
                orbit.context.as_deref(),
            );
        }
    }
    session.check()
}

impl Wait {
    fn of(channel: &Channel, args: &Arguments) -> Self {
        let var = |name: &str| channel.var(name);
        let chimes = var("fifo_chime_list").unwrap_or_default();
        let chimes = text::separated(&chimes, ',', MAX_CHIMES);
        let every = var("fifo_chime_freq").map_or(0, |n| text::int(&n));
        let orbit = var("fifo_orbit_exten").map(|exten| {
            let (exten, after) = match exten.split_once(':') {
                Some((exten, seconds)) => (exten.to_owned(), text::int(seconds)),
                None => (exten, 60),
            };
            let after = if after < 0 { 60 } else { after };
            Orbit {
                exten,
                dialplan: var("fifo_orbit_dialplan"),
                context: var("fifo_orbit_context"),
                at: clock::now_secs() + after,
            }
        });
        Self {
            music: args.music.clone(),
            exit_keys: var("fifo_caller_exit_key").unwrap_or_default(),
            chimes: chimes.into_iter().filter(|chime| !chime.is_empty()).collect(),
            every: if every > 0 { every } else { 30 },
            orbit,
        }
    }
}

/// Enters the fifo; false if it is full.
fn enter(channel: &Arc<Channel>, fifos: &Fifos, args: &Arguments) -> bool {
    let switch = channel.switch();
    let given = channel.var("fifo_priority");
    let priority = given.as_deref().map_or(0, text::int);
    let slot = usize::try_from(priority).unwrap_or(0).min(crate::state::PRIORITIES - 1);
    tell_with(channel, &args.written, "push", |event| {
        event.push("FIFO-Slot", slot.to_string());
    });
    channel.with(|data| data.slot::<Part>().waits = true);
    channel.unset_var("fifo_serviced_uuid");
    let who = Waiting::Call(Arc::clone(channel.uuid()));
    let Some(place) = fifos.state.lock().push(&args.fifo, slot, who) else { return false };
    channel.set_var("fifo_position", place.to_string());
    if given.is_none() {
        channel.set_var("fifo_priority", slot.to_string());
    }
    let now = stamp();
    channel.set_vars([
        ("fifo_status", "WAITING".to_owned()),
        ("fifo_timestamp", now.clone()),
        ("fifo_push_timestamp", now),
    ]);
    crate::events::presence(switch, &fifos.state.lock(), &args.fifo);
    fifos.wake_consumers(switch, &args.fifo);
    true
}

/// Music, chimes and keys until a consumer takes the caller.
async fn until_served(session: &mut Session, wait: &mut Wait) -> Result<Left, Interrupt> {
    let channel = Arc::clone(session.channel());
    let fifos = crate::center::of(session.switch());
    let mut chime = 0;
    let mut chime_at = clock::now_secs() + wait.every;
    loop {
        if channel.own_var("fifo_serviced_uuid").is_some() {
            return Ok(Left::Served);
        }
        if !fifos.is_running() {
            return Ok(Left::Aborted);
        }
        let now = clock::now_secs();
        if wait.orbit.as_ref().is_some_and(|orbit| now >= orbit.at) {
            return Ok(Left::TimedOut);
        }
        if !wait.chimes.is_empty() && now >= chime_at {
            let sound = wait.chimes[chime % wait.chimes.len()].clone();
            chime += 1;
            chime_at = now + wait.every;
            match play(session, &sound, &wait.exit_keys, None).await {
                Ok(Some(key)) => return Ok(left_with(&channel, key)),
                Ok(None) | Err(Silent::Unplayable) => continue,
                Err(Silent::Interrupted(interrupt)) => return Err(interrupt),
            }
        }
        let next = wait.orbit.as_ref().map(|orbit| orbit.at);
        let next = next.into_iter().chain((!wait.chimes.is_empty()).then_some(chime_at)).min();
        // The clock of seconds turns in between; the next look is when it has.
        let limit = next.map(|at| {
            let us = at.saturating_mul(1_000_000).saturating_sub(clock::now_us()).max(20_000);
            Duration::from_micros(us.unsigned_abs())
        });
        let key = match wait.music.clone() {
            Some(music) => match play(session, &music, &wait.exit_keys, limit).await {
                Err(Silent::Interrupted(interrupt)) => return Err(interrupt),
                Err(Silent::Unplayable) => {
                    wait.music = None;
                    None
                }
                Ok(key) => key,
            },
            None => silently(session, &wait.exit_keys, limit).await?,
        };
        if let Some(key) = key {
            return Ok(left_with(&channel, key));
        }
    }
}

/// Why nothing was played to the end.
enum Silent {
    Interrupted(Interrupt),
    Unplayable,
}

async fn play(
    session: &mut Session,
    sound: &str,
    keys: &str,
    limit: Option<Duration>,
) -> Result<Option<char>, Silent> {
    let path = session.expand(sound).await.into_owned();
    let path = base::far::path(&path).into_owned();
    let play = Play { limit, ..Play::once(&path, Keys::Stop(keys)) };
    match session.play(play).await.map_err(Silent::Interrupted)? {
        Ended::Key(key) => Ok(key),
        Ended::NotFound | Ended::Failed => Err(Silent::Unplayable),
        Ended::Done | Ended::Broken | Ended::TimedOut => {
            // Music without length does not keep the switch busy.
            let pause = tokio::time::sleep(Duration::from_millis(1));
            session.wait_or(None, pause).await.map_err(Silent::Interrupted)?;
            Ok(None)
        }
    }
}

async fn silently(
    session: &mut Session,
    keys: &str,
    limit: Option<Duration>,
) -> Result<Option<char>, Interrupt> {
    let until = limit.map(|limit| Instant::now() + limit);
    let filling = session.channel().begin_filling_silence();
    let woken = session.wait(until).await;
    session.channel().end_filling_silence(filling);
    if let Wake::Digit = woken? {
        while let Some(digit) = session.take_digit() {
            if keys.contains(digit.digit) {
                return Ok(Some(digit.digit));
            }
        }
    }
    Ok(None)
}

fn left_with(channel: &Channel, key: char) -> Left {
    channel.set_var("fifo_caller_exit_key", key.to_string());
    Left::Aborted
}

/// The caller's consumer left before they were bridged: it waits again, before the others.
pub(crate) fn back_to_queue(caller: Arc<Channel>, fifo: String) {
    caller.set_var("fifo_vip", "true");
    tokio::spawn(async move {
        let mut watch = caller.watch();
        let hibernates = async {
            while caller.is_up() && caller.running() != CallState::Hibernate {
                if watch.changed().await.is_err() {
                    return;
                }
            }
        };
        let _late = tokio::time::timeout(Duration::from_secs(5), hibernates).await;
        if !caller.is_up() || caller.partner().is_some() {
            return;
        }
        let argument = format!("{fifo} in");
        caller.with(|data| {
            let rest = match &data.extension {
                Some(now) => now.steps()[now.steps().len() - now.left()..].to_vec(),
                None => Vec::new(),
            };
            let again = ("fifo", argument.as_str()).into();
            data.extension = Some(switch_core::call::Extension::new(
                "fifo",
                "fifo",
                std::iter::once(again).chain(rest),
            ));
        });
        caller.set_state(CallState::Execute);
    });
}
