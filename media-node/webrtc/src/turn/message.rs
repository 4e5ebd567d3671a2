//! STUN messages of TURN (RFC 8489, RFC 8656): written with long-term credentials, read with bounds.

use std::net::SocketAddr;

use base::stun_message as stun;
use md5::{Digest as _, Md5};
use ring::hmac;

pub(super) use stun::{HEADER, Message, TransactionId};

/// Methods, as the message type of a request.
pub(super) mod method {
    pub(in crate::turn) const ALLOCATE: u16 = 0x0003;
    pub(in crate::turn) const REFRESH: u16 = 0x0004;
    pub(in crate::turn) const CREATE_PERMISSION: u16 = 0x0008;
    pub(in crate::turn) const CHANNEL_BIND: u16 = 0x0009;
    /// An indication.
    pub(in crate::turn) const SEND: u16 = 0x0016;
    /// An indication.
    pub(in crate::turn) const DATA: u16 = 0x0017;
}

/// Bits of a type that make a response of a request.
const SUCCESS: u16 = 0x0100;
const FAILURE: u16 = 0x0110;

/// Attributes by number.
pub(super) mod attribute {
    #[cfg(test)]
    pub(in crate::turn) use base::stun_message::attribute::ERROR_CODE;
    pub(in crate::turn) use base::stun_message::attribute::{
        MESSAGE_INTEGRITY, NONCE, REALM, USERNAME,
    };

    pub(in crate::turn) const CHANNEL_NUMBER: u16 = 0x000c;
    pub(in crate::turn) const LIFETIME: u16 = 0x000d;
    pub(in crate::turn) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(in crate::turn) const DATA: u16 = 0x0013;
    pub(in crate::turn) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub(in crate::turn) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub(in crate::turn) const REQUESTED_TRANSPORT: u16 = 0x0019;
}

/// What a server demands of requests, and the key made for it.
#[derive(Clone)]
pub(super) struct Challenge {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: hmac::Key,
}

impl Challenge {
    /// For the realm and the nonce of a 401 (RFC 8489 §9.2.2: MD5 of user, realm and password).
    pub(super) fn new(user: &str, password: &str, realm: &[u8], nonce: &[u8]) -> Self {
        let mut hash = Md5::new();
        for part in [user.as_bytes(), b":", realm, b":", password.as_bytes()] {
            hash.update(part);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &hash.finalize());
        Self { realm: realm.to_vec(), nonce: nonce.to_vec(), key }
    }

    /// The same realm with the nonce of a 438.
    pub(super) fn renewed(&self, nonce: &[u8]) -> Self {
        Self { nonce: nonce.to_vec(), ..self.clone() }
    }

    /// Whether a message carries the integrity this key gives it.
    pub(super) fn vouches_for(&self, message: &[u8]) -> bool {
        let Some(at) = integrity_at(message) else { return false };
        let (Some(signed), Some(tag)) = (message.get(..at), message.get(at + 4..at + 24)) else {
            return false;
        };
        let mut signed = signed.to_vec();
        stun::set_length(&mut signed, 24);
        hmac::verify(&self.key, &signed, tag).is_ok()
    }
}

/// Where the attribute of the integrity begins.
fn integrity_at(message: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        let head = message.get(at..)?.first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if u16::from_be_bytes([head[0], head[1]]) == attribute::MESSAGE_INTEGRITY {
            return (length == 20).then_some(at);
        }
        at += 4 + length.next_multiple_of(4);
    }
}

/// A message being written, which is signed in the end.
pub(super) struct Writer(stun::Writer);

impl Writer {
    pub(super) fn new(kind: u16, id: &TransactionId) -> Self {
        Self(stun::Writer::new(kind, id))
    }

    pub(super) fn put(self, kind: u16, value: &[u8]) -> Self {
        Self(self.0.put(kind, value))
    }

    pub(super) fn put_address(self, kind: u16, address: SocketAddr) -> Self {
        Self(self.0.put_address(kind, address))
    }

    /// The message, signed if there is a challenge to answer.
    pub(super) fn finish(self, user: &str, challenge: Option<&Challenge>) -> Vec<u8> {
        let Some(challenge) = challenge else { return self.0.finish() };
        let out = self
            .0
            .put(attribute::USERNAME, user.as_bytes())
            .put(attribute::REALM, &challenge.realm)
            .put(attribute::NONCE, &challenge.nonce)
            .counting(24);
        let tag = hmac::sign(&challenge.key, out.bytes());
        out.put(attribute::MESSAGE_INTEGRITY, tag.as_ref()).finish()
    }
}

/// Which response it is to a request of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Response {
    Success,
    Failure,
}

/// What a message is to a request of `method`.
pub(super) fn response_to(message: &Message<'_>, method: u16) -> Option<Response> {
    match message.kind {
        kind if kind == method | SUCCESS => Some(Response::Success),
        kind if kind == method | FAILURE => Some(Response::Failure),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_is_vouched_for() {
        let challenge = Challenge::new("user", "secret", b"realm", b"nonce");
        let peers = ["192.0.2.1:4000", "[2001:db8::7]:5000"];
        for peer in peers.map(|peer| peer.parse::<SocketAddr>().unwrap()) {
            let bytes = Writer::new(method::CREATE_PERMISSION, &[7; 12])
                .put_address(attribute::XOR_PEER_ADDRESS, peer)
                .finish("user", Some(&challenge));
            let message = Message::parse(&bytes).unwrap();
            assert_eq!((message.kind, message.id), (method::CREATE_PERMISSION, [7; 12]));
            assert_eq!(message.address(attribute::XOR_PEER_ADDRESS), Some(peer));
            assert_eq!(message.get(attribute::REALM), Some(&b"realm"[..]));
            assert!(challenge.vouches_for(&bytes));
            let other = Challenge::new("user", "wrong", b"realm", b"nonce");
            assert!(!other.vouches_for(&bytes));
            for n in 0..bytes.len() {
                let mut bent = bytes.clone();
                bent[n] ^= 1;
                // The length is not vouched for: it must be right for the message to be read at all.
                let taken = Message::parse(&bent).is_some() && challenge.vouches_for(&bent);
                assert!(!taken, "octet {n}");
                assert!(Message::parse(&bytes[..n]).is_none(), "{n} octets");
            }
        }
    }

    #[test]
    fn the_key_is_that_of_the_rfcs_example() {
        // RFC 8489 §9.2.2: user:realm:pass.
        let hash = Md5::digest(b"user:realm:pass");
        let expected = [
            0x84, 0x93, 0xfb, 0xc5, 0x3b, 0xa5, 0x82, 0xfb, 0x4c, 0x04, 0x4c, 0x45, 0x6b, 0xdc,
            0x40, 0xeb,
        ];
        assert_eq!(hash.as_slice(), expected);
    }
}
