//! The interactive console.

use std::path::PathBuf;
use std::process::ExitCode;

use super::editor::{self, Input, Keyboard};
use super::options::Settings;
use super::style::{Color, of_level, paint, shown};
use super::typed::{Completion, Typed};
use super::{EXIT_USAGE, answer_text, connect, console_command};
use crate::client::{Client, ClientError};
use crate::frame::Message;

/// Further attempts to connect again after a loss, one second apart.
const RECONNECTS: u32 = 119;
/// Name of the history file in the home directory.
const HISTORY_FILE: &str = ".fs_cli_history";
const BANNER: &str =
    "Connected. Type an API command, /help for this console's own, /exit to leave.";
const HINT: &str = "Type /exit or /quit or /bye to exit.";
const HELP: &str = "\
Commands of this console:
  /help                 this list
  /exit, /quit, /bye    leave (also ... or Ctrl-D)
  /log <level>          print the log up to: console alert crit err warning notice info debug
  /nolog                stop printing the log
  /event plain <names>  print events, for example: /event plain CHANNEL_ANSWER CUSTOM sofia::register
  /nixevent <names>     stop printing some
  /noevents             stop printing any
  /filter <header> <value>  print only events with that header (/filter delete all undoes it)
  /uuid [<uuid>]        print only log lines of one call
  /logfilter [<text>]   print only log lines that contain a text
  /debug <0-7>          how talkative fs_cli itself is
Everything else is sent as an API command: try status, show channels, help.
";

/// Why the console stops.
enum Stop {
    Leave,
    Interrupted,
    Lost,
}

struct Console {
    client: Client,
    settings: Settings,
    keyboard: Keyboard,
    names: Names,
    log_filter: Option<String>,
    /// A line is being typed, and no other may be asked for until it is done.
    asked: bool,
}

/// What prompts may mention.
#[derive(Clone, Debug, Default)]
struct Names {
    switch: String,
    host: String,
}

/// Runs the console until the user leaves or the connection is lost for good.
pub(super) async fn run(client: Client, settings: Settings) -> ExitCode {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let history = home.filter(|_| settings.history).map(|home| home.join(HISTORY_FILE));
    let keyboard = editor::start(&settings, history);
    let mut console = Console {
        client,
        settings,
        keyboard,
        names: Names::default(),
        log_filter: None,
        asked: false,
    };
    console.say(&format!("{BANNER}\n"), None);
    loop {
        let stop = match console.greet().await {
            Ok(()) => console.converse().await,
            Err(_) => Stop::Lost,
        };
        match stop {
            Stop::Leave => return ExitCode::SUCCESS,
            Stop::Interrupted => {
                console.say("Interrupted.\n", None);
                return ExitCode::from(EXIT_USAGE);
            }
            Stop::Lost => {
                console.say("Disconnected.\n", None);
                if !console.settings.reconnect {
                    return ExitCode::SUCCESS;
                }
                match connect(&console.settings, RECONNECTS).await {
                    Ok(client) => console.client = client,
                    Err(error) => {
                        console.say(&format!("Error Connecting [{error}]\n"), None);
                        return ExitCode::SUCCESS;
                    }
                }
            }
        }
    }
}

impl Console {
    /// Learns the names for the prompt and asks for the log.
    async fn greet(&mut self) -> Result<(), ClientError> {
        self.names.switch = self.client.api("switchname").await?.trim_end().to_owned();
        self.names.host = self.client.api("hostname").await?.trim_end().to_owned();
        if !self.settings.quiet {
            let reply = self.client.command(&format!("log {}", self.settings.loglevel)).await?;
            self.say(&format!("{}\n", reply.reply_text()), None);
        }
        self.ask();
        Ok(())
    }

    async fn converse(&mut self) -> Stop {
        loop {
            let done = tokio::select! {
                message = self.client.next() => match message {
                    Ok(message) => self.show(&message),
                    Err(_) => Some(Stop::Lost),
                },
                input = self.keyboard.inputs.recv() => match input {
                    Some(input) => self.take(input).await.unwrap_or(Some(Stop::Lost)),
                    None => Some(Stop::Leave),
                },
                _ = tokio::signal::ctrl_c(), if self.settings.batch => Some(Stop::Interrupted),
            };
            if let Some(stop) = done {
                return stop;
            }
        }
    }

    async fn take(&mut self, input: Input) -> Result<Option<Stop>, ClientError> {
        self.asked &= matches!(input, Input::Complete(..));
        match input {
            Input::Line(line) => {
                let stop = self.run_line(&line).await?;
                if stop.is_none() {
                    self.ask();
                }
                Ok(stop)
            }
            Input::Interrupt if self.settings.interrupt => Ok(Some(Stop::Interrupted)),
            Input::Interrupt => {
                self.say(&format!("{HINT}\n"), None);
                self.ask();
                Ok(None)
            }
            Input::End => Ok(Some(Stop::Leave)),
            Input::Complete(question, answer) => {
                let text = self.client.api(&question).await?;
                let listing = Completion::parse(&text).listing;
                if !listing.is_empty() {
                    self.say(&format!("{listing}\n"), None);
                }
                let _ = answer.try_send(text);
                Ok(None)
            }
        }
    }

    async fn run_line(&mut self, line: &str) -> Result<Option<Stop>, ClientError> {
        match Typed::parse(line) {
            Typed::Empty => {}
            Typed::Exit => return Ok(Some(Stop::Leave)),
            Typed::Help => self.say(HELP, None),
            Typed::Api(line) => self.api(&line).await?,
            Typed::Raw(command) => self.raw(&command).await?,
            Typed::ConsoleLevel { level, line } => {
                self.raw(&format!("log {level}")).await?;
                self.api(&line).await?;
            }
            Typed::UuidFilter(uuid) => {
                let state = if uuid.is_some() { "enabled" } else { "disabled" };
                self.settings.uuid_filter = uuid;
                self.say(&format!("UUID filtering {state}\n"), None);
            }
            Typed::LogFilter(text) => {
                let state = if text.is_some() { "enabled" } else { "disabled" };
                self.log_filter = text;
                self.say(&format!("Logfilter {state}\n"), None);
            }
            Typed::Debug(Some(level)) => {
                self.settings.debug = level;
                self.say(&format!("fs_cli debug level set to {level}\n"), None);
            }
            Typed::Debug(None) => self.say("fs_cli debug level must be 0 - 7\n", None),
            Typed::Unknown(command) => self.say(&format!("Unknown command [{command}]\n"), None),
        }
        Ok(None)
    }

    async fn api(&mut self, line: &str) -> Result<(), ClientError> {
        let reply = self.client.command(&console_command(line)).await?;
        let text = answer_text(&reply);
        self.say(&format!("{text}\n"), self.settings.output_color);
        Ok(())
    }

    async fn raw(&mut self, command: &str) -> Result<(), ClientError> {
        let reply = self.client.command(command).await?;
        self.say(&format!("{}\n", reply.reply_text()), None);
        Ok(())
    }

    /// Prints what the server sent of its own accord.
    fn show(&mut self, message: &Message) -> Option<Stop> {
        match message.content_type().as_ref() {
            "log/data" => self.show_log(message),
            "text/event-plain" => {
                self.say(&format!("RECV EVENT\n{}\n", readable(message)), None);
            }
            "text/disconnect-notice" => {
                let lingers =
                    message.headers.get("Content-Disposition").is_some_and(|how| how == "linger");
                return (!lingers).then_some(Stop::Lost);
            }
            other => {
                let text = format!("INCOMING DATA [{other}]\n{}\n", message.text());
                self.say(&text, None);
            }
        }
        None
    }

    fn show_log(&mut self, message: &Message) {
        let uuid = message.headers.get("User-Data").unwrap_or_default();
        let other_call = self
            .settings
            .uuid_filter
            .as_ref()
            .is_some_and(|only| !uuid.is_empty() && uuid != only.as_str());
        let text = message.text();
        let filtered =
            self.log_filter.as_ref().is_some_and(|wanted| !text.contains(wanted.as_str()));
        if other_call || filtered || text == "\n" {
            return;
        }
        let level = message.headers.get("Log-Level").and_then(|n| n.parse().ok()).unwrap_or(0);
        let prefix = match self.settings.uuid_prefix {
            Some(length) if !uuid.is_empty() => format!("{} ", uuid.get(..length).unwrap_or(&uuid)),
            _ => String::new(),
        };
        let line = format!("{prefix}{}\n", text.trim_end_matches('\n'));
        self.say(&line, of_level(level));
    }

    fn say(&mut self, text: &str, color: Option<Color>) {
        let color = color.filter(|_| self.settings.color);
        let text = shown(text);
        let text = text.as_ref();
        // The newline stays outside the colour, so that the next line begins in the usual one.
        let text = match text.strip_suffix('\n') {
            Some(line) => format!("{}\n", paint(line, color)),
            None => paint(text, color),
        };
        (self.keyboard.print)(text);
    }

    /// Asks for the next line.
    fn ask(&mut self) {
        if std::mem::replace(&mut self.asked, true) {
            return;
        }
        let plain = shown(&prompt(&self.settings, &self.names)).into_owned();
        let shown = paint(&plain, self.settings.prompt_color.filter(|_| self.settings.color));
        // Fails only when the keyboard has ended, which is told separately.
        let _ = self.keyboard.prompts.send((plain, shown));
    }
}

/// An event as people read it: values decoded, then its body.
fn readable(message: &Message) -> String {
    let (headers, body) = message.plain_event();
    let mut text: String = headers
        .iter()
        .map(|header| format!("{}: {}\n", header.name, header.value.text()))
        .collect();
    text.push('\n');
    text.push_str(&String::from_utf8_lossy(&body));
    text
}

/// `%s` switch name, `%h` this host, `%H` the switch's host, `%p` profile, `%o` the profile's
/// host, `%P` its port, `%%` a percent sign.
fn prompt(settings: &Settings, names: &Names) -> String {
    let Some(template) = &settings.prompt else {
        return format!("freeswitch@{}> ", names.switch);
    };
    let mut out = String::new();
    let mut rest = template.chars();
    while let Some(c) = rest.next() {
        match if c == '%' { rest.next() } else { None } {
            Some('s') => out.push_str(&names.switch),
            Some('h') => out.push_str(&local_host()),
            Some('H') => out.push_str(&names.host),
            Some('p') => out.push_str(&settings.profile),
            Some('o') => out.push_str(&settings.host),
            Some('P') => out.push_str(&settings.port.to_string()),
            Some('%') => out.push('%'),
            Some(_) => {}
            None => out.push(c),
        }
    }
    format!("{out}> ")
}

pub(super) fn local_host() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname");
    read.map_or_else(|_| String::new(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::fs_cli::Options;

    #[test]
    fn prompts_name_the_switch_unless_told_otherwise() {
        let mut settings = Settings::new(Options::parse_from(["fs_cli"]), None, false).unwrap();
        let names = Names { switch: "pbx".into(), host: "box".into() };
        assert_eq!(prompt(&settings, &names), "freeswitch@pbx> ");
        settings.prompt = Some("%s@%H:%P 100%%".into());
        assert_eq!(prompt(&settings, &names), "pbx@box:8021 100%> ");
    }
}
