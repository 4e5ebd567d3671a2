//! RFC 4475's messages and worse, at a running stack: whatever comes, the next caller is served.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sip::message::{Headers, Method};
use sip::stack::{Incoming, OutOfDialog, Stack, StackConfig, Transport};
use sip::uri::{NameAddr, Uri};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};

fn free() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A stack that answers everything it is handed.
async fn server() -> (Stack, SocketAddr, SocketAddr) {
    let listen = vec![(Transport::Udp, free()), (Transport::Tcp, free())];
    let (stack, mut incoming) = Stack::start(StackConfig::new(listen)).await.unwrap();
    tokio::spawn(async move {
        while let Some(what) = incoming.recv().await {
            match what {
                Incoming::Request(request) => request.respond(200, "", Headers::new(), None),
                Incoming::Invite(invite) => invite.respond(486, "", Headers::new(), None),
                Incoming::Disconnected(_) => {}
            }
        }
    });
    let [(_, udp), (_, tcp)] = stack.listening() else { panic!() };
    (stack.clone(), *udp, *tcp)
}

async fn is_served(at: SocketAddr, transport: Transport) {
    let (stack, _incoming) =
        Stack::start(StackConfig::new(vec![(transport, free())])).await.unwrap();
    let who = NameAddr::parse("<sip:probe@here.example>").unwrap();
    let uri = Uri::parse(&format!("sip:{at};transport={}", transport.as_param())).unwrap();
    let asked = stack.request(OutOfDialog::new(Method::Options, uri, who.clone(), who));
    assert_eq!(asked.await.unwrap().response.status, 200);
}

fn torture() -> Vec<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/torture/rfc4475");
    let mut all = Vec::new();
    for kind in ["valid", "invalid"] {
        let Ok(listing) = std::fs::read_dir(root.join(kind)) else {
            eprintln!("SKIPPED: no torture messages at {}", root.display());
            return all;
        };
        all.extend(listing.filter_map(|entry| std::fs::read(entry.ok()?.path()).ok()));
    }
    all
}

/// The torture messages, each also cut short, doubled and with bytes turned.
fn abuse() -> Vec<Vec<u8>> {
    let mut all = torture();
    all.push(b"INVITE sip:x@h SIP/2.0\r\nContent-Length: 99999999999\r\n\r\n".to_vec());
    all.push(vec![0xff; 60_000]);
    all.push(b"\r\n\r\n\r\n".to_vec());
    let mut more = Vec::new();
    for message in &all {
        more.push(message[..message.len() / 2].to_vec());
        more.push([message.as_slice(), message.as_slice()].concat());
        let mut turned = message.clone();
        turned.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x55);
        more.push(turned);
    }
    all.extend(more.into_iter().filter(|message| message.len() < 65_000));
    all
}

#[tokio::test]
async fn datagrams_of_any_kind_leave_the_stack_serving() {
    let (_stack, udp, _) = server().await;
    let socket = UdpSocket::bind(free()).await.unwrap();
    for message in abuse() {
        socket.send_to(&message, udp).await.unwrap();
    }
    is_served(udp, Transport::Udp).await;
}

#[tokio::test]
async fn streams_of_any_kind_leave_the_stack_serving() {
    let (_stack, _, tcp) = server().await;
    for message in abuse() {
        let mut stream = TcpStream::connect(tcp).await.unwrap();
        // The stack may hang up in the middle of it.
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.write_all(&message)).await;
    }
    is_served(tcp, Transport::Tcp).await;
}
