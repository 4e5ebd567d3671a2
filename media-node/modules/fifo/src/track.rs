//! `fifo_track_call`: calls beside the fifos count for a member too, and are told of as calls of the fifo `manual_calls`.

use std::sync::Arc;

use switch_core::call::{AppResult, Channel, Digit, Direction, Session};
use switch_core::contract::CallObserver;
use switch_core::{BoxFuture, clock};

use crate::center::{self, Part, stamp};
use crate::consumer::{import, seen_as};
use crate::events::{push_consumer_times, push_outbound, tell, tell_with};
use crate::settings::MANUAL;
use crate::state::Bridge;

/// The application.
pub(crate) async fn track(session: &mut Session, argument: &str) -> AppResult {
    let outbound = argument.trim();
    if outbound.is_empty() {
        tracing::error!(uuid = %session.channel().uuid(), "Invalid!");
        return Ok(());
    }
    begin(session.channel(), outbound);
    Ok(())
}

/// From now on the call counts for the member.
pub(crate) fn begin(channel: &Arc<Channel>, outbound: &str) {
    let double = channel.with(|data| {
        let part = data.slot::<Part>();
        let double = part.tracked.is_some();
        part.tracked.get_or_insert_with(|| outbound.to_owned());
        double
    });
    if double {
        tracing::warn!(uuid = %channel.uuid(), "{} trying to double-track call!", channel.name());
        return;
    }
    channel.set_var("fifo_outbound_uuid", outbound.to_owned());
    channel.set_var("fifo_track_call", "true");
    let outgoing = channel.direction() == Direction::Outbound;
    let fifos = center::of(channel.switch());
    let uses = {
        let mut state = fifos.state.lock();
        state.begin_use(outbound);
        let now = clock::now_secs();
        state.change_members(outbound, |member| {
            (member.stop_time, member.start_time, member.fails) = (0, now, 0);
            member.use_count += 1;
            match outgoing {
                true => {
                    member.manual_in += 1;
                    member.manual_in_total += 1;
                }
                false => {
                    member.manual_out += 1;
                    member.manual_out_total += 1;
                }
            }
        });
        state.use_count(outbound)
    };
    let var = |name: &str| channel.var(name).unwrap_or_default();
    let (name, number) = match outgoing {
        true => (var("caller_id_name"), var("caller_id_number")),
        false => (var("destination_number"), var("destination_number")),
    };
    tell_with(channel, MANUAL, "channel-consumer-start", |event| {
        push_outbound(event, Some(outbound), uses);
        event.push("FIFO-Type", "manual");
        event.push("FIFO-Caller-CID-Name", name);
        event.push("FIFO-Caller-CID-Number", number);
    });
}

/// The call counts no more. `kind` is told, if the call ends with it.
pub(crate) fn forget(channel: &Channel, kind: Option<&'static str>) {
    let tracked =
        channel.with(|data| data.find_slot::<Part>().and_then(|part| part.tracked.take()));
    let Some(outbound) = tracked else { return };
    let fifos = center::of(channel.switch());
    let uses = {
        let mut state = fifos.state.lock();
        state.end_bridge(channel.uuid());
        state.end_use(&outbound);
        let now = clock::now_secs();
        state.change_members(&outbound, |member| {
            member.use_count = (member.use_count - 1).max(0);
            member.stop_time = now;
            member.next_avail = now + member.lag + 1;
        });
        state.use_count(&outbound)
    };
    unbridged(channel, &outbound, None);
    if let Some(kind) = kind {
        tell_with(channel, MANUAL, "channel-consumer-stop", |event| {
            event.push("FIFO-Type", kind);
            push_outbound(event, Some(&outbound), uses);
            push_consumer_times(event, channel);
        });
    }
}

/// Notes bridges and ends of tracked calls, and keys of consumers.
pub(crate) struct Observer;

impl CallObserver for Observer {
    fn bridged(&self, channel: &Channel) {
        let outbound = channel.with(|data| {
            let part = data.find_slot::<Part>()?;
            let outbound = part.tracked.clone()?;
            (!std::mem::replace(&mut part.manual_bridge, true)).then_some(outbound)
        });
        if let Some(outbound) = outbound {
            bridged(channel, &outbound);
        }
    }

    fn unbridged(&self, channel: &Channel) {
        let outbound =
            channel.with(|data| data.find_slot::<Part>().and_then(|part| part.tracked.clone()));
        if let Some(outbound) = outbound {
            let target = channel.own_var("fifo_target").unwrap_or_default();
            let caller = channel.switch().channel(&target);
            unbridged(channel, &outbound, caller.as_deref());
        }
    }

    /// A consumer's key ends the call, or puts it on hold.
    fn digit(&self, channel: &Arc<Channel>, digit: Digit) -> bool {
        let talks = channel.with(|data| data.find_slot::<Part>().and_then(|part| part.talks));
        let (Some(key), Some(caller)) = (talks, channel.partner()) else { return true };
        if digit.digit == key {
            caller.hangup(switch_core::call::Cause::NORMAL_CLEARING);
            return false;
        }
        let held = !center::of(channel.switch()).settings.read().no_hold_key;
        if digit.digit == '0' && held && !channel.is_true("fifo_on_hold") {
            let music = |leg: &Channel, names: &[&str]| {
                names.iter().find_map(|name| leg.variable(name)).filter(|music| !music.is_empty())
            };
            let own = music(channel, &["fifo_hold_music", "fifo_music", "hold_music"]);
            let other = music(&caller, &["fifo_music", "hold_music"]);
            let silence = || "silence_stream://-1".to_owned();
            let argument =
                format!("0 '{}' '{}'", own.unwrap_or_else(silence), other.unwrap_or_else(silence));
            let message = esl_server::CallMessage::execute("soft_hold", &argument);
            // While on hold the key is the application's.
            channel.with(|data| data.slot::<Part>().talks = None);
            let posted = channel.post(message).is_ok();
            let back = Arc::clone(channel);
            tokio::spawn(async move { keys_again(&back, key).await });
            return !posted;
        }
        true
    }

    fn hung_up<'a>(&'a self, session: &'a mut Session) -> BoxFuture<'a, ()> {
        forget(session.channel(), Some("manual"));
        Box::pin(std::future::ready(()))
    }
}

/// The consumer's keys are its own again once it is off hold.
async fn keys_again(channel: &Arc<Channel>, key: char) {
    let mut watch = channel.watch();
    let mut begun = false;
    loop {
        let holding = channel.own_var("soft_holding_uuid").is_some();
        begun |= holding;
        if !channel.is_up() || (begun && !holding) {
            break;
        }
        tokio::select! {
            changed = watch.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(std::time::Duration::from_millis(200)) => {}
        }
    }
    if channel.partner().is_some() {
        channel.with(|data| data.slot::<Part>().talks = Some(key));
    }
}

fn bridged(channel: &Channel, outbound: &str) {
    let fifos = center::of(channel.switch());
    let caller = channel.partner();
    for (name, value) in
        [("fifo_bridged", "true"), ("fifo_manual_bridge", "true"), ("fifo_role", "consumer")]
    {
        channel.set_var(name, value);
    }
    if let Some(caller) = &caller {
        caller.set_var("fifo_role", "caller");
        import(channel, caller, "fifo_caller_consumer_import");
        import(caller, channel, "fifo_consumer_caller_import");
    }
    let (name, number) = seen_as(channel);
    let uses = fifos.state.lock().use_count(outbound);
    tell_with(channel, MANUAL, "bridge-consumer-start", |event| {
        event.push("FIFO-Caller-CID-Name", name.as_str());
        event.push("FIFO-Caller-CID-Number", number.as_str());
        push_outbound(event, Some(outbound), uses);
    });
    if let Some(caller) = &caller {
        tell(caller, MANUAL, "bridge-caller-start");
    }
    fifos.state.lock().add_bridge(Bridge {
        fifo: MANUAL.to_owned(),
        caller: caller.as_ref().map(|caller| caller.uuid().to_string()).unwrap_or_default(),
        caller_name: name,
        caller_number: number,
        consumer: channel.uuid().to_string(),
        outbound: outbound.to_owned(),
        start: clock::now_secs(),
    });
    let (now, began) = (stamp(), clock::now_secs().to_string());
    let target = caller.as_ref().map(|caller| caller.uuid().to_string()).unwrap_or_default();
    channel.set_vars([
        ("fifo_status", "TALKING".to_owned()),
        ("fifo_target", target),
        ("fifo_timestamp", now.clone()),
        ("fifo_epoch_start_bridge", began.clone()),
    ]);
    if let Some(caller) = &caller {
        caller.set_vars([
            ("fifo_status", "TALKING".to_owned()),
            ("fifo_timestamp", now),
            ("fifo_epoch_start_bridge", began),
            ("fifo_target", channel.uuid().to_string()),
        ]);
    }
}

fn unbridged(channel: &Channel, outbound: &str, caller: Option<&Channel>) {
    let was = channel.with(|data| {
        data.find_slot::<Part>().is_some_and(|p| std::mem::take(&mut p.manual_bridge))
    });
    if !was {
        return;
    }
    let fifos = center::of(channel.switch());
    channel.unset_var("fifo_bridged");
    fifos.state.lock().end_bridge(channel.uuid());
    let (now, ended) = (stamp(), clock::now_secs());
    let began = channel.own_var("fifo_epoch_start_bridge");
    let began = began.map_or(ended, |began| switch_core::text::int(&began));
    for (leg, status) in [(Some(channel), "WAITING"), (caller, "DONE")] {
        let Some(leg) = leg else { continue };
        leg.set_vars([
            ("fifo_status", status.to_owned()),
            ("fifo_timestamp", now.clone()),
            ("fifo_epoch_stop_bridge", ended.to_string()),
            ("fifo_bridge_seconds", (ended - began).to_string()),
        ]);
    }
    let uses = fifos.state.lock().use_count(outbound);
    tell_with(channel, MANUAL, "bridge-consumer-stop", |event| {
        push_outbound(event, Some(outbound), uses);
    });
    if let Some(caller) = caller {
        tell(caller, MANUAL, "bridge-caller-stop");
    }
    tell(channel, MANUAL, "consumer_stop");
}
