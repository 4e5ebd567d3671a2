//! Who asks, and whether they may: tokens, API keys, scopes, rates, guessing, and what browsers want to know (CORS).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base::guess_guard::{Attempt, GuessGuard, Verdict};
use jsonwebtoken::Algorithm;

use super::Gateway;
use super::jwks::Keys;
use super::problem::Problem;
use super::rate::Rates;
use super::settings::{Scope, Settings};
use super::tenant::Tenant;
use super::token::{self, Bearer, TokenError, Wanted};

/// What judging requests needs.
pub(super) struct Access {
    jwks: Option<Keys>,
    rates: Rates,
    guard: Arc<GuessGuard>,
}

impl Access {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            jwks: settings.jwks.clone().map(Keys::new),
            rates: Rates::new(settings.rate),
            guard: Arc::default(),
        }
    }
}

/// Lets a request through whose bearer may make it. Everything else is answered here.
pub(super) async fn judge(
    State(gateway): State<Gateway>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let shown = shown(&request);
    let needed = needed(request.method(), request.uri().path());
    match admit(&gateway, peer, shown, needed).await {
        Ok(bearer) => {
            let foreign = base::foreign::is_foreign(peer.ip());
            tracing::debug!(
                "http: {} {} by {}",
                request.method(),
                request.uri().path(),
                bearer.name
            );
            request.extensions_mut().insert(Tenant(bearer.domain));
            base::foreign::scope(move || foreign, Box::pin(next.run(request))).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn admit(
    gateway: &Gateway,
    peer: SocketAddr,
    shown: Option<Shown>,
    needed: Scope,
) -> Result<Bearer, Problem> {
    // What has passed from an address before is not held back there by the failures of others: a proxy has one address
    // for all.
    let account = shown.as_ref().map(Shown::mark);
    let attempt = Attempt { address: peer.ip(), account: account.as_deref() };
    let guard = &gateway.access.guard;
    if let Verdict::Wait(wait) = guard.ask(&attempt, Instant::now()) {
        return Err(Problem::too_many(wait.as_secs() + 1));
    }
    let shown = shown.ok_or_else(|| Problem::unauthorized("a token or an API key is needed"))?;
    let bearer = match known(gateway, &shown).await {
        Ok(bearer) => bearer,
        Err(why) => {
            let stranger = Attempt { account: None, ..attempt };
            if let Some(entry) = guard.failed(&stranger, Instant::now()) {
                tracing::warn!(
                    "http: {peer} is held back for {} s after {} failures",
                    entry.wait.as_secs(),
                    entry.failures
                );
            }
            return Err(Problem::unauthorized(&why));
        }
    };
    guard.passed(&attempt, Instant::now());
    // Issuers may give the same subject in two domains.
    let client = format!("{} {}", bearer.domain.as_deref().unwrap_or_default(), bearer.name);
    if !gateway.access.rates.take(&client, Instant::now()) {
        return Err(Problem::too_many(1));
    }
    if !bearer.scopes.contains(&needed) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "the scope does not include this"));
    }
    Ok(bearer)
}

/// What a request shows of its sender.
enum Shown {
    Token(String),
    Key(String),
}

impl Shown {
    /// What it is remembered by.
    fn mark(&self) -> String {
        let (Self::Token(text) | Self::Key(text)) = self;
        let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// `Authorization: Bearer`, `X-API-Key`, or, for event streams that browsers open, `access_token` in the query.
fn shown(request: &Request) -> Option<Shown> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(value) = header("authorization") {
        let (scheme, token) = value.split_once(' ')?;
        return scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| Shown::Token(token.trim().to_owned()));
    }
    if let Some(key) = header("x-api-key") {
        return Some(Shown::Key(key.to_owned()));
    }
    let query =
        request.uri().query().filter(|_| request.uri().path().starts_with("/api/events"))?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs
        .find(|(name, _)| name == "access_token")
        .map(|(_, token)| Shown::Token(token.into_owned()))
}

/// Who it is, or why that is not believed.
async fn known(gateway: &Gateway, shown: &Shown) -> Result<Bearer, String> {
    let settings = &gateway.settings;
    match shown {
        Shown::Key(key) => {
            let hash = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
            // Hashes are compared, so how long it takes tells nothing of the key.
            let found = settings.keys.iter().find(|known| known.hash == hash.as_ref());
            let found = found.ok_or("there is no such API key")?;
            Ok(Bearer {
                name: format!("key {}", found.name),
                scopes: found.scopes.clone(),
                domain: found.domain.clone(),
            })
        }
        Shown::Token(token) => {
            let judged = async {
                let (key, algorithm) = match token::wanted(token)? {
                    Wanted::Secret => {
                        (settings.secret.clone().ok_or(TokenError::Algorithm)?, Algorithm::HS256)
                    }
                    Wanted::Rsa(id) => (rsa_key(gateway, id.as_deref()).await?, Algorithm::RS256),
                };
                token::check(token, &key, algorithm, settings)
            };
            judged.await.map_err(|error| error.to_string())
        }
    }
}

async fn rsa_key(
    gateway: &Gateway,
    id: Option<&str>,
) -> Result<jsonwebtoken::DecodingKey, TokenError> {
    if let Some(key) = &gateway.settings.public_key {
        return Ok(key.clone());
    }
    let keys = gateway.access.jwks.as_ref().ok_or(TokenError::Algorithm)?;
    keys.key(id).await.ok_or(TokenError::UnknownKey)
}

/// What the switch keeps: who changes it changes what calls do.
const KEPT: [&str; 4] = ["/api/ivr/", "/api/users", "/api/trunks", "/api/routes"];

fn reads(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// The scope a request needs.
fn needed(method: &Method, path: &str) -> Scope {
    if path.starts_with("/api/events") {
        Scope::EventsRead
    } else if path.starts_with("/api/command")
        || (KEPT.iter().any(|kept| path.starts_with(kept)) && !reads(method))
    {
        Scope::SystemWrite
    } else if !reads(method) {
        Scope::CallsWrite
    } else if path.starts_with("/api/calls") || path.contains("/status/") {
        Scope::CallsRead
    } else {
        Scope::SystemRead
    }
}

/// Tells browsers which pages of other origins may ask (the Fetch standard's CORS protocol). None, unless configured.
pub(super) async fn cors(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let allowed = origin.filter(|origin| {
        gateway
            .settings
            .origins
            .iter()
            .any(|known| known == "*" || known.as_bytes() == origin.as_bytes())
    });
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (&allowed, preflight) {
        (Some(_), true) => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if preflight {
            let fixed = HeaderValue::from_static;
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_METHODS,
                fixed("GET, POST, PUT, PATCH, DELETE"),
            );
            let names = "authorization, content-type, idempotency-key, x-api-key";
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, fixed(names));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, fixed("600"));
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_needs_more_than_reading() {
        assert_eq!(needed(&Method::GET, "/api/calls/active"), Scope::CallsRead);
        assert_eq!(needed(&Method::GET, "/status/x"), Scope::CallsRead);
        assert_eq!(needed(&Method::POST, "/call"), Scope::CallsWrite);
        assert_eq!(needed(&Method::POST, "/api/calls/x/hangup"), Scope::CallsWrite);
        assert_eq!(needed(&Method::GET, "/api/gateways"), Scope::SystemRead);
        assert_eq!(needed(&Method::GET, "/api/ivr/menus"), Scope::SystemRead);
        assert_eq!(needed(&Method::PUT, "/api/ivr/menus/main"), Scope::SystemWrite);
        for (method, path) in [
            (Method::POST, "/api/users"),
            (Method::PATCH, "/api/trunks/a"),
            (Method::DELETE, "/api/routes/a"),
        ] {
            assert_eq!(needed(&method, path), Scope::SystemWrite);
        }
        assert_eq!(needed(&Method::GET, "/api/users"), Scope::SystemRead);
        assert_eq!(needed(&Method::GET, "/api/events"), Scope::EventsRead);
        assert_eq!(needed(&Method::POST, "/api/command"), Scope::SystemWrite);
    }
}
