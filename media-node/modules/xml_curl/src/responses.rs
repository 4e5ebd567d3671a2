//! Responses kept for a while, where a binding says so.

use std::collections::HashMap;
use std::time::Duration;

use dialplan_xml::Tree;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Most responses kept per binding; when so many are fresh, further ones are not kept.
const MAX_RESPONSES: usize = 1_000;

/// Responses of one binding by what was asked.
pub struct Responses {
    keep: Duration,
    kept: Mutex<HashMap<String, (Instant, Tree)>>,
}

impl Responses {
    /// Keeps responses for that long.
    #[must_use]
    pub fn new(keep: Duration) -> Self {
        Self { keep, kept: Mutex::default() }
    }

    /// The response to a question asked before.
    #[must_use]
    pub fn get(&self, question: &str) -> Option<Tree> {
        let kept = self.kept.lock();
        let (until, tree) = kept.get(question)?;
        (Instant::now() < *until).then(|| tree.clone())
    }

    /// Keeps a response.
    pub fn put(&self, question: String, tree: Tree) {
        let now = Instant::now();
        let mut kept = self.kept.lock();
        if kept.len() >= MAX_RESPONSES {
            kept.retain(|_, (until, _)| now < *until);
        }
        if kept.len() < MAX_RESPONSES {
            kept.insert(question, (now + self.keep, tree));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn responses_grow_old() {
        let responses = Responses::new(Duration::from_secs(2));
        let tree = dialplan_xml::parse_raw("<document/>", "test").tree.expect("well-formed");
        responses.put("q".into(), tree);
        assert!(responses.get("q").is_some() && responses.get("other").is_none());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(responses.get("q").is_none());
    }
}
