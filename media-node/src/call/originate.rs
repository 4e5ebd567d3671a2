//! Making legs: from a dial string to one answered channel.
//!
//! All legs of a group ring together; the first that is answered (or has early media, unless ignored) wins and the
//! others end with LOSE_RACE. A caller on whose behalf this happens hears of ringing, and its hangup cancels.

mod leg;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{Either, select_all};
use tokio::time::Instant;

use self::leg::{show_callee, start_leg};
use super::cause::Cause;
use super::channel::Channel;
use super::dialstring::{Branch, DialLeg, DialString, Variables};
use super::session::{Session, Wake};
use crate::switch::Switch;
use crate::text;

/// Seconds an originate waits for an answer unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// What to call, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The dial string.
    pub dial: String,
    /// Caller's name, when the command gives one.
    pub cid_name: Option<String>,
    /// Caller's number, when the command gives one.
    pub cid_number: Option<String>,
    /// Seconds to wait for the answer.
    pub timeout: Option<Duration>,
    /// Variables for every leg, weaker than those of the dial string.
    pub variables: Variables,
}

/// An originate that did not work.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The result cause.
    pub cause: Cause,
}

/// One leg that rings.
struct Ringing {
    channel: Arc<Channel>,
    variables: Variables,
    deadline: Option<Instant>,
    progress_deadline: Option<Instant>,
}

impl Ringing {
    fn variable(&self, name: &str) -> Option<&str> {
        find(&self.variables, name)
    }

    fn is_true(&self, name: &str) -> bool {
        self.variable(name).is_some_and(text::is_true)
    }
}

fn find<'v>(variables: &'v Variables, name: &str) -> Option<&'v str> {
    variables
        .iter()
        .rev()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// Calls; returns the leg that won. `caller` is the session on whose behalf it happens (the `bridge` application).
///
/// # Errors
/// [`Failure`] with the cause that `originate` replies and `bridge` acts on.
pub async fn originate(
    switch: &Arc<Switch>,
    request: &Request,
    mut caller: Option<&mut Session>,
) -> Result<Arc<Channel>, Failure> {
    let dial = DialString::parse(&request.dial).map_err(|error| {
        tracing::error!("{error}: {}", request.dial);
        Failure { cause: Cause::DESTINATION_OUT_OF_ORDER }
    })?;
    if let Some(session) = caller.as_deref_mut() {
        let channel = session.channel();
        channel.set_var("originate_disposition", "failure");
        channel.set_var("DIALSTATUS", "INVALIDARGS");
    }
    let result = if dial.branches.len() > 1 {
        enterprise(switch, request, &dial, caller.as_deref_mut()).await
    } else {
        match dial.branches.first() {
            Some(branch) => {
                branch_with_retries(switch, request, &dial.ultra, branch, caller.as_deref_mut())
                    .await
            }
            None => Err(Failure { cause: Cause::DESTINATION_OUT_OF_ORDER }),
        }
    };
    if let Some(session) = caller {
        note_result(session.channel(), &result);
    }
    result
}

/// `originate_disposition`, `DIALSTATUS` and, on failure, `originate_failed_cause`.
fn note_result(caller: &Channel, result: &Result<Arc<Channel>, Failure>) {
    match result {
        Ok(_) => {
            caller.set_var("originate_disposition", "SUCCESS");
            caller.set_var("DIALSTATUS", "SUCCESS");
        }
        Err(failure) => {
            let cause = failure.cause;
            caller.set_var("originate_disposition", cause.name());
            let status = match cause {
                Cause::ORIGINATOR_CANCEL => "CANCEL",
                Cause::USER_BUSY => "BUSY",
                Cause::NO_ANSWER => "NOANSWER",
                Cause::DESTINATION_OUT_OF_ORDER | Cause::INVALID_PROFILE => "INVALIDARGS",
                Cause::CALL_REJECTED => "DONTCALL",
                other => other.name(),
            };
            caller.set_var("DIALSTATUS", status);
            caller.set_var("originate_failed_cause", cause.name());
        }
    }
}

/// Branches separated by `:_:` run in parallel; the first success ends the others.
async fn enterprise(
    switch: &Arc<Switch>,
    request: &Request,
    dial: &DialString,
    caller: Option<&mut Session>,
) -> Result<Arc<Channel>, Failure> {
    let runs = dial.branches.iter().map(|branch| {
        let mut branch = branch.clone();
        branch.global.push(("ignore_early_media".into(), "true".into()));
        Box::pin(
            async move { branch_with_retries(switch, request, &dial.ultra, &branch, None).await },
        )
    });
    let race = async {
        let mut open: Vec<_> = runs.collect();
        let mut last = Failure { cause: Cause::DESTINATION_OUT_OF_ORDER };
        while !open.is_empty() {
            let (result, _, rest) = select_all(open).await;
            match result {
                Ok(channel) => return Ok(channel),
                Err(failure) => last = failure,
            }
            open = rest;
        }
        Err(last)
    };
    match caller {
        None => race.await,
        Some(session) => {
            session.wait_for(race).await.unwrap_or(Err(Failure { cause: Cause::ORIGINATOR_CANCEL }))
        }
    }
}

async fn branch_with_retries(
    switch: &Arc<Switch>,
    request: &Request,
    ultra: &Variables,
    branch: &Branch,
    mut caller: Option<&mut Session>,
) -> Result<Arc<Channel>, Failure> {
    let mut global = request.variables.clone();
    global.extend(ultra.iter().cloned());
    global.extend(branch.global.iter().cloned());
    if let Some(session) = caller.as_deref() {
        inherit_from_caller(&mut global, session.channel());
    }
    let number =
        |name: &str| find(&global, name).map(text::int).and_then(|n| u64::try_from(n).ok());
    let retries = number("originate_retries").unwrap_or(1).clamp(1, 100);
    let pause = Duration::from_millis(
        number("originate_retry_sleep_ms").unwrap_or(1000).clamp(500, 60_000),
    );
    if let Some(delay) = number("originate_delay_start") {
        rest(&mut caller, Duration::from_millis(delay)).await?;
    }
    let mut turn = 1;
    loop {
        let result = groups(switch, request, &global, branch, caller.as_deref_mut()).await;
        match result {
            Err(failure) if turn < retries && failure.cause != Cause::ORIGINATOR_CANCEL => {
                turn += 1;
                rest(&mut caller, pause).await?;
            }
            other => return other,
        }
    }
}

async fn rest(caller: &mut Option<&mut Session>, time: Duration) -> Result<(), Failure> {
    match caller {
        None => tokio::time::sleep(time).await,
        Some(session) => {
            session.sleep(time).await.map_err(|_| Failure { cause: Cause::ORIGINATOR_CANCEL })?
        }
    }
    Ok(())
}

/// What a caller's variables add to the dial string unless it says so itself.
fn inherit_from_caller(global: &mut Variables, caller: &Channel) {
    const NAMES: &[&str] = &[
        "group_confirm_key",
        "group_confirm_file",
        "group_confirm_read_timeout",
        "group_confirm_cancel_timeout",
        "group_confirm_timeout",
        "forked_dial",
        "fail_on_single_reject",
        "hangup_on_single_reject",
        "ignore_early_media",
        "bridge_early_media",
        "originate_continue_on_timeout",
        "ignore_ring_ready",
        "monitor_early_media_ring",
        "monitor_early_media_ring_total",
        "monitor_early_media_fail",
        "return_ring_ready",
        "ring_ready",
        "instant_ringback",
        "progress_timeout",
        "language",
    ];
    for name in NAMES {
        if find(global, name).is_none()
            && let Some(value) = caller.var(name)
        {
            global.push(((*name).to_owned(), value));
        }
    }
    let Some(list) = caller.var("export_vars") else { return };
    let mut exported = Variables::new();
    for name in list.split(',').filter(|name| !name.is_empty()) {
        let plain = name
            .strip_prefix("nolocal:")
            .or_else(|| name.strip_prefix("_nolocal_"))
            .unwrap_or(name);
        if let Some(value) = caller.var(name)
            && find(global, plain).is_none()
            && find(&exported, plain).is_none()
        {
            exported.push((plain.to_owned(), value));
        }
    }
    exported.push(("export_vars".into(), list));
    // Exported variables come before those of the dial string.
    exported.append(global);
    *global = exported;
}

async fn groups(
    switch: &Arc<Switch>,
    request: &Request,
    global: &Variables,
    branch: &Branch,
    mut caller: Option<&mut Session>,
) -> Result<Arc<Channel>, Failure> {
    let mut last = Failure { cause: Cause::DESTINATION_OUT_OF_ORDER };
    let go_on_after_timeout =
        find(global, "originate_continue_on_timeout").is_some_and(text::is_true);
    let total = timeout_of(request, global, caller.as_deref());
    let deadline = Instant::now() + total;
    for group in &branch.groups {
        let deadline = if go_on_after_timeout { Instant::now() + total } else { deadline };
        match one_group(switch, request, global, group, deadline, caller.as_deref_mut()).await {
            Ok(channel) => return Ok(channel),
            Err(failure) => {
                let cancelled = failure.cause == Cause::ORIGINATOR_CANCEL
                    && caller.as_deref().is_some_and(|session| !session.channel().is_up());
                last = failure;
                if cancelled || (!go_on_after_timeout && Instant::now() >= deadline) {
                    break;
                }
            }
        }
    }
    Err(last)
}

fn timeout_of(request: &Request, global: &Variables, caller: Option<&Session>) -> Duration {
    let seconds = |text: &str| {
        u64::try_from(text::int(text)).ok().filter(|&n| n > 0).map(Duration::from_secs)
    };
    find(global, "originate_timeout")
        .and_then(seconds)
        .or_else(|| find(global, "call_timeout").and_then(seconds))
        .or_else(|| {
            caller
                .and_then(|session| session.channel().var("call_timeout"))
                .and_then(|text| seconds(&text))
        })
        .or(request.timeout)
        .unwrap_or(DEFAULT_TIMEOUT)
}

/// Calls all legs of a group at once and waits for a winner.
async fn one_group(
    switch: &Arc<Switch>,
    request: &Request,
    global: &Variables,
    group: &[DialLeg],
    deadline: Instant,
    mut caller: Option<&mut Session>,
) -> Result<Arc<Channel>, Failure> {
    let legs = switch.resolve_legs(group, global, caller.as_deref().map(Session::channel)).await;
    let mut ringing = Vec::new();
    let mut first_cause = None;
    for leg in legs {
        let leg = match leg {
            Ok(leg) => leg,
            Err(cause) => {
                first_cause.get_or_insert(cause);
                continue;
            }
        };
        match start_leg(switch, request, global, &leg, caller.as_deref_mut()).await {
            Ok(leg) => ringing.push(leg),
            Err(cause) => {
                first_cause.get_or_insert(cause);
            }
        }
    }
    if ringing.is_empty() {
        return Err(Failure { cause: first_cause.unwrap_or(Cause::DESTINATION_OUT_OF_ORDER) });
    }
    let mut outcome = race(global, &mut ringing, deadline, caller.as_deref_mut()).await;
    if let Some(session) = caller.as_deref_mut() {
        crate::app::ringback::stop(session);
    }
    if let (Ok(winner), Some(session)) = (&outcome, caller.as_deref_mut())
        && connect_caller(session, winner).await.is_err()
    {
        outcome = Err(Cause::ORIGINATOR_CANCEL);
    }
    finish(&ringing, &outcome, caller.as_deref().map(Session::channel));
    outcome.map_err(|cause| Failure { cause })
}

/// The caller is answered, or hears early media, as its winner does.
async fn connect_caller(session: &mut Session, winner: &Arc<Channel>) -> super::AppResult {
    show_callee(session.channel(), winner);
    if let Some(sdp) = winner.var("switch_r_sdp") {
        session.channel().set_var("switch_m_sdp", sdp);
    }
    // Media past the switch needs both legs to know how.
    let bypass = super::bypass::is_on(winner) && super::bypass::wanted(session.channel());
    session.channel().flags.bypass_media.store(bypass, Ordering::Relaxed);
    if winner.is_answered() { session.answer().await } else { session.pre_answer().await }
}

/// The losers end; the caller learns how each leg fared.
fn finish(
    ringing: &[Ringing],
    outcome: &Result<Arc<Channel>, Cause>,
    caller: Option<&Arc<Channel>>,
) {
    for leg in ringing {
        let won = matches!(outcome, Ok(winner) if Arc::ptr_eq(winner, &leg.channel));
        if !won {
            let cause = match outcome {
                Ok(_) => Cause::LOSE_RACE,
                Err(cause) => *cause,
            };
            if leg.channel.is_up() && ringing.len() > 1 {
                leg.channel.set_var("group_dial_status", "loser");
            }
            if outcome.is_ok() && leg.channel.is_up() {
                leg.channel.set_var("call_completed_elsewhere", "true");
            }
            leg.channel.hangup(cause);
        }
        if let Some(caller) = caller {
            let cause = if won { Cause::NONE } else { leg.channel.cause().unwrap_or(Cause::NONE) };
            caller.push_var("originate_causes", &format!("{};{}", leg.channel.uuid(), cause));
        }
    }
}

/// Waits until one leg wins, all have failed, time is over or the caller is gone.
async fn race(
    global: &Variables,
    ringing: &mut [Ringing],
    deadline: Instant,
    mut caller: Option<&mut Session>,
) -> Result<Arc<Channel>, Cause> {
    let early_media_counts = !find(global, "ignore_early_media").is_some_and(text::is_true);
    let ring_counts = find(global, "return_ring_ready").is_some_and(text::is_true);
    let mut watches: Vec<_> = ringing.iter().map(|leg| leg.channel.watch()).collect();
    let mut told = Told::default();
    loop {
        for leg in ringing.iter() {
            let channel = &leg.channel;
            let early =
                early_media_counts && !leg.is_true("ignore_early_media") && channel.has_media();
            let rings = ring_counts && channel.flags.ring_ready.load(Ordering::Relaxed);
            if channel.is_up() && (channel.is_answered() || early || rings) {
                return Ok(Arc::clone(channel));
            }
        }
        if let Some(session) = caller.as_deref_mut() {
            told.tell(session, ringing, global).await?;
        }
        check_single_reject(global, ringing)?;
        let now = Instant::now();
        if now >= deadline {
            return Err(Cause::NO_ANSWER);
        }
        expire(ringing, now);
        if ringing.iter().all(|leg| !leg.channel.is_up()) {
            let first = ringing.first().and_then(|leg| leg.channel.cause());
            return Err(first.unwrap_or(Cause::DESTINATION_OUT_OF_ORDER));
        }
        let next = ringing
            .iter()
            .filter(|leg| leg.channel.is_up())
            .flat_map(|leg| [leg.deadline, leg.progress_deadline])
            .flatten()
            .chain([deadline])
            .min();
        let changed = select_all(watches.iter_mut().map(|watch| Box::pin(watch.changed())));
        match caller.as_deref_mut() {
            Some(session) => match session.wait_or(next, changed).await {
                Ok(Either::Left(Wake::Digit)) => cancel_key(session)?,
                Ok(_) => {}
                Err(_) => return Err(Cause::ORIGINATOR_CANCEL),
            },
            None => {
                let until = next.unwrap_or(deadline);
                let _late = tokio::time::timeout_at(until, changed).await;
            }
        }
    }
}

/// `origination_cancel_key`: the caller gives up by a digit.
fn cancel_key(session: &mut Session) -> Result<(), Cause> {
    let Some(key) = session.channel().var("origination_cancel_key") else { return Ok(()) };
    while let Some(digit) = session.take_digit() {
        if key.contains(digit.digit) {
            return Err(Cause::ORIGINATOR_CANCEL);
        }
    }
    Ok(())
}

/// `fail_on_single_reject`: one leg's end ends all.
fn check_single_reject(global: &Variables, ringing: &[Ringing]) -> Result<(), Cause> {
    let rule = find(global, "fail_on_single_reject");
    for leg in ringing {
        let Some(cause) = leg.channel.cause() else { continue };
        let required = leg.is_true("leg_required");
        let listed = rule.is_some_and(|rule| {
            let (inverted, list) =
                rule.strip_prefix('!').map_or((false, rule), |rest| (true, rest));
            let named = list.split(',').any(|name| Cause::parse_strict(name) == Some(cause));
            text::is_true(rule) || named != inverted
        });
        if required || listed {
            return Err(cause);
        }
    }
    Ok(())
}

fn expire(ringing: &[Ringing], now: Instant) {
    for leg in ringing {
        let channel = &leg.channel;
        if leg.deadline.is_some_and(|deadline| now >= deadline) {
            channel.hangup(Cause::ALLOTTED_TIMEOUT);
        }
        let progressed = channel.has_media() || channel.flags.ring_ready.load(Ordering::Relaxed);
        if !progressed && leg.progress_deadline.is_some_and(|deadline| now >= deadline) {
            channel.hangup(Cause::PROGRESS_TIMEOUT);
        }
    }
}

/// What the caller was told so far.
#[derive(Default)]
struct Told {
    ringing: bool,
    dialing: bool,
}

impl Told {
    /// Passes ringing on to the caller.
    async fn tell(
        &mut self,
        session: &mut Session,
        ringing: &[Ringing],
        global: &Variables,
    ) -> Result<(), Cause> {
        let cancelled = |_| Cause::ORIGINATOR_CANCEL;
        if !self.dialing {
            self.dialing = true;
            session.ring_wait(true);
            if find(global, "instant_ringback").is_some_and(text::is_true) {
                session.ring_ready(false).await.map_err(cancelled)?;
            }
        }
        let ignore = find(global, "ignore_ring_ready").is_some_and(text::is_true);
        let rings = ringing.iter().any(|leg| {
            leg.channel.flags.ring_ready.load(Ordering::Relaxed)
                || leg.channel.has_media()
                    && find(global, "ignore_early_media")
                        .is_some_and(|how| how.eq_ignore_ascii_case("ring_ready"))
        });
        if rings && !ignore && !self.ringing {
            self.ringing = true;
            if let Some(leg) =
                ringing.iter().find(|leg| leg.channel.flags.ring_ready.load(Ordering::Relaxed))
            {
                show_callee(session.channel(), &leg.channel);
            }
            crate::app::ringback::start(session).await.map_err(cancelled)?;
        }
        Ok(())
    }
}
