//! Another parser's opinion: messages of our own and those of RFC 4475 are read by `rsip` as well, and where both accept a
//! message they must agree on what a stack routes by.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rsip::message::{HeadersExt, SipMessage};
use rsip::prelude::{UntypedHeader, *};
use sip::message::{Message, MessageLimits, parse};

/// What is compared.
#[derive(Debug, PartialEq, Eq)]
struct Gist {
    /// Method and Request-URI, or the status.
    start: String,
    call_id: String,
    cseq: String,
    from_tag: Option<String>,
    to_tag: Option<String>,
    branch: Option<String>,
}

fn ours(bytes: &Bytes) -> Option<Gist> {
    let message = parse(bytes, &MessageLimits::default()).ok()?;
    let headers = message.headers();
    let cseq = headers.cseq()?;
    Some(Gist {
        start: match &message {
            Message::Request(request) => {
                format!("{} {}", request.method, request.uri).to_lowercase()
            }
            Message::Response(response) => response.status.to_string(),
        },
        call_id: headers.call_id().to_owned(),
        cseq: format!("{} {}", cseq.number, cseq.method),
        from_tag: headers.from_tag().map(str::to_owned),
        to_tag: headers.to_tag().map(str::to_owned),
        branch: headers.via()?.branch().map(str::to_owned),
    })
}

fn theirs(bytes: &Bytes) -> Option<Gist> {
    let message = SipMessage::try_from(bytes.as_ref()).ok()?;
    let cseq = message.cseq_header().ok()?.typed().ok()?;
    Some(Gist {
        start: match &message {
            // It writes `transport=` in capitals.
            SipMessage::Request(request) => {
                format!("{} {}", request.method, request.uri).to_lowercase()
            }
            SipMessage::Response(response) => response.status_code.code().to_string(),
        },
        call_id: message.call_id_header().ok()?.value().to_owned(),
        cseq: format!("{} {}", cseq.seq, cseq.method),
        from_tag: tag(message.from_header().ok()?.tag().ok()?),
        to_tag: tag(message.to_header().ok()?.tag().ok()?),
        branch: message.via_header().ok()?.typed().ok()?.branch().map(|b| b.value().to_owned()),
    })
}

fn tag(tag: Option<rsip::param::Tag>) -> Option<String> {
    tag.map(|tag| tag.value().to_owned())
}

fn messages(folder: &Path) -> Vec<(String, Bytes)> {
    let Ok(listing) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<_> = listing
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_stem()?.to_str()?.to_owned();
            Some((name, Bytes::from(std::fs::read(&path).ok()?)))
        })
        .collect();
    found.sort();
    found
}

fn here(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// IPv6 addresses and escaped quotes are too much for it.
const IT_REFUSES: &str = "bye";

/// Names of those both accept; any disagreement fails.
fn agreed(folder: &Path) -> Vec<String> {
    let mut both = Vec::new();
    for (name, bytes) in messages(folder) {
        if let (Some(ours), Some(theirs)) = (ours(&bytes), theirs(&bytes)) {
            assert_eq!(ours, theirs, "{name}");
            both.push(name);
        }
    }
    both
}

#[test]
fn both_read_every_message_of_ours_alike() {
    let all = messages(&here("tests/corpus"));
    assert!(all.len() >= 12);
    let names: Vec<_> =
        all.into_iter().map(|(name, _)| name).filter(|name| name != IT_REFUSES).collect();
    assert_eq!(agreed(&here("tests/corpus")), names);
}

#[test]
fn both_read_the_torture_messages_alike_where_both_accept_them() {
    let folder = here("../../../shared/torture/rfc4475");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no torture messages at {}", folder.display());
        return;
    }
    let valid = agreed(&folder.join("valid"));
    // It refuses compact names, folded lines and escapes; what it takes it must take the same.
    assert!(valid.len() >= 4, "{valid:?}");
    agreed(&folder.join("invalid"));
}
