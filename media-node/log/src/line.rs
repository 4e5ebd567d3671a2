//! The text of a log line, as the reference writes it:
//! `2024-03-05 10:11:12.000123 98.50% [NOTICE] profile.rs:42 message`.

use std::cell::RefCell;
use std::fmt::Write;

use esl_server::log::Level;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Where and when a line comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    /// When.
    pub(super) at: Timestamp,
    /// Idle CPU in hundredths of a percent.
    pub(super) idle: u32,
    pub(super) level: Level,
    /// Source file, without its directory.
    pub(super) file: &'a str,
    /// Source line.
    pub(super) line: u32,
}

/// Appends the prefix of an ordinary line, up to and including the blank before the message.
pub(super) fn write_prefix(out: &mut String, origin: &Origin<'_>, zone: &TimeZone) {
    write_date(out, origin.at, zone);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        " {}.{:02}% [{}] {}:{} ",
        origin.idle / 100,
        origin.idle % 100,
        origin.level,
        origin.file,
        origin.line
    );
}

/// Appends `YYYY-MM-DD HH:MM:SS.uuuuuu` in local time.
pub(super) fn write_date(out: &mut String, at: Timestamp, zone: &TimeZone) {
    thread_local! {
        // Lines come in bursts: the calendar is worked out once a second and thread.
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != at.as_second() {
            let local = zone.to_datetime(at);
            text.clear();
            let _ = write!(
                text,
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                local.year(),
                local.month(),
                local.day(),
                local.hour(),
                local.minute(),
                local.second()
            );
            *second = at.as_second();
        }
        out.push_str(text);
    });
    let _ = write!(out, ".{:06}", at.subsec_microsecond());
}

/// Appends a message. Far ends have their words in it: control characters are shown, not interpreted, so that no name
/// clears the reader's screen or overwrites a line.
pub(super) fn push_shown(out: &mut String, message: &str) {
    let interpreted = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !message.contains(interpreted) {
        out.push_str(message);
        return;
    }
    let mut chars = message.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => out.push(c),
            c if interpreted(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
}

/// Appends a line with `prefix` and a blank before each of its lines: that is how the reference marks
/// every line of a call with the call's uuid.
pub(super) fn write_prefixed(out: &mut Vec<u8>, prefix: &str, text: &str) {
    for line in text.split_inclusive('\n') {
        out.extend_from_slice(prefix.as_bytes());
        out.push(b' ');
        out.extend_from_slice(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(at: &str, level: Level) -> Origin<'static> {
        Origin {
            at: at.parse().expect("timestamp"),
            idle: 9_805,
            level,
            file: "profile.rs",
            line: 42,
        }
    }

    fn prefix(origin: &Origin<'_>, zone: &TimeZone) -> String {
        let mut out = String::new();
        write_prefix(&mut out, origin, zone);
        out
    }

    #[test]
    fn has_the_reference_shape() {
        assert_eq!(
            prefix(&origin("2024-03-05T10:11:12.000123Z", Level::Notice), &TimeZone::UTC),
            "2024-03-05 10:11:12.000123 98.05% [NOTICE] profile.rs:42 "
        );
    }

    #[test]
    fn is_in_local_time_and_follows_the_second() {
        let zone = TimeZone::get("Europe/Madrid").expect("zone");
        let first = prefix(&origin("2024-07-05T23:59:59.999999Z", Level::Err), &zone);
        assert!(first.starts_with("2024-07-06 01:59:59.999999 98.05% [ERR] "), "{first}");
        let next = prefix(&origin("2024-07-06T00:00:00Z", Level::Err), &zone);
        assert!(next.starts_with("2024-07-06 02:00:00.000000 "), "{next}");
    }

    #[test]
    fn control_characters_are_shown_not_interpreted() {
        let mut out = String::new();
        push_shown(&mut out, "a\u{1b}[2Jb\rc\u{9b}d\u{7f}\te\r\nü");
        assert_eq!(out, "a\\u{1b}[2Jb\\rc\\u{9b}d\\u{7f}\te\r\nü");
    }

    #[test]
    fn every_line_of_a_message_is_prefixed() {
        let mut out = Vec::new();
        write_prefixed(&mut out, "uuid", "one\ntwo\n");
        assert_eq!(out, b"uuid one\nuuid two\n");
    }
}
