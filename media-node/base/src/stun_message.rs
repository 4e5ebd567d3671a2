//! STUN messages (RFC 8489): their frame, their attributes, their addresses. What signs and checks them stands with those who have
//! keys (connectivity checks, TURN).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Octets of a message's header.
pub const HEADER: usize = 20;
/// The magic cookie of every message (RFC 8489 §5).
pub const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Attributes of one message that are looked at; a message with more is none.
const MAX_ATTRIBUTES: usize = 32;

/// Names a request and its response.
pub type TransactionId = [u8; 12];

/// Type of a Binding request.
pub const BINDING_REQUEST: u16 = 0x0001;
/// Type of the success response to a Binding request.
pub const BINDING_SUCCESS: u16 = 0x0101;

/// Attributes by number (RFC 8489 §18.3, RFC 8445 §16.1).
pub mod attribute {
    /// Where the request came from, as servers before RFC 5389 write it.
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    /// User name, or both fragments of a check.
    pub const USERNAME: u16 = 0x0006;
    /// Signature of what stands before it.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// Number and text of an error.
    pub const ERROR_CODE: u16 = 0x0009;
    /// Realm of long-term credentials.
    pub const REALM: u16 = 0x0014;
    /// Nonce of long-term credentials.
    pub const NONCE: u16 = 0x0015;
    /// Where the request came from.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// Priority of a candidate.
    pub const PRIORITY: u16 = 0x0024;
    /// Nominates a pair.
    pub const USE_CANDIDATE: u16 = 0x0025;
    /// Name of the program.
    pub const SOFTWARE: u16 = 0x8022;
    /// Checksum of what stands before it.
    pub const FINGERPRINT: u16 = 0x8028;
    /// Tie breaker of the controlled side.
    pub const CONTROLLED: u16 = 0x8029;
    /// Tie breaker of the controlling side.
    pub const CONTROLLING: u16 = 0x802a;
}

/// The attributes of a message whose lengths add up: number and value. `None` for anything else.
#[must_use]
pub fn attributes(message: &[u8]) -> Option<Vec<(u16, &[u8])>> {
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
        if found.len() >= MAX_ATTRIBUTES {
            return None;
        }
        found.push((u16::from_be_bytes([n0, n1]), value));
    }
    Some(found)
}

/// A message that was read; what it holds stays in the datagram.
#[derive(Clone, Debug)]
pub struct Message<'d> {
    /// Its type: method and class.
    pub kind: u16,
    /// Its transaction.
    pub id: TransactionId,
    attributes: Vec<(u16, &'d [u8])>,
}

impl<'d> Message<'d> {
    /// Reads a message whose lengths add up; `None` for anything else.
    #[must_use]
    pub fn parse(datagram: &'d [u8]) -> Option<Self> {
        let attributes = attributes(datagram)?;
        let kind = u16::from_be_bytes([*datagram.first()?, *datagram.get(1)?]);
        let id = *datagram.get(8..)?.first_chunk()?;
        Some(Self { kind, id, attributes })
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, kind: u16) -> Option<&'d [u8]> {
        self.attributes.iter().find(|(k, _)| *k == kind).map(|(_, value)| *value)
    }

    /// An address that is combined with the cookie and the transaction (RFC 8489 §14.2).
    #[must_use]
    pub fn address(&self, kind: u16) -> Option<SocketAddr> {
        address(self.get(kind)?, mask(&self.id))
    }

    /// An address that stands plain (RFC 8489 §14.1).
    #[must_use]
    pub fn plain_address(&self, kind: u16) -> Option<SocketAddr> {
        address(self.get(kind)?, [0; 16])
    }

    /// A number of 32 bits.
    #[must_use]
    pub fn number(&self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// The number of an error (RFC 8489 §14.8).
    #[must_use]
    pub fn error(&self) -> Option<u16> {
        let value = self.get(attribute::ERROR_CODE)?;
        let (class, number) = (value.get(2)? & 7, value.get(3)?);
        Some(u16::from(class) * 100 + u16::from(*number))
    }
}

/// A message being written.
#[derive(Clone, Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// A message of that type without attributes.
    #[must_use]
    pub fn new(kind: u16, id: &TransactionId) -> Self {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&COOKIE);
        out.extend_from_slice(id);
        Self(out)
    }

    /// Adds an attribute.
    #[must_use]
    pub fn put(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend_from_slice(&kind.to_be_bytes());
        self.0.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.counting(0)
    }

    /// Adds an address combined with the cookie and the transaction (RFC 8489 §14.2).
    #[must_use]
    pub fn put_address(self, kind: u16, address: SocketAddr) -> Self {
        let mut id = [0; 12];
        id.copy_from_slice(&self.0[8..HEADER]);
        self.put(kind, &masked(address, &id))
    }

    /// The length field says that `more` octets follow what is there: signatures and checksums are made over that.
    #[must_use]
    pub fn counting(mut self, more: usize) -> Self {
        set_length(&mut self.0, more);
        self
    }

    /// The message as far as it is written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The message.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Sets the length field of a message as if `more` octets followed it. What has no header stays as it is.
pub fn set_length(message: &mut [u8], more: usize) {
    let Some(length) = message.len().checked_sub(HEADER) else { return };
    let length = (length + more) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

fn mask(id: &TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE);
    mask[4..].copy_from_slice(id);
    mask
}

fn masked(address: SocketAddr, id: &TransactionId) -> Vec<u8> {
    let mask = mask(id);
    let (family, octets) = match address.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let port = address.port() ^ u16::from_be_bytes([mask[0], mask[1]]);
    let mut out = vec![0, family];
    out.extend_from_slice(&port.to_be_bytes());
    out.extend(octets.iter().zip(mask).map(|(octet, mask)| octet ^ mask));
    out
}

fn address(value: &[u8], mask: [u8; 16]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([*value.get(2)?, *value.get(3)?]);
    let port = port ^ u16::from_be_bytes([mask[0], mask[1]]);
    let plain: Vec<u8> =
        value.get(4..)?.iter().zip(mask).map(|(octet, mask)| octet ^ mask).collect();
    let ip: IpAddr = match (*value.get(1)?, plain.len()) {
        (1, 4) => Ipv4Addr::from(*plain.first_chunk::<4>()?).into(),
        (2, 16) => Ipv6Addr::from(*plain.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_what_is_cut_does_not() {
        for peer in ["192.0.2.1:4000", "[2001:db8::7]:5000"] {
            let peer: SocketAddr = peer.parse().unwrap();
            let whole = Writer::new(BINDING_SUCCESS, &[7; 12])
                .put_address(attribute::XOR_MAPPED_ADDRESS, peer)
                .put(attribute::SOFTWARE, b"hello")
                .put(attribute::PRIORITY, &7u32.to_be_bytes())
                .put(attribute::ERROR_CODE, &[0, 0, 4, 38])
                .finish();
            let message = Message::parse(&whole).unwrap();
            assert_eq!((message.kind, message.id), (BINDING_SUCCESS, [7; 12]));
            assert_eq!(message.address(attribute::XOR_MAPPED_ADDRESS), Some(peer));
            assert_eq!(message.get(attribute::SOFTWARE), Some(&b"hello"[..]));
            assert_eq!(
                (message.number(attribute::PRIORITY), message.error()),
                (Some(7), Some(438))
            );
            for n in 0..whole.len() {
                assert!(Message::parse(&whole[..n]).is_none(), "{n} octets");
            }
        }
    }

    #[test]
    fn a_message_of_very_many_attributes_is_none() {
        let many = |n| (0..n).fold(Writer::new(1, &[0; 12]), |w, _| w.put(6, b"x")).finish();
        assert!(attributes(&many(MAX_ATTRIBUTES)).is_some());
        assert!(attributes(&many(MAX_ATTRIBUTES + 1)).is_none());
    }
}
