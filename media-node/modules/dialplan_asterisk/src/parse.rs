//! `extensions.conf`: lines of contexts, each with what must match and what then runs.

use base::{far, text};

/// One line of a context: `exten => pattern,priority,Application(argument)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Line of the file, from 1.
    pub number: u32,
    /// What stands before `=`: `exten`, the name of a caller profile field, or a text with `${…}`.
    pub subject: String,
    /// `_` and Asterisk's own notation, `~` and a regular expression, or the value itself.
    pub pattern: String,
    /// The caller's number, from `exten => number/pattern`.
    pub caller: Option<String>,
    /// Application.
    pub application: String,
    /// What stood in its parentheses.
    pub argument: String,
}

/// What of a context cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// `include`, which the reference does not know either.
    #[error("param '{subject}' not implemented at line {line}!")]
    Include {
        /// The word as written.
        subject: String,
        /// Line of the file.
        line: u32,
    },
    /// Fewer than three parts.
    #[error("Parse error line {0}!")]
    Parts(u32),
}

/// The lines of a context, in order. A line `__END__` ends the file. Sections (`[+name]`) are passed over.
pub(crate) fn context(text: &str, name: &str) -> Vec<Result<Line, Fault>> {
    let (mut lines, mut inside) = (Vec::new(), false);
    for (number, line) in (1..).zip(text.lines()) {
        if let Some((category, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            inside = category.eq_ignore_ascii_case(name);
            continue;
        }
        if line.starts_with("__END__") {
            break;
        }
        // The first `#` ends a line; a `;` does where there is none.
        let ends = line.find('#').or_else(|| line.find(';')).unwrap_or(line.len());
        let Some((subject, value)) = line.get(..ends).and_then(|line| line.split_once('=')) else {
            continue;
        };
        if inside {
            lines.push(entry(
                number,
                subject.trim(),
                value.strip_prefix('>').unwrap_or(value).trim(),
            ));
        }
    }
    lines
}

fn entry(number: u32, subject: &str, value: &str) -> Result<Line, Fault> {
    if subject.eq_ignore_ascii_case("include") {
        return Err(Fault::Include { subject: subject.to_owned(), line: number });
    }
    let parts = text::separated(value, ',', 3);
    let [pattern, _priority, action] = parts.as_slice() else { return Err(Fault::Parts(number)) };
    let (caller, pattern) = match pattern.trim().split_once('/') {
        Some((caller, pattern)) if subject.eq_ignore_ascii_case("exten") => (Some(caller), pattern),
        _ => (None, pattern.trim()),
    };
    let (application, argument) = match action.split_once('(') {
        Some((application, rest)) => {
            (application, rest.rsplit_once(')').map_or(rest, |(inside, _)| inside))
        }
        None => action.split_once(',').unwrap_or((action, "")),
    };
    Ok(Line {
        number,
        subject: subject.to_owned(),
        pattern: pattern.to_owned(),
        caller: caller.map(str::to_owned),
        application: application.trim().to_owned(),
        argument: argument.to_owned(),
    })
}

/// `Dial`: who is called, in FreeSWITCH's notation, and for how long. `None` without a time: the reference insists on it.
pub(crate) fn dialled(argument: &str) -> Option<(String, String)> {
    let parts = text::separated_marked(argument, '|', 4);
    let [legs, timeout, ..] = parts.as_slice() else { return None };
    Some((legs.replace('&', ","), far::into_plain(timeout.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
; a comment
[general]
exten => 1,1,Never()
[Office] trailing words
exten => _1XXX,1,Dial(SIP/${EXTEN}|20)   ; ring
exten = 5551000/42,n,Playback('a,b.wav')
include => more
exten => broken
  ~context => ~^off,1,Set(x=(1))
exten => 9,1,Log,INFO nine
__END__
exten => 8,1,Never()
";

    fn line(number: u32, subject: &str, pattern: &str, application: &str, argument: &str) -> Line {
        let owned = str::to_owned;
        Line {
            number,
            subject: owned(subject),
            pattern: owned(pattern),
            caller: None,
            application: owned(application),
            argument: owned(argument),
        }
    }

    #[test]
    fn a_context_is_read_line_by_line() {
        let caller = Line {
            caller: Some("5551000".into()),
            ..line(6, "exten", "42", "Playback", "a,b.wav")
        };
        assert_eq!(
            context(FILE, "office"),
            [
                Ok(line(5, "exten", "_1XXX", "Dial", "SIP/${EXTEN}|20")),
                Ok(caller),
                Err(Fault::Include { subject: "include".into(), line: 7 }),
                Err(Fault::Parts(8)),
                Ok(line(9, "~context", "~^off", "Set", "x=(1)")),
                Ok(line(10, "exten", "9", "Log", "INFO nine")),
            ]
        );
        assert_eq!(context(FILE, "nowhere"), []);
    }

    #[test]
    fn dial_needs_a_time() {
        assert_eq!(dialled("SIP/a&SIP/b|30|r"), Some(("SIP/a,SIP/b".into(), "30".into())));
        assert_eq!(dialled("SIP/a"), None);
        assert_eq!(dialled(""), None);
    }
}
