//! Legs that have ended, the newest [`MOST`]. What must outlive the process is in the databases of call records.

use std::collections::VecDeque;

use parking_lot::RwLock;
use serde_json::{Value, json};
use switch_core::call::Channel;

use super::lists::shown;

/// Legs that are remembered.
const MOST: usize = 10_000;

/// The legs.
#[derive(Default)]
pub(crate) struct History(RwLock<VecDeque<Value>>);

impl History {
    /// A leg has ended.
    pub(crate) fn add(&self, channel: &Channel) {
        let mut ended = shown(channel);
        let text = |name: &str| channel.own_var(name).unwrap_or_default();
        let number = |name: &str| text(name).parse::<i64>().unwrap_or(0);
        ended["state"] = json!("ended");
        ended["cause"] = json!(channel.cause().map_or("NONE", |cause| cause.name()));
        ended["duration_ms"] = json!(number("mduration"));
        ended["billed_ms"] = json!(number("billmsec"));
        let mut all = self.0.write();
        if all.len() == MOST {
            all.pop_back();
        }
        all.push_front(ended);
    }

    /// A leg by its UUID, the newest if several had it.
    pub(super) fn find(&self, uuid: &str) -> Option<Value> {
        self.0.read().iter().find(|ended| ended["uuid"] == uuid).cloned()
    }

    /// All, newest first.
    pub(super) fn all(&self) -> Vec<Value> {
        self.0.read().iter().cloned().collect()
    }
}
