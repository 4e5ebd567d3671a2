//! Bodies in several parts (RFC 2046 §5.1): an offer beside a location, an ISUP message or a photograph.

use super::scan::{find_outside, trim, unquote};
use crate::uri::Params;

/// Most parts read, nested ones included.
const MAX_PARTS: usize = 16;
/// How deep parts may hold parts.
const MAX_DEPTH: usize = 3;

/// One part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `Content-Type` without parameters; `text/plain` when the part does not say.
    pub content_type: String,
    /// The part's content.
    pub body: Vec<u8>,
}

/// The parts of a body whose `Content-Type` is `multipart/…`, nested ones laid flat; `None` for any other body.
#[must_use]
pub fn parts(content_type: &str, body: &[u8]) -> Option<Vec<Part>> {
    let boundary = boundary_of(content_type)?;
    let mut out = Vec::new();
    collect(&boundary, body, 0, &mut out);
    Some(out)
}

/// The `boundary` of a `multipart/…` type.
fn boundary_of(content_type: &str) -> Option<String> {
    let (kind, params) = split_params(content_type);
    let multipart = kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
    let boundary = Params::new(params).get("boundary").map(unquote)?;
    (multipart && !boundary.is_empty()).then_some(boundary)
}

fn split_params(content_type: &str) -> (&str, &str) {
    match find_outside(content_type, b';') {
        Some(at) => {
            let (kind, params) = content_type.split_at(at);
            (trim(kind), params)
        }
        None => (trim(content_type), ""),
    }
}

fn collect(boundary: &str, body: &[u8], depth: usize, out: &mut Vec<Part>) {
    for part in sections(boundary, body) {
        if out.len() >= MAX_PARTS {
            return;
        }
        let (head, content) = split_head(part);
        let kind = content_type_in(head);
        match kind.as_deref().and_then(boundary_of) {
            Some(inner) if depth < MAX_DEPTH => collect(&inner, content, depth + 1, out),
            _ => {
                let kind = kind.as_deref().map_or("text/plain", |kind| split_params(kind).0);
                out.push(Part { content_type: kind.to_owned(), body: content.to_vec() });
            }
        }
    }
}

/// What stands between the delimiter lines. What comes before the first and behind the last is ignored.
fn sections<'a>(boundary: &str, body: &'a [u8]) -> Vec<&'a [u8]> {
    let mut out = Vec::new();
    let mut open: Option<usize> = None;
    let mut at = 0;
    while at < body.len() {
        let end =
            memchr::memchr(b'\n', body.get(at..).unwrap_or(&[])).map_or(body.len(), |n| at + n + 1);
        if let Some(last) = delimiter(boundary, body.get(at..end).unwrap_or(&[])) {
            if let Some(start) = open.take() {
                out.push(without_line_end(body.get(start..at).unwrap_or(&[])));
            }
            if last || out.len() >= MAX_PARTS {
                return out;
            }
            open = Some(end);
        }
        at = end;
    }
    // A missing last delimiter does not cost the offer.
    if let Some(start) = open {
        out.push(without_line_end(body.get(start..).unwrap_or(&[])));
    }
    out
}

/// Is the line a delimiter, and is it the last one?
fn delimiter(boundary: &str, line: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?;
    let rest = rest.trim_ascii();
    match rest {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

/// The line end before a delimiter belongs to the delimiter.
fn without_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

/// Header lines and content. A part may begin with the empty line, having no headers.
fn split_head(part: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while at < part.len() {
        let rest = part.get(at..).unwrap_or(&[]);
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
        if rest.get(..end).is_some_and(|line| line.trim_ascii().is_empty()) {
            return (part.get(..at).unwrap_or(&[]), part.get(at + end..).unwrap_or(&[]));
        }
        at += end;
    }
    (part, &[])
}

/// The `Content-Type` among header lines, unfolded.
fn content_type_in(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let mut found: Option<String> = None;
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some(value) = &mut found {
                value.push(' ');
                value.push_str(trim(line));
            }
            continue;
        }
        if found.is_some() {
            break;
        }
        found = line
            .split_once(':')
            .filter(|(name, _)| {
                let name = trim(name);
                name.eq_ignore_ascii_case("Content-Type") || name.eq_ignore_ascii_case("c")
            })
            .map(|(_, value)| trim(value).to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: &str) -> Vec<(String, String)> {
        parts(content_type, body.as_bytes())
            .unwrap()
            .into_iter()
            .map(|p| (p.content_type, String::from_utf8(p.body).unwrap()))
            .collect()
    }

    fn pair(kind: &str, body: &str) -> (String, String) {
        (kind.to_owned(), body.to_owned())
    }

    #[test]
    fn parts_are_cut_at_their_boundary() {
        let body = "not for us\r\n--part\r\nContent-Type: application/sdp\r\n\r\nv=0\r\ns=-\r\n\r\n\
            --part \r\nContent-Type: application/pidf+xml;charset=utf-8\r\nContent-ID: <1>\r\n\r\n<a>--part</a>\r\n\
            --part\r\n\r\nplain\r\n--part--\r\nnor this\r\n--part\r\n\r\nlate\r\n";
        assert_eq!(
            read("Multipart/Mixed; boundary=part", body),
            [
                pair("application/sdp", "v=0\r\ns=-\r\n"),
                pair("application/pidf+xml", "<a>--part</a>"),
                pair("text/plain", "plain"),
            ]
        );
    }

    #[test]
    fn boundaries_may_be_quoted_and_line_ends_bare() {
        let body = "--a;b c\nc: application/sdp;\n x=y\n\nv=0\n--a;b c--\n";
        assert_eq!(
            read("multipart/mixed ; x=1; boundary=\"a;b c\"", body),
            [pair("application/sdp", "v=0")]
        );
    }

    #[test]
    fn parts_may_hold_parts_and_forget_their_end() {
        let body = "--o\r\nContent-Type: multipart/alternative;boundary=i\r\n\r\n--i\r\nContent-Type: text/html\r\n\r\n<p>\r\n\
            --i\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--i--\r\n--o\r\nContent-Type: application/isup;version=itu-t92+\r\n\r\n\u{1}\u{2}";
        assert_eq!(
            read("multipart/mixed;boundary=o", body),
            [
                pair("text/html", "<p>"),
                pair("application/sdp", "v=0"),
                pair("application/isup", "\u{1}\u{2}")
            ]
        );
    }

    #[test]
    fn other_bodies_have_no_parts_and_many_parts_are_bounded() {
        for other in
            ["application/sdp", "multipart/mixed", "multipart/mixed;boundary=", "x;boundary=b"]
        {
            assert_eq!(parts(other, b"--b\r\n\r\nx"), None, "{other}");
        }
        let many = "--b\r\n\r\nx\r\n".repeat(1000);
        assert_eq!(parts("multipart/mixed;boundary=b", many.as_bytes()).unwrap().len(), MAX_PARTS);
    }
}
