//! Directives: how they are written and what each does.

use std::io::Read;
use std::process::{Command as Process, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::{Current, Pass};
use crate::{Diagnostic, PreprocessorCommand};

/// How much of its output is kept.
const EXEC_OUTPUT: u64 = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Set,
    EnvSet,
    ExecSet,
    StunSet,
    Include,
    Exec,
    /// `comment`: does nothing on purpose.
    Nothing,
    Unknown,
}

#[derive(Debug)]
pub(super) struct Directive<'a> {
    pub(super) command: Command,
    name: &'a str,
    data: &'a str,
    /// Where the data starts in the line.
    data_at: usize,
    /// Where the directive ends in the line.
    pub(super) end: usize,
}

impl Command {
    fn parse(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "set" => Self::Set,
            "env-set" => Self::EnvSet,
            "exec-set" => Self::ExecSet,
            "stun-set" => Self::StunSet,
            "include" => Self::Include,
            "exec" => Self::Exec,
            "comment" => Self::Nothing,
            _ => Self::Unknown,
        }
    }
}

impl<'a> Directive<'a> {
    /// `<X-PRE-PROCESS cmd="…" data="…"/>`, the word being at `at`. The text is cut behind the
    /// first `/>`, even inside the data (reference behaviour).
    pub(super) fn element(line: &'a str, at: usize) -> Option<Self> {
        let end = line.get(at..)?.find("/>").map_or(line.len(), |e| at + e + 2);
        let tag = line.get(..end)?;
        let (name, after) = quoted(tag, at, "cmd")?;
        let (data, data_at) = match quoted(tag, after, "data") {
            Some((data, close)) => (data, close - data.len()),
            None => {
                let open = open_quote(tag, after, "data")?;
                (tag.get(open..)?, open)
            }
        };
        Some(Self { command: Command::parse(name), name, data, data_at, end })
    }

    /// `<!--#cmd data-->` or `<!--#cmd "data"-->`, the `<` being at `at`.
    pub(super) fn legacy(line: &'a str, at: usize) -> Option<Self> {
        let from = at + "<!--#".len();
        let end = line.get(from..)?.find("-->").map_or(line.len(), |e| from + e);
        let body = line.get(from..end)?;
        let (name, rest) = body.split_once(' ')?;
        let mut data = rest.trim_start_matches(' ');
        let mut data_at = end - data.len();
        if let Some(inside) = data.strip_prefix('"') {
            data_at += 1;
            data = inside.split_once('"').map_or(inside, |(d, _)| d);
        }
        let command = match Command::parse(name) {
            Command::EnvSet | Command::Unknown => Command::Nothing,
            known => known,
        };
        Some(Self { command, name, data, data_at, end })
    }
}

/// Where the text inside the quotes of `word="…"` starts, looking from `from`.
fn open_quote(text: &str, from: usize, word: &str) -> Option<usize> {
    let lower = text.get(from..)?.to_ascii_lowercase();
    let at = from + lower.find(word)? + word.len();
    Some(at + text.get(at..)?.find('"')? + 1)
}

/// The text inside the quotes and where its closing quote is.
fn quoted<'a>(text: &'a str, from: usize, word: &str) -> Option<(&'a str, usize)> {
    let open = open_quote(text, from, word)?;
    let inside = text.get(open..)?;
    let length = inside.find('"')?;
    Some((inside.get(..length)?, open + length))
}

impl Pass<'_> {
    pub(super) fn execute(&mut self, current: &mut Current<'_>, d: &Directive<'_>, column: usize) {
        match d.command {
            Command::Set => self.set(current, d, column),
            Command::EnvSet => self.env_set(current, d, column),
            Command::ExecSet => self.exec_set(current, d, column),
            Command::StunSet => self.stun_set(current, d, column),
            Command::Include => self.include(current, d.data, column),
            Command::Exec => self.exec(current, d, column),
            Command::Nothing => {}
            Command::Unknown => {
                let message = format!("X-PRE-PROCESS does not know the command \"{}\"", d.name);
                let known = "set, env-set, exec-set, stun-set, include, exec or comment";
                let place = Some(current.place(column));
                let found = Diagnostic::warning("directive-unknown", message, place);
                let hint = format!("the commands are {known}");
                self.say(found.with_focus(d.name, 0).with_hint(hint));
            }
        }
    }

    /// The halves of `name=value`, or a word about the missing `=`.
    fn halves<'d>(
        &mut self,
        current: &Current<'_>,
        d: &Directive<'d>,
        column: usize,
    ) -> Option<(&'d str, &'d str)> {
        let halves = d.data.split_once('=');
        if halves.is_none() {
            let message = format!("{}: \"{}\" is not name=value and is ignored", d.name, d.data);
            let place = Some(current.place(column));
            let found = Diagnostic::warning("set-without-equals", message, place);
            self.say(found.with_focus(d.data, 0));
        }
        halves
    }

    fn set(&mut self, current: &Current<'_>, d: &Directive<'_>, column: usize) {
        let Some((name, value)) = self.halves(current, d, column) else { return };
        let value = value.trim_start_matches(' ');
        self.globals.set(name.trim_end_matches(' '), value);
        // The value follows the first = inside the quotes of data.
        let line = self.sources.line(&current.name, current.line).unwrap_or_default();
        let data = line.get(column..).and_then(|rest| rest.find("data")).map(|at| column + at + 5);
        let equals = data.and_then(|at| Some(at + line.get(at..)?.find('=')?));
        let place = current.place(equals.map_or(column, |at| at + 1));
        self.sources.define(name, place);
    }

    fn env_set(&mut self, current: &Current<'_>, d: &Directive<'_>, column: usize) {
        let Some((name, reference)) = self.halves(current, d, column) else { return };
        let Some(variable) = reference.strip_prefix('$') else {
            let message = format!("env-set: \"{reference}\" does not start with $ and is ignored");
            let place = Some(current.place(column));
            return self.say(Diagnostic::warning("env-set-ignored", message, place));
        };
        let value = match &self.options.env {
            Some(read) => read(variable),
            None => std::env::var(variable).ok(),
        };
        match value {
            Some(value) => self.globals.set(name, &value),
            None => {
                let message = format!("environment variable {variable} is not set");
                let place = Some(current.place(column));
                self.say(Diagnostic::info("env-unset", message, place));
            }
        }
    }

    fn stun_set(&mut self, current: &Current<'_>, d: &Directive<'_>, column: usize) {
        let Some((name, target)) = self.halves(current, d, column) else { return };
        let server = target.trim_start_matches(' ');
        let server = server.strip_prefix("stun:").unwrap_or(server);
        match self.options.stun.as_ref().and_then(|ask| ask(server)) {
            Some(address) => self.globals.set(name.trim_end_matches(' '), &address),
            None => {
                let place = Some(current.place(column));
                let found = Diagnostic::error("stun-failed", "stun-set failed.", place);
                let hint = format!("{} keeps its old value; set the address itself", name.trim());
                self.say(found.with_hint(hint));
            }
        }
    }

    fn exec_set(&mut self, current: &Current<'_>, d: &Directive<'_>, column: usize) {
        let Some((name, command)) = self.halves(current, d, column) else { return };
        let wanted = PreprocessorCommand::ExecSet;
        let command = command.trim_start_matches(' ');
        if let Some(output) = self.run_command(current, column, wanted, command) {
            let value = output.trim_end_matches([' ', '\n', '\r']);
            if !value.is_empty() {
                self.globals.set(name.trim_end_matches(' '), value);
            }
        }
    }

    fn exec(&mut self, current: &Current<'_>, d: &Directive<'_>, column: usize) {
        let wanted = PreprocessorCommand::Exec;
        if let Some(output) = self.run_command(current, column, wanted, d.data) {
            let mut line = super::Line::raw("");
            line.insert(&output, d.data_at);
            self.emit(current, &line, 0, output.len());
        }
    }

    fn run_command(
        &mut self,
        current: &Current<'_>,
        column: usize,
        wanted: PreprocessorCommand,
        command: &str,
    ) -> Option<String> {
        let place = Some(current.place(column));
        let name = wanted.as_str();
        if !self.options.allowed.contains(&wanted) {
            let message = format!("{name} is switched off; \"{command}\" was not run");
            let found = Diagnostic::error("exec-off", message, place);
            self.say(found.with_hint(format!("start with --allow-preprocess {name} to allow it")));
            return None;
        }
        match shell(command, self.options.exec_deadline) {
            Ok(output) => Some(output),
            Err(reason) => {
                let message = format!("{name}: \"{command}\" failed: {reason}");
                self.say(Diagnostic::error("exec-failed", message, place));
                None
            }
        }
    }
}

/// Runs a shell command and gives what it printed, whatever its exit status.
fn shell(command: &str, deadline: Duration) -> Result<String, String> {
    let mut child = Process::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let Some(stdout) = child.stdout.take() else { return Err("no output".to_owned()) };
    let (send, receive) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut output = Vec::new();
        let read = stdout.take(EXEC_OUTPUT).read_to_end(&mut output);
        // Nothing listens any more when the deadline has passed.
        let _ = send.send(read.map(|_| output));
    });
    let result = receive.recv_timeout(deadline);
    if result.is_err() {
        // It may have ended by itself in the meantime.
        let _ = child.kill();
    }
    let _ = child.wait();
    match result {
        Ok(Ok(output)) => Ok(String::from_utf8_lossy(&output).into_owned()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err(format!("no end after {deadline:?}")),
    }
}
