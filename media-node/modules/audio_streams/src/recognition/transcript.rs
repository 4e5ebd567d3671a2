//! What was said on a call, as it is told to all: the event `switch::transcript`, and the call's record.

use std::fmt::Write as _;

use base::far;
use switch_core::call::Channel;
use voice::speech::Words;

/// The event's subclass.
pub(crate) const SUBCLASS: &str = "switch::transcript";
/// Variables: all that was said, a line each, and the words so far of each side.
pub(crate) const VARIABLE: &str = "transcript";
/// Bytes of it that are kept; what is said after that is not.
const MOST_BYTES: usize = 32 * 1024;

/// Tells of words that stay. `side` 0 is what the far end says, 1 what it hears.
pub(crate) fn note(channel: &Channel, words: &Words, side: u32, engine: &str) {
    let redacted = redacts(channel).then(|| words.redacted());
    let words = redacted.as_ref().unwrap_or(words);
    let name = if side == 0 { "read" } else { "write" };
    let at = (switch_core::clock::now_us() - channel.created()).max(0) / 1000;
    let count = words.text.split_whitespace().count();
    channel.fire_custom(
        SUBCLASS,
        |event| {
            event.push("Transcript-Direction", name);
            event.push("Transcript-Text", words.text.as_str());
            event.push("Transcript-Words", count.to_string());
            event.push("Transcript-Milliseconds", at.to_string());
            event.push("Transcript-Engine", engine);
            if let Some(sure) = words.confidence {
                event.push("Transcript-Confidence", format!("{sure:.3}"));
            }
        },
        |_| {},
    );
    remember(channel, &words.text, name, at);
}

/// Whether transcripts of the call show no digits (`redact_digits`).
pub(crate) fn redacts(channel: &Channel) -> bool {
    channel.var("redact_digits").is_some_and(|what| base::redact::asks_for(&what, "transcript"))
}

fn remember(channel: &Channel, text: &str, side: &str, at: i64) {
    let mut all = channel.var_marked(VARIABLE).unwrap_or_default();
    if all.len() + text.len() > MOST_BYTES {
        return;
    }
    let line = far::mark(&text.replace(['\r', '\n'], " "));
    let _infallible = writeln!(all, "{}.{:03} {side}: {line}", at / 1000, at % 1000);
    channel.set_var_as_is(VARIABLE, all);
}
