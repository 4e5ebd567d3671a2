//! Takes a peer's records apart and hands them on a whole flight at a time.
//!
//! The engine behind it stops its retransmission timer at the first record of a flight and does not start it again
//! while the flight is incomplete: under loss both sides would wait without end. Here a flight waits until all of it
//! has come, so that whatever the engine is given lets it go on. Messages are put together from whatever parts they
//! came in; the engine knows none that overlap. What does not frame, repeats an earlier flight, or exceeds the limits is
//! dropped before the engine sees it.

use std::collections::VecDeque;

use super::Role;

/// Octets of a record's header (RFC 6347 §4.1).
const RECORD_HEADER: usize = 13;
/// Octets of a handshake message's header (RFC 6347 §4.2.2).
const MESSAGE_HEADER: usize = 12;
/// Messages of one flight; the longest has six.
const MOST_MESSAGES: usize = 12;
/// Parts a message may come in.
const MOST_PARTS: usize = 64;
/// Octets of one flight that are kept.
const MOST_OCTETS: usize = 24 * 1024;
/// Longest handshake message.
const MOST_MESSAGE: u32 = 12 * 1024;
/// Longest encrypted record kept: a Finished has some sixty octets.
const MOST_ENCRYPTED: usize = 512;
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
pub(super) struct Framing<'a> {
    kind: u8,
    epoch: u16,
    /// Header and content.
    whole: &'a [u8],
}

impl<'a> Framing<'a> {
    /// Takes the first record off a datagram; `None` when none is whole (RFC 6347 §4.1.2.7: dropped in silence).
    fn next(datagram: &mut &'a [u8]) -> Option<Self> {
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
    /// Takes the first fragment and its octets off a record's content.
    fn next<'a>(content: &mut &'a [u8]) -> Option<(Self, &'a [u8])> {
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
        let (whole, rest) = content.split_at_checked(MESSAGE_HEADER + fragment.len as usize)?;
        *content = rest;
        Some((fragment, whole.get(MESSAGE_HEADER..)?))
    }
}

/// A handshake message of which parts are here.
#[derive(Debug, Default)]
struct Message {
    kind: u8,
    total: u32,
    body: Vec<u8>,
    /// What of `body` has come, from and to, in no order.
    parts: Vec<(u32, u32)>,
}

impl Message {
    /// Takes a part. Senders may cut a message another way when they send it again.
    fn take(&mut self, fragment: &Fragment, content: &[u8]) {
        if self.parts.is_empty() {
            (self.kind, self.total) = (fragment.kind, fragment.total);
        }
        let end = fragment.offset + fragment.len;
        let same = (self.kind, self.total) == (fragment.kind, fragment.total);
        let known = self.parts.contains(&(fragment.offset, end));
        if !same || known || self.parts.len() >= MOST_PARTS {
            return;
        }
        if self.body.len() < end as usize {
            self.body.resize(end as usize, 0);
        }
        if let Some(room) = self.body.get_mut(fragment.offset as usize..end as usize) {
            room.copy_from_slice(content);
        }
        self.parts.push((fragment.offset, end));
    }

    fn is_whole(&self) -> bool {
        let mut covered = 0;
        if self.parts.is_empty() {
            return false;
        }
        while covered < self.total {
            let on = self.parts.iter().filter(|(from, to)| *from <= covered && *to > covered);
            let Some(end) = on.map(|(_, to)| *to).max() else { return false };
            covered = end;
        }
        true
    }
}

/// The flights of one peer. See the module's description.
#[derive(Debug)]
pub(super) struct Gate {
    role: Role,
    /// Number of the peer's next handshake message.
    next: u16,
    /// Its last flight is the one we wait for.
    last: bool,
    /// Messages from `next` on.
    messages: Vec<Message>,
    change_cipher_spec: bool,
    /// Encrypted records, as they came.
    encrypted: VecDeque<Vec<u8>>,
    /// Numbers of the unencrypted records handed on: the engine sees each once.
    sequence: u32,
    late: u32,
}

impl Gate {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            next: 0,
            last: false,
            messages: Vec::new(),
            change_cipher_spec: false,
            encrypted: VecDeque::new(),
            sequence: 0,
            late: 0,
        }
    }

    /// Whether anything has come of the peer.
    pub(super) fn is_untouched(&self) -> bool {
        self.next == 0 && self.messages.iter().all(|message| message.parts.is_empty())
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
            match (record.kind, record.epoch) {
                (kind::ALERT, 0) => self.put(&mut pass, kind::ALERT, record.content()),
                (kind::ALERT, 1) => pass.extend_from_slice(record.whole),
                (kind::CHANGE_CIPHER_SPEC, 0) => self.change_cipher_spec = true,
                (kind::HANDSHAKE, 0) => self.handshake(record.content(), &mut pass),
                (kind::HANDSHAKE, 1) if record.whole.len() <= MOST_ENCRYPTED => {
                    // The newest is as good as any, should its sender have begun anew.
                    if self.encrypted.len() >= 2 {
                        self.encrypted.pop_front();
                    }
                    self.encrypted.push_back(record.whole.to_vec());
                }
                _ => {}
            }
        }
        if self.is_whole() {
            self.release(&mut pass);
        }
        pass
    }

    /// Takes the fragments of a record; of one that does not frame, none.
    fn handshake(&mut self, content: &[u8], pass: &mut Vec<u8>) {
        let mut rest = content;
        let mut fragments = Vec::new();
        while !rest.is_empty() {
            let Some(found) = Fragment::next(&mut rest) else { return };
            fragments.push(found);
        }
        for (fragment, body) in fragments {
            // The first ClientHello again: our HelloVerifyRequest was lost, and has no timer (RFC 6347 §4.2.4).
            let again = self.role == Role::Server && self.next == 1 && fragment.seq == 0;
            if again && fragment.kind == kind::CLIENT_HELLO && fragment.len == fragment.total {
                self.put(pass, kind::HANDSHAKE, content);
            }
            let Some(ahead) = fragment.seq.checked_sub(self.next).map(usize::from) else {
                continue;
            };
            let octets: usize = self.messages.iter().map(|message| message.body.len()).sum();
            let end = (fragment.offset + fragment.len) as usize;
            if ahead >= MOST_MESSAGES || octets + end > MOST_OCTETS {
                continue;
            }
            while self.messages.len() <= ahead {
                self.messages.push(Message::default());
            }
            if let Some(message) = self.messages.get_mut(ahead) {
                message.take(&fragment, body);
            }
        }
    }

    /// Whether all of a flight is here.
    fn is_whole(&self) -> bool {
        let finished = self.change_cipher_spec && !self.encrypted.is_empty();
        let Some(last) = self.whole().last() else { return self.last && finished };
        match self.role {
            Role::Client if self.last => finished,
            Role::Client => {
                matches!(last.kind, kind::HELLO_VERIFY_REQUEST | kind::SERVER_HELLO_DONE)
            }
            Role::Server if last.kind == kind::CLIENT_HELLO => true,
            Role::Server => finished && self.is_proven(last.kind),
        }
    }

    /// Whether a client's last flight, which ends with a message of that kind, has all its messages.
    fn is_proven(&self, last: u8) -> bool {
        let shows = |m: &Message| m.kind == kind::CERTIFICATE && m.total > NO_CERTIFICATE;
        match last {
            kind::CERTIFICATE_VERIFY => true,
            kind::CLIENT_KEY_EXCHANGE => !self.whole().any(shows),
            _ => false,
        }
    }

    /// The messages that are whole, without a gap.
    fn whole(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().take_while(|message| message.is_whole())
    }

    /// Hands on all that is there: messages in order and in one piece each, the change of the cipher, what is encrypted.
    fn release(&mut self, pass: &mut Vec<u8>) {
        let count = self.whole().count();
        self.last |= self.role == Role::Client
            && self.whole().last().is_some_and(|m| m.kind == kind::SERVER_HELLO_DONE);
        for message in std::mem::take(&mut self.messages).into_iter().take(count) {
            let total = message.total.to_be_bytes();
            let mut content = vec![message.kind];
            content.extend_from_slice(&total[1..]);
            content.extend_from_slice(&self.next.to_be_bytes());
            content.extend_from_slice(&[0; 3]);
            content.extend_from_slice(&total[1..]);
            content.extend_from_slice(&message.body);
            self.put(pass, kind::HANDSHAKE, &content);
            self.next = self.next.saturating_add(1);
        }
        if std::mem::take(&mut self.change_cipher_spec) {
            self.put(pass, kind::CHANGE_CIPHER_SPEC, &[1]);
        }
        self.encrypted.drain(..).for_each(|record| pass.extend_from_slice(&record));
    }

    /// Puts an unencrypted record together.
    fn put(&mut self, pass: &mut Vec<u8>, kind: u8, content: &[u8]) {
        pass.extend_from_slice(&[kind, 254, 253, 0, 0, 0, 0]);
        pass.extend_from_slice(&self.sequence.to_be_bytes());
        pass.extend_from_slice(&(content.len() as u16).to_be_bytes());
        pass.extend_from_slice(content);
        self.sequence = self.sequence.wrapping_add(1);
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

    /// Kinds and lengths of what is handed on, handshake messages by their own kind.
    fn kinds(mut records: &[u8]) -> Vec<(u8, usize)> {
        let mut found = Vec::new();
        while let Some(record) = Framing::next(&mut records) {
            let plain = record.kind == kind::HANDSHAKE && record.epoch == 0;
            let kind = if plain { record.content()[0] } else { record.kind };
            found.push((kind, record.content().len()));
        }
        found
    }

    #[test]
    fn a_flight_waits_until_all_of_it_is_here_and_is_put_in_order() {
        let mut gate = Gate::new(Role::Client);
        assert_eq!(kinds(&gate.take(&message(kind::HELLO_VERIFY_REQUEST, 0, 9), false)), [(3, 21)]);
        let hello = message(2, 1, 20);
        let done = message(kind::SERVER_HELLO_DONE, 3, 0);
        assert!(gate.take(&done, false).is_empty());
        assert!(gate.take(&fragment(11, 2, 40, 20, 20), false).is_empty());
        assert!(gate.take(&hello, false).is_empty());
        assert!(gate.take(&hello, false).is_empty(), "the same again");
        assert!(gate.take(&fragment(11, 2, 40, 0, 15), false).is_empty());
        // Cut another way the second time.
        let flight = gate.take(&fragment(11, 2, 40, 10, 25), false);
        assert_eq!(kinds(&flight), [(2, 32), (11, 52), (14, 12)]);
        let body: Vec<u8> = (0..40).collect();
        assert!(flight.windows(40).any(|part| part == body), "as it was");
        assert!(gate.take(&hello, false).is_empty(), "of an earlier flight");
        let change = record(kind::CHANGE_CIPHER_SPEC, 0, &[1]);
        let finished = record(kind::HANDSHAKE, 1, &[7; 40]);
        assert!(gate.take(&finished, false).is_empty());
        assert_eq!(kinds(&gate.take(&change, false)), [(20, 1), (22, 40)]);
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
            &record(kind::HANDSHAKE, 0, &[]),
            &record(23, 0, &[0; 40]),
        ] {
            assert!(gate.take(bad, false).is_empty(), "{bad:?}");
        }
        assert!(gate.is_untouched());
        for n in 0..=u8::MAX {
            for seq in 0..=u8::MAX {
                gate.take(&fragment(11, seq, u8::MAX, n, u8::from(n < u8::MAX)), false);
                gate.take(&record(kind::HANDSHAKE, 1, &[n; 300]), false);
            }
        }
        let octets: usize = gate.messages.iter().map(|m| m.body.len()).sum();
        assert!(gate.messages.len() <= MOST_MESSAGES && octets <= MOST_OCTETS, "{octets}");
        assert!(gate.messages.iter().all(|m| m.parts.len() <= MOST_PARTS));
        assert!(gate.encrypted.len() <= 2);
        let late = record(kind::HANDSHAKE, 1, &[0; 40]);
        let passed = (0..1000).filter(|_| !gate.take(&late, true).is_empty()).count();
        assert!(passed <= MOST_LATE as usize, "{passed}");
    }
}
