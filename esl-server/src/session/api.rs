//! `api` and `bgapi`: one API command line and its result.

use std::collections::VecDeque;
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
}

/// Keeps the spaces of what it completes.
const COMPLETE: &str = "console_complete";
/// Aliases one console line may lead to, so that two that name each other end.
const MAX_ALIASES: usize = 100;

impl ApiCall {
    /// Splits at the first space; command and arguments are trimmed.
    pub(crate) fn parse(line: &str, console: bool) -> Self {
        let (command, args) = line.split_once(' ').unwrap_or((line, ""));
        let completes = command == COMPLETE;
        let args = if completes { args } else { args.trim() };
        Self {
            command: command.trim().to_owned(),
            args: args.to_owned(),
            console_line: (console && !completes).then(|| line.trim().to_owned()),
        }
    }

    /// The command lines this one comes down to, for asking whether they are allowed.
    pub(crate) fn lines(&self, switch: &dyn Switch) -> Vec<String> {
        match &self.console_line {
            Some(line) => steps(switch, line).into_iter().map(|step| step.line).collect(),
            None => vec![format!("{} {}", self.command, self.args)],
        }
    }

    /// Runs it; gives what goes into the reply or the event.
    pub(crate) async fn run(&self, switch: &dyn Switch) -> String {
        match &self.console_line {
            Some(line) => self.run_console(switch, line).await,
            None => match self.once(switch, &self.command, &self.args).await {
                ApiReply::Output(text) => text,
                ApiReply::NotFound => not_found(&self.command),
            },
        }
    }

    /// Console input: the last command decides whether the whole line was understood.
    async fn run_console(&self, switch: &dyn Switch, line: &str) -> String {
        let mut output = String::new();
        let mut understood = true;
        for step in steps(switch, line) {
            output.push_str(&step.notice);
            let (command, args) = step.line.split_once(' ').unwrap_or((&step.line, ""));
            match self.once(switch, command.trim(), args.trim()).await {
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
            })
            .await
    }
}

/// One command of a console line.
struct Step {
    /// What is printed first: which aliases led to it.
    notice: String,
    line: String,
}

/// Console input: `;;` separates commands, and an alias may stand for several.
fn steps(switch: &dyn Switch, line: &str) -> Vec<Step> {
    let mut waiting: VecDeque<(String, String)> = parts(line, String::new()).collect();
    let mut steps = Vec::new();
    let mut aliases = 0;
    while let Some((notice, line)) = waiting.pop_front() {
        match switch.expand_alias(&line).filter(|_| aliases < MAX_ALIASES) {
            Some(full) => {
                aliases += 1;
                let notice = format!("{notice}\nExpand Alias [{line}]->[{full}]\n\n");
                for part in parts(&full, notice).collect::<Vec<_>>().into_iter().rev() {
                    waiting.push_front(part);
                }
            }
            None => steps.push(Step { notice, line }),
        }
    }
    steps
}

/// The commands of a line, the first with a notice. An alias is defined by the whole line.
fn parts(line: &str, notice: String) -> impl Iterator<Item = (String, String)> {
    let defines = line.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("alias"));
    let mut notice = Some(notice);
    line.split(if defines { "\n" } else { ";;" })
        .map(move |part| (notice.take().unwrap_or_default(), part.trim().to_owned()))
}

fn not_found(what: &str) -> String {
    format!("-ERR {what} Command not found!\n")
}

/// A `bgapi` on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) uuid: String,
    pub(crate) call: ApiCall,
    /// The call whose connection asked, if it is bound to one.
    pub(crate) owner: Option<String>,
}

impl Job {
    /// Runs the command, then announces its result as `BACKGROUND_JOB`.
    pub(crate) async fn run(self, switch: Arc<dyn Switch>) {
        let output = self.call.run(switch.as_ref()).await;
        let mut event = Event::new(EventName::BackgroundJob);
        event
            .push("Job-UUID", self.uuid)
            .push_some("Job-Owner-UUID", self.owner)
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
            let call = ApiCall::parse(line, false);
            (call.command, call.args)
        };
        assert_eq!(split("conference  name list "), ("conference".into(), "name list".into()));
        assert_eq!(split(" echo two"), (String::new(), "echo two".into()));
        assert_eq!(split("status"), ("status".into(), String::new()));
        assert_eq!(split("console_complete c=3; a "), (COMPLETE.into(), "c=3; a ".into()));
    }
}
