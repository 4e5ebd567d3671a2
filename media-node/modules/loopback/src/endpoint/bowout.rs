//! A pair of loopback legs takes itself out of a call once both its ends are bridged: the two real legs are bridged
//! to each other, unless `loopback_bowout` is false on either half.

use std::sync::Arc;
use std::time::Duration;

use crate::call::links::Link;
use crate::call::{Cause, Channel, uuid_bridge};

/// Packets of audio from the near end that must have passed first: two seconds.
const PACKETS: u64 = 100;
/// How often a bridged pair looks.
const INTERVAL: Duration = Duration::from_millis(200);
/// Loopback legs may stand behind each other this deep.
const MAX_CHAIN: usize = 16;

/// How much audio has passed since both ends were bridged.
#[derive(Debug, Default)]
pub(super) struct Bowout {
    heard_before: Option<u64>,
}

/// Resolves once the pair has bowed out, or never will. Cancel-safe: a look that is cut short is taken again.
pub(super) async fn due(bowout: Option<&mut Bowout>, a: &Arc<Channel>) {
    let Some(bowout) = bowout else { return std::future::pending().await };
    loop {
        if a.partner().is_none() {
            // Whatever bridges the leg also wakes its task, which asks again.
            return std::future::pending().await;
        }
        tokio::time::sleep(INTERVAL).await;
        if bowout.look(a) {
            return;
        }
    }
}

impl Bowout {
    /// True when the pair has gone, or stays for good.
    fn look(&mut self, a: &Arc<Channel>) -> bool {
        let other = a.linked(Link::LoopbackOther);
        let Some(b) = other else { return true };
        if vetoed(a) || vetoed(&b) {
            return true;
        }
        let up = |leg: &Channel| leg.is_answered() && leg.is_up() && leg.partner().is_some();
        let (Some(far_a), Some(far_b)) = (real_end(a), real_end(&b)) else { return false };
        if !up(a) || !up(&b) {
            self.heard_before = None;
            return false;
        }
        let heard = far_a.media().map_or(0, |media| media.stats().inbound.media_packet_count);
        let before = *self.heard_before.get_or_insert(heard);
        if heard.saturating_sub(before) < PACKETS {
            return false;
        }
        tracing::debug!(uuid = %a.uuid(), "{} detected bridge on both ends, attempting direct connection.", a.name());
        uuid_bridge::join(&far_a, &far_b);
        for (leg, end) in [(a, &far_a), (&b, &far_b)] {
            leg.set_var("loopback_hangup_cause", "bridge");
            leg.set_var("loopback_bowout_other_uuid", &**end.uuid());
            leg.hangup(Cause::NORMAL_CLEARING);
        }
        true
    }
}

fn vetoed(leg: &Channel) -> bool {
    leg.var("loopback_bowout").is_some_and(|value| !crate::text::is_true(&value))
}

/// The leg behind the bridge of a loopback leg, past further pairs.
fn real_end(leg: &Channel) -> Option<Arc<Channel>> {
    let mut end = leg.partner()?;
    for _ in 0..MAX_CHAIN {
        if end.var("loopback_leg").is_none() {
            return Some(end);
        }
        if vetoed(&end) {
            return None;
        }
        let behind = end.linked(Link::LoopbackOther)?;
        end = behind.partner()?;
    }
    None
}
