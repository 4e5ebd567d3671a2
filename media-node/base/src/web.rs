//! The request of a web client on whose behalf a command runs (mod_xml_rpc). Commands with pages of their own read it, and
//! know from it alone whose pages are wanted: what stands in a query is the client's to write.

use std::sync::Arc;

/// A directory user's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where the client reached this switch, `host:port`.
    pub host: String,
    /// The path of the command: `/webapi/voicemail`.
    pub uri: String,
    /// What follows it: `get/msg_1.wav`; empty for nothing.
    pub path: String,
    /// Who has logged in.
    pub user: String,
    /// Of which domain.
    pub domain: String,
}

tokio::task_local! {
    static REQUEST: Arc<Request>;
}

/// Runs a future on behalf of a request.
pub async fn scope<T>(request: Request, future: impl Future<Output = T>) -> T {
    REQUEST.scope(Arc::new(request), future).await
}

/// The request on whose behalf this runs, if a web client asked for it.
#[must_use]
pub fn request() -> Option<Arc<Request>> {
    REQUEST.try_with(Arc::clone).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_seen_within_its_scope_alone() {
        let text = |text: &str| text.to_owned();
        let one = Request {
            host: text("h:80"),
            uri: text("/x"),
            path: text("web"),
            user: text("1"),
            domain: text("d"),
        };
        assert_eq!(request(), None);
        let seen = scope(one.clone(), async { request() }).await;
        assert_eq!(seen.as_deref(), Some(&one));
        assert_eq!(request(), None);
    }
}
