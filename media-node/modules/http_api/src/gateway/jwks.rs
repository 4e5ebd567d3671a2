//! Public keys from the issuer's address (RFC 7517), kept for ten minutes and asked for again when a token names a new one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_client::tls::{TlsSettings, client};
use http_client::{Ask, Client};
use hyper::Method;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;
use tokio::sync::Mutex;
use url::Url;

/// How long keys are believed.
const FRESH: Duration = Duration::from_secs(600);
/// Between two questions: tokens with invented keys must not become questions to the issuer.
const PAUSE: Duration = Duration::from_secs(30);
/// For an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer, bytes.
const LONGEST: usize = 256 << 10;

/// The keys of one issuer.
pub(super) struct Keys {
    url: Url,
    client: Option<Client>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    set: Option<JwkSet>,
    asked: Option<Instant>,
}

impl Keys {
    pub(super) fn new(url: Url) -> Self {
        let checked =
            TlsSettings { check_authority: true, check_name: true, ..TlsSettings::default() };
        let client = client(checked)
            .inspect_err(|error| tracing::error!("http_api.conf: jwks-url: {error}"))
            .ok()
            .map(|tls| Client::new(Arc::new(tls), None, None, LONGEST));
        Self { url, client, known: Mutex::default() }
    }

    /// The key of that identifier; without one, the only key there is.
    pub(super) async fn key(&self, id: Option<&str>) -> Option<DecodingKey> {
        let mut known = self.known.lock().await;
        let age = known.asked.map(|at| at.elapsed());
        if age.is_none_or(|age| age > FRESH) || find(&known, id).is_none() && age > Some(PAUSE) {
            known.asked = Some(Instant::now());
            match self.ask().await {
                Ok(set) => known.set = Some(set),
                Err(error) => {
                    tracing::warn!("{}: {error}", self.url.host_str().unwrap_or_default())
                }
            }
        }
        find(&known, id)
    }

    async fn ask(&self) -> Result<JwkSet, String> {
        let client = self.client.as_ref().ok_or("TLS cannot be set up")?;
        let ask = Ask {
            method: Method::GET,
            url: self.url.clone(),
            user_agent: "ferroswitch",
            headers: Vec::new(),
            body: None,
        };
        let answer = tokio::time::timeout(PATIENCE, client.send(ask)).await;
        let (status, body) = answer
            .map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
            .map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("the server says {status}"));
        }
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    }
}

fn find(known: &Known, id: Option<&str>) -> Option<DecodingKey> {
    let set = known.set.as_ref()?;
    let jwk = match id {
        Some(id) => set.find(id)?,
        None => match set.keys.as_slice() {
            [only] => only,
            _ => return None,
        },
    };
    DecodingKey::from_jwk(jwk).ok()
}
