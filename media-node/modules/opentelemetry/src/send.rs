//! Spans go to the collector in batches. One that does not take a batch gets it again, later and later; meanwhile further
//! spans wait in a bounded queue, and those beyond are dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base::trace::{self, Span, Value};
use bytes::Bytes;
use http_client::tls::{self, TlsSettings};
use http_client::{Ask, Client};
use hyper::Method;
use switch_core::switch::Switch;
use tokio::time::{sleep, timeout};

use crate::otlp;
use crate::settings::{Settings, SettingsError};

/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long the last spans may take at the end.
const LAST: Duration = Duration::from_secs(2);
/// Longest answer read, bytes.
const ANSWER: usize = 65_536;

/// Sends spans to one collector.
pub(crate) struct Sender {
    settings: Settings,
    client: Client,
    resource: Vec<(&'static str, Value)>,
    sent: AtomicU64,
    refused: AtomicU64,
    failing: AtomicBool,
}

/// What became of a batch.
enum Outcome {
    Taken,
    Refused(String),
    /// It may be taken later.
    Later(String),
}

impl Sender {
    pub(crate) fn new(switch: &Switch, settings: &Settings) -> Result<Self, SettingsError> {
        let tls = tls::client(TlsSettings {
            check_authority: true,
            check_name: true,
            authorities: settings.authorities.as_deref(),
            ..TlsSettings::default()
        })?;
        let mut client = Client::new(Arc::new(tls), None, None, ANSWER);
        client.extra.clone_from(&settings.headers);
        let resource = vec![
            ("service.name", Value::from(settings.service.as_str())),
            ("service.version", Value::from(base::version::OWN)),
            (
                "service.instance.id",
                Value::from(switch.global("core_uuid").unwrap_or_default().as_str()),
            ),
            ("host.name", Value::from(&*switch.name())),
        ];
        Ok(Self {
            settings: settings.clone(),
            client,
            resource,
            sent: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        })
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Sends what arrives, one batch after the other.
    pub(crate) async fn run(&self) {
        loop {
            trace::arrived().await;
            sleep(self.settings.interval).await;
            loop {
                let batch = trace::take(self.settings.batch);
                if batch.is_empty() {
                    break;
                }
                self.deliver(&batch).await;
            }
        }
    }

    /// One attempt for what is left.
    pub(crate) async fn last(&self) {
        let batch = trace::take(self.settings.batch);
        if !batch.is_empty() {
            let outcome = timeout(LAST, self.post(&batch)).await;
            self.count(&batch, outcome.unwrap_or_else(|_| Outcome::Refused("no answer".into())));
        }
    }

    async fn deliver(&self, batch: &[Span]) {
        let (mut pause, longest) = PAUSES;
        loop {
            match self.post(batch).await {
                Outcome::Later(why) => {
                    if !self.failing.swap(true, Ordering::Relaxed) {
                        let server = http_client::shown(self.settings.endpoint.as_str());
                        tracing::warn!("OpenTelemetry: {server}: {why}; traces wait");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
                outcome => return self.count(batch, outcome),
            }
        }
    }

    fn count(&self, batch: &[Span], outcome: Outcome) {
        let count = batch.len() as u64;
        match outcome {
            Outcome::Taken => {
                self.sent.fetch_add(count, Ordering::Relaxed);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("OpenTelemetry: the collector takes traces again");
                }
            }
            Outcome::Refused(why) | Outcome::Later(why) => {
                self.refused.fetch_add(count, Ordering::Relaxed);
                tracing::warn!("OpenTelemetry: {count} spans were refused: {why}");
            }
        }
    }

    async fn post(&self, batch: &[Span]) -> Outcome {
        let body = otlp::request(&self.resource, batch).to_string();
        let ask = Ask {
            method: Method::POST,
            url: self.settings.endpoint.clone(),
            user_agent: concat!("ferroswitch/", env!("CARGO_PKG_VERSION")),
            headers: Vec::new(),
            body: Some(("application/json", Bytes::from(body))),
        };
        match timeout(self.settings.timeout, self.client.send(ask)).await {
            Ok(Ok((status, _))) if status.is_success() => Outcome::Taken,
            // What the OTLP specification calls retryable.
            Ok(Ok((status, _))) if [429, 502, 503, 504].contains(&status.as_u16()) => {
                Outcome::Later(status.to_string())
            }
            Ok(Ok((status, _))) => Outcome::Refused(status.to_string()),
            Ok(Err(error)) => Outcome::Later(error.to_string()),
            Err(_) => Outcome::Later("no answer in time".to_owned()),
        }
    }
}
