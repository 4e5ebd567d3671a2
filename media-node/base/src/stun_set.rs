//! `stun-set`: asking a STUN server (RFC 5389) which address others see us at.
//!
//! One Binding request, repeated while no answer comes, all within a deadline. A server is asked once per load
//! whatever the number of directives that name it: without a network, only the first one waits.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::stun;
use crate::stun_message::TransactionId as Transaction;

/// How long all of it may take, the resolving of the name included.
const DEADLINE: Duration = Duration::from_secs(2);
/// Between two requests.
const RETRY: Duration = Duration::from_millis(250);

/// Answers `host[:port]` with our public IPv4 address, as the loader of the configuration wants it.
#[must_use]
pub fn asker() -> Arc<dyn Fn(&str) -> Option<String> + Send + Sync> {
    let known: Mutex<HashMap<String, Option<String>>> = Mutex::default();
    Arc::new(move |server| {
        if let Some(answer) = known.lock().get(server) {
            return answer.clone();
        }
        let answer = ask_in_time(server).map(|ip| ip.to_string());
        known.lock().insert(server.to_owned(), answer.clone());
        answer
    })
}

/// The resolver has no deadline, so a thread of its own waits for it.
fn ask_in_time(server: &str) -> Option<Ipv4Addr> {
    let until = Instant::now() + DEADLINE;
    let (send, receive) = mpsc::sync_channel(1);
    let server = server.to_owned();
    std::thread::spawn(move || {
        // Nothing listens any more when the deadline has passed.
        let _late = send.send(ask(&server, until));
    });
    receive.recv_timeout(DEADLINE).ok().flatten()
}

fn ask(server: &str, until: Instant) -> Option<Ipv4Addr> {
    let target = resolve(server)?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(target).ok()?;
    socket.set_read_timeout(Some(RETRY)).ok()?;
    let id = Transaction::try_from(uuid::Uuid::new_v4().as_bytes().get(..12)?).ok()?;
    let mut buffer = [0; 1500];
    while Instant::now() < until {
        // A refusal of an earlier request shows up here; the next one may still be answered.
        let _sent = socket.send(&stun::request(&id));
        if let Ok(length) = socket.recv(&mut buffer)
            && let Some(ip) = mapped(buffer.get(..length)?, id)
        {
            return Some(ip);
        }
    }
    None
}

fn resolve(server: &str) -> Option<SocketAddr> {
    let found = if server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        server.to_socket_addrs()
    } else {
        (server, stun::PORT).to_socket_addrs()
    };
    found.ok()?.find(SocketAddr::is_ipv4)
}

/// The IPv4 address a success response to our request reports.
fn mapped(reply: &[u8], id: Transaction) -> Option<Ipv4Addr> {
    match stun::parse(reply, &id)?.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun_message::{BINDING_SUCCESS, COOKIE, HEADER};

    const ID: Transaction = *b"abcdefghijkl";

    fn reply(attributes: &[&[u8]]) -> Vec<u8> {
        let body = attributes.concat();
        let mut out = BINDING_SUCCESS.to_be_bytes().to_vec();
        out.extend(u16::try_from(body.len()).unwrap_or(0).to_be_bytes());
        out.extend(COOKIE);
        out.extend(ID);
        out.extend(body);
        out
    }

    const SOFTWARE: &[u8] = b"\x80\x22\x00\x05hello\0\0\0";
    const MAPPED: &[u8] = b"\x00\x01\x00\x08\x00\x01\x12\x34\xcb\x00\x71\x09";
    /// 203.0.113.9 and the cookie, exclusive or.
    const XORED: &[u8] = b"\x00\x20\x00\x08\x00\x01\x12\x34\xea\x12\xd5\x4b";

    #[test]
    fn the_address_is_found_among_other_attributes() {
        let seen = Some(Ipv4Addr::new(203, 0, 113, 9));
        assert_eq!(mapped(&reply(&[SOFTWARE, XORED]), ID), seen);
        assert_eq!(mapped(&reply(&[MAPPED]), ID), seen);
        assert_eq!(mapped(&reply(&[SOFTWARE]), ID), None);
    }

    #[test]
    fn what_is_no_answer_to_us_is_not_taken_for_one() {
        let good = reply(&[SOFTWARE, XORED]);
        assert_eq!(mapped(&good, *b"ABCDEFGHIJKL"), None);
        for cut in 0..good.len() {
            assert_eq!(mapped(&good[..cut], ID), None, "{cut} bytes");
        }
        for at in 0..good.len() {
            let mut odd = good.clone();
            odd[at] ^= 0xff;
            let _answer = mapped(&odd, ID);
        }
    }

    #[test]
    fn a_server_is_asked_once_however_often_it_is_named() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let name = server.local_addr().expect("bound").to_string();
        let serving = std::thread::spawn(move || {
            let mut buffer = [0; 100];
            let (length, from) = server.recv_from(&mut buffer).expect("a request");
            let mut answer = reply(&[XORED]);
            answer[8..HEADER].copy_from_slice(&buffer[8..length]);
            server.send_to(&answer, from).expect("sent");
        });
        let ask = asker();
        assert_eq!(ask(&name).as_deref(), Some("203.0.113.9"));
        serving.join().expect("served");
        // The server is gone: this is remembered.
        assert_eq!(ask(&name).as_deref(), Some("203.0.113.9"));
    }
}
