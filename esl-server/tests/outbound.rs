//! What a program sees that a call connects to, byte for byte, over a real socket.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::{CallControl, EventName, Switch, fire, outbound};
use support::{FakeCall, FakeInline, FakeSwitch, Raw};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A call that runs `socket` towards us.
async fn call(flags: &str) -> (Arc<FakeSwitch>, Arc<FakeCall>, Raw, JoinHandle<bool>) {
    let switch = FakeSwitch::new();
    let call = switch.add_call("u1");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let args = format!("127.0.0.1:{}/path {flags}", listener.local_addr().unwrap().port());
    let mut inline =
        FakeInline { switch: Arc::clone(&switch), call: Arc::clone(&call), parked: false };
    let outer = Arc::clone(&switch) as Arc<dyn Switch>;
    let running = tokio::spawn(async move {
        outbound::run(outer, &mut inline, &args).await;
        inline.parked
    });
    let raw = Raw::accept(&listener).await;
    (switch, call, raw, running)
}

async fn connect(raw: &mut Raw, mode: &str, control: &str) {
    raw.send("connect\n\n").await;
    let block = raw.block().await;
    assert!(block.starts_with("Event-Name: CHANNEL_DATA\nCore-UUID: "), "{block}");
    let tail = format!(
        "Channel-Unique-ID: u1\nUnique-ID: u1\nContent-Type: command/reply\nReply-Text: %2BOK%0A\n\
         Socket-Mode: {mode}\nControl: {control}\n\n"
    );
    assert!(block.ends_with(&tail), "{block}");
}

fn notice(uuid: &str) -> String {
    format!(
        "Content-Type: text/disconnect-notice\nControlled-Session-UUID: {uuid}\nContent-Disposition: disconnect\n\
         Content-Length: 67\n\nDisconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
    )
}

#[tokio::test]
async fn without_full_only_the_call_s_own_commands_work() {
    let (switch, call, mut raw, running) = call("async").await;
    connect(&mut raw, "async", "single-channel").await;
    assert_eq!(call.getvar("socket_host").as_deref(), Some("127.0.0.1"));
    assert_eq!(call.getvar("socket_path").as_deref(), Some("path"));
    for command in
        ["linger", "event plain ALL", "api status", "bgapi status", "log", "sendevent NOTIFY"]
    {
        raw.ask(command, "-ERR command not found").await;
    }
    raw.ask("myevents", "+OK Events Enabled").await;
    raw.ask("myevents", "-ERR aready enabled.").await;
    raw.ask("sendmsg\ncall-command: execute\nexecute-app-name: answer", "+OK").await;
    assert_eq!(call.posted.lock().unwrap()[0].app_name().as_deref(), Some("answer"));
    fire!(switch.bus(), call.event(EventName::ChannelExecute));
    raw.event("CHANNEL_EXECUTE").await;
    call.hang_up();
    fire!(switch.bus(), call.event(EventName::ChannelHangupComplete));
    raw.event("CHANNEL_HANGUP_COMPLETE").await;
    raw.expect(&notice("u1")).await;
    raw.expect_close().await;
    assert!(running.await.unwrap(), "the call was parked");
}

#[tokio::test]
async fn lingering_keeps_the_connection_after_the_hangup() {
    let (switch, call, mut raw, _running) = call("async full").await;
    connect(&mut raw, "async", "full").await;
    raw.ask("event plain CHANNEL_HANGUP_COMPLETE", "+OK event listener enabled plain").await;
    raw.ask("linger", "+OK will linger").await;
    raw.ask("nolinger", "+OK will not linger").await;
    raw.ask("linger 0", "+OK will linger 0 seconds").await;
    call.hang_up();
    fire!(switch.bus(), call.event(EventName::ChannelHangupComplete));
    raw.event("CHANNEL_HANGUP_COMPLETE").await;
    raw.expect(
        "Content-Type: text/disconnect-notice\nControlled-Session-UUID: u1\nContent-Disposition: linger\n\
         Channel-Name: sofia/open/probe@127.0.0.1\nLinger-Time: 0\nContent-Length: 0\n\n",
    )
    .await;
    raw.api("echo still here", "still here").await;
    raw.expect(&notice("u1")).await;
    raw.expect_close().await;
}

#[tokio::test]
async fn a_synchronous_connection_runs_messages_in_place() {
    let (_switch, call, mut raw, running) = call("full").await;
    connect(&mut raw, "static", "full").await;
    raw.ask("myevents", "+OK Events Enabled").await;
    raw.ask("sendmsg\ncall-command: execute\nexecute-app-name: answer", "+OK").await;
    raw.event("CHANNEL_EXECUTE").await;
    raw.event("CHANNEL_EXECUTE_COMPLETE").await;
    raw.ask("sendmsg\ncall-command: execute\nexecute-app-name: set\nasync: true", "+OK").await;
    assert_eq!(call.posted.lock().unwrap().len(), 1);
    raw.ask("resume", "+OK").await;
    assert_eq!(call.getvar("socket_resume").as_deref(), Some("true"));
    drop(raw);
    assert!(!running.await.unwrap(), "a synchronous call is not parked");
    assert!(!*call.controlled.borrow() && call.interrupted.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_synchronous_hangup_closes_after_what_was_queued() {
    let (_switch, _call, mut raw, running) = call("").await;
    connect(&mut raw, "static", "single-channel").await;
    raw.ask("myevents", "+OK Events Enabled").await;
    raw.ask("sendmsg\ncall-command: execute\nexecute-app-name: hangup", "+OK").await;
    raw.event("CHANNEL_EXECUTE").await;
    raw.event("CHANNEL_EXECUTE_COMPLETE").await;
    raw.expect(&notice("u1")).await;
    raw.expect_close().await;
    running.await.unwrap();
}

#[tokio::test]
async fn the_first_packet_is_answered_only_if_it_is_connect() {
    let (_switch, call, mut raw, running) = call("async").await;
    raw.send("myevents\n\n").await;
    connect(&mut raw, "async", "single-channel").await;
    raw.ask("exit", "+OK bye").await;
    raw.expect(&notice("u1")).await;
    raw.expect_close().await;
    assert!(running.await.unwrap());
    assert!(!*call.controlled.borrow());
    assert!(!call.interrupted.load(Ordering::Relaxed));
}

#[tokio::test]
async fn an_api_command_is_answered_even_as_the_first_packet() {
    let (_switch, _call, mut raw, _running) = call("async full").await;
    raw.api("echo first", "first").await;
}

#[tokio::test]
async fn a_job_as_the_first_packet_runs_unanswered() {
    let (_switch, _call, mut raw, _running) = call("async full").await;
    raw.send("bgapi echo first\nJob-UUID: j1\n\n").await;
    raw.api("echo second", "second").await;
}

#[tokio::test]
async fn a_command_on_a_synchronous_connection_leaves_its_call_to_go_on() {
    let (_switch, _call, mut raw, _running) = call("full").await;
    connect(&mut raw, "static", "full").await;
    raw.api("when_idle u1", "+OK\n").await;
}

#[tokio::test]
async fn a_program_that_leaves_before_connect_does_not_park_the_call() {
    let (_switch, _call, raw, running) = call("async").await;
    drop(raw);
    assert!(!running.await.unwrap());
}

#[tokio::test]
async fn hosts_are_tried_in_order_and_the_dialplan_goes_on_when_none_answers() {
    let switch = FakeSwitch::new();
    let call = switch.add_call("u1");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut inline =
        FakeInline { switch: Arc::clone(&switch), call: Arc::clone(&call), parked: false };
    outbound::run(
        Arc::clone(&switch) as Arc<dyn Switch>,
        &mut inline,
        &format!("127.0.0.1:{closed}|127.0.0.1/two"),
    )
    .await;
    assert_eq!(call.getvar("socket_path").as_deref(), Some("two"));
    assert!(!*call.controlled.borrow());
}
