//! What happens when nothing happens, in simulated time.

mod support;

use std::sync::Arc;
use std::time::Duration;

use esl_server::{Switch, outbound};
use support::{FakeInline, FakeSwitch, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Reads to the end and tells how long that took.
async fn until_closed(stream: &mut TcpStream) -> (String, Duration) {
    let start = Instant::now();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    (text, start.elapsed())
}

fn near(took: Duration, seconds: f64) -> bool {
    (took.as_secs_f64() - seconds).abs() < 0.2
}

#[tokio::test(start_paused = true)]
async fn a_client_has_25_seconds_for_its_first_command() {
    let (_server, addr) = serve(&FakeSwitch::new()).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let (text, took) = until_closed(&mut stream).await;
    assert!(text.starts_with(
        "Content-Type: auth/request\n\nContent-Type: text/disconnect-notice\nContent-Length: 67\n"
    ));
    assert!(near(took, 25.0), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn words_before_the_login_win_no_time() {
    let (_server, addr) = serve(&FakeSwitch::new()).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"hello\n\n").await.unwrap();
    let (text, took) = until_closed(&mut stream).await;
    assert!(text.contains("-ERR command not found"));
    assert!(near(took, 25.0), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_never_says_connect_is_given_25_seconds_too() {
    let switch = FakeSwitch::new();
    let call = switch.add_call("u1");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let args = format!("127.0.0.1:{} async", listener.local_addr().unwrap().port());
    let mut inline = FakeInline { switch: Arc::clone(&switch), call, parked: false };
    let outer = Arc::clone(&switch) as Arc<dyn Switch>;
    let running = tokio::spawn(async move {
        outbound::run(outer, &mut inline, &args).await;
        inline.parked
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    let (text, took) = until_closed(&mut stream).await;
    assert!(
        text.starts_with("Content-Type: text/disconnect-notice\nControlled-Session-UUID: u1\n")
    );
    assert!(near(took, 25.0), "{took:?}");
    assert!(!running.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn lingering_ends_when_more_than_its_seconds_have_passed() {
    let switch = FakeSwitch::new();
    let call = switch.add_call("u1");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let args = format!("127.0.0.1:{} async full", listener.local_addr().unwrap().port());
    let mut inline =
        FakeInline { switch: Arc::clone(&switch), call: Arc::clone(&call), parked: false };
    let outer = Arc::clone(&switch) as Arc<dyn Switch>;
    tokio::spawn(async move { outbound::run(outer, &mut inline, &args).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"connect\n\nlinger 5\n\n").await.unwrap();
    let mut seen = String::new();
    while !seen.contains("will linger 5 seconds") {
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).await.unwrap();
        seen.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    call.hang_up();
    let (text, took) = until_closed(&mut stream).await;
    assert!(text.contains(
        "Content-Disposition: linger\nChannel-Name: sofia/open/probe@127.0.0.1\nLinger-Time: 5\n"
    ));
    assert!(near(took, 5.5), "{took:?}");
}
