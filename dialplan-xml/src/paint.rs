//! Colours for terminals.

use crate::Severity;

/// Whether text is coloured, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paint {
    /// Plain text: for files, pipes and users who set `NO_COLOR`.
    #[default]
    Off,
    /// ANSI colours: for terminals.
    On,
}

impl Paint {
    /// A word in the colour of a severity.
    pub fn severity(self, severity: Severity, text: &str) -> String {
        self.wrap(
            match severity {
                Severity::Error => "1;31",
                Severity::Warning => "1;33",
                Severity::Info => "1;36",
            },
            text,
        )
    }

    /// What matters most on a line.
    pub fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What is only there to be looked up: line numbers, places.
    pub fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// What went well.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// What went wrong.
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// What helps.
    pub fn help(self, text: &str) -> String {
        self.wrap("36", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::On if !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}
