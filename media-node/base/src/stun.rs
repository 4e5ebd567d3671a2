//! Asking a STUN server (RFC 8489) which address it sees us at.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::stun_message::{
    BINDING_REQUEST, BINDING_SUCCESS, Message, TransactionId, Writer, attribute,
};

/// The port meant when none is written.
pub const PORT: u16 = 3478;
/// Times the question is asked.
const TRIES: u32 = 5;
/// Wait for the first answer; doubled each time (RFC 8489 §6.2.1).
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Our address as `host[:port]` sees it, asked from `local`.
///
/// # Errors
/// A text that says what went wrong.
pub async fn public_address(server: &str, local: SocketAddr) -> Result<SocketAddr, String> {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => {
            (host, port.parse().ok().filter(|port| *port > 0).unwrap_or(PORT))
        }
        _ => (server, PORT),
    };
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| error.to_string())?;
    let server = found
        .into_iter()
        .find(|address| address.is_ipv4() == local.is_ipv4())
        .ok_or("no address of the server in our family")?;
    let socket = UdpSocket::bind(local).await.map_err(|error| error.to_string())?;
    socket.connect(server).await.map_err(|error| error.to_string())?;
    let id = transaction()?;
    let request = request(&id);
    let mut wait = FIRST_WAIT;
    for _ in 0..TRIES {
        socket.send(&request).await.map_err(|error| error.to_string())?;
        if let Ok(answer) = tokio::time::timeout(wait, answer(&socket, &id)).await {
            return answer;
        }
        wait *= 2;
    }
    Err("no answer".into())
}

async fn answer(socket: &UdpSocket, id: &TransactionId) -> Result<SocketAddr, String> {
    let mut buffer = [0u8; 1024];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(|error| error.to_string())?;
        // Not a response to our request: ignored.
        if let Some(address) = buffer.get(..length).and_then(|bytes| parse(bytes, id)) {
            return Ok(address);
        }
    }
}

fn transaction() -> Result<TransactionId, String> {
    let mut id = [0u8; 12];
    getrandom::fill(&mut id).map_err(|error| error.to_string())?;
    Ok(id)
}

/// A binding request.
pub fn request(id: &TransactionId) -> Vec<u8> {
    Writer::new(BINDING_REQUEST, id).finish()
}

/// The address in a success response to our request.
pub fn parse(message: &[u8], id: &TransactionId) -> Option<SocketAddr> {
    let message = Message::parse(message)?;
    if message.kind != BINDING_SUCCESS || message.id != *id {
        return None;
    }
    // Servers older than RFC 5389 know only the plain one; routers like to rewrite it.
    let masked = message.address(attribute::XOR_MAPPED_ADDRESS);
    masked.or_else(|| message.plain_address(attribute::MAPPED_ADDRESS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transaction of RFC 5769's sample messages.
    const ID: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    fn success(attributes: &[u8]) -> Vec<u8> {
        let mut out = request(&ID);
        out[..2].copy_from_slice(&BINDING_SUCCESS.to_be_bytes());
        out[2..4].copy_from_slice(&(attributes.len() as u16).to_be_bytes());
        out.extend_from_slice(attributes);
        out
    }

    #[test]
    fn the_rfcs_sample_address_is_read() {
        // XOR-MAPPED-ADDRESS of RFC 5769 §2.2: 192.0.2.1 port 32853.
        let v4 = [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        assert_eq!(parse(&success(&v4), &ID), Some("192.0.2.1:32853".parse().unwrap()));
        let mapped = [0, 1, 0, 8, 0, 1, 0x13, 0xc4, 203, 0, 113, 9];
        assert_eq!(parse(&success(&mapped), &ID), Some("203.0.113.9:5060".parse().unwrap()));
        let both = [&mapped[..], &v4[..]].concat();
        assert_eq!(parse(&success(&both), &ID), Some("192.0.2.1:32853".parse().unwrap()));
    }

    #[test]
    fn what_is_cut_short_or_foreign_is_no_answer() {
        let v4 = [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        let whole = success(&v4);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length], &ID), None, "{length}");
        }
        assert_eq!(parse(&whole, &[0; 12]), None);
        assert_eq!(parse(&request(&ID), &ID), None);
    }
}
