//! `api` and `bgapi`: one API command line and its result.

use std::sync::Arc;

use crate::event::{Event, EventName};
use crate::switch::{ApiReply, ApiRequest, Switch};

/// An API line as a client sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiCall {
    command: String,
    args: String,
    /// The whole line when it was typed at a console.
    console_line: Option<String>,
    caller_uuid: Option<String>,
}

/// Keeps the spaces of what it completes.
const COMPLETE: &str = "console_complete";

impl ApiCall {
    /// Splits at the first space; command and arguments are trimmed.
    pub(crate) fn parse(line: &str, console: bool, caller_uuid: Option<String>) -> Self {
        let (command, args) = line.split_once(' ').unwrap_or((line, ""));
        let args = if command == COMPLETE { args } else { args.trim() };
        Self {
            command: command.trim().to_owned(),
            args: args.to_owned(),
            console_line: console.then(|| line.trim().to_owned()),
            caller_uuid,
        }
    }

    /// Runs it; gives what goes into the reply or the event.
    pub(crate) async fn run(&self, switch: &dyn Switch) -> String {
        match &self.console_line {
            Some(line) if self.command != COMPLETE => self.run_console(switch, line).await,
            _ => match self.once(switch, &self.command, &self.args).await {
                ApiReply::Output(text) => text,
                ApiReply::NotFound => not_found(&self.command),
            },
        }
    }

    /// Console input: `;;` separates commands, aliases are expanded, and the last command decides
    /// whether the whole line was understood.
    async fn run_console(&self, switch: &dyn Switch, line: &str) -> String {
        let parts: Vec<&str> =
            if line.starts_with("alias") { vec![line] } else { line.split(";;").collect() };
        let mut output = String::new();
        let mut understood = true;
        for part in parts {
            let part = part.trim();
            let expanded = switch.expand_alias(part);
            if let Some(full) = &expanded {
                output.push_str(&format!("\nExpand Alias [{part}]->[{full}]\n\n"));
            }
            let (command, args) = split(expanded.as_deref().unwrap_or(part));
            match self.once(switch, command, args).await {
                ApiReply::Output(text) => {
                    output.push_str(&text);
                    understood = true;
                }
                ApiReply::NotFound => understood = false,
            }
        }
        if understood { output } else { not_found(line) }
    }

    async fn once(&self, switch: &dyn Switch, command: &str, args: &str) -> ApiReply {
        if command.is_empty() {
            return ApiReply::NotFound;
        }
        switch
            .api(ApiRequest {
                command: command.to_owned(),
                args: args.to_owned(),
                console: self.console_line.is_some(),
                caller_uuid: self.caller_uuid.clone(),
            })
            .await
    }
}

fn split(line: &str) -> (&str, &str) {
    let (command, args) = line.split_once(' ').unwrap_or((line, ""));
    (command.trim(), args.trim())
}

fn not_found(what: &str) -> String {
    format!("-ERR {what} Command not found!\n")
}

/// A `bgapi` on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) uuid: String,
    pub(crate) call: ApiCall,
}

impl Job {
    /// Runs the command, then announces its result as `BACKGROUND_JOB`.
    pub(crate) async fn run(self, switch: Arc<dyn Switch>) {
        let output = self.call.run(switch.as_ref()).await;
        let mut event = Event::new(EventName::BackgroundJob);
        event
            .push("Job-UUID", self.uuid)
            .push_some("Job-Owner-UUID", self.call.caller_uuid)
            .push("Job-Command", self.call.command)
            .push("Job-Command-Arg", self.call.args)
            .set_body(output);
        crate::fire!(switch.bus(), event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_at_the_first_space_and_are_trimmed() {
        let split = |line| {
            let call = ApiCall::parse(line, false, None);
            (call.command, call.args)
        };
        assert_eq!(split("conference  name list "), ("conference".into(), "name list".into()));
        assert_eq!(split(" echo two"), (String::new(), "echo two".into()));
        assert_eq!(split("status"), ("status".into(), String::new()));
        assert_eq!(split("console_complete c=3; a "), (COMPLETE.into(), "c=3; a ".into()));
    }
}
