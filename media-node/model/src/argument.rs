//! What an application or a command does with its argument, as far as what a far end said in it ([`base::far`]) is concerned.
//! Each declares it where it stands: the core gives the argument to its code accordingly.

use std::borrow::Cow;

use base::far;

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Words and values.
    Text,
    /// It holds the name of a file or directory.
    Path,
    /// Names of files, which the code takes apart itself.
    Files,
    /// A line for the shell.
    Shell,
    /// Code, or what names and feeds code.
    Code,
}

/// What an argument is, and whether the application's code gets it with its marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    kind: Kind,
    marked: bool,
}

impl Argument {
    /// Words and values. Their code gets them as they are meant: nothing in them is taken apart, and nothing runs.
    pub const TEXT: Self = Self { kind: Kind::Text, marked: false };

    /// Is it run as it stands, a line for the shell or code? What a far end said stays a value in it also where it is the
    /// whole of it.
    #[must_use]
    pub fn is_run(self) -> bool {
        matches!(self.kind, Kind::Shell | Kind::Code)
    }

    /// Is it a line for the shell?
    #[must_use]
    pub fn is_shell(self) -> bool {
        self.kind == Kind::Shell
    }

    /// Does it hold a path?
    #[must_use]
    pub fn is_path(self) -> bool {
        self.kind == Kind::Path
    }

    /// The argument where a far end said all of it: as it is meant, unless it runs, but web servers stay its choice.
    #[must_use]
    pub fn whole(self, said: String) -> String {
        match self.kind {
            Kind::Shell | Kind::Code => said,
            Kind::Path | Kind::Files => far::into_named(said),
            Kind::Text => far::into_plain(said),
        }
    }

    /// Does the code get it with its marks, and take it apart by them?
    #[must_use]
    pub fn stays_marked(self) -> bool {
        self.marked
    }

    /// The argument with what a far end said in it fit for shells and paths; the rest of it stays marked.
    #[must_use]
    pub fn fit(self, argument: &str) -> Cow<'_, str> {
        match self.kind {
            _ if !far::is_marked(argument) => Cow::Borrowed(argument),
            Kind::Shell => far::in_shell(argument),
            Kind::Path if !argument.starts_with("phrase:") => far::in_path(argument),
            Kind::Path | Kind::Files | Kind::Text | Kind::Code => Cow::Borrowed(argument),
        }
    }

    /// The same kind, given to its code with its marks.
    #[must_use]
    pub const fn marked(self) -> Self {
        Self { marked: true, ..self }
    }

    /// Holds a path.
    #[must_use]
    pub const fn path(self) -> Self {
        Self { kind: Kind::Path, ..self }
    }

    /// Holds names of files; its code gets it with its marks.
    #[must_use]
    pub const fn files(self) -> Self {
        Self { kind: Kind::Files, marked: true }
    }

    /// Is a line for the shell.
    #[must_use]
    pub const fn shell(self) -> Self {
        Self { kind: Kind::Shell, ..self }
    }

    /// Is code; it stays marked, so that text of a far end is told from it.
    #[must_use]
    pub const fn code(self) -> Self {
        Self { kind: Kind::Code, marked: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_that_a_far_end_said_is_meant_but_chooses_no_web_server_and_no_code() {
        let said = far::mark("http://10.0.0.1/a,b.wav");
        for (argument, whole) in [
            (Argument::TEXT, "http://10.0.0.1/a,b.wav"),
            (Argument::TEXT.marked(), "http://10.0.0.1/a,b.wav"),
            (Argument::TEXT.path(), "far+http://10.0.0.1/a,b.wav"),
            (Argument::TEXT.files(), "far+http://10.0.0.1/a,b.wav"),
            (Argument::TEXT.shell(), &said),
            (Argument::TEXT.code(), &said),
        ] {
            assert_eq!(argument.whole(said.clone()), whole, "{argument:?}");
        }
    }
}
