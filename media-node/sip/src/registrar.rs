//! The table of registrations: which contacts an address of record has, until when. No sockets, no
//! clock: time comes in as seconds since the epoch, which is also what listings show.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

/// Most contacts of one address of record; a further one is refused.
pub const MAX_BINDINGS: usize = 64;

/// Most registrations of one profile; a further one is refused. Where nothing has to be proved
/// (`accept-blind-reg`) strangers could make as many as they like.
pub const MAX_ALL: usize = 100_000;

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
    count: usize,
    /// How many came from each address and port.
    sources: HashMap<SocketAddr, u32>,
    hosts: HashMap<IpAddr, u32>,
    /// Addresses of record whose contacts changed since [`Bindings::take_changed`].
    changed: HashSet<String>,
}

/// The contacts an address of record (`user@host`) has now.
pub type Changed = (String, Vec<Binding>);

fn key(user: &str, host: &str) -> String {
    format!("{user}@{}", host.to_ascii_lowercase())
}

impl Bindings {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores a registration. `Ok(true)` when it renews one that was there; `Err` when the user has
    /// [`MAX_BINDINGS`] contacts already, or all have [`MAX_ALL`].
    pub fn register(&mut self, binding: Binding, multiple: Multiple) -> Result<bool, TooMany> {
        let key = key(&binding.user, &binding.host);
        let list = self.table.get(&key).map_or(&[][..], Vec::as_slice);
        let renewed =
            list.iter().any(|b| b.contact == binding.contact || b.call_id == binding.call_id);
        let stays = |b: &Binding| match multiple {
            Multiple::Off => false,
            Multiple::Contact => b.contact != binding.contact,
            Multiple::CallId => b.call_id != binding.call_id,
        };
        let kept = list.iter().filter(|b| stays(b)).count();
        let gone = list.len() - kept;
        if kept >= MAX_BINDINGS || self.count - gone >= MAX_ALL {
            return Err(TooMany);
        }
        self.take_of(&key, |b| !stays(b));
        self.note(&binding);
        self.table.entry(key.clone()).or_default().push(binding);
        self.changed.insert(key);
        Ok(renewed)
    }

    /// Puts back a registration of an earlier run, unless there is no room for it.
    pub fn restore(&mut self, binding: Binding) {
        let key = key(&binding.user, &binding.host);
        let list = self.table.entry(key).or_default();
        if list.len() < MAX_BINDINGS && self.count < MAX_ALL {
            list.push(binding.clone());
            self.note(&binding);
        }
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
        self.take_of(&key(user, host), |b| match multiple {
            Multiple::Off => true,
            // `*` means all of them (RFC 3261 §10.2.2).
            Multiple::Contact => contact == "*" || b.contact == contact,
            Multiple::CallId => contact == "*" || b.call_id == call_id,
        })
    }

    /// Removes and gives back what fits.
    pub fn take(&mut self, fits: impl Fn(&Binding) -> bool) -> Vec<Binding> {
        let keys: Vec<String> = self
            .table
            .iter()
            .filter(|(_, list)| list.iter().any(&fits))
            .map(|(key, _)| key.clone())
            .collect();
        keys.iter().flat_map(|key| self.take_of(key, &fits)).collect()
    }

    fn take_of(&mut self, key: &str, fits: impl Fn(&Binding) -> bool) -> Vec<Binding> {
        let Some(list) = self.table.get_mut(key) else { return Vec::new() };
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(list).into_iter().partition(fits);
        if kept.is_empty() {
            self.table.remove(key);
        } else {
            *list = kept;
        }
        for binding in &gone {
            self.unnote(binding);
        }
        if !gone.is_empty() {
            self.changed.insert(key.to_owned());
        }
        gone
    }

    fn note(&mut self, binding: &Binding) {
        self.count += 1;
        let Ok(ip) = binding.network_ip.parse::<IpAddr>() else { return };
        *self.sources.entry(SocketAddr::new(ip, binding.network_port)).or_default() += 1;
        *self.hosts.entry(ip).or_default() += 1;
    }

    fn unnote(&mut self, binding: &Binding) {
        self.count -= 1;
        let Ok(ip) = binding.network_ip.parse::<IpAddr>() else { return };
        uncount(&mut self.sources, &SocketAddr::new(ip, binding.network_port));
        uncount(&mut self.hosts, &ip);
    }

    /// Is there a registration from there?
    pub fn came_from(&self, peer: SocketAddr) -> bool {
        self.sources.contains_key(&peer)
    }

    /// Is there a registration from this address, whatever the port?
    pub fn came_from_host(&self, peer: IpAddr) -> bool {
        self.hosts.contains_key(&peer)
    }

    /// What changed since it was asked last, as it is now.
    pub fn take_changed(&mut self) -> Vec<Changed> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|key| {
                let list = self.table.get(&key).cloned().unwrap_or_default();
                (key, list)
            })
            .collect()
    }

    /// What was told could not be kept: it is told again.
    pub fn changed_again(&mut self, changed: Vec<Changed>) {
        self.changed.extend(changed.into_iter().map(|(key, _)| key));
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
        self.count
    }

    /// True without registrations.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

fn uncount<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The user has [`MAX_BINDINGS`] contacts already, or the profile [`MAX_ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many registrations")]
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

    #[test]
    fn it_is_known_where_phones_registered_from() {
        let mut table = Bindings::new();
        let at = |ip: &str, port| Binding {
            network_ip: ip.into(),
            network_port: port,
            ..binding(&format!("{ip}:{port}"), &format!("{ip}:{port}"), 100)
        };
        table.register(at("192.0.2.1", 5060), Multiple::Contact).unwrap();
        table.register(at("192.0.2.1", 5062), Multiple::Contact).unwrap();
        let peer = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(table.came_from(peer("192.0.2.1:5060")));
        assert!(!table.came_from(peer("192.0.2.1:5061")));
        assert!(table.came_from_host(peer("192.0.2.1:1").ip()));
        table.unregister("anna", "golden.test", "192.0.2.1:5060", "", Multiple::Contact);
        assert!(!table.came_from(peer("192.0.2.1:5060")));
        assert!(table.came_from_host(peer("192.0.2.1:1").ip()));
        table.sweep(100);
        assert!(!table.came_from_host(peer("192.0.2.1:1").ip()));
        assert_eq!((table.len(), table.sources.len(), table.hosts.len()), (0, 0, 0));
    }

    #[test]
    fn what_changed_is_told_once_as_it_is_now() {
        let mut table = Bindings::new();
        table.register(binding("a", "1", 100), Multiple::Contact).unwrap();
        table.register(binding("b", "2", 200), Multiple::Contact).unwrap();
        let changed = table.take_changed();
        assert_eq!(changed.len(), 1);
        assert!(changed.iter().all(|(key, list)| key == "anna@golden.test" && list.len() == 2));
        assert!(table.take_changed().is_empty());
        table.sweep(300);
        assert_eq!(table.take_changed(), [("anna@golden.test".to_owned(), Vec::new())]);
        table.restore(binding("a", "1", 100));
        assert!(table.take_changed().is_empty(), "it comes from where changes go");
    }
}
