//! A switch that exists only in memory, and raw clients that compare bytes.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part of it")]
#![allow(clippy::result_large_err, reason = "the trait's signature")]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::guess_guard::{Attempt, Entry};
use esl_server::server::{Listener, ServerConfig, ServerHandle};
use esl_server::{
    ApiReply, ApiRequest, BoxFuture, CallControl, CallMessage, CoreInfo, EslUser, Event, EventBus,
    EventName, EventSink, InlineCall, Level, LogHub, LogLine, QueueFull, Switch, TextChannel, fire,
    stamp,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

pub const PASSWORD: &str = "golden";
pub const CORE_UUID: &str = "11111111-1111-1111-1111-111111111111";
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Knows the API commands `echo`, `eval`, `expr`, `log`, `nothing`, `stuck`, and `when_idle <uuid>`,
/// which ends once the call waits in its own task.
pub struct FakeSwitch {
    bus: Arc<EventBus>,
    logs: Arc<LogHub>,
    pub calls: Mutex<HashMap<String, Arc<FakeCall>>>,
    pub refuses: AtomicBool,
    /// The next look at an access list panics.
    pub fails: AtomicBool,
    pub queued_events: Mutex<Vec<(String, Event)>>,
    pub guessers: Mutex<Vec<Entry>>,
}

impl FakeSwitch {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            bus: EventBus::new(CoreInfo {
                core_uuid: CORE_UUID.into(),
                hostname: "pbx".into(),
                switchname: "pbx".into(),
                ipv4: "127.0.0.1".into(),
                ipv6: "::1".into(),
            }),
            logs: LogHub::new(),
            calls: Mutex::default(),
            refuses: AtomicBool::new(false),
            fails: AtomicBool::new(false),
            queued_events: Mutex::default(),
            guessers: Mutex::default(),
        })
    }

    pub fn add_call(&self, uuid: &str) -> Arc<FakeCall> {
        let call = Arc::new(FakeCall::new(uuid));
        self.calls.lock().unwrap().insert(uuid.into(), Arc::clone(&call));
        call
    }

    fn run(&self, command: &str, args: &str) -> Option<String> {
        Some(match command {
            "echo" | "eval" => args.to_owned(),
            "expr" => match args {
                "6*7" => "42".into(),
                _ => "2".into(),
            },
            "nothing" => String::new(),
            "version" => "fake\n".into(),
            "hostname" | "switchname" => "pbx".into(),
            "show" => "0 total.\n".into(),
            "status" => "UP\n".into(),
            "hupall" => "+OK\n".into(),
            "log" => self.log(args),
            _ => return None,
        })
    }

    fn log(&self, args: &str) -> String {
        let (level, text) = args.split_once(' ').unwrap_or((args, ""));
        if let Some(level) = Level::parse(level) {
            self.logs.publish(LogLine {
                level,
                text_channel: TextChannel::Session,
                file: "mod_commands.c".into(),
                func: "log_function".into(),
                line: 7200,
                user_data: String::new(),
                text: format!(
                    "2026-11-20 17:13:26.016223 62.17% [{level}] mod_commands.c:7200 {text}\n"
                ),
            });
        }
        "+OK\n".into()
    }
}

impl Switch for FakeSwitch {
    fn bus(&self) -> &Arc<EventBus> {
        &self.bus
    }

    fn logs(&self) -> &Arc<LogHub> {
        &self.logs
    }

    fn guessing(&self, _: &Attempt<'_>, held_back: &Entry) {
        self.guessers.lock().unwrap().push(held_back.clone());
    }

    fn api(&self, request: ApiRequest) -> BoxFuture<'_, ApiReply> {
        Box::pin(async move {
            if request.command == "stuck" {
                std::future::pending::<()>().await;
            }
            if request.command == "when_idle" {
                let call = self.calls.lock().unwrap().get(&request.args).cloned();
                let mut idle = call.expect("a known call").idle.subscribe();
                idle.wait_for(|&yes| yes).await.expect("the call goes on");
                return ApiReply::Output("+OK\n".into());
            }
            let mut event = Event::new(EventName::Api);
            stamp!(self.bus, &mut event);
            let output = self.run(&request.command, &request.args);
            if output.is_some() {
                event
                    .push("API-Command", request.command)
                    .push("API-Command-Argument", request.args);
                self.bus.deliver(event);
            }
            output.map_or(ApiReply::NotFound, ApiReply::Output)
        })
    }

    fn call(&self, uuid: &str) -> Option<Arc<dyn CallControl>> {
        let call = self.calls.lock().unwrap().get(uuid).cloned()?;
        Some(call)
    }

    fn acl_allows(&self, list: &str, ip: IpAddr) -> bool {
        assert!(!self.fails.swap(false, Ordering::Relaxed), "provoked by a test");
        list == "loopback.auto"
            && ip.is_loopback()
            && !self.refuses.load(Ordering::Relaxed)
            && ip.to_string() != "127.0.0.66"
    }

    fn esl_user<'a>(&'a self, user: &'a str, domain: &'a str) -> BoxFuture<'a, Option<EslUser>> {
        let found = (user == "anna" && domain == "golden.test").then(|| EslUser {
            password: Some("anna-esl".into()),
            allowed_events: Some("CHANNEL_ANSWER HEARTBEAT".into()),
            allowed_api: Some("status echo".into()),
            allowed_log: Some("false".into()),
        });
        Box::pin(std::future::ready(found))
    }

    fn queue_event_to_call(&self, uuid: &str, event: Event) -> Result<(), Event> {
        if self.calls.lock().unwrap().contains_key(uuid) {
            self.queued_events.lock().unwrap().push((uuid.into(), event));
            return Ok(());
        }
        Err(event)
    }

    fn expand_alias(&self, line: &str) -> Option<String> {
        match line {
            "hi" => Some("echo hello".into()),
            "twice" => Some("hi;;echo again".into()),
            "round" => Some("round".into()),
            _ => None,
        }
    }
}

/// A call that notes what is asked of it.
pub struct FakeCall {
    uuid: String,
    pub posted: Mutex<Vec<CallMessage>>,
    pub full: AtomicBool,
    pub variables: Mutex<HashMap<String, String>>,
    pub controlled: watch::Sender<bool>,
    pub interrupted: AtomicBool,
    pub sink: Mutex<Option<EventSink>>,
    pub idle: watch::Sender<bool>,
    hangup: watch::Sender<bool>,
}

impl FakeCall {
    pub fn new(uuid: &str) -> Self {
        Self {
            uuid: uuid.into(),
            posted: Mutex::default(),
            full: AtomicBool::new(false),
            variables: Mutex::default(),
            controlled: watch::Sender::new(false),
            interrupted: AtomicBool::new(false),
            sink: Mutex::default(),
            idle: watch::Sender::new(false),
            hangup: watch::Sender::new(false),
        }
    }

    pub fn hang_up(&self) {
        self.hangup.send_replace(true);
    }

    pub fn is_hung_up(&self) -> bool {
        *self.hangup.borrow()
    }

    /// An event about this call.
    pub fn event(&self, name: EventName) -> Event {
        let mut event = Event::new(name);
        event.push("Unique-ID", self.uuid.as_str());
        event
    }
}

impl CallControl for FakeCall {
    fn uuid(&self) -> &str {
        &self.uuid
    }

    fn channel_name(&self) -> String {
        "sofia/open/probe@127.0.0.1".into()
    }

    fn channel_data(&self) -> Event {
        let mut event = Event::new(EventName::ChannelData);
        event.push("Channel-Unique-ID", self.uuid.as_str()).push("Unique-ID", self.uuid.as_str());
        event
    }

    fn getvar(&self, name: &str) -> Option<String> {
        self.variables.lock().unwrap().get(name).cloned()
    }

    fn setvar(&self, name: &str, value: Option<&str>) {
        let mut variables = self.variables.lock().unwrap();
        match value {
            Some(value) => variables.insert(name.into(), value.into()),
            None => variables.remove(name),
        };
    }

    fn post(&self, message: CallMessage) -> Result<(), QueueFull> {
        if self.full.load(Ordering::Relaxed) {
            return Err(QueueFull);
        }
        self.posted.lock().unwrap().push(message);
        Ok(())
    }

    fn hung_up(&self) -> BoxFuture<'static, ()> {
        let mut hangup = self.hangup.subscribe();
        Box::pin(async move {
            let _ = hangup.wait_for(|&yes| yes).await;
        })
    }

    fn divert_events(&self, to: Option<EventSink>) {
        *self.sink.lock().unwrap() = to;
    }

    fn set_controlled(&self, on: bool) {
        self.controlled.send_replace(on);
    }

    fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }
}

/// The task side of a [`FakeCall`]: fires `CHANNEL_EXECUTE` and `_COMPLETE` around what it runs.
pub struct FakeInline {
    pub switch: Arc<FakeSwitch>,
    pub call: Arc<FakeCall>,
    pub parked: bool,
}

impl InlineCall for FakeInline {
    fn control(&self) -> Arc<dyn CallControl> {
        Arc::clone(&self.call) as Arc<dyn CallControl>
    }

    fn execute<'a>(&'a mut self, message: CallMessage) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for name in [EventName::ChannelExecute, EventName::ChannelExecuteComplete] {
                let mut event = self.call.event(name);
                event.push("Application", message.app_name().unwrap_or_default());
                fire!(self.switch.bus(), event);
            }
            if message.app_name().as_deref() == Some("hangup") {
                self.call.hang_up();
            }
        })
    }

    fn idle<'a>(&'a mut self) -> BoxFuture<'a, ()> {
        struct Idle<'a>(&'a FakeCall);
        impl Drop for Idle<'_> {
            fn drop(&mut self) {
                self.0.idle.send_replace(false);
            }
        }
        Box::pin(async {
            let idle = Idle(&self.call);
            idle.0.idle.send_replace(true);
            idle.0.hung_up().await;
        })
    }

    fn park<'a>(&'a mut self, stop: BoxFuture<'static, ()>) -> BoxFuture<'a, ()> {
        self.parked = true;
        Box::pin(async move {
            tokio::select! {
                () = stop => {}
                () = self.call.hung_up() => {}
            }
        })
    }
}

/// A server on a free port.
pub async fn serve(switch: &Arc<FakeSwitch>) -> (ServerHandle, SocketAddr) {
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        password: PASSWORD.into(),
        ..ServerConfig::default()
    };
    serve_with(switch, config).await
}

pub async fn serve_with(
    switch: &Arc<FakeSwitch>,
    config: ServerConfig,
) -> (ServerHandle, SocketAddr) {
    let listener = Listener::bind(config).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener.serve(Arc::clone(switch) as Arc<dyn Switch>), addr)
}

/// A bare connection whose every byte is accounted for.
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Connected and logged in.
    pub async fn logged_in(addr: SocketAddr) -> Self {
        let mut raw = Self::connect(addr).await;
        raw.expect("Content-Type: auth/request\n\n").await;
        raw.ask(&format!("auth {PASSWORD}"), "+OK accepted").await;
        raw
    }

    pub async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) =
            timeout(PATIENCE, listener.accept()).await.expect("nobody connected").unwrap();
        Self { stream }
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads exactly this.
    pub async fn expect(&mut self, text: &str) {
        let mut got = Vec::new();
        while got.len() < text.len() {
            let mut byte = [0; 1];
            match timeout(PATIENCE, self.stream.read_exact(&mut byte)).await {
                Ok(Ok(_)) => got.push(byte[0]),
                _ => break,
            }
        }
        assert_eq!(String::from_utf8_lossy(&got), text);
    }

    /// Reads up to and including the next empty line.
    pub async fn block(&mut self) -> String {
        let mut got = Vec::new();
        while !got.ends_with(b"\n\n") {
            let mut byte = [0; 1];
            match timeout(PATIENCE, self.stream.read_exact(&mut byte)).await {
                Ok(Ok(_)) => got.push(byte[0]),
                other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&got)),
            }
        }
        String::from_utf8(got).unwrap()
    }

    /// Reads one message; gives its header block and body.
    pub async fn message(&mut self) -> (String, String) {
        let head = self.block().await;
        let length = head
            .lines()
            .find_map(|l| l.strip_prefix("Content-Length: "))
            .map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        timeout(PATIENCE, self.stream.read_exact(&mut body)).await.expect("no body").unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// The body of the next message, which is an event with that name.
    pub async fn event(&mut self, name: &str) -> String {
        let (head, body) = self.message().await;
        assert!(head.contains("Content-Type: text/event-"), "{head}{body}");
        assert!(
            body.contains(&format!("Event-Name: {name}\n"))
                || body.contains(&format!("\"Event-Name\":\"{name}\"")),
            "{body}"
        );
        body
    }

    /// Sends a command and reads exactly this `command/reply`.
    pub async fn ask(&mut self, command: &str, reply: &str) {
        self.send(&format!("{command}\n\n")).await;
        self.expect(&format!("Content-Type: command/reply\nReply-Text: {reply}\n\n")).await;
    }

    /// Sends `api ...` and reads exactly this body.
    pub async fn api(&mut self, command: &str, body: &str) {
        self.send(&format!("api {command}\n\n")).await;
        self.expect(&format!(
            "Content-Type: api/response\nContent-Length: {}\n\n{body}",
            body.len()
        ))
        .await;
    }

    pub async fn expect_goodbye(&mut self) {
        self.expect(
            "Content-Type: text/disconnect-notice\nContent-Length: 67\n\n\
             Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n",
        )
        .await;
        self.expect_close().await;
    }

    pub async fn expect_close(&mut self) {
        let mut rest = Vec::new();
        let result =
            timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("still open");
        assert!(
            result.is_ok() && rest.is_empty(),
            "{result:?} {:?}",
            String::from_utf8_lossy(&rest)
        );
    }

    /// Proves that nothing was sent uninvited: the next bytes answer this question.
    pub async fn expect_silence(&mut self) {
        self.api("echo anything before this?", "anything before this?").await;
    }
}
