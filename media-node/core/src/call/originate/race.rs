//! The legs of a group ring together until one wins, all have failed, time is over or the caller is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select_all};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::cause::Cause;
use super::super::channel::Channel;
use super::super::links::Link;
use super::super::session::{Session, Wake};
use super::leg::{ThroughUser, show_callee, take_context};
use super::options::{Early, Limit, Options, Reject};
use super::{End, Lost, confirm, monitor};
use crate::app::ringback;
use crate::call::bypass;

/// One leg that rings, or will.
pub(super) struct Ringing {
    pub(super) channel: Arc<Channel>,
    /// Starts the leg; it starts as well when this is dropped.
    pub(super) start: Option<oneshot::Sender<()>>,
    /// When it starts.
    pub(super) starts: Instant,
    /// Its own time to be answered is over then.
    pub(super) deadline: Option<Instant>,
    /// Its own time to ring is over then.
    pub(super) progress_deadline: Option<Instant>,
    /// With it, all end.
    pub(super) required: bool,
    /// Its early media does not count.
    pub(super) ignores_early_media: bool,
    /// Waits for somebody to pick it up.
    pub(super) pickup: bool,
    /// The users it was dialled through, the outermost last, as long as it is not theirs.
    pub(super) users: Vec<ThroughUser>,
    /// Names its context once it is connected.
    pub(super) context_variable: Option<&'static str>,
    /// How many users it has become the leg of.
    through_users: usize,
    asked: bool,
    monitored: bool,
}

impl Ringing {
    pub(super) fn new(channel: Arc<Channel>, start: oneshot::Sender<()>) -> Self {
        Self {
            channel,
            start: Some(start),
            starts: Instant::now(),
            deadline: None,
            progress_deadline: None,
            required: false,
            ignores_early_media: false,
            pickup: false,
            users: Vec::new(),
            context_variable: None,
            through_users: 0,
            asked: false,
            monitored: false,
        }
    }

    /// The leg becomes that of the users it was dialled through.
    pub(super) fn become_users(&mut self) {
        let users = std::mem::take(&mut self.users);
        self.through_users += users.len();
        for user in users {
            user.take_over(&self.channel);
        }
        if let Some(variable) = self.context_variable.take() {
            take_context(&self.channel, variable);
        }
    }

    fn rings(&self) -> bool {
        self.channel.progress.get().rang()
    }

    /// Up, or still to be started.
    fn lives(&self) -> bool {
        self.channel.is_up()
    }

    fn waits(&self) -> bool {
        self.start.is_some()
    }

    fn sooner(&mut self, by: Duration) {
        self.starts -= by;
        for deadline in [&mut self.deadline, &mut self.progress_deadline].into_iter().flatten() {
            *deadline -= by;
        }
    }
}

/// The legs of a group. Those that nobody decided about end when this is dropped.
pub(super) struct Legs {
    pub(super) all: Vec<Ringing>,
    lost: Arc<AtomicBool>,
}

impl Legs {
    /// No legs yet; `lost` tells, should they be dropped, that another branch has won.
    pub(super) fn new(lost: &Arc<AtomicBool>) -> Self {
        Self { all: Vec::new(), lost: Arc::clone(lost) }
    }
}

impl Drop for Legs {
    fn drop(&mut self) {
        let lost = self.lost.load(Ordering::Relaxed);
        for leg in &self.all {
            if lost {
                end_loser(&leg.channel);
            } else {
                leg.channel.hangup(Cause::ORIGINATOR_CANCEL);
            }
        }
    }
}

fn end_loser(channel: &Channel) {
    if channel.is_up() {
        channel.set_var("group_dial_status", "loser");
    }
    channel.hangup(Cause::LOSE_RACE);
}

/// Lets the losers end; the caller learns how each leg fared. Returns the winner.
pub(super) fn settle(
    mut legs: Legs,
    outcome: Result<usize, Stopped>,
    caller: Option<&Channel>,
) -> Result<Arc<Channel>, Lost> {
    let all = std::mem::take(&mut legs.all);
    let many = all.len() > 1;
    for (at, leg) in all.iter().enumerate() {
        match &outcome {
            Ok(winner) if *winner == at => {}
            Ok(_) => end_loser(&leg.channel),
            Err(stopped) => match stopped.hangup(many) {
                Cause::LOSE_RACE => end_loser(&leg.channel),
                cause => leg.channel.hangup(cause),
            },
        }
    }
    if let Some(caller) = caller {
        let failure = outcome
            .as_ref()
            .err()
            .map(|stopped| stopped.lost(all.first().and_then(|leg| leg.channel.cause())).cause);
        super::note_disposition(caller, failure);
        for (at, leg) in all.iter().enumerate() {
            let won = outcome.as_ref().is_ok_and(|winner| *winner == at);
            let cause = if won { Cause::NONE } else { leg.channel.cause().unwrap_or(Cause::NONE) };
            let entry = format!("{};{}", leg.channel.uuid(), cause);
            // Each user it was dialled through was a call of its own.
            for _ in 0..=leg.through_users {
                caller.push_var("originate_causes", &entry);
            }
        }
        if all.iter().any(|leg| leg.through_users > 0) {
            // The call to the user told its result first; that of the whole comes last.
            caller.unset_var("originate_disposition");
            super::note_disposition(caller, failure);
        }
    }
    match outcome {
        Ok(winner) => Ok(Arc::clone(&all[winner].channel)),
        Err(stopped) => {
            let first = all.first().and_then(|leg| leg.channel.cause());
            Err(stopped.lost(first))
        }
    }
}

/// A race without a winner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopped {
    why: Why,
    /// A cause that outranks the others.
    forced: Option<Cause>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// All have failed.
    Failed,
    /// Time is over.
    TimedOut,
    /// One leg's end ends all; those of a list end the groups behind as well.
    Rejected { listed: bool },
    /// The caller is gone.
    Cancelled,
    /// The caller gave up by a key.
    Key,
}

impl Stopped {
    fn new(why: Why, forced: Option<Cause>) -> Self {
        Self { why, forced }
    }

    /// The caller is gone.
    pub(super) fn cancelled() -> Self {
        Self::new(Why::Cancelled, None)
    }

    /// The cause legs that are still up end with.
    fn hangup(self, many: bool) -> Cause {
        self.forced.unwrap_or(match self.why {
            Why::Cancelled => Cause::ORIGINATOR_CANCEL,
            Why::Key if many => Cause::LOSE_RACE,
            Why::Failed => Cause::NORMAL_CLEARING,
            Why::Key | Why::TimedOut | Why::Rejected { .. } => Cause::NO_ANSWER,
        })
    }

    /// The result, given the first leg's cause.
    fn lost(self, first: Option<Cause>) -> Lost {
        let cause = match self.why {
            Why::Cancelled => Cause::ORIGINATOR_CANCEL,
            Why::TimedOut | Why::Rejected { .. } => Cause::NO_ANSWER,
            Why::Failed | Why::Key => first.unwrap_or(Cause::DESTINATION_OUT_OF_ORDER),
        };
        let end = match self.why {
            Why::Cancelled => End::Cancelled,
            Why::TimedOut => End::TimedOut,
            Why::Rejected { listed: true } => End::Rejected,
            Why::Failed | Why::Key | Why::Rejected { listed: false } => End::Failed,
        };
        Lost { cause: self.forced.unwrap_or(cause), end }
    }
}

/// Waits for the winner; the answer is its place among the legs.
pub(super) async fn race(
    options: &Options,
    legs: &mut Legs,
    deadline: Instant,
    mut caller: Option<&mut Session>,
) -> Result<usize, Stopped> {
    let mut watches: Vec<_> = legs.all.iter().map(|leg| leg.channel.watch()).collect();
    let mut told = Told::default();
    let mut early_counts = options.early == Early::Wins;
    let mut forced = None;
    let result = loop {
        swap_picked_up(&mut legs.all, &mut watches);
        if options.monitored {
            monitor_early_media(options, &mut legs.all);
        }
        early_counts |= early_ok(&mut legs.all, caller.as_deref());
        if let Some(winner) = winner(options, &mut legs.all, early_counts) {
            break Ok(winner);
        }
        if let Some(session) = caller.as_deref_mut()
            && told.tell(session, &legs.all, options).await.is_err()
        {
            break Err(Stopped::cancelled());
        }
        if let Some(why) = rejected(options, &legs.all) {
            break Err(Stopped::new(why, forced));
        }
        let now = Instant::now();
        if now >= deadline {
            break Err(Stopped::new(Why::TimedOut, forced));
        }
        expire(&legs.all, now, &mut forced);
        if over(&legs.all) {
            break Err(Stopped::new(Why::Failed, forced));
        }
        start_due(&mut legs.all, now);
        let next = next_moment(&legs.all).into_iter().chain([deadline]).min();
        let changed = select_all(watches.iter_mut().map(|watch| Box::pin(watch.changed())));
        match caller.as_deref_mut() {
            Some(session) => match session.wait_or(next, changed).await {
                Ok(Either::Left(Wake::Digit)) if given_up(session) => {
                    break Err(Stopped::new(Why::Key, forced));
                }
                Ok(_) => {}
                Err(_) if !session.channel().is_up() && dials_on(session.channel()) => {
                    std::mem::take(&mut told).stop(session);
                    (caller, early_counts) = (None, false);
                }
                Err(_) => {
                    let taken = session.channel().flags.intercepted.swap(false, Ordering::Relaxed);
                    break Err(Stopped::new(Why::Cancelled, taken.then_some(Cause::PICKED_OFF)));
                }
            },
            None => {
                let until = next.unwrap_or(deadline);
                let _late = tokio::time::timeout_at(until, changed).await;
            }
        }
    };
    if let Some(session) = caller {
        told.stop(session);
    }
    result
}

/// Does what the caller dials go on when it hangs up (`uuid_xfer_zombie`)? As in the reference early media does not count
/// from then on.
#[must_use]
pub fn dials_on(caller: &Channel) -> bool {
    caller.flags.dials_on.load(Ordering::Relaxed) || caller.is_true("originate_xfer_zombie")
}

/// Early media has begun: its tones may tell what the far end does.
fn monitor_early_media(options: &Options, legs: &mut [Ringing]) {
    for leg in legs.iter_mut().filter(|leg| !leg.monitored && leg.channel.has_media()) {
        leg.monitored = true;
        if !leg.channel.is_answered() {
            monitor::begin(&leg.channel, !options.ignores_early_media);
        }
    }
}

/// `uuid_early_ok` for a leg or the caller: early media counts from now on.
fn early_ok(legs: &mut [Ringing], caller: Option<&Session>) -> bool {
    let asked = |channel: &Channel| channel.flags.early_ok.swap(false, Ordering::Relaxed);
    let mut found = caller.is_some_and(|session| asked(session.channel()));
    for leg in legs {
        if asked(&leg.channel) {
            (found, leg.ignores_early_media) = (true, false);
        }
    }
    found
}

/// The leg that has won, if one has. One that first has to accept the call is asked.
fn winner(options: &Options, legs: &mut [Ringing], early_counts: bool) -> Option<usize> {
    let alone = legs.len() == 1;
    for (at, leg) in legs.iter_mut().enumerate() {
        let channel = &leg.channel;
        if !channel.is_up() || channel.flags.transferred.load(Ordering::Relaxed) {
            continue;
        }
        if channel.flags.confirmed.load(Ordering::Relaxed) {
            for name in ["key", "file", "error_file", "cancel_timeout", "read_timeout"] {
                channel.unset_var(&format!("group_confirm_{name}"));
            }
            return Some(at);
        }
        let early = early_counts && !leg.ignores_early_media && channel.has_media();
        let rings = options.ring_wins && alone && leg.rings();
        if leg.asked || !(channel.is_answered() || early || rings) {
            continue;
        }
        let Some(rules) = options.confirm.for_leg(channel) else { return Some(at) };
        leg.asked = true;
        match rules.limit {
            Limit::Keep => {}
            Limit::Cancel => (leg.deadline, leg.progress_deadline) = (None, None),
            Limit::Extend(time) => leg.deadline = Some(Instant::now() + time),
        }
        confirm::ask(channel, rules);
    }
    None
}

/// A leg that somebody else picked up (`pickup`) is replaced by the call that did.
fn swap_picked_up(legs: &mut [Ringing], watches: &mut [tokio::sync::watch::Receiver<u32>]) {
    for (leg, watch) in legs.iter_mut().zip(watches) {
        if !leg.pickup {
            continue;
        }
        let Some(taker) = leg.channel.linked(Link::SwappedFor) else { continue };
        let picked_up = std::mem::replace(&mut leg.channel, taker);
        picked_up.hangup(Cause::PICKED_OFF);
        *watch = leg.channel.watch();
        leg.pickup = false;
        leg.channel.link(Link::PickedUp, &picked_up);
        let _full = leg.channel.job(Box::new(|session| {
            Box::pin(async move {
                let _ended = session.answer().await;
                session.run_hooks("pickup").await;
            })
        }));
    }
}

/// Does one leg's end end all?
fn rejected(options: &Options, legs: &[Ringing]) -> Option<Why> {
    let ended = legs.iter().filter_map(|leg| Some((leg, leg.channel.cause()?)));
    for (leg, cause) in ended {
        if leg.required {
            for other in legs {
                other.channel.hangup(cause);
            }
            return Some(Why::Failed);
        }
        if legs.len() > 1 && options.reject.ends(cause) {
            let listed = matches!(options.reject, Reject::Listed(_));
            return Some(if legs.iter().any(Ringing::lives) {
                Why::Rejected { listed }
            } else {
                Why::Failed
            });
        }
    }
    None
}

fn expire(legs: &[Ringing], now: Instant, forced: &mut Option<Cause>) {
    for leg in legs.iter().filter(|leg| leg.channel.is_up()) {
        let channel = &leg.channel;
        let progressed = channel.has_media() || leg.rings();
        if !progressed && leg.progress_deadline.is_some_and(|deadline| now >= deadline) {
            channel.hangup(Cause::PROGRESS_TIMEOUT);
            forced.get_or_insert(Cause::PROGRESS_TIMEOUT);
        }
        if leg.deadline.is_some_and(|deadline| now >= deadline) {
            channel.hangup(Cause::ALLOTTED_TIMEOUT);
        }
    }
}

/// Nobody is left to wait for. Those that only wait to be picked up, for as long as it takes, do not count beside others.
fn over(legs: &[Ringing]) -> bool {
    let patient = |leg: &&Ringing| leg.lives() && leg.pickup && leg.deadline.is_none();
    let ended = legs.iter().filter(|leg| !leg.lives()).count();
    if ended == 0 || ended + legs.iter().filter(patient).count() < legs.len() {
        return false;
    }
    legs.iter().filter(patient).for_each(|leg| leg.channel.hangup(Cause::NO_PICKUP));
    true
}

/// Starts legs whose time has come; if nobody else rings, that of the first is now.
fn start_due(legs: &mut [Ringing], now: Instant) {
    let nobody_rings = !legs.iter().any(|leg| leg.lives() && !leg.waits());
    let waiting = |leg: &&mut Ringing| leg.lives() && leg.waits();
    if nobody_rings && let Some(first) = legs.iter_mut().filter(waiting).map(|leg| leg.starts).min()
    {
        let early = first.saturating_duration_since(now);
        legs.iter_mut().filter(waiting).for_each(|leg| leg.sooner(early));
    }
    for leg in legs.iter_mut().filter(|leg| leg.starts <= now) {
        if let Some(start) = leg.start.take() {
            let _gone = start.send(());
        }
    }
}

fn next_moment(legs: &[Ringing]) -> Option<Instant> {
    legs.iter()
        .filter(|leg| leg.lives())
        .flat_map(|leg| {
            let progressed = leg.channel.has_media() || leg.rings();
            let starts = leg.waits().then_some(leg.starts);
            [leg.deadline, leg.progress_deadline.filter(|_| !progressed), starts]
        })
        .flatten()
        .min()
}

/// `origination_cancel_key`: the caller gives up by a digit.
fn given_up(session: &mut Session) -> bool {
    let key = session.channel().var("origination_cancel_key");
    let Some(key) = key.and_then(|key| key.chars().next()) else { return false };
    while let Some(digit) = session.take_digit() {
        if digit.digit == key {
            return true;
        }
    }
    false
}

/// What the caller was told so far.
#[derive(Default)]
struct Told {
    ringing: bool,
    dialing: bool,
    /// Whose early media it hears.
    early: Option<(Arc<media::Leg>, media::leg::Listening)>,
}

impl Told {
    /// Passes ringing and early media on to the caller.
    async fn tell(
        &mut self,
        session: &mut Session,
        legs: &[Ringing],
        options: &Options,
    ) -> super::super::session::AppResult {
        if !self.dialing {
            self.dialing = true;
            session.ring_wait(true);
        }
        if options.early == Early::Bridged && self.early.is_none() {
            self.bridge_early(session, legs).await?;
        }
        if self.ringing || self.early.is_some() {
            return Ok(());
        }
        let ringing = legs.iter().find(|leg| leg.rings());
        let early = legs.iter().find(|leg| leg.channel.has_media() && leg.channel.is_up());
        let tone =
            ringback::value(session.channel()).filter(|_| !bypass::wanted(session.channel()));
        let rings = match &tone {
            Some(_) => options.instant_ringback || ringing.is_some() || early.is_some(),
            None => {
                let early = options.early == Early::RingReady && early.is_some();
                !options.ignore_ring_ready && (ringing.is_some() || early)
            }
        };
        if !rings {
            return Ok(());
        }
        self.ringing = true;
        if let Some(leg) = ringing {
            show_callee(session.channel(), &leg.channel);
            if session.channel().has_media() {
                session.channel().note_progress();
            }
        }
        match tone {
            Some(_) => ringback::start(session).await,
            None => session.ring_ready(false).await,
        }
    }

    /// The caller hears the first leg that has something to be heard.
    async fn bridge_early(
        &mut self,
        session: &mut Session,
        legs: &[Ringing],
    ) -> super::super::session::AppResult {
        let heard = legs
            .iter()
            .filter(|leg| leg.channel.has_media() && leg.channel.is_up())
            .find_map(|leg| leg.channel.media());
        let Some(leg) = heard else { return Ok(()) };
        session.pre_answer().await?;
        ringback::stop(session);
        if let Some(own) = session.channel().media()
            && let Ok(listening) = own.listen_to(&leg, media::record::RecordMix::ReadOnly, false)
        {
            self.early = Some((leg, listening));
        }
        Ok(())
    }

    fn stop(self, session: &mut Session) {
        if let (Some((leg, listening)), Some(own)) = (self.early, session.channel().media()) {
            let _ended = own.stop_listening(&leg, listening);
        }
        ringback::stop(session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stopped_a_race_says_how_it_ends() {
        let timed_out = Stopped::new(Why::TimedOut, None);
        assert_eq!(timed_out.hangup(true), Cause::NO_ANSWER);
        assert_eq!(timed_out.lost(Some(Cause::NO_ANSWER)).cause, Cause::NO_ANSWER);
        let failed = Stopped::new(Why::Failed, None);
        assert_eq!(failed.lost(Some(Cause::USER_BUSY)).cause, Cause::USER_BUSY);
        assert_eq!(failed.lost(None).cause, Cause::DESTINATION_OUT_OF_ORDER);
        let forced = Stopped::new(Why::Failed, Some(Cause::PROGRESS_TIMEOUT));
        assert_eq!(forced.lost(Some(Cause::USER_BUSY)).cause, Cause::PROGRESS_TIMEOUT);
        let key = Stopped::new(Why::Key, None);
        assert_eq!((key.hangup(false), key.hangup(true)), (Cause::NO_ANSWER, Cause::LOSE_RACE));
        let listed = Stopped::new(Why::Rejected { listed: true }, None);
        assert_eq!(listed.lost(None).end, End::Rejected);
    }
}
