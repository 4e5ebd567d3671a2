//! Where typed lines come from: a line editor on a terminal, plain lines otherwise.
//!
//! Runs in a thread of its own, since reading a terminal blocks. It waits to be told the prompt
//! before each line, so output never lands in the middle of one.

use std::borrow::Cow;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Config, Context, Editor, Event, EventContext,
    EventHandler, ExternalPrinter, Helper, KeyCode, KeyEvent, Modifiers, RepeatCount,
};
use tokio::sync::mpsc;

use super::options::Settings;
use super::style::{Color, paint};
use super::typed::{Completion, completion_request};

/// Lines remembered, as in the reference.
const HISTORY_LINES: usize = 800;
/// How long Tab waits for the server.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of a line that no editor bounds; a longer one is read as several.
const MAX_LINE: u64 = 1 << 20;
/// Inputs not yet looked at; a person types one at a time.
const INPUTS: usize = 16;

/// What comes from the keyboard.
pub enum Input {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D on an empty line, or the end of the file.
    End,
    /// Tab: this question for the server, and where its answer goes.
    Complete(String, blocking::SyncSender<String>),
}

/// Prints a text above the line being edited.
pub type Printer = Box<dyn FnMut(String) + Send>;

/// The keyboard's end of the console.
///
/// Dropping it gives the terminal the settings it had before.
pub struct Keyboard {
    /// Lines and keys. Ends when the keyboard does.
    pub inputs: mpsc::Receiver<Input>,
    /// Asks for the next line with this prompt: plain, and as shown.
    pub prompts: blocking::Sender<(String, String)>,
    /// Prints above the line being edited.
    pub print: Printer,
    _terminal: Option<Terminal>,
}

/// Starts reading the keyboard, with a line editor if it belongs to a terminal. `history` is the file that
/// keeps the lines.
pub fn start(settings: &Settings, history: Option<PathBuf>) -> Keyboard {
    let (tell, inputs) = mpsc::channel(INPUTS);
    let (prompts, asked) = blocking::channel();
    let editor = if settings.batch { None } else { editor(settings, &tell) };
    let terminal = editor.is_some().then(Terminal::remember).flatten();
    let (print, editor) = match editor {
        Some((mut editor, macros)) => {
            let printer = editor.create_external_printer().ok();
            let print: Printer = match printer {
                Some(mut printer) => Box::new(move |text| {
                    let _ = printer.print(text);
                }),
                None => Box::new(print_plainly),
            };
            (print, Some((editor, macros)))
        }
        None => (Box::new(print_plainly) as Printer, None),
    };
    std::thread::spawn(move || match editor {
        Some((editor, macros)) => edit_lines(editor, &macros, history, &tell, &asked),
        None => plain_lines(&tell, &asked),
    });
    Keyboard { inputs, prompts, print, _terminal: terminal }
}

fn print_plainly(text: String) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

fn plain_lines(tell: &mpsc::Sender<Input>, asked: &blocking::Receiver<(String, String)>) {
    let mut bytes = std::io::stdin().lock();
    let mut line = Vec::new();
    while asked.recv().is_ok() {
        line.clear();
        let input = match bytes.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            // What is no text does not end the input.
            Ok(1..) => Input::Line(
                String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned(),
            ),
            _ => Input::End,
        };
        if tell.blocking_send(input).is_err() {
            return;
        }
    }
}

type LineEditor = Editor<Assistant, FileHistory>;
/// The command of the function key that ended the line, if one did.
type Macro = Arc<Mutex<Option<String>>>;

fn editor(settings: &Settings, tell: &mpsc::Sender<Input>) -> Option<(LineEditor, Macro)> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES)
        .and_then(|builder| builder.history_ignore_dups(true))
        .ok()?
        .auto_add_history(false)
        .completion_type(CompletionType::List)
        .build();
    let mut editor = LineEditor::with_config(config).ok()?;
    let input_color = settings.input_color.filter(|_| settings.color);
    editor.set_helper(Some(Assistant { tell: tell.clone(), prompt: String::new(), input_color }));
    let pressed = Macro::default();
    for (n, (command, toggled)) in (1..).zip(settings.keys.iter().zip(&settings.toggled_keys)) {
        let key = FunctionKey {
            command: command.clone(),
            toggled: toggled.clone(),
            odd: AtomicBool::new(false),
            pressed: Arc::clone(&pressed),
        };
        editor.bind_sequence(
            KeyEvent(KeyCode::F(n), Modifiers::NONE),
            EventHandler::Conditional(Box::new(key)),
        );
    }
    Some((editor, pressed))
}

fn edit_lines(
    mut editor: LineEditor,
    pressed: &Macro,
    history: Option<PathBuf>,
    tell: &mpsc::Sender<Input>,
    asked: &blocking::Receiver<(String, String)>,
) {
    if let Some(path) = &history {
        let _ = editor.load_history(path);
    }
    let mut unfinished = String::new();
    while let Ok((plain, shown)) = asked.recv() {
        if let Some(helper) = editor.helper_mut() {
            helper.prompt = shown;
        }
        let line =
            editor.readline_with_initial(plain.as_str(), (&std::mem::take(&mut unfinished), ""));
        let key = pressed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let input = match (line, key) {
            (Ok(line), Some(command)) => {
                unfinished = line;
                Input::Line(command)
            }
            (Ok(line), None) => {
                if !line.trim().is_empty() {
                    let _ = editor.add_history_entry(line.as_str());
                    if let Some(path) = &history {
                        let _ = editor.save_history(path);
                    }
                }
                Input::Line(line)
            }
            (Err(ReadlineError::Interrupted), _) => Input::Interrupt,
            // A terminal that is gone stays in raw mode for the editor, whose printer then waits for us to show what it
            // is given: it must not outlive this.
            (Err(_), _) if !std::io::stdin().is_terminal() => return,
            (Err(_), _) => Input::End,
        };
        if tell.blocking_send(input).is_err() {
            return;
        }
    }
}

/// A function key ends the line and types its command; what was being typed comes back after.
struct FunctionKey {
    command: String,
    /// What it types every second time.
    toggled: Option<String>,
    /// The command was typed last, not what it toggles with.
    odd: AtomicBool,
    pressed: Macro,
}

impl FunctionKey {
    fn next(&self) -> &str {
        match self.toggled.as_ref().filter(|_| self.odd.swap(false, Ordering::Relaxed)) {
            Some(toggled) => toggled,
            None => {
                self.odd.store(true, Ordering::Relaxed);
                &self.command
            }
        }
    }
}

impl ConditionalEventHandler for FunctionKey {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        let command = self.next().to_owned();
        *self.pressed.lock().unwrap_or_else(PoisonError::into_inner) = Some(command);
        Some(Cmd::AcceptLine)
    }
}

/// Completes through the server and colours the prompt.
struct Assistant {
    tell: mpsc::Sender<Input>,
    prompt: String,
    input_color: Option<Color>,
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let (answer, answered) = blocking::sync_channel(1);
        let question = completion_request(line, pos);
        if self.tell.blocking_send(Input::Complete(question, answer)).is_err() {
            return Ok((pos, Vec::new()));
        }
        let Ok(text) = answered.recv_timeout(COMPLETION_TIMEOUT) else {
            return Ok((pos, Vec::new()));
        };
        Ok(match Completion::parse(&text).replace {
            Some((length, text)) if line.is_char_boundary(pos.saturating_sub(length)) => {
                (pos.saturating_sub(length), vec![text])
            }
            _ => (pos, Vec::new()),
        })
    }
}

impl Highlighter for Assistant {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        if self.prompt.is_empty() { Cow::Borrowed(prompt) } else { Cow::Borrowed(&self.prompt) }
    }

    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        match self.input_color {
            Some(color) => Cow::Owned(paint(line, Some(color))),
            None => Cow::Borrowed(line),
        }
    }

    fn highlight_char(&self, _line: &str, _pos: usize, _kind: CmdKind) -> bool {
        self.input_color.is_some()
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Validator for Assistant {}

impl Helper for Assistant {}

/// The terminal's settings before the editor changed them. The editor's thread may still be
/// reading when fs_cli ends, so they are put back from outside.
struct Terminal(String);

impl Terminal {
    fn remember() -> Option<Self> {
        let output = Command::new("stty")
            .arg("-g")
            .stdin(Stdio::inherit())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let saved = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !saved.is_empty()).then_some(Self(saved))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("stty")
            .arg(&self.0)
            .stdin(Stdio::inherit())
            .stderr(Stdio::null())
            .status();
    }
}
