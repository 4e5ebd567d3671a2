//! The client against the server.

mod support;

use esl_server::client::{Client, ClientError, Credentials};
use esl_server::{Event, EventName, Switch, fire};
use support::{FakeSwitch, PASSWORD, PATIENCE, serve};

#[tokio::test]
async fn replies_are_matched_and_everything_else_is_kept_in_order() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut client =
        Client::connect("127.0.0.1", addr.port(), &Credentials::password(PASSWORD), Some(PATIENCE))
            .await
            .unwrap();
    assert_eq!(
        client.command("event plain GENERAL CUSTOM a::b").await.unwrap().reply_text(),
        "+OK event listener enabled plain"
    );
    fire!(switch.bus(), Event::new(EventName::General));
    let mut event = Event::custom("a::b");
    event.push("X-Text", "100% <&>").set_body("body");
    fire!(switch.bus(), event);
    assert_eq!(client.api("echo hello").await.unwrap(), "hello");
    let (headers, _) = client.next().await.unwrap().plain_event();
    assert_eq!(headers.get("Event-Name").as_deref(), Some("GENERAL"));
    let (headers, body) = client.next().await.unwrap().plain_event();
    assert_eq!(headers.get("X-Text").as_deref(), Some("100% <&>"));
    assert_eq!(body, "body");
    assert_eq!(client.command("exit\n\n").await.unwrap().reply_text(), "+OK bye");
    assert_eq!(client.next().await.unwrap().content_type(), "text/disconnect-notice");
    assert!(matches!(client.next().await, Err(ClientError::Closed)));
}

#[tokio::test]
async fn failures_say_what_went_wrong() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let connect = async |port, credentials| {
        Client::connect("127.0.0.1", port, &credentials, Some(PATIENCE))
            .await
            .unwrap_err()
            .to_string()
    };
    assert_eq!(connect(addr.port(), Credentials::password("wrong")).await, "Authentication Error");
    let user = Credentials { user: Some("anna@golden.test".into()), password: "wrong".into() };
    assert_eq!(connect(addr.port(), user).await, "Authentication Error");
    switch.refuses.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(connect(addr.port(), Credentials::password(PASSWORD)).await, "Connection Error");
    let closed =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert_eq!(connect(closed, Credentials::password(PASSWORD)).await, "Socket Connection Error");
}
