//! Public keys from the issuer's address (RFC 7517), kept for ten minutes and asked for again when a token names a new one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_client::tls::{TlsSettings, client};
use http_client::{Ask, Client};
use hyper::Method;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;
use parking_lot::Mutex;
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
    /// Held while the issuer is asked: one question at a time, while keys that are known go on being found.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    set: Option<JwkSet>,
    asked: Option<Instant>,
}

/// What is known of a key.
struct Found {
    key: Option<DecodingKey>,
    /// It was read longer ago than keys are believed, or never.
    stale: bool,
    /// The issuer may be asked for it.
    due: bool,
}

impl Keys {
    pub(super) fn new(url: Url) -> Self {
        let checked =
            TlsSettings { check_authority: true, check_name: true, ..TlsSettings::default() };
        let client = client(checked)
            .inspect_err(|error| tracing::error!("http_api.conf: jwks-url: {error}"))
            .ok()
            .map(|tls| Client::new(Arc::new(tls), None, None, LONGEST));
        Self { url, client, known: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    fn find(&self, id: Option<&str>) -> Found {
        let known = self.known.lock();
        let age = known.asked.map(|at| at.elapsed());
        let key = find(&known, id);
        let stale = age.is_none_or(|age| age > FRESH);
        let due = stale || key.is_none() && age > Some(PAUSE);
        Found { key, stale, due }
    }

    /// The key of that identifier; without one, the only key there is.
    pub(super) async fn key(&self, id: Option<&str>) -> Option<DecodingKey> {
        let found = self.find(id);
        if !found.due {
            return found.key;
        }
        let turn = match self.asking.try_lock() {
            Ok(turn) => turn,
            // An issuer that does not answer delays no token whose key is known.
            Err(_) if found.key.is_some() => return found.key,
            Err(_) => self.asking.lock().await,
        };
        let found = self.find(id);
        if !found.due {
            return found.key;
        }
        if !found.stale {
            tracing::debug!("http: a token names a key that is not known");
        }
        self.known.lock().asked = Some(Instant::now());
        match self.ask().await {
            Ok(set) => self.known.lock().set = Some(set),
            Err(error) => tracing::warn!("{}: {error}", self.url.host_str().unwrap_or_default()),
        }
        drop(turn);
        self.find(id).key
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
