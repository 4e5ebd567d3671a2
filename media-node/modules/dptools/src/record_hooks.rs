//! What else a recording's variables ask for: hooks at its start and end, and that nothing is written before the call
//! is answered or bridged.

use std::sync::Arc;

use super::record::Recording;
use crate::call::Channel;
use crate::text;

/// A moment in a recording's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has begun.
    Start,
    /// Its file is closed.
    Stop,
}

impl Moment {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "record_start",
            Self::Stop => "record_stop",
        }
    }
}

/// Runs `execute_on_record_start` or `_stop` (the recording's own, then the channel's), `api_on_record_…`, and after
/// the end `record_post_process_exec_app` and `…_api`.
///
/// Applications need a live call; commands are run for one that is over too.
pub fn run(channel: &Arc<Channel>, moment: Moment, own: &[(String, String)]) {
    let own_apps: Vec<String> = own
        .iter()
        .filter(|(name, _)| is_own_hook(name, moment))
        .map(|(_, value)| value.clone())
        .collect();
    let hooks = channel.hooks(&format!("execute_on_{}", moment.name()));
    let mut apps: Vec<String> = own_apps.into_iter().chain(hooks).collect();
    let mut apis: Vec<(String, String)> = channel
        .hooks(&format!("api_on_{}", moment.name()))
        .iter()
        .map(|value| pair(value, ' '))
        .collect();
    if moment == Moment::Stop {
        apps.extend(channel.hooks("record_post_process_exec_app"));
        apis.extend(
            channel.var_marked("record_post_process_exec_api").map(|value| pair(&value, ':')),
        );
    }
    if !apps.is_empty() {
        let _full = channel.job(Box::new(move |session| {
            Box::pin(async move {
                for app in apps {
                    session.run_execute_hook(&app).await;
                }
            })
        }));
    }
    if !apis.is_empty() {
        let channel = Arc::clone(channel);
        crate::foreign::spawn(async move {
            let switch = Arc::clone(channel.switch());
            for (api, argument) in apis {
                let argument = crate::host::expand_for(&switch, Some(&channel), &argument).await;
                let reply = switch.run_api(&api, &argument, Some(Arc::clone(&channel))).await;
                let argument = base::far::plain(&argument);
                tracing::debug!(uuid = %channel.uuid(), "{api}({}): {}", base::secrets::masked(&argument), reply.unwrap_or_default());
            }
        });
    }
}

fn is_own_hook(name: &str, moment: Moment) -> bool {
    name.strip_prefix("execute_on_").is_some_and(|rest| rest == moment.name())
        || moment == Moment::Stop && name == "record_post_process_exec_app"
}

fn pair(value: &str, by: char) -> (String, String) {
    let (api, argument) = value.split_once(by).unwrap_or((value, ""));
    (api.trim().to_owned(), argument.to_owned())
}

/// What a recording waits for before it writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    answer: bool,
    bridge: bool,
}

impl Conditions {
    /// `RECORD_ANSWER_REQ`, which `media_bug_answer_req` stands for as well, and `RECORD_BRIDGE_REQ`.
    pub(super) fn of(var: &impl Fn(&str) -> Option<String>) -> Self {
        let truth = |name: &str| var(name).is_some_and(|v| text::is_true(&v));
        let answer = truth("RECORD_ANSWER_REQ") || truth("media_bug_answer_req");
        Self { answer, bridge: truth("RECORD_BRIDGE_REQ") }
    }

    /// Whether they are met now.
    pub(super) fn met(self, answered: bool, bridged: bool) -> bool {
        (answered || !self.answer) && (bridged || !self.bridge)
    }
}

/// The call was answered, bridged or left alone: recordings that wait for it begin to write, or pause.
pub fn call_changed(channel: &Channel) {
    let answered = channel.is_answered();
    let changed: Vec<_> = channel.with(|data| {
        let bridged = data.bridge.is_some();
        data.slot::<Vec<Recording>>()
            .iter_mut()
            .filter_map(|r| r.reconsider(answered, bridged))
            .collect()
    });
    let Some(leg) = channel.media().filter(|_| !changed.is_empty()) else { return };
    for (id, paused) in changed {
        let _closed = leg.pause_record(id, paused);
    }
}

impl Recording {
    /// Whether it is to be paused or go on, if that changes now.
    fn reconsider(&mut self, answered: bool, bridged: bool) -> Option<(media::RecordId, bool)> {
        let was = self.is_paused();
        self.waiting = !self.conditions.met(answered, bridged);
        (was != self.is_paused()).then(|| (self.id, self.is_paused()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_waits_for_what_it_was_told_to_wait_for() {
        let of = |names: &[&str]| {
            Conditions::of(&|name: &str| names.contains(&name).then(|| "true".to_owned()))
        };
        assert!(of(&[]).met(false, false));
        let answer = of(&["RECORD_ANSWER_REQ"]);
        assert!(!answer.met(false, true) && answer.met(true, false));
        let of_all = of(&["media_bug_answer_req"]);
        assert!(!of_all.met(false, true) && of_all.met(true, false));
        let both = of(&["RECORD_ANSWER_REQ", "RECORD_BRIDGE_REQ"]);
        assert!(!both.met(true, false) && both.met(true, true));
    }

    #[test]
    fn hooks_are_told_apart_by_their_moment() {
        assert!(is_own_hook("execute_on_record_start", Moment::Start));
        assert!(!is_own_hook("execute_on_record_start", Moment::Stop));
        assert!(is_own_hook("record_post_process_exec_app", Moment::Stop));
        assert_eq!(pair("system:touch ${x}", ':'), ("system".to_owned(), "touch ${x}".to_owned()));
    }
}
