//! The texts a server writes, apart from events.

use std::borrow::Cow;

use crate::log::LogLine;

/// A `command/reply`. An empty text says the command is unknown, as in the reference.
pub(crate) fn command(text: &str) -> Vec<u8> {
    let text = if text.is_empty() { UNKNOWN } else { text };
    format!("Content-Type: command/reply\nReply-Text: {text}\n\n").into_bytes()
}

/// A `command/reply` whose `Reply-Text` line is followed by header lines of its own.
pub(crate) fn command_with(text: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = format!("Content-Type: command/reply\nReply-Text: {text}\n");
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\n"));
    }
    out.push('\n');
    out.into_bytes()
}

/// A text that comes from elsewhere, fit for a header line: line ends would start headers, or messages, of its own.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\r', '\n']) { text.replace(['\r', '\n'], " ").into() } else { text.into() }
}

/// An `api/response`.
pub(crate) fn api(output: &str) -> Vec<u8> {
    let output = if output.is_empty() { NO_REPLY } else { output };
    format!("Content-Type: api/response\nContent-Length: {}\n\n{output}", output.len()).into_bytes()
}

/// A `log/data` message.
pub(crate) fn log(line: &LogLine) -> Vec<u8> {
    let LogLine { level, text_channel, file, func, line: number, user_data, text } = line;
    format!(
        "Content-Type: log/data\nContent-Length: {}\nLog-Level: {}\nText-Channel: {}\nLog-File: {file}\n\
         Log-Func: {func}\nLog-Line: {number}\nUser-Data: {user_data}\n\n{text}",
        text.len(),
        *level as u8,
        *text_channel as u8,
    )
    .into_bytes()
}

/// Why a connection is closed; the body of its notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    Goodbye,
    ShuttingDown,
    LostEvents,
    LostLogLines,
}

impl Farewell {
    const fn body(self) -> &'static str {
        match self {
            Self::Goodbye => {
                "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
            }
            Self::ShuttingDown => "The system is being shut down.\n",
            Self::LostEvents => "killed listener because of lost events\n",
            Self::LostLogLines => "killed listener because of lost log lines\n",
        }
    }

    /// The last message on a connection; `call` is the UUID it was bound to.
    pub(crate) fn notice(self, call: Option<&str>) -> Vec<u8> {
        let body = self.body();
        let bound = call.map_or_else(String::new, |uuid| {
            format!("Controlled-Session-UUID: {uuid}\nContent-Disposition: disconnect\n")
        });
        let length = body.len();
        format!("Content-Type: text/disconnect-notice\n{bound}Content-Length: {length}\n\n{body}")
            .into_bytes()
    }
}

/// The notice that the call has hung up but the connection stays; `seconds` is -1: without limit.
pub(crate) fn linger(uuid: &str, channel: &str, seconds: i64) -> Vec<u8> {
    format!(
        "Content-Type: text/disconnect-notice\nControlled-Session-UUID: {uuid}\nContent-Disposition: linger\n\
         Channel-Name: {channel}\nLinger-Time: {seconds}\nContent-Length: 0\n\n"
    )
    .into_bytes()
}

/// What a refused peer gets before its notice.
pub(crate) const RUDE_REJECTION: &[u8] =
    b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n";

/// The first thing an admitted peer gets.
pub(crate) const BANNER: &[u8] = b"Content-Type: auth/request\n\n";

pub(crate) const OK: &str = "+OK";
pub(crate) const UNKNOWN: &str = "-ERR command not found";
pub(crate) const INVALID: &str = "-ERR invalid";
pub(crate) const DENIED: &str = "-ERR permission denied";
pub(crate) const NO_KEYWORDS: &str = "-ERR no keywords supplied";
pub(crate) const NOT_CONTROLLING: &str = "-ERR not controlling a session";
const NO_REPLY: &str = "-ERR no reply\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_have_the_lengths_of_the_reference() {
        for (farewell, length) in [
            (Farewell::Goodbye, 67),
            (Farewell::ShuttingDown, 31),
            (Farewell::LostEvents, 39),
            (Farewell::LostLogLines, 42),
        ] {
            assert_eq!(farewell.body().len(), length);
        }
        assert_eq!(
            String::from_utf8(Farewell::ShuttingDown.notice(Some("u1"))).unwrap(),
            "Content-Type: text/disconnect-notice\nControlled-Session-UUID: u1\nContent-Disposition: disconnect\n\
             Content-Length: 31\n\nThe system is being shut down.\n"
        );
    }

    #[test]
    fn an_api_command_without_output_gets_an_error_body() {
        assert_eq!(api(""), b"Content-Type: api/response\nContent-Length: 14\n\n-ERR no reply\n");
    }
}
