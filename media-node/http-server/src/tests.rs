use std::net::Ipv4Addr;

use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn config(limits: Limits) -> Config {
    Config {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        tls: None,
        limits,
        admits: Arc::new(|_| true),
    }
}

async fn serving(config: Config) -> (Server, SocketAddr) {
    let router = Router::new()
        .route(
            "/",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        )
        .route("/body", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/endless", get(|| async { vec![b'x'; 64 << 20] }));
    let bound = Bound::bind(config).await.unwrap();
    let address = bound.local_addr().unwrap();
    (bound.serve(router), address)
}

/// Sends bytes and reads until the server closes.
async fn said(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_request_carries_its_clients_address() {
    let (server, address) = serving(config(Limits::default())).await;
    let answer = said(address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("127.0.0.1:"), "{answer}");
    server.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_body_has_a_longest_length() {
    let limits = Limits { body: 10, ..Limits::default() };
    let (_server, address) = serving(config(limits)).await;
    let post = |length: usize| {
        let body = "x".repeat(length);
        format!(
            "POST /body HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    assert!(said(address, &post(10)).await.starts_with("HTTP/1.1 200"));
    assert!(said(address, &post(11)).await.starts_with("HTTP/1.1 413"));
    // What is announced is not waited for.
    let head = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n";
    let answer = timeout(Duration::from_secs(5), said(address, head)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close"));
}

#[tokio::test]
async fn clients_that_say_nothing_or_little_are_cut_off() {
    let brief = Duration::from_millis(50);
    let limits = Limits { head: brief, answer: brief, ..Limits::default() };
    let (_server, address) = serving(config(limits)).await;
    assert!(!said(address, "GET / HT").await.contains("200"));
    let half = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx";
    assert!(said(address, half).await.starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let limits = Limits { stall: Duration::from_millis(50), ..Limits::default() };
    let (server, address) = serving(config(limits)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let gone = async {
        while server.connections() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        while server.connections() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.expect("given up");
}

#[tokio::test]
async fn connections_are_counted_and_strangers_refused() {
    let limits = Limits { per_address: 1, ..Limits::default() };
    let (server, address) = serving(config(limits)).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(first.read(&mut [0; 1000]).await.unwrap() > 0);
    assert_eq!(said(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await, "");
    assert_eq!(server.refused(), (0, 1));

    let (server, address) =
        serving(Config { admits: Arc::new(|_| false), ..config(Limits::default()) }).await;
    assert_eq!(said(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await, "");
    assert_eq!(server.refused(), (1, 0));
}

#[tokio::test]
async fn tls_needs_a_certificate_and_serves_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.pem");
    let error = tls::server(&file, &file).unwrap_err().to_string();
    assert!(error.contains("both.pem"), "{error}");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&file, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
    let tls = tls::server(&file, &file).unwrap();
    let (_server, address) = serving(Config { tls: Some(tls), ..config(Limits::default()) }).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let mut stream =
        tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn what_is_no_http_is_told_so_as_a_problem() {
    let (_server, address) = serving(config(Limits::default())).await;
    for request in [
        "GET /a\nb HTTP/1.1\r\nHost: a\r\n\r\n",
        "\u{1}\u{2}\r\n\r\n",
        "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    ] {
        let answer = said(address, request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
        assert!(answer.contains("\"status\":400,"), "{answer}");
    }
}

#[tokio::test]
async fn a_refusal_before_the_body_leaves_the_connection_or_says_that_it_ends() {
    let limits = Limits { body: 1000, ..Limits::default() };
    let (_server, address) = serving(config(limits)).await;
    let refused = |length: usize| {
        let body = "x".repeat(length);
        format!("PUT /body HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let both = said(address, &(refused(1000) + last)).await;
    assert!(both.starts_with("HTTP/1.1 405") && both.contains("HTTP/1.1 200"), "{both}");
    let one = said(address, &(refused(2000) + last)).await;
    assert!(one.starts_with("HTTP/1.1 413") && one.contains("connection: close"), "{one}");
    assert!(!one.contains("HTTP/1.1 200"));
    // A body that never comes.
    let head = "PUT /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    let one = said(address, head).await;
    assert!(one.starts_with("HTTP/1.1 405") && one.contains("connection: close"), "{one}");
}

#[tokio::test]
async fn a_body_that_trickles_in_is_cut_off_with_a_problem() {
    let limits = Limits { answer: Duration::from_millis(100), ..Limits::default() };
    let (_server, address) = serving(config(limits)).await;
    let head = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx";
    let answer = said(address, head).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"status\":408,"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}
