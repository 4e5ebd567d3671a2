//! The console: plain, coloured or JSON lines on standard output.

use std::io::{self, IsTerminal, Write};

use esl_server::log::{Level, LogLine};

use super::settings::ConsoleSettings;
use super::writer::Entry;

/// Standard output as a log console.
pub(super) struct Console {
    settings: ConsoleSettings,
    out: Box<dyn Write + Send>,
    terminal: bool,
    pending: Vec<u8>,
}

impl Console {
    pub(super) fn stdout(settings: ConsoleSettings) -> Self {
        let out = io::stdout();
        let terminal = out.is_terminal();
        Self::on(Box::new(out), terminal, settings)
    }

    pub(super) fn stderr(settings: ConsoleSettings) -> Self {
        let out = io::stderr();
        let terminal = out.is_terminal();
        Self::on(Box::new(out), terminal, settings)
    }

    pub(super) fn on(
        out: Box<dyn Write + Send>,
        terminal: bool,
        settings: ConsoleSettings,
    ) -> Self {
        Self { settings, out, terminal, pending: Vec::new() }
    }

    /// Prints there from now on; whether it is a terminal does not change.
    pub(super) fn show_on(&mut self, out: Box<dyn Write + Send>) {
        self.out = out;
    }

    pub(super) fn configure(&mut self, settings: ConsoleSettings) {
        self.settings = settings;
    }

    pub(super) fn settings(&self) -> &ConsoleSettings {
        &self.settings
    }

    pub(super) fn add(&mut self, entry: &Entry) {
        let line = &entry.line;
        let wanted = self.settings.level.is_some_and(|level| line.level <= level)
            && self.settings.mappings.take(line.level, &line.file, &line.func);
        if !wanted {
            return;
        }
        if self.settings.json {
            write_json(&mut self.pending, entry);
            return;
        }
        let colour = if self.settings.colorize && self.terminal { colour(line.level) } else { "" };
        self.pending.extend_from_slice(colour.as_bytes());
        if self.settings.uuid && !line.user_data.is_empty() {
            self.pending.extend_from_slice(line.user_data.as_bytes());
            self.pending.push(b' ');
        }
        self.pending.extend_from_slice(line.text.as_bytes());
        if !colour.is_empty() {
            self.pending.extend_from_slice(PLAIN.as_bytes());
        }
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// Nothing reads standard output any more; the console is of no further use.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = self.out.write_all(&self.pending).and_then(|()| self.out.flush());
        self.pending.clear();
        written
    }
}

const PLAIN: &str = "\x1b[0m";

/// The reference's colours: faults red, warnings magenta, notices cyan, information green, debug yellow.
fn colour(level: Level) -> &'static str {
    match level {
        Level::Console => "",
        Level::Alert | Level::Crit | Level::Err => "\x1b[31m",
        Level::Warning => "\x1b[35m",
        Level::Notice => "\x1b[36m",
        Level::Info => "\x1b[32m",
        Level::Debug => "\x1b[33m",
    }
}

/// One object: `time` (RFC 3339, UTC), `level`, `message`, `file`, `line`, `function`, `idle_cpu`, and
/// `uuid` for a line of a call.
fn write_json(out: &mut Vec<u8>, entry: &Entry) {
    let line: &LogLine = &entry.line;
    let mut object = serde_json::Map::new();
    let mut put = |name: &str, value: serde_json::Value| object.insert(name.to_owned(), value);
    put("time", format!("{:.6}", entry.at).into());
    put("level", line.level.as_str().into());
    put("message", entry.message().into());
    put("file", line.file.as_str().into());
    put("line", line.line.into());
    put("function", line.func.as_str().into());
    put("idle_cpu", (f64::from(entry.idle) / 100.0).into());
    if !line.user_data.is_empty() {
        put("uuid", line.user_data.as_str().into());
    }
    // A map of strings and numbers always serialises.
    if serde_json::to_writer(&mut *out, &object).is_ok() {
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::super::test_line;
    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(terminal: bool, settings: ConsoleSettings, lines: &[LogLine]) -> String {
        let screen = Screen::default();
        let mut console = Console::on(Box::new(screen.clone()), terminal, settings);
        for line in lines {
            console.add(&Entry {
                line: Arc::new(line.clone()),
                at: "2024-03-05T10:11:12.5Z".parse().expect("timestamp"),
                idle: 9_950,
                message_at: 0,
            });
        }
        console.flush().expect("memory");
        String::from_utf8(screen.0.lock().clone()).expect("text")
    }

    #[test]
    fn prints_up_to_its_level() {
        let settings =
            ConsoleSettings { level: Some(Level::Warning), ..ConsoleSettings::default() };
        let lines = [test_line(Level::Info, "", "no"), test_line(Level::Err, "", "yes")];
        assert_eq!(shown(true, settings, &lines), "yes\n");
        let silent = ConsoleSettings { level: None, ..ConsoleSettings::default() };
        assert_eq!(shown(true, silent, &lines), "");
    }

    #[test]
    fn colours_only_where_they_can_be_seen() {
        let settings = ConsoleSettings { colorize: true, ..ConsoleSettings::default() };
        let lines = [test_line(Level::Err, "", "x")];
        assert_eq!(shown(true, settings.clone(), &lines), "\x1b[31mx\n\x1b[0m");
        assert_eq!(shown(false, settings, &lines), "x\n");
    }

    #[test]
    fn marks_the_lines_of_a_call_when_asked() {
        let settings = ConsoleSettings { uuid: true, ..ConsoleSettings::default() };
        let lines = [test_line(Level::Err, "abc", "x"), test_line(Level::Err, "", "y")];
        assert_eq!(shown(false, settings, &lines), "abc x\ny\n");
    }

    #[test]
    fn json_lines_carry_every_part() {
        let settings = ConsoleSettings { json: true, ..ConsoleSettings::default() };
        let text = shown(true, settings, &[test_line(Level::Notice, "abc", "say \"hi\"\nthere")]);
        let object: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(
            object,
            serde_json::json!({
                "time": "2024-03-05T10:11:12.500000Z", "level": "NOTICE", "uuid": "abc",
                "message": "say \"hi\"\nthere", "file": "test.rs", "line": 7,
                "function": "tests", "idle_cpu": 99.5,
            })
        );
        assert_eq!(text.matches('\n').count(), 1, "one line per line");
    }
}
