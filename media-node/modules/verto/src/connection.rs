//! One client: TLS and WebSocket, its requests in order, what it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use esl_server::event::{Event, EventName};
use streams::http::{REFUSAL, Upgrade};
use streams::websocket::{self, Frames, Item};
use switch_core::clock;
use switch_core::switch::Switch;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use crate::client::Client;
use crate::hub::Hub;
use crate::profile::Profile;
use crate::rpc::{self, Object};
use crate::{detach, methods};

/// For TLS and the request a WebSocket begins with.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest message, as in the reference; of one that has not logged in.
const LONGEST: usize = 1_000_000;
const LONGEST_OF_STRANGERS: usize = 64 * 1024;
/// Messages of one that has not logged in.
const MOST_OF_STRANGERS: u32 = 32;
/// After so long without a message the client is asked whether it is there, as in the reference.
const IDLE: Duration = Duration::from_secs(30);
/// After so long without a byte it is gone.
const GONE: Duration = Duration::from_secs(90);
/// A client that takes nothing of what is written for so long is given up.
const STALL: Duration = Duration::from_secs(20);
/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(1);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Serves a client in a task of its own.
pub(crate) fn start(
    switch: &Arc<Switch>,
    profile: &Arc<Profile>,
    socket: TcpStream,
    from: SocketAddr,
    tls: Option<TlsAcceptor>,
) {
    let (client, messages) = Client::new(Arc::clone(profile), from, tls.is_some());
    profile.clients.write().insert(0, Arc::clone(&client));
    tell(switch, &client, "verto::client_connect", |_| {});
    let switch = Arc::clone(switch);
    tokio::spawn(async move {
        // A bug in what a client asks costs that client's connection, and nothing else.
        switch_core::tasks::step("Verto client", async {
            let _delay_is_worse = socket.set_nodelay(true);
            let stream: Box<dyn Stream> = match tls {
                None => Box::new(socket),
                Some(tls) => match timeout(HANDSHAKE, tls.accept(socket)).await {
                    Ok(Ok(stream)) => Box::new(stream),
                    _ => return,
                },
            };
            let mut connection = Connection::new(Arc::clone(&switch), Arc::clone(&client), stream);
            if let Err(why) = connection.run(messages).await {
                tracing::debug!("{}: {why}", client.address);
            }
        })
        .await;
        leave(&switch, &client);
    });
}

/// A client is gone: its calls wait for it.
fn leave(switch: &Arc<Switch>, client: &Arc<Client>) {
    let session = client.session();
    client.profile.clients.write().retain(|other| !Arc::ptr_eq(other, client));
    if Hub::of(switch).end_session(client) {
        detach::detach_calls(switch, &session);
    }
    let uid = client.uid();
    tell(switch, client, "verto::client_disconnect", |event| {
        event.push("verto_login", uid);
    });
}

/// Fires an event about a client.
pub(crate) fn tell(
    switch: &Switch,
    client: &Client,
    subclass: &'static str,
    fill: impl FnOnce(&mut Event),
) {
    if !switch.bus.wants(EventName::Custom) {
        switch.bus.skip();
        return;
    }
    let mut event = Event::custom(subclass);
    event.push("verto_profile_name", client.profile.name().to_owned());
    event.push("verto_client_address", client.name());
    fill(&mut event);
    esl_server::fire!(switch.bus, event);
}

/// Why a connection ends.
type End = &'static str;

struct Connection {
    switch: Arc<Switch>,
    hub: Arc<Hub>,
    client: Arc<Client>,
    stream: Box<dyn Stream>,
    frames: Frames,
    begun: Instant,
    /// When the last byte came, and the last message.
    heard: Instant,
    idle_since: Instant,
    /// Messages of a client that has not logged in.
    of_stranger: u32,
    /// Messages it may send at once; each second gives new ones.
    allowance: u32,
    attached: bool,
}

impl Connection {
    fn new(switch: Arc<Switch>, client: Arc<Client>, stream: Box<dyn Stream>) -> Self {
        let now = Instant::now();
        let allowance = client.profile.settings.limits.rate.saturating_mul(2);
        Self {
            hub: Hub::of(&switch),
            switch,
            client,
            stream,
            frames: Frames::new(LONGEST_OF_STRANGERS),
            begun: now,
            heard: now,
            idle_since: now,
            of_stranger: 0,
            allowance,
            attached: false,
        }
    }

    async fn run(&mut self, mut messages: mpsc::Receiver<String>) -> Result<(), End> {
        timeout(HANDSHAKE, self.upgrade()).await.map_err(|_| "WS SETUP FAILED")??;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let client = Arc::clone(&self.client);
        loop {
            let Self { stream, frames, .. } = self;
            tokio::select! {
                biased;
                message = messages.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    client.written(&message);
                    self.log("WRITE", &message);
                    self.write(&websocket::message(message.as_bytes())).await?;
                }
                // What is queued was written before: the queue is looked at first.
                () = client.let_go_of() => {
                    let _gone = self.write(&websocket::close_with(1000)).await;
                    return Err("Dropping Connection");
                }
                read = stream.read_buf(frames.buffer()) => {
                    match read {
                        Ok(0) => return Err("the client has closed"),
                        Ok(_) => {}
                        Err(_) => return Err("the connection broke"),
                    }
                    self.heard = Instant::now();
                    self.read(&mut messages).await?;
                }
                _ = ticks.tick() => self.tick().await?,
            }
        }
    }

    async fn upgrade(&mut self) -> Result<(), End> {
        let mut buffer = BytesMut::new();
        loop {
            match Upgrade::read(&mut buffer) {
                Ok(Some(upgrade)) => {
                    self.write(upgrade.acceptance().as_bytes()).await?;
                    self.frames.buffer().extend_from_slice(&buffer);
                    return Ok(());
                }
                Ok(None) => {}
                Err(_) => {
                    self.write(REFUSAL).await?;
                    return Err("not a WebSocket");
                }
            }
            match self.stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return Err("closed before it was a WebSocket"),
                Ok(_) => {}
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(STALL, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the connection broke"),
            Err(_) => Err("the client does not read"),
        }
    }

    /// Takes the messages that are there.
    async fn read(&mut self, messages: &mut mpsc::Receiver<String>) -> Result<(), End> {
        loop {
            let item = match self.frames.next_item() {
                Ok(Some(item)) => item,
                Ok(None) => return Ok(()),
                Err(error) => {
                    let _gone = self.write(&websocket::close_with(error.code())).await;
                    return Err("BAD READ");
                }
            };
            match item {
                Item::Message(text) => {
                    self.idle_since = Instant::now();
                    self.count()?;
                    if text.first() == Some(&b'#') {
                        self.speed_test(&text).await?;
                    } else {
                        self.on_message(&text).await;
                    }
                    // Replies go out between requests, so that what waits stays small.
                    while let Ok(message) = messages.try_recv() {
                        self.client.written(&message);
                        self.log("WRITE", &message);
                        self.write(&websocket::message(message.as_bytes())).await?;
                    }
                    if self.client.is_let_go() {
                        return Ok(());
                    }
                }
                Item::Ping(payload) => self.write(&websocket::pong(&payload)).await?,
                Item::Pong => {}
                Item::Close(payload) => {
                    let _gone = self.write(&websocket::close(&payload)).await;
                    return Err("Client sent close request");
                }
            }
        }
    }

    /// Counts a message; one that sends too many is let go.
    fn count(&mut self) -> Result<(), End> {
        if !self.client.with(|state| state.authed) {
            self.of_stranger += 1;
            if self.of_stranger > MOST_OF_STRANGERS {
                return Err("too many messages before a login");
            }
        }
        self.allowance = self.allowance.checked_sub(1).ok_or("too many messages")?;
        Ok(())
    }

    async fn on_message(&mut self, text: &[u8]) {
        self.log("READ", &String::from_utf8_lossy(text));
        let reply = match rpc::read(text) {
            rpc::Incoming::Nonsense => Some(rpc::not_a_message("Invalid Request", None)),
            rpc::Incoming::One(message) => {
                methods::answer(&self.switch, &self.client, message).await
            }
            rpc::Incoming::Batch(batch) => {
                let mut replies = Vec::new();
                for message in batch {
                    replies.extend(methods::answer(&self.switch, &self.client, message).await);
                }
                Some(replies.into())
            }
        };
        if let Some(reply) = reply {
            self.client.send(reply);
        }
        self.after_login().await;
    }

    /// Once a client has logged in it may send longer messages, and its calls are offered to it.
    async fn after_login(&mut self) {
        let ready = self.client.with(|state| state.authed && state.begun);
        if ready && !self.attached {
            self.attached = true;
            let mut frames = Frames::new(LONGEST);
            frames.buffer().extend_from_slice(self.frames.buffer());
            self.frames = frames;
            detach::attach_calls(&self.switch, &self.client).await;
        }
    }

    async fn tick(&mut self) -> Result<(), End> {
        let limits = self.client.profile.settings.limits;
        self.allowance =
            self.allowance.saturating_add(limits.rate).min(limits.rate.saturating_mul(2));
        if !self.client.with(|state| state.authed) && self.begun.elapsed() > limits.login {
            return Err("no login in time");
        }
        let expires = self.client.with(|state| state.login.expires);
        if expires.is_some_and(|expires| clock::now_secs() >= expires) {
            return Err("Authentication Expired");
        }
        if self.heard.elapsed() > GONE {
            return Err("the client is silent");
        }
        if self.idle_since.elapsed() > IDLE {
            self.idle_since = Instant::now();
            let mut params = Object::new();
            if let Some(expires) = expires {
                params.insert("auth-expires".into(), expires.into());
            }
            params.insert("serno".into(), clock::now_secs().into());
            self.client.send(self.hub.request("verto.ping", params));
            // A browser answers this one by itself, whatever its page does.
            self.write(&websocket::ping()).await?;
        }
        Ok(())
    }

    /// `#SPU bytes`: the client measures its connection. What it sends until another message comes is timed, then as many
    /// bytes are sent to it, ten times.
    async fn speed_test(&mut self, text: &[u8]) -> Result<(), End> {
        const MOST: usize = 10 * 1024 * 1024;
        if !self.client.with(|state| state.authed) {
            return Err("Speed-test request before authentication");
        }
        let size = text.strip_prefix(b"#SPU").and_then(|text| std::str::from_utf8(text).ok());
        let size = size.and_then(|text| text.trim().parse::<usize>().ok());
        let Some(size) = size.filter(|size| (1..=MOST).contains(size)) else { return Ok(()) };
        let begun = Instant::now();
        loop {
            while let Some(item) = self.frames.next_item().map_err(|_| "BAD READ")? {
                let Item::Message(text) = item else { continue };
                if text.starts_with(b"#SPB") && begun.elapsed() < STALL {
                    continue;
                }
                return self.speed_test_back(size, begun.elapsed()).await;
            }
            let read = timeout(STALL, self.stream.read_buf(self.frames.buffer())).await;
            if !matches!(read, Ok(Ok(1..))) {
                return Err("the connection broke");
            }
            self.heard = Instant::now();
        }
    }

    async fn speed_test_back(&mut self, size: usize, up: Duration) -> Result<(), End> {
        const TURNS: u32 = 10;
        const PIECE: usize = 1024;
        self.write(&websocket::message(format!("#SPU {}", up.as_millis()).as_bytes())).await?;
        let mut piece = b"#SPB ".to_vec();
        piece.resize(PIECE, b'.');
        let begun = Instant::now();
        for _ in 0..TURNS {
            for _ in 0..size / PIECE {
                self.write(&websocket::message(&piece)).await?;
            }
            if let Some(rest) = piece.get(..size % PIECE).filter(|rest| !rest.is_empty()) {
                self.write(&websocket::message(rest)).await?;
            }
        }
        let each = begun.elapsed() / TURNS;
        self.write(&websocket::message(format!("#SPD {}", each.as_millis()).as_bytes())).await
    }

    fn log(&self, what: &str, text: &str) {
        if self.hub.logs(&self.client.profile) {
            let text = if text.contains("passwd") { "(a login)" } else { text };
            tracing::info!("{what} {} [{text}]", self.client.address);
        }
    }
}
