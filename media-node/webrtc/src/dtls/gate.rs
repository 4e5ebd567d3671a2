//! Takes a peer's records apart and hands them on a whole flight at a time.
//!
//! The engine behind it stops its retransmission timer at the first record of a flight and does not start it again
//! while the flight is incomplete: under loss both sides would wait without end. Here a flight waits until all of it
//! has come, so that whatever the engine is given lets it go on. What does not frame, repeats an earlier flight, or
//! exceeds the limits is dropped before the engine sees it.

use super::Role;

/// Octets of a record's header (RFC 6347 §4.1).
const RECORD_HEADER: usize = 13;
/// Octets of a handshake message's header (RFC 6347 §4.2.2).
const MESSAGE_HEADER: usize = 12;
/// Records of one flight that are kept; a certificate chain in small fragments takes about forty.
const MOST_RECORDS: usize = 64;
/// Octets of one flight that are kept.
const MOST_OCTETS: usize = 32 * 1024;
/// Longest handshake message.
const MOST_MESSAGE: u32 = 16 * 1024;
/// Records passed on after the handshake: the peer repeats its last flight when ours was lost.
const MOST_LATE: u32 = 64;

/// Kinds of records and messages, as far as they are told apart.
mod kind {
    pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(super) const ALERT: u8 = 21;
    pub(super) const HANDSHAKE: u8 = 22;
    pub(super) const CLIENT_HELLO: u8 = 1;
    pub(super) const HELLO_VERIFY_REQUEST: u8 = 3;
    pub(super) const CERTIFICATE: u8 = 11;
    pub(super) const SERVER_HELLO_DONE: u8 = 14;
    pub(super) const CERTIFICATE_VERIFY: u8 = 15;
    pub(super) const CLIENT_KEY_EXCHANGE: u8 = 16;
}

/// Octets of a Certificate message that holds no certificate.
const NO_CERTIFICATE: u32 = 3;

/// One record of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing<'a> {
    kind: u8,
    epoch: u16,
    /// Header and content.
    whole: &'a [u8],
}

impl<'a> Framing<'a> {
    /// Takes the first record off a datagram; `None` when none is whole (RFC 6347 §4.1.2.7: dropped in silence).
    pub fn next(datagram: &mut &'a [u8]) -> Option<Self> {
        let header: &[u8; RECORD_HEADER] = datagram.first_chunk()?;
        let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let (kind, epoch) = (header[0], u16::from_be_bytes([header[3], header[4]]));
        // 254 is DTLS' major version; what begins with another is not for us.
        if header[1] != 254 {
            return None;
        }
        let (whole, rest) = datagram.split_at_checked(RECORD_HEADER + len)?;
        *datagram = rest;
        Some(Self { kind, epoch, whole })
    }

    fn content(&self) -> &'a [u8] {
        self.whole.get(RECORD_HEADER..).unwrap_or_default()
    }
}

/// A fragment of a handshake message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fragment {
    kind: u8,
    /// Octets of the whole message.
    total: u32,
    seq: u16,
    offset: u32,
    len: u32,
}

impl Fragment {
    /// Takes the first fragment off a record's content.
    fn next(content: &mut &[u8]) -> Option<Self> {
        let h: &[u8; MESSAGE_HEADER] = content.first_chunk()?;
        let three = |at: usize| u32::from_be_bytes([0, h[at], h[at + 1], h[at + 2]]);
        let fragment = Self {
            kind: h[0],
            total: three(1),
            seq: u16::from_be_bytes([h[4], h[5]]),
            offset: three(6),
            len: three(9),
        };
        let end = fragment.offset + fragment.len;
        let empty = fragment.len == 0 && fragment.total > 0;
        if fragment.total > MOST_MESSAGE || end > fragment.total || empty {
            return None;
        }
        let (_, rest) = content.split_at_checked(MESSAGE_HEADER + fragment.len as usize)?;
        *content = rest;
        Some(fragment)
    }
}

/// A record that waits for the rest of its flight.
#[derive(Debug)]
struct Held {
    whole: Vec<u8>,
    epoch: u16,
    /// Empty for what is encrypted, and for ChangeCipherSpec.
    fragments: Vec<Fragment>,
}

/// The flights of one peer. See the module's description.
#[derive(Debug)]
pub(super) struct Gate {
    role: Role,
    /// Number of the peer's next handshake message.
    next: u16,
    /// Its last flight is the one we wait for.
    last: bool,
    held: Vec<Held>,
    octets: usize,
    late: u32,
}

impl Gate {
    pub(super) fn new(role: Role) -> Self {
        Self { role, next: 0, last: false, held: Vec::new(), octets: 0, late: 0 }
    }

    /// Takes a datagram; returns what the engine is to read now. `complete` = its handshake is over.
    pub(super) fn take(&mut self, mut datagram: &[u8], complete: bool) -> Vec<u8> {
        let mut pass = Vec::new();
        while let Some(record) = Framing::next(&mut datagram) {
            if complete {
                self.late += 1;
                if self.late <= MOST_LATE && record.epoch <= 1 {
                    pass.extend_from_slice(record.whole);
                }
                continue;
            }
            match record.kind {
                kind::ALERT if record.epoch <= 1 => pass.extend_from_slice(record.whole),
                kind::CHANGE_CIPHER_SPEC if record.epoch == 0 => self.hold(&record, Vec::new()),
                kind::HANDSHAKE if record.epoch == 0 => self.handshake(&record, &mut pass),
                kind::HANDSHAKE if record.epoch == 1 => self.hold(&record, Vec::new()),
                _ => {}
            }
        }
        if self.is_whole() {
            self.release(&mut pass);
        }
        pass
    }

    fn handshake(&mut self, record: &Framing<'_>, pass: &mut Vec<u8>) {
        let mut content = record.content();
        let mut fragments = Vec::new();
        while let Some(fragment) = Fragment::next(&mut content) {
            fragments.push(fragment);
        }
        if !content.is_empty() || fragments.is_empty() {
            return;
        }
        // The first ClientHello again: our HelloVerifyRequest was lost, and has no timer (RFC 6347 §4.2.4).
        let first_again = |f: &Fragment| f.kind == kind::CLIENT_HELLO && f.seq == 0;
        if self.role == Role::Server && self.next == 1 && fragments.iter().all(first_again) {
            return pass.extend_from_slice(record.whole);
        }
        if fragments.iter().all(|f| f.seq < self.next) {
            return;
        }
        self.hold(record, fragments);
    }

    fn hold(&mut self, record: &Framing<'_>, fragments: Vec<Fragment>) {
        let same = |held: &Held| held.epoch == record.epoch && held.fragments == fragments;
        // What is encrypted cannot be told apart: the newest of it is as good as any.
        if let Some(at) = self.held.iter().position(same) {
            let old = self.held.swap_remove(at);
            self.octets -= old.whole.len();
        }
        if self.held.len() >= MOST_RECORDS || self.octets + record.whole.len() > MOST_OCTETS {
            return;
        }
        self.octets += record.whole.len();
        self.held.push(Held { whole: record.whole.to_vec(), epoch: record.epoch, fragments });
    }

    /// Whether all of a flight is here.
    fn is_whole(&self) -> bool {
        let finished = || {
            self.held.iter().any(|h| h.epoch == 0 && h.fragments.is_empty())
                && self.held.iter().any(|h| h.epoch == 1)
        };
        let Some(last) = self.messages().last() else { return self.last && finished() };
        match self.role {
            Role::Client if self.last => finished(),
            Role::Client => {
                matches!(last.kind, kind::HELLO_VERIFY_REQUEST | kind::SERVER_HELLO_DONE)
            }
            Role::Server if last.kind == kind::CLIENT_HELLO => true,
            Role::Server => finished() && self.is_proven(last.kind),
        }
    }

    /// Whether a client's last flight, which ends with a message of that kind, has all its messages.
    fn is_proven(&self, last: u8) -> bool {
        let shows = |f: Fragment| f.kind == kind::CERTIFICATE && f.total > NO_CERTIFICATE;
        match last {
            kind::CERTIFICATE_VERIFY => true,
            kind::CLIENT_KEY_EXCHANGE => !self.messages().any(shows),
            _ => false,
        }
    }

    /// The messages that are whole, from the next one on, without a gap.
    fn messages(&self) -> impl Iterator<Item = Fragment> {
        (self.next..self.next.saturating_add(MOST_RECORDS as u16))
            .map_while(|seq| self.message(seq))
    }

    /// The first fragment of a message all of which is here.
    fn message(&self, seq: u16) -> Option<Fragment> {
        let fragments = || self.held.iter().flat_map(|h| &h.fragments).filter(|f| f.seq == seq);
        let first = *fragments().find(|f| f.offset == 0)?;
        let mut covered = first.len;
        while covered < first.total {
            let on = fragments().filter(|f| f.offset <= covered && f.total == first.total);
            let end = on.map(|f| f.offset + f.len).max().filter(|end| *end > covered)?;
            covered = end;
        }
        Some(first)
    }

    /// Hands on all that is held: messages in order, then the change of the cipher, then what is encrypted.
    fn release(&mut self, pass: &mut Vec<u8>) {
        let count = self.messages().count() as u16;
        let last = self.messages().last();
        self.last |=
            self.role == Role::Client && last.is_some_and(|f| f.kind == kind::SERVER_HELLO_DONE);
        self.next += count;
        let mut held = std::mem::take(&mut self.held);
        self.octets = 0;
        held.sort_by_key(|h| {
            let place = h.fragments.first().map_or((u16::MAX, 0), |f| (f.seq, f.offset));
            (h.epoch, place)
        });
        held.iter().for_each(|h| pass.extend_from_slice(&h.whole));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, content: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 0];
        record.extend_from_slice(&(content.len() as u16).to_be_bytes());
        record.extend_from_slice(content);
        record
    }

    fn fragment(kind: u8, seq: u8, total: u8, offset: u8, len: u8) -> Vec<u8> {
        let mut message = vec![kind, 0, 0, total, 0, seq, 0, 0, offset, 0, 0, len];
        message.extend((0..len).map(|n| offset + n));
        record(kind::HANDSHAKE, 0, &message)
    }

    fn message(kind: u8, seq: u8, len: u8) -> Vec<u8> {
        fragment(kind, seq, len, 0, len)
    }

    #[test]
    fn a_flight_waits_until_all_of_it_is_here_and_is_put_in_order() {
        let mut gate = Gate::new(Role::Client);
        assert_eq!(gate.take(&message(kind::HELLO_VERIFY_REQUEST, 0, 9), false).len(), 34);
        let hello = message(2, 1, 20);
        let (front, back) = (fragment(11, 2, 40, 0, 25), fragment(11, 2, 40, 25, 15));
        let done = message(kind::SERVER_HELLO_DONE, 3, 0);
        assert!(gate.take(&done, false).is_empty());
        assert!(gate.take(&back, false).is_empty());
        assert!(gate.take(&hello, false).is_empty());
        assert!(gate.take(&hello, false).is_empty(), "the same again");
        assert_eq!(gate.take(&front, false), [hello.clone(), front, back, done].concat());
        assert!(gate.take(&hello, false).is_empty(), "of an earlier flight");
        let change = record(kind::CHANGE_CIPHER_SPEC, 0, &[1]);
        let finished = record(kind::HANDSHAKE, 1, &[7; 40]);
        assert!(gate.take(&finished, false).is_empty());
        assert_eq!(gate.take(&change, false), [change, finished].concat());
    }

    #[test]
    fn a_clients_last_flight_needs_its_proof_if_it_shows_a_certificate() {
        let change = record(kind::CHANGE_CIPHER_SPEC, 0, &[1]);
        let finished = record(kind::HANDSHAKE, 1, &[7; 40]);
        let end = [change, finished].concat();
        let mut gate = Gate::new(Role::Server);
        assert!(!gate.take(&message(kind::CLIENT_HELLO, 0, 50), false).is_empty());
        assert!(!gate.take(&message(kind::CLIENT_HELLO, 0, 50), false).is_empty(), "asks again");
        assert!(!gate.take(&message(kind::CLIENT_HELLO, 1, 70), false).is_empty());
        assert!(gate.take(&message(kind::CLIENT_HELLO, 1, 70), false).is_empty());
        assert!(gate.take(&message(kind::CERTIFICATE, 2, 90), false).is_empty());
        assert!(gate.take(&message(kind::CLIENT_KEY_EXCHANGE, 3, 30), false).is_empty());
        assert!(gate.take(&end, false).is_empty());
        assert!(!gate.take(&message(kind::CERTIFICATE_VERIFY, 4, 60), false).is_empty());

        let mut gate = Gate::new(Role::Server);
        gate.take(&message(kind::CLIENT_HELLO, 0, 50), false);
        gate.take(&message(kind::CERTIFICATE, 1, NO_CERTIFICATE as u8), false);
        gate.take(&message(kind::CLIENT_KEY_EXCHANGE, 2, 30), false);
        assert!(!gate.take(&end, false).is_empty());
    }

    #[test]
    fn what_does_not_frame_is_dropped_and_what_is_kept_has_a_bound() {
        let mut gate = Gate::new(Role::Server);
        for bad in [
            &b""[..],
            &[22; 12],
            &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1],
            &record(kind::HANDSHAKE, 0, &[1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 10]),
            &record(kind::HANDSHAKE, 0, &[1, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]),
            &record(kind::HANDSHAKE, 3, &[0; 40]),
            &record(23, 0, &[0; 40]),
        ] {
            assert!(gate.take(bad, false).is_empty(), "{bad:?}");
        }
        assert_eq!(gate.held.len(), 0);
        for n in 0..=u8::MAX {
            for seq in 1..=u8::MAX {
                gate.take(&fragment(11, seq, u8::MAX, n, u8::from(n < u8::MAX)), false);
            }
        }
        assert!(gate.held.len() <= MOST_RECORDS && gate.octets <= MOST_OCTETS);
        let late = record(kind::HANDSHAKE, 1, &[0; 40]);
        let passed = (0..1000).filter(|_| !gate.take(&late, true).is_empty()).count();
        assert!(passed <= MOST_LATE as usize, "{passed}");
    }
}
