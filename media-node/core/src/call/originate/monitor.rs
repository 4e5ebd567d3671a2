//! Tones in early media: a busy tone is a failure, a ringing tone is ringing (`monitor_early_media_*`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::cause::Cause;
use super::super::channel::Channel;
use super::super::tones::{self, Wanted};
use crate::call::progress::Progress;
use crate::text;

/// Hits it takes unless the variable says otherwise.
const HITS: u32 = 2;

/// `hits:480+620`
fn wanted(key: String, spec: &str) -> Option<Wanted> {
    let (hits, tones) = spec.split_once(':')?;
    let hits = u32::try_from(text::int(hits)).ok().filter(|&hits| hits > 0).unwrap_or(HITS);
    let frequencies = tones::frequencies(&tones.replace('+', ","));
    Some(Wanted { key, frequencies, written: false, once: false, hits, limit: None })
}

/// Begins to listen to a leg's early media.
pub(super) fn begin(leg: &Arc<Channel>, early_media_may_win: bool) {
    let rules = |name: &str| {
        let value = leg.var(name).unwrap_or_default();
        value.split('!').map(str::to_owned).collect::<Vec<_>>()
    };
    for (at, rule) in rules("monitor_early_media_fail").iter().enumerate() {
        let Some((cause, spec)) = rule.split_once(':') else { continue };
        let cause = Cause::parse(cause);
        let key = format!("monitor_early_media_fail_{}", at + 1);
        start(leg, wanted(key, spec), move |leg| {
            let word = leg.var("monitor_fail_dispo");
            leg.set_var("DIALSTATUS", "BUSY");
            leg.set_var(
                "originate_disposition",
                word.unwrap_or_else(|| "monitor_early_media_fail".into()),
            );
            leg.hangup(cause);
            false
        });
    }
    let total = leg.var("monitor_early_media_ring_total").map_or(0, |total| text::int(&total));
    for (at, rule) in rules("monitor_early_media_ring").iter().enumerate() {
        let mut rings = 0;
        let key = format!("monitor_early_media_ring_{}", at + 1);
        start(leg, wanted(key, rule), move |leg| {
            rings += 1;
            if rings < total {
                return true;
            }
            let word = leg.var("monitor_ring_dispo");
            leg.set_var("DIALSTATUS", "EARLY");
            leg.set_var(
                "originate_disposition",
                word.unwrap_or_else(|| "monitor_early_media_ring".into()),
            );
            leg.progress.advance(Progress::hear_ringing);
            leg.flags.early_ok.store(early_media_may_win, Ordering::Relaxed);
            leg.notify();
            false
        });
    }
}

fn start(
    leg: &Arc<Channel>,
    wanted: Option<Wanted>,
    found: impl FnMut(&Arc<Channel>) -> bool + Send + 'static,
) {
    let Some(wanted) = wanted else { return };
    if let Err(error) = tones::watch(leg, wanted, found) {
        tracing::error!(uuid = %leg.uuid(), "Cannot listen to the early media of {}: {error}", leg.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_hits_and_tones() {
        let rule = wanted("k".into(), "3:480+620").unwrap();
        assert_eq!((rule.hits, rule.frequencies), (3, vec![480.0, 620.0]));
        assert_eq!(wanted("k".into(), "x:440").unwrap().hits, HITS);
        assert!(wanted("k".into(), "440").is_none());
    }
}
