//! mod_xml_rpc: commands over HTTP, for those who have it: `/webapi`, `/txtapi`, `/api`, `/xmlapi` and XML-RPC at `/RPC2`.
//!
//! Differences from the reference: it listens on loopback until `listen-ip` says otherwise (its sample file has a
//! published password); without a user only directory users are let in; no files are served, and no WebSocket. Clients on other machines
//! are treated like those of the Event Socket there: what reaches this machine's programs is refused to them.

mod call;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base::guess_guard::{Attempt, GuessGuard, Verdict};
use base64::Engine as _;
use dialplan_xml::Node;
use http_server::{Bound, Config, Limits, Server};
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::contract::{Module, NotLoaded, Provides};
use switch_core::switch::Switch;

use crate::parameters;

/// mod_xml_rpc.
pub struct XmlRpc;

/// Its state for a switch.
#[derive(Default)]
struct Listening {
    bound: Mutex<Option<(Bound, Settings)>>,
    server: Mutex<Option<Server>>,
}

/// `xml_rpc.conf`.
#[derive(Clone, Debug)]
struct Settings {
    listen: SocketAddr,
    realm: String,
    login: Option<(String, String)>,
    default_domain: Option<String>,
}

impl Module for XmlRpc {
    fn name(&self) -> &'static str {
        "mod_xml_rpc"
    }

    fn provides(&self) -> Provides {
        Provides { parameters: parameters::XML_RPC, ..Provides::NOTHING }
    }

    /// Only with a configuration file of its own: no port is opened unasked.
    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().tree.configuration("xml_rpc.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            let conf = switch.config.load_full();
            let said = |error: &dyn std::fmt::Display| {
                tracing::error!("xml_rpc.conf: {error}");
                NotLoaded
            };
            let settings =
                Settings::read(conf.document("xml_rpc.conf")).map_err(|error| said(&error))?;
            let server = Config {
                listen: settings.listen,
                tls: None,
                limits: Limits::default(),
                admits: Arc::new(|_| true),
            };
            let bound = Bound::bind(server).await.map_err(|error| said(&error))?;
            *switch.module::<Listening>().bound.lock() = Some((bound, settings));
            Ok(())
        })
    }

    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        let state = switch.module::<Listening>();
        let taken = state.bound.lock().take();
        let Some((bound, settings)) = taken else { return Box::pin(std::future::ready(())) };
        let switch = Arc::clone(switch);
        tokio::spawn(async move {
            let mut serving = switch.serving.when();
            if serving.wait_for(|serving| *serving).await.is_err() {
                return;
            }
            switch_core::log_notice!("XML-RPC listens on {}", settings.listen);
            let rpc = Arc::new(Rpc { switch, settings, guard: GuessGuard::default() });
            let server = bound.serve(router(rpc));
            *state.server.lock() = Some(server);
        });
        Box::pin(std::future::ready(()))
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let state = switch.module::<Listening>();
            drop(state.bound.lock().take());
            let server = state.server.lock().take();
            if let Some(server) = server {
                server.shutdown().await;
            }
        })
    }
}

impl Settings {
    fn read(conf: Option<Node<'_>>) -> Result<Self, String> {
        let mut read = Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            realm: "freeswitch".into(),
            login: None,
            default_domain: None,
        };
        let (mut user, mut password) = (String::new(), String::new());
        for param in &dialplan_xml::config::settings(conf) {
            let value = &*param.value;
            let wrong = |_| format!("{}: {}: {value} cannot be used", param.place, param.name);
            match param.name.to_ascii_lowercase().as_str() {
                _ if value.is_empty() => {}
                "listen-ip" => read.listen.set_ip(
                    value.parse().map_err(|e: std::net::AddrParseError| wrong(e.to_string()))?,
                ),
                "http-port" => read.listen.set_port(
                    value.parse().map_err(|e: std::num::ParseIntError| wrong(e.to_string()))?,
                ),
                "auth-realm" => value.clone_into(&mut read.realm),
                "auth-user" => value.clone_into(&mut user),
                "auth-pass" => value.clone_into(&mut password),
                "default-domain" => read.default_domain = Some(value.to_owned()),
                _ => {}
            }
        }
        if !user.is_empty() && !password.is_empty() {
            read.login = Some((user, password));
        }
        Ok(read)
    }
}

/// Where a command was asked for, and what stands behind it.
struct Place {
    uri: String,
    path: String,
}

struct Rpc {
    switch: Arc<Switch>,
    settings: Settings,
    guard: GuessGuard,
}

type Shared = State<Arc<Rpc>>;

fn router(rpc: Arc<Rpc>) -> Router {
    let plain = |base: &'static str, kind: &'static str| {
        move |State(rpc): Shared,
              ConnectInfo(peer): ConnectInfo<SocketAddr>,
              headers: HeaderMap,
              Path(path): Path<HashMap<String, String>>,
              RawQuery(query): RawQuery| async move {
            let text = |name: &str| path.get(name).cloned().unwrap_or_default();
            let command = text("command");
            let uri = format!("{base}/{command}");
            let place = Place { uri, path: text("path") };
            let arguments = decoded(&query.unwrap_or_default());
            match rpc.run(peer, &headers, (&command, &arguments), place).await {
                Ok(output) => with_its_header(kind, output),
                Err(refusal) => refusal,
            }
        }
    };
    let mut router = Router::new();
    for (base, kind) in [
        ("/webapi", "text/html"),
        ("/txtapi", "text/plain"),
        ("/api", "text/plain"),
        ("/xmlapi", "text/xml"),
    ] {
        router = router
            .route(&format!("{base}/{{command}}"), get(plain(base, kind)))
            .route(&format!("{base}/{{command}}/{{*path}}"), get(plain(base, kind)));
    }
    router.route("/RPC2", post(rpc2)).with_state(rpc)
}

/// What a command said. Browsers run nothing of it, whatever a caller put into it.
fn shown(kind: &'static str, output: String) -> Response {
    let sandbox = HeaderValue::from_static("default-src 'none'; sandbox");
    let kind = HeaderValue::from_static(kind);
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, sandbox)];
    (headers, output).into_response()
}

/// A reply that begins with a header of its own, as programs of the web have it: `Content-type`, and perhaps that it is
/// in base64.
fn with_its_header(kind: &'static str, output: String) -> Response {
    let own = output.get(..13).is_some_and(|start| start.eq_ignore_ascii_case("content-type:"));
    let Some((head, body)) = output.split_once("\n\n").filter(|_| own) else {
        return shown(kind, output);
    };
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let kind = value("content-type").and_then(|kind| HeaderValue::from_str(kind).ok());
    let kind = kind.unwrap_or_else(|| HeaderValue::from_static("text/plain"));
    let body = match value("content-transfer-encoding") {
        Some("base64") => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(body);
            decoded.unwrap_or_default()
        }
        _ => body.as_bytes().to_vec(),
    };
    // It may play what it links to here, and nothing else.
    let policy = HeaderValue::from_static(
        "default-src 'none'; media-src 'self'; sandbox allow-same-origin allow-downloads",
    );
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, body).into_response()
}

async fn rpc2(
    State(rpc): Shared,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = match call::read(&body) {
        Err(fault) => call::fault(&fault),
        Ok(call::Call { command, arguments }) => {
            let place = Place { uri: "/RPC2".to_owned(), path: String::new() };
            match rpc.run(peer, &headers, (&command, &arguments), place).await {
                Ok(output) => call::answer(&output),
                Err(refusal) => return refusal,
            }
        }
    };
    shown("text/xml", answer)
}

impl Rpc {
    /// Runs a command for a client that may.
    async fn run(
        &self,
        peer: SocketAddr,
        headers: &HeaderMap,
        (command, arguments): (&str, &str),
        place: Place,
    ) -> Result<String, Response> {
        let user = self.admit(peer, headers, command).await?;
        let foreign = base::foreign::is_foreign(peer.ip());
        let run = Box::pin(self.switch.run_api(command, arguments, None));
        let run = base::foreign::scope(move || foreign, run);
        let output = match user {
            None => run.await,
            Some((user, domain)) => {
                let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
                let host = named.map_or_else(|| self.settings.listen.to_string(), str::to_owned);
                let Place { uri, path } = place;
                base::web::scope(base::web::Request { host, uri, path, user, domain }, run).await
            }
        };
        Ok(output.unwrap_or_else(|| "INVALID COMMAND!\n".to_owned()))
    }

    /// Who may run the command: the owner, or a user and its domain.
    async fn admit(
        &self,
        peer: SocketAddr,
        headers: &HeaderMap,
        command: &str,
    ) -> Result<Option<(String, String)>, Response> {
        let attempt = Attempt { address: peer.ip(), account: None };
        if let Verdict::Wait(wait) = self.guard.ask(&attempt, Instant::now()) {
            let after = [(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1))];
            return Err((StatusCode::TOO_MANY_REQUESTS, after).into_response());
        }
        let Some((user, password)) = given(headers) else { return Err(self.challenge()) };
        if self.is_owner(&user, &password) {
            return Ok(None);
        }
        let (name, domain) = match user.split_once('@') {
            Some((name, domain)) => (name, Some(domain.to_owned())),
            None => (user.as_str(), self.settings.default_domain.clone()),
        };
        let entry = match &domain {
            Some(domain) => {
                switch_core::xml::find_user(&self.switch, name, domain, |params| {
                    params.push("number_alias", "check");
                })
                .await
            }
            None => None,
        };
        let param = |name: &str| entry.as_ref().and_then(|entry| entry.params.get(name));
        let known = ["password", "vm-password"]
            .iter()
            .filter_map(|name| param(name))
            .any(|known| same(known, &password));
        if !known {
            self.guard.failed(&attempt, Instant::now());
            tracing::warn!("xml_rpc: {peer}: wrong user or password");
            return Err(self.challenge());
        }
        let allowed = param("http-allowed-api").unwrap_or_default();
        let mut allowed = allowed.split(',').map(str::trim);
        if allowed
            .any(|word| word.eq_ignore_ascii_case("any") || word.eq_ignore_ascii_case(command))
        {
            return Ok(Some((name.to_owned(), domain.unwrap_or_default())));
        }
        Err(StatusCode::FORBIDDEN.into_response())
    }

    fn is_owner(&self, user: &str, password: &str) -> bool {
        let login = self.settings.login.as_ref();
        login.is_some_and(|(own, secret)| user == own && same(secret, password))
    }

    fn challenge(&self) -> Response {
        let realm = self.settings.realm.replace(['"', '\\'], "");
        let value = HeaderValue::from_str(&format!("Basic realm=\"{realm}\""));
        let value = value.unwrap_or_else(|_| HeaderValue::from_static("Basic"));
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, value)]).into_response()
    }
}

/// Compares in a time that tells nothing of where they differ.
fn same(secret: &str, given: &str) -> bool {
    let hash = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    !secret.is_empty() && hash(secret).as_ref() == hash(given).as_ref()
}

/// User and password of a Basic authorization.
fn given(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// A query as the arguments of a command: `+` is a blank, `%XX` a byte.
fn decoded(query: &str) -> String {
    let bytes = esl_server::event::url_decode(query.replace('+', " ").as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reply_may_bring_its_own_header() {
        let kind = |response: &Response| response.headers()[header::CONTENT_TYPE].clone();
        let sound = with_its_header(
            "text/html",
            "Content-type: audio/x-wav\nContent-Transfer-Encoding: base64\n\nUklGRg==".into(),
        );
        assert_eq!(kind(&sound), "audio/x-wav");
        let bytes = axum::body::to_bytes(sound.into_body(), 100).await.unwrap();
        assert_eq!(&bytes[..], b"RIFF");
        assert_eq!(kind(&with_its_header("text/html", "+OK\n\nmore".into())), "text/html");
        assert_eq!(kind(&with_its_header("text/html", "Content-type: x\r\ny\n\n".into())), "x");
    }

    #[test]
    fn a_query_is_the_arguments() {
        assert_eq!(decoded("1%20+2%2B"), "1  2+");
    }

    #[test]
    fn an_authorization_is_read_or_not_there() {
        let mut headers = HeaderMap::new();
        assert_eq!(given(&headers), None);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic YTpiOmM="));
        assert_eq!(given(&headers), Some(("a".into(), "b:c".into())));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer YTpi"));
        assert_eq!(given(&headers), None);
    }
}
