//! STUN messages (RFC 8489) as far as this side of the agent looks at them.

use ring::hmac;

/// Octets of the header.
const HEADER: usize = 20;
/// RFC 8489 §5.
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// What is combined with the checksum (RFC 8489 §14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;
/// Attributes of one message that are looked at.
const MOST_ATTRIBUTES: usize = 32;

/// Attributes by number.
mod attribute {
    pub(super) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(super) const USERNAME: u16 = 0x0006;
    pub(super) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(super) const PRIORITY: u16 = 0x0024;
    pub(super) const USE_CANDIDATE: u16 = 0x0025;
    pub(super) const SOFTWARE: u16 = 0x8022;
    pub(super) const FINGERPRINT: u16 = 0x8028;
    pub(super) const CONTROLLED: u16 = 0x8029;
    pub(super) const CONTROLLING: u16 = 0x802a;
}

/// The attributes of a message whose lengths add up: number and value. `None` for anything else.
fn attributes(message: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let (header, mut rest) = message.split_first_chunk::<HEADER>()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fits = header[0] < 4 && header[4..8] == COOKIE && length == rest.len();
    if !fits || !length.is_multiple_of(4) {
        return None;
    }
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let [n0, n1, l0, l1] = *head;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let value = after.get(..length)?;
        rest = after.get(length.next_multiple_of(4)..)?;
        if found.len() >= MOST_ATTRIBUTES {
            return None;
        }
        found.push((u16::from_be_bytes([n0, n1]), value));
    }
    Some(found)
}

/// Whether a datagram frames as a STUN message with integrity (RFC 5389 and later). Checks carry no MAPPED-ADDRESS; what does
/// is left alone.
pub fn is_message(datagram: &[u8]) -> bool {
    attributes(datagram).is_some_and(|found| {
        let has = |kind| found.iter().any(|(k, _)| *k == kind);
        has(attribute::MESSAGE_INTEGRITY) && !has(attribute::MAPPED_ADDRESS)
    })
}

/// A Binding request of ours as the reference writes it: user name, priority, software, role, in the controlling role
/// the nomination (each pair that works is nominated, the best of them wins), integrity, fingerprint. `None` for what is no
/// Binding request.
pub(super) fn dress(message: &[u8], password: &[u8]) -> Option<Vec<u8>> {
    use attribute::{
        CONTROLLED, CONTROLLING, FINGERPRINT, MESSAGE_INTEGRITY, PRIORITY, SOFTWARE, USE_CANDIDATE,
        USERNAME,
    };
    if !message.starts_with(&[0, 1]) {
        return None;
    }
    let found = attributes(message)?;
    let value = |kind: u16| found.iter().find(|(k, _)| *k == kind).map(|(_, value)| *value);
    let mut out = message.get(..HEADER)?.to_vec();
    let mut put = |kind: u16, value: &[u8]| {
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(4), 0);
    };
    put(USERNAME, value(USERNAME)?);
    put(PRIORITY, value(PRIORITY)?);
    put(SOFTWARE, concat!("ferroswitch ", env!("CARGO_PKG_VERSION")).as_bytes());
    match value(CONTROLLING) {
        Some(tie_breaker) => {
            put(CONTROLLING, tie_breaker);
            put(USE_CANDIDATE, &[]);
        }
        None => put(CONTROLLED, value(CONTROLLED)?),
    }
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password);
    set_length(&mut out, 24);
    let tag = hmac::sign(&key, &out);
    out.extend_from_slice(&[MESSAGE_INTEGRITY.to_be_bytes(), 20u16.to_be_bytes()].concat());
    out.extend_from_slice(tag.as_ref());
    set_length(&mut out, 8);
    let sum = crc32fast::hash(&out) ^ FINGERPRINT_XOR;
    out.extend_from_slice(&[FINGERPRINT.to_be_bytes(), 4u16.to_be_bytes()].concat());
    out.extend_from_slice(&sum.to_be_bytes());
    Some(out)
}

/// Sets the length field as if `more` octets followed.
fn set_length(message: &mut [u8], more: usize) {
    let length = (message.len() - HEADER + more) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_adds_up_is_a_message() {
        let mut good = [0, 1, 0, 24].to_vec();
        good.extend_from_slice(&COOKIE);
        good.extend_from_slice(&[0; 12]);
        good.extend_from_slice(&[0, 8, 0, 20]);
        good.extend_from_slice(&[0; 20]);
        assert!(is_message(&good));
        for n in 0..good.len() {
            assert!(!is_message(&good[..n]), "{n}");
        }
        let mut without = good.clone();
        without[21] = 9;
        assert!(!is_message(&without), "no integrity");
        let mut long = good.clone();
        long[23] = 21;
        assert!(!is_message(&long));
        let mut other = good;
        other[4] = 0;
        assert!(!is_message(&other), "another cookie");
    }
}
