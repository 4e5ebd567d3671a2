//! Making legs: from a dial string to one answered channel.
//!
//! All legs of a group ring together; the first that is answered (or has early media, unless ignored) wins and the
//! others end with LOSE_RACE. A caller on whose behalf this happens hears of ringing, and its hangup cancels.

mod confirm;
mod enterprise;
mod leg;
mod monitor;
mod options;
mod race;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use self::leg::{show_callee, start_leg};
use self::options::{Options, Reject};
pub use self::race::dials_on;
use self::race::{Legs, Ringing, Stopped};
use super::cause::Cause;
use super::channel::Channel;
use super::dialstring::{Branch, DialLeg, DialString, Variables};
use super::session::Session;
use crate::switch::Switch;
use crate::text;

/// Seconds an originate waits for an answer unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// What to call, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The dial string; what a far end said in it is marked ([`base::far`]).
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

/// What all parts of one originate share.
struct Attempt<'a> {
    switch: &'a Arc<Switch>,
    request: &'a Request,
    /// Whom it is for, where that call itself is not at hand.
    on_behalf: Option<Arc<Channel>>,
    /// Variables of the dial string a far end had part in, marked ([`base::far`]).
    far: Variables,
    /// Another branch has won.
    lost: Arc<AtomicBool>,
}

/// A part of an originate that did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lost {
    cause: Cause,
    end: End,
}

/// What an unsuccessful part means for those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Others may work.
    Failed,
    /// Time is over: nothing else is tried unless the next group has time of its own.
    TimedOut,
    /// Nothing else is tried.
    Rejected,
    /// The caller is gone.
    Cancelled,
}

impl Lost {
    fn failed(cause: Cause) -> Self {
        Self { cause, end: End::Failed }
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
        tracing::error!("{error}: {}", base::far::plain(&request.dial));
        Failure { cause: Cause::DESTINATION_OUT_OF_ORDER }
    })?;
    if let Some(session) = caller.as_deref_mut() {
        prepare(session.channel());
        session.channel().flags.dials.store(true, Ordering::Relaxed);
        session.channel().flags.intercepted.store(false, Ordering::Relaxed);
    }
    let attempt =
        Attempt { switch, request, on_behalf: None, far: dial.far.clone(), lost: Arc::default() };
    let result = match dial.branches.as_slice() {
        [] => Err(Lost::failed(Cause::DESTINATION_OUT_OF_ORDER)),
        [branch] => branch_with_retries(&attempt, &dial.ultra, branch, caller.as_deref_mut()).await,
        _ => enterprise::enterprise(&attempt, &dial, caller.as_deref_mut()).await,
    };
    let result = result.map_err(|lost| Failure { cause: lost.cause });
    if let Some(session) = caller.as_deref() {
        let own = session.channel();
        note_result(own, &result);
        let outcome = result.as_ref().map_err(|failure| failure.cause);
        // One that was answered is the leg's own once it is bridged, not before.
        let asked = outcome.is_err() || own.with(|data| data.hand_over.is_some());
        if asked && hand_over(own, outcome) {
            return Err(result.err().unwrap_or(Failure { cause: Cause::ATTENDED_TRANSFER }));
        }
    }
    result
}

/// Where the answering leg is meant for another task, tells it the outcome and ends the leg that dialled. True if so.
pub(super) fn hand_over(own: &Channel, outcome: Result<&Arc<Channel>, Cause>) -> bool {
    // Under the lock: a request checks whether the leg dials and is noted in one step.
    let tell = own.with(|data| {
        own.flags.dials.store(false, Ordering::Relaxed);
        data.hand_over.take()
    });
    let Some(tell) = tell else { return false };
    let cause = outcome.err().unwrap_or(Cause::ATTENDED_TRANSFER);
    if tell.send(outcome.map(Arc::clone)).is_err()
        && let Ok(leg) = outcome
    {
        leg.hangup(Cause::ORIGINATOR_CANCEL);
    }
    own.hangup(cause);
    true
}

fn prepare(channel: &Channel) {
    if channel.var("preserve_originated_vars").is_some_and(|keep| text::is_false(&keep)) {
        channel.unset_var("originated_legs");
        channel.unset_var("originate_causes");
    }
    channel.set_var("originate_disposition", "failure");
    channel.set_var("DIALSTATUS", "INVALIDARGS");
}

/// How it went: `import`, `originate_disposition`, `DIALSTATUS` and, on failure, `originate_failed_cause`.
fn note_result(caller: &Channel, result: &Result<Arc<Channel>, Failure>) {
    if let Ok(winner) = result {
        import(caller, winner);
    }
    let cause = result.as_ref().err().map(|failure| failure.cause);
    note_disposition(caller, cause);
    if let Some(cause) = cause {
        caller.set_var("originate_failed_cause", cause.name());
    }
}

/// `originate_disposition` and `DIALSTATUS`, unless they say so already: a variable set again moves to the end.
fn note_disposition(caller: &Channel, failure: Option<Cause>) {
    let disposition = failure.unwrap_or(Cause::SUCCESS);
    if caller.var("originate_disposition").as_deref() == Some(disposition.name()) {
        return;
    }
    caller.set_var("originate_disposition", disposition.name());
    let status = match disposition {
        Cause::ORIGINATOR_CANCEL => "CANCEL",
        Cause::USER_BUSY => "BUSY",
        Cause::NO_ANSWER => "NOANSWER",
        Cause::DESTINATION_OUT_OF_ORDER | Cause::INVALID_PROFILE => "INVALIDARGS",
        Cause::CALL_REJECTED => "DONTCALL",
        other => other.name(),
    };
    caller.set_var("DIALSTATUS", status);
}

/// `import`: variables of the leg that won which the caller takes over.
fn import(caller: &Channel, winner: &Channel) {
    for name in caller.var("import").unwrap_or_default().split(',').map(str::trim) {
        if !name.is_empty() {
            caller.set_var(name.to_owned(), winner.var_marked(name).unwrap_or_default());
        }
    }
}

async fn branch_with_retries(
    attempt: &Attempt<'_>,
    ultra: &Variables,
    branch: &Branch,
    mut caller: Option<&mut Session>,
) -> Result<Arc<Channel>, Lost> {
    let mut global = attempt.request.variables.clone();
    global.extend(ultra.iter().cloned());
    global.extend(branch.global.iter().cloned());
    if let Some(session) = caller.as_deref() {
        inherit_from_caller(&mut global, session.channel());
    }
    for (name, given) in [
        ("origination_caller_id_name", &attempt.request.cid_name),
        ("origination_caller_id_number", &attempt.request.cid_number),
    ] {
        if let Some(given) = given.as_ref().filter(|_| find(&global, name).is_none()) {
            global.push((name.to_owned(), given.clone()));
        }
    }
    let options = Options::of(&global);
    let delay = find(&global, "originate_delay_start").map(text::int).unwrap_or_default();
    if let Ok(delay) = u64::try_from(delay) {
        rest(&mut caller, Duration::from_millis(delay)).await?;
    }
    let result = tries(attempt, &options, &global, branch, caller.as_deref_mut()).await;
    if let (Err(lost), true, Some(session)) = (&result, options.hangup_on_single_reject, &caller) {
        session.channel().hangup(lost.cause);
    }
    result
}

/// Tries the groups as often as asked.
async fn tries(
    attempt: &Attempt<'_>,
    options: &Options,
    global: &Variables,
    branch: &Branch,
    mut caller: Option<&mut Session>,
) -> Result<Arc<Channel>, Lost> {
    let began = Instant::now();
    let mut turn = 1;
    loop {
        let turn_began = Instant::now();
        let result = groups(attempt, options, global, branch, caller.as_deref_mut()).await;
        let Err(lost) = result else { return result };
        let timed_out = lost.end == End::TimedOut && !options.continue_on_timeout;
        let late = options.retry_timeout.is_some_and(|limit| began.elapsed() > limit);
        let over = matches!(lost.end, End::Rejected | End::Cancelled) || timed_out || late;
        if over || turn >= options.tries {
            return Err(lost);
        }
        turn += 1;
        let period = options.retry_period.saturating_sub(turn_began.elapsed());
        rest(&mut caller, options.retry_sleep.max(period)).await?;
        tracing::info!(fs_level = "NOTICE", "Originate attempt {turn}/{}", options.tries);
    }
}

async fn rest(caller: &mut Option<&mut Session>, time: Duration) -> Result<(), Lost> {
    if time.is_zero() {
        return Ok(());
    }
    match caller {
        None => tokio::time::sleep(time).await,
        Some(session) => session
            .sleep(time)
            .await
            .map_err(|_| Lost { cause: Cause::ORIGINATOR_CANCEL, end: End::Cancelled })?,
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
    // Exported variables come before those of the dial string.
    let mut exported = export(global, caller);
    exported.append(global);
    *global = exported;
}

/// The variables the caller exports, but those of `given`.
fn export(given: &Variables, caller: &Channel) -> Variables {
    let Some(list) = caller.var("export_vars") else { return Variables::new() };
    let mut exported = vec![("export_vars".to_owned(), list.clone())];
    for name in list.split(',').filter(|name| !name.is_empty()) {
        let plain = name
            .strip_prefix("nolocal:")
            .or_else(|| name.strip_prefix("_nolocal_"))
            .unwrap_or(name);
        if let Some(value) = caller.var(name)
            && find(given, plain).is_none()
            && find(&exported, plain).is_none()
        {
            exported.push((plain.to_owned(), value));
        }
    }
    exported
}

/// Tries the groups in order.
async fn groups(
    attempt: &Attempt<'_>,
    options: &Options,
    global: &Variables,
    branch: &Branch,
    mut caller: Option<&mut Session>,
) -> Result<Arc<Channel>, Lost> {
    let mut last = Lost::failed(Cause::DESTINATION_OUT_OF_ORDER);
    let total = timeout_of(attempt.request, global, caller.as_deref());
    let on_behalf = caller.as_deref().map(|session| Arc::clone(session.channel()));
    let groups = attempt.switch.expand_groups(&branch.groups, on_behalf.as_ref()).await;
    for group in groups.map_err(Lost::failed)? {
        let result =
            one_group(attempt, options, global, &group, total, caller.as_deref_mut()).await;
        match result {
            Ok(channel) => return Ok(channel),
            Err(lost) => {
                last = lost;
                let timed_out = lost.end == End::TimedOut && !options.continue_on_timeout;
                if timed_out || matches!(lost.end, End::Rejected | End::Cancelled) {
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
    attempt: &Attempt<'_>,
    options: &Options,
    global: &Variables,
    group: &[DialLeg],
    total: Duration,
    mut caller: Option<&mut Session>,
) -> Result<Arc<Channel>, Lost> {
    let channel = caller.as_deref().map(|session| Arc::clone(session.channel()));
    let for_whom = channel.as_ref().or(attempt.on_behalf.as_ref());
    let found = attempt.switch.resolve_legs(group, global, for_whom).await;
    let mut legs = Legs::new(&attempt.lost);
    let mut last_cause = None;
    for leg in found {
        if let (Ok(leg), Some(session)) = (&leg, caller.as_deref_mut())
            && needs_early_media(attempt.switch, leg, session.channel())
            && Box::pin(session.pre_answer()).await.is_err()
        {
            return race::settle(legs, Err(Stopped::cancelled()), channel.as_deref());
        }
        let begun = match leg {
            Ok(leg) => start_leg(attempt, options, global, &leg, channel.as_ref()).await,
            Err(cause) => Err(cause),
        };
        match begun {
            Ok(leg) => legs.all.push(leg),
            Err(cause) => {
                let listed = matches!(options.reject, Reject::Listed(_));
                let named = find(global, "fail_on_single_reject").is_some();
                if named && options.reject.ends(cause) {
                    let end = if listed { End::Rejected } else { End::Failed };
                    return Err(Lost { cause, end });
                }
                last_cause = Some(cause);
            }
        }
    }
    if legs.all.is_empty() {
        return Err(Lost::failed(last_cause.unwrap_or(Cause::DESTINATION_OUT_OF_ORDER)));
    }
    if legs.all.len() > 1 {
        // Several that ring together are taken over at once; one alone when it is connected.
        legs.all.iter_mut().for_each(Ringing::become_users);
    }
    let deadline = Instant::now() + total;
    let mut outcome = race::race(options, &mut legs, deadline, caller.as_deref_mut()).await;
    if let Ok(winner) = &outcome
        && let Some(leg) = legs.all.get_mut(*winner)
    {
        leg.become_users();
    }
    if let (Ok(winner), Some(session)) = (&outcome, caller) {
        let winner = Arc::clone(&legs.all[*winner].channel);
        // One that has hung up meanwhile (`uuid_xfer_zombie`) needs no answer.
        if session.channel().is_up() && connect_caller(session, &winner).await.is_err() {
            outcome = Err(Stopped::cancelled());
        }
    }
    race::settle(legs, outcome, channel.as_deref())
}

/// Must the caller have early media before this leg is made?
fn needs_early_media(switch: &Switch, leg: &DialLeg, caller: &Channel) -> bool {
    switch.endpoint(&leg.endpoint).is_some_and(|endpoint| endpoint.wants_early_media(caller))
}

/// The caller is answered, or hears early media, as its winner does.
async fn connect_caller(session: &mut Session, winner: &Arc<Channel>) -> super::AppResult {
    show_callee(session.channel(), winner);
    inherit_codec(session.channel(), winner);
    session.channel().note_partner(winner);
    // Media past the switch needs both legs to know how.
    let bypass = super::bypass::is_on(winner) && super::bypass::wanted(session.channel());
    session.channel().flags.bypass_media.store(bypass, Ordering::Relaxed);
    if session.channel().with(|data| data.hand_over.is_some()) {
        // The winner is meant for another task.
        session.check()
    } else if winner.is_answered() {
        session.answer().await
    } else if winner.has_media() {
        session.pre_answer().await
    } else {
        session.check()
    }
}

/// `inherit_codec`: a caller without media yet is offered what the called leg speaks.
fn inherit_codec(caller: &Channel, winner: &Channel) {
    if caller.has_media() || !winner.has_media() {
        return;
    }
    let Some(how) = caller.var("inherit_codec") else { return };
    if how.eq_ignore_ascii_case("passthru") {
        caller.set_var("absolute_codec_string", winner.var("ep_codec_string").unwrap_or_default());
        return;
    }
    let Some(codec) = winner.with(|data| data.read_codec.clone()) else { return };
    let known = caller
        .var("ep_codec_string")
        .is_some_and(|list| list.to_ascii_lowercase().contains(&codec.name.to_ascii_lowercase()));
    if text::is_true(&how) && known {
        caller.set_var("absolute_codec_string", codec.as_listed());
    }
}
