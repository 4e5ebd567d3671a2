//! Routing keys made of event headers.

use esl_server::Event;

use crate::settings::LONGEST_NAME;

/// Parts of a key, and alternatives of a part, at most (the reference's bounds).
const PARTS: usize = 10;
const ALTERNATIVES: usize = 5;

/// One part of a routing key: headers of which the first that is there counts; `#word` is the word itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPart(Vec<String>);

impl KeyPart {
    /// Reads `format_fields`: parts with commas between, alternatives with bars if `fallback` is on.
    pub(crate) fn read(text: &str, fallback: bool) -> Vec<Self> {
        let part = |text: &str| {
            let names =
                if fallback { text.split('|').take(ALTERNATIVES).collect() } else { vec![text] };
            Self(names.into_iter().map(|name| name.trim().to_owned()).collect())
        };
        text.split(',').take(PARTS).map(part).collect()
    }
}

/// The key of an event: parts joined by dots, values encoded. A header that is not there leaves its part empty.
pub(crate) fn key(parts: &[KeyPart], event: &Event) -> String {
    let mut key = String::new();
    for (index, KeyPart(names)) in parts.iter().enumerate() {
        if index > 0 {
            key.push('.');
        }
        for name in names {
            if let Some(word) = name.strip_prefix('#') {
                key.push_str(word);
                break;
            }
            if let Some(value) = event.get(name) {
                encode(&value, &mut key);
                break;
            }
        }
    }
    // Values are ASCII once encoded; words of the configuration need not be.
    let mut end = key.len().min(LONGEST_NAME - 1);
    while !key.is_char_boundary(end) {
        end -= 1;
    }
    key.truncate(end);
    key
}

/// Letters, digits, `-`, `~` and `_` as they are, a dot as `%2E`, a blank as `+`, others as `%XX`. A lone `#` or `*` stays.
pub(crate) fn encode(value: &str, into: &mut String) {
    if matches!(value, "#" | "*") {
        into.push_str(value);
        return;
    }
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'~' | b'_' => into.push(byte as char),
            b' ' => into.push('+'),
            byte => into.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use esl_server::EventName;

    fn event() -> Event {
        let mut event = Event::new(EventName::Dtmf);
        event.push("FreeSWITCH-Hostname", "pbx.example.com");
        event.push("Unique-ID", "a b/c");
        event
    }

    #[test]
    fn values_are_encoded_and_missing_headers_leave_a_part_empty() {
        let parts =
            KeyPart::read("#FreeSWITCH,FreeSWITCH-Hostname,Event-Subclass,Unique-ID", false);
        assert_eq!(key(&parts, &event()), "FreeSWITCH.pbx%2Eexample%2Ecom..a+b%2Fc");
    }

    #[test]
    fn the_first_alternative_that_is_there_counts() {
        let parts = KeyPart::read("Nothing|#none,Nothing|Unique-ID", true);
        assert_eq!(key(&parts, &event()), "none.a+b%2Fc");
        let parts = KeyPart::read("Nothing|#none", false);
        assert_eq!(key(&parts, &event()), "");
    }

    #[test]
    fn a_key_has_room_in_the_protocol() {
        let mut event = event();
        event.push("Long", "é".repeat(300));
        assert_eq!(key(&KeyPart::read("Long", false), &event).len(), LONGEST_NAME - 1);
    }
}
