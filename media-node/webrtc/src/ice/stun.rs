//! Connectivity checks as this side of the agent looks at them: STUN messages (RFC 8489) with keys.

use base::stun_message::{BINDING_REQUEST, Writer, attribute, attributes};
use ring::hmac;

/// What is combined with the checksum (RFC 8489 §14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;
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
    let id = message.get(8..)?.first_chunk()?;
    let software = concat!("ferroswitch ", env!("CARGO_PKG_VERSION")).as_bytes();
    let out = Writer::new(BINDING_REQUEST, id)
        .put(USERNAME, value(USERNAME)?)
        .put(PRIORITY, value(PRIORITY)?)
        .put(SOFTWARE, software);
    let out = match value(CONTROLLING) {
        Some(tie_breaker) => out.put(CONTROLLING, tie_breaker).put(USE_CANDIDATE, &[]),
        None => out.put(CONTROLLED, value(CONTROLLED)?),
    };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password);
    let out = out.counting(24);
    let tag = hmac::sign(&key, out.bytes());
    let out = out.put(MESSAGE_INTEGRITY, tag.as_ref()).counting(8);
    let sum = crc32fast::hash(out.bytes()) ^ FINGERPRINT_XOR;
    Some(out.put(FINGERPRINT, &sum.to_be_bytes()).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::stun_message::COOKIE;

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
