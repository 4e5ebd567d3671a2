//! A small asynchronous client of the Event Socket, used by `fs_cli` and by tests.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::frame::{Decoder, FrameError, Message};

/// Messages kept while a reply is awaited; more than this and the oldest is dropped, as a console
/// that waits for `api` output must not grow without bound.
const MAX_QUEUED: usize = 100_000;
/// Least room offered to a read.
const READ_ROOM: usize = 16_384;

/// Who is logging in.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `user@domain` for `userauth`; `None` for plain `auth`.
    pub user: Option<String>,
    /// The password.
    pub password: String,
}

impl Credentials {
    /// Logs in with the server's password.
    pub fn password(password: impl Into<String>) -> Self {
        Self { user: None, password: password.into() }
    }

    fn command(&self) -> String {
        match &self.user {
            Some(user) => format!("userauth {user}:{}", self.password),
            None => format!("auth {}", self.password),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why a client failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The name has no address.
    #[error("Cannot resolve host")]
    Resolve(#[source] io::Error),
    /// Nothing listens there, or a firewall is in the way.
    #[error("Socket Connection Error")]
    Connect(#[source] io::Error),
    /// No answer in time.
    #[error("Connection timed out")]
    TimedOut,
    /// The peer does not greet like an Event Socket, or refuses this address.
    #[error("Connection Error")]
    Greeting,
    /// The server does not accept the password.
    #[error("Authentication Error")]
    Rejected,
    /// The connection was closed.
    #[error("connection closed")]
    Closed,
    /// The connection broke.
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    /// The peer sends what cannot be read.
    #[error("unreadable message: {0}")]
    Frame(#[from] FrameError),
}

/// A logged-in connection.
///
/// Every method may be dropped half way without losing a message, except that a reply then answers
/// the next question.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    decoder: Decoder,
    queued: VecDeque<Message>,
}

impl Client {
    /// Connects and logs in; `limit` bounds the connection and each step of the login.
    ///
    /// # Errors
    /// As the variants of [`ClientError`] say.
    pub async fn connect(
        host: &str,
        port: u16,
        credentials: &Credentials,
        limit: Option<Duration>,
    ) -> Result<Self, ClientError> {
        let stream = within(limit, open(host, port)).await?;
        let mut client = Self { stream, decoder: Decoder::new(), queued: VecDeque::new() };
        let greeting = within(limit, client.receive()).await.map_err(greeting_error)?;
        if greeting.content_type() != "auth/request" {
            return Err(ClientError::Greeting);
        }
        let reply =
            within(limit, client.command(&credentials.command())).await.map_err(greeting_error)?;
        if reply.reply_text().eq_ignore_ascii_case("+OK accepted") {
            Ok(client)
        } else {
            Err(ClientError::Rejected)
        }
    }

    /// Sends a command (with header lines and body, if it has any) and waits for its reply. The
    /// empty line at the end is added unless it is there.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn command(&mut self, command: &str) -> Result<Message, ClientError> {
        self.send(command).await?;
        loop {
            let message = self.receive().await?;
            if message.is_reply() {
                return Ok(message);
            }
            if self.queued.len() >= MAX_QUEUED {
                self.queued.pop_front();
            }
            self.queued.push_back(message);
        }
    }

    /// Runs an API command and gives its output, or the text of the refusal.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn api(&mut self, line: &str) -> Result<String, ClientError> {
        let reply = self.command(&format!("api {line}")).await?;
        Ok(if reply.content_type() == "api/response" { reply.text() } else { reply.reply_text() }
            .into_owned())
    }

    /// Sends a command without waiting.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn send(&mut self, command: &str) -> Result<(), ClientError> {
        let end = if command.ends_with("\n\n") { "" } else { "\n\n" };
        let text = format!("{command}{end}");
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// The next message that is not a reply to [`Self::command`]: an event, a log line, a notice.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn next(&mut self) -> Result<Message, ClientError> {
        match self.queued.pop_front() {
            Some(message) => Ok(message),
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> Result<Message, ClientError> {
        loop {
            if let Some(message) = self.decoder.next()? {
                return Ok(message);
            }
            self.stream.readable().await?;
            let buffer = self.decoder.buffer();
            buffer.reserve(READ_ROOM);
            match self.stream.try_read_buf(buffer) {
                Ok(0) => return Err(ClientError::Closed),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

async fn open(host: &str, port: u16) -> Result<TcpStream, ClientError> {
    let addresses = lookup_host((host, port)).await.map_err(ClientError::Resolve)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(ClientError::Connect(last))
}

async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    match limit {
        Some(limit) => timeout(limit, work).await.unwrap_or(Err(ClientError::TimedOut)),
        None => work.await,
    }
}

/// A peer that hangs up instead of greeting is no Event Socket, or does not want us.
fn greeting_error(error: ClientError) -> ClientError {
    match error {
        ClientError::TimedOut => ClientError::TimedOut,
        _ => ClientError::Greeting,
    }
}
