//! Spans as OTLP has them, in its JSON form (opentelemetry-proto, "JSON Protobuf Encoding").

use base::trace::{Kind, Span, Value as Fact, to_hex};
use serde_json::{Value, json};

fn fact(name: &str, value: &Fact) -> Value {
    // Whole numbers of 64 bits are texts in the JSON form of protobuf.
    let value = match value {
        Fact::Text(text) => json!({ "stringValue": text }),
        Fact::Int(number) => json!({ "intValue": number.to_string() }),
    };
    json!({ "key": name, "value": value })
}

/// Microseconds since the epoch as nanoseconds.
fn nanos(us: i64) -> Value {
    json!((i128::from(us.max(0)) * 1000).to_string())
}

fn span(span: &Span) -> Value {
    let kind = match span.kind {
        Kind::Internal => 1,
        Kind::Server => 2,
        Kind::Client => 3,
    };
    let mut written = json!({
        "traceId": to_hex(&span.context.trace),
        "spanId": to_hex(&span.context.span),
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": nanos(span.start),
        "endTimeUnixNano": nanos(span.end.max(span.start)),
        "attributes": span.attributes.iter().map(|(name, value)| fact(name, value)).collect::<Vec<_>>(),
        "events": span
            .events
            .iter()
            .map(|(name, at)| json!({ "timeUnixNano": nanos(*at), "name": name }))
            .collect::<Vec<_>>(),
        "status": match &span.error {
            Some(why) => json!({ "code": 2, "message": why }),
            None => json!({}),
        },
    });
    if let Some(parent) = &span.parent {
        written["parentSpanId"] = json!(to_hex(parent));
    }
    written
}

/// An ExportTraceServiceRequest.
pub(crate) fn request(resource: &[(&str, Fact)], spans: &[Span]) -> Value {
    json!({ "resourceSpans": [{
        "resource": {
            "attributes": resource.iter().map(|(name, value)| fact(name, value)).collect::<Vec<_>>(),
        },
        "scopeSpans": [{
            "scope": { "name": "ferroswitch", "version": base::version::OWN },
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }] })
}

#[cfg(test)]
mod tests {
    use base::trace::Context;

    use super::*;

    #[test]
    fn a_span_is_written_as_collectors_read_it() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let written = request(
            &[("service.name", Fact::from("switch"))],
            &[Span {
                name: "call in".into(),
                kind: Kind::Server,
                context: Context::parse(header).expect("a context"),
                parent: Some([1; 8]),
                start: 1_700_000_000_000_000,
                end: 1_700_000_000_000_001,
                attributes: vec![("http.response.status_code", Fact::Int(200))],
                events: vec![("answer", 1_700_000_000_000_001)],
                error: Some("USER_BUSY".into()),
            }],
        );
        let resource = &written["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "switch");
        let span = &resource["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(
            (&span["spanId"], &span["parentSpanId"]),
            (&json!("00f067aa0ba902b7"), &json!("0101010101010101"))
        );
        assert_eq!(
            (&span["kind"], &span["startTimeUnixNano"]),
            (&json!(2), &json!("1700000000000000000"))
        );
        assert_eq!(
            span["attributes"][0],
            json!({ "key": "http.response.status_code", "value": { "intValue": "200" } })
        );
        assert_eq!(span["events"][0]["timeUnixNano"], "1700000000000001000");
        assert_eq!(span["status"], json!({ "code": 2, "message": "USER_BUSY" }));
    }
}
