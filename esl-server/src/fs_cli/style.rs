//! Colours, and what terminals must not see.

use std::borrow::Cow;

/// One of the eight terminal colours, perhaps bold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color {
    code: u8,
    bold: bool,
}

const NAMES: [&str; 8] = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/// Back to the terminal's own colour.
pub(super) const RESET: &str = "\x1b[0m";

impl Color {
    /// `red`, `bold-red` and so on, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (bold, name) =
            name.strip_prefix("bold-").map_or((false, name.as_str()), |rest| (true, rest));
        let code = NAMES.iter().position(|&known| known == name)?;
        Some(Self { code: 30 + u8::try_from(code).ok()?, bold })
    }

    /// The sequence that switches to it.
    pub fn start(self) -> String {
        if self.bold { format!("\x1b[1;{}m", self.code) } else { format!("\x1b[{}m", self.code) }
    }
}

/// The colour of a log line by its level; `None` for the terminal's own.
pub(super) fn of_level(level: u8) -> Option<Color> {
    let name = match level {
        1..=3 => "red",
        4 => "magenta",
        5 => "cyan",
        6 => "green",
        7 => "yellow",
        _ => return None,
    };
    Color::parse(name)
}

/// A server's text as it may be shown on a terminal: callers and phones have their words in it, and control characters
/// would be carried out.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    let interpreted = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(interpreted) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            c if interpreted(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Text in a colour, or as it is.
pub(super) fn paint(text: &str, color: Option<Color>) -> String {
    match color {
        Some(color) => format!("{}{text}{RESET}", color.start()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_names() {
        assert_eq!(Color::parse("Bold-Cyan").unwrap().start(), "\x1b[1;36m");
        assert_eq!(Color::parse("red").unwrap().start(), "\x1b[31m");
        assert_eq!(Color::parse("pink"), None);
    }

    #[test]
    fn levels_beyond_the_known_are_not_coloured() {
        assert_eq!(of_level(0), None);
        assert_eq!(of_level(4), Color::parse("magenta"));
        assert_eq!(of_level(200), None);
    }

    #[test]
    fn control_characters_are_shown_not_interpreted() {
        assert_eq!(shown("plain\n\ttext"), "plain\n\ttext");
        assert_eq!(shown("a\u{1b}]0;x\u{7}b\r\nc\rd"), "a\\u{1b}]0;x\\u{7}b\nc\\rd");
    }
}
