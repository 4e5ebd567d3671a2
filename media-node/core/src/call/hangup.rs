//! The end of a call: variables of the record, hooks, the last events.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::event::{EventName, Vars};

use call_model::record;

use super::cause::Cause;
use super::channel::{Channel, Data};
use super::links::Link;
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
        channel.unlink(Link::BridgedTo);
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
        for step in self.channel.with(|data| data.extension.take()).into_iter().flatten() {
            let _ended = self.execute_step(step).await;
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
        record::stamps(vars, &times, end, holds);
        if let Some((app, argument, _)) = app_log.last() {
            vars.set("last_app", *app);
            vars.set("last_arg", &**argument);
        }
        let caller_id = if profile.caller_id_name.is_empty() {
            profile.caller_id_number.clone()
        } else {
            format!("\"{}\" <{}>", profile.caller_id_name, profile.caller_id_number)
        };
        vars.set("caller_id", caller_id);
        record::durations(vars, &times, end);
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
