//! What a proxy in front of us says about the client: the PROXY protocol (versions 1 and 2, as HAProxy specifies them)
//! and `X-Forwarded-For`. To be read from connections of trusted proxies only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BytesMut};
use thiserror::Error;

/// What a header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// A header of version 1 at most, bytes.
const MAX_LINE: usize = 107;
/// Addresses and other fields of version 2 at most, bytes.
const MAX_FIELDS: usize = 2048;

/// A header that began as one of the PROXY protocol and does not go on as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed PROXY protocol header")]
pub struct BadHeader;

/// What stands at the front of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// More bytes are needed to tell.
    Undecided,
    /// No PROXY header: the proxy does not send one.
    Absent,
    /// A header, taken off. Without an address the proxy speaks for itself (a health check).
    Client(Option<SocketAddr>),
}

/// Takes a PROXY header off the front of `buffer`, if there is one.
///
/// # Errors
/// When it begins like one and is none.
pub fn take_header(buffer: &mut BytesMut) -> Result<Front, BadHeader> {
    let starts = |pattern: &[u8]| {
        let length = buffer.len().min(pattern.len());
        buffer.get(..length) == pattern.get(..length)
    };
    if starts(SIGNATURE) {
        return if buffer.len() < SIGNATURE.len() {
            Ok(Front::Undecided)
        } else {
            version_2(buffer)
        };
    }
    if starts(b"PROXY ") {
        return version_1(buffer);
    }
    Ok(Front::Absent)
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 51000 443`
fn version_1(buffer: &mut BytesMut) -> Result<Front, BadHeader> {
    let Some(end) = buffer.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return if buffer.len() < MAX_LINE { Ok(Front::Undecided) } else { Err(BadHeader) };
    };
    let line = buffer.split_to(end + 1);
    let line =
        std::str::from_utf8(&line).map_err(|_| BadHeader)?.strip_suffix("\r\n").ok_or(BadHeader)?;
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Ok(Front::Client(None)),
        ["PROXY", "TCP4" | "TCP6", client, _, port, _] => {
            let ip: IpAddr = client.parse().map_err(|_| BadHeader)?;
            let port = port.parse().map_err(|_| BadHeader)?;
            Ok(Front::Client(Some(SocketAddr::new(ip, port))))
        }
        _ => Err(BadHeader),
    }
}

fn version_2(buffer: &mut BytesMut) -> Result<Front, BadHeader> {
    let at = |index: usize| buffer.get(SIGNATURE.len() + index).copied();
    let (Some(command), Some(family), Some(high), Some(low)) = (at(0), at(1), at(2), at(3)) else {
        return Ok(Front::Undecided);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || length > MAX_FIELDS {
        return Err(BadHeader);
    }
    let whole = SIGNATURE.len() + 4 + length;
    if buffer.len() < whole {
        return Ok(Front::Undecided);
    }
    let mut fields = buffer.split_to(whole);
    fields.advance(SIGNATURE.len() + 4);
    let client = match (command & 0xf, family >> 4) {
        // LOCAL: the proxy itself.
        (0, _) => None,
        (1, 1) if fields.len() >= 12 => {
            let ip = Ipv4Addr::from(fields.get_u32());
            fields.advance(4);
            Some(SocketAddr::new(ip.into(), fields.get_u16()))
        }
        (1, 2) if fields.len() >= 36 => {
            let ip = Ipv6Addr::from(fields.get_u128());
            fields.advance(16);
            Some(SocketAddr::new(ip.into(), fields.get_u16()))
        }
        (1, 0 | 3) => None,
        _ => return Err(BadHeader),
    };
    Ok(Front::Client(client))
}

/// The client among the addresses of `X-Forwarded-For`: the last one that is no trusted proxy. What stands before it the
/// client may have written itself.
pub fn forwarded_client(list: &str, is_proxy: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let addresses = list.rsplit(',').map(|text| {
        let text = text.trim();
        let bare = text.trim_start_matches('[').split(']').next().unwrap_or(text);
        text.parse::<SocketAddr>().map(|address| address.ip()).ok().or_else(|| bare.parse().ok())
    });
    // An entry that is no address ends what can be trusted.
    addresses.map_while(|address: Option<IpAddr>| address).find(|ip| !is_proxy(*ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> (Result<Front, BadHeader>, Vec<u8>) {
        for cut in 0..bytes.len().min(16) {
            let mut part = BytesMut::from(&bytes[..cut]);
            let front = take_header(&mut part);
            assert!(
                matches!(front, Ok(Front::Undecided | Front::Absent) | Err(_)),
                "{cut}: {front:?}"
            );
        }
        let mut buffer = BytesMut::from(bytes);
        (take_header(&mut buffer), buffer.to_vec())
    }

    fn client(text: &str) -> Result<Front, BadHeader> {
        Ok(Front::Client(Some(text.parse().unwrap())))
    }

    #[test]
    fn both_versions_name_the_client_and_leave_the_rest() {
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 51000 443\r\n\x16\x03";
        assert_eq!(told(line), (client("192.0.2.1:51000"), b"\x16\x03".to_vec()));
        let line = b"PROXY TCP6 2001:db8::1 ::1 5100 443\r\nGET";
        assert_eq!(told(line), (client("[2001:db8::1]:5100"), b"GET".to_vec()));
        let mut binary = SIGNATURE.to_vec();
        binary.extend(b"\x21\x11\0\x0f\xc0\0\x02\x01\xc0\0\x02\x02\xc7\x38\x01\xbb\x04\0\0GET");
        assert_eq!(told(&binary), (client("192.0.2.1:51000"), b"GET".to_vec()));
        let mut check = SIGNATURE.to_vec();
        check.extend(b"\x20\0\0\0");
        assert_eq!(told(&check).0, Ok(Front::Client(None)));
        assert_eq!(told(b"PROXY UNKNOWN\r\n").0, Ok(Front::Client(None)));
        assert_eq!(told(b"GET / HTTP/1.1\r\n").0, Ok(Front::Absent));
    }

    #[test]
    fn malformed_headers_are_refused() {
        let mut short = SIGNATURE.to_vec();
        short.extend(b"\x21\x11\0\x04\xc0\0\x02\x01");
        let mut huge = SIGNATURE.to_vec();
        huge.extend(b"\x21\x11\xff\xff");
        for bytes in [
            &b"PROXY TCP4 x y 1 2\r\n"[..],
            b"PROXY TCP4 192.0.2.1\r\n",
            b"PROXY \n",
            &[&b"PROXY "[..], &[b'a'; 200]].concat(),
            &short,
            &huge,
        ] {
            assert_eq!(told(bytes).0, Err(BadHeader), "{bytes:?}");
        }
    }

    #[test]
    fn only_what_trusted_proxies_added_counts() {
        let proxy = |ip: IpAddr| ip == IpAddr::from([10, 0, 0, 1]);
        let of = |list: &str| forwarded_client(list, proxy).map(|ip| ip.to_string());
        assert_eq!(of("203.0.113.9").as_deref(), Some("203.0.113.9"));
        assert_eq!(of("6.6.6.6, 203.0.113.9, 10.0.0.1").as_deref(), Some("203.0.113.9"));
        assert_eq!(of("203.0.113.9:5000, 10.0.0.1").as_deref(), Some("203.0.113.9"));
        assert_eq!(of("[2001:db8::1]").as_deref(), Some("2001:db8::1"));
        assert_eq!(of("1.2.3.4, nonsense, 10.0.0.1"), None);
        assert_eq!(of(""), None);
    }
}
