//! `Socket`: connections of scripts to servers, over TCP.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http_client::reach;
use rquickjs::Ctx;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};

use crate::context::{Context, Held};
use crate::values::{Answer, Given, object, unknown};

/// How long anything may take where the script has not set `timeout`.
const DEADLINE: Duration = Duration::from_secs(60);
/// The longest line, and most that is read at once, in octets.
const LONGEST: usize = 1 << 20;
/// What is read from the system at once, in octets.
const PART: usize = 4096;
/// Connections a script may have at once.
const MOST: usize = 64;

/// The object.
pub(crate) struct Socket {
    context: Rc<Context>,
    connection: RefCell<Option<Connection>>,
    /// In microseconds, as scripts set it; below 0 they have not.
    timeout: Cell<i64>,
    held: Held,
}

/// A connection, and what came and was not asked for yet.
struct Connection {
    stream: TcpStream,
    waiting: Vec<u8>,
    _open: Open,
}

/// Counts a connection while it is open.
struct Open(Rc<Cell<usize>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Socket {
    /// One that is not connected.
    pub(crate) fn create<'js>(
        ctx: &Ctx<'js>,
        context: &Rc<Context>,
        _: &Given<'js>,
    ) -> rquickjs::Result<Answer<'js>> {
        let this = Self {
            context: Rc::clone(context),
            connection: RefCell::default(),
            timeout: Cell::new(-1),
            held: context.hold(ctx)?,
        };
        // What may wait to be read.
        this.held.grow(ctx, PART)?;
        object(ctx, move |ctx, operation, given| this.run(ctx, operation, given))
            .map(Answer::Function)
    }

    fn run<'js>(
        &self,
        ctx: &Ctx<'js>,
        operation: &str,
        given: &Given<'js>,
    ) -> rquickjs::Result<Answer<'js>> {
        Ok(match operation {
            "connect" => Answer::Bool(self.connect(ctx, &given.text(0), given.int(1))?),
            "send" => Answer::Bool(self.send(ctx, given.text(0).into_bytes())?),
            "read" => read_as(self.read(ctx, given.text(0).bytes().next().unwrap_or(b'\n'))?),
            "readBytes" => {
                let most = usize::try_from(given.int(0)).unwrap_or(0).min(LONGEST);
                read_as(self.read_bytes(ctx, most)?)
            }
            "close" => {
                self.connection.borrow_mut().take();
                Answer::Nothing
            }
            "address" => Answer::Text(match self.peer() {
                Some(address) => address.ip().to_string(),
                None => "unknown".to_owned(),
            }),
            "port" => Answer::Int(self.peer().map_or(0, |address| address.port().into())),
            "timeout" => Answer::Int(self.timeout.get()),
            "setTimeout" => {
                self.timeout.set(given.int(0));
                Answer::Nothing
            }
            _ => return Err(unknown(ctx, operation)),
        })
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.connection.borrow().as_ref()?.stream.peer_addr().ok()
    }

    /// Waits for something of the network, as long as it may take; the log says why it failed.
    fn within<T>(
        &self,
        ctx: &Ctx<'_>,
        what: &str,
        work: impl Future<Output = io::Result<T>>,
    ) -> rquickjs::Result<Option<T>> {
        let limit = u64::try_from(self.timeout.get()).map_or(DEADLINE, Duration::from_micros);
        // Made where it is waited for: a timer belongs to the runtime.
        let whole = async { tokio::time::timeout(limit, work).await };
        let done = self.context.wait(ctx, "a socket", whole)?;
        let error = match done {
            Ok(Ok(value)) => return Ok(Some(value)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("nothing within {limit:?}"),
        };
        tracing::warn!("Socket: {what}: {error}");
        Ok(None)
    }

    fn connect(&self, ctx: &Ctx<'_>, host: &str, port: i64) -> rquickjs::Result<bool> {
        self.connection.borrow_mut().take();
        let Ok(port) = u16::try_from(port) else { return Ok(false) };
        let open = &self.context.sockets;
        if open.get() >= MOST {
            tracing::warn!("Socket: a script has at most {MOST} connections at once");
            return Ok(false);
        }
        // Where a far end's words name the server, no address of the machine's own networks is asked.
        let far = reach::is_far(&self.context.taint.borrow().mark_all(host));
        tracing::debug!("Connecting to: {host}:{port}.");
        let what = format!("{host}:{port}");
        let Some(stream) = self.within(ctx, &what, reached(host, port, far))? else {
            return Ok(false);
        };
        open.set(open.get() + 1);
        let open = Open(Rc::clone(open));
        *self.connection.borrow_mut() =
            Some(Connection { stream, waiting: Vec::new(), _open: open });
        Ok(true)
    }

    fn send(&self, ctx: &Ctx<'_>, octets: Vec<u8>) -> rquickjs::Result<bool> {
        let mut connection = self.connection.borrow_mut();
        let Some(connection) = &mut *connection else { return Ok(false) };
        let sent = self.within(ctx, "send", connection.stream.write_all(&octets))?;
        Ok(sent.is_some())
    }

    /// What stands before the next `end`; it is taken away, and a carriage return before the end of a line with it. Nothing
    /// where it does not come: what has come stays for the next look.
    fn read(&self, ctx: &Ctx<'_>, end: u8) -> rquickjs::Result<Option<Vec<u8>>> {
        let mut connection = self.connection.borrow_mut();
        let Some(connection) = &mut *connection else { return Ok(None) };
        let Some(length) = self.within(ctx, "read", connection.until(end))? else {
            return Ok(None);
        };
        let mut line: Vec<u8> = connection.waiting.drain(..=length).collect();
        line.pop();
        if end == b'\n' {
            line.retain(|octet| *octet != b'\r');
        }
        Ok(Some(line))
    }

    /// What there is, at most so much; waits where there is nothing.
    fn read_bytes(&self, ctx: &Ctx<'_>, most: usize) -> rquickjs::Result<Option<Vec<u8>>> {
        let mut connection = self.connection.borrow_mut();
        let Some(connection) = &mut *connection else { return Ok(None) };
        if connection.waiting.is_empty() && most > 0 {
            let more = self.within(ctx, "readBytes", connection.more())?;
            if more.is_none() {
                return Ok(None);
            }
        }
        let length = connection.waiting.len().min(most);
        Ok(Some(connection.waiting.drain(..length).collect()))
    }
}

fn read_as<'js>(read: Option<Vec<u8>>) -> Answer<'js> {
    match read {
        Some(octets) => Answer::Text(String::from_utf8_lossy(&octets).into_owned()),
        None => Answer::Bool(false),
    }
}

/// Connects to the first address of a host that answers.
async fn reached(host: &str, port: u16, far: bool) -> io::Result<TcpStream> {
    let mut trouble = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in lookup_host((host, port)).await? {
        if far && !reach::is_public(address.ip()) {
            trouble = io::Error::other("a far end named an address of the machine's own networks");
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => trouble = error,
        }
    }
    Err(trouble)
}

impl Connection {
    /// How many octets stand before that one. Cancel-safe.
    async fn until(&mut self, end: u8) -> io::Result<usize> {
        let mut seen = 0;
        loop {
            let waiting = self.waiting.get(seen..).unwrap_or_default();
            if let Some(at) = waiting.iter().position(|octet| *octet == end) {
                return Ok(seen + at);
            }
            seen = self.waiting.len();
            if seen >= LONGEST {
                return Err(io::Error::other("a line has no end"));
            }
            self.more().await?;
        }
    }

    /// Waits for more. Cancel-safe.
    async fn more(&mut self) -> io::Result<()> {
        let mut part = [0; PART];
        let read = self.stream.read(&mut part).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.waiting.extend_from_slice(part.get(..read).unwrap_or_default());
        Ok(())
    }
}
