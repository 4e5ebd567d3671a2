//! The table of registrations: which contacts an address of record has, until when. No sockets, no
//! clock: time comes in as seconds since the epoch, which is also what listings show.

use std::collections::HashMap;

/// Most contacts of one address of record; a further one is refused.
pub const MAX_BINDINGS: usize = 64;

/// What makes a registration replace an earlier one of the same user (`multiple-registrations`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Multiple {
    /// Every registration replaces all others of the user.
    #[default]
    Off,
    /// One per contact.
    Contact,
    /// One per Call-ID.
    CallId,
}

/// One registered contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// User part of the address of record.
    pub user: String,
    /// Host part.
    pub host: String,
    /// The contact as stored and shown, e.g. `"" <sip:1000@192.0.2.5:5062;fs_nat=yes>`.
    pub contact: String,
    /// Call-ID of the registration.
    pub call_id: String,
    /// When it ends, seconds since the epoch, grace included.
    pub expires: i64,
    /// Lifetime granted, seconds.
    pub granted: u32,
    /// Status text, e.g. `Registered(UDP-NAT)`.
    pub status: String,
    /// `User-Agent`.
    pub user_agent: String,
    /// Source address.
    pub network_ip: String,
    /// Source port.
    pub network_port: u16,
    /// `udp`, `tcp`, ...
    pub network_proto: String,
    /// Digest user.
    pub auth_user: String,
    /// Digest realm.
    pub auth_realm: String,
    /// Mailbox.
    pub mwi_account: String,
    /// `registration_metadata` of the user.
    pub metadata: String,
}

/// Registrations of one profile.
#[derive(Debug, Default)]
pub struct Bindings {
    table: HashMap<String, Vec<Binding>>,
}

fn key(user: &str, host: &str) -> String {
    format!("{user}@{}", host.to_ascii_lowercase())
}

impl Bindings {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores a registration. `Ok(true)` when it renews one that was there; `Err` when the user has
    /// [`MAX_BINDINGS`] contacts already.
    pub fn register(&mut self, binding: Binding, multiple: Multiple) -> Result<bool, TooMany> {
        let list = self.table.entry(key(&binding.user, &binding.host)).or_default();
        let renewed =
            list.iter().any(|b| b.contact == binding.contact || b.call_id == binding.call_id);
        list.retain(|b| match multiple {
            Multiple::Off => false,
            Multiple::Contact => b.contact != binding.contact,
            Multiple::CallId => b.call_id != binding.call_id,
        });
        if list.len() >= MAX_BINDINGS {
            return Err(TooMany);
        }
        list.push(binding);
        Ok(renewed)
    }

    /// Removes what a registration with expires 0 removes, and gives it back.
    pub fn unregister(
        &mut self,
        user: &str,
        host: &str,
        contact: &str,
        call_id: &str,
        multiple: Multiple,
    ) -> Vec<Binding> {
        let key = key(user, host);
        let Some(list) = self.table.remove(&key) else { return Vec::new() };
        let (gone, kept): (Vec<_>, Vec<_>) = list.into_iter().partition(|b| match multiple {
            Multiple::Off => true,
            // `*` means all of them (RFC 3261 §10.2.2).
            Multiple::Contact => contact == "*" || b.contact == contact,
            Multiple::CallId => contact == "*" || b.call_id == call_id,
        });
        if !kept.is_empty() {
            self.table.insert(key, kept);
        }
        gone
    }

    /// Removes and gives back what fits.
    pub fn take(&mut self, fits: impl Fn(&Binding) -> bool) -> Vec<Binding> {
        let mut taken = Vec::new();
        self.table.retain(|_, list| {
            list.retain(|b| {
                let goes = fits(b);
                if goes {
                    taken.push(b.clone());
                }
                !goes
            });
            !list.is_empty()
        });
        taken
    }

    /// Removes and gives back what ended by `now`.
    pub fn sweep(&mut self, now: i64) -> Vec<Binding> {
        self.take(|b| b.expires <= now)
    }

    /// Contacts of an address of record, oldest first. Ended ones not yet swept are left out.
    pub fn find(&self, user: &str, host: &str, now: i64) -> impl Iterator<Item = &Binding> {
        self.table.get(&key(user, host)).into_iter().flatten().filter(move |b| b.expires > now)
    }

    /// Everything, sorted by user and host.
    pub fn all(&self) -> Vec<&Binding> {
        let mut all: Vec<_> = self.table.values().flatten().collect();
        all.sort_by(|a, b| (&a.user, &a.host).cmp(&(&b.user, &b.host)));
        all
    }

    /// Number of contacts.
    pub fn len(&self) -> usize {
        self.table.values().map(Vec::len).sum()
    }

    /// True when nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

/// The user has [`MAX_BINDINGS`] contacts already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many registrations of one user")]
pub struct TooMany;

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(contact: &str, call_id: &str, expires: i64) -> Binding {
        let text = String::new;
        Binding {
            user: "anna".into(),
            host: "golden.test".into(),
            contact: contact.into(),
            call_id: call_id.into(),
            expires,
            granted: 120,
            status: "Registered(UDP)".into(),
            user_agent: text(),
            network_ip: text(),
            network_port: 5060,
            network_proto: "udp".into(),
            auth_user: text(),
            auth_realm: text(),
            mwi_account: text(),
            metadata: text(),
        }
    }

    fn contacts(table: &Bindings, now: i64) -> Vec<&str> {
        table.find("anna", "GOLDEN.test", now).map(|b| b.contact.as_str()).collect()
    }

    #[test]
    fn one_registration_replaces_another_unless_several_are_allowed() {
        let mut table = Bindings::new();
        assert_eq!(table.register(binding("a", "1", 100), Multiple::Off), Ok(false));
        assert_eq!(table.register(binding("a", "1", 200), Multiple::Off), Ok(true));
        assert_eq!(table.register(binding("b", "2", 200), Multiple::Off), Ok(false));
        assert_eq!(contacts(&table, 0), ["b"]);
        assert_eq!(table.register(binding("c", "2", 200), Multiple::Contact), Ok(true));
        assert_eq!(contacts(&table, 0), ["b", "c"]);
        assert_eq!(table.register(binding("d", "2", 200), Multiple::CallId), Ok(true));
        assert_eq!(contacts(&table, 0), ["d"]);
    }

    #[test]
    fn registrations_end() {
        let mut table = Bindings::new();
        table.register(binding("a", "1", 100), Multiple::Contact).unwrap();
        table.register(binding("b", "2", 200), Multiple::Contact).unwrap();
        assert_eq!(contacts(&table, 100), ["b"]);
        assert_eq!(table.sweep(100).len(), 1);
        assert_eq!(table.unregister("anna", "golden.test", "*", "9", Multiple::Contact).len(), 1);
        assert!(table.is_empty());
    }

    #[test]
    fn one_user_cannot_fill_the_table() {
        let mut table = Bindings::new();
        for n in 0..MAX_BINDINGS {
            table.register(binding(&n.to_string(), &n.to_string(), 9), Multiple::Contact).unwrap();
        }
        assert_eq!(table.register(binding("x", "x", 9), Multiple::Contact), Err(TooMany));
    }
}
