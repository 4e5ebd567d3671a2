//! Who is registered where.

use super::profile::Profile;

/// Contacts of a user of a domain, newest first, as name-addrs.
#[must_use]
pub fn contacts(_profile: &Profile, _user: &str, _domain: &str) -> Vec<String> {
    Vec::new()
}
