//! Relations of a channel to others ([`Link`]).

use std::sync::Arc;

pub use call_model::link::Link;

use super::channel::Channel;

impl Channel {
    /// The leg belongs to another in that way from now on.
    pub fn link(&self, link: Link, to: &Self) {
        self.set_var(link.variable(), &**to.uuid());
    }

    /// It does so no more.
    pub fn unlink(&self, link: Link) {
        self.unset_var(link.variable());
    }

    /// The UUID of the leg it belongs to in that way, which may be gone.
    #[must_use]
    pub fn linked_uuid(&self, link: Link) -> Option<String> {
        self.variable(link.variable())
    }

    /// The leg it belongs to in that way, if that still exists.
    #[must_use]
    pub fn linked(&self, link: Link) -> Option<Arc<Self>> {
        self.switch().channel(&self.linked_uuid(link)?)
    }
}
