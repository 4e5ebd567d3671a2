//! The HTTP client of lookups and call records: one request at a time, bounded in time by its caller, in size by itself.
//!
//! Each request has a connection of its own, as in the reference: what a proxy or a restarted server makes of kept ones
//! is never a call's problem. TLS sessions are resumed.

#![deny(unsafe_code)]

mod heads;
pub mod multipart;
pub mod reach;
pub mod tls;
mod traced;

pub use heads::Heads;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use sip::digest::{Challenge, Credentials, Secret, Subject};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use url::Url;

/// Redirects followed per request.
const MAX_REDIRECTS: usize = 10;
/// Times a server may ask for (other) credentials per request.
const MAX_CHALLENGES: usize = 2;

/// Ways to prove who we are that a binding allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schemes {
    /// User and password in the clear; sent unasked when nothing else is allowed.
    pub basic: bool,
    /// RFC 7616.
    pub digest: bool,
}

/// User and password.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: String,
    /// How they may be shown.
    pub schemes: Schemes,
}

impl Login {
    /// The credentials in an address, which leave it: they are not sent as part of it.
    pub fn take_from(url: &mut Url, schemes: Schemes) -> Option<Self> {
        if url.username().is_empty() {
            return None;
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let login = Self {
            user: decoded(url.username()),
            password: decoded(url.password().unwrap_or_default()),
            schemes,
        };
        // Fails only for addresses without a host, which have no user either.
        let _left = (url.set_username(""), url.set_password(None));
        Some(login)
    }
}

/// An address for the log, without what may be secret: user, password, query.
#[must_use]
pub fn shown(address: &str) -> String {
    Url::parse(address).map_or_else(
        |_| "no address".to_owned(),
        |url| format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path()),
    )
}

/// A client for one binding.
pub struct Client {
    /// TLS of `https` addresses.
    pub tls: Arc<rustls::ClientConfig>,
    /// Address to connect from.
    pub bind: Option<IpAddr>,
    /// Who we are.
    pub login: Option<Login>,
    /// Longest body taken, bytes.
    pub max_bytes: usize,
    /// The addresses that may be connected to; all when `None`.
    pub reaches: Option<fn(IpAddr) -> bool>,
    /// Which of them it may lead to; all when `None`.
    pub guard: Option<reach::Guard>,
    /// Headers of every request whose names are known at run time only.
    pub extra: Vec<(String, String)>,
    /// Takes the heads of all answers as they came, redirects' too.
    pub heads: Option<Heads>,
    /// A redirect that would make a GET of what is sent is the answer, and not followed.
    pub keeps_body: bool,
    challenge: Mutex<Option<(Challenge, u32)>>,
}

#[derive(Debug)]
struct Origin {
    secure: bool,
    host: String,
    port: u16,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Verb.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// What servers see us as (the reference's names, `freeswitch-xml/1.0`).
    pub user_agent: &'static str,
    /// Further headers. One that every request has (`User-Agent`, `Content-Type`) takes its place.
    pub headers: Vec<(&'static str, String)>,
    /// The body of a POST, with its content type.
    pub body: Option<(&'static str, Bytes)>,
}

/// The content type of a form.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// A failed exchange.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be used; its scheme is told.
    #[error("{0}: neither http nor https")]
    Address(String),
    /// No connection.
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect {
        host: String,
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// The other side does not speak HTTP as it should, or closed in the middle.
    #[error("exchange failed: {0}")]
    Exchange(#[from] hyper::Error),
    /// The request cannot be written.
    #[error("bad request: {0}")]
    Request(#[from] hyper::http::Error),
    /// More than `response-max-bytes`.
    #[error("the response is longer than {0} bytes")]
    TooLong(usize),
    /// Too many redirects, or one that leads nowhere.
    #[error("cannot follow the redirect")]
    Redirect,
}

/// Status, headers and body of an answer.
pub type Answer = (StatusCode, HeaderMap, Bytes);

/// The body of an answer as it comes.
#[derive(Debug)]
pub struct Body {
    incoming: hyper::body::Incoming,
    /// The connection ends with it.
    _sender: SendRequest<Full<Bytes>>,
    most: usize,
    taken: usize,
}

impl Body {
    /// The next piece; `None` at the end. Waits as long as the server does.
    ///
    /// # Errors
    /// [`HttpError::Exchange`] when the connection breaks, [`HttpError::TooLong`] beyond the client's bound.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        while let Some(frame) = self.incoming.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            self.taken = self.taken.saturating_add(data.len());
            if self.taken > self.most {
                return Err(HttpError::TooLong(self.most));
            }
            return Ok(Some(data));
        }
        Ok(None)
    }

    async fn whole(mut self) -> Result<Bytes, HttpError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

impl Client {
    /// A client without connections.
    #[must_use]
    pub fn new(
        tls: Arc<rustls::ClientConfig>,
        bind: Option<IpAddr>,
        login: Option<Login>,
        max_bytes: usize,
    ) -> Self {
        Self {
            tls,
            bind,
            login,
            max_bytes,
            reaches: None,
            guard: None,
            extra: Vec::new(),
            heads: None,
            keeps_body: false,
            challenge: Mutex::new(None),
        }
    }

    /// Sends a request, follows redirects, answers challenges. No deadline of its own.
    ///
    /// # Errors
    /// [`HttpError`] when there is no whole answer; an answer of whatever status is none.
    pub async fn send(&self, ask: Ask) -> Result<(StatusCode, Bytes), HttpError> {
        let (status, _, body) = self.exchange_whole(ask).await?;
        Ok((status, body))
    }

    /// [`Client::send`] that gives the headers of the answer, too. What is asked for a call that is traced is a span of
    /// its trace, which the server is told of (`traceparent`).
    ///
    /// # Errors
    /// As for [`Client::send`].
    pub async fn exchange_whole(&self, mut ask: Ask) -> Result<Answer, HttpError> {
        let Some(span) = traced::Asked::new(&mut ask) else { return self.exchange_all(ask).await };
        let answer = self.exchange_all(ask).await;
        span.answered(&answer);
        answer
    }

    async fn exchange_all(&self, ask: Ask) -> Result<Answer, HttpError> {
        let (status, headers, body) = self.open(ask).await?;
        Ok((status, headers, body.whole().await?))
    }

    /// [`Client::send`] that gives the body as it comes.
    ///
    /// # Errors
    /// As for [`Client::send`], as far as the answer's head goes.
    pub async fn open(&self, mut ask: Ask) -> Result<(StatusCode, HeaderMap, Body), HttpError> {
        let first = ask.url.origin();
        let (mut redirects, mut challenges) = (0, 0);
        let mut proof = self.proof_unasked(&ask);
        let mut strict = self.guard.as_ref().is_some_and(|guard| guard.far);
        loop {
            let origin = Origin::of(&ask.url)?;
            let (mut sender, peer) = self.connect(&origin, strict).await?;
            let request = self.request(&ask, &origin, proof.as_ref())?;
            let (head, incoming) = sender.send_request(request).await?.into_parts();
            let (status, headers) = (head.status, head.headers);
            let body = Body { incoming, _sender: sender, most: self.max_bytes, taken: 0 };
            let ours = ask.url.origin() == first;
            if status == StatusCode::UNAUTHORIZED && ours && challenges < MAX_CHALLENGES {
                challenges += 1;
                if let Some(answer) = self.answer_challenge(&ask, &headers, proof.as_ref()) {
                    proof = Some(answer);
                    continue;
                }
            }
            let Some(location) = redirect(status, &headers) else {
                return Ok((status, headers, body));
            };
            // RFC 9110: 301 and 302 make a GET of a POST alone, 303 of everything, 307 and 308 of nothing.
            let becomes_get = ask.body.is_some()
                && match status {
                    StatusCode::SEE_OTHER => true,
                    StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => ask.method == Method::POST,
                    _ => false,
                };
            if becomes_get && self.keeps_body {
                return Ok((status, headers, body));
            }
            redirects += 1;
            if redirects > MAX_REDIRECTS {
                return Err(HttpError::Redirect);
            }
            ask.url = ask.url.join(location).map_err(|_| HttpError::Redirect)?;
            // A server outside does not say what is asked inside.
            strict |= reach::is_public(peer);
            if becomes_get {
                (ask.method, ask.body) = (Method::GET, None);
            }
            // Credentials are for the server they were given for.
            proof = if ask.url.origin() == first { self.proof_unasked(&ask) } else { None };
        }
    }

    fn proof_unasked(&self, ask: &Ask) -> Option<HeaderValue> {
        let login = self.login.as_ref()?;
        if login.schemes.basic && !login.schemes.digest {
            return login.basic();
        }
        let challenge = {
            let mut known = self.challenge.lock();
            let (challenge, count) = known.as_mut()?;
            *count = count.wrapping_add(1);
            (challenge.clone(), *count)
        };
        login.digest(&challenge.0, challenge.1, ask)
    }

    fn answer_challenge(
        &self,
        ask: &Ask,
        headers: &HeaderMap,
        sent: Option<&HeaderValue>,
    ) -> Option<HeaderValue> {
        let login = self.login.as_ref()?;
        let offers = || {
            let values = headers.get_all(header::WWW_AUTHENTICATE).into_iter();
            values.filter_map(|value| value.to_str().ok())
        };
        if login.schemes.digest
            && let Some(challenge) = offers().find_map(|offer| Challenge::parse(offer, false))
        {
            // The nonce just answered again, and not because it is old: the credentials are wrong.
            let answered = format!("nonce=\"{}\"", challenge.nonce);
            let sent = sent.and_then(|sent| sent.to_str().ok()).unwrap_or_default();
            if sent.contains(&answered) && !challenge.stale {
                return None;
            }
            *self.challenge.lock() = Some((challenge.clone(), 1));
            return login.digest(&challenge, 1, ask);
        }
        let offered =
            offers().any(|offer| offer.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("basic")));
        (login.schemes.basic && login.schemes.digest && offered).then(|| login.basic())?
    }

    fn request(
        &self,
        ask: &Ask,
        origin: &Origin,
        proof: Option<&HeaderValue>,
    ) -> Result<Request<Full<Bytes>>, HttpError> {
        let target = &ask.url[url::Position::BeforePath..url::Position::AfterQuery];
        let own = |name: &header::HeaderName| {
            let given = ask.headers.iter().map(|(own, value)| (*own, value));
            let extra = self.extra.iter().map(|(own, value)| (own.as_str(), value));
            let mut all = given.chain(extra);
            all.find(|(own, _)| own.eq_ignore_ascii_case(name.as_str()))
                .map(|(_, value)| value.as_str())
        };
        let standard = [(header::USER_AGENT, ask.user_agent), (header::ACCEPT, "*/*")];
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(target)
            .header(header::HOST, origin.host_header());
        for (name, usual) in &standard {
            request = request.header(name, own(name).unwrap_or(usual));
        }
        let given = ask.headers.iter().map(|(name, value)| (*name, value));
        let extra = self.extra.iter().map(|(name, value)| (name.as_str(), value));
        for (name, value) in given.chain(extra) {
            if !standard.iter().any(|(known, _)| known.as_str().eq_ignore_ascii_case(name)) {
                request = request.header(name, value);
            }
        }
        if let Some(proof) = proof {
            request = request.header(header::AUTHORIZATION, proof);
        }
        let Some((content_type, body)) = &ask.body else {
            return Ok(request.body(Full::default())?);
        };
        if own(&header::CONTENT_TYPE).is_none() {
            request = request.header(header::CONTENT_TYPE, *content_type);
        }
        Ok(request.body(Full::new(body.clone()))?)
    }

    async fn connect(
        &self,
        origin: &Origin,
        strict: bool,
    ) -> Result<(SendRequest<Full<Bytes>>, IpAddr), HttpError> {
        let failed =
            |source| HttpError::Connect { host: origin.host.clone(), port: origin.port, source };
        let (stream, peer) = self.dial(origin, strict).await.map_err(failed)?;
        let _best_effort = stream.set_nodelay(true);
        if !origin.secure {
            let tap = heads::Tap::new(stream, self.heads.clone());
            return Ok((handshake(TokioIo::new(tap)).await?, peer));
        }
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(failed)?;
        let tap = heads::Tap::new(stream, self.heads.clone());
        Ok((handshake(TokioIo::new(tap)).await?, peer))
    }

    /// Tries the host's addresses in order.
    async fn dial(&self, origin: &Origin, strict: bool) -> std::io::Result<(TcpStream, IpAddr)> {
        let addresses = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await?;
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            if self.reaches.is_some_and(|reaches| !reaches(address.ip())) {
                last = std::io::Error::other("not an address that may be reached");
                continue;
            }
            let guard = self.guard.as_ref();
            if guard.is_some_and(|guard| !guard.allows(strict, &origin.host, address.ip())) {
                last = std::io::Error::other(
                    "an address inside the node's own network that allow-internal-targets does not name",
                );
                continue;
            }
            match dial_one(address, self.bind).await {
                Ok(stream) => return Ok((stream, address.ip())),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

async fn dial_one(address: SocketAddr, bind: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(ip) = bind {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    socket.connect(address).await
}

/// The connection ends with the last handle to it.
async fn handshake<I>(io: I) -> Result<SendRequest<Full<Bytes>>, HttpError>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    // Header names in the case clients of the reference send them in; some servers' scripts look for it.
    let (sender, connection) = http1::Builder::new().title_case_headers(true).handshake(io).await?;
    tokio::spawn(async move {
        // The caller that waits for the response gets the failure.
        let _told = connection.await;
    });
    Ok(sender)
}

fn redirect(status: StatusCode, headers: &HeaderMap) -> Option<&str> {
    let redirects = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    headers.get(header::LOCATION).filter(|_| redirects)?.to_str().ok()
}

impl Origin {
    fn of(url: &Url) -> Result<Self, HttpError> {
        let secure = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(HttpError::Address(url.scheme().to_owned())),
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(HttpError::Address(url.scheme().to_owned()));
        };
        // An IPv6 address stands in brackets in an address, and without them everywhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { secure, host, port })
    }

    fn host_header(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.secure { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

impl Login {
    fn basic(&self) -> Option<HeaderValue> {
        let pair = format!("{}:{}", self.user, self.password);
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        secret(&format!("Basic {pair}"))
    }

    fn digest(&self, challenge: &Challenge, count: u32, ask: &Ask) -> Option<HeaderValue> {
        let target = &ask.url[url::Position::BeforePath..url::Position::AfterQuery];
        let cnonce = uuid::Uuid::new_v4().simple().to_string();
        let body = ask.body.as_ref().map(|(_, body)| &body[..]).unwrap_or_default();
        let credentials = Credentials::answer(
            challenge,
            &self.user,
            &Secret::Password(self.password.clone()),
            &Subject { method: ask.method.as_str(), uri: target, body },
            count,
            &cnonce,
        );
        secret(&format!("Digest {}", credentials.to_string().trim_start_matches("Digest ")))
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
