//! How many bytes are held for the requests of others, per source and in all.
//!
//! Strangers and known peers have accounts of their own: whatever strangers send, what known peers may use stays theirs.

use std::collections::HashMap;
use std::net::IpAddr;

/// Bytes held for all strangers. With known peers' share, tables and buffers the process stays well under 256 MB.
const STRANGERS: usize = 32 * 1024 * 1024;
/// Bytes held for one stranger.
const ONE_STRANGER: usize = STRANGERS / 4;
/// Bytes held for all known peers.
const KNOWN: usize = 96 * 1024 * 1024;
/// Bytes held for one known peer: a trunk may be all there is.
const ONE_KNOWN: usize = KNOWN / 4 * 3;

/// Is a source known to the switch, or anybody?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    /// On an access list, registered, a gateway, or in a running dialog.
    Known,
    /// Anybody else.
    Stranger,
}

/// Who is counted as one: an IPv4 address, or an IPv6 network of 64 bits, which one host has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source(u64);

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(u64::from(v4.to_bits())),
            IpAddr::V6(v6) => Self((v6.to_bits() >> 64) as u64),
        }
    }
}

/// On whose account something is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    pub(crate) standing: Standing,
    pub(crate) source: Source,
}

/// Bytes held. An account exists while it holds something, so the bytes bound their number, too.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: HashMap<Account, usize>,
    strangers: usize,
    known: usize,
}

impl Ledger {
    /// Is there room for so many more bytes?
    pub(crate) fn affords(&self, account: Account, bytes: usize) -> bool {
        let (all, most, most_of_one) = match account.standing {
            Standing::Known => (self.known, KNOWN, ONE_KNOWN),
            Standing::Stranger => (self.strangers, STRANGERS, ONE_STRANGER),
        };
        let own = self.accounts.get(&account).copied().unwrap_or(0);
        all.saturating_add(bytes) <= most && own.saturating_add(bytes) <= most_of_one
    }

    pub(crate) fn charge(&mut self, account: Account, bytes: usize) {
        *self.accounts.entry(account).or_default() += bytes;
        *self.all(account.standing) += bytes;
    }

    pub(crate) fn release(&mut self, account: Account, bytes: usize) {
        if let Some(own) = self.accounts.get_mut(&account) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                self.accounts.remove(&account);
            }
        }
        let all = self.all(account.standing);
        *all = all.saturating_sub(bytes);
    }

    /// Changes what is held to so many bytes.
    pub(crate) fn adjust(&mut self, account: Account, held: &mut usize, bytes: usize) {
        self.charge(account, bytes);
        self.release(account, *held);
        *held = bytes;
    }

    fn all(&mut self, standing: Standing) -> &mut usize {
        match standing {
            Standing::Known => &mut self.known,
            Standing::Stranger => &mut self.strangers,
        }
    }

    pub(crate) fn shrink(&mut self) {
        self.accounts.shrink_to(self.accounts.len().saturating_mul(2));
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.strangers, self.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(standing: Standing, n: u32) -> Account {
        Account { standing, source: Source::of(IpAddr::V4(n.into())) }
    }

    #[test]
    fn one_stranger_and_all_strangers_are_bounded_and_known_peers_are_not_touched() {
        let mut ledger = Ledger::default();
        let piece = 100_000;
        for n in 0..1000 {
            let one = account(Standing::Stranger, n / 200);
            if ledger.affords(one, piece) {
                ledger.charge(one, piece);
            }
        }
        assert!(!ledger.affords(account(Standing::Stranger, 0), piece), "one has its quarter");
        let (strangers, known) = ledger.held();
        assert!(strangers <= STRANGERS && strangers > STRANGERS - 2 * piece, "{strangers}");
        assert_eq!(known, 0);
        assert!(!ledger.affords(account(Standing::Stranger, 9_999), piece), "all of them");
        assert!(ledger.affords(account(Standing::Known, 0), piece));
    }

    #[test]
    fn what_is_released_is_forgotten() {
        let mut ledger = Ledger::default();
        let one = account(Standing::Stranger, 1);
        let mut held = 500;
        ledger.charge(one, held);
        ledger.adjust(one, &mut held, 20);
        assert_eq!((held, ledger.held()), (20, (20, 0)));
        ledger.release(one, held);
        assert_eq!(ledger.held(), (0, 0));
        assert!(ledger.accounts.is_empty());
    }

    #[test]
    fn one_network_is_one_source_whatever_it_sends_from() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
