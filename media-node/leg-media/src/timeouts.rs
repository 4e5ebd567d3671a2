//! How long a peer may be silent before its call ends.

use std::time::Duration;

/// How long the peer may be silent, as it talks and on hold: the variables in milliseconds, their older namesakes
/// in seconds, or the profile's. A hold may last ten times as long unless something else is said; 0 is for ever.
pub(super) fn media_timeouts(
    var: impl Fn(&str) -> Option<String>,
    profile: (Option<Duration>, Option<Duration>),
) -> (Option<Duration>, Option<Duration>) {
    let read = |names: [&str; 2], old: &str| {
        let number = |name: &str| Some(crate::text::int(&var(name)?).max(0).unsigned_abs());
        names
            .iter()
            .find_map(|name| number(name).map(Duration::from_millis))
            .or_else(|| number(old).map(Duration::from_secs))
    };
    let talking = read(["media_timeout_audio", "media_timeout"], "rtp_timeout_sec");
    let held = read(["media_hold_timeout_audio", "media_hold_timeout"], "rtp_hold_timeout_sec");
    let set = |time: Option<Duration>| time.filter(|time| !time.is_zero());
    let held = held.or_else(|| talking.map(|time| time * 10));
    (
        talking.map_or(profile.0, |time| set(Some(time))),
        held.map_or(profile.1, |time| set(Some(time))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeouts(vars: &[(&str, &str)]) -> (Option<u64>, Option<u64>) {
        let var = |name: &str| {
            vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        };
        let profile = (Some(Duration::from_secs(300)), Some(Duration::from_secs(1800)));
        let (talking, held) = media_timeouts(var, profile);
        let ms = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
        (ms(talking), ms(held))
    }

    #[test]
    fn silence_is_timed_by_variables_before_the_profile() {
        assert_eq!(timeouts(&[]), (Some(300_000), Some(1_800_000)));
        assert_eq!(timeouts(&[("media_timeout", "2000")]), (Some(2000), Some(20_000)));
        assert_eq!(timeouts(&[("rtp_timeout_sec", "3")]), (Some(3000), Some(30_000)));
        let both = [("media_timeout_audio", "500"), ("media_hold_timeout", "700")];
        assert_eq!(timeouts(&both), (Some(500), Some(700)));
        assert_eq!(timeouts(&[("media_timeout", "0")]), (None, None), "0 is for ever");
    }
}
