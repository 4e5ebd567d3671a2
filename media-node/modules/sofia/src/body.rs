//! Which bodies a session may be asked for with (RFC 3261 §8.2.3, §20.1, §20.11, §20.12).

use sip::message::{Headers, Name, Request};
use sip::uri::Params;

const SDP: &str = "application/sdp";

/// What is answered instead of a session where the body of an INVITE or UPDATE, or what its sender takes, is nothing a
/// session can be made of: 415 or 406, with what would be taken. `None` when all is well.
pub(crate) fn refused(request: &Request) -> Option<(u16, &'static str, Headers)> {
    let status = if !is_readable(request) {
        Some((415, "Unsupported Media Type"))
    } else if !holds_offer(request) || !takes_sdp(&request.headers) {
        Some((406, "Not Acceptable"))
    } else {
        None
    };
    status.map(|(status, reason)| {
        let mut headers = Headers::new();
        headers.push(Name::Accept, SDP);
        headers.push(Name::AcceptEncoding, "");
        (status, reason, headers)
    })
}

fn is_sdp(kind: &str) -> bool {
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(SDP))
}

fn is_multipart(kind: &str) -> bool {
    kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/"))
}

/// A body that is a description, or one that may be left aside.
fn is_readable(request: &Request) -> bool {
    let (headers, body) = (&request.headers, &request.body);
    if body.is_empty() {
        return true;
    }
    let encoded = headers
        .list(Name::ContentEncoding)
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    if encoded {
        return false;
    }
    let disposition = headers.named("Content-Disposition").unwrap_or("session");
    let (disposition, params) = disposition.split_once(';').unwrap_or((disposition, ""));
    if !disposition.trim().eq_ignore_ascii_case("session") {
        let optional = Params::new(params).get("handling");
        return optional.is_some_and(|handling| handling.eq_ignore_ascii_case("optional"));
    }
    match headers.get(Name::ContentType) {
        Some(kind) => is_sdp(kind) || is_multipart(kind),
        // Old gateways do not say what it is.
        None => {
            body.trim_ascii_start().get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"v=0"))
        }
    }
}

/// Of a body in several parts, one is a description.
fn holds_offer(request: &Request) -> bool {
    let kind = request.headers.get(Name::ContentType).filter(|kind| is_multipart(kind));
    let Some(kind) = kind.filter(|_| !request.body.is_empty()) else { return true };
    sip::message::parts(kind, &request.body)
        .is_some_and(|parts| parts.iter().any(|part| is_sdp(&part.content_type)))
}

/// Who says nothing takes descriptions.
fn takes_sdp(headers: &Headers) -> bool {
    let mut kinds = headers.list(Name::Accept).filter(|kind| !kind.is_empty()).peekable();
    kinds.peek().is_none()
        || kinds.any(|kind| {
            let (kind, params) = kind.split_once(';').unwrap_or((kind, ""));
            let unwanted = Params::new(params)
                .get("q")
                .and_then(|q| q.parse::<f32>().ok())
                .is_some_and(|q| q <= 0.0);
            let fits = ["*/*", "application/*", SDP]
                .iter()
                .any(|known| kind.trim().eq_ignore_ascii_case(known));
            fits && !unwanted
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::message::Method;
    use sip::uri::Uri;

    fn answered(headers: &[(&str, &str)], body: &str) -> Option<u16> {
        let mut request = Request::new(Method::Invite, Uri::parse("sip:a@h").unwrap());
        request.headers = headers.iter().copied().collect();
        request.body = body.as_bytes().to_vec().into();
        refused(&request).map(|(status, ..)| status)
    }

    #[test]
    fn what_is_no_description_is_not_taken_for_one() {
        let sdp = ("Content-Type", "application/sdp");
        let mixed = ("Content-Type", "multipart/mixed;boundary=b");
        let part = |kind: &str| format!("--b\r\nContent-Type: {kind}\r\n\r\nv=0\r\n--b--\r\n");
        let cases: &[(&[(&str, &str)], &str, Option<u16>)] = &[
            (&[], "", None),
            (&[("Content-Type", "text/plain")], "", None),
            (&[sdp], "v=0", None),
            (&[("Content-Type", "Application/SDP ; charset=\"utf-8\"")], "v=0", None),
            (&[], "v=0", None),
            (&[], "hello", Some(415)),
            (&[("Content-Type", "text/plain")], "hello", Some(415)),
            (&[("Content-Type", "application/sdpx")], "v=0", Some(415)),
            (
                &[
                    ("Content-Type", "text/plain"),
                    ("Content-Disposition", "icon;handling=Optional"),
                ],
                "hello",
                None,
            ),
            (&[sdp, ("Content-Disposition", "session;handling=required")], "v=0", None),
            (&[sdp, ("Content-Disposition", "render")], "v=0", Some(415)),
            (&[sdp, ("Content-Encoding", "gzip")], "v=0", Some(415)),
            (&[sdp, ("Content-Encoding", "identity")], "v=0", None),
            (&[mixed], &part("application/sdp"), None),
            (&[mixed], &part("application/isup"), Some(406)),
            (&[("Accept", "application/sdp, text/html")], "", None),
            (&[("Accept", "*/*;q=0.1")], "", None),
            (&[("Accept", "")], "", None),
            (&[("Accept", "text/html")], "", Some(406)),
            (&[("Accept", "application/sdp;q=0, text/html")], "", Some(406)),
        ];
        for (headers, body, status) in cases {
            assert_eq!(answered(headers, body), *status, "{headers:?} {body}");
        }
    }
}
