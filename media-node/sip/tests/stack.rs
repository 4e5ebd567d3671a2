//! Two stacks over real loopback sockets.

use std::net::SocketAddr;

use base::queue::Receiver;
use sip::message::{Headers, Method, Name};
use sip::stack::{
    Arrivals, Body, Dialog, DialogEvent, Direction, Failure, Incoming, InviteSpec, OutOfDialog,
    Path, Peers, RequestError, Stack, StackConfig, Tls, Trace, Transport,
};
use sip::uri::{NameAddr, Uri};

fn free() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn stack(transport: Transport) -> (Stack, Arrivals, SocketAddr) {
    let mut config = StackConfig::new(vec![(transport, free())]);
    if transport == Transport::Tls {
        config.tls = Some(certificate());
    }
    let (stack, incoming) = Stack::start(config).await.unwrap();
    let at = stack.listening()[0].1;
    (stack, incoming, at)
}

fn certificate() -> Tls {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let pem = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    Tls::from_pem(pem.as_bytes()).unwrap()
}

fn spec(from: SocketAddr, to: SocketAddr, transport: Transport) -> InviteSpec {
    let uri = Uri::parse(&format!("sip:bob@{to};transport={}", transport.as_param())).unwrap();
    let contact =
        NameAddr::parse(&format!("<sip:alice@{from};transport={}>", transport.as_param())).unwrap();
    let mut spec = InviteSpec::new(uri, NameAddr::parse("<sip:alice@a.example>").unwrap(), contact);
    spec.body = Some(Body::sdp("v=0\r\n"));
    spec
}

fn contact(at: SocketAddr, transport: Transport) -> Headers {
    let mut headers = Headers::new();
    headers.push(Name::Contact, format!("<sip:bob@{at};transport={}>", transport.as_param()));
    headers
}

async fn next_call(incoming: &mut Arrivals) -> (Dialog, Receiver<DialogEvent>) {
    match incoming.recv().await {
        Some(Incoming::Invite(invite)) => invite.into_dialog(),
        other => panic!("{other:?}"),
    }
}

async fn whole_call(transport: Transport) {
    let (alice, _keep, a) = stack(transport).await;
    let (_bob, mut calls, b) = stack(transport).await;
    let (dialog, mut events) = alice.invite(spec(a, b, transport));
    let (answering, mut theirs) = next_call(&mut calls).await;
    answering.provisional(180, "", contact(b, transport), None);
    assert!(matches!(events.recv().await, Some(DialogEvent::Provisional(r)) if r.status == 180));
    answering.answer(contact(b, transport), Some(Body::sdp("v=0\r\n")));
    assert!(
        matches!(events.recv().await, Some(DialogEvent::Answered(r)) if &r.body[..] == b"v=0\r\n")
    );
    assert!(matches!(theirs.recv().await, Some(DialogEvent::Acked(_))));

    let info = dialog.request(Method::Info, Headers::new(), Some(Body::new("text/plain", "hello")));
    let Some(DialogEvent::Info(request)) = theirs.recv().await else { panic!() };
    answering.respond(request.id, 200, "", Headers::new(), None);
    assert_eq!(info.await.unwrap().status, 200);
    assert_eq!(dialog.info().unwrap().local_tag, request.request.headers.from_tag().unwrap());

    answering.bye(Headers::new());
    assert!(matches!(events.recv().await, Some(DialogEvent::Bye(_))));
    assert!(events.recv().await.is_none());
    assert!(matches!(theirs.recv().await, Some(DialogEvent::Terminated(_))));
}

#[tokio::test]
async fn a_call_over_udp() {
    whole_call(Transport::Udp).await;
}

#[tokio::test]
async fn a_call_over_tcp() {
    whole_call(Transport::Tcp).await;
}

#[tokio::test]
async fn a_call_over_tls() {
    whole_call(Transport::Tls).await;
}

#[tokio::test]
async fn tls_without_a_certificate_is_refused_at_start() {
    let error = Stack::start(StackConfig::new(vec![(Transport::Tls, free())])).await.unwrap_err();
    assert_eq!(error.transport, Transport::Tls);
    assert!(Tls::from_pem(b"nothing").is_err());
}

#[tokio::test]
async fn a_call_is_cancelled_before_its_owner_takes_it_on() {
    let (alice, _keep, a) = stack(Transport::Udp).await;
    let (_bob, mut calls, b) = stack(Transport::Udp).await;
    let (dialog, mut events) = alice.invite(spec(a, b, Transport::Udp));
    let Some(Incoming::Invite(invite)) = calls.recv().await else { panic!() };
    invite.trying();
    dialog.cancel(Headers::new());
    let Some(DialogEvent::Failed(Failure::Rejected(response))) = events.recv().await else {
        panic!()
    };
    assert_eq!(response.status, 487);
    let (_late, mut theirs) = invite.into_dialog();
    assert!(matches!(theirs.recv().await, Some(DialogEvent::Cancelled(_))));
    assert!(theirs.recv().await.is_none());
}

#[tokio::test]
async fn handles_that_are_dropped_end_their_calls() {
    let (alice, _keep, a) = stack(Transport::Udp).await;
    let (_bob, mut calls, b) = stack(Transport::Udp).await;
    let (_first, mut events) = alice.invite(spec(a, b, Transport::Udp));
    drop(calls.recv().await);
    assert!(matches!(events.recv().await, Some(DialogEvent::Failed(f)) if f.status() == 480));
    let (second, mut events) = alice.invite(spec(a, b, Transport::Udp));
    let (answering, mut theirs) = next_call(&mut calls).await;
    answering.answer(contact(b, Transport::Udp), None);
    assert!(matches!(events.recv().await, Some(DialogEvent::Answered(_))));
    drop(second);
    assert!(matches!(theirs.recv().await, Some(DialogEvent::Acked(_))));
    assert!(matches!(theirs.recv().await, Some(DialogEvent::Bye(_))));
}

#[tokio::test]
async fn requests_outside_dialogs_are_answered() {
    let (alice, _keep, a) = stack(Transport::Udp).await;
    let (_bob, mut incoming, b) = stack(Transport::Udp).await;
    let who = NameAddr::parse(&format!("<sip:alice@{a}>")).unwrap();
    let uri = Uri::parse(&format!("sip:{b}")).unwrap();
    let asking = tokio::spawn({
        let alice = alice.clone();
        async move { alice.request(OutOfDialog::new(Method::Options, uri, who.clone(), who)).await }
    });
    let Some(Incoming::Request(request)) = incoming.recv().await else { panic!() };
    let tag = request.local_tag.clone();
    request.respond(200, "", Headers::new(), None);
    let reply = asking.await.unwrap().unwrap();
    assert_eq!((reply.response.status, reply.response.headers.to_tag()), (200, Some(tag.as_str())));
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let (_stack, _incoming, taken) = stack(Transport::Udp).await;
    let error = Stack::start(StackConfig::new(vec![(Transport::Udp, taken)])).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on UDP {taken}: ")), "{error}");
}

#[tokio::test]
async fn a_refused_connection_fails_the_call_with_its_reason() {
    let (alice, _keep, a) = stack(Transport::Tcp).await;
    let nobody = {
        let socket = std::net::TcpListener::bind(free()).unwrap();
        socket.local_addr().unwrap()
    };
    let (_dialog, mut events) = alice.invite(spec(a, nobody, Transport::Tcp));
    let Some(DialogEvent::Failed(Failure::NoResponse(error))) = events.recv().await else {
        panic!()
    };
    assert!(
        matches!(&error, RequestError::Transport { to, .. } if *to == nobody.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_stopped_stack_ends_its_calls() {
    let (alice, _keep, a) = stack(Transport::Udp).await;
    let (bob, mut calls, b) = stack(Transport::Udp).await;
    let (_dialog, mut events) = alice.invite(spec(a, b, Transport::Udp));
    let (answering, _theirs) = next_call(&mut calls).await;
    answering.answer(contact(b, Transport::Udp), None);
    assert!(matches!(events.recv().await, Some(DialogEvent::Answered(_))));
    bob.stop();
    assert!(matches!(events.recv().await, Some(DialogEvent::Bye(_))));
    assert!(calls.recv().await.is_none());
    let _ = answering;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_port_nobody_listens_at_fails_the_call_at_once() {
    let (alice, _keep, a) = stack(Transport::Udp).await;
    let nobody = {
        let socket = std::net::UdpSocket::bind(free()).unwrap();
        socket.local_addr().unwrap()
    };
    let (_dialog, mut events) = alice.invite(spec(a, nobody, Transport::Udp));
    let Some(DialogEvent::Failed(failure)) = events.recv().await else { panic!() };
    assert_eq!(failure.status(), 503);
    assert!(matches!(failure, Failure::NoResponse(RequestError::Transport { .. })));
}

/// A request as bytes.
fn options(call_id: &str) -> String {
    format!(
        "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{call_id}\r\nFrom: <sip:a@h>;tag=1\r\n\
         To: <sip:b@h>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A stack that answers every request with 200 until it is dropped.
async fn answering(mut config: StackConfig) -> (Stack, SocketAddr) {
    config.limits.strange_connections = 8;
    let (stack, mut incoming) = Stack::start(config).await.unwrap();
    let at = stack.listening()[0].1;
    tokio::spawn(async move {
        while let Some(incoming) = incoming.recv().await {
            if let Incoming::Request(request) = incoming {
                request.respond(200, "", Headers::new(), None);
            }
        }
    });
    (stack, at)
}

async fn all_that_comes(mut wire: impl tokio::io::AsyncRead + Unpin) -> String {
    use tokio::io::AsyncReadExt;
    let mut text = Vec::new();
    let read = wire.read_to_end(&mut text);
    let end = tokio::time::timeout(std::time::Duration::from_secs(20), read).await;
    assert!(end.is_ok(), "the connection stays open");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_request_before_garbage_and_before_the_end_of_the_stream_is_answered() {
    use tokio::io::AsyncWriteExt;
    let (_stack, at) = answering(StackConfig::new(vec![(Transport::Tcp, free())])).await;
    let mut wire = tokio::net::TcpStream::connect(at).await.unwrap();
    let garbage = "NONSENSE\r\n\r\n\x01\x02\x03\r\n\r\n";
    wire.write_all(format!("{}{garbage}", options("before-garbage")).as_bytes()).await.unwrap();
    let answer = all_that_comes(wire).await;
    assert!(
        answer.starts_with("SIP/2.0 200 OK\r\n") && answer.contains("before-garbage"),
        "{answer}"
    );

    let mut wire = tokio::net::TcpStream::connect(at).await.unwrap();
    wire.write_all(options("before-the-end").as_bytes()).await.unwrap();
    wire.shutdown().await.unwrap();
    let answer = all_that_comes(wire).await;
    assert!(
        answer.starts_with("SIP/2.0 200 OK\r\n") && answer.contains("before-the-end"),
        "{answer}"
    );
}

/// Fails of a bug when it sees a certain message.
struct Bug;

impl Trace for Bug {
    fn enabled(&self) -> bool {
        true
    }

    fn message(&self, _direction: Direction, _path: &Path, bytes: &[u8]) {
        assert!(!bytes.windows(6).any(|word| word == b"DEADLY"), "the bug");
    }
}

#[tokio::test]
async fn a_bug_that_a_message_brings_out_costs_that_message() {
    let mut config = StackConfig::new(vec![(Transport::Udp, free())]);
    config.trace = Some(std::sync::Arc::new(Bug));
    let (_stack, at) = answering(config).await;
    let socket = tokio::net::UdpSocket::bind(free()).await.unwrap();
    let via = format!("UDP {}", socket.local_addr().unwrap());
    for call_id in ["DEADLY", "harmless"] {
        let text = options(call_id).replace("TCP 127.0.0.1:9", &via);
        socket.send_to(text.as_bytes(), at).await.unwrap();
    }
    let mut buffer = [0; 2048];
    let read = socket.recv(&mut buffer);
    let length =
        tokio::time::timeout(std::time::Duration::from_secs(20), read).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&buffer[..length]);
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n") && answer.contains("harmless"), "{answer}");
}

/// Addresses that are known.
struct Friends(std::sync::Mutex<Vec<SocketAddr>>);

impl Peers for Friends {
    fn knows(&self, peer: SocketAddr, _transport: Transport) -> bool {
        self.0.lock().unwrap().contains(&peer)
    }
}

#[tokio::test]
async fn silent_connections_of_strangers_give_way_and_known_ones_stay() {
    use tokio::io::AsyncWriteExt;
    let mut config = StackConfig::new(vec![(Transport::Tcp, free())]);
    let friends = std::sync::Arc::new(Friends(std::sync::Mutex::default()));
    config.peers = Some(friends.clone());
    let (_stack, at) = answering(config).await;
    let mut friend = tokio::net::TcpStream::connect(at).await.unwrap();
    friends.0.lock().unwrap().push(friend.local_addr().unwrap());
    friend.write_all(options("first").as_bytes()).await.unwrap();
    let oldest = tokio::net::TcpStream::connect(at).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..8 {
        others.push(tokio::net::TcpStream::connect(at).await.unwrap());
    }
    assert_eq!(all_that_comes(oldest).await, "", "closed for the sake of newer ones");
    let mut newest = others.pop().unwrap();
    for (wire, call_id) in [(&mut newest, "newest"), (&mut friend, "second")] {
        wire.write_all(options(call_id).as_bytes()).await.unwrap();
        wire.shutdown().await.unwrap();
    }
    assert!(all_that_comes(newest).await.contains("newest"));
    let answers = all_that_comes(friend).await;
    assert!(answers.contains("first") && answers.contains("second"), "{answers}");
}
