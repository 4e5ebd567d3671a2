//! `fifo::info`, and presence of fifos.

use esl_server::event::{Event, EventName};
use switch_core::call::Channel;
use switch_core::call::presence::fire_queue_presence;
use switch_core::clock;
use switch_core::switch::Switch;

use crate::state::State;

/// The subclass of all events here.
pub(crate) const SUBCLASS: &str = "fifo::info";

/// An event of a call.
pub(crate) fn tell(channel: &Channel, fifo: &str, action: &'static str) {
    tell_with(channel, fifo, action, |_| {});
}

/// The same, with more headers behind.
pub(crate) fn tell_with(
    channel: &Channel,
    fifo: &str,
    action: &'static str,
    more: impl FnOnce(&mut Event),
) {
    channel.fire_custom(
        SUBCLASS,
        |_| {},
        |event| {
            event.push("FIFO-Name", fifo);
            event.push("FIFO-Action", action);
            more(event);
        },
    );
}

/// An event of no call.
pub(crate) fn tell_alone(
    switch: &Switch,
    fifo: &str,
    action: &'static str,
    more: impl FnOnce(&mut Event),
) {
    if !switch.bus.wants(EventName::Custom) {
        switch.bus.skip();
        return;
    }
    let mut event = Event::custom(SUBCLASS);
    event.push("FIFO-Name", fifo);
    event.push("FIFO-Action", action);
    more(&mut event);
    esl_server::fire!(switch.bus, event);
}

/// The member a consumer is, and how many calls it has.
pub(crate) fn push_outbound(event: &mut Event, outbound: Option<&str>, uses: i64) {
    if let Some(outbound) = outbound {
        event.push("FIFO-Consumer-Outbound-ID", outbound);
        event.push("FIFO-Consumer-Use-Count", uses.to_string());
    }
}

/// A time as µs, ms and seconds.
fn push_times(event: &mut Event, name: &str, us: i64) {
    event.push(format!("{name}-us"), us.to_string());
    event.push(format!("{name}-ms"), (us / 1000).to_string());
    event.push(format!("{name}-s"), (us / 1_000_000).to_string());
}

/// How long a consumer talked.
pub(crate) fn push_consumer_times(event: &mut Event, channel: &Channel) {
    let times = channel.profile().times;
    push_times(event, "FIFO-Consumer-Bridge-Time", times.bridged);
    let talked = (clock::now_us() - times.bridged).saturating_sub(times.hold_accum);
    push_times(event, "FIFO-Consumer-Talk-Time", talked);
    push_times(event, "FIFO-Consumer-Hold-Time", times.hold_accum);
}

/// How long a caller talked.
pub(crate) fn push_caller_times(event: &mut Event, channel: &Channel) {
    let times = channel.profile().times;
    let talked = (clock::now_us() - times.bridged).saturating_sub(times.hold_accum);
    push_times(event, "FIFO-Caller-Talk-Time", talked);
    push_times(event, "FIFO-Caller-Hold-Time", times.hold_accum);
}

/// PRESENCE_IN of a fifo: how many wait.
pub(crate) fn presence(switch: &Switch, state: &State, fifo: &str) {
    let Some(node) = state.node(fifo) else { return };
    if !switch.bus.wants(EventName::PresenceIn) {
        switch.bus.skip();
        return;
    }
    let waiting = node.waiting();
    let domain = switch.global("domain").unwrap_or_default();
    let id = match fifo.contains('@') || domain.is_empty() {
        true => fifo.to_owned(),
        false => format!("{fifo}@{domain}"),
    };
    fire_queue_presence(switch, "queue", &id, fifo, waiting);
}
