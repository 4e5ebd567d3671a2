//! SESSION_HEARTBEAT: a sign of life every so many seconds, for billing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use esl_server::event::EventName;

use super::channel::Channel;
use crate::text;

/// Seconds between heartbeats when only `true` was asked for.
const DEFAULT_SECONDS: u32 = 60;

/// Starts heartbeats if `enable_heartbeat_events` asks for them.
pub fn start_if_asked(channel: &Arc<Channel>) {
    if let Some(value) = channel.var("enable_heartbeat_events") {
        let seconds = u32::try_from(text::int(&value)).unwrap_or(0);
        let seconds = if seconds > 0 {
            seconds
        } else if text::is_true(&value) {
            DEFAULT_SECONDS
        } else {
            0
        };
        start(channel, seconds);
    }
}

/// Fires SESSION_HEARTBEAT every `seconds` until hangup or until another interval is set; 0 stops.
pub fn start(channel: &Arc<Channel>, seconds: u32) {
    let was = channel.session_heartbeat().swap(seconds, Ordering::Relaxed);
    if seconds == 0 || was == seconds {
        return;
    }
    let channel = Arc::clone(channel);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(u64::from(seconds)));
        ticks.tick().await;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = Arc::clone(&channel).hung_up() => return,
            }
            if channel.session_heartbeat().load(Ordering::Relaxed) != seconds {
                return;
            }
            channel.fire(EventName::SessionHeartbeat);
        }
    });
}
