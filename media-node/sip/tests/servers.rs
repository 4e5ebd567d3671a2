//! Servers found by name: a name server of our own on loopback, and carriers of which the first is out of order.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use sip::message::{Headers, Method};
use sip::stack::{
    DnsOptions, DnsResolver, Incoming, OutOfDialog, RequestError, Resolve, Stack, StackConfig,
    Transport,
};
use sip::uri::{NameAddr, Uri};

fn free() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A name server for one zone; ends with the test process.
fn name_server(zone: Vec<(&'static str, RData)>) -> SocketAddr {
    let socket = UdpSocket::bind(free()).unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0u8; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let Ok(mut message) = Message::from_vec(&buffer[..length]) else { continue };
            let Some(question) = message.queries.first().cloned() else { continue };
            message.metadata.message_type = MessageType::Response;
            message.metadata.recursion_available = true;
            message.additionals.clear();
            let wanted = question.name.to_ascii().trim_end_matches('.').to_lowercase();
            for (name, data) in &zone {
                if *name == wanted && data.record_type() == question.query_type {
                    let owner = question.name.clone();
                    message.add_answer(Record::from_rdata(owner, 60, data.clone()));
                }
            }
            if message.answers.is_empty() {
                message.metadata.response_code = ResponseCode::NXDomain;
            }
            socket.send_to(&message.to_vec().unwrap(), from).unwrap();
        }
    });
    at
}

fn srv(priority: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, 1, port, Name::from_ascii(target).unwrap()))
}

fn host() -> RData {
    RData::A(A(Ipv4Addr::LOCALHOST))
}

async fn carrier() -> u16 {
    let (stack, mut incoming) =
        Stack::start(StackConfig::new(vec![(Transport::Udp, free())])).await.unwrap();
    let port = stack.listening()[0].1.port();
    tokio::spawn(async move {
        let _running = stack;
        while let Some(Incoming::Request(request)) = incoming.recv().await {
            request.respond(200, "", Headers::new(), None);
        }
    });
    port
}

fn closed_port() -> u16 {
    UdpSocket::bind(free()).unwrap().local_addr().unwrap().port()
}

async fn options_to(name: &str, server: SocketAddr) -> Result<SocketAddr, RequestError> {
    let mut config = StackConfig::new(vec![(Transport::Udp, free())]);
    config.resolver = Some(Arc::new(DnsResolver::with_server(DnsOptions::default(), server)));
    let (stack, _incoming) = Stack::start(config).await.unwrap();
    let who = NameAddr::parse("<sip:probe@here.example>").unwrap();
    let uri = Uri::parse(&format!("sip:{name}")).unwrap();
    let reply = stack.request(OutOfDialog::new(Method::Options, uri, who.clone(), who)).await?;
    assert_eq!(reply.response.status, 200);
    Ok(reply.path.remote)
}

#[tokio::test]
async fn a_carrier_out_of_order_leads_to_the_next_of_its_servers() {
    let (dead, alive) = (closed_port(), carrier().await);
    let server = name_server(vec![
        ("_sip._udp.carrier.test", srv(20, alive, "two.carrier.test.")),
        ("_sip._udp.carrier.test", srv(10, dead, "one.carrier.test.")),
        ("one.carrier.test", host()),
        ("two.carrier.test", host()),
    ]);
    let answered = options_to("carrier.test", server).await.unwrap();
    assert_eq!(answered.port(), alive);
}

#[tokio::test]
async fn a_name_without_servers_is_a_host() {
    let server = name_server(vec![("host.carrier.test", host())]);
    let port = carrier().await;
    let answered = options_to(&format!("host.carrier.test:{port}"), server).await.unwrap();
    assert_eq!(answered.port(), port);
    let found = DnsResolver::with_server(DnsOptions::default(), server)
        .resolve("host.carrier.test".into(), None, None)
        .await
        .unwrap();
    assert_eq!(found, [(Transport::Udp, "127.0.0.1:5060".parse().unwrap())]);
}

#[tokio::test]
async fn a_name_nobody_knows_fails_the_request() {
    let server = name_server(Vec::new());
    let error = options_to("nowhere.carrier.test", server).await.unwrap_err();
    assert_eq!(error, RequestError::Unresolvable("nowhere.carrier.test".into()));
}

#[tokio::test]
async fn a_name_server_that_is_silent_is_not_waited_for_longer_than_a_call_may_hang() {
    let silent = UdpSocket::bind(free()).unwrap();
    let error = options_to("carrier.test", silent.local_addr().unwrap()).await.unwrap_err();
    assert_eq!(error, RequestError::Unresolvable("carrier.test".into()));
}
