//! What the variables of a dial string, with those its caller adds, say about an attempt as a whole.

use std::time::Duration;

use super::super::cause::Cause;
use super::super::channel::Channel;
use super::super::dialstring::Variables;
use super::find;
use crate::text;

/// What early media of a called leg leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Early {
    /// The leg has won.
    Wins,
    /// Nothing.
    Ignored,
    /// The caller is told that it rings.
    RingReady,
    /// The caller hears it while everything else goes on.
    Bridged,
}

/// Whose end ends the attempt for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reject {
    /// No leg's.
    Nobody,
    /// Anybody's.
    Anybody,
    /// Of legs that end with a cause in this list; after `!`, with one that is not.
    Listed(String),
}

impl Reject {
    /// Does that cause, of one leg, end the attempt?
    pub(super) fn ends(&self, cause: Cause) -> bool {
        match self {
            Self::Nobody => false,
            Self::Anybody => true,
            Self::Listed(rule) => {
                let (inverted, list) =
                    rule.strip_prefix('!').map_or((false, rule.as_str()), |rest| (true, rest));
                let named = list.split(',').any(|name| Cause::parse_strict(name) == Some(cause));
                named != inverted
            }
        }
    }
}

/// An answered leg has to accept the call (`group_confirm_*`).
#[derive(Clone, Debug, Default)]
pub(super) struct Confirm {
    /// Digits that accept, or `exec`.
    pub(super) key: String,
    /// What the leg hears; the application and its argument with `exec`.
    pub(super) file: Option<String>,
    /// What it hears after wrong digits.
    pub(super) error_file: Option<String>,
    /// For each try.
    pub(super) read_timeout: Duration,
    /// The leg's own time limits from the answer on.
    pub(super) limit: Limit,
}

/// What an answer makes of a leg's time limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Limit {
    /// They stay.
    #[default]
    Keep,
    /// None any more.
    Cancel,
    /// That long from now.
    Extend(Duration),
}

/// For each try to accept, unless `group_confirm_read_timeout` says otherwise.
const CONFIRM_READ_TIMEOUT: i64 = 5000;
/// Shorter tries than this would spin.
const MIN_READ_TIMEOUT: i64 = 100;

impl Confirm {
    fn of(get: &impl Fn(&str) -> Option<String>) -> Self {
        let file = |name: &str| get(name).filter(|file| !file.is_empty() && file != "undef");
        let given = get("group_confirm_read_timeout").map_or(0, |ms| text::int(&ms));
        let read_timeout = if given > 0 { given } else { CONFIRM_READ_TIMEOUT };
        let cancelled = get("group_confirm_cancel_timeout").is_some_and(|on| text::is_true(&on));
        Self {
            key: get("group_confirm_key").unwrap_or_default(),
            file: file("group_confirm_file"),
            error_file: file("group_confirm_error_file"),
            read_timeout: Duration::from_millis(read_timeout.max(MIN_READ_TIMEOUT).unsigned_abs()),
            limit: limit(get("group_confirm_timeout").as_deref()).unwrap_or(if cancelled {
                Limit::Cancel
            } else {
                Limit::Keep
            }),
        }
    }

    /// The rules of one leg: its own variables before those of the attempt. `None` if it need not accept.
    pub(super) fn for_leg(&self, leg: &Channel) -> Option<Self> {
        let own = |name: &str| leg.var(name).filter(|value| !value.is_empty());
        let mut rules = self.clone();
        if let Some(key) = own("group_confirm_key") {
            rules.key = key;
        }
        if let Some(file) = own("group_confirm_file") {
            rules.file = Some(file);
        }
        if let Some(limit) = limit(own("group_confirm_timeout").as_deref()) {
            rules.limit = limit;
        }
        (!rules.key.is_empty()).then_some(rules)
    }
}

fn limit(seconds: Option<&str>) -> Option<Limit> {
    match seconds?.trim().parse::<u64>().ok()? {
        0 => Some(Limit::Cancel),
        seconds => Some(Limit::Extend(Duration::from_secs(seconds))),
    }
}

/// An attempt's options.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// What early media leads to.
    pub(super) early: Early,
    /// A leg that rings has won.
    pub(super) ring_wins: bool,
    /// The caller is not told of ringing.
    pub(super) ignore_ring_ready: bool,
    /// The ringback tone starts at once.
    pub(super) instant_ringback: bool,
    /// After a timeout the next group is tried.
    pub(super) continue_on_timeout: bool,
    /// Whose end ends the attempt.
    pub(super) reject: Reject,
    /// The caller ends with a failed attempt.
    pub(super) hangup_on_single_reject: bool,
    /// What an answered leg has to do.
    pub(super) confirm: Confirm,
    /// Early media never counts, whatever it sounds like.
    pub(super) ignores_early_media: bool,
    /// Tones in early media that tell of failure or of ringing.
    pub(super) monitored: bool,
    /// How often to try all groups.
    pub(super) tries: u64,
    /// No further try begins after this time.
    pub(super) retry_timeout: Option<Duration>,
    /// Between the end of a try and the next.
    pub(super) retry_sleep: Duration,
    /// Between the beginnings of two tries, at least.
    pub(super) retry_period: Duration,
}

/// Tries without `originate_retry_timeout`.
const MAX_TRIES: i64 = 100;

impl Options {
    /// Reads them.
    pub(super) fn of(variables: &Variables) -> Self {
        let get = |name: &str| find(variables, name).map(str::to_owned);
        let on = |name: &str| find(variables, name).is_some_and(text::is_true);
        let number = |name: &str| find(variables, name).map(text::int);
        let within = |name: &str, range: std::ops::RangeInclusive<i64>, default: i64| {
            let given = number(name).filter(|ms| range.contains(ms)).unwrap_or(default);
            Duration::from_millis(given.unsigned_abs())
        };
        let retry_timeout = number("originate_retry_timeout")
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|&seconds| seconds > 0)
            .map(Duration::from_secs);
        let tries = number("originate_retries")
            .filter(|&tries| tries > 0 && (retry_timeout.is_some() || tries <= MAX_TRIES))
            .unwrap_or(1);
        Self {
            early: early(variables),
            ring_wins: on("return_ring_ready"),
            ignore_ring_ready: on("ignore_ring_ready"),
            instant_ringback: on("instant_ringback") || on("ring_ready"),
            continue_on_timeout: on("originate_continue_on_timeout"),
            reject: reject(variables),
            hangup_on_single_reject: on("hangup_on_single_reject"),
            confirm: Confirm::of(&get),
            ignores_early_media: find(variables, "ignore_early_media")
                .is_some_and(|value| !value.is_empty() && !text::is_false(value)),
            monitored: monitored(variables),
            tries: tries.unsigned_abs(),
            retry_timeout,
            retry_sleep: within("originate_retry_sleep_ms", 500..=60_000, 1000),
            retry_period: within("originate_retry_min_period_ms", 500..=300_000, 0),
        }
    }
}

/// `monitor_early_media_fail`, `monitor_early_media_ring`.
fn monitored(variables: &Variables) -> bool {
    ["monitor_early_media_fail", "monitor_early_media_ring"].iter().any(|name| {
        find(variables, name).is_some_and(|value| !value.is_empty() && !text::is_false(value))
    })
}

fn early(variables: &Variables) -> Early {
    let on = |name: &str| find(variables, name).is_some_and(text::is_true);
    let mut early = match find(variables, "group_confirm_early_ok") {
        Some(value) if !text::is_true(value) => Early::Ignored,
        _ => Early::Wins,
    };
    if on("bridge_early_media") {
        early = Early::Bridged;
    }
    match find(variables, "ignore_early_media").map(str::to_ascii_lowercase).as_deref() {
        Some("ring_ready") => Early::RingReady,
        Some("consume") => Early::Ignored,
        Some(value) if text::is_true(value) => Early::Ignored,
        _ if early == Early::Wins && monitored(variables) => Early::Ignored,
        _ => early,
    }
}

fn reject(variables: &Variables) -> Reject {
    match find(variables, "fail_on_single_reject") {
        Some(rule) if text::is_true(rule) => Reject::Anybody,
        Some(rule) if !rule.is_empty() && !rule.eq_ignore_ascii_case("false") => {
            Reject::Listed(rule.to_owned())
        }
        _ if find(variables, "hangup_on_single_reject").is_some_and(text::is_true) => {
            Reject::Anybody
        }
        _ => Reject::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::dialstring;

    fn options(text: &str) -> Options {
        let dial = dialstring::DialString::parse(&format!("{{{text}}}null/x"));
        Options::of(&dial.unwrap().branches[0].global)
    }

    #[test]
    fn early_media_wins_unless_told_otherwise() {
        assert_eq!(options("").early, Early::Wins);
        assert_eq!(options("ignore_early_media=false").early, Early::Wins);
        assert_eq!(options("ignore_early_media=true").early, Early::Ignored);
        assert_eq!(options("ignore_early_media=consume").early, Early::Ignored);
        assert_eq!(options("ignore_early_media=ring_ready").early, Early::RingReady);
        assert_eq!(options("bridge_early_media=true").early, Early::Bridged);
        assert_eq!(options("group_confirm_early_ok=false").early, Early::Ignored);
    }

    #[test]
    fn one_rejection_may_end_all() {
        assert!(!options("").reject.ends(Cause::USER_BUSY));
        assert!(options("fail_on_single_reject=true").reject.ends(Cause::USER_BUSY));
        assert!(options("hangup_on_single_reject=true").reject.ends(Cause::USER_BUSY));
        let listed = options("^^:fail_on_single_reject=USER_BUSY,CALL_REJECTED").reject;
        assert!(listed.ends(Cause::USER_BUSY) && !listed.ends(Cause::NO_ANSWER));
        let others = options("fail_on_single_reject=!USER_BUSY").reject;
        assert!(!others.ends(Cause::USER_BUSY) && others.ends(Cause::NO_ANSWER));
    }

    #[test]
    fn tries_out_of_range_are_one() {
        assert_eq!(options("originate_retries=100").tries, 100);
        assert_eq!(options("originate_retries=101").tries, 1);
        assert_eq!(options("originate_retries=0").tries, 1);
        assert_eq!(options("originate_retries=500,originate_retry_timeout=5").tries, 500);
        assert_eq!(options("originate_retry_sleep_ms=499").retry_sleep, Duration::from_secs(1));
        assert_eq!(options("originate_retry_sleep_ms=500").retry_sleep, Duration::from_millis(500));
    }

    #[test]
    fn an_answer_may_lift_or_lengthen_the_time_limits() {
        assert_eq!(options("").confirm.limit, Limit::Keep);
        assert_eq!(options("group_confirm_cancel_timeout=true").confirm.limit, Limit::Cancel);
        assert_eq!(options("group_confirm_timeout=0").confirm.limit, Limit::Cancel);
        let longer = options("group_confirm_timeout=7,group_confirm_cancel_timeout=true");
        assert_eq!(longer.confirm.limit, Limit::Extend(Duration::from_secs(7)));
        assert_eq!(options("").confirm.read_timeout, Duration::from_secs(5));
    }
}
