//! `fs_cli`: the console of a running switch, and its one-command form for scripts.
//!
//! Output and exit codes are those of the reference, so that scripts do not notice; what it shows
//! to people is its own.

mod console;
mod editor;
mod options;
mod profile;
mod style;
mod typed;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::time::{sleep, timeout};

use crate::client::{Client, ClientError};
use crate::frame::Message;
pub use editor::{Input, Keyboard, Printer, start as read_keyboard};
pub use options::{BadOption, Options, Settings};
pub use profile::Profile;
pub use style::Color;
pub use typed::{Completion, Typed, completion_request};

/// Further attempts with `--retry`, one second apart.
const RETRIES: u32 = 120;
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Set to `false` in the environment: no colours.
const COLOR_VARIABLE: &str = "FS_CLI_COLOR";

/// A bad option, or an interrupt.
const EXIT_USAGE: u8 = 1;
/// No answer in time.
const EXIT_TIMEOUT: u8 = 254;
/// No connection.
const EXIT_NO_CONNECTION: u8 = 255;

/// Runs fs_cli with the arguments of the process.
pub fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) if options.help => return help(),
        Ok(options) => options,
        Err(error) => {
            eprintln!("{}\n", error.to_string().lines().next().unwrap_or_default());
            help();
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let settings = match settings(options) {
        Ok(settings) => settings,
        Err(error) => {
            println!("{error}\n\n{}", Options::usage());
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(run(settings));
            // A name being resolved or a line being typed must not hold up the exit.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("[ERROR] cannot start: {error}");
            ExitCode::from(EXIT_NO_CONNECTION)
        }
    }
}

fn help() -> ExitCode {
    print!("{}", Options::usage());
    ExitCode::SUCCESS
}

fn settings(options: Options) -> Result<Settings, BadOption> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let text = profile::file(home.as_deref()).and_then(|path| std::fs::read_to_string(path).ok());
    let profile =
        text.and_then(|text| profile::choose(profile::parse(&text), options.profile.as_deref()));
    let color = std::env::var(COLOR_VARIABLE).map_or(true, |value| crate::switch::is_true(&value));
    Settings::new(options, profile.as_ref(), color)
}

async fn run(settings: Settings) -> ExitCode {
    let connected = tokio::select! {
        connected = connect(&settings, if settings.retry { RETRIES } else { 0 }) => connected,
        _ = tokio::signal::ctrl_c() => return interrupted(),
    };
    let client = match connected {
        Ok(client) => client,
        Err(error) => {
            say_error(&error);
            if settings.execute.is_none() {
                print!("{}", Options::usage());
            }
            return ExitCode::from(EXIT_NO_CONNECTION);
        }
    };
    match settings.execute.clone() {
        Some(command) => tokio::select! {
            code = execute(client, &command, settings.timeout) => code,
            _ = tokio::signal::ctrl_c() => interrupted(),
        },
        None => console::run(client, settings).await,
    }
}

/// In the reference's words, place included: scripts look for them.
fn say_error(error: &ClientError) {
    eprintln!("[ERROR] fs_cli.c:1699 main() Error Connecting [{error}]");
}

fn interrupted() -> ExitCode {
    println!("Interrupted.");
    ExitCode::from(EXIT_USAGE)
}

/// Connects, trying that many times more.
async fn connect(settings: &Settings, mut retries: u32) -> Result<Client, ClientError> {
    loop {
        let Settings { host, port, credentials, connect_timeout, .. } = settings;
        match Client::connect(host, *port, credentials, *connect_timeout).await {
            Err(error) if retries > 0 => {
                retries -= 1;
                say_error(&error);
                sleep(RETRY_PAUSE).await;
                eprintln!("[INFO] fs_cli.c:1705 main() Retrying");
            }
            result => return result,
        }
    }
}

/// The form in which a typed command goes to the server.
fn console_command(line: &str) -> String {
    format!("api {line}\nconsole_execute: true\n\n")
}

/// What is printed for an answer, without the newline that follows it.
fn answer_text(reply: &Message) -> String {
    if reply.content_type() == "api/response" {
        return reply.text().into_owned();
    }
    let text = reply.reply_text();
    match text.get(..4).filter(|head| head.eq_ignore_ascii_case("-err")) {
        Some(_) => format!("Error: {}!", text.get(4..).unwrap_or_default()),
        None => String::new(),
    }
}

/// `-x`: one command, its output, the exit code.
async fn execute(mut client: Client, command: &str, limit: Option<Duration>) -> ExitCode {
    let command = console_command(command);
    let answer = match limit {
        Some(limit) => {
            timeout(limit, client.command(&command)).await.unwrap_or(Err(ClientError::TimedOut))
        }
        None => client.command(&command).await,
    };
    let mut out = std::io::stdout();
    match answer {
        Ok(reply) => {
            // A pipe that was closed is the reader's wish, not an error.
            let text = answer_text(&reply);
            let text = if out.is_terminal() { style::shown(&text) } else { text.as_str().into() };
            let _ = writeln!(out, "{text}");
            ExitCode::SUCCESS
        }
        Err(_) if limit.is_some() => {
            let _ = writeln!(out, "Request timed out.");
            ExitCode::from(EXIT_TIMEOUT)
        }
        Err(_) => ExitCode::SUCCESS,
    }
}
