//! Copies of all messages for a capture server (HEP version 3), as Homer and its kin take them.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use sip::stack::{Direction, Path, Transport};

/// Says that a message is SIP.
const SIP: u8 = 1;

/// Where copies go, and who says they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    server: String,
    id: u32,
}

impl Target {
    /// Reads `udp:HOST:PORT;hep=3;capture_id=100`. Other versions of the protocol are not spoken.
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(';').map(str::trim);
        let address = parts.next().unwrap_or_default();
        let server = address.strip_prefix("udp:").unwrap_or(address);
        if !server.contains(':') {
            return Err(format!("{text}: udp:HOST:PORT is wanted"));
        }
        let mut id = 0;
        for part in parts {
            match part.split_once('=') {
                Some(("hep", "3")) => {}
                Some(("hep", version)) => {
                    return Err(format!("{text}: HEP version {version} is not spoken, only 3"));
                }
                Some(("capture_id", number)) => {
                    id = number.parse().map_err(|_| format!("{text}: no number: {number}"))?;
                }
                _ => {}
            }
        }
        Ok(Self { server: server.to_owned(), id })
    }
}

/// The way to the capture server. Never waits: a copy that cannot go at once is left out.
#[derive(Debug)]
pub struct Capture {
    socket: UdpSocket,
    id: u32,
    /// The last trouble told, so that a server that is down fills no log.
    told: Mutex<Option<std::io::ErrorKind>>,
}

impl Capture {
    /// Opens the way. Looks names up, so not for the stack's task.
    ///
    /// # Errors
    /// A text that says what is wrong with the address.
    pub fn open(text: &str) -> Result<Self, String> {
        let Target { server, id } = Target::parse(text)?;
        let said = |error: std::io::Error| format!("{server}: {error}");
        let found = server.to_socket_addrs().map_err(said)?.next();
        let server_at = found.ok_or_else(|| format!("{server}: no address"))?;
        let any: SocketAddr = if server_at.is_ipv4() {
            (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let socket = UdpSocket::bind(any).map_err(said)?;
        socket.connect(server_at).map_err(said)?;
        socket.set_nonblocking(true).map_err(said)?;
        Ok(Self { socket, id, told: Mutex::new(None) })
    }

    /// Sends a copy.
    pub fn copy(&self, direction: Direction, path: &Path, bytes: &[u8]) {
        let (from, to) = match direction {
            Direction::Received => (path.remote, path.local),
            Direction::Sent => (path.local, path.remote),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stamp = (u32::try_from(now.as_secs()).unwrap_or(u32::MAX), now.subsec_micros());
        let packet = packet(self.id, path.transport, (from, to), stamp, bytes);
        let Some(packet) = packet else { return };
        let trouble = self.socket.send(&packet).err().map(|error| error.kind());
        let Ok(mut told) = self.told.lock() else { return };
        if trouble.is_some() && *told != trouble {
            tracing::warn!("Messages cannot be copied to the capture server: {trouble:?}");
        }
        *told = trouble;
    }
}

/// One message as a HEP3 packet; `None` when it is too long for one.
fn packet(
    id: u32,
    transport: Transport,
    (from, to): (SocketAddr, SocketAddr),
    (seconds, micros): (u32, u32),
    bytes: &[u8],
) -> Option<Vec<u8>> {
    let mut out = b"HEP3\0\0".to_vec();
    let mut put = |kind: u16, value: &[u8]| -> Option<()> {
        let length = u16::try_from(value.len() + 6).ok()?;
        out.extend_from_slice(&0u16.to_be_bytes());
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(value);
        Some(())
    };
    // Address family and protocol by the system's numbers for them.
    put(1, &[if from.is_ipv4() { 2 } else { 10 }])?;
    put(2, &[if transport == Transport::Udp { 17 } else { 6 }])?;
    for (kind, ip) in [(0u16, from.ip()), (1, to.ip())] {
        match ip {
            IpAddr::V4(ip) => put(3 + kind, &ip.octets())?,
            IpAddr::V6(ip) => put(5 + kind, &ip.octets())?,
        }
    }
    put(7, &from.port().to_be_bytes())?;
    put(8, &to.port().to_be_bytes())?;
    put(9, &seconds.to_be_bytes())?;
    put(10, &micros.to_be_bytes())?;
    put(11, &[SIP])?;
    put(12, &id.to_be_bytes())?;
    put(15, bytes)?;
    let length = u16::try_from(out.len()).ok()?;
    out.get_mut(4..6)?.copy_from_slice(&length.to_be_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_address_is_read_with_its_parameters() {
        let read = |text: &str| Target::parse(text);
        let target = Target { server: "127.0.0.1:9060".into(), id: 100 };
        assert_eq!(read("udp:127.0.0.1:9060;hep=3;capture_id=100"), Ok(target));
        assert_eq!(read("udp:homer.example:9060").map(|t| t.id), Ok(0));
        assert!(read("udp:homer.example").is_err());
        assert!(read("udp:homer.example:9060;hep=2").is_err());
    }

    #[test]
    fn a_message_becomes_a_packet_of_chunks() {
        let ends = ("192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5080".parse().unwrap());
        let made = packet(7, Transport::Udp, ends, (1, 2), b"OPTIONS").unwrap();
        assert_eq!(&made[..4], b"HEP3");
        assert_eq!(usize::from(u16::from_be_bytes([made[4], made[5]])), made.len());
        let mut chunks = Vec::new();
        let mut rest = &made[6..];
        while !rest.is_empty() {
            let kind = u16::from_be_bytes([rest[2], rest[3]]);
            let length = usize::from(u16::from_be_bytes([rest[4], rest[5]]));
            chunks.push((kind, rest[6..length].to_vec()));
            rest = &rest[length..];
        }
        let value = |kind: u16| chunks.iter().find(|(k, _)| *k == kind).unwrap().1.clone();
        assert_eq!((value(1), value(2)), (vec![2], vec![17]));
        assert_eq!((value(3), value(4)), (vec![192, 0, 2, 1], vec![192, 0, 2, 2]));
        assert_eq!((value(7), value(8)), (vec![0x13, 0xc4], vec![0x13, 0xd8]));
        assert_eq!((value(12), value(15)), (vec![0, 0, 0, 7], b"OPTIONS".to_vec()));
        assert_eq!(packet(0, Transport::Udp, ends, (0, 0), &[0; 65_530]), None);
    }
}
