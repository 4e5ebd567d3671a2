//! `limit`: how many calls hold a resource, and how fast new ones come.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Counters by realm and resource.
#[derive(Default)]
pub struct Limits {
    usage: Mutex<HashMap<(String, String), Vec<Arc<str>>>>,
}

impl Limits {
    /// Forgets everything a call held.
    pub fn release_all(&self, uuid: &str) {
        let mut usage = self.usage.lock();
        if usage.is_empty() {
            return;
        }
        usage.retain(|_, holders| {
            holders.retain(|holder| &**holder != uuid);
            !holders.is_empty()
        });
    }
}
