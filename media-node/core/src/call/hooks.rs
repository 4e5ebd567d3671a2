//! `execute_on_*`, `api_on_*` and the hangup hooks.

use std::sync::Arc;

use base::far;
use esl_server::CallMessage;

use super::channel::Channel;
use super::session::Session;

impl Session {
    /// Runs `execute_on_<moment>*` (global and channel variables), then `api_on_<moment>*`.
    ///
    /// Every variable whose name starts so fires, array values once per element.
    pub async fn run_hooks(&mut self, moment: &str) {
        let execute = format!("execute_on_{moment}");
        let mut values = self.switch().globals_starting(&execute);
        values.extend(self.channel.vars_marked_starting(&execute));
        for value in values {
            self.run_execute_hook(&value).await;
        }
        let commands = self.channel.vars_marked_starting(&format!("api_on_{moment}"));
        run_commands(&self.channel, commands).await;
    }

    /// The hooks around a bridge, each leg's own, in the leg's own task.
    pub(super) async fn run_bridge_hooks(&mut self, begins: bool) {
        let (execute, api) = if begins {
            ("pre_bridge", "api_before_bridge")
        } else {
            ("post_bridge", "api_after_bridge")
        };
        self.run_hooks(execute).await;
        run_commands(&self.channel, self.channel.vars_marked_starting(api)).await;
    }

    /// Runs one such value: `app argument` or `app:argument`, or `app::argument` by itself.
    pub async fn run_execute_hook(&mut self, value: &str) {
        if let Some((app, argument)) =
            value.split_once("::").filter(|(app, _)| !app.contains([' ', ':']))
        {
            let _full = self.channel.post(CallMessage::execute(app, argument));
            return;
        }
        let (app, argument) = value.split_once([' ', ':']).unwrap_or((value, ""));
        let _ended = Box::pin(self.execute(app, argument)).await;
    }

    /// `api_hangup_hook` and `api_reporting_hook`: `api arg` or `api::arg`, expanded from the channel's headers.
    pub(super) async fn run_api_hook(&mut self, name: &str) {
        let Some(value) = self.channel.var_marked(name) else { return };
        let (api, argument) = value
            .split_once("::")
            .filter(|(api, _)| !api.contains(' '))
            .or_else(|| value.split_once(' '))
            .unwrap_or((&value, ""));
        let event = self.channel.channel_data(false);
        let argument = crate::host::expand_channel_event(&self.channel, &event, argument).await;
        let session =
            self.channel.is_true("session_in_hangup_hook").then(|| Arc::clone(&self.channel));
        let reply = self.switch().run_api(api, &argument, session).await;
        let argument = far::plain(&argument);
        tracing::debug!(uuid = %self.channel.uuid(), "Hangup hook {api}({}): {}", base::secrets::masked(&argument), reply.unwrap_or_default());
    }
}

impl Channel {
    /// Values of the global and channel variables whose name starts so, marked ([`base::far`]).
    #[must_use]
    pub fn hooks(&self, prefix: &str) -> Vec<String> {
        let mut values = self.switch().globals_starting(prefix);
        values.extend(self.vars_marked_starting(prefix));
        values
    }

    /// Has the hooks of a moment run from outside the channel's task: applications when the task comes to it (not
    /// after a hangup), commands at once.
    pub fn queue_hooks(self: &Arc<Self>, moment: &'static str) {
        let execute = format!("execute_on_{moment}");
        let applications = self.hooks(&execute);
        if !applications.is_empty() {
            let job = self.job(Box::new(move |session| {
                Box::pin(async move {
                    for value in applications {
                        session.run_execute_hook(&value).await;
                    }
                })
            }));
            if job.is_err() {
                tracing::warn!(uuid = %self.uuid(), "{execute} is lost: the call's queue is full");
            }
        }
        let commands = self.vars_marked_starting(&format!("api_on_{moment}"));
        if !commands.is_empty() {
            let channel = Arc::clone(self);
            let of = Arc::clone(self);
            let run = async move { run_commands(&channel, commands).await };
            tokio::spawn(crate::foreign::scope(move || of.foreign(), run));
        }
    }
}

/// Runs commands (`api arg`) for a channel, without a session; what they print is logged.
async fn run_commands(channel: &Arc<Channel>, values: Vec<String>) {
    for value in values {
        let (api, argument) = value.split_once(' ').unwrap_or((&value, ""));
        let argument = crate::host::expand_for(channel.switch(), Some(channel), argument).await;
        let reply = channel.switch().run_api(api, &argument, None).await;
        let argument = far::plain(&argument);
        tracing::debug!(uuid = %channel.uuid(), "{api}({}): {}", base::secrets::masked(&argument), reply.unwrap_or_default());
    }
}
