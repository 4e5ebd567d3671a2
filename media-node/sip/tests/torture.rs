//! The messages of RFC 4475, read from `../shared/torture` beside the repository. Without that folder
//! the tests say so and pass.

use std::path::PathBuf;

use bytes::Bytes;
use sip::message::{Message, MessageLimits, ParseError, parse};

/// Section 3.1.2: syntactically bad, to be refused.
const BAD_SYNTAX: [&str; 19] = [
    "badinv01",
    "clerr",
    "ncl",
    "scalar02",
    "scalarlg",
    "quotbal",
    "ltgtruri",
    "lwsruri",
    "lwsstart",
    "trws",
    "escruri",
    "baddate",
    "regbadct",
    "badaspec",
    "baddn",
    "badvers",
    "mismatch01",
    "mismatch02",
    "bigcode",
];

fn folder(kind: &str) -> Option<Vec<(String, Bytes)>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/torture/rfc4475")
        .join(kind);
    let Ok(listing) = std::fs::read_dir(&root) else {
        eprintln!("SKIPPED: no torture messages at {}", root.display());
        return None;
    };
    let mut out: Vec<_> = listing
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_stem()?.to_str()?.to_owned();
            Some((name, Bytes::from(std::fs::read(&path).ok()?)))
        })
        .collect();
    out.sort();
    Some(out)
}

#[test]
fn every_valid_message_is_accepted() {
    let Some(messages) = folder("valid") else { return };
    assert_eq!(messages.len(), 13);
    for (name, bytes) in messages {
        let message = parse(&bytes, &MessageLimits::default());
        assert!(message.is_ok(), "{name}: {:?}", message.err());
    }
}

#[test]
fn messages_of_bad_syntax_are_refused() {
    let Some(messages) = folder("invalid") else { return };
    let accepted: Vec<_> = messages
        .iter()
        .filter(|(name, _)| BAD_SYNTAX.contains(&name.as_str()))
        .filter(|(_, bytes)| parse(bytes, &MessageLimits::default()).is_ok())
        .map(|(name, _)| name.as_str())
        .collect();
    // A wrong time zone in Date does no harm, and phones do it.
    assert_eq!(accepted, ["baddate"]);
}

#[test]
fn refused_requests_get_the_status_they_deserve() {
    let Some(messages) = folder("invalid") else { return };
    let status = |wanted: &str| {
        let (_, bytes) = messages.iter().find(|(name, _)| name == wanted)?;
        parse(bytes, &MessageLimits::default()).err()?.reply.map(|r| r.status)
    };
    assert_eq!(status("badvers"), Some(505));
    for name in
        ["clerr", "ncl", "quotbal", "ltgtruri", "lwsruri", "escruri", "mismatch01", "scalar02"]
    {
        assert_eq!(status(name), Some(400), "{name}");
    }
    for response in ["bigcode", "scalarlg"] {
        assert_eq!(status(response), None, "{response}");
    }
}

#[test]
fn messages_with_semantic_faults_only_are_readable() {
    let Some(messages) = folder("invalid") else { return };
    for name in [
        "inv2543", "unkscm", "novelsc", "zeromf", "cparam01", "cparam02", "regescrt", "bext01",
        "sdp01",
    ] {
        let (_, bytes) = messages.iter().find(|(n, _)| n == name).unwrap();
        let message = parse(bytes, &MessageLimits::default());
        assert!(message.is_ok(), "{name}: {:?}", message.err().map(|r| r.error));
    }
}

#[test]
fn what_is_written_reads_back_the_same() {
    let Some(messages) = folder("valid") else { return };
    for (name, bytes) in messages {
        let Ok(first) = parse(&bytes, &MessageLimits::default()) else { panic!("{name}") };
        let second = parse(&first.to_bytes(), &MessageLimits::default());
        let Ok(second) = second else { panic!("{name}: {:?}", second.err()) };
        assert_eq!(fields(&first), fields(&second), "{name}");
    }
}

/// Headers in wire order, without the length, which writing recomputes.
fn fields(message: &Message) -> Vec<(String, String)> {
    let mut out: Vec<_> = message
        .headers()
        .iter()
        .map(|h| (h.text.to_ascii_lowercase(), h.value.to_owned()))
        .filter(|(name, _)| name != "l" && name != "content-length")
        .collect();
    out.sort();
    out
}

#[test]
fn a_keep_alive_is_not_an_error_to_answer() {
    let rejected = parse(&Bytes::from_static(b"\r\n\r\n"), &MessageLimits::default()).unwrap_err();
    assert_eq!(rejected.error, ParseError::Empty);
    assert!(rejected.reply.is_none());
}
