//! What a typed line means, and what the server's completions mean.

/// A line typed at the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing.
    Empty,
    /// An API command.
    Api(String),
    /// A command of the Event Socket, sent as it is.
    Raw(String),
    /// `console loglevel <x>`: also changes what this console gets.
    ConsoleLevel {
        /// The level.
        level: String,
        /// The whole line.
        line: String,
    },
    /// `/help`.
    Help,
    /// Leave.
    Exit,
    /// `/uuid [<uuid>]`.
    UuidFilter(Option<String>),
    /// `/logfilter [<text>]`.
    LogFilter(Option<String>),
    /// `/debug <0-7>`; `None` for any other number.
    Debug(Option<u8>),
    /// An unknown slash command.
    Unknown(String),
}

impl Typed {
    /// Reads a line.
    pub fn parse(line: &str) -> Self {
        let line = line.trim();
        match line.strip_prefix('/') {
            _ if line.is_empty() => Self::Empty,
            _ if line == "..." => Self::Exit,
            Some(command) => Self::slash(command),
            None => match console_level(line) {
                Some(level) => {
                    Self::ConsoleLevel { level: level.to_owned(), line: line.to_owned() }
                }
                None => Self::Api(line.to_owned()),
            },
        }
    }

    fn slash(command: &str) -> Self {
        let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
        let argument = Some(rest.trim()).filter(|text| !text.is_empty());
        let word = word.to_ascii_lowercase();
        match word.as_str() {
            "help" => Self::Help,
            "exit" | "quit" | "bye" | "..." => Self::Exit,
            "uuid" => Self::UuidFilter(argument.map(str::to_owned)),
            "logfilter" => Self::LogFilter(argument.map(str::to_owned)),
            "debug" => Self::Debug(argument.and_then(|n| n.parse().ok()).filter(|&n| n < 8)),
            _ if ["event", "noevents", "nixevent", "log", "nolog", "filter"]
                .iter()
                .any(|known| word.starts_with(known)) =>
            {
                Self::Raw(command.to_owned())
            }
            _ => Self::Unknown(command.to_owned()),
        }
    }
}

fn console_level(line: &str) -> Option<&str> {
    let mut words = line.split_ascii_whitespace();
    let matches = words.next()?.eq_ignore_ascii_case("console")
        && words.next()?.eq_ignore_ascii_case("loglevel");
    words.next().filter(|_| matches)
}

/// The command that asks the server to complete a line.
pub fn completion_request(line: &str, cursor: usize) -> String {
    if cursor >= line.len() {
        format!("console_complete {line}")
    } else {
        format!("console_complete c={cursor};{line}")
    }
}

/// What the server answers to that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// To print above the prompt; may be empty.
    pub listing: String,
    /// How many bytes before the cursor to replace, and by what.
    pub replace: Option<(usize, String)>,
}

impl Completion {
    /// Reads the answer: a listing, then perhaps `write=<length>:<text>`.
    pub fn parse(answer: &str) -> Self {
        if answer.starts_with("-ERR") {
            return Self::default();
        }
        let (listing, write) = match answer.split_once("\n\nwrite=") {
            Some((listing, write)) => (listing, Some(write)),
            None => (answer, None),
        };
        let replace = write.and_then(|write| {
            let (length, text) = write.split_once(':')?;
            Some((length.parse().ok()?, text.to_owned()))
        });
        Self { listing: listing.trim_matches('\n').to_owned(), replace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_unless_they_begin_with_a_slash() {
        assert_eq!(Typed::parse(" show channels "), Typed::Api("show channels".into()));
        assert_eq!(Typed::parse("/event plain ALL"), Typed::Raw("event plain ALL".into()));
        assert_eq!(Typed::parse("/nolog"), Typed::Raw("nolog".into()));
        assert_eq!(Typed::parse("/uuid"), Typed::UuidFilter(None));
        assert_eq!(Typed::parse("/logfilter sofia x"), Typed::LogFilter(Some("sofia x".into())));
        assert_eq!(Typed::parse("/debug 9"), Typed::Debug(None));
        assert_eq!(Typed::parse("/debug 3"), Typed::Debug(Some(3)));
        assert_eq!(Typed::parse("/nonsense x"), Typed::Unknown("nonsense x".into()));
        for exit in ["...", "/exit", "/quit", "/bye", "/..."] {
            assert_eq!(Typed::parse(exit), Typed::Exit);
        }
        assert_eq!(
            Typed::parse("console loglevel err"),
            Typed::ConsoleLevel { level: "err".into(), line: "console loglevel err".into() }
        );
        assert_eq!(Typed::parse("console loglevel"), Typed::Api("console loglevel".into()));
    }

    #[test]
    fn completions_list_and_replace() {
        let one = Completion::parse("\n\n[               status]\t\n\nwrite=2:status ");
        assert_eq!(one.listing, "[               status]\t");
        assert_eq!(one.replace, Some((2, "status ".into())));
        assert_eq!(Completion::parse("\n\n\n\n"), Completion::default());
    }

    #[test]
    fn the_cursor_is_told_unless_it_is_at_the_end() {
        assert_eq!(completion_request("sta", 3), "console_complete sta");
        assert_eq!(completion_request("sta us", 3), "console_complete c=3;sta us");
    }
}
