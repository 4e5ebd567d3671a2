//! A request as a span of the trace it is asked for.

use base::clock;
use base::trace::{self, Kind, Span, Value};

use super::{Answer, Ask, HttpError};

const HEADER: &str = "traceparent";

/// A request that is under way. One that is given up (its caller's deadline) ends where this is dropped.
pub(crate) struct Asked(Option<Span>);

impl Asked {
    /// Tells the server which trace a request belongs to. `None` if it belongs to none.
    pub(crate) fn new(ask: &mut Ask) -> Option<Self> {
        let parent = trace::current().filter(|_| trace::enabled())?;
        let context = parent.child();
        let named = ask.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(HEADER));
        if !named {
            ask.headers.push((HEADER, context.header()));
        }
        let now = clock::now_us();
        let port = ask.url.port_or_known_default().unwrap_or(0);
        Some(Self(Some(Span {
            name: ask.method.to_string().into(),
            kind: Kind::Client,
            context,
            parent: Some(parent.span),
            start: now,
            end: now,
            attributes: vec![
                ("http.request.method", Value::from(ask.method.as_str())),
                // Without user, password and query, which may be secret.
                ("url.full", Value::from(super::shown(ask.url.as_str()).as_str())),
                ("server.address", Value::from(ask.url.host_str().unwrap_or_default())),
                ("server.port", Value::Int(port.into())),
            ],
            events: Vec::new(),
            error: Some("given up".to_owned()),
        })))
    }

    /// The answer is there, or none will come.
    pub(crate) fn answered(mut self, answer: &Result<Answer, HttpError>) {
        let Some(span) = self.0.as_mut() else { return };
        match answer {
            Ok((status, ..)) => {
                let code = i64::from(status.as_u16());
                span.attributes.push(("http.response.status_code", Value::Int(code)));
                span.error = (code >= 400).then(|| status.to_string());
            }
            Err(error) => span.error = Some(error.to_string()),
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(mut span) = self.0.take() {
            span.end = clock::now_us();
            trace::record(span);
        }
    }
}
