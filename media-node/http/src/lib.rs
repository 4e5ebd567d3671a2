//! The HTTP client of lookups and call records: one request at a time, bounded in time by its caller, in size by itself.
//!
//! Each request has a connection of its own, as in the reference: what a proxy or a restarted server makes of kept ones
//! is never a call's problem. TLS sessions are resumed.

#![deny(unsafe_code)]

pub mod tls;

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
use rustls::pki_types::ServerName;
use sip::digest::{Challenge, Credentials, Secret};
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
    /// Further headers.
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

type Answer = (StatusCode, HeaderMap, Bytes);

impl Client {
    /// A client without connections.
    #[must_use]
    pub fn new(
        tls: Arc<rustls::ClientConfig>,
        bind: Option<IpAddr>,
        login: Option<Login>,
        max_bytes: usize,
    ) -> Self {
        Self { tls, bind, login, max_bytes, challenge: Mutex::new(None) }
    }

    /// Sends a request, follows redirects, answers challenges. No deadline of its own.
    ///
    /// # Errors
    /// [`HttpError`] when there is no whole answer; an answer of whatever status is none.
    pub async fn send(&self, mut ask: Ask) -> Result<(StatusCode, Bytes), HttpError> {
        let first = ask.url.origin();
        let (mut redirects, mut challenges) = (0, 0);
        let mut proof = self.proof_unasked(&ask);
        loop {
            let (status, headers, body) = self.exchange(&ask, proof.as_ref()).await?;
            let ours = ask.url.origin() == first;
            if status == StatusCode::UNAUTHORIZED && ours && challenges < MAX_CHALLENGES {
                challenges += 1;
                if let Some(answer) = self.answer_challenge(&ask, &headers, proof.as_ref()) {
                    proof = Some(answer);
                    continue;
                }
            }
            let Some(location) = redirect(status, &headers) else { return Ok((status, body)) };
            redirects += 1;
            if redirects > MAX_REDIRECTS {
                return Err(HttpError::Redirect);
            }
            ask.url = ask.url.join(location).map_err(|_| HttpError::Redirect)?;
            let keeps = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT];
            if !keeps.contains(&status) && ask.body.take().is_some() {
                ask.method = Method::GET;
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

    async fn exchange(&self, ask: &Ask, proof: Option<&HeaderValue>) -> Result<Answer, HttpError> {
        let origin = Origin::of(&ask.url)?;
        let mut sender = self.connect(&origin).await?;
        let request = request(ask, &origin, proof)?;
        let (head, mut incoming) = sender.send_request(request).await?.into_parts();
        let mut body = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if body.len().saturating_add(data.len()) > self.max_bytes {
                return Err(HttpError::TooLong(self.max_bytes));
            }
            body.extend_from_slice(&data);
        }
        Ok((head.status, head.headers, body.freeze()))
    }

    async fn connect(&self, origin: &Origin) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let failed =
            |source| HttpError::Connect { host: origin.host.clone(), port: origin.port, source };
        let stream = self.dial(origin).await.map_err(failed)?;
        let _best_effort = stream.set_nodelay(true);
        if !origin.secure {
            return handshake(TokioIo::new(stream)).await;
        }
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(failed)?;
        handshake(TokioIo::new(stream)).await
    }

    /// Tries the host's addresses in order.
    async fn dial(&self, origin: &Origin) -> std::io::Result<TcpStream> {
        let addresses = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await?;
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match dial_one(address, self.bind).await {
                Ok(stream) => return Ok(stream),
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

fn request(
    ask: &Ask,
    origin: &Origin,
    proof: Option<&HeaderValue>,
) -> Result<Request<Full<Bytes>>, HttpError> {
    let target = &ask.url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(target)
        .header(header::HOST, origin.host_header())
        .header(header::USER_AGENT, ask.user_agent)
        .header(header::ACCEPT, "*/*");
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    if let Some(proof) = proof {
        request = request.header(header::AUTHORIZATION, proof);
    }
    let Some((content_type, body)) = &ask.body else {
        return Ok(request.body(Full::default())?);
    };
    Ok(request.header(header::CONTENT_TYPE, *content_type).body(Full::new(body.clone()))?)
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
        let credentials = Credentials::answer(
            challenge,
            &self.user,
            &Secret::Password(self.password.clone()),
            ask.method.as_str(),
            target,
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
