//! What an inbound client sees, byte for byte, over a real socket.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::guess_guard::GuessGuard;
use esl_server::server::ServerConfig;
use esl_server::{CallControl, Event, EventName, Switch, fire};
use support::{FakeSwitch, PASSWORD, Raw, serve, serve_with};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_wrong_password_ends_the_connection_and_nothing_works_before_the_right_one() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::connect(addr).await;
    raw.expect("Content-Type: auth/request\n\n").await;
    raw.ask("api status", "-ERR command not found").await;
    raw.ask("event plain ALL", "-ERR command not found").await;
    raw.ask("auth x", "-ERR invalid").await;
    raw.expect_goodbye().await;
    let mut raw = Raw::connect(addr).await;
    raw.expect("Content-Type: auth/request\n\n").await;
    raw.send(&format!("\r\nAUTH {PASSWORD}\r\n\r\n")).await;
    raw.expect("Content-Type: command/reply\nReply-Text: +OK accepted\n\n").await;
    raw.ask("auth again", "-ERR command not found").await;
}

#[tokio::test]
async fn a_client_that_only_listens_on_gets_its_reply_and_its_notice() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    raw.send("api echo last\n\n").await;
    raw.stream.shutdown().await.unwrap();
    raw.expect("Content-Type: api/response\nContent-Length: 4\n\nlast").await;
    raw.expect_goodbye().await;
}

#[tokio::test]
async fn a_refused_peer_is_told_so_rudely() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    switch.refuses.store(true, Ordering::Relaxed);
    let mut raw = Raw::connect(addr).await;
    raw.expect(
        "Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n",
    )
    .await;
    raw.expect_goodbye().await;
}

#[tokio::test]
async fn a_bug_that_one_connection_brings_out_costs_that_connection() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    switch.fails.store(true, Ordering::Relaxed);
    let mut lost = Raw::connect(addr).await;
    lost.expect("").await;
    let mut raw = Raw::logged_in(addr).await;
    raw.send("api echo there\n\n").await;
    raw.expect("Content-Type: api/response\nContent-Length: 5\n\nthere").await;
    assert!(!switch.fails.load(Ordering::Relaxed));
}

#[tokio::test]
async fn connections_over_the_limit_are_refused() {
    let switch = FakeSwitch::new();
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        max_connections: 1,
        ..ServerConfig::default()
    };
    let (_server, addr) = serve_with(&switch, config).await;
    let mut first = Raw::connect(addr).await;
    first.expect("Content-Type: auth/request\n\n").await;
    first.ask("auth ClueCon", "+OK accepted").await;
    let mut second = Raw::connect(addr).await;
    second.expect("Content-Type: text/rude-rejection\n").await;
}

#[tokio::test]
async fn a_thousand_silent_sockets_keep_nobody_out() {
    let switch = FakeSwitch::new();
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        password: PASSWORD.into(),
        max_connections: 40,
        max_strangers_per_address: 30,
        ..ServerConfig::default()
    };
    let (_server, addr) = serve_with(&switch, config).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut raw = Raw::connect(addr).await;
        raw.expect("Content-Type: auth/request\n\n").await;
        silent.push(raw);
    }
    let mut client = Raw::connect(addr).await;
    client.expect("Content-Type: auth/request\n\n").await;
    client.ask(&format!("auth {PASSWORD}"), "+OK accepted").await;
    // The first silent one has given way.
    silent.remove(0).expect_goodbye().await;
}

#[tokio::test(start_paused = true)]
async fn guessing_is_slowed_told_of_and_forgotten() {
    let switch = FakeSwitch::new();
    let guard = Arc::new(GuessGuard::default());
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        password: PASSWORD.into(),
        guard: Arc::clone(&guard),
        ..ServerConfig::default()
    };
    let (_server, addr) = serve_with(&switch, config).await;
    let started = tokio::time::Instant::now();
    for _ in 0..20 {
        let mut raw = Raw::connect(addr).await;
        raw.expect("Content-Type: auth/request\n\n").await;
        raw.ask("auth wrong", "-ERR invalid").await;
        raw.expect_goodbye().await;
    }
    // Eight at once, then one in 1, 2, 2, ... seconds; this machine never waits longer.
    assert!(started.elapsed() > Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(switch.guessers.lock().unwrap().len(), 12);
    let now = tokio::time::Instant::now().into_std();
    assert_eq!(guard.list(now).len(), 1);
    guard.clear(None);
    let started = tokio::time::Instant::now();
    let mut raw = Raw::connect(addr).await;
    raw.expect("Content-Type: auth/request\n\n").await;
    raw.ask(&format!("auth {PASSWORD}"), "+OK accepted").await;
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_user_is_refused_as_late_as_a_wrong_password() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut took = Vec::new();
    for credentials in
        ["auth wrong", "userauth anna@golden.test:wrong", "userauth nobody@golden.test:x"]
    {
        let mut raw = Raw::connect(addr).await;
        raw.expect("Content-Type: auth/request\n\n").await;
        let started = tokio::time::Instant::now();
        raw.ask(credentials, "-ERR invalid").await;
        took.push(started.elapsed());
    }
    assert!(took.iter().all(|t| t.as_millis().abs_diff(50) <= 2), "{took:?}");
}

#[tokio::test]
async fn a_directory_user_is_held_to_what_it_may_do() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::connect(addr).await;
    raw.expect("Content-Type: auth/request\n\n").await;
    raw.send("userauth anna@golden.test:anna-esl\n\n").await;
    raw.expect(
        "Content-Type: command/reply\nReply-Text: +OK accepted\nAllowed-Events: CHANNEL_ANSWER HEARTBEAT\n\
         Allowed-API: status echo\nAllowed-LOG: false\n\n",
    )
    .await;
    raw.api("echo allowed", "allowed").await;
    raw.ask("api version", "-ERR permission denied").await;
    raw.ask("bgapi version", "-ERR permission denied").await;
    raw.ask("event plain CHANNEL_ANSWER", "+OK event listener enabled plain").await;
    raw.ask("event plain CHANNEL_CREATE", "-ERR permission denied").await;
    raw.ask("event plain CUSTOM sofia::register", "-ERR permission denied").await;
    raw.ask("log debug", "-ERR permission denied").await;
    raw.send("api echo a;;echo b\nconsole_execute: true\n\n").await;
    raw.expect("Content-Type: api/response\nContent-Length: 2\n\nab").await;
    for several in ["echo a ;;version", "hi;;version", "status;;twice;;version"] {
        let line = format!("api {several}\nconsole_execute: true");
        raw.ask(&line, "-ERR permission denied").await;
    }
    raw.ask("exit", "+OK bye").await;
    raw.expect_goodbye().await;
    let mut wrong = Raw::connect(addr).await;
    wrong.expect("Content-Type: auth/request\n\n").await;
    wrong.ask("userauth anna@golden.test:wrong", "-ERR invalid").await;
    wrong.expect_goodbye().await;
}

#[tokio::test]
async fn unknown_and_misplaced_commands_answer_as_the_reference_does() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    let unknown = "-ERR command not found";
    for command in [
        "nonsense",
        "apistatus",
        "api",
        "bgapi",
        "  api echo x",
        "getvar foo",
        "connect",
        "resume",
        "myevents",
        "filter",
    ] {
        raw.ask(command, unknown).await;
    }
    raw.api("", "-ERR  Command not found!\n").await;
    raw.api(" echo two", "-ERR  Command not found!\n").await;
    raw.ask("linger", "-ERR not controlling a session").await;
    raw.ask("nolinger", "-ERR not controlling a session").await;
    raw.ask("divert_events on", "-ERR not controlling a session.").await;
    raw.ask("sendmsg\ncall-command: hangup", "-ERR invalid session id []").await;
    raw.ask("sendmsg no-such-call", "-ERR invalid session id [no-such-call]").await;
    raw.ask("sendmsg\nsession-id: none", "-ERR invalid session id [none]").await;
    raw.ask("filter onlyname", "-ERR invalid syntax").await;
    raw.ask("filter add X", "+OK filter added. [X]=[(null)]").await;
    raw.ask("filter delete", "-ERR invalid syntax").await;
    raw.ask("nixevent", "-ERR no keywords supplied").await;
    for command in ["event", "event plain", "event NO_SUCH_EVENT"] {
        raw.ask(command, "-ERR no keywords supplied").await;
    }
    raw.ask("noevents", "-ERR not listening for events").await;
    raw.ask("events plain ALL", "+OK event listener enabled plain").await;
    raw.ask("...", "+OK bye").await;
    raw.expect_goodbye().await;
}

#[tokio::test]
async fn the_format_changes_even_when_no_keyword_follows() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    raw.send("EVENT PLAIN heartbeat\r\n\r\n").await;
    raw.expect("Content-Type: command/reply\nReply-Text: +OK event listener enabled plain\n\n")
        .await;
    raw.ask("event json", "-ERR no keywords supplied").await;
    raw.ask("event CUSTOM a::b  CUSTOM c::d", "+OK event listener enabled json").await;
    raw.ask("event xml SWITCH_EVENT_DTMF nonsense", "+OK event listener enabled xml").await;
}

#[tokio::test]
async fn api_output_comes_verbatim_and_in_order() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    raw.api("echo  hello there ", "hello there").await;
    raw.api("nosuch a b", "-ERR nosuch Command not found!\n").await;
    raw.api("nothing", "-ERR no reply\n").await;
    raw.send("api nosuch a b\nconsole_execute: true\n\n").await;
    raw.expect(
        "Content-Type: api/response\nContent-Length: 35\n\n-ERR nosuch a b Command not found!\n",
    )
    .await;
    raw.send("api echo a;;echo b\nconsole_execute: true\n\napi hi\nconsole_execute: true\n\n")
        .await;
    raw.expect("Content-Type: api/response\nContent-Length: 2\n\nab").await;
    raw.expect("Content-Type: api/response\nContent-Length: 39\n\n\nExpand Alias [hi]->[echo hello]\n\nhello").await;
    raw.send("api twice\nconsole_execute: true\n\n").await;
    let (_, body) = raw.message().await;
    assert_eq!(
        body,
        "\nExpand Alias [twice]->[hi;;echo again]\n\n\nExpand Alias [hi]->[echo hello]\n\nhelloagain"
    );
    raw.send("api round\nconsole_execute: true\n\n").await;
    let (_, body) = raw.message().await;
    assert_eq!(body, "-ERR round Command not found!\n", "an alias of itself ends");
}

#[tokio::test]
async fn background_jobs_reply_first_and_report_later() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    raw.ask("event plain BACKGROUND_JOB", "+OK event listener enabled plain").await;
    raw.send("bgapi echo hi\nJob-UUID: j1\n\n").await;
    raw.expect("Content-Type: command/reply\nReply-Text: +OK Job-UUID: j1\nJob-UUID: j1\n\n").await;
    let event = raw.event("BACKGROUND_JOB").await;
    assert!(
        event.ends_with(
            "Job-UUID: j1\nJob-Command: echo\nJob-Command-Arg: hi\nContent-Length: 2\n\nhi"
        ),
        "{event}"
    );
    raw.send("bgapi no_such with args\nJob-UUID: j2\n\n").await;
    raw.expect("Content-Type: command/reply\nReply-Text: +OK Job-UUID: j2\nJob-UUID: j2\n\n").await;
    let event = raw.event("BACKGROUND_JOB").await;
    assert!(event.ends_with("Content-Length: 32\n\n-ERR no_such Command not found!\n"), "{event}");
    raw.ask("event json BACKGROUND_JOB", "+OK event listener enabled json").await;
    raw.send("bgapi  echo two spaces\nJob-UUID: j3\n\n").await;
    raw.expect("Content-Type: command/reply\nReply-Text: +OK Job-UUID: j3\nJob-UUID: j3\n\n").await;
    let event = raw.event("BACKGROUND_JOB").await;
    let tail = r#""Job-UUID":"j3","Job-Command-Arg":"echo two spaces","Content-Length":"25","_body":"-ERR  Command not found!\n"}"#;
    assert!(event.ends_with(tail), "{event}");
    // A job is never console input.
    raw.send("bgapi echo a;;echo b\nJob-UUID: j4\nconsole_execute: true\n\n").await;
    raw.block().await;
    assert!(raw.event("BACKGROUND_JOB").await.ends_with(r#""_body":"a;;echo b"}"#));
}

#[tokio::test]
async fn a_job_without_an_id_gets_one() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    raw.send("bgapi echo hi \n\n").await;
    let reply = raw.block().await;
    let id = reply.lines().find_map(|l| l.strip_prefix("Job-UUID: ")).unwrap();
    assert_eq!(id.len(), 36);
    assert_eq!(
        reply,
        format!("Content-Type: command/reply\nReply-Text: +OK Job-UUID: {id}\nJob-UUID: {id}\n\n")
    );
    raw.send(&format!("bgapi echo hi\nJob-UUID: {}\n\n", "j".repeat(300))).await;
    assert!(raw.block().await.ends_with(&format!("\nJob-UUID: {}\n\n", "j".repeat(256))));
}

#[tokio::test]
async fn sent_events_carry_the_sender_s_headers_before_the_core_block() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    raw.ask("event plain CUSTOM golden::shape", "+OK event listener enabled plain").await;
    raw.send("sendevent CUSTOM\nEvent-Subclass: golden::shape\nX-Sign: 100% <&> \"quoted\" æ\nX-Empty: \nx-lower: low\nContent-Length: 17\n\nfirst\nsecond <&>\n").await;
    let reply = raw.block().await;
    let id =
        reply.strip_prefix("Content-Type: command/reply\nReply-Text: +OK ").unwrap().trim_end();
    let event = raw.event("CUSTOM").await;
    let (before, after) = event.split_once("Event-Date-Local: ").unwrap();
    assert_eq!(
        before,
        format!(
            "Event-Subclass: golden%3A%3Ashape\nCommand: sendevent%20CUSTOM\n\
             X-Sign: 100%25%20%3C%26%3E%20%22quoted%22%20%C3%A6\nx-lower: low\nContent-Length: 17\nEvent-UUID: {id}\n\
             Event-Name: CUSTOM\nCore-UUID: {}\nFreeSWITCH-Hostname: pbx\nFreeSWITCH-Switchname: pbx\n\
             FreeSWITCH-IPv4: 127.0.0.1\nFreeSWITCH-IPv6: %3A%3A1\n",
            support::CORE_UUID
        )
    );
    assert!(
        after.ends_with("Event-Sequence: 1\nContent-Length: 17\n\nfirst\nsecond <&>\n"),
        "{after}"
    );
}

#[tokio::test]
async fn an_event_sent_to_a_live_call_is_queued_there() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    switch.add_call("u1");
    let mut raw = Raw::logged_in(addr).await;
    raw.ask("event plain ALL", "+OK event listener enabled plain").await;
    raw.send("sendevent NOTIFY\nunique-id: u1\n\n").await;
    raw.block().await;
    raw.send("noevents\n\n").await;
    raw.expect("Content-Type: command/reply\nReply-Text: +OK no longer listening for events\n\n")
        .await;
    let queued = switch.queued_events.lock().unwrap();
    assert_eq!((queued[0].0.as_str(), queued[0].1.name()), ("u1", EventName::Notify));
}

#[tokio::test]
async fn types_and_subclasses_come_and_go() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    let bus = Arc::clone(switch.bus());
    let round = move || {
        for name in [EventName::Notify, EventName::General] {
            fire!(bus, Event::new(name));
        }
        fire!(bus, Event::custom("golden::a"));
        fire!(bus, Event::custom("golden::b"));
    };
    raw.ask("event plain NOTIFY CUSTOM golden::a golden::b", "+OK event listener enabled plain")
        .await;
    round();
    raw.event("NOTIFY").await;
    assert!(
        raw.event("CUSTOM")
            .await
            .starts_with("Event-Subclass: golden%3A%3Aa\nEvent-Name: CUSTOM\n")
    );
    assert!(raw.event("CUSTOM").await.starts_with("Event-Subclass: golden%3A%3Ab\n"));
    raw.ask("nixevent CUSTOM golden::a", "+OK events nixed").await;
    raw.ask("nixevent NOTIFY", "+OK events nixed").await;
    round();
    assert!(raw.event("CUSTOM").await.starts_with("Event-Subclass: golden%3A%3Ab\n"));
    raw.ask("noevents", "+OK no longer listening for events").await;
    round();
    raw.ask("event plain ALL", "+OK event listener enabled plain").await;
    round();
    raw.event("NOTIFY").await;
    raw.event("GENERAL").await;
    raw.event("CUSTOM").await;
    raw.event("CUSTOM").await;
    // Once a name is nixed, ALL becomes each type, and no subclass was asked for by name.
    raw.ask("nixevent NOTIFY API", "+OK events nixed").await;
    round();
    raw.event("GENERAL").await;
    raw.expect_silence().await;
}

#[tokio::test]
async fn filters_choose_among_the_events_asked_for() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    raw.ask("event plain GENERAL", "+OK event listener enabled plain").await;
    let bus = Arc::clone(switch.bus());
    let round = move || {
        for kind in ["apple", "pear"] {
            let mut event = Event::new(EventName::General);
            event.push("X-Kind", kind);
            fire!(bus, event);
        }
    };
    raw.ask("filter X-Kind pear", "+OK filter added. [X-Kind]=[pear]").await;
    round();
    assert!(raw.event("GENERAL").await.ends_with("X-Kind: pear\n\n"));
    raw.ask("filter delete X-Kind pear", "+OK filter deleted. [X-Kind][pear]").await;
    raw.ask("filter add X-Kind /^a/", "+OK filter added. [X-Kind]=[/^a/]").await;
    round();
    assert!(raw.event("GENERAL").await.ends_with("X-Kind: apple\n\n"));
    raw.ask("filter delete all", "+OK filter deleted. [all][]").await;
    round();
    raw.event("GENERAL").await;
    raw.event("GENERAL").await;
    raw.expect_silence().await;
}

#[tokio::test]
async fn a_filter_s_value_is_the_rest_of_the_line() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    for (command, reply) in [
        ("filter  X-Kind two words", "+OK filter added. [X-Kind]=[two words]"),
        ("filter ADD X-Kind  sweet", "+OK filter added. [X-Kind]=[ sweet]"),
        ("filter Deleted-By me", "+OK filter added. [Deleted-By]=[me]"),
        ("filter add", "-ERR invalid syntax"),
        ("filter Deleted-By ", "+OK filter added. [Deleted-By]=[]"),
        ("filter DELETE X-Kind  sweet", "+OK filter deleted. [X-Kind][ sweet]"),
    ] {
        raw.ask(command, reply).await;
    }
    raw.ask("event plain GENERAL", "+OK event listener enabled plain").await;
    for (kind, by) in [("sweet", "x"), ("none", "me"), ("two words", "x")] {
        let mut event = Event::new(EventName::General);
        event.push("X-Kind", kind).push("Deleted-By", by);
        fire!(switch.bus(), event);
    }
    assert!(
        raw.event("GENERAL").await.contains("X-Kind: two%20words\n"),
        "the others were taken back"
    );
    raw.expect_silence().await;
}

#[tokio::test]
async fn what_was_asked_for_before_a_refusal_waits_for_the_next_success() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::connect(addr).await;
    raw.expect("Content-Type: auth/request\n\n").await;
    raw.send("userauth anna:anna-esl@golden.test\n\n").await;
    raw.block().await;
    raw.ask("event plain HEARTBEAT CHANNEL_CREATE", "-ERR permission denied").await;
    fire!(switch.bus(), Event::new(EventName::Heartbeat));
    raw.expect_silence().await;
    raw.ask("event plain CHANNEL_ANSWER", "+OK event listener enabled plain").await;
    fire!(switch.bus(), Event::new(EventName::Heartbeat));
    raw.event("HEARTBEAT").await;
    let mut fresh = Raw::logged_in(addr).await;
    fresh.ask("nixevent HEARTBEAT", "+OK events nixed").await;
    fresh.ask("noevents", "+OK no longer listening for events").await;
}

#[tokio::test]
async fn log_lines_follow_the_level() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    for (command, reply) in [
        ("log", "+OK log level  [7]"),
        ("log 99", "+OK log level 99 [63]"),
        ("log 4", "+OK log level 4 [4]"),
        ("log disable", "+OK log level disable [-1]"),
        ("log error", "-ERR invalid log level"),
        ("logs", "-ERR invalid log level"),
        ("log debug please", "+OK log level debug [7]"),
        ("log Info", "+OK log level Info [6]"),
    ] {
        raw.ask(command, reply).await;
    }
    raw.api("log debug below", "+OK\n").await;
    raw.api("log warning golden was here", "+OK\n").await;
    raw.expect(
        "Content-Type: log/data\nContent-Length: 80\nLog-Level: 4\nText-Channel: 3\nLog-File: mod_commands.c\n\
         Log-Func: log_function\nLog-Line: 7200\nUser-Data: \n\n\
         2026-11-20 17:13:26.016223 62.17% [WARNING] mod_commands.c:7200 golden was here\n",
    )
    .await;
    raw.ask("nolog", "+OK no longer logging").await;
    raw.api("log warning unheard", "+OK\n").await;
    raw.ask("nolog", "-ERR not loging").await;
}

#[tokio::test]
async fn my_events_binds_an_inbound_connection_to_a_call_until_it_hangs_up() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let call = switch.add_call("u1");
    let mut raw = Raw::logged_in(addr).await;
    raw.ask("myevents nobody json", "-ERR invalid uuid").await;
    raw.ask("myevents u1", "+OK Events Enabled").await;
    raw.ask("myevents", "-ERR aready enabled.").await;
    fire!(switch.bus(), Event::new(EventName::ChannelAnswer));
    fire!(switch.bus(), call.event(EventName::ChannelAnswer));
    assert!(raw.event("CHANNEL_ANSWER").await.ends_with("Unique-ID: u1\n\n"));
    raw.ask("sendmsg\ncall-command: hangup", "+OK").await;
    assert_eq!(
        call.posted.lock().unwrap()[0].get("Command").as_deref(),
        Some("sendmsg\ncall-command: hangup")
    );
    call.setvar("foo", Some("bar"));
    raw.ask("getvar foo", "bar").await;
    raw.ask("getvar none", "-ERR command not found").await;
    raw.ask("divert_events on", "+OK events diverted").await;
    let sink = call.sink.lock().unwrap().clone().unwrap();
    let mut digit = Event::new(EventName::RecvInfo);
    esl_server::stamp!(switch.bus(), &mut digit);
    sink.send(Arc::new(digit));
    raw.event("RECV_INFO").await;
    raw.ask("divert_events off", "+OK events not diverted").await;
    assert!(call.sink.lock().unwrap().is_none());
    call.hang_up();
    raw.expect(
        "Content-Type: text/disconnect-notice\nControlled-Session-UUID: u1\nContent-Disposition: disconnect\n\
         Content-Length: 67\n\nDisconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n",
    )
    .await;
    raw.expect_close().await;
}

#[tokio::test]
async fn a_call_whose_queue_is_full_costs_the_connection() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    switch.add_call("u1").full.store(true, Ordering::Relaxed);
    let mut raw = Raw::logged_in(addr).await;
    raw.send("sendmsg u1\ncall-command: hangup\n\n").await;
    raw.expect_goodbye().await;
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    raw.send(&"api echo x\n\nnonsense\n\n".repeat(500)).await;
    raw.expect(&"Content-Type: api/response\nContent-Length: 1\n\nxContent-Type: command/reply\nReply-Text: -ERR command not found\n\n".repeat(500)).await;
}

#[tokio::test]
async fn events_wait_while_a_command_is_half_received() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    raw.ask("event plain GENERAL", "+OK event listener enabled plain").await;
    raw.send("api ec").await;
    fire!(switch.bus(), Event::new(EventName::General));
    raw.send("ho x\n\n").await;
    // Whichever came first, the reply is whole and so is the event.
    let (first, _) = raw.message().await;
    let (second, _) = raw.message().await;
    let types = [first, second].concat();
    assert!(types.contains("api/response") && types.contains("text/event-plain"), "{types}");
}

#[tokio::test]
async fn too_much_before_login_ends_the_connection() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut raw = Raw::connect(addr).await;
    raw.expect("Content-Type: auth/request\n\n").await;
    raw.send("auth x\nContent-Length: 100000000\n\n").await;
    raw.expect_goodbye().await;
}

#[tokio::test]
async fn shutdown_is_announced() {
    let switch = FakeSwitch::new();
    let (server, addr) = serve(&switch).await;
    let mut raw = Raw::logged_in(addr).await;
    raw.ask("event plain SHUTDOWN", "+OK event listener enabled plain").await;
    fire!(switch.bus(), Event::new(EventName::Shutdown));
    server.shutdown().await;
    raw.event("SHUTDOWN").await;
    raw.expect("Content-Type: text/disconnect-notice\nContent-Length: 31\n\nThe system is being shut down.\n").await;
    raw.expect_close().await;
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_cut_and_nobody_else_suffers() {
    let switch = FakeSwitch::new();
    let (_server, addr) = serve(&switch).await;
    let mut slow = Raw::logged_in(addr).await;
    slow.ask("event plain GENERAL", "+OK event listener enabled plain").await;
    let mut fast = Raw::logged_in(addr).await;
    fast.ask("event plain NOTIFY", "+OK event listener enabled plain").await;
    let mut event = Event::new(EventName::General);
    event.set_body("x".repeat(60_000));
    let event = event;
    // More than the sockets hold, then more than the queue holds, then the losses that are forgiven.
    for n in 0..101_200 {
        fire!(switch.bus(), event.clone());
        if n % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    fire!(switch.bus(), Event::new(EventName::Notify));
    fast.event("NOTIFY").await;
    let mut all = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut slow.stream, &mut all);
    tokio::time::timeout(support::PATIENCE, read).await.expect("still open").ok();
    assert!(all.len() < 50_000_000, "{}", all.len());
}
