//! The end of a call: variables of the record, hooks, the last events.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::event::{EventName, Vars};

use super::cause::Cause;
use super::channel::{Channel, Data};
use super::session::Session;
use super::state::{CallState, State};
use crate::clock;

/// Removes the channel from the switch even if its task panics.
pub(super) struct Cleanup(Arc<Channel>);

impl Cleanup {
    pub(super) fn new(channel: Arc<Channel>) -> Self {
        Self(channel)
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        self.0.with(|data| {
            data.media = None;
            // What was never run would keep the other leg, and itself, alive.
            data.soft_step = None;
            data.divert = None;
        });
        self.0.switch().remove_channel(&self.0);
    }
}

impl Session {
    /// CS_HANGUP, CS_REPORTING, CS_DESTROY.
    pub(super) async fn tear_down(&mut self) {
        let channel = Arc::clone(&self.channel);
        let cause = channel.cause().unwrap_or(Cause::NORMAL_CLEARING);
        channel.hangup(cause);
        channel.with(|data| data.running = State::Hangup);
        channel.fire(EventName::ChannelState);
        channel.with(|data| {
            if let Some(profile) = &mut data.profile {
                profile.times.hungup = clock::now_us();
            }
        });
        super::tones::stop(&channel);
        for observer in channel.switch().observers() {
            observer.hung_up(self).await;
        }
        channel.unset_var("bridge_to");
        set_record_variables(&channel, cause);
        tell_partner(&channel, cause);
        super::bypass::leave(&channel);
        self.leg.on_hangup(&channel, cause).await;
        channel.set_call_state(CallState::Hangup);
        let lost = cause == Cause::LOSE_RACE;
        channel.fire_presence(if lost { "cancelled" } else { State::Hangup.name() });
        self.run_zombie_applications().await;
        self.run_api_hook("api_hangup_hook").await;
        channel.with(|data| {
            data.state = State::Reporting;
            data.running = State::Reporting;
        });
        channel.fire(EventName::ChannelState);
        for observer in channel.switch().observers() {
            observer.reported(&channel).await;
        }
        self.run_api_hook("api_reporting_hook").await;
        let observers = channel.switch().observers();
        let attached = observers.iter().find_map(|observer| observer.document(&channel));
        channel.fire_with(
            EventName::ChannelHangupComplete,
            |event| {
                event.push("Hangup-Cause", cause.name());
            },
            |event| {
                if let Some(document) = attached {
                    event.push("CDR-Attached", "xml");
                    event.set_body(document);
                }
            },
        );
        channel.with(|data| data.state = State::Destroy);
        channel.fire(EventName::ChannelDestroy);
        channel.with(|data| data.running = State::Destroy);
        channel.fire(EventName::ChannelState);
        tracing::info!(
            uuid = %channel.uuid(), fs_level = "NOTICE",
            "Session {} ({}) Ended", channel.session_id(), channel.name()
        );
        channel.notify();
    }

    /// With `set_zombie_exec`, what is left of the dialplan runs after the hangup, as far as it can.
    async fn run_zombie_applications(&mut self) {
        if !self.channel.flags.zombie.load(Ordering::Relaxed) {
            return;
        }
        let rest = self
            .channel
            .with(|data| data.extension.take())
            .map(|list| list.applications)
            .unwrap_or_default();
        for (application, data) in rest {
            let _ended = self.execute(&application, &data).await;
        }
    }
}

/// The partner of a leg learns why the leg ended.
fn tell_partner(channel: &Channel, cause: Cause) {
    if let Some(partner) = channel.partner() {
        partner.set_var("last_bridge_hangup_cause", cause.name());
        if let Some(specific) = channel.var("proto_specific_hangup_cause") {
            partner.set_var("last_bridge_proto_specific_hangup_cause", specific);
        }
    }
}

/// The variables of the call record, in the order the reference assigns them.
fn set_record_variables(channel: &Channel, cause: Cause) {
    channel.with(|data| {
        let Data { vars, digits_dialed, profile, app_log, holds, .. } = data;
        let vars = Arc::make_mut(vars);
        vars.set("hangup_cause", cause.name());
        vars.set("hangup_cause_q850", cause.q850().to_string());
        let Some(profile) = profile else { return };
        let digits = shown_digits(vars, digits_dialed);
        vars.set("digits_dialed", digits);
        let times = profile.times;
        let end = if times.hungup == 0 { clock::now_us() } else { times.hungup };
        stamps(vars, &times, end, holds);
        if let Some((app, argument, _)) = app_log.last() {
            vars.set("last_app", app.as_str());
            vars.set("last_arg", argument.as_str());
        }
        let caller_id = if profile.caller_id_name.is_empty() {
            profile.caller_id_number.clone()
        } else {
            format!("\"{}\" <{}>", profile.caller_id_name, profile.caller_id_number)
        };
        vars.set("caller_id", caller_id);
        durations(vars, &times, end);
    });
}

/// The digits applications took; what `digits_dialed_filter` matches is masked (its groups, if it has any).
fn shown_digits(vars: &Vars, digits: &str) -> String {
    if digits.is_empty() {
        return "none".to_owned();
    }
    let groups = vars
        .get("digits_dialed_filter")
        .and_then(|filter| dialplan_xml::regex::Pattern::cached(&filter).ok()?.captures(digits))
        .map(|found| found.groups)
        .unwrap_or_default();
    let masked = if groups.len() > 1 { &groups[1..] } else { &groups[..] };
    masked.iter().filter(|text| !text.is_empty()).fold(digits.to_owned(), |shown, text| {
        shown.replace(text.as_str(), &"X".repeat(text.chars().count()))
    })
}

fn stamps(vars: &mut Vars, times: &super::profile::Times, end: i64, holds: &[(i64, i64)]) {
    let mut stamp = |name: &'static str, time: i64| {
        if time != 0 {
            vars.set(name, clock::local_stamp(time));
        }
    };
    stamp("start_stamp", times.created);
    stamp("profile_start_stamp", times.profile_created);
    stamp("answer_stamp", times.answered);
    stamp("bridge_stamp", times.bridged);
    stamp("hold_stamp", times.last_hold);
    stamp("resurrect_stamp", times.resurrected);
    stamp("progress_stamp", times.progress);
    stamp("progress_media_stamp", times.progress_media);
    if !holds.is_empty() {
        let list: Vec<String> =
            holds.iter().rev().map(|(on, off)| format!("{{{on},{off}}}")).collect();
        vars.set("hold_events", format!("{{{}}}", list.join(",")));
    }
    let mut stamp = |name: &'static str, time: i64| vars.set(name, clock::local_stamp(time));
    stamp("end_stamp", end);
    let mut epoch = |seconds: &'static str, micros: &'static str, time: i64| {
        vars.set(seconds, (time / 1_000_000).to_string());
        vars.set(micros, time.to_string());
    };
    epoch("start_epoch", "start_uepoch", times.created);
    epoch("profile_start_epoch", "profile_start_uepoch", times.profile_created);
    epoch("answer_epoch", "answer_uepoch", times.answered);
    epoch("bridge_epoch", "bridge_uepoch", times.bridged);
    epoch("last_hold_epoch", "last_hold_uepoch", times.last_hold);
    vars.set("hold_accum_seconds", (times.hold_accum / 1_000_000).to_string());
    vars.set("hold_accum_usec", times.hold_accum.to_string());
    vars.set("hold_accum_ms", (times.hold_accum / 1000).to_string());
    let mut epoch = |seconds: &'static str, micros: &'static str, time: i64| {
        vars.set(seconds, (time / 1_000_000).to_string());
        vars.set(micros, time.to_string());
    };
    epoch("resurrect_epoch", "resurrect_uepoch", times.resurrected);
    epoch("progress_epoch", "progress_uepoch", times.progress);
    epoch("progress_media_epoch", "progress_media_uepoch", times.progress_media);
    epoch("end_epoch", "end_uepoch", end);
}

/// Durations in seconds (differences of whole seconds, as the reference counts), milliseconds and microseconds.
fn durations(vars: &mut Vars, times: &super::profile::Times, end: i64) {
    let since = |from: i64, to: i64| if from == 0 || to == 0 { 0 } else { (to - from).max(0) };
    let seconds = |from: i64, to: i64| {
        if from == 0 || to == 0 { 0 } else { to / 1_000_000 - from / 1_000_000 }
    };
    let answered = times.answered != 0;
    let spans = [
        (times.created, end, true),
        (times.answered, end, true),
        (times.created, times.progress, true),
        (times.created, times.answered, true),
        (times.created, times.bridged, true),
        (times.created, times.progress_media, true),
        (times.created, end, answered),
    ];
    let names = [
        [
            "duration",
            "billsec",
            "progresssec",
            "answersec",
            "waitsec",
            "progress_mediasec",
            "flow_billsec",
        ],
        [
            "mduration",
            "billmsec",
            "progressmsec",
            "answermsec",
            "waitmsec",
            "progress_mediamsec",
            "flow_billmsec",
        ],
        [
            "uduration",
            "billusec",
            "progressusec",
            "answerusec",
            "waitusec",
            "progress_mediausec",
            "flow_billusec",
        ],
    ];
    for (unit, names) in names.iter().enumerate() {
        for (name, &(from, to, counts)) in names.iter().zip(&spans) {
            let value = match (counts, unit) {
                (false, _) => 0,
                (true, 0) => seconds(from, to),
                (true, 1) => since(from, to) / 1000,
                (true, _) => since(from, to),
            };
            vars.set(*name, value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_masks_digits_of_the_record() {
        let mut vars = Vars::new();
        assert_eq!(shown_digits(&vars, ""), "none");
        assert_eq!(shown_digits(&vars, "1234#"), "1234#");
        vars.set("digits_dialed_filter", r"\d{3}");
        assert_eq!(shown_digits(&vars, "1234#"), "XXX4#");
        vars.set("digits_dialed_filter", r"^12(34)");
        assert_eq!(shown_digits(&vars, "1234#"), "12XX#");
        vars.set("digits_dialed_filter", "(broken");
        assert_eq!(shown_digits(&vars, "1234#"), "1234#");
    }
}
