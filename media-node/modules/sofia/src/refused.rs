//! Calls refused after a wrong digest. The reference has a channel for them by then, so programs see it end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sip::message::Request;

use super::profile::Profile;
use crate::BoxFuture;
use crate::call::{Cause, Channel, Direction, EndpointLeg, Indication, LegEvent, Session};

/// Lets the call's channel live through its end: CHANNEL_HANGUP_COMPLETE with CALL_REJECTED, and no caller.
///
/// Not while calls come fast: guessed passwords must not use up the rate of new sessions that callers need.
pub(super) fn show(profile: &Arc<Profile>, request: &Request) {
    let counters = &profile.switch.counters;
    let rate = counters.this_second.load(Ordering::Relaxed);
    if rate >= counters.sps_limit.load(Ordering::Relaxed) / 4 {
        return;
    }
    let name = super::inbound::channel_name(profile, request);
    let Ok((channel, inbox)) = profile.switch.new_channel(Direction::Inbound, name, None) else {
        return;
    };
    super::variables::of_refused(&channel, profile, request);
    if profile.switch.add_channel(&channel).is_err() {
        return;
    }
    channel.hangup(Cause::CALL_REJECTED);
    Session::new(channel, Box::new(RefusedLeg), inbox).start();
}

/// Everything was said to the far end already.
struct RefusedLeg;

impl EndpointLeg for RefusedLeg {
    fn kind(&self) -> &'static str {
        "sofia"
    }

    fn on_init<'a>(&'a mut self, _channel: &'a Arc<Channel>) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async { Err(Cause::CALL_REJECTED) })
    }

    fn on_hangup<'a>(&'a mut self, _channel: &'a Arc<Channel>, _cause: Cause) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    fn indicate<'a>(
        &'a mut self,
        _channel: &'a Arc<Channel>,
        _what: Indication,
    ) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async { Err(Cause::NONE) })
    }

    fn event<'a>(&'a mut self, _channel: &'a Arc<Channel>) -> BoxFuture<'a, LegEvent> {
        Box::pin(std::future::pending())
    }
}
